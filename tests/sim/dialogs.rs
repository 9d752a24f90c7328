//! What holds within a dialog: routes, targets, order, what changes it (RFC 3261 sections 12 and 14).

use sidetone::sip::agent::{EndedBy, Event};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Method, Status};
use sidetone::time::Duration;

use crate::peer::{ANSWER, OFFER, alice_and_bob, answer, call, ended, request, response, ringing};
use crate::peer::{established, established_session};

#[test]
fn the_caller_takes_the_record_route_in_reverse() {
    let (mut world, alice, bob) = alice_and_bob();
    let near = world.peer("192.0.2.11:5060");
    world.names.insert("near.example.net".into(), vec![near]);
    let agent = world.address(alice);
    let (session, invite) = call(&mut world, alice, bob, Some(OFFER));
    let mut accepted = answer(&invite, 200, "b1", bob, Some(ANSWER));
    accepted.headers.push(Name::RecordRoute, "<sip:far.example.net;lr>");
    accepted.headers.push(Name::RecordRoute, "<sip:near.example.net;lr;x=1>");
    accepted.headers.set(Name::Contact, "<sip:bob@10.0.0.9:5099>");
    world.say(bob, agent, accepted.clone());
    let ack = request(&mut world, near, &Method::Ack);
    assert_eq!(ack.uri.to_string(), "sip:bob@10.0.0.9:5099", "a private Contact is not rewritten");
    let routes: Vec<_> = ack.headers.all(&Name::Route).collect();
    assert_eq!(routes, ["<sip:near.example.net;lr;x=1>", "<sip:far.example.net;lr>"]);
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    let bye = request(&mut world, near, &Method::Bye);
    assert_eq!(bye.headers.all(&Name::Route).collect::<Vec<_>>(), routes);
}

#[test]
fn a_strict_router_is_served() {
    let (mut world, alice, bob) = alice_and_bob();
    let near = world.peer("192.0.2.11:5060");
    let agent = world.address(alice);
    let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
    let mut accepted = answer(&invite, 200, "b1", bob, Some(ANSWER));
    accepted.headers.push(Name::RecordRoute, "<sip:192.0.2.12>");
    accepted.headers.push(Name::RecordRoute, "<sip:192.0.2.11>");
    world.say(bob, agent, accepted);
    let ack = request(&mut world, near, &Method::Ack);
    assert_eq!(ack.uri.to_string(), "sip:192.0.2.11");
    let routes: Vec<_> = ack.headers.all(&Name::Route).collect();
    assert_eq!(routes, ["<sip:192.0.2.12>", "<sip:bob@192.0.2.2:5060>"]);
}

#[test]
fn the_callee_keeps_and_copies_the_record_route() {
    let (mut world, alice, bob) = alice_and_bob();
    let near = world.peer("192.0.2.11:5060");
    let agent = world.address(alice);
    let mut line = crate::peer::Line::calling(agent, bob);
    let mut invite = line.again(Method::Invite, Some(OFFER));
    invite.headers.push(Name::RecordRoute, "<sip:192.0.2.11;lr>");
    invite.headers.push(Name::RecordRoute, "<sip:192.0.2.12;lr>");
    world.say(bob, agent, invite);
    let session = crate::peer::incoming(&mut world, alice);
    world.with(alice, |agent, now| agent.ring(now, session, Status::RINGING, None).unwrap());
    let rings = response(&mut world, bob, 180);
    world.with(alice, |agent, now| agent.answer(now, session, ANSWER.into()).unwrap());
    let accepted = response(&mut world, bob, 200);
    for response in [&rings, &accepted] {
        let routes: Vec<_> = response.headers.all(&Name::RecordRoute).collect();
        assert_eq!(routes, ["<sip:192.0.2.11;lr>", "<sip:192.0.2.12;lr>"]);
    }
    assert_eq!(rings.headers.to(), accepted.headers.to());
    line.confirm(&accepted);
    world.say(bob, agent, line.again(Method::Ack, None));
    world.run(Duration::from_millis(50));
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    let bye = request(&mut world, near, &Method::Bye);
    assert_eq!(bye.headers.all(&Name::Route).collect::<Vec<_>>(), ["<sip:192.0.2.11;lr>", "<sip:192.0.2.12;lr>"]);
    assert_eq!(bye.uri.to_string(), "sip:bob@192.0.2.2:5060");
}

/// The Contact names a host that nobody knows: requests go where the dialog came from.
#[test]
fn a_contact_that_cannot_be_found_is_reached_by_the_way_it_came() {
    for contact in
        ["<sip:bob@pbx.invalid>", "<sips:bob@192.0.2.9;transport=udp>", "<sip:bob@192.0.2.9;transport=ws>", "nonsense"]
    {
        let (mut world, alice, bob) = alice_and_bob();
        let agent = world.address(alice);
        let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
        let mut accepted = answer(&invite, 200, "b1", bob, Some(ANSWER));
        accepted.headers.set(Name::Contact, contact);
        world.say(bob, agent, accepted);
        request(&mut world, bob, &Method::Ack);
    }
}

#[test]
fn a_reinvite_is_offered_accepted_and_moves_the_target() {
    let (mut world, alice, bob) = alice_and_bob();
    let moved = world.peer("192.0.2.22:5070");
    let agent = world.address(alice);
    let (mut line, session) = established_session(&mut world, alice, bob);
    let mut reinvite = line.next(Method::Invite, Some(OFFER));
    reinvite.headers.set(Name::Contact, "<sip:bob@192.0.2.22:5070>");
    world.say(bob, agent, reinvite);
    let offer = world.wait(alice, |event| match event {
        Event::Reoffer { offer, .. } => Some(offer.clone()),
        _ => None,
    });
    assert_eq!(offer.as_deref(), Some(OFFER.as_bytes()));
    world.with(alice, |agent, now| agent.accept_reoffer(now, session, ANSWER.into()).unwrap());
    assert!(world.with(alice, |agent, now| agent.accept_reoffer(now, session, ANSWER.into())).is_err());
    let accepted = response(&mut world, bob, 200);
    assert_eq!(accepted.body.as_ref(), ANSWER.as_bytes());
    assert!(accepted.headers.contains(&Name::Contact));
    world.say(bob, agent, line.again(Method::Ack, None));
    world.wait(alice, |event| matches!(event, Event::Confirmed { .. }).then_some(()));
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    let bye = request(&mut world, moved, &Method::Bye);
    assert_eq!(bye.uri.to_string(), "sip:bob@192.0.2.22:5070");
}

/// Its requests have a way already, which the new Contact makes the wrong one.
#[test]
fn the_target_moves_away_from_a_known_way() {
    let (mut world, alice, bob) = alice_and_bob();
    let moved = world.peer("192.0.2.22:5070");
    let agent = world.address(alice);
    let (session, invite) = call(&mut world, alice, bob, Some(OFFER));
    let accepted = answer(&invite, 200, "b1", bob, Some(ANSWER));
    world.say(bob, agent, accepted.clone());
    request(&mut world, bob, &Method::Ack);
    let mut line = crate::peer::Line::called(&invite, &accepted, bob);
    line.contact = "<sip:bob@192.0.2.22:5070>".into();
    world.say(bob, agent, line.next(Method::Invite, Some(OFFER)));
    world.wait(alice, |event| matches!(event, Event::Reoffer { .. }).then_some(()));
    world.with(alice, |agent, now| agent.accept_reoffer(now, session, ANSWER.into()).unwrap());
    world.say(bob, agent, line.again(Method::Ack, None));
    world.wait(alice, |event| matches!(event, Event::Confirmed { .. }).then_some(()));
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    request(&mut world, moved, &Method::Bye);
}

#[test]
fn a_refused_reinvite_changes_nothing() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, session) = established_session(&mut world, alice, bob);
    let mut reinvite = line.next(Method::Invite, Some(OFFER));
    reinvite.headers.set(Name::Contact, "<sip:bob@192.0.2.22:5070>");
    world.say(bob, agent, reinvite);
    world.wait(alice, |event| matches!(event, Event::Reoffer { .. }).then_some(()));
    let warning = sidetone::sip::header::Header { name: Name::Warning, value: "304 a \"no\"".into() };
    world.with(alice, |agent, now| {
        agent.refuse_reoffer(now, session, Status::NOT_ACCEPTABLE_HERE, vec![warning]).unwrap();
    });
    assert_eq!(response(&mut world, bob, 488).headers.get(&Name::Warning), Some("304 a \"no\""));
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    assert_eq!(request(&mut world, bob, &Method::Bye).uri.to_string(), "sip:bob@192.0.2.2:5060");
}

#[test]
fn an_offerless_reinvite_gets_our_offer_and_its_lost_ack_ends_the_session() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, session) = established_session(&mut world, alice, bob);
    world.say(bob, agent, line.next(Method::Invite, None));
    world.wait(alice, |event| matches!(event, Event::Reoffer { offer: None, .. }).then_some(()));
    world.with(alice, |agent, now| agent.accept_reoffer(now, session, OFFER.into()).unwrap());
    response(&mut world, bob, 200);
    world.say(bob, agent, line.again(Method::Ack, Some(ANSWER)));
    let answer = world.wait(alice, |event| match event {
        Event::Confirmed { answer, .. } => Some(answer.clone()),
        _ => None,
    });
    assert_eq!(answer.as_deref(), Some(ANSWER.as_bytes()));

    world.say(bob, agent, line.next(Method::Invite, None));
    world.wait(alice, |event| matches!(event, Event::Reoffer { .. }).then_some(()));
    let start = world.now;
    world.with(alice, |agent, now| agent.accept_reoffer(now, session, OFFER.into()).unwrap());
    assert_eq!(ended(&mut world, alice).0, EndedBy::Timeout);
    assert_eq!(world.now.since(start), Duration::from_secs(32));
    assert_eq!(world.count(agent, "BYE"), 1);
}

#[test]
fn a_cancelled_reinvite_leaves_the_session() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, session) = established_session(&mut world, alice, bob);
    let reinvite = line.next(Method::Invite, Some(OFFER));
    world.say(bob, agent, reinvite.clone());
    world.wait(alice, |event| matches!(event, Event::Reoffer { .. }).then_some(()));
    world.say(bob, agent, crate::peer::companion(&reinvite, Method::Cancel, None));
    world.wait(alice, |event| matches!(event, Event::ReofferWithdrawn { .. }).then_some(()));
    assert!(world.with(alice, |agent, now| agent.accept_reoffer(now, session, ANSWER.into())).is_err());
    world.run(Duration::from_millis(50));
    assert_eq!((world.count(agent, "200 CANCEL"), world.count(agent, "487 INVITE")), (1, 1));
    world.say(bob, agent, line.next(Method::Bye, None));
    assert_eq!(ended(&mut world, alice).0, EndedBy::Remote);
}

/// RFC 3261 section 12.2.2.
#[test]
fn requests_out_of_order_500() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let mut line = established(&mut world, alice, bob);
    line.cseq = 50;
    world.say(bob, agent, line.next(Method::Options, None));
    response(&mut world, bob, 200);
    line.cseq = 30;
    for method in [Method::Options, Method::Invite, Method::Bye] {
        world.say(bob, agent, line.next(method, None));
        response(&mut world, bob, 500);
    }
    line.cseq = 60;
    world.say(bob, agent, line.next(Method::Bye, None));
    response(&mut world, bob, 200);
    assert_eq!(ended(&mut world, alice).0, EndedBy::Remote);
}

#[test]
fn what_no_dialog_knows_481() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let mut line = established(&mut world, alice, bob);
    let known = line.to.clone();
    line.to = "<sip:alice@example.com>;tag=another".into();
    for method in [Method::Bye, Method::Invite, Method::Options] {
        world.say(bob, agent, line.next(method, None));
        response(&mut world, bob, 481);
    }
    line.to = "<sip:alice@example.com>".into();
    world.say(bob, agent, line.next(Method::Bye, None));
    response(&mut world, bob, 481);
    world.say(bob, agent, line.next(Method::Ack, None));
    world.run(Duration::from_secs(1));
    // The tag of another caller is another dialog.
    line.to = known;
    line.from = "Mallory <sip:mallory@example.net>;tag=mallory".into();
    world.say(bob, agent, line.next(Method::Bye, None));
    response(&mut world, bob, 481);
    assert!(world.inbox(bob).is_empty() && world.events(alice).is_empty());
}

#[test]
fn early_media_and_rejection_with_a_warning() {
    let (mut world, alice, bob) = alice_and_bob();
    let (_, _, session) = ringing(&mut world, alice, bob, Some(OFFER));
    world.with(alice, |agent, now| {
        agent.ring(now, session, Status::SESSION_PROGRESS, Some(ANSWER.into())).unwrap();
        assert!(agent.ring(now, session, Status::OK, None).is_err());
        assert!(agent.reject(now, session, Status::OK, None, Vec::new()).is_err());
    });
    let early = response(&mut world, bob, 183);
    assert_eq!(early.body.as_ref(), ANSWER.as_bytes());
    assert!(early.headers.contains(&Name::Contact) && early.headers.to().unwrap().tag().is_some());
    let warning = sidetone::sip::header::Header { name: Name::Warning, value: "305 a \"codec\"".into() };
    world.with(alice, |agent, now| {
        agent.reject(now, session, Status::NOT_ACCEPTABLE_HERE, Some("No Codec"), vec![warning]).unwrap();
    });
    let refused = response(&mut world, bob, 488);
    assert_eq!((refused.reason.as_str(), refused.headers.get(&Name::Warning)), ("No Codec", Some("305 a \"codec\"")));
    assert_eq!(ended(&mut world, alice), (EndedBy::Local, Some(488), "No Codec".into()));
}

#[test]
fn the_callers_refusal_is_told_with_its_headers() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
    let mut refused = answer(&invite, 486, "b1", bob, None);
    refused.headers.push(Name::Warning, "399 bob \"on the phone\"");
    refused.headers.push(Name::RetryAfter, "60");
    world.say(bob, agent, refused.clone());
    let headers = world.wait(alice, |event| match event {
        Event::Ended { by: EndedBy::Remote, status: Some(Status::BUSY_HERE), headers, .. } => Some(headers.clone()),
        _ => None,
    });
    assert_eq!(headers.get(&Name::Warning), Some("399 bob \"on the phone\""));
    request(&mut world, bob, &Method::Ack);
    // Repeated until the ACK: acknowledged again, told once.
    world.say(bob, agent, refused);
    request(&mut world, bob, &Method::Ack);
    assert!(world.events(alice).is_empty());
    world.assert_forgotten();
}

/// The name service is silent: a call ends after a while, and the ACK of one that is up takes the way the 2xx came by.
#[test]
fn a_silent_name_service() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    world.unanswered = vec!["pbx.example.net".into()];
    let start = world.now;
    world.with(alice, |agent, now| agent.invite(now, crate::peer::to("sip:bob@pbx.example.net")).unwrap());
    assert_eq!((ended(&mut world, alice).0, world.now.since(start)), (EndedBy::Transport, Duration::from_secs(20)));

    let (session, invite) = call(&mut world, alice, bob, Some(OFFER));
    let mut accepted = answer(&invite, 200, "b1", bob, Some(ANSWER));
    accepted.headers.set(Name::Contact, "<sip:bob@pbx.example.net>");
    let start = world.now;
    world.say(bob, agent, accepted);
    world.wait(alice, |event| matches!(event, Event::Answered { .. }).then_some(()));
    // The hang-up does not overtake the ACK.
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    request(&mut world, bob, &Method::Ack);
    assert_eq!(world.now.since(start), Duration::from_millis(3020));
    let bye = request(&mut world, bob, &Method::Bye);
    world.say(bob, agent, bye.response(Status::OK));
    world.assert_forgotten();
}
