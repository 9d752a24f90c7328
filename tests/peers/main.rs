//! Proof on real peers: Kamailio, baresip and SIPp from the system's packages, on free loopback ports.

// Tests wait for peers in real time.
#![allow(unreachable_pub, clippy::disallowed_methods)]

#[path = "../shared/authority.rs"]
#[allow(dead_code)]
mod authority;
mod baresip;
mod beside;
mod capture;
mod codecs;
mod digits;
mod doctor;
mod flows;
mod hold;
mod inbound;
mod kamailio;
mod latency;
mod load;
mod outbound;
mod process;
#[path = "../shared/program.rs"]
#[allow(dead_code, reason = "each test program uses its own part")]
mod program;
mod public;
mod registrar;
mod rtpengine;
mod session;
mod sidetone;
mod sipp;
mod sound;
mod speech;
mod storm;
mod tls;
mod transfer;
mod translator;
mod turnaround;
