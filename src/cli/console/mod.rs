//! Commands that the user gives while calls run: keys that act at once on a terminal, lines elsewhere.
//!
//! ```text
//!  terminal ─ thread ─▶ octets ─▶ Keys ─┐
//!  stdin ──── thread ─▶ lines ─▶ parse ─┴─ task ─▶ Phone ─▶ Reporter (a sentence, or {"event":"command.reply"})
//! ```

mod join;
mod keys;
mod line;
mod terminal;

use super::report::Reporter;
use crate::audio::{Adjust, DeviceOptions, Gain};
use crate::call::CallId;
use crate::call::record::{CallDirection, Record};
use crate::config;
use crate::phone::{Account, Change, CommandError, ConferenceId, Dial, Io, Phone};
use clap::Args;
use keys::{Keys, Pressed};
use line::{Line, Turn, Which};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, Read};
use std::sync::Arc;
use terminal::Unbuffered;
use tokio::sync::{Notify, mpsc};

/// What the key for it plays the side tone at, dB.
const USUAL_SIDE_TONE: f64 = -20.0;

/// Lines that may wait for the one before them.
const WAITING: usize = 64;

/// A line is cut here; nothing that can be said is longer.
const LONGEST: usize = 4_096;

#[derive(Clone, Debug, Default, Args)]
pub(super) struct ConsoleFlags {
    /// Reads commands from stdin, one a line; `help` lists them. Without it keys act at once on a terminal; ? lists them
    #[arg(long)]
    pub(super) commands: bool,
}

impl ConsoleFlags {
    /// Are commands read?
    pub(super) fn wanted(&self) -> bool {
        self.commands || terminal::is_ours()
    }
}

/// A command: what was typed, and what it means.
type Typed = (String, Result<Line, String>);

/// What a console remembers from one command to the next.
#[derive(Debug, Default)]
struct Memory {
    /// The call that commands without a number mean.
    focus: Option<CallId>,
    muted: HashSet<CallId>,
    /// How the sound devices of a call are used, where that was changed.
    sounds: HashMap<CallId, DeviceOptions>,
    /// The conference that was begun last.
    conference: Option<ConferenceId>,
}

/// An open console; a terminal is as it was when this is dropped.
#[derive(Debug)]
pub(super) struct Opened {
    _terminal: Option<Unbuffered>,
}

/// What commands act on.
pub(super) struct Console {
    pub(super) phone: Phone,
    pub(super) reporter: Reporter,
    /// The account that new calls and texts use.
    pub(super) account: Option<Account>,
    /// What a new call is like, but for its target.
    pub(super) dial: Dial,
    /// What calls are connected to.
    pub(super) io: Io,
    /// Rung when the user wants an end.
    pub(super) quit: Arc<Notify>,
    /// Lines, also on a terminal.
    pub(super) lines: bool,
}

impl Console {
    /// Reads commands until stdin ends, the phone has ended, or the user wants an end.
    pub(super) fn open(mut self) -> Opened {
        let (sender, mut typed) = mpsc::channel(WAITING);
        let terminal = if self.lines { None } else { Unbuffered::new() };
        // Reading stdin blocks, and cannot be called off: the thread ends with the process.
        if terminal.is_some() {
            self.reporter.heading("keys: h hold, m mute, t transfer, q hang up, 0-9 * # digits, ? all");
            let reporter = self.reporter.clone();
            std::thread::spawn(move || read_keys(&sender, &reporter));
        } else {
            std::thread::spawn(move || read_lines(&sender));
        }
        tokio::spawn(async move {
            let mut memory = Memory::default();
            while let Some((text, line)) = typed.recv().await {
                self.obey(&text, line, &mut memory).await;
            }
        });
        Opened { _terminal: terminal }
    }

    async fn obey(&mut self, text: &str, line: Result<Line, String>, memory: &mut Memory) {
        let done = match line {
            Ok(line) => self.carry_out(line, memory).await,
            Err(why) => Err(why),
        };
        match done {
            Ok((fields, sentence)) => {
                let mut reply = json!({"command": text, "ok": true});
                if let (Value::Object(reply), Value::Object(fields)) = (&mut reply, fields) {
                    reply.extend(fields);
                }
                self.reporter.event("command.reply", reply, &sentence);
            }
            Err(why) => {
                self.reporter.event("command.reply", json!({"command": text, "ok": false, "error": why}), &why);
            }
        }
    }

    async fn carry_out(&mut self, line: Line, memory: &mut Memory) -> Result<(Value, String), String> {
        let said = |error: CommandError| error.to_string();
        let calls = self.phone.snapshot().await.map_err(said)?.calls;
        memory.muted.retain(|muted| calls.iter().any(|(id, _)| id == muted));
        memory.sounds.retain(|whose, _| calls.iter().any(|(id, _)| id == whose));
        let Memory { focus, muted: silent, sounds, conference } = memory;
        if focus.is_none_or(|focus| !calls.iter().any(|(id, _)| *id == focus)) {
            *focus = newest(&calls);
        }
        let which = |which: Which| match which {
            Which::Current => focus.ok_or_else(|| "there is no call; `dial URI` makes one".to_owned()),
            Which::Number(number) => {
                let known = calls.iter().any(|(id, _)| id.0 == number);
                let none = || format!("there is no call {number}; `calls` lists them");
                known.then_some(CallId(number)).ok_or_else(none)
            }
        };
        let done = |call: CallId, sentence: &str| Ok((json!({"call": call.0}), sentence.to_owned()));
        let phone = &self.phone;
        let line = match line {
            Line::TurnHold => {
                let held = |(_, record): &&(CallId, Record)| {
                    record.metadata.get("held_by").is_some_and(|by| by == "local" || by == "both")
                };
                let current = calls.iter().find(|(id, _)| Some(*id) == *focus);
                if current.filter(held).is_some() { Line::Resume(Which::Current) } else { Line::Hold(Which::Current) }
            }
            Line::TurnMute => Line::Mute(focus.is_none_or(|focus| !silent.contains(&focus)), Which::Current),
            Line::TurnSideTone => {
                let sound = focus.and_then(|focus| sounds.get(&focus)).unwrap_or(&self.io.sound);
                let usual = Gain::from_db(USUAL_SIDE_TONE).unwrap_or_default();
                Line::SideTone(if sound.side_tone.is_some() { None } else { Some(usual) })
            }
            Line::HangupOrQuit if calls.is_empty() => Line::Quit,
            Line::HangupOrQuit => Line::Hangup(Which::Current),
            line => line,
        };
        match line {
            // Both are another command by now.
            Line::TurnHold | Line::TurnMute | Line::TurnSideTone | Line::HangupOrQuit => Ok((json!({}), String::new())),
            Line::Keys => Ok((json!({"help": keys::HELP}), keys::HELP.trim_end().to_owned())),
            Line::Help => Ok((json!({"help": line::HELP}), line::HELP.trim_end().to_owned())),
            Line::Quit => {
                self.quit.notify_one();
                Ok((json!({}), String::new()))
            }
            Line::Calls => Ok((json!({"calls": calls.iter().map(shown).collect::<Vec<_>>()}), table(&calls, *focus))),
            Line::Dial(target) => {
                let target = config::target(&target, self.account.as_ref()).map_err(|error| error.to_string())?;
                let dial = Dial { target, ..self.dial.clone() };
                let number = calls.iter().map(|(id, _)| id.0).max().unwrap_or_default() + 1;
                let call = phone.dial(dial, self.io.for_another(number)).await.map_err(said)?;
                *focus = Some(call);
                done(call, "")
            }
            Line::Answer(wanted) => {
                let ringing =
                    |record: &Record| record.direction == CallDirection::Inbound && record.answered_at.is_none();
                let first = || calls.iter().find(|(_, record)| ringing(record)).map(|(id, _)| *id);
                let call = match wanted {
                    Which::Current => first().ok_or("nobody calls")?,
                    number => which(number)?,
                };
                phone.answer(call, self.io.for_another(call.0)).await.map_err(said)?;
                *focus = Some(call);
                done(call, "")
            }
            Line::Reject(status) => {
                let ringing =
                    |record: &Record| record.direction == CallDirection::Inbound && record.answered_at.is_none();
                let call = calls.iter().find(|(_, record)| ringing(record)).map(|(id, _)| *id).ok_or("nobody calls")?;
                phone.reject(call, status).await.map_err(said)?;
                done(call, "")
            }
            Line::Hangup(wanted) => {
                let call = which(wanted)?;
                phone.hangup(call).await.map_err(said)?;
                done(call, "")
            }
            Line::Hold(wanted) => {
                let call = which(wanted)?;
                phone.hold(call).await.map_err(said)?;
                done(call, "")
            }
            Line::Resume(wanted) => {
                let call = which(wanted)?;
                phone.resume(call).await.map_err(said)?;
                *focus = Some(call);
                done(call, "")
            }
            Line::Mute(muted, wanted) => {
                let call = which(wanted)?;
                phone.mute(call, muted).await.map_err(said)?;
                if muted {
                    silent.insert(call)
                } else {
                    silent.remove(&call)
                };
                done(call, if muted { "muted: silence is sent" } else { "no longer muted" })
            }
            line @ (Line::Volume(_) | Line::Gain(_) | Line::SideTone(_)) => {
                let call = which(Which::Current)?;
                let mut sound = *sounds.get(&call).unwrap_or(&self.io.sound);
                let (adjust, sentence) = turned(&line, &mut sound);
                phone.adjust(call, adjust).await.map_err(said)?;
                sounds.insert(call, sound);
                done(call, &sentence)
            }
            Line::Dtmf(digits) => {
                let digits = config::digits(&digits).map_err(|error| error.to_string())?;
                let call = which(Which::Current)?;
                phone.dtmf(call, &digits).await.map_err(said)?;
                done(call, "")
            }
            Line::Conference(_)
            | Line::Bridge(..)
            | Line::Listen(_)
            | Line::Speak(_)
            | Line::Coach(_)
            | Line::Leave(_)
            | Line::Play(_)
            | Line::Silence(_)
            | Line::Record(_) => {
                let asked = join::Asked { phone, calls: &calls, focus: *focus };
                asked.carry_out(line, conference).await
            }
            Line::Codec(codecs) => {
                let call = which(Which::Current)?;
                phone.reoffer(call, Change::Codecs(codecs)).await.map_err(said)?;
                done(call, "")
            }
            Line::Address(local) => {
                let call = which(Which::Current)?;
                phone.move_media(call, local).await.map_err(said)?;
                done(call, "")
            }
            Line::Follow(wanted) => {
                let call = which(wanted)?;
                phone.decide_transfer(call, true).await.map_err(said)?;
                done(call, "")
            }
            Line::Stay(wanted) => {
                let call = which(wanted)?;
                phone.decide_transfer(call, false).await.map_err(said)?;
                done(call, "")
            }
            Line::Transfer(target) => {
                let target = config::target(&target, self.account.as_ref()).map_err(|error| error.to_string())?;
                let call = which(Which::Current)?;
                phone.transfer(call, target).await.map_err(said)?;
                done(call, "")
            }
            Line::Attended(other) => {
                let other = which(Which::Number(other))?;
                let talking = |record: &Record| record.answered_at.is_some() && record.ended_at.is_none();
                let one = calls.iter().rev().find(|(id, record)| *id != other && talking(record)).map(|(id, _)| *id);
                let call = focus.filter(|focus| *focus != other).or(one).ok_or("there is no second call to join")?;
                phone.transfer_attended(call, other).await.map_err(said)?;
                done(call, "")
            }
            Line::Message(target, text) => {
                let target = config::target(&target, self.account.as_ref()).map_err(|error| error.to_string())?;
                let id = phone.message(self.dial.account, target, &text).await.map_err(said)?;
                Ok((json!({"message_id": id.0}), String::new()))
            }
        }
    }
}

/// Turns a knob, and says how it stands.
fn turned(line: &Line, sound: &mut DeviceOptions) -> (Adjust, String) {
    let to = |turn: &Turn, now: Gain| match turn {
        Turn::To(gain) => *gain,
        Turn::By(db) => now.plus(*db),
    };
    match line {
        Line::Volume(turn) => {
            sound.output_gain = to(turn, sound.output_gain);
            (Adjust::OutputGain(sound.output_gain), format!("the far end is played at {} dB", sound.output_gain))
        }
        Line::Gain(turn) => {
            sound.input_gain = to(turn, sound.input_gain);
            (Adjust::InputGain(sound.input_gain), format!("the microphone is sent at {} dB", sound.input_gain))
        }
        line => {
            sound.side_tone = if let Line::SideTone(gain) = line { *gain } else { None };
            let text = sound.side_tone.map_or("no side tone".into(), |gain| format!("side tone at {gain} dB"));
            (Adjust::SideTone(sound.side_tone), text)
        }
    }
}

/// Hands on the lines of stdin.
fn read_lines(sender: &mpsc::Sender<Typed>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let text: String = line.trim().chars().take(LONGEST).collect();
        if !text.is_empty() && sender.blocking_send((text.clone(), line::parse(&text))).is_err() {
            return;
        }
    }
}

/// Hands on what keys mean, and shows what is typed where a key asks for more.
fn read_keys(sender: &mpsc::Sender<Typed>, reporter: &Reporter) {
    let mut keys = Keys::default();
    for octet in std::io::stdin().lock().bytes() {
        let Ok(octet) = octet else { return };
        match keys.press(octet) {
            Pressed::Nothing => {}
            Pressed::Prompt(text) => reporter.prompt(text.as_deref()),
            Pressed::Do(text, line) => {
                reporter.prompt(None);
                if sender.blocking_send((text, line)).is_err() {
                    return;
                }
            }
        }
    }
}

/// The call that commands without a number mean: the one that was answered last, or began last.
fn newest(calls: &[(CallId, Record)]) -> Option<CallId> {
    let talking = calls.iter().filter(|(_, record)| record.answered_at.is_some());
    talking.max_by_key(|(_, record)| record.answered_at).or(calls.last()).map(|(id, _)| *id)
}

fn shown((id, record): &(CallId, Record)) -> Value {
    json!({"call": id.0, "call_id": record.id, "direction": record.direction, "from": record.from, "to": record.to,
        "answered": record.answered_at.is_some()})
}

fn table(calls: &[(CallId, Record)], focus: Option<CallId>) -> String {
    if calls.is_empty() {
        return "no calls".into();
    }
    let rows = calls.iter().map(|(id, record)| {
        let (arrow, peer) = match record.direction {
            CallDirection::Inbound => ("from", &record.from),
            CallDirection::Outbound => ("to", &record.to),
        };
        let state = if record.answered_at.is_some() { "talking" } else { "ringing" };
        let mark = if focus == Some(*id) { '*' } else { ' ' };
        format!("{mark}{:>3}  {state}  {arrow} {peer}", id.0)
    });
    rows.collect::<Vec<_>>().join("\n")
}
