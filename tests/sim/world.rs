//! The world of a simulation: agents and scripted peers at addresses, a link between them, one virtual clock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;

use sidetone::bench::impair::{Impairment, Recipe};
use sidetone::random::Random;
use sidetone::sip::agent::{Agent, AgentConfig, Event, Output, ResolveError, SessionId};
use sidetone::sip::hop::{Hop, Transport};
use sidetone::sip::keepalive::BindingId;
use sidetone::sip::message::{Message, Method, Status};
use sidetone::sip::wire::{StreamItem, parse_datagram};
use sidetone::time::{Duration, Instant};

/// An agent of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(pub usize);

/// One agent.
pub struct Place {
    pub agent: Agent,
    pub address: SocketAddr,
    pub events: VecDeque<Event>,
    /// The STUN requests of its keep-alives that wait for an answer.
    pub bindings: VecDeque<(Instant, Hop, BindingId)>,
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Wire {
    pub at: Instant,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub transport: Transport,
    pub bytes: Vec<u8>,
}

/// What the link does to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Pass,
    Lose,
    Delay(Duration),
    Twice,
}

/// How long a message takes on a network that does nothing to it.
const LATENCY: Duration = Duration::from_millis(10);

/// Decides about single messages before the link does.
type Filter = Box<dyn FnMut(&Wire) -> Fate>;

pub struct World {
    pub now: Instant,
    pub places: Vec<Place>,
    /// What scripted peers received.
    pub inboxes: BTreeMap<SocketAddr, VecDeque<Wire>>,
    /// What happens to datagrams.
    network: Impairment,
    /// How long every message takes at least.
    latency: Duration,
    pub filter: Filter,
    /// The name service: a name and its addresses in order.
    pub names: HashMap<String, Vec<SocketAddr>>,
    /// Names that the name service never answers for.
    pub unanswered: Vec<String>,
    /// Every message that was sent.
    pub trace: Vec<Wire>,
    pub random: Random,
    pub seed: u64,
    flights: BTreeMap<(Instant, u64), Wire>,
    last_flight: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            now: Instant::from_millis(1000),
            places: Vec::new(),
            inboxes: BTreeMap::new(),
            network: Impairment::new(Recipe { delay: LATENCY, ..Recipe::default() }, Random::from_seed(!seed)),
            latency: LATENCY,
            filter: Box::new(|_| Fate::Pass),
            names: HashMap::new(),
            unanswered: Vec::new(),
            trace: Vec::new(),
            random: Random::from_seed(seed),
            seed,
            flights: BTreeMap::new(),
            last_flight: 0,
        }
    }

    pub fn agent(&mut self, address: &str, config: AgentConfig) -> Node {
        let random = self.random.split();
        let address = address.parse().unwrap();
        self.places.push(Place {
            agent: Agent::new(config, random),
            address,
            events: VecDeque::new(),
            bindings: VecDeque::new(),
        });
        Node(self.places.len() - 1)
    }

    pub fn peer(&mut self, address: &str) -> SocketAddr {
        let address = address.parse().unwrap();
        self.inboxes.insert(address, VecDeque::new());
        address
    }

    /// Commands an agent; what it wants sent is on its way afterwards.
    pub fn with<T>(&mut self, node: Node, command: impl FnOnce(&mut Agent, Instant) -> T) -> T {
        let now = self.now;
        let result = command(&mut self.places[node.0].agent, now);
        self.drain(node);
        result
    }

    /// A scripted peer sends a message.
    pub fn say(&mut self, from: SocketAddr, to: SocketAddr, message: impl Into<Message>) {
        self.say_bytes(from, to, message.into().to_bytes());
    }

    pub fn say_bytes(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.launch(Wire { at: self.now, from, to, transport: Transport::Udp, bytes });
    }

    /// Jumps to the next thing that happens; `false`: nothing ever will.
    pub fn step(&mut self) -> bool {
        self.step_until(Instant::at(Duration::from_secs(u64::MAX / 4)))
    }

    /// Jumps to the next thing that happens, but not beyond `limit`.
    pub fn step_before(&mut self, limit: Instant) {
        if !self.step_until(limit) {
            self.now = self.now.max(limit);
        }
    }

    fn step_until(&mut self, limit: Instant) -> bool {
        let flight = self.flights.keys().next().map(|(at, _)| *at);
        let timeouts = self.places.iter().filter_map(|place| place.agent.poll_timeout());
        let Some(next) = timeouts.chain(flight).min() else { return false };
        if next > limit {
            return false;
        }
        self.now = self.now.max(next);
        while let Some(entry) = self.flights.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let wire = entry.remove();
            self.deliver(wire);
        }
        for index in 0..self.places.len() {
            let place = &mut self.places[index];
            // A spurious call has to be harmless, so that all are called.
            place.agent.handle_timeout(self.now);
            let due = place.agent.poll_timeout();
            assert!(due.is_none_or(|due| due > self.now), "{due:?} stays due at {:?}, seed {}", self.now, self.seed);
            self.drain(Node(index));
        }
        true
    }

    pub fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.step_until(until) {}
        self.now = until;
    }

    /// Runs until the agent says such an event, and takes it; events before it are dropped.
    #[track_caller]
    pub fn wait<T>(&mut self, node: Node, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let give_up = self.now + Duration::from_secs(600);
        loop {
            while let Some(event) = self.places[node.0].events.pop_front() {
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
            assert!(self.step_until(give_up), "the event never came; sent so far:\n{}", self.story());
        }
    }

    /// Runs until a scripted peer receives something, and takes it.
    #[track_caller]
    pub fn receive(&mut self, peer: SocketAddr) -> Message {
        let give_up = self.now + Duration::from_secs(600);
        loop {
            if let Some(wire) = self.inboxes.get_mut(&peer).and_then(VecDeque::pop_front) {
                return parse_datagram(&wire.bytes).unwrap();
            }
            assert!(self.step_until(give_up), "{peer} received nothing; sent so far:\n{}", self.story());
        }
    }

    /// What the agent said and nobody took.
    pub fn events(&mut self, node: Node) -> Vec<Event> {
        self.places[node.0].events.drain(..).collect()
    }

    /// What a scripted peer received and nobody took.
    pub fn inbox(&mut self, peer: SocketAddr) -> Vec<Message> {
        let inbox = self.inboxes.get_mut(&peer).unwrap();
        inbox.drain(..).map(|wire| parse_datagram(&wire.bytes).unwrap()).collect()
    }

    pub fn address(&self, node: Node) -> SocketAddr {
        self.places[node.0].address
    }

    /// Five idle minutes leave nothing behind.
    #[track_caller]
    pub fn assert_forgotten(&mut self) {
        self.run(Duration::from_secs(300));
        for place in &self.places {
            assert_eq!(place.agent.sizes(), Default::default(), "seed {}:\n{}", self.seed, self.story());
            assert!(place.agent.is_settled());
            assert_eq!(place.agent.poll_timeout(), None);
        }
    }

    /// The start lines of all messages sent, for failures and for comparing.
    pub fn story(&self) -> String {
        self.trace.iter().map(|wire| format!("{:?} {} > {} {}\n", wire.at, wire.from, wire.to, summary(wire))).collect()
    }

    /// How often a message of that kind was sent.
    pub fn count(&self, from: SocketAddr, wanted: &str) -> usize {
        self.trace.iter().filter(|wire| wire.from == from && summary(wire) == wanted).count()
    }

    /// When messages of that kind were sent, in milliseconds from `start`.
    pub fn times(&self, from: SocketAddr, wanted: &str, start: Instant) -> Vec<u128> {
        let sent = self.trace.iter().filter(|wire| wire.from == from && summary(wire) == wanted);
        sent.map(|wire| wire.at.since(start).as_millis()).collect()
    }

    fn drain(&mut self, node: Node) {
        loop {
            let place = &mut self.places[node.0];
            match place.agent.poll_output() {
                None => return,
                Some(Output::Event(event)) => place.events.push_back(event),
                Some(Output::Binding { hop, id }) => place.bindings.push_back((self.now, hop, id)),
                Some(Output::Disconnect { .. }) => {}
                Some(Output::Transmit { hop, bytes }) => {
                    assert!(!hop.local.ip().is_unspecified());
                    let (from, to, transport) = (place.address, hop.remote, hop.transport);
                    self.launch(Wire { at: self.now, from, to, transport, bytes: bytes.to_vec() });
                }
                Some(Output::Resolve { host, .. }) if self.unanswered.contains(&host.to_string()) => {}
                Some(Output::Resolve { id, host, port, transport }) => {
                    let transport = transport.unwrap_or(Transport::Udp);
                    let local = place.address;
                    let port = port.unwrap_or(5060);
                    let found = match host.ip() {
                        Some(ip) => Some(vec![SocketAddr::new(ip, port)]),
                        None => self.names.get(&host.to_string()).cloned(),
                    };
                    let hops = found
                        .ok_or_else(|| ResolveError::NotFound(host.to_string()))
                        .map(|all| all.into_iter().map(|remote| Hop { transport, local, remote }).collect());
                    let now = self.now;
                    place.agent.handle_resolved(now, id, hops);
                }
            }
        }
    }

    /// Treats datagrams by `recipe` from now on.
    pub fn weather(&mut self, recipe: Recipe) {
        self.latency = recipe.delay;
        self.network.change(recipe);
    }

    fn launch(&mut self, wire: Wire) {
        self.trace.push(wire.clone());
        let mut arrivals: Vec<Instant> = match wire.transport {
            Transport::Udp => self.network.pass(self.now, wire.bytes.len()).times().collect(),
            // A stream keeps the order and loses nothing.
            Transport::Tcp | Transport::Tls => vec![self.now + self.latency],
        };
        match (self.filter)(&wire) {
            Fate::Pass => {}
            Fate::Lose => arrivals.clear(),
            Fate::Delay(more) => arrivals.iter_mut().for_each(|at| *at += more),
            Fate::Twice => {
                let at = self.now + self.latency;
                arrivals = vec![at, at + Duration::from_millis(3)];
            }
        }
        for at in arrivals {
            self.last_flight += 1;
            self.flights.insert((at, self.last_flight), wire.clone());
        }
    }

    fn deliver(&mut self, wire: Wire) {
        if let Some(inbox) = self.inboxes.get_mut(&wire.to) {
            inbox.push_back(wire);
            return;
        }
        let Some(index) = self.places.iter().position(|place| place.address == wire.to) else { return };
        let source = Hop { transport: wire.transport, local: wire.to, remote: wire.from };
        let (place, now) = (&mut self.places[index], self.now);
        match wire.transport {
            Transport::Udp => place.agent.handle_datagram(now, source, &wire.bytes),
            Transport::Tcp | Transport::Tls => {
                let item = parse_datagram(&wire.bytes).map(StreamItem::Message);
                place.agent.handle_stream_item(now, source, item);
            }
        }
        self.drain(Node(index));
    }
}

/// `INVITE`, `200 INVITE`, … of a message.
pub fn summary(wire: &Wire) -> String {
    match parse_datagram(&wire.bytes) {
        Ok(Message::Request(request)) => request.method.to_string(),
        Ok(Message::Response(response)) => {
            format!("{} {}", response.status, response.headers.cseq().unwrap().method)
        }
        Err(_) => "octets".into(),
    }
}

/// Is it such a response?
pub fn is_response(wire: &Wire, status: Status, method: &Method) -> bool {
    matches!(parse_datagram(&wire.bytes), Ok(Message::Response(response))
        if response.status == status && response.headers.cseq().unwrap().method == *method)
}

/// Is it such a request?
pub fn is_request(wire: &Wire, method: &Method) -> bool {
    matches!(parse_datagram(&wire.bytes), Ok(Message::Request(request)) if request.method == *method)
}

/// The session of an event; registrations have none.
pub fn session_of(event: &Event) -> Option<SessionId> {
    match event {
        Event::Registration { .. } | Event::Outside { .. } => None,
        Event::Route { session, .. }
        | Event::Progress { session, .. }
        | Event::Answered { session, .. }
        | Event::Incoming { session, .. }
        | Event::Confirmed { session, .. }
        | Event::Reoffer { session, .. }
        | Event::ReofferWithdrawn { session }
        | Event::Moved { session, .. }
        | Event::Readdressed { session }
        | Event::OfferAccepted { session, .. }
        | Event::OfferRefused { session, .. }
        | Event::OfferClashed { session, .. }
        | Event::OfferDue { session }
        | Event::Acknowledged { session, .. }
        | Event::Redirected { session, .. }
        | Event::Asked { session, .. }
        | Event::Reply { session, .. }
        | Event::Ended { session, .. } => Some(*session),
    }
}
