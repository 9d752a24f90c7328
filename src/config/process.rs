//! `[phone]`: what all accounts of a process share.

use super::layer::Place;
use super::reader::Reader;
use super::recorder::Recording;
use super::sound;
use super::trust::Guarding;
use super::value::address;
use super::{ConfigError, Environment, Profile, layer::Setting};
use crate::net::{BindConfig, PortRange, TlsSettings, stun};
use crate::phone::{AccountId, Settings, Tones};
use crate::sip::guard;
use crate::store;
use crate::trace;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// The port of name servers (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;

/// Where a phone is and what it needs, whoever its accounts are.
#[derive(Clone, Debug)]
pub struct Process {
    /// Addresses for SIP.
    pub ips: Vec<IpAddr>,
    /// The port, if one is named.
    pub port: Option<u16>,
    dns_server: Option<SocketAddr>,
    public_address: Option<(IpAddr, Option<u16>)>,
    stun: Option<(String, u16)>,
    tls: TlsSettings,
    rtp_ports: Option<PortRange>,
    media_workers: Option<usize>,
    database: Option<PathBuf>,
    take_unclaimed: bool,
    guarding: Guarding,
    recording: Recording,
    tones: Tones,
}

impl Process {
    pub(super) fn read(settings: BTreeMap<String, Setting>, environment: &Environment) -> Result<Self, ConfigError> {
        Self::from(&Reader::new(Place::Phone, settings, environment))
    }

    pub(super) fn from(reader: &Reader<'_>) -> Result<Self, ConfigError> {
        let (ips, port) = reader.noted(bind(reader));
        let tls = TlsSettings {
            ca: reader.noted(reader.path("tls_ca")),
            cert: reader.noted(reader.path("tls_cert")),
            key: reader.noted(reader.path("tls_key")),
            insecure: reader.noted(reader.flag("tls_insecure")).unwrap_or(false),
            domains: Vec::new(),
        };
        if tls.cert.is_some() != tls.key.is_some() {
            let key = if tls.cert.is_some() { "tls_cert" } else { "tls_key" };
            let why = "a certificate needs its key and a key its certificate; give both";
            reader.noted::<()>(Err(reader.wrong(key, why)));
        }
        let workers = reader.noted(reader.whole("media_workers", 1..=256, "2"));
        reader.finish(Self {
            ips,
            port,
            dns_server: reader.noted(dns_server(reader)),
            public_address: reader.noted(public_address(reader)),
            stun: reader.noted(stun_server(reader)),
            tls,
            rtp_ports: reader.noted(rtp_ports(reader)),
            media_workers: workers.map(|workers| workers as usize),
            database: reader.noted(reader.path("database")),
            take_unclaimed: reader.noted(reader.flag("take_unclaimed")).unwrap_or(false),
            guarding: Guarding::read(reader),
            recording: Recording::read(reader),
            tones: sound::tones(reader),
        })
    }

    /// What becomes of requests of strangers; `take_unclaimed`: calls are taken that no account claims.
    pub fn guard(&self, take_unclaimed: bool) -> guard::Config {
        self.guarding.guard(take_unclaimed)
    }

    /// What the flight recorder of a phone with this call log does.
    ///
    /// # Errors
    /// When the HEP collector has no address.
    pub fn recorder(&self, database: Option<&Path>) -> Result<trace::Options, ConfigError> {
        self.recording.options(&self.database(database.map(Path::to_owned)))
    }

    /// Where the call log is: `flag`, what the configuration says, `$SIDETONE_DB`, the user's data directory.
    pub fn database(&self, flag: Option<PathBuf>) -> PathBuf {
        flag.or_else(|| self.database.clone()).unwrap_or_else(store::default_path)
    }

    /// Settings of a phone with these accounts, in this order.
    pub fn settings(&self, profiles: &[Profile], database: Option<PathBuf>) -> Settings {
        let ids = || (0..).map(AccountId);
        Settings {
            ips: self.ips.clone(),
            port: Some(self.port.unwrap_or(0)),
            state: Some(store::state_directory()),
            dns_server: self.dns_server,
            public_address: self.public_address,
            stun: self.stun.clone(),
            accounts: profiles.iter().map(|profile| profile.account.clone()).collect(),
            tls: self.tls.clone(),
            account_media: ids().zip(profiles).map(|(id, profile)| (id, profile.media.clone())).collect(),
            account_conduct: ids().zip(profiles).map(|(id, profile)| (id, profile.conduct)).collect(),
            rtp_ports: self.rtp_ports.clone(),
            media_workers: self.media_workers,
            journal: Some(store::journal_of(&self.database(database.clone()))),
            database: Some(self.database(database)),
            take_unclaimed: self.take_unclaimed,
            tones: self.tones.clone(),
            guard: Some(self.guard(self.take_unclaimed)),
            ..Settings::default()
        }
    }
}

/// The addresses to bind, and the port if one names it; every interface when absent.
fn bind(reader: &Reader<'_>) -> Result<(Vec<IpAddr>, Option<u16>), ConfigError> {
    let Some(text) = reader.word("bind")? else { return Ok((BindConfig::everywhere(None).ips, None)) };
    let why = "it is no address; write it as IP, IP:PORT or [IPv6]:PORT, several separated by commas with one port";
    let wrong = || reader.wrong("bind", why);
    let (mut ips, mut port) = (Vec::new(), None);
    for one in text.split(',').map(str::trim) {
        let (ip, named) = ip_and_port(one).ok_or_else(wrong)?;
        if named.is_some() && port.is_some() && named != port {
            return Err(wrong());
        }
        port = port.or(named);
        ips.push(ip);
    }
    Ok((ips, port))
}

fn dns_server(reader: &Reader<'_>) -> Result<Option<SocketAddr>, ConfigError> {
    let Some(text) = reader.word("dns_server")? else { return Ok(None) };
    let why = "it is no address; write it as IP, IP:PORT or [IPv6]:PORT";
    let (ip, port) = ip_and_port(&text).ok_or_else(|| reader.wrong("dns_server", why))?;
    Ok(Some(SocketAddr::new(ip, port.unwrap_or(DNS_PORT))))
}

/// Our address in the world, and the port if it is not our own.
fn public_address(reader: &Reader<'_>) -> Result<Option<(IpAddr, Option<u16>)>, ConfigError> {
    let Some(text) = reader.word("public_address")? else { return Ok(None) };
    let usable = |(ip, port): &(IpAddr, Option<u16>)| !ip.is_unspecified() && *port != Some(0);
    let why = "it is no address of ours in the world; write it as IP, IP:PORT or [IPv6]:PORT";
    ip_and_port(&text).filter(usable).map(Some).ok_or_else(|| reader.wrong("public_address", why))
}

/// The STUN server, on the port of STUN if it names none.
fn stun_server(reader: &Reader<'_>) -> Result<Option<(String, u16)>, ConfigError> {
    let Some(text) = reader.word("stun")? else { return Ok(None) };
    let found = host_and_port(text.trim_start_matches("stun:"), stun::PORT);
    found.map(Some).ok_or_else(|| reader.wrong("stun", "write it as HOST or HOST:PORT"))
}

/// HOST or HOST:PORT; an IPv6 address without its brackets.
pub(super) fn host_and_port(text: &str, usual: u16) -> Option<(String, u16)> {
    let server = address(text).ok()?;
    let host = server.host()?.to_string();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    Some((bare.to_owned(), server.port().unwrap_or(usual)))
}

fn rtp_ports(reader: &Reader<'_>) -> Result<Option<PortRange>, ConfigError> {
    let Some(text) = reader.word("rtp_ports")? else { return Ok(None) };
    let bounds =
        text.split_once('-').and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)));
    let (first, last) = bounds.ok_or_else(|| reader.wrong("rtp_ports", "write FIRST-LAST, such as 10000-20000"))?;
    PortRange::new(first..=last).map(Some).map_err(|error| reader.wrong("rtp_ports", error))
}

/// An address with or without a port.
fn ip_and_port(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    Some((bare.parse().ok()?, None))
}
