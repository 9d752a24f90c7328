//! Messages on a stream: framed by Content-Length (RFC 3261 section 18.3), keep-alives between them (RFC 5626
//! section 3.5.1).

use super::{Fault, Head, Length, Limits, Malformed, head_end};
use crate::sip::message::Message;
use bytes::{Buf, Bytes, BytesMut};

/// Cuts the octets of one connection into messages.
///
/// ```text
/// read ──push──▶ buffer ──next──▶ Message, KeepAlivePing, KeepAlivePong, or Malformed (see Stream::is_broken)
/// ```
///
/// Drain [`Iterator::next`] after each [`Stream::push`]; then no more than the limits and one read are ever held.
#[derive(Debug)]
pub struct Stream {
    limits: Limits,
    buffer: BytesMut,
    /// Octets of the buffer in which no empty line starts.
    scanned: usize,
    /// A head that waits for so many octets of body.
    waiting: Option<(Head, usize)>,
    /// Pings of ours that have not been answered yet.
    pings: u32,
    broken: bool,
    /// The octets of the last message.
    octets: BytesMut,
}

/// What came out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every item is a message, and none is kept")]
pub enum StreamItem {
    /// A message.
    Message(Message),
    /// The peer asks for a sign of life: answer with one CRLF.
    KeepAlivePing,
    /// The peer answered a ping of ours.
    KeepAlivePong,
}

impl Stream {
    /// A new connection.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            scanned: 0,
            waiting: None,
            pings: 0,
            broken: false,
            octets: BytesMut::new(),
        }
    }

    /// Adds octets that were read.
    pub fn push(&mut self, octets: &[u8]) {
        if !self.broken {
            self.buffer.extend_from_slice(octets);
        }
    }

    /// Notes that a ping (CRLF CRLF) was sent: only then a single CRLF is a pong, as half a ping looks the same.
    pub fn ping_sent(&mut self) {
        self.pings = self.pings.saturating_add(1);
    }

    /// Is the end of a message unknown? Then nothing more is read and the connection has to be closed.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Is a message begun but not complete? A peer that leaves it so has to be given up some time.
    pub fn is_inside_message(&self) -> bool {
        self.waiting.is_some() || self.buffer.iter().any(|octet| !matches!(octet, b'\r' | b'\n'))
    }

    /// Octets that are held.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The exact octets of the message that [`Iterator::next`] gave last; empty the second time.
    pub fn take_octets(&mut self) -> Bytes {
        self.octets.split().freeze()
    }

    /// Takes line ends from the front: a keep-alive, or `None` when a message follows or more has to be read.
    fn keep_alive(&mut self) -> Option<StreamItem> {
        loop {
            match self.buffer.as_ref() {
                [b'\r', b'\n', ..] if self.pings > 0 => {
                    self.pings -= 1;
                    self.buffer.advance(2);
                    return Some(StreamItem::KeepAlivePong);
                }
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    self.buffer.advance(4);
                    return Some(StreamItem::KeepAlivePing);
                }
                // Perhaps half a ping.
                [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return None,
                [b'\r', b'\n', ..] => self.buffer.advance(2),
                [b'\r' | b'\n', ..] => self.buffer.advance(1),
                _ => return None,
            }
        }
    }

    /// Gives the connection up.
    fn break_off(&mut self, head: Head) -> Option<Result<StreamItem, Malformed>> {
        self.broken = true;
        self.buffer = BytesMut::new();
        Some(head.finish(Default::default()).map(StreamItem::Message))
    }

    /// Reads the head at the front of the buffer, if it is complete.
    fn head(&mut self) -> Option<Head> {
        if self.buffer.first().is_none_or(|octet| matches!(octet, b'\r' | b'\n')) {
            return None;
        }
        let Some(end) = head_end(&self.buffer, self.scanned) else {
            // The empty line may have begun with the last three octets.
            self.scanned = self.buffer.len().saturating_sub(3);
            if self.buffer.len() <= self.limits.head_octets {
                return None;
            }
            let mut head = Head::parse(&self.buffer, &self.limits);
            head.note(Fault::HeadTooLong { limit: self.limits.head_octets });
            return Some(head);
        };
        self.scanned = 0;
        let head = self.buffer.split_to(end);
        self.octets.clear();
        self.octets.extend_from_slice(&head);
        Some(Head::parse(&head, &self.limits))
    }
}

impl Iterator for Stream {
    type Item = Result<StreamItem, Malformed>;

    /// The next complete item, or `None` until more is pushed.
    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        if self.waiting.is_none() {
            if let Some(item) = self.keep_alive() {
                return Some(Ok(item));
            }
            let mut head = self.head()?;
            let octets = match head.length {
                Length::Octets(octets) => octets,
                Length::Absent => {
                    head.note(Fault::NoContentLength);
                    return self.break_off(head);
                }
                Length::Malformed => return self.break_off(head),
            };
            if octets > self.limits.body_octets {
                head.note(Fault::BodyTooLong { limit: self.limits.body_octets });
            }
            if octets > self.limits.body_octets || head.fault.as_ref().is_some_and(Fault::breaks_stream) {
                return self.break_off(head);
            }
            self.waiting = Some((head, octets));
        }
        let (head, octets) = self.waiting.take()?;
        if self.buffer.len() < octets {
            self.waiting = Some((head, octets));
            return None;
        }
        let body = self.buffer.split_to(octets).freeze();
        self.octets.extend_from_slice(&body);
        Some(head.finish(body).map(StreamItem::Message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Status;

    const OPTIONS: &str = "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
        To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n";

    fn with_body(body: &str) -> String {
        format!("{OPTIONS}l: {}\r\n\r\n{body}", body.len())
    }

    fn kinds(stream: &mut Stream) -> Vec<String> {
        stream
            .map(|item| match item {
                Ok(StreamItem::Message(message)) => format!("message {}", message.body().len()),
                Ok(StreamItem::KeepAlivePing) => "ping".into(),
                Ok(StreamItem::KeepAlivePong) => "pong".into(),
                Err(malformed) => format!("malformed {}", malformed.fault.status()),
            })
            .collect()
    }

    #[test]
    fn cuts_the_same_messages_however_the_octets_arrive() {
        let octets = [with_body("body"), with_body(""), "\r\n\r\n".into(), with_body("\r\n\r\nx")].concat();
        for piece in [1, 2, 3, 5, 7, 64, 100_000] {
            let mut stream = Stream::new(Limits::default());
            let mut seen = Vec::new();
            for octets in octets.as_bytes().chunks(piece) {
                stream.push(octets);
                seen.extend(kinds(&mut stream));
            }
            assert_eq!(seen, ["message 4", "message 0", "ping", "message 5"], "pieces of {piece}");
            assert!(!stream.is_inside_message() && stream.buffered() == 0);
        }
    }

    #[test]
    fn a_single_line_end_is_a_pong_only_after_a_ping() {
        let mut stream = Stream::new(Limits::default());
        stream.push(b"\r\n");
        assert_eq!(kinds(&mut stream), [""; 0]);
        stream.push(b"\r\n");
        assert_eq!(kinds(&mut stream), ["ping"]);
        stream.ping_sent();
        stream.push(b"\r\n\r\n\r\n");
        assert_eq!(kinds(&mut stream), ["pong", "ping"]);
        stream.push(b"\r\n");
        stream.push(with_body("x").as_bytes());
        assert_eq!(kinds(&mut stream), ["message 1"]);
    }

    #[test]
    fn what_hides_the_end_of_a_message_breaks_the_stream() {
        let small = Limits { head_octets: 400, fields: 20, body_octets: 10, ..Limits::default() };
        for (octets, status) in [
            (format!("{OPTIONS}\r\nwhatever"), 400),
            (format!("{OPTIONS}Content-Length: -1\r\n\r\n"), 400),
            (format!("{OPTIONS}Content-Length: 5\r\nl: 6\r\n\r\n"), 400),
            (format!("{OPTIONS}Content-Length: 99999999999999999999999\r\n\r\n"), 400),
            (format!("{OPTIONS}Content-Length: 11\r\n\r\n"), 413),
            (format!("{OPTIONS}X: {}", "x".repeat(400)), 513),
            (format!("{OPTIONS}{}l: 0\r\n\r\n", "X: y\r\n".repeat(30)), 513),
            ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n".into(), 400),
        ] {
            let mut stream = Stream::new(small);
            stream.push(octets.as_bytes());
            stream.push(with_body("").as_bytes());
            assert_eq!(kinds(&mut stream), [format!("malformed {status}")], "{octets}");
            assert!(stream.is_broken() && stream.buffered() == 0);
            stream.push(with_body("").as_bytes());
            assert_eq!(kinds(&mut stream), [""; 0]);
        }
    }

    #[test]
    fn a_malformed_message_with_a_known_end_does_not() {
        let mut stream = Stream::new(Limits::default());
        stream.push(with_body("abc").replace("1 OPTIONS", "1 INVITE").as_bytes());
        stream.push(with_body("").as_bytes());
        let malformed = stream.next().unwrap().unwrap_err();
        let reply = malformed.reply("192.0.2.1:5060".parse().unwrap(), "t").unwrap();
        assert_eq!(reply.status, Status::BAD_REQUEST);
        assert_eq!(kinds(&mut stream), ["message 0"]);
    }
}
