//! What brings calls together: conferences; what is played into a call, and recorded of it while it runs.

use super::worker::Command;
use super::{MediaDriver, Refused, StartError};
use crate::audio::{Layout, Play, Player, Recorder, Tap};
use crate::media::mixer::Part;
use std::path::PathBuf;

/// What is done with the recording of a call that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tape {
    /// Begins a file; one that is being written is completed.
    Start(PathBuf, Layout),
    /// Leaves out what follows.
    Pause,
    /// Goes on, with a beep for the pause or without.
    Resume {
        /// 200 ms of 1 kHz.
        beep: bool,
    },
    /// Completes the file; [`Event::Recorded`](super::Event::Recorded) tells of it.
    Stop,
}

impl MediaDriver {
    /// The call `key` takes part in a conference as `part`; it is on the worker of the conference afterwards. The first
    /// call begins the conference: its source and sink are our user's there, who does `us`, or is absent.
    ///
    /// # Errors
    /// If the worker takes no more.
    pub fn enter(&mut self, key: u64, conference: u64, part: Part, us: Option<Part>) -> Result<(), Refused> {
        let to = self.home(conference);
        let from = self.moved.get(&key).copied().unwrap_or_else(|| self.home(key));
        if from != to {
            // A worker that has ended has closed its calls. Whoever is expected must come, so none of this is refused.
            for (worker, command) in [(to, Command::Expect(key)), (from, Command::HandOver(key, to))] {
                let _ = self.workers[worker].commands.send(command);
                let _ = self.workers[worker].waker.wake();
            }
            self.moved.insert(key, to);
        }
        self.tell(key, Command::Enter { key, conference, part, us })
    }

    /// The call `key` leaves its conference: it is connected to its own source and sink again.
    ///
    /// # Errors
    /// If the worker takes no more.
    pub fn leave(&self, key: u64) -> Result<(), Refused> {
        self.tell(key, Command::Leave(key))
    }

    /// Gives another part in a conference to the call `who`, or to our user, who alone may be absent.
    ///
    /// # Errors
    /// If the worker takes no more.
    pub fn assign(&self, conference: u64, who: Option<u64>, part: Option<Part>) -> Result<(), Refused> {
        // The calls of a conference are on its worker.
        self.tell_worker(self.home(conference), Command::Assign { conference, who, part })
    }

    /// Plays something to the far end of the call `key`, whose audio should have `rate` Hz, in place of what is played already;
    /// [`Event::PlayEnded`](super::Event::PlayEnded) tells its end.
    ///
    /// # Errors
    /// If the source cannot be played, or the worker takes no more.
    pub fn play(&self, key: u64, play: &Play, rate: u32) -> Result<(), StartError> {
        let player = Box::new(Player::open(play, rate)?);
        Ok(self.tell(key, Command::Play(key, Some(player)))?)
    }

    /// Does something with the recording of the call `key`; a file that begins has `rate` Hz, which should be that of the
    /// call.
    ///
    /// # Errors
    /// If the system gives no thread, or the worker takes no more. What becomes of the file is told later.
    pub fn tape(&self, key: u64, tape: Tape, rate: u32) -> Result<(), StartError> {
        let recorder = match &tape {
            Tape::Start(path, layout) => Some(Recorder::open(path, rate, *layout, self.journal.as_deref())?),
            _ => None,
        };
        Ok(self.tell(key, Command::Tape(key, tape, recorder.map(Box::new)))?)
    }

    /// Has a program listen to the call `key` and speak in it, in place of another one.
    ///
    /// # Errors
    /// If the worker takes no more.
    pub(crate) fn stream(&self, key: u64, tap: Box<Tap>) -> Result<(), Refused> {
        self.tell(key, Command::Tap(key, tap))
    }

    /// Plays nothing more into the call `key`.
    ///
    /// # Errors
    /// If the worker takes no more.
    pub fn stop_playing(&self, key: u64) -> Result<(), Refused> {
        self.tell(key, Command::Play(key, None))
    }
}
