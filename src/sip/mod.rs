//! Signalling, pure: RFC 3261 and its family; no clock, socket or thread.

pub mod hop;
