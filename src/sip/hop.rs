//! One way to a peer: transport and the two addresses.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Transports of SIP messages (RFC 3261 section 18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream framed by Content-Length.
    Tcp,
    /// The same stream inside TLS (RFC 3261 section 26.3.1, RFC 5922).
    Tls,
}

impl Transport {
    /// Does it deliver by itself, so that transactions do not retransmit?
    pub const fn reliable(self) -> bool {
        matches!(self, Transport::Tcp | Transport::Tls)
    }

    /// Can nobody on the way read or change what it carries?
    pub const fn secure(self) -> bool {
        matches!(self, Transport::Tls)
    }

    /// The token of Via (`UDP`).
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }

    /// The value of the URI parameter (`udp`).
    pub const fn parameter(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }

    /// The port that a URI without one means (RFC 3261 section 19.1.2).
    pub const fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.parameter())
    }
}

/// A transport that Sidetone does not speak.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown transport \"{0}\"; known are udp, tcp and tls")]
pub struct UnknownTransport(pub String);

impl FromStr for Transport {
    type Err = UnknownTransport;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Transport::Udp, Transport::Tcp, Transport::Tls]
            .into_iter()
            .find(|transport| transport.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownTransport(name.into()))
    }
}

/// Where a message came from or goes to.
///
/// UDP: `local` is the socket's address as that peer can reach it. TCP and TLS: `local` is the address of our listener
/// that is put into Via and Contact; the connection itself is found by `remote`, and opened by the driver when there is
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hop {
    /// The transport.
    pub transport: Transport,
    /// Our address, never unspecified: the driver picks it by the route to `remote`.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.remote)
    }
}
