//! Digest authentication (RFC 2617, RFC 7616, RFC 8760).

mod authorization;
mod challenge;
mod client;
mod digest;
pub mod server;

pub use authorization::Authorization;
pub use challenge::{Challenge, ChallengeError};
pub use client::{Attempts, Client, Refused};
pub use digest::{Algorithm, Digest, Qop};

use std::fmt;

/// A password or another secret that never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps the secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for hashing only.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl From<&str> for Password {
    fn from(secret: &str) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Who we are to a registrar or proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The authentication user name.
    pub username: String,
    /// The password.
    pub password: Password,
    /// The realms that get them; all of them when absent.
    pub realms: Option<Vec<String>>,
    /// The weakest algorithm that is answered.
    pub weakest: Algorithm,
}

impl Credentials {
    /// Credentials for every realm that asks, in every algorithm.
    pub fn new(username: impl Into<String>, password: impl Into<Password>) -> Self {
        Self { username: username.into(), password: password.into(), realms: None, weakest: Algorithm::Md5 }
    }

    /// The same for these realms only.
    pub fn for_realms(mut self, realms: &[String]) -> Self {
        self.realms = Some(realms.to_vec());
        self
    }

    /// The same with `weakest` or a stronger algorithm only.
    pub fn at_least(mut self, weakest: Algorithm) -> Self {
        self.weakest = weakest;
        self
    }
}
