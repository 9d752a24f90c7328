//! The thin drivers around the pure rooms: they own clocks, sockets and threads, and know nothing else.

mod clock;
mod entropy;
mod kept_out;
pub mod media;
mod network;
mod notice;
mod recording;
pub mod signalling;

pub use clock::Clock;
pub use entropy::entropy;
