//! The thin drivers around the pure rooms: they own clocks, sockets and threads, and know nothing else.

mod clock;
pub mod media;

pub use clock::Clock;
