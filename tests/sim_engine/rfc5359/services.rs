//! Forwarding, find-me, screening and park: what the phones around the server of a service say, and what their users are
//! told. A phone that forwards by itself (302 with a Contact) is none of them: its `reject` gives no other place.

use super::proxy::{PROXY, Proxy};
use super::{CID, NAMES, SECOND, change, rings, told};
use crate::world::{ANN, BOB, World};
use sidetone::call::record::{EndedBy, Record, Status};
use sidetone::call::{Busy, CallId, Change, Conduct, MediaOptions, Moment, Side, Transfers};
use sidetone::sip::header::{Header, Name};
use sidetone::sip::message::{Message, Method, Request, Response};
use sidetone::sip::wire::parse_datagram;
use sidetone::time::Duration;

const DEE: usize = 3;
const AT: [&str; 4] = ["sip:ann@192.0.2.1", "sip:bob@192.0.2.2", "sip:cid@192.0.2.3", "sip:dee@192.0.2.4"];

/// Ann behind the proxy, and three that it leads to.
fn behind_proxy(seed: u64, conduct: Conduct) -> World {
    four(seed, conduct, Some(PROXY))
}

fn four(seed: u64, conduct: Conduct, proxy: Option<&str>) -> World {
    let hosts = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];
    let names = NAMES.map(str::to_lowercase);
    let people: Vec<_> =
        names.iter().zip(hosts).map(|(name, host)| (name.as_str(), host, MediaOptions::default())).collect();
    World::with_accounts(seed, &people, conduct, |_, account| {
        if account.aor == AT[ANN].parse().unwrap() {
            account.password = Some("secret".into());
            account.outbound_proxies = proxy.iter().map(|at| format!("sip:{at}").parse().unwrap()).collect();
        }
    })
}

/// A proxy that tries these, one round after the other.
fn tries(rounds: &[&[usize]]) -> Proxy {
    let rounds = rounds.iter().map(|round| round.iter().map(|who| AT[*who]).collect()).collect();
    Proxy::new(rounds, Duration::from_secs(10))
}

/// Ann calls Bob's address; what the proxy makes of it within a second.
fn ann_calls(world: &mut World, proxy: &mut Proxy) -> CallId {
    let call = world.ann_calls();
    proxy.run(world, SECOND);
    call
}

/// The call that rings at `who`.
#[track_caller]
fn ringing(world: &World, who: usize) -> CallId {
    let mut calls = world.places[who].engine.calls();
    let found = calls.find(|(_, record)| record.ringing_at.is_some() && record.answered_at.is_none());
    found.unwrap_or_else(|| panic!("nothing rings at {}: {}", NAMES[who], world.story())).0
}

#[track_caller]
fn answers(world: &mut World, proxy: &mut Proxy, who: usize) -> CallId {
    let call = ringing(world, who);
    world.answer(who, call).unwrap();
    proxy.run(world, SECOND);
    call
}

fn hangs_up(world: &mut World, proxy: &mut Proxy, who: usize, call: CallId) {
    world.hangup(who, call).unwrap();
    proxy.run(world, SECOND);
}

/// `Ann>P>Bob INVITE` is two messages.
fn hops(flow: &[&str]) -> Vec<String> {
    let mut steps = Vec::new();
    for line in flow {
        let (way, what) = line.split_once(' ').unwrap();
        let stops: Vec<&str> = way.split('>').collect();
        steps.extend(stops.windows(2).map(|pair| format!("{}>{} {what}", pair[0], pair[1])));
    }
    steps
}

/// What was sent since the last time, which is kept.
fn peek(world: &mut World) -> Vec<String> {
    let trace = world.trace.clone();
    let steps = told(world);
    world.trace = trace;
    steps
}

/// The requests of this method that `from` sent.
fn requests(world: &World, from: usize, method: &Method) -> Vec<Request> {
    let sent = world.trace.iter().filter(|wire| wire.from == world.places[from].address);
    sent.filter_map(|wire| match parse_datagram(&wire.bytes).unwrap() {
        Message::Request(request) if request.method == *method => Some(request),
        _ => None,
    })
    .collect()
}

/// The responses to an INVITE with this status that `who` sent.
fn responses(world: &World, who: usize, status: u16) -> Vec<Response> {
    let sent = world.trace.iter().filter(|wire| wire.from == world.places[who].address);
    sent.filter_map(|wire| match parse_datagram(&wire.bytes).unwrap() {
        Message::Response(response) if response.status.0 == status => Some(response),
        _ => None,
    })
    .filter(|response| response.headers.cseq().unwrap().method == Method::Invite)
    .collect()
}

fn to_tag(headers: &sidetone::sip::header::Headers) -> String {
    headers.to().unwrap().tag().unwrap().to_owned()
}

/// How the only call of `who` ended.
#[track_caller]
fn end(world: &World, who: usize) -> Record {
    let mut ended = world.ended(who);
    assert_eq!(ended.len(), 1, "{}: {}", NAMES[who], world.story());
    ended.remove(0)
}

fn outcome(record: &Record) -> (Status, Option<u16>, Option<EndedBy>) {
    (record.status, record.sip_code, record.ended_by)
}

const NOT_ANSWERED: (Status, Option<u16>, Option<EndedBy>) = (Status::Missed, Some(487), Some(EndedBy::Remote));

/// Ann talks with `who`, whose dialog is that of her ACK; she hangs up, and both say so.
#[track_caller]
fn talks_and_ends(world: &mut World, proxy: &mut Proxy, ann: CallId, who: usize) {
    let tag = to_tag(&responses(world, who, 200)[0].headers);
    let acks = requests(world, ANN, &Method::Ack);
    assert_eq!(to_tag(&acks.last().unwrap().headers), tag, "the dialog of the one that answered");
    assert_eq!(world.moments(ANN, ann).iter().filter(|moment| **moment == Moment::Answered).count(), 1);
    assert_eq!(world.places[ANN].plans[&ann].last().unwrap().remote_rtp.ip(), world.places[who].address.ip());
    told(world);
    hangs_up(world, proxy, ANN, ann);
    assert_eq!(to_tag(&requests(world, ANN, &Method::Bye)[0].headers), tag);
    let name = NAMES[who];
    assert_eq!(told(world), hops(&[&format!("Ann>P>{name} BYE"), &format!("{name}>P>Ann 200 BYE")]));
    assert_eq!(outcome(&end(world, ANN)), (Status::Completed, Some(200), Some(EndedBy::Local)));
    let theirs = world.ended(who).pop().unwrap();
    assert_eq!((theirs.status, theirs.ended_by), (Status::Completed, Some(EndedBy::Remote)));
}

#[test]
fn section_2_7_call_forwarding_unconditional() {
    let mut world = behind_proxy(5370, Conduct::default());
    let mut proxy = tries(&[&[CID]]);
    proxy.announces = true;
    let ann = ann_calls(&mut world, &mut proxy);
    let rings = world.moments(ANN, ann).iter().filter(|moment| matches!(moment, Moment::Ringing { .. })).count();
    assert_eq!(rings, 1, "being forwarded is not ringing");
    let call = ["Ann>P INVITE", "P>Ann 181 INVITE", "P>Cid INVITE", "Cid>P>Ann 180 INVITE"];
    answers(&mut world, &mut proxy, CID);
    let flow = hops(&[&call[..], &["Cid>P>Ann 200 INVITE", "Ann>P>Cid ACK"]].concat());
    let cid = requests(&world, ANN, &Method::Ack).remove(0);
    assert!(cid.uri.to_string().contains("192.0.2.3"), "the Contact of the one forwarded to: {}", cid.uri);
    assert_eq!(peek(&mut world), flow);
    talks_and_ends(&mut world, &mut proxy, ann, CID);
    assert!(world.places[BOB].events.is_empty(), "his phone hears nothing");
    world.assert_forgotten();
}

#[test]
fn section_2_8_call_forwarding_on_busy() {
    let mut world = behind_proxy(5371, Conduct { busy: Busy::Here, ..Conduct::default() });
    super::talks(&mut world, BOB, DEE);
    told(&mut world);
    let mut proxy = tries(&[&[BOB], &[CID]]);
    let ann = ann_calls(&mut world, &mut proxy);
    answers(&mut world, &mut proxy, CID);
    let busy = ["Ann>P>Bob INVITE", "Bob>P 486 INVITE", "P>Bob ACK"];
    let forwarded =
        ["P>Ann 181 INVITE", "P>Cid INVITE", "Cid>P>Ann 180 INVITE", "Cid>P>Ann 200 INVITE", "Ann>P>Cid ACK"];
    assert_eq!(peek(&mut world), hops(&[&busy[..], &forwarded].concat()));
    assert_eq!(outcome(&end(&world, BOB)), (Status::Busy, Some(486), Some(EndedBy::Local)));
    assert_eq!(world.places[BOB].engine.calls().count(), 1, "he talks on with Dee");
    talks_and_ends(&mut world, &mut proxy, ann, CID);
}

const RINGS_IN_VAIN: [&str; 6] =
    ["Ann>P>Bob INVITE", "Bob>P>Ann 180 INVITE", "P>Bob CANCEL", "Bob>P 200 CANCEL", "Bob>P 487 INVITE", "P>Bob ACK"];

#[test]
fn section_2_9_call_forwarding_on_no_answer() {
    let mut world = behind_proxy(5372, Conduct::default());
    let mut proxy = tries(&[&[BOB], &[CID]]);
    let ann = ann_calls(&mut world, &mut proxy);
    let bob = to_tag(&responses(&world, BOB, 180)[0].headers);
    proxy.run(&mut world, Duration::from_secs(11));
    assert_eq!(outcome(&end(&world, BOB)), NOT_ANSWERED);
    answers(&mut world, &mut proxy, CID);
    assert_ne!(to_tag(&responses(&world, CID, 200)[0].headers), bob, "another fork than the one that rang first");
    let forwarded =
        ["P>Ann 181 INVITE", "P>Cid INVITE", "Cid>P>Ann 180 INVITE", "Cid>P>Ann 200 INVITE", "Ann>P>Cid ACK"];
    assert_eq!(peek(&mut world), hops(&[&RINGS_IN_VAIN[..], &forwarded].concat()));
    talks_and_ends(&mut world, &mut proxy, ann, CID);
    world.assert_forgotten();
}

/// She waits no longer while it rings at the second place: only that one is left to be told.
#[test]
fn section_2_9_the_caller_gives_up() {
    let mut world = behind_proxy(5373, Conduct::default());
    let mut proxy = tries(&[&[BOB], &[CID]]);
    let ann = ann_calls(&mut world, &mut proxy);
    proxy.run(&mut world, Duration::from_secs(11));
    told(&mut world);
    hangs_up(&mut world, &mut proxy, ANN, ann);
    let flow = [
        "Ann>P CANCEL",
        "P>Ann 200 CANCEL",
        "P>Cid CANCEL",
        "Cid>P 200 CANCEL",
        "Cid>P 487 INVITE",
        "P>Cid ACK",
        "P>Ann 487 INVITE",
        "Ann>P ACK",
    ];
    assert_eq!(told(&mut world), hops(&flow));
    assert_eq!(outcome(&end(&world, ANN)), (Status::Canceled, Some(487), Some(EndedBy::Local)));
    assert_eq!([BOB, CID].map(|who| outcome(&end(&world, who))), [NOT_ANSWERED; 2]);
    world.assert_forgotten();
}

#[test]
fn section_2_12_find_me_one_after_the_other() {
    let mut world = behind_proxy(5374, Conduct::default());
    let mut proxy = tries(&[&[BOB], &[CID], &[DEE]]);
    let ann = ann_calls(&mut world, &mut proxy);
    proxy.run(&mut world, Duration::from_secs(11));
    let cid = ringing(&world, CID);
    let busy = sidetone::sip::message::Status::BUSY_HERE;
    world.with(CID, |engine, now| engine.reject(now, cid, busy)).unwrap();
    proxy.run(&mut world, SECOND);
    answers(&mut world, &mut proxy, DEE);
    let cid = ["P>Ann 181 INVITE", "P>Cid INVITE", "Cid>P>Ann 180 INVITE", "Cid>P 486 INVITE", "P>Cid ACK"];
    let dee = ["P>Ann 181 INVITE", "P>Dee INVITE", "Dee>P>Ann 180 INVITE", "Dee>P>Ann 200 INVITE", "Ann>P>Dee ACK"];
    assert_eq!(peek(&mut world), hops(&[&RINGS_IN_VAIN[..], &cid, &dee].concat()));
    assert_eq!(outcome(&end(&world, BOB)), NOT_ANSWERED);
    assert_eq!(outcome(&end(&world, CID)), (Status::Busy, Some(486), Some(EndedBy::Local)));
    talks_and_ends(&mut world, &mut proxy, ann, DEE);
    world.assert_forgotten();
}

#[test]
fn section_2_12_find_me_everywhere_at_once() {
    let mut world = behind_proxy(5375, Conduct::default());
    let mut proxy = tries(&[&[BOB, CID, DEE]]);
    proxy.why = Some("SIP;cause=200;text=\"Call completed elsewhere\"");
    let ann = ann_calls(&mut world, &mut proxy);
    let tags = [BOB, CID, DEE].map(|who| to_tag(&responses(&world, who, 180)[0].headers));
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
    told(&mut world);
    answers(&mut world, &mut proxy, CID);
    for who in [BOB, DEE] {
        assert_eq!(sent_by(&world, who), ["200 CANCEL", "487 INVITE"], "{}", NAMES[who]);
        let record = end(&world, who);
        assert_eq!(outcome(&record), NOT_ANSWERED);
        assert_eq!(record.metadata["cause_text"], "another phone answered the call", "{:?}", record.metadata);
    }
    talks_and_ends(&mut world, &mut proxy, ann, CID);
    world.assert_forgotten();
}

/// What `who` sent.
fn sent_by(world: &World, who: usize) -> Vec<String> {
    let sent = world.trace.iter().filter(|wire| wire.from == world.places[who].address);
    sent.map(|wire| match parse_datagram(&wire.bytes).unwrap() {
        Message::Request(request) => request.method.to_string(),
        Message::Response(response) => format!("{} {}", response.status, response.headers.cseq().unwrap().method),
    })
    .collect()
}

/// Both pick up before a CANCEL can come: Ann hears two 200s, and hangs up on the second (RFC 3261 section 13.2.2.4).
#[test]
fn section_2_12_two_answer_at_once() {
    let mut world = behind_proxy(5376, Conduct::default());
    let mut proxy = tries(&[&[BOB, CID]]);
    let ann = ann_calls(&mut world, &mut proxy);
    let (bob, cid) = (ringing(&world, BOB), ringing(&world, CID));
    told(&mut world);
    world.answer(BOB, bob).unwrap();
    world.answer(CID, cid).unwrap();
    proxy.run(&mut world, SECOND);
    let ours = |method: &Method| -> Vec<String> {
        requests(&world, ANN, method).iter().map(|request| to_tag(&request.headers)).collect()
    };
    let [first, second] = [BOB, CID].map(|who| to_tag(&responses(&world, who, 200)[0].headers));
    assert_eq!(ours(&Method::Ack), [first, second.clone()], "each 200 has its ACK");
    assert_eq!(ours(&Method::Bye), [second]);
    let theirs = end(&world, CID);
    assert_eq!((theirs.status, theirs.ended_by), (Status::Completed, Some(EndedBy::Remote)));
    assert_eq!(world.places[BOB].engine.calls().count(), 1);
    hangs_up(&mut world, &mut proxy, BOB, bob);
    assert_eq!(outcome(&end(&world, ANN)), (Status::Completed, Some(200), Some(EndedBy::Remote)));
    assert!(!world.places[ANN].engine.calls().any(|(id, _)| id == ann));
    world.assert_forgotten();
}

#[test]
fn section_2_13_incoming_call_screening() {
    let mut world = behind_proxy(5377, Conduct::default());
    let mut proxy = tries(&[&[BOB]]);
    proxy.refuses = Some((403, "Screening Failure (Terminating)"));
    ann_calls(&mut world, &mut proxy);
    assert_eq!(told(&mut world), ["Ann>P INVITE", "P>Ann 403 INVITE", "Ann>P ACK"]);
    let record = end(&world, ANN);
    assert_eq!(outcome(&record), (Status::Failed, Some(403), Some(EndedBy::Remote)));
    assert_eq!(record.sip_reason.as_deref(), Some("Screening Failure (Terminating)"), "as the proxy said it");
    let told = record.metadata["explanation"].as_str().unwrap();
    assert!(told.starts_with("403 from ") && told.contains("Screening Failure (Terminating)"), "{told}");
    assert!(record.ringing_at.is_none() && world.places[BOB].events.is_empty());
    world.assert_forgotten();
}

/// Bob screens himself: he looks who calls, and declines for all of his places (603 ends the search).
#[test]
fn section_2_13_declined_by_the_called() {
    let mut world = behind_proxy(5378, Conduct::default());
    let mut proxy = tries(&[&[BOB], &[CID]]);
    ann_calls(&mut world, &mut proxy);
    let bob = ringing(&world, BOB);
    let record = world.places[BOB].engine.calls().next().unwrap().1;
    assert_eq!(record.from, AT[ANN], "what he decides by");
    world.with(BOB, |engine, now| engine.reject(now, bob, sidetone::sip::message::Status::DECLINE)).unwrap();
    proxy.run(&mut world, SECOND);
    let flow =
        ["Ann>P>Bob INVITE", "Bob>P>Ann 180 INVITE", "Bob>P 603 INVITE", "P>Bob ACK", "P>Ann 603 INVITE", "Ann>P ACK"];
    assert_eq!(told(&mut world), hops(&flow));
    assert_eq!(outcome(&end(&world, ANN)), (Status::Declined, Some(603), Some(EndedBy::Remote)));
    assert_eq!(outcome(&end(&world, BOB)), (Status::Declined, Some(603), Some(EndedBy::Local)));
    assert!(world.places[CID].events.is_empty(), "nobody else is asked");
    world.assert_forgotten();
}

/// She proves who she is, and may not call there all the same: that is told, and not tried again.
#[test]
fn section_2_14_outgoing_call_screening() {
    let mut world = behind_proxy(5379, Conduct::default());
    let mut proxy = tries(&[&[BOB]]);
    proxy.realm = Some("example.com");
    proxy.refuses = Some((403, "Screening Failure (Originating)"));
    ann_calls(&mut world, &mut proxy);
    let flow = ["Ann>P INVITE", "P>Ann 407 INVITE", "Ann>P ACK", "Ann>P INVITE", "P>Ann 403 INVITE", "Ann>P ACK"];
    assert_eq!(told(&mut world), flow);
    let record = end(&world, ANN);
    assert_eq!(outcome(&record), (Status::Failed, Some(403), Some(EndedBy::Remote)));
    assert_eq!(record.sip_reason.as_deref(), Some("Screening Failure (Originating)"));
    let told = record.metadata["explanation"].as_str().unwrap();
    assert!(told.starts_with("403 from ") && told.contains("Screening Failure (Originating)"), "{told}");
    assert!(world.places[BOB].events.is_empty());
    world.assert_forgotten();
}

/// The dialog of Ann's newest answered call as a Replaces for her.
fn anns_dialog(world: &World) -> Vec<Header> {
    let accepted = world.trace.iter().rev().find_map(|wire| match parse_datagram(&wire.bytes).unwrap() {
        Message::Response(response)
            if response.status.0 == 200 && response.headers.cseq().unwrap().method == Method::Invite =>
        {
            Some((wire.from == world.places[ANN].address, response.headers))
        }
        _ => None,
    });
    let (called, headers) = accepted.unwrap();
    let tags = [headers.to().unwrap(), headers.from().unwrap()].map(|address| address.tag().unwrap().to_owned());
    let [hers, theirs] = if called { tags } else { [tags[1].clone(), tags[0].clone()] };
    let value = format!("{};to-tag={hers};from-tag={theirs}", headers.call_id().unwrap());
    let require = Header { name: Name::Require, value: "replaces".into() };
    vec![Header { name: Name::Replaces, value: value.as_str().into() }, require]
}

/// Ann is parked: Dee, the park server, takes Bob's place and plays to her; later Cid retrieves the call from there. How Bob
/// tells the server (a REFER outside of a dialog) and how Cid learns of the dialog (its events, RFC 4235) is between them.
#[test]
fn section_2_15_call_park() {
    let mut world = four(5380, Conduct { transfers: Transfers::Accept, ..Conduct::default() }, None);
    super::talks(&mut world, ANN, BOB);
    let replaces = anns_dialog(&world);
    told(&mut world);
    let (park, _) = rings(&mut world, DEE, ANN, replaces);
    let taken = |by: &str, from: &str| {
        [
            format!("{by}>Ann INVITE"),
            format!("Ann>{by} 200 INVITE"),
            format!("Ann>{from} BYE"),
            format!("{by}>Ann ACK"),
            format!("{from}>Ann 200 BYE"),
        ]
    };
    let parked = anns_dialog(&world);
    assert_eq!(told(&mut world), taken("Dee", "Bob"));
    change(&mut world, DEE, park, Change::Hold);
    assert_eq!(told(&mut world), ["Dee>Ann INVITE sendonly", "Ann>Dee 200 INVITE recvonly", "Dee>Ann ACK"]);
    let (ann, record) = world.places[ANN].engine.calls().next().map(|(id, record)| (id, record.clone())).unwrap();
    let first = world.ended(ANN).remove(0);
    assert_eq!((first.status, first.ended_by), (Status::Completed, Some(EndedBy::Local)));
    assert_eq!(record.metadata["replaces"], first.id.as_str());
    assert_eq!(world.moments(ANN, ann).last(), Some(&Moment::Held(Side::Remote)), "she hears the music");

    rings(&mut world, CID, ANN, parked);
    assert_eq!(told(&mut world), taken("Cid", "Dee"));
    let (last, retrieved) = world.places[ANN].engine.calls().next().map(|(id, record)| (id, record.clone())).unwrap();
    assert_eq!(retrieved.metadata["replaces"], record.id.as_str());
    let moments = [ann, last].map(|call| world.moments(ANN, call));
    assert!(moments.iter().flatten().all(|moment| !matches!(moment, Moment::Ringing { .. })), "{moments:?}");
    assert_eq!(world.places[ANN].plans[&last].last().unwrap().remote_rtp.ip(), world.places[CID].address.ip());
    assert_eq!([BOB, DEE].map(|who| end(&world, who).ended_by), [Some(EndedBy::Remote); 2]);
    world.hangup(ANN, last).unwrap();
    world.run(SECOND);
    assert_eq!(told(&mut world), ["Ann>Cid BYE", "Cid>Ann 200 BYE"]);
    assert_eq!(world.ended(ANN).len(), 3);
    world.assert_forgotten();
}
