//! Which of our addresses a peer sees.

use crate::time::{Duration, Instant};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// How long a route is remembered: a machine that changes networks is reachable again after that.
const FRESH: Duration = Duration::from_secs(2);

/// Most routes remembered; peers with forged addresses must not fill the memory.
const ROUTES: usize = 1024;

/// Port for questions about a route when the peer's is not known (discard, RFC 863); nothing is sent.
const ANY_PORT: u16 = 9;

/// Our address on the route to `remote`, as the system's routing table has it; never unspecified. `bound` is the address
/// that our sockets are bound to, or the unspecified one.
///
/// # Errors
/// The system's error if there is no route to `remote` (from `bound`), or if the families differ.
pub fn local_towards(bound: IpAddr, remote: SocketAddr) -> io::Result<IpAddr> {
    if bound.is_ipv4() != remote.is_ipv4() {
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "not of the family of the address that is bound"));
    }
    if remote.ip().is_unspecified() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the unspecified address is no destination"));
    }
    let socket = UdpSocket::bind((bound, 0))?;
    let mut remote = remote;
    if remote.port() == 0 {
        remote.set_port(ANY_PORT);
    }
    // Connecting a datagram socket sends nothing; it only makes the system choose the route.
    socket.connect(remote)?;
    match socket.local_addr()?.ip() {
        ip if ip.is_unspecified() => Err(io::ErrorKind::NetworkUnreachable.into()),
        ip => Ok(ip),
    }
}

/// [`local_towards`] for each arriving packet: remembers the answers for a while.
#[derive(Debug)]
pub(super) struct Routes {
    bound: IpAddr,
    known: HashMap<IpAddr, (Option<IpAddr>, Instant)>,
}

impl Routes {
    pub(super) fn new(bound: IpAddr) -> Self {
        Self { bound, known: HashMap::new() }
    }

    /// Our address as `remote` sees it; `None` if there is no way back.
    pub(super) fn local(&mut self, now: Instant, remote: SocketAddr) -> Option<IpAddr> {
        if !self.bound.is_unspecified() {
            return Some(self.bound);
        }
        if let Some((local, until)) = self.known.get(&remote.ip())
            && now < *until
        {
            return *local;
        }
        if self.known.len() >= ROUTES {
            self.known.clear();
        }
        let local = local_towards(self.bound, remote).ok();
        self.known.insert(remote.ip(), (local, now + FRESH));
        local
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn the_route_says_our_address() {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(local_towards(any, (loopback, 5060).into()).unwrap(), loopback);
        assert_eq!(local_towards(any, (loopback, 0).into()).unwrap(), loopback);
        assert_eq!(local_towards(loopback, (loopback, 5060).into()).unwrap(), loopback);
        assert!(local_towards(any, (any, 5060).into()).is_err());
        assert!(local_towards(any, (Ipv6Addr::LOCALHOST, 5060).into()).is_err());
        // A socket on loopback cannot reach the world (192.0.2.0/24 is documentation, RFC 5737).
        assert!(local_towards(loopback, (Ipv4Addr::new(192, 0, 2, 1), 5060).into()).is_err());
    }

    #[test]
    fn routes_are_remembered_for_a_while_and_bounded() {
        let mut routes = Routes::new(Ipv4Addr::UNSPECIFIED.into());
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(routes.local(Instant::ZERO, (loopback, 1).into()), Some(loopback));
        let invented = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
        let until = Instant::from_millis(500);
        routes.known.insert(loopback, (Some(invented), until));
        assert_eq!(routes.local(Instant::ZERO, (loopback, 2).into()), Some(invented), "remembered");
        assert_eq!(routes.local(until, (loopback, 2).into()), Some(loopback), "asked again");
        for host in 0..=ROUTES {
            let ip = Ipv4Addr::from(0x7f00_0000 + u32::try_from(host).unwrap() + 1);
            assert!(routes.local(Instant::ZERO, (ip, 1).into()).is_some());
        }
        assert!(routes.known.len() <= ROUTES);
    }
}
