//! SIP over UDP (RFC 3261 section 18): one socket.

use super::destination;
use super::failure::Failure;
use super::interfaces::Routes;
use super::limits::Counters;
use super::stun::{Questions, is_stun};
use super::transports::{Incoming, Now};
use crate::sip::hop::{Hop, Transport};
use bytes::Bytes;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// The longest UDP payload there can be.
const LONGEST: usize = 65_535;

/// Kernel buffers in octets: a burst of calls waits there, not in the network.
const BUFFER: usize = 4 << 20;

/// How many errors in a row end the receive loop: such a socket does not come back.
const ERRORS: u32 = 1000;

/// The two ends of one socket. Sending goes past tokio, which calls a socket unready until it has looked: the first
/// datagrams would be lost.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) sending: std::net::UdpSocket,
    pub(super) receiving: UdpSocket,
    pub(super) bound: SocketAddr,
}

/// Binds a socket; port 0 for any.
pub(super) fn bind(address: SocketAddr) -> io::Result<Ends> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // Else IPv4 peers would show up with mapped addresses, which no SIP header may carry.
        socket.set_only_v6(true)?;
    }
    // The system may allow less.
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    let sending: std::net::UdpSocket = socket.into();
    let bound = sending.local_addr()?;
    if bound.ip().is_unspecified()
        && let Err(error) = destination::learn(&sending, bound)
    {
        tracing::debug!(%error, "answers leave from the address on the route");
    }
    Ok(Ends { receiving: UdpSocket::from_std(sending.try_clone()?)?, sending, bound })
}

/// Sends one datagram, from `local` where the socket has more addresses than one. One that finds the buffer of the system
/// full is lost, as datagrams may be.
pub(super) fn send(
    (bound, socket): &(SocketAddr, std::net::UdpSocket),
    counters: &Counters,
    (local, remote): (IpAddr, SocketAddr),
    bytes: &[u8],
) -> Result<(), Failure> {
    if bytes.len() > LONGEST {
        return Err(Failure::TooLong);
    }
    let sent = match bound.ip().is_unspecified() && !local.is_unspecified() {
        true => destination::send(socket, local, remote, bytes),
        false => socket.send_to(bytes, remote),
    };
    match sent {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            counters.unsent_datagrams.fetch_add(1, Relaxed);
            Ok(())
        }
        // EMSGSIZE has no kind of its own; IPv4 takes up to 65,507 octets.
        Err(_) if bytes.len() > LONGEST - 28 => Err(Failure::TooLong),
        Err(error) => Err(error.into()),
    }
}

/// Hands every datagram to `inbox`, until the other end of that is gone; drops and counts those that find it full.
pub(super) async fn receive(
    socket: UdpSocket,
    bound: SocketAddr,
    now: Now,
    counters: Arc<Counters>,
    inbox: mpsc::Sender<Incoming>,
    questions: Questions,
) {
    let mut routes = Routes::new(bound.ip());
    let mut buffer = vec![0; LONGEST];
    let mut errors = 0;
    while !inbox.is_closed() {
        let received = socket.async_io(Interest::READABLE, || destination::receive(&socket, &mut buffer)).await;
        let (length, remote, told) = match received {
            Ok(received) => received,
            // What a peer's ICMP says about an earlier datagram; some systems report it here.
            Err(error) if errors < ERRORS => {
                tracing::debug!(%error, "receiving a datagram failed");
                errors += 1;
                tokio::task::yield_now().await;
                continue;
            }
            Err(error) => {
                tracing::error!(%error, %bound, "the UDP socket is dead; nothing can be received over UDP");
                return;
            }
        };
        errors = 0;
        let at = now.read();
        counters.datagrams.fetch_add(1, Relaxed);
        let Some(local) = told.or_else(|| routes.local(at, remote)) else {
            counters.dropped_datagrams.fetch_add(1, Relaxed);
            continue;
        };
        let source = Hop { transport: Transport::Udp, local: SocketAddr::new(local, bound.port()), remote };
        let bytes = buffer.get(..length).unwrap_or_default();
        let incoming = if is_stun(bytes) {
            let Some(message) = questions.arrived(remote, bytes) else { continue };
            Incoming::Stun { source, message, at }
        } else if is_keep_alive(bytes) {
            Incoming::KeepAlive { source, pong: false, at }
        } else {
            Incoming::Datagram { source, bytes: Bytes::copy_from_slice(bytes), at }
        };
        if inbox.try_send(incoming).is_err() {
            counters.dropped_datagrams.fetch_add(1, Relaxed);
        }
    }
}

/// Empty datagrams, line ends and single NULs keep address translators awake and mean nothing (RFC 6223 section 4.1.2
/// speaks of CRLFCRLF; what phones send differs).
fn is_keep_alive(bytes: &[u8]) -> bool {
    bytes.len() <= 4 && bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alives() {
        assert!(is_keep_alive(b"\r\n\r\n") && is_keep_alive(b"\0") && is_keep_alive(b""));
        assert!(!is_keep_alive(b"\r\n\r\n\r\n") && !is_keep_alive(b"jak"));
    }

    #[tokio::test]
    async fn what_no_datagram_can_carry_is_refused() {
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (local, to) = (socket.bound.ip(), socket.bound);
        let socket = (socket.bound, socket.sending);
        let counters = Counters::default();
        let send = |to: SocketAddr, bytes: &[u8]| send(&socket, &counters, (local, to), bytes);
        assert_eq!(send(to, &vec![b'x'; 70_000]), Err(Failure::TooLong));
        assert_eq!(send(to, &vec![b'x'; 65_530]), Err(Failure::TooLong));
        assert_eq!(send(to, b"x"), Ok(()));
        let far = "192.0.2.1:5060".parse().unwrap();
        assert!(matches!(send(far, b"x"), Err(Failure::Unreachable(_))));
    }
}
