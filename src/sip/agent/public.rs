//! Our address in Contact and SDP, where the world sees another than the one we have.

use super::Agent;
use super::account::Line;
use super::output::{Event, SessionId};
use crate::sip::hop::Hop;
use crate::sip::keepalive::BindingId;
use crate::sip::public::PublicAddress;
use crate::sip::uri::Uri;
use crate::time::Instant;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

impl Agent {
    /// What the user says of our address.
    pub fn set_public(&mut self, public: PublicAddress) {
        self.exchange.public = Arc::new(public);
        self.spread_public();
    }

    /// A STUN server sees our UDP socket as `mapped`. If that is news, accounts that are registered say so to their
    /// registrars at once: the old address leads to nobody (RFC 5626 section 4.4.2).
    pub fn handle_mapped(&mut self, now: Instant, mapped: SocketAddr) {
        let mut news = false;
        self.readdress(|agent| {
            news = Arc::make_mut(&mut agent.exchange.public).map(mapped);
            if news {
                agent.spread_public();
            }
        });
        if !news {
            return;
        }
        for id in self.exchange.accounts.ids() {
            if self.exchange.accounts.get(id).is_some_and(Line::is_registered) {
                self.drive_registration(now, id, |registration| registration.register(now));
            }
        }
        self.settle_news(now);
    }

    /// The answer to a Binding request of a keep-alive: how the far side sees us, or nothing where it does not tell.
    pub fn handle_binding(&mut self, now: Instant, source: Hop, id: BindingId, mapped: Option<SocketAddr>) {
        self.exchange.keepalives.handle_binding(now, source, id, mapped);
        self.keep_alive(now);
        self.settle_news(now);
    }

    /// May `ip` ask how we see it: is it a server of an account of ours?
    pub fn serves_bindings(&self, ip: IpAddr) -> bool {
        self.exchange.accounts.knows(ip)
    }

    /// The address to show in the SDP of a session whose messages take `hop`: that of our Contact there.
    pub fn shown(&self, session: SessionId, hop: Hop) -> IpAddr {
        let account = self.sessions.get(&session).and_then(|session| session.account());
        let contact = self.exchange.contact(account, None, hop);
        let ip = contact.uri.host().and_then(|host| host.ip());
        ip.filter(|ip| ip.is_ipv4() == hop.local.is_ipv4()).unwrap_or(hop.local.ip())
    }

    /// The address to show in the SDP of a session that is up or rings here, and the address of ours that it stands for.
    pub fn shown_now(&self, session: SessionId) -> Option<(IpAddr, IpAddr)> {
        let hop = self.sessions.get(&session)?.flow()?;
        Some((self.shown(session, hop), hop.local.ip()))
    }

    /// Learns something of how we are seen; sessions whose Contact is another one by that are told.
    pub(super) fn readdress(&mut self, learn: impl FnOnce(&mut Self)) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        let before: Vec<_> = ids.into_iter().map(|id| (id, self.contact_of(id))).collect();
        learn(self);
        for (session, contact) in before {
            if contact.is_some() && contact != self.contact_of(session) {
                self.exchange.tell(Event::Readdressed { session });
            }
        }
    }

    /// Our Contact in a session.
    fn contact_of(&self, id: SessionId) -> Option<Uri> {
        let session = self.sessions.get(&id)?;
        let (hop, (account, user)) = (session.flow()?, session.party());
        Some(self.exchange.contact(account, user, hop).uri)
    }

    fn spread_public(&mut self) {
        for id in self.exchange.accounts.ids() {
            let public = self.exchange.public.clone();
            if let Some(registration) = self.exchange.accounts.get_mut(id).and_then(|line| line.registration.as_mut()) {
                registration.set_public(public);
            }
        }
    }
}
