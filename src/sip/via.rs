//! Via (RFC 3261 section 20.42, RFC 3581).

use super::grammar;
use super::hop::Transport;
use super::host::{self, Host, HostPart};
use super::params::Params;
use super::uri::UriError;
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// The start of every branch of RFC 3261 (section 8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// One Via value: the way that a request took and its response will take.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Via {
    /// The transport token as written: `UDP`, `TCP`, or one that Sidetone does not speak.
    pub transport: String,
    /// The sent-by host.
    pub host: Host,
    /// The sent-by port, when there is one.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport`, ...
    pub params: Params,
}

impl Via {
    /// A Via of ours with `branch` and an empty `rport`, asking for symmetric responses (RFC 3581).
    pub fn new(transport: Transport, sent_by: SocketAddr, branch: &str) -> Self {
        let mut params = Params::new();
        params.set_flag("rport");
        params.set("branch", branch);
        Self { transport: transport.name().into(), host: sent_by.into(), port: Some(sent_by.port()), params }
    }

    /// The transport, if it is one that Sidetone speaks.
    pub fn known_transport(&self) -> Option<Transport> {
        self.transport.parse().ok()
    }

    /// The branch, if there is one that is not empty.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch").filter(|branch| !branch.is_empty())
    }

    /// The `received` address; with or without brackets (RFC 5118 section 4.5).
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.text("received")?;
        text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&text).parse().ok()
    }

    /// Was `rport` asked for, with or without a value?
    pub fn wants_rport(&self) -> bool {
        self.params.contains("rport")
    }

    /// The port in `rport`, when the other side filled it in.
    pub fn rport(&self) -> Option<u16> {
        self.params.get("rport").and_then(grammar::decimal)
    }

    /// Notes where the request came from: `received` if the sent-by host differs or `rport` was asked for, and `rport`
    /// if it was (RFC 3261 section 18.2.1, RFC 3581 section 4).
    pub fn note_source(&mut self, source: SocketAddr) {
        let rport = self.wants_rport();
        if rport || self.host.ip() != Some(source.ip()) {
            self.params.set("received", &source.ip().to_string());
        }
        if rport {
            self.params.set("rport", &source.port().to_string());
        }
    }
}

impl FromStr for Via {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        ViaParts::read(text).map(Via::from)
    }
}

/// A [`Via`] where it stands in a text, read without a copy.
#[derive(Clone, Debug)]
pub(crate) struct ViaParts<'a> {
    transport: &'a str,
    sent_by: SentBy<'a>,
    params: Cow<'a, str>,
}

#[derive(Clone, Debug)]
enum SentBy<'a> {
    Read(HostPart<'a>, Option<u16>),
    /// What had blanks in it.
    Mended(Host, Option<u16>),
}

impl<'a> ViaParts<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, UriError> {
        let fail = |why| UriError::new(text, why);
        let protocol = "the Via does not start with \"SIP/2.0/transport\"";
        let (transport, rest) = match text.strip_prefix("SIP/2.0/") {
            Some(rest) => cut_blank(rest),
            None => {
                // Blanks may stand around each of the slashes.
                let (name, rest) = grammar::cut(text, b'/').ok_or_else(|| fail(protocol))?;
                let (version, rest) = grammar::cut(rest, b'/').ok_or_else(|| fail(protocol))?;
                let sip = grammar::trim_text(name).eq_ignore_ascii_case("SIP");
                if !sip || !grammar::is_token(grammar::trim_text(version)) {
                    return Err(fail(protocol));
                }
                cut_blank(rest)
            }
        }
        .ok_or_else(|| fail("the Via has no sent-by"))?;
        if !grammar::is_token(transport) {
            return Err(fail(protocol));
        }
        let (sent_by, params) = grammar::cut_params(rest);
        let sent_by = SentBy::read(sent_by).map_err(fail)?;
        let params = Params::read(params).ok_or_else(|| fail("a parameter is malformed"))?;
        Ok(Self { transport, sent_by, params })
    }
}

/// What stands before and after the first blank.
fn cut_blank(text: &str) -> Option<(&str, &str)> {
    let text = grammar::trim_text(text);
    let blank = text.bytes().position(grammar::is_blank)?;
    text.split_at_checked(blank)
}

impl<'a> SentBy<'a> {
    /// `host [: port]` with blanks around the colon.
    fn read(text: &'a str) -> Result<Self, &'static str> {
        let text = grammar::trim_text(text);
        if !text.bytes().any(grammar::is_blank) {
            return host::split_port(text).map(|(host, port)| Self::Read(host, port));
        }
        // `host port` without a colon must not become one word.
        if !text.contains(':') {
            return Err("the sent-by holds a blank");
        }
        let tight: String = text.split([' ', '\t']).collect();
        host::split_port(&tight).map(|(host, port)| Self::Mended(host.into(), port))
    }
}

impl From<ViaParts<'_>> for Via {
    fn from(parts: ViaParts<'_>) -> Self {
        let (host, port) = match parts.sent_by {
            SentBy::Read(host, port) => (host.into(), port),
            SentBy::Mended(host, port) => (host, port),
        };
        Self { transport: parts.transport.into(), host, port, params: Params::of(parts.params) }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Via {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn reads_tortuous_forms() {
        let via = read("SIP  / 2.0  / UDP     192.0.2.2:8080 ;branch=390skdjuw");
        assert_eq!(via.to_string(), "SIP/2.0/UDP 192.0.2.2:8080;branch=390skdjuw");
        let via = read("SIP/2.0/TCP spindle.example.com : 5061 ; branch  =   z9hG4bK9ikj8 ; rport");
        assert_eq!((via.port, via.branch(), via.rport()), (Some(5061), Some("z9hG4bK9ikj8"), None));
        assert!(via.wants_rport());
        let via = read("SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3-111");
        assert_eq!(via.received(), Some("2001:db8::9:255".parse().unwrap()));
        assert_eq!(read("SIP/2.0/UDP h;received=[::1]").received(), Some("::1".parse().unwrap()));
        assert_eq!(read("SIP/2.0/SCTP h").known_transport(), None);
        for bad in ["", ";", "SIP/2.0/UDP", "SIP/2.0 h", "SIP/2.0/UDP h:99999", "SIP/2.0/UDP a b", "X/2.0/UDP h"] {
            assert!(bad.parse::<Via>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_source_is_noted_when_it_differs_or_was_asked_for() {
        let source = "192.0.2.7:9999".parse().unwrap();
        let mut via = Via::new(Transport::Udp, "10.0.0.1:5060".parse().unwrap(), "z9hG4bK1");
        via.note_source(source);
        assert_eq!(via.to_string(), "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1;received=192.0.2.7;rport=9999");
        let mut plain = read("SIP/2.0/UDP 192.0.2.7;branch=x");
        plain.note_source(source);
        assert_eq!(plain.to_string(), "SIP/2.0/UDP 192.0.2.7;branch=x");
        let mut named = read("SIP/2.0/UDP host.example;branch=x");
        named.note_source(source);
        assert_eq!(named.received(), Some(source.ip()));
    }
}
