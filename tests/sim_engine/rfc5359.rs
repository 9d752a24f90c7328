//! The flows of RFC 5359 that a phone takes part in, message for message between phones that stand next to each other.
//!
//! Those that a proxy plays (2.7 to 2.9, 2.12 to 2.14) and call park (2.15) are in `services`. Left out:
//!
//! - 2.6, transfer to an instant message: the transferee has to follow a Refer-To whose method is MESSAGE; this phone
//!   follows only those that ask for an INVITE.
//! - 2.10 and 2.11, three parties: the one in the middle mixes the sound of two calls, and in 2.11 the third joins by an
//!   INVITE with Join (RFC 3911). This phone does neither.
//! - 2.17, automatic redial: a subscription to the dialog events of the busy side, and a notifier of them there (RFC 4235).
//! - 2.18, click to dial: a REFER outside of a dialog, which is refused here: nobody has this phone dial.

mod proxy;
mod services;

use crate::world::{ANN, BOB, World};
use sidetone::call::record::{EndedBy, Status};
use sidetone::call::{CallId, Change, Conduct, MediaOptions, Moment, Transfers};
use sidetone::engine::Dial;
use sidetone::media::plan::Direction;
use sidetone::sip::agent::AccountId;
use sidetone::sip::header::{Header, Headers, Name};
use sidetone::sip::message::{Message, Method, Request, Response};
use sidetone::sip::wire::parse_datagram;
use sidetone::time::Duration;

const CID: usize = 2;
const NAMES: [&str; 4] = ["Ann", "Bob", "Cid", "Dee"];
const SECOND: Duration = Duration::from_secs(1);

fn three(seed: u64) -> World {
    let media = MediaOptions::default;
    let people = [("ann", "192.0.2.1", media()), ("bob", "192.0.2.2", media()), ("cid", "192.0.2.3", media())];
    World::with_people(seed, &people, Conduct { transfers: Transfers::Accept, ..Conduct::default() })
}

/// `who` calls `target`; the call, and that of the other side once it rings.
#[track_caller]
fn rings(world: &mut World, who: usize, target: usize, headers: Vec<Header>) -> (CallId, Option<CallId>) {
    let known: Vec<CallId> = world.places[target].engine.calls().map(|(id, _)| id).collect();
    let address = format!("sip:{}@192.0.2.{}", NAMES[target].to_lowercase(), target + 1);
    let dial = Dial {
        account: AccountId(0),
        target: address.parse().unwrap(),
        from_number: None,
        media: MediaOptions::default(),
        ring_limit: Duration::from_secs(60),
        headers,
    };
    let ours = world.with(who, |engine, now| engine.dial(now, dial)).unwrap();
    world.run(SECOND);
    let theirs = world.places[target].engine.calls().map(|(id, _)| id).find(|id| !known.contains(id));
    (ours, theirs)
}

#[track_caller]
fn talks(world: &mut World, who: usize, target: usize) -> (CallId, CallId) {
    let (ours, theirs) = rings(world, who, target, Vec::new());
    world.answer(target, theirs.unwrap()).unwrap();
    world.run(SECOND);
    (ours, theirs.unwrap())
}

fn change(world: &mut World, who: usize, call: CallId, change: Change) {
    world.with(who, |engine, now| engine.change(now, call, change)).unwrap();
    world.run(SECOND);
}

/// What was sent since the last time, as `Ann>Bob INVITE sendonly`; 100 is no step, and P is a server of the flow.
fn told(world: &mut World) -> Vec<String> {
    let name = |address: std::net::SocketAddr| {
        world.places.iter().position(|place| place.address == address).map_or("P", |index| NAMES[index])
    };
    let steps = world.trace.iter().map(|wire| {
        let (what, body) = match parse_datagram(&wire.bytes).unwrap() {
            Message::Request(request) => (request.method.to_string(), request.body),
            Message::Response(response) => {
                let method = response.headers.cseq().unwrap().method;
                (format!("{} {method}", response.status), response.body)
            }
        };
        let body = String::from_utf8_lossy(&body).into_owned();
        let held = ["sendonly", "recvonly", "inactive"].into_iter().find(|word| body.contains(&format!("a={word}")));
        let fragment = body.strip_prefix("SIP/2.0 ").and_then(|line| line.split(' ').next());
        let more = held.or(fragment).map(|word| format!(" {word}")).unwrap_or_default();
        format!("{}>{} {what}{more}", name(wire.from), name(wire.to))
    });
    let steps = steps.filter(|step| !step.contains(" 100 INVITE")).collect();
    world.trace.clear();
    steps
}

const CALL: [&str; 4] = ["Ann>Bob INVITE", "Bob>Ann 180 INVITE", "Bob>Ann 200 INVITE", "Ann>Bob ACK"];
const HOLD: [&str; 3] = ["Bob>Ann INVITE sendonly", "Ann>Bob 200 INVITE recvonly", "Bob>Ann ACK"];
const RESUME: [&str; 3] = ["Bob>Ann INVITE", "Ann>Bob 200 INVITE", "Bob>Ann ACK"];

#[test]
fn section_2_1_call_hold() {
    let mut world = three(5359);
    let (ann, bob) = talks(&mut world, ANN, BOB);
    assert_eq!(told(&mut world), CALL);
    change(&mut world, BOB, bob, Change::Hold);
    assert_eq!(told(&mut world), HOLD);
    let plans = |world: &World| {
        [(ANN, ann), (BOB, bob)].map(|(who, call)| world.places[who].plans[&call].last().unwrap().clone())
    };
    let [held, holding] = plans(&world);
    assert_eq!((held.direction, holding.direction, holding.holding), (Direction::RecvOnly, Direction::SendOnly, true));
    change(&mut world, BOB, bob, Change::Resume);
    assert_eq!(told(&mut world), RESUME);
    let [held, holding] = plans(&world);
    assert_eq!((held.direction, holding.direction, holding.holding), (Direction::SendRecv, Direction::SendRecv, false));
    world.hangup(ANN, ann).unwrap();
    world.run(SECOND);
    assert_eq!(told(&mut world), ["Ann>Bob BYE", "Bob>Ann 200 BYE"]);
    world.assert_forgotten();
}

#[test]
fn section_2_2_consultation_hold() {
    let mut world = three(5360);
    let (ann, bob) = talks(&mut world, ANN, BOB);
    change(&mut world, BOB, bob, Change::Hold);
    let (second, _) = talks(&mut world, BOB, CID);
    world.hangup(BOB, second).unwrap();
    world.run(SECOND);
    change(&mut world, BOB, bob, Change::Resume);
    let consultation =
        ["Bob>Cid INVITE", "Cid>Bob 180 INVITE", "Cid>Bob 200 INVITE", "Bob>Cid ACK", "Bob>Cid BYE", "Cid>Bob 200 BYE"];
    assert_eq!(told(&mut world), [&CALL[..], &HOLD, &consultation, &RESUME].concat());
    assert_eq!(world.moments(ANN, ann).last(), Some(&Moment::Resumed(sidetone::call::Side::Remote)));
    world.hangup(BOB, bob).unwrap();
    world.run(SECOND);
    assert_eq!(world.ended(ANN)[0].ended_by, Some(EndedBy::Remote));
    world.assert_forgotten();
}

/// Bob's side is played: a re-INVITE without an offer, answered in its ACK with the address of a music server. How this phone
/// makes music itself is in `hold` and in the tests of its media.
#[test]
fn section_2_3_music_on_hold() {
    let mut world = three(5361);
    let (ann, _) = talks(&mut world, ANN, BOB);
    let (invite, accepted) = first_exchange(&world);
    let [ann_at, bob_at] = [ANN, BOB].map(|who| world.places[who].address);
    let say = |world: &mut World, method: Method, number: u32, sdp: Option<&str>| {
        let target = invite.headers.contacts().unwrap().remove(0).uri;
        let mut request = Request::new(method.clone(), target);
        for (name, value) in [
            (Name::Via, format!("SIP/2.0/UDP {bob_at};branch=z9hG4bKmoh{method}{number};rport")),
            (Name::From, accepted.headers.get(&Name::To).unwrap().to_owned()),
            (Name::To, invite.headers.get(&Name::From).unwrap().to_owned()),
            (Name::CallId, invite.headers.call_id().unwrap().to_owned()),
            (Name::CSeq, format!("{number} {method}")),
            (Name::Contact, format!("<sip:bob@{bob_at}>")),
        ] {
            request.headers.push(name, value);
        }
        let request = match sdp {
            Some(sdp) => request.with_body("application/sdp", sdp.to_owned()),
            None => request,
        };
        world.say(bob_at, ann_at, request.to_bytes());
        world.run(Duration::from_millis(100));
    };
    world.trace.clear();
    say(&mut world, Method::Invite, 900, None);
    let offer = world.trace.iter().find_map(|wire| match parse_datagram(&wire.bytes).unwrap() {
        Message::Response(response) if response.status.0 == 200 => Some(response.body),
        _ => None,
    });
    let offer = String::from_utf8(offer.expect("a 200 with an offer").to_vec()).unwrap();
    assert!(offer.contains("m=audio") && offer.contains("PCMU"), "{offer}");
    let music = "v=0\r\no=- 9 9 IN IP4 192.0.2.50\r\ns=-\r\nc=IN IP4 192.0.2.50\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\na=sendonly\r\n";
    say(&mut world, Method::Ack, 900, Some(music));
    let plan = world.places[ANN].plans[&ann].last().unwrap();
    assert_eq!(
        (plan.remote_rtp, plan.direction),
        ("192.0.2.50:6000".parse::<std::net::SocketAddr>().unwrap(), Direction::RecvOnly)
    );
    assert_eq!(world.moments(ANN, ann).last(), Some(&Moment::Held(sidetone::call::Side::Remote)));
}

/// The INVITE and its 200 as they were sent first.
fn first_exchange(world: &World) -> (Request, Response) {
    let mut messages = world.trace.iter().map(|wire| parse_datagram(&wire.bytes).unwrap());
    let invite = messages.find_map(|message| match message {
        Message::Request(request) if request.method == Method::Invite => Some(request),
        _ => None,
    });
    let accepted = messages.find_map(|message| match message {
        Message::Response(response) if response.status.0 == 200 => Some(response),
        _ => None,
    });
    (invite.unwrap(), accepted.unwrap())
}

/// The transferor holds first and waits for what becomes of it, as phones do; the RFC's hangs up at once.
#[test]
fn section_2_4_unattended_transfer() {
    let mut world = three(5362);
    let (_, bob) = talks(&mut world, ANN, BOB);
    told(&mut world);
    world.with(BOB, |engine, now| engine.transfer(now, bob, &"sip:cid@192.0.2.3".parse().unwrap())).unwrap();
    world.run(SECOND);
    let cid = world.places[CID].engine.calls().next().unwrap().0;
    world.answer(CID, cid).unwrap();
    world.run(SECOND);
    let transfer = [
        "Bob>Ann REFER",
        "Ann>Bob 202 REFER",
        "Ann>Bob NOTIFY 100",
        "Ann>Cid INVITE",
        "Bob>Ann 200 NOTIFY",
        "Cid>Ann 180 INVITE",
        "Ann>Bob NOTIFY 180",
        "Bob>Ann 200 NOTIFY",
        "Cid>Ann 200 INVITE",
        "Ann>Bob NOTIFY 200",
        "Ann>Cid ACK",
        "Bob>Ann 200 NOTIFY",
        "Bob>Ann BYE",
        "Ann>Bob 200 BYE",
    ];
    assert_eq!(told(&mut world), [&HOLD[..], &transfer].concat());
    assert_eq!(world.ended(BOB)[0].metadata["transfer"]["result"], "completed");
    assert_eq!(world.ended(ANN).len(), 1, "the first call; the second goes on");
    world.hangup(CID, cid).unwrap();
    world.run(SECOND);
    world.assert_forgotten();
}

#[test]
fn section_2_5_attended_transfer() {
    let mut world = three(5363);
    let (_, bob) = talks(&mut world, ANN, BOB);
    change(&mut world, BOB, bob, Change::Hold);
    let (second, _) = talks(&mut world, BOB, CID);
    change(&mut world, BOB, second, Change::Hold);
    let invite = |headers: &Headers| headers.has_tag(&Name::Supported, "replaces");
    let all = world.trace.iter().filter_map(|wire| match parse_datagram(&wire.bytes).unwrap() {
        Message::Request(request) if request.method == Method::Invite => Some(invite(&request.headers)),
        Message::Response(response) if response.status.0 == 200 => Some(invite(&response.headers)),
        _ => None,
    });
    let all: Vec<bool> = all.collect();
    assert!(all.len() >= 8 && all.iter().all(|said| *said), "RFC 3891 section 6.2: {all:?}");
    told(&mut world);
    world.with(BOB, |engine, now| engine.transfer_attended(now, bob, second)).unwrap();
    world.run(Duration::from_secs(2));
    assert_eq!(
        told(&mut world),
        [
            "Bob>Ann REFER",
            "Ann>Bob 202 REFER",
            "Ann>Bob NOTIFY 100",
            "Ann>Cid INVITE",
            "Bob>Ann 200 NOTIFY",
            "Cid>Ann 200 INVITE",
            "Cid>Bob BYE",
            "Ann>Bob NOTIFY 200",
            "Ann>Cid ACK",
            "Bob>Cid 200 BYE",
            "Bob>Ann 200 NOTIFY",
            "Bob>Ann BYE",
            "Ann>Bob 200 BYE",
        ]
    );
    assert_eq!(world.places[BOB].engine.calls().count(), 0);
    let cid = world.places[CID].engine.calls().next().unwrap().0;
    world.hangup(CID, cid).unwrap();
    world.run(SECOND);
    world.assert_forgotten();
}

/// The dialog of Ann's call to Bob as a Replaces for Ann, as its early responses name it.
fn early_dialog(world: &World, more: &str) -> Vec<Header> {
    let ringing = world.trace.iter().find_map(|wire| match parse_datagram(&wire.bytes).unwrap() {
        Message::Response(response) if response.status.0 == 180 => Some(response.headers),
        _ => None,
    });
    let headers = ringing.unwrap();
    let (ours, theirs) = (headers.from().unwrap(), headers.to().unwrap());
    let (call_id, ours, theirs) = (headers.call_id().unwrap(), ours.tag().unwrap(), theirs.tag().unwrap());
    let value = format!("{call_id};to-tag={ours};from-tag={theirs}{more}");
    vec![Header { name: Name::Replaces, value: value.as_str().into() }]
}

/// Bob rings and Cid picks the call up at Ann's: her phone began the early dialog, so that it may be replaced (RFC 3891
/// section 3).
#[test]
fn section_2_16_call_pickup() {
    for more in [";early-only", ""] {
        let mut world = three(5364);
        let (ann, _) = rings(&mut world, ANN, BOB, Vec::new());
        let replaces = early_dialog(&world, more);
        told(&mut world);
        rings(&mut world, CID, ANN, replaces);
        assert_eq!(
            told(&mut world),
            [
                "Cid>Ann INVITE",
                "Ann>Cid 200 INVITE",
                "Ann>Bob CANCEL",
                "Cid>Ann ACK",
                "Bob>Ann 200 CANCEL",
                "Bob>Ann 487 INVITE",
                "Ann>Bob ACK",
            ]
        );
        let given_up = world.ended(ANN).remove(0);
        assert_eq!((given_up.status, given_up.ended_by), (Status::Canceled, Some(EndedBy::Local)));
        assert_eq!(given_up.metadata["transfer"]["role"], "target");
        assert!(!world.places[ANN].engine.calls().any(|(id, _)| id == ann));
        assert_eq!(world.places[ANN].engine.calls().count(), 1, "she talks with Cid");
        assert_eq!(world.ended(BOB)[0].status, Status::Missed);
    }
}

/// RFC 3891 section 3: what has ended already is declined, and `early-only` spares a call that was answered meanwhile.
#[test]
fn section_2_16_comes_too_late() {
    let mut world = three(5365);
    let (ann, bob) = rings(&mut world, ANN, BOB, Vec::new());
    let (early, any) = (early_dialog(&world, ";early-only"), early_dialog(&world, ""));
    world.answer(BOB, bob.unwrap()).unwrap();
    world.run(SECOND);
    told(&mut world);
    rings(&mut world, CID, ANN, early);
    assert_eq!(told(&mut world), ["Cid>Ann INVITE", "Ann>Cid 486 INVITE", "Cid>Ann ACK"]);
    world.hangup(ANN, ann).unwrap();
    world.run(Duration::from_millis(100));
    told(&mut world);
    rings(&mut world, CID, ANN, any.clone());
    assert_eq!(told(&mut world), ["Cid>Ann INVITE", "Ann>Cid 603 INVITE", "Cid>Ann ACK"], "over, but still known");
    world.run(Duration::from_secs(60));
    rings(&mut world, CID, ANN, any);
    assert_eq!(told(&mut world), ["Cid>Ann INVITE", "Ann>Cid 481 INVITE", "Cid>Ann ACK"], "forgotten");
    let codes: Vec<_> = world.ended(CID).iter().map(|record| record.sip_code).collect();
    assert_eq!(codes, [Some(486), Some(603), Some(481)]);
}
