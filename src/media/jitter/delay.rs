//! How late packets are: the delay that playout has to wait for.
//!
//! A packet's *transit* is its arrival time minus its media time; only differences of transits mean something. A
//! histogram of recent transits, older ones forgotten, tells which transit only [`LATE`] of the packets exceed. One
//! stall of the network ("spike") delays a dozen packets and says nothing about the next minute, so it stays out of
//! the histogram, unless spikes come regularly or the transit stays where the spike took it.
//!
//! ```text
//!  weight
//!    █
//!    ██▄
//!   ▄███▄▂▁ ▁      ▁   ▁▂▁ ← a spike: ignored until the third within ten seconds
//!  ─┴───────┴──────────────▶ transit
//!  usual    late_transit()
//! ```

use crate::time::{Duration, Instant};

/// Share of packets that may come late.
const LATE: f32 = 0.001;
/// Width of a bucket, µs: the accuracy of the answer.
const BUCKET: i64 = 1_000;
/// Buckets: transits spread over more than 400 ms cannot be waited for in a conversation (G.114: 400 ms one way).
const BUCKETS: usize = 400;
/// Time constant of forgetting, seconds of media: long enough to hold the rare packet that [`LATE`] is about.
const MEMORY: f32 = 15.0;
/// Seconds after which what was not seen again no longer holds the delay up.
const RECENT: usize = 10;
/// A packet this much later than all is part of a spike, µs: above what Wi-Fi does all the time.
const SPIKE: i64 = 60_000;
/// Spikes at less than this distance ...
const SPIKE_MEMORY: Duration = Duration::from_secs(10);
/// ... and at least this many of them are how this network is.
const SPIKES: usize = 3;
/// A transit that stays up for longer has changed for good: no queue that drains lasts longer.
const SHIFT: Duration = Duration::from_secs(2);
/// Packets of the first second that come much earlier than those before show that those had waited somewhere.
const SETTLING: Duration = Duration::from_secs(1);
/// How much earlier, µs.
const EARLIER: i64 = 10_000;
/// Delay is given up only when this much more of it is free, µs: estimates breathe; ...
const RELUCTANCE: i64 = 2_000;
/// ... at the start of a stream this much, µs, for the first packets do not tell what the network does: what is cut out
/// at once has to be put back at the next late packet, ...
const FIRST_RELUCTANCE: i64 = 20_000;
/// ... or this much, µs, where it is put back without cutting anything, ...
const FIRST_RESERVE: i64 = 4_000;
/// ... falling over so much media.
const ACQUAINTANCE: Duration = Duration::from_secs(2);

/// The memory of transits of one stream.
#[derive(Clone, Debug)]
pub(super) struct Delay {
    weights: Vec<f32>,
    total: f32,
    /// Weight of the next observation; grows instead of all others shrinking.
    unit: f32,
    /// Lower edge of the first bucket, µs of transit.
    anchor: i64,
    since: Option<Instant>,
    /// Media received since the start, up to [`ACQUAINTANCE`].
    known: Duration,
    usual: i64,
    late: i64,
    /// Highest transit of each of the last seconds, and which second was the last.
    highest: [Option<i64>; RECENT],
    second: u64,
    /// When the current spike began.
    spike: Option<Instant>,
    /// When the last spikes began.
    spikes: [Option<Instant>; SPIKES],
}

impl Delay {
    pub(super) fn new() -> Self {
        Self {
            weights: vec![0.0; BUCKETS],
            total: 0.0,
            unit: 1.0,
            anchor: 0,
            since: None,
            known: Duration::ZERO,
            usual: 0,
            late: 0,
            highest: [None; RECENT],
            second: 0,
            spike: None,
            spikes: [None; SPIKES],
        }
    }

    /// Forgets everything: the stream starts over.
    pub(super) fn restart(&mut self) {
        self.clear();
        (self.since, self.spike, self.known) = (None, None, Duration::ZERO);
        (self.highest, self.spikes) = ([None; RECENT], [None; SPIKES]);
    }

    /// A packet that holds `length` of media came at `now` with `transit` µs.
    pub(super) fn observe(&mut self, now: Instant, transit: i64, length: Duration) {
        self.remember(now, transit);
        self.known = (self.known + length).min(ACQUAINTANCE);
        let first = *self.since.get_or_insert(now);
        let settling = now.since(first) < SETTLING;
        if self.total > 0.0 && settling && transit < self.anchor - EARLIER {
            self.clear();
        }
        if self.total > 0.0 && self.in_spike(now, transit) {
            return;
        }
        self.add(transit, length);
    }

    /// The transit that only [`LATE`] of the packets exceed, µs; `None` before the first packet.
    pub(super) fn late_transit(&self) -> Option<i64> {
        if self.total <= 0.0 {
            return None;
        }
        // What comes once in a thousand packets may not have come in the last seconds.
        let allowance = 2 * BUCKET + (self.late - self.usual) / 8;
        let recent = self.highest.iter().flatten().max().map_or(self.late, |highest| highest + allowance);
        Some(self.late.min(recent))
    }

    /// The transit of the quickest packets, µs; `None` before the first packet.
    pub(super) fn usual_transit(&self) -> Option<i64> {
        (self.total > 0.0).then_some(self.usual)
    }

    /// How much more than a pull has to be free before that pull is given up, µs.
    pub(super) fn reluctance(&self) -> i64 {
        RELUCTANCE + self.unknown(FIRST_RELUCTANCE - RELUCTANCE)
    }

    /// How much has to stay free when pulls are moved instead, µs.
    pub(super) fn reserve(&self) -> i64 {
        self.unknown(FIRST_RESERVE)
    }

    /// `most` at the start of a stream, 0 when it is known.
    fn unknown(&self, most: i64) -> i64 {
        most * ACQUAINTANCE.saturating_sub(self.known).as_micros() as i64 / ACQUAINTANCE.as_micros() as i64
    }

    /// True for a packet that must not count.
    fn in_spike(&mut self, now: Instant, transit: i64) -> bool {
        let limit = self.late + SPIKE.max(2 * (self.late - self.usual));
        match self.spike {
            None if transit <= limit => return false,
            // It ends when packets are back among the usual ones.
            Some(_) if transit <= self.late => {
                self.spike = None;
                return false;
            }
            None => {
                self.spike = Some(now);
                self.spikes.rotate_left(1);
                if let Some(last) = self.spikes.last_mut() {
                    *last = Some(now);
                }
            }
            Some(began) if now.since(began) > SHIFT => {
                self.spike = None;
                self.clear();
                return false;
            }
            Some(_) => {}
        }
        let regular = self.spikes.first().copied().flatten().is_some_and(|oldest| now.since(oldest) < SPIKE_MEMORY);
        !regular
    }

    fn remember(&mut self, now: Instant, transit: i64) {
        let second = now.since_start().as_secs();
        let skipped = second.saturating_sub(self.second).min(RECENT as u64);
        for back in 0..skipped {
            if let Some(slot) = self.highest.get_mut(((second - back) % RECENT as u64) as usize) {
                *slot = None;
            }
        }
        self.second = self.second.max(second);
        if let Some(slot) = self.highest.get_mut((second % RECENT as u64) as usize) {
            *slot = Some(slot.map_or(transit, |highest| highest.max(transit)));
        }
    }

    fn clear(&mut self) {
        self.weights.fill(0.0);
        (self.total, self.unit) = (0.0, 1.0);
    }

    fn add(&mut self, transit: i64, length: Duration) {
        if self.total <= 0.0 {
            self.anchor = transit;
        }
        if transit < self.anchor {
            self.shift_up(((self.anchor - transit + BUCKET - 1) / BUCKET) as usize);
        }
        let bucket = (((transit - self.anchor) / BUCKET) as usize).min(BUCKETS - 1);
        if let Some(weight) = self.weights.get_mut(bucket) {
            *weight += self.unit;
        }
        self.total += self.unit;
        self.unit *= 1.0 + length.as_secs_f32() / MEMORY;
        if self.unit > 1e6 {
            self.weights.iter_mut().for_each(|weight| *weight /= self.unit);
            self.total /= self.unit;
            self.unit = 1.0;
        }
        self.measure();
        let floor = ((self.usual - self.anchor) / BUCKET) as usize;
        if floor > BUCKETS / 4 {
            self.shift_down(floor - BUCKETS / 8);
        }
    }

    /// Finds both edges of the histogram.
    fn measure(&mut self) {
        let edge = self.total * LATE;
        let mut above = 0.0;
        let past_edge = |weight: &f32| {
            above += weight;
            above > edge
        };
        // One bucket more: what moves slowly (drift) is seen before packets are late.
        let late = self.weights.iter().rev().position(past_edge).map_or(0, |from_top| BUCKETS - from_top + 1);
        self.late = self.anchor + late as i64 * BUCKET;
        let edge = self.total * 0.05;
        let mut below = 0.0;
        let past_edge = |weight: &f32| {
            below += weight;
            below > edge
        };
        self.usual = self.anchor + self.weights.iter().position(past_edge).unwrap_or(0) as i64 * BUCKET;
    }

    /// Makes room for transits that are `buckets` lower.
    fn shift_up(&mut self, buckets: usize) {
        let kept = BUCKETS.saturating_sub(buckets);
        let (low, high) = self.weights.split_at_mut(kept);
        // What no longer fits still is late.
        let fallen: f32 = high.iter().sum();
        if let Some(last) = low.last_mut() {
            *last += fallen;
        }
        self.weights.rotate_right(buckets.min(BUCKETS));
        self.weights.iter_mut().take(buckets).for_each(|weight| *weight = 0.0);
        self.anchor -= buckets as i64 * BUCKET;
        self.total = self.weights.iter().sum();
    }

    /// Follows a sender whose clock runs slower than ours: transits grow for ever.
    fn shift_down(&mut self, buckets: usize) {
        let fallen: f32 = self.weights.iter().take(buckets).sum();
        self.weights.rotate_left(buckets);
        let kept = BUCKETS - buckets;
        self.weights.iter_mut().skip(kept).for_each(|weight| *weight = 0.0);
        if let Some(first) = self.weights.first_mut() {
            *first += fallen;
        }
        self.anchor += buckets as i64 * BUCKET;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const PACKET: Duration = Duration::from_millis(20);

    /// Feeds packets `from..to` whose delays in ms `delay` tells; transits are the delays plus `offset` ms.
    fn feed(estimate: &mut Delay, packets: std::ops::Range<u64>, mut delay: impl FnMut(u64) -> f64) {
        for n in packets {
            let delay = delay(n);
            let now = Instant::from_millis(20 * n) + Duration::from_micros((delay * 1_000.0) as u64);
            estimate.observe(now, (delay * 1_000.0) as i64 - 7_000_000, PACKET);
        }
    }

    /// Late transit in ms over the transit of a packet without delay.
    fn late(estimate: &Delay) -> f64 {
        (estimate.late_transit().unwrap() + 7_000_000) as f64 / 1_000.0
    }

    #[test]
    fn a_clean_network_needs_nothing() {
        let mut estimate = Delay::new();
        assert_eq!(estimate.late_transit(), None);
        feed(&mut estimate, 0..500, |_| 30.2);
        assert!((31.2..=32.3).contains(&late(&estimate)), "{}", late(&estimate));
    }

    #[test]
    fn jitter_is_covered_to_all_but_a_thousandth() {
        let mut random = Random::from_seed(5);
        let mut delays = (0..60_000).map(|_| {
            // Sum of twelve uniforms: sigma 1; 10 ms here, around 50 ms.
            let normal = (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
            (50.0 + 10.0 * normal).max(0.0)
        });
        let mut estimate = Delay::new();
        let (mut exceeded, mut sum) = (0, 0.0);
        for n in 0..60_000 {
            let delay = delays.next().unwrap();
            if n > 500 {
                exceeded += u32::from(delay > late(&estimate));
                sum += late(&estimate);
            }
            feed(&mut estimate, n..n + 1, |_| delay);
        }
        assert!(exceeded < 180, "{exceeded} of 59500 came later than expected");
        let mean = sum / 59_500.0;
        assert!((75.0..92.0).contains(&mean), "waits {mean} ms");
    }

    #[test]
    fn one_spike_is_forgotten_three_are_believed() {
        let mut estimate = Delay::new();
        let spike = |n: u64| if n % 200 >= 190 { 200.0 - (n % 200 - 190) as f64 * 20.0 } else { 5.0 };
        feed(&mut estimate, 0..200, spike);
        feed(&mut estimate, 200..205, |_| 5.0);
        assert!(late(&estimate) < 8.0, "{}", late(&estimate));
        feed(&mut estimate, 205..605, spike);
        assert!(late(&estimate) > 150.0, "{}", late(&estimate));
        feed(&mut estimate, 605..1_180, |_| 5.0);
        assert!(late(&estimate) < 30.0, "{} after eleven quiet seconds", late(&estimate));
    }

    #[test]
    fn a_lasting_change_is_followed_both_ways() {
        let mut estimate = Delay::new();
        feed(&mut estimate, 0..500, |_| 10.0);
        feed(&mut estimate, 500..580, |_| 150.0);
        assert!(late(&estimate) < 13.0, "not yet");
        feed(&mut estimate, 580..620, |_| 150.0);
        assert!((150.0..154.0).contains(&late(&estimate)), "{}", late(&estimate));
        assert!(estimate.usual_transit().unwrap() + 7_000_000 >= 149_000);
        feed(&mut estimate, 620..1_200, |_| 10.0);
        assert!(late(&estimate) < 33.0, "{} after", late(&estimate));
    }

    #[test]
    fn packets_that_waited_before_the_call_are_forgotten() {
        let mut estimate = Delay::new();
        // Six packets in one burst, then regular ones.
        feed(&mut estimate, 0..6, |n| 120.0 - 20.0 * n as f64);
        feed(&mut estimate, 6..50, |_| 0.0);
        assert!(late(&estimate) < 25.0, "{}", late(&estimate));
    }

    #[test]
    fn drift_is_followed_for_hours() {
        let mut estimate = Delay::new();
        // 200 ppm both ways: 4 µs for each packet, 720 ms in an hour.
        feed(&mut estimate, 0..180_000, |n| 1_000.0 + n as f64 * 0.004);
        assert!((1_720.0..1_724.0).contains(&late(&estimate)), "{}", late(&estimate));
        feed(&mut estimate, 180_000..360_000, |n| 1_720.0 - (n - 180_000) as f64 * 0.004);
        assert!((1_000.0..1_024.0).contains(&late(&estimate)), "{}", late(&estimate));
    }

    #[test]
    fn restart_forgets() {
        let mut estimate = Delay::new();
        feed(&mut estimate, 0..100, |_| 400.0);
        estimate.restart();
        assert_eq!(estimate.late_transit(), None);
        feed(&mut estimate, 100..101, |_| 3.0);
        assert!(late(&estimate) < 6.0);
    }
}
