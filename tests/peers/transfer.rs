//! Transfers: SIPp as each other side, and three phones of ours through Kamailio.

use crate::inbound::answer;
use crate::kamailio::Kamailio;
use crate::process::{address, installed};
use crate::sidetone::{Home, Sidetone};
use crate::sipp::{Options, Sipp, received};
use serde_json::Value;
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(20);

/// Calls a SIPp that plays `scenario`, with commands; until it is answered.
fn call(home: &Home, sipp: &Sipp, more: &[&str]) -> Sidetone {
    let (uri, bind) = (sipp.uri(), address().to_string());
    let arguments = ["call", &uri, "--no-register", "--bind", &bind, "--source", "tone:440", "--sink", "null"];
    let mut phone = home.start_with_commands(&[&arguments, more].concat(), "");
    phone.expect("call.answered", SETUP);
    phone
}

fn assert_step(step: &Value, role: &str, target: &str) {
    assert_eq!((&step["role"], &step["target"]), (&role.into(), &target.into()), "{step}");
}

#[test]
fn sends_the_far_end_elsewhere_and_hangs_up_when_it_has_arrived() {
    if !installed("sipp") {
        return;
    }
    let (sipp, home) = (Sipp::answers("uas_refer", &Options::default()), Home::new());
    let mut phone = call(&home, &sipp, &[]);
    let target = "sip:carol@192.0.2.9";
    let reply = phone.say(&format!("transfer {target}"));
    assert_eq!(reply["ok"], true, "{reply}");
    let progress = phone.expect("call.transfer.progress", SETUP);
    assert_eq!(progress["sip_code"], 180, "{progress}");
    assert_step(&phone.expect("call.transfer.completed", SETUP), "transferor", target);
    let ended = phone.expect("call.ended", SETUP)["call"].clone();
    assert_eq!((&ended["status"], &ended["ended_by"]), (&"completed".into(), &"local".into()), "{ended}");
    let told = &ended["metadata"]["transfer"];
    assert_eq!((&told["result"], &told["kind"]), (&"completed".into(), &"blind".into()), "{ended}");
    assert_eq!(phone.finish(SETUP).0, 0);
    let trace = sipp.finish(SETUP);
    assert_eq!((received(&trace, "REFER ", ""), received(&trace, "BYE ", "Transferred")), (1, 1));
    assert_eq!(home.history()[0]["metadata"]["transfer"]["result"], "completed");
}

/// The far end is not transferred; the call goes on and is hung up by a command.
fn not_transferred(scenario: &str, code: u16, more: &[&str]) {
    if !installed("sipp") {
        return;
    }
    let (sipp, home) = (Sipp::answers(scenario, &Options::default()), Home::new());
    let mut phone = call(&home, &sipp, more);
    phone.say("transfer sip:carol@192.0.2.9");
    let failed = phone.expect("call.transfer.failed", SETUP);
    assert_eq!(failed["sip_code"], code, "{failed}");
    if more.is_empty() {
        assert_eq!(phone.expect("call.resumed", SETUP)["by"], "local", "it is taken off hold again");
    }
    let calls = phone.say("calls");
    assert_eq!(calls["calls"].as_array().map(Vec::len), Some(1), "the call goes on: {calls}");
    phone.say("hangup");
    let ended = phone.expect("call.ended", SETUP)["call"].clone();
    let told = &ended["metadata"]["transfer"];
    assert_eq!((&told["result"], &told["sip_code"]), (&"failed".into(), &code.into()), "{ended}");
    assert_eq!(phone.finish(SETUP).0, 0);
    sipp.finish(SETUP);
}

#[test]
fn a_far_end_that_does_not_let_itself_be_sent_elsewhere_stays() {
    not_transferred("uas_refer_refused", 603, &["--transfer-without-hold"]);
}

#[test]
fn a_far_end_that_finds_nobody_stays() {
    not_transferred("uas_refer_fails", 486, &[]);
}

#[test]
fn a_far_end_that_will_not_tell_is_let_go() {
    if !installed("sipp") {
        return;
    }
    let (sipp, home) = (Sipp::answers("uas_refer_silent", &Options::default()), Home::new());
    let mut phone = call(&home, &sipp, &["--transfer-without-hold"]);
    phone.say("transfer sip:carol@192.0.2.9");
    let ended = phone.expect("call.ended", SETUP)["call"].clone();
    assert_eq!(ended["metadata"]["transfer"]["result"], "accepted", "{ended}");
    assert_eq!(phone.finish(SETUP).0, 0);
    sipp.finish(SETUP);
}

/// SIPp calls us and sends us to another SIPp.
fn sent_elsewhere(scenario: &str) -> (Value, Value) {
    let (third, home) = (Sipp::answers("uas_ends", &Options::default()), Home::new());
    let (mut phone, target) = answer(&home, &["--transfers", "accept"]);
    let options = Options { arguments: &["-key", "target", &third.uri()], ..Options::default() };
    let sipp = Sipp::calls(scenario, target, &options);
    let requested = phone.expect("call.transfer.requested", SETUP);
    assert_step(&requested, "transferee", &third.uri());
    phone.expect("call.transfer.completed", SETUP);
    let (mut old, mut new) = (Value::Null, Value::Null);
    for _ in 0..2 {
        let ended = phone.expect("call.ended", SETUP)["call"].clone();
        if ended["direction"] == "inbound" { old = ended } else { new = ended }
    }
    sipp.finish(SETUP);
    third.finish(SETUP);
    phone.interrupt();
    assert_eq!(phone.finish(SETUP).0, 0);
    assert_eq!(new["metadata"]["transferred_from"], old["id"], "{new}");
    assert_eq!((&old["status"], &new["status"]), (&"completed".into(), &"completed".into()));
    assert!(
        new["quality"]["outbound"]["packets"].as_u64().unwrap() > 10,
        "the new call has the audio of the old: {new}"
    );
    (old, new)
}

#[test]
fn follows_where_it_is_sent_and_tells_how_that_goes() {
    if !installed("sipp") {
        return;
    }
    let (old, _) = sent_elsewhere("uac_refer");
    let told = &old["metadata"]["transfer"];
    assert_eq!((&told["role"], &told["result"]), (&"transferee".into(), &"completed".into()), "{old}");
    assert!(told["by"].as_str().unwrap().starts_with("<sip:sipp@"), "{old}");
}

/// The transferor looks whether we can replace, and the target whether we do (RFC 3891 sections 4 and 6).
#[test]
fn takes_the_place_of_the_transferor_where_it_is_told_to() {
    if !installed("sipp") {
        return;
    }
    let (third, home) = (Sipp::answers("uas_replaces", &Options::default()), Home::new());
    let (mut phone, target) = answer(&home, &["--transfers", "accept"]);
    let options = Options { arguments: &["-key", "target", &third.uri()], ..Options::default() };
    let sipp = Sipp::calls("uac_refer_attended", target, &options);
    assert_step(&phone.expect("call.transfer.completed", SETUP), "transferee", &third.uri());
    sipp.finish(SETUP);
    third.finish(SETUP);
    phone.interrupt();
    assert_eq!(phone.finish(SETUP).0, 0);
}

/// The user says whether we follow.
#[test]
fn asks_before_it_follows() {
    if !installed("sipp") {
        return;
    }
    let home = Home::new();
    let bind = address().to_string();
    let arguments = ["answer", "--no-register", "--bind", &bind, "--source", "tone:440", "--sink", "null"];
    let mut phone = home.start_with_commands(&[&arguments[..], &["--transfers", "ask"]].concat(), "");
    let ready = phone.expect("phone.ready", SETUP);
    let target = ready["address"].as_str().unwrap().parse().unwrap();
    let third = Sipp::answers("uas_ends", &Options::default());
    let options = Options { arguments: &["-key", "target", &third.uri()], ..Options::default() };
    let sipp = Sipp::calls("uac_refer", target, &options);
    phone.expect("call.answered", SETUP);
    assert!(!phone.say("follow")["ok"].as_bool().unwrap(), "nothing is asked yet");
    assert_step(&phone.expect("call.transfer.asked", SETUP), "transferee", &third.uri());
    assert_eq!(phone.say("follow")["ok"], true);
    phone.expect("call.transfer.completed", SETUP);
    sipp.finish(SETUP);
    third.finish(SETUP);
    phone.say("quit");
    assert_eq!(phone.finish(SETUP).0, 0);
}

#[test]
fn follows_silently_where_nobody_wants_to_hear_of_it() {
    if !installed("sipp") {
        return;
    }
    sent_elsewhere("uac_refer_silent");
}

#[test]
fn strangers_do_not_send_us_elsewhere() {
    if !installed("sipp") {
        return;
    }
    let home = Home::new();
    let (mut phone, target) = answer(&home, &[]);
    let sipp = Sipp::calls("uac_refer_refused", target, &Options::default());
    let ended = phone.expect("call.ended", SETUP)["call"].clone();
    sipp.finish(SETUP);
    assert_eq!((&ended["status"], &ended["ended_by"]), (&"completed".into(), &"remote".into()), "{ended}");
    assert!(!phone.story().contains("transfer"), "{}", phone.story());
    phone.interrupt();
    phone.finish(SETUP);
    assert_eq!(home.history().len(), 1, "nobody else was called");
}

#[test]
fn an_invite_that_replaces_an_unknown_call_is_refused() {
    if !installed("sipp") {
        return;
    }
    let home = Home::new();
    let (phone, target) = answer(&home, &[]);
    Sipp::calls("uac_replaces_unknown", target, &Options::default()).finish(SETUP);
    phone.interrupt();
    phone.finish(SETUP);
    assert!(home.history().is_empty(), "nobody was disturbed");
}

/// A phone of `user` at Kamailio, with commands.
fn phone(home: &Home, kamailio: &Kamailio, user: &str, verb: &[&str]) -> Sidetone {
    let (aor, bind) = (format!("sip:{user}@{}", kamailio.address), address().to_string());
    let account = ["--aor", &aor, "--bind", &bind, "--source", "tone:440", "--sink", "null"];
    home.start_with_commands(&[verb, &account[..]].concat(), &format!("secret-{user}"))
}

#[test]
fn three_phones_join_two_of_them_through_the_proxy() {
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start();
    let homes = [Home::new(), Home::new(), Home::new()];
    let mut bob = phone(&homes[1], &kamailio, "bob", &["answer"]);
    bob.expect("registration.registered", SETUP);
    let mut carol = phone(&homes[2], &kamailio, "carol", &["answer"]);
    carol.expect("registration.registered", SETUP);
    let mut alice = phone(&homes[0], &kamailio, "alice", &["call", "bob"]);
    alice.expect("call.answered", SETUP);
    // Bob waits while Alice asks Carol.
    alice.say("hold");
    alice.expect("call.held", SETUP);
    let dialled = alice.say("dial carol");
    let second = dialled["call"].as_u64().expect("a call");
    alice.expect("call.answered", SETUP);
    let calls = alice.say("calls");
    assert_eq!(calls["calls"].as_array().map(Vec::len), Some(2), "{calls}");
    // Bob, the first call, takes Alice's place in the second.
    let reply = alice.say(&format!("attended {second}"));
    assert_eq!(reply["ok"], true, "{reply}");
    let mut told = vec![alice.expect_one_of(&["call.transfer.completed", "call.ended"], SETUP)];
    while told.len() < 3 {
        told.push(alice.expect_one_of(&["call.transfer.completed", "call.ended"], SETUP));
    }
    let names: Vec<_> = told.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| **name == "call.ended").count(), 2, "{names:?}");
    assert_eq!(bob.expect("call.transfer.completed", SETUP)["role"], "transferee");
    assert_eq!(carol.expect("call.transfer.completed", SETUP)["role"], "target");
    assert_eq!(alice.finish(SETUP).0, 0);
    // Bob and Carol talk with each other.
    for phone in [&mut bob, &mut carol] {
        let calls = phone.say("calls");
        let calls = calls["calls"].as_array().unwrap();
        assert_eq!(calls.len(), 1, "{calls:?}");
        assert_eq!(calls[0]["answered"], true);
    }
    let heard = bob.expect_where("call.quality", SETUP, |event| {
        event["direction"] == "outbound" && event["quality"]["inbound"]["packets"].as_u64().unwrap_or(0) > 25
    });
    assert!(heard["to"].as_str().unwrap().starts_with("sip:carol@"), "{heard}");
    bob.say("hangup");
    let ended = carol.expect_where("call.ended", SETUP, |event| event["call"]["metadata"]["replaces"].is_string());
    assert_eq!(ended["call"]["status"], "completed", "{ended}");
    assert!(ended["call"]["from"].as_str().unwrap().starts_with("sip:bob@"), "{ended}");
    bob.say("quit");
    carol.say("quit");
    assert_eq!((bob.finish(SETUP).0, carol.finish(SETUP).0), (0, 0));
    let rows = homes.each_ref().map(Home::history);
    assert_eq!(rows.each_ref().map(Vec::len), [2, 2, 2]);
    let told = |row: &Value| row["metadata"]["transfer"]["role"].as_str().unwrap_or("-").to_owned();
    let roles = rows.map(|rows| rows.iter().map(told).collect::<Vec<_>>());
    // Newest first.
    assert_eq!(roles, [vec!["-", "transferor"], vec!["-", "transferee"], vec!["-", "target"]]);
}
