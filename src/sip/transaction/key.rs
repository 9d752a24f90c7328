//! What identifies a transaction, as texts that hash maps find without an allocation.
//!
//! The parts are joined by line feeds, which stand in no part.

use crate::sip::header::{Headers, Name};
use crate::sip::message::{Method, Request};
use crate::sip::name_addr::NameAddr;
use crate::sip::via::{MAGIC_COOKIE, Via};
use std::fmt::Write;

/// What is read of a received request once, for all the keys that are made of it.
pub(super) struct Identity<'a> {
    request: &'a Request,
    via: &'a Via,
    from_tag: String,
    to_tag: Option<String>,
    sequence: u32,
}

impl<'a> Identity<'a> {
    /// `via` is the request's top Via. Header fields that are missing or malformed count as empty: the user rejects
    /// such a request, and the transaction carries the rejection.
    pub(super) fn new(request: &'a Request, via: &'a Via) -> Self {
        let tag = |address: Option<NameAddr>| address.as_ref().and_then(NameAddr::tag).map(str::to_owned);
        let headers = &request.headers;
        Self {
            request,
            via,
            from_tag: tag(headers.from().ok()).unwrap_or_default(),
            to_tag: tag(headers.to().ok()),
            sequence: headers.cseq().map(|cseq| cseq.number).unwrap_or_default(),
        }
    }

    /// The key of the server transaction that the request would belong to if its method were `method` (RFC 3261
    /// 17.2.3): an ACK belongs to its INVITE, and a CANCEL names one.
    pub(super) fn transaction(&self, method: &Method, key: &mut String) {
        key.clear();
        match self.via.branch().filter(|branch| has_cookie(branch)) {
            Some(branch) => {
                let _ = write!(key, "{branch}\n{method}\n{:?}\n", self.via.port);
                let host = key.len();
                let _ = write!(key, "{}", self.via.host);
                if let Some(host) = key.get_mut(host..) {
                    host.make_ascii_lowercase();
                }
            }
            // RFC 2543: the To tag is left out, because an ACK carries the one of the response.
            None => {
                let (uri, call_id) = (&self.request.uri, self.call_id());
                let via = self.request.headers.get(&Name::Via).unwrap_or_default();
                let _ = write!(key, "\n{uri}\n{}\n{call_id}\n{}\n{method}\n{via}", self.from_tag, self.sequence);
            }
        }
    }

    /// The key under which one request that came by two ways meets itself (RFC 3261 8.2.2.2). Only requests outside of
    /// dialogs can.
    pub(super) fn merge(&self, key: &mut String) -> bool {
        key.clear();
        if self.to_tag.is_some() {
            return false;
        }
        let _ = write!(key, "{}\n{}\n{}\n{}", self.from_tag, self.call_id(), self.sequence, self.request.method);
        true
    }

    fn call_id(&self) -> &str {
        self.request.headers.call_id().unwrap_or_default()
    }
}

/// The key of the client transaction of a branch of ours (RFC 3261 17.1.3). CANCEL shares the branch of its INVITE.
pub(super) fn client(branch: &str, method: &Method, key: &mut String) {
    key.clear();
    let _ = write!(key, "{branch}\n{method}");
}

/// The key of the client transaction that a response answers.
pub(super) fn of_response(headers: &Headers, via: &Via, key: &mut String) -> bool {
    match (via.branch(), headers.cseq()) {
        (Some(branch), Ok(cseq)) => {
            client(branch, &cseq.method, key);
            true
        }
        _ => false,
    }
}

/// Does the branch promise that it is unique (RFC 3261 8.1.1.7)? Nothing behind the cookie promises nothing.
fn has_cookie(branch: &str) -> bool {
    let (cookie, rest) = branch.split_at_checked(MAGIC_COOKIE.len()).unwrap_or_default();
    cookie.eq_ignore_ascii_case(MAGIC_COOKIE) && !rest.is_empty()
}
