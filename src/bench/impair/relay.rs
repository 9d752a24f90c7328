//! The relay: sockets, threads and the clock around two [`Impairment`]s.
//!
//! One thread reads each socket and stamps what comes; one thread sends everything at its absolute time, and measures
//! how late it was.

use super::link::{Cause, Fate, Impairment, Recipe};
use super::report::{Direction, Line, Sheet, Writer, seconds};
use crate::driver::Clock;
use crate::random::Random;
use crate::time::{Duration, Instant};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Packets that may be on their way at once; more are dropped, as by a full queue.
const FLYING: usize = 100_000;

/// How often a reader looks whether the relay ends.
const LOOK: Duration = Duration::from_millis(100);

/// So long before its time a packet is waited for awake: a sleeping thread wakes up to this much late.
const AWAKE: Duration = Duration::from_micros(150);

/// What is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// One port.
    One,
    /// A port and the next one, for RTP and RTCP (RFC 3550 section 11), to a port and the next one.
    Rtp,
}

/// From where to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where the client sends to. What comes back from the target goes to who sent last.
    pub listen: SocketAddr,
    /// The target.
    pub to: SocketAddr,
    /// One port or two.
    pub pair: Pair,
}

/// A relay that does not start, or whose report is not whole.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A socket.
    #[error("cannot bind {address}: {source}; choose another --listen")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No port is next to the last one.
    #[error("{0} has no next port for RTCP; choose a port below 65535")]
    NoPair(SocketAddr),
    /// A thread, or the report.
    #[error("the relay cannot work: {0}")]
    System(#[from] io::Error),
}

/// What a relay did in one direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Packets that came in.
    pub received: u64,
    /// Packets that went out, copies not counted.
    pub delivered: u64,
    /// Lost by the loss model.
    pub lost: u64,
    /// Lost in an outage.
    pub outage: u64,
    /// Lost in the queue of the rate limit, or because too many were on their way.
    pub queue: u64,
    /// Copies that went out.
    pub duplicated: u64,
    /// Packets that were held back behind later ones.
    pub held_back: u64,
    /// Packets from the target when there was no client yet, and what the system refused to send.
    pub unsent: u64,
    /// Lines of the report that were dropped because the disk was slow.
    pub unreported: u64,
    /// How late packets went out, microseconds: mean, 99th percentile, worst.
    pub late_us: Lateness,
}

/// Lateness of sending, microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Lateness {
    /// The mean.
    pub mean: f64,
    /// The 99th percentile, to the next 10 microseconds.
    pub p99: f64,
    /// The worst.
    pub max: f64,
    #[serde(skip)]
    sum: f64,
    #[serde(skip)]
    count: u64,
    /// Counts by 10 microseconds; the last one holds everything above.
    #[serde(skip)]
    bins: Vec<u64>,
}

impl Lateness {
    const BINS: usize = 10_000;

    fn note(&mut self, late: Duration) {
        let micros = late.as_secs_f64() * 1e6;
        self.max = self.max.max(micros);
        self.sum += micros;
        self.count += 1;
        self.bins.resize(Self::BINS, 0);
        let bin = ((micros / 10.0) as usize).min(Self::BINS - 1);
        if let Some(count) = self.bins.get_mut(bin) {
            *count += 1;
        }
    }

    fn settle(&mut self) {
        self.mean = if self.count == 0 { 0.0 } else { self.sum / self.count as f64 };
        let mut left = self.count.saturating_sub(self.count / 100);
        let bin = self.bins.iter().position(|count| {
            left = left.saturating_sub(*count);
            left == 0
        });
        self.p99 = bin.map_or(0.0, |bin| ((bin + 1) * 10) as f64).min(self.max);
    }
}

/// A packet on its way, soonest first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    due: Reverse<(Instant, u64)>,
    way: usize,
    port: usize,
    number: u64,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct State {
    links: [Impairment; 2],
    totals: [Totals; 2],
    flying: BinaryHeap<Flying>,
    count: u64,
    /// Lines of packets with copies still to send, by direction and number.
    open: HashMap<(usize, u64), Line>,
    /// Who sent last to each port.
    clients: [Option<SocketAddr>; 2],
    ends: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    news: Condvar,
    clock: Clock,
    writer: Writer,
    /// Front and back sockets of each port.
    sockets: Vec<[UdpSocket; 2]>,
    to: Vec<SocketAddr>,
}

/// A running relay; see the [module](super).
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    listen: SocketAddr,
}

impl Relay {
    /// Starts a relay: `recipes` are for the way there and for the way back, `seed` decides what they do.
    ///
    /// # Errors
    /// When a port is taken or the system gives no threads.
    pub fn start(route: Route, recipes: [Recipe; 2], seed: u64, sheet: Sheet) -> Result<Self, RelayError> {
        let clock = Clock::new();
        let mut random = Random::from_seed(seed);
        let links = recipes.map(|recipe| Impairment::new(recipe, random.split()));
        let (mut sockets, mut to) = (Vec::new(), Vec::new());
        let mut listen = route.listen;
        for port in 0..if route.pair == Pair::Rtp { 2 } else { 1 } {
            let next = |address: SocketAddr| {
                let next = address.port().checked_add(port).ok_or(RelayError::NoPair(address))?;
                Ok::<_, RelayError>(SocketAddr::new(address.ip(), next))
            };
            let front = bind(next(listen)?)?;
            listen.set_port(front.local_addr()?.port() - port);
            let any = if route.to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let back = bind(if route.to.ip().is_loopback() {
                SocketAddr::new(route.to.ip(), 0)
            } else {
                any.parse().unwrap_or(route.listen)
            })?;
            sockets.push([front, back]);
            to.push(next(route.to)?);
        }
        let state = State {
            links,
            totals: Default::default(),
            flying: BinaryHeap::new(),
            count: 0,
            open: HashMap::new(),
            clients: [None; 2],
            ends: false,
        };
        let writer = Writer::start(sheet)?;
        let shared = Arc::new(Shared { state: Mutex::new(state), news: Condvar::new(), clock, writer, sockets, to });
        let mut relay = Self { shared: shared.clone(), threads: Vec::new(), listen };
        for port in 0..shared.sockets.len() {
            for way in 0..2 {
                let shared = shared.clone();
                relay.spawn("impair-read", move || shared.read(way, port))?;
            }
        }
        relay.spawn("impair-send", move || shared.send())?;
        Ok(relay)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(std::thread::Builder::new().name(name.into()).spawn(work)?);
        Ok(())
    }

    /// Where the client sends to.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// What was done so far: there, and back.
    pub fn totals(&self) -> [Totals; 2] {
        let mut totals = self.shared.lock().totals.clone();
        totals.iter_mut().for_each(|totals| totals.late_us.settle());
        totals
    }

    /// Follows another recipe in one direction from now on.
    pub fn change(&self, direction: Direction, recipe: Recipe) {
        let way = usize::from(direction == Direction::Reverse);
        if let Some(link) = self.shared.lock().links.get_mut(way) {
            link.change(recipe);
        }
    }

    /// Ends the relay, what is on its way included: the totals, and the lines of a [`Sheet::Memory`].
    ///
    /// # Errors
    /// When the report could not be written.
    pub fn finish(mut self) -> Result<([Totals; 2], Vec<Line>), RelayError> {
        self.stop();
        let totals = self.totals();
        let lines = match Arc::get_mut(&mut self.shared) {
            Some(shared) => shared.writer.finish()?,
            None => Vec::new(),
        };
        Ok((totals, lines))
    }

    fn stop(&mut self) {
        self.shared.lock().ends = true;
        self.shared.news.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop();
    }
}

fn bind(address: SocketAddr) -> Result<UdpSocket, RelayError> {
    let fail = |source| RelayError::Bind { address, source };
    let socket = UdpSocket::bind(address).map_err(fail)?;
    socket.set_read_timeout(Some(LOOK)).map_err(fail)?;
    Ok(socket)
}

impl Shared {
    /// A thread that panicked has done nothing by halves: every change of the state is complete.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads one socket until the relay ends: the front of `port` for the way there, its back for the way back.
    fn read(&self, way: usize, port: usize) {
        let (Some(sockets), Some(to)) = (self.sockets.get(port), self.to.get(port)) else { return };
        let Some(socket) = sockets.get(way) else { return };
        let mut buffer = vec![0; 65_535];
        while !self.lock().ends {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
            let now = self.clock.now();
            // Only the target speaks for the target.
            if way == 1 && from != *to {
                continue;
            }
            self.take(way, port, from, now, buffer.get(..length).unwrap_or_default());
        }
    }

    fn take(&self, way: usize, port: usize, from: SocketAddr, now: Instant, bytes: &[u8]) {
        let mut state = self.lock();
        let State { links, totals, flying, count, open, clients, .. } = &mut *state;
        let (Some(link), Some(totals)) = (links.get_mut(way), totals.get_mut(way)) else { return };
        if way == 0
            && let Some(client) = clients.get_mut(port)
        {
            *client = Some(from);
        }
        let number = totals.received;
        totals.received += 1;
        let mut fate = link.pass(now, bytes.len());
        if flying.len() >= FLYING {
            fate = Fate::Lost(Cause::Queue);
        }
        match fate {
            Fate::Lost(Cause::Loss) => totals.lost += 1,
            Fate::Lost(Cause::Outage) => totals.outage += 1,
            Fate::Lost(Cause::Queue) => totals.queue += 1,
            Fate::Arrives { held_back, .. } => totals.held_back += u64::from(held_back),
        }
        let direction = if way == 0 { Direction::Forward } else { Direction::Reverse };
        let line = Line::new(direction, u8::from(port == 1), number, now, bytes, fate);
        if let Fate::Lost(_) = fate {
            totals.unreported += u64::from(!self.writer.write(line));
            return;
        }
        open.insert((way, number), line);
        for due in fate.times() {
            *count += 1;
            flying.push(Flying { due: Reverse((due, *count)), way, port, number, bytes: bytes.to_vec() });
        }
        drop(state);
        self.news.notify_one();
    }

    /// Sends what is due until the relay ends.
    fn send(&self) {
        loop {
            let mut state = self.lock();
            if state.ends {
                return;
            }
            let Some(due) = state.flying.peek().map(|flying| flying.due.0.0) else {
                drop(self.news.wait_timeout(state, LOOK));
                continue;
            };
            let now = self.clock.now();
            if due > now + AWAKE {
                drop(self.news.wait_timeout(state, due.since(now) - AWAKE));
                continue;
            }
            if due > now {
                drop(state);
                while self.clock.now() < due {
                    std::hint::spin_loop();
                }
                continue;
            }
            if let Some(flying) = state.flying.pop() {
                let client = state.clients.get(flying.port).copied().flatten();
                drop(state);
                self.send_one(&flying, client);
            }
        }
    }

    fn send_one(&self, flying: &Flying, client: Option<SocketAddr>) {
        let Flying { due: Reverse((due, _)), way, port, number, ref bytes } = *flying;
        let target = self.to.get(port).copied();
        // The way there leaves by the back, the way back by the front.
        let to = if way == 0 { target } else { client };
        let socket = self.sockets.get(port).and_then(|sockets| sockets.get(1 - way));
        let sent = socket.zip(to).is_some_and(|(socket, to)| socket.send_to(bytes, to).is_ok());
        let now = self.clock.now();
        let mut state = self.lock();
        let State { totals, open, .. } = &mut *state;
        let Some(totals) = totals.get_mut(way) else { return };
        totals.late_us.note(now.since(due));
        let Some(line) = open.get_mut(&(way, number)) else { return };
        let copy = !line.sent.is_empty();
        line.sent.push(seconds(now));
        match (sent, copy) {
            (false, _) => totals.unsent += 1,
            (true, false) => totals.delivered += 1,
            (true, true) => totals.duplicated += 1,
        }
        if line.sent.len() == line.due.len()
            && let Some(line) = open.remove(&(way, number))
        {
            totals.unreported += u64::from(!self.writer.write(line));
        }
    }
}
