//! Every suite against what networks and forgers do.

use super::*;
use crate::random::Random;

const SUITES: [SrtpSuite; 6] = SrtpSuite::ALL;

/// Octets that a suite adds to RTP and to RTCP.
fn overhead(suite: SrtpSuite) -> (usize, usize) {
    match suite {
        SrtpSuite::AeadAes256Gcm | SrtpSuite::AeadAes128Gcm => (16, 20),
        SrtpSuite::Aes256CmHmacSha1_80 | SrtpSuite::AesCm128HmacSha1_80 => (10, 14),
        SrtpSuite::Aes256CmHmacSha1_32 | SrtpSuite::AesCm128HmacSha1_32 => (4, 14),
    }
}

fn key(suite: SrtpSuite) -> MasterKey {
    MasterKey((0..suite.key_and_salt_length() as u8).collect())
}

fn pair(suite: SrtpSuite) -> (Outgoing, Incoming) {
    let key = key(suite);
    (Outgoing::new(suite, &key).unwrap(), Incoming::new(suite, &key).unwrap())
}

fn rtp(ssrc: u8, seq: u16) -> Vec<u8> {
    let [s0, s1] = seq.to_be_bytes();
    let mut packet = vec![0x80, 0, s0, s1, 0, 0, 0, 0, 0, 0, 0, ssrc];
    packet.extend([0x55; 160]);
    packet
}

const REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 1];

#[test]
fn a_key_has_the_length_of_its_suite() {
    for (suite, length) in SUITES.into_iter().flat_map(|suite| [0, 16, 29, 31, 45].map(|length| (suite, length))) {
        let key = MasterKey(vec![0; length]);
        assert_eq!(Outgoing::new(suite, &key).err(), Some(KeyLength { suite, length }));
        assert_eq!(Incoming::new(suite, &key).err(), Some(KeyLength { suite, length }));
    }
}

#[test]
fn packets_pass_with_tags_of_their_suite() {
    for suite in SUITES {
        let (tag, trailer) = overhead(suite);
        let (mut out, mut into) = pair(suite);
        // CSRCs, a malformed one-byte extension (its element is longer than the extension), no payload.
        let mut odd = vec![0x92, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 9, 9, 8, 8, 8, 8];
        odd.extend([0xbe, 0xde, 0, 1, 0x1f, 0, 0, 0]);
        for packet in [rtp(1, 1), odd] {
            let protected = out.protect_rtp(&packet).unwrap();
            assert_eq!(protected.len(), packet.len() + tag);
            assert!(!protected.windows(16).any(|window| window == [0x55; 16]), "encrypted");
            assert_eq!(into.unprotect_rtp(&protected).unwrap(), packet);
        }
        let protected = out.protect_rtcp(&REPORT).unwrap();
        assert_eq!(protected.len(), REPORT.len() + trailer);
        assert_eq!(into.unprotect_rtcp(&protected).unwrap(), REPORT[..]);
        assert_eq!(into.counters(), Counters { authentic: 3, ..Counters::default() });
    }
}

#[test]
fn changed_and_replayed_packets_are_refused() {
    for suite in SUITES {
        let (mut out, mut into) = pair(suite);
        let protected = out.protect_rtp(&rtp(1, 1)).unwrap();
        let report = out.protect_rtcp(&REPORT).unwrap();
        for bit in 0..protected.len() * 8 {
            let mut changed = protected.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(into.unprotect_rtp(&changed).is_err(), "bit {bit}");
        }
        for bit in 0..report.len() * 8 {
            let mut changed = report.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(into.unprotect_rtcp(&changed).is_err(), "bit {bit}");
        }
        assert_eq!(into.counters().authentic, 0);
        assert!(into.counters().auth_failed > 1_000);
        into.unprotect_rtp(&protected).unwrap();
        into.unprotect_rtcp(&report).unwrap();
        assert_eq!(into.unprotect_rtp(&protected), Err(Refused::Replayed));
        assert_eq!(into.unprotect_rtcp(&report), Err(Refused::Replayed));
        assert_eq!(into.counters().replayed, 2);
    }
}

#[test]
fn packets_with_the_key_identifier_pass_and_others_do_not() {
    for suite in SUITES {
        let (key, mki) = (key(suite), [0, 0, 4, 42]);
        let mut out = Outgoing::new(suite, &key).unwrap();
        let mut into = Incoming::with_mki(suite, &key, &mki).unwrap();
        let marked = |packet: &[u8], tag: usize, mki: &[u8]| {
            let (rest, tag) = packet.split_at(packet.len() - tag);
            [rest, mki, tag].concat()
        };
        // The identifier stands before the tag of RFC 3711, and behind that of RFC 7714, which is part of the payload.
        let gcm = overhead(suite).0 == 16;
        let (tag, report_tag) = if gcm { (0, 0) } else { (overhead(suite).0, 10) };
        let (packet, report) = (out.protect_rtp(&rtp(1, 1)).unwrap(), out.protect_rtcp(&REPORT).unwrap());
        for other in [&[][..], &[0, 0, 4, 43], &[4, 42]] {
            assert_eq!(into.unprotect_rtp(&marked(&packet, tag, other)), Err(Refused::Authentication));
            assert_eq!(into.unprotect_rtcp(&marked(&report, report_tag, other)), Err(Refused::Authentication));
        }
        assert_eq!(into.unprotect_rtp(&marked(&packet, tag, &mki)).unwrap(), rtp(1, 1), "{suite}");
        assert_eq!(into.unprotect_rtcp(&marked(&report, report_tag, &mki)).unwrap(), REPORT[..], "{suite}");
    }
}

#[test]
fn srtcp_that_claims_to_be_plain_is_refused() {
    let (_, mut into) = pair(SrtpSuite::AesCm128HmacSha1_80);
    let mut forged = REPORT.to_vec();
    forged.extend([0, 0, 0, 1]);
    forged.extend([0; 10]);
    assert_eq!(into.unprotect_rtcp(&forged), Err(Refused::Malformed));
    for length in 0..forged.len() {
        assert_eq!(into.unprotect_rtcp(&forged[..length]), Err(Refused::Malformed), "{length} octets");
    }
}

#[test]
fn a_forged_first_packet_does_not_move_the_window() {
    let (mut out, mut into) = pair(SrtpSuite::AesCm128HmacSha1_80);
    let mut forged = rtp(1, 30_000);
    forged.extend([0; 10]);
    assert_eq!(into.unprotect_rtp(&forged), Err(Refused::Authentication));
    for seq in 0..300 {
        let protected = out.protect_rtp(&rtp(1, seq)).unwrap();
        assert!(into.unprotect_rtp(&protected).is_ok(), "{seq}");
        assert_eq!(into.unprotect_rtp(&forged), Err(Refused::Authentication));
    }
}

#[test]
fn sources_are_bounded_and_forged_ones_leave_nothing() {
    let (mut out, mut into) = pair(SrtpSuite::AesCm128HmacSha1_80);
    for ssrc in 0..200 {
        let mut forged = rtp(ssrc, 1);
        forged.extend([0; 10]);
        assert_eq!(into.unprotect_rtp(&forged), Err(Refused::Authentication));
    }
    assert!(into.rtp.0.is_empty());
    for ssrc in 0..40 {
        let protected = out.protect_rtp(&rtp(ssrc, 1)).unwrap();
        let opened = into.unprotect_rtp(&protected);
        assert_eq!(opened.is_ok(), usize::from(ssrc) < MAX_SOURCES, "{ssrc}");
    }
    assert_eq!((into.rtp.0.len(), into.counters().too_many_sources), (MAX_SOURCES, 8));
}

#[test]
fn roll_over_survives_loss_and_reordering() {
    let (mut out, mut into) = pair(SrtpSuite::AesCm128HmacSha1_32);
    let mut random = Random::from_seed(5);
    let mut flight = Vec::new();
    let mut seq = 65_000u16;
    for _ in 0..150_000 {
        seq = seq.wrapping_add(1);
        let mut packet = rtp(1, seq);
        packet.truncate(20);
        flight.push((out.protect_rtp(&packet).unwrap(), packet));
        if random.chance(0.01) {
            flight.pop();
        }
        if flight.len() > 20 {
            let (protected, packet) = flight.swap_remove(random.range(0, 4) as usize);
            assert_eq!(into.unprotect_rtp(&protected).unwrap(), packet);
        }
    }
}

#[test]
fn mutated_packets_never_panic_and_never_pass() {
    for suite in SUITES {
        let (mut out, mut into) = pair(suite);
        let mut random = Random::from_seed(11);
        let mut extended = vec![0x91, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 9, 9, 0xbe, 0xde, 0, 2];
        extended.extend([0x10, 1, 0x21, 1, 2, 0, 0, 0, 5, 5]);
        let seeds = [
            out.protect_rtp(&rtp(1, 1)).unwrap(),
            out.protect_rtp(&extended).unwrap(),
            out.protect_rtcp(&REPORT).unwrap(),
        ];
        for _ in 0..100_000 {
            let mut packet = seeds[random.range(0, 3) as usize].to_vec();
            if random.chance(0.1) {
                packet.resize(random.range(0, 80) as usize, 0);
                random.fill(&mut packet);
            }
            let before = packet.clone();
            for _ in 0..random.range(1, 5) {
                if packet.is_empty() {
                    break;
                }
                let at = random.range(0, packet.len().min(40) as u64) as usize;
                match random.range(0, 4) {
                    0 => packet.truncate(at),
                    1 => packet[at] = random.u32() as u8,
                    2 => packet[at] ^= 1 << random.range(0, 8),
                    _ => packet.insert(at, random.u32() as u8),
                }
            }
            if packet != before {
                assert!(into.unprotect_rtp(&packet).is_err());
                assert!(into.unprotect_rtcp(&packet).is_err());
            }
            let _ = out.protect_rtp(&packet);
            let _ = out.protect_rtcp(&packet);
        }
    }
}
