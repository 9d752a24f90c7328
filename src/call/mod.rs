//! The user-visible life of a call; the only place where signalling, SDP and media plans meet.

mod discarded;
mod inbound;
mod life;
pub mod negotiate;
mod outbound;
mod output;
pub mod record;
mod status;

pub use life::{Call, Desk, DtmfRefused, MediaOptions};
pub use outbound::{Answer, Start};
pub use output::{CallId, Event, MediaEvent, Moment, Output};
