//! Conferences over loopback sockets: far ends that send tones, and what each of them hears of the others.

use super::rig::{Rig, Side, level, loudest, recording};
use sidetone::audio::{Play, Source};
use sidetone::driver::media::Event;
use sidetone::media::mixer::Part;
use sidetone::media::plan::Codec;
use std::path::{Path, PathBuf};

/// The tone of each far end, Hz; that of our user is the first call's own source.
const TONES: [f64; 3] = [500.0, 800.0, 1_300.0];
const OURS: f64 = 2_100.0;

/// A tone below this, of full scale, is not there.
const ABSENT: f64 = 0.004;

/// One above this is: Opus breaks mixed tones, and a busy machine leaves out packets.
const PRESENT: f64 = 0.02;

struct Three {
    rig: Rig,
    directory: tempfile::TempDir,
    codecs: [Codec; 3],
}

impl Three {
    /// Calls 11, 13 and 15 with the far ends 12, 14 and 16, on two workers.
    fn talk(codecs: [Codec; 3]) -> Self {
        let (rig, directory) = (Rig::new(2), tempfile::tempdir().unwrap());
        for (n, hz) in TONES.into_iter().enumerate() {
            let key = 11 + 2 * n as u64;
            let own = if n == 0 { format!("tone:{OURS}") } else { "silence".into() };
            let record = |key: u64| Some(directory.path().join(format!("{key}.wav")));
            let far = Side::new(&format!("tone:{hz}"), record(key + 1).as_deref());
            rig.call(key, codecs[n], [Side::new(&own, record(key).as_deref()), far]);
        }
        Self { rig, directory, codecs }
    }

    /// What the far ends hear at last, until everything ends: level of each tone, ours last.
    fn heard(self) -> [[f64; 4]; 3] {
        self.heard_and(|| ()).0
    }

    /// The same, and something else that is to be looked at then.
    fn heard_and<T>(mut self, look: impl FnOnce() -> T) -> ([[f64; 4]; 3], T) {
        self.rig.hear(16, 2);
        let ends = self.rig.stop(11..=16);
        for key in 11..=16 {
            assert_eq!(ends[&key].report.inbound.lost, 0, "call {key}");
        }
        ([12, 14, 16].map(|key| tones(&self.directory.path().join(format!("{key}.wav")))), look())
    }

    fn path(&self, key: u64) -> PathBuf {
        self.directory.path().join(format!("{key}.wav"))
    }
}

/// Levels in the last second of what was heard.
fn tones(path: &Path) -> [f64; 4] {
    let (rate, _, theirs) = recording(path);
    levels(&theirs, rate)
}

/// Levels in the last second. A tone that is there has breaks where the jitter buffer adapts, so that only pieces of it are
/// in phase; one that is not there is in no piece.
fn levels(samples: &[i16], rate: u32) -> [f64; 4] {
    let last = &samples[samples.len() - rate as usize..];
    [TONES[0], TONES[1], TONES[2], OURS].map(|hz| {
        let whole = level(last, rate, hz);
        if whole < ABSENT { whole } else { loudest(last, rate, hz) }
    })
}

#[track_caller]
fn assert_heard(heard: [f64; 4], wanted: [bool; 4]) {
    for (level, wanted) in heard.into_iter().zip(wanted) {
        match wanted {
            true => assert!((PRESENT..0.3).contains(&level), "{heard:?} instead of {wanted:?}"),
            false => assert!(level < ABSENT, "{heard:?} instead of {wanted:?}"),
        }
    }
}

#[test]
fn each_of_three_and_our_user_hears_exactly_the_others() {
    for codecs in [[Codec::Pcmu; 3], [Codec::Opus, Codec::Pcma, Codec::G722]] {
        let mut three = Three::talk(codecs);
        for key in [11, 13, 15] {
            three.rig.driver.enter(key, 7, Part::Speaks, Some(Part::Speaks)).unwrap();
        }
        three.rig.hear(16, 2);
        let codecs = three.codecs;
        let recorded = three.path(11);
        let heard = three.heard_and(|| recording(&recorded));
        let (heard, (rate, ours, theirs)) = heard;
        println!("{codecs:?}: {heard:.3?}");
        assert_heard(heard[0], [false, true, true, true]);
        assert_heard(heard[1], [true, false, true, true]);
        assert_heard(heard[2], [true, true, false, true]);
        // The recording of one call is one of all: left what its far end was sent, right what it said.
        assert_heard(levels(&ours, rate), [false, true, true, true]);
        assert_heard(levels(&theirs, rate), [true, false, false, false]);
    }
}

#[test]
fn two_far_ends_are_bridged_without_us_and_taken_apart_again() {
    let mut three = Three::talk([Codec::Pcmu; 3]);
    for key in [11, 13] {
        three.rig.driver.enter(key, 8, Part::Speaks, None).unwrap();
    }
    three.rig.hear(16, 2);
    three.rig.driver.leave(13).unwrap();
    three.rig.driver.leave(11).unwrap();
    let during = |path: &Path, hz: f64| {
        let (rate, _, theirs) = recording(path);
        theirs.chunks_exact(rate as usize / 10).filter(|part| level(part, rate, hz) > 0.1).count()
    };
    let (one, other) = (three.path(12), three.path(14));
    let (heard, counts) = three.heard_and(|| {
        [(&one, TONES[1]), (&other, TONES[0]), (&other, OURS), (&one, TONES[2])].map(|(path, hz)| during(path, hz))
    });
    assert_heard(heard[0], [false, false, false, true]);
    assert_heard(heard[1], [false; 4]);
    // In between they heard each other and nobody else.
    assert!(counts[0] > 8 && counts[1] > 8 && counts[2..] == [0, 0], "{counts:?}");
}

#[test]
fn a_supervisor_coaches_one_a_muted_user_is_not_heard_and_who_ends_is_missed_by_nobody() {
    let mut three = Three::talk([Codec::Pcmu; 3]);
    for key in [11, 13, 15] {
        three.rig.driver.enter(key, 9, Part::Speaks, Some(Part::Speaks)).unwrap();
    }
    three.rig.driver.assign(9, Some(15), Some(Part::Coaches(11))).unwrap();
    three.rig.driver.mute(13, true).unwrap();
    let heard = three.heard();
    assert_heard(heard[0], [false, true, true, true]);
    assert_heard(heard[1], [true, false, false, false]);
    assert_heard(heard[2], [true, true, false, true]);
}

#[test]
fn a_call_that_ends_leaves_the_others_talking() {
    let mut three = Three::talk([Codec::Pcmu; 3]);
    for key in [11, 13, 15] {
        three.rig.driver.enter(key, 5, Part::Speaks, Some(Part::Listens)).unwrap();
    }
    three.rig.hear(16, 1);
    three.rig.stop([11, 12]);
    three.rig.hear(16, 2);
    three.rig.stop(13..=16);
    let [one, other] = [14, 16].map(|key| tones(&three.path(key)));
    assert_heard(one, [false, false, true, false]);
    assert_heard(other, [false, true, false, false]);
}

#[test]
fn something_is_played_beside_the_voice_and_in_place_of_it() {
    let mut three = Three::talk([Codec::Pcmu; 3]);
    let tone = Play { source: Source::Tone(1_300.0), gain_db: 0.0, instead: false };
    three.rig.driver.play(11, &tone, 8_000).unwrap();
    three.rig.driver.play(13, &Play { instead: true, ..tone.clone() }, 8_000).unwrap();
    three.rig.driver.play(15, &tone, 8_000).unwrap();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let path = three.path(99);
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    (0..800).for_each(|_| writer.write_sample(1_000i16).unwrap());
    writer.finalize().unwrap();
    three.rig.driver.play(15, &Play::beside(Source::File { path, repeat: false }), 8_000).unwrap();
    three.rig.until(|event| matches!(event, Event::PlayEnded { key: 15, error: None }));
    let heard = three.heard();
    assert_heard(heard[0], [false, false, true, true]);
    assert_heard(heard[1], [false, false, true, false]);
    assert_heard(heard[2], [false; 4]);
}
