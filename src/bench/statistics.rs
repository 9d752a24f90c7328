//! What the instruments say of many values: distributions, trends, and whether two of them differ.

use crate::random::Random;
use serde::{Deserialize, Serialize};

/// Resamplings of a comparison.
const RESAMPLINGS: usize = 2_000;

/// Groups from which on a comparison resamples groups.
const ENOUGH_GROUPS: usize = 5;

/// A distribution, in the unit of its values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// How many values.
    pub count: usize,
    /// The lowest.
    pub min: f64,
    /// The middle.
    pub p50: f64,
    /// One in twenty is above.
    pub p95: f64,
    /// One in a hundred is above.
    pub p99: f64,
    /// The highest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

impl Distribution {
    /// Of `values`; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share| quantile(&sorted, share);
        Some(Self {
            count: sorted.len(),
            min: at(0.0)?,
            p50: at(0.5)?,
            p95: at(0.95)?,
            p99: at(0.99)?,
            max: at(1.0)?,
            mean: mean(&sorted)?,
        })
    }
}

/// The value below which `share` of the sorted values are, between two of them in proportion.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

/// The mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// How values change, by least squares.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// Change for each unit of the first coordinate.
    pub slope: f64,
    /// Half the width of its 95 % confidence interval.
    pub uncertainty: f64,
}

impl Trend {
    /// Through `points`; `None` with fewer than three, or all at one place.
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        let (mean_x, mean_y) = (
            points.iter().map(|point| point.0).sum::<f64>() / count,
            points.iter().map(|point| point.1).sum::<f64>() / count,
        );
        let spread: f64 = points.iter().map(|point| (point.0 - mean_x).powi(2)).sum();
        if points.len() < 3 || spread <= 0.0 {
            return None;
        }
        let slope = points.iter().map(|point| (point.0 - mean_x) * (point.1 - mean_y)).sum::<f64>() / spread;
        let rest: f64 = points.iter().map(|point| (point.1 - mean_y - slope * (point.0 - mean_x)).powi(2)).sum();
        Some(Self { slope, uncertainty: 1.96 * (rest / (count - 2.0) / spread).sqrt() })
    }
}

/// How much more a quantity is in one sample than in another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The second's value less the first's.
    pub difference: f64,
    /// Its 95 % confidence interval.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Were whole groups resampled? Values of one group are more alike than those of different ones.
    pub by_group: bool,
}

impl Difference {
    /// Does the interval leave 0 out?
    pub fn is_certain(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// How the quantile at `share` differs between two samples made of groups: a percentile bootstrap, reproducible by its seed.
///
/// Whole groups are resampled if both have at least five, else single values, which takes what groups share for certain.
pub fn compare(first: &[Vec<f64>], second: &[Vec<f64>], share: f64, seed: u64) -> Option<Difference> {
    let by_group = first.len().min(second.len()) >= ENOUGH_GROUPS;
    let value = |sample: &[Vec<f64>]| {
        let mut all: Vec<f64> = sample.iter().flatten().copied().collect();
        all.sort_by(f64::total_cmp);
        quantile(&all, share)
    };
    let difference = value(second)? - value(first)?;
    let mut random = Random::from_seed(seed);
    let mut resampled = |sample: &[Vec<f64>]| {
        let mut all: Vec<f64> = if by_group {
            let group = |random: &mut Random| sample.get(random.range(0, sample.len() as u64) as usize);
            (0..sample.len()).filter_map(|_| group(&mut random)).flatten().copied().collect()
        } else {
            let values: Vec<f64> = sample.iter().flatten().copied().collect();
            (0..values.len())
                .filter_map(|_| values.get(random.range(0, values.len() as u64) as usize).copied())
                .collect()
        };
        all.sort_by(f64::total_cmp);
        quantile(&all, share)
    };
    let mut differences: Vec<f64> =
        (0..RESAMPLINGS).filter_map(|_| Some(resampled(second)? - resampled(first)?)).collect();
    differences.sort_by(f64::total_cmp);
    let (low, high) = (quantile(&differences, 0.025)?, quantile(&differences, 0.975)?);
    Some(Difference { difference, low, high, by_group })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_those_of_the_values() {
        assert_eq!(Distribution::of(&[]), None);
        let values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        let of = Distribution::of(&values).unwrap();
        assert_eq!(
            (of.min, of.p50, of.p95, of.p99, of.max, of.mean, of.count),
            (0.0, 50.0, 95.0, 99.0, 100.0, 50.0, 101)
        );
        assert_eq!(quantile(&[1.0, 2.0], 0.25), Some(1.25));
    }

    #[test]
    fn a_trend_is_found_and_none_is_not_certain() {
        let mut random = Random::from_seed(1);
        let mut line = |slope: f64| -> Vec<(f64, f64)> {
            (0..200).map(|n| (f64::from(n) / 60.0, 60.0 + slope * f64::from(n) / 60.0 + random.unit())).collect()
        };
        let rising = Trend::through(&line(3.0)).unwrap();
        assert!((rising.slope - 3.0).abs() < rising.uncertainty && rising.uncertainty < 0.2, "{rising:?}");
        let level = Trend::through(&line(0.0)).unwrap();
        assert!(level.slope.abs() < 2.0 * level.uncertainty, "{level:?}");
        assert_eq!(Trend::through(&[(1.0, 2.0), (1.0, 3.0), (1.0, 4.0)]), None);
    }

    #[test]
    fn a_comparison_knows_what_it_cannot_know() {
        let mut random = Random::from_seed(2);
        // Calls differ by up to 20 ms, values in a call by up to 1.
        let mut sample = |middle: f64, calls: usize| -> Vec<Vec<f64>> {
            (0..calls)
                .map(|_| {
                    let call = middle + 20.0 * random.unit();
                    (0..30).map(|_| call + random.unit()).collect()
                })
                .collect()
        };
        let (first, same, slower) = (sample(60.0, 12), sample(60.0, 12), sample(100.0, 12));
        let same = compare(&first, &same, 0.5, 3).unwrap();
        assert!(
            !same.is_certain() && same.by_group && same.low < same.difference && same.difference < same.high,
            "{same:?}"
        );
        let slower = compare(&first, &slower, 0.5, 3).unwrap();
        assert!(slower.is_certain() && slower.low < 40.0 && slower.high > 40.0, "{slower:?}");
        assert!(!compare(&first[..2], &first[2..4], 0.5, 3).unwrap().by_group);
        assert_eq!(compare(&first, &[], 0.5, 3), None);
    }
}
