//! Load with real media: calls begin by a schedule, each goes through a scenario, and what the far end and the generator
//! made of it is counted.
//!
//! ```text
//!  Arrivals ─ due ─▶ Generator ─ dial, hold, dtmf, hang up ─▶ Phone ─▶ far end
//!                        ▲   └─ some calls: markers there and back         │
//!                        └────────────── events ◀──────────────────────────┘
//!                        └─▶ Tally ─▶ thresholds · JSON · CSV · JUnit · one page of HTML
//! ```
//!
//! Times are counted from when a call was to begin, not from when it began: a far end that makes the generator wait does
//! not hide behind the calls that were not made meanwhile. A generator that was late by itself says that the result is
//! not valid.

mod arrival;
mod generator;
mod output;
mod page;
mod scenario;
mod tally;
mod threshold;

pub use arrival::{Arrivals, Model, Stage, Stages, UnknownRate, time_of};
pub use generator::{Key, Plan, Progress, run};
pub use output::{csv, junit};
pub use page::page;
pub use scenario::{Scenario, ScenarioError, Step};
pub use tally::{Health, Second, Series, Tally};
pub use threshold::{Threshold, UnknownThreshold};
