//! Two sessions back to back over a simulated network, in virtual time.

mod media_link;

use media_link::{CALM, Call, ROUGH, Weather, address, alikeness, babble, plan};
use sidetone::media::dtls::{Failed, Identity, Role};
use sidetone::media::dtmf::Digit;
use sidetone::media::plan::{Codec, Direction, Dtls, MasterKey, Plan, SrtpSuite};
use sidetone::media::session::{Component, Config, Event, Expected, Gate, Session};
use sidetone::media::srtp::Outgoing;
use sidetone::random::Random;
use sidetone::time::{Duration, Instant};

fn call(codec: Codec, keyed: bool, weather: Weather, seed: u64) -> Call {
    Call::new([plan(0, codec, codec, keyed), plan(1, codec, codec, keyed)], weather, seed)
}

/// How much of what each side said is in what the other heard.
fn alike(call: &Call, to: usize) -> f64 {
    // What was said last has not arrived yet.
    let said = &call.said[1 - to];
    let rate = call.sessions[to].rate();
    alikeness(&said[..said.len() - rate as usize / 5], &call.heard[to], rate)
}

#[test]
fn audio_arrives_over_a_calm_network() {
    for codec in Codec::ALL {
        for keyed in [false, true] {
            let mut call = call(codec, keyed, CALM, 1);
            call.run(6_000, babble);
            for side in 0..2 {
                let (alike, least) = (alike(&call, side), if codec == Codec::Opus { 0.85 } else { 0.97 });
                assert!(alike > least, "{codec} keyed {keyed} to {side}: {alike}");
                assert!(call.events[side].contains(&Event::FirstPacket));
                let counters = call.sessions[side].counters();
                assert_eq!(counters.srtp.authentic > 290, keyed, "{counters:?}");
                let quality = call.sessions[side].quality(call.now).inbound;
                assert_eq!((quality.lost, quality.late, quality.duplicates, quality.reordered), (0, 0, 0, 0));
                assert!(quality.buffer_ms.unwrap() < 21.5, "{codec}: buffer {:?}", quality.buffer_ms);
                assert!(quality.jitter_ms.unwrap() < 1.0 && quality.mos.unwrap() > 4.3, "{codec}: {quality:?}");
            }
        }
    }
}

#[test]
fn audio_and_statistics_survive_a_rough_network() {
    for codec in Codec::ALL {
        for (keyed, seed) in [(false, 3), (true, 4)] {
            let mut call = call(codec, keyed, ROUGH, seed);
            call.run(20_000, babble);
            call.sessions.iter_mut().for_each(|session| session.close(call.now));
            for side in 0..2 {
                let context = format!("{codec} keyed {keyed} seed {seed} to {side}");
                let alike = alike(&call, side);
                assert!(alike > if codec == Codec::Opus { 0.75 } else { 0.87 }, "{context}: {alike}");
                let (deeds, quality) = (call.deeds[1 - side], call.sessions[side].quality(call.now).inbound);
                // Packets still flying at the end, and losses before the first or after the last one received, are
                // in no statistics.
                let flying = 5;
                assert!(quality.lost.abs_diff(deeds.lost) <= flying, "{context}: {} of {deeds:?}", quality.lost);
                assert!(quality.packets + deeds.lost + flying >= deeds.sent, "{context}: {quality:?} {deeds:?}");
                let counters = call.sessions[side].counters();
                let seen_twice = quality.duplicates + counters.srtp.replayed;
                assert!(seen_twice.abs_diff(deeds.duplicated) <= 1, "{context}: {seen_twice} {deeds:?}");
                assert!(quality.reordered > 0 && quality.jitter_ms.unwrap() > 2.0, "{context}: {quality:?}");
                assert!(quality.discard_percent.unwrap() < 1.0, "{context}: {quality:?}");
                // 60 ms of spread, a pull, and for Opus a packet more for the copies.
                let most = if codec == Codec::Opus { 95.0 } else { 75.0 };
                assert!(quality.buffer_ms.unwrap() < most, "{context}: {quality:?}");
                assert!((1.0..4.3).contains(&quality.mos.unwrap()), "{context}: {quality:?}");
            }
        }
    }
}

#[test]
fn each_end_learns_what_the_other_hears() {
    let mut call = call(Codec::Pcmu, true, Weather { loss: 0.1, ..CALM }, 7);
    call.run(30_000, babble);
    for side in 0..2 {
        let outbound = call.sessions[side].quality(call.now).outbound;
        assert_eq!(outbound.packets, call.deeds[side].sent);
        let round_trip = outbound.round_trip_ms.unwrap();
        assert!((45.0..60.0).contains(&round_trip), "{round_trip}");
        assert!((6.0..14.0).contains(&outbound.loss_percent.unwrap()), "{outbound:?}");
        assert!(outbound.mos.unwrap() < 4.2);
    }
    assert!(call.rtcp_seen >= 8);
}

#[test]
fn opus_recovers_what_is_lost_once_it_knows_of_loss() {
    let mut call = call(Codec::Opus, false, Weather { loss: 0.1, ..CALM }, 5);
    call.run(40_000, babble);
    for side in 0..2 {
        let counters = call.sessions[side].counters();
        let lost = call.deeds[1 - side].lost;
        assert!(counters.playout.recovered * 3 > lost, "{} recovered of {lost} lost", counters.playout.recovered);
        assert!(counters.playout.late < 5, "{counters:?}");
        let buffer = call.sessions[side].quality(call.now).inbound.buffer_ms.unwrap();
        assert!(buffer < 45.0, "a packet more for the copies: {buffer} ms");
    }
}

#[test]
fn each_side_may_send_another_codec() {
    let plans = [plan(0, Codec::Opus, Codec::Pcmu, false), plan(1, Codec::Pcmu, Codec::Opus, false)];
    let mut call = Call::new(plans, CALM, 2);
    call.run(5_000, babble);
    assert_eq!((call.sessions[0].rate(), call.sessions[1].rate()), (48_000, 8_000));
    // What the other said, at our rate.
    let fast: Vec<i16> = (0..4_800 * 48).map(|n| babble(1, 48_000, n)).collect();
    let slow: Vec<i16> = (0..4_800 * 8).map(|n| babble(0, 8_000, n)).collect();
    assert!(alikeness(&fast, &call.heard[0], 48_000) > 0.95);
    assert!(alikeness(&slow, &call.heard[1], 8_000) > 0.8);
}

#[test]
fn digits_arrive_once_each_through_loss() {
    for codec in [Codec::Pcmu, Codec::Opus] {
        let mut call = call(codec, true, Weather { loss: 0.15, duplication: 0.05, ..CALM }, 12);
        call.run(500, babble);
        let digits = Digit::all("1159*#0D22").unwrap();
        assert_eq!(call.sessions[0].send_dtmf(call.now, &digits), digits.len());
        call.run(4_000, babble);
        let heard: Vec<_> = call.events[1]
            .iter()
            .filter_map(|event| match event {
                Event::Dtmf { digit, duration, .. } => Some((*digit, *duration)),
                _ => None,
            })
            .collect();
        assert_eq!(heard.iter().map(|(digit, _)| *digit).collect::<Vec<_>>(), digits, "{codec}");
        assert!(heard.iter().all(|(_, time)| (40..=100).contains(&time.as_millis())), "{codec}: {heard:?}");
        let sent = call.events[0].iter().filter(|event| matches!(event, Event::DtmfSent { .. })).count();
        assert_eq!(sent, digits.len());
    }
}

#[test]
fn the_sender_keeps_its_numbers_through_hold_and_codec_change() {
    let mut call = call(Codec::Pcmu, false, CALM, 6);
    call.run(1_000, babble);
    let mut held = plan(0, Codec::Pcmu, Codec::Pcmu, false);
    held.direction = Direction::Inactive;
    call.sessions[0].update(call.now, held).unwrap();
    let before = call.packets[0].len();
    call.run(1_000, babble);
    assert_eq!(call.packets[0].len(), before, "nothing is sent on hold");
    let quality = call.sessions[0].quality(call.now).inbound;
    assert!(call.sessions[0].counters().on_hold > 45 && quality.packets > 95, "received, counted, not played");
    assert!(call.heard[0][call.heard[0].len() - 4_000..].iter().all(|&sample| sample == 0));
    // Back, with A-law.
    call.sessions[0].update(call.now, plan(0, Codec::Pcma, Codec::Pcmu, false)).unwrap();
    let mut both = plan(1, Codec::Pcmu, Codec::Pcmu, false);
    both.receive.push((8, Codec::Pcma));
    call.sessions[1].update(call.now, both).unwrap();
    call.run(2_000, babble);
    let number = |packet: &[u8]| u16::from_be_bytes([packet[2], packet[3]]);
    let time = |packet: &[u8]| u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
    let (last, next) = (&call.packets[0][before - 1], &call.packets[0][before]);
    assert_eq!(number(next).wrapping_sub(number(last)), 1);
    assert_eq!(time(next).wrapping_sub(time(last)), 51 * 160, "time went on");
    assert_eq!((next[1], last[1] & 0x7F), (0x80 | 8, 0), "marker, A-law");
    assert_eq!(next[8..12], last[8..12], "one source");
    let end = call.said[0].len();
    assert!(alikeness(&call.said[0][end - 14_000..end - 2_000], &call.heard[1][end - 14_000..], 8_000) > 0.95);
    let quality = call.sessions[1].quality(call.now).inbound;
    assert_eq!((quality.lost, quality.late), (0, 0), "a hold is no loss");
}

/// RFC 6263: while nothing is said, something leaves the RTP port at least every 15 s.
#[test]
fn a_silent_stream_keeps_its_way_through_translators_open() {
    for (keyed, direction) in [(false, Direction::Inactive), (false, Direction::RecvOnly), (true, Direction::Inactive)]
    {
        let mut call = call(Codec::Pcmu, keyed, CALM, 16);
        call.run(1_000, babble);
        let mut held = plan(0, Codec::Pcmu, Codec::Pcmu, keyed);
        held.direction = direction;
        call.sessions[0].update(call.now, held).unwrap();
        let before = call.packets[0].len();
        call.run(50_000, babble);
        let kept = &call.packets[0][before..];
        assert_eq!(kept.len(), 3, "one every 15 s");
        let last = &call.packets[0][before - 1];
        let number = |packet: &[u8]| u16::from_be_bytes([packet[2], packet[3]]);
        for (nth, packet) in (1..).zip(kept) {
            assert_eq!(packet[1], 127, "a payload type that nobody agreed on, and no marker");
            assert_eq!(number(packet).wrapping_sub(number(last)), nth, "numbered as all others");
            assert_eq!(packet.len(), if keyed { 12 + 10 } else { 12 }, "empty, but for what authenticates it");
        }
        assert_eq!(call.sessions[1].counters().srtp.auth_failed, 0);
        let quality = call.sessions[1].quality(call.now).inbound;
        assert_eq!((quality.lost, quality.late), (0, 0));
        // The voice comes back as if nothing had been.
        call.sessions[0].update(call.now, plan(0, Codec::Pcmu, Codec::Pcmu, keyed)).unwrap();
        call.run(3_000, babble);
        let end = call.said[0].len();
        assert!(alikeness(&call.said[0][end - 14_000..end - 2_000], &call.heard[1][end - 14_000..], 8_000) > 0.95);
    }
}

/// RFC 6263 section 5: RTCP on the same port does it by itself.
#[test]
fn with_rtcp_on_the_same_port_nothing_else_is_needed() {
    let mut plans = [plan(0, Codec::Pcmu, Codec::Pcmu, false), plan(1, Codec::Pcmu, Codec::Pcmu, false)];
    for (side, plan) in plans.iter_mut().enumerate() {
        (plan.rtcp_mux, plan.remote_rtcp, plan.direction) = (true, address(1 - side), Direction::Inactive);
    }
    let mut call = Call::new(plans, CALM, 17);
    call.run(60_000, babble);
    assert!(call.packets.iter().all(Vec::is_empty), "no RTP");
    let sent = call.sessions.each_ref().map(|session| session.counters().rtcp_sent);
    assert!(sent.iter().all(|sent| *sent >= 60 / 15), "{sent:?}");
}

#[test]
fn keys_may_change_and_may_stay() {
    let mut call = call(Codec::Pcmu, true, CALM, 8);
    call.run(1_000, babble);
    // The same plan again: contexts go on, so nothing is refused as replayed and nothing is lost.
    call.sessions[0].update(call.now, plan(0, Codec::Pcmu, Codec::Pcmu, true)).unwrap();
    call.run(1_000, babble);
    assert_eq!(call.sessions[1].counters().srtp.auth_failed, 0);
    // New keys on both sides, told to one of them a tenth of a second after the other, as by a 200 on its way.
    let mut plans = [plan(0, Codec::Pcmu, Codec::Pcmu, true), plan(1, Codec::Pcmu, Codec::Pcmu, true)];
    for (side, plan) in plans.iter_mut().enumerate() {
        let keys = plan.srtp.as_mut().unwrap();
        keys.local = MasterKey(vec![side as u8 + 40; 30]);
        keys.remote = MasterKey(vec![(1 - side) as u8 + 40; 30]);
    }
    let [theirs, ours] = plans;
    call.sessions[1].update(call.now, ours).unwrap();
    call.run(100, babble);
    call.sessions[0].update(call.now, theirs).unwrap();
    call.run(1_900, babble);
    for session in &call.sessions {
        let counters = session.counters().srtp;
        assert_eq!((counters.auth_failed, counters.replayed), (0, 0), "{counters:?}");
        let heard = session.quality(call.now).inbound;
        assert!(heard.packets > 190 && (heard.lost, heard.late) == (0, 0), "no gap: {heard:?}");
        assert!(session.counters().playout.made_up < Duration::from_millis(45), "{:?}", session.counters().playout);
    }
    assert!(alike(&call, 0) > 0.95 && alike(&call, 1) > 0.95);
    // Three seconds later the old key opens nothing any more.
    call.run(3_000, babble);
    let old = plan(0, Codec::Pcmu, Codec::Pcmu, true).srtp.unwrap();
    let mut forger = Outgoing::new(old.suite, &old.local).unwrap();
    let mut packet = vec![0x80, 0, 0x7F, 0xF0, 0, 0, 0, 0, 7, 7, 7, 7];
    packet.extend([0xFF; 160]);
    let forged = forger.protect_rtp(&packet).unwrap().to_vec();
    call.fly(1, address(0), Component::Rtp, forged, 0.0);
    call.run(100, babble);
    assert_eq!(call.sessions[1].counters().srtp.auth_failed, 1);
    let mut short = plan(0, Codec::Pcmu, Codec::Pcmu, true);
    short.srtp.as_mut().unwrap().local = MasterKey(vec![1; 16]);
    assert!(call.sessions[0].update(call.now, short).is_err());
    call.run(200, babble);
    assert_eq!(call.sessions[1].counters().srtp.auth_failed, 1, "the old plan goes on");
}

#[test]
fn the_far_end_is_found_behind_its_translator_and_nobody_else_is() {
    let mut call = call(Codec::Pcmu, false, CALM, 9);
    // Side 1 is seen under another address than its SDP says, and reachable only there.
    let real = "198.51.100.7:61000".parse().unwrap();
    call.addresses[1] = real;
    call.run(1_000, babble);
    assert!(call.events[0].contains(&Event::RemoteLearned { component: Component::Rtp, address: real }));
    assert!(call.sessions[1].quality(call.now).inbound.packets > 40, "what we send arrives there");
    // A stranger replays what it saw, and invents some more.
    let stranger = "203.0.113.66:5555".parse().unwrap();
    for n in 0..200 {
        let mut packet = call.packets[1].last().unwrap().clone();
        packet[3] = packet[3].wrapping_add(n);
        packet[11] = 0x77;
        call.fly(0, stranger, Component::Rtp, packet, f64::from(n));
    }
    call.run(1_000, babble);
    let counters = call.sessions[0].counters();
    assert_eq!(counters.strangers, 200, "{counters:?}");
    assert!(!call.events[0].iter().any(|event| matches!(event, Event::SourceChanged { .. })));
    assert_eq!(call.sessions[0].quality(call.now).inbound.lost, 0);
}

#[test]
fn plain_packets_are_nothing_to_a_keyed_call() {
    let mut call = call(Codec::Pcmu, true, CALM, 10);
    call.run(500, babble);
    let mut plain = vec![0x80, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4];
    plain.extend([0xFF; 160]);
    for n in 0..50 {
        call.fly(0, address(1), Component::Rtp, plain.clone(), f64::from(n));
    }
    call.run(2_000, babble);
    let counters = call.sessions[0].counters();
    assert_eq!(counters.srtp.auth_failed, 50);
    assert!(alike(&call, 0) > 0.9);
}

#[test]
fn a_call_without_sound_says_nothing_of_quality() {
    let mut call = call(Codec::Pcmu, false, Weather { loss: 1.0, ..CALM }, 1);
    call.run(3_000, babble);
    let quality = call.sessions[0].quality(call.now).inbound;
    assert_eq!((quality.packets, quality.mos, quality.loss_percent, quality.buffer_ms), (0, None, None, None));
    assert!(call.heard[0].iter().all(|&sample| sample == 0));
}

#[test]
fn goodbye_is_said_and_heard() {
    for rtcp_mux in [false, true] {
        let mut plans = [plan(0, Codec::Pcmu, Codec::Pcmu, true), plan(1, Codec::Pcmu, Codec::Pcmu, true)];
        for plan in &mut plans {
            plan.rtcp_mux = rtcp_mux;
        }
        let mut call = Call::new(plans, CALM, 3);
        call.run(2_000, babble);
        call.sessions[0].close(call.now);
        assert_eq!(call.sessions[0].poll_timeout(), None);
        call.run(200, babble);
        assert!(call.events[1].contains(&Event::RemoteBye), "mux {rtcp_mux}: {:?}", call.events[1]);
        let sent = call.packets[0].len();
        call.run(1_000, babble);
        assert_eq!(call.packets[0].len(), sent, "nothing after goodbye");
        assert_eq!(call.sessions[0].quality(call.now).outbound.packets, sent as u64);
    }
}

#[expect(clippy::disallowed_methods, reason = "an anchor that virtual time is added to")]
fn certificate() -> Identity {
    Identity::generate(std::time::Instant::now()).unwrap()
}

/// Plans of a call whose keys a handshake agrees on; side 0 begins.
fn by_handshake(shown: [&Identity; 2], mux: bool) -> [Plan; 2] {
    [0, 1].map(|side| {
        let plain = plan(side, Codec::Pcmu, Codec::Pcmu, false);
        let dtls = Dtls {
            role: if side == 0 { Role::Client } else { Role::Server },
            fingerprints: vec![shown[1 - side].fingerprint().clone()],
            tls_id: None,
            suites: Vec::new(),
        };
        Plan {
            dtls: Some(dtls),
            rtcp_mux: mux,
            remote_rtcp: if mux { plain.remote_rtp } else { plain.remote_rtcp },
            ..plain
        }
    })
}

#[test]
fn keys_of_a_handshake_lock_and_unlock_the_call() {
    for mux in [true, false] {
        let own = [certificate(), certificate()];
        let plans = by_handshake([&own[0], &own[1]], mux);
        let mut call = Call::between(own.map(Some), plans, CALM, 3);
        assert!(call.sessions.iter().all(|session| session.is_locked()));
        call.run(8_000, babble);
        for side in 0..2 {
            let events = &call.events[side];
            assert!(matches!(events[0], Event::Secured { suite: SrtpSuite::AesCm128HmacSha1_80 }), "{events:?}");
            let counters = call.sessions[side].counters();
            assert!(counters.srtp.authentic > 350 && counters.srtp.auth_failed == 0, "mux {mux}: {counters:?}");
            assert_eq!((counters.malformed, counters.strangers, counters.foreign), (0, 0, 0), "{counters:?}");
            assert!(alike(&call, side) > 0.9, "mux {mux} to {side}: {}", alike(&call, side));
            let outbound = call.sessions[side].quality(call.now).outbound;
            assert!(outbound.round_trip_ms.is_some(), "reports pass, too: {outbound:?}");
            // Nothing left before the keys: three round trips of twice the way, and what the ticks round up.
            let late = call.said[side].len() as u64 / 160
                - call.packets[side].iter().filter(|p| p[0] >> 6 == 2).count() as u64;
            assert!((4..=12).contains(&late), "{late} packets before the keys");
        }
    }
}

#[test]
fn the_wrong_certificate_is_neither_heard_nor_spoken_to() {
    let (own, stranger) = ([certificate(), certificate()], certificate());
    let plans = by_handshake([&stranger, &own[1]], true);
    let mut call = Call::between(own.map(Some), plans, CALM, 3);
    call.run(4_000, babble);
    assert!(call.events[1].iter().any(|event| matches!(event, Event::Unsecured(Failed::Fingerprint { .. }))));
    assert!(call.packets[1].iter().all(|packet| packet[0] >> 6 != 2), "not a packet to whoever that is");
    assert!(call.heard[1].iter().all(|sample| *sample == 0), "and none of it is played");
}

/// The same association goes on through a re-INVITE; another certificate makes another, and the old keys hold until then.
#[test]
fn a_new_certificate_brings_new_keys_without_a_gap() {
    let own = [certificate(), certificate()];
    let plans = by_handshake([&own[0], &own[1]], true);
    let mut call = Call::between(own.map(Some), plans.clone(), CALM, 3);
    call.run(3_000, babble);
    for (side, plan) in plans.iter().enumerate() {
        call.sessions[side].update(call.now, plan.clone()).unwrap();
        assert!(!call.sessions[side].is_locked());
    }
    call.run(1_000, babble);
    let secured = |call: &Call| call.events[0].iter().filter(|event| matches!(event, Event::Secured { .. })).count();
    assert_eq!(secured(&call), 1);
    // The handshake is made anew, as after a change of `a=tls-id`.
    for (side, mut plan) in plans.into_iter().enumerate() {
        plan.dtls.as_mut().unwrap().tls_id = Some("another".into());
        call.sessions[side].update(call.now, plan).unwrap();
        assert!(!call.sessions[side].is_locked(), "the old keys hold");
    }
    call.run(4_000, babble);
    assert_eq!(secured(&call), 2);
    for side in 0..2 {
        let quality = call.sessions[side].quality(call.now).inbound;
        assert!(quality.lost <= 1 && alike(&call, side) > 0.9, "{quality:?}");
    }
}

/// The bar of DTLS-SRTP: what the far end says from its very first packet on is heard, also when its first flight comes
/// before its answer, and its packets before our keys.
#[test]
fn nothing_is_lost_at_the_start_when_the_far_end_is_faster_than_its_answer() {
    let own = [certificate(), certificate()];
    let [theirs, ours] = by_handshake([&own[0], &own[1]], true);
    let config = |identity: &Identity| Config { identity: Some(identity.clone()), ..Config::default() };
    let mut far = Session::new(Instant::ZERO, theirs, config(&own[0]), Random::from_seed(1)).unwrap();
    let mut gate = Gate::open(Expected { dtls: Some((own[1].clone(), Vec::new())), ice: None });
    let (mut near, mut now) = (None::<Session>, Instant::ZERO);
    let (mut sent, mut heard, mut first) = (0_u64, 0, None);
    // One way takes no time; signalling takes 400 ms, in which the far end shakes hands and talks.
    for tick in 0..100_u64 {
        now = Instant::from_millis(tick * 20);
        for _ in 0..8 {
            while let Some(transmit) = far.poll_transmit() {
                let octets = transmit.bytes.to_vec();
                sent += u64::from(octets[0] >> 6 == 2 && octets[1] & 0x7f == 0);
                match &mut near {
                    Some(near) => near.handle_packet(now, Component::Rtp, address(0), &octets),
                    None => gate.arrive(now, Component::Rtp, address(0), &octets),
                }
            }
            let mut back = Vec::new();
            while let Some((_, _, octets)) = gate.poll_transmit() {
                back.push(octets);
            }
            while let Some(transmit) = near.as_mut().and_then(|near| near.poll_transmit()) {
                back.push(transmit.bytes.to_vec());
            }
            back.iter().for_each(|octets| far.handle_packet(now, Component::Rtp, address(1), octets));
        }
        far.handle_timeout(now);
        if !far.is_locked() {
            far.capture(now, &[1_000; 160]);
        }
        if tick == 20 {
            let mut session = Session::new(now, ours.clone(), config(&own[1]), Random::from_seed(2)).unwrap();
            session.adopt(now, std::mem::replace(&mut gate, Gate::open(Expected { dtls: None, ice: None })));
            assert!(!session.is_locked(), "the answer is all that was missing");
            near = Some(session);
        }
        if let Some(near) = &mut near {
            let mut out = [0; 160];
            near.playout(now, &mut out);
            heard += 1;
            if out.iter().any(|sample| *sample != 0) {
                first.get_or_insert(heard);
            }
        }
    }
    let near = near.unwrap();
    let quality = near.quality(now).inbound;
    assert!(sent > 90, "the far end talked from the start: {sent}");
    assert_eq!((quality.lost, quality.packets), (0, near.counters().srtp.authentic - near.counters().rtcp_received));
    assert!(quality.packets >= sent - 1, "{quality:?} of {sent}");
    assert!(first.is_some_and(|first| first <= 2), "sound with the answer: {first:?}");
}

/// RFC 4568 section 6.1: the far end says how many packets its key is good for.
#[test]
fn a_key_that_wears_out_is_told_of_and_then_refused() {
    let mut plans = [plan(0, Codec::Pcmu, Codec::Pcmu, true), plan(1, Codec::Pcmu, Codec::Pcmu, true)];
    plans[1].srtp.as_mut().unwrap().remote_lifetime = Some(256);
    let fresh = |plans: &[Plan; 2]| {
        let mut renewed = plans.clone();
        let other = |key: &MasterKey| MasterKey(key.0.iter().map(|octet| octet ^ 0x55).collect());
        for plan in &mut renewed {
            let srtp = plan.srtp.as_mut().unwrap();
            (srtp.local, srtp.remote) = (other(&srtp.local), other(&srtp.remote));
        }
        renewed
    };
    let mut call = Call::new(plans.clone(), CALM, 5);
    call.run(4_400, babble);
    assert!(!call.events[1].contains(&Event::KeyWearsOut), "seven eighths are not used yet");
    call.run(300, babble);
    assert_eq!(call.events[1].iter().filter(|event| **event == Event::KeyWearsOut).count(), 1);
    // A new key in time, and it goes on.
    for (side, plan) in fresh(&plans).into_iter().enumerate() {
        call.sessions[side].update(call.now, plan).unwrap();
    }
    call.run(4_000, babble);
    assert!(!call.events[1].iter().any(|event| matches!(event, Event::KeyWornOut { .. })));
    assert_eq!(call.sessions[1].quality(call.now).inbound.lost, 0);
    // Without one, nothing is taken beyond the far end's own word.
    call.run(4_000, babble);
    assert!(call.events[1].contains(&Event::KeyWornOut { packets: 256 }));
    assert_eq!(call.sessions[0].counters().srtp.too_many_sources, 0, "the other direction has no limit");
    let taken = call.sessions[1].counters().srtp.authentic;
    call.run(2_000, babble);
    assert_eq!(call.sessions[1].counters().srtp.authentic, taken);
}
