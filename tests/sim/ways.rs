//! The way of requests: proxies, several servers, registrations, address translators.

use std::net::SocketAddr;

use sidetone::sip::agent::{AccountId, EndedBy, Event, InviteRequest};
use sidetone::sip::header::Name;
use sidetone::sip::hop::{Hop, Transport};
use sidetone::sip::keepalive::PING;
use sidetone::sip::message::{Method, Request, Response, Status};
use sidetone::sip::registration::State;
use sidetone::time::Duration;

use crate::peer::{ANSWER, OFFER, account, alice_and_bob, answer, config, ended, offer, request, response, to, uri};
use crate::world::{Node, World};

fn invite(account: AccountId, target: &str) -> InviteRequest {
    InviteRequest { account: Some(account), ..to(target) }
}

#[test]
fn the_outbound_proxy_is_preloaded() {
    let (mut world, alice, bob) = alice_and_bob();
    let proxy = world.peer("192.0.2.11:5080");
    world.names.insert("proxy.example.net".into(), vec![proxy]);
    let agent = world.address(alice);
    let mut one = account("sip:alice@example.net", "secret");
    one.outbound_proxies = vec![uri("sip:proxy.example.net:5080")];
    one.display = Some("Alice A.".into());
    let one = world.with(alice, |agent, _| agent.add_account(one));
    let session = world.with(alice, |agent, now| agent.invite(now, invite(one, "sip:bob@192.0.2.2")).unwrap());
    offer(&mut world, alice, session, Some(OFFER));
    let sent = request(&mut world, proxy, &Method::Invite);
    assert_eq!(sent.uri.to_string(), "sip:bob@192.0.2.2");
    assert_eq!(sent.headers.all(&Name::Route).collect::<Vec<_>>(), ["<sip:proxy.example.net:5080;lr>"]);
    assert_eq!(sent.headers.from().unwrap().display.as_deref(), Some("Alice A."));
    assert_eq!(sent.headers.from().unwrap().uri, uri("sip:alice@example.net"));
    // The proxy does not record its route: the dialog goes without it.
    world.say(proxy, agent, answer(&sent, 200, "b1", bob, Some(ANSWER)));
    let ack = request(&mut world, bob, &Method::Ack);
    assert!(!ack.headers.contains(&Name::Route));
}

#[test]
fn the_number_shown_and_extra_headers_are_the_callers() {
    let (mut world, alice, bob) = alice_and_bob();
    let one = world.with(alice, |agent, _| agent.add_account(account("sip:alice@example.net", "secret")));
    let mut call = invite(one, "sip:bob@192.0.2.2");
    call.from = Some("\"Desk\" <sip:+4930@example.net>;tag=forged".parse().unwrap());
    for (name, value) in [("X-Campaign", "7"), ("Via", "SIP/2.0/UDP forged"), ("Call-ID", "forged")] {
        call.headers.push(sidetone::sip::header::Header { name: name.into(), value: value.into() });
    }
    let session = world.with(alice, |agent, now| agent.invite(now, call).unwrap());
    offer(&mut world, alice, session, Some(OFFER));
    let sent = request(&mut world, bob, &Method::Invite);
    let from = sent.headers.from().unwrap();
    assert_eq!((from.display.as_deref(), &from.uri), (Some("Desk"), &uri("sip:+4930@example.net")));
    assert_ne!(from.tag(), Some("forged"));
    assert_eq!(sent.headers.get(&"X-Campaign".into()), Some("7"));
    assert_eq!((sent.headers.all(&Name::Via).count(), sent.headers.all(&Name::CallId).count()), (1, 1));
    assert_eq!(sent.headers.get(&Name::Contact), Some("<sip:alice@192.0.2.1:5060>"));
}

fn three_servers() -> (World, Node, [SocketAddr; 3]) {
    let (mut world, alice, _) = alice_and_bob();
    let servers = [11, 12, 13].map(|last| world.peer(&format!("192.0.2.{last}:5060")));
    world.names.insert("example.net".into(), servers.to_vec());
    (world, alice, servers)
}

/// RFC 3263 section 4.3: 503, a broken transport and a time-out go on to the next server.
#[test]
fn an_invite_fails_over_to_the_next_server() {
    let (mut world, alice, servers) = three_servers();
    let agent = world.address(alice);
    let session = world.with(alice, |agent, now| agent.invite(now, to("sip:bob@example.net")).unwrap());
    offer(&mut world, alice, session, Some(OFFER));
    let first = request(&mut world, servers[0], &Method::Invite);
    world.say(servers[0], agent, first.response(Status::SERVICE_UNAVAILABLE).with_to_tag("s"));
    let second = request(&mut world, servers[1], &Method::Invite);
    let hop = Hop { transport: Transport::Udp, local: agent, remote: servers[1] };
    world.with(alice, |agent, now| agent.handle_transport_error(now, hop));
    let third = request(&mut world, servers[2], &Method::Invite);
    for again in [&second, &third] {
        assert_eq!(again.headers.get(&Name::CSeq), first.headers.get(&Name::CSeq));
        assert_eq!(again.headers.get(&Name::CallId), first.headers.get(&Name::CallId));
        assert_ne!(again.headers.top_via(), first.headers.top_via());
    }
    world.say(servers[2], agent, third.response(Status::SERVICE_UNAVAILABLE).with_to_tag("s"));
    assert_eq!(ended(&mut world, alice), (EndedBy::Remote, Some(503), "Service Unavailable".into()));
    world.assert_forgotten();
}

#[test]
fn a_silent_server_is_left_after_timer_b_unless_the_call_was_given_up() {
    let (mut world, alice, servers) = three_servers();
    let agent = world.address(alice);
    let session = world.with(alice, |agent, now| agent.invite(now, to("sip:bob@example.net")).unwrap());
    offer(&mut world, alice, session, Some(OFFER));
    let start = world.now;
    let second = request(&mut world, servers[1], &Method::Invite);
    assert_eq!(world.now.since(start), Duration::from_millis(32_010));
    world.say(servers[1], agent, second.response(Status::TRYING));
    world.run(Duration::from_millis(20));
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    assert_eq!(ended(&mut world, alice), (EndedBy::Local, Some(487), "cancelled".into()));
    assert!(world.inbox(servers[2]).is_empty());
    world.assert_forgotten();
}

#[test]
fn wrong_credentials_end_the_call_with_the_challenge() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    for (password, expected) in [(Some("secret"), 2), (None, 1)] {
        let mut one = account("sip:alice@example.net", "");
        one.password = password.map(Into::into);
        // The far end is no server of the account.
        one.realms = sidetone::sip::agent::Realms::Called;
        let one = world.with(alice, |agent, _| agent.add_account(one));
        let session = world.with(alice, |agent, now| agent.invite(now, invite(one, "sip:bob@192.0.2.2")).unwrap());
        offer(&mut world, alice, session, Some(OFFER));
        for nonce in 0..expected {
            let sent = request(&mut world, bob, &Method::Invite);
            let mut challenge = sent.response(Status::PROXY_AUTHENTICATION_REQUIRED).with_to_tag("p");
            challenge
                .headers
                .push(Name::ProxyAuthenticate, format!("Digest realm=\"p\", nonce=\"{nonce}\", qop=\"auth\""));
            world.say(bob, agent, challenge);
            request(&mut world, bob, &Method::Ack);
        }
        assert_eq!(ended(&mut world, alice).1, Some(407));
    }
    world.assert_forgotten();
}

/// The 200 of a registrar that sees us at another address than we do.
fn registered(register: &Request, seen: &str, expires: u32) -> Response {
    let mut via = register.headers.top_via().unwrap();
    let seen: SocketAddr = seen.parse().unwrap();
    via.params.set("received", &seen.ip().to_string());
    via.params.set("rport", &seen.port().to_string());
    let mut response = register.response(Status::OK).with_to_tag("r");
    response.headers.set(Name::Via, via.to_string());
    for contact in register.headers.contacts().unwrap() {
        if contact.expires() != Some(0) {
            response.headers.push(Name::Contact, format!("<{}>;expires={expires}", contact.uri));
        }
    }
    response
}

fn registration(event: &Event) -> Option<State> {
    match event {
        Event::Registration { state, .. } => Some(state.clone()),
        _ => None,
    }
}

#[test]
fn a_registration_lives_and_its_address_goes_into_calls() {
    let (mut world, alice, registrar) = alice_and_bob();
    world.names.insert("example.net".into(), vec![registrar]);
    let agent = world.address(alice);
    let one = world.with(alice, |agent, now| {
        let one = agent.add_account(account("sip:alice@example.net", "secret"));
        agent.register(now, one).unwrap();
        one
    });
    assert_eq!(world.wait(alice, registration), State::Registering);
    let first = request(&mut world, registrar, &Method::Register);
    assert_eq!(first.uri.to_string(), "sip:example.net");
    let mut challenge = first.response(Status::UNAUTHORIZED).with_to_tag("r");
    challenge.headers.push(Name::WwwAuthenticate, "Digest realm=\"example.net\", nonce=\"1\", qop=\"auth\"");
    world.say(registrar, agent, challenge);
    let second = request(&mut world, registrar, &Method::Register);
    assert_eq!(second.headers.call_id(), first.headers.call_id());
    assert_eq!(second.headers.cseq().unwrap().number, first.headers.cseq().unwrap().number + 1);
    assert!(second.headers.contains(&Name::Authorization));
    // A translator is in between: the contact that was bound leads nowhere, and is bound anew.
    world.say(registrar, agent, registered(&second, "203.0.113.7:40000", 120));
    let third = request(&mut world, registrar, &Method::Register);
    let contacts: Vec<_> = third.headers.contacts().unwrap().iter().map(|contact| contact.uri.to_string()).collect();
    assert_eq!(contacts[0], "sip:alice@203.0.113.7:40000");
    world.say(registrar, agent, registered(&third, "203.0.113.7:40000", 120));
    let State::Registered { contact, granted, .. } = world.wait(alice, registration) else { panic!("not registered") };
    assert_eq!((contact.to_string().as_str(), granted), ("sip:alice@203.0.113.7:40000", Duration::from_secs(120)));
    let registered_at = world.now;

    let session = world.with(alice, |agent, now| agent.invite(now, invite(one, "sip:bob@example.net")).unwrap());
    offer(&mut world, alice, session, Some(OFFER));
    let call = request(&mut world, registrar, &Method::Invite);
    assert_eq!(call.headers.get(&Name::Contact), Some("<sip:alice@203.0.113.7:40000>"));
    world.say(registrar, agent, answer(&call, 486, "b1", registrar, None));
    request(&mut world, registrar, &Method::Ack);
    assert_eq!(ended(&mut world, alice).1, Some(486));

    // A call for a number that nobody knows comes from the registrar: it is for the account.
    let mut line = crate::peer::Line::calling(agent, registrar);
    line.target = "sip:+4930123@203.0.113.7:40000".into();
    world.say(registrar, agent, line.again(Method::Invite, Some(OFFER)));
    let claimed = world.wait(alice, |event| match event {
        Event::Incoming { session, invitation } => Some((*session, invitation.account)),
        _ => None,
    });
    assert_eq!(claimed.1, Some(one));
    world.with(alice, |agent, now| agent.ring(now, claimed.0, Status::RINGING, None).unwrap());
    let rings = response(&mut world, registrar, 180);
    assert_eq!(rings.headers.get(&Name::Contact), Some("<sip:alice@203.0.113.7:40000>"));
    world.with(alice, |agent, now| agent.reject(now, claimed.0, Status::BUSY_HERE, None, Vec::new()).unwrap());

    // Refreshed in time, and the flow is kept open meanwhile.
    let refresh = loop {
        let wire = loop {
            match world.inboxes.get_mut(&registrar).unwrap().pop_front() {
                Some(wire) => break wire,
                None => assert!(world.step()),
            }
        };
        let sent = sidetone::sip::wire::parse_datagram(&wire.bytes);
        if let Ok(sidetone::sip::message::Message::Request(request)) = sent
            && request.method == Method::Register
        {
            break request;
        }
    };
    let after = world.now.since(registered_at).as_secs();
    assert!((60..120).contains(&after), "{after}");
    let pings = world.trace.iter().filter(|wire| wire.bytes == PING).count();
    assert!((1..6).contains(&pings), "{pings}");
    world.say(registrar, agent, registered(&refresh, "203.0.113.7:40000", 120));
    world.run(Duration::from_secs(1));
    world.with(alice, |agent, now| agent.unregister(now, one).unwrap());
    let last = request(&mut world, registrar, &Method::Register);
    assert_eq!(last.headers.get(&Name::Expires), Some("0"));
    world.say(registrar, agent, registered(&last, "203.0.113.7:40000", 0));
    while world.wait(alice, registration) != State::Unregistered {}
    world.assert_forgotten();
}

#[test]
fn a_registrar_that_fails_is_left_for_the_next_and_the_reason_is_told() {
    let (mut world, alice, servers) = three_servers();
    let agent = world.address(alice);
    let one = world.with(alice, |agent, now| {
        let one = agent.add_account(account("sip:alice@example.net", "secret"));
        agent.register(now, one).unwrap();
        one
    });
    let first = request(&mut world, servers[0], &Method::Register);
    world.say(servers[0], agent, first.response(Status::SERVICE_UNAVAILABLE).with_to_tag("r"));
    let second = request(&mut world, servers[1], &Method::Register);
    assert_eq!(second.headers.call_id(), first.headers.call_id());
    let hop = Hop { transport: Transport::Udp, local: agent, remote: servers[1] };
    world.with(alice, |agent, now| agent.handle_transport_error(now, hop));
    let third = request(&mut world, servers[2], &Method::Register);
    world.say(servers[2], agent, third.response(Status::FORBIDDEN).with_to_tag("r"));
    while !matches!(world.wait(alice, registration), State::Failed { .. }) {}
    let Some(State::Failed { failure, next, .. }) = world.with(alice, |agent, _| agent.registration(one)) else {
        panic!("it did not fail");
    };
    assert!(failure.to_string().contains("403"), "{failure}");
    assert!(next > world.now);
    world.with(alice, |agent, now| agent.unregister(now, one).unwrap());
    world.assert_forgotten();
}

#[test]
fn an_unknown_registrar_is_said_to_be() {
    let mut world = World::new(1);
    let alice = world.agent("192.0.2.1:5060", config());
    world.with(alice, |agent, now| {
        let one = agent.add_account(account("sip:alice@nowhere.invalid", "secret"));
        agent.register(now, one).unwrap();
        assert!(agent.register(now, AccountId(7)).is_err());
    });
    loop {
        if let State::Failed { failure, .. } = world.wait(alice, registration) {
            assert!(failure.to_string().contains("nowhere.invalid"), "{failure}");
            break;
        }
    }
}

/// A broken connection: the registration behind it is renewed at once, by a new one.
#[test]
fn a_broken_flow_registers_anew() {
    let (mut world, alice, registrar) = alice_and_bob();
    let agent = world.address(alice);
    let moved = world.peer("192.0.2.3:5060");
    world.names.insert("example.net".into(), vec![registrar]);
    let mut one = account("sip:alice@example.net", "secret");
    one.transport = Some(Transport::Tcp);
    world.with(alice, |agent, now| {
        let one = agent.add_account(one);
        agent.register(now, one).unwrap();
    });
    let hop = Hop { transport: Transport::Tcp, local: agent, remote: registrar };
    let first = request(&mut world, registrar, &Method::Register);
    assert_eq!(first.headers.contacts().unwrap()[0].uri.to_string(), "sip:alice@192.0.2.1:5060;transport=tcp");
    let bound = registered(&first, "192.0.2.1:5060", 600);
    world.with(alice, |agent, now| {
        let item = sidetone::sip::wire::StreamItem::Message(bound.into());
        agent.handle_stream_item(now, hop, Ok(item));
    });
    while !matches!(world.wait(alice, registration), State::Registered { .. }) {}
    world.run(Duration::from_secs(10));
    let started = world.now;
    // It is looked up anew: the server may be gone for good.
    world.names.insert("example.net".into(), vec![moved]);
    world.with(alice, |agent, now| agent.handle_transport_error(now, hop));
    let second = request(&mut world, moved, &Method::Register);
    assert!(world.now.since(started) < Duration::from_millis(20));
    assert_eq!(second.headers.call_id(), first.headers.call_id());
}

/// A trunk without registration: who answers for our account's domain may call any number of it.
#[test]
fn a_trunk_is_known_by_the_way_of_our_own_calls() {
    let mut world = World::new(3);
    let mut config = config();
    config.unclaimed = sidetone::sip::agent::Unclaimed::NotFound;
    let alice = world.agent("192.0.2.1:5060", config);
    let trunk = world.peer("192.0.2.2:5060");
    world.names.insert("trunk.example".into(), vec![trunk]);
    let agent = world.address(alice);
    let one = world.with(alice, |agent, _| agent.add_account(account("sip:user@trunk.example", "secret")));
    let mut line = crate::peer::Line::calling(agent, trunk);
    line.target = "sip:+49301@192.0.2.1".into();
    world.say(trunk, agent, line.again(Method::Invite, Some(OFFER)));
    response(&mut world, trunk, 404);
    let session = world.with(alice, |agent, now| agent.invite(now, invite(one, "sip:+1555@trunk.example")).unwrap());
    offer(&mut world, alice, session, Some(OFFER));
    let sent = request(&mut world, trunk, &Method::Invite);
    let mut challenge = sent.response(Status::PROXY_AUTHENTICATION_REQUIRED).with_to_tag("p");
    challenge.headers.push(Name::ProxyAuthenticate, "Digest realm=\"p\", nonce=\"1\", qop=\"auth\"");
    world.say(trunk, agent, challenge);
    request(&mut world, trunk, &Method::Ack);
    let sent = request(&mut world, trunk, &Method::Invite);
    world.say(trunk, agent, answer(&sent, 200, "t", trunk, Some(ANSWER)));
    request(&mut world, trunk, &Method::Ack);

    line.call_id = "another".into();
    world.say(trunk, agent, line.again(Method::Invite, Some(OFFER)));
    let account = world.wait(alice, |event| match event {
        Event::Incoming { invitation, .. } => Some(invitation.account),
        _ => None,
    });
    assert_eq!(account, Some(one));
    // What was proven once goes along at once, to those who asked; strangers see nothing of it.
    world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    assert!(request_among(&mut world, trunk, &Method::Bye).headers.contains(&Name::ProxyAuthorization));
    let stranger = world.peer("192.0.2.66:5060");
    let session = world.with(alice, |agent, now| agent.invite(now, invite(one, "sip:x@192.0.2.66")).unwrap());
    offer(&mut world, alice, session, Some(OFFER));
    assert!(!request(&mut world, stranger, &Method::Invite).headers.contains(&Name::ProxyAuthorization));
}

/// The next request of that method, whatever comes before it.
fn request_among(world: &mut World, peer: SocketAddr, method: &Method) -> Request {
    loop {
        if let sidetone::sip::message::Message::Request(request) = world.receive(peer)
            && request.method == *method
        {
            return request;
        }
    }
}

/// A dialog that came over TCP stays there when the Contact says nothing of transports.
#[test]
fn a_dialog_keeps_its_transport() {
    let (mut world, alice, bob) = alice_and_bob();
    let agent = world.address(alice);
    let session = world.with(alice, |agent, now| agent.invite(now, to("sip:bob@192.0.2.2;transport=tcp")).unwrap());
    offer(&mut world, alice, session, Some(OFFER));
    let sent = request(&mut world, bob, &Method::Invite);
    assert_eq!(sent.headers.get(&Name::Contact), Some("<sip:anonymous@192.0.2.1:5060;transport=tcp>"));
    assert_eq!(sent.headers.top_via().unwrap().transport, "TCP");
    let source = Hop { transport: Transport::Tcp, local: agent, remote: bob };
    let accepted = answer(&sent, 200, "b1", bob, Some(ANSWER));
    world.with(alice, |agent, now| {
        let item = sidetone::sip::wire::StreamItem::Message(accepted.into());
        agent.handle_stream_item(now, source, Ok(item));
    });
    assert_eq!(request(&mut world, bob, &Method::Ack).headers.top_via().unwrap().transport, "TCP");
}
