//! What happens in a call beside its signalling.

use crate::audio::{Levels, Way};

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The source came to its end; silence follows.
    SourceEnded,
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
