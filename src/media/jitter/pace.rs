//! When to pull, where nothing but the packets sets the beat.
//!
//! A sound device pulls when it wants to. An echo or a bridge may pull when it is best: just after the packets come. Then
//! the delay follows the network without a sample being cut out or put in.
//!
//! ```text
//! packets   ▼         ▼         ▼         ▼
//! pulls         ┊         ┊        ┊       ┊       ┊     a little earlier each time,
//! waiting   ├──►      ├──►     ├─►      ├►               until packets hardly wait
//! ```
//!
//! Pulls move slowly, for the far end hears them as jitter of ours, and not far from where the clock alone would have
//! them: two ends that follow each other would run away together.

/// How much earlier a pull may come than its time, µs.
const EARLIER: i64 = 1_000;
/// How much later, µs: a packet that is late costs more than one that waits.
const LATER: i64 = 4_000;
/// How far pulls may be from where they were, µs ...
const MOST: i64 = 40_000;
/// ... beyond one part in so many of the time: ten times what clocks differ by (crystals: 200 ppm), because each packet
/// that is made up for a late one has to be made good for, too.
const DRIFT: i64 = 500;
/// Slack that is left alone, µs: estimates breathe.
const USUAL_SLACK: i64 = 1_000;

/// How far the pulls of a call were moved.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// µs; negative: earlier.
    moved: i64,
}

impl Pace {
    /// Can `slack`, µs, be had by moving pulls alone, in some steps?
    pub(super) fn covers(self, slack: i64) -> bool {
        // Slack is spent by pulling earlier, the lack of it by pulling later.
        (self.moved - MOST..=self.moved + MOST).contains(&slack)
    }

    /// How much later the next pull should come, µs (negative: earlier): packets come `slack` µs before they are needed.
    /// `reserve` µs of it are kept, because the network is not known well yet; a pull is `length` µs long.
    pub(super) fn shift(&mut self, slack: i64, reserve: i64, length: i64) -> i64 {
        let shift = match slack {
            ..0 => (-slack).min(LATER).min(MOST - self.moved),
            _ if slack > reserve + USUAL_SLACK => {
                -(slack - reserve - USUAL_SLACK / 2).min(EARLIER).min(MOST + self.moved)
            }
            _ => 0,
        };
        self.moved += shift;
        // What was moved long ago is how the clocks differ.
        self.moved -= self.moved.signum() * (length / DRIFT).min(self.moved.abs());
        shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls_come_just_after_the_packets() {
        let mut pace = Pace::default();
        let mut slack = 15_000;
        for _ in 0..30 {
            slack += pace.shift(slack, 0, 20_000);
        }
        assert!((0..=USUAL_SLACK).contains(&slack), "{slack}");
        assert_eq!(pace.shift(slack, 0, 20_000), 0, "there it stays");
        // Packets come 7 ms later.
        slack -= 7_000;
        assert_eq!(pace.shift(slack, 0, 20_000), LATER);
    }

    #[test]
    fn little_is_spent_while_little_is_known() {
        let mut pace = Pace::default();
        assert_eq!(pace.shift(4_500, 4_000, 20_000), 0);
        assert_eq!(pace.shift(9_500, 4_000, 20_000), -EARLIER);
    }

    #[test]
    fn two_that_follow_each_other_do_not_run_away() {
        for slack in [15_000, -15_000] {
            let mut pace = Pace::default();
            let pulls = 50 * 600;
            let moved: i64 = (0..pulls).map(|_| pace.shift(slack, 0, 20_000)).sum();
            let drift = pulls * 20_000 / DRIFT;
            assert!(moved.abs() <= MOST + drift && moved.abs() > drift, "{moved} us in ten minutes");
            assert!(!pace.covers(slack), "the rest is left to others");
        }
    }

    #[test]
    fn what_can_be_had_by_moving_alone() {
        let pace = Pace::default();
        assert!(pace.covers(35_000) && pace.covers(-35_000));
        assert!(!pace.covers(60_000) && !pace.covers(-60_000));
    }
}
