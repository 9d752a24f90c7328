//! `sidetone bench turnaround`: how long a phone that echoes keeps what it hears.

use super::report::Reporter;
use super::{Exit, fail};
use crate::bench::turnaround::{self, Pattern, Settings, Tally, UnknownPattern};
use crate::media::plan::{Codec, UnknownCodec};
use crate::sip::uri::Uri;
use clap::Args;
use serde_json::json;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct TurnaroundArguments {
    /// Whom to call, over UDP: a phone that echoes, such as `sidetone answer --source echo --sink null`
    #[arg(value_name = "SIP-URI")]
    target: String,
    /// How packets arrive there: clean, jitter:SIGMA_MS or bursts:PACKETS; may be repeated
    #[arg(long, value_name = "PATTERN", default_value = "clean")]
    arrival: Vec<String>,
    /// Calls for each pattern: every one meets another phase of the phone's clock
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    calls: u32,
    /// How long each call is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    duration: u64,
    /// How long each call lasts before: the phone learns what the network is like
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=600))]
    warm_up: u64,
    /// Codec of the calls
    #[arg(long, value_name = "CODEC", default_value = "pcmu")]
    codec: String,
    /// Audio in a packet
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(10..=60))]
    packet_time: u64,
}

/// Why the arguments say nothing that can be measured.
#[derive(Debug, thiserror::Error)]
enum ArgumentError {
    #[error("\"{0}\" is no SIP URI; write it as sip:USER@ADDRESS:PORT")]
    Target(String),
    #[error(transparent)]
    Pattern(#[from] UnknownPattern),
    #[error(transparent)]
    Codec(#[from] UnknownCodec),
}

impl TurnaroundArguments {
    fn settings(&self) -> Result<Vec<Settings>, ArgumentError> {
        let target: Uri = self.target.parse().map_err(|_| ArgumentError::Target(self.target.clone()))?;
        let codec: Codec = self.codec.parse()?;
        let settings = |pattern: &String| {
            Ok(Settings {
                target: target.clone(),
                codec,
                packet_time: Duration::from_millis(self.packet_time),
                pattern: pattern.parse::<Pattern>()?,
                duration: Duration::from_secs(self.duration),
                warm_up: Duration::from_secs(self.warm_up),
            })
        };
        self.arrival.iter().map(settings).collect()
    }
}

pub(super) async fn run(verb: TurnaroundArguments, reporter: Reporter) -> Exit {
    let settings = match verb.settings() {
        Ok(settings) => settings,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    for settings in settings {
        let mut all = Tally::default();
        for call in 1..=verb.calls {
            let asked = settings.clone();
            let tally = match tokio::task::spawn_blocking(move || turnaround::measure(&asked)).await {
                Ok(Ok(tally)) => tally,
                Ok(Err(error)) => return fail(Exit::Unreachable, &error),
                Err(error) => return fail(Exit::Failed, &error),
            };
            tell(&reporter, "turnaround.call", &settings, &tally, &format!("call {call}"));
            all.add(&tally);
        }
        tell(&reporter, "turnaround.summary", &settings, &all, "all");
        if all.turnaround().is_none() {
            return fail(Exit::Media, &"nothing came back; does the phone echo what it hears?");
        }
    }
    Exit::Ok
}

fn tell(reporter: &Reporter, event: &str, settings: &Settings, tally: &Tally, name: &str) {
    let pattern = settings.pattern.to_string();
    let turnaround = tally.turnaround();
    let times = turnaround.map_or("nothing came back".to_owned(), |times| {
        format!("median {:6.1} ms  5 % {:6.1}  95 % {:6.1}  max {:6.1}", times.median, times.p05, times.p95, times.max)
    });
    let text = format!(
        "{pattern:<10} {name:<8} {times}  intact {:7.3} % of {}  (sent late {:.1} ms p99)",
        tally.intact_percent(),
        tally.pieces,
        tally.late_p99(),
    );
    let fields = json!({
        "arrival": pattern,
        "codec": settings.codec.name(),
        "turnaround_ms": turnaround,
        "pieces": tally.pieces,
        "intact": tally.intact,
        "intact_percent": tally.intact_percent(),
        "sent_late_p99_ms": tally.late_p99(),
    });
    reporter.event(event, fields, &text);
}
