//! Beside the making and ending of calls: digits by INFO, texts, mailboxes, watched peers, second callers, commands.

use crate::inbound::answer;
use crate::kamailio::Kamailio;
use crate::process::{address, installed};
use crate::sidetone::{Home, Sidetone};
use crate::sipp::{Options, Sipp, received};
use serde_json::Value;
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(20);

fn call(home: &Home, sipp: &Sipp, more: &[&str]) -> Sidetone {
    let bind = address().to_string();
    let uri = sipp.uri();
    let arguments = ["call", &uri, "--no-register", "--bind", &bind, "--source", "tone:440", "--sink", "null"];
    home.start_with_commands(&[&arguments[..], more].concat(), "")
}

#[test]
fn digits_come_by_info() {
    if !installed("sipp") {
        return;
    }
    let home = Home::new();
    let (mut phone, target) = answer(&home, &[]);
    let sipp = Sipp::calls("uac_info_dtmf", target, &Options::default());
    let first = phone.expect("call.dtmf", SETUP);
    assert_eq!((&first["digit"], &first["duration_ms"], &first["by"]), (&"5".into(), &160.into(), &"info".into()));
    assert_eq!(phone.expect("call.dtmf", SETUP)["digit"], "#");
    let ended = phone.expect("call.ended", SETUP)["call"].clone();
    assert_eq!(ended["dtmf_received"], "5#", "{ended}");
    assert_eq!(ended["metadata"]["dtmf_by"], serde_json::json!({"info": "5#"}), "{ended}");
    sipp.finish(SETUP);
    phone.interrupt();
    phone.finish(SETUP);
}

#[test]
fn digits_go_by_info_where_no_events_were_agreed() {
    if !installed("sipp") {
        return;
    }
    let (sipp, home) = (Sipp::answers("uas_info_dtmf", &Options::default()), Home::new());
    let mut phone = call(&home, &sipp, &["--dtmf", "5#", "--duration", "2"]);
    phone.expect("call.ended", SETUP);
    assert_eq!(phone.finish(SETUP).0, 0);
    let trace = sipp.finish(SETUP);
    assert_eq!(received(&trace, "INFO ", "application/dtmf-relay"), 2);
}

#[test]
fn digits_become_tones_where_info_is_refused() {
    if !installed("sipp") {
        return;
    }
    let (sipp, home) = (Sipp::answers("uas_info_refused", &Options::default()), Home::new());
    let recording = home.path("call.wav");
    let more = ["--dtmf", "19", "--duration", "2", "--record", recording.to_str().unwrap()];
    let mut phone = call(&home, &sipp, &more);
    phone.expect("call.ended", SETUP);
    assert_eq!(phone.finish(SETUP).0, 0);
    assert_eq!(received(&sipp.finish(SETUP), "INFO ", ""), 1, "one try tells enough");
}

#[test]
fn digits_are_heard_in_the_audio() {
    let (homes, sound) = ([Home::new(), Home::new()], ["--source", "silence", "--sink", "null"]);
    let bind = format!("{}:0", address());
    let verb = ["answer", "--no-register", "--bind", &bind, "--dtmf-way", "inband", "--codec", "pcmu"];
    let mut bob = homes[0].start(&[&verb[..], &sound].concat(), "");
    let target = bob.expect("phone.ready", SETUP)["address"].as_str().unwrap().to_owned();
    let (uri, own) = (format!("sip:bob@{target}"), address().to_string());
    let verb = ["call", &uri, "--no-register", "--bind", &own, "--dtmf-way", "inband", "--dtmf", "159*0#"];
    let mut alice = homes[1].start(&[&verb[..], &["--duration", "4", "--codec", "pcmu"], &sound].concat(), "");
    let ended = bob.expect("call.ended", SETUP)["call"].clone();
    assert_eq!(ended["metadata"]["dtmf_by"], serde_json::json!({"inband": "159*0#"}), "{ended}");
    alice.expect("call.ended", SETUP);
    bob.interrupt();
    assert_eq!((alice.finish(SETUP).0, bob.finish(SETUP).0), (0, 0));
}

#[test]
fn a_call_that_asks_for_it_is_answered_by_itself() {
    if !installed("sipp") {
        return;
    }
    let home = Home::new();
    let (mut phone, target) = answer(&home, &["--manual", "--auto-answer"]);
    let sipp = Sipp::calls("uac_auto_answer", target, &Options::default());
    let ended = phone.expect("call.ended", SETUP)["call"].clone();
    assert_eq!(
        (&ended["status"], &ended["metadata"]["auto_answer_after"]),
        (&"completed".into(), &1.into()),
        "{ended}"
    );
    sipp.finish(SETUP);
    phone.interrupt();
    phone.finish(SETUP);
}

/// A second caller while the first talks.
fn second_caller(policy: &str, scenario: &str, status: &str) {
    if !installed("sipp") {
        return;
    }
    let home = Home::new();
    let (mut phone, target) = answer(&home, &["--busy", policy, "--duration", "4"]);
    let first = Sipp::calls("uac_hung_up", target, &Options::default());
    phone.expect("call.answered", SETUP);
    let second = Sipp::calls(scenario, target, &Options::default());
    second.finish(SETUP);
    first.finish(SETUP);
    phone.expect_where("call.ended", SETUP, |event| event["call"]["status"] == "completed");
    phone.interrupt();
    phone.finish(SETUP);
    let rows = home.history();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["status"], status, "{rows:?}");
}

#[test]
fn a_second_caller_hears_486() {
    second_caller("486", "uac_waiting_486", "busy");
}

#[test]
fn a_second_caller_hears_603() {
    second_caller("603", "uac_waiting_603", "declined");
}

#[test]
fn a_second_caller_rings_and_is_answered() {
    second_caller("ring", "uac_hung_up", "completed");
}

#[test]
fn nobody_disturbs() {
    if !installed("sipp") {
        return;
    }
    let home = Home::new();
    let (mut phone, target) = answer(&home, &["--do-not-disturb"]);
    Sipp::calls("uac_do_not_disturb", target, &Options::default()).finish(SETUP);
    let ended = phone.expect("call.ended", SETUP)["call"].clone();
    assert_eq!((&ended["status"], &ended["sip_code"]), (&"missed".into(), &480.into()), "{ended}");
    phone.interrupt();
    phone.finish(SETUP);
}

#[test]
fn texts_come() {
    if !installed("sipp") {
        return;
    }
    let home = Home::new();
    let (mut phone, target) = answer(&home, &[]);
    Sipp::calls("uac_message", target, &Options::default()).finish(SETUP);
    let text = phone.expect("message.received", SETUP);
    assert_eq!(text["text"].as_str().map(str::trim), Some("are you there?"), "{text}");
    assert!(text["from"].as_str().unwrap().starts_with("sip:sipp@"), "{text}");
    phone.interrupt();
    phone.finish(SETUP);
    assert!(home.history().is_empty(), "a text is no call");
}

/// Sends a text to a SIPp that plays `scenario`; the exit code and the event.
fn text(scenario: &str, event: &str) -> (i32, Value) {
    let (sipp, home) = (Sipp::answers(scenario, &Options::default()), Home::new());
    let (uri, bind) = (sipp.uri(), address().to_string());
    let mut phone = home.start(&["message", &uri, "hello there", "--no-register", "--bind", &bind], "");
    let told = phone.expect(event, SETUP);
    sipp.finish(SETUP);
    (phone.finish(SETUP).0, told)
}

#[test]
fn texts_go() {
    if !installed("sipp") {
        return;
    }
    let (code, told) = text("uas_message", "message.sent");
    assert_eq!((code, &told["sip_code"]), (0, &202.into()), "{told}");
    let (code, told) = text("uas_message_refused", "message.failed");
    assert_eq!((code, &told["sip_code"]), (3, &404.into()), "{told}");
}

#[test]
fn texts_go_through_the_proxy_with_credentials_and_come_to_the_other_phone() {
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start();
    let homes = [Home::new(), Home::new()];
    let domain = kamailio.address;
    let (bob_aor, alice_aor) = (format!("sip:bob@{domain}"), format!("sip:alice@{domain}"));
    let (one, two) = (address().to_string(), address().to_string());
    let mut bob = homes[0].start(&["register", "--aor", &bob_aor, "--bind", &one, "--ping", "1"], "secret-bob");
    bob.expect("registration.registered", SETUP);
    let reachable = bob.expect("peer.reachable", SETUP);
    assert_eq!(reachable["sip_code"], 200, "{reachable}");
    let (code, _, errors) =
        homes[1].run(&["message", "bob", "häll\u{f6} wörld", "--aor", &alice_aor, "--bind", &two], "secret-alice");
    assert_eq!(code, 0, "{errors}");
    let came = bob.expect("message.received", SETUP);
    assert_eq!((&came["text"], &came["from"]), (&"häll\u{f6} wörld".into(), &alice_aor.into()), "{came}");
    bob.interrupt();
    assert_eq!(bob.finish(SETUP).0, 0);
}

/// An answering phone with an account at a SIPp that plays `scenario`, which it does not register with.
fn account_at(home: &Home, sipp: &Sipp, more: &[&str]) -> Sidetone {
    let (aor, bind) = (format!("sip:alice@{}", sipp.address), format!("{}:0", address()));
    let verb = ["answer", "--no-register", "--aor", &aor, "--bind", &bind, "--source", "silence", "--sink", "null"];
    home.start(&[&verb[..], more].concat(), "secret")
}

#[test]
fn a_mailbox_tells_what_waits() {
    if !installed("sipp") {
        return;
    }
    let (sipp, home) = (Sipp::answers("uas_mwi", &Options::default()), Home::new());
    let mut phone = account_at(&home, &sipp, &["--mwi"]);
    let changed = phone.expect("mwi.changed", SETUP);
    assert_eq!(changed["waiting"], true, "{changed}");
    assert_eq!(changed["messages"]["voice-message"]["new"], 3, "{changed}");
    assert_eq!(changed["message_account"], "sip:mailbox@example.com");
    phone.interrupt();
    assert_eq!(phone.finish(SETUP).0, 0);
    sipp.finish(SETUP);
}

#[test]
fn a_server_without_mailboxes_is_not_asked_again() {
    if !installed("sipp") {
        return;
    }
    let (sipp, home) = (Sipp::answers("uas_mwi_unknown", &Options::default()), Home::new());
    let mut phone = account_at(&home, &sipp, &["--mwi"]);
    let ended = phone.expect("mwi.ended", SETUP);
    assert!(ended["reason"].as_str().unwrap().contains("489"), "{ended}");
    sipp.finish(SETUP);
    phone.interrupt();
    assert_eq!(phone.finish(SETUP).0, 0);
}

#[test]
fn a_watched_peer_answers() {
    if !installed("sipp") {
        return;
    }
    let (sipp, home) = (Sipp::answers("uas_options", &Options::default()), Home::new());
    let mut phone = account_at(&home, &sipp, &["--ping", "60"]);
    let told = phone.expect("peer.reachable", SETUP);
    assert_eq!(told["sip_code"], 200, "{told}");
    assert!(told["round_trip_ms"].as_f64().unwrap() < 5_000.0, "{told}");
    sipp.finish(SETUP);
    phone.interrupt();
    assert_eq!(phone.finish(SETUP).0, 0);
}

#[test]
fn commands_are_obeyed_and_wrong_ones_get_the_right_one() {
    if !installed("sipp") {
        return;
    }
    let (sipp, home) = (Sipp::answers("uas_record_route", &Options::default()), Home::new());
    let mut phone = call(&home, &sipp, &[]);
    phone.expect("call.answered", SETUP);
    let wrong = phone.say("transfr sip:x@192.0.2.1");
    assert_eq!(wrong["ok"], false, "{wrong}");
    assert!(wrong["error"].as_str().unwrap().contains("`transfer`"), "{wrong}");
    for line in ["mute", "unmute", "dtmf 1", "calls", "help"] {
        assert_eq!(phone.say(line)["ok"], true, "{line}");
    }
    let missing = phone.say("hold 77");
    assert!(missing["error"].as_str().unwrap().contains("there is no call 77"), "{missing}");
    assert_eq!(phone.say("b")["ok"], true);
    let ended = phone.expect("call.ended", SETUP)["call"].clone();
    assert_eq!((&ended["status"], &ended["ended_by"]), (&"completed".into(), &"local".into()), "{ended}");
    assert_eq!(phone.finish(SETUP).0, 0);
}

#[test]
fn a_call_that_only_rings_is_answered_by_hand() {
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start();
    let (ours, theirs) = (Home::new(), Home::new());
    let aor = |user: &str| format!("sip:{user}@{}", kamailio.address);
    let file = ours.path("config.toml");
    let text = format!(
        "[phone]\nbind = \"{}\"\n[defaults]\nsource = \"tone:500\"\nsink = \"null\"\n\
         [account.cid]\naor = \"{}\"\non_call = \"ring\"\n",
        address(),
        aor("cid")
    );
    std::fs::write(&file, text).unwrap();
    let mut phone = ours.start_with_commands(&["run", "--config", file.to_str().unwrap()], "secret-cid");
    phone.expect("registration.registered", SETUP);
    let (bind, target) = (address().to_string(), aor("cid"));
    let caller = ["call", &target, "--aor", &aor("ann"), "--bind", &bind, "--source", "tone:440", "--sink", "null"];
    let mut caller = theirs.start(&caller, "secret-ann");
    caller.expect("call.ringing", SETUP);
    phone.expect("call.ringing", SETUP);
    assert_eq!(phone.say("answer")["ok"], true);
    caller.expect("call.answered", SETUP);
    assert_eq!(phone.say("hangup")["ok"], true);
    let ended = caller.expect("call.ended", SETUP)["call"].clone();
    assert_eq!((&ended["status"], &ended["ended_by"]), (&"completed".into(), &"remote".into()), "{ended}");
    assert_eq!(caller.finish(SETUP).0, 0);
    assert_eq!(phone.say("quit")["ok"], true);
    assert_eq!(phone.finish(SETUP).0, 0);
}
