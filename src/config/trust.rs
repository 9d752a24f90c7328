//! Whom a phone trusts: with its credentials, and with calls to it.

use super::ConfigError;
use crate::phone::Settings;
use crate::sip::agent::{Network, NotNetwork};
use crate::sip::auth::{Algorithm, Credentials};
use crate::sip::guard::{self, Callers, Rate, Strangers};
use std::path::PathBuf;

/// Whose challenges an account answers, and who may call it beside its registrar and proxies.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TrustFlags {
    /// Answers challenges of these realms only; the registrar's and the proxies' own when absent
    #[arg(long, value_name = "REALM")]
    pub realm: Vec<String>,
    /// Weakest digest algorithm that is answered: md5, sha-256 or sha-512-256; md5 when absent
    #[arg(long, value_name = "ALGORITHM")]
    pub digest: Option<String>,
    /// Networks that may call, beside the registrar and the proxies: an address, a prefix, or any
    #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
    pub allow: Vec<String>,
}

/// What callers that nobody vouches for have to do.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CallerFlags {
    /// Asks callers from unknown addresses for a user name and password of this file, one user:password a line
    #[arg(long, value_name = "PATH")]
    pub challenge_callers: Option<PathBuf>,
    /// Requests a second that one unknown address may send; 0 for any number
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub rate_limit: u32,
}

impl TrustFlags {
    fn networks(&self) -> Result<Vec<Network>, ConfigError> {
        networks(&self.allow).map_err(ConfigError::Allow)
    }
}

/// Networks; `any` is all of them.
pub(super) fn networks(texts: &[String]) -> Result<Vec<Network>, NotNetwork> {
    let any = |text: &String| text.eq_ignore_ascii_case("any");
    let texts = texts.iter().flat_map(|text| match any(text) {
        true => vec!["0.0.0.0/0", "::/0"],
        false => vec![text.as_str()],
    });
    texts.map(str::parse).collect()
}

/// The digest algorithm of that name.
pub(super) fn algorithm(name: &str) -> Result<Algorithm, &'static str> {
    match name.to_ascii_lowercase().as_str() {
        "md5" => Ok(Algorithm::Md5),
        "sha-256" => Ok(Algorithm::Sha256),
        "sha-512-256" => Ok(Algorithm::Sha512T256),
        _ => Err("it is unknown; give md5, sha-256 or sha-512-256"),
    }
}

impl CallerFlags {
    /// Puts them into the settings of a phone, which ignores strangers unless it takes calls from anyone.
    ///
    /// # Errors
    /// When the file cannot be read or holds no users.
    pub fn apply(&self, trust: &TrustFlags, settings: &mut Settings) -> Result<(), ConfigError> {
        let allow = trust.networks()?;
        // Who names networks means these; who takes calls from anyone means anyone.
        let strangers = match settings.take_unclaimed && allow.is_empty() {
            true => Strangers::Admit,
            false => Strangers::Ignore,
        };
        let rate = Rate { per_second: self.rate_limit, burst: self.rate_limit.saturating_mul(5) };
        let mut guard = guard::Config { strangers, allow, rate: (self.rate_limit > 0).then_some(rate) };
        if let Some(path) = &self.challenge_callers {
            let fail = |why: String| ConfigError::Callers { path: path.clone(), why };
            let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
            let users = users(&text).map_err(fail)?;
            guard.strangers = Strangers::Challenge(Callers { realm: REALM.into(), users });
        }
        settings.guard = Some(guard);
        Ok(())
    }
}

/// The realm that callers are asked for.
const REALM: &str = "sidetone";

/// `user:password` on each line; empty lines and lines that begin with `#` mean nothing. The error never repeats a
/// password.
fn users(text: &str) -> Result<Vec<Credentials>, String> {
    let mut users = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once(':') {
            Some((user, password)) if !user.is_empty() && !password.is_empty() => {
                users.push(Credentials::new(user, password));
            }
            _ => return Err(format!("line {} is not user:password", number + 1)),
        }
    }
    match users.is_empty() {
        true => Err("it names no users".into()),
        false => Ok(users),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AccountFlags, Environment, MediaFlags};
    use crate::sip::agent::Realms;

    #[test]
    fn users_are_read_and_passwords_not_repeated() {
        let read = users("# who may call\nann:s:ecret\n\nbob:x\r\n").unwrap();
        assert_eq!(read, [Credentials::new("ann", "s:ecret"), Credentials::new("bob", "x")]);
        let error = users("ann:secret\nhunter2\n").unwrap_err();
        assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
        assert!(users("#\n").is_err());
    }

    #[test]
    fn trust_is_put_into_the_account() {
        let account = |trust: TrustFlags| {
            let flags = AccountFlags { aor: Some("sip:a@b".into()), trust, ..AccountFlags::default() };
            let profile = flags.profile(&MediaFlags::default(), &Environment::default());
            profile.map(|profile| profile.unwrap().account)
        };
        let flags =
            TrustFlags { realm: vec!["r".into()], digest: Some("SHA-256".into()), allow: vec!["192.0.2.0/30".into()] };
        let some = account(flags).unwrap();
        assert_eq!((some.realms.clone(), some.digest), (Realms::Named(vec!["r".into()]), Algorithm::Sha256));
        assert!(some.sources[0].contains("192.0.2.3".parse().unwrap()));
        let any = account(TrustFlags { allow: vec!["any".into()], ..TrustFlags::default() }).unwrap();
        assert!(any.sources.iter().any(|network| network.contains("2001:db8::1".parse().unwrap())));
        assert_eq!((any.realms, any.digest), (Realms::Own, Algorithm::Md5));
        for (flags, value) in [
            (TrustFlags { digest: Some("sha1".into()), ..TrustFlags::default() }, "sha1"),
            (TrustFlags { allow: vec!["everyone".into()], ..TrustFlags::default() }, "everyone"),
        ] {
            assert!(account(flags).unwrap_err().to_string().contains(value));
        }
    }

    #[test]
    fn strangers_are_ignored_unless_anyone_may_call() {
        let flags = CallerFlags { challenge_callers: None, rate_limit: 10 };
        let mut settings = Settings::default();
        let of = |flags: &CallerFlags, trust: &TrustFlags, settings: &mut Settings| {
            flags.apply(trust, settings).unwrap();
            settings.guard.clone().unwrap()
        };
        let nobody = TrustFlags::default();
        assert_eq!(of(&flags, &nobody, &mut settings).strangers, Strangers::Ignore);
        settings.take_unclaimed = true;
        let guard = of(&flags, &nobody, &mut settings);
        assert_eq!((guard.strangers, guard.rate), (Strangers::Admit, Some(Rate { per_second: 10, burst: 50 })));
        let some = TrustFlags { allow: vec!["192.0.2.0/24".into()], ..TrustFlags::default() };
        let guard = of(&CallerFlags { rate_limit: 0, ..flags }, &some, &mut settings);
        assert_eq!((guard.strangers, guard.allow.len(), guard.rate), (Strangers::Ignore, 1, None));
    }
}
