//! The sound of a call as frames over a channel, both ways: what a voice agent listens to and says.
//!
//! ```text
//!  Speaker ─ samples, marks, clear ─▶ rings ─▶ Tap (in the worker, each tick) ─▶ beside what the call says
//!  Listener ◀─ frames, marks told ─── queue ◀─┘ what is heard and said, at the rate of the stream
//! ```
//!
//! Nobody waits for anybody: what the worker has no room for is dropped and counted, the oldest or the newest frame.

use super::rate::{Converter, RateError};
use crossbeam_queue::ArrayQueue;
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Marks that may wait for the sound before them.
const MARKS: usize = 256;

/// Which side of the call a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    /// What the far end says.
    Inbound,
    /// What is sent to it.
    Outbound,
}

/// What is dropped when the listener is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Overflow {
    /// What waits longest: the listener is up to date.
    #[default]
    Oldest,
    /// What comes: the listener misses nothing in between.
    Newest,
}

/// What a stream is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Rate of the samples both ways: 8000, 16000, 24000 or 48000 Hz.
    pub rate: u32,
    /// Sound in a frame: 10 to 100 ms, in steps of 10.
    pub frame: Duration,
    /// The far end's side?
    pub inbound: bool,
    /// Ours?
    pub outbound: bool,
    /// Frames that may wait for the listener.
    pub backlog: usize,
    /// What is dropped beyond that.
    pub overflow: Overflow,
    /// Sound that the speaker may be ahead.
    pub ahead: Duration,
}

impl Default for StreamOptions {
    /// Frames of 20 ms at 16 kHz of what the far end says; a second may wait, a minute may be said ahead.
    fn default() -> Self {
        Self {
            rate: 16_000,
            frame: Duration::from_millis(20),
            inbound: true,
            outbound: false,
            backlog: 50,
            overflow: Overflow::Oldest,
            ahead: Duration::from_secs(60),
        }
    }
}

/// Options that no stream can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongStream {
    /// The rate.
    #[error("a stream has no samples at {0} Hz; use 8000, 16000, 24000 or 48000")]
    Rate(u32),
    /// The frame.
    #[error("a stream has no frames of {} ms; use 10 to 100, in steps of 10", .0.as_millis())]
    Frame(Duration),
    /// Nothing may wait.
    #[error("a stream needs a backlog of 1 to 10000 frames, not {0}")]
    Backlog(usize),
}

/// Sound of one side of a call: PCM, 16 bit, mono.
#[derive(Debug)]
pub struct Frame {
    /// Whose.
    pub track: Track,
    /// Counts the frames of this track from 0; a gap is a frame that was dropped.
    pub sequence: u64,
    /// When it begins: samples of this track since the stream began.
    pub timestamp: u64,
    samples: Vec<i16>,
    pool: Arc<ArrayQueue<Vec<i16>>>,
}

impl Frame {
    /// The samples, always as many as the options say.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // The worker fills it again.
        let _ = self.pool.push(std::mem::take(&mut self.samples));
    }
}

/// What a listener is told.
#[derive(Debug)]
pub enum Heard {
    /// Sound.
    Frame(Frame),
    /// Everything that was said before this mark was sent, or was cleared.
    Mark {
        /// Its name.
        name: Arc<str>,
        /// It was cleared before it was all sent.
        cleared: bool,
    },
    /// What was said before [`Speaker::clear`] and not sent was dropped.
    Cleared {
        /// So many samples.
        samples: u64,
    },
}

/// What both ends look at.
#[derive(Debug)]
struct Shared {
    frames: ArrayQueue<Frame>,
    pool: Arc<ArrayQueue<Vec<i16>>>,
    dropped: AtomicU64,
    /// Everything said up to here is dropped.
    clear_to: AtomicU64,
    over: AtomicBool,
    listener: Notify,
    speaker: Notify,
}

/// The end that speaks into the call.
#[derive(Debug)]
pub struct Speaker {
    samples: Producer<i16>,
    marks: Producer<(u64, Arc<str>)>,
    said: u64,
    shared: Arc<Shared>,
}

/// The end that listens to the call.
#[derive(Debug)]
pub struct Listener {
    told: Consumer<Heard>,
    shared: Arc<Shared>,
}

/// The end in the worker.
pub(crate) struct Tap {
    options: StreamOptions,
    samples: Consumer<i16>,
    marks: Consumer<(u64, Arc<str>)>,
    told: Producer<Heard>,
    taken: u64,
    shared: Arc<Shared>,
    inbound: Option<Lane>,
    outbound: Option<Lane>,
    /// From the stream to the call.
    voice: Converter,
    fresh: Vec<i16>,
    spoken: Vec<i16>,
    rate: u32,
}

/// One track on its way to the listener.
struct Lane {
    track: Track,
    converter: Converter,
    sequence: u64,
}

/// Opens a stream; the tap belongs into the worker of the call.
pub(crate) fn open(options: &StreamOptions) -> Result<(Tap, Speaker, Listener), WrongStream> {
    let StreamOptions { rate, frame, backlog, .. } = *options;
    let wrong_rate = |_: RateError| WrongStream::Rate(rate);
    if ![8_000, 16_000, 24_000, 48_000].contains(&rate) {
        return Err(WrongStream::Rate(rate));
    }
    if !(10..=100).contains(&frame.as_millis()) || frame.as_micros() % 10_000 != 0 {
        return Err(WrongStream::Frame(frame));
    }
    if !(1..=10_000).contains(&backlog) {
        return Err(WrongStream::Backlog(backlog));
    }
    // Those that wait, those that the listener holds, and the one that is being filled.
    let pool = Arc::new(ArrayQueue::new(backlog + 4));
    let length = length(options);
    (0..pool.capacity()).for_each(|_| drop(pool.push(Vec::with_capacity(length))));
    let shared = Arc::new(Shared {
        frames: ArrayQueue::new(backlog),
        pool,
        dropped: AtomicU64::new(0),
        clear_to: AtomicU64::new(0),
        over: AtomicBool::new(false),
        listener: Notify::new(),
        speaker: Notify::new(),
    });
    let ahead = (options.ahead.as_secs_f64() * f64::from(rate)) as usize;
    let (to_worker, samples) = RingBuffer::new(ahead.max(length));
    let (to_marks, marks) = RingBuffer::new(MARKS);
    // A mark is told once, a clearing at most once a tick.
    let (told, for_listener) = RingBuffer::new(2 * MARKS);
    let lane = |track, wanted: bool| {
        let converter = Converter::fixed(8_000, rate).map_err(wrong_rate)?;
        Ok(wanted.then_some(Lane { track, converter, sequence: 0 }))
    };
    let tap = Tap {
        inbound: lane(Track::Inbound, options.inbound)?,
        outbound: lane(Track::Outbound, options.outbound)?,
        voice: Converter::fixed(rate, 8_000).map_err(wrong_rate)?,
        options: options.clone(),
        samples,
        marks,
        told,
        taken: 0,
        shared: shared.clone(),
        fresh: Vec::new(),
        spoken: Vec::new(),
        rate: 8_000,
    };
    let speaker = Speaker { samples: to_worker, marks: to_marks, said: 0, shared: shared.clone() };
    Ok((tap, speaker, Listener { told: for_listener, shared }))
}

/// Samples in a frame.
fn length(options: &StreamOptions) -> usize {
    (options.frame.as_millis() as usize) * options.rate as usize / 1_000
}

impl Speaker {
    /// Says `samples` behind what was said before, as far as there is room; how many were taken.
    pub fn say(&mut self, samples: &[i16]) -> usize {
        let taken = self.samples.push_partial_slice(samples).0.len();
        self.said += taken as u64;
        taken
    }

    /// Says all of `samples`, and waits for room where there is none; `false` if the call ended before.
    pub async fn say_all(&mut self, mut samples: &[i16]) -> bool {
        while !samples.is_empty() {
            let taken = self.say(samples);
            samples = &samples[taken..];
            if self.is_over() {
                return false;
            }
            if taken == 0 {
                self.shared.speaker.notified().await;
            }
        }
        true
    }

    /// Samples that were said and not sent yet.
    pub fn waiting(&self) -> usize {
        self.samples.buffer().capacity() - self.samples.slots()
    }

    /// Has the listener told when everything said until now was sent; `false` if too many marks wait.
    pub fn mark(&mut self, name: &str) -> bool {
        self.marks.push((self.said, name.into())).is_ok()
    }

    /// Drops what was said and not sent yet; marks in it are told as cleared, then [`Heard::Cleared`].
    pub fn clear(&mut self) {
        self.shared.clear_to.store(self.said, Ordering::Release);
    }

    /// Has the call ended?
    pub fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::Acquire)
    }
}

impl Listener {
    /// What comes next; `None` once the call has ended and everything was told.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            // Asked first: what came before the end is then found below.
            let over = self.shared.over.load(Ordering::Acquire);
            if let Some(heard) = self.try_next() {
                return Some(heard);
            }
            if over {
                return None;
            }
            self.shared.listener.notified().await;
        }
    }

    /// What is there already.
    pub fn try_next(&mut self) -> Option<Heard> {
        self.told.pop().ok().or_else(|| self.shared.frames.pop().map(Heard::Frame))
    }

    /// Frames that were dropped because the listener was slow.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Tap {
    /// Does anybody listen or speak still?
    pub(crate) fn is_abandoned(&self) -> bool {
        self.samples.is_abandoned() && self.told.is_abandoned()
    }

    /// The call goes on at `rate` Hz.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        if rate == self.rate {
            return;
        }
        self.rate = rate;
        // Both rates can be converted: one of a codec, one of those above.
        if let Ok(voice) = Converter::fixed(self.options.rate, rate) {
            self.voice = voice;
        }
        for lane in self.inbound.iter_mut().chain(&mut self.outbound) {
            if let Ok(converter) = Converter::fixed(rate, self.options.rate) {
                lane.converter = converter;
            }
        }
    }

    /// Puts what the speaker says beside what is `said` in this tick.
    pub(crate) fn speak(&mut self, said: &mut [i16]) {
        self.clear();
        let needed = said.len() * self.options.rate as usize / self.rate.max(1) as usize;
        self.fresh.resize(needed, 0);
        let taken = self.samples.pop_partial_slice(&mut self.fresh).0.len();
        // Silence behind the last word pushes it out of the filter.
        self.fresh[taken..].fill(0);
        self.taken += taken as u64;
        self.voice.push(&self.fresh);
        self.spoken.resize(said.len(), 0);
        let count = self.voice.pop(&mut self.spoken);
        for (said, spoken) in said.iter_mut().zip(&self.spoken[..count]) {
            *said = said.saturating_add(*spoken);
        }
        self.tell_marks(false);
        if taken > 0 {
            self.shared.speaker.notify_one();
        }
    }

    /// Hands on what was heard and said in this tick.
    pub(crate) fn listen(&mut self, said: &[i16], heard: &[i16]) {
        let length = length(&self.options);
        for (lane, sound) in [(&mut self.inbound, heard), (&mut self.outbound, said)] {
            let Some(lane) = lane else { continue };
            lane.converter.push(sound);
            while lane.converter.available() >= length {
                lane.frame(length, &self.shared, self.options.overflow);
            }
        }
    }

    fn clear(&mut self) {
        let to = self.shared.clear_to.load(Ordering::Acquire);
        let left = to.saturating_sub(self.taken);
        if left == 0 {
            return;
        }
        let waiting = self.samples.slots().min(usize::try_from(left).unwrap_or(usize::MAX));
        if let Ok(chunk) = self.samples.read_chunk(waiting) {
            chunk.commit_all();
        }
        self.taken = to;
        self.voice.discard(usize::MAX);
        self.tell_marks(true);
        let _ = self.told.push(Heard::Cleared { samples: left });
        self.shared.speaker.notify_one();
        self.shared.listener.notify_one();
    }

    fn tell_marks(&mut self, cleared: bool) {
        while self.marks.peek().is_ok_and(|(at, _)| *at <= self.taken) {
            if let Ok((_, name)) = self.marks.pop() {
                let _ = self.told.push(Heard::Mark { name, cleared });
                self.shared.listener.notify_one();
            }
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        self.shared.listener.notify_one();
        self.shared.speaker.notify_one();
    }
}

impl Lane {
    fn frame(&mut self, length: usize, shared: &Shared, overflow: Overflow) {
        let sequence = self.sequence;
        self.sequence += 1;
        if overflow == Overflow::Oldest && shared.frames.is_full() && shared.frames.pop().is_some() {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        // It is empty only while the listener holds more frames than may wait.
        let mut samples = shared.pool.pop().unwrap_or_default();
        samples.resize(length, 0);
        self.converter.pop(&mut samples);
        let timestamp = sequence * length as u64;
        let frame = Frame { track: self.track, sequence, timestamp, samples, pool: shared.pool.clone() };
        if shared.frames.push(frame).is_err() {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        shared.listener.notify_one();
    }
}

#[cfg(test)]
mod tests;
