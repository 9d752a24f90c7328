//! Something that is played into a call beside what it says anyway: music, an announcement.

use super::choice::Source;
use super::input::{Ended, Input};
use super::wav::WavError;

/// What to play to the far end of a call, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Play {
    /// A file, once or for ever, or a tone.
    pub source: Source,
    /// Gain in dB; 0 leaves it as it is.
    pub gain_db: f32,
    /// In place of what the call says, not beside it.
    pub instead: bool,
}

impl Play {
    /// `source` beside what the call says, as loud as it is.
    pub fn beside(source: Source) -> Self {
        Self { source, gain_db: 0.0, instead: false }
    }
}

/// A [`Play`] that runs, at the rate of its call.
pub(crate) struct Player {
    input: Input,
    gain: f32,
    instead: bool,
    scratch: Vec<i16>,
}

impl Player {
    /// Opens the source for a call at `rate` Hz.
    ///
    /// # Errors
    /// If a file cannot be played.
    pub(crate) fn open(play: &Play, rate: u32) -> Result<Self, WavError> {
        let gain = 10f32.powf(play.gain_db / 20.0);
        Ok(Self { input: Input::open(&play.source, rate)?, gain, instead: play.instead, scratch: Vec::new() })
    }

    /// Goes on at another rate.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        self.input.set_rate(rate);
    }

    /// Puts the next piece over `said`; tells when it came to its end.
    pub(crate) fn play(&mut self, said: &mut [i16]) -> Option<Ended> {
        self.scratch.resize(said.len(), 0);
        let ended = self.input.read(&[], &mut self.scratch);
        for (said, played) in said.iter_mut().zip(&self.scratch) {
            let beside = if self.instead { 0.0 } else { f32::from(*said) };
            // `as` saturates.
            *said = (f32::from(*played) * self.gain + beside).round() as i16;
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peak(samples: &[i16]) -> i16 {
        samples.iter().copied().max().unwrap()
    }

    #[test]
    fn it_is_heard_beside_or_instead_and_as_loud_as_wanted() {
        let tone = Play::beside(Source::Tone(1_000.0));
        let mut said = [1_000; 160];
        assert!(Player::open(&tone, 8_000).unwrap().play(&mut said).is_none());
        assert!((9_100..9_200).contains(&peak(&said)), "{}", peak(&said));
        let mut said = [1_000; 160];
        let quiet = Play { gain_db: -20.0, instead: true, ..tone.clone() };
        Player::open(&quiet, 8_000).unwrap().play(&mut said);
        assert!((810..830).contains(&peak(&said)), "{}", peak(&said));
        let mut said = [30_000; 160];
        Player::open(&Play { gain_db: 20.0, ..tone }, 8_000).unwrap().play(&mut said);
        assert_eq!(peak(&said), i16::MAX);
    }
}
