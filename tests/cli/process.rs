//! Running the program, and the domain that it talks to.

use crate::program::{self, Program};
use serde_json::Value;
use sidetone::loopback::Loopback;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

pub use crate::program::Outcome;

/// How long anything may take on a machine that is busy with other tests.
pub const LIMIT: Duration = Duration::from_secs(90);

pub const PASSWORD: &str = "correct-horse-battery-staple";

/// A private directory with a call log.
pub struct Home {
    directory: TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The program with these arguments and nothing of the tester's own settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        program::furnished(arguments, self.directory.path(), PASSWORD)
    }

    pub fn furnish(&self, command: &mut Command) {
        program::furnish(command, self.directory.path(), PASSWORD);
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        Running::start(&mut self.command(arguments)).finish()
    }

    /// Starts the program with `--json`.
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments).arg("--json"))
    }

    /// The call log, newest call first.
    pub fn history(&self, arguments: &[&str]) -> Vec<Value> {
        let mut all = vec!["history", "--json"];
        all.extend(arguments);
        let outcome = self.run(&all);
        assert_eq!(outcome.code, 0, "{}", outcome.err);
        outcome.objects()
    }
}

/// The program while it runs.
pub struct Running(Program);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(Program::start(command))
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn signal(&self, name: &str) {
        self.0.signal(name);
    }

    /// Types a line; for a command that was given a pipe as stdin.
    pub fn say(&mut self, line: &str) {
        self.0.write(line);
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.signal("-INT");
    }

    /// Waits for the next event of this name.
    #[track_caller]
    pub fn expect(&mut self, name: &str) -> Value {
        loop {
            match self.0.event(LIMIT) {
                Ok(event) if event["event"] == name => return event,
                Ok(_) => {}
                Err(silence) => panic!("the event {name} never came ({silence:?})\n{}", self.0.story()),
            }
        }
    }

    /// The first event of this name, which may have come already.
    #[track_caller]
    pub fn told(&mut self, name: &str) -> Value {
        let events: Vec<Value> = self.0.story().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        events.into_iter().find(|event| event["event"] == name).unwrap_or_else(|| self.expect(name))
    }

    /// Waits until stderr holds `text`.
    #[track_caller]
    pub fn expect_error(&mut self, text: &str) {
        let said = self.0.error(text, LIMIT);
        assert_eq!(said, Ok(()), "stderr never held {text:?}\n{}", self.0.story());
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(self) -> Outcome {
        self.0.finish(LIMIT)
    }
}

/// A registrar and proxy with some users, in this process.
pub struct Domain {
    loopback: Loopback,
    _runtime: tokio::runtime::Runtime,
}

impl Domain {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let users = ["ann", "bob", "cid", "dan"].map(|user| (user, PASSWORD));
        let loopback = runtime.block_on(async { Loopback::start(IpAddr::V4(Ipv4Addr::LOCALHOST), &users) }).unwrap();
        Self { loopback, _runtime: runtime }
    }

    pub fn aor(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.loopback.address())
    }

    /// Starts `sidetone answer` for Bob with a tone, and waits until he can be called.
    pub fn bob(&self, home: &Home, more: &[&str]) -> Running {
        let aor = self.aor("bob");
        let mut arguments = vec!["answer", "--aor", &aor, "--sink", "null"];
        if !more.contains(&"--source") {
            arguments.extend(["--source", "tone:600"]);
        }
        arguments.extend(more);
        let mut bob = home.start(&arguments);
        bob.expect("registration.registered");
        bob
    }

    /// Starts `sidetone call bob` for Ann, with a tone unless `more` says something else.
    pub fn ann_calls(&self, home: &Home, more: &[&str]) -> Running {
        self.calls(home, "ann", "bob", more)
    }

    pub fn calls(&self, home: &Home, from: &str, to: &str, more: &[&str]) -> Running {
        let aor = self.aor(from);
        let mut arguments = vec!["call", to, "--aor", &aor, "--sink", "null"];
        if !more.contains(&"--source") {
            arguments.extend(["--source", "tone:300"]);
        }
        arguments.extend(more);
        home.start(&arguments)
    }
}

/// Root mean square of the left and the right channel of a recording, and its length in seconds.
pub fn energies(path: &Path) -> (f64, f64, f64) {
    let mut reader = hound::WavReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(reader.spec().channels, 2);
    let rate = f64::from(reader.spec().sample_rate);
    let samples: Vec<f64> = reader.samples::<i16>().map(|sample| f64::from(sample.unwrap())).collect();
    let side = |first: usize| {
        let squares: f64 = samples.iter().skip(first).step_by(2).map(|sample| sample * sample).sum();
        (squares / (samples.len() / 2).max(1) as f64).sqrt()
    };
    (side(0), side(1), samples.len() as f64 / 2.0 / rate)
}

/// Members of a JSON object, sorted.
#[track_caller]
pub fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

pub fn seconds_between(earlier: &Value, later: &Value) -> f64 {
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    time(later).duration_since(time(earlier)).as_secs_f64()
}

/// A port on which nobody listens.
pub fn closed_port() -> u16 {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
