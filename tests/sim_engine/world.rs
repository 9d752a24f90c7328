//! The world of a simulation: two engines, the link between them, their pretended media, one virtual clock.

use sidetone::bench::impair::{Impairment, Recipe};
use sidetone::call::record::Record;
use sidetone::call::{CallId, Conduct, Event, MediaEvent, MediaOptions, MediaOrder, Moment};
use sidetone::engine::{Config, Dial, Engine, Output, Refused};
use sidetone::media::dtmf::Way;
use sidetone::media::plan::Plan;
use sidetone::random::Random;
use sidetone::sip::agent::{Account, AccountId, AgentConfig, ResolveError, Unclaimed};
use sidetone::sip::hop::{Hop, Transport};
use sidetone::time::{Duration, Instant, Wall};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;

pub const ANN: usize = 0;
pub const BOB: usize = 1;

pub const START: Instant = Instant::from_millis(1_000);
pub const LATENCY: Duration = Duration::from_millis(10);
/// How long pretended media takes to open or to close.
pub const MEDIA_TIME: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Opening,
    Open,
    Running,
    Closing,
}

/// One engine with what it did.
pub struct Place {
    pub engine: Engine,
    pub address: SocketAddr,
    pub events: Vec<(Instant, Event)>,
    /// The media of each call, and how often its plan changed.
    pub media: HashMap<CallId, Media>,
    pub plans: HashMap<CallId, Vec<Plan>>,
    pub digits: Vec<String>,
    /// Do ports open?
    pub opens: f64,
    /// Does media tell that it has closed?
    pub closes: bool,
    /// Has its address changed?
    moved: bool,
    next_port: u16,
}

#[derive(Clone, Debug)]
pub struct Wire {
    pub at: Instant,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

enum Due {
    Wire(Wire),
    Media(usize, CallId, MediaEvent),
}

pub struct World {
    pub now: Instant,
    pub places: Vec<Place>,
    pub random: Random,
    /// What happens to datagrams.
    pub network: Impairment,
    pub trace: Vec<Wire>,
    /// What was sent to an address without an engine.
    pub strays: VecDeque<Wire>,
    due: BTreeMap<(Instant, u64), Due>,
    last: u64,
}

pub fn wall() -> Wall {
    Wall::new("2026-01-02T03:04:05Z".parse().unwrap())
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self::with_media(seed, MediaOptions::default(), MediaOptions::default())
    }

    /// Ann at 192.0.2.1 and Bob at 192.0.2.2, whose calls may use this.
    pub fn with_media(seed: u64, ann: MediaOptions, bob: MediaOptions) -> Self {
        let people = [("ann", "192.0.2.1", ann), ("bob", "192.0.2.2", bob)];
        Self::with_people(seed, &people, Conduct::default())
    }

    /// People at their addresses, whose calls may use this, and who let others do that.
    pub fn with_people(seed: u64, people: &[(&str, &str, MediaOptions)], conduct: Conduct) -> Self {
        Self::with_accounts(seed, people, conduct, |_, _| {})
    }

    /// The same, with accounts to one's taste.
    pub fn with_accounts(
        seed: u64,
        people: &[(&str, &str, MediaOptions)],
        conduct: Conduct,
        taste: impl Fn(&mut Random, &mut Account),
    ) -> Self {
        let mut random = Random::from_seed(seed);
        let mut place = |(name, host, media): &(&str, &str, MediaOptions)| {
            let config = Config {
                conduct,
                agent: AgentConfig { unclaimed: Unclaimed::NotFound, ..AgentConfig::new("sidetone-sim") },
                media: media.clone(),
            };
            let mut engine = Engine::new(config, wall(), random.split());
            let mut account = Account::new(format!("sip:{name}@{host}").parse().unwrap());
            taste(&mut random, &mut account);
            engine.add_account(account);
            Place {
                engine,
                address: format!("{host}:5060").parse().unwrap(),
                events: Vec::new(),
                media: HashMap::new(),
                plans: HashMap::new(),
                digits: Vec::new(),
                opens: 1.0,
                closes: true,
                moved: false,
                next_port: 20_000,
            }
        };
        let places = people.iter().map(&mut place).collect();
        Self {
            now: START,
            places,
            random,
            network: Impairment::new(Recipe { delay: LATENCY, ..Recipe::default() }, Random::from_seed(!seed)),
            trace: Vec::new(),
            strays: VecDeque::new(),
            due: BTreeMap::new(),
            last: 0,
        }
    }

    /// Commands an engine.
    pub fn with<T>(&mut self, who: usize, command: impl FnOnce(&mut Engine, Instant) -> T) -> T {
        let now = self.now;
        let done = command(&mut self.places[who].engine, now);
        self.drain(who);
        done
    }

    pub fn dial(&mut self, who: usize, target: &str, ring_limit: Duration, media: MediaOptions) -> CallId {
        let dial = Dial {
            account: AccountId(0),
            target: target.parse().unwrap(),
            from_number: None,
            media,
            ring_limit,
            headers: Vec::new(),
        };
        self.with(who, |engine, now| engine.dial(now, dial)).unwrap()
    }

    /// Ann calls Bob.
    pub fn ann_calls(&mut self) -> CallId {
        self.dial(ANN, "sip:bob@192.0.2.2", Duration::from_secs(60), MediaOptions::default())
    }

    pub fn hangup(&mut self, who: usize, call: CallId) -> Result<(), Refused> {
        self.with(who, |engine, now| engine.hangup(now, call))
    }

    pub fn answer(&mut self, who: usize, call: CallId) -> Result<(), Refused> {
        self.with(who, |engine, now| engine.answer(now, call))
    }

    /// Ann calls, Bob answers at once, and both know it; their calls.
    #[track_caller]
    pub fn talk(&mut self) -> (CallId, CallId) {
        let ann = self.ann_calls();
        let bob = self.wait(BOB, |moment| matches!(moment, Moment::Ringing { .. })).call;
        self.answer(BOB, bob).unwrap();
        self.wait(ANN, |moment| *moment == Moment::Answered);
        self.run(Duration::from_secs(1));
        (ann, bob)
    }

    /// Runs until this happens to `who` (or has happened); the event.
    #[track_caller]
    pub fn wait(&mut self, who: usize, wanted: impl Fn(&Moment) -> bool) -> Event {
        let give_up = self.now + Duration::from_secs(600);
        loop {
            if let Some((_, event)) = self.places[who].events.iter().find(|(_, event)| wanted(&event.moment)) {
                return event.clone();
            }
            assert!(self.step_until(give_up), "it never happened; so far: {}", self.story());
        }
    }

    /// The records of the calls of `who` that ended.
    pub fn ended(&self, who: usize) -> Vec<Record> {
        let events = self.places[who].events.iter();
        events.filter(|(_, event)| event.moment == Moment::Ended).map(|(_, event)| (*event.record).clone()).collect()
    }

    pub fn moments(&self, who: usize, call: CallId) -> Vec<Moment> {
        let events = self.places[who].events.iter().filter(|(_, event)| event.call == call);
        events.map(|(_, event)| event.moment.clone()).collect()
    }

    pub fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.step_until(until) {}
        self.now = until;
    }

    /// After five idle minutes nothing is left of any call.
    #[track_caller]
    pub fn assert_forgotten(&mut self) {
        self.run(Duration::from_secs(300));
        for place in &self.places {
            assert_eq!(place.engine.calls().count(), 0);
            assert!(place.engine.is_settled(), "{}", self.story());
            assert_eq!(place.engine.poll_timeout(), None);
            assert!(place.media.is_empty() || !place.closes, "media is left: {:?}", place.media);
        }
    }

    /// Puts octets on the link as if `from` had sent them.
    pub fn say(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let at = self.now + LATENCY;
        self.later(at, Due::Wire(Wire { at: self.now, from, to, bytes }));
    }

    /// The network gives `who` another address; what is on its way to the old one is lost.
    pub fn rehouse(&mut self, who: usize, address: SocketAddr) {
        let place = &mut self.places[who];
        (place.address, place.moved) = (address, true);
        let peers: Vec<_> = place.engine.peers().into_keys().collect();
        for peer in peers {
            self.with(who, |engine, now| engine.handle_route(now, peer, Some(address.ip())));
        }
    }

    /// Media of a call breaks, or tells something.
    pub fn media(&mut self, who: usize, call: CallId, event: MediaEvent) {
        self.with(who, |engine, now| engine.handle_media(now, call, event));
    }

    /// The start lines of everything that was sent.
    pub fn story(&self) -> String {
        let line = |wire: &Wire| String::from_utf8_lossy(&wire.bytes).lines().next().unwrap_or_default().to_owned();
        self.trace.iter().map(|wire| format!("\n{:?} {} {}", wire.at, wire.from, line(wire))).collect()
    }

    fn later(&mut self, at: Instant, due: Due) {
        self.last += 1;
        self.due.insert((at, self.last), due);
    }

    fn step_until(&mut self, limit: Instant) -> bool {
        let due = self.due.keys().next().map(|(at, _)| *at);
        let timeouts = self.places.iter().filter_map(|place| place.engine.poll_timeout());
        let Some(next) = timeouts.chain(due).min().filter(|next| *next <= limit) else { return false };
        self.now = self.now.max(next);
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            match entry.remove() {
                Due::Wire(wire) => self.deliver(wire),
                Due::Media(who, call, event) => {
                    let place = &mut self.places[who];
                    match &event {
                        MediaEvent::Opened { .. } => drop(place.media.insert(call, Media::Open)),
                        MediaEvent::Finished { .. } | MediaEvent::Failed(_) => drop(place.media.remove(&call)),
                        _ => {}
                    }
                    self.media(who, call, event);
                }
            }
        }
        for who in 0..self.places.len() {
            let place = &mut self.places[who];
            place.engine.handle_timeout(self.now);
            let due = place.engine.poll_timeout();
            assert!(due.is_none_or(|due| due > self.now), "{due:?} stays due at {:?}", self.now);
            self.drain(who);
        }
        true
    }

    fn deliver(&mut self, wire: Wire) {
        match self.places.iter().position(|place| place.address == wire.to) {
            None => self.strays.push_back(wire),
            Some(who) => {
                let source = Hop { transport: Transport::Udp, local: wire.to, remote: wire.from };
                self.with(who, |engine, now| engine.handle_datagram(now, source, &wire.bytes));
            }
        }
    }

    fn launch(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let wire = Wire { at: self.now, from, to, bytes };
        self.trace.push(wire.clone());
        for at in self.network.pass(self.now, wire.bytes.len()).times() {
            self.later(at, Due::Wire(wire.clone()));
        }
    }

    fn drain(&mut self, who: usize) {
        while let Some(output) = self.places[who].engine.poll_output() {
            let soon = self.now + MEDIA_TIME;
            let place = &mut self.places[who];
            match output {
                Output::Transmit { hop, bytes } => {
                    let from = place.address;
                    self.launch(from, hop.remote, bytes.to_vec());
                }
                Output::Resolve { id, host, port, .. } => {
                    let local = place.address;
                    let remote = host.ip().map(|ip| SocketAddr::new(ip, port.unwrap_or(5060)));
                    let found = remote.map(|remote| vec![Hop { transport: Transport::Udp, local, remote }]);
                    let found = found.ok_or_else(|| ResolveError::NotFound(host.to_string()));
                    let now = self.now;
                    place.engine.handle_resolved(now, id, found);
                }
                Output::Media { call, order: MediaOrder::Open { local, shown } } => {
                    assert_eq!(place.media.insert(call, Media::Opening), None, "opened twice");
                    assert!(place.moved || local == place.address.ip(), "{local}");
                    place.next_port += 2;
                    let event = if self.random.chance(place.opens) {
                        opened(SocketAddr::new(shown, place.next_port))
                    } else {
                        MediaEvent::Failed("no RTP port is free".into())
                    };
                    self.later(soon, Due::Media(who, call, event));
                }
                Output::Media { call, order: MediaOrder::Move(local) } => {
                    assert_eq!(place.media.get(&call), Some(&Media::Running), "moved when not running");
                    place.next_port += 2;
                    let shown = place.engine.shown(call).unwrap_or(local);
                    let rtp = SocketAddr::new(shown, place.next_port);
                    let rtcp = SocketAddr::new(shown, place.next_port + 1);
                    self.later(soon, Due::Media(who, call, MediaEvent::Moved { rtp, rtcp }));
                }
                Output::Media { call, order: MediaOrder::Start(plan) } => {
                    assert_eq!(place.media.insert(call, Media::Running), Some(Media::Open), "started when not open");
                    place.plans.entry(call).or_default().push(*plan);
                }
                Output::Media { call, order: MediaOrder::Update(plan) } => {
                    assert_eq!(place.media.get(&call), Some(&Media::Running), "updated when not running");
                    place.plans.entry(call).or_default().push(*plan);
                }
                Output::Media { call, order: MediaOrder::Dtmf { digits, way } } => {
                    assert_eq!(place.media.get(&call), Some(&Media::Running), "digits when not running");
                    assert_eq!(way, Way::Rfc4733, "what was negotiated");
                    place.digits.push(digits);
                }
                Output::Media { call, order: MediaOrder::Close } => {
                    let before = place.media.insert(call, Media::Closing);
                    assert!(matches!(before, Some(Media::Open | Media::Running)), "closed when {before:?}");
                    if place.closes {
                        let event =
                            MediaEvent::Finished { report: Box::default(), counters: Box::default(), recording: None };
                        self.later(soon, Due::Media(who, call, event));
                    }
                }
                Output::Media { call, order: MediaOrder::Listen(_) } => {
                    assert_eq!(place.media.get(&call), Some(&Media::Open), "listens when not open");
                }
                Output::Call(event) => place.events.push((self.now, event)),
                Output::Disconnect { .. }
                | Output::Binding { .. }
                | Output::Registration(_)
                | Output::Aside(_)
                | Output::Inherit { .. } => {}
            }
        }
    }
}

/// Ports as they are without a translator in between.
pub fn opened(rtp: SocketAddr) -> MediaEvent {
    MediaEvent::Opened { rtp, rtcp: SocketAddr::new(rtp.ip(), rtp.port() + 1), hosts: Vec::new() }
}
