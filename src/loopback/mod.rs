//! A small SIP domain on loopback: registrar, proxy and answering peer, for the demonstration and the tests.
//!
//! ```text
//!   Phone ──REGISTER, INVITE──▶ Domain (digest, location, Record-Route) ──INVITE──▶ Phone of the answering peer
//! ```

mod answerer;
mod domain;

pub use answerer::Answerer;
pub use domain::Domain;

use crate::driver::{Clock, entropy};
use crate::net::{BindConfig, BindError, Incoming, Now, Transports};
use crate::random::Random;
use crate::sip::message::Message;
use crate::sip::wire;
use std::net::{IpAddr, SocketAddr};
use tokio::task::JoinHandle;

/// A running domain; it ends when this is dropped.
#[derive(Debug)]
pub struct Loopback {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// Why a domain does not start.
#[derive(Debug, thiserror::Error)]
pub enum LoopbackError {
    /// Its sockets.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Entropy(#[from] std::io::Error),
}

impl Loopback {
    /// Starts a domain on any port of `ip`, UDP and TCP, whose users have these passwords.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start(ip: IpAddr, users: &[(&str, &str)]) -> Result<Self, LoopbackError> {
        let clock = Clock::new();
        let random = Random::from_entropy(entropy()?);
        let (transports, mut inbox) = Transports::bind(BindConfig::new(ip, Some(0)), Now::new(move || clock.now()))?;
        let port = transports.bound().first().map_or(0, |bound| bound.port());
        let address = SocketAddr::new(ip, port);
        let mut domain = Domain::new(address, users, random);
        let task = tokio::spawn(async move {
            while let Some(incoming) = inbox.next().await {
                let now = clock.now();
                let (source, message) = match incoming {
                    Incoming::Datagram { source, bytes, .. } => match wire::parse_datagram(&bytes) {
                        Ok(message) => (source, message),
                        Err(_) => continue,
                    },
                    Incoming::Message { source, message, .. } => (source, *message),
                    Incoming::Malformed { .. }
                    | Incoming::KeepAlive { .. }
                    | Incoming::Stun { .. }
                    | Incoming::Failed { .. } => continue,
                };
                let sent = match message {
                    Message::Request(request) => domain.handle_request(now, source, request),
                    Message::Response(response) => domain.handle_response(source, response),
                };
                if let Some((hop, bytes)) = sent
                    && let Err(why) = transports.send(&hop, bytes.into())
                {
                    tracing::debug!(%hop, %why, "the loopback domain could not send");
                }
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens: the host and port of its addresses.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.task.abort();
    }
}
