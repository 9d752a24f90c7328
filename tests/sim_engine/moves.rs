//! Calls whose address changes: where the far end is told to send from then on.

use crate::world::{ANN, BOB, World};
use sidetone::call::Moment;
use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Method, Request, Status};
use sidetone::sip::public::PublicAddress;
use sidetone::sip::wire::parse_datagram;
use sidetone::time::Duration;
use std::net::SocketAddr;

/// The last request of `method` that left from the address of `who`.
#[track_caller]
fn last(world: &World, who: usize, method: &Method) -> Request {
    let from = world.places[who].address;
    let sent = world.trace.iter().rev().filter(|wire| wire.from == from);
    let mut requests = sent.filter_map(|wire| match parse_datagram(&wire.bytes) {
        Ok(Message::Request(request)) if request.method == *method => Some(request),
        _ => None,
    });
    requests.next().unwrap_or_else(|| panic!("no {method} from {from}:\n{}", world.story()))
}

fn contact(request: &Request) -> String {
    request.headers.get(&Name::Contact).unwrap_or_default().to_owned()
}

fn connection(request: &Request) -> String {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    body.lines().find(|line| line.starts_with("c=")).unwrap_or_default().to_owned()
}

fn moved_to() -> SocketAddr {
    "192.0.2.77:5060".parse().unwrap()
}

#[test]
fn a_call_that_moves_shows_the_public_address_and_not_its_own() {
    let mut world = World::new(71);
    let public = PublicAddress::fixed("203.0.113.7".parse().unwrap(), None);
    world.places[ANN].engine.set_public(public);
    let (ann, bob) = world.talk();
    world.rehouse(ANN, moved_to());
    world.run(Duration::from_secs(2));
    let told = last(&world, ANN, &Method::Invite);
    assert_eq!(connection(&told), "c=IN IP4 203.0.113.7");
    assert!(contact(&told).contains("@203.0.113.7:5060"), "{}", contact(&told));
    let plan = world.places[BOB].plans[&bob].last().unwrap().clone();
    assert_eq!(plan.remote_rtp.ip().to_string(), "203.0.113.7");
    assert_eq!(world.moments(ANN, ann).iter().filter(|moment| matches!(moment, Moment::Ended)).count(), 0);
}

/// What a STUN server, or the STUN of a kept flow, sees later than the call has begun.
#[test]
fn a_new_public_address_is_told_in_the_calls_that_show_the_old_one() {
    let mut world = World::new(72);
    let seen = |world: &mut World, address: &str| {
        let address = address.parse().unwrap();
        world.with(ANN, |engine, now| engine.handle_mapped(now, address));
        world.run(Duration::from_secs(2));
    };
    seen(&mut world, "203.0.113.7:40000");
    let (_, bob) = world.talk();
    assert_eq!(connection(&last(&world, ANN, &Method::Invite)), "c=IN IP4 203.0.113.7");
    seen(&mut world, "203.0.113.9:40000");
    let told = last(&world, ANN, &Method::Invite);
    assert_eq!(connection(&told), "c=IN IP4 203.0.113.9");
    assert!(contact(&told).contains("@203.0.113.9:40000"), "{}", contact(&told));
    assert_eq!(world.places[BOB].plans[&bob].last().unwrap().remote_rtp.ip().to_string(), "203.0.113.9");
    // The same host by another port: media stay, only the Contact is told anew.
    let plans = world.places[BOB].plans[&bob].len();
    seen(&mut world, "203.0.113.9:40001");
    let told = last(&world, ANN, &Method::Update);
    assert!(contact(&told).contains("@203.0.113.9:40001"), "{}", contact(&told));
    assert_eq!(world.places[BOB].plans[&bob].len(), plans);
    // Nothing new, nothing said.
    let sent = world.trace.len();
    seen(&mut world, "203.0.113.9:40001");
    assert_eq!(world.trace.len(), sent);
}

/// The caller learns the new address by our answer, and where to send sound by the change right after it.
#[test]
fn a_call_that_rings_here_survives_a_change_of_our_address() {
    let mut world = World::new(73);
    let ann = world.ann_calls();
    let event = world.wait(BOB, |moment| matches!(moment, Moment::Ringing { .. }));
    world.rehouse(BOB, moved_to());
    world.run(Duration::from_secs(1));
    world.answer(BOB, event.call).unwrap();
    world.wait(ANN, |moment| *moment == Moment::Answered);
    world.run(Duration::from_secs(3));
    let answered = world.trace.iter().find_map(|wire| match parse_datagram(&wire.bytes) {
        Ok(Message::Response(response)) if response.status == Status::OK && wire.from == moved_to() => Some(response),
        _ => None,
    });
    let contact = answered.expect("a 200 from the new address").headers.get(&Name::Contact).unwrap().to_owned();
    assert!(contact.contains("@192.0.2.77:5060"), "{contact}");
    assert_eq!(connection(&last(&world, BOB, &Method::Invite)), "c=IN IP4 192.0.2.77");
    assert_eq!(world.places[ANN].plans[&ann].last().unwrap().remote_rtp.ip(), moved_to().ip());
    world.hangup(ANN, ann).unwrap();
    world.run(Duration::from_secs(2));
    assert_eq!(world.ended(BOB).len(), 1, "its BYE finds us:\n{}", world.story());
}
