//! Digits that we hear (RFC 4733 section 2.5.2): one for each event, whichever of its packets arrive.

use super::Digit;
use crate::media::sequence::RtpTime;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// An event whose packets stop coming has ended; longer than three of the longest usual intervals (section 2.5.2.2).
const SILENCE: Duration = Duration::from_millis(200);
/// Digits that nobody asked for yet.
const MOST: usize = 256;

/// An event of which packets came, but not the end.
#[derive(Clone, Copy, Debug)]
struct Current {
    event: u8,
    timestamp: RtpTime,
    clock_rate: u32,
    /// Ticks of the segments before this one, and of this one so far.
    before: u32,
    segment: u32,
    heard: Instant,
}

/// The events of one stream.
#[derive(Clone, Debug, Default)]
pub struct Incoming {
    current: Option<Current>,
    /// Timestamp of the last event that was told.
    told: Option<RtpTime>,
    digits: VecDeque<(Digit, Duration)>,
}

impl Incoming {
    /// A packet of a telephone event arrived. Events above 15 are no digits and are ignored.
    pub fn handle(&mut self, now: Instant, timestamp: RtpTime, marker: bool, clock_rate: u32, payload: &[u8]) {
        let Some(&[event, flags, high, low]) = payload.first_chunk() else { return };
        let (ends, duration) = (flags & 0x80 != 0, u32::from(u16::from_be_bytes([high, low])));
        // Packets of events that were told, or of those before them, come late or again.
        if event > 15 || self.told.is_some_and(|told| timestamp.since(told) <= 0) {
            return;
        }
        match &mut self.current {
            Some(current) if timestamp == current.timestamp => {
                // Another event at the same time does not exist; a damaged packet does.
                if event != current.event {
                    return;
                }
                current.segment = current.segment.max(duration);
                current.heard = now;
            }
            Some(current) if timestamp.since(current.timestamp) < 0 => return,
            Some(current) if continues(current, event, timestamp, marker) => {
                current.before = current.before.saturating_add(current.segment);
                (current.timestamp, current.segment, current.heard) = (timestamp, duration, now);
            }
            _ => {
                // All ends of the one before were lost.
                self.finish();
                self.current = Some(Current { event, timestamp, clock_rate, before: 0, segment: duration, heard: now });
            }
        }
        if ends {
            self.finish();
        }
    }

    /// Ends an event whose packets have stopped coming.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.finish();
        }
    }

    /// When [`Incoming::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.current.map(|current| current.heard + SILENCE)
    }

    /// The next digit and how long it sounded, if any.
    pub fn poll(&mut self) -> Option<(Digit, Duration)> {
        self.digits.pop_front()
    }

    /// Another source, with timestamps of its own.
    pub fn restart(&mut self) {
        self.finish();
        self.told = None;
    }

    fn finish(&mut self) {
        let Some(current) = self.current.take() else { return };
        self.told = Some(current.timestamp);
        let ticks = u64::from(current.before) + u64::from(current.segment);
        let duration = Duration::from_micros(ticks * 1_000_000 / u64::from(current.clock_rate.max(1)));
        if let Some(digit) = Digit::from_event(current.event)
            && self.digits.len() < MOST
        {
            self.digits.push_back((digit, duration));
        }
    }
}

/// Is this the next segment of a long event (section 2.5.1.3)? It begins where the one before ended, near the end of what
/// 16 bits can count.
fn continues(current: &Current, event: u8, timestamp: RtpTime, marker: bool) -> bool {
    let longest_interval = current.clock_rate / 10;
    event == current.event
        && !marker
        && current.segment + longest_interval > 0xFFFF
        && (timestamp.since(current.timestamp) - current.segment as i32).unsigned_abs() <= longest_interval
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of `event` at `timestamp`, `duration` ticks long.
    fn hear(incoming: &mut Incoming, ms: u64, timestamp: u32, event: u8, end: bool, duration: u16) {
        let [high, low] = duration.to_be_bytes();
        let payload = [event, if end { 0x8A } else { 0x0A }, high, low];
        incoming.handle(Instant::from_millis(ms), RtpTime(timestamp), false, 8_000, &payload);
    }

    fn told(incoming: &mut Incoming) -> String {
        std::iter::from_fn(|| incoming.poll()).map(|(digit, time)| format!("{digit}{} ", time.as_millis())).collect()
    }

    #[test]
    fn every_digit_once_whatever_is_lost() {
        let mut incoming = Incoming::default();
        for (n, duration) in [160, 320, 480, 800].into_iter().enumerate() {
            hear(&mut incoming, 20 * n as u64, 1_000, 1, false, duration);
        }
        assert_eq!(told(&mut incoming), "");
        hear(&mut incoming, 100, 1_000, 1, true, 800);
        hear(&mut incoming, 120, 1_000, 1, true, 800);
        assert_eq!(told(&mut incoming), "1100 ");
        // The same digit again, of which only the end arrives; then one whose ends are all lost, then another.
        hear(&mut incoming, 300, 3_000, 1, true, 640);
        hear(&mut incoming, 500, 5_000, 2, false, 400);
        hear(&mut incoming, 510, 5_000, 2, false, 240);
        hear(&mut incoming, 700, 7_000, 2, false, 400);
        assert_eq!(told(&mut incoming), "180 250 ");
        // A straggler of the one before.
        hear(&mut incoming, 705, 5_000, 2, true, 400);
        assert_eq!(incoming.poll_timeout(), Some(Instant::from_millis(900)));
        incoming.handle_timeout(Instant::from_millis(899));
        assert_eq!(told(&mut incoming), "");
        incoming.handle_timeout(Instant::from_millis(900));
        assert_eq!(told(&mut incoming), "250 ");
        hear(&mut incoming, 950, 7_000, 2, true, 800);
        assert_eq!(told(&mut incoming), "");
    }

    #[test]
    fn segments_of_a_long_digit_are_one() {
        let mut incoming = Incoming::default();
        let mut timestamp = 500u32;
        for segment in 0..3 {
            for packet in 1..=409u16 {
                hear(&mut incoming, 20, timestamp, 9, false, packet * 160);
            }
            timestamp += if segment < 2 { 409 * 160 } else { 0 };
        }
        hear(&mut incoming, 20, timestamp, 9, true, 409 * 160);
        assert_eq!(told(&mut incoming), format!("9{} ", 3 * 409 * 20));
    }

    #[test]
    fn what_is_no_digit_is_ignored() {
        let mut incoming = Incoming::default();
        hear(&mut incoming, 0, 1, 16, true, 800);
        incoming.handle(Instant::ZERO, RtpTime(5), false, 8_000, &[1, 2, 3]);
        assert_eq!(told(&mut incoming), "");
        // A new source may begin with lower timestamps.
        hear(&mut incoming, 0, 9_000, 3, true, 800);
        incoming.restart();
        hear(&mut incoming, 0, 2_000, 4, true, 800);
        assert_eq!(told(&mut incoming), "3100 4100 ");
    }
}
