//! Peers as child processes: private directory, log file, stopped by pid, and waiting by observation.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// A loopback address that no other test process uses at the same time: the low bits of the pid choose a block of
/// sixteen, a counter the host in it.
pub fn address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let pid = std::process::id();
    let host = NEXT.fetch_add(1, Ordering::Relaxed);
    let block = (pid % 16) as u8 * 16;
    let third = (pid >> 4) as u8;
    let second = 64 + ((pid >> 12) % 64) as u8;
    // Sixteen hosts a block; further ones move to the next /16.
    IpAddr::V4(Ipv4Addr::new(127, second + (host / 15) * 8 % 64, third, block + host % 15 + 1))
}

/// A port that is free for UDP and TCP on `ip`.
pub fn free_port(ip: IpAddr) -> u16 {
    for _ in 0..100 {
        let port = UdpSocket::bind((ip, 0)).and_then(|socket| socket.local_addr()).expect("a UDP port").port();
        if TcpListener::bind((ip, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free for UDP and TCP on {ip}");
}

/// Is `program` installed? Without it the test says that it was skipped.
pub fn installed(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).is_file()))
        || Path::new("/usr/sbin").join(program).is_file();
    if !found {
        println!("skipped: {program} is not installed; `make test-deps` installs it");
    }
    found
}

/// A running peer.
pub struct Peer {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Peer {
    /// Starts `command` with its output in `directory/NAME.log`.
    pub fn start(name: &str, directory: &Path, command: &mut Command) -> Self {
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log).expect("a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { child, name: name.to_owned(), log }
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until its log holds `text`.
    pub fn wait_for(&mut self, text: &str, limit: Duration) {
        let met = eventually(limit, || self.log().contains(text) || self.exited());
        assert!(met && self.log().contains(text), "{} did not print {text:?} in {limit:?}:\n{}", self.name, self.log());
    }

    /// Waits until it ends by itself; its exit code.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let mut code = None;
        eventually(limit, || match self.child.try_wait() {
            Ok(Some(status)) => {
                code = status.code();
                true
            }
            _ => false,
        });
        code
    }

    fn exited(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if !self.exited() {
            // A polite end first: recordings and captures are completed.
            let _ = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
            if !eventually(Duration::from_secs(3), || matches!(self.child.try_wait(), Ok(Some(_)))) {
                let _ = self.child.kill();
            }
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(4000);
            let tail = (tail..=log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(log.len());
            eprintln!("--- {} ---\n{}", self.name, &log[tail..]);
        }
    }
}

/// Looks at `condition` until it holds or `limit` has passed; does it hold?
pub fn eventually(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        // The interval of observation, not a wait for something unseen.
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Measures again, three times in all, until `judge` is content: it says what is wrong with what was measured. The
/// machine that tests run on may be late for once; what is wrong each time is wrong.
pub fn measured<T>(mut measure: impl FnMut() -> T, judge: impl Fn(&T) -> Result<(), String>) {
    let mut faults = Vec::new();
    while faults.len() < 3 {
        match judge(&measure()) {
            Ok(()) => return,
            Err(fault) => faults.push(fault),
        }
    }
    panic!("wrong each time: {}", faults.join("\n"));
}

/// `Err` with what was found, unless it `holds`.
pub fn expect(holds: bool, what: &str, found: &impl std::fmt::Display) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{what}: {found}")) }
}
