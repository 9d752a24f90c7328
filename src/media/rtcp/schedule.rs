//! When to send RTCP (RFC 3550 section 6.3 and A.7).

use crate::random::Random;
use crate::time::{Duration, Instant};

/// Shortest interval between two reports before randomisation, seconds; half of it before the first (section 6.2).
const MINIMUM: f64 = 5.0;
/// Timer reconsideration converges below the intended rate; intervals are divided by e - 3/2 (section 6.3.1).
const COMPENSATION: f64 = 1.21828;
/// Share of the RTCP bandwidth for senders while they are few (section 6.2).
const SENDER_SHARE: f64 = 0.25;

/// Who takes part (section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crowd {
    /// Everybody, we too.
    pub(super) members: usize,
    /// Those that sent RTP lately.
    pub(super) senders: usize,
    /// Are we among them?
    pub(super) we_sent: bool,
}

/// The transmission timer.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// Octets a second for RTCP, of all members together.
    bandwidth: f64,
    /// Running mean of the size of compound packets with their IP and UDP headers, octets.
    average_size: f64,
    initial: bool,
    last: Instant,
    next: Instant,
    /// Members when `next` was computed.
    members: usize,
    random: Random,
}

impl Schedule {
    /// `first_size`: octets of the first packet that we are going to send, headers included.
    pub(super) fn new(now: Instant, bandwidth: f64, first_size: usize, random: Random) -> Self {
        let mut schedule = Self {
            bandwidth: bandwidth.max(1.0),
            average_size: first_size as f64,
            initial: true,
            last: now,
            next: now,
            members: 1,
            random,
        };
        schedule.next = now + schedule.interval(Crowd { members: 1, senders: 0, we_sent: false });
        schedule
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    pub(super) fn set_bandwidth(&mut self, bandwidth: f64) {
        self.bandwidth = bandwidth.max(1.0);
    }

    /// A compound packet of so many octets was sent or received (section 6.3.3).
    pub(super) fn observe_size(&mut self, octets: usize) {
        self.average_size += (octets as f64 - self.average_size) / 16.0;
    }

    /// The timer expired: true to send now, false when reconsideration put it off (section 6.3.6).
    pub(super) fn expired(&mut self, now: Instant, crowd: Crowd) -> bool {
        let reconsidered = self.last + self.interval(crowd);
        self.members = crowd.members;
        if reconsidered > now {
            self.next = reconsidered;
            return false;
        }
        self.last = now;
        // Drawn anew: the interval above was only used because it was short.
        self.next = now + self.interval(crowd);
        self.initial = false;
        true
    }

    /// Members left; `members` remain (reverse reconsideration, section 6.3.4).
    pub(super) fn left(&mut self, now: Instant, members: usize) {
        if members < self.members {
            let ratio = members as f64 / self.members as f64;
            self.next = now + self.next.since(now).mul_f64(ratio);
            self.last = now - now.since(self.last).mul_f64(ratio);
            self.members = members;
        }
    }

    /// The calculated interval, neither randomised nor halved: what time-outs are counted in (section 6.3.5).
    pub(super) fn calculated(&self, crowd: Crowd) -> Duration {
        Duration::from_secs_f64(self.seconds(crowd, MINIMUM))
    }

    fn interval(&mut self, crowd: Crowd) -> Duration {
        let minimum = if self.initial { MINIMUM / 2.0 } else { MINIMUM };
        let seconds = self.seconds(crowd, minimum);
        Duration::from_secs_f64(seconds * (self.random.unit() + 0.5) / COMPENSATION)
    }

    fn seconds(&self, crowd: Crowd, minimum: f64) -> f64 {
        let (mut share, mut sharers) = (1.0, crowd.members as f64);
        let senders = crowd.senders as f64;
        if senders <= sharers * SENDER_SHARE {
            (share, sharers) =
                if crowd.we_sent { (SENDER_SHARE, senders) } else { (1.0 - SENDER_SHARE, sharers - senders) };
        }
        (self.average_size * sharers / (self.bandwidth * share)).max(minimum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Crowd = Crowd { members: 2, senders: 2, we_sent: true };

    fn schedule(seed: u64) -> Schedule {
        Schedule::new(Instant::from_millis(1_000), 500.0, 100, Random::from_seed(seed))
    }

    /// Instants at which packets go out.
    fn run(schedule: &mut Schedule, crowd: Crowd, count: usize) -> Vec<Instant> {
        let mut sent = Vec::new();
        while sent.len() < count {
            let now = schedule.next();
            if schedule.expired(now, crowd) {
                sent.push(now);
            }
            assert!(schedule.next() > now);
        }
        sent
    }

    #[test]
    fn intervals_keep_their_bounds_and_their_mean() {
        let (mut sum, mut count) = (0.0, 0.0);
        for seed in 0..300 {
            let mut schedule = schedule(seed);
            let start = Instant::from_millis(1_000);
            let sent = run(&mut schedule, CALL, 10);
            let first = sent[0].since(start).as_secs_f64();
            assert!((1.25 / COMPENSATION - 1e-6..3.75 / COMPENSATION + 1e-6).contains(&first), "{first}");
            for pair in sent.windows(2).skip(1) {
                let gap = pair[1].since(pair[0]).as_secs_f64();
                assert!((2.5 / COMPENSATION - 1e-6..7.5 / COMPENSATION + 1e-6).contains(&gap), "{gap}");
                sum += gap;
                count += 1.0;
            }
        }
        // Reconsideration lengthens and compensation shortens: the mean is the calculated interval (section 6.3.1).
        let mean = sum / count;
        assert!((mean - 5.0).abs() < 0.1, "{mean}");
    }

    #[test]
    fn a_large_crowd_shares_the_bandwidth() {
        let schedule = schedule(1);
        // 100 octets, 500 octets a second: 0.2 s for each member.
        let crowd = Crowd { members: 1_000, senders: 500, we_sent: true };
        assert_eq!(schedule.calculated(crowd), Duration::from_secs(200));
        let few = Crowd { members: 1_000, senders: 100, we_sent: true };
        assert_eq!(schedule.calculated(few), Duration::from_secs(80), "a quarter of the bandwidth for 100 senders");
        let listener = Crowd { we_sent: false, ..few };
        assert_eq!(schedule.calculated(listener), Duration::from_secs(240), "three quarters for 900 receivers");
        assert_eq!(schedule.calculated(CALL), Duration::from_secs(5));
    }

    #[test]
    fn a_crowd_that_arrives_puts_the_timer_off_and_one_that_leaves_brings_it_back() {
        let mut schedule = schedule(4);
        let crowd = Crowd { members: 1_000, senders: 500, we_sent: true };
        let first = schedule.next();
        assert!(!schedule.expired(first, crowd), "reconsidered");
        let put_off = schedule.next().since(first);
        assert!(put_off > Duration::from_secs(50), "{put_off:?}");
        schedule.left(first, 100);
        assert_eq!(schedule.next().since(first), put_off.mul_f64(0.1));
        let before = schedule.next();
        schedule.left(first, 200);
        assert_eq!(schedule.next(), before, "nobody left");
    }

    #[test]
    fn sizes_are_averaged_over_sixteen_packets() {
        let mut schedule = schedule(1);
        schedule.observe_size(260);
        assert_eq!(schedule.average_size, 110.0);
    }
}
