//! What is refused before any session sees it (RFC 3261 section 8.2), and OPTIONS (section 11); before that, what strangers
//! send ([`crate::sip::guard`]).

use super::Agent;
use super::account::AccountId;
use super::config::Unclaimed;
use super::exchange::{ALLOWED, Exchange, push_allow};
use super::policy::{Reliable, SessionTimerMode, SessionTimers};
use crate::sip::body::{self, SDP};
use crate::sip::guard::{Admission, Verdict};
use crate::sip::header::{Headers, Name};
use crate::sip::hop::Hop;
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::session::too_short;
use crate::sip::transaction::way_back;
use crate::sip::uri::Uri;
use crate::sip::wire::{Fault, Malformed};
use crate::time::Instant;

/// The option tags that are understood (RFC 3261 section 19.2).
const SUPPORTED: [&str; 4] = ["100rel", "timer", "replaces", "norefersub"];

impl Agent {
    /// May the request make state? What is not admitted is dropped and counted, or has got its answer.
    pub(super) fn admits(&mut self, now: Instant, source: Hop, request: &Request) -> bool {
        self.exchange.admission = Admission::Known;
        // An ACK makes no state and has no answer.
        if request.method == Method::Ack || self.exchange.knows(source) {
            return true;
        }
        if self.session_in(request).is_some() || self.exchange.is_under_way(request) {
            return true;
        }
        let Exchange { guard, random, .. } = &mut self.exchange;
        match guard.judge(now, source.remote.ip(), request, random) {
            Verdict::Admit(admission) => {
                self.exchange.admission = admission;
                true
            }
            Verdict::Drop => false,
            Verdict::Answer(response) => {
                self.exchange.answer_stateless(source, *response);
                false
            }
        }
    }
}

impl Exchange {
    /// Does the message come from a peer of an account, or from a network that is let in?
    fn knows(&self, source: Hop) -> bool {
        let ip = source.remote.ip();
        self.accounts.knows(ip) || self.guard.allows(ip)
    }

    /// What is no message is counted, and answered if it is nearly one and does not come from somebody who is ignored.
    pub(super) fn receive_malformed(&mut self, now: Instant, source: Hop, malformed: &Malformed) {
        if malformed.fault == Fault::Empty {
            return;
        }
        let counters = &mut self.guard.counters;
        match malformed.fault.is_size() {
            true => counters.oversized += 1,
            false => counters.malformed += 1,
        }
        let ip = source.remote.ip();
        if self.knows(source) || self.guard.answers(now, ip) {
            self.answer_malformed(source, malformed);
        }
    }

    /// Sends a response of which nothing is kept (RFC 3261 section 8.2.7).
    fn answer_stateless(&mut self, source: Hop, mut response: Response) {
        let Ok(mut via) = response.headers.top_via() else { return };
        via.note_source(source.remote);
        let (hop, _) = way_back(source, &via);
        response.headers.set_first(Name::Via, via.to_string());
        response.headers.set(Name::Server, self.config.user_agent.as_str());
        self.transmit(hop, response.to_bytes().into());
    }

    /// The refusal of a request that this agent does not serve whatever it is about: method, Request-URI, Require and
    /// body, in the order of RFC 3261 section 8.2.
    pub(super) fn screen(&self, request: &Request) -> Result<(), Response> {
        if !ALLOWED.contains(&request.method) {
            let status = match request.method {
                Method::Other(_) => Status::NOT_IMPLEMENTED,
                _ => Status::METHOD_NOT_ALLOWED,
            };
            let mut response = request.response(status);
            push_allow(&mut response.headers);
            return Err(response);
        }
        // A number is an address of a phone; anything else than sip and tel is not (RFC 3261 section 8.2.2.1).
        if !matches!(&request.uri, Uri::Sip(_)) && !request.uri.scheme().eq_ignore_ascii_case("tel") {
            return Err(request.response(Status::UNSUPPORTED_URI_SCHEME));
        }
        let mut unsupported = request.headers.all(&Name::Require).filter(|tag| !SUPPORTED.contains(tag)).peekable();
        if unsupported.peek().is_some() {
            let mut response = request.response(Status::BAD_EXTENSION);
            for tag in unsupported {
                response.headers.push(Name::Unsupported, tag);
            }
            return Err(response);
        }
        // What BYE and OPTIONS carry changes nothing about them.
        if matches!(request.method, Method::Invite | Method::Update | Method::Prack)
            && !body::is_understood(&request.headers, &request.body)
        {
            let mut response = request.response(Status::UNSUPPORTED_MEDIA_TYPE);
            response.headers.push(Name::Accept, SDP);
            response.headers.push(Name::AcceptEncoding, "identity");
            return Err(response);
        }
        Ok(())
    }

    /// The refusal of an INVITE whose extensions the account does not want, or whose session would have to be refreshed too
    /// often (RFC 4028 section 9).
    pub(crate) fn screen_invite(&self, request: &Request, account: Option<AccountId>) -> Result<(), Response> {
        let timers = self.session_timers(account);
        let unwanted =
            [("100rel", self.reliable(account) == Reliable::Off), ("timer", timers.mode == SessionTimerMode::Off)];
        if let Some((tag, _)) =
            unwanted.into_iter().find(|(tag, off)| *off && request.headers.has_tag(&Name::Require, tag))
        {
            let mut response = request.response(Status::BAD_EXTENSION);
            response.headers.push(Name::Unsupported, tag);
            return Err(response);
        }
        match too_short(&request.headers, &timers) {
            Some(least) => {
                let mut response = request.response(Status::SESSION_INTERVAL_TOO_SMALL);
                response.headers.push(Name::MinSe, least.to_string());
                Err(response)
            }
            None => Ok(()),
        }
    }

    /// Says which extensions calls of the account can use (RFC 3261 section 20.37).
    pub(crate) fn push_supported(&self, headers: &mut Headers, account: Option<AccountId>) {
        let off = |tag: &str| match tag {
            // Who requires it need not say that he supports it.
            "100rel" => self.reliable(account) == Reliable::Off || headers.has_tag(&Name::Require, tag),
            "timer" => self.session_timers(account).mode == SessionTimerMode::Off,
            _ => false,
        };
        let tags: Vec<&str> = SUPPORTED.into_iter().filter(|tag| !off(tag)).collect();
        headers.push(Name::Supported, tags.join(", "));
    }

    /// What the account does about reliable provisional responses.
    pub(crate) fn reliable(&self, account: Option<AccountId>) -> Reliable {
        account.and_then(|id| self.accounts.get(id)).map_or_else(Reliable::default, |line| line.account.reliable)
    }

    /// What the account does about session timers.
    pub(crate) fn session_timers(&self, account: Option<AccountId>) -> SessionTimers {
        account
            .and_then(|id| self.accounts.get(id))
            .map_or_else(SessionTimers::default, |line| line.account.session_timers)
    }

    /// The account that a request outside of a dialog is for; the refusal when it is for nobody.
    pub(super) fn claim(&self, request: &Request, source: Hop) -> Result<Option<AccountId>, Response> {
        let to = request.headers.to().map(|to| to.uri);
        let to = to.as_ref().unwrap_or(&request.uri);
        let account = self.accounts.claim(&request.uri, to, source.remote.ip());
        match (account, self.config.unclaimed) {
            (None, Unclaimed::NotFound) => Err(request.response(Status::NOT_FOUND)),
            _ => Ok(account),
        }
    }

    /// The answer to OPTIONS: what an INVITE could use (RFC 3261 section 11.2).
    pub(crate) fn capabilities(&self, request: &Request, account: Option<AccountId>, source: Hop) -> Response {
        let mut response = request.response(Status::OK);
        let user = request.uri.user();
        response.headers.push(Name::Contact, self.contact(account, user.as_deref(), source).to_string());
        push_allow(&mut response.headers);
        response.headers.push(Name::Accept, SDP);
        response.headers.push(Name::AcceptEncoding, "identity");
        self.push_supported(&mut response.headers, account);
        match &self.config.capabilities {
            Some(sdp) => response.with_body(SDP, sdp.clone()),
            None => response,
        }
    }
}
