//! The flows of RFC 3665 and RFC 5359, message for message, as `vectors/callflows/flows.json` lists them.

use std::net::SocketAddr;

use sidetone::sip::agent::Event;
use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Method, Status};
use sidetone::sip::wire::parse_datagram;
use sidetone::time::Duration;

use crate::peer::established_session;
use crate::peer::{ANSWER, OFFER, account, alice_and_bob, config, ended, incoming, offer, request, to};
use crate::shared;
use crate::world::{Node, World, summary};

/// The messages of a flow: who to whom, what.
fn flow(name: &str) -> Option<Vec<(String, String, String)>> {
    let folder = shared::vectors("callflows")?;
    let flows: serde_json::Value = serde_json::from_slice(&shared::octets(&folder.join("flows.json"))).unwrap();
    let flow = flows["flows"].as_array().unwrap().iter().find(|flow| flow["name"] == name);
    let text = |step: &serde_json::Value, key: &str| step[key].as_str().unwrap().to_owned();
    let steps = flow.unwrap_or_else(|| panic!("there is no flow {name}"))["steps"].as_array().unwrap();
    let steps = steps.iter().filter(|step| step["msg"] != "RTP");
    Some(steps.map(|step| (text(step, "frm"), text(step, "to"), text(step, "msg").replace(['(', ')'], ""))).collect())
}

/// What was sent, in the words of the flows; `100` is no step of theirs.
fn played(world: &World, parties: &[(&str, SocketAddr)]) -> Vec<(String, String, String)> {
    let name = |address: SocketAddr| {
        let party = parties.iter().find(|(_, known)| *known == address);
        party.unwrap_or_else(|| panic!("{address} is nobody")).0.to_owned()
    };
    let steps = world.trace.iter().map(|wire| (name(wire.from), name(wire.to), summary(wire)));
    steps.filter(|(_, _, what)| !what.starts_with("100 ")).collect()
}

/// Steps name the method of a response only where it matters.
#[track_caller]
fn assert_played(world: &World, name: &str, parties: &[(&str, SocketAddr)]) {
    let played = played(world, parties);
    let Some(steps) = flow(name) else { return };
    let same = played.len() == steps.len()
        && played.iter().zip(&steps).all(|(sent, step)| {
            (&sent.0, &sent.1) == (&step.0, &step.1) && (sent.2 == step.2 || sent.2.split(' ').next() == Some(&step.2))
        });
    assert!(same, "{name}:\n{played:#?}\nis not\n{steps:#?}");
}

fn two_agents() -> (World, Node, Node) {
    let mut world = World::new(11);
    let alice = world.agent("192.0.2.1:5060", config());
    let bob = world.agent("192.0.2.2:5060", config());
    let call = world.with(alice, |agent, now| agent.invite(now, to("sip:bob@192.0.2.2")).unwrap());
    offer(&mut world, alice, call, Some(OFFER));
    (world, alice, bob)
}

#[track_caller]
fn finish(world: &mut World, name: &str, alice: Node, bob: Node) {
    world.run(Duration::from_secs(1));
    let (a, b) = (world.address(alice), world.address(bob));
    crate::letter::check(world, a);
    crate::letter::check(world, b);
    assert_played(world, name, &[("alice", a), ("bob", b)]);
}

#[test]
fn basic_call() {
    let (mut world, alice, bob) = two_agents();
    let theirs = incoming(&mut world, bob);
    world.with(bob, |agent, now| agent.ring(now, theirs, Status::RINGING, None).unwrap());
    world.run(Duration::from_secs(3));
    world.with(bob, |agent, now| agent.answer(now, theirs, ANSWER.into()).unwrap());
    world.run(Duration::from_secs(3));
    world.with(bob, |agent, now| agent.hangup(now, theirs, None).unwrap());
    finish(&mut world, "basic-call", alice, bob);
}

#[test]
fn cancel() {
    let (mut world, alice, bob) = two_agents();
    let theirs = incoming(&mut world, bob);
    world.with(bob, |agent, now| agent.ring(now, theirs, Status::RINGING, None).unwrap());
    let ours = world.wait(alice, |event| match event {
        Event::Progress { session, .. } => Some(*session),
        _ => None,
    });
    world.with(alice, |agent, now| agent.hangup(now, ours, None).unwrap());
    finish(&mut world, "cancel", alice, bob);
}

#[test]
fn busy() {
    let (mut world, alice, bob) = two_agents();
    let theirs = incoming(&mut world, bob);
    world.with(bob, |agent, now| agent.reject(now, theirs, Status::BUSY_HERE, None, Vec::new()).unwrap());
    assert_eq!(ended(&mut world, alice).1, Some(486));
    finish(&mut world, "busy", alice, bob);
}

#[test]
fn hold_and_resume() {
    let (mut world, alice, bob) = alice_and_bob();
    // Bob called in this one: the first four steps are the mirror of the flow's.
    let (mut line, session) = established_session(&mut world, alice, bob);
    let agent = world.address(alice);
    world.trace.clear();
    for _ in 0..2 {
        world.say(bob, agent, line.next(Method::Invite, Some(OFFER)));
        world.wait(alice, |event| matches!(event, Event::Reoffer { .. }).then_some(()));
        world.with(alice, |agent, now| agent.accept_reoffer(now, session, ANSWER.into()).unwrap());
        crate::peer::response(&mut world, bob, 200);
        world.say(bob, agent, line.again(Method::Ack, None));
        world.wait(alice, |event| matches!(event, Event::Confirmed { .. }).then_some(()));
    }
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    let bye = request(&mut world, bob, &Method::Bye);
    world.say(bob, agent, bye.response(Status::OK));
    let Some(steps) = flow("hold-resume") else { return };
    assert_eq!(played(&world, &[("alice", agent), ("bob", bob)]).len(), steps.len() - 4);
    let words = |step: &(String, String, String)| (step.0.clone(), step.2.clone());
    let sent: Vec<_> = played(&world, &[("alice", agent), ("bob", bob)]).iter().map(words).collect();
    assert_eq!(sent, steps[4..].iter().map(words).collect::<Vec<_>>());
}

#[test]
fn register_and_remove() {
    let (mut world, alice, server) = alice_and_bob();
    let agent = world.address(alice);
    let challenge = "Digest realm=\"r\", nonce=\"1\", qop=\"auth\"";
    let one = world.with(alice, |agent, _| agent.add_account(account("sip:alice@192.0.2.2", "secret")));
    world.with(alice, |agent, now| agent.register(now, one).unwrap());
    for expected in ["register-digest", "register-remove"] {
        let first = request(&mut world, server, &Method::Register);
        let mut refused = first.response(Status::UNAUTHORIZED).with_to_tag("r");
        refused.headers.push(Name::WwwAuthenticate, challenge.replace("\"1\"", &format!("\"{expected}\"")));
        world.say(server, agent, refused);
        let second = request(&mut world, server, &Method::Register);
        let mut taken = second.response(Status::OK).with_to_tag("r");
        if expected == "register-digest" {
            taken.headers.push(Name::Contact, format!("{};expires=600", second.headers.get(&Name::Contact).unwrap()));
        }
        world.say(server, agent, taken);
        world.run(Duration::from_millis(50));
        crate::letter::check(&world, agent);
        assert_played(&world, expected, &[("alice", agent), ("server", server)]);
        let expires = second.headers.expires();
        assert_eq!(expires == Some(0), expected == "register-remove");
        assert!(!second.headers.contact_is_star());
        world.trace.clear();
        if expected == "register-digest" {
            world.with(alice, |agent, now| agent.unregister(now, one).unwrap());
        }
    }
    world.assert_forgotten();
}

/// The INVITEs of RFC 3261 section 24 and RFC 3665 section 3.1 ring, and their dialogs take the RFC's own ACK and BYE.
#[test]
fn the_messages_of_the_rfcs_are_taken() {
    let Some(folder) = shared::vectors("callflows") else { return };
    let read = |file: &str| parse_datagram(&shared::octets(&folder.join(file))).unwrap();
    let mut taken = 0;
    for file in shared::files(&folder, "sip") {
        let Message::Request(invite) = read(&file) else { continue };
        if invite.method != Method::Invite {
            continue;
        }
        let (mut world, alice, bob) = alice_and_bob();
        let agent = world.address(alice);
        world.say(bob, agent, invite.clone());
        let session = incoming(&mut world, alice);
        world.with(alice, |agent, now| agent.answer(now, session, ANSWER.into()).unwrap());
        world.run(Duration::from_millis(100));
        let accepted = world.trace.iter().rev().find_map(|wire| match parse_datagram(&wire.bytes) {
            Ok(Message::Response(response)) if response.status.is_success() => Some(response),
            _ => None,
        });
        assert_eq!(accepted.unwrap().headers.get(&Name::From), invite.headers.get(&Name::From), "{file}");
        taken += 1;
    }
    assert_eq!(taken, 2, "one INVITE in each of the two RFCs");
}
