//! `sidetone answer`: several calls at once, ringing, declining, missed calls, calls without a registrar.

use crate::process::{Domain, Home, seconds_between};

#[test]
fn several_calls_at_once_and_an_end_after_so_many() {
    let (domain, theirs) = (Domain::start(), Home::new());
    let bob = domain.bob(&theirs, &["--max-calls", "3"]);
    let homes = [Home::new(), Home::new(), Home::new()];
    let callers: Vec<_> =
        homes.iter().zip(["ann", "cid", "dan"]).map(|(home, user)| domain.calls(home, user, "bob", &[])).collect();
    let talking: Vec<_> = callers
        .into_iter()
        .map(|mut caller| {
            caller.expect("call.quality");
            caller
        })
        .collect();
    // All three talk now.
    for caller in talking {
        caller.interrupt();
        let outcome = caller.finish();
        assert_eq!(outcome.code, 0, "{}", outcome.err);
        assert!(outcome.ended()[0]["quality"]["inbound"]["packets"].as_u64().unwrap() > 0);
    }
    let outcome = bob.finish();
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    let calls = outcome.ended();
    assert_eq!(calls.len(), 3);
    for one in &calls {
        assert_eq!(one["status"], "completed");
        assert!(calls.iter().all(|other| seconds_between(&other["answered_at"], &one["ended_at"]) > 0.0));
    }
    assert_eq!(theirs.history(&[]).len(), 3);
}

#[test]
fn calls_are_declined_with_the_chosen_status() {
    for (status, word) in [("486", "busy"), ("603", "declined")] {
        let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
        let bob = domain.bob(&theirs, &["--reject", status, "--max-calls", "1"]);
        let (ann, bob) = (domain.ann_calls(&ours, &[]).finish(), bob.finish());
        assert_eq!((ann.code, bob.code), (6, 0), "{status}: {}\n{}", ann.err, bob.err);
        for home in [&ours, &theirs] {
            let row = home.history(&[]).remove(0);
            assert_eq!(row["status"], word);
            assert_eq!(row["sip_code"].to_string(), status);
            assert_eq!(row["answered_at"], serde_json::Value::Null);
        }
    }
}

#[test]
fn it_rings_as_long_as_was_asked() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let bob = domain.bob(&theirs, &["--ring", "1.2", "--max-calls", "1"]);
    let ann = domain.ann_calls(&ours, &["--duration", "0.5"]).finish();
    assert_eq!(ann.code, 0, "{}", ann.err);
    for call in [&ann.ended()[0], &bob.finish().ended()[0]] {
        let rang = seconds_between(&call["ringing_at"], &call["answered_at"]);
        assert!(rang >= 1.1, "{rang}: {call}");
    }
}

#[test]
fn a_caller_that_gives_up_is_a_missed_call() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let bob = domain.bob(&theirs, &["--ring", "600", "--max-calls", "2"]);
    // Once by hand, once by the limit.
    let mut ann = domain.ann_calls(&ours, &[]);
    ann.expect("call.ringing");
    ann.interrupt();
    let ann = ann.finish();
    assert_eq!((ann.code, &ann.ended()[0]["status"]), (1, &"canceled".into()), "{}", ann.err);
    let ann = domain.ann_calls(&ours, &["--ring-limit", "0.5"]).finish();
    assert_eq!((ann.code, &ann.ended()[0]["status"]), (5, &"no-answer".into()), "{}", ann.err);
    let bob = bob.finish();
    assert_eq!(bob.code, 0, "{}", bob.err);
    let statuses: Vec<_> = bob.ended().iter().map(|call| (call["status"].clone(), call["ended_by"].clone())).collect();
    assert_eq!(statuses, [("missed".into(), "remote".into()), ("missed".into(), "remote".into())]);
}

#[test]
fn ctrl_c_ends_the_calls_that_run() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let mut bob = domain.bob(&theirs, &[]);
    let ann = domain.ann_calls(&ours, &[]);
    bob.expect("call.quality");
    bob.interrupt();
    let (ann, bob) = (ann.finish(), bob.finish());
    assert_eq!((ann.code, bob.code), (0, 0), "{}\n{}", ann.err, bob.err);
    assert_eq!(ann.ended()[0]["ended_by"], "remote");
    assert_eq!(bob.ended()[0]["ended_by"], "local");
    assert!(bob.out.contains("registration.unregistered"), "{}", bob.out);
    assert_eq!(theirs.history(&[])[0]["status"], "completed");
}

#[test]
fn without_a_registrar_anyone_may_call_the_bound_address() {
    let (ours, theirs) = (Home::new(), Home::new());
    let arguments =
        ["answer", "--no-register", "--bind", "127.0.0.1:0", "--source", "echo", "--sink", "null", "--max-calls", "1"];
    let mut echo = theirs.start(&arguments);
    let address = echo.expect("phone.ready")["address"].as_str().unwrap().to_owned();
    let target = format!("sip:anyone@{address}");
    let ann = ours.start(&["call", &target, "--source", "tone:500", "--sink", "null", "--duration", "2"]).finish();
    let echo = echo.finish();
    assert_eq!((ann.code, echo.code), (0, 0), "{}\n{}", ann.err, echo.err);
    let (ann, echo) = (ann.ended().remove(0), echo.ended().remove(0));
    assert_eq!((&echo["account"], &echo["number"]), (&serde_json::Value::Null, &"anyone".into()));
    assert_eq!(ann["to"], target.as_str());
    assert!(ann["quality"]["inbound"]["packets"].as_u64().unwrap() > 20, "{ann}");
}
