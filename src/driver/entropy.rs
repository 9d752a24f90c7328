//! The only reader of the system's randomness.

use std::io;

/// 256 bits from the operating system, the seed of a phone's [`Random`](crate::random::Random).
///
/// # Errors
/// When the system has none to give.
pub fn entropy() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(seed)
}
