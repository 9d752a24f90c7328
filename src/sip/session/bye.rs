//! Every end of a session: hang-up, BYE, giving up (RFC 3261 sections 9, 15).

use super::{Phase, Session, reason_of};
use crate::sip::agent::{EndedBy, Exchange, Purpose, Refused};
use crate::sip::header::{Headers, Name};
use crate::sip::message::{Method, Request, Status};
use crate::sip::transaction::ServerId;
use crate::time::Instant;

/// Forks whose BYE came before their 2xx, kept at most.
const GONE: usize = 16;

impl Session {
    /// The user hangs up, as the state wants it: nothing sent yet, CANCEL, 603, BYE.
    pub(crate) fn hangup(&mut self, ex: &mut Exchange, now: Instant, reason: Option<&str>) -> Result<(), Refused> {
        match &mut self.phase {
            Phase::Finding(_) | Phase::Drafted(_) => {
                self.end(ex, now, EndedBy::Local, None, "hung up before the call was sent", Headers::new());
            }
            Phase::Calling(calling) if calling.given_up.is_some() => {}
            Phase::Calling(_) => self.cancel(ex, now, EndedBy::Local, "cancelled", reason),
            Phase::Ringing(_) => {
                let status = Status::DECLINE;
                let extra = reason_headers(reason).iter().cloned().collect();
                self.turn_away(ex, now, EndedBy::Local, status, &status.reason(), extra, Headers::new());
            }
            Phase::Up(_) => self.leave(ex, now, EndedBy::Local, "hung up", reason),
            Phase::Over => return self.refuse("hang up"),
        }
        Ok(())
    }

    /// The far end said nothing new for too long.
    pub(super) fn give_up_calling(&mut self, ex: &mut Exchange, now: Instant) {
        self.cancel(ex, now, EndedBy::Timeout, "nobody answered", None);
    }

    /// Cancels our INVITE; the session ends with its final response.
    pub(super) fn cancel(&mut self, ex: &mut Exchange, now: Instant, by: EndedBy, why: &str, reason: Option<&str>) {
        let Phase::Calling(calling) = &mut self.phase else { return };
        calling.given_up = Some((by, why.to_owned()));
        calling.until = None;
        let pending = calling.client.is_some_and(|client| ex.cancel(now, client, &reason_headers(reason)));
        if !pending {
            self.end(ex, now, by, Some(Status::REQUEST_TERMINATED), why, Headers::new());
        }
    }

    /// Ends an established session: BYE, now or after the ACK that it has to wait for.
    pub(super) fn leave(&mut self, ex: &mut Exchange, now: Instant, by: EndedBy, why: &str, reason: Option<&str>) {
        self.let_go(ex, now);
        if !self.bye_after_ack(reason) {
            self.answers.clear();
            self.send_first_bye(ex, now, reason);
        }
        self.end(ex, now, by, None, why, Headers::new());
    }

    /// Answers everything of the peer's that still waits.
    fn let_go(&mut self, ex: &mut Exchange, now: Instant) {
        self.settle_owed(ex, now);
        self.drop_reoffer(ex, now, Status::REQUEST_TERMINATED);
        self.drop_questions(ex, now);
    }

    /// BYE in the dialog of the session.
    pub(super) fn send_first_bye(&mut self, ex: &mut Exchange, now: Instant, reason: Option<&str>) {
        if let Some(tag) = self.legs.first().map(|leg| leg.dialog.remote_tag().to_owned()) {
            self.send_bye(ex, now, &tag, reason);
        }
    }

    /// BYE in the dialog with `tag`.
    pub(super) fn send_bye(&mut self, ex: &mut Exchange, now: Instant, tag: &str, reason: Option<&str>) {
        let Some(leg) = self.leg_mut(tag) else { return };
        let mut bye = leg.dialog.request(Method::Bye);
        bye.headers.extend(reason_headers(reason).iter().cloned());
        self.byes += 1;
        self.post(ex, now, tag, Purpose::Bye(self.id), bye, false);
    }

    /// BYE came from the fork with `tag`.
    pub(super) fn handle_bye(&mut self, ex: &mut Exchange, now: Instant, id: ServerId, tag: &str, bye: Request) {
        let why = reason_of(&bye.headers, "hung up by the far end");
        // Hung up by us as well, but our BYE is not answered yet or waits for an ACK.
        let ours = self.byes > 0 || !self.answers.is_empty();
        let over = self.is_over();
        let Some(leg) = self.leg_mut(tag) else {
            // Before its 2xx, which makes the dialog, was seen: the 2xx is still on its way or was lost.
            let calling = matches!(self.phase, Phase::Calling(_));
            let status = if calling { Status::OK } else { Status::CALL_DOES_NOT_EXIST };
            ex.respond(now, id, bye.response(status));
            if calling {
                self.fork_gone(ex, now, tag, &why, bye);
            }
            return;
        };
        let number = bye.headers.cseq().map(|cseq| cseq.number).unwrap_or_default();
        if !over && leg.dialog.take_cseq(number).is_err() {
            ex.respond(now, id, bye.response(Status::SERVER_INTERNAL_ERROR));
            return;
        }
        match &self.phase {
            // Both hung up at once (RFC 5407 section 3.2.2); after that there is nothing to end.
            Phase::Over if !ours => {
                ex.respond(now, id, bye.response(Status::CALL_DOES_NOT_EXIST));
            }
            Phase::Over => {
                ex.respond(now, id, bye.response(Status::OK));
                self.answers.clear();
            }
            Phase::Calling(_) => {
                ex.respond(now, id, bye.response(Status::OK));
                self.fork_gone(ex, now, tag, &why, bye);
            }
            Phase::Ringing(_) => {
                ex.respond(now, id, bye.response(Status::OK));
                let status = Status::REQUEST_TERMINATED;
                self.turn_away(ex, now, EndedBy::Remote, status, &status.reason(), Vec::new(), bye.headers);
            }
            Phase::Up(_) if self.legs.first().is_some_and(|leg| leg.dialog.remote_tag() != tag) => {
                // A fork that lost and hangs up before our BYE reaches it.
                ex.respond(now, id, bye.response(Status::OK));
            }
            Phase::Finding(_) | Phase::Drafted(_) | Phase::Up(_) => {
                ex.respond(now, id, bye.response(Status::OK));
                self.let_go(ex, now);
                self.answers.clear();
                self.end(ex, now, EndedBy::Remote, None, &why, bye.headers);
            }
        }
    }

    /// A fork of our INVITE hung up before it was seen to answer. RFC 3261 section 15 forbids a callee to do so, but a
    /// BYE that overtakes its 2xx looks the same. While other forks live, the call goes on.
    fn fork_gone(&mut self, ex: &mut Exchange, now: Instant, tag: &str, why: &str, bye: Request) {
        let Phase::Calling(calling) = &self.phase else { return };
        let (client, given_up) = (calling.client, calling.given_up.is_some());
        if self.gone.len() < GONE {
            self.gone.push(tag.to_owned());
        }
        self.legs.retain(|leg| leg.dialog.remote_tag() != tag);
        if !self.legs.is_empty() || given_up {
            return;
        }
        if let Some(client) = client {
            ex.cancel(now, client, &Headers::new());
            self.accepted = Some((client, now + ex.config.timers.give_up()));
        }
        self.end(ex, now, EndedBy::Remote, None, why, bye.headers);
    }
}

/// A Reason header with this value (RFC 3326).
fn reason_headers(reason: Option<&str>) -> Headers {
    let mut headers = Headers::new();
    if let Some(reason) = reason {
        headers.push(Name::Reason, reason);
    }
    headers
}
