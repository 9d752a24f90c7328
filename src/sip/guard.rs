//! Who is let in: what comes from strangers is judged before any state is made for it (RFC 3261 section 26.1.5 names the
//! denial of service; scanners that look for open phones are the daily form of it).
//!
//! ```text
//!  request ─▶ of a known peer, a dialog, a transaction? ─▶ in
//!                  └─ no ─▶ scanner? ─▶ over its rate? ─▶ Strangers: admit, challenge, ignore
//! ```
//!
//! A known peer is the registrar or a proxy of an account, or an address that an account allows. Whatever is dropped is
//! counted ([`Counters`]); the only table is the one of rates, which is bounded and forgets.

mod callers;
mod rate;
mod scanner;

pub use callers::Callers;
pub use rate::Rate;
pub use scanner::scanner;

use super::agent::Network;
use super::header::{Name, Value};
use super::message::{Method, Request, Response};
use crate::random::Random;
use crate::time::Instant;
use rate::Buckets;
use std::net::IpAddr;

/// What a guard is told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// What becomes of requests from strangers.
    pub strangers: Strangers,
    /// Networks that nobody is a stranger in, beside what the accounts know.
    pub allow: Vec<Network>,
    /// What one stranger may ask; loopback addresses are not limited. `None`: as much as it likes.
    pub rate: Option<Rate>,
}

impl Default for Config {
    /// Strangers are admitted, 200 requests a second of each.
    fn default() -> Self {
        Self { strangers: Strangers::Admit, allow: Vec::new(), rate: Some(Rate::default()) }
    }
}

/// What becomes of a request from an address that no account knows and that belongs to nothing that is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Strangers {
    /// It is served.
    #[default]
    Admit,
    /// It is served when it carries the credentials of one of these callers.
    Challenge(Callers),
    /// It is dropped without a word: what answers exists, and will be tried again.
    Ignore,
}

/// What was kept out, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Requests of strangers that were dropped because strangers are ignored.
    pub ignored: u64,
    /// Requests of known scanning programs.
    pub scanners: u64,
    /// Requests of strangers beyond their rate.
    pub over_rate: u64,
    /// Requests of strangers that got a challenge.
    pub challenged: u64,
    /// Requests of strangers with wrong credentials.
    pub wrong_credentials: u64,
    /// Requests of strangers that were served.
    pub admitted: u64,
    /// Messages beyond the limits of size, header fields or hops ([`super::wire::Limits`]).
    pub oversized: u64,
    /// What was no SIP message.
    pub malformed: u64,
    /// Requests that found the table of transactions full.
    pub overload: u64,
    /// INVITEs that found too many sessions.
    pub sessions_full: u64,
    /// Challenges that got no credentials, because their realm or algorithm is not allowed for the account.
    pub credentials_withheld: u64,
}

impl Counters {
    /// Everything together.
    pub fn total(&self) -> u64 {
        let Self { ignored, scanners, over_rate, challenged, wrong_credentials, .. } = *self;
        let Self { admitted: _, oversized, malformed, overload, sessions_full, credentials_withheld, .. } = *self;
        [ignored, scanners, over_rate, challenged, wrong_credentials].iter().sum::<u64>()
            + [oversized, malformed, overload, sessions_full, credentials_withheld].iter().sum::<u64>()
    }
}

/// Why a request of a peer was let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    /// From a known peer, or within what is under way.
    #[default]
    Known,
    /// From a stranger; strangers are served.
    Stranger,
    /// From a stranger who proved to be this caller.
    Caller(String),
}

/// What to do with a request.
#[derive(Debug)]
pub(crate) enum Verdict {
    Admit(Admission),
    Drop,
    /// Answer it without state.
    Answer(Box<Response>),
}

/// Judges requests of strangers. See the [module](self).
#[derive(Debug)]
pub(crate) struct Guard {
    config: Config,
    buckets: Buckets,
    challenger: Option<callers::Challenger>,
    pub(crate) counters: Counters,
}

impl Guard {
    pub(crate) fn new(config: Config) -> Self {
        let challenger = match &config.strangers {
            Strangers::Challenge(callers) => Some(callers::Challenger::new(callers.clone())),
            Strangers::Admit | Strangers::Ignore => None,
        };
        Self { buckets: Buckets::new(config.rate), challenger, config, counters: Counters::default() }
    }

    /// Is `ip` in a network that is let in?
    pub(crate) fn allows(&self, ip: IpAddr) -> bool {
        self.config.allow.iter().any(|network| network.contains(ip))
    }

    /// Does a stranger get an answer to what is no message, or too large?
    pub(crate) fn answers(&mut self, now: Instant, source: IpAddr) -> bool {
        self.config.strangers != Strangers::Ignore && self.buckets.take(now, source)
    }

    /// Judges a request of a stranger that would make new state.
    pub(crate) fn judge(&mut self, now: Instant, source: IpAddr, request: &Request, random: &mut Random) -> Verdict {
        if scanner(request).is_some() {
            self.counters.scanners += 1;
            return Verdict::Drop;
        }
        if self.config.strangers == Strangers::Ignore {
            self.counters.ignored += 1;
            return Verdict::Drop;
        }
        if !self.buckets.take(now, source) {
            self.counters.over_rate += 1;
            return Verdict::Drop;
        }
        let Some(challenger) = &mut self.challenger else {
            self.counters.admitted += 1;
            return Verdict::Admit(Admission::Stranger);
        };
        // Only what begins something can be challenged: nobody repeats a CANCEL with credentials (RFC 3261 section
        // 22.1), and what belongs to no dialog has nothing to prove.
        let begins = request.method != Method::Cancel && request.headers.to().is_ok_and(|to| to.tag().is_none());
        if !begins {
            self.counters.ignored += 1;
            return Verdict::Drop;
        }
        match challenger.judge(now, request, random) {
            callers::Proof::Right(caller) => {
                self.counters.admitted += 1;
                Verdict::Admit(Admission::Caller(caller))
            }
            callers::Proof::Missing(challenge) => {
                self.counters.challenged += 1;
                Verdict::Answer(challenge)
            }
            callers::Proof::Wrong(challenge) => {
                // Guessing a password shall take longer than placing calls.
                self.counters.wrong_credentials += 1;
                self.buckets.penalise(now, source, callers::COST_OF_A_GUESS);
                Verdict::Answer(challenge)
            }
        }
    }

    /// When something can be forgotten.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let nonces = self.challenger.as_ref().and_then(callers::Challenger::poll_timeout);
        self.buckets.poll_timeout().into_iter().chain(nonces).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.buckets.forget(now);
        if let Some(challenger) = &mut self.challenger {
            challenger.handle_timeout(now);
        }
    }

    /// Sources whose rates are remembered, and nonces of callers that served.
    pub(crate) fn len(&self) -> usize {
        self.buckets.len() + self.challenger.as_ref().map_or(0, callers::Challenger::remembered)
    }
}

/// A stateless response's To tag: the same for each repetition of the request (RFC 3261 section 8.2.7), and unknown to
/// others.
pub(crate) fn stateless_tag(secret: &[u8; 16], request: &Request) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    hash.update(secret);
    for name in [Name::Via, Name::CallId, Name::From, Name::CSeq] {
        hash.update(request.headers.find(&name).map(Value::as_bytes).unwrap_or_default());
        hash.update([b'\n']);
    }
    hash.finalize().iter().take(8).map(|octet| format!("{octet:02x}")).collect()
}
