//! What one packet time of one call costs: audio captured, encoded and sent; a packet received, decoded and played.
//!
//! At 20 ms per tick, a tick of 10 us is 0.05 % of a core per call.

use divan::{Bencher, black_box};
use sidetone::media::jitter::{Config as JitterConfig, Incoming, Playout};
use sidetone::media::plan::{
    Codec, Direction, Encoding, MasterKey, OpusParameters, Plan, Srtp, SrtpSuite, TelephoneEvent,
};
use sidetone::media::sequence::{ExtendedSeq, RtpTime};
use sidetone::media::session::{Component, Config, Session};
use sidetone::random::Random;
use sidetone::time::{Duration, Instant};
use std::net::SocketAddr;

/// Shows what a tick allocates: nothing without SRTP, once the buffers have grown.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

const TICK: Duration = Duration::from_millis(20);

fn plan(codec: Codec, keyed: bool) -> Plan {
    let remote: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let payload_type = codec.static_payload_type().unwrap_or(111);
    let key = MasterKey((0..30).collect());
    Plan {
        remote_rtp: remote,
        remote_rtcp: remote,
        rtcp_mux: true,
        direction: Direction::SendRecv,
        encoding: Encoding {
            codec,
            payload_type,
            packet_time: TICK,
            opus: OpusParameters { fec: true, ..OpusParameters::default() },
        },
        receive: vec![(payload_type, codec)],
        send_event: Some(TelephoneEvent { payload_type: 101, clock_rate: codec.clock_rate() }),
        receive_events: vec![TelephoneEvent { payload_type: 101, clock_rate: codec.clock_rate() }],
        hear_tones: false,
        holding: false,
        srtp: keyed.then(|| Srtp {
            suite: SrtpSuite::AesCm128HmacSha1_80,
            local: key.clone(),
            remote: key,
            remote_mki: Vec::new(),
        }),
    }
}

/// Two seconds of a voice: a pulse train through a resonance, in syllables.
fn voice(rate: u32) -> Vec<i16> {
    let (mut y1, mut y2) = (0.0, 0.0);
    let turn = std::f64::consts::TAU / f64::from(rate);
    let mut sample = |n: u32| {
        let pulse = if n.is_multiple_of(rate / 120) { 4_000.0 } else { 0.0 };
        let syllable = (f64::from(n) * 3.0 * turn).sin().max(0.05);
        let y = pulse * syllable + 1.96 * (600.0 * turn).cos() * y1 - 0.9604 * y2;
        (y2, y1) = (y1, y);
        y as i16
    };
    (0..2 * rate).map(&mut sample).collect()
}

#[divan::bench(args = [
    (Codec::Pcmu, false), (Codec::Pcmu, true), (Codec::Pcma, false), (Codec::Opus, false), (Codec::Opus, true),
])]
fn tick(bencher: Bencher<'_, '_>, (codec, keyed): (Codec, bool)) {
    let session =
        |seed| Session::new(Instant::ZERO, plan(codec, keyed), Config::default(), Random::from_seed(seed)).unwrap();
    let (mut speaker, mut listener) = (session(1), session(2));
    let from: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let rate = codec.sample_rate();
    let voice = voice(rate);
    let samples = rate as usize / 50;
    let mut out = vec![0; samples];
    let (mut now, mut at) = (Instant::from_millis(20), 0);
    let mut tick = || {
        now += TICK;
        at = (at + samples) % voice.len();
        speaker.capture(now, black_box(&voice[at..at + samples]));
        while let Some(transmit) = speaker.poll_transmit() {
            listener.handle_packet(now, Component::Rtp, from, transmit.bytes);
        }
        listener.playout(now, &mut out);
        listener.handle_timeout(now);
        out[0]
    };
    // The first ticks let the buffers grow.
    for _ in 0..100 {
        tick();
    }
    bencher.bench_local(tick);
}

/// Playout alone while every tenth packet is lost.
#[divan::bench]
fn playout_with_loss(bencher: Bencher<'_, '_>) {
    let mut playout = Playout::new(Codec::Pcmu, JitterConfig::default()).unwrap();
    let payload = [0x55; 160];
    let mut out = [0; 160];
    let mut n = 0;
    bencher.bench_local(|| {
        n += 1;
        let now = Instant::from_millis(20 * n);
        if n % 10 != 0 {
            let timestamp = RtpTime(160 * n as u32);
            let packet = Incoming {
                seq: ExtendedSeq(n as i64),
                timestamp,
                codec: Codec::Pcmu,
                marker: false,
                payload: &payload,
            };
            playout.insert(now, packet).unwrap();
        }
        playout.pull(now, &mut out);
        out[0]
    });
}
