//! What identifies a transaction, as texts that hash maps find without an allocation.
//!
//! The parts are joined by line feeds, which stand in no part. Header fields that are missing or malformed count as
//! empty: the user rejects such a request, and the transaction carries the rejection.

use crate::sip::header::Name;
use crate::sip::message::{Method, Request, Response};
use crate::sip::name_addr::NameAddr;
use crate::sip::via::{MAGIC_COOKIE, Via};
use std::fmt::Write;

/// The key of the server transaction that `request`, whose top Via is `via`, would belong to if its method were `method`
/// (RFC 3261 17.2.3): an ACK belongs to its INVITE, and a CANCEL names one.
pub(super) fn server(request: &Request, via: &Via, method: &Method, key: &mut String) {
    key.clear();
    match via.branch().filter(|branch| has_cookie(branch)) {
        Some(branch) => {
            let _ = write!(key, "{branch}\n{method}\n{:?}\n", via.port);
            let host = key.len();
            let _ = write!(key, "{}", via.host);
            if let Some(host) = key.get_mut(host..) {
                host.make_ascii_lowercase();
            }
        }
        // RFC 2543: the To tag is left out, because an ACK carries the one of the response.
        None => {
            let Origin { from_tag, call_id, sequence } = Origin::of(request);
            let via = request.headers.get(&Name::Via).unwrap_or_default();
            let _ = write!(key, "\n{}\n{from_tag}\n{call_id}\n{sequence}\n{method}\n{via}", request.uri);
        }
    }
}

/// The key under which one request that came by two ways meets itself (RFC 3261 8.2.2.2). Only requests outside of
/// dialogs can.
pub(super) fn merge(request: &Request, key: &mut String) -> bool {
    key.clear();
    if request.headers.to().ok().as_ref().and_then(NameAddr::tag).is_some() {
        return false;
    }
    let Origin { from_tag, call_id, sequence } = Origin::of(request);
    let _ = write!(key, "{from_tag}\n{call_id}\n{sequence}\n{}", request.method);
    true
}

/// The key of the client transaction of a branch of ours (RFC 3261 17.1.3). CANCEL shares the branch of its INVITE.
pub(super) fn client(branch: &str, method: &Method, key: &mut String) {
    key.clear();
    let _ = write!(key, "{branch}\n{method}");
}

/// The key of the client transaction that a response with the top Via `via` answers.
pub(super) fn of_response(response: &Response, via: &Via, key: &mut String) -> bool {
    match (via.branch(), response.headers.cseq()) {
        (Some(branch), Ok(cseq)) => {
            client(branch, &cseq.method, key);
            true
        }
        _ => false,
    }
}

/// What tells one request of a sender from another, whatever way it took.
struct Origin<'a> {
    from_tag: String,
    call_id: &'a str,
    sequence: u32,
}

impl<'a> Origin<'a> {
    fn of(request: &'a Request) -> Self {
        let from = request.headers.from().ok();
        Self {
            from_tag: from.as_ref().and_then(NameAddr::tag).unwrap_or_default().to_owned(),
            call_id: request.headers.call_id().unwrap_or_default(),
            sequence: request.headers.cseq().map(|cseq| cseq.number).unwrap_or_default(),
        }
    }
}

/// Does the branch promise that it is unique (RFC 3261 8.1.1.7)? Nothing behind the cookie promises nothing.
fn has_cookie(branch: &str) -> bool {
    let (cookie, rest) = branch.split_at_checked(MAGIC_COOKIE.len()).unwrap_or_default();
    cookie.eq_ignore_ascii_case(MAGIC_COOKIE) && !rest.is_empty()
}
