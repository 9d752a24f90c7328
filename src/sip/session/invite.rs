//! Our INVITE: the way, the offer, its responses (RFC 3261 section 13.2).

use bytes::Bytes;

use super::leg::{Leg, Offers, Parcel};
use super::prack::Wants;
use super::{Owed, Phase, Session, Up, add};
use crate::sip::agent::{EndedBy, Event, Exchange, InviteRequest, Purpose, Refused, ResolveError};
use crate::sip::agent::{Errand, Sent, SessionId, push_allow};
use crate::sip::body::{self, SDP};
use crate::sip::dialog::{Dialog, MAX_FORWARDS, request_uri};
use crate::sip::header::{CSeq, Header, Headers, Name};
use crate::sip::hop::Hop;
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::name_addr::NameAddr;
use crate::sip::target::Target;
use crate::sip::transaction::ClientId;
use crate::sip::uri::Uri;
use crate::time::Instant;

/// Who calls when neither the caller nor an account says it (RFC 3261 section 8.1.1.3).
const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// An INVITE that has not been sent.
#[derive(Debug)]
pub(super) struct Draft {
    target: Uri,
    from: NameAddr,
    routes: Vec<NameAddr>,
    extra: Vec<Header>,
    hops: Vec<Hop>,
    /// Does it go to the account's own proxy or domain?
    home: bool,
    /// When the wait for the user's offer ends.
    pub(super) until: Instant,
}

/// An INVITE that is out.
#[derive(Debug)]
pub(super) struct Calling {
    /// The transaction; none between two attempts that both could not be sent.
    pub(super) client: Option<ClientId>,
    pub(super) cseq: u32,
    /// Who gave the INVITE up, once CANCEL is under way, and what for.
    pub(super) given_up: Option<(EndedBy, String)>,
    /// When the far end has to have said something new.
    pub(super) until: Option<Instant>,
}

impl Session {
    /// A session that looks for the next hop of its INVITE.
    pub(crate) fn invite(
        ex: &mut Exchange,
        now: Instant,
        id: SessionId,
        invite: InviteRequest,
    ) -> Result<Self, Refused> {
        let InviteRequest { account, target, from, headers: extra } = invite;
        let line = match account {
            Some(account) => Some(ex.accounts.living(account).ok_or(Refused::NoAccount(account))?),
            None => None,
        };
        let routes = line.map(|line| line.routes()).unwrap_or_default();
        let own = || {
            let account = &line?.account;
            Some(NameAddr { display: account.display.clone(), ..NameAddr::new(account.aor.clone()) })
        };
        let anonymous = || ANONYMOUS.parse().ok();
        let from = from.or_else(own).or_else(anonymous).ok_or_else(|| Refused::Target(target.to_string()))?;
        if target.sip().is_none() && routes.is_empty() {
            return Err(Refused::Target(target.to_string()));
        }
        let next = routes.first().map_or(&target, |route| &route.uri);
        let nexts = match line {
            Some(line) => line.targets(&routes, &target),
            None => Target::of(next, None).map(|next| vec![next]),
        };
        let nexts = nexts.map_err(|_| Refused::Target(next.to_string()))?;
        let domain = || line?.account.aor.host()?.equivalent(target.host()?).then_some(());
        let home = !routes.is_empty() || domain().is_some();
        ex.find(now, account, nexts, Errand::Invite(id));
        let (call_id, tag) = (ex.random.token(26), ex.random.token(12));
        let user = from.uri.user().map(|user| user.into_owned());
        let draft = Draft { target: request_uri(&target), from, routes, extra, hops: Vec::new(), home, until: now };
        let mut session = Session::new(id, account, call_id, tag, Phase::Finding(Box::new(draft)));
        session.user = user;
        Ok(session)
    }

    /// The next hop of the INVITE was found, or not.
    pub(crate) fn handle_invite_resolved(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        found: Result<Vec<Hop>, ResolveError>,
    ) {
        if let Phase::Calling(calling) = &self.phase
            && calling.client.is_none()
        {
            let given_up = calling.given_up.is_some();
            if given_up || !self.go_elsewhere(ex, now, found.unwrap_or_default()) {
                self.next_place(ex, now);
            }
            return;
        }
        let Phase::Finding(_) = self.phase else { return };
        let first = found.as_ref().ok().and_then(|hops| hops.first().copied());
        match (first, std::mem::replace(&mut self.phase, Phase::Over)) {
            (Some(hop), Phase::Finding(mut draft)) => {
                draft.hops = found.unwrap_or_default();
                if let Some(account) = self.account.filter(|_| draft.home) {
                    draft.hops.iter().for_each(|hop| ex.accounts.note_peer(account, hop.remote.ip()));
                }
                draft.until = now + ex.config.limits.command;
                self.phase = Phase::Drafted(draft);
                ex.tell(Event::Route { session: self.id, hop });
            }
            (_, phase) => {
                self.phase = phase;
                let why = found.err().map_or_else(|| "no address found".to_owned(), |error| error.to_string());
                self.end(ex, now, EndedBy::Transport, None, &why, Headers::new());
            }
        }
    }

    /// The user's offer is here: the INVITE goes out.
    pub(crate) fn offer(&mut self, ex: &mut Exchange, now: Instant, sdp: Option<Bytes>) -> Result<(), Refused> {
        let Phase::Drafted(_) = self.phase else { return self.refuse("send its offer") };
        let Phase::Drafted(draft) = std::mem::replace(&mut self.phase, Phase::Over) else { return Ok(()) };
        let Draft { target, from, routes, extra, hops, .. } = *draft;
        let cseq = 1 + (ex.random.u32() & 0xFFFF);
        let mut invite = Request::new(Method::Invite, target.clone());
        let headers = &mut invite.headers;
        for route in routes {
            headers.push(Name::Route, route.to_string());
        }
        headers.push(Name::MaxForwards, MAX_FORWARDS);
        headers.push(Name::From, from.with_tag(&self.tag).to_string());
        headers.push(Name::To, NameAddr::new(target).to_string());
        headers.push(Name::CallId, self.call_id.as_str());
        headers.push(Name::CSeq, CSeq { number: cseq, method: Method::Invite }.to_string());
        push_allow(headers);
        headers.push(Name::Accept, SDP);
        self.ask_refresh(ex, headers);
        add(headers, extra);
        if let Some(sdp) = sdp {
            self.described = Some(sdp.clone());
            invite = invite.with_body(SDP, sdp);
        }
        self.redirectable(ex, &invite, hops.first().copied());
        let calling = Calling { client: None, cseq, given_up: None, until: None };
        self.phase = Phase::Calling(Box::new(calling));
        // Contact belongs to the hop: it is made anew for each that is tried.
        let sent = Sent::new(Purpose::Invite(self.id), self.account, invite, hops)
            .map(|sent| sent.with_contact(self.user.clone()));
        match sent.and_then(|sent| ex.send(now, sent).ok()) {
            Some(client) => self.retried(Purpose::Invite(self.id), client),
            None => {
                let why = "too many requests are under way; try again when some have ended";
                self.end(ex, now, EndedBy::Transport, None, why, Headers::new());
            }
        }
        Ok(())
    }

    /// A response to our INVITE, or the 408 or 503 that stands for none (without a source).
    pub(super) fn handle_invite_response(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        id: ClientId,
        source: Option<Hop>,
        response: Response,
    ) {
        match (response.status, source) {
            (Status::TRYING, _) => self.progressed(ex, now),
            (status, Some(source)) if status.is_provisional() => self.handle_progress(ex, now, id, source, response),
            (status, Some(source)) if status.is_success() => self.handle_accepted(ex, now, id, source, response),
            _ => self.handle_rejected(ex, now, source.is_some(), response),
        }
    }

    /// The far end gave a sign of life.
    fn progressed(&mut self, ex: &Exchange, now: Instant) {
        if let Phase::Calling(calling) = &mut self.phase
            && calling.given_up.is_none()
        {
            calling.until = Some(now + ex.config.limits.progress);
        }
    }

    fn handle_progress(&mut self, ex: &mut Exchange, now: Instant, id: ClientId, source: Hop, response: Response) {
        let Phase::Calling(calling) = &self.phase else { return };
        let fork = to_tag(&response);
        if calling.given_up.is_some() || self.gone.contains(&fork) {
            return;
        }
        self.progressed(ex, now);
        if !fork.is_empty() && self.leg_mut(&fork).is_none() && self.legs.len() < ex.config.limits.forks {
            self.add_leg(ex, id, source, &response);
        } else if let Some(leg) = self.leg_mut(&fork) {
            leg.note(&response.headers);
        }
        let Some(wants) = self.take_reliable(ex, now, &fork, &response) else { return };
        let body = body::sdp(&response.headers, &response.body);
        let Response { status, reason, headers, .. } = response;
        let (wants_answer, wants_prack) = (wants == Wants::Answer, wants == Wants::Prack);
        ex.tell(Event::Progress { session: self.id, status, reason, fork, headers, body, wants_answer, wants_prack });
    }

    /// A 2xx: the first makes the session, those of other forks are acknowledged and ended (RFC 3261 section 13.2.2.4).
    fn handle_accepted(&mut self, ex: &mut Exchange, now: Instant, id: ClientId, source: Hop, response: Response) {
        let fork = to_tag(&response);
        let number = response.headers.cseq().map(|cseq| cseq.number).unwrap_or_default();
        if self.accepted.is_none() {
            self.accepted = Some((id, now + ex.config.timers.give_up()));
        } else if let Some(leg) = self.legs.iter().find(|leg| leg.dialog.remote_tag() == fork) {
            // The leg of every 2xx that came before: early dialogs were dropped with the first.
            leg.repeat_ack(ex, number);
            return;
        }
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Calling(calling) if calling.given_up.is_none() && !self.gone.contains(&fork) => {
                self.phase = Phase::Up(Up::default());
                self.legs.retain(|leg| leg.dialog.remote_tag() == fork);
                self.confirm_leg(ex, id, source, &response);
                let body = body::sdp(&response.headers, &response.body);
                let offers = self.legs.first().map_or(Offers::Sent, |leg| leg.offers);
                let wants_answer = offers == Offers::None && body.is_some();
                // The answer to an offer in our PRACK may still be on its way.
                if !self.legs.first().is_some_and(|leg| leg.offering) {
                    self.settle_offers(&fork, if wants_answer { Offers::Received } else { Offers::Settled });
                }
                self.take_refresh(now, &response.headers);
                if wants_answer {
                    let until = now + ex.config.limits.command;
                    self.phase = Phase::Up(Up { owed: Some(Owed { number, invite: id, until }) });
                } else {
                    self.acknowledge(ex, now, &fork, number, id, None);
                }
                let Response { status, reason, headers, .. } = response;
                let session = self.id;
                ex.tell(Event::Answered { session, status, reason, fork, headers, body, wants_answer, source });
            }
            phase => {
                // Given up meanwhile (CANCEL and the 2xx crossed), or another fork than the first.
                let given_up = match phase {
                    Phase::Calling(calling) => {
                        self.legs.retain(|leg| leg.dialog.remote_tag() == fork);
                        self.phase = Phase::Up(Up::default());
                        // A BYE that overtook this 2xx ends the session without being a command of ours.
                        calling.given_up.or_else(|| Some((EndedBy::Remote, "hung up by the far end".to_owned())))
                    }
                    phase => {
                        self.phase = phase;
                        None
                    }
                };
                if self.legs.len() < ex.config.limits.forks {
                    self.confirm_leg(ex, id, source, &response);
                    self.acknowledge(ex, now, &fork, number, id, None);
                    if !self.gone.contains(&fork) {
                        self.send_bye(ex, now, &fork, None);
                    }
                }
                if let Some((by, why)) = given_up {
                    self.end(ex, now, by, Some(response.status), &why, Headers::new());
                }
            }
        }
    }

    fn handle_rejected(&mut self, ex: &mut Exchange, now: Instant, answered: bool, response: Response) {
        let Phase::Calling(calling) = &mut self.phase else { return };
        let given_up = calling.given_up.take();
        calling.until = None;
        self.legs.clear();
        if let (None, Phase::Calling(calling)) = (&given_up, &mut self.phase) {
            calling.client = None;
            if self.goes_elsewhere(ex, now, response.status, &response.headers) {
                return;
            }
        }
        let Response { status, reason, headers, .. } = response;
        match (given_up, answered, status) {
            // Without a final response to a cancelled INVITE it counts as cancelled (RFC 3261 section 9.1).
            (Some((by, why)), true, status) => self.end(ex, now, by, Some(status), &why, headers),
            (Some((by, why)), false, _) => {
                self.end(ex, now, by, Some(Status::REQUEST_TERMINATED), &why, Headers::new())
            }
            (None, true, _) => self.end(ex, now, EndedBy::Remote, Some(status), &reason, headers),
            (None, false, Status::REQUEST_TIMEOUT) => {
                self.end(ex, now, EndedBy::Timeout, Some(status), "the far end did not answer", Headers::new());
            }
            (None, false, _) => {
                let why = ex.trouble.clone().unwrap_or_else(|| "the next hop cannot be reached".into());
                self.end(ex, now, EndedBy::Transport, Some(status), &why, Headers::new());
            }
        }
    }

    /// The place that a 3xx named cannot be reached: the next one, or the end.
    fn next_place(&mut self, ex: &mut Exchange, now: Instant) {
        let Phase::Calling(calling) = &mut self.phase else { return };
        if let Some((by, why)) = calling.given_up.take() {
            return self.end(ex, now, by, Some(Status::REQUEST_TERMINATED), &why, Headers::new());
        }
        if !self.goes_elsewhere(ex, now, Status::SERVICE_UNAVAILABLE, &Headers::new()) {
            let why = "no place that the far end referred to can be reached";
            self.end(ex, now, EndedBy::Transport, None, why, Headers::new());
        }
    }

    /// The user's answer to the offer in the 2xx: it goes into the ACK.
    pub(crate) fn ack_answer(&mut self, ex: &mut Exchange, now: Instant, sdp: Bytes) -> Result<(), Refused> {
        let described = Some(sdp.clone());
        let Phase::Up(up) = &mut self.phase else { return self.refuse("answer the offer of the 2xx") };
        let Some(Owed { number, invite, .. }) = up.owed.take() else {
            return self.refuse("answer the offer of the 2xx");
        };
        if let Some(fork) = self.fork() {
            self.acknowledge(ex, now, &fork, number, invite, Some(sdp));
        }
        if let Some(fork) = self.fork() {
            self.settle_offers(&fork, Offers::Settled);
        }
        self.described = described;
        Ok(())
    }

    /// The program owes an answer for too long: the ACK goes without one, and the session ends.
    pub(super) fn owed_timeout(&mut self, ex: &mut Exchange, now: Instant) {
        if let Phase::Up(Up { owed: Some(owed) }) = &self.phase
            && owed.until <= now
        {
            self.leave(ex, now, EndedBy::Timeout, "the program gave no answer in time", None);
        }
    }

    /// Acknowledges what is still owed, so that the peer stops to repeat its 2xx.
    pub(super) fn settle_owed(&mut self, ex: &mut Exchange, now: Instant) {
        if let Phase::Up(up) = &mut self.phase
            && let Some(Owed { number, invite, .. }) = up.owed.take()
            && let Some(fork) = self.fork()
        {
            self.acknowledge(ex, now, &fork, number, invite, None);
        }
    }

    /// Sends the ACK with this CSeq number, with the credentials of its INVITE (RFC 3261 section 13.2.2.4).
    pub(super) fn acknowledge(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        fork: &str,
        number: u32,
        invite: ClientId,
        sdp: Option<Bytes>,
    ) {
        let (session, preferred) = (self.id, self.preferred(ex));
        let Some(leg) = self.leg_mut(fork) else { return };
        let mut ack = leg.dialog.ack(number);
        if let Some(sent) = ex.sent(invite) {
            ack.headers.copy(&sent.request.headers, &Name::Authorization);
            ack.headers.copy(&sent.request.headers, &Name::ProxyAuthorization);
        }
        if let Some(sdp) = sdp {
            ack = ack.with_body(SDP, sdp);
        }
        let posted = leg.post(ex, now, session, preferred, Parcel::Ack(ack));
        self.posted(ex, posted);
    }

    fn add_leg(&mut self, ex: &Exchange, id: ClientId, source: Hop, response: &Response) {
        if let Some(sent) = ex.sent(id)
            && let Ok(dialog) = Dialog::of_caller(&sent.request, response)
        {
            let offered = body::sdp(&sent.request.headers, &sent.request.body).is_some();
            let offers = if offered { Offers::Sent } else { Offers::None };
            let mut leg = Leg::new(dialog, source, offers);
            leg.note(&response.headers);
            self.legs.push(leg);
        }
    }

    fn confirm_leg(&mut self, ex: &Exchange, id: ClientId, source: Hop, response: &Response) {
        match self.leg_mut(&to_tag(response)) {
            Some(leg) => {
                leg.note(&response.headers);
                leg.dialog.confirm(response);
            }
            None => self.add_leg(ex, id, source, response),
        }
    }
}

fn to_tag(response: &Response) -> String {
    response.headers.to().ok().and_then(|to| to.tag().map(Into::into)).unwrap_or_default()
}
