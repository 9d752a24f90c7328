//! SIP over TCP (RFC 3261 section 18): connections by the address of their peer, made when something is sent.
//!
//! ```text
//!  send ──▶ table ── remote ──▶ queue ──▶ write loop ──▶ ┌────────┐
//!                                 ▲ pong                 │ stream │   one task per connection
//!  inbox ◀── messages ◀── wire::Stream ◀── read loop ◀── └────────┘
//! ```

use super::failure::Failure;
use super::transports::{Counters, Incoming, Limits, Now};
use crate::sip::hop::{Hop, Transport};
use crate::sip::wire::{Stream, StreamItem};
use crate::time::{Duration, Instant};
use bytes::Bytes;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// Connections that the system holds before they are accepted.
const BACKLOG: i32 = 1024;

/// Octets read at once.
const READ: usize = 16 * 1024;

/// Pause after a connection could not be accepted: file descriptors are short, and only time brings them back.
const PAUSE: Duration = Duration::from_millis(50);

/// The keep-alive of a stream and its answer (RFC 5626 section 3.5.1).
const PING: &[u8] = b"\r\n\r\n";
const PONG: &[u8] = b"\r\n";

/// Binds a listener; port 0 for any.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Else IPv4 peers would show up with mapped addresses, which no SIP header may carry.
        socket.set_only_v6(true)?;
    }
    // Connections of an earlier run linger in the system; on Windows the option means something else.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// All connections, of both directions; a handle.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    bound: SocketAddr,
    limits: Limits,
    now: Now,
    counters: Arc<Counters>,
    inbox: mpsc::Sender<Incoming>,
    runtime: Handle,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<SocketAddr, Connection>,
    /// Connections so far: tells two with the same peer apart.
    made: u64,
    closed: bool,
}

#[derive(Debug)]
struct Connection {
    number: u64,
    queue: mpsc::Sender<Bytes>,
    progress: Arc<Progress>,
    way: Way,
}

/// Who made a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Accepted,
    Made,
}

/// What the task of a connection owns.
struct Task {
    shared: Arc<Shared>,
    number: u64,
    hop: Hop,
    queue: mpsc::Receiver<Bytes>,
    pongs: mpsc::WeakSender<Bytes>,
    progress: Arc<Progress>,
}

/// How a connection goes on.
#[derive(Debug)]
struct Progress {
    /// Nanoseconds since the start of the phone when something was last read or written.
    active: AtomicU64,
    /// Pings that were sent since the read loop last asked.
    pings: AtomicU64,
}

impl Connections {
    pub(super) fn new(
        bound: SocketAddr,
        limits: Limits,
        now: Now,
        counters: Arc<Counters>,
        inbox: mpsc::Sender<Incoming>,
    ) -> Self {
        let table = Mutex::default();
        Self(Arc::new(Shared { table, bound, limits, now, counters, inbox, runtime: Handle::current() }))
    }

    /// Accepts connections, until the task is aborted.
    pub(super) async fn accept(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, remote)) => {
                    // Through a wildcard, the connection itself knows best which address of ours the peer uses.
                    let Ok(local) = stream.local_addr() else { continue };
                    let local = SocketAddr::new(local.ip(), self.0.bound.port());
                    let hop = Hop { transport: Transport::Tcp, local, remote };
                    let entered = self.0.enter(&mut self.0.table(), hop, Way::Accepted);
                    match entered {
                        Ok(task) => drop(self.0.runtime.spawn(task.run(Some(stream)))),
                        Err(error) => {
                            tracing::debug!(%remote, %error, "a connection is not accepted");
                            self.0.counters.refused_connections.fetch_add(1, Relaxed);
                        }
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "accepting a connection failed");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Queues `bytes` for the connection with `hop.remote`; makes it if there is none.
    pub(super) fn send(&self, hop: &Hop, bytes: Bytes) -> Result<(), Failure> {
        let mut table = self.0.table();
        let mut bytes = bytes;
        if let Some(connection) = table.open.get(&hop.remote) {
            match connection.queue.try_send(bytes) {
                Ok(()) => return Ok(()),
                // It recovers, or the write loop gives it up.
                Err(mpsc::error::TrySendError::Full(_)) => return Err(Failure::SlowReader),
                // Its task is ending.
                Err(mpsc::error::TrySendError::Closed(unsent)) => bytes = unsent,
            }
        }
        let task = self.0.enter(&mut table, *hop, Way::Made)?;
        if let Some(connection) = table.open.get(&hop.remote) {
            // There is room for one: the queue is new.
            let _ = connection.queue.try_send(bytes);
        }
        drop(table);
        drop(self.0.runtime.spawn(task.run(None)));
        Ok(())
    }

    /// Closes the connection with `remote` after what is queued was sent.
    pub(super) fn close(&self, remote: SocketAddr) {
        // The write loop ends with the last sender of its queue; its task tells.
        self.0.table().open.remove(&remote);
    }

    /// Closes everything and makes nothing new.
    pub(super) fn close_all(&self) {
        let mut table = self.0.table();
        table.closed = true;
        table.open.clear();
    }
}

impl Table {
    /// Closes the accepted connection that was silent longest, if it was since `before`: peers that connect and say
    /// nothing more must not keep others out.
    fn give_way(&mut self, before: Instant) -> bool {
        let accepted = self.open.iter().filter(|(_, connection)| connection.way == Way::Accepted);
        let silent = accepted.map(|(remote, connection)| (connection.progress.active(), *remote)).min();
        match silent {
            Some((active, remote)) if active < before => self.open.remove(&remote).is_some(),
            _ => false,
        }
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an entry for a new connection; an older one with the same peer is dead and gives way.
    fn enter(self: &Arc<Self>, table: &mut Table, hop: Hop, way: Way) -> Result<Task, Failure> {
        if table.closed {
            return Err(Failure::Hangup);
        }
        let now = self.now.read();
        let full = table.open.len() >= self.limits.connections && !table.open.contains_key(&hop.remote);
        if full && !table.give_way(now - self.limits.message) {
            return Err(Failure::TooMany);
        }
        table.made += 1;
        let number = table.made;
        let (sender, queue) = mpsc::channel(self.limits.unsent.max(1));
        let pongs = sender.downgrade();
        let progress = Arc::new(Progress { active: AtomicU64::new(0), pings: AtomicU64::new(0) });
        progress.active_at(now);
        table.open.insert(hop.remote, Connection { number, queue: sender, progress: Arc::clone(&progress), way });
        Ok(Task { shared: Arc::clone(self), number, hop, queue, pongs, progress })
    }

    /// Takes out connection `number` with `remote`; false if another has taken its place, and with it the transactions.
    fn leave(&self, remote: SocketAddr, number: u64) -> bool {
        let mut table = self.table();
        match table.open.get(&remote) {
            Some(connection) if connection.number != number => false,
            _ => {
                table.open.remove(&remote);
                true
            }
        }
    }

    async fn connect(&self, remote: SocketAddr) -> Result<TcpStream, Failure> {
        let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if !self.bound.ip().is_unspecified() {
            socket.bind(SocketAddr::new(self.bound.ip(), 0))?;
        }
        timeout(self.limits.connect, socket.connect(remote)).await.map_err(|_| Failure::TimedOut)?.map_err(Into::into)
    }
}

impl Task {
    /// Lives as long as the connection; makes it first if it is not there.
    async fn run(mut self, accepted: Option<TcpStream>) {
        let way = if accepted.is_some() { Way::Accepted } else { Way::Made };
        let made = match accepted {
            Some(stream) => Ok(stream),
            None => self.shared.connect(self.hop.remote).await,
        };
        let why = match made {
            Ok(stream) => {
                self.shared.counters.connections.fetch_add(1, Relaxed);
                self.serve(stream, way).await
            }
            Err(why) => why,
        };
        let shared = self.shared;
        tracing::debug!(peer = %self.hop, %why, "connection ended");
        if !shared.leave(self.hop.remote, self.number) {
            return;
        }
        if !matches!(why, Failure::Closed | Failure::Hangup | Failure::Idle) {
            shared.counters.failed_connections.fetch_add(1, Relaxed);
        }
        let failed = Incoming::Failed { hop: self.hop, why, at: shared.now.read() };
        // Nobody wants to know when the inbox is gone.
        let _ = shared.inbox.send(failed).await;
    }

    async fn serve(&mut self, stream: TcpStream, way: Way) -> Failure {
        // A message is written at once and shall leave at once.
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        let from = Reading { shared: &self.shared, hop: self.hop, pongs: &self.pongs, progress: &self.progress };
        tokio::select! {
            why = from.read(reader, way) => why,
            why = write(writer, &mut self.queue, &self.shared, &self.progress) => why,
        }
    }
}

/// Writes what is queued, until nobody can queue anything.
async fn write(
    mut stream: impl AsyncWrite + Unpin,
    queue: &mut mpsc::Receiver<Bytes>,
    shared: &Shared,
    progress: &Progress,
) -> Failure {
    while let Some(bytes) = queue.recv().await {
        if bytes == PING {
            progress.pings.fetch_add(1, Relaxed);
        }
        match timeout(shared.limits.write, stream.write_all(&bytes)).await {
            Ok(Ok(())) => progress.active_at(shared.now.read()),
            Ok(Err(error)) => return error.into(),
            Err(_) => return Failure::SlowReader,
        }
    }
    let _ = timeout(shared.limits.linger, stream.shutdown()).await;
    Failure::Hangup
}

impl Progress {
    fn active_at(&self, now: Instant) {
        self.active.store(u64::try_from(now.since_start().as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    fn active(&self) -> Instant {
        Instant::at(Duration::from_nanos(self.active.load(Relaxed)))
    }
}

/// The read loop of a connection.
struct Reading<'a> {
    shared: &'a Shared,
    hop: Hop,
    pongs: &'a mpsc::WeakSender<Bytes>,
    progress: &'a Progress,
}

impl Reading<'_> {
    async fn read(&self, mut stream: impl AsyncRead + Unpin, way: Way) -> Failure {
        let limits = &self.shared.limits;
        let mut cut = Stream::new(limits.stream);
        let mut buffer = vec![0; READ];
        // A peer that connects has something to say.
        let mut begun = (way == Way::Accepted).then(|| self.shared.now.read());
        loop {
            let deadline = match begun {
                Some(begun) => begun + limits.message,
                None => self.progress.active() + limits.idle,
            };
            let read = tokio::select! {
                read = stream.read(&mut buffer) => read,
                () = sleep(deadline.since(self.shared.now.read())) => {
                    // Something may have been written meanwhile.
                    let now = self.shared.now.read();
                    match begun {
                        Some(_) if now >= deadline => return Failure::SlowSender,
                        None if now >= self.progress.active() + limits.idle => return Failure::Idle,
                        _ => continue,
                    }
                }
            };
            let octets = match read {
                Ok(0) => return Failure::Closed,
                Ok(length) => buffer.get(..length).unwrap_or_default(),
                Err(error) => return error.into(),
            };
            let heard = self.shared.now.read();
            self.progress.active_at(heard);
            (0..self.progress.pings.swap(0, Relaxed)).for_each(|_| cut.ping_sent());
            cut.push(octets);
            let mut whole = false;
            for item in cut.by_ref() {
                whole = true;
                let incoming = match item {
                    Ok(StreamItem::Message(message)) => {
                        Incoming::Message { source: self.hop, message: Box::new(message), at: heard }
                    }
                    Ok(StreamItem::KeepAlivePing) => {
                        self.pong();
                        Incoming::KeepAlive { source: self.hop, pong: false, at: heard }
                    }
                    Ok(StreamItem::KeepAlivePong) => Incoming::KeepAlive { source: self.hop, pong: true, at: heard },
                    Err(malformed) => {
                        Incoming::Malformed { source: self.hop, malformed: Box::new(malformed), at: heard }
                    }
                };
                if self.shared.inbox.send(incoming).await.is_err() {
                    return Failure::Hangup;
                }
            }
            if cut.is_broken() {
                // Reads on: closing with octets unread would reset the connection, and the reply with it.
                let _ =
                    timeout(limits.linger, async { while matches!(stream.read(&mut buffer).await, Ok(1..)) {} }).await;
                return Failure::NotSip;
            }
            begun = match begun {
                Some(begun) if !whole => Some(begun),
                _ => cut.is_inside_message().then_some(heard),
            };
        }
    }

    /// Answers a ping. Behind a full queue the peer gets signs of life enough.
    fn pong(&self) {
        if let Some(queue) = self.pongs.upgrade() {
            let _ = queue.try_send(Bytes::from_static(PONG));
        }
    }
}
