//! Which account a command means, with its flags as the highest layer.

use super::draft::{Draft, Over};
use super::layer::{Origin, Place, Setting};
use super::{AccountFlags, ConfigError, Environment, MediaFlags, Process, Profile};
use crate::sip::agent::Realms;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use toml::Value;

/// What an account is called that only flags describe.
const UNNAMED: &str = "command-line";

impl AccountFlags {
    /// The account that is meant: `--account`, the one that `--aor` describes, the default one or the only one of the
    /// configuration. None when nothing says one.
    ///
    /// # Errors
    /// When a setting cannot be used, or several accounts could be meant.
    pub fn profile(&self, media: &MediaFlags, environment: &Environment) -> Result<Option<Profile>, ConfigError> {
        let mut draft = self.draft(environment)?;
        let Some(name) = self.name(&draft)? else { return Ok(None) };
        self.overlay(&mut draft, &name, media)?;
        Ok(Some(self.complete(draft.profile(&name)?)))
    }

    /// The account that is meant, or one at our own address for calls without a registrar.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn profile_or_local(&self, media: &MediaFlags, environment: &Environment) -> Result<Profile, ConfigError> {
        if let Some(profile) = self.profile(media, environment)? {
            return Ok(profile);
        }
        let mut draft = self.draft(environment)?;
        let known = draft.process()?.ips.into_iter().find(|ip| !ip.is_unspecified());
        let ip = known.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        let place = Place::Account(UNNAMED.into());
        let aor = Value::from(format!("sip:sidetone@{host}"));
        draft.layers.add(place, "aor", Setting { value: aor, origin: Origin::Default })?;
        self.overlay(&mut draft, UNNAMED, media)?;
        let mut profile = self.complete(draft.profile(UNNAMED)?);
        if profile.account.realms == Realms::Own {
            // It has no servers of its own.
            profile.account.realms = Realms::Called;
        }
        Ok(profile)
    }

    /// What all accounts share; `more` are the flags of `[phone]` beside those of the account.
    ///
    /// # Errors
    /// When one of its values cannot be used.
    pub fn process(&self, environment: &Environment, more: Vec<Over>) -> Result<Process, ConfigError> {
        let mut draft = self.draft(environment)?;
        draft.over(more)?;
        draft.process()
    }

    /// File, environment, and the flags of what all accounts share.
    fn draft<'a>(&self, environment: &'a Environment) -> Result<Draft<'a>, ConfigError> {
        let mut draft = Draft::gather(self.config.as_deref(), environment)?;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        let flags = [
            Over::new("bind", "--bind", self.bind.clone()),
            Over::new("dns_server", "--dns-server", self.dns_server.clone()),
            Over::new("public_address", "--public-address", self.public_address.clone()),
            Over::new("stun", "--stun", self.stun.clone()),
            Over::new("tls_ca", "--tls-ca", path(&self.tls_ca)),
            Over::new("tls_cert", "--tls-cert", path(&self.tls_cert)),
            Over::new("tls_key", "--tls-key", path(&self.tls_key)),
            Over::new("tls_insecure", "--tls-insecure", self.tls_insecure.then_some(true)),
        ];
        draft.over(flags.into())?;
        Ok(draft)
    }

    fn name(&self, draft: &Draft<'_>) -> Result<Option<String>, ConfigError> {
        match (&self.account, &self.aor) {
            (Some(name), _) => Ok(Some(name.clone())),
            (None, Some(_)) => Ok(Some(UNNAMED.to_owned())),
            (None, None) => match draft.default_account()? {
                None if draft.accounts().len() > 1 => Err(ConfigError::WhichAccount(draft.accounts())),
                name => Ok(name),
            },
        }
    }

    /// Lays the flags over the account.
    fn overlay(&self, draft: &mut Draft<'_>, name: &str, media: &MediaFlags) -> Result<(), ConfigError> {
        let place = Place::Account(name.to_owned());
        // Its first line: what is behind it is the user's own note.
        let first_line = |path: &PathBuf| match std::fs::read_to_string(path) {
            Ok(text) => Ok(text.lines().next().unwrap_or_default().to_owned()),
            Err(source) => Err(ConfigError::PasswordFile { path: path.clone(), source }),
        };
        let password = self.password_file.as_ref().map(first_line).transpose()?;
        let flags = [
            ("aor", "--aor", self.aor.clone()),
            ("preset", "--preset", self.preset.clone()),
            ("registrar", "--registrar", self.registrar.clone()),
            ("auth_user", "--auth-user", self.auth_user.clone()),
            ("password", "--password-file", password),
            ("transport", "--transport", self.transport.clone()),
            ("expires", "--expires", self.expires.map(|seconds| seconds.to_string())),
            ("display_name", "--display-name", self.display_name.clone()),
            ("codecs", "--codec", media.codec.clone()),
            ("srtp", "--srtp", media.srtp.clone()),
            ("srtp_suites", "--srtp-suites", media.srtp_suites.clone()),
            ("ice", "--ice", media.ice.clone()),
            ("packet_time", "--packet-time", media.packet_time.map(|time| time.to_string())),
            ("opus", "--opus", media.opus.clone()),
            ("vad", "--vad", media.vad.then(|| "true".to_owned())),
        ];
        // An account has to be in the configuration, unless the flags are all of it.
        if self.aor.is_none() {
            draft.known(name)?;
        }
        for (key, flag, value) in flags {
            add(draft, place.clone(), key, flag, value)?;
        }
        let list = |values: &[String]| (!values.is_empty()).then(|| Value::from(values.to_vec()));
        let more = [
            ("outbound_proxy", "--outbound-proxy", list(&self.outbound_proxy)),
            ("routes", "--route", list(&self.route)),
            ("rtcp_mux", "--no-rtcp-mux", media.no_rtcp_mux.then(|| Value::from(false))),
            ("failover", "--failover", self.failover.map(Value::from)),
            ("realms", "--realm", list(&self.trust.realm)),
            ("digest", "--digest", self.trust.digest.clone().map(Value::from)),
            ("sources", "--allow", list(&self.trust.allow)),
        ];
        for (key, flag, value) in more.into_iter().chain(media.policy.settings()).chain(media.sound.settings()) {
            add(draft, place.clone(), key, flag, value)?;
        }
        Ok(())
    }

    /// What flags say in a form of their own.
    fn complete(&self, mut profile: Profile) -> Profile {
        // Who is described by flags alone has no name that anybody gave it.
        profile.account.name = profile.account.name.filter(|name| name != UNNAMED);
        profile
    }
}

fn add(
    draft: &mut Draft<'_>,
    place: Place,
    key: &str,
    flag: &'static str,
    value: Option<impl Into<Value>>,
) -> Result<(), ConfigError> {
    match value {
        Some(value) => draft.layers.add(place, key, Setting { value: value.into(), origin: Origin::Flag(flag) }),
        None => Ok(()),
    }
}
