//! What reports tell.

use super::compound::{ReportBlock, SenderInfo};
use crate::media::sequence::Ssrc;
use crate::time::{Duration, Instant};

/// What the far end reports of our stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Remote {
    /// Report blocks on our source so far.
    pub reports: u64,
    /// When the last one came.
    pub at: Instant,
    /// Lost of our packets, in total; negative when duplicates outweigh losses.
    pub lost: i32,
    /// Packets that the far end expected by then; `None` if it did not name one of our numbers.
    pub expected: Option<u64>,
    /// Lost since its report before, 0 to 1.
    pub fraction_lost: f64,
    /// Interarrival jitter; `None` before we sent anything.
    pub jitter: Option<Duration>,
    /// Latest round trip from LSR and DLSR (section 6.4.1); `None` until one of our sender reports was echoed.
    pub round_trip: Option<Duration>,
}

/// A report in brief.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Who reports.
    pub ssrc: Ssrc,
    /// There in a sender report.
    pub sender: Option<SenderInfo>,
    /// On the source of the other side; `None` before anything was heard of it.
    pub block: Option<ReportBlock>,
    /// The source leaves (BYE).
    pub bye: bool,
}

/// What a received compound packet brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Its first report; the block is the one on our source.
    pub report: Option<Summary>,
    /// It reported on our source.
    pub about_us: bool,
    /// Sources that left.
    pub byes: Vec<Ssrc>,
    /// It came from our own SSRC: a loop, or a collision (section 8.2). Nothing of it was used.
    pub own_ssrc: bool,
}
