//! Servers that failed lately, and how long others are tried before them (RFC 3263 section 4.3).

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::sip::hop::{Hop, Transport};
use crate::time::{Duration, Instant};

/// How long a server waits behind the others after one failure; twice as long after each further one.
const FIRST: Duration = Duration::from_secs(60);

/// The longest that failures alone put a server off: a server that was mended is used again without a restart.
const LONGEST: Duration = Duration::from_secs(480);

/// The longest Retry-After of a 503 that is obeyed (RFC 3261 section 21.5.4).
const RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How long after its penalty the failures of a server are remembered.
const MEMORY: Duration = Duration::from_secs(480);

/// Servers that are remembered.
const SERVERS: usize = 1024;

/// The servers that failed lately. A penalty never excludes a server: it only comes after those that have none.
#[derive(Debug, Default)]
pub(crate) struct Penalties(HashMap<(Transport, SocketAddr), Penalty>);

#[derive(Clone, Copy, Debug)]
struct Penalty {
    until: Instant,
    failures: u32,
}

impl Penalties {
    /// `hop` did not serve a request: no answer, no connection, or 503, which may say how long to wait.
    pub(crate) fn punish(&mut self, now: Instant, hop: Hop, retry_after: Option<Duration>) {
        self.0.retain(|_, penalty| now < penalty.until + MEMORY);
        let key = (hop.transport, hop.remote);
        let known = self.0.get(&key).copied();
        if known.is_none() && self.0.len() >= SERVERS {
            return;
        }
        let failures = known.map_or(1, |penalty| penalty.failures.saturating_add(1));
        let usual = FIRST.saturating_mul(1 << (failures - 1).min(8)).min(LONGEST);
        let wait = retry_after.map_or(usual, |wait| wait.clamp(Duration::from_secs(1), RETRY_AFTER));
        self.0.insert(key, Penalty { until: now + wait, failures });
    }

    /// `hop` serves again.
    pub(crate) fn forgive(&mut self, hop: Hop) {
        self.0.remove(&(hop.transport, hop.remote));
    }

    /// Nothing that failed on another network says anything about this one.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Does `hop` wait behind others?
    pub(crate) fn holds(&self, now: Instant, hop: Hop) -> bool {
        self.until(now, hop).is_some()
    }

    /// Puts those without a penalty first, then those whose penalty ends soonest; the order is kept otherwise.
    pub(crate) fn order(&self, now: Instant, hops: &mut [Hop]) {
        hops.sort_by_key(|hop| self.until(now, *hop));
    }

    fn until(&self, now: Instant, hop: Hop) -> Option<Instant> {
        self.0.get(&(hop.transport, hop.remote)).map(|penalty| penalty.until).filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(last: u8) -> Hop {
        let (local, remote) = ("192.0.2.1:5060".parse().unwrap(), SocketAddr::from(([192, 0, 2, last], 5060)));
        Hop { transport: Transport::Udp, local, remote }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    fn order(penalties: &Penalties, now: u64) -> Vec<u8> {
        let mut hops = [hop(1), hop(2), hop(3)];
        penalties.order(at(now), &mut hops);
        hops.map(|hop| match hop.remote.ip() {
            std::net::IpAddr::V4(ip) => ip.octets()[3],
            std::net::IpAddr::V6(_) => 0,
        })
        .to_vec()
    }

    #[test]
    fn a_server_that_failed_comes_last_for_a_while_and_then_first_again() {
        let mut penalties = Penalties::default();
        penalties.punish(at(0), hop(1), None);
        assert_eq!(order(&penalties, 1), [2, 3, 1]);
        penalties.punish(at(10), hop(2), None);
        assert_eq!(order(&penalties, 11), [3, 1, 2], "the one that waits longest is last");
        assert_eq!(order(&penalties, 60), [1, 3, 2]);
        assert_eq!(order(&penalties, 70), [1, 2, 3]);
        assert!(!penalties.holds(at(70), hop(1)));
    }

    #[test]
    fn who_fails_again_and_again_waits_longer_but_not_for_ever() {
        let mut penalties = Penalties::default();
        let mut now = 0;
        for wait in [60, 120, 240, 480, 480, 480] {
            penalties.punish(at(now), hop(1), None);
            assert!(penalties.holds(at(now + wait - 1), hop(1)), "{wait}");
            now += wait;
            assert!(!penalties.holds(at(now), hop(1)), "{wait}");
        }
        penalties.forgive(hop(1));
        penalties.punish(at(now), hop(1), None);
        assert!(!penalties.holds(at(now + 60), hop(1)), "an answer forgives");
        now += 60 + 480;
        penalties.punish(at(now), hop(1), None);
        assert!(!penalties.holds(at(now + 60), hop(1)), "so does time");
    }

    #[test]
    fn retry_after_is_obeyed_within_reason() {
        let mut penalties = Penalties::default();
        penalties.punish(at(0), hop(1), Some(Duration::from_secs(5)));
        assert!(penalties.holds(at(4), hop(1)) && !penalties.holds(at(5), hop(1)));
        penalties.punish(at(5), hop(1), Some(Duration::from_secs(1_000_000)));
        assert!(!penalties.holds(at(3605), hop(1)));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut penalties = Penalties::default();
        for host in 0..2000_u32 {
            let remote = SocketAddr::from((std::net::Ipv4Addr::from(0x0a00_0000 + host), 5060));
            penalties.punish(at(0), Hop { remote, ..hop(1) }, None);
        }
        assert_eq!(penalties.0.len(), SERVERS);
        penalties.punish(at(2000), hop(1), None);
        assert_eq!(penalties.0.len(), 1);
    }
}
