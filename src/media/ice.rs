//! A lite agent of ICE (RFC 8445 section 2.5): answers the far end's checks, also those of consent (RFC 7675), and sends
//! where the far end has chosen.

use super::plan::IceCredentials;
use crate::stun::check;
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// A chosen way whose checks have ceased for so long is given up for another (RFC 7675 section 5.1).
const CONSENT: Duration = Duration::from_secs(30);

/// One port of ours.
#[derive(Clone, Debug)]
pub struct Lite {
    local: IceCredentials,
    remote_lite: bool,
    chosen: Option<Chosen>,
}

/// The way that the far end has chosen.
#[derive(Clone, Copy, Debug)]
struct Chosen {
    remote: SocketAddr,
    priority: u32,
    seen: Instant,
}

/// What a check leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// To be sent back to where it came from.
    pub response: Vec<u8>,
    /// Media goes there from now on.
    pub chosen: Option<SocketAddr>,
}

impl Lite {
    /// An agent of this name and password.
    pub fn new(local: IceCredentials) -> Self {
        Self { local, remote_lite: false, chosen: None }
    }

    /// The far end has told of itself; with another name of ours it begins anew.
    pub fn meet(&mut self, local: &IceCredentials, remote_lite: bool) {
        if self.local != *local {
            *self = Self::new(local.clone());
        }
        self.remote_lite = remote_lite;
    }

    /// Where the far end wants media.
    pub fn chosen(&self) -> Option<SocketAddr> {
        self.chosen.map(|chosen| chosen.remote)
    }

    /// Is it known where media goes? Without anybody who checks, where the description says.
    pub fn is_settled(&self) -> bool {
        self.chosen.is_some() || self.remote_lite
    }

    /// A datagram that may be a check came from `from`; `None` if it is none.
    pub fn handle(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Option<Checked> {
        let IceCredentials { user, password } = &self.local;
        let answer = check::answer(datagram, from, user, password, self.remote_lite)?;
        let before = self.chosen();
        if let Some(chosen) = self.chosen.as_mut().filter(|chosen| answer.passed && chosen.remote == from) {
            chosen.seen = now;
        }
        // Peers of RFC 5245 nominate every way that works, and mean the best of them (section 8.1.1.2 there).
        let better = self.chosen.is_none_or(|known| {
            answer.priority > known.priority || (known.remote != from && now.since(known.seen) > CONSENT)
        });
        if answer.nominated && better {
            self.chosen = Some(Chosen { remote: from, priority: answer.priority, seen: now });
        }
        let chosen = self.chosen().filter(|chosen| Some(*chosen) != before);
        Some(Checked { response: answer.response, chosen })
    }
}
