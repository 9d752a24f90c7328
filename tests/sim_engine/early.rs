//! What is agreed before the answer: early media, offers that come late, reliable provisional responses.

use crate::world::{ANN, BOB, World};
use sidetone::call::{Change, MediaOptions, Moment, Side};
use sidetone::media::plan::Direction;
use sidetone::sip::message::{Message, Method};
use sidetone::sip::wire::parse_datagram;
use sidetone::time::Duration;

fn ringing(moment: &Moment) -> bool {
    matches!(moment, Moment::Ringing { .. })
}

#[test]
fn media_flows_both_ways_before_the_answer() {
    let early = MediaOptions { early_media: true, ..MediaOptions::default() };
    let mut world = World::with_media(41, MediaOptions::default(), early);
    let ann = world.ann_calls();
    let bob = world.wait(BOB, ringing).call;
    world.run(Duration::from_secs(1));
    assert_eq!(world.moments(ANN, ann).last(), Some(&Moment::Ringing { early_media: true }));
    for (who, call) in [(ANN, ann), (BOB, bob)] {
        assert_eq!(world.places[who].plans[&call].last().unwrap().direction, Direction::SendRecv);
    }
    // Both can do 100rel: the 183 was acknowledged, so that UPDATE may change what it agreed on.
    assert!(world.story().contains("PRACK"), "{}", world.story());
    world.with(ANN, |engine, now| engine.change(now, ann, Change::Hold)).unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(world.moments(ANN, ann).last(), Some(&Moment::Held(Side::Local)), "{}", world.story());
    assert_eq!(world.places[BOB].plans[&bob].last().unwrap().direction, Direction::RecvOnly);
    world.answer(BOB, bob).unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(world.moments(ANN, ann).last(), Some(&Moment::Answered));
    world.hangup(ANN, ann).unwrap();
    world.assert_forgotten();
}

#[test]
fn a_late_offer_is_made_by_the_called_side() {
    let mut world = World::new(42);
    let late = MediaOptions { late_offer: true, ..MediaOptions::default() };
    let ann = world.dial(ANN, "sip:bob@192.0.2.2", Duration::from_secs(60), late);
    let bob = world.wait(BOB, ringing).call;
    world.answer(BOB, bob).unwrap();
    world.run(Duration::from_secs(1));
    // RFC 3262 section 5: Bob's offer came reliably while he rang, and its answer with the PRACK.
    let prack = world.trace.iter().find_map(|wire| match parse_datagram(&wire.bytes).unwrap() {
        Message::Request(request) if request.method == Method::Prack => Some(request),
        _ => None,
    });
    assert!(!prack.expect("a PRACK").body.is_empty(), "{}", world.story());
    let plans = [&world.places[ANN].plans[&ann][0], &world.places[BOB].plans[&bob][0]];
    assert_eq!(plans[0].encoding.codec, plans[1].encoding.codec);
    assert_eq!(world.ended(ANN).len(), 0, "{}", world.story());
    // Whoever made the first offer, either may make the next.
    for who in [ANN, BOB] {
        let call = [ann, bob][who];
        world.with(who, |engine, now| engine.change(now, call, Change::Hold)).unwrap();
        world.run(Duration::from_secs(1));
        assert_eq!(world.moments(who, call).last(), Some(&Moment::Held(Side::Local)), "{}", world.story());
    }
    world.hangup(BOB, bob).unwrap();
    world.assert_forgotten();
}
