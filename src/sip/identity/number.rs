//! Telephone numbers as carriers write them (ITU-T E.164, RFC 3966).

use crate::sip::agent::{UnknownWord, words};
use std::fmt;
use std::str::FromStr;

/// How a carrier wants numbers in the user part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberFormat {
    /// As they are given.
    #[default]
    AsGiven,
    /// `+` and the country code, always.
    PlusE164,
    /// The country code without `+`.
    E164,
}

words!(
    NumberFormat,
    "number format",
    "as-given" = NumberFormat::AsGiven,
    "+e164" = NumberFormat::PlusE164,
    "e164" = NumberFormat::E164
);

/// How numbers become those that a carrier takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbering {
    /// What the carrier wants.
    pub format: NumberFormat,
    /// Our country code, such as `1` or `49`: completes national numbers.
    pub country: Option<String>,
}

/// A number that cannot be written as the carrier wants it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is a national number and the carrier wants the country code; write it as +1..., or set country_code for the \
     account"
)]
pub struct NotE164(pub String);

/// Numbers up to this length are extensions, short codes and emergency numbers: they have no country code.
const SHORT: usize = 6;

impl Numbering {
    /// The user part that `text` becomes: a number in the carrier's format; names, short codes and service codes as they
    /// are.
    ///
    /// # Errors
    /// When the carrier wants a country code and neither the number nor the account has one.
    pub fn apply(&self, text: &str) -> Result<String, NotE164> {
        let Some(number) = plain(text) else { return Ok(text.to_owned()) };
        if self.format == NumberFormat::AsGiven || (!number.starts_with('+') && number.len() <= SHORT) {
            return Ok(number);
        }
        let digits = match (number.strip_prefix('+'), number.strip_prefix("00"), &self.country) {
            (Some(international), _, _) => international.to_owned(),
            // The North American plan dials 011 where others dial 00; 1 and ten digits is a whole number there.
            (None, _, Some(country)) if country == "1" => match number.strip_prefix("011") {
                Some(international) => international.to_owned(),
                None if number.len() == 11 && number.starts_with('1') => number,
                None => format!("1{number}"),
            },
            (None, Some(international), _) => international.to_owned(),
            // The trunk prefix is dialled at home only.
            (None, None, Some(country)) => format!("{country}{}", number.strip_prefix('0').unwrap_or(&number)),
            (None, None, None) => return Err(NotE164(text.to_owned())),
        };
        Ok(match self.format {
            NumberFormat::PlusE164 => format!("+{digits}"),
            _ => digits,
        })
    }
}

/// A telephone number without the marks that humans put into it (RFC 3966 section 5.1.1); `None` when it is none.
pub fn plain(text: &str) -> Option<String> {
    let allowed = |character: char| character.is_ascii_digit() || " +-.()/".contains(character);
    if !text.chars().all(allowed) || !text.contains(|character: char| character.is_ascii_digit()) {
        return None;
    }
    let number: String = text.chars().filter(|character| character.is_ascii_digit() || *character == '+').collect();
    // A plus inside of a number is no mark of one.
    (number.rfind('+').unwrap_or(0) == 0).then_some(number)
}

/// Does it look like a telephone number: digits, perhaps behind a plus, and at least three of them?
pub fn is_number(user: &str) -> bool {
    let digits = user.strip_prefix('+').unwrap_or(user);
    digits.len() >= 3 && digits.bytes().all(|octet| octet.is_ascii_digit())
}

/// Digits that tell two numbers of one carrier apart.
const ENOUGH: usize = 7;

/// Are two user parts the same number, one perhaps with and the other without plus, country code or trunk prefix?
pub fn same_number(one: &str, two: &str) -> bool {
    /// The longest country code.
    const COUNTRY: usize = 3;
    if one == two {
        return true;
    }
    let (Some(one), Some(two)) = (significant(one), significant(two)) else { return false };
    let (long, short) = if one.len() >= two.len() { (one, two) } else { (two, one) };
    long == short || (short.len() >= ENOUGH && long.len() - short.len() <= COUNTRY && long.ends_with(&short))
}

/// What all user parts that are [`same_number`] have in common, and few others: a key to look them up by.
pub(crate) fn significant_end(user: &str) -> String {
    let Some(mut digits) = significant(user) else { return user.to_owned() };
    digits.split_off(digits.len().saturating_sub(ENOUGH))
}

/// A number without plus and leading zeros.
fn significant(text: &str) -> Option<String> {
    plain(text).map(|number| number.trim_start_matches('+').trim_start_matches('0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_form_of_the_carrier() {
        let numbering = |format: &str, country: &str| Numbering {
            format: format.parse().unwrap(),
            country: (!country.is_empty()).then(|| country.to_owned()),
        };
        let rows = [
            ("as-given", "", "(030) 123-456", "030123456"),
            ("as-given", "", "alice", "alice"),
            ("+e164", "", "+1 (555) 010-0001", "+15550100001"),
            ("+e164", "1", "555 010 0001", "+15550100001"),
            ("+e164", "1", "15550100001", "+15550100001"),
            ("+e164", "1", "011 49 30 1234567", "+49301234567"),
            ("+e164", "49", "030/1234567", "+49301234567"),
            ("+e164", "49", "0015550100001", "+15550100001"),
            ("+e164", "", "00 49 30 1234567", "+49301234567"),
            ("+e164", "", "911", "911"),
            ("+e164", "", "alice", "alice"),
            ("+e164", "", "*98", "*98"),
            ("e164", "", "+15550100001", "15550100001"),
        ];
        for (format, country, text, user) in rows {
            assert_eq!(numbering(format, country).apply(text).unwrap(), user, "{format} {country} {text}");
        }
        let error = numbering("+e164", "").apply("5550100001").unwrap_err().to_string();
        assert!(error.contains("5550100001") && error.contains("country_code"), "{error}");
    }

    #[test]
    fn the_same_number_is_known_in_every_form() {
        for other in ["+15550100001", "15550100001", "5550100001", "(555) 010-0001", "0015550100001"] {
            assert!(same_number("+15550100001", other), "{other}");
            assert_eq!(significant_end("+15550100001"), significant_end(other), "{other}");
        }
        assert!(same_number("+4930123456", "030123456"));
        assert_eq!(significant_end("+4930123456"), significant_end("030123456"));
        assert_eq!((significant_end("0110"), significant_end("bob")), ("110".into(), "bob".into()));
        // The last is too short once its zero is off.
        for other in ["+15550100002", "100001", "alice", "", "0100001"] {
            assert!(!same_number("+15550100001", other), "{other}");
        }
        assert!(same_number("alice", "alice") && !same_number("alice", "bob"));
    }
}
