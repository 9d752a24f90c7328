//! What is asked within a session and is no INVITE or BYE: INFO, REFER, NOTIFY, MESSAGE (RFC 3261 section 12.2).
//!
//! ```text
//!  user ── request() ─▶ dialog ─▶ peer ── final response ─▶ Event::Reply
//!  peer ── request ─▶ Event::Asked ─▶ user ── reply() ─▶ response; 500 when nobody replies
//! ```

use bytes::Bytes;

use super::{Phase, Session, add};
use crate::sip::agent::{EndedBy, Event, Exchange, InsideRequest, Purpose, Refused, RequestId, push_allow};
use crate::sip::header::{Header, Headers};
use crate::sip::hop::Hop;
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::transaction::ServerId;
use crate::time::Instant;

/// Requests of a peer that may wait for the user at once; more are told to come back.
const QUESTIONS: usize = 8;

/// A request of the peer that waits for the user.
#[derive(Debug)]
pub(super) struct Question {
    id: RequestId,
    server: ServerId,
    request: Request,
    source: Hop,
    pub(super) until: Instant,
}

impl Session {
    /// Sends a request of the user's in the dialog; before the answer in the first early one.
    pub(crate) fn request(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        inside: InsideRequest,
    ) -> Result<RequestId, Refused> {
        let InsideRequest { method, headers, body } = inside;
        const OURS: [Method; 8] = [
            Method::Invite,
            Method::Ack,
            Method::Cancel,
            Method::Bye,
            Method::Prack,
            Method::Update,
            Method::Register,
            Method::Publish,
        ];
        if OURS.contains(&method) {
            return Err(Refused::Method(method));
        }
        if self.is_over() {
            return Err(Refused::NoSession(self.id));
        }
        let Some(leg) = self.legs.first_mut() else { return self.refuse("send a request in its dialog") };
        let tag = leg.dialog.remote_tag().to_owned();
        // RFC 3261 section 13.2.2.4 and RFC 3515 section 2.2: these make or refresh a target.
        let contact = matches!(method, Method::Refer | Method::Notify | Method::Subscribe);
        let mut request = leg.dialog.request(method);
        push_allow(&mut request.headers);
        add(&mut request.headers, headers);
        if let Some((content_type, body)) = body {
            request = request.with_body(&content_type, body);
        }
        let id = ex.next_request();
        self.post(ex, now, &tag, Purpose::Inside(self.id, id), request, contact);
        Ok(id)
    }

    /// The final response to a request of the user's, or what stands for none.
    pub(super) fn handle_reply(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        request: RequestId,
        source: Option<Hop>,
        response: Response,
    ) {
        if self.is_over() {
            return;
        }
        let method = response.headers.cseq().map(|cseq| cseq.method).ok();
        let gone = source.is_some() && response.status == Status::CALL_DOES_NOT_EXIST;
        let Response { status, reason, headers, body } = response;
        ex.tell(Event::Reply { session: self.id, request, status, reason, headers, body });
        // INFO lives and dies with the session; REFER, NOTIFY and MESSAGE have a life of their own (RFC 5057 section
        // 5.1).
        if gone && method == Some(Method::Info) && matches!(self.phase, Phase::Up(_)) {
            self.leave(ex, now, EndedBy::Remote, "the far end does not know the call any more", None);
        }
    }

    /// A request could not even be sent.
    pub(super) fn question_lost(&mut self, ex: &mut Exchange, request: RequestId) {
        if !self.is_over() {
            let status = Status::SERVICE_UNAVAILABLE;
            ex.tell(Event::Reply {
                session: self.id,
                request,
                status,
                reason: "too many requests are under way".into(),
                headers: Headers::new(),
                body: Bytes::new(),
            });
        }
    }

    /// The peer asks something that only the user can answer.
    pub(super) fn handle_question(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        server: ServerId,
        source: Hop,
        request: Request,
    ) {
        if self.questions.len() >= QUESTIONS {
            return self.retry_later(ex, now, server, &request);
        }
        let id = ex.next_request();
        let (method, headers, body) = (request.method.clone(), request.headers.clone(), request.body.clone());
        let until = now + ex.config.limits.command;
        self.questions.push(Question { id, server, request, source, until });
        ex.tell(Event::Asked { session: self.id, request: id, method, headers, body });
    }

    /// The user replies.
    pub(crate) fn reply(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        request: RequestId,
        status: Status,
        headers: Vec<Header>,
        body: Option<(&str, Bytes)>,
    ) -> Result<(), Refused> {
        if !status.is_final() {
            return Err(Refused::Status(status.code(), "200 to 699, such as 200"));
        }
        let Some(index) = self.questions.iter().position(|question| question.id == request) else {
            return self.refuse("reply: nothing was asked, or the reply comes too late");
        };
        let Question { server, request, source, .. } = self.questions.remove(index);
        let mut response = request.response(status);
        if matches!(request.method, Method::Refer | Method::Notify | Method::Subscribe) && status.is_success() {
            response.headers.push(crate::sip::header::Name::Contact, self.contact(ex, source));
        }
        push_allow(&mut response.headers);
        add(&mut response.headers, headers);
        if let Some((content_type, body)) = body {
            response = response.with_body(content_type, body);
        }
        ex.respond(now, server, response);
        Ok(())
    }

    pub(super) fn question_timeout(&mut self, ex: &mut Exchange, now: Instant) {
        while let Some(index) = self.questions.iter().position(|question| question.until <= now) {
            let Question { server, request, .. } = self.questions.remove(index);
            ex.respond(now, server, request.response(Status::SERVER_INTERNAL_ERROR));
        }
    }

    /// Refuses what still waits: the session is over.
    pub(super) fn drop_questions(&mut self, ex: &mut Exchange, now: Instant) {
        for Question { server, request, .. } in self.questions.drain(..) {
            ex.respond(now, server, request.response(Status::CALL_DOES_NOT_EXIST));
        }
    }
}
