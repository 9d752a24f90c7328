//! Our caller id: From and what stands beside it.

use super::number::{NotE164, same_number};
use super::policy::{Anonymity, Assertion};
use crate::sip::agent::Account;
use crate::sip::header::{Header, Name};
use crate::sip::name_addr::NameAddr;
use crate::sip::uri::{SipUri, Uri};

/// The caller id that withholds our number (RFC 3323).
pub const ANONYMOUS: &str = "anonymous";

/// Where From says that nobody is (RFC 3323 section 4.1.1.3).
const NOWHERE: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// How a call of ours says who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// From, when it is not the account's own address of record.
    pub from: Option<NameAddr>,
    /// Who calls, whether From says it or not.
    pub caller: Uri,
    /// Privacy and the fields that carry the identity for the carrier.
    pub headers: Vec<Header>,
}

/// A caller id that the account cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// It is none of the numbers.
    #[error("{number} is no number of the account, which has {}; choose one of them, or add it to numbers", known.join(", "))]
    Unknown {
        /// What was asked for.
        number: String,
        /// What there is.
        known: Vec<String>,
    },
    /// It cannot be written as the carrier wants it.
    #[error("caller id: {0}")]
    Format(#[from] NotE164),
}

impl Account {
    /// How a call says who calls: `chosen` is a number of the account, or [`ANONYMOUS`]; its first number, or else its
    /// address of record, when absent.
    ///
    /// # Errors
    /// When the number is not the account's, or not one that the carrier takes.
    pub fn present(&self, chosen: Option<&str>) -> Result<Presented, NotOurs> {
        let anonymous = chosen.is_some_and(|chosen| chosen.eq_ignore_ascii_case(ANONYMOUS));
        let number = match chosen.filter(|_| !anonymous) {
            Some(chosen) => Some(self.own_number(chosen)?),
            None => self.numbers.first().map(|number| self.identity.numbering.apply(number)).transpose()?,
        };
        let own = match (&number, self.aor.sip()) {
            (Some(number), Some(aor)) => {
                let mut uri = SipUri::new(Some(number), aor.host.clone(), aor.port);
                uri.secure = aor.secure;
                Uri::Sip(uri)
            }
            _ => self.aor.clone(),
        };
        let named = NameAddr { display: self.display.clone(), ..NameAddr::new(own.clone()) };
        let mut headers: Vec<Header> =
            self.identity.assert.iter().map(|field| assertion(*field, &named, anonymous)).collect();
        let hidden = anonymous && self.identity.anonymous == Anonymity::Full;
        if anonymous {
            if hidden && headers.is_empty() {
                // Without it nobody on the way could tell who pays (RFC 3325 section 6).
                headers.push(assertion(Assertion::PreferredIdentity, &named, true));
            }
            headers.push(Header { name: Name::Privacy, value: "id".into() });
        }
        let from = if hidden { NOWHERE.parse().ok() } else { number.is_some().then_some(named) };
        Ok(Presented { from, caller: own, headers })
    }

    /// `chosen` as the carrier writes it, if we may use it.
    fn own_number(&self, chosen: &str) -> Result<String, NotOurs> {
        let listed = self.numbers.iter().find(|own| same_number(own, chosen));
        if listed.is_none() && !self.numbers.is_empty() {
            return Err(NotOurs::Unknown { number: chosen.to_owned(), known: self.numbers.clone() });
        }
        Ok(self.identity.numbering.apply(listed.map_or(chosen, String::as_str))?)
    }
}

/// `who` in one of the fields that a carrier reads.
fn assertion(field: Assertion, who: &NameAddr, anonymous: bool) -> Header {
    let (name, value) = match field {
        Assertion::AssertedIdentity => (Name::AssertedIdentity, who.clone()),
        Assertion::PreferredIdentity => (Name::PreferredIdentity, who.clone()),
        Assertion::RemotePartyId => {
            let mut value = who.clone();
            value.params.set("party", "calling");
            value.params.set("privacy", if anonymous { "full" } else { "off" });
            value.params.set("screen", "no");
            (Name::RemotePartyId, value)
        }
    };
    Header { name, value: value.to_string().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::identity::{NumberFormat, Numbering};

    fn account() -> Account {
        let mut account = Account::new("sip:alice@example.com".parse().unwrap());
        account.display = Some("Müller, \"Al\"".into());
        account
    }

    fn shown(presented: &Presented) -> Vec<String> {
        let from = presented.from.iter().map(|from| format!("From: {from}"));
        from.chain(presented.headers.iter().map(|header| format!("{}: {}", header.name, header.value.as_str())))
            .collect()
    }

    #[test]
    fn the_account_speaks_for_itself_unless_it_has_numbers() {
        let mut account = account();
        assert_eq!(
            account.present(None).unwrap(),
            Presented { from: None, caller: account.aor.clone(), headers: vec![] }
        );
        account.numbers = vec!["+15550100001".into(), "+15550100002".into()];
        let first = account.present(None).unwrap();
        assert_eq!(shown(&first), ["From: \"Müller, \\\"Al\\\"\" <sip:+15550100001@example.com>"]);
        let second = account.present(Some("5550100002")).unwrap();
        assert_eq!(second.caller.to_string(), "sip:+15550100002@example.com", "as the account writes it");
        let error = account.present(Some("+15550100003")).unwrap_err().to_string();
        assert!(error.contains("+15550100003") && error.contains("+15550100001"), "{error}");
    }

    #[test]
    fn the_preset_says_which_fields_carry_it_and_how_numbers_look() {
        let mut account = account();
        account.display = None;
        account.identity.assert =
            vec![Assertion::AssertedIdentity, Assertion::PreferredIdentity, Assertion::RemotePartyId];
        account.identity.numbering = Numbering { format: NumberFormat::PlusE164, country: Some("1".into()) };
        assert_eq!(
            shown(&account.present(Some("555 010-0001")).unwrap()),
            [
                "From: <sip:+15550100001@example.com>",
                "P-Asserted-Identity: <sip:+15550100001@example.com>",
                "P-Preferred-Identity: <sip:+15550100001@example.com>",
                "Remote-Party-ID: <sip:+15550100001@example.com>;party=calling;privacy=off;screen=no",
            ]
        );
        account.identity.numbering.country = None;
        let error = account.present(Some("5550100001")).unwrap_err().to_string();
        assert!(error.contains("caller id") && error.contains("+1"), "{error}");
    }

    #[test]
    fn an_anonymous_call_hides_from_and_tells_the_carrier_who_pays() {
        let mut account = account();
        account.numbers = vec!["+15550100001".into()];
        account.display = None;
        let own = "<sip:+15550100001@example.com>";
        let nobody = "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned();
        let full = account.present(Some("Anonymous")).unwrap();
        assert_eq!(shown(&full), [nobody.clone(), format!("P-Preferred-Identity: {own}"), "Privacy: id".into()]);
        assert_eq!(full.caller.to_string(), "sip:+15550100001@example.com");
        account.identity.assert = vec![Assertion::AssertedIdentity];
        let full = account.present(Some(ANONYMOUS)).unwrap();
        assert_eq!(shown(&full), [nobody, format!("P-Asserted-Identity: {own}"), "Privacy: id".into()]);
        account.identity.anonymous = Anonymity::Id;
        account.identity.assert = vec![Assertion::RemotePartyId];
        assert_eq!(
            shown(&account.present(Some(ANONYMOUS)).unwrap()),
            [
                format!("From: {own}"),
                format!("Remote-Party-ID: {own};party=calling;privacy=full;screen=no"),
                "Privacy: id".into()
            ]
        );
    }
}
