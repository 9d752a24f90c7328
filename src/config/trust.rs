//! Whom a phone trusts: with its credentials, and with calls to it.

use super::draft::Over;
use super::reader::Reader;
use crate::sip::agent::{Network, NotNetwork};
use crate::sip::auth::{Algorithm, Credentials};
use crate::sip::guard::{self, Callers, Rate, Strangers};
use std::path::PathBuf;
use toml::Value;

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
    /// Requests a second that one unknown address may send, 200 when absent; 0 for any number
    #[arg(long, value_name = "N")]
    pub rate_limit: Option<u32>,
}

/// Requests a second of one stranger.
const RATE: u32 = 200;

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
    /// What they, and the networks of `trust`, lay over `[phone]`.
    pub fn over(&self, trust: &TrustFlags) -> Vec<Over> {
        let networks = (!trust.allow.is_empty()).then(|| Value::from(trust.allow.clone()));
        let file = self.challenge_callers.as_ref().map(|path| path.to_string_lossy().into_owned());
        vec![
            Over::new("sources", "--allow", networks),
            Over::new("challenge_callers", "--challenge-callers", file),
            Over::new("rate_limit", "--rate-limit", self.rate_limit.map(i64::from)),
        ]
    }
}

/// What the configuration says of strangers.
#[derive(Clone, Debug)]
pub(super) struct Guarding {
    sources: Vec<Network>,
    rate: u32,
    callers: Option<Vec<Credentials>>,
}

impl Guarding {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let sources = reader.noted(reader.list("sources")).unwrap_or_default();
        let sources = networks(&sources).map_err(|error| reader.wrong("sources", format!("{error}, or any")));
        let callers = reader.noted(reader.path("challenge_callers")).and_then(|path| {
            let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
            let users = text.and_then(|text| users(&text));
            let wrong = |why| reader.wrong("challenge_callers", format!("{why}; write one user:password a line"));
            reader.noted(users.map(Some).map_err(wrong))
        });
        let rate = reader.noted(reader.whole("rate_limit", 0..=1_000_000, "200")).unwrap_or(RATE);
        Self { sources: reader.noted(sources), rate, callers }
    }

    /// What becomes of strangers; `take_unclaimed`: calls are taken that no account claims.
    pub(super) fn guard(&self, take_unclaimed: bool) -> guard::Config {
        let strangers = match &self.callers {
            Some(users) => Strangers::Challenge(Callers { realm: REALM.into(), users: users.clone() }),
            // Who names networks means these; who takes calls from anyone means anyone.
            None if take_unclaimed && self.sources.is_empty() => Strangers::Admit,
            None => Strangers::Ignore,
        };
        let rate = Rate { per_second: self.rate, burst: self.rate.saturating_mul(5) };
        guard::Config { strangers, allow: self.sources.clone(), rate: (self.rate > 0).then_some(rate) }
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
    use crate::config::{AccountFlags, Draft, Environment, MediaFlags};
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
        let directory = tempfile::tempdir().unwrap();
        let (path, callers) = (directory.path().join("config.toml"), directory.path().join("callers"));
        std::fs::write(&callers, "ann:secret\n").unwrap();
        let guard = |text: &str, flags: &CallerFlags, trust: &TrustFlags, unclaimed: bool| {
            std::fs::write(&path, format!("[phone]\n{text}")).unwrap();
            let environment = Environment::default();
            let mut draft = Draft::gather(Some(&path), &environment).unwrap();
            draft.over(flags.over(trust)).unwrap();
            draft.process().map(|process| process.guard(unclaimed)).map_err(|error| error.to_string())
        };
        let (no, nobody) = (CallerFlags::default(), TrustFlags::default());
        let usual = guard("", &no, &nobody, false).unwrap();
        assert_eq!((usual.strangers, usual.rate), (Strangers::Ignore, Some(Rate { per_second: 200, burst: 1_000 })));
        let open = guard("rate_limit = 10\n", &no, &nobody, true).unwrap();
        assert_eq!((open.strangers, open.rate), (Strangers::Admit, Some(Rate { per_second: 10, burst: 50 })));
        let some = TrustFlags { allow: vec!["192.0.2.0/24".into()], ..TrustFlags::default() };
        let flags = CallerFlags { rate_limit: Some(0), ..CallerFlags::default() };
        let named = guard("rate_limit = 10\nsources = [\"any\"]\n", &flags, &some, true).unwrap();
        assert_eq!(
            (named.strangers, named.allow.len(), named.rate),
            (Strangers::Ignore, 1, None),
            "flags over the file"
        );
        let file = format!("challenge_callers = \"{}\"\nsources = [\"198.51.100.0/24\"]\n", callers.display());
        let asked = guard(&file, &no, &nobody, false).unwrap();
        assert!(matches!(asked.strangers, Strangers::Challenge(callers) if callers.users.len() == 1));
        for (text, value, remedy) in [
            ("challenge_callers = \"/no/such\"\n", "phone.challenge_callers = \"/no/such\"", "user:password"),
            ("sources = [\"everyone\"]\n", "everyone", "or any"),
            ("rate_limit = -1\n", "rate_limit = -1", "such as 200"),
        ] {
            let error = guard(text, &no, &nobody, false).unwrap_err();
            assert!(error.contains(":2: ") && error.contains(value) && error.contains(remedy), "{error}");
        }
    }
}
