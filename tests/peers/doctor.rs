//! The doctor and the flight recorder against Kamailio; the doctor with coturn, which has two addresses.

use crate::kamailio::Kamailio;
use crate::process::{Peer, address, eventually, free_port, installed};
use crate::sidetone::Home;
use serde_json::Value;
use sidetone::net::stun;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

#[test]
fn an_account_at_kamailio_is_examined() {
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start();
    let home = Home::new();
    let aor = format!("sip:alice@{}", kamailio.address);
    let bind = kamailio.address.ip().to_string();
    let arguments = ["doctor", "--aor", &aor, "--bind", &bind, "--json"];
    let (code, out, err) = home.run(&arguments, "secret-alice");
    let findings: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let of = |check: &str| -> Vec<&Value> { findings.iter().filter(|finding| finding["check"] == check).collect() };
    assert_eq!(code, 0, "{out}\n{err}");
    for transport in ["udp", "tcp"] {
        assert_eq!(of(transport)[0]["mark"], "ok", "{out}");
    }
    assert!(of("udp")[0]["details"]["server"].as_str().unwrap().contains("kamailio"), "{out}");
    let challenge = of("challenge")[0];
    assert_eq!((&challenge["details"]["status"], &challenge["details"]["qop"]), (&401.into(), &"auth".into()), "{out}");
    assert_eq!((&of("registration")[0]["mark"], &of("nat")[0]["mark"]), (&"ok".into(), &"ok".into()), "{out}");

    let (code, out, _) = home.run(&arguments, "wrong");
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("did not accept user name and password"), "{out}");
    let (_, ladder, _) = home.run(&["trace", "ladder", "registration:alice"], "");
    assert!(ladder.contains("REGISTER") && ladder.contains("401 Unauthorized"), "{ladder}");
}

/// The tests of RFC 5780 with a real server: on loopback nothing is translated and nothing kept out.
#[test]
fn coturn_with_two_addresses_tells_what_kind_of_translator_there_is() {
    if !installed("turnserver") || !installed("kamailio") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (address(), address());
    let server = SocketAddr::new(one, free_port(one));
    let (other, ips) = (free_port(two), [one.to_string(), two.to_string()]);
    let mut command = Command::new("turnserver");
    command.args(["-n", "--stun-only", "--no-tcp", "--no-tls", "--no-dtls", "--no-cli", "--log-file", "stdout", "-v"]);
    command.args(["-L", &ips[0], "-L", &ips[1], "-p", &server.port().to_string()]);
    command.arg(format!("--alt-listening-port={other}"));
    command.arg("--pidfile").arg(directory.path().join("pid")).arg("--db").arg(directory.path().join("turndb"));
    let coturn = Peer::start("turnserver", directory.path(), &mut command);
    let socket = UdpSocket::bind((one, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let question = stun::request(stun::TransactionId([7; 12]));
    let answers = eventually(Duration::from_secs(20), || {
        socket.send_to(&question, server).is_ok() && socket.recv(&mut [0; 1500]).is_ok()
    });
    assert!(answers, "coturn does not answer:\n{}", coturn.log());

    let (kamailio, home) = (Kamailio::start(), Home::new());
    let aor = format!("sip:alice@{}", kamailio.address);
    let (bind, stun) = (kamailio.address.ip().to_string(), server.to_string());
    let arguments = ["doctor", "--aor", &aor, "--bind", &bind, "--stun", &stun, "--json"];
    let (code, out, err) = home.run(&arguments, "secret-alice");
    assert_eq!(code, 0, "{out}\n{err}");
    let findings = out.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    let nat = findings.into_iter().find(|finding| finding["check"] == "nat").expect("a finding");
    let details = &nat["details"];
    assert_eq!(details["other_address"], SocketAddr::new(two, other).to_string(), "{nat}\n{}", coturn.log());
    assert_eq!(details["mapping"], "endpoint-independent", "{nat}");
    assert_eq!(
        (&details["filtering"], &details["translator"]),
        (&"endpoint-independent".into(), &"none".into()),
        "{nat}"
    );
    assert_eq!(details["seen"].as_array().unwrap().len(), 2, "both addresses were asked: {nat}");
}
