//! The user agent: accounts, registrations, sessions; the only user of transactions.
//!
//! ```text
//!  commands ──▶ ┌────────────────────── Agent ──────────────────────┐ ──▶ Output::Event
//!   invite …    │ inbound ─ screen ─┬─ session (invite answer …)    │ ──▶ Output::Resolve ──┐
//!               │                   └─ options                      │ ◀── handle_resolved ──┘
//!  datagrams ─▶ │ Transactions ─────┴─ outbound (digest, fail-over) │ ──▶ Output::Transmit
//!               └───────────────────────────────────────────────────┘
//! ```

mod account;
mod config;
mod output;
mod refused;

pub use account::{Account, AccountId};
pub use config::{AgentConfig, Limits, Unclaimed};
pub use output::{EndedBy, Event, Invitation, Output, ResolveError, ResolveId, SessionId};
pub use refused::Refused;

use std::collections::VecDeque;

use bytes::Bytes;

use super::header::Header;
use super::hop::Hop;
use super::message::Status;
use super::name_addr::NameAddr;
use super::uri::Uri;
use crate::random::Random;
use crate::time::Instant;

/// A SIP user agent (RFC 3261), both client and server.
#[derive(Debug)]
pub struct Agent {
    config: AgentConfig,
    random: Random,
    accounts: Vec<Account>,
    outputs: VecDeque<Output>,
}

/// A call that we want to make.
#[derive(Clone, Debug)]
pub struct InviteRequest {
    /// The account that pays: its address is From, its proxy the way, its password answers challenges.
    pub account: Option<AccountId>,
    /// Whom to call.
    pub target: Uri,
    /// From, when it shall not be the account's address (a number of the account's, say). Its tag is made here.
    pub from: Option<NameAddr>,
    /// More header fields of the INVITE.
    pub headers: Vec<Header>,
}

impl Agent {
    /// An agent without accounts.
    pub fn new(config: AgentConfig, random: Random) -> Self {
        Self { config, random, accounts: Vec::new(), outputs: VecDeque::new() }
    }

    /// Adds an account; it is not registered by that.
    pub fn add_account(&mut self, account: Account) -> AccountId {
        self.accounts.push(account);
        AccountId((self.accounts.len() - 1) as u32)
    }

    /// Registers and keeps registered, until [`Agent::unregister`].
    pub fn register(&mut self, _now: Instant, account: AccountId) -> Result<(), Refused> {
        Err(Refused::NoAccount(account))
    }

    /// Takes the binding back.
    pub fn unregister(&mut self, _now: Instant, account: AccountId) -> Result<(), Refused> {
        Err(Refused::NoAccount(account))
    }

    /// Starts a call: asks for the way ([`Output::Resolve`]), then says [`Event::Route`] and waits for [`Agent::offer`].
    pub fn invite(&mut self, _now: Instant, _invite: InviteRequest) -> Result<SessionId, Refused> {
        Err(Refused::TooManySessions(self.config.limits.sessions))
    }

    /// After [`Event::Route`]: sends the INVITE with this SDP offer, or without one.
    pub fn offer(&mut self, _now: Instant, session: SessionId, _sdp: Option<Bytes>) -> Result<(), Refused> {
        Err(Refused::NoSession(session))
    }

    /// After [`Event::Answered`] with `wants_answer`: sends the ACK with this SDP answer.
    pub fn ack_answer(&mut self, _now: Instant, session: SessionId, _sdp: Bytes) -> Result<(), Refused> {
        Err(Refused::NoSession(session))
    }

    /// Tells the caller that it rings: `status` 180, or 183 with `sdp` as early answer. Repeated every minute by itself.
    pub fn ring(
        &mut self,
        _now: Instant,
        session: SessionId,
        _status: Status,
        _sdp: Option<Bytes>,
    ) -> Result<(), Refused> {
        Err(Refused::NoSession(session))
    }

    /// Accepts a call with a 200 that carries `sdp`: the answer, or our offer if the INVITE had none. Repeated until the
    /// ACK ([`Event::Confirmed`]).
    pub fn answer(&mut self, _now: Instant, session: SessionId, _sdp: Bytes) -> Result<(), Refused> {
        Err(Refused::NoSession(session))
    }

    /// Declines a call with a status of 300 to 699 (486, 488 with a Warning in `headers`, …); [`Event::Ended`] follows.
    pub fn reject(
        &mut self,
        _now: Instant,
        session: SessionId,
        _status: Status,
        _reason: Option<&str>,
        _headers: Vec<Header>,
    ) -> Result<(), Refused> {
        Err(Refused::NoSession(session))
    }

    /// Ends a session as its state wants: CANCEL, 603, or BYE; `reason` is the value of a Reason header (RFC 3326), such
    /// as `SIP;cause=200;text="Call completed elsewhere"`. [`Event::Ended`] follows: at once, or when a cancelled INVITE
    /// has its final response.
    pub fn hangup(&mut self, _now: Instant, session: SessionId, _reason: Option<&str>) -> Result<(), Refused> {
        Err(Refused::NoSession(session))
    }

    /// After [`Event::Reoffer`]: accepts with a 200 that carries the answer, or our offer if there was none.
    pub fn accept_reoffer(&mut self, _now: Instant, session: SessionId, _sdp: Bytes) -> Result<(), Refused> {
        Err(Refused::NoSession(session))
    }

    /// After [`Event::Reoffer`]: refuses the change (488, …); the session goes on as it was.
    pub fn refuse_reoffer(
        &mut self,
        _now: Instant,
        session: SessionId,
        _status: Status,
        _headers: Vec<Header>,
    ) -> Result<(), Refused> {
        Err(Refused::NoSession(session))
    }

    /// A datagram came.
    pub fn handle_datagram(&mut self, _now: Instant, _source: Hop, _datagram: &[u8]) {}

    /// The answer to [`Output::Resolve`], best hop first.
    pub fn handle_resolved(&mut self, _now: Instant, _id: ResolveId, _found: Result<Vec<Hop>, ResolveError>) {}

    /// A hop cannot be sent to, or its connection broke.
    pub fn handle_transport_error(&mut self, _now: Instant, _hop: Hop, _why: &str) {}

    /// Does what is due `now`.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// When to call [`Agent::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Is nothing under way: no session, no request, no response that may have to be repeated? Registrations do not
    /// count. A program that ends waits for this, but not for longer than 64*T1.
    pub fn is_settled(&self) -> bool {
        self.outputs.is_empty()
    }

    /// The generator that calls take their own chance from.
    pub fn random(&mut self) -> Random {
        self.random.split()
    }
}
