//! Scripted arrivals, in virtual time.

use super::{Config, Incoming, Insert, Playout, Statistics};
use crate::media::codec::g711::Law;
use crate::media::plan::Codec;
use crate::media::sequence::{ExtendedSeq, RtpTime};
use crate::random::Random;
use crate::time::{Duration, Instant};

/// A packet on its way.
#[derive(Clone, Debug)]
struct Sent {
    seq: i64,
    timestamp: u32,
    payload: Vec<u8>,
    /// When it arrives, ms.
    at: f64,
}

/// 440 Hz at 8 kHz.
fn tone(n: i64) -> i16 {
    ((n as f64 * 440.0 * std::f64::consts::TAU / 8_000.0).sin() * 10_000.0) as i16
}

/// PCMU packets of `ms` each, sent one after the other; `delay` in ms by number, `None` if lost.
fn stream(count: i64, ms: i64, mut delay: impl FnMut(i64) -> Option<f64>) -> Vec<Sent> {
    let samples = ms * 8;
    (0..count)
        .filter_map(|n| {
            let payload = (n * samples..(n + 1) * samples).map(|n| Law::Mu.encode(tone(n))).collect();
            let at = 100.0 + (n * ms) as f64 + delay(n)?;
            Some(Sent { seq: 1_000 + n, timestamp: (n * samples) as u32, payload, at })
        })
        .collect()
}

/// What came out.
struct Heard {
    audio: Vec<i16>,
    /// Statistics after each pull.
    statistics: Vec<Statistics>,
    inserts: Vec<Insert>,
}

impl Heard {
    fn last(&self) -> Statistics {
        *self.statistics.last().unwrap()
    }

    /// Mean delay of the packets played in pulls `from..to`, ms.
    fn delay(&self, from: usize, to: usize) -> f64 {
        let (from, to) = (self.statistics[from], self.statistics[to]);
        (to.delay_sum - from.delay_sum).as_secs_f64() * 1_000.0 / (to.played - from.played) as f64
    }

    fn steepest(&self) -> i32 {
        self.audio.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap()
    }
}

/// Plays `packets`, pulling `pull_ms` at a time from `first_pull` ms on, `late` ms late.
fn play(
    mut packets: Vec<Sent>,
    pull_ms: f64,
    first_pull: f64,
    pulls: usize,
    mut prepare: impl FnMut(&mut Playout, f64),
) -> Heard {
    packets.sort_by(|a, b| a.at.total_cmp(&b.at));
    let mut packets = packets.into_iter().peekable();
    let mut playout = Playout::new(Codec::Pcmu, Config::default()).unwrap();
    let mut heard = Heard { audio: Vec::new(), statistics: Vec::new(), inserts: Vec::new() };
    let instant = |ms: f64| Instant::at(Duration::from_secs_f64(ms / 1_000.0));
    for n in 0..pulls {
        let now = first_pull + n as f64 * pull_ms;
        while let Some(packet) = packets.next_if(|packet| packet.at <= now) {
            let incoming = Incoming {
                seq: ExtendedSeq(packet.seq),
                timestamp: RtpTime(packet.timestamp),
                codec: Codec::Pcmu,
                marker: false,
                payload: &packet.payload,
            };
            heard.inserts.push(playout.insert(instant(packet.at), incoming).unwrap());
        }
        prepare(&mut playout, now);
        let mut out = vec![0; (pull_ms * 8.0).round() as usize];
        playout.pull(instant(now), &mut out);
        heard.audio.extend(out);
        heard.statistics.push(playout.statistics());
    }
    heard
}

fn simply(packets: Vec<Sent>, pulls: usize) -> Heard {
    play(packets, 20.0, 7.0, pulls, |_, _| {})
}

/// Roughly normal, sigma 1.
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.unit()).sum::<f64>() - 6.0
}

const STEEPEST: i32 = 3_600;

#[test]
fn a_clean_network_adds_less_than_a_packet_at_every_phase() {
    for phase in 0..20 {
        let packets = stream(500, 20, |n| Some(30.0 + (n % 3) as f64 * 0.1));
        let heard = play(packets, 20.0, f64::from(phase), 500, |_, _| {});
        let last = heard.last();
        assert!(heard.delay(50, 450) < 24.0, "phase {phase}: {} ms", heard.delay(50, 450));
        assert!(last.made_up <= Duration::from_millis(20), "phase {phase}: {:?} made up", last.made_up);
        assert_eq!((last.late, last.shortened), (0, Duration::ZERO), "phase {phase}");
        assert!(heard.steepest() < STEEPEST);
    }
}

/// A call starts with two packets waiting, and the threads of a busy machine are some milliseconds late.
#[test]
fn what_the_first_packets_seem_to_spare_is_not_cut_out_and_put_back() {
    for phase in 0..20 {
        let mut random = Random::from_seed(phase);
        let packets = stream(200, 20, |n| Some(30.0 + random.unit() * if n % 16 == 15 { 12.0 } else { 2.0 }));
        let heard = play(packets, 20.0, 150.0 + phase as f64, 200, |_, _| {});
        let Statistics { shortened, lengthened, .. } = heard.last();
        assert!(shortened.is_zero() || lengthened.is_zero(), "phase {phase}: {shortened:?}, then {lengthened:?}");
    }
}

#[test]
fn what_was_sent_is_what_is_heard() {
    let heard = simply(stream(200, 20, |_| Some(5.0)), 200);
    let begin = heard.audio.iter().position(|&sample| sample != 0).unwrap();
    let sent: Vec<i16> = (0..200 * 160).map(|n| Law::Mu.decode(Law::Mu.encode(tone(n)))).collect();
    let begin = begin - sent.iter().position(|&sample| sample != 0).unwrap();
    // The first samples are joined to the silence before them.
    let compared = (heard.audio.len() - begin - 200).min(25_000);
    assert_eq!(heard.audio[begin + 100..begin + compared], sent[100..compared]);
}

#[test]
fn after_a_spike_the_delay_returns() {
    // At 10 s the network stands still for 200 ms.
    let spike =
        |n: i64| Some(30.0 + (220.0 - (n - 500) as f64 * 20.0).clamp(0.0, 200.0) * f64::from(u8::from(n > 500)));
    let heard = simply(stream(1_100, 20, spike), 1_100);
    let before = heard.delay(400, 500);
    let during = heard.delay(515, 525);
    assert!(during > before + 60.0, "late packets are played: {during} after {before}");
    assert!(heard.delay(760, 800) < before + 5.0, "five seconds later: {} after {before}", heard.delay(760, 800));
    let last = heard.last();
    assert_eq!((last.late, last.overflowed), (0, 0), "nothing is thrown away");
    assert!(heard.steepest() < STEEPEST, "a step of {}", heard.steepest());
}

#[test]
fn jitter_is_absorbed_at_less_than_45_ms() {
    let mut random = Random::from_seed(11);
    // Delays are such that packets stay in order, as on one path.
    let mut earliest = 0.0f64;
    let packets = stream(6_000, 20, |n| {
        let arrival = (20 * n) as f64 + (50.0 + 10.0 * normal(&mut random)).max(0.0);
        earliest = earliest.max(arrival);
        Some(earliest - (20 * n) as f64)
    });
    let heard = simply(packets, 6_000);
    let (from, to) = (heard.statistics[500], heard.last());
    let broken = (to.made_up - from.made_up).as_secs_f64() / 0.02 + (to.late - from.late) as f64;
    assert!(broken <= 12.0, "{broken} of 5500 pieces broken");
    assert!(heard.delay(500, 5_900) < 45.0, "{} ms", heard.delay(500, 5_900));
    assert!(heard.steepest() < STEEPEST);
}

#[test]
fn bursts_of_three_are_spread() {
    let heard = simply(stream(1_000, 20, |n| Some(10.0 + f64::from(2 - (n % 3) as i32) * 20.0)), 1_000);
    let (from, to) = (heard.statistics[100], heard.last());
    assert!(to.made_up - from.made_up <= Duration::from_millis(5), "{:?}", to.made_up - from.made_up);
    assert_eq!(to.late, 0);
    assert!(heard.delay(100, 900) < 45.0, "{}", heard.delay(100, 900));
}

#[test]
fn loss_is_concealed_and_costs_no_delay() {
    let mut random = Random::from_seed(4);
    let mut lost = 0;
    let packets = stream(2_000, 20, |n| {
        let gone = n > 50 && n < 1_900 && random.chance(0.05);
        lost += u32::from(gone);
        (!gone).then_some(30.0)
    });
    let heard = simply(packets, 2_000);
    let last = heard.last();
    assert!(heard.delay(100, 1_900) < 21.0, "{}", heard.delay(100, 1_900));
    let missing = last.made_up.as_secs_f64() / 0.02 - f64::from(lost);
    assert!(missing.abs() < 8.0, "{missing} more than the {lost} lost");
    assert!(heard.steepest() < 2 * STEEPEST, "a step of {}", heard.steepest());
    assert_eq!(last.late, 0);
}

#[test]
fn reordering_is_learnt() {
    let heard = simply(stream(1_000, 20, |n| Some(if n % 10 == 5 { 55.0 } else { 30.0 })), 1_000);
    let (from, to) = (heard.statistics[100], heard.last());
    assert!(to.late <= 2, "{} late", to.late);
    assert_eq!(to.made_up, from.made_up);
    assert!(heard.delay(100, 900) < 48.0, "{}", heard.delay(100, 900));
}

#[test]
fn a_packet_after_its_time_is_late() {
    // One packet in a hundred comes 90 ms late, behind three others.
    let heard = simply(stream(300, 20, |n| Some(if n == 100 { 100.0 } else { 10.0 })), 300);
    assert_eq!(heard.last().late, 1);
    assert_eq!(heard.inserts.iter().filter(|&&insert| insert == Insert::Late).count(), 1);
}

#[test]
fn clocks_that_drift_apart_are_followed() {
    for ppm in [200.0, -200.0] {
        let heard = simply(stream(15_000, 20, |n| Some(40.0 + n as f64 * 0.02 * ppm / 1_000.0)), 15_000);
        let last = heard.last();
        assert!(heard.delay(14_000, 14_900) < 30.0, "{ppm}: {}", heard.delay(14_000, 14_900));
        let changed = last.shortened.as_secs_f64() - last.lengthened.as_secs_f64();
        // 300 s at 200 ppm: 60 ms too much or too little.
        assert!((changed.abs() - 0.06).abs() < 0.03, "{ppm}: {changed}");
        assert!(last.made_up < Duration::from_millis(60) && last.late == 0, "{ppm}: {last:?}");
        assert!(heard.steepest() < STEEPEST, "{ppm}");
    }
}

#[test]
fn packet_times_may_change() {
    let mut packets = Vec::new();
    let (mut at, mut seq, mut sample) = (100.0, 0, 0i64);
    for (ms, seconds) in [(20, 3), (30, 3), (10, 3), (60, 3), (20, 14)] {
        for _ in 0..1_000 * seconds / ms {
            let end = sample + ms * 8;
            let payload = (sample..end).map(|n| Law::Mu.encode(tone(n))).collect();
            at += ms as f64;
            packets.push(Sent { seq, timestamp: sample as u32, payload, at });
            (seq, sample) = (seq + 1, end);
        }
    }
    let heard = simply(packets, 1_290);
    let last = heard.last();
    assert_eq!(last.late, 0);
    assert!(last.made_up < Duration::from_millis(250), "{:?}", last.made_up);
    assert!(heard.steepest() < STEEPEST);
    assert!(heard.delay(1_200, 1_280) < 30.0, "{}", heard.delay(1_200, 1_280));
}

#[test]
fn silence_that_was_not_sent_is_no_loss() {
    // One second of speech, one second of nothing, without a gap in the numbers.
    let mut packets = stream(400, 20, |n| Some(if (n / 50) % 2 == 0 { 30.0 } else { -1.0 }));
    packets.retain(|packet| packet.timestamp / 8_000 % 2 == 0);
    packets.iter_mut().enumerate().for_each(|(n, packet)| packet.seq = 70_000 + n as i64);
    let heard = simply(packets, 400);
    let last = heard.last();
    assert_eq!((last.late, last.played, last.restarts), (0, 200, 0));
    assert!(heard.delay(20, 350) < 21.0, "{}", heard.delay(20, 350));
    let pause = &heard.audio[8_000 + 3_000..8_000 + 8_000];
    assert!(pause.iter().filter(|&&sample| sample == 0).count() > 4_000, "silence");
    assert!(heard.steepest() < STEEPEST);
}

#[test]
fn a_lasting_delay_is_not_fought() {
    // The sender's timestamps stood still while it was silent for 300 ms; or the route became longer.
    let heard = simply(stream(500, 20, |n| Some(if n < 100 { 30.0 } else { 330.0 })), 500);
    let (from, to) = (heard.statistics[140], heard.statistics[480]);
    assert_eq!((to.made_up, to.shortened), (from.made_up, from.shortened), "{to:?}");
    assert!(heard.delay(140, 480) < 21.0, "{}", heard.delay(140, 480));
}

#[test]
fn a_pause_is_where_delay_goes() {
    // The network stands still for 200 ms; half a second later nobody speaks for a while.
    let spike = |n: i64| 30.0 + (220.0 - (n - 100) as f64 * 20.0).clamp(0.0, 200.0) * f64::from(u8::from(n > 100));
    let mut packets = stream(300, 20, |n| Some(spike(n)));
    packets.retain(|packet| !(116..150).contains(&(packet.seq - 1_000)));
    packets.iter_mut().enumerate().for_each(|(n, packet)| packet.seq = n as i64);
    let heard = simply(packets, 300);
    assert!(heard.delay(118, 124) > 80.0, "{}", heard.delay(118, 124));
    assert!(heard.delay(160, 200) < 21.0, "{}", heard.delay(160, 200));
}

#[test]
fn a_digit_is_no_loss() {
    // Packets 100 to 110 are telephone events.
    let events = 100..111;
    let mut packets = stream(300, 20, |_| Some(30.0));
    packets.retain(|packet| !events.contains(&(packet.seq - 1_000)));
    let mut told = 100;
    let heard = play(packets, 20.0, 7.0, 300, |playout, now| {
        while told < 111 && now > 130.0 + told as f64 * 20.0 {
            playout.other(ExtendedSeq(1_000 + told));
            told += 1;
        }
    });
    assert_eq!(heard.last().late, 0);
    assert!(heard.delay(120, 280) < 21.0, "{}", heard.delay(120, 280));
}

#[test]
fn a_jump_of_timestamps_begins_anew_and_a_stray_one_does_not() {
    let mut packets = stream(400, 20, |_| Some(30.0));
    packets[50].timestamp = packets[50].timestamp.wrapping_add(0x4000_0000);
    packets.iter_mut().skip(200).for_each(|packet| packet.timestamp = packet.timestamp.wrapping_sub(900_000_000));
    let heard = simply(packets, 420);
    let last = heard.last();
    assert_eq!((last.restarts, last.late), (1, 0));
    assert_eq!(heard.inserts.iter().filter(|&&insert| insert == Insert::Jump).count(), 2);
    assert_eq!(last.played, 398);
    assert!(heard.delay(210, 380) < 21.0, "{}", heard.delay(210, 380));
}

#[test]
fn a_restart_fades_and_begins_again() {
    let mut restarted = false;
    let heard = play(stream(200, 20, |_| Some(30.0)), 20.0, 7.0, 100, |playout, now| {
        if now > 1_000.0 && !restarted {
            playout.restart();
            restarted = true;
            let discarded = std::iter::from_fn(|| playout.poll_discarded()).count();
            assert!(discarded <= 2);
        }
    });
    assert!(heard.steepest() < STEEPEST, "{}", heard.steepest());
    assert!(heard.last().played >= 90);
    // For good: nothing comes any more.
    let mut restarted = false;
    let heard = play(stream(50, 20, |_| Some(30.0)), 20.0, 7.0, 100, |playout, now| {
        if now > 1_110.0 && !restarted {
            playout.restart();
            restarted = true;
        }
    });
    assert!(heard.steepest() < STEEPEST, "{}", heard.steepest());
    assert!(heard.audio[70 * 160..].iter().all(|&sample| sample == 0));
}

#[test]
fn a_flood_after_a_long_stall_does_not_stay() {
    // 900 ms of nothing, then all at once.
    let stall = |n: i64| Some(if (100..145).contains(&n) { 900.0 - (n - 100) as f64 * 20.0 } else { 10.0 });
    let heard = simply(stream(500, 20, stall), 500);
    let last = heard.last();
    assert!(last.overflowed > 0, "{last:?}");
    assert!(heard.delay(300, 480) < 45.0, "{}", heard.delay(300, 480));
    assert!(heard.steepest() < 2 * STEEPEST, "{}", heard.steepest());
}

#[test]
fn pulls_of_any_size_work() {
    for pull in [10.0, 20.0, 30.0, 60.0] {
        let heard = play(stream(500, 20, |_| Some(30.0)), pull, 3.0, (9_000.0 / pull) as usize, |_, _| {});
        let from = (1_000.0 / pull) as usize;
        let delay = heard.delay(from, heard.statistics.len() - from);
        assert!(delay < pull + 21.5, "{pull}: {delay}");
        assert!(heard.last().late == 0, "{pull}");
        let made_up = heard.last().made_up - heard.statistics[from].made_up;
        assert!(made_up <= Duration::from_millis(20), "{pull}: {made_up:?}");
    }
}

#[test]
fn nonsense_is_bounded_and_never_panics() {
    let mut random = Random::from_seed(77);
    let mut playout = Playout::new(Codec::Pcmu, Config::default()).unwrap();
    let mut out = [0; 160];
    let mut payload = vec![0; 2_000];
    for n in 0..60_000u64 {
        let now = Instant::from_millis(n * 2);
        random.fill(&mut payload[..32]);
        let calm = random.chance(0.7);
        let timestamp = if calm { (n * 16) as u32 } else { random.u32() };
        let seq = if calm { n as i64 } else { random.range(0, 100_000) as i64 };
        let codec =
            *[Codec::Pcmu, Codec::Pcma, Codec::Opus].get(if calm { 0 } else { random.range(0, 3) as usize }).unwrap();
        let length = if calm { 16 } else { random.range(0, 2_000) as usize };
        let packet = Incoming {
            seq: ExtendedSeq(seq),
            timestamp: RtpTime(timestamp),
            codec,
            marker: random.chance(0.1),
            payload: &payload[..length],
        };
        playout.insert(now, packet).unwrap();
        if random.chance(0.05) {
            playout.other(ExtendedSeq(seq + 1));
        }
        if n % 10 == 0 {
            playout.pull(now, &mut out);
        }
        if random.chance(0.3) {
            playout.poll_discarded();
        }
    }
    assert!(playout.statistics().played > 1_000, "{:?}", playout.statistics());
}
