//! The numbering of what we send: one source, sequence numbers without a gap, timestamps that follow the sampling
//! clock through silence, holds and changes of codec.
//!
//! ```text
//! tick        │ 1 │ 2 │ 3 │ 4 │ 5 │ 6 │   one packet time each
//! packet        M   .  hold │ M   .       seq  7 8     9 10
//! timestamp     0  160        640 800     marker where a talk spurt begins
//! ```

use super::packet::Header;
use super::sequence::{RtpTime, Seq, Ssrc};
use crate::random::Random;
use crate::time::{Duration, Instant};

/// A tick that comes this much later than the one before promised was held up; media time goes on meanwhile.
const INTERRUPTION: Duration = Duration::from_millis(100);

/// Numbers packets.
#[derive(Debug)]
pub struct Sender {
    ssrc: Ssrc,
    seq: Seq,
    /// Sampling instant of the current tick.
    timestamp: RtpTime,
    /// Timestamp of the telephone event that is being sent.
    event: RtpTime,
    /// The next packet of audio begins a talk spurt.
    spurt: bool,
    /// When the next tick is due.
    due: Option<Instant>,
    /// Ticks of the RTP clock in the current packet time.
    length: u32,
    packets: u64,
}

impl Sender {
    /// A new source: SSRC, first sequence number and first timestamp are random (RFC 3550 section 5.1).
    pub fn new(random: &mut Random) -> Self {
        Self {
            ssrc: Ssrc(random.u32()),
            // In the lower half: SRTP cannot tell how often the number wrapped if the first packets are lost and the
            // first one that arrives is past a wrap (RFC 3711 section 3.3.1 begins with a roll-over counter of 0).
            seq: Seq((random.u32() & 0x7FFF) as u16),
            timestamp: RtpTime(random.u32()),
            event: RtpTime(0),
            spurt: true,
            due: None,
            length: 0,
            packets: 0,
        }
    }

    /// Who we are.
    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// Packets numbered so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// A packet time of `length` begins at `now`, on an RTP clock of `clock_rate` Hz.
    ///
    /// Timestamps of one source run on when the clock changes its rate: from the last packet at the old rate
    /// (RFC 7160 section 4.1).
    pub fn tick(&mut self, now: Instant, length: Duration, clock_rate: u32) {
        let ticks = |time: Duration| (time.as_nanos() * u128::from(clock_rate) / 1_000_000_000) as u32;
        self.timestamp += self.length;
        self.length = ticks(length);
        if let Some(due) = self.due
            && now.since(due) > INTERRUPTION
        {
            let missed = now.since(due).as_nanos() / length.as_nanos().max(1);
            self.timestamp += self.length.wrapping_mul(missed as u32);
            self.spurt = true;
            self.due = None;
        }
        // The schedule, not the wake-up: late wake-ups must not add up. Early ones move it, and so does what stays late: a
        // schedule that follows another clock.
        let due = self.due.map_or(now, |due| if now < due { now } else { due + now.since(due) / 16 });
        self.due = Some(due + length);
    }

    /// Nothing is sent in this tick: silence, or a hold.
    pub fn skip(&mut self) {
        self.spurt = true;
    }

    /// The header of the audio packet of this tick.
    pub fn audio(&mut self, payload_type: u8) -> Header {
        let marker = std::mem::take(&mut self.spurt);
        self.header(payload_type, marker, self.timestamp)
    }

    /// The header of a packet that is no audio: comfort noise (RFC 3389 section 4), or one without meaning that keeps a
    /// translator's binding (RFC 6263 section 4.6). The time as it stands, and no talk spurt begins or ends with it.
    pub fn aside(&mut self, payload_type: u8) -> Header {
        self.header(payload_type, false, self.timestamp)
    }

    /// The header of a packet of a telephone event; `begins`: the event begins with this tick.
    pub fn event(&mut self, payload_type: u8, marker: bool, begins: bool) -> Header {
        if begins {
            self.event = self.timestamp;
        }
        // Audio after the event is a new talk spurt.
        self.spurt = true;
        self.header(payload_type, marker, self.event)
    }

    fn header(&mut self, payload_type: u8, marker: bool, timestamp: RtpTime) -> Header {
        let seq = self.seq;
        self.seq = seq.next();
        self.packets += 1;
        Header { marker, payload_type, seq, timestamp, ssrc: self.ssrc }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(20);

    fn ticks(sender: &mut Sender, ms: &mut u64, count: u64, rate: u32) -> Vec<Header> {
        (0..count)
            .map(|_| {
                sender.tick(Instant::from_millis(*ms), TIME, rate);
                *ms += 20;
                sender.audio(0)
            })
            .collect()
    }

    #[test]
    fn sequence_and_time_run_through_holds_and_codec_changes() {
        let mut sender = Sender::new(&mut Random::from_seed(9));
        let mut ms = 1_000;
        let first = ticks(&mut sender, &mut ms, 2, 8_000);
        assert_eq!((first[0].marker, first[1].marker), (true, false));
        let start = first[0].timestamp;
        assert!(first[0].seq.0 < 0x8000);
        // A hold of three ticks.
        for _ in 0..3 {
            sender.tick(Instant::from_millis(ms), TIME, 8_000);
            sender.skip();
            ms += 20;
        }
        let after = ticks(&mut sender, &mut ms, 2, 8_000);
        assert_eq!((after[0].timestamp.since(start), after[0].marker), (800, true));
        assert_eq!(after[0].seq.distance(first[1].seq), 1);
        // Opus from here: the last packet's 160 ticks, then 960 each.
        let opus = ticks(&mut sender, &mut ms, 2, 48_000);
        assert_eq!((opus[0].timestamp.since(start), opus[1].timestamp.since(start)), (1_120, 2_080));
        assert_eq!((opus[0].seq.distance(first[0].seq), opus[0].marker), (4, false));
        assert!(opus.iter().all(|header| header.ssrc == sender.ssrc()));
        assert_eq!(sender.packets(), 6);
    }

    #[test]
    fn time_goes_on_while_nobody_ticks() {
        let mut sender = Sender::new(&mut Random::from_seed(9));
        let mut ms = 0;
        let first = ticks(&mut sender, &mut ms, 1, 8_000)[0];
        // A device that stood still for half a second; then one that is a little late each time.
        ms += 500;
        let next = ticks(&mut sender, &mut ms, 1, 8_000)[0];
        assert_eq!((next.timestamp.since(first.timestamp), next.marker), (8 * 520, true));
        for late in [5, 15, 9, 19, 0, 12] {
            sender.tick(Instant::from_millis(ms + late), TIME, 8_000);
            ms += 20;
            assert!(!sender.audio(0).marker);
        }
        let last = ticks(&mut sender, &mut ms, 1, 8_000)[0];
        assert_eq!(last.timestamp.since(next.timestamp), 7 * 160);
    }

    #[test]
    fn an_event_keeps_its_timestamp() {
        let mut sender = Sender::new(&mut Random::from_seed(1));
        let mut ms = 0;
        let audio = ticks(&mut sender, &mut ms, 1, 8_000)[0];
        let mut event = |sender: &mut Sender, begins: bool| {
            sender.tick(Instant::from_millis(ms), TIME, 8_000);
            ms += 20;
            sender.event(101, begins, begins)
        };
        let (one, two) = (event(&mut sender, true), event(&mut sender, false));
        assert_eq!((one.timestamp.since(audio.timestamp), two.timestamp.since(audio.timestamp)), (160, 160));
        let again = sender.audio(0);
        assert_eq!((again.timestamp.since(audio.timestamp), again.marker), (320, true));
        assert_eq!(again.seq.distance(audio.seq), 3);
    }
}
