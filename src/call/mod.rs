//! The user-visible life of a call; the only place where signalling, SDP and media plans meet.

pub mod negotiate;
pub mod record;
