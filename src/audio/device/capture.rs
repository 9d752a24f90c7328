//! The worker's end of a microphone.

use super::Count;
use crate::audio::rate::{Converter, RateError};
use rtrb::Consumer;

/// What waits longer than this was recorded while the worker was away; the far end would only hear it as delay.
const BACKLOG_MILLIS: usize = 200;

/// Takes samples from a callback's ring and gives them at the rate of the call.
pub(crate) struct Capture {
    name: String,
    device_rate: u32,
    call_rate: u32,
    ring: Consumer<i16>,
    overruns: Count,
    converter: Converter,
    discarded: u64,
    starved: u64,
}

impl Capture {
    /// Of the device `name`, whose callback feeds `ring` at `device_rate` Hz and counts what did not fit.
    #[cfg_attr(not(feature = "device"), allow(dead_code))]
    pub(super) fn new(
        name: String,
        device_rate: u32,
        call_rate: u32,
        ring: Consumer<i16>,
        overruns: Count,
    ) -> Result<Self, RateError> {
        let converter = Converter::fixed(device_rate, call_rate)?;
        Ok(Self { name, device_rate, call_rate, ring, overruns, converter, discarded: 0, starved: 0 })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn set_rate(&mut self, rate: u32) {
        if rate != self.call_rate
            && let Ok(converter) = Converter::fixed(self.device_rate, rate)
        {
            (self.converter, self.call_rate) = (converter, rate);
        }
    }

    /// Takes what the callback has left; returns how many samples are ready for the call.
    pub(super) fn ready(&mut self) -> usize {
        let slots = self.ring.slots();
        if let Ok(chunk) = self.ring.read_chunk(slots) {
            let (first, second) = chunk.as_slices();
            self.converter.push(first);
            self.converter.push(second);
            chunk.commit_all();
        }
        let most = self.call_rate as usize * BACKLOG_MILLIS / 1_000;
        let surplus = self.converter.available().saturating_sub(most);
        if surplus > 0 {
            self.converter.discard(surplus);
            self.discarded += 1;
        }
        self.converter.available()
    }

    pub(super) fn read(&mut self, out: &mut [i16]) {
        let count = self.converter.pop(out);
        out[count..].fill(0);
        self.starved += u64::from(count < out.len());
    }

    /// Times that more was recorded than taken.
    pub(super) fn overruns(&self) -> u64 {
        self.overruns.read() + self.discarded
    }

    /// Packets that it had too little for.
    pub(super) fn underruns(&self) -> u64 {
        self.starved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtrb::RingBuffer;

    #[test]
    fn what_the_callback_left_is_given_at_the_rate_of_the_call() {
        let (mut callback, ring) = RingBuffer::new(48_000);
        let mut capture = Capture::new("mic".into(), 48_000, 8_000, ring, Count::default()).unwrap();
        for _ in 0..10 {
            callback.push_entire_slice(&[1_000; 480]).unwrap();
        }
        // 100 ms less the delay of the filter.
        let ready = capture.ready();
        assert!((760..=800).contains(&ready), "{ready}");
        let mut out = [0; 160];
        capture.read(&mut out);
        capture.read(&mut out);
        assert!(out.iter().all(|sample| (990..=1_010).contains(sample)), "{out:?}");
        capture.set_rate(48_000);
        callback.push_entire_slice(&[1_000; 480]).unwrap();
        assert_eq!(capture.ready(), 480);
        assert_eq!(capture.overruns(), 0);
    }

    #[test]
    fn what_was_recorded_while_the_worker_was_away_is_dropped_and_counted() {
        let (mut callback, ring) = RingBuffer::new(48_000);
        let mut capture = Capture::new("mic".into(), 48_000, 48_000, ring, Count::default()).unwrap();
        callback.push_entire_slice(&vec![0; 40_000]).unwrap();
        assert_eq!(capture.ready(), 9_600);
        assert_eq!(capture.overruns(), 1);
    }
}
