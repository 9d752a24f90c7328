//! Sound devices for real, without a card: a private PulseAudio with a null sink, reached through ALSA's pulse plug-in.
//!
//! A tone that a call plays on the device is heard at the sink's monitor, by a second call whose microphone it is.

#![cfg(all(target_os = "linux", feature = "device"))]

mod calls;
#[path = "../driver_media/rig.rs"]
#[allow(dead_code, reason = "shared with the tests of the driver")]
mod rig;
mod room;

use rig::{Rig, Side, level, recording};
use room::{Inside, Room};
use sidetone::audio::{Adjust, DeviceOptions, Gain, Sink, Source, Way, check_device, devices};
use sidetone::driver::media::{Event, Trouble};
use sidetone::media::plan::Codec;
use std::process::Command;

/// Starts the server and runs the test proper in a process whose ALSA knows nothing else.
fn in_the_room(test: &str) {
    let home = tempfile::tempdir().unwrap();
    match Room::start(home.path()) {
        Ok(room) => room.run(test),
        Err(reason) => println!("skipped: {reason}"),
    }
}

#[test]
fn a_tone_goes_out_of_one_device_and_into_another() {
    in_the_room("through_the_room");
}

#[test]
fn gains_side_tone_and_levels_are_what_is_heard() {
    in_the_room("knobs");
}

#[test]
fn the_call_outlives_its_devices_and_takes_them_again() {
    in_the_room("unplugged");
}

/// A call whose one end plays the tone of the other on `sink`, with `options`.
fn playing(rig: &mut Rig, sink: Sink, options: DeviceOptions) {
    let mut player = Side::new("silence", None);
    (player.io.sink, player.io.sound) = (sink, options);
    rig.call(1, Codec::Pcmu, [player, Side::new("tone:1000", None)]);
}

#[test]
#[ignore = "run by a test above, in the environment that it makes"]
fn knobs() {
    let room = Inside::new();
    let mut rig = Rig::new(1);
    let options = DeviceOptions { levels: true, output_gain: Gain::from_db(-6.0).unwrap(), ..DeviceOptions::default() };
    playing(&mut rig, Sink::Device(None), options);
    // A quarter of full scale, by half.
    let plain = room.hears("room", 1_000.0);
    assert!((plain / 0.125 - 1.0).abs() < 0.1, "{plain}");
    rig.driver.adjust(1, Adjust::OutputGain(Gain::from_db(-26.0).unwrap())).unwrap();
    let mut softer = plain;
    for _ in 0..10 {
        softer = room.hears("room", 1_000.0);
        if softer < plain / 5.0 {
            break;
        }
    }
    assert!((softer / plain * 10.0 - 1.0).abs() < 0.1, "{plain} became {softer}");
    // What the meter says is what is played: -12 dBFS of the tone and the gain.
    rig.until(|event| match event {
        Event::Levels { key: 1, levels } => {
            assert_eq!(levels.input, None);
            levels.output.is_some_and(|level| (level.peak + 38.0).abs() < 0.5 && (level.rms + 41.0).abs() < 0.5)
        }
        _ => false,
    });
    rig.stop([1, 2]);

    // The hall's microphone hears a tone that the far end never gets to play: only the side tone brings it to the room.
    room.pactl(&["set-default-source", "hall.monitor"]);
    playing(&mut rig, Sink::Null, DeviceOptions::default());
    let mut speaker = Side::new("silence", None);
    speaker.io.sink = Sink::Device(Some("headset".into()));
    let number = room.plug("headset");
    room.pactl(&["set-default-source", "headset.monitor"]);
    rig.call(3, Codec::Pcmu, [speaker, Side::new("tone:700", None)]);
    assert!(room.hears("headset", 700.0) > 0.2, "it plays into the headset, whose monitor is the microphone");
    let mut own = Side::new("device", None);
    own.io.sink = Sink::Device(None);
    own.io.sound.side_tone = Some(Gain::from_db(-20.0).unwrap());
    rig.call(5, Codec::Pcmu, [own, Side::new("silence", None)]);
    let heard = room.hears("room", 700.0);
    assert!((heard / 0.025 - 1.0).abs() < 0.15, "the side tone is at {heard}");
    rig.driver.adjust(5, Adjust::SideTone(None)).unwrap();
    let gone = (0..10).any(|_| {
        let heard = room.listen("room", 0.5);
        level(&heard[12_000..], 48_000, 700.0) < 0.002
    });
    assert!(gone, "the side tone goes");
    // Muted, the microphone still paces the call: packets go on, and hold silence.
    rig.driver.mute(5, true).unwrap();
    rig.hear(6, 3);
    let ends = rig.stop([1, 2, 3, 4, 5, 6]);
    let inbound = &ends[&6].report.inbound;
    assert!(inbound.lost == 0 && inbound.packets > 3 * 45, "{inbound:?}");
    room.unplug(&number);
}

#[test]
#[ignore = "run by a test above, in the environment that it makes"]
fn unplugged() {
    let room = Inside::new();
    let mut rig = Rig::new(1);
    // The default goes away: the server moves the stream to what is left.
    playing(&mut rig, Sink::Device(None), DeviceOptions::default());
    assert!(room.hears("room", 1_000.0) > 0.2);
    room.pactl(&["set-default-sink", "hall"]);
    assert!(room.hears("hall", 1_000.0) > 0.2, "another default");
    room.unplug(&room.module_of("hall"));
    assert!(room.hears("room", 1_000.0) > 0.2, "the default went away");
    // Nothing is left at all, then something new is plugged in.
    room.unplug(&room.module_of("room"));
    rig.until(|event| matches!(event, Event::Trouble { key: 1, trouble: Trouble::Loudspeaker(_) }));
    let new = room.plug("new");
    rig.until(|event| matches!(event, Event::DeviceOpened { key: 1, output: Some(_), .. }));
    assert!(room.hears("new", 1_000.0) > 0.2, "taken again");
    // One that was chosen by a part of its name, unplugged and plugged in again; the default stands in meanwhile.
    let number = room.plug("headset");
    let names = devices().unwrap();
    assert!(names.iter().any(|device| device.name.contains("Headset of the test")), "{names:?}");
    assert_eq!(check_device(Way::Out, "of the test"), Ok(()));
    let why = check_device(Way::Out, "trumpet").unwrap_err().to_string();
    assert!(why.contains("\"trumpet\"") && why.contains("headset"), "{why}");
    let mut player = Side::new("silence", None);
    player.io.sink = Sink::Device(Some("of the test".into()));
    rig.call(3, Codec::Pcmu, [player, Side::new("tone:600", None)]);
    assert!(room.hears("headset", 600.0) > 0.2);
    // Were anything else there, the server would move the stream and nobody would know.
    room.unplug(&new);
    room.unplug(&number);
    rig.until(|event| matches!(event, Event::Trouble { key: 3, trouble: Trouble::Loudspeaker(_) }));
    room.plug("other");
    assert!(room.hears("other", 600.0) > 0.2, "the default stands in");
    room.plug("headset");
    rig.until(|event| match event {
        Event::DeviceOpened { key: 3, output: Some(name), .. } => name.contains("Headset of the test"),
        _ => false,
    });
    assert!(room.hears("headset", 600.0) > 0.2, "the headset is back");
    rig.hear(3, 1);
    let ends = rig.stop([1, 2, 3, 4]);
    println!("{:?} and {:?}", ends[&1].worker, ends[&3].worker);
    assert!(ends[&1].worker.devices.lost >= 1 && ends[&3].worker.devices.lost >= 1);
    for key in [1, 2, 3, 4] {
        let inbound = &ends[&key].report.inbound;
        assert!(inbound.lost == 0 && inbound.packets > 200, "call {key} went on: {inbound:?}");
    }
}

#[test]
#[ignore = "run by the test above, in the environment that it makes"]
fn through_the_room() {
    let home = Inside::new().home;
    let list = devices().unwrap();
    assert!(list.iter().any(|device| device.default_input && device.default_output), "{list:?}");
    for sentence in [Source::auto().sentence, Sink::auto().sentence] {
        assert!(sentence.contains("sound device"), "{sentence}");
    }
    assert_eq!((Source::auto().choice, Sink::auto().choice), (Source::Device(None), Sink::Device(None)));

    // On a machine that is late for once it is played again.
    assert!((0..5).any(|_| tone_comes_back(&home)), "the tone is broken");
}

/// Plays a tone through the room; was a second of it whole?
fn tone_comes_back(home: &std::path::Path) -> bool {
    let path = home.join("heard.wav");
    let mut rig = Rig::new(1);
    // 1 hears 2's tone and plays it; 3 listens in the room and sends it to 4, which records.
    let mut player = Side::new("silence", None);
    player.io.sink = Sink::Device(None);
    rig.call(1, Codec::Opus, [player, Side::new("tone:1000", None)]);
    rig.call(3, Codec::Pcmu, [Side::new("device", None), Side::new("silence", Some(&path))]);
    let mut opened = (false, false);
    rig.until(|event| {
        match event {
            Event::DeviceOpened { key: 1, output: Some(_), .. } => opened.0 = true,
            Event::DeviceOpened { key: 3, input: Some(_), .. } => opened.1 = true,
            Event::Trouble { trouble, .. } => panic!("{trouble}"),
            _ => {}
        }
        opened == (true, true)
    });
    for event in rig.hear(4, 4) {
        if let Event::Trouble { trouble, .. } = event {
            println!("trouble: {trouble}");
        }
    }
    let ends = rig.stop([1, 2, 3, 4]);
    let (rate, _, theirs) = recording(&path);
    // By tenths of a second, and at the loudest pitch: it differs by the drift that is being corrected.
    let mut heard = Vec::new();
    let mut beside = Vec::new();
    for part in theirs.chunks_exact(rate as usize / 10) {
        let tone = (990..=1_010).map(|hz| level(part, rate, f64::from(hz))).fold(0.0, f64::max);
        let power = part.iter().map(|&sample| (f64::from(sample) / 32_768.0).powi(2)).sum::<f64>() / part.len() as f64;
        heard.push(tone);
        beside.push((power - tone * tone / 2.0).max(0.0).sqrt());
    }
    println!("the tone came back at {heard:.3?}, with {beside:.3?} beside it");
    println!("devices: {:?} and {:?}", ends[&1].worker, ends[&3].worker);
    // A machine that is busy may make one or two gaps in a second; a path that is wrong breaks all of it.
    let is_whole: Vec<bool> =
        heard.iter().zip(&beside).map(|(tone, rest)| (0.2..0.3).contains(tone) && *rest < *tone / 8.0).collect();
    let best = is_whole.windows(10).map(|second| second.iter().filter(|whole| **whole).count()).max();
    let inbound = &ends[&4].report.inbound;
    assert!(inbound.lost == 0 && inbound.packets > 4 * 40, "{inbound:?}");
    best.unwrap_or_default() >= 7
}

/// What the room is for, turned round: without any server everything is said and nothing fails.
#[test]
fn a_machine_without_sound_says_so() {
    let nowhere = tempfile::tempdir().unwrap();
    let config = nowhere.path().join("asound.conf");
    std::fs::write(&config, "# no device at all\n").unwrap();
    let proper = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "without_sound"])
        .env("ALSA_CONFIG_PATH", &config)
        .output()
        .unwrap();
    let (said, noise) = (String::from_utf8_lossy(&proper.stdout), String::from_utf8_lossy(&proper.stderr));
    println!("{said}{noise}");
    assert!(proper.status.success() && said.contains("1 passed"), "the test without a server failed");
    assert!(!noise.contains("ALSA lib"), "alsa-lib wrote to stderr");
}

#[test]
#[ignore = "run by the test above, in the environment that it makes"]
fn without_sound() {
    assert_eq!(devices().unwrap(), []);
    let (source, sink) = (Source::auto(), Sink::auto());
    assert_eq!((source.choice, sink.choice), (Source::Silence, Sink::Null));
    assert!(source.sentence.starts_with("sending silence: "), "{}", source.sentence);
    assert!(sink.sentence.starts_with("not playing: "), "{}", sink.sentence);
}
