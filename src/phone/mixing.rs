//! Commands about the sound of calls: conferences, what is played into them, recordings in their course.

use super::{CallId, CommandError, ConferenceId, Event, Member, Part, Phone, Recorded, Tape};
use crate::audio::{Play, Speaker, StreamListener, StreamOptions, WrongStream, open_stream, repair_all};
use crate::driver::signalling::{Command, Mixing, StreamTap};
use std::path::PathBuf;
use tokio::sync::broadcast;

/// Why there is no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The options.
    #[error(transparent)]
    Options(#[from] WrongStream),
    /// The call, or the phone.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl Phone {
    /// Has the far ends of answered calls, and our user, hear each other: everybody all others, nobody itself. Our user has
    /// the source and sink of the first call and does `us`; without a part he is absent and the far ends talk with each
    /// other alone. Calls of another conference leave it.
    ///
    /// A recording of any of the calls is one of the whole conference: left what its far end was sent, right what it said.
    /// A call that ends leaves by itself; the last one ends the conference.
    ///
    /// # Errors
    /// When one of the calls is not answered, or the phone has ended.
    pub async fn confer(&self, calls: Vec<CallId>, us: Option<Part>) -> Result<ConferenceId, CommandError> {
        self.ask(|reply| Command::Mixing(Mixing::Confer(calls, us, reply))).await
    }

    /// Joins the far ends of two answered calls: they talk with each other, through us and without our user. Both calls
    /// stay ours: [`Phone::leave`] takes one back. [`Phone::transfer_attended`] has them talk without us.
    ///
    /// # Errors
    /// When one of the calls is not answered, or the phone has ended.
    pub async fn bridge(&self, one: CallId, other: CallId) -> Result<ConferenceId, CommandError> {
        self.confer(vec![one, other], None).await
    }

    /// A call comes into a conference: as one that speaks, as a supervisor who only listens, or who coaches one party.
    ///
    /// # Errors
    /// When there is no such conference, the call is not answered, or the phone has ended.
    pub async fn enter(&self, conference: ConferenceId, call: CallId, part: Part) -> Result<(), CommandError> {
        self.ask(|reply| Command::Mixing(Mixing::Enter(conference, call, part, reply))).await
    }

    /// A call leaves its conference: it is connected to its own source and sink again.
    ///
    /// # Errors
    /// When it is in none, or the phone has ended.
    pub async fn leave(&self, call: CallId) -> Result<(), CommandError> {
        self.ask(|reply| Command::Mixing(Mixing::Leave(call, reply))).await
    }

    /// A party of a conference does something else from now on. Our user may also be absent (`None`), which means nothing
    /// for a call.
    ///
    /// # Errors
    /// When there is no such conference or the call is not in it, or the phone has ended.
    pub async fn assign(&self, conference: ConferenceId, who: Member, part: Option<Part>) -> Result<(), CommandError> {
        self.ask(|reply| Command::Mixing(Mixing::Assign(conference, who, part, reply))).await
    }

    /// Plays a file or tone to the far end of an answered call, beside or in place of what it hears, also while it is on
    /// hold; in place of what is played already. [`Notice::PlayEnded`](super::Notice::PlayEnded) tells the end of a file.
    ///
    /// # Errors
    /// When the call is not answered, or the phone has ended. A file that cannot be played comes as a notice.
    pub async fn play(&self, call: CallId, play: Play) -> Result<(), CommandError> {
        self.ask(|reply| Command::Mixing(Mixing::Play(call, play, reply))).await
    }

    /// Begins, pauses, goes on with or ends a recording of an answered call; [`Event::Recorded`]
    /// tells when a file is complete.
    ///
    /// # Errors
    /// When the call is not answered, or the phone has ended. What goes wrong with the file comes as a notice.
    pub async fn tape(&self, call: CallId, tape: Tape) -> Result<(), CommandError> {
        self.ask(|reply| Command::Mixing(Mixing::Tape(call, tape, reply))).await
    }

    /// Listens to an answered call and speaks in it as a program: sound comes and goes in frames, at a rate of one's own,
    /// beside what the call says. In place of an earlier stream of the call, which ends.
    ///
    /// # Errors
    /// When no stream can have these options, the call is not answered, or the phone has ended.
    pub async fn stream(
        &self,
        call: CallId,
        options: &StreamOptions,
    ) -> Result<(Speaker, StreamListener), StreamError> {
        let (tap, speaker, listener) = open_stream(options)?;
        let tap = StreamTap(Box::new(tap));
        self.ask(|reply| Command::Mixing(Mixing::Stream(call, tap, reply))).await?;
        Ok((speaker, listener))
    }

    /// Plays nothing more into a call.
    ///
    /// # Errors
    /// When the call is not answered, or the phone has ended.
    pub async fn stop_playing(&self, call: CallId) -> Result<(), CommandError> {
        self.ask(|reply| Command::Mixing(Mixing::StopPlaying(call, reply))).await
    }
}

/// Makes whole what earlier processes left, and tells of it.
pub(super) fn repair(journal: PathBuf, events: broadcast::Sender<Event>) {
    tokio::task::spawn_blocking(move || {
        for recording in repair_all(&journal) {
            if let Some(recorded) = Recorded::of(&recording) {
                // Nobody may be listening.
                let _ = events.send(Event::Recorded { call: None, recorded: Box::new(recorded) });
            }
        }
    });
}
