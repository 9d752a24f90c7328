//! How sessions end: BYE that crosses, comes late or early, and silence (RFC 3261 section 15, RFC 5407 section 3.2).

use sidetone::sip::agent::{EndedBy, Event, Refused};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Method, Status};
use sidetone::time::Duration;

use crate::peer::{
    ANSWER, Line, OFFER, alice_and_bob, answer, call, companion, ended, established, established_session, incoming,
    request, response, ringing,
};
use crate::world::{Fate, is_request};

/// RFC 5407 section 3.2.3: our BYE and the peer's re-INVITE cross.
#[test]
fn bye_crossing_reinvite() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, session) = established_session(&mut world, alice, bob);
    let reinvite = line.next(Method::Invite, Some(OFFER));
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    world.say(bob, agent, reinvite.clone());
    let bye = request(&mut world, bob, &Method::Bye);
    let refused = response(&mut world, bob, 481);
    world.say(bob, agent, companion(&reinvite, Method::Ack, Some(&refused)));
    world.say(bob, agent, bye.response(Status::OK));
    assert_eq!(ended(&mut world, alice).0, EndedBy::Local);
    world.assert_forgotten();
}

/// The same with the BYE of the peer, which overtakes its own re-INVITE.
#[test]
fn the_peers_bye_ends_its_pending_reinvite_with_487() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let mut line = established(&mut world, alice, bob);
    world.say(bob, agent, line.next(Method::Invite, Some(OFFER)));
    world.wait(alice, |event| matches!(event, Event::Reoffer { .. }).then_some(()));
    world.say(bob, agent, line.next(Method::Bye, None));
    world.run(Duration::from_millis(50));
    assert_eq!((world.count(agent, "200 BYE"), world.count(agent, "487 INVITE")), (1, 1));
    assert_eq!(ended(&mut world, alice).0, EndedBy::Remote);
}

/// RFC 5407 section 3.2.2.
#[test]
fn bye_crossing_bye() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, session) = established_session(&mut world, alice, bob);
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    world.say(bob, agent, line.next(Method::Bye, None));
    let bye = request(&mut world, bob, &Method::Bye);
    response(&mut world, bob, 200);
    world.say(bob, agent, bye.response(Status::CALL_DOES_NOT_EXIST));
    assert_eq!(ended(&mut world, alice).0, EndedBy::Local);
    world.assert_forgotten();
    assert!(world.events(alice).is_empty());
}

#[test]
fn late_bye_481() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, session) = established_session(&mut world, alice, bob);
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    let bye = request(&mut world, bob, &Method::Bye);
    world.say(bob, agent, bye.response(Status::OK));
    world.run(Duration::from_secs(1));
    world.say(bob, agent, line.next(Method::Bye, None));
    response(&mut world, bob, 481);
    world.run(Duration::from_secs(120));
    world.say(bob, agent, line.next(Method::Bye, None));
    response(&mut world, bob, 481);
}

/// The callee must not hang up before the ACK (RFC 3261 section 15): the BYE waits for it.
#[test]
fn our_bye_waits_for_the_ack() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, _, session) = ringing(&mut world, alice, bob, Some(OFFER));
    world.with(alice, |agent, now| agent.answer(now, session, ANSWER.into()).unwrap());
    let accepted = response(&mut world, bob, 200);
    world.with(alice, |agent, now| agent.hangup(now, session, Some("SIP;cause=200")).unwrap());
    assert_eq!(ended(&mut world, alice).0, EndedBy::Local);
    world.run(Duration::from_secs(2));
    assert_eq!(world.count(agent, "BYE"), 0);
    assert_eq!(world.count(agent, "200 INVITE"), 3, "the 2xx goes on until the ACK");
    world.inbox(bob);
    line.confirm(&accepted);
    world.say(bob, agent, line.again(Method::Ack, None));
    let bye = request(&mut world, bob, &Method::Bye);
    assert_eq!(bye.headers.get(&Name::Reason), Some("SIP;cause=200"));
    world.say(bob, agent, bye.response(Status::OK));
    world.assert_forgotten();
}

/// A BYE in the early dialog from the caller ends the INVITE too (RFC 3261 section 15.1.2).
#[test]
fn the_callers_bye_in_the_early_dialog() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, _, session) = ringing(&mut world, alice, bob, Some(OFFER));
    world.with(alice, |agent, now| agent.ring(now, session, Status::RINGING, None).unwrap());
    line.confirm(&response(&mut world, bob, 180));
    world.say(bob, agent, line.next(Method::Bye, None));
    world.run(Duration::from_millis(30));
    assert_eq!((world.count(agent, "200 BYE"), world.count(agent, "487 INVITE")), (1, 1));
    assert_eq!(ended(&mut world, alice), (EndedBy::Remote, Some(487), "Request Terminated".into()));
}

/// A callee hangs up at once, and its BYE overtakes its 200 (RFC 5407 section 3.1.3 looks the same to us).
#[test]
fn the_callees_bye_overtakes_its_200() {
    for early in [true, false] {
        let (mut world, alice, bob) = alice_and_bob();
        let agent = world.address(alice);
        let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
        let first = if early { 180 } else { 100 };
        world.say(bob, agent, answer(&invite, first, "b1", bob, None));
        world.run(Duration::from_millis(50));
        let accepted = answer(&invite, 200, "b1", bob, Some(ANSWER));
        world.say(bob, agent, Line::called(&invite, &accepted, bob).next(Method::Bye, None));
        world.run(Duration::from_millis(50));
        assert_eq!((world.count(agent, "200 BYE"), world.count(agent, "CANCEL")), (1, 1));
        assert_eq!(ended(&mut world, alice).0, EndedBy::Remote);
        world.say(bob, agent, accepted.clone());
        world.run(Duration::from_secs(1));
        assert_eq!((world.count(agent, "ACK"), world.count(agent, "BYE")), (1, 0), "{}", world.story());
        world.say(bob, agent, accepted);
        world.run(Duration::from_secs(1));
        assert_eq!(world.count(agent, "ACK"), 2);
        world.assert_forgotten();
    }
}

/// 180 and then nothing: the INVITE is cancelled after the time that proxies wait as well (timer C).
#[test]
fn ringing_and_then_nothing() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
    world.say(bob, agent, answer(&invite, 180, "b1", bob, None));
    world.wait(alice, |event| matches!(event, Event::Progress { .. }).then_some(()));
    let start = world.now;
    assert_eq!(ended(&mut world, alice), (EndedBy::Timeout, Some(487), "nobody answered".into()));
    assert_eq!(world.now.since(start), Duration::from_secs(180 + 32));
    assert_eq!(world.times(agent, "CANCEL", start)[0], 180_000);
    world.assert_forgotten();
}

#[test]
fn silence_ends_after_timer_b() {
    let (mut world, alice, bob) = alice_and_bob();
    let start = world.now;
    call(&mut world, alice, bob, Some(OFFER));
    assert_eq!(ended(&mut world, alice), (EndedBy::Timeout, Some(408), "the far end did not answer".into()));
    assert_eq!(world.now.since(start), Duration::from_secs(32));
    world.assert_forgotten();
}

/// An INVITE that came again makes one session, and its copies get the last response.
#[test]
fn retransmitted_invite() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, invite, session) = ringing(&mut world, alice, bob, Some(OFFER));
    world.with(alice, |agent, now| agent.ring(now, session, Status::RINGING, None).unwrap());
    response(&mut world, bob, 180);
    for _ in 0..3 {
        world.say(bob, agent, invite.clone());
        response(&mut world, bob, 180);
    }
    world.with(alice, |agent, now| agent.answer(now, session, ANSWER.into()).unwrap());
    let accepted = response(&mut world, bob, 200);
    world.say(bob, agent, invite);
    world.run(Duration::from_millis(480));
    assert_eq!(world.count(agent, "200 INVITE"), 1, "the 2xx is repeated by its own timer");
    assert!(world.events(alice).is_empty());
    assert_eq!(world.places[alice.0].agent.sizes().sessions, 1);
    assert_eq!(accepted.headers.contacts().unwrap()[0].uri.to_string(), "sip:alice@192.0.2.1:5060");
}

/// A ringing call is kept alive every minute, and given up after the limit.
#[test]
fn ringing_is_repeated_each_minute_and_bounded() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, invite, session) = ringing(&mut world, alice, bob, Some(OFFER));
    let start = world.now;
    world.with(alice, |agent, now| agent.ring(now, session, Status::RINGING, None).unwrap());
    assert_eq!(ended(&mut world, alice).0, EndedBy::Timeout);
    assert_eq!(world.times(agent, "180 INVITE", start), [0, 60_000, 120_000]);
    assert_eq!(world.times(agent, "480 INVITE", start)[0], 180_000);
    let refused = answer(&invite, 480, "x", bob, None);
    world.say(bob, agent, companion(&invite, Method::Ack, Some(&refused)));
    world.assert_forgotten();
}

#[test]
fn an_invite_that_expires_ends_with_487() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let mut invite = Line::calling(agent, bob).again(Method::Invite, Some(OFFER));
    invite.headers.push(Name::Expires, "20");
    world.say(bob, agent, invite);
    incoming(&mut world, alice);
    let start = world.now;
    assert_eq!(ended(&mut world, alice), (EndedBy::Timeout, Some(487), "Request Terminated".into()));
    assert_eq!(world.now.since(start), Duration::from_secs(20));
}

/// The BYE is lost for good: the session is over for the user at once, and forgotten after 64*T1.
#[test]
fn a_bye_into_silence() {
    let (mut world, alice, bob) = alice_and_bob();
    let (_, session) = established_session(&mut world, alice, bob);
    world.filter = Box::new(|wire| if is_request(wire, &Method::Bye) { Fate::Lose } else { Fate::Pass });
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    assert_eq!(world.with(alice, |agent, now| agent.hangup(now, session, None)), Err(Refused::NoSession(session)));
    assert_eq!(ended(&mut world, alice).0, EndedBy::Local);
    assert!(!world.places[alice.0].agent.is_settled());
    world.run(Duration::from_secs(33));
    assert!(world.places[alice.0].agent.is_settled());
    world.assert_forgotten();
}

/// We hung up and wait for the ACK with our BYE; the peer's BYE comes instead.
#[test]
fn the_peers_bye_instead_of_its_ack() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, _, session) = ringing(&mut world, alice, bob, Some(OFFER));
    world.with(alice, |agent, now| agent.answer(now, session, ANSWER.into()).unwrap());
    line.confirm(&response(&mut world, bob, 200));
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    world.say(bob, agent, line.next(Method::Bye, None));
    let taken = response(&mut world, bob, 200);
    assert_eq!(taken.headers.cseq().unwrap().method, Method::Bye);
    world.assert_forgotten();
    assert_eq!((world.count(agent, "BYE"), world.count(agent, "200 INVITE")), (0, 1));
}
