//! The program as a user runs it: what is heard of calls that are not answered.

use super::in_the_room;
use super::room::Inside;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

#[test]
fn a_caller_hears_the_far_end_ring_and_be_busy_and_the_called_one_a_bell() {
    in_the_room("calls::ring_and_busy");
}

/// A `sidetone` that runs, ended with the test.
struct Program(Child, BufReader<std::process::ChildStdout>);

impl Program {
    fn start(room: &Inside, words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidetone"));
        command.args(words).args(["--json", "--db"]).arg(room.home.join("log.db"));
        command.env("HOME", &room.home).env("XDG_STATE_HOME", &room.home).env_remove("SIDETONE_CONFIG");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self(child, out)
    }

    /// The next event of that name.
    fn event(&mut self, name: &str) -> serde_json::Value {
        let mut line = String::new();
        while self.1.read_line(&mut line).unwrap() > 0 {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["event"] == name {
                return event;
            }
            line.clear();
        }
        panic!("it ended without {name}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "run by the test above, in the environment that it makes"]
fn ring_and_busy() {
    let room = Inside::new();
    let number = room.plug("headset");
    let quiet = ["--source", "silence", "--sink", "null"];
    let answering = ["answer", "--no-register", "--bind", "127.0.0.1:0", "--manual", "--ring-device", "headset"];
    let mut called = Program::start(&room, &[&answering[..], &quiet[..]].concat());
    let address = called.event("phone.ready")["address"].as_str().unwrap().to_owned();
    let target = format!("sip:x@{address}");
    let calling = ["call", &target, "--source", "silence", "--sink", "device"];
    let mut caller = Program::start(&room, &[&calling[..], &["--country", "fr"]].concat());
    caller.event("call.ringing");
    // The bell is 800 and 1000 Hz, the ring-back of France 440 Hz for 1.5 s in 5.
    let heard = |sink: &str, hz: f64| {
        (0..6).any(|_| {
            let heard = room.listen(sink, 3.0);
            super::rig::loudest(&heard, 48_000, hz) > 0.1
        })
    };
    assert!(heard("room", 440.0), "ring-back");
    assert!(heard("headset", 800.0) && heard("headset", 1_000.0), "the bell");
    drop(caller);
    drop(called);
    room.unplug(&number);

    let refusing = ["answer", "--no-register", "--bind", "127.0.0.1:0", "--reject", "486"];
    let mut called = Program::start(&room, &[&refusing[..], &quiet[..]].concat());
    let address = called.event("phone.ready")["address"].as_str().unwrap().to_owned();
    let target = format!("sip:x@{address}");
    let busy = (0..4).any(|_| {
        let calling = ["call", &target, "--source", "silence", "--sink", "device", "--country", "us"];
        let mut caller = Program::start(&room, &calling);
        assert_eq!(caller.event("call.ended")["call"]["status"], "busy");
        let heard = room.listen("room", 3.0);
        [480.0, 620.0].iter().all(|hz| super::rig::loudest(&heard, 48_000, *hz) > 0.05)
    });
    assert!(busy, "the busy tone of the United States is heard");
}
