//! Flags and their refusals.

use super::*;

fn flags(aor: &str) -> AccountFlags {
    AccountFlags { aor: Some(aor.into()), ..AccountFlags::default() }
}

#[test]
fn targets_are_completed_by_the_account() {
    let account = flags("sip:alice@example.com:5070").account(&|_| None).unwrap().unwrap();
    let rows = [
        ("sip:bob@192.0.2.1", "sip:bob@192.0.2.1"),
        ("bob@example.org", "sip:bob@example.org"),
        ("100", "sip:100@example.com:5070"),
        ("+1 (555) 010-0001", "sip:+15550100001@example.com:5070"),
        ("echo", "sip:echo@example.com:5070"),
        ("a-b.c", "sip:a-b.c@example.com:5070"),
    ];
    for (text, uri) in rows {
        assert_eq!(target(text, Some(&account)).unwrap().to_string(), uri, "{text}");
    }
    let error = target("100", None).unwrap_err().to_string();
    assert!(error.contains("\"100\"") && error.contains("--aor"), "{error}");
}

#[test]
fn bad_values_are_named_with_their_remedy() {
    let rows = [
        (flags("sip:example.com").account(&|_| None).unwrap_err(), "--aor sip:example.com", "sip:user@host"),
        (
            AccountFlags { transport: Some("sctp".into()), ..flags("sip:a@b") }.account(&|_| None).unwrap_err(),
            "sctp",
            "udp",
        ),
        (
            AccountFlags { bind: Some("nowhere".into()), ..AccountFlags::default() }.local().unwrap_err(),
            "nowhere",
            "IP:PORT",
        ),
        (
            AccountFlags { password_file: Some("/no/such/file".into()), ..flags("sip:a@b") }
                .account(&|_| None)
                .unwrap_err(),
            "/no/such/file",
            "first line",
        ),
        (MediaFlags { codec: "g729".into(), srtp: "off".into() }.options().unwrap_err(), "g729", "pcmu"),
        (MediaFlags { codec: "opus".into(), srtp: "maybe".into() }.options().unwrap_err(), "maybe", "required"),
        (digits("12x").unwrap_err(), "x", "0-9"),
        (seconds("--duration", Some(-1.0)).unwrap_err(), "-1", "seconds"),
        (reject(Some(200)).unwrap_err(), "200", "486"),
        (min_mos(Some(5.0)).unwrap_err(), "5", "4.5"),
    ];
    for (error, value, remedy) in rows {
        let text = error.to_string();
        assert!(text.contains(value) && text.contains(remedy), "{text}");
    }
}

#[test]
fn the_password_comes_from_the_file_or_the_environment_and_is_not_shown() {
    let account = flags("sip:a@b").account(&|name| (name == PASSWORD).then(|| "hush".into())).unwrap().unwrap();
    assert!(account.password.is_some());
    assert!(!format!("{account:?}").contains("hush"));
}
