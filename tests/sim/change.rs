//! Our re-INVITE and the requests within a session: accepted, refused, crossed, challenged, lost (RFC 3261 sections 12.2,
//! 14.1).

use sidetone::sip::agent::{Account, EndedBy, Event, InsideRequest, InviteRequest, Refused, SessionId};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Method, Request, Status};
use sidetone::time::Duration;
use std::net::SocketAddr;

use crate::peer::{ANSWER, Line, OFFER, account, alice_and_bob, answer, call, ended, established_session, to, uri};
use crate::peer::{offer, request, response};
use crate::world::{Fate, Node, World, is_request, is_response};

/// Alice called and talks; Bob's side of the dialog.
#[track_caller]
pub fn called(world: &mut World, alice: Node, bob: SocketAddr) -> (Line, SessionId) {
    let agent = world.address(alice);
    let (session, invite) = call(world, alice, bob, Some(OFFER));
    let accepted = answer(&invite, 200, "b1", bob, Some(ANSWER));
    world.say(bob, agent, accepted.clone());
    request(world, bob, &Method::Ack);
    (Line::called(&invite, &accepted, bob), session)
}

#[track_caller]
pub fn reoffer(world: &mut World, alice: Node, bob: SocketAddr, session: SessionId) -> Request {
    world.with(alice, |agent, now| agent.reoffer(now, session, Some(OFFER.into())).unwrap());
    request(world, bob, &Method::Invite)
}

#[test]
fn a_change_is_sent_accepted_and_acknowledged() {
    let (mut world, alice, bob) = alice_and_bob();
    let moved = world.peer("192.0.2.22:5070");
    let agent = world.address(alice);
    let (_, session) = called(&mut world, alice, bob);
    let reinvite = reoffer(&mut world, alice, bob, session);
    assert_eq!(reinvite.body.as_ref(), OFFER.as_bytes());
    assert_eq!(reinvite.headers.contacts().unwrap()[0].uri.host().unwrap().to_string(), "192.0.2.1");
    assert_eq!(reinvite.headers.to().unwrap().tag(), Some("b1"));
    // One change at a time.
    let again = world.with(alice, |agent, now| agent.reoffer(now, session, None));
    assert_eq!(again, Err(Refused::Busy(session)));
    world.say(bob, agent, reinvite.response(Status::TRYING));
    let mut accepted = reinvite.response(Status::OK).with_body("application/sdp", ANSWER);
    accepted.headers.push(Name::Contact, "<sip:bob@192.0.2.22:5070>");
    world.say(bob, agent, accepted.clone());
    let ack = request(&mut world, moved, &Method::Ack);
    assert_eq!(ack.headers.cseq().unwrap().number, reinvite.headers.cseq().unwrap().number);
    assert_eq!(ack.uri.to_string(), "sip:bob@192.0.2.22:5070", "the 2xx refreshes the target");
    let body = world.wait(alice, |event| match event {
        Event::OfferAccepted { body, wants_answer: false, .. } => Some(body.clone()),
        _ => None,
    });
    assert_eq!(body.as_deref(), Some(ANSWER.as_bytes()));
    // A lost ACK: the 2xx comes again, and so does the ACK; nothing is told twice.
    world.say(bob, agent, accepted);
    assert_eq!(request(&mut world, moved, &Method::Ack), ack);
    assert!(world.events(alice).is_empty());
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    let bye = request(&mut world, moved, &Method::Bye);
    world.say(moved, agent, bye.response(Status::OK));
    world.assert_forgotten();
}

#[test]
fn a_refused_change_leaves_the_session_and_the_target() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, session) = called(&mut world, alice, bob);
    let reinvite = reoffer(&mut world, alice, bob, session);
    let mut refused = reinvite.response(Status::NOT_ACCEPTABLE_HERE);
    refused.headers.push(Name::Warning, "304 bob \"no video\"");
    refused.headers.push(Name::Contact, "<sip:bob@192.0.2.22:5070>");
    world.say(bob, agent, refused);
    request(&mut world, bob, &Method::Ack);
    let status = world.wait(alice, |event| match event {
        Event::OfferRefused { status, headers, .. } => Some((*status, headers.get(&Name::Warning).map(str::to_owned))),
        _ => None,
    });
    assert_eq!(status, (Status::NOT_ACCEPTABLE_HERE, Some("304 bob \"no video\"".into())));
    reoffer(&mut world, alice, bob, session);
}

/// RFC 3261 section 14.1: 2.1 to 4 s for who made the Call-ID, 0 to 2 s for the other, in units of 10 ms.
#[test]
fn glare_waits_as_the_owner_of_the_call_id_has_to() {
    for (outbound, low, high) in [(true, 2100, 4000), (false, 0, 2000)] {
        let mut waits = Vec::new();
        for _ in 0..40 {
            let (mut world, alice, bob) = alice_and_bob();
            world.with(alice, |agent, _| agent.account(sidetone::sip::agent::AccountId(0)).cloned());
            for _ in 0..waits.len() {
                // Another chance each time.
                world.with(alice, |agent, now| drop(agent.invite(now, to("sip:x@192.0.2.9"))));
            }
            world.events(alice);
            let agent = world.address(alice);
            let session = match outbound {
                true => called(&mut world, alice, bob).1,
                false => established_session(&mut world, alice, bob).1,
            };
            let reinvite = reoffer(&mut world, alice, bob, session);
            world.say(bob, agent, reinvite.response(Status::REQUEST_PENDING));
            request(&mut world, bob, &Method::Ack);
            let until = world.wait(alice, |event| match event {
                Event::OfferClashed { session: clashed, until } if *clashed == session => Some(*until),
                _ => None,
            });
            let start = world.now;
            if until > start {
                let early = world.with(alice, |agent, now| agent.reoffer(now, session, Some(OFFER.into())));
                assert_eq!(early, Err(Refused::Busy(session)), "not before its time");
            }
            world.wait(alice, |event| {
                matches!(event, Event::OfferDue { session: due } if *due == session).then_some(())
            });
            assert_eq!(world.now, until.max(start));
            // The ACK took 10 ms to reach Bob.
            let wait = (until.since(start) + Duration::from_millis(10)).as_millis();
            assert!((low..=high + 10).contains(&wait), "{wait} ms");
            waits.push(wait);
            reoffer(&mut world, alice, bob, session);
        }
        waits.sort_unstable();
        waits.dedup();
        assert!(waits.len() > 20, "drawn by lot: {waits:?}");
    }
}

#[test]
fn a_busy_far_end_is_asked_again_when_it_says() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, session) = called(&mut world, alice, bob);
    let reinvite = reoffer(&mut world, alice, bob, session);
    let mut busy = reinvite.response(Status::SERVER_INTERNAL_ERROR);
    busy.headers.push(Name::RetryAfter, "7");
    world.say(bob, agent, busy);
    request(&mut world, bob, &Method::Ack);
    let start = world.now;
    world.wait(alice, |event| matches!(event, Event::OfferDue { .. }).then_some(()));
    assert_eq!(
        world.now.since(start),
        Duration::from_millis(6_990),
        "7 s after the refusal, 10 ms before the ACK came"
    );
}

/// RFC 5407 section 3.3.1: both re-INVITEs are on their way.
#[test]
fn reinvites_that_cross_are_both_refused_with_491() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, session) = called(&mut world, alice, bob);
    world.with(alice, |agent, now| agent.reoffer(now, session, Some(OFFER.into())).unwrap());
    let theirs = line.next(Method::Invite, Some(OFFER));
    world.say(bob, agent, theirs.clone());
    let ours = request(&mut world, bob, &Method::Invite);
    world.say(bob, agent, ours.response(Status::REQUEST_PENDING));
    let refused = response(&mut world, bob, 491);
    world.say(bob, agent, crate::peer::companion(&theirs, Method::Ack, Some(&refused)));
    request(&mut world, bob, &Method::Ack);
    world.wait(alice, |event| matches!(event, Event::OfferClashed { .. }).then_some(()));
    // Bob draws the shorter lot; his change is taken while ours still waits.
    world.say(bob, agent, line.next(Method::Invite, Some(OFFER)));
    world.wait(alice, |event| matches!(event, Event::Reoffer { .. }).then_some(()));
    world.with(alice, |agent, now| agent.accept_reoffer(now, session, ANSWER.into()).unwrap());
    response(&mut world, bob, 200);
    world.say(bob, agent, line.again(Method::Ack, None));
    world.wait(alice, |event| matches!(event, Event::OfferDue { .. }).then_some(()));
    reoffer(&mut world, alice, bob, session);
}

/// RFC 5407 section 3.2.3: the BYE of the far end crosses our re-INVITE.
#[test]
fn bye_crossing_our_reinvite() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, session) = called(&mut world, alice, bob);
    world.with(alice, |agent, now| agent.reoffer(now, session, Some(OFFER.into())).unwrap());
    world.say(bob, agent, line.next(Method::Bye, None));
    let reinvite = request(&mut world, bob, &Method::Invite);
    world.say(bob, agent, reinvite.response(Status::CALL_DOES_NOT_EXIST));
    response(&mut world, bob, 200);
    request(&mut world, bob, &Method::Ack);
    assert_eq!(ended(&mut world, alice).0, EndedBy::Remote);
    assert_eq!(world.count(agent, "BYE"), 0);
    world.assert_forgotten();
}

/// RFC 5407 section 3.2.4: we hang up while the far end accepts our change; its 2xx is acknowledged.
#[test]
fn our_bye_crosses_the_2xx_of_our_reinvite() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, session) = called(&mut world, alice, bob);
    let reinvite = reoffer(&mut world, alice, bob, session);
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    world.say(bob, agent, reinvite.response(Status::OK).with_body("application/sdp", ANSWER));
    let bye = request(&mut world, bob, &Method::Bye);
    world.say(bob, agent, bye.response(Status::OK));
    request(&mut world, bob, &Method::Ack);
    assert_eq!(ended(&mut world, alice).0, EndedBy::Local);
    world.assert_forgotten();
}

/// RFC 3261 section 12.2.1.2.
#[test]
fn a_change_that_finds_no_dialog_ends_the_session() {
    for status in [481, 408] {
        let (mut world, alice, bob) = alice_and_bob();
        let agent = world.address(alice);
        let (_, session) = called(&mut world, alice, bob);
        let reinvite = reoffer(&mut world, alice, bob, session);
        world.say(bob, agent, reinvite.response(Status(status)));
        request(&mut world, bob, &Method::Ack);
        request(&mut world, bob, &Method::Bye);
        assert_eq!(ended(&mut world, alice).0, EndedBy::Remote);
    }
}

#[test]
fn a_change_that_nobody_answers_ends_the_session_after_64_t1() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, session) = called(&mut world, alice, bob);
    let start = world.now;
    reoffer(&mut world, alice, bob, session);
    assert_eq!(ended(&mut world, alice).0, EndedBy::Timeout);
    assert_eq!(world.now.since(start), Duration::from_secs(32));
    world.run(Duration::from_millis(20));
    assert_eq!(world.count(agent, "BYE"), 1);
    world.assert_forgotten();
}

/// The far end works on it for ever: the change is cancelled, the session goes on.
#[test]
fn a_change_that_is_never_decided_is_cancelled() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, session) = called(&mut world, alice, bob);
    let reinvite = reoffer(&mut world, alice, bob, session);
    world.say(bob, agent, reinvite.response(Status::TRYING));
    let start = world.now;
    let cancel = request(&mut world, bob, &Method::Cancel);
    assert_eq!(world.now.since(start), Duration::from_millis(180_020));
    assert_eq!(cancel.headers.to().unwrap().tag(), Some("b1"));
    world.say(bob, agent, cancel.response(Status::OK));
    world.say(bob, agent, reinvite.response(Status::REQUEST_TERMINATED));
    request(&mut world, bob, &Method::Ack);
    world.wait(alice, |event| {
        matches!(event, Event::OfferRefused { status: Status::REQUEST_TERMINATED, .. }).then_some(())
    });
    reoffer(&mut world, alice, bob, session);
}

#[test]
fn a_change_without_offer_answers_with_its_ack() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, session) = called(&mut world, alice, bob);
    world.with(alice, |agent, now| agent.reoffer(now, session, None).unwrap());
    let reinvite = request(&mut world, bob, &Method::Invite);
    assert!(reinvite.body.is_empty());
    world.say(bob, agent, reinvite.response(Status::OK).with_body("application/sdp", OFFER));
    world.wait(alice, |event| matches!(event, Event::OfferAccepted { wants_answer: true, .. }).then_some(()));
    assert_eq!(world.count(agent, "ACK"), 1, "only the one of the first INVITE");
    world.with(alice, |agent, now| agent.ack_answer(now, session, ANSWER.into()).unwrap());
    let ack = request(&mut world, bob, &Method::Ack);
    assert_eq!(ack.body.as_ref(), ANSWER.as_bytes());
}

/// A proxy challenges the re-INVITE; the ACK carries the same credentials.
#[test]
fn a_challenged_change_is_sent_again_with_credentials() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let mine: Account = account("sip:alice@192.0.2.2", "secret");
    let id = world.with(alice, |agent, _| agent.add_account(mine));
    let target = InviteRequest { account: Some(id), target: uri("sip:bob@192.0.2.2"), from: None, headers: Vec::new() };
    let session = world.with(alice, |agent, now| agent.invite(now, target).unwrap());
    offer(&mut world, alice, session, Some(OFFER));
    let invite = request(&mut world, bob, &Method::Invite);
    world.say(bob, agent, answer(&invite, 200, "b1", bob, Some(ANSWER)));
    request(&mut world, bob, &Method::Ack);
    let reinvite = reoffer(&mut world, alice, bob, session);
    let mut challenge = reinvite.response(Status::PROXY_AUTHENTICATION_REQUIRED);
    challenge.headers.push(Name::ProxyAuthenticate, "Digest realm=\"bob\", nonce=\"n\", qop=\"auth\"");
    world.say(bob, agent, challenge);
    request(&mut world, bob, &Method::Ack);
    let again = request(&mut world, bob, &Method::Invite);
    assert_eq!(again.headers.cseq().unwrap().number, reinvite.headers.cseq().unwrap().number + 1);
    assert!(again.headers.contains(&Name::ProxyAuthorization));
    assert_eq!(again.body.as_ref(), OFFER.as_bytes());
    world.say(bob, agent, again.response(Status::OK).with_body("application/sdp", ANSWER));
    let ack = request(&mut world, bob, &Method::Ack);
    assert_eq!(ack.headers.get(&Name::ProxyAuthorization), again.headers.get(&Name::ProxyAuthorization));
    world.wait(alice, |event| matches!(event, Event::OfferAccepted { .. }).then_some(()));
}

/// Two hops lead to the far end: the second serves what the first does not.
#[test]
fn a_change_fails_over_within_the_dialog() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let other = world.peer("192.0.2.3:5060");
    world.names.insert("bob.example.net".into(), vec![bob, other]);
    let (session, invite) = call(&mut world, alice, bob, Some(OFFER));
    let mut accepted = answer(&invite, 200, "b1", bob, Some(ANSWER));
    accepted.headers.set(Name::Contact, "<sip:bob@bob.example.net>");
    world.say(bob, agent, accepted);
    request(&mut world, bob, &Method::Ack);
    let reinvite = reoffer(&mut world, alice, bob, session);
    world.say(bob, agent, reinvite.response(Status::SERVICE_UNAVAILABLE));
    let again = request(&mut world, other, &Method::Invite);
    assert_eq!(again.headers.cseq(), reinvite.headers.cseq());
    world.say(other, agent, again.response(Status::OK).with_body("application/sdp", ANSWER));
    world.wait(alice, |event| matches!(event, Event::OfferAccepted { .. }).then_some(()));
}

#[test]
fn no_change_before_the_answer_is_acknowledged() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, _, session) = crate::peer::ringing(&mut world, alice, bob, Some(OFFER));
    assert!(world.with(alice, |agent, now| agent.reoffer(now, session, None)).is_err());
    world.with(alice, |agent, now| agent.answer(now, session, ANSWER.into()).unwrap());
    let early = world.with(alice, |agent, now| agent.reoffer(now, session, Some(OFFER.into())));
    assert_eq!(early, Err(Refused::Busy(session)));
    line.confirm(&response(&mut world, bob, 200));
    world.say(bob, agent, line.again(Method::Ack, None));
    world.wait(alice, |event| matches!(event, Event::Confirmed { .. }).then_some(()));
    reoffer(&mut world, alice, bob, session);
}

fn info(body: Option<(&str, &'static str)>) -> InsideRequest {
    let body = body.map(|(content_type, body)| (content_type.to_owned(), body.into()));
    InsideRequest { method: Method::Info, headers: Vec::new(), body }
}

#[test]
fn a_request_in_the_session_gets_its_reply() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, session) = called(&mut world, alice, bob);
    let asked = world.with(alice, |agent, now| {
        agent.request(now, session, info(Some(("application/dtmf-relay", "Signal=5\r\n")))).unwrap()
    });
    let got = request(&mut world, bob, &Method::Info);
    assert_eq!((got.body.as_ref(), got.headers.to().unwrap().tag()), (b"Signal=5\r\n".as_ref(), Some("b1")));
    world.say(bob, agent, got.response(Status::OK).with_body("text/plain", "thanks"));
    let reply = world.wait(alice, |event| match event {
        Event::Reply { request, status, body, .. } => Some((*request, *status, body.clone())),
        _ => None,
    });
    assert_eq!(reply, (asked, Status::OK, "thanks".into()));
    let refused = world.with(alice, |agent, now| {
        agent.request(now, session, InsideRequest { method: Method::Bye, headers: Vec::new(), body: None })
    });
    assert_eq!(refused, Err(Refused::Method(Method::Bye)));
    // Nobody answers the next one; the session lives on.
    let start = world.now;
    world.with(alice, |agent, now| agent.request(now, session, info(None)).unwrap());
    let status = world.wait(alice, |event| match event {
        Event::Reply { status, .. } => Some(*status),
        _ => None,
    });
    assert_eq!((status, world.now.since(start)), (Status::REQUEST_TIMEOUT, Duration::from_secs(32)));
    // RFC 5057 section 5.1: INFO finds no dialog, so there is none.
    world.inbox(bob);
    world.with(alice, |agent, now| agent.request(now, session, info(None)).unwrap());
    let got = request(&mut world, bob, &Method::Info);
    world.say(bob, agent, got.response(Status::CALL_DOES_NOT_EXIST));
    assert_eq!(ended(&mut world, alice).0, EndedBy::Remote);
}

#[test]
fn what_the_far_end_asks_waits_for_the_user() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, session) = established_session(&mut world, alice, bob);
    world.say(bob, agent, line.next(Method::Info, None).with_body("text/plain", "are you there?"));
    let (id, body) = world.wait(alice, |event| match event {
        Event::Asked { request, method: Method::Info, body, .. } => Some((*request, body.clone())),
        _ => None,
    });
    assert_eq!(body, "are you there?");
    let reply = |agent: &mut sidetone::sip::agent::Agent, now| {
        agent.reply(now, session, id, Status::OK, Vec::new(), Some(("text/plain", "yes".into())))
    };
    world.with(alice, reply).unwrap();
    assert!(world.with(alice, reply).is_err(), "once");
    assert_eq!(response(&mut world, bob, 200).body, "yes");
    // A program that never replies does not leave the far end without an answer.
    let start = world.now;
    world.say(bob, agent, line.next(Method::Info, None));
    response(&mut world, bob, 500);
    assert_eq!(world.now.since(start), Duration::from_millis(20_020));
    // Those that wait when the session ends are refused.
    world.say(bob, agent, line.next(Method::Info, None));
    world.run(Duration::from_millis(100));
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    response(&mut world, bob, 481);
    let bye = request(&mut world, bob, &Method::Bye);
    world.say(bob, agent, bye.response(Status::OK));
    world.assert_forgotten();
}

#[test]
fn a_lost_reinvite_is_repeated() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, session) = called(&mut world, alice, bob);
    let mut lost = 0;
    world.filter = Box::new(move |wire| {
        if is_request(wire, &Method::Invite) && lost < 2 {
            lost += 1;
            return Fate::Lose;
        }
        Fate::Pass
    });
    let start = world.now;
    let reinvite = reoffer(&mut world, alice, bob, session);
    assert_eq!(world.times(agent, "INVITE", start)[1..], [0, 500, 1500], "after the INVITE that made the call");
    let mut first = true;
    world.filter = Box::new(move |wire| {
        if is_response(wire, Status::OK, &Method::Invite) && std::mem::take(&mut first) {
            return Fate::Lose;
        }
        Fate::Pass
    });
    let accepted = reinvite.response(Status::OK).with_body("application/sdp", ANSWER);
    world.say(bob, agent, accepted.clone());
    world.run(Duration::from_millis(500));
    world.say(bob, agent, accepted);
    assert!(matches!(world.receive(bob), Message::Request(ack) if ack.method == Method::Ack));
    world.wait(alice, |event| matches!(event, Event::OfferAccepted { .. }).then_some(()));
}
