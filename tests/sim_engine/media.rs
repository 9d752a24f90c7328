//! What calls make of their media: policies of encryption, codecs, ports that fail, media that breaks.

use crate::world::{ANN, BOB, World};
use sidetone::call::negotiate::SrtpPolicy;
use sidetone::call::record::{EndedBy, Record, Status};
use sidetone::call::{MediaEvent, MediaOptions, Moment};
use sidetone::media::dtmf::Way;
use sidetone::media::plan::Codec;
use sidetone::time::Duration;

fn options(srtp: SrtpPolicy) -> MediaOptions {
    MediaOptions { srtp, ..MediaOptions::default() }
}

/// Ann calls; Bob answers if it rings; they talk for a second and hang up; both records.
fn run(ann: MediaOptions, bob: MediaOptions) -> (World, Record, Record) {
    let mut world = World::with_media(5, MediaOptions::default(), bob);
    let call = world.dial(ANN, "sip:bob@192.0.2.2", Duration::from_secs(60), ann);
    world.run(Duration::from_secs(1));
    let his = world.places[BOB].engine.calls().map(|(id, _)| id).next();
    if let Some(his) = his {
        world.answer(BOB, his).unwrap();
        world.run(Duration::from_secs(1));
        world.hangup(ANN, call).unwrap();
    }
    world.run(Duration::from_secs(60));
    let (ann, bob) = (world.ended(ANN).remove(0), world.ended(BOB).remove(0));
    (world, ann, bob)
}

#[test]
fn encryption_is_what_both_policies_allow() {
    use SrtpPolicy::{Off, Optional, Required};
    // Encrypted, plain, or refused.
    let rows = [
        (Off, Off, Some(false)),
        (Off, Optional, Some(false)),
        (Off, Required, None),
        (Optional, Off, Some(false)),
        (Optional, Optional, Some(true)),
        (Optional, Required, Some(true)),
        (Required, Off, None),
        (Required, Optional, Some(true)),
        (Required, Required, Some(true)),
    ];
    for (ours, theirs, expected) in rows {
        let (mut world, ann, bob) = run(options(ours), options(theirs));
        match expected {
            Some(encrypted) => {
                assert_eq!((ann.status, bob.status), (Status::Completed, Status::Completed), "{ours:?} {theirs:?}");
                assert_eq!((ann.srtp.is_some(), bob.srtp.is_some()), (encrypted, encrypted), "{ours:?} {theirs:?}");
                assert_eq!(ann.srtp, bob.srtp);
            }
            None => {
                assert_eq!((ann.status, ann.sip_code), (Status::Failed, Some(488)), "{ours:?} {theirs:?}");
                assert_eq!((bob.status, bob.sip_code), (Status::Failed, Some(488)), "{ours:?} {theirs:?}");
                assert_eq!((ann.ended_by, bob.ended_by), (Some(EndedBy::Remote), Some(EndedBy::Local)));
                assert_eq!(bob.ringing_at, None, "nobody is disturbed");
                assert!(ann.metadata["warning"].as_str().unwrap().starts_with("3"), "{:?}", ann.metadata);
                assert!(bob.metadata["reason"].is_string());
            }
        }
        world.assert_forgotten();
    }
}

#[test]
fn codecs_are_what_both_have_in_the_order_of_the_one_who_answers() {
    let only = |codecs: &[Codec]| MediaOptions { codecs: codecs.to_vec(), ..MediaOptions::default() };
    let rows: &[(&[Codec], &[Codec], Option<&str>)] = &[
        (&[Codec::Opus, Codec::Pcmu], &[Codec::Pcmu, Codec::Opus], Some("PCMU")),
        (&[Codec::Pcma, Codec::Pcmu], &[Codec::Opus, Codec::Pcma], Some("PCMA")),
        (&[Codec::Opus], &[Codec::Pcma, Codec::Pcmu], None),
    ];
    for (ours, theirs, expected) in rows {
        let (_, ann, bob) = run(only(ours), only(theirs));
        assert_eq!((ann.codec.as_deref(), bob.codec.as_deref()), (*expected, *expected), "{ours:?} {theirs:?}");
        let status = if expected.is_some() { Status::Completed } else { Status::Failed };
        assert_eq!((ann.status, bob.status), (status, status));
    }
}

#[test]
fn without_a_port_nobody_is_called() {
    let mut world = World::new(6);
    world.places[ANN].opens = 0.0;
    world.ann_calls();
    world.run(Duration::from_secs(60));
    let ann = world.ended(ANN).remove(0);
    assert_eq!((ann.status, ann.ringing_at), (Status::Failed, None));
    assert_eq!(ann.metadata["reason"], "no RTP port is free");
    assert!(world.ended(BOB).is_empty() && world.trace.is_empty(), "{}", world.story());
    world.assert_forgotten();
}

#[test]
fn without_a_port_a_call_that_comes_in_is_refused() {
    let mut world = World::new(7);
    world.places[BOB].opens = 0.0;
    world.ann_calls();
    world.run(Duration::from_secs(60));
    let (ann, bob) = (world.ended(ANN).remove(0), world.ended(BOB).remove(0));
    assert_eq!((ann.status, ann.sip_code, ann.ended_by), (Status::Failed, Some(500), Some(EndedBy::Remote)));
    assert_eq!((bob.status, bob.sip_code, bob.ended_by), (Status::Failed, Some(500), Some(EndedBy::Local)));
    assert_eq!((bob.ringing_at, &bob.metadata["reason"]), (None, &"no RTP port is free".into()));
    world.assert_forgotten();
}

#[test]
fn media_that_breaks_ends_the_call_and_says_why() {
    for who in [ANN, BOB] {
        let mut world = World::new(8);
        let (ann, bob) = world.talk();
        let call = if who == ANN { ann } else { bob };
        world.media(who, call, MediaEvent::Failed("the codec is gone".into()));
        world.run(Duration::from_secs(60));
        let (broken, other) = (world.ended(who).remove(0), world.ended(1 - who).remove(0));
        assert_eq!((broken.status, broken.ended_by), (Status::Failed, Some(EndedBy::Local)));
        assert_eq!(broken.metadata["reason"], "the codec is gone");
        assert!(broken.talk_seconds.is_some());
        assert_eq!((other.status, other.ended_by), (Status::Completed, Some(EndedBy::Remote)));
        world.assert_forgotten();
    }
}

#[test]
fn media_that_never_closes_holds_no_record_for_long() {
    let mut world = World::new(9);
    world.places[ANN].closes = false;
    let (ann, _) = world.talk();
    let hung_up = world.now;
    world.hangup(ANN, ann).unwrap();
    world.wait(ANN, |moment| *moment == Moment::Ended);
    let waited = world.now.since(hung_up);
    assert!(waited > Duration::from_secs(4) && waited < Duration::from_secs(6), "{waited:?}");
    world.assert_forgotten();
}

#[test]
fn what_media_tells_is_in_the_record() {
    let mut world = World::new(10);
    let (ann, _) = world.talk();
    let mut report = sidetone::media::quality::Report::default();
    report.inbound.packets = 50;
    world.media(ANN, ann, MediaEvent::Quality(Box::new(report)));
    for digit in ['1', '#'] {
        world.media(ANN, ann, MediaEvent::Dtmf { digit, duration: Duration::from_millis(100), way: Way::Rfc4733 });
    }
    let event = world.wait(ANN, |moment| *moment == Moment::Quality);
    assert_eq!(event.record.quality.inbound.packets, 50);
    world.hangup(ANN, ann).unwrap();
    world.run(Duration::from_secs(60));
    let record = world.ended(ANN).remove(0);
    assert_eq!((record.dtmf_received.as_str(), record.quality.inbound.packets), ("1#", 50));
}
