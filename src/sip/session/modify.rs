//! The peer's re-INVITE: it changes the session (RFC 3261 section 14.2).

use bytes::Bytes;

use super::{Phase, Session, add};
use crate::sip::agent::{Event, Exchange, Refused};
use crate::sip::body;
use crate::sip::header::{Header, Name};
use crate::sip::hop::Hop;
use crate::sip::message::{Request, Response, Status};
use crate::sip::transaction::ServerId;
use crate::time::Instant;

/// Our 2xx that may wait for their ACK at once; a peer that never acknowledges is slowed down.
const UNACKNOWLEDGED: usize = 4;

/// A re-INVITE that waits for our user.
#[derive(Debug)]
pub(super) struct Reoffer {
    pub(super) server: ServerId,
    invite: Request,
    source: Hop,
    pub(super) until: Instant,
}

impl Session {
    /// A re-INVITE in the order of the dialog.
    pub(super) fn handle_reinvite(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        id: ServerId,
        source: Hop,
        invite: Request,
    ) {
        let waits = self.change.is_some() || self.awaits_answer() || self.unacknowledged() >= UNACKNOWLEDGED;
        match &self.phase {
            // The INVITE that made the dialog is not answered yet, or another change is not: 500 with a Retry-After of
            // 0 to 10 s.
            Phase::Ringing(_) => self.retry_later(ex, now, id, &invite),
            Phase::Up(_) if self.reoffer.is_some() => self.retry_later(ex, now, id, &invite),
            // An INVITE or offer of ours is under way: both sides would offer at once. The same while the answer to our
            // own offer has to come with an ACK (RFC 5407 section 3.1.5), and while we owe one.
            Phase::Up(up) if up.owed.is_some() || waits => {
                ex.respond(now, id, invite.response(Status::REQUEST_PENDING));
            }
            Phase::Calling(_) => {
                ex.respond(now, id, invite.response(Status::REQUEST_PENDING));
            }
            Phase::Up(_) => {
                let (offer, headers) = (body::sdp(&invite.headers, &invite.body), invite.headers.clone());
                let until = now + ex.config.limits.command;
                self.reoffer = Some(Box::new(Reoffer { server: id, invite, source, until }));
                ex.pending(id, self.id);
                ex.tell(Event::Reoffer { session: self.id, offer, headers });
            }
            Phase::Finding(_) | Phase::Drafted(_) | Phase::Over => {
                ex.respond(now, id, invite.response(Status::CALL_DOES_NOT_EXIST));
            }
        }
    }

    /// 500 with a Retry-After of 0 to 10 s (RFC 3261 section 14.2).
    pub(super) fn retry_later(&self, ex: &mut Exchange, now: Instant, id: ServerId, invite: &Request) {
        let mut response = invite.response(Status::SERVER_INTERNAL_ERROR);
        response.headers.push(Name::RetryAfter, ex.random.range(0, 11).to_string());
        ex.respond(now, id, response);
    }

    /// The user accepts the change: the peer's Contact becomes the target (RFC 6141 section 4.6), the 2xx goes out.
    pub(crate) fn accept_reoffer(&mut self, ex: &mut Exchange, now: Instant, sdp: Bytes) -> Result<(), Refused> {
        let Some(reoffer) = self.reoffer.take() else { return self.refuse("accept a change: none is asked for") };
        if let Some(leg) = self.legs.first_mut()
            && leg.dialog.refresh(&reoffer.invite.headers)
        {
            leg.forget_road();
        }
        let Reoffer { server, invite, source, .. } = *reoffer;
        self.accept(ex, now, server, source, &invite, sdp);
        Ok(())
    }

    /// The user refuses the change.
    pub(crate) fn refuse_reoffer(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        status: Status,
        extra: Vec<Header>,
    ) -> Result<(), Refused> {
        if !(300..700).contains(&status.code()) {
            return Err(Refused::Status(status.code(), "300 to 699, such as 488"));
        }
        let Some(reoffer) = self.reoffer.take() else { return self.refuse("refuse a change: none is asked for") };
        let mut response = reoffer.invite.response(status);
        add(&mut response.headers, extra);
        ex.respond(now, reoffer.server, response);
        Ok(())
    }

    /// CANCEL came for the re-INVITE: the session goes on as it was.
    pub(super) fn reoffer_cancelled(&mut self, ex: &mut Exchange, now: Instant, id: ServerId) {
        if self.reoffer.as_ref().is_some_and(|reoffer| reoffer.server == id) {
            self.withdraw_reoffer(ex, now, Status::REQUEST_TERMINATED);
        }
    }

    pub(super) fn reoffer_timeout(&mut self, ex: &mut Exchange, now: Instant) {
        if self.reoffer.as_ref().is_some_and(|reoffer| reoffer.until <= now) {
            self.withdraw_reoffer(ex, now, Status::SERVER_INTERNAL_ERROR);
        }
    }

    fn withdraw_reoffer(&mut self, ex: &mut Exchange, now: Instant, status: Status) {
        if self.drop_reoffer(ex, now, status) {
            ex.tell(Event::ReofferWithdrawn { session: self.id });
        }
    }

    /// Answers the re-INVITE that waits, if one does, with a refusal.
    pub(super) fn drop_reoffer(&mut self, ex: &mut Exchange, now: Instant, status: Status) -> bool {
        let Some(reoffer) = self.reoffer.take() else { return false };
        let response: Response = reoffer.invite.response(status);
        ex.respond(now, reoffer.server, response);
        true
    }
}
