//! An account of the configuration: who it is, what its calls may use, what is done with calls for it.

use super::layer::{Layers, Origin, Place, Setting};
use super::policy;
use super::reader::Reader;
use super::sound;
use super::trust::{algorithm, networks};
use super::value::{address, header};
use super::{ConfigError, Environment, PASSWORD, file};
use crate::audio::{DeviceOptions, Sink, Source, Template};
use crate::call::MediaOptions;
use crate::carrier::{PRESETS, preset};
use crate::media::plan::{Codec, OpusWish, SrtpSuite};
use crate::phone::{Account, Conduct};
use crate::sip::agent::{KeepAlive, MOST_FLOWS, Realms, RefreshShare};
use crate::sip::uri::Uri;
use crate::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What `sidetone run` does with a call for an account.
#[derive(Clone, Debug, PartialEq)]
pub enum OnCall {
    /// Lets it ring: whoever listens to the events decides.
    Ring,
    /// Answers, after it has rung that long.
    Answer(Duration),
    /// Refuses with this status.
    Reject(u16),
}

/// An account and everything that belongs to it.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name in the configuration.
    pub name: String,
    /// Who it is.
    pub account: Account,
    /// What its calls may use.
    pub media: MediaOptions,
    /// What others may ask of it.
    pub conduct: Conduct,
    /// What far ends hear that it puts on hold.
    pub music: Source,
    /// Does `sidetone run` register it?
    pub register: bool,
    /// What `sidetone run` does with a call for it.
    pub on_call: OnCall,
    /// What is sent in such a call.
    pub source: Option<Source>,
    /// Where what is heard goes.
    pub sink: Option<Sink>,
    /// How its calls use sound devices.
    pub sound: DeviceOptions,
    /// Directory for recordings.
    pub record: Option<PathBuf>,
    /// How recordings are named.
    pub record_name: Template,
}

/// The values of an account where nothing else is said, as far as they are worth showing.
fn built_in() -> Vec<(&'static str, toml::Value)> {
    let words = |words: &[&str]| words.iter().map(|word| toml::Value::from(*word)).collect::<Vec<_>>().into();
    let mut all = vec![
        ("preset", "generic".into()),
        ("on_call", "ring".into()),
        ("ring", 0.into()),
        ("reject_status", 486.into()),
        ("packet_time", 20.into()),
        ("vad", false.into()),
        ("keepalive", "standard".into()),
        ("session_expires", 1800.into()),
        ("min_se", 90.into()),
        ("numbers", words(&[])),
        ("sources", words(&[])),
        ("headers", words(&[])),
    ];
    all.extend(policy::built_in());
    all
}

/// Everything that is said of an account, layer by layer.
///
/// # Errors
/// When its preset is none.
pub(super) fn settings(
    layers: &Layers,
    name: &str,
    environment: &Environment,
) -> Result<BTreeMap<String, Setting>, ConfigError> {
    let default = |(key, value): (&str, toml::Value)| (key.to_owned(), Setting { value, origin: Origin::Default });
    let mut below: BTreeMap<String, Setting> = built_in().into_iter().map(default).collect();
    let merged = layers.account(name, &below);
    let reader = Reader::new(Place::Account(name.to_owned()), merged, environment);
    let chosen = reader.text("preset")?.unwrap_or_default();
    let Some(chosen) = preset(&chosen) else {
        let known: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        return Err(reader.wrong("preset", format!("there is no such preset; known are {}", known.join(", "))));
    };
    for (key, setting) in file::account_of(chosen.text, &|_| Origin::Preset(chosen.name))? {
        below.insert(key, setting);
    }
    Ok(layers.account(name, &below))
}

/// The account of that name.
///
/// # Errors
/// Everything of it that cannot be used.
pub(super) fn profile(layers: &Layers, name: &str, environment: &Environment) -> Result<Profile, ConfigError> {
    let (merged, wrong) = match settings(layers, name, environment) {
        Ok(merged) => (merged, None),
        // What is beside a wrong preset is told too.
        Err(error) => (layers.account(name, &BTreeMap::new()), Some(error)),
    };
    let reader = Reader::new(Place::Account(name.to_owned()), merged, environment);
    reader.noted::<()>(wrong.map_or(Ok(()), Err));
    read(&reader, name, environment)
}

pub(super) fn read(reader: &Reader<'_>, name: &str, environment: &Environment) -> Result<Profile, ConfigError> {
    // Was looked at when the layers were laid.
    let _ = reader.text("preset");
    // Without an address nothing is finished.
    let Some(nobody) = address("nobody.invalid").ok() else { return Err(reader.wrong("aor", "it is missing")) };
    let mut account = Account::new(reader.noted(aor(reader).map(Some)).unwrap_or(nobody));
    account.name = Some(name.to_owned());
    account.display = reader.noted(reader.word("display_name"));
    account.auth_user = reader.noted(reader.word("auth_user"));
    let password = reader.noted(reader.text("password"));
    account.password = password.or_else(|| reader.noted(default_password(environment))).map(Into::into);
    account.registrar = reader.noted(server(reader, "registrar"));
    account.outbound_proxies = reader.noted(servers(reader, "outbound_proxy"));
    let flows = reader.noted(reader.whole("flows", 1..=u32::from(MOST_FLOWS), "2"));
    account.flows = flows.and_then(|flows| u8::try_from(flows).ok());
    account.routes = reader.noted(servers(reader, "routes"));
    account.transport = reader.noted(reader.parse("transport"));
    let lifetime = reader.noted(reader.whole("expires", 1..=86_400, "600"));
    account.expires = lifetime.map_or(account.expires, |seconds| Duration::from_secs(u64::from(seconds)));
    let share = reader.noted(reader.whole("refresh", 10..=90, "50"));
    account.refresh = share.and_then(|share| RefreshShare::new(u8::try_from(share).ok()?));
    account.keepalive = reader.noted(keepalive(reader).map(Some)).unwrap_or(KeepAlive::Standard);
    if let Some(limit) = reader.noted(reader.seconds("failover", 0.1..=32.0, "4")) {
        account.failover = Some(limit);
    }
    account.instance = reader.noted(instance(reader));
    account.dtmf = reader.noted(reader.parse("dtmf")).unwrap_or_default();
    account.reliable = reader.noted(reader.parse("reliable")).unwrap_or_default();
    let timers = &mut account.session_timers;
    timers.mode = reader.noted(reader.parse("session_timer")).unwrap_or_default();
    for (key, time) in [("session_expires", &mut timers.expires), ("min_se", &mut timers.least)] {
        if let Some(seconds) = reader.noted(reader.whole(key, 90..=86_400, "1800")) {
            *time = Duration::from_secs(u64::from(seconds));
        }
    }
    if timers.expires < timers.least {
        let why = "it is shorter than min_se; raise it, or lower min_se";
        reader.noted::<()>(Err(reader.wrong("session_expires", why)));
    }
    let identity = &mut account.identity;
    identity.numbering.format = reader.noted(reader.parse("number_format")).unwrap_or_default();
    identity.numbering.country = reader.noted(country(reader));
    identity.assert = reader.noted(reader.words("identity")).unwrap_or_default();
    identity.anonymous = reader.noted(reader.parse("anonymous")).unwrap_or_default();
    if let Some(order) = reader.noted(reader.words("called_from")) {
        identity.called = order;
    }
    if let Some(order) = reader.noted(reader.words("caller_from")) {
        identity.caller = order;
    }
    for number in reader.noted(reader.list("numbers")).unwrap_or_default() {
        let written = identity.numbering.apply(&number).map_err(|error| reader.wrong("numbers", error));
        account.numbers.extend(reader.noted(written.map(Some)));
    }
    let sources = reader.noted(reader.list("sources")).unwrap_or_default();
    let sources = networks(&sources).map_err(|error| reader.wrong("sources", format!("{error}, or any")));
    account.sources = reader.noted(sources);
    if let Some(realms) = reader.noted(reader.list("realms")).filter(|realms| !realms.is_empty()) {
        account.realms = Realms::Named(realms);
    }
    if let Some(name) = reader.noted(reader.text("digest")) {
        let weakest = algorithm(&name).map_err(|why| reader.wrong("digest", why));
        account.digest = reader.noted(weakest.map(Some)).unwrap_or(account.digest);
    }
    for text in reader.noted(reader.list("headers")).unwrap_or_default() {
        let field = header(&text).map_err(|error| reader.wrong("headers", error));
        account.headers.extend(reader.noted(field.map(Some)));
    }
    let mut media = media(reader);
    let music = policy::calls(reader, &mut account, &mut media);
    reader.finish(Profile {
        name: name.to_owned(),
        account,
        media,
        conduct: policy::conduct(reader),
        music,
        register: reader.noted(reader.flag("register")).unwrap_or(true),
        on_call: on_call(reader),
        source: reader.noted(reader.parse("source")),
        sink: reader.noted(reader.parse("sink")),
        sound: sound::devices(reader),
        record: reader.noted(reader.path("record")),
        record_name: reader.noted(reader.parse("record_name")).unwrap_or_default(),
    })
}

/// A server, if one is named.
fn server(reader: &Reader<'_>, key: &'static str) -> Result<Option<Uri>, ConfigError> {
    let fail = |error| reader.wrong(key, format!("{error}; write host or host:port"));
    reader.word(key)?.map(|text| address(&text).map_err(fail)).transpose()
}

/// Servers, the best first.
fn servers(reader: &Reader<'_>, key: &'static str) -> Result<Vec<Uri>, ConfigError> {
    let texts = reader.one_or_more(key)?.unwrap_or_default();
    let fail = |error| reader.wrong(key, format!("{error}; write host or host:port"));
    texts.iter().map(|text| address(text).map_err(fail)).collect()
}

/// The password of an account that says none.
fn default_password(environment: &Environment) -> Result<Option<String>, ConfigError> {
    match environment.get(PASSWORD) {
        Some(password) => password.into_string().map(Some).map_err(|_| ConfigError::Encoding(PASSWORD.into())),
        None => Ok(None),
    }
}

fn aor(reader: &Reader<'_>) -> Result<Uri, ConfigError> {
    const EXAMPLE: &str = "write it as sip:user@host";
    let text = reader.word("aor")?.ok_or_else(|| reader.wrong("aor", format!("it is missing; {EXAMPLE}")))?;
    let aor = address(&text).map_err(|error| reader.wrong("aor", format!("{error}; {EXAMPLE}")))?;
    if aor.sip().is_some_and(|sip| sip.password.is_some()) {
        return Err(ConfigError::PasswordInAddress);
    }
    if aor.user().is_none_or(|user| user.is_empty()) {
        return Err(reader.wrong("aor", format!("it has no user part; {EXAMPLE}")));
    }
    Ok(aor)
}

fn keepalive(reader: &Reader<'_>) -> Result<KeepAlive, ConfigError> {
    match reader.text("keepalive") {
        Ok(None) => Ok(KeepAlive::Standard),
        Ok(Some(word)) if word == "standard" => Ok(KeepAlive::Standard),
        Ok(Some(word)) if word == "crlf" => Ok(KeepAlive::Crlf),
        Ok(Some(word)) if word == "stun" => Ok(KeepAlive::Stun),
        Ok(Some(word)) if word == "off" => Ok(KeepAlive::Off),
        _ => {
            let every = reader.seconds("keepalive", 5.0..=3600.0, "25");
            let remedy = "write standard, crlf, stun, off, or seconds from 5 to 3600, such as 25";
            let fail = |_| reader.wrong("keepalive", remedy);
            Ok(every.map_err(fail)?.map_or(KeepAlive::Standard, KeepAlive::Every))
        }
    }
}

fn instance(reader: &Reader<'_>) -> Result<Option<String>, ConfigError> {
    match reader.word("instance")? {
        Some(urn) if !urn.to_ascii_lowercase().starts_with("urn:") || urn.contains(['"', '<', '>', ' ']) => {
            Err(reader.wrong("instance", "write a URN, such as urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"))
        }
        urn => Ok(urn),
    }
}

fn country(reader: &Reader<'_>) -> Result<Option<String>, ConfigError> {
    match reader.word("country_code")? {
        Some(code) if code.starts_with('0') || code.len() > 3 || !code.bytes().all(|octet| octet.is_ascii_digit()) => {
            Err(reader.wrong("country_code", "write its one to three digits, such as \"1\" or \"49\""))
        }
        code => Ok(code),
    }
}

fn media(reader: &Reader<'_>) -> MediaOptions {
    let mut media = MediaOptions::default();
    if let Some(codecs) = reader.noted(reader.words::<Codec>("codecs")) {
        media.codecs = codecs;
    }
    if media.codecs.is_empty() {
        let why = "it is empty; name some of opus, g722, pcmu and pcma";
        reader.noted::<()>(Err(reader.wrong("codecs", why)));
    }
    media.srtp = reader.noted(reader.parse("srtp")).unwrap_or_default();
    media.srtp_suites = reader.noted(reader.words::<SrtpSuite>("srtp_suites")).unwrap_or_default();
    media.ice = reader.noted(reader.parse("ice")).unwrap_or_default();
    media.rtcp_mux = reader.noted(reader.flag("rtcp_mux")).unwrap_or(true);
    media.comfort_noise = reader.noted(reader.flag("vad")).unwrap_or(false);
    for wish in reader.noted(reader.words::<OpusWish>("opus")).unwrap_or_default() {
        wish.apply(&mut media.opus, &mut media.opus_encoder);
    }
    if let Some(time) = reader.noted(reader.whole("packet_time", 10..=120, "20")) {
        if !time.is_multiple_of(10) {
            reader.noted::<()>(Err(reader.wrong("packet_time", "give a multiple of 10 from 10 to 120, such as 20")));
        }
        media.packet_time = Duration::from_millis(u64::from(time));
    }
    media
}

fn on_call(reader: &Reader<'_>) -> OnCall {
    let ring = reader.noted(reader.seconds("ring", 0.0..=180.0, "3")).unwrap_or_default();
    let status = reader.noted(reader.whole("reject_status", 400..=699, "486"));
    match reader.noted(reader.text("on_call")).as_deref() {
        None | Some("ring") => OnCall::Ring,
        Some("answer") => OnCall::Answer(ring),
        Some("reject") => OnCall::Reject(status.and_then(|status| u16::try_from(status).ok()).unwrap_or(486)),
        Some(_) => {
            reader.noted::<()>(Err(reader.wrong("on_call", "write ring, answer or reject")));
            OnCall::Ring
        }
    }
}
