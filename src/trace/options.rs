//! How much is recorded, and where it is kept.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// How much a flight recorder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages and notes of one call or registration.
    pub entries: usize,
    /// Octets of one call or registration.
    pub octets: usize,
    /// Octets of everything that is in memory.
    pub total_octets: usize,
    /// Calls that are kept on disk; as many registrations beside them.
    pub kept: usize,
    /// Octets that are kept on disk.
    pub kept_octets: u64,
}

impl Default for Limits {
    /// A call of an hour with session timers has less than 100 messages, and RTCP brings two notes every five seconds.
    fn default() -> Self {
        Self {
            entries: 512,
            octets: 256 * 1024,
            total_octets: 32 * 1024 * 1024,
            kept: 500,
            kept_octets: 64 * 1024 * 1024,
        }
    }
}

/// How the flight recorder is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Where traces are written; `None` records nothing.
    pub directory: Option<PathBuf>,
    /// Keep credentials and media keys; otherwise they never leave the process.
    pub secrets: bool,
    /// How much is held.
    pub limits: Limits,
    /// A HEP3 collector that gets every message as it goes by.
    pub hep: Option<Collector>,
}

/// Where HEP3 goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// The collector's UDP address.
    pub address: SocketAddr,
    /// Our capture agent id.
    pub id: u32,
    /// Sent along as the authentication key, if the collector wants one.
    pub key: Option<String>,
}

/// Where the traces of the calls in `database` are: beside it, as `NAME.traces`.
pub fn directory_of(database: &Path) -> PathBuf {
    database.with_extension("traces")
}
