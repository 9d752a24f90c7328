//! `sidetone history`, on a call log whose rows are known.

use crate::process::{Home, Outcome};
use serde_json::{Value, json};
use sidetone::call::record::Record;
use sidetone::store::{Options, Store};
use std::time::Duration;

/// Direction, status, from, to, number, account; the newest last.
const CALLS: &[(&str, &str, &str, &str, &str, &str)] = &[
    (
        "outbound",
        "completed",
        "sip:ann@trunk.example",
        "sip:+15550100001@trunk.example",
        "ann",
        "sip:ann@trunk.example",
    ),
    ("inbound", "missed", "sip:+15550100002@trunk.example", "sip:ann@trunk.example", "ann", "sip:ann@trunk.example"),
    ("outbound", "busy", "sip:bob@other.example", "sip:+15550100001@other.example", "bob", "sip:bob@other.example"),
    ("inbound", "completed", "sip:cid@trunk.example", "sip:ann@trunk.example", "ann", "sip:ann@trunk.example"),
];

fn home_with_calls() -> Home {
    let home = Home::new();
    let store = Store::open(&home.path("calls.db"), Options::default()).unwrap();
    for (n, (direction, status, from, to, number, account)) in CALLS.iter().enumerate() {
        let record: Record = serde_json::from_value(json!({
            "id": format!("01900000-0000-7000-8000-00000000000{n}"),
            "direction": direction, "status": status, "from": from, "to": to, "number": number, "account": account,
            "created_at": format!("2026-01-02T03:04:0{n}Z"), "ended_at": format!("2026-01-02T03:05:0{n}Z"),
            "dtmf_received": "", "sip_code": null, "sip_reason": null, "ended_by": "remote", "ringing_at": null,
            "answered_at": null, "talk_seconds": null, "codec": null, "ptime_ms": null, "transport": "udp",
            "srtp": null, "recording": null, "metadata": {},
            "quality": sidetone::media::quality::Report::default(),
        }))
        .unwrap();
        store.finished(&record);
    }
    store.close(Duration::from_secs(30)).unwrap();
    home
}

/// The numbers of the calls that are shown, in order.
fn shown(home: &Home, arguments: &[&str]) -> Vec<usize> {
    let number = |row: &Value| row["id"].as_str().unwrap().rsplit('0').next().unwrap().parse().unwrap_or(0);
    home.history(arguments).iter().map(number).collect()
}

#[test]
fn filters_choose_and_the_newest_comes_first() {
    let home = home_with_calls();
    let rows: &[(&[&str], &[usize])] = &[
        (&[], &[3, 2, 1, 0]),
        (&["--direction", "inbound"], &[3, 1]),
        (&["--direction", "outbound"], &[2, 0]),
        (&["--status", "completed"], &[3, 0]),
        (&["--status", "missed"], &[1]),
        (&["--status", "interrupted"], &[]),
        (&["--number", "+15550100001"], &[2, 0]),
        (&["--number", "0100002"], &[1]),
        (&["--number", "cid"], &[3]),
        (&["--direction", "outbound", "--status", "busy"], &[2]),
        (&["--limit", "2"], &[3, 2]),
        (&["--status", "completed", "--limit", "1"], &[3]),
        (&["--limit", "0"], &[]),
    ];
    for (arguments, expected) in rows {
        assert_eq!(shown(&home, arguments), *expected, "{arguments:?}");
    }
}

#[test]
fn csv_has_a_header_and_a_row_for_each_call() {
    let home = home_with_calls();
    let Outcome { code, out, err } = home.run(&["history", "--csv", "--limit", "3"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let mut reader = csv::Reader::from_reader(out.as_bytes());
    let columns = reader.headers().unwrap().clone();
    let at = |name: &str| columns.iter().position(|column| column == name).unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0].get(at("from")), Some("sip:cid@trunk.example"));
    assert_eq!(rows[1].get(at("status")), Some("busy"));
    assert_eq!(rows[1].get(at("inbound_mos")), Some(""));
}

#[test]
fn the_table_is_for_people() {
    let home = home_with_calls();
    let outcome = home.run(&["history"]);
    assert_eq!(outcome.code, 0);
    let lines: Vec<&str> = outcome.out.lines().collect();
    assert_eq!(lines.len(), 5, "{}", outcome.out);
    assert!(lines[0].starts_with("STARTED") && lines[1].contains("cid@trunk.example") && lines[3].contains("missed"));
}

#[test]
fn without_a_call_there_is_nothing_to_show() {
    let home = Home::new();
    assert_eq!(home.history(&[]), Vec::<Value>::new());
    let text = home.run(&["history"]);
    assert_eq!((text.code, text.out.as_str()), (0, "no calls\n"));
    assert!(!home.path("calls.db").exists(), "looking makes nothing");
}

#[test]
fn a_file_that_is_no_call_log_is_named() {
    let home = Home::new();
    std::fs::write(home.path("calls.db"), "this is a letter to my aunt, not a database of calls".repeat(100)).unwrap();
    let outcome = home.run(&["history"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
    assert!(outcome.err.contains("calls.db") && outcome.err.contains("SIDETONE_DB"), "{}", outcome.err);
}

#[test]
fn the_flag_wins_over_the_environment() {
    let (home, other) = (home_with_calls(), Home::new());
    let path = home.text("calls.db");
    assert_eq!(other.history(&["--db", &path]).len(), CALLS.len());
    assert_eq!(other.history(&[]).len(), 0);
}
