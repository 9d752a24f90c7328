//! SIP over TCP and TLS (RFC 3261 section 18): connections by the address of their peer, made when something is sent.
//!
//! ```text
//!  send ──▶ table ── remote ──▶ queue ──▶ write loop ──▶ ┌────────┐
//!                                 ▲ pong                 │ stream │   one task per connection
//!  inbox ◀── messages ◀── wire::Stream ◀── read loop ◀── └────────┘   (TLS: a handshake first)
//! ```

use super::bind::Bound;
use super::failure::Failure;
use super::limits::{Counters, Limits};
use super::stream::{Progress, Task};
use super::tcp::{Held, Listener};
use super::tls::{self, Names, Tls};
use super::transports::{Incoming, Now};
use crate::sip::hop::{Hop, Transport};
use crate::time::{Duration, Instant};
use bytes::Bytes;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;
use tokio_rustls::rustls::pki_types::CertificateDer;

/// Pause after a connection could not be accepted: file descriptors are short, and only time brings them back.
const PAUSE: Duration = Duration::from_millis(50);

/// How a response begins (RFC 3261 section 7.2): what answers a peer needs no name of it.
const RESPONSE: &[u8] = b"SIP/2.0 ";

/// All connections, of both directions; a handle.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Shared>);

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    table: Mutex<Table>,
    pub(super) bound: Bound,
    pub(super) tls: Option<Tls>,
    pub(super) limits: Limits,
    pub(super) now: Now,
    pub(super) counters: Arc<Counters>,
    pub(super) inbox: mpsc::Sender<Incoming>,
    /// Handshakes that peers may begin.
    pub(super) handshakes: Arc<Semaphore>,
    /// Ports that are kept for connections of ours.
    kept: Vec<Listener>,
    runtime: Handle,
}

/// Which stream: transport and peer.
type Key = (Transport, SocketAddr);

#[derive(Debug, Default)]
struct Table {
    open: HashMap<Key, Connection>,
    names: Names,
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
    /// Whom the peer has proved to be.
    certificate: Option<CertificateDer<'static>>,
}

/// Who made a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Accepted,
    Made,
}

impl Connections {
    /// The connections of these sockets; begins to accept some. Also gives what to abort at the end.
    pub(super) fn new(
        bound: Bound,
        listeners: Vec<(Transport, Listener)>,
        tls: Option<Tls>,
        limits: Limits,
        now: Now,
        counters: Arc<Counters>,
        inbox: mpsc::Sender<Incoming>,
    ) -> (Self, Vec<tokio::task::AbortHandle>) {
        let (mut kept, mut open) = (Vec::new(), Vec::new());
        for (transport, Listener { bound, socket }) in listeners {
            match socket {
                Held::Open(listener) => open.push((transport, bound, listener)),
                Held::Kept(_) => kept.push(Listener { bound, socket }),
            }
        }
        let handshakes = Arc::new(Semaphore::new(limits.handshakes));
        let (table, runtime) = (Mutex::default(), Handle::current());
        let connections =
            Self(Arc::new(Shared { table, bound, tls, limits, now, counters, inbox, handshakes, kept, runtime }));
        let accept = |(transport, bound, listener)| {
            tokio::spawn(connections.clone().accept(transport, bound, listener)).abort_handle()
        };
        let tasks = open.into_iter().map(accept).collect();
        (connections, tasks)
    }

    /// Accepts connections, until the task is aborted.
    async fn accept(self, transport: Transport, bound: SocketAddr, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, remote)) => {
                    // Through a wildcard, the connection itself knows best which address of ours the peer uses.
                    let Ok(local) = stream.local_addr() else { continue };
                    let local = SocketAddr::new(local.ip(), bound.port());
                    let hop = Hop { transport, local, remote };
                    let entered = self.0.enter(&mut self.0.table(), hop, Way::Accepted);
                    match entered {
                        Ok(task) => drop(self.0.runtime.spawn(task.run(Some(stream)))),
                        Err(error) => {
                            tracing::debug!(%hop, %error, "a connection is not accepted");
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
        let shared = &self.0;
        if shared.bound.local(hop.transport).is_none() {
            return Err(Failure::Off(hop.transport));
        }
        let mut table = shared.table();
        let mut bytes = bytes;
        let key = (hop.transport, hop.remote);
        if let Some(connection) = table.open.get(&key) {
            // Whoever connects to us from the address of a server has not proved to be that server.
            let stranger = hop.transport.secure()
                && connection.way == Way::Accepted
                && table.names.knows(hop.remote)
                && !bytes.starts_with(RESPONSE);
            match connection.queue.try_send(bytes.clone()) {
                _ if stranger => {}
                Ok(()) => return Ok(()),
                // It recovers, or the write loop gives it up.
                Err(mpsc::error::TrySendError::Full(_)) => return Err(Failure::SlowReader),
                // Its task is ending.
                Err(mpsc::error::TrySendError::Closed(unsent)) => bytes = unsent,
            }
        }
        let task = shared.enter(&mut table, *hop, Way::Made)?;
        if let Some(connection) = table.open.get(&key) {
            // There is room for one: the queue is new.
            let _ = connection.queue.try_send(bytes);
        }
        drop(table);
        drop(shared.runtime.spawn(task.run(None)));
        Ok(())
    }

    /// Closes the connection with `hop.remote` after what is queued was sent.
    pub(super) fn close(&self, hop: &Hop) {
        // The write loop ends with the last sender of its queue; its task tells.
        self.0.table().open.remove(&(hop.transport, hop.remote));
    }

    /// Closes everything and makes nothing new.
    pub(super) fn close_all(&self) {
        let mut table = self.0.table();
        table.closed = true;
        table.open.clear();
    }

    /// `host` leads to `hop`: the certificate there will have to be for `host`.
    ///
    /// # Errors
    /// The name that the peer is in use for, where its certificate is not for `host` too.
    pub(super) fn vouch(&self, host: &str, hop: &Hop) -> Result<(), tls::Conflict> {
        let Some(tls) = self.0.tls.as_ref().filter(|_| hop.transport.secure()) else { return Ok(()) };
        let mut table = self.0.table();
        let open = table.open.get(&(hop.transport, hop.remote)).filter(|connection| connection.way == Way::Made);
        let confirmed = match open.and_then(|connection| connection.certificate.as_ref()) {
            _ if !tls.checks_names() => Some(true),
            certificate => certificate.map(|certificate| tls::is_for(certificate, host).is_ok()),
        };
        table.names.note(self.0.now.read(), host, hop.remote, confirmed)
    }

    /// Connections that peers made and over which nothing came or went for [`Limits::unused`].
    pub(super) fn unused(&self) -> Vec<Hop> {
        let table = self.0.table();
        let before = self.0.now.read() - self.0.limits.unused;
        let accepted = table.open.iter().filter(|(_, connection)| connection.way == Way::Accepted);
        let unused = accepted.filter(|(_, connection)| connection.progress.active() < before);
        unused.map(|(_, connection)| connection.progress.hop).collect()
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

    fn accepted_from(&self, ip: IpAddr) -> usize {
        let accepted = self.open.iter().filter(|(_, connection)| connection.way == Way::Accepted);
        accepted.filter(|((_, remote), _)| remote.ip() == ip).count()
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
        let key = (hop.transport, hop.remote);
        if way == Way::Accepted && table.accepted_from(hop.remote.ip()) >= self.limits.per_source {
            return Err(Failure::TooMany);
        }
        let full = table.open.len() >= self.limits.connections && !table.open.contains_key(&key);
        if full && !table.give_way(now - self.limits.message) {
            return Err(Failure::TooMany);
        }
        table.made += 1;
        let number = table.made;
        let (sender, queue) = mpsc::channel(self.limits.unsent.max(1));
        let pongs = sender.downgrade();
        let progress = Arc::new(Progress::new(hop, now));
        let connection = Connection { number, queue: sender, progress: Arc::clone(&progress), way, certificate: None };
        table.open.insert(key, connection);
        let name = (hop.transport.secure() && way == Way::Made).then(|| table.names.of(hop.remote));
        Ok(Task { shared: Arc::clone(self), number, name, way, queue, pongs, progress })
    }

    /// Takes out connection `number` of `hop`; false if another has taken its place, and with it the transactions.
    pub(super) fn leave(&self, hop: Hop, number: u64) -> bool {
        let mut table = self.table();
        let key = (hop.transport, hop.remote);
        match table.open.get(&key) {
            Some(connection) if connection.number != number => false,
            _ => {
                table.open.remove(&key);
                true
            }
        }
    }

    /// The peer of connection `number` has proved to have `certificate`.
    pub(super) fn prove(&self, hop: Hop, number: u64, certificate: CertificateDer<'static>) {
        if let Some(connection) = self.table().open.get_mut(&(hop.transport, hop.remote))
            && connection.number == number
        {
            connection.certificate = Some(certificate);
        }
    }

    /// Where a connection of ours on `hop` comes from: the address that is bound, and the port if it is kept for that.
    pub(super) fn source(&self, hop: Hop) -> SocketAddr {
        let same = |local: &SocketAddr| local.port() == hop.local.port() && local.is_ipv4() == hop.remote.is_ipv4();
        let fits = |local: &SocketAddr| same(local) && (local.ip() == hop.local.ip() || local.ip().is_unspecified());
        let any = SocketAddr::new(if hop.remote.is_ipv4() { [0; 4].into() } else { [0; 16].into() }, 0);
        let found = self.bound.all(hop.transport).find(fits).or_else(|| self.bound.all(hop.transport).find(same));
        let Some(local) = found else { return any };
        let kept = self.kept.iter().any(|listener| listener.bound == local);
        SocketAddr::new(local.ip(), if kept { local.port() } else { 0 })
    }
}
