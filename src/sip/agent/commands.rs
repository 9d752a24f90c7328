//! What the user of an agent asks for.

use bytes::Bytes;

use super::account::AccountId;
use super::output::{RequestId, SessionId};
use super::refused::Refused;
use super::{Agent, Exchange};
use crate::sip::header::Header;
use crate::sip::message::{Method, Status};
use crate::sip::name_addr::NameAddr;
use crate::sip::session::Session;
use crate::sip::uri::Uri;
use crate::time::Instant;

/// A call that we want to make.
#[derive(Clone, Debug)]
pub struct InviteRequest {
    /// The account that pays: its address is From, its proxy the way, its password answers challenges.
    pub account: Option<AccountId>,
    /// Whom to call.
    pub target: Uri,
    /// From, when it shall not be the account's address (a number of the account's, say). Its tag is made here.
    pub from: Option<NameAddr>,
    /// More header fields of the INVITE. Those that the session makes itself (Via, To, Contact, …) are left out.
    pub headers: Vec<Header>,
}

/// A request to send within a session.
#[derive(Clone, Debug)]
pub struct InsideRequest {
    /// INFO, REFER, …
    pub method: Method,
    /// More header fields. Those that the session makes itself are left out.
    pub headers: Vec<Header>,
    /// The body with its Content-Type.
    pub body: Option<(String, Bytes)>,
}

impl Agent {
    /// Starts a call: asks for the way ([`Output::Resolve`](super::Output::Resolve)), then says
    /// [`Event::Route`](super::Event::Route) and waits for [`Agent::offer`].
    pub fn invite(&mut self, now: Instant, invite: InviteRequest) -> Result<SessionId, Refused> {
        let limit = self.exchange.config.limits.sessions;
        if self.sessions.len() >= limit {
            return Err(Refused::TooManySessions(limit));
        }
        let id = self.next_session();
        let session = Session::invite(&mut self.exchange, now, id, invite)?;
        self.insert(id, session);
        Ok(id)
    }

    /// After [`Event::Route`](super::Event::Route): sends the INVITE with this SDP offer, or without one.
    pub fn offer(&mut self, now: Instant, session: SessionId, sdp: Option<Bytes>) -> Result<(), Refused> {
        self.command(now, session, |session, ex| session.offer(ex, now, sdp))
    }

    /// After [`Event::Answered`](super::Event::Answered) with `wants_answer`: sends the ACK with this SDP answer.
    pub fn ack_answer(&mut self, now: Instant, session: SessionId, sdp: Bytes) -> Result<(), Refused> {
        self.command(now, session, |session, ex| session.ack_answer(ex, now, sdp))
    }

    /// Tells the caller that it rings: `status` 180, or 183 with `sdp` as early answer. Repeated every minute by itself.
    /// Sent reliably (RFC 3262) where the caller requires it or, with `sdp`, can do so:
    /// [`Event::Acknowledged`](super::Event::Acknowledged) follows. An offer to an INVITE without one goes out reliably
    /// only.
    pub fn ring(
        &mut self,
        now: Instant,
        session: SessionId,
        status: Status,
        sdp: Option<Bytes>,
    ) -> Result<(), Refused> {
        self.command(now, session, |session, ex| session.ring(ex, now, status, sdp))
    }

    /// Accepts a call with a 200 that carries `sdp`: the answer, or our offer if the INVITE had none. Repeated until the
    /// ACK ([`Event::Confirmed`](super::Event::Confirmed)).
    pub fn answer(&mut self, now: Instant, session: SessionId, sdp: Bytes) -> Result<(), Refused> {
        self.command(now, session, |session, ex| session.answer(ex, now, sdp))
    }

    /// Declines a call with a status of 300 to 699 (486, 488 with a Warning in `headers`, …);
    /// [`Event::Ended`](super::Event::Ended) follows.
    pub fn reject(
        &mut self,
        now: Instant,
        session: SessionId,
        status: Status,
        reason: Option<&str>,
        headers: Vec<Header>,
    ) -> Result<(), Refused> {
        self.command(now, session, |session, ex| session.reject(ex, now, status, reason, headers))
    }

    /// Ends a session as its state wants: CANCEL, 603, or BYE; `reason` is the value of a Reason header (RFC 3326), such
    /// as `SIP;cause=200;text="Call completed elsewhere"`. [`Event::Ended`](super::Event::Ended) follows: at once, or
    /// when a cancelled INVITE has its final response.
    pub fn hangup(&mut self, now: Instant, session: SessionId, reason: Option<&str>) -> Result<(), Refused> {
        self.command(now, session, |session, ex| session.hangup(ex, now, reason))
    }

    /// After [`Event::Reoffer`](super::Event::Reoffer): accepts with a 200 that carries the answer, or our offer if there
    /// was none; [`Event::Confirmed`](super::Event::Confirmed) follows.
    pub fn accept_reoffer(&mut self, now: Instant, session: SessionId, sdp: Bytes) -> Result<(), Refused> {
        self.command(now, session, |session, ex| session.accept_reoffer(ex, now, sdp))
    }

    /// After [`Event::Reoffer`](super::Event::Reoffer): refuses the change (488, …); the session goes on as it was.
    pub fn refuse_reoffer(
        &mut self,
        now: Instant,
        session: SessionId,
        status: Status,
        headers: Vec<Header>,
    ) -> Result<(), Refused> {
        self.command(now, session, |session, ex| session.refuse_reoffer(ex, now, status, headers))
    }

    /// Changes an established session with a re-INVITE that carries `sdp` as offer, or none: then the far end offers.
    /// [`Event::OfferAccepted`](super::Event::OfferAccepted), [`Event::OfferRefused`](super::Event::OfferRefused) or
    /// [`Event::OfferClashed`](super::Event::OfferClashed) follows.
    ///
    /// # Errors
    /// [`Refused::Busy`] while another change is under way (RFC 3261 section 14.1).
    pub fn reoffer(&mut self, now: Instant, session: SessionId, sdp: Option<Bytes>) -> Result<(), Refused> {
        self.command(now, session, |session, ex| session.reoffer(ex, now, sdp))
    }

    /// As [`Agent::reoffer`] by UPDATE (RFC 3311), which also changes a session that is not answered yet; without `sdp` it
    /// only refreshes.
    ///
    /// # Errors
    /// [`Refused::Busy`] while another change is under way; [`Refused::WrongState`] when the far end does not know
    /// UPDATE, or the first offer has no answer yet that counts.
    pub fn update(&mut self, now: Instant, session: SessionId, sdp: Option<Bytes>) -> Result<(), Refused> {
        self.command(now, session, |session, ex| session.update(ex, now, sdp))
    }

    /// After [`Event::Progress`](super::Event::Progress) with `wants_answer`: sends the PRACK with this SDP answer to the
    /// fork.
    pub fn prack_answer(&mut self, now: Instant, session: SessionId, fork: &str, sdp: Bytes) -> Result<(), Refused> {
        self.command(now, session, |session, ex| session.prack_answer(ex, now, fork, sdp))
    }

    /// After [`Event::Progress`](super::Event::Progress) with `wants_prack`: sends the PRACK to the fork, with a new offer
    /// or without. [`Event::OfferAccepted`](super::Event::OfferAccepted) or
    /// [`Event::OfferRefused`](super::Event::OfferRefused) answers an offer.
    pub fn prack(&mut self, now: Instant, session: SessionId, fork: &str, offer: Option<Bytes>) -> Result<(), Refused> {
        self.command(now, session, |session, ex| session.prack(ex, now, fork, offer))
    }

    /// Sends INFO, REFER, NOTIFY, MESSAGE or another request in the dialog of a session, with this body and its type;
    /// [`Event::Reply`](super::Event::Reply) follows, unless the session ends before.
    ///
    /// # Errors
    /// When there is no dialog yet, or the method is one that sessions send by themselves.
    pub fn request(&mut self, now: Instant, session: SessionId, inside: InsideRequest) -> Result<RequestId, Refused> {
        self.command(now, session, |session, ex| session.request(ex, now, inside))
    }

    /// After [`Event::Asked`](super::Event::Asked): answers with a final status. A request without an answer gets 500
    /// after [`Limits::command`](super::Limits::command).
    pub fn reply(
        &mut self,
        now: Instant,
        session: SessionId,
        request: RequestId,
        status: Status,
        headers: Vec<Header>,
        body: Option<(&str, Bytes)>,
    ) -> Result<(), Refused> {
        self.command(now, session, |session, ex| session.reply(ex, now, request, status, headers, body))
    }

    fn command<T>(
        &mut self,
        now: Instant,
        id: SessionId,
        work: impl FnOnce(&mut Session, &mut Exchange) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let done = self.with_session(id, work).unwrap_or(Err(Refused::NoSession(id)));
        self.settle_news(now);
        done
    }
}
