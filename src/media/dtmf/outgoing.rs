//! Digits that we send (RFC 4733 section 2.5.1).
//!
//! ```text
//!            digit_time              digit_gap
//! ticks   ├────┬────┬────┬────┬────┼────┬────┬────┤
//! packets   M    .    .    .    E    E    E         next digit, or audio again
//!           one timestamp, growing duration
//! ```

use super::Digit;
use crate::time::Duration;
use std::collections::VecDeque;

/// Digits that may wait: far more than any menu takes.
const MOST: usize = 256;
/// The end is said so often in total (section 2.5.1.4).
const ENDS: u8 = 3;
/// Power of the tone, -dBm0 (section 2.3.4): a usual level of keypads.
const VOLUME: u8 = 10;
/// Longest duration of a packet (section 2.3.5); longer events go on in a new segment (section 2.5.1.3).
const LONGEST: u32 = 0xFFFF;

/// What to send in place of the audio of one packet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Nothing to say: audio goes on.
    Audio,
    /// Between two digits: nothing is sent.
    Silence,
    /// A packet of an event.
    Event(Pulse),
}

/// A packet of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// The payload.
    pub payload: [u8; 4],
    /// Its first packet.
    pub marker: bool,
    /// The event, or a segment of it, begins with this tick: the packet's timestamp is that of this tick, and stays so
    /// until the next beginning.
    pub begins: bool,
    /// How often to send it, each time under a sequence number of its own.
    pub copies: u8,
    /// With this packet a digit is sent completely.
    pub finished: Option<Digit>,
}

/// A digit on its way.
#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    /// It sounds; `sounded` so far, `segment` ticks of its clock in this segment.
    Sounding {
        digit: Digit,
        sounded: Duration,
        segment: u32,
        first: bool,
    },
    /// It ended with `segment` ticks, and is followed by silence.
    Ended {
        digit: Digit,
        segment: u32,
        ends_left: u8,
        silent: Duration,
    },
}

/// The digits that wait and the one that sounds.
#[derive(Clone, Debug)]
pub struct Outgoing {
    queue: VecDeque<Digit>,
    state: State,
    digit_time: Duration,
    gap: Duration,
}

impl Outgoing {
    /// Digits that sound for `digit_time` each, with `gap` between them.
    pub fn new(digit_time: Duration, gap: Duration) -> Self {
        Self { queue: VecDeque::new(), state: State::Idle, digit_time, gap }
    }

    /// Queues digits; tells how many of them found room.
    pub fn push(&mut self, digits: &[Digit]) -> usize {
        let room = MOST.saturating_sub(self.queue.len()).min(digits.len());
        self.queue.extend(digits.iter().take(room));
        room
    }

    /// Is nothing queued or sounding?
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle) && self.queue.is_empty()
    }

    /// The next packet time begins. Durations count in ticks of `clock_rate` Hz.
    pub fn tick(&mut self, packet_time: Duration, clock_rate: u32) -> Tick {
        if let State::Ended { ends_left: 0, silent, .. } = self.state
            && silent >= self.gap
        {
            self.state = State::Idle;
        }
        let ticks = (packet_time.as_micros() as u64 * u64::from(clock_rate) / 1_000_000) as u32;
        let (digit, sounded, segment, first) = match self.state {
            State::Idle => match self.queue.pop_front() {
                Some(digit) => (digit, Duration::ZERO, 0, true),
                None => return Tick::Audio,
            },
            State::Sounding { digit, sounded, segment, first } => (digit, sounded, segment, first),
            State::Ended { digit, segment, ends_left, silent } => {
                return self.end(digit, segment, ends_left, silent + packet_time);
            }
        };
        let (begins, segment) =
            if segment == 0 || segment + ticks > LONGEST { (true, ticks) } else { (false, segment + ticks) };
        let sounded = sounded + packet_time;
        let ended = sounded >= self.digit_time;
        self.state = if ended {
            State::Ended { digit, segment, ends_left: ENDS - 1, silent: Duration::ZERO }
        } else {
            State::Sounding { digit, sounded, segment, first: false }
        };
        let payload = payload(digit, ended, segment);
        Tick::Event(Pulse { payload, marker: first, begins, copies: 1, finished: None })
    }

    fn end(&mut self, digit: Digit, segment: u32, ends_left: u8, silent: Duration) -> Tick {
        // What does not fit into the gap goes with its last packet time.
        let copies = if silent >= self.gap { ends_left } else { ends_left.min(1) };
        let ends_left = ends_left - copies;
        self.state = State::Ended { digit, segment, ends_left, silent };
        if copies == 0 {
            return Tick::Silence;
        }
        let finished = (ends_left == 0).then_some(digit);
        let payload = payload(digit, true, segment);
        Tick::Event(Pulse { payload, marker: false, begins: false, copies, finished })
    }
}

/// The four octets of an event (section 2.3).
fn payload(digit: Digit, end: bool, duration: u32) -> [u8; 4] {
    let [high, low] = u16::try_from(duration).unwrap_or(u16::MAX).to_be_bytes();
    [digit.event(), if end { 0x80 | VOLUME } else { VOLUME }, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// Event, end, duration, marker, begins, copies.
    type Sent = (u8, bool, u16, bool, bool, u8);

    /// Ticks until audio goes on, `None` for silence.
    fn all(outgoing: &mut Outgoing, ms: u64, clock: u32) -> Vec<Option<Sent>> {
        std::iter::from_fn(|| match outgoing.tick(MS(ms), clock) {
            Tick::Audio => None,
            Tick::Silence => Some(None),
            Tick::Event(pulse) => {
                let [event, flags, high, low] = pulse.payload;
                let duration = u16::from_be_bytes([high, low]);
                Some(Some((event, flags & 0x80 != 0, duration, pulse.marker, pulse.begins, pulse.copies)))
            }
        })
        .collect()
    }

    #[test]
    fn a_digit_grows_and_ends_three_times() {
        let mut outgoing = Outgoing::new(MS(100), MS(50));
        assert_eq!(outgoing.push(&[Digit::try_from('5').unwrap()]), 1);
        assert!(!outgoing.is_idle());
        let packets = all(&mut outgoing, 20, 8_000);
        assert_eq!(
            packets,
            [
                Some((5, false, 160, true, true, 1)),
                Some((5, false, 320, false, false, 1)),
                Some((5, false, 480, false, false, 1)),
                Some((5, false, 640, false, false, 1)),
                Some((5, true, 800, false, false, 1)),
                Some((5, true, 800, false, false, 1)),
                Some((5, true, 800, false, false, 1)),
                None,
            ]
        );
        assert!(outgoing.is_idle());
    }

    #[test]
    fn a_long_packet_time_sends_the_ends_at_once() {
        let mut outgoing = Outgoing::new(MS(100), MS(50));
        outgoing.push(&Digit::all("#1").unwrap());
        let packets: Vec<_> = all(&mut outgoing, 60, 48_000).into_iter().flatten().collect();
        assert_eq!(packets[0], (11, false, 2_880, true, true, 1));
        assert_eq!(packets[1], (11, true, 5_760, false, false, 1));
        assert_eq!(packets[2], (11, true, 5_760, false, false, 2));
        assert_eq!(packets[3], (1, false, 2_880, true, true, 1));
        assert_eq!(packets.len(), 6);
    }

    #[test]
    fn a_long_digit_is_cut_into_segments() {
        let mut outgoing = Outgoing::new(MS(3_000), MS(50));
        outgoing.push(&[Digit::try_from('D').unwrap()]);
        let packets: Vec<_> = all(&mut outgoing, 20, 48_000).into_iter().flatten().collect();
        let begins: Vec<_> = packets.iter().enumerate().filter(|(_, packet)| packet.4).map(|(n, _)| n).collect();
        // 68 packets of 960 ticks are 65280; one more would not fit into 16 bits.
        assert_eq!(begins, [0, 68, 136]);
        assert_eq!((packets[67].2, packets[68].2), (65_280, 960));
        assert_eq!(packets.iter().filter(|packet| packet.3).count(), 1, "one marker");
        assert_eq!(packets.iter().filter(|packet| packet.1).count(), 3, "the segments but the last do not end");
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut outgoing = Outgoing::new(MS(100), MS(50));
        assert_eq!(outgoing.push(&[Digit::try_from('1').unwrap(); 300]), 256);
        assert_eq!(outgoing.push(&[Digit::try_from('1').unwrap()]), 0);
    }
}
