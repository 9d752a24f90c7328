//! UPDATE both ways, early and confirmed (RFC 3311), and who may offer when (RFC 6337 section 2).

use sidetone::sip::agent::{Event, Refused};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Method, Status};
use sidetone::time::Duration;

use crate::change::{called, reoffer};
use crate::peer::{ANSWER, Line, OFFER, alice_and_bob, answer, call, established_session, request, response, ringing};

const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE";

#[test]
fn an_update_with_an_offer_changes_the_session_and_one_without_refreshes_the_target() {
    let (mut world, alice, bob) = alice_and_bob();
    let moved = world.peer("192.0.2.22:5070");
    let agent = world.address(alice);
    let (mut line, session) = established_session(&mut world, alice, bob);
    world.say(bob, agent, line.next(Method::Update, Some(OFFER)));
    world.wait(alice, |event| matches!(event, Event::Reoffer { offer: Some(_), .. }).then_some(()));
    world.with(alice, |agent, now| agent.accept_reoffer(now, session, ANSWER.into()).unwrap());
    let accepted = response(&mut world, bob, 200);
    assert_eq!((accepted.body.as_ref(), accepted.headers.contacts().unwrap().len()), (ANSWER.as_bytes(), 1));
    world.run(Duration::from_secs(40));
    assert_eq!(world.count(agent, "200 UPDATE"), 1, "nobody acknowledges it");

    line.contact = "<sip:bob@192.0.2.22:5070>".into();
    world.say(bob, agent, line.next(Method::Update, None));
    response(&mut world, bob, 200);
    assert!(world.events(alice).is_empty(), "nothing for the user");
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    request(&mut world, moved, &Method::Bye);
}

#[test]
fn our_update_is_answered_refused_and_crossed() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (session, invite) = call(&mut world, alice, bob, Some(OFFER));
    let mut accepted = answer(&invite, 200, "b1", bob, Some(ANSWER));
    accepted.headers.push(Name::Allow, ALLOW);
    world.say(bob, agent, accepted.clone());
    request(&mut world, bob, &Method::Ack);
    let mut line = Line::called(&invite, &accepted, bob);
    let update = |agent: &mut sidetone::sip::agent::Agent, now| agent.update(now, session, Some(OFFER.into()));
    world.with(alice, update).unwrap();
    assert_eq!(world.with(alice, update), Err(Refused::Busy(session)));
    let sent = request(&mut world, bob, &Method::Update);
    assert_eq!((sent.body.as_ref(), sent.headers.contacts().unwrap().len()), (OFFER.as_bytes(), 1));
    // RFC 3311 section 5.2: an offer that crosses ours.
    world.say(bob, agent, line.next(Method::Update, Some(OFFER)));
    response(&mut world, bob, 491);
    let theirs = line.next(Method::Invite, Some(OFFER));
    world.say(bob, agent, theirs.clone());
    let refused = response(&mut world, bob, 491);
    world.say(bob, agent, crate::peer::companion(&theirs, Method::Ack, Some(&refused)));
    // One without is no offer: the target may be refreshed at any time.
    world.say(bob, agent, line.next(Method::Update, None));
    response(&mut world, bob, 200);
    world.say(bob, agent, sent.response(Status::OK).with_body("application/sdp", ANSWER));
    world.wait(alice, |event| matches!(event, Event::OfferAccepted { body: Some(_), .. }).then_some(()));
    assert_eq!(world.count(agent, "ACK"), 1);

    world.with(alice, update).unwrap();
    let sent = request(&mut world, bob, &Method::Update);
    world.say(bob, agent, sent.response(Status::REQUEST_PENDING));
    world.wait(alice, |event| matches!(event, Event::OfferClashed { .. }).then_some(()));
    world.wait(alice, |event| matches!(event, Event::OfferDue { .. }).then_some(()));
    world.with(alice, update).unwrap();
    let sent = request(&mut world, bob, &Method::Update);
    world.say(bob, agent, sent.response(Status::NOT_ACCEPTABLE_HERE));
    world.wait(alice, |event| matches!(event, Event::OfferRefused { .. }).then_some(()));
}

#[test]
fn an_update_goes_only_to_who_knows_it() {
    let (mut world, alice, bob) = alice_and_bob();
    let (_, session) = called(&mut world, alice, bob);
    let refused = world.with(alice, |agent, now| agent.update(now, session, Some(OFFER.into())));
    assert!(refused.unwrap_err().to_string().contains("does not know it"));
    reoffer(&mut world, alice, bob, session);
}

/// RFC 3311 section 5.2: an UPDATE with an offer while one of theirs, or of ours, has no answer.
#[test]
fn an_early_update_waits_for_the_first_exchange() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, _, session) = ringing(&mut world, alice, bob, Some(OFFER));
    world.with(alice, |agent, now| agent.ring(now, session, Status::RINGING, None).unwrap());
    line.confirm(&response(&mut world, bob, 180));
    world.say(bob, agent, line.next(Method::Update, Some(OFFER)));
    let busy = response(&mut world, bob, 500);
    assert!(busy.headers.retry_after().is_some_and(|wait| wait <= Duration::from_secs(10)));
    assert!(world.with(alice, |agent, now| agent.update(now, session, Some(OFFER.into()))).is_err());

    // As caller: our offer has no answer yet, a 183 that is not reliable is none.
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (session, invite) = call(&mut world, alice, bob, Some(OFFER));
    let mut early = answer(&invite, 183, "b1", bob, Some(ANSWER));
    early.headers.push(Name::Allow, ALLOW);
    world.say(bob, agent, early.clone());
    world.wait(alice, |event| matches!(event, Event::Progress { .. }).then_some(()));
    assert!(world.with(alice, |agent, now| agent.update(now, session, Some(OFFER.into()))).is_err());
    let mut line = Line::called(&invite, &early, bob);
    world.say(bob, agent, line.next(Method::Update, Some(OFFER)));
    response(&mut world, bob, 491);
}

/// RFC 3311 section 3 with RFC 3262: early media is changed by either side before the answer.
#[test]
fn early_sessions_are_changed_by_update() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (session, invite) = call(&mut world, alice, bob, Some(OFFER));
    let mut early = answer(&invite, 183, "b1", bob, Some(ANSWER));
    for (name, value) in [(Name::Allow, ALLOW), (Name::Require, "100rel"), (Name::RSeq, "7")] {
        early.headers.push(name, value);
    }
    world.say(bob, agent, early.clone());
    let prack = request(&mut world, bob, &Method::Prack);
    world.say(bob, agent, prack.response(Status::OK));
    world.with(alice, |agent, now| agent.update(now, session, Some(OFFER.into())).unwrap());
    let update = request(&mut world, bob, &Method::Update);
    assert_eq!(update.headers.to().unwrap().tag(), Some("b1"));
    world.say(bob, agent, update.response(Status::OK).with_body("application/sdp", ANSWER));
    world.wait(alice, |event| matches!(event, Event::OfferAccepted { .. }).then_some(()));
    let mut line = Line::called(&invite, &early, bob);
    world.say(bob, agent, line.next(Method::Update, Some(OFFER)));
    world.wait(alice, |event| matches!(event, Event::Reoffer { .. }).then_some(()));
    world.with(alice, |agent, now| agent.accept_reoffer(now, session, ANSWER.into()).unwrap());
    response(&mut world, bob, 200);
    world.say(bob, agent, answer(&invite, 200, "b1", bob, None));
    let ack = request(&mut world, bob, &Method::Ack);
    assert_eq!(ack.headers.cseq().unwrap().number, invite.headers.cseq().unwrap().number);
    world.wait(alice, |event| matches!(event, Event::Answered { body: None, wants_answer: false, .. }).then_some(()));
}
