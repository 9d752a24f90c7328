//! Authorization and Proxy-Authorization (RFC 3261 section 20.7, RFC 7616 section 3.4).

use super::challenge::digest_params;
use super::{Algorithm, ChallengeError, Qop};
use crate::sip::grammar::quote;
use std::fmt;
use std::str::FromStr;

/// The answer to a digest challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// The user.
    pub username: String,
    /// The realm of the challenge.
    pub realm: String,
    /// The nonce of the challenge.
    pub nonce: String,
    /// The digest URI: the Request-URI as sent.
    pub uri: String,
    /// The digest, lower-case hex.
    pub response: String,
    /// The algorithm, when the challenge named one.
    pub algorithm: Option<Algorithm>,
    /// The client's nonce; there with qop or a session algorithm.
    pub cnonce: Option<String>,
    /// The opaque string of the challenge.
    pub opaque: Option<String>,
    /// The quality of protection and the nonce count, when the challenge offered one.
    pub qop: Option<(Qop, u32)>,
}

impl FromStr for Authorization {
    type Err = ChallengeError;

    fn from_str(text: &str) -> Result<Self, ChallengeError> {
        const MISSING: ChallengeError = ChallengeError::Malformed("a parameter that is needed is missing");
        let params = digest_params(text)?;
        let get =
            |name: &str| params.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let algorithm = get("algorithm")
            .map(|token| Algorithm::of(token).ok_or_else(|| ChallengeError::Algorithm(token.clone())))
            .transpose()?;
        let qop = match get("qop") {
            None => None,
            Some(token) => {
                let qop = Qop::of(token).ok_or_else(|| ChallengeError::Qop(token.clone()))?;
                let count = get("nc").filter(|count| count.len() == 8 && !count.starts_with('+'));
                let count = count.and_then(|count| u32::from_str_radix(count, 16).ok());
                Some((qop, count.ok_or(ChallengeError::Malformed("nc is not 8 hexadecimal digits"))?))
            }
        };
        Ok(Self {
            username: get("username").ok_or(MISSING)?.clone(),
            realm: get("realm").ok_or(MISSING)?.clone(),
            nonce: get("nonce").ok_or(MISSING)?.clone(),
            uri: get("uri").ok_or(MISSING)?.clone(),
            response: get("response").ok_or(MISSING)?.clone(),
            algorithm,
            cnonce: get("cnonce").cloned(),
            opaque: get("opaque").cloned(),
            qop,
        })
    }
}

impl fmt::Display for Authorization {
    /// `algorithm`, `qop` and `nc` stand without quotes, everything else with them (RFC 7616 section 3.4).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest username={}, realm={}", quote(&self.username), quote(&self.realm))?;
        write!(f, ", nonce={}, uri={}", quote(&self.nonce), quote(&self.uri))?;
        write!(f, ", response={}", quote(&self.response))?;
        if let Some(algorithm) = self.algorithm {
            write!(f, ", algorithm={algorithm}")?;
        }
        if let Some(cnonce) = &self.cnonce {
            write!(f, ", cnonce={}", quote(cnonce))?;
        }
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", quote(opaque))?;
        }
        if let Some((qop, count)) = self.qop {
            write!(f, ", qop={}, nc={count:08x}", qop.token())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        let text = "Digest username=\"a\\\"b\", realm=\"r\", nonce=\"n,\", uri=\"sip:h\", response=\"00\", \
            algorithm=SHA-256-sess, cnonce=\"c\", opaque=\"\", qop=auth-int, nc=0000000a";
        let read: Authorization = text.parse().unwrap();
        assert_eq!((read.username.as_str(), read.nonce.as_str()), ("a\"b", "n,"));
        assert_eq!(read.qop, Some((Qop::AuthInt, 10)));
        assert_eq!(read.to_string(), text);
        for bad in ["nc=a", "nc=+000000a", "nc=0000000g", "qop=x", "uri", "algorithm=x"] {
            let place = bad.split('=').next().unwrap();
            let start = text.find(place).unwrap();
            let end = text[start..].find(',').map_or(text.len(), |comma| start + comma);
            let broken = [&text[..start], bad, &text[end..]].concat();
            assert!(broken.parse::<Authorization>().is_err(), "{broken}");
        }
    }
}
