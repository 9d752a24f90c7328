//! Bodies of fuzz targets: arbitrary octets from the network, and what must hold whatever they are.
//!
//! They live in the crate so that they keep compiling; a fuzzer only calls them.

use super::packet::{Kind, Packet, kind};
use super::plan::{MasterKey, SrtpSuite};
use super::receive::{Probation, Reception, Verdict};
use super::rtcp::{self, Config, Rtcp};
use super::sequence::Ssrc;
use super::srtp::{Incoming, Outgoing};
use crate::random::Random;
use crate::time::{Duration, Instant, Wall};

/// Datagrams in fuzzer input: each after one octet with its length.
fn datagrams(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first()?;
        let (datagram, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        data = rest;
        Some(datagram)
    })
}

/// RTP packets into one stream. The books of the stream must balance.
pub fn rtp(data: &[u8]) {
    for probation in [Probation::Required, Probation::Waived] {
        let mut reception = Reception::new(probation);
        let mut now = Instant::ZERO;
        for datagram in datagrams(data) {
            now += Duration::from_millis(datagram.len() as u64);
            let Ok(packet) = Packet::parse(datagram) else { continue };
            assert_ne!(kind(datagram), None, "what parses is RTP, or has a payload type of RTCP");
            let clock_rate = (packet.payload_type != 101).then_some(u32::from(packet.payload_type) * 100);
            if let Verdict::Accepted(accepted) = reception.handle(now, &packet, clock_rate)
                && packet.marker
            {
                reception.discarded(accepted.seq);
            }
        }
        let statistics = reception.statistics();
        assert_eq!(statistics.packets + statistics.lost, statistics.expected);
        assert_eq!(statistics.losses.packets, statistics.expected);
        assert_eq!(reception.report().is_some(), statistics.ssrc.is_some());
    }
}

/// RTCP packets into one session, which goes on sending reports that can be read.
pub fn rtcp(data: &[u8]) {
    let config = Config {
        ssrc: Ssrc(1),
        cname: String::from("fuzz"),
        wall: Wall::new(jiff::Timestamp::UNIX_EPOCH),
        bandwidth: 80_000,
    };
    let mut rtcp = Rtcp::new(Instant::ZERO, config, Random::from_seed(1));
    let mut reception = Reception::new(Probation::Waived);
    let mut now = Instant::ZERO;
    for datagram in datagrams(data) {
        if rtcp.handle(now, datagram).is_ok() {
            assert_eq!(kind(datagram), Some(Kind::Rtcp));
        }
        if let Some(due) = rtcp.poll_timeout() {
            now = due;
        }
        if let Some(report) = rtcp.handle_timeout(now, &mut reception) {
            assert!(rtcp::parse(report).is_ok());
        }
    }
}

/// Packets that nobody protected: none may pass, and what we protect passes once.
pub fn srtp(data: &[u8]) {
    for suite in SrtpSuite::ALL {
        let key = MasterKey(vec![7; suite.key_and_salt_length()]);
        let (Ok(mut out), Ok(mut into)) = (Outgoing::new(suite, &key), Incoming::new(suite, &key)) else { return };
        for datagram in datagrams(data) {
            assert!(into.unprotect_rtp(datagram).is_err());
            assert!(into.unprotect_rtcp(datagram).is_err());
        }
        assert_eq!(into.counters().authentic, 0);
        if let Some(datagram) = datagrams(data).next() {
            if let Ok(protected) = out.protect_rtp(datagram) {
                assert_eq!(into.unprotect_rtp(&protected).as_deref(), Ok(datagram));
                assert!(into.unprotect_rtp(&protected).is_err());
            }
            if let Ok(protected) = out.protect_rtcp(datagram) {
                assert_eq!(into.unprotect_rtcp(&protected).as_deref(), Ok(datagram));
                assert!(into.unprotect_rtcp(&protected).is_err());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutated sequences of packets that look real, as a fuzzer would find them.
    fn input(random: &mut Random) -> Vec<u8> {
        let mut data = Vec::new();
        let mut seq = random.u32() as u16;
        for _ in 0..random.range(1, 30) {
            let mut datagram = if random.chance(0.5) {
                seq = seq.wrapping_add(random.range(0, 3) as u16);
                let [s0, s1] = seq.to_be_bytes();
                let ssrc = random.range(1, 3) as u8;
                vec![0x80, 0, s0, s1, 0, 0, 0, 160, 0, 0, 0, ssrc, 1, 2, 3, 4]
            } else {
                let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 2, 0, 0, 0, 1];
                report.extend([0; 20]);
                report.extend([0x81, 202, 0, 2, 0, 0, 0, 2, 1, 1, b'x', 0, 0x81, 203, 0, 1, 0, 0, 0, 2]);
                report
            };
            if random.chance(0.3) {
                for _ in 0..random.range(1, 4) {
                    let at = random.range(0, datagram.len() as u64) as usize;
                    datagram[at] = random.u32() as u8;
                }
            }
            if random.chance(0.1) {
                datagram.truncate(random.range(0, datagram.len() as u64) as usize);
            }
            data.push(datagram.len() as u8);
            data.extend(datagram);
        }
        data
    }

    #[test]
    fn bodies_hold_for_mutated_streams() {
        let mut random = Random::from_seed(77);
        for _ in 0..3_000 {
            let data = input(&mut random);
            rtp(&data);
            rtcp(&data);
            srtp(&data);
        }
    }
}
