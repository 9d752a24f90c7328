//! Keys by a handshake on the media ports: DTLS-SRTP (RFC 5763, RFC 5764).
//!
//! ```text
//!  datagram 20..63 ─▶ Association ─▶ Handshake … ─▶ Agreed: keys, certificate
//!                        ▲                             │ one of the fingerprints of the session description?
//!   session description ─┘                             └─▶ Secured, or Failed
//! ```
//!
//! The handshake itself is the library's. An association answers first flights before the session description of the far
//! end is there (RFC 5763 section 6.2); nothing passes before the certificate is compared with it.

mod handshake;
mod identity;

pub use handshake::PROFILES;
pub use identity::{Fingerprint, Hash, Identity, NoFingerprint, NoIdentity};

use super::plan::{Dtls, Srtp, SrtpSuite};
use crate::time::{Duration, Instant};
use bytes::BytesMut;
use handshake::Handshake;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Who asks in a handshake (RFC 5763 section 5: `a=setup`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We send the first flight: `active`.
    Client,
    /// We wait for it: `passive`.
    Server,
}

/// How long a handshake may take once both ends know of each other.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a handshake may go on after something in it was wrong: anybody can send us a false alert.
const DOUBT: Duration = Duration::from_secs(2);

/// Far ends that may shake hands with us before one of them has answered: forks, and whoever guesses the port.
const STRANGERS: usize = 4;

/// Datagrams that may wait to be sent.
const OUTBOX: usize = 32;

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// The certificate is another than the session description says.
    #[error(
        "the far end's DTLS certificate has the fingerprint {found}, but its session description says {said}: somebody may \
         be in between, so nothing is sent or played; the far end has to send the fingerprint of the certificate it uses"
    )]
    Fingerprint {
        /// Of the certificate.
        found: Fingerprint,
        /// What the description says.
        said: String,
    },
    /// It was asked and did not answer.
    #[error(
        "the far end does not answer the DTLS handshake; UDP has to get through both ways, and the far end has to do DTLS-SRTP"
    )]
    Silent,
    /// It was to ask and did not.
    #[error(
        "the far end did not begin the DTLS handshake within 20 s; UDP has to get through both ways, and the far end has to \
         do DTLS-SRTP"
    )]
    NotBegun,
    /// No SRTP profile in common.
    #[error(
        "the DTLS handshake agreed on no SRTP profile that is known here; let the far end offer SRTP_AES128_CM_SHA1_80"
    )]
    NoProfile,
    /// It showed none.
    #[error(
        "the far end showed no certificate in the DTLS handshake; it has to, whichever side asks (RFC 5763 section 5)"
    )]
    NoCertificate,
    /// The library's words.
    #[error("the DTLS handshake failed: {0}")]
    Handshake(String),
}

/// Keys that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secured {
    /// For both directions.
    pub srtp: Srtp,
    /// Where the far end shook hands from.
    pub from: SocketAddr,
}

/// DTLS on one port of a call, from its first datagram to its last.
#[derive(Debug)]
pub struct Association {
    identity: Identity,
    suites: Vec<SrtpSuite>,
    /// What the far end says of itself, and until when its handshake is waited for; none before it has answered.
    expected: Option<(Dtls, Instant)>,
    /// Where our own first flight goes.
    destination: Option<SocketAddr>,
    /// Each with the address that it is led with.
    handshakes: Vec<(SocketAddr, Handshake)>,
    outbox: VecDeque<(SocketAddr, BytesMut)>,
    /// What was wrong, and when it ends the association.
    trouble: Option<(Instant, Failed)>,
    outcome: Option<Result<Secured, Failed>>,
    told: bool,
}

impl Association {
    /// Waits for whoever may begin.
    pub fn listen(identity: Identity, suites: Vec<SrtpSuite>) -> Self {
        Self {
            identity,
            suites,
            expected: None,
            destination: None,
            handshakes: Vec::new(),
            outbox: VecDeque::new(),
            trouble: None,
            outcome: None,
            told: false,
        }
    }

    /// The session description of the far end came.
    pub fn expect(&mut self, now: Instant, dtls: Dtls) {
        self.handshakes.retain(|(_, handshake)| handshake.role() == dtls.role);
        self.expected = Some((dtls, now + PATIENCE));
        // Who is not whom we called is one of those it forked to.
        self.outcome = self.handshakes.iter().find_map(|(from, handshake)| {
            let (dtls, _) = self.expected.as_ref()?;
            let agreed = handshake
                .agreed()
                .filter(|agreed| Fingerprint::any_matches(&dtls.fingerprints, &agreed.certificate))?;
            Some(Ok(Secured { srtp: agreed.srtp.clone(), from: *from }))
        });
        if self.outcome.is_none() {
            self.handshakes.retain(|(_, handshake)| handshake.agreed().is_none());
        }
        self.begin(now);
    }

    /// Packets go there, as far as is known.
    pub fn direct(&mut self, now: Instant, destination: SocketAddr) {
        self.destination = Some(destination);
        for (to, handshake) in &mut self.handshakes {
            if handshake.role() == Role::Client {
                *to = destination;
            }
        }
        self.begin(now);
    }

    fn begin(&mut self, now: Instant) {
        let Some((dtls, _)) = &self.expected else { return };
        let Some(destination) = self.destination.filter(|_| self.outcome.is_none()) else { return };
        if dtls.role == Role::Client && self.handshakes.is_empty() {
            match Handshake::start(now, Role::Client, &self.identity, &self.suites) {
                Ok(handshake) => self.handshakes.push((destination, handshake)),
                Err(failed) => self.outcome = Some(Err(failed)),
            }
            self.collect();
        }
    }

    /// A datagram that is DTLS (RFC 7983) came.
    pub fn handle(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if matches!(self.outcome, Some(Err(_))) {
            return;
        }
        let Some(index) = self.handshake_of(now, from, datagram) else { return };
        let Some((address, handshake)) = self.handshakes.get_mut(index) else { return };
        let was_agreed = handshake.agreed().is_some();
        match handshake.handle(now, datagram) {
            // Only who is authentic may change where we answer to.
            Ok(()) if !was_agreed && handshake.agreed().is_some() => *address = from,
            Ok(()) => {}
            // What comes after the handshake (an alert, say) ends nothing: the call's end does.
            Err(failed) if !was_agreed => {
                self.trouble.get_or_insert((now + DOUBT, failed));
            }
            Err(_) => {}
        }
        self.collect();
        if !was_agreed {
            self.judge(index);
        }
    }

    /// The handshake that a datagram belongs to; a first flight begins one.
    fn handshake_of(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Option<usize> {
        if let Some(known) = self.handshakes.iter().position(|(address, _)| *address == from) {
            return Some(known);
        }
        let asks = self.expected.as_ref().is_some_and(|(dtls, _)| dtls.role == Role::Client);
        if asks || self.outcome.is_some() || !is_client_hello(datagram) {
            // The way of the one far end changed.
            return (self.handshakes.len() == 1).then_some(0);
        }
        if self.handshakes.len() >= STRANGERS {
            let oldest = self.handshakes.iter().position(|(_, handshake)| handshake.agreed().is_none()).unwrap_or(0);
            self.handshakes.remove(oldest);
        }
        let handshake = Handshake::start(now, Role::Server, &self.identity, &self.suites).ok()?;
        self.handshakes.push((from, handshake));
        Some(self.handshakes.len() - 1)
    }

    /// Is the far end of a handshake that is through the one of the session description?
    fn judge(&mut self, index: usize) {
        let (None, Some((dtls, _))) = (&self.outcome, &self.expected) else { return };
        let Some((from, handshake)) = self.handshakes.get_mut(index) else { return };
        let Some(agreed) = handshake.agreed() else { return };
        if Fingerprint::any_matches(&dtls.fingerprints, &agreed.certificate) {
            self.outcome = Some(Ok(Secured { srtp: agreed.srtp.clone(), from: *from }));
            let winner = self.handshakes.swap_remove(index);
            self.handshakes = vec![winner];
            self.trouble = None;
        } else {
            let said: Vec<String> = dtls.fingerprints.iter().map(ToString::to_string).collect();
            let hash = dtls.fingerprints.iter().map(|known| known.hash).min().unwrap_or(Hash::Sha256);
            let found = Fingerprint::of(hash, &agreed.certificate);
            self.outcome = Some(Err(Failed::Fingerprint { found, said: said.join(", ") }));
        }
    }

    fn collect(&mut self) {
        for (to, handshake) in &mut self.handshakes {
            while let Some(datagram) = handshake.poll_transmit() {
                if self.outbox.len() < OUTBOX {
                    self.outbox.push_back((*to, datagram));
                }
            }
        }
    }

    /// The next datagram to send, and where to.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, BytesMut)> {
        self.outbox.pop_front()
    }

    /// What it came to; told once.
    pub fn poll_outcome(&mut self) -> Option<Result<Secured, Failed>> {
        let outcome = self.outcome.as_ref().filter(|_| !self.told)?;
        self.told = true;
        Some(outcome.clone())
    }

    /// When [`Association::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.outcome.is_some() {
            return None;
        }
        let handshakes = self.handshakes.iter().filter_map(|(_, handshake)| handshake.poll_timeout());
        let trouble = self.trouble.as_ref().map(|(due, _)| *due);
        let patience = self.expected.as_ref().map(|(_, due)| *due);
        handshakes.chain(trouble).chain(patience).min()
    }

    /// Sends again what has no answer; gives up.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.outcome.is_some() {
            return;
        }
        let asks = self.expected.as_ref().is_some_and(|(dtls, _)| dtls.role == Role::Client);
        let mut silent = false;
        self.handshakes.retain_mut(|(_, handshake)| {
            let alive = handshake.handle_timeout(now).is_ok();
            silent |= !alive;
            alive
        });
        self.collect();
        if let Some((_, failed)) = self.trouble.take_if(|(due, _)| *due <= now) {
            // Without anybody to believe, a stranger's mistake is nobody's.
            if self.expected.is_some() {
                self.outcome = Some(Err(failed));
            }
        } else if silent && asks {
            self.outcome = Some(Err(Failed::Silent));
        } else if self.expected.as_ref().is_some_and(|(_, due)| *due <= now) {
            self.outcome = Some(Err(if asks { Failed::Silent } else { Failed::NotBegun }));
        }
    }

    /// Tells the far end that nothing follows (RFC 5246 section 7.2.1).
    pub fn close(&mut self, now: Instant) {
        self.handshakes.iter_mut().for_each(|(_, handshake)| handshake.close(now));
        self.collect();
    }
}

/// Is it DTLS by its first octet (RFC 7983 section 7)?
pub fn is_dtls(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}

/// A record of epoch 0 that carries the beginning of a ClientHello (RFC 6347 sections 4.1 and 4.2.2).
fn is_client_hello(datagram: &[u8]) -> bool {
    datagram.first() == Some(&22) && datagram.get(3..5) == Some(&[0, 0]) && datagram.get(13) == Some(&1)
}

#[cfg(test)]
mod tests;
