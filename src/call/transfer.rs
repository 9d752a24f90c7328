//! Transfers (RFC 5589): the far end is sent to somebody else, or sends us.
//!
//! ```text
//!  transferor  transfer() ─ REFER ─▶ Asked ─ 202 ─▶ Accepted ─ NOTIFY 200 ─▶ Completed ─ BYE at once
//!                                      └─ refused ─────┴─ NOTIFY 4xx-6xx, silence ─▶ Failed: the call goes on
//!  transferee  REFER ─▶ Requested ─ 202, a new call ─▶ NOTIFY for each step of it ─▶ Completed, Failed
//!  target      INVITE with Replaces ─▶ answered, the replaced call ends
//! ```

use super::life::{Call, Desk, Stage};
use super::output::{Moment, Output};
use crate::sip::agent::{InsideRequest, Refused, RequestId};
use crate::sip::header::{Header, Headers, Name};
use crate::sip::message::{Method, Status};
use crate::sip::name_addr::NameAddr;
use crate::sip::uri::Uri;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use serde_json::{Value, json};

/// How long a transferor waits for the last NOTIFY: longer than a phone rings.
const PATIENCE: Duration = Duration::from_secs(240);

/// How long the transferor may take to hang up after it was told that its transfer has succeeded.
const FAREWELL: Duration = Duration::from_secs(10);

/// The media type of what a NOTIFY about a REFER carries (RFC 3515 section 2.4.5).
const SIPFRAG: &str = "message/sipfrag;version=2.0";

/// What we are in a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// We send the far end to somebody else.
    Transferor,
    /// The far end sends us to somebody else.
    Transferee,
    /// The far end of this call was replaced by another.
    Target,
}

/// A step of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// What we are in it.
    pub role: Role,
    /// To whom; a URI.
    pub target: String,
    /// Which step.
    pub step: Step,
}

/// How far a transfer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was asked for.
    Requested,
    /// The far end takes it up (2xx to our REFER).
    Accepted,
    /// The new call has this status.
    Progress(Status, String),
    /// The new call was answered.
    Completed,
    /// It came to nothing, and this call goes on; a status if there was one, and a sentence.
    Failed(Option<Status>, String),
}

/// Why a call is not transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferRefused {
    /// There is nobody to transfer yet, or any more.
    #[error("the call is not answered, so it cannot be transferred; wait for the answer")]
    NotAnswered,
    /// One is under way.
    #[error("the call is being transferred already; wait for what becomes of it")]
    UnderWay,
    /// The other call is none that can take its place.
    #[error("a call cannot be transferred to itself, or to a call that is not answered; call somebody else first")]
    NoOther,
}

/// A transfer that is under way.
#[derive(Debug)]
pub(super) struct Transfer {
    role: Role,
    target: String,
    /// Our REFER, until it is answered.
    asked: Option<RequestId>,
    /// As transferee: the value of Event in our NOTIFYs; none when nobody wants to hear (RFC 4488, or a 481).
    event: Option<String>,
    until: Instant,
    done: bool,
}

impl Transfer {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        Some(self.until)
    }
}

/// What a REFER asks for, checked.
#[derive(Clone, Debug)]
pub struct Referral {
    /// Whom to call.
    pub target: Uri,
    /// What the INVITE carries: Referred-By, Replaces.
    pub headers: Vec<Header>,
}

impl Call {
    /// Sends the far end to `target`; with `replaces` it takes the place of that dialog there. Hangs up when it has
    /// arrived.
    ///
    /// # Errors
    /// When the call is not answered, or is being transferred already.
    pub fn transfer(
        &mut self,
        desk: &mut Desk<'_>,
        target: &Uri,
        replaces: Option<&str>,
        by: Option<&Uri>,
    ) -> Result<Result<(), Refused>, TransferRefused> {
        if !matches!(self.stage, Stage::Talking) {
            return Err(TransferRefused::NotAnswered);
        }
        if self.transfer.is_some() {
            return Err(TransferRefused::UnderWay);
        }
        let mut refer_to = target.clone();
        if let (Some(replaces), Some(sip)) = (replaces, refer_to.sip_mut()) {
            sip.headers = Some(format!("Replaces={}", escape(replaces)));
        }
        let mut headers = Headers::new();
        headers.push(Name::ReferTo, NameAddr::new(refer_to).to_string());
        if let Some(by) = by {
            headers.push(Name::ReferredBy, NameAddr::new(by.clone()).to_string());
        }
        headers.push(Name::Supported, "replaces, norefersub");
        let refer = InsideRequest { method: Method::Refer, headers: headers.iter().cloned().collect(), body: None };
        let asked = match desk.agent.request(desk.now, self.session, refer) {
            Ok(asked) => asked,
            Err(refused) => return Ok(Err(refused)),
        };
        let kind = if replaces.is_some() { "attended" } else { "blind" };
        let (target, until) = (target.to_string(), desk.now + PATIENCE);
        self.transfer = Some(Transfer {
            role: Role::Transferor,
            target: target.clone(),
            asked: Some(asked),
            event: None,
            until,
            done: false,
        });
        let noted = json!({"role": Role::Transferor, "kind": kind, "target": target, "result": "asked"});
        self.record.metadata.insert("transfer".into(), noted);
        self.tell_step(desk, Step::Requested);
        Ok(Ok(()))
    }

    /// The final response to a request of ours.
    pub fn handle_reply(
        &mut self,
        desk: &mut Desk<'_>,
        request: RequestId,
        status: Status,
        reason: &str,
        headers: &Headers,
    ) {
        if self.digits_replied(desk, request, status, reason) {
            return;
        }
        let Some(transfer) = &mut self.transfer else { return };
        if transfer.role == Role::Transferee {
            // Nobody listens any more; the new call goes on.
            if status == Status::CALL_DOES_NOT_EXIST {
                transfer.event = None;
            }
            return;
        }
        if transfer.asked != Some(request) {
            return;
        }
        transfer.asked = None;
        if !status.is_success() {
            return self.transfer_failed(desk, Some(status), reason);
        }
        let told = headers.get(&Name::of("Refer-Sub")).is_none_or(|value| !value.trim().eq_ignore_ascii_case("false"));
        self.note_transfer("result", "accepted".into());
        self.tell_step(desk, Step::Accepted);
        if !told {
            // RFC 4488 section 4: nobody will say more.
            let _ = desk.agent.hangup(desk.now, self.session, None);
        }
    }

    /// A NOTIFY in the call: about our REFER, or about nothing that was asked for; then the status that refuses it.
    pub(super) fn handle_notify(
        &mut self,
        desk: &mut Desk<'_>,
        request: RequestId,
        headers: &Headers,
        body: &Bytes,
    ) -> Result<(), Status> {
        let event = headers.get(&Name::Event).unwrap_or_default();
        if !event.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("refer") {
            return Err(Status::BAD_EVENT);
        }
        if !self.transfer.as_ref().is_some_and(|transfer| transfer.role == Role::Transferor) {
            return Err(Status::CALL_DOES_NOT_EXIST);
        }
        // Before the call may end: what waits for an answer then gets a refusal.
        let _ = desk.agent.reply(desk.now, self.session, request, Status::OK, Vec::new(), None);
        let state = headers.get(&Name::SubscriptionState).unwrap_or_default();
        let over = state.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("terminated");
        match fragment(body) {
            Some((status, reason)) if status.is_provisional() && !over => {
                self.note_transfer("sip_code", status.code().into());
                if status != Status::TRYING {
                    self.tell_step(desk, Step::Progress(status, reason));
                }
            }
            Some((status, _)) if status.is_success() => {
                self.note_transfer("sip_code", status.code().into());
                self.note_transfer("result", "completed".into());
                self.tell_step(desk, Step::Completed);
                self.transfer = None;
                let _ = desk.agent.hangup(desk.now, self.session, Some("SIP;cause=200;text=\"Transferred\""));
            }
            Some((status, reason)) if status.is_final() => self.transfer_failed(desk, Some(status), &reason),
            _ if over => self.transfer_failed(desk, None, "the far end said no more about it"),
            _ => {}
        }
        Ok(())
    }

    /// A REFER came in the call: says whom to call, after the checks, or the status that refuses it.
    pub(super) fn handle_refer(
        &mut self,
        desk: &mut Desk<'_>,
        request: RequestId,
        headers: &Headers,
    ) -> Result<(), Status> {
        if !matches!(self.stage, Stage::Talking) {
            return Err(Status::FORBIDDEN);
        }
        if self.transfer.is_some() {
            return Err(Status::REQUEST_PENDING);
        }
        let mut targets = headers.all(&Name::ReferTo);
        let (Some(value), None) = (targets.next(), targets.next()) else { return Err(Status::BAD_REQUEST) };
        let referral = referral(value, headers)?;
        if !desk.conduct.transfers.allows(self.record.account.as_deref(), &referral.target) {
            return Err(Status::DECLINE);
        }
        let silent =
            headers.get(&Name::of("Refer-Sub")).is_some_and(|value| value.trim().eq_ignore_ascii_case("false"));
        let number = headers.cseq().map(|cseq| cseq.number).unwrap_or_default();
        // RFC 3515 section 2.4.6: the second REFER of a dialog has to be told from the first.
        let event = if self.refers == 0 { "refer".to_owned() } else { format!("refer;id={number}") };
        self.refers += 1;
        let target = referral.target.to_string();
        self.transfer = Some(Transfer {
            role: Role::Transferee,
            target: target.clone(),
            asked: None,
            event: (!silent).then_some(event),
            until: desk.now + PATIENCE,
            done: false,
        });
        let by = headers.get(&Name::ReferredBy);
        let noted = json!({"role": Role::Transferee, "target": target, "by": by, "result": "accepted"});
        self.record.metadata.insert("transfer".into(), noted);
        let refer_sub = Header { name: Name::of("Refer-Sub"), value: "false".into() };
        let (status, more) = if silent { (Status::OK, vec![refer_sub]) } else { (Status::ACCEPTED, Vec::new()) };
        let _ = desk.agent.reply(desk.now, self.session, request, status, more, None);
        self.notify(desk, Status::TRYING, &Status::TRYING.reason(), false);
        self.tell_step(desk, Step::Requested);
        desk.out.push_back(Output::Refer { call: self.id, referral });
        Ok(())
    }

    /// How the call stands that a REFER asked for; `over`: it is answered, or has failed.
    pub fn referred(&mut self, desk: &mut Desk<'_>, status: Status, reason: &str, over: bool) {
        let Some(transfer) = &mut self.transfer else { return };
        if transfer.role != Role::Transferee || transfer.done {
            return;
        }
        transfer.done = over;
        transfer.until = desk.now + if over { FAREWELL } else { PATIENCE };
        self.notify(desk, status, reason, over);
        self.note_transfer("sip_code", status.code().into());
        match (over, status.is_success()) {
            (false, _) => self.tell_step(desk, Step::Progress(status, reason.to_owned())),
            (true, true) => {
                self.note_transfer("result", "completed".into());
                self.tell_step(desk, Step::Completed);
            }
            (true, false) => self.transfer_failed(desk, Some(status), reason),
        }
    }

    /// Another call takes the place of this one (RFC 3891): it ends.
    pub fn replaced_by(&mut self, desk: &mut Desk<'_>, record: &str, from: &str) {
        let noted = json!({"role": Role::Target, "target": from, "result": "completed", "replaced_by": record});
        self.record.metadata.insert("transfer".into(), noted);
        let moment = Transferred { role: Role::Target, target: from.to_owned(), step: Step::Completed };
        self.tell(desk, Moment::Transfer(moment));
        let _ = desk.agent.hangup(desk.now, self.session, Some("SIP;cause=200;text=\"Replaced\""));
    }

    /// Notes in the record where a call comes from: the record of the one before it, under this name.
    pub fn follows(&mut self, name: &str, record: &str) {
        self.record.metadata.insert(name.into(), record.into());
    }

    pub(super) fn transfer_timeout(&mut self, desk: &mut Desk<'_>) {
        let Some(transfer) = self.transfer.as_ref().filter(|transfer| transfer.until <= desk.now) else { return };
        match transfer.role {
            Role::Transferee if transfer.done => {
                // The transferor forgot to hang up.
                self.transfer = None;
                let _ = desk.agent.hangup(desk.now, self.session, None);
            }
            _ => self.transfer_failed(desk, None, "nothing was heard of it in time"),
        }
    }

    fn transfer_failed(&mut self, desk: &mut Desk<'_>, status: Option<Status>, reason: &str) {
        if let Some(status) = status {
            self.note_transfer("sip_code", status.code().into());
        }
        self.note_transfer("result", "failed".into());
        self.note_transfer("reason", reason.into());
        self.tell_step(desk, Step::Failed(status, reason.to_owned()));
        self.transfer = None;
    }

    fn notify(&mut self, desk: &mut Desk<'_>, status: Status, reason: &str, over: bool) {
        let Some(event) = self.transfer.as_ref().and_then(|transfer| transfer.event.clone()) else { return };
        let state = if over { "terminated;reason=noresource" } else { "active;expires=240" };
        let mut headers = Headers::new();
        headers.push(Name::Event, event);
        headers.push(Name::SubscriptionState, state);
        let body = format!("SIP/2.0 {status} {reason}\r\n");
        let body = Some((SIPFRAG.to_owned(), Bytes::from(body)));
        let notify = InsideRequest { method: Method::Notify, headers: headers.iter().cloned().collect(), body };
        // A session that is over by now hears nothing any more; the new call goes on.
        let _ = desk.agent.request(desk.now, self.session, notify);
    }

    fn note_transfer(&mut self, key: &str, value: Value) {
        if let Some(Value::Object(noted)) = self.record.metadata.get_mut("transfer") {
            noted.insert(key.into(), value);
        }
    }

    fn tell_step(&self, desk: &mut Desk<'_>, step: Step) {
        let Some(transfer) = &self.transfer else { return };
        let moment = Transferred { role: transfer.role, target: transfer.target.clone(), step };
        self.tell(desk, Moment::Transfer(moment));
    }
}

/// What a Refer-To asks for (RFC 3515 section 2.1, RFC 3892, RFC 3891).
fn referral(value: &str, headers: &Headers) -> Result<Referral, Status> {
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
fn fragment(body: &Bytes) -> Option<(Status, String)> {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().next()?.trim();
    let (version, rest) = line.split_once(' ')?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let code = code.parse().ok().filter(|code| (100..700).contains(code))?;
    let reason: String = reason.chars().take(200).collect();
    version.eq_ignore_ascii_case("SIP/2.0").then_some((Status(code), reason))
}

/// A header value for the header part of a URI (RFC 3261 section 25.1: `hvalue`).
fn escape(value: &str) -> String {
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
