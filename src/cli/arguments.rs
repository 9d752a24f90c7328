//! What can be typed.

use super::console::ConsoleFlags;
use super::doctor::DoctorArguments;
use super::outside::WatchFlags;
use super::trace::TraceArguments;
use crate::audio::{Sink, Source, Template};
use crate::call::record::{CallDirection, Status};
use crate::config::{AccountFlags, CallerFlags, MediaFlags, TraceFlags};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A SIP phone without a desk: registers, calls, answers, measures and logs.
#[derive(Debug, Parser)]
#[command(name = "sidetone", version, about, after_help = EXIT_CODES)]
pub(super) struct Arguments {
    /// One JSON object per line on stdout, and nothing else there
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// The call log; SIDETONE_DB or the user's data directory when absent
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) db: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 failed, 2 usage, 3 rejected, 4 unauthorised, 5 time-out or unreachable, \
    6 busy or declined, 7 media failure, 8 configuration, 99 a threshold of a bench does not hold.\n\
    The password of an account is read from SIDETONE_PASSWORD or --password-file, never from the command line.\n\
    SIDETONE_LOG=debug prints what happens inside to stderr.";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Registers at a built-in registrar, calls a built-in peer twice, records, measures and logs
    Demo(DemoArguments),
    /// Registers an account and keeps it registered
    Register(Box<RegisterArguments>),
    /// Calls somebody
    Call(Box<CallArguments>),
    /// Runs all accounts of the configuration: registers, takes calls by their policies, tells what happens
    Run(RunArguments),
    /// Checks, prints or explains the configuration
    Config(ConfigArguments),
    /// Takes calls
    Answer(Box<AnswerArguments>),
    /// Sends a text
    Message(Box<MessageArguments>),
    /// Rates a connection by the E-model (ITU-T G.107) that the calls use
    Quality(QualityArguments),
    /// Shows the call log
    History(HistoryArguments),
    /// Examines an account: names, transports, registration, address translation, a test call
    Doctor(Box<DoctorArguments>),
    /// Shows what was said on the wire: every call and registration leaves a trace
    Trace(TraceArguments),
    /// Instruments: the latency of media, load, the turnaround of a phone, a network that is bad on purpose
    Bench(super::bench::BenchArguments),
    /// Lists the sound devices
    Devices,
}

#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Length of each call
    #[arg(long, value_name = "SECONDS", default_value_t = 4.0)]
    pub(super) seconds: f64,
    /// Only one call, with this codec
    #[arg(long, value_name = "CODEC")]
    pub(super) codec: Option<String>,
    /// Where the recordings go; a directory of its own below the system's temporary one when absent
    #[arg(long, value_name = "DIR")]
    pub(super) record: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Configuration file; $SIDETONE_CONFIG, the user's or the machine's when absent
    #[arg(long, value_name = "PATH")]
    pub(super) config: Option<PathBuf>,
    /// Only these accounts; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(super) account: Vec<String>,
    #[command(flatten)]
    pub(super) console: ConsoleFlags,
    #[command(flatten)]
    pub(super) trace: TraceFlags,
}

#[derive(Debug, Args)]
pub(super) struct ConfigArguments {
    #[command(subcommand)]
    pub(super) verb: ConfigVerb,
    /// Configuration file; $SIDETONE_CONFIG, the user's or the machine's when absent
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Says whether everything in it can be used
    Check,
    /// Prints every value with its origin, secrets masked
    Print,
    /// Prints the JSON schema of the file
    Schema,
}

#[derive(Debug, Args)]
pub(super) struct RegisterArguments {
    #[command(flatten)]
    pub(super) account: AccountFlags,
    #[command(flatten)]
    pub(super) watch: WatchFlags,
    /// Ends, and takes the binding back, as soon as it is registered or has failed
    #[arg(long)]
    pub(super) once: bool,
    #[command(flatten)]
    pub(super) trace: TraceFlags,
}

#[derive(Debug, Args)]
pub(super) struct MessageArguments {
    /// A SIP URI, or an extension or E.164 number on the account's domain
    pub(super) target: String,
    /// What to say
    pub(super) text: String,
    #[command(flatten)]
    pub(super) account: AccountFlags,
    /// Sends without registering first
    #[arg(long)]
    pub(super) no_register: bool,
}

#[derive(Debug, Args)]
pub(super) struct CallArguments {
    /// A SIP URI, or an extension or E.164 number on the account's domain
    pub(super) target: String,
    #[command(flatten)]
    pub(super) account: AccountFlags,
    #[command(flatten)]
    pub(super) console: ConsoleFlags,
    #[command(flatten)]
    pub(super) media: MediaFlags,
    /// Caller id: one of the account's numbers, in place of its first
    #[arg(long, value_name = "NUMBER")]
    pub(super) from_number: Option<String>,
    /// Withholds the caller id (RFC 3323)
    #[arg(long, conflicts_with = "from_number")]
    pub(super) anonymous: bool,
    /// Further header field of the INVITE, such as "X-Customer: 7"; may be repeated
    #[arg(long, value_name = "NAME: VALUE")]
    pub(super) header: Vec<String>,
    /// What is sent: device, device:NAME (or a part, or its number), file:PATH, loop:PATH, tone:HZ, progress:TONE[/COUNTRY],
    /// silence or echo
    #[arg(long, value_name = "SOURCE")]
    pub(super) source: Option<Source>,
    /// Where what is heard goes: device, device:NAME (or a part, or its number) or null
    #[arg(long, value_name = "SINK")]
    pub(super) sink: Option<Sink>,
    /// Records to this WAV file: ours left, theirs right
    #[arg(long, value_name = "PATH")]
    pub(super) record: Option<PathBuf>,
    /// Digits to send once the call is answered
    #[arg(long, value_name = "DIGITS")]
    pub(super) dtmf: Option<String>,
    /// Hangs up so long after the answer
    #[arg(long, value_name = "SECONDS")]
    pub(super) duration: Option<f64>,
    /// Gives up when it rings so long
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0)]
    pub(super) ring_limit: f64,
    /// Exit code 7 if a measured MOS is lower
    #[arg(long, value_name = "MOS")]
    pub(super) min_mos: Option<f64>,
    /// Calls without registering first
    #[arg(long)]
    pub(super) no_register: bool,
    #[command(flatten)]
    pub(super) trace: TraceFlags,
}

#[derive(Debug, Args)]
pub(super) struct AnswerArguments {
    #[command(flatten)]
    pub(super) account: AccountFlags,
    #[command(flatten)]
    pub(super) console: ConsoleFlags,
    #[command(flatten)]
    pub(super) media: MediaFlags,
    #[command(flatten)]
    pub(super) watch: WatchFlags,
    #[command(flatten)]
    pub(super) callers: CallerFlags,
    /// Takes calls to the bound address (port 5060 when --bind names none) from anyone
    #[arg(long)]
    pub(super) no_register: bool,
    /// What is sent: device, device:NAME (or a part, or its number), file:PATH, loop:PATH, tone:HZ, progress:TONE[/COUNTRY],
    /// silence or echo
    #[arg(long, value_name = "SOURCE")]
    pub(super) source: Option<Source>,
    /// Where what is heard goes: device, device:NAME (or a part, or its number) or null
    #[arg(long, value_name = "SINK")]
    pub(super) sink: Option<Sink>,
    /// Records each call to a file in this directory
    #[arg(long, value_name = "DIR")]
    pub(super) record: Option<PathBuf>,
    /// Names the recordings: {date} {time} {account} {from} {to} {number} {call_id} {direction}, ending in .wav or .opus
    #[arg(long, value_name = "TEMPLATE", default_value_t)]
    pub(super) record_name: Template,
    /// Ends after so many calls
    #[arg(long, value_name = "N")]
    pub(super) max_calls: Option<u64>,
    /// Answers no call by itself: the command `answer` does
    #[arg(long, conflicts_with_all = ["reject", "ring"])]
    pub(super) manual: bool,
    /// Declines every call with this status
    #[arg(long, value_name = "STATUS")]
    pub(super) reject: Option<u16>,
    /// Rings so long before it answers
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    pub(super) ring: f64,
    /// Hangs up so long after the answer
    #[arg(long, value_name = "SECONDS")]
    pub(super) duration: Option<f64>,
    #[command(flatten)]
    pub(super) trace: TraceFlags,
}

#[derive(Debug, Args)]
pub(super) struct HistoryArguments {
    /// inbound or outbound
    #[arg(long, value_name = "DIRECTION", value_parser = word::<CallDirection>)]
    pub(super) direction: Option<CallDirection>,
    /// completed, missed, busy, failed, no-answer, canceled, declined, interrupted or in-progress
    #[arg(long, value_name = "STATUS", value_parser = word::<Status>)]
    pub(super) status: Option<Status>,
    /// Only calls from or to this number or address, or a part of it
    #[arg(long, value_name = "NUMBER")]
    pub(super) number: Option<String>,
    /// Only calls of this account
    #[arg(long, value_name = "URI")]
    pub(super) account: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(super) limit: u32,
    /// Comma-separated values (RFC 4180)
    #[arg(long)]
    pub(super) csv: bool,
}

/// A word of the call record, as JSON has it.
fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

#[derive(Debug, Args)]
pub(super) struct QualityArguments {
    /// pcmu, pcma, g722, opus or g729
    #[arg(long, value_name = "CODEC", conflicts_with_all = ["ie", "bpl", "stdin"])]
    pub(super) codec: Option<String>,
    /// Equipment impairment factor (ITU-T G.113), in place of --codec
    #[arg(long, requires = "bpl", conflicts_with = "stdin")]
    pub(super) ie: Option<f64>,
    /// Packet-loss robustness factor (ITU-T G.113), in place of --codec
    #[arg(long, requires = "ie", conflicts_with = "stdin")]
    pub(super) bpl: Option<f64>,
    /// One-way delay, ms
    #[arg(long, value_name = "D", required_unless_present = "stdin", conflicts_with = "stdin")]
    pub(super) delay_ms: Option<f64>,
    /// Packet loss, per cent
    #[arg(long, value_name = "L", required_unless_present = "stdin", conflicts_with = "stdin")]
    pub(super) loss_percent: Option<f64>,
    /// Burst ratio: 1 for random loss
    #[arg(long, value_name = "B", conflicts_with = "stdin")]
    pub(super) burst_ratio: Option<f64>,
    /// Reads tab-separated rows under a header of the names codec (or ie and bpl), delay_ms, loss_percent, burst_ratio
    #[arg(long)]
    pub(super) stdin: bool,
}
