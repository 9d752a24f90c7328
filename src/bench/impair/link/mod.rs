//! What a bad network does to each packet: pure, in virtual time, by a seed.

mod delay;
mod loss;
mod recipe;

pub use delay::Jitter;
pub use loss::Loss;
pub use recipe::{Outage, Recipe, RecipeError};

use crate::random::Random;
use crate::time::{Duration, Instant};
use loss::Chain;

/// Why a packet does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// By the loss model.
    Loss,
    /// The link was down.
    Outage,
    /// The queue in front of the rate limit was full.
    Queue,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It does not arrive.
    Lost(Cause),
    /// It arrives then, and perhaps once more.
    Arrives {
        /// When.
        at: Instant,
        /// When its copy does.
        again: Option<Instant>,
        /// Was it held back, so that later packets pass it?
        held_back: bool,
    },
}

impl Fate {
    /// When it arrives, copies included.
    pub fn times(&self) -> impl Iterator<Item = Instant> {
        let (at, again) = match *self {
            Fate::Lost(_) => (None, None),
            Fate::Arrives { at, again, .. } => (Some(at), again),
        };
        at.into_iter().chain(again)
    }
}

/// One direction of a bad network.
///
/// Packets keep their order (as in one queue) unless [`Recipe::reorder`] holds some back or [`Recipe::unordered`] lets
/// jitter overtake.
#[derive(Debug)]
pub struct Impairment {
    recipe: Recipe,
    random: Random,
    chain: Chain,
    /// When the first packet came: outages count from there.
    start: Option<Instant>,
    /// When the rate limit is free again.
    free_at: Instant,
    /// When the last packet in order arrives.
    last: Instant,
}

impl Impairment {
    /// A direction that follows `recipe`; the same seed does the same to the same packets.
    pub fn new(recipe: Recipe, random: Random) -> Self {
        let chain = Chain::new(recipe.loss);
        Self { recipe, random, chain, start: None, free_at: Instant::ZERO, last: Instant::ZERO }
    }

    /// Follows another recipe from now on.
    pub fn change(&mut self, recipe: Recipe) {
        self.chain = Chain::new(recipe.loss);
        self.recipe = recipe;
    }

    /// What becomes of a packet of `octets` (payload of the datagram) that is sent `now`; `now` never goes back.
    pub fn pass(&mut self, now: Instant, octets: usize) -> Fate {
        let recipe = &self.recipe;
        let start = *self.start.get_or_insert(now);
        // Chance is drawn for each packet in the same number and order, so that one setting does not change what
        // another one does to the packets after it.
        let lost = self.chain.loses(&mut self.random);
        let jitter = recipe.jitter.draw(&mut self.random);
        let held_back = self.random.chance(recipe.reorder);
        let twice = self.random.chance(recipe.duplicate);
        if recipe.outages.iter().any(|outage| outage.covers(now.since(start))) {
            return Fate::Lost(Cause::Outage);
        }
        if lost {
            return Fate::Lost(Cause::Loss);
        }
        let mut at = now;
        if let Some(rate) = recipe.rate {
            // IPv4 and UDP headers share the link.
            let bits = (octets as u64 + 28) * 8;
            let begins = self.free_at.max(now);
            if begins.since(now) > recipe.queue {
                return Fate::Lost(Cause::Queue);
            }
            self.free_at = begins + Duration::from_nanos(bits.saturating_mul(1_000_000_000) / rate.get());
            at = self.free_at;
        }
        at += recipe.delay + jitter;
        if held_back {
            at += recipe.reorder_by;
        } else if !recipe.unordered {
            at = at.max(self.last);
            self.last = at;
        }
        let again = twice.then(|| at + recipe.duplicate_after);
        Fate::Arrives { at, again, held_back }
    }
}

#[cfg(test)]
mod tests;
