//! 3xx followed within limits (RFC 3261 section 8.1.3.4).

use sidetone::sip::agent::{Account, AccountId, EndedBy, Event, InviteRequest, SessionId};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Method, Request, Response};
use std::net::SocketAddr;

use crate::peer::{ANSWER, OFFER, answer, config, ended, offer, request, to, uri};
use crate::world::{Node, World};

fn world(redirects: u8) -> (World, Node, SocketAddr) {
    let mut world = World::new(8);
    let alice = world.agent("192.0.2.1:5060", config());
    let account = Account { redirects, ..Account::new(uri("sip:alice@192.0.2.1")) };
    world.with(alice, |agent, _| agent.add_account(account));
    let bob = world.peer("192.0.2.2:5060");
    (world, alice, bob)
}

/// The account of the agent calls Bob.
fn invite(target: &str) -> InviteRequest {
    InviteRequest { account: Some(AccountId(0)), ..to(target) }
}

#[track_caller]
fn call(world: &mut World, alice: Node, bob: SocketAddr, sdp: Option<&'static str>) -> (SessionId, Request) {
    let wanted = invite(&format!("sip:bob@{bob}"));
    let session = world.with(alice, |agent, now| agent.invite(now, wanted).unwrap());
    offer(world, alice, session, sdp);
    (session, request(world, bob, &Method::Invite))
}

fn moved(invite: &Request, status: u16, bob: SocketAddr, contacts: &[&str]) -> Response {
    let mut moved = answer(invite, status, "b0", bob, None);
    moved.headers.remove(&Name::Contact);
    for contact in contacts {
        moved.headers.push(Name::Contact, *contact);
    }
    moved
}

fn redirected(world: &mut World, alice: Node) -> String {
    world.wait(alice, |event| match event {
        Event::Redirected { target, .. } => Some(target.to_string()),
        _ => None,
    })
}

#[test]
fn the_best_place_first_then_the_others() {
    let (mut world, alice, bob) = world(3);
    let (second, third) = (world.peer("192.0.2.3:5060"), world.peer("192.0.2.4:5060"));
    let agent = world.address(alice);
    let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
    let places = ["<sip:low@192.0.2.4>;q=0.1", "<sip:high@192.0.2.3>;q=0.9", "<mailto:bob@example.com>;q=1"];
    world.say(bob, agent, moved(&invite, 302, bob, &places));
    request(&mut world, bob, &Method::Ack);
    assert_eq!(redirected(&mut world, alice), "sip:high@192.0.2.3");
    let again = request(&mut world, second, &Method::Invite);
    assert_eq!(again.uri.to_string(), "sip:high@192.0.2.3");
    for name in [Name::To, Name::From, Name::CallId] {
        assert_eq!(again.headers.get(&name), invite.headers.get(&name), "{name}");
    }
    assert_eq!(again.headers.cseq().unwrap().number, invite.headers.cseq().unwrap().number + 1);
    assert_ne!(again.headers.top_via().unwrap().branch(), invite.headers.top_via().unwrap().branch());
    assert_eq!(again.body, invite.body);
    world.say(second, agent, answer(&again, 480, "s", second, None));
    request(&mut world, second, &Method::Ack);
    let last = request(&mut world, third, &Method::Invite);
    world.say(third, agent, answer(&last, 200, "t", third, Some(ANSWER)));
    request(&mut world, third, &Method::Ack);
    world.wait(alice, |event| matches!(event, Event::Answered { .. }).then_some(()));
}

#[test]
fn loops_and_long_ways_end() {
    let (mut world, alice, bob) = world(2);
    let agent = world.address(alice);
    let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
    // To where we were already.
    world.say(bob, agent, moved(&invite, 301, bob, &["<sip:bob@192.0.2.2:5060>"]));
    assert_eq!(ended(&mut world, alice).1, Some(301));

    let (mut world, alice, bob) = self::world(2);
    let agent = world.address(alice);
    let (_, mut invite) = call(&mut world, alice, bob, Some(OFFER));
    for user in ["one", "two", "three"] {
        world.say(bob, agent, moved(&invite, 302, bob, &[&format!("<sip:{user}@192.0.2.2>")]));
        request(&mut world, bob, &Method::Ack);
        if user != "three" {
            invite = request(&mut world, bob, &Method::Invite);
        }
    }
    assert_eq!((ended(&mut world, alice).1, world.count(agent, "INVITE")), (Some(302), 3));
    world.assert_forgotten();
}

#[test]
fn six_hundreds_end_the_search() {
    let (mut world, alice, bob) = world(2);
    let agent = world.address(alice);
    let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
    world.say(bob, agent, moved(&invite, 300, bob, &["<sip:a@192.0.2.2>", "<sip:b@192.0.2.2>"]));
    request(&mut world, bob, &Method::Ack);
    let again = request(&mut world, bob, &Method::Invite);
    world.say(bob, agent, answer(&again, 603, "b2", bob, None));
    assert_eq!(ended(&mut world, alice).1, Some(603));
}

#[test]
fn without_the_policy_a_3xx_is_final() {
    let (mut world, alice, bob) = world(0);
    let agent = world.address(alice);
    let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
    world.say(bob, agent, moved(&invite, 302, bob, &["<sip:a@192.0.2.2>"]));
    assert_eq!(ended(&mut world, alice), (EndedBy::Remote, Some(302), "Moved Temporarily".into()));
}

#[test]
fn never_from_tls_to_cleartext() {
    let (mut world, alice, bob) = world(3);
    let agent = world.address(alice);
    let target = invite("sips:bob@192.0.2.2");
    let session = world.with(alice, |agent, now| agent.invite(now, target).unwrap());
    offer(&mut world, alice, session, Some(OFFER));
    let invite = request(&mut world, bob, &Method::Invite);
    world.say(bob, agent, moved(&invite, 302, bob, &["<sip:bob@192.0.2.3>", "<sip:bob@192.0.2.4;transport=tcp>"]));
    assert_eq!(ended(&mut world, alice).1, Some(302));
}

#[test]
fn hanging_up_on_the_way() {
    let (mut world, alice, bob) = world(3);
    let agent = world.address(alice);
    world.unanswered.push("elsewhere.example".into());
    let (session, invite) = call(&mut world, alice, bob, Some(OFFER));
    world.say(bob, agent, moved(&invite, 302, bob, &["<sip:bob@elsewhere.example>"]));
    redirected(&mut world, alice);
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    assert_eq!(ended(&mut world, alice).0, EndedBy::Local);
    world.assert_forgotten();

    // A place that does not exist: the next one, here none.
    let (mut world, alice, bob) = self::world(3);
    let agent = world.address(alice);
    let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
    world.say(bob, agent, moved(&invite, 302, bob, &["<sip:bob@nowhere.invalid>"]));
    assert_eq!(ended(&mut world, alice).0, EndedBy::Transport);
    world.assert_forgotten();
}
