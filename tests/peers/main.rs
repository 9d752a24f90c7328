//! Proof on real peers: Kamailio, baresip and SIPp from the system's packages, on free loopback ports.

#![allow(unreachable_pub)]

mod baresip;
mod kamailio;
mod process;
mod sidetone;
mod sound;
mod speech;
