//! One socket of a call, received from in batches.

use super::super::clock::Clock;
use crate::time::Instant;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use quinn_udp::{RecvMeta, UdpSocketState};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

/// Datagrams asked for in one system call.
const BATCH: usize = 8;

/// Where the system gives one datagram at a time, getting one says nothing about the next.
const RECEIVES_BATCHES: bool = quinn_udp::BATCH_SIZE > 1;

/// What one datagram, or a run of datagrams that the kernel coalesced, can be at most.
const LARGEST: usize = 65_535;

/// Datagrams taken from one socket in one turn, so that a flood on one call leaves the others their time.
const PER_TURN: usize = 128;

/// System calls that this takes at most.
const TURNS: usize = if RECEIVES_BATCHES { PER_TURN / BATCH } else { PER_TURN };

/// The buffers of a worker: every socket receives into them.
pub(super) struct Batch {
    buffers: Box<[Vec<u8>; BATCH]>,
    meta: [RecvMeta; BATCH],
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { buffers: Box::new(std::array::from_fn(|_| vec![0; LARGEST])), meta: [RecvMeta::default(); BATCH] }
    }
}

/// One bound socket.
pub(super) struct Port {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Is the poll told of it?
    watched: bool,
    /// The last turn left datagrams behind.
    left_some: bool,
}

impl Port {
    /// Takes over a non-blocking socket.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let socket = UdpSocket::from_std(socket);
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket, state, watched: false, left_some: false })
    }

    /// Has the poll watch it as `token`. Where the system refuses that, the socket is looked at on each tick.
    pub(super) fn watch(&mut self, registry: &Registry, token: Token) {
        self.watched = registry.register(&mut self.socket, token, Interest::READABLE).is_ok();
    }

    /// Stops watching it.
    pub(super) fn unwatch(&mut self, registry: &Registry) {
        // Closing the socket does the same.
        let _ = registry.deregister(&mut self.socket);
    }

    /// Where it is bound.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// May there be datagrams that the poll will not tell of?
    pub(super) fn may_hold_more(&self) -> bool {
        self.left_some || !self.watched
    }

    /// Takes what has arrived, each datagram with its arrival by the kernel's stamp where there is one. Returns how
    /// many errors came between; none of them means that the next receive will fail.
    pub(super) fn receive(
        &mut self,
        batch: &mut Batch,
        clock: &Clock,
        mut take: impl FnMut(Instant, SocketAddr, &[u8]),
    ) -> u64 {
        let mut errors = 0;
        self.left_some = true;
        for _ in 0..TURNS {
            let mut slices = batch.buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
            let count = match self.state.recv((&self.socket).into(), &mut slices, &mut batch.meta) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.left_some = false;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // ICMP's news about an earlier packet, or a moment without memory.
                Err(_) => {
                    errors += 1;
                    continue;
                }
            };
            for (meta, buffer) in batch.meta.iter().zip(batch.buffers.iter()).take(count) {
                let arrival = meta.timestamp.map_or_else(|| clock.now(), |stamp| clock.arrival(stamp));
                let data = buffer.get(..meta.len).unwrap_or_default();
                for datagram in data.chunks(meta.stride.max(1)) {
                    take(arrival, meta.addr, datagram);
                }
            }
            if count < BATCH && RECEIVES_BATCHES {
                // The queue was empty: whatever comes now wakes the poll again.
                self.left_some = false;
                break;
            }
        }
        errors
    }

    /// Sends one datagram.
    ///
    /// Not through `quinn-udp`: it would send its own traffic class with each packet and undo the socket's marking.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        self.socket.send_to(bytes, to).map(|_| ())
    }
}
