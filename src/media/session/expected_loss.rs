//! How much loss our encoder reckons with, from what the far end reports.

/// How much of what was expected stays after a report of less: loss comes in spells.
const DECAY: f64 = 0.7;
/// How much of a report of more is believed at once: one interval holds few packets.
const BELIEF: f64 = 0.6;
/// The encoder is told of changes of so many per cent or more: each changes how it shares its bits ...
const STEP: f64 = 1.5;
/// ... and that there is none when it is below this many.
const NONE: f64 = 0.5;
/// Above this, more redundancy costs more sound than it saves, per cent.
const MOST: f64 = 30.0;

/// Loss that the far end reports, smoothed, with hysteresis.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExpectedLoss {
    /// Per cent.
    smooth: f64,
    /// What the encoder was told, per cent.
    told: u8,
}

impl ExpectedLoss {
    /// The far end reports that `fraction` of our packets were lost in an interval; what the encoder is to expect, per cent.
    pub(super) fn reported(&mut self, fraction: f64) -> u8 {
        let percent = fraction.clamp(0.0, 1.0) * 100.0;
        self.smooth = if percent > self.smooth {
            self.smooth + (percent - self.smooth) * BELIEF
        } else {
            percent.max(self.smooth * DECAY)
        };
        let told = f64::from(self.told);
        if self.smooth < NONE {
            self.told = 0;
        } else if (self.smooth - told).abs() >= STEP || (self.told == 0 && self.smooth >= 1.0) {
            self.told = self.smooth.min(MOST).round() as u8;
        }
        self.told
    }

    /// What the encoder was told last, per cent.
    pub(super) fn percent(self) -> u8 {
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_at_once_and_falls_slowly() {
        let mut expected = ExpectedLoss::default();
        let told: Vec<u8> =
            [0.0, 0.1, 0.1, 0.1, 0.0, 0.0, 0.0, 0.0].into_iter().map(|loss| expected.reported(loss)).collect();
        assert_eq!(told, [0, 6, 8, 8, 8, 5, 3, 3]);
        for _ in 0..20 {
            expected.reported(0.0);
        }
        assert_eq!(expected.percent(), 0);
    }

    #[test]
    fn what_flutters_moves_nothing() {
        let mut expected = ExpectedLoss::default();
        for _ in 0..5 {
            expected.reported(0.05);
        }
        let before = expected.percent();
        for loss in [0.06, 0.045, 0.055, 0.05, 0.06, 0.045] {
            assert_eq!(expected.reported(loss), before);
        }
    }

    #[test]
    fn nothing_beyond_what_helps() {
        let mut expected = ExpectedLoss::default();
        for _ in 0..9 {
            expected.reported(0.9);
        }
        assert_eq!(expected.percent(), 30);
    }
}
