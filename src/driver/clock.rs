//! The only reader of clocks.

use crate::time::{Duration, Instant, Wall};
use std::time::UNIX_EPOCH;

/// The clock of one phone: every [`Instant`] and every wall-clock time comes from it.
///
/// Monotonic; wall time is anchored once, so a step of the system's clock never moves the order of a call's events.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
    wall: Wall,
}

impl Clock {
    /// A clock that starts now: [`Instant::ZERO`] is this moment.
    #[expect(clippy::disallowed_methods, reason = "the only reader of clocks")]
    pub fn new() -> Self {
        Self { start: std::time::Instant::now(), wall: Wall::new(jiff::Timestamp::now()) }
    }

    /// What [`Instant::ZERO`] is to others who count from a clock.
    pub fn start(&self) -> std::time::Instant {
        self.start
    }

    /// Now.
    pub fn now(&self) -> Instant {
        Instant::at(self.start.elapsed())
    }

    /// The anchor that turns an [`Instant`] into wall-clock time.
    pub fn wall(&self) -> Wall {
        self.wall
    }

    /// When a datagram arrived that the kernel stamped `stamp` after the Unix epoch.
    ///
    /// The stamp is compared with the wall clock of this moment, not with the anchor, so a step of the clock since the
    /// start does no harm; an age that is negative or above a second is a step in between and counts as just now.
    #[expect(clippy::disallowed_methods, reason = "the only reader of clocks")]
    pub fn arrival(&self, stamp: Duration) -> Instant {
        const OLDEST: Duration = Duration::from_secs(1);
        let now = self.now();
        let wall = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match wall.checked_sub(stamp) {
            Some(age) if age <= OLDEST => now - age,
            _ => now,
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_stamp_is_placed_before_now_and_a_broken_one_at_now() {
        let clock = Clock::new();
        // The stamp of the anchor itself: it was before any `now` that follows.
        let anchor = clock.wall().at(Instant::ZERO);
        let stamp = Duration::from_nanos(u64::try_from(anchor.as_nanosecond()).unwrap());
        let arrival = clock.arrival(stamp);
        assert!(arrival <= clock.now());
        assert!(arrival < Instant::from_millis(500), "{arrival:?}");
        // An hour off in either direction is a step of the clock, not an age.
        let before = clock.now();
        assert!(clock.arrival(stamp + Duration::from_secs(3600)) >= before);
        assert!(clock.arrival(stamp - Duration::from_secs(3600)) >= before);
    }

    #[test]
    fn time_goes_forward() {
        let clock = Clock::new();
        let first = clock.now();
        assert!(clock.now() >= first);
    }
}
