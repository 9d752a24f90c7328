//! Session timers (RFC 4028): asked for, granted, raised, refreshed by either side, run out.

use sidetone::sip::agent::SessionId;
use sidetone::sip::agent::{Account, AccountId, EndedBy, Event, InviteRequest, SessionTimerMode, SessionTimers};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Method, Request, Status};
use sidetone::time::Duration;
use std::net::SocketAddr;

use crate::peer::{ANSWER, Line, OFFER, alice_and_bob, answer, ended, incoming, offer, request, response, uri};
use crate::world::{Node, World};

fn account(world: &mut World, alice: Node, mode: SessionTimerMode, expires: u64, least: u64) -> AccountId {
    let session_timers =
        SessionTimers { mode, expires: Duration::from_secs(expires), least: Duration::from_secs(least) };
    let account = Account { session_timers, ..Account::new(uri("sip:alice@192.0.2.1")) };
    world.with(alice, |agent, _| agent.add_account(account))
}

/// Alice calls; the INVITE.
#[track_caller]
fn calls(world: &mut World, alice: Node, bob: SocketAddr, id: AccountId) -> (SessionId, Request) {
    let invite = InviteRequest { account: Some(id), target: uri("sip:bob@192.0.2.2"), from: None, headers: Vec::new() };
    let session = world.with(alice, |agent, now| agent.invite(now, invite).unwrap());
    offer(world, alice, session, Some(OFFER));
    (session, request(world, bob, &Method::Invite))
}

/// Alice called and Bob granted this; his line.
#[track_caller]
fn granted(world: &mut World, alice: Node, bob: SocketAddr, grant: &str, allow: &str) -> (Line, SessionId) {
    let id = account(world, alice, SessionTimerMode::Ask, 1800, 90);
    let (session, invite) = calls(world, alice, bob, id);
    assert_eq!(invite.headers.get(&Name::SessionExpires), Some("1800"));
    assert!(invite.headers.has_tag(&Name::Supported, "timer"));
    let mut accepted = answer(&invite, 200, "b1", bob, Some(ANSWER));
    accepted.headers.push(Name::SessionExpires, grant);
    accepted.headers.push(Name::Require, "timer");
    accepted.headers.push(Name::Allow, allow);
    let agent = world.address(alice);
    world.say(bob, agent, accepted.clone());
    request(world, bob, &Method::Ack);
    world.wait(alice, |event| matches!(event, Event::Answered { .. }).then_some(()));
    (Line::called(&invite, &accepted, bob), session)
}

#[test]
fn we_refresh_by_update_at_half_the_interval() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    granted(&mut world, alice, bob, "200;refresher=uac", "INVITE, UPDATE");
    let mut start = world.now;
    for _ in 0..3 {
        let update = request(&mut world, bob, &Method::Update);
        // The 2xx and the UPDATE each took 10 ms.
        assert_eq!(world.now.since(start), Duration::from_millis(if start == world.now { 0 } else { 100_000 }));
        assert!(update.body.is_empty());
        assert_eq!(update.headers.get(&Name::SessionExpires), Some("200;refresher=uac"));
        let mut accepted = update.response(Status::OK);
        accepted.headers.push(Name::SessionExpires, "200;refresher=uac");
        world.say(bob, agent, accepted);
        world.run(Duration::from_millis(10));
        start = world.now - Duration::ZERO;
        start += Duration::from_millis(10);
    }
    assert!(world.events(alice).is_empty(), "nothing for the user");
}

#[test]
fn a_far_end_without_update_is_refreshed_by_reinvite_with_the_same_description() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    granted(&mut world, alice, bob, "200;refresher=uac", "INVITE, ACK, BYE");
    let reinvite = request(&mut world, bob, &Method::Invite);
    assert_eq!(reinvite.body.as_ref(), OFFER.as_bytes(), "the same o= version");
    let mut accepted = reinvite.response(Status::OK).with_body("application/sdp", ANSWER);
    accepted.headers.push(Name::SessionExpires, "200;refresher=uac");
    world.say(bob, agent, accepted);
    request(&mut world, bob, &Method::Ack);
    // An UPDATE that is not known after all.
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    granted(&mut world, alice, bob, "200;refresher=uac", "INVITE, UPDATE");
    let update = request(&mut world, bob, &Method::Update);
    world.say(bob, agent, update.response(Status::NOT_IMPLEMENTED));
    request(&mut world, bob, &Method::Invite);
}

/// RFC 4028 section 10: 32 s before the end, or a third of the interval if that is less.
#[test]
fn a_session_that_nobody_refreshes_gets_its_bye_in_time() {
    for (grant, after) in [("600;refresher=uas", 568_u64), ("90;refresher=uas", 60)] {
        let (mut world, alice, bob) = alice_and_bob();
        granted(&mut world, alice, bob, grant, "UPDATE");
        let start = world.now;
        let (by, _, why) = ended(&mut world, alice);
        // The answer was told when the ACK was sent, 10 ms before Bob had it.
        let passed = world.now.since(start) + Duration::from_millis(10);
        assert_eq!((by, passed), (EndedBy::Timeout, Duration::from_secs(after)), "{why}");
        request(&mut world, bob, &Method::Bye);
    }
}

#[test]
fn a_refresh_of_the_far_end_keeps_the_session() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let (mut line, _) = granted(&mut world, alice, bob, "90;refresher=uas", "UPDATE");
    for _ in 0..5 {
        world.run(Duration::from_secs(45));
        let mut update = line.next(Method::Update, None);
        update.headers.push(Name::Supported, "timer");
        update.headers.push(Name::SessionExpires, "90;refresher=uac");
        world.say(bob, agent, update);
        let accepted = response(&mut world, bob, 200);
        assert_eq!(accepted.headers.get(&Name::SessionExpires), Some("90;refresher=uac"));
        assert!(accepted.headers.has_tag(&Name::Require, "timer"));
    }
    assert!(world.events(alice).is_empty());
    assert_eq!(ended(&mut world, alice).0, EndedBy::Timeout);
}

/// RFC 4028 sections 7.3 and 7.4: a 422 names what it takes; refused for good when it asks twice for the same.
#[test]
fn a_422_raises_what_we_ask_for() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let id = account(&mut world, alice, SessionTimerMode::Ask, 120, 90);
    let (_, invite) = calls(&mut world, alice, bob, id);
    assert_eq!(invite.headers.get(&Name::SessionExpires), Some("120"));
    let mut small = answer(&invite, 422, "b0", bob, None);
    small.headers.push(Name::MinSe, "400");
    world.say(bob, agent, small);
    request(&mut world, bob, &Method::Ack);
    let again = request(&mut world, bob, &Method::Invite);
    assert_eq!(again.headers.get(&Name::SessionExpires), Some("400"));
    assert_eq!(again.headers.get(&Name::MinSe), Some("400"));
    assert_eq!(again.headers.cseq().unwrap().number, invite.headers.cseq().unwrap().number + 1);
    assert_eq!(again.headers.call_id(), invite.headers.call_id());
    let mut stubborn = answer(&again, 422, "b0", bob, None);
    stubborn.headers.push(Name::MinSe, "400");
    world.say(bob, agent, stubborn);
    assert_eq!(ended(&mut world, alice).1, Some(422));
}

/// RFC 4028 section 9 and its table 2.
#[test]
fn what_the_callee_grants() {
    // Session-Expires, Min-SE and Supported of the INVITE; what stands in the 200.
    let rows: [(&str, &str, &str, Option<&str>, bool); 6] = [
        ("1800;refresher=uac", "", "timer", Some("1800;refresher=uac"), true),
        ("1800;refresher=uas", "", "timer", Some("1800;refresher=uas"), true),
        ("1800", "", "timer", Some("1800;refresher=uac"), true),
        ("7200", "3600", "timer", Some("3600;refresher=uac"), true),
        ("1800", "", "", Some("1800;refresher=uas"), false),
        ("", "", "timer", None, false),
    ];
    for (expires, least, supported, granted, require) in rows {
        let (mut world, alice, bob) = alice_and_bob();
        let agent = world.address(alice);
        account(&mut world, alice, SessionTimerMode::Answer, 1800, 90);
        let mut line = Line::calling(agent, bob);
        line.target = "sip:alice@192.0.2.1".into();
        let mut invite = line.again(Method::Invite, Some(OFFER));
        for (name, value) in [(Name::SessionExpires, expires), (Name::MinSe, least), (Name::Supported, supported)] {
            if !value.is_empty() {
                invite.headers.push(name, value);
            }
        }
        world.say(bob, agent, invite);
        let session = incoming(&mut world, alice);
        world.with(alice, |agent, now| agent.answer(now, session, ANSWER.into()).unwrap());
        let accepted = response(&mut world, bob, 200);
        assert_eq!(accepted.headers.get(&Name::SessionExpires), granted, "{expires} {least} {supported}");
        assert_eq!(accepted.headers.has_tag(&Name::Require, "timer"), require);
    }
}

#[test]
fn an_interval_below_ours_gets_422() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    account(&mut world, alice, SessionTimerMode::Answer, 1800, 600);
    let mut line = Line::calling(agent, bob);
    line.target = "sip:alice@192.0.2.1".into();
    let mut invite = line.again(Method::Invite, Some(OFFER));
    invite.headers.push(Name::SessionExpires, "300");
    let mut able = invite.clone();
    able.headers.push(Name::Supported, "timer");
    world.say(bob, agent, able);
    assert_eq!(response(&mut world, bob, 422).headers.get(&Name::MinSe), Some("600"));
    // Who does not know timers cannot do anything about what a proxy put in.
    line.call_id = "another".into();
    let mut unable = line.next(Method::Invite, Some(OFFER));
    unable.headers.push(Name::SessionExpires, "300");
    world.say(bob, agent, unable);
    incoming(&mut world, alice);
}

/// RFC 4028 section 10 with RFC 3261 section 12.2.1.2: a refresh that finds no dialog, or nobody.
#[test]
fn a_refresh_that_finds_nothing_ends_the_session() {
    for status in [Some(481), Some(408), None] {
        let (mut world, alice, bob) = alice_and_bob();
        let agent = world.address(alice);
        granted(&mut world, alice, bob, "600;refresher=uac", "UPDATE");
        let update = request(&mut world, bob, &Method::Update);
        if let Some(status) = status {
            world.say(bob, agent, update.response(Status(status)));
        }
        let by = ended(&mut world, alice).0;
        assert_eq!(by, if status.is_some() { EndedBy::Remote } else { EndedBy::Timeout });
    }
}

/// A refresh that the far end cannot take now comes again, and does not move the end of the session.
#[test]
fn a_refused_refresh_is_tried_again_until_the_end() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    granted(&mut world, alice, bob, "90;refresher=uac", "UPDATE");
    let start = world.now;
    let mut attempts = 0;
    loop {
        match world.receive(bob) {
            sidetone::sip::message::Message::Request(request) if request.method == Method::Update => {
                attempts += 1;
                world.say(bob, agent, request.response(Status::SERVER_INTERNAL_ERROR));
            }
            sidetone::sip::message::Message::Request(request) if request.method == Method::Bye => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(attempts >= 2, "{attempts}");
    assert_eq!(world.now.since(start).as_secs(), 60);
}

#[test]
fn without_timers_nothing_is_asked_granted_or_required() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let id = account(&mut world, alice, SessionTimerMode::Off, 1800, 90);
    let (_, invite) = calls(&mut world, alice, bob, id);
    assert!(!invite.headers.has_tag(&Name::Supported, "timer") && !invite.headers.contains(&Name::SessionExpires));
    let mut line = Line::calling(agent, bob);
    line.target = "sip:alice@192.0.2.1".into();
    let mut theirs = line.again(Method::Invite, Some(OFFER));
    theirs.headers.push(Name::Require, "timer");
    world.say(bob, agent, theirs);
    assert_eq!(response(&mut world, bob, 420).headers.get(&Name::Unsupported), Some("timer"));
}
