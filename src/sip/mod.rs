//! Signalling, pure: RFC 3261 and its family; no clock, socket or thread.

pub mod agent;
pub mod auth;
pub mod body;
pub mod dialog;
mod grammar;
pub mod guard;
pub mod header;
pub mod hop;
pub mod host;
pub mod identity;
pub mod keepalive;
pub mod message;
pub mod name_addr;
pub mod params;
pub mod public;
pub mod reason;
pub mod registration;
mod session;
pub mod subscription;
pub mod target;
pub mod timer;
pub mod transaction;
pub mod uri;
pub mod via;
pub mod wire;
