//! Passwords and keys appear nowhere.

use crate::process::{Domain, Home, PASSWORD, Running};

#[test]
fn a_trace_log_holds_no_password_and_no_key() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let bob = domain.bob(&theirs, &["--srtp", "required", "--max-calls", "1"]);
    let aor = domain.aor("ann");
    let arguments = [
        "call",
        "bob",
        "--aor",
        &aor,
        "--source",
        "silence",
        "--sink",
        "null",
        "--srtp",
        "required",
        "--duration",
        "1",
    ];
    let mut command = ours.command(&arguments);
    command.env("SIDETONE_LOG", "trace");
    let ann = Running::start(&mut command).finish();
    assert_eq!(ann.code, 0, "{}", ann.err);
    assert!(ann.err.contains("DEBUG"), "the log is on: {}", ann.err);
    bob.finish();
    let mut written = std::fs::read(ours.path("calls.db")).unwrap();
    written.extend(ann.out.as_bytes());
    written.extend(ann.err.as_bytes());
    for secret in [PASSWORD, "inline:"] {
        assert!(
            !written.windows(secret.len()).any(|part| part == secret.as_bytes()),
            "{secret} is written:\n{}",
            ann.err
        );
    }
}

#[test]
fn a_password_on_the_command_line_is_refused_and_not_repeated() {
    let home = Home::new();
    let secret = "hunter2hunter2";
    for arguments in [
        vec!["register", "--aor", "sip:ann@127.0.0.1", "--password", secret],
        vec!["register", "--aor", "sip:ann@127.0.0.1", "--password=hunter2hunter2"],
    ] {
        let outcome = home.run(&arguments);
        assert_eq!(outcome.code, 2, "{outcome:?}");
        assert!(!(outcome.out + &outcome.err).contains(secret));
    }
    let outcome = home.run(&["register", "--aor", "sip:ann:hunter2hunter2@127.0.0.1", "--once"]);
    assert_eq!(outcome.code, 8, "{outcome:?}");
    assert!(outcome.err.contains("SIDETONE_PASSWORD") && !(outcome.out + &outcome.err).contains(secret));
    let help = home.run(&["register", "--help"]);
    assert_eq!(help.code, 0);
    assert!(!help.out.contains("--password ") && help.out.contains("--password-file"));
}
