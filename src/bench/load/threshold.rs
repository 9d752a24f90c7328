//! What has to hold for a run to pass: `call_setup_p95 < 800ms`, `mos_p05 > 3.8`, `failures < 1%`.

use super::tally::Tally;
use std::fmt;
use std::str::FromStr;

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    text: String,
    metric: Metric,
    statistic: Statistic,
    below: bool,
    or_equal: bool,
    value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    CallSetup,
    PostDialDelay,
    Latency,
    Lateness,
    Mos,
    Failures,
    LostMarkers,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Statistic {
    Quantile(f64),
    Mean,
    /// Of a share there is one value.
    Only,
}

/// Names of metrics that are distributions, and those that are shares.
const DISTRIBUTIONS: [(&str, Metric); 5] = [
    ("call_setup", Metric::CallSetup),
    ("post_dial_delay", Metric::PostDialDelay),
    ("latency", Metric::Latency),
    ("lateness", Metric::Lateness),
    ("mos", Metric::Mos),
];
const SHARES: [(&str, Metric); 2] = [("failures", Metric::Failures), ("lost_markers", Metric::LostMarkers)];

/// A condition that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no threshold; write METRIC OP VALUE as in 'call_setup_p95 < 800ms', 'mos_p05 > 3.8' or 'failures < 1%': \
     call_setup, post_dial_delay, latency, lateness or mos with _min, _max, _mean or _pNN; failures; lost_markers"
)]
pub struct UnknownThreshold(String);

impl FromStr for Threshold {
    type Err = UnknownThreshold;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text).ok_or_else(|| UnknownThreshold(text.into()))
    }
}

fn read(text: &str) -> Option<Threshold> {
    let at = text.find(['<', '>'])?;
    let (name, rest) = text.split_at(at);
    let (below, rest) = (rest.starts_with('<'), rest.get(1..)?);
    let (or_equal, value) = rest.strip_prefix('=').map_or((false, rest), |rest| (true, rest));
    let (name, value) = (name.trim(), value.trim());
    let (metric, statistic) = match SHARES.iter().find(|(share, _)| *share == name) {
        Some(&(_, metric)) => (metric, Statistic::Only),
        None => {
            let (name, statistic) = name.rsplit_once('_')?;
            let &(_, metric) = DISTRIBUTIONS.iter().find(|(known, _)| *known == name)?;
            let statistic = match statistic {
                "min" => Statistic::Quantile(0.0),
                "max" => Statistic::Quantile(1.0),
                "mean" => Statistic::Mean,
                percent => {
                    let percent: f64 = percent.strip_prefix('p')?.parse().ok()?;
                    // p05 and p5 are the same, p999 is 99.9.
                    Statistic::Quantile(if percent > 100.0 { percent / 1_000.0 } else { percent / 100.0 })
                }
            };
            (metric, statistic)
        }
    };
    let value = match metric {
        Metric::Mos => value.parse().ok()?,
        Metric::Failures | Metric::LostMarkers => match value.strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().ok()? / 100.0,
            None => value.parse().ok()?,
        },
        _ => super::arrival::time_of(value)?.as_secs_f64() * 1_000.0,
    };
    Some(Threshold { text: text.trim().into(), metric, statistic, below, or_equal, value })
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Threshold {
    /// The value that it is about (ms, MOS or a share), and whether the condition holds. What was never measured does not
    /// hold.
    pub fn judge(&self, tally: &Tally) -> (Option<f64>, bool) {
        let series = match self.metric {
            Metric::CallSetup => Some(&tally.setup),
            Metric::PostDialDelay => Some(&tally.post_dial),
            Metric::Latency => Some(&tally.latency),
            Metric::Lateness => Some(&tally.lateness),
            Metric::Mos => Some(&tally.mos),
            Metric::Failures | Metric::LostMarkers => None,
        };
        let value = match (series, self.statistic) {
            (Some(series), Statistic::Quantile(share)) => series.quantile(share),
            (Some(series), _) => series.mean(),
            (None, _) if self.metric == Metric::Failures => tally.failure_share(),
            (None, _) => tally.lost_marker_share(),
        };
        let holds = value.is_some_and(|value| match (self.below, self.or_equal) {
            (true, true) => value <= self.value,
            (true, false) => value < self.value,
            (false, true) => value >= self.value,
            (false, false) => value > self.value,
        });
        (value, holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        let mut tally = Tally { offered: 100, answered: 98, ..Tally::default() };
        (1..=100).for_each(|ms| tally.setup.note(f64::from(ms)));
        (0..100).for_each(|n| tally.mos.note(3.5 + f64::from(n) / 200.0));
        tally.failures.insert("486 Busy Here".into(), 2);
        tally
    }

    #[test]
    fn conditions_are_read_and_judged() {
        for (text, holds) in [
            ("call_setup_p95 < 800ms", true),
            ("call_setup_p95<94ms", false),
            ("call_setup_max <= 0.11s", true),
            ("call_setup_mean > 40ms", true),
            ("mos_p05 > 3.8", false),
            ("mos_p50 >= 3.7", true),
            ("failures < 1%", false),
            ("failures <= 0.02", true),
            ("lost_markers < 1%", false),
        ] {
            let threshold: Threshold = text.parse().unwrap();
            assert_eq!(threshold.judge(&tally()).1, holds, "{text}: {:?}", threshold.judge(&tally()));
        }
        for text in ["", "call_setup < 1s", "call_setup_p95 = 1s", "call_setup_p95 < 1", "mos_p05 > 3.8ms", "x_p5 < 1s"]
        {
            assert!(text.parse::<Threshold>().unwrap_err().to_string().contains("mos_p05"), "{text}");
        }
    }
}
