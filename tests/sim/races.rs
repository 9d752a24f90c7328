//! Messages that cross, come late, come twice or never (RFC 5407, RFC 3261 sections 9, 13, 15).

use sidetone::sip::agent::{EndedBy, Event};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Method, Status};
use sidetone::time::Duration;

use crate::peer::{
    ANSWER, Line, OFFER, alice_and_bob, answer, call, companion, ended, established, incoming, request, response,
    ringing, to,
};
use crate::world::{Fate, is_response, summary};

/// RFC 5407 section 3.1.2: the CANCEL is on its way when Bob answers.
#[test]
fn cancel_crossing_200() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (session, invite) = call(&mut world, alice, bob, Some(OFFER));
    world.say(bob, agent, answer(&invite, 180, "b1", bob, None));
    world.wait(alice, |event| matches!(event, Event::Progress { .. }).then_some(()));
    world.with(alice, |agent, now| agent.hangup(now, session, Some("SIP;cause=487;text=\"changed my mind\"")).unwrap());
    assert!(world.events(alice).is_empty(), "the INVITE has to end first");
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    let cancel = request(&mut world, bob, &Method::Cancel);
    assert_eq!(cancel.headers.get(&Name::Reason), Some("SIP;cause=487;text=\"changed my mind\""));
    assert_eq!(cancel.headers.cseq().unwrap().number, invite.headers.cseq().unwrap().number);
    assert_eq!(cancel.headers.top_via(), invite.headers.top_via());
    assert_eq!(cancel.headers.to().unwrap().tag(), None);
    world.say(bob, agent, cancel.response(Status::OK));
    world.say(bob, agent, answer(&invite, 200, "b1", bob, Some(ANSWER)));
    request(&mut world, bob, &Method::Ack);
    let bye = request(&mut world, bob, &Method::Bye);
    assert_eq!(ended(&mut world, alice), (EndedBy::Local, Some(200), "cancelled".into()));
    world.say(bob, agent, bye.response(Status::OK));
    world.assert_forgotten();
    assert_eq!(world.count(agent, "CANCEL"), 1);
}

#[test]
fn cancel_before_any_response_waits_and_then_ends_with_487() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (session, invite) = call(&mut world, alice, bob, Some(OFFER));
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    world.run(Duration::from_millis(300));
    assert_eq!(world.count(agent, "CANCEL"), 0, "no CANCEL before a provisional response");
    world.say(bob, agent, invite.response(Status::TRYING));
    let cancel = request(&mut world, bob, &Method::Cancel);
    world.say(bob, agent, cancel.response(Status::OK));
    let terminated = answer(&invite, 487, "b1", bob, None);
    world.say(bob, agent, terminated);
    let ack = request(&mut world, bob, &Method::Ack);
    assert_eq!(ack.headers.top_via(), invite.headers.top_via());
    assert_eq!(ack.headers.to().unwrap().tag(), Some("b1"));
    assert_eq!(ended(&mut world, alice), (EndedBy::Local, Some(487), "cancelled".into()));
    world.assert_forgotten();
}

/// RFC 3261 section 9.1: without a final response the INVITE counts as cancelled after 64*T1.
#[test]
fn a_cancel_that_nobody_honours_ends_after_64_t1() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (session, invite) = call(&mut world, alice, bob, Some(OFFER));
    world.say(bob, agent, answer(&invite, 180, "b1", bob, None));
    world.wait(alice, |event| matches!(event, Event::Progress { .. }).then_some(()));
    let start = world.now;
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    assert_eq!(ended(&mut world, alice), (EndedBy::Local, Some(487), "cancelled".into()));
    assert_eq!(world.now.since(start), Duration::from_secs(32));
    world.assert_forgotten();
}

#[test]
fn the_callers_cancel_ends_the_ringing_and_keeps_its_reason() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, invite, session) = ringing(&mut world, alice, bob, Some(OFFER));
    world.with(alice, |agent, now| agent.ring(now, session, Status::RINGING, None).unwrap());
    let ring = response(&mut world, bob, 180);
    let mut cancel = companion(&invite, Method::Cancel, None);
    cancel.headers.push(Name::Reason, "SIP;cause=200;text=\"Call completed elsewhere\"");
    world.say(bob, agent, cancel);
    let both = [world.receive(bob), world.receive(bob)];
    let statuses: Vec<_> = both
        .iter()
        .map(|message| match message {
            Message::Response(response) => {
                assert_eq!(response.headers.to().unwrap().tag(), ring.headers.to().unwrap().tag());
                (response.status.code(), response.headers.cseq().unwrap().method)
            }
            Message::Request(request) => panic!("{request:?}"),
        })
        .collect();
    assert_eq!(statuses, [(200, Method::Cancel), (487, Method::Invite)]);
    assert_eq!(ended(&mut world, alice), (EndedBy::Remote, Some(487), "Call completed elsewhere".into()));
    assert!(world.with(alice, |agent, now| agent.answer(now, session, ANSWER.into())).is_err());
    world.say(bob, agent, companion(&invite, Method::Ack, Some(&answer(&invite, 487, "x", bob, None))));
    world.assert_forgotten();
}

/// RFC 5407 section 3.1.2 from the other side: our 200 and the CANCEL cross; the caller acknowledges and hangs up.
#[test]
fn our_200_crossing_cancel() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, invite, session) = ringing(&mut world, alice, bob, Some(OFFER));
    world.say(bob, agent, companion(&invite, Method::Cancel, None));
    world.with(alice, |agent, now| agent.answer(now, session, ANSWER.into()).unwrap());
    let accepted = response(&mut world, bob, 200);
    response(&mut world, bob, 200);
    line.confirm(&accepted);
    world.say(bob, agent, line.again(Method::Ack, None));
    world.wait(alice, |event| matches!(event, Event::Confirmed { .. }).then_some(()));
    world.say(bob, agent, line.next(Method::Bye, None));
    response(&mut world, bob, 200);
    assert_eq!(ended(&mut world, alice).0, EndedBy::Remote);
    assert_eq!(world.count(agent, "487 INVITE"), 0);
    world.assert_forgotten();
}

/// RFC 3261 section 13.3.1.4: the 2xx is repeated after T1, doubling up to T2, and after 64*T1 comes BYE.
#[test]
fn lost_ack_to_our_200() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, _, session) = ringing(&mut world, alice, bob, Some(OFFER));
    let start = world.now;
    world.with(alice, |agent, now| agent.answer(now, session, ANSWER.into()).unwrap());
    assert_eq!(ended(&mut world, alice).0, EndedBy::Timeout);
    assert_eq!(world.now.since(start), Duration::from_secs(32));
    assert_eq!(
        world.times(agent, "200 INVITE", start),
        [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]
    );
    world.run(Duration::from_millis(50));
    let bye = world.inbox(bob).pop();
    assert!(matches!(&bye, Some(Message::Request(bye)) if bye.method == Method::Bye), "{bye:?}");
    world.assert_forgotten();
}

#[test]
fn lost_ack_of_ours_is_sent_again_for_each_200() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (session, invite) = call(&mut world, alice, bob, Some(OFFER));
    let accepted = answer(&invite, 200, "b1", bob, Some(ANSWER));
    world.say(bob, agent, accepted.clone());
    let ack = request(&mut world, bob, &Method::Ack);
    for _ in 0..3 {
        world.run(Duration::from_secs(4));
        world.say(bob, agent, accepted.clone());
        assert_eq!(request(&mut world, bob, &Method::Ack), ack);
    }
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    let bye = request(&mut world, bob, &Method::Bye);
    world.say(bob, agent, bye.response(Status::OK));
    // The ACK is asked for even after the session is over.
    world.say(bob, agent, accepted);
    assert_eq!(request(&mut world, bob, &Method::Ack), ack);
    let answered = world.events(alice).iter().filter(|event| matches!(event, Event::Answered { .. })).count();
    assert_eq!(answered, 1);
    world.assert_forgotten();
}

/// RFC 3261 section 14.2: while our INVITE is under way the peer's is refused with 491.
#[test]
fn reinvite_glare_491() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
    let early = answer(&invite, 183, "b1", bob, Some(ANSWER));
    world.say(bob, agent, early.clone());
    let mut line = Line::called(&invite, &early, bob);
    world.say(bob, agent, line.next(Method::Invite, Some(OFFER)));
    response(&mut world, bob, 491);
    // After the answer it is welcome.
    world.say(bob, agent, answer(&invite, 200, "b1", bob, Some(ANSWER)));
    request(&mut world, bob, &Method::Ack);
    world.say(bob, agent, line.next(Method::Invite, Some(OFFER)));
    world.wait(alice, |event| matches!(event, Event::Reoffer { .. }).then_some(()));
}

/// RFC 5407 section 3.1.5: our offer went out in the 2xx, and its answer has not come when the peer offers.
#[test]
fn reinvite_before_the_ack_that_carries_the_answer_491() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, _, session) = ringing(&mut world, alice, bob, None);
    world.with(alice, |agent, now| agent.answer(now, session, OFFER.into()).unwrap());
    let accepted = response(&mut world, bob, 200);
    line.confirm(&accepted);
    world.say(bob, agent, line.next(Method::Invite, Some(OFFER)));
    response(&mut world, bob, 491);
}

/// RFC 5407 section 3.1.4: the ACK was lost, but offer and answer are complete.
#[test]
fn reinvite_before_a_lost_ack_is_taken() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, _, session) = ringing(&mut world, alice, bob, Some(OFFER));
    world.with(alice, |agent, now| agent.answer(now, session, ANSWER.into()).unwrap());
    let accepted = response(&mut world, bob, 200);
    line.confirm(&accepted);
    let first = line.again(Method::Ack, None);
    world.say(bob, agent, line.next(Method::Invite, Some(OFFER)));
    world.wait(alice, |event| matches!(event, Event::Reoffer { .. }).then_some(()));
    world.with(alice, |agent, now| agent.accept_reoffer(now, session, ANSWER.into()).unwrap());
    response(&mut world, bob, 200);
    world.say(bob, agent, line.again(Method::Ack, None));
    world.say(bob, agent, first);
    world.run(Duration::from_secs(40));
    assert!(world.events(alice).iter().all(|event| !matches!(event, Event::Ended { .. })));
}

#[test]
fn a_second_reinvite_while_the_first_waits_500_with_retry_after() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let mut line = established(&mut world, alice, bob);
    let first = line.next(Method::Invite, Some(OFFER));
    world.say(bob, agent, first.clone());
    world.wait(alice, |event| matches!(event, Event::Reoffer { .. }).then_some(()));
    world.say(bob, agent, line.next(Method::Invite, Some(OFFER)));
    let refused = response(&mut world, bob, 500);
    assert!(refused.headers.retry_after().unwrap() <= Duration::from_secs(10));
    // The program never answers: the change is withdrawn, the session goes on.
    world.wait(alice, |event| matches!(event, Event::ReofferWithdrawn { .. }).then_some(()));
    let refused = loop {
        if let Message::Response(response) = world.receive(bob)
            && response.headers.cseq() == first.headers.cseq()
            && response.status.is_final()
        {
            break response;
        }
    };
    assert_eq!(refused.status, Status::SERVER_INTERNAL_ERROR);
    world.say(bob, agent, line.next(Method::Bye, None));
    assert_eq!(ended(&mut world, alice).0, EndedBy::Remote);
}

/// Messages come twice and out of order: one session, one of each event.
#[test]
fn everything_twice() {
    let mut world = crate::world::World::new(3);
    let alice = world.agent("192.0.2.1:5060", crate::peer::config());
    let bob = world.agent("192.0.2.2:5060", crate::peer::config());
    world.filter = Box::new(|_| Fate::Twice);
    let ours = world.with(alice, |agent, now| agent.invite(now, to("sip:bob@192.0.2.2")).unwrap());
    crate::peer::offer(&mut world, alice, ours, Some(OFFER));
    let theirs = incoming(&mut world, bob);
    // Its 200 overtakes its 180.
    world.filter = Box::new(|wire| match is_response(wire, Status::RINGING, &Method::Invite) {
        true => Fate::Delay(Duration::from_millis(100)),
        false => Fate::Twice,
    });
    world.with(bob, |agent, now| agent.ring(now, theirs, Status::RINGING, None).unwrap());
    world.with(bob, |agent, now| agent.answer(now, theirs, ANSWER.into()).unwrap());
    world.run(Duration::from_secs(1));
    world.with(alice, |agent, now| agent.hangup(now, ours, None).unwrap());
    world.assert_forgotten();
    let kinds = |events: Vec<Event>| {
        events.iter().map(|e| format!("{e:?}").split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(world.events(alice)), ["Answered", "Ended"]);
    assert_eq!(kinds(world.events(bob)), ["Confirmed", "Ended"]);
    let agent = world.address(alice);
    assert!(world.trace.iter().filter(|wire| wire.from == agent && summary(wire) == "ACK").count() >= 2);
}
