//! The user agent: accounts, registrations, sessions; the only user of transactions.
//!
//! ```text
//!  commands ──▶ ┌────────────────────── Agent ──────────────────────┐ ──▶ Output::Event
//!   invite …    │ inbound ─ screen ─┬─ session (invite answer …)    │ ──▶ Output::Resolve ──┐
//!               │                   └─ register                     │ ◀── handle_resolved ──┘
//!  messages ──▶ │ Transactions ─────── sent (digest, fail-over)     │ ──▶ Output::Transmit
//!               └───────────────────────────────────────────────────┘
//! ```
//!
//! Every public method that takes `now` may produce outputs; drain [`Agent::poll_output`] after each, then sleep until
//! [`Agent::poll_timeout`]. [`Event`] shows the order of the commands of a call.

mod account;
mod commands;
mod config;
mod directory;
mod exchange;
mod fail_over;
mod flows;
mod inbound;
mod network;
mod notify;
mod options;
mod output;
mod outside;
mod penalty;
mod policy;
mod public;
mod refused;
mod register;
mod replaces;
mod routes;
mod screen;
mod sent;
mod text;
mod trust;

pub use account::{Account, AccountId};
pub use commands::{InsideRequest, InviteRequest};
pub use config::{AgentConfig, Limits, Unclaimed};
pub use flows::MOST as MOST_FLOWS;
pub use options::PeerState;
pub use output::{EndedBy, Event, Invitation, Output, RequestId, ResolveError, ResolveId, SessionId};
pub use outside::{News, OutsideId};
pub use policy::{
    DtmfWay, KeepAlive, Network, NotNetwork, RefreshShare, Reliable, SessionTimerMode, SessionTimers, UnknownWord,
};
pub use refused::Refused;
pub use replaces::DialogName;
pub use trust::Realms;

pub(crate) use policy::words;

pub(crate) use exchange::{Errand, Exchange, push_allow};
pub(crate) use network::from_there;
pub(crate) use sent::{Purpose, Sent};

use std::collections::{BTreeMap, HashMap};

use super::guard;
use super::hop::Hop;
use super::message::Response;
use super::registration;
use super::session::Session;
use super::timer::Deadlines;
use crate::random::Random;
use crate::time::Instant;

/// A SIP user agent (RFC 3261), both client and server. See the [module](self).
#[derive(Debug)]
pub struct Agent {
    exchange: Exchange,
    sessions: BTreeMap<SessionId, Session>,
    /// Sessions by Call-ID and our tag.
    dialogs: HashMap<(String, String), SessionId>,
    deadlines: Deadlines<SessionId>,
    registrations: Deadlines<AccountId>,
    last_session: u64,
    /// What goes on outside of calls.
    outside: outside::Outside,
}

/// How much an agent holds; all zero when nothing is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Sessions, those that wind up included.
    pub sessions: usize,
    /// Requests of ours, those that absorb repetitions included.
    pub clients: usize,
    /// Requests of peers, those that absorb repetitions included.
    pub servers: usize,
    /// Requests of ours whose responses a session or registration waits for.
    pub sent: usize,
    /// INVITEs of peers without a final response.
    pub invites: usize,
    /// Look-ups without an answer.
    pub look_ups: usize,
    /// Requests outside of calls without a final response.
    pub outside: usize,
    /// Strangers whose rates are remembered, and nonces that served.
    pub strangers: usize,
}

impl Agent {
    /// An agent without accounts.
    pub fn new(config: AgentConfig, random: Random) -> Self {
        Self {
            exchange: Exchange::new(config, random),
            sessions: BTreeMap::new(),
            dialogs: HashMap::new(),
            deadlines: Deadlines::default(),
            registrations: Deadlines::default(),
            last_session: 0,
            outside: outside::Outside::default(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &AgentConfig {
        &self.exchange.config
    }

    /// How many datagrams and messages came in so far that were no valid SIP.
    pub fn malformed(&self) -> u64 {
        self.exchange.guard.counters.malformed
    }

    /// What was kept out so far.
    pub fn counters(&self) -> guard::Counters {
        guard::Counters { overload: self.exchange.overload(), ..self.exchange.guard.counters }
    }

    /// Changes the body of our answers to OPTIONS.
    pub fn set_capabilities(&mut self, sdp: Option<bytes::Bytes>) {
        self.exchange.config.capabilities = sdp;
    }

    /// Adds an account; [`Agent::register`] registers it.
    pub fn add_account(&mut self, account: Account) -> AccountId {
        self.exchange.accounts.add(account)
    }

    /// An account as it was added.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.exchange.accounts.get(id).map(|line| &line.account)
    }

    /// The user part of the Contacts that an account gives out.
    pub fn contact_user(&self, id: AccountId) -> Option<&str> {
        self.exchange.accounts.get(id).map(|line| line.contact_user.as_str())
    }

    /// Where the registration of an account stands, all its flows together: registered while one of them is.
    pub fn registration(&self, id: AccountId) -> Option<registration::State> {
        self.exchange.accounts.get(id).map(|_| self.exchange.accounts.state(id))
    }

    /// The last answer of the registrar of an account, if it was no.
    pub fn refusal(&self, id: AccountId) -> Option<&Response> {
        self.exchange.accounts.get(id)?.refusal.as_deref()
    }

    /// The Call-ID of a session.
    pub fn call_id(&self, session: SessionId) -> Option<String> {
        self.sessions.get(&session).map(|session| session.key().0)
    }

    /// The answer to [`Output::Resolve`], best hop first.
    pub fn handle_resolved(&mut self, now: Instant, id: ResolveId, found: Result<Vec<Hop>, ResolveError>) {
        if let Some(errand) = self.exchange.resolved(id) {
            self.run_errand(now, errand, found);
        }
        self.settle_news(now);
    }

    /// `hop` cannot be sent to, or its connection broke. Which of our addresses it is does not matter.
    pub fn handle_transport_error(&mut self, now: Instant, hop: Hop) {
        self.exchange.transport_error(now, hop);
        self.flow_lost(now, hop);
        self.settle_news(now);
    }

    /// As [`Agent::handle_transport_error`], with a sentence that says why and what to do: whoever waits for an answer
    /// from there is told it.
    pub fn handle_transport_failure(&mut self, now: Instant, hop: Hop, why: String) {
        self.exchange.trouble = Some(why);
        self.handle_transport_error(now, hop);
        self.exchange.trouble = None;
    }

    /// Does what is due `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.exchange.handle_timeout(now);
        self.settle_news(now);
        while let Some((errand, error)) = self.exchange.unanswered(now) {
            self.run_errand(now, errand, Err(error));
        }
        while let Some(id) = self.exchange.impatient(now) {
            self.lose_patience(now, id);
            self.settle_news(now);
        }
        while let Some(id) = self.deadlines.due(now) {
            self.with_session(id, |session, exchange| session.handle_timeout(exchange, now));
        }
        self.keep_alive(now);
        self.registration_timeouts(now);
        self.outside_timeouts(now);
        self.settle_news(now);
    }

    /// When to call [`Agent::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let outside = self.outside.poll_timeout();
        [self.exchange.poll_timeout(), self.deadlines.first(), self.registrations.first(), outside]
            .into_iter()
            .flatten()
            .min()
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.exchange.poll_output()
    }

    /// Is no call up and no request of ours unanswered, that is: may the program end without leaving a peer in the
    /// dark? Registrations that are kept do not count; absorbing repetitions does not either.
    pub fn is_settled(&self) -> bool {
        self.sessions.values().all(Session::is_quiet) && !self.exchange.awaits_response()
    }

    /// How much is held.
    pub fn sizes(&self) -> Sizes {
        let [clients, servers, sent, invites, look_ups, strangers] = self.exchange.sizes();
        let (sessions, outside) = (self.sessions.len(), self.outside.len());
        Sizes { sessions, clients, servers, sent, invites, look_ups, outside, strangers }
    }

    fn run_errand(&mut self, now: Instant, errand: Errand, mut found: Result<Vec<Hop>, ResolveError>) {
        let account = match &errand {
            Errand::Register(account) => Some(*account),
            Errand::Invite(id) => self.sessions.get(id).and_then(Session::account),
            Errand::Outside(id) => self.outside_account(*id),
            Errand::Dialog(..) | Errand::Proxies(_) => None,
        };
        if let Ok(hops) = &mut found
            && !matches!(errand, Errand::Proxies(_))
        {
            self.exchange.rank(now, account, &errand, hops);
        }
        match errand {
            Errand::Proxies(search) => self.proxy_found(now, *search, found),
            Errand::Register(account) => self.registrar_found(now, account, found),
            Errand::Outside(id) => self.outside_resolved(now, id, found),
            Errand::Invite(id) => {
                self.with_session(id, |session, ex| session.handle_invite_resolved(ex, now, found));
            }
            Errand::Dialog(id, tag) => {
                self.with_session(id, |session, ex| session.handle_leg_resolved(ex, now, &tag, found));
            }
        }
    }

    /// Takes a new session in.
    fn insert(&mut self, id: SessionId, session: Session) {
        self.dialogs.insert(session.key(), id);
        self.sessions.insert(id, session);
        self.settle_session(id);
    }

    fn next_session(&mut self) -> SessionId {
        self.last_session += 1;
        SessionId(self.last_session)
    }

    /// Works on a session, then notes its deadline or its end.
    fn with_session<T>(&mut self, id: SessionId, work: impl FnOnce(&mut Session, &mut Exchange) -> T) -> Option<T> {
        let result = work(self.sessions.get_mut(&id)?, &mut self.exchange);
        self.settle_session(id);
        Some(result)
    }

    fn settle_session(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let next = if session.is_done() { None } else { session.poll_timeout() };
        let old = std::mem::replace(&mut session.noted, next);
        self.deadlines.change(id, old, next);
        if session.is_done()
            && let Some(session) = self.sessions.remove(&id)
        {
            self.dialogs.remove(&session.key());
        }
    }
}
