//! What the two ends hear: RFC 3550 statistics, burst and gap, E-model.

pub mod burst;
mod report;

pub use report::{Inbound, Outbound, Report};
