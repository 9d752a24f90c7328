//! How a command ends.

use crate::call::record::{EndedBy, Record, Status};
use std::process::ExitCode;

/// Exit codes, stable for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Failed for a reason without a code of its own.
    Failed = 1,
    /// The command line is wrong (clap's code too).
    Usage = 2,
    /// The far end refused.
    Rejected = 3,
    /// The credentials were refused.
    Unauthorised = 4,
    /// No answer in time, or nobody there.
    Unreachable = 5,
    /// Busy or declined.
    Declined = 6,
    /// No usable media, or worse than asked for.
    Media = 7,
    /// A setting cannot be used.
    Configuration = 8,
    /// A threshold of a bench does not hold.
    Threshold = 99,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

impl Exit {
    /// How the call of this record ended, seen from the one who made it.
    pub fn of_call(record: &Record) -> Self {
        match (record.status, record.sip_code) {
            (Status::Completed, _) => Exit::Ok,
            (Status::Busy | Status::Declined, _) => Exit::Declined,
            (Status::NoAnswer | Status::Missed, _) => Exit::Unreachable,
            (Status::Failed, Some(401 | 403 | 407)) => Exit::Unauthorised,
            // A code that no response brought stands for a time-out or a broken transport (RFC 3261 section 8.1.3.1).
            (Status::Failed, _) if record.ended_by == Some(EndedBy::Network) => Exit::Unreachable,
            (Status::Failed, None | Some(408)) => Exit::Unreachable,
            // The far end accepted, or we refused its description: what did not fit is media.
            (Status::Failed, Some(200..300)) => Exit::Media,
            (Status::Failed, Some(_)) => Exit::Rejected,
            (Status::Canceled | Status::Interrupted | Status::InProgress, _) => Exit::Failed,
        }
    }
}
