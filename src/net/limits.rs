//! What the sockets hold at most, and what they have counted.

use crate::sip::wire;
use crate::time::Duration;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// What the sockets hold at most, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Datagrams that wait for the driver; more are dropped and counted.
    pub datagrams: usize,
    /// What came over connections and waits for the driver; then connections are not read.
    pub messages: usize,
    /// Open connections, both ways; beyond it, accepted ones that were silent for `message` give way.
    pub connections: usize,
    /// Of these, accepted from one address.
    pub per_source: usize,
    /// TLS handshakes in progress that peers began: each costs a signature.
    pub handshakes: usize,
    /// Messages that wait for one connection; a peer that lets more pile up is disconnected.
    pub unsent: usize,
    /// How long a connection may take to be made.
    pub connect: Duration,
    /// How long a TLS handshake may take after that.
    pub handshake: Duration,
    /// How long a connection may be silent both ways.
    pub idle: Duration,
    /// The same for one that a peer made and that has nothing to do with a registration or a call.
    pub unused: Duration,
    /// How long a peer may take to send one message, and from its connection to its first.
    pub message: Duration,
    /// How long a peer may take to read one message.
    pub write: Duration,
    /// How long what was sent may stay unacknowledged by the peer's system (TCP_USER_TIMEOUT, RFC 5482; Linux only).
    pub unacknowledged: Duration,
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
            // A PBX behind one address has a few connections; a load generator of ours, one.
            per_source: 128,
            handshakes: 64,
            // A thousand calls of one trunk that end in one moment.
            unsent: 4096,
            // Well before a request gives up by itself (64 * T1 = 32 s, RFC 3261 section 17.1).
            connect: Duration::from_secs(5),
            // Two round trips and a signature.
            handshake: Duration::from_secs(5),
            // Above what refreshes a long call: Session-Expires is 1800 s by default (RFC 4028 section 4.2).
            idle: Duration::from_secs(3600),
            // Who keeps a flow open says something at least every 120 s (RFC 5626 section 4.4.1).
            unused: Duration::from_secs(180),
            // Whoever sent the first part of a message has given up on the answer by then: 64 * T1.
            message: Duration::from_secs(32),
            write: Duration::from_secs(32),
            // Seven sendings of a segment: a network that loses some is not taken for a dead one.
            unacknowledged: Duration::from_secs(20),
            linger: Duration::from_secs(1),
            stream: wire::Limits::default(),
        }
    }
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
    pub(super) handshakes: AtomicU64,
    pub(super) failed_handshakes: AtomicU64,
    pub(super) slow_connections: AtomicU64,
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
    /// TLS handshakes that succeeded.
    pub handshakes: u64,
    /// TLS handshakes that did not.
    pub failed_handshakes: u64,
    /// Connections that were closed because the peer was too slow to send or to read a message.
    pub slow_connections: u64,
}

impl Counters {
    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            datagrams: self.datagrams.load(Relaxed),
            dropped_datagrams: self.dropped_datagrams.load(Relaxed),
            unsent_datagrams: self.unsent_datagrams.load(Relaxed),
            connections: self.connections.load(Relaxed),
            refused_connections: self.refused_connections.load(Relaxed),
            failed_connections: self.failed_connections.load(Relaxed),
            handshakes: self.handshakes.load(Relaxed),
            failed_handshakes: self.failed_handshakes.load(Relaxed),
            slow_connections: self.slow_connections.load(Relaxed),
        }
    }
}
