//! What an agent asks of its driver and tells its user.

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;

use super::account::AccountId;
use super::outside::News;
use crate::sip::guard::Admission;
use crate::sip::header::Headers;
use crate::sip::hop::{Hop, Transport};
use crate::sip::keepalive::BindingId;
use crate::sip::message::{Method, Status};
use crate::sip::name_addr::NameAddr;
use crate::sip::registration;
use crate::sip::uri::{Host, Uri};
use crate::time::Instant;

/// Names a session (one INVITE and what became of it) for the life of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.0)
    }
}

/// Names a request in a session that is no INVITE, BYE or other request that sessions make by themselves: INFO, REFER,
/// NOTIFY, MESSAGE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Names a question of [`Output::Resolve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResolveId(pub u64);

/// What to do next, in this order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send these bytes: a datagram, or a piece of the stream to `hop.remote`.
    Transmit {
        /// Where to.
        hop: Hop,
        /// A whole message, or a keep-alive.
        bytes: Bytes,
    },
    /// Send a STUN Binding request from the SIP socket to `hop.remote`; what comes back goes to
    /// [`Agent::handle_binding`](super::Agent::handle_binding).
    Binding {
        /// Where to.
        hop: Hop,
        /// Its transaction id.
        id: BindingId,
    },
    /// Close the connection to `hop.remote`: the peer no longer answers on it.
    Disconnect {
        /// Which.
        hop: Hop,
    },
    /// Find where a host is, and which of our addresses it is reached from; answer with
    /// [`Agent::handle_resolved`](super::Agent::handle_resolved), best hop first. Asked for IP addresses too.
    Resolve {
        /// Comes back with the answer.
        id: ResolveId,
        /// The name or address.
        host: Host,
        /// The port, when the URI says one.
        port: Option<u16>,
        /// The transport, when the URI or the account says one; the resolver's choice otherwise (RFC 3263 section 4.1).
        transport: Option<Transport>,
    },
    /// Tell the user.
    Event(Event),
}

/// The answer of a resolver that found nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name does not exist, or has no address.
    #[error("no address found for {0}; check the spelling of the host")]
    NotFound(String),
    /// The name server did not answer in time.
    #[error("the name server did not answer for {0}; check the network")]
    NoAnswer(String),
    /// There is no route or no local address of the right family.
    #[error("no route to {0}; check the network and --bind")]
    NoRoute(String),
    /// The transport is not spoken here.
    #[error("{0} asks for a transport that is not spoken here; use udp, tcp or tls")]
    Transport(String),
    /// Whoever is there is not known to be whom the name means; the whole sentence.
    #[error("{0}")]
    Untrusted(String),
}

/// Whose deed ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// A command of ours.
    Local,
    /// The far end: its BYE, CANCEL or refusal.
    Remote,
    /// Nobody answered in time: no response, no ACK, no command.
    Timeout,
    /// The network: no address, no connection.
    Transport,
}

/// What an agent tells its user.
///
/// ```text
/// outbound:  invite() ─▶ Route ─▶ offer() ─▶ Progress* ─▶ Answered [─▶ ack_answer()] ─▶ Reoffer* ─▶ Ended
/// inbound:   Incoming ─▶ ring()* ─▶ answer() ─▶ Confirmed ─▶ Reoffer* ─▶ Ended
///
/// our change:    reoffer() ─┬─▶ OfferAccepted [─▶ ack_answer()]     the peer's change: Reoffer ─┬─▶ accept_reoffer()
///                   ▲       ├─▶ OfferRefused                                                    └─▶ refuse_reoffer()
///                   └─ OfferDue ◀─ OfferClashed
/// our request:   request() ─▶ Reply                                 the peer's request: Asked ─▶ reply()
/// ```
/// Every session that `invite()` made or `Incoming` announced sees exactly one [`Event::Ended`], and nothing after it.
#[derive(Clone, Debug)]
pub enum Event {
    /// A registration changed its state.
    Registration {
        /// Whose.
        account: AccountId,
        /// The new state, with the reason and the next attempt.
        state: registration::State,
    },
    /// Something happened outside of calls.
    Outside {
        /// With which account; none for a message to nobody whom we know.
        account: Option<AccountId>,
        /// What.
        news: Box<News>,
    },
    /// The way of an outbound session is known; it waits for [`Agent::offer`](super::Agent::offer).
    Route {
        /// Which.
        session: SessionId,
        /// The hop that the INVITE will take first: `hop.local.ip()` is the address that the offer should carry.
        hop: Hop,
    },
    /// A provisional response to our INVITE (never 100).
    Progress {
        /// Which.
        session: SessionId,
        /// 180, 183, …
        status: Status,
        /// The reason phrase as sent.
        reason: String,
        /// The To tag: early answers of different forks differ in it (RFC 3261 section 12.1). Empty when the peer sent none.
        fork: String,
        /// All headers.
        headers: Headers,
        /// An SDP body, when there is one.
        body: Option<Bytes>,
        /// The response is reliable and our INVITE had no offer: `body` is one, and the PRACK waits for
        /// [`Agent::prack_answer`](super::Agent::prack_answer) (RFC 3262 section 5).
        wants_answer: bool,
        /// The response is reliable and `body` answers our offer, and the account wants a say: the PRACK waits for
        /// [`Agent::prack`](super::Agent::prack).
        wants_prack: bool,
    },
    /// Our INVITE was accepted.
    Answered {
        /// Which.
        session: SessionId,
        /// 200.
        status: Status,
        /// The reason phrase as sent.
        reason: String,
        /// The To tag of the fork that won.
        fork: String,
        /// All headers.
        headers: Headers,
        /// An SDP body, when there is one: the answer, or the offer if our INVITE had none.
        body: Option<Bytes>,
        /// Our INVITE had no offer: `body` is one, and the ACK waits for
        /// [`Agent::ack_answer`](super::Agent::ack_answer).
        wants_answer: bool,
        /// The hop that the response came by.
        source: Hop,
    },
    /// Somebody calls. A 100 is on its way when needed; the session waits for `ring`, `answer` or `reject`.
    Incoming {
        /// Which.
        session: SessionId,
        /// Who, whom, and with what.
        invitation: Box<Invitation>,
    },
    /// The ACK for our 2xx came (to the first answer, or to the answer of a [`Event::Reoffer`]).
    Confirmed {
        /// Which.
        session: SessionId,
        /// The SDP body of the ACK: the answer to an offer that our 2xx carried.
        answer: Option<Bytes>,
    },
    /// Our reliable provisional response was acknowledged (PRACK).
    Acknowledged {
        /// Which.
        session: SessionId,
        /// The SDP answer to the offer that our response carried.
        answer: Option<Bytes>,
    },
    /// The far end refers the call elsewhere, and we go there (RFC 3261 section 8.1.3.4).
    Redirected {
        /// Which.
        session: SessionId,
        /// 302, …
        status: Status,
        /// Where we go now.
        target: Uri,
    },
    /// The far end wants to change the session (re-INVITE, UPDATE, or an offer in its PRACK); it waits for
    /// [`Agent::accept_reoffer`](super::Agent::accept_reoffer) or [`Agent::refuse_reoffer`](super::Agent::refuse_reoffer).
    Reoffer {
        /// Which.
        session: SessionId,
        /// The SDP offer; without one our 2xx has to carry an offer.
        offer: Option<Bytes>,
        /// All headers.
        headers: Headers,
    },
    /// The far end took its change back (CANCEL), or nobody answered it in time; the session goes on as it was.
    ReofferWithdrawn {
        /// Which.
        session: SessionId,
    },
    /// The far end accepted the change of [`Agent::reoffer`](super::Agent::reoffer).
    OfferAccepted {
        /// Which.
        session: SessionId,
        /// The SDP answer; the offer, if ours was none.
        body: Option<Bytes>,
        /// We made no offer: `body` is one, and the ACK waits for
        /// [`Agent::ack_answer`](super::Agent::ack_answer).
        wants_answer: bool,
        /// All headers.
        headers: Headers,
    },
    /// The far end refused the change; the session goes on as it was.
    OfferRefused {
        /// Which.
        session: SessionId,
        /// 488, …; 408 or 503 when no answer came.
        status: Status,
        /// The reason phrase.
        reason: String,
        /// All headers (Warning, …).
        headers: Headers,
    },
    /// Both sides wanted a change at once (491), or the far end is busy with another (500 with Retry-After): nothing
    /// changed, and [`Event::OfferDue`] says when to try again (RFC 3261 section 14.1).
    OfferClashed {
        /// Which.
        session: SessionId,
        /// When.
        until: Instant,
    },
    /// The wait after [`Event::OfferClashed`] is over.
    OfferDue {
        /// Which.
        session: SessionId,
    },
    /// The far end sent a request in the session that waits for [`Agent::reply`](super::Agent::reply).
    Asked {
        /// Which.
        session: SessionId,
        /// The request, for the reply.
        request: RequestId,
        /// INFO, …
        method: Method,
        /// All headers.
        headers: Headers,
        /// The body; its type is Content-Type.
        body: Bytes,
    },
    /// The final response to [`Agent::request`](super::Agent::request).
    Reply {
        /// Which.
        session: SessionId,
        /// The request.
        request: RequestId,
        /// The status; 408 or 503 when no response came.
        status: Status,
        /// The reason phrase.
        reason: String,
        /// All headers.
        headers: Headers,
        /// The body.
        body: Bytes,
    },
    /// Our address on the way to the far end is another one now, or the way was gone meanwhile: media have to move there,
    /// and an offer by [`Agent::reoffer`](super::Agent::reoffer) tells the far end, Contact included.
    Moved {
        /// Which.
        session: SessionId,
        /// The address on which media can be received now.
        local: IpAddr,
    },
    /// The far side sees us at another address than before: our Contact, and what the description shows, lead nowhere.
    Readdressed {
        /// Which.
        session: SessionId,
    },
    /// The session is over.
    Ended {
        /// Which.
        session: SessionId,
        /// Whose deed it was.
        by: EndedBy,
        /// The final response to the INVITE, if a response ended it (487 for a cancelled one).
        status: Option<Status>,
        /// The reason: the phrase of `status`, the text of a Reason header, or a sentence of ours.
        reason: String,
        /// The headers of the response, BYE or CANCEL that ended it (Reason, Warning, Retry-After, Contact, …).
        headers: Headers,
    },
}

/// An INVITE that came in.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// The account that the Request-URI, or the peer it came from, belongs to.
    pub account: Option<AccountId>,
    /// The caller.
    pub from: NameAddr,
    /// Whom the caller asked for.
    pub to: NameAddr,
    /// Where the network sent it.
    pub request_uri: Uri,
    /// All headers.
    pub headers: Headers,
    /// The hop that it came by; `source.local.ip()` is the address that the answer should carry.
    pub source: Hop,
    /// The SDP offer; without one the answer carries ours, and theirs comes with [`Event::Confirmed`].
    pub offer: Option<Bytes>,
    /// Why the caller was let in.
    pub admission: Admission,
}
