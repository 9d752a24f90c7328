//! The lexical ground of RFC 3261 section 25.1: tokens, quoted strings, lists.
//!
//! Everything works in one pass over the octets and never panics: all separators are ASCII, so that cutting a `str` at
//! one of them is always a character boundary.

use memchr::{memchr, memchr3};
use std::borrow::Cow;

/// Is it a character of `token` (RFC 3261 section 25.1)?
pub(crate) const fn is_token_octet(octet: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut octet = 0;
        while octet < 256 {
            table[octet] = (octet as u8).is_ascii_alphanumeric()
                || matches!(octet as u8, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
            octet += 1;
        }
        table
    };
    TABLE[octet as usize]
}

/// Is it a `token`: not empty and nothing but token characters?
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_octet)
}

/// Linear white space inside of an unfolded line.
pub(crate) const fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// Cuts blanks off both ends of text.
pub(crate) fn trim_text(text: &str) -> &str {
    let octets = text.as_bytes();
    let start = octets.iter().position(|octet| !is_blank(*octet)).unwrap_or(octets.len());
    let end = octets.iter().rposition(|octet| !is_blank(*octet)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

/// What stands before and after the first `separator`, which is ASCII.
pub(crate) fn cut(text: &str, separator: u8) -> Option<(&str, &str)> {
    let (before, rest) = text.split_at_checked(memchr(separator, text.as_bytes())?)?;
    Some((before, rest.get(1..)?))
}

/// Text before and from the first `;` on: what has parameters, and the parameters.
pub(crate) fn cut_params(text: &str) -> (&str, &str) {
    let place = memchr(b';', text.as_bytes()).unwrap_or(text.len());
    text.split_at_checked(place).unwrap_or((text, ""))
}

/// The index after the closing quote of the quoted string that starts at `octets[0]`, or `None` if it never ends.
pub(crate) fn quoted_end(octets: &[u8]) -> Option<usize> {
    let mut index = 1;
    while let Some(octet) = octets.get(index) {
        match octet {
            b'"' => return Some(index + 1),
            b'\\' => index += 2,
            _ => index += 1,
        }
    }
    None
}

/// The parts of `octets` between separators that are outside of quoted strings and of `<...>`.
pub(crate) fn split(octets: &[u8], separator: u8) -> Split<'_> {
    Split { rest: Some(octets), separator }
}

/// Iterator of [`split`]. An unterminated quote or bracket takes the rest as one part.
pub(crate) struct Split<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let octets = self.rest.take()?;
        // What comes before the first separator needs no closer look if nothing in it hides one.
        let mut index = memchr3(self.separator, b'"', b'<', octets).unwrap_or(octets.len());
        let mut bracket = false;
        while let Some(&octet) = octets.get(index) {
            if octet == self.separator && !bracket {
                let (part, rest) = octets.split_at(index);
                self.rest = rest.get(1..);
                return Some(part);
            }
            match octet {
                b'"' if !bracket => match octets.get(index..).and_then(quoted_end) {
                    Some(length) => index += length,
                    None => return Some(octets),
                },
                b'<' => {
                    bracket = true;
                    index += 1;
                }
                b'>' => {
                    bracket = false;
                    index += 1;
                }
                _ => index += 1,
            }
        }
        Some(octets)
    }
}

/// The parts of text between separators that are outside of quoted strings and of `<...>`, trimmed.
pub(crate) fn split_text(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut from = 0;
    split(text.as_bytes(), separator).map(move |part| {
        let start = from;
        from = start + part.len() + 1;
        trim_text(text.get(start..start + part.len()).unwrap_or_default())
    })
}

/// The value of a quoted string with its escapes removed; anything else as it is.
pub(crate) fn unquote(text: &str) -> Cow<'_, str> {
    let Some(content) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if !content.contains('\\') {
        return Cow::Borrowed(content);
    }
    let mut plain = String::with_capacity(content.len());
    let mut characters = content.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            _ => plain.push(character),
        }
    }
    Cow::Owned(plain)
}

/// Text as a quoted string. CR and LF, which no quoted string can carry, become spaces.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '\r' | '\n' => quoted.push(' '),
            '"' | '\\' => quoted.extend(['\\', character]),
            '\t' => quoted.push(character),
            control if control.is_ascii_control() => quoted.extend(['\\', control]),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// An unsigned decimal number: digits only, no sign. `None` when it is none or does not fit.
pub(crate) fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_quotes_and_brackets_do_not_split() {
        let text = r#""a, \"b" <sip:x,y@h>;q=1 , <sip:z>,"open, "#;
        let parts: Vec<_> = split_text(text, b',').collect();
        assert_eq!(parts, [r#""a, \"b" <sip:x,y@h>;q=1"#, "<sip:z>", r#""open,"#]);
        assert_eq!(split_text(",,", b',').collect::<Vec<_>>(), ["", "", ""]);
    }

    #[test]
    fn quoting_is_reversible_and_cannot_inject_lines() {
        for text in ["", "Bell, A. G.", r#"a\b"c"#, "nul\0", "Ж"] {
            assert_eq!(unquote(&quote(text)), text);
        }
        assert_eq!(quote("a\r\nVia: x"), "\"a  Via: x\"");
        assert_eq!(unquote(r#""trailing\"#), r#""trailing\"#);
    }

    #[test]
    fn numbers_have_no_sign_and_no_overflow() {
        assert_eq!(decimal::<u32>("0068"), Some(68));
        for bad in ["", "-1", "+1", "1 ", "4294967296", "x"] {
            assert_eq!(decimal::<u32>(bad), None, "{bad}");
        }
    }
}
