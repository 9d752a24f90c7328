//! The demonstration: needs nothing and shows everything.

use crate::calls::assert_documented;
use crate::process::{Home, energies, seconds_between};

#[test]
fn it_makes_both_calls_records_them_and_logs_them() {
    let home = Home::new();
    let directory = home.text("recordings");
    let outcome = home.run(&["demo", "--json", "--record", &directory]);
    assert_eq!(outcome.code, 0, "{}\n{}", outcome.out, outcome.err);
    let events = outcome.objects();
    assert!(events.iter().all(|event| event["event"].is_string() && event["at"].is_string()));
    let took = seconds_between(&events[0]["at"], &events[events.len() - 1]["at"]);
    assert!(took < 15.0, "{took} s");

    let done = &events[events.len() - 1];
    assert_eq!((&done["event"], &done["directory"]), (&"demo.done".into(), &directory.as_str().into()));
    assert_eq!(done["database"], home.text("calls.db").as_str());
    let calls = outcome.ended();
    assert_eq!(calls.len(), 2);
    for (call, codec) in calls.iter().zip(["opus", "PCMU"]) {
        assert_documented(call);
        assert_eq!((&call["status"], &call["codec"]), (&"completed".into(), &codec.into()));
        assert_eq!(call["srtp"].is_string(), codec == "opus", "Opus goes with SRTP, PCMU without");
        let talk = call["talk_seconds"].as_f64().unwrap();
        assert!((3.9..6.0).contains(&talk), "{call}");
        assert!(call["quality"]["inbound"]["mos"].as_f64().unwrap() > 3.0, "{call}");
        let (left, right, seconds) = energies(call["recording"].as_str().unwrap().as_ref());
        assert!(left > 300.0 && right > 300.0, "both voices: {left} {right}");
        assert!(seconds > 3.5, "{seconds}");
        assert!(done["recordings"].as_array().unwrap().contains(&call["recording"]));
    }
    let mut rows = home.history(&[]);
    rows.reverse();
    assert_eq!(rows, calls);
}

#[test]
fn it_is_told_in_sentences_and_with_the_codec_of_choice() {
    let home = Home::new();
    let outcome = home.run(&["demo", "--seconds", "1", "--codec", "pcma"]);
    assert_eq!(outcome.code, 0, "{}\n{}", outcome.out, outcome.err);
    for text in ["registered", "answered", "PCMA", "MOS", "recordings (ours left, theirs right)", "calls.db", ".wav"] {
        assert!(outcome.out.contains(text), "{text} is missing:\n{}", outcome.out);
    }
    assert_eq!(home.history(&[]).len(), 1);
}

#[test]
fn ctrl_c_ends_it_with_the_first_call() {
    let home = Home::new();
    let mut demo = home.start(&["demo", "--seconds", "60", "--record", &home.text("recordings")]);
    demo.expect("call.quality");
    demo.interrupt();
    let outcome = demo.finish();
    assert_eq!(outcome.ended().len(), 1, "{outcome:?}");
    assert_eq!(home.history(&[])[0]["status"], "completed");
}
