//! Signalling, pure: RFC 3261 and its family; no clock, socket or thread.

pub mod agent;
pub mod auth;
mod grammar;
pub mod header;
pub mod hop;
pub mod keepalive;
pub mod message;
pub mod name_addr;
pub mod params;
pub mod registration;
pub mod timer;
pub mod transaction;
pub mod uri;
pub mod via;
pub mod wire;
