//! The command line: one file per verb; arguments in, exit code out.

mod answer;
mod arguments;
mod bench;
mod call;
mod call_log;
mod config;
mod console;
mod demo;
mod devices;
mod doctor;
mod exit;
pub mod history;
mod impair;
mod latency;
mod load;
mod outside;
mod playout;
mod quality;
mod register;
mod report;
mod run;
mod signals;
mod target;
mod trace;
mod transfer;
mod turnaround;

pub use exit::Exit;

use crate::config::Environment;

use arguments::{Arguments, Verb};
use clap::Parser;
use report::Reporter;
use std::future::Future;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Runs the program with the arguments of this process.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors; clap prints them to stdout.
            let usage = error.use_stderr();
            let _ = error.print();
            return if usage { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    // What is wrong with the call log is told in sentences of our own ([`call_log`]).
    let filter = EnvFilter::try_from_env("SIDETONE_LOG").unwrap_or_else(|_| EnvFilter::new("warn,sidetone::store=off"));
    // Logs go to stderr: stdout belongs to the command.
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let reporter = Reporter::new(arguments.json);
    match arguments.verb {
        Verb::Demo(verb) => block_on(demo::run(verb, arguments.db, reporter)),
        Verb::Register(verb) => block_on(register::run(*verb, arguments.db, reporter)),
        Verb::Call(verb) => block_on(call::run(verb, arguments.db, reporter)),
        Verb::Answer(verb) => block_on(answer::run(verb, arguments.db, reporter)),
        Verb::Message(verb) => block_on(outside::run(*verb, arguments.db, reporter)),
        Verb::Quality(verb) => quality::run(&verb, &reporter),
        Verb::History(verb) => match environment().database(arguments.db) {
            Ok(path) => history::run(&verb, Some(path), arguments.json),
            Err(error) => fail(Exit::Configuration, &error),
        },
        Verb::Trace(verb) => match environment().database(arguments.db) {
            Ok(path) => trace::run(&verb, Some(path), arguments.json),
            Err(error) => fail(Exit::Configuration, &error),
        },
        Verb::Run(verb) => block_on(run::run(verb, arguments.db, reporter)),
        Verb::Config(verb) => config::run(&verb, &reporter),
        Verb::Doctor(verb) => block_on(doctor::run(verb, arguments.db, reporter)),
        Verb::Bench(verb) => block_on(bench::run(verb, reporter)),
        Verb::Devices => devices::run(&reporter),
    }
    .into()
}

fn block_on(verb: impl Future<Output = Exit>) -> Exit {
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(verb),
        Err(error) => {
            eprintln!("sidetone: the system gives no threads: {error}");
            Exit::Failed
        }
    }
}

/// Says on stderr why the command cannot be carried out.
fn fail(exit: Exit, error: &dyn std::fmt::Display) -> Exit {
    eprintln!("sidetone: {error}");
    exit
}

/// The environment of this process.
fn environment() -> Environment {
    Environment::of_process()
}
