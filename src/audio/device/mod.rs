//! Sound devices: a microphone and a loudspeaker behind rings.
//!
//! ```text
//!   callback ─▶ ring ─[▶ voice ─▶ ring]─▶ Capture  ─▶ resampler ─▶ gain, meter ─▶ worker
//!      │ side tone        ▲ what was played                                               a thread opens the streams,
//!      ▼                  │                                                               watches them, closes them
//!   callback ◀──────────── ring ◀──────── Playback ◀─ resampler ◀─ gain, meter ◀─ worker
//! ```
//!
//! The callbacks only move samples. What is done to the voice (echo, noise, level) is done on a thread of its own.

#[cfg(feature = "device")]
mod bus;
#[cfg(feature = "device")]
mod callback;
mod capture;
#[cfg(feature = "device")]
mod card;
#[cfg(not(feature = "device"))]
#[path = "absent.rs"]
mod card;
#[cfg(feature = "device")]
mod choose;
#[cfg(feature = "device")]
mod fade;
#[cfg(feature = "device")]
mod line;
mod options;
mod playback;
#[cfg(feature = "device")]
mod side_tone;
#[cfg(feature = "voice")]
mod voice;

pub use card::{check, devices};
pub(crate) use card::{default_input, default_output};
pub use options::{Adjust, DeviceCounters, DeviceOptions, Levels, VoiceOptions};

use super::gain::Strip;
use capture::Capture;
use playback::Playback;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};

/// A sound device of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// What it is chosen by: `device:ID`.
    pub id: String,
    /// What the system calls it.
    pub name: String,
    /// Rates that it records at, Hz, lowest and highest; `None` if it does not record.
    pub input: Option<(u32, u32)>,
    /// Rates that it plays at, Hz, lowest and highest; `None` if it does not play.
    pub output: Option<(u32, u32)>,
    /// Is it the microphone that `device` alone stands for?
    pub default_input: bool,
    /// Is it the loudspeaker that `device` alone stands for?
    pub default_output: bool,
}

/// Sound devices that cannot be listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sound devices cannot be listed: {0}; the sources file, tone, silence and echo work without one")]
pub struct DevicesError(pub String);

/// A sound device that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no sound device to {}: {why}", match .way { Way::In => "record from", Way::Out => "play on" })]
pub struct NoDevice {
    /// What it was wanted for.
    pub way: Way,
    /// What there is instead.
    pub why: String,
}

/// Which way the sound goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the microphone.
    In,
    /// To the loudspeaker.
    Out,
}

/// What the thread that owns the streams tells.
#[cfg_attr(not(feature = "device"), allow(dead_code))]
pub(crate) enum Report {
    /// The microphone is open.
    Captures(Capture),
    /// The loudspeaker is open.
    Plays(Playback),
    /// The system moved the stream to another device.
    Moved(Way),
    /// A device could not be opened, or went away.
    Lost(Way, String),
}

/// What became of the devices.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A device is open, under this name, or the system moved its stream to another.
    Opened(Way, String),
    /// A device could not be opened, or went away.
    Lost(Way, String),
}

/// The devices that a call asked for: `None` for none, `Some(None)` for the system's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) input: Option<Option<String>>,
    pub(crate) output: Option<Option<String>>,
}

/// The sound devices of one call.
pub(crate) struct Device {
    reports: Receiver<Report>,
    /// The thread closes the streams and ends when this is dropped.
    _alive: Sender<()>,
    capture: Option<Capture>,
    playback: Option<Playback>,
    rate: u32,
    /// Of the streams that are closed.
    counted: DeviceCounters,
    input: Strip,
    output: Strip,
    side: Loudness,
    levels: bool,
    packet: Vec<i16>,
}

impl Device {
    /// Has the wanted devices opened for a call at `rate` Hz; never waits, [`Device::poll`] tells what became of it.
    pub(crate) fn open(wanted: Wanted, options: &DeviceOptions, rate: u32) -> Self {
        let side = Loudness::default();
        side.set(options.side_tone.map_or(0.0, super::Gain::factor));
        let (reports, _alive) = card::open(wanted, side.clone(), options.voice, rate);
        Self {
            reports,
            _alive,
            capture: None,
            playback: None,
            rate,
            counted: DeviceCounters::default(),
            input: Strip::new(options.input_gain),
            output: Strip::new(options.output_gain),
            side,
            levels: options.levels,
            packet: Vec::new(),
        }
    }

    /// What changed since the last time.
    pub(crate) fn poll(&mut self) -> Option<Change> {
        match self.reports.try_recv().ok()? {
            Report::Captures(mut capture) => {
                capture.set_rate(self.rate);
                let name = capture.name().to_owned();
                match self.capture.replace(capture) {
                    None => Some(Change::Opened(Way::In, name)),
                    Some(old) => {
                        self.count_capture(&old);
                        self.reopened(Way::In, old.name() == name, name)
                    }
                }
            }
            Report::Plays(mut playback) => {
                playback.set_rate(self.rate);
                let name = playback.name().to_owned();
                match self.playback.replace(playback) {
                    None => Some(Change::Opened(Way::Out, name)),
                    Some(old) => {
                        self.count_playback(&old);
                        self.reopened(Way::Out, old.name() == name, name)
                    }
                }
            }
            Report::Moved(way) => {
                let name = match way {
                    Way::In => self.capture.as_ref().map(Capture::name),
                    Way::Out => self.playback.as_ref().map(Playback::name),
                };
                Some(Change::Opened(way, name.unwrap_or_default().to_owned()))
            }
            Report::Lost(way, reason) => {
                match way {
                    Way::In => self.capture.take().into_iter().for_each(|old| self.count_capture(&old)),
                    Way::Out => self.playback.take().into_iter().for_each(|old| self.count_playback(&old)),
                }
                self.counted.lost += 1;
                Some(Change::Lost(way, reason))
            }
        }
    }

    /// A stream that failed was built anew at once: no news but a gap, unless on another device.
    fn reopened(&mut self, way: Way, same: bool, name: String) -> Option<Change> {
        self.counted.reopened += 1;
        if same { self.poll() } else { Some(Change::Opened(way, name)) }
    }

    fn count_capture(&mut self, old: &Capture) {
        self.counted.input_overruns += old.overruns();
        self.counted.input_underruns += old.underruns();
    }

    fn count_playback(&mut self, old: &Playback) {
        self.counted.output_overruns += old.overruns();
        self.counted.output_underruns += old.underruns();
    }

    /// Turns something while the call runs.
    pub(crate) fn adjust(&mut self, adjust: Adjust) {
        match adjust {
            Adjust::InputGain(gain) => self.input.turn(gain),
            Adjust::OutputGain(gain) => self.output.turn(gain),
            Adjust::SideTone(gain) => self.side.set(gain.map_or(0.0, super::Gain::factor)),
        }
    }

    /// How loud it was since the last time; `None` if nobody wants to know, or nothing was heard or said.
    pub(crate) fn levels(&mut self) -> Option<Levels> {
        let levels = Levels { input: self.input.level(), output: self.output.level() };
        (self.levels && levels != Levels::default()).then_some(levels)
    }

    /// The call goes on at `rate` Hz.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        self.rate = rate;
        if let Some(capture) = &mut self.capture {
            capture.set_rate(rate);
        }
        if let Some(playback) = &mut self.playback {
            playback.set_rate(rate);
        }
    }

    /// Is a microphone open?
    pub(crate) fn captures(&self) -> bool {
        self.capture.is_some()
    }

    /// Samples that the microphone has ready at the rate of the call; `None` without a microphone.
    pub(crate) fn ready(&mut self) -> Option<usize> {
        self.capture.as_mut().map(Capture::ready)
    }

    /// Fills `out` from the microphone; what it does not have is silence.
    pub(crate) fn read(&mut self, out: &mut [i16]) {
        match &mut self.capture {
            Some(capture) => {
                capture.read(out);
                self.input.pass(out);
            }
            None => out.fill(0),
        }
    }

    /// Plays one packet.
    pub(crate) fn play(&mut self, samples: &[i16]) {
        if let Some(playback) = &mut self.playback {
            self.packet.clear();
            self.packet.extend_from_slice(samples);
            self.output.pass(&mut self.packet);
            playback.play(&self.packet);
        }
    }

    /// Does the loudspeaker want more now? `None` without one.
    pub(crate) fn is_hungry(&self) -> Option<bool> {
        self.playback.as_ref().map(Playback::is_hungry)
    }

    /// What went wrong so far.
    pub(crate) fn counters(&self) -> DeviceCounters {
        let mut counted = self.counted;
        if let Some(capture) = &self.capture {
            counted.input_overruns += capture.overruns();
            counted.input_underruns += capture.underruns();
        }
        if let Some(playback) = &self.playback {
            counted.output_overruns += playback.overruns();
            counted.output_underruns += playback.underruns();
        }
        counted
    }
}

/// How loud the side tone is, set while it plays. A factor; 0 is none.
#[derive(Clone, Default)]
pub(crate) struct Loudness(Arc<AtomicU32>);

impl Loudness {
    pub(crate) fn set(&self, factor: f32) {
        self.0.store(factor.to_bits(), Ordering::Relaxed);
    }

    #[cfg_attr(not(feature = "device"), allow(dead_code))]
    pub(crate) fn factor(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// A count that a callback adds to and a worker reads.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicU64>);

impl Count {
    /// One more.
    #[cfg_attr(not(feature = "device"), allow(dead_code))]
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many until now.
    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
