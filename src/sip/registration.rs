//! A registration: the binding of our contact to an address of record (RFC 3261 section 10.2).
//!
//! ```text
//!                register()
//!  Unregistered ───────────▶ Registering ──200──▶ Registered ─┐ refresh before the granted expiry
//!       ▲                        │  ▲                 │  ▲────┘ (the state stays Registered)
//!       │ 200, time-out          │  │ next attempt    │ no answer, refused
//!       │                        ▼  │                 ▼
//!  Unregistering ◀──unregister()── Failed { failure, next } ◀──
//! ```
//!
//! The machine is pure. [`Output::Send`] asks the agent to find the way to [`Registration::target`]; the agent then takes
//! the REGISTER from [`Registration::request`], sends it as a transaction, and tells the outcome by
//! [`Registration::handle_response`] or [`Registration::handle_failure`].

mod contact;
mod request;
mod response;

use std::collections::VecDeque;
use std::sync::Arc;

use super::agent::RefreshShare;
use super::auth;
use super::header::Headers;
use super::hop::Hop;
use super::message::{Request, Status};
use super::name_addr::NameAddr;
use super::public::PublicAddress;
use super::uri::Uri;
use crate::random::{Random, Seed};
use crate::time::{Duration, Instant};
use contact::Learned;

pub use contact::seen_as;

/// The back-off starts at this value times two (RFC 5626 section 4.5, `base-time` when all flows failed).
const BACK_OFF: Duration = Duration::from_secs(30);

/// The same while another flow to the registrar lives (`base-time` when not all flows failed).
const BACK_OFF_IN_COMPANY: Duration = Duration::from_secs(90);

/// The longest back-off (RFC 5626 section 4.5, `max-time`).
const BACK_OFF_LIMIT: Duration = Duration::from_secs(1800);

/// The longest Retry-After that is obeyed: a longer one would make the phone useless for a slip of the server.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(3600);

/// How long one attempt may take, the look-up of the registrar included. The transaction ends sooner (64*T1, and some
/// seconds for TCP that fails); this guards against an agent that never tells the outcome.
const ATTEMPT: Duration = Duration::from_secs(90);

/// What a registration needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address of record.
    pub aor: Uri,
    /// The display name beside it.
    pub display: Option<String>,
    /// The registrar: the Request-URI, with a domain and without a user (RFC 3261 section 10.2).
    pub registrar: Uri,
    /// Pre-loaded Route: the outbound proxy.
    pub route: Vec<NameAddr>,
    /// The user part of our Contact.
    pub user: String,
    /// The lifetime that is asked for.
    pub expires: Duration,
    /// When the binding is refreshed; shortly before it ends when absent.
    pub refresh: Option<RefreshShare>,
    /// The answer to challenges.
    pub credentials: Option<Arc<auth::Credentials>>,
    /// `+sip.instance` of our Contact (RFC 5626 section 4.1), a URN without quotes and brackets: with it a registrar
    /// replaces the binding of an earlier run instead of forking to it.
    pub instance: Option<String>,
    /// Does the registrar get the chance to reach us by the flow of the REGISTER (RFC 5626)? Needs an `instance`.
    pub outbound: bool,
    /// Which of our flows this is (`reg-id`, RFC 5626 section 4.2), from 1.
    pub reg_id: u8,
    /// Further header fields of every REGISTER: User-Agent, Allow …
    pub headers: Arc<Headers>,
}

/// Where a registration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// No binding, and none is wanted.
    Unregistered,
    /// The first REGISTER, or the next one after a failure, is under way.
    Registering,
    /// Our contact is bound. It stays so during a refresh.
    Registered {
        /// The contact that is bound, as the far side sees us.
        contact: Arc<Uri>,
        /// The lifetime that the registrar granted.
        granted: Duration,
        /// When the binding ends without a refresh.
        expires: Instant,
        /// When the refresh starts.
        refresh: Instant,
    },
    /// The last attempt failed; another one follows.
    Failed {
        /// Why.
        failure: Failure,
        /// Failures in a row, this one included.
        failures: u32,
        /// When the next attempt starts.
        next: Instant,
        /// An earlier binding lives on until then.
        bound: Option<Instant>,
    },
    /// The binding is being removed.
    Unregistering,
}

/// Why an attempt to register failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The registrar refuses our user name and password, or asks for them where there are none.
    #[error("the registrar refused the credentials ({status} {reason}); check user name and password")]
    Unauthorized {
        /// 401, 407 or 403.
        status: Status,
        /// Its reason phrase.
        reason: String,
    },
    /// The registrar refused for another reason.
    #[error("the registrar refused: {status} {reason}")]
    Rejected {
        /// The status.
        status: Status,
        /// Its reason phrase.
        reason: String,
    },
    /// The challenge cannot be answered.
    #[error("the challenge of the registrar cannot be answered: {0}")]
    Challenge(String),
    /// The registrar said 200, but our contact is not among its bindings.
    #[error("the registrar accepted, but did not bind our contact {0}")]
    NotBound(Arc<Uri>),
    /// No answer came in time.
    #[error("the registrar did not answer; check its address and the network")]
    Timeout,
    /// The request could not be sent.
    #[error("the registrar could not be reached; check its address and the network")]
    Transport,
    /// The registrar has not proved to be itself, or refuses our certificate; the whole sentence.
    #[error("{0}")]
    Untrusted(String),
    /// The registrar's address was not found.
    #[error("{0}")]
    Unresolved(String),
}

/// What the machine asks for or tells, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Find the way to [`Registration::target`], then call [`Registration::request`] and send what it returns; or tell
    /// the failure by [`Registration::handle_failure`].
    Send,
    /// The state changed.
    Changed(State),
}

/// One registration. See the [module](self).
#[derive(Debug)]
pub struct Registration {
    settings: Settings,
    seed: Seed,
    call_id: String,
    from_tag: String,
    sequence: u32,
    /// What the user wants.
    wanted: Wanted,
    state: State,
    phase: Phase,
    /// The binding that the registrar holds, as far as we know.
    binding: Option<Binding>,
    /// Our address as the far side saw it.
    learned: Option<Learned>,
    public: Arc<PublicAddress>,
    /// The lifetime to ask for: the configured one, or what 423 demanded.
    expires: Duration,
    /// Failures in a row.
    failures: u32,
    /// What the attempt under way has been through.
    attempt: Attempt,
    auth: Option<auth::Client>,
    /// The request that answers a challenge, to be sent next.
    answered: Option<Box<Request>>,
    service_route: Vec<NameAddr>,
    outbound: Outbound,
    /// Does another flow of the account live?
    company: bool,
    outputs: VecDeque<Output>,
}

/// What stays of a [`Config`]; there may be thousands.
#[derive(Debug)]
struct Settings {
    /// The address of record as To, and without its tag as From, has it.
    aor: Box<str>,
    registrar: Uri,
    route: Vec<NameAddr>,
    user: String,
    refresh: Option<RefreshShare>,
    instance: Option<String>,
    reg_id: u8,
    headers: Arc<Headers>,
}

/// What is known of the registrar's support of outbound (RFC 5626).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outbound {
    /// Never spoken of.
    Off,
    /// Offered by `reg-id`.
    Offered,
    /// The registrar keeps the flow: it said `Require: outbound`.
    Agreed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Registered,
    Unregistered,
}

/// What the machine waits for.
#[derive(Clone, Debug)]
enum Phase {
    /// Nothing.
    Idle,
    /// The next attempt.
    Waiting { at: Instant },
    /// The agent's search for the way.
    Asked { until: Instant },
    /// The response to a REGISTER.
    Sent { sent: Box<Sent>, until: Instant },
}

/// A REGISTER under way.
#[derive(Clone, Debug)]
struct Sent {
    sequence: u32,
    hop: Hop,
    request: Request,
    /// The contact that it binds, or unbinds with `expires` zero.
    contact: Arc<Uri>,
    expires: Duration,
}

#[derive(Clone, Debug)]
struct Binding {
    contact: Arc<Uri>,
    until: Instant,
}

/// What one attempt has been through; each count bounds a loop with the registrar.
#[derive(Clone, Copy, Debug, Default)]
struct Attempt {
    challenges: auth::Attempts,
    too_brief: u32,
    rewrites: u32,
}

impl Registration {
    /// A registration that waits for [`Registration::register`]. `random` makes its Call-ID, tags and jitter.
    pub fn new(config: Config, mut random: Random) -> Self {
        let mut aor = NameAddr::new(config.aor);
        aor.display = config.display;
        Self {
            call_id: random.token(26),
            from_tag: random.token(12),
            // Any start is allowed; a random one survives registrars that remember the Call-ID of nobody.
            sequence: random.u32() >> 2,
            wanted: Wanted::Unregistered,
            state: State::Unregistered,
            phase: Phase::Idle,
            binding: None,
            learned: None,
            public: Arc::default(),
            // Zero would mean to unbind.
            expires: config.expires.max(Duration::from_secs(1)),
            failures: 0,
            attempt: Attempt::default(),
            auth: config.credentials.map(auth::Client::new),
            answered: None,
            service_route: Vec::new(),
            outbound: if config.outbound && config.instance.is_some() { Outbound::Offered } else { Outbound::Off },
            company: false,
            outputs: VecDeque::new(),
            settings: Settings {
                aor: aor.to_string().into(),
                registrar: config.registrar,
                route: config.route,
                user: config.user,
                refresh: config.refresh,
                instance: config.instance,
                reg_id: config.reg_id,
                headers: config.headers,
            },
            seed: random.seed(),
        }
    }

    /// Registers now, and keeps the binding alive from then on. While an attempt is under way nothing more happens; a
    /// wait for the next one ends.
    pub fn register(&mut self, now: Instant) {
        self.wanted = Wanted::Registered;
        match self.phase {
            Phase::Idle | Phase::Waiting { .. } => {
                self.failures = 0;
                self.begin(now);
            }
            Phase::Asked { .. } | Phase::Sent { .. } => {}
        }
    }

    /// The network changed: an attempt that is under way, or waited for, starts anew by the way that is there now. An
    /// answer to the one before counts no more.
    pub fn renew(&mut self, now: Instant) {
        if self.wanted == Wanted::Registered {
            self.failures = 0;
            self.begin(now);
        }
    }

    /// Removes our binding, and stays unregistered. A REGISTER under way is waited for first (RFC 3261 section 10.2).
    pub fn unregister(&mut self, now: Instant) {
        self.wanted = Wanted::Unregistered;
        match self.phase {
            Phase::Idle => {}
            Phase::Waiting { .. } if self.binding.is_none() => self.end(),
            Phase::Waiting { .. } => self.begin(now),
            Phase::Asked { .. } | Phase::Sent { .. } => self.change(State::Unregistering),
        }
    }

    /// The state, with the reason and the next attempt.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The registrar: the Request-URI.
    pub fn registrar(&self) -> &Uri {
        &self.settings.registrar
    }

    /// Where the next REGISTER goes: the first Route, else the registrar.
    pub fn target(&self) -> &Uri {
        self.settings.route.first().map_or(&self.settings.registrar, |route| &route.uri)
    }

    /// Says whether another flow of the account lives: then this one takes its time after a failure (RFC 5626 section
    /// 4.5).
    pub fn keep_company(&mut self, company: bool) {
        self.company = company;
    }

    /// Does the registrar keep our flow (RFC 5626 section 6)? Then it answers keep-alives too (section 4.4).
    pub fn keeps_flow(&self) -> bool {
        self.outbound == Outbound::Agreed
    }

    /// The Service-Route that the registrar gave us for our requests (RFC 3608).
    pub fn service_route(&self) -> &[NameAddr] {
        &self.service_route
    }

    /// When to call [`Registration::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Idle => None,
            Phase::Waiting { at } => Some(at),
            Phase::Asked { until } | Phase::Sent { until, .. } => Some(until),
        }
    }

    /// Does what is due `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Waiting { at } if at <= now => self.begin(now),
            Phase::Asked { until } | Phase::Sent { until, .. } if until <= now => {
                self.handle_failure(now, Failure::Timeout);
            }
            _ => {}
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if self.outputs.is_empty() {
            // There may be thousands of registrations, each of which speaks once in an hour.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// The REGISTER under way was not served by the hop that it took, but there is another one: the agent may take a
    /// new one from [`Registration::request`]. `false`: none is under way.
    pub fn ask_again(&mut self, now: Instant) -> bool {
        let sent = matches!(self.phase, Phase::Sent { .. });
        if sent {
            self.phase = Phase::Asked { until: now + ATTEMPT };
        }
        sent
    }

    /// The attempt under way came to nothing: no way, no answer, not sent.
    pub fn handle_failure(&mut self, now: Instant, failure: Failure) {
        if matches!(self.phase, Phase::Asked { .. } | Phase::Sent { .. }) {
            self.fail(now, failure, None);
        }
    }

    /// Starts an attempt.
    fn begin(&mut self, now: Instant) {
        self.attempt = Attempt::default();
        self.answered = None;
        self.ask(now);
        match (self.wanted, &self.state) {
            (Wanted::Unregistered, _) => self.change(State::Unregistering),
            (Wanted::Registered, State::Registered { .. }) => {}
            (Wanted::Registered, _) => self.change(State::Registering),
        }
    }

    /// Asks for the way, within the attempt.
    fn ask(&mut self, now: Instant) {
        self.phase = Phase::Asked { until: now + ATTEMPT };
        self.outputs.push_back(Output::Send);
    }

    /// Ends the attempt without success and plans the next one; `after` is what the registrar asked us to wait.
    fn fail(&mut self, now: Instant, failure: Failure, after: Option<Duration>) {
        self.binding = self.binding.take().filter(|binding| binding.until > now);
        if self.wanted == Wanted::Unregistered {
            // The binding runs out by itself; the user is not kept waiting for it.
            self.end();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let hopeless = match &failure {
            Failure::Unauthorized { .. } | Failure::Challenge(_) => true,
            Failure::Rejected { status, .. } => matches!(status.code(), 300..=407 | 410 | 416 | 420 | 421 | 600..),
            _ => false,
        };
        let wait = match after {
            // A little later each, so that not everybody comes back at the same moment.
            Some(after) => {
                after.clamp(Duration::from_secs(1), RETRY_AFTER_LIMIT).mul_f64(1.0 + 0.1 * self.seed.grow().unit())
            }
            // What a human has to mend is not tried often: registrars lock out who insists.
            None if hopeless => BACK_OFF_LIMIT.mul_f64(0.5 + 0.5 * self.seed.grow().unit()),
            None => {
                let shortest = if self.company { BACK_OFF_IN_COMPANY } else { BACK_OFF };
                let longest = shortest.saturating_mul(1 << self.failures.min(6)).min(BACK_OFF_LIMIT);
                longest.mul_f64(0.5 + 0.5 * self.seed.grow().unit())
            }
        };
        let next = now + wait;
        self.phase = Phase::Waiting { at: next };
        let bound = self.binding.as_ref().map(|binding| binding.until);
        self.change(State::Failed { failure, failures: self.failures, next, bound });
    }

    /// Nothing is bound and nothing is wanted.
    fn end(&mut self) {
        self.phase = Phase::Idle;
        self.binding = None;
        self.failures = 0;
        self.service_route.clear();
        self.change(State::Unregistered);
    }

    fn change(&mut self, state: State) {
        if self.state != state {
            self.state = state.clone();
            self.outputs.push_back(Output::Changed(state));
        }
    }
}
