//! The end of a call that waits for its recording.

use super::event::{Event, Finished};
use super::outbox::Outbox;
use crate::audio::{Finishing, RecorderError, Recording};
use crate::time::{Duration, Instant};

/// How long the end of a call waits for the disk to finish its recording.
const RECORDING_PATIENCE: Duration = Duration::from_secs(5);

/// A call that is over, but whose recording is still being written.
pub(super) struct Closing {
    finished: Option<Box<Finished>>,
    recording: Option<Finishing>,
    deadline: Instant,
}

impl Closing {
    /// Waits from `now` on for `recording`, if there is one, to tell that the call has `finished`.
    pub(super) fn new(now: Instant, finished: Box<Finished>, recording: Option<Finishing>) -> Self {
        Self { finished: Some(finished), recording, deadline: now + RECORDING_PATIENCE }
    }

    /// Posts the end of the call once its recording is complete or overdue; `false` while it is neither.
    pub(super) fn finish(&mut self, now: Instant, outbox: &mut Outbox) -> bool {
        if let (Some(recording), Some(finished)) = (self.recording.take(), self.finished.as_mut()) {
            match recording.poll() {
                Ok(recording) => finished.recording = Some(recording),
                Err(unfinished) if now < self.deadline => {
                    self.recording = Some(unfinished);
                    return false;
                }
                Err(unfinished) => {
                    let error = RecorderError::Slow { path: unfinished.path().into() };
                    finished.recording = Some(Recording {
                        path: Some(unfinished.path().into()),
                        frames: 0,
                        dropped: 0,
                        error: Some(error),
                    });
                }
            }
        }
        if let Some(finished) = self.finished.take() {
            outbox.post(Event::Finished(finished));
        }
        true
    }
}
