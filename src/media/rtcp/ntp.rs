//! NTP timestamps (RFC 3550 section 4).

use crate::time::Duration;
use jiff::Timestamp;

/// Seconds from the epoch of NTP (1900) to that of Unix (1970).
const UNIX_EPOCH: i128 = 2_208_988_800;
const NANOS: i128 = 1_000_000_000;

/// 32 bits of seconds since 1900, 32 bits of fraction; wraps in 2036.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Ntp(pub u64);

impl Ntp {
    /// The NTP time of a wall-clock time.
    pub fn of(wall: Timestamp) -> Self {
        let nanos = wall.as_nanosecond() + UNIX_EPOCH * NANOS;
        let seconds = nanos.div_euclid(NANOS) as u64;
        let fraction = (nanos.rem_euclid(NANOS) << 32) / NANOS;
        Self(seconds << 32 | fraction as u64)
    }

    /// The middle 32 bits, in 1/65536 s: what LSR carries (RFC 3550 section 6.4.1).
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// A duration in 1/65536 s as DLSR carries it; at most 18.2 hours.
pub(super) fn short(duration: Duration) -> u32 {
    u32::try_from((duration.as_nanos() << 16) / NANOS as u128).unwrap_or(u32::MAX)
}

/// The duration of so many 1/65536 s.
pub(super) fn long(short: u32) -> Duration {
    Duration::from_nanos((u64::from(short) * NANOS as u64) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_point_and_epochs() {
        assert_eq!(Ntp::of(Timestamp::UNIX_EPOCH), Ntp(0x83aa_7e80_0000_0000));
        assert_eq!(Ntp::of("1970-01-01T00:00:00.75Z".parse().unwrap()), Ntp(0x83aa_7e80_c000_0000));
        assert_eq!(Ntp::of("2036-02-07T06:28:16Z".parse().unwrap()), Ntp(0), "era 1 begins");
        assert_eq!(Ntp(0x1234_5678_9abc_def0).middle(), 0x5678_9abc);
        assert_eq!(short(Duration::from_millis(5_250)), 0x0005_4000, "the example of RFC 3550 figure 2");
        assert_eq!(long(0x0005_4000), Duration::from_millis(5_250));
        assert_eq!(short(Duration::from_secs(100_000)), u32::MAX);
    }
}
