//! Storms of damaged and invented packets during a call.

mod media_link;

use media_link::{CALM, Call, address, alikeness, babble, plan};
use sidetone::media::plan::Codec;
use sidetone::media::session::Component;
use sidetone::random::Random;
use std::net::SocketAddr;

/// A damaged version of `packet`, or something else altogether.
fn mutated(packet: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    match random.range(0, 6) {
        0 => bytes.truncate(random.range(0, bytes.len() as u64 + 1) as usize),
        1 => {
            bytes = vec![0; random.range(0, 400) as usize];
            random.fill(&mut bytes);
        }
        // Anything behind a valid beginning, RTP or RTCP.
        2 => {
            bytes.resize(random.range(12, 200) as usize, 0);
            random.fill(&mut bytes);
            bytes[0] = 0x80 | (bytes[0] & 0x3F);
            if random.chance(0.5) {
                bytes[1] = 192 + bytes[1] % 32;
            }
        }
        _ => {
            for _ in 0..=random.range(0, 5) {
                let at = random.range(0, bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.range(0, 8);
            }
        }
    }
    bytes
}

/// A call during which each packet is followed by `each` damaged ones from `from`, `ms` long; then calm for 3 s.
fn storm(codec: Codec, keyed: bool, from: Option<SocketAddr>, each: usize, ms: u64) -> Call {
    let mut call = Call::new([plan(0, codec, codec, keyed), plan(1, codec, codec, keyed)], CALM, 21);
    call.run(500, babble);
    let mut random = Random::from_seed(99);
    match from {
        None => {
            call.mischief = Some(Box::new(move |_, packet| (0..each).map(|_| mutated(packet, &mut random)).collect()))
        }
        Some(from) => {
            let example = call.packets[0].last().unwrap().clone();
            for n in 0..ms / 20 {
                for side in 0..2 {
                    for _ in 0..each {
                        let component = if random.chance(0.8) { Component::Rtp } else { Component::Rtcp };
                        let at = (n * 20) as f64 + random.unit() * 20.0;
                        call.fly(side, from, component, mutated(&example, &mut random), at);
                    }
                }
            }
        }
    }
    call.run(ms, babble);
    call.mischief = None;
    call
}

fn alike(call: &Call, to: usize, from_ms: usize) -> f64 {
    let rate = call.sessions[to].rate();
    let (said, from) = (&call.said[1 - to], from_ms * rate as usize / 1_000);
    alikeness(&said[from..said.len() - rate as usize / 5], &call.heard[to][from..], rate)
}

#[test]
fn a_keyed_call_does_not_notice_a_hundred_thousand_damaged_packets() {
    let mut call = storm(Codec::Pcmu, true, None, 50, 20_000);
    call.run(1_000, babble);
    let mut dropped = 0;
    for side in 0..2 {
        let (counters, quality) = (call.sessions[side].counters(), call.sessions[side].quality(call.now).inbound);
        let srtp = counters.srtp;
        dropped += srtp.auth_failed + srtp.malformed + srtp.replayed + counters.foreign;
        assert_eq!((quality.lost, quality.late, quality.duplicates), (0, 0, 0), "{quality:?}");
        assert!(quality.buffer_ms.unwrap() < 21.5);
        let alike = alike(&call, side, 0);
        assert!(alike > 0.97, "to {side}: {alike}");
    }
    assert!(dropped > 95_000, "{dropped} of 100000 counted");
}

#[test]
fn strangers_do_not_disturb_a_plain_call() {
    let stranger = "203.0.113.5:1234".parse().unwrap();
    let mut call = storm(Codec::Opus, false, Some(stranger), 20, 5_000);
    call.run(1_000, babble);
    for side in 0..2 {
        let (counters, quality) = (call.sessions[side].counters(), call.sessions[side].quality(call.now).inbound);
        assert!(counters.strangers + counters.foreign + counters.malformed > 4_500, "{counters:?}");
        assert_eq!((quality.lost, quality.late, quality.duplicates), (0, 0, 0), "{quality:?}");
        assert!(alike(&call, side, 0) > 0.85);
    }
}

#[test]
fn a_plain_call_survives_damage_under_its_own_name() {
    for codec in [Codec::Pcmu, Codec::Opus] {
        let mut call = storm(codec, false, None, 25, 10_000);
        assert!(call.sessions.iter().all(|session| session.quality(call.now).inbound.packets > 100));
        call.run(4_000, babble);
        for side in 0..2 {
            // Two seconds after the storm all is well.
            let alike = alike(&call, side, 12_500);
            assert!(alike > if codec == Codec::Opus { 0.8 } else { 0.93 }, "{codec} to {side}: {alike}");
        }
        assert_eq!(call.addresses[0], address(0));
    }
}
