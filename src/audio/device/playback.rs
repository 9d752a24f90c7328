//! The worker's end of a loudspeaker.

use super::Count;
use crate::audio::rate::{Converter, MAX_TRIM, RateError};
use rtrb::Producer;

/// What must be left in the ring when the next packet comes, at the start.
const FIRST_MARGIN_MILLIS: usize = 10;

/// Each time the device runs dry the margin grows by so much.
const MARGIN_STEP_MILLIS: usize = 5;

/// The margin does not grow beyond this: a machine that needs more has another trouble.
const MAX_MARGIN_MILLIS: usize = 60;

/// So far above the margin for a second, the ring is emptied at a stroke: trimming would take minutes.
const SURPLUS_MILLIS: usize = 40;

/// So far above the margin nothing more is put in: the device has not started yet, or the worker catches up.
const FULL_MILLIS: usize = 80;

/// A tone is kept so far above the margin: whoever plays it looks after it every few milliseconds.
const HUNGRY_MILLIS: usize = 20;

/// The margin is to be reached again in so many seconds by trimming.
const SECONDS_TO_CORRECT: f64 = 4.0;

/// Gives samples to a callback's ring, and keeps the ring as empty as it may be.
///
/// ```text
///   ring fill    ╲  ╲  ╲        a packet comes in, the callback takes pieces out
///                 ╲  ╲  ╲
///   margin  ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄     the lowest fill of each second is steered here by trimming the resampler:
///                                the device's clock and ours never agree
/// ```
pub(crate) struct Playback {
    name: String,
    device_rate: u32,
    call_rate: u32,
    ring: Producer<i16>,
    capacity: usize,
    underruns: Count,
    converter: Converter,
    /// Device samples.
    margin: usize,
    /// The lowest fill before a packet in this window, device samples.
    lowest: usize,
    /// Call samples played in this window.
    window: usize,
    /// Dry runs that the margin already grew for.
    answered: u64,
    /// Call samples that are left out instead of played.
    to_skip: usize,
    /// The fill after the last packet; once it is found lower, the device has started.
    left: usize,
    started: bool,
    overruns: u64,
}

impl Playback {
    /// Of the device `name`, whose callback empties `ring` at `device_rate` Hz and counts its dry runs.
    #[cfg_attr(not(feature = "device"), allow(dead_code))]
    pub(super) fn new(
        name: String,
        device_rate: u32,
        call_rate: u32,
        ring: Producer<i16>,
        underruns: Count,
    ) -> Result<Self, RateError> {
        let capacity = ring.slots();
        let converter = Converter::adjustable(call_rate, device_rate)?;
        let mut playback = Self {
            name,
            device_rate,
            call_rate,
            ring,
            capacity,
            underruns,
            converter,
            margin: device_rate as usize * FIRST_MARGIN_MILLIS / 1_000,
            lowest: usize::MAX,
            window: 0,
            answered: 0,
            to_skip: 0,
            left: 0,
            started: false,
            overruns: 0,
        };
        playback.rest(playback.margin);
        Ok(playback)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn set_rate(&mut self, rate: u32) {
        if rate != self.call_rate
            && let Ok(converter) = Converter::adjustable(rate, self.device_rate)
        {
            (self.converter, self.call_rate) = (converter, rate);
            self.window = 0;
        }
    }

    /// Plays one packet.
    pub(super) fn play(&mut self, samples: &[i16]) {
        let fill = self.fill();
        if !self.started && fill < self.left {
            // What was put in before the device took anything would stay in front of everything that follows.
            self.started = true;
            self.skip(fill.saturating_sub(self.margin));
        }
        if fill > self.margin + self.millis(FULL_MILLIS) {
            self.overruns += u64::from(self.started);
            return;
        }
        self.lowest = self.lowest.min(fill);
        self.window += samples.len();
        let dry = self.underruns.read();
        if dry > self.answered {
            // It clicked already: one rest now is better than a click per packet until trimming has helped.
            self.answered = dry;
            let most = self.millis(MAX_MARGIN_MILLIS);
            self.margin = (self.margin + self.millis(MARGIN_STEP_MILLIS)).min(most);
            self.rest(self.margin.saturating_sub(fill));
            self.restart_window();
        } else if self.window >= self.call_rate as usize {
            self.steer();
            self.restart_window();
        }
        let skip = self.to_skip.min(samples.len());
        self.to_skip -= skip;
        self.converter.push(&samples[skip..]);
        let (_, left) = self.ring.push_partial_slice(self.converter.ready());
        self.overruns += u64::from(!left.is_empty());
        self.converter.discard(usize::MAX);
        self.left = self.fill();
    }

    /// Times that the device had nothing to play.
    pub(super) fn underruns(&self) -> u64 {
        self.underruns.read()
    }

    /// Times that more was there to play than the device took.
    pub(super) fn overruns(&self) -> u64 {
        self.overruns
    }

    /// Does it want more now? What a tone without a clock of its own is paced by.
    pub(super) fn is_hungry(&self) -> bool {
        self.fill() < self.margin + self.millis(HUNGRY_MILLIS)
    }

    /// Device samples that the callback has not taken yet.
    fn fill(&self) -> usize {
        self.capacity - self.ring.slots().min(self.capacity)
    }

    fn millis(&self, millis: usize) -> usize {
        self.device_rate as usize * millis / 1_000
    }

    fn restart_window(&mut self) {
        (self.lowest, self.window) = (usize::MAX, 0);
    }

    /// Steers the lowest fill of the window that ends to the margin.
    fn steer(&mut self) {
        let surplus = self.lowest.saturating_sub(self.margin);
        if surplus > self.millis(SURPLUS_MILLIS) {
            self.skip(surplus);
            self.overruns += 1;
            return;
        }
        self.margin -= (self.margin - self.millis(FIRST_MARGIN_MILLIS)) / 64;
        let missing = self.margin as f64 - self.lowest as f64;
        let trim = missing / f64::from(self.device_rate) / SECONDS_TO_CORRECT;
        self.converter.trim(trim.clamp(-MAX_TRIM, MAX_TRIM));
    }

    /// Leaves out what would become `count` device samples.
    fn skip(&mut self, count: usize) {
        self.to_skip = count * self.call_rate as usize / self.device_rate.max(1) as usize;
    }

    /// Puts `count` samples of silence into the ring.
    fn rest(&mut self, count: usize) {
        if let Ok(chunk) = self.ring.write_chunk_uninit(count.min(self.ring.slots())) {
            chunk.fill_from_iter(std::iter::repeat(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtrb::{Consumer, RingBuffer};

    /// A loudspeaker that takes 10 ms at a time, with a clock that is `ppm` fast.
    struct Loudspeaker {
        ring: Consumer<i16>,
        dry: Count,
        /// Nanoseconds between two takes.
        period: u64,
        next: u64,
        started: bool,
    }

    impl Loudspeaker {
        fn run_until(&mut self, now: u64) {
            while self.next <= now {
                self.next += self.period;
                let mut out = [0; 80];
                let (_, missing) = self.ring.pop_partial_slice(&mut out);
                let missing = missing.len();
                if missing > 0 && self.started {
                    self.dry.add();
                }
                self.started |= missing < 80;
            }
        }
    }

    fn setup(ppm: i64) -> (Playback, Loudspeaker) {
        let (producer, ring) = RingBuffer::new(4_000);
        let dry = Count::default();
        let playback = Playback::new("speaker".into(), 8_000, 8_000, producer, dry.clone()).unwrap();
        let period = (10_000_000 - 10 * ppm) as u64;
        (playback, Loudspeaker { ring, dry, period, next: 3_000_000, started: false })
    }

    const PACKET: u64 = 20_000_000;

    #[test]
    fn a_clock_that_drifts_neither_runs_dry_nor_over() {
        for ppm in [-500, 0, 100, 500] {
            let (mut playback, mut speaker) = setup(ppm);
            let mut highest = 0;
            let mut after_a_minute = 0;
            for packet in 0..50 * 300 {
                speaker.run_until(packet * PACKET);
                playback.play(&[0; 160]);
                highest = highest.max(playback.fill());
                if packet == 50 * 60 {
                    after_a_minute = playback.underruns() + playback.overruns();
                    highest = 0;
                }
            }
            assert_eq!((playback.underruns() + playback.overruns()), after_a_minute, "{ppm} ppm");
            assert!(after_a_minute <= 3, "{ppm} ppm: {after_a_minute} glitches at the start");
            // Margin, packet, one piece, and what the trim may be off.
            assert!(highest < 8 * 50, "{ppm} ppm: up to {} ms in the ring", highest / 8);
        }
    }

    #[test]
    fn a_device_that_ran_dry_gets_a_rest_and_a_larger_margin() {
        let (mut playback, mut speaker) = setup(0);
        for packet in 0..100 {
            speaker.run_until(packet * PACKET);
            playback.play(&[0; 160]);
        }
        let before = ((playback.underruns() + playback.overruns()), playback.margin);
        // The worker is away for 200 ms.
        speaker.run_until(110 * PACKET);
        playback.play(&[0; 160]);
        assert!((playback.underruns() + playback.overruns()) > before.0);
        assert_eq!(playback.margin, before.1 + 40);
        let dry = playback.underruns() + playback.overruns();
        for packet in 111..1_000 {
            speaker.run_until(packet * PACKET);
            playback.play(&[0; 160]);
        }
        assert_eq!((playback.underruns() + playback.overruns()), dry);
    }

    #[test]
    fn a_device_that_starts_late_adds_no_delay() {
        let (mut playback, mut speaker) = setup(0);
        for packet in 0..50 {
            playback.play(&[0; 160]);
            speaker.next = packet * PACKET + 1;
        }
        assert!(playback.fill() <= 8 * 120, "{} ms wait", playback.fill() / 8);
        assert_eq!((playback.underruns() + playback.overruns()), 0);
        for packet in 50..200 {
            speaker.run_until(packet * PACKET);
            playback.play(&[0; 160]);
        }
        assert!(playback.fill() < 8 * 60, "{} ms left", playback.fill() / 8);
    }
}
