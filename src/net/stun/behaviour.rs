//! What kind of address translator there is, found with a server that has two addresses (RFC 5780 section 4).
//!
//! ```text
//!            server 1, port 1 ── our mapping; the server's other address
//!  socket ─┬ server 1, port 1 ── "answer from the other address and port"   filtering test II
//!          ├ server 1, port 1 ── "answer from the other port"               filtering test III
//!          ├ server 2, port 1 ── our mapping there                          mapping test II
//!          └ server 2, port 2 ── our mapping there                          mapping test III
//! ```
//!
//! What may come in is looked at before anything goes to the other address, since that would open the way for it.

use super::{Reply, StunError, TransactionId, request, response};
use crate::stun::{other_address, request_from_elsewhere};
use crate::time::Duration;
use std::io;
use std::net::SocketAddr;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

/// How long an answer is waited for before the question is asked again (RFC 8489 section 6.2.1), and at the end.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_millis(1_000), Duration::from_millis(500)];

/// On what a decision of a translator depends (RFC 4787 sections 4.1 and 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependence {
    /// On nothing: the same for every far end.
    EndpointIndependent,
    /// On the address of the far end.
    AddressDependent,
    /// On the address and the port of the far end.
    AddressAndPortDependent,
}

/// How a translator, or a firewall, treats a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// What each address of the server saw of us, in the order of asking.
    pub seen: Vec<(SocketAddr, SocketAddr)>,
    /// The other address of the server; without one nothing below is known.
    pub other: Option<SocketAddr>,
    /// Which address and port we get: on what they depend.
    pub mapping: Option<Dependence>,
    /// From where packets reach us that we did not ask for.
    pub filtering: Option<Dependence>,
}

/// Asks `server` and its other address how they see `socket`. `id` makes a number for each question.
///
/// # Errors
/// [`StunError`] if the server does not say how it sees us.
pub async fn behaviour(
    socket: std::net::UdpSocket,
    server: SocketAddr,
    id: &mut impl FnMut() -> TransactionId,
) -> Result<Behaviour, StunError> {
    let unreachable = |error: io::Error| StunError::Unreachable { server, reason: error.to_string() };
    let socket = UdpSocket::from_std(socket).map_err(unreachable)?;
    let first = id();
    let answer = ask(&socket, server, &request(first), first).await.map_err(unreachable)?;
    let (mapped, bytes) = match answer {
        Some((Reply::Mapped(mapped), bytes)) => (mapped, bytes),
        Some((Reply::Refused { code, reason }, _)) => return Err(StunError::Refused { server, code, reason }),
        None => return Err(StunError::Silent(server)),
    };
    let mut found = Behaviour { seen: vec![(server, mapped)], other: None, mapping: None, filtering: None };
    let other = other_address(&bytes).filter(|other| other.ip() != server.ip() && other.is_ipv4() == server.is_ipv4());
    let Some(other) = other else { return Ok(found) };
    found.other = Some(other);
    found.filtering = Some(filtering(&socket, server, id).await.map_err(unreachable)?);
    let mut at = async |address: SocketAddr| {
        let number = id();
        match ask(&socket, address, &request(number), number).await {
            Ok(Some((Reply::Mapped(mapped), _))) => Some((address, mapped)),
            _ => None,
        }
    };
    let Some(second) = at(SocketAddr::new(other.ip(), server.port())).await else { return Ok(found) };
    found.seen.push(second);
    if second.1 == mapped {
        found.mapping = Some(Dependence::EndpointIndependent);
        return Ok(found);
    }
    let Some(third) = at(other).await else { return Ok(found) };
    found.seen.push(third);
    found.mapping = Some(match third.1 == second.1 {
        true => Dependence::AddressDependent,
        false => Dependence::AddressAndPortDependent,
    });
    Ok(found)
}

/// RFC 5780 section 4.4.
async fn filtering(
    socket: &UdpSocket,
    server: SocketAddr,
    id: &mut impl FnMut() -> TransactionId,
) -> io::Result<Dependence> {
    for (ip, found) in [(true, Dependence::EndpointIndependent), (false, Dependence::AddressDependent)] {
        let number = id();
        let answer = ask(socket, server, &request_from_elsewhere(number, ip, true), number).await?;
        if matches!(answer, Some((Reply::Mapped(_), _))) {
            return Ok(found);
        }
    }
    Ok(Dependence::AddressAndPortDependent)
}

/// Sends a question until its answer comes, from wherever; `None` if none does.
async fn ask(
    socket: &UdpSocket,
    to: SocketAddr,
    question: &[u8],
    id: TransactionId,
) -> io::Result<Option<(Reply, Vec<u8>)>> {
    for pause in PAUSES {
        socket.send_to(question, to).await?;
        if let Ok(answer) = timeout(pause, answer(socket, id)).await {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

async fn answer(socket: &UdpSocket, id: TransactionId) -> (Reply, Vec<u8>) {
    let mut buffer = [0; 1500];
    loop {
        let Ok((length, _)) = socket.recv_from(&mut buffer).await else {
            // An ICMP error of an earlier question; silence says the same.
            sleep(PAUSES[0]).await;
            continue;
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        match response(bytes) {
            Some((theirs, reply)) if theirs == id => return (reply, bytes.to_vec()),
            _ => {}
        }
    }
}
