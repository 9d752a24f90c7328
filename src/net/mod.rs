//! Everything outside the process that speaks IP: sockets, names, interfaces, RTP ports.
//!
//! Signalling goes through [`Transports`] and [`Inbox`]; destinations are found by [`Resolver`].

mod bind;
mod connections;
mod destination;
mod failure;
mod interfaces;
mod limits;
mod resolve;
mod rtp_ports;
mod stream;
pub mod stun;
mod tcp;
mod tls;
mod transports;
mod udp;
pub mod watch;

pub use bind::{BindConfig, BindError, Bound};
pub use failure::Failure;
pub use interfaces::local_towards;
pub use limits::{Limits, Traffic};
pub use resolve::{Dns, ResolveError, Resolver, Steps};
pub use rtp_ports::{PortPair, PortRange, PortRangeError, PortsError, RtpPorts};
pub use tls::{Presented, Tls, TlsError, TlsSettings};
pub use transports::{Inbox, Incoming, Now, Transports};
