//! STUN: asking a server how the world sees a socket of ours (RFC 8489).
//!
//! ```text
//!  Questions ── ask ──▶ request ──▶ SIP socket ──▶ server      (retransmitted)
//!      ▲── arrived ◀── datagram that is STUN ◀──┘
//!                └─▶ what answers no question: Incoming::Stun (keep-alives of flows, and who asks us)
//!  ask_from ── the same for a socket that nobody else reads, such as an RTP port before its call
//! ```

mod behaviour;

pub use crate::stun::{Message, Reply, TransactionId, fuzz, is_stun, read, request, response, success};
pub use behaviour::{Behaviour, Dependence, behaviour};

use crate::time::Duration;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// The port of STUN servers (RFC 8489 section 18.6).
pub const PORT: u16 = 3478;

/// The first retransmission time-out and how often a request is sent (RFC 8489 section 6.2.1).
const RTO: Duration = Duration::from_millis(500);
const SENDS: u32 = 7;

/// How many RTOs to wait after the last one.
const LAST_WAIT: u32 = 16;

/// Questions that may be open at once.
const OPEN: usize = 1024;

/// Why our address is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StunError {
    /// Nothing came.
    #[error("the STUN server {0} did not answer; check --stun, and that UDP gets there")]
    Silent(SocketAddr),
    /// It said no.
    #[error("the STUN server {server} refuses: {code} {reason}")]
    Refused {
        /// The server.
        server: SocketAddr,
        /// Its code.
        code: u16,
        /// Its words.
        reason: String,
    },
    /// The request could not be sent.
    #[error("the STUN server {server} cannot be reached: {reason}")]
    Unreachable {
        /// The server.
        server: SocketAddr,
        /// What the system says.
        reason: String,
    },
}

/// The open questions of a socket that also carries something else; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Questions(Arc<Mutex<Open>>);

/// Whom each was asked, and who waits for the reply.
type Open = HashMap<TransactionId, (SocketAddr, oneshot::Sender<Reply>)>;

impl Questions {
    /// Asks `server`; `send` sends octets to it over the socket in question.
    pub(super) async fn ask(
        &self,
        server: SocketAddr,
        id: TransactionId,
        patience: Duration,
        send: impl Fn(&[u8]) -> io::Result<()>,
    ) -> Result<SocketAddr, StunError> {
        let (reply, replied) = oneshot::channel();
        {
            let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|_, (_, waiting)| !waiting.is_closed());
            if open.len() >= OPEN {
                return Err(StunError::Silent(server));
            }
            open.insert(id, (server, reply));
        }
        let answer = async { replied.await.ok() };
        converse(server, id, patience, send, answer).await
    }

    /// A datagram that is STUN came from `source`; gives back what answers none of these questions.
    pub(super) fn arrived(&self, source: SocketAddr, bytes: &[u8]) -> Option<Message> {
        let (id, reply) = match read(bytes)? {
            Message::Response(id, reply) => (id, reply),
            request => return Some(request),
        };
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // From somebody else, it is not the answer even with the right number.
        if open.get(&id).is_some_and(|(server, _)| *server == source)
            && let Some((_, waiting)) = open.remove(&id)
        {
            let _ = waiting.send(reply);
            return None;
        }
        Some(Message::Response(id, reply))
    }
}

/// Asks `server` how it sees `socket`, from which nobody else reads meanwhile: datagrams that are no answer are lost.
///
/// # Errors
/// [`StunError`] if nothing useful comes in `patience`.
pub async fn ask_from(
    socket: std::net::UdpSocket,
    server: SocketAddr,
    id: TransactionId,
    patience: Duration,
) -> Result<SocketAddr, StunError> {
    let unreachable = |error: io::Error| StunError::Unreachable { server, reason: error.to_string() };
    // Sending goes past tokio, which calls a socket unready until it has looked.
    let sending = socket.try_clone().map_err(unreachable)?;
    let socket = UdpSocket::from_std(socket).map_err(unreachable)?;
    let answer = async {
        let mut buffer = [0; 1500];
        loop {
            // An ICMP error of an earlier attempt may show up here.
            let Ok((length, source)) = socket.recv_from(&mut buffer).await else {
                sleep(RTO).await;
                continue;
            };
            match buffer.get(..length).and_then(response) {
                Some((theirs, reply)) if theirs == id && source == server => return Some(reply),
                _ => {}
            }
        }
    };
    let send = |octets: &[u8]| sending.send_to(octets, server).map(|_| ());
    converse(server, id, patience, send, answer).await
}

/// Sends and waits, more and more patiently.
async fn converse(
    server: SocketAddr,
    id: TransactionId,
    patience: Duration,
    send: impl Fn(&[u8]) -> io::Result<()>,
    answer: impl Future<Output = Option<Reply>>,
) -> Result<SocketAddr, StunError> {
    let octets = request(id);
    let sending = async {
        let mut pause = RTO;
        for number in 1..=SENDS {
            match send(&octets) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return error.to_string(),
                _ => sleep(if number == SENDS { RTO * LAST_WAIT } else { pause }).await,
            }
            pause *= 2;
        }
        String::new()
    };
    let whole = async {
        tokio::select! {
            reply = answer => match reply {
                Some(Reply::Mapped(address)) => Ok(address),
                Some(Reply::Refused { code, reason }) => Err(StunError::Refused { server, code, reason }),
                None => Err(StunError::Silent(server)),
            },
            reason = sending => match reason {
                reason if reason.is_empty() => Err(StunError::Silent(server)),
                reason => Err(StunError::Unreachable { server, reason }),
            },
        }
    };
    timeout(patience, whole).await.unwrap_or(Err(StunError::Silent(server)))
}
