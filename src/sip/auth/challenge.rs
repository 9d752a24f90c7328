//! WWW-Authenticate and Proxy-Authenticate (RFC 3261 section 20.44, RFC 7616 section 3.3).

use super::Algorithm;
use crate::sip::grammar;
use std::fmt;
use std::str::FromStr;

/// A digest challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The protection realm.
    pub realm: String,
    /// The server's nonce.
    pub nonce: String,
    /// To be sent back as it is.
    pub opaque: Option<String>,
    /// Was only the nonce too old, and the credentials right?
    pub stale: bool,
    /// The algorithm; absent means MD5.
    pub algorithm: Option<Algorithm>,
    /// Is `qop` offered as `auth`?
    pub auth: bool,
    /// Is `qop` offered as `auth-int`?
    pub auth_int: bool,
    /// The `domain` parameter.
    pub domain: Option<String>,
}

/// A challenge that cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// The scheme is not Digest.
    #[error("the authentication scheme \"{0}\" is not supported; only Digest is")]
    Scheme(String),
    /// The algorithm is unknown.
    #[error("the digest algorithm \"{0}\" is not supported; MD5, SHA-256 and SHA-512-256 are, with and without -sess")]
    Algorithm(String),
    /// None of the qop values is known.
    #[error("the qop \"{0}\" is not supported; auth and auth-int are")]
    Qop(String),
    /// The syntax is broken or a parameter is missing.
    #[error("the challenge is malformed: {0}")]
    Malformed(&'static str),
}

impl FromStr for Challenge {
    type Err = ChallengeError;

    fn from_str(text: &str) -> Result<Self, ChallengeError> {
        let mut challenge = Challenge {
            realm: String::new(),
            nonce: String::new(),
            opaque: None,
            stale: false,
            algorithm: None,
            auth: false,
            auth_int: false,
            domain: None,
        };
        let (mut realm, mut nonce) = (None, None);
        for (name, value) in digest_params(text)? {
            match name.to_ascii_lowercase().as_str() {
                // The first one counts: a second challenge on the line must not mix with this one.
                "realm" => realm = realm.or(Some(value)),
                "nonce" => nonce = nonce.or(Some(value)),
                "opaque" => challenge.opaque = Some(value),
                "domain" => challenge.domain = Some(value),
                "stale" => challenge.stale = value.eq_ignore_ascii_case("true"),
                "algorithm" => {
                    let known = Algorithm::of(&value).ok_or(ChallengeError::Algorithm(value))?;
                    challenge.algorithm = Some(known);
                }
                "qop" => {
                    for token in value.split(',').map(grammar::trim_text) {
                        challenge.auth |= token.eq_ignore_ascii_case("auth");
                        challenge.auth_int |= token.eq_ignore_ascii_case("auth-int");
                    }
                    // An empty list is no list: some servers send `qop=""`.
                    if !challenge.auth && !challenge.auth_int && !value.is_empty() {
                        return Err(ChallengeError::Qop(value));
                    }
                }
                _ => {}
            }
        }
        challenge.realm = realm.ok_or(ChallengeError::Malformed("the realm is missing"))?;
        challenge.nonce = nonce.ok_or(ChallengeError::Malformed("the nonce is missing"))?;
        Ok(challenge)
    }
}

/// The parameters after `Digest`, values without quotes and escapes.
pub(super) fn digest_params(text: &str) -> Result<Vec<(&str, String)>, ChallengeError> {
    let text = grammar::trim_text(text);
    let (scheme, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("Digest") {
        return Err(ChallengeError::Scheme(scheme.chars().take(60).collect()));
    }
    grammar::split_text(rest, b',')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').ok_or(ChallengeError::Malformed("a parameter has no value"))?;
            let value = grammar::trim_text(value);
            if value.starts_with('"') && grammar::quoted_end(value.as_bytes()) != Some(value.len()) {
                return Err(ChallengeError::Malformed("a quoted string does not end"));
            }
            Ok((grammar::trim_text(name), grammar::unquote(value).into_owned()))
        })
        .collect()
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest realm={}, nonce={}", grammar::quote(&self.realm), grammar::quote(&self.nonce))?;
        if let Some(domain) = &self.domain {
            write!(f, ", domain={}", grammar::quote(domain))?;
        }
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", grammar::quote(opaque))?;
        }
        if self.stale {
            f.write_str(", stale=true")?;
        }
        if let Some(algorithm) = self.algorithm {
            write!(f, ", algorithm={algorithm}")?;
        }
        match (self.auth, self.auth_int) {
            (true, true) => f.write_str(", qop=\"auth,auth-int\""),
            (true, false) => f.write_str(", qop=\"auth\""),
            (false, true) => f.write_str(", qop=\"auth-int\""),
            (false, false) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        let text = "Digest realm=\"a \\\"b\\\"\", nonce=\"n\", opaque=\"\", stale=true, algorithm=SHA-256, qop=\"auth,auth-int\"";
        let challenge: Challenge = text.parse().unwrap();
        assert_eq!(challenge.realm, "a \"b\"");
        assert!(challenge.stale && challenge.auth && challenge.auth_int);
        assert_eq!(challenge.to_string(), text);
        let plain: Challenge = "digest REALM=x,nonce=y,algorithm=\"md5\",,qop=\"\"".parse().unwrap();
        assert_eq!((plain.algorithm, plain.auth), (Some(Algorithm::Md5), false));
    }

    #[test]
    fn what_cannot_be_answered_is_told() {
        for (text, error) in [
            ("Basic realm=\"x\"", ChallengeError::Scheme("Basic".into())),
            ("Digest realm=\"x\", nonce=\"y\", algorithm=SHA-3", ChallengeError::Algorithm("SHA-3".into())),
            ("Digest realm=\"x\", nonce=\"y\", qop=\"auth-conf\"", ChallengeError::Qop("auth-conf".into())),
            ("Digest nonce=\"y\"", ChallengeError::Malformed("the realm is missing")),
            ("Digest realm=\"x\"", ChallengeError::Malformed("the nonce is missing")),
            ("Digest realm=\"x\", nonce=\"y", ChallengeError::Malformed("a quoted string does not end")),
        ] {
            assert_eq!(text.parse::<Challenge>(), Err(error), "{text}");
        }
    }
}
