//! One way of a call's sound: its stream, what becomes of it, and what takes its place.
//!
//! ```text
//!         begin             fails: anew at once, or      gives nothing for 2 s, went away
//!  chosen ──────▶ Open ─────────────────────────────▶ Gone ──┐ each second: the chosen one, else the default
//!                  ▲  a stand-in looks for the chosen ◀──────┘
//!                  └─ one each second
//! ```

use super::bus::Bus;
use super::callback::{Recorded, Wanted};
use super::capture::Capture;
use super::card::{Found, PATIENCE, find};
use super::fade::Fade;
use super::playback::Playback;
use super::side_tone::SideTone;
use super::{Count, Loudness, Report, VoiceOptions, Way};
#[cfg(feature = "voice")]
use crate::audio::rate::Converter;
use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, FromSample, Sample, SampleFormat, SizedSample, SupportedBufferSize};
use rtrb::{Consumer, Producer, RingBuffer};

/// After so many turns of 20 ms a device that went away is looked for again: 1 s.
const TURNS_TO_RETRY: u32 = 50;

/// So long a stream must live for its failures to be forgotten: 3 s.
const TURNS_TO_TRUST: u32 = 150;

/// A stream whose callback is not called for so long is dead, whatever the system says: 2 s.
const TURNS_TO_DIE: u32 = 100;

/// A stream that failed is built anew at once, so often in a row: ALSA's pulse plug-in answers a dry run with an I/O
/// error that only a new stream ends.
const ATTEMPTS: u32 = 5;

/// The pieces that a device is asked to work in, and the largest that it is asked for after failures: a machine that is
/// too slow for short ones gets longer ones.
const PIECE_MILLIS: u32 = 10;
const MAX_PIECE_MILLIS: u32 = 40;

/// What a ring holds: a worker or a device may stall so long.
const RING_MILLIS: usize = 500;

/// Errors of a stream that may wait to be looked at.
const ERRORS: usize = 8;

/// What goes from one way of a call to the other, beside the call.
#[derive(Clone)]
pub(super) struct Beside {
    /// What the microphone hears, for the side tone.
    own: Bus,
    /// What the loudspeaker plays, for the echo canceller.
    played: Bus,
    side: Loudness,
    #[cfg_attr(not(feature = "voice"), allow(dead_code))]
    voice: VoiceOptions,
}

impl Beside {
    pub(super) fn new(side: Loudness, voice: VoiceOptions) -> Self {
        Self { own: Bus::default(), played: Bus::default(), side, voice }
    }
}

/// One stream, wanted or open.
pub(super) struct Line {
    way: Way,
    chosen: Option<String>,
    rate: u32,
    beside: Beside,
    piece_millis: u32,
    state: State,
    /// Times in a row that it failed.
    failures: u32,
}

enum State {
    Open(Open),
    /// It is not there, and is tried again in so many turns.
    Gone(u32),
}

struct Open {
    /// Plays until it is dropped.
    _stream: cpal::Stream,
    errors: Consumer<cpal::Error>,
    /// Of the callback, and how many there were at the last turn.
    pieces: Count,
    seen: u64,
    /// Turns without one.
    still: u32,
    /// Turns that it lives.
    age: u32,
    /// It is the system's default in place of the one that was chosen.
    stands_in: bool,
}

/// Tells a report; false when nobody listens any more.
type Tell<'a> = &'a mut dyn FnMut(Report) -> bool;

impl Line {
    pub(super) fn new(way: Way, chosen: Option<String>, rate: u32, beside: Beside) -> Self {
        let (state, piece_millis) = (State::Gone(TURNS_TO_RETRY), PIECE_MILLIS);
        Self { way, chosen, rate, beside, piece_millis, state, failures: 0 }
    }

    /// Opens it for the first time.
    pub(super) fn begin(&mut self, tell: Tell<'_>) -> bool {
        match self.start(false) {
            Ok(report) => tell(report),
            Err(reason) => self.lose(reason, tell),
        }
    }

    /// Looks whether the stream lives, or whether a device that went away is back.
    pub(super) fn look(&mut self, tell: Tell<'_>) -> bool {
        match &mut self.state {
            State::Open(open) => {
                let mut errors = std::iter::from_fn(|| open.errors.pop().ok());
                let mut moved = false;
                let fatal = errors.find(|error| {
                    moved |= error.kind() == ErrorKind::DeviceChanged;
                    is_fatal(error.kind())
                });
                if let Some(error) = fatal {
                    return self.fail(error.to_string(), tell);
                }
                if open.is_dead() {
                    return self.fail("it neither records nor plays any more".into(), tell);
                }
                open.age += 1;
                if open.age == TURNS_TO_TRUST {
                    self.failures = 0;
                }
                let is_due = open.stands_in && open.age % TURNS_TO_RETRY == 0;
                if moved && !tell(Report::Moved(self.way)) {
                    return false;
                }
                match is_due.then(|| self.start(false)) {
                    Some(Ok(report)) => tell(report),
                    _ => true,
                }
            }
            State::Gone(turns) => {
                *turns = turns.saturating_sub(1);
                if *turns > 0 {
                    return true;
                }
                *turns = TURNS_TO_RETRY;
                match self.start_any() {
                    Ok(report) => tell(report),
                    Err(_) => true,
                }
            }
        }
    }

    /// Builds the stream anew, or gives the device up for a while.
    fn fail(&mut self, reason: String, tell: Tell<'_>) -> bool {
        let stood_in = matches!(&self.state, State::Open(open) if open.stands_in);
        // Closed before it is opened again: many devices are open once at most.
        self.state = State::Gone(TURNS_TO_RETRY);
        self.failures += 1;
        self.piece_millis = (2 * self.piece_millis).min(MAX_PIECE_MILLIS);
        let again = if self.failures <= ATTEMPTS { self.start(stood_in) } else { Err(reason) };
        match again {
            Ok(report) => tell(report),
            Err(reason) => self.lose(reason, tell),
        }
    }

    /// Tells that it is not there, and what takes its place.
    fn lose(&mut self, reason: String, tell: Tell<'_>) -> bool {
        if !tell(Report::Lost(self.way, reason)) {
            return false;
        }
        match self.chosen.is_some().then(|| self.start(true)) {
            Some(Ok(report)) => tell(report),
            _ => true,
        }
    }

    /// The chosen device, or else the system's default.
    fn start_any(&mut self) -> Result<Report, String> {
        match self.start(false) {
            Err(_) if self.chosen.is_some() => self.start(true),
            started => started,
        }
    }

    fn start(&mut self, stands_in: bool) -> Result<Report, String> {
        let found = find(self.way, if stands_in { None } else { self.chosen.as_deref() })?;
        let (open, report) = self.build(&found)?;
        self.state = State::Open(Open { stands_in, ..open });
        Ok(report)
    }

    /// Opens a stream in pieces of `piece_millis`, or in the device's own pieces where it does not do these.
    fn build(&self, found: &Found) -> Result<(Open, Report), String> {
        let mut config = found.config.config();
        let piece = config.sample_rate * self.piece_millis / 1_000;
        config.buffer_size = match found.config.buffer_size() {
            SupportedBufferSize::Range { min, max } if min <= max => BufferSize::Fixed(piece.clamp(*min, *max)),
            _ => BufferSize::Default,
        };
        let built = self.build_as(found, config);
        if built.is_err() && config.buffer_size != BufferSize::Default {
            config.buffer_size = BufferSize::Default;
            return self.build_as(found, config);
        }
        built
    }

    fn build_as(&self, found: &Found, config: cpal::StreamConfig) -> Result<(Open, Report), String> {
        match found.config.sample_format() {
            SampleFormat::F32 => self.stream::<f32>(found, config),
            SampleFormat::F64 => self.stream::<f64>(found, config),
            SampleFormat::I8 => self.stream::<i8>(found, config),
            SampleFormat::I16 => self.stream::<i16>(found, config),
            SampleFormat::I32 => self.stream::<i32>(found, config),
            SampleFormat::U8 => self.stream::<u8>(found, config),
            SampleFormat::U16 => self.stream::<u16>(found, config),
            SampleFormat::U32 => self.stream::<u32>(found, config),
            other => Err(format!(
                "\"{}\" wants samples as {other}, which is not supported; choose another device",
                found.name
            )),
        }
    }

    fn stream<T>(&self, found: &Found, config: cpal::StreamConfig) -> Result<(Open, Report), String>
    where
        T: SizedSample + Sample + FromSample<i16>,
        i16: FromSample<T>,
    {
        let channels = usize::from(config.channels);
        let rate = config.sample_rate;
        let (producer, consumer) = RingBuffer::new(rate as usize * RING_MILLIS / 1_000);
        let (errors, errors_seen) = RingBuffer::new(ERRORS);
        let (glitches, pieces) = (Count::default(), Count::default());
        let on_error = on_error(errors, glitches.clone());
        let name = found.name.clone();
        let Beside { own, played, side, .. } = self.beside.clone();
        let (stream, report) = match self.way {
            Way::In => {
                let capture = self.capture(name, rate, consumer, glitches.clone())?;
                own.set_rate(rate);
                let mut recorded = Recorded { ring: producer, bus: own, overruns: glitches, pieces: pieces.clone() };
                let callback = move |data: &[T], _: &cpal::InputCallbackInfo| recorded.take(data, channels);
                (found.device.build_input_stream(config, callback, on_error, Some(PATIENCE)), Report::Captures(capture))
            }
            Way::Out => {
                let playback = Playback::new(name, rate, self.rate, producer, glitches.clone());
                let playback = playback.map_err(|error| error.to_string())?;
                played.set_rate(rate);
                let mut wanted = Wanted {
                    ring: consumer,
                    fade: Fade::new(rate),
                    side: SideTone::new(own, side, rate),
                    played,
                    underruns: glitches,
                    pieces: pieces.clone(),
                    started: false,
                };
                let callback = move |out: &mut [T], _: &cpal::OutputCallbackInfo| wanted.give(out, channels);
                (found.device.build_output_stream(config, callback, on_error, Some(PATIENCE)), Report::Plays(playback))
            }
        };
        let stream = stream.map_err(|error| format!("\"{}\": {error}", found.name))?;
        stream.play().map_err(|error| format!("\"{}\": {error}", found.name))?;
        let open = Open { _stream: stream, errors: errors_seen, pieces, seen: 0, still: 0, age: 0, stands_in: false };
        Ok((open, report))
    }

    /// The worker's end of a microphone, with the voice worked on in between where that is wanted.
    fn capture(&self, name: String, rate: u32, ring: Consumer<i16>, overruns: Count) -> Result<Capture, String> {
        #[cfg(feature = "voice")]
        if self.beside.voice.any() {
            use super::voice;
            let converter = Converter::fixed(rate, voice::RATE).map_err(|error| error.to_string())?;
            let (clean, from_voice) = RingBuffer::new(voice::RATE as usize * RING_MILLIS / 1_000);
            let played = self.beside.played.clone();
            let ends = voice::Ends { microphone: ring, converter, played, clean, overruns: overruns.clone() };
            voice::start(self.beside.voice, ends)?;
            return Capture::new(name, voice::RATE, self.rate, from_voice, overruns).map_err(|error| error.to_string());
        }
        Capture::new(name, rate, self.rate, ring, overruns).map_err(|error| error.to_string())
    }
}

impl Open {
    /// Was the callback not called for long?
    fn is_dead(&mut self) -> bool {
        let pieces = self.pieces.read();
        self.still = if pieces == self.seen { self.still + 1 } else { 0 };
        self.seen = pieces;
        self.still >= TURNS_TO_DIE
    }
}

/// Does the stream end with this error? Anything unknown may repeat without end, so it does.
fn is_fatal(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied)
}

/// Errors come on the thread of the callback as well: they are put aside, or dropped when nobody looks.
fn on_error(mut errors: Producer<cpal::Error>, glitches: Count) -> impl FnMut(cpal::Error) + Send + 'static {
    move |error| {
        if error.kind() == ErrorKind::Xrun {
            glitches.add();
        } else {
            let _ = errors.push(error);
        }
    }
}
