//! What is done with the sound of calls by commands: conferences, recordings, and those that a crash cut off.

use crate::process::{Domain, Home, Running};
use std::path::Path;
use std::process::Stdio;

/// The tones of the callers, and of who answers them.
const TONES: [(&str, f64); 3] = [("ann", 500.0), ("cid", 800.0), ("dan", 1_300.0)];
const OURS: f64 = 2_100.0;

/// The loudest tenth of the last second of what was heard (right) of each tone, ours last, as a fraction of full scale.
fn heard(path: &Path) -> [f64; 4] {
    let mut reader = hound::WavReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rate = reader.spec().sample_rate as usize;
    let all: Vec<i16> = reader.samples().skip(1).step_by(2).map(Result::unwrap).collect();
    // The others end one after the other: some seconds before the end all of them talked.
    let last = &all[all.len().saturating_sub(2 * rate)..all.len() - rate];
    let level = |samples: &[i16], hz: f64| {
        let step = std::f64::consts::TAU * hz / rate as f64;
        let sum = samples.iter().enumerate().fold((0.0, 0.0), |(re, im), (n, sample)| {
            let (sin, cos) = (step * n as f64).sin_cos();
            (re + f64::from(*sample) * cos, im + f64::from(*sample) * sin)
        });
        2.0 * f64::hypot(sum.0, sum.1) / samples.len() as f64 / 32_768.0
    };
    let [(_, one), (_, two), (_, three)] = TONES;
    [one, two, three, OURS].map(|hz| {
        let whole = level(last, hz);
        if whole < 0.01 { whole } else { last.chunks(rate / 10).map(|part| level(part, hz)).fold(0.0, f64::max) }
    })
}

#[test]
fn three_callers_and_who_answers_hear_exactly_the_others() {
    let (domain, theirs) = (Domain::start(), Home::new());
    let aor = domain.aor("bob");
    let tone = format!("tone:{OURS}");
    let arguments = ["answer", "--aor", &aor, "--sink", "null", "--source", &tone, "--codec", "pcmu", "--commands"];
    let mut bob = Running::start(theirs.command(&[&arguments[..], &["--json"]].concat()).stdin(Stdio::piped()));
    bob.expect("registration.registered");
    let homes = [Home::new(), Home::new(), Home::new()];
    let mut callers: Vec<_> = homes
        .iter()
        .zip(TONES)
        .map(|(home, (user, hz))| {
            let (tone, record) = (format!("tone:{hz}"), home.text("heard.wav"));
            domain.calls(home, user, "bob", &["--source", &tone, "--record", &record])
        })
        .collect();
    callers.iter_mut().for_each(|caller| drop(caller.expect("call.quality")));
    bob.say("conference");
    let reply = bob.expect("command.reply");
    assert!(reply["ok"] == true && reply["calls"].as_array().unwrap().len() == 3, "{reply}");
    for _ in 0..4 {
        callers.iter_mut().for_each(|caller| drop(caller.expect("call.quality")));
    }
    bob.say("leave 99");
    let wrong = bob.expect("command.reply");
    assert!(wrong["error"].as_str().unwrap().contains("there is no call 99"), "{wrong}");
    bob.interrupt();
    assert_eq!(bob.finish().code, 0);
    for (n, (caller, home)) in callers.into_iter().zip(&homes).enumerate() {
        let outcome = caller.finish();
        assert_eq!(outcome.code, 0, "{}", outcome.err);
        let levels = heard(&home.path("heard.wav"));
        for (other, level) in levels.into_iter().enumerate() {
            match other == n {
                true => assert!(level < 0.01, "caller {n} hears itself: {levels:?}"),
                false => assert!(level > 0.02, "caller {n} misses {other}: {levels:?}"),
            }
        }
    }
}

#[test]
fn a_recording_begins_pauses_and_ends_while_the_call_runs() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let _bob = domain.bob(&theirs, &["--max-calls", "1"]);
    let aor = domain.aor("ann");
    let arguments = ["call", "bob", "--aor", &aor, "--sink", "null", "--source", "tone:300", "--commands", "--json"];
    let mut ann = Running::start(ours.command(&arguments).stdin(Stdio::piped()));
    ann.expect("call.quality");
    let mut reports = Vec::new();
    for name in ["part.wav", "part.opus"] {
        let path = ours.text(name);
        for line in [&format!("record {path}"), "record pause", "record resume beep", "record stop"] {
            ann.say(line);
            assert_eq!(ann.expect("command.reply")["ok"], true, "{line}");
            ann.expect("call.quality");
        }
        // Told in the course of the call, before or after the last report of its quality.
        reports.push(path);
    }
    ann.say("hangup");
    let ended = ann.finish();
    assert_eq!(ended.code, 0, "{}", ended.err);
    let call = &ended.ended()[0];
    let kept = call["metadata"]["recordings"].as_array().unwrap();
    assert_eq!(kept.len(), 2, "{call}");
    for (recording, path) in kept.iter().zip(&reports) {
        assert_eq!(recording["path"], path.as_str());
        assert!(recording["seconds"].as_f64().unwrap() > 0.2, "{recording}");
        assert!(recording["sha256"].as_str().unwrap().len() == 64 && recording["dropped_frames"] == 0, "{recording}");
    }
    assert_eq!(call["recording"], reports[1].as_str());
    let (_, _, seconds) = crate::process::energies(Path::new(&reports[0]));
    assert!((seconds - kept[0]["seconds"].as_f64().unwrap()).abs() < 0.001);
}

#[test]
fn a_recording_that_kill_9_cut_off_is_repaired_at_the_next_start() {
    for name in ["{from}/{direction}.wav", "{from}/{direction}.opus"] {
        let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
        let directory = theirs.text("recordings");
        let options = ["--record", &directory, "--record-name", name];
        let mut bob = domain.bob(&theirs, &options);
        let ann = domain.ann_calls(&ours, &[]);
        (0..4).for_each(|_| drop(bob.expect("call.quality")));
        bob.signal("-KILL");
        assert_eq!(bob.finish().code, -1);
        ann.interrupt();
        let mut again = domain.bob(&theirs, &options);
        let told = again.told("recording.ready");
        assert!(told["repaired"] == true && told["error"].is_null(), "{told}");
        let seconds = told["seconds"].as_f64().unwrap();
        assert!(seconds > 1.0, "{told}");
        let path = Path::new(told["path"].as_str().unwrap());
        assert!(path.starts_with(std::fs::canonicalize(&directory).unwrap()), "{told}");
        if path.extension().is_some_and(|kind| kind == "wav") {
            let (left, right, length) = crate::process::energies(path);
            assert!(left > 1_000.0 && right > 1_000.0 && (length - seconds).abs() < 0.001, "{told}");
        }
        ann.finish();
        again.interrupt();
        assert_eq!(again.finish().code, 0);
        let third = domain.bob(&theirs, &options);
        third.interrupt();
        assert!(!third.finish().out.contains("recording.ready"), "once");
    }
}
