//! How long our echo keeps what it hears, measured as a user would.

use crate::process::{address, expect, measured};
use crate::sidetone::Home;
use serde_json::Value;
use std::time::Duration;

/// A machine that builds and tests is not one to measure on: the figures of README are made on a quiet one. Here the
/// packets have to come back whole, and sooner than through a buffer of a fixed 60 ms.
#[test]
fn an_echo_comes_back_soon_and_whole() {
    let home = Home::new();
    let bind = address().to_string();
    let answer = ["answer", "--no-register", "--bind", &bind, "--source", "echo", "--sink", "null"];
    let mut phone = home.start(&answer, "");
    let ready = phone.expect("phone.ready", Duration::from_secs(15));
    let target = format!("sip:echo@{}", ready["address"].as_str().expect("an address"));
    let bench = ["bench", "turnaround", &target, "--calls", "2", "--duration", "3", "--warm-up", "2", "--json"];
    let turn = || {
        let (code, stdout, stderr) = home.run(&bench, "");
        assert_eq!(code, 0, "{stderr}");
        let events: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
        assert_eq!(names, ["turnaround.call", "turnaround.call", "turnaround.summary"]);
        assert_eq!(events[2]["pieces"], 300);
        events[2].clone()
    };
    measured(turn, |summary| {
        expect(summary["intact_percent"].as_f64().unwrap() > 95.0, "not whole", summary)?;
        let median = summary["turnaround_ms"]["median"].as_f64().unwrap();
        expect((0.1..60.0).contains(&median), "not soon", summary)
    });
    phone.interrupt();
    assert_eq!(phone.finish(Duration::from_secs(15)).0, 0);

    let (code, _, stderr) = home.run(&["bench", "turnaround", &target, "--arrival", "jitter"], "");
    assert!(code == 8 && stderr.contains("jitter:SIGMA_MS"), "{code} {stderr}");
}
