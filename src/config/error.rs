//! What is wrong with a setting.

use super::PASSWORD;
use crate::audio::WavError;
use crate::call::negotiate::UnknownSrtpPolicy;
use crate::media::dtmf::UnknownDigit;
use crate::media::plan::UnknownCodec;
use crate::sip::agent::NotNetwork;
use crate::sip::hop::UnknownTransport;
use crate::sip::uri::UriError;
use std::path::PathBuf;

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
    #[error(
        "--bind {0} is no address; write it as IP, IP:PORT or [IPv6]:PORT, several separated by commas with one port"
    )]
    Bind(String),
    /// The name server.
    #[error("--dns-server {0} is no address; write it as IP, IP:PORT or [IPv6]:PORT")]
    DnsServer(String),
    /// A network that may call.
    #[error("--allow: {0}, or any")]
    Allow(NotNetwork),
    /// A digest algorithm.
    #[error("--digest {0} is unknown; give md5, sha-256 or sha-512-256")]
    Digest(String),
    /// The file of callers.
    #[error("--challenge-callers {}: {why}; write one user:password a line", path.display())]
    Callers {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        why: String,
    },
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
