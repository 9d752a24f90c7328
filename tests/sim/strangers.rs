//! What a hostile network sends: it costs no state, is counted, and every table is empty when it is over.

use std::net::SocketAddr;

use sidetone::random::Random;
use sidetone::sip::agent::{AgentConfig, Event, Sizes};
use sidetone::sip::auth::{Attempts, Client, Credentials};
use sidetone::sip::guard::{Admission, Callers, Counters, Rate, Strangers};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Method, Request, Status};
use sidetone::time::Duration;

use crate::peer::{ANSWER, Line, OFFER, account, config, incoming, request, response};
use crate::world::{Node, Wire, World};

fn guarded(strangers: Strangers) -> AgentConfig {
    let mut config = config();
    config.guard.strangers = strangers;
    config
}

/// An agent that is registered at 192.0.2.9, and a stranger at 203.0.113.5.
fn registered(config: AgentConfig) -> (World, Node, SocketAddr, SocketAddr) {
    let mut world = World::new(11);
    let alice = world.agent("192.0.2.1:5060", config);
    let registrar = world.peer("192.0.2.9:5060");
    let stranger = world.peer("203.0.113.5:5060");
    world.names.insert("example.com".into(), vec![registrar]);
    world.with(alice, |agent, now| {
        let mut account = account("sip:alice@example.com", "secret");
        account.sources.push("198.51.100.0/24".parse().unwrap());
        let id = agent.add_account(account);
        agent.register(now, id).unwrap();
    });
    let register = request(&mut world, registrar, &Method::Register);
    let contact = register.headers.get(&Name::Contact).unwrap().to_owned();
    let mut granted = register.response(Status::OK).with_to_tag("r");
    granted.headers.push(Name::Contact, format!("{contact};expires=3600"));
    let agent = world.address(alice);
    world.say(registrar, agent, granted);
    // Until no repetition of the 200 can come any more.
    world.run(Duration::from_secs(10));
    world.events(alice);
    (world, alice, registrar, stranger)
}

fn counters(world: &mut World, alice: Node) -> Counters {
    world.with(alice, |agent, _| agent.counters())
}

fn sizes(world: &mut World, alice: Node) -> Sizes {
    world.with(alice, |agent, _| agent.sizes())
}

fn other(at: &str) -> SocketAddr {
    at.parse().unwrap()
}

#[test]
fn strangers_get_no_answer_and_make_no_state() {
    let (mut world, alice, registrar, stranger) = registered(guarded(Strangers::Ignore));
    let agent = world.address(alice);
    let before = sizes(&mut world, alice);
    let mut line = Line::calling(agent, stranger);
    line.target = "sip:alice@192.0.2.1:5060".into();
    let methods =
        [Method::Invite, Method::Options, Method::Register, Method::Subscribe, Method::Message, Method::Cancel];
    for method in methods {
        line.call_id.push('x');
        world.say(stranger, agent, line.again(method, Some(OFFER)));
    }
    // Into a dialog that is none.
    line.to = "<sip:alice@example.com>;tag=guess".into();
    for method in [Method::Bye, Method::Invite, Method::Info] {
        world.say(stranger, agent, line.next(method, None));
    }
    world.say_bytes(stranger, agent, b"INVITE sip:100@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP x\r\n\r\n".to_vec());
    world.say_bytes(stranger, agent, b"jaK\0\0nonsense".to_vec());
    world.run(Duration::from_secs(40));
    assert_eq!(world.inbox(stranger), []);
    assert!(world.events(alice).is_empty());
    assert_eq!(sizes(&mut world, alice), before);
    let counted = counters(&mut world, alice);
    assert_eq!((counted.ignored, counted.malformed, counted.admitted), (9, 2, 0));

    // The registrar, and a gateway of the account, are served.
    for (number, peer) in [registrar, world.peer("198.51.100.77:5080")].into_iter().enumerate() {
        let mut line = Line::calling(agent, peer);
        line.call_id = format!("call-{number}");
        world.say(peer, agent, line.again(Method::Invite, Some(OFFER)));
        let session = incoming(&mut world, alice);
        world.with(alice, |agent, now| agent.reject(now, session, Status::BUSY_HERE, None, Vec::new()).unwrap());
    }
    assert_eq!(counters(&mut world, alice).ignored, 9);
}

#[test]
fn who_is_in_a_dialog_is_no_stranger_there() {
    // A proxy that does not stay on the route: the far end's requests come from the far end itself.
    let (mut world, alice, registrar, stranger) = registered(guarded(Strangers::Ignore));
    let agent = world.address(alice);
    let mut line = Line::calling(agent, registrar);
    world.say(registrar, agent, line.again(Method::Invite, Some(OFFER)));
    let session = incoming(&mut world, alice);
    world.with(alice, |agent, now| agent.answer(now, session, ANSWER.into()).unwrap());
    line.confirm(&response(&mut world, registrar, 200));
    line.at = stranger;
    world.say(stranger, agent, line.again(Method::Ack, None));
    world.wait(alice, |event| matches!(event, Event::Confirmed { .. }).then_some(()));
    world.say(stranger, agent, line.next(Method::Bye, None));
    response(&mut world, stranger, 200);
    assert_eq!(counters(&mut world, alice).ignored, 0);
}

#[test]
fn scanners_are_dropped_even_where_anyone_may_call() {
    let (mut world, alice, _, stranger) = registered(guarded(Strangers::Admit));
    let agent = world.address(alice);
    let mut line = Line::calling(agent, stranger);
    for program in ["friendly-scanner", "sipcli/v1.8", "VaxSIPUserAgent/3.1"] {
        let mut options = line.next(Method::Options, None);
        options.headers.set(Name::UserAgent, program);
        world.say(stranger, agent, options);
    }
    world.run(Duration::from_secs(1));
    assert_eq!(world.inbox(stranger), []);
    assert_eq!(sizes(&mut world, alice).servers, 0);
    assert_eq!(counters(&mut world, alice).scanners, 3);
    // The same from a phone is answered.
    world.say(stranger, agent, line.next(Method::Options, None));
    response(&mut world, stranger, 200);
}

#[test]
fn a_flood_is_served_at_its_rate_and_forgotten() {
    let mut config = guarded(Strangers::Admit);
    config.guard.rate = Some(Rate { per_second: 10, burst: 50 });
    let (mut world, alice, ..) = registered(config);
    let agent = world.address(alice);
    // One IPv4 host, and one IPv6 host that takes another address of its network for each request.
    for number in 0..2_000u32 {
        let v6 = other(&format!("[2001:db8:0:1::{:x}]:5060", number + 1));
        for (name, source) in [("a", other("203.0.113.66:5060")), ("b", v6)] {
            let mut line = Line::calling(agent, source);
            line.call_id = format!("{name}{number}");
            line.branch = number;
            world.say(source, agent, line.again(Method::Options, None));
        }
    }
    world.run(Duration::from_millis(500));
    let counted = counters(&mut world, alice);
    assert_eq!((counted.admitted, counted.over_rate), (100, 3_900), "50 of each, whatever the IPv6 addresses");
    assert_eq!(sizes(&mut world, alice).servers, 100);
    // 10,000 sources: no more are remembered than there is room for.
    for number in 0..10_000u32 {
        let source = SocketAddr::new(std::net::Ipv4Addr::from(0x0A00_0000 + number).into(), 5060);
        let mut line = Line::calling(agent, source);
        line.call_id = format!("many{number}");
        world.say(source, agent, line.again(Method::Options, None));
    }
    world.run(Duration::from_millis(100));
    assert!(sizes(&mut world, alice).strangers <= 4_096);
    world.run(Duration::from_secs(120));
    let left = sizes(&mut world, alice);
    assert_eq!((left.servers, left.strangers), (0, 0), "{left:?}");
}

#[test]
fn full_tables_answer_503_and_empty_again() {
    let mut config = guarded(Strangers::Admit);
    config.guard.rate = None;
    config.limits.sessions = 20;
    config.limits.transactions = 100;
    config.limits.ringing = Duration::from_secs(20);
    let mut world = World::new(3);
    let alice = world.agent("192.0.2.1:5060", config);
    let agent = world.address(alice);
    let bob = world.peer("192.0.2.2:5060");
    for number in 0..500u32 {
        let mut line = Line::calling(agent, bob);
        (line.call_id, line.branch) = (format!("flood-{number}"), number * 10);
        line.from = format!("<sip:bob@example.net>;tag={number}");
        world.say(bob, agent, line.again(Method::Invite, Some(OFFER)));
    }
    world.run(Duration::from_millis(50));
    let held = sizes(&mut world, alice);
    assert!(held.sessions == 20 && held.servers <= 100, "{held:?}");
    let counted = counters(&mut world, alice);
    assert_eq!((counted.sessions_full, counted.overload), (80, 400), "{counted:?}");
    let refused = world.inbox(bob).into_iter().filter_map(|message| match message {
        Message::Response(response) if response.status == Status::SERVICE_UNAVAILABLE => Some(response),
        _ => None,
    });
    let after: Vec<_> = refused.map(|response| response.headers.retry_after()).collect();
    assert!(after.len() >= 480 && after.iter().all(Option::is_some), "each 503 says when to try again");
    world.assert_forgotten();
}

#[test]
fn what_is_too_large_is_told_so_without_state() {
    let (mut world, alice, registrar, stranger) = registered(guarded(Strangers::Ignore));
    let agent = world.address(alice);
    let before = sizes(&mut world, alice);
    type Change = dyn Fn(&mut Request);
    let changes: [(u16, &Change); 4] = [
        (483, &|request| {
            for hop in 0..71 {
                request.headers.prepend(Name::Via, format!("SIP/2.0/UDP h{hop}.example;branch=z9hG4bK{hop};rport"));
            }
        }),
        (513, &|request| request.headers.push("X-Long", "x".repeat(20_000))),
        (513, &|request| (0..600).for_each(|_| request.headers.push("X-Many", "x"))),
        (414, &|request| request.uri = format!("sip:{}@192.0.2.1", "9".repeat(5_000)).parse().unwrap()),
    ];
    for (status, change) in changes {
        for (peer, answered) in [(registrar, true), (stranger, false)] {
            let mut line = Line::calling(agent, peer);
            let mut invite = line.again(Method::Invite, Some(OFFER));
            change(&mut invite);
            world.say(peer, agent, invite);
            world.run(Duration::from_millis(100));
            // A response to 71 hops is itself too long for our own parser.
            let got: Vec<String> = world.inboxes.get_mut(&peer).unwrap().drain(..).map(start_line).collect();
            let expected = if answered { vec![status.to_string()] } else { vec![] };
            assert_eq!(got, expected, "{status} to {peer}");
        }
    }
    assert_eq!(counters(&mut world, alice).oversized, 8);
    assert_eq!(sizes(&mut world, alice), before);
}

#[test]
fn parts_in_parts_and_comments_in_comments_are_not_climbed() {
    let (mut world, alice, registrar, _) = registered(guarded(Strangers::Ignore));
    let agent = world.address(alice);
    let mut line = Line::calling(agent, registrar);
    let mut invite = line.again(Method::Invite, None);
    let mut body = String::new();
    for depth in 0..2_000 {
        body.push_str(&format!("--b\r\nContent-Type: multipart/mixed;boundary=\"b{depth}\"\r\n\r\n"));
    }
    invite = invite.with_body("multipart/mixed;boundary=b", body);
    invite.headers.push(Name::Subject, "(".repeat(10_000));
    invite.headers.push(Name::RetryAfter, format!("5 {}", "(".repeat(10_000)));
    world.say(registrar, agent, invite);
    response(&mut world, registrar, 415);
}

fn start_line(wire: Wire) -> String {
    let text = String::from_utf8_lossy(&wire.bytes).into_owned();
    text.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn challenged() -> (World, Node, SocketAddr) {
    let users = vec![Credentials::new("ann", "right")];
    let callers = Callers { realm: "sidetone".into(), users };
    let (world, alice, _, stranger) = registered(guarded(Strangers::Challenge(callers)));
    (world, alice, stranger)
}

/// The stranger answers the agent's challenge with this password.
fn answered(world: &mut World, stranger: SocketAddr, line: &mut Line, password: &str) -> Request {
    let challenge = response(world, stranger, 401);
    let mut invite = line.next(Method::Invite, Some(OFFER));
    let mut client = Client::new(Credentials::new("ann", password));
    let random = &mut Random::from_seed(u64::from(line.cseq));
    client.answer(&mut invite, &challenge, &mut Attempts::default(), random).unwrap();
    invite
}

#[test]
fn callers_prove_who_they_are_without_state_until_they_did() {
    let (mut world, alice, stranger) = challenged();
    let agent = world.address(alice);
    let before = sizes(&mut world, alice);
    let mut line = Line::calling(agent, stranger);
    let first = line.again(Method::Invite, Some(OFFER));
    world.say(stranger, agent, first.clone());
    world.say(stranger, agent, first);
    world.run(Duration::from_millis(50));
    let responses = world.inbox(stranger);
    let [Message::Response(one), Message::Response(two)] = responses.as_slice() else { panic!("{responses:?}") };
    assert_eq!(one.headers.to().unwrap().tag(), two.headers.to().unwrap().tag(), "a repetition gets the same tag");
    let nonces = |message: &sidetone::sip::message::Response| message.headers.challenges(&Name::WwwAuthenticate);
    assert_eq!(nonces(one).len(), 2, "SHA-256 and MD5");
    assert_ne!(nonces(one)[0].nonce, nonces(two)[0].nonce);
    let left = sizes(&mut world, alice);
    assert_eq!(Sizes { strangers: 0, ..left }, before);

    world.say(stranger, agent, line.next(Method::Invite, Some(OFFER)));
    let invite = answered(&mut world, stranger, &mut line, "right");
    world.say(stranger, agent, invite.clone());
    let admission = world.wait(alice, |event| match event {
        Event::Incoming { session, invitation } => Some((*session, invitation.admission.clone())),
        _ => None,
    });
    assert_eq!(admission.1, Admission::Caller("ann".into()));
    // The same request again is the same call, not a replay.
    world.say(stranger, agent, invite.clone());
    world.run(Duration::from_millis(300));
    assert!(world.inbox(stranger).iter().all(|message| match message {
        Message::Response(response) => response.status.is_provisional(),
        Message::Request(_) => false,
    }));
    // In another transaction it is a replay: challenged again, as stale.
    let mut replay = invite;
    replay.headers.set_first(Name::Via, format!("SIP/2.0/UDP {stranger};rport;branch=z9hG4bKreplay"));
    world.say(stranger, agent, replay);
    assert!(nonces(&response(&mut world, stranger, 401))[0].stale);
    world.with(alice, |agent, now| agent.reject(now, admission.0, Status::BUSY_HERE, None, Vec::new()).unwrap());
    world.run(Duration::from_secs(400));
    assert_eq!(sizes(&mut world, alice).strangers, 0, "nonces and rates are forgotten");
}

#[test]
fn passwords_cannot_be_guessed_fast() {
    let (mut world, alice, stranger) = challenged();
    let agent = world.address(alice);
    let mut line = Line::calling(agent, stranger);
    world.say(stranger, agent, line.again(Method::Invite, Some(OFFER)));
    let mut tries = 0;
    for guess in 0..200 {
        if world.inboxes[&stranger].is_empty() {
            world.run(Duration::from_millis(30));
        }
        if world.inboxes[&stranger].is_empty() {
            break;
        }
        let invite = answered(&mut world, stranger, &mut line, &format!("guess{guess}"));
        world.say(stranger, agent, invite);
        tries += 1;
    }
    assert!((10..40).contains(&tries), "{tries} guesses at once");
    let counted = counters(&mut world, alice);
    assert!(counted.over_rate == 1 && counted.wrong_credentials == tries - 1, "{counted:?} after {tries}");
    assert!(world.events(alice).is_empty());
}
