//! Compound RTCP packets (RFC 3550 section 6), on `rtcp-types` for the octets.

use super::ntp::Ntp;
use crate::media::sequence::{RtpTime, Ssrc};
use rtcp_types::prelude::{RtcpPacketParser, RtcpPacketWriter, RtcpPacketWriterExt};
use rtcp_types::{
    Bye, Compound, Packet, ReceiverReport, ReportBlockBuilder, RtcpWriteError, Sdes, SdesChunk, SdesItem, SenderReport,
};

/// The sender part of a sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// Wall-clock time of the report.
    pub ntp: Ntp,
    /// The same time on the RTP clock.
    pub rtp: RtpTime,
    /// RTP packets sent since the source began; wraps.
    pub packets: u32,
    /// Payload octets sent since the source began; wraps.
    pub octets: u32,
}

/// A reception report on one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source reported on.
    pub ssrc: Ssrc,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the source began; negative when duplicates outweigh losses. 24 bits.
    pub cumulative_lost: i32,
    /// Highest sequence number with its cycles.
    pub extended_highest: u32,
    /// Interarrival jitter in ticks of the RTP clock.
    pub jitter: u32,
    /// [`Ntp::middle`] of the last sender report from the source; 0 if there was none.
    pub last_sr: u32,
    /// Time since then in 1/65536 s.
    pub delay_since_last_sr: u32,
}

/// What one packet of a compound packet tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A sender or receiver report.
    Report {
        /// Who reports.
        ssrc: Ssrc,
        /// There in a sender report.
        sender: Option<SenderInfo>,
        /// What it hears; up to 31 sources.
        blocks: Vec<ReportBlock>,
    },
    /// The canonical name of a source.
    Cname {
        /// The source.
        ssrc: Ssrc,
        /// Its name, mostly `user@host` or random; not always UTF-8.
        name: Vec<u8>,
    },
    /// Sources that leave.
    Bye {
        /// Up to 31 sources.
        ssrcs: Vec<Ssrc>,
    },
}

/// Why octets are no compound RTCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RTCP packet: {0}")]
pub struct Malformed(&'static str);

/// Reads a compound packet after the checks of RFC 3550 A.2: version 2 throughout, a report first, lengths that add up,
/// padding only in the last packet.
///
/// Packet types that Sidetone does not know, and known ones whose content is damaged, are skipped: one bad SDES does
/// not take the report beside it away. Up to three octets after the last packet are ignored: gateways exist that append
/// two.
pub fn parse(datagram: &[u8]) -> Result<Vec<Part>, Malformed> {
    let mut parts = Vec::new();
    let mut rest = datagram;
    loop {
        let Some(&[first, packet_type, l0, l1]) = rest.first_chunk() else {
            return Err(Malformed("it ends within a header"));
        };
        if first >> 6 != 2 {
            return Err(Malformed("its version is not 2"));
        }
        if rest.len() == datagram.len() && !matches!(packet_type, 200 | 201) {
            return Err(Malformed("it does not begin with a report"));
        }
        let length = 4 * (usize::from(u16::from_be_bytes([l0, l1])) + 1);
        let Some((packet, after)) = rest.split_at_checked(length) else {
            return Err(Malformed("its length is beyond its end"));
        };
        if first & 0x20 != 0 && !after.is_empty() {
            return Err(Malformed("it is padded before its end"));
        }
        read(packet, &mut parts);
        if after.len() < 4 {
            return Ok(parts);
        }
        rest = after;
    }
}

fn read(packet: &[u8], parts: &mut Vec<Part>) {
    match Packet::parse(packet) {
        Ok(Packet::Sr(report)) => parts.push(Part::Report {
            ssrc: Ssrc(report.ssrc()),
            sender: Some(SenderInfo {
                ntp: Ntp(report.ntp_timestamp()),
                rtp: RtpTime(report.rtp_timestamp()),
                packets: report.packet_count(),
                octets: report.octet_count(),
            }),
            blocks: report.report_blocks().map(|block| block_of(&block)).collect(),
        }),
        Ok(Packet::Rr(report)) => parts.push(Part::Report {
            ssrc: Ssrc(report.ssrc()),
            sender: None,
            blocks: report.report_blocks().map(|block| block_of(&block)).collect(),
        }),
        Ok(Packet::Sdes(sdes)) => {
            for chunk in sdes.chunks() {
                let cname = chunk.items().find(|item| item.type_() == SdesItem::CNAME);
                parts.extend(cname.map(|item| Part::Cname { ssrc: Ssrc(chunk.ssrc()), name: item.value().to_vec() }));
            }
        }
        Ok(Packet::Bye(bye)) => parts.push(Part::Bye { ssrcs: bye.ssrcs().map(Ssrc).collect() }),
        Ok(_) | Err(_) => {}
    }
}

fn block_of(block: &rtcp_types::ReportBlock<'_>) -> ReportBlock {
    ReportBlock {
        ssrc: Ssrc(block.ssrc()),
        fraction_lost: block.fraction_lost(),
        // 24 bits with sign: shifted up so that the sign extends on the way down.
        cumulative_lost: (block.cumulative_lost() << 8) as i32 >> 8,
        extended_highest: block.extended_sequence_number(),
        jitter: block.interarrival_jitter(),
        last_sr: block.last_sender_report_timestamp(),
        delay_since_last_sr: block.delay_since_last_sender_report_timestamp(),
    }
}

/// A compound packet to send: a report, the CNAME that RFC 3550 section 6.1 asks of each, and a BYE if we leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// Us.
    pub ssrc: Ssrc,
    /// Makes it a sender report.
    pub sender: Option<SenderInfo>,
    /// What we hear.
    pub block: Option<ReportBlock>,
    /// Our canonical name, 255 octets at most.
    pub cname: &'a str,
    /// We leave, for this reason (255 octets at most; may be empty).
    pub bye: Option<&'a str>,
}

/// A CNAME or reason above 255 octets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("RTCP text of more than 255 octets: {0}")]
pub struct TextTooLong(String);

impl Outgoing<'_> {
    /// Replaces the content of `out` by the packet.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), TextTooLong> {
        let mut compound = Compound::builder();
        let block = self.block.map(|block| builder_of(&block));
        if let Some(sender) = self.sender {
            let report = SenderReport::builder(self.ssrc.0)
                .ntp_timestamp(sender.ntp.0)
                .rtp_timestamp(sender.rtp.0)
                .packet_count(sender.packets)
                .octet_count(sender.octets);
            compound = match block {
                Some(block) => compound.add_packet(report.add_report_block(block)),
                None => compound.add_packet(report),
            };
        } else {
            let report = ReceiverReport::builder(self.ssrc.0);
            compound = match block {
                Some(block) => compound.add_packet(report.add_report_block(block)),
                None => compound.add_packet(report),
            };
        }
        let cname = SdesItem::builder(SdesItem::CNAME, self.cname);
        compound = compound.add_packet(Sdes::builder().add_chunk(SdesChunk::builder(self.ssrc.0).add_item(cname)));
        if let Some(reason) = self.bye {
            compound = compound.add_packet(Bye::builder().add_source(self.ssrc.0).reason(reason));
        }
        let too_long = |error: RtcpWriteError| TextTooLong(error.to_string());
        out.clear();
        out.resize(compound.calculate_size().map_err(too_long)?, 0);
        compound.write_into(out).map(drop).map_err(too_long)
    }
}

fn builder_of(block: &ReportBlock) -> ReportBlockBuilder {
    rtcp_types::ReportBlock::builder(block.ssrc.0)
        .fraction_lost(block.fraction_lost)
        .cumulative_lost(block.cumulative_lost as u32 & 0xff_ffff)
        .extended_sequence_number(block.extended_highest)
        .interarrival_jitter(block.jitter)
        .last_sender_report_timestamp(block.last_sr)
        .delay_since_last_sender_report_timestamp(block.delay_since_last_sr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const BLOCK: ReportBlock = ReportBlock {
        ssrc: Ssrc(0x5566_7788),
        fraction_lost: 25,
        cumulative_lost: -3,
        extended_highest: 0x0001_0203,
        jitter: 96,
        last_sr: 0x1234_5678,
        delay_since_last_sr: 0x0001_0000,
    };
    const SENDER: SenderInfo =
        SenderInfo { ntp: Ntp(0xe1a2_b3c4_d5e6_f708), rtp: RtpTime(160), packets: 2, octets: 320 };

    fn outgoing() -> Outgoing<'static> {
        Outgoing { ssrc: Ssrc(7), sender: Some(SENDER), block: Some(BLOCK), cname: "a@b", bye: None }
    }

    #[test]
    fn octets_of_a_compound_packet() {
        let mut out = vec![9; 500];
        Outgoing { sender: None, bye: Some("done"), ..outgoing() }.write(&mut out).unwrap();
        let mut expected = vec![0x81, 201, 0, 7, 0, 0, 0, 7, 0x55, 0x66, 0x77, 0x88, 25, 0xff, 0xff, 0xfd];
        expected.extend([0, 1, 2, 3, 0, 0, 0, 96, 0x12, 0x34, 0x56, 0x78, 0, 1, 0, 0]);
        expected.extend([0x81, 202, 0, 3, 0, 0, 0, 7, 1, 3, b'a', b'@', b'b', 0, 0, 0]);
        expected.extend([0x81, 203, 0, 3, 0, 0, 0, 7, 4, b'd', b'o', b'n', b'e', 0, 0, 0]);
        assert_eq!(out, expected);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        Outgoing { bye: Some(""), ..outgoing() }.write(&mut out).unwrap();
        assert_eq!(
            parse(&out).unwrap(),
            [
                Part::Report { ssrc: Ssrc(7), sender: Some(SENDER), blocks: vec![BLOCK] },
                Part::Cname { ssrc: Ssrc(7), name: b"a@b".to_vec() },
                Part::Bye { ssrcs: vec![Ssrc(7)] },
            ]
        );
        Outgoing { sender: None, block: None, ..outgoing() }.write(&mut out).unwrap();
        assert_eq!(parse(&out).unwrap()[0], Part::Report { ssrc: Ssrc(7), sender: None, blocks: vec![] });
        let long = "x".repeat(256);
        assert!(Outgoing { cname: &long, ..outgoing() }.write(&mut out).is_err());
    }

    #[test]
    fn unknown_and_damaged_packets_are_skipped() {
        let mut out = Vec::new();
        outgoing().write(&mut out).unwrap();
        let reports = parse(&out).unwrap();
        out.extend([0x80, 207, 0, 1, 0, 0, 0, 7, 0x80, 210, 0, 0]);
        // An SDES whose item reaches beyond its chunk, and a BYE that names more sources than it holds.
        out.extend([0x81, 202, 0, 2, 0, 0, 0, 7, 1, 200, 0, 0, 0x9f, 203, 0, 1, 0, 0, 0, 7]);
        out.extend([0x81, 203, 0, 1, 0, 0, 0, 9]);
        let parts = parse(&out).unwrap();
        assert_eq!(parts[..2], reports);
        assert_eq!(parts[2..], [Part::Bye { ssrcs: vec![Ssrc(9)] }]);
    }

    #[test]
    fn the_checks_of_a2() {
        let mut out = Vec::new();
        outgoing().write(&mut out).unwrap();
        let changed = |at: usize, value: u8| {
            let mut octets = out.clone();
            octets[at] = value;
            parse(&octets).err()
        };
        assert_eq!(parse(&[]), Err(Malformed("it ends within a header")));
        assert_eq!(changed(0, 0x41), Some(Malformed("its version is not 2")));
        assert_eq!(changed(52, 0x01), Some(Malformed("its version is not 2")), "the second packet");
        assert_eq!(changed(1, 203), Some(Malformed("it does not begin with a report")));
        assert_eq!(changed(0, 0xa1), Some(Malformed("it is padded before its end")));
        assert_eq!(changed(3, 40), Some(Malformed("its length is beyond its end")));
        assert_eq!(parse(&out[..out.len() - 1]), Err(Malformed("its length is beyond its end")));
        assert_eq!(parse(&out[..3]), Err(Malformed("it ends within a header")));
        let report = parse(&out[..52]).unwrap();
        for stray in 1..4 {
            assert_eq!(parse(&out[..52 + stray]).as_ref(), Ok(&report), "{stray} octets after it");
        }
    }

    #[test]
    fn mutated_packets_never_panic() {
        let mut random = Random::from_seed(2);
        let mut seed = Vec::new();
        Outgoing { bye: Some("so long"), ..outgoing() }.write(&mut seed).unwrap();
        let mut read = 0;
        for _ in 0..200_000 {
            let mut octets = seed.clone();
            for _ in 0..random.range(1, 6) {
                let at = random.range(0, octets.len() as u64) as usize;
                octets[at] = random.u32() as u8;
            }
            octets.truncate(4 * random.range(1, 30) as usize);
            read += parse(&octets).map_or(0, |parts| parts.len());
        }
        assert!(read > 10_000, "{read}");
    }
}
