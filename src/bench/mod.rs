//! The bench: instruments that measure calls, and the network that is made bad on purpose for them.

pub mod impair;
pub mod latency;
pub mod load;
pub mod marker;
pub mod playout;
pub mod scripted;
pub mod statistics;
pub mod turnaround;
