//! Numbers that wrap: sequence numbers, RTP timestamps and the names of sources (RFC 3550 section 5.1).

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A 16-bit sequence number as it stands in the packet. It wraps, so it has no order of its own: compare with
/// [`Seq::distance`], or sort by [`ExtendedSeq`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seq(pub u16);

impl Seq {
    /// The number that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Steps from `earlier` to `self` on the shorter way around the circle, -32768 to 32767.
    pub const fn distance(self, earlier: Seq) -> i16 {
        self.0.wrapping_sub(earlier.0) as i16
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A sequence number with its wraps counted: `65536 * cycles + seq` (RFC 3550 A.1).
///
/// Total order within one run of one source; a packet that was sent before the first one received may be negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ExtendedSeq(pub i64);

impl ExtendedSeq {
    /// The number in the packet.
    pub const fn seq(self) -> Seq {
        Seq(self.0 as u16)
    }

    /// The number that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// `seq`, extended to the value nearest to `self`.
    #[must_use]
    pub const fn nearest(self, seq: Seq) -> Self {
        Self(self.0.wrapping_add(seq.distance(self.seq()) as i64))
    }

    /// The 32 bits of a reception report (RFC 3550 section 6.4.1).
    pub const fn report(self) -> u32 {
        self.0 as u32
    }
}

impl Add<i64> for ExtendedSeq {
    type Output = Self;
    fn add(self, steps: i64) -> Self {
        Self(self.0.wrapping_add(steps))
    }
}

impl Sub for ExtendedSeq {
    type Output = i64;
    /// Steps from `earlier` to `self`.
    fn sub(self, earlier: Self) -> i64 {
        self.0.wrapping_sub(earlier.0)
    }
}

impl fmt::Debug for ExtendedSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A 32-bit RTP timestamp in ticks of the payload's clock; wraps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RtpTime(pub u32);

impl RtpTime {
    /// Ticks from `earlier` to `self` on the shorter way around the circle.
    pub const fn since(self, earlier: RtpTime) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }
}

impl Add<u32> for RtpTime {
    type Output = Self;
    /// `ticks` later.
    fn add(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }
}

impl AddAssign<u32> for RtpTime {
    fn add_assign(&mut self, ticks: u32) {
        *self = *self + ticks;
    }
}

impl fmt::Debug for RtpTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

/// A synchronisation source: who sends (RFC 3550 section 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ssrc({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_takes_the_shorter_way() {
        assert_eq!(Seq(2).distance(Seq(65_535)), 3);
        assert_eq!(Seq(65_535).distance(Seq(2)), -3);
        assert_eq!(Seq(65_535).next(), Seq(0));
        assert_eq!(RtpTime(5).since(RtpTime(u32::MAX)), 6);
        assert_eq!(RtpTime(u32::MAX).since(RtpTime(5)), -6);
    }

    #[test]
    fn extended_numbers_sort_across_the_wrap() {
        let before = ExtendedSeq(65_534);
        let after = before.nearest(Seq(1));
        assert_eq!(after, ExtendedSeq(65_537));
        assert!(before < after);
        assert_eq!(after.nearest(Seq(65_535)), ExtendedSeq(65_535));
        assert_eq!(after.report(), 65_537);
        assert_eq!(ExtendedSeq(3).nearest(Seq(65_535)), ExtendedSeq(-1));
        assert_eq!(ExtendedSeq(-1).seq(), Seq(65_535));
    }
}
