//! The media of one call.
//!
//! ```text
//!   microphone ─ capture() ─▶ encoder ─▶ sender ─▶ srtp ─▶ poll_transmit() ─▶ network
//!                                  digits ─▶ dtmf ┘  │
//!                                        rtcp ◀──────┴──────┐
//!   speaker ◀─ playout() ◀─ resampler ◀─ jitter ◀─ reception ◀─ srtp ◀─ handle_packet() ◀─ network
//! ```

mod expected_loss;
mod gate;
mod inbound;
mod keys;
mod latch;
mod outbound;
mod outbox;
mod playout;
mod secure;
mod tones;
mod vocabulary;

pub use gate::{Expected, Gate};
pub use vocabulary::{Component, Config, Counters, Event, Transmit, Unusable};

use super::codec::Encoder;
use super::comfort::Silencer;
use super::dtls::Identity;
use super::dtmf::{self, Digit};
use super::jitter::Playout;
use super::plan::{Codec, Encoding, Plan};
use super::quality::assess::{self, Path};
use super::quality::{Inbound, Report};
use super::receive::{Probation, Reception};
use super::resample::Resampler;
use super::rtcp::{self, Rtcp};
use super::send::Sender;
use super::sequence::ExtendedSeq;
use crate::random::Random;
use crate::time::{Duration, Instant};
use expected_loss::ExpectedLoss;
use keys::Keys;
use latch::Latch;
use outbox::Outbox;
use secure::Apart;
use std::collections::VecDeque;

/// How long packets that were sent before a renegotiation may still arrive.
const FORMER: Duration = Duration::from_secs(3);
/// Events that nobody asked for yet.
const EVENTS: usize = 256;

/// The media of one call: see the picture at the head of this module.
///
/// Steady state allocates nothing without SRTP, which allocates each packet anew; RTCP allocates every few seconds.
#[derive(Debug)]
pub struct Session {
    plan: Plan,
    closed: bool,
    // What we send.
    encoder: Encoder,
    sender: Sender,
    digits: dtmf::Outgoing,
    tones: dtmf::Tones,
    muted: bool,
    voice: Vec<i16>,
    payload: Vec<u8>,
    packet: Vec<u8>,
    outbox: Outbox,
    /// When something left our RTP port last.
    spoke: Instant,
    // What we hear.
    reception: Reception,
    rtp_from: Latch,
    rtcp_from: Latch,
    /// The packet that waits for the next one to prove its source.
    held: Option<ExtendedSeq>,
    playout: Playout,
    heard_digits: dtmf::Incoming,
    /// Listens for tones, and at which rate, while the plan wants it.
    detector: Option<(u32, dtmf::Detector)>,
    resampler: Option<Resampler>,
    /// Audio at our rate that does not fill a piece of playout yet, and a piece at the far end's.
    resampled: Vec<i16>,
    piece: Vec<i16>,
    // Both.
    keys: Keys,
    apart: Apart,
    gate: Option<Box<Gate>>,
    identity: Option<Identity>,
    rtcp: Rtcp,
    expected_loss: ExpectedLoss,
    silencer: Silencer,
    /// Payload types of the plan before, which may still come until some time.
    former: Option<(Instant, Vec<(u8, Codec)>)>,
    events: VecDeque<Event>,
    counters: Counters,
}

impl Session {
    /// Starts the media of a call.
    ///
    /// # Errors
    /// [`Unusable`] when a codec of the plan cannot be started, or its keys do not fit.
    pub fn new(now: Instant, plan: Plan, config: Config, mut random: Random) -> Result<Self, Unusable> {
        let encoder = Encoder::new(&plan.encoding)?;
        let expected = plan.receive.first().map_or(plan.encoding.codec, |&(_, codec)| codec);
        let keys = Keys::new(plan.srtp.as_ref())?;
        let identity = config.identity;
        let gate = Self::gate_for(now, &plan, identity.as_ref())?;
        let sender = Sender::new(&mut random);
        let rtcp = rtcp::Config {
            ssrc: sender.ssrc(),
            cname: config.cname.clone(),
            wall: config.wall,
            bandwidth: bandwidth(&plan),
        };
        let mut session = Self {
            closed: false,
            encoder,
            digits: dtmf::Outgoing::new(config.digit_time, config.digit_gap),
            tones: dtmf::Tones::new(config.digit_time, config.digit_gap),
            muted: false,
            voice: Vec::new(),
            payload: Vec::new(),
            packet: Vec::new(),
            outbox: Outbox::default(),
            spoke: now,
            reception: Reception::new(probation(&plan)),
            rtp_from: Latch::new(plan.remote_rtp),
            rtcp_from: Latch::new(plan.remote_rtcp),
            held: None,
            playout: Playout::new(expected, config.jitter)?,
            heard_digits: dtmf::Incoming::default(),
            detector: None,
            resampler: None,
            resampled: Vec::new(),
            piece: Vec::new(),
            rtcp: Rtcp::new(now, rtcp, random),
            expected_loss: ExpectedLoss::default(),
            silencer: Silencer::default(),
            former: None,
            events: VecDeque::new(),
            counters: Counters::default(),
            sender,
            keys,
            apart: Apart::default(),
            gate,
            plan,
            identity,
        };
        session.follow_gate(now);
        Ok(session)
    }

    /// Follows a renegotiation: SSRC, sequence numbers, timestamps and, while the keys stay, SRTP contexts go on.
    ///
    /// # Errors
    /// [`Unusable`] when a codec of the plan cannot be started, or its keys do not fit; the session then goes on under
    /// the old plan.
    pub fn update(&mut self, now: Instant, mut plan: Plan) -> Result<(), Unusable> {
        let old = &self.plan;
        if plan.dtls.is_some() {
            // Keys of a handshake hold until those of the next one.
            plan.srtp = if old.dtls.is_some() { old.srtp.clone() } else { None };
        }
        let anew = plan.dtls != old.dtls;
        let gate = Self::gate_for(now, &plan, self.identity.as_ref())?;
        // An encoder that starts anew begins with silence; packets of another length or number need none.
        let Encoding { packet_time, payload_type, .. } = old.encoding;
        let encoder = if (Encoding { packet_time, payload_type, ..plan.encoding }) == old.encoding {
            None
        } else {
            let mut encoder = Encoder::new(&plan.encoding)?;
            encoder.expect_loss(self.expected_loss.percent());
            Some(encoder)
        };
        self.keys.update(now, old.srtp.as_ref(), plan.srtp.as_ref())?;
        // From here on nothing fails.
        if let Some(encoder) = encoder {
            self.encoder = encoder;
        }
        self.reception.set_probation(probation(&plan));
        self.rtp_from.signal(plan.remote_rtp);
        self.rtcp_from.signal(plan.remote_rtcp);
        self.rtcp.set_bandwidth(bandwidth(&plan));
        if plan.direction.receives() != self.plan.direction.receives() {
            // After a hold, nothing that was known of the timing holds.
            self.playout.restart();
            self.forget_discarded();
        }
        let former = std::mem::replace(&mut self.plan, plan).receive;
        if former != self.plan.receive {
            self.former = Some((now + FORMER, former));
        }
        if self.gate.is_some() || gate.is_some() {
            self.renew_gate(now, gate, anew);
        }
        self.heard_digits.handle_timeout(now);
        Ok(())
    }

    /// Rate in Hz of the audio of [`Session::capture`] and [`Session::playout`]; may change with [`Session::update`].
    pub fn rate(&self) -> u32 {
        self.plan.encoding.codec.sample_rate()
    }

    /// Audio per packet that we send: what [`Session::capture`] takes; may change with [`Session::update`].
    pub fn packet_time(&self) -> Duration {
        self.plan.encoding.codec.packet_time(self.plan.encoding.packet_time)
    }

    /// Is the far end on hold, so that what [`Session::capture`] gets has to be music or silence?
    pub fn is_holding(&self) -> bool {
        self.plan.holding
    }

    /// Whoever calls [`Session::playout`] does it when [`Session::shift`] says, or at times of its own (the default).
    pub fn follow(&mut self, follows: bool) {
        self.playout.follow(follows);
    }

    /// How much later than its time the next [`Session::playout`] should come, µs, earlier if negative, so that packets
    /// wait no longer than they must; 0 unless told to follow. To be asked after each playout, and done.
    pub fn shift(&mut self) -> i64 {
        self.playout.shift()
    }

    /// The next datagram to send, if any.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.outbox.pop()
    }

    /// When [`Session::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let gate = self.gate.as_ref().and_then(|gate| gate.poll_timeout());
        self.rtcp.poll_timeout().into_iter().chain(self.heard_digits.poll_timeout()).chain(gate).min()
    }

    /// Does what is due at `now`; nothing if nothing is.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.heard_digits.handle_timeout(now);
        self.tell_digits();
        if let Some(gate) = &mut self.gate {
            gate.handle_timeout(now);
            self.follow_gate(now);
        }
        if let Some(report) = self.rtcp.handle_timeout(now, &mut self.reception) {
            self.packet.clear();
            self.packet.extend_from_slice(report);
            self.send_rtcp(now);
        }
    }

    /// The next event, if any.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The quality of both directions until `now`. Computed when asked for; ask once a second rather than per packet.
    pub fn quality(&self, _now: Instant) -> Report {
        let round_trip = self.rtcp.remote().and_then(|remote| remote.round_trip);
        let heard = self.reception.statistics();
        let inbound = Path { codec: self.playout.codec(), packet_time: self.playout.packet_time(), round_trip };
        let outbound = Path { codec: self.plan.encoding.codec, packet_time: self.packet_time(), round_trip };
        let inbound = match heard.expected {
            // Nothing is known of a stream that never came.
            0 => Inbound::default(),
            _ => assess::inbound(&inbound, &heard, self.playout.statistics().mean_delay()),
        };
        Report { inbound, outbound: assess::outbound(&outbound, self.sender.packets(), self.rtcp.remote()) }
    }

    /// What was dropped and why, and what was done about loss.
    pub fn counters(&self) -> Counters {
        Counters { srtp: self.keys.counters(), playout: self.playout.statistics(), ..self.counters }
    }

    /// Ends the streams: queues an RTCP BYE (RFC 3550 section 6.6) for [`Session::poll_transmit`]. Nothing is sent or
    /// heard afterwards; [`Session::quality`] and [`Session::counters`] keep what they say.
    pub fn close(&mut self, now: Instant) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        if let Some(bye) = self.rtcp.bye(now, &mut self.reception, "") {
            self.packet.clear();
            self.packet.extend_from_slice(bye);
            self.send_rtcp(now);
        }
        if let Some(gate) = &mut self.gate {
            gate.close(now);
            self.follow_gate(now);
        }
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() < EVENTS {
            self.events.push_back(event);
        }
    }
}

/// A source has to prove itself unless each of its packets is authenticated.
fn probation(plan: &Plan) -> Probation {
    if plan.srtp.is_some() || plan.dtls.is_some() { Probation::Waived } else { Probation::Required }
}

/// What one direction takes with its RTP, UDP and IP headers, bit/s.
fn bandwidth(plan: &Plan) -> u32 {
    let payload = match plan.encoding.codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 => 64_000,
        Codec::Opus => {
            plan.encoding.opus.max_average_bitrate.unwrap_or(u32::MAX).min(plan.encoding.opus_encoder.bitrate)
        }
        Codec::L16(rate) => 16 * rate.hertz(),
    };
    let packet_time = plan.encoding.codec.packet_time(plan.encoding.packet_time);
    payload + (40.0 * 8.0 / packet_time.as_secs_f64()) as u32
}
