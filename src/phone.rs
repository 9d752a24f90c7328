//! The one handle that drives a phone.
//!
//! ```text
//!  Phone (clone it freely) ──commands──▶ signalling task ──▶ Engine, sockets, media workers
//!        ▲                                     │
//!        └──────── Events (one per listener) ◀─┴──▶ Store
//! ```
//!
//! A command's reply means accepted or refused; progress comes as events. A slow listener is told that it lagged.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use sidetone::phone::{Phone, Settings};
//! let (phone, mut events) = Phone::start(Settings::default())?;
//! while let Some(event) = events.next().await {
//!     println!("{event:?}");
//! }
//! # Ok(()) }
//! ```

mod beside;
mod events;
mod kept;
mod mixing;

use crate::call::record::Record;
use crate::call::{self, CallId, MediaOptions};
use crate::driver::media::{MediaDriver, Settings as MediaSettings};
use crate::driver::signalling::{Bells, Command, Happening, Signalling};
use crate::driver::{Clock, entropy};
use crate::engine::{Config, Engine};
use crate::media::dtls::Identity;
use crate::net::{BindConfig, BindError, Bound, Dns, Now, PortRange, Tls, TlsError, TlsSettings, Transports};
use crate::random::Random;
use crate::sip::agent::{AgentConfig, Unclaimed};
use crate::sip::guard::{self, Strangers};
use crate::sip::public::PublicAddress;
use crate::sip::uri::Uri;
use crate::store::{Instance, Options as StoreOptions, Store, StoreError};
use crate::time::Duration;
use crate::trace::{self, Recorder};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, oneshot};

pub use crate::audio::{Layout, Play};
pub use crate::call::{
    Busy, Change, Conduct, Event as CallEvent, HoldStyle, Moment, Role, Side, Step, Transferred, Transfers,
};
pub use crate::driver::media::{Io, Tape};
pub use crate::driver::signalling::{ConferenceId, Member, Notice, Part, Recorded, Snapshot, Sound, Tones};
pub use crate::engine::{Aside, Dial, Refused, Registration};
pub use crate::sip::agent::{Account, AccountId, News, OutsideId, PeerState};
pub use crate::sip::guard::Counters;
pub use crate::sip::registration::{Failure, State as RegistrationState};
pub use crate::sip::subscription::State as SubscriptionState;
pub use events::Events;
pub use mixing::StreamError;

/// Commands that may wait for the signalling task.
const COMMANDS: usize = 256;

/// Events that a listener may be behind.
const EVENTS: usize = 4_096;

/// How long the end of a phone waits for rows that are not on disk yet.
const LAST_ROWS: Duration = Duration::from_secs(3);

/// How a phone is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where SIP is bound; an unspecified address takes calls on every interface of its family.
    pub ips: Vec<IpAddr>,
    /// SIP port: `None` for 5060 or another if that is taken, 0 for any. TLS has the port above it.
    pub port: Option<u16>,
    /// The name server to ask; the system's when absent.
    pub dns_server: Option<SocketAddr>,
    /// The accounts, in the order of their ids.
    pub accounts: Vec<Account>,
    /// How the world sees us, when that is not by our own address: the address, and the port for UDP and TCP if it
    /// differs. Shown in Contact and SDP.
    pub public_address: Option<(IpAddr, Option<u16>)>,
    /// A STUN server that tells how the world sees us: host and port.
    pub stun: Option<(String, u16)>,
    /// Certificates and keys for TLS; the domains of the accounts are added.
    pub tls: TlsSettings,
    /// What calls may use when they are not told otherwise.
    pub media: MediaOptions,
    /// What calls that come in for an account may use, where that differs.
    pub account_media: BTreeMap<AccountId, MediaOptions>,
    /// Ports for RTP; `None` lets the system choose.
    pub rtp_ports: Option<PortRange>,
    /// Media threads; `None` for as many as suit the machine.
    pub media_workers: Option<usize>,
    /// The call log; `None` keeps none.
    pub database: Option<PathBuf>,
    /// Where the name is kept that registrars know this phone by (`+sip.instance`); `None` has none.
    pub state: Option<PathBuf>,
    /// Take calls that no account claims?
    pub take_unclaimed: bool,
    /// Where recordings are noted while they are written; what a crash cut off is repaired at the next start. `None`
    /// repairs nothing.
    pub journal: Option<PathBuf>,
    /// The flight recorder.
    pub trace: trace::Options,
    /// What becomes of requests from addresses that no account knows; `None`: they are ignored, or served when calls are
    /// taken that no account claims.
    pub guard: Option<guard::Config>,
    /// What our user hears of calls that are not answered.
    pub tones: Tones,
    /// What others may ask of us: transfers, second calls, calls that answer themselves.
    pub conduct: Conduct,
    /// The same for calls of an account, where that differs.
    pub account_conduct: BTreeMap<AccountId, Conduct>,
}

/// Whom the accounts mean to talk to: names that certificates may be for.
fn domains(settings: &Settings) -> Vec<String> {
    let servers = |account: &Account| {
        let uris = std::iter::once(&account.aor).chain(&account.registrar);
        let uris = uris.chain(&account.outbound_proxies).chain(&account.routes);
        uris.filter_map(Uri::host).map(ToString::to_string).collect::<Vec<_>>()
    };
    let mut domains = settings.tls.domains.clone();
    domains.extend(settings.accounts.iter().flat_map(servers));
    domains
}

impl Default for Settings {
    /// A phone on every interface and any port, without accounts and without a call log, which ignores strangers.
    fn default() -> Self {
        Self {
            ips: BindConfig::everywhere(None).ips,
            port: Some(0),
            dns_server: None,
            accounts: Vec::new(),
            public_address: None,
            stun: None,
            tls: TlsSettings::default(),
            media: MediaOptions::default(),
            account_media: BTreeMap::new(),
            rtp_ports: None,
            media_workers: None,
            database: None,
            state: None,
            journal: None,
            take_unclaimed: false,
            trace: trace::Options::default(),
            guard: None,
            tones: Tones::default(),
            conduct: Conduct::default(),
            account_conduct: BTreeMap::new(),
        }
    }
}

/// Why a phone does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The SIP sockets.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Certificates and keys.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The call log.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gives no threads or no random numbers.
    #[error("the system does not give what the phone needs: {0}")]
    System(#[from] std::io::Error),
}

/// A command that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It means nothing as things stand.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The phone has ended.
    #[error("the phone has ended; start a new one")]
    Ended,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// In a call.
    Call(CallEvent),
    /// With a registration.
    Registration(Registration),
    /// Outside of calls: texts, mailboxes, watched peers.
    Aside(Box<Aside>),
    /// A recording is complete.
    Recorded {
        /// Of which call; `None` for one that an earlier process left, and that was repaired.
        call: Option<CallId>,
        /// The recording.
        recorded: Box<Recorded>,
    },
    /// With the sound of a call; a sentence for the user. The call goes on.
    Notice {
        /// Whose.
        call: CallId,
        /// What it is about.
        kind: Notice,
        /// The sentence.
        text: String,
    },
    /// With the sound devices of a call. The call goes on.
    Sound {
        /// Whose.
        call: CallId,
        /// What.
        sound: Sound,
    },
    /// This listener was too slow: events are missing. [`Phone::snapshot`] says how everything stands.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// A handle on a running phone.
#[derive(Clone, Debug)]
pub struct Phone {
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<Event>,
    store: Option<Arc<Store>>,
    bound: Bound,
    clock: Clock,
}

impl Phone {
    /// Starts a phone and everything that it needs; within a tokio runtime. The listener misses nothing from the start.
    ///
    /// # Errors
    /// When the sockets cannot be bound or the system gives no threads. A call log that cannot be written is no reason
    /// not to start: [`Store::health`] tells.
    pub fn start(settings: Settings) -> Result<(Self, Events), StartError> {
        let clock = Clock::new();
        let mut random = Random::from_entropy(entropy()?);
        let dns = Dns { server: settings.dns_server, seed: random.u64() };
        let tls = Some(Tls::load(&TlsSettings { domains: domains(&settings), ..settings.tls })?);
        let bind = BindConfig { ips: settings.ips.clone(), tls, dns, ..BindConfig::everywhere(settings.port) };
        let (transports, inbox) = Transports::bind(bind, Now::new(move || clock.now()))?;
        let bound = transports.bound();
        let store =
            settings.database.map(|path| Store::open(&path, StoreOptions::default())).transpose()?.map(Arc::new);
        let mut media_settings =
            MediaSettings { ports: settings.rtp_ports, journal: settings.journal.clone(), ..MediaSettings::default() };
        if let Some(workers) = settings.media_workers {
            media_settings.workers = workers;
        }
        let (media, media_events) = MediaDriver::start(&media_settings, clock)?;
        let shown = settings.ips.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let unclaimed = if settings.take_unclaimed { Unclaimed::Accept } else { Unclaimed::NotFound };
        let user_agent = concat!("Sidetone/", env!("CARGO_PKG_VERSION"));
        let config = Config {
            agent: AgentConfig {
                unclaimed,
                capabilities: Some(call::negotiate::capabilities(shown, &settings.media.codecs, &mut random)),
                guard: settings.guard.unwrap_or_else(|| guard::Config {
                    strangers: if settings.take_unclaimed { Strangers::Admit } else { Strangers::Ignore },
                    ..guard::Config::default()
                }),
                ..AgentConfig::new(user_agent)
            },
            media: settings.media,
            conduct: settings.conduct,
        };
        let mut engine = Engine::new(config, clock.wall(), random.split());
        if let Some((ip, port)) = settings.public_address {
            engine.set_public(PublicAddress::fixed(ip, port));
        }
        let journal = settings.journal;
        let registers = !settings.accounts.is_empty();
        let instance = settings.state.filter(|_| registers).map(|state| Instance::claim(&state)).transpose()?;
        for mut account in settings.accounts {
            if let Some(instance) = &instance {
                account.instance.get_or_insert_with(|| instance.urn().to_owned());
            }
            engine.add_account(account);
        }
        for (account, media) in settings.account_media {
            engine.set_account_media(account, media);
        }
        for (account, conduct) in settings.account_conduct {
            engine.set_account_conduct(account, conduct);
        }
        let identity = Identity::generate(clock.start()).map_err(|why| tracing::warn!("{why}; no call has it")).ok();
        if let Some(identity) = &identity {
            engine.set_fingerprint(identity.fingerprint().clone());
        }
        let (commands, received) = mpsc::channel(COMMANDS);
        let (events, listener) = broadcast::channel(EVENTS);
        let recorder = Recorder::new(&settings.trace, clock.wall());
        let stun = settings.stun;
        let bells = Bells::new(settings.tones);
        let signalling = Signalling {
            engine,
            clock,
            transports,
            inbox,
            media,
            media_events,
            random,
            recorder,
            stun,
            bells,
            identity,
        };
        if let Some(journal) = journal {
            mixing::repair(journal, events.clone());
        }
        let phone = Self { commands, events: events.clone(), store: store.clone(), bound, clock };
        tokio::spawn(signalling.run(received, move |happening| {
            // The name is ours as long as the phone runs.
            let _ = &instance;
            let event = Event::from(happening);
            if let (Some(store), Event::Call(event)) = (&store, &event) {
                kept::keep(store, event);
            }
            // Nobody may be listening.
            let _ = events.send(event);
        }));
        Ok((phone, Events(listener)))
    }

    /// Where SIP is bound.
    pub fn bound(&self) -> Bound {
        self.bound.clone()
    }

    /// The clock of everything that happens here.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The call log.
    pub fn store(&self) -> Option<&Store> {
        self.store.as_deref()
    }

    /// A listener for everything that happens from now on.
    pub fn events(&self) -> Events {
        Events(self.events.subscribe())
    }

    /// Registers an account and keeps it registered.
    ///
    /// # Errors
    /// When there is no such account, or the phone has ended.
    pub async fn register(&self, account: AccountId) -> Result<(), CommandError> {
        self.ask(|reply| Command::Register(account, reply)).await
    }

    /// Takes the binding of an account back.
    ///
    /// # Errors
    /// When there is no such account, or the phone has ended.
    pub async fn unregister(&self, account: AccountId) -> Result<(), CommandError> {
        self.ask(|reply| Command::Unregister(account, reply)).await
    }

    /// Makes a call, its audio connected to `io`.
    ///
    /// # Errors
    /// When the account does not exist, the target cannot be called, or the phone has ended.
    pub async fn dial(&self, dial: Dial, io: Io) -> Result<CallId, CommandError> {
        self.ask(|reply| Command::Dial(Box::new(dial), io, reply)).await
    }

    /// Answers a call, its audio connected to `io`.
    ///
    /// # Errors
    /// When it does not wait for an answer, or the phone has ended.
    pub async fn answer(&self, call: CallId, io: Io) -> Result<(), CommandError> {
        self.ask(|reply| Command::Answer(call, io, reply)).await
    }

    /// Connects the audio of a call to `io`, already before its answer: early media is heard by the far end.
    ///
    /// # Errors
    /// When there is no such call, or the phone has ended.
    pub async fn connect(&self, call: CallId, io: Io) -> Result<(), CommandError> {
        self.ask(|reply| Command::Connect(call, io, reply)).await
    }

    /// Declines a call with a SIP status of 300 to 699.
    ///
    /// # Errors
    /// When it does not wait for an answer, or the phone has ended.
    pub async fn reject(&self, call: CallId, status: u16) -> Result<(), CommandError> {
        self.ask(|reply| Command::Reject(call, crate::sip::message::Status(status), reply)).await
    }

    /// Ends a call as its state wants: CANCEL, decline or BYE.
    ///
    /// # Errors
    /// When it is over already, or the phone has ended.
    pub async fn hangup(&self, call: CallId) -> Result<(), CommandError> {
        self.ask(|reply| Command::Hangup(call, reply)).await
    }

    /// Puts the far end on hold.
    ///
    /// # Errors
    /// When the call is not answered, or the phone has ended.
    pub async fn hold(&self, call: CallId) -> Result<(), CommandError> {
        self.reoffer(call, Change::Hold).await
    }

    /// Takes the far end off hold.
    ///
    /// # Errors
    /// When the call is not answered, or the phone has ended.
    pub async fn resume(&self, call: CallId) -> Result<(), CommandError> {
        self.reoffer(call, Change::Resume).await
    }

    /// Changes an answered call: hold, codecs, address. The reply says that it was taken up; an event says when the far
    /// end has followed or refused.
    ///
    /// # Errors
    /// When the call is not answered, or the phone has ended.
    pub async fn reoffer(&self, call: CallId, change: Change) -> Result<(), CommandError> {
        self.ask(|reply| Command::Change(call, change, reply)).await
    }

    /// Sends DTMF digits (`0-9 * # A-D`) by RFC 4733.
    ///
    /// # Errors
    /// When the call is not answered, the far end takes no telephone events, or the phone has ended.
    pub async fn dtmf(&self, call: CallId, digits: &str) -> Result<(), CommandError> {
        self.ask(|reply| Command::Dtmf(call, digits.to_owned(), reply)).await
    }

    /// How everything stands.
    ///
    /// # Errors
    /// When the phone has ended.
    pub async fn snapshot(&self) -> Result<Snapshot, CommandError> {
        let (sender, receiver) = oneshot::channel();
        self.commands.send(Command::Snapshot(sender)).await.map_err(|_| CommandError::Ended)?;
        receiver.await.map_err(|_| CommandError::Ended)
    }

    /// Ends all calls, takes all bindings back and waits, some seconds at most, for what is under way.
    ///
    /// # Errors
    /// The calls that are not in the database.
    pub async fn shutdown(&self) -> Result<(), crate::store::Unwritten> {
        let (sender, receiver) = oneshot::channel();
        if self.commands.send(Command::Shutdown(sender)).await.is_ok() {
            let _ = receiver.await;
        }
        match self.store.clone() {
            Some(store) => tokio::task::spawn_blocking(move || store.close(LAST_ROWS)).await.unwrap_or(Ok(())),
            None => Ok(()),
        }
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Refused>>) -> Command,
    ) -> Result<T, CommandError> {
        let (sender, receiver) = oneshot::channel();
        self.commands.send(command(sender)).await.map_err(|_| CommandError::Ended)?;
        Ok(receiver.await.map_err(|_| CommandError::Ended)??)
    }
}
