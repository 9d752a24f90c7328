//! `sidetone bench target`: answers and echoes whatever comes.

use super::report::Reporter;
use super::signals::Stop;
use super::{Exit, environment, fail};
use crate::audio::Source;
use crate::config::{self, AccountFlags, MediaFlags};
use crate::phone::{Event, Io, Moment, Phone};
use clap::Args;
use serde_json::json;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep};

#[derive(Debug, Args)]
pub(super) struct TargetArguments {
    /// Rings so long before it answers
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    ring: f64,
    /// Declines every call with this status
    #[arg(long, value_name = "STATUS")]
    reject: Option<u16>,
    /// What is sent: echo, tone:HZ, file:PATH, loop:PATH or silence
    #[arg(long, value_name = "SOURCE", default_value = "echo")]
    source: Source,
    #[command(flatten)]
    account: AccountFlags,
    #[command(flatten)]
    media: MediaFlags,
}

pub(super) async fn run(verb: TargetArguments, reporter: Reporter) -> Exit {
    let environment = environment();
    let checked = || {
        let profile = verb.account.profile_or_local(&verb.media, &environment)?;
        let media = profile.media.clone();
        let process = verb.account.process(&environment, Vec::new())?;
        let mut settings = process.settings(&[profile], None);
        settings.port = process.port.or(Some(5060));
        (settings.media, settings.database, settings.take_unclaimed) = (media, None, true);
        // Whoever calls is meant to, as often as he likes.
        settings.guard = None;
        let ring = config::seconds("--ring", (verb.ring != 0.0).then_some(verb.ring))?;
        Ok::<_, config::ConfigError>((
            settings,
            ring,
            config::reject(verb.reject)?,
            config::source(verb.source.clone())?,
        ))
    };
    let (settings, ring, reject, source) = match checked() {
        Ok(checked) => checked,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let (phone, mut events) = match Phone::start(settings) {
        Ok(started) => started,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let address = phone.bound().first().map(|address| address.to_string()).unwrap_or_default();
    reporter.event("target.ready", json!({"address": address}), &format!("answering at {address}"));
    let mut stop = Stop::listen();
    let mut each_second = interval(Duration::from_secs(1));
    each_second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut open, mut taken, mut told) = (HashSet::new(), 0u64, (0, 0));
    loop {
        tokio::select! {
            event = events.next() => match event {
                None => return fail(Exit::Failed, &"the phone has ended"),
                Some(Event::Call(event)) => match event.moment {
                    Moment::Initiated => {
                        taken += 1;
                        open.insert(event.call);
                        if let Some(status) = reject {
                            // It may have been given up.
                            let _ = phone.reject(event.call, status).await;
                        }
                    }
                    Moment::Ringing { .. } if reject.is_none() => {
                        let io = Io { source: source.clone(), ..Io::default() };
                        match ring {
                            None => drop(phone.answer(event.call, io).await),
                            Some(ring) => {
                                let phone = phone.clone();
                                tokio::spawn(async move {
                                    sleep(ring).await;
                                    drop(phone.answer(event.call, io).await);
                                });
                            }
                        }
                    }
                    Moment::Ended => {
                        open.remove(&event.call);
                    }
                    _ => {}
                },
                Some(_) => {}
            },
            _ = each_second.tick() => {
                if told != (taken, open.len()) {
                    told = (taken, open.len());
                    let text = format!("{taken} calls taken, {} open", open.len());
                    reporter.event("target.progress", json!({"taken": taken, "open": open.len()}), &text);
                }
            }
            () = stop.requested() => break,
        }
    }
    let health: Vec<_> = phone.snapshot().await.map(|snapshot| snapshot.media).unwrap_or_default();
    let (late, ticks) = health.iter().fold((0, 0), |(late, ticks), load| (late + load.late_ticks, ticks + load.ticks));
    let text = format!("{taken} calls taken; {late} of {ticks} packet times were more than 5 ms late");
    reporter.event("target.summary", json!({"taken": taken, "ticks": ticks, "late_ticks": late}), &text);
    // It keeps no call log that could fail.
    let _ = phone.shutdown().await;
    Exit::Ok
}
