//! DTMF digits of both directions by every way there is: telephone events (RFC 4733), INFO, tones in the audio.
//!
//! ```text
//!  dtmf() ─┬─ rfc4733, or auto and negotiated ─▶ media: events
//!          ├─ info, or auto ─▶ INFO, one after the other ─ refused, and auto ─▶ media: tones
//!          └─ inband ─▶ media: tones
//! ```

use super::life::{Call, Desk, DtmfRefused, Media, Stage};
use super::output::{MediaOrder, Moment};
use crate::media::dtmf::{Digit, Way};
use crate::sip::agent::{DtmfWay, InsideRequest, RequestId};
use crate::sip::header::{Header, Headers, Name};
use crate::sip::message::{Method, Status};
use crate::time::Duration;
use bytes::Bytes;
use serde_json::Value;
use std::collections::VecDeque;

/// The media types of digits in INFO: Cisco's, which everybody took over, and the one with the bare digit.
const RELAY: &str = "application/dtmf-relay";
const BARE: &str = "application/dtmf";

/// How long a digit of ours sounds at a gateway that makes it again from our INFO.
const LENGTH: Duration = Duration::from_millis(160);

/// Digits that wait for their INFO, at most.
const MOST: usize = 256;

/// Digits that go by INFO.
#[derive(Debug, Default)]
pub(super) struct ByInfo {
    waiting: VecDeque<char>,
    asked: Option<(RequestId, char)>,
}

impl Call {
    /// Sends DTMF digits by the way that the account's policy says.
    ///
    /// # Errors
    /// When the call is not answered, or the policy wants telephone events and the far end takes none.
    pub fn dtmf(&mut self, desk: &mut Desk<'_>, digits: &str) -> Result<(), DtmfRefused> {
        if !matches!(self.stage, Stage::Talking) || self.media != Media::Running {
            return Err(DtmfRefused::NotAnswered);
        }
        let negotiated = self.plan().is_some_and(|plan| plan.send_event.is_some());
        match (self.dtmf_way, negotiated) {
            (DtmfWay::Auto | DtmfWay::Rfc4733, true) => self.send_by_media(desk, digits, Way::Rfc4733),
            (DtmfWay::Rfc4733, false) => return Err(DtmfRefused::NoTelephoneEvents),
            (DtmfWay::Inband, _) => self.send_by_media(desk, digits, Way::Inband),
            (DtmfWay::Auto | DtmfWay::Info, _) => {
                let room = MOST.saturating_sub(self.by_info.waiting.len());
                self.by_info.waiting.extend(digits.chars().take(room));
                self.send_next_info(desk);
            }
        }
        Ok(())
    }

    fn send_by_media(&self, desk: &mut Desk<'_>, digits: &str, way: Way) {
        self.order(desk, MediaOrder::Dtmf { digits: digits.to_owned(), way });
    }

    /// One INFO at a time: their order is that of the digits only if each waits for the answer to the one before.
    fn send_next_info(&mut self, desk: &mut Desk<'_>) {
        while self.by_info.asked.is_none() {
            let Some(digit) = self.by_info.waiting.pop_front() else { return };
            let body = format!("Signal={digit}\r\nDuration={}\r\n", LENGTH.as_millis());
            let body = Some((RELAY.to_owned(), Bytes::from(body)));
            let info = InsideRequest { method: Method::Info, headers: Vec::new(), body };
            // A session that is over by now tells so by itself.
            let asked = desk.agent.request(desk.now, self.session, info).ok();
            self.by_info.asked = asked.map(|asked| (asked, digit));
        }
    }

    /// The answer to an INFO with a digit; `false` if the request was none.
    pub(super) fn digits_replied(
        &mut self,
        desk: &mut Desk<'_>,
        request: RequestId,
        status: Status,
        reason: &str,
    ) -> bool {
        let Some((_, digit)) = self.by_info.asked.take_if(|(asked, _)| *asked == request) else { return false };
        if status.is_success() {
            self.send_next_info(desk);
        } else if self.dtmf_way == DtmfWay::Auto {
            let rest: String = std::iter::once(digit).chain(self.by_info.waiting.drain(..)).collect();
            self.dtmf_way = DtmfWay::Inband;
            self.send_by_media(desk, &rest, Way::Inband);
        } else {
            self.by_info.waiting.clear();
            self.tell(desk, Moment::DtmfRefused { digit, status, reason: reason.to_owned() });
        }
        true
    }

    /// An INFO came: a digit, a sign of life, or something that is not understood.
    pub(super) fn handle_info(
        &mut self,
        desk: &mut Desk<'_>,
        headers: &Headers,
        body: &Bytes,
    ) -> (Status, Vec<Header>) {
        // RFC 6086 section 4.2.2: an INFO without a body asks whether the call is still there.
        if body.is_empty() {
            return (Status::OK, Vec::new());
        }
        let text = String::from_utf8_lossy(body);
        let read = match headers.content_type().as_deref() {
            Some(RELAY) => relay(&text),
            Some(BARE) => key(text.trim()).map(|digit| (digit, LENGTH)),
            _ => {
                let accept = Header { name: Name::Accept, value: format!("{RELAY}, {BARE}").as_str().into() };
                return (Status::UNSUPPORTED_MEDIA_TYPE, vec![accept]);
            }
        };
        if let Some((digit, duration)) = read {
            self.heard_digit(desk, digit.character(), duration, Way::Info);
        }
        // A hook flash is no digit, and no reason to refuse.
        (Status::OK, Vec::new())
    }

    /// The far end sent a digit.
    pub(super) fn heard_digit(&mut self, desk: &mut Desk<'_>, digit: char, duration: Duration, way: Way) {
        self.record.dtmf_received.push(digit);
        let by = self.record.metadata.entry("dtmf_by").or_insert_with(|| Value::Object(Default::default()));
        if let Value::Object(by) = by {
            let digits = by.entry(way.name()).or_insert_with(|| Value::String(String::new()));
            if let Value::String(digits) = digits {
                digits.push(digit);
            }
        }
        self.tell(desk, Moment::Dtmf { digit, duration, way });
    }

    /// Shall media listen for tones: the policy says so, or there is no better way?
    pub(super) fn hears_tones(&self) -> bool {
        match self.dtmf_way {
            DtmfWay::Inband => true,
            DtmfWay::Auto => self.plan().is_some_and(|plan| plan.receive_events.is_empty()),
            DtmfWay::Rfc4733 | DtmfWay::Info => false,
        }
    }
}

/// `Signal=5`, `Duration=160` (ms), in any order and with blanks.
fn relay(text: &str) -> Option<(Digit, Duration)> {
    let value = |name: &str| {
        text.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
    };
    let digit = key(value("Signal")?.1.trim())?;
    let millis =
        value("Duration").and_then(|(_, millis)| millis.trim().parse().ok()).filter(|millis| *millis <= 60_000);
    Some((digit, millis.map_or(LENGTH, Duration::from_millis)))
}

/// A key by its name, or by its event code (10 for `*`, 11 for `#`).
fn key(text: &str) -> Option<Digit> {
    text.parse().ok().or_else(|| Digit::from_event(text.parse().ok().filter(|code| (10..16).contains(code))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_every_vendor() {
        let read = |text: &str| relay(text).map(|(digit, time)| format!("{digit} {}", time.as_millis()));
        assert_eq!(read("Signal=5\r\nDuration=160\r\n").as_deref(), Some("5 160"));
        assert_eq!(read("signal= #\nduration= 250").as_deref(), Some("# 250"));
        assert_eq!(read("Duration=100\r\nSignal=11").as_deref(), Some("# 100"));
        assert_eq!(read("Signal=*").as_deref(), Some("* 160"));
        for bad in ["Signal=16", "Signal=", "Signal=!", "", "Duration=1", "Signal=55"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(key("d").map(Digit::character), Some('D'));
    }
}
