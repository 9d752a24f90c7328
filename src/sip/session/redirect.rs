//! A 3xx to our INVITE: the call goes where it says, within limits (RFC 3261 section 8.1.3.4).
//!
//! ```text
//!  3xx ─▶ contacts by q, none twice, none in cleartext after TLS ─▶ Finding ─▶ INVITE, next CSeq ─┬─ accepted
//!            ▲                                                                                    ├─ 6xx ─▶ ended
//!            └──────────────────────────── next contact ◀─ refused ◀──────────────────────────────┘
//! ```

use std::collections::VecDeque;

use super::{Phase, Session};
use crate::sip::agent::{Errand, Event, Exchange, Purpose, Sent};
use crate::sip::dialog::request_uri;
use crate::sip::header::{CSeq, Headers, Name};
use crate::sip::hop::{Hop, Transport};
use crate::sip::message::{Class, Method, Request, Status};
use crate::sip::target::Target;
use crate::sip::uri::Uri;
use crate::time::Instant;

/// Places of one 3xx that are tried, the best first.
const PLACES: usize = 8;

/// Where 3xx have led a call.
#[derive(Debug)]
pub(super) struct Redirection {
    /// The INVITE as it was sent last, without Contact.
    invite: Request,
    /// Places that were tried, or are about to be.
    seen: Vec<Uri>,
    /// Places that are left, best first.
    places: VecDeque<Uri>,
    /// How many 3xx were followed.
    count: u8,
    /// The INVITE was sent encrypted, or to a `sips:` address: no place without may follow.
    secure: bool,
}

impl Session {
    /// Keeps the INVITE for a 3xx that may come.
    pub(super) fn redirectable(&mut self, ex: &Exchange, invite: &Request, hop: Option<Hop>) {
        if self.redirects(ex) == 0 {
            return;
        }
        let secure =
            invite.uri.sip().is_some_and(|uri| uri.secure) || hop.is_some_and(|hop| hop.transport == Transport::Tls);
        self.redirection = Some(Box::new(Redirection {
            invite: invite.clone(),
            seen: vec![invite.uri.clone()],
            places: VecDeque::new(),
            count: 0,
            secure,
        }));
    }

    /// How many 3xx may lead the call on.
    fn redirects(&self, ex: &Exchange) -> u8 {
        self.account.and_then(|id| ex.accounts.get(id)).map_or(0, |line| line.account.redirects)
    }

    /// A refusal of our INVITE: does the call go elsewhere?
    pub(super) fn goes_elsewhere(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        status: Status,
        headers: &Headers,
    ) -> bool {
        let limit = self.redirects(ex);
        let preferred = self.preferred(ex);
        let Some(redirection) = &mut self.redirection else { return false };
        match status.class() {
            Class::Redirection if redirection.count < limit => {
                redirection.count += 1;
                redirection.take(headers);
            }
            // Nobody anywhere wants the call (RFC 3261 section 8.1.3.4).
            Class::GlobalFailure => return false,
            _ => {}
        }
        while let Some(place) = redirection.places.pop_front() {
            // The outbound proxy of the account stays the way.
            let route = redirection.invite.headers.get(&Name::Route).and_then(|route| route.parse().ok());
            let next = route.map_or_else(|| place.clone(), |route: crate::sip::name_addr::NameAddr| route.uri);
            let Ok(target) = Target::of(&next, preferred) else { continue };
            redirection.invite.uri = request_uri(&place);
            ex.resolve(now, target, Errand::Invite(self.id));
            ex.tell(Event::Redirected { session: self.id, status, target: place });
            return true;
        }
        false
    }

    /// The way to the next place was found: the INVITE goes there.
    pub(super) fn go_elsewhere(&mut self, ex: &mut Exchange, now: Instant, hops: Vec<Hop>) -> bool {
        let Some(redirection) = &mut self.redirection else { return false };
        if redirection.secure && hops.iter().any(|hop| hop.transport != Transport::Tls) {
            return false;
        }
        let Phase::Calling(calling) = &mut self.phase else { return false };
        calling.cseq += 1;
        let mut invite = redirection.invite.clone();
        let cseq = CSeq { number: calling.cseq, method: Method::Invite };
        invite.headers.set(Name::CSeq, cseq.to_string());
        let purpose = Purpose::Invite(self.id);
        let sent = Sent::new(purpose, self.account, invite, hops).map(|sent| sent.with_contact(self.user.clone()));
        match sent.and_then(|sent| ex.send(now, sent).ok()) {
            Some(client) => {
                self.retried(purpose, client);
                true
            }
            None => false,
        }
    }
}

impl Redirection {
    /// Takes the places of a 3xx: by q, none that was tried, none less safe than the one before.
    fn take(&mut self, headers: &Headers) {
        let mut contacts = headers.contacts().unwrap_or_default();
        let q = |contact: &crate::sip::name_addr::NameAddr| -> f64 {
            contact.params.get("q").and_then(|q| q.parse().ok()).filter(|q: &f64| q.is_finite()).unwrap_or(1.0)
        };
        contacts.sort_by(|one, two| q(two).total_cmp(&q(one)));
        for contact in contacts.into_iter().take(PLACES).rev() {
            let uri = contact.uri;
            let Some(sip) = uri.sip() else { continue };
            let tls = sip.secure || sip.params.get("transport").is_some_and(|word| word.eq_ignore_ascii_case("tls"));
            let known = self.seen.iter().any(|seen| request_uri(seen) == request_uri(&uri));
            if known || self.secure && !tls {
                continue;
            }
            self.seen.push(uri.clone());
            self.places.push_front(uri);
        }
        self.places.truncate(PLACES);
    }
}
