//! Networks that change under a running phone, in namespaces: registrations heal and calls go on by themselves.

use crate::network::Network;
use crate::phone::{Phone, listens};
use crate::registrar::Registrar;
use serde_json::Value;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(15);

fn contains<'a>(field: &'a str, text: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |event| event[field].as_str().is_some_and(|value| value.contains(text))
}

/// Waits until the registrar has seen more than `before` REGISTERs.
fn registered_again(registrar: &Registrar, before: usize, limit: Duration) -> Duration {
    let begin = Instant::now();
    while registrar.contacts().len() <= before {
        assert!(begin.elapsed() < limit, "no REGISTER within {limit:?}: {:?}", registrar.contacts());
        std::thread::sleep(Duration::from_millis(20));
    }
    begin.elapsed()
}

#[test]
fn a_changed_address_is_registered_at_once_with_the_same_instance() {
    let Some(network) = Network::make(11) else { return };
    let registrar = Registrar::start(format!("{}:0", network.here()).parse().unwrap(), 600);
    let home = tempfile::tempdir().unwrap();
    let aor = format!("sip:alice@{}", registrar.address);
    for (transport, from, to) in [("udp", 2, 3), ("tcp", 3, 4)] {
        let mut phone =
            Phone::start(Some(&network.name), home.path(), &["register", "--aor", &aor, "--transport", transport]);
        phone.expect("registration.registered", SOON, contains("contact", &network.there(from)));
        let before = registrar.contacts().len();
        network.leave(from);
        network.take(to);
        let event = phone.expect("registration.registered", SOON, contains("contact", &network.there(to)));
        println!("{transport}: registered again as {}", event["contact"]);
        assert!(registrar.contacts().len() > before);
    }
    let instance = |contact: &String| {
        let begin = contact.find("urn:uuid:").expect("an instance");
        contact[begin..begin + 45].to_owned()
    };
    let mut instances: Vec<String> = registrar.contacts().iter().map(instance).collect();
    instances.dedup();
    assert_eq!(instances.len(), 1, "two runs, two addresses, one instance: {instances:?}");
    assert!(registrar.contacts().iter().all(|contact| contact.contains("reg-id=1")));
}

#[test]
fn a_route_or_a_link_that_comes_back_is_used_at_once() {
    let Some(network) = Network::make(12) else { return };
    let registrar = Registrar::start(format!("{}:0", network.far()).parse().unwrap(), 600);
    let home = tempfile::tempdir().unwrap();
    let aor = format!("sip:alice@{}", registrar.address);
    let arguments = ["register", "--aor", &aor, "--transport", "tcp"];
    let mut phone = Phone::start(Some(&network.name), home.path(), &arguments);
    phone.expect("registration.registered", SOON, |_| true);
    let before = registrar.contacts().len();
    network.inside(&["route", "del", "default"]);
    // That nothing is sent cannot be waited for: three looks at the network pass.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(registrar.contacts().len(), before);
    network.route();
    println!("route: again after {:?}", registered_again(&registrar, before, SOON));
    let before = registrar.contacts().len();
    network.inside(&["link", "set", "phone", "down"]);
    // Long enough to be noticed; the phone tells nobody of it.
    std::thread::sleep(Duration::from_secs(3));
    network.inside(&["link", "set", "phone", "up"]);
    network.route();
    println!("link: again after {:?}", registered_again(&registrar, before, SOON));

    // From a start without any way: no waiting for the next attempt of the back-off once there is one.
    drop(phone);
    network.inside(&["route", "del", "default"]);
    let mut phone = Phone::start(Some(&network.name), home.path(), &arguments);
    let failed = phone.expect("registration.failed", SOON, |_| true);
    assert!(failed["next_attempt_in"].as_u64().is_some_and(|wait| wait >= 25), "{failed}");
    assert!(failed["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    let before = registrar.contacts().len();
    network.route();
    println!("start: after {:?}", registered_again(&registrar, before, SOON));
    phone.expect("registration.registered", SOON, |_| true);
}

#[test]
fn a_registrar_that_is_restarted_finds_its_phone_again() {
    let Some(network) = Network::make(13) else { return };
    let home = tempfile::tempdir().unwrap();
    let first = Registrar::start(format!("{}:0", network.here()).parse().unwrap(), 600);
    let address = first.address;
    let aor = format!("sip:alice@{address}");
    let arguments = ["register", "--aor", &aor, "--transport", "tcp"];
    let mut phone = Phone::start(Some(&network.name), home.path(), &arguments);
    phone.expect("registration.registered", SOON, |_| true);
    drop(first);
    // The connection is closed: the phone notices at once, and finds nobody.
    let failed = phone.expect("registration.failed", SOON, |_| true);
    let wait = failed["next_attempt_in"].as_u64().expect("the next attempt");
    assert!((29..=60).contains(&wait), "RFC 5626 section 4.5: {failed}");
    let second = Registrar::start(address, 600);
    let took = registered_again(&second, 0, Duration::from_secs(wait + 5));
    println!("restart: promised {wait} s, again after {took:?}");
    phone.expect("registration.registered", SOON, |_| true);
}

#[test]
fn a_call_goes_on_from_another_address() {
    let Some(network) = Network::make(14) else { return };
    let (home, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bind = format!("{}:5070", network.here());
    let mut bob = Phone::start(
        None,
        far.path(),
        &["answer", "--no-register", "--bind", &bind, "--source", "tone:300", "--sink", "null", "--max-calls", "1"],
    );
    listens(&bind);
    let target = format!("sip:bob@{bind}");
    let mut alice = Phone::start(
        Some(&network.name),
        home.path(),
        &["call", &target, "--no-register", "--source", "tone:440", "--sink", "null", "--duration", "12"],
    );
    alice.expect("call.answered", SOON, |_| true);
    bob.expect("call.answered", SOON, |_| true);
    // They talk for a while before.
    std::thread::sleep(Duration::from_secs(3));
    network.leave(2);
    network.take(3);
    let ended = alice.expect("call.ended", Duration::from_secs(30), |_| true);
    let heard = bob.expect("call.ended", SOON, |_| true);
    for (who, event) in [("alice", &ended), ("bob", &heard)] {
        let record = &event["call"];
        assert_eq!(record["status"], "completed", "{who}: {record:#}");
        let packets = record["quality"]["inbound"]["packets"].as_u64().unwrap_or_default();
        println!("{who} heard {packets} packets of about 600");
        // 12 s of 20 ms packets, of which the seconds until the move are lost.
        assert!(packets > 420, "{who} heard {packets} packets: {record:#}");
    }
    // It was ended by its caller, from the new address, and not by a time-out.
    assert_eq!(heard["call"]["ended_by"], "remote", "{heard:#}");
}
