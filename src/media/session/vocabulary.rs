//! What a session is told and tells.

use crate::media::codec::Unavailable;
use crate::media::dtls::{self, Identity};
use crate::media::dtmf::{Digit, Way};
use crate::media::plan::SrtpSuite;
use crate::media::{jitter, rtcp, srtp};
use crate::time::{Duration, Wall};
use bytes::Bytes;
use std::net::SocketAddr;

/// Which of the two ports of a call; with rtcp-mux (RFC 5761) everything is `Rtp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// The RTP port.
    Rtp,
    /// The RTCP port.
    Rtcp,
}

/// What the owner of a session chooses; everything else comes from the plan.
#[derive(Clone, Debug)]
pub struct Config {
    /// Canonical name in RTCP (RFC 3550 section 6.5.1), the same in every stream of a call.
    pub cname: String,
    /// Where the NTP timestamps of RTCP come from.
    pub wall: Wall,
    /// Jitter buffer.
    pub jitter: jitter::Config,
    /// Who we are in the handshake of DTLS-SRTP; without it such plans cannot be followed.
    pub identity: Option<Identity>,
    /// How long each DTMF digit sounds; at least 40 ms (ITU-T Q.24), and a whole number of packets.
    pub digit_time: Duration,
    /// Silence between two digits.
    pub digit_gap: Duration,
}

impl Default for Config {
    /// The wall clock stands at 1970: NTP timestamps are then right relative to each other, which is all that round
    /// trips need (RFC 3550 section 6.4.1).
    fn default() -> Self {
        Self {
            cname: "sidetone".into(),
            wall: Wall::new(jiff::Timestamp::UNIX_EPOCH),
            jitter: jitter::Config::default(),
            identity: None,
            digit_time: Duration::from_millis(100),
            digit_gap: Duration::from_millis(50),
        }
    }
}

/// A plan that media cannot follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A codec.
    #[error(transparent)]
    Codec(#[from] Unavailable),
    /// A key.
    #[error(transparent)]
    Key(#[from] srtp::KeyLength),
    /// A handshake without a certificate of ours.
    #[error("the call needs DTLS-SRTP, and this phone has no certificate for it")]
    NoCertificate,
}

/// A datagram to send; `bytes` stay valid until the next call of a method of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// From which of our ports.
    pub component: Component,
    /// Where to.
    pub to: SocketAddr,
    /// The payload.
    pub bytes: &'a [u8],
}

/// What the owner of a session may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first valid RTP packet of the call arrived.
    FirstPacket,
    /// The far end's address is another than was known; we send there from now on.
    RemoteLearned {
        /// Of which port.
        component: Component,
        /// Where packets really come from.
        address: SocketAddr,
    },
    /// The far end pressed a key.
    Dtmf {
        /// Which one.
        digit: Digit,
        /// For how long.
        duration: Duration,
        /// As an event, or as tones in its audio.
        way: Way,
    },
    /// A queued digit was sent completely.
    DtmfSent {
        /// Which one.
        digit: Digit,
    },
    /// The far end's stream goes on under another source (RFC 3550 section 8).
    SourceChanged {
        /// Its new SSRC.
        ssrc: u32,
    },
    /// A handshake has agreed on keys: media may flow.
    Secured {
        /// The suite.
        suite: SrtpSuite,
    },
    /// There will be no keys, so nothing is sent or heard; the call should end.
    Unsecured(dtls::Failed),
    /// The far end's key is good for few packets more: it has to send another.
    KeyWearsOut,
    /// The far end's key is used up, so nothing of it is heard any more; the call should end.
    KeyWornOut {
        /// So many packets it was good for.
        packets: u64,
    },
    /// The far end said goodbye by RTCP (RFC 3550 section 6.6).
    RemoteBye,
    /// An RTCP report was sent or taken.
    Report {
        /// We sent it.
        sent: bool,
        /// What it says.
        report: rtcp::Summary,
        /// The compound packet, as it is without SRTCP.
        octets: Bytes,
        /// Over which of our ports.
        component: Component,
        /// Whence, or whither.
        remote: SocketAddr,
    },
}

/// What was dropped and why, and what was done about loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that are neither RTP nor RTCP: STUN, DTLS, noise.
    pub foreign: u64,
    /// Damaged RTP and RTCP.
    pub malformed: u64,
    /// Datagrams from an address that is not the far end's.
    pub strangers: u64,
    /// RTP of a payload type that was not negotiated.
    pub unknown_payload_type: u64,
    /// RTP that was not played because the call is on hold.
    pub on_hold: u64,
    /// RTP whose payload its codec refuses.
    pub undecodable: u64,
    /// RTCP packets taken.
    pub rtcp_received: u64,
    /// RTCP packets sent.
    pub rtcp_sent: u64,
    /// Audio that could not be encoded, packets.
    pub not_encoded: u64,
    /// Datagrams that were not sent: not protectable, or too many unsent before them.
    pub not_sent: u64,
    /// Loss that our encoder reckons with, per cent.
    pub expected_loss: u8,
    /// Packets of comfort noise sent.
    pub noise_sent: u64,
    /// Packets of comfort noise taken.
    pub noise_heard: u64,
    /// SRTP.
    pub srtp: srtp::Counters,
    /// The jitter buffer.
    pub playout: jitter::Statistics,
}
