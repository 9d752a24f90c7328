//! Everything outside the process that speaks IP: sockets, names, interfaces, RTP ports.

mod rtp_ports;

pub use rtp_ports::{PortPair, PortRange, PortRangeError, PortsError, RtpPorts};
