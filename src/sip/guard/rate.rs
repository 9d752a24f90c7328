//! How much one source may ask: a token bucket for each, in a table that is bounded and forgets.

use crate::time::{Duration, Instant};
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

/// Sources that are remembered at once. Beyond it the one gives way that has asked least.
const MOST_SOURCES: usize = 4096;

/// What one source may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second, in the long run; at least one.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}

impl Default for Rate {
    /// More than a busy trunk sends to one phone, less than hurts: 200 a second, 1,000 at once.
    fn default() -> Self {
        Self { per_second: 200, burst: 1_000 }
    }
}

/// The buckets of all sources. A bucket is one instant: when it will be full again (the virtual scheduling algorithm of
/// ITU-T I.371), so a full one need not be kept.
#[derive(Debug)]
pub(super) struct Buckets {
    rate: Option<Rate>,
    full_at: HashMap<IpAddr, Instant>,
    order: BTreeSet<(Instant, IpAddr)>,
}

impl Buckets {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self { rate, full_at: HashMap::new(), order: BTreeSet::new() }
    }

    /// Takes a token of the bucket of `ip`, if there is one. Loopback is this machine's own user: nobody else can send
    /// from there.
    pub(super) fn take(&mut self, now: Instant, ip: IpAddr) -> bool {
        let Some(rate) = self.rate else { return true };
        self.charge(now, ip, 1, interval(rate).saturating_mul(rate.burst.max(1)))
    }

    /// Takes `count` more, there or not: the source has to wait until they have come.
    pub(super) fn penalise(&mut self, now: Instant, ip: IpAddr, count: u32) {
        self.charge(now, ip, count, Duration::MAX);
    }

    fn charge(&mut self, now: Instant, ip: IpAddr, count: u32, room: Duration) -> bool {
        let Some(rate) = self.rate.filter(|_| !ip.to_canonical().is_loopback()) else { return true };
        self.forget(now);
        let ip = source(ip);
        let old = self.full_at.get(&ip).copied();
        let full_at = old.unwrap_or(now) + interval(rate).saturating_mul(count);
        if full_at.since(now) > room {
            return false;
        }
        match old {
            Some(old) => drop(self.order.remove(&(old, ip))),
            None if self.full_at.len() >= MOST_SOURCES => {
                if let Some((_, least)) = self.order.pop_first() {
                    self.full_at.remove(&least);
                }
            }
            None => {}
        }
        self.full_at.insert(ip, full_at);
        self.order.insert((full_at, ip));
        true
    }

    /// Drops the buckets that are full again.
    pub(super) fn forget(&mut self, now: Instant) {
        while let Some((_, ip)) = self.order.first().filter(|(full_at, _)| *full_at <= now).copied() {
            self.order.pop_first();
            self.full_at.remove(&ip);
        }
    }

    /// When all buckets are full. In between they are dropped as others are asked for.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.order.last().map(|(full_at, _)| *full_at)
    }

    pub(super) fn len(&self) -> usize {
        self.full_at.len()
    }
}

/// The time in which one token comes.
fn interval(rate: Rate) -> Duration {
    Duration::from_secs(1) / rate.per_second.max(1)
}

/// The address that a rate belongs to: one IPv4 address, or the /64 that one IPv6 host can choose addresses from at will
/// (RFC 4291 section 2.5.4).
fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(number: u32) -> IpAddr {
        IpAddr::V4((0xCB00_7100 + number).into())
    }

    #[test]
    fn a_burst_passes_then_the_rate_does() {
        let mut buckets = Buckets::new(Some(Rate { per_second: 10, burst: 5 }));
        let mut now = Instant::from_millis(1_000);
        let asked = |buckets: &mut Buckets, now| (0..20).filter(|_| buckets.take(now, ip(1))).count();
        assert_eq!(asked(&mut buckets, now), 5);
        now += Duration::from_millis(250);
        assert_eq!(asked(&mut buckets, now), 2, "a quarter of a second gives two");
        assert!(buckets.take(now, ip(2)), "another source has its own");
        assert_eq!(buckets.len(), 2);
        now += Duration::from_secs(1);
        buckets.forget(now);
        assert_eq!((buckets.len(), buckets.poll_timeout()), (0, None), "full buckets are forgotten");
        buckets.penalise(now, ip(1), 15);
        assert!(!buckets.take(now + Duration::from_secs(1), ip(1)));
        assert!(buckets.take(now + Duration::from_millis(1_100), ip(1)), "the debt is paid");
    }

    #[test]
    fn the_table_is_bounded_and_those_who_ask_most_stay() {
        let mut buckets = Buckets::new(Some(Rate { per_second: 1, burst: 10 }));
        let now = Instant::from_millis(0);
        buckets.penalise(now, ip(0), 10);
        for number in 1..20_000 {
            buckets.take(now, ip(number));
            assert!(buckets.len() <= MOST_SOURCES && buckets.order.len() == buckets.full_at.len());
        }
        assert!(!buckets.take(now, ip(0)), "the greedy one is not forgotten for the others");
        assert_eq!(buckets.poll_timeout(), Some(Instant::from_millis(10_000)));
    }

    #[test]
    fn an_ipv6_host_is_its_network() {
        let of = |text: &str| source(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!((of("::ffff:192.0.2.1"), of("192.0.2.1")), ("192.0.2.1".into(), "192.0.2.1".into()));
    }

    #[test]
    fn loopback_and_no_rate() {
        let mut buckets = Buckets::new(Some(Rate { per_second: 1, burst: 1 }));
        assert!((0..10).all(|_| buckets.take(Instant::ZERO, "127.0.0.9".parse().unwrap())));
        let mut free = Buckets::new(None);
        assert!((0..10).all(|_| free.take(Instant::ZERO, ip(1))));
        assert_eq!((buckets.len(), free.len()), (0, 0));
    }
}
