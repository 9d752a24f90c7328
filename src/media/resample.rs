//! Sample-rate conversion of mono audio, on `rubato`.

use crate::time::Duration;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, ResamplerConstructionError};

/// Two rates that cannot be converted into each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot convert {from} Hz to {to} Hz: {reason}; use rates between 4000 and 192000 Hz")]
pub struct Unconvertible {
    /// Rate of what comes in, Hz.
    pub from: u32,
    /// Rate of what should come out, Hz.
    pub to: u32,
    /// Why not.
    pub reason: String,
}

/// Converts mono 16-bit audio from one rate to another, in pieces of any length.
///
/// It adds about 5 ms of delay and works on pieces of about 10 ms: what does not fill one waits for the next call.
/// Allocates only while its buffers still grow.
pub struct Resampler {
    inner: Fft<f32>,
    from: u32,
    to: u32,
    /// What came in and fills no piece yet.
    input: Vec<f32>,
    output: Vec<f32>,
    /// Samples that are not let out.
    skip: usize,
}

impl Resampler {
    /// A converter from `from` Hz to `to` Hz.
    ///
    /// # Errors
    /// [`Unconvertible`] for rates of zero and the like.
    pub fn new(from: u32, to: u32) -> Result<Self, Unconvertible> {
        let unconvertible = |reason: String| Unconvertible { from, to, reason };
        if !(4_000..=192_000).contains(&from) || !(4_000..=192_000).contains(&to) {
            return Err(unconvertible("out of range".into()));
        }
        let piece = from as usize / 100;
        let inner = Fft::new_custom(
            from as usize,
            to as usize,
            piece,
            1,
            1,
            rubato::WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .map_err(|error: ResamplerConstructionError| unconvertible(error.to_string()))?;
        let output = vec![0.0; inner.output_frames_max()];
        Ok(Self { inner, from, to, input: Vec::new(), output, skip: 0 })
    }

    /// A converter that goes on behind `history`, at `from` Hz: the first sample that comes out is the one behind it.
    ///
    /// # Errors
    /// [`Unconvertible`] as [`Resampler::new`].
    pub fn behind(history: &[i16], from: u32, to: u32) -> Result<Self, Unconvertible> {
        let mut resampler = Self::new(from, to)?;
        let known = history.len() as u64 * u64::from(to) / u64::from(from);
        resampler.skip = known as usize + resampler.inner.output_delay();
        resampler.process(history, &mut Vec::new());
        Ok(resampler)
    }

    /// What came in and did not come out yet, nor ever will.
    pub fn held(&self) -> Duration {
        let seconds = |samples: usize, rate: u32| samples as f64 / f64::from(rate);
        let delay = self.inner.output_delay().saturating_sub(self.skip);
        Duration::from_secs_f64(seconds(self.input.len(), self.from) + seconds(delay, self.to))
    }

    /// The rate of what comes in, Hz.
    pub fn from(&self) -> u32 {
        self.from
    }

    /// The rate of what comes out, Hz.
    pub fn to(&self) -> u32 {
        self.to
    }

    /// Takes `audio`, and appends what comes out to `out`.
    pub fn process(&mut self, audio: &[i16], out: &mut Vec<i16>) {
        self.input.extend(audio.iter().map(|&sample| f32::from(sample)));
        let mut taken = 0;
        while let Some((used, made)) = self.piece(taken) {
            taken += used;
            let skipped = made.min(self.skip);
            self.skip -= skipped;
            // `as` saturates.
            out.extend(self.output.iter().take(made).skip(skipped).map(|&sample| sample.round() as i16));
        }
        self.input.drain(..taken);
    }

    /// Converts the piece that begins at `at`; tells the samples used and made.
    fn piece(&mut self, at: usize) -> Option<(usize, usize)> {
        let needed = self.inner.input_frames_next();
        let input = self.input.get(at..at + needed)?;
        let input = InterleavedSlice::new(input, 1, needed).ok()?;
        let room = self.output.len();
        let mut output = InterleavedSlice::new_mut(&mut self.output, 1, room).ok()?;
        self.inner.process_into_buffer(&input, &mut output, None).ok().filter(|&(used, _)| used > 0)
    }
}

/// `audio` at another rate, sample for sample in its place; the last 20 ms may be missing. Nothing, for rates of which
/// [`Unconvertible`] speaks.
pub fn converted(audio: &[i16], from: u32, to: u32) -> Vec<i16> {
    let mut out = Vec::new();
    if let Ok(mut resampler) = Resampler::behind(&[], from, to) {
        resampler.process(audio, &mut out);
    }
    out
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resampler").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hertz: f64, samples: usize) -> Vec<i16> {
        let step = hertz * std::f64::consts::TAU / f64::from(rate);
        (0..samples).map(|n| ((n as f64 * step).sin() * 10_000.0) as i16).collect()
    }

    /// Share of the energy of `audio` that is a tone of `hertz`.
    fn purity(audio: &[i16], rate: u32, hertz: f64) -> f64 {
        let step = hertz * std::f64::consts::TAU / f64::from(rate);
        let (mut real, mut imaginary, mut energy) = (0.0, 0.0, 0.0);
        for (n, &sample) in audio.iter().enumerate() {
            let (sample, angle) = (f64::from(sample), n as f64 * step);
            real += sample * angle.cos();
            imaginary += sample * angle.sin();
            energy += sample * sample;
        }
        2.0 * (real * real + imaginary * imaginary) / (energy * audio.len() as f64)
    }

    #[test]
    fn a_tone_keeps_its_pitch_and_level_in_pieces_of_any_length() {
        for (from, to) in [(8_000, 48_000), (48_000, 8_000), (44_100, 48_000), (16_000, 8_000), (22_050, 8_000)] {
            let input = tone(from, 1_000.0, from as usize);
            let mut resampler = Resampler::new(from, to).unwrap();
            let mut out = Vec::new();
            let mut at = 0;
            for length in (1..).map(|n: usize| n * 37 % 700) {
                let end = (at + length).min(input.len());
                resampler.process(&input[at..end], &mut out);
                at = end;
                if at == input.len() {
                    break;
                }
            }
            let missing = to as i64 - out.len() as i64;
            assert!((0..=i64::from(to) / 50).contains(&missing), "{from} to {to}: {missing} samples missing");
            let steady = &out[to as usize / 10..to as usize * 9 / 10];
            assert!(purity(steady, to, 1_000.0) > 0.999, "{from} to {to}: {}", purity(steady, to, 1_000.0));
            let peak = steady.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
            assert!((9_800..10_200).contains(&peak), "{from} to {to}: peak {peak}");
        }
    }

    #[test]
    fn loud_audio_is_clipped_and_not_wrapped() {
        let mut resampler = Resampler::new(8_000, 48_000).unwrap();
        let square: Vec<i16> = (0..8_000).map(|n| if n / 20 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let mut out = Vec::new();
        resampler.process(&square, &mut out);
        // Each period still reaches the top; a wrapped one would not.
        assert!(out.chunks(240).skip(10).all(|chunk| chunk.len() < 240 || chunk.contains(&i16::MAX)));
    }

    #[test]
    fn impossible_rates_are_refused() {
        assert!(Resampler::new(0, 8_000).is_err());
        assert!(Resampler::new(8_000, 1_000_000).is_err());
    }
}
