//! A lane of samples that one callback writes and others read: the side tone, and what was played for the echo canceller.

use std::sync::Arc;
use std::sync::atomic::{AtomicI16, AtomicU32, AtomicU64, Ordering};

/// What a bus remembers: more than the largest piece of any device.
const SAMPLES: usize = 1 << 15;

/// The last samples of one stream, for readers that may miss some. Streams come and go, the bus stays: nothing is handed
/// over, so neither side ever waits, allocates or frees.
///
/// ```text
///  one callback ─ write ─▶ │ … 32768 samples, the oldest overwritten │ ─ read ─▶ Reader, each at its own place
/// ```
#[derive(Clone)]
pub(super) struct Bus(Arc<Lane>);

struct Lane {
    samples: Box<[AtomicI16]>,
    /// Samples ever written.
    written: AtomicU64,
    /// Hz; 0 while nothing writes.
    rate: AtomicU32,
}

impl Default for Bus {
    fn default() -> Self {
        let samples = (0..SAMPLES).map(|_| AtomicI16::new(0)).collect();
        Self(Arc::new(Lane { samples, written: AtomicU64::new(0), rate: AtomicU32::new(0) }))
    }
}

impl Bus {
    /// From now on samples of `rate` Hz are written.
    pub(super) fn set_rate(&self, rate: u32) {
        self.0.rate.store(rate, Ordering::Relaxed);
    }

    /// Hz; 0 when nothing was ever written.
    pub(super) fn rate(&self) -> u32 {
        self.0.rate.load(Ordering::Relaxed)
    }

    /// Writes; by one stream at a time.
    pub(super) fn write(&self, samples: impl Iterator<Item = i16>) {
        let mut at = self.0.written.load(Ordering::Relaxed);
        for sample in samples {
            self.0.samples[at as usize % SAMPLES].store(sample, Ordering::Relaxed);
            at += 1;
        }
        self.0.written.store(at, Ordering::Release);
    }

    /// Samples ever written: where a reader may read up to.
    pub(super) fn written(&self) -> u64 {
        self.0.written.load(Ordering::Acquire)
    }

    /// The sample at a place that was written and is not too old.
    pub(super) fn at(&self, place: u64) -> i16 {
        self.0.samples[place as usize % SAMPLES].load(Ordering::Relaxed)
    }

    /// The first place that a reader at `place` may still read.
    #[cfg_attr(not(feature = "voice"), allow(dead_code))]
    pub(super) fn oldest(&self, place: u64) -> u64 {
        // Half of it is left to whoever writes meanwhile.
        place.max(self.written().saturating_sub(SAMPLES as u64 / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_too_old_is_skipped() {
        let bus = Bus::default();
        bus.write([1, 2, 3].into_iter());
        assert_eq!((bus.written(), bus.at(0), bus.at(2), bus.oldest(1)), (3, 1, 3, 1));
        bus.write((0..SAMPLES).map(|_| 9));
        assert_eq!(bus.oldest(1), 3 + SAMPLES as u64 / 2);
        assert_eq!(bus.at(bus.oldest(1)), 9);
    }
}
