//! `bench latency` against phones that echo: ours, baresip, SIPp.

use crate::baresip::{self, Baresip};
use crate::process::{address, expect, installed, measured};
use crate::sidetone::Home;
use crate::sipp::{self, Sipp};
use serde_json::Value;
use std::time::Duration;

/// Measures the echo of `target` for some seconds; the summary.
fn measure(target: &str) -> Value {
    let (home, bind) = (Home::new(), address().to_string());
    let arguments = ["bench", "latency", target, "--no-register", "--bind", &bind, "--codec", "pcmu"];
    let times = ["--warm-up", "2", "--duration", "6", "--interval", "0.25", "--json"];
    let (code, out, err) = home.run(&[&arguments[..], &times].concat(), "");
    assert_eq!(code, 0, "{out}\n{err}");
    let events = out.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    let summary = events.into_iter().find(|event| event["event"] == "latency.summary");
    summary.unwrap_or_else(|| panic!("no summary: {out}\n{err}"))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Markers come back, and the rows of the table are as long as the whole.
fn check(summary: &Value) -> Result<(), String> {
    let stages = summary["stages"].as_object().ok_or_else(|| format!("no stages: {summary}"))?;
    let sum: f64 = stages.values().filter_map(Value::as_f64).sum();
    assert!((sum - number(&summary["latency"]["mean"])).abs() < 0.01, "{summary}");
    assert_eq!((&summary["codec"], &summary["packet_time_ms"]), (&"PCMU".into(), &20.0.into()), "{summary}");
    let heard = number(&summary["sent"]) >= 12.0 && number(&summary["lost"]) <= 1.0;
    expect(heard, "markers are missing", summary)
}

#[test]
fn a_reflector_of_packets_adds_next_to_nothing() {
    if !installed("sipp") {
        return;
    }
    let reflected = || {
        let sipp = Sipp::answers("uas", &sipp::Options { arguments: &["-rtp_echo"], ..Default::default() });
        let summary = measure(&sipp.uri());
        sipp.finish(Duration::from_secs(20));
        summary
    };
    measured(reflected, |summary| {
        check(summary)?;
        assert!(summary["stages"]["network"].is_null(), "it sends no RTCP: {summary}");
        expect((-0.5..5.0).contains(&number(&summary["stages"]["far_side"])), "a reflector adds nothing", summary)
    });
}

#[test]
fn the_buffer_of_baresip_is_heard() {
    if !installed("baresip") {
        return;
    }
    let baresip = Baresip::start(&baresip::Options { echoes: true, ..Default::default() });
    measured(
        || measure(&baresip.uri()),
        |summary| {
            check(summary)?;
            let far_side = number(&summary["stages"]["far_side"]);
            expect((40.0..500.0).contains(&far_side), "it waits for 5 packets at least before it plays", summary)
        },
    );
}

#[test]
fn our_own_echo_is_measured() {
    let (home, bind) = (Home::new(), format!("{}:0", address()));
    let arguments = ["answer", "--no-register", "--bind", &bind, "--source", "echo", "--sink", "null"];
    let mut phone = home.start(&arguments, "");
    let ready = phone.expect("phone.ready", Duration::from_secs(20));
    let target = format!("sip:echo@{}", ready["address"].as_str().expect("an address"));
    measured(
        || measure(&target),
        |summary| {
            check(summary)?;
            expect(number(&summary["latency"]["p50"]) < 200.0, "there and back on one machine", summary)?;
            // Reports are sent at random times (RFC 3550 section 6.3): one that tells the round trip may come too late.
            let network = summary["stages"]["network"].as_f64();
            expect(network.is_some_and(|network| network < 10.0), "loopback, by RTCP", summary)
        },
    );
    phone.interrupt();
    phone.finish(Duration::from_secs(20));
}
