//! TCP sockets: listeners, and connections from the right address.

use super::failure::Failure;
use crate::time::Duration;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// Connections that the system holds before they are accepted.
const BACKLOG: i32 = 1024;

/// A port of ours.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) bound: SocketAddr,
    pub(super) socket: Held,
}

/// What is done with it.
#[derive(Debug)]
pub(super) enum Held {
    /// Connections are accepted.
    Open(TcpListener),
    /// The port is only kept: connections are made from it, so that the far side knows us by it.
    Kept(#[expect(dead_code, reason = "a port is ours as long as its socket lives")] Socket),
}

/// Binds a listener; port 0 for any.
pub(super) fn listen(address: SocketAddr) -> io::Result<Listener> {
    let socket = bind(address)?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    Ok(Listener { bound: listener.local_addr()?, socket: Held::Open(listener) })
}

/// Keeps a port without listening on it; port 0 for any.
pub(super) fn reserve(address: SocketAddr) -> io::Result<Listener> {
    let socket = bind(address)?;
    let bound = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(Listener { bound, socket: Held::Kept(socket) })
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Else IPv4 peers would show up with mapped addresses, which no SIP header may carry.
        socket.set_only_v6(true)?;
    }
    // Connections of an earlier run linger in the system; on Windows the option means something else.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

/// Makes a connection with `remote`, from `from`: from its port if it has one that is free on this way, else from any.
pub(super) async fn connect(from: SocketAddr, remote: SocketAddr, patience: Duration) -> Result<TcpStream, Failure> {
    let attempt = async |from: SocketAddr| -> io::Result<TcpStream> {
        let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        #[cfg(not(windows))]
        socket.set_reuseaddr(true)?;
        if !from.ip().is_unspecified() || from.port() != 0 {
            socket.bind(from)?;
        }
        socket.connect(remote).await
    };
    let connecting = async {
        match attempt(from).await {
            // An earlier connection on the same way lingers in the system.
            Err(error)
                if from.port() != 0
                    && matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) =>
            {
                attempt(SocketAddr::new(from.ip(), 0)).await
            }
            made => made,
        }
    };
    timeout(patience, connecting).await.map_err(|_| Failure::TimedOut)?.map_err(Into::into)
}

/// Has the system end a connection on which nothing is acknowledged for `patience`: a far end that vanished without a
/// word is noticed with the next thing that is sent, and not after a quarter of an hour (RFC 1122 section 4.2.3.5).
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn limit_silence(stream: &TcpStream, patience: Duration) {
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(patience)) {
        tracing::debug!(%error, "a vanished far end will be noticed late");
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn limit_silence(_: &TcpStream, _: Duration) {}
