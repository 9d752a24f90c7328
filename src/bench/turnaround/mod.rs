//! Media turnaround: from a chirp in a packet that arrives at a phone until the same chirp leaves it in a packet.
//!
//! ```text
//!            INVITE (our engine, by hand)
//!  Caller ──────────────────────────────▶ phone that echoes
//!  Source ── one chirp a packet, when the Pattern says ──▶ RTP ─▶ playout ─▶ RTP ──▶ kernel's stamp ─▶ Track
//!                                                                                          │
//!                                              Turnaround of each chirp, and is it intact? ◀┘
//! ```
//!
//! What leaves is stamped by the kernel; what arrives is taken to arrive when the call that sent it began, which on
//! loopback is some microseconds before. Each call meets another phase of the phone's clock, so several are needed.

mod chirps;
mod pattern;
mod stream;
mod tally;

pub use pattern::{Pattern, UnknownPattern};
pub use tally::{Tally, Turnaround};

use crate::bench::scripted::{self, CallError, Caller, Wanted};
use crate::driver::{Clock, entropy};
use crate::media::plan::Codec;
use crate::random::Random;
use crate::sip::uri::Uri;
use std::io;
use std::time::Duration;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whom to call.
    pub target: Uri,
    /// The codec of the calls.
    pub codec: Codec,
    /// Audio in a packet.
    pub packet_time: Duration,
    /// How packets arrive at the phone.
    pub pattern: Pattern,
    /// How long each call is measured.
    pub duration: Duration,
    /// How long each call lasts before: the phone learns what the network is like.
    pub warm_up: Duration,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum TurnaroundError {
    /// The call.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The system gives no socket, thread or random numbers.
    #[error("the RTP stream cannot be made: {0}")]
    System(#[from] io::Error),
    /// A codec cannot be started.
    #[error(transparent)]
    Codec(#[from] crate::media::codec::Unavailable),
}

/// Makes one call and measures it; takes as long as the call.
///
/// # Errors
/// When the call does not come about, or the system refuses what it needs.
pub fn measure(settings: &Settings) -> Result<Tally, TurnaroundError> {
    let clock = Clock::new();
    let mut random = Random::from_entropy(entropy()?);
    let mut caller = Caller::new(clock, &settings.target, random.split())?;
    let rtp = scripted::bind(caller.address().ip())?;
    let wanted = Wanted { target: settings.target.clone(), codec: settings.codec, packet_time: settings.packet_time };
    let plan = caller.call(&wanted, rtp.local_addr()?)?;
    let sent_and_heard = stream::run(settings, &plan, clock, &rtp, &mut random)?;
    caller.hang_up();
    tally::tally(settings, &sent_and_heard)
}
