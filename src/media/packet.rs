//! RTP packets (RFC 3550 section 5.1), on `rtp-rs` for the octets.
//!
//! ```text
//!   octets ── kind() ──┬─ Rtp  ─▶ Packet::parse ─▶ payload, without header, CSRCs, extension and padding
//!                      ├─ Rtcp ─▶ media::rtcp
//!                      └─ None ─▶ STUN, DTLS or noise
//! ```

use super::sequence::{RtpTime, Seq, Ssrc};
use rtp_rs::{RtpPacketBuilder, RtpReader};

/// Length of an RTP header without CSRCs and extension, octets.
pub const HEADER_LENGTH: usize = 12;

/// What a datagram on a port for RTP and RTCP carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An RTP packet.
    Rtp,
    /// An RTCP packet.
    Rtcp,
}

/// Tells RTP from RTCP on one port: packet types 192 to 223 are RTCP (RFC 5761 section 4).
///
/// `None`: not RTP version 2, so neither; STUN and DTLS begin with other bits (RFC 7983 section 7).
pub fn kind(datagram: &[u8]) -> Option<Kind> {
    match datagram {
        [first, ..] if first >> 6 != 2 => None,
        [_, 192..=223, ..] => Some(Kind::Rtcp),
        [_, _, ..] => Some(Kind::Rtp),
        _ => None,
    }
}

/// Why octets are no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than its header says.
    #[error("an RTP packet of {0} octets ends within its header")]
    Truncated(usize),
    /// Not version 2.
    #[error("RTP version {0}; only version 2 exists on the wire today")]
    Version(u8),
    /// The padding count is zero or reaches into the header.
    #[error("an RTP padding of {0} octets does not fit into the packet")]
    Padding(u8),
}

/// A received RTP packet; borrows its payload from the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// First packet of a talk spurt (audio), first packet of an event (RFC 4733).
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub seq: Seq,
    /// Sampling instant of the first sample.
    pub timestamp: RtpTime,
    /// The sender.
    pub ssrc: Ssrc,
    /// The payload alone; may be empty.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet. CSRCs and a header extension are skipped, padding is cut off.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        use rtp_rs::RtpReaderError;
        let reader = RtpReader::new(datagram).map_err(|error| match error {
            RtpReaderError::UnsupportedVersion(version) => Malformed::Version(version),
            RtpReaderError::PaddingLengthInvalid(length) => Malformed::Padding(length),
            RtpReaderError::BufferTooShort(_) | RtpReaderError::HeadersTruncated { .. } => {
                Malformed::Truncated(datagram.len())
            }
        })?;
        Ok(Self {
            marker: reader.mark(),
            payload_type: reader.payload_type(),
            seq: Seq(reader.sequence_number().into()),
            timestamp: RtpTime(reader.timestamp()),
            ssrc: Ssrc(reader.ssrc()),
            payload: reader.payload(),
        })
    }
}

/// A payload type above 127.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("RTP payload type {0} does not exist; use 0 to 127")]
pub struct PayloadTypeTooLarge(pub u8);

/// The header of a packet to send: no CSRCs, no extension, no padding (their builders in `rtp-rs` panic above 15
/// CSRCs and leave stale octets in the padding).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// First packet of a talk spurt (audio), first packet of an event (RFC 4733).
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub seq: Seq,
    /// Sampling instant of the first sample.
    pub timestamp: RtpTime,
    /// The sender: us.
    pub ssrc: Ssrc,
}

impl Header {
    /// Replaces the content of `out` by the packet; allocates only while `out` still grows.
    pub fn write(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), PayloadTypeTooLarge> {
        out.clear();
        out.resize(HEADER_LENGTH + payload.len(), 0);
        RtpPacketBuilder::new()
            .marked(self.marker)
            .payload_type(self.payload_type)
            .sequence(self.seq.0.into())
            .timestamp(self.timestamp.0)
            .ssrc(self.ssrc.0)
            .payload(payload)
            .build_into(out)
            .map(drop)
            .map_err(|_| PayloadTypeTooLarge(self.payload_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const HEADER: Header = Header {
        marker: true,
        payload_type: 111,
        seq: Seq(0xfffe),
        timestamp: RtpTime(0xdead_beef),
        ssrc: Ssrc(0x0102_0304),
    };

    #[test]
    fn what_is_written_is_read() {
        let mut octets = vec![0xff; 2000];
        HEADER.write(b"speech", &mut octets).unwrap();
        assert_eq!(octets.len(), 18);
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(
            packet,
            Packet {
                marker: true,
                payload_type: 111,
                seq: Seq(0xfffe),
                timestamp: RtpTime(0xdead_beef),
                ssrc: Ssrc(0x0102_0304),
                payload: b"speech",
            }
        );
        let refused = Header { payload_type: 128, ..HEADER }.write(b"", &mut octets);
        assert_eq!(refused, Err(PayloadTypeTooLarge(128)));
    }

    #[test]
    fn csrcs_extension_and_padding_are_no_payload() {
        // V=2 P=1 X=1 CC=2; two CSRCs; a one-word extension; "ab"; two octets of padding.
        let mut octets = vec![0xb2, 0x80, 0, 7, 0, 0, 0, 160, 0, 0, 0, 9];
        octets.extend([1, 1, 1, 1, 2, 2, 2, 2]);
        octets.extend([0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]);
        octets.extend(b"ab");
        octets.extend([0, 2]);
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(packet.payload, b"ab");
        assert_eq!((packet.marker, packet.payload_type, packet.seq), (true, 0, Seq(7)));
    }

    #[test]
    fn malformed_packets_say_why() {
        assert_eq!(Packet::parse(&[0x80; 11]), Err(Malformed::Truncated(11)));
        assert_eq!(Packet::parse(&[0x40; 20]), Err(Malformed::Version(1)));
        let mut padded = [0; 14];
        padded[0] = 0xa0;
        assert_eq!(Packet::parse(&padded), Err(Malformed::Padding(0)));
        padded[13] = 3;
        assert_eq!(Packet::parse(&padded), Err(Malformed::Padding(3)));
        assert_eq!(Packet::parse(&[0x8f; 20]), Err(Malformed::Truncated(20)), "15 CSRCs do not fit");
        let mut extended = [0; 16];
        extended[0] = 0x90;
        extended[14] = 0xff;
        assert_eq!(Packet::parse(&extended), Err(Malformed::Truncated(16)), "the extension is longer than the packet");
    }

    #[test]
    fn one_port_carries_both() {
        assert_eq!(kind(&[0x80, 0]), Some(Kind::Rtp));
        assert_eq!(kind(&[0x80, 0x80 | 63]), Some(Kind::Rtp), "marker bit and payload type 63");
        assert_eq!(kind(&[0x80, 0x80 | 96]), Some(Kind::Rtp));
        assert_eq!(kind(&[0x81, 200]), Some(Kind::Rtcp));
        assert_eq!(kind(&[0x80, 223]), Some(Kind::Rtcp));
        assert_eq!(kind(&[0x00, 0x01]), None, "STUN");
        assert_eq!(kind(&[22, 254]), None, "DTLS");
        assert_eq!(kind(&[0x80]), None);
        assert_eq!(kind(&[]), None);
    }

    #[test]
    fn random_octets_never_panic() {
        let mut random = Random::from_seed(3);
        let mut octets = [0; 64];
        let mut parsed = 0;
        for _ in 0..200_000 {
            let length = random.range(0, 65) as usize;
            random.fill(&mut octets[..length]);
            if random.chance(0.9) {
                octets[0] = 0x80 | octets[0] & 0x3f;
            }
            if let Ok(packet) = Packet::parse(&octets[..length]) {
                assert!(packet.payload.len() <= length - HEADER_LENGTH);
                parsed += 1;
            }
        }
        assert!(parsed > 10_000, "{parsed}");
    }
}
