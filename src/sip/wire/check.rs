//! What every message has to have (RFC 3261 section 8.1.1), checked once.

use super::{Fault, Malformed, Start};
use crate::sip::header::{HeaderError, Headers, Name};
use crate::sip::message::{Message, Request, Response};
use bytes::Bytes;

/// Refuses what cannot be matched to a transaction or dialog, or contradicts itself.
pub(super) fn check(start: &Start, headers: &Headers) -> Result<(), Fault> {
    if !headers.contains(&Name::Via) {
        return Err(HeaderError::Missing(Name::Via).into());
    }
    headers.vias()?;
    headers.from()?;
    headers.to()?;
    if headers.single(&Name::CallId)?.is_empty() {
        return Err(HeaderError::Missing(Name::CallId).into());
    }
    let cseq = headers.cseq()?;
    if let Start::Request { method, uri } = start {
        if cseq.method != *method {
            return Err(Fault::MethodMismatch { line: method.clone(), cseq: cseq.method });
        }
        // Headers must not stand in a Request-URI (RFC 3261 section 19.1.1) and never become real ones.
        if uri.sip().is_some_and(|uri| uri.headers.is_some()) {
            return Err(Fault::UriHeaders);
        }
        // An element of RFC 2543 sends none; a number that is none counts as none. Two contradict each other.
        if let Err(error @ HeaderError::Repeated(_)) = headers.single(&Name::MaxForwards) {
            return Err(error.into());
        }
    }
    Ok(())
}

/// Puts the parts together.
pub(super) fn message(start: Start, headers: Headers, body: Bytes) -> Result<Message, Malformed> {
    match start {
        Start::Request { method, uri } => Ok(Request { method, uri, headers, body }.into()),
        Start::Response { status, reason } => Ok(Response { status, reason, headers, body }.into()),
        Start::BrokenRequest { .. } | Start::BrokenResponse => Err(Fault::NotSip(String::new()).into()),
    }
}
