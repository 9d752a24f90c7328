//! Why somebody said no: a sentence with what to change, from everything that a refusal tells.
//!
//! ```text
//!  488 from sip.telnyx.com: it wants SRTP; set srtp = "required"
//! ```
//!
//! One table; the most telling row wins: a carrier's own code, a Warning, what does not fit what we asked, the cause of the
//! telephone network, the status.

mod carrier;

#[cfg(test)]
mod tests;

use super::life::{Call, GaveUp};
use super::negotiate::SrtpPolicy;
use super::record::CallDirection;
use crate::media::plan::Codec;
use crate::sip::agent;
use crate::sip::header::{Headers, Name};
use crate::sip::message::Status;
use crate::sip::reason::Reason;

/// A refusal and what was asked.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// The status, 300 to 699.
    pub status: u16,
    /// Its reason phrase.
    pub reason: &'a str,
    /// Its header fields.
    pub headers: &'a Headers,
    /// Who was asked, as the user knows it: a host.
    pub server: &'a str,
    /// What was asked.
    pub asked: Asked<'a>,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// To take a call.
    Call {
        /// How we encrypt.
        srtp: SrtpPolicy,
        /// What we can send.
        codecs: &'a [Codec],
        /// Whom.
        to: &'a str,
    },
    /// To bind our contact.
    Registration {
        /// We have a password.
        password: bool,
    },
}

impl Call {
    /// Why its media ended it.
    fn gave_up_on_media(&self) -> Option<String> {
        match &self.gave_up {
            Some(GaveUp::Media(why)) => Some(why.clone()),
            Some(GaveUp::RingLimit) | None => None,
        }
    }

    /// Keeps why the call did not come about, or did not go on.
    pub(super) fn note_explanation(
        &mut self,
        by: agent::EndedBy,
        status: Option<Status>,
        reason: &str,
        headers: &Headers,
    ) {
        let outbound = self.record.direction == CallDirection::Outbound;
        let answered = self.answered_at.is_some();
        // The address as the user dialled it.
        let to = self.record.to.trim_start_matches("sips:").trim_start_matches("sip:");
        let server = to.rsplit_once('@').map_or(to, |(_, host)| host);
        let explanation = match (by, status) {
            _ if self.gave_up_on_media().is_some() => self.gave_up_on_media(),
            (agent::EndedBy::Remote, _) if answered => {
                let cause = Reason::all(headers)
                    .into_iter()
                    .find(|reason| reason.q850().is_some_and(|cause| !matches!(cause.code(), 16 | 31)));
                cause
                    .and_then(|cause| cause.sentence())
                    .map(|sentence| format!("the far end ended the call: {sentence}"))
            }
            _ if answered || !outbound => None,
            (agent::EndedBy::Timeout, _) => Some(format!(
                "nobody answered at {server}: check the address, the transport and the firewall, or run `sidetone doctor`"
            )),
            (agent::EndedBy::Transport, _) => Some(format!(
                "{server} cannot be reached ({}): check the address, the port and the transport, or run `sidetone doctor`",
                plain(reason)
            )),
            (agent::EndedBy::Remote, Some(status)) if status.code() >= 300 => {
                let asked = Asked::Call { srtp: self.options.srtp, codecs: &self.options.codecs, to };
                Some(explain(&Refusal { status: status.code(), reason, headers, server, asked }))
            }
            (agent::EndedBy::Local | agent::EndedBy::Remote, _) => None,
        };
        if let Some(explanation) = explanation {
            self.record.metadata.insert("explanation".into(), explanation.into());
        }
    }
}

/// The sentence for a refusal: who said what, why, and what to change.
pub fn explain(refusal: &Refusal<'_>) -> String {
    let Refusal { status, server, .. } = refusal;
    format!("{status} from {server}: {}", why(refusal))
}

/// Why, and what to change.
fn why(refusal: &Refusal<'_>) -> String {
    let own = own_code(refusal);
    if let Some((code, meaning)) = own
        && code != "B3"
    {
        return format!("{meaning} ({code})");
    }
    let registering = matches!(refusal.asked, Asked::Registration { .. });
    let known = carrier::by_status(refusal.server, &names(refusal), refusal.status, registering);
    let said = warning(refusal.headers).is_some();
    if matches!(refusal.status, 488 | 606) || refusal.status == 415 && (known.is_none() || said) || own.is_some() {
        return media(refusal);
    }
    // What we did not answer was not refused.
    if let Some(known) = known.filter(|_| withheld(refusal.reason).is_none()) {
        let after = refusal.headers.retry_after().map(|_| retry(refusal.headers)).unwrap_or_default();
        return format!("{known}{}{after}", quoted(refusal.reason, &Status(refusal.status).reason()));
    }
    by_status(refusal).unwrap_or_else(|| network(refusal).unwrap_or_else(|| unknown(refusal)))
}

/// What may name the carrier beside the host.
fn names<'a>(refusal: &Refusal<'a>) -> [&'a str; 2] {
    [Name::Server, Name::UserAgent].map(|name| refusal.headers.get(&name).unwrap_or_default())
}

/// Why credentials were not sent: the agent's own words in place of the reason phrase.
fn withheld(reason: &str) -> Option<&str> {
    let ours = ["the realm \"", "the server asks for ", "the account has no password"];
    ours.iter().any(|start| reason.starts_with(start)).then_some(reason)
}

fn own_code(refusal: &Refusal<'_>) -> Option<(&'static str, &'static str)> {
    let headers = refusal.headers;
    let field = |name: &Name| headers.get(name).unwrap_or_default();
    let own = Name::of("X-Twilio-Error");
    carrier::meaning(
        refusal.server,
        &names(refusal),
        &[refusal.reason, field(&Name::Warning), field(&own), field(&Name::Reason)],
    )
}

/// The Warning code (RFC 3261 section 20.43) and its text.
fn warning(headers: &Headers) -> Option<(u16, String)> {
    let value = headers.get(&Name::Warning)?;
    let code = value.trim().split(' ').next()?.parse().ok()?;
    let text = value.split_once('"').map(|(_, rest)| rest.rsplit_once('"').map_or(rest, |(text, _)| text));
    Some((code, text.unwrap_or_default().replace("\\\"", "\"")))
}

/// Our media was refused.
fn media(refusal: &Refusal<'_>) -> String {
    let Asked::Call { srtp, codecs, .. } = refusal.asked else { return unknown(refusal) };
    let warning = warning(refusal.headers);
    let words = format!("{} {}", refusal.reason, warning.as_ref().map_or("", |(_, text)| text)).to_ascii_lowercase();
    let says = |wanted: &[&str]| wanted.iter().any(|word| words.contains(word));
    let code = warning.as_ref().map(|(code, _)| *code);
    let ours: Vec<&str> = codecs.iter().map(|codec| codec.name()).collect();
    let ours = ours.join(", ");
    // A longer text stands in the record by itself.
    let said = warning.as_ref().filter(|(_, text)| (1..=80).contains(&text.len()));
    let said = said.map(|(_, text)| format!(" (it says: {text})")).unwrap_or_default();
    // Theirs is about encryption and nothing else.
    let known = refusal.status == 488 && carrier::refuses_by_encryption(refusal.server, &names(refusal));
    let encryption = known
        || says(&["srtp", "savp", "crypto", "encrypt"])
        || matches!(code, Some(302 | 306))
        || own_code(refusal).is_some();
    match (encryption, srtp) {
        (true, SrtpPolicy::Off) => format!("it wants SRTP; set srtp = \"required\"{said}"),
        (true, SrtpPolicy::Required) => {
            format!(
                "it has no SRTP that fits ours; enable SDES-SRTP there, or set srtp = \"off\" if plain media may go there{said}"
            )
        }
        (true, SrtpPolicy::Dtls) => {
            format!("it has no DTLS-SRTP that fits ours; set srtp = \"required\" for keys in the SDP{said}")
        }
        (true, SrtpPolicy::Optional) => {
            format!("it wants encryption otherwise than offered; set srtp = \"required\" or \"off\"{said}")
        }
        _ if matches!(code, Some(300 | 301)) || says(&["ipv6", "ip4", "ip6", "address famil", "private address"]) => {
            format!("it does not like the media address in our SDP; bind IPv4, or set the public address{said}")
        }
        _ if matches!(code, Some(305)) || says(&["codec", "media format", "payload"]) => {
            format!("it takes none of our codecs ({ours}); add pcmu or pcma to codecs{said}")
        }
        _ if matches!(code, Some(370)) => {
            format!("our media needs too much bandwidth for it; use fewer or smaller codecs{said}")
        }
        (_, SrtpPolicy::Off) => format!(
            "it does not take our media (plain RTP, {ours}); it may want SRTP: set srtp = \"required\", or try other codecs{said}"
        ),
        (_, policy) => {
            format!(
                "it does not take our media (srtp = \"{policy}\", {ours}); try srtp = \"off\" if plain media may go there, or other codecs{said}"
            )
        }
    }
}

/// The rows by status.
fn by_status(refusal: &Refusal<'_>) -> Option<String> {
    let headers = refusal.headers;
    let list = |name: &Name| headers.all(name).collect::<Vec<_>>().join(", ");
    let registering = matches!(refusal.asked, Asked::Registration { .. });
    let to = match refusal.asked {
        Asked::Call { to, .. } => to,
        Asked::Registration { .. } => "this address",
    };
    Some(match refusal.status {
        300..=399 => format!("{to} is elsewhere: {}; call that address", or(list(&Name::Contact), "it does not say where")),
        400 => format!("it cannot read our request{}; look at `sidetone trace show last`", quoted(refusal.reason, "Bad Request")),
        401 | 407 => credentials(refusal),
        402 => "it wants to be paid first; check the balance of the account".into(),
        403 if registering => "it does not let this account register; check user name, password and whether the account may register".into(),
        403 => format!(
            "it does not allow this call{}; check the credentials, the caller id (a number of the account), the permissions for {to} and whether our address is on its list",
            quoted(refusal.reason, "Forbidden")
        ),
        404 if registering => "it does not know this address of record; check user part and domain of --aor".into(),
        404 | 604 => format!("it knows nobody at {to}; check the number, and dial it as + and digits where a carrier is called"),
        405 => format!("it does not take this request here (it takes {}); check that this is the right server", or(list(&Name::Allow), "it does not say what")),
        406 | 415 => format!("it does not take this kind of body (it takes {}); look at `sidetone trace show last`", or(list(&Name::Accept), "it does not say what")),
        408 => "nobody answered in time; check the address, the transport and the firewall, and try again".into(),
        410 => format!("{to} is gone for good; look for a new address"),
        413 | 513 => "our request is too large for it; use fewer codecs and headers, or transport = \"tcp\"".into(),
        414 | 416 | 485 => format!("it does not understand the address {to}; use sip: with a number as + and digits (carriers take no sips:)"),
        420 => format!("it does not support what we require ({}); turn that off", or(list(&Name::Unsupported), "it does not say what")),
        421 => format!("it requires {}, which is off here; turn it on", or(list(&Name::Require), "an extension")),
        422 => format!("the session timer is too short for it; use at least {} s", or(list(&Name::MinSe), "90")),
        423 => format!("the registration is too short for it; set expires to at least {} s", or(list(&Name::MinExpires), "600")),
        428 | 436..=438 => "it wants a signed caller id that it can verify (STIR); call through a carrier that signs, with a number of the account".into(),
        429 if headers.retry_after().is_some() || refusal.reason.to_ascii_lowercase().contains("many") => {
            format!("it gets too many requests from us{}", retry(headers))
        }
        429 => "the transfer lacks proof of who asked for it (Referred-By); call the target yourself".into(),
        433 => "it takes no anonymous calls; show the caller id".into(),
        439 => "it does not support outbound flows (RFC 5626); register without a reg-id".into(),
        480 if registering => return None,
        480 => format!("{to} cannot be reached at present (switched off, not registered or away){}", retry(headers)),
        481 => "it does not know this dialog any more; call again".into(),
        482 | 483 => "the request goes in circles or makes too many hops; check proxies and call forwarding for a loop".into(),
        484 => format!("the number {to} is not complete; dial it as + and digits"),
        486 | 600 => format!("{to} is busy{}", retry(headers)),
        487 => "the call was given up before it was answered; let it ring longer".into(),
        489 => format!("it does not know this event (it knows {}); do not subscribe to it", or(list(&Name::of("Allow-Events")), "none")),
        491 => "both ends wanted a change at once; try again".into(),
        493 => "it cannot decrypt the body; send it plain".into(),
        494 => "it wants a security agreement (RFC 3329), which is not supported; use transport = \"tls\"".into(),
        500 => format!("an error on its side{}; try again{}", quoted(refusal.reason, "Server Internal Error"), retry(headers)),
        501 => "it does not know this request; check that this is the right server".into(),
        502 | 504 => "a server behind it did not answer; try again, or another of its servers".into(),
        503 => format!("it is overloaded, in maintenance, or the account makes too many calls at once{}", retry(headers)),
        505 => "it speaks another version of SIP; check that this is the right server".into(),
        580 => "it cannot reserve what the call needs; call without preconditions".into(),
        603 => network(refusal).unwrap_or_else(|| format!("{to} declined the call; try another time")),
        607 => format!("{to} does not want calls from this number; do not call again"),
        608 => format!(
            "something on the way took the call for a nuisance and blocked it; use a caller id of good standing, or complain at {}",
            or(list(&Name::of("Call-Info")), "the carrier")
        ),
        _ => return None,
    })
}

/// 401 and 407.
fn credentials(refusal: &Refusal<'_>) -> String {
    let name = if refusal.status == 401 { Name::WwwAuthenticate } else { Name::ProxyAuthenticate };
    let realm = refusal.headers.get(&name).and_then(|challenge| {
        challenge
            .parse::<crate::sip::auth::Challenge>()
            .ok()
            .map(|challenge| format!(" for the realm \"{}\"", challenge.realm))
    });
    let realm = realm.unwrap_or_default();
    if let Some(why) = withheld(refusal.reason) {
        let why = why.strip_prefix("the account has no password; ").unwrap_or(why);
        return format!("it wants a user name and password{realm}, which were not sent; {why}");
    }
    match refusal.asked {
        Asked::Registration { password: false } => {
            format!(
                "it wants a user name and password{realm}; give --auth-user and SIDETONE_PASSWORD or --password-file"
            )
        }
        _ => format!(
            "it did not accept user name and password{realm}; check --auth-user and the password, which may differ from those of the web site"
        ),
    }
}

/// What the telephone network says (RFC 3326, ITU-T Q.850).
fn network(refusal: &Refusal<'_>) -> Option<String> {
    let sentence = Reason::all(refusal.headers).iter().find_map(Reason::sentence)?;
    Some(format!("the network behind it says: {}{}", plain(&sentence), retry(refusal.headers)))
}

fn unknown(refusal: &Refusal<'_>) -> String {
    let said = or(plain(refusal.reason), "nothing more");
    match refusal.status {
        500..=599 => format!("it says {said:?}; an error on its side, try again{}", retry(refusal.headers)),
        600..=699 => format!("it says {said:?} for every place where the other could be; do not try again soon"),
        _ if matches!(refusal.asked, Asked::Registration { .. }) => {
            format!("it says {said:?}; `sidetone trace show registration:USER` has the whole answer")
        }
        _ => format!("it says {said:?}; `sidetone trace show last` has the whole answer"),
    }
}

/// When to try again.
fn retry(headers: &Headers) -> String {
    match headers.retry_after() {
        Some(after) => format!("; try again in {} s", after.as_secs()),
        None => "; try again later".into(),
    }
}

/// A reason phrase that says more than the usual one.
fn quoted(reason: &str, usual: &str) -> String {
    let reason = plain(reason);
    if reason.is_empty() || reason.eq_ignore_ascii_case(usual) { String::new() } else { format!(" (\"{reason}\")") }
}

/// A peer's words without what a terminal would obey, of a length for a sentence.
fn plain(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(120).collect()
}

fn or(text: String, other: &str) -> String {
    if text.is_empty() { other.into() } else { plain(&text) }
}
