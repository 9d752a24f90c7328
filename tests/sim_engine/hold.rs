//! Calls changed by either side: hold, resume, codecs, addresses, and both at once.

use crate::world::{ANN, BOB, World};
use sidetone::call::{CallId, Change, HoldStyle, MediaOptions, Moment, Side};
use sidetone::engine::Refused;
use sidetone::media::plan::{Codec, Direction};
use sidetone::sip::message::{Message, Method};
use sidetone::sip::wire::parse_datagram;
use sidetone::time::Duration;

fn change(world: &mut World, who: usize, call: CallId, change: Change) -> Result<(), Refused> {
    world.with(who, |engine, now| engine.change(now, call, change))
}

fn direction(world: &World, who: usize, call: CallId) -> Direction {
    world.places[who].plans[&call].last().unwrap().direction
}

fn held_by(world: &World, who: usize, call: CallId) -> Option<String> {
    let record = world.places[who].engine.calls().find(|(id, _)| *id == call).unwrap().1.clone();
    record.metadata.get("held_by").map(|by| by.as_str().unwrap().to_owned())
}

/// The bodies of the INVITEs that were sent from an address.
fn offers(world: &World, who: usize) -> Vec<String> {
    let from = world.places[who].address;
    let invites =
        world.trace.iter().filter(|wire| wire.from == from).filter_map(|wire| match parse_datagram(&wire.bytes) {
            Ok(Message::Request(request)) if request.method == Method::Invite => Some(request.body),
            _ => None,
        });
    invites.map(|body| String::from_utf8(body.to_vec()).unwrap()).collect()
}

fn version(sdp: &str) -> u64 {
    let origin = sdp.lines().find(|line| line.starts_with("o=")).unwrap();
    origin.split(' ').nth(2).unwrap().parse().unwrap()
}

#[test]
fn we_hold_and_resume() {
    for (holder, other) in [(ANN, BOB), (BOB, ANN)] {
        let mut world = World::new(31);
        let (ann, bob) = world.talk();
        let calls = [ann, bob];
        change(&mut world, holder, calls[holder], Change::Hold).unwrap();
        world.run(Duration::from_secs(1));
        let plan = world.places[holder].plans[&calls[holder]].last().unwrap();
        assert!(plan.direction == Direction::SendOnly && plan.holding, "the stream goes on, without our microphone");
        assert_eq!(direction(&world, other, calls[other]), Direction::RecvOnly);
        assert_eq!(world.moments(holder, calls[holder]).last(), Some(&Moment::Held(Side::Local)));
        assert_eq!(world.moments(other, calls[other]).last(), Some(&Moment::Held(Side::Remote)));
        assert_eq!(held_by(&world, holder, calls[holder]).as_deref(), Some("local"));
        assert_eq!(held_by(&world, other, calls[other]).as_deref(), Some("remote"));
        let sent = offers(&world, holder);
        assert!(sent.last().unwrap().contains("a=sendonly"), "{sent:?}");
        // Again: nothing to change, nothing sent.
        change(&mut world, holder, calls[holder], Change::Hold).unwrap();
        world.run(Duration::from_secs(1));
        assert_eq!(offers(&world, holder).len(), sent.len());

        change(&mut world, holder, calls[holder], Change::Resume).unwrap();
        world.run(Duration::from_secs(1));
        for who in [holder, other] {
            assert_eq!(direction(&world, who, calls[who]), Direction::SendRecv);
            assert_eq!(held_by(&world, who, calls[who]), None);
            assert!(!world.places[who].plans[&calls[who]].last().unwrap().holding);
        }
        assert_eq!(world.moments(holder, calls[holder]).last(), Some(&Moment::Resumed(Side::Local)));
        let versions: Vec<u64> = offers(&world, holder).iter().map(|sdp| version(sdp)).collect();
        let pairs = versions.windows(2).all(|pair| pair[1] == pair[0] + 1);
        assert!(pairs, "RFC 3264 section 8: one more each time: {versions:?}");
        world.hangup(holder, calls[holder]).unwrap();
        world.assert_forgotten();
    }
}

#[test]
fn both_hold_and_resume_one_after_the_other() {
    let mut world = World::new(32);
    let (ann, bob) = world.talk();
    change(&mut world, ANN, ann, Change::Hold).unwrap();
    world.run(Duration::from_secs(1));
    change(&mut world, BOB, bob, Change::Hold).unwrap();
    world.run(Duration::from_secs(1));
    for (who, call) in [(ANN, ann), (BOB, bob)] {
        assert_eq!(direction(&world, who, call), Direction::Inactive);
        assert_eq!(held_by(&world, who, call).as_deref(), Some("both"), "{who}");
    }
    change(&mut world, ANN, ann, Change::Resume).unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(held_by(&world, ANN, ann).as_deref(), Some("remote"));
    assert_eq!(held_by(&world, BOB, bob).as_deref(), Some("local"));
    change(&mut world, BOB, bob, Change::Resume).unwrap();
    world.run(Duration::from_secs(1));
    for (who, call) in [(ANN, ann), (BOB, bob)] {
        assert_eq!(direction(&world, who, call), Direction::SendRecv);
        assert_eq!(held_by(&world, who, call), None);
    }
}

#[test]
fn the_ways_to_hold() {
    for (hold, wanted) in [
        (HoldStyle::SendOnly, ["a=sendonly", "c=IN IP4 192.0.2.1"]),
        (HoldStyle::Inactive, ["a=inactive", "c=IN IP4 192.0.2.1"]),
        (HoldStyle::Nowhere, ["a=inactive", "c=IN IP4 0.0.0.0"]),
    ] {
        let mut world = World::new(33);
        let options = MediaOptions { hold, ..MediaOptions::default() };
        let ann = world.dial(ANN, "sip:bob@192.0.2.2", Duration::from_secs(60), options);
        let bob = world.wait(BOB, |moment| matches!(moment, Moment::Ringing { .. })).call;
        world.answer(BOB, bob).unwrap();
        world.run(Duration::from_secs(1));
        change(&mut world, ANN, ann, Change::Hold).unwrap();
        world.run(Duration::from_secs(1));
        let sdp = offers(&world, ANN).pop().unwrap();
        assert!(wanted.iter().all(|line| sdp.contains(line)), "{sdp}");
        assert!(!direction(&world, BOB, bob).sends());
        change(&mut world, ANN, ann, Change::Resume).unwrap();
        world.run(Duration::from_secs(1));
        assert_eq!(direction(&world, BOB, bob), Direction::SendRecv);
        assert_eq!(world.places[BOB].plans[&bob].last().unwrap().remote_rtp.ip(), world.places[ANN].address.ip());
    }
}

/// RFC 5407 section 3.3.1: both press hold at the same moment; both get there in the end.
#[test]
fn holds_that_cross_both_come_through() {
    for seed in 0..20 {
        let mut world = World::new(100 + seed);
        let (ann, bob) = world.talk();
        change(&mut world, ANN, ann, Change::Hold).unwrap();
        change(&mut world, BOB, bob, Change::Hold).unwrap();
        world.run(Duration::from_secs(30));
        assert!(world.story().contains("SIP/2.0 491"), "{}", world.story());
        for (who, call) in [(ANN, ann), (BOB, bob)] {
            assert_eq!(held_by(&world, who, call).as_deref(), Some("both"), "seed {seed}{}", world.story());
            assert_eq!(direction(&world, who, call), Direction::Inactive);
        }
        // The user changes his mind while the first wish still waits for its turn.
        change(&mut world, ANN, ann, Change::Resume).unwrap();
        change(&mut world, BOB, bob, Change::Resume).unwrap();
        change(&mut world, ANN, ann, Change::Hold).unwrap();
        world.run(Duration::from_secs(30));
        assert_eq!(held_by(&world, ANN, ann).as_deref(), Some("local"), "seed {seed}{}", world.story());
        assert_eq!(held_by(&world, BOB, bob).as_deref(), Some("remote"), "seed {seed}");
        world.hangup(ANN, ann).unwrap();
        world.assert_forgotten();
    }
}

#[test]
fn the_codec_and_the_address_change() {
    let mut world = World::new(34);
    let (ann, bob) = world.talk();
    let codec = |world: &World, who: usize, call| world.places[who].plans[&call].last().unwrap().encoding.codec;
    assert_eq!(codec(&world, BOB, bob), Codec::Opus);
    change(&mut world, ANN, ann, Change::Codecs(vec![Codec::Pcma])).unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!((codec(&world, ANN, ann), codec(&world, BOB, bob)), (Codec::Pcma, Codec::Pcma));
    let moved = Change::Address { rtp: "192.0.2.77:4000".parse().unwrap(), rtcp: "192.0.2.77:4001".parse().unwrap() };
    change(&mut world, ANN, ann, moved).unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(
        world.places[BOB].plans[&bob].last().unwrap().remote_rtp,
        "192.0.2.77:4000".parse::<std::net::SocketAddr>().unwrap()
    );
    let record = world.places[ANN].engine.calls().next().unwrap().1;
    assert_eq!(record.codec.as_deref(), Some("PCMA"));
}

#[test]
fn the_sound_moves_to_another_address_of_ours() {
    let mut world = World::new(37);
    let (ann, bob) = world.talk();
    let before = world.places[BOB].plans[&bob].last().unwrap().remote_rtp;
    let local = world.places[ANN].address.ip();
    world.with(ANN, |engine, now| engine.move_media(now, ann, local)).unwrap();
    world.run(Duration::from_secs(1));
    let after = world.places[BOB].plans[&bob].last().unwrap().remote_rtp;
    assert!(after != before && after.ip() == local, "{before} {after}");
    world.hangup(ANN, ann).unwrap();
    world.run(Duration::from_secs(1));
    assert!(world.with(ANN, |engine, now| engine.move_media(now, ann, local)).is_err());
}

#[test]
fn a_change_that_the_far_end_cannot_follow_is_told_and_leaves_the_call() {
    let bob_only = MediaOptions { codecs: vec![Codec::Pcmu], ..MediaOptions::default() };
    let mut world = World::with_media(35, MediaOptions::default(), bob_only);
    let (ann, bob) = world.talk();
    change(&mut world, ANN, ann, Change::Codecs(vec![Codec::Opus])).unwrap();
    world.run(Duration::from_secs(1));
    let told = world.moments(ANN, ann).pop().unwrap();
    assert!(matches!(&told, Moment::ChangeRefused(why) if why.contains("488")), "{told:?}");
    assert_eq!(world.places[ANN].plans[&ann].len(), 1, "media goes on as it was");
    // What was refused is not said again.
    change(&mut world, ANN, ann, Change::Hold).unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(direction(&world, BOB, bob), Direction::RecvOnly);
}

#[test]
fn only_an_answered_call_can_be_held() {
    let mut world = World::new(36);
    let ann = world.ann_calls();
    world.run(Duration::from_secs(1));
    assert!(matches!(change(&mut world, ANN, ann, Change::Hold), Err(Refused::Change(_))));
}
