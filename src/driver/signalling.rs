//! The one task that owns the engine: it carries out outputs and brings back what happened.
//!
//! ```text
//!  commands ─────▶ ┌───────────┐ ──▶ sockets, resolver tasks
//!  datagrams ────▶ │ Signalling│ ──▶ media workers
//!  media events ─▶ │  (Engine) │ ──▶ tell(Happening)
//!  timer ────────▶ └───────────┘
//! ```

mod bells;
mod media_orders;
mod mixing;
mod obey;
mod publicity;
mod sound;

use super::clock::Clock;
use super::kept_out::KeptOut;
use super::media::{Event as MediaNews, Io, MediaDriver, WorkerLoad};
use super::network::{self, Eye, Resolved};
pub use super::notice::{Notice, Recorded, Sound};
use super::recording;
use crate::audio::Adjust;
use crate::call::record::Record;
use crate::call::{self, CallId, Change, MediaEvent};
use crate::engine::{Aside, Dial, Engine, Output, Refused, Registration};
use crate::media::dtls::Identity;
use crate::media::session;
use crate::net::{Failure, Inbox, Incoming, PortPair, Transports};
use crate::random::Random;
use crate::sip::agent::{AccountId, OutsideId};
use crate::sip::guard::Counters;
use crate::sip::hop::Hop;
use crate::sip::message::Status;
use crate::sip::registration;
use crate::sip::uri::Uri;
use crate::sip::wire::StreamItem;
use crate::time::{Duration, Instant};
use crate::trace::{Note, Recorder};
pub use bells::{Bells, Tones};
use mixing::Conferences;
pub use mixing::{ConferenceId, Member, Mixing, Part, StreamTap};
use publicity::Publicity;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use tokio::sync::{mpsc, oneshot};

/// How long an ending phone waits for the far ends' last answers.
const FAREWELL: Duration = Duration::from_secs(4);

/// Answers of the resolver that may wait.
const RESOLVED: usize = 256;

/// Accepted or refused.
pub type Reply<T> = oneshot::Sender<Result<T, Refused>>;

/// What the signalling task is told. The reply means accepted or refused; progress comes as [`Happening`]s.
#[derive(Debug)]
pub enum Command {
    /// Register an account and keep it registered.
    Register(AccountId, Reply<()>),
    /// Take a binding back.
    Unregister(AccountId, Reply<()>),
    /// Make a call, its audio connected to `Io`.
    Dial(Box<Dial>, Io, Reply<CallId>),
    /// Answer a call, its audio connected to `Io`.
    Answer(CallId, Io, Reply<()>),
    /// Connect the audio of a call to `Io`, before its answer (early media) or in its course.
    Connect(CallId, Io, Reply<()>),
    /// Decline a call.
    Reject(CallId, Status, Reply<()>),
    /// End a call.
    Hangup(CallId, Reply<()>),
    /// Hold, resume or otherwise change a call.
    Change(CallId, Change, Reply<()>),
    /// Send DTMF digits.
    Dtmf(CallId, String, Reply<()>),
    /// Send silence, or the voice again.
    Mute(CallId, bool, Reply<()>),
    /// Turn something at the sound devices of a call.
    Adjust(CallId, Adjust, Reply<()>),
    /// Send the far end to somebody else.
    Transfer(CallId, Uri, Reply<()>),
    /// Join the far ends of two calls.
    TransferAttended(CallId, CallId, Reply<()>),
    /// Follow the far end to whom it sends us, or not.
    DecideTransfer(CallId, bool, Reply<()>),
    /// Take RTP at another address of ours.
    MoveMedia(CallId, IpAddr, Reply<()>),
    /// Send a text.
    Message(AccountId, Uri, String, Reply<OutsideId>),
    /// Ask a peer every so often whether it is there; the account's domain when absent.
    Watch(AccountId, Option<Uri>, Duration, Reply<()>),
    /// Subscribe to the mailbox of an account, each time for so long.
    Subscribe(AccountId, Duration, Reply<()>),
    /// Do something with the sound of calls.
    Mixing(Mixing),
    /// How everything stands.
    Snapshot(oneshot::Sender<Snapshot>),
    /// End all calls, take all bindings back, then end.
    Shutdown(oneshot::Sender<()>),
}

/// How everything stands.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The registrations.
    pub registrations: Vec<Registration>,
    /// The calls that are not over.
    pub calls: Vec<(CallId, Record)>,
    /// What was kept out so far.
    pub counters: Counters,
    /// How each media thread bears its load.
    pub media: Vec<WorkerLoad>,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Happening {
    /// In a call.
    Call(call::Event),
    /// With a registration.
    Registration(Registration),
    /// Outside of calls.
    Aside(Box<Aside>),
    /// A recording of a call is complete.
    Recorded(CallId, Box<Recorded>),
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
}

/// What the signalling task owns.
#[derive(Debug)]
pub struct Signalling {
    /// The pure root.
    pub engine: Engine,
    /// The one clock.
    pub clock: Clock,
    /// The sockets' sending side.
    pub transports: Transports,
    /// The sockets' receiving side.
    pub inbox: Inbox,
    /// The media workers.
    pub media: MediaDriver,
    /// What the media workers tell.
    pub media_events: mpsc::Receiver<MediaNews>,
    /// Chance of media sessions.
    pub random: Random,
    /// Whom to ask how the world sees us: host and port.
    pub stun: Option<(String, u16)>,
    /// The flight recorder.
    pub recorder: Recorder,
    /// What is heard of calls that are not answered.
    pub bells: Bells,
    /// Who we are in the handshake of DTLS-SRTP.
    pub identity: Option<Identity>,
}

struct Turn<F> {
    signalling: Signalling,
    tell: F,
    audio: HashMap<CallId, Io>,
    ports: HashMap<CallId, PortPair>,
    /// The calls whose ports a media worker listens on already.
    listening: HashSet<CallId>,
    /// The ports that calls which run move to.
    moving: HashMap<CallId, PortPair>,
    /// The calls whose media has started, and the rate of their audio, Hz.
    playing: HashMap<CallId, u32>,
    resolved: mpsc::Sender<Resolved>,
    config: session::Config,
    publicity: Publicity,
    conferences: Conferences,
    farewell: Option<Farewell>,
    kept_out: KeptOut,
}

struct Farewell {
    until: Instant,
    done: oneshot::Sender<()>,
}

impl Signalling {
    /// Runs until [`Command::Shutdown`], or until nobody is left to send commands. `tell` must not wait.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>, tell: impl FnMut(Happening)) {
        let (resolved, mut resolutions) = mpsc::channel(RESOLVED);
        let (publicity, mut seen) = Publicity::new(self.stun.clone());
        let cname = self.random.token(16);
        let config = session::Config { cname, identity: self.identity.clone(), ..session::Config::default() };
        let mut turn = Turn {
            signalling: self,
            tell,
            audio: HashMap::new(),
            ports: HashMap::new(),
            listening: HashSet::new(),
            moving: HashMap::new(),
            playing: HashMap::new(),
            resolved,
            config,
            publicity,
            conferences: Conferences::default(),
            farewell: None,
            kept_out: KeptOut::default(),
        };
        turn.be_public().await;
        let mut eye = Eye::open(turn.now());
        loop {
            turn.carry_out();
            let now = turn.now();
            turn.kept_out.look(now, turn.signalling.engine.counters());
            if turn.is_over(now) {
                turn.signalling.engine.abandon(now);
                turn.carry_out();
                break;
            }
            let farewell = turn.farewell.as_ref().map(|farewell| farewell.until);
            turn.signalling.recorder.handle_timeout(now);
            let recorder = turn.signalling.recorder.poll_timeout();
            let Signalling { transports, engine, .. } = &mut turn.signalling;
            if eye.look(now, transports, engine) {
                continue;
            }
            let deadline = turn.signalling.engine.poll_timeout().into_iter().chain(farewell).chain(recorder);
            let deadline = deadline.chain([eye.next()]).min();
            let pause = deadline.map_or(Duration::from_secs(3600), |deadline| deadline.since(now));
            if pause.is_zero() {
                // Before anything else: a flood of packets must not hold up what is due.
                turn.signalling.engine.handle_timeout(now);
            }
            tokio::select! {
                event = turn.signalling.media_events.recv() => match event {
                    Some(event) => turn.handle_media(event),
                    None => break,
                },
                incoming = turn.signalling.inbox.next() => match incoming {
                    Some(incoming) => turn.handle_incoming(incoming),
                    None => break,
                },
                Some((id, found)) = resolutions.recv() => {
                    let now = turn.now();
                    turn.signalling.engine.handle_resolved(now, id, found);
                }
                Some(seen) = seen.recv() => turn.handle_seen(seen),
                () = turn.publicity.due() => turn.refresh_public(),
                command = commands.recv() => match command {
                    Some(command) => turn.handle_command(command),
                    // Nobody can ask for an orderly end any more.
                    None => break,
                },
                () = tokio::time::sleep(pause) => {
                    let now = turn.now();
                    turn.signalling.engine.handle_timeout(now);
                }
            }
        }
        let Turn { signalling, farewell, .. } = turn;
        // The last messages are with the sockets; media threads are joined where waiting is allowed.
        let Signalling { media, transports, recorder, .. } = signalling;
        let _ = tokio::task::spawn_blocking(move || (drop(media), recorder.close())).await;
        drop(transports);
        if let Some(farewell) = farewell {
            let _ = farewell.done.send(());
        }
    }
}

impl<F: FnMut(Happening)> Turn<F> {
    fn now(&self) -> Instant {
        self.signalling.clock.now()
    }

    fn is_over(&self, now: Instant) -> bool {
        let Some(farewell) = &self.farewell else { return false };
        let engine = &self.signalling.engine;
        let gone = |registration: Registration| {
            matches!(registration.state, registration::State::Unregistered | registration::State::Failed { .. })
        };
        let quiet = engine.is_settled() && engine.registrations().all(gone) && !self.signalling.bells.is_telling();
        now >= farewell.until || quiet
    }

    /// Does everything that the engine wants done.
    fn carry_out(&mut self) {
        while let Some(output) = self.signalling.engine.poll_output() {
            match output {
                Output::Transmit { hop, bytes } => {
                    let now = self.now();
                    self.signalling.recorder.message(now, true, &hop, &bytes);
                    if let Err(why) = self.signalling.transports.send(&hop, bytes) {
                        tracing::debug!(%hop, %why, "a message could not be sent");
                        self.fail(hop, why);
                    }
                }
                Output::Binding { hop, id } => self.ask_binding(hop, id),
                Output::Disconnect { hop } => self.signalling.transports.close(&hop),
                Output::Resolve { id, host, port, transport } => {
                    let asked = (self.signalling.transports.resolver(), host, port, transport);
                    network::look_up(id, asked, self.resolved.clone());
                }
                Output::Media { call, order } => self.see_to_media(call, order),
                Output::Inherit { call, from } => {
                    if let Some(io) = self.audio.get(&from) {
                        self.audio.insert(call, io.for_another(call.0));
                    }
                }
                Output::Call(event) => {
                    let now = self.now();
                    self.signalling.recorder.call(now, &event);
                    self.ring(&event);
                    if event.moment == call::Moment::Ended {
                        self.conferences.forget(event.call);
                        self.audio.remove(&event.call);
                        self.playing.remove(&event.call);
                        self.ports.remove(&event.call);
                        self.listening.remove(&event.call);
                        self.moving.remove(&event.call);
                    }
                    (self.tell)(Happening::Call(event));
                }
                Output::Registration(registration) => {
                    let now = self.now();
                    recording::registration(&mut self.signalling.recorder, now, &registration);
                    (self.tell)(Happening::Registration(registration));
                }
                Output::Aside(aside) => (self.tell)(Happening::Aside(aside)),
            }
        }
    }

    fn bring(&mut self, call: CallId, event: MediaEvent) {
        let now = self.now();
        self.signalling.engine.handle_media(now, call, event);
    }

    fn note(&mut self, call: CallId, note: impl FnOnce() -> Note) {
        let now = self.now();
        self.signalling.recorder.note(now, call, note);
    }

    fn notice(&mut self, call: CallId, kind: Notice, text: String) {
        (self.tell)(Happening::Notice { call, kind, text });
    }

    fn fail(&mut self, hop: Hop, why: Failure) {
        let now = self.now();
        match why {
            Failure::Tls(sentence) => self.signalling.engine.handle_transport_failure(now, hop, sentence),
            _ => self.signalling.engine.handle_transport_error(now, hop),
        }
    }

    fn handle_incoming(&mut self, incoming: Incoming) {
        let now = self.now();
        let Signalling { engine, recorder, .. } = &mut self.signalling;
        match incoming {
            Incoming::Datagram { source, bytes, .. } => {
                recorder.message(now, false, &source, &bytes);
                engine.handle_datagram(now, source, &bytes);
            }
            Incoming::Message { source, message, octets, .. } => {
                recorder.message(now, false, &source, &octets);
                engine.handle_stream_item(now, source, Ok(StreamItem::Message(*message)))
            }
            Incoming::Malformed { source, malformed, .. } => engine.handle_stream_item(now, source, Err(*malformed)),
            Incoming::KeepAlive { source, pong: true, .. } => {
                engine.handle_stream_item(now, source, Ok(StreamItem::KeepAlivePong));
            }
            Incoming::Stun { source, message, .. } => self.handle_stun(source, message),
            // The sockets have answered a ping already.
            Incoming::KeepAlive { pong: false, .. } => {}
            // We closed it and know; by now another one to the same peer may have taken its place.
            Incoming::Failed { hop, why: Failure::Hangup, .. } => tracing::debug!(%hop, "a connection is closed"),
            Incoming::Failed { hop, why, .. } => {
                tracing::debug!(%hop, %why, "a connection is gone");
                self.fail(hop, why);
            }
        }
    }
}
