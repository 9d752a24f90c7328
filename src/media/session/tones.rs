//! Digits as tones in the audio of both directions, and silence in place of the user's voice.

use super::{Digit, Event, Session};
use crate::media::dtmf::{Detector, Way};

impl Session {
    /// Sends digits as tones in place of the audio, one after the other; tells how many were taken: fewer than given if
    /// hundreds wait already.
    pub fn send_tones(&mut self, digits: &[Digit]) -> usize {
        if self.closed { 0 } else { digits.iter().take_while(|digit| self.tones.push(**digit)).count() }
    }

    /// Sends silence in place of the user's voice from now on, or no longer. Digits are sent all the same.
    pub fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Is the user's voice replaced by silence?
    pub fn is_muted(&self) -> bool {
        self.muted
    }

    /// What is encoded in place of `audio`, if it is not `audio` itself.
    pub(super) fn voiced(&mut self, audio: &[i16]) -> Option<Vec<i16>> {
        if !self.muted && !self.tones.is_busy() {
            return None;
        }
        let rate = self.rate();
        let mut voice = std::mem::take(&mut self.voice);
        voice.clear();
        voice.extend_from_slice(audio);
        if self.muted {
            voice.fill(0);
        }
        if let Some(digit) = self.tones.write(&mut voice, rate) {
            self.tell(Event::DtmfSent { digit });
        }
        Some(voice)
    }

    /// Listens for tones in what is played, where the plan wants it.
    pub(super) fn hear_tones(&mut self, audio: &[i16]) {
        if !self.plan.hear_tones {
            self.detector = None;
            return;
        }
        let rate = self.rate();
        if self.detector.as_ref().is_none_or(|(known, _)| *known != rate) {
            self.detector = Some((rate, Detector::new(rate)));
        }
        let Some((_, detector)) = &mut self.detector else { return };
        detector.hear(audio);
        while let Some((digit, duration)) = self.detector.as_mut().and_then(|(_, detector)| detector.poll()) {
            self.tell(Event::Dtmf { digit, duration, way: Way::Inband });
        }
    }
}
