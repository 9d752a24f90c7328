//! Reliable provisional responses and their PRACK (RFC 3262), both ways.
//!
//! ```text
//!  as caller:  1xx with RSeq ─▶ in order? ─▶ PRACK, with the answer when it carries an offer; with another offer when it
//!                                          carries the answer to ours, and the program wants that
//!  as callee:  ring() ─▶ Unproven ─┬─ PRACK ─▶ 200, the next one that waits
//!                          │ ▲     └─ nobody: 504 after 64*T1
//!                          └─┘ repeated after T1, 2*T1, 4*T1 …
//! ```

use bytes::Bytes;

use super::answer::Ringing;
use super::leg::Offers;
use super::{Phase, Session};
use crate::sip::agent::{EndedBy, Event, Exchange, Purpose, Refused, Reliable};
use crate::sip::body::{self, SDP};
use crate::sip::header::{Headers, Name};
use crate::sip::hop::Hop;
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::timer::{Due, Unacknowledged};
use crate::sip::transaction::ServerId;
use crate::time::Instant;

/// The option tag.
pub(super) const RELIABLE: &str = "100rel";

/// A reliable provisional response that waits for its PRACK.
#[derive(Debug)]
pub(super) struct Unproven {
    rseq: u32,
    response: Response,
    pub(super) schedule: Unacknowledged,
    /// Does it carry our offer, so that the PRACK carries the answer?
    offered: bool,
    /// Does it carry a description at all? No 2xx before its PRACK then (RFC 3262 section 3).
    pub(super) described: bool,
}

/// What the PRACK to a reliable provisional response waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// Nothing; or there is none.
    Nothing,
    /// The user's answer to the offer in it.
    Answer,
    /// The user's word whether it carries a new offer.
    Prack,
}

impl Session {
    /// Is that provisional response to our INVITE new? A reliable one is acknowledged here; its repetitions, and those
    /// that came too early, are not (RFC 3262 section 4). Gives what its PRACK waits for.
    pub(super) fn take_reliable(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        fork: &str,
        response: &Response,
    ) -> Option<Wants> {
        let wanted = ex.reliable(self.account) != Reliable::Off;
        let reliable = wanted && response.headers.has_tag(&Name::Require, RELIABLE);
        let (Some(rseq), true) = (response.headers.rseq(), reliable) else { return Some(Wants::Nothing) };
        let cseq = response.headers.cseq().ok()?.number;
        let until = now + ex.config.limits.command;
        let may_offer = self.account.and_then(|id| ex.accounts.get(id)).is_some_and(|line| line.account.prack_offers);
        let sdp = body::sdp(&response.headers, &response.body);
        let leg = self.leg_mut(fork)?;
        if leg.rseq.is_some_and(|last| rseq != last.wrapping_add(1)) {
            return None;
        }
        leg.rseq = Some(rseq);
        let wants = match (leg.offers, sdp.is_some()) {
            (Offers::None, true) => {
                leg.offers = Offers::Received;
                Wants::Answer
            }
            (Offers::Sent, true) => {
                leg.offers = Offers::Settled;
                if may_offer { Wants::Prack } else { Wants::Nothing }
            }
            _ => Wants::Nothing,
        };
        match wants {
            Wants::Nothing => self.send_prack(ex, now, fork, rseq, cseq, None),
            Wants::Answer | Wants::Prack => leg.owed = Some((rseq, cseq, until)),
        }
        Some(wants)
    }

    fn send_prack(&mut self, ex: &mut Exchange, now: Instant, fork: &str, rseq: u32, cseq: u32, sdp: Option<Bytes>) {
        let Some(leg) = self.leg_mut(fork) else { return };
        let mut prack = leg.dialog.request(Method::Prack);
        prack.headers.push(Name::RAck, format!("{rseq} {cseq} INVITE"));
        if let Some(sdp) = sdp {
            self.described = Some(sdp.clone());
            prack = prack.with_body(SDP, sdp);
        }
        self.post(ex, now, fork, Purpose::Prack(self.id), prack, false);
    }

    /// The PRACK that waits for the user: as it is, or with a new offer (RFC 3262 section 5).
    pub(crate) fn prack(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        fork: &str,
        offer: Option<Bytes>,
    ) -> Result<(), Refused> {
        let changing = self.is_changing();
        let owed = self.leg_mut(fork).filter(|leg| leg.offers == Offers::Settled && !(changing && offer.is_some()));
        let owed = owed.and_then(|leg| {
            let owed = leg.owed.take()?;
            if offer.is_some() {
                (leg.offers, leg.offering) = (Offers::Sent, true);
            }
            Some(owed)
        });
        let Some((rseq, cseq, _)) = owed else { return self.refuse("acknowledge a provisional response") };
        self.send_prack(ex, now, fork, rseq, cseq, offer);
        Ok(())
    }

    /// The final response to a PRACK of ours: it answers the offer that this one carried.
    pub(super) fn handle_prack_response(&mut self, ex: &mut Exchange, response: Response) {
        let fork = response.headers.to().ok().and_then(|to| to.tag().map(str::to_owned)).unwrap_or_default();
        let Some(leg) = self.leg_mut(&fork).filter(|leg| leg.offering) else { return };
        (leg.offers, leg.offering) = (Offers::Settled, false);
        if self.is_over() {
            return;
        }
        let body = body::sdp(&response.headers, &response.body);
        let Response { status, reason, headers, .. } = response;
        let session = self.id;
        // Without a description the offer was not understood; what was agreed before holds.
        ex.tell(match status.is_success() && body.is_some() {
            true => Event::OfferAccepted { session, body, wants_answer: false, headers },
            false => Event::OfferRefused { session, status, reason, headers },
        });
    }

    /// The user's answer to the offer in a reliable provisional response.
    pub(crate) fn prack_answer(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        fork: &str,
        sdp: Bytes,
    ) -> Result<(), Refused> {
        let owed = self.leg_mut(fork).filter(|leg| leg.offers == Offers::Received).and_then(|leg| {
            leg.offers = if leg.owed.is_some() { Offers::Settled } else { leg.offers };
            leg.owed.take()
        });
        let Some((rseq, cseq, _)) = owed else { return self.refuse("answer the offer of a provisional response") };
        self.send_prack(ex, now, fork, rseq, cseq, Some(sdp));
        Ok(())
    }

    /// Sends a provisional response to the INVITE that rings, reliably where that has to be or helps.
    pub(super) fn send_provisional(&mut self, ex: &mut Exchange, now: Instant, status: Status, sdp: Option<Bytes>) {
        let offers = self.legs.first().map_or(Offers::None, |leg| leg.offers);
        let policy = ex.reliable(self.account);
        let Phase::Ringing(ringing) = &mut self.phase else { return };
        let headers = &ringing.invite.headers;
        let required = headers.has_tag(&Name::Require, RELIABLE);
        let able = required || headers.has_tag(&Name::Supported, RELIABLE);
        let reliable = policy != Reliable::Off
            && (required || able && (policy == Reliable::Required || sdp.is_some() && offers != Offers::Settled));
        if reliable && ringing.unproven.is_some() {
            // RFC 3262 section 3: one at a time.
            ringing.queue.push_back((status, sdp));
            ringing.queue.truncate(super::answer::QUEUED);
            return;
        }
        let (server, source, invite) = (ringing.server, ringing.source, ringing.invite.clone());
        // An offer goes reliably or not at all (RFC 3261 section 13.2.1); what is settled is not said again.
        let sdp = sdp.filter(|_| match offers {
            Offers::None => reliable,
            Offers::Received => true,
            Offers::Sent | Offers::Settled => false,
        });
        let described = sdp.is_some();
        let mut response = self.response(ex, &invite, source, status);
        if let Some(sdp) = sdp {
            self.described = Some(sdp.clone());
            response = response.with_body(SDP, sdp);
        }
        let Phase::Ringing(ringing) = &mut self.phase else { return };
        let mut unproven = None;
        if reliable {
            // The first is drawn by lot from 1 to 2^31 - 1.
            let rseq = ringing.rseq.map_or_else(|| 1 + (ex.random.u32() >> 2), |last| last.wrapping_add(1));
            ringing.rseq = Some(rseq);
            response.headers.push(Name::Require, RELIABLE);
            response.headers.push(Name::RSeq, rseq.to_string());
            let schedule = Unacknowledged::provisional(now, &ex.config.timers);
            let offered = described && offers == Offers::None;
            unproven = Some(Unproven { rseq, response: response.clone(), schedule, offered, described });
        }
        ringing.provisional = Some((now + super::answer::PROVISIONAL_INTERVAL, status, response.clone()));
        ringing.unproven = unproven;
        ex.respond(now, server, response);
        if reliable
            && described
            && let Some(leg) = self.legs.first_mut()
        {
            leg.offers = if offers == Offers::None { Offers::Sent } else { Offers::Settled };
        }
    }

    /// PRACK came.
    pub(super) fn handle_prack(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        id: ServerId,
        source: Hop,
        tag: &str,
        prack: Request,
    ) {
        let rack = rack(&prack.headers);
        if rack.is_some() && rack == self.overtaken {
            self.overtaken = None;
            ex.respond(now, id, prack.response(Status::OK));
            return;
        }
        let proven = match &mut self.phase {
            Phase::Ringing(ringing) if rack.is_some() && ringing.awaited() == rack => ringing.unproven.take(),
            _ => None,
        };
        let Some(proven) = proven else {
            ex.respond(now, id, prack.response(Status::CALL_DOES_NOT_EXIST));
            return;
        };
        let sdp = body::sdp(&prack.headers, &prack.body);
        match (proven.offered, sdp) {
            (true, answer) => {
                self.settle_offers(tag, Offers::Settled);
                ex.respond(now, id, prack.response(Status::OK));
                ex.tell(Event::Acknowledged { session: self.id, answer });
            }
            (false, Some(offer)) if self.legs.first().is_some_and(|leg| leg.offers == Offers::Settled) => {
                ex.tell(Event::Acknowledged { session: self.id, answer: None });
                self.ask_user(ex, now, id, source, tag, prack, Some(offer));
            }
            (false, _) => {
                ex.respond(now, id, prack.response(Status::OK));
                ex.tell(Event::Acknowledged { session: self.id, answer: None });
            }
        }
        self.after_prack(ex, now);
    }

    /// Sends what waited for the PRACK, and for the answer to an offer in it.
    pub(super) fn after_prack(&mut self, ex: &mut Exchange, now: Instant) {
        if self.reoffer.is_some() {
            return;
        }
        let Phase::Ringing(ringing) = &mut self.phase else { return };
        if let Some(sdp) = ringing.answer.take() {
            let _ = self.answer(ex, now, sdp);
        } else if let Some((status, sdp)) = ringing.queue.pop_front() {
            self.send_provisional(ex, now, status, sdp);
        }
    }

    pub(super) fn prack_timeout(&mut self, ex: &mut Exchange, now: Instant) {
        if self.legs.iter().any(|leg| leg.owed.is_some_and(|(_, _, until)| until <= now)) {
            self.legs.iter_mut().for_each(|leg| leg.owed = None);
            self.cancel(ex, now, EndedBy::Timeout, "the program gave no answer in time", None);
        }
        let Phase::Ringing(ringing) = &mut self.phase else { return };
        let Some(unproven) = &mut ringing.unproven else { return };
        match unproven.schedule.handle_timeout(now) {
            Due::Nothing => {}
            Due::Resend => {
                let (server, response) = (ringing.server, unproven.response.clone());
                ex.respond(now, server, response);
            }
            Due::GiveUp => {
                let why = "our provisional response was not acknowledged";
                self.turn_away(ex, now, EndedBy::Timeout, Status::SERVER_TIMEOUT, why, Vec::new(), Headers::new());
            }
        }
    }
}

impl Ringing {
    /// What the RAck of the PRACK says that is waited for: RSeq, and the CSeq number of the INVITE.
    pub(super) fn awaited(&self) -> Option<(u32, u32)> {
        let number = self.invite.headers.cseq().map(|cseq| cseq.number).ok()?;
        self.unproven.as_ref().map(|unproven| (unproven.rseq, number))
    }
}

/// RAck: the RSeq, and the CSeq number of an INVITE (RFC 3262 section 7.2).
fn rack(headers: &Headers) -> Option<(u32, u32)> {
    let mut words = headers.get(&Name::RAck)?.split_ascii_whitespace();
    let (rseq, cseq, method) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?);
    (method == Method::Invite.as_str() && words.next().is_none()).then_some((rseq, cseq))
}
