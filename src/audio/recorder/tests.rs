//! Recordings without a call.

use super::*;
use std::fs;

#[test]
fn ours_is_left_theirs_is_right_and_directories_are_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("2026/07/call.wav");
    let mut recorder = Recorder::start(&path, 8_000).unwrap();
    let info = allocation_counter::measure(|| (0..50i16).for_each(|n| recorder.push(&[n; 160], &[-n; 160])));
    assert_eq!(info.count_total, 0, "the worker's side of a recording allocates: {info:?}");
    let recording = recorder.finish().wait();
    assert!(recording.error.is_none(), "{:?}", recording.error);
    assert_eq!((recording.path.as_deref(), recording.frames, recording.dropped), (Some(&*path), 8_000, 0));
    let mut reader = hound::WavReader::open(&path).unwrap();
    assert_eq!((reader.spec().channels, reader.spec().sample_rate, reader.duration()), (2, 8_000, 8_000));
    let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    for (frame, pair) in samples.chunks(2).enumerate() {
        let n = (frame / 160) as i16;
        assert_eq!(pair, [n, -n]);
    }
}

#[test]
fn a_call_that_changes_its_rate_keeps_the_length_of_its_recording() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("call.wav");
    let mut recorder = Recorder::start(&path, 8_000).unwrap();
    (0..10).for_each(|_| recorder.push(&[100; 160], &[200; 160]));
    recorder.set_rate(48_000);
    (0..50).for_each(|_| recorder.push(&[100; 960], &[200; 960]));
    recorder.set_rate(8_000);
    (0..10).for_each(|_| recorder.push(&[100; 160], &[200; 160]));
    let recording = recorder.finish().wait();
    // The filter keeps some milliseconds of the middle part.
    assert!((11_100..=11_200).contains(&recording.frames), "{}", recording.frames);
}

#[test]
fn the_file_is_playable_while_the_call_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("call.wav");
    let mut recorder = Recorder::start(&path, 8_000).unwrap();
    recorder.push(&[1; 8_000], &[2; 8_000]);
    let thread = recorder.writer.thread().clone();
    let playable = (0..10_000_000).any(|_| {
        thread.unpark();
        thread::yield_now();
        hound::WavReader::open(&path).is_ok_and(|reader| reader.duration() == 8_000)
    });
    assert!(playable, "the header never became valid");
    drop(recorder);
}

#[test]
fn a_place_that_cannot_be_written_is_told_and_frames_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let path = file.join("call.wav");
    let mut recorder = Recorder::start(&path, 8_000).unwrap();
    while !recorder.has_failed() {
        thread::yield_now();
    }
    recorder.push(&[0; 160], &[0; 160]);
    assert_eq!(recorder.dropped(), 160);
    let recording = recorder.finish().wait();
    let error = recording.error.unwrap().to_string();
    assert!(error.contains("call.wav") && error.contains("can be written"), "{error}");
    assert_eq!(recording.path, None);
}

#[test]
fn a_full_disk_stops_the_recording_and_not_the_call() {
    // The device that is always full, where there is one.
    let path = Path::new("/dev/full");
    if !path.exists() {
        println!("skipped: no /dev/full");
        return;
    }
    let mut recorder = Recorder::start(path, 8_000).unwrap();
    for _ in 0..20_000_000 {
        recorder.push(&[5; 160], &[5; 160]);
        if recorder.has_failed() {
            break;
        }
        recorder.writer.thread().unpark();
        thread::yield_now();
    }
    let error = recorder.finish().wait().error.unwrap();
    assert!(error.to_string().contains("make room"), "{error}");
}

/// What a tool says of an audio file; `None` where it is not installed.
fn told(tool: &str, arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new(tool).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

fn tone(hz: f64, rate: u32, seconds: usize) -> Vec<i16> {
    let mut samples = vec![0; rate as usize * seconds];
    Tone::new(hz, rate).read(&mut samples);
    samples
}

fn recorded(path: &Path, rate: u32, layout: Layout) -> Recording {
    let mut recorder = Recorder::open(path, rate, layout, None).unwrap();
    let (ours, theirs) = (tone(500.0, rate, 3), tone(900.0, rate, 3));
    for (ours, theirs) in ours.chunks(rate as usize / 50).zip(theirs.chunks(rate as usize / 50)) {
        recorder.push(ours, theirs);
    }
    recorder.finish().wait()
}

#[test]
fn the_digest_is_that_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["call.wav", "call.opus"] {
        let path = directory.path().join(name);
        let recording = recorded(&path, 8_000, Layout::Stereo);
        assert!(recording.error.is_none() && recording.seconds() == 3.0, "{recording:?}");
        let Some(told) = told("sha256sum", &[path.to_str().unwrap()]) else { return println!("skipped: no sha256sum") };
        assert_eq!(told.split(' ').next(), recording.digest.as_deref());
    }
}

#[test]
fn opus_in_ogg_is_what_other_tools_play() {
    let directory = tempfile::tempdir().unwrap();
    let mut played = 0;
    for (rate, layout) in [(8_000, Layout::Stereo), (16_000, Layout::Mono), (48_000, Layout::Stereo)] {
        let (path, wav) = (directory.path().join(format!("{rate}.opus")), directory.path().join(format!("{rate}.wav")));
        let recording = recorded(&path, rate, layout);
        assert!(recording.error.is_none(), "{recording:?}");
        let octets = fs::read(&path).unwrap();
        assert!(octets.starts_with(b"OggS") && octets[28..].starts_with(b"OpusHead"));
        let Some(text) = told("opusdec", &["--quiet", path.to_str().unwrap(), wav.to_str().unwrap()]) else { continue };
        let mut reader = hound::WavReader::open(&wav).unwrap_or_else(|error| panic!("{error}: {text}"));
        let spec = reader.spec();
        let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
        let seconds = samples.len() as f64 / f64::from(spec.channels) / f64::from(spec.sample_rate);
        assert!((seconds - 3.0).abs() < 0.001, "{rate}: {seconds} s, {text}");
        let loud = samples.iter().filter(|sample| sample.abs() > 3_000).count();
        assert!(loud > samples.len() / 3, "{rate}");
        played += 1;
    }
    if played == 0 {
        println!("skipped: no opusdec");
    }
}

#[test]
fn a_pause_leaves_no_gap_or_a_beep() {
    for (beep, frames) in [(false, 16_000), (true, 17_600)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("call.wav");
        let mut recorder = Recorder::start(&path, 8_000).unwrap();
        recorder.push(&[1; 8_000], &[1; 8_000]);
        recorder.pause();
        recorder.push(&[2; 8_000], &[2; 8_000]);
        recorder.resume(beep);
        recorder.push(&[3; 8_000], &[3; 8_000]);
        let recording = recorder.finish().wait();
        assert_eq!((recording.frames, recording.dropped), (frames, 0));
        let samples: Vec<i16> = hound::WavReader::open(&path).unwrap().samples().map(Result::unwrap).collect();
        assert!(samples[..16_000].iter().all(|sample| *sample == 1), "nothing of the pause is in it");
        assert!(samples[samples.len() - 16_000..].iter().all(|sample| *sample == 3));
        assert_eq!(samples[16_000..].iter().any(|sample| *sample > 8_000), beep);
    }
}

#[test]
fn mono_has_both_sides_in_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("call.wav");
    let mut recorder = Recorder::open(&path, 8_000, Layout::Mono, None).unwrap();
    recorder.push(&[100, 30_000], &[20, 30_000]);
    recorder.finish().wait();
    let mut reader = hound::WavReader::open(&path).unwrap();
    assert_eq!(reader.spec().channels, 1);
    assert_eq!(reader.samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), [120, i16::MAX]);
}

/// Records three seconds and is cut off before the end of the file is written.
fn cut_off(path: &Path, journal: &Path, at: u64) {
    let whole = path.with_file_name("whole").with_extension(path.extension().unwrap());
    recorded(&whole, 8_000, Layout::Stereo);
    let mut octets = fs::read(&whole).unwrap();
    octets.truncate(octets.len() - at as usize);
    if octets.starts_with(b"RIFF") {
        // The lengths are those of an earlier turn.
        octets[40..44].copy_from_slice(&4_000u32.to_le_bytes());
    }
    fs::write(path, octets).unwrap();
    // What the process noted stays when nobody takes it back.
    std::mem::forget(Noted::write(journal, path).unwrap());
}

#[test]
fn what_a_crash_cut_off_is_made_whole_once_and_only_when_nobody_writes_it() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    for (name, cut) in [("call.wav", 1_001), ("call.opus", 300)] {
        let path = directory.path().join(name);
        cut_off(&path, &journal, cut);
        assert!(repair_all(&journal).is_empty(), "a living process holds it");
        // The process is gone: its lock is, but not what it wrote.
        let entry = fs::read_dir(&journal).unwrap().next().unwrap().unwrap().path();
        let text = fs::read(&entry).unwrap();
        fs::remove_file(&entry).unwrap();
        fs::write(journal.join("1-1.json"), text).unwrap();
        let [repaired] = &repair_all(&journal)[..] else { panic!("{name} was not repaired") };
        assert!(repaired.error.is_none() && repaired.repaired, "{repaired:?}");
        assert!((1.9..3.0).contains(&repaired.seconds()), "{} s", repaired.seconds());
        assert!(repair_all(&journal).is_empty(), "once");
        if name == "call.wav" {
            let mut reader = hound::WavReader::open(&path).unwrap();
            assert_eq!(u64::from(reader.duration()), repaired.frames);
            assert!(reader.samples::<i16>().all(|sample| sample.is_ok()));
            let told = told("soxi", &["-D", path.to_str().unwrap()]);
            assert!(told.is_none_or(|told| told.starts_with("2.9")), "by sox");
        } else if let Some(told) = told("opusinfo", &[path.to_str().unwrap()]) {
            assert!(!told.contains("WARNING") && told.contains("Playback length"), "{told}");
        }
    }
}

#[test]
fn a_file_that_is_none_is_told_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("a.wav", "RIFFxxxx"), ("b.wav", "no sound at all"), ("c.ogg", "OggS"), ("d.opus", "")] {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        let error = repair(path.clone()).error.unwrap().to_string();
        assert!(error.contains(name) && error.contains("stays"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
