//! Commands that join calls, play into them and record them.

use super::super::answer::recording;
use super::line::{Line, Which};
use crate::audio::Template;
use crate::call::CallId;
use crate::call::record::Record;
use crate::phone::{CommandError, ConferenceId, Layout, Member, Part, Phone, Tape};
use serde_json::{Value, json};
use std::path::Path;

/// What such a command acts on.
pub(super) struct Asked<'a> {
    pub(super) phone: &'a Phone,
    pub(super) calls: &'a [(CallId, Record)],
    pub(super) focus: Option<CallId>,
}

impl Asked<'_> {
    pub(super) async fn carry_out(
        &self,
        line: Line,
        conference: &mut Option<ConferenceId>,
    ) -> Result<(Value, String), String> {
        let said = |error: CommandError| error.to_string();
        let phone = self.phone;
        match line {
            Line::Conference(numbers) => {
                let talking =
                    |(_, record): &&(CallId, Record)| record.answered_at.is_some() && record.ended_at.is_none();
                let calls: Vec<CallId> = match numbers.as_slice() {
                    [] => self.calls.iter().filter(talking).map(|(id, _)| *id).collect(),
                    numbers => numbers.iter().map(|number| self.call(*number)).collect::<Result<_, _>>()?,
                };
                if calls.is_empty() {
                    return Err("there is no call; `dial URI` makes one".into());
                }
                let begun = phone.confer(calls.clone(), Some(Part::Speaks)).await.map_err(said)?;
                *conference = Some(begun);
                let numbers: Vec<u64> = calls.iter().map(|call| call.0).collect();
                Ok((json!({"conference": begun.0, "calls": numbers}), format!("a conference of {} calls", calls.len())))
            }
            Line::Bridge(one, other) => {
                let (one, other) = (self.call(one)?, self.call(other)?);
                let begun = phone.bridge(one, other).await.map_err(said)?;
                *conference = Some(begun);
                let sentence = "they talk with each other without you; `speak` brings you in, `leave` takes a call out";
                Ok((json!({"conference": begun.0, "calls": [one.0, other.0]}), sentence.into()))
            }
            Line::Listen(who) => self.assign(*conference, who, Part::Listens).await,
            Line::Speak(who) => self.assign(*conference, who, Part::Speaks).await,
            Line::Coach(number) => self.assign(*conference, None, Part::Coaches(self.call(number)?)).await,
            Line::Leave(which) => {
                let call = self.which(which)?;
                phone.leave(call).await.map_err(said)?;
                Ok((json!({"call": call.0}), format!("{call} has left the conference")))
            }
            Line::Play(play) => {
                play.source.check().map_err(|error| error.to_string())?;
                let call = self.which(Which::Current)?;
                phone.play(call, play).await.map_err(said)?;
                Ok((json!({"call": call.0}), String::new()))
            }
            Line::Silence(which) => {
                let call = self.which(which)?;
                phone.stop_playing(call).await.map_err(said)?;
                Ok((json!({"call": call.0}), String::new()))
            }
            Line::Record(tape) => {
                let call = self.which(Which::Current)?;
                let tape = tape.unwrap_or_else(|| {
                    let record = self.calls.iter().find(|(id, _)| *id == call).map(|(_, record)| record);
                    let path = record.map(|record| recording(Path::new(""), &Template::default(), record));
                    Tape::Start(path.unwrap_or_else(|| "recording.wav".into()), Layout::Stereo)
                });
                let (word, sentence) = match &tape {
                    Tape::Start(path, _) => (path.display().to_string(), format!("recording to {}", path.display())),
                    Tape::Pause => ("pause".into(), "the recording pauses".to_owned()),
                    Tape::Resume { .. } => ("resume".into(), "the recording goes on".to_owned()),
                    Tape::Stop => ("stop".into(), String::new()),
                };
                phone.tape(call, tape).await.map_err(said)?;
                Ok((json!({"call": call.0, "recording": word}), sentence))
            }
            // The others are not ours.
            _ => Ok((json!({}), String::new())),
        }
    }

    async fn assign(
        &self,
        conference: Option<ConferenceId>,
        who: Option<u64>,
        part: Part,
    ) -> Result<(Value, String), String> {
        let conference = conference.ok_or("there is no conference; `conference` begins one")?;
        let who = match who {
            Some(number) => Member::Call(self.call(number)?),
            None => Member::Us,
        };
        self.phone.assign(conference, who, Some(part)).await.map_err(|error| error.to_string())?;
        Ok((json!({"conference": conference.0}), String::new()))
    }

    fn call(&self, number: u64) -> Result<CallId, String> {
        self.which(Which::Number(number))
    }

    fn which(&self, which: Which) -> Result<CallId, String> {
        match which {
            Which::Current => self.focus.ok_or_else(|| "there is no call; `dial URI` makes one".to_owned()),
            Which::Number(number) => {
                let known = self.calls.iter().any(|(id, _)| id.0 == number);
                known.then_some(CallId(number)).ok_or_else(|| format!("there is no call {number}; `calls` lists them"))
            }
        }
    }
}
