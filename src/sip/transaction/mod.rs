//! Transactions: a request and its responses (RFC 3261 section 17, with RFC 6026).
//!
//! ```text
//!            send, cancel                        respond
//!   user ─────────┬──────────────────────────────────┬───────── user
//!     ▲           ▼                                  ▼           ▲
//!     │   ┌──────────────┐ by branch and    ┌──────────────┐     │
//!     ├───┤ invite_client│ method           │ invite_server├─────┤
//!     │   │ client       │         by branch,│ server       │     │ Output::Request, Ack,
//!     │   └──────┬───────┘ sent-by and method└──────┬───────┘     │ Cancelled …
//!     │          └──────────────┬──────────────────┘             │
//!     └── Output::Response …    ▼                                 │
//!                        Output::Transmit ▶ network ▶ receive ────┘
//! ```
//!
//! The user of the table never sees a repetition: requests are repeated, repeated requests answered, and rejections of
//! INVITE acknowledged in here. Three things stay with the user, because they outlive the transaction: the ACK to a 2xx,
//! the repetition of a 2xx until that ACK ([`crate::sip::timer::Unacknowledged`]), and the choice between forked 2xx.

mod client;
mod hop_by_hop;
mod inbound;
mod invite_client;
mod invite_server;
mod key;
mod outbound;
mod server;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::header::Headers;
use super::hop::{Hop, Transport};
use super::message::{Message, Method, Request, Response};
use super::timer::{Deadlines, Timers};
use crate::random::Random;
use crate::time::{Duration, Instant};
use inbound::ServerEntry;
pub(crate) use inbound::way_back;
use outbound::ClientEntry;

/// A request that we sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u64);

/// A request that we received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(u64);

/// The bounds of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests of ours under way at once; more are refused.
    pub clients: usize,
    /// Received requests under way at once; more are answered 503 without a transaction.
    pub servers: usize,
    /// How long an INVITE may stay without a new response: one of ours is then cancelled, one that our user forgot is
    /// answered 500. RFC 3261 has no such timer for user agents; without one a lost far end would stay for ever.
    pub ringing: Duration,
    /// Requests above this size in octets go by TCP instead of UDP (RFC 3261 18.1.1: 1300); `usize::MAX` never.
    pub datagram: usize,
    /// How long TCP, chosen because of the size only, may stay silent before UDP is tried after all: firewalls that
    /// swallow connection attempts are common. The branch stays, so that a far end that got both sees a repetition.
    pub connect: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 20_000,
            servers: 20_000,
            ringing: Duration::from_secs(600),
            datagram: 1300,
            connect: Duration::from_secs(4),
        }
    }
}

/// What the table asks for or tells, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these octets; over TCP on the connection to `hop.remote`, opened if there is none.
    Transmit {
        /// The way.
        hop: Hop,
        /// The message.
        bytes: Bytes,
    },
    /// A new request came; answer it with [`Transactions::respond`].
    Request {
        /// Its transaction.
        id: ServerId,
        /// Where it came from.
        source: Hop,
        /// The request, `received` and `rport` filled in.
        request: Request,
        /// The same request is here already by another way (RFC 3261 8.2.2.2): answer 482.
        merged: bool,
    },
    /// An ACK that ends no transaction: it confirms a 2xx, or it is stray.
    Ack {
        /// Where it came from.
        source: Hop,
        /// The ACK.
        request: Request,
    },
    /// CANCEL came, and was answered; the user now answers the INVITE with 487.
    Cancelled {
        /// The INVITE.
        invite: ServerId,
        /// The CANCEL, which may say why (Reason, RFC 3326).
        request: Request,
    },
    /// A response came. After a 2xx to INVITE more 2xx can follow: repetitions, and those of other forks.
    Response {
        /// The request that it answers.
        id: ClientId,
        /// Where it came from.
        source: Hop,
        /// The response.
        response: Response,
    },
    /// A response came that answers no request that is still known, such as a late 2xx.
    StrayResponse {
        /// Where it came from.
        source: Hop,
        /// The response.
        response: Response,
    },
    /// No final response came in time. The transaction is over.
    ClientTimeout {
        /// The request.
        id: ClientId,
        /// The 408 that the request counts as answered with (RFC 3261 8.1.3.1).
        response: Response,
    },
    /// The request could not be sent. The transaction is over.
    TransportFailed {
        /// The request.
        id: ClientId,
        /// The 503 that the request counts as answered with (RFC 3261 8.1.3.1).
        response: Response,
    },
    /// A received request is over without its proper end: nobody acknowledged our rejection of the INVITE (timer H), or
    /// the user never answered the request.
    ServerTimeout {
        /// The request.
        id: ServerId,
    },
}

/// A request that the table does not send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too many requests are under way.
    #[error("{0} requests are under way, which is the limit; try again when some have ended")]
    Full(usize),
    /// The method makes no client transaction of its own.
    #[error("{0} is no request of its own: use send_ack for the ACK to a 2xx and cancel for CANCEL")]
    Method(Method),
}

/// What the table saw and did not pass on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages without a usable top Via, and responses with more Via than ours (RFC 3261 8.1.3.3).
    pub unroutable: u64,
    /// Requests answered 503 because the table was full.
    pub overload: u64,
    /// Requests and responses that we sent again.
    pub resent: u64,
    /// Repetitions that came in and were absorbed.
    pub absorbed: u64,
}

/// The table of all transactions. See the [module](self).
#[derive(Debug)]
pub struct Transactions {
    timers: Timers,
    limits: Limits,
    random: Random,
    next: u64,
    clients: HashMap<ClientId, ClientEntry>,
    responses: HashMap<Arc<str>, ClientId>,
    servers: HashMap<ServerId, ServerEntry>,
    requests: HashMap<Arc<str>, ServerId>,
    merges: HashMap<Arc<str>, ServerId>,
    /// Peers that take no connections, as a large request found out, and until when that is believed.
    datagram_only: HashMap<SocketAddr, Instant>,
    deadlines: Deadlines<Deadline>,
    outputs: VecDeque<Output>,
    counters: Counters,
    /// Room for the key being looked up.
    key: String,
}

/// Whose deadline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deadline {
    Client(ClientId),
    Server(ServerId),
    DatagramOnly(SocketAddr),
}

/// What the timers of one transaction follow from.
#[derive(Clone, Copy, Debug)]
struct Pace {
    timers: Timers,
    reliable: bool,
    ringing: Duration,
}

impl Transactions {
    /// An empty table; `random` makes branches and To tags.
    pub fn new(timers: Timers, limits: Limits, random: Random) -> Self {
        Self {
            timers,
            limits,
            random,
            next: 0,
            clients: HashMap::new(),
            responses: HashMap::new(),
            servers: HashMap::new(),
            requests: HashMap::new(),
            merges: HashMap::new(),
            datagram_only: HashMap::new(),
            deadlines: Deadlines::default(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            key: String::new(),
        }
    }

    /// The timers that the table runs by.
    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Sends a request. The top Via, with a new branch, is added here; the rest is the caller's.
    ///
    /// A request too large for UDP goes by TCP (RFC 3261 18.1.1), and by UDP after all where TCP fails; [`Self::hop`]
    /// tells the way in use.
    pub fn send(&mut self, now: Instant, request: Request, hop: Hop) -> Result<ClientId, SendError> {
        if matches!(request.method, Method::Ack | Method::Cancel) {
            return Err(SendError::Method(request.method));
        }
        if self.clients.len() >= self.limits.clients {
            return Err(SendError::Full(self.limits.clients));
        }
        Ok(self.start_client(now, request, hop))
    }

    /// Sends an ACK to a 2xx, which is no transaction: the top Via is added here, the user sends the returned octets
    /// again on the returned hop for every repeated 2xx (RFC 3261 13.2.2.4).
    pub fn send_ack(&mut self, request: Request, hop: Hop) -> (Hop, Bytes) {
        let prepared = self.prepare(request, hop);
        self.outputs.push_back(Output::Transmit { hop: prepared.hop, bytes: prepared.bytes.clone() });
        (prepared.hop, prepared.bytes)
    }

    /// Cancels an INVITE of ours (RFC 3261 section 9.1): CANCEL goes out at once, or after the first provisional
    /// response. `extra` header fields (Reason) are added to it.
    ///
    /// The INVITE still ends with a final response, which can be a 2xx that crossed, or with
    /// [`Output::ClientTimeout`]; the response to CANCEL itself does not come up. `false`: the INVITE has got its final
    /// response already, there is nothing to cancel.
    pub fn cancel(&mut self, now: Instant, invite: ClientId, extra: &Headers) -> bool {
        self.cancel_client(now, invite, extra)
    }

    /// Answers a received request. A missing To tag is added, the same in every response to it (but for 100). A 2xx to
    /// INVITE can be sent again through here.
    ///
    /// `false`: nothing was sent, because the request has its final response already or is over.
    pub fn respond(&mut self, now: Instant, id: ServerId, response: Response) -> bool {
        self.respond_server(now, id, response)
    }

    /// Takes a message from the network.
    pub fn receive(&mut self, now: Instant, source: Hop, message: Message) {
        match message {
            Message::Request(request) => self.receive_request(now, source, request),
            Message::Response(response) => self.receive_response(now, source, response),
        }
    }

    /// Does the request repeat one that is known, or cancel it?
    pub fn knows(&mut self, request: &Request) -> bool {
        let Ok(via) = request.headers.top_via() else { return false };
        let method = match request.method {
            Method::Ack | Method::Cancel => &Method::Invite,
            ref method => method,
        };
        key::server(request, &via, method, &mut self.key);
        self.requests.contains_key(self.key.as_str())
    }

    /// The transport could not send to `hop`, or the connection broke. `hop.local` does not matter.
    pub fn transport_error(&mut self, now: Instant, hop: Hop) {
        self.clients_unreachable(now, hop);
        self.servers_unreachable(hop);
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first()
    }

    /// Does what is due `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(due) = self.deadlines.due(now) {
            match due {
                Deadline::Client(id) => self.client_timeout(now, id),
                Deadline::Server(id) => self.server_timeout(now, id),
                Deadline::DatagramOnly(peer) => {
                    let at = self.datagram_only.remove(&peer);
                    self.deadlines.change(due, at, None);
                }
            }
        }
    }

    /// The way that a request of ours takes, which for a large one is not the one that it was sent with.
    pub fn hop(&self, id: ClientId) -> Option<Hop> {
        self.clients.get(&id).map(|entry| entry.hop)
    }

    /// The request of ours as it was sent.
    pub fn request(&self, id: ClientId) -> Option<&Request> {
        self.clients.get(&id).map(|entry| &entry.request)
    }

    /// Requests under way: ours, and received ones. Finished ones linger to absorb repetitions.
    pub fn len(&self) -> (usize, usize) {
        (self.clients.len(), self.servers.len())
    }

    /// Is nothing remembered at all?
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
            && self.responses.is_empty()
            && self.servers.is_empty()
            && self.requests.is_empty()
            && self.merges.is_empty()
            && self.datagram_only.is_empty()
            && self.deadlines.is_empty()
    }

    /// What was seen and not passed on.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn pace(&self, transport: Transport) -> Pace {
        Pace { timers: self.timers, reliable: transport.reliable(), ringing: self.limits.ringing }
    }

    fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod testing {
    //! Paces and instants for the tests of the machines.

    use super::*;

    pub(super) const UDP: Pace = Pace {
        timers: Timers { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) },
        reliable: false,
        ringing: Duration::from_secs(600),
    };
    pub(super) const RELIABLE: Pace = Pace { reliable: true, ..UDP };

    pub(super) fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }
}
