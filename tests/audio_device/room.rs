//! A private PulseAudio with null sinks, reached through ALSA's pulse plug-in.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A sound server of our own, ended with the test.
pub(crate) struct Room {
    server: Child,
    home: PathBuf,
}

impl Room {
    /// Starts it in `home` with the sinks `room` (the default) and `hall`; `Err` says what is missing on this machine.
    pub(crate) fn start(home: &Path) -> Result<Self, String> {
        let plugin = ["/usr/lib", "/usr/lib64", "/lib"].into_iter().any(|lib| find_plugin(Path::new(lib), 3));
        if !plugin {
            return Err("ALSA's pulse plug-in is not installed (package libasound2-plugins)".into());
        }
        for tool in ["pactl", "parec"] {
            let found = Command::new(tool).arg("--version").stdout(Stdio::null()).status();
            found.map_err(|error| format!("{tool} does not start (package pulseaudio-utils): {error}"))?;
        }
        let socket = home.join("native");
        let script = format!(
            "load-module module-native-protocol-unix socket={} auth-anonymous=1\n\
             load-module module-null-sink sink_name=room rate=48000 norewinds=1\n\
             load-module module-null-sink sink_name=hall rate=48000 norewinds=1\n\
             set-default-sink room\nset-default-source room.monitor\n",
            socket.display()
        );
        std::fs::write(home.join("room.pa"), script).unwrap();
        let server = format!("server \"unix:{}\"", socket.display());
        let mut alsa = format!("pcm.!default {{ type pulse {server} }}\nctl.!default {{ type pulse {server} }}\n");
        // A headset that is plugged in and out: its own name on the card of the server.
        alsa += &format!(
            "pcm.headset {{ type pulse {server} device \"headset\"\n\
             hint {{ show on description \"Headset of the test\" }} }}\n"
        );
        std::fs::write(home.join("asound.conf"), alsa).unwrap();
        let mut server = Command::new("pulseaudio");
        server.args(["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disallow-exit=yes", "-F"]);
        server.arg(home.join("room.pa"));
        for name in ["HOME", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH", "PULSE_STATE_PATH"] {
            server.env(name, home);
        }
        let child = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = child.map_err(|error| format!("pulseaudio does not start (package pulseaudio): {error}"))?;
        let mut this = Self { server, home: home.into() };
        while !socket.exists() {
            if let Ok(Some(status)) = this.server.try_wait() {
                return Err(format!("pulseaudio ended at once: {status}"));
            }
            std::thread::yield_now();
        }
        Ok(this)
    }

    /// Runs one ignored test of this program in a process whose ALSA knows nothing but this room.
    pub(crate) fn run(&self, test: &str) {
        let proper = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", test])
            .env("ALSA_CONFIG_PATH", self.home.join("asound.conf"))
            .env("SIDETONE_TEST_ROOM", &self.home)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&proper.stdout);
        println!("{said}{}", String::from_utf8_lossy(&proper.stderr));
        assert!(proper.status.success() && said.contains("1 passed"), "the test with the private server failed");
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn find_plugin(directory: &Path, depth: usize) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    entries.flatten().any(|entry| {
        entry.file_name() == "libasound_module_pcm_pulse.so"
            || (depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) && find_plugin(&entry.path(), depth - 1))
    })
}

/// The room of the process that [`Room::run`] started.
pub(crate) struct Inside {
    pub(crate) home: PathBuf,
}

impl Inside {
    pub(crate) fn new() -> Self {
        Self { home: std::env::var_os("SIDETONE_TEST_ROOM").expect("run by another test").into() }
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("PULSE_SERVER", format!("unix:{}", self.home.join("native").display())).env("HOME", &self.home);
        command
    }

    /// Tells the server something; what it answers.
    pub(crate) fn pactl(&self, words: &[&str]) -> String {
        let output = self.tool("pactl").args(words).output().unwrap();
        assert!(output.status.success(), "pactl {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Plugs a sink in; the number to unplug it by.
    pub(crate) fn plug(&self, name: &str) -> String {
        self.pactl(&["load-module", "module-null-sink", &format!("sink_name={name}"), "rate=48000", "norewinds=1"])
    }

    pub(crate) fn unplug(&self, number: &str) {
        self.pactl(&["unload-module", number]);
    }

    /// The number of a sink that was there from the start.
    pub(crate) fn module_of(&self, sink: &str) -> String {
        let modules = self.pactl(&["list", "short", "modules"]);
        let line = modules.lines().find(|line| line.contains(&format!("sink_name={sink} "))).expect("the sink");
        line.split_whitespace().next().unwrap().to_owned()
    }

    /// What is heard in a room for `seconds`, 48 kHz.
    pub(crate) fn listen(&self, sink: &str, seconds: f64) -> Vec<i16> {
        use std::io::Read;
        let mut recorder = self
            .tool("parec")
            .args(["--raw", "--format=s16le", "--rate=48000", "--channels=1", "--latency-msec=20"])
            .arg(format!("--device={sink}.monitor"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut octets = vec![0; (seconds * 48_000.0) as usize * 2];
        recorder.stdout.as_mut().unwrap().read_exact(&mut octets).unwrap();
        let _ = recorder.kill();
        let _ = recorder.wait();
        octets.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    /// Listens until a tone of `hz` is heard for a second with few gaps; fails when it never is. Tells its level, and
    /// the largest step between two samples.
    pub(crate) fn hears(&self, sink: &str, hz: f64) -> f64 {
        for attempt in 0..12 {
            let heard = self.listen(sink, 1.0);
            let levels: Vec<f64> = heard.chunks_exact(4_800).map(|part| near(part, hz)).collect();
            let loudest = levels.iter().copied().fold(0.0, f64::max);
            let whole = levels.iter().filter(|level| **level > 0.8 * loudest && **level > 0.01).count();
            if whole >= 7 {
                return loudest;
            }
            println!("attempt {attempt}: {hz} Hz in {sink} at {levels:.3?}");
        }
        panic!("{hz} Hz is never heard in {sink}");
    }
}

/// Amplitude of the loudest pitch around `hz`, of full scale: drift is being corrected.
fn near(samples: &[i16], hz: f64) -> f64 {
    (-4..=4).map(|off| super::rig::level(samples, 48_000, hz * (1.0 + f64::from(off) / 400.0))).fold(0.0, f64::max)
}
