//! Why something could not be sent.

use crate::sip::hop::Transport;
use std::io;

/// Why a message did not go out, or why the connection that it went out on is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// No route, or the network says that the peer cannot be reached.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The peer did not answer in time: to our connecting, or to what was sent.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed,
    /// We closed the connection: asked to, or because the phone ends.
    #[error("we closed the connection")]
    Hangup,
    /// Nothing crossed the connection for too long.
    #[error("the connection was idle for too long")]
    Idle,
    /// The peer began a message and did not finish it in time.
    #[error("the peer sends too slowly")]
    SlowSender,
    /// The peer does not read what we send.
    #[error("the peer does not read what is sent")]
    SlowReader,
    /// What the peer sends cannot be cut into messages.
    #[error("the peer does not speak SIP on this connection")]
    NotSip,
    /// There are as many connections as allowed.
    #[error("too many connections")]
    TooMany,
    /// A datagram cannot be that long.
    #[error("too long for a datagram")]
    TooLong,
    /// This transport was not bound.
    #[error("{0} is switched off; bind it")]
    Off(Transport),
    /// The TLS handshake failed; the sentence names the certificate problem and the remedy.
    #[error("{0}")]
    Tls(String),
    /// Another error of the system.
    #[error("{0}")]
    System(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{
            AddrNotAvailable, BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
            InvalidInput, NetworkDown, NetworkUnreachable, PermissionDenied, UnexpectedEof,
        };
        match error.kind() {
            ConnectionRefused => Failure::Refused,
            ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof => Failure::Closed,
            io::ErrorKind::TimedOut => Failure::TimedOut,
            // A firewall of our own answers with "not permitted"; an address that our socket cannot reach is invalid.
            HostUnreachable | NetworkUnreachable | NetworkDown | AddrNotAvailable | PermissionDenied | InvalidInput => {
                Failure::Unreachable(error.to_string())
            }
            _ => Failure::System(error.to_string()),
        }
    }
}
