//! Digits as tones in the audio (ITU-T Q.23): what a peer gets that takes neither telephone events nor INFO.

use super::Digit;
use crate::time::Duration;
use std::collections::VecDeque;
use std::f64::consts::TAU;

/// The four low and four high frequencies, Hz (ITU-T Q.23).
pub(super) const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
pub(super) const HIGH: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

/// The keypad, row by row.
pub(super) const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// Peak of the low tone; the high one is 2 dB above it, for the cables of ITU-T Q.24's time. Together -7 dBm0.
const PEAK: f64 = 4_600.0;
const TWIST: f64 = 1.2589;

/// Tones begin and end over this time, so that they do not click.
const RAMP: Duration = Duration::from_millis(2);

/// Digits that wait, at most.
const MOST: usize = 256;

/// Writes tones over the audio that we send.
#[derive(Debug)]
pub struct Tones {
    queue: VecDeque<Digit>,
    /// The digit that sounds, or the pause after it, and how far it is, in samples.
    current: Option<(Digit, u64)>,
    time: Duration,
    gap: Duration,
}

impl Tones {
    /// Digits of this length with this pause after each.
    pub fn new(time: Duration, gap: Duration) -> Self {
        Self { queue: VecDeque::new(), current: None, time, gap }
    }

    /// Sends a digit after those that wait; `false` if too many do.
    pub fn push(&mut self, digit: Digit) -> bool {
        let room = self.queue.len() < MOST;
        if room {
            self.queue.push_back(digit);
        }
        room
    }

    /// Does one sound, or wait?
    pub fn is_busy(&self) -> bool {
        self.current.is_some() || !self.queue.is_empty()
    }

    /// Replaces a piece of audio by what sounds, pauses included; tells the digit that came to its end.
    pub fn write(&mut self, audio: &mut [i16], rate: u32) -> Option<Digit> {
        let samples = |time: Duration| (time.as_secs_f64() * f64::from(rate)) as u64;
        let (length, gap, ramp) = (samples(self.time), samples(self.gap), samples(RAMP).max(1) as f64);
        let mut ended = None;
        for sample in audio {
            if self.current.is_none() {
                self.current = self.queue.pop_front().map(|digit| (digit, 0));
            }
            let Some((digit, at)) = &mut self.current else { return ended };
            let edge = (*at as f64 / ramp).min(length.saturating_sub(*at) as f64 / ramp).min(1.0);
            let seconds = *at as f64 / f64::from(rate);
            let (low, high) = frequencies(*digit);
            let tone = (TAU * low * seconds).sin() + TWIST * (TAU * high * seconds).sin();
            // The caller's own sound would spoil the tone.
            *sample = (edge * PEAK * tone) as i16;
            *at += 1;
            if *at == length {
                ended = Some(*digit);
            }
            if *at >= length + gap {
                self.current = None;
            }
        }
        ended
    }
}

/// The frequencies of a digit, Hz.
pub(super) fn frequencies(digit: Digit) -> (f64, f64) {
    let key = digit.character();
    for (row, low) in KEYS.iter().zip(LOW) {
        for (character, high) in row.iter().zip(HIGH) {
            if *character == key {
                return (low, high);
            }
        }
    }
    // There is a key for each digit.
    (LOW[3], HIGH[1])
}
