//! The user-visible life of a call; the only place where signalling, SDP and media plans meet.

mod auto_answer;
mod change;
mod conduct;
mod digits;
mod discarded;
pub mod explain;
mod inbound;
mod inside;
mod kept;
mod life;
pub mod negotiate;
mod options;
mod outbound;
mod output;
pub mod record;
mod referral;
mod repaired;
mod secure;
mod status;
mod transfer;

pub use change::{Change, ChangeRefused, HoldStyle};
pub use conduct::{Busy, Conduct, Transfers};
pub use life::{Call, Desk, DtmfRefused};
pub use options::{IcePolicy, MediaOptions};
pub use outbound::{Answer, Prack, Start};
pub use output::{CallId, Event, MediaEvent, MediaOrder, Moment, Output, Side};
pub use referral::Referral;
pub use transfer::{Role, Step, TransferRefused, Transferred};
