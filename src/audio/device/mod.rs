//! Sound devices: a microphone and a loudspeaker behind rings.
//!
//! ```text
//!   callback ─▶ ring ─▶ Capture  ─▶ resampler ─▶ worker       a thread opens the streams, watches them and closes them
//!   callback ◀─ ring ◀─ Playback ◀─ resampler ◀─ worker       the callbacks only move samples
//! ```

#[cfg(feature = "device")]
mod callback;
mod capture;
#[cfg(feature = "device")]
mod card;
#[cfg(not(feature = "device"))]
#[path = "absent.rs"]
mod card;
mod playback;

pub use card::devices;
pub(crate) use card::{default_input, default_output};

use capture::Capture;
use playback::Playback;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// Is it what `device` alone stands for?
    pub default: bool,
}

/// Sound devices that cannot be listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sound devices cannot be listed: {0}; the sources file, tone, silence and echo work without one")]
pub struct DevicesError(pub String);

/// Which way the sound goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
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
    /// A device could not be opened, or went away.
    Lost(Way, String),
}

/// What became of the devices.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A device is open, under this name.
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
    glitches: u64,
}

impl Device {
    /// Has the wanted devices opened for a call at `rate` Hz; never waits, [`Device::poll`] tells what became of it.
    pub(crate) fn open(wanted: Wanted, rate: u32) -> Self {
        let (reports, _alive) = card::open(wanted, rate);
        Self { reports, _alive, capture: None, playback: None, rate, glitches: 0 }
    }

    /// What changed since the last time.
    pub(crate) fn poll(&mut self) -> Option<Change> {
        match self.reports.try_recv().ok()? {
            Report::Captures(mut capture) => {
                capture.set_rate(self.rate);
                let name = capture.name().to_owned();
                match self.capture.replace(capture) {
                    None => Some(Change::Opened(Way::In, name)),
                    Some(old) => self.replaced(old.glitches()),
                }
            }
            Report::Plays(mut playback) => {
                playback.set_rate(self.rate);
                let name = playback.name().to_owned();
                match self.playback.replace(playback) {
                    None => Some(Change::Opened(Way::Out, name)),
                    Some(old) => self.replaced(old.glitches()),
                }
            }
            Report::Lost(way, reason) => {
                let old = match way {
                    Way::In => self.capture.take().map(|old| old.glitches()),
                    Way::Out => self.playback.take().map(|old| old.glitches()),
                };
                self.glitches += old.unwrap_or_default();
                Some(Change::Lost(way, reason))
            }
        }
    }

    /// A stream that failed was built anew at once, which is no news but a glitch.
    fn replaced(&mut self, glitches: u64) -> Option<Change> {
        self.glitches += glitches + 1;
        self.poll()
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
            Some(capture) => capture.read(out),
            None => out.fill(0),
        }
    }

    /// Plays one packet.
    pub(crate) fn play(&mut self, samples: &[i16]) {
        if let Some(playback) = &mut self.playback {
            playback.play(samples);
        }
    }

    /// Times that a device ran dry or over.
    pub(crate) fn glitches(&self) -> u64 {
        self.glitches
            + self.capture.as_ref().map_or(0, Capture::glitches)
            + self.playback.as_ref().map_or(0, Playback::glitches)
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
