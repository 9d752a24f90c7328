//! `sidetone bench impair`: a relay that makes a network bad.

use super::report::Reporter;
use super::signals::Stop;
use super::{Exit, fail};
use crate::bench::impair::{Direction, Pair, Recipe, RecipeError, Relay, RelayError, Route, Sheet, Totals};
use clap::Args;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct ImpairArguments {
    /// Where the client sends to
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Where it goes
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    /// Relays the next port, too: RTCP of RTP
    #[arg(long)]
    rtp_ports: bool,
    /// Share of packets that are lost: 0.02 or 2%
    #[arg(long, value_name = "P", conflicts_with = "gilbert_elliott")]
    loss: Option<String>,
    /// Loss in bursts: into the bad state, out of it, passing in the bad state, in the good one (0.01,0.3 or 0.01,0.3,0,1)
    #[arg(long, value_name = "P,R[,H,K]")]
    gilbert_elliott: Option<String>,
    /// Delay of each packet
    #[arg(long, value_name = "MS")]
    delay: Option<String>,
    /// What comes on top: constant, uniform:MS, normal:MS, pareto:MS[,SHAPE] or spikes:SHARE,MS
    #[arg(long, value_name = "DIST")]
    jitter: Option<String>,
    /// Share of packets that are held back, so that others pass them
    #[arg(long, value_name = "P")]
    reorder: Option<String>,
    /// Share of packets that arrive twice
    #[arg(long, value_name = "P")]
    duplicate: Option<String>,
    /// Bits a second, headers included: 64000, 64k or 1.5M
    #[arg(long, value_name = "BITS")]
    rate: Option<String>,
    /// How long packets queue for the rate before they are dropped
    #[arg(long, value_name = "MS")]
    queue: Option<String>,
    /// Nothing passes: START+LENGTH in seconds from the first packet on; may be repeated
    #[arg(long, value_name = "START+LENGTH")]
    outage: Vec<String>,
    /// Jitter may change the order of packets
    #[arg(long)]
    unordered: bool,
    /// The way back, if it is another: settings as above between blanks, such as "loss=0.1 delay=20", or none
    #[arg(long, value_name = "SETTINGS")]
    reverse: Option<String>,
    /// The same seed does the same to the same packets
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// What happened to each packet, one JSON object a line
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Ends after so long; with a signal when absent
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
}

impl ImpairArguments {
    /// The way there and the way back.
    fn recipes(&self) -> Result<[Recipe; 2], RecipeError> {
        let mut recipe = Recipe::default();
        let settings = [
            ("loss", &self.loss),
            ("gilbert-elliott", &self.gilbert_elliott),
            ("delay", &self.delay),
            ("jitter", &self.jitter),
            ("reorder", &self.reorder),
            ("duplicate", &self.duplicate),
            ("rate", &self.rate),
            ("queue", &self.queue),
        ];
        for (name, value) in settings {
            if let Some(value) = value {
                recipe.set(name, value)?;
            }
        }
        for outage in &self.outage {
            recipe.set("outage", outage)?;
        }
        recipe.unordered = self.unordered;
        let reverse = self.reverse.as_deref().map_or_else(|| Ok(recipe.clone()), str::parse)?;
        Ok([recipe, reverse])
    }
}

pub(super) async fn run(verb: Box<ImpairArguments>, reporter: Reporter) -> Exit {
    let recipes = match verb.recipes() {
        Ok(recipes) => recipes,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let found = verb
        .to
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.find(|address| address.is_ipv4() == verb.listen.is_ipv4()));
    let Some(to) = found else {
        return fail(Exit::Configuration, &format!("--to {} is no address; write it as HOST:PORT", verb.to));
    };
    let sheet = match verb.report.as_deref().map(Sheet::create) {
        None => Sheet::Nowhere,
        Some(Ok(sheet)) => sheet,
        Some(Err(error)) => return fail(Exit::Configuration, &format!("--report: {error}")),
    };
    let pair = if verb.rtp_ports { Pair::Rtp } else { Pair::One };
    let relay = match Relay::start(Route { listen: verb.listen, to, pair }, recipes, verb.seed, sheet) {
        Ok(relay) => relay,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let mut stop = Stop::listen();
    let listen = relay.listen().to_string();
    let (text, seed) = (format!("relaying {listen} to {to}"), verb.seed);
    reporter.event("impair.ready", serde_json::json!({"listen": listen, "to": to.to_string(), "seed": seed}), &text);
    match verb.duration.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(duration) => {
            tokio::select! {
                () = tokio::time::sleep(duration) => {}
                () = stop.requested() => {}
            }
        }
        None => stop.requested().await,
    }
    match tokio::task::spawn_blocking(move || relay.finish()).await {
        Ok(finished) => summary(&reporter, finished.map(|(totals, _)| totals)),
        Err(error) => fail(Exit::Failed, &error),
    }
}

fn summary(reporter: &Reporter, totals: Result<[Totals; 2], RelayError>) -> Exit {
    let totals = match totals {
        Ok(totals) => totals,
        Err(error) => return fail(Exit::Failed, &error),
    };
    for (direction, totals) in [Direction::Forward, Direction::Reverse].into_iter().zip(&totals) {
        let name = if direction == Direction::Forward { "there" } else { "back " };
        let late = &totals.late_us;
        let text = format!(
            "{name}  {} in, {} out, {} lost, {} in outages, {} in the queue, {} copies, {} held back; \
             sent late by {:.0} us in the mean, {:.0} us p99, {:.0} us at most",
            totals.received,
            totals.delivered,
            totals.lost,
            totals.outage,
            totals.queue,
            totals.duplicated,
            totals.held_back,
            late.mean,
            late.p99,
            late.max,
        );
        let mut json = serde_json::to_value(totals).unwrap_or_default();
        if let Some(json) = json.as_object_mut() {
            json.insert("direction".into(), serde_json::to_value(direction).unwrap_or_default());
        }
        reporter.event("impair.summary", json, &text);
    }
    Exit::Ok
}
