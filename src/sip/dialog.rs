//! Dialogs: what two user agents share between the requests of a session (RFC 3261 section 12).
//!
//! ```text
//!  caller: INVITE + response with To tag ─▶ Dialog::of_caller ─▶ confirm (2xx: routes and target anew)
//!  callee: INVITE + our To tag ───────────▶ Dialog::of_callee
//!                                             │ request, ack ─▶ Request-URI, Route, tags, CSeq
//!                                             │ take_cseq    ◀─ requests of the peer, in order
//!                                             └ refresh      ◀─ Contact of a re-INVITE and its 2xx
//! ```

use super::header::{CSeq, HeaderError, Headers, Name};
use super::message::{Method, Request, Response};
use super::name_addr::NameAddr;
use super::uri::Uri;

/// Hops that a request may take (RFC 3261 section 8.1.1.6).
pub(crate) const MAX_FORWARDS: &str = "70";

/// The state of a dialog, of either side.
#[derive(Clone, Debug)]
pub struct Dialog {
    call_id: String,
    /// From of our requests, with our tag.
    local: NameAddr,
    /// To of our requests, with the peer's tag.
    remote: NameAddr,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    target: Uri,
    routes: Vec<NameAddr>,
}

/// A request of the peer that is older than one that came before it (RFC 3261 section 12.2.2: answer 500).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CSeq {came} is lower than {last} of a request before it")]
pub struct OutOfOrder {
    /// The number that came.
    pub came: u32,
    /// The highest before.
    pub last: u32,
}

impl Dialog {
    /// The dialog that a response to our `invite` makes, early or confirmed (RFC 3261 section 12.1.2).
    ///
    /// A response without a usable Contact leaves the Request-URI as the target, and one without To tag makes a dialog
    /// with an empty tag: both come from old peers.
    pub fn of_caller(invite: &Request, response: &Response) -> Result<Self, HeaderError> {
        let mut dialog = Self {
            call_id: call_id(&invite.headers)?,
            local: invite.headers.from()?,
            remote: response.headers.to()?,
            local_cseq: invite.headers.cseq()?.number,
            remote_cseq: None,
            target: invite.uri.clone(),
            routes: Vec::new(),
        };
        dialog.confirm(response);
        Ok(dialog)
    }

    /// The dialog that our response with `tag` to the peer's `invite` makes (RFC 3261 section 12.1.1).
    pub fn of_callee(invite: &Request, tag: &str) -> Result<Self, HeaderError> {
        let contact = contact(&invite.headers).ok_or(HeaderError::Missing(Name::Contact))?;
        Ok(Self {
            call_id: call_id(&invite.headers)?,
            local: invite.headers.to()?.with_tag(tag),
            remote: invite.headers.from()?,
            local_cseq: 0,
            remote_cseq: Some(invite.headers.cseq()?.number),
            target: contact,
            routes: invite.headers.record_routes()?,
        })
    }

    /// Takes routes and target from the 2xx (RFC 3261 section 13.2.2.4: they are computed anew, whatever the provisional
    /// responses said).
    pub fn confirm(&mut self, response: &Response) {
        let routes = response.headers.all(&Name::RecordRoute).rev();
        // A route that cannot be read cannot be taken either; without it the peer may still be reached.
        self.routes = routes.filter_map(|route| route.parse().ok()).collect();
        self.refresh(&response.headers);
    }

    /// Takes the target from a Contact, if there is one: a re-INVITE that was accepted, or its 2xx (RFC 3261 section
    /// 12.2). Says whether it changed.
    pub fn refresh(&mut self, headers: &Headers) -> bool {
        match contact(headers) {
            Some(target) if target != self.target => {
                self.target = target;
                true
            }
            _ => false,
        }
    }

    /// Notes the CSeq of a request of the peer, unless it is out of order.
    pub fn take_cseq(&mut self, came: u32) -> Result<(), OutOfOrder> {
        match self.remote_cseq {
            Some(last) if came < last => Err(OutOfOrder { came, last }),
            _ => {
                self.remote_cseq = Some(came);
                Ok(())
            }
        }
    }

    /// The CSeq number of our next request.
    pub fn next_cseq(&mut self) -> u32 {
        self.local_cseq = self.local_cseq.wrapping_add(1) & 0x7FFF_FFFF;
        self.local_cseq
    }

    /// The CSeq number of our last request.
    pub fn last_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// Our next request, without Contact and body (RFC 3261 section 12.2.1.1).
    pub fn request(&mut self, method: Method) -> Request {
        let number = self.next_cseq();
        self.build(method, number)
    }

    /// The ACK to the 2xx of our INVITE with that CSeq number (RFC 3261 section 13.2.2.4).
    pub fn ack(&self, number: u32) -> Request {
        self.build(Method::Ack, number)
    }

    /// Where requests go first: the topmost route, or the target when there is none.
    pub fn next_hop(&self) -> &Uri {
        self.routes.first().map_or(&self.target, |route| &route.uri)
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// The peer's tag; empty if it never sent one.
    pub fn remote_tag(&self) -> &str {
        self.remote.tag().unwrap_or_default()
    }

    /// Our tag.
    pub fn local_tag(&self) -> &str {
        self.local.tag().unwrap_or_default()
    }

    /// The peer's address of record.
    pub fn remote_uri(&self) -> &Uri {
        &self.remote.uri
    }

    /// Do requests take a route of proxies?
    pub fn is_routed(&self) -> bool {
        !self.routes.is_empty()
    }

    /// The peer's Contact: where requests end.
    pub fn target(&self) -> &Uri {
        &self.target
    }

    fn build(&self, method: Method, number: u32) -> Request {
        let mut routes: Vec<&NameAddr> = self.routes.iter().collect();
        let mut last = None;
        let uri = match routes.first() {
            // A strict router takes the Request-URI as the next hop and finds the target at the end of the routes.
            Some(first) if !first.uri.sip().is_some_and(|uri| uri.loose_route()) => {
                last = Some(NameAddr::new(self.target.clone()));
                request_uri(&routes.remove(0).uri)
            }
            _ => request_uri(&self.target),
        };
        let mut request = Request::new(method.clone(), uri);
        let headers = &mut request.headers;
        for route in routes.into_iter().chain(&last) {
            headers.push(Name::Route, route.to_string());
        }
        headers.push(Name::MaxForwards, MAX_FORWARDS);
        headers.push(Name::From, self.local.to_string());
        headers.push(Name::To, self.remote.to_string());
        headers.push(Name::CallId, self.call_id.as_str());
        headers.push(Name::CSeq, CSeq { number, method }.to_string());
        request
    }
}

/// A URI without what may not stand in a Request-URI: header fields and `method` (RFC 3261 table 1).
pub(crate) fn request_uri(uri: &Uri) -> Uri {
    let mut uri = uri.clone();
    if let Some(uri) = uri.sip_mut() {
        uri.headers = None;
        uri.params.remove("method");
    }
    uri
}

fn call_id(headers: &Headers) -> Result<String, HeaderError> {
    headers.call_id().map(Into::into).ok_or(HeaderError::Missing(Name::CallId))
}

/// The first Contact that is an address.
fn contact(headers: &Headers) -> Option<Uri> {
    headers.all(&Name::Contact).find_map(|value| value.parse::<NameAddr>().ok()).map(|contact| contact.uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Status;

    fn invite() -> Request {
        let mut invite = Request::new(Method::Invite, "sip:bob@biloxi.com".parse::<Uri>().unwrap());
        for (name, value) in [
            (Name::From, "Alice <sip:alice@atlanta.com>;tag=9fxced76sl"),
            (Name::To, "Bob <sip:bob@biloxi.com>"),
            (Name::CallId, "3848276298220188511@atlanta.com"),
            (Name::CSeq, "7 INVITE"),
            (Name::Contact, "<sip:alice@192.0.2.10:5062>"),
        ] {
            invite.headers.push(name, value);
        }
        invite
    }

    fn caller(routes: &[&str]) -> Dialog {
        let mut response = invite().response(Status::OK).with_to_tag("314159");
        for route in routes {
            response.headers.push(Name::RecordRoute, *route);
        }
        response.headers.push(Name::Contact, "<sip:bob@192.0.2.4;x=1?Subject=no>");
        Dialog::of_caller(&invite(), &response).unwrap()
    }

    fn routes(request: &Request) -> Vec<&str> {
        request.headers.all(&Name::Route).collect()
    }

    #[test]
    fn without_routes_the_target_is_everything() {
        let mut dialog = caller(&[]);
        let bye = dialog.request(Method::Bye);
        assert_eq!(bye.uri.to_string(), "sip:bob@192.0.2.4;x=1");
        assert_eq!(bye.headers.get(&Name::CSeq), Some("8 BYE"));
        assert_eq!(bye.headers.get(&Name::From), Some("\"Alice\" <sip:alice@atlanta.com>;tag=9fxced76sl"));
        assert_eq!(bye.headers.to().unwrap().tag(), Some("314159"));
        assert_eq!(routes(&bye), [""; 0]);
        assert_eq!(dialog.ack(7).headers.get(&Name::CSeq), Some("7 ACK"));
        assert_eq!(dialog.next_hop().host().unwrap().to_string(), "192.0.2.4");
    }

    #[test]
    fn loose_routes_are_taken_in_reverse_by_the_caller() {
        let mut dialog = caller(&["<sip:p2.biloxi.com;lr>", "<sip:p1.atlanta.com;lr>"]);
        let bye = dialog.request(Method::Bye);
        assert_eq!(routes(&bye), ["<sip:p1.atlanta.com;lr>", "<sip:p2.biloxi.com;lr>"]);
        assert_eq!(bye.uri.to_string(), "sip:bob@192.0.2.4;x=1");
        assert_eq!(dialog.next_hop().to_string(), "sip:p1.atlanta.com;lr");
    }

    #[test]
    fn a_strict_router_gets_the_request_uri_and_the_target_goes_last() {
        let mut dialog = caller(&["<sip:p2.biloxi.com;lr>", "<sip:p1.atlanta.com;a=b>"]);
        let bye = dialog.request(Method::Bye);
        assert_eq!(bye.uri.to_string(), "sip:p1.atlanta.com;a=b");
        assert_eq!(routes(&bye), ["<sip:p2.biloxi.com;lr>", "<sip:bob@192.0.2.4;x=1?Subject=no>"]);
        assert_eq!(dialog.next_hop().to_string(), "sip:p1.atlanta.com;a=b");
    }

    #[test]
    fn the_callee_keeps_the_order_of_routes_and_counts_from_one() {
        let mut request = invite();
        request.headers.push(Name::RecordRoute, "<sip:p2.biloxi.com;lr>");
        request.headers.push(Name::RecordRoute, "<sip:p1.atlanta.com;lr>");
        let mut dialog = Dialog::of_callee(&request, "a6c85cf").unwrap();
        let bye = dialog.request(Method::Bye);
        assert_eq!(routes(&bye), ["<sip:p2.biloxi.com;lr>", "<sip:p1.atlanta.com;lr>"]);
        assert_eq!(bye.uri.to_string(), "sip:alice@192.0.2.10:5062");
        assert_eq!(bye.headers.get(&Name::CSeq), Some("1 BYE"));
        assert_eq!(bye.headers.from().unwrap().tag(), Some("a6c85cf"));
        assert_eq!(dialog.remote_tag(), "9fxced76sl");
        request.headers.remove(&Name::Contact);
        assert_eq!(Dialog::of_callee(&request, "t").unwrap_err(), HeaderError::Missing(Name::Contact));
    }

    #[test]
    fn lower_numbers_are_out_of_order_and_gaps_are_not() {
        let mut dialog = Dialog::of_callee(&invite(), "t").unwrap();
        assert_eq!(dialog.take_cseq(9), Ok(()));
        assert_eq!(dialog.take_cseq(8), Err(OutOfOrder { came: 8, last: 9 }));
        assert_eq!(dialog.take_cseq(10), Ok(()));
    }

    #[test]
    fn a_new_contact_moves_the_target_and_not_the_routes() {
        let mut dialog = caller(&["<sip:p1.atlanta.com;lr>"]);
        let mut headers = Headers::new();
        assert!(!dialog.refresh(&headers));
        headers.push(Name::Contact, "sip:bob@198.51.100.9");
        assert!(dialog.refresh(&headers));
        assert!(!dialog.refresh(&headers));
        let bye = dialog.request(Method::Bye);
        assert_eq!((bye.uri.to_string().as_str(), routes(&bye).len()), ("sip:bob@198.51.100.9", 1));
    }
}
