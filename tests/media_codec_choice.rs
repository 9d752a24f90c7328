//! What two ends agree on of their codecs, in virtual time: packet times, L16, Opus settings.

mod media_link;

use media_link::{CALM, Call, alikeness, babble, plan};
use sidetone::media::plan::{Codec, L16Rate, OpusApplication};
use sidetone::time::Duration;

fn call(codec: Codec, ms: [u64; 2]) -> Call {
    let mut plans = [plan(0, codec, codec, false), plan(1, codec, codec, false)];
    for (plan, ms) in plans.iter_mut().zip(ms) {
        plan.encoding.packet_time = Duration::from_millis(ms);
    }
    Call::new(plans, CALM, ms[0])
}

#[test]
fn every_packet_time_of_every_codec_works_against_another_one() {
    for codec in Codec::KNOWN {
        // The shortest, the longest, and 50 ms where the codec has it.
        let times = codec.packet_times();
        for &ms in times.iter().filter(|ms| [times[0], times[times.len() - 1], 50].contains(ms)) {
            // The other side has the usual one, or the only one.
            let usual = codec.packet_time(Duration::from_millis(20)).as_millis() as u64;
            let mut call = call(codec, [ms, usual]);
            call.run(2_400, babble);
            let octets = codec.clock_rate() as u64 * ms / 1_000;
            let samples = if matches!(codec, Codec::L16(_)) { 2 * octets } else { octets };
            let sizes = call.packets[0].iter().map(|packet| packet.len() as u64 - 12);
            assert!(codec == Codec::Opus || sizes.clone().all(|size| size == samples), "{codec} {ms} ms");
            let packets = 2_400 / ms;
            assert!(call.packets[0].len().abs_diff(packets as usize) <= 1, "{codec} {ms} ms");
            for side in 0..2 {
                let rate = codec.sample_rate();
                let said = &call.said[1 - side];
                // What was said last is on its way, or waits for its packet to be full.
                let said = &said[..said.len() - rate as usize * 2 / 5];
                let alike = alikeness(said, &call.heard[side], rate);
                assert!(alike > if codec == Codec::Opus { 0.8 } else { 0.95 }, "{codec} {ms} ms to {side}: {alike}");
                let inbound = call.sessions[side].quality(call.now).inbound;
                assert_eq!((inbound.late, inbound.lost), (0, 0), "{codec} {ms} ms to {side}");
            }
        }
    }
}

#[test]
fn a_far_end_may_change_its_packet_time_without_a_word() {
    for codec in [Codec::Pcmu, Codec::G722, Codec::Opus] {
        let mut call = call(codec, [20, 20]);
        call.run(2_000, babble);
        for ms in [60, 10, 40] {
            // Only side 0 knows of it.
            let mut change = plan(0, codec, codec, false);
            change.encoding.packet_time = Duration::from_millis(ms);
            call.sessions[0].update(call.now, change).unwrap();
            call.run(2_000, babble);
        }
        let rate = codec.sample_rate();
        let said = &call.said[0][..call.said[0].len() - rate as usize / 5];
        let alike = alikeness(said, &call.heard[1], rate);
        assert!(alike > if codec == Codec::Opus { 0.8 } else { 0.9 }, "{codec}: {alike}");
        let inbound = call.sessions[1].quality(call.now).inbound;
        assert_eq!(inbound.lost, 0, "{codec}: {inbound:?}");
        assert!(inbound.late < 3, "{codec}: {inbound:?}");
        let made_up = call.sessions[1].counters().playout.made_up;
        assert!(made_up < Duration::from_millis(200), "{codec}: {made_up:?} made up in eight seconds");
    }
}

/// White noise: no piece of it is like another.
fn noise(side: usize, _: u32, n: usize) -> i16 {
    let mixed = (n as u64 * 2 + side as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 48) as i16 / 4
}

/// How many samples around the middle of `said` are in `heard` to the bit, in a row.
fn longest_exact(said: &[i16], heard: &[i16]) -> usize {
    let probe = said.len() / 2;
    let needle = &said[probe..probe + 64];
    let Some(at) = heard.windows(64).position(|window| window == needle) else { return 0 };
    let backward = said[..probe].iter().rev().zip(heard[..at].iter().rev()).take_while(|(a, b)| a == b).count();
    let forward = said[probe..].iter().zip(&heard[at..]).take_while(|(a, b)| a == b).count();
    backward + forward
}

/// RFC 3551 section 4.5.11: nothing is lost.
#[test]
fn l16_comes_through_a_call_to_the_bit() {
    for rate in L16Rate::ALL {
        let codec = Codec::L16(rate);
        let usual = codec.packet_time(Duration::from_millis(20)).as_millis() as u64;
        let mut call = call(codec, [usual, usual]);
        call.run(6_000, noise);
        for side in 0..2 {
            let exact = longest_exact(&call.said[1 - side], &call.heard[side]);
            // The first second may be stretched while the buffer learns.
            assert!(exact > 4 * rate.hertz() as usize, "{codec} to {side}: {exact} samples in a row are the same");
        }
    }
    // G.711 is not lossless, so that the comparison says something.
    let mut call = call(Codec::Pcmu, [20, 20]);
    call.run(6_000, noise);
    assert!(longest_exact(&call.said[0], &call.heard[1]) < 1_000);
}

/// Energy of `audio` above `hertz`, as a share of all of it.
fn share_above(audio: &[i16], rate: u32, hertz: f64) -> f64 {
    let mut planner = rustfft::FftPlanner::<f64>::new();
    let length = 4_096;
    let transform = planner.plan_fft_forward(length);
    let (mut above, mut all) = (0.0, 1.0);
    for piece in audio.chunks_exact(length) {
        let mut spectrum: Vec<_> = piece.iter().map(|&s| rustfft::num_complex::Complex::from(f64::from(s))).collect();
        transform.process(&mut spectrum);
        for (bin, value) in spectrum[..length / 2].iter().enumerate() {
            let energy = value.norm_sqr();
            all += energy;
            above += if bin as f64 * f64::from(rate) / length as f64 > hertz { energy } else { 0.0 };
        }
    }
    above / all
}

/// A sum of tones up to 19 kHz.
fn comb(_: usize, rate: u32, n: usize) -> i16 {
    let t = n as f64 / f64::from(rate) * std::f64::consts::TAU;
    let tones = [700.0, 2_900.0, 5_100.0, 7_200.0, 10_500.0, 15_000.0, 19_000.0];
    (tones.iter().map(|hertz| (hertz * t).sin()).sum::<f64>() * 2_000.0) as i16
}

/// RFC 7587 section 6.1, `maxplaybackrate`; RFC 6716 table 1.
#[test]
fn each_bandwidth_of_opus_ends_where_it_should() {
    for (rate, edge) in [(8_000, 4_000.0), (12_000, 6_000.0), (16_000, 8_000.0), (24_000, 12_000.0), (48_000, 24_000.0)]
    {
        for asked in [true, false] {
            let mut plans = [plan(0, Codec::Opus, Codec::Opus, false), plan(1, Codec::Opus, Codec::Opus, false)];
            let encoding = &mut plans[0].encoding;
            // Only SILK has a medium band.
            (encoding.opus_encoder.bitrate, encoding.opus_encoder.application) =
                if rate == 12_000 { (20_000, OpusApplication::Voip) } else { (96_000, OpusApplication::Audio) };
            // Asked by the far end, or wanted here.
            let limit = if asked { &mut encoding.opus.max_playback_rate } else { &mut encoding.opus_encoder.max_rate };
            *limit = rate;
            let mut call = Call::new(plans, CALM, 1);
            call.run(2_000, comb);
            let heard = &call.heard[1][48_000..];
            let outside = share_above(heard, 48_000, edge + 400.0);
            assert!(outside < 0.01, "{rate}: {outside} above {edge} Hz");
            let inside = share_above(heard, 48_000, edge * 0.55);
            assert!(inside > 0.1, "{rate}: only {inside} in the upper half of the band");
        }
    }
}

/// Octets of payload a second.
fn payload(call: &Call, side: usize, seconds: usize) -> usize {
    call.packets[side].iter().map(|packet| packet.len() - 12).sum::<usize>() / seconds
}

#[test]
fn opus_keeps_to_the_bit_rate_that_either_end_wants() {
    for (ours, theirs, cbr, expected) in [
        (32_000, None, false, 32_000),
        (12_000, None, false, 12_000),
        (64_000, Some(20_000), false, 20_000),
        (24_000, Some(40_000), true, 24_000),
    ] {
        let mut plans = [plan(0, Codec::Opus, Codec::Opus, false), plan(1, Codec::Opus, Codec::Opus, false)];
        let encoding = &mut plans[0].encoding;
        (encoding.opus_encoder.bitrate, encoding.opus.max_average_bitrate) = (ours, theirs);
        encoding.opus.cbr = cbr;
        let mut call = Call::new(plans, CALM, 1);
        call.run(10_000, babble);
        let rate = payload(&call, 0, 10) * 8;
        assert!(rate < expected * 12 / 10 && rate > expected / 2, "{rate} bit/s where {expected} were wanted");
        let mut sizes: Vec<_> = call.packets[0].iter().map(Vec::len).collect();
        sizes.dedup();
        assert_eq!(sizes.len() == 1, cbr, "constant bit rate means one size");
    }
}
