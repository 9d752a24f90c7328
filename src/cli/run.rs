//! `sidetone run`: every account of the configuration at once.

use super::answer::{RING_LIMIT, answer_after, recording};
use super::arguments::RunArguments;
use super::call_log::CallLog;
use super::console::Console;
use super::report::Reporter;
use super::signals::Stop;
use super::{Exit, environment, fail};
use crate::call::CallId;
use crate::call::record::{CallDirection, Record};
use crate::config::{self, ConfigError, Draft, OnCall, Profile};
use crate::phone::{AccountId, CallEvent, Dial, Event, Events, Io, Moment, Notice, Phone, Settings};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

/// An account while it runs.
#[derive(Clone, Debug)]
struct Line {
    profile: Profile,
    io: Io,
}

pub(super) async fn run(verb: RunArguments, db: Option<PathBuf>, reporter: Reporter) -> Exit {
    let (settings, lines, sentences) = match prepare(&verb, db) {
        Ok(prepared) => prepared,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    for sentence in sentences {
        reporter.say(&sentence);
    }
    let (phone, mut events) = match Phone::start(settings) {
        Ok(started) => started,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let mut stop = Stop::listen();
    let _log = CallLog::watch(&phone);
    let address = phone.bound().first().map(|address| address.to_string()).unwrap_or_default();
    let names: Vec<&str> = lines.iter().map(|line| line.profile.name.as_str()).collect();
    let text = format!("running {} on {address}", names.join(", "));
    reporter.event("phone.ready", serde_json::json!({"address": address, "accounts": names}), &text);
    for (id, line) in (0..).map(AccountId).zip(&lines) {
        if line.profile.register
            && let Err(error) = phone.register(id).await
        {
            eprintln!("sidetone: account {}: {error}", line.profile.name);
        }
    }
    let _console = lines.first().filter(|_| verb.console.wanted()).map(|line| {
        // Calls and texts that are typed go by the first account.
        let dial = Dial {
            account: AccountId(0),
            target: line.profile.account.aor.clone(),
            from_number: None,
            media: line.profile.media.clone(),
            ring_limit: RING_LIMIT,
            headers: Vec::new(),
        };
        let (phone, reporter, account) = (phone.clone(), reporter.clone(), Some(line.profile.account.clone()));
        let (io, quit) = (typed_io(line), stop.bell());
        Console { phone, reporter, account, dial, io, quit, lines: verb.console.commands }.open()
    });
    let mut exit = serve(&phone, &mut events, &reporter, &lines, &mut stop).await;
    let ending = phone.shutdown();
    tokio::pin!(ending);
    loop {
        tokio::select! {
            Some(event) = events.next() => tell(&reporter, &event),
            ended = &mut ending => {
                if let Err(unwritten) = ended {
                    exit = fail(Exit::Failed, &unwritten);
                }
                break;
            }
        }
    }
    // What was told before the end is printed before the end.
    while let Some(event) = events.try_next() {
        tell(&reporter, &event);
    }
    exit
}

fn prepare(verb: &RunArguments, db: Option<PathBuf>) -> Result<(Settings, Vec<Line>, Vec<String>), ConfigError> {
    let environment = environment();
    let mut draft = Draft::gather(verb.config.as_deref(), &environment)?;
    draft.over(verb.trace.over())?;
    let profiles = match verb.account.as_slice() {
        [] => draft.profiles()?,
        names => names.iter().map(|name| draft.profile(name)).collect::<Result<_, _>>()?,
    };
    if profiles.is_empty() {
        let file = draft.file().map_or_else(|| "a configuration file".to_owned(), |path| path.display().to_string());
        return Err(ConfigError::NoAccounts(file));
    }
    config::distinct(&profiles)?;
    let process = draft.process()?;
    let mut settings = process.settings(&profiles, db);
    settings.trace = process.recorder(settings.database.as_deref())?;
    // Who does not register is found at the port that everybody tries.
    let found = profiles.iter().any(|profile| !profile.register);
    settings.port = process.port.or(if found { None } else { Some(0) });
    let mut sentences = Vec::new();
    let lines = profiles.into_iter().map(|profile| line(profile, &mut sentences)).collect::<Result<_, _>>()?;
    sentences.dedup();
    Ok((settings, lines, sentences))
}

fn line(profile: Profile, sentences: &mut Vec<String>) -> Result<Line, ConfigError> {
    if let Some(directory) = &profile.record {
        config::recordings(directory)?;
    }
    let io = match profile.on_call {
        OnCall::Answer(_) => {
            let source = profile.source.clone().map(config::source).transpose()?;
            let (source, sink, said) = config::audio(source, profile.sink.clone());
            sentences.extend(said);
            Io { source, sink, record: None, music: profile.music.clone(), sound: profile.sound, ..Io::default() }
        }
        OnCall::Ring | OnCall::Reject(_) => Io::default(),
    };
    Ok(Line { profile, io })
}

/// What calls are connected to that are made or answered by hand.
fn typed_io(line: &Line) -> Io {
    let (source, sink, _) = config::audio(line.profile.source.clone(), line.profile.sink.clone());
    Io { source, sink, record: None, music: line.profile.music.clone(), sound: line.profile.sound, ..Io::default() }
}

/// Deals with calls by the policies of their accounts until the user wants an end.
async fn serve(phone: &Phone, events: &mut Events, reporter: &Reporter, lines: &[Line], stop: &mut Stop) -> Exit {
    let mut taken = HashSet::new();
    loop {
        tokio::select! {
            event = events.next() => {
                let Some(event) = event else { return Exit::Failed };
                tell(reporter, &event);
                match event {
                    Event::Call(event) => handle(phone, lines, &event, &mut taken).await,
                    Event::Lagged { .. } => {
                        let Ok(snapshot) = phone.snapshot().await else { return Exit::Failed };
                        let calls: HashMap<CallId, Record> = snapshot.calls.into_iter().collect();
                        taken.retain(|call| calls.contains_key(call));
                        // Calls whose ringing was missed get their due now.
                        for (call, record) in calls {
                            if record.answered_at.is_none() {
                                decide(phone, lines, call, &record, &mut taken).await;
                            }
                        }
                    }
                    _ => {}
                }
            }
            () = stop.requested() => return Exit::Ok,
        }
    }
}

async fn handle(phone: &Phone, lines: &[Line], event: &CallEvent, taken: &mut HashSet<CallId>) {
    match event.moment {
        Moment::Initiated | Moment::Ringing { .. } => decide(phone, lines, event.call, &event.record, taken).await,
        Moment::Ended => {
            taken.remove(&event.call);
        }
        _ => {}
    }
}

/// Does with a call what its account wants, once.
async fn decide(phone: &Phone, lines: &[Line], call: CallId, record: &Record, taken: &mut HashSet<CallId>) {
    if record.direction != CallDirection::Inbound {
        return;
    }
    let name = record.metadata.get("account_name").and_then(serde_json::Value::as_str);
    let Some(line) = lines.iter().find(|line| name == Some(&line.profile.name)) else { return };
    match line.profile.on_call {
        OnCall::Ring => {}
        OnCall::Reject(status) => {
            if taken.insert(call) {
                let _ = phone.reject(call, status).await;
            }
        }
        OnCall::Answer(ring) => {
            if line.profile.media.early_media && record.ringing_at.is_none() {
                // Early media is what the source says.
                let _ = phone.connect(call, line.io.clone()).await;
            }
            if record.ringing_at.is_some() && taken.insert(call) {
                let record_to = line
                    .profile
                    .record
                    .as_deref()
                    .map(|directory| recording(directory, &line.profile.record_name, record));
                answer_after(
                    phone,
                    call,
                    (!ring.is_zero()).then_some(ring),
                    Io { record: record_to, ..line.io.clone() },
                );
            }
        }
    }
}

fn tell(reporter: &Reporter, event: &Event) {
    match event {
        Event::Call(event) => reporter.call(event),
        Event::Registration(registration) => reporter.registration(registration),
        Event::Notice { kind: Notice::Trouble, text, .. } => eprintln!("sidetone: {text}"),
        Event::Notice { .. } => {}
        Event::Sound { call, sound } => reporter.sound(*call, sound),
        Event::Aside(aside) => reporter.aside(aside),
        Event::Recorded { call, recorded } => reporter.recording(*call, recorded),
        Event::Lagged { missed } => eprintln!("sidetone: {missed} events were missed"),
    }
}
