//! What keeps the flow of a registration open, and what its silence or a change of its address leads to.

use std::net::SocketAddr;

use sidetone::sip::agent::{AccountId, Event, KeepAlive};
use sidetone::sip::header::Name;
use sidetone::sip::hop::{Hop, Transport};
use sidetone::sip::keepalive::{BindingId, PING};
use sidetone::sip::message::{Method, Request, Status};
use sidetone::sip::registration::State;
use sidetone::time::{Duration, Instant};

use crate::peer::{account, alice_and_bob, request};
use crate::world::{Node, World};

const SEEN: &str = "203.0.113.7:40000";

fn registration(event: &Event) -> Option<State> {
    match event {
        Event::Registration { state, .. } => Some(state.clone()),
        _ => None,
    }
}

/// Takes a REGISTER; `outbound` says that the registrar keeps the flow (RFC 5626 section 6). It sees us at `seen`.
fn bind(world: &mut World, alice: Node, registrar: SocketAddr, register: &Request, outbound: bool, seen: &str) {
    let seen: SocketAddr = seen.parse().unwrap();
    let mut response = register.response(Status::OK).with_to_tag("r");
    let mut via = register.headers.top_via().unwrap();
    via.params.set("received", &seen.ip().to_string());
    via.params.set("rport", &seen.port().to_string());
    response.headers.set(Name::Via, via.to_string());
    let contact = register.headers.contacts().unwrap().remove(0);
    response.headers.push(Name::Contact, format!("<{}>;expires=3600", contact.uri));
    if outbound {
        response.headers.push(Name::Require, "outbound");
    }
    let agent = world.address(alice);
    world.say(registrar, agent, response);
    world.run(Duration::from_millis(50));
}

/// Alice registers with two servers behind one name, the first of which takes her.
fn registered(keepalive: KeepAlive, outbound: bool) -> (World, Node, [SocketAddr; 2], AccountId) {
    let (mut world, alice, first) = alice_and_bob();
    let second = world.peer("192.0.2.3:5060");
    world.names.insert("example.net".into(), vec![first, second]);
    let mut one = account("sip:alice@example.net", "secret");
    (one.keepalive, one.instance) = (keepalive, Some("urn:uuid:1".into()));
    let one = world.with(alice, |agent, now| {
        let one = agent.add_account(one);
        agent.register(now, one).unwrap();
        one
    });
    // The contact that was bound first leads nowhere: the registrar sees another address.
    for _ in 0..2 {
        let register = request(&mut world, first, &Method::Register);
        bind(&mut world, alice, first, &register, outbound, SEEN);
    }
    while !matches!(world.wait(alice, registration), State::Registered { .. }) {}
    (world, alice, [first, second], one)
}

/// Waits for the next Binding request.
#[track_caller]
fn binding(world: &mut World, alice: Node) -> (Instant, Hop, BindingId) {
    loop {
        if let Some(asked) = world.places[alice.0].bindings.pop_front() {
            return asked;
        }
        assert!(world.step(), "no Binding request:\n{}", world.story());
    }
}

fn told(world: &mut World, alice: Node, (_, hop, id): (Instant, Hop, BindingId), seen: &str) {
    world.with(alice, |agent, now| agent.handle_binding(now, hop, id, Some(seen.parse().unwrap())));
}

#[test]
fn the_registrar_and_the_user_choose_what_keeps_a_flow_open() {
    let rows = [
        (KeepAlive::Standard, false, false),
        (KeepAlive::Standard, true, true),
        (KeepAlive::Every(Duration::from_secs(10)), true, true),
        (KeepAlive::Crlf, true, false),
        (KeepAlive::Stun, false, true),
        (KeepAlive::Off, true, false),
    ];
    for (keepalive, outbound, stun) in rows {
        let (mut world, alice, [registrar, _], _) = registered(keepalive, outbound);
        let (begin, mut asked) = (world.now, 0);
        while world.now.since(begin) < Duration::from_secs(120) {
            while let Some(binding) = world.places[alice.0].bindings.pop_front() {
                asked += 1;
                told(&mut world, alice, binding, SEEN);
            }
            world.run(Duration::from_secs(1));
        }
        let pings = world.trace.iter().filter(|wire| wire.bytes == PING && wire.to == registrar).count();
        match keepalive {
            KeepAlive::Off => assert_eq!((asked, pings), (0, 0)),
            _ if stun => assert!(asked >= 5 && pings == 0, "{keepalive:?}: {asked} {pings}"),
            _ => assert!(asked == 0 && pings >= 4, "{keepalive:?}: {asked} {pings}"),
        }
    }
}

/// RFC 5626 section 4.4.2: the translator has forgotten us, and what the registrar sends to the old address is lost.
#[test]
fn another_address_in_the_answer_is_registered_at_once() {
    let (mut world, alice, [registrar, _], one) = registered(KeepAlive::Standard, true);
    let first = binding(&mut world, alice);
    told(&mut world, alice, first, SEEN);
    let second = binding(&mut world, alice);
    assert!((23_000..29_100).contains(&second.0.since(first.0).as_millis()));
    let asked = world.now;
    told(&mut world, alice, second, "203.0.113.7:40001");
    let register = request(&mut world, registrar, &Method::Register);
    assert!(world.now.since(asked) < Duration::from_millis(20), "at once");
    let contacts = register.headers.contacts().unwrap();
    assert_eq!(contacts[0].uri.to_string(), "sip:alice@203.0.113.7:40001");
    bind(&mut world, alice, registrar, &register, true, "203.0.113.7:40001");
    let Some(State::Registered { contact, .. }) = world.with(alice, |agent, _| agent.registration(one)) else {
        panic!("not registered")
    };
    assert_eq!(contact.to_string(), "sip:alice@203.0.113.7:40001");
    // It is asked on, and what has not changed is no news.
    let third = binding(&mut world, alice);
    world.inbox(registrar);
    told(&mut world, alice, third, "203.0.113.7:40001");
    world.run(Duration::from_secs(10));
    assert!(world.inbox(registrar).is_empty());
}

/// A registrar that used to answer and is silent for 39.5 s is gone: the next one is tried, without waiting for the
/// refresh of the hour.
#[test]
fn a_silent_flow_registers_elsewhere() {
    let (mut world, alice, [first, second], _) = registered(KeepAlive::Standard, true);
    let asked = binding(&mut world, alice);
    told(&mut world, alice, asked, SEEN);
    let silent = binding(&mut world, alice).0;
    let register = request(&mut world, second, &Method::Register);
    assert_eq!(world.now.since(silent).as_millis(), 39_510, "seven requests, and ten milliseconds on the way");
    let contacts = register.headers.contacts().unwrap();
    assert_eq!(contacts[0].params.text("+sip.instance").as_deref(), Some("<urn:uuid:1>"));
    world.inbox(first);
    world.places[alice.0].bindings.clear();
    bind(&mut world, alice, second, &register, true, SEEN);
    let register = request(&mut world, second, &Method::Register);
    bind(&mut world, alice, second, &register, true, SEEN);
    let hop = binding(&mut world, alice).1;
    assert_eq!((hop.transport, hop.remote), (Transport::Udp, second), "the new flow is asked");
}
