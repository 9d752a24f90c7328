//! Kamailio as registrar and record-routing proxy: registration as a user sees it, and calls between our own phones.

use crate::kamailio::Kamailio;
use crate::process::{address, eventually, free_port, installed};
use crate::sidetone::{Home, Sidetone};
use crate::sound::Sound;
use serde_json::Value;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(20);
/// Longer than 64*T1: the time-outs of RFC 3261 are 32 s.
const GIVES_UP: Duration = Duration::from_secs(50);

/// Starts `sidetone VERB` as `user` of the domain.
fn phone(home: &Home, verb: &[&str], domain: SocketAddr, user: &str, transport: &str, more: &[&str]) -> Sidetone {
    let password = format!("secret-{user}");
    phone_with(home, verb, domain, user, transport, more, &password)
}

fn phone_with(
    home: &Home,
    verb: &[&str],
    domain: SocketAddr,
    user: &str,
    transport: &str,
    more: &[&str],
    password: &str,
) -> Sidetone {
    let (aor, bind) = (format!("sip:{user}@{domain}"), address().to_string());
    let account = ["--aor", &aor, "--transport", transport, "--bind", &bind];
    home.start(&[verb, &account[..], more].concat(), password)
}

/// Registers once; takes the binding back.
fn registers(algorithm: &str, transport: &str) {
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::with_algorithm(algorithm);
    let home = Home::new();
    let mut alice = phone(&home, &["register", "--once"], kamailio.address, "alice", transport, &[]);
    let registered = alice.expect("registration.registered", SETUP);
    assert_eq!(registered["account"], format!("sip:alice@{}", kamailio.address), "{registered}");
    // Ten minutes are asked for, as the generic preset says; the registrar grants two.
    assert_eq!(registered["expires"], 120, "{registered}");
    alice.expect("registration.unregistered", SETUP);
    assert_eq!(alice.finish(SETUP).0, 0);
    let log = kamailio.log();
    let by = format!("by {transport} ");
    let asked: Vec<&str> =
        log.lines().filter(|line| line.contains("REGISTER sip:alice@") && line.contains(&by)).collect();
    // Once without and once with credentials; the nonce serves the last one too.
    assert_eq!(asked.len(), 3, "{log}");
    assert!(asked[0].contains("expires 600") && asked[2].contains("expires 0"), "{log}");
}

#[test]
fn registers_over_udp_with_md5() {
    registers("MD5", "udp");
}

#[test]
fn registers_over_tcp_with_md5() {
    registers("MD5", "tcp");
}

#[test]
fn registers_over_udp_with_sha_256() {
    registers("SHA-256", "udp");
}

#[test]
fn registers_over_tcp_with_sha_256() {
    registers("SHA-256", "tcp");
}

#[test]
fn registers_a_domain_at_a_registrar_elsewhere() {
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start();
    let home = Home::new();
    let (registrar, bind) = (kamailio.address.to_string(), address().to_string());
    let arguments =
        ["register", "--once", "--aor", "sip:alice@example.test", "--registrar", &registrar, "--bind", &bind];
    let mut alice = home.start(&arguments, "secret-alice");
    alice.expect("registration.registered", SETUP);
    assert_eq!(alice.finish(SETUP).0, 0);
    assert!(kamailio.log().contains("REGISTER sip:alice@example.test"), "{}", kamailio.log());
}

#[test]
fn a_wrong_password_is_exit_code_4() {
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start();
    for (verb, transport) in [
        (&["register"][..], "udp"),
        (&["register", "--once"], "tcp"),
        (&["call", "bob", "--source", "silence", "--sink", "null"], "udp"),
        (&["call", "bob", "--no-register", "--source", "silence", "--sink", "null"], "udp"),
        (&["answer", "--source", "silence", "--sink", "null"], "tcp"),
    ] {
        let home = Home::new();
        let mut alice = phone_with(&home, verb, kamailio.address, "alice", transport, &[], "swordfish");
        let event = if verb.contains(&"--no-register") { "call.ended" } else { "registration.failed" };
        let failed = alice.expect(event, SETUP);
        let code = if event == "call.ended" { &failed["call"]["sip_code"] } else { &failed["sip_code"] };
        assert!(*code == 401 || *code == 407, "{failed}");
        let (exit, errors) = alice.finish(SETUP);
        assert_eq!(exit, 4, "{verb:?}: {errors}");
        assert!(!errors.contains("swordfish") && !failed.to_string().contains("swordfish"), "{errors} {failed}");
    }
    let log = kamailio.log();
    let tries = log.lines().filter(|line| line.contains("REGISTER sip:alice@")).count();
    assert_eq!(tries, 2 * 4, "one try with the password each, no more: {log}");
}

#[test]
fn a_registrar_that_refuses_connections_is_exit_code_5() {
    let ip = address();
    let nobody = SocketAddr::new(ip, free_port(ip));
    let home = Home::new();
    let mut alice = phone(&home, &["register", "--once"], nobody, "alice", "tcp", &[]);
    let failed = alice.expect("registration.failed", SETUP);
    assert!(failed["next_attempt_in"].is_number() && failed["sip_code"].is_null(), "{failed}");
    assert_eq!(alice.finish(SETUP).0, 5);
}

#[test]
fn a_silent_registrar_is_exit_code_5_after_32_seconds() {
    let ip = address();
    let silent = UdpSocket::bind((ip, free_port(ip))).unwrap();
    let home = Home::new();
    let nobody = silent.local_addr().unwrap();
    let mut alice = phone(&home, &["register", "--once"], nobody, "alice", "udp", &[]);
    alice.expect("registration.failed", GIVES_UP);
    assert_eq!(alice.finish(SETUP).0, 5);
    silent.set_nonblocking(true).unwrap();
    let mut buffer = [0; 2048];
    let requests = std::iter::from_fn(|| silent.recv(&mut buffer).ok()).count();
    // Timer E doubles up to T2 until timer F: 0, 0.5, 1.5, 3.5 s, then every 4 s until 31.5.
    assert_eq!(requests, 11);
}

#[test]
fn refreshes_before_the_granted_expiry_and_unregisters_on_ctrl_c() {
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start();
    let home = Home::new();
    // Five seconds are too brief for this registrar (423): ten it is.
    let mut alice = phone(&home, &["register", "--expires", "5"], kamailio.address, "alice", "udp", &[]);
    let first = alice.expect("registration.registered", SETUP);
    assert_eq!(first["expires"], 10, "{first}");
    let refreshed = |log: &str| {
        log.lines().filter(|line| line.contains("REGISTER sip:alice@") && line.contains("expires 10 ")).count()
    };
    let before = refreshed(&kamailio.log());
    assert_eq!(before, 2, "without and with credentials: {}", kamailio.log());
    assert!(
        eventually(Duration::from_secs(10), || refreshed(&kamailio.log()) > before),
        "no refresh within the ten seconds that were granted:\n{}",
        kamailio.log()
    );
    alice.interrupt();
    alice.expect("registration.unregistered", SETUP);
    assert_eq!(alice.finish(SETUP).0, 0);
    let log = kamailio.log();
    let last = log.lines().rfind(|line| line.contains("REGISTER sip:alice@")).unwrap_or_default();
    assert!(last.contains("expires 0"), "{log}");
}

/// Alice calls Bob through the proxy.
fn calls_through_the_proxy(alice_by: &str, bob_by: &str, digits: &str) {
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start();
    let (alice_home, bob_home) = (Home::new(), Home::new());
    let audio = ["--source", "tone:440", "--sink", "null"];
    let recordings = bob_home.path("recordings");
    let answer = ["answer", "--max-calls", "1", "--record", recordings.to_str().unwrap()];
    let mut bob = phone(&bob_home, &answer, kamailio.address, "bob", bob_by, &audio);
    bob.expect("registration.registered", SETUP);
    let call = ["call", "bob", "--duration", "4", "--dtmf", digits];
    let mut alice = phone(&alice_home, &call, kamailio.address, "alice", alice_by, &audio);
    let theirs = bob.expect("call.ended", SETUP + SETUP)["call"].clone();
    let ours = alice.expect("call.ended", SETUP)["call"].clone();
    assert_eq!((alice.finish(SETUP).0, bob.finish(SETUP).0), (0, 0));
    for (record, by) in [(&ours, "local"), (&theirs, "remote")] {
        assert_eq!((&record["status"], &record["ended_by"]), (&"completed".into(), &by.into()), "{record}");
        assert_eq!(record["codec"].as_str().map(str::to_lowercase).as_deref(), Some("opus"), "{record}");
        assert!(record["quality"]["inbound"]["packets"].as_u64().unwrap() > 100, "{record}");
        assert!(record["talk_seconds"].as_f64().unwrap() > 3.0, "{record}");
    }
    assert_eq!((&ours["transport"], &theirs["transport"]), (&alice_by.into(), &bob_by.into()));
    assert_eq!(theirs["dtmf_received"], digits, "{theirs}");
    let heard = Sound::read(theirs["recording"].as_str().expect("a recording"), 1);
    let share = heard.share_of_tone(440.0, 20.0);
    assert!(
        heard.seconds() > 3.0 && heard.level() > 0.01 && share > 0.8,
        "{} s, {}, {share}",
        heard.seconds(),
        heard.level()
    );
    assert_eq!(theirs["from"], format!("sip:alice@{}", kamailio.address), "{theirs}");
    let log = kamailio.log();
    // Both stay on the recorded route: ACK and BYE come by the proxy, on Alice's transport.
    for method in ["ACK", "BYE"] {
        assert!(log.contains(&format!("{method} in dialog by {alice_by}")), "{method}: {log}");
    }
    let rows = (alice_home.history(), bob_home.history());
    assert_eq!((rows.0.len(), rows.1.len()), (1, 1));
    assert_eq!((&rows.0[0]["status"], &rows.1[0]["status"]), (&"completed".into(), &"completed".into()));
}

#[test]
fn two_phones_talk_through_the_proxy_over_udp() {
    calls_through_the_proxy("udp", "udp", "159#");
}

#[test]
fn two_phones_talk_through_the_proxy_over_tcp() {
    calls_through_the_proxy("tcp", "tcp", "0*D");
}

#[test]
fn two_phones_talk_through_the_proxy_over_tcp_and_udp() {
    calls_through_the_proxy("tcp", "udp", "1");
}

#[test]
fn a_large_request_goes_by_tcp() {
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start();
    let home = Home::new();
    let name = "long name ".repeat(100);
    let verb = ["call", "nobody", "--display-name", &name, "--source", "silence", "--sink", "null"];
    let mut alice = phone(&home, &verb, kamailio.address, "alice", "udp", &[]);
    let ended = alice.expect("call.ended", SETUP);
    assert_eq!(ended["call"]["sip_code"], 404, "{ended}");
    assert_eq!(alice.finish(SETUP).0, 3);
    // RFC 3261 section 18.1.1: above 1300 octets.
    let log = kamailio.log();
    assert!(log.lines().any(|line| line.contains("INVITE sip:alice@") && line.ends_with("by tcp")), "{log}");
}

#[test]
fn nobody_of_that_name_is_exit_code_3() {
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start();
    let home = Home::new();
    let verb = ["call", "nobody", "--source", "silence", "--sink", "null"];
    let mut alice = phone(&home, &verb, kamailio.address, "alice", "udp", &[]);
    let ended: Value = alice.expect("call.ended", SETUP);
    assert_eq!((&ended["call"]["status"], &ended["call"]["sip_code"]), (&"failed".into(), &404.into()), "{ended}");
    assert_eq!(alice.finish(SETUP).0, 3);
}
