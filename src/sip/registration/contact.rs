//! Our contact: where the far side can reach us, which behind an address translator is not where we are.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Outbound, Registration};
use crate::sip::hop::{Hop, Transport};
use crate::sip::name_addr::NameAddr;
use crate::sip::public::PublicAddress;
use crate::sip::uri::{SipUri, Uri};
use crate::sip::via::Via;

/// Our address on a hop, as the far side saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Learned {
    hop: Hop,
    address: SocketAddr,
}

/// Our address on `hop` as the far side sees it, from the top Via of a response (RFC 3581): what `received` and `rport`
/// say, else `hop.local`.
///
/// A TCP connection comes from a port on which nobody listens; its port counts only where the address differs, because
/// behind a translator the connection itself is the only way to us. Over TLS it always is: who has no certificate of his
/// own takes no connection.
pub fn seen_as(hop: Hop, via: &Via) -> SocketAddr {
    let ip = via.received().unwrap_or(hop.local.ip());
    let port = via.rport().filter(|port| *port != 0);
    match hop.transport {
        Transport::Tcp if ip == hop.local.ip() => hop.local,
        Transport::Udp | Transport::Tcp | Transport::Tls => SocketAddr::new(ip, port.unwrap_or(hop.local.port())),
    }
}

impl Registration {
    /// The contact for requests on `hop`, of this registration and of the calls of its account: the address that the
    /// user gives, that the registrar saw if it was asked by that way, that a STUN server saw, else `hop.local`.
    pub fn contact(&self, hop: Hop) -> Uri {
        let learned = self.learned.filter(|learned| learned.hop == hop).map(|learned| learned.address);
        let others = || learned.or_else(|| self.public.presumed(hop));
        let address = self.public.given(hop).or_else(others).unwrap_or(hop.local);
        let mut contact = SipUri::new(Some(&self.settings.user), address.ip().into(), Some(address.port()));
        if hop.transport != Transport::Udp {
            contact.params.set("transport", hop.transport.parameter());
        }
        contact.into()
    }

    /// The contact for calls on `hop`: the same, and where the registrar keeps our flow it asks the first proxy to keep
    /// the requests of a dialog on it too (`ob`, RFC 5626 section 4.3).
    pub fn dialog_contact(&self, hop: Hop) -> Uri {
        let mut contact = self.contact(hop);
        if self.outbound == Outbound::Agreed
            && let Some(contact) = contact.sip_mut()
        {
            contact.params.set_flag("ob");
        }
        contact
    }

    /// Notes how the far side of `hop` sees us.
    pub(super) fn learn(&mut self, hop: Hop, via: &Via) {
        let address = seen_as(hop, via);
        // That it sees us where we are is worth knowing too.
        let told = via.received().is_some() || via.rport().is_some();
        self.learned = told.then_some(Learned { hop, address });
    }

    /// The far side of `hop` sees us at `address` now.
    pub fn moved(&mut self, hop: Hop, address: SocketAddr) {
        self.learned = Some(Learned { hop, address });
    }

    /// What others than the registrar say of our address.
    pub fn set_public(&mut self, public: Arc<PublicAddress>) {
        self.public = public;
    }

    /// Our binding among those of a response. Registrars that write the URI anew are met half-way: the same instance,
    /// or the same user, host and effective port, is ours too.
    pub(super) fn ours<'a>(&self, contact: &Uri, bindings: &'a [NameAddr]) -> Option<&'a NameAddr> {
        let same_instance = |binding: &&NameAddr| {
            let ours = self.settings.instance.as_deref();
            // Of several flows of ours, this one.
            let flow = binding.params.get("reg-id").and_then(|id| id.parse().ok()).unwrap_or(self.settings.reg_id);
            let instance = binding.params.text("+sip.instance");
            ours.is_some() && flow == self.settings.reg_id && instance.as_deref().map(bare) == ours
        };
        let same_place = |binding: &&NameAddr| match (contact.sip(), binding.uri.sip()) {
            (Some(ours), Some(theirs)) => {
                let transport = |uri: &SipUri| match uri.transport() {
                    _ if uri.secure => Transport::Tls,
                    transport => transport.unwrap_or(Transport::Udp),
                };
                let port = |uri: &SipUri| uri.port.unwrap_or(transport(uri).default_port());
                ours.user_text() == theirs.user_text()
                    && ours.host.equivalent(&theirs.host)
                    && port(ours) == port(theirs)
                    && transport(ours) == transport(theirs)
            }
            _ => false,
        };
        bindings
            .iter()
            .find(|binding| binding.uri.equivalent(contact))
            .or_else(|| bindings.iter().find(same_instance))
            .or_else(|| bindings.iter().find(same_place))
    }
}

/// A URN without the angle brackets that `+sip.instance` puts around it.
fn bare(instance: &str) -> &str {
    instance.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(transport: Transport, via: &str) -> String {
        let hop = Hop { transport, local: "10.0.0.1:5060".parse().unwrap(), remote: "192.0.2.9:5060".parse().unwrap() };
        seen_as(hop, &format!("SIP/2.0/X 10.0.0.1:5060;branch=z9hG4bKa{via}").parse().unwrap()).to_string()
    }

    #[test]
    fn the_far_side_tells_our_address() {
        assert_eq!(seen(Transport::Udp, ""), "10.0.0.1:5060");
        assert_eq!(seen(Transport::Udp, ";rport=1024;received=192.0.2.1"), "192.0.2.1:1024");
        assert_eq!(seen(Transport::Udp, ";rport;received=192.0.2.1"), "192.0.2.1:5060");
        assert_eq!(seen(Transport::Udp, ";rport=1024"), "10.0.0.1:1024");
        assert_eq!(seen(Transport::Tcp, ";rport=40000;received=10.0.0.1"), "10.0.0.1:5060");
        assert_eq!(seen(Transport::Tcp, ";rport=40000;received=192.0.2.1"), "192.0.2.1:40000");
        assert_eq!(seen(Transport::Tls, ";rport=40000;received=10.0.0.1"), "10.0.0.1:40000");
        assert_eq!(seen(Transport::Udp, ";rport=0;received=nonsense"), "10.0.0.1:5060");
    }
}
