//! The user-visible life of a call; the only place where signalling, SDP and media plans meet.

mod change;
mod discarded;
pub mod explain;
mod inbound;
mod inside;
mod kept;
mod life;
pub mod negotiate;
mod outbound;
mod output;
pub mod record;
mod status;

pub use change::{Change, ChangeRefused, HoldStyle, UnknownHoldStyle};
pub use life::{Call, Desk, DtmfRefused, MediaOptions};
pub use outbound::{Answer, Start};
pub use output::{CallId, Event, MediaEvent, Moment, Output, Side};
