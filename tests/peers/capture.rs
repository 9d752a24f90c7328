//! What goes over the wire, as tshark reads it.

use crate::process::{Peer, eventually};
use std::net::{IpAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(20);

/// A capture of the datagrams of `ip` that pass `filter`, SIP on `port` known as such, so that SDP tells which are RTP: one
/// line each, the fields and the destination port separated by commas. `None` where capturing is not permitted.
pub fn capture(directory: &tempfile::TempDir, ip: IpAddr, port: u16, filter: &str, fields: &[&str]) -> Option<Peer> {
    // A datagram to the discard port tells that the capture runs.
    let mut command = Command::new("tshark");
    command
        .args([
            "-l",
            "-n",
            "-i",
            "lo",
            "-f",
            &format!("udp and host {ip}"),
            "-Y",
            &format!("({filter}) or udp.dstport == 9"),
        ])
        .args(["-d", &format!("udp.port=={port},sip"), "-T", "fields", "-E", "separator=,"])
        .env("HOME", directory.path());
    for field in fields.iter().chain(&["udp.dstport"]) {
        command.args(["-e", field]);
    }
    let mut tshark = Peer::start("tshark", directory.path(), &mut command);
    let probe = UdpSocket::bind((ip, 0)).unwrap();
    let runs = eventually(SETUP, || {
        let _ = probe.send_to(b"probe", (ip, 9));
        tshark.log().lines().any(|line| line.ends_with(",9")) || tshark.wait(Duration::ZERO).is_some()
    });
    let log = tshark.log();
    if log.contains("permission") || log.contains("Operation not permitted") {
        println!("skipped: capturing on the loopback interface is not permitted here: {log}");
        return None;
    }
    assert!(runs && log.lines().any(|line| line.ends_with(",9")), "tshark captures nothing:\n{log}");
    Some(tshark)
}
