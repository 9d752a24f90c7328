//! The end of a call, or of a recording in its course, that waits for the disk.

use super::event::{Event, Finished};
use super::outbox::Outbox;
use crate::audio::{Finishing, RecorderError, Recording};
use crate::time::{Duration, Instant};

/// How long the end of a call waits for the disk to finish its recording.
const RECORDING_PATIENCE: Duration = Duration::from_secs(20);

/// A call that is over, or goes on, but whose recording is still being written.
pub(super) struct Closing {
    key: u64,
    finished: Option<Box<Finished>>,
    recording: Option<Finishing>,
    deadline: Instant,
}

impl Closing {
    /// Waits from `now` on for `recording`, if there is one, to tell that the call has `finished`.
    pub(super) fn new(now: Instant, finished: Box<Finished>, recording: Option<Finishing>) -> Self {
        Self { key: finished.key, finished: Some(finished), recording, deadline: now + RECORDING_PATIENCE }
    }

    /// Waits for a recording of the call `key`, which goes on.
    pub(super) fn of_recording(now: Instant, key: u64, recording: Finishing) -> Self {
        Self { key, finished: None, recording: Some(recording), deadline: now + RECORDING_PATIENCE }
    }

    /// Posts the end of the call once its recording is complete or overdue; `false` while it is neither.
    pub(super) fn finish(&mut self, now: Instant, outbox: &mut Outbox) -> bool {
        if let Some(recording) = self.recording.take() {
            let recording = match recording.poll() {
                Ok(recording) => recording,
                Err(unfinished) if now < self.deadline => {
                    self.recording = Some(unfinished);
                    return false;
                }
                Err(unfinished) => {
                    let path = unfinished.path();
                    let error = Some(RecorderError::Slow { path: path.into() });
                    Recording { path: Some(path.into()), error, ..Recording::default() }
                }
            };
            match &mut self.finished {
                Some(finished) => finished.recording = Some(recording),
                None => outbox.post(Event::Recorded { key: self.key, recording: Box::new(recording) }),
            }
        }
        if let Some(finished) = self.finished.take() {
            outbox.post(Event::Finished(finished));
        }
        true
    }
}
