//! From what the user typed and set to settings that hold no bad value; nothing is checked anywhere else.

use crate::audio::{Sink, Source, WavError};
use crate::call::MediaOptions;
use crate::call::negotiate::UnknownSrtpPolicy;
use crate::media::dtmf::{Digit, UnknownDigit};
use crate::media::plan::{Codec, UnknownCodec};
use crate::phone::{Account, Settings};
use crate::sip::hop::{Transport, UnknownTransport};
use crate::sip::uri::{Host, SipUri, Uri, UriError};
use crate::store;
use crate::time::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The environment variable with the password.
pub const PASSWORD: &str = "SIDETONE_PASSWORD";

/// A setting that cannot be used. The text names the value and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No SIP address.
    #[error("{flag}: {source}; write it as {example}")]
    Address {
        /// Which flag.
        flag: &'static str,
        /// What is wrong.
        source: UriError,
        /// How it looks.
        example: &'static str,
    },
    /// An address of record without a user.
    #[error("--aor {0} has no user part; write it as sip:user@host")]
    NoUser(String),
    /// A password on the command line, where every user of the machine can read it; it is not repeated here.
    #[error("--aor holds a password; take it out and set {PASSWORD}, or use --password-file")]
    PasswordInAddress,
    /// An account is needed.
    #[error("{0} needs an account; give --aor sip:user@host, or --no-register")]
    NoAccount(&'static str),
    /// The target is no address, and no domain completes it.
    #[error("\"{0}\" is no SIP address; write sip:user@host, or give --aor so that its domain completes the target")]
    NoDomain(String),
    /// The password file.
    #[error("--password-file {}: {source}; name a file that holds the password on its first line", path.display())]
    PasswordFile {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The password in the environment.
    #[error("{PASSWORD} is not valid UTF-8; set it again, or use --password-file")]
    PasswordEncoding,
    /// The local address.
    #[error("--bind {0} is no address; write it as IP, IP:PORT or [IPv6]:PORT")]
    Bind(String),
    /// A transport.
    #[error("--transport: {0}")]
    Transport(#[from] UnknownTransport),
    /// A codec.
    #[error("--codec: {0}")]
    Codec(#[from] UnknownCodec),
    /// No codec at all.
    #[error("--codec is empty; name some of opus, pcmu and pcma, separated by commas")]
    NoCodec,
    /// An SRTP policy.
    #[error("--srtp: {0}")]
    Srtp(#[from] UnknownSrtpPolicy),
    /// DTMF digits.
    #[error("--dtmf: {0}")]
    Dtmf(#[from] UnknownDigit),
    /// The file to play.
    #[error("--source: {0}")]
    Source(#[from] WavError),
    /// A duration.
    #[error("{flag} {value} is no time; give seconds above 0, such as 2.5")]
    Seconds {
        /// Which flag.
        flag: &'static str,
        /// What was given.
        value: f64,
    },
    /// A MOS.
    #[error("--min-mos {0} is no opinion score; give a number from 1 to 4.5")]
    MinMos(f64),
    /// A status that refuses nothing.
    #[error("--reject {0} is no SIP status that refuses a call; give one from 400 to 699, such as 486")]
    Reject(u16),
    /// A path that is needed for recording.
    #[error("--record {}: {source}", path.display())]
    Record {
        /// Where the recording should go.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

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
    /// Proxy that every request outside a dialog is sent through
    #[arg(long, value_name = "HOST[:PORT]")]
    pub outbound_proxy: Option<String>,
    /// Lifetime to ask the registrar for, seconds
    #[arg(long, value_name = "SECONDS")]
    pub expires: Option<u32>,
    /// Display name
    #[arg(long, value_name = "NAME")]
    pub display_name: Option<String>,
    /// Local address for SIP: every interface and any port when absent
    #[arg(long, value_name = "IP[:PORT]")]
    pub bind: Option<String>,
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

/// The environment as far as it matters, an argument so that tests need not touch it.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<std::ffi::OsString>;

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
        account.outbound_proxy = server("--outbound-proxy", &self.outbound_proxy)?;
        if let Some(expires) = self.expires {
            account.expires = Duration::from_secs(u64::from(expires));
        }
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
        let (ip, _) = self.local()?;
        let ip = if ip.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip };
        let mut account = Account::new(Uri::Sip(SipUri::new(Some("sidetone"), Host::from(ip), None)));
        account.password = self.password(environment)?.map(Into::into);
        account.auth_user.clone_from(&self.auth_user);
        account.display.clone_from(&self.display_name);
        account.transport = self.transport.as_deref().map(Transport::from_str).transpose()?;
        let proxy = self.outbound_proxy.as_deref();
        account.outbound_proxy =
            proxy.map(|proxy| address("--outbound-proxy", proxy, "host or host:port")).transpose()?;
        Ok(account)
    }

    /// Settings of a phone with these accounts.
    ///
    /// # Errors
    /// When `--bind` cannot be used.
    pub fn settings(&self, accounts: Vec<Account>, database: Option<PathBuf>) -> Result<Settings, ConfigError> {
        let (ip, port) = self.local()?;
        let database = Some(database.unwrap_or_else(store::default_path));
        Ok(Settings { ip, port: Some(port.unwrap_or(0)), accounts, database, ..Settings::default() })
    }

    /// The address of `--bind`, and the port if it names one.
    ///
    /// # Errors
    /// When it is no address.
    pub fn local(&self) -> Result<(IpAddr, Option<u16>), ConfigError> {
        let Some(bind) = &self.bind else { return Ok((IpAddr::V4(Ipv4Addr::UNSPECIFIED), None)) };
        if let Ok(address) = bind.parse::<SocketAddr>() {
            return Ok((address.ip(), Some(address.port())));
        }
        let bare = bind.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(bind);
        bare.parse().map(|ip| (ip, None)).map_err(|_| ConfigError::Bind(bind.clone()))
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

/// The address to call: a SIP URI as it is; an extension or telephone number at the domain of `account`.
///
/// # Errors
/// When it is no address and there is no domain to complete it.
pub fn target(text: &str, account: Option<&Account>) -> Result<Uri, ConfigError> {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("sip:") || lower.starts_with("sips:") || lower.starts_with("tel:") {
        return address("TARGET", text, "sip:user@host");
    }
    if text.contains('@') {
        return address("TARGET", &format!("sip:{text}"), "sip:user@host");
    }
    let domain = account.and_then(|account| account.aor.sip()).ok_or_else(|| ConfigError::NoDomain(text.into()))?;
    let user = dialled(text);
    Ok(Uri::Sip(SipUri::new(Some(&user), domain.host.clone(), domain.port)))
}

/// A telephone number without the marks that humans put into it (RFC 3966 section 5.1.1); anything else as it is.
pub fn dialled(text: &str) -> String {
    let looks_like_a_number = text.chars().all(|character| character.is_ascii_digit() || " +-.()/".contains(character))
        && text.chars().any(|character| character.is_ascii_digit());
    if looks_like_a_number {
        text.chars().filter(|character| character.is_ascii_digit() || *character == '+').collect()
    } else {
        text.to_owned()
    }
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

fn address(flag: &'static str, text: &str, example: &'static str) -> Result<Uri, ConfigError> {
    let lower = text.to_ascii_lowercase();
    let has_scheme = ["sip:", "sips:", "tel:"].iter().any(|scheme| lower.starts_with(scheme));
    let full = if has_scheme { text.to_owned() } else { format!("sip:{text}") };
    full.parse().map_err(|source| ConfigError::Address { flag, source, example })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(aor: &str) -> AccountFlags {
        AccountFlags { aor: Some(aor.into()), ..AccountFlags::default() }
    }

    #[test]
    fn targets_are_completed_by_the_account() {
        let account = flags("sip:alice@example.com:5070").account(&|_| None).unwrap().unwrap();
        let rows = [
            ("sip:bob@192.0.2.1", "sip:bob@192.0.2.1"),
            ("bob@example.org", "sip:bob@example.org"),
            ("100", "sip:100@example.com:5070"),
            ("+1 (555) 010-0001", "sip:+15550100001@example.com:5070"),
            ("echo", "sip:echo@example.com:5070"),
            ("a-b.c", "sip:a-b.c@example.com:5070"),
        ];
        for (text, uri) in rows {
            assert_eq!(target(text, Some(&account)).unwrap().to_string(), uri, "{text}");
        }
        let error = target("100", None).unwrap_err().to_string();
        assert!(error.contains("\"100\"") && error.contains("--aor"), "{error}");
    }

    #[test]
    fn bad_values_are_named_with_their_remedy() {
        let rows = [
            (flags("sip:example.com").account(&|_| None).unwrap_err(), "--aor sip:example.com", "sip:user@host"),
            (
                AccountFlags { transport: Some("sctp".into()), ..flags("sip:a@b") }.account(&|_| None).unwrap_err(),
                "sctp",
                "udp",
            ),
            (
                AccountFlags { bind: Some("nowhere".into()), ..AccountFlags::default() }.local().unwrap_err(),
                "nowhere",
                "IP:PORT",
            ),
            (
                AccountFlags { password_file: Some("/no/such/file".into()), ..flags("sip:a@b") }
                    .account(&|_| None)
                    .unwrap_err(),
                "/no/such/file",
                "first line",
            ),
            (MediaFlags { codec: "g729".into(), srtp: "off".into() }.options().unwrap_err(), "g729", "pcmu"),
            (MediaFlags { codec: "opus".into(), srtp: "maybe".into() }.options().unwrap_err(), "maybe", "required"),
            (digits("12x").unwrap_err(), "x", "0-9"),
            (seconds("--duration", Some(-1.0)).unwrap_err(), "-1", "seconds"),
            (reject(Some(200)).unwrap_err(), "200", "486"),
            (min_mos(Some(5.0)).unwrap_err(), "5", "4.5"),
        ];
        for (error, value, remedy) in rows {
            let text = error.to_string();
            assert!(text.contains(value) && text.contains(remedy), "{text}");
        }
    }

    #[test]
    fn the_password_comes_from_the_file_or_the_environment_and_is_not_shown() {
        let account = flags("sip:a@b").account(&|name| (name == PASSWORD).then(|| "hush".into())).unwrap().unwrap();
        assert!(account.password.is_some());
        assert!(!format!("{account:?}").contains("hush"));
    }
}
