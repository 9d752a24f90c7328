//! What signalling tells media: addresses, encodings, keys and direction of one call.

use crate::time::Duration;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// An audio codec that Sidetone can send and receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// G.711 mu-law, static payload type 0 (RFC 3551).
    Pcmu,
    /// G.711 A-law, static payload type 8 (RFC 3551).
    Pcma,
    /// G.722 at 64 kbit/s, static payload type 9; 16 kHz audio on an RTP clock of 8000 (RFC 3551 section 4.5.2).
    G722,
    /// Opus, RTP clock 48000 (RFC 7587).
    Opus,
}

impl Codec {
    /// Every codec, in the default order of preference.
    pub const ALL: [Codec; 4] = [Codec::Opus, Codec::G722, Codec::Pcmu, Codec::Pcma];

    /// The encoding name of its rtpmap (RFC 4855: compared without case).
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
        }
    }

    /// RTP clock rate in Hz.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 8_000,
            Codec::Opus => 48_000,
        }
    }

    /// Rate in Hz of the mono audio that goes in and comes out.
    pub const fn sample_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma => 8_000,
            Codec::G722 => 16_000,
            Codec::Opus => 48_000,
        }
    }

    /// Static payload type (RFC 3551), if it has one.
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
            Codec::G722 => Some(9),
            Codec::Opus => None,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A codec name that Sidetone does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown codec \"{0}\"; known are opus, g722, pcmu and pcma")]
pub struct UnknownCodec(pub String);

impl FromStr for Codec {
    type Err = UnknownCodec;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Codec::ALL
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownCodec(name.into()))
    }
}

/// Direction of a stream, seen from our side (RFC 3264 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// We only send.
    SendOnly,
    /// We only receive.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl Direction {
    /// Do we send?
    pub const fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Do we receive?
    pub const fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The same stream seen from the other side.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Direction::SendOnly => Direction::RecvOnly,
            Direction::RecvOnly => Direction::SendOnly,
            both => both,
        }
    }

    /// A direction from its two halves.
    pub const fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// The direction that an SDP attribute of this name says (RFC 8866 section 6.7), if it is one.
    pub fn from_attribute(name: &str) -> Option<Self> {
        [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
            .into_iter()
            .find(|direction| direction.attribute().eq_ignore_ascii_case(name))
    }

    /// The SDP attribute (RFC 8866 section 6.7).
    pub const fn attribute(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
}

/// Opus parameters that a receiver asks its sender to respect (RFC 7587 section 6.1).
///
/// The default is what the RFC says of a receiver that asked nothing. It asks for no in-band FEC, so a sender that gets
/// the default does not add any; Sidetone itself always asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusParameters {
    /// The receiver can use in-band FEC (`useinbandfec=1`).
    pub fec: bool,
    /// The receiver prefers DTX (`usedtx=1`).
    pub dtx: bool,
    /// Highest audio sampling rate that the receiver plays, Hz, 8000 to 48000 (`maxplaybackrate`).
    pub max_playback_rate: u32,
    /// Highest average bit rate that the receiver takes, bit/s, 6000 to 510000 (`maxaveragebitrate`).
    pub max_average_bitrate: Option<u32>,
    /// The receiver prefers stereo (`stereo=1`); a mono sender need not care.
    pub stereo: bool,
    /// The receiver wants constant bit rate (`cbr=1`).
    pub cbr: bool,
}

impl Default for OpusParameters {
    fn default() -> Self {
        Self { fec: false, dtx: false, max_playback_rate: 48_000, max_average_bitrate: None, stereo: false, cbr: false }
    }
}

/// How we encode what we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// The codec.
    pub codec: Codec,
    /// RTP payload type that the far end expects for it.
    pub payload_type: u8,
    /// Audio per packet.
    pub packet_time: Duration,
    /// What the far end asked of an Opus sender; default for other codecs.
    pub opus: OpusParameters,
}

/// Telephone events (RFC 4733).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// RTP payload type.
    pub payload_type: u8,
    /// RTP clock rate in Hz of its durations and timestamps. It is that of the audio codec beside it wherever the far end
    /// has one at that rate; some offer Opus with events at 8000 only.
    pub clock_rate: u32,
}

/// An SRTP protection profile by SDES (RFC 4568 section 6.2, RFC 6188 section 4, RFC 7714 section 14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SrtpSuite {
    /// AEAD_AES_256_GCM.
    AeadAes256Gcm,
    /// AEAD_AES_128_GCM.
    AeadAes128Gcm,
    /// AES_256_CM_HMAC_SHA1_80.
    Aes256CmHmacSha1_80,
    /// AES_256_CM_HMAC_SHA1_32.
    Aes256CmHmacSha1_32,
    /// AES_CM_128_HMAC_SHA1_80.
    AesCm128HmacSha1_80,
    /// AES_CM_128_HMAC_SHA1_32.
    AesCm128HmacSha1_32,
}

impl SrtpSuite {
    /// Every suite.
    pub const ALL: [SrtpSuite; 6] = [
        SrtpSuite::AeadAes256Gcm,
        SrtpSuite::AeadAes128Gcm,
        SrtpSuite::Aes256CmHmacSha1_80,
        SrtpSuite::Aes256CmHmacSha1_32,
        SrtpSuite::AesCm128HmacSha1_80,
        SrtpSuite::AesCm128HmacSha1_32,
    ];

    /// What is offered when nobody says otherwise: the suites of RFC 3711, which everybody knows. More lines would take
    /// an INVITE beyond what fits a datagram.
    pub const USUAL: [SrtpSuite; 2] = [SrtpSuite::AesCm128HmacSha1_80, SrtpSuite::AesCm128HmacSha1_32];

    /// The name in `a=crypto`.
    pub const fn name(self) -> &'static str {
        match self {
            SrtpSuite::AeadAes256Gcm => "AEAD_AES_256_GCM",
            SrtpSuite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            SrtpSuite::Aes256CmHmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            SrtpSuite::Aes256CmHmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            SrtpSuite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            SrtpSuite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// Length of the master key and salt together, octets (`inline:` carries both).
    pub const fn key_and_salt_length(self) -> usize {
        match self {
            SrtpSuite::AeadAes256Gcm => 32 + 12,
            SrtpSuite::AeadAes128Gcm => 16 + 12,
            SrtpSuite::Aes256CmHmacSha1_80 | SrtpSuite::Aes256CmHmacSha1_32 => 32 + 14,
            SrtpSuite::AesCm128HmacSha1_80 | SrtpSuite::AesCm128HmacSha1_32 => 16 + 14,
        }
    }
}

impl fmt::Display for SrtpSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name of a suite that Sidetone does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown SRTP suite \"{0}\"; known are AEAD_AES_256_GCM, AEAD_AES_128_GCM, AES_256_CM_HMAC_SHA1_80, \
     AES_256_CM_HMAC_SHA1_32, AES_CM_128_HMAC_SHA1_80 and AES_CM_128_HMAC_SHA1_32"
)]
pub struct UnknownSrtpSuite(pub String);

impl FromStr for SrtpSuite {
    type Err = UnknownSrtpSuite;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        SrtpSuite::ALL
            .into_iter()
            .find(|suite| suite.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownSrtpSuite(name.into()))
    }
}

/// A master key with its salt; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey(pub Vec<u8>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// The keys of an SRTP call, one per direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srtp {
    /// The suite of both directions.
    pub suite: SrtpSuite,
    /// Protects what we send.
    pub local: MasterKey,
    /// Protects what the far end sends.
    pub remote: MasterKey,
    /// The master key identifier in each packet of the far end (RFC 3711 section 3.1); empty if there is none. What we
    /// send has none.
    pub remote_mki: Vec<u8>,
}

/// Everything that media needs to know to run one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where the far end wants RTP (from its SDP; symmetric RTP may learn another address).
    ///
    /// An unspecified address (`0.0.0.0`, `::`) is a hold of RFC 2543 style (RFC 3264 section 8.4): nothing may be sent
    /// there. `direction` then never says that we send.
    pub remote_rtp: SocketAddr,
    /// Where the far end wants RTCP (the RTP address when multiplexed, else `a=rtcp`, else RTP port + 1); nothing may be
    /// sent to an unspecified address.
    pub remote_rtcp: SocketAddr,
    /// RTP and RTCP share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// Seen from our side.
    pub direction: Direction,
    /// How we encode.
    pub encoding: Encoding,
    /// Payload types that the far end may send, with their codecs; the first is the one it is expected to use. The
    /// numbers may differ from those that we send with (RFC 3264 section 5.1).
    pub receive: Vec<(u8, Codec)>,
    /// Telephone events that we may send: digits 0-9, *, # at least.
    pub send_event: Option<TelephoneEvent>,
    /// Telephone events that the far end may send.
    pub receive_events: Vec<TelephoneEvent>,
    /// Digits are listened for in the audio, since the far end sends them by no better way.
    pub hear_tones: bool,
    /// We have put the far end on hold: music or silence is sent, if anything, and never what the source says.
    pub holding: bool,
    /// Keys, if the call is protected.
    pub srtp: Option<Srtp>,
}
