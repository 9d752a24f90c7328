//! Delay that varies.

use crate::random::Random;
use crate::time::Duration;

/// What comes on top of the constant delay of a packet; never less than nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Jitter {
    /// Nothing.
    #[default]
    None,
    /// Between zero and this, all values alike.
    Uniform(Duration),
    /// The absolute value of a normal distribution with this deviation.
    Normal(Duration),
    /// A Pareto tail: rarely much, with this scale and shape (above 1; the smaller the heavier).
    Pareto(Duration, f64),
    /// This much for a packet with this probability, else nothing: a radio link that pauses.
    Spikes(f64, Duration),
}

/// The longest that a tail reaches: what is later than that is lost to any call.
const LONGEST: Duration = Duration::from_secs(10);

impl Jitter {
    pub(super) fn draw(&self, random: &mut Random) -> Duration {
        // Two numbers in every case, so that the kind of jitter does not change other draws.
        let (one, two) = (random.unit(), random.unit());
        let delay = match *self {
            Jitter::None => Duration::ZERO,
            Jitter::Uniform(width) => width.mul_f64(one),
            // Box and Muller; the first number may be zero, whose logarithm is not finite.
            Jitter::Normal(deviation) => {
                let normal = (-2.0 * (1.0 - one).ln()).sqrt() * (std::f64::consts::TAU * two).cos();
                deviation.mul_f64(normal.abs())
            }
            // The inverse of the Lomax distribution: a Pareto tail that begins at zero.
            Jitter::Pareto(scale, shape) => {
                let times = (1.0 - one).powf(-1.0 / shape) - 1.0;
                scale.mul_f64(times.clamp(0.0, 1e6))
            }
            Jitter::Spikes(probability, height) if one < probability => height,
            Jitter::Spikes(..) => Duration::ZERO,
        };
        delay.min(LONGEST)
    }

    /// The mean.
    pub fn mean(&self) -> Duration {
        match *self {
            Jitter::None => Duration::ZERO,
            Jitter::Uniform(width) => width / 2,
            Jitter::Normal(deviation) => deviation.mul_f64(std::f64::consts::FRAC_2_PI.sqrt()),
            Jitter::Pareto(scale, shape) => scale.mul_f64(1.0 / (shape - 1.0)),
            Jitter::Spikes(probability, height) => height.mul_f64(probability),
        }
    }
}
