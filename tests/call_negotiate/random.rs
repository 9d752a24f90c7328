//! Two ends of random configuration: whatever one writes the other takes, and both plans are one call.

use sidetone::call::negotiate::{Local, Negotiation, Rejected, SrtpPolicy, fuzz_negotiation};
use sidetone::media::plan::{Codec, Direction, OpusParameters, Plan};
use sidetone::random::Random;
use sidetone::time::Duration;
use std::net::SocketAddr;

const DIRECTIONS: [Direction; 4] = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];

fn one<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[random.range(0, of.len() as u64) as usize]
}

fn some_local(random: &mut Random, ip: &str) -> Local {
    let port = 1_024 + 2 * random.range(0, 30_000) as u16;
    let mut local = Local::new(SocketAddr::new(ip.parse().unwrap(), port));
    for _ in 0..3 {
        local.codecs.swap(random.range(0, 3) as usize, random.range(0, 3) as usize);
    }
    local.codecs.truncate(random.range(1, 4) as usize);
    local.packet_time = Duration::from_millis(10 * random.range(1, 7));
    local.srtp = one(random, &[SrtpPolicy::Off, SrtpPolicy::Optional, SrtpPolicy::Required]);
    local.telephone_events = random.chance(0.8);
    local.direction = one(random, &DIRECTIONS);
    local.rtcp_mux = random.chance(0.5);
    if random.chance(0.2) {
        local.rtcp.set_port(port + 7);
    }
    local.opus = OpusParameters {
        fec: random.chance(0.5),
        dtx: random.chance(0.5),
        max_playback_rate: one(random, &[8_000, 16_000, 48_000]),
        max_average_bitrate: random.chance(0.5).then_some(24_000),
        stereo: random.chance(0.2),
        cbr: random.chance(0.2),
    };
    local
}

/// Both plans have to be the same call, seen from its two ends.
fn assert_mirror(seed: u64, (a, at): (&Plan, &Local), (b, bt): (&Plan, &Local)) {
    assert_eq!(a.direction, b.direction.reversed(), "seed {seed}");
    assert_eq!(a.rtcp_mux, b.rtcp_mux, "seed {seed}");
    assert_eq!(a.rtcp_mux, at.rtcp_mux && bt.rtcp_mux, "seed {seed}");
    for (plan, own, other, far) in [(a, at, b, bt), (b, bt, a, at)] {
        assert_eq!(plan.remote_rtp, far.rtp, "seed {seed}");
        assert_eq!(plan.remote_rtcp, if plan.rtcp_mux { far.rtp } else { far.rtcp }, "seed {seed}");
        assert_eq!(other.receive[0], (plan.encoding.payload_type, plan.encoding.codec), "seed {seed}");
        assert!(own.codecs.contains(&plan.encoding.codec), "seed {seed}");
        if plan.encoding.codec == Codec::Opus {
            assert_eq!(plan.encoding.opus, far.opus, "seed {seed}");
        }
        assert_eq!(plan.send_event.is_some(), own.telephone_events && far.telephone_events, "seed {seed}");
        if let Some(event) = plan.send_event {
            assert!(other.receive_events.contains(&event), "seed {seed}");
            assert_eq!(event.clock_rate, plan.encoding.codec.clock_rate(), "seed {seed}");
        }
        match (&plan.srtp, &other.srtp) {
            (None, None) => assert!(own.srtp != SrtpPolicy::Required, "seed {seed}"),
            (Some(mine), Some(theirs)) => {
                assert_eq!((mine.suite, &mine.local), (theirs.suite, &theirs.remote), "seed {seed}");
                assert_ne!(mine.local, mine.remote, "seed {seed}");
                assert!(own.srtp != SrtpPolicy::Off, "seed {seed}");
            }
            _ => panic!("seed {seed}: only one end is protected"),
        }
        // Numbers mean one thing each.
        let mut numbers: Vec<u8> = plan.receive.iter().map(|(number, _)| *number).collect();
        numbers.extend(plan.receive_events.iter().map(|event| event.payload_type));
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count, "seed {seed}");
    }
    assert_eq!(a.encoding.codec, b.encoding.codec, "seed {seed}");
    assert_eq!(a.receive, b.receive, "seed {seed}: one number serves both ways in a call between us");
}

#[test]
fn both_ends_come_to_one_call() {
    let mut agreed = 0;
    for seed in 0..3_000 {
        let random = &mut Random::from_seed(seed);
        let (ip_a, ip_b) = one(random, &[("192.0.2.1", "198.51.100.7"), ("2001:db8::1", "2001:db8::7")]);
        let (at, bt) = (some_local(random, ip_a), some_local(random, ip_b));
        let (mut a, mut b) = (Negotiation::new(at.clone(), random), Negotiation::new(bt.clone(), random));
        let offer = a.offer(random);
        let (answer, at_b) = match b.answer(&offer, random) {
            Ok(answered) => answered,
            Err(rejected) => {
                let codecs = at.codecs.iter().all(|codec| !bt.codecs.contains(codec));
                let srtp = matches!(
                    (at.srtp, bt.srtp),
                    (SrtpPolicy::Off, SrtpPolicy::Required) | (SrtpPolicy::Required, SrtpPolicy::Off)
                );
                assert!(codecs || srtp, "seed {seed}: {rejected}");
                assert_eq!(rejected.status(), 488, "seed {seed}");
                continue;
            }
        };
        for ours in [&offer, &answer] {
            // Another reader finds the same in it, line for line.
            let read = sdp_types::Session::parse(ours).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!(read.to_string().as_bytes(), &ours[..], "seed {seed}");
        }
        let at_a = a.answered(&answer).unwrap_or_else(|rejected| panic!("seed {seed}: {rejected}"));
        assert_mirror(seed, (&at_a.plan, &at), (&at_b.plan, &bt));
        agreed += 1;
        life(seed, random, [a, b]);
    }
    assert!(agreed > 1_000, "{agreed}");
}

/// A call goes on: either end holds, resumes, changes codecs or address, or only refreshes.
fn life(seed: u64, random: &mut Random, mut ends: [Negotiation; 2]) {
    for _ in 0..4 {
        ends.swap(0, 1);
        let [offerer, answerer] = &mut ends;
        let before = (offerer.plan().cloned().unwrap(), offerer.description().unwrap());
        let mut local = offerer.local().clone();
        let refresh = match random.range(0, 5) {
            0 => {
                local.direction = one(random, &DIRECTIONS);
                false
            }
            1 => {
                local.codecs.push(one(random, &Codec::ALL));
                local.codecs.rotate_right(1);
                false
            }
            2 => {
                local.rtp.set_port(local.rtp.port() ^ 2);
                local.rtcp.set_port(local.rtp.port() + 1);
                false
            }
            _ => true,
        };
        offerer.set_local(local);
        let offer = offerer.offer(random);
        if random.chance(0.1) {
            offerer.withdraw();
            assert_eq!(offerer.plan(), Some(&before.0), "seed {seed}");
            continue;
        }
        let (answer, theirs) = answerer.answer(&offer, random).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        let ours = offerer.answered(&answer).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        assert_mirror(seed, (&ours.plan, offerer.local()), (&theirs.plan, answerer.local()));
        assert_eq!(ours.plan.srtp, before.0.srtp, "seed {seed}: keys stay");
        // The answer is stable under repetition.
        let (again, same) = answerer.answer(&offer, random).unwrap();
        assert!(again == answer && !same.changed.any(), "seed {seed}");
        assert!(!offerer.answered(&answer).unwrap().changed.any(), "seed {seed}");
        if refresh {
            let next = offerer.offer(random);
            assert_eq!(next, offer, "seed {seed}: nothing new, so the same description");
            offerer.withdraw();
        }
    }
}

#[test]
fn mutated_descriptions_break_no_rule() {
    for seed in 0..1_500 {
        let random = &mut Random::from_seed(seed);
        let mut far = Negotiation::new(some_local(random, "198.51.100.7"), random);
        let mut octets = far.offer(random).to_vec();
        for _ in 0..random.range(0, 10) {
            let lines: Vec<&[u8]> = octets.split_inclusive(|octet| *octet == b'\n').collect();
            let line = random.range(0, lines.len() as u64) as usize;
            let at: usize = lines[..line].iter().map(|line| line.len()).sum();
            let (piece, end) = (lines[line].to_vec(), at + lines[line].len());
            match random.range(0, 4) {
                0 => drop(octets.drain(at..end)),
                1 => drop(octets.splice(at..at, piece)),
                2 => octets[at + random.range(0, piece.len() as u64) as usize] = random.u32() as u8,
                _ => octets.truncate(random.range(at as u64, end as u64) as usize),
            }
            if octets.is_empty() {
                break;
            }
        }
        fuzz_negotiation(&octets);
    }
}

#[test]
fn an_offer_in_the_answer_is_not_our_answer() {
    let random = &mut Random::from_seed(1);
    let mut negotiation = Negotiation::new(some_local(random, "192.0.2.1"), random);
    assert_eq!(negotiation.answered(b"v=0"), Err(Rejected::NoOffer));
    assert!(negotiation.description().is_none() && negotiation.plan().is_none());
}
