//! Loss: each packet for itself, or in bursts.

use crate::random::Random;

/// How packets are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Loss {
    /// None is.
    #[default]
    None,
    /// Each with this probability, whatever happened to the one before.
    Random(f64),
    /// In two states (Gilbert, Elliott; the letters as in RFC 3611's sources and Linux' netem).
    GilbertElliott {
        /// From good to bad, per packet.
        p: f64,
        /// From bad to good, per packet: bursts are 1/r packets long in the mean.
        r: f64,
        /// A packet passes in the bad state.
        h: f64,
        /// A packet passes in the good state.
        k: f64,
    },
}

impl Loss {
    /// The share of packets that is lost in the long run.
    pub fn mean(&self) -> f64 {
        match *self {
            Loss::None => 0.0,
            Loss::Random(probability) => probability,
            Loss::GilbertElliott { p, r, .. } if p + r <= 0.0 => 0.0,
            Loss::GilbertElliott { p, r, h, k } => (p * (1.0 - h) + r * (1.0 - k)) / (p + r),
        }
    }
}

/// The state of a loss model.
#[derive(Debug)]
pub(super) struct Chain {
    loss: Loss,
    bad: bool,
}

impl Chain {
    pub(super) fn new(loss: Loss) -> Self {
        Self { loss, bad: false }
    }

    /// Is the next packet lost?
    pub(super) fn loses(&mut self, random: &mut Random) -> bool {
        match self.loss {
            Loss::None => {
                random.unit();
                false
            }
            Loss::Random(probability) => random.chance(probability),
            Loss::GilbertElliott { p, r, h, k } => {
                self.bad = if self.bad { !random.chance(r) } else { random.chance(p) };
                !random.chance(if self.bad { h } else { k })
            }
        }
    }
}
