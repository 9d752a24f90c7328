//! Who we are to the world: given by the user, told by a real STUN server (coturn) and by one that lies.

use crate::process::{Peer, address, eventually, free_port, installed};
use crate::sidetone::Home;
use crate::sipp::{Options, Sipp, Traced};
use sidetone::net::stun;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(20);

/// The INVITE that a SIPp gets from `sidetone call` with these flags.
fn invite(more: &[&str]) -> Traced {
    let sipp = Sipp::answers("uas", &Options::default());
    let (home, bind, uri) = (Home::new(), address().to_string(), sipp.uri());
    let arguments = ["call", &uri, "--no-register", "--bind", &bind, "--source", "tone:440", "--sink", "null"];
    let mut phone = home.start(&[&arguments[..], &["--duration", "1"], more].concat(), "");
    let record = phone.expect("call.ended", SETUP)["call"].clone();
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(phone.finish(SETUP).0, 0);
    sipp.finish(SETUP).into_iter().find(|message| message.text.starts_with("INVITE ")).expect("an INVITE")
}

/// The values of `c=` and `m=`, and of Contact.
fn shown(invite: &Traced) -> (String, u16, String) {
    let line = |start: &str| invite.text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default().trim();
    let port = line("m=audio ").split(' ').next().and_then(|port| port.parse().ok()).unwrap_or_default();
    (line("c=").to_owned(), port, line("Contact: ").to_owned())
}

#[test]
fn the_address_that_the_user_gives_is_shown() {
    if !installed("sipp") {
        return;
    }
    let invite = invite(&["--public-address", "203.0.113.7:5088"]);
    let (connection, _, contact) = shown(&invite);
    assert_eq!(connection, "IN IP4 203.0.113.7", "{}", invite.text);
    assert!(contact.contains("@203.0.113.7:5088"), "{contact}");
}

/// A server that says what no real one on loopback could: that there is a translator in between.
#[test]
fn what_a_stun_server_sees_is_shown_for_signalling_and_for_media() {
    if !installed("sipp") {
        return;
    }
    let server = UdpSocket::bind((address(), 0)).unwrap();
    let at = server.local_addr().unwrap();
    let public: IpAddr = "127.200.200.200".parse().unwrap();
    let translator = std::thread::spawn(move || {
        server.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
        let (mut buffer, mut asked) = ([0; 1500], Vec::new());
        while let Ok((length, from)) = server.recv_from(&mut buffer) {
            let request = &buffer[..length];
            if !stun::is_stun(request) {
                continue;
            }
            asked.push(from);
            // Each question is answered at its second coming: the first is lost on the way.
            if asked.iter().filter(|earlier| **earlier == from).count() == 1 {
                continue;
            }
            let (ip, port) = (u32::from_be_bytes([127, 200, 200, 200]), from.port() ^ 1);
            let mut answer = [&[1, 1, 0, 12], &request[4..20], &[0, 0x20, 0, 8, 0, 1]].concat();
            answer.extend((port ^ 0x2112).to_be_bytes());
            answer.extend((ip ^ 0x2112_A442).to_be_bytes());
            let _ = server.send_to(&answer, from);
        }
        asked
    });
    let invite = invite(&["--stun", &at.to_string()]);
    let (connection, port, contact) = shown(&invite);
    let asked = translator.join().unwrap();
    assert_eq!(connection, format!("IN IP4 {public}"), "{}", invite.text);
    assert!(contact.contains(&format!("@{public}:")), "{contact}");
    // One of the sockets that asked is the RTP socket: its public port is the one in the offer.
    assert!(asked.iter().any(|from| from.port() ^ 1 == port), "{asked:?} {port}");
    // So is the public port of RTCP, which is not the next one (RFC 3605).
    let rtcp = invite.text.lines().find_map(|line| line.trim().strip_prefix("a=rtcp:")).expect("a=rtcp");
    let rtcp: u16 = rtcp.split(' ').next().unwrap().parse().unwrap();
    assert!(rtcp != port + 1 && asked.iter().any(|from| from.port() ^ 1 == rtcp), "{asked:?} {port} {rtcp}");
}

/// A real server; on loopback it sees what we are.
#[test]
fn coturn_tells_our_address() {
    if !installed("turnserver") || !installed("sipp") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let ip = address();
    let server = SocketAddr::new(ip, free_port(ip));
    let mut command = Command::new("turnserver");
    command.args(["-n", "--stun-only", "--no-tcp", "--no-tls", "--no-dtls", "--no-cli", "--log-file", "stdout", "-v"]);
    command.args(["-L", &ip.to_string(), "-p", &server.port().to_string()]);
    command.arg("--pidfile").arg(directory.path().join("pid")).arg("--db").arg(directory.path().join("turndb"));
    let coturn = Peer::start("turnserver", directory.path(), &mut command);
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    let here = socket.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut told = None;
    let answered = eventually(SETUP, || {
        let id = stun::TransactionId(std::array::from_fn(|at| at as u8));
        let ask = stun::ask_from(socket.try_clone().unwrap(), server, id, Duration::from_secs(2));
        told = runtime.block_on(ask).ok();
        told.is_some()
    });
    assert!(answered, "coturn does not answer:\n{}", coturn.log());
    assert_eq!(told, Some(here));
    let invite = invite(&["--stun", &server.to_string()]);
    let (connection, ..) = shown(&invite);
    assert!(connection.starts_with("IN IP4 127."), "{}", invite.text);
}

/// A server that is not there holds nobody up for long.
#[test]
fn a_silent_stun_server_is_told_and_done_without() {
    if !installed("sipp") {
        return;
    }
    let silent = UdpSocket::bind((address(), 0)).unwrap();
    let invite = invite(&["--stun", &silent.local_addr().unwrap().to_string()]);
    assert!(shown(&invite).0.starts_with("IN IP4 127."), "{}", invite.text);
}
