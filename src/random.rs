//! Chance as an argument: one seed makes a whole call reproducible.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A cryptographically strong generator (ChaCha20): tags, branches, nonces, SRTP keys and timer jitter come from it.
#[derive(Clone)]
pub struct Random(ChaCha20Rng);

impl Random {
    /// A generator for tests and simulations, reproducible from `seed`.
    pub fn from_seed(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed))
    }

    /// A generator from 256 bits of entropy; a driver reads them from the operating system.
    pub fn from_entropy(entropy: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(entropy))
    }

    /// An independent generator, seeded by this one.
    pub fn split(&mut self) -> Self {
        Self(ChaCha20Rng::from_seed(self.seed().0))
    }

    /// What independent generators grow from.
    pub fn seed(&mut self) -> Seed {
        let mut seed = [0; 32];
        self.fill(&mut seed);
        Seed(seed)
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }

    /// 32 random bits.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `low..high`; `low` if the range is empty.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        if high <= low { low } else { low + self.u64() % (high - low) }
    }

    /// True with the given `probability` (0.0 to 1.0).
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// `length` characters of `a-z2-7` (5 bits each): a tag, branch or Call-ID that is safe in every SIP position.
    pub fn token(&mut self, length: usize) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        (0..length).map(|_| ALPHABET[(self.u32() & 31) as usize] as char).collect()
    }
}

/// Grows one independent generator after the other: a tenth of the size of one, for who rarely needs any.
#[derive(Clone)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The next generator.
    pub fn grow(&mut self) -> Random {
        let mut random = Random::from_entropy(self.0);
        random.fill(&mut self.0);
        random
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed")
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_sequence() {
        let (mut a, mut b) = (Random::from_seed(7), Random::from_seed(7));
        assert_eq!(a.token(16), b.token(16));
        assert_ne!(a.split().u64(), b.u64());
        assert!((0..1000).all(|_| (3..9).contains(&a.range(3, 9))));
        let mut seed = a.seed();
        let (mut first, mut again, mut second) = (seed.clone().grow(), seed.grow(), seed.grow());
        assert_eq!(first.u64(), again.u64());
        assert_ne!(again.u64(), second.u64());
    }
}
