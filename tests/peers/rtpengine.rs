//! rtpengine as the relay of media that a proxy puts between the parties, in user space.

use crate::process::{Peer, address, free_port};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// A running rtpengine.
pub struct RtpEngine {
    /// Where the proxy asks it (its "ng" protocol).
    pub control: SocketAddr,
    peer: Peer,
    _directory: tempfile::TempDir,
}

impl RtpEngine {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let ip = address();
        let control = SocketAddr::new(ip, free_port(ip));
        let mut command = Command::new("rtpengine");
        command.args([
            "--foreground",
            "--log-stderr",
            "--log-level=6",
            "--table=-1",
            "--no-fallback",
            "--delete-delay=0",
        ]);
        command.args(["--port-min=30000", "--port-max=39999", "--num-threads=1"]);
        command.arg(format!("--interface={ip}")).arg(format!("--listen-ng={control}"));
        command.arg("--pidfile").arg(directory.path().join("pid"));
        let mut peer = Peer::start("rtpengine", directory.path(), &mut command);
        peer.wait_for("Startup complete", Duration::from_secs(15));
        Self { control, peer, _directory: directory }
    }

    /// Its log, when it has drawn the balance of a call.
    pub fn balance(&mut self) -> String {
        self.peer.wait_for("Final packet stats", Duration::from_secs(15));
        self.peer.log()
    }
}
