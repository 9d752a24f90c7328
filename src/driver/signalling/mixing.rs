//! What is done with the sound of calls: conferences, what is played into them, recordings in their course.

use super::{Happening, Notice, Recorded, Reply, Turn};
use crate::audio::{Play, Recording, Tap};
use crate::call::{CallId, MediaEvent};
use crate::driver::media::Tape;
use crate::engine::Refused;
use crate::media::mixer;
use std::collections::HashMap;
use std::fmt;

/// Names a conference of this phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConferenceId(pub u64);

/// What a party of a conference does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Part {
    /// Everybody hears it.
    #[default]
    Speaks,
    /// It only listens.
    Listens,
    /// Only the far end of one call hears it.
    Coaches(CallId),
}

/// A party of a conference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// The far end of a call.
    Call(CallId),
    /// Our own user.
    Us,
}

/// The worker's end of a stream.
pub struct StreamTap(pub(crate) Box<Tap>);

impl fmt::Debug for StreamTap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamTap")
    }
}

/// What is done with the sound of calls. The reply means accepted or refused.
#[derive(Debug)]
pub enum Mixing {
    /// A new conference of these calls; our user has the source and sink of the first, or is absent.
    Confer(Vec<CallId>, Option<Part>, Reply<ConferenceId>),
    /// A call comes into a conference.
    Enter(ConferenceId, CallId, Part, Reply<()>),
    /// A call leaves its conference.
    Leave(CallId, Reply<()>),
    /// A party does something else; only our user may be absent.
    Assign(ConferenceId, Member, Option<Part>, Reply<()>),
    /// Plays something to the far end.
    Play(CallId, Play, Reply<()>),
    /// Begins, pauses, goes on with or ends a recording.
    Tape(CallId, Tape, Reply<()>),
    /// Has a program listen and speak.
    Stream(CallId, StreamTap, Reply<()>),
    /// Plays it no more.
    StopPlaying(CallId, Reply<()>),
}

/// Who is in which conference.
#[derive(Debug, Default)]
pub(super) struct Conferences {
    of: HashMap<CallId, ConferenceId>,
    last: u64,
}

impl Conferences {
    /// The call is over.
    pub(super) fn forget(&mut self, call: CallId) {
        self.of.remove(&call);
    }

    /// Is anybody in it?
    fn is_known(&self, conference: ConferenceId) -> bool {
        self.of.values().any(|known| *known == conference)
    }
}

impl From<Part> for mixer::Part {
    fn from(part: Part) -> Self {
        match part {
            Part::Speaks => mixer::Part::Speaks,
            Part::Listens => mixer::Part::Listens,
            Part::Coaches(call) => mixer::Part::Coaches(call.0),
        }
    }
}

impl<F: FnMut(Happening)> Turn<F> {
    pub(super) fn handle_mixing(&mut self, order: Mixing) {
        // A client that did not wait for its reply does not want it.
        match order {
            Mixing::Confer(calls, us, reply) => drop(reply.send(self.confer(&calls, us))),
            Mixing::Enter(conference, call, part, reply) => {
                let known = self.conferences.is_known(conference);
                let done = if known { self.talking(call) } else { Err(Refused::NoConference(conference.0)) };
                if done.is_ok() {
                    self.enter(conference, call, part, None);
                }
                drop(reply.send(done));
            }
            Mixing::Leave(call, reply) => {
                let left = self.conferences.of.remove(&call);
                if left.is_some() {
                    let done = self.signalling.media.leave(call.0);
                    self.told(call, done);
                }
                drop(reply.send(left.map(|_| ()).ok_or(Refused::NotInConference(call))));
            }
            Mixing::Assign(conference, who, part, reply) => {
                let done = self.assign(conference, who, part);
                drop(reply.send(done));
            }
            Mixing::Play(call, play, reply) => {
                let done = self.talking(call);
                if done.is_ok() {
                    let done = self.signalling.media.play(call.0, &play, self.rate(call));
                    self.told(call, done);
                }
                drop(reply.send(done));
            }
            Mixing::Tape(call, tape, reply) => {
                let done = self.talking(call);
                if done.is_ok() {
                    let done = self.signalling.media.tape(call.0, tape, self.rate(call));
                    self.told(call, done);
                }
                drop(reply.send(done));
            }
            Mixing::Stream(call, StreamTap(tap), reply) => {
                let done = self.talking(call);
                if done.is_ok() {
                    let done = self.signalling.media.stream(call.0, tap);
                    self.told(call, done);
                }
                drop(reply.send(done));
            }
            Mixing::StopPlaying(call, reply) => {
                let done = self.talking(call);
                if done.is_ok() {
                    let done = self.signalling.media.stop_playing(call.0);
                    self.told(call, done);
                }
                drop(reply.send(done));
            }
        }
    }

    fn confer(&mut self, calls: &[CallId], us: Option<Part>) -> Result<ConferenceId, Refused> {
        calls.iter().try_for_each(|call| self.talking(*call))?;
        self.conferences.last += 1;
        let conference = ConferenceId(self.conferences.last);
        for call in calls {
            self.enter(conference, *call, Part::Speaks, us);
        }
        Ok(conference)
    }

    fn enter(&mut self, conference: ConferenceId, call: CallId, part: Part, us: Option<Part>) {
        let done = self.signalling.media.enter(call.0, conference.0, part.into(), us.map(Into::into));
        if done.is_ok() {
            self.conferences.of.insert(call, conference);
        }
        self.told(call, done);
    }

    fn assign(&mut self, conference: ConferenceId, who: Member, part: Option<Part>) -> Result<(), Refused> {
        if !self.conferences.is_known(conference) {
            return Err(Refused::NoConference(conference.0));
        }
        let who = match who {
            Member::Us => None,
            Member::Call(call) if self.conferences.of.get(&call) == Some(&conference) => Some(call),
            Member::Call(call) => return Err(Refused::NotInConference(call)),
        };
        let done = self.signalling.media.assign(conference.0, who.map(|call| call.0), part.map(Into::into));
        if let (Err(error), Some(call)) = (done, who.or_else(|| self.conferences.of.keys().next().copied())) {
            self.notice(call, Notice::Trouble, error.to_string());
        }
        Ok(())
    }

    /// Keeps a complete recording in the record of its call, and tells of it.
    pub(super) fn recorded(&mut self, call: CallId, recording: &Recording) {
        if let Some(error) = &recording.error {
            self.notice(call, Notice::Trouble, error.to_string());
        }
        let Some(recorded) = Recorded::of(recording) else { return };
        let details = serde_json::to_value(&recorded).unwrap_or_default();
        self.bring(call, MediaEvent::Recorded { path: recorded.path.clone(), details });
        (self.tell)(Happening::Recorded(call, Box::new(recorded)));
    }

    /// Rate of the audio of a call, Hz.
    fn rate(&self, call: CallId) -> u32 {
        self.playing.get(&call).copied().unwrap_or(8_000)
    }

    fn talking(&self, call: CallId) -> Result<(), Refused> {
        self.signalling.engine.is_talking(call)
    }

    /// Tells the user what a media worker did not take.
    fn told<E: std::fmt::Display>(&mut self, call: CallId, done: Result<(), E>) {
        if let Err(error) = done {
            self.notice(call, Notice::Trouble, error.to_string());
        }
    }
}
