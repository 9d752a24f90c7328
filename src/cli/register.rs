//! `sidetone register`: registers an account and keeps it registered.

use super::arguments::RegisterArguments;
use super::report::Reporter;
use super::signals::Stop;
use super::{Exit, environment, fail};
use crate::config::{ConfigError, MediaFlags};
use crate::phone::{AccountId, Event, Events, Failure, Phone, RegistrationState, Settings};
use std::path::PathBuf;

pub(super) async fn run(verb: RegisterArguments, db: Option<PathBuf>, reporter: Reporter) -> Exit {
    let environment = environment();
    let profile = verb.watch.check().and_then(|()| verb.account.profile(&MediaFlags::default(), &environment));
    let settings = profile.and_then(|profile| {
        let profile = profile.ok_or(ConfigError::NoAccount("register"))?;
        if !profile.register {
            return Err(ConfigError::NotRegistering(profile.name));
        }
        let process = verb.account.process(&environment, verb.trace.over())?;
        let settings = process.settings(&[profile], db);
        let trace = process.recorder(settings.database.as_deref())?;
        // Nothing is called here.
        Ok(Settings { trace, database: None, ..settings })
    });
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let (phone, mut events) = match Phone::start(settings) {
        Ok(started) => started,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let account = AccountId(0);
    let mut stop = Stop::listen();
    let exit = match first(&phone, &mut events, &reporter, account, verb.once, &mut stop).await {
        Exit::Ok if !verb.once => match verb.watch.begin(&phone, account).await {
            Ok(()) => keep(&mut events, &reporter, &mut stop).await,
            Err(error) => fail(Exit::Configuration, &error),
        },
        exit => exit,
    };
    let ending = phone.shutdown();
    tokio::pin!(ending);
    loop {
        tokio::select! {
            Some(event) = events.next() => if let Event::Registration(registration) = event
                && exit == Exit::Ok
            {
                reporter.registration(&registration);
            },
            _ = &mut ending => break,
        }
    }
    // What was told before the end is printed before the end.
    while let Some(event) = events.try_next() {
        if let Event::Registration(registration) = event
            && exit == Exit::Ok
        {
            reporter.registration(&registration);
        }
    }
    exit
}

/// Registers and waits for the first outcome: registered, or failed for good (any failure with `once`).
pub(super) async fn first(
    phone: &Phone,
    events: &mut Events,
    reporter: &Reporter,
    account: AccountId,
    once: bool,
    stop: &mut Stop,
) -> Exit {
    if let Err(error) = phone.register(account).await {
        return fail(Exit::Failed, &error);
    }
    loop {
        tokio::select! {
            event = events.next() => {
                let registration = match event {
                    Some(Event::Registration(registration)) => registration,
                    // What a crash cut off is made whole meanwhile.
                    Some(Event::Recorded { call, recorded }) => {
                        reporter.recording(call, &recorded);
                        continue;
                    }
                    Some(_) => continue,
                    None => return Exit::Failed,
                };
                reporter.registration(&registration);
                match &registration.state {
                    RegistrationState::Registered { .. } => return Exit::Ok,
                    RegistrationState::Failed { failure, .. } => {
                        let exit = exit_of(failure);
                        // A wrong password does not heal; everything else is tried again.
                        if once || exit == Exit::Unauthorised {
                            if reporter.is_json() {
                                eprintln!("sidetone: {failure}");
                            }
                            return exit;
                        }
                    }
                    _ => {}
                }
            }
            () = stop.requested() => return Exit::Failed,
        }
    }
}

/// Reports what becomes of the registration until the user wants an end.
async fn keep(events: &mut Events, reporter: &Reporter, stop: &mut Stop) -> Exit {
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Registration(registration)) => reporter.registration(&registration),
                Some(Event::Aside(aside)) => reporter.aside(&aside),
                Some(Event::Recorded { call, recorded }) => reporter.recording(call, &recorded),
                Some(_) => {}
                None => return Exit::Failed,
            },
            () = stop.requested() => return Exit::Ok,
        }
    }
}

fn exit_of(failure: &Failure) -> Exit {
    match failure {
        Failure::Unauthorized { .. } => Exit::Unauthorised,
        Failure::Rejected { .. } | Failure::NotBound(_) | Failure::Challenge(_) => Exit::Rejected,
        _ => Exit::Unreachable,
    }
}
