//! The signalling sockets behind one door.
//!
//! ```text
//!             send(hop, bytes)                        next()
//!  driver ──▶ Transports ──┬─▶ UDP socket ──────────▶ Inbox ──▶ driver
//!                          └─▶ Connections (TCP) ───▶   datagrams, messages, keep-alives, failures
//! ```

use super::failure::Failure;
use super::resolve::{Dns, Resolver};
use super::tcp::{self, Connections};
use super::udp;
use crate::sip::hop::{Hop, Transport};
use crate::sip::message::Message;
use crate::sip::wire::{self, Malformed};
use crate::time::{Duration, Instant};
use bytes::Bytes;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// How often two transports try to get the same ephemeral port.
const ATTEMPTS: usize = 32;

/// Reads the clock of the driver: when something arrived.
#[derive(Clone)]
pub struct Now(Arc<dyn Fn() -> Instant + Send + Sync>);

impl Now {
    /// `read` says what time it is.
    pub fn new(read: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(super) fn read(&self) -> Instant {
        (self.0)()
    }
}

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Now")
    }
}

/// What to bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindConfig {
    /// The address; the unspecified one takes calls on every interface of its family.
    pub ip: IpAddr,
    /// The port, the same for both transports: `None` for 5060 or any other if that is taken, 0 for any.
    pub port: Option<u16>,
    /// Speak UDP.
    pub udp: bool,
    /// Speak TCP.
    pub tcp: bool,
    /// What is held at most.
    pub limits: Limits,
    /// Whom to ask for names.
    pub dns: Dns,
}

impl BindConfig {
    /// UDP and TCP on `ip`, with the default limits.
    pub fn new(ip: IpAddr, port: Option<u16>) -> Self {
        Self { ip, port, udp: true, tcp: true, limits: Limits::default(), dns: Dns::default() }
    }
}

/// What the sockets hold at most, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Datagrams that wait for the driver; more are dropped and counted.
    pub datagrams: usize,
    /// What came over connections and waits for the driver; then connections are not read.
    pub messages: usize,
    /// Open connections, both ways; beyond it, accepted ones that were silent for `message` give way.
    pub connections: usize,
    /// Messages that wait for one connection; a peer that lets more pile up is disconnected.
    pub unsent: usize,
    /// How long a connection may take to be made.
    pub connect: Duration,
    /// How long a connection may be silent both ways.
    pub idle: Duration,
    /// How long a peer may take to send one message, and from its connection to its first.
    pub message: Duration,
    /// How long a peer may take to read one message.
    pub write: Duration,
    /// How long a connection with octets that are not SIP stays, for the reply to be read.
    pub linger: Duration,
    /// The size of a message on a connection.
    pub stream: wire::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            datagrams: 2048,
            messages: 256,
            connections: 1024,
            // A thousand calls of one trunk that end in one moment.
            unsent: 4096,
            // Well before a request gives up by itself (64 * T1 = 32 s, RFC 3261 section 17.1).
            connect: Duration::from_secs(5),
            // Above what refreshes a long call: Session-Expires is 1800 s by default (RFC 4028 section 4.2).
            idle: Duration::from_secs(3600),
            // Whoever sent the first part of a message has given up on the answer by then: 64 * T1.
            message: Duration::from_secs(32),
            write: Duration::from_secs(32),
            linger: Duration::from_secs(1),
            stream: wire::Limits::default(),
        }
    }
}

/// A socket cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken or not ours.
    #[error("cannot bind {transport} to {address}: {source}; choose another address or port with --bind")]
    Address {
        /// The transport.
        transport: Transport,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Nothing to bind.
    #[error("neither UDP nor TCP is switched on; switch one on")]
    Nothing,
}

/// Where we are bound; the addresses may be unspecified, the ports never are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// The UDP socket.
    pub udp: Option<SocketAddr>,
    /// The TCP listener.
    pub tcp: Option<SocketAddr>,
}

impl Bound {
    /// Where `transport` is bound.
    pub fn local(&self, transport: Transport) -> Option<SocketAddr> {
        match transport {
            Transport::Udp => self.udp,
            Transport::Tcp => self.tcp,
            Transport::Tls => None,
        }
    }
}

/// What comes in.
#[derive(Debug)]
pub enum Incoming {
    /// A datagram, whatever is in it.
    Datagram {
        /// Where it came from, and our address as that peer knows it.
        source: Hop,
        /// Its payload.
        bytes: Bytes,
        /// When it arrived.
        at: Instant,
    },
    /// A message on a connection.
    Message {
        /// Where it came from; what is sent to this hop goes over the same connection.
        source: Hop,
        /// The message.
        message: Box<Message>,
        /// When its last octet arrived.
        at: Instant,
    },
    /// Something on a connection that is no proper message. If the end of it is not known either, the connection is
    /// closed after [`Limits::linger`], which leaves time to reply.
    Malformed {
        /// Where it came from.
        source: Hop,
        /// What is wrong, and what a reply needs.
        malformed: Box<Malformed>,
        /// When it arrived.
        at: Instant,
    },
    /// A sign of life: a keep-alive datagram, or on a connection the answer to a ping of ours or a ping (which has been
    /// answered) of the peer (RFC 5626 section 3.5.1).
    KeepAlive {
        /// Where it came from.
        source: Hop,
        /// Is it the answer to a ping that was sent?
        pong: bool,
        /// When it arrived.
        at: Instant,
    },
    /// A connection is gone, or was never made. What was sent over it may not have arrived, what is expected on it does
    /// not come.
    Failed {
        /// The peer.
        hop: Hop,
        /// Why.
        why: Failure,
        /// When.
        at: Instant,
    },
}

/// What the sockets have counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) datagrams: AtomicU64,
    pub(super) dropped_datagrams: AtomicU64,
    pub(super) unsent_datagrams: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) refused_connections: AtomicU64,
    pub(super) failed_connections: AtomicU64,
}

/// What the sockets have counted since they were bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams that came.
    pub datagrams: u64,
    /// Of these, dropped: the driver was too slow, or there is no way back.
    pub dropped_datagrams: u64,
    /// Datagrams that the system had no room to send.
    pub unsent_datagrams: u64,
    /// Connections made, both ways.
    pub connections: u64,
    /// Connections of peers beyond the limit.
    pub refused_connections: u64,
    /// Connections that ended otherwise than by the peer or us closing them, or could not be made.
    pub failed_connections: u64,
}

/// The sending side; cheap to clone. When the last clone is dropped, everything is closed.
#[derive(Clone, Debug)]
pub struct Transports {
    sockets: Arc<Sockets>,
}

#[derive(Debug)]
struct Sockets {
    bound: Bound,
    resolver: Resolver,
    udp: Option<UdpSocket>,
    tcp: Option<Connections>,
    counters: Arc<Counters>,
    tasks: Vec<AbortHandle>,
}

/// The receiving side. Read it all the time: what is not read holds up the peers.
#[derive(Debug)]
pub struct Inbox {
    datagrams: mpsc::Receiver<Incoming>,
    messages: mpsc::Receiver<Incoming>,
}

impl Transports {
    /// Binds the sockets and starts to receive; within a tokio runtime, whose tasks do the work.
    ///
    /// # Errors
    /// [`BindError`] if an address or port cannot be had.
    pub fn bind(config: BindConfig, now: Now) -> Result<(Self, Inbox), BindError> {
        let (udp, tcp) = bind_sockets(&config)?;
        let bound = Bound {
            udp: udp.as_ref().map(|ends| ends.bound),
            tcp: tcp.as_ref().and_then(|listener| listener.local_addr().ok()),
        };
        let resolver = Resolver::new(bound, &config.dns);
        let counters = Arc::new(Counters::default());
        let (to_datagrams, datagrams) = mpsc::channel(config.limits.datagrams.max(1));
        let (to_messages, messages) = mpsc::channel(config.limits.messages.max(1));
        let mut tasks = Vec::new();
        let udp = udp.map(|udp::Ends { sending, receiving, bound }| {
            let received = udp::receive(receiving, bound, now.clone(), Arc::clone(&counters), to_datagrams);
            tasks.push(tokio::spawn(received).abort_handle());
            sending
        });
        let tcp = tcp.zip(bound.tcp).map(|(listener, bound)| {
            let connections = Connections::new(bound, config.limits, now, Arc::clone(&counters), to_messages);
            tasks.push(tokio::spawn(connections.clone().accept(listener)).abort_handle());
            connections
        });
        let sockets = Sockets { bound, resolver, udp, tcp, counters, tasks };
        Ok((Self { sockets: Arc::new(sockets) }, Inbox { datagrams, messages }))
    }

    /// Sends `bytes` to `hop`; never waits. Over TCP it goes over the connection with `hop.remote`, which is made if
    /// there is none; what goes wrong later comes as [`Incoming::Failed`].
    ///
    /// # Errors
    /// [`Failure`] if it is known at once that it cannot be sent.
    pub fn send(&self, hop: &Hop, bytes: Bytes) -> Result<(), Failure> {
        let sockets = &self.sockets;
        match (hop.transport, &sockets.udp, &sockets.tcp) {
            (Transport::Udp, Some(socket), _) => udp::send(socket, &sockets.counters, hop.remote, &bytes),
            (Transport::Tcp, _, Some(connections)) => connections.send(hop, bytes),
            (transport, ..) => Err(Failure::Off(transport)),
        }
    }

    /// Closes the connection with `hop.remote`, after what waits was sent; [`Incoming::Failed`] with
    /// [`Failure::Hangup`] follows if there was one.
    pub fn close(&self, hop: &Hop) {
        if let (Transport::Tcp, Some(connections)) = (hop.transport, &self.sockets.tcp) {
            connections.close(hop.remote);
        }
    }

    /// Where `transport` is bound (the address may be unspecified, the port never is); `None` if it is not.
    pub fn local(&self, transport: Transport) -> Option<SocketAddr> {
        self.sockets.bound.local(transport)
    }

    /// Where everything is bound.
    pub fn bound(&self) -> Bound {
        self.sockets.bound
    }

    /// Finds the hops to a destination from these sockets.
    pub fn resolver(&self) -> Resolver {
        self.sockets.resolver.clone()
    }

    /// What has been counted.
    pub fn traffic(&self) -> Traffic {
        let counters = &self.sockets.counters;
        Traffic {
            datagrams: counters.datagrams.load(Relaxed),
            dropped_datagrams: counters.dropped_datagrams.load(Relaxed),
            unsent_datagrams: counters.unsent_datagrams.load(Relaxed),
            connections: counters.connections.load(Relaxed),
            refused_connections: counters.refused_connections.load(Relaxed),
            failed_connections: counters.failed_connections.load(Relaxed),
        }
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        if let Some(connections) = &self.tcp {
            connections.close_all();
        }
    }
}

impl Inbox {
    /// The next thing that comes in; `None` when all sockets are closed. May be dropped unfinished without losing
    /// anything.
    pub async fn next(&mut self) -> Option<Incoming> {
        tokio::select! {
            Some(incoming) = self.datagrams.recv() => Some(incoming),
            Some(incoming) = self.messages.recv() => Some(incoming),
            else => None,
        }
    }
}

/// Both sockets on one port, so that what is advertised for one transport holds for the other (RFC 3261 section 18.1.1
/// switches a request from UDP to TCP on the way).
fn bind_sockets(config: &BindConfig) -> Result<(Option<udp::Ends>, Option<TcpListener>), BindError> {
    if !config.udp && !config.tcp {
        return Err(BindError::Nothing);
    }
    let usual = Transport::Udp.default_port();
    match config.port {
        Some(0) => {}
        Some(port) => return bind_port(config, port),
        None => {
            if let Ok(sockets) = bind_port(config, usual) {
                return Ok(sockets);
            }
        }
    }
    let mut last = bind_port(config, 0);
    for _ in 1..ATTEMPTS {
        if last.is_ok() {
            break;
        }
        last = bind_port(config, 0);
    }
    last
}

fn bind_port(config: &BindConfig, port: u16) -> Result<(Option<udp::Ends>, Option<TcpListener>), BindError> {
    let mut address = SocketAddr::new(config.ip, port);
    let failed = |transport, address| move |source| BindError::Address { transport, address, source };
    let mut udp = None;
    if config.udp {
        let ends = udp::bind(address).map_err(failed(Transport::Udp, address))?;
        address.set_port(ends.bound.port());
        udp = Some(ends);
    }
    let mut tcp = None;
    if config.tcp {
        tcp = Some(tcp::bind(address).map_err(failed(Transport::Tcp, address))?);
    }
    Ok((udp, tcp))
}
