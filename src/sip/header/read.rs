//! Header values as what they mean.

use super::{Headers, Name};
use crate::sip::auth::Challenge;
use crate::sip::grammar;
use crate::sip::message::Method;
use crate::sip::name_addr::NameAddr;
use crate::sip::params::Params;
use crate::sip::uri::UriError;
use crate::sip::via::Via;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A header field that is missing or does not mean anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A field that has to be there is not.
    #[error("the message has no {0}")]
    Missing(Name),
    /// A field that may be there once is there more often.
    #[error("the message has more than one {0}")]
    Repeated(Name),
    /// The value does not follow the grammar.
    #[error("{name}: \"{value}\" is malformed: {why}")]
    Malformed {
        /// The field.
        name: Name,
        /// Its value (its start, if long).
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl HeaderError {
    pub(in crate::sip) fn malformed(name: &Name, value: &str, why: &'static str) -> Self {
        HeaderError::Malformed { name: name.clone(), value: value.chars().take(200).collect(), why }
    }
}

/// CSeq: the number and method of a request (RFC 3261 section 20.16).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// The sequence number.
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl FromStr for CSeq {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let text = grammar::trim_text(text);
        let blank = text.bytes().position(grammar::is_blank);
        let (number, method) =
            blank.and_then(|blank| text.split_at_checked(blank)).ok_or("it is not \"number method\"")?;
        let number = grammar::decimal(number).ok_or("the number is none below 2^32")?;
        let method = grammar::trim_text(method).parse().map_err(|_| "the method is no token")?;
        Ok(Self { number, method })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

impl Headers {
    /// The only value of a field that may be there once at most.
    pub fn single(&self, name: &Name) -> Result<&str, HeaderError> {
        let mut values = self.all(name);
        let value = values.next().ok_or_else(|| HeaderError::Missing(name.clone()))?;
        match values.next() {
            Some(_) => Err(HeaderError::Repeated(name.clone())),
            None => Ok(value),
        }
    }

    /// The topmost Via.
    pub fn top_via(&self) -> Result<Via, HeaderError> {
        let value = self.get(&Name::Via).ok_or(HeaderError::Missing(Name::Via))?;
        value.parse().map_err(|error: UriError| HeaderError::malformed(&Name::Via, value, error.why))
    }

    /// All Via values, the topmost first.
    pub fn vias(&self) -> Result<Vec<Via>, HeaderError> {
        self.all(&Name::Via)
            .map(|value| value.parse().map_err(|error: UriError| HeaderError::malformed(&Name::Via, value, error.why)))
            .collect()
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        address(&Name::From, self.single(&Name::From)?)
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        address(&Name::To, self.single(&Name::To)?)
    }

    /// Call-ID, never empty.
    pub fn call_id(&self) -> Option<&str> {
        self.get(&Name::CallId).filter(|id| !id.is_empty())
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        let value = self.single(&Name::CSeq)?;
        value.parse().map_err(|why| HeaderError::malformed(&Name::CSeq, value, why))
    }

    /// All contacts; `*` (see [`Headers::contact_is_star`]) is malformed here.
    pub fn contacts(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.addresses(&Name::Contact)
    }

    /// Is there exactly one Contact, `*`: all bindings (RFC 3261 section 10.2.2)?
    pub fn contact_is_star(&self) -> bool {
        self.all(&Name::Contact).eq(["*"])
    }

    /// All Route values, the next hop first.
    pub fn routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.addresses(&Name::Route)
    }

    /// All Record-Route values in the order of the message.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.addresses(&Name::RecordRoute)
    }

    /// The values of any field that holds addresses: P-Asserted-Identity, Refer-To, Diversion, ...
    pub fn addresses(&self, name: &Name) -> Result<Vec<NameAddr>, HeaderError> {
        self.all(name).map(|value| address(name, value)).collect()
    }

    /// Expires in seconds; `None` when absent or no number, which counts as absent (RFC 3261 section 20.19).
    pub fn expires(&self) -> Option<u32> {
        self.get(&Name::Expires).and_then(leading_decimal)
    }

    /// Min-Expires in seconds.
    pub fn min_expires(&self) -> Option<u32> {
        self.get(&Name::MinExpires).and_then(leading_decimal)
    }

    /// Max-Forwards; `None` when absent or above 255 (RFC 4475 section 3.1.2.4).
    pub fn max_forwards(&self) -> Option<u8> {
        self.get(&Name::MaxForwards).and_then(|value| grammar::decimal(grammar::trim_text(value)))
    }

    /// Retry-After, without its comment and parameters.
    pub fn retry_after(&self) -> Option<Duration> {
        self.get(&Name::RetryAfter).and_then(leading_decimal).map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// Does a list of option tags (Supported, Require) hold this one?
    pub fn has_tag(&self, name: &Name, tag: &str) -> bool {
        self.all(name).any(|value| value.eq_ignore_ascii_case(tag))
    }

    /// Min-SE in seconds (RFC 4028 section 5).
    pub fn min_se(&self) -> Option<u32> {
        self.get(&Name::MinSe).and_then(leading_decimal)
    }

    /// Session-Expires: seconds, and who refreshes: `uac` or `uas` in lower case (RFC 4028 section 4).
    pub fn session_expires(&self) -> Option<(u32, Option<String>)> {
        let value = self.get(&Name::SessionExpires)?;
        let seconds = leading_decimal(value)?;
        let params = value.find(';').and_then(|start| Params::parse(value.split_at(start).1));
        let refresher = params.and_then(|params| params.get("refresher").map(|role| role.to_ascii_lowercase()));
        Some((seconds, refresher))
    }

    /// RSeq (RFC 3262 section 7.1).
    pub fn rseq(&self) -> Option<u32> {
        self.get(&Name::RSeq).and_then(leading_decimal)
    }

    /// The media type of the body in lower case without parameters: `application/sdp`.
    pub fn content_type(&self) -> Option<String> {
        let value = self.get(&Name::ContentType)?;
        let media = value.split(';').next().unwrap_or_default();
        Some(media.split('/').map(grammar::trim_text).collect::<Vec<_>>().join("/").to_ascii_lowercase())
    }

    /// Is `token` among the values of a list such as Supported, Require or Allow? Compared without regard to case, but
    /// for methods in Allow.
    pub fn has_token(&self, name: &Name, token: &str) -> bool {
        self.all(name).any(|value| match name {
            Name::Allow => value == token,
            _ => value.eq_ignore_ascii_case(token),
        })
    }

    /// All challenges of a 401 (WWW-Authenticate) or 407 (Proxy-Authenticate) in their order; those that are malformed
    /// or of an unknown scheme are left out.
    pub fn challenges(&self, name: &Name) -> Vec<Challenge> {
        self.all(name).filter_map(|value| value.parse().ok()).collect()
    }
}

fn address(name: &Name, value: &str) -> Result<NameAddr, HeaderError> {
    value.parse().map_err(|error: UriError| HeaderError::malformed(name, value, error.why))
}

/// The number at the start, before a parameter or comment. Values above 2^32-1 are that (RFC 3261 section 20.19).
fn leading_decimal(value: &str) -> Option<u32> {
    let value = grammar::trim_text(value);
    let end = value.find(|character: char| !character.is_ascii_digit()).unwrap_or(value.len());
    let (digits, rest) = value.split_at(end);
    if digits.is_empty() || !rest.starts_with([' ', '\t', ';', '(']) && !rest.is_empty() {
        return None;
    }
    Some(digits.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_values() {
        let mut headers = Headers::new();
        assert_eq!(headers.cseq(), Err(HeaderError::Missing(Name::CSeq)));
        headers.push(Name::CSeq, "0009  INVITE");
        assert_eq!(headers.cseq().unwrap(), CSeq { number: 9, method: Method::Invite });
        headers.push(Name::CSeq, "10 INVITE");
        assert_eq!(headers.cseq(), Err(HeaderError::Repeated(Name::CSeq)));
        headers.set(Name::CSeq, "36893488147419103232 REGISTER");
        assert!(matches!(headers.cseq(), Err(HeaderError::Malformed { .. })));

        headers.push(Name::RetryAfter, "120 (I'm in a meeting);duration=30");
        assert_eq!(headers.retry_after(), Some(Duration::from_secs(120)));
        headers.push(Name::Expires, "10000000000000000000000000000000");
        assert_eq!(headers.expires(), Some(u32::MAX));
        headers.set(Name::Expires, "7x");
        assert_eq!(headers.expires(), None);
        headers.push(Name::MaxForwards, "300");
        assert_eq!(headers.max_forwards(), None);
        headers.push(Name::ContentType, "Application / SDP ;charset=x");
        assert_eq!(headers.content_type().as_deref(), Some("application/sdp"));
        headers.push(Name::Supported, "100rel");
        assert!(headers.has_token(&Name::Supported, "100REL"));
        headers.push(Name::Contact, "*");
        assert!(headers.contact_is_star() && headers.contacts().is_err());
    }
}
