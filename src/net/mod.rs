//! Everything outside the process that speaks IP: sockets, names, interfaces, RTP ports.
//!
//! Signalling goes through [`Transports`] and [`Inbox`]; destinations are found by [`Resolver`].

mod failure;
mod interfaces;
mod resolve;
mod rtp_ports;
mod tcp;
mod transports;
mod udp;

pub use failure::Failure;
pub use interfaces::local_towards;
pub use resolve::{Dns, ResolveError, Resolver};
pub use rtp_ports::{PortPair, PortRange, PortRangeError, PortsError, RtpPorts};
pub use transports::{BindConfig, BindError, Bound, Inbox, Incoming, Limits, Now, Traffic, Transports};
