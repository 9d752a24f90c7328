//! Virtual time: what the pure rooms know of clocks.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
pub use std::time::Duration;

/// A point in time, counted from the start of the phone that uses it.
///
/// Only a driver makes one from a real clock; tests make them from numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(Duration);

impl Instant {
    /// The start of the phone.
    pub const ZERO: Instant = Instant(Duration::ZERO);

    /// The instant `since_start` after the start of the phone.
    pub const fn at(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// The instant `millis` milliseconds after the start of the phone.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Time since the start of the phone.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(duration))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    /// Saturates at the start of the phone.
    fn sub(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_sub(duration))
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}s", self.0.as_secs_f64())
    }
}

/// The one place where wall time comes from: the wall-clock time of [`Instant::ZERO`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    zero: jiff::Timestamp,
}

impl Wall {
    /// An anchor that puts [`Instant::ZERO`] at `zero`.
    pub fn new(zero: jiff::Timestamp) -> Self {
        Self { zero }
    }

    /// The wall-clock time of `instant`.
    pub fn at(&self, instant: Instant) -> jiff::Timestamp {
        jiff::SignedDuration::try_from(instant.since_start())
            .ok()
            .and_then(|elapsed| self.zero.checked_add(elapsed).ok())
            .unwrap_or(jiff::Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_follows_virtual_time() {
        let wall = Wall::new("2026-01-02T03:04:05Z".parse().unwrap());
        let later = wall.at(Instant::from_millis(1_500));
        assert_eq!(later.to_string(), "2026-01-02T03:04:06.5Z");
        assert_eq!(Instant::from_millis(5) - Instant::from_millis(9), Duration::ZERO);
    }
}
