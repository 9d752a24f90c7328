//! Outside of calls: texts (RFC 3428), watched peers, mailboxes (RFC 3842, RFC 6665).

use std::net::SocketAddr;

use sidetone::sip::agent::{AccountId, Event, News, PeerState, Refused};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Method, Request, Response, Status};
use sidetone::sip::subscription::State;
use sidetone::time::{Duration, Instant};

use crate::peer::{account, config, request, response, uri};
use crate::world::{Node, World};

const HOUR: Duration = Duration::from_secs(3_600);

/// Alice with an account at a scripted server.
fn alice_and_server() -> (World, Node, SocketAddr) {
    let mut world = World::new(31);
    let alice = world.agent("192.0.2.1:5060", config());
    let server = world.peer("192.0.2.2:5060");
    world.with(alice, |agent, _| agent.add_account(account("sip:alice@192.0.2.2", "secret")));
    (world, alice, server)
}

#[track_caller]
fn news(world: &mut World, node: Node) -> News {
    world.wait(node, |event| match event {
        Event::Outside { news, .. } => Some((**news).clone()),
        _ => None,
    })
}

fn challenge(request: &Request) -> Response {
    let mut response = request.response(Status::PROXY_AUTHENTICATION_REQUIRED).with_to_tag("c");
    response.headers.push(Name::ProxyAuthenticate, "Digest realm=\"r\", nonce=\"n\", algorithm=MD5, qop=\"auth\"");
    response
}

#[test]
fn a_text_answers_its_challenge_and_is_told_as_sent() {
    let (mut world, alice, server) = alice_and_server();
    let address = world.address(alice);
    let id =
        world.with(alice, |agent, now| agent.message(now, AccountId(0), &uri("sip:bob@192.0.2.2"), "hällo")).unwrap();
    let first = request(&mut world, server, &Method::Message);
    assert_eq!(first.body, "hällo".as_bytes());
    assert_eq!(first.headers.content_type().as_deref(), Some("text/plain"));
    assert!(!first.headers.contains(&Name::Contact), "RFC 3428 section 4: no Contact");
    world.say(server, address, challenge(&first));
    let second = request(&mut world, server, &Method::Message);
    assert_eq!(second.headers.get(&Name::CSeq), Some("2 MESSAGE"));
    assert!(second.headers.contains(&Name::ProxyAuthorization));
    world.say(server, address, second.response(Status::ACCEPTED).with_to_tag("x"));
    assert_eq!(news(&mut world, alice), News::MessageSent { id, status: Status::ACCEPTED });
    world.assert_forgotten();
}

#[test]
fn a_text_that_is_refused_or_not_answered_is_told_as_failed() {
    let (mut world, alice, server) = alice_and_server();
    let address = world.address(alice);
    let bob = uri("sip:bob@192.0.2.2");
    let id = world.with(alice, |agent, now| agent.message(now, AccountId(0), &bob, "one")).unwrap();
    let sent = request(&mut world, server, &Method::Message);
    world.say(server, address, sent.response(Status::NOT_FOUND).with_to_tag("x"));
    let failed = News::MessageFailed { id, status: Some(Status::NOT_FOUND), reason: "Not Found".into() };
    assert_eq!(news(&mut world, alice), failed);
    let start = world.now;
    let id = world.with(alice, |agent, now| agent.message(now, AccountId(0), &bob, "two")).unwrap();
    match news(&mut world, alice) {
        News::MessageFailed { id: which, status: None, .. } => assert_eq!(which, id),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.now.since(start), Duration::from_secs(32), "timer F");
    let long = "x".repeat(1_200);
    let refused = world.with(alice, |agent, now| agent.message(now, AccountId(0), &bob, &long));
    assert!(matches!(refused, Err(Refused::MessageTooLong(1_200, _))), "{refused:?}");
    world.assert_forgotten();
}

fn text(to: SocketAddr, content_type: &str, branch: u32) -> Request {
    let mut text = Request::new(Method::Message, uri(&format!("sip:alice@{to}")));
    for (name, value) in [
        (Name::Via, format!("SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKtext{branch};rport")),
        (Name::MaxForwards, "70".into()),
        (Name::From, "Bob <sip:bob@192.0.2.2>;tag=b".into()),
        (Name::To, "<sip:alice@192.0.2.2>".into()),
        (Name::CallId, format!("text{branch}")),
        (Name::CSeq, "1 MESSAGE".into()),
    ] {
        text.headers.push(name, value);
    }
    text.with_body(content_type, "hello")
}

#[test]
fn a_text_that_comes_is_told_once_and_other_media_are_refused() {
    let (mut world, alice, server) = alice_and_server();
    let address = world.address(alice);
    let hello = text(address, "text/plain;charset=utf-8", 1);
    world.say(server, address, hello.clone());
    let ok = response(&mut world, server, 200);
    assert!(ok.body.is_empty() && !ok.headers.contains(&Name::Contact));
    match news(&mut world, alice) {
        News::Message { from, text, content_type, .. } => {
            assert_eq!((from.as_str(), text.as_str()), ("sip:bob@192.0.2.2", "hello"));
            assert_eq!(content_type, "text/plain");
        }
        other => panic!("{other:?}"),
    }
    world.say(server, address, hello);
    response(&mut world, server, 200);
    world.say(server, address, text(address, "application/im-iscomposing+xml", 2));
    let refused = response(&mut world, server, 415);
    assert!(refused.headers.get(&Name::Accept).unwrap().contains("text/plain"));
    world.run(Duration::from_secs(1));
    assert!(world.events(alice).is_empty(), "repetitions and other media are not told");
    world.assert_forgotten();
}

#[test]
fn a_watched_peer_is_told_when_it_goes_and_comes_back() {
    let (mut world, alice, server) = alice_and_server();
    let address = world.address(alice);
    world.with(alice, |agent, now| agent.watch(now, AccountId(0), None, Duration::from_secs(60))).unwrap();
    let ping = request(&mut world, server, &Method::Options);
    assert_eq!(ping.uri.to_string(), "sip:192.0.2.2");
    let asked = world.now;
    // Any answer is a sign of life.
    world.say(server, address, ping.response(Status::NOT_FOUND).with_to_tag("x"));
    match news(&mut world, alice) {
        News::Peer { state: PeerState::Reachable { round_trip, status }, .. } => {
            assert_eq!((round_trip, status), (Duration::from_millis(20), Status::NOT_FOUND));
        }
        other => panic!("{other:?}"),
    }
    // The next one, a minute after the answer, is not answered: silence of 32 s, then it is gone.
    let unanswered = request(&mut world, server, &Method::Options);
    assert_eq!(world.now.since(asked), Duration::from_millis(60_020));
    match news(&mut world, alice) {
        News::Peer { state: PeerState::Unreachable { .. }, .. } => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(world.now.since(asked), Duration::from_millis(92_010));
    world.inbox(server);
    loop {
        let ping = request(&mut world, server, &Method::Options);
        if ping.headers.call_id() != unanswered.headers.call_id() {
            world.say(server, address, ping.response(Status::OK).with_to_tag("x"));
            break;
        }
    }
    assert!(matches!(news(&mut world, alice), News::Peer { state: PeerState::Reachable { .. }, .. }));
    world.with(alice, |agent, _| agent.watch_nobody());
    world.assert_forgotten();
}

fn notify(subscribe: &Request, cseq: u32, state: &str, body: &'static str) -> Request {
    let headers = &subscribe.headers;
    let mut notify = Request::new(Method::Notify, headers.contacts().unwrap().remove(0).uri);
    for (name, value) in [
        (Name::Via, format!("SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKmwi{cseq};rport")),
        (Name::MaxForwards, "70".into()),
        (Name::From, format!("{};tag=mailbox", headers.get(&Name::To).unwrap().split(";tag").next().unwrap())),
        (Name::To, headers.get(&Name::From).unwrap().into()),
        (Name::CallId, headers.call_id().unwrap().into()),
        (Name::CSeq, format!("{cseq} NOTIFY")),
        (Name::Contact, "<sip:mailbox@192.0.2.2:5060>".into()),
        (Name::Event, "message-summary".into()),
        (Name::SubscriptionState, state.into()),
    ] {
        notify.headers.push(name, value);
    }
    notify.with_body("application/simple-message-summary", body)
}

fn accepted(subscribe: &Request, expires: u32) -> Response {
    let mut response = subscribe.response(Status::OK).with_to_tag("mailbox");
    response.headers.push(Name::Contact, "<sip:mailbox@192.0.2.2:5060>");
    response.headers.push(Name::Expires, expires.to_string());
    response
}

#[test]
fn a_mailbox_is_subscribed_to_refreshed_and_left() {
    let (mut world, alice, server) = alice_and_server();
    let address = world.address(alice);
    world.with(alice, |agent, now| agent.subscribe(now, AccountId(0), HOUR)).unwrap();
    let first = request(&mut world, server, &Method::Subscribe);
    world.say(server, address, challenge(&first));
    let subscribe = request(&mut world, server, &Method::Subscribe);
    assert_eq!(subscribe.headers.get(&Name::Event), Some("message-summary"));
    // RFC 6665 section 4.1.2.4: the NOTIFY may overtake the 200.
    world.say(
        server,
        address,
        notify(&subscribe, 1, "active;expires=600", "Messages-Waiting: yes\r\nVoice-Message: 1/0\r\n"),
    );
    response(&mut world, server, 200);
    match news(&mut world, alice) {
        News::Waiting(summary) => assert_eq!(summary.voice().unwrap().new, 1),
        other => panic!("{other:?}"),
    }
    world.say(server, address, accepted(&subscribe, 600));
    let granted = Duration::from_secs(600);
    assert_eq!(news(&mut world, alice), News::Subscription(State::Active { granted }));
    let since = world.now;
    let refresh = request(&mut world, server, &Method::Subscribe);
    assert_eq!(world.now.since(since), Duration::from_millis(480_010));
    assert_eq!(refresh.uri.to_string(), "sip:mailbox@192.0.2.2:5060");
    assert_eq!(refresh.headers.to().unwrap().tag(), Some("mailbox"));
    assert_eq!(refresh.headers.get(&Name::CSeq), Some("3 SUBSCRIBE"), "the challenge took number 2");
    world.say(server, address, accepted(&refresh, 600));
    world.run(Duration::from_secs(1));
    // Forgotten: anew, in a new dialog; the end is ours.
    world.say(server, address, notify(&subscribe, 2, "terminated;reason=deactivated", ""));
    response(&mut world, server, 200);
    let again = request(&mut world, server, &Method::Subscribe);
    assert_ne!(again.headers.call_id(), subscribe.headers.call_id());
    world.say(server, address, accepted(&again, 600));
    world.run(Duration::from_secs(1));
    world.with(alice, |agent, now| agent.unsubscribe(now, AccountId(0)));
    let last = request(&mut world, server, &Method::Subscribe);
    assert_eq!(last.headers.get(&Name::Expires), Some("0"));
    world.say(server, address, accepted(&last, 0));
    world.assert_forgotten();
}

#[test]
fn a_notifier_that_knows_no_mailboxes_is_not_asked_again() {
    let (mut world, alice, server) = alice_and_server();
    let address = world.address(alice);
    world.with(alice, |agent, now| agent.subscribe(now, AccountId(0), HOUR)).unwrap();
    let subscribe = request(&mut world, server, &Method::Subscribe);
    world.say(server, address, subscribe.response(Status::BAD_EVENT).with_to_tag("x"));
    let ended = News::Subscription(State::Ended { reason: "489 Bad Event".into() });
    assert_eq!(news(&mut world, alice), ended);
    world.assert_forgotten();
}

#[test]
fn unasked_notifies_are_taken_from_the_accounts_own_server_only() {
    let (mut world, alice, server) = alice_and_server();
    let address = world.address(alice);
    let stranger = world.peer("192.0.2.66:5060");
    let unasked = |event: &str, branch: u32| {
        let mut asked = Request::new(Method::Subscribe, uri("sip:alice@192.0.2.2"));
        for (name, value) in [
            (Name::From, "<sip:alice@192.0.2.2>".to_owned()),
            (Name::To, "<sip:alice@192.0.2.2>".to_owned()),
            (Name::CallId, format!("unasked{branch}")),
            (Name::Contact, format!("<sip:alice@{address}>")),
        ] {
            asked.headers.push(name, value);
        }
        let mut notify = notify(&asked, branch, "active", "Messages-Waiting: no\r\n");
        notify.headers.set(Name::Event, event);
        notify
    };
    // Registered, so that the server is known as the account's.
    world.with(alice, |agent, now| agent.register(now, AccountId(0))).unwrap();
    let register = request(&mut world, server, &Method::Register);
    let mut ok = register.response(Status::OK).with_to_tag("x");
    ok.headers.push(Name::Contact, format!("{};expires=600", register.headers.get(&Name::Contact).unwrap()));
    world.say(server, address, ok);
    world.run(Duration::from_secs(1));
    world.events(alice);
    world.say(server, address, unasked("message-summary", 1));
    response(&mut world, server, 200);
    assert!(matches!(news(&mut world, alice), News::Waiting(summary) if !summary.waiting));
    world.say(server, address, unasked("presence", 2));
    let refused = response(&mut world, server, 489);
    assert_eq!(refused.headers.get(&Name::AllowEvents), Some("message-summary"));
    let mut forged = unasked("message-summary", 3);
    forged.headers.set(Name::Via, "SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bKforged;rport");
    world.say(stranger, address, forged);
    response(&mut world, stranger, 481);
    world.run(Duration::from_secs(1));
    assert!(!world.events(alice).iter().any(|event| matches!(event, Event::Outside { .. })));
    assert!(world.now > Instant::ZERO);
}
