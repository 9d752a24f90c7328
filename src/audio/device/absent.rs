//! A build without sound devices.

use super::{DeviceInfo, DevicesError, Loudness, NoDevice, Report, VoiceOptions, Wanted, Way};
use std::sync::mpsc::{Receiver, Sender, channel};

const REASON: &str = "this program was built without the feature `device`";

/// Every sound device of this machine: none in this build.
///
/// # Errors
/// Always: it was built without the feature `device`.
pub fn devices() -> Result<Vec<DeviceInfo>, DevicesError> {
    Err(DevicesError(REASON.into()))
}

/// Is there a device that `name` means for `way`: none in this build.
///
/// # Errors
/// Always: it was built without the feature `device`.
pub fn check(way: Way, _name: &str) -> Result<(), NoDevice> {
    Err(NoDevice { way, why: REASON.into() })
}

pub(crate) fn default_input() -> Result<String, String> {
    Err(REASON.into())
}

pub(crate) fn default_output() -> Result<String, String> {
    Err(REASON.into())
}

pub(super) fn open(wanted: Wanted, _: Loudness, _: VoiceOptions, _rate: u32) -> (Receiver<Report>, Sender<()>) {
    let (reports, inbox) = channel();
    let ways = [(wanted.input, Way::In), (wanted.output, Way::Out)];
    for (_, way) in ways.into_iter().filter(|(wanted, _)| wanted.is_some()) {
        // The receiver is right here.
        let _ = reports.send(Report::Lost(way, REASON.into()));
    }
    (inbox, channel().0)
}
