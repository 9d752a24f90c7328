//! What is played next, and whether playout runs too close to the packets or too far behind them. No state but the
//! clock of the pulls.
//!
//! Audio is pulled in pieces, so a packet is needed at the beginning of the pull that reaches into it:
//!
//! ```text
//! pulls      T1          T2          T3          T4
//!            ├───────────┼───────────┼───────────┤
//! audio      │ lead │ next packet │ the one after │ ...
//!            needed at T1 ┘        └ needed at T2
//! ```
//!
//! Where `lead` is no whole number of pulls, its rest is delay that buys nothing: it may go at any time. Whole pulls may go
//! only when the latest packets still come in time afterwards.

use crate::time::{Duration, Instant};

/// What one step of playout does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Play the first packet that waits.
    Play,
    /// Make up this many samples for a packet that is lost, and go on past it.
    Conceal(usize),
    /// Make up the whole rest of the gap, this many samples, from the copy in the packet behind it.
    Recover(usize),
    /// Nobody speaks: fill this many samples until the next packet's time.
    Pause(usize),
    /// Nothing to play: make up this many samples without going on, for the packet may yet come.
    Wait(usize),
}

/// What the choice of a [`Step`] depends on; lengths in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Situation {
    /// From the end of what was decoded to the first packet that waits; `None` if none does.
    pub(super) gap: Option<i64>,
    /// Already made up beyond the end of what was decoded.
    pub(super) waited: i64,
    /// No packet is missing before the first that waits: the sender was silent.
    pub(super) contiguous: bool,
    /// Length of the packet before it that the first packet carries a copy of; 0 without.
    pub(super) copy: i64,
    /// How much is asked for; above 0.
    pub(super) wanted: usize,
}

impl Situation {
    /// Chooses.
    pub(super) fn step(self) -> Step {
        let Some(gap) = self.gap else { return Step::Wait(self.wanted) };
        // What was made up while waiting took the place of what is missing.
        let missing = gap - self.waited.max(0);
        let Ok(missing @ 1..) = usize::try_from(missing) else { return Step::Play };
        let copy = usize::try_from(self.copy).unwrap_or(0);
        if self.contiguous {
            Step::Pause(missing.min(self.wanted))
        } else if missing <= copy {
            Step::Recover(missing)
        } else {
            Step::Conceal((missing - copy).min(self.wanted))
        }
    }
}

/// A change of the delay, in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is right.
    None,
    /// Up to this much may go.
    Shorten(usize),
    /// This much is missing: the latest packets will come late.
    Lengthen(usize),
}

/// The rhythm in which audio is pulled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    rate: i64,
    /// Samples in a pull.
    pull: i64,
    /// When the next pull is due at the earliest.
    next: Option<Instant>,
}

impl Rhythm {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate: i64::from(rate), pull: i64::from(rate) / 50, next: None }
    }

    /// A pull of `samples` happens at `now`.
    pub(super) fn pulled(&mut self, now: Instant, samples: usize) {
        self.pull = (samples as i64).max(1);
        // Some pulls come late, because threads do; the schedule is that of the early ones.
        let due = match self.next {
            Some(due) if now < due => now,
            Some(due) if now.since(due) < self.duration(self.pull) => due + now.since(due) / 16,
            _ => now,
        };
        self.next = Some(due + self.duration(self.pull));
    }

    /// The next pull comes `micros` later than its time, earlier if negative, and those after it stay with it.
    pub(super) fn shift(&mut self, micros: i64) {
        let by = Duration::from_micros(micros.unsigned_abs());
        self.next = self.next.map(|next| if micros < 0 { next - by } else { next + by });
    }

    /// Samples are counted at another rate from now on.
    pub(super) fn set_rate(&mut self, rate: u32) {
        self.pull = self.pull * i64::from(rate) / self.rate;
        self.rate = i64::from(rate);
    }

    fn duration(&self, samples: i64) -> Duration {
        Duration::from_nanos((samples.max(0) * 1_000_000_000 / self.rate) as u64)
    }

    /// How long a pull is, µs.
    pub(super) fn length(&self) -> i64 {
        self.micros(self.pull)
    }

    fn micros(&self, samples: i64) -> i64 {
        samples * 1_000_000 / self.rate
    }

    /// Pulls and packets of `packet` samples meet in steps of this many samples.
    fn grid(&self, packet: i64) -> i64 {
        let (mut a, mut b) = (self.pull, packet.max(1));
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    }

    /// What of `surplus` samples buys nothing, wherever pulls are.
    pub(super) fn rest(&self, surplus: usize, packet: i64) -> usize {
        surplus % self.grid(packet).unsigned_abs().max(1) as usize
    }

    /// How long before it is needed a packet with `transit` µs comes, in the worst of the positions that packets of
    /// `packet` samples take among the pulls, µs. `lead` samples are left after this pull; they end at media time
    /// `position`.
    pub(super) fn slack(&self, lead: i64, position: i64, packet: i64, transit: i64) -> Option<i64> {
        let next = self.next?.since_start().as_micros() as i64;
        let grid = self.grid(packet);
        let needed = lead - lead.rem_euclid(grid) - (self.pull - grid);
        Some(next + self.micros(needed - position) - transit)
    }

    /// The change that makes the slack, µs, small but not negative; `lead` and `packet` as in [`Rhythm::slack`]. A pull
    /// is given up only when `reluctance` µs more than it are free.
    pub(super) fn change(&self, slack: i64, lead: i64, packet: i64, reluctance: i64) -> Change {
        let grid = self.grid(packet);
        let step = self.micros(grid).max(1);
        let rest = lead.rem_euclid(grid);
        if slack < 0 {
            let steps = (-slack + step - 1) / step;
            return Change::Lengthen((steps * grid - rest) as usize);
        }
        let steps = (slack - reluctance).max(0) / step;
        match (rest + steps * grid) as usize {
            0 => Change::None,
            surplus => Change::Shorten(surplus),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Situation = Situation { gap: Some(0), waited: 0, contiguous: true, copy: 0, wanted: 160 };

    #[test]
    fn steps_by_situation() {
        let lost = Situation { contiguous: false, ..USUAL };
        for (situation, step) in [
            (USUAL, Step::Play),
            (Situation { gap: None, ..USUAL }, Step::Wait(160)),
            // A packet that overlaps what was played: what is left of it is played.
            (Situation { gap: Some(-40), ..USUAL }, Step::Play),
            (Situation { gap: Some(160), ..lost }, Step::Conceal(160)),
            (Situation { gap: Some(480), ..lost }, Step::Conceal(160)),
            // The lost packet's time was filled while waiting for it.
            (Situation { gap: Some(160), waited: 160, ..lost }, Step::Play),
            (Situation { gap: Some(320), waited: 160, ..lost }, Step::Conceal(160)),
            // It was only late.
            (Situation { gap: Some(0), waited: 160, ..USUAL }, Step::Play),
            (Situation { gap: Some(160), copy: 160, ..lost }, Step::Recover(160)),
            (Situation { gap: Some(400), copy: 160, ..lost }, Step::Conceal(160)),
            (Situation { gap: Some(200), copy: 160, ..lost }, Step::Conceal(40)),
            // No packet is missing, so there is nothing to recover.
            (Situation { gap: Some(160), copy: 160, ..USUAL }, Step::Pause(160)),
            (Situation { gap: Some(8_000), waited: 7_900, ..USUAL }, Step::Pause(100)),
        ] {
            assert_eq!(situation.step(), step, "{situation:?}");
        }
    }

    /// Pulls of 20 ms at 8 kHz, the last one at 1000 ms.
    fn rhythm() -> Rhythm {
        let mut rhythm = Rhythm::new(8_000);
        for n in 0..=50 {
            rhythm.pulled(Instant::from_millis(20 * n), 160);
        }
        rhythm
    }

    #[test]
    fn slack_is_the_time_from_arrival_to_the_pull_that_needs_the_packet() {
        let rhythm = rhythm();
        // The next pull, at 1020 ms, begins with media time 8000 = 1000 ms; a packet with a transit of 5 ms comes at 1005.
        assert_eq!(rhythm.slack(0, 8_000, 160, 5_000), Some(15_000));
        // 20 ms are left: it is needed a pull later; 5 ms are left: at the same pull.
        assert_eq!(rhythm.slack(160, 8_000, 160, 5_000), Some(35_000));
        assert_eq!(rhythm.slack(40, 8_000, 160, 5_000), Some(15_000));
        // Packets of 30 ms meet pulls of 20 ms in the middle every other time.
        assert_eq!(rhythm.slack(0, 8_000, 240, 5_000), Some(5_000));
        assert_eq!(rhythm.slack(0, 8_000, 80, 5_000), Some(5_000));
        assert_eq!(Rhythm::new(8_000).slack(0, 0, 160, 0), None);
    }

    #[test]
    fn the_change_leaves_the_least_delay_that_is_in_time() {
        let rhythm = rhythm();
        assert_eq!(rhythm.change(15_000, 0, 160, 2_000), Change::None);
        assert_eq!(rhythm.change(15_000, 40, 160, 2_000), Change::Shorten(40));
        assert_eq!(rhythm.change(21_000, 0, 160, 2_000), Change::None, "reluctant");
        assert_eq!(rhythm.change(25_000, 0, 160, 2_000), Change::Shorten(160));
        assert_eq!(rhythm.change(45_000, 80, 160, 2_000), Change::Shorten(400));
        assert_eq!(rhythm.change(35_000, 0, 160, 18_000), Change::None, "little is known yet");
        assert_eq!(rhythm.change(45_000, 0, 160, 18_000), Change::Shorten(160));
        assert_eq!(rhythm.change(-1, 0, 160, 2_000), Change::Lengthen(160));
        assert_eq!(rhythm.change(-1, 40, 160, 2_000), Change::Lengthen(120));
        assert_eq!(rhythm.change(-30_000, 0, 160, 2_000), Change::Lengthen(320));
    }

    #[test]
    fn late_threads_do_not_move_the_rhythm() {
        let mut rhythm = rhythm();
        for n in 51..60 {
            rhythm.pulled(Instant::from_millis(20 * n + if n % 2 == 0 { 8 } else { 0 }), 160);
        }
        let slack = rhythm.slack(0, 59 * 160, 160, 0).unwrap();
        assert!((20_000..21_000).contains(&slack), "{slack}");
        // A device that moved its clock is followed.
        rhythm.pulled(Instant::from_millis(1_300), 160);
        assert_eq!(rhythm.slack(0, 0, 160, 0), Some(1_320_000));
    }
}
