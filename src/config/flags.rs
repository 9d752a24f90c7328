//! The flags of accounts and media.

use super::trust::TrustFlags;
use super::value::{address, seconds};
use super::{ConfigError, Environment, PASSWORD};
use crate::call::MediaOptions;
use crate::media::plan::Codec;
use crate::net::{BindConfig, TlsSettings};
use crate::phone::{Account, Settings};
use crate::sip::agent::Realms;
use crate::sip::hop::Transport;
use crate::sip::uri::{Host, SipUri, Uri};
use crate::store;
use crate::time::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// The port of name servers (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;

/// Who we are: the flags that every verb with an account has.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AccountFlags {
    /// Address of record of the account, as sip:user@host
    #[arg(long, value_name = "URI")]
    pub aor: Option<String>,
    /// Where REGISTER goes; the host of the address of record when absent
    #[arg(long, value_name = "HOST[:PORT]")]
    pub registrar: Option<String>,
    /// User name for digest authentication; the user part of the address of record when absent
    #[arg(long, value_name = "NAME")]
    pub auth_user: Option<String>,
    /// File whose first line is the password; otherwise SIDETONE_PASSWORD is used
    #[arg(long, value_name = "PATH")]
    pub password_file: Option<PathBuf>,
    /// udp, tcp or tls
    #[arg(long, value_name = "TRANSPORT")]
    pub transport: Option<String>,
    /// Proxy that every request outside a dialog is sent through; given again, the next one to try when it fails
    #[arg(long, value_name = "HOST[:PORT]")]
    pub outbound_proxy: Vec<String>,
    /// Another Route entry behind the proxy; may be given again
    #[arg(long, value_name = "URI")]
    pub route: Vec<String>,
    /// How long a server may be silent before the next one is tried [default: 4]
    #[arg(long, value_name = "SECONDS")]
    pub failover: Option<f64>,
    /// Lifetime to ask the registrar for, seconds
    #[arg(long, value_name = "SECONDS")]
    pub expires: Option<u32>,
    /// Display name
    #[arg(long, value_name = "NAME")]
    pub display_name: Option<String>,
    /// Local addresses for SIP, separated by commas: every interface, IPv4 and IPv6, and any port when absent; TLS has
    /// the port above
    #[arg(long, value_name = "IP[:PORT]")]
    pub bind: Option<String>,
    /// PEM file of certificate authorities to trust for TLS beside those of the system
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// PEM file of our certificate and its chain; with it, TLS connections are taken too
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the key of our certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Takes any certificate: whoever is on the way can listen. For tests only
    #[arg(long)]
    pub tls_insecure: bool,
    /// Name server to ask instead of the system's
    #[arg(long, value_name = "IP[:PORT]")]
    pub dns_server: Option<String>,
    /// Whom the account trusts.
    #[command(flatten)]
    pub trust: TrustFlags,
}

/// What calls may use.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct MediaFlags {
    /// Codecs in order of preference
    #[arg(long, value_name = "LIST", default_value = "opus,pcmu,pcma")]
    pub codec: String,
    /// Encryption of media: off, optional or required
    #[arg(long, value_name = "POLICY", default_value = "off")]
    pub srtp: String,
}

impl AccountFlags {
    /// The account, if an address of record was given.
    ///
    /// # Errors
    /// When one of the flags cannot be used.
    pub fn account(&self, environment: Environment<'_>) -> Result<Option<Account>, ConfigError> {
        let transport = self.transport.as_deref().map(Transport::from_str).transpose()?;
        let Some(aor) = &self.aor else { return Ok(None) };
        let aor = address("--aor", aor, "sip:user@host")?;
        if aor.user().is_none_or(|user| user.is_empty()) {
            return Err(ConfigError::NoUser(aor.to_string()));
        }
        if aor.sip().is_some_and(|sip| sip.password.is_some()) {
            return Err(ConfigError::PasswordInAddress);
        }
        let mut account = Account::new(aor);
        account.display.clone_from(&self.display_name);
        account.auth_user.clone_from(&self.auth_user);
        account.password = self.password(environment)?.map(Into::into);
        account.transport = transport;
        let server = |flag, value: &Option<String>| {
            value.as_deref().map(|value| address(flag, value, "host or host:port")).transpose()
        };
        account.registrar = server("--registrar", &self.registrar)?;
        self.ways(&mut account)?;
        if let Some(expires) = self.expires {
            account.expires = Duration::from_secs(u64::from(expires));
        }
        self.trust.apply(&mut account)?;
        Ok(Some(account))
    }

    /// An account for calls without a registrar: the address of record, or one at our own address.
    ///
    /// # Errors
    /// When one of the flags cannot be used.
    pub fn account_or_local(&self, environment: Environment<'_>) -> Result<Account, ConfigError> {
        if let Some(account) = self.account(environment)? {
            return Ok(account);
        }
        let (ips, _) = self.local()?;
        let known = ips.iter().copied().find(|ip| !ip.is_unspecified());
        let ip = known.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut account = Account::new(Uri::Sip(SipUri::new(Some("sidetone"), Host::from(ip), None)));
        account.password = self.password(environment)?.map(Into::into);
        account.auth_user.clone_from(&self.auth_user);
        account.display.clone_from(&self.display_name);
        account.transport = self.transport.as_deref().map(Transport::from_str).transpose()?;
        account.realms = Realms::Called;
        self.trust.apply(&mut account)?;
        self.ways(&mut account)?;
        Ok(account)
    }

    /// Proxies, routes, and how long a silent one is waited for.
    fn ways(&self, account: &mut Account) -> Result<(), ConfigError> {
        let all = |flag, values: &[String], example| {
            values.iter().map(|value| address(flag, value, example)).collect::<Result<Vec<_>, _>>()
        };
        account.outbound_proxies = all("--outbound-proxy", &self.outbound_proxy, "host or host:port")?;
        account.routes = all("--route", &self.route, "sip:host or sip:host:port")?;
        if let Some(limit) = seconds("--failover", self.failover)? {
            account.failover = Some(limit);
        }
        Ok(())
    }

    /// Settings of a phone with these accounts.
    ///
    /// # Errors
    /// When `--bind` or `--dns-server` cannot be used.
    pub fn settings(&self, accounts: Vec<Account>, database: Option<PathBuf>) -> Result<Settings, ConfigError> {
        let (ips, port) = self.local()?;
        let database = Some(database.unwrap_or_else(store::default_path));
        let dns_server = self.dns_server()?;
        let (port, tls) = (Some(port.unwrap_or(0)), self.tls());
        Ok(Settings { ips, port, accounts, tls, database, dns_server, ..Settings::default() })
    }

    /// The addresses of `--bind`, and the port if one names it; every interface when absent.
    ///
    /// # Errors
    /// When one is no address, or they name different ports.
    pub fn local(&self) -> Result<(Vec<IpAddr>, Option<u16>), ConfigError> {
        let Some(bind) = &self.bind else { return Ok((BindConfig::everywhere(None).ips, None)) };
        let wrong = || ConfigError::Bind(bind.clone());
        let (mut ips, mut port) = (Vec::new(), None);
        for one in bind.split(',').map(str::trim) {
            let (ip, named) = ip_and_port(one).ok_or_else(wrong)?;
            if named.is_some() && port.is_some() && named != port {
                return Err(wrong());
            }
            port = port.or(named);
            ips.push(ip);
        }
        Ok((ips, port))
    }

    /// Certificates and keys.
    pub fn tls(&self) -> TlsSettings {
        TlsSettings {
            ca: self.tls_ca.clone(),
            cert: self.tls_cert.clone(),
            key: self.tls_key.clone(),
            insecure: self.tls_insecure,
            domains: Vec::new(),
        }
    }

    /// The name server of `--dns-server`, on the port of DNS if it names none.
    ///
    /// # Errors
    /// When it is no address.
    pub fn dns_server(&self) -> Result<Option<SocketAddr>, ConfigError> {
        let Some(server) = &self.dns_server else { return Ok(None) };
        let (ip, port) = ip_and_port(server).ok_or_else(|| ConfigError::DnsServer(server.clone()))?;
        Ok(Some(SocketAddr::new(ip, port.unwrap_or(DNS_PORT))))
    }

    fn password(&self, environment: Environment<'_>) -> Result<Option<String>, ConfigError> {
        if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::PasswordFile { path: path.clone(), source })?;
            return Ok(Some(text.lines().next().unwrap_or_default().to_owned()));
        }
        match environment(PASSWORD) {
            Some(password) => password.into_string().map(Some).map_err(|_| ConfigError::PasswordEncoding),
            None => Ok(None),
        }
    }
}

impl MediaFlags {
    /// What calls may use.
    ///
    /// # Errors
    /// When a codec or the SRTP policy is unknown.
    pub fn options(&self) -> Result<MediaOptions, ConfigError> {
        let mut codecs = Vec::new();
        for name in self.codec.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let codec: Codec = name.parse()?;
            if !codecs.contains(&codec) {
                codecs.push(codec);
            }
        }
        if codecs.is_empty() {
            return Err(ConfigError::NoCodec);
        }
        Ok(MediaOptions { codecs, srtp: self.srtp.parse()?, ..MediaOptions::default() })
    }
}

/// An address with or without a port.
fn ip_and_port(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    Some((bare.parse().ok()?, None))
}
