//! From what the user typed and set to settings that hold no bad value; nothing is checked anywhere else.

mod error;
mod flags;
#[cfg(test)]
mod tests;
mod trust;
mod value;

pub use error::ConfigError;
pub use flags::{AccountFlags, MediaFlags};
pub use trust::{CallerFlags, TrustFlags};
pub use value::{audio, dialled, digits, min_mos, recordings, reject, seconds, source, target};

/// The environment variable with the password.
pub const PASSWORD: &str = "SIDETONE_PASSWORD";

/// The environment as far as it matters, an argument so that tests need not touch it.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<std::ffi::OsString>;
