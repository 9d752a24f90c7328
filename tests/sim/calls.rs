//! Whole calls between two agents, and between an agent and a scripted peer, without trouble on the way.

use sidetone::sip::agent::{EndedBy, Event};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Method, Status};
use sidetone::time::Duration;

use crate::peer::{ANSWER, OFFER, alice_and_bob, answer, call, config, ended, incoming, offer, request, ringing, to};
use crate::world::World;

#[test]
fn a_call_between_two_agents() {
    let mut world = World::new(1);
    let alice = world.agent("192.0.2.1:5060", config());
    let bob = world.agent("192.0.2.2:5060", config());
    let ours = world.with(alice, |agent, now| agent.invite(now, to("sip:bob@192.0.2.2")).unwrap());
    offer(&mut world, alice, ours, Some(OFFER));
    let theirs = incoming(&mut world, bob);
    world.with(bob, |agent, now| agent.ring(now, theirs, Status::RINGING, None).unwrap());
    let status = world.wait(alice, |event| match event {
        Event::Progress { status, .. } => Some(*status),
        _ => None,
    });
    assert_eq!(status, Status::RINGING);
    world.with(bob, |agent, now| agent.answer(now, theirs, ANSWER.into()).unwrap());
    let body = world.wait(alice, |event| match event {
        Event::Answered { session, body, wants_answer: false, .. } if *session == ours => Some(body.clone()),
        _ => None,
    });
    assert_eq!(body.as_deref(), Some(ANSWER.as_bytes()));
    world.wait(bob, |event| matches!(event, Event::Confirmed { answer: None, .. }).then_some(()));
    world.run(Duration::from_secs(60));
    let reason = Some("Q.850;cause=16;text=\"Normal; done\"");
    world.with(bob, |agent, now| agent.hangup(now, theirs, reason).unwrap());
    assert_eq!(ended(&mut world, bob), (EndedBy::Local, None, "hung up".into()));
    assert_eq!(ended(&mut world, alice), (EndedBy::Remote, None, "Normal; done".into()));
    let (a, b) = (world.address(alice), world.address(bob));
    assert_eq!((world.count(a, "INVITE"), world.count(a, "ACK"), world.count(b, "BYE")), (1, 1, 1));
    assert_eq!((world.count(b, "180 INVITE"), world.count(b, "200 INVITE"), world.count(a, "200 BYE")), (1, 1, 1));
    world.assert_forgotten();
}

#[test]
fn the_messages_of_a_basic_call() {
    let (mut world, alice, bob) = alice_and_bob();
    let (session, invite) = call(&mut world, alice, bob, Some(OFFER));
    let headers = &invite.headers;
    assert_eq!(invite.uri.to_string(), "sip:bob@192.0.2.2:5060");
    assert_eq!(headers.get(&Name::MaxForwards), Some("70"));
    assert_eq!(headers.get(&Name::UserAgent), Some("sidetone-test"));
    assert_eq!(headers.get(&Name::Contact), Some("<sip:anonymous@192.0.2.1:5060>"));
    assert_eq!(headers.all(&Name::Allow).collect::<Vec<_>>(), crate::peer::ALLOWED);
    assert!(headers.from().unwrap().tag().is_some() && headers.to().unwrap().tag().is_none());
    assert_eq!((invite.body.as_ref(), headers.content_type().as_deref()), (OFFER.as_bytes(), Some("application/sdp")));

    let mut accepted = answer(&invite, 200, "b1", bob, Some(ANSWER));
    accepted.headers.set(Name::Contact, "<sip:bob@192.0.2.2:5060;gr=1>");
    world.say(bob, world.address(alice), accepted.clone());
    let ack = request(&mut world, bob, &Method::Ack);
    assert_eq!(ack.uri.to_string(), "sip:bob@192.0.2.2:5060;gr=1");
    assert_eq!(ack.headers.to().unwrap().tag(), Some("b1"));
    assert_eq!(ack.headers.cseq().unwrap().number, headers.cseq().unwrap().number);
    let branch = |via: &sidetone::sip::message::Request| via.headers.top_via().unwrap().branch().unwrap().to_owned();
    assert_ne!(branch(&ack), branch(&invite));

    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    let bye = request(&mut world, bob, &Method::Bye);
    assert_eq!(bye.headers.cseq().unwrap().number, headers.cseq().unwrap().number + 1);
    assert_eq!((bye.headers.from(), bye.headers.call_id()), (headers.from(), headers.call_id()));
    assert_eq!(bye.headers.to(), accepted.headers.to());
    assert!(!world.places[alice.0].agent.is_settled(), "the BYE waits for its answer");
    world.say(bob, world.address(alice), bye.response(Status::OK));
    world.run(Duration::from_millis(100));
    assert!(world.places[alice.0].agent.is_settled());
    world.assert_forgotten();
}

#[test]
fn an_offerless_call_carries_the_answer_in_the_ack() {
    let (mut world, alice, bob) = alice_and_bob();
    let (session, invite) = call(&mut world, alice, bob, None);
    assert!(invite.body.is_empty());
    let agent = world.address(alice);
    world.say(bob, agent, answer(&invite, 200, "b1", bob, Some(OFFER)));
    let body = world.wait(alice, |event| match event {
        Event::Answered { body, wants_answer: true, .. } => Some(body.clone()),
        _ => None,
    });
    assert_eq!(body.as_deref(), Some(OFFER.as_bytes()));
    // Without the user's answer there is no ACK, however often the 2xx comes.
    world.say(bob, agent, answer(&invite, 200, "b1", bob, Some(OFFER)));
    world.run(Duration::from_secs(1));
    assert!(world.inbox(bob).is_empty());
    world.with(alice, |agent, now| agent.ack_answer(now, session, ANSWER.into()).unwrap());
    let ack = request(&mut world, bob, &Method::Ack);
    assert_eq!(ack.body.as_ref(), ANSWER.as_bytes());
    world.say(bob, agent, answer(&invite, 200, "b1", bob, Some(OFFER)));
    assert_eq!(request(&mut world, bob, &Method::Ack), ack, "a repeated 2xx gets the same ACK");
    assert!(world.with(alice, |agent, now| agent.ack_answer(now, session, ANSWER.into())).is_err());
}

#[test]
fn an_offerless_invite_gets_our_offer_and_the_ack_brings_the_answer() {
    let (mut world, alice, bob) = alice_and_bob();
    let (mut line, _, session) = ringing(&mut world, alice, bob, None);
    world.with(alice, |agent, now| agent.answer(now, session, OFFER.into()).unwrap());
    let accepted = crate::peer::response(&mut world, bob, 200);
    assert_eq!(accepted.body.as_ref(), OFFER.as_bytes());
    line.confirm(&accepted);
    let ack = line.again(Method::Ack, Some(ANSWER));
    world.say(bob, world.address(alice), ack);
    let body = world.wait(alice, |event| match event {
        Event::Confirmed { answer, .. } => Some(answer.clone()),
        _ => None,
    });
    assert_eq!(body.as_deref(), Some(ANSWER.as_bytes()));
}

#[test]
fn the_program_that_forgets_its_offer_or_answer_is_given_up() {
    let (mut world, alice, bob) = alice_and_bob();
    let session = world.with(alice, |agent, now| agent.invite(now, to(&format!("sip:bob@{bob}"))).unwrap());
    assert_eq!(ended(&mut world, alice).0, EndedBy::Timeout);
    assert!(world.with(alice, |agent, now| agent.offer(now, session, None)).is_err());
    assert!(world.trace.is_empty());

    let (_, invite) = call(&mut world, alice, bob, None);
    world.say(bob, world.address(alice), answer(&invite, 200, "b1", bob, Some(OFFER)));
    assert_eq!(ended(&mut world, alice).0, EndedBy::Timeout);
    request(&mut world, bob, &Method::Ack);
    let bye = request(&mut world, bob, &Method::Bye);
    world.say(bob, world.address(alice), bye.response(Status::OK));
    world.assert_forgotten();
}
