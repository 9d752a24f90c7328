//! 200 random lives: bad links, users who do what comes to mind, media that fails. Whatever happens, each call begins
//! once and ends once, its record is complete, and nothing of it stays.

use crate::world::{ANN, BOB, World};
use sidetone::call::record::{CallDirection, Record, Status};
use sidetone::call::{CallId, Change, MediaEvent, MediaOptions, Moment};
use sidetone::media::plan::Codec;
use sidetone::sip::message;
use sidetone::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

/// Users do what comes to mind.
fn live(world: &mut World) {
    let steps = 3 + world.random.range(0, 25);
    for _ in 0..steps {
        let pause = Duration::from_millis(world.random.range(0, 3_000));
        world.run(pause);
        let who = usize::from(world.random.chance(0.5));
        let calls: Vec<CallId> = world.places[who].engine.calls().map(|(id, _)| id).collect();
        let any = calls.get(world.random.range(0, calls.len() as u64) as usize).copied();
        let deed = world.random.range(0, 12);
        match (deed, any) {
            (0..3, _) => {
                let target = if who == ANN { "sip:bob@192.0.2.2" } else { "sip:ann@192.0.2.1" };
                let limit = Duration::from_millis(world.random.range(100, 60_000));
                world.dial(who, target, limit, MediaOptions::default());
            }
            // A command may come at any time; it is taken or refused.
            (3..6, Some(call)) => drop(world.answer(who, call)),
            (6, Some(call)) => {
                let status = [480, 486, 500, 600, 603][world.random.range(0, 5) as usize];
                let _ = world.with(who, |engine, now| engine.reject(now, call, message::Status(status)));
            }
            (7, Some(call)) => drop(world.hangup(who, call)),
            (8, Some(call)) => drop(world.with(who, |engine, now| engine.dtmf(now, call, "5"))),
            (9, Some(call)) if world.places[who].media.contains_key(&call) => {
                world.media(who, call, MediaEvent::Quality(Box::default()));
                if world.random.chance(0.3) && world.places[who].plans.contains_key(&call) {
                    world.media(who, call, MediaEvent::Failed("broken".into()));
                }
            }
            (10.., Some(call)) => {
                let change = [Change::Hold, Change::Resume, Change::Codecs(vec![Codec::Pcmu]), Change::Hold];
                let change = change[world.random.range(0, 4) as usize].clone();
                let _ = world.with(who, |engine, now| engine.change(now, call, change));
            }
            _ => {}
        }
    }
}

fn check(world: &World, who: usize, seed: u64) -> Vec<Record> {
    let mut stories: BTreeMap<CallId, Vec<&Moment>> = BTreeMap::new();
    for (_, event) in &world.places[who].events {
        stories.entry(event.call).or_default().push(&event.moment);
    }
    for (call, story) in &stories {
        let count = |wanted: &Moment| story.iter().filter(|moment| **moment == wanted).count();
        assert_eq!(count(&Moment::Initiated), 1, "seed {seed}, {call}: {story:?}");
        assert_eq!(count(&Moment::Ended), 1, "seed {seed}, {call}: {story:?}");
        assert!(count(&Moment::Answered) <= 1, "seed {seed}, {call}: {story:?}");
        assert_eq!(story.first(), Some(&&Moment::Initiated), "seed {seed}");
        assert_eq!(story.last(), Some(&&Moment::Ended), "seed {seed}, {call}: {story:?}");
    }
    let records = world.ended(who);
    for record in &records {
        assert_ne!(record.status, Status::InProgress, "seed {seed}");
        assert!(record.ended_by.is_some() && record.ended_at.is_some(), "seed {seed}: {record:?}");
        assert_eq!(record.talk_seconds.is_some(), record.answered_at.is_some(), "seed {seed}");
        let times = [Some(record.created_at), record.ringing_at, record.answered_at, record.ended_at];
        assert!(times.iter().flatten().is_sorted(), "seed {seed}: {record:?}");
        assert!(record.status != Status::Completed || record.answered_at.is_some(), "seed {seed}: {record:?}");
        assert!(record.status != Status::Missed || record.direction == CallDirection::Inbound, "seed {seed}");
    }
    let ids: BTreeSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(ids.len(), records.len(), "seed {seed}: ids are unique");
    records
}

/// Lives that are lived: 200, or as many as `SIDETONE_LIVES` says, from the seed `SIDETONE_FIRST_LIFE` on.
fn lives() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("SIDETONE_FIRST_LIFE").unwrap_or(0);
    first..first + number("SIDETONE_LIVES").unwrap_or(200)
}

#[test]
fn two_hundred_lives() {
    let (mut calls, mut statuses) = (0, BTreeSet::new());
    let lives = lives();
    // A short run, such as one seed that failed, need not hold everything.
    let whole = lives.end - lives.start >= 200;
    for seed in lives {
        let mut world = World::new(seed);
        if seed % 4 != 0 {
            world.loss = world.random.unit() * 0.4;
            world.jitter = Duration::from_millis(world.random.range(0, 300));
            world.twice = world.random.unit() * 0.3;
        }
        for place in 0..2 {
            world.places[place].opens = if world.random.chance(0.3) { 0.7 } else { 1.0 };
            world.places[place].closes = world.random.chance(0.9);
        }
        live(&mut world);
        for who in [ANN, BOB] {
            let alive: Vec<CallId> = world.places[who].engine.calls().map(|(id, _)| id).collect();
            for call in alive {
                let _ = world.hangup(who, call);
            }
        }
        world.assert_forgotten();
        let (ann, bob) = (check(&world, ANN, seed), check(&world, BOB, seed));
        // Who was answered was answered by somebody.
        for (one, other) in [(&ann, &bob), (&bob, &ann)] {
            for record in one.iter().filter(|record| record.direction == CallDirection::Outbound) {
                if record.answered_at.is_some() {
                    let same = |far: &&Record| far.metadata.get("call_id") == record.metadata.get("call_id");
                    let far = other.iter().find(same).unwrap_or_else(|| panic!("seed {seed}: {record:?}"));
                    assert!(far.answered_at.is_some() && far.answered_at <= record.answered_at, "seed {seed}: {far:?}");
                }
            }
        }
        calls += ann.len() + bob.len();
        statuses.extend(ann.iter().chain(&bob).map(|record| format!("{:?}", record.status)));
    }
    if !whole {
        return;
    }
    assert!(calls > 800, "{calls} calls are too few to mean anything");
    for status in ["Completed", "Missed", "Busy", "Failed", "NoAnswer", "Canceled", "Declined"] {
        assert!(statuses.contains(status), "{status} never came: {statuses:?}");
    }
}
