//! Parameters: `;name=value;flag`, of URIs and of header values.

use super::grammar;
use std::borrow::Cow;
use std::fmt;

/// An ordered list of parameters, kept as on the wire (without white space).
///
/// Names are compared without regard to case. One string holds all, so that a copy is one allocation and what is
/// written is what was read.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Params(String);

impl Params {
    /// No parameters.
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// Reads `;name=value;flag`; `None` if a name or value is none. Empty parameters (`;;`) are skipped.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::read(text).map(Self::of)
    }

    /// What [`Params::parse`] keeps, copied only if it is not what stands in `text`.
    pub(crate) fn read(text: &str) -> Option<Cow<'_, str>> {
        let text = grammar::trim_text(text);
        if text.is_empty() || is_plain(text.as_bytes()) {
            return Some(Cow::Borrowed(text));
        }
        let mut written = String::with_capacity(text.len());
        for part in grammar::split_text(text.strip_prefix(';')?, b';').filter(|part| !part.is_empty()) {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (grammar::trim_text(name), Some(grammar::trim_text(value))),
                None => (part, None),
            };
            if !is_name(name) || !value.is_none_or(is_value) {
                return None;
            }
            written.push(';');
            written.push_str(name);
            if let Some(value) = value {
                written.push('=');
                written.push_str(value);
            }
        }
        Some(Cow::Owned(written))
    }

    /// Parameters that [`Params::read`] has found to be some.
    pub(crate) fn of(written: Cow<'_, str>) -> Self {
        Self(written.into_owned())
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values in order, values as written (a quoted string with its quotes).
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        grammar::split_text(self.0.strip_prefix(';').unwrap_or_default(), b';')
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value))))
    }

    /// Is the parameter there, with or without a value?
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The value of the first parameter of that name, as written; empty for a flag; `None` when absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).map(|value| value.unwrap_or_default())
    }

    /// Like [`Params::get`], with the quotes and escapes of a quoted string removed.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(grammar::unquote)
    }

    /// Sets or replaces a parameter; `value` is written as it is if it is a token, host or quoted string, else quoted.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.push(name, Some(value));
    }

    /// Sets a parameter without a value.
    pub fn set_flag(&mut self, name: &str) {
        self.remove(name);
        self.push(name, None);
    }

    /// Removes every parameter of that name.
    pub fn remove(&mut self, name: &str) {
        if self.contains(name) {
            let mut kept = Params::new();
            for (other, value) in self.iter().filter(|(other, _)| !other.eq_ignore_ascii_case(name)) {
                kept.push(other, value);
            }
            *self = kept;
        }
    }

    fn push(&mut self, name: &str, value: Option<&str>) {
        self.0.push(';');
        self.0.push_str(name);
        if let Some(value) = value {
            self.0.push('=');
            if !value.is_empty() && is_value(value) {
                self.0.push_str(value);
            } else {
                self.0.push_str(&grammar::quote(value));
            }
        }
    }

    fn find(&self, name: &str) -> Option<Option<&str>> {
        self.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// May stand in a name.
const NAME: u8 = 1;
/// May stand in a value that is not quoted.
const VALUE: u8 = 2;

/// Where each octet may stand.
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        if is_name_octet(octet as u8) {
            class[octet] = NAME | VALUE;
        } else if octet as u8 > b' ' && !matches!(octet as u8, 0x7F | b'"' | b'<' | b'>' | b',' | b';') {
            class[octet] = VALUE;
        }
        octet += 1;
    }
    class
};

/// Nearly all parameters are `;name=value;flag` without blanks, quotes and empty parts: seen in one pass.
fn is_plain(octets: &[u8]) -> bool {
    let mut octets = octets.iter();
    let mut next = octets.next();
    while let Some(b';') = next {
        next = octets.next();
        if next.is_none_or(|octet| CLASS[*octet as usize] & NAME == 0) {
            return false;
        }
        next = octets.find(|octet| CLASS[**octet as usize] & NAME == 0);
        if next == Some(&b'=') {
            next = octets.find(|octet| CLASS[**octet as usize] & VALUE == 0);
        }
    }
    next.is_none()
}

const fn is_name_octet(octet: u8) -> bool {
    grammar::is_token_octet(octet) || matches!(octet, b'[' | b']' | b'/' | b':' | b'&' | b'$' | b'(' | b')')
}

/// Longer set than `token`: URI parameter names may hold `paramchar` (RFC 3261 section 25.1).
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_name_octet)
}

/// A quoted string, or anything without blanks, controls, quotes and brackets of lists.
fn is_value(value: &str) -> bool {
    if value.starts_with('"') {
        return grammar::quoted_end(value.as_bytes()) == Some(value.len());
    }
    value.bytes().all(|octet| CLASS[octet as usize] & VALUE != 0)
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_grammar_allows() {
        let params = Params::parse(r#" ; Branch = z9hG4bK1 ;rport;;x="a;b=\"c" "#).unwrap();
        assert_eq!(params.to_string(), r#";Branch=z9hG4bK1;rport;x="a;b=\"c""#);
        assert_eq!(params.get("branch"), Some("z9hG4bK1"));
        assert_eq!(params.get("rport"), Some(""));
        assert_eq!(params.text("X").unwrap(), "a;b=\"c");
        assert_eq!(params.get("y"), None);
        for bad in ["x", ";a b", ";a=b c", ";=x", ";a=\"open", ";a=\"x\"y", ";a=<b>"] {
            assert_eq!(Params::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn setting_replaces_and_quotes_when_needed() {
        let mut params = Params::parse(";a=1;b;A=2").unwrap();
        params.set("a", "three four");
        params.set_flag("lr");
        params.remove("B");
        assert_eq!(params.to_string(), ";a=\"three four\";lr");
        params.set("a", "x\r\ny");
        assert_eq!(params.to_string(), ";lr;a=\"x  y\"");
    }
}
