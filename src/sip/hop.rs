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
}

impl Transport {
    /// Does it deliver by itself, so that transactions do not retransmit?
    pub const fn reliable(self) -> bool {
        matches!(self, Transport::Tcp)
    }

    /// The token of Via (`UDP`).
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }
    }

    /// The value of the URI parameter (`udp`).
    pub const fn parameter(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }

    /// The port that a URI without one means (RFC 3261 section 19.1.2).
    pub const fn default_port(self) -> u16 {
        5060
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.parameter())
    }
}

/// A transport that Sidetone does not speak.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown transport \"{0}\"; known are udp and tcp")]
pub struct UnknownTransport(pub String);

impl FromStr for Transport {
    type Err = UnknownTransport;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Transport::Udp, Transport::Tcp]
            .into_iter()
            .find(|transport| transport.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownTransport(name.into()))
    }
}

/// Where a message came from or goes to.
///
/// UDP: `local` is the socket's address as that peer can reach it. TCP: `local` is the address of our listener that is
/// put into Via and Contact; the connection itself is found by `remote`, and opened by the driver when there is none.
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
