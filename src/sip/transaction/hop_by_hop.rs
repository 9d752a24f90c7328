//! The two requests that follow an INVITE hop by hop, in its own transaction or beside it.

use crate::sip::header::{Headers, Name};
use crate::sip::message::{Method, Request, Response};

/// The ACK to a rejection (RFC 3261 17.1.1.3): branch, Route, From, Call-ID and number of the INVITE, and the To of the
/// response, whose tag the far end needs to find its transaction.
pub(super) fn ack(invite: &Request, response: &Response) -> Request {
    let mut ack = following(invite, Method::Ack);
    if let Some(to) = response.headers.find(&Name::To) {
        ack.headers.set(Name::To, to.clone());
    }
    ack
}

/// The CANCEL (RFC 3261 section 9.1): branch, Route, From, To, Call-ID and number of the INVITE.
pub(super) fn cancel(invite: &Request, extra: &Headers) -> Request {
    let mut cancel = following(invite, Method::Cancel);
    cancel.headers.extend(extra.iter().cloned());
    cancel
}

fn following(invite: &Request, method: Method) -> Request {
    let mut request = Request::new(method.clone(), invite.uri.clone());
    if let Some(via) = invite.headers.find(&Name::Via) {
        request.headers.push(Name::Via, via.clone());
    }
    for name in [Name::Route, Name::MaxForwards, Name::From, Name::To, Name::CallId] {
        request.headers.copy(&invite.headers, &name);
    }
    if let Ok(cseq) = invite.headers.cseq() {
        request.headers.push(Name::CSeq, format!("{} {method}", cseq.number));
    }
    request
}
