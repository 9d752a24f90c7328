//! What sessions and registrations share: the transactions, the look-ups, the one queue of outputs.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::account::AccountId;
use super::config::AgentConfig;
use super::directory::Accounts;
use super::output::{Event, Output, RequestId, ResolveError, ResolveId, SessionId};
use super::outside::OutsideId;
use super::penalty::Penalties;
use super::routes::{FURTHER, Search};
use super::sent::{Purpose, Sent};
use crate::random::Random;
use crate::sip::guard::{Admission, Guard};
use crate::sip::header::{Headers, Name};
use crate::sip::hop::Hop;
use crate::sip::keepalive::{BindingId, KeepAlives};
use crate::sip::message::{Message, Method, Request, Response};
use crate::sip::name_addr::NameAddr;
use crate::sip::public::PublicAddress;
use crate::sip::target::Target;
use crate::sip::timer::Deadlines;
use crate::sip::transaction::{self, ClientId, SendError, ServerId, Transactions};
use crate::sip::uri::SipUri;
use crate::time::{Duration, Instant};

/// The methods that are served, for Allow (RFC 3261 section 20.5).
pub(crate) const ALLOWED: [Method; 11] = [
    Method::Invite,
    Method::Ack,
    Method::Cancel,
    Method::Bye,
    Method::Options,
    Method::Info,
    Method::Message,
    Method::Notify,
    Method::Prack,
    Method::Update,
    Method::Refer,
];

/// How much longer than a session its INVITE may last.
const GUARD: Duration = Duration::from_secs(60);

/// How long the way of a request in a dialog is looked for.
const DIALOG_LOOK_UP: Duration = Duration::from_secs(3);

/// The user part of a Contact that no account or address gives one.
const NOBODY: &str = "sidetone";

/// Why an address is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// A REGISTER waits for it.
    Register(AccountId),
    /// The INVITE of a session waits for it.
    Invite(SessionId),
    /// A request outside of calls waits for it.
    Outside(OutsideId),
    /// Requests in the dialog with this remote tag wait for it.
    Dialog(SessionId, String),
    /// It is one of several proxies.
    Proxies(Box<Search>),
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) config: AgentConfig,
    pub(crate) random: Random,
    pub(crate) accounts: Accounts,
    pub(crate) keepalives: KeepAlives,
    /// Servers that failed lately.
    pub(crate) penalties: Penalties,
    pub(super) guard: Guard,
    /// Why the request that is being served was let in.
    pub(crate) admission: Admission,
    transactions: Transactions,
    outputs: VecDeque<Output>,
    /// What the transactions told and the agent has not dealt with yet.
    news: VecDeque<transaction::Output>,
    /// Requests of ours whose responses somebody waits for.
    sent: HashMap<ClientId, Sent>,
    /// When patience with requests of ours ends.
    impatient: Deadlines<ClientId>,
    /// Pending INVITEs of peers, so that a CANCEL finds its session.
    invites: HashMap<ServerId, SessionId>,
    asked: HashMap<ResolveId, (Instant, Errand)>,
    asked_until: Deadlines<ResolveId>,
    last_ask: u64,
    last_request: u64,
    /// Our address as others than a registrar see it.
    pub(crate) public: Arc<PublicAddress>,
    /// The header fields that every REGISTER carries.
    pub(super) register_headers: Arc<Headers>,
    /// What the user should know of the failure that is being dealt with.
    pub(crate) trouble: Option<String>,
}

impl Exchange {
    pub(crate) fn new(config: AgentConfig, mut random: Random) -> Self {
        let limits = transaction::Limits {
            clients: config.limits.transactions,
            servers: config.limits.transactions,
            // A guard only: sessions are given up by the limits of the agent.
            ringing: config.limits.ringing.max(config.limits.progress).saturating_add(GUARD),
            ..transaction::Limits::default()
        };
        let mut register_headers = Headers::new();
        register_headers.push(Name::UserAgent, config.user_agent.as_str());
        push_allow(&mut register_headers);
        Self {
            transactions: Transactions::new(config.timers, limits, random.split()),
            keepalives: KeepAlives::new(random.split()),
            penalties: Penalties::default(),
            guard: Guard::new(config.guard.clone()),
            admission: Admission::Known,
            config,
            random,
            accounts: Accounts::default(),
            outputs: VecDeque::new(),
            news: VecDeque::new(),
            sent: HashMap::new(),
            impatient: Deadlines::default(),
            invites: HashMap::new(),
            asked: HashMap::new(),
            asked_until: Deadlines::default(),
            last_ask: 0,
            last_request: 0,
            public: Arc::default(),
            register_headers: Arc::new(register_headers),
            trouble: None,
        }
    }

    /// Tells the user.
    pub(crate) fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Sends octets that belong to no transaction: a repeated ACK, a stateless response, a keep-alive.
    pub(crate) fn transmit(&mut self, hop: Hop, bytes: Bytes) {
        self.outputs.push_back(Output::Transmit { hop, bytes });
    }

    /// Asks how the far side of `hop` sees us.
    pub(crate) fn ask_binding(&mut self, hop: Hop, id: BindingId) {
        self.outputs.push_back(Output::Binding { hop, id });
    }

    /// Asks the driver to close the connection to `hop.remote`.
    pub(crate) fn disconnect(&mut self, hop: Hop) {
        self.outputs.push_back(Output::Disconnect { hop });
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn poll_news(&mut self) -> Option<transaction::Output> {
        self.news.pop_front()
    }

    /// Asks where `target` is. The answer, or a time-out, comes back with `errand`.
    pub(crate) fn resolve(&mut self, now: Instant, target: Target, errand: Errand) -> ResolveId {
        self.last_ask += 1;
        let id = ResolveId(self.last_ask);
        let patience = match &errand {
            Errand::Proxies(search) if !search.found.is_empty() => FURTHER,
            // There is another way: the one that the dialog came by. The peer waits for its ACK meanwhile.
            Errand::Dialog(..) => DIALOG_LOOK_UP,
            Errand::Register(_) | Errand::Invite(_) | Errand::Outside(_) | Errand::Proxies(_) => {
                self.config.limits.command
            }
        };
        self.asked_until.change(id, None, Some(now + patience));
        self.asked.insert(id, (now + patience, errand));
        let Target { host, port, transport } = target;
        self.outputs.push_back(Output::Resolve { id, host, port, transport });
        id
    }

    /// Who asked; `None` when it is too late.
    pub(crate) fn resolved(&mut self, id: ResolveId) -> Option<Errand> {
        let (until, errand) = self.asked.remove(&id)?;
        self.asked_until.change(id, Some(until), None);
        Some(errand)
    }

    /// A question that was not answered in time.
    pub(crate) fn unanswered(&mut self, now: Instant) -> Option<(Errand, ResolveError)> {
        let id = self.asked_until.due(now)?;
        Some((self.resolved(id)?, ResolveError::NoAnswer("the next hop".into())))
    }

    /// Sends a request by the first of its hops. `Err` leaves nothing behind.
    pub(crate) fn send(&mut self, now: Instant, mut sent: Sent) -> Result<ClientId, SendError> {
        self.prepare(&mut sent);
        let id = self.transactions.send(now, sent.request.clone(), sent.hop)?;
        sent.patience = None;
        self.sent.insert(id, sent);
        self.grow_impatient(now, id);
        self.collect();
        Ok(id)
    }

    /// Sets until when patience with a request lasts.
    pub(super) fn expect(&mut self, id: ClientId, until: Option<Instant>) {
        if let Some(sent) = self.sent.get_mut(&id) {
            let old = std::mem::replace(&mut sent.patience, until);
            self.impatient.change(id, old, until);
        }
    }

    /// A REGISTER of this account that is under way goes by a way that is gone: its outcome matters no more.
    pub(super) fn forget_register(&mut self, account: AccountId) {
        let ours = |sent: &Sent| sent.purpose == Purpose::Register(account);
        let gone: Vec<ClientId> = self.sent.iter().filter(|(_, sent)| ours(sent)).map(|(id, _)| *id).collect();
        for id in gone {
            self.forget(id);
        }
    }

    /// A request with which patience is over.
    pub(super) fn impatient(&mut self, now: Instant) -> Option<ClientId> {
        let id = self.impatient.due(now)?;
        self.expect(id, None);
        Some(id)
    }

    /// Keeps an INVITE that another server has got meanwhile.
    pub(super) fn abandon(&mut self, id: ClientId, mut sent: Sent) {
        // A transaction that is over by now tells nothing more.
        if self.way(id).is_some() {
            (sent.purpose, sent.patience) = (Purpose::Abandoned, None);
            self.sent.insert(id, sent);
        }
    }

    /// Is this the first 2xx to a request?
    pub(super) fn first_success(&mut self, id: ClientId) -> bool {
        self.sent.get_mut(&id).is_some_and(|sent| !std::mem::replace(&mut sent.succeeded, true))
    }

    /// The hop that a request really took.
    pub(super) fn way(&self, id: ClientId) -> Option<Hop> {
        self.transactions.hop(id)
    }

    /// Sends the ACK to a 2xx; gives what to send again for each repetition of it.
    pub(crate) fn send_ack(&mut self, mut ack: Request, hop: Hop) -> (Hop, Bytes) {
        ack.headers.set(Name::UserAgent, self.config.user_agent.as_str());
        let again = self.transactions.send_ack(ack, hop);
        self.collect();
        again
    }

    /// Cancels an INVITE of ours; its final response still comes.
    pub(crate) fn cancel(&mut self, now: Instant, invite: ClientId, extra: &Headers) -> bool {
        let pending = self.transactions.cancel(now, invite, extra);
        self.collect();
        pending
    }

    /// A name for a request in a dialog.
    pub(crate) fn next_request(&mut self) -> RequestId {
        self.last_request += 1;
        RequestId(self.last_request)
    }

    /// Answers a request. A final response also ends the interest in a CANCEL.
    pub(crate) fn respond(&mut self, now: Instant, id: ServerId, mut response: Response) -> bool {
        if response.status.is_final() {
            self.invites.remove(&id);
        }
        response.headers.set(Name::Server, self.config.user_agent.as_str());
        let sent = self.transactions.respond(now, id, response);
        self.collect();
        sent
    }

    /// Lets a CANCEL of the INVITE `id` find its session.
    pub(crate) fn pending(&mut self, id: ServerId, session: SessionId) {
        self.invites.insert(id, session);
    }

    pub(crate) fn session_of(&self, invite: ServerId) -> Option<SessionId> {
        self.invites.get(&invite).copied()
    }

    /// No more responses to `id` are of interest.
    pub(crate) fn forget(&mut self, id: ClientId) -> Option<Sent> {
        let sent = self.sent.remove(&id)?;
        self.impatient.change(id, sent.patience, None);
        Some(sent)
    }

    pub(crate) fn sent(&self, id: ClientId) -> Option<&Sent> {
        self.sent.get(&id)
    }

    /// Who waits for the responses to `id`.
    pub(crate) fn purpose(&self, id: ClientId) -> Option<Purpose> {
        self.sent.get(&id).map(|sent| sent.purpose)
    }

    /// Our Contact for requests and responses on `hop`: the address that the peers behind it can reach, learned from a
    /// registrar where there is one.
    pub(crate) fn contact(&self, account: Option<AccountId>, user: Option<&str>, hop: Hop) -> NameAddr {
        let line = account.and_then(|account| self.accounts.flow_over(account, hop));
        if let Some(registration) = line.and_then(|line| line.registration.as_ref()) {
            return NameAddr::new(registration.dialog_contact(hop));
        }
        let user = line.map(|line| line.contact_user.as_str()).or(user).unwrap_or(NOBODY);
        let address = self.public.given(hop).or_else(|| self.public.presumed(hop)).unwrap_or(hop.local);
        let mut uri = SipUri::new(Some(user), address.ip().into(), Some(address.port()));
        if hop.transport.reliable() {
            uri.params.set("transport", hop.transport.parameter());
        }
        NameAddr::new(uri)
    }

    /// Does somebody wait for a response to a request of ours, or for the way of one?
    pub(crate) fn awaits_response(&self) -> bool {
        let waits =
            |sent: &Sent| !matches!(sent.purpose, Purpose::Invite(_) | Purpose::Reinvite(_) | Purpose::Abandoned);
        !self.asked.is_empty() || self.sent.values().any(waits)
    }

    pub(crate) fn receive(&mut self, now: Instant, source: Hop, message: Message) {
        self.transactions.receive(now, source, message);
        self.collect();
    }

    /// Does the request belong to a transaction that is there?
    pub(super) fn is_under_way(&mut self, request: &Request) -> bool {
        self.transactions.knows(request)
    }

    pub(crate) fn transport_error(&mut self, now: Instant, hop: Hop) {
        self.transactions.transport_error(now, hop);
        self.collect();
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.transactions.handle_timeout(now);
        self.guard.handle_timeout(now);
        self.collect();
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [
            self.transactions.poll_timeout(),
            self.asked_until.first(),
            self.keepalives.poll_timeout(),
            self.impatient.first(),
            self.guard.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The entries of every table: transactions of ours, of peers, requests waited for, INVITEs pending, look-ups,
    /// strangers.
    pub(crate) fn sizes(&self) -> [usize; 6] {
        let (clients, servers) = self.transactions.len();
        [clients, servers, self.sent.len(), self.invites.len(), self.asked.len(), self.guard.len()]
    }

    /// Requests that found no room among the transactions.
    pub(super) fn overload(&self) -> u64 {
        self.transactions.counters().overload
    }

    /// Keeps the order of what is sent and what is told: transmissions go out at once, the rest waits for its turn.
    fn collect(&mut self) {
        while let Some(output) = self.transactions.poll_output() {
            match output {
                transaction::Output::Transmit { hop, bytes } => self.outputs.push_back(Output::Transmit { hop, bytes }),
                news => self.news.push_back(news),
            }
        }
    }
}

/// The value of Allow.
pub(crate) fn push_allow(headers: &mut Headers) {
    headers.push(Name::Allow, ALLOWED.each_ref().map(Method::as_str).join(", "));
}
