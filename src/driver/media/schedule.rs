//! When the ticks of a call are due.

use super::event::Counters;
use crate::time::{Duration, Instant};

/// A tick later than this is counted: a quarter of the usual packet, far more than a healthy worker needs.
const LATE: Duration = Duration::from_millis(5);

/// A worker that was away longer than this does not send the past: the far end has concealed it already.
const BACKLOG: Duration = Duration::from_millis(100);

/// An absolute schedule: each tick is one packet time after the last one was due, not after it was done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    next: Instant,
    period: Duration,
}

impl Schedule {
    /// The first tick is due at `first`.
    pub(super) fn new(first: Instant, period: Duration) -> Self {
        Self { next: first, period }
    }

    /// When the next tick is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Ticks follow each other in `period` from now on.
    pub(super) fn set_period(&mut self, period: Duration) {
        self.period = period;
    }

    /// The next tick, and with it those behind it, comes `micros` later, earlier if negative.
    pub(super) fn shift(&mut self, micros: i64) {
        let by = Duration::from_micros(micros.unsigned_abs());
        self.next = if micros < 0 { self.next - by } else { self.next + by };
    }

    /// The next tick is due at `next`: something else paces the call until then.
    pub(super) fn restart(&mut self, next: Instant) {
        self.next = next;
    }

    /// Takes the tick that is due at `now`; returns how many before it are left out.
    pub(super) fn take(&mut self, now: Instant, counters: &mut Counters) -> u64 {
        let late = now.since(self.next);
        counters.max_late = counters.max_late.max(late);
        counters.ticks += 1;
        counters.late_ticks += u64::from(late > LATE);
        let mut skipped = 0;
        if late > BACKLOG && !self.period.is_zero() {
            let excess = (late - BACKLOG).as_nanos().div_ceil(self.period.as_nanos());
            skipped = u32::try_from(excess).unwrap_or(u32::MAX);
            self.next += self.period.saturating_mul(skipped);
            counters.skipped_ticks += u64::from(skipped);
        }
        self.next += self.period;
        u64::from(skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Duration = Duration::from_millis(20);

    /// Takes every tick due at `at` ms; returns how many were taken and how many left out.
    fn turn(schedule: &mut Schedule, counters: &mut Counters, at: u64) -> (u64, u64) {
        let now = Instant::from_millis(at);
        let (mut taken, mut skipped) = (0, 0);
        while schedule.next() <= now {
            skipped += schedule.take(now, counters);
            taken += 1;
        }
        (taken, skipped)
    }

    #[test]
    fn lateness_does_not_add_up() {
        let mut schedule = Schedule::new(Instant::from_millis(0), PACKET);
        let mut counters = Counters::default();
        for n in 0..1_000u64 {
            assert_eq!(turn(&mut schedule, &mut counters, n * 20 + n % 4), (1, 0));
        }
        assert_eq!(schedule.next(), Instant::from_millis(20_000));
        assert_eq!((counters.ticks, counters.late_ticks, counters.max_late.as_millis()), (1_000, 0, 3));
    }

    #[test]
    fn a_shift_moves_all_that_follow() {
        let mut schedule = Schedule::new(Instant::from_millis(0), PACKET);
        let mut counters = Counters::default();
        assert_eq!(turn(&mut schedule, &mut counters, 0), (1, 0));
        schedule.shift(-1_500);
        assert_eq!(turn(&mut schedule, &mut counters, 19), (1, 0));
        schedule.shift(2_500);
        assert_eq!(turn(&mut schedule, &mut counters, 40), (0, 0));
        assert_eq!(turn(&mut schedule, &mut counters, 41), (1, 0));
        assert_eq!((schedule.next(), counters.late_ticks), (Instant::from_millis(61), 0));
    }

    #[test]
    fn a_short_absence_is_caught_up() {
        let mut schedule = Schedule::new(Instant::from_millis(0), PACKET);
        let mut counters = Counters::default();
        assert_eq!(turn(&mut schedule, &mut counters, 0), (1, 0));
        assert_eq!(turn(&mut schedule, &mut counters, 95), (4, 0));
        assert_eq!(schedule.next(), Instant::from_millis(100));
        assert_eq!((counters.late_ticks, counters.max_late.as_millis()), (4, 75));
    }

    #[test]
    fn a_long_absence_is_skipped_down_to_the_backlog() {
        let mut schedule = Schedule::new(Instant::from_millis(0), PACKET);
        let mut counters = Counters::default();
        // 0, 20, … 1000 are due: those until 880 are left out, those from 900 on are caught up.
        let (taken, skipped) = turn(&mut schedule, &mut counters, 1_000);
        assert_eq!((taken, skipped), (6, 45));
        assert_eq!(taken + skipped, 51);
        assert_eq!(schedule.next(), Instant::from_millis(1_020));
        assert_eq!(counters.skipped_ticks, 45);
    }
}
