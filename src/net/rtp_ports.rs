//! Pairs of UDP ports for RTP and RTCP.

use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Socket buffers, octets: a second of the heaviest audio call, so that a stalled worker finds its packets.
const BUFFER: usize = 256 * 1024;

/// Expedited Forwarding (RFC 3246), code point 46 in the upper six bits of the traffic class.
const EXPEDITED_FORWARDING: u32 = 46 << 2;

/// How many pairs the operating system may propose before we give up: half of them are odd, and a neighbour may be taken.
const EPHEMERAL_ATTEMPTS: usize = 64;

/// The ports that RTP may use: at least one even port with the odd one above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// A port range that cannot hold a pair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a range of RTP ports; write FIRST-LAST with at least one even port and the odd one above it, as in 10000-20000"
)]
pub struct PortRangeError(pub String);

impl PortRange {
    /// The pairs inside `range`.
    ///
    /// # Errors
    /// If no pair fits.
    pub fn new(range: RangeInclusive<u16>) -> Result<Self, PortRangeError> {
        let (first, last) = (*range.start(), *range.end());
        let even = u32::from(first).next_multiple_of(2).max(2);
        if even + 1 > u32::from(last) {
            return Err(PortRangeError(format!("{first}-{last}")));
        }
        Ok(Self { first, last })
    }

    fn first_even(&self) -> u32 {
        u32::from(self.first).next_multiple_of(2).max(2)
    }

    fn pairs(&self) -> u32 {
        (u32::from(self.last) + 1 - self.first_even()) / 2
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || PortRangeError(text.into());
        let (first, last) = text.split_once('-').ok_or_else(error)?;
        let first = first.trim().parse().map_err(|_| error())?;
        let last = last.trim().parse().map_err(|_| error())?;
        Self::new(first..=last).map_err(|_| error())
    }
}

/// Why no pair of ports could be had.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// The address is not ours, or the system refuses sockets.
    #[error("cannot bind an RTP port on {ip}: {source}; choose an address of this machine")]
    Refused {
        /// The address asked for.
        ip: IpAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Every pair of the range is in use.
    #[error("no free pair of RTP ports in {range} on {ip}; widen the range or end some calls")]
    Exhausted {
        /// The address asked for.
        ip: IpAddr,
        /// The range that is full.
        range: PortRange,
    },
    /// The system proposed no even port with a free neighbour.
    #[error(
        "the system gave no even UDP port with a free odd one above it on {ip} in 64 attempts; try again or set a range of RTP ports"
    )]
    NoPair {
        /// The address asked for.
        ip: IpAddr,
    },
}

/// Two bound sockets, non-blocking: RTP on an even port, RTCP on the odd one above it (RFC 3550 section 11).
#[derive(Debug)]
pub struct PortPair {
    /// Where RTP is received.
    pub rtp_address: SocketAddr,
    /// Where RTCP is received, unless it is multiplexed.
    pub rtcp_address: SocketAddr,
    /// The RTP socket.
    pub rtp: UdpSocket,
    /// The RTCP socket.
    pub rtcp: UdpSocket,
}

/// Hands out pairs of RTP ports.
///
/// A range is walked round, so that a port rests as long as possible before the next call gets it: late packets of the
/// last call on a port must not reach the next one.
#[derive(Debug, Default)]
pub struct RtpPorts {
    range: Option<PortRange>,
    next: AtomicU32,
}

impl RtpPorts {
    /// Pairs from `range`, or from the system's ephemeral ports.
    pub fn new(range: Option<PortRange>) -> Self {
        Self { range, next: AtomicU32::new(0) }
    }

    /// Binds the next free pair on `ip`.
    ///
    /// # Errors
    /// If the address is refused or no pair is free.
    pub fn open(&self, ip: IpAddr) -> Result<PortPair, PortsError> {
        match &self.range {
            Some(range) => self.open_in(ip, range),
            None => open_ephemeral(ip),
        }
    }

    fn open_in(&self, ip: IpAddr, range: &PortRange) -> Result<PortPair, PortsError> {
        for _ in 0..range.pairs() {
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % range.pairs();
            let even = u16::try_from(range.first_even() + 2 * turn).unwrap_or(range.last);
            match bind(ip, even).and_then(|rtp| Ok((rtp, bind(ip, even + 1)?))) {
                Ok((rtp, rtcp)) => return pair(ip, rtp, rtcp),
                Err(error) if is_taken(&error) => {}
                Err(source) => return Err(PortsError::Refused { ip, source }),
            }
        }
        Err(PortsError::Exhausted { ip, range: range.clone() })
    }
}

fn open_ephemeral(ip: IpAddr) -> Result<PortPair, PortsError> {
    let refused = |source| PortsError::Refused { ip, source };
    // Odd proposals whose lower neighbour is taken are held until the end, so that the system proposes others.
    let mut held = Vec::new();
    for _ in 0..EPHEMERAL_ATTEMPTS {
        let first = bind(ip, 0).map_err(refused)?;
        let port = first.local_addr().map_err(refused)?.port();
        match bind(ip, port ^ 1) {
            Ok(second) if port % 2 == 0 => return pair(ip, first, second),
            Ok(second) => return pair(ip, second, first),
            Err(error) if is_taken(&error) => held.push(first),
            Err(source) => return Err(refused(source)),
        }
    }
    Err(PortsError::NoPair { ip })
}

/// A port in use, or one that only a privileged process may take.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

fn pair(ip: IpAddr, rtp: UdpSocket, rtcp: UdpSocket) -> Result<PortPair, PortsError> {
    let address = |socket: &UdpSocket| socket.local_addr().map_err(|source| PortsError::Refused { ip, source });
    Ok(PortPair { rtp_address: address(&rtp)?, rtcp_address: address(&rtcp)?, rtp, rtcp })
}

fn bind(ip: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    // What follows makes a call better and is no reason to lose it.
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    let _ = match ip {
        IpAddr::V4(_) => socket.set_tos_v4(EXPEDITED_FORWARDING),
        IpAddr::V6(_) => mark_v6(&socket),
    };
    Ok(socket.into())
}

#[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
fn mark_v6(socket: &Socket) -> io::Result<()> {
    socket.set_tclass_v6(EXPEDITED_FORWARDING)
}

#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
fn mark_v6(_: &Socket) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_pair_is_even_and_odd_and_marked() {
        let ports = RtpPorts::new(None);
        let pairs: Vec<_> = (0..20).map(|_| ports.open(LOOPBACK).unwrap()).collect();
        for pair in &pairs {
            assert_eq!(pair.rtp_address.port() % 2, 0);
            assert_eq!(pair.rtcp_address.port(), pair.rtp_address.port() + 1);
            assert_eq!(socket2::SockRef::from(&pair.rtp).tos_v4().unwrap(), EXPEDITED_FORWARDING);
        }
    }

    #[test]
    fn a_range_is_walked_round_and_says_when_it_is_full() {
        // A quiet corner: three pairs that were free a moment ago.
        let (range, first) = free_range(3);
        let ports = RtpPorts::new(Some(range));
        let pairs: Vec<_> = (0..3).map(|_| ports.open(LOOPBACK).unwrap()).collect();
        let numbers: Vec<_> = pairs.iter().map(|pair| pair.rtp_address.port()).collect();
        assert_eq!(numbers, [first, first + 2, first + 4]);
        let error = ports.open(LOOPBACK).unwrap_err();
        assert!(matches!(error, PortsError::Exhausted { .. }), "{error}");
        drop(pairs);
        assert_eq!(ports.open(LOOPBACK).unwrap().rtp_address.port() % 2, 0);
    }

    fn free_range(pairs: u16) -> (PortRange, u16) {
        for first in (20_001..60_000).step_by(64) {
            let even = first + 1;
            let all: Result<Vec<_>, _> = (even..even + 2 * pairs).map(|port| bind(LOOPBACK, port)).collect();
            if all.is_ok() {
                return (PortRange::new(first..=even + 2 * pairs - 1).unwrap(), even);
            }
        }
        panic!("no free ports on this machine");
    }

    #[test]
    fn ranges_are_checked() {
        assert_eq!("10000-20000".parse::<PortRange>().unwrap().to_string(), "10000-20000");
        assert_eq!("5-7".parse::<PortRange>().unwrap().pairs(), 1);
        assert_eq!("65534-65535".parse::<PortRange>().unwrap().pairs(), 1);
        for wrong in ["", "7", "10001-10002", "20000-10000", "1-70000", "a-b", "0-1"] {
            let error = wrong.parse::<PortRange>().unwrap_err();
            assert!(error.to_string().contains(&format!("\"{wrong}\"")), "{error}");
        }
    }

    #[test]
    fn a_foreign_address_is_refused_with_a_remedy() {
        let error = RtpPorts::new(None).open("192.0.2.1".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("192.0.2.1"), "{error}");
    }
}
