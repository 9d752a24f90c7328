//! Calls between two ports of one media driver, over loopback sockets.

use sidetone::audio::{Sink, Source};
use sidetone::driver::Clock;
use sidetone::driver::media::{CallStart, Event, Finished, Io, MediaDriver, Settings};
use sidetone::media::plan::{Codec, Direction, Encoding, Plan, Srtp, TelephoneEvent};
use sidetone::media::session;
use sidetone::net::PortPair;
use sidetone::random::Random;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A media driver, its events and somebody who waits for them with a limit.
pub(crate) struct Rig {
    pub(crate) driver: MediaDriver,
    events: Receiver<Event>,
    runtime: tokio::runtime::Runtime,
}

/// What one side of a call does.
#[derive(Clone, Default)]
pub(crate) struct Side {
    pub(crate) io: Io,
    pub(crate) srtp: Option<Srtp>,
}

impl Side {
    pub(crate) fn new(source: &str, record: Option<&Path>) -> Self {
        let io =
            Io { source: source.parse().unwrap(), sink: Sink::Null, record: record.map(Into::into), ..Io::default() };
        Self { io, srtp: None }
    }
}

impl Rig {
    pub(crate) fn new(workers: usize) -> Self {
        let (driver, events) = MediaDriver::start(&Settings { workers, ..Settings::default() }, Clock::new()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { driver, events, runtime }
    }

    /// Starts a call between `key` and `key + 1`; returns the plans of both.
    pub(crate) fn call(&self, key: u64, codec: Codec, sides: [Side; 2]) -> [Plan; 2] {
        let ports = [self.driver.open_ports(LOOPBACK).unwrap(), self.driver.open_ports(LOOPBACK).unwrap()];
        let plans = [plan(codec, &ports[1], sides[0].srtp.clone()), plan(codec, &ports[0], sides[1].srtp.clone())];
        for (n, (ports, side)) in ports.into_iter().zip(sides).enumerate() {
            self.start(key + n as u64, ports, plans[n].clone(), side.io);
        }
        plans
    }

    pub(crate) fn start(&self, key: u64, ports: PortPair, plan: Plan, io: Io) {
        let config = session::Config { cname: format!("call{key}"), ..session::Config::default() };
        let start = CallStart { ports, plan, config, io, random: Random::from_seed(key) };
        self.driver.start_call(key, start).unwrap();
    }

    /// The next event; fails when none comes for long.
    pub(crate) fn next(&mut self) -> Event {
        let next = async { tokio::time::timeout(Duration::from_secs(20), self.events.recv()).await };
        self.runtime.block_on(next).expect("no event for 20 s").expect("the driver has ended")
    }

    /// Takes events until `enough` says so of one; returns all of them.
    pub(crate) fn until(&mut self, mut enough: impl FnMut(&Event) -> bool) -> Vec<Event> {
        let mut all = Vec::new();
        loop {
            let event = self.next();
            let done = enough(&event);
            all.push(event);
            if done {
                return all;
            }
        }
    }

    /// Takes events until the call `key` has heard packets for `seconds`.
    pub(crate) fn hear(&mut self, key: u64, seconds: usize) -> Vec<Event> {
        let mut heard = 0;
        self.until(|event| {
            heard += usize::from(
                matches!(event, Event::Quality { key: own, report } if *own == key && report.inbound.packets > 0),
            );
            heard == seconds
        })
    }

    /// Stops the calls and waits for their ends.
    pub(crate) fn stop(&mut self, keys: impl IntoIterator<Item = u64>) -> HashMap<u64, Finished> {
        let keys: Vec<u64> = keys.into_iter().collect();
        keys.iter().for_each(|&key| self.driver.stop(key));
        let mut ends = HashMap::new();
        while ends.len() < keys.len() {
            if let Event::Finished(finished) = self.next() {
                ends.insert(finished.key, *finished);
            }
        }
        ends
    }

    /// Everything that is left once the driver has ended.
    pub(crate) fn end(self) -> Vec<Event> {
        let Self { driver, mut events, .. } = self;
        drop(driver);
        std::iter::from_fn(|| events.try_recv().ok()).collect()
    }
}

/// A plan to talk to whoever holds `remote`.
pub(crate) fn plan(codec: Codec, remote: &PortPair, srtp: Option<Srtp>) -> Plan {
    plan_to(codec, remote.rtp_address, remote.rtcp_address, srtp)
}

pub(crate) fn plan_to(codec: Codec, remote_rtp: SocketAddr, remote_rtcp: SocketAddr, srtp: Option<Srtp>) -> Plan {
    let payload_type = codec.static_payload_type().unwrap_or(111);
    let event = TelephoneEvent { payload_type: 101, clock_rate: codec.clock_rate() };
    Plan {
        remote_rtp,
        remote_rtcp,
        rtcp_mux: false,
        direction: Direction::SendRecv,
        encoding: Encoding::new(codec, payload_type, Duration::from_millis(20)),
        receive: vec![(payload_type, codec)],
        comfort_noise: None,
        send_event: Some(event),
        receive_events: vec![event],
        hear_tones: false,
        holding: false,
        srtp,
        dtls: None,
        ice: None,
    }
}

/// A stereo recording: its rate, ours, theirs.
pub(crate) fn recording(path: &Path) -> (u32, Vec<i16>, Vec<i16>) {
    let mut reader = hound::WavReader::open(path).unwrap();
    assert_eq!(reader.spec().channels, 2);
    let rate = reader.spec().sample_rate;
    let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    let channel = |channel| samples.iter().skip(channel).step_by(2).copied().collect();
    (rate, channel(0), channel(1))
}

/// Amplitude of `hz` in `samples`, as a fraction of full scale.
pub(crate) fn level(samples: &[i16], rate: u32, hz: f64) -> f64 {
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        re += f64::from(sample) * (step * n as f64).cos();
        im += f64::from(sample) * (step * n as f64).sin();
    }
    2.0 * f64::hypot(re, im) / samples.len().max(1) as f64 / 32_768.0
}

/// The highest level of `hz` in any tenth of a second of `samples`.
pub(crate) fn loudest(samples: &[i16], rate: u32, hz: f64) -> f64 {
    samples.chunks_exact(rate as usize / 10).map(|part| level(part, rate, hz)).fold(0.0, f64::max)
}

/// A source that is certainly not there.
pub(crate) fn missing_device() -> Io {
    let nowhere = Some("no such device".to_owned());
    Io { source: Source::Device(nowhere.clone()), sink: Sink::Device(nowhere), ..Io::default() }
}
