//! Pieces of work that more than one benchmark measures.
#![allow(dead_code, reason = "each benchmark uses its own part")]

use bytes::Bytes;
use sidetone::media::jitter::{Config as JitterConfig, Incoming, Playout};
use sidetone::media::packet::Header;
use sidetone::media::plan::{
    Codec, Direction, Encoding, MasterKey, OpusParameters, Plan, Srtp, SrtpSuite, TelephoneEvent,
};
use sidetone::media::sequence::{ExtendedSeq, RtpTime, Seq, Ssrc};
use sidetone::media::session::{Component, Config, Session};
use sidetone::random::Random;
use sidetone::sip::hop::{Hop, Transport};
use sidetone::sip::message::Request;
use sidetone::sip::timer::Timers;
use sidetone::sip::transaction::{Limits, Transactions};
use sidetone::sip::uri::Uri;
use sidetone::time::{Duration, Instant};
use std::hint::black_box;
use std::net::SocketAddr;

/// An INVITE of 1.2 kB with 27 values: what a desk phone sends through one proxy.
pub(crate) fn invite() -> Vec<u8> {
    let body = "v=0\r\no=- 3724394400 3724394405 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
        m=audio 49170 RTP/AVP 96 0 8 101\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1;maxaveragebitrate=24000\r\n\
        a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
        a=ptime:20\r\na=sendrecv\r\n";
    let text = format!(
        "INVITE sip:+493012345678@carrier.example;user=phone SIP/2.0\r\n\
         Via: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bK7f3a.9c1d2e3f4a5b6c7d.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.7:5060;rport=5060;branch=z9hG4bKPjd3a1c6b0e4f24a2d;received=198.51.100.7\r\n\
         Record-Route: <sip:203.0.113.9;lr;ftag=8f7e6d5c4b3a>\r\n\
         Max-Forwards: 69\r\n\
         From: \"Ann Example\" <sip:+442079460000@carrier.example>;tag=8f7e6d5c4b3a\r\n\
         To: <sip:+493012345678@carrier.example>\r\n\
         Call-ID: b2d7f1f0-6e0c-4c3e-9a55-0d4bb6b0a2f1@198.51.100.7\r\n\
         CSeq: 28731 INVITE\r\n\
         Contact: <sip:+442079460000@198.51.100.7:5060;transport=udp;ob>\r\n\
         Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, REFER, NOTIFY, INFO\r\n\
         Supported: replaces, 100rel, timer, norefersub\r\n\
         Session-Expires: 1800\r\n\
         User-Agent: Bench Phone 4.2\r\n\
         Content-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    text.into_bytes()
}

/// A way to a peer.
pub(crate) fn hop() -> Hop {
    Hop {
        transport: Transport::Udp,
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: "192.0.2.9:5060".parse().unwrap(),
    }
}

/// A request as a phone sends it, without Via.
pub(crate) fn request(method: &str, call: u64) -> Request {
    let mut request = Request::new(method.parse().unwrap(), "sip:bob@biloxi.example".parse::<Uri>().unwrap());
    for (name, value) in [
        ("Max-Forwards", "70"),
        ("From", "\"Alice\" <sip:alice@atlanta.example>;tag=9fxced76sl"),
        ("To", "<sip:bob@biloxi.example>"),
        ("Call-ID", &format!("{call}@atlanta.example")),
        ("CSeq", &format!("1 {method}")),
        ("Contact", "<sip:alice@192.0.2.1:5060>"),
        ("User-Agent", "bench"),
        ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO"),
    ] {
        request.headers.push(name, value);
    }
    request.body = Bytes::from_static(&[b'x'; 400]);
    request
}

/// A transaction table that refuses nothing.
pub(crate) fn transactions() -> Transactions {
    let limits = Limits { clients: usize::MAX, servers: usize::MAX, ..Limits::default() };
    Transactions::new(Timers::default(), limits, Random::from_seed(1))
}

/// 20 ms of G.711.
pub(crate) const PAYLOAD: [u8; 160] = [0x55; 160];

/// The header of an RTP packet.
pub(crate) fn header(seq: u16) -> Header {
    let timestamp = RtpTime(u32::from(seq) * 160);
    Header { marker: false, payload_type: 0, seq: Seq(seq), timestamp, ssrc: Ssrc(1) }
}

/// An RTP packet of 172 octets.
pub(crate) fn packet(seq: u16) -> Vec<u8> {
    let mut octets = Vec::new();
    header(seq).write(&PAYLOAD, &mut octets).unwrap();
    octets
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
            opus: OpusParameters { fec: true, ..OpusParameters::default() },
            ..Encoding::new(codec, payload_type, TICK)
        },
        receive: vec![(payload_type, codec)],
        comfort_noise: None,
        send_event: Some(TelephoneEvent { payload_type: 101, clock_rate: codec.clock_rate() }),
        receive_events: vec![TelephoneEvent { payload_type: 101, clock_rate: codec.clock_rate() }],
        hear_tones: false,
        holding: false,
        srtp: keyed.then(|| Srtp {
            suite: SrtpSuite::AesCm128HmacSha1_80,
            local: key.clone(),
            remote: key,
            remote_mki: Vec::new(),
            remote_lifetime: None,
        }),
        dtls: None,
        ice: None,
    }
}

/// Two seconds of a voice: a pulse train through a resonance, in syllables.
pub(crate) fn voice(rate: u32) -> Vec<i16> {
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

/// One direction of a call after its first two seconds, when the buffers have grown.
pub(crate) struct Call {
    speaker: Session,
    listener: Session,
    voice: Vec<i16>,
    at: usize,
    now: Instant,
    out: Vec<i16>,
}

impl Call {
    pub(crate) fn new(codec: Codec, keyed: bool) -> Self {
        let session =
            |seed| Session::new(Instant::ZERO, plan(codec, keyed), Config::default(), Random::from_seed(seed)).unwrap();
        let rate = codec.sample_rate();
        let mut call = Self {
            speaker: session(1),
            listener: session(2),
            voice: voice(rate),
            at: 0,
            now: Instant::from_millis(20),
            out: vec![0; rate as usize / 50],
        };
        for _ in 0..100 {
            call.tick();
        }
        call
    }

    /// One packet time: audio captured, encoded and sent; the packet received, decoded and played.
    pub(crate) fn tick(&mut self) -> i16 {
        let from: SocketAddr = SocketAddr::from(([192, 0, 2, 1], 4000));
        let samples = self.out.len();
        self.now += TICK;
        self.at = (self.at + samples) % self.voice.len();
        self.speaker.capture(self.now, black_box(&self.voice[self.at..self.at + samples]));
        while let Some(transmit) = self.speaker.poll_transmit() {
            self.listener.handle_packet(self.now, Component::Rtp, from, transmit.bytes);
        }
        self.listener.playout(self.now, &mut self.out);
        self.listener.handle_timeout(self.now);
        self.out[0]
    }
}

/// A jitter buffer on a network that loses every tenth packet.
pub(crate) struct Lossy {
    playout: Playout,
    out: [i16; 160],
    n: u64,
}

impl Lossy {
    pub(crate) fn new() -> Self {
        Self { playout: Playout::new(Codec::Pcmu, JitterConfig::default()).unwrap(), out: [0; 160], n: 0 }
    }

    /// One packet time.
    pub(crate) fn pull(&mut self) -> i16 {
        self.n += 1;
        let n = self.n;
        let now = Instant::from_millis(20 * n);
        if !n.is_multiple_of(10) {
            let timestamp = RtpTime(160 * n as u32);
            let seq = ExtendedSeq(n as i64);
            let packet = Incoming { seq, timestamp, codec: Codec::Pcmu, marker: false, payload: &PAYLOAD };
            self.playout.insert(now, packet).unwrap();
        }
        self.playout.pull(now, &mut self.out);
        self.out[0]
    }
}
