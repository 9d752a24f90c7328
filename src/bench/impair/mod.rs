//! A network that is bad on purpose: a UDP relay that loses, delays, reorders and repeats packets by a seed, and writes
//! down what it did to each.
//!
//! ```text
//!  client ─▶ listen ─▶ Link (pure: loss ─ outage ─ rate ─ delay ─ order) ─▶ schedule ─▶ target
//!         ◀─────────── a Link of its own for the way back ◀──────────────────────────┘
//! ```

pub mod link;
mod relay;
mod report;

pub use link::{Cause, Fate, Impairment, Jitter, Loss, Outage, Recipe, RecipeError};
pub use relay::{Lateness, Pair, Relay, RelayError, Route, Totals};
pub use report::{Direction, Line, Rtp, Sheet};
