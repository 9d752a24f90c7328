//! The flight recorder: what was said on the wire and in the media of each call and registration, for whoever asks why.
//!
//! ```text
//!  driver ──message, note──▶ Recorder (rings in memory) ──ended──▶ Keeper (a thread) ──▶ DIRECTORY/*.trace
//!                               │                                                          ▲
//!                               └──▶ hep::Sender (a thread) ──UDP──▶ collector             │
//!                                                    `sidetone trace` ── Shelf ────────────┘
//! ```
//!
//! Nothing here ever makes the driver wait: rings are bounded in messages and octets, each and in total; what does not fit
//! is counted. Credentials and media keys are taken out before anything leaves the process ([`redact`]), unless the
//! recording was told to keep them.

mod entry;
pub mod hep;
mod identity;
mod keeper;
pub mod ladder;
mod options;
mod packets;
pub mod pcapng;
mod recorder;
pub mod redact;
mod ring;
mod shelf;
mod story;
mod strays;

pub use entry::{Datagram, Dropped, Entry, Head, Note, Sighting, Subject, Trace, What};
pub use keeper::Keeper;
pub use options::{Collector, Limits, Options, directory_of};
pub use recorder::{Recorder, Sizes};
pub use shelf::{Shelf, ShelfError, Which};
pub use story::{describe, harmless, session_in_brief, summary};
