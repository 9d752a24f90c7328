//! URIs of SIP (RFC 3261 section 19.1), and others kept as they are.

use super::grammar;
use super::hop::Transport;
pub use super::host::Host;
use super::host::{self, HostPart};
use super::params::Params;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// Any URI that may stand in a SIP message.
///
/// `==` compares what was written; [`Uri::equivalent`] compares as RFC 3261 section 19.1.4 says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Uri {
    /// `sip:` and `sips:`.
    Sip(SipUri),
    /// `tel:`, `urn:` and every other scheme.
    Other(OtherUri),
}

/// A `sip:` or `sips:` URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SipUri {
    /// Is the scheme `sips`?
    pub secure: bool,
    /// The user part as on the wire, that is, with its escapes; [`SipUri::user_text`] removes them.
    pub user: Option<String>,
    /// The password as on the wire (its use is discouraged, RFC 3261 section 19.1.1).
    pub password: Option<String>,
    /// Host name or address.
    pub host: Host,
    /// The port, when there is one.
    pub port: Option<u16>,
    /// URI parameters: `transport`, `lr`, `user`, `maddr`, ...
    pub params: Params,
    /// What follows the `?`, as on the wire.
    pub headers: Option<String>,
}

/// A URI of another scheme, verbatim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OtherUri {
    /// The scheme as written, without the colon.
    pub scheme: String,
    /// Everything after the colon.
    pub rest: String,
}

/// A text that is no URI or host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no SIP address: {why}")]
pub struct UriError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Uri {
    /// The SIP URI, if it is one.
    pub fn sip(&self) -> Option<&SipUri> {
        match self {
            Uri::Sip(uri) => Some(uri),
            Uri::Other(_) => None,
        }
    }

    /// The SIP URI for changing, if it is one.
    pub fn sip_mut(&mut self) -> Option<&mut SipUri> {
        match self {
            Uri::Sip(uri) => Some(uri),
            Uri::Other(_) => None,
        }
    }

    /// The scheme in lower case where it is `sip` or `sips`, else as written.
    pub fn scheme(&self) -> &str {
        match self {
            Uri::Sip(uri) if uri.secure => "sips",
            Uri::Sip(_) => "sip",
            Uri::Other(uri) => &uri.scheme,
        }
    }

    /// The unescaped user part of a SIP URI.
    pub fn user(&self) -> Option<Cow<'_, str>> {
        self.sip().and_then(SipUri::user_text)
    }

    /// The host of a SIP URI.
    pub fn host(&self) -> Option<&Host> {
        self.sip().map(|uri| &uri.host)
    }

    /// The port of a SIP URI.
    pub fn port(&self) -> Option<u16> {
        self.sip().and_then(|uri| uri.port)
    }

    /// Do both mean the same (RFC 3261 section 19.1.4)? URIs of other schemes are compared octet by octet, but for the
    /// case of the scheme.
    pub fn equivalent(&self, other: &Uri) -> bool {
        match (self, other) {
            (Uri::Sip(one), Uri::Sip(two)) => one.equivalent(two),
            (Uri::Other(one), Uri::Other(two)) => one.scheme.eq_ignore_ascii_case(&two.scheme) && one.rest == two.rest,
            _ => false,
        }
    }
}

impl SipUri {
    /// A `sip:` URI; characters of `user` that have to be escaped are.
    pub fn new(user: Option<&str>, host: Host, port: Option<u16>) -> Self {
        let user = user.map(escape_user);
        Self { secure: false, user, password: None, host, port, params: Params::new(), headers: None }
    }

    /// The unescaped user part. Escaped octets that are no UTF-8 become replacement characters.
    pub fn user_text(&self) -> Option<Cow<'_, str>> {
        self.user.as_deref().map(unescape)
    }

    /// The `transport` parameter, if it names one that Sidetone speaks.
    pub fn transport(&self) -> Option<Transport> {
        self.param("transport").and_then(|name| name.parse().ok())
    }

    /// The unescaped value of a URI parameter, empty for a flag. The name may be escaped too (RFC 3261 section 19.1.2).
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        let find = |(other, _): &(&str, _)| unescape(other).eq_ignore_ascii_case(name);
        self.params.iter().find(find).map(|(_, value)| unescape(value.unwrap_or_default()))
    }

    /// Does it ask for loose routing (`lr`)?
    pub fn loose_route(&self) -> bool {
        self.param("lr").is_some()
    }

    /// Do both mean the same (RFC 3261 section 19.1.4)?
    pub fn equivalent(&self, other: &SipUri) -> bool {
        let same = |one: &Option<String>, two: &Option<String>| match (one, two) {
            (Some(one), Some(two)) => unescape_octets(one) == unescape_octets(two),
            (None, None) => true,
            _ => false,
        };
        self.secure == other.secure
            && same(&self.user, &other.user)
            && same(&self.password, &other.password)
            && self.host.equivalent(&other.host)
            && self.port == other.port
            && params_match(&self.params, &other.params)
            && headers_match(self.headers.as_deref(), other.headers.as_deref())
    }
}

impl From<SipUri> for Uri {
    fn from(uri: SipUri) -> Self {
        Uri::Sip(uri)
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        UriParts::read(text).map(Uri::from).map_err(|why| UriError::new(text, why))
    }
}

impl UriError {
    pub(crate) fn new(text: &str, why: &'static str) -> Self {
        Self { text: text.chars().take(200).collect(), why }
    }
}

/// A URI where it stands in a text, read without a copy.
#[derive(Clone, Debug)]
pub(crate) enum UriParts<'a> {
    Sip(SipParts<'a>),
    Other { scheme: &'a str, rest: &'a str },
}

/// See [`SipUri`].
#[derive(Clone, Debug)]
pub(crate) struct SipParts<'a> {
    secure: bool,
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: HostPart<'a>,
    port: Option<u16>,
    params: Cow<'a, str>,
    headers: Option<&'a str>,
}

/// Octets that stand in no URI: blanks, control characters, quotes and brackets.
const FORBIDDEN: [bool; 256] = {
    let mut forbidden = [false; 256];
    let mut octet = 0;
    while octet < 256 {
        forbidden[octet] = octet as u8 <= b' ' || matches!(octet as u8, 0x7F | b'<' | b'>' | b'"');
        octet += 1;
    }
    forbidden
};

impl<'a> UriParts<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, &'static str> {
        if text.bytes().any(|octet| FORBIDDEN[usize::from(octet)]) {
            return Err("it holds a blank, control character, quote or bracket");
        }
        let (scheme, rest) = grammar::cut(text, b':').ok_or("the scheme (\"sip:\") is missing")?;
        let secure = scheme.eq_ignore_ascii_case("sips");
        if secure || scheme.eq_ignore_ascii_case("sip") {
            return SipParts::read(rest, secure).map(UriParts::Sip);
        }
        let valid = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.'));
        if !valid || rest.is_empty() {
            return Err("the scheme is malformed or nothing follows it");
        }
        Ok(UriParts::Other { scheme, rest })
    }
}

impl<'a> SipParts<'a> {
    fn read(rest: &'a str, secure: bool) -> Result<Self, &'static str> {
        // The user part may hold `;`, `?` and `/`, but never an unescaped `@`: the first one ends it.
        let (userinfo, hostpart) = match grammar::cut(rest, b'@') {
            Some((userinfo, hostpart)) => (Some(userinfo), hostpart),
            None => (None, rest),
        };
        let (user, password) = match userinfo.map(|userinfo| (userinfo, grammar::cut(userinfo, b':'))) {
            None => (None, None),
            Some((_, Some((user, password)))) => (Some(user), Some(password)),
            Some((user, None)) => (Some(user), None),
        };
        if user.is_some_and(str::is_empty) {
            return Err("the user part is empty");
        }
        let (hostpart, headers) = match grammar::cut(hostpart, b'?') {
            Some((hostpart, headers)) => (hostpart, Some(headers)),
            None => (hostpart, None),
        };
        let (hostport, params) = grammar::cut_params(hostpart);
        let (host, port) = host::split_port(hostport)?;
        let params = Params::read(params).ok_or("a parameter is malformed")?;
        Ok(Self { secure, user, password, host, port, params, headers })
    }
}

impl From<UriParts<'_>> for Uri {
    fn from(parts: UriParts<'_>) -> Self {
        match parts {
            UriParts::Sip(parts) => Uri::Sip(SipUri {
                secure: parts.secure,
                user: parts.user.map(Into::into),
                password: parts.password.map(Into::into),
                host: parts.host.into(),
                port: parts.port,
                params: Params::of(parts.params),
                headers: parts.headers.map(Into::into),
            }),
            UriParts::Other { scheme, rest } => Uri::Other(OtherUri { scheme: scheme.into(), rest: rest.into() }),
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uri::Sip(uri) => uri.fmt(f),
            Uri::Other(uri) => write!(f, "{}:{}", uri.scheme, uri.rest),
        }
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        write!(f, "{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)?;
        match &self.headers {
            Some(headers) => write!(f, "?{headers}"),
            None => Ok(()),
        }
    }
}

/// Escapes what `user` of RFC 3261 section 25.1 does not allow.
fn escape_user(user: &str) -> String {
    let mut escaped = String::with_capacity(user.len());
    for octet in user.bytes() {
        if octet.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&octet) {
            escaped.push(octet as char);
        } else {
            escaped.push_str(&format!("%{octet:02X}"));
        }
    }
    escaped
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(String::from_utf8_lossy(&unescape_octets(text)).into_owned())
}

/// Resolves each `%HH` once; a `%` that starts none stays.
fn unescape_octets(text: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                octets.push(high << 4 | low);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                octets.push(*first);
                rest = tail;
            }
        }
    }
    octets
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

/// Every parameter that is in both has to match; of those in one only, `user`, `ttl`, `method` and `maddr` have to be in
/// both (RFC 3261 section 19.1.4), and `transport` too, as a missing one never equals any value.
fn params_match(one: &Params, two: &Params) -> bool {
    const NEVER_ALONE: [&[u8]; 5] = [b"user", b"ttl", b"method", b"maddr", b"transport"];
    let plain = |text: &str| unescape_octets(text).to_ascii_lowercase();
    let map = |params: &Params| -> HashMap<Vec<u8>, Vec<u8>> {
        params.iter().map(|(name, value)| (plain(name), plain(value.unwrap_or_default()))).collect()
    };
    if one == two {
        return true;
    }
    let (one, two) = (map(one), map(two));
    let covers = |one: &HashMap<Vec<u8>, Vec<u8>>, two: &HashMap<Vec<u8>, Vec<u8>>| {
        one.iter().all(|(name, value)| match two.get(name) {
            Some(other) => value == other,
            None => !NEVER_ALONE.contains(&name.as_slice()),
        })
    };
    covers(&one, &two) && covers(&two, &one)
}

/// Header components never match a missing one; order does not matter.
fn headers_match(one: Option<&str>, two: Option<&str>) -> bool {
    let sorted = |headers: Option<&str>| {
        let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = headers
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (unescape_octets(name).to_ascii_lowercase(), unescape_octets(value)))
            .collect();
        pairs.sort();
        pairs
    };
    one == two || sorted(one) == sorted(two)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn reads_and_writes_the_same() {
        for text in [
            "sip:alice@atlanta.com",
            "sip:alice:secretword@atlanta.com;transport=tcp",
            "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:+1-212-555-1212:1234@gateway.com;user=phone",
            "sip:alice;day=tuesday@atlanta.com",
            "sip:[2001:db8::10]:5070",
            "sip:sips%3Auser%40example.com@example.net",
            "sip:192.0.2.1:0;lr",
            "tel:+12125551212;phone-context=x",
            "urn:service:sos",
            "soap.beep://192.0.2.103:3002",
        ] {
            assert_eq!(uri(text).to_string(), text);
        }
        assert_eq!(uri("SIP:h").to_string(), "sip:h");
        assert_eq!(uri("sip:[2001:db8::10]:5070").port(), Some(5070));
        assert_eq!(uri("sip:john.doe@h").user().unwrap(), "john.doe");
        assert_eq!(uri("sip:null-%00-null@example.com").user().unwrap().len(), 11);
    }

    #[test]
    fn refuses_what_is_no_uri() {
        for text in [
            "",
            "sip",
            "sip:",
            "sip:@h",
            "sip:a@",
            "sip:h:",
            "sip:h:65536",
            "sip:h:-1",
            "sip:2001:db8::10",
            "sip:[2001:db8::10",
            "sip:[::1]x",
            "sip:a b@h",
            "<sip:h>",
            "sip:a@b@c",
            "sip:h;a=\"b",
            "sip:ü",
            "1x:y",
            "tel:",
        ] {
            assert!(text.parse::<Uri>().is_err(), "{text}");
        }
    }

    /// The lists of RFC 3261 section 19.1.4.
    #[test]
    fn equality_of_the_rfc() {
        for (one, two) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ] {
            assert!(uri(one).equivalent(&uri(two)), "{one} = {two}");
            assert!(uri(two).equivalent(&uri(one)), "{two} = {one}");
        }
        for (one, two) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com;transport=tcp", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:a@h", "sips:a@h"),
        ] {
            assert!(!uri(one).equivalent(&uri(two)), "{one} /= {two}");
            assert!(!uri(two).equivalent(&uri(one)), "{two} /= {one}");
        }
    }

    #[test]
    fn new_escapes_the_user() {
        let made = SipUri::new(Some("a b@c%"), "h.example".parse().unwrap(), None);
        assert_eq!(made.to_string(), "sip:a%20b%40c%25@h.example");
        assert_eq!(made.user_text().unwrap(), "a b@c%");
    }
}
