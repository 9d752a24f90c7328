//! What an agent is told once: its name, its abilities, its limits.

use std::time::Duration;

use bytes::Bytes;

use crate::sip::guard;
use crate::sip::timer::Timers;

/// Everything an [`Agent`](super::Agent) has to know beside its accounts.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The value of User-Agent and Server.
    pub user_agent: String,
    /// The base timers of RFC 3261.
    pub timers: Timers,
    /// What to do with an INVITE, OPTIONS or other request that no account claims.
    pub unclaimed: Unclaimed,
    /// The SDP body of a 200 to OPTIONS (RFC 3261 section 11.2); none is sent without one.
    pub capabilities: Option<Bytes>,
    /// Are the flows of registrations kept open through NATs ([`crate::sip::keepalive`])?
    pub keepalive: bool,
    /// Are NOTIFYs of an account's own servers about its mailbox taken that no SUBSCRIBE asked for (RFC 3842)?
    pub unsolicited_notify: bool,
    /// What becomes of requests from addresses that no account knows.
    pub guard: guard::Config,
    /// Bounds.
    pub limits: Limits,
}

/// The answer to requests outside a dialog that no account claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclaimed {
    /// Take them, with `account: None`.
    Accept,
    /// 404 (RFC 3261 section 8.2.2.1).
    NotFound,
}

/// The bounds that keep an agent finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions at once, those that wind up included: beyond it `invite` is refused and an INVITE gets 503.
    pub sessions: usize,
    /// Transactions at once.
    pub transactions: usize,
    /// How long an inbound INVITE may wait for `answer` or `reject`; then it gets 480.
    pub ringing: Duration,
    /// How long an outbound INVITE may wait for its next response after a provisional one (timer C of RFC 3261 section
    /// 16.6 has the same task); then it is cancelled.
    pub progress: Duration,
    /// How long a session may wait for a command that only needs the program (`offer`, `ack_answer`,
    /// `accept_reoffer`), and for an answer of the resolver.
    pub command: Duration,
    /// Dialogs that the forks of one INVITE may make.
    pub forks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            transactions: 100_000,
            ringing: Duration::from_secs(180),
            progress: Duration::from_secs(180),
            command: Duration::from_secs(20),
            forks: 16,
        }
    }
}

impl AgentConfig {
    /// The configuration with the RFC's timers and moderate limits, which takes requests for anybody.
    pub fn new(user_agent: impl Into<String>) -> Self {
        Self {
            user_agent: user_agent.into(),
            timers: Timers::default(),
            unclaimed: Unclaimed::Accept,
            capabilities: None,
            keepalive: true,
            unsolicited_notify: true,
            guard: guard::Config::default(),
            limits: Limits::default(),
        }
    }
}
