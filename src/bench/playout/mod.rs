//! What a phone makes of speech that comes through a bad network.
//!
//! ```text
//!               ┌──▶ render: our media session, in virtual time ──────────▶ what is heard
//! speech ─▶ Trace                                                              │
//!   (encoded,   └──▶ feed: a phone that echoes, packet by packet in real time ─▶ what is heard
//!    impaired by a seed)                                                        compared by PESQ, PLCMOS
//! ```
//!
//! The same speech, recipe and seed make the same packets arrive at the same times, so that two phones can be compared.

mod render;
mod trace;

pub use render::{Rendered, render};
pub use trace::Trace;

use crate::bench::scripted::{self, CallError, Caller, Wanted};
use crate::driver::{Clock, entropy};
use crate::media::codec::Unavailable;
use crate::random::Random;
use crate::sip::uri::Uri;
use crate::time::Duration;
use std::io;

/// How long after the answer the first packet is sent: whoever measures may give both ends priority meanwhile.
const LEAD: Duration = Duration::from_millis(500);

/// Why nothing was heard.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The call.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The system gives no socket, thread or random numbers.
    #[error("the RTP stream cannot be made: {0}")]
    System(#[from] io::Error),
    /// A codec cannot be started.
    #[error(transparent)]
    Codec(#[from] Unavailable),
}

/// What came back from a phone.
#[derive(Clone, Debug)]
pub struct Fed {
    /// Its echo at the codec's sample rate, by its timestamps.
    pub audio: Vec<i16>,
    /// How late packets were sent to it in the worst one of a thousand.
    pub late: Duration,
}

/// Calls `target`, a phone that echoes, and sends it the packets of `trace` at their times.
///
/// # Errors
/// When the call does not come about, or the system refuses what it needs.
pub fn feed(target: &Uri, trace: &Trace) -> Result<Fed, FeedError> {
    let clock = Clock::new();
    let mut caller = Caller::new(clock, target, Random::from_entropy(entropy()?))?;
    let rtp = scripted::bind(caller.address().ip())?;
    let wanted = Wanted { target: target.clone(), codec: trace.codec(), packet_time: trace.packet_time() };
    let plan = caller.call(&wanted, rtp.local_addr()?)?;
    let script = trace.arrivals(plan.encoding.payload_type);
    let script = script.iter().map(|(at, bytes)| (LEAD + *at, bytes.as_slice()));
    let exchanged = scripted::exchange(clock, &rtp, plan.remote_rtp, script)?;
    caller.hang_up();
    let (audio, _) = scripted::unpack(&plan, &exchanged.returned)?;
    let mut late = exchanged.late;
    late.sort();
    Ok(Fed { audio, late: late.get(late.len() * 999 / 1_000).copied().unwrap_or_default() })
}
