//! `c=` lines (RFC 8866 section 5.7).

use super::{SdpError, excerpt};
use std::net::{IpAddr, Ipv6Addr};

/// Where media goes: the value of a `c=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The line that it stood in, from 1; 0 if it was made here.
    pub line: usize,
    /// The value, as it came (`IN IP4 192.0.2.1`).
    pub value: String,
}

/// What a `c=` line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A unicast address.
    Unicast(IpAddr),
    /// Nowhere: `0.0.0.0` (RFC 3264 section 8.4), `::`, or a name below `.invalid` (RFC 6157 section 4.2).
    Nowhere(IpAddr),
    /// A multicast group.
    Multicast(IpAddr),
    /// A host name.
    Name(String),
}

impl Connection {
    /// The line for `address`.
    pub fn new(address: IpAddr) -> Self {
        Self { line: 0, value: format!("IN {} {address}", family(address)) }
    }

    /// What the line names. Tolerates a wrong or missing family, brackets around IPv6 and multicast suffixes: the
    /// literal says what it is.
    ///
    /// # Errors
    /// [`SdpError::ConnectionLine`] if there is no address in it.
    pub fn address(&self) -> Result<Address, SdpError> {
        let bad = || SdpError::ConnectionLine { line: self.line, text: excerpt(&self.value) };
        let mut fields = self.value.split_ascii_whitespace();
        let (network, family, address) = (fields.next(), fields.next(), fields.next());
        if !network.is_some_and(|network| network.eq_ignore_ascii_case("IN")) {
            return Err(bad());
        }
        // "c=IN 192.0.2.1" is understandable too.
        let text = address.or(family).ok_or_else(bad)?;
        parse_address(text).ok_or_else(bad)
    }
}

/// The SDP name of the family of `address` (RFC 8866 section 9, `addrtype`).
pub(super) fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IP4" } else { "IP6" }
}

/// An address as it stands in `c=`, `o=` and `a=rtcp`.
pub(super) fn parse_address(text: &str) -> Option<Address> {
    let literal = text.split('/').next().unwrap_or(text).trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = literal.parse::<IpAddr>() {
        return Some(if ip.is_unspecified() {
            Address::Nowhere(ip)
        } else if ip.is_multicast() {
            Address::Multicast(ip)
        } else {
            Address::Unicast(ip)
        });
    }
    let name = literal.trim_end_matches('.');
    let in_name = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_');
    // A dotted name that ends in a digit is a broken IPv4 literal.
    if name.is_empty() || !name.chars().all(in_name) || name.ends_with(|last: char| last.is_ascii_digit()) {
        return None;
    }
    let top = name.rsplit('.').next().unwrap_or(name);
    if top.eq_ignore_ascii_case("invalid") {
        return Some(Address::Nowhere(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
    }
    if matches!(top.to_ascii_uppercase().as_str(), "IP4" | "IP6") {
        return None;
    }
    Some(Address::Name(name.to_owned()))
}

impl Address {
    /// The address that media would be sent to; unspecified if nowhere.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Unicast(ip) | Address::Nowhere(ip) | Address::Multicast(ip) => Some(*ip),
            Address::Name(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(value: &str) -> Result<Address, SdpError> {
        Connection { line: 4, value: value.into() }.address()
    }

    #[test]
    fn addresses_are_what_their_literals_say() {
        let v4 = |text: &str| text.parse::<IpAddr>().unwrap();
        for (value, expected) in [
            ("IN IP4 192.0.2.1", Address::Unicast(v4("192.0.2.1"))),
            ("in ip4  192.0.2.1 ", Address::Unicast(v4("192.0.2.1"))),
            ("IN IP4 192.0.2.1 extra", Address::Unicast(v4("192.0.2.1"))),
            ("IN 192.0.2.1", Address::Unicast(v4("192.0.2.1"))),
            ("IN IP4 2001:db8::1", Address::Unicast(v4("2001:db8::1"))),
            ("IN IP6 [2001:db8::1]", Address::Unicast(v4("2001:db8::1"))),
            ("IN IP4 224.2.17.12/127/2", Address::Multicast(v4("224.2.17.12"))),
            ("IN IP6 ff02::1/3", Address::Multicast(v4("ff02::1"))),
            ("IN IP4 0.0.0.0", Address::Nowhere(v4("0.0.0.0"))),
            ("IN IP6 ::", Address::Nowhere(v4("::"))),
            ("IN IP6 hold.invalid", Address::Nowhere(v4("::"))),
            ("IN IP4 media.example.com", Address::Name("media.example.com".into())),
        ] {
            assert_eq!(address(value), Ok(expected), "{value}");
        }
        for bad in ["", "IN", "IN IP4", "ATM NSAP 47.0091", "IN IP4 300.1.2.3", "IN IP4 1.2.3", "IN IP6 ::g"] {
            assert_eq!(address(bad), Err(SdpError::ConnectionLine { line: 4, text: bad.into() }), "{bad}");
        }
    }
}
