//! Reading descriptions: what can be understood is understood.
//!
//! Tolerated: any order of the lines above the first `m=`, missing `o= s= t=`, repeated lines, unknown lines, lines
//! without `=`, bare LF or CR, leading and trailing blanks, runs of blanks, octets that are not UTF-8, no format in an
//! `m=` line. A line is only judged when it is used.

use super::{Attribute, Connection, MAX_LINES, MAX_MEDIA, MAX_OCTETS, Media, Origin, SdpError, Session, excerpt};

impl Session {
    /// Reads a description.
    ///
    /// # Errors
    /// A limit is passed, it does not begin with `v=0`, or an `m=` line cannot be read.
    pub fn parse(octets: &[u8]) -> Result<Self, SdpError> {
        if octets.len() > MAX_OCTETS {
            return Err(SdpError::TooLong(octets.len()));
        }
        let text = String::from_utf8_lossy(octets);
        let mut session = Session::default();
        let mut begun = false;
        for (index, raw) in lines(&text).enumerate() {
            let line = index + 1;
            if line > MAX_LINES {
                return Err(SdpError::TooManyLines);
            }
            let content = raw.trim_matches(|character: char| character.is_whitespace() || character == '\0');
            if content.is_empty() {
                continue;
            }
            if !begun {
                if !matches!(content.split_once('='), Some((key, "0")) if key.eq_ignore_ascii_case("v")) {
                    return Err(SdpError::Version { line, text: excerpt(content) });
                }
                begun = true;
                continue;
            }
            if let Some((key, value)) = content.split_once('=') {
                session.take(line, key.trim_end(), value.trim_start())?;
            }
        }
        if begun { Ok(session) } else { Err(SdpError::Version { line: 1, text: String::new() }) }
    }

    fn take(&mut self, line: usize, key: &str, value: &str) -> Result<(), SdpError> {
        match key {
            "m" => {
                if self.media.len() == MAX_MEDIA {
                    return Err(SdpError::TooManyMedia { line });
                }
                self.media.push(media_line(line, value)?);
            }
            "c" => {
                let connection = Connection { line, value: value.to_owned() };
                match self.media.last_mut() {
                    Some(media) => media.connections.push(connection),
                    None => self.connection = Some(connection),
                }
            }
            "a" => {
                let attribute = attribute_line(line, value);
                match self.media.last_mut() {
                    Some(media) => media.attributes.push(attribute),
                    None => self.attributes.push(attribute),
                }
            }
            "o" if self.origin.is_none() => self.origin = origin_line(value),
            "s" if self.name.is_empty() => self.name = value.to_owned(),
            "t" => self.times.extend(time_line(value)),
            _ => {}
        }
        Ok(())
    }
}

/// The lines of `text`, ended by CRLF, LF or CR.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn media_line(line: usize, value: &str) -> Result<Media, SdpError> {
    let wrong = |missing| SdpError::MediaLine { line, text: excerpt(&format!("m={value}")), missing };
    let mut fields = value.split_ascii_whitespace();
    let kind = fields.next().ok_or_else(|| wrong("it is empty"))?;
    let port = fields.next().ok_or_else(|| wrong("the port is missing"))?;
    let (port, ports) = match port.split_once('/') {
        Some((port, ports)) => (port, Some(ports.parse().map_err(|_| wrong("the number of ports is not a number"))?)),
        None => (port, None),
    };
    let port = port.parse().map_err(|_| wrong("the port is not a number from 0 to 65535"))?;
    let protocol = fields.next().ok_or_else(|| wrong("the protocol is missing"))?;
    let mut media = Media::new(kind, port, protocol, fields.map(str::to_owned).collect());
    (media.line, media.ports) = (line, ports);
    Ok(media)
}

fn attribute_line(line: usize, value: &str) -> Attribute {
    match value.split_once(':') {
        Some((name, value)) => Attribute { line, name: name.trim().into(), value: Some(value.trim().into()) },
        None => Attribute { line, name: value.trim().into(), value: None },
    }
}

fn origin_line(value: &str) -> Option<Origin> {
    let fields: Vec<&str> = value.split_ascii_whitespace().collect();
    // The user name of some peers has blanks in it: count from the end.
    let [user @ .., session, version, network, family, address] = fields.as_slice() else { return None };
    let user = if user.is_empty() { "-".into() } else { user.join("_") };
    let address = format!("{network} {family} {address}");
    Some(Origin { user, session: (*session).into(), version: (*version).into(), address })
}

/// The two numbers of a `t=` line; the answer repeats them (RFC 3264 section 6).
fn time_line(value: &str) -> Option<String> {
    let fields: Vec<&str> = value.split_ascii_whitespace().collect();
    let digits = |field: &&str| !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit());
    (fields.len() == 2 && fields.iter().all(digits)).then(|| fields.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sloppy_description_is_understood() {
        let text = b"\n v=0 \nt=0 0\ns=Caf\xe9\ro=John Doe 99999999999999999999999 7 IN IP4 192.0.2.1\r\r\n\
            i=one\ni=two\nnonsense\nb=AS:x\nc=IN IP4  192.0.2.7\t\nm=audio   5000/2  RTP/AVP\t0  8 \n\
            a = rtpmap : 0 PCMU/8000\na=sendonly \nc=IN IP4 broken.\x00\nm=image 0 udptl";
        let session = Session::parse(text).unwrap();
        let origin = session.origin.as_ref().unwrap();
        assert_eq!((origin.user.as_str(), origin.session.len(), origin.version.as_str()), ("John_Doe", 23, "7"));
        assert_eq!(session.name, "Caf\u{fffd}");
        assert_eq!(session.times, ["0 0"]);
        let audio = &session.media[0];
        assert_eq!((audio.port, audio.ports, audio.formats.as_slice()), (5000, Some(2), &["0".into(), "8".into()][..]));
        assert_eq!(audio.value("RTPMAP"), Some("0 PCMU/8000"));
        assert_eq!(session.direction_of(audio), Some("sendonly"));
        assert_eq!(session.connection.as_ref().unwrap().value, "IN IP4  192.0.2.7");
        assert_eq!(session.media[1].formats, Vec::<String>::new());
        assert_eq!(session.direction_of(&session.media[1]), None);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, expected) in [
            ("", "line 1: a session description begins with v=0, this one with \"\""),
            ("\r\n\r\n{\"json\": 1}", "line 3: a session description begins with v=0, this one with \"{\"json\": 1}\""),
            (
                "a=crypto:1 X inline:SECRET",
                "line 1: a session description begins with v=0, this one with \"a=crypto:1 X inline:\"",
            ),
            ("v=1\r\n", "line 1: a session description begins with v=0, this one with \"v=1\""),
            (
                "v=0\r\ns=-\r\nm=audio\r\n",
                "line 3: \"m=audio\" is no m= line: the port is missing; it reads m=<kind> <port> <protocol> <format>…",
            ),
            (
                "v=0\nm=audio 70000 RTP/AVP 0\n",
                "line 2: \"m=audio 70000 RTP/AVP 0\" is no m= line: the port is not a number from 0 to 65535; it reads m=<kind> <port> <protocol> <format>…",
            ),
            (
                "v=0\nm=audio 7/x RTP/AVP 0\n",
                "line 2: \"m=audio 7/x RTP/AVP 0\" is no m= line: the number of ports is not a number; it reads m=<kind> <port> <protocol> <format>…",
            ),
        ] {
            assert_eq!(Session::parse(text.as_bytes()).unwrap_err().to_string(), expected);
        }
        let no_address = Session::parse(b"v=0\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n").unwrap();
        assert_eq!(no_address.address_of(&no_address.media[0]), Err(SdpError::NoConnection { line: 3 }));
    }

    #[test]
    fn limits_hold() {
        assert_eq!(Session::parse(&vec![b'a'; MAX_OCTETS + 1]), Err(SdpError::TooLong(MAX_OCTETS + 1)));
        let many = format!("v=0\n{}", "a=x\n".repeat(MAX_LINES));
        assert_eq!(Session::parse(many.as_bytes()), Err(SdpError::TooManyLines));
        let many = format!("v=0\n{}", "m=audio 0 RTP/AVP 0\n".repeat(MAX_MEDIA + 1));
        assert_eq!(Session::parse(many.as_bytes()), Err(SdpError::TooManyMedia { line: MAX_MEDIA + 2 }));
    }
}
