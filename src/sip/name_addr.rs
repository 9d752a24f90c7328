//! From, To, Contact, Route and their kin: a name, an address, parameters (RFC 3261 section 20.10).

use super::grammar;
use super::params::Params;
use super::uri::{Uri, UriError, UriParts};
use memchr::memchr;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// `"display" <uri>;params`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameAddr {
    /// The display name without quotes and escapes.
    pub display: Option<String>,
    /// The address.
    pub uri: Uri,
    /// Parameters of the header value: `tag`, `expires`, `q`, ...
    pub params: Params,
}

impl NameAddr {
    /// An address without a name.
    pub fn new(uri: impl Into<Uri>) -> Self {
        Self { display: None, uri: uri.into(), params: Params::new() }
    }

    /// The same with a display name.
    pub fn with_display(mut self, display: impl Into<String>) -> Self {
        self.display = Some(display.into());
        self
    }

    /// The same with a `tag` parameter.
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.params.set("tag", tag);
        self
    }

    /// The `tag` parameter, if there is one that is not empty.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The `expires` parameter of a Contact in seconds, if it is a number.
    pub fn expires(&self) -> Option<u32> {
        self.params.get("expires").and_then(grammar::decimal)
    }
}

impl From<Uri> for NameAddr {
    fn from(uri: Uri) -> Self {
        NameAddr::new(uri)
    }
}

impl FromStr for NameAddr {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        NameAddrParts::read(text).map(NameAddr::from)
    }
}

/// A [`NameAddr`] where it stands in a text, read without a copy.
#[derive(Clone, Debug)]
pub(crate) struct NameAddrParts<'a> {
    /// As written, with the quotes.
    display: &'a str,
    uri: UriParts<'a>,
    params: Cow<'a, str>,
}

impl<'a> NameAddrParts<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, UriError> {
        let text = grammar::trim_text(text);
        let fail = |why| UriError::new(text, why);
        let (display, rest) = if text.starts_with('"') {
            let end = grammar::quoted_end(text.as_bytes()).and_then(|end| text.split_at_checked(end));
            let (name, rest) = end.ok_or_else(|| fail("the quoted name does not end"))?;
            let rest = grammar::trim_text(rest);
            if !rest.starts_with('<') {
                return Err(fail("no \"<\" follows the name"));
            }
            (name, rest)
        } else {
            let bracket = memchr(b'<', text.as_bytes()).unwrap_or(0);
            let (name, rest) = text.split_at_checked(bracket).unwrap_or(("", text));
            (grammar::trim_text(name), rest)
        };
        let (uri, params) = match rest.strip_prefix('<') {
            Some(rest) => grammar::cut(rest, b'>').ok_or_else(|| fail("the \"<\" does not close"))?,
            // Without brackets parameters belong to the header, not to the URI (RFC 3261 section 20).
            None => {
                let (uri, params) = grammar::cut_params(rest);
                (grammar::trim_text(uri), params)
            }
        };
        let params = Params::read(params).ok_or_else(|| fail("a parameter is malformed"))?;
        Ok(Self { display, uri: UriParts::read(uri).map_err(|why| UriError::new(uri, why))?, params })
    }
}

impl From<NameAddrParts<'_>> for NameAddr {
    fn from(parts: NameAddrParts<'_>) -> Self {
        let display = Some(grammar::unquote(parts.display)).filter(|name| !name.is_empty()).map(Cow::into_owned);
        Self { display, uri: parts.uri.into(), params: Params::of(parts.params) }
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{} ", grammar::quote(display))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> NameAddr {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn all_forms_of_the_grammar() {
        let bob = read("\"Bob \\\"B\\\"\" <sip:bob@biloxi.com;lr>;tag=a48s");
        assert_eq!(bob.display.as_deref(), Some("Bob \"B\""));
        assert_eq!(bob.tag(), Some("a48s"));
        assert!(bob.uri.sip().unwrap().loose_route());
        assert_eq!(read(&bob.to_string()), bob);

        let caller = read("caller<sip:caller@example.com>;tag=323");
        assert_eq!((caller.display.as_deref(), caller.tag()), (Some("caller"), Some("323")));
        let bare = read("sip:+12125551212@phone2net.com;tag=887s ; q = 0.3");
        assert_eq!(bare.to_string(), "<sip:+12125551212@phone2net.com>;tag=887s;q=0.3");
        assert_eq!(read("<sip:a@b>").display, None);
        assert_eq!(read("\"\" <sip:a@b>;expires=60").expires(), Some(60));
        assert_eq!(read("<tel:+1>").uri.scheme(), "tel");
    }

    #[test]
    fn refuses_the_malformed() {
        for bad in ["", "\"Mr. J. User <sip:j@example.com>", "< sip:a@b >", "<sip:a@b", "\"x\" sip:a@b", "a b <c>"] {
            assert!(bad.parse::<NameAddr>().is_err(), "{bad}");
        }
    }
}
