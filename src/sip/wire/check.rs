//! What every message has to have (RFC 3261 section 8.1.1), checked once.

use super::{Fault, Malformed, Start};
use crate::sip::header::{CSeq, Header, HeaderError, Headers, Name, Value};
use crate::sip::message::{Message, Request, Response};
use crate::sip::name_addr::NameAddrParts;
use crate::sip::via::ViaParts;
use bytes::Bytes;

/// Refuses what cannot be matched to a transaction or dialog, or contradicts itself.
pub(super) fn check(start: &Start, headers: &Headers) -> Result<(), Fault> {
    let (mut vias, mut via) = (0, Ok(()));
    let [mut from, mut to, mut call_id, mut cseq, mut max_forwards] = [Once::default(); 5];
    for Header { name, value } in headers {
        match name {
            Name::Via => {
                vias += 1;
                let value = value.as_str();
                let read = || ViaParts::read(value).map_err(|error| HeaderError::malformed(name, value, error.why));
                via = via.and_then(|()| read().map(drop));
            }
            Name::From => from.note(value),
            Name::To => to.note(value),
            Name::CallId => call_id.note(value),
            Name::CSeq => cseq.note(value),
            Name::MaxForwards => max_forwards.note(value),
            _ => {}
        }
    }
    if vias == 0 {
        return Err(HeaderError::Missing(Name::Via).into());
    }
    via?;
    for (name, address) in [(Name::From, from), (Name::To, to)] {
        let value = address.value(&name)?;
        NameAddrParts::read(value).map_err(|error| HeaderError::malformed(&name, value, error.why))?;
    }
    if call_id.value(&Name::CallId)?.is_empty() {
        return Err(HeaderError::Missing(Name::CallId).into());
    }
    let value = cseq.value(&Name::CSeq)?;
    let cseq: CSeq = value.parse().map_err(|why| HeaderError::malformed(&Name::CSeq, value, why))?;
    if let Start::Request { method, uri } = start {
        if cseq.method != *method {
            return Err(Fault::MethodMismatch { line: method.clone(), cseq: cseq.method });
        }
        // Headers must not stand in a Request-URI (RFC 3261 section 19.1.1) and never become real ones.
        if uri.sip().is_some_and(|uri| uri.headers.is_some()) {
            return Err(Fault::UriHeaders);
        }
        // An element of RFC 2543 sends none; a number that is none counts as none. Two contradict each other.
        if max_forwards.repeated {
            return Err(HeaderError::Repeated(Name::MaxForwards).into());
        }
    }
    Ok(())
}

/// A field that may be there once.
#[derive(Clone, Copy, Default)]
struct Once<'a> {
    value: Option<&'a Value>,
    repeated: bool,
}

impl<'a> Once<'a> {
    fn note(&mut self, value: &'a Value) {
        self.repeated = self.value.is_some();
        self.value = self.value.or(Some(value));
    }

    fn value(&self, name: &Name) -> Result<&'a str, HeaderError> {
        match self.value {
            Some(value) if !self.repeated => Ok(value.as_str()),
            Some(_) => Err(HeaderError::Repeated(name.clone())),
            None => Err(HeaderError::Missing(name.clone())),
        }
    }
}

/// Puts the parts together.
pub(super) fn message(start: Start, headers: Headers, body: Bytes) -> Result<Message, Malformed> {
    match start {
        Start::Request { method, uri } => Ok(Request { method, uri, headers, body }.into()),
        Start::Response { status, reason } => Ok(Response { status, reason, headers, body }.into()),
        Start::BrokenRequest { .. } | Start::BrokenResponse => Err(Fault::NotSip(String::new()).into()),
    }
}
