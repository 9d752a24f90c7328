//! The timers of RFC 3261 section 17 (table 4, with RFC 6026's L and M), named by purpose.
//!
//! [`Timers`] holds the three base values and derives every other one; [`Resend`] is a retransmission schedule;
//! [`Unacknowledged`] is the schedule of a 2xx that waits for its ACK; [`Deadlines`] orders the deadlines of a table.

use std::collections::BTreeSet;

use crate::time::{Duration, Instant};

/// The base values from which every timer of RFC 3261 follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// T1: the estimated round-trip time.
    pub t1: Duration,
    /// T2: the longest interval between retransmissions of a non-INVITE request or of a response to an INVITE.
    pub t2: Duration,
    /// T4: how long a message can stay in the network.
    pub t4: Duration,
}

impl Default for Timers {
    /// RFC 3261 table 4: 500 ms, 4 s, 5 s.
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

impl Timers {
    /// Timer D's floor: "at least 32 seconds" whatever T1 is (RFC 3261 17.1.1.2).
    const RESPONSES_OF_INVITE: Duration = Duration::from_secs(32);

    /// How long a server may leave an INVITE without any response before it sends 100 (RFC 3261 17.2.1).
    pub const TRYING: Duration = Duration::from_millis(200);

    /// 64*T1: no answer to a request (timers B and F), no ACK to a final response (timer H and RFC 3261 13.3.1.4), and
    /// how long a transaction that got or sent a 2xx absorbs repetitions (timers M and L).
    pub fn give_up(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// Timer D: how long the sender of an INVITE answers repetitions of the final response with its ACK.
    pub fn absorb_rejections(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.give_up().max(Self::RESPONSES_OF_INVITE) }
    }

    /// Timer I: how long the receiver of an INVITE absorbs repetitions of the ACK.
    pub fn absorb_acks(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.t4 }
    }

    /// Timer J: how long the receiver of another request answers its repetitions.
    pub fn absorb_requests(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.give_up() }
    }

    /// Timer K: how long the sender of another request absorbs repetitions of the final response.
    pub fn absorb_responses(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.t4 }
    }
}

/// When to send something again: first after T1, then after intervals that double, up to a ceiling or without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resend {
    at: Instant,
    interval: Duration,
    ceiling: Duration,
}

impl Resend {
    /// Timer A, the INVITE request: the interval doubles without a ceiling (RFC 3261 17.1.1.2).
    pub fn doubling(now: Instant, timers: &Timers) -> Self {
        Self { at: now + timers.t1, interval: timers.t1, ceiling: Duration::MAX }
    }

    /// Timers E and G and the 2xx to an INVITE: the interval doubles up to T2 (RFC 3261 17.1.2.2, 17.2.1, 13.3.1.4).
    pub fn capped(now: Instant, timers: &Timers) -> Self {
        Self { at: now + timers.t1, interval: timers.t1.min(timers.t2), ceiling: timers.t2 }
    }

    /// When the next repetition is due.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// The schedule after a repetition that was sent `now`.
    pub fn next(self, now: Instant) -> Self {
        let interval = self.interval.saturating_mul(2).min(self.ceiling);
        Self { at: now + interval, interval, ..self }
    }

    /// The schedule after a repetition that was sent `now`, from here on at the ceiling: timer E once a provisional
    /// response came (RFC 3261 17.1.2.2).
    pub fn next_at_ceiling(self, now: Instant) -> Self {
        Self { at: now + self.ceiling, interval: self.ceiling, ..self }
    }
}

/// What a schedule wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// Send it again.
    Resend,
    /// Stop: nobody acknowledged it in time.
    GiveUp,
}

/// A response that its sender repeats until it is acknowledged: the 2xx to an INVITE (RFC 3261 13.3.1.4) until its ACK,
/// a reliable provisional response (RFC 3262 section 3) until its PRACK. It runs on every transport, and gives up at
/// 64*T1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unacknowledged {
    resend: Resend,
    give_up: Instant,
}

impl Unacknowledged {
    /// The schedule of a 2xx sent `now`: repeated after T1, 2*T1 … up to every T2.
    pub fn answer(now: Instant, timers: &Timers) -> Self {
        Self { resend: Resend::capped(now, timers), give_up: now + timers.give_up() }
    }

    /// The schedule of a reliable provisional response sent `now`: the interval doubles without a ceiling.
    pub fn provisional(now: Instant, timers: &Timers) -> Self {
        Self { resend: Resend::doubling(now, timers), give_up: now + timers.give_up() }
    }

    /// When to call [`Unacknowledged::handle_timeout`].
    pub fn poll_timeout(&self) -> Instant {
        self.resend.at.min(self.give_up)
    }

    /// What is due `now`. After [`Due::GiveUp`] the schedule has ended; drop it.
    pub fn handle_timeout(&mut self, now: Instant) -> Due {
        if now >= self.give_up {
            Due::GiveUp
        } else if now >= self.resend.at {
            self.resend = self.resend.next(now);
            Due::Resend
        } else {
            Due::Nothing
        }
    }
}

/// The deadlines of a table's entries, one for each key, earliest first; every operation is O(log n).
#[derive(Clone, Debug)]
pub struct Deadlines<K> {
    order: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Copy> Default for Deadlines<K> {
    fn default() -> Self {
        Self { order: BTreeSet::new() }
    }
}

impl<K: Ord + Copy> Deadlines<K> {
    /// Moves the deadline of `key` from `old` to `new`; the caller keeps the one in force beside its entry.
    pub fn change(&mut self, key: K, old: Option<Instant>, new: Option<Instant>) {
        if old == new {
            return;
        }
        if let Some(at) = old {
            self.order.remove(&(at, key));
        }
        if let Some(at) = new {
            self.order.insert((at, key));
        }
    }

    /// The earliest deadline.
    pub fn first(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// The key whose deadline is the earliest and not after `now`. It stays until its deadline is changed.
    pub fn due(&self, now: Instant) -> Option<K> {
        self.order.first().filter(|(at, _)| *at <= now).map(|(_, key)| *key)
    }

    /// How many keys have a deadline.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Has no key a deadline?
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(instants: &[Instant]) -> Vec<u128> {
        instants.iter().map(|at| at.since_start().as_millis()).collect()
    }

    #[test]
    fn the_invite_interval_doubles_beyond_t2_and_the_others_stop_there() {
        let timers = Timers::default();
        let follow = |mut resend: Resend| {
            let mut fired = Vec::new();
            while resend.at() < Instant::ZERO + timers.give_up() {
                fired.push(resend.at());
                resend = resend.next(resend.at());
            }
            ms(&fired)
        };
        assert_eq!(follow(Resend::doubling(Instant::ZERO, &timers)), [500, 1500, 3500, 7500, 15500, 31500]);
        assert_eq!(
            follow(Resend::capped(Instant::ZERO, &timers)),
            [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]
        );
    }

    #[test]
    fn a_2xx_without_ack_is_given_up_after_64_t1_and_not_after_t4() {
        let timers = Timers::default();
        let mut answer = Unacknowledged::answer(Instant::from_millis(1000), &timers);
        assert_eq!(answer.handle_timeout(Instant::from_millis(1499)), Due::Nothing);
        let mut repeated = Vec::new();
        let given_up = loop {
            let now = answer.poll_timeout();
            match answer.handle_timeout(now) {
                Due::Resend => repeated.push(now),
                Due::GiveUp => break now,
                Due::Nothing => panic!("nothing was due at {now:?}"),
            }
        };
        assert_eq!(ms(&repeated), [1500, 2500, 4500, 8500, 12500, 16500, 20500, 24500, 28500, 32500]);
        assert_eq!(given_up, Instant::from_millis(33_000));
    }

    #[test]
    fn deadlines_come_in_order_and_stay_until_changed() {
        let mut deadlines = Deadlines::default();
        let at = Instant::from_millis;
        deadlines.change('a', None, Some(at(30)));
        deadlines.change('b', None, Some(at(10)));
        deadlines.change('a', Some(at(30)), Some(at(5)));
        assert_eq!((deadlines.first(), deadlines.len()), (Some(at(5)), 2));
        assert_eq!(deadlines.due(at(4)), None);
        assert_eq!(deadlines.due(at(5)), Some('a'));
        deadlines.change('a', Some(at(5)), None);
        assert_eq!(deadlines.due(at(10)), Some('b'));
        deadlines.change('b', Some(at(10)), None);
        assert!(deadlines.is_empty());
    }
}
