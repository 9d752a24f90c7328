//! How audio comes into the buffer: decoded, recovered, made up, stretched.

use super::super::decision::{Change, Situation};
use super::super::packets::Waiting;
use super::super::stretch::{self, Likeness};
use super::{DISCARDED, Playout};
use crate::media::codec::{self, Decoder};
use crate::media::sequence::ExtendedSeq;
use crate::time::{Duration, Instant};

/// More delay than this above the needed one is not shortened but cut off, µs.
const CUT: i64 = 400_000;
/// libopus makes up audio in multiples of 2.5 ms at 48 kHz, ...
const OPUS_GRANULE: usize = 120;
/// ... at most this much at once.
const OPUS_LONGEST: usize = 5_760;
/// Share of the spread of transits, one in so many, that is waited for beyond the latest: a few seconds of a network do not
/// tell what it does once in a thousand packets.
const SAFETY: i64 = 8;
/// Packets over which loss is averaged.
const LOSS_MEMORY: f32 = 100.0;
/// In-band copies are worth a packet of delay when loss is above the second of these, until it is below the first.
const LOSS_WORTH_WAITING: (f32, f32) = (0.004, 0.01);
/// Share of packets with a copy from which on copies can be counted on.
const COPIES_USUAL: f32 = 0.1;

impl Playout {
    pub(super) fn situation(&self, position: i64, wanted: usize) -> Situation {
        let first = self.packets.first();
        let copy = first.filter(|first| codec::carries_copy(first.codec, &first.payload));
        Situation {
            gap: first.map(|first| first.time - position),
            waited: self.waited,
            // Behind silence nothing that is missing was heard.
            contiguous: first.is_some_and(|first| first.marker || self.missing_before(first.seq) == 0),
            copy: copy.map_or(0, |first| first.length),
            wanted,
        }
    }

    /// How many packets between the one played last and `seq` were not received.
    fn missing_before(&self, seq: ExtendedSeq) -> i64 {
        let Some(last) = self.last_seq else { return 0 };
        let others = self.others.iter().filter(|&&other| other > last && other < seq).count();
        seq - last - 1 - others as i64
    }

    /// Media goes on `samples` behind what was decoded and waited for.
    pub(super) fn go_on(&mut self, position: i64, samples: usize) {
        self.position = Some(position + self.waited + samples as i64);
        self.waited = 0;
    }

    /// Decodes the first packet.
    pub(super) fn play(&mut self, now: Instant, position: i64, pull: usize) {
        let Some(packet) = self.packets.pop() else { return };
        self.account(&packet);
        if packet.codec != self.decoder.codec() {
            // Of the same rate: another law of G.711, which is always there.
            if let Ok(decoder) = Decoder::new(packet.codec) {
                self.decoder = decoder;
            }
        }
        self.fresh.clear();
        if self.decoder.decode(&packet.payload, &mut self.fresh).is_err() {
            // The gap that it leaves is filled like any other.
            self.statistics.undecodable += 1;
            self.discard(packet);
            return;
        }
        let leaves = now + self.duration((self.audio.len() - self.heard) as i64);
        self.statistics.played += 1;
        self.statistics.delay_sum += leaves.since(packet.arrived);
        let overlap = usize::try_from(position - packet.time).unwrap_or(0);
        self.fresh.drain(..overlap.min(self.fresh.len()));
        self.pass_over_preroll();
        self.append_fresh();
        if self.noise_since.take_if(|since| *since < packet.seq).is_some() {
            self.concealer.noise(None);
        }
        let position = packet.end();
        (self.position, self.waited, self.length) = (Some(position), 0, packet.length);
        self.packets.recycle(packet.payload);
        self.adjust(now, position, pull);
    }

    /// Learns how much is lost, and whether copies would help.
    fn account(&mut self, packet: &Waiting) {
        for _ in 0..self.missing_before(packet.seq).min(10) {
            self.loss += (1.0 - self.loss) / LOSS_MEMORY;
        }
        self.loss -= self.loss / LOSS_MEMORY;
        let copy = if codec::carries_copy(packet.codec, &packet.payload) { 1.0 } else { 0.0 };
        self.copies += (copy - self.copies) / LOSS_MEMORY;
        let (too_little, enough) = LOSS_WORTH_WAITING;
        let limit = if self.waits_for_copies { too_little } else { enough };
        self.waits_for_copies = self.copies > COPIES_USUAL && self.loss > limit;
        self.last_seq = Some(packet.seq);
        while self.others.front().is_some_and(|&other| other <= packet.seq) {
            self.others.pop_front();
        }
    }

    fn append_fresh(&mut self) {
        self.concealer.join(&mut self.fresh);
        self.audio.extend_from_slice(&self.fresh);
    }

    /// Makes up `samples` or a few more; tells how many.
    pub(super) fn make_up(&mut self, samples: usize) -> usize {
        let rounded = samples.next_multiple_of(OPUS_GRANULE).min(OPUS_LONGEST);
        self.fresh.clear();
        let made = if self.decoder.conceal(rounded, &mut self.fresh) {
            self.append_fresh();
            rounded
        } else {
            self.concealer.extend(&mut self.audio, samples);
            samples
        };
        self.statistics.made_up += self.duration(made as i64);
        made
    }

    /// Takes `samples` or a few more from the copy in the first packet; tells how many.
    pub(super) fn recover(&mut self, samples: usize) -> usize {
        let rounded = samples.next_multiple_of(OPUS_GRANULE).min(OPUS_LONGEST);
        self.fresh.clear();
        let first = self.packets.first();
        if !first.is_some_and(|first| self.decoder.recover(&first.payload, rounded, &mut self.fresh)) {
            return self.make_up(samples);
        }
        self.append_fresh();
        self.statistics.recovered += 1;
        rounded
    }

    /// Nobody speaks for `samples` or longer: the best time to change the delay.
    pub(super) fn pause(&mut self, position: i64, samples: usize, pull: usize) {
        match self.change(position + self.waited, pull) {
            (_, Change::Shorten(most)) if most >= self.rate as usize / 400 => {
                self.concealer.begin(&self.audio);
                let skipped = most.min(samples);
                self.statistics.shortened += self.duration(skipped as i64);
                self.go_on(position, skipped);
            }
            (_, Change::Lengthen(missing)) => {
                let made = self.make_up(missing.min(samples));
                self.statistics.lengthened += self.duration(made as i64);
            }
            _ => {
                let made = self.make_up(samples);
                self.go_on(position, made);
            }
        }
    }

    /// How the delay should change, and the slack in µs; `position` is the media time at the end of the audio.
    fn change(&self, position: i64, pull: usize) -> (i64, Change) {
        let (Some(late), Some(usual)) = (self.delay.late_transit(), self.delay.usual_transit()) else {
            return (0, Change::None);
        };
        // Where pulls follow the packets no part of a pull is wasted; some of that buys safety.
        let late = if self.pace.is_some() { late + (late - usual) / SAFETY } else { late };
        let longest = self.config.longest.as_micros() as i64;
        let copies = if self.waits_for_copies { self.micros(self.length) } else { 0 };
        let transit = late.min(usual + longest) + copies;
        let lead = (self.audio.len() - self.heard) as i64 - pull as i64;
        let change = |transit: i64| match self.rhythm.slack(lead, position, self.length, transit) {
            Some(slack) => (slack, self.rhythm.change(slack, lead, self.length, self.delay.reluctance())),
            None => (0, Change::None),
        };
        let newest = self.newest.map_or(transit, |newest| newest.transit);
        match change(transit) {
            // What the newest packet needs stays, even if it is later than packets used to be: it may be the first of many.
            (_, Change::Shorten(_)) if newest > transit => match change(newest) {
                (slack, Change::Lengthen(_)) => (slack, Change::None),
                enough => enough,
            },
            usual => usual,
        }
    }

    /// Brings the delay nearer to what it should be, after a packet was decoded.
    fn adjust(&mut self, now: Instant, position: i64, pull: usize) {
        let rate = self.rate as usize;
        let ready = self.audio.len() - self.heard;
        let (slack, mut change) = self.change(position, pull);
        self.slack = self.pace.is_some_and(|pace| pace.covers(slack)).then_some(slack);
        if self.slack.is_some() {
            change = match change {
                Change::Shorten(most) => Change::Shorten(self.rhythm.rest(most, self.length)),
                Change::Lengthen(_) | Change::None => Change::None,
            };
        }
        match (slack, change) {
            (slack, Change::Shorten(_)) if slack > CUT => self.cut(position, slack),
            (slack, Change::Shorten(most)) if most >= rate / 400 && self.rest == 0 => {
                // There has to be something to choose from.
                if ready < rate / 40
                    && self.packets.first().is_some_and(|first| first.time == position)
                    && !self.changes_rate()
                {
                    return self.play(now, position, pull);
                }
                // The more there is to catch up, the rougher and the faster: by a quarter, by a half.
                let (enough, pace) = match slack {
                    ..80_000 => (Likeness(0.85), 3),
                    80_000..150_000 => (Likeness(0.6), 2),
                    _ => (Likeness(0.3), 1),
                };
                let removed = stretch::shorten(&mut self.audio, self.heard, most, rate, enough);
                self.rest = removed * pace;
                self.statistics.shortened += self.duration(removed as i64);
            }
            (slack, Change::Lengthen(missing)) => {
                let enough = if slack > -40_000 { Likeness(0.7) } else { Likeness(0.4) };
                let added = stretch::lengthen(&mut self.audio, self.heard, missing, rate, enough);
                self.statistics.lengthened += self.duration(added as i64);
            }
            _ => {}
        }
    }

    /// Drops packets until the delay is what it should be.
    fn cut(&mut self, position: i64, slack: i64) {
        let surplus = slack * i64::from(self.rate) / 1_000_000;
        let mut reached = position;
        while let Some(first) = self.packets.first().filter(|first| first.end() - position <= surplus) {
            reached = first.end();
            if let Some(packet) = self.packets.pop() {
                self.statistics.overflowed += 1;
                self.last_seq = Some(packet.seq);
                self.discard(packet);
            }
        }
        self.position = Some(reached);
        self.concealer.begin(&self.audio);
    }

    /// Counts a packet that was taken and is not played.
    pub(super) fn discard(&mut self, packet: Waiting) {
        if self.discarded.len() < DISCARDED {
            self.discarded.push_back(packet.seq);
        }
        self.packets.recycle(packet.payload);
    }

    pub(super) fn micros(&self, samples: i64) -> i64 {
        (i128::from(samples) * 1_000_000 / i128::from(self.rate)) as i64
    }

    pub(super) fn duration(&self, samples: i64) -> Duration {
        Duration::from_micros(u64::try_from(self.micros(samples)).unwrap_or(0))
    }
}
