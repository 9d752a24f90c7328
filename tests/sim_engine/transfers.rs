//! Three phones: Ann, Bob and Cid send each other to each other. And what others may not ask.

use crate::world::{ANN, BOB, World};
use sidetone::call::record::{EndedBy, Record, Status};
use sidetone::call::{Busy, CallId, Change, Conduct, MediaOptions, Moment, Role, Step, Transfers};
use sidetone::engine::Dial;
use sidetone::sip::agent::AccountId;
use sidetone::sip::header::{Header, Name};
use sidetone::sip::message::{Message, Method};
use sidetone::sip::wire::parse_datagram;
use sidetone::time::Duration;

const CID: usize = 2;

const OPEN: Conduct = Conduct {
    transfers: Transfers::Accept,
    busy: Busy::Ring,
    do_not_disturb: false,
    auto_answer: false,
    hold_before_transfer: true,
};

fn three(seed: u64, conduct: Conduct) -> World {
    let media = MediaOptions::default();
    let people =
        [("ann", "192.0.2.1", media.clone()), ("bob", "192.0.2.2", media.clone()), ("cid", "192.0.2.3", media)];
    World::with_people(seed, &people, conduct)
}

/// Ann calls `target` with these header fields.
fn dial(world: &mut World, target: &str, headers: Vec<Header>) -> CallId {
    let dial = Dial {
        account: AccountId(0),
        target: target.parse().unwrap(),
        from_number: None,
        media: MediaOptions::default(),
        ring_limit: Duration::from_secs(60),
        headers,
    };
    world.with(ANN, |engine, now| engine.dial(now, dial)).unwrap()
}

/// The call of `who` that rings now, after `before` that rang before.
#[track_caller]
fn rings(world: &mut World, who: usize, before: usize) -> CallId {
    for _ in 0..200 {
        let mut ringing: Vec<CallId> = Vec::new();
        for (_, event) in &world.places[who].events {
            if matches!(event.moment, Moment::Ringing { .. }) && !ringing.contains(&event.call) {
                ringing.push(event.call);
            }
        }
        if ringing.len() > before {
            return ringing[before];
        }
        world.run(Duration::from_millis(100));
    }
    panic!("it never rang: {}", world.story());
}

/// The steps of the transfers that `who` saw, with the role.
fn steps(world: &World, who: usize) -> Vec<(Role, String)> {
    let events = world.places[who].events.iter();
    events
        .filter_map(|(_, event)| match &event.moment {
            Moment::Transfer(told) => Some((
                told.role,
                match &told.step {
                    Step::Asked => "asked".to_owned(),
                    Step::Requested => "requested".to_owned(),
                    Step::Accepted => "accepted".to_owned(),
                    Step::Progress(status, _) => status.to_string(),
                    Step::Completed => "completed".to_owned(),
                    Step::Failed(status, _) => format!("failed {}", status.map_or(0, |status| status.0)),
                },
            )),
            _ => None,
        })
        .collect()
}

fn said(steps: &[(Role, String)]) -> Vec<&str> {
    steps.iter().map(|(_, step)| step.as_str()).collect()
}

fn ended_with(world: &World, who: usize, key: &str) -> Record {
    let found = world.ended(who).into_iter().find(|record| record.metadata.contains_key(key));
    found.unwrap_or_else(|| panic!("no record with {key}: {}", world.story()))
}

fn transfer(world: &mut World, call: CallId) {
    world.with(ANN, |engine, now| engine.transfer(now, call, &"sip:cid@192.0.2.3".parse().unwrap())).unwrap();
}

#[test]
fn ann_sends_bob_to_cid() {
    let mut world = three(41, OPEN);
    let (ann, bob) = world.talk();
    transfer(&mut world, ann);
    let cid = rings(&mut world, CID, 0);
    world.run(Duration::from_secs(2));
    assert_eq!(world.places[ANN].engine.calls().count(), 1, "the call goes on until he has arrived");
    world.answer(CID, cid).unwrap();
    world.run(Duration::from_secs(3));
    assert_eq!(said(&steps(&world, ANN)), ["requested", "accepted", "180", "completed"]);
    assert_eq!(said(&steps(&world, BOB)), ["requested", "180", "completed"]);
    let refused = world.trace.iter().filter(|wire| wire.bytes.starts_with(b"SIP/2.0 4")).count();
    assert_eq!(refused, 0, "every NOTIFY is answered with 200, the last one before our BYE: {}", world.story());
    assert!(steps(&world, BOB).iter().all(|(role, _)| *role == Role::Transferee));
    let ours = world.ended(ANN).remove(0);
    assert_eq!((ours.status, ours.ended_by), (Status::Completed, Some(EndedBy::Local)));
    let told = &ours.metadata["transfer"];
    assert_eq!(
        (&told["role"], &told["result"], &told["sip_code"]),
        (&"transferor".into(), &"completed".into(), &200.into())
    );
    assert_eq!((&told["kind"], &told["target"]), (&"blind".into(), &"sip:cid@192.0.2.3".into()));
    // Bob's first call is over; his second goes on, and says where it comes from.
    let first = world.ended(BOB).remove(0);
    assert_eq!((first.ended_by, &first.metadata["transfer"]["result"]), (Some(EndedBy::Remote), &"completed".into()));
    assert_eq!(first.metadata["transfer"]["by"], "<sip:ann@192.0.2.1>");
    let (second, record) = world.places[BOB].engine.calls().next().map(|(id, record)| (id, record.clone())).unwrap();
    assert_ne!(second, bob);
    assert_eq!(record.metadata["transferred_from"], first.id.as_str());
    let invite = world.trace.iter().rev().find_map(|wire| match parse_datagram(&wire.bytes) {
        Ok(Message::Request(request)) if request.method == Method::Invite => Some(request),
        _ => None,
    });
    assert_eq!(invite.unwrap().headers.get(&Name::ReferredBy), Some("<sip:ann@192.0.2.1>"));
    world.hangup(CID, cid).unwrap();
    world.run(Duration::from_secs(60));
    world.assert_forgotten();
}

#[test]
fn cid_declines_and_the_call_goes_on() {
    let mut world = three(42, OPEN);
    let (ann, bob) = world.talk();
    transfer(&mut world, ann);
    let again = world.with(ANN, |engine, now| engine.transfer(now, ann, &"sip:cid@192.0.2.3".parse().unwrap()));
    assert!(again.unwrap_err().to_string().contains("already"));
    let cid = rings(&mut world, CID, 0);
    world.with(CID, |engine, now| engine.reject(now, cid, sidetone::sip::message::Status(486))).unwrap();
    world.run(Duration::from_secs(2));
    assert_eq!(said(&steps(&world, ANN)), ["requested", "accepted", "180", "failed 486"]);
    assert_eq!(world.places[ANN].engine.calls().count(), 1);
    assert_eq!(world.places[BOB].engine.calls().map(|(id, _)| id).collect::<Vec<_>>(), [bob]);
    // It can be tried again: the second REFER of the dialog is told from the first.
    transfer(&mut world, ann);
    let cid = rings(&mut world, CID, 1);
    world.answer(CID, cid).unwrap();
    world.run(Duration::from_secs(2));
    assert_eq!(steps(&world, ANN).last().unwrap().1, "completed", "{}", world.story());
    let texts: Vec<_> = world.trace.iter().map(|wire| String::from_utf8_lossy(&wire.bytes).into_owned()).collect();
    assert!(texts.iter().any(|text| text.starts_with("NOTIFY") && text.contains("Event: refer;id=")));
    world.hangup(CID, cid).unwrap();
    world.run(Duration::from_secs(60));
    world.assert_forgotten();
}

/// The directions of Ann's offers, and her REFERs, in the order of sending.
fn holds_and_refers(world: &World) -> Vec<&'static str> {
    let ann = world.places[ANN].address;
    let sent = world.trace.iter().filter(|wire| wire.from == ann);
    sent.filter_map(|wire| match parse_datagram(&wire.bytes) {
        Ok(Message::Request(request)) if request.method == Method::Refer => Some("refer"),
        Ok(Message::Request(request)) if request.method == Method::Invite => {
            let sdp = String::from_utf8_lossy(&request.body).into_owned();
            Some(if sdp.contains("a=sendonly") { "hold" } else { "talk" })
        }
        _ => None,
    })
    .collect()
}

#[test]
fn a_far_end_is_held_while_it_is_sent_elsewhere() {
    let rows: [(bool, bool, &[&str]); 3] = [
        (true, false, &["talk", "hold", "refer", "talk"]),
        // Held by the user before: it stays so.
        (true, true, &["talk", "hold", "refer"]),
        (false, false, &["talk", "refer"]),
    ];
    for (hold_before_transfer, held, wanted) in rows {
        let mut world = three(51, Conduct { hold_before_transfer, ..OPEN });
        let (ann, _) = world.talk();
        if held {
            world.with(ANN, |engine, now| engine.change(now, ann, Change::Hold)).unwrap();
            world.run(Duration::from_secs(1));
        }
        transfer(&mut world, ann);
        let cid = rings(&mut world, CID, 0);
        world.with(CID, |engine, now| engine.reject(now, cid, sidetone::sip::message::Status(486))).unwrap();
        world.run(Duration::from_secs(2));
        assert_eq!(holds_and_refers(&world), wanted, "hold {hold_before_transfer}, held {held}");
        world.hangup(ANN, ann).unwrap();
        world.assert_forgotten();
    }
}

/// The hold before a transfer meets a change of the far end, and comes through at its second attempt; then the REFER goes.
#[test]
fn a_transfer_waits_for_a_hold_that_meets_another_change() {
    let mut world = three(52, OPEN);
    let (ann, bob) = world.talk();
    transfer(&mut world, ann);
    world.with(BOB, |engine, now| engine.change(now, bob, Change::Hold)).unwrap();
    world.run(Duration::from_secs(10));
    assert!(world.story().contains("SIP/2.0 491"), "{}", world.story());
    let done = holds_and_refers(&world);
    assert_eq!((done.iter().filter(|what| **what == "refer").count(), done.last()), (1, Some(&"refer")), "{done:?}");
    let cid = rings(&mut world, CID, 0);
    world.answer(CID, cid).unwrap();
    world.run(Duration::from_secs(2));
    assert_eq!(steps(&world, ANN).last().unwrap().1, "completed");
}

#[test]
fn a_phone_that_refuses_transfers_says_so_and_stays() {
    for transfers in [Transfers::Refuse, Transfers::Account] {
        // Cid is not at the domain of Bob's account.
        let mut world = three(43, Conduct { transfers, ..OPEN });
        let (ann, _) = world.talk();
        transfer(&mut world, ann);
        world.run(Duration::from_secs(2));
        assert_eq!(said(&steps(&world, ANN)), ["requested", "failed 603"]);
        assert!(steps(&world, BOB).is_empty() && world.places[CID].events.is_empty());
        world.hangup(ANN, ann).unwrap();
        world.run(Duration::from_secs(60));
        let record = world.ended(ANN).remove(0);
        assert_eq!(record.metadata["transfer"]["result"], "failed");
        world.assert_forgotten();
    }
}

/// Ann talks with Bob and with Cid; her calls and theirs.
fn both(world: &mut World) -> [CallId; 4] {
    let (ann, bob) = world.talk();
    let second = dial(world, "sip:cid@192.0.2.3", Vec::new());
    let cid = rings(world, CID, 0);
    world.answer(CID, cid).unwrap();
    world.run(Duration::from_secs(2));
    [ann, bob, second, cid]
}

#[test]
fn ann_joins_bob_and_cid() {
    let mut world = three(44, OPEN);
    let [first, _, second, cid] = both(&mut world);
    world.with(ANN, |engine, now| engine.transfer_attended(now, first, second)).unwrap();
    world.run(Duration::from_secs(3));
    assert_eq!(said(&steps(&world, ANN)), ["requested", "accepted", "completed"], "{}", world.story());
    // The target's call is taken over without ringing.
    let target = steps(&world, CID);
    assert_eq!(target, [(Role::Target, "completed".to_owned())]);
    let replaced = world.ended(CID).remove(0);
    assert_eq!((replaced.status, replaced.ended_by), (Status::Completed, Some(EndedBy::Local)));
    let told = &replaced.metadata["transfer"];
    assert_eq!((&told["role"], &told["target"]), (&"target".into(), &"sip:bob@192.0.2.2".into()));
    let (taking, record) = world.places[CID].engine.calls().next().map(|(id, record)| (id, record.clone())).unwrap();
    assert_ne!(taking, cid);
    assert_eq!(record.metadata["replaces"], replaced.id.as_str());
    assert_eq!(told["replaced_by"], record.id.as_str());
    // Both calls of Ann are over, the transferred one by her BYE, the other by Cid's.
    let records = world.ended(ANN);
    assert_eq!(records.len(), 2);
    let transferred = ended_with(&world, ANN, "transfer");
    assert_eq!(
        (transferred.ended_by, &transferred.metadata["transfer"]["kind"]),
        (Some(EndedBy::Local), &"attended".into())
    );
    let other = records.iter().find(|record| record.id != transferred.id).unwrap();
    assert_eq!(other.ended_by, Some(EndedBy::Remote));
    assert_eq!(transferred.metadata["transfer_other"], other.id.as_str());
    assert_eq!(world.places[BOB].engine.calls().count(), 1);
    world.hangup(CID, taking).unwrap();
    world.run(Duration::from_secs(60));
    world.assert_forgotten();
}

#[test]
fn calls_that_are_not_there_are_not_joined() {
    let mut world = three(45, OPEN);
    let (ann, _) = world.talk();
    let refused = world.with(ANN, |engine, now| engine.transfer_attended(now, ann, ann)).unwrap_err();
    assert!(refused.to_string().contains("itself"), "{refused}");
    let ringing = dial(&mut world, "sip:cid@192.0.2.3", Vec::new());
    rings(&mut world, CID, 0);
    let refused = world.with(ANN, |engine, now| engine.transfer_attended(now, ann, ringing)).unwrap_err();
    assert!(refused.to_string().contains("not answered"), "{refused}");
    let refused = world.with(ANN, |engine, now| engine.transfer(now, ringing, &"sip:x@192.0.2.9".parse().unwrap()));
    assert!(refused.unwrap_err().to_string().contains("wait for the answer"));
}

fn replaces(value: &str) -> Vec<Header> {
    vec![Header { name: Name::Replaces, value: value.into() }]
}

#[test]
fn an_invite_that_replaces_what_is_not_there_is_refused() {
    let mut world = three(46, OPEN);
    let (_, bob) = world.talk();
    // The names of Bob's dialog as the wire showed them.
    let answer = world.trace.iter().find_map(|wire| match parse_datagram(&wire.bytes) {
        Ok(Message::Response(response)) if response.status.0 == 200 => Some(response.headers),
        _ => None,
    });
    let headers = answer.unwrap();
    let (call_id, to, from) = (headers.call_id().unwrap(), headers.to().unwrap(), headers.from().unwrap());
    let (to, from) = (to.tag().unwrap(), from.tag().unwrap());
    for (value, code) in [
        ("nobody@192.0.2.9;to-tag=1;from-tag=2".to_owned(), 481),
        (format!("{call_id};to-tag={to};from-tag=other"), 481),
        (format!("{call_id};to-tag={to};from-tag={from};early-only"), 486),
        (format!("{call_id};to-tag={to}"), 400),
    ] {
        let call = dial(&mut world, "sip:bob@192.0.2.2", replaces(&value));
        world.run(Duration::from_secs(2));
        let ended = world.places[ANN].events.iter().rev().find(|(_, event)| event.call == call);
        let (_, event) = ended.unwrap();
        assert_eq!((event.moment.clone(), event.record.sip_code), (Moment::Ended, Some(code)), "{value}");
    }
    // An early dialog that the other side began is not picked up.
    let early = dial(&mut world, "sip:cid@192.0.2.3", Vec::new());
    rings(&mut world, CID, 0);
    let name = world.trace.iter().rev().find_map(|wire| match parse_datagram(&wire.bytes) {
        Ok(Message::Response(response)) if response.status.0 == 180 => Some(response.headers),
        _ => None,
    });
    let name = name.unwrap();
    let value = format!(
        "{};to-tag={};from-tag={}",
        name.call_id().unwrap(),
        name.to().unwrap().tag().unwrap(),
        name.from().unwrap().tag().unwrap()
    );
    let call = dial(&mut world, "sip:cid@192.0.2.3", replaces(&value));
    world.run(Duration::from_secs(2));
    let refused = world.places[ANN].events.iter().rev().find(|(_, event)| event.call == call).unwrap();
    assert_eq!(refused.1.record.sip_code, Some(481));
    // The calls that were to be replaced go on.
    assert!(world.places[BOB].engine.calls().any(|(id, _)| id == bob));
    assert!(world.places[ANN].engine.calls().any(|(id, _)| id == early));
}

#[test]
fn a_stranger_takes_no_place_where_the_policy_wants_the_same_account() {
    let mut world = three(47, Conduct { transfers: Transfers::Refuse, ..OPEN });
    let (_, bob) = world.talk();
    let answer = world.trace.iter().find_map(|wire| match parse_datagram(&wire.bytes) {
        Ok(Message::Response(response)) if response.status.0 == 200 => Some(response.headers),
        _ => None,
    });
    let headers = answer.unwrap();
    let (to, from) = (headers.to().unwrap(), headers.from().unwrap());
    let value = format!("{};to-tag={};from-tag={}", headers.call_id().unwrap(), to.tag().unwrap(), from.tag().unwrap());
    dial(&mut world, "sip:bob@192.0.2.2", replaces(&value));
    world.run(Duration::from_secs(3));
    let refused = world.ended(ANN).remove(0);
    assert_eq!(refused.sip_code, Some(603));
    assert!(world.places[BOB].engine.calls().any(|(id, _)| id == bob));
}

#[test]
fn a_second_caller_rings_or_is_refused_as_the_policy_says() {
    for (busy, code) in [(Busy::Ring, None), (Busy::Here, Some(486)), (Busy::Decline, Some(603))] {
        let mut world = three(48, Conduct { busy, ..OPEN });
        world.talk();
        let second = dial(&mut world, "sip:bob@192.0.2.2", Vec::new());
        world.run(Duration::from_secs(2));
        let (_, event) = world.places[ANN].events.iter().rev().find(|(_, event)| event.call == second).unwrap();
        assert_eq!(event.record.sip_code, code, "{busy:?}");
        assert_eq!(world.places[BOB].engine.calls().count(), if code.is_some() { 1 } else { 2 }, "{busy:?}");
        if let Some(code) = code {
            let theirs = world.ended(BOB).remove(0);
            let status = if code == 486 { Status::Busy } else { Status::Declined };
            assert_eq!((theirs.status, theirs.ended_by), (status, Some(EndedBy::Local)));
        }
    }
}

#[test]
fn who_does_not_want_to_be_disturbed_gets_480_without_ringing() {
    let mut world = three(49, Conduct { do_not_disturb: true, ..OPEN });
    dial(&mut world, "sip:bob@192.0.2.2", Vec::new());
    world.run(Duration::from_secs(30));
    let record = world.ended(ANN).remove(0);
    assert_eq!((record.sip_code, record.ringing_at), (Some(480), None));
    assert_eq!(world.ended(BOB).remove(0).status, Status::Missed);
    world.assert_forgotten();
}

#[test]
fn the_wish_to_be_answered_is_told_where_the_policy_lets_it() {
    for auto_answer in [false, true] {
        let mut world = three(50, Conduct { auto_answer, ..OPEN });
        let call_info = Header { name: Name::CallInfo, value: "<sip:192.0.2.1>;answer-after=2".into() };
        dial(&mut world, "sip:bob@192.0.2.2", vec![call_info]);
        rings(&mut world, BOB, 0);
        let (_, record) = world.places[BOB].engine.calls().next().unwrap();
        let wanted = auto_answer.then(|| serde_json::json!(2));
        assert_eq!(record.metadata.get("auto_answer_after"), wanted.as_ref());
    }
}
