//! Our own binary as a child process: its events, its words on stderr, its end.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How the program ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Outcome {
    /// Every line of stdout as a JSON object.
    #[track_caller]
    pub fn objects(&self) -> Vec<Value> {
        self.out.lines().map(|line| object(line, &self.err)).collect()
    }

    /// The records of the calls that ended.
    #[track_caller]
    pub fn ended(&self) -> Vec<Value> {
        let ended = self.objects().into_iter().filter(|event| event["event"] == "call.ended");
        ended.map(|event| event["call"].clone()).collect()
    }
}

/// The program with these arguments, its files in `directory`, and nothing of the tester's own settings.
pub fn furnished(arguments: &[&str], directory: &Path, password: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidetone"));
    command.args(arguments);
    furnish(&mut command, directory, password);
    command
}

/// Gives a command that runs the program the same.
pub fn furnish(command: &mut Command, directory: &Path, password: &str) {
    command
        .env("SIDETONE_DB", directory.join("calls.db"))
        .env("SIDETONE_STATE", directory.join("state"))
        .env("SIDETONE_PASSWORD", password)
        .env_remove("SIDETONE_LOG")
        .env_remove("SIDETONE_CONFIG")
        .env("XDG_CONFIG_HOME", directory)
        .stdin(Stdio::null());
}

/// Why no event came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// None in time.
    Late,
    /// The program has ended.
    Ended,
}

enum Line {
    Out(String),
    Err(String),
}

/// The program while it runs. Killed when dropped; what it said is then printed if a test fails.
pub struct Program {
    child: Child,
    lines: Receiver<Line>,
    out: String,
    err: String,
    /// What of `out` was taken by [`Program::event`].
    taken: usize,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("sidetone starts");
        let (sender, lines) = channel();
        forward(child.stdout.take().unwrap(), sender.clone(), Line::Out);
        forward(child.stderr.take().unwrap(), sender, Line::Err);
        Self { child, lines, out: String::new(), err: String::new(), taken: 0 }
    }

    /// Everything on stdout and stderr so far.
    pub fn story(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }

    /// The next event on stdout.
    #[track_caller]
    pub fn event(&mut self, limit: Duration) -> Result<Value, Silence> {
        let start = Instant::now();
        loop {
            if let Some(end) = self.out[self.taken..].find('\n') {
                let line = &self.out[self.taken..self.taken + end];
                self.taken += end + 1;
                return Ok(object(line, &self.err));
            }
            self.read(start, limit)?;
        }
    }

    /// Waits until stderr holds `text`.
    pub fn error(&mut self, text: &str, limit: Duration) -> Result<(), Silence> {
        let start = Instant::now();
        while !self.err.contains(text) {
            self.read(start, limit)?;
        }
        Ok(())
    }

    /// Types a line.
    pub fn write(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("stdin is a pipe");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("it reads what is typed");
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(name).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
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

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self, limit: Duration) -> Outcome {
        let start = Instant::now();
        let silence = loop {
            if let Err(silence) = self.read(start, limit) {
                break silence;
            }
        };
        assert_eq!(silence, Silence::Ended, "it does not end in {limit:?}\n{}", self.story());
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Outcome { code, out: std::mem::take(&mut self.out), err: std::mem::take(&mut self.err) }
    }

    /// Takes one line.
    fn read(&mut self, start: Instant, limit: Duration) -> Result<(), Silence> {
        match self.lines.recv_timeout(limit.saturating_sub(start.elapsed())) {
            Ok(Line::Out(line)) => self.out += &line,
            Ok(Line::Err(line)) => self.err += &line,
            Err(RecvTimeoutError::Timeout) => return Err(Silence::Late),
            Err(RecvTimeoutError::Disconnected) => return Err(Silence::Ended),
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Of one that has ended and was waited for, nothing is left to kill.
        self.kill();
        if std::thread::panicking() && !(self.out.is_empty() && self.err.is_empty()) {
            eprintln!("--- sidetone ---\n{}", self.story());
        }
    }
}

#[track_caller]
fn object(line: &str, err: &str) -> Value {
    match serde_json::from_str(line) {
        Ok(value @ Value::Object(_)) => value,
        other => panic!("stdout holds a line that is no JSON object: {line} ({other:?})\nstderr: {err}"),
    }
}

fn forward(from: impl Read + Send + 'static, to: Sender<Line>, kind: fn(String) -> Line) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            if to.send(kind(String::from_utf8_lossy(&line).into_owned())).is_err() {
                return;
            }
            line.clear();
        }
    });
}
