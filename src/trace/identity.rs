//! Which dialog a message belongs to, read from its octets without parsing all of it.

/// What tells messages apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity<'a> {
    /// Call-ID.
    pub(super) call_id: &'a str,
    /// The method of CSeq: that of the request, also in a response.
    pub(super) method: &'a str,
    /// It is a response.
    pub(super) response: bool,
    /// The value of To.
    pub(super) to: &'a str,
}

impl<'a> Identity<'a> {
    /// `None` for a keep-alive and for what is no SIP.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut lines = bytes.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = lines.find(|line| !line.is_empty())?;
        let response = first.starts_with(b"SIP/2.0 ");
        if !response && !first.ends_with(b"SIP/2.0") {
            return None;
        }
        let (mut call_id, mut sequence, mut to) = (None, None, "");
        for line in lines.take_while(|line| !line.is_empty()) {
            let Some(colon) = line.iter().position(|octet| *octet == b':') else { continue };
            let (name, value) = line.split_at(colon);
            let value = || std::str::from_utf8(value.get(1..).unwrap_or_default()).ok().map(str::trim);
            match name.trim_ascii() {
                name if name.eq_ignore_ascii_case(b"call-id") || name.eq_ignore_ascii_case(b"i") => call_id = value(),
                name if name.eq_ignore_ascii_case(b"cseq") => sequence = value(),
                name if name.eq_ignore_ascii_case(b"to") || name.eq_ignore_ascii_case(b"t") => {
                    to = value().unwrap_or("");
                }
                _ => {}
            }
        }
        let method = sequence?.split_ascii_whitespace().nth(1)?;
        Some(Self { call_id: call_id?, method, response, to })
    }

    /// The address of record of a REGISTER, without parameters.
    pub(super) fn address_of_record(&self) -> &'a str {
        let uri = match self.to.split_once('<') {
            Some((_, rest)) => rest.split('>').next().unwrap_or(rest),
            None => self.to,
        };
        uri.split(';').next().unwrap_or(uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let text = b"\r\nREGISTER sip:h SIP/2.0\r\nt : \"A\" <sip:a@h:5070;x=y>;tag=1\r\nCSEQ: 7  REGISTER\r\n\
            i:abc@d \r\n\r\nCall-ID: of the body\r\n";
        let identity = Identity::of(text).unwrap();
        assert_eq!((identity.call_id, identity.method, identity.response), ("abc@d", "REGISTER", false));
        assert_eq!(identity.address_of_record(), "sip:a@h:5070");
        let response =
            Identity::of(b"SIP/2.0 200 OK\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nTo: sip:b@h;tag=2\r\n").unwrap();
        assert!(response.response && response.method == "INVITE" && response.address_of_record() == "sip:b@h");
        for other in [&b"\r\n\r\n"[..], b"", b"GET / HTTP/1.1\r\nCall-ID: x\r\n", b"OPTIONS sip:h SIP/2.0\r\n\r\n"] {
            assert_eq!(Identity::of(other), None);
        }
    }
}
