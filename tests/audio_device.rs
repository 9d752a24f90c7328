//! Sound devices for real, without a card: a private PulseAudio with a null sink, reached through ALSA's pulse plug-in.
//!
//! A tone that a call plays on the device is heard at the sink's monitor, by a second call whose microphone it is.

#![cfg(all(target_os = "linux", feature = "device"))]

#[path = "driver_media/rig.rs"]
#[allow(dead_code, reason = "shared with the tests of the driver")]
mod rig;

use rig::{Rig, Side, level, recording};
use sidetone::audio::{Sink, Source, devices};
use sidetone::driver::media::Event;
use sidetone::media::plan::Codec;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A sound server of our own, ended with the test.
struct PulseAudio(Child);

impl PulseAudio {
    /// Starts it in `home`; `Err` says what is missing on this machine.
    fn start(home: &Path) -> Result<Self, String> {
        let plugin = ["/usr/lib", "/usr/lib64", "/lib"].into_iter().any(|lib| find_plugin(Path::new(lib), 3));
        if !plugin {
            return Err("ALSA's pulse plug-in is not installed (package libasound2-plugins)".into());
        }
        let socket = home.join("native");
        let script = format!(
            "load-module module-native-protocol-unix socket={} auth-anonymous=1\n\
             load-module module-null-sink sink_name=room rate=48000 norewinds=1\n\
             set-default-sink room\nset-default-source room.monitor\n",
            socket.display()
        );
        std::fs::write(home.join("room.pa"), script).unwrap();
        let device = format!("{{ type pulse server \"unix:{}\" }}\n", socket.display());
        std::fs::write(home.join("asound.conf"), format!("pcm.!default {device}ctl.!default {device}")).unwrap();
        let mut server = Command::new("pulseaudio");
        server.args(["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disallow-exit=yes", "-F"]);
        server.arg(home.join("room.pa"));
        for name in ["HOME", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH", "PULSE_STATE_PATH"] {
            server.env(name, home);
        }
        let child = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut this = Self(child.map_err(|error| format!("pulseaudio does not start (package pulseaudio): {error}"))?);
        while !socket.exists() {
            if let Ok(Some(status)) = this.0.try_wait() {
                return Err(format!("pulseaudio ended at once: {status}"));
            }
            std::thread::yield_now();
        }
        Ok(this)
    }
}

impl Drop for PulseAudio {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn find_plugin(directory: &Path, depth: usize) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    entries.flatten().any(|entry| {
        entry.file_name() == "libasound_module_pcm_pulse.so"
            || (depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) && find_plugin(&entry.path(), depth - 1))
    })
}

/// Starts the server and runs the test proper in a process whose ALSA knows nothing else.
#[test]
fn a_tone_goes_out_of_one_device_and_into_another() {
    let home = tempfile::tempdir().unwrap();
    let _server = match PulseAudio::start(home.path()) {
        Ok(server) => server,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let proper = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "through_the_room"])
        .env("ALSA_CONFIG_PATH", home.path().join("asound.conf"))
        .env("SIDETONE_TEST_ROOM", home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&proper.stdout);
    println!("{said}{}", String::from_utf8_lossy(&proper.stderr));
    assert!(proper.status.success() && said.contains("1 passed"), "the test with the private server failed");
}

#[test]
#[ignore = "run by the test above, in the environment that it makes"]
fn through_the_room() {
    let home = std::env::var("SIDETONE_TEST_ROOM").expect("run by the test above");
    let list = devices().unwrap();
    assert!(list.iter().any(|device| device.default && device.input.is_some() && device.output.is_some()), "{list:?}");
    for sentence in [Source::auto().sentence, Sink::auto().sentence] {
        assert!(sentence.contains("sound device"), "{sentence}");
    }
    assert_eq!((Source::auto().choice, Sink::auto().choice), (Source::Device(None), Sink::Device(None)));

    let path = Path::new(&home).join("heard.wav");
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
    for part in theirs[theirs.len() - rate as usize..].chunks_exact(rate as usize / 10) {
        let tone = (990..=1_010).map(|hz| level(part, rate, f64::from(hz))).fold(0.0, f64::max);
        let power = part.iter().map(|&sample| (f64::from(sample) / 32_768.0).powi(2)).sum::<f64>() / part.len() as f64;
        heard.push(tone);
        beside.push((power - tone * tone / 2.0).max(0.0).sqrt());
    }
    println!("the tone came back at {heard:.3?}, with {beside:.3?} beside it");
    println!("devices: {:?} and {:?}", ends[&1].worker, ends[&3].worker);
    // A machine that is busy may make one or two gaps; a path that is wrong breaks all of it.
    let whole = heard.iter().zip(&beside).filter(|(tone, rest)| (0.2..0.3).contains(*tone) && **rest < *tone / 8.0);
    assert!(whole.count() >= 7, "the tone is broken");
    let inbound = &ends[&4].report.inbound;
    assert!(inbound.lost == 0 && inbound.packets > 4 * 45, "{inbound:?}");
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
