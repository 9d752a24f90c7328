//! How a worker bears its load, readable from any thread.

use super::event::Counters;
use crate::time::Duration;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a worker counts; written by it, read by anybody.
#[derive(Debug, Default)]
pub(super) struct Load {
    calls: AtomicUsize,
    ticks: AtomicU64,
    late_ticks: AtomicU64,
    skipped_ticks: AtomicU64,
    max_late_micros: AtomicU64,
    dropped_events: AtomicU64,
}

/// How one worker bears its load, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerLoad {
    /// Calls that it runs now.
    pub calls: usize,
    /// Packet times that it served.
    pub ticks: u64,
    /// Ticks that came more than 5 ms late.
    pub late_ticks: u64,
    /// Ticks that were left out after an absence above 100 ms.
    pub skipped_ticks: u64,
    /// The latest tick.
    pub max_late: Duration,
    /// Events that were dropped because nobody took them.
    pub dropped_events: u64,
}

impl Load {
    /// The worker runs `calls` calls.
    pub(super) fn set_calls(&self, calls: usize) {
        self.calls.store(calls, Ordering::Relaxed);
    }

    /// The worker dropped so many events until now.
    pub(super) fn set_dropped_events(&self, dropped: u64) {
        self.dropped_events.store(dropped, Ordering::Relaxed);
    }

    /// A call was at `before` and is at `after`.
    pub(super) fn add(&self, before: &Counters, after: &Counters) {
        self.ticks.fetch_add(after.ticks - before.ticks, Ordering::Relaxed);
        self.late_ticks.fetch_add(after.late_ticks - before.late_ticks, Ordering::Relaxed);
        self.skipped_ticks.fetch_add(after.skipped_ticks - before.skipped_ticks, Ordering::Relaxed);
        let late = u64::try_from(after.max_late.as_micros()).unwrap_or(u64::MAX);
        self.max_late_micros.fetch_max(late, Ordering::Relaxed);
    }

    /// What was counted until now.
    pub(super) fn read(&self) -> WorkerLoad {
        WorkerLoad {
            calls: self.calls.load(Ordering::Relaxed),
            ticks: self.ticks.load(Ordering::Relaxed),
            late_ticks: self.late_ticks.load(Ordering::Relaxed),
            skipped_ticks: self.skipped_ticks.load(Ordering::Relaxed),
            max_late: Duration::from_micros(self.max_late_micros.load(Ordering::Relaxed)),
            dropped_events: self.dropped_events.load(Ordering::Relaxed),
        }
    }
}
