//! Sounds that can be found again: what an instrument sends to see when, and whether, it is heard.
//!
//! ```text
//!  Markers ─ marker(number) ─▶ codec, network, far side, codec ─▶ Search::find ─▶ Found { at, likeness }
//! ```
//!
//! A marker hops over the telephone band in an order of its own, sweeping up or down a little in each hop. So it is of one
//! loudness throughout, which codecs made for speech carry best, it is sharp in time whatever part of it arrives, and
//! neither speech nor noise nor another marker is like it.

mod search;

pub use search::{FOUND, Found, Search};

use crate::random::Random;
use crate::time::Duration;
use std::f64::consts::{PI, TAU};

/// Lowest and highest frequency, Hz: what a telephone passes (ITU-T G.712), without its edges.
const BAND: (f64, f64) = (400.0, 3_300.0);

/// Hops of a marker, and how many parts the band has: each is used once.
const HOPS: usize = 12;

/// Length of a hop, seconds.
const HOP: f64 = 0.005;

/// Rise and fall, seconds: a step would be another signal.
const EDGE: f64 = 0.001;

/// Peak: 11 dB below the loudest, as loud speech is.
const PEAK: f64 = 9_000.0;

/// Length of a marker.
pub const LENGTH: Duration = Duration::from_millis(60);

/// The markers of one seed at one rate, numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Markers {
    rate: u32,
    seed: u64,
}

/// One hop.
#[derive(Clone, Copy, Debug)]
struct Hop {
    /// Frequency at its beginning, Hz.
    from: f64,
    /// How much it rises over the hop, Hz.
    rise: f64,
    /// Phase at its beginning.
    phase: f64,
}

impl Markers {
    /// Markers for audio of `rate` Hz, 8,000 at least; another `seed` has others.
    pub fn new(rate: u32, seed: u64) -> Self {
        Self { rate, seed }
    }

    /// Rate in Hz.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Samples of a marker, without the one more that a fraction needs.
    pub fn samples(&self) -> usize {
        (HOPS as f64 * HOP * f64::from(self.rate)).round() as usize
    }

    /// The marker `number`, beginning `fraction` (0 to 1) of a sample after its first.
    pub fn marker(&self, number: u32, fraction: f64) -> Vec<i16> {
        let hops = self.hops(number);
        let length = HOPS as f64 * HOP;
        (0..=self.samples())
            .map(|sample| {
                let time = (sample as f64 - fraction) / f64::from(self.rate);
                if !(0.0..length).contains(&time) {
                    return 0;
                }
                let index = ((time / HOP) as usize).min(HOPS - 1);
                let Some(hop) = hops.get(index) else { return 0 };
                let into = time - index as f64 * HOP;
                let phase = hop.phase + TAU * (hop.from + hop.rise * into / HOP / 2.0) * into;
                let edge = (time.min(length - time) / EDGE).min(1.0);
                (phase.sin() * PEAK * (1.0 - (PI * edge).cos()) / 2.0) as i16
            })
            .collect()
    }

    fn hops(&self, number: u32) -> [Hop; HOPS] {
        let mut random = Random::from_seed(self.seed ^ (u64::from(number) << 32 | u64::from(!number)));
        let mut parts: [usize; HOPS] = std::array::from_fn(|part| part);
        for at in (1..HOPS).rev() {
            parts.swap(at, random.range(0, at as u64 + 1) as usize);
        }
        let width = (BAND.1 - BAND.0) / HOPS as f64;
        let mut phase = TAU * random.unit();
        parts.map(|part| {
            let low = BAND.0 + width * part as f64;
            let hop = if random.chance(0.5) {
                Hop { from: low, rise: width, phase }
            } else {
                Hop { from: low + width, rise: -width, phase }
            };
            // The next hop goes on where this one ends.
            phase = (phase + TAU * (hop.from + hop.rise / 2.0) * HOP) % TAU;
            hop
        })
    }
}

#[cfg(test)]
mod tests;
