//! Finds a marker in what was heard.

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use std::collections::HashMap;
use std::f64::consts::PI;
use std::fmt;
use std::sync::Arc;

/// How alike a marker and what is heard are when it is that one: with half of it lost it is not found, and nothing else
/// comes near (the tests of this room say how near).
pub const FOUND: f64 = 0.6;

/// Quieter than this, root mean square of 16-bit samples, is silence: the noise of a codec's last bit is like nothing.
const SILENCE: f64 = 12.0;

/// Where a marker is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Its beginning, in samples from the first heard, to a small fraction of one.
    pub at: f64,
    /// How much it is like the one sent, 0 to 1.
    pub likeness: f64,
}

/// The transforms of one length.
#[derive(Clone)]
struct Transform {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

/// Cross-correlation, with what it needs kept from one search to the next.
#[derive(Default)]
pub struct Search {
    transforms: HashMap<usize, Transform>,
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").finish_non_exhaustive()
    }
}

impl Search {
    /// Where `marker` is in `heard`, if it is there with a likeness of [`FOUND`] at least.
    pub fn find(&mut self, marker: &[i16], heard: &[i16]) -> Option<Found> {
        self.best(marker, heard).filter(|found| found.likeness >= FOUND)
    }

    /// The place in `heard` that is most like `marker`, turned upside down or not; `None` if all is silence or shorter than
    /// the marker.
    pub fn best(&mut self, marker: &[i16], heard: &[i16]) -> Option<Found> {
        let places = (heard.len() + 1).checked_sub(marker.len())?;
        let energy: f64 = marker.iter().map(|&sample| f64::from(sample).powi(2)).sum();
        if marker.is_empty() || energy == 0.0 {
            return None;
        }
        let products = self.products(marker, heard);
        let silence = SILENCE * SILENCE * marker.len() as f64;
        let mut here: f64 = heard.iter().take(marker.len()).map(|&sample| f64::from(sample).powi(2)).sum();
        let mut likeness = Vec::with_capacity(places);
        for place in 0..places {
            let product = f64::from(products.get(place).copied().unwrap_or(0.0));
            likeness.push(if here < silence { 0.0 } else { product.abs() / (energy * here).sqrt() });
            let (leaves, enters) = (heard.get(place), heard.get(place + marker.len()));
            let square = |sample: Option<&i16>| sample.map_or(0.0, |&sample| f64::from(sample).powi(2));
            here += square(enters) - square(leaves);
        }
        let tops = tops(&likeness);
        tops.iter().filter_map(|&at| refine(&products, &likeness, at)).max_by(|a, b| a.likeness.total_cmp(&b.likeness))
    }

    /// Sum of products of `marker` with each piece of `heard`, by the place where the piece begins.
    fn products(&mut self, marker: &[i16], heard: &[i16]) -> Vec<f32> {
        // No place of interest reaches around the end.
        let length = heard.len().next_power_of_two().max(2);
        let Transform { forward, inverse } = self.transform(length);
        let spectrum = |samples: &[i16]| -> Vec<Complex<f32>> {
            let mut time = forward.make_input_vec();
            time.iter_mut().zip(samples).for_each(|(out, &sample)| *out = f32::from(sample) / 32_768.0);
            let mut frequency = forward.make_output_vec();
            // Both lengths are the transform's own.
            let _ = forward.process(&mut time, &mut frequency);
            frequency
        };
        let (marker, mut heard) = (spectrum(marker), spectrum(heard));
        heard.iter_mut().zip(&marker).for_each(|(heard, marker)| *heard *= marker.conj());
        let mut products = inverse.make_output_vec();
        // The first and the last have no imaginary part, but for rounding.
        for end in [0, length / 2] {
            if let Some(end) = heard.get_mut(end) {
                end.im = 0.0;
            }
        }
        let _ = inverse.process(&mut heard, &mut products);
        let scale = 32_768.0 * 32_768.0 / length as f32;
        products.iter_mut().for_each(|product| *product *= scale);
        products
    }

    fn transform(&mut self, length: usize) -> Transform {
        let make = || {
            let mut planner = RealFftPlanner::new();
            Transform { forward: planner.plan_fft_forward(length), inverse: planner.plan_fft_inverse(length) }
        };
        self.transforms.entry(length).or_insert_with(make).clone()
    }
}

/// How many places are looked at between the samples: the true top may lie between two that look lower than another.
const TOPS: usize = 4;

/// The highest local tops, none of them 0.
fn tops(likeness: &[f64]) -> Vec<usize> {
    let at = |place: usize| likeness.get(place).copied().unwrap_or(0.0);
    let is_top = |&place: &usize| {
        let here = at(place);
        here > 0.0 && here >= at(place + 1) && place.checked_sub(1).is_none_or(|before| here > at(before))
    };
    let mut tops: Vec<usize> = (0..likeness.len()).filter(is_top).collect();
    tops.sort_by(|&a, &b| at(b).total_cmp(&at(a)));
    tops.truncate(TOPS);
    tops
}

/// Steps to a sample, and products on each side, of the interpolation.
const STEPS: i32 = 8;
const TAPS: i32 = 16;

/// The top beside the place `at`, between the samples.
fn refine(products: &[f32], likeness: &[f64], at: usize) -> Option<Found> {
    let (here, product) = (*likeness.get(at)?, f64::from(*products.get(at)?).abs());
    if product == 0.0 {
        return None;
    }
    // The loudness of what is heard does not change within a sample.
    let value = |step: i32| interpolate(products, at, f64::from(step) / f64::from(STEPS)).abs() * here / product;
    let best = (-STEPS..=STEPS).map(|step| (step, value(step))).max_by(|a, b| a.1.total_cmp(&b.1));
    let (step, top) = best?;
    // The top of the parabola through the best step and those beside it.
    let (before, behind) = (value(step - 1), value(step + 1));
    let bend = before - 2.0 * top + behind;
    let shift = if bend < 0.0 { (0.5 * (before - behind) / bend).clamp(-0.5, 0.5) } else { 0.0 };
    Some(Found { at: at as f64 + (f64::from(step) + shift) / f64::from(STEPS), likeness: top.min(1.0) })
}

/// The value `shift` samples behind the place `at`: a windowed sinc.
fn interpolate(products: &[f32], at: usize, shift: f64) -> f64 {
    (-TAPS..=TAPS)
        .filter_map(|tap| {
            let product = f64::from(*products.get(at.checked_add_signed(tap as isize)?)?);
            let x = shift - f64::from(tap);
            let window = 0.5 + 0.5 * (PI * x / f64::from(TAPS + 2)).cos();
            Some(product * window * if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) })
        })
        .sum()
}
