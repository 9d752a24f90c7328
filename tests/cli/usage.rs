//! Wrong command lines and settings: which exit code, and does the text name the value and the remedy?

use crate::process::Home;

#[test]
fn a_wrong_command_line_is_usage() {
    let home = Home::new();
    let rows: &[&[&str]] = &[
        &[],
        &["sing"],
        &["call"],
        &["call", "bob", "--duration", "soon"],
        &["call", "bob", "--source", "radio"],
        &["call", "bob", "--sink", "wall"],
        &["answer", "--max-calls", "-1"],
        &["history", "--status", "fine"],
        &["quality"],
        &["quality", "--delay-ms", "10", "--loss-percent", "0"],
        &["quality", "--codec", "pcmu", "--ie", "0", "--bpl", "4", "--delay-ms", "1", "--loss-percent", "0"],
        &["register", "--expires", "never"],
    ];
    for arguments in rows {
        let outcome = home.run(arguments);
        assert_eq!((outcome.code, outcome.out.as_str()), (2, ""), "{arguments:?}: {outcome:?}");
        assert!(!outcome.err.is_empty());
    }
}

#[test]
fn a_setting_that_cannot_be_used_is_named_with_its_remedy() {
    let home = Home::new();
    let rows: &[(&[&str], &str, &str)] = &[
        (&["register"], "register", "--aor"),
        (&["answer"], "answer", "--no-register"),
        (&["register", "--aor", "sip:example.com"], "sip:example.com", "sip:user@host"),
        (&["register", "--aor", "sip:a@b", "--transport", "sctp"], "sctp", "udp"),
        (&["register", "--aor", "sip:a@b", "--bind", "nowhere"], "nowhere", "IP:PORT"),
        (&["register", "--aor", "sip:a@b", "--bind", "192.0.2.1"], "192.0.2.1", "--bind"),
        (&["register", "--aor", "sip:a@b", "--password-file", "/no/such"], "/no/such", "first line"),
        (&["call", "bob"], "\"bob\"", "--aor"),
        (&["call", "sip:b@c", "--codec", "g729"], "g729", "pcmu"),
        (&["call", "sip:b@c", "--codec", ","], "--codec", "opus"),
        (&["call", "sip:b@c", "--srtp", "maybe"], "maybe", "optional"),
        (&["call", "sip:b@c", "--dtmf", "12x"], "x", "0-9"),
        (&["call", "sip:b@c", "--duration", "0"], "0", "seconds"),
        (&["call", "sip:b@c", "--min-mos", "9"], "9", "4.5"),
        (&["call", "sip:b@c", "--source", "file:/no/such.wav"], "/no/such.wav", "check the path"),
        (&["answer", "--no-register", "--reject", "200"], "200", "486"),
        (&["demo", "--codec", "g729"], "g729", "pcmu"),
        (&["demo", "--seconds", "0"], "0", "seconds"),
    ];
    for (arguments, value, remedy) in rows {
        let outcome = home.run(arguments);
        assert_eq!((outcome.code, outcome.out.as_str()), (8, ""), "{arguments:?}: {outcome:?}");
        assert!(outcome.err.contains(value) && outcome.err.contains(remedy), "{arguments:?}: {}", outcome.err);
    }
    assert!(!home.path("calls.db").exists(), "nothing was started");
}

#[test]
fn a_taken_port_is_named() {
    let home = Home::new();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let outcome = home.run(&["answer", "--no-register", "--bind", &address, "--source", "silence", "--sink", "null"]);
    assert_eq!(outcome.code, 8, "{outcome:?}");
    assert!(outcome.err.contains(&taken.local_addr().unwrap().port().to_string()), "{}", outcome.err);
}

#[test]
fn help_and_version_are_answers() {
    let home = Home::new();
    let help = home.run(&["--help"]);
    assert_eq!(help.code, 0);
    for text in ["demo", "register", "call", "answer", "quality", "history", "devices", "Exit codes", "8 configuration"]
    {
        assert!(help.out.contains(text), "{text} is missing:\n{}", help.out);
    }
    let version = home.run(&["--version"]);
    assert_eq!((version.code, version.out.trim()), (0, concat!("sidetone ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn devices_are_listed_or_said_to_be_absent() {
    let home = Home::new();
    let text = home.run(&["devices"]);
    assert_eq!(text.code, 0, "{text:?}");
    assert!(!text.out.is_empty());
    let json = home.run(&["devices", "--json"]);
    for event in json.objects() {
        assert!(event["at"].is_string());
        match event["event"].as_str().unwrap() {
            "device" => assert!(event["id"].is_string() && event["default_output"].is_boolean()),
            other => assert_eq!(other, "devices.none"),
        }
    }
}
