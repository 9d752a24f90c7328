//! Sessions: an INVITE and everything that follows from it (RFC 3261 sections 13 to 15), for both sides.
//!
//! ```text
//!  invite.rs   Finding ─▶ Drafted ─▶ Calling ──2xx──▶ ┌────┐ ── BYE ──▶ ┌──────┐
//!                 │           │         │ rejected ─▶ │ Up │            │ Over │ ─▶ removed, when no request, 2xx or
//!  answer.rs   Ringing ───────┼──answer─┼───────────▶ └────┘            └──────┘    ACK can be asked for any more
//!                 └───────────┴─────────┴──── rejected, cancelled, timed out ──▶
//! ```
//!
//! modify.rs is the peer's change by re-INVITE or UPDATE, reoffer.rs our own, prack.rs reliable provisional responses,
//! refresh.rs session timers, redirect.rs 3xx, inside.rs what else is asked within a session, bye.rs every
//! end, leg.rs one dialog and the way of its requests.

mod answer;
mod bye;
mod inside;
mod invite;
mod leg;
mod modify;
mod prack;
mod redirect;
mod refresh;
mod reoffer;
mod replaces;

use std::net::IpAddr;

pub(crate) use refresh::too_short;

use crate::sip::agent::AccountId;
use crate::sip::agent::{EndedBy, Event, ResolveError, SessionId};
use crate::sip::agent::{Exchange, Purpose, Refused, from_there};
use crate::sip::header::{Header, Headers, Name};
use crate::sip::hop::{Hop, Transport};
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::params::Params;
use crate::sip::transaction::{ClientId, ServerId};
use crate::time::Instant;
use answer::{Answer, Ringing};
use bytes::Bytes;
use inside::Question;
use invite::{Calling, Draft};
use leg::{Leg, Letter, Parcel, Posted};
use modify::Reoffer;
use redirect::Redirection;
use refresh::Refresh;
use reoffer::{Change, Clash};

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    id: SessionId,
    account: Option<AccountId>,
    /// Is the INVITE ours, and so the Call-ID?
    outbound: bool,
    /// The user part of our Contact when there is no account.
    user: Option<String>,
    call_id: String,
    /// The tag of our side, the same in all dialogs of the session.
    tag: String,
    phase: Phase,
    /// The dialogs: one for each fork that answered our INVITE, one for an INVITE of a peer.
    legs: Vec<Leg>,
    /// Forks whose BYE came before their 2xx.
    gone: Vec<String>,
    /// Our 2xx that wait for their ACK.
    answers: Vec<Answer>,
    /// Our INVITE, while its 2xx can come again or from another fork, and until when.
    accepted: Option<(ClientId, Instant)>,
    /// Our re-INVITEs that were accepted, as `accepted`.
    reinvited: Vec<(ClientId, Instant)>,
    /// The change of the peer that waits for the user.
    reoffer: Option<Box<Reoffer>>,
    /// Our change that waits for the peer.
    change: Option<Change>,
    /// Our change met another; it waits for its turn.
    clash: Option<Clash>,
    /// When the session has to be refreshed.
    refresh: Option<Refresh>,
    /// The Min-SE that a 422 or a request of the peer made ours, in seconds.
    least_interval: Option<u32>,
    /// Where 3xx have led us.
    redirection: Option<Box<Redirection>>,
    /// The description that we sent last: what a refresh repeats.
    described: Option<Bytes>,
    /// RSeq and CSeq number of a reliable response of ours that the 2xx overtook: its PRACK still finds us.
    overtaken: Option<(u32, u32)>,
    /// What the peer asked and the user has not replied to.
    questions: Vec<Question>,
    /// Our BYEs without a final response.
    byes: usize,
    /// The deadline that the agent has noted.
    pub(crate) noted: Option<Instant>,
}

/// What a session is doing.
#[derive(Debug)]
enum Phase {
    /// The next hop of our INVITE is looked up.
    Finding(Box<Draft>),
    /// The next hop is known; the user's offer is waited for.
    Drafted(Box<Draft>),
    /// Our INVITE is out.
    Calling(Box<Calling>),
    /// An INVITE of a peer waits for our user.
    Ringing(Box<Ringing>),
    /// It is established.
    Up(Up),
    /// It is over; what is left is answering repetitions.
    Over,
}

/// An established session.
#[derive(Debug, Default)]
struct Up {
    /// The 2xx to our INVITE carried an offer: the ACK waits for the user's answer.
    owed: Option<Owed>,
}

/// An ACK that waits for the user's answer.
#[derive(Clone, Copy, Debug)]
struct Owed {
    /// The CSeq number of the INVITE.
    number: u32,
    invite: ClientId,
    until: Instant,
}

impl Session {
    fn new(id: SessionId, account: Option<AccountId>, call_id: String, tag: String, phase: Phase) -> Self {
        Self {
            id,
            account,
            outbound: !matches!(phase, Phase::Ringing(_)),
            user: None,
            call_id,
            tag,
            phase,
            legs: Vec::new(),
            gone: Vec::new(),
            answers: Vec::new(),
            accepted: None,
            reinvited: Vec::new(),
            reoffer: None,
            change: None,
            clash: None,
            refresh: None,
            least_interval: None,
            redirection: None,
            described: None,
            overtaken: None,
            questions: Vec::new(),
            byes: 0,
            noted: None,
        }
    }

    /// Whose session it is.
    pub(crate) fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// The way that requests to the far end take, of a session that is established or rings here. One that rings there
    /// has none yet: its answer goes where its INVITE came from, whatever we say (RFC 3261 section 18.2.2).
    pub(crate) fn flow(&self) -> Option<Hop> {
        self.legs.first().filter(|_| matches!(self.phase, Phase::Up(_) | Phase::Ringing(_))).map(Leg::flow)
    }

    /// Whose it is, and the user part of our Contact when there is no account.
    pub(crate) fn party(&self) -> (Option<AccountId>, Option<&str>) {
        (self.account, self.user.as_deref())
    }

    /// The ways of the session start at another address of ours now. Gives the way of before.
    pub(crate) fn move_to(&mut self, local: IpAddr) -> Option<Hop> {
        let old = self.flow();
        self.legs.iter_mut().for_each(|leg| leg.move_to(local));
        if let Phase::Ringing(ringing) = &mut self.phase {
            // Our answer says where we are now.
            ringing.source = from_there(ringing.source, local);
        }
        old
    }

    /// Call-ID and our tag: what finds the session for a request in one of its dialogs.
    pub(crate) fn key(&self) -> (String, String) {
        (self.call_id.clone(), self.tag.clone())
    }

    /// Can nothing of the session matter any more?
    pub(crate) fn is_done(&self) -> bool {
        self.is_quiet() && self.accepted.is_none() && self.reinvited.is_empty()
    }

    /// Is it over, with nothing left to send but repetitions of the ACK?
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_over()
            && self.answers.is_empty()
            && self.change.is_none()
            && self.byes == 0
            && self.legs.iter().all(Leg::is_idle)
    }

    /// Is it over for the user?
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// When to call [`Session::handle_timeout`].
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let phase = match &self.phase {
            // The look-up has a deadline of its own.
            Phase::Finding(_) | Phase::Over => None,
            Phase::Drafted(draft) => Some(draft.until),
            Phase::Calling(calling) => calling.until,
            Phase::Ringing(ringing) => Some(ringing.poll_timeout()),
            Phase::Up(up) => up.owed.map(|owed| owed.until),
        };
        let answers = self.answers.iter().map(|answer| answer.schedule.poll_timeout());
        let accepted = self.accepted.iter().chain(&self.reinvited).map(|(_, until)| *until);
        let questions = self.questions.iter().map(|question| question.until);
        let changes = [
            self.reoffer.as_ref().map(|reoffer| reoffer.until),
            self.change.as_ref().and_then(|change| change.until),
            self.clash.as_ref().and_then(|clash| clash.until),
            self.refresh.as_ref().map(Refresh::poll_timeout),
            self.legs.iter().filter_map(|leg| leg.owed.map(|(_, _, until)| until)).min(),
        ];
        answers.chain(phase).chain(accepted).chain(questions).chain(changes.into_iter().flatten()).min()
    }

    /// Does what is due `now`.
    pub(crate) fn handle_timeout(&mut self, ex: &mut Exchange, now: Instant) {
        if let Some((client, until)) = self.accepted
            && until <= now
        {
            ex.forget(client);
            self.accepted = None;
        }
        self.reinvited.retain(|(client, until)| {
            if *until <= now {
                ex.forget(*client);
            }
            *until > now
        });
        self.repeat_answers(ex, now);
        self.question_timeout(ex, now);
        self.change_timeout(ex, now);
        self.prack_timeout(ex, now);
        self.refresh_timeout(ex, now);
        self.reoffer_timeout(ex, now);
        match &self.phase {
            Phase::Drafted(draft) if draft.until <= now => {
                self.end(ex, now, EndedBy::Timeout, None, "the program gave no offer in time", Headers::new());
            }
            Phase::Calling(calling) if calling.until.is_some_and(|until| until <= now) => {
                self.give_up_calling(ex, now);
            }
            Phase::Ringing(_) => self.ringing_timeout(ex, now),
            Phase::Up(_) => self.owed_timeout(ex, now),
            _ => {}
        }
    }

    /// The way of requests in the dialog with `tag` was found, or not.
    pub(crate) fn handle_leg_resolved(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        tag: &str,
        found: Result<Vec<Hop>, ResolveError>,
    ) {
        if let Some(leg) = self.leg_mut(tag) {
            let posted = leg.resolved(ex, now, found);
            self.posted(ex, posted);
        }
    }

    /// A response to a request of ours came; one of `Purpose::Bye` is final.
    pub(crate) fn handle_response(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        id: ClientId,
        purpose: Purpose,
        source: Option<Hop>,
        response: Response,
    ) {
        match purpose {
            Purpose::Invite(_) => self.handle_invite_response(ex, now, id, source, response),
            Purpose::Reinvite(_) | Purpose::Update(_) => self.handle_change_response(ex, now, id, source, response),
            _ if !response.status.is_final() => {}
            Purpose::Bye(_) => self.byes = self.byes.saturating_sub(1),
            Purpose::Inside(_, request) => self.handle_reply(ex, now, request, source, response),
            Purpose::Prack(_) => self.handle_prack_response(ex, response),
            Purpose::Register(_) | Purpose::Outside(_) | Purpose::Abandoned => {}
        }
    }

    /// May a request of ours that one hop did not serve be sent by another? Not if it was given up meanwhile.
    pub(crate) fn wants_retry(&self, purpose: Purpose) -> bool {
        match (purpose, &self.phase) {
            (Purpose::Invite(_), Phase::Calling(calling)) => calling.given_up.is_none(),
            (Purpose::Bye(_), _) => true,
            (Purpose::Reinvite(_), Phase::Up(_)) => true,
            (Purpose::Update(_) | Purpose::Prack(_) | Purpose::Inside(..), _) => !self.is_over(),
            _ => false,
        }
    }

    /// The CSeq number with which a challenged request of ours is sent again.
    pub(crate) fn retry_cseq(&mut self, purpose: Purpose, request: &Request) -> Option<u32> {
        match (purpose, &mut self.phase) {
            (Purpose::Invite(_), Phase::Calling(calling)) => {
                // Beyond what PRACK and UPDATE have used.
                let used = self.legs.iter().map(|leg| leg.dialog.last_cseq()).max();
                calling.cseq = 1 + calling.cseq.max(used.unwrap_or_default());
                Some(calling.cseq)
            }
            (Purpose::Invite(_) | Purpose::Register(_), _) => None,
            _ => {
                let tag = request.headers.to().ok()?.tag().unwrap_or_default().to_owned();
                Some(self.leg_mut(&tag)?.dialog.next_cseq())
            }
        }
    }

    /// A request was sent again as another transaction.
    pub(crate) fn retried(&mut self, purpose: Purpose, id: ClientId) {
        match (purpose, &mut self.phase) {
            (Purpose::Invite(_), Phase::Calling(calling)) => {
                calling.client = Some(id);
                // The forks of the request before are gone (RFC 3261 section 12.3).
                self.legs.clear();
            }
            (Purpose::Reinvite(_) | Purpose::Update(_), _) => {
                if let Some(change) = &mut self.change {
                    change.client = Some(id);
                }
            }
            _ => {}
        }
    }

    /// Sends a request in the dialog with `tag`, with our Contact where `contact` says so.
    fn post(&mut self, ex: &mut Exchange, now: Instant, tag: &str, purpose: Purpose, request: Request, contact: bool) {
        let (session, preferred, account) = (self.id, self.preferred(ex), self.account);
        let contact = contact.then(|| self.user.clone());
        let Some(leg) = self.leg_mut(tag) else { return };
        let letter = Letter { purpose, account, request, contact };
        let posted = leg.post(ex, now, session, preferred, Parcel::Letter(Box::new(letter)));
        self.posted(ex, posted);
    }

    /// What waited for its way has gone, or could not.
    fn posted(&mut self, ex: &mut Exchange, posted: Vec<Posted>) {
        for (purpose, client) in posted {
            match (purpose, client) {
                (_, Some(client)) => self.retried(purpose, client),
                (Purpose::Bye(_), None) => self.byes = self.byes.saturating_sub(1),
                (Purpose::Reinvite(_) | Purpose::Update(_), None) => self.change_lost(ex),
                (Purpose::Inside(_, request), None) => self.question_lost(ex, request),
                (_, None) => {}
            }
        }
    }

    /// A request of the peer in one of our dialogs, ACK excepted.
    pub(crate) fn handle_request(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        id: ServerId,
        source: Hop,
        request: Request,
    ) {
        let tag = remote_tag(&request.headers);
        if request.method == Method::Bye {
            return self.handle_bye(ex, now, id, &tag, request);
        }
        let Ok(cseq) = request.headers.cseq() else { return };
        let over = self.is_over();
        let ordered = match self.leg_mut(&tag) {
            Some(leg) if !over => leg.dialog.take_cseq(cseq.number),
            _ => {
                ex.respond(now, id, request.response(Status::CALL_DOES_NOT_EXIST));
                return;
            }
        };
        if ordered.is_err() {
            // RFC 3261 section 12.2.2.
            ex.respond(now, id, request.response(Status::SERVER_INTERNAL_ERROR));
            return;
        }
        match request.method {
            Method::Invite | Method::Update => self.handle_change(ex, now, id, source, &tag, request),
            Method::Prack => self.handle_prack(ex, now, id, source, &tag, request),
            Method::Options => {
                let response = ex.capabilities(&request, self.account, source);
                ex.respond(now, id, response);
            }
            Method::Message => {
                let response = ex.take_message(self.account, &request);
                ex.respond(now, id, response);
            }
            // The agent lets no method through that is not served.
            _ => self.handle_question(ex, now, id, source, request),
        }
    }

    /// CANCEL came for the INVITE `id`.
    pub(crate) fn handle_cancel(&mut self, ex: &mut Exchange, now: Instant, id: ServerId, cancel: &Request) {
        match &self.phase {
            Phase::Ringing(ringing) if ringing.server == id => self.cancelled(ex, now, cancel),
            Phase::Up(_) => self.reoffer_cancelled(ex, now, id),
            _ => {}
        }
    }

    /// Ends the session for the user; nothing is sent by this.
    fn end(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        by: EndedBy,
        status: Option<Status>,
        reason: &str,
        headers: Headers,
    ) {
        if !self.is_over() {
            self.drop_reoffer(ex, now, Status::REQUEST_TERMINATED);
            self.phase = Phase::Over;
            self.clash = None;
            self.refresh = None;
            self.legs.iter_mut().for_each(|leg| leg.owed = None);
            ex.tell(Event::Ended { session: self.id, by, status, reason: reason.to_owned(), headers });
        }
    }

    fn leg_mut(&mut self, tag: &str) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.dialog.remote_tag() == tag)
    }

    /// Our Contact on `hop`.
    fn contact(&self, ex: &Exchange, hop: Hop) -> String {
        ex.contact(self.account, self.user.as_deref(), hop).to_string()
    }

    fn preferred(&self, ex: &Exchange) -> Option<Transport> {
        ex.accounts.get(self.account?)?.account.transport
    }

    fn refuse<T>(&self, command: &'static str) -> Result<T, Refused> {
        let state = match &self.phase {
            Phase::Finding(_) => "looking for the way",
            Phase::Drafted(_) => "waiting for its offer",
            Phase::Calling(_) => "calling",
            Phase::Ringing(_) => "ringing",
            Phase::Up(_) => "established",
            Phase::Over => return Err(Refused::NoSession(self.id)),
        };
        Err(Refused::WrongState { session: self.id, command, state })
    }
}

/// The From tag of a request: the remote tag of its dialog.
fn remote_tag(headers: &Headers) -> String {
    headers.from().ok().and_then(|from| from.tag().map(Into::into)).unwrap_or_default()
}

/// Adds header fields of the user's, but none that the session makes itself.
fn add(headers: &mut Headers, extra: Vec<Header>) {
    const OURS: [Name; 12] = [
        Name::Via,
        Name::From,
        Name::To,
        Name::CallId,
        Name::CSeq,
        Name::Contact,
        Name::Route,
        Name::RecordRoute,
        Name::MaxForwards,
        Name::ContentLength,
        Name::ContentType,
        Name::Allow,
    ];
    headers.extend(extra.into_iter().filter(|header| !OURS.contains(&header.name)));
}

/// The first Reason of a BYE or CANCEL as a sentence: its text, else its cause (RFC 3326).
fn reason_of(headers: &Headers, otherwise: &str) -> String {
    let Some(value) = headers.get(&Name::Reason) else { return otherwise.to_owned() };
    let (protocol, rest) = value.split_at(value.find(';').unwrap_or(value.len()));
    let params = Params::parse(rest).unwrap_or_default();
    match (params.text("text"), params.get("cause")) {
        (Some(text), _) if !text.is_empty() => text.into_owned(),
        (_, Some(cause)) => format!("{} {cause}", protocol.trim()),
        _ => protocol.trim().to_owned(),
    }
}
