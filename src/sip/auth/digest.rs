//! The hashes of digest authentication.

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
use std::fmt;
use std::fmt::Write;

/// A digest algorithm, weakest first: the order is the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// MD5 (RFC 2617).
    Md5,
    /// MD5 over a session key.
    Md5Sess,
    /// SHA-256 (RFC 7616, RFC 8760).
    Sha256,
    /// SHA-256 over a session key.
    Sha256Sess,
    /// SHA-512/256.
    Sha512T256,
    /// SHA-512/256 over a session key.
    Sha512T256Sess,
}

impl Algorithm {
    /// All of them, weakest first.
    pub const ALL: [Algorithm; 6] = [
        Algorithm::Md5,
        Algorithm::Md5Sess,
        Algorithm::Sha256,
        Algorithm::Sha256Sess,
        Algorithm::Sha512T256,
        Algorithm::Sha512T256Sess,
    ];

    /// The token of the `algorithm` parameter.
    pub const fn token(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Md5Sess => "MD5-sess",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha256Sess => "SHA-256-sess",
            Algorithm::Sha512T256 => "SHA-512-256",
            Algorithm::Sha512T256Sess => "SHA-512-256-sess",
        }
    }

    /// The algorithm that the token names in any case.
    pub fn of(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.token().eq_ignore_ascii_case(token))
    }

    /// Does the first hash take in nonce and cnonce?
    pub const fn is_session(self) -> bool {
        matches!(self, Algorithm::Md5Sess | Algorithm::Sha256Sess | Algorithm::Sha512T256Sess)
    }

    /// The hash of the parts joined by colons, in lower-case hex.
    pub fn hash(self, parts: &[&[u8]]) -> String {
        match self {
            Algorithm::Md5 | Algorithm::Md5Sess => hash::<Md5>(parts),
            Algorithm::Sha256 | Algorithm::Sha256Sess => hash::<Sha256>(parts),
            Algorithm::Sha512T256 | Algorithm::Sha512T256Sess => hash::<Sha512_256>(parts),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

fn hash<D: Digest>(parts: &[&[u8]]) -> String {
    let mut digest = D::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            digest.update(b":");
        }
        digest.update(part);
    }
    let digest = digest.finalize();
    let mut hex = String::with_capacity(digest.len() * 2);
    for octet in digest.iter() {
        let _ = write!(hex, "{octet:02x}");
    }
    hex
}
