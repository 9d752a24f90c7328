//! What happens in a call beside its signalling.

use crate::audio::{Levels, Recording, Way};
use serde::Serialize;
use std::path::PathBuf;

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The source came to its end; silence follows.
    SourceEnded,
    /// What was played into the call came to its end.
    PlayEnded,
    /// A device or the recording does not work.
    Trouble,
    /// The call moves to another address of ours: the network changed, or the user wants it.
    Moved,
    /// All queued digits were sent up to this one.
    DtmfSent,
}

/// What happens with the sound devices of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Sound {
    /// A device is in use.
    Opened {
        /// Which way.
        way: Way,
        /// What the system calls it.
        name: String,
    },
    /// A device could not be opened, or went away; silence until another is there.
    Lost {
        /// Which way.
        way: Way,
        /// A sentence.
        why: String,
    },
    /// How loud it is, five times a second where that was asked for.
    Levels(Levels),
}

/// A recording that is complete.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recorded {
    /// Where it is.
    pub path: PathBuf,
    /// How long it is.
    pub seconds: f64,
    /// SHA-256 of the file, in hexadecimal digits.
    pub sha256: Option<String>,
    /// Frames that a slow disk cost.
    pub dropped_frames: u64,
    /// A crash of an earlier process had cut it off.
    pub repaired: bool,
    /// What ended it early, or left it as it was.
    pub error: Option<String>,
}

impl Recorded {
    /// Of a recording that has a file.
    pub(crate) fn of(recording: &Recording) -> Option<Self> {
        Some(Self {
            path: recording.path.clone()?,
            seconds: recording.seconds(),
            sha256: recording.digest.clone(),
            dropped_frames: recording.dropped,
            repaired: recording.repaired,
            error: recording.error.as_ref().map(ToString::to_string),
        })
    }
}
