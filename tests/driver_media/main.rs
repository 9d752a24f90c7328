//! Calls through the media driver, end to end over loopback sockets and in real time.

mod rig;

use rig::{LOOPBACK, Rig, Side, level, loudest, missing_device, plan, plan_to, recording};
use sidetone::audio::RecorderError;
use sidetone::driver::media::{Event, Io, Trouble};
use sidetone::media::dtmf::Digit;
use sidetone::media::plan::{Codec, Direction, MasterKey, Plan, Srtp, SrtpSuite};
use std::net::UdpSocket;

/// Two keys as both sides see them.
fn keys(suite: SrtpSuite) -> [Option<Srtp>; 2] {
    let length = suite.key_and_salt_length() as u8;
    let key = |n: u8| MasterKey((0..length).map(|i| n.wrapping_mul(31).wrapping_add(i)).collect());
    let srtp = |local, remote| {
        Some(Srtp { suite, local: key(local), remote: key(remote), remote_mki: Vec::new(), remote_lifetime: None })
    };
    [srtp(1, 2), srtp(2, 1)]
}

#[test]
fn a_tone_is_recorded_at_the_far_end_over_every_codec_with_and_without_srtp() {
    let directory = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(1);
    let mut calls = Vec::new();
    for (n, codec) in Codec::ALL.into_iter().enumerate() {
        // The suites are alike but for their ciphers: all of them with one codec, the usual one with every codec.
        let usual = [None, Some(SrtpSuite::AesCm128HmacSha1_80)];
        let others =
            SrtpSuite::ALL.map(Some).into_iter().filter(|suite| codec == Codec::Pcmu && !usual.contains(suite));
        for suite in usual.into_iter().chain(others) {
            let key = 10 * (calls.len() as u64 + 1);
            let path = directory.path().join(format!("{n}/{key}.wav"));
            let mut sides = [Side::new("tone:1000", None), Side::new("silence", Some(&path))];
            if let Some(suite) = suite {
                let [ours, theirs] = keys(suite);
                (sides[0].srtp, sides[1].srtp) = (ours, theirs);
            }
            rig.call(key, codec, sides);
            calls.push((key, codec, suite, path));
        }
    }
    rig.hear(calls[calls.len() - 1].0 + 1, 2);
    let ends = rig.stop(calls.iter().flat_map(|(key, ..)| [*key, key + 1]));
    for (key, codec, suite, path) in calls {
        let end = &ends[&(key + 1)];
        let written = end.recording.as_ref().unwrap();
        assert_eq!((written.path.as_deref(), written.dropped), (Some(&*path), 0));
        let (rate, ours, theirs) = recording(&path);
        assert_eq!((rate, ours.len()), (codec.sample_rate(), theirs.len()));
        assert!(ours.iter().all(|&sample| sample == 0), "we sent silence");
        let second = &theirs[rate as usize / 2..rate as usize * 3 / 2];
        let heard = level(second, rate, 1_000.0);
        assert!((0.15..0.3).contains(&heard), "{codec} {suite:?}: the tone came through at {heard}");
        let inbound = &end.report.inbound;
        assert!(inbound.packets > 80 && inbound.lost == 0, "{codec} {suite:?}: {inbound:?}");
        assert_eq!(ends[&key].report.inbound.lost, 0);
        assert!(inbound.mos.is_some_and(|mos| mos > 3.5), "{codec} {suite:?}: {inbound:?}");
    }
}

#[test]
fn echo_sends_back_what_it_hears() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("echo.wav");
    let mut rig = Rig::new(2);
    rig.call(1, Codec::Pcmu, [Side::new("tone:600", Some(&path)), Side::new("echo", None)]);
    rig.hear(1, 2);
    rig.stop([1, 2]);
    let (rate, ours, theirs) = recording(&path);
    let last = theirs.len() - rate as usize..;
    assert!(level(&ours[last.clone()], rate, 600.0) > 0.2);
    assert!(level(&theirs[last], rate, 600.0) > 0.2, "nothing came back");
    let first = theirs.iter().position(|sample| sample.abs() > 2_000).unwrap();
    println!("the echo came back after {} ms", first * 1_000 / rate as usize);
    assert!(first < rate as usize / 2);
}

/// Loudness of `hz` in each tenth of a second.
fn course(samples: &[i16], rate: u32, hz: f64) -> Vec<f64> {
    samples.chunks_exact(rate as usize / 10).map(|part| level(part, rate, hz)).collect()
}

/// The pieces of a course by what they are: heard (`+`) or silent (`-`), one sign for each stretch, edges left out.
fn stretches(course: &[f64]) -> String {
    let signs = course.iter().filter_map(|level| match level {
        level if *level > 0.15 => Some('+'),
        level if *level < 0.002 => Some('-'),
        _ => None,
    });
    let mut all: Vec<char> = signs.collect();
    all.dedup();
    all.into_iter().collect()
}

#[test]
fn muted_is_silence_at_the_far_end_while_packets_go_on() {
    for codec in [Codec::Pcmu, Codec::Opus] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("heard.wav");
        let mut rig = Rig::new(1);
        rig.call(1, codec, [Side::new("tone:600", None), Side::new("silence", Some(&path))]);
        rig.hear(2, 2);
        rig.driver.mute(1, true).unwrap();
        rig.hear(2, 2);
        rig.driver.mute(1, false).unwrap();
        rig.hear(2, 2);
        let ends = rig.stop([1, 2]);
        let (rate, _, theirs) = recording(&path);
        let heard = stretches(&course(&theirs, rate, 600.0));
        assert_eq!(heard.trim_start_matches('-'), "+-+", "{codec}");
        let inbound = &ends[&2].report.inbound;
        let seconds = theirs.len() as f64 / f64::from(rate);
        assert!(inbound.packets as f64 > 48.0 * seconds && inbound.lost == 0, "{codec}: {inbound:?} in {seconds} s");
    }
}

#[test]
fn who_is_on_hold_hears_the_music_and_not_the_source() {
    for (music, signs) in [("silence", ("+-+", "-")), ("tone:900", ("+-+", "-+-"))] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("heard.wav");
        let mut rig = Rig::new(1);
        let mut holder = Side::new("tone:600", None);
        holder.io.music = music.parse().unwrap();
        let [plan, _] = rig.call(1, Codec::Pcmu, [holder, Side::new("silence", Some(&path))]);
        rig.hear(2, 2);
        let held = Plan { direction: Direction::SendOnly, holding: true, ..plan.clone() };
        rig.driver.update(1, held).unwrap();
        rig.hear(2, 2);
        rig.driver.update(1, plan).unwrap();
        rig.hear(2, 2);
        let ends = rig.stop([1, 2]);
        let (rate, _, theirs) = recording(&path);
        let [source, music] = [600.0, 900.0].map(|hz| stretches(&course(&theirs, rate, hz)));
        assert_eq!((source.trim_start_matches('-'), music.as_str()), signs);
        let inbound = &ends[&2].report.inbound;
        let seconds = theirs.len() as f64 / f64::from(rate);
        assert!(inbound.packets as f64 > 48.0 * seconds && inbound.lost == 0, "{inbound:?} in {seconds} s");
    }
}

#[test]
fn a_file_is_played_once_and_its_end_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (source, path) = (directory.path().join("source.wav"), directory.path().join("heard.wav"));
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 44_100,
        bits_per_sample: 24,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&source, spec).unwrap();
    for n in 0..22_050 {
        let value = (f64::from(n) * std::f64::consts::TAU * 900.0 / 44_100.0).sin() * 4e6;
        (0..2).for_each(|_| writer.write_sample(value as i32).unwrap());
    }
    writer.finalize().unwrap();

    let mut rig = Rig::new(1);
    let file = format!("file:{}", source.display());
    rig.call(1, Codec::Pcma, [Side::new(&file, None), Side::new("silence", Some(&path))]);
    rig.until(|event| matches!(event, Event::SourceEnded { key: 1, error: None }));
    rig.hear(2, 1);
    let ends = rig.stop([1, 2]);
    let (rate, _, theirs) = recording(&path);
    let loud = theirs.iter().filter(|sample| sample.abs() > 2_000).count();
    // Half a second of a sine, most of whose samples are above that.
    assert!((rate as usize / 3..rate as usize / 2 + 400).contains(&loud), "{loud} loud samples");
    assert!(loudest(&theirs, rate, 900.0) > 0.4);
    assert_eq!(ends[&1].worker.late_samples, 0);
}

#[test]
fn digits_arrive_in_order_on_every_codec() {
    let mut rig = Rig::new(1);
    let digits = Digit::all("15#A").unwrap();
    for (key, codec) in [(1, Codec::Pcmu), (3, Codec::Opus)] {
        rig.call(key, codec, [Side::new("tone:400", None), Side::new("silence", None)]);
        rig.until(|event| matches!(event, Event::FirstPacket { key: own } if *own == key + 1));
        rig.driver.dtmf(key, digits.clone(), sidetone::media::dtmf::Way::Rfc4733).unwrap();
        let (mut heard, mut sent) = (Vec::new(), 0);
        rig.until(|event| {
            match event {
                Event::Dtmf { key: own, digit, .. } if *own == key + 1 => heard.push(*digit),
                Event::DtmfSent { key: own, .. } if *own == key => sent += 1,
                _ => {}
            }
            heard.len() == 4 && sent == 4
        });
        assert_eq!(heard, digits, "{codec}");
    }
    rig.stop([1, 2, 3, 4]);
}

#[test]
fn srtp_under_another_key_is_not_heard_but_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deaf.wav");
    let mut rig = Rig::new(1);
    let mut sides = [Side::new("tone:1000", None), Side::new("silence", Some(&path))];
    let [ours, _] = keys(SrtpSuite::AesCm128HmacSha1_80);
    // Both use the same pair the same way round: nobody can open what the other sends.
    (sides[0].srtp, sides[1].srtp) = (ours.clone(), ours);
    rig.call(1, Codec::Pcmu, sides);
    rig.until(|event| matches!(event, Event::Quality { key: 2, .. }));
    rig.until(|event| matches!(event, Event::Quality { key: 2, .. }));
    let ends = rig.stop([1, 2]);
    let (_, _, theirs) = recording(&path);
    assert!(theirs.iter().all(|&sample| sample == 0));
    assert_eq!(ends[&2].report.inbound.packets, 0);
    assert!(ends[&2].media.srtp.auth_failed > 50, "{:?}", ends[&2].media);
}

#[test]
fn a_far_end_that_is_gone_harms_nobody() {
    let mut rig = Rig::new(1);
    let taken = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    let nowhere = taken.local_addr().unwrap();
    drop(taken);
    let ports = rig.driver.open_ports(LOOPBACK).unwrap();
    rig.start(1, ports, plan_to(Codec::Pcmu, nowhere, nowhere, None), Io::default());
    // No route at all leads there.
    let unroutable = "[2001:db8::1]:9".parse().unwrap();
    let ports = rig.driver.open_ports(LOOPBACK).unwrap();
    rig.start(2, ports, plan_to(Codec::Pcmu, unroutable, unroutable, None), Io::default());
    rig.call(3, Codec::Pcmu, [Side::new("tone:500", None), Side::new("silence", None)]);
    rig.hear(4, 2);
    let ends = rig.stop([1, 2, 3, 4]);
    for key in [1, 2] {
        assert_eq!(ends[&key].report.inbound.packets, 0);
        assert_eq!(ends[&key].report.inbound.mos, None, "nothing was heard, so nothing is known");
    }
    assert!(ends[&2].worker.send_errors > 50, "{:?}", ends[&2].worker);
    assert!(ends[&4].report.inbound.packets > 80);
}

#[test]
fn noise_on_the_ports_of_a_call_does_not_end_it() {
    let mut rig = Rig::new(1);
    let ports = [rig.driver.open_ports(LOOPBACK).unwrap(), rig.driver.open_ports(LOOPBACK).unwrap()];
    let plans = [plan(Codec::Pcmu, &ports[1], None), plan(Codec::Pcmu, &ports[0], None)];
    let targets = [ports[1].rtp_address, ports[1].rtcp_address];
    let [first, second] = ports;
    rig.start(1, first, plans[0].clone(), Side::new("tone:700", None).io);
    rig.start(2, second, plans[1].clone(), Io::default());
    rig.until(|event| matches!(event, Event::FirstPacket { key: 2 }));
    let storm = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    let mut random = sidetone::random::Random::from_seed(4);
    for n in 0..4_000 {
        let mut bytes = vec![0; random.range(0, 300) as usize];
        random.fill(&mut bytes);
        if let (true, Some(first)) = (n % 2 == 0, bytes.first_mut()) {
            *first = 0x80 | (*first & 0x3f);
        }
        storm.send_to(&bytes, targets[n % 2]).unwrap();
    }
    rig.hear(2, 2);
    let ends = rig.stop([1, 2]);
    assert!(ends[&2].report.inbound.packets > 80, "{:?}", ends[&2].report.inbound);
    let counted = &ends[&2].media;
    println!("counted: {counted:?}");
    assert!(counted.foreign + counted.malformed + counted.strangers > 2_000, "{counted:?}");
}

#[test]
fn a_renegotiated_codec_goes_on_in_the_same_recording() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("both.wav");
    let mut rig = Rig::new(1);
    let mut plans = rig.call(1, Codec::Pcmu, [Side::new("tone:1000", None), Side::new("silence", Some(&path))]);
    rig.hear(2, 1);
    for (plan, key) in plans.iter_mut().zip(1..) {
        *plan = plan_to(Codec::Opus, plan.remote_rtp, plan.remote_rtcp, None);
        rig.driver.update(key, plan.clone()).unwrap();
    }
    rig.hear(2, 2);
    let ends = rig.stop([1, 2]);
    assert!(ends[&2].recording.as_ref().unwrap().error.is_none());
    let (rate, _, theirs) = recording(&path);
    assert_eq!(rate, 8_000);
    let last = &theirs[theirs.len() - 8_000..];
    assert!(level(last, rate, 1_000.0) > 0.15, "after the change: {}", level(last, rate, 1_000.0));
    assert!(loudest(&theirs[..8_000], rate, 1_000.0) > 0.15);
}

#[test]
fn what_fails_beside_the_call_is_told_and_the_call_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let mut rig = Rig::new(1);
    let mut sides = [Side::new("tone:5000", Some(&file.join("call.wav"))), Side::new("silence", None)];
    sides[1].io = missing_device();
    rig.call(1, Codec::Pcmu, sides);
    let mut troubles = [false; 4];
    rig.until(|event| {
        if let Event::Trouble { key, trouble } = event {
            let sentence = trouble.to_string();
            let (which, remedy) = match trouble {
                Trouble::Tone { .. } => (0, "use less than 4000"),
                Trouble::Recording(RecorderError::Create { .. }) => (1, "choose a path"),
                Trouble::Microphone(_) => (2, "sending silence"),
                Trouble::Loudspeaker(_) => (3, "not playing"),
                Trouble::Recording(other) => panic!("{other}"),
            };
            assert_eq!(*key, 1 + u64::from(which > 1));
            assert!(sentence.contains(remedy), "{sentence}");
            troubles[which] = true;
        }
        troubles == [true; 4]
    });
    rig.hear(2, 1);
    let ends = rig.stop([1, 2]);
    let recording = ends[&1].recording.as_ref().unwrap();
    assert_eq!(recording.path, None);
    assert!(ends[&2].report.inbound.packets > 0);
}

#[test]
fn a_driver_that_is_dropped_ends_its_calls_with_their_recordings() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("last.wav");
    let mut rig = Rig::new(2);
    rig.call(1, Codec::Pcmu, [Side::new("tone:440", Some(&path)), Side::new("echo", None)]);
    rig.until(|event| matches!(event, Event::FirstPacket { key: 1 }));
    let last = rig.end();
    let mut ended: Vec<u64> =
        last.iter().filter(|event| matches!(event, Event::Finished(_))).map(|event| event.key()).collect();
    ended.sort_unstable();
    assert_eq!(ended, [1, 2]);
    assert!(!recording(&path).1.is_empty());
}

#[test]
fn a_hundred_calls_on_one_worker_are_no_load() {
    let mut rig = Rig::new(1);
    for pair in 0..50 {
        rig.call(2 * pair, Codec::Pcmu, [Side::new("tone:440", None), Side::new("echo", None)]);
    }
    rig.hear(99, 2);
    let load = rig.driver.load()[0];
    println!("100 calls on one worker: {load:?}");
    let ends = rig.stop(0..100);
    assert_eq!(load.calls, 100);
    // Loose, for machines that do something else as well: it is the order of magnitude that says whether it works.
    assert!(load.ticks >= 100 * 80, "{load:?}");
    assert!(load.late_ticks * 4 < load.ticks, "{load:?}");
    for (key, end) in ends {
        let inbound = &end.report.inbound;
        assert!(inbound.packets > 60 && inbound.lost < 10, "call {key}: {inbound:?}");
    }
}

mod conference;
