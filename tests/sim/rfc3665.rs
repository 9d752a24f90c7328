//! The flows of RFC 3665 that pass through proxies, message for message. Those without are in `flows`; section 3.6 is
//! told with redirection.

use sidetone::sip::agent::{Event, InviteRequest, SessionId};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Method, Status};
use sidetone::sip::registration::State;
use sidetone::time::Duration;

use crate::peer::{ANSWER, OFFER, account, alice_and_bob, config, request, to};
use crate::proxies::{Net, Proxy};
use crate::world::{Node, World};

const PARTIES: [(&str, &str); 4] =
    [("A", "192.0.2.1:5060"), ("P1", "192.0.2.11:5060"), ("P2", "192.0.2.12:5060"), ("B", "192.0.2.2:5060")];

/// Alice behind proxy 1, Bob behind proxy 2.
fn two_proxies() -> (Net, Node, Node) {
    let mut world = World::new(3665);
    let alice = world.agent(PARTIES[0].1, config());
    let bob = world.agent(PARTIES[3].1, config());
    let [p1, p2] = [PARTIES[1].1, PARTIES[2].1].map(|address| world.peer(address));
    let b = world.address(bob);
    (Net::new(world, vec![Proxy::new(p1, p2), Proxy::new(p2, b)]), alice, bob)
}

/// Alice calls Bob by her outbound proxies, best first.
fn invite(net: &mut Net, alice: Node) -> SessionId {
    let ways = net.proxies.iter().map(|proxy| proxy.at).collect();
    net.world.names.insert("atlanta.example.com".into(), ways);
    let mut one = account("sip:alice@atlanta.example.com", "secret");
    one.outbound_proxies = vec![crate::peer::uri("sip:atlanta.example.com")];
    let session = net.world.with(alice, |agent, now| {
        let account = Some(agent.add_account(one));
        agent.invite(now, InviteRequest { account, ..to("sip:bob@192.0.2.2") }).unwrap()
    });
    net.wait(alice, |event| matches!(event, Event::Route { .. }).then_some(()));
    net.world.with(alice, |agent, now| agent.offer(now, session, Some(OFFER.into())).unwrap());
    session
}

fn incoming(net: &mut Net, bob: Node) -> SessionId {
    net.wait(bob, |event| match event {
        Event::Incoming { session, .. } => Some(*session),
        _ => None,
    })
}

fn rings(net: &mut Net, alice: Node, bob: Node) -> SessionId {
    let theirs = incoming(net, bob);
    net.world.with(bob, |agent, now| agent.ring(now, theirs, Status::RINGING, None).unwrap());
    net.wait(alice, |event| matches!(event, Event::Progress { .. }).then_some(()));
    theirs
}

fn status(net: &mut Net, node: Node) -> Option<u16> {
    net.wait(node, |event| match event {
        Event::Ended { status, .. } => Some(status.map(Status::code)),
        _ => None,
    })
}

/// `A>P1>P2>B INVITE` is three messages.
#[track_caller]
fn assert_told(net: &mut Net, flow: &[&str]) {
    net.run(Duration::from_secs(1));
    let parties = PARTIES.map(|(name, address)| (name, address.parse().unwrap()));
    let mut steps = Vec::new();
    for line in flow {
        let (way, what) = line.split_once(' ').unwrap();
        let stops: Vec<&str> = way.split('>').collect();
        steps.extend(stops.windows(2).map(|pair| format!("{}>{} {what}", pair[0], pair[1])));
    }
    let told = net.told(&parties);
    // Each hop is in order; who is quicker of an ACK on one hop and a response on the next is not told by the RFC.
    for hop in
        told.iter().chain(&steps).map(|step| step.split(' ').next().unwrap()).collect::<std::collections::BTreeSet<_>>()
    {
        let of = |steps: &[String]| -> Vec<String> {
            steps.iter().filter(|step| step.split(' ').next() == Some(hop)).cloned().collect()
        };
        assert_eq!(of(&told), of(&steps), "on {hop}; all:\n{told:#?}");
    }
    assert_eq!(told.len(), steps.len());
}

const TO_BOB: &str = "A>P1>P2>B INVITE";
const RINGING: &str = "B>P2>P1>A 180 INVITE";
const ANSWERED: [&str; 4] = ["B>P2>P1>A 200 INVITE", "A>P1>P2>B ACK", "B>P2>P1>A BYE", "A>P1>P2>B 200 BYE"];
const CHALLENGED: [&str; 3] = ["A>P1 INVITE", "P1>A 407 INVITE", "A>P1 ACK"];

fn answered(net: &mut Net, bob: Node, theirs: SessionId) {
    net.world.with(bob, |agent, now| agent.answer(now, theirs, ANSWER.into()).unwrap());
    net.wait(bob, |event| matches!(event, Event::Confirmed { .. }).then_some(()));
    net.world.with(bob, |agent, now| agent.hangup(now, theirs, None).unwrap());
}

#[test]
fn section_2_5_an_unsuccessful_registration() {
    let (mut world, alice, server) = alice_and_bob();
    let agent = world.address(alice);
    let one = world.with(alice, |agent, now| {
        let one = agent.add_account(account("sip:alice@192.0.2.2", "wrong"));
        agent.register(now, one).unwrap();
        one
    });
    for nonce in ["1", "2"] {
        let register = request(&mut world, server, &Method::Register);
        assert_eq!(register.headers.contains(&Name::Authorization), nonce == "2");
        let mut refused = register.response(Status::UNAUTHORIZED).with_to_tag("r");
        refused.headers.push(Name::WwwAuthenticate, format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\""));
        world.say(server, agent, refused);
    }
    let state = world.wait(alice, |event| match event {
        Event::Registration { state: state @ State::Failed { .. }, account } if *account == one => Some(state.clone()),
        _ => None,
    });
    assert!(format!("{state:?}").contains("401"), "{state:?}");
    assert_eq!(world.count(agent, "REGISTER"), 2);
}

#[test]
fn section_3_2_through_two_proxies() {
    let (mut net, alice, bob) = two_proxies();
    net.proxies[0].realm = Some("atlanta.example.com");
    invite(&mut net, alice);
    let theirs = rings(&mut net, alice, bob);
    answered(&mut net, bob, theirs);
    assert_told(&mut net, &[&CHALLENGED[..], &[TO_BOB, RINGING], &ANSWERED].concat());
    net.world.assert_forgotten();
}

#[test]
fn section_3_3_both_proxies_want_credentials() {
    let (mut net, alice, bob) = two_proxies();
    net.proxies[0].realm = Some("atlanta.example.com");
    net.proxies[1].realm = Some("biloxi.example.com");
    invite(&mut net, alice);
    let theirs = rings(&mut net, alice, bob);
    answered(&mut net, bob, theirs);
    let second = ["A>P1>P2 INVITE", "P2>P1>A 407 INVITE", "P1>P2 ACK", "A>P1 ACK"];
    assert_told(&mut net, &[&CHALLENGED[..], &second, &[TO_BOB, RINGING], &ANSWERED].concat());
}

#[test]
fn section_3_4_the_first_proxy_fails() {
    let (mut net, alice, bob) = two_proxies();
    net.proxies[0].dead = true;
    net.proxies[1].realm = Some("atlanta.example.com");
    invite(&mut net, alice);
    let theirs = rings(&mut net, alice, bob);
    answered(&mut net, bob, theirs);
    net.run(Duration::from_secs(1));
    let parties = PARTIES.map(|(name, address)| (name, address.parse().unwrap()));
    let mut told = net.told(&parties);
    let lost = told.iter().take_while(|step| *step == "A>P1 INVITE").count();
    assert!(lost > 1, "the silent proxy is asked again before it is left");
    told.drain(..lost);
    let flow = [
        "A>P2 INVITE",
        "P2>A 407 INVITE",
        "A>P2 ACK",
        "A>P2 INVITE",
        "P2>B INVITE",
        "B>P2 180 INVITE",
        "P2>A 180 INVITE",
        "B>P2 200 INVITE",
        "P2>A 200 INVITE",
        "A>P2 ACK",
        "P2>B ACK",
        "B>P2 BYE",
        "P2>A BYE",
        "A>P2 200 BYE",
        "P2>B 200 BYE",
    ];
    assert_eq!(told, flow);
}

#[test]
fn section_3_8_no_answer() {
    let (mut net, alice, bob) = two_proxies();
    let session = invite(&mut net, alice);
    rings(&mut net, alice, bob);
    net.world.with(alice, |agent, now| agent.hangup(now, session, None).unwrap());
    assert_eq!(status(&mut net, alice), Some(487));
    let cancelled = [
        "A>P1>P2>B CANCEL",
        "P1>A 200 CANCEL",
        "P2>P1 200 CANCEL",
        "B>P2 200 CANCEL",
        "B>P2>P1>A 487 INVITE",
        "A>P1>P2>B ACK",
    ];
    assert_told(&mut net, &[&[TO_BOB, RINGING][..], &cancelled].concat());
    net.world.assert_forgotten();
}

#[test]
fn section_3_9_busy() {
    let (mut net, alice, bob) = two_proxies();
    invite(&mut net, alice);
    let theirs = incoming(&mut net, bob);
    net.world.with(bob, |agent, now| agent.reject(now, theirs, Status::BUSY_HERE, None, Vec::new()).unwrap());
    assert_eq!(status(&mut net, alice), Some(486));
    assert_told(&mut net, &[TO_BOB, "B>P2>P1>A 486 INVITE", "A>P1>P2>B ACK"]);
    net.world.assert_forgotten();
}

#[test]
fn section_3_10_no_response_from_the_user_agent() {
    let (mut net, alice, _) = two_proxies();
    let nobody = net.world.peer("192.0.2.99:5060");
    net.proxies[1].next = nobody;
    invite(&mut net, alice);
    net.run(Duration::from_secs(30));
    let Net { world, proxies, .. } = &mut net;
    proxies[1].give_up(world);
    assert_eq!(status(&mut net, alice), Some(408));
    net.world.assert_forgotten();
}

#[test]
fn section_3_11_temporarily_unavailable() {
    let (mut net, alice, bob) = two_proxies();
    invite(&mut net, alice);
    let theirs = rings(&mut net, alice, bob);
    let refused = Status::TEMPORARILY_UNAVAILABLE;
    net.world.with(bob, |agent, now| agent.reject(now, theirs, refused, None, Vec::new()).unwrap());
    assert_eq!(status(&mut net, alice), Some(480));
    assert_told(&mut net, &[TO_BOB, RINGING, "B>P2>P1>A 480 INVITE", "A>P1>P2>B ACK"]);
    net.world.assert_forgotten();
}
