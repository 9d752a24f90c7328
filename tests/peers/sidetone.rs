//! Our own binary, run as a user runs it, with its events read from stdout.

use crate::process::eventually;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

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

    fn command(&self, arguments: &[&str], password: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidetone"));
        command
            .args(arguments)
            .env("SIDETONE_DB", self.path("calls.db"))
            .env("SIDETONE_STATE", self.path("state"))
            .env("SIDETONE_PASSWORD", password)
            .env_remove("SIDETONE_LOG");
        command
    }

    /// Starts `sidetone ARGUMENTS --json`.
    pub fn start(&self, arguments: &[&str], password: &str) -> Sidetone {
        let mut all = arguments.to_vec();
        all.push("--json");
        Sidetone::start(self.command(&all, password), Stdio::null())
    }

    /// Starts `sidetone ARGUMENTS --json --commands`; [`Sidetone::say`] types a line.
    pub fn start_with_commands(&self, arguments: &[&str], password: &str) -> Sidetone {
        let all = [arguments, &["--json", "--commands"]].concat();
        Sidetone::start(self.command(&all, password), Stdio::piped())
    }

    /// Runs `sidetone ARGUMENTS` to its end; exit code, stdout and stderr.
    pub fn run(&self, arguments: &[&str], password: &str) -> (i32, String, String) {
        let output = self.command(arguments, password).stdin(Stdio::null()).output().expect("sidetone runs");
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
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
    child: Child,
    lines: Receiver<String>,
    seen: VecDeque<Value>,
    errors: Option<std::thread::JoinHandle<String>>,
}

impl Sidetone {
    fn start(mut command: Command, stdin: Stdio) -> Self {
        let mut child =
            command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("sidetone starts");
        let (sender, lines) = channel();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        Self { child, lines, seen: VecDeque::new(), errors: Some(errors) }
    }

    /// Types a command, and waits for its reply.
    pub fn say(&mut self, line: &str) -> Value {
        let stdin = self.child.stdin.as_mut().expect("commands are read");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("it reads commands");
        self.expect_where("command.reply", Duration::from_secs(20), |reply| reply["command"] == line)
    }

    /// Waits for the next event called `name`; events before it stay in [`Sidetone::seen`].
    pub fn expect(&mut self, name: &str, limit: Duration) -> Value {
        self.expect_where(name, limit, |_| true)
    }

    /// Waits for the next event with one of these names: which comes first is not said.
    pub fn expect_one_of(&mut self, names: &[&str], limit: Duration) -> Value {
        loop {
            let line =
                self.lines.recv_timeout(limit).unwrap_or_else(|_| panic!("none of {names:?}; seen: {}", self.story()));
            let event: Value = serde_json::from_str(&line).expect("a JSON object");
            self.seen.push_back(event.clone());
            if names.iter().any(|name| event["event"] == *name) {
                return event;
            }
        }
    }

    /// Waits for the next event called `name` for which `condition` holds.
    pub fn expect_where(&mut self, name: &str, limit: Duration, condition: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let left = limit.saturating_sub(start.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let event: Value = serde_json::from_str(&line)
                        .unwrap_or_else(|error| panic!("stdout holds a line that is no JSON object ({error}): {line}"));
                    self.seen.push_back(event.clone());
                    if event["event"] == name && condition(&event) {
                        return event;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no event {name} in {limit:?}; seen: {}", self.story()),
                Err(RecvTimeoutError::Disconnected) => {
                    let errors = self.errors.take().map(|thread| thread.join().unwrap_or_default()).unwrap_or_default();
                    panic!("sidetone ended without the event {name}; seen: {}\n{errors}", self.story())
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
        signal(self.child.id(), "-INT");
    }

    /// Kills it without mercy.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Has it ended?
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits for its end; exit code and stderr.
    pub fn finish(mut self, limit: Duration) -> (i32, String) {
        let mut code = None;
        let ended = eventually(limit, || match self.child.try_wait() {
            Ok(Some(status)) => {
                code = status.code();
                true
            }
            _ => false,
        });
        assert!(ended, "sidetone did not end in {limit:?}; seen: {}", self.story());
        let errors = self.errors.take().map(|thread| thread.join().unwrap_or_default()).unwrap_or_default();
        (code.unwrap_or(-1), errors)
    }
}

impl Drop for Sidetone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for event in &self.seen {
                eprintln!("sidetone: {event}");
            }
            if let Some(errors) = self.errors.take() {
                eprintln!("sidetone stderr: {}", errors.join().unwrap_or_default());
            }
        }
    }
}

/// Sends a signal to a process.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").arg(name).arg(pid.to_string()).status();
}

/// The path of a fixture.
pub fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).display().to_string()
}
