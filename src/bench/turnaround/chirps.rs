//! Chirps that can be told from each other, and where they are in what is heard.

use crate::random::Random;
use std::f32::consts::TAU;

/// Lowest and highest frequency, Hz: what a telephone passes.
const BAND: (f32, f32) = (400.0, 3_200.0);

/// Peak of a chirp.
const PEAK: f32 = 9_000.0;

/// How alike a chirp and what is heard of it are when it is certainly that one.
const FOUND: f32 = 0.75;

/// Chirps of one rate and length, numbered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chirps {
    pub(super) rate: u32,
    pub(super) samples: usize,
    pub(super) seed: u64,
}

/// A chirp in what is heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    /// Its first sample.
    pub(super) at: usize,
    /// How much it is like the one sent, 0 to 1.
    pub(super) likeness: f32,
}

impl Chirps {
    /// The chirp `number`: two sweeps, one after the other, each between two frequencies of its own.
    pub(super) fn chirp(&self, number: u32) -> Vec<i16> {
        let mut random = Random::from_seed(self.seed.wrapping_add(u64::from(number)));
        let half = self.samples / 2;
        let mut chirp = self.sweep(half, &mut random);
        chirp.extend(self.sweep(self.samples - half, &mut random));
        chirp
    }

    fn sweep(&self, samples: usize, random: &mut Random) -> Vec<i16> {
        let width = BAND.1 - BAND.0;
        let begin = BAND.0 + width * random.unit() as f32;
        // Far enough from the beginning to be a sweep, on the other side if there is no room.
        let step = width * (0.25 + 0.5 * random.unit() as f32);
        let end = BAND.0 + (begin - BAND.0 + step) % width;
        let phase = TAU * random.unit() as f32;
        (0..samples)
            .map(|n| {
                let time = n as f32 / self.rate as f32;
                let frequency = begin + (end - begin) * n as f32 / samples as f32 / 2.0;
                // Half a millisecond of fade: a step would be another signal.
                let edge = (n.min(samples - 1 - n) as f32 * 2_000.0 / self.rate as f32).min(1.0);
                ((phase + TAU * frequency * time).sin() * PEAK * edge) as i16
            })
            .collect()
    }

    /// Where `chirp` is in `heard`: at `expected` or near it, else anywhere up to `reach` samples from it.
    pub(super) fn find(&self, chirp: &[i16], heard: &[i16], expected: usize, reach: usize) -> Option<Place> {
        let near = self.samples / 40;
        let best = |from: usize, to: usize, step: usize| {
            (from..=to).step_by(step).fold(None, |best: Option<Place>, at| {
                let likeness = heard.get(at..at + chirp.len()).map_or(-1.0, |heard| likeness(chirp, heard));
                if best.is_none_or(|best| likeness > best.likeness) { Some(Place { at, likeness }) } else { best }
            })
        };
        let around = |at: usize, by: usize| (at.saturating_sub(by), at + by);
        let (from, to) = around(expected, near);
        let place = best(from, to, 1)?;
        if place.likeness >= FOUND {
            return Some(place);
        }
        // A chirp of 3.2 kHz changes its sign every 156 us: 62 us are fine enough to see it.
        let step = (self.rate as usize / 16_000).max(1);
        let (from, to) = around(expected, reach);
        let rough = best(from, to, step)?;
        let (from, to) = around(rough.at, step);
        best(from, to, 1).filter(|place| place.likeness >= FOUND)
    }
}

/// How alike two signals are: 1 the same but for loudness, 0 unrelated.
fn likeness(a: &[i16], b: &[i16]) -> f32 {
    let (mut product, mut energy_a, mut energy_b) = (0.0f32, 0.0f32, 0.0f32);
    for (&x, &y) in a.iter().zip(b) {
        let (x, y) = (f32::from(x), f32::from(y));
        product += x * y;
        energy_a += x * x;
        energy_b += y * y;
    }
    if energy_a == 0.0 || energy_b == 0.0 { 0.0 } else { product / (energy_a * energy_b).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chirp_is_found_where_it_is_and_no_other_is_taken_for_it() {
        for (rate, samples) in [(8_000, 160), (16_000, 320), (48_000, 960)] {
            let chirps = Chirps { rate, samples, seed: 7 };
            let mut heard = vec![0; 37];
            (0..40).for_each(|number| heard.extend(chirps.chirp(number)));
            for number in [3, 17, 30] {
                let chirp = chirps.chirp(number);
                let at = 37 + number as usize * samples;
                for expected in [at, at + samples / 2, at + 3 * samples] {
                    let place = chirps.find(&chirp, &heard, expected, 5 * samples).unwrap();
                    assert_eq!((place.at, place.likeness > 0.999), (at, true), "{rate} {number} {place:?}");
                }
                heard[at..at + samples].fill(0);
                assert_eq!(chirps.find(&chirp, &heard, at, 5 * samples), None, "{rate} {number}");
            }
        }
    }

    #[test]
    fn a_cut_chirp_is_less_than_intact() {
        let chirps = Chirps { rate: 8_000, samples: 160, seed: 7 };
        let chirp = chirps.chirp(5);
        let mut heard = vec![0; 400];
        heard[100..260].copy_from_slice(&chirp);
        // A quarter is missing: 5 ms.
        heard[220..260].fill(0);
        let place = chirps.find(&chirp, &heard, 100, 50).unwrap();
        assert!(place.at == 100 && place.likeness < 0.9, "{place:?}");
    }
}
