//! Silence on the wire, in virtual time: comfort noise beside G.711, DTX of Opus, and FEC when the far end reports loss.

mod media_link;

use media_link::{CALM, Call, Weather, babble, plan};
use sidetone::media::plan::{Codec, Plan};
use std::cell::Cell;

/// Noise of about -50 dBov: even over -180 to 180.
fn hiss(n: usize) -> i16 {
    let mixed = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) % 361) as i16 - 180
}

/// Two seconds of voice, then four of nothing but noise, over and over; side 1 later than side 0.
fn talk(side: usize, rate: u32, n: usize) -> i16 {
    let second = (n / rate as usize + 3 * side) % 6;
    hiss(n) + if second < 2 { babble(side, rate, n) } else { 0 }
}

fn level(audio: &[i16]) -> f64 {
    let energy = audio.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / audio.len() as f64;
    10.0 * (energy / 32_767f64.powi(2) + 1e-13).log10()
}

struct Sent {
    marker: bool,
    payload_type: u8,
    seq: u16,
    timestamp: u32,
    octets: usize,
}

fn sent(call: &Call, side: usize) -> Vec<Sent> {
    let read = |packet: &Vec<u8>| Sent {
        marker: packet[1] & 0x80 != 0,
        payload_type: packet[1] & 0x7F,
        seq: u16::from_be_bytes([packet[2], packet[3]]),
        timestamp: u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]),
        octets: packet.len() - 12,
    };
    call.packets[side].iter().map(read).collect()
}

#[test]
fn comfort_noise_takes_the_place_of_silence() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let mut plans = [plan(0, codec, codec, false), plan(1, codec, codec, false)];
        plans.iter_mut().for_each(|plan| plan.comfort_noise = Some(13));
        let mut call = Call::new(plans, CALM, 6);
        call.run(30_000, talk);
        for side in 0..2 {
            let packets = sent(&call, side);
            let noise: Vec<_> = packets.iter().filter(|packet| packet.payload_type == 13).collect();
            assert!((15..120).contains(&noise.len()), "{codec}: {} packets of comfort noise", noise.len());
            assert!(packets.len() < 1_000, "{codec}: {} of 1500 packets sent", packets.len());
            assert!(noise.iter().all(|packet| packet.octets == 11 && !packet.marker));
            assert!(packets.windows(2).all(|pair| pair[1].seq == pair[0].seq.wrapping_add(1)), "no number is left out");
            // Time goes on in silence, in whole packets, and audio behind it begins a talk spurt (RFC 3551 section 4.1).
            for pair in packets.windows(2) {
                let ticks = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
                assert_eq!(ticks % 160, 0);
                let begins = pair[1].payload_type != 13 && pair[0].payload_type == 13;
                assert_eq!(pair[1].marker, begins, "{codec}");
            }
            let inbound = call.sessions[side].quality(call.now).inbound;
            assert_eq!((inbound.lost, inbound.late), (0, 0), "{codec}: gaps are no loss: {inbound:?}");
            assert!(inbound.buffer_ms.unwrap() < 25.0, "{inbound:?}");
            let counters = call.sessions[side].counters();
            assert!(counters.noise_sent > 10 && counters.noise_heard > 10, "{counters:?}");
            // Between the voices the noise is as loud as it was.
            let heard = &call.heard[side];
            let (there, here) = (level(&call.said[1 - side][..]), level(&heard[..]));
            assert!((there - here).abs() < 3.0, "{codec} to {side}: {there} said, {here} heard in all");
            let quiet: Vec<f64> = heard.chunks(8_000).skip(3).map(level).filter(|level| *level < -47.0).collect();
            assert!(quiet.len() >= 6, "{codec} to {side}: {quiet:?}");
            assert!(quiet.iter().all(|level| (-52.0..-48.0).contains(level)), "{codec} to {side}: {quiet:?}");
        }
    }
}

/// RFC 7587 section 3.1.3.
#[test]
fn opus_is_silent_on_the_wire_and_sounds_on() {
    for (asked, wanted) in [(true, false), (false, true)] {
        let mut plans = [plan(0, Codec::Opus, Codec::Opus, false), plan(1, Codec::Opus, Codec::Opus, false)];
        for plan in &mut plans {
            (plan.encoding.opus.dtx, plan.encoding.opus_encoder.dtx) = (asked, wanted);
        }
        let mut call = Call::new(plans, CALM, 6);
        call.run(30_000, talk);
        for side in 0..2 {
            let packets = sent(&call, side);
            assert!(packets.len() < 1_100, "{} of 1500 packets sent", packets.len());
            let mut gaps = 0;
            for pair in packets.windows(2) {
                assert_eq!(pair[1].seq, pair[0].seq.wrapping_add(1));
                let ticks = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
                assert_eq!(ticks % 960, 0);
                assert_eq!(pair[1].marker, ticks > 960, "the marker says that something was left out");
                gaps += usize::from(ticks > 960);
            }
            assert!(gaps > 10, "{gaps} gaps");
            let inbound = call.sessions[side].quality(call.now).inbound;
            assert_eq!((inbound.lost, inbound.late), (0, 0), "gaps are no loss: {inbound:?}");
            let quiet: Vec<f64> =
                call.heard[side].chunks(48_000).skip(3).map(level).filter(|level| *level < -47.0).collect();
            assert!(quiet.len() >= 6, "to {side}: {quiet:?}");
            assert!(quiet.iter().all(|level| (-56.0..-48.0).contains(level)), "heard in silence to {side}: {quiet:?}");
        }
    }
}

/// Does an Opus packet carry a copy of the one before: SILK's LBRR bit (RFC 6716 section 4.2.3), of packets of 20 ms?
fn carries_copy(packet: &[u8]) -> bool {
    packet[12] >> 3 < 16 && packet.get(13).is_some_and(|first| first & 0x40 != 0)
}

fn opus_plans(fec: bool) -> [Plan; 2] {
    let mut plans = [plan(0, Codec::Opus, Codec::Opus, false), plan(1, Codec::Opus, Codec::Opus, false)];
    plans.iter_mut().for_each(|plan| plan.encoding.opus.fec = fec);
    plans
}

#[test]
fn reported_loss_brings_copies_and_its_end_takes_them_away() {
    let mut call = Call::new(opus_plans(true), CALM, 5);
    let copies =
        |call: &Call, from: usize| call.packets[0][from..].iter().filter(|packet| carries_copy(packet)).count();
    call.run(10_000, babble);
    assert_eq!((copies(&call, 0), call.sessions[0].counters().expected_loss), (0, 0), "no loss, no copies");
    // One packet in eight from side 0 vanishes: its numbers go on, side 1 reports it.
    let before = call.packets[0].len();
    call.lose(0, 0.12);
    call.run(20_000, babble);
    let expected = call.sessions[0].counters().expected_loss;
    assert!((5..=25).contains(&expected), "{expected} per cent expected where 12 are lost");
    assert_eq!(call.sessions[1].counters().expected_loss, 0, "the other way nothing is lost");
    assert!(copies(&call, before) > 200, "{} copies", copies(&call, before));
    let recovered = call.sessions[1].counters().playout.recovered;
    assert!(recovered > 20, "{recovered} recovered");
    let before = call.packets[0].len();
    call.lose(0, 0.0);
    call.run(60_000, babble);
    assert_eq!(call.sessions[0].counters().expected_loss, 0);
    let late = copies(&call, call.packets[0].len() - 500);
    assert_eq!(late, 0, "{late} copies long after the loss, {} in all", copies(&call, before));
}

/// Signal to noise, dB, of `heard` against what is heard without loss, both of the same clock.
fn fidelity(clean: &[i16], heard: &[i16]) -> f64 {
    let (mut signal, mut noise) = (1.0, 1.0);
    for (&clean, &heard) in clean.iter().zip(heard) {
        signal += f64::from(clean).powi(2);
        noise += (f64::from(clean) - f64::from(heard)).powi(2);
    }
    10.0 * (signal / noise).log10()
}

/// Codec by codec, without a network: the copy against libopus's own concealment.
#[test]
fn a_copy_is_better_than_what_is_made_up() {
    use sidetone::media::codec::{Decoder, Encoder};
    let mut encoding = plan(0, Codec::Opus, Codec::Opus, false).encoding;
    encoding.opus.fec = true;
    let mut encoder = Encoder::new(&encoding).unwrap();
    encoder.expect_loss(12);
    let payloads: Vec<Vec<u8>> = (0..500)
        .map(|packet| {
            let audio: Vec<i16> = (0..960).map(|n| babble(0, 48_000, packet * 960 + n)).collect();
            let mut payload = Vec::new();
            encoder.encode(&audio, &mut payload).unwrap();
            payload
        })
        .collect();
    let mut clean = Vec::new();
    let mut decoder = Decoder::new(Codec::Opus).unwrap();
    payloads.iter().for_each(|payload| decoder.decode(payload, &mut clean).unwrap());
    let tried = Cell::new(0);
    let heard = |copies: bool| {
        let (mut decoder, mut heard) = (Decoder::new(Codec::Opus).unwrap(), Vec::new());
        for (n, payload) in payloads.iter().enumerate() {
            if n % 10 != 7 {
                decoder.decode(payload, &mut heard).unwrap();
            } else if copies && decoder.recover(&payloads[n + 1], 960, &mut heard) {
                tried.set(tried.get() + 1);
            } else {
                assert!(decoder.conceal(960, &mut heard));
            }
        }
        heard
    };
    let (with, without) = (fidelity(&clean, &heard(true)), fidelity(&clean, &heard(false)));
    println!("{with:.1} dB with copies, {without:.1} dB made up");
    assert!(tried.get() > 25, "{} of 50 taken from copies", tried.get());
    assert!(with > without + 1.5, "{with:.1} dB with copies, {without:.1} dB made up");
}

#[test]
fn nothing_is_copied_for_who_cannot_use_it() {
    let mut call = Call::new(opus_plans(false), Weather { loss: 0.1, ..CALM }, 5);
    call.run(20_000, babble);
    assert!(call.packets[0].iter().all(|packet| !carries_copy(packet)));
}
