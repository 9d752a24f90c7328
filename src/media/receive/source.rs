//! One source in one run of its sequence numbers (RFC 3550 A.1 and A.3).

use super::Interval;
use crate::media::quality::burst::{Fate, Pattern};
use crate::media::sequence::{ExtendedSeq, Seq, Ssrc};

/// A gap of up to this many packets is loss (RFC 3550 A.1: one minute at 50 packets a second).
const MAX_DROPOUT: u16 = 3_000;
/// A packet may come this late (RFC 3550 A.1: two seconds at 50 packets a second).
const MAX_MISORDER: u16 = 100;
/// Numbers below the highest whose arrival is remembered; above MAX_MISORDER, so that no accepted packet is forgotten.
const WINDOW: i64 = 128;

/// Where a packet stands among those that were here before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// Higher than all.
    Ahead(ExtendedSeq),
    /// Lower, and missing so far.
    Behind(ExtendedSeq),
    /// Here before.
    Duplicate,
    /// Too far away.
    Jump,
    /// Too far away, but in sequence with the last jump.
    Restart,
}

#[derive(Clone, Debug)]
pub(super) struct Source {
    ssrc: Ssrc,
    first: ExtendedSeq,
    highest: ExtendedSeq,
    /// Bit `i`: `highest - i` arrived.
    arrived: u128,
    /// Bit `i`: `highest - i` was discarded.
    discarded: u128,
    /// Fates below are settled.
    unsettled: ExtendedSeq,
    /// The number that would confirm a jump.
    after_jump: Option<Seq>,
    packets: u64,
    duplicates: u64,
    expected_prior: u64,
    received_prior: u64,
}

impl Source {
    /// A source whose first packet is `seq`.
    pub(super) fn new(ssrc: Ssrc, seq: Seq) -> Self {
        let first = ExtendedSeq(seq.0.into());
        Self {
            ssrc,
            first,
            highest: first,
            arrived: 1,
            discarded: 0,
            unsettled: first,
            after_jump: None,
            packets: 1,
            duplicates: 0,
            expected_prior: 0,
            received_prior: 0,
        }
    }

    pub(super) fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    pub(super) fn highest(&self) -> ExtendedSeq {
        self.highest
    }

    /// Finds the place of `seq` and remembers that it arrived. Fates that no packet can change any more go to
    /// `settled`.
    pub(super) fn place(&mut self, seq: Seq, settled: &mut Pattern) -> Placed {
        let ahead = seq.0.wrapping_sub(self.highest.seq().0);
        let behind = ahead.wrapping_neg();
        if ahead != 0 && ahead < MAX_DROPOUT {
            let highest = self.highest + i64::from(ahead);
            self.settle(highest + -WINDOW, settled);
            self.highest = highest;
            self.arrived = self.arrived.checked_shl(ahead.into()).unwrap_or(0) | 1;
            self.discarded = self.discarded.checked_shl(ahead.into()).unwrap_or(0);
            self.packets += 1;
            return Placed::Ahead(highest);
        }
        if behind >= MAX_MISORDER {
            if self.after_jump == Some(seq) {
                return Placed::Restart;
            }
            self.after_jump = Some(seq.next());
            return Placed::Jump;
        }
        let bit = 1u128 << behind;
        if self.arrived & bit != 0 {
            self.duplicates += 1;
            return Placed::Duplicate;
        }
        self.arrived |= bit;
        self.packets += 1;
        let seq = self.highest + -i64::from(behind);
        if seq < self.first {
            // Sent before the first one that arrived: the stream begins here. Nothing is settled yet, as the first
            // packet is still in the window.
            self.first = seq;
            self.unsettled = seq;
        }
        Placed::Behind(seq)
    }

    /// An accepted packet was not played.
    pub(super) fn discard(&mut self, seq: ExtendedSeq) {
        let behind = self.highest - seq;
        if (0..WINDOW).contains(&behind) {
            self.discarded |= 1 << behind;
        }
    }

    /// Packets that the numbers promise (A.3).
    pub(super) fn expected(&self) -> u64 {
        (self.highest - self.first + 1).unsigned_abs()
    }

    /// Packets that never arrived.
    pub(super) fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.packets)
    }

    /// Settles everything that is in the window.
    pub(super) fn settle_all(&mut self, settled: &mut Pattern) {
        self.settle(self.highest, settled);
    }

    /// Settles the fates up to `last`.
    fn settle(&mut self, last: ExtendedSeq, settled: &mut Pattern) {
        while self.unsettled <= last {
            let behind = self.highest - self.unsettled;
            // Above the highest nothing has arrived: the gap of a jump ahead.
            let bit = if (0..WINDOW).contains(&behind) { 1u128 << behind } else { 0 };
            settled.push(if self.arrived & bit == 0 {
                Fate::Lost
            } else if self.discarded & bit != 0 {
                Fate::Discarded
            } else {
                Fate::Received
            });
            self.unsettled = self.unsettled.next();
        }
    }

    /// Ends an interval (A.3).
    pub(super) fn report(&mut self, jitter: u32) -> Interval {
        let (expected, received) = (self.expected(), self.packets + self.duplicates);
        let expected_interval = expected - std::mem::replace(&mut self.expected_prior, expected).min(expected);
        let received_interval = received - std::mem::replace(&mut self.received_prior, received);
        let lost_interval = expected_interval.saturating_sub(received_interval);
        let fraction = (lost_interval * 256).checked_div(expected_interval).unwrap_or(0);
        let cumulative = expected as i64 - received as i64;
        Interval {
            ssrc: self.ssrc,
            // All lost in an interval is 256/256, which 8 bits do not hold.
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: cumulative.clamp(-0x80_0000, 0x7f_ffff) as i32,
            extended_highest: self.highest.report(),
            jitter,
        }
    }
}
