//! What signalling tells media: addresses, encodings, keys and direction of one call.

mod codec;
mod opus;

pub use codec::{Codec, L16Rate, UnknownCodec};
pub use opus::{OpusApplication, OpusParameters, OpusSettings, OpusWish, UnknownOpusWish};

use super::dtls::{Fingerprint, Role};
use crate::time::Duration;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

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
    /// What we want of our Opus encoder, within what the far end asked.
    pub opus_encoder: OpusSettings,
}

impl Encoding {
    /// `codec` as payload type `payload_type` in packets of `packet_time`; of Opus, what nobody asked otherwise.
    pub fn new(codec: Codec, payload_type: u8, packet_time: Duration) -> Self {
        let (opus, opus_encoder) = (OpusParameters::default(), OpusSettings::default());
        Self { codec, payload_type, packet_time, opus, opus_encoder }
    }
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
    /// Packets that the far end may protect with its key (RFC 4568 section 6.1), if it says so.
    pub remote_lifetime: Option<u64>,
}

/// Keys by a handshake on the media ports (DTLS-SRTP, RFC 5763).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dtls {
    /// Who begins.
    pub role: Role,
    /// What the far end says of its certificate.
    pub fingerprints: Vec<Fingerprint>,
    /// Names the association (RFC 8842 section 5.2), if the far end does: another is another association.
    pub tls_id: Option<String>,
    /// SRTP suites that may be agreed on, in our order of preference; none means all that DTLS knows.
    pub suites: Vec<SrtpSuite>,
}

/// Connectivity checks that the far end makes (RFC 8445); we answer as a lite agent.
#[derive(Clone, PartialEq, Eq)]
pub struct Ice {
    /// What the far end has to know of us.
    pub local: IceCredentials,
    /// The far end's name for itself.
    pub remote_user: String,
    /// It makes no checks either (RFC 8445 section 6.1.1).
    pub remote_lite: bool,
}

impl fmt::Debug for Ice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ice({}:{})", self.local.user, self.remote_user)
    }
}

/// `a=ice-ufrag` and `a=ice-pwd` (RFC 8839 section 5.4); the password is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// User name fragment.
    pub user: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IceCredentials({}, …)", self.user)
    }
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
    /// While nothing is said, only comfort noise is sent (RFC 3389), as this payload type; `None`: silence is sent like
    /// everything else.
    pub comfort_noise: Option<u8>,
    /// Telephone events that we may send: digits 0-9, *, # at least.
    pub send_event: Option<TelephoneEvent>,
    /// Telephone events that the far end may send.
    pub receive_events: Vec<TelephoneEvent>,
    /// Digits are listened for in the audio, since the far end sends them by no better way.
    pub hear_tones: bool,
    /// We have put the far end on hold: music or silence is sent, if anything, and never what the source says.
    pub holding: bool,
    /// Keys, if the call is protected; those of a handshake are not in the plan that media gets.
    pub srtp: Option<Srtp>,
    /// How keys are agreed on, if by a handshake: nothing is sent or heard before.
    pub dtls: Option<Dtls>,
    /// Connectivity checks, if the far end makes them: it says where media goes.
    pub ice: Option<Ice>,
}
