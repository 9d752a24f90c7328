//! Running the program, and the domain that it talks to.

use serde_json::Value;
use sidetone::loopback::Loopback;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

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
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidetone"));
        command.args(arguments);
        self.furnish(&mut command);
        command
    }

    pub fn furnish(&self, command: &mut Command) {
        command
            .env("SIDETONE_DB", self.path("calls.db"))
            .env("SIDETONE_STATE", self.path("state"))
            .env("SIDETONE_PASSWORD", PASSWORD)
            .env_remove("SIDETONE_LOG")
            .env_remove("SIDETONE_CONFIG")
            .env("XDG_CONFIG_HOME", self.directory.path())
            .stdin(Stdio::null());
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

#[track_caller]
fn object(line: &str, err: &str) -> Value {
    match serde_json::from_str(line) {
        Ok(value @ Value::Object(_)) => value,
        other => panic!("stdout holds a line that is no JSON object: {line} ({other:?})\nstderr: {err}"),
    }
}

enum Line {
    Out(String),
    Err(String),
}

/// The program while it runs.
pub struct Running {
    child: Child,
    lines: Receiver<Line>,
    out: String,
    err: String,
    /// What of `out` was taken by [`Running::expect`].
    taken: usize,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        forward(child.stdout.take().unwrap(), sender.clone(), Line::Out);
        forward(child.stderr.take().unwrap(), sender, Line::Err);
        Self { child, lines, out: String::new(), err: String::new(), taken: 0 }
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(name).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.signal("-INT");
    }

    /// Waits for the next event of this name.
    #[track_caller]
    pub fn expect(&mut self, name: &str) -> Value {
        let start = Instant::now();
        loop {
            while let Some(end) = self.out[self.taken..].find('\n') {
                let line = self.out[self.taken..self.taken + end].to_owned();
                self.taken += end + 1;
                let event = object(&line, &self.err);
                if event["event"] == name {
                    return event;
                }
            }
            assert!(self.read(start), "the event {name} never came\n{}\n{}", self.out, self.err);
        }
    }

    /// Waits until stderr holds `text`.
    #[track_caller]
    pub fn expect_error(&mut self, text: &str) {
        let start = Instant::now();
        while !self.err.contains(text) {
            assert!(self.read(start), "stderr never held {text:?}\n{}\n{}", self.out, self.err);
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Outcome {
        let start = Instant::now();
        while self.read(start) {}
        assert!(start.elapsed() < LIMIT, "it does not end\n{}\n{}", self.out, self.err);
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Outcome { code, out: std::mem::take(&mut self.out), err: std::mem::take(&mut self.err) }
    }

    /// Takes one line; `false`: no more will come, or not in time.
    fn read(&mut self, start: Instant) -> bool {
        match self.lines.recv_timeout(LIMIT.saturating_sub(start.elapsed())) {
            Ok(Line::Out(line)) => self.out += &line,
            Ok(Line::Err(line)) => self.err += &line,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
        }
        true
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of one that has ended and was waited for, nothing is left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(from: impl std::io::Read + Send + 'static, to: Sender<Line>, kind: fn(String) -> Line) {
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
