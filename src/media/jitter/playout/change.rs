//! A far end that changes its codec: to another clock rate, to another rate of audio.
//!
//! ```text
//! packets   │ PCMU │ PCMU │ Opus │ Opus │      each at its media time, whatever clock counts it
//! audio     ─── 8 kHz ─────┐
//!            what is ready └▶ 48 kHz ──────    at the pull that reaches into the first packet of the new codec
//! ```

use super::super::packets::rescaled;
use super::super::{conceal::Concealer, decision::Rhythm};
use super::{Incoming, JUMP, Playout};
use crate::media::codec::{self, Decoder, Unavailable};
use crate::media::plan::Codec;
use crate::media::resample;
use crate::media::sequence::{ExtendedSeq, RtpTime};
use crate::time::{Duration, Instant};

/// Where a packet stands in the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    seq: ExtendedSeq,
    timestamp: RtpTime,
    /// Rate of the RTP clock that the timestamp counts, Hz.
    clock: u32,
    /// Media time of its first sample, in samples, unwrapped.
    pub(super) time: i64,
    length: i64,
    /// Its arrival less its media time, µs.
    pub(super) transit: i64,
}

impl Playout {
    /// Has the next `span` of audio ready and tells its rate, Hz: that of the packets that it is made of, which a far end may
    /// change at any time. [`Playout::pull`] then takes it.
    pub fn prepare(&mut self, now: Instant, span: Duration) -> u32 {
        let mut wanted = codec::samples(span, self.rate);
        self.rhythm.pulled(now, wanted);
        self.prepared = true;
        while self.ready() < wanted {
            if self.changes_rate() && self.carry_over() {
                wanted = codec::samples(span, self.rate);
            } else {
                self.step(now, wanted - self.ready(), wanted);
            }
        }
        self.rate
    }

    /// Has the last `time` of what was pulled pulled again, as far as it is still there.
    pub fn rewind(&mut self, time: Duration) {
        self.heard -= codec::samples(time, self.rate).min(self.heard);
    }

    /// What was pulled last, at most `time` of it.
    pub fn history(&self, time: Duration) -> &[i16] {
        let start = self.heard.saturating_sub(codec::samples(time, self.rate));
        self.audio.get(start..self.heard).unwrap_or(&[])
    }

    /// Is the packet to be played next of another rate?
    pub(super) fn changes_rate(&self) -> bool {
        let (Some(position), Some(first)) = (self.position, self.packets.first()) else { return false };
        first.codec.sample_rate() != self.rate && first.time - position <= self.waited
    }

    /// The place of a packet that arrives at `now` and holds `length` samples.
    pub(super) fn place(&self, now: Instant, packet: &Incoming<'_>, length: i64) -> Place {
        let clock = packet.codec.clock_rate();
        let behind = |known: &Place, clock: u32| {
            known.time + rescaled(packet.timestamp.since(known.timestamp).into(), clock, self.rate)
        };
        let transit = |time: i64| now.since_start().as_micros() as i64 - self.micros(time);
        let time = match (&self.newest, &self.before) {
            (None, _) => rescaled(packet.timestamp.0.into(), clock, self.rate),
            (Some(newest), _) if newest.clock == clock => behind(newest, clock),
            (Some(newest), Some(before)) if before.clock == clock && packet.seq < newest.seq => behind(before, clock),
            (Some(newest), _) => {
                // The ticks until the change are those of the old clock (RFC 7160 section 4.1). Who counts otherwise, or
                // when packets are missing between, is taken by the numbers.
                let by_clock = behind(newest, newest.clock);
                let by_number = newest.time + newest.length * (packet.seq - newest.seq).clamp(1, 50);
                let odd = |time: i64| (transit(time) - newest.transit).abs();
                if odd(by_clock) < odd(by_number) && odd(by_clock) < JUMP { by_clock } else { by_number }
            }
        };
        let Incoming { seq, timestamp, .. } = *packet;
        Place { seq, timestamp, clock, time, length, transit: transit(time) }
    }

    /// Takes up the place of a packet that was accepted.
    pub(super) fn note(&mut self, place: Place) {
        match self.newest {
            Some(newest) if newest.clock != place.clock && place.seq < newest.seq => {}
            Some(newest) if newest.clock != place.clock => (self.before, self.newest) = (Some(newest), Some(place)),
            _ => self.newest = Some(place),
        }
    }

    /// Nothing was played yet, or nothing of it matters: the packets are of this codec.
    pub(super) fn begin_with(&mut self, codec: Codec) -> Result<(), Unavailable> {
        self.decoder = Decoder::new(codec)?;
        self.restart();
        self.rate = codec.sample_rate();
        self.rhythm = Rhythm::new(self.rate);
        self.slack = None;
        self.length = i64::from(self.rate) / 50;
        // From the last sample heard the new audio is joined.
        let last = self.heard.checked_sub(1).and_then(|last| self.audio.get(last)).copied();
        self.audio.clear();
        self.audio.extend(last);
        self.heard = self.audio.len();
        self.concealer = Concealer::new(self.rate);
        self.concealer.begin(&self.audio);
        Ok(())
    }

    /// Goes on at the rate of the first packet: what is ready and what was heard, at that rate, and all times.
    fn carry_over(&mut self) -> bool {
        let Some(codec) = self.packets.first().map(|first| first.codec) else { return false };
        let (from, to) = (self.rate, codec.sample_rate());
        let Ok(decoder) = Decoder::new(codec) else { return false };
        // What the old encoder still held never comes, and the new one begins behind it.
        let held = codec::preroll(self.decoder.codec());
        let (length, ready) = ((self.audio.len() + held) as i64, (self.ready() + held) as i64);
        // The filter looks further ahead, too: at what would probably have come.
        let mut known = std::mem::take(&mut self.audio);
        Concealer::new(from).extend(&mut known, held + from as usize / 40);
        self.audio = resample::converted(&known, from, to);
        self.audio.truncate(usize::try_from(rescaled(length, from, to)).unwrap_or(0));
        let ready = usize::try_from(rescaled(ready, from, to)).unwrap_or(0);
        self.heard = self.audio.len().saturating_sub(ready);
        let scale = |samples: &mut i64| *samples = rescaled(*samples, from, to);
        self.position.iter_mut().for_each(scale);
        scale(&mut self.waited);
        scale(&mut self.length);
        for place in self.newest.iter_mut().chain(&mut self.before) {
            scale(&mut place.time);
            scale(&mut place.length);
        }
        self.packets.rescale(from, to);
        self.rhythm.set_rate(to);
        (self.decoder, self.rate, self.slack, self.rest) = (decoder, to, None, 0);
        self.concealer = Concealer::new(to);
        self.concealer.begin(&self.audio);
        self.preroll = codec::preroll(codec);
        true
    }

    /// Leaves out what a starting encoder makes of nothing; the delay grows back where it has to, by periods of the voice.
    pub(super) fn pass_over_preroll(&mut self) {
        let preroll = std::mem::take(&mut self.preroll).min(self.fresh.len());
        self.fresh.drain(..preroll);
    }
}
