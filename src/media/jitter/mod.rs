//! Adaptive jitter buffer: packets come when they come, audio leaves evenly.
//!
//! ```text
//!             ┌─────────── delay: how late do packets come? ──────────┐
//!             │                                                       ▼
//! insert ─▶ packets ─▶ decision: play · recover · conceal · pause · wait ─▶ stretch ─▶ pull
//!           (sorted)      │ decoder                  concealer │      shorter, longer
//!             │           └────────── joined smoothly ─────────┘
//!             └─▶ late, too many: discarded
//! ```
//!
//! * A packet is needed at the pull that reaches into it; the delay is the smallest at which all but a thousandth of
//!   the packets come before that (`delay`). On a clean network this is less than the time between two pulls.
//! * When nothing is there, audio is made up and the playout waits: a packet that is only late is played, and the delay
//!   has grown. When a later packet is there, the missing one is made up, or taken from a copy, and passed over; if it
//!   comes afterwards it is late.
//! * Too much delay leaves by periods of the voice, or at once where nobody speaks; too little grows the same way.

mod conceal;
mod decision;
mod delay;
mod pace;
mod packets;
mod pitch;
mod playout;
#[cfg(test)]
mod playout_tests;
#[cfg(test)]
mod script_tests;
mod stretch;

pub use playout::{Incoming, Playout};

use crate::time::Duration;

/// Limits of a jitter buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Jitter above this is not waited for: what is later is lost.
    pub longest: Duration,
}

impl Default for Config {
    /// 300 ms: with the network's own delay, the 400 ms of ITU-T G.114 are then spent.
    fn default() -> Self {
        Self { longest: Duration::from_millis(300) }
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insert {
    /// It waits for its time.
    Waiting,
    /// Its time is over.
    Late,
    /// Its timestamp is far from the others'; if the next packets agree with it, they are played.
    Jump,
    /// It holds no audio of its codec.
    Undecodable,
}

/// What a jitter buffer did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets decoded and played.
    pub played: u64,
    /// Packets that came after their time.
    pub late: u64,
    /// Packets dropped because too many waited.
    pub overflowed: u64,
    /// Packets that their decoder refused.
    pub undecodable: u64,
    /// Packets taken from the copy in the packet behind them.
    pub recovered: u64,
    /// Times that the timestamps jumped and everything began anew.
    pub restarts: u64,
    /// Audio made up for packets that were not there, pauses included.
    pub made_up: Duration,
    /// Audio left out to make the delay shorter.
    pub shortened: Duration,
    /// Audio repeated to make the delay longer.
    pub lengthened: Duration,
    /// Time from arrival to playout, summed over `played`.
    pub delay_sum: Duration,
}

impl Statistics {
    /// Mean time from arrival to playout; `None` before the first packet is played.
    pub fn mean_delay(&self) -> Option<Duration> {
        Some(self.delay_sum / u32::try_from(self.played).ok().filter(|&played| played > 0)?)
    }
}
