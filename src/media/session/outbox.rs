//! Datagrams that wait to be sent, their buffers used again.

use super::{Component, Transmit};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Datagrams that may wait: two packet times with all their digits and reports. More means that nobody sends.
const MOST: usize = 32;

/// The octets of a datagram.
#[derive(Debug)]
enum Octets {
    /// Ours, used again.
    Plain(Vec<u8>),
    /// From SRTP.
    Protected(Bytes),
}

#[derive(Debug)]
struct Datagram {
    component: Component,
    to: SocketAddr,
    octets: Octets,
}

/// A bounded queue of datagrams.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Datagram>,
    /// The one that was handed out last.
    current: Option<Datagram>,
    spare: Vec<Vec<u8>>,
}

impl Outbox {
    /// Queues a copy of `octets`; false if too much waits already.
    pub(super) fn push_plain(&mut self, component: Component, to: SocketAddr, octets: &[u8]) -> bool {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(octets);
        self.push(Datagram { component, to, octets: Octets::Plain(buffer) })
    }

    /// Queues `octets`; false if too much waits already.
    pub(super) fn push_protected(&mut self, component: Component, to: SocketAddr, octets: Bytes) -> bool {
        self.push(Datagram { component, to, octets: Octets::Protected(octets) })
    }

    fn push(&mut self, datagram: Datagram) -> bool {
        if self.queue.len() >= MOST {
            return false;
        }
        self.queue.push_back(datagram);
        true
    }

    pub(super) fn pop(&mut self) -> Option<Transmit<'_>> {
        if let Some(Datagram { octets: Octets::Plain(buffer), .. }) = self.current.take()
            && self.spare.len() < MOST
        {
            self.spare.push(buffer);
        }
        self.current = self.queue.pop_front();
        let Datagram { component, to, octets } = self.current.as_ref()?;
        let bytes = match octets {
            Octets::Plain(buffer) => buffer,
            Octets::Protected(bytes) => bytes.as_ref(),
        };
        Some(Transmit { component: *component, to: *to, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_leave_in_order_and_their_buffers_come_back() {
        let to: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let mut outbox = Outbox::default();
        assert!(outbox.push_plain(Component::Rtp, to, b"one"));
        assert!(outbox.push_protected(Component::Rtcp, to, Bytes::from_static(b"two")));
        let first = outbox.pop().unwrap();
        assert_eq!((first.component, first.bytes), (Component::Rtp, &b"one"[..]));
        let place = first.bytes.as_ptr();
        let second = outbox.pop().unwrap();
        assert_eq!((second.component, second.to, second.bytes), (Component::Rtcp, to, &b"two"[..]));
        assert!(outbox.pop().is_none());
        outbox.push_plain(Component::Rtp, to, b"six");
        assert_eq!(outbox.pop().unwrap().bytes.as_ptr(), place);
        assert!((0..MOST).all(|_| outbox.push_plain(Component::Rtp, to, b"x")));
        assert!(!outbox.push_plain(Component::Rtp, to, b"x"));
    }
}
