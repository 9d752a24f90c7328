//! The media of one call.
//!
//! ```text
//!   microphone ─ capture() ─▶ encoder ─▶ sender ─▶ srtp ─▶ poll_transmit() ─▶ network
//!                                  digits ─▶ dtmf ┘  │
//!                                        rtcp ◀──────┴──────┐
//!   speaker ◀─ playout() ◀─ resampler ◀─ jitter ◀─ receiver ◀─ srtp ◀─ handle_packet() ◀─ network
//! ```

use super::codec::{self, Encoder, Unavailable, opus};
use super::dtmf::Digit;
use super::plan::Plan;
use super::quality::Report;
use crate::random::Random;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Which of the two ports of a call; with rtcp-mux (RFC 5761) everything is `Rtp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// The RTP port.
    Rtp,
    /// The RTCP port.
    Rtcp,
}

/// What the owner of a session chooses; everything else comes from the [`Plan`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Canonical name in RTCP (RFC 3550 section 6.5.1), the same in every stream of a call.
    pub cname: String,
    /// Opus encoder.
    pub opus: opus::Settings,
    /// How long each DTMF digit sounds; at least 40 ms (RFC 4733 section 2.5.2.3 cites Q.24).
    pub digit_time: Duration,
    /// Silence between two digits.
    pub digit_gap: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cname: "sidetone".into(),
            opus: opus::Settings::default(),
            digit_time: Duration::from_millis(100),
            digit_gap: Duration::from_millis(50),
        }
    }
}

/// A datagram to send; `bytes` stay valid until the next call of a method of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// From which of our ports.
    pub component: Component,
    /// Where to.
    pub to: SocketAddr,
    /// The payload.
    pub bytes: &'a [u8],
}

/// What the owner of a session may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first valid RTP packet of the call arrived.
    FirstPacket,
    /// The far end's address is another than its SDP said; we send there from now on.
    RemoteLearned {
        /// Of which port.
        component: Component,
        /// Where packets really come from.
        address: SocketAddr,
    },
    /// The far end pressed a key.
    Dtmf {
        /// Which one.
        digit: Digit,
        /// For how long.
        duration: Duration,
    },
    /// A queued digit was sent completely.
    DtmfSent {
        /// Which one.
        digit: Digit,
    },
    /// The far end's stream restarted under another source (RFC 3550 section 8).
    SourceChanged {
        /// Its new SSRC.
        ssrc: u32,
    },
    /// The far end said goodbye by RTCP (RFC 3550 section 6.6).
    RemoteBye,
}

/// What went wrong or was dropped, and what was done about loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that are neither RTP nor RTCP, or damaged.
    pub malformed: u64,
}

/// The media of one call: see the picture at the head of this module.
#[derive(Debug)]
pub struct Session {
    plan: Plan,
    encoder: Encoder,
    events: VecDeque<Event>,
}

impl Session {
    /// Starts the media of a call.
    ///
    /// # Errors
    /// [`Unavailable`] when a codec of the plan cannot be started.
    pub fn new(now: Instant, plan: Plan, config: Config, random: Random) -> Result<Self, Unavailable> {
        let encoder = Encoder::new(&plan.encoding, &config.opus)?;
        let _ = (now, random);
        Ok(Self { plan, encoder, events: VecDeque::new() })
    }

    /// Follows a renegotiation: SSRC, sequence numbers, time stamps and, while the keys stay, SRTP contexts go on.
    ///
    /// # Errors
    /// [`Unavailable`] when a codec of the plan cannot be started; the session then goes on under the old plan.
    pub fn update(&mut self, now: Instant, plan: Plan) -> Result<(), Unavailable> {
        let _ = now;
        self.plan = plan;
        Ok(())
    }

    /// Rate in Hz of the audio of [`Session::capture`] and [`Session::playout`]; may change with [`Session::update`].
    pub fn rate(&self) -> u32 {
        self.plan.encoding.codec.sample_rate()
    }

    /// Audio per packet that we send: what [`Session::capture`] takes; may change with [`Session::update`].
    pub fn packet_time(&self) -> Duration {
        codec::packet_time(self.plan.encoding.codec, self.plan.encoding.packet_time)
    }

    /// Takes a datagram that arrived at `now` on the port of `component`.
    pub fn handle_packet(&mut self, now: Instant, component: Component, from: SocketAddr, bytes: &[u8]) {
        let _ = (now, component, from, bytes);
    }

    /// Takes exactly one [`Session::packet_time`] of mono audio at [`Session::rate`], to be sent at once.
    pub fn capture(&mut self, now: Instant, audio: &[i16]) {
        let _ = (now, self.encoder.encode(audio, &mut Vec::new()));
    }

    /// Fills `out` with the next mono audio at [`Session::rate`], a multiple of 10 ms.
    pub fn playout(&mut self, now: Instant, out: &mut [i16]) {
        let _ = now;
        out.fill(0);
    }

    /// Queues digits, to be sent one after the other in place of audio.
    pub fn send_dtmf(&mut self, now: Instant, digits: &[Digit]) {
        let _ = (now, digits);
    }

    /// The next datagram to send, if any.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        None
    }

    /// When [`Session::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Does what is due at `now`; nothing if nothing is.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// The next event, if any.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The quality of both directions until `now`.
    pub fn quality(&self, now: Instant) -> Report {
        let _ = now;
        Report::default()
    }

    /// What went wrong, and what was done about it.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }

    /// Ends the streams: queues an RTCP BYE (RFC 3550 section 6.6) for [`Session::poll_transmit`].
    pub fn close(&mut self, now: Instant) {
        let _ = now;
    }
}
