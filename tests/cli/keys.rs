//! Keys on a terminal: each acts without Enter, and the terminal is afterwards as it was. `script` (util-linux) lends a real
//! one.

use crate::process::{Domain, Home, LIMIT};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The program on a terminal of its own, between two looks at how that is set.
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<String>>,
    /// What was looked at already.
    seen: usize,
}

impl Terminal {
    fn start(home: &Home, arguments: &[&str]) -> Self {
        let quoted: Vec<String> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
        let program = format!("'{}' {}", env!("CARGO_BIN_EXE_sidetone"), quoted.join(" "));
        // Ctrl-C is for the program, not for the shell around it.
        let line =
            format!("trap : INT; tty; stty -a; sh -c \"echo pid \\$\\$; exec {program}\"; echo code $?; stty -a");
        let mut command = Command::new("script");
        command.args(["-qfec", &line, "/dev/null"]).env("SHELL", "/bin/sh").env("TERM", "xterm");
        home.furnish(&mut command);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script of util-linux");
        let (keyboard, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut octets = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut octets) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&octets[..count]));
            }
        });
        Self { child, keyboard, screen, seen: 0 }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).and_then(|()| self.keyboard.flush()).unwrap();
    }

    /// Waits until the screen shows this, behind what was seen before.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            let screen = self.screen.lock().unwrap().clone();
            if let Some(at) = screen[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            assert!(start.elapsed() < LIMIT, "{text:?} was never shown:\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end of the program; the settings of the terminal before and after it have to be the same.
    #[track_caller]
    fn ends(mut self, code: i32) {
        self.shows(&format!("code {code}"));
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        let screen = self.screen.lock().unwrap().clone();
        let settings: Vec<&str> = screen.lines().filter(|line| line.contains("icanon")).map(str::trim).collect();
        assert_eq!(settings.len(), 2, "{screen}");
        assert_eq!(settings[0], settings[1], "icanon is on again");
        assert!(!settings[0].contains("-icanon"));
        assert_eq!(screen.matches(" echo ").count(), 2, "{screen}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn keys_act_at_once_and_the_terminal_is_as_it_was_afterwards() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let mut bob = domain.bob(&theirs, &[]);
    let aor = domain.aor("ann");
    let arguments = ["call", "bob", "--aor", &aor, "--source", "tone:300", "--sink", "null", "--codec", "pcmu,pcma"];
    let mut ann = Terminal::start(&ours, &arguments);
    ann.shows("keys: h hold");
    ann.shows("answered by");
    ann.press("h");
    ann.shows("held by us");
    assert_eq!(bob.expect("call.held")["by"], "remote");
    ann.press("h");
    ann.shows("resumed by us");
    ann.press("m");
    ann.shows("muted: silence is sent");
    ann.press("m");
    ann.shows("no longer muted");
    ann.press("5#");
    for digit in ["5", "#"] {
        assert_eq!(bob.expect("call.dtmf")["digit"], digit);
    }
    ann.press("z");
    ann.shows("the key z does nothing");
    // What is typed is shown, also while the live line would be.
    ann.press("c");
    ann.shows("codec: ");
    ann.press("pcmb\u{7f}a");
    ann.shows("codec: pcma");
    ann.press("\r");
    ann.shows("the codec is PCMA now");
    assert_eq!(bob.expect("call.codec")["codec"], "PCMA");
    ann.press(":address 127.0.0.1\r");
    ann.shows("the sound of the call moves to 127.0.0.1");
    ann.press("tcid\r");
    ann.shows("held by us");
    ann.shows("not transferred to");
    ann.shows("resumed by us");
    ann.press("?");
    ann.shows("keys (each acts at once)");
    ann.press("q");
    ann.shows("completed after");
    ann.ends(0);
    bob.interrupt();
    bob.finish();
}

/// What a shell does to the terminal between Ctrl-Z and `fg` is undone.
#[test]
fn a_program_that_was_stopped_takes_keys_again() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let bob = domain.bob(&theirs, &[]);
    let aor = domain.aor("ann");
    let mut ann = Terminal::start(&ours, &["call", "bob", "--aor", &aor, "--source", "tone:300", "--sink", "null"]);
    ann.shows("answered by");
    let screen = ann.screen.lock().unwrap().clone();
    let tty = screen.lines().find(|line| line.starts_with("/dev/")).expect("the name of the terminal").trim();
    let pid = screen.lines().find_map(|line| line.trim().strip_prefix("pid ")).expect("the number of the program");
    let is_waiting = || {
        let set = Command::new("stty").args(["-F", tty, "-a"]).output().unwrap();
        !String::from_utf8_lossy(&set.stdout).contains("-icanon")
    };
    assert!(!is_waiting());
    assert!(Command::new("stty").args(["-F", tty, "icanon", "echo"]).status().unwrap().success());
    assert!(is_waiting());
    assert!(Command::new("kill").args(["-CONT", pid]).status().unwrap().success());
    let start = Instant::now();
    while is_waiting() {
        assert!(start.elapsed() < LIMIT, "keys still wait for Enter");
        std::thread::sleep(Duration::from_millis(20));
    }
    ann.press("q");
    ann.shows("completed after");
    ann.ends(0);
    bob.interrupt();
    bob.finish();
}

#[test]
fn ctrl_c_works_and_gives_the_terminal_back() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let bob = domain.bob(&theirs, &[]);
    let aor = domain.aor("ann");
    let mut ann = Terminal::start(&ours, &["call", "bob", "--aor", &aor, "--source", "tone:300", "--sink", "null"]);
    ann.shows("answered by");
    ann.press("\u{3}");
    ann.shows("completed after");
    ann.ends(0);
    bob.interrupt();
    bob.finish();
}
