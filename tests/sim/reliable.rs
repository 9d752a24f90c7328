//! Reliable provisional responses and PRACK both ways (RFC 3262).

use sidetone::sip::agent::{Account, EndedBy, Event, InviteRequest, Reliable};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Method, Request, Response, Status};
use sidetone::time::Duration;
use std::net::SocketAddr;

use crate::peer::{ANSWER, Line, OFFER, alice_and_bob, answer, call, ended, incoming, offer, request, response, uri};
use crate::world::{Node, World};

fn reliable(invite: &Request, status: u16, rseq: u32, bob: SocketAddr, sdp: Option<&'static str>) -> Response {
    let mut response = answer(invite, status, "b1", bob, sdp);
    response.headers.push(Name::Require, "100rel");
    response.headers.push(Name::RSeq, rseq.to_string());
    response
}

/// Bob calls with this extension required or supported.
#[track_caller]
fn rings(
    world: &mut World,
    alice: Node,
    bob: SocketAddr,
    how: Name,
    sdp: Option<&'static str>,
) -> (Line, sidetone::sip::agent::SessionId) {
    let agent = world.address(alice);
    let mut line = Line::calling(agent, bob);
    let mut invite = line.again(Method::Invite, sdp);
    invite.headers.push(how, "100rel");
    world.say(bob, agent, invite);
    let session = incoming(world, alice);
    (line, session)
}

fn prack(line: &mut Line, provisional: &Response, sdp: Option<&'static str>) -> Request {
    line.confirm(provisional);
    let mut prack = line.next(Method::Prack, sdp);
    prack.headers.push(Name::RAck, format!("{} 1 INVITE", provisional.headers.rseq().unwrap()));
    prack
}

#[test]
fn the_caller_acknowledges_in_order_and_once() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
    assert!(invite.headers.has_tag(&Name::Supported, "100rel"));
    let first = reliable(&invite, 183, 5, bob, Some(ANSWER));
    world.say(bob, agent, first.clone());
    let prack = request(&mut world, bob, &Method::Prack);
    let number = invite.headers.cseq().unwrap().number;
    assert_eq!(prack.headers.get(&Name::RAck), Some(format!("5 {number} INVITE").as_str()));
    assert_eq!(prack.headers.cseq().unwrap().number, number + 1);
    world.say(bob, agent, prack.response(Status::OK));
    // Its repetition, and one that came before its time, are neither acknowledged nor told.
    world.events(alice);
    world.say(bob, agent, first);
    world.say(bob, agent, reliable(&invite, 180, 7, bob, None));
    world.run(Duration::from_millis(100));
    assert!(world.events(alice).is_empty() && world.inbox(bob).is_empty());
    world.say(bob, agent, reliable(&invite, 180, 6, bob, None));
    let prack = request(&mut world, bob, &Method::Prack);
    assert_eq!(prack.headers.get(&Name::RAck), Some(format!("6 {number} INVITE").as_str()));
    world.say(bob, agent, prack.response(Status::OK));
    world.say(bob, agent, answer(&invite, 200, "b1", bob, None));
    assert_eq!(request(&mut world, bob, &Method::Ack).headers.cseq().unwrap().number, number);
}

#[test]
fn a_lost_prack_is_repeated() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, invite) = call(&mut world, alice, bob, Some(OFFER));
    let start = world.now;
    world.say(bob, agent, reliable(&invite, 180, 1, bob, None));
    world.run(Duration::from_secs(2));
    assert_eq!(world.times(agent, "PRACK", start), [10, 510, 1510]);
}

/// RFC 3262 section 5: the INVITE had no offer, the first reliable response has one, its PRACK the answer.
#[test]
fn an_offer_in_a_reliable_response_is_answered_by_prack() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (session, invite) = call(&mut world, alice, bob, None);
    world.say(bob, agent, reliable(&invite, 183, 1, bob, Some(OFFER)));
    let fork = world.wait(alice, |event| match event {
        Event::Progress { wants_answer: true, fork, .. } => Some(fork.clone()),
        _ => None,
    });
    assert_eq!(world.count(agent, "PRACK"), 0, "it waits for the answer");
    world.with(alice, |agent, now| agent.prack_answer(now, session, &fork, ANSWER.into()).unwrap());
    assert!(world.with(alice, |agent, now| agent.prack_answer(now, session, &fork, ANSWER.into())).is_err());
    let prack = request(&mut world, bob, &Method::Prack);
    assert_eq!(prack.body.as_ref(), ANSWER.as_bytes());
    world.say(bob, agent, prack.response(Status::OK));
    world.say(bob, agent, answer(&invite, 200, "b1", bob, None));
    request(&mut world, bob, &Method::Ack);
    world.wait(alice, |event| matches!(event, Event::Answered { wants_answer: false, .. }).then_some(()));
}

/// Late forked 2xx of an offerless INVITE: each fork offers in its own, the loser is acknowledged and ended.
#[test]
fn a_late_fork_of_an_offerless_invite_is_ended() {
    let (mut world, alice, bob) = alice_and_bob();
    let carol = world.peer("192.0.2.3:5060");
    let agent = world.address(alice);
    let (session, invite) = call(&mut world, alice, bob, None);
    world.say(bob, agent, answer(&invite, 200, "b1", bob, Some(OFFER)));
    world.wait(alice, |event| matches!(event, Event::Answered { wants_answer: true, .. }).then_some(()));
    world.say(bob, agent, answer(&invite, 200, "c1", carol, Some(OFFER)));
    let ack = request(&mut world, carol, &Method::Ack);
    assert_eq!(ack.headers.to().unwrap().tag(), Some("c1"));
    request(&mut world, carol, &Method::Bye);
    world.with(alice, |agent, now| agent.ack_answer(now, session, ANSWER.into()).unwrap());
    let ack = request(&mut world, bob, &Method::Ack);
    assert_eq!((ack.headers.to().unwrap().tag(), ack.body.as_ref()), (Some("b1"), ANSWER.as_bytes()));
}

/// RFC 3262 section 3: after T1, 2*T1, 4*T1 … without a ceiling, for 64*T1; then the INVITE is refused.
#[test]
fn a_reliable_response_is_repeated_until_its_prack() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (_, session) = rings(&mut world, alice, bob, Name::Require, Some(OFFER));
    let start = world.now;
    world.with(alice, |agent, now| agent.ring(now, session, Status::RINGING, None).unwrap());
    let end = ended(&mut world, alice);
    assert_eq!(world.times(agent, "180 INVITE", start), [0, 500, 1500, 3500, 7500, 15500, 31500]);
    assert_eq!((end.0, end.1, world.now.since(start)), (EndedBy::Timeout, Some(504), Duration::from_secs(32)));
}

#[test]
fn one_reliable_response_at_a_time_and_no_answer_before_its_prack() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, session) = rings(&mut world, alice, bob, Name::Supported, Some(OFFER));
    world.with(alice, |agent, now| {
        agent.ring(now, session, Status::SESSION_PROGRESS, Some(ANSWER.into())).unwrap();
        agent.answer(now, session, ANSWER.into()).unwrap();
        assert!(agent.answer(now, session, ANSWER.into()).is_err());
    });
    let early = response(&mut world, bob, 183);
    assert!(early.headers.has_tag(&Name::Require, "100rel"));
    let rseq = early.headers.rseq().unwrap();
    assert!((1..1 << 31).contains(&rseq));
    world.run(Duration::from_millis(400));
    assert_eq!(world.count(agent, "200 INVITE"), 0);
    // A PRACK of another response finds nothing (RFC 3262 section 3).
    line.confirm(&early);
    for wrong in [format!("{} 1 INVITE", rseq + 1), format!("{rseq} 2 INVITE"), format!("{rseq} 1 BYE"), "x".into()] {
        let mut prack = line.next(Method::Prack, None);
        prack.headers.push(Name::RAck, wrong);
        world.say(bob, agent, prack);
        response(&mut world, bob, 481);
    }
    world.say(bob, agent, prack(&mut line, &early, None));
    response(&mut world, bob, 200);
    let accepted = response(&mut world, bob, 200);
    assert_eq!(accepted.headers.cseq().unwrap().method, Method::Invite);
    assert!(accepted.body.is_empty(), "the answer was given, and acknowledged");
    world.wait(alice, |event| matches!(event, Event::Acknowledged { answer: None, .. }).then_some(()));
    line.cseq = 1;
    world.say(bob, agent, line.again(Method::Ack, None));
    world.wait(alice, |event| matches!(event, Event::Confirmed { .. }).then_some(()));
}

/// A 180 without a description holds nothing up: the 2xx may overtake its PRACK, which still finds us.
#[test]
fn a_prack_that_the_answer_overtook_is_answered() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, session) = rings(&mut world, alice, bob, Name::Require, Some(OFFER));
    world.with(alice, |agent, now| {
        agent.ring(now, session, Status::RINGING, None).unwrap();
        agent.answer(now, session, ANSWER.into()).unwrap();
    });
    let ringing = response(&mut world, bob, 180);
    response(&mut world, bob, 200);
    let late = prack(&mut line, &ringing, None);
    world.say(bob, agent, late);
    assert_eq!(response(&mut world, bob, 200).headers.cseq().unwrap().method, Method::Prack);
}

#[test]
fn the_next_waits_for_the_prack_of_the_one_before() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, session) = rings(&mut world, alice, bob, Name::Require, Some(OFFER));
    world.with(alice, |agent, now| {
        agent.ring(now, session, Status::RINGING, None).unwrap();
        agent.ring(now, session, Status::SESSION_PROGRESS, None).unwrap();
    });
    let first = response(&mut world, bob, 180);
    world.run(Duration::from_millis(100));
    assert_eq!(world.count(agent, "183 INVITE"), 0);
    world.say(bob, agent, prack(&mut line, &first, None));
    response(&mut world, bob, 200);
    let second = response(&mut world, bob, 183);
    assert_eq!(second.headers.rseq(), first.headers.rseq().map(|rseq| rseq + 1));
}

/// The INVITE had no offer: the first reliable response has to carry ours (RFC 3261 section 13.2.1).
#[test]
fn our_offer_goes_with_the_first_reliable_response() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, session) = rings(&mut world, alice, bob, Name::Require, None);
    world.with(alice, |agent, now| agent.ring(now, session, Status::RINGING, Some(OFFER.into())).unwrap());
    let ringing = response(&mut world, bob, 180);
    assert_eq!(ringing.body.as_ref(), OFFER.as_bytes());
    world.say(bob, agent, prack(&mut line, &ringing, Some(ANSWER)));
    response(&mut world, bob, 200);
    let answer = world.wait(alice, |event| match event {
        Event::Acknowledged { answer, .. } => Some(answer.clone()),
        _ => None,
    });
    assert_eq!(answer.as_deref(), Some(ANSWER.as_bytes()));
    world.with(alice, |agent, now| agent.answer(now, session, OFFER.into()).unwrap());
    assert!(response(&mut world, bob, 200).body.is_empty());
    // Not reliable, no offer: that waits for the 200.
    let (mut world, alice, bob) = alice_and_bob();
    let (_, _, session) = crate::peer::ringing(&mut world, alice, bob, None);
    world.with(alice, |agent, now| agent.ring(now, session, Status::RINGING, Some(OFFER.into())).unwrap());
    assert!(response(&mut world, bob, 180).body.is_empty());
    world.with(alice, |agent, now| agent.answer(now, session, OFFER.into()).unwrap());
    assert_eq!(response(&mut world, bob, 200).body.as_ref(), OFFER.as_bytes());
}

#[test]
fn an_offer_in_the_prack_is_answered_in_its_200() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, session) = rings(&mut world, alice, bob, Name::Supported, Some(OFFER));
    world.with(alice, |agent, now| {
        agent.ring(now, session, Status::SESSION_PROGRESS, Some(ANSWER.into())).unwrap();
    });
    let early = response(&mut world, bob, 183);
    world.say(bob, agent, prack(&mut line, &early, Some(OFFER)));
    world.wait(alice, |event| matches!(event, Event::Reoffer { offer: Some(_), .. }).then_some(()));
    world.with(alice, |agent, now| agent.accept_reoffer(now, session, ANSWER.into()).unwrap());
    let accepted = response(&mut world, bob, 200);
    assert_eq!(accepted.headers.cseq().unwrap().method, Method::Prack);
    assert_eq!(accepted.body.as_ref(), ANSWER.as_bytes());
}

/// RFC 6337 section 2.2: the answer to an offer in a PRACK goes before the 200 of the INVITE.
#[test]
fn the_answer_of_the_call_waits_for_that_to_an_offer_in_a_prack() {
    for refused in [false, true] {
        let (mut world, alice, bob) = alice_and_bob();
        let agent = world.address(alice);
        let (mut line, session) = rings(&mut world, alice, bob, Name::Supported, Some(OFFER));
        world.with(alice, |agent, now| {
            agent.ring(now, session, Status::SESSION_PROGRESS, Some(ANSWER.into())).unwrap();
            agent.answer(now, session, ANSWER.into()).unwrap();
        });
        let early = response(&mut world, bob, 183);
        world.say(bob, agent, prack(&mut line, &early, Some(OFFER)));
        world.wait(alice, |event| matches!(event, Event::Reoffer { offer: Some(_), .. }).then_some(()));
        world.run(Duration::from_millis(300));
        assert_eq!(world.count(agent, "200 INVITE"), 0);
        world.with(alice, |agent, now| match refused {
            false => agent.accept_reoffer(now, session, ANSWER.into()).unwrap(),
            true => agent.refuse_reoffer(now, session, Status::NOT_ACCEPTABLE_HERE, Vec::new()).unwrap(),
        });
        let replies = [world.receive(bob), world.receive(bob)].map(|message| match message {
            Message::Response(response) => (response.status.code(), response.headers.cseq().unwrap().method),
            Message::Request(request) => panic!("{request:?}"),
        });
        let code = if refused { 488 } else { 200 };
        assert_eq!(replies, [(code, Method::Prack), (200, Method::Invite)]);
    }
}

/// As caller with an account that wants a say: its PRACK carries a new offer, or none.
#[test]
fn our_prack_carries_an_offer_where_the_account_wants_a_say() {
    for (reply, accepted) in [(Some(ANSWER), true), (None, false)] {
        let (mut world, alice, bob) = alice_and_bob();
        let agent = world.address(alice);
        let account = Account { prack_offers: true, ..Account::new(uri("sip:alice@192.0.2.1")) };
        let id = world.with(alice, |agent, _| agent.add_account(account));
        let wanted = InviteRequest { account: Some(id), target: uri("sip:bob@192.0.2.2"), from: None, headers: vec![] };
        let session = world.with(alice, |agent, now| agent.invite(now, wanted).unwrap());
        offer(&mut world, alice, session, Some(OFFER));
        let invite = request(&mut world, bob, &Method::Invite);
        world.say(bob, agent, reliable(&invite, 183, 1, bob, Some(ANSWER)));
        let fork = world.wait(alice, |event| match event {
            Event::Progress { wants_prack: true, fork, .. } => Some(fork.clone()),
            _ => None,
        });
        assert_eq!(world.count(agent, "PRACK"), 0, "it waits for the program");
        world.with(alice, |agent, now| agent.prack(now, session, &fork, Some(OFFER.into())).unwrap());
        let sent = request(&mut world, bob, &Method::Prack);
        assert_eq!(sent.body.as_ref(), OFFER.as_bytes());
        let again = world.with(alice, |agent, now| agent.prack(now, session, &fork, None));
        assert!(again.is_err(), "once");
        let answered = match reply {
            Some(sdp) => sent.response(Status::OK).with_body("application/sdp", sdp),
            None => sent.response(Status::OK),
        };
        world.say(bob, agent, answered);
        let taken = world.wait(alice, |event| match event {
            Event::OfferAccepted { body: Some(_), .. } => Some(true),
            Event::OfferRefused { .. } => Some(false),
            _ => None,
        });
        assert_eq!(taken, accepted);
        // A response without a description is acknowledged at once.
        world.say(bob, agent, reliable(&invite, 180, 2, bob, None));
        assert!(request(&mut world, bob, &Method::Prack).body.is_empty());
        world.say(bob, agent, answer(&invite, 200, "b1", bob, None));
        world.wait(alice, |event| matches!(event, Event::Answered { .. }).then_some(()));
    }
}

#[test]
fn the_policy_of_the_account_decides() {
    for policy in [Reliable::Off, Reliable::Supported, Reliable::Required] {
        let (mut world, alice, bob) = alice_and_bob();
        let agent = world.address(alice);
        let account = Account { reliable: policy, ..Account::new(uri("sip:alice@192.0.2.1")) };
        let id = world.with(alice, |agent, _| agent.add_account(account));
        let invite =
            InviteRequest { account: Some(id), target: uri("sip:bob@192.0.2.2"), from: None, headers: Vec::new() };
        let session = world.with(alice, |agent, now| agent.invite(now, invite).unwrap());
        offer(&mut world, alice, session, Some(OFFER));
        let invite = request(&mut world, bob, &Method::Invite);
        let told = [Name::Supported, Name::Require].map(|name| invite.headers.has_tag(&name, "100rel"));
        assert_eq!(told, [policy == Reliable::Supported, policy == Reliable::Required]);
        // Nobody said that we could: what needs it is taken as if it did not.
        world.say(bob, agent, reliable(&invite, 180, 1, bob, None));
        world.run(Duration::from_millis(50));
        assert_eq!(world.count(agent, "PRACK"), usize::from(policy != Reliable::Off));
        world.inbox(bob);

        let mut line = Line::calling(agent, bob);
        line.target = "sip:alice@192.0.2.1".into();
        let mut theirs = line.again(Method::Invite, Some(OFFER));
        theirs.headers.push(Name::Require, "100rel");
        world.say(bob, agent, theirs);
        match policy {
            Reliable::Off => {
                assert_eq!(response(&mut world, bob, 420).headers.get(&Name::Unsupported), Some("100rel"));
            }
            _ => drop(incoming(&mut world, alice)),
        }
    }
}
