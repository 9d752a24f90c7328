//! A call that changes its codec while a tone plays, in virtual time: what is heard, sample by sample.

mod media_link;

use media_link::{CALM, Call, Weather, plan};
use sidetone::media::plan::{Codec, Plan};
use sidetone::time::Duration;

const HERTZ: f64 = 440.0;
const PEAK: f64 = 8_000.0;

/// Every codec may come, whatever is sent.
fn plan_of(side: usize, codec: Codec, ms: u64) -> Plan {
    let mut plan = plan(side, codec, codec, false);
    plan.encoding.packet_time = Duration::from_millis(ms);
    let number = |codec: Codec| (codec.static_payload_type().unwrap_or(111), codec);
    plan.receive = [Codec::Opus, Codec::G722, Codec::Pcmu, Codec::Pcma].map(number).into();
    plan
}

/// What was heard at one rate.
struct Part {
    rate: u32,
    audio: Vec<i16>,
}

/// A window of what was heard: its place, s, and the tone in it.
struct Window {
    at: f64,
    peak: f64,
    phase: f64,
}

/// Changes the codec by `steps` while both sides send a tone; what side 1 heard in all, and the call.
fn play(first: (Codec, u64), steps: &[(Codec, u64)], weather: Weather) -> (Vec<Part>, Call) {
    let mut call = Call::new([plan_of(0, first.0, first.1), plan_of(1, first.0, first.1)], weather, 4);
    let mut turns = [0.0f64; 2];
    let mut tone = move |side: usize, rate: u32, _: usize| {
        turns[side] += HERTZ / f64::from(rate);
        ((turns[side] * std::f64::consts::TAU).sin() * PEAK) as i16
    };
    let (mut parts, mut from) = (Vec::new(), 0);
    let mut take = |call: &Call| {
        let rate = call.sessions[1].rate();
        parts.push(Part { rate, audio: call.heard[1][from..].to_vec() });
        from = call.heard[1].len();
    };
    call.run(2_000, &mut tone);
    for &(codec, ms) in steps {
        // The answerer first; the offerer has the answer a little later.
        take(&call);
        call.sessions[1].update(call.now, plan_of(1, codec, ms)).unwrap();
        call.run(45, &mut tone);
        call.sessions[0].update(call.now, plan_of(0, codec, ms)).unwrap();
        call.run(1_955, &mut tone);
    }
    take(&call);
    (parts, call)
}

/// The tone in windows of 10 ms, each beginning 2.5 ms after the one before.
fn windows(parts: &[Part]) -> Vec<Window> {
    let (mut windows, mut start) = (Vec::new(), 0.0);
    for part in parts {
        let rate = f64::from(part.rate);
        let (length, hop) = (part.rate as usize / 100, part.rate as usize / 400);
        for from in (0..part.audio.len().saturating_sub(length)).step_by(hop) {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, &sample) in part.audio[from..from + length].iter().enumerate() {
                let angle = HERTZ * (start + (from + n) as f64 / rate) * std::f64::consts::TAU;
                // Tapered, so that a window sees its middle.
                let weight = 1.0 - ((n as f64 + 0.5) / length as f64 * std::f64::consts::TAU).cos();
                re += f64::from(sample) * weight * angle.cos();
                im += f64::from(sample) * weight * angle.sin();
            }
            let peak = 2.0 * re.hypot(im) / length as f64;
            windows.push(Window { at: start + from as f64 / rate, peak, phase: im.atan2(re) });
        }
        start += part.audio.len() as f64 / rate;
    }
    windows
}

/// The steepest slope of a part, in units of the tone's own.
fn steepness(part: &Part) -> f64 {
    let own = HERTZ * std::f64::consts::TAU / f64::from(part.rate) * PEAK;
    let steepest = part.audio.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap_or(0);
    f64::from(steepest) / own
}

#[test]
fn a_tone_goes_on_through_every_change_of_codec_and_packet_time() {
    let (pcmu, opus, g722) = (Codec::Pcmu, Codec::Opus, Codec::G722);
    for (first, steps) in [
        ((pcmu, 20), &[(opus, 20), (g722, 20), (pcmu, 20)][..]),
        ((pcmu, 20), &[(g722, 20), (opus, 20), (pcmu, 20)]),
        ((pcmu, 20), &[(pcmu, 60), (opus, 60), (Codec::Pcma, 10), (g722, 40)]),
        ((opus, 20), &[(opus, 40), (opus, 10)]),
    ] {
        let (parts, call) = play(first, steps, CALM);
        let context = format!("{first:?} {steps:?}");
        let inbound = call.sessions[1].quality(call.now).inbound;
        assert_eq!(inbound.lost, 0, "{context}: {inbound:?}");
        assert!(inbound.late <= 1, "{context}: {inbound:?}");
        // After the call has begun.
        let windows = windows(&parts);
        let mut steady = windows.iter().filter(|window| window.at > 0.5).peekable();
        let mut worst = (f64::MAX, 0.0, 0.0f64, 0.0);
        while let Some(window) = steady.next() {
            if window.peak < worst.0 {
                (worst.0, worst.1) = (window.peak, window.at);
            }
            let Some(next) = steady.peek() else { break };
            let turn = (next.phase - window.phase).rem_euclid(std::f64::consts::TAU);
            let turn = turn.min(std::f64::consts::TAU - turn);
            if turn > worst.2 {
                (worst.2, worst.3) = (turn, window.at);
            }
        }
        println!("{context}: quietest {:.0} at {:.3} s, turn {:.2} at {:.3} s", worst.0, worst.1, worst.2, worst.3);
        if first.1 == 20 && steps.iter().all(|step| step.1 == 20) {
            // No window of 10 ms is a gap, and the tone does not stumble from one to the next.
            assert!(worst.0 > 0.5 * PEAK, "{context}: {:.0} of {PEAK} at {:.3} s", worst.0, worst.1);
            assert!(worst.2 < 0.8, "{context}: turns by {:.2} rad at {:.3} s", worst.2, worst.3);
        }
        // A longer packet comes later, and a longer pull needs more at once: what is made up until then is no gap longer than
        // a packet.
        let mut quiet = 0;
        for window in windows.iter().filter(|window| window.at > 0.5) {
            quiet = if window.peak < 0.25 * PEAK { quiet + 1 } else { 0 };
            assert!(quiet < 8, "{context}: a gap of 20 ms at {:.3} s", window.at);
        }
        for (n, part) in parts.iter().enumerate().skip(1) {
            assert!(steepness(part) < 2.0, "{context}: a click, {:.2} times as steep, in part {n}", steepness(part));
        }
    }
}

#[test]
fn old_packets_that_come_late_after_a_change_do_no_harm() {
    let rough = Weather { jitter_ms: 30.0, delay_ms: 50.0, reordering: 0.02, ..CALM };
    let steps = [(Codec::Opus, 20), (Codec::G722, 20), (Codec::Pcmu, 20), (Codec::Opus, 60), (Codec::Pcma, 20)];
    let (parts, call) = play((Codec::Pcmu, 20), &steps, rough);
    let inbound = call.sessions[1].quality(call.now).inbound;
    assert!(inbound.lost <= 5 && inbound.reordered > 0, "{inbound:?}");
    assert!(inbound.discard_percent.unwrap() < 2.0, "{inbound:?}");
    let windows = windows(&parts);
    let steady: Vec<_> = windows.iter().filter(|window| window.at > 1.0).collect();
    let quiet = steady.iter().filter(|window| window.peak < 0.3 * PEAK).count();
    assert!(quiet * 50 < steady.len(), "{quiet} of {} windows are quiet", steady.len());
    assert_eq!(call.sessions[1].counters().playout.restarts, 0);
    // The delay is not what the changes left behind.
    assert!(inbound.buffer_ms.unwrap() < 130.0, "{inbound:?}");
}

/// RFC 3264 section 8.3.2: what was sent under the numbers of before still arrives after the answer.
#[test]
fn numbers_of_before_are_understood_for_a_while() {
    let mut call = Call::new([plan_of(0, Codec::Opus, 20), plan_of(1, Codec::Opus, 20)], CALM, 4);
    let tone = |_: usize, rate: u32, n: usize| {
        ((n as f64 * HERTZ / f64::from(rate) * std::f64::consts::TAU).sin() * PEAK) as i16
    };
    call.run(1_000, tone);
    let moved = |side: usize| {
        let mut plan = plan_of(side, Codec::Opus, 20);
        (plan.encoding.payload_type, plan.receive) = (97, vec![(97, Codec::Opus)]);
        plan
    };
    call.sessions[1].update(call.now, moved(1)).unwrap();
    call.run(60, tone);
    call.sessions[0].update(call.now, moved(0)).unwrap();
    call.run(1_000, tone);
    assert_eq!(call.sessions[1].counters().unknown_payload_type, 0);
    // Three seconds later the old number means nothing any more.
    call.run(3_000, tone);
    call.sessions[0].update(call.now, plan_of(0, Codec::Opus, 20)).unwrap();
    call.run(500, tone);
    assert!(call.sessions[1].counters().unknown_payload_type > 20);
}
