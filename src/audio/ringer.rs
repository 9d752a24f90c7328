//! A call-progress tone on a sound device, beside any call.

use super::device::{Change, Device, DeviceOptions, Wanted};
use super::progress::{Country, Progress, ProgressTone};
use crate::time::Duration;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};

/// What the tone is made at, Hz; the device converts it.
const RATE: u32 = 16_000;

/// How often the device is looked after.
const LOOK: std::time::Duration = std::time::Duration::from_millis(5);

/// So long a device may take to open, in looks, before a tone that has a limit is given up.
const OPENING: u32 = 600;

/// Plays until it is dropped, or until its limit. The device sets the pace.
#[derive(Debug)]
pub(crate) struct Ringer {
    _playing: Sender<()>,
    thread: Option<JoinHandle<()>>,
    limited: bool,
}

impl Ringer {
    /// Plays `tone` on the system's default loudspeaker or the one named, for `limit` at most. A device that is not there
    /// is waited for.
    pub(crate) fn start(device: Option<String>, tone: Progress, country: Country, limit: Option<Duration>) -> Self {
        let (playing, over) = mpsc::channel();
        let thread = thread::Builder::new().name("ringer".into()).spawn(move || {
            let wanted = Wanted { input: None, output: Some(device) };
            let mut device = Device::open(wanted, &DeviceOptions::default(), RATE);
            let mut tone = ProgressTone::new(tone, country, RATE);
            let mut packet = [0; RATE as usize / 100];
            let (mut played, mut waited) = (Duration::ZERO, 0);
            while over.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                while let Some(change) = device.poll() {
                    if let Change::Lost(_, why) = change {
                        tracing::info!(%why, "a tone cannot be played");
                        waited = OPENING;
                    }
                }
                while device.is_hungry() == Some(true) {
                    tone.read(&mut packet);
                    device.play(&packet);
                    played += Duration::from_millis(10);
                }
                waited += u32::from(device.is_hungry().is_none());
                if limit.is_some_and(|limit| played >= limit || (played.is_zero() && waited > OPENING)) {
                    return;
                }
            }
        });
        Self { _playing: playing, thread: thread.ok(), limited: limit.is_some() }
    }

    /// Does it still play?
    pub(crate) fn is_playing(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Does it end by itself?
    pub(crate) fn is_limited(&self) -> bool {
        self.limited
    }
}
