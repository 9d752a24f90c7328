//! The peer's change of a session: re-INVITE (RFC 3261 section 14.2), UPDATE (RFC 3311), an offer in its PRACK.
//!
//! ```text
//!  re-INVITE, UPDATE ─┬─ no offer (UPDATE) ─────────▶ 200: target and session timer are fresh
//!                     ├─ ours is under way ─────────▶ 491
//!                     ├─ theirs is not answered yet ─▶ 500, Retry-After 0-10 s
//!                     └─ Reoffer ─▶ user ─▶ 200 or refusal
//! ```

use bytes::Bytes;

use super::leg::Offers;
use super::{Phase, Session, add};
use crate::sip::agent::{Event, Exchange, Refused, push_allow};
use crate::sip::body::{self, SDP};
use crate::sip::header::{Header, Name};
use crate::sip::hop::Hop;
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::transaction::ServerId;
use crate::time::Instant;

/// Our 2xx that may wait for their ACK at once; a peer that never acknowledges is slowed down.
const UNACKNOWLEDGED: usize = 4;

/// A change that waits for our user.
#[derive(Debug)]
pub(super) struct Reoffer {
    pub(super) server: ServerId,
    /// INVITE, UPDATE or PRACK.
    request: Request,
    source: Hop,
    /// The remote tag of its dialog.
    tag: String,
    pub(super) until: Instant,
}

/// What a change meets that may not be made now.
enum Conflict {
    /// 491: a change of ours is under way.
    Ours,
    /// 500 with Retry-After: one of theirs is.
    Theirs,
}

impl Session {
    /// A re-INVITE or UPDATE in the order of the dialog.
    pub(super) fn handle_change(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        id: ServerId,
        source: Hop,
        tag: &str,
        request: Request,
    ) {
        let offer = body::sdp(&request.headers, &request.body);
        if matches!(&self.phase, Phase::Calling(calling) if calling.given_up.is_some()) {
            // Our CANCEL is on its way.
            ex.respond(now, id, request.response(Status::REQUEST_TERMINATED));
            return;
        }
        match self.conflict(tag, &request.method, offer.is_some()) {
            Some(Conflict::Ours) => {
                ex.respond(now, id, request.response(Status::REQUEST_PENDING));
                return;
            }
            Some(Conflict::Theirs) => return self.retry_later(ex, now, id, &request),
            None => {}
        }
        // RFC 4028 section 9: a session that would have to be refreshed too often.
        if let Err(refusal) = ex.screen_invite(&request, self.account) {
            ex.respond(now, id, refusal);
            return;
        }
        if request.method == Method::Update && offer.is_none() {
            self.note(tag, &request);
            let mut response = self.response(ex, &request, source, Status::OK);
            self.grant_refresh(ex, now, &request.headers, &mut response.headers);
            ex.respond(now, id, response);
            return;
        }
        self.ask_user(ex, now, id, source, tag, request, offer);
    }

    /// Has the user decide about a change.
    #[expect(clippy::too_many_arguments, reason = "all that a request came with")]
    pub(super) fn ask_user(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        server: ServerId,
        source: Hop,
        tag: &str,
        request: Request,
        offer: Option<Bytes>,
    ) {
        let until = now + ex.config.limits.command;
        let headers = request.headers.clone();
        if request.method == Method::Invite {
            ex.pending(server, self.id);
        }
        if offer.is_some() {
            self.settle_offers(tag, Offers::Received);
        }
        self.reoffer = Some(Box::new(Reoffer { server, request, source, tag: tag.to_owned(), until }));
        ex.tell(Event::Reoffer { session: self.id, offer, headers });
    }

    /// What forbids a change now (RFC 3261 section 14.2, RFC 3311 section 5.2).
    fn conflict(&self, tag: &str, method: &Method, offers: bool) -> Option<Conflict> {
        let leg = self.legs.iter().find(|leg| leg.dialog.remote_tag() == tag)?;
        let invite = *method == Method::Invite;
        if !invite && !offers {
            return None;
        }
        if self.reoffer.is_some() {
            return Some(Conflict::Theirs);
        }
        // Also a change of ours without an offer: its 2xx may carry one. While the answer to an offer of ours has to
        // come with an ACK, both sides may be about to offer (RFC 5407 section 3.1.5).
        let ours = self.change.as_ref().is_some_and(|change| change.offered || change.method == Method::Invite)
            || leg.offers == Offers::Sent
            || self.unacknowledged() >= UNACKNOWLEDGED;
        match &self.phase {
            // The INVITE that made the dialog is not answered yet.
            Phase::Ringing(_) if invite => Some(Conflict::Theirs),
            Phase::Calling(_) if invite => Some(Conflict::Ours),
            Phase::Up(up) if up.owed.is_some() && invite => Some(Conflict::Ours),
            _ if ours => Some(Conflict::Ours),
            Phase::Up(_) if invite => None,
            _ if leg.offers != Offers::Settled => Some(Conflict::Theirs),
            _ => None,
        }
    }

    /// 500 with a Retry-After of 0 to 10 s (RFC 3261 section 14.2).
    pub(super) fn retry_later(&self, ex: &mut Exchange, now: Instant, id: ServerId, request: &Request) {
        let mut response = request.response(Status::SERVER_INTERNAL_ERROR);
        response.headers.push(Name::RetryAfter, ex.random.range(0, 11).to_string());
        ex.respond(now, id, response);
    }

    /// The user accepts the change: the peer's Contact becomes the target (RFC 6141 section 4.6), the 2xx goes out.
    pub(crate) fn accept_reoffer(&mut self, ex: &mut Exchange, now: Instant, sdp: Bytes) -> Result<(), Refused> {
        let Some(reoffer) = self.reoffer.take() else { return self.refuse("accept a change: none is asked for") };
        let Reoffer { server, request, source, tag, .. } = *reoffer;
        self.note(&tag, &request);
        if request.method == Method::Invite {
            self.accept(ex, now, server, source, &request, sdp, false);
            return Ok(());
        }
        self.settle_offers(&tag, Offers::Settled);
        self.described = Some(sdp.clone());
        let mut response = match request.method {
            Method::Update => self.response(ex, &request, source, Status::OK),
            _ => request.response(Status::OK),
        };
        if request.method == Method::Update {
            self.grant_refresh(ex, now, &request.headers, &mut response.headers);
        }
        ex.respond(now, server, response.with_body(SDP, sdp));
        self.after_prack(ex, now);
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
        self.settle_offers(&reoffer.tag, Offers::Settled);
        let mut response = reoffer.request.response(status);
        add(&mut response.headers, extra);
        ex.respond(now, reoffer.server, response);
        self.after_prack(ex, now);
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
            self.after_prack(ex, now);
        }
    }

    /// Answers the change that waits, if one does, with a refusal.
    pub(super) fn drop_reoffer(&mut self, ex: &mut Exchange, now: Instant, status: Status) -> bool {
        let Some(reoffer) = self.reoffer.take() else { return false };
        self.settle_offers(&reoffer.tag, Offers::Settled);
        let response: Response = reoffer.request.response(status);
        ex.respond(now, reoffer.server, response);
        true
    }

    /// Takes the target and the abilities that a request of the peer shows.
    fn note(&mut self, tag: &str, request: &Request) {
        if let Some(leg) = self.leg_mut(tag) {
            leg.note(&request.headers);
        }
    }

    /// A response that carries our Contact and abilities, and copies Record-Route (RFC 3261 section 12.1.1).
    pub(super) fn response(&self, ex: &Exchange, request: &Request, source: Hop, status: Status) -> Response {
        let mut response = request.response(status).with_to_tag(&self.tag);
        response.headers.copy(&request.headers, &Name::RecordRoute);
        response.headers.push(Name::Contact, self.contact(ex, source));
        push_allow(&mut response.headers);
        response
    }
}
