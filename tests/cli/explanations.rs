//! A refusal comes with a sentence that says what to change: in events, in the record and for humans.

use crate::process::{Domain, Home, Running, closed_port};

#[test]
fn a_call_that_wants_encryption_says_so() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let _bob = domain.bob(&theirs, &["--srtp", "required"]);
    let aor = domain.aor("ann");
    let arguments = ["call", "bob", "--aor", &aor, "--source", "silence", "--sink", "null"];
    let ann = ours.run(&arguments);
    assert_eq!(ann.code, 3, "{ann:?}");
    let host = aor.split('@').nth(1).unwrap();
    let wanted = format!("488 from {host}: it wants SRTP; set srtp = \"required\"");
    assert!(ann.out.contains(&wanted), "{ann:?}");
    let record = ours.history(&[]).remove(0);
    assert!(record["metadata"]["explanation"].as_str().unwrap().starts_with(&wanted), "{record}");
    // The flight recorder keeps it with the messages.
    let shown = ours.run(&["trace", "show", "last"]).out;
    assert!(shown.contains(&wanted) && shown.contains("outbound"), "{shown}");
}

#[test]
fn a_registration_that_is_refused_says_what_to_check() {
    let (domain, home) = (Domain::start(), Home::new());
    let aor = domain.aor("ann");
    let mut command = home.command(&["register", "--aor", &aor, "--once", "--json"]);
    command.env("SIDETONE_PASSWORD", "wrong");
    let failed = Running::start(&mut command).finish();
    let event = failed.objects().into_iter().find(|event| event["event"] == "registration.failed").unwrap();
    let wanted = "401 from 127.0.0.1: it did not accept user name and password for the realm \"loopback\"";
    assert!(event["explanation"].as_str().unwrap().starts_with(wanted), "{event}");
    let mut command = home.command(&["register", "--aor", &aor, "--once"]);
    command.env_remove("SIDETONE_PASSWORD");
    let failed = Running::start(&mut command).finish();
    assert!((failed.out + &failed.err).contains("it wants a user name and password for the realm \"loopback\"; give"));
    let listed = home.run(&["trace", "list", "--json"]).objects();
    assert!(listed[0]["explanation"].as_str().unwrap().contains("it wants a user name"), "{listed:?}");
}

#[test]
fn nobody_there_says_what_to_check() {
    let home = Home::new();
    let target = format!("sip:bob@127.0.0.1:{};transport=tcp", closed_port());
    let called = home.run(&["call", &target, "--no-register", "--source", "silence", "--sink", "null", "--json"]);
    assert_eq!(called.code, 5, "{called:?}");
    let explanation = called.ended()[0]["metadata"]["explanation"].clone();
    let explanation = explanation.as_str().unwrap_or_else(|| panic!("{called:?}"));
    assert!(explanation.contains("127.0.0.1") && explanation.contains("check the address"), "{explanation}");
    // A name that nobody knows.
    let arguments =
        ["call", "sip:bob@nowhere.invalid", "--no-register", "--source", "silence", "--sink", "null", "--json"];
    let called = home.run(&arguments);
    assert_eq!(called.code, 5, "{called:?}");
    let explanation = called.ended()[0]["metadata"]["explanation"].as_str().unwrap_or_default().to_owned();
    assert!(explanation.contains("nowhere.invalid") && explanation.contains("check the"), "{explanation}");
    let mut command = home.command(&["register", "--aor", "sip:ann@nowhere.invalid", "--once", "--json"]);
    let failed = Running::start(&mut command).finish();
    let event = failed.objects().into_iter().find(|event| event["event"] == "registration.failed").unwrap();
    let explanation = event["explanation"].as_str().unwrap();
    assert!(explanation.contains("nowhere.invalid") && explanation.contains("check the spelling"), "{event}");
    let domain = Domain::start();
    let aor = domain.aor("ann");
    // A call without a password: none was sent, so none was wrong.
    let arguments = ["call", "bob", "--aor", &aor, "--no-register", "--source", "silence", "--sink", "null", "--json"];
    let mut command = home.command(&arguments);
    command.env_remove("SIDETONE_PASSWORD");
    let called = Running::start(&mut command).finish();
    let explanation = called.ended()[0]["metadata"]["explanation"].as_str().unwrap_or_default().to_owned();
    let wanted = "it wants a user name and password for the realm \"loopback\", which were not sent; give --auth-user";
    assert!(explanation.starts_with("407 from 127.0.0.1") && explanation.contains(wanted), "{explanation}");
    let stranger = home.run(&["call", "nobody", "--aor", &aor, "--source", "silence", "--sink", "null", "--json"]);
    let explanation = stranger.ended()[0]["metadata"]["explanation"].as_str().unwrap().to_owned();
    assert!(explanation.starts_with("404 from 127.0.0.1") && explanation.contains("check the number"), "{explanation}");
}
