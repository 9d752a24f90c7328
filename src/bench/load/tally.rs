//! What a run counted: histograms that can be written, read and merged over several generators.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer as HdrReader, Serializer as HdrWriter, V2Serializer};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// Steps of a histogram to a unit of its values: microseconds of milliseconds, thousandths of MOS.
const STEPS: f64 = 1_000.0;

/// The largest step that is told from larger ones.
const LARGEST: f64 = 7.2e9;

/// Values to three figures, whatever their size.
#[derive(Clone, Debug, PartialEq)]
pub struct Series(Histogram<u64>);

impl Default for Series {
    fn default() -> Self {
        // Three figures are always possible.
        Self(Histogram::new(3).unwrap_or_else(|_| unreachable!("0 to 5 figures")))
    }
}

impl Series {
    /// Notes a value; one below 0 is 0.
    pub fn note(&mut self, value: f64) {
        // It grows as it must: to two hours at most.
        let _ = self.0.record((value * STEPS).clamp(0.0, LARGEST) as u64);
    }

    /// How many were noted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The value below which `share` of them are; `None` of nothing.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(share) as f64 / STEPS)
    }

    /// The mean; `None` of nothing.
    pub fn mean(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.mean() / STEPS)
    }

    /// Adds another's values.
    pub fn merge(&mut self, other: &Series) {
        // Both grow as they must.
        let _ = self.0.add(&other.0);
    }

    /// Figures for people and JSON.
    pub fn figures(&self) -> Option<serde_json::Value> {
        let at = |share| self.quantile(share);
        Some(serde_json::json!({
            "count": self.count(), "min": at(0.0)?, "p05": at(0.05)?, "p50": at(0.5)?, "p95": at(0.95)?,
            "p99": at(0.99)?, "max": at(1.0)?, "mean": self.mean()?,
        }))
    }
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut octets = Vec::new();
        V2Serializer::new().serialize(&self.0, &mut octets).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&STANDARD.encode(octets))
    }
}

impl<'de> Deserialize<'de> for Series {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let octets = STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
        let histogram = HdrReader::new().deserialize(&mut octets.as_slice()).map_err(D::Error::custom)?;
        let mut series = Self::default();
        series.0.add(histogram).map_err(D::Error::custom)?;
        Ok(series)
    }
}

/// What a generator knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Packet times that its calls had.
    pub ticks: u64,
    /// Of them more than 5 ms late.
    pub late_ticks: u64,
    /// Of them left out.
    pub skipped_ticks: u64,
    /// Events that were missed.
    pub missed_events: u64,
    /// Processor time, seconds; `None` where the system does not tell.
    pub cpu_seconds: Option<f64>,
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Calls that began.
    pub begun: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls at its end.
    pub calls: u64,
    /// The slowest set-up, ms.
    pub slowest_setup: f64,
}

/// What a run counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Calls that were made.
    pub offered: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that were not, by what ended them.
    pub failures: BTreeMap<String, u64>,
    /// Answered calls that the far end or the network ended before their scenario did.
    pub cut_short: u64,
    /// From the intended beginning to the answer, ms.
    pub setup: Series,
    /// From the intended beginning until it rings, ms.
    pub post_dial: Series,
    /// MOS of what was heard, one value a call.
    pub mos: Series,
    /// Mouth to ear and back of markers, ms.
    pub latency: Series,
    /// How late calls began, ms.
    pub lateness: Series,
    /// Markers in the calls that were checked.
    pub markers: u64,
    /// Of them lost.
    pub lost_markers: u64,
    /// RTP packets heard, and those that were lost.
    pub packets: u64,
    /// Lost RTP packets.
    pub lost_packets: u64,
    /// How the generator bore it.
    pub health: Health,
    /// Second by second.
    pub seconds: Vec<Second>,
}

/// Calls later than this have no schedule, ms.
const LATE_MS: f64 = 20.0;

/// More late packet times than this share spoil what is measured.
const LATE_TICKS: f64 = 0.02;

impl Tally {
    /// Adds what another generator counted at the same time.
    pub fn merge(&mut self, other: &Tally) {
        self.offered += other.offered;
        self.answered += other.answered;
        for (reason, count) in &other.failures {
            *self.failures.entry(reason.clone()).or_default() += count;
        }
        self.cut_short += other.cut_short;
        for (ours, theirs) in [
            (&mut self.setup, &other.setup),
            (&mut self.post_dial, &other.post_dial),
            (&mut self.mos, &other.mos),
            (&mut self.latency, &other.latency),
            (&mut self.lateness, &other.lateness),
        ] {
            ours.merge(theirs);
        }
        self.markers += other.markers;
        self.lost_markers += other.lost_markers;
        self.packets += other.packets;
        self.lost_packets += other.lost_packets;
        let health = &mut self.health;
        health.ticks += other.health.ticks;
        health.late_ticks += other.health.late_ticks;
        health.skipped_ticks += other.health.skipped_ticks;
        health.missed_events += other.health.missed_events;
        health.cpu_seconds = health.cpu_seconds.zip(other.health.cpu_seconds).map(|(ours, theirs)| ours + theirs);
        self.seconds.resize(self.seconds.len().max(other.seconds.len()), Second::default());
        for (ours, theirs) in self.seconds.iter_mut().zip(&other.seconds) {
            ours.begun += theirs.begun;
            ours.answered += theirs.answered;
            ours.failed += theirs.failed;
            ours.calls += theirs.calls;
            ours.slowest_setup = ours.slowest_setup.max(theirs.slowest_setup);
        }
    }

    /// Calls that failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum::<u64>() + self.cut_short
    }

    /// Their share; `None` without calls.
    pub fn failure_share(&self) -> Option<f64> {
        (self.offered > 0).then(|| self.failed() as f64 / self.offered as f64)
    }

    /// Share of lost markers; `None` without markers.
    pub fn lost_marker_share(&self) -> Option<f64> {
        (self.markers > 0).then(|| self.lost_markers as f64 / self.markers as f64)
    }

    /// Why the result says more of the generator than of who was called; empty if it can be relied on.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(late) = self.lateness.quantile(0.99).filter(|&late| late > LATE_MS) {
            faults.push(format!("calls began up to {late:.0} ms late (99 of 100; {LATE_MS} are allowed)"));
        }
        let Health { ticks, late_ticks, skipped_ticks, missed_events, .. } = self.health;
        if late_ticks as f64 > LATE_TICKS * ticks as f64 {
            let percent = 100.0 * late_ticks as f64 / ticks as f64;
            faults.push(format!("{percent:.1} % of our packets were more than 5 ms late (2 % are allowed)"));
        }
        if skipped_ticks > 0 {
            faults.push(format!("{skipped_ticks} of our packets were not sent in time and left out"));
        }
        if missed_events > 0 {
            faults.push(format!("{missed_events} events were missed"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn two_halves_merge_to_the_whole_also_after_they_were_written() {
        let mut random = Random::from_seed(1);
        let (mut whole, mut halves) = (Tally::default(), [Tally::default(), Tally::default()]);
        for call in 0..1_000 {
            let (setup, mos) = (1.0 + 500.0 * random.unit(), 1.0 + 3.5 * random.unit());
            for tally in [&mut whole, &mut halves[call % 2]] {
                tally.offered += 1;
                tally.setup.note(setup);
                tally.mos.note(mos);
                *tally.failures.entry(format!("{}", 480 + call % 3)).or_default() += 1;
            }
        }
        let [mut first, second] =
            halves.map(|half| serde_json::from_str::<Tally>(&serde_json::to_string(&half).unwrap()).unwrap());
        first.merge(&second);
        assert_eq!(first.setup.figures(), whole.setup.figures());
        assert_eq!((first.mos.figures(), first.failures, first.offered), (whole.mos.figures(), whole.failures, 1_000));
        let p95 = whole.setup.quantile(0.95).unwrap();
        assert!((p95 - 476.0).abs() < 15.0, "{p95}");
    }

    #[test]
    fn a_generator_that_was_late_says_so() {
        let mut tally =
            Tally { health: Health { ticks: 1_000, late_ticks: 10, ..Health::default() }, ..Tally::default() };
        (0..100).for_each(|_| tally.lateness.note(2.0));
        assert_eq!(tally.faults(), Vec::<String>::new());
        (0..5).for_each(|_| tally.lateness.note(90.0));
        tally.health = Health { ticks: 1_000, late_ticks: 30, skipped_ticks: 2, missed_events: 7, cpu_seconds: None };
        assert_eq!(tally.faults().len(), 4, "{:?}", tally.faults());
    }
}
