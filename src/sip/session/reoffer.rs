//! Our change of a session, by re-INVITE (RFC 3261 section 14.1) or UPDATE (RFC 3311).
//!
//! ```text
//!  reoffer() ─▶ Change ─┬─ 2xx ─▶ ACK ─▶ OfferAccepted
//!                ▲      ├─ 491, 500 with Retry-After ─▶ Clash ── its time ─▶ OfferDue
//!                │      ├─ 481, 408, no response ─▶ BYE
//!                │      └─ another refusal ─▶ OfferRefused
//!                └─ user, with an offer that knows what the other side changed meanwhile
//! ```

use bytes::Bytes;

use super::leg::Offers;
use super::{Owed, Phase, Session};
use crate::sip::agent::{EndedBy, Event, Exchange, Purpose, Refused, push_allow};
use crate::sip::body::{self, SDP};
use crate::sip::header::{Headers, Name};
use crate::sip::hop::Hop;
use crate::sip::message::{Method, Response, Status};
use crate::sip::transaction::ClientId;
use crate::time::{Duration, Instant};

/// How often one change meets another before it counts as refused: two sides that draw lots as RFC 3261 section 14.1
/// says never get there.
const CLASHES: u8 = 8;

/// The longest Retry-After that a change waits for; a longer one is a refusal.
const PATIENCE: Duration = Duration::from_secs(32);

/// A change of ours that waits for the peer.
#[derive(Debug)]
pub(super) struct Change {
    /// INVITE or UPDATE.
    pub(super) method: Method,
    /// The remote tag of its dialog.
    tag: String,
    /// Is it only a refresh (RFC 4028), of which the user hears nothing but news?
    pub(super) refresh: bool,
    /// Did it carry an offer?
    pub(super) offered: bool,
    pub(super) client: Option<ClientId>,
    /// When it is cancelled: the peer said that it works on it, and nothing since.
    pub(super) until: Option<Instant>,
}

/// Changes that met others in a row.
#[derive(Debug)]
pub(super) struct Clash {
    count: u8,
    /// When the next attempt is due; none while it is under way.
    pub(super) until: Option<Instant>,
}

impl Session {
    /// Sends a re-INVITE, with an offer or without.
    pub(crate) fn reoffer(&mut self, ex: &mut Exchange, now: Instant, sdp: Option<Bytes>) -> Result<(), Refused> {
        let Phase::Up(up) = &self.phase else { return self.refuse("be changed") };
        if up.owed.is_some() || self.is_changing() || self.unacknowledged() > 0 {
            return Err(Refused::Busy(self.id));
        }
        let Some(tag) = self.fork() else { return self.refuse("be changed") };
        self.send_change(ex, now, &tag, Method::Invite, sdp, false);
        Ok(())
    }

    /// Sends an UPDATE, with an offer or without (RFC 3311 section 5.1).
    pub(crate) fn update(&mut self, ex: &mut Exchange, now: Instant, sdp: Option<Bytes>) -> Result<(), Refused> {
        let early = matches!(self.phase, Phase::Calling(_) | Phase::Ringing(_));
        if !early && !matches!(self.phase, Phase::Up(_)) {
            return self.refuse("be changed");
        }
        if self.is_changing() {
            return Err(Refused::Busy(self.id));
        }
        // Of several forks, the one whose first exchange is over.
        let ready = |leg: &&super::Leg| leg.update && (leg.offers == Offers::Settled || sdp.is_none() && !early);
        let Some(leg) = self.legs.iter().find(ready) else {
            let known = self.legs.iter().any(|leg| leg.update);
            let why = match known {
                true => "be changed by UPDATE: an offer has no answer yet",
                false => "be changed by UPDATE: the far end does not know it",
            };
            return self.refuse(why);
        };
        let tag = leg.dialog.remote_tag().to_owned();
        self.send_change(ex, now, &tag, Method::Update, sdp, false);
        Ok(())
    }

    /// Is a change under way, by either side, or does ours wait for its turn?
    pub(super) fn is_changing(&self) -> bool {
        self.change.is_some()
            || self.reoffer.is_some()
            || self.clash.as_ref().is_some_and(|clash| clash.until.is_some())
    }

    pub(super) fn send_change(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        tag: &str,
        method: Method,
        sdp: Option<Bytes>,
        refresh: bool,
    ) {
        let session = self.id;
        let Some(leg) = self.leg_mut(tag) else { return };
        let mut request = leg.dialog.request(method.clone());
        let (purpose, idle) = match method {
            Method::Invite => (Purpose::Reinvite(session), Offers::None),
            _ => (Purpose::Update(session), leg.offers),
        };
        leg.offers = if sdp.is_some() { Offers::Sent } else { idle };
        push_allow(&mut request.headers);
        request.headers.push(Name::Accept, SDP);
        self.ask_refresh(ex, &mut request.headers);
        let (tag, offered) = (tag.to_owned(), sdp.is_some());
        self.change = Some(Change { method, tag: tag.clone(), refresh, offered, client: None, until: None });
        if let Some(sdp) = sdp {
            self.described = Some(sdp.clone());
            request = request.with_body(SDP, sdp);
        }
        self.post(ex, now, &tag, purpose, request, true);
    }

    /// A response to our change, or the 408 or 503 that stands for none (without a source).
    pub(super) fn handle_change_response(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        id: ClientId,
        source: Option<Hop>,
        response: Response,
    ) {
        if response.status.is_provisional() {
            if let Some(change) = &mut self.change
                && change.method == Method::Invite
            {
                change.until = Some(now + ex.config.limits.progress);
            }
            return;
        }
        let Ok(cseq) = response.headers.cseq() else { return };
        let invite = cseq.method == Method::Invite;
        if self.reinvited.iter().any(|(client, _)| *client == id) {
            if let Some(leg) = self.legs.first() {
                leg.repeat_ack(ex, cseq.number);
            }
            return;
        }
        let Some(change) = self.change.take() else { return };
        if response.status.is_success() {
            if invite {
                self.reinvited.push((id, now + ex.config.timers.give_up()));
            }
            self.change_accepted(ex, now, id, cseq.number, &change, response);
        } else {
            if invite || change.offered {
                self.settle_offers(&change.tag, Offers::Settled);
            }
            self.change_refused(ex, now, source.is_some(), &change, response);
        }
    }

    fn change_accepted(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        id: ClientId,
        number: u32,
        change: &Change,
        response: Response,
    ) {
        self.clash = None;
        let tag = change.tag.as_str();
        let Some(leg) = self.leg_mut(tag) else { return };
        leg.note(&response.headers);
        self.take_refresh(now, &response.headers);
        let invite = change.method == Method::Invite;
        let body = body::sdp(&response.headers, &response.body);
        let wants_answer = invite && !change.offered && body.is_some();
        match &mut self.phase {
            Phase::Up(up) if wants_answer => {
                let until = now + ex.config.limits.command;
                up.owed = Some(Owed { number, invite: id, until });
                self.settle_offers(tag, Offers::Received);
            }
            _ => {
                if invite {
                    self.acknowledge(ex, now, tag, number, id, None);
                }
                if invite || change.offered {
                    self.settle_offers(tag, Offers::Settled);
                }
            }
        }
        let news = body.is_some() || !change.refresh;
        if news && !self.is_over() {
            ex.tell(Event::OfferAccepted { session: self.id, body, wants_answer, headers: response.headers });
        }
    }

    fn change_refused(&mut self, ex: &mut Exchange, now: Instant, answered: bool, change: &Change, response: Response) {
        if self.is_over() {
            return;
        }
        let up = matches!(self.phase, Phase::Up(_));
        let Response { status, reason, headers, .. } = response;
        // RFC 3261 section 12.2.1.2: there is no dialog any more.
        if up && matches!(status, Status::CALL_DOES_NOT_EXIST | Status::REQUEST_TIMEOUT) {
            let (by, why) = match answered {
                true => (EndedBy::Remote, "the far end does not know the call any more"),
                false => (EndedBy::Timeout, "the far end did not answer a change of the call"),
            };
            self.clash = None;
            return self.leave(ex, now, by, why, None);
        }
        if change.refresh {
            let wait = self.wait(ex, status, &headers);
            return self.refresh_refused(now, status, &change.tag, wait);
        }
        let count = self.clash.take().map_or(0, |clash| clash.count);
        match self.wait(ex, status, &headers).filter(|_| answered && count < CLASHES) {
            Some(wait) => {
                let until = now + wait;
                self.clash = Some(Clash { count: count + 1, until: Some(until) });
                ex.tell(Event::OfferClashed { session: self.id, until });
            }
            None => ex.tell(Event::OfferRefused { session: self.id, status, reason, headers }),
        }
    }

    /// How long a change waits after this refusal; `None`: it is final.
    fn wait(&self, ex: &mut Exchange, status: Status, headers: &Headers) -> Option<Duration> {
        // In units of 10 ms: 2.1 to 4 s for who made the Call-ID, 0 to 2 s for the other (RFC 3261 section 14.1).
        let (low, high) = if self.outbound { (210, 401) } else { (0, 201) };
        match status {
            Status::REQUEST_PENDING => Some(Duration::from_millis(10 * ex.random.range(low, high))),
            Status::SERVER_INTERNAL_ERROR => {
                headers.retry_after().filter(|wait| *wait <= PATIENCE).map(|wait| wait.max(Duration::from_millis(10)))
            }
            _ => None,
        }
    }

    /// Our change could not even be sent.
    pub(super) fn change_lost(&mut self, ex: &mut Exchange) {
        if let Some(change) = self.change.take()
            && !self.is_over()
        {
            self.clash = None;
            self.settle_offers(&change.tag, Offers::Settled);
            if change.refresh {
                return;
            }
            let (status, reason) = (Status::SERVICE_UNAVAILABLE, "too many requests are under way".to_owned());
            ex.tell(Event::OfferRefused { session: self.id, status, reason, headers: Headers::new() });
        }
    }

    pub(super) fn change_timeout(&mut self, ex: &mut Exchange, now: Instant) {
        if let Some(change) = &mut self.change
            && change.until.is_some_and(|until| until <= now)
        {
            change.until = None;
            if let Some(client) = change.client {
                ex.cancel(now, client, &Headers::new());
            }
        }
        if let Some(clash) = &mut self.clash
            && clash.until.is_some_and(|until| until <= now)
        {
            clash.until = None;
            ex.tell(Event::OfferDue { session: self.id });
        }
    }

    /// Where the offers of the dialog with `tag` stand now.
    pub(super) fn settle_offers(&mut self, tag: &str, offers: Offers) {
        if let Some(leg) = self.leg_mut(tag) {
            leg.offers = offers;
        }
    }

    /// The remote tag of the first dialog: of the only one, once the session is established.
    pub(super) fn fork(&self) -> Option<String> {
        self.legs.first().map(|leg| leg.dialog.remote_tag().to_owned())
    }
}
