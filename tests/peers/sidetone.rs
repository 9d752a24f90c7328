//! Our own binary, run as a user runs it, with its events read from stdout.

use crate::program::{self, Outcome, Program};
use serde_json::Value;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long what ends by itself may take on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(180);

/// A private home: database and recordings.
pub struct Home {
    pub directory: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts `sidetone ARGUMENTS --json`.
    pub fn start(&self, arguments: &[&str], password: &str) -> Sidetone {
        let all = [arguments, &["--json"]].concat();
        Sidetone::start(&mut program::furnished(&all, self.directory.path(), password))
    }

    /// Starts `sidetone ARGUMENTS --json --commands`; [`Sidetone::say`] types a line.
    pub fn start_with_commands(&self, arguments: &[&str], password: &str) -> Sidetone {
        let all = [arguments, &["--json", "--commands"]].concat();
        Sidetone::start(program::furnished(&all, self.directory.path(), password).stdin(Stdio::piped()))
    }

    /// Runs `sidetone ARGUMENTS` to its end; exit code, stdout and stderr.
    pub fn run(&self, arguments: &[&str], password: &str) -> (i32, String, String) {
        let mut command = program::furnished(arguments, self.directory.path(), password);
        let Outcome { code, out, err } = Program::start(&mut command).finish(LIMIT);
        (code, out, err)
    }

    /// The rows of the history, newest first.
    pub fn history(&self) -> Vec<Value> {
        let (code, out, err) = self.run(&["history", "--limit", "100000", "--json"], "");
        assert_eq!(code, 0, "history fails: {err}");
        out.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }
}

/// A running sidetone.
pub struct Sidetone {
    program: Program,
    seen: VecDeque<Value>,
}

impl Sidetone {
    fn start(command: &mut Command) -> Self {
        Self { program: Program::start(command), seen: VecDeque::new() }
    }

    /// Types a command, and waits for its reply.
    pub fn say(&mut self, line: &str) -> Value {
        self.program.write(line);
        self.expect_where("command.reply", Duration::from_secs(20), |reply| reply["command"] == line)
    }

    /// Waits for the next event called `name`; events before it stay in [`Sidetone::seen`].
    pub fn expect(&mut self, name: &str, limit: Duration) -> Value {
        self.expect_where(name, limit, |_| true)
    }

    /// Waits for the next event with one of these names: which comes first is not said.
    pub fn expect_one_of(&mut self, names: &[&str], limit: Duration) -> Value {
        self.wait(&format!("{names:?}"), limit, |event| names.iter().any(|name| event["event"] == *name))
    }

    /// Waits for the next event called `name` for which `condition` holds.
    pub fn expect_where(&mut self, name: &str, limit: Duration, condition: impl Fn(&Value) -> bool) -> Value {
        self.wait(name, limit, |event| event["event"] == name && condition(event))
    }

    fn wait(&mut self, what: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            match self.program.event(limit.saturating_sub(start.elapsed())) {
                Ok(event) => {
                    self.seen.push_back(event.clone());
                    if wanted(&event) {
                        return event;
                    }
                }
                Err(silence) => {
                    panic!(
                        "no event {what} in {limit:?} ({silence:?}); seen: {}\n{}",
                        self.story(),
                        self.program.story()
                    )
                }
            }
        }
    }

    /// Names of the events so far.
    pub fn story(&self) -> String {
        self.seen.iter().map(|event| event["event"].as_str().unwrap_or("?").to_owned()).collect::<Vec<_>>().join(" ")
    }

    /// Presses Ctrl-C.
    pub fn interrupt(&self) {
        self.program.signal("-INT");
    }

    /// Kills it without mercy.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// Has it ended?
    pub fn has_ended(&mut self) -> bool {
        self.program.has_ended()
    }

    /// Waits for its end; exit code and stderr.
    pub fn finish(self, limit: Duration) -> (i32, String) {
        let Outcome { code, err, .. } = self.program.finish(limit);
        (code, err)
    }
}

/// The path of a fixture.
pub fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).display().to_string()
}
