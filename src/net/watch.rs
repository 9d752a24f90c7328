//! Which of our addresses leads to a peer, looked at again and again: interfaces come and go, addresses change, and no
//! socket says so.
//!
//! Asking the routing table costs some microseconds for each peer and works on every system; what a change means for a
//! peer is exactly what is asked for, whichever interface, address or route it was that changed.

use super::bind::Bound;
use crate::sip::hop::Transport;
use crate::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How often to look: a call whose address is gone is silent for so long at most before it is moved.
pub const EVERY: Duration = Duration::from_secs(1);

/// Peers that are watched.
const PEERS: usize = 256;

/// Addresses that only the default route leads to (documentation, RFC 5737 and RFC 3849); nothing is sent there.
const FAR: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// What has changed on the way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The peer.
    pub remote: IpAddr,
    /// Our address on the way there; `None` when there is no way any more.
    pub local: Option<IpAddr>,
}

/// Remembers what was seen last.
#[derive(Debug, Default)]
pub struct Watch {
    known: BTreeMap<IpAddr, Option<IpAddr>>,
}

impl Watch {
    /// Looks at the ways from our sockets to `peers`, each with the address of ours that is in use for it, and to the
    /// world.
    pub fn look(&mut self, bound: &Bound, peers: impl IntoIterator<Item = (IpAddr, IpAddr)>) -> Vec<Change> {
        self.compare(peers, |remote| {
            let by = |transport| bound.towards(transport, SocketAddr::new(remote, 0))?.ok();
            [Transport::Udp, Transport::Tcp, Transport::Tls].into_iter().find_map(by).map(|local| local.ip())
        })
    }

    fn compare(
        &mut self,
        peers: impl IntoIterator<Item = (IpAddr, IpAddr)>,
        towards: impl Fn(IpAddr) -> Option<IpAddr>,
    ) -> Vec<Change> {
        let in_use: BTreeMap<IpAddr, IpAddr> = peers.into_iter().take(PEERS).collect();
        self.known.retain(|remote, _| in_use.contains_key(remote) || FAR.contains(remote));
        let far = FAR.into_iter().map(|remote| (remote, None));
        let mut changes = Vec::new();
        for (remote, local) in far.chain(in_use.into_iter().map(|(remote, local)| (remote, Some(local)))) {
            let seen = towards(remote);
            let before = self.known.insert(remote, seen);
            // What is seen for the first time is compared with what is in use.
            let changed = before.map_or(local.is_some() && seen != local, |before| seen != before);
            if changed {
                changes.push(Change { remote, local: seen });
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_changes_is_told_once() {
        let mut watch = Watch::default();
        let peer = (ip("198.51.100.9"), ip("10.0.0.1"));
        let mut look = |local: Option<&str>| {
            let local = local.map(ip);
            watch.compare([peer], |remote| if remote == peer.0 { local } else { None })
        };
        assert_eq!(look(Some("10.0.0.1")), []);
        assert_eq!(look(None), [Change { remote: peer.0, local: None }]);
        assert_eq!(look(None), []);
        assert_eq!(look(Some("10.0.0.1")), [Change { remote: peer.0, local: Some(ip("10.0.0.1")) }], "back");
        assert_eq!(look(Some("10.0.0.2")), [Change { remote: peer.0, local: Some(ip("10.0.0.2")) }], "moved");
        assert_eq!(look(Some("10.0.0.2")), []);
    }

    #[test]
    fn what_changed_before_the_first_look_is_told_too() {
        let mut watch = Watch::default();
        let peer = (ip("198.51.100.9"), ip("10.0.0.1"));
        let changes = watch.compare([peer], |_| Some(ip("10.0.0.7")));
        assert_eq!(changes, [Change { remote: peer.0, local: Some(ip("10.0.0.7")) }]);
        // Nobody uses it any more: forgotten.
        watch.compare([], |_| None);
        assert_eq!(watch.known.len(), FAR.len());
    }

    #[test]
    fn the_default_route_is_watched_without_any_peer() {
        let mut watch = Watch::default();
        assert_eq!(watch.compare([], |_| None), []);
        let back = watch.compare([], |remote| remote.is_ipv4().then(|| ip("10.0.0.1")));
        assert_eq!(back, [Change { remote: FAR[0], local: Some(ip("10.0.0.1")) }]);
    }

    #[test]
    fn the_real_table_is_asked() {
        let loopback = ip("127.0.0.1");
        let mut watch = Watch::default();
        let bound: Bound = [(Transport::Udp, "0.0.0.0:5060".parse().unwrap())].into_iter().collect();
        assert_eq!(watch.look(&bound, [(loopback, loopback)]), []);
    }
}
