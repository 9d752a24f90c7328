//! Octets to messages: datagrams and streams.
//!
//! ```text
//! datagram ─────────────┐
//!                       ├─▶ Head (start line, fields, Content-Length) ─▶ check ─▶ Message
//! stream ─▶ Stream ─────┘                                                    └──▶ Malformed ─▶ stateless reply
//! ```
//!
//! Reading is liberal where RFC 4475 shows it to be safe (leading and bare line ends, folding, blanks before the colon,
//! compact names, any transport, scheme and method) and takes linear time. What a request needs to be answered at all is
//! checked here, once: [`Headers::top_via`], [`Headers::from`], [`Headers::to`], [`Headers::call_id`] and
//! [`Headers::cseq`] of a parsed message do not fail.

mod check;
mod fuzz;
mod malformed;
mod stream;

pub use fuzz::fuzz;
pub use malformed::{Fault, Malformed};
pub use stream::{Stream, StreamItem};

use super::grammar;
use super::header::{Headers, Name, Value};
use super::message::{Message, Method, Status};
use super::uri::Uri;
use bytes::Bytes;
use memchr::{memchr, memchr2};
use std::borrow::Cow;
use std::sync::Arc;

/// What is read at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the start line.
    pub start_octets: usize,
    /// Octets of start line and header fields.
    pub head_octets: usize,
    /// Octets of one header field.
    pub field_octets: usize,
    /// Header values after lists have been split.
    pub fields: usize,
    /// Hops that a message may have made.
    pub vias: usize,
    /// Octets of the body.
    pub body_octets: usize,
}

impl Default for Limits {
    /// 64 KiB of header fields (the largest datagram), 16 KiB of one (a History-Info or Identity is long), 4 KiB of start
    /// line, 512 values, 70 hops (where Max-Forwards starts, RFC 3261 section 8.1.1.6; RFC 4475 has 34 in one message),
    /// 1 MiB of body.
    fn default() -> Self {
        Self {
            start_octets: 4_096,
            head_octets: 65_536,
            field_octets: 16_384,
            fields: 512,
            vias: 70,
            body_octets: 1 << 20,
        }
    }
}

/// Reads the one message of a datagram with the default [`Limits`]. Octets after the body are ignored, a missing
/// Content-Length means up to the end (RFC 3261 section 18.3).
pub fn parse_datagram(datagram: &[u8]) -> Result<Message, Malformed> {
    parse_datagram_within(datagram, &Limits::default())
}

/// Reads the one message of a datagram; octets beyond `limits` make it malformed.
pub fn parse_datagram_within(datagram: &[u8], limits: &Limits) -> Result<Message, Malformed> {
    let datagram = skip_line_ends(datagram);
    if datagram.is_empty() {
        return Err(Fault::Empty.into());
    }
    let (head_octets, complete) = match head_end(datagram, 0) {
        Some(end) => (end, true),
        None => (datagram.len(), false),
    };
    let (head, rest) = datagram.split_at_checked(head_octets).unwrap_or((datagram, &[]));
    let mut head = Head::parse(head, limits);
    if !complete {
        head.note(Fault::NoEnd);
    }
    let body = match head.length {
        Length::Octets(octets) => rest.get(..octets).unwrap_or_else(|| {
            head.note(Fault::ShortBody { announced: octets, present: rest.len() });
            rest
        }),
        _ => rest,
    };
    if body.len() > limits.body_octets {
        head.note(Fault::BodyTooLong { limit: limits.body_octets });
    }
    head.finish(Bytes::copy_from_slice(body))
}

/// Octets without line ends in front: keep-alives, or what a peer sends before a message (RFC 3261 section 7.5).
fn skip_line_ends(octets: &[u8]) -> &[u8] {
    let start = octets.iter().position(|octet| !matches!(octet, b'\r' | b'\n')).unwrap_or(octets.len());
    octets.get(start..).unwrap_or_default()
}

/// The index after the empty line, searched from `from` on. Lines may end in a bare LF.
fn head_end(octets: &[u8], from: usize) -> Option<usize> {
    let mut from = from;
    loop {
        let line_end = from + memchr(b'\n', octets.get(from..)?)? + 1;
        match octets.get(line_end..)? {
            [b'\n', ..] => return Some(line_end + 1),
            [b'\r', b'\n', ..] => return Some(line_end + 2),
            _ => from = line_end,
        }
    }
}

/// The first line.
#[derive(Debug)]
enum Start {
    Request {
        method: Method,
        uri: Uri,
    },
    Response {
        status: Status,
        reason: String,
    },
    /// None that could be understood; the fault says why. `method` is its first word, if that is a method.
    BrokenRequest {
        method: Option<Method>,
    },
    BrokenResponse,
}

/// What the Content-Length fields say together.
#[derive(Clone, Copy, Debug)]
enum Length {
    Absent,
    Octets(usize),
    Malformed,
}

/// Start line and fields, read as far as they can be: the first fault is noted, the rest is kept for the reply.
#[derive(Debug)]
struct Head {
    start: Start,
    headers: Headers,
    length: Length,
    /// Via values so far.
    vias: usize,
    fault: Option<Fault>,
}

impl Head {
    /// Reads a head, the empty line included.
    fn parse(octets: &[u8], limits: &Limits) -> Head {
        let mut head = Head {
            start: Start::BrokenRequest { method: None },
            // A value takes 20 to 50 octets of most messages.
            headers: Headers::with_capacity((octets.len() / 24).clamp(8, 64)),
            length: Length::Absent,
            vias: 0,
            fault: None,
        };
        if octets.len() > limits.head_octets {
            head.note(Fault::HeadTooLong { limit: limits.head_octets });
            return head;
        }
        let shared: Option<Arc<str>> = std::str::from_utf8(octets).ok().map(Into::into);
        let mut lines = Lines(shared.as_deref().map_or(octets, str::as_bytes));
        let (first, _) = lines.next().unwrap_or_default();
        let (start, fault) = start_line(first);
        (head.start, head.fault) = (start, fault);
        if first.len() > limits.start_octets {
            head.fault = Some(Fault::StartTooLong { limit: limits.start_octets });
        }
        let mut unfolded = Vec::new();
        while let Some((line, bare_return)) = lines.next() {
            if line.is_empty() {
                break;
            }
            if line.len() > limits.field_octets {
                head.note(Fault::FieldTooLong { limit: limits.field_octets });
            } else if !lines.folds() {
                head.field(line, bare_return, shared.as_ref());
            } else {
                // A line break and the blanks after it mean one blank (RFC 3261 section 7.3.1).
                unfolded.clear();
                unfolded.extend_from_slice(line.trim_ascii_end());
                while lines.folds() {
                    let (more, _) = lines.next().unwrap_or_default();
                    unfolded.push(b' ');
                    unfolded.extend_from_slice(more.trim_ascii());
                }
                let bare_return = memchr(b'\r', &unfolded).is_some();
                match unfolded.len() > limits.field_octets {
                    true => head.note(Fault::FieldTooLong { limit: limits.field_octets }),
                    false => head.field(&unfolded, bare_return, None),
                }
            }
            if head.vias > limits.vias {
                head.note(Fault::TooManyHops { limit: limits.vias });
                break;
            }
            if head.headers.len() > limits.fields {
                head.note(Fault::TooManyFields { limit: limits.fields });
                break;
            }
        }
        head
    }

    /// The first fault is the one that is told.
    fn note(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    /// Reads one unfolded line, which is a part of `shared`, if that is there. `bare_return`: a carriage return stands in
    /// it.
    fn field(&mut self, line: &[u8], bare_return: bool, shared: Option<&Arc<str>>) {
        let keep = |value: &[u8]| match shared {
            Some(head) => Value::within(head, value),
            None => Value::from_octets(value),
        };
        let (Some((end, colon)), false) = (name_end(line), bare_return) else {
            self.note(Fault::FieldLine(excerpt(line)));
            return;
        };
        let name = Name::of_octets(line.get(..end).unwrap_or_default());
        let value = line.get(colon + 1..).unwrap_or_default().trim_ascii();
        if matches!(name, Name::ContentLength) {
            self.content_length(value);
        }
        if !name.is_list() || memchr(b',', value).is_none() {
            self.vias += usize::from(matches!(name, Name::Via));
            self.headers.push(name, keep(value));
            return;
        }
        for item in grammar::split(value, b',') {
            let item = item.trim_ascii();
            // An empty list item means nothing, but in Via, where it would be a hop (RFC 4475 section 3.1.2.1).
            if !item.is_empty() || name == Name::Via {
                self.vias += usize::from(matches!(name, Name::Via));
                self.headers.push(name.clone(), keep(item));
            }
        }
    }

    /// The field may be repeated with the same number only.
    fn content_length(&mut self, value: &[u8]) {
        let octets = std::str::from_utf8(value).ok().and_then(grammar::decimal);
        self.length = match (self.length, octets) {
            (Length::Absent, Some(octets)) => Length::Octets(octets),
            (Length::Octets(before), Some(octets)) if before == octets => Length::Octets(octets),
            _ => {
                self.note(Fault::ContentLength(excerpt(value)));
                Length::Malformed
            }
        };
    }

    /// The message of this head and body, if both can be used.
    fn finish(mut self, body: Bytes) -> Result<Message, Malformed> {
        if self.fault.is_none()
            && let Err(fault) = check::check(&self.start, &self.headers)
        {
            self.fault = Some(fault);
        }
        match self.fault {
            Some(fault) => Err(Malformed::new(fault, self.start, self.headers)),
            None => Ok(check::message(self.start, self.headers, body)?),
        }
    }
}

/// Where the name of a field and its colon are; blanks may stand between them.
fn name_end(line: &[u8]) -> Option<(usize, usize)> {
    let end = line.iter().position(|octet| !grammar::is_token_octet(*octet)).filter(|end| *end > 0)?;
    let blanks = line.get(end..)?.iter().position(|octet| !grammar::is_blank(*octet))?;
    (line.get(end + blanks) == Some(&b':')).then_some((end, end + blanks))
}

/// Lines without their ends.
struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    /// The next line, and whether a carriage return stands inside of it.
    fn next(&mut self) -> Option<(&'a [u8], bool)> {
        let octets = self.0;
        let end = memchr2(b'\r', b'\n', octets).unwrap_or(octets.len());
        match octets.split_at_checked(end)? {
            ([], []) => None,
            (line, [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] | rest @ []) => {
                self.0 = rest;
                Some((line, false))
            }
            (_, rest) => {
                let end = end + memchr(b'\n', rest).unwrap_or(rest.len());
                let (line, rest) = octets.split_at_checked(end)?;
                self.0 = rest.get(1..).unwrap_or_default();
                // One at the end of all belongs to an end that was cut off.
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                Some((line, memchr(b'\r', line).is_some()))
            }
        }
    }

    /// Does the next line continue this one?
    fn folds(&self) -> bool {
        self.0.first().copied().is_some_and(grammar::is_blank)
    }
}

fn start_line(line: &[u8]) -> (Start, Option<Fault>) {
    if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/")) {
        return status_line(line).map_or_else(|fault| (Start::BrokenResponse, Some(fault)), |start| (start, None));
    }
    let text = std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed);
    let (word, rest) = grammar::cut(&text, b' ').unwrap_or((&text, ""));
    let method = word.parse::<Method>().ok();
    let fault = match (request_line(&text, rest, method.clone()), &text) {
        (Ok(start), Cow::Borrowed(_)) => return (start, None),
        (Ok(_), Cow::Owned(_)) => Fault::StartLine(excerpt(line)),
        (Err(fault), _) => fault,
    };
    (Start::BrokenRequest { method }, Some(fault))
}

/// `text` is the whole line, `rest` what stands behind the method.
fn request_line(text: &str, rest: &str, method: Option<Method>) -> Result<Start, Fault> {
    let excerpt = || excerpt(text.as_bytes());
    let Some((uri, version)) = grammar::cut(rest, b' ').filter(|(_, version)| !version.contains(' ')) else {
        // On a stream it matters whether this is SIP with a blank too many or something else altogether.
        return match text.contains(" SIP/") {
            true => Err(Fault::StartLine(excerpt())),
            false => Err(Fault::NotSip(excerpt())),
        };
    };
    match version.get(..4).zip(version.get(4..)) {
        Some((sip, "2.0")) if sip.eq_ignore_ascii_case("SIP/") => {}
        Some((sip, number)) if sip.eq_ignore_ascii_case("SIP/") && is_version(number) => {
            return Err(Fault::Version(version.chars().take(80).collect()));
        }
        _ => return Err(Fault::NotSip(excerpt())),
    }
    let method = method.ok_or_else(|| Fault::StartLine(excerpt()))?;
    let uri = uri.parse::<Uri>().map_err(Fault::RequestUri)?;
    Ok(Start::Request { method, uri })
}

fn status_line(line: &[u8]) -> Result<Start, Fault> {
    let mut words = line.splitn(3, |octet| *octet == b' ');
    let version = words.next().unwrap_or_default();
    if version.get(4..) != Some(b"2.0") {
        return Err(Fault::Version(excerpt(version)));
    }
    let code = words.next().unwrap_or_default();
    let status = std::str::from_utf8(code)
        .ok()
        .filter(|code| code.len() == 3)
        .and_then(grammar::decimal)
        .filter(|code| (100..700).contains(code))
        .ok_or_else(|| Fault::StartLine(excerpt(line)))?;
    let reason = String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned();
    if reason.contains('\r') {
        return Err(Fault::StartLine(excerpt(line)));
    }
    Ok(Start::Response { status: Status(status), reason })
}

/// `1*DIGIT "." 1*DIGIT`
fn is_version(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    text.split_once('.').is_some_and(|(major, minor)| digits(major) && digits(minor))
}

/// The start of octets for an error text.
fn excerpt(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets.get(..80).unwrap_or(octets)).into_owned()
}
