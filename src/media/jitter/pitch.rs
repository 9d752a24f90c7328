//! The period at which a signal repeats itself: where speech can be cut, lengthened and made up without a click.

/// Shortest and longest period of a voice, in samples at `rate`: 400 Hz and 66 Hz.
pub(super) const fn period_range(rate: usize) -> (usize, usize) {
    (rate / 400, rate * 3 / 200)
}

/// How alike two signals are: 1 the same but for loudness, 0 unrelated, -1 opposite. Looks at every `step`th sample.
fn likeness(a: &[i16], b: &[i16], step: usize) -> f32 {
    let (mut product, mut energy_a, mut energy_b) = (0i64, 0i64, 0i64);
    for (&x, &y) in a.iter().zip(b).step_by(step) {
        let (x, y) = (i32::from(x), i32::from(y));
        product += i64::from(x * y);
        energy_a += i64::from(x * x);
        energy_b += i64::from(y * y);
    }
    if energy_a == 0 || energy_b == 0 {
        return 0.0;
    }
    product as f32 / ((energy_a as f32) * (energy_b as f32)).sqrt()
}

/// The lag in `shortest..=longest` at which `audio`, from `at` on, looks most like itself `lag` samples later, over
/// `window` samples, and how much. `None` if `audio` is too short for the shortest lag.
pub(super) fn best_lag(
    audio: &[i16],
    at: usize,
    (shortest, longest): (usize, usize),
    window: usize,
    rate: usize,
) -> Option<(usize, f32)> {
    let here = audio.get(at..at + window)?;
    let longest = longest.min(audio.len().checked_sub(at + window)?);
    // Speech pitch is found in the lowest 4 kHz, to a sample of 8 kHz; the second pass refines it.
    let step = (rate / 8_000).max(1);
    let alike = |lag: usize, step: usize| likeness(here, audio.get(at + lag..at + lag + window).unwrap_or(&[]), step);
    let better = |best: Option<(usize, f32)>, lag: usize, step: usize| {
        let likeness = alike(lag, step);
        if best.is_none_or(|(_, other)| likeness > other) { Some((lag, likeness)) } else { best }
    };
    let coarse = (shortest..=longest).step_by(step).fold(None, |best, lag| better(best, lag, step));
    if step == 1 {
        return coarse;
    }
    let (centre, _) = coarse?;
    let near = centre.saturating_sub(step - 1).max(shortest)..=(centre + step - 1).min(longest);
    near.fold(None, |best, lag| better(best, lag, 2))
}

/// Is there next to nothing to hear? (Below -60 dB of full scale.)
pub(super) fn is_silent(audio: &[i16]) -> bool {
    let energy: i64 = audio.iter().map(|&sample| i64::from(i32::from(sample) * i32::from(sample))).sum();
    energy <= 33 * 33 * audio.len() as i64
}

/// The value on the way from `from` to `to`, `step` of `steps` done.
pub(super) fn blend(from: i16, to: i16, step: usize, steps: usize) -> i16 {
    let (step, steps) = (step as i32, steps.max(1) as i32);
    // No overflow: both weights are at most `steps`, a few thousand.
    ((i32::from(from) * (steps - step) + i32::from(to) * step) / steps) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_period_of_a_voice_is_found_at_every_rate() {
        for (rate, hertz) in [(8_000, 100.0), (8_000, 210.0), (48_000, 130.0), (16_000, 300.0)] {
            let audio: Vec<i16> = (0..rate / 20)
                .map(|n| {
                    let phase = n as f64 * hertz * std::f64::consts::TAU / rate as f64;
                    ((phase.sin() + 0.6 * (2.0 * phase).sin() + 0.3 * (5.0 * phase).cos()) * 5_000.0) as i16
                })
                .collect();
            let (lag, alike) = best_lag(&audio, 0, period_range(rate), rate / 100, rate).unwrap();
            let periods = lag as f64 * hertz / rate as f64;
            assert!((periods - periods.round()).abs() < 0.02 && periods > 0.9, "{rate} {hertz}: lag {lag}");
            assert!(alike > 0.97, "{alike}");
        }
    }

    #[test]
    fn too_little_audio_has_no_period() {
        assert_eq!(best_lag(&[1; 50], 0, period_range(8_000), 40, 8_000), None);
        assert_eq!(best_lag(&[1; 50], 60, period_range(8_000), 40, 8_000), None);
        assert!(is_silent(&[0; 10]) && is_silent(&[20; 10]) && !is_silent(&[60; 10]));
    }
}
