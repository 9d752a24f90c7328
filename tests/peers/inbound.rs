//! SIPp calls us: everything that a caller can do to an answering side.

use crate::process::{address, installed};
use crate::sidetone::{Home, Sidetone};
use crate::sipp::{Options, Sipp, Traced, received};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(20);
const DEAF: Options = Options { tcp: false, calls: 1, arguments: &["-pause_msg_ign"] };

/// A phone that takes calls from anyone, and its address.
pub fn answer(home: &Home, more: &[&str]) -> (Sidetone, SocketAddr) {
    let bind = format!("{}:0", address());
    let arguments = ["answer", "--no-register", "--bind", &bind, "--source", "tone:440", "--sink", "null"];
    let mut phone = home.start(&[&arguments[..], more].concat(), "");
    let ready = phone.expect("phone.ready", SETUP);
    let address = ready["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
    (phone, address)
}

/// What became of one call.
struct Outcome {
    record: Value,
    story: String,
    trace: Vec<Traced>,
}

/// SIPp plays `scenario` against a phone that takes one call.
fn play(scenario: &str, more: &[&str], options: &Options) -> Outcome {
    let home = Home::new();
    let (mut phone, target) = answer(&home, more);
    let sipp = Sipp::calls(scenario, target, options);
    let ended = phone.expect("call.ended", Duration::from_secs(60));
    // Only now Ctrl-C: requests after the end of the call are answered too.
    let trace = sipp.finish(SETUP);
    let story = phone.story();
    phone.interrupt();
    assert_eq!(phone.finish(SETUP).0, 0);
    let record = ended["call"].clone();
    let rows = home.history();
    assert_eq!(rows.len(), 1, "{rows:?}");
    for field in ["id", "status", "sip_code", "ended_by", "codec", "metadata"] {
        assert_eq!(rows[0][field], record[field], "{field}: the history differs from the event");
    }
    assert_eq!(record["direction"], "inbound", "{record}");
    Outcome { record, story, trace }
}

fn assert_completed(record: &Value, ended_by: &str) {
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(record["sip_code"], 200, "{record}");
    assert_eq!(record["ended_by"], ended_by, "{record}");
    assert_eq!(record["codec"], "PCMU", "{record}");
}

#[test]
fn answers_the_built_in_uac_over_udp() {
    if !installed("sipp") {
        return;
    }
    let Outcome { record, trace, .. } = play("uac", &[], &Options { arguments: &["-d", "500"], ..Options::default() });
    assert_completed(&record, "remote");
    assert_eq!(record["transport"], "udp");
    assert_eq!((received(&trace, "SIP/2.0 180", ""), received(&trace, "SIP/2.0 200", "INVITE")), (1, 1));
}

#[test]
fn answers_the_built_in_uac_over_tcp() {
    if !installed("sipp") {
        return;
    }
    let options = Options { tcp: true, arguments: &["-d", "500"], ..Options::default() };
    let Outcome { record, .. } = play("uac", &[], &options);
    assert_completed(&record, "remote");
    assert_eq!(record["transport"], "tcp");
}

#[test]
fn hangs_up_after_the_duration() {
    if !installed("sipp") {
        return;
    }
    let Outcome { record, .. } = play("uac_hung_up", &["--duration", "1"], &Options::default());
    assert_completed(&record, "local");
    assert!((0.9..3.0).contains(&record["talk_seconds"].as_f64().unwrap()), "{record}");
}

#[test]
fn ctrl_c_ends_the_calls_of_an_answering_phone() {
    if !installed("sipp") {
        return;
    }
    let home = Home::new();
    let (mut phone, target) = answer(&home, &[]);
    let sipp = Sipp::calls("uac_hung_up", target, &Options::default());
    phone.expect("call.answered", SETUP);
    phone.interrupt();
    let ended = phone.expect("call.ended", SETUP);
    assert_completed(&ended["call"], "local");
    assert_eq!(phone.finish(SETUP).0, 0);
    sipp.finish(SETUP);
    assert_eq!(home.history()[0]["status"], "completed");
}

#[test]
fn a_caller_that_gives_up_is_a_missed_call() {
    if !installed("sipp") {
        return;
    }
    let Outcome { record, story, .. } = play("uac_cancel", &["--ring", "30"], &Options::default());
    assert_eq!((&record["status"], &record["ended_by"]), (&"missed".into(), &"remote".into()), "{record}");
    assert_eq!(record["sip_code"], 487, "{record}");
    assert!(record["ringing_at"].is_string() && record["answered_at"].is_null(), "{record}");
    assert!(!story.contains("call.answered"), "{story}");
}

#[test]
fn rejects_with_the_status_that_was_asked_for() {
    if !installed("sipp") {
        return;
    }
    for (scenario, code, status) in [("uac_rejected", 486, "busy"), ("uac_declined", 603, "declined")] {
        let Outcome { record, .. } = play(scenario, &["--reject", &code.to_string()], &Options::default());
        assert_eq!((&record["status"], &record["sip_code"]), (&status.into(), &code.into()), "{record}");
        assert_eq!(record["ended_by"], "local", "{record}");
    }
}

#[test]
fn an_answer_is_repeated_until_its_ack() {
    if !installed("sipp") {
        return;
    }
    let Outcome { record, trace, .. } = play("uac_lost_ack", &[], &DEAF);
    assert_completed(&record, "remote");
    // At 0, 0.5 and 1.5 s; the ACK comes at 1.8 s.
    assert_eq!(received(&trace, "SIP/2.0 200", "INVITE"), 3, "{trace:?}");
}

#[test]
fn an_answer_without_any_ack_ends_with_bye() {
    if !installed("sipp") {
        return;
    }
    let Outcome { record, trace, .. } = play("uac_no_ack", &[], &Options::default());
    assert_eq!(record["ended_by"], "network", "{record}");
    let talk = record["talk_seconds"].as_f64().unwrap();
    assert!((31.0..40.0).contains(&talk), "64*T1 are 32 s: {record}");
    assert_eq!(received(&trace, "BYE ", ""), 1);
    // T1 doubles up to T2: 0, 0.5, 1.5, 3.5, and every 4 s until 31.5.
    assert_eq!(received(&trace, "SIP/2.0 200", "INVITE"), 11, "{trace:?}");
}

#[test]
fn a_late_bye_is_answered_with_481() {
    if !installed("sipp") {
        return;
    }
    let Outcome { record, trace, .. } = play("uac_late_bye", &[], &Options::default());
    assert_completed(&record, "remote");
    assert_eq!(received(&trace, "SIP/2.0 481", "BYE"), 1);
}

#[test]
fn a_retransmitted_invite_is_one_call() {
    if !installed("sipp") {
        return;
    }
    let Outcome { record, story, trace } = play("uac_retransmit", &["--ring", "1"], &DEAF);
    assert_completed(&record, "remote");
    assert_eq!(story.matches("call.initiated").count(), 1, "{story}");
    assert_eq!(received(&trace, "SIP/2.0 180", ""), 3, "each copy is answered: {trace:?}");
    assert_eq!(received(&trace, "SIP/2.0 200", "INVITE"), 1, "{trace:?}");
}

#[test]
fn an_invite_without_an_offer_gets_ours() {
    if !installed("sipp") {
        return;
    }
    let Outcome { record, .. } = play("uac_offerless", &[], &Options::default());
    assert_completed(&record, "remote");
    assert_eq!(record["ptime_ms"], 20, "{record}");
}

#[test]
fn hold_and_resume_are_told() {
    if !installed("sipp") {
        return;
    }
    // sendonly, then 0.0.0.0 (still on hold), then sendrecv.
    let Outcome { record, story, trace } = play("uac_hold", &[], &Options::default());
    assert_completed(&record, "remote");
    let held: Vec<&str> =
        story.split(' ').filter(|name| ["call.held", "call.resumed", "call.answered"].contains(name)).collect();
    assert_eq!(held, ["call.answered", "call.held", "call.resumed"], "{story}");
    let answers: Vec<&str> = trace
        .iter()
        .filter(|message| message.received && message.text.starts_with("SIP/2.0 200"))
        .filter_map(|message| {
            ["a=sendrecv", "a=recvonly", "a=inactive"].into_iter().find(|way| message.text.contains(way))
        })
        .collect();
    assert_eq!(answers[..2], ["a=sendrecv", "a=recvonly"], "{answers:?}");
    assert_eq!(answers.last(), Some(&"a=sendrecv"), "{answers:?}");
}

#[test]
fn the_codec_changes_by_re_invite() {
    if !installed("sipp") {
        return;
    }
    let Outcome { record, .. } = play("uac_codec_change", &[], &Options::default());
    assert_eq!((&record["status"], &record["codec"]), (&"completed".into(), &"PCMA".into()), "{record}");
}

#[test]
fn a_refused_change_leaves_the_call_as_it_was() {
    if !installed("sipp") {
        return;
    }
    let Outcome { record, .. } = play("uac_reoffers", &[], &Options::default());
    assert_completed(&record, "remote");
}

#[test]
fn an_offer_without_a_known_codec_is_refused_with_a_warning() {
    if !installed("sipp") {
        return;
    }
    let Outcome { record, story, .. } = play("uac_refused_codec", &[], &Options::default());
    assert_eq!((&record["status"], &record["sip_code"]), (&"failed".into(), &488.into()), "{record}");
    assert!(record["metadata"]["reason"].as_str().unwrap().contains("codec"), "{record}");
    assert!(!story.contains("call.ringing"), "nobody is disturbed: {story}");
}

#[test]
fn compact_names_and_odd_spaces_in_a_call_are_read() {
    if !installed("sipp") {
        return;
    }
    let Outcome { record, .. } = play("uac_compact", &[], &Options::default());
    assert_completed(&record, "remote");
}

#[test]
fn our_bye_takes_the_recorded_route_back() {
    if !installed("sipp") {
        return;
    }
    let Outcome { record, trace, .. } = play("uac_record_route", &["--duration", "1"], &Options::default());
    assert_completed(&record, "local");
    let bye = trace.iter().find(|message| message.received && message.text.starts_with("BYE ")).unwrap();
    let (near, far) = (bye.text.find("Route: <sip:127."), bye.text.find("<sip:192.0.2.99;lr>"));
    assert!(near.is_some() && near < far, "{}", bye.text);
}

#[test]
fn options_are_answered_and_impossible_requests_are_refused_one_by_one() {
    if !installed("sipp") {
        return;
    }
    let home = Home::new();
    let (phone, target) = answer(&home, &[]);
    for scenario in ["uac_options", "uac_refusals"] {
        for tcp in [false, true] {
            let trace = Sipp::calls(scenario, target, &Options { tcp, ..Options::default() }).finish(SETUP);
            assert!(received(&trace, "SIP/2.0 ", "Server: Sidetone/") > 0 || scenario == "uac_options", "{trace:?}");
        }
    }
    phone.interrupt();
    assert_eq!(phone.finish(SETUP).0, 0);
    assert_eq!(home.history(), Vec::<Value>::new(), "none of this is a call");
}

#[test]
fn two_hundred_calls_at_twenty_a_second_all_complete_and_all_have_rows() {
    if !installed("sipp") {
        return;
    }
    let home = Home::new();
    let (mut phone, target) = answer(&home, &["--max-calls", "200"]);
    let options =
        Options { calls: 200, arguments: &["-r", "20", "-d", "800", "-buff_size", "400000"], ..Options::default() };
    let sipp = Sipp::calls("uac", target, &options);
    for _ in 0..200 {
        let ended = phone.expect("call.ended", Duration::from_secs(40));
        assert_completed(&ended["call"], "remote");
    }
    assert_eq!(phone.finish(SETUP).0, 0);
    // SIPp's exit code is 0 only if no call failed.
    sipp.finish(SETUP);
    let rows = home.history();
    assert_eq!(rows.len(), 200);
    let mut ids: Vec<&str> = rows.iter().map(|row| row["metadata"]["call_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 200, "each call has its own row");
    assert!(rows.iter().all(|row| row["status"] == "completed" && row["answered_at"].is_string()), "{rows:?}");
}
