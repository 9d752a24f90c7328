//! `sidetone doctor` on accounts that are well, and on accounts that are not.

use crate::process::{Domain, Home, Outcome, PASSWORD, Running, closed_port};
use serde_json::Value;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

/// The findings of a check.
#[track_caller]
fn findings(outcome: &Outcome, check: &str) -> Vec<Value> {
    let all = outcome.objects().into_iter().filter(|event| event["event"] == "doctor.finding");
    all.filter(|finding| finding["check"] == check).collect()
}

#[track_caller]
fn marks(outcome: &Outcome, check: &str) -> Vec<String> {
    findings(outcome, check).iter().map(|finding| finding["mark"].as_str().unwrap().to_owned()).collect()
}

fn examine(home: &Home, password: &str, arguments: &[&str]) -> Outcome {
    let mut all = vec!["doctor", "--json"];
    all.extend(arguments);
    let mut command = home.command(&all);
    command.env("SIDETONE_PASSWORD", password);
    let outcome = Running::start(&mut command).finish();
    assert!(!(outcome.out.clone() + &outcome.err).contains(PASSWORD), "{outcome:?}");
    outcome
}

#[test]
fn a_healthy_account_is_found_well_and_its_test_call_is_measured() {
    let (domain, home, theirs) = (Domain::start(), Home::new(), Home::new());
    let bob = domain.bob(&theirs, &["--source", "echo", "--max-calls", "1"]);
    let aor = domain.aor("ann");
    let well = examine(&home, PASSWORD, &["--aor", &aor, "--call", "bob", "--codec", "pcmu"]);
    assert_eq!(well.code, 0, "{well:?}");
    assert_eq!((marks(&well, "udp"), marks(&well, "tcp")), (vec!["ok".to_owned()], vec!["ok".to_owned()]));
    // The domain offers two algorithms; the strongest was answered.
    let challenges = findings(&well, "challenge");
    assert_eq!(challenges.len(), 2, "{challenges:?}");
    assert_eq!(
        (&challenges[0]["details"]["realm"], &challenges[0]["details"]["algorithm"]),
        (&"loopback".into(), &"SHA-256".into())
    );
    assert_eq!(challenges[0]["details"]["qop"], "auth");
    assert_eq!((marks(&well, "registration"), marks(&well, "nat")), (vec!["ok".to_owned()], vec!["ok".to_owned()]));
    let call = findings(&well, "call");
    let texts: Vec<&str> = call.iter().map(|finding| finding["text"].as_str().unwrap()).collect();
    assert!(texts[0].contains("answered: PCMU"), "{texts:?}");
    assert!(texts.iter().any(|text| text.starts_with("heard ")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("sound comes back at -")), "{texts:?}");
    assert!(call[0]["details"]["quality"]["inbound"]["packets"].as_u64().unwrap() > 100, "{call:?}");
    assert_eq!(bob.finish().ended()[0]["status"], "completed");
    // It left nothing in the call log, but a trace of what it did.
    assert!(home.history(&[]).is_empty());
    let shown = home.run(&["trace", "ladder", "last"]);
    assert!(shown.out.contains("INVITE") && shown.out.contains("BYE"), "{}", shown.out);
}

#[test]
fn a_wrong_password_is_named_as_what_it_is() {
    let (domain, home) = (Domain::start(), Home::new());
    let aor = domain.aor("ann");
    let ill = examine(&home, "wrong", &["--aor", &aor, "--call", "bob"]);
    assert_eq!(ill.code, 1, "{ill:?}");
    assert_eq!(marks(&ill, "udp"), ["ok"]);
    let registration = findings(&ill, "registration").remove(0);
    assert_eq!(registration["mark"], "fail");
    assert!(registration["text"].as_str().unwrap().contains("did not accept user name and password"), "{registration}");
    assert!(registration["remedy"].as_str().unwrap().contains("--auth-user"), "{registration}");
    assert!(findings(&ill, "call")[0]["text"].as_str().unwrap().contains("no test call"), "{ill:?}");
    let human = home.command(&["doctor", "--aor", &aor]).env("SIDETONE_PASSWORD", "wrong").output().unwrap();
    let text = String::from_utf8(human.stdout).unwrap();
    assert!(
        text.contains("FAIL  registration") && text.contains("-> check --auth-user") && text.contains("1 failed"),
        "{text}"
    );
}

#[test]
fn a_dead_port_and_a_name_that_does_not_exist_are_told_apart() {
    let home = Home::new();
    let aor = format!("sip:ann@127.0.0.1:{}", closed_port());
    let dead = examine(&home, PASSWORD, &["--aor", &aor, "--transport", "tcp"]);
    assert_eq!(dead.code, 1, "{dead:?}");
    let tcp = findings(&dead, "tcp").remove(0);
    assert!(tcp["mark"] == "fail" && tcp["remedy"].as_str().unwrap().contains("firewall"), "{tcp}");
    assert_eq!((marks(&dead, "dns"), marks(&dead, "registration")), (vec!["ok".to_owned()], vec!["fail".to_owned()]));

    let unknown = examine(&home, PASSWORD, &["--aor", "sip:ann@nowhere.invalid"]);
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(marks(&unknown, "dns").contains(&"fail".to_owned()), "{unknown:?}");
    assert!(findings(&unknown, "tcp").is_empty(), "there is nothing to connect to");
    let no_account = home.run(&["doctor"]);
    assert_eq!(no_account.code, 8, "{no_account:?}");
}

/// A STUN server (RFC 8489) that says of everybody that he is 203.0.113.7, on the port that he has.
fn stun() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if length < 20 || buffer[..2] != [0, 1] {
                continue;
            }
            let mut reply = vec![1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42];
            reply.extend(&buffer[8..20]);
            reply.extend([0, 0x20, 0, 8, 0, 1]);
            reply.extend((from.port() ^ 0x2112).to_be_bytes());
            reply.extend([203 ^ 0x21, 0x12, 113 ^ 0xa4, 7 ^ 0x42]);
            let _ = socket.send_to(&reply, from);
        }
    });
    port
}

#[test]
fn address_translation_is_seen_by_stun() {
    let (domain, home) = (Domain::start(), Home::new());
    let (aor, server) = (domain.aor("ann"), format!("127.0.0.1:{}", stun()));
    let seen = examine(&home, PASSWORD, &["--aor", &aor, "--stun", &server]);
    assert_eq!(seen.code, 0, "{seen:?}");
    let nat = findings(&seen, "nat");
    assert!(nat[0]["text"].as_str().unwrap().contains("sees 203.0.113.7:"), "{nat:?}");
    // The domain is on this machine and sees us as we are.
    assert!(nat[1]["mark"] == "warn" && nat[1]["text"].as_str().unwrap().contains("several addresses"), "{nat:?}");
}

/// A translator and a server with two addresses behind it, in one: what the translator would show, and what it would let
/// in. The server has the addresses 127.0.0.1 and 127.0.0.2, each with two ports.
fn translated(mapping: &'static str, filtering: &'static str) -> SocketAddr {
    let one = UdpSocket::bind("127.0.0.1:0").unwrap();
    let first = one.local_addr().unwrap().port();
    let two = UdpSocket::bind("127.0.0.1:0").unwrap();
    let second = two.local_addr().unwrap().port();
    let bind = |port: u16| UdpSocket::bind(("127.0.0.2", port)).unwrap();
    let sockets = Arc::new([one, two, bind(first), bind(second)]);
    for number in 0..sockets.len() {
        let sockets = Arc::clone(&sockets);
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = sockets[number].recv_from(&mut buffer) {
                let request = &buffer[..length];
                if length < 20 || request[..2] != [0, 1] {
                    continue;
                }
                let change = request.windows(4).position(|window| window == [0, 3, 0, 4]);
                let flags = change.map_or(0, |at| request[at + 7]);
                let passes = match flags {
                    0 => true,
                    6 => filtering == "everybody",
                    _ => filtering != "port",
                };
                if !passes {
                    continue;
                }
                let mapped = match mapping {
                    "one" => 40_000,
                    "address" => 40_000 + (number as u16 / 2),
                    _ => 40_000 + number as u16,
                };
                let mut reply = vec![1, 1, 0, 24, 0x21, 0x12, 0xa4, 0x42];
                reply.extend(&request[8..20]);
                reply.extend([0, 0x20, 0, 8, 0, 1]);
                reply.extend((mapped ^ 0x2112_u16).to_be_bytes());
                reply.extend([203 ^ 0x21, 0x12, 113 ^ 0xa4, 7 ^ 0x42]);
                // OTHER-ADDRESS.
                reply.extend([0x80, 0x2c, 0, 8, 0, 1]);
                reply.extend(second.to_be_bytes());
                reply.extend([127, 0, 0, 2]);
                let sender = match flags {
                    0 => number,
                    6 => 3,
                    _ => 1,
                };
                let _ = sockets[sender].send_to(&reply, from);
            }
        });
    }
    SocketAddr::from(([127, 0, 0, 1], first))
}

#[test]
fn every_kind_of_translator_is_told_apart() {
    let (domain, home) = (Domain::start(), Home::new());
    let aor = domain.aor("ann");
    for (mapping, filtering, kind, mark, asked) in [
        ("one", "everybody", "full cone", "ok", 2),
        ("one", "address", "restricted cone", "ok", 2),
        ("one", "port", "port-restricted cone", "ok", 2),
        ("address", "port", "symmetric", "warn", 3),
        ("port", "port", "symmetric", "warn", 3),
    ] {
        let server = translated(mapping, filtering).to_string();
        let seen = examine(&home, PASSWORD, &["--aor", &aor, "--stun", &server]);
        assert_eq!(seen.code, 0, "{seen:?}");
        let nat = findings(&seen, "nat").remove(0);
        assert_eq!((&nat["mark"], &nat["details"]["translator"]), (&mark.into(), &kind.into()), "{nat}");
        assert!(nat["text"].as_str().unwrap().contains(kind), "{nat}");
        assert_eq!(nat["details"]["seen"].as_array().unwrap().len(), asked, "{nat}");
        let by = match mapping {
            "one" => "endpoint-independent",
            "address" => "address-dependent",
            _ => "address-and-port-dependent",
        };
        assert_eq!(nat["details"]["mapping"], by, "{nat}");
    }
}
