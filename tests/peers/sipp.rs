//! SIPp as a far end: the scenarios of `fixtures/sipp` by name, or its built-in `uas` and `uac`.

use crate::process::{Peer, address, eventually, free_port};
use crate::sidetone::fixture;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How one is set up.
#[derive(Default)]
pub struct Options<'a> {
    /// TCP in place of UDP.
    pub tcp: bool,
    /// How many calls; 0 is one.
    pub calls: u32,
    /// More arguments.
    pub arguments: &'a [&'a str],
}

/// A running SIPp. It ends by itself after its calls.
pub struct Sipp {
    pub address: SocketAddr,
    tcp: bool,
    peer: Peer,
    directory: tempfile::TempDir,
}

/// One message of its trace.
#[derive(Debug)]
pub struct Traced {
    /// Came from us; SIPp sent the others.
    pub received: bool,
    pub text: String,
}

impl Sipp {
    /// Waits for calls.
    pub fn answers(scenario: &str, options: &Options) -> Self {
        let mut sipp = Self::start(scenario, None, options);
        assert!(
            eventually(Duration::from_secs(15), || is_bound(sipp.address, sipp.tcp)),
            "SIPp does not listen:\n{}",
            sipp.story()
        );
        sipp
    }

    /// Calls `target`.
    pub fn calls(scenario: &str, target: SocketAddr, options: &Options) -> Self {
        Self::start(scenario, Some(target), options)
    }

    fn start(scenario: &str, target: Option<SocketAddr>, options: &Options) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let ip = address();
        let address = SocketAddr::new(ip, free_port(ip));
        let mut command = Command::new("sipp");
        match scenario {
            "uas" | "uac" => command.args(["-sn", scenario]),
            file => command.arg("-sf").arg(fixture(&format!("sipp/{file}.xml"))),
        };
        command
            .args(["-nostdin", "-timeout", "90", "-timeout_error", "-trace_msg", "-trace_err"])
            .args(["-t", if options.tcp { "t1" } else { "u1" }])
            .args(["-m", &options.calls.max(1).to_string()])
            .args(["-i", &ip.to_string(), "-p", &address.port().to_string()])
            .args(["-mi", &ip.to_string()])
            .arg("-message_file")
            .arg(directory.path().join("messages"))
            .arg("-error_file")
            .arg(directory.path().join("errors"))
            .args(options.arguments)
            .args(target.map(|target| target.to_string()))
            // Its screens need no terminal then.
            .env("TERM", "dumb")
            .current_dir(directory.path());
        let peer = Peer::start("sipp", directory.path(), &mut command);
        Self { address, tcp: options.tcp, peer, directory }
    }

    /// The URI that calls it.
    pub fn uri(&self) -> String {
        let parameter = if self.tcp { ";transport=tcp" } else { "" };
        format!("sip:service@{}{parameter}", self.address)
    }

    /// Waits until it ends by itself, content with what it saw; its trace.
    pub fn finish(mut self, limit: Duration) -> Vec<Traced> {
        let code = self.peer.wait(limit);
        assert_eq!(code, Some(0), "SIPp saw something else than its scenario says:\n{}", self.story());
        self.trace()
    }

    /// The messages so far.
    pub fn trace(&self) -> Vec<Traced> {
        let text = fs::read(self.directory.path().join("messages")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).replace('\r', "");
        text.split("\n-----------------------------------------------")
            .filter_map(|block| {
                let (head, message) = block.split_once("\n\n")?;
                let received = head.contains("message received");
                (received || head.contains("message sent")).then(|| Traced { received, text: message.to_owned() })
            })
            .collect()
    }

    fn story(&mut self) -> String {
        let read = |name: &str| fs::read(self.directory.path().join(name)).unwrap_or_default();
        let story = [read("errors"), read("messages")].concat();
        let story = String::from_utf8_lossy(&story);
        story.chars().take(20_000).collect::<String>() + &self.peer.log()
    }
}

/// How many messages whose first line starts with `start` and that hold `part` SIPp received.
pub fn received(trace: &[Traced], start: &str, part: &str) -> usize {
    trace
        .iter()
        .filter(|message| message.received && message.text.starts_with(start) && message.text.contains(part))
        .count()
}

/// Does the kernel list a socket bound to `address`? Elsewhere than on Linux nobody knows, and retransmission helps.
fn is_bound(address: SocketAddr, tcp: bool) -> bool {
    let SocketAddr::V4(v4) = address else { return true };
    let table = Path::new(if tcp { "/proc/net/tcp" } else { "/proc/net/udp" });
    let Ok(text) = fs::read_to_string(table) else { return true };
    let local = format!(" {:08X}:{:04X} ", u32::from_ne_bytes(v4.ip().octets()), v4.port());
    text.contains(&local)
}
