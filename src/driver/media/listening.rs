//! The ports of a call that nobody has answered yet.

use super::super::clock::Clock;
use super::port::{Batch, Port};
use crate::media::session::{Component, Gate};
use crate::time::Instant;
use mio::{Registry, Token};

/// Answers connectivity checks and first flights of handshakes, and keeps what comes besides for the session.
pub(super) struct Listening {
    gate: Gate,
    rtp: Port,
    rtcp: Port,
    /// The latest time that the gate was told: arrival stamps must not lead it back.
    told: Instant,
}

impl Listening {
    pub(super) fn new(gate: Gate, rtp: Port, rtcp: Port) -> Self {
        Self { gate, rtp, rtcp, told: Instant::ZERO }
    }

    pub(super) fn watch(&mut self, registry: &Registry, rtp: Token, rtcp: Token) {
        self.rtp.watch(registry, rtp);
        self.rtcp.watch(registry, rtcp);
    }

    /// Takes what has arrived on a socket, and answers it.
    pub(super) fn receive(&mut self, component: Component, batch: &mut Batch, clock: &Clock) {
        let Self { gate, rtp, rtcp, told } = self;
        let port = if component == Component::Rtp { rtp } else { rtcp };
        port.receive(batch, clock, |arrival, from, bytes| {
            *told = arrival.max(*told);
            gate.arrive(*told, component, from, bytes);
        });
        self.flush();
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.gate.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.told = now.max(self.told);
        self.gate.handle_timeout(self.told);
        self.flush();
    }

    /// The far end has answered: the session takes over.
    pub(super) fn end(mut self, registry: &Registry, batch: &mut Batch, clock: &Clock) -> Gate {
        for component in [Component::Rtp, Component::Rtcp] {
            self.receive(component, batch, clock);
        }
        self.rtp.unwatch(registry);
        self.rtcp.unwatch(registry);
        self.gate
    }

    fn flush(&mut self) {
        while let Some((component, to, octets)) = self.gate.poll_transmit() {
            let port = if component == Component::Rtp { &self.rtp } else { &self.rtcp };
            // What is lost is asked for again.
            let _ = port.send(to, &octets);
        }
    }
}
