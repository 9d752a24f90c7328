//! How packets arrive at the phone.

use crate::random::Random;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Mean delay of jittered packets, in sigmas: next to none would have to be sent before its time.
const MEAN: f64 = 5.0;

/// How packets arrive at the phone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// One each packet time.
    Clean,
    /// Delayed by a normal distribution with this sigma, in order as on one path.
    Jitter(Duration),
    /// So many at once, as often as they are due.
    Bursts(u32),
}

/// A word that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown arrival pattern \"{0}\"; known are clean, jitter:SIGMA_MS (as jitter:10) and bursts:PACKETS (as bursts:3)"
)]
pub struct UnknownPattern(String);

impl FromStr for Pattern {
    type Err = UnknownPattern;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownPattern(text.to_owned());
        match text.split_once(':') {
            None if text == "clean" => Ok(Pattern::Clean),
            Some(("jitter", sigma)) => {
                let sigma: f64 = sigma.parse().map_err(|_| unknown())?;
                if !(0.0..=200.0).contains(&sigma) {
                    return Err(unknown());
                }
                Ok(Pattern::Jitter(Duration::from_secs_f64(sigma / 1_000.0)))
            }
            Some(("bursts", packets)) => {
                let packets = packets.parse().ok().filter(|packets| (1..=20).contains(packets));
                Ok(Pattern::Bursts(packets.ok_or_else(unknown)?))
            }
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Clean => f.write_str("clean"),
            Pattern::Jitter(sigma) => write!(f, "jitter:{}", sigma.as_secs_f64() * 1_000.0),
            Pattern::Bursts(packets) => write!(f, "bursts:{packets}"),
        }
    }
}

impl Pattern {
    /// When each of `count` packets arrives, counted from the first one's time of recording; one is recorded each
    /// `packet_time`.
    pub(super) fn arrivals(self, count: u32, packet_time: Duration, random: &mut Random) -> Vec<Duration> {
        let mut last = Duration::ZERO;
        (0..count)
            .map(|number| {
                let delay = match self {
                    Pattern::Clean => Duration::ZERO,
                    Pattern::Jitter(sigma) => sigma.mul_f64((MEAN + normal(random)).max(0.0)),
                    Pattern::Bursts(packets) => packet_time * (packets - 1 - number % packets),
                };
                last = last.max(packet_time * number + delay);
                last
            })
            .collect()
    }
}

/// Sum of twelve uniforms: all but normal, sigma 1, never further out than 6.
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.unit()).sum::<f64>() - 6.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Duration = Duration::from_millis(20);

    #[test]
    fn patterns_are_read_and_written() {
        for text in ["clean", "jitter:10", "bursts:3"] {
            assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }
        for text in ["", "jitter", "jitter:x", "jitter:-1", "bursts:0", "clean:1"] {
            assert!(text.parse::<Pattern>().unwrap_err().to_string().contains("jitter:SIGMA_MS"), "{text}");
        }
    }

    #[test]
    fn packets_arrive_as_the_pattern_says() {
        let mut random = Random::from_seed(3);
        let ms = |pattern: &str, random: &mut Random| -> Vec<f64> {
            let arrivals = pattern.parse::<Pattern>().unwrap().arrivals(3_000, PACKET, random);
            arrivals.iter().map(|at| at.as_secs_f64() * 1_000.0).collect()
        };
        assert_eq!(ms("clean", &mut random)[..3], [0.0, 20.0, 40.0]);
        assert_eq!(ms("bursts:3", &mut random)[..4], [40.0, 40.0, 40.0, 100.0]);
        let jittered = ms("jitter:10", &mut random);
        assert!(jittered.windows(2).all(|pair| pair[0] <= pair[1]), "in order");
        let delays: Vec<f64> = jittered.iter().enumerate().map(|(n, at)| at - 20.0 * n as f64).collect();
        let mean = delays.iter().sum::<f64>() / 3_000.0;
        let sigma = (delays.iter().map(|delay| (delay - mean).powi(2)).sum::<f64>() / 3_000.0).sqrt();
        assert!((50.0..54.0).contains(&mean) && (9.0..11.0).contains(&sigma), "{mean} {sigma}");
    }
}
