//! Who calls whom, as carriers write it: numbers, caller ids, anonymity (RFC 3323, RFC 3325, RFC 5806, RFC 7044, RFC 7315).
//!
//! ```text
//!  our call     account + chosen number ── present() ──▶ From, P-Asserted-Identity, Privacy ...
//!  their call   From, P-Asserted-Identity ... ── caller() ──▶ who calls
//!               Request-URI, To, Diversion ... ── called() ──▶ which of our numbers
//! ```

mod heard;
mod number;
mod policy;
mod present;

pub use heard::Caller;
pub(crate) use number::significant_end;
pub use number::{NotE164, NumberFormat, Numbering, is_number, plain, same_number};
pub use policy::{Anonymity, Assertion, CalledField, CallerField, Policy};
pub use present::{ANONYMOUS, NotOurs, Presented};
