//! `bench load` against `bench target` and SIPp: what it counts is what the far end saw.

use crate::process::{address, installed};
use crate::sidetone::{Home, Sidetone};
use crate::sipp::{self, Sipp, received};
use serde_json::Value;
use std::fs;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// A target, and how it is called.
fn target(home: &Home, more: &[&str]) -> (Sidetone, String) {
    let bind = format!("{}:0", address());
    let mut target = home.start(&[&["bench", "target", "--bind", &bind][..], more].concat(), "");
    let ready = target.expect("target.ready", PATIENCE);
    (target, format!("sip:load@{}", ready["address"].as_str().expect("an address")))
}

/// Runs load; its exit code and its events.
fn load(home: &Home, target: &str, more: &[&str]) -> (i32, Vec<Value>) {
    let bind = address().to_string();
    let arguments = ["bench", "load", target, "--no-register", "--bind", &bind, "--codec", "pcmu", "--json"];
    let (code, out, err) = home.run(&[&arguments[..], more].concat(), "");
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let valid = summary(&events)["valid"].as_bool().unwrap_or_else(|| panic!("{out}\n{err}"));
    // Whether this machine was in time is not for a test to say, but that it says so is.
    assert_eq!(code == 1, !valid, "{code}: {out}\n{err}");
    (code, events)
}

fn summary(events: &[Value]) -> Value {
    events.iter().find(|event| event["event"] == "load.summary").cloned().unwrap_or_default()
}

#[test]
fn what_is_counted_is_what_was_taken() {
    let home = Home::new();
    let (mut target, uri) = target(&home, &[]);
    let path = |name: &str| home.path(name).to_str().expect("a path").to_owned();
    let [json, html, csv, junit] = ["a.json", "a.html", "a.csv", "a.xml"].map(path);
    let files = ["--output", &json, "--html", &html, "--csv", &csv, "--junit", &junit];
    let conditions = ["--threshold", "failures < 1%", "--threshold", "mos_p95 > 4.9"];
    let how = ["--rate", "2/s:3s,4/s:2s", "--talk", "2", "--check", "1"];
    let (code, events) = load(&home, &uri, &[&how[..], &files, &conditions].concat());
    let seen = summary(&events);
    assert_eq!((&seen["offered"], &seen["answered"], &seen["failed"]), (&14.into(), &14.into(), &0.into()), "{seen}");
    assert_eq!((&seen["call_setup"]["count"], &seen["mos"]["count"]), (&14.into(), &14.into()), "{seen}");
    let at = |name: &str, figure: &str| seen[name][figure].as_f64().unwrap_or_else(|| panic!("{name}: {seen}"));
    assert!(at("call_setup", "min") > 0.5 && at("call_setup", "max") < 5_000.0, "{seen}");
    assert!(at("mos", "p50") > 3.0 && at("mos", "max") < 4.6 && at("latency", "min") >= 20.0, "{seen}");
    assert!(seen["markers"].as_u64().is_some_and(|markers| markers >= 2), "{seen}");
    // No connection is that good.
    let broken: Vec<&Value> = events.iter().filter(|event| event["holds"] == false).collect();
    assert!(broken.len() == 1 && broken[0]["threshold"] == "mos_p95 > 4.9" && code != 0, "{code} {broken:?}");
    assert!(code == 99 || seen["valid"] == false, "{code} {seen}");
    target.interrupt();
    let taken = target.expect("target.summary", PATIENCE);
    assert_eq!(taken["taken"], 14);
    target.finish(PATIENCE);
    let read = |path: &str| fs::read_to_string(path).expect("a file");
    assert!(read(&html).contains("<svg") && read(&junit).contains("mos_p95 &gt; 4.9"));
    let begun = read(&csv).lines().skip(1).filter_map(|row| row.split(',').nth(1)?.parse::<u64>().ok()).sum::<u64>();
    assert_eq!(begun, 14);
    let (_, out, _) = home.run(&["bench", "merge", &json, &json, "--json"], "");
    let merged = out.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok()).expect("a summary");
    assert_eq!((&merged["offered"], &merged["call_setup"]["count"]), (&28.into(), &28.into()));
    assert_eq!(merged["call_setup"]["p50"], seen["call_setup"]["p50"]);
}

#[test]
fn failures_are_told_by_their_code() {
    let home = Home::new();
    let (target, uri) = target(&home, &["--reject", "486"]);
    let (code, events) = load(&home, &uri, &["--rate", "5/s:1s", "--threshold", "failures < 1%"]);
    let seen = summary(&events);
    let told = seen["failures"].as_object().expect("failures");
    assert_eq!(
        told.iter().map(|(reason, count)| (reason.as_str(), count.as_u64())).collect::<Vec<_>>(),
        [("486 Busy Here", Some(5))]
    );
    assert!(seen["mos"].is_null() && code != 0, "{code} {seen}");
    target.interrupt();
    target.finish(PATIENCE);
}

#[test]
fn sipp_sees_as_many_calls() {
    if !installed("sipp") {
        return;
    }
    let sipp = Sipp::answers("uas", &sipp::Options { calls: 6, arguments: &["-rtp_echo"], ..Default::default() });
    let home = Home::new();
    let (_, events) = load(&home, &sipp.uri(), &["--rate", "3/s:2s", "--talk", "1", "--check", "0"]);
    let trace = sipp.finish(PATIENCE);
    let seen = summary(&events);
    assert_eq!((&seen["offered"], &seen["answered"], &seen["failed"]), (&6.into(), &6.into(), &0.into()), "{seen}");
    assert!(received(&trace, "INVITE ", "sdp") >= 6 && received(&trace, "BYE ", "") >= 6);
}

#[test]
fn as_many_calls_at_a_time_as_asked_for() {
    let home = Home::new();
    let (target, uri) = target(&home, &[]);
    let how = ["--calls", "3", "--duration", "4", "--scenario", "dtmf", "--talk", "0.5", "--check", "0"];
    let (_, events) = load(&home, &uri, &how);
    let seen = summary(&events);
    let calls =
        events.iter().filter(|event| event["event"] == "load.progress").filter_map(|event| event["calls"].as_u64());
    let most = calls.max().unwrap_or(0);
    assert!((2..=3).contains(&most), "{most} at a time: {events:?}");
    assert!(seen["answered"].as_u64().is_some_and(|answered| answered >= 3) && seen["failed"] == 0, "{seen}");
    assert!(seen["markers"] == 0 && seen["latency"].is_null(), "{seen}");
    target.interrupt();
    target.finish(PATIENCE);
}
