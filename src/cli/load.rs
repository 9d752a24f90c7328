//! `sidetone bench load` and `bench merge`: many calls with real media, by a schedule.

use super::report::Reporter;
use super::signals::Stop;
use super::{Exit, environment, fail, register};
use crate::bench::load::{self, Key, Model, Plan, Progress, Scenario, Stages, Tally, Threshold};
use crate::config::{self, AccountFlags, ConfigError, MediaFlags};
use crate::phone::{AccountId, Dial, Phone, Settings};
use crate::sip::uri::Uri;
use clap::Args;
use serde_json::json;
use std::error::Error;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

#[derive(Debug, Args)]
pub(super) struct LoadArguments {
    /// Whom to call, as a SIP URI, or an extension or number on the account's domain
    target: String,
    /// Calls a second, by stages: 10/s:30s,50/s:1m; however the far end copes
    #[arg(long, value_name = "STAGES", required_unless_present = "calls")]
    rate: Option<Stages>,
    /// Calls at a time, a new one whenever one ends
    #[arg(long, value_name = "N", conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    calls: Option<u32>,
    /// How long calls begin, with --calls
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    duration: f64,
    /// What each call does: call, dtmf, hold, or a TOML file
    #[arg(long, value_name = "NAME", default_value = "call")]
    scenario: String,
    /// How long the scenario's first talk lasts, in place of its own time
    #[arg(long, value_name = "SECONDS")]
    talk: Option<f64>,
    /// How many calls at a time are checked with markers; the far end has to echo
    #[arg(long, value_name = "N", default_value_t = 4)]
    check: usize,
    /// What has to hold, as 'call_setup_p95 < 800ms', 'mos_p05 > 3.8' or 'failures < 1%'; else exit code 99. May be repeated
    #[arg(long, value_name = "CONDITION")]
    threshold: Vec<Threshold>,
    #[command(flatten)]
    files: Files,
    /// Calls without registering first
    #[arg(long)]
    no_register: bool,
    #[command(flatten)]
    account: AccountFlags,
    #[command(flatten)]
    media: MediaFlags,
}

#[derive(Debug, Args)]
pub(super) struct MergeArguments {
    /// Results of `bench load --output`
    #[arg(required = true, num_args = 1..)]
    results: Vec<PathBuf>,
    /// What has to hold for all together; else exit code 99. May be repeated
    #[arg(long, value_name = "CONDITION")]
    threshold: Vec<Threshold>,
    #[command(flatten)]
    files: Files,
}

/// Where the result goes.
#[derive(Debug, Args)]
struct Files {
    /// Writes the result to this file as JSON, histograms included, for `bench merge`
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Writes a page of HTML with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Writes a row for each second
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Writes the thresholds as JUnit test cases
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// What the user asked for, checked.
struct Wish {
    settings: Settings,
    target: Uri,
    register: bool,
    plan: Plan,
}

pub(super) async fn run(verb: LoadArguments, reporter: Reporter) -> Exit {
    let Wish { settings, target, register, plan } = match wish(&verb) {
        Ok(wish) => wish,
        Err(error) => return fail(Exit::Configuration, &*error),
    };
    let media = settings.media.clone();
    let (phone, mut events) = match Phone::start(settings) {
        Ok(started) => started,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let mut stop = Stop::listen();
    if register {
        let exit = register::first(&phone, &mut events, &reporter, AccountId(0), true, &mut stop).await;
        if exit != Exit::Ok {
            let _ = phone.shutdown().await;
            return exit;
        }
    }
    let ring_limit = Duration::from_secs(60);
    let (account, from_number, headers) = (AccountId(0), None, Vec::new());
    let dial = Dial { account, target, from_number, media, ring_limit, headers };
    let (sender, keys) = keyboard();
    tokio::spawn(async move {
        // The first asks politely; calls end by their scenario. The second ends the process.
        stop.requested().await;
        let _ = sender.send(Key::Quit);
        stop.requested().await;
        std::process::exit(Exit::Failed as i32);
    });
    let (telling, interactive) = (reporter.clone(), std::io::stdin().is_terminal());
    if interactive {
        reporter.heading("keys, with Enter: + - one call more or less a second, * / ten, p pause, q quit");
    }
    let done = load::run(&phone, &mut events, dial, &plan, keys, |progress| tell(&telling, &progress)).await;
    // It keeps no call log that could fail.
    let _ = phone.shutdown().await;
    match done {
        Ok(tally) => conclude(&format!("load on {}", verb.target), &tally, &verb.threshold, &verb.files, &reporter),
        Err(error) => fail(Exit::Failed, &error),
    }
}

fn wish(verb: &LoadArguments) -> Result<Wish, Box<dyn Error>> {
    let environment = environment();
    let mut scenario = Scenario::load(&verb.scenario)?;
    if let Some(talk) = config::seconds("--talk", verb.talk)? {
        scenario = scenario.talking(talk);
    }
    let duration = config::seconds("--duration", Some(verb.duration))?.unwrap_or_default();
    let model = match (&verb.rate, verb.calls) {
        (Some(Stages(stages)), _) => Model::Open(stages.clone()),
        (None, calls) => Model::Closed { calls: calls.unwrap_or(1) as usize, duration },
    };
    let own = verb.account.profile(&verb.media, &environment)?;
    let target = config::target(&verb.target, own.as_ref().map(|own| &own.account))?;
    let register = own.as_ref().is_some_and(|own| own.register) && !verb.no_register;
    let profile = match own {
        Some(profile) => Ok::<_, ConfigError>(profile),
        None => verb.account.profile_or_local(&verb.media, &environment),
    }?;
    let media = profile.media.clone();
    let mut settings = verb.account.process(&environment, Vec::new())?.settings(&[profile], None);
    (settings.media, settings.database) = (media, None);
    Ok(Wish { settings, target, register, plan: Plan { model, scenario, checked: verb.check, seed: 1 } })
}

/// What is typed: SIPp's keys.
fn keyboard() -> (UnboundedSender<Key>, UnboundedReceiver<Key>) {
    let (sender, receiver) = unbounded_channel();
    let typed = sender.clone();
    // It waits for the keyboard for ever; the process does not wait for it.
    std::thread::spawn(move || {
        for octet in std::io::stdin().lock().bytes().map_while(Result::ok) {
            let key = match octet {
                b'+' => Key::Faster(1.0),
                b'-' => Key::Faster(-1.0),
                b'*' => Key::Faster(10.0),
                b'/' => Key::Faster(-10.0),
                b'p' => Key::Pause,
                b'q' => Key::Quit,
                _ => continue,
            };
            if typed.send(key).is_err() {
                return;
            }
        }
    });
    (sender, receiver)
}

fn tell(reporter: &Reporter, progress: &Progress<'_>) {
    let Progress { at, wanted, calls, paused, tally } = *progress;
    let (setup, lateness) = (tally.setup.quantile(0.95), tally.lateness.quantile(0.99));
    let ms = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.1}"));
    let text = format!(
        "{at:5.0} s  {} {wanted:6.1}  calls {calls:5}  begun {:7}  answered {:7}  failed {:5}  set-up p95 {:>7} ms  late p99 {:>5} ms",
        if paused { "paused" } else { "wanted" },
        tally.offered,
        tally.answered,
        tally.failed(),
        ms(setup),
        ms(lateness),
    );
    let fields = json!({
        "at_s": at, "wanted": wanted, "calls": calls, "paused": paused, "offered": tally.offered,
        "answered": tally.answered, "failed": tally.failed(), "setup_p95_ms": setup, "lateness_p99_ms": lateness,
    });
    reporter.event("load.progress", fields, &text);
}

pub(super) fn merge(verb: &MergeArguments, reporter: &Reporter) -> Exit {
    let mut whole: Option<Tally> = None;
    for path in &verb.results {
        let read = std::fs::read_to_string(path).map_err(|error| error.to_string());
        let tally = read.and_then(|text| serde_json::from_str::<Tally>(&text).map_err(|error| error.to_string()));
        match (tally, &mut whole) {
            (Err(error), _) => {
                let text = format!("{} is no result of `bench load --output`: {error}", path.display());
                return fail(Exit::Configuration, &text);
            }
            (Ok(tally), None) => whole = Some(tally),
            (Ok(tally), Some(whole)) => whole.merge(&tally),
        }
    }
    let name = format!("{} generators", verb.results.len());
    conclude(&name, &whole.unwrap_or_default(), &verb.threshold, &verb.files, reporter)
}

/// Prints, writes and judges.
fn conclude(name: &str, tally: &Tally, thresholds: &[Threshold], files: &Files, reporter: &Reporter) -> Exit {
    let write = |path: &Option<PathBuf>, text: &dyn Fn() -> String| match path {
        Some(path) => std::fs::write(path, text()).map_err(|error| (path.clone(), error)),
        None => Ok(()),
    };
    let json = || serde_json::to_string(tally).unwrap_or_default();
    let written = write(&files.output, &json)
        .and_then(|()| write(&files.html, &|| load::page(name, tally, thresholds)))
        .and_then(|()| write(&files.csv, &|| load::csv(tally)))
        .and_then(|()| write(&files.junit, &|| load::junit(name, tally, thresholds)));
    if let Err((path, error)) = written {
        return fail(Exit::Failed, &format!("{}: {error}", Path::display(&path)));
    }
    let faults = tally.faults();
    let judged: Vec<_> = thresholds.iter().map(|threshold| (threshold, threshold.judge(tally))).collect();
    summary(name, tally, &faults, reporter);
    for (threshold, (value, holds)) in &judged {
        let shown = value.map_or("nothing was measured".into(), |value| format!("{value:.3}"));
        let text = format!("  {}  {threshold}: {shown}", if *holds { "holds       " } else { "DOES NOT HOLD" });
        let fields = json!({"threshold": threshold.to_string(), "value": value, "holds": holds});
        reporter.event("load.threshold", fields, &text);
    }
    if !faults.is_empty() {
        return fail(
            Exit::Failed,
            &format!("the result is not valid, the generator itself was late: {}", faults.join("; ")),
        );
    }
    if judged.iter().any(|(_, (_, holds))| !holds) {
        return Exit::Threshold;
    }
    Exit::Ok
}

fn summary(name: &str, tally: &Tally, faults: &[String], reporter: &Reporter) {
    let mut lines = vec![format!(
        "{name}: {} calls, {} answered, {} failed, {} cut short; {} of {} packets lost; {} of {} markers lost",
        tally.offered,
        tally.answered,
        tally.failures.values().sum::<u64>(),
        tally.cut_short,
        tally.lost_packets,
        tally.packets + tally.lost_packets,
        tally.lost_markers,
        tally.markers
    )];
    let series = [
        ("call_setup", "ms", &tally.setup),
        ("post_dial_delay", "ms", &tally.post_dial),
        ("mos", "", &tally.mos),
        ("latency", "ms", &tally.latency),
        ("lateness", "ms", &tally.lateness),
    ];
    for (name, unit, series) in &series {
        let at = |share| series.quantile(share).map_or("-".to_owned(), |value| format!("{value:.2}"));
        lines.push(format!(
            "  {name:<16} min {:>8}  p05 {:>8}  p50 {:>8}  p95 {:>8}  p99 {:>8}  max {:>8} {unit}",
            at(0.0),
            at(0.05),
            at(0.5),
            at(0.95),
            at(0.99),
            at(1.0)
        ));
    }
    lines.extend(tally.failures.iter().map(|(reason, count)| format!("  failed {count}: {reason}")));
    let health = &tally.health;
    lines.push(format!(
        "  generator        {} of {} packet times late, {} left out, {} events missed, {:.2} s of processor time",
        health.late_ticks,
        health.ticks,
        health.skipped_ticks,
        health.missed_events,
        health.cpu_seconds.unwrap_or(0.0)
    ));
    let mut fields = json!({
        "name": name, "offered": tally.offered, "answered": tally.answered, "failed": tally.failed(),
        "cut_short": tally.cut_short, "failures": tally.failures, "markers": tally.markers,
        "lost_markers": tally.lost_markers, "packets": tally.packets, "lost_packets": tally.lost_packets,
        "health": health, "valid": faults.is_empty(), "faults": faults,
    });
    if let Some(fields) = fields.as_object_mut() {
        fields.extend(series.iter().map(|(name, _, series)| ((*name).to_owned(), json!(series.figures()))));
    }
    reporter.event("load.summary", fields, &lines.join("\n"));
}
