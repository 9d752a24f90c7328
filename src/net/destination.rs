//! Which of our addresses a datagram was sent to, on a socket that has them all, and answering from there: a peer drops
//! what comes from an address that it has not asked (IP_PKTINFO; RFC 3542 section 6 for IPv6).
//!
//! Linux only; elsewhere the routing table says which address is seen, which is right unless a machine has several
//! addresses on one network.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// What one datagram was: its length, where it came from, and which address of ours it was sent to, if that is known.
pub(super) type Received = (usize, SocketAddr, Option<IpAddr>);

#[cfg(target_os = "linux")]
pub(super) use told::{learn, receive, send};

#[cfg(not(target_os = "linux"))]
pub(super) use silent::{learn, receive, send};

#[cfg(target_os = "linux")]
mod told {
    use super::{IpAddr, Received, SocketAddr, UdpSocket, io};
    use nix::libc;
    use nix::sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg, sendmsg,
        setsockopt, sockopt,
    };
    use std::io::{IoSlice, IoSliceMut};
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::os::fd::{AsRawFd, RawFd};

    /// Has the system say from now on where each datagram was sent to.
    pub(in super::super) fn learn(socket: &UdpSocket, family: SocketAddr) -> io::Result<()> {
        let fd = socket.as_raw_fd();
        match family {
            SocketAddr::V4(_) => setsockopt(fd, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(fd, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        Ok(())
    }

    /// Receives one datagram, if there is one.
    pub(in super::super) fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<Received> {
        let mut control = nix::cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo);
        let mut pieces = [IoSliceMut::new(buffer)];
        let message =
            recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut pieces, Some(&mut control), MsgFlags::empty())?;
        let from = message.address.and_then(|address| {
            let four = address.as_sockaddr_in().map(|four| SocketAddr::V4((*four).into()));
            four.or_else(|| address.as_sockaddr_in6().map(|six| SocketAddr::V6((*six).into())))
        });
        let to = message.cmsgs().find_map(|told| match told {
            // Of a datagram to everybody, the address of ours on that interface.
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(IpAddr::V4(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes())))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr))),
            _ => None,
        });
        let from = from.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok((message.bytes, from, to.filter(|ip| !ip.is_unspecified() && !ip.is_multicast())))
    }

    /// Sends one datagram to `to` from our address `from`.
    pub(in super::super) fn send(socket: &UdpSocket, from: IpAddr, to: SocketAddr, bytes: &[u8]) -> io::Result<usize> {
        let (fd, pieces) = (socket.as_raw_fd(), [IoSlice::new(bytes)]);
        let sent = match (from, to) {
            (IpAddr::V4(from), SocketAddr::V4(to)) => {
                let nobody = libc::in_addr { s_addr: 0 };
                let source = libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
                let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: nobody };
                from_there(fd, &pieces, ControlMessage::Ipv4PacketInfo(&info), &SockaddrIn::from(to))
            }
            (IpAddr::V6(from), SocketAddr::V6(to)) => {
                let ipi6_addr = libc::in6_addr { s6_addr: from.octets() };
                let info = libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: 0 };
                from_there(fd, &pieces, ControlMessage::Ipv6PacketInfo(&info), &SockaddrIn6::from(to))
            }
            _ => return socket.send_to(bytes, to),
        };
        match sent {
            // The address is ours no more: the system chooses another.
            Err(error) if is_ours_no_more(error.kind()) => socket.send_to(bytes, to),
            sent => sent,
        }
    }

    /// Which of them it is depends on the family and on what routes there are.
    fn is_ours_no_more(kind: io::ErrorKind) -> bool {
        use io::ErrorKind::{AddrNotAvailable, InvalidInput, NetworkUnreachable};
        matches!(kind, InvalidInput | AddrNotAvailable | NetworkUnreachable)
    }

    fn from_there(
        fd: RawFd,
        pieces: &[IoSlice<'_>],
        source: ControlMessage<'_>,
        to: &impl nix::sys::socket::SockaddrLike,
    ) -> io::Result<usize> {
        Ok(sendmsg(fd, pieces, &[source], MsgFlags::empty(), Some(to))?)
    }
}

#[cfg(not(target_os = "linux"))]
mod silent {
    use super::{IpAddr, Received, SocketAddr, UdpSocket, io};

    pub(in super::super) fn learn(_: &UdpSocket, _: SocketAddr) -> io::Result<()> {
        Ok(())
    }

    pub(in super::super) fn receive(socket: &tokio::net::UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
        socket.try_recv_from(buffer).map(|(length, from)| (length, from, None))
    }

    pub(in super::super) fn send(socket: &UdpSocket, _: IpAddr, to: SocketAddr, bytes: &[u8]) -> io::Result<usize> {
        socket.send_to(bytes, to)
    }
}
