//! `sidetone bench`: the instruments, each with a file of its own.

use super::Exit;
use super::impair::{self, ImpairArguments};
use super::latency::{self, LatencyArguments};
use super::load::{self, LoadArguments, MergeArguments};
use super::playout::{self, PlayoutArguments};
use super::report::Reporter;
use super::target::{self, TargetArguments};
use super::turnaround::{self, TurnaroundArguments};
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(super) struct BenchArguments {
    #[command(subcommand)]
    verb: BenchVerb,
}

#[derive(Debug, Subcommand)]
enum BenchVerb {
    /// Relays UDP through a network that loses, delays, reorders and repeats packets, and tells what it did to each
    Impair(Box<ImpairArguments>),
    /// Calls whoever echoes and measures the latency of media from mouth to ear and back, and where the time goes
    Latency(Box<LatencyArguments>),
    /// Measures how long a phone that echoes keeps what it hears, and whether it gives it back whole
    Turnaround(Box<TurnaroundArguments>),
    /// Puts speech through a bad network and records what our playout, or a phone that echoes, makes of it
    Playout(Box<PlayoutArguments>),
    /// Makes many calls with real media by a schedule and judges what becomes of them
    Load(Box<LoadArguments>),
    /// Puts results of several generators together
    Merge(MergeArguments),
    /// Answers and echoes whatever comes: the other side of `load` and `latency`
    Target(Box<TargetArguments>),
}

pub(super) async fn run(verb: BenchArguments, reporter: Reporter) -> Exit {
    match verb.verb {
        BenchVerb::Impair(verb) => impair::run(verb, reporter).await,
        BenchVerb::Latency(verb) => latency::run(*verb, reporter).await,
        BenchVerb::Turnaround(verb) => turnaround::run(*verb, reporter).await,
        BenchVerb::Playout(verb) => playout::run(*verb, reporter).await,
        BenchVerb::Load(verb) => load::run(*verb, reporter).await,
        BenchVerb::Merge(verb) => load::merge(&verb, &reporter),
        BenchVerb::Target(verb) => target::run(*verb, reporter).await,
    }
}
