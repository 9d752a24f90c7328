//! The jitter buffer with its decoder: packets in, an even flow of audio out.

mod change;
mod fill;

use super::conceal::Concealer;
use super::decision::{Rhythm, Step};
use super::delay::Delay;
use super::pace::Pace;
use super::packets::{Packets, Waiting, rescaled};
use super::{Config, Insert, Statistics};
use crate::media::codec::{self, Decoder, Unavailable};
use crate::media::comfort::Sid;
use crate::media::plan::Codec;
use crate::media::sequence::{ExtendedSeq, RtpTime};
use crate::time::{Duration, Instant};
use change::Place;
use std::collections::VecDeque;

/// A transit that differs by more from the one before is a jump of the sender's timestamps, not of the network, µs.
const JUMP: i64 = 1_000_000;
/// Sequence numbers of packets without audio that are remembered.
const OTHERS: usize = 128;
/// Discarded packets that nobody asked for yet.
const DISCARDED: usize = 256;

/// A packet of audio, as it arrives.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Its place in the stream.
    pub seq: ExtendedSeq,
    /// Its timestamp, in ticks of the codec's RTP clock.
    pub timestamp: RtpTime,
    /// The codec of its payload type.
    pub codec: Codec,
    /// The first packet after silence (RFC 3551 section 4.1).
    pub marker: bool,
    /// The payload.
    pub payload: &'a [u8],
}

/// Turns packets that come when they come into audio that flows evenly: see the picture in [`super`].
#[derive(Debug)]
pub struct Playout {
    config: Config,
    decoder: Decoder,
    rate: u32,
    packets: Packets,
    delay: Delay,
    rhythm: Rhythm,
    concealer: Concealer,
    /// Audio at `rate`: what was heard last, and from `heard` on what comes next.
    audio: Vec<i16>,
    heard: usize,
    /// What was decoded last, before it is joined.
    fresh: Vec<i16>,
    /// Media time after the last decoded sample; `None` before the first packet is played.
    position: Option<i64>,
    /// Samples made up beyond `position` while nothing was there.
    waited: i64,
    /// Samples in the packet played last.
    length: i64,
    last_seq: Option<ExtendedSeq>,
    /// Packets of the stream that hold no audio.
    others: VecDeque<ExtendedSeq>,
    /// The packet that told of the noise behind the voice.
    noise_since: Option<ExtendedSeq>,
    /// The newest packet, and the last one before the RTP clock changed its rate.
    newest: Option<Place>,
    before: Option<Place>,
    /// A packet whose timestamp jumped, waiting for one that agrees: its number and transit.
    jumped: Option<(ExtendedSeq, i64)>,
    discarded: VecDeque<ExtendedSeq>,
    /// Share of packets lost, and of packets with a copy of the one before.
    loss: f32,
    copies: f32,
    waits_for_copies: bool,
    /// Samples of the next packet in which its encoder was still starting.
    preroll: usize,
    /// The next pull was prepared.
    prepared: bool,
    /// Samples that have to be heard before speech is stretched again.
    rest: usize,
    /// How pulls move, where the packets set the beat.
    pace: Option<Pace>,
    /// How early the packets come since the last pull, µs; known when one was decoded and nothing else was done about it.
    slack: Option<i64>,
    statistics: Statistics,
}

impl Playout {
    /// An empty buffer for `codec`.
    ///
    /// # Errors
    /// [`Unavailable`] when the decoder cannot be started.
    pub fn new(codec: Codec, config: Config) -> Result<Self, Unavailable> {
        let rate = codec.sample_rate();
        Ok(Self {
            config,
            decoder: Decoder::new(codec)?,
            rate,
            packets: Packets::default(),
            delay: Delay::new(),
            rhythm: Rhythm::new(rate),
            concealer: Concealer::new(rate),
            audio: Vec::new(),
            heard: 0,
            fresh: Vec::new(),
            position: None,
            waited: 0,
            length: i64::from(rate) / 50,
            last_seq: None,
            others: VecDeque::new(),
            noise_since: None,
            newest: None,
            before: None,
            preroll: 0,
            prepared: false,
            jumped: None,
            discarded: VecDeque::new(),
            loss: 0.0,
            copies: 0.0,
            waits_for_copies: false,
            rest: 0,
            pace: None,
            slack: None,
            statistics: Statistics::default(),
        })
    }

    /// Rate of the audio of [`Playout::pull`] in Hz; changes with the codec of the packets.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// The codec of the packets played last.
    pub fn codec(&self) -> Codec {
        self.decoder.codec()
    }

    /// Audio in the packet played last; 20 ms before the first.
    pub fn packet_time(&self) -> Duration {
        self.duration(self.length)
    }

    /// What was done so far.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Whoever pulls does it when [`Playout::shift`] says, or at times of its own.
    pub fn follow(&mut self, follows: bool) {
        self.pace = follows.then(|| self.pace.unwrap_or_default());
    }

    /// How much later than its time the next pull should come, µs; earlier if negative. To be asked after each pull, and
    /// done; 0 unless pulls follow the packets.
    pub fn shift(&mut self) -> i64 {
        let (Some(pace), Some(slack)) = (&mut self.pace, self.slack.take()) else { return 0 };
        let shift = pace.shift(slack, self.delay.reserve(), self.rhythm.length());
        self.rhythm.shift(shift);
        shift
    }

    /// Forgets all packets and their timing: another source, another numbering, or the end of a hold.
    pub fn restart(&mut self) {
        while let Some(packet) = self.packets.pop() {
            self.discard(packet);
        }
        self.delay.restart();
        (self.position, self.newest, self.jumped, self.last_seq) = (None, None, None, None);
        (self.before, self.preroll) = (None, 0);
        self.waited = 0;
        self.others.clear();
        self.concealer.begin(&self.audio);
    }

    /// A packet of the stream that holds no audio (telephone event, comfort noise) was received: it is not lost.
    pub fn other(&mut self, seq: ExtendedSeq) {
        if self.others.len() >= OTHERS {
            self.others.pop_front();
        }
        self.others.push_back(seq);
    }

    /// The far end's background noise (RFC 3389), told by packet `seq`: heard until it speaks again. The audio before that
    /// packet may still wait to be played.
    pub fn comfort_noise(&mut self, seq: ExtendedSeq, sid: &Sid) {
        if self.last_seq.is_none_or(|last| last < seq) {
            self.noise_since = Some(seq);
            self.concealer.noise(Some(sid));
        }
    }

    /// The next packet that was taken and then not played, if any.
    pub fn poll_discarded(&mut self) -> Option<ExtendedSeq> {
        self.discarded.pop_front()
    }

    /// Takes a packet that arrived at `now`.
    ///
    /// # Errors
    /// [`Unavailable`] when the packet's codec needs a decoder that cannot be started.
    pub fn insert(&mut self, now: Instant, packet: Incoming<'_>) -> Result<Insert, Unavailable> {
        let Some(length) = codec::length(packet.codec, packet.payload).filter(|&length| length > 0) else {
            return Ok(Insert::Undecodable);
        };
        let rate = packet.codec.sample_rate();
        if rate != self.rate {
            if self.position.is_none() && self.packets.first().is_none() {
                self.begin_with(packet.codec)?;
            } else if self.last_seq.is_some_and(|last| packet.seq < last) {
                // Of the codec before, and overtaken by the change.
                self.statistics.late += 1;
                return Ok(Insert::Late);
            }
        }
        let length = rescaled(length as i64, rate, self.rate);
        let place = self.place(now, &packet, length);
        let Place { time, transit, .. } = place;
        if self.newest.is_some_and(|newest| (transit - newest.transit).abs() > JUMP) {
            let agrees = |(seq, before): (ExtendedSeq, i64)| {
                (1..16).contains(&(packet.seq - seq)) && (transit - before).abs() < JUMP / 4
            };
            if !self.jumped.is_some_and(agrees) {
                self.jumped = Some((packet.seq, transit));
                return Ok(Insert::Jump);
            }
            self.restart();
            self.statistics.restarts += 1;
        }
        self.jumped = None;
        self.note(place);
        self.delay.observe(now, transit, self.duration(length));
        if self.position.is_some_and(|position| time + length <= position) {
            self.statistics.late += 1;
            return Ok(Insert::Late);
        }
        let span = i64::from(self.rate) * (self.config.longest.as_millis() as i64 * 2 + 200) / 1_000;
        while self.packets.is_full() || self.packets.first().is_some_and(|first| time - first.time > span) {
            let Some(oldest) = self.packets.pop() else { break };
            self.statistics.overflowed += 1;
            self.discard(oldest);
        }
        let mut payload = self.packets.buffer();
        payload.extend_from_slice(packet.payload);
        let Incoming { seq, codec, marker, .. } = packet;
        self.packets.insert(Waiting { seq, time, length, codec, marker, arrived: now, payload });
        Ok(Insert::Waiting)
    }

    /// Fills `out` with the next audio at [`Playout::rate`]; silence before the first packet. Packets of another rate wait
    /// for a pull that was [prepared](Playout::prepare).
    pub fn pull(&mut self, now: Instant, out: &mut [i16]) {
        if !std::mem::take(&mut self.prepared) {
            self.rhythm.pulled(now, out.len());
        }
        while self.ready() < out.len() {
            self.step(now, out.len() - self.ready(), out.len());
        }
        let end = self.heard + out.len();
        if let Some(next) = self.audio.get(self.heard..end) {
            out.copy_from_slice(next);
        }
        self.heard = end;
        self.rest = self.rest.saturating_sub(out.len());
        let history = Concealer::history(self.rate);
        if self.heard > 2 * history {
            self.audio.drain(..self.heard - history);
            self.heard = history;
        }
    }

    /// Samples that were decoded or made up and not heard.
    fn ready(&self) -> usize {
        self.audio.len() - self.heard
    }

    /// Appends at least one sample, or removes a packet.
    fn step(&mut self, now: Instant, wanted: usize, pull: usize) {
        let Some(position) = self.position else {
            match self.packets.first() {
                Some(first) => self.position = Some(first.time),
                // What was heard before a restart fades; before anything was heard, this is silence.
                None => self.concealer.extend(&mut self.audio, wanted),
            }
            return;
        };
        while let Some(overtaken) = self.packets.pop_ended(position) {
            self.statistics.late += 1;
            self.discard(overtaken);
        }
        let situation = self.situation(position, wanted);
        match situation.step() {
            Step::Play if self.changes_rate() => self.waited += self.make_up(wanted) as i64,
            Step::Play => self.play(now, position, pull),
            Step::Wait(samples) => self.waited += self.make_up(samples) as i64,
            Step::Conceal(samples) => {
                let made = self.make_up(samples);
                self.go_on(position, made);
            }
            Step::Recover(samples) => {
                let made = self.recover(samples);
                self.go_on(position, made);
            }
            Step::Pause(samples) => self.pause(position, samples, pull),
        }
    }
}
