//! The hashes of digest authentication.

use super::Password;
use md5::Md5;
use sha2::{Digest as Hash, Sha256, Sha512_256};
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
    fn hash(self, parts: &[&[u8]]) -> String {
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

/// The quality of protection (RFC 7616 section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Qop {
    /// Method and URI are protected.
    Auth,
    /// The body too.
    AuthInt,
}

impl Qop {
    /// The token of the `qop` parameter.
    pub const fn token(self) -> &'static str {
        match self {
            Qop::Auth => "auth",
            Qop::AuthInt => "auth-int",
        }
    }

    /// The quality that the token names in any case.
    pub fn of(token: &str) -> Option<Self> {
        [Qop::Auth, Qop::AuthInt].into_iter().find(|qop| qop.token().eq_ignore_ascii_case(token))
    }
}

/// Everything that goes into the response of a digest.
///
/// ```text
/// A1 = username:realm:password            -sess: H(that):nonce:cnonce
/// A2 = method:uri                         auth-int: method:uri:H(body)
/// response = H(H(A1):nonce:nc:cnonce:qop:H(A2))        without qop: H(H(A1):nonce:H(A2))
/// ```
#[derive(Clone, Debug)]
pub struct Digest<'a> {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The quality of protection; `None` as in RFC 2069.
    pub qop: Option<Qop>,
    /// The user.
    pub username: &'a str,
    /// The realm.
    pub realm: &'a str,
    /// The password.
    pub password: &'a Password,
    /// The server's nonce.
    pub nonce: &'a str,
    /// The nonce count, from 1 on; unused without qop.
    pub count: u32,
    /// The client's nonce; unused without qop and session.
    pub cnonce: &'a str,
    /// The method of the request.
    pub method: &'a str,
    /// The digest URI, as written.
    pub uri: &'a str,
    /// The body, for `auth-int`.
    pub body: &'a [u8],
}

impl Digest<'_> {
    /// The response in lower-case hex (RFC 7616 section 3.4.1).
    pub fn response(&self) -> String {
        let hash = |parts: &[&[u8]]| self.algorithm.hash(parts);
        let mut first = hash(&[self.username.as_bytes(), self.realm.as_bytes(), self.password.reveal().as_bytes()]);
        if self.algorithm.is_session() {
            first = hash(&[first.as_bytes(), self.nonce.as_bytes(), self.cnonce.as_bytes()]);
        }
        let (method, uri) = (self.method.as_bytes(), self.uri.as_bytes());
        let second = match self.qop {
            Some(Qop::AuthInt) => hash(&[method, uri, hash(&[self.body]).as_bytes()]),
            Some(Qop::Auth) | None => hash(&[method, uri]),
        };
        let (first, nonce, second) = (first.as_bytes(), self.nonce.as_bytes(), second.as_bytes());
        match self.qop {
            None => hash(&[first, nonce, second]),
            Some(qop) => {
                let count = format!("{:08x}", self.count);
                hash(&[first, nonce, count.as_bytes(), self.cnonce.as_bytes(), qop.token().as_bytes(), second])
            }
        }
    }
}

fn hash<D: Hash>(parts: &[&[u8]]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mufasa<'a>(algorithm: Algorithm, password: &'a Password) -> Digest<'a> {
        Digest {
            algorithm,
            qop: Some(Qop::Auth),
            username: "Mufasa",
            realm: "http-auth@example.org",
            password,
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            count: 1,
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            method: "GET",
            uri: "/dir/index.html",
            body: b"",
        }
    }

    #[test]
    fn rfc7616_section_3_9_1() {
        let password = Password::new("Circle of Life");
        assert_eq!(mufasa(Algorithm::Md5, &password).response(), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(
            mufasa(Algorithm::Sha256, &password).response(),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn rfc2617_section_3_5() {
        let password = Password::new("Circle Of Life");
        let digest = Digest {
            realm: "testrealm@host.com",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            cnonce: "0a4f113b",
            ..mufasa(Algorithm::Md5, &password)
        };
        assert_eq!(digest.response(), "6629fae49393a05397450978507c4ef1");
        // The same question in the form of RFC 2069.
        assert_eq!(Digest { qop: None, ..digest }.response(), "670fd8c2df070c60b045671b8b24ff02");
    }

    /// The example of FIPS 180-4 for SHA-512/256.
    #[test]
    fn sha_512_256_is_the_truncated_variant_with_its_own_start_value() {
        assert_eq!(
            Algorithm::Sha512T256.hash(&[b"abc"]),
            "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
        );
    }

    #[test]
    fn each_part_counts() {
        let password = Password::new("Circle of Life");
        let mut responses: Vec<String> =
            Algorithm::ALL.iter().map(|algorithm| mufasa(*algorithm, &password).response()).collect();
        let base = mufasa(Algorithm::Md5, &password);
        responses.push(Digest { qop: Some(Qop::AuthInt), ..base.clone() }.response());
        responses.push(Digest { qop: Some(Qop::AuthInt), body: b"x", ..base.clone() }.response());
        responses.push(Digest { count: 10, ..base.clone() }.response());
        responses.push(Digest { uri: "/", ..base }.response());
        let count = responses.len();
        responses.sort();
        responses.dedup();
        assert_eq!(responses.len(), count);
    }
}
