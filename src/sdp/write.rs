//! Writing descriptions: in the order and with the lines that RFC 8866 section 9 wants.

use super::Session;
use std::fmt::Write as _;

impl Session {
    /// The description as it goes on the wire: CRLF, `v= o= s= c= t= a=`, then each stream as `m= c= a=`.
    ///
    /// Control characters, which could begin a line of their own, are left out of every value.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = String::from("v=0\r\n");
        match &self.origin {
            Some(origin) => {
                let value = format!("{} {} {} {}", origin.user, origin.session, origin.version, origin.address);
                line(&mut out, 'o', &value);
            }
            None => line(&mut out, 'o', "- 0 0 IN IP4 0.0.0.0"),
        }
        line(&mut out, 's', if self.name.is_empty() { "-" } else { &self.name });
        if let Some(connection) = &self.connection {
            line(&mut out, 'c', &connection.value);
        }
        for time in &self.times {
            line(&mut out, 't', time);
        }
        if self.times.is_empty() {
            line(&mut out, 't', "0 0");
        }
        write_attributes(&mut out, &self.attributes);
        for media in &self.media {
            let ports = media.ports.map(|ports| format!("/{ports}")).unwrap_or_default();
            let mut value = format!("{} {}{ports} {}", media.kind, media.port, media.protocol);
            for format in &media.formats {
                let _ = write!(value, " {format}");
            }
            if media.formats.is_empty() {
                // The grammar wants at least one; a refused stream may say any (RFC 3264 section 6).
                value.push_str(" 0");
            }
            line(&mut out, 'm', &value);
            for connection in &media.connections {
                line(&mut out, 'c', &connection.value);
            }
            write_attributes(&mut out, &media.attributes);
        }
        out.into_bytes()
    }
}

fn write_attributes(out: &mut String, attributes: &[super::Attribute]) {
    for attribute in attributes {
        match &attribute.value {
            Some(value) => line(out, 'a', &format!("{}:{value}", attribute.name)),
            None => line(out, 'a', &attribute.name),
        }
    }
}

fn line(out: &mut String, key: char, value: &str) {
    out.push(key);
    out.push('=');
    out.extend(value.chars().filter(|character| !character.is_control()));
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use crate::sdp::{Attribute, Connection, Media, Origin, Session};

    #[test]
    fn lines_stand_in_the_order_of_the_rfc() {
        let address = "2001:db8::7".parse().unwrap();
        let mut audio = Media::new("audio", 5000, "RTP/AVP", vec!["0".into()]);
        audio.attributes = vec![Attribute::new("rtpmap", "0 PCMU/8000"), Attribute::flag("rtcp-mux")];
        audio.connections = vec![Connection::new("192.0.2.9".parse().unwrap())];
        audio.push_rtcp("192.0.2.9:6001".parse().unwrap());
        let session = Session {
            origin: Some(Origin::new(11, 2, address)),
            connection: Some(Connection::new(address)),
            attributes: vec![Attribute::new("tool", "a\r\nm=audio 1 RTP/AVP 0")],
            media: vec![audio, Media::new("video", 0, "RTP/AVP", vec![])],
            ..Session::default()
        };
        let text = "v=0\r\no=- 11 2 IN IP6 2001:db8::7\r\ns=-\r\nc=IN IP6 2001:db8::7\r\nt=0 0\r\n\
            a=tool:am=audio 1 RTP/AVP 0\r\nm=audio 5000 RTP/AVP 0\r\nc=IN IP4 192.0.2.9\r\na=rtpmap:0 PCMU/8000\r\n\
            a=rtcp-mux\r\na=rtcp:6001 IN IP4 192.0.2.9\r\nm=video 0 RTP/AVP 0\r\n";
        assert_eq!(String::from_utf8(session.to_bytes()).unwrap(), text);
        assert_eq!(Session::parse(text.as_bytes()).unwrap().to_bytes(), text.as_bytes());
    }
}
