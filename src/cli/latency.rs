//! `sidetone bench latency`: how long media takes from mouth to ear and back.

use super::report::Reporter;
use super::signals::Stop;
use super::{Exit, environment, fail, register};
use crate::bench::impair::{Recipe, RecipeError};
use crate::bench::latency::{self, FarEnd, LatencyError, Leg, Measurement, Plan, Probe, Summary};
use crate::bench::statistics::Distribution;
use crate::config::{self, AccountFlags, ConfigError, MediaFlags};
use crate::phone::{AccountId, Dial, Phone, Settings};
use crate::sip::uri::Uri;
use clap::Args;
use serde_json::json;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Seed of the resampling of comparisons.
const SEED: u64 = 1;

#[derive(Debug, Args)]
pub(super) struct LatencyArguments {
    /// Whom to call: whoever echoes, as a SIP URI, or an extension or number on the account's domain
    #[arg(required_unless_present_any = ["own", "compare"])]
    target: Option<String>,
    /// Calls a far end of our own on this machine, and measures each way
    #[arg(long = "self", conflicts_with = "target")]
    own: bool,
    /// The network between the two ends: settings of `bench impair` between blanks, such as "delay=40 loss=1%"
    #[arg(long, value_name = "SETTINGS", requires = "own")]
    impair: Option<String>,
    /// The way back, if it is another; or none
    #[arg(long, value_name = "SETTINGS", requires = "impair")]
    impair_back: Option<String>,
    /// How long each call is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    duration: f64,
    /// How long each call lasts before: jitter buffers learn what the network is like
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    warm_up: f64,
    /// Mean time from marker to marker
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    interval: f64,
    /// A marker that takes longer is lost
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    longest: f64,
    /// Calls: each meets another phase of the clocks
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeat: u32,
    /// Calls without registering first
    #[arg(long)]
    no_register: bool,
    /// Writes every marker to this file, as JSON
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Compares two such files instead of calling: the latency of the second less that of the first
    #[arg(long, num_args = 2, value_names = ["FIRST", "SECOND"], conflicts_with_all = ["target", "own", "output"])]
    compare: Option<Vec<PathBuf>>,
    #[command(flatten)]
    account: AccountFlags,
    #[command(flatten)]
    media: MediaFlags,
}

/// What the user asked for, checked.
struct Wish {
    settings: Settings,
    target: Uri,
    register: bool,
    plan: Plan,
    far: Option<FarEnd>,
    impairment: Option<String>,
}

pub(super) async fn run(verb: LatencyArguments, reporter: Reporter) -> Exit {
    if let Some([first, second]) = verb.compare.as_deref() {
        return match (read(first), read(second)) {
            (Ok(first), Ok(second)) => compare(&first, &second, &reporter),
            (Err(error), _) | (_, Err(error)) => fail(Exit::Configuration, &*error),
        };
    }
    let wish = match wish(&verb) {
        Ok(wish) => wish,
        Err(error) => return fail(Exit::Configuration, &*error),
    };
    let Wish { settings, target, register, plan, far, impairment } = wish;
    let media = settings.media.clone();
    let (phone, mut events) = match Phone::start(settings) {
        Ok(started) => started,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let mut stop = Stop::listen();
    let mut exit = Exit::Ok;
    if register {
        exit = register::first(&phone, &mut events, &reporter, AccountId(0), true, &mut stop).await;
    }
    let mut measurement = Measurement { target: target.to_string(), impairment, calls: Vec::new() };
    for number in 1..=verb.repeat {
        if exit != Exit::Ok || stop.was_requested() {
            break;
        }
        let dial = Dial {
            account: AccountId(0),
            target: target.clone(),
            from_number: None,
            media: media.clone(),
            ring_limit: Duration::from_secs(60),
            headers: Vec::new(),
        };
        let progress = Progress::new(reporter.clone(), number);
        let known = move |probe: &Probe| progress.tell(probe);
        match latency::measure(&phone, &mut events, dial, &plan, far.as_ref(), stop.requested(), known).await {
            Ok(call) => measurement.calls.push(call),
            Err(LatencyError::Ended(record)) => {
                exit = match Exit::of_call(&record) {
                    Exit::Ok => Exit::Media,
                    exit => exit,
                };
                fail(exit, &LatencyError::Ended(record));
            }
            Err(error) => exit = fail(Exit::Failed, &error),
        }
    }
    // It keeps no call log that could fail.
    let _ = phone.shutdown().await;
    let network = far.as_ref().and_then(FarEnd::network);
    if let Some(far) = far {
        far.end().await;
    }
    if exit != Exit::Ok {
        return exit;
    }
    if let Some(path) = &verb.output
        && let Err(error) = write(path, &measurement)
    {
        return fail(Exit::Failed, &*error);
    }
    let summary = measurement.summary();
    tell(&reporter, &measurement, &summary);
    for (way, totals) in ["there", "back"].iter().zip(network.iter().flatten()) {
        let text = format!(
            "  relay {way:<5} {} packets, {} lost, {} in outages; sent late by {:.2} ms (99 of 100)",
            totals.received,
            totals.lost,
            totals.outage,
            totals.late_us.p99 / 1_000.0
        );
        reporter.event("latency.network", json!({"way": way, "totals": totals}), &text);
    }
    if summary.latency.is_none() && !stop.was_requested() {
        return fail(Exit::Media, &"no marker came back; does the far end echo what it hears?");
    }
    Exit::Ok
}

fn wish(verb: &LatencyArguments) -> Result<Wish, Box<dyn Error>> {
    let environment = environment();
    let seconds = |flag, value| Ok::<_, ConfigError>(config::seconds(flag, Some(value))?.unwrap_or_default());
    let plan = Plan {
        warm_up: if verb.warm_up == 0.0 { Duration::ZERO } else { seconds("--warm-up", verb.warm_up)? },
        duration: seconds("--duration", verb.duration)?,
        interval: seconds("--interval", verb.interval)?,
        longest: seconds("--longest", verb.longest)?,
    };
    let own = verb.account.profile(&verb.media, &environment)?;
    let register = own.as_ref().is_some_and(|own| own.register) && !verb.no_register && !verb.own;
    let target = verb.target.as_deref().map(|target| config::target(target, own.as_ref().map(|own| &own.account)));
    let target = target.transpose()?;
    let profile = match own {
        Some(profile) => profile,
        None => verb.account.profile_or_local(&verb.media, &environment)?,
    };
    if let Some(target) = target {
        let media = profile.media.clone();
        let mut settings = verb.account.process(&environment, Vec::new())?.settings(&[profile], None);
        (settings.media, settings.database) = (media, None);
        return Ok(Wish { settings, target, register, plan, far: None, impairment: None });
    }
    let recipe = |text: &String| text.parse::<Recipe>();
    let impairment = verb.impair.as_ref().map(|there| {
        Ok::<_, RecipeError>(([recipe(there)?, recipe(verb.impair_back.as_ref().unwrap_or(there))?], SEED))
    });
    let far = FarEnd::start(&profile.media, impairment.transpose()?)?;
    let (settings, _) = far.caller(&profile.media)?;
    let impairment = verb.impair.as_ref().map(|there| match &verb.impair_back {
        Some(back) => format!("{there}; back {back}"),
        None => there.clone(),
    });
    Ok(Wish { settings, target: far.uri(), register, plan, far: Some(far), impairment })
}

/// Tells now and then how it goes.
struct Progress {
    reporter: Reporter,
    number: u32,
    /// When it was told last, seconds into the call, and what became known since.
    since: Mutex<(f64, Vec<Option<f64>>)>,
}

impl Progress {
    fn new(reporter: Reporter, number: u32) -> Arc<Self> {
        Arc::new(Self { reporter, number, since: Mutex::default() })
    }

    fn tell(&self, probe: &Probe) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, latencies) = &mut *since;
        latencies.push(probe.latency_ms);
        if probe.at < *told + 5.0 {
            return;
        }
        *told = probe.at;
        let known: Vec<f64> = latencies.iter().flatten().copied().collect();
        let lost = latencies.len() - known.len();
        latencies.clear();
        let p50 = Distribution::of(&known).map(|known| known.p50);
        let text = format!(
            "call {}  {:5.0} s  {} markers, {lost} lost, median {} ms",
            self.number,
            probe.at,
            known.len() + lost,
            p50.map_or("-".into(), |p50| format!("{p50:.2}"))
        );
        let fields = json!({"call": self.number, "at_s": probe.at, "found": known.len(), "lost": lost, "p50_ms": p50});
        self.reporter.event("latency.progress", fields, &text);
    }
}

fn write(path: &Path, measurement: &Measurement) -> Result<(), Box<dyn Error>> {
    let text = serde_json::to_string(measurement)?;
    std::fs::write(path, text).map_err(|error| format!("--output {}: {error}", path.display()).into())
}

fn read(path: &Path) -> Result<Measurement, Box<dyn Error>> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| {
        format!("{} is no measurement: {error}; write one with `bench latency --output`", path.display()).into()
    })
}

fn tell(reporter: &Reporter, measurement: &Measurement, summary: &Summary) {
    let call = measurement.calls.first();
    let text = text(measurement, summary);
    let mut fields = json!({
        "target": measurement.target,
        "impairment": measurement.impairment,
        "calls": measurement.calls.len(),
        "codec": call.map(|call| &call.codec),
        "packet_time_ms": call.map(|call| call.packet_time_ms),
        "srtp": call.and_then(|call| call.srtp.as_ref()),
    });
    if let (Some(fields), Ok(serde_json::Value::Object(more))) = (fields.as_object_mut(), serde_json::to_value(summary))
    {
        fields.extend(more);
    }
    reporter.event("latency.summary", fields, &text);
}

fn text(measurement: &Measurement, summary: &Summary) -> String {
    let mut lines = Vec::new();
    if let Some(call) = measurement.calls.first() {
        let srtp = call.srtp.as_deref().unwrap_or("no SRTP");
        let network =
            measurement.impairment.as_ref().map(|network| format!(", network: {network}")).unwrap_or_default();
        lines.push(format!(
            "{}: {} calls, {} every {} ms, {srtp}{network}",
            measurement.target,
            measurement.calls.len(),
            call.codec,
            call.packet_time_ms
        ));
    }
    let distribution = |of: &Distribution| {
        format!("min {:7.2}  p50 {:7.2}  p95 {:7.2}  p99 {:7.2}  max {:7.2} ms", of.min, of.p50, of.p95, of.p99, of.max)
    };
    let Summary { sent, found, lost, damaged, .. } = summary;
    lines.push(format!("  markers          {sent} sent, {found} found, {lost} lost, {damaged} damaged"));
    if let Some(latency) = &summary.latency {
        lines.push(format!("  mouth to ear     {}", distribution(latency)));
    }
    if let Some(drift) = summary.drift_ms_per_minute {
        let ppm = summary.drift_ppm.unwrap_or(0.0);
        lines.push(format!(
            "  drift            {:+.3} ± {:.3} ms a minute ({ppm:+.1} ppm)",
            drift.slope, drift.uncertainty
        ));
    }
    if let Some(stages) = &summary.stages {
        let network = stages.network;
        let far = if network.is_some() { "far side" } else { "network and far side" };
        let rows = [
            ("packetisation", Some(stages.packetisation)),
            ("sending", Some(stages.sending)),
            ("network (RTCP)", network),
            (far, Some(stages.far_side)),
            ("jitter buffer", Some(stages.jitter_buffer)),
            ("codec look-ahead", Some(stages.codec)),
            ("decoding", Some(stages.decoding)),
            ("playout", Some(stages.playout)),
        ];
        lines.push("  where the time goes, means".into());
        lines.extend(rows.iter().filter_map(|(name, value)| Some(format!("    {name:<21}{:8.2} ms", (*value)?))));
    }
    for (way, leg) in [("there", &summary.there), ("back", &summary.back)] {
        let Some(Leg { latency, packetisation, sending, network, jitter_buffer, codec, decoding }) = leg else {
            continue;
        };
        lines.push(format!("  one way, {way:<8}{}", distribution(latency)));
        lines.push(format!(
            "    packetisation {packetisation:.2}, sending {sending:.2}, network {:.2} (p95 {:.2}), jitter buffer {jitter_buffer:.2}, \
             codec {codec:.2}, decoding {decoding:.2} ms",
            network.p50, network.p95
        ));
    }
    lines.extend(summary.doubts.iter().map(|doubt| format!("  DOUBT: {doubt}")));
    lines.join("\n")
}

fn compare(first: &Measurement, second: &Measurement, reporter: &Reporter) -> Exit {
    for (name, share) in [("p50", 0.5), ("p95", 0.95)] {
        let Some(difference) = second.differs(first, share, SEED) else {
            return fail(Exit::Media, &"one of the measurements found no marker, so there is nothing to compare");
        };
        let verdict = match (difference.is_certain(), difference.difference > 0.0) {
            (false, _) => "no certain difference",
            (true, true) => "the second is slower",
            (true, false) => "the second is faster",
        };
        let by = if difference.by_group { "calls" } else { "markers: five calls each would say more" };
        let text = format!(
            "{name}  {:+.2} ms, 95 % confidence {:+.2} to {:+.2} ms: {verdict} (resampled {by})",
            difference.difference, difference.low, difference.high
        );
        let fields = json!({"quantile": name, "difference_ms": difference, "certain": difference.is_certain()});
        reporter.event("latency.comparison", fields, &text);
    }
    Exit::Ok
}
