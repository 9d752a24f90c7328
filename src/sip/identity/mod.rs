//! Who calls whom, as carriers write it.

mod number;

pub use number::{NotE164, NumberFormat, Numbering, is_number, plain, same_number};
