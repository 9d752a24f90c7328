//! What is wrong with a setting.

use super::PASSWORD;
use crate::audio::WavError;
use crate::media::dtmf::UnknownDigit;
use crate::sip::uri::UriError;
use std::path::PathBuf;

/// A setting that cannot be used. The text names the value and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Several at once, each on a line of its own.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<ConfigError>),
    /// A sound device that is not there.
    #[error(transparent)]
    Device(#[from] crate::audio::NoDevice),
    /// A value that means nothing where it stands.
    #[error("{what}: {why}")]
    Value {
        /// Its line, in a file.
        line: Option<usize>,
        /// Where it stands, and what it is.
        what: String,
        /// What is wrong, and what would do.
        why: String,
    },
    /// A key that nobody knows.
    #[error("{at}: unknown key {key}{}", nearest.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
    UnknownKey {
        /// Its line, in a file.
        line: Option<usize>,
        /// Where it stands.
        at: String,
        /// The key.
        key: String,
        /// What it is most like.
        nearest: Option<String>,
    },
    /// A file that is no TOML.
    #[error("{at}: {why}")]
    Syntax {
        /// Its line.
        line: Option<usize>,
        /// Where.
        at: String,
        /// What is wrong.
        why: String,
    },
    /// A file that cannot be read.
    #[error("{}: {source}; check the path and its rights", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// An environment variable that is no text.
    #[error("{0} is not valid UTF-8; set it again")]
    Encoding(String),
    /// No account of that name.
    #[error("there is no account {name}{}{}",
        nearest.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default(),
        if known.is_empty() { "; write [account.NAME] into the configuration file, or give --aor".to_owned() }
        else { format!("; there are {}", known.join(", ")) })]
    NoSuchAccount {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
        /// What it is most like.
        nearest: Option<String>,
    },
    /// Several accounts, and none is named.
    #[error("which account? give --account with one of {}, or set default_account", .0.join(", "))]
    WhichAccount(Vec<String>),
    /// An account that does not register is to be registered.
    #[error("account {0} does not register (register = false); set register = true if its carrier takes REGISTER")]
    NotRegistering(String),
    /// Nothing to run.
    #[error("the configuration has no account; write [account.NAME] with an aor into {0}")]
    NoAccounts(String),
    /// Two accounts of one address, and nothing that tells for which of them a call is.
    #[error(
        "accounts {one} and {other} are both {aor}, and calls for them cannot be told apart; let both register, \
        give each other sources, or make one account of them"
    )]
    SameAddress {
        /// The address.
        aor: String,
        /// One.
        one: String,
        /// The other.
        other: String,
    },
    /// A header field that cannot be sent.
    #[error("\"{text}\" is no header field: {why}")]
    Header {
        /// As it was written.
        text: String,
        /// What is wrong.
        why: &'static str,
    },
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
    /// The collector that was named has no address.
    #[error("--hep {name}: {reason}; give the address of a HEP3 collector as host or host:port")]
    Collector {
        /// The collector.
        name: String,
        /// Why not.
        reason: String,
    },
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

impl ConfigError {
    /// One error of several; `None` of none.
    pub(super) fn of(mut errors: Vec<ConfigError>) -> Option<Self> {
        errors.sort_by_key(|error| error.place().0.unwrap_or(usize::MAX));
        match errors.len() {
            0 | 1 => errors.pop(),
            _ => Some(ConfigError::Several(errors)),
        }
    }

    /// Each error by itself.
    pub(super) fn each(self) -> Vec<ConfigError> {
        match self {
            ConfigError::Several(errors) => errors.into_iter().flat_map(ConfigError::each).collect(),
            one => vec![one],
        }
    }

    /// The line of the file, and what is wrong there: one wrong line of `[defaults]` is wrong for every account.
    pub(super) fn place(&self) -> (Option<usize>, String) {
        match self {
            ConfigError::Value { line, why, .. } if line.is_some() => (*line, why.clone()),
            ConfigError::UnknownKey { line, .. } | ConfigError::Syntax { line, .. } => (*line, self.to_string()),
            _ => (None, self.to_string()),
        }
    }
}
