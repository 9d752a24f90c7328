//! Our address as the world sees it, where that is not the one that we have.
//!
//! Three say it, the surest first: the user ([`PublicAddress::fixed`]), the registrar by `received` and `rport` (kept by
//! each registration, because it holds for that way only), a STUN server ([`PublicAddress::map`]).

use super::hop::{Hop, Transport};
use std::net::{IpAddr, SocketAddr};

/// What the user and a STUN server say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicAddress {
    fixed: Option<(IpAddr, Option<u16>)>,
    /// Of the UDP sockets: IPv4, IPv6.
    mapped: [Option<SocketAddr>; 2],
}

impl PublicAddress {
    /// The address that the user gives, with the port on which UDP and TCP arrive if that is not our own.
    pub fn fixed(ip: IpAddr, port: Option<u16>) -> Self {
        Self { fixed: Some((ip, port)), ..Self::default() }
    }

    /// Notes how a STUN server sees our UDP socket; has that changed?
    pub fn map(&mut self, mapped: SocketAddr) -> bool {
        let [four, six] = &mut self.mapped;
        let slot = if mapped.is_ipv4() { four } else { six };
        slot.replace(mapped) != Some(mapped)
    }

    /// Our address on `hop` by the word of the user.
    pub fn given(&self, hop: Hop) -> Option<SocketAddr> {
        let (ip, port) = self.fixed.filter(|(ip, _)| ip.is_ipv4() == hop.local.is_ipv4())?;
        let port = port.filter(|_| !hop.transport.secure()).unwrap_or(hop.local.port());
        Some(SocketAddr::new(ip, port))
    }

    /// Our address on `hop` by the word of the STUN server. Its port is that of UDP; and it means nothing to those who
    /// are on our side of the translator.
    pub fn presumed(&self, hop: Hop) -> Option<SocketAddr> {
        let mapped = self.mapped.into_iter().flatten().find(|mapped| mapped.is_ipv4() == hop.remote.is_ipv4())?;
        if is_near(hop.remote.ip()) && !is_near(mapped.ip()) {
            return None;
        }
        let port = if hop.transport == Transport::Udp { mapped.port() } else { hop.local.port() };
        Some(SocketAddr::new(mapped.ip(), port))
    }
}

/// Is this on our side of an address translator: this machine, its link, a private network (RFC 1918, RFC 4193)?
fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(transport: Transport, remote: &str) -> Hop {
        Hop { transport, local: "10.0.0.1:5060".parse().unwrap(), remote: remote.parse().unwrap() }
    }

    #[test]
    fn the_user_and_the_server_are_believed_where_it_makes_sense() {
        let address = |text: &str| Some(text.parse::<SocketAddr>().unwrap());
        let mut public = PublicAddress::default();
        let far = hop(Transport::Udp, "198.51.100.1:5060");
        assert_eq!((public.given(far), public.presumed(far)), (None, None));
        assert!(public.map("203.0.113.7:4000".parse().unwrap()) && !public.map("203.0.113.7:4000".parse().unwrap()));
        assert_eq!(public.presumed(far), address("203.0.113.7:4000"));
        assert_eq!(public.presumed(hop(Transport::Tls, "198.51.100.1:5061")), address("203.0.113.7:5060"));
        assert_eq!(public.presumed(hop(Transport::Udp, "10.0.0.2:5060")), None, "on our side");
        assert_eq!(public.presumed(hop(Transport::Udp, "[2001:db8::1]:5060")), None, "the other family");
        let public = PublicAddress::fixed("203.0.113.9".parse().unwrap(), Some(7000));
        assert_eq!(public.given(far), address("203.0.113.9:7000"));
        assert_eq!(public.given(hop(Transport::Tls, "198.51.100.1:5061")), address("203.0.113.9:5060"));
    }
}
