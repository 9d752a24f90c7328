//! The certificates that a TLS server shows: whose they are, who vouches for them, for how long - also of one that is
//! not to be trusted.

use super::{Finding, Mark};
use crate::net::Presented;
use crate::trace::harmless;
use jiff::Timestamp;
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// A certificate with fewer days than that left should have been renewed: authorities that renew by themselves do so a
/// month before the end.
const SHORT: i64 = 14;

const DAY: i64 = 86_400;

/// Names that are shown of one certificate.
const NAMES: usize = 6;

/// What is read out of one certificate.
struct Certificate {
    subject: String,
    issuer: String,
    /// Its names: domains, addresses, URIs.
    names: Vec<String>,
    from: i64,
    until: i64,
}

impl Certificate {
    fn read(der: &[u8]) -> Option<Self> {
        let (_, read) = X509Certificate::from_der(der).ok()?;
        let names = read.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(name).collect()).unwrap_or_default();
        let validity = read.validity();
        Some(Self {
            subject: harmless(&read.subject().to_string()),
            issuer: harmless(&read.issuer().to_string()),
            names,
            from: validity.not_before.timestamp(),
            until: validity.not_after.timestamp(),
        })
    }

    fn self_signed(&self) -> bool {
        self.subject == self.issuer
    }

    /// Which of its names stands for `wanted`.
    fn matching(&self, wanted: &str) -> Option<&str> {
        let wanted = wanted.to_ascii_lowercase();
        let stands = |name: &&String| {
            let name = name.to_ascii_lowercase();
            let wildcard = || Some(name.strip_prefix('*')? == wanted.get(wanted.find('.')?..)?);
            name == wanted || name.strip_prefix("sip:") == Some(&wanted) || wildcard() == Some(true)
        };
        self.names.iter().find(stands).map(String::as_str)
    }

    fn finding(&self, place: usize, now: i64, other: bool) -> Finding {
        let left = (self.until - now).div_euclid(DAY);
        let own = place == 0;
        let (from, until) = (day(self.from), day(self.until));
        let (mark, state, remedy) = match () {
            () if now > self.until => {
                let remedy = if own {
                    "have the server's certificate renewed; or our clock is wrong"
                } else {
                    "have the server send a chain that is valid"
                };
                let mark = if own && !other { Mark::Fail } else { Mark::Warn };
                (mark, format!("expired {} days ago", (now - self.until) / DAY), Some(remedy.to_owned()))
            }
            () if now < self.from => {
                let mark = if own && !other { Mark::Fail } else { Mark::Warn };
                (mark, "not valid yet".to_owned(), Some("look at our clock first, then at theirs".to_owned()))
            }
            () if left < SHORT => {
                let remedy = format!("have it renewed before {until}; after that nothing gets through");
                (Mark::Warn, format!("only {left} days left"), Some(remedy))
            }
            () => (Mark::Ok, format!("{left} days left"), None),
        };
        let names = match self.names.len() {
            0 => String::new(),
            1..=NAMES => format!(" for {}", self.names.join(", ")),
            more => format!(" for {} and {} more", self.names[..NAMES].join(", "), more - NAMES),
        };
        let issuer = if self.self_signed() { "itself" } else { &self.issuer };
        let text =
            format!("{}. {}{names}, issued by {issuer}, valid {from} to {until}, {state}", place + 1, self.subject);
        let details = json!({"place": place, "subject": self.subject, "issuer": self.issuer, "names": self.names,
            "valid_from": from, "valid_until": until, "days_left": left});
        let finding = Finding::new("certificate", mark, text, details);
        match remedy {
            Some(remedy) => finding.with_remedy(remedy),
            None => finding,
        }
    }
}

/// Tells what a server showed. `host`: who it has to be; `other`: it is not the transport of the account; `insecure`:
/// connections are made all the same.
pub(super) fn judge(
    presented: &Presented,
    (host, remote): (&str, SocketAddr),
    (other, insecure): (bool, bool),
    now: Timestamp,
    tell: &mut impl FnMut(Finding),
) {
    let chain: Vec<Option<Certificate>> = presented.chain.iter().map(|der| Certificate::read(der)).collect();
    let own = chain.first().and_then(Option::as_ref);
    let matched = presented.name.as_ref().and_then(|name| own.and_then(|own| own.matching(name)));
    let spoken = match (presented.version, &presented.cipher) {
        (Some(version), Some(cipher)) => format!("{version} with {cipher}"),
        _ => "no TLS".to_owned(),
    };
    let details = json!({"remote": remote.to_string(), "host": host, "version": presented.version,
        "cipher": presented.cipher, "certificates": chain.len(), "name": presented.name, "matched": matched,
        "verified": presented.problem.is_none(), "problem": presented.problem});
    let finding = match &presented.problem {
        None => {
            let name = presented.name.as_deref().unwrap_or(host);
            let by = matched.filter(|matched| *matched != name).map(|matched| format!(" (by {matched})"));
            let text =
                format!("{remote} speaks {spoken}; its certificate is good for {name}{}", by.unwrap_or_default());
            Finding::new("tls", Mark::Ok, text, details)
        }
        Some(problem) => {
            let (what, remedy) = problem.split_once("; ").unwrap_or((problem, "look at the log of the server"));
            let remedy = match (presented.untrusted, chain.as_slice()) {
                (true, [Some(only)]) if only.self_signed() => {
                    "it is self-signed: if you know that it is theirs, give it with --tls-ca FILE; else have one issued"
                        .into()
                }
                (true, [Some(only)]) => format!(
                    "the server sends its own certificate alone: have it send that of {} too, or give that with --tls-ca FILE",
                    only.issuer
                ),
                _ => remedy.to_owned(),
            };
            let mark = if other || insecure { Mark::Warn } else { Mark::Fail };
            // Of several things that are wrong verification names the first.
            let also = own.is_some() && presented.name.is_none() && !what.contains(" is for ");
            let what = if also { format!("{what}; and it is not for {host}") } else { what.to_owned() };
            let text = match (insecure, presented.version) {
                (true, Some(_)) => format!("{what} (taken all the same, because of --tls-insecure; {spoken})"),
                (false, Some(_)) => format!("{what} ({spoken})"),
                (_, None) => what,
            };
            Finding::new("tls", mark, text, details).with_remedy(remedy)
        }
    };
    tell(finding);
    for (place, certificate) in chain.iter().enumerate() {
        tell(match certificate {
            Some(certificate) => certificate.finding(place, now.as_second(), other),
            None => {
                let text = format!("{}. is no certificate that can be read", place + 1);
                Finding::new("certificate", Mark::Warn, text, json!({"place": place}))
                    .with_remedy("have the server send its certificate and those above it only")
            }
        });
    }
}

/// A name as it is written; what no server is called is left out.
fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some(harmless(name)),
        GeneralName::IPAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            let ip = v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from));
            ip.ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}

fn day(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| "an unknown day".into(), |stamp| stamp.strftime("%F").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(names: &[&str]) -> Certificate {
        Certificate {
            subject: "CN=a".into(),
            issuer: "CN=b".into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            from: 100 * DAY,
            until: 200 * DAY,
        }
    }

    #[test]
    fn the_name_that_stands_for_ours_is_found() {
        let shown = certificate(&["other.example", "*.sip.twilio.com", "sip:pbx.example", "192.0.2.7"]);
        for (wanted, name) in [
            ("alice.sip.twilio.com", Some("*.sip.twilio.com")),
            ("Other.Example", Some("other.example")),
            ("pbx.example", Some("sip:pbx.example")),
            ("192.0.2.7", Some("192.0.2.7")),
            ("sip.twilio.com", None),
            ("a.b.sip.twilio.com", None),
        ] {
            assert_eq!(shown.matching(wanted), name, "{wanted}");
        }
    }

    #[test]
    fn days_are_counted() {
        let shown = certificate(&[]);
        for (now, place, other, mark, text) in [
            (150 * DAY, 0, false, Mark::Ok, "50 days left"),
            (186 * DAY, 0, false, Mark::Ok, "14 days left"),
            (186 * DAY + 1, 0, false, Mark::Warn, "only 13 days left"),
            (203 * DAY, 0, false, Mark::Fail, "expired 3 days ago"),
            (203 * DAY, 0, true, Mark::Warn, "expired 3 days ago"),
            (203 * DAY, 1, false, Mark::Warn, "expired 3 days ago"),
            (99 * DAY, 0, false, Mark::Fail, "not valid yet"),
        ] {
            let finding = shown.finding(place, now, other);
            assert!(finding.mark == mark && finding.text.contains(text), "{now}: {finding:?}");
            assert_eq!(finding.remedy.is_none(), mark == Mark::Ok, "{finding:?}");
        }
    }
}
