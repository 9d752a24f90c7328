//! How loud: gains in decibels, and meters.

use std::fmt;
use std::str::FromStr;

/// The gains that can be chosen, dB: below is silence, above is distortion.
const RANGE: std::ops::RangeInclusive<f64> = -60.0..=30.0;

/// What a meter shows of silence, dBFS: a little less than the least that 16 bits can hold.
const SILENCE_DBFS: f64 = -96.0;

/// A change of loudness, dB, from -60 to 30; 0 changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Gain(f64);

/// A gain that nothing can be played at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no gain; write decibels from -60 to 30, such as -6")]
pub struct BadGain(String);

impl Gain {
    /// So many dB.
    ///
    /// # Errors
    /// Outside of -60 to 30.
    pub fn from_db(db: f64) -> Result<Self, BadGain> {
        if RANGE.contains(&db) { Ok(Self(db)) } else { Err(BadGain(db.to_string())) }
    }

    /// So many dB more, as far as it goes.
    pub fn plus(self, db: f64) -> Self {
        Self((self.0 + db).clamp(*RANGE.start(), *RANGE.end()))
    }

    /// In dB.
    pub fn db(self) -> f64 {
        self.0
    }

    /// What samples are multiplied by.
    pub fn factor(self) -> f32 {
        10f64.powf(self.0 / 20.0) as f32
    }
}

impl FromStr for Gain {
    type Err = BadGain;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || BadGain(text.into());
        let db = text.trim().trim_end_matches("dB").trim_end().parse().map_err(|_| wrong())?;
        Self::from_db(db).map_err(|_| wrong())
    }
}

impl fmt::Display for Gain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How loud a stretch of sound was, dBFS: 0 is the largest sample; the RMS of a full-scale sine is -3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Its root mean square.
    pub rms: f64,
    /// Its loudest sample.
    pub peak: f64,
}

/// What goes through one way of a device: a gain that can be turned while it plays, and a meter behind it.
#[derive(Debug, Default)]
pub(crate) struct Strip {
    wanted: Option<f32>,
    factor: Option<f32>,
    power: f64,
    peak: u16,
    samples: u64,
}

impl Strip {
    /// Turned to `gain`.
    pub(crate) fn new(gain: Gain) -> Self {
        let mut strip = Self::default();
        strip.turn(gain);
        strip
    }

    /// Turns to `gain` within the next packet.
    pub(crate) fn turn(&mut self, gain: Gain) {
        self.wanted = Some(gain.factor());
        self.factor = self.factor.or(self.wanted);
    }

    /// One packet passes.
    pub(crate) fn pass(&mut self, samples: &mut [i16]) {
        let (from, to) = (self.factor.unwrap_or(1.0), self.wanted.unwrap_or(1.0));
        if from != 1.0 || to != 1.0 {
            // Steadily: a step would click.
            let step = (to - from) / samples.len().max(1) as f32;
            let mut factor = from;
            for sample in samples.iter_mut() {
                factor += step;
                *sample = (f32::from(*sample) * factor).round() as i16;
            }
            self.factor = Some(to);
        }
        for &sample in samples.iter() {
            self.power += f64::from(sample).powi(2);
            self.peak = self.peak.max(sample.unsigned_abs());
        }
        self.samples += samples.len() as u64;
    }

    /// How loud it was since the last time; `None` if nothing passed.
    pub(crate) fn level(&mut self) -> Option<Level> {
        if self.samples == 0 {
            return None;
        }
        let dbfs = |value: f64| (20.0 * (value / 32_768.0).log10()).max(SILENCE_DBFS);
        let level = Level { rms: dbfs((self.power / self.samples as f64).sqrt()), peak: dbfs(f64::from(self.peak)) };
        (self.power, self.peak, self.samples) = (0.0, 0, 0);
        Some(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::tone::Tone;

    #[test]
    fn gains_are_read_as_decibels_and_refused_with_the_remedy() {
        assert_eq!("-6".parse::<Gain>().unwrap().db(), -6.0);
        assert_eq!("+3.5 dB".parse::<Gain>().unwrap().to_string(), "3.5");
        assert!((Gain::from_db(20.0).unwrap().factor() - 10.0).abs() < 1e-6);
        assert_eq!(Gain::from_db(29.0).unwrap().plus(6.0).db(), 30.0);
        for text in ["", "loud", "31", "-61", "NaN", "inf"] {
            let error = text.parse::<Gain>().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\"")) && error.contains("-60 to 30"), "{error}");
        }
    }

    #[test]
    fn the_meter_shows_what_a_tone_has_and_a_gain_moves_it_by_its_decibels() {
        let mut strip = Strip::new(Gain::default());
        let mut tone = Tone::new(1_000.0, 8_000);
        let mut play = |strip: &mut Strip| {
            let mut packet = [0; 160];
            for _ in 0..50 {
                tone.read(&mut packet);
                strip.pass(&mut packet);
            }
            strip.level().unwrap()
        };
        let plain = play(&mut strip);
        assert!((plain.peak + 12.04).abs() < 0.05 && (plain.rms + 15.05).abs() < 0.05, "{plain:?}");
        strip.turn(Gain::from_db(-10.0).unwrap());
        play(&mut strip);
        let quieter = play(&mut strip);
        assert!((quieter.rms - plain.rms + 10.0).abs() < 0.05, "{quieter:?}");
        strip.turn(Gain::from_db(30.0).unwrap());
        play(&mut strip);
        assert!(play(&mut strip).peak > -0.01, "what is too loud stays at full scale");
        assert_eq!(strip.level(), None);
        strip.pass(&mut [0; 160]);
        assert_eq!(strip.level(), Some(Level { rms: -96.0, peak: -96.0 }));
    }

    #[test]
    fn a_gain_is_turned_without_a_step_and_without_allocating() {
        let mut strip = Strip::new(Gain::default());
        let mut packet = [10_000; 160];
        strip.pass(&mut packet);
        strip.turn(Gain::from_db(-20.0).unwrap());
        let info = allocation_counter::measure(|| strip.pass(&mut packet));
        assert_eq!(info.count_total, 0);
        let largest = packet.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max().unwrap();
        assert!(largest < 100 && packet[159] == 1_000, "{largest}, {}", packet[159]);
    }
}
