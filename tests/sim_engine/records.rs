//! How calls end, and what their records say.

use crate::world::{ANN, BOB, LATENCY, MEDIA_TIME, START, World, wall};
use EndedBy::{Local, Network, Remote};
use sidetone::call::record::{EndedBy, Record, Status};
use sidetone::call::{MediaOptions, Moment};
use sidetone::sip::message;
use sidetone::time::Duration;

type Ending = (Status, Option<u16>, EndedBy);

fn ending(record: &Record) -> Ending {
    (record.status, record.sip_code, record.ended_by.unwrap())
}

fn rings(world: &mut World) -> sidetone::call::CallId {
    world.wait(BOB, |moment| matches!(moment, Moment::Ringing { .. })).call
}

fn rejects(world: &mut World, status: u16) {
    world.ann_calls();
    let bob = rings(world);
    world.with(BOB, |engine, now| engine.reject(now, bob, message::Status(status))).unwrap();
}

#[test]
fn every_end_has_its_status_on_both_sides() {
    type Act = fn(&mut World);
    let rows: &[(&str, Act, Ending, Option<Ending>)] = &[
        (
            "she hangs up",
            |world| {
                let (ann, _) = world.talk();
                world.hangup(ANN, ann).unwrap();
            },
            (Status::Completed, Some(200), Local),
            Some((Status::Completed, Some(200), Remote)),
        ),
        (
            "he hangs up",
            |world| {
                let (_, bob) = world.talk();
                world.hangup(BOB, bob).unwrap();
            },
            (Status::Completed, Some(200), Remote),
            Some((Status::Completed, Some(200), Local)),
        ),
        (
            "she gives up while it rings",
            |world| {
                let ann = world.ann_calls();
                world.wait(ANN, |moment| matches!(moment, Moment::Ringing { .. }));
                world.hangup(ANN, ann).unwrap();
            },
            (Status::Canceled, Some(487), Local),
            Some((Status::Missed, Some(487), Remote)),
        ),
        (
            "busy",
            |world| rejects(world, 486),
            (Status::Busy, Some(486), Remote),
            Some((Status::Busy, Some(486), Local)),
        ),
        (
            "declined",
            |world| rejects(world, 603),
            (Status::Declined, Some(603), Remote),
            Some((Status::Declined, Some(603), Local)),
        ),
        (
            "he hangs up while it rings",
            |world| {
                world.ann_calls();
                let bob = rings(world);
                world.hangup(BOB, bob).unwrap();
            },
            (Status::Declined, Some(603), Remote),
            Some((Status::Declined, Some(603), Local)),
        ),
        (
            "another refusal",
            |world| rejects(world, 503),
            (Status::Failed, Some(503), Remote),
            Some((Status::Failed, Some(503), Local)),
        ),
        (
            "the limit of ringing",
            |world| {
                world.ann_calls();
            },
            (Status::NoAnswer, Some(487), Local),
            Some((Status::Missed, Some(487), Remote)),
        ),
        (
            "nobody ever answers",
            |world| {
                let limit = Duration::from_secs(3_600);
                world.dial(ANN, "sip:bob@192.0.2.2", limit, MediaOptions::default());
            },
            (Status::NoAnswer, Some(480), Remote),
            Some((Status::Missed, Some(480), Network)),
        ),
        (
            "nobody of that name",
            |world| {
                world.dial(ANN, "sip:cid@192.0.2.2", Duration::from_secs(60), MediaOptions::default());
            },
            (Status::Failed, Some(404), Remote),
            None,
        ),
        (
            "no such host",
            |world| {
                world.dial(ANN, "sip:bob@nowhere.invalid", Duration::from_secs(60), MediaOptions::default());
            },
            (Status::Failed, None, Network),
            None,
        ),
        (
            "a host that is silent",
            |world| {
                world.dial(ANN, "sip:bob@192.0.2.77", Duration::from_secs(60), MediaOptions::default());
            },
            (Status::Failed, Some(408), Network),
            None,
        ),
    ];
    for (name, act, ann, bob) in rows {
        let mut world = World::new(1);
        act(&mut world);
        world.run(Duration::from_secs(400));
        let records = [world.ended(ANN), world.ended(BOB)];
        assert_eq!(records[0].len(), 1, "{name}: {}", world.story());
        assert_eq!(ending(&records[0][0]), *ann, "{name}, Ann: {}", world.story());
        assert_eq!(records[1].first().map(ending), *bob, "{name}, Bob: {}", world.story());
        for record in records.iter().flatten() {
            let answered = record.status == Status::Completed;
            assert_eq!((record.answered_at.is_some(), record.talk_seconds.is_some()), (answered, answered), "{name}");
            assert!(record.ended_at >= Some(record.created_at));
        }
        world.assert_forgotten();
    }
}

#[test]
fn times_are_exact() {
    let mut world = World::new(2);
    let ann = world.ann_calls();
    let bob = rings(&mut world);
    world.run(Duration::from_secs(4));
    let answered = world.now;
    world.answer(BOB, bob).unwrap();
    world.run(Duration::from_millis(12_345));
    let hung_up = world.now;
    world.hangup(ANN, ann).unwrap();
    world.run(Duration::from_secs(60));
    let (ann, bob) = (world.ended(ANN).remove(0), world.ended(BOB).remove(0));
    let at = |instant| Some(wall().at(instant));

    assert_eq!(Some(ann.created_at), at(START));
    // Her ports, the way to him, his ports, the way back.
    assert_eq!(Some(bob.created_at), at(START + MEDIA_TIME + LATENCY));
    assert_eq!(bob.ringing_at, at(START + MEDIA_TIME + LATENCY + MEDIA_TIME));
    assert_eq!(ann.ringing_at, at(START + MEDIA_TIME + LATENCY + MEDIA_TIME + LATENCY));
    assert_eq!(bob.answered_at, at(answered));
    assert_eq!(ann.answered_at, at(answered + LATENCY));
    assert_eq!(bob.ended_at, at(hung_up + LATENCY));
    assert!(ann.ended_at >= at(hung_up) && ann.ended_at <= at(hung_up + LATENCY + LATENCY), "{ann:?}");
    assert_eq!(bob.talk_seconds, Some(12.355));
    let talked = ann.ended_at.unwrap().duration_since(ann.answered_at.unwrap()).as_secs_f64();
    assert!((ann.talk_seconds.unwrap() - talked).abs() < 1e-9);

    assert_eq!((ann.from.as_str(), ann.to.as_str()), ("sip:ann@192.0.2.1", "sip:bob@192.0.2.2"));
    assert_eq!((bob.from.as_str(), bob.to.as_str()), ("sip:ann@192.0.2.1", "sip:bob@192.0.2.2"));
    assert_eq!((ann.number.as_deref(), bob.number.as_deref()), (Some("ann"), Some("bob")));
    assert_eq!(
        (ann.account.as_deref(), bob.account.as_deref()),
        (Some("sip:ann@192.0.2.1"), Some("sip:bob@192.0.2.2"))
    );
    for record in [&ann, &bob] {
        assert_eq!((record.codec.as_deref(), record.ptime_ms), (Some("opus"), Some(20)));
        assert_eq!((record.transport.as_deref(), record.srtp.as_deref()), (Some("udp"), None));
    }
    assert_eq!(ann.metadata["call_id"], bob.metadata["call_id"]);
    assert_ne!(ann.id, bob.id);
}

#[test]
fn moments_come_in_their_order() {
    let mut world = World::new(3);
    let (ann, bob) = world.talk();
    world.with(ANN, |engine, now| engine.dtmf(now, ann, "12#")).unwrap();
    world.hangup(BOB, bob).unwrap();
    world.run(Duration::from_secs(60));
    let whole = [Moment::Initiated, Moment::Ringing { early_media: false }, Moment::Answered, Moment::Ended];
    assert_eq!(world.moments(ANN, ann), whole);
    assert_eq!(world.moments(BOB, bob), whole);
    assert_eq!(world.places[ANN].digits, ["12#"]);
    // A call that is over takes no command.
    assert!(world.hangup(ANN, ann).is_err() && world.answer(BOB, bob).is_err());
    assert!(world.with(ANN, |engine, now| engine.dtmf(now, ann, "1")).is_err());
    world.assert_forgotten();
}

#[test]
fn commands_that_mean_nothing_are_refused_and_harm_nothing() {
    let mut world = World::new(4);
    let ann = world.ann_calls();
    // Nobody answers his own call, nobody presses keys before the answer.
    assert!(world.answer(ANN, ann).is_err());
    assert!(world.with(ANN, |engine, now| engine.dtmf(now, ann, "1")).is_err());
    assert!(world.with(ANN, |engine, now| engine.reject(now, ann, message::Status(486))).is_err());
    let bob = rings(&mut world);
    world.answer(BOB, bob).unwrap();
    assert!(world.answer(BOB, bob).is_err(), "answered already");
    assert!(world.with(BOB, |engine, now| engine.reject(now, bob, message::Status(486))).is_err());
    world.wait(ANN, |moment| *moment == Moment::Answered);
    world.hangup(ANN, ann).unwrap();
    world.run(Duration::from_secs(60));
    assert_eq!(world.ended(ANN)[0].status, Status::Completed);
    assert_eq!(world.ended(BOB)[0].status, Status::Completed);
}
