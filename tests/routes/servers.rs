//! Servers that fail, found through a real name server, by the program as a user runs it.

use crate::dnsmasq::{self, Dnsmasq};
use crate::phone::{Phone, listens};
use crate::registrar::Registrar;
use serde_json::Value;
use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

/// Two servers of one domain: `first` by priority, then `second`.
fn domain(transport: &str, first: u16, second: u16) -> Dnsmasq {
    Dnsmasq::start(
        "127.0.0.60",
        0,
        &[
            &format!("srv-host=_sip._{transport}.carrier.test,one.carrier.test,{first},10,0"),
            &format!("srv-host=_sip._{transport}.carrier.test,two.carrier.test,{second},20,0"),
            "host-record=one.carrier.test,127.0.0.61",
            "host-record=two.carrier.test,127.0.0.62",
        ],
    )
}

#[test]
fn a_silent_registrar_is_left_for_the_next_of_the_domain() {
    if !dnsmasq::installed() {
        return;
    }
    let deaf = UdpSocket::bind("127.0.0.61:0").unwrap();
    let second = Registrar::start("127.0.0.62:0".parse().unwrap(), 600);
    let names = domain("udp", deaf.local_addr().unwrap().port(), second.address.port());
    let home = tempfile::tempdir().unwrap();
    let server = names.address.to_string();
    let begin = Instant::now();
    let mut phone = Phone::start(
        None,
        home.path(),
        &["register", "--aor", "sip:alice@carrier.test", "--dns-server", &server, "--failover", "1.5"],
    );
    phone.expect("registration.registered", SOON, |_| true);
    let took = begin.elapsed();
    println!("registered at the second server after {took:?}");
    assert!((Duration::from_millis(1500)..Duration::from_secs(6)).contains(&took), "{took:?}");
    assert_eq!(second.contacts().len(), 1);
    // It was asked first, and more than once.
    deaf.set_nonblocking(true).unwrap();
    let mut buffer = [0; 2048];
    let asked = std::iter::from_fn(|| deaf.recv(&mut buffer).ok()).count();
    assert!((2..=4).contains(&asked), "sendings at 0, 0.5 and 1.5 s: {asked}");
}

#[test]
fn a_call_takes_the_server_that_is_there() {
    if !dnsmasq::installed() {
        return;
    }
    // A port on which nobody listens: refused at once.
    let closed = TcpListener::bind("127.0.0.61:0").unwrap().local_addr().unwrap().port();
    let (home, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let free = TcpListener::bind("127.0.0.62:0").unwrap().local_addr().unwrap().port();
    let bind = format!("127.0.0.62:{free}");
    let answer =
        ["answer", "--no-register", "--bind", &bind, "--source", "silence", "--sink", "null", "--max-calls", "1"];
    let mut bob = Phone::start(None, far.path(), &answer);
    listens(&bind);
    let names = domain("tcp", closed, free);
    let server = names.address.to_string();
    let call = [
        "call",
        "sip:bob@carrier.test;transport=tcp",
        "--no-register",
        "--dns-server",
        &server,
        "--source",
        "silence",
        "--sink",
        "null",
        "--duration",
        "1",
    ];
    let mut alice = Phone::start(None, home.path(), &call);
    let completed = |event: &Value| event["call"]["status"] == "completed";
    let ended = alice.expect("call.ended", SOON, |_| true);
    assert!(completed(&ended), "{ended:#}");
    assert!(completed(&bob.expect("call.ended", SOON, |_| true)));
}

/// The first server is busy for a while: the registration goes to the second one, and back when its time is over.
#[test]
fn a_registration_returns_to_the_first_server_when_it_serves_again() {
    if !dnsmasq::installed() {
        return;
    }
    let first = Registrar::start("127.0.0.61:0".parse().unwrap(), 8);
    let second = Registrar::start("127.0.0.62:0".parse().unwrap(), 8);
    first.be_busy(true);
    let names = domain("udp", first.address.port(), second.address.port());
    let (home, server) = (tempfile::tempdir().unwrap(), names.address.to_string());
    let arguments = ["register", "--aor", "sip:alice@carrier.test", "--dns-server", &server];
    let mut phone = Phone::start(None, home.path(), &arguments);
    phone.expect("registration.registered", SOON, |_| true);
    assert_eq!((first.contacts().len(), second.contacts().len()), (0, 1));
    first.be_busy(false);
    let begin = Instant::now();
    // It was busy for three seconds (Retry-After); the next refresh is before eight.
    while first.contacts().is_empty() {
        assert!(begin.elapsed() < SOON, "it does not come back: {:?}", second.contacts());
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("back at the first server after {:?}", begin.elapsed());
    assert!(begin.elapsed() > Duration::from_secs(3), "not before the server wanted it");
    let there = first.contacts().len();
    while first.contacts().len() < there + 1 {
        assert!(begin.elapsed() < SOON + SOON, "it does not stay");
        std::thread::sleep(Duration::from_millis(50));
    }
}
