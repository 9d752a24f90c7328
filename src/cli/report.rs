//! What a command prints: text for humans, with a live line on a terminal, or one JSON object per line.

use super::transfer;
use crate::audio::{Level, Way};
use crate::call::CallId;
use crate::call::record::{CallDirection, Record};
use crate::driver::Clock;
use crate::media::quality::Report as Quality;
use crate::phone::{CallEvent, Failure, Moment, Recorded, Registration, RegistrationState, Side, Sound};
use serde_json::{Map, Value, json};
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Where a command's output goes; one for the whole command.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    quiet: bool,
    json: bool,
    live: bool,
    clock: Clock,
    line: Arc<Mutex<LastLine>>,
    /// How the call stood at its last second.
    shown: Arc<Mutex<String>>,
}

/// What stands in the last line of the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum LastLine {
    #[default]
    Empty,
    /// How the call stands.
    Live,
    /// What the user types.
    Prompt(String),
}

/// Clears the last line.
const CLEAR: &str = "\r\x1b[K";

impl Reporter {
    /// JSON lines if `json`, else text.
    pub(super) fn new(json: bool) -> Self {
        let live = !json && std::io::stdout().is_terminal();
        Self { quiet: false, json, live, clock: Clock::new(), line: Arc::default(), shown: Arc::default() }
    }

    /// One that prints nothing.
    pub(super) fn quiet() -> Self {
        Self { quiet: true, ..Self::new(true) }
    }

    /// Is the output JSON?
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// One event: `fields` in JSON, `text` for humans (nothing if empty).
    pub(super) fn event(&self, event: &str, fields: Value, text: &str) {
        if !self.json {
            if !text.is_empty() {
                self.say(text);
            }
            return;
        }
        let at = self.clock.wall().at(self.clock.now());
        let mut object = Map::new();
        object.insert("event".into(), event.into());
        object.insert("at".into(), format!("{at:.3}").into());
        if let Value::Object(fields) = fields {
            object.extend(fields);
        }
        self.write(&format!("{}\n", Value::Object(object)));
    }

    /// A line that belongs to the text form only.
    pub(super) fn heading(&self, text: &str) {
        if !self.json {
            self.say(text);
        }
    }

    /// Text as it is: what was asked for is a document.
    pub(super) fn raw(&self, text: &str) {
        self.write(&format!("{text}\n"));
    }

    /// A line for humans; with JSON it goes to stderr, since stdout holds nothing but objects.
    pub(super) fn say(&self, text: &str) {
        if self.quiet {
            return;
        }
        if self.json {
            eprintln!("{text}");
        } else {
            self.write(&format!("{text}\n"));
        }
    }

    /// Replaces the live line, on a terminal only.
    pub(super) fn live(&self, text: &str) {
        if self.live {
            let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            if let LastLine::Prompt(_) = *line {
                return;
            }
            let mut out = std::io::stdout().lock();
            // A closed terminal is noticed by whoever ends the command.
            let _ = write!(out, "{CLEAR}{text}");
            let _ = out.flush();
            *line = LastLine::Live;
        }
    }

    /// Shows what the user types, or nothing any more. With JSON it stands on stderr.
    pub(super) fn prompt(&self, text: Option<&str>) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if text.is_none() && *line == LastLine::Empty {
            return;
        }
        let shown = text.unwrap_or_default();
        if self.json {
            eprint!("{CLEAR}{shown}");
        } else {
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "{CLEAR}{shown}");
            let _ = out.flush();
        }
        *line = text.map_or(LastLine::Empty, |text| LastLine::Prompt(text.to_owned()));
    }

    fn write(&self, text: &str) {
        if self.quiet {
            return;
        }
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = std::io::stdout().lock();
        // The prompt of JSON stands elsewhere.
        let prompt = match &*line {
            LastLine::Prompt(prompt) if !self.json => Some(prompt.clone()),
            _ => None,
        };
        if prompt.is_some() || *line == LastLine::Live {
            let _ = out.write_all(CLEAR.as_bytes());
        }
        let _ = out.write_all(text.as_bytes());
        match prompt {
            Some(prompt) => drop(out.write_all(prompt.as_bytes())),
            None if *line == LastLine::Live => *line = LastLine::Empty,
            None => {}
        }
        let _ = out.flush();
    }

    /// A registration changed.
    pub(super) fn registration(&self, registration: &Registration) {
        let now = self.clock.now();
        let aor = &registration.aor;
        match &registration.state {
            RegistrationState::Registered { contact, granted, .. } => {
                let seconds = granted.as_secs();
                let fields = json!({"account": aor, "contact": contact.to_string(), "expires": seconds});
                self.event(
                    "registration.registered",
                    fields,
                    &format!("registered {aor} for {seconds} s as {contact}"),
                );
            }
            RegistrationState::Failed { failure, failures, next, .. } => {
                let wait = next.since(now).as_secs();
                let fields = json!({"account": aor, "reason": failure.to_string(), "explanation": registration.explanation, "sip_code": code(failure),
                    "failures": failures, "next_attempt_in": wait});
                self.event(
                    "registration.failed",
                    fields,
                    &format!(
                        "registration of {aor} failed: {failure}{}; tried again in {wait} s",
                        because(registration)
                    ),
                );
            }
            RegistrationState::Unregistered => {
                self.event("registration.unregistered", json!({"account": aor}), &format!("unregistered {aor}"));
            }
            RegistrationState::Registering | RegistrationState::Unregistering => {}
        }
    }

    /// Something happened with the sound devices of a call.
    pub(super) fn sound(&self, call: CallId, sound: &Sound) {
        let way = |way: &Way| if *way == Way::In { "input" } else { "output" };
        match sound {
            Sound::Opened { way: which, name } => {
                let fields = json!({"call": call.0, "way": way(which), "name": name});
                let what = if *which == Way::In { "microphone" } else { "loudspeaker" };
                self.event("device.opened", fields, &format!("the {what} is {name}"));
            }
            Sound::Lost { way: which, why } => {
                self.event("device.lost", json!({"call": call.0, "way": way(which), "reason": why}), why);
            }
            Sound::Levels(levels) if self.json => {
                let level = |level: Option<Level>| {
                    let tenth = |value: f64| (value * 10.0).round() / 10.0;
                    level.map(|level| json!({"rms_dbfs": tenth(level.rms), "peak_dbfs": tenth(level.peak)}))
                };
                let fields = json!({"call": call.0, "input": level(levels.input), "output": level(levels.output)});
                self.event("device.levels", fields, "");
            }
            Sound::Levels(levels) => {
                let level = |level: Option<Level>| level.map_or("-".into(), |level| format!("{:.0}", level.rms));
                let text = format!("  mic {} dB  ear {} dB", level(levels.input), level(levels.output));
                let call = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
                self.live(&format!("{call}{text}"));
            }
        }
    }

    /// Tells that a recording is complete.
    pub(super) fn recording(&self, call: Option<CallId>, recorded: &Recorded) {
        let mut fields = serde_json::to_value(recorded).unwrap_or_default();
        if let (Value::Object(fields), Some(call)) = (&mut fields, call) {
            fields.insert("call".into(), call.0.into());
        }
        let path = recorded.path.display();
        let text = match (&recorded.error, recorded.repaired) {
            (Some(error), _) => error.clone(),
            (None, true) => format!("repaired {path}, which a crash cut off after {:.1} s", recorded.seconds),
            (None, false) => format!("recorded {:.1} s to {path}", recorded.seconds),
        };
        self.event("recording.ready", fields, &text);
    }

    /// Something happened in a call.
    pub(super) fn call(&self, event: &CallEvent) {
        let record = &*event.record;
        let peer = match record.direction {
            CallDirection::Inbound => &record.from,
            CallDirection::Outbound => &record.to,
        };
        let basic = |more: Value| {
            let mut fields =
                json!({"call_id": record.id, "direction": record.direction, "from": record.from, "to": record.to});
            merge(&mut fields, more);
            fields
        };
        match &event.moment {
            Moment::Initiated => {
                let text = match record.direction {
                    CallDirection::Inbound => format!("incoming call from {peer}"),
                    CallDirection::Outbound => format!("calling {peer}"),
                };
                self.event("call.initiated", basic(json!({"number": record.number, "account": record.account})), &text);
            }
            Moment::Ringing { early_media } => {
                let text = if *early_media { "ringing, with sound" } else { "ringing" };
                self.event("call.ringing", basic(json!({"early_media": early_media})), text);
            }
            Moment::Answered => {
                let media = json!({"codec": record.codec, "ptime_ms": record.ptime_ms, "srtp": record.srtp,
                    "transport": record.transport});
                // Of a call without an offer nothing is agreed yet.
                let sound = record.codec.as_ref().map(|codec| match &record.srtp {
                    Some(suite) => format!(": {codec}, SRTP {suite}"),
                    None => format!(": {codec}, plain RTP"),
                });
                let text = match record.direction {
                    CallDirection::Outbound => format!("answered by {peer}{}", sound.unwrap_or_default()),
                    CallDirection::Inbound => format!("answered {peer}{}", sound.unwrap_or_default()),
                };
                self.event("call.answered", basic(media), &text);
            }
            Moment::Held(by) => {
                let text = if *by == Side::Local { "held by us" } else { "held by the far end" };
                self.event("call.held", basic(json!({"by": by.name()})), text);
            }
            Moment::Resumed(by) => {
                let text = if *by == Side::Local { "resumed by us" } else { "resumed by the far end" };
                self.event("call.resumed", basic(json!({"by": by.name()})), text);
            }
            Moment::Secured => {
                let suite = record.srtp.as_deref().unwrap_or("none");
                self.event("call.secured", basic(json!({"srtp": suite})), &format!("media is encrypted: {suite}"));
            }
            Moment::Codec => {
                let codec = record.codec.as_deref().unwrap_or("none");
                self.event("call.codec", basic(json!({"codec": codec})), &format!("the codec is {codec} now"));
            }
            Moment::ChangeRefused(why) => self.event("call.change-refused", basic(json!({"reason": why})), why),
            Moment::Dtmf { digit, duration, way } => {
                let fields = json!({"digit": digit.to_string(), "duration_ms": duration.as_millis() as u64,
                    "by": way.name()});
                self.event("call.dtmf", basic(fields), &format!("DTMF {digit}"));
            }
            Moment::DtmfRefused { digit, status, reason } => {
                let fields = json!({"digit": digit.to_string(), "sip_code": status.code(), "reason": reason});
                let text = format!("the far end refused the digit {digit}: {status} {reason}");
                self.event("call.dtmf.refused", basic(fields), &text);
            }
            Moment::Transfer(transferred) => {
                let (name, fields, text) = transfer::told(transferred);
                self.event(name, basic(fields), &text);
            }
            Moment::Quality => {
                if self.json {
                    self.event("call.quality", basic(json!({"quality": record.quality})), "");
                } else {
                    let line = live_line(record, &self.clock);
                    self.live(&line);
                    *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = line;
                }
            }
            Moment::Ended => self.event("call.ended", json!({"call": record}), &ended(record)),
        }
    }
}

fn merge(fields: &mut Value, more: Value) {
    if let (Value::Object(fields), Value::Object(more)) = (fields, more) {
        fields.extend(more);
    }
}

fn code(failure: &Failure) -> Option<u16> {
    match failure {
        Failure::Unauthorized { status, .. } | Failure::Rejected { status, .. } => Some(status.0),
        _ => None,
    }
}

/// The explanation, where it says more than the failure.
fn because(registration: &Registration) -> String {
    let code = match &registration.state {
        RegistrationState::Failed { failure, .. } => code(failure),
        _ => None,
    };
    registration.explanation.as_ref().filter(|_| code.is_some()).map(|why| format!("\n{why}")).unwrap_or_default()
}

/// State, timer, codec, MOS, loss.
fn live_line(record: &Record, clock: &Clock) -> String {
    let now = clock.wall().at(clock.now());
    let since = record.answered_at.unwrap_or(record.created_at);
    let seconds = now.duration_since(since).as_secs().max(0);
    let state = if record.answered_at.is_some() { "talking" } else { "ringing" };
    let secure = if record.srtp.is_some() { " SRTP" } else { "" };
    let heard = &record.quality.inbound;
    let far = &record.quality.outbound;
    format!(
        "{state} {:02}:{:02}  {}{secure}  MOS {} (far end {})  loss {}  jitter {}",
        seconds / 60,
        seconds % 60,
        record.codec.as_deref().unwrap_or("no codec"),
        number(heard.mos, 2, ""),
        number(far.mos, 2, ""),
        number(heard.loss_percent, 1, " %"),
        number(heard.jitter_ms, 1, " ms"),
    )
}

/// The summary of a call.
fn ended(record: &Record) -> String {
    let status = serde_json::to_value(record.status).ok();
    let status = status.as_ref().and_then(Value::as_str).unwrap_or_default();
    let mut text = match record.talk_seconds {
        Some(seconds) => format!("{status} after {seconds:.1} s"),
        None => status.to_owned(),
    };
    if let (None, Some(code)) = (record.answered_at, record.sip_code) {
        text += &format!(": {code} {}", record.sip_reason.as_deref().unwrap_or_default());
    }
    if let Some(reason) = record.metadata.get("reason").and_then(Value::as_str) {
        text += &format!(" ({reason})");
    }
    // What the far end says about it (RFC 3261 section 20.43).
    if let Some(warning) = record.metadata.get("warning").and_then(Value::as_str) {
        text += &format!(" - {}", warning.split('"').nth(1).unwrap_or(warning));
    }
    if let Some(why) = record.metadata.get("explanation").and_then(Value::as_str)
        && !text.contains(why)
    {
        text += &format!("\n{why}");
    }
    if record.answered_at.is_some() {
        text += &format!("\n{}", quality_table(&record.quality));
    }
    if let Some(path) = &record.recording {
        text += &format!("\nrecorded in {}", path.display());
    }
    text
}

/// Both directions, side by side.
fn quality_table(quality: &Quality) -> String {
    let (heard, far) = (&quality.inbound, &quality.outbound);
    let whole = |value: Option<i64>| value.map_or("-".to_owned(), |value| value.to_string());
    let rows = [
        ("packets", heard.packets.to_string(), far.packets.to_string()),
        ("lost", heard.lost.to_string(), whole(far.lost)),
        ("loss", number(heard.loss_percent, 2, " %"), number(far.loss_percent, 2, " %")),
        ("late", heard.late.to_string(), "-".to_owned()),
        ("jitter", number(heard.jitter_ms, 2, " ms"), number(far.jitter_ms, 2, " ms")),
        ("round trip", "-".to_owned(), number(far.round_trip_ms, 2, " ms")),
        ("buffer", number(heard.buffer_ms, 1, " ms"), "-".to_owned()),
        ("R factor", number(heard.r_factor, 1, ""), number(far.r_factor, 1, "")),
        ("MOS", number(heard.mos, 2, ""), number(far.mos, 2, "")),
    ];
    let mut table = format!("{:>12}  {:>12}  {:>12}", "", "what we hear", "far end");
    for (name, heard, far) in rows {
        table += &format!("\n{name:>12}  {heard:>12}  {far:>12}");
    }
    table
}

fn number(value: Option<f64>, digits: usize, unit: &str) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}{unit}"))
}
