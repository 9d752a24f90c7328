//! The own voice in the own ear, from callback to callback.

use super::Loudness;
use super::bus::Bus;

/// The loudspeaker's end of the side tone. The two devices have clocks of their own and may have other rates: it reads
/// between the samples, and faster or slower by as much as keeps its distance.
pub(super) struct SideTone {
    bus: Bus,
    loudness: Loudness,
    /// Hz of the loudspeaker.
    rate: u32,
    /// Where it reads, in samples of the microphone.
    at: f64,
    running: bool,
    /// What it reads per sample of the loudspeaker.
    step: f64,
    /// The mean distance to what was recorded last, samples of the microphone.
    distance: f64,
}

/// How far behind the microphone it starts beyond the piece that is read: a piece of the microphone may be due.
const BEHIND_MILLIS: f64 = 10.0;

/// A distance beyond this is jumped over.
const FAR_MILLIS: f64 = 60.0;

impl SideTone {
    pub(super) fn new(bus: Bus, loudness: Loudness, rate: u32) -> Self {
        Self { bus, loudness, rate, at: 0.0, running: false, step: 1.0, distance: 0.0 }
    }

    /// Before a piece of `count` samples: how loud it is in it.
    pub(super) fn begin(&mut self, count: usize) -> f32 {
        let (factor, rate) = (self.loudness.factor(), self.bus.rate());
        if factor == 0.0 || rate == 0 {
            self.running = false;
            return 0.0;
        }
        let written = self.bus.written() as f64;
        let nominal = f64::from(rate) / f64::from(self.rate.max(1));
        let needed = count as f64 * nominal + 2.0;
        let millis = f64::from(rate) / 1_000.0;
        if self.running && written - self.at > needed + FAR_MILLIS * millis {
            self.running = false;
        }
        if !self.running {
            let start = written - needed - BEHIND_MILLIS * millis;
            if start < 0.0 {
                return 0.0;
            }
            (self.at, self.running, self.distance) = (start, true, needed + BEHIND_MILLIS * millis);
        }
        if written - self.at < needed {
            // The microphone is late, or gone.
            self.running = false;
            return 0.0;
        }
        self.distance += (written - self.at - self.distance) / 64.0;
        let wish = needed + BEHIND_MILLIS * millis;
        self.step = nominal * (1.0 + ((self.distance - wish) / f64::from(rate) / 4.0).clamp(-0.005, 0.005));
        factor
    }

    /// The next sample, as it was recorded.
    pub(super) fn next(&mut self) -> f32 {
        let place = self.at as u64;
        let between = (self.at - place as f64) as f32;
        let (one, two) = (f32::from(self.bus.at(place)), f32::from(self.bus.at(place + 1)));
        self.at += self.step;
        one + (two - one) * between
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of a loudspeaker of `rate` Hz while a microphone of `microphone` Hz, `ppm` fast, hears a tone.
    fn through(microphone: u32, rate: u32, ppm: f64, seconds: usize) -> (Vec<f32>, f64) {
        let (bus, loudness) = (Bus::default(), Loudness::default());
        loudness.set(0.5);
        bus.set_rate(microphone);
        let mut side = SideTone::new(bus.clone(), loudness, rate);
        let (mut heard, mut recorded, mut clock) = (Vec::new(), 0_u64, 0.0);
        let piece = rate as usize / 100;
        for _ in 0..100 * seconds {
            clock += 0.01;
            let due = (clock * f64::from(microphone) * (1.0 + ppm / 1e6)) as u64 / u64::from(microphone / 100);
            let due = due * u64::from(microphone / 100);
            bus.write(
                (recorded..due).map(|n| {
                    (8_000.0 * (std::f64::consts::TAU * 440.0 * n as f64 / f64::from(microphone)).sin()) as i16
                }),
            );
            recorded = due;
            let factor = side.begin(piece);
            heard.extend((0..piece).map(|_| if factor > 0.0 { factor * side.next() } else { 0.0 }));
        }
        (heard, (bus.written() as f64 - side.at) / f64::from(microphone))
    }

    #[test]
    fn the_own_voice_is_heard_soon_at_its_level_whatever_the_rates_and_clocks() {
        for (microphone, rate, ppm) in [(48_000, 48_000, 0.0), (44_100, 48_000, 200.0), (16_000, 48_000, -200.0)] {
            let (heard, behind) = through(microphone, rate, ppm, 20);
            let last = &heard[heard.len() - rate as usize..];
            let rms = (last.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / last.len() as f64).sqrt();
            assert!((rms - 4_000.0 / 2f64.sqrt()).abs() < 60.0, "{microphone} to {rate}: {rms}");
            assert!(behind < 0.025, "{microphone} to {rate}: {behind} s behind");
            let steepest = last.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
            let tone = 4_000.0 * std::f32::consts::TAU * 440.0 / rate as f32;
            assert!(steepest < 1.3 * tone, "{microphone} to {rate}: a step of {steepest}, the tone makes {tone}");
        }
    }

    #[test]
    fn without_a_microphone_or_when_it_is_off_nothing_is_heard() {
        let (bus, loudness) = (Bus::default(), Loudness::default());
        let mut side = SideTone::new(bus.clone(), loudness.clone(), 48_000);
        loudness.set(1.0);
        assert_eq!(side.begin(480), 0.0);
        bus.set_rate(48_000);
        bus.write((0..9_600).map(|_| 100));
        assert_eq!(side.begin(480), 1.0);
        loudness.set(0.0);
        assert_eq!(side.begin(480), 0.0);
    }
}
