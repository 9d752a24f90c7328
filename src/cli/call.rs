//! `sidetone call`: calls somebody.

use super::arguments::CallArguments;
use super::call_log::CallLog;
use super::console::Console;
use super::report::Reporter;
use super::signals::Stop;
use super::{Exit, environment, fail, register};
use crate::audio::{DeviceOptions, Source};
use crate::call::CallId;
use crate::call::record::Record;
use crate::config::{self, ConfigError};
use crate::phone::{AccountId, Dial, Event, Events, Io, Moment, Notice, Phone, Settings};
use crate::sip::identity;
use crate::time::Duration;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use tokio::time::{Sleep, sleep};

/// What the user asked for, checked.
struct Wish {
    settings: Settings,
    dial: Dial,
    io: Io,
    register: bool,
    digits: Option<String>,
    duration: Option<Duration>,
    min_mos: Option<f64>,
    sentences: Vec<String>,
}

pub(super) async fn run(verb: Box<CallArguments>, db: Option<PathBuf>, reporter: Reporter) -> Exit {
    let wish = match wish(&verb, db) {
        Ok(wish) => wish,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let account = wish.settings.accounts.first().cloned();
    let Wish { settings, dial, io, register, digits, duration, min_mos, sentences } = wish;
    for sentence in sentences {
        reporter.say(&sentence);
    }
    let (phone, mut events) = match Phone::start(settings) {
        Ok(started) => started,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let mut stop = Stop::listen();
    let _log = CallLog::watch(&phone);
    if register {
        let exit = register::first(&phone, &mut events, &reporter, dial.account, true, &mut stop).await;
        if exit != Exit::Ok {
            let _ = phone.shutdown().await;
            return exit;
        }
    }
    let _console = verb.console.wanted().then(|| {
        let (phone, reporter, quit) = (phone.clone(), reporter.clone(), stop.bell());
        let lines = verb.console.commands;
        Console { phone, reporter, account, dial: dial.clone(), io: io.clone(), quit, lines }.open()
    });
    let record_to = io.record.clone();
    // A file that is played once is the whole wish, unless a duration is given.
    let until_source_ends = duration.is_none() && matches!(io.source, Source::File { repeat: false, .. });
    let exit = match phone.dial(dial, io).await {
        Err(error) => fail(Exit::Configuration, &error),
        Ok(call) => {
            let plan = Conduct { digits, duration, until_source_ends };
            match conduct(&phone, &mut events, &reporter, call, plan, &mut stop).await {
                Some(record) => judge(&record, min_mos, record_to.as_deref(), &reporter),
                None => Exit::Failed,
            }
        }
    };
    let written = phone.shutdown().await;
    // A call that was still under way has ended with the phone.
    while let Some(event) = events.try_next() {
        if let Event::Call(event) = event {
            reporter.call(&event);
        }
    }
    match written {
        Ok(()) => exit,
        Err(unwritten) => {
            let written = fail(Exit::Failed, &unwritten);
            if exit == Exit::Ok { written } else { exit }
        }
    }
}

fn wish(verb: &CallArguments, db: Option<PathBuf>) -> Result<Wish, ConfigError> {
    let environment = environment();
    let own = verb.account.profile(&verb.media, &environment)?;
    let target = config::target(&verb.target, own.as_ref().map(|own| &own.account))?;
    let register = own.as_ref().is_some_and(|own| own.register) && !verb.no_register;
    let profile = match own {
        Some(profile) => profile,
        None => verb.account.profile_or_local(&verb.media, &environment)?,
    };
    let (media, music) = (profile.media.clone(), profile.music.clone());
    let sound = DeviceOptions { levels: verb.media.sound.levels(), ..profile.sound };
    let mut flags = verb.trace.over();
    flags.extend(verb.media.sound.over());
    let process = verb.account.process(&environment, flags)?;
    let mut settings = process.settings(&[profile], db);
    settings.trace = process.recorder(settings.database.as_deref())?;
    settings.media = media.clone();
    let ring_limit = config::seconds("--ring-limit", Some(verb.ring_limit))?.unwrap_or(Duration::MAX);
    let digits = verb.dtmf.as_deref().map(config::digits).transpose()?;
    let duration = config::seconds("--duration", verb.duration)?;
    let min_mos = config::min_mos(verb.min_mos)?;
    if let Some(directory) = verb.record.as_deref().and_then(|path| path.parent()) {
        config::recordings(directory)?;
    }
    let source = verb.source.clone().map(config::source).transpose()?;
    let (source, sink, sentences) = config::audio(source, verb.sink.clone());
    config::named_devices(&source, &sink)?;
    let io = Io { source, sink, record: verb.record.clone(), music, sound, ..Io::default() };
    let anonymous = verb.anonymous.then(|| identity::ANONYMOUS.to_owned());
    let from_number = anonymous.or_else(|| verb.from_number.as_deref().map(config::dialled));
    let headers = verb.header.iter().map(|text| config::header(text)).collect::<Result<_, _>>()?;
    let dial = Dial { account: AccountId(0), target, from_number, media, ring_limit, headers };
    Ok(Wish { settings, dial, io, register, digits, duration, min_mos, sentences })
}

/// What a call is made to do once it is answered.
#[derive(Debug)]
pub(super) struct Conduct {
    /// Digits to send.
    pub(super) digits: Option<String>,
    /// Hangs up so long after the answer.
    pub(super) duration: Option<Duration>,
    /// Hangs up when the source has been played.
    pub(super) until_source_ends: bool,
}

/// Follows a call to its end; the record, or nothing if the phone ended first.
pub(super) async fn conduct(
    phone: &Phone,
    events: &mut Events,
    reporter: &Reporter,
    mut call: CallId,
    plan: Conduct,
    stop: &mut Stop,
) -> Option<Record> {
    let mut hangup: Option<Pin<Box<Sleep>>> = None;
    let mut interrupts = 0;
    // The call that was asked for, when others outlive it.
    let mut first = None;
    loop {
        tokio::select! {
            event = events.next() => match event? {
                Event::Call(event) if event.call == call => {
                    reporter.call(&event);
                    match event.moment {
                        Moment::Answered => {
                            hangup = plan.duration.map(|duration| Box::pin(sleep(duration)));
                            if let Some(digits) = &plan.digits
                                && let Err(error) = phone.dtmf(call, digits).await
                            {
                                eprintln!("sidetone: {error}");
                            }
                        }
                        Moment::Ended => {
                            let record = first.take().unwrap_or(*event.record);
                            // Another call goes on: a transfer made it, or the user did.
                            let others = phone.snapshot().await.ok().map(|snapshot| snapshot.calls).unwrap_or_default();
                            let Some((next, _)) = others.last() else { return Some(record) };
                            (call, hangup, first) = (*next, None, Some(record));
                        }
                        _ => {}
                    }
                }
                Event::Notice { call: whose, kind, text } if whose == call => match kind {
                    Notice::SourceEnded if plan.until_source_ends => {
                        let _ = phone.hangup(call).await;
                    }
                    Notice::Trouble => eprintln!("sidetone: {text}"),
                    Notice::Moved => reporter.say(&text),
                    Notice::SourceEnded | Notice::PlayEnded | Notice::DtmfSent => {}
                },
                Event::Sound { call, sound } => reporter.sound(call, &sound),
                Event::Registration(registration) => reporter.registration(&registration),
                Event::Aside(aside) => reporter.aside(&aside),
                Event::Recorded { call, recorded } => reporter.recording(call, &recorded),
                Event::Lagged { missed } => {
                    eprintln!("sidetone: {missed} events were missed");
                    let calls = phone.snapshot().await.ok()?.calls;
                    if !calls.iter().any(|(id, _)| *id == call) {
                        return None;
                    }
                }
                Event::Call(event) => reporter.call(&event),
                Event::Notice { .. } => {}
            },
            () = elapsed(&mut hangup) => {
                hangup = None;
                let _ = phone.hangup(call).await;
            }
            () = stop.requested() => {
                interrupts += 1;
                if interrupts > 1 || phone.hangup(call).await.is_err() {
                    return None;
                }
            }
        }
    }
}

/// Waits for the end of a time that runs; for ever if none does.
async fn elapsed(time: &mut Option<Pin<Box<Sleep>>>) {
    match time {
        Some(time) => time.await,
        None => std::future::pending().await,
    }
}

/// The exit code of a call, with what its sound was worth.
fn judge(record: &Record, min_mos: Option<f64>, record_to: Option<&Path>, reporter: &Reporter) -> Exit {
    let exit = Exit::of_call(record);
    if exit == Exit::Ok && record_to.is_some() && record.recording.is_none() {
        // What went wrong was told when it did.
        return Exit::Failed;
    }
    let Some(wanted) = min_mos.filter(|_| exit == Exit::Ok) else { return exit };
    let heard = record.quality.inbound.mos;
    let lowest = [heard, record.quality.outbound.mos].into_iter().flatten().fold(f64::INFINITY, f64::min);
    if heard.is_none() {
        reporter.say("nothing was heard, so there is no MOS to compare with --min-mos");
        return Exit::Media;
    }
    if lowest < wanted {
        reporter.say(&format!("the MOS of {lowest:.2} is below the {wanted} that was asked for"));
        return Exit::Media;
    }
    Exit::Ok
}
