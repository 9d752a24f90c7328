//! Entries in words.

use super::entry::{Entry, Head, Note, Sighting, Subject, Trace, What};
use crate::sip::hop::Transport;

/// What a trace is about, in a line or two.
pub fn summary(head: &Head) -> String {
    let mut text = match &head.subject {
        Subject::Call(id) => {
            let direction = head.direction.as_deref().unwrap_or("?");
            format!("call {id}: {direction}, {} to {}, {}", head.from, head.to, head.outcome)
        }
        Subject::Registration(aor) => format!("registration of {aor} at {}: {}", head.to, head.outcome),
        Subject::Outside => "messages of no call and no registration".to_owned(),
    };
    if let Some(explanation) = &head.explanation {
        text += &format!("\n{explanation}");
    }
    let dropped = &head.dropped;
    if dropped.messages + dropped.notes > 0 {
        text += &format!(
            "\nleft out for want of room: {} messages and {} notes, {} octets",
            dropped.messages, dropped.notes, dropped.octets
        );
    }
    harmless(&text)
}

/// One entry with everything that was recorded of it.
pub fn describe(entry: &Entry) -> String {
    let at = format!("{:.6}", entry.at);
    match &entry.what {
        What::Message(sighting) => {
            let (from, to) = sighting.ends();
            let way = if sighting.sent { "sent" } else { "received" };
            let text = String::from_utf8_lossy(&sighting.bytes);
            let mut lines = format!("{at} {way} {} {from} -> {to}", sighting.transport.name());
            for line in text.lines() {
                lines += &format!("\n  {}", harmless(line));
            }
            lines
        }
        What::Media(note) => {
            let way = note.packet.as_ref().map(|packet| {
                let (from, to) = packet.ends();
                format!(" ({} octets, {from} -> {to})", packet.bytes.len())
            });
            harmless(&format!("{at} media {}: {}{}", note.topic, note.text, way.unwrap_or_default()))
        }
    }
}

/// A message in a few words: the method, or the status with the method that it answers.
pub(super) fn label(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let first = text.lines().find(|line| !line.is_empty()).unwrap_or_default();
    match first.strip_prefix("SIP/2.0 ") {
        Some(status) => {
            let sequence = field(&text, "cseq", "cseq");
            let method = sequence.and_then(|value| value.split_whitespace().nth(1)).unwrap_or_default();
            let plain = method.is_empty() || method == "INVITE" && status.starts_with('1');
            if plain { harmless(status) } else { harmless(&format!("{status} ({method})")) }
        }
        None => harmless(first.split(' ').next().unwrap_or_default()),
    }
}

/// Is it a response of 300 or above?
pub(super) fn refuses(bytes: &[u8]) -> bool {
    matches!(bytes, [b'S', b'I', b'P', b'/', b'2', b'.', b'0', b' ', b'3'..=b'6', ..])
}

/// Is it a request?
pub(super) fn is_request(bytes: &[u8]) -> bool {
    !bytes.starts_with(b"SIP/2.0 ")
}

/// The value of a header field, by its name and its compact name in lower case.
fn field<'a>(text: &'a str, name: &str, compact: &str) -> Option<&'a str> {
    text.lines().skip(1).take_while(|line| !line.is_empty()).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        let found = found.trim();
        (found.eq_ignore_ascii_case(name) || found.eq_ignore_ascii_case(compact)).then(|| value.trim())
    })
}

/// The audio of a message's session description: address, profile, codecs, direction. `None` without one.
pub fn session_in_brief(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let head = text.find("\r\n\r\n")?;
    let body = text.get(head + 4..)?;
    let mut parts = Vec::new();
    let (mut address, mut current): (Option<&str>, Option<Stream<'_>>) = (None, None);
    for line in body.lines() {
        if let Some(value) = line.strip_prefix("c=") {
            let value = value.split(' ').nth(2);
            match &mut current {
                Some(stream) => stream.address = value,
                None => address = value,
            }
        } else if let Some(value) = line.strip_prefix("m=") {
            parts.extend(current.take().map(|stream| stream.text(address)));
            let mut words = value.split(' ');
            let (kind, port, profile) = (words.next()?, words.next()?, words.next()?);
            let formats = words.map(|format| (format, name_of(format))).collect();
            current = Some(Stream { kind, port, profile, formats, address: None, direction: None });
        } else if let (Some(stream), Some(value)) = (&mut current, line.strip_prefix("a=")) {
            if let Some((format, name)) = value.strip_prefix("rtpmap:").and_then(|map| map.split_once(' ')) {
                for known in stream.formats.iter_mut().filter(|known| known.0 == format) {
                    known.1 = name.split('/').next().unwrap_or(name);
                }
            } else if ["sendrecv", "sendonly", "recvonly", "inactive"].contains(&value) {
                stream.direction = Some(value);
            }
        }
    }
    parts.extend(current.map(|stream| stream.text(address)));
    (!parts.is_empty()).then(|| harmless(&parts.join(" | ")))
}

struct Stream<'a> {
    kind: &'a str,
    port: &'a str,
    profile: &'a str,
    formats: Vec<(&'a str, &'a str)>,
    address: Option<&'a str>,
    direction: Option<&'a str>,
}

impl Stream<'_> {
    fn text(&self, session: Option<&str>) -> String {
        let address = self.address.or(session).unwrap_or("?");
        let names: Vec<&str> = self.formats.iter().map(|(_, name)| *name).collect();
        let direction = self.direction.filter(|direction| *direction != "sendrecv");
        let mut text = format!("{} {address}:{} {} {}", self.kind, self.port, self.profile, names.join(" "));
        if let Some(direction) = direction {
            text += &format!(" {direction}");
        }
        text
    }
}

/// The static payload types of RFC 3551 that are met.
fn name_of(format: &str) -> &str {
    match format {
        "0" => "PCMU",
        "3" => "GSM",
        "4" => "G723",
        "8" => "PCMA",
        "9" => "G722",
        "13" => "CN",
        "18" => "G729",
        other => other,
    }
}

/// What a peer wrote, without what a terminal would obey or turn around.
pub fn harmless(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| match c {
        '\n' => c,
        c if c.is_control() || turns(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

impl Trace {
    /// The messages, in order.
    pub fn messages(&self) -> impl Iterator<Item = (&Entry, &Sighting)> {
        self.entries.iter().filter_map(|entry| match &entry.what {
            What::Message(sighting) => Some((entry, sighting)),
            What::Media(_) => None,
        })
    }

    /// The notes of the media, in order.
    pub fn notes(&self) -> impl Iterator<Item = (&Entry, &Note)> {
        self.entries.iter().filter_map(|entry| match &entry.what {
            What::Media(note) => Some((entry, note)),
            What::Message(_) => None,
        })
    }
}

/// Was the message a datagram?
pub(super) fn is_datagram(transport: Transport) -> bool {
    !transport.reliable()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_in_a_few_words() {
        assert_eq!(label(b"INVITE sip:b@h SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n"), "INVITE");
        assert_eq!(label(b"SIP/2.0 180 Ringing\r\nCSeq: 1 INVITE\r\n\r\n"), "180 Ringing");
        assert_eq!(label(b"SIP/2.0 200 OK\r\nCSeq: 1 BYE\r\n\r\n"), "200 OK (BYE)");
        assert_eq!(label(b"SIP/2.0 200 \x1b[2J\r\n\r\n"), "200 \u{fffd}[2J");
        assert!(refuses(b"SIP/2.0 488 x") && !refuses(b"SIP/2.0 200 x") && is_request(b"BYE x SIP/2.0"));
    }

    #[test]
    fn a_session_in_brief() {
        let sdp = b"INVITE x SIP/2.0\r\n\r\nv=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/SAVP 111 0 101\r\n\
            a=rtpmap:111 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\nm=video 0 RTP/AVP 97\r\n\
            c=IN IP6 ::1\r\n";
        let brief = session_in_brief(sdp).unwrap();
        assert_eq!(brief, "audio 192.0.2.1:4000 RTP/SAVP opus PCMU telephone-event sendonly | video ::1:0 RTP/AVP 97");
        assert_eq!(session_in_brief(b"BYE x SIP/2.0\r\n\r\n"), None);
        assert_eq!(session_in_brief(b"BYE x SIP/2.0\r\n\r\nm=\r\n"), None);
    }
}
