//! What a REFER asks for and a NOTIFY tells about it, read and written (RFC 3515, RFC 3420, RFC 3892).

use crate::sip::header::{Header, Headers, Name};
use crate::sip::message::Status;
use crate::sip::name_addr::NameAddr;
use crate::sip::uri::Uri;
use bytes::Bytes;

/// What a REFER asks for, checked.
#[derive(Clone, Debug)]
pub struct Referral {
    /// Whom to call.
    pub target: Uri,
    /// What the INVITE carries: Referred-By, Replaces.
    pub headers: Vec<Header>,
}

/// What a Refer-To asks for (RFC 3515 section 2.1, RFC 3892, RFC 3891).
pub(super) fn referral(value: &str, headers: &Headers) -> Result<Referral, Status> {
    let mut target = value.parse::<NameAddr>().map_err(|_| Status::BAD_REQUEST)?.uri;
    let callable = target.sip().is_some() || target.scheme().eq_ignore_ascii_case("tel");
    if !callable {
        return Err(Status::UNSUPPORTED_URI_SCHEME);
    }
    let mut invite = Vec::new();
    if let Some(sip) = target.sip_mut() {
        if sip.params.get("method").is_some_and(|method| !method.eq_ignore_ascii_case("INVITE")) {
            // Whoever refers us makes calls with us, not other requests.
            return Err(Status::FORBIDDEN);
        }
        sip.params.remove("method");
        for pair in sip.headers.take().unwrap_or_default().split('&') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            if name.eq_ignore_ascii_case("Replaces") {
                invite.push(Header { name: Name::Replaces, value: unescape(value).as_str().into() });
                invite.push(Header { name: Name::Require, value: "replaces".into() });
            }
        }
    }
    if let Some(by) = headers.get(&Name::ReferredBy) {
        invite.push(Header { name: Name::ReferredBy, value: by.into() });
    }
    Ok(Referral { target, headers: invite })
}

/// The status line of a `message/sipfrag` (RFC 3420).
pub(super) fn fragment(body: &Bytes) -> Option<(Status, String)> {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().next()?.trim();
    let (version, rest) = line.split_once(' ')?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let code = code.parse().ok().filter(|code| (100..700).contains(code))?;
    let reason: String = reason.chars().take(200).collect();
    version.eq_ignore_ascii_case("SIP/2.0").then_some((Status(code), reason))
}

/// A header value for the header part of a URI (RFC 3261 section 25.1: `hvalue`).
pub(super) fn escape(value: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.!~*'()[]/:+$".contains(&octet);
    value
        .bytes()
        .map(|octet| if plain(octet) { char::from(octet).to_string() } else { format!("%{octet:02X}") })
        .collect()
}

fn unescape(value: &str) -> String {
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            // A line end would begin another header field.
            Some(octet) => {
                octets.push(if octet < b' ' { b' ' } else { octet });
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                octets.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_survives_the_uri_that_carries_it() {
        let replaces = "a84b4c@[2001:db8::1];to-tag=1%2;from-tag=\"x\"";
        let escaped = escape(replaces);
        assert!(!escaped.contains([';', '=', '@', '"', '&', '?']), "{escaped}");
        assert_eq!(unescape(&escaped), replaces);
        assert_eq!(unescape("a%0D%0AX-Evil: 1%"), "a  X-Evil: 1%");
    }

    #[test]
    fn what_a_refer_to_may_ask() {
        let mut headers = Headers::new();
        headers.push(Name::ReferredBy, "<sip:boss@example.com>");
        let read = |value: &str| referral(value, &headers);
        let ok = read("<sip:bob@example.com;method=INVITE?Replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2&Subject=x>").unwrap();
        assert_eq!(ok.target.to_string(), "sip:bob@example.com");
        let names: Vec<String> = ok.headers.iter().map(|header| header.name.to_string()).collect();
        assert_eq!(names, ["Replaces", "Require", "Referred-By"]);
        assert_eq!(ok.headers[0].value.as_str(), "c;to-tag=1;from-tag=2");
        assert_eq!(read("<sip:bob@example.com;method=BYE>").unwrap_err(), Status::FORBIDDEN);
        assert_eq!(read("<mailto:bob@example.com>").unwrap_err(), Status::UNSUPPORTED_URI_SCHEME);
        assert_eq!(read("no address").unwrap_err(), Status::BAD_REQUEST);
        assert_eq!(read("<tel:+15550100001>").unwrap().target.scheme(), "tel");
    }

    #[test]
    fn fragments_are_read_leniently() {
        let read = |text: &'static str| fragment(&Bytes::from_static(text.as_bytes()));
        assert_eq!(read("SIP/2.0 180 Ringing\r\nX: y\r\n"), Some((Status(180), "Ringing".into())));
        assert_eq!(read("SIP/2.0 200"), Some((Status(200), String::new())));
        assert_eq!(read("SIP/2.0 999 No"), None);
        assert_eq!(read("\u{0}"), None);
    }
}
