//! A sine tone.

use std::f64::consts::TAU;

/// A quarter of full scale (-12 dBFS): loud enough to measure, far from clipping in any codec.
const AMPLITUDE: f64 = 8_192.0;

/// A sine that goes on where it was, whatever the lengths that are read and the rates that it is read at.
#[derive(Clone, Debug)]
pub(crate) struct Tone {
    hz: f64,
    /// Turns per sample.
    step: f64,
    /// Turns since the last full one, `0.0..1.0`.
    phase: f64,
}

impl Tone {
    /// `hz` at `rate` Hz. A tone at or above half the rate cannot be represented and is silence.
    pub(crate) fn new(hz: f64, rate: u32) -> Self {
        let mut tone = Self { hz, step: 0.0, phase: 0.0 };
        tone.set_rate(rate);
        tone
    }

    /// Goes on at another rate without a jump.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        self.step = if Self::fits(self.hz, rate) { self.hz / f64::from(rate) } else { 0.0 };
        if self.step == 0.0 {
            self.phase = 0.0;
        }
    }

    /// Can audio of `rate` Hz hold a tone of `hz`?
    pub(crate) fn fits(hz: f64, rate: u32) -> bool {
        2.0 * hz < f64::from(rate)
    }

    /// Fills `out`.
    pub(crate) fn read(&mut self, out: &mut [i16]) {
        for sample in out {
            *sample = (AMPLITUDE * (TAU * self.phase).sin()).round() as i16;
            self.phase = (self.phase + self.step).fract();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_jump_between_reads_or_rates() {
        let mut whole = vec![0; 1_000];
        Tone::new(441.7, 8_000).read(&mut whole);
        let mut tone = Tone::new(441.7, 8_000);
        let mut parts = vec![0; 1_000];
        for part in parts.chunks_mut(77) {
            tone.read(part);
        }
        assert_eq!(whole, parts);

        let mut last = [0; 1];
        tone.read(&mut last);
        tone.set_rate(48_000);
        let mut next = [0; 1];
        tone.read(&mut next);
        let steepest = AMPLITUDE * TAU * 441.7 / 8_000.0;
        assert!(f64::from(next[0] - last[0]).abs() <= steepest + 1.0, "{last:?} then {next:?}");
    }

    #[test]
    fn a_tone_above_half_the_rate_is_silence_until_the_rate_holds_it() {
        let mut tone = Tone::new(5_000.0, 8_000);
        let mut out = [1; 160];
        tone.read(&mut out);
        assert_eq!(out, [0; 160]);
        tone.set_rate(48_000);
        tone.read(&mut out);
        assert!(out.iter().any(|&sample| sample > 8_000));
    }
}
