//! Random life: two agents, a bad link, users who do anything at any time; what must hold holds after each step.

use std::collections::{BTreeMap, BTreeSet};

use sidetone::bench::impair::{Jitter, Loss, Recipe};
use sidetone::random::Random;
use sidetone::sip::agent::{AgentConfig, Event, InsideRequest, InviteRequest, RequestId, SessionId};
use sidetone::sip::message::{Method, Status};
use sidetone::time::{Duration, Instant};

use crate::peer::{ANSWER, Line, OFFER, config, uri};
use crate::world::{Node, World, session_of};

const SESSIONS: usize = 40;

/// What the user of one agent knows: the sessions that live, and what they wait for.
#[derive(Default)]
struct User {
    live: BTreeMap<SessionId, &'static str>,
    ended: BTreeSet<SessionId>,
    /// What the other side asked.
    asked: Vec<(SessionId, RequestId)>,
    /// The kinds of events that were seen.
    seen: BTreeSet<String>,
}

fn limits() -> AgentConfig {
    let mut config = config();
    config.limits.sessions = SESSIONS;
    config.limits.ringing = Duration::from_secs(70);
    config.limits.progress = Duration::from_secs(90);
    config
}

/// A bad network.
fn weather(random: &mut Random) -> Recipe {
    Recipe {
        delay: Duration::from_millis(random.range(0, 300)),
        jitter: Jitter::Uniform(Duration::from_millis(random.range(0, 900))),
        loss: Loss::GilbertElliott {
            p: random.unit() * 0.1,
            r: 0.1 + random.unit() * 0.5,
            h: random.unit(),
            k: 1.0 - random.unit() * 0.1,
        },
        duplicate: random.unit() * 0.2,
        unordered: true,
        ..Recipe::default()
    }
}

/// What each event may follow, and what it leads to.
fn note(user: &mut User, event: &Event, seed: u64) {
    let Some(session) = session_of(event) else { return };
    let before = user.live.get(&session).copied();
    user.seen.extend(format!("{event:?}").split(' ').next().map(Into::into));
    let context = || format!("seed {seed}: {event:?} after {before:?}");
    assert!(!user.ended.contains(&session), "after its end: {}", context());
    let after = match (event, before) {
        (Event::Incoming { .. }, None) => "ringing",
        (Event::Route { .. }, Some("inviting")) => "drafted",
        // An early session that was changed is as good as up.
        (Event::Progress { .. }, Some("calling" | "cancelled" | "reoffered" | "up")) => before.unwrap_or_default(),
        (Event::Answered { wants_answer: true, .. }, Some("calling")) => "owing",
        (Event::Answered { .. }, Some("calling" | "up")) => "up",
        // The change that the peer asked for before it answered still waits for our user.
        (Event::Answered { .. }, Some("reoffered")) => "reoffered",
        (Event::Confirmed { .. }, Some("unconfirmed" | "up" | "reoffered")) => match before {
            Some("reoffered") => "reoffered",
            _ => "up",
        },
        (Event::Reoffer { .. }, Some("unconfirmed" | "up" | "owing" | "calling" | "ringing")) => "reoffered",
        (Event::ReofferWithdrawn { .. }, Some("reoffered")) => "up",
        (Event::OfferAccepted { wants_answer: true, .. }, Some("up" | "unconfirmed")) => "owing",
        (
            Event::OfferAccepted { .. }
            | Event::OfferRefused { .. }
            | Event::OfferClashed { .. }
            | Event::OfferDue { .. }
            | Event::Acknowledged { .. }
            | Event::Asked { .. }
            | Event::Reply { .. },
            Some(before),
        ) => {
            if let Event::Asked { request, .. } = event {
                user.asked.push((session, *request));
            }
            before
        }
        (Event::Ended { .. }, Some(_)) => {
            user.live.remove(&session);
            user.ended.insert(session);
            return;
        }
        _ => panic!("{}", context()),
    };
    user.live.insert(session, after);
}

/// One thing that a user may do; most of it is refused, which must change nothing.
fn act(world: &mut World, node: Node, user: &mut User, random: &mut Random, other: &str) {
    let picked = random.range(0, user.live.len().max(1) as u64) as usize;
    let picked = user.live.iter().nth(picked).map(|(id, state)| (*id, *state));
    let choice = random.range(0, 16);
    let Some((session, state)) = picked.filter(|_| choice > 0) else {
        let request = InviteRequest { account: None, target: uri(other), from: None, headers: Vec::new() };
        if let Ok(session) = world.with(node, |agent, now| agent.invite(now, request)) {
            user.live.insert(session, "inviting");
        }
        return;
    };
    // Half of the time what the state calls for, else anything.
    let fitting = match state {
        "drafted" => 1,
        "ringing" => 3 + random.range(0, 4),
        "owing" => 2,
        "reoffered" => 9 + random.range(0, 2),
        _ => choice,
    };
    let choice = if random.chance(0.7) { fitting } else { choice };
    let sdp = |sdp: &'static str| bytes::Bytes::from_static(sdp.as_bytes());
    let offer = random.chance(0.8).then(|| sdp(OFFER));
    let early = random.chance(0.3).then(|| sdp(ANSWER));
    let reason = random.chance(0.3).then_some("SIP;cause=200;text=\"x\"");
    let asked = user.asked.pop();
    let (done, next) = world.with(node, |agent, now| match choice {
        1 => (agent.offer(now, session, offer), "calling"),
        2 => (agent.ack_answer(now, session, sdp(ANSWER)), "up"),
        3 | 4 => (agent.ring(now, session, Status(180 + (now.since_start().as_millis() % 4) as u16), early), state),
        5 => {
            // A change that the peer asked for while it rang waits on.
            let next = if state == "reoffered" { state } else { "unconfirmed" };
            (agent.answer(now, session, sdp(ANSWER)), next)
        }
        6 => (agent.reject(now, session, Status::BUSY_HERE, None, Vec::new()), "ending"),
        7 | 8 => (agent.hangup(now, session, reason), if state == "calling" { "cancelled" } else { "ending" }),
        9 => (agent.accept_reoffer(now, session, sdp(ANSWER)), "up"),
        10 => (agent.refuse_reoffer(now, session, Status::NOT_ACCEPTABLE_HERE, Vec::new()), "up"),
        11 => (agent.reoffer(now, session, offer), state),
        12 => (agent.update(now, session, offer), state),
        13 => {
            let info = InsideRequest { method: Method::Info, headers: Vec::new(), body: None };
            (agent.request(now, session, info).map(drop), state)
        }
        14 => match asked {
            Some((asker, id)) => (agent.reply(now, asker, id, Status::OK, Vec::new(), None), state),
            None => (Ok(()), state),
        },
        _ => (Ok(()), state),
    });
    if done.is_ok() {
        user.live.insert(session, next);
    }
}

/// A stranger who sends requests of every kind into the dialogs that it overheard, and nonsense.
fn meddle(world: &mut World, random: &mut Random, victims: [Node; 2]) {
    let node = victims[random.range(0, 2) as usize];
    let (agent, stranger) = (world.address(node), *world.inboxes.keys().next().unwrap());
    let mut line = Line::calling(agent, stranger);
    line.call_id = format!("meddle-{}", random.range(0, 20));
    line.branch = random.u32() % 50;
    line.cseq = random.u32() % 5;
    // Mostly of what is going on right now.
    let sent = world.trace.len() as u64;
    let oldest = if random.chance(0.8) { sent.saturating_sub(8) } else { 0 };
    let overheard = random.range(oldest, sent) as usize;
    if let Some(wire) = world.trace.get(overheard).cloned()
        && let Ok(message) = sidetone::sip::wire::parse_datagram(&wire.bytes)
    {
        match random.range(0, 4) {
            // The message again, from elsewhere; or what its bytes are after damage.
            0 => return world.say(stranger, agent, message),
            1 => {
                let mut bytes = wire.bytes;
                for _ in 0..random.range(1, 20) {
                    let place = random.range(0, bytes.len() as u64) as usize;
                    bytes[place] = random.u32() as u8;
                }
                return world.say_bytes(stranger, agent, bytes);
            }
            _ => {
                line.call_id = message.headers().call_id().unwrap().into();
                line.from = message.headers().from().unwrap().to_string();
                line.to = message.headers().to().unwrap().to_string();
                line.cseq = message.headers().cseq().unwrap().number.wrapping_add(random.u32() % 4);
                if random.chance(0.5) {
                    std::mem::swap(&mut line.from, &mut line.to);
                }
            }
        }
    }
    let methods = [
        Method::Invite,
        Method::Invite,
        Method::Invite,
        Method::Bye,
        Method::Options,
        Method::Ack,
        Method::Cancel,
        Method::Info,
        Method::Update,
        Method::Prack,
    ];
    let method = methods[random.range(0, methods.len() as u64) as usize].clone();
    let sdp = random.chance(0.5).then_some(OFFER);
    world.say(stranger, agent, line.next(method, sdp));
}

fn check(world: &World, seed: u64) {
    for place in &world.places {
        let sizes = place.agent.sizes();
        assert!(sizes.sessions <= SESSIONS, "seed {seed}: {sizes:?}");
        assert!(sizes.invites <= sizes.sessions && sizes.look_ups <= sizes.sessions * 20, "seed {seed}: {sizes:?}");
        assert!(place.agent.poll_timeout().is_none_or(|due| due >= world.now), "seed {seed}");
    }
}

/// Lives one life; gives the kinds of events that were seen in it.
fn live(seed: u64) -> BTreeSet<String> {
    let mut random = Random::from_seed(seed);
    let mut world = World::new(seed);
    let nodes = [world.agent("192.0.2.1:5060", limits()), world.agent("192.0.2.2:5060", limits())];
    world.peer("192.0.2.66:5060");
    let recipe = weather(&mut random);
    world.weather(recipe.clone());
    world.names.insert("silent.example".into(), vec!["192.0.2.99:5060".parse().unwrap()]);
    let mut users = [User::default(), User::default()];
    let meddled = random.chance(0.5);
    let until = world.now + Duration::from_secs(150);
    let mut next_act: Instant = world.now;
    while world.now < until {
        if next_act <= world.now {
            next_act = world.now + Duration::from_millis(random.range(1, 4000));
            let who = random.range(0, 2) as usize;
            let targets = ["sip:b@192.0.2.1", "sip:a@192.0.2.2", "sip:x@silent.example", "sip:x@nowhere.invalid"];
            let other = if random.chance(0.8) { targets[1 - who] } else { targets[random.range(0, 4) as usize] };
            act(&mut world, nodes[who], &mut users[who], &mut random, other);
            if meddled {
                meddle(&mut world, &mut random, nodes);
            }
        }
        world.step_before(next_act);
        for (node, user) in nodes.into_iter().zip(&mut users) {
            for event in world.events(node) {
                note(user, &event, seed);
            }
        }
        check(&world, seed);
    }
    // Everybody hangs up, or is lost in silence; then nothing is left.
    if random.chance(0.3) {
        world.weather(Recipe { loss: Loss::Random(1.0), ..recipe });
    }
    for (node, user) in nodes.into_iter().zip(&users) {
        for session in user.live.keys() {
            let _ = world.with(node, |agent, now| agent.hangup(now, *session, None));
        }
    }
    world.assert_forgotten();
    for (node, user) in nodes.into_iter().zip(&mut users) {
        for event in world.events(node) {
            note(user, &event, seed);
        }
        assert!(user.live.is_empty(), "seed {seed}: {:?} never ended", user.live);
    }
    // What a meddler damages is answered as it came.
    for node in nodes.into_iter().filter(|_| !meddled) {
        crate::letter::check(&world, world.address(node));
    }
    users.into_iter().flat_map(|user| user.seen).collect()
}

/// 200 lives, or as many as `SIDETONE_LIVES` says, from the seed `SIDETONE_FIRST_LIFE` on.
#[test]
fn random_life_200_seeds() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, count) = (number("SIDETONE_FIRST_LIFE").unwrap_or(0), number("SIDETONE_LIVES").unwrap_or(200));
    let seen: BTreeSet<String> = (first..first + count).flat_map(live).collect();
    if count < 200 {
        return;
    }
    let all = [
        "Acknowledged",
        "Answered",
        "Asked",
        "Confirmed",
        "Ended",
        "Incoming",
        "OfferAccepted",
        "OfferClashed",
        "OfferDue",
        "OfferRefused",
        "Progress",
        "Reoffer",
        "ReofferWithdrawn",
        "Reply",
        "Route",
    ];
    assert!(seen.iter().eq(all), "these lives were too quiet: {seen:?}");
}

/// One seed makes a whole life reproducible, to the last octet.
#[test]
fn one_seed_one_life() {
    let life = || {
        let mut random = Random::from_seed(9);
        let mut world = World::new(9);
        let node = world.agent("192.0.2.1:5060", limits());
        let other = world.agent("192.0.2.2:5060", limits());
        world.weather(weather(&mut random));
        let mut user = User::default();
        for _ in 0..60 {
            act(&mut world, node, &mut user, &mut random, "sip:a@192.0.2.2");
            world.run(Duration::from_millis(700));
            for event in world.events(node) {
                note(&mut user, &event, 9);
            }
            world.events(other);
        }
        world.trace.into_iter().map(|wire| (wire.at, wire.bytes)).collect::<Vec<_>>()
    };
    assert_eq!(life(), life());
}
