//! The media of every call, on a few threads.
//!
//! ```text
//!  MediaDriver ──commands (bounded, waker)──▶ worker ⇄ sockets of its calls
//!       ▲                                       │ owns: session, source, sink, recorder of each
//!       └──────────events (bounded)─────────────┘
//! ```
//!
//! A worker owns its calls outright: nothing is shared, nothing locked. Each call is paced on an absolute schedule (one
//! tick per packet time) or, with a microphone, by the device. A worker never waits for a disk, a device or whoever
//! takes the events.

mod call;
mod closing;
mod event;
mod gather;
mod listening;
mod load;
mod outbox;
mod port;
mod room;
mod schedule;
mod worker;

pub use event::{Counters, Event, Failure, Finished, Trouble};
pub use gather::Tape;
pub use load::WorkerLoad;

use super::clock::Clock;
use crate::audio::{Adjust, Device, DeviceOptions, Input, Layout, Listener, Recorder, Sink, Source, Wanted, WavError};
use crate::media::dtmf::{Digit, Way};
use crate::media::plan::Plan;
use crate::media::session::Unusable;
use crate::media::session::{self, Expected, Gate, Session};
use crate::net::{PortPair, PortRange, PortsError, RtpPorts};
use crate::random::Random;
use call::{Ends, Parts};
use listening::Listening;
use load::Load;
use outbox::Outbox;
use port::Port;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use tokio::sync::mpsc::Receiver;
use worker::{Command, WAKER, Worker};

/// Commands that may wait for a worker; it takes them at least once per millisecond while it has calls.
const COMMANDS: usize = 1_024;

/// How the media of a phone runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads, at least one; calls are spread over them.
    pub workers: usize,
    /// Ports for RTP; `None` lets the system choose.
    pub ports: Option<PortRange>,
    /// Events that may wait to be taken.
    pub events: usize,
    /// Where recordings are noted while they are written, so that a crash does not cost them.
    pub journal: Option<PathBuf>,
}

impl Default for Settings {
    /// One worker per two processors, at most four: a worker carries hundreds of G.711 calls.
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self { workers: (processors / 2).clamp(1, 4), ports: None, events: 4_096, journal: None }
    }
}

/// What a call's audio is connected to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Io {
    /// What we send.
    pub source: Source,
    /// Where what we hear goes.
    pub sink: Sink,
    /// A file to record to: WAV, or Opus in Ogg when its name ends in `.opus` or `.ogg`.
    pub record: Option<PathBuf>,
    /// Who is in which channel of the recording.
    pub layout: Layout,
    /// What a far end hears that we put on hold.
    pub music: Source,
    /// How its sound devices are used.
    pub sound: DeviceOptions,
}

impl Io {
    /// The same for another call, with a recording of its own beside the first: a file holds one call.
    pub fn for_another(&self, number: u64) -> Self {
        let beside = |path: &PathBuf| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let mut name = format!("{stem}-{number}");
            if let Some(extension) = path.extension() {
                name = format!("{name}.{}", extension.to_string_lossy());
            }
            path.with_file_name(name)
        };
        Self { record: self.record.as_ref().map(beside), ..self.clone() }
    }

    /// Has the devices opened that it names, if any.
    fn open_device(&self, rate: u32) -> Option<Device> {
        let wanted = Wanted {
            input: if let Source::Device(id) = &self.source { Some(id.clone()) } else { None },
            output: if let Sink::Device(id) = &self.sink { Some(id.clone()) } else { None },
        };
        (wanted != Wanted::default()).then(|| Device::open(wanted, &self.sound, rate))
    }

    /// Is one of its ends a sound device?
    pub(crate) fn has_device(&self) -> bool {
        matches!(self.source, Source::Device(_)) || matches!(self.sink, Sink::Device(_))
    }

    /// Opens the ear that it names, if any.
    fn open_ear(&self) -> Option<Listener> {
        if let Sink::Live(ear) = &self.sink { ear.open() } else { None }
    }
}

/// Everything that the media of a call starts with.
#[derive(Debug)]
pub struct CallStart {
    /// The ports that our SDP named.
    pub ports: PortPair,
    /// What was negotiated.
    pub plan: Plan,
    /// What is chosen on our side.
    pub config: session::Config,
    /// What the audio is connected to.
    pub io: Io,
    /// Chance of this call: SSRC, first sequence number, RTCP intervals.
    pub random: Random,
}

/// Why a call's media does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A codec or key of the plan cannot be used.
    #[error(transparent)]
    Plan(#[from] Unusable),
    /// The source cannot be played.
    #[error(transparent)]
    Source(#[from] WavError),
    /// The sockets cannot be used.
    #[error("the RTP sockets cannot be used: {0}; choose another local address")]
    Sockets(io::Error),
    /// The recording does not begin.
    #[error(transparent)]
    Recording(#[from] crate::audio::RecorderError),
    /// The worker does not take it.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Why a worker does not take a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many commands wait.
    #[error("the media worker is overloaded: 1024 commands wait; try again, or with fewer calls")]
    Overloaded,
    /// The worker has ended.
    #[error("the media worker has ended; start the phone again")]
    Ended,
}

/// The handle on the media threads. Dropping it ends every call and waits for the threads.
#[derive(Debug)]
pub struct MediaDriver {
    workers: Vec<WorkerHandle>,
    ports: RtpPorts,
    clock: Clock,
    /// Calls that are on another worker than their key says.
    moved: HashMap<u64, usize>,
    journal: Option<PathBuf>,
}

#[derive(Debug)]
struct WorkerHandle {
    commands: SyncSender<Command>,
    waker: Arc<mio::Waker>,
    load: Arc<Load>,
    thread: Option<JoinHandle<()>>,
}

impl MediaDriver {
    /// Starts the threads. Events of every call come out of the receiver.
    ///
    /// # Errors
    /// If the system gives no thread or no poll.
    pub fn start(settings: &Settings, clock: Clock) -> io::Result<(Self, Receiver<Event>)> {
        let (sender, events) = tokio::sync::mpsc::channel(settings.events.max(1));
        let mut workers = Vec::new();
        let mut waiting = Vec::new();
        for _ in 0..settings.workers.max(1) {
            let poll = mio::Poll::new()?;
            let waker = Arc::new(mio::Waker::new(poll.registry(), WAKER)?);
            let (commands, inbox) = sync_channel(COMMANDS);
            let load = Arc::new(Load::default());
            waiting.push(Worker::new(poll, clock, inbox, Outbox::new(sender.clone()), load.clone()));
            workers.push(WorkerHandle { commands, waker, load, thread: None });
        }
        let peers: Vec<_> = workers.iter().map(|worker| (worker.commands.clone(), worker.waker.clone())).collect();
        for (number, worker) in waiting.into_iter().enumerate() {
            let peers = peers.clone();
            let thread = thread::Builder::new().name(format!("media {number}")).spawn(move || worker.run(peers))?;
            workers[number].thread = Some(thread);
        }
        let ports = RtpPorts::new(settings.ports.clone());
        Ok((Self { workers, ports, clock, moved: HashMap::new(), journal: settings.journal.clone() }, events))
    }

    /// Binds a pair of ports on `ip` for a call; they are named in its SDP and handed to [`MediaDriver::start_call`].
    ///
    /// # Errors
    /// If the address is not ours or no pair is free.
    pub fn open_ports(&self, ip: IpAddr) -> Result<PortPair, PortsError> {
        self.ports.open(ip)
    }

    /// Has a worker answer what may come to the ports of the call `key` before its far end has answered; the start of its
    /// media goes on from there. [`MediaDriver::stop`] ends it too.
    ///
    /// # Errors
    /// If the sockets cannot be used or the worker takes no more.
    pub fn listen(&self, key: u64, ports: &PortPair, expected: Expected) -> Result<(), StartError> {
        let port = |socket: &std::net::UdpSocket| socket.try_clone().and_then(Port::new).map_err(StartError::Sockets);
        let listening = Listening::new(Gate::open(expected), port(&ports.rtp)?, port(&ports.rtcp)?);
        Ok(self.tell(key, Command::Listen(key, Box::new(listening)))?)
    }

    /// Starts the media of the call `key`; it runs until [`MediaDriver::stop`].
    ///
    /// A device that is missing or a recording that cannot be written is told by [`Event::Trouble`], and the call goes
    /// on with silence, without playing, unrecorded.
    ///
    /// # Errors
    /// If the codec, the source or the sockets cannot be used, or the worker takes no more.
    pub fn start_call(&self, key: u64, start: CallStart) -> Result<(), StartError> {
        let CallStart { ports, plan, config, io, random } = start;
        let session = Session::new(self.clock.now(), plan, config, random)?;
        let rate = session.rate();
        let input = Input::with_music(&io.source, &io.music, rate)?;
        let rtp = Port::new(ports.rtp).map_err(StartError::Sockets)?;
        let rtcp = Port::new(ports.rtcp).map_err(StartError::Sockets)?;
        let device = io.open_device(rate);
        let listener = io.open_ear();
        let mut troubles = Vec::new();
        if let Source::Tone(hz) = io.source
            && 2.0 * hz >= f64::from(rate)
        {
            troubles.push(Trouble::Tone { hz, rate });
        }
        let recorder = io.record.and_then(|path| {
            Recorder::open(&path, rate, io.layout, self.journal.as_deref())
                .map_err(|error| troubles.push(Trouble::Recording(error)))
                .ok()
        });
        let parts = Parts { key, session, rtp, rtcp, input, device, listener, recorder, troubles };
        Ok(self.tell(key, Command::Start(Box::new(parts)))?)
    }

    /// Connects the audio of the running call `key` anew.
    ///
    /// # Errors
    /// If the source cannot be used, or the worker takes no more.
    pub fn connect(&self, key: u64, io: Io) -> Result<(), StartError> {
        // The call makes them fit its own rate.
        let rate = 8_000;
        let input = Input::with_music(&io.source, &io.music, rate)?;
        let device = io.open_device(rate);
        let mut troubles = Vec::new();
        let listener = io.open_ear();
        let recorder = io.record.and_then(|path| {
            Recorder::open(&path, rate, io.layout, self.journal.as_deref())
                .map_err(|error| troubles.push(Trouble::Recording(error)))
                .ok()
        });
        Ok(self.tell(key, Command::Connect(key, Box::new(Ends { input, device, listener, recorder, troubles })))?)
    }

    /// Follows a renegotiation of the call `key`. A plan that cannot be followed is told by [`Event::Failed`].
    ///
    /// # Errors
    /// If the worker takes no more.
    pub fn update(&self, key: u64, plan: Plan) -> Result<(), Refused> {
        self.tell(key, Command::Update(key, Box::new(plan)))
    }

    /// Has the call `key` take and send RTP on other ports; everything else of it goes on.
    ///
    /// # Errors
    /// If the sockets cannot be used or the worker takes no more.
    pub fn move_to(&self, key: u64, ports: PortPair) -> Result<(), StartError> {
        let rtp = Port::new(ports.rtp).map_err(StartError::Sockets)?;
        let rtcp = Port::new(ports.rtcp).map_err(StartError::Sockets)?;
        Ok(self.tell(key, Command::Move(key, Box::new((rtp, rtcp))))?)
    }

    /// Sends digits on the call `key`, after those that wait already: as telephone events, or as tones.
    ///
    /// # Errors
    /// If the worker takes no more.
    pub fn dtmf(&self, key: u64, digits: Vec<Digit>, way: Way) -> Result<(), Refused> {
        self.tell(key, Command::Dtmf(key, digits, way))
    }

    /// Sends silence on the call `key`, or what its source says again.
    ///
    /// # Errors
    /// If the worker takes no more.
    pub fn mute(&self, key: u64, muted: bool) -> Result<(), Refused> {
        self.tell(key, Command::Mute(key, muted))
    }

    /// Turns something at the sound devices of the call `key`.
    ///
    /// # Errors
    /// If the worker takes no more.
    pub fn adjust(&self, key: u64, adjust: Adjust) -> Result<(), Refused> {
        self.tell(key, Command::Adjust(key, adjust))
    }

    /// Ends the media of the call `key`; [`Event::Finished`] follows when everything of it is closed, at once and empty if
    /// there is no such call.
    ///
    /// An end is never refused: it waits, some milliseconds at worst, until an overloaded worker takes it.
    pub fn stop(&mut self, key: u64) {
        let worker = self.worker(key);
        // A worker that has ended has closed its calls.
        let _ = worker.commands.send(Command::Stop(key));
        let _ = worker.waker.wake();
        self.moved.remove(&key);
    }

    /// How each worker bears its load.
    pub fn load(&self) -> Vec<WorkerLoad> {
        self.workers.iter().map(|worker| worker.load.read()).collect()
    }

    fn worker(&self, key: u64) -> &WorkerHandle {
        &self.workers[self.moved.get(&key).copied().unwrap_or_else(|| self.home(key))]
    }

    /// Keys count up, so this spreads calls and conferences evenly. There is at least one worker.
    fn home(&self, key: u64) -> usize {
        usize::try_from(key % self.workers.len() as u64).unwrap_or_default()
    }

    fn tell(&self, key: u64, command: Command) -> Result<(), Refused> {
        self.tell_worker(self.moved.get(&key).copied().unwrap_or_else(|| self.home(key)), command)
    }

    fn tell_worker(&self, worker: usize, command: Command) -> Result<(), Refused> {
        let worker = &self.workers[worker];
        worker.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Overloaded,
            TrySendError::Disconnected(_) => Refused::Ended,
        })?;
        // The worker looks at its commands on each turn; without a wake-up it does so a little later.
        let _ = worker.waker.wake();
        Ok(())
    }
}

impl Drop for MediaDriver {
    fn drop(&mut self) {
        for worker in &self.workers {
            let _ = worker.commands.send(Command::Shutdown);
            let _ = worker.waker.wake();
        }
        for thread in self.workers.iter_mut().filter_map(|worker| worker.thread.take()) {
            // A worker that panicked has said so.
            let _ = thread.join();
        }
    }
}
