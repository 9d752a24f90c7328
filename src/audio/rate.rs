//! Conversion between the rate of a file or device and the rate of a call.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Adjustable, Async, FixedAsync, Resampler, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

/// How far the ratio may be trimmed to follow a drifting clock: sound cards are within 0.05 %, and 0.5 % is inaudible.
pub(crate) const MAX_TRIM: f64 = 0.005;

/// The rates that a file or device may have, Hz.
pub(crate) const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// Converts a stream of mono samples from one rate to another, with a ratio that can be trimmed while it runs.
///
/// ```text
///  push ─▶ input (2.5 ms) ─▶ sinc ─▶ output ─▶ pop
/// ```
///
/// Steady state allocates nothing as long as what is pushed is popped.
pub(crate) struct Converter {
    engine: Option<Engine>,
    output: Vec<i16>,
}

struct Engine {
    sinc: Async<f32>,
    input: Vec<f32>,
    chunk: usize,
    converted: Vec<f32>,
    /// Samples of the filter's start-up delay that are not let out.
    to_skip: usize,
    /// Samples that came in.
    taken: u64,
    /// Samples that went out.
    made: u64,
}

/// A conversion that cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot convert audio from {from} Hz to {to} Hz; use a rate between 1000 and 768000 Hz")]
pub struct RateError {
    /// The rate that comes in, Hz.
    pub from: u32,
    /// The rate that was wanted, Hz.
    pub to: u32,
}

impl Converter {
    /// From `from` Hz to `to` Hz at a fixed ratio; samples pass unchanged when they are equal.
    pub(crate) fn fixed(from: u32, to: u32) -> Result<Self, RateError> {
        let engine = if from == to { None } else { Some(Engine::new(from, to)?) };
        Ok(Self { engine, output: Vec::with_capacity(room(from, to)) })
    }

    /// From `from` Hz to `to` Hz with a ratio that [`Converter::trim`] may adjust.
    pub(crate) fn adjustable(from: u32, to: u32) -> Result<Self, RateError> {
        Ok(Self { engine: Some(Engine::new(from, to)?), output: Vec::with_capacity(room(from, to)) })
    }

    /// Takes samples in.
    pub(crate) fn push(&mut self, samples: &[i16]) {
        match &mut self.engine {
            None => self.output.extend_from_slice(samples),
            Some(engine) => engine.push(samples, &mut self.output),
        }
    }

    /// Pushes out what the filter still holds: the stream has ended.
    pub(crate) fn flush(&mut self) {
        if let Some(engine) = &mut self.engine {
            engine.flush(&mut self.output);
        }
    }

    /// Samples ready to be popped.
    pub(crate) fn available(&self) -> usize {
        self.output.len()
    }

    /// Everything that is ready; the caller says with [`Converter::discard`] how much of it was used.
    pub(crate) fn ready(&self) -> &[i16] {
        &self.output
    }

    /// Drops the first `count` ready samples.
    pub(crate) fn discard(&mut self, count: usize) {
        self.output.drain(..count.min(self.output.len()));
    }

    /// Fills `out` as far as samples are ready; returns how many were.
    pub(crate) fn pop(&mut self, out: &mut [i16]) -> usize {
        let count = out.len().min(self.output.len());
        out[..count].copy_from_slice(&self.output[..count]);
        self.discard(count);
        count
    }

    /// Makes `1 + trim` times as many samples as the nominal ratio would; kept within ±0.5 %.
    pub(crate) fn trim(&mut self, trim: f64) {
        if let Some(engine) = &mut self.engine {
            let relative = 1.0 + trim.clamp(-MAX_TRIM, MAX_TRIM);
            // Refused only outside the range that the engine was made for.
            let _ = engine.sinc.set_resample_ratio_relative(relative, true);
        }
    }
}

/// Room for half a second at either rate.
fn room(from: u32, to: u32) -> usize {
    from.max(to) as usize / 2
}

impl Engine {
    fn new(from: u32, to: u32) -> Result<Self, RateError> {
        let error = RateError { from, to };
        if !RATES.contains(&from) || !RATES.contains(&to) {
            return Err(error);
        }
        // The filter is as long in time at the lower of both rates: 64 taps of it keep 3.4 kHz of a telephone call.
        let taps = (64 * from / to.min(from)).min(512) as usize;
        let parameters = SincInterpolationParameters::new(taps, WindowFunction::Blackman2)
            .oversampling_factor(64)
            .interpolation(SincInterpolationType::Cubic);
        let chunk = (from / 400) as usize;
        let ratio = f64::from(to) / f64::from(from);
        let sinc = Async::new_sinc(ratio, 1.0 + 2.0 * MAX_TRIM, &parameters, chunk, 1, FixedAsync::Input)
            .map_err(|_| error)?;
        // The first frame lies one step after the start of the filter, which the stated delay does not count.
        let to_skip = sinc.output_delay().saturating_sub(1);
        let converted = vec![0.0; sinc.output_frames_max()];
        Ok(Self { sinc, input: Vec::with_capacity(chunk), chunk, converted, to_skip, taken: 0, made: 0 })
    }

    fn push(&mut self, mut samples: &[i16], output: &mut Vec<i16>) {
        self.taken += samples.len() as u64;
        while !samples.is_empty() {
            let count = samples.len().min(self.chunk - self.input.len());
            let (now, later) = samples.split_at(count);
            self.input.extend(now.iter().map(|&sample| f32::from(sample)));
            samples = later;
            if self.input.len() == self.chunk {
                self.convert(output);
            }
        }
    }

    /// Pushes silence behind the last sample until everything that was taken has come out, and not a sample more.
    fn flush(&mut self, output: &mut Vec<i16>) {
        let due = (self.taken as f64 * self.sinc.resample_ratio()).round() as u64;
        while self.made < due {
            self.input.resize(self.chunk, 0.0);
            if self.convert(output) == 0 && self.to_skip == 0 {
                break;
            }
        }
        let surplus = usize::try_from(self.made.saturating_sub(due)).unwrap_or(usize::MAX);
        output.truncate(output.len().saturating_sub(surplus));
        self.made = due;
    }

    /// Converts one full chunk; returns how many samples were let out.
    fn convert(&mut self, output: &mut Vec<i16>) -> usize {
        let frames = self.converted.len();
        let made = match (
            InterleavedSlice::new(&self.input, 1, self.chunk),
            InterleavedSlice::new_mut(&mut self.converted, 1, frames),
        ) {
            (Ok(input), Ok(mut converted)) => self.sinc.process_into_buffer(&input, &mut converted, None),
            // Both slices have the lengths that they are declared with.
            _ => Ok((0, 0)),
        };
        self.input.clear();
        let made = made.map_or(0, |(_, made)| made);
        let skipped = made.min(self.to_skip);
        self.to_skip -= skipped;
        output.extend(self.converted[skipped..made].iter().map(|&sample| sample.round() as i16));
        self.made += (made - skipped) as u64;
        made - skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::tone::Tone;

    /// Amplitude of `hz` in `samples`, as a fraction of full scale.
    fn level(samples: &[i16], rate: u32, hz: f64) -> f64 {
        let step = std::f64::consts::TAU * hz / f64::from(rate);
        let (mut re, mut im) = (0.0, 0.0);
        for (n, &sample) in samples.iter().enumerate() {
            re += f64::from(sample) * (step * n as f64).cos();
            im += f64::from(sample) * (step * n as f64).sin();
        }
        2.0 * re.hypot(im) / samples.len() as f64 / 32768.0
    }

    fn convert(from: u32, to: u32, hz: f64) -> Vec<i16> {
        let mut tone = Tone::new(hz, from);
        let mut input = vec![0; from as usize];
        tone.read(&mut input);
        let mut converter = Converter::fixed(from, to).unwrap();
        for part in input.chunks(331) {
            converter.push(part);
        }
        converter.flush();
        let mut output = vec![0; 2 * to as usize];
        let count = converter.pop(&mut output);
        output.truncate(count);
        output
    }

    #[test]
    fn a_tone_keeps_its_pitch_level_length_and_place() {
        for from in [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000] {
            for to in [8_000, 16_000, 48_000] {
                let output = convert(from, to, 1_000.0);
                assert!(output.len() == to as usize, "{from} to {to}: {} samples", output.len());
                let level = level(&output[to as usize / 10..], to, 1_000.0);
                assert!((level - 0.25).abs() < 0.005, "{from} to {to}: level {level}");
                // Neither late nor early by a sample: the slope at the 51st zero says where it is.
                let zero = to as usize / 20;
                let step = std::f64::consts::TAU * 1_000.0 / f64::from(to);
                let late = -f64::from(output[zero]) / 8_192.0 / step;
                assert!(late.abs() < 1.0, "{from} to {to}: late by {late} samples");
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_taken_out() {
        let output = convert(48_000, 8_000, 5_000.0);
        let alias = level(&output[800..], 8_000, 3_000.0);
        assert!(alias < 0.25 / 1_000.0, "5 kHz came through as 3 kHz at {alias}");
        let wanted = convert(48_000, 8_000, 3_300.0);
        assert!(level(&wanted[800..], 8_000, 3_300.0) > 0.2);
    }

    #[test]
    fn the_ratio_can_be_trimmed() {
        let mut converter = Converter::adjustable(48_000, 48_000).unwrap();
        let second = vec![0; 48_000];
        converter.trim(0.002);
        for _ in 0..10 {
            converter.push(&second);
        }
        let surplus = converter.available() as f64 / 480_000.0 - 1.0;
        assert!((surplus - 0.002).abs() < 0.000_2, "{surplus}");
        converter.trim(9.0);
        converter.discard(usize::MAX);
        converter.push(&second);
        assert!(converter.available() as f64 / 48_000.0 < 1.006);
    }

    #[test]
    fn impossible_rates_are_refused() {
        assert_eq!(Converter::fixed(0, 8_000).err(), Some(RateError { from: 0, to: 8_000 }));
        assert!(Converter::fixed(8_000, 1).is_err());
    }
}
