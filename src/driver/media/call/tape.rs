//! The recording of a call that runs, and its stream.

use super::super::event::Event;
use super::super::gather::Tape;
use super::super::outbox::Outbox;
use super::Call;
use crate::audio::{Finishing, Recorder, Tap};

impl Call {
    /// Has a program listen and speak, in place of another one.
    pub(in super::super) fn set_tap(&mut self, tap: Box<Tap>) {
        self.tap = Some(tap);
        self.fit();
    }

    /// Does something with its recording; gives back the one that is over. `recorder` is that of one that begins.
    pub(in super::super) fn tape(&mut self, tape: Tape, recorder: Option<Recorder>) -> Option<Finishing> {
        match tape {
            Tape::Start(..) => {
                let old = std::mem::replace(&mut self.recorder, recorder);
                self.fit();
                return old.map(Recorder::finish);
            }
            Tape::Stop => return self.recorder.take().map(Recorder::finish),
            Tape::Pause => self.recorder.iter_mut().for_each(Recorder::pause),
            Tape::Resume { beep } => self.recorder.iter_mut().for_each(|recorder| recorder.resume(beep)),
        }
        None
    }

    /// Keeps the recording in time over ticks that were left out.
    pub(super) fn leave_out(&mut self, ticks: u64) {
        if ticks == 0 {
            return;
        }
        if let Some(recorder) = &mut self.recorder {
            self.said.fill(0);
            for _ in 0..ticks {
                recorder.push(&self.said, &self.said);
            }
        }
    }

    pub(super) fn look_after_recording(&mut self, outbox: &mut Outbox) {
        if self.recorder.as_ref().is_some_and(Recorder::has_failed)
            && let Some(recorder) = self.recorder.take()
        {
            let mut recording = recorder.finish().wait();
            if let Some(error) = recording.error.take() {
                outbox.post(Event::Trouble { key: self.key, trouble: error.into() });
            }
            self.lost_recording = Some(recording);
        }
    }
}
