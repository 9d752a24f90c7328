//! Values that verbs read from their flags.

use super::ConfigError;
use crate::audio::{Sink, Source};
use crate::media::dtmf::Digit;
use crate::phone::Account;
use crate::sip::header::{Header, Name};
use crate::sip::identity;
use crate::sip::uri::{SipUri, Uri, UriError};
use crate::time::Duration;
use std::path::Path;

/// The address to call: a SIP URI as it is; an extension or telephone number at the domain of `account`.
///
/// # Errors
/// When it is no address and there is no domain to complete it.
pub fn target(text: &str, account: Option<&Account>) -> Result<Uri, ConfigError> {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("sip:") || lower.starts_with("sips:") || lower.starts_with("tel:") {
        return target_address(text);
    }
    if text.contains('@') {
        return target_address(&format!("sip:{text}"));
    }
    let domain = account.and_then(|account| account.aor.sip()).ok_or_else(|| ConfigError::NoDomain(text.into()))?;
    let user = dialled(text);
    Ok(Uri::Sip(SipUri::new(Some(&user), domain.host.clone(), domain.port)))
}

/// A telephone number without the marks that humans put into it (RFC 3966 section 5.1.1); anything else as it is.
pub fn dialled(text: &str) -> String {
    identity::plain(text).unwrap_or_else(|| text.to_owned())
}

/// The digits to send.
///
/// # Errors
/// When one is none.
pub fn digits(text: &str) -> Result<String, ConfigError> {
    Ok(Digit::all(text)?.into_iter().map(Digit::character).collect())
}

/// What audio to send, looked at before anyone is called.
///
/// # Errors
/// When the file cannot be played.
pub fn source(source: Source) -> Result<Source, ConfigError> {
    source.check()?;
    Ok(source)
}

/// Microphone and loudspeaker when the user chose none, with a sentence for each choice that was made.
pub fn audio(source: Option<Source>, sink: Option<Sink>) -> (Source, Sink, Vec<String>) {
    let mut sentences = Vec::new();
    let source = source.unwrap_or_else(|| {
        let chosen = Source::auto();
        sentences.push(chosen.sentence);
        chosen.choice
    });
    let sink = sink.unwrap_or_else(|| {
        let chosen = Sink::auto();
        sentences.push(chosen.sentence);
        chosen.choice
    });
    (source, sink, sentences)
}

/// A time from seconds.
///
/// # Errors
/// When it is not above 0.
pub fn seconds(flag: &'static str, value: Option<f64>) -> Result<Option<Duration>, ConfigError> {
    value
        .map(|value| {
            Duration::try_from_secs_f64(value)
                .ok()
                .filter(|time| !time.is_zero() && time.as_secs() < 1_000_000_000)
                .ok_or(ConfigError::Seconds { flag, value })
        })
        .transpose()
}

/// The status of `--reject`.
///
/// # Errors
/// When it refuses nothing.
pub fn reject(status: Option<u16>) -> Result<Option<u16>, ConfigError> {
    match status {
        Some(status) if !(400..700).contains(&status) => Err(ConfigError::Reject(status)),
        status => Ok(status),
    }
}

/// The lowest acceptable opinion score.
///
/// # Errors
/// When no call can have it.
pub fn min_mos(value: Option<f64>) -> Result<Option<f64>, ConfigError> {
    match value {
        Some(value) if !(1.0..=4.5).contains(&value) => Err(ConfigError::MinMos(value)),
        value => Ok(value),
    }
}

/// A directory for recordings; it is made.
///
/// # Errors
/// When it cannot be made.
pub fn recordings(directory: &Path) -> Result<(), ConfigError> {
    std::fs::create_dir_all(directory).map_err(|source| ConfigError::Record { path: directory.into(), source })
}

/// A header field as `Name: value`, such as `X-Customer: 7`.
///
/// # Errors
/// When it cannot be sent, or is one that the phone writes itself.
pub fn header(text: &str) -> Result<Header, ConfigError> {
    let fail = |why| Err(ConfigError::Header { text: text.chars().take(80).collect(), why });
    let Some((name, value)) = text.split_once(':') else { return fail("write it as Name: value") };
    let (name, value) = (name.trim(), value.trim());
    if !name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&octet)) || name.is_empty() {
        return fail("its name has letters, digits and dashes only, as in X-Customer");
    }
    if value.chars().any(|character| character.is_control() && character != '\t') {
        return fail("its value has a control character; take it out");
    }
    if value.is_empty() || value.len() > 1024 {
        return fail("its value has to have 1 to 1024 characters");
    }
    match Name::of(name) {
        // What says who calls comes from the account; these say something about the call.
        allowed @ (Name::Other(_)
        | Name::Subject
        | Name::Priority
        | Name::AlertInfo
        | Name::CallInfo
        | Name::Organization
        | Name::ReplyTo
        | Name::Diversion
        | Name::HistoryInfo
        | Name::AcceptLanguage
        | Name::AcceptContact
        | Name::RejectContact
        | Name::RequestDisposition) => Ok(Header { name: allowed, value: value.into() }),
        _ => fail("the phone writes it itself; own fields start with X-"),
    }
}

/// A SIP address, its scheme added where it is missing.
pub(super) fn address(text: &str) -> Result<Uri, UriError> {
    let lower = text.to_ascii_lowercase();
    let has_scheme = ["sip:", "sips:", "tel:"].iter().any(|scheme| lower.starts_with(scheme));
    let full = if has_scheme { text.to_owned() } else { format!("sip:{text}") };
    full.parse()
}

fn target_address(text: &str) -> Result<Uri, ConfigError> {
    address(text).map_err(|source| ConfigError::Address { flag: "TARGET", source, example: "sip:user@host" })
}
