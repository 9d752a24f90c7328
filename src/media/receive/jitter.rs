//! Interarrival jitter (RFC 3550 section 6.4.1 and A.8), in floating point.

use crate::media::sequence::RtpTime;
use crate::time::{Duration, Instant};

/// A transit time that changes by more is a new timestamp base (a bridge that switches its source keeps SSRC and
/// numbers but not the clock), not jitter.
const NEW_BASE: f64 = 10.0;

#[derive(Clone, Copy, Debug)]
struct Reference {
    arrival: Instant,
    timestamp: RtpTime,
    clock_rate: u32,
}

/// The running estimate, kept in seconds so that it survives a change of the clock rate.
#[derive(Clone, Debug, Default)]
pub(super) struct Jitter {
    seconds: f64,
    max: f64,
    observed: bool,
    last: Option<Reference>,
    clock_rate: u32,
}

impl Jitter {
    /// A packet of this timestamp arrived. All packets count in the order of arrival, reordered ones too.
    pub(super) fn observe(&mut self, arrival: Instant, timestamp: RtpTime, clock_rate: u32) {
        if clock_rate == 0 {
            return;
        }
        let last = self.last.replace(Reference { arrival, timestamp, clock_rate });
        self.clock_rate = clock_rate;
        let Some(last) = last.filter(|last| last.clock_rate == clock_rate) else { return };
        let waited = arrival.since(last.arrival).as_secs_f64() - last.arrival.since(arrival).as_secs_f64();
        let meant = f64::from(timestamp.since(last.timestamp)) / f64::from(clock_rate);
        let difference = (waited - meant).abs();
        if difference < NEW_BASE {
            self.seconds += (difference - self.seconds) / 16.0;
            self.max = self.max.max(self.seconds);
            self.observed = true;
        }
    }

    /// The next packet has no predecessor to be compared with.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// The estimate; `None` before two packets could be compared.
    pub(super) fn latest(&self) -> Option<Duration> {
        self.observed.then(|| Duration::from_secs_f64(self.seconds))
    }

    /// The highest that the estimate has been.
    pub(super) fn highest(&self) -> Option<Duration> {
        self.observed.then(|| Duration::from_secs_f64(self.max))
    }

    /// The estimate in ticks of the latest clock.
    pub(super) fn ticks(&self) -> u32 {
        (self.seconds * f64::from(self.clock_rate)).round() as u32
    }
}
