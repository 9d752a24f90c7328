//! One INVITE, several answers (RFC 3261 sections 12.1, 13.2.2.4), one request by several ways (8.2.2.2).

use sidetone::sip::agent::{EndedBy, Event};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Method, Request, Status};
use sidetone::time::Duration;

use crate::peer::{ANSWER, Line, OFFER, alice_and_bob, answer, call, config, ended, request, response};

fn progress(event: &Event) -> Option<(u16, String)> {
    match event {
        Event::Progress { status, fork, .. } => Some((status.code(), fork.clone())),
        _ => None,
    }
}

#[test]
fn forked_200s_the_first_wins_and_the_others_get_ack_and_bye() {
    let (mut world, alice, bob) = alice_and_bob();
    let carol = world.peer("192.0.2.3:5060");
    let agent = world.address(alice);
    let (session, invite) = call(&mut world, alice, bob, Some(OFFER));
    world.say(bob, agent, answer(&invite, 180, "b1", bob, None));
    world.say(bob, agent, answer(&invite, 183, "c1", carol, Some(ANSWER)));
    assert_eq!(world.wait(alice, progress), (180, "b1".into()));
    assert_eq!(world.wait(alice, progress), (183, "c1".into()));

    world.say(bob, agent, answer(&invite, 200, "c1", carol, Some(ANSWER)));
    let fork = world.wait(alice, |event| match event {
        Event::Answered { fork, .. } => Some(fork.clone()),
        _ => None,
    });
    assert_eq!(fork, "c1");
    let ack = request(&mut world, carol, &Method::Ack);
    // Bob's 200 was on its way; and Dave's, who never rang.
    let late = answer(&invite, 200, "b1", bob, Some(ANSWER));
    world.say(bob, agent, late.clone());
    world.say(bob, agent, answer(&invite, 200, "d1", bob, Some(ANSWER)));
    let mut heard: Vec<Request> = Vec::new();
    while heard.len() < 4 {
        if let Message::Request(request) = world.receive(bob) {
            if request.method == Method::Bye {
                world.say(bob, agent, request.response(Status::OK));
            }
            heard.push(request);
        }
    }
    let heard: Vec<_> =
        heard.iter().map(|r| (r.method.clone(), r.headers.to().unwrap().tag().unwrap().to_owned())).collect();
    let both = |method: Method, tag: &str| heard.contains(&(method, tag.to_owned()));
    assert!(both(Method::Ack, "b1") && both(Method::Bye, "b1") && both(Method::Ack, "d1") && both(Method::Bye, "d1"));
    // Repeated: only the ACK again, to each its own.
    world.say(bob, agent, late);
    assert_eq!(request(&mut world, bob, &Method::Ack).headers.to().unwrap().tag(), Some("b1"));
    world.say(bob, agent, answer(&invite, 200, "c1", carol, Some(ANSWER)));
    assert_eq!(request(&mut world, carol, &Method::Ack), ack);
    assert!(world.events(alice).is_empty(), "the session knows one answer");

    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    let bye = request(&mut world, carol, &Method::Bye);
    assert_eq!(bye.headers.to().unwrap().tag(), Some("c1"));
    world.say(carol, agent, bye.response(Status::OK));
    world.assert_forgotten();
}

#[test]
fn a_fork_that_lost_may_hang_up_first() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
    world.say(bob, agent, answer(&invite, 200, "b1", bob, Some(ANSWER)));
    request(&mut world, bob, &Method::Ack);
    let lost = answer(&invite, 200, "b2", bob, Some(ANSWER));
    world.say(bob, agent, lost.clone());
    request(&mut world, bob, &Method::Ack);
    request(&mut world, bob, &Method::Bye);
    world.say(bob, agent, Line::called(&invite, &lost, bob).next(Method::Bye, None));
    response(&mut world, bob, 200);
    assert!(world.events(alice).iter().all(|event| !matches!(event, Event::Ended { .. })));
}

#[test]
fn one_fork_gives_up_and_the_other_answers() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
    let first = answer(&invite, 180, "b1", bob, None);
    world.say(bob, agent, first.clone());
    world.say(bob, agent, answer(&invite, 180, "b2", bob, None));
    world.run(Duration::from_millis(20));
    world.say(bob, agent, Line::called(&invite, &first, bob).next(Method::Bye, None));
    response(&mut world, bob, 200);
    world.say(bob, agent, answer(&invite, 200, "b2", bob, Some(ANSWER)));
    request(&mut world, bob, &Method::Ack);
    world.wait(alice, |event| matches!(event, Event::Answered { .. }).then_some(()));
}

#[test]
fn the_forks_of_one_invite_are_bounded() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
    for tag in 0..100 {
        world.say(bob, agent, answer(&invite, 200, &format!("t{tag}"), bob, Some(ANSWER)));
    }
    world.run(Duration::from_millis(20));
    assert_eq!(world.count(agent, "ACK"), config().limits.forks);
}

/// RFC 3261 section 8.2.2.2.
#[test]
fn merged_requests_482() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let mut line = Line::calling(agent, bob);
    world.say(bob, agent, line.again(Method::Invite, Some(OFFER)));
    crate::peer::incoming(&mut world, alice);
    world.say(bob, agent, line.again(Method::Invite, Some(OFFER)));
    assert_eq!(response(&mut world, bob, 482).reason, "Loop Detected");
    assert!(world.events(alice).is_empty());
}

/// A 3xx or 4xx of a proxy ends all forks; so does the challenge that comes after one of them rang.
#[test]
fn challenged_after_183() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let account =
        world.with(alice, |agent, _| agent.add_account(crate::peer::account("sip:alice@example.net", "secret")));
    world.names.insert("example.net".into(), vec![bob]);
    let invite =
        sidetone::sip::agent::InviteRequest { account: Some(account), ..crate::peer::to("sip:bob@example.net") };
    let session = world.with(alice, |agent, now| agent.invite(now, invite).unwrap());
    crate::peer::offer(&mut world, alice, session, Some(OFFER));
    let first = request(&mut world, bob, &Method::Invite);
    world.say(bob, agent, answer(&first, 183, "b1", bob, Some(ANSWER)));
    assert_eq!(world.wait(alice, progress), (183, "b1".into()));
    let mut challenge = answer(&first, 401, "b1", bob, None);
    challenge.headers.push(Name::WwwAuthenticate, "Digest realm=\"r\", nonce=\"n1\", qop=\"auth\"");
    world.say(bob, agent, challenge);
    request(&mut world, bob, &Method::Ack);
    let second = request(&mut world, bob, &Method::Invite);
    assert_eq!(second.headers.cseq().unwrap().number, first.headers.cseq().unwrap().number + 1);
    assert_eq!(second.headers.call_id(), first.headers.call_id());
    assert_eq!(second.headers.from(), first.headers.from());
    assert_eq!(second.headers.to().unwrap().tag(), None);
    assert!(second.headers.contains(&Name::Authorization));
    assert_eq!(second.body, first.body);

    world.say(bob, agent, answer(&second, 200, "b2", bob, Some(ANSWER)));
    let ack = request(&mut world, bob, &Method::Ack);
    assert_eq!(ack.headers.get(&Name::Authorization), second.headers.get(&Name::Authorization));
    assert_eq!(ack.headers.cseq().unwrap().number, second.headers.cseq().unwrap().number);
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    // BYE is challenged as well.
    let bye = request(&mut world, bob, &Method::Bye);
    let mut challenge = bye.response(Status::PROXY_AUTHENTICATION_REQUIRED).with_to_tag("p");
    challenge
        .headers
        .push(Name::ProxyAuthenticate, "Digest realm=\"p\", nonce=\"n2\", qop=\"auth\", algorithm=SHA-256");
    world.say(bob, agent, challenge);
    let again = request(&mut world, bob, &Method::Bye);
    assert_eq!(again.headers.cseq().unwrap().number, bye.headers.cseq().unwrap().number + 1);
    assert!(again.headers.contains(&Name::ProxyAuthorization));
    world.say(bob, agent, again.response(Status::OK));
    assert_eq!(ended(&mut world, alice).0, EndedBy::Local);
    world.assert_forgotten();
}

/// A provisional response that comes after the BYE of its fork does not bring the fork back.
#[test]
fn a_fork_that_hung_up_stays_gone() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
    let rings = ["b1", "b2"].map(|tag| answer(&invite, 180, tag, bob, None));
    for ring in &rings {
        world.say(bob, agent, ring.clone());
    }
    world.run(Duration::from_millis(20));
    world.say(bob, agent, Line::called(&invite, &rings[0], bob).next(Method::Bye, None));
    response(&mut world, bob, 200);
    world.events(alice);
    world.say(bob, agent, rings[0].clone());
    world.run(Duration::from_millis(20));
    assert!(world.events(alice).is_empty());
    let mut second = Line::called(&invite, &rings[1], bob);
    second.branch = 2000;
    world.say(bob, agent, second.next(Method::Bye, None));
    assert_eq!(ended(&mut world, alice).0, EndedBy::Remote);
    world.run(Duration::from_millis(20));
    assert_eq!(world.count(agent, "CANCEL"), 1);
    world.assert_forgotten();
}
