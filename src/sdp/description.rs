//! What a session description says, as far as calls are concerned.

use super::connection::{self, Address};
use super::{Connection, Crypto, Format, SdpError, Unusable};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A session description. Lines that say nothing to a call (`i u e p b r z k`) are not kept.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Session {
    /// `o=`, if there was one that could be read.
    pub origin: Option<Origin>,
    /// `s=`; written as `-` if empty (RFC 8866 section 5.3).
    pub name: String,
    /// The `c=` line of the session part.
    pub connection: Option<Connection>,
    /// `t=` lines, each `<start> <stop>` in digits; written as `0 0` if there is none.
    pub times: Vec<String>,
    /// Attributes of the session part.
    pub attributes: Vec<Attribute>,
    /// The streams, in order.
    pub media: Vec<Media>,
}

/// An `o=` line (RFC 8866 section 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// User name; `-` for none.
    pub user: String,
    /// Session id: digits. Peers use numbers beyond 64 bits.
    pub session: String,
    /// Session version: digits.
    pub version: String,
    /// Network, family and address of its maker, as it came (`IN IP4 192.0.2.1`).
    pub address: String,
}

impl Origin {
    /// An origin without user name.
    pub fn new(session: u64, version: u64, address: IpAddr) -> Self {
        Self {
            user: "-".into(),
            session: session.to_string(),
            version: version.to_string(),
            address: Connection::new(address).value,
        }
    }
}

/// An `a=` line.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The line that it stood in, from 1; 0 if it was made here.
    pub line: usize,
    /// Name; compared without case here, although RFC 8866 section 6 has case.
    pub name: String,
    /// What follows the colon, trimmed; `None` for a property.
    pub value: Option<String>,
}

impl Attribute {
    /// `a=<name>:<value>`.
    pub fn new(name: &str, value: impl Into<String>) -> Self {
        Self { line: 0, name: name.into(), value: Some(value.into()) }
    }

    /// `a=<name>`.
    pub fn flag(name: &str) -> Self {
        Self { line: 0, name: name.into(), value: None }
    }

    /// Does it have this name?
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Keys never reach a log.
impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(_) if self.is("crypto") => write!(f, "a={}:…", self.name),
            Some(value) => write!(f, "a={}:{value}", self.name),
            None => write!(f, "a={}", self.name),
        }
    }
}

/// An `m=` line and what stands below it (RFC 8866 section 5.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// The line that it stood in, from 1; 0 if it was made here.
    pub line: usize,
    /// `audio`, `video`, `image`, `application`, `text`, …
    pub kind: String,
    /// Port; 0 for a stream that is refused or switched off (RFC 3264 section 5.1).
    pub port: u16,
    /// Number of ports, if the line said it (`5000/2`).
    pub ports: Option<u16>,
    /// `RTP/AVP`, `RTP/SAVP`, `udptl`, …
    pub protocol: String,
    /// Formats; payload types where the protocol is RTP.
    pub formats: Vec<String>,
    /// `c=` lines below the `m=` line.
    pub connections: Vec<Connection>,
    /// Attributes.
    pub attributes: Vec<Attribute>,
}

/// Where RTCP goes, if not to the port above RTP (RFC 3605).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtcp {
    /// Port.
    pub port: u16,
    /// Address; that of the `c=` line if it says none.
    pub address: Option<IpAddr>,
}

impl Session {
    /// The effective `c=` line of a stream: its own over that of the session (RFC 8866 section 5.7). The last of several
    /// counts; they are the layers of a multicast session.
    pub fn connection_of<'a>(&'a self, media: &'a Media) -> Option<&'a Connection> {
        media.connections.last().or(self.connection.as_ref())
    }

    /// The effective address of a stream.
    ///
    /// # Errors
    /// [`SdpError::NoConnection`], [`SdpError::ConnectionLine`].
    pub fn address_of(&self, media: &Media) -> Result<Address, SdpError> {
        self.connection_of(media).ok_or(SdpError::NoConnection { line: media.line })?.address()
    }

    /// The effective direction attribute of a stream: `sendrecv`, `sendonly`, `recvonly` or `inactive`; `None` means
    /// `sendrecv` (RFC 3264 section 5.1).
    pub fn direction_of<'a>(&'a self, media: &'a Media) -> Option<&'a str> {
        direction(&media.attributes).or_else(|| direction(&self.attributes))
    }

    /// The effective value of an attribute of a stream: its own, else that of the session.
    pub fn value_of<'a>(&'a self, media: &'a Media, name: &str) -> Option<&'a str> {
        value(&media.attributes, name).or_else(|| value(&self.attributes, name))
    }

    /// All effective values of an attribute of a stream: its own, if there is one, else those of the session.
    pub fn values_of<'a>(&'a self, media: &'a Media, name: &str) -> Vec<&'a str> {
        let all = |attributes: &'a [Attribute]| -> Vec<&'a str> {
            attributes.iter().filter(|attribute| attribute.is(name)).filter_map(|own| own.value.as_deref()).collect()
        };
        let own = all(&media.attributes);
        if own.is_empty() { all(&self.attributes) } else { own }
    }

    /// The effective value of a `ptime`-like attribute of a stream, in milliseconds.
    pub fn milliseconds_of(&self, media: &Media, name: &str) -> Option<u32> {
        let value = value(&media.attributes, name).or_else(|| value(&self.attributes, name))?;
        let whole = value.split(['.', ' ']).next()?;
        whole.parse().ok().filter(|millis| *millis > 0)
    }
}

impl Media {
    /// A stream with the given first line.
    pub fn new(kind: &str, port: u16, protocol: &str, formats: Vec<String>) -> Self {
        Self {
            line: 0,
            kind: kind.into(),
            port,
            ports: None,
            protocol: protocol.into(),
            formats,
            connections: Vec::new(),
            attributes: Vec::new(),
        }
    }

    /// The value of the first attribute of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        value(&self.attributes, name)
    }

    /// Is there an attribute of this name?
    pub fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|attribute| attribute.is(name))
    }

    /// Its formats as RTP payload types, in its order of preference, each once.
    pub fn formats(&self) -> Vec<Format> {
        Format::of(self)
    }

    /// Its SDES keys in its order of preference, and the lines that cannot be used, each with the reason.
    pub fn cryptos(&self) -> Vec<Result<Crypto, Unusable>> {
        self.attributes
            .iter()
            .filter(|attribute| attribute.is("crypto"))
            .map(|attribute| Crypto::parse(attribute.line, attribute.value.as_deref().unwrap_or("")))
            .collect()
    }

    /// `a=rtcp`; none if it is not there, cannot be read or says port 0.
    pub fn rtcp(&self) -> Option<Rtcp> {
        let rtcp: sdp_types::Rtcp = self.value("rtcp")?.parse().ok()?;
        let address = rtcp.connection_address.as_deref().and_then(connection::parse_address);
        (rtcp.port != 0).then(|| Rtcp { port: rtcp.port, address: address.and_then(|address| address.ip()) })
    }

    /// Adds `a=rtcp` for `address`.
    pub fn push_rtcp(&mut self, address: SocketAddr) {
        let value = sdp_types::Rtcp::with_ip_addr(address.port(), address.ip()).to_string();
        self.attributes.push(Attribute::new("rtcp", value));
    }
}

fn value<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes.iter().find(|attribute| attribute.is(name))?.value.as_deref()
}

fn direction(attributes: &[Attribute]) -> Option<&str> {
    const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];
    attributes
        .iter()
        .find(|attribute| DIRECTIONS.iter().any(|name| attribute.is(name)))
        .map(|attribute| attribute.name.as_str())
}
