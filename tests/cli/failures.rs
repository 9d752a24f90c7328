//! Calls and registrations that come to nothing: the exit code and a sentence.

use crate::process::{Domain, Home, Outcome, closed_port};

/// A call for Ann, without an account's password in the environment unless `password`.
fn call(domain: &Domain, home: &Home, password: &str, target: &str, more: &[&str]) -> Outcome {
    let aor = domain.aor("ann");
    let mut arguments =
        vec!["call", target, "--aor", &aor, "--source", "silence", "--sink", "null", "--json", "--duration", "1"];
    arguments.extend(more);
    let mut command = home.command(&arguments);
    command.env("SIDETONE_PASSWORD", password);
    crate::process::Running::start(&mut command).finish()
}

#[test]
fn a_wrong_password_is_unauthorised() {
    let (domain, home) = (Domain::start(), Home::new());
    let aor = domain.aor("ann");
    let mut command = home.command(&["register", "--aor", &aor, "--once"]);
    command.env("SIDETONE_PASSWORD", "wrong");
    let registered = crate::process::Running::start(&mut command).finish();
    assert_eq!(registered.code, 4, "{registered:?}");
    assert!((registered.out + &registered.err).contains("401"));
    // The registration before the call, and the call itself.
    let before = call(&domain, &home, "wrong", "bob", &[]);
    assert_eq!(before.code, 4, "{before:?}");
    assert!(before.objects().iter().any(|event| event["event"] == "registration.failed"));
    assert!(before.ended().is_empty(), "nobody is called without a registration: {before:?}");
    let during = call(&domain, &home, "wrong", "bob", &["--no-register"]);
    assert_eq!(during.code, 4, "{during:?}");
    assert_eq!((&during.ended()[0]["status"], &during.ended()[0]["sip_code"]), (&"failed".into(), &407.into()));
}

#[test]
fn the_right_password_registers_once_and_takes_the_binding_back() {
    let (domain, home) = (Domain::start(), Home::new());
    std::fs::write(home.path("password"), format!("{}\n", crate::process::PASSWORD)).unwrap();
    let file = home.text("password");
    for transport in ["udp", "tcp"] {
        let aor = domain.aor("ann");
        let flags = ["register", "--aor", &aor, "--once", "--json", "--password-file", &file, "--transport", transport];
        let mut command = home.command(&flags);
        command.env_remove("SIDETONE_PASSWORD");
        let outcome = crate::process::Running::start(&mut command).finish();
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let events = outcome.objects();
        let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(names, ["registration.registered", "registration.unregistered"]);
        assert!(
            events[0]["expires"].as_u64().unwrap() > 0 && events[0]["contact"].as_str().unwrap().starts_with("sip:")
        );
    }
}

#[test]
fn nobody_there_is_unreachable() {
    let (domain, home) = (Domain::start(), Home::new());
    let nowhere = format!("127.0.0.1:{}", closed_port());
    let aor = format!("sip:ann@{nowhere}");
    let registered = home.run(&["register", "--aor", &aor, "--transport", "tcp", "--once"]);
    assert_eq!(registered.code, 5, "{registered:?}");
    let target = format!("sip:bob@{nowhere};transport=tcp");
    let called = call(&domain, &home, crate::process::PASSWORD, &target, &["--no-register"]);
    assert_eq!(called.code, 5, "{called:?}");
    let ended = &called.ended()[0];
    assert_eq!((&ended["status"], &ended["ended_by"]), (&"failed".into(), &"network".into()));
    assert_eq!(ended["sip_reason"], "the next hop cannot be reached", "{ended}");
    let named = call(&domain, &home, crate::process::PASSWORD, "sip:bob@nowhere.invalid", &["--no-register"]);
    assert_eq!(named.code, 5, "{named:?}");
}

#[test]
fn a_stranger_is_rejected() {
    let (domain, home) = (Domain::start(), Home::new());
    let called = call(&domain, &home, crate::process::PASSWORD, "nobody", &[]);
    assert_eq!(called.code, 3, "{called:?}");
    assert_eq!(called.ended()[0]["sip_code"], 404);
}

#[test]
fn plain_rtp_is_refused_with_a_sentence_when_encryption_is_required() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let bob = domain.bob(&theirs, &["--max-calls", "1"]);
    let aor = domain.aor("ann");
    let arguments = ["call", "bob", "--aor", &aor, "--source", "silence", "--sink", "null", "--srtp", "required"];
    let ann = ours.run(&arguments);
    assert_eq!(ann.code, 3, "{ann:?}");
    let told = ann.out.lines().find(|line| line.starts_with("failed")).unwrap_or_else(|| panic!("{ann:?}"));
    assert!(told.contains("488") && told.to_ascii_lowercase().contains("rtp"), "{told}");
    let bob = bob.finish().ended().remove(0);
    assert_eq!(
        (&bob["status"], &bob["sip_code"], &bob["answered_at"]),
        (&"failed".into(), &488.into(), &serde_json::Value::Null)
    );
    assert!(bob["metadata"]["reason"].as_str().unwrap().to_ascii_lowercase().contains("rtp"), "{bob}");
    assert_eq!(ours.history(&[])[0]["status"], "failed");
}
