//! A name server of the system's packages on a port of its own.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running dnsmasq; it ends with this.
pub struct Dnsmasq {
    child: Child,
    pub address: SocketAddr,
}

/// Is it installed? Says so if not.
pub fn installed() -> bool {
    let found = Command::new("dnsmasq").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        eprintln!("skipped: dnsmasq is not installed; `make test-deps` installs it");
    }
    found.is_ok()
}

impl Dnsmasq {
    /// A name server on `ip` that knows exactly `records`, each one an option of dnsmasq.
    pub fn start(ip: &str, port: u16, records: &[&str]) -> Self {
        let port = if port == 0 { free_port(ip) } else { port };
        let mut command = Command::new("dnsmasq");
        command
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces"])
            .args(["--user=root", "--group=root", "--pid-file=", "--log-facility=-"])
            .arg(format!("--listen-address={ip}"))
            .arg(format!("--port={port}"))
            .args(records.iter().map(|record| format!("--{record}")));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("dnsmasq starts");
        let server = Self { child, address: SocketAddr::new(ip.parse().unwrap(), port) };
        server.wait();
        server
    }

    /// Until it answers anything at all.
    fn wait(&self) {
        let client = UdpSocket::bind((self.address.ip(), 0)).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let begin = Instant::now();
        // A question for the addresses of "x".
        let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x00\x00\x01\x00\x01";
        while begin.elapsed() < Duration::from_secs(10) {
            let _ = client.send_to(question, self.address);
            if client.recv(&mut [0; 512]).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("dnsmasq does not answer on {}", self.address);
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port(ip: &str) -> u16 {
    UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap().port()
}
