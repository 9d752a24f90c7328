//! Takes credentials and media keys out of messages, leaving their length and everything that explains a failure.
//!
//! Of Authorization and Proxy-Authorization the user name, realm, URI and algorithm stay; the response, nonces and anything
//! else that could be guessed against go. Of `a=crypto` the key goes, suite and parameters stay; of `a=ice-pwd` the password. The octets keep their
//! number, so Content-Length stays true.

use bytes::{Bytes, BytesMut};
use std::ops::Range;

/// Header fields whose credentials are cut down to what explains.
const CREDENTIALS: &[&[u8]] = &[b"authorization", b"proxy-authorization", b"authentication-info"];

/// Header fields whose whole value is a secret: Telnyx's connection token.
const TOKENS: &[&[u8]] = &[b"x-telnyx-token"];

/// Digest parameters that are safe to show (RFC 7616 section 3.4): the rest is there for whoever wants to guess.
const SAFE: &[&str] = &["username", "realm", "uri", "algorithm", "qop", "nc", "userhash"];

/// The message without its secrets; the same octets when there are none.
pub fn redact(message: &Bytes) -> Bytes {
    let mut secrets = Vec::new();
    for line in lines(message) {
        find(message, line, &mut secrets);
    }
    if secrets.is_empty() {
        return message.clone();
    }
    let mut copy = BytesMut::from(message.as_ref());
    for secret in secrets {
        if let Some(octets) = copy.get_mut(secret) {
            octets.fill(b'x');
        }
    }
    copy.freeze()
}

/// The logical lines: a header field with its folded continuations (RFC 3261 section 7.3.1) is one.
fn lines(message: &[u8]) -> Vec<Range<usize>> {
    let mut lines: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    while start < message.len() {
        let rest = message.get(start..).unwrap_or_default();
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let folded = matches!(rest.first(), Some(b' ' | b'\t'));
        match lines.last_mut() {
            Some(line) if folded => line.end = start + length,
            _ => lines.push(start..start + length),
        }
        start += length;
    }
    lines
}

fn find(message: &[u8], line: Range<usize>, secrets: &mut Vec<Range<usize>>) {
    let text = message.get(line.clone()).unwrap_or_default();
    if let Some(colon) = memchr::memchr(b':', text) {
        let (name, value) = text.split_at(colon);
        let name = name.trim_ascii().to_ascii_lowercase();
        let start = line.start + colon + 1;
        let value = value.get(1..).unwrap_or_default();
        if CREDENTIALS.contains(&name.as_slice()) {
            credentials(value, start, name == b"authentication-info", secrets);
        } else if TOKENS.contains(&name.as_slice()) {
            secrets.push(visible(value, start));
        }
    }
    let lower = text.to_ascii_lowercase();
    if lower.starts_with(b"a=crypto:") || lower.starts_with(b"a=key-mgmt:") {
        // RFC 4568 section 9.2: several keys may stand in one attribute, each after `inline:`.
        for at in memchr::memmem::find_iter(&lower, b"inline:") {
            let from = at + b"inline:".len();
            let length = ending(text, from, b"|; \t\r\n");
            secrets.push(line.start + from..line.start + from + length);
        }
        if lower.starts_with(b"a=key-mgmt:") {
            secrets.push(visible(text.get(11..).unwrap_or_default(), line.start + 11));
        }
    } else if lower.starts_with(b"a=ice-pwd:") {
        secrets.push(visible(text.get(10..).unwrap_or_default(), line.start + 10));
    } else if lower.starts_with(b"k=") {
        secrets.push(visible(text.get(2..).unwrap_or_default(), line.start + 2));
    }
}

/// The octets of a value without the blanks and line end around it.
fn visible(value: &[u8], start: usize) -> Range<usize> {
    let before = value.len() - value.trim_ascii_start().len();
    start + before..start + before + value.trim_ascii().len()
}

/// How many octets follow `from` before one of `stops`.
fn ending(text: &[u8], from: usize, stops: &[u8]) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    rest.iter().position(|octet| stops.contains(octet)).unwrap_or(rest.len())
}

/// The secret parameters of credentials; everything, if the scheme is not Digest.
fn credentials(value: &[u8], start: usize, bare: bool, secrets: &mut Vec<Range<usize>>) {
    let blanks = value.len() - value.trim_ascii_start().len();
    let mut at = blanks;
    if !bare {
        let scheme = ending(value, at, b" \t\r\n");
        let digest = value.get(at..at + scheme).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"digest"));
        if !digest {
            let rest = value.get(at + scheme..).unwrap_or_default();
            // Without a blank after it, what looks like the scheme may be the secret.
            let hidden =
                if rest.trim_ascii().is_empty() { visible(value, start) } else { visible(rest, start + at + scheme) };
            secrets.push(hidden);
            return;
        }
        at += scheme;
    }
    while at < value.len() {
        let parameter = parameter(value, at);
        let text = value.get(parameter.clone()).unwrap_or_default();
        let equals = memchr::memchr(b'=', text);
        let name = equals.map(|equals| text.split_at(equals).0.trim_ascii().to_ascii_lowercase());
        let safe = name.is_some_and(|name| SAFE.iter().any(|safe| safe.as_bytes() == name));
        if !safe {
            let from = equals.map_or(0, |equals| equals + 1);
            let hidden = visible(text.get(from..).unwrap_or_default(), start + parameter.start + from);
            let quoted = value.get(hidden.start - start) == Some(&b'"') && hidden.len() >= 2;
            secrets.push(if quoted { hidden.start + 1..hidden.end - 1 } else { hidden });
        }
        at = parameter.end + 1;
    }
}

/// One parameter from `at` to the next comma outside quotes.
fn parameter(value: &[u8], at: usize) -> Range<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (index, octet) in value.iter().enumerate().skip(at) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return at..index,
            _ => {}
        }
    }
    at..value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(before: &str, after: &str) {
        let redacted = redact(&Bytes::copy_from_slice(before.as_bytes()));
        assert_eq!(std::str::from_utf8(&redacted).unwrap(), after);
        assert_eq!(redacted.len(), before.len());
    }

    #[test]
    fn what_could_be_guessed_against_goes_and_the_rest_stays() {
        becomes(
            "INVITE sip:b SIP/2.0\r\nProxy-Authorization : digest username=\"a, \\\"b\",realm=\"r\", nonce=\"n1\",\r\n uri=\"sip:b\", response=\"abcd\",cnonce=cc, qop=auth,nc=00000001\r\nTo: <sip:b>\r\n\r\n",
            "INVITE sip:b SIP/2.0\r\nProxy-Authorization : digest username=\"a, \\\"b\",realm=\"r\", nonce=\"xx\",\r\n uri=\"sip:b\", response=\"xxxx\",cnonce=xx, qop=auth,nc=00000001\r\nTo: <sip:b>\r\n\r\n",
        );
        becomes(
            "A b SIP/2.0\r\nAuthorization: Bearer abc.def\r\n\r\n",
            "A b SIP/2.0\r\nAuthorization: Bearer xxxxxxx\r\n\r\n",
        );
        becomes("A b SIP/2.0\r\nAuthorization: secret\r\n\r\n", "A b SIP/2.0\r\nAuthorization: xxxxxx\r\n\r\n");
        becomes(
            "A\r\nAuthentication-Info: rspauth=\"ab\", qop=auth\r\n",
            "A\r\nAuthentication-Info: rspauth=\"xx\", qop=auth\r\n",
        );
        becomes("A\r\nX-Telnyx-Token:  t0ken \r\n", "A\r\nX-Telnyx-Token:  xxxxx \r\n");
        becomes("A\r\nWWW-Authenticate: Digest nonce=\"n\"\r\n", "A\r\nWWW-Authenticate: Digest nonce=\"n\"\r\n");
    }

    #[test]
    fn media_keys_go() {
        becomes(
            "X\r\n\r\nv=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc+/=|2^31|1:1;inline:def KDR=1\r\na=ptime:20\r\n",
            "X\r\n\r\nv=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:xxxxxx|2^31|1:1;inline:xxx KDR=1\r\na=ptime:20\r\n",
        );
        becomes("k=base64:c2VjcmV0\na=Crypto:1 X INLINE:zz", "k=xxxxxxxxxxxxxxx\na=Crypto:1 X INLINE:xx");
        becomes("a=key-mgmt:mikey AQAF\r\n", "a=key-mgmt:xxxxxxxxxx\r\n");
    }

    #[test]
    fn rubbish_is_no_trouble() {
        for rubbish in [
            "",
            "\n",
            "Authorization",
            "Authorization:",
            "Authorization: Digest",
            "Authorization: Digest ,,=,\"",
            "a=crypto:inline:",
            "k=",
            "Authentication-Info:",
        ] {
            let bytes = Bytes::copy_from_slice(rubbish.as_bytes());
            assert_eq!(redact(&bytes).len(), rubbish.len());
        }
    }
}
