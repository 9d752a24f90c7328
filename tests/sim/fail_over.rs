//! Servers that fail, in virtual time: who is tried next, for how long the first one waits, and when it is used again.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use sidetone::sip::agent::{AccountId, EndedBy, Event, InviteRequest};
use sidetone::sip::header::Name;
use sidetone::sip::hop::{Hop, Transport};
use sidetone::sip::message::{Message, Method, Request, Status};
use sidetone::sip::registration::State;
use sidetone::time::Duration;

use crate::peer::{ANSWER, OFFER, account, alice_and_bob, answer, ended, offer, request, to, uri};
use crate::world::{Node, World};

fn three_servers() -> (World, Node, AccountId, [SocketAddr; 3]) {
    let (mut world, alice, _) = alice_and_bob();
    let servers = [11, 12, 13].map(|last| world.peer(&format!("192.0.2.{last}:5060")));
    world.names.insert("example.net".into(), servers.to_vec());
    let one = world.with(alice, |agent, _| agent.add_account(account("sip:alice@example.net", "secret")));
    (world, alice, one, servers)
}

fn call(world: &mut World, alice: Node, one: AccountId) {
    let invite = InviteRequest { account: Some(one), ..to("sip:bob@example.net") };
    let session = world.with(alice, |agent, now| agent.invite(now, invite).unwrap());
    offer(world, alice, session, Some(OFFER));
}

fn refuse(world: &mut World, alice: Node, server: SocketAddr) {
    let agent = world.address(alice);
    let sent = request(world, server, &Method::Invite);
    world.say(server, agent, answer(&sent, 486, "x", server, None));
    request(world, server, &Method::Ack);
    assert_eq!(ended(world, alice).1, Some(486));
}

fn bind(world: &mut World, alice: Node, server: SocketAddr, register: &Request, expires: u32) {
    let mut response = register.response(Status::OK).with_to_tag("r");
    let contact = register.headers.contacts().unwrap().remove(0);
    response.headers.push(Name::Contact, format!("<{}>;expires={expires}", contact.uri));
    let agent = world.address(alice);
    world.say(server, agent, response);
    while !matches!(world.wait(alice, registration), State::Registered { .. }) {}
}

fn registration(event: &Event) -> Option<State> {
    match event {
        Event::Registration { state, .. } => Some(state.clone()),
        _ => None,
    }
}

/// The account's limit, not timer B; and the next call does not wait for the silent server again, until its penalty ends.
#[test]
fn a_silent_server_is_left_after_the_limit_of_the_account_and_comes_last_for_a_minute() {
    let (mut world, alice, one, servers) = three_servers();
    let begin = world.now;
    call(&mut world, alice, one);
    refuse(&mut world, alice, servers[1]);
    assert!((4_000..4_200).contains(&world.now.since(begin).as_millis()), "{:?}", world.now.since(begin));
    call(&mut world, alice, one);
    refuse(&mut world, alice, servers[1]);
    let calls: BTreeSet<String> = world.inbox(servers[0]).iter().filter_map(call_id).collect();
    assert_eq!(calls.len(), 1, "the second call spares it");
    world.run(Duration::from_secs(60));
    world.inbox(servers[0]);
    call(&mut world, alice, one);
    refuse(&mut world, alice, servers[0]);
    world.assert_forgotten();
}

fn call_id(message: &Message) -> Option<String> {
    match message {
        Message::Request(request) => request.headers.call_id().map(Into::into),
        Message::Response(_) => None,
    }
}

/// The server that was left answers after all: it is told to stop, and nobody is called twice.
#[test]
fn a_server_that_wakes_up_late_is_cancelled_or_hung_up() {
    let (mut world, alice, one, servers) = three_servers();
    let agent = world.address(alice);
    call(&mut world, alice, one);
    let first = request(&mut world, servers[0], &Method::Invite);
    let second = request(&mut world, servers[1], &Method::Invite);
    assert_eq!(second.headers.call_id(), first.headers.call_id());
    world.say(servers[1], agent, answer(&second, 180, "new", servers[1], None));
    // It rings there: CANCEL.
    world.inbox(servers[0]);
    world.say(servers[0], agent, answer(&first, 180, "old", servers[0], None));
    let cancel = request(&mut world, servers[0], &Method::Cancel);
    assert_eq!(cancel.headers.top_via().unwrap().branch(), first.headers.top_via().unwrap().branch());
    // The 2xx crossed the CANCEL: ACK and one BYE, however often it comes.
    for _ in 0..2 {
        world.say(servers[0], agent, answer(&first, 200, "old", servers[0], Some(ANSWER)));
        world.run(Duration::from_millis(100));
    }
    let seen: Vec<Request> = world
        .inbox(servers[0])
        .into_iter()
        .filter_map(|message| match message {
            Message::Request(request) if request.headers.to().unwrap().tag() == Some("old") => Some(request),
            _ => None,
        })
        .collect();
    let methods: Vec<&Method> = seen.iter().map(|request| &request.method).collect();
    assert_eq!(methods, [&Method::Ack, &Method::Bye, &Method::Ack]);
    world.say(servers[0], agent, seen[1].response(Status::OK));
    world.say(servers[1], agent, answer(&second, 200, "new", servers[1], Some(ANSWER)));
    let fork = world.wait(alice, |event| match event {
        Event::Answered { fork, .. } => Some(fork.clone()),
        Event::Ended { .. } => panic!("the call that goes on has ended"),
        _ => None,
    });
    assert_eq!(fork, "new");
    request(&mut world, servers[1], &Method::Ack);
    assert_eq!(world.places[alice.0].agent.sizes().sessions, 1);
}

#[test]
fn a_503_says_how_long_its_server_is_spared() {
    let (mut world, alice, one, servers) = three_servers();
    let agent = world.address(alice);
    call(&mut world, alice, one);
    let first = request(&mut world, servers[0], &Method::Invite);
    let mut busy = first.response(Status::SERVICE_UNAVAILABLE).with_to_tag("s");
    busy.headers.push(Name::RetryAfter, "7");
    world.say(servers[0], agent, busy);
    request(&mut world, servers[0], &Method::Ack);
    refuse(&mut world, alice, servers[1]);
    call(&mut world, alice, one);
    refuse(&mut world, alice, servers[1]);
    world.run(Duration::from_secs(7));
    call(&mut world, alice, one);
    refuse(&mut world, alice, servers[0]);
}

/// The last server has all the time that the RFC gives it.
#[test]
fn with_nowhere_else_to_go_timer_b_counts() {
    let (mut world, alice, one, servers) = three_servers();
    world.names.insert("example.net".into(), vec![servers[0]]);
    let begin = world.now;
    call(&mut world, alice, one);
    assert_eq!(ended(&mut world, alice).0, EndedBy::Timeout);
    assert_eq!(world.now.since(begin).as_secs(), 32);
}

/// A registration goes elsewhere within the limit, stays there, and goes home when the penalty of its first server is over.
#[test]
fn a_registration_fails_over_sticks_and_fails_back() {
    let (mut world, alice, one, servers) = three_servers();
    let begin = world.now;
    world.with(alice, |agent, now| agent.register(now, one).unwrap());
    let register = request(&mut world, servers[1], &Method::Register);
    assert!((4_000..4_200).contains(&world.now.since(begin).as_millis()));
    bind(&mut world, alice, servers[1], &register, 40);
    // Calls go where the registration is.
    call(&mut world, alice, one);
    refuse(&mut world, alice, servers[1]);
    // The first refresh comes while the penalty lasts.
    let register = refresh(&mut world, servers[1]);
    assert!(world.now.since(begin).as_secs() < 60);
    world.inbox(servers[0]);
    bind(&mut world, alice, servers[1], &register, 60);
    let register = refresh(&mut world, servers[0]);
    assert!(world.now.since(begin).as_secs() >= 60);
    bind(&mut world, alice, servers[0], &register, 60);
    // At home it stays, whatever order the name server gives from now on.
    world.names.insert("example.net".into(), vec![servers[2], servers[0], servers[1]]);
    let register = refresh(&mut world, servers[0]);
    bind(&mut world, alice, servers[0], &register, 60);
    // Unless the DNS no longer names it.
    world.names.insert("example.net".into(), vec![servers[2]]);
    let register = refresh(&mut world, servers[2]);
    bind(&mut world, alice, servers[2], &register, 60);
    // A name server that fails is no reason to leave.
    world.names.clear();
    refresh(&mut world, servers[2]);
}

/// The next REGISTER there, whatever else arrives.
fn refresh(world: &mut World, server: SocketAddr) -> Request {
    loop {
        if let Some(wire) = world.inboxes.get_mut(&server).unwrap().pop_front() {
            if let Ok(Message::Request(request)) = sidetone::sip::wire::parse_datagram(&wire.bytes)
                && request.method == Method::Register
            {
                return request;
            }
        } else {
            assert!(world.step());
        }
    }
}

/// Each of several proxies stands in the Route of what goes to it, and a Service-Route goes behind it.
#[test]
fn proxies_are_tried_in_order_and_each_stands_in_its_own_route() {
    let (mut world, alice, registrar) = alice_and_bob();
    let agent = world.address(alice);
    let proxies = [21, 22].map(|last| world.peer(&format!("192.0.2.{last}:5060")));
    world.names.insert("p1.example.net".into(), vec![proxies[0]]);
    world.names.insert("p2.example.net".into(), vec![proxies[1]]);
    world.names.insert("example.net".into(), vec![registrar]);
    let mut one = account("sip:alice@example.net", "secret");
    one.outbound_proxies = vec![uri("sip:p1.example.net"), uri("sip:gone.invalid"), uri("sip:p2.example.net")];
    one.routes = vec![uri("sip:core.example.net")];
    let one = world.with(alice, |agent, now| {
        let one = agent.add_account(one);
        agent.register(now, one).unwrap();
        one
    });
    let routes = |request: &Request| request.headers.all(&Name::Route).map(str::to_owned).collect::<Vec<_>>();
    let register = request(&mut world, proxies[0], &Method::Register);
    assert_eq!(routes(&register), ["<sip:p1.example.net;lr>", "<sip:core.example.net;lr>"]);
    let hop = Hop { transport: Transport::Udp, local: agent, remote: proxies[0] };
    world.with(alice, |agent, now| agent.handle_transport_error(now, hop));
    let register = request(&mut world, proxies[1], &Method::Register);
    assert_eq!(routes(&register), ["<sip:p2.example.net;lr>", "<sip:core.example.net;lr>"]);
    let mut response = register.response(Status::OK).with_to_tag("r");
    response
        .headers
        .push(Name::Contact, "<sip:alice@192.0.2.1:5060>;expires=600;pub-gruu=\"sip:alice@example.net;gr=1\"");
    response.headers.push(Name::ServiceRoute, "<sip:p2.example.net;lr>, <sip:edge.example.net;lr>");
    world.say(proxies[1], agent, response);
    while !matches!(world.wait(alice, registration), State::Registered { .. }) {}
    call(&mut world, alice, one);
    let invite = request(&mut world, proxies[1], &Method::Invite);
    let route = routes(&invite).join(",");
    assert!(route.starts_with("<sip:p2.example.net;lr>,<sip:core.example.net;lr>"), "{route}");
    assert!(route.ends_with("<sip:edge.example.net;lr>"), "{route}");
    assert_eq!(invite.headers.get(&Name::Contact), Some("<sip:alice@192.0.2.1:5060>"));
}

/// Another address of ours: the registration is renewed at once, whatever waits, and an established call is told to move.
#[test]
fn a_changed_network_renews_registrations_and_moves_calls() {
    let (mut world, alice, registrar) = alice_and_bob();
    world.names.insert("example.net".into(), vec![registrar]);
    let (one, two) = world.with(alice, |agent, now| {
        let one = agent.add_account(account("sip:alice@example.net", "secret"));
        let two = agent.add_account(account("sip:other@nowhere.invalid", "secret"));
        agent.register(now, one).unwrap();
        (one, two)
    });
    let register = request(&mut world, registrar, &Method::Register);
    bind(&mut world, alice, registrar, &register, 3600);
    world.with(alice, |agent, now| agent.register(now, two).unwrap());
    while !matches!(world.wait(alice, registration), State::Failed { .. }) {}
    call(&mut world, alice, one);
    let agent = world.address(alice);
    let invite = request(&mut world, registrar, &Method::Invite);
    world.say(registrar, agent, answer(&invite, 200, "b1", registrar, Some(ANSWER)));
    request(&mut world, registrar, &Method::Ack);
    let peers = world.with(alice, |agent, _| agent.peers());
    assert_eq!(peers.into_iter().collect::<Vec<_>>(), [(registrar.ip(), agent.ip())]);

    // No way: nothing is sent in vain.
    world.with(alice, |agent, now| agent.handle_route(now, registrar.ip(), None));
    world.run(Duration::from_millis(100));
    assert!(world.inbox(registrar).is_empty());

    let moved: SocketAddr = "192.0.2.99:5060".parse().unwrap();
    world.places[alice.0].address = moved;
    world.names.insert("nowhere.invalid".into(), vec![registrar]);
    world.with(alice, |agent, now| agent.handle_route(now, registrar.ip(), Some(moved.ip())));
    let told = world.wait(alice, |event| match event {
        Event::Moved { local, .. } => Some(*local),
        _ => None,
    });
    assert_eq!(told, moved.ip());
    let sent: Vec<Request> = [&Method::Register; 2].map(|method| request(&mut world, registrar, method)).into();
    let contacts = |request: &Request| request.headers.all(&Name::Contact).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        contacts(&sent[0]),
        ["<sip:alice@192.0.2.99:5060>;expires=3600", "<sip:alice@192.0.2.1:5060>;expires=0"],
        "the binding that leads nowhere is removed"
    );
    assert_eq!(contacts(&sent[1]), ["<sip:other@192.0.2.99:5060>;expires=3600"], "no waiting for the back-off");
}
