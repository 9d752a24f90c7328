//! The pure root of signalling: accounts, registrations and calls.
//!
//! ```text
//!  commands ────────▶ ┌──────────── Engine ────────────┐ ──▶ Transmit, Resolve   (sockets, names)
//!  datagrams ───────▶ │  Agent ──events──▶ Call, Call… │ ──▶ Media               (ports, sessions)
//!  media events ────▶ │    ◀──commands────┘            │ ──▶ Call, Registration  (the user)
//!                     └────────────────────────────────┘
//! ```
//!
//! Inputs and commands change state at once; what they lead to comes out of [`Engine::poll_output`] in order.

mod address;
mod explanation;
mod hear;
mod network;
mod outside;
mod transfer;
mod vocabulary;

pub use outside::Aside;
pub use vocabulary::{Dial, Output, Refused, Registration};

use crate::call::Output as CallOutput;
use crate::call::record::Record;
use crate::call::{Call, CallId, Change, Conduct, Desk, MediaEvent, MediaOptions, Start};
use crate::media::dtls::Fingerprint;
use crate::random::Random;
use crate::sip::agent::{
    self, Account, AccountId, Agent, AgentConfig, Invitation, InviteRequest, ResolveError, ResolveId, SessionId,
};
use crate::sip::guard::Counters;
use crate::sip::hop::Hop;
use crate::sip::identity::Presented;
use crate::sip::message::Status;
use crate::sip::registration;
use crate::sip::timer::Deadlines;
use crate::sip::wire::{Malformed, StreamItem};
use crate::time::{Duration, Instant, Wall};
pub use address::bare;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// What an engine is told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// Signalling.
    pub agent: AgentConfig,
    /// What calls may use when they are not told otherwise.
    pub media: MediaOptions,
    /// What others may ask of us.
    pub conduct: Conduct,
}

/// The pure root of signalling: see the picture at the head of this module.
#[derive(Debug)]
pub struct Engine {
    agent: Agent,
    calls: BTreeMap<CallId, Call>,
    deadlines: Deadlines<CallId>,
    by_session: HashMap<SessionId, CallId>,
    accounts: Vec<Account>,
    registrations: BTreeMap<AccountId, registration::State>,
    media: MediaOptions,
    /// What calls to an account may use, where that differs.
    account_media: BTreeMap<AccountId, MediaOptions>,
    wall: Wall,
    random: Random,
    next_call: u64,
    outputs: VecDeque<Output>,
    conduct: Conduct,
    /// What others may ask in calls of an account, where that differs.
    account_conduct: BTreeMap<AccountId, Conduct>,
    joined: transfer::Joined,
    fingerprint: Option<Fingerprint>,
}

impl Engine {
    /// An engine without accounts.
    pub fn new(config: Config, wall: Wall, mut random: Random) -> Self {
        Self {
            agent: Agent::new(config.agent, random.split()),
            calls: BTreeMap::new(),
            deadlines: Deadlines::default(),
            by_session: HashMap::new(),
            accounts: Vec::new(),
            registrations: BTreeMap::new(),
            media: config.media,
            account_media: BTreeMap::new(),
            wall,
            random,
            next_call: 1,
            outputs: VecDeque::new(),
            conduct: config.conduct,
            account_conduct: BTreeMap::new(),
            joined: transfer::Joined::default(),
            fingerprint: None,
        }
    }

    /// Our certificate of DTLS-SRTP; without one no call has it.
    pub fn set_fingerprint(&mut self, fingerprint: Fingerprint) {
        self.fingerprint = Some(fingerprint);
    }

    /// The accounts, in the order of their ids.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The records of the calls that are not over.
    pub fn calls(&self) -> impl Iterator<Item = (CallId, &Record)> {
        self.calls.iter().map(|(id, call)| (*id, call.record()))
    }

    /// How the registrations stand.
    pub fn registrations(&self) -> impl Iterator<Item = Registration> {
        self.registrations.iter().map(|(account, state)| self.registration(*account, state.clone()))
    }

    /// What was kept out so far.
    pub fn counters(&self) -> Counters {
        self.agent.counters()
    }

    /// Is nothing under way: no call, no request without its answer?
    pub fn is_settled(&self) -> bool {
        self.calls.is_empty() && self.agent.is_settled() && self.outputs.is_empty()
    }

    /// Adds an account; it is not registered by that.
    pub fn add_account(&mut self, account: Account) -> AccountId {
        self.accounts.push(account.clone());
        self.agent.add_account(account)
    }

    /// Says what calls that come in for an account may use, in place of what all calls may.
    pub fn set_account_media(&mut self, account: AccountId, media: MediaOptions) {
        self.account_media.insert(account, media);
    }

    /// Says what others may ask in calls of an account, in place of what they may in all calls.
    pub fn set_account_conduct(&mut self, account: AccountId, conduct: Conduct) {
        self.account_conduct.insert(account, conduct);
    }

    /// Registers an account and keeps it registered.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn register(&mut self, now: Instant, account: AccountId) -> Result<(), Refused> {
        self.agent.register(now, account)?;
        self.pump(now);
        Ok(())
    }

    /// Takes the binding of an account back.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn unregister(&mut self, now: Instant, account: AccountId) -> Result<(), Refused> {
        self.agent.unregister(now, account)?;
        self.pump(now);
        Ok(())
    }

    /// Makes a call.
    ///
    /// # Errors
    /// When the account does not exist, the target cannot be called, or too many calls run.
    pub fn dial(&mut self, now: Instant, dial: Dial) -> Result<CallId, Refused> {
        let id = self.dial_now(now, dial)?;
        self.pump(now);
        Ok(id)
    }

    fn dial_now(&mut self, now: Instant, dial: Dial) -> Result<CallId, Refused> {
        let account = self.accounts.get(dial.account.0 as usize).ok_or(agent::Refused::NoAccount(dial.account))?;
        let (aor, account_name, dtmf) = (account.aor.clone(), account.name.clone(), account.dtmf);
        let Presented { from, caller, headers } = account.present(dial.from_number.as_deref())?;
        let number = caller.user().map(|user| user.into_owned());
        let target = address::dialled(account, dial.target)?;
        let headers = [headers, account.headers.clone(), dial.headers].concat();
        let request = InviteRequest { account: Some(dial.account), target: target.clone(), from, headers };
        let session = self.agent.invite(now, request)?;
        let start = Start {
            id: self.next_id(),
            session,
            from: bare(&caller),
            to: bare(&target),
            number,
            account: Some(bare(&aor)),
            account_name,
            account_id: Some(dial.account),
            dtmf: dial.media.dtmf.unwrap_or(dtmf),
            options: dial.media,
            ring_limit: dial.ring_limit,
        };
        let id = start.id;
        self.open(now, &start.clone(), |desk| Call::outbound(desk, start));
        Ok(id)
    }

    /// Answers a call that came in.
    ///
    /// # Errors
    /// When there is no such call, or it does not wait for an answer.
    pub fn answer(&mut self, now: Instant, call: CallId) -> Result<(), Refused> {
        self.command(now, call, |call, desk| Ok(call.answer(desk)?))
    }

    /// Declines a call that came in.
    ///
    /// # Errors
    /// When there is no such call, or it does not wait for an answer.
    pub fn reject(&mut self, now: Instant, call: CallId, status: Status) -> Result<(), Refused> {
        self.command(now, call, |call, desk| Ok(call.reject(desk, status, Vec::new())?))
    }

    /// Ends a call as its state wants.
    ///
    /// # Errors
    /// When there is no such call.
    pub fn hangup(&mut self, now: Instant, call: CallId) -> Result<(), Refused> {
        self.command(now, call, |call, desk| Ok(call.hangup(desk)?))
    }

    /// Puts the far end of a call on hold, or takes it off again; [`Moment::Held`](crate::call::Moment::Held) or
    /// [`Moment::Resumed`](crate::call::Moment::Resumed) says when it has followed.
    ///
    /// # Errors
    /// When there is no such call, or it is not answered.
    pub fn change(&mut self, now: Instant, call: CallId, change: Change) -> Result<(), Refused> {
        self.command(now, call, |call, desk| Ok(call.change(desk, change)?))
    }

    /// Sends DTMF digits in a call.
    ///
    /// # Errors
    /// When there is no such call, it is not answered, or the far end takes no telephone events.
    pub fn dtmf(&mut self, now: Instant, call: CallId, digits: &str) -> Result<(), Refused> {
        self.command(now, call, |call, desk| Ok(call.dtmf(desk, digits)?))
    }

    /// A datagram came.
    pub fn handle_datagram(&mut self, now: Instant, source: Hop, datagram: &[u8]) {
        self.agent.handle_datagram(now, source, datagram);
        self.pump(now);
    }

    /// A message, or a sign of life, came on a stream.
    pub fn handle_stream_item(&mut self, now: Instant, source: Hop, item: Result<StreamItem, Malformed>) {
        self.agent.handle_stream_item(now, source, item);
        self.pump(now);
    }

    /// As [`Engine::handle_transport_error`], with a sentence for the user that says why.
    pub fn handle_transport_failure(&mut self, now: Instant, hop: Hop, why: String) {
        self.agent.handle_transport_failure(now, hop, why);
        self.pump(now);
    }

    /// A hop cannot be sent to, or its connection broke.
    pub fn handle_transport_error(&mut self, now: Instant, hop: Hop) {
        self.agent.handle_transport_error(now, hop);
        self.pump(now);
    }

    /// The answer to [`Output::Resolve`], best hop first.
    pub fn handle_resolved(&mut self, now: Instant, id: ResolveId, found: Result<Vec<Hop>, ResolveError>) {
        self.agent.handle_resolved(now, id, found);
        self.pump(now);
    }

    /// What the media of a call reported.
    pub fn handle_media(&mut self, now: Instant, call: CallId, event: MediaEvent) {
        self.step(now, call, |call, desk| call.handle_media(desk, event));
        self.pump(now);
    }

    /// When [`Engine::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.agent.poll_timeout().into_iter().chain(self.deadlines.first()).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        while let Some(call) = self.deadlines.due(now) {
            self.step(now, call, |call, desk| call.handle_timeout(desk));
        }
        self.pump(now);
    }

    /// Completes the record of every call that is not over, whatever its far end has still to say: nobody waits any
    /// more.
    pub fn abandon(&mut self, now: Instant) {
        let calls: Vec<CallId> = self.calls.keys().copied().collect();
        for call in calls {
            self.step(now, call, |call, desk| call.abandon(desk));
        }
        self.pump(now);
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Carries the agent's outputs to the calls and to the outside until there are none.
    fn pump(&mut self, now: Instant) {
        while let Some(output) = self.agent.poll_output() {
            match output {
                agent::Output::Transmit { hop, bytes } => self.outputs.push_back(Output::Transmit { hop, bytes }),
                agent::Output::Resolve { id, host, port, transport } => {
                    self.outputs.push_back(Output::Resolve { id, host, port, transport });
                }
                agent::Output::Binding { hop, id } => self.outputs.push_back(Output::Binding { hop, id }),
                agent::Output::Disconnect { hop } => self.outputs.push_back(Output::Disconnect { hop }),
                agent::Output::Event(event) => self.handle_event(now, event),
            }
        }
    }

    fn incoming(&mut self, now: Instant, session: SessionId, invitation: &Invitation) {
        let id = invitation.account;
        let account = id.and_then(|account| self.accounts.get(account.0 as usize));
        let (caller, number) = address::heard(account, id.and_then(|id| self.agent.contact_user(id)), invitation);
        let options = id.and_then(|id| self.account_media.get(&id)).unwrap_or(&self.media).clone();
        let start = Start {
            id: CallId(self.next_call),
            session,
            from: bare(&caller.uri),
            to: bare(&invitation.to.uri),
            number,
            account: account.map(|account| bare(&account.aor)),
            account_name: account.and_then(|account| account.name.clone()),
            account_id: id,
            dtmf: options.dtmf.or(account.map(|account| account.dtmf)).unwrap_or_default(),
            options,
            // The agent's own limit of ringing ends an unanswered call.
            ring_limit: Duration::MAX,
        };
        let id = self.next_id();
        self.open(now, &start.clone(), |desk| Call::inbound(desk, start, invitation, &caller));
        self.greet(now, id, invitation);
    }

    fn next_id(&mut self) -> CallId {
        let id = CallId(self.next_call);
        self.next_call += 1;
        id
    }

    fn registration(&self, account: AccountId, state: registration::State) -> Registration {
        let aor = self.accounts.get(account.0 as usize).map(|account| bare(&account.aor)).unwrap_or_default();
        let explanation = self.explanation(account, &state);
        Registration { account, aor, state, explanation }
    }

    /// What others may ask in calls of this account.
    fn conduct(&self, account: Option<AccountId>) -> Conduct {
        account.and_then(|account| self.account_conduct.get(&account)).copied().unwrap_or(self.conduct)
    }

    fn open(&mut self, now: Instant, start: &Start, make: impl FnOnce(&mut Desk<'_>) -> Call) {
        let mut out = VecDeque::new();
        let conduct = self.conduct(start.account_id);
        let call = make(&mut Desk {
            now,
            wall: self.wall,
            agent: &mut self.agent,
            random: &mut self.random,
            conduct,
            fingerprint: self.fingerprint.as_ref(),
            out: &mut out,
        });
        self.by_session.insert(start.session, start.id);
        self.deadlines.change(start.id, None, call.poll_timeout());
        self.calls.insert(start.id, call);
        self.take(now, out);
    }

    fn session_step(&mut self, now: Instant, session: SessionId, step: impl FnOnce(&mut Call, &mut Desk<'_>)) {
        if let Some(call) = self.by_session.get(&session).copied() {
            self.step(now, call, step);
        }
    }

    fn command(
        &mut self,
        now: Instant,
        call: CallId,
        command: impl FnOnce(&mut Call, &mut Desk<'_>) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let mut done = Err(Refused::NoCall(call));
        self.step(now, call, |call, desk| done = command(call, desk));
        self.pump(now);
        done
    }

    fn step(&mut self, now: Instant, id: CallId, step: impl FnOnce(&mut Call, &mut Desk<'_>)) {
        let conduct = self.conduct(self.calls.get(&id).and_then(Call::account));
        let Some(call) = self.calls.get_mut(&id) else { return };
        let noted = call.poll_timeout();
        let mut out = VecDeque::new();
        step(
            call,
            &mut Desk {
                now,
                wall: self.wall,
                agent: &mut self.agent,
                random: &mut self.random,
                conduct,
                fingerprint: self.fingerprint.as_ref(),
                out: &mut out,
            },
        );
        self.deadlines.change(id, noted, call.poll_timeout());
        if call.is_ended() {
            let session = call.session();
            self.calls.remove(&id);
            self.by_session.remove(&session);
        }
        self.take(now, out);
    }

    fn take(&mut self, now: Instant, out: VecDeque<CallOutput>) {
        for output in out {
            match output {
                CallOutput::Media { call, order } => self.outputs.push_back(Output::Media { call, order }),
                CallOutput::Refer { call, referral } => self.refer(now, call, referral),
                CallOutput::Event(event) => {
                    let told = event.clone();
                    self.outputs.push_back(Output::Call(event));
                    self.joined_moment(now, &told);
                }
            }
        }
    }
}
