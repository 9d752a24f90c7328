//! Hears DTMF tones in audio (ITU-T Q.24), and does not take speech for them.
//!
//! ```text
//!  audio ─▶ blocks of 12.75 ms at 8 kHz ─▶ 8 Goertzel filters, 4 at twice the high ones ─▶ which pair, if any
//!                                                                          │
//!          two blocks of the same pair: a digit · two blocks without it: its end
//! ```
//!
//! A block counts only if two tones carry nearly all of its energy, the pair is much stronger than the others of its
//! group, the twist is one that telephones make, and the second harmonic of the high tone is weak: voices have strong ones.

use super::Digit;
use super::tones::{HIGH, KEYS, LOW};
use crate::time::Duration;
use std::collections::VecDeque;
use std::f64::consts::TAU;

/// The rate that blocks are looked at, Hz.
const RATE: u32 = 8_000;

/// Samples of a block: 12.75 ms, so that two whole ones lie in a tone of 40 ms (the shortest that Q.24 wants heard).
const BLOCK: usize = 102;

/// Energy of the quietest tone of a pair: -36 dBm0, which is below what Q.24 wants heard (-29 dBm for North America).
const QUIETEST: f64 = 5.0e3;

/// The high tone may be up to 4 dB stronger than the low one, and up to 8 dB weaker (Q.24, as AT&T states it); 1 dB is
/// left for the filters.
const NORMAL_TWIST: f64 = 10.0;
const REVERSE_TWIST: f64 = 3.2;

/// How much stronger the tone of a group is than each other one of the group.
const CONTRAST: f64 = 6.3;

/// The part of the energy of a block that the two tones carry.
const PURITY: f64 = 0.72;

/// The second harmonic of a tone is this much weaker than the tone.
const HARMONIC: f64 = 0.09;

/// Blocks with the same pair until it is a digit, and without it until it has ended.
const BEGINS: u32 = 2;
const ENDS: u32 = 2;

/// Digits that nobody asked for yet.
const MOST: usize = 256;

/// Hears digits in mono audio of any usual rate.
#[derive(Debug)]
pub struct Detector {
    /// Input samples for each one that is looked at, and the running mean over them.
    step: u32,
    taken: u32,
    sum: i32,
    block: [f64; BLOCK],
    filled: usize,
    /// Blocks since the start.
    blocks: u64,
    /// The pair of the block before, and in how many blocks it was found.
    candidate: Option<(Digit, u32)>,
    /// The digit that sounds, the block it began with, and the blocks since it was last found.
    current: Option<(Digit, u64, u32)>,
    digits: VecDeque<(Digit, Duration)>,
}

impl Detector {
    /// Hears audio of `rate` Hz: a multiple of 8000.
    pub fn new(rate: u32) -> Self {
        Self {
            step: (rate / RATE).max(1),
            taken: 0,
            sum: 0,
            block: [0.0; BLOCK],
            filled: 0,
            blocks: 0,
            candidate: None,
            current: None,
            digits: VecDeque::new(),
        }
    }

    /// Listens to the next audio, which may be of any length.
    pub fn hear(&mut self, audio: &[i16]) {
        for sample in audio {
            // The mean over a step is low-pass enough: what folds back lies above 4 kHz, where phones say little.
            self.sum += i32::from(*sample);
            self.taken += 1;
            if self.taken < self.step {
                continue;
            }
            let mean = f64::from(self.sum) / f64::from(self.step);
            (self.taken, self.sum) = (0, 0);
            if let Some(place) = self.block.get_mut(self.filled) {
                *place = mean;
            }
            self.filled += 1;
            if self.filled == BLOCK {
                self.filled = 0;
                self.blocks += 1;
                let found = pair(&self.block);
                self.settle(found);
            }
        }
    }

    /// The next digit and how long it sounded, if any. A digit is told when it has ended.
    pub fn poll(&mut self) -> Option<(Digit, Duration)> {
        self.digits.pop_front()
    }

    fn settle(&mut self, found: Option<Digit>) {
        if let Some((digit, began, missed)) = &mut self.current {
            if found == Some(*digit) {
                *missed = 0;
                return;
            }
            *missed += 1;
            if *missed < ENDS {
                return;
            }
            let blocks = self.blocks.saturating_sub(*began + u64::from(ENDS)) + 1;
            let samples = blocks * BLOCK as u64;
            let told = (*digit, Duration::from_micros(samples * 1_000_000 / u64::from(RATE)));
            if self.digits.len() < MOST {
                self.digits.push_back(told);
            }
            self.current = None;
            self.candidate = None;
        }
        let count = match (found, self.candidate) {
            (Some(digit), Some((before, count))) if digit == before => count + 1,
            _ => 1,
        };
        self.candidate = found.map(|digit| (digit, count));
        if let Some(digit) = found
            && count >= BEGINS
        {
            self.current = Some((digit, self.blocks + 1 - u64::from(BEGINS), 0));
        }
    }
}

/// The digit whose two tones a block is, if it is.
fn pair(block: &[f64; BLOCK]) -> Option<Digit> {
    let energy = block.iter().map(|sample| sample * sample).sum::<f64>() / BLOCK as f64;
    if energy < QUIETEST {
        return None;
    }
    let low = LOW.map(|frequency| power(block, frequency));
    let high = HIGH.map(|frequency| power(block, frequency));
    let (row, low_tone) = strongest(&low)?;
    let (column, high_tone) = strongest(&high)?;
    let usable = low_tone > QUIETEST
        && high_tone > QUIETEST
        && low_tone < high_tone * NORMAL_TWIST
        && high_tone < low_tone * REVERSE_TWIST
        && low_tone + high_tone > PURITY * energy;
    if !usable {
        return None;
    }
    // The harmonics of low tones lie among the high ones.
    if power(block, 2.0 * HIGH[column]) > HARMONIC * high_tone {
        return None;
    }
    Digit::try_from(KEYS[row][column]).ok()
}

/// The strongest of a group, if the others are much weaker.
fn strongest(group: &[f64; 4]) -> Option<(usize, f64)> {
    let (index, power) = group.iter().copied().enumerate().max_by(|one, other| one.1.total_cmp(&other.1))?;
    let clear = group.iter().enumerate().all(|(other, weak)| other == index || weak * CONTRAST < power);
    clear.then_some((index, power))
}

/// The energy per sample of a tone of `frequency` in a block (Goertzel).
fn power(block: &[f64; BLOCK], frequency: f64) -> f64 {
    let coefficient = 2.0 * (TAU * frequency / f64::from(RATE)).cos();
    let (mut before, mut last) = (0.0, 0.0);
    for sample in block {
        let next = sample + coefficient * last - before;
        (before, last) = (last, next);
    }
    let energy = last * last + before * before - coefficient * last * before;
    2.0 * energy / (BLOCK as f64 * BLOCK as f64)
}
