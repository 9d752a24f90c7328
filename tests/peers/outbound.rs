//! We call SIPp: everything that an answering side can do to a caller.

use crate::process::{address, eventually, free_port, installed};
use crate::sidetone::{Home, Sidetone};
use crate::sipp::{Options, Sipp, received};
use serde_json::Value;
use std::net::UdpSocket;
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(20);
/// Longer than 64*T1: the time-outs of RFC 3261 are 32 s.
const GIVES_UP: Duration = Duration::from_secs(50);

/// Calls `uri` without registering, from an address of its own.
fn call(home: &Home, uri: &str, more: &[&str]) -> Sidetone {
    call_as(home, uri, more, "")
}

fn call_as(home: &Home, uri: &str, more: &[&str], password: &str) -> Sidetone {
    let bind = address().to_string();
    let arguments = ["call", uri, "--no-register", "--bind", &bind, "--source", "tone:440", "--sink", "null"];
    home.start(&[&arguments[..], more].concat(), password)
}

/// The record of the call, the same in the event and in the history, with its exit code.
fn end(home: &Home, mut phone: Sidetone, limit: Duration) -> (Value, i32) {
    let ended = phone.expect("call.ended", limit);
    let (code, errors) = phone.finish(SETUP);
    let record = ended["call"].clone();
    let rows = home.history();
    assert_eq!(rows.len(), 1, "{rows:?}");
    for field in ["id", "status", "sip_code", "ended_by", "codec", "metadata"] {
        assert_eq!(rows[0][field], record[field], "{field}: the history differs from the event; {errors}");
    }
    assert!(record["ended_at"].is_string(), "{record}");
    (record, code)
}

/// Calls a SIPp that plays `scenario`; record, exit code and SIPp's trace.
fn play(scenario: &str, more: &[&str], options: &Options) -> (Value, i32, Vec<crate::sipp::Traced>) {
    let sipp = Sipp::answers(scenario, options);
    let home = Home::new();
    let phone = call(&home, &sipp.uri(), more);
    let (record, code) = end(&home, phone, SETUP);
    (record, code, sipp.finish(SETUP))
}

fn assert_completed(record: &Value, code: i32, ended_by: &str) {
    assert_eq!(code, 0, "{record}");
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(record["sip_code"], 200, "{record}");
    assert_eq!(record["ended_by"], ended_by, "{record}");
    assert_eq!(record["codec"], "PCMU", "{record}");
    assert!(record["talk_seconds"].as_f64().unwrap() > 0.0, "{record}");
}

#[test]
fn calls_the_built_in_uas_over_udp() {
    if !installed("sipp") {
        return;
    }
    let (record, code, trace) = play("uas", &["--duration", "1"], &Options::default());
    assert_completed(&record, code, "local");
    assert_eq!(record["transport"], "udp");
    assert!(record["ringing_at"].is_string() && record["answered_at"].is_string(), "{record}");
    assert_eq!(received(&trace, "ACK ", ""), 1);
    assert_eq!(received(&trace, "BYE ", ""), 1);
}

#[test]
fn calls_over_tcp() {
    if !installed("sipp") {
        return;
    }
    // The built-in UAS takes the end of a connection within its last four seconds for a failure.
    let options = Options { tcp: true, ..Options::default() };
    let (record, code, trace) = play("uas_record_route", &["--duration", "1"], &options);
    assert_completed(&record, code, "local");
    assert_eq!(record["transport"], "tcp");
    assert_eq!(received(&trace, "INVITE ", "SIP/2.0/TCP"), 1);
    assert_eq!(received(&trace, "BYE ", "SIP/2.0/TCP"), 1);
}

#[test]
fn a_killed_phone_leaves_a_row_that_the_next_start_closes() {
    if !installed("sipp") {
        return;
    }
    let sipp = Sipp::answers("uas", &Options::default());
    let home = Home::new();
    let mut phone = call(&home, &sipp.uri(), &[]);
    phone.expect("call.answered", SETUP);
    let talking = |row: &Value| row["status"] == "in-progress" && row["answered_at"].is_string();
    assert!(eventually(SETUP, || home.history().iter().any(talking)), "{:?}", home.history());
    phone.kill();
    let next = call(&home, "sip:nobody@127.0.0.1:9;transport=tcp", &[]);
    assert_eq!(next.finish(SETUP).0, 5);
    let rows = home.history();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(rows[1]["status"], "interrupted", "{rows:?}");
    assert_eq!(rows[1]["codec"], "PCMU", "{rows:?}");
}

#[test]
fn answers_the_challenge_of_the_far_end() {
    if !installed("sipp") {
        return;
    }
    let sipp = Sipp::answers("uas_auth", &Options::default());
    let home = Home::new();
    let aor = format!("sip:alice@{}", sipp.address);
    let phone = call_as(&home, &sipp.uri(), &["--duration", "1", "--aor", &aor], "secret-alice");
    let (record, code) = end(&home, phone, SETUP);
    assert_completed(&record, code, "local");
    let trace = sipp.finish(SETUP);
    assert_eq!(received(&trace, "INVITE ", "\nAuthorization: Digest "), 1);
    assert_eq!(received(&trace, "INVITE ", ""), 2);
}

#[test]
fn a_wrong_password_in_a_call_is_exit_code_4() {
    if !installed("sipp") {
        return;
    }
    let sipp = Sipp::answers("uas_auth", &Options::default());
    let home = Home::new();
    let aor = format!("sip:alice@{}", sipp.address);
    let phone = call_as(&home, &sipp.uri(), &["--aor", &aor], "wrong");
    let (record, code) = end(&home, phone, SETUP);
    assert_eq!((code, &record["status"], &record["sip_code"]), (4, &"failed".into(), &403.into()), "{record}");
    sipp.finish(SETUP);
}

#[test]
fn refusals_are_told_apart() {
    if !installed("sipp") {
        return;
    }
    let rows = [
        ("uas_busy", 486, "busy", 6),
        ("uas_declined", 603, "declined", 6),
        ("uas_away", 480, "no-answer", 5),
        ("uas_unknown", 404, "failed", 3),
        ("uas_moved", 302, "failed", 3),
    ];
    for (scenario, status, name, exit) in rows {
        let (record, code, trace) = play(scenario, &[], &Options::default());
        assert_eq!(record["status"], name, "{scenario}: {record}");
        assert_eq!(record["sip_code"], status, "{scenario}: {record}");
        assert_eq!(record["ended_by"], "remote", "{scenario}: {record}");
        assert!(record["answered_at"].is_null() && record["talk_seconds"].is_null(), "{scenario}: {record}");
        assert_eq!(code, exit, "{scenario}: {record}");
        assert_eq!(received(&trace, "ACK ", ""), 1, "{scenario}");
        if scenario == "uas_declined" {
            assert_eq!(record["metadata"]["reason_header"], r#"Q.850;cause=21;text="Call Rejected""#, "{record}");
        }
    }
}

#[test]
fn the_ring_limit_cancels() {
    if !installed("sipp") {
        return;
    }
    let (record, code, trace) = play("uas_ring_forever", &["--ring-limit", "1"], &Options::default());
    assert_eq!((code, &record["status"]), (5, &"no-answer".into()), "{record}");
    assert_eq!((&record["sip_code"], &record["ended_by"]), (&487.into(), &"local".into()), "{record}");
    assert_eq!(received(&trace, "CANCEL ", ""), 1);
}

#[test]
fn ctrl_c_cancels_while_it_rings() {
    if !installed("sipp") {
        return;
    }
    let sipp = Sipp::answers("uas_ring_forever", &Options::default());
    let home = Home::new();
    let mut phone = call(&home, &sipp.uri(), &[]);
    phone.expect("call.ringing", SETUP);
    phone.interrupt();
    let (record, code) = end(&home, phone, SETUP);
    assert_eq!((code, &record["status"], &record["ended_by"]), (1, &"canceled".into(), &"local".into()), "{record}");
    let trace = sipp.finish(SETUP);
    assert_eq!(received(&trace, "CANCEL ", ""), 1);
}

#[test]
fn ctrl_c_hangs_up_a_call_that_is_answered() {
    if !installed("sipp") {
        return;
    }
    let sipp = Sipp::answers("uas", &Options::default());
    let home = Home::new();
    let mut phone = call(&home, &sipp.uri(), &[]);
    phone.expect("call.answered", SETUP);
    phone.interrupt();
    let (record, code) = end(&home, phone, SETUP);
    assert_completed(&record, code, "local");
    let trace = sipp.finish(SETUP);
    assert_eq!(received(&trace, "BYE ", ""), 1);
}

#[test]
fn a_silent_peer_is_given_up_after_32_seconds() {
    let ip = address();
    let silent = UdpSocket::bind((ip, free_port(ip))).unwrap();
    let home = Home::new();
    let uri = format!("sip:nobody@{}", silent.local_addr().unwrap());
    let phone = call(&home, &uri, &[]);
    let (record, code) = end(&home, phone, GIVES_UP);
    assert_eq!((code, &record["status"], &record["ended_by"]), (5, &"failed".into(), &"network".into()), "{record}");
    silent.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    let invites = std::iter::from_fn(|| silent.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()))
        .filter(|datagram| datagram.starts_with(b"INVITE "))
        .count();
    // Timer A doubles from T1 until timer B: at 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s.
    assert_eq!(invites, 7);
}

#[test]
fn ctrl_c_again_gives_a_silent_peer_up_at_once() {
    let ip = address();
    let silent = UdpSocket::bind((ip, free_port(ip))).unwrap();
    silent.set_read_timeout(Some(SETUP)).unwrap();
    let home = Home::new();
    let uri = format!("sip:nobody@{}", silent.local_addr().unwrap());
    let mut phone = call(&home, &uri, &[]);
    silent.recv(&mut [0; 4096]).expect("an INVITE");
    // CANCEL has to wait for a provisional response (RFC 3261 section 9.1), which never comes.
    let pressed = (1..=20).find(|_| {
        phone.interrupt();
        eventually(Duration::from_millis(500), || phone.has_ended())
    });
    assert!(pressed.is_some_and(|times| times > 1), "pressed {pressed:?} times");
    let (record, code) = end(&home, phone, SETUP);
    assert_eq!((code, &record["status"], &record["ended_by"]), (1, &"canceled".into(), &"local".into()), "{record}");
}

#[test]
fn a_large_request_goes_by_udp_where_nobody_takes_tcp() {
    if !installed("sipp") {
        return;
    }
    let sipp = Sipp::answers("uas_early_media", &Options::default());
    let (home, name, bind) = (Home::new(), "long name ".repeat(100), address());
    let aor = format!("sip:alice@{bind}");
    let phone = call(&home, &sipp.uri(), &["--aor", &aor, "--display-name", &name, "--duration", "1"]);
    let (record, code) = end(&home, phone, SETUP);
    assert_completed(&record, code, "local");
    assert_eq!(record["transport"], "udp", "{record}");
    let trace = sipp.finish(SETUP);
    let invite = trace.iter().find(|message| message.text.starts_with("INVITE ")).unwrap();
    assert!(invite.text.len() > 1_300 && invite.text.contains("SIP/2.0/UDP"), "{}", invite.text);
}

#[test]
fn a_port_where_nobody_listens_is_exit_code_5() {
    let ip = address();
    let uri = format!("sip:nobody@{ip}:{};transport=tcp", free_port(ip));
    let home = Home::new();
    let phone = call(&home, &uri, &[]);
    let (record, code) = end(&home, phone, SETUP);
    assert_eq!((code, &record["status"], &record["ended_by"]), (5, &"failed".into(), &"network".into()), "{record}");
}

#[test]
fn early_media_is_told() {
    if !installed("sipp") {
        return;
    }
    let sipp = Sipp::answers("uas_early_media", &Options::default());
    let home = Home::new();
    let mut phone = call(&home, &sipp.uri(), &["--duration", "1"]);
    let ringing = phone.expect("call.ringing", SETUP);
    assert_eq!(ringing["early_media"], true, "{ringing}");
    let answered = phone.expect("call.answered", SETUP);
    assert_eq!((&answered["codec"], &answered["ptime_ms"]), (&"PCMU".into(), &20.into()), "{answered}");
    let (record, code) = end(&home, phone, SETUP);
    assert_completed(&record, code, "local");
    sipp.finish(SETUP);
}

#[test]
fn a_lost_ack_is_repeated() {
    if !installed("sipp") {
        return;
    }
    let options = Options { arguments: &["-pause_msg_ign"], ..Options::default() };
    let (record, code, trace) = play("uas_lost_ack", &["--duration", "3"], &options);
    assert_completed(&record, code, "local");
    assert_eq!(received(&trace, "ACK ", ""), 3, "one for each 200");
}

#[test]
fn a_lost_bye_is_repeated() {
    if !installed("sipp") {
        return;
    }
    let options = Options { arguments: &["-pause_msg_ign"], ..Options::default() };
    let (record, code, trace) = play("uas_lost_bye", &["--duration", "0.3"], &options);
    assert_completed(&record, code, "local");
    assert!(received(&trace, "BYE ", "") >= 3, "{trace:?}");
}

#[test]
fn the_reason_of_a_far_end_that_hangs_up_is_kept() {
    if !installed("sipp") {
        return;
    }
    let (record, code, _) = play("uas_ends", &["--duration", "30"], &Options::default());
    assert_completed(&record, code, "remote");
    assert_eq!(record["metadata"]["reason"], "Normal call clearing", "{record}");
    assert_eq!(record["metadata"]["reason_header"], r#"Q.850;cause=16;text="Normal call clearing""#, "{record}");
}

#[test]
fn requests_of_a_call_follow_the_recorded_route() {
    if !installed("sipp") {
        return;
    }
    let (record, code, trace) = play("uas_record_route", &["--duration", "1"], &Options::default());
    assert_completed(&record, code, "local");
    for method in ["ACK", "BYE"] {
        let request = trace.iter().find(|message| message.received && message.text.starts_with(method)).unwrap();
        let near = request.text.find("Route: <sip:127.").expect("the near proxy");
        let far = request.text.find("<sip:192.0.2.99;lr>").expect("the far proxy");
        assert!(near < far, "{}", request.text);
    }
}

#[test]
fn compact_names_and_odd_spaces_in_an_answer_are_read() {
    if !installed("sipp") {
        return;
    }
    let (record, code, _) = play("uas_compact", &["--duration", "1"], &Options::default());
    assert_completed(&record, code, "local");
    assert_eq!(record["sip_reason"], "Sure", "{record}");
}

#[test]
fn the_live_events_of_a_call_come_in_order() {
    if !installed("sipp") {
        return;
    }
    let sipp = Sipp::answers("uas", &Options::default());
    let home = Home::new();
    let mut phone = call(&home, &sipp.uri(), &["--duration", "2.5"]);
    phone.expect("call.ended", SETUP);
    let story = phone.story();
    let names: Vec<&str> = story.split(' ').filter(|name| *name != "call.quality").collect();
    assert_eq!(names, ["call.initiated", "call.ringing", "call.answered", "call.ended"]);
    assert!(story.matches("call.quality").count() >= 2, "{story}");
    assert_eq!(phone.finish(SETUP).0, 0);
    sipp.finish(SETUP);
}
