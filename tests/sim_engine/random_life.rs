//! 200 random lives: bad links, users who do what comes to mind, media that fails; of two people, and of three who also
//! transfer each other and move house. Whatever happens, each call begins once and ends once, its record is complete, and
//! nothing of it stays.

use crate::world::{LATENCY, Wire, World};
use sidetone::bench::impair::{Jitter, Loss, Recipe};
use sidetone::call::record::{CallDirection, Record, Status};
use sidetone::call::{CallId, Change, Conduct, MediaEvent, MediaOptions, Moment, Transfers};
use sidetone::media::plan::Codec;
use sidetone::random::Random;
use sidetone::sip::agent::{Account, Reliable, SessionTimerMode};
use sidetone::sip::message;
use sidetone::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

/// Users do what comes to mind.
fn live(world: &mut World) {
    let steps = 3 + world.random.range(0, 25);
    for _ in 0..steps {
        let pause = Duration::from_millis(world.random.range(0, 3_000));
        world.run(pause);
        let who = world.random.range(0, world.places.len() as u64) as usize;
        deed(world, who);
    }
}

/// Somebody other than `who`, as a target.
fn somebody(world: &mut World, who: usize) -> String {
    let people = world.places.len();
    let other = (who + 1 + world.random.range(0, people as u64 - 1) as usize) % people;
    format!("sip:{}@{}", ["ann", "bob", "cid"][other], world.places[other].address.ip())
}

fn deed(world: &mut World, who: usize) {
    let calls: Vec<CallId> = world.places[who].engine.calls().map(|(id, _)| id).collect();
    let pick = |world: &mut World| calls.get(world.random.range(0, calls.len() as u64) as usize).copied();
    let any = pick(world);
    let deeds = if world.places.len() > 2 { 17 } else { 12 };
    match (world.random.range(0, deeds), any) {
        (0..3, _) => {
            let target = somebody(world, who);
            let limit = Duration::from_millis(world.random.range(100, 60_000));
            world.dial(who, &target, limit, MediaOptions::default());
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
        (10..12, Some(call)) => {
            let change = [Change::Hold, Change::Resume, Change::Codecs(vec![Codec::Pcmu]), Change::Hold];
            let change = change[world.random.range(0, 4) as usize].clone();
            let _ = world.with(who, |engine, now| engine.change(now, call, change));
        }
        (12..14, Some(call)) => {
            let target = somebody(world, who).parse().unwrap();
            let _ = world.with(who, |engine, now| engine.transfer(now, call, &target));
        }
        (14, Some(call)) => {
            if let Some(other) = pick(world) {
                let _ = world.with(who, |engine, now| engine.transfer_attended(now, call, other));
            }
        }
        (15, _) => {
            let host = 10 * (who as u8 + 1) + world.random.range(0, 8) as u8;
            world.rehouse(who, (std::net::Ipv4Addr::new(192, 0, 2, host), 5060).into());
        }
        // Long enough for a session timer.
        (16, _) => world.run(Duration::from_secs(60)),
        _ => {}
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

/// A network, and media that fail now and then.
fn furnish(world: &mut World, seed: u64) {
    if !seed.is_multiple_of(4) {
        world.network.change(Recipe {
            delay: LATENCY,
            loss: Loss::Random(world.random.unit() * 0.4),
            jitter: Jitter::Uniform(Duration::from_millis(world.random.range(0, 300))),
            duplicate: world.random.unit() * 0.3,
            unordered: true,
            ..Recipe::default()
        });
    }
    for place in 0..world.places.len() {
        world.places[place].opens = if world.random.chance(0.3) { 0.7 } else { 1.0 };
        world.places[place].closes = world.random.chance(0.9);
    }
}

/// Everybody hangs up, and is forgotten; what was recorded of each.
fn end(world: &mut World, seed: u64) -> Vec<Vec<Record>> {
    // A transfer may begin a call while the last one ends.
    for _ in 0..3 {
        for who in 0..world.places.len() {
            let alive: Vec<CallId> = world.places[who].engine.calls().map(|(id, _)| id).collect();
            for call in alive {
                let _ = world.hangup(who, call);
            }
        }
        world.run(Duration::from_secs(1));
    }
    world.assert_forgotten();
    let records: Vec<Vec<Record>> = (0..world.places.len()).map(|who| check(world, who, seed)).collect();
    // Who was answered was answered by somebody; a transfer may lead to oneself.
    let taken = |record: &&Record| record.direction == CallDirection::Inbound;
    let taken: Vec<&Record> = records.iter().flatten().filter(taken).collect();
    for record in records.iter().flatten().filter(|record| record.direction == CallDirection::Outbound) {
        if record.answered_at.is_some() {
            let same = |far: &&&Record| far.metadata.get("call_id") == record.metadata.get("call_id");
            let far = taken.iter().find(same).unwrap_or_else(|| panic!("seed {seed}: {record:?}"));
            assert!(far.answered_at.is_some() && far.answered_at <= record.answered_at, "seed {seed}: {far:?}");
        }
    }
    records
}

#[test]
fn two_hundred_lives() {
    let (mut calls, mut statuses) = (0, BTreeSet::new());
    let lives = lives();
    // A short run, such as one seed that failed, need not hold everything.
    let whole = lives.end - lives.start >= 200;
    for seed in lives {
        let mut world = World::new(seed);
        furnish(&mut world, seed);
        live(&mut world);
        let records = end(&mut world, seed);
        calls += records.iter().map(Vec::len).sum::<usize>();
        statuses.extend(records.iter().flatten().map(|record| format!("{:?}", record.status)));
    }
    if !whole {
        return;
    }
    assert!(calls > 800, "{calls} calls are too few to mean anything");
    for status in ["Completed", "Missed", "Busy", "Failed", "NoAnswer", "Canceled", "Declined"] {
        assert!(statuses.contains(status), "{status} never came: {statuses:?}");
    }
}

/// Transfers, PRACK, session timers and moves on top, among three.
#[test]
fn two_hundred_lives_of_three() {
    let media = MediaOptions::default();
    let people =
        [("ann", "192.0.2.1", media.clone()), ("bob", "192.0.2.2", media.clone()), ("cid", "192.0.2.3", media)];
    let conduct = Conduct { transfers: Transfers::Accept, ..Conduct::default() };
    let taste = |random: &mut Random, account: &mut Account| {
        account.reliable = [Reliable::Off, Reliable::Supported, Reliable::Required][random.range(0, 3) as usize];
        account.session_timers.mode =
            [SessionTimerMode::Off, SessionTimerMode::Answer, SessionTimerMode::Ask][random.range(0, 3) as usize];
        account.session_timers.expires = Duration::from_secs(90);
    };
    let lives = lives();
    let whole = lives.end - lives.start >= 200;
    let mut said = BTreeSet::new();
    for seed in lives {
        let mut world = World::with_accounts(seed, &people, conduct, taste);
        furnish(&mut world, seed);
        live(&mut world);
        end(&mut world, seed);
        let method = |wire: &Wire| String::from_utf8_lossy(&wire.bytes).split(' ').next().map(str::to_owned);
        said.extend(world.trace.iter().filter_map(method));
    }
    for method in ["REFER", "NOTIFY", "PRACK", "UPDATE", "CANCEL"] {
        assert!(!whole || said.contains(method), "{method} never came: {said:?}");
    }
}
