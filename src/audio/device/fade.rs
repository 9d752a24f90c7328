//! The end of what there is to play, without a click.

/// How long the sound takes to go and to come back: too short to be heard as a fade, long enough not to be one click.
const FADE_MILLIS: u32 = 5;

/// Turns the sound down before it runs out, and up again when there is more.
///
/// ```text
///  level  ──────╲                ╱──────    down over the last 5 ms that are there (what is missing of them holds the
///                ╲______________╱            last sample), up over the first 5 ms that come
///                 nothing to play
/// ```
pub(super) struct Fade {
    /// Of the level per sample.
    step: f32,
    level: f32,
    last: f32,
}

impl Fade {
    /// For a device of `rate` Hz.
    pub(super) fn new(rate: u32) -> Self {
        let samples = (rate * FADE_MILLIS / 1_000).max(1);
        Self { step: 1.0 / samples as f32, level: 0.0, last: 0.0 }
    }

    /// From which of `wanted` samples on the sound goes, when only `available` of them are there.
    pub(super) fn goes_from(&self, available: usize, wanted: usize) -> usize {
        let fade = (1.0 / self.step) as usize;
        if available >= wanted { usize::MAX } else { available.saturating_sub(fade) }
    }

    /// The next sample that is heard; `sample` is `None` where there is none.
    pub(super) fn next(&mut self, sample: Option<i16>, goes: bool) -> f32 {
        let step = if goes { -self.step } else { self.step };
        self.level = (self.level + step).clamp(0.0, 1.0);
        self.last = sample.map_or(self.last, f32::from);
        self.last * self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is heard of a tone that is there but for `gap` of 480 samples, in pieces of 240 at 48 kHz.
    fn heard(gap: std::ops::Range<usize>) -> Vec<f32> {
        let mut fade = Fade::new(48_000);
        let mut phase = 0.0_f32;
        let mut heard = Vec::new();
        for piece in 0..40 {
            let available = if gap.contains(&piece) { if piece == gap.start { 100 } else { 0 } } else { 240 };
            let from = fade.goes_from(available, 240);
            for n in 0..240 {
                let sample = (n < available).then(|| {
                    phase += 440.0 / 48_000.0;
                    (10_000.0 * (std::f32::consts::TAU * phase).sin()) as i16
                });
                heard.push(fade.next(sample, n >= from));
            }
        }
        heard
    }

    #[test]
    fn a_gap_makes_no_step_that_the_tone_does_not_make() {
        let step = |heard: &[f32]| heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        let (whole, broken) = (heard(0..0), heard(20..24));
        assert!(step(&broken) <= 1.1 * step(&whole) + 42.0, "{} against {}", step(&broken), step(&whole));
        assert!(broken[20 * 240 + 240..24 * 240].iter().all(|sample| *sample == 0.0), "silence in the gap");
        assert!(broken[26 * 240..].iter().any(|sample| *sample > 9_000.0), "the sound is back");
    }
}
