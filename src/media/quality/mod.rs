//! What the two ends hear: RFC 3550 statistics, burst and gap, E-model.
//!
//! ```text
//!   receive::Statistics ─┐
//!   jitter-buffer delay ─┼─▶ assess ─▶ emodel ─▶ Report
//!   rtcp::Remote ────────┘               ▲
//!                          impairment of the codec
//! ```

pub mod assess;
pub mod burst;
pub mod emodel;
pub mod impairment;
mod report;

pub use report::{Inbound, Outbound, Report};
