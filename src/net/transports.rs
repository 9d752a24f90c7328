//! The signalling sockets behind one door.
//!
//! ```text
//!             send(hop, bytes)                        next()
//!  driver ──▶ Transports ──┬─▶ UDP sockets ──────────▶ Inbox ──▶ driver
//!                          └─▶ Connections (TCP, TLS) ▶   datagrams, messages, keep-alives, failures
//! ```

use super::bind::{BindConfig, BindError, Bindings, Bound};
use super::connections::Connections;
use super::failure::Failure;
use super::limits::{Counters, Traffic};
use super::resolve::Resolver;
use super::stun::{self, Questions, StunError, TransactionId};
use super::udp;
use crate::sip::hop::{Hop, Transport};
use crate::sip::message::Message;
use crate::sip::wire::Malformed;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

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
        /// Its exact octets.
        octets: Bytes,
        /// When its last octet arrived.
        at: Instant,
    },
    /// Something on a connection that is no proper message. If the end of it is not known either, the connection is
    /// closed after [`Limits::linger`](super::Limits::linger), which leaves time to reply.
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
    /// STUN on the SIP socket (RFC 5626 section 8): who asks how we see him, or an answer to what was sent by
    /// [`Transports::send`].
    Stun {
        /// Where it came from.
        source: Hop,
        /// What it says.
        message: stun::Message,
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

/// The sending side; cheap to clone. When the last clone is dropped, everything is closed.
#[derive(Clone, Debug)]
pub struct Transports {
    sockets: Arc<Sockets>,
}

#[derive(Debug)]
struct Sockets {
    bound: Bound,
    resolver: Resolver,
    questions: Questions,
    udp: Vec<(SocketAddr, UdpSocket)>,
    connections: Option<Connections>,
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
        let bindings = Bindings::make(&config)?;
        let bound = bindings.bound();
        let Bindings { udp: datagram_ends, tcp, tls } = bindings;
        let counters = Arc::new(Counters::default());
        let (to_datagrams, datagrams) = mpsc::channel(config.limits.datagrams.max(1));
        let (to_messages, messages) = mpsc::channel(config.limits.messages.max(1));
        let mut tasks = Vec::new();
        let (mut udp, questions) = (Vec::new(), Questions::default());
        for udp::Ends { sending, receiving, bound } in datagram_ends {
            let (inbox, counters) = (to_datagrams.clone(), Arc::clone(&counters));
            let received = udp::receive(receiving, bound, now.clone(), counters, inbox, questions.clone());
            tasks.push(tokio::spawn(received).abort_handle());
            udp.push((bound, sending));
        }
        let tcp = tcp.into_iter().map(|listener| (Transport::Tcp, listener));
        let listeners: Vec<_> = tcp.chain(tls.into_iter().map(|listener| (Transport::Tls, listener))).collect();
        let connections = (!listeners.is_empty()).then(|| {
            let (connections, accepting) = Connections::new(
                bound.clone(),
                listeners,
                config.tls,
                config.limits,
                now,
                Arc::clone(&counters),
                to_messages,
            );
            tasks.extend(accepting);
            connections
        });
        let resolver = Resolver::new(bound.clone(), &config.dns).telling(connections.clone());
        let sockets = Sockets { bound, resolver, questions, udp, connections, counters, tasks };
        Ok((Self { sockets: Arc::new(sockets) }, Inbox { datagrams, messages }))
    }

    /// Sends `bytes` to `hop`; never waits. Over TCP and TLS it goes over the connection with `hop.remote`, which is made
    /// if there is none; what goes wrong later comes as [`Incoming::Failed`].
    ///
    /// # Errors
    /// [`Failure`] if it is known at once that it cannot be sent.
    pub fn send(&self, hop: &Hop, bytes: Bytes) -> Result<(), Failure> {
        let off = Failure::Off(hop.transport);
        match hop.transport {
            Transport::Udp => {
                let socket = self.sockets.datagram_socket(hop).ok_or(off)?;
                udp::send(socket, &self.sockets.counters, (hop.local.ip(), hop.remote), &bytes)
            }
            Transport::Tcp | Transport::Tls => self.sockets.connections.as_ref().ok_or(off)?.send(hop, bytes),
        }
    }

    /// Closes the connection with `hop.remote`, after what waits was sent; [`Incoming::Failed`] with
    /// [`Failure::Hangup`] follows if there was one.
    pub fn close(&self, hop: &Hop) {
        if let Some(connections) = &self.sockets.connections {
            connections.close(hop);
        }
    }

    /// Asks a STUN server how the world sees our UDP socket.
    ///
    /// # Errors
    /// [`StunError`] if nothing useful comes in `patience`.
    pub async fn public_address(
        &self,
        server: SocketAddr,
        id: TransactionId,
        patience: Duration,
    ) -> Result<SocketAddr, StunError> {
        let hop = Hop { transport: Transport::Udp, local: server, remote: server };
        let socket = self.sockets.datagram_socket(&hop).filter(|_| self.bound().local(Transport::Udp).is_some());
        let off = || StunError::Unreachable { server, reason: "UDP is switched off".into() };
        let (_, socket) = socket.ok_or_else(off)?;
        let send = |octets: &[u8]| socket.send_to(octets, server).map(|_| ());
        self.sockets.questions.ask(server, id, patience, send).await
    }

    /// Connections that peers made and over which nothing went for [`Limits::unused`](super::Limits::unused): to be
    /// closed unless a registration or a call needs them.
    pub fn unused(&self) -> Vec<Hop> {
        self.sockets.connections.as_ref().map(Connections::unused).unwrap_or_default()
    }

    /// Where `transport` is bound (the address may be unspecified, the port never is); `None` if it is not.
    pub fn local(&self, transport: Transport) -> Option<SocketAddr> {
        self.sockets.bound.local(transport)
    }

    /// Where everything is bound.
    pub fn bound(&self) -> Bound {
        self.sockets.bound.clone()
    }

    /// Finds the hops to a destination from these sockets.
    pub fn resolver(&self) -> Resolver {
        self.sockets.resolver.clone()
    }

    /// What has been counted.
    pub fn traffic(&self) -> Traffic {
        self.sockets.counters.traffic()
    }
}

impl Sockets {
    /// The socket that our address on `hop` belongs to.
    fn datagram_socket(&self, hop: &Hop) -> Option<&(SocketAddr, UdpSocket)> {
        let family = || self.udp.iter().filter(|(bound, _)| bound.is_ipv4() == hop.remote.is_ipv4());
        let exact = family().find(|(bound, _)| bound.ip() == hop.local.ip());
        let any = || family().find(|(bound, _)| bound.ip().is_unspecified());
        exact.or_else(any).or_else(|| family().next()).or(self.udp.first())
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        if let Some(connections) = &self.connections {
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
