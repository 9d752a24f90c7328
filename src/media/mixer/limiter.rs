//! Keeps a sum of voices below full scale without clipping it.

/// Full scale.
const CEILING: f32 = i16::MAX as f32;

/// Seconds from full gain to none: how steeply the gain falls towards a peak that it sees coming.
const ATTACK: f32 = 0.005;

/// Seconds from no gain to full: short enough not to leave the next word faint, long enough not to be heard as distortion.
const RELEASE: f32 = 0.2;

/// A gain that falls before a peak, as far as the period shows it coming, and rises slowly behind it.
///
/// Sums below full scale pass to the sample while the gain is 1. It looks no further ahead than the period that it is
/// given, so it adds no delay; a peak at the very start of a period is met by a step of the gain.
#[derive(Debug)]
pub(super) struct Limiter {
    gain: f32,
    envelope: Vec<f32>,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: 1.0, envelope: Vec::new() }
    }
}

impl Limiter {
    /// Writes one period of `sum`, at `rate` Hz, to `out`, which is as long.
    pub(super) fn limit(&mut self, sum: &[i32], rate: u32, out: &mut [i16]) {
        let fits = sum.iter().all(|sample| i16::try_from(*sample).is_ok());
        if fits && self.gain >= 1.0 {
            out.iter_mut().zip(sum).for_each(|(out, sample)| *out = *sample as i16);
            return;
        }
        let rate = rate.max(1) as f32;
        let (fall, rise) = (1.0 / (ATTACK * rate), 1.0 / (RELEASE * rate));
        self.envelope.clear();
        let mut gain = self.gain;
        self.envelope.extend(sum.iter().map(|sample| {
            let bearable = CEILING / (sample.unsigned_abs() as f32).max(CEILING);
            gain = (gain + rise).min(bearable);
            gain
        }));
        let mut later = f32::INFINITY;
        for gain in self.envelope.iter_mut().rev() {
            *gain = gain.min(later + fall);
            later = *gain;
        }
        for ((out, sample), gain) in out.iter_mut().zip(sum).zip(&self.envelope) {
            // `as` saturates, which rounding may need by a fraction of a sample.
            *out = (*sample as f32 * gain).round() as i16;
        }
        self.gain = gain;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(limiter: &mut Limiter, sum: &[i32]) -> Vec<i16> {
        let mut out = vec![0; sum.len()];
        for (sum, out) in sum.chunks(160).zip(out.chunks_mut(160)) {
            limiter.limit(sum, 8_000, out);
        }
        out
    }

    #[test]
    fn what_fits_passes_to_the_sample() {
        let sum: Vec<i32> = (-32_768..=32_767).step_by(7).collect();
        let out = run(&mut Limiter::default(), &sum);
        assert!(out.iter().zip(&sum).all(|(out, sum)| i32::from(*out) == *sum));
    }

    #[test]
    fn a_sum_beyond_full_scale_is_scaled_and_not_cut() {
        let tone = |n: usize| (std::f64::consts::TAU * 400.0 * n as f64 / 8_000.0).sin();
        let sum: Vec<i32> = (0..8_000).map(|n| (90_000.0 * tone(n)) as i32).collect();
        let out = run(&mut Limiter::default(), &sum);
        // A cut sine rests at full scale for most of each half wave; a scaled one touches it at its crest.
        let second = &out[4_000..];
        let crest = second.iter().filter(|sample| sample.unsigned_abs() > 32_000).count();
        assert!(crest * 5 < second.len(), "{crest} of {} samples are at full scale", second.len());
        // Nothing but the tone is left of it: its shape is that of a sine.
        let (mut power, mut rest) = (0.0, 0.0);
        let scale = f64::from(second.iter().copied().max().unwrap());
        for (n, sample) in second.iter().enumerate() {
            let wanted = scale * tone(n + 4_000);
            power += wanted * wanted;
            rest += (f64::from(*sample) - wanted).powi(2);
        }
        assert!(rest / power < 0.01, "distorted by {:.2} %", 100.0 * (rest / power).sqrt());
    }

    #[test]
    fn the_gain_comes_back_and_stays_smooth() {
        let mut sum = vec![10_000; 16_000];
        sum[4_080..4_120].fill(100_000);
        let out = run(&mut Limiter::default(), &sum);
        assert!(out[4_080..4_120].iter().all(|sample| *sample > 32_700));
        assert!(out[4_060] < 9_500 && out[4_040] == 10_000, "falls in the milliseconds before: {}", out[4_060]);
        let steepest = out[4_000..4_079].windows(2).map(|pair| (pair[1] - pair[0]).abs()).max().unwrap();
        assert!(steepest <= 260, "a step of {steepest} before the peak");
        assert!(out[6_000..].iter().all(|sample| *sample == 10_000), "back to the sample after 200 ms");
    }
}
