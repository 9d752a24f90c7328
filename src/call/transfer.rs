//! Transfers (RFC 5589): the far end is sent to somebody else, or sends us.
//!
//! ```text
//!  transferor  transfer() ─ hold ─ REFER ─▶ Requested ─ 202 ─▶ Accepted ─ NOTIFY 200 ─▶ Completed ─ BYE at once
//!                                              └─ refused ─────┴─ NOTIFY 4xx-6xx, silence ─▶ Failed: resumed, it goes on
//!  transferee  REFER ─ may it? ─▶ Requested ─ 202, a new call ─▶ NOTIFY for each step of it ─▶ Completed, Failed
//!                 └─ ask ─ 202 ─▶ Asked ─ decide_transfer() ─▶ Requested, or NOTIFY 603
//!  target      INVITE with Replaces ─▶ answered, the replaced call ends
//! ```

use super::change::Change;
use super::conduct::Transfers;
use super::life::{Call, Desk, Stage};
use super::output::{Moment, Output};
use super::referral::{Referral, escape, fragment, referral};
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

/// How long our user may take to say whether he follows a transfer.
const DECISION: Duration = Duration::from_secs(60);

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
    /// The far end asks whether we follow it to somebody else; our user has to say.
    Asked,
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
    /// There is nothing to decide.
    #[error("the far end of the call asks for no transfer")]
    NotAsked,
}

/// A transfer that is under way.
#[derive(Debug)]
pub(super) struct Transfer {
    role: Role,
    target: String,
    /// Our REFER that waits for the far end to be on hold.
    waiting: Option<InsideRequest>,
    /// Did we put the far end on hold for it?
    held: bool,
    /// Our REFER, until it is answered.
    asked: Option<RequestId>,
    /// As transferee: what our user has to decide about.
    undecided: Option<Referral>,
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
        // Whoever joins two far ends talks with the other one: this one is on hold already, or wants to listen.
        let hold = desk.conduct.hold_before_transfer && replaces.is_none() && !self.holds();
        let (waiting, asked) = if hold && self.change(desk, Change::Hold).is_ok() {
            (Some(refer), None)
        } else {
            match desk.agent.request(desk.now, self.session, refer) {
                Ok(asked) => (None, Some(asked)),
                Err(refused) => return Ok(Err(refused)),
            }
        };
        let kind = if replaces.is_some() { "attended" } else { "blind" };
        let (target, until) = (target.to_string(), desk.now + PATIENCE);
        self.transfer = Some(Transfer {
            role: Role::Transferor,
            target: target.clone(),
            held: waiting.is_some(),
            waiting,
            asked,
            undecided: None,
            event: None,
            until,
            done: false,
        });
        let noted = json!({"role": Role::Transferor, "kind": kind, "target": target, "result": "asked"});
        self.record.metadata.insert("transfer".into(), noted);
        self.tell_step(desk, Step::Requested);
        self.transfer_goes_on(desk);
        Ok(Ok(()))
    }

    /// The far end is on hold, or will not be: what waited for that goes on.
    pub(super) fn transfer_goes_on(&mut self, desk: &mut Desk<'_>) {
        if self.is_changing() {
            return;
        }
        let Some(transfer) = &mut self.transfer else { return };
        let Some(refer) = transfer.waiting.take() else { return };
        match desk.agent.request(desk.now, self.session, refer) {
            Ok(asked) => transfer.asked = Some(asked),
            Err(refused) => self.transfer_failed(desk, None, &refused.to_string()),
        }
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
        let ask = desk.conduct.transfers == Transfers::Ask;
        self.transfer = Some(Transfer {
            role: Role::Transferee,
            target: target.clone(),
            waiting: None,
            held: false,
            asked: None,
            undecided: ask.then(|| referral.clone()),
            event: (!silent).then_some(event),
            until: desk.now + if ask { DECISION } else { PATIENCE },
            done: false,
        });
        let by = headers.get(&Name::ReferredBy);
        let result = if ask { "asked" } else { "accepted" };
        let noted = json!({"role": Role::Transferee, "target": target, "by": by, "result": result});
        self.record.metadata.insert("transfer".into(), noted);
        let refer_sub = Header { name: Name::of("Refer-Sub"), value: "false".into() };
        let (status, more) = if silent { (Status::OK, vec![refer_sub]) } else { (Status::ACCEPTED, Vec::new()) };
        let _ = desk.agent.reply(desk.now, self.session, request, status, more, None);
        self.notify(desk, Status::TRYING, &Status::TRYING.reason(), false);
        if ask {
            self.tell_step(desk, Step::Asked);
        } else {
            self.follow(desk, referral);
        }
        Ok(())
    }

    /// Our user decides about a transfer that the far end asks for.
    ///
    /// # Errors
    /// When it asks for none.
    pub fn decide_transfer(&mut self, desk: &mut Desk<'_>, follow: bool) -> Result<(), TransferRefused> {
        let transfer = self.transfer.as_mut().ok_or(TransferRefused::NotAsked)?;
        let referral = transfer.undecided.take().ok_or(TransferRefused::NotAsked)?;
        transfer.until = desk.now + PATIENCE;
        if follow {
            self.note_transfer("result", "accepted".into());
            self.follow(desk, referral);
        } else {
            // RFC 3515 section 2.4.5: what was taken at first and is not done in the end.
            self.referred(desk, Status::DECLINE, &Status::DECLINE.reason(), true);
        }
        Ok(())
    }

    fn follow(&mut self, desk: &mut Desk<'_>, referral: Referral) {
        self.tell_step(desk, Step::Requested);
        desk.out.push_back(Output::Refer { call: self.id, referral });
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
            Role::Transferee if transfer.undecided.is_some() => drop(self.decide_transfer(desk, false)),
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
        if self.transfer.take().is_some_and(|transfer| transfer.held) {
            // A call that is over by now is not resumed.
            let _ = self.change(desk, Change::Resume);
        }
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
