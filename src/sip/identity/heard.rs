//! Who calls whom in an INVITE that came in.

use super::number::{is_number, same_number};
use super::policy::{CalledField, CallerField, Policy};
use crate::sip::header::{Headers, Name};
use crate::sip::name_addr::NameAddr;
use crate::sip::uri::Uri;

/// The caller of an inbound call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The address.
    pub uri: Uri,
    /// The display name.
    pub display: Option<String>,
    /// The caller wants not to be known (RFC 3323): `uri` is then that of nobody.
    pub anonymous: bool,
}

impl Policy {
    /// Who calls. An identity that its owner wants hidden stays hidden, whatever the field that holds it.
    pub fn caller(&self, from: &NameAddr, headers: &Headers) -> Caller {
        let private = headers
            .get(&Name::Privacy)
            .is_some_and(|value| value.split(';').any(|word| ["id", "user", "full"].contains(&word.trim())));
        let remote = first(headers, &Name::RemotePartyId);
        let hidden = remote
            .as_ref()
            .and_then(|remote| remote.params.get("privacy"))
            .is_some_and(|privacy| !privacy.eq_ignore_ascii_case("off"));
        let found = self.caller.iter().find_map(|field| match field {
            CallerField::AssertedIdentity => first(headers, &Name::AssertedIdentity),
            CallerField::RemotePartyId => remote.clone(),
            CallerField::From => Some(from.clone()),
        });
        let found = found.unwrap_or_else(|| from.clone());
        if private || hidden || nobody(&found.uri) {
            let uri = if nobody(&from.uri) { from.uri.clone() } else { nowhere().unwrap_or_else(|| from.uri.clone()) };
            return Caller { uri, display: None, anonymous: true };
        }
        let display = found.display.filter(|name| !name.is_empty()).or_else(|| {
            // What From says of the same person, or of one who only shows less of himself.
            from.display.clone().filter(|name| !name.is_empty() && !nobody(&from.uri))
        });
        Caller { uri: found.uri, display, anonymous: false }
    }

    /// The number or user that was called. `contact` is the user part of the Contact that we gave out: it is in the
    /// Request-URI whoever was called, so it only counts when nothing else is there; `numbers` are ours.
    pub fn called(
        &self,
        request_uri: &Uri,
        to: &Uri,
        headers: &Headers,
        contact: Option<&str>,
        numbers: &[String],
    ) -> Option<String> {
        let user = |uri: &Uri| user_of(uri);
        let candidates: Vec<String> = self
            .called
            .iter()
            .filter_map(|field| match field {
                CalledField::RequestUri => user(request_uri),
                CalledField::To => user(to),
                CalledField::CalledPartyId => user(&first(headers, &Name::CalledPartyId)?.uri),
                CalledField::Diversion => user(&every(headers, &Name::Diversion).pop()?.uri),
                CalledField::HistoryInfo => user(&first(headers, &Name::HistoryInfo)?.uri),
            })
            .filter(|user| !user.is_empty())
            .collect();
        let own = |user: &&String| numbers.iter().any(|number| same_number(number, user));
        let other = |user: &&String| contact != Some(user.as_str());
        let chosen = candidates
            .iter()
            .find(own)
            .or_else(|| candidates.iter().find(|user| other(user) && is_number(user)))
            .or_else(|| candidates.iter().find(other))
            .or_else(|| candidates.first());
        chosen.cloned().or_else(|| user(request_uri)).or_else(|| user(to))
    }
}

/// The user part, or the number of a `tel:` URI without its parameters (RFC 3966).
fn user_of(uri: &Uri) -> Option<String> {
    match uri {
        Uri::Sip(_) => uri.user().map(|user| user.split(';').next().unwrap_or_default().to_owned()),
        other if other.scheme().eq_ignore_ascii_case("tel") => {
            let text = other.to_string();
            let number = text.split_once(':')?.1.split(';').next()?;
            Some(super::plain(number).unwrap_or_else(|| number.to_owned()))
        }
        _ => None,
    }
}

/// Is it the address of somebody who does not want to be known (RFC 3323 section 4.1.1.3)?
fn nobody(uri: &Uri) -> bool {
    uri.host().is_some_and(|host| host.to_string().eq_ignore_ascii_case("anonymous.invalid"))
        || uri.user().is_some_and(|user| user.eq_ignore_ascii_case("anonymous"))
}

fn nowhere() -> Option<Uri> {
    "sip:anonymous@anonymous.invalid".parse().ok()
}

fn first(headers: &Headers, name: &Name) -> Option<NameAddr> {
    headers.get(name)?.parse().ok()
}

fn every(headers: &Headers, name: &Name) -> Vec<NameAddr> {
    headers.all(name).filter_map(|value| value.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields<'a> = &'a [(&'a str, &'a str)];

    /// Order, Request-URI, To, more fields, our numbers, what was called.
    type CalledRow<'a> = (&'a [CalledField], &'a str, &'a str, Fields<'a>, &'a [String], &'a str);

    fn headers(fields: Fields<'_>) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.push(*name, *value);
        }
        headers
    }

    fn policy(called: &[CalledField]) -> Policy {
        Policy { called: called.to_vec(), ..Policy::default() }
    }

    #[test]
    fn the_called_number_is_found_where_the_carrier_puts_it() {
        use CalledField::*;
        let ours = ["+15550100001".to_owned()];
        let rows: &[CalledRow<'_>] = &[
            (&[RequestUri, To], "sip:+15550100001@192.0.2.1", "sip:x@h", &[], &[], "+15550100001"),
            (&[RequestUri, To], "sip:alice@192.0.2.1", "sip:+15550100001@h", &[], &[], "+15550100001"),
            (&[RequestUri, To], "sip:alice@192.0.2.1", "sip:alice@h", &[], &[], "alice"),
            (&[To, RequestUri], "sip:+1999@192.0.2.1", "sip:15550100001@h", &[], &[], "15550100001"),
            (&[RequestUri, To], "sip:bot@192.0.2.1", "sip:15550100001@h", &[], &ours, "15550100001"),
            (&[RequestUri], "tel:+1-555-010-0001;phone-context=x", "sip:alice@h", &[], &[], "+15550100001"),
            (
                &[RequestUri, To, Diversion],
                "sip:bot@192.0.2.1",
                "sip:bot@h",
                &[("Diversion", "<sip:+15550100001@twilio.com>;reason=unconditional")],
                &[],
                "+15550100001",
            ),
            (
                &[Diversion, RequestUri],
                "sip:alice@192.0.2.1",
                "sip:alice@h",
                &[("Diversion", "<sip:+1222@h>;reason=user-busy"), ("Diversion", "<sip:+1111@h>;reason=no-answer")],
                &[],
                "+1111",
            ),
            (
                &[CalledPartyId, RequestUri, To],
                "sip:alice@192.0.2.1",
                "sip:+1999@h",
                &[("P-Called-Party-ID", "<sip:+15550100001@h>")],
                &[],
                "+15550100001",
            ),
            (
                &[HistoryInfo, RequestUri],
                "sip:alice@192.0.2.1",
                "sip:alice@h",
                &[("History-Info", "<sip:+15550100001@h>;index=1"), ("History-Info", "<sip:alice@h>;index=1.1")],
                &[],
                "+15550100001",
            ),
        ];
        for (order, uri, to, fields, numbers, called) in rows {
            let (uri, to) = (uri.parse().unwrap(), to.parse().unwrap());
            let found = policy(order).called(&uri, &to, &headers(fields), Some("alice"), numbers);
            assert_eq!(found.as_deref(), Some(*called), "{order:?} {uri} {to}");
        }
    }

    #[test]
    fn the_caller_is_read_from_the_field_that_the_carrier_vouches_for() {
        let from: NameAddr = "\"Al\" <sip:al@pbx.example>".parse().unwrap();
        let asserted =
            ("P-Asserted-Identity", "<sip:+15550100009@carrier.example;user=phone>;verstat=TN-Validation-Passed");
        let caller = Policy::default().caller(&from, &headers(&[asserted]));
        assert_eq!(caller.uri.user().unwrap(), "+15550100009");
        assert_eq!((caller.display.as_deref(), caller.anonymous), (Some("Al"), false));
        let remote = ("Remote-Party-ID", "\"Bo\" <sip:+1777@c>;party=calling;privacy=off");
        let caller = Policy::default().caller(&from, &headers(&[remote]));
        assert_eq!((caller.uri.to_string().as_str(), caller.display.as_deref()), ("sip:+1777@c", Some("Bo")));
        let only_from = Policy { caller: vec![CallerField::From], ..Policy::default() };
        assert_eq!(only_from.caller(&from, &headers(&[asserted, remote])).uri.to_string(), "sip:al@pbx.example");
        assert_eq!(Policy::default().caller(&from, &Headers::new()).uri.to_string(), "sip:al@pbx.example");
    }

    #[test]
    fn who_wants_to_be_nobody_is_nobody() {
        let open: NameAddr = "\"Al\" <sip:al@pbx.example>".parse().unwrap();
        let nobody: NameAddr = "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1".parse().unwrap();
        let own: NameAddr = "<sip:anonymous@carrier.example>".parse().unwrap();
        let asserted = ("P-Asserted-Identity", "<sip:+15550100009@carrier.example>");
        let rows: &[(&NameAddr, Fields<'_>, &str)] = &[
            (&nobody, &[], "sip:anonymous@anonymous.invalid"),
            (&own, &[], "sip:anonymous@carrier.example"),
            (&nobody, &[asserted, ("Privacy", "id")], "sip:anonymous@anonymous.invalid"),
            (&open, &[asserted, ("Privacy", "user; id")], "sip:anonymous@anonymous.invalid"),
            (&open, &[("Remote-Party-ID", "<sip:+1777@c>;privacy=full")], "sip:anonymous@anonymous.invalid"),
        ];
        for (from, fields, uri) in rows {
            let caller = Policy::default().caller(from, &headers(fields));
            assert_eq!((caller.uri.to_string().as_str(), caller.anonymous), (*uri, true), "{from} {fields:?}");
            assert_eq!(caller.display, None);
        }
        // Vouched for although From says nothing: the carrier knows and may tell.
        let told = Policy::default().caller(&nobody, &headers(&[asserted, ("Privacy", "none")]));
        assert_eq!((told.uri.user().unwrap().as_ref(), told.anonymous), ("+15550100009", false));
    }
}
