//! Two sessions and the network between them, in virtual time.
#![allow(dead_code, unreachable_pub, reason = "each test crate uses its own part")]

use sidetone::bench::impair::{Fate, Impairment, Jitter, Loss, Recipe};
use sidetone::media::dtls::Identity;
use sidetone::media::plan::{
    Codec, Direction, Encoding, MasterKey, OpusParameters, Plan, Srtp, SrtpSuite, TelephoneEvent,
};
use sidetone::media::session::{Component, Config, Event, Session};
use sidetone::random::Random;
use sidetone::time::{Duration, Instant};
use std::collections::BinaryHeap;
use std::net::SocketAddr;

/// How a network treats packets.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub delay_ms: f64,
    /// Half-width of uniform jitter.
    pub jitter_ms: f64,
    pub loss: f64,
    pub duplication: f64,
    /// Share of packets that are overtaken by the two after them.
    pub reordering: f64,
}

pub const CALM: Weather = Weather { delay_ms: 25.0, jitter_ms: 0.0, loss: 0.0, duplication: 0.0, reordering: 0.0 };
pub const ROUGH: Weather = Weather { delay_ms: 40.0, jitter_ms: 15.0, loss: 0.03, duplication: 0.01, reordering: 0.01 };

impl Weather {
    /// The same for the link that does it; jitter may overtake.
    fn recipe(self) -> Recipe {
        let millis = |millis: f64| Duration::from_secs_f64(millis / 1_000.0);
        Recipe {
            loss: Loss::Random(self.loss),
            delay: millis(self.delay_ms),
            jitter: Jitter::Uniform(millis(self.jitter_ms)),
            reorder: self.reordering,
            duplicate: self.duplication,
            unordered: true,
            ..Recipe::default()
        }
    }
}

/// What the network did to the RTP of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    pub sent: u64,
    pub lost: u64,
    pub duplicated: u64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    /// Soonest first.
    at: std::cmp::Reverse<(Instant, u64)>,
    to: usize,
    from: SocketAddr,
    component: u8,
    bytes: Vec<u8>,
}

/// Changes packets on their way: (sender, packet) to what arrives besides it.
pub type Mischief = Box<dyn FnMut(usize, &[u8]) -> Vec<Vec<u8>>>;

pub struct Call {
    pub sessions: [Session; 2],
    pub addresses: [SocketAddr; 2],
    pub weather: Weather,
    /// What the network did to packets from each side.
    pub deeds: [Deeds; 2],
    pub events: [Vec<Event>; 2],
    /// What each side said and heard.
    pub said: [Vec<i16>; 2],
    pub heard: [Vec<i16>; 2],
    pub now: Instant,
    pub mischief: Option<Mischief>,
    /// RTP of each side as it was sent, before protection it is not visible: headers only.
    pub packets: [Vec<Vec<u8>>; 2],
    links: [Impairment; 2],
    flying: BinaryHeap<Flying>,
    count: u64,
    due: [Instant; 2],
    random: Random,
    pub rtcp_seen: u64,
}

pub fn address(side: usize) -> SocketAddr {
    ["192.0.2.1:4000", "192.0.2.2:5000"][side].parse().unwrap()
}

/// The plan of one side; the other one sends `theirs`.
pub fn plan(side: usize, ours: Codec, theirs: Codec, keyed: bool) -> Plan {
    let payload_type = |codec: Codec| codec.static_payload_type().unwrap_or(111);
    let remote_rtp = address(1 - side);
    let mut remote_rtcp = remote_rtp;
    remote_rtcp.set_port(remote_rtp.port() + 1);
    let key = |side: usize| MasterKey((0..30).map(|n| n * 7 + side as u8).collect());
    Plan {
        remote_rtp,
        remote_rtcp,
        rtcp_mux: false,
        direction: Direction::SendRecv,
        encoding: Encoding {
            opus: OpusParameters { fec: true, ..OpusParameters::default() },
            ..Encoding::new(ours, payload_type(ours), Duration::from_millis(20))
        },
        receive: vec![(payload_type(theirs), theirs)],
        comfort_noise: None,
        send_event: Some(TelephoneEvent { payload_type: 101, clock_rate: ours.clock_rate() }),
        receive_events: vec![TelephoneEvent { payload_type: 101, clock_rate: theirs.clock_rate() }],
        hear_tones: false,
        holding: false,
        srtp: keyed.then(|| Srtp {
            suite: SrtpSuite::AesCm128HmacSha1_80,
            local: key(side),
            remote: key(1 - side),
            remote_mki: Vec::new(),
            remote_lifetime: None,
        }),
        dtls: None,
        ice: None,
    }
}

impl Call {
    pub fn new(plans: [Plan; 2], weather: Weather, seed: u64) -> Self {
        Self::between([None, None], plans, weather, seed)
    }

    /// Between ends with certificates.
    pub fn between(identities: [Option<Identity>; 2], plans: [Plan; 2], weather: Weather, seed: u64) -> Self {
        let mut random = Random::from_seed(seed);
        let now = Instant::from_millis(10_000);
        let mut identities = identities.into_iter();
        let sessions = plans.map(|plan| {
            let identity = identities.next().flatten();
            let config = Config { cname: random.token(8), identity, ..Config::default() };
            Session::new(now, plan, config, random.split()).unwrap()
        });
        Self {
            sessions,
            addresses: [address(0), address(1)],
            weather,
            deeds: Default::default(),
            events: Default::default(),
            said: Default::default(),
            heard: Default::default(),
            now,
            mischief: None,
            packets: Default::default(),
            links: [(); 2].map(|()| Impairment::new(weather.recipe(), random.split())),
            flying: BinaryHeap::new(),
            count: 0,
            // The two sides' clocks are not in phase.
            due: [now, now + Duration::from_millis(7)],
            random,
            rtcp_seen: 0,
        }
    }

    /// Runs for `ms`; each side says what `voice` gives for its side, rate and first sample.
    pub fn run(&mut self, ms: u64, mut voice: impl FnMut(usize, u32, usize) -> i16) {
        let end = self.now + Duration::from_millis(ms);
        loop {
            let tick = self.due[0].min(self.due[1]);
            let arrival = self.flying.peek().map(|flying| flying.at.0.0);
            let timer = self.sessions.iter().filter_map(Session::poll_timeout).min();
            let next = arrival.into_iter().chain(timer).fold(tick, Instant::min);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            for session in &mut self.sessions {
                session.handle_timeout(self.now);
            }
            while let Some(flying) = self.flying.peek().filter(|flying| flying.at.0.0 <= self.now) {
                let component = if flying.component == 0 { Component::Rtp } else { Component::Rtcp };
                let (to, from) = (flying.to, flying.from);
                self.sessions[to].handle_packet(self.now, component, from, &flying.bytes);
                self.flying.pop();
            }
            for side in 0..2 {
                if self.due[side] <= self.now {
                    self.tick(side, &mut voice);
                }
                self.collect(side);
            }
        }
    }

    /// From now on this share of the packets of `side` is lost.
    pub fn lose(&mut self, side: usize, share: f64) {
        let recipe = Weather { loss: share, ..self.weather }.recipe();
        self.links[side] = Impairment::new(recipe, self.random.split());
    }

    fn tick(&mut self, side: usize, voice: &mut impl FnMut(usize, u32, usize) -> i16) {
        let session = &mut self.sessions[side];
        let (rate, packet_time) = (session.rate(), session.packet_time());
        let samples = (packet_time.as_millis() as u32 * rate / 1_000) as usize;
        let mut out = vec![0; samples];
        session.playout(self.now, &mut out);
        self.heard[side].extend(out);
        let start = self.said[side].len();
        let said: Vec<i16> = (start..start + samples).map(|n| voice(side, rate, n)).collect();
        session.capture(self.now, &said);
        self.said[side].extend(said);
        self.due[side] += packet_time;
    }

    fn collect(&mut self, side: usize) {
        while let Some(transmit) = self.sessions[side].poll_transmit() {
            let (component, to, bytes) = (transmit.component, transmit.to, transmit.bytes.to_vec());
            let mut from = self.addresses[side];
            if component == Component::Rtcp {
                from.set_port(from.port() + 1);
            }
            let receiver = 1 - side;
            // What goes anywhere but to the other side's ports is gone.
            let reaches = |component: Component| {
                let port = self.addresses[receiver].port() + u16::from(component == Component::Rtcp);
                to.ip() == self.addresses[receiver].ip() && to.port() == port
            };
            if !reaches(Component::Rtp) && !reaches(Component::Rtcp) {
                continue;
            }
            let is_rtcp = matches!(bytes[1], 192..=223);
            if is_rtcp {
                self.rtcp_seen += 1;
                self.fly(receiver, from, component, bytes, self.weather.delay_ms);
                continue;
            }
            self.packets[side].push(bytes.clone());
            if let Some(mut mischief) = self.mischief.take() {
                for extra in mischief(side, &bytes) {
                    let delay = self.weather.delay_ms + self.random.unit() * 20.0;
                    self.fly(receiver, from, component, extra, delay);
                }
                self.mischief = Some(mischief);
            }
            let fate = self.links[side].pass(self.now, bytes.len());
            let deeds = &mut self.deeds[side];
            deeds.sent += 1;
            deeds.lost += u64::from(matches!(fate, Fate::Lost(_)));
            deeds.duplicated += u64::from(matches!(fate, Fate::Arrives { again: Some(_), .. }));
            for at in fate.times() {
                self.fly_at(receiver, from, component, bytes.clone(), at);
            }
        }
        while let Some(event) = self.sessions[side].poll_event() {
            self.events[side].push(event);
        }
    }

    pub fn fly(&mut self, to: usize, from: SocketAddr, component: Component, bytes: Vec<u8>, delay_ms: f64) {
        self.fly_at(to, from, component, bytes, self.now + Duration::from_secs_f64(delay_ms / 1_000.0));
    }

    fn fly_at(&mut self, to: usize, from: SocketAddr, component: Component, bytes: Vec<u8>, at: Instant) {
        self.count += 1;
        let component = u8::from(component == Component::Rtcp);
        self.flying.push(Flying { at: std::cmp::Reverse((at, self.count)), to, from, component, bytes });
    }

    /// Lets everything arrive, with nothing more being sent.
    pub fn settle(&mut self) {
        while let Some(flying) = self.flying.pop() {
            self.now = self.now.max(flying.at.0.0);
            let component = if flying.component == 0 { Component::Rtp } else { Component::Rtcp };
            self.sessions[flying.to].handle_packet(self.now, component, flying.from, &flying.bytes);
        }
    }
}

/// Speech-like sound, different for each side: a gliding voice with three formant-like harmonics, cut into syllables.
pub fn babble(side: usize, rate: u32, n: usize) -> i16 {
    let t = n as f64 / f64::from(rate);
    let turn = std::f64::consts::TAU;
    let pitch = if side == 0 { 120.0 } else { 190.0 };
    // The phase of a pitch that glides by a tenth around its mean, once in 1.3 s.
    let phase = turn * pitch * t + pitch * 0.1 * 1.3 * (turn * t / 1.3).sin();
    let syllable = (turn * t * 2.3 + side as f64).sin().max(0.0).powf(0.6);
    let vowel = 1.0 + 0.5 * (turn * t / 0.9).sin();
    let voice = phase.sin() + 0.7 * vowel * (3.0 * phase).sin() + 0.4 * (2.0 - vowel) * (7.0 * phase).sin();
    (voice * syllable * 4_000.0) as i16
}

/// How much of `said` is in `heard`, both at `rate`: the best normalised correlation of pieces of 40 ms over lags up to
/// 200 ms, in the band below 4 kHz; the mean over every third piece that holds sound.
pub fn alikeness(said: &[i16], heard: &[i16], rate: u32) -> f64 {
    let factor = (rate / 8_000) as usize;
    let slow = |audio: &[i16]| -> Vec<f32> {
        let mean = |piece: &[i16]| piece.iter().map(|&s| f32::from(s)).sum::<f32>() / factor as f32;
        audio.chunks_exact(factor).map(mean).collect()
    };
    let (said, heard) = (slow(said), slow(heard));
    let (window, most) = (320, 1_600);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let (mut sum, mut count) = (0.0, 0);
    for start in (0..said.len().saturating_sub(window)).step_by(3 * window) {
        let piece = &said[start..start + window];
        let energy = dot(piece, piece);
        if energy < 1e4 * window as f32 {
            continue;
        }
        let lagged = (0..most).map_while(|lag| heard.get(start + lag..start + lag + window));
        let best =
            lagged.map(|other| dot(piece, other) / (energy * (dot(other, other) + 1.0)).sqrt()).fold(0.0, f32::max);
        sum += f64::from(best);
        count += 1;
    }
    assert!(count > 5, "only {count} pieces with sound");
    sum / f64::from(count)
}
