//! What an agent refuses or answers by itself (RFC 3261 sections 8.2 and 11).

use std::net::SocketAddr;

use sidetone::sip::agent::{Event, Unclaimed};
use sidetone::sip::header::Name;
use sidetone::sip::hop::{Hop, Transport};
use sidetone::sip::message::{Message, Method, Request, Response};
use sidetone::sip::wire::{Limits, Stream};
use sidetone::time::Duration;

use crate::peer::established;
use crate::peer::{ALLOWED, ANSWER, Line, OFFER, account, alice_and_bob, config, response, uri};
use crate::world::{Node, World};

/// Sends what `change` makes of a request of Bob's to an agent with this configuration.
#[track_caller]
fn answer_to(method: Method, change: impl FnOnce(&mut Request)) -> Response {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let mut request = Line::calling(agent, bob).again(method, None);
    change(&mut request);
    world.say(bob, agent, request);
    world.run(Duration::from_millis(50));
    assert!(world.events(alice).is_empty());
    match world.inbox(bob).as_slice() {
        [Message::Response(response)] => response.clone(),
        other => panic!("one response was expected, not {other:#?}"),
    }
}

fn all<'a>(response: &'a Response, name: &'a Name) -> Vec<&'a str> {
    response.headers.all(name).collect()
}

#[test]
fn methods_that_are_not_served() {
    for method in [Method::Register, Method::Subscribe] {
        let refused = answer_to(method, |_| {});
        assert_eq!(refused.status.code(), 405);
        assert_eq!(all(&refused, &Name::Allow), ALLOWED);
        assert!(refused.headers.to().unwrap().tag().is_some());
        assert_eq!(refused.headers.get(&Name::Server), Some("sidetone-test"));
    }
    // Served within a session only.
    assert_eq!(answer_to(Method::Info, |_| {}).status.code(), 481);
    let refused = answer_to(Method::Other("invite".into()), |_| {});
    assert_eq!((refused.status.code(), all(&refused, &Name::Allow).len()), (501, ALLOWED.len()));
}

#[test]
fn extensions_schemes_and_bodies_that_are_not_understood() {
    let refused = answer_to(Method::Invite, |invite| {
        invite.headers.push(Name::Require, "precondition");
        invite.headers.push(Name::Require, "newthing");
        invite.headers.push(Name::ProxyRequire, "not-for-us");
    });
    assert_eq!(refused.status.code(), 420);
    assert_eq!(all(&refused, &Name::Unsupported), ["precondition", "newthing"]);

    let refused = answer_to(Method::Options, |options| options.uri = uri("soap.beep://192.0.2.103:3002"));
    assert_eq!(refused.status.code(), 416);

    let refused = answer_to(Method::Invite, |invite| {
        *invite = invite.clone().with_body("application/unknownformat", "<audio>");
    });
    assert_eq!((refused.status.code(), all(&refused, &Name::Accept)), (415, vec!["application/sdp"]));
    let refused = answer_to(Method::Invite, |invite| {
        *invite = invite.clone().with_body("application/sdp", OFFER);
        invite.headers.push(Name::ContentEncoding, "gzip");
    });
    assert_eq!((refused.status.code(), all(&refused, &Name::AcceptEncoding)), (415, vec!["identity"]));

    let refused = answer_to(Method::Invite, |invite| {
        invite.headers.remove(&Name::Contact);
    });
    assert_eq!((refused.status.code(), refused.reason.as_str()), (400, "the message has no Contact"));
}

#[test]
fn options_tell_what_an_invite_could_use() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    world.with(alice, |agent, _| agent.set_capabilities(Some(ANSWER.into())));
    let mut line = Line::calling(agent, bob);
    world.say(bob, agent, line.again(Method::Options, None));
    let outside = response(&mut world, bob, 200);
    let mut line = established(&mut world, alice, bob);
    world.say(bob, agent, line.next(Method::Options, None));
    let inside = response(&mut world, bob, 200);
    for told in [outside, inside] {
        assert_eq!(all(&told, &Name::Allow), ALLOWED);
        assert_eq!((all(&told, &Name::Accept), told.body.as_ref()), (vec!["application/sdp"], ANSWER.as_bytes()));
        assert_eq!(told.headers.get(&Name::ContentType), Some("application/sdp"));
        assert_eq!(all(&told, &Name::Supported), ["100rel", "timer", "replaces", "norefersub"]);
        assert_eq!(all(&told, &Name::Contact), ["<sip:alice@192.0.2.1:5060>"]);
    }
}

/// RFC 3261 section 8.2.2.2: a request that a proxy forked to us twice is served once by each account that it is for.
#[test]
fn a_forked_invite_rings_once_for_each_of_two_accounts_with_one_address() {
    let mut world = World::new(6);
    let alice = world.agent("192.0.2.1:5060", config());
    let agent = world.address(alice);
    let proxies = ["192.0.2.2:5060", "192.0.2.3:5060"].map(|address| world.peer(address));
    let ids = proxies.map(|proxy| {
        let mut one = account("sip:alice@example.com", "secret");
        one.sources = vec![proxy.ip().to_string().parse().unwrap()];
        world.with(alice, |agent, _| agent.add_account(one))
    });
    let mut line = Line::calling(agent, proxies[0]);
    line.target = "sip:alice@example.com".into();
    for (proxy, id) in proxies.into_iter().zip(ids) {
        line.at = proxy;
        world.say(proxy, agent, line.again(Method::Invite, Some(OFFER)));
        let account = world.wait(alice, |event| match event {
            Event::Incoming { invitation, .. } => Some(invitation.account),
            _ => None,
        });
        assert_eq!(account, Some(id));
    }
    for proxy in proxies {
        line.at = proxy;
        world.say(proxy, agent, line.again(Method::Invite, Some(OFFER)));
        response(&mut world, proxy, 482);
    }
}

/// An agent with two accounts on one user name, which takes nothing that is for neither.
fn two_accounts() -> (World, Node, SocketAddr) {
    let mut world = World::new(5);
    let mut config = config();
    config.unclaimed = Unclaimed::NotFound;
    let alice = world.agent("192.0.2.1:5060", config);
    world.with(alice, |agent, _| {
        agent.add_account(account("sip:alice@one.example", "1"));
        agent.add_account(account("sip:alice@two.example", "2"));
    });
    let bob = world.peer("192.0.2.2:5060");
    (world, alice, bob)
}

#[test]
fn the_request_uri_says_which_account_is_called() {
    for (target, to, expected) in [
        ("sip:alice@one.example", "sip:x@y", Some(0)),
        ("sip:alice@TWO.example", "sip:x@y", Some(1)),
        ("sip:alice@192.0.2.1:5060", "sip:x@y", Some(0)),
        ("sip:alice-1@192.0.2.1:5060", "sip:x@y", Some(1)),
        ("sip:+4930@192.0.2.1", "sip:alice@two.example", Some(1)),
        ("sip:carol@one.example", "sip:x@y", None),
    ] {
        let (mut world, alice, bob) = two_accounts();
        let agent = world.address(alice);
        let mut line = Line::calling(agent, bob);
        (line.target, line.to) = (target.into(), format!("<{to}>"));
        world.say(bob, agent, line.again(Method::Invite, Some(OFFER)));
        world.run(Duration::from_millis(20));
        let account = world.events(alice).iter().find_map(|event| match event {
            Event::Incoming { invitation, .. } => Some(invitation.account.unwrap().0),
            _ => None,
        });
        assert_eq!(account, expected, "{target} {to}");
        if expected.is_none() {
            response(&mut world, bob, 404);
            world.say(bob, agent, line.next(Method::Options, None));
            response(&mut world, bob, 404);
        }
    }
}

#[test]
fn malformed_requests_get_a_stateless_answer() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let bad = "OPTIONS sip:alice@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKx\r\n\
               From: <sip:b@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n";
    world.say_bytes(bob, agent, bad.into());
    let refused = response(&mut world, bob, 400);
    assert_eq!(refused.headers.top_via().unwrap().branch(), Some("z9hG4bKx"));
    world.say_bytes(bob, agent, bad.replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia").into());
    response(&mut world, bob, 505);
    for nothing in ["\r\n\r\n", "x", "ACK sip:a@h SIP/2.0\r\n\r\n", &bad.replace("OPTIONS", "ACK")] {
        world.say_bytes(bob, agent, nothing.into());
    }
    world.run(Duration::from_millis(20));
    assert!(world.inbox(bob).is_empty());
    // Only that somebody sent something is remembered, for a moment.
    let sizes = world.places[alice.0].agent.sizes();
    assert_eq!(sidetone::sip::agent::Sizes { strangers: 0, ..sizes }, Default::default());
    world.assert_forgotten();
}

#[test]
fn sessions_are_bounded() {
    let mut world = World::new(5);
    let mut config = config();
    config.limits.sessions = 3;
    let alice = world.agent("192.0.2.1:5060", config);
    let bob = world.peer("192.0.2.2:5060");
    let agent = world.address(alice);
    for call in 0..5 {
        let mut line = Line::calling(agent, bob);
        line.call_id = format!("call-{call}");
        line.branch = call * 10;
        world.say(bob, agent, line.again(Method::Invite, Some(OFFER)));
    }
    let refused = response(&mut world, bob, 503);
    assert!(refused.headers.retry_after().is_some());
    world.run(Duration::from_millis(20));
    assert_eq!(world.count(agent, "503 INVITE"), 2);
    let more = world.with(alice, |agent, now| agent.invite(now, crate::peer::to("sip:bob@192.0.2.2")));
    assert!(more.is_err());
    world.assert_forgotten();
}

#[test]
fn what_cannot_be_called_is_refused_at_once() {
    let (mut world, alice, _) = alice_and_bob();
    for target in ["tel:+4930", "sips:bob@192.0.2.2;transport=udp", "sip:bob@192.0.2.2;transport=ws"] {
        let refused = world.with(alice, |agent, now| agent.invite(now, crate::peer::to(target)));
        assert!(refused.unwrap_err().to_string().contains(target));
    }
    let session =
        world.with(alice, |agent, now| agent.invite(now, crate::peer::to("sip:bob@nowhere.invalid")).unwrap());
    let (by, status, reason) = crate::peer::ended(&mut world, alice);
    assert_eq!((by, status), (sidetone::sip::agent::EndedBy::Transport, None));
    assert!(reason.contains("nowhere.invalid"), "{reason}");
    assert!(world.with(alice, |agent, now| agent.hangup(now, session, None)).is_err());
    world.assert_forgotten();
}

/// A stream: pings are answered, a message is taken, and what is malformed refused.
#[test]
fn streams_carry_the_same() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let source = Hop { transport: Transport::Tcp, local: agent, remote: bob };
    let mut line = Line::calling(agent, bob);
    let mut stream = Stream::new(Limits::default());
    stream.push(b"\r\n\r\n");
    stream.push(&line.again(Method::Options, None).to_bytes());
    for item in stream {
        world.with(alice, |agent, now| agent.handle_stream_item(now, source, item));
    }
    world.run(Duration::from_millis(20));
    let inbox = world.inboxes.get(&bob).unwrap();
    let octets: Vec<_> = inbox.iter().map(|wire| (wire.transport, &wire.bytes[..7.min(wire.bytes.len())])).collect();
    assert_eq!(octets, [(Transport::Tcp, b"\r\n".as_slice()), (Transport::Tcp, b"SIP/2.0".as_slice())]);
}
