//! Our program, run as a user runs it, here or in a namespace.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Waits until a phone takes connections at `address`.
pub fn listens(address: &str) {
    let begin = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "nobody listens at {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running sidetone; it is killed with this.
pub struct Phone {
    child: Child,
    lines: Receiver<String>,
    pub seen: Vec<Value>,
}

impl Phone {
    /// `sidetone ARGUMENTS --json` with its files in `home`, in the namespace `network` if one is given.
    pub fn start(network: Option<&str>, home: &Path, arguments: &[&str]) -> Self {
        let program = env!("CARGO_BIN_EXE_sidetone");
        let mut command = match network {
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, program]);
                command
            }
            None => Command::new(program),
        };
        command
            .args(arguments)
            .arg("--json")
            .env("SIDETONE_DB", home.join("calls.db"))
            .env("SIDETONE_STATE", home.join("state"))
            .env("SIDETONE_PASSWORD", "secret")
            .env("SIDETONE_LOG", "sidetone=info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("sidetone starts");
        let (sender, lines) = channel();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for an event called `name` for which `condition` holds.
    pub fn expect(&mut self, name: &str, limit: Duration, condition: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let left = limit.saturating_sub(begin.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no event {name} within {limit:?}; seen: {:#?}", self.seen)
            };
            let event: Value = serde_json::from_str(&line).expect("a JSON object");
            self.seen.push(event.clone());
            if event["event"] == name && condition(&event) {
                return event;
            }
        }
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
