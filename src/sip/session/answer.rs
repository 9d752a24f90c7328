//! The peer's INVITE: ringing, the answer, its repetition until the ACK (RFC 3261 section 13.3).

use std::collections::VecDeque;

use bytes::Bytes;

use super::leg::{Leg, Offers};
use super::prack::Unproven;
use super::{Phase, Session, Up, add, reason_of};
use crate::sip::agent::{AccountId, EndedBy, Event, Exchange, Invitation, Refused, SessionId};
use crate::sip::body::{self, SDP};
use crate::sip::dialog::Dialog;
use crate::sip::header::{Header, HeaderError, Headers, Name};
use crate::sip::hop::Hop;
use crate::sip::message::{Request, Response, Status};
use crate::sip::timer::{Due, Unacknowledged};
use crate::sip::transaction::ServerId;
use crate::time::{Duration, Instant};

/// How often a provisional response is repeated, so that no proxy gives up (RFC 3261 section 13.3.1.1).
pub(super) const PROVISIONAL_INTERVAL: Duration = Duration::from_secs(60);

/// Provisional responses that may wait for the PRACK of the one before them.
pub(super) const QUEUED: usize = 8;

/// An INVITE that waits for our user.
#[derive(Debug)]
pub(super) struct Ringing {
    pub(super) server: ServerId,
    pub(super) invite: Request,
    pub(super) source: Hop,
    /// When it is refused for the user.
    until: Instant,
    /// The status that it is refused with: 487 when the INVITE expires, 480 when we lose patience.
    refusal: Status,
    /// The last provisional response, and when it is due again.
    pub(super) provisional: Option<(Instant, Status, Response)>,
    /// RSeq of the last reliable one.
    pub(super) rseq: Option<u32>,
    /// The reliable one that waits for its PRACK.
    pub(super) unproven: Option<Unproven>,
    /// Reliable ones that wait for that.
    pub(super) queue: VecDeque<(Status, Option<Bytes>)>,
    /// The user has taken the call; its 2xx waits for that.
    pub(super) answer: Option<Bytes>,
}

/// A 2xx of ours that waits for its ACK.
#[derive(Debug)]
pub(super) struct Answer {
    /// The CSeq number of the INVITE and of its ACK.
    cseq: u32,
    server: ServerId,
    response: Response,
    pub(super) schedule: Unacknowledged,
    /// Does the 2xx carry our offer, so that the ACK carries the answer?
    pub(super) offered: bool,
    /// Is it the answer to the INVITE that made the dialog? Until its ACK no BYE may be sent (RFC 3261 section 15).
    first: bool,
    /// The BYE that follows the ACK: our user has hung up meanwhile. The value of its Reason, if any.
    then_bye: Option<Option<String>>,
}

impl Ringing {
    pub(super) fn poll_timeout(&self) -> Instant {
        let provisional = self.provisional.as_ref().map(|(at, ..)| *at);
        let unproven = self.unproven.as_ref().map(|unproven| unproven.schedule.poll_timeout());
        [provisional, unproven].into_iter().flatten().fold(self.until, Instant::min)
    }
}

impl Session {
    /// A session for the INVITE of a peer; announces it. An INVITE that can make no dialog is a malformed one.
    pub(crate) fn ringing(
        ex: &mut Exchange,
        now: Instant,
        id: SessionId,
        account: Option<AccountId>,
        server: ServerId,
        source: Hop,
        invite: Request,
    ) -> Result<Self, HeaderError> {
        // A tag that came with an INVITE that begins a dialog has to go back with the responses (RFC 3261 section 8.2.6.2).
        let tag = invite.headers.to()?.tag().map_or_else(|| ex.random.token(12), str::to_owned);
        let dialog = Dialog::of_callee(&invite, &tag)?;
        let (from, to) = (invite.headers.from()?, invite.headers.to()?);
        let ringing = ex.config.limits.ringing;
        let expires = invite.headers.expires().map(|seconds| Duration::from_secs(seconds.into()));
        let (patience, refusal) = match expires {
            Some(expires) if expires < ringing => (expires, Status::REQUEST_TERMINATED),
            _ => (ringing, Status::TEMPORARILY_UNAVAILABLE),
        };
        ex.pending(server, id);
        let invitation = Invitation {
            account,
            from,
            to,
            request_uri: invite.uri.clone(),
            headers: invite.headers.clone(),
            source,
            offer: body::sdp(&invite.headers, &invite.body),
            admission: std::mem::take(&mut ex.admission),
        };
        let user = invite.uri.user().map(|user| user.into_owned());
        let call_id = dialog.call_id().to_owned();
        let ringing = Ringing {
            server,
            invite,
            source,
            until: now + patience,
            refusal,
            provisional: None,
            rseq: None,
            unproven: None,
            queue: VecDeque::new(),
            answer: None,
        };
        let mut session = Session::new(id, account, call_id, tag, Phase::Ringing(Box::new(ringing)));
        session.user = user;
        let offers = if invitation.offer.is_some() { Offers::Received } else { Offers::None };
        let mut leg = Leg::new(dialog, source, offers);
        leg.note(&invitation.headers);
        session.legs.push(leg);
        ex.tell(Event::Incoming { session: id, invitation: Box::new(invitation) });
        Ok(session)
    }

    /// The user's provisional response.
    pub(crate) fn ring(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        status: Status,
        sdp: Option<Bytes>,
    ) -> Result<(), Refused> {
        if !status.is_provisional() || status == Status::TRYING {
            return Err(Refused::Status(status.code(), "101 to 199, such as 180"));
        }
        let Phase::Ringing(_) = &self.phase else { return self.refuse("ring") };
        self.send_provisional(ex, now, status, sdp);
        Ok(())
    }

    /// The user takes the call; the 2xx waits for the PRACK of a description that was sent before (RFC 3262 section 3), and
    /// for the answer to an offer in a PRACK or UPDATE (RFC 6337 section 2.2).
    pub(crate) fn answer(&mut self, ex: &mut Exchange, now: Instant, sdp: Bytes) -> Result<(), Refused> {
        let offered = self.reoffer.is_some();
        let Phase::Ringing(ringing) = &mut self.phase else { return self.refuse("answer") };
        if offered || ringing.unproven.as_ref().is_some_and(|unproven| unproven.described) {
            if ringing.answer.is_some() {
                return self.refuse("answer: it is answered, and waits for PRACK");
            }
            ringing.answer = Some(sdp);
            return Ok(());
        }
        let (server, source, invite) = (ringing.server, ringing.source, ringing.invite.clone());
        self.overtaken = ringing.awaited();
        self.phase = Phase::Up(Up::default());
        self.accept(ex, now, server, source, &invite, sdp, true);
        Ok(())
    }

    /// Sends a 2xx to an INVITE, and keeps it until its ACK; `first` is the INVITE that made the dialog.
    #[expect(clippy::too_many_arguments, reason = "all that an INVITE came with")]
    pub(super) fn accept(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        server: ServerId,
        source: Hop,
        invite: &Request,
        sdp: Bytes,
        first: bool,
    ) {
        let offers = self.legs.first().map_or(Offers::None, |leg| leg.offers);
        let offered = body::sdp(&invite.headers, &invite.body).is_none() && !(first && offers == Offers::Settled);
        let mut response = self.response(ex, invite, source, Status::OK);
        response.headers.push(Name::Accept, SDP);
        self.grant_refresh(ex, now, &invite.headers, &mut response.headers);
        // What reliable provisional responses have settled is not said again (RFC 6337 section 3.1.1).
        if !(first && offers == Offers::Settled) {
            self.described = Some(sdp.clone());
            response = response.with_body(SDP, sdp);
        }
        ex.respond(now, server, response.clone());
        if let Some(leg) = self.legs.first_mut() {
            leg.offers = if offered { Offers::Sent } else { Offers::Settled };
        }
        self.answers.push(Answer {
            cseq: invite.headers.cseq().map(|cseq| cseq.number).unwrap_or_default(),
            server,
            response,
            schedule: Unacknowledged::answer(now, &ex.config.timers),
            offered,
            first,
            then_bye: None,
        });
    }

    /// The user declines the call.
    pub(crate) fn reject(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        status: Status,
        reason: Option<&str>,
        extra: Vec<Header>,
    ) -> Result<(), Refused> {
        if !(300..700).contains(&status.code()) {
            return Err(Refused::Status(status.code(), "300 to 699, such as 486"));
        }
        let Phase::Ringing(_) = &self.phase else { return self.refuse("reject the call") };
        let said = reason.map_or_else(|| status.reason(), Into::into);
        self.turn_away(ex, now, EndedBy::Local, status, &said, extra, Headers::new());
        Ok(())
    }

    /// Refuses the INVITE that rings, and ends the session. `why` holds what the user is told beside the reason.
    #[expect(clippy::too_many_arguments, reason = "each end of an INVITE says all of these")]
    pub(super) fn turn_away(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        by: EndedBy,
        status: Status,
        reason: &str,
        extra: Vec<Header>,
        why: Headers,
    ) {
        let Phase::Ringing(ringing) = &self.phase else { return };
        let mut response = ringing.invite.response(status).with_to_tag(&self.tag).with_reason(reason);
        add(&mut response.headers, extra);
        ex.respond(now, ringing.server, response);
        self.end(ex, now, by, Some(status), reason, why);
    }

    /// CANCEL came for the INVITE that rings (RFC 3261 section 9.2).
    pub(super) fn cancelled(&mut self, ex: &mut Exchange, now: Instant, cancel: &Request) {
        let Phase::Ringing(ringing) = &self.phase else { return };
        let status = Status::REQUEST_TERMINATED;
        let response = ringing.invite.response(status).with_to_tag(&self.tag);
        ex.respond(now, ringing.server, response);
        let why = reason_of(&cancel.headers, "cancelled by the caller");
        self.end(ex, now, EndedBy::Remote, Some(status), &why, cancel.headers.clone());
    }

    pub(super) fn ringing_timeout(&mut self, ex: &mut Exchange, now: Instant) {
        let Phase::Ringing(ringing) = &mut self.phase else { return };
        if ringing.until <= now {
            let refusal = ringing.refusal;
            self.turn_away(ex, now, EndedBy::Timeout, refusal, &refusal.reason(), Vec::new(), Headers::new());
        } else if let Some((at, status, response)) = &mut ringing.provisional
            && *at <= now
        {
            *at = now + PROVISIONAL_INTERVAL;
            if response.headers.contains(&Name::RSeq) {
                // A repetition would not get through: its PRACK came.
                let status = *status;
                return self.send_provisional(ex, now, status, None);
            }
            ex.respond(now, ringing.server, response.clone());
        }
    }

    /// The ACK of one of our 2xx came. Others are stray, or repetitions.
    pub(crate) fn handle_ack(&mut self, ex: &mut Exchange, now: Instant, ack: &Request) {
        let Ok(cseq) = ack.headers.cseq() else { return };
        let Some(index) = self.answers.iter().position(|answer| answer.cseq == cseq.number) else { return };
        let answer = self.answers.remove(index);
        if let Some(reason) = answer.then_bye {
            self.send_first_bye(ex, now, reason.as_deref());
        }
        if !self.is_over() {
            if answer.offered
                && let Some(leg) = self.legs.first_mut()
            {
                leg.offers = Offers::Settled;
            }
            let body = body::sdp(&ack.headers, &ack.body).filter(|_| answer.offered);
            ex.tell(Event::Confirmed { session: self.id, answer: body });
        }
    }

    /// Sends every 2xx again whose ACK is due; gives up after 64*T1 (RFC 3261 section 13.3.1.4).
    pub(super) fn repeat_answers(&mut self, ex: &mut Exchange, now: Instant) {
        let mut given_up = false;
        let mut bye = None;
        self.answers.retain_mut(|answer| match answer.schedule.handle_timeout(now) {
            Due::Nothing => true,
            Due::Resend => {
                ex.respond(now, answer.server, answer.response.clone());
                true
            }
            Due::GiveUp => {
                given_up = true;
                bye = bye.take().or(answer.then_bye.take());
                false
            }
        });
        if let Some(reason) = bye {
            self.send_first_bye(ex, now, reason.as_deref());
        } else if given_up && !self.is_over() {
            self.leave(ex, now, EndedBy::Timeout, "our answer was not acknowledged", None);
        }
    }

    /// Puts the BYE of a hang-up behind the ACK that it has to wait for. `false`: it has to wait for none.
    pub(super) fn bye_after_ack(&mut self, reason: Option<&str>) -> bool {
        match self.answers.iter_mut().find(|answer| answer.first) {
            Some(answer) => {
                answer.then_bye = Some(reason.map(Into::into));
                true
            }
            None => false,
        }
    }

    /// The answers that are still out, as a bound on re-INVITEs that come faster than their ACKs.
    pub(super) fn unacknowledged(&self) -> usize {
        self.answers.len()
    }
}
