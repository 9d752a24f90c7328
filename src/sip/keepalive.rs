//! Keep-alives of signalling flows (RFC 5626 sections 3.5 and 4.4).
//!
//! A flow is a [`Hop`] behind which a registrar or proxy remembers us. Between requests nothing crosses it, so that
//! address translators forget it and dead connections go unnoticed. [`KeepAlives`] says when to send what:
//!
//! ```text
//!   UDP  CRLFCRLF every 24 to 29 s ────────▶ keeps the mapping of the translator open; nobody answers
//!   UDP  STUN Binding in the same rhythm ──▶ ◀── how the far side sees us: not as before is Moved
//!            sent up to 7 times in 39.5 s, none answered: Dead, or CRLFs from now on if none ever was
//!   TCP  CRLFCRLF every 96 to 120 s ───────▶ ◀── CRLF within 10 s, once the peer has shown that it answers; else Dead
//! ```

mod flow;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::hop::{Hop, Transport};
use super::timer::Deadlines;
use crate::random::Random;
use crate::time::{Duration, Instant};
use flow::{Due, Flow};

/// What is sent: on a stream the "ping" of RFC 5626 section 3.5.1, in a datagram something that every SIP parser skips.
pub const PING: &[u8] = b"\r\n\r\n";

/// The longest interval over UDP (RFC 5626 section 4.4.2).
const UDP_INTERVAL: Duration = Duration::from_secs(29);

/// The longest interval over streams (RFC 5626 section 4.4.1).
const STREAM_INTERVAL: Duration = Duration::from_secs(120);

/// No interval is shorter, whatever a server or user says.
const SHORTEST: Duration = Duration::from_secs(5);

/// Flows beyond this number are not kept alive.
const FLOWS: usize = 1024;

/// What a flow over UDP is kept open by; connections have CRLFs only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Technique {
    /// CRLFs, for peers that are not known to speak STUN on their SIP port.
    Crlf,
    /// STUN Binding requests (RFC 5626 section 3.5.2); CRLFs once a peer has never answered one.
    Stun,
}

/// The transaction id of a STUN request (RFC 8489 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BindingId(pub [u8; 12]);

/// What to do for a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send [`PING`] on the flow.
    Ping(Hop),
    /// Send a STUN Binding request on the flow; bring what comes back to [`KeepAlives::handle_binding`].
    Binding(Hop, BindingId),
    /// The flow is dead: the peer used to answer and did not answer this time. Close the connection and register anew.
    /// The flow is no longer watched.
    Dead(Hop),
    /// The far side sees us at another address than before: a translator on the way has forgotten the flow, and what is
    /// sent to the old address is lost. Register anew (RFC 5626 section 4.4.2).
    Moved(Hop, SocketAddr),
}

/// The keep-alive schedules of all flows.
#[derive(Debug)]
pub struct KeepAlives {
    flows: BTreeMap<Hop, Flow>,
    deadlines: Deadlines<Hop>,
    outputs: VecDeque<Output>,
    random: Random,
    /// The longest interval over UDP.
    datagram: Duration,
}

impl KeepAlives {
    /// No flows yet; `random` spreads the pings.
    pub fn new(random: Random) -> Self {
        Self {
            flows: BTreeMap::new(),
            deadlines: Deadlines::default(),
            outputs: VecDeque::new(),
            random,
            datagram: UDP_INTERVAL,
        }
    }

    /// The same with another longest interval over UDP, for translators that forget faster; at least 5 s.
    pub fn with_datagram_interval(mut self, interval: Duration) -> Self {
        self.datagram = interval.max(SHORTEST);
        self
    }

    /// Keeps `hop` alive until `until` (the end of the registration behind it), or later if it is watched already for
    /// longer. `flow_timer` is the server's Flow-Timer header, if it sent one; that server also answers pings.
    ///
    /// Says whether the flow is watched; there is a bound of 1024 flows.
    pub fn watch(
        &mut self,
        now: Instant,
        hop: Hop,
        until: Instant,
        technique: Technique,
        flow_timer: Option<Duration>,
    ) -> bool {
        let known = self.flows.get(&hop).copied();
        if until <= now || (known.is_none() && self.flows.len() >= FLOWS) {
            return known.is_some();
        }
        let datagrams = hop.transport == Transport::Udp;
        let usual = if datagrams { self.datagram } else { STREAM_INTERVAL };
        let interval = flow_timer.unwrap_or(usual).clamp(SHORTEST, usual);
        let technique = if datagrams { technique } else { Technique::Crlf };
        let mut flow = known.unwrap_or_else(|| {
            // Whether STUN is spoken there, and how we are seen, is worth knowing at once.
            let wait = if technique == Technique::Stun { Duration::ZERO } else { self.spread(interval) };
            Flow::new(technique, interval, now + wait, until)
        });
        flow.until = flow.until.max(until);
        flow.interval = interval;
        flow.offer(now, technique);
        if flow_timer.is_some() && !datagrams {
            flow.peer_answers();
        }
        self.put(hop, flow);
        true
    }

    /// Pings on `hop`, if it is watched, come at least every `interval` (5 s at the shortest) until the next
    /// [`KeepAlives::watch`].
    pub fn hasten(&mut self, now: Instant, hop: Hop, interval: Duration) {
        let Some(mut flow) = self.flows.get(&hop).copied() else { return };
        flow.interval = flow.interval.min(interval.max(SHORTEST));
        let soon = now + self.spread(flow.interval);
        flow.hasten(soon);
        self.put(hop, flow);
    }

    /// Leaves `hop` alone from now on: nobody is registered behind it, or it was closed.
    pub fn forget(&mut self, hop: Hop) {
        if let Some(flow) = self.flows.remove(&hop) {
            self.deadlines.change(hop, Some(flow.deadline()), None);
        }
    }

    /// A pong (CRLF) came on `hop`.
    pub fn handle_pong(&mut self, now: Instant, hop: Hop) {
        if let Some(mut flow) = self.flows.get(&hop).copied() {
            let next = now + self.spread(flow.interval);
            flow.pong(next);
            self.put(hop, flow);
        }
    }

    /// The answer to the Binding request `id` came from `source`: how it sees us, or nothing where it does not tell.
    /// What answers no request of ours is ignored.
    pub fn handle_binding(&mut self, now: Instant, source: Hop, id: BindingId, mapped: Option<SocketAddr>) {
        let asked = |(hop, flow): &(&Hop, &Flow)| hop.remote == source.remote && flow.asks(id);
        let Some((hop, mut flow)) = self.flows.iter().find(asked).map(|(hop, flow)| (*hop, *flow)) else { return };
        let next = now + self.spread(flow.interval);
        if let Some(mapped) = flow.seen(next, mapped) {
            self.outputs.push_back(Output::Moved(hop, mapped));
        }
        self.put(hop, flow);
    }

    /// When to call [`KeepAlives::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first()
    }

    /// Does what is due `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(hop) = self.deadlines.due(now) {
            let Some(mut flow) = self.flows.get(&hop).copied() else { break };
            let next = now + self.spread(flow.interval);
            let due = flow.due(now, next, &mut self.random);
            match due {
                Due::End => self.forget(hop),
                Due::Dead => {
                    self.forget(hop);
                    self.outputs.push_back(Output::Dead(hop));
                }
                Due::Ping => {
                    self.put(hop, flow);
                    self.outputs.push_back(Output::Ping(hop));
                }
                Due::Binding(id) => {
                    self.put(hop, flow);
                    self.outputs.push_back(Output::Binding(hop, id));
                }
            }
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Is no flow watched?
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    fn put(&mut self, hop: Hop, flow: Flow) {
        let old = self.flows.insert(hop, flow).map(|flow| flow.deadline());
        self.deadlines.change(hop, old, Some(flow.deadline()));
    }

    /// 80 to 100 % of `interval` (RFC 5626 section 4.4.1), so that phones that started together do not ping together.
    fn spread(&mut self, interval: Duration) -> Duration {
        interval.mul_f64(0.8 + 0.2 * self.random.unit())
    }
}
