//! Symmetric RTP (RFC 4961): where packets really come from, behind address translators.
//!
//! The address of the session description counts until a packet that passed validation comes from another one. Then that
//! one counts, and others are not let in before it has fallen silent: who does not know the call's keys must not take it
//! over by sending faster.

use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// Silence after which another address may take over: a translator that forgot its binding, a far end that moved.
const TAKEOVER: Duration = Duration::from_secs(1);

/// The far end's address on one of our ports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latch {
    signalled: SocketAddr,
    learned: Option<SocketAddr>,
    heard: Option<Instant>,
}

impl Latch {
    pub(super) fn new(signalled: SocketAddr) -> Self {
        Self { signalled, learned: None, heard: None }
    }

    /// The session description was renegotiated; what was learnt stays if the address in it did.
    pub(super) fn signal(&mut self, signalled: SocketAddr) {
        if signalled != self.signalled {
            *self = Self::new(signalled);
        }
    }

    /// Where to send; `None` if that is nowhere (RFC 3264 section 8.4: hold by an unspecified address).
    pub(super) fn destination(&self) -> Option<SocketAddr> {
        if self.signalled.ip().is_unspecified() {
            return None;
        }
        Some(self.learned.unwrap_or(self.signalled)).filter(|to| to.port() != 0)
    }

    /// May an unauthenticated packet from there be looked at?
    pub(super) fn admits(&self, now: Instant, from: SocketAddr) -> bool {
        self.learned.is_none_or(|learned| learned == from) || self.heard.is_none_or(|heard| now.since(heard) > TAKEOVER)
    }

    /// A valid packet came from there. `Some` if that is news.
    pub(super) fn confirm(&mut self, now: Instant, from: SocketAddr) -> Option<SocketAddr> {
        let known = self.learned.unwrap_or(self.signalled);
        (self.learned, self.heard) = (Some(from), Some(now));
        (known != from).then_some(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_valid_address_holds_until_it_is_silent() {
        let [signalled, real, other]: [SocketAddr; 3] =
            ["192.0.2.1:4000", "198.51.100.1:61000", "203.0.113.9:9"].map(|text| text.parse().unwrap());
        let ms = Instant::from_millis;
        let mut latch = Latch::new(signalled);
        assert!(latch.admits(ms(0), real) && latch.admits(ms(0), other));
        assert_eq!(latch.confirm(ms(10), real), Some(real));
        assert_eq!(latch.confirm(ms(500), real), None);
        assert_eq!(latch.destination(), Some(real));
        assert!(!latch.admits(ms(1_400), other) && latch.admits(ms(1_400), real));
        assert!(latch.admits(ms(1_501), other));
        // The same address again changes nothing, another one does.
        latch.signal(signalled);
        assert_eq!(latch.destination(), Some(real));
        latch.signal("0.0.0.0:4000".parse().unwrap());
        assert_eq!(latch.destination(), None);
        latch.signal(other);
        assert_eq!(latch.destination(), Some(other));
        assert_eq!(latch.confirm(ms(2_000), other), None, "as signalled");
    }
}
