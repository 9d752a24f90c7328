//! The one route of what comes from the network: octets, transactions, sessions.

use super::account::AccountId;
use super::output::SessionId;
use super::sent::{Purpose, Sent};
use super::{Agent, Exchange};
use crate::sip::header::Name;
use crate::sip::hop::{Hop, Transport};
use crate::sip::message::{Message, Method, Request, Response, Status};
use crate::sip::session::Session;
use crate::sip::transaction::{ClientId, Output as News, ServerId};
use crate::sip::wire::{self, Malformed, StreamItem};
use crate::time::Instant;

/// The answer to a keep-alive on a stream (RFC 5626 section 3.5.1).
const ALIVE: &[u8] = b"\r\n";

/// What callers are asked to wait, in seconds, when there are too many sessions.
const FULL_RETRY_AFTER: &str = "5";

impl Agent {
    /// A datagram came from `source.remote`.
    pub fn handle_datagram(&mut self, now: Instant, source: Hop, datagram: &[u8]) {
        let read = wire::parse_datagram(datagram).map(StreamItem::Message);
        self.handle_stream_item(now, source, read);
    }

    /// The next piece of a stream came, cut by [`wire::Stream`].
    pub fn handle_stream_item(&mut self, now: Instant, source: Hop, item: Result<StreamItem, Malformed>) {
        match item {
            Ok(StreamItem::Message(message)) => {
                if let Message::Request(request) = &message
                    && !self.admits(now, source, request)
                {
                    return;
                }
                self.exchange.receive(now, source, message);
            }
            Ok(StreamItem::KeepAlivePing) => self.exchange.transmit(source, ALIVE.into()),
            Ok(StreamItem::KeepAlivePong) => self.exchange.keepalives.handle_pong(now, source),
            Err(malformed) => self.exchange.receive_malformed(now, source, &malformed),
        }
        self.settle_news(now);
    }

    /// Deals with everything that the transactions told.
    pub(super) fn settle_news(&mut self, now: Instant) {
        while let Some(news) = self.exchange.poll_news() {
            match news {
                News::Request { id, source, request, merged } => self.receive_request(now, id, source, request, merged),
                News::Ack { request, .. } => {
                    if let Some(session) = self.session_in(&request) {
                        self.with_session(session, |session, ex| session.handle_ack(ex, now, &request));
                    }
                }
                News::Cancelled { invite, request } => {
                    if let Some(session) = self.exchange.session_of(invite) {
                        self.with_session(session, |session, ex| session.handle_cancel(ex, now, invite, &request));
                    }
                }
                News::Response { id, source, response } => self.receive_response(now, id, Some(source), response),
                News::ClientTimeout { id, response } | News::TransportFailed { id, response } => {
                    self.receive_response(now, id, None, response);
                }
                // A late 2xx whose session is long over; a rejection that nobody acknowledged; nothing is left to do.
                News::StrayResponse { .. } | News::ServerTimeout { .. } | News::Transmit { .. } => {}
            }
        }
    }

    fn receive_request(&mut self, now: Instant, id: ServerId, source: Hop, request: Request, merged: bool) {
        if let Err(refusal) = self.exchange.screen(&request) {
            self.exchange.respond(now, id, refusal);
            return;
        }
        let inside = request.headers.to().is_ok_and(|to| to.tag().is_some());
        if let Some(session) = self.session_in(&request) {
            self.with_session(session, |session, ex| session.handle_request(ex, now, id, source, request));
            return;
        }
        if inside && request.method == Method::Notify {
            let response = self.receive_notify(now, None, source, &request);
            self.exchange.respond(now, id, response);
            return;
        }
        if inside && !may_begin_anew(&request) {
            self.exchange.respond(now, id, request.response(Status::CALL_DOES_NOT_EXIST));
            return;
        }
        let account = match self.exchange.claim(&request, source) {
            Ok(account) => account,
            Err(refusal) => {
                self.exchange.respond(now, id, refusal);
                return;
            }
        };
        if merged && self.is_served(&request, account) {
            self.exchange.respond(now, id, request.response(Status::LOOP_DETECTED));
            return;
        }
        if request.method == Method::Invite
            && let Err(status) = self.replaced(&request.headers)
        {
            self.exchange.respond(now, id, request.response(status));
            return;
        }
        match request.method {
            Method::Options => {
                let response = self.exchange.capabilities(&request, account, source);
                self.exchange.respond(now, id, response);
            }
            Method::Message => {
                let response = self.exchange.take_message(account, &request);
                self.exchange.respond(now, id, response);
            }
            Method::Notify => {
                let response = self.receive_notify(now, account, source, &request);
                self.exchange.respond(now, id, response);
            }
            Method::Invite if self.sessions.len() >= self.exchange.config.limits.sessions => {
                self.exchange.guard.counters.sessions_full += 1;
                let mut response = request.response(Status::SERVICE_UNAVAILABLE);
                response.headers.push(Name::RetryAfter, FULL_RETRY_AFTER);
                self.exchange.respond(now, id, response);
            }
            Method::Invite => {
                if let Err(refusal) = self.exchange.screen_invite(&request, account) {
                    self.exchange.respond(now, id, refusal);
                    return;
                }
                let session = self.next_session();
                let head = request.response(Status::BAD_REQUEST);
                match Session::ringing(&mut self.exchange, now, session, account, id, source, request) {
                    Ok(made) => self.insert(session, made),
                    Err(error) => {
                        self.exchange.respond(now, id, head.with_reason(&error.to_string()));
                    }
                }
            }
            // A BYE without To tag is in no dialog.
            _ => {
                self.exchange.respond(now, id, request.response(Status::CALL_DOES_NOT_EXIST));
            }
        }
    }

    /// A response to a request of ours, or the 408 or 503 that stands for none (without a source).
    fn receive_response(&mut self, now: Instant, id: ClientId, source: Option<Hop>, response: Response) {
        let Some(purpose) = self.exchange.purpose(id) else { return };
        if source.is_some() {
            self.exchange.heard(id, &response);
        }
        let session = match purpose {
            Purpose::Register(account) => return self.registrar_answered(now, account, id, source, response),
            Purpose::Outside(request) => return self.outside_answered(now, id, request, source, response),
            Purpose::Abandoned => return self.abandoned_answered(now, id, source, &response),
            Purpose::Invite(session)
            | Purpose::Bye(session)
            | Purpose::Reinvite(session)
            | Purpose::Update(session)
            | Purpose::Prack(session)
            | Purpose::Inside(session, _) => session,
        };
        // More 2xx may follow the first; the session forgets the INVITE when they cannot any more.
        let last = match purpose {
            Purpose::Invite(_) | Purpose::Reinvite(_) => response.status.is_final() && !response.status.is_success(),
            _ => response.status.is_final(),
        };
        if !last {
            self.with_session(session, |session, ex| session.handle_response(ex, now, id, purpose, source, response));
            return;
        }
        self.request_failed(now, id, purpose, session, source, response);
    }

    /// A final response to a request of a session; 2xx to INVITE are none. Sends the request again where that can help.
    pub(super) fn request_failed(
        &mut self,
        now: Instant,
        id: ClientId,
        purpose: Purpose,
        session: SessionId,
        source: Option<Hop>,
        response: Response,
    ) {
        let Some(sent) = self.exchange.forget(id) else { return };
        let wanted = self.sessions.get(&session).is_some_and(|session| session.wants_retry(purpose));
        let response = if wanted {
            match self.retry(now, session, sent, source.is_some(), response) {
                Ok(()) => return,
                Err(response) => response,
            }
        } else {
            response
        };
        self.with_session(session, |session, ex| session.handle_response(ex, now, id, purpose, source, response));
    }

    /// Sends a failed request again where that can help. `Err` gives the response back: it is final.
    pub(super) fn retry(
        &mut self,
        now: Instant,
        session: SessionId,
        sent: Sent,
        answered: bool,
        response: Response,
    ) -> Result<(), Response> {
        let purpose = sent.purpose;
        let challenged = matches!(response.status, Status::UNAUTHORIZED | Status::PROXY_AUTHENTICATION_REQUIRED);
        let again = if answered && challenged {
            let cseq = self.with_session(session, |session, _| session.retry_cseq(purpose, &sent.request)).flatten();
            let Some(cseq) = cseq else { return Err(response) };
            self.exchange.answer_challenge(now, sent, cseq, response)?
        } else if answered && response.status == Status::SESSION_INTERVAL_TOO_SMALL {
            let mut sent = sent;
            let raised = self
                .with_session(session, |session, _| session.raise_interval(purpose, &mut sent.request, &response))
                .flatten();
            raised.and_then(|()| self.exchange.send_changed(now, sent)).ok_or(response)?
        } else if !answered || response.status == Status::SERVICE_UNAVAILABLE {
            self.exchange.punish(now, sent.hop, &response);
            self.exchange.fail_over(now, sent).ok_or(response)?
        } else {
            return Err(response);
        };
        self.with_session(session, |session, _| session.retried(purpose, again));
        Ok(())
    }

    /// Did the same request reach us before on another way (RFC 3261 section 8.2.2.2)? Two accounts are two user agents:
    /// a proxy that forks to both of them reaches each once.
    fn is_served(&self, request: &Request, account: Option<AccountId>) -> bool {
        let call_id = request.headers.call_id().unwrap_or_default();
        let mut known = self.sessions.values().filter(|session| session.key().0 == call_id).peekable();
        known.peek().is_none() || known.any(|session| session.account() == account)
    }

    /// The session of a request in a dialog.
    pub(super) fn session_in(&self, request: &Request) -> Option<SessionId> {
        let call_id = request.headers.call_id()?.to_owned();
        let tag = request.headers.to().ok()?.tag()?.to_owned();
        self.dialogs.get(&(call_id, tag)).copied()
    }
}

/// May a request with the To tag of a dialog that is not here begin one (RFC 3261 section 12.2.2 leaves that to us)? In a
/// dialog of ours it would be for our Contact, which is an address; an INVITE for a name never was in one, and gets the
/// chance that its tag is a left-over of its sender.
fn may_begin_anew(request: &Request) -> bool {
    let to_name = request.uri.host().is_some_and(|host| host.ip().is_none());
    request.method == Method::Invite && to_name
}

impl Exchange {
    /// Answers what is no SIP message but nearly one (RFC 3261 section 8.2.7); no state is made for it.
    pub(super) fn answer_malformed(&mut self, source: Hop, malformed: &Malformed) {
        let tag = self.random.token(12);
        let Some(mut response) = malformed.reply(source.remote, &tag) else { return };
        let hop = match response.headers.top_via() {
            Ok(via) if source.transport == Transport::Udp && !via.wants_rport() => {
                let port = via.port.unwrap_or(source.transport.default_port());
                Hop { remote: (source.remote.ip(), port).into(), ..source }
            }
            _ => source,
        };
        response.headers.set(Name::Server, self.config.user_agent.as_str());
        self.transmit(hop, response.to_bytes().into());
    }
}
