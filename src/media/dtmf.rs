//! DTMF: digits as telephone events (RFC 4733) and as tones in the audio, those that we send and those that we hear.

mod detector;
mod incoming;
mod outgoing;
mod tones;

pub use detector::Detector;
pub use incoming::Incoming;
pub use outgoing::{Outgoing, Pulse, Tick};
pub use tones::Tones;

use std::fmt;
use std::str::FromStr;

/// A DTMF digit: `0`-`9`, `*`, `#`, `A`-`D` (RFC 4733 section 3.2, events 0 to 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digit(u8);

/// How a digit travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// As a telephone event in RTP (RFC 4733).
    Rfc4733,
    /// In an INFO of the signalling.
    Info,
    /// As tones in the audio.
    Inband,
}

impl Way {
    /// Its name in records and events.
    pub const fn name(self) -> &'static str {
        match self {
            Way::Rfc4733 => "rfc4733",
            Way::Info => "info",
            Way::Inband => "inband",
        }
    }
}

const DIGITS: &[u8; 16] = b"0123456789*#ABCD";

impl Digit {
    /// The digit of an event code; `None` above 15.
    pub const fn from_event(event: u8) -> Option<Self> {
        if event < 16 { Some(Self(event)) } else { None }
    }

    /// The event code, 0 to 15.
    pub const fn event(self) -> u8 {
        self.0
    }

    /// The character on the key.
    pub const fn character(self) -> char {
        DIGITS[(self.0 & 15) as usize] as char
    }

    /// The digits of `text`, which may be empty.
    ///
    /// # Errors
    /// [`UnknownDigit`] names the first character that is none.
    pub fn all(text: &str) -> Result<Vec<Digit>, UnknownDigit> {
        text.chars().map(Digit::try_from).collect()
    }
}

/// A character that is no DTMF digit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no DTMF digit; use 0-9, *, # and A-D")]
pub struct UnknownDigit(pub String);

impl TryFrom<char> for Digit {
    type Error = UnknownDigit;
    fn try_from(character: char) -> Result<Self, Self::Error> {
        let key = character.to_ascii_uppercase();
        DIGITS
            .iter()
            .position(|&digit| digit as char == key)
            .and_then(|event| Digit::from_event(event as u8))
            .ok_or_else(|| UnknownDigit(character.into()))
    }
}

impl FromStr for Digit {
    type Err = UnknownDigit;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(one), None) => Digit::try_from(one),
            _ => Err(UnknownDigit(text.into())),
        }
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.character())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_and_written() {
        let digits = Digit::all("0189*#aD").unwrap();
        assert_eq!(digits.iter().map(Digit::to_string).collect::<String>(), "0189*#AD");
        assert_eq!(digits.iter().map(|digit| digit.event()).collect::<Vec<_>>(), [0, 1, 8, 9, 10, 11, 12, 15]);
        assert_eq!(Digit::all("12x3"), Err(UnknownDigit("x".into())));
        assert_eq!("5".parse::<Digit>().map(Digit::event), Ok(5));
        assert!("".parse::<Digit>().is_err() && "55".parse::<Digit>().is_err());
        assert_eq!(Digit::from_event(16), None);
    }
}
