//! Offer and answer (RFC 3264): what both ends can do becomes a [`Plan`].
//!
//! ```text
//!                 offer() ──────────▶ offer ──▶ far end
//!  Local ─▶ Negotiation                            │
//!                 answered(answer) ◀───────────────┘       ─▶ Agreement { plan, changed }
//!
//!                 answer(offer) ◀──── offer ◀── far end
//!                        └──────────▶ answer ─▶            ─▶ Agreement { plan, changed }
//! ```
//!
//! A [`Negotiation`] lives as long as its call, so that the next exchange keeps what RFC 3264 section 8 says has to be
//! kept: the session id, the order of the streams, what a payload type means, and keys that nobody changed.
//!
//! One audio stream is used. Everything else that an offer has is answered with port 0.

mod address;
mod answer;
mod capabilities;
mod codecs;
mod dtls;
pub mod fuzz;
mod ice;
mod keys;
mod offer;
mod opus;
mod rejected;

pub use capabilities::capabilities;
pub use fuzz::fuzz_negotiation;
pub use rejected::Rejected;

use crate::media::dtls::Fingerprint;
use crate::media::plan::{Codec, Direction, IceCredentials, OpusParameters, OpusSettings, Plan, SrtpSuite};
use crate::random::Random;
use crate::sdp::{Attribute, Connection, Format, Media, Origin, Session};
use crate::time::Duration;
use bytes::Bytes;
use codecs::PayloadTypes;
use offer::Offered;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// What one end of a call can do and wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Where we take RTP, as the far end can reach it.
    pub rtp: SocketAddr,
    /// Where we take RTCP when it is not multiplexed with RTP.
    pub rtcp: SocketAddr,
    /// Codecs in our order of preference; repetitions count once, and none means all.
    pub codecs: Vec<Codec>,
    /// Audio per packet, if the far end has no wish of its own.
    pub packet_time: Duration,
    /// Encryption of media.
    pub srtp: SrtpPolicy,
    /// SRTP suites that we offer, in this order, and the only ones that we take. None means the two of RFC 3711 in offers
    /// of ours, and all that we know in those of others.
    pub srtp_suites: Vec<SrtpSuite>,
    /// Telephone events (RFC 4733)?
    pub telephone_events: bool,
    /// Which ways we want audio to flow; `SendOnly` puts the far end on hold.
    pub direction: Direction,
    /// RTP and RTCP on one port, if the far end can too (RFC 5761)?
    pub rtcp_mux: bool,
    /// What we ask of a far end that sends Opus.
    pub opus: OpusParameters,
    /// How we send Opus, within what the far end asks.
    pub opus_encoder: OpusSettings,
    /// Say nothing but comfort noise (RFC 3389) in silence, where the far end takes that beside G.711?
    pub comfort_noise: bool,
    /// Say the unspecified address where ours would stand: how old peers are put on hold (RFC 3264 section 8.4).
    pub nowhere: bool,
    /// Our certificate of DTLS-SRTP; none where that cannot be done.
    pub fingerprint: Option<Fingerprint>,
    /// Answer connectivity checks as a lite agent (RFC 8445 section 2.5)?
    pub ice: bool,
    /// Further addresses of ours at which RTP and RTCP arrive; candidates of ICE.
    pub hosts: Vec<(SocketAddr, SocketAddr)>,
}

impl Local {
    /// Everything that we can do, at `rtp`: all codecs, 20 ms, no encryption, telephone events, one port for RTP and RTCP
    /// where possible, RTCP on the next port where not.
    pub fn new(rtp: SocketAddr) -> Self {
        Self {
            rtp,
            rtcp: SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1)),
            codecs: Codec::ALL.to_vec(),
            packet_time: Duration::from_millis(20),
            srtp: SrtpPolicy::Off,
            srtp_suites: Vec::new(),
            telephone_events: true,
            direction: Direction::SendRecv,
            rtcp_mux: true,
            opus: OpusParameters { fec: true, ..OpusParameters::default() },
            opus_encoder: OpusSettings::default(),
            comfort_noise: false,
            nowhere: false,
            fingerprint: None,
            ice: false,
            hosts: Vec::new(),
        }
    }
}

/// Encryption of media (SRTP): with keys in the SDP (RFC 4568), or by a handshake (DTLS-SRTP, RFC 5763).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum SrtpPolicy {
    /// Never: an `RTP/SAVP` offer is refused.
    #[default]
    Off,
    /// Where the far end can: our offers are `RTP/AVP` with keys (RFC 8643), and every offer is taken, with keys if it
    /// has any that we can use.
    Optional,
    /// Always: our offers are `RTP/SAVP`, and one without keys is refused; one of a handshake is taken.
    Required,
    /// Always, by a handshake: our offers are `UDP/TLS/RTP/SAVP`, and one without a fingerprint is refused.
    Dtls,
}

/// A word that is no SRTP policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no SRTP setting; write off, optional, required or dtls")]
pub struct UnknownSrtpPolicy(pub String);

impl FromStr for SrtpPolicy {
    type Err = UnknownSrtpPolicy;
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "off" => Ok(SrtpPolicy::Off),
            "optional" => Ok(SrtpPolicy::Optional),
            "required" => Ok(SrtpPolicy::Required),
            "dtls" => Ok(SrtpPolicy::Dtls),
            _ => Err(UnknownSrtpPolicy(word.into())),
        }
    }
}

impl fmt::Display for SrtpPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SrtpPolicy::Off => "off",
            SrtpPolicy::Optional => "optional",
            SrtpPolicy::Required => "required",
            SrtpPolicy::Dtls => "dtls",
        })
    }
}

/// What may come to our ports before our offer has its answer (RFC 5763 section 6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// A handshake.
    pub dtls: bool,
    /// The suites that it may agree on; none means all.
    pub suites: Vec<SrtpSuite>,
    /// Connectivity checks.
    pub ice: Option<IceCredentials>,
}

/// What an exchange came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// What media does from now on.
    pub plan: Plan,
    /// What is new in it.
    pub changed: Changed,
}

/// What an exchange changed; all of it after the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Changed {
    /// The far end's address, or whether RTP and RTCP share it.
    pub remote: bool,
    /// Which ways audio flows.
    pub direction: bool,
    /// What we send: codec, payload type, packet time or Opus parameters.
    pub encoding: bool,
    /// What we may receive.
    pub receive: bool,
    /// Telephone events, either way.
    pub events: bool,
    /// Keys, how they are agreed on, or whether there are any.
    pub keys: bool,
}

impl Changed {
    /// What differs between two plans of one call.
    pub fn between(before: &Plan, after: &Plan) -> Self {
        Self {
            remote: (before.remote_rtp, before.remote_rtcp, before.rtcp_mux)
                != (after.remote_rtp, after.remote_rtcp, after.rtcp_mux),
            direction: before.direction != after.direction,
            encoding: (before.encoding, before.comfort_noise) != (after.encoding, after.comfort_noise),
            receive: before.receive != after.receive,
            events: (before.send_event, &before.receive_events) != (after.send_event, &after.receive_events),
            keys: (&before.srtp, &before.dtls, &before.ice) != (&after.srtp, &after.dtls, &after.ice),
        }
    }

    const ALL: Changed =
        Changed { remote: true, direction: true, encoding: true, receive: true, events: true, keys: true };

    /// Is anything new?
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// Offer and answer of one call, from its first exchange to its last.
///
/// ```text
///            offer()              answered() ↺ (fork, 200 after 183)
///  Settled ──────────▶ Pending ───────────────▶ Answered
///   ▲  ▲ ↺ answer()       │ withdraw()             │ answer()
///   │  └──────────────────┘                        │
///   └──────────────────────────────────────────────┘
/// ```
#[derive(Clone, Debug)]
pub struct Negotiation {
    local: Local,
    session: u64,
    /// Version of the description that we sent last.
    version: u64,
    exchange: Exchange,
    agreed: Option<Agreed>,
    /// The description that we sent last.
    sent: Option<Session>,
    /// Every stream that the call ever had, in order (RFC 3264 section 8).
    streams: Vec<Stream>,
    payload_types: PayloadTypes,
    ice: ice::Lite,
    /// The next offer has new keys.
    renew_keys: bool,
}

/// Where the exchange stands.
#[derive(Clone, Debug)]
enum Exchange {
    /// No offer of ours is open.
    Settled,
    /// Our offer waits for its answer.
    Pending(Offered),
    /// Our offer has its answer. Another fork may answer it too, and a 200 may differ from the 183 before it.
    Answered(Offered),
}

/// A stream as its `m=` line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stream {
    kind: String,
    protocol: String,
    formats: Vec<String>,
}

/// What the last exchange came to.
#[derive(Clone, Debug)]
struct Agreed {
    plan: Plan,
    /// Which of the streams carries the audio.
    stream: usize,
    protocol: String,
    /// Tag of the `a=crypto` line in use; 1 if there is none.
    tag: u32,
    /// As the far end says it of itself.
    remote_direction: Direction,
}

impl Negotiation {
    /// The first version of our descriptions (RFC 3264 section 5 leaves it open).
    const FIRST_VERSION: u64 = 1;

    /// A call that has exchanged nothing yet.
    pub fn new(local: Local, random: &mut Random) -> Self {
        Self {
            local,
            // 31 bits: some gateways read the session id into a signed 32-bit integer.
            session: u64::from(random.u32() >> 1),
            version: Self::FIRST_VERSION,
            exchange: Exchange::Settled,
            agreed: None,
            sent: None,
            streams: Vec::new(),
            payload_types: PayloadTypes::default(),
            ice: ice::Lite::default(),
            renew_keys: false,
        }
    }

    /// What we can do and want.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// Changes what we can do and want; the next offer or answer says so (hold, another codec, another address).
    pub fn set_local(&mut self, local: Local) {
        self.local = local;
    }

    /// The plan of the last exchange.
    pub fn plan(&self) -> Option<&Plan> {
        self.agreed.as_ref().map(|agreed| &agreed.plan)
    }

    /// Does an offer of ours wait for its answer?
    pub fn is_pending(&self) -> bool {
        matches!(self.exchange, Exchange::Pending(_))
    }

    /// Does the far end not want our audio: did it put us on hold (RFC 3264 section 8.4)?
    pub fn is_held(&self) -> bool {
        self.agreed.as_ref().is_some_and(|agreed| !agreed.remote_direction.receives())
    }

    /// The description that we sent last, for an answer that is repeated (the 200 after a 183).
    pub fn description(&self) -> Option<Bytes> {
        self.sent.as_ref().map(|session| session.to_bytes().into())
    }

    /// The next offer brings new keys, because the old ones wear out.
    pub fn renew_keys(&mut self) {
        self.renew_keys = true;
    }

    /// Does the next offer bring new keys?
    pub(super) fn renews_keys(&self) -> bool {
        self.renew_keys
    }

    /// What a far end may begin with before it has answered our offer: a handshake, connectivity checks.
    pub fn awaited(&self) -> Option<Awaited> {
        let Exchange::Pending(offered) = &self.exchange else { return None };
        let awaited = Awaited { dtls: offered.dtls, suites: dtls::suites(&self.local), ice: offered.ice.clone() };
        (awaited.dtls || awaited.ice.is_some()).then_some(awaited)
    }

    /// Our offer was refused: what was agreed before still holds (RFC 3264 section 8). What [`set_local`](Self::set_local)
    /// changed for it is up to the caller to take back.
    pub fn withdraw(&mut self) {
        if self.is_pending() {
            self.exchange = Exchange::Settled;
        }
    }

    /// Our description with `active` in place of one of the streams. Its version rises if it says something new
    /// (RFC 3264 section 8).
    fn describe(&mut self, stream: usize, active: Media, times: Vec<String>) -> Bytes {
        let attributes = if active.has("ice-ufrag") { ice::session_attributes() } else { Vec::new() };
        let address = self.local.rtp.ip();
        let connection = if self.local.nowhere { address::nowhere(&self.local) } else { address };
        let media = self.streams.iter().enumerate().map(
            |(index, other)| {
                if index == stream { active.clone() } else { other.refused() }
            },
        );
        let mut session = Session {
            origin: self.sent.as_ref().and_then(|sent| sent.origin.clone()),
            name: String::new(),
            connection: Some(Connection::new(connection)),
            times,
            attributes,
            media: media.collect(),
        };
        if self.sent.as_ref().is_some_and(|sent| *sent != session) {
            self.version += 1;
        }
        // Nothing of the origin but its version ever changes, not even when our address does (RFC 3264 section 8).
        let origin = session.origin.get_or_insert_with(|| Origin::new(self.session, self.version, address));
        origin.version = self.version.to_string();
        let octets = session.to_bytes().into();
        self.sent = Some(session);
        octets
    }

    /// Takes up what an exchange came to.
    fn settle(&mut self, agreed: Agreed) -> Agreement {
        let changed = self.plan().map_or(Changed::ALL, |before| Changed::between(before, &agreed.plan));
        let plan = agreed.plan.clone();
        self.agreed = Some(agreed);
        Agreement { plan, changed }
    }
}

impl Stream {
    fn of(media: &Media) -> Self {
        Self { kind: media.kind.clone(), protocol: media.protocol.clone(), formats: media.formats.clone() }
    }

    /// Its `m=` line with port 0 (RFC 3264 section 6).
    fn refused(&self) -> Media {
        Media::new(&self.kind, 0, &self.protocol, self.formats.clone())
    }
}

/// Our `m=audio` line with all that stands below it.
struct Audio<'a> {
    protocol: &'a str,
    formats: Vec<Format>,
    keys: &'a [keys::OwnKey],
    /// What else is said of protection and connectivity.
    also: Vec<Attribute>,
    packet_time: Duration,
    /// Where we take RTCP; `None` if it is settled that it comes with RTP (RFC 5761 section 5.1.1).
    rtcp: Option<SocketAddr>,
    rtcp_mux: bool,
    direction: Direction,
}

impl Audio<'_> {
    fn media(self, local: &Local) -> Media {
        let numbers = self.formats.iter().map(|format| format.payload_type.to_string()).collect();
        let mut media = Media::new("audio", local.rtp.port(), self.protocol, numbers);
        media.attributes.extend(self.formats.iter().flat_map(Format::attributes));
        media.attributes.extend(self.keys.iter().map(keys::OwnKey::attribute));
        media.attributes.push(Attribute::new("ptime", self.packet_time.as_millis().to_string()));
        let next = SocketAddr::new(local.rtp.ip(), local.rtp.port().saturating_add(1));
        if let Some(rtcp) = self.rtcp.filter(|rtcp| *rtcp != next) {
            media.push_rtcp(rtcp);
        }
        if self.rtcp_mux {
            media.attributes.push(Attribute::flag("rtcp-mux"));
        }
        media.attributes.push(Attribute::flag(self.direction.attribute()));
        media.attributes.extend(self.also);
        media
    }
}
