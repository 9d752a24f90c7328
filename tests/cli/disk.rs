//! Disks that cannot be written and processes that die: no call suffers, and it is seen.

use crate::process::{Domain, Home, LIMIT, Running};
use std::process::Command;
use std::time::Duration;

const TALK: &[&str] = &["--duration", "1.5"];

#[test]
fn a_call_log_that_cannot_be_written_costs_no_call() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let bob = domain.bob(&theirs, &["--max-calls", "2"]);
    // Below a file, and where a directory is: not even root can write there.
    std::fs::write(ours.path("file"), "").unwrap();
    let below = ours.text("file/calls.db");
    let directory = ours.text("");
    for path in [&below, &directory] {
        let mut flags = TALK.to_vec();
        flags.extend(["--db", path]);
        let ann = domain.ann_calls(&ours, &flags).finish();
        assert_eq!(ann.code, 1, "{ann:?}");
        let call = &ann.ended()[0];
        assert_eq!(call["status"], "completed");
        assert!(call["quality"]["inbound"]["packets"].as_u64().unwrap() > 20, "{call}");
        assert_eq!(ann.err.matches("calls go on").count(), 1, "told once: {}", ann.err);
        assert!(ann.err.contains(path.as_str()) && ann.err.contains("1 calls are not in the database"), "{}", ann.err);
    }
    assert_eq!(bob.finish().code, 0);
}

#[cfg(unix)]
#[test]
fn a_full_disk_costs_no_call() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let bob = domain.bob(&theirs, &["--max-calls", "1"]);
    let aor = domain.aor("ann");
    // No file may grow beyond a few kilobytes; the signal about it is ignored, so that writing fails as on a full disk.
    let limited = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_sidetone"), "call", "bob", "--aor", &aor]);
    command.args(["--source", "tone:300", "--sink", "null", "--json"]).args(TALK);
    ours.furnish(&mut command);
    let ann = Running::start(&mut command).finish();
    assert_eq!(ann.code, 1, "{ann:?}");
    assert_eq!(ann.ended()[0]["status"], "completed");
    assert!(ann.err.contains("calls go on") && ann.err.contains("make room"), "{}", ann.err);
    assert_eq!(bob.finish().code, 0);
}

#[test]
fn who_answers_is_told_too_and_goes_on() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    std::fs::write(theirs.path("file"), "").unwrap();
    let mut bob = domain.bob(&theirs, &["--max-calls", "2", "--db", &theirs.text("file/calls.db")]);
    bob.expect_error("calls go on");
    for _ in 0..2 {
        let ann = domain.ann_calls(&ours, TALK).finish();
        assert_eq!(ann.code, 0, "{ann:?}");
    }
    let bob = bob.finish();
    assert_eq!(bob.code, 1, "{bob:?}");
    assert_eq!(bob.ended().len(), 2);
    assert!(bob.err.contains("2 calls are not in the database"), "{}", bob.err);
}

#[test]
fn a_recording_that_cannot_be_written_costs_no_call() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let bob = domain.bob(&theirs, &["--max-calls", "1"]);
    // A directory is no file.
    let path = ours.text("");
    let mut flags = TALK.to_vec();
    flags.extend(["--record", &path]);
    let ann = domain.ann_calls(&ours, &flags).finish();
    assert_eq!(ann.code, 1, "{ann:?}");
    let call = &ann.ended()[0];
    assert_eq!((&call["status"], &call["recording"]), (&"completed".into(), &serde_json::Value::Null));
    assert!(call["quality"]["inbound"]["packets"].as_u64().unwrap() > 20, "{call}");
    assert!(ann.err.contains("cannot record to") && ann.err.contains(&path), "{}", ann.err);
    assert_eq!(bob.finish().code, 0);

    // What can be known before is told before anyone is called.
    std::fs::write(ours.path("file"), "").unwrap();
    let below = ours.text("file/recordings/ann.wav");
    let ann = domain.ann_calls(&ours, &["--record", &below]).finish();
    assert_eq!((ann.code, ann.out.as_str()), (8, ""), "{ann:?}");
    assert!(ann.err.contains("--record") && ann.err.contains("recordings"), "{}", ann.err);
}

#[test]
fn a_call_whose_process_was_killed_is_interrupted() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let mut bob = domain.bob(&theirs, &["--max-calls", "1"]);
    let mut ann = domain.ann_calls(&ours, &[]);
    bob.expect("call.quality");
    // The row is there while the call goes on; nobody closes it while its process lives.
    let started = std::time::Instant::now();
    while ours.history(&["--status", "in-progress"]).first().is_none_or(|row| row["answered_at"].is_null()) {
        assert!(started.elapsed() < LIMIT);
        std::thread::park_timeout(Duration::from_millis(20));
    }
    ann.expect("call.quality");
    ann.signal("-KILL");
    assert_eq!(ann.finish().code, -1);
    let row = ours.history(&[]).remove(0);
    assert_eq!((&row["status"], &row["direction"]), (&"interrupted".into(), &"outbound".into()));
    assert!(row["ended_at"].is_string(), "{row}");
    // Bob hears nothing more and hangs up by himself.
    bob.interrupt();
    assert_eq!(bob.finish().code, 0);

    // Another start closes what history has not closed.
    let mut bob = domain.bob(&theirs, &["--max-calls", "1"]);
    let mut ann = domain.ann_calls(&ours, &[]);
    bob.expect("call.answered");
    ann.expect("call.quality");
    bob.signal("-KILL");
    bob.finish();
    ann.interrupt();
    ann.finish();
    let again = domain.bob(&theirs, &[]);
    again.interrupt();
    assert_eq!(again.finish().code, 0);
    let statuses: Vec<_> = theirs.history(&[]).iter().map(|row| row["status"].clone()).collect();
    assert_eq!(statuses, ["interrupted", "completed"]);
}
