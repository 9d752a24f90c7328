//! `sidetone answer`: takes calls, several at once.

use super::arguments::AnswerArguments;
use super::call_log::CallLog;
use super::console::Console;
use super::report::Reporter;
use super::signals::Stop;
use super::{Exit, environment, fail, register};
use crate::audio::{DeviceOptions, Source, Template};
use crate::call::record::{CallDirection, Record};
use crate::call::{CallId, MediaOptions};
use crate::config::{self, ConfigError};
use crate::phone::{AccountId, Dial, Event, Events, Io, Moment, Notice, Phone, Settings};
use crate::time::Duration;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// How long a call of the console rings.
pub(super) const RING_LIMIT: Duration = Duration::from_secs(120);

/// What the user asked for, checked.
struct Wish {
    settings: Settings,
    io: Io,
    register: bool,
    conduct: Conduct,
    sentences: Vec<String>,
}

/// What is done with each call.
#[derive(Clone)]
struct Conduct {
    record: Option<PathBuf>,
    record_name: Template,
    max_calls: Option<u64>,
    reject: Option<u16>,
    early_media: bool,
    manual: bool,
    ring: Option<Duration>,
    duration: Option<Duration>,
    until_source_ends: bool,
}

pub(super) async fn run(verb: Box<AnswerArguments>, db: Option<PathBuf>, reporter: Reporter) -> Exit {
    let wish = match wish(&verb, db) {
        Ok(wish) => wish,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let Wish { settings, io, register, conduct, sentences } = wish;
    let (account, media) = (settings.accounts.first().cloned(), settings.media.clone());
    for sentence in sentences {
        reporter.say(&sentence);
    }
    let (phone, mut events) = match Phone::start(settings) {
        Ok(started) => started,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let mut stop = Stop::listen();
    let _log = CallLog::watch(&phone);
    let bound = phone.bound();
    let address = bound.first().map(|address| address.to_string()).unwrap_or_default();
    reporter.event("phone.ready", serde_json::json!({"address": address}), &format!("taking calls on {address}"));
    if register {
        let exit = register::first(&phone, &mut events, &reporter, AccountId(0), false, &mut stop).await;
        if exit != Exit::Ok {
            let _ = phone.shutdown().await;
            return exit;
        }
    }
    if let Err(error) = verb.watch.begin(&phone, AccountId(0)).await {
        let _ = phone.shutdown().await;
        return fail(Exit::Configuration, &error);
    }
    let target = account.as_ref().map(|account| account.aor.clone());
    let _console = target.filter(|_| verb.console.wanted()).map(|target| {
        let dial = Dial {
            account: AccountId(0),
            target,
            from_number: None,
            media,
            ring_limit: RING_LIMIT,
            headers: Vec::new(),
        };
        let (phone, reporter, quit) = (phone.clone(), reporter.clone(), stop.bell());
        let lines = verb.console.commands;
        Console { phone, reporter, account, dial, io: io.clone(), quit, lines }.open()
    });
    let mut exit = take_calls(&phone, &mut events, &reporter, &io, &conduct, &mut stop).await;
    let ending = phone.shutdown();
    tokio::pin!(ending);
    loop {
        tokio::select! {
            Some(event) = events.next() => match event {
                Event::Call(event) => reporter.call(&event),
                Event::Registration(registration) => reporter.registration(&registration),
                Event::Aside(aside) => reporter.aside(&aside),
                Event::Recorded { call, recorded } => reporter.recording(call, &recorded),
                Event::Notice { .. } | Event::Sound { .. } | Event::Lagged { .. } => {}
            },
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
        match event {
            Event::Call(event) => reporter.call(&event),
            Event::Registration(registration) => reporter.registration(&registration),
            Event::Aside(aside) => reporter.aside(&aside),
            Event::Recorded { call, recorded } => reporter.recording(call, &recorded),
            Event::Notice { .. } | Event::Sound { .. } | Event::Lagged { .. } => {}
        }
    }
    exit
}

fn wish(verb: &AnswerArguments, db: Option<PathBuf>) -> Result<Wish, ConfigError> {
    let environment = environment();
    let own = verb.account.profile(&verb.media, &environment)?;
    if own.is_none() && !verb.no_register {
        return Err(ConfigError::NoAccount("answer"));
    }
    verb.watch.check()?;
    let register = own.as_ref().is_some_and(|own| own.register) && !verb.no_register;
    // Whoever is nobody's account still needs a name to call from: for a transfer, or a command.
    let profile = match own {
        Some(own) => own,
        None => verb.account.profile_or_local(&verb.media, &environment)?,
    };
    let (media, music) = (profile.media.clone(), profile.music.clone());
    let (early_media, policy, dtmf) = (media.early_media, profile.conduct, profile.account.dtmf);
    let sound = DeviceOptions { levels: verb.media.sound.levels(), ..profile.sound };
    let mut flags = verb.callers.over(&verb.account.trust);
    flags.extend(verb.trace.over());
    flags.extend(verb.media.sound.over());
    let process = verb.account.process(&environment, flags)?;
    let mut settings = process.settings(&[profile], db);
    // Who takes calls without a registrar is found at the port that everybody tries.
    settings.port = process.port.or(Some(if register { 0 } else { 5060 }));
    settings.take_unclaimed |= verb.no_register;
    settings.guard = Some(process.guard(settings.take_unclaimed));
    settings.trace = process.recorder(settings.database.as_deref())?;
    // Calls that no account claims get what the account would.
    settings.conduct = policy;
    settings.media = MediaOptions { dtmf: Some(dtmf), ..media };
    if let Some(directory) = &verb.record {
        config::recordings(directory)?;
    }
    let ring = (verb.ring != 0.0).then_some(verb.ring);
    let source = verb.source.clone().map(config::source).transpose()?;
    let (source, sink, sentences) = config::audio(source, verb.sink.clone());
    let conduct = Conduct {
        record: verb.record.clone(),
        record_name: verb.record_name.clone(),
        max_calls: verb.max_calls,
        reject: config::reject(verb.reject)?,
        early_media,
        manual: verb.manual,
        ring: config::seconds("--ring", ring)?,
        duration: config::seconds("--duration", verb.duration)?,
        until_source_ends: verb.duration.is_none() && matches!(source, Source::File { repeat: false, .. }),
    };
    config::named_devices(&source, &sink)?;
    let io = Io { source, sink, record: None, music, sound, ..Io::default() };
    Ok(Wish { settings, io, register, conduct, sentences })
}

async fn take_calls(
    phone: &Phone,
    events: &mut Events,
    reporter: &Reporter,
    io: &Io,
    conduct: &Conduct,
    stop: &mut Stop,
) -> Exit {
    let mut ended = 0;
    let mut open = HashSet::new();
    loop {
        tokio::select! {
            event = events.next() => match event {
                None => return Exit::Failed,
                Some(Event::Call(event)) => {
                    reporter.call(&event);
                    match event.moment {
                        Moment::Initiated => {
                            open.insert(event.call);
                            let inbound = event.record.direction == CallDirection::Inbound;
                            match conduct.reject {
                                Some(status) if inbound => drop(phone.reject(event.call, status).await),
                                None if conduct.early_media && inbound => {
                                    let io = io_of(io, conduct, &event.record);
                                    drop(phone.connect(event.call, io).await);
                                }
                                _ => {}
                            }
                        }
                        Moment::Ringing { .. } if conduct.reject.is_none() => {
                            take(phone, event.call, conduct, &event.record, io);
                        }
                        Moment::Answered => hang_up_after(phone, event.call, conduct.duration),
                        Moment::Ended => {
                            open.remove(&event.call);
                            ended += 1;
                            if conduct.max_calls.is_some_and(|most| ended >= most) {
                                return Exit::Ok;
                            }
                        }
                        _ => {}
                    }
                }
                Some(Event::Notice { call, kind, text }) => match kind {
                    Notice::SourceEnded if conduct.until_source_ends => {
                        let _ = phone.hangup(call).await;
                    }
                    Notice::Trouble => eprintln!("sidetone: {text}"),
                    _ => {}
                },
                Some(Event::Sound { call, sound }) => reporter.sound(call, &sound),
                Some(Event::Registration(registration)) => reporter.registration(&registration),
                Some(Event::Aside(aside)) => reporter.aside(&aside),
                Some(Event::Recorded { call, recorded }) => reporter.recording(call, &recorded),
                Some(Event::Lagged { missed }) => {
                    eprintln!("sidetone: {missed} events were missed");
                    let Ok(snapshot) = phone.snapshot().await else { return Exit::Failed };
                    let alive: HashSet<CallId> = snapshot.calls.iter().map(|(id, _)| *id).collect();
                    ended += open.difference(&alive).count() as u64;
                    // Calls whose ringing was missed are answered now.
                    for (call, record) in snapshot.calls {
                        if record.answered_at.is_none() {
                            take(phone, call, conduct, &record, io);
                        }
                    }
                    open = alive;
                }
            },
            () = stop.requested() => return Exit::Ok,
        }
    }
}

/// Answers a call that came in, when the caller wants it (if the policy lets him) or the user said.
fn take(phone: &Phone, call: CallId, conduct: &Conduct, record: &Record, io: &Io) {
    if record.direction != CallDirection::Inbound {
        return;
    }
    let wished = record.metadata.get("auto_answer_after").and_then(serde_json::Value::as_u64);
    let wait = match wished {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None if conduct.manual => return,
        None => conduct.ring,
    };
    answer_after(phone, call, wait, io_of(io, conduct, record));
}

/// Answers a call after the time that it shall ring.
pub(super) fn answer_after(phone: &Phone, call: CallId, ring: Option<Duration>, io: Io) {
    let phone = phone.clone();
    tokio::spawn(async move {
        if let Some(ring) = ring {
            tokio::time::sleep(ring).await;
        }
        // A caller that gave up meanwhile is in the log.
        let _ = phone.answer(call, io).await;
    });
}

fn hang_up_after(phone: &Phone, call: CallId, duration: Option<Duration>) {
    let Some(duration) = duration else { return };
    let phone = phone.clone();
    tokio::spawn(async move {
        tokio::time::sleep(duration).await;
        let _ = phone.hangup(call).await;
    });
}

/// The audio of one call: the same for all, but each with a recording of its own.
fn io_of(io: &Io, conduct: &Conduct, record: &Record) -> Io {
    Io {
        record: conduct.record.as_deref().map(|directory| recording(directory, &conduct.record_name, record)),
        ..io.clone()
    }
}

/// Where the recording of a call goes, by a template for its name.
pub(super) fn recording(directory: &Path, name: &Template, record: &Record) -> PathBuf {
    let user = |uri: &str| {
        let user = uri.split(['@', ';']).next().unwrap_or_default();
        user.rsplit(':').next().unwrap_or_default().to_owned()
    };
    let time = format!("{:.0}", record.created_at);
    let (date, time) = time.trim_end_matches('Z').split_once('T').unwrap_or_default();
    let account = record.metadata.get("account_name").and_then(serde_json::Value::as_str);
    let account = account.map_or_else(|| user(record.account.as_deref().unwrap_or_default()), str::to_owned);
    name.path(directory, |field| match field {
        "date" => date.to_owned(),
        "time" => time.replace(':', "-"),
        "account" => account.clone(),
        "from" => user(&record.from),
        "to" => user(&record.to),
        "number" => record.number.clone().unwrap_or_default(),
        "direction" => match record.direction {
            CallDirection::Inbound => "inbound".into(),
            CallDirection::Outbound => "outbound".into(),
        },
        _ => record.id.rsplit('-').next().unwrap_or_default().to_owned(),
    })
}
