//! The network around an engine: the ways to its peers, and how they see us.

use super::Engine;
use crate::call::CallId;
use crate::sip::hop::Hop;
use crate::sip::keepalive::BindingId;
use crate::sip::public::PublicAddress;
use crate::time::Instant;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

impl Engine {
    /// The peers that matter now, each with the address of ours that is in use for it.
    pub fn peers(&self) -> BTreeMap<IpAddr, IpAddr> {
        self.agent.peers()
    }

    /// Our address on the way to `remote` is another one now, or there is a way again, or there is none: registrations
    /// are renewed, calls move.
    pub fn handle_route(&mut self, now: Instant, remote: IpAddr, local: Option<IpAddr>) {
        self.agent.handle_route(now, remote, local);
        self.pump(now);
    }

    /// What the user says of our address.
    pub fn set_public(&mut self, public: PublicAddress) {
        self.agent.set_public(public);
    }

    /// A STUN server sees our UDP socket as `mapped`.
    pub fn handle_mapped(&mut self, now: Instant, mapped: SocketAddr) {
        self.agent.handle_mapped(now, mapped);
        self.pump(now);
    }

    /// The address to show for the media of a call that is up or rings here: that of our Contact.
    pub fn shown(&self, call: CallId) -> Option<IpAddr> {
        self.agent.shown_now(self.calls.get(&call)?.session()).map(|(shown, _)| shown)
    }

    /// The answer to [`Output::Binding`](super::Output::Binding): how its source sees us, or nothing where it does not
    /// tell.
    pub fn handle_binding(&mut self, now: Instant, source: Hop, id: BindingId, mapped: Option<SocketAddr>) {
        self.agent.handle_binding(now, source, id, mapped);
        self.pump(now);
    }

    /// May `ip` ask how we see it (a STUN Binding request to our SIP port)?
    pub fn serves_bindings(&self, ip: IpAddr) -> bool {
        self.agent.serves_bindings(ip)
    }
}
