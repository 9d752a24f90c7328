//! Call-progress tones: what a telephone network lets its callers hear, by country.

mod countries;

pub use countries::{Country, UnknownCountry};

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;

/// What one loud moment of all parts together reaches, of full scale: -10 dBFS, about the level that ITU-T E.180 section 9
/// wants on a line.
const LOUD: f64 = 0.32;

/// How long a tone takes to begin and to end, seconds, so that it does not click.
const EDGE: f64 = 0.003;

/// The three tones before an announcement, Hz, each for 330 ms, then a second of silence (ITU-T E.180 section 7).
const SPECIAL: [f64; 3] = [950.0, 1_400.0, 1_800.0];

/// A tone that tells how a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The network waits for digits.
    Dial,
    /// The far end rings.
    RingBack,
    /// The far end is busy.
    Busy,
    /// The network cannot do it.
    Congestion,
    /// Somebody else calls.
    Waiting,
    /// An announcement follows: the number is wrong.
    SpecialInformation,
    /// Somebody calls: not a tone of the network but of the telephone, in the cadence of the ringing tone.
    Ring,
}

/// A tone that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no tone; use dial, ringback, busy, congestion, waiting, special or ring")]
pub struct UnknownProgress(String);

impl Progress {
    /// All of them.
    pub const ALL: [Progress; 7] = [
        Progress::Dial,
        Progress::RingBack,
        Progress::Busy,
        Progress::Congestion,
        Progress::Waiting,
        Progress::SpecialInformation,
        Progress::Ring,
    ];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Progress::Dial => "dial",
            Progress::RingBack => "ringback",
            Progress::Busy => "busy",
            Progress::Congestion => "congestion",
            Progress::Waiting => "waiting",
            Progress::SpecialInformation => "special",
            Progress::Ring => "ring",
        }
    }
}

impl FromStr for Progress {
    type Err = UnknownProgress;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|tone| tone.name() == text).ok_or_else(|| UnknownProgress(text.into()))
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What sounds while a tone is on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sound {
    /// These frequencies together, Hz.
    Sum(&'static [f64]),
    /// The first frequency, its amplitude swung by the second, Hz.
    Swung(f64, f64),
}

/// A tone of a country.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pattern {
    pub(crate) sound: Sound,
    /// On and off in turn, ms, over and over; always on when empty.
    pub(crate) cadence: &'static [u16],
}

/// A tone that plays on and on.
#[derive(Clone, Debug)]
pub(crate) struct ProgressTone {
    tone: Progress,
    pattern: Pattern,
    rate: u32,
    /// Seconds that were played before the rate changed last, and samples since.
    before: f64,
    samples: u64,
}

impl ProgressTone {
    /// The tone of a country, from its start, at `rate` Hz.
    pub(crate) fn new(tone: Progress, country: Country, rate: u32) -> Self {
        Self { tone, pattern: country.pattern(tone), rate: rate.max(1), before: 0.0, samples: 0 }
    }

    /// Goes on at another rate where it was.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        self.before = self.time();
        (self.rate, self.samples) = (rate.max(1), 0);
    }

    /// Fills `out`.
    pub(crate) fn read(&mut self, out: &mut [i16]) {
        for sample in out {
            *sample = (LOUD * 32_767.0 * self.value(self.time())).round() as i16;
            self.samples += 1;
        }
    }

    fn time(&self) -> f64 {
        self.before + self.samples as f64 / f64::from(self.rate)
    }

    fn value(&self, time: f64) -> f64 {
        if self.tone == Progress::SpecialInformation {
            let (part, into) = ((time % 1.99 / 0.33) as usize, time % 1.99 % 0.33);
            return match SPECIAL.get(part) {
                Some(hz) => (TAU * hz * time).sin() * edge(into, 0.33),
                None => 0.0,
            };
        }
        let loudness = self.loudness(time);
        if loudness == 0.0 { 0.0 } else { loudness * self.sounding(time) }
    }

    fn sounding(&self, time: f64) -> f64 {
        let sine = |hz: f64| (TAU * hz * time).sin();
        match (self.tone, self.pattern.sound) {
            // A bell: two pitches in quick turn.
            (Progress::Ring, _) => sine(if (time * 20.0) % 2.0 < 1.0 { 800.0 } else { 1_000.0 }),
            (_, Sound::Sum(parts)) => parts.iter().map(|hz| sine(*hz)).sum::<f64>() / parts.len().max(1) as f64,
            (_, Sound::Swung(hz, by)) => sine(hz) * (1.0 + sine(by)) / 2.0,
        }
    }

    /// Where in the cadence it is: 0 in a pause.
    fn loudness(&self, time: f64) -> f64 {
        let cadence = self.pattern.cadence;
        let cycle: f64 = cadence.iter().map(|millis| f64::from(*millis) / 1_000.0).sum();
        if cycle == 0.0 {
            return 1.0;
        }
        let mut into = time % cycle;
        for (place, millis) in cadence.iter().enumerate() {
            let length = f64::from(*millis) / 1_000.0;
            if into < length {
                return if place % 2 == 0 { edge(into, length) } else { 0.0 };
            }
            into -= length;
        }
        0.0
    }
}

/// How loud a tone of `length` seconds is so long after its start: up and down without a click.
fn edge(into: f64, length: f64) -> f64 {
    (into / EDGE).min((length - into) / EDGE).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests;
