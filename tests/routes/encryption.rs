//! What the far side was promised in TLS never leaves in cleartext, however TLS fails; one process speaks to both families.

use crate::authority::Authority;
use crate::dnsmasq::{self, Dnsmasq};
use crate::phone::Phone;
use crate::registrar::Registrar;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// Ports in cleartext that wait for a word.
struct Ears {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Ears {
    fn open(ip: &str) -> Self {
        let udp = UdpSocket::bind((ip, 0)).unwrap();
        let tcp = TcpListener::bind(udp.local_addr().unwrap()).unwrap();
        udp.set_nonblocking(true).unwrap();
        tcp.set_nonblocking(true).unwrap();
        Self { udp, tcp }
    }

    fn port(&self) -> u16 {
        self.udp.local_addr().unwrap().port()
    }

    /// Nobody has said anything.
    #[track_caller]
    fn assert_nothing(&self, why: &str) {
        let mut buffer = [0; 2048];
        let said =
            self.udp.recv_from(&mut buffer).map(|(length, _)| String::from_utf8_lossy(&buffer[..length]).into_owned());
        assert!(said.is_err(), "{why}: in cleartext over UDP: {said:?}");
        assert!(self.tcp.accept().is_err(), "{why}: a connection in cleartext");
    }
}

/// A server that speaks TLS with a certificate for `names` of `authority`, as far as a handshake goes.
fn speaks_tls(ip: &str, authority: &Authority, names: &[&str]) -> (sidetone::net::Transports, SocketAddr) {
    use sidetone::net::{BindConfig, Now, Tls, Transports};
    let tls = Some(Tls::load(&authority.issue(names)).unwrap());
    let config = BindConfig { udp: false, tcp: false, tls, ..BindConfig::new(ip.parse().unwrap(), Some(0)) };
    let (transports, mut inbox) = Transports::bind(config, Now::new(|| sidetone::time::Instant::ZERO)).unwrap();
    tokio::spawn(async move { while inbox.next().await.is_some() {} });
    let address = transports.local(sidetone::sip::hop::Transport::Tls).unwrap();
    (transports, address)
}

fn register(home: &Path, server: &Dnsmasq, authority: &Authority, aor: &str, more: &[&str]) -> Phone {
    let (names, ca) = (server.address.to_string(), authority.file());
    let arguments = ["register", "--once", "--aor", aor, "--dns-server", &names, "--tls-ca", ca.to_str().unwrap()];
    Phone::start(None, home, &[&arguments[..], more].concat())
}

/// The domain offers TLS first and cleartext after it; TLS fails in each of the ways it can, and nothing else is tried.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_in_cleartext_when_tls_fails() {
    if !dnsmasq::installed() {
        return;
    }
    let authority = Authority::new();
    let ears = Ears::open("127.0.0.65");
    let (_wrong, wrong) = speaks_tls("127.0.0.66", &authority, &["elsewhere.test"]);
    // Nobody listens; somebody listens and speaks no TLS.
    let closed = TcpListener::bind("127.0.0.66:0").unwrap().local_addr().unwrap();
    let mute = TcpListener::bind("127.0.0.66:0").unwrap();
    let clear = std::thread::spawn({
        let mute = mute.try_clone().unwrap();
        move || {
            use std::io::{Read, Write};
            let Ok((mut peer, _)) = mute.accept() else { return Vec::new() };
            let mut heard = vec![0; 4096];
            let length = peer.read(&mut heard).unwrap_or(0);
            let _ = peer.write_all(b"SIP/2.0 400 Bad Request\r\n\r\n");
            heard.truncate(length);
            heard
        }
    });
    let rows: [(&str, u16, &str, &[&str]); 5] = [
        ("a wrong name", wrong.port(), "sip:alice@carrier.test", &[]),
        ("a wrong name", wrong.port(), "sip:alice@carrier.test", &["--transport", "tls"]),
        ("a wrong name", wrong.port(), "sips:alice@carrier.test", &[]),
        ("nobody there", closed.port(), "sip:alice@carrier.test", &[]),
        ("no TLS there", mute.local_addr().unwrap().port(), "sips:alice@carrier.test", &[]),
    ];
    for (why, port, aor, more) in rows {
        let names = Dnsmasq::start(
            "127.0.0.64",
            0,
            &[
                "naptr-record=carrier.test,10,10,s,SIPS+D2T,,_sips._tcp.carrier.test",
                "naptr-record=carrier.test,20,10,s,SIP+D2T,,_sip._tcp.carrier.test",
                "naptr-record=carrier.test,30,10,s,SIP+D2U,,_sip._udp.carrier.test",
                &format!("srv-host=_sips._tcp.carrier.test,secure.carrier.test,{port},10,0"),
                &format!("srv-host=_sip._tcp.carrier.test,clear.carrier.test,{},10,0", ears.port()),
                &format!("srv-host=_sip._udp.carrier.test,clear.carrier.test,{},10,0", ears.port()),
                "host-record=secure.carrier.test,127.0.0.66",
                "host-record=clear.carrier.test,127.0.0.65",
                "host-record=carrier.test,127.0.0.65",
            ],
        );
        let home = tempfile::tempdir().unwrap();
        let mut phone = register(home.path(), &names, &authority, aor, more);
        let failed = phone.expect("registration.failed", SOON, |_| true);
        println!("{why}, {aor} {more:?}: {}", failed["reason"]);
        ears.assert_nothing(why);
    }
    // What came to the port that speaks no TLS was a handshake: a record of type 22.
    assert_eq!(clear.join().unwrap().first(), Some(&22));
}

/// One process, two accounts: one registrar is reached by IPv4, the other by IPv6.
#[test]
fn both_families_are_reached_from_one_process() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("skipped: no IPv6 on this machine");
        return;
    }
    let four = Registrar::start("127.0.0.67:0".parse().unwrap(), 600);
    let six = Registrar::start("[::1]:0".parse().unwrap(), 600);
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.toml");
    let text = format!(
        "[account.four]\naor = \"sip:alice@{}\"\n[account.six]\naor = \"sip:bob@{}\"\n[account.tcp]\naor = \"sip:carol@{}\"\n\
         transport = \"tcp\"\n",
        four.address, six.address, six.address
    );
    std::fs::write(&file, text).unwrap();
    let mut phone = Phone::start(None, home.path(), &["run", "--config", file.to_str().unwrap()]);
    let mut contacts = Vec::new();
    for _ in 0..3 {
        let event = phone.expect("registration.registered", SOON, |_| true);
        contacts.push(event["contact"].as_str().unwrap().to_owned());
    }
    contacts.sort();
    assert!(contacts[0].contains("alice@127.") && contacts[1].contains("bob@[::1]:"), "{contacts:?}");
    assert!(contacts[2].contains("carol@[::1]:") && contacts[2].contains("transport=tcp"), "{contacts:?}");
    assert_eq!((four.contacts().len(), six.contacts().len()), (1, 2));
}
