//! A trace as a diagram for a terminal: who said what to whom, and when.
//!
//! ```text
//!               sidetone            192.0.2.9:5060
//!    +0.000         │── INVITE ─────────────▶│
//!                   │ audio 10.0.0.1:4000 …  │
//!    +0.031         │◀─────── 488 Not … ─────│
//! ```

mod canvas;

use super::entry::{Entry, Note, Sighting, Trace, What};
use super::story::{harmless, is_request, label, refuses, session_in_brief, summary};
use canvas::{Canvas, Paint};
use std::collections::HashSet;
use std::net::SocketAddr;

/// Where a ladder is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal.
    pub width: usize,
    /// May it be coloured?
    pub colour: bool,
}

/// The narrowest diagram.
const NARROWEST: usize = 50;

/// Between the lines of two endpoints.
const GAP: (usize, usize) = (24, 52);

/// Where the line of our side stands, after the time.
const FIRST: usize = 18;

/// What the last endpoint's name needs beside its line.
const MARGIN: usize = 12;

/// Draws `trace`.
pub fn draw(trace: &Trace, style: Style) -> String {
    let ends = Ends::of(trace, style.width.max(NARROWEST));
    let mut canvas = Canvas::new(&ends.lines, style.colour);
    let mut text = summary(&trace.head);
    text.push_str("\n\n");
    for titles in ends.titles() {
        text += &canvas.titles(&titles);
    }
    let began = trace.entries.first().map(|entry| entry.at);
    let mut seen = HashSet::new();
    let mut reports: Option<Reports> = None;
    for entry in &trace.entries {
        let offset = began.map_or(0.0, |began| entry.at.duration_since(began).as_secs_f64());
        let time = format!("{:>+10.3} ", offset);
        if let (What::Media(note), true) = (&entry.what, is_report(entry)) {
            let reports = reports.get_or_insert(Reports { time, count: 0, last: String::new() });
            reports.count += 1;
            reports.last.clone_from(&note.text);
            continue;
        }
        if let Some(reports) = reports.take() {
            text += &reports.draw(&canvas, &ends);
        }
        match &entry.what {
            What::Message(sighting) => {
                let again = !seen.insert((sighting.sent, sighting.remote, sighting.bytes.clone()));
                text += &message(&canvas, &ends, &time, sighting, again);
            }
            What::Media(note) => text += &media(&mut canvas, &ends, &time, note),
        }
    }
    if let Some(reports) = reports {
        text += &reports.draw(&canvas, &ends);
    }
    text
}

/// RTCP comes every few seconds: reports in a row are one line.
struct Reports {
    time: String,
    count: usize,
    last: String,
}

impl Reports {
    fn draw(self, canvas: &Canvas, ends: &Ends) -> String {
        let text = match self.count {
            1 => self.last,
            count => format!("{count} RTCP reports, the last: {}", self.last),
        };
        canvas.text(&self.time, 0, ends.media.unwrap_or(1), &harmless(&text), Paint::Dim)
    }
}

fn is_report(entry: &Entry) -> bool {
    matches!(&entry.what, What::Media(note) if note.topic.starts_with("rtcp-"))
}

fn message(canvas: &Canvas, ends: &Ends, time: &str, sighting: &Sighting, again: bool) -> String {
    let peer = ends.column(sighting.remote);
    let (from, to) = if sighting.sent { (0, peer) } else { (peer, 0) };
    let mut label = label(&sighting.bytes);
    if again {
        label += " (again)";
    }
    if ends.is_shared(peer) {
        label += &format!(" [{}]", sighting.remote);
    }
    let paint = match () {
        () if is_request(&sighting.bytes) => Paint::Request,
        () if refuses(&sighting.bytes) => Paint::Refusal,
        () => Paint::Response,
    };
    let mut text = canvas.arrow(time, from, to, &label, paint);
    if let Some(brief) = session_in_brief(&sighting.bytes).filter(|_| !again) {
        text += &canvas.text("", 0, peer, &brief, Paint::Dim);
    }
    text
}

fn media(canvas: &mut Canvas, ends: &Ends, time: &str, note: &Note) -> String {
    let peer = ends.media.unwrap_or(1);
    let words = harmless(&note.text);
    match note.topic.as_str() {
        "started" | "changed" => {
            canvas.set_media(Some((0, peer)));
            canvas.bar(time, 0, peer, &words)
        }
        "stopped" => {
            let text = canvas.bar(time, 0, peer, &words);
            canvas.set_media(None);
            text
        }
        "trouble" | "failed" => canvas.text(time, 0, peer, &words, Paint::Refusal),
        _ => canvas.text(time, 0, peer, &words, Paint::Dim),
    }
}

/// The endpoints and where their lines stand.
struct Ends {
    /// Ours first.
    names: Vec<(String, String)>,
    addresses: Vec<SocketAddr>,
    lines: Vec<usize>,
    /// The column of the far end's media.
    media: Option<usize>,
}

impl Ends {
    fn of(trace: &Trace, width: usize) -> Self {
        let mut addresses: Vec<SocketAddr> = Vec::new();
        let mut ours: Vec<SocketAddr> = Vec::new();
        let mut transports = Vec::new();
        for (_, sighting) in trace.messages() {
            if !addresses.contains(&sighting.remote) {
                addresses.push(sighting.remote);
                transports.push(sighting.transport.name());
            }
            if !ours.contains(&sighting.local) {
                ours.push(sighting.local);
            }
        }
        let signalling = addresses.len();
        let remote = trace
            .notes()
            .filter(|(_, note)| note.topic == "started")
            .find_map(|(_, note)| note.field("remote").and_then(|address| address.parse::<SocketAddr>().ok()));
        if let Some(remote) = remote
            && !addresses.iter().any(|address| address.ip() == remote.ip())
        {
            addresses.push(remote);
        }
        let room = width.saturating_sub(FIRST + MARGIN);
        let fit = (room / GAP.0).max(1);
        let others = addresses.len().clamp(1, fit);
        let gap = (room / others).clamp(GAP.0.min(room), GAP.1);
        let lines = (0..=others).map(|column| FIRST + column * gap).collect();
        let own = match ours.as_slice() {
            [address] => address.to_string(),
            _ => String::new(),
        };
        let mut names = vec![("sidetone".to_owned(), own)];
        for column in 0..others {
            let name = match addresses.get(column) {
                Some(_) if column + 1 == others && addresses.len() > others => "others".to_owned(),
                Some(address) => address.to_string(),
                None => "nobody".to_owned(),
            };
            let kind = if column >= signalling { "media" } else { transports.get(column).copied().unwrap_or_default() };
            names.push((name, kind.to_owned()));
        }
        let mut ends = Self { names, addresses, lines, media: None };
        ends.media = remote.map(|remote| {
            let at = ends.addresses.iter().position(|address| address.ip() == remote.ip()).unwrap_or_default();
            ends.clamped(at)
        });
        ends
    }

    fn clamped(&self, index: usize) -> usize {
        (index + 1).min(self.lines.len() - 1)
    }

    fn column(&self, remote: SocketAddr) -> usize {
        self.clamped(self.addresses.iter().position(|address| *address == remote).unwrap_or_default())
    }

    /// Do several addresses share this column?
    fn is_shared(&self, column: usize) -> bool {
        column == self.lines.len() - 1 && self.addresses.len() > self.lines.len() - 1
    }

    /// Two rows of names.
    fn titles(&self) -> [Vec<String>; 2] {
        [
            self.names.iter().map(|(name, _)| name.clone()).collect(),
            self.names.iter().map(|(_, kind)| kind.clone()).collect(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::hop::Transport;
    use crate::trace::{Dropped, Head, Subject};
    use bytes::Bytes;

    fn trace(entries: Vec<(u64, What)>) -> Trace {
        let began: jiff::Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let entries = entries
            .into_iter()
            .map(|(millis, what)| Entry { at: began + std::time::Duration::from_millis(millis), what })
            .collect();
        let head = Head {
            version: 1,
            subject: Subject::Call("0190".into()),
            direction: Some("outbound".into()),
            from: "sip:a@h".into(),
            to: "sip:b@h".into(),
            outcome: "completed".into(),
            explanation: None,
            began: None,
            until: None,
            messages: 0,
            notes: 0,
            secrets: false,
            dropped: Dropped::default(),
        };
        Trace { head, entries }
    }

    fn says(sent: bool, remote: &str, text: &str) -> What {
        What::Message(Sighting {
            sent,
            transport: Transport::Udp,
            local: "10.0.0.1:5060".parse().unwrap(),
            remote: remote.parse().unwrap(),
            bytes: Bytes::copy_from_slice(text.as_bytes()),
        })
    }

    fn note(topic: &str, text: &str) -> What {
        What::Media(Note::new(topic, text, serde_json::json!({"remote": "192.0.2.9:4000"})))
    }

    fn call() -> Trace {
        let offer = "INVITE sip:b@h SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\nc=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\n";
        trace(vec![
            (0, says(true, "192.0.2.9:5060", offer)),
            (20, says(true, "192.0.2.9:5060", offer)),
            (31, says(false, "192.0.2.9:5060", "SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n")),
            (32, note("started", "RTP PCMU")),
            (5_000, note("rtcp-sent", "one")),
            (5_100, note("rtcp-received", "two")),
            (6_000, says(false, "192.0.2.9:5060", "BYE sip:a@h SIP/2.0\r\nCSeq: 1 BYE\r\n\r\n")),
            (6_001, note("stopped", "RTP ended")),
        ])
    }

    #[test]
    fn a_call_is_a_ladder() {
        let drawn = draw(&call(), Style { width: 72, colour: false });
        let expected = "\
call 0190: outbound, sip:a@h to sip:b@h, completed

              sidetone                           192.0.2.9:5060
           10.0.0.1:5060                              UDP
    +0.000         │── INVITE ──────────────────────────────▶│
                   │ audio 10.0.0.1:4000 RTP/AVP PCMU        │
";
        let start: String = drawn.lines().take(4).map(|line| format!("{line}\n")).collect();
        assert!(start.starts_with(&expected[..expected.find("\n\n").unwrap()]), "{drawn}");
        for text in [
            "INVITE ─",
            "INVITE (again)",
            "▶│",
            "◀",
            "200 OK (INVITE)",
            "audio 10.0.0.1:4000 RTP/AVP PCMU",
            "RTP PCMU",
            "2 RTCP reports, the last: two",
            "BYE",
            "RTP ended",
            "║",
            "+6.000",
        ] {
            assert!(drawn.contains(text), "{text:?} is missing\n{drawn}");
        }
        assert!(!drawn.contains('\u{1b}'));
        assert!(drawn.lines().all(|line| line.chars().count() <= 72), "{drawn}");
        let coloured = draw(&call(), Style { width: 72, colour: true });
        assert!(coloured.contains("\u{1b}["));
    }

    #[test]
    fn narrow_terminals_and_crowds_fit() {
        let crowd = trace(
            (1..9)
                .map(|host| {
                    let text = "SIP/2.0 503 A very long reason phrase that no narrow arrow has any room for\r\nCSeq: 1 INVITE\r\n\r\n";
                    (host, says(false, &format!("192.0.2.{host}:5060"), text))
                })
                .collect(),
        );
        for width in [20, 50, 60, 80, 100, 200] {
            let drawn = draw(&crowd, Style { width, colour: false });
            let widest = drawn.lines().skip(1).map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width.max(NARROWEST), "{widest} at {width}\n{drawn}");
            let words = ["long", "reason", "narrow", "arrow"];
            assert!(words.iter().all(|word| drawn.contains(word)), "{drawn}");
        }
        assert!(draw(&crowd, Style { width: 80, colour: false }).contains("[192.0.2.8:5060]"));
        assert!(draw(&trace(Vec::new()), Style { width: 80, colour: false }).contains("nobody"));
    }
}
