//! Keep-alives of signalling flows (RFC 5626 sections 3.5.1 and 4.4).
//!
//! A flow is a [`Hop`] behind which a registrar or proxy remembers us. Between requests nothing crosses it, so that
//! address translators forget it and dead connections go unnoticed. [`KeepAlives`] says when to send what:
//!
//! ```text
//!   UDP  CRLFCRLF every 24 to 29 s ───▶ keeps the mapping of the translator open; nobody answers
//!   TCP  CRLFCRLF every 96 to 120 s ──▶ ◀── CRLF within 10 s, once the peer has shown that it answers; else Dead
//! ```

use std::collections::{BTreeMap, VecDeque};

use super::hop::{Hop, Transport};
use super::timer::Deadlines;
use crate::random::Random;
use crate::time::{Duration, Instant};

/// What is sent: on a stream the "ping" of RFC 5626 section 3.5.1, in a datagram something that every SIP parser skips.
pub const PING: &[u8] = b"\r\n\r\n";

/// The longest interval over UDP (RFC 5626 section 4.4.2).
const UDP_INTERVAL: Duration = Duration::from_secs(29);

/// The longest interval over streams (RFC 5626 section 4.4.1).
const STREAM_INTERVAL: Duration = Duration::from_secs(120);

/// No interval is shorter, whatever a server or user says.
const SHORTEST: Duration = Duration::from_secs(5);

/// How long an expected pong may take (RFC 5626 section 4.4.1).
const PONG: Duration = Duration::from_secs(10);

/// Flows beyond this number are not kept alive.
const FLOWS: usize = 1024;

/// What to do for a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send [`PING`] on the flow.
    Ping(Hop),
    /// The flow is dead: the peer used to answer pings and did not answer this one. Close the connection and register
    /// anew. The flow is no longer watched.
    Dead(Hop),
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

/// The schedule of one flow.
#[derive(Clone, Copy, Debug)]
struct Flow {
    state: State,
    /// The longest interval between two pings.
    interval: Duration,
    /// When the interest in the flow ends by itself.
    until: Instant,
    /// Does the peer answer pings? Then silence means that the flow is dead.
    answers: Answers,
}

/// Does a peer answer pings? RFC 5626 lets only a peer that says so be held to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    Unknown,
    Always,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The next ping is due at that time.
    Quiet { ping: Instant },
    /// A pong has to come until that time.
    Waiting { pong: Instant },
}

impl Flow {
    fn deadline(&self) -> Instant {
        let (State::Quiet { ping: at } | State::Waiting { pong: at }) = self.state;
        at.min(self.until)
    }
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
    pub fn watch(&mut self, now: Instant, hop: Hop, until: Instant, flow_timer: Option<Duration>) -> bool {
        let known = self.flows.get(&hop).copied();
        if until <= now || (known.is_none() && self.flows.len() >= FLOWS) {
            return known.is_some();
        }
        let usual = if hop.transport == Transport::Udp { self.datagram } else { STREAM_INTERVAL };
        let interval = flow_timer.unwrap_or(usual).clamp(SHORTEST, usual);
        let mut flow = known.unwrap_or_else(|| {
            let state = State::Quiet { ping: now + self.spread(interval) };
            Flow { state, interval, until, answers: Answers::Unknown }
        });
        flow.until = flow.until.max(until);
        flow.interval = interval;
        if flow_timer.is_some() && hop.transport != Transport::Udp {
            flow.answers = Answers::Always;
        }
        self.put(hop, flow);
        true
    }

    /// Pings on `hop`, if it is watched, come at least every `interval` (5 s at the shortest) until the next
    /// [`KeepAlives::watch`].
    pub fn hasten(&mut self, now: Instant, hop: Hop, interval: Duration) {
        let Some(mut flow) = self.flows.get(&hop).copied() else { return };
        flow.interval = flow.interval.min(interval.max(SHORTEST));
        if let State::Quiet { ping } = flow.state {
            flow.state = State::Quiet { ping: ping.min(now + self.spread(flow.interval)) };
        }
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
            flow.answers = Answers::Always;
            if let State::Waiting { .. } = flow.state {
                flow.state = State::Quiet { ping: now + self.spread(flow.interval) };
            }
            self.put(hop, flow);
        }
    }

    /// When to call [`KeepAlives::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first()
    }

    /// Does what is due `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(hop) = self.deadlines.due(now) {
            let Some(mut flow) = self.flows.get(&hop).copied() else { break };
            match flow.state {
                _ if now >= flow.until => {
                    self.forget(hop);
                    continue;
                }
                State::Waiting { .. } => {
                    self.forget(hop);
                    self.outputs.push_back(Output::Dead(hop));
                    continue;
                }
                State::Quiet { .. } if flow.answers == Answers::Always => {
                    flow.state = State::Waiting { pong: now + PONG };
                }
                State::Quiet { .. } => flow.state = State::Quiet { ping: now + self.spread(flow.interval) },
            }
            self.put(hop, flow);
            self.outputs.push_back(Output::Ping(hop));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(transport: Transport) -> Hop {
        Hop { transport, local: "192.0.2.1:5060".parse().unwrap(), remote: "192.0.2.9:5060".parse().unwrap() }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    /// The gaps between outputs, each with its output, until nothing is scheduled.
    fn run(flows: &mut KeepAlives, mut react: impl FnMut(&mut KeepAlives, Instant, Output)) -> Vec<(Duration, Output)> {
        let mut seen = Vec::new();
        let mut last = Instant::ZERO;
        while let Some(now) = flows.poll_timeout() {
            flows.handle_timeout(now);
            while let Some(output) = flows.poll_output() {
                seen.push((now - last, output));
                last = now;
                react(flows, now, output);
            }
        }
        seen
    }

    #[test]
    fn datagrams_go_every_24_to_29_seconds_while_the_registration_lasts() {
        let mut flows = KeepAlives::new(Random::from_seed(1));
        let udp = hop(Transport::Udp);
        assert!(flows.watch(at(0), udp, at(300), None));
        let seen = run(&mut flows, |_, _, _| ());
        assert!((10..=12).contains(&seen.len()), "{seen:?}");
        for (gap, output) in &seen {
            assert!((23.2..=29.0).contains(&gap.as_secs_f64()), "{gap:?}");
            assert_eq!(*output, Output::Ping(udp));
        }
        let mut gaps: Vec<_> = seen.iter().map(|(gap, _)| *gap).collect();
        gaps.dedup();
        assert_eq!(gaps.len(), seen.len(), "the interval varies");
        assert!(flows.is_empty(), "after the registration ended nothing is watched");
    }

    #[test]
    fn one_flow_can_be_pinged_more_often_than_the_others() {
        let mut flows = KeepAlives::new(Random::from_seed(1));
        let tcp = hop(Transport::Tcp);
        flows.hasten(at(0), tcp, Duration::from_secs(15));
        assert!(flows.is_empty(), "only what is watched");
        flows.watch(at(0), tcp, at(300), None);
        flows.hasten(at(0), tcp, Duration::from_secs(15));
        let seen = run(&mut flows, |_, _, _| ());
        assert!((19..=26).contains(&seen.len()), "{seen:?}");
        assert!(seen.iter().all(|(gap, _)| *gap <= Duration::from_secs(15)), "{seen:?}");
    }

    #[test]
    fn the_user_can_ask_for_more() {
        let mut flows = KeepAlives::new(Random::from_seed(1)).with_datagram_interval(Duration::from_secs(10));
        flows.watch(at(0), hop(Transport::Udp), at(100), None);
        let seen = run(&mut flows, |_, _, _| ());
        assert!((10..=12).contains(&seen.len()), "{seen:?}");
    }

    #[test]
    fn a_stream_that_never_answered_is_not_called_dead() {
        let mut flows = KeepAlives::new(Random::from_seed(2));
        let tcp = hop(Transport::Tcp);
        flows.watch(at(0), tcp, at(600), None);
        let seen = run(&mut flows, |_, _, _| ());
        assert!((5..=6).contains(&seen.len()), "{seen:?}");
        assert!(
            seen.iter()
                .all(|(gap, output)| { (96.0..=120.0).contains(&gap.as_secs_f64()) && *output == Output::Ping(tcp) })
        );
    }

    #[test]
    fn a_stream_that_stopped_answering_is_dead_after_10_seconds() {
        let mut flows = KeepAlives::new(Random::from_seed(3));
        let tcp = hop(Transport::Tcp);
        flows.watch(at(0), tcp, at(3600), None);
        let mut answered = 0;
        let seen = run(&mut flows, |flows, now, output| {
            if output == Output::Ping(tcp) && answered < 3 {
                answered += 1;
                flows.handle_pong(now + Duration::from_millis(30), tcp);
            }
        });
        assert_eq!(seen.len(), 5, "four pings, three answers: {seen:?}");
        assert_eq!(seen.last(), Some(&(PONG, Output::Dead(tcp))));
        assert!(flows.is_empty());
    }

    #[test]
    fn the_servers_flow_timer_rules_and_promises_pongs() {
        let mut flows = KeepAlives::new(Random::from_seed(4));
        let tcp = hop(Transport::Tcp);
        flows.watch(at(0), tcp, at(3600), Some(Duration::from_secs(30)));
        let seen = run(&mut flows, |_, _, _| ());
        assert!((24.0..=30.0).contains(&seen[0].0.as_secs_f64()));
        assert_eq!(seen[1], (PONG, Output::Dead(tcp)));
    }

    #[test]
    fn forgotten_flows_are_quiet_and_watching_again_prolongs() {
        let mut flows = KeepAlives::new(Random::from_seed(5));
        let udp = hop(Transport::Udp);
        flows.watch(at(0), udp, at(40), None);
        flows.watch(at(10), udp, at(60), None);
        assert_eq!(run(&mut flows, |_, _, _| ()).len(), 2);
        flows.watch(at(100), udp, at(200), None);
        flows.forget(udp);
        assert_eq!((flows.poll_timeout(), flows.is_empty()), (None, true));
    }
}
