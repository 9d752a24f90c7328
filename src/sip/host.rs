//! Hosts of URIs and Vias.

use super::grammar;
use super::uri::UriError;
use memchr::memchr;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A host of a URI or Via.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A domain name, as written.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
}

impl Host {
    /// The address, if it is none to be looked up.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::V4(address) => Some(IpAddr::V4(*address)),
            Host::V6(address) => Some(IpAddr::V6(*address)),
        }
    }

    /// Are both the same host? Names are compared without regard to case.
    pub fn equivalent(&self, other: &Host) -> bool {
        match (self, other) {
            (Host::Name(one), Host::Name(two)) => one.eq_ignore_ascii_case(two),
            _ => self == other,
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Host::V4(address),
            IpAddr::V6(address) => Host::V6(address),
        }
    }
}

impl From<SocketAddr> for Host {
    fn from(address: SocketAddr) -> Self {
        address.ip().into()
    }
}

impl FromStr for Host {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        parse_host(text).map(Host::from).map_err(|why| UriError { text: text.chars().take(200).collect(), why })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(address) => address.fmt(f),
            Host::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// A host where it stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostPart<'a> {
    Name(&'a str),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl From<HostPart<'_>> for Host {
    fn from(part: HostPart<'_>) -> Self {
        match part {
            HostPart::Name(name) => Host::Name(name.into()),
            HostPart::V4(address) => Host::V4(address),
            HostPart::V6(address) => Host::V6(address),
        }
    }
}

/// What host names are made of. Underscores stand in none of the grammar, but in many of the field.
const NAME: [bool; 256] = {
    let mut name = [false; 256];
    let mut octet = 0;
    while octet < 256 {
        name[octet] = (octet as u8).is_ascii_alphanumeric() || matches!(octet as u8, b'-' | b'.' | b'_');
        octet += 1;
    }
    name
};

fn parse_host(text: &str) -> Result<HostPart<'_>, &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let address = rest.strip_suffix(']').ok_or("the bracket of the IPv6 address does not close")?;
        return address.parse().map(HostPart::V6).map_err(|_| "no IPv6 address stands in the brackets");
    }
    if text.starts_with(|first: char| first.is_ascii_digit())
        && let Ok(address) = text.parse()
    {
        return Ok(HostPart::V4(address));
    }
    if text.is_empty() || !text.bytes().all(|octet| NAME[usize::from(octet)]) {
        return Err("the host is missing or malformed (IPv6 addresses stand in brackets)");
    }
    Ok(HostPart::Name(text))
}

/// Cuts `host[:port]`.
pub(crate) fn split_port(text: &str) -> Result<(HostPart<'_>, Option<u16>), &'static str> {
    // The colons of an IPv6 address stand in its brackets.
    let after_address = if text.starts_with('[') { memchr(b']', text.as_bytes()).unwrap_or(0) } else { 0 };
    let colon = text.as_bytes().get(after_address..).and_then(|rest| memchr(b':', rest));
    let (host, port) = match colon.and_then(|colon| text.split_at_checked(after_address + colon)) {
        Some((host, port)) => {
            let port =
                grammar::decimal(port.get(1..).unwrap_or_default()).ok_or("the port is no number up to 65535")?;
            (host, Some(port))
        }
        None => (text, None),
    };
    Ok((parse_host(grammar::trim_text(host))?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (text, host, port) in [
            ("a_b.example", Host::Name("a_b.example".into()), None),
            ("192.0.2.1:5060", Host::V4(Ipv4Addr::new(192, 0, 2, 1)), Some(5060)),
            ("1.example", Host::Name("1.example".into()), None),
            ("[::1]:0", Host::V6(Ipv6Addr::LOCALHOST), Some(0)),
            ("[2001:db8::192.0.2.1]", Host::V6("2001:db8::c000:201".parse().unwrap()), None),
        ] {
            assert_eq!(split_port(text).map(|(host, port)| (host.into(), port)), Ok((host, port)), "{text}");
        }
        for bad in ["", ":5060", "[::1", "::1", "[h]", "h:", "h:1:2", "h:-1", "ü", "a b"] {
            assert!(split_port(bad).is_err(), "{bad}");
        }
        assert!(Host::Name("A.example".into()).equivalent(&"a.EXAMPLE".parse().unwrap()));
        assert_eq!(Host::from(SocketAddr::from((Ipv6Addr::LOCALHOST, 1))).to_string(), "[::1]");
    }
}
