//! The REGISTER (RFC 3261 section 10.2).

use super::{ATTEMPT, Outbound, Phase, Registration, Sent, Wanted};
use crate::sip::header::Name;
use crate::sip::hop::Hop;
use crate::sip::message::{Method, Request};
use crate::sip::name_addr::NameAddr;
use crate::sip::uri::Uri;
use crate::time::{Duration, Instant};
use std::sync::Arc;

impl Registration {
    /// The REGISTER to send on `hop` now, without Via, after [`super::Output::Send`].
    ///
    /// `None`: nothing is to be sent after all, because the registration was given up before anything was bound.
    pub fn request(&mut self, now: Instant, hop: Hop) -> Option<Request> {
        let Phase::Asked { .. } = self.phase else { return None };
        let (contact, expires) = match (self.wanted, &self.binding) {
            (Wanted::Registered, _) => (Arc::new(self.contact(hop)), self.expires),
            (Wanted::Unregistered, Some(binding)) => (binding.contact.clone(), Duration::ZERO),
            (Wanted::Unregistered, None) => {
                self.end();
                return None;
            }
        };
        // Numbers rise across refreshes, or the registrar takes a REGISTER for an old one (RFC 3261 10.3).
        self.sequence = (self.sequence + 1) & i32::MAX as u32;
        let mut request = match self.answered.take() {
            Some(answered) => *answered,
            None => {
                let mut request = self.frame();
                if let Some(auth) = &mut self.auth {
                    auth.authorize(&mut request);
                }
                request
            }
        };
        request.headers.set(Name::CSeq, format!("{} {}", self.sequence, Method::Register));
        request.headers.set(Name::Expires, expires.as_secs().to_string());
        request.headers.remove(&Name::Contact);
        let mut value = self.contact_value(&contact, expires);
        if self.outbound != Outbound::Off {
            value.params.set("reg-id", &self.settings.reg_id.to_string());
        }
        request.headers.push(Name::Contact, value.to_string());
        // An earlier contact of ours that leads elsewhere now would make the registrar fork to it. One that knows flows
        // replaces it by instance and reg-id, and takes no second contact (RFC 5626 section 6).
        let old = self.binding.as_ref().filter(|_| self.outbound != Outbound::Agreed);
        if let Some(old) = old.filter(|old| !old.contact.equivalent(&contact)) {
            request.headers.push(Name::Contact, self.contact_value(&old.contact, Duration::ZERO).to_string());
        }
        let sent = Sent { sequence: self.sequence, hop, request: request.clone(), contact, expires };
        self.phase = Phase::Sent { sent: Box::new(sent), until: now + ATTEMPT };
        Some(request)
    }

    /// What all REGISTERs of this registration have in common.
    fn frame(&self) -> Request {
        let settings = &self.settings;
        let mut request = Request::new(Method::Register, settings.registrar.clone());
        let headers = &mut request.headers;
        for route in &settings.route {
            headers.push(Name::Route, route.to_string());
        }
        headers.push(Name::MaxForwards, "70");
        headers.push(Name::From, format!("{};tag={}", settings.aor, self.from_tag));
        headers.push(Name::To, &*settings.aor);
        headers.push(Name::CallId, self.call_id.as_str());
        headers.push(Name::Supported, if self.outbound == Outbound::Off { "path" } else { "path, outbound" });
        headers.extend(settings.headers.iter().cloned());
        request
    }

    /// A Contact value.
    fn contact_value(&self, contact: &Uri, expires: Duration) -> NameAddr {
        let mut value = NameAddr::new(contact.clone());
        if let Some(instance) = &self.settings.instance {
            value.params.set("+sip.instance", &format!("\"<{instance}>\""));
        }
        value.params.set("expires", &expires.as_secs().to_string());
        value
    }
}
