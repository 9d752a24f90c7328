//! Values of header fields.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The value of a header field: text, and the octets it came from where those are no UTF-8, so that a response echoes
/// them exactly.
#[derive(Clone)]
pub struct Value(Text);

#[derive(Clone)]
enum Text {
    Own(String),
    /// The values of a received message share one copy of its header.
    Shared {
        head: Arc<str>,
        start: u32,
        end: u32,
    },
    /// Octets that are no UTF-8, with the text that comes nearest.
    Foreign(Box<(String, Vec<u8>)>),
}

impl Value {
    /// A value from octets, kept exactly; they must hold no line end.
    pub fn from_octets(octets: &[u8]) -> Self {
        Self(match std::str::from_utf8(octets) {
            Ok(text) => Text::Own(text.into()),
            Err(_) => Text::Foreign(Box::new((String::from_utf8_lossy(octets).into_owned(), octets.into()))),
        })
    }

    /// A value that is a part of `head`, or a copy if it is none.
    pub(crate) fn within(head: &Arc<str>, part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
        let end = start.wrapping_add(part.len());
        // Two live values never share an address: what lies inside of the head is that part of it.
        match (head.get(start..end), u32::try_from(start), u32::try_from(end)) {
            (Some(_), Ok(start), Ok(end)) => Self(Text::Shared { head: head.clone(), start, end }),
            _ => Self::from_octets(part),
        }
    }

    /// The text; octets that are no UTF-8 have become replacement characters.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Own(text) => text,
            Text::Shared { head, start, end } => head.get(*start as usize..*end as usize).unwrap_or_default(),
            Text::Foreign(foreign) => &foreign.0,
        }
    }

    /// The octets, exactly.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Foreign(foreign) => &foreign.1,
            _ => self.as_str().as_bytes(),
        }
    }

    /// The same octets with `suffix` (without line ends) behind them.
    pub(crate) fn with_suffix(&self, suffix: &str) -> Self {
        Self::from_octets(&[self.as_bytes(), suffix.as_bytes()].concat())
    }
}

impl<'a, T: Into<Cow<'a, str>>> From<T> for Value {
    /// Line ends, which would start a new field, become spaces.
    fn from(text: T) -> Self {
        let text = text.into();
        let text = match text.contains(['\r', '\n']) {
            true => text.replace(['\r', '\n'], " "),
            false => text.into_owned(),
        };
        Self(Text::Own(text))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Value {}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_inject_fields_and_keep_foreign_octets() {
        assert_eq!(Value::from("a\r\nVia: b").as_str(), "a  Via: b");
        let latin = Value::from_octets(b"J\xFCrgen <sip:j@h>");
        assert_eq!(latin.as_bytes(), b"J\xFCrgen <sip:j@h>");
        assert!(latin.as_str().starts_with("J\u{FFFD}rgen"));
        assert_ne!(latin, Value::from_octets(b"J\xFArgen <sip:j@h>"));
    }

    #[test]
    fn a_part_of_the_head_is_shared_and_anything_else_is_copied() {
        let head: Arc<str> = "To: <sip:ü@h>\r\n".into();
        let part = &head.as_bytes()[4..14];
        assert_eq!(Value::within(&head, part).as_str(), "<sip:ü@h>");
        assert_eq!(Value::within(&head, b"elsewhere").as_str(), "elsewhere");
        let middle_of_a_character = &head.as_bytes()[10..14];
        assert_eq!(Value::within(&head, middle_of_a_character).as_bytes(), middle_of_a_character);
        assert_eq!(Value::within(&head, part).with_suffix(";tag=1").as_bytes(), "<sip:ü@h>;tag=1".as_bytes());
    }
}
