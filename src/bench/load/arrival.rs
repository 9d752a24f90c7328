//! When calls are to begin: so many a second by stages (open), or so many at a time (closed).

use std::str::FromStr;
use std::time::Duration;

/// How calls arrive.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// At a rate of its own, however the far end copes.
    Open(Vec<Stage>),
    /// A new one whenever one ends.
    Closed {
        /// Calls at a time.
        calls: usize,
        /// For so long.
        duration: Duration,
    },
}

/// A rate, for a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Calls a second.
    pub rate: f64,
    /// For so long.
    pub duration: Duration,
}

/// Stages that are not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no rate; write CALLS/s:TIME between commas, as in 10/s:30s,50/s:1m")]
pub struct UnknownRate(String);

/// Stages, as `10/s:30s,50/s:1m`.
#[derive(Clone, Debug, PartialEq)]
pub struct Stages(pub Vec<Stage>);

impl FromStr for Stages {
    type Err = UnknownRate;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let stage = |text: &str| {
            let (rate, time) = text.trim().split_once("/s:")?;
            let rate: f64 = rate.parse().ok().filter(|rate| (0.0..=100_000.0).contains(rate))?;
            Some(Stage { rate, duration: time_of(time)? })
        };
        text.split(',').map(stage).collect::<Option<_>>().map(Self).ok_or_else(|| UnknownRate(text.into()))
    }
}

/// A time as `500ms`, `30s`, `5m` or `1h`.
pub fn time_of(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * unit;
    Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero())
}

/// The calls of an open model, one after the other.
#[derive(Clone, Debug)]
pub struct Arrivals {
    stages: Vec<Stage>,
    /// When the next one is due, seconds.
    next: f64,
    /// What the user adds to the rate of each stage.
    more: f64,
}

impl Arrivals {
    /// From 0 on.
    pub fn new(stages: &[Stage]) -> Self {
        let mut arrivals = Self { stages: stages.to_vec(), next: 0.0, more: 0.0 };
        arrivals.skip_silence();
        arrivals
    }

    /// When the next call is to begin, seconds; `None` after the last.
    pub fn due(&self) -> Option<f64> {
        self.rate(self.next).map(|_| self.next)
    }

    /// The call that is due has begun.
    pub fn take(&mut self) {
        if let Some(rate) = self.rate(self.next) {
            self.next += 1.0 / rate.max(1e-9);
            self.skip_silence();
        }
    }

    /// Changes the rate by so many calls a second from `now` on.
    pub fn change(&mut self, now: f64, by: f64) {
        self.more += by;
        // What was due long after now at the old rate is due sooner at a higher one.
        if let Some(rate) = self.rate(now) {
            self.next = self.next.min(now + 1.0 / rate.max(1e-9));
        }
        self.skip_silence();
    }

    /// Nothing is due before `now`: it was paused.
    pub fn resume(&mut self, now: f64) {
        self.next = self.next.max(now);
        self.skip_silence();
    }

    /// When the last stage ends, seconds.
    pub fn end(&self) -> f64 {
        self.stages.iter().map(|stage| stage.duration.as_secs_f64()).sum()
    }

    /// Calls a second at a time; `None` after the last stage.
    pub fn rate(&self, at: f64) -> Option<f64> {
        let mut end = 0.0;
        let stage = self.stages.iter().find(|stage| {
            end += stage.duration.as_secs_f64();
            at < end - 1e-9
        })?;
        Some((stage.rate + self.more).max(0.0))
    }

    /// A stage without calls is waited through.
    fn skip_silence(&mut self) {
        let mut end = 0.0;
        for stage in &self.stages {
            end += stage.duration.as_secs_f64();
            if self.next < end - 1e-9 && stage.rate + self.more <= 0.0 {
                self.next = end;
            } else if self.next < end - 1e-9 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(text: &str) -> Vec<f64> {
        let mut arrivals = Arrivals::new(&text.parse::<Stages>().unwrap().0);
        std::iter::from_fn(|| {
            let due = arrivals.due()?;
            arrivals.take();
            Some(due)
        })
        .collect()
    }

    #[test]
    fn calls_arrive_at_the_rate_of_each_stage() {
        let times = times("10/s:2s,0/s:1s,50/s:500ms");
        let within = |from: f64, to: f64| times.iter().filter(|&&at| from - 1e-6 <= at && at < to - 1e-6).count();
        assert_eq!((within(0.0, 2.0), within(2.0, 3.0), within(3.0, 3.5), times.len()), (20, 0, 25, 45));
        assert!((times[1] - 0.1).abs() < 1e-9 && (times[20] - 3.0).abs() < 1e-9);
    }

    #[test]
    fn the_rate_can_be_changed_and_paused() {
        let mut arrivals = Arrivals::new(&"1/s:10s".parse::<Stages>().unwrap().0);
        arrivals.take();
        arrivals.change(0.1, 9.0);
        assert!((arrivals.due().unwrap() - 0.2).abs() < 1e-9);
        arrivals.resume(5.0);
        assert_eq!(arrivals.due(), Some(5.0));
        arrivals.change(5.0, -20.0);
        assert_eq!(arrivals.due(), None);
    }

    #[test]
    fn what_is_no_rate_is_told() {
        for text in ["", "10", "10/s", "10/s:5", "x/s:5s", "-1/s:5s", "10/s:0s"] {
            assert!(text.parse::<Stages>().unwrap_err().to_string().contains("10/s:30s"), "{text}");
        }
        assert_eq!(time_of("1.5m"), Some(Duration::from_secs(90)));
    }
}
