//! From what the user typed and set to settings that hold no bad value; nothing is checked anywhere else.
//!
//! ```text
//!  flags ─────────┐
//!  environment ───┤
//!  file ──────────┼─▶ Draft (layers, each value with its origin) ─▶ Profile, Process ─▶ Settings of a phone
//!  preset ────────┤
//!  default ───────┘
//! ```

mod choose;
mod draft;
mod environment;
mod error;
mod file;
mod flags;
mod layer;
mod policy;
mod process;
mod profile;
mod reader;
mod recorder;
pub mod schema;
mod secret;
mod show;
mod sound;
#[cfg(test)]
mod tests;
mod trust;
mod twins;
mod value;

pub use draft::{Draft, Over};
pub use environment::Environment;
pub use error::ConfigError;
pub use flags::{AccountFlags, MediaFlags};
pub use policy::PolicyFlags;
pub use process::Process;
pub use profile::{OnCall, Profile};
pub use recorder::TraceFlags;
pub use show::Shown;
pub use sound::{SoundFlags, named_devices};
pub use trust::{CallerFlags, TrustFlags};
pub use twins::distinct;
pub use value::{audio, dialled, digits, header, min_mos, recordings, reject, seconds, source, target};

/// The environment variable with the password of an account that says none.
pub const PASSWORD: &str = "SIDETONE_PASSWORD";
