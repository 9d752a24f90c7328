//! Kamailio over TLS with a certificate of its own authority: registration, and encrypted calls with baresip both ways.

use crate::authority::Authority;
use crate::baresip::{self, Baresip};
use crate::kamailio::Kamailio;
use crate::process::{Peer, address, eventually, installed};
use crate::program::furnished;
use crate::sidetone::{Home, Sidetone};
use serde_json::Value;
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(20);
/// Not in DNS: the proxy is reached by its address, and proves by its certificate that it is this domain.
const DOMAIN: &str = "sip.example.test";

/// A record-routing Kamailio for [`DOMAIN`] and the authority that vouches for it.
struct House {
    kamailio: Kamailio,
    authority: Authority,
    home: Home,
}

impl House {
    /// `None` if a peer is not installed.
    fn open(names: &[&str]) -> Option<Self> {
        if !installed("kamailio") {
            return None;
        }
        let authority = Authority::new();
        let issued = authority.issue(names);
        let kamailio = Kamailio::with_certificate(&issued.cert.unwrap(), &issued.key.unwrap());
        Some(Self { kamailio, authority, home: Home::new() })
    }

    /// `sidetone VERB` as alice of the domain, over TLS.
    fn alice(&self, verb: &[&str], trusting: bool) -> Sidetone {
        let (aor, bind, ca) = (format!("sip:alice@{DOMAIN}"), address().to_string(), self.authority.file());
        let proxy = format!("sip:{};lr", self.kamailio.secure);
        let account = ["--aor", &aor, "--transport", "tls", "--bind", &bind, "--outbound-proxy", &proxy];
        let trust: &[&str] = if trusting { &["--tls-ca", ca.to_str().unwrap()] } else { &[] };
        self.home.start(&[verb, &account, trust].concat(), "secret-alice")
    }

    fn bob(&self) -> Baresip {
        let issued = self.authority.issue(&["bob.example.test"]);
        let whole = self.home.path("bob.pem");
        let parts = [issued.key, issued.cert].map(|path| std::fs::read(path.unwrap()).unwrap());
        std::fs::write(&whole, parts.concat()).unwrap();
        Baresip::start(&baresip::Options {
            registrar: Some(self.kamailio.secure),
            domain: Some(DOMAIN),
            certificate: Some(whole),
            transport: "tls",
            media_encryption: Some("srtp-mand"),
            ..baresip::Options::default()
        })
    }
}

#[test]
fn registers_over_tls_with_the_authority_that_it_is_told_to_trust() {
    let Some(house) = House::open(&[DOMAIN]) else { return };
    let mut alice = house.alice(&["register", "--once"], true);
    let registered = alice.expect("registration.registered", SETUP);
    assert_eq!(registered["account"], format!("sip:alice@{DOMAIN}"), "{registered}");
    alice.expect("registration.unregistered", SETUP);
    assert_eq!(alice.finish(SETUP).0, 0);
    let log = house.kamailio.log();
    assert!(log.contains("by tls expires 600") && log.contains("transport=tls"), "{log}");
}

#[test]
fn a_certificate_that_is_not_trusted_is_exit_code_5_with_the_remedy() {
    for (names, trusting, remedy) in [([DOMAIN], false, "--tls-ca FILE"), (["other.test"], true, "is for other.test")] {
        let Some(house) = House::open(&names) else { return };
        let mut alice = house.alice(&["register", "--once"], trusting);
        let failed = alice.expect("registration.failed", SETUP);
        assert!(failed.to_string().contains(remedy), "{failed}");
        let (code, errors) = alice.finish(SETUP);
        assert_eq!(code, 5, "{errors}");
        assert!(errors.contains(remedy), "{errors}");
        assert!(!house.kamailio.log().contains("REGISTER sip:"), "not a word in cleartext");
    }
}

/// What holds for an encrypted call, whoever made it.
fn assert_encrypted(record: &Value) {
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(record["transport"], "tls", "{record}");
    assert!(record["srtp"].as_str().is_some_and(|suite| suite.contains("AES")), "{record}");
    assert!(record["quality"]["inbound"]["packets"].as_u64().unwrap() > 50, "{record}");
}

#[test]
fn calls_baresip_over_tls_with_srtp() {
    if !installed("baresip") {
        return;
    }
    let Some(house) = House::open(&[DOMAIN]) else { return };
    let mut bob = house.bob();
    let call = [
        "call",
        "bob",
        "--srtp",
        "required",
        "--duration",
        "3",
        "--codec",
        "pcmu",
        "--source",
        "tone:440",
        "--sink",
        "null",
    ];
    let mut alice = house.alice(&call, true);
    bob.wait_for_event("CALL_ESTABLISHED", SETUP);
    let record = alice.expect("call.ended", SETUP)["call"].clone();
    assert_eq!(alice.finish(SETUP).0, 0);
    assert_encrypted(&record);
    let log = house.kamailio.log();
    // Both directions of the dialog stay on TLS, through the proxy that put itself into the route.
    assert!(log.contains("BYE in dialog by tls") && log.contains("ACK in dialog by tls"), "{log}");
}

#[test]
fn answers_baresip_over_tls_with_srtp() {
    if !installed("baresip") {
        return;
    }
    let Some(house) = House::open(&[DOMAIN]) else { return };
    let answer = ["answer", "--max-calls", "1", "--srtp", "required", "--duration", "3", "--codec", "pcmu"];
    let audio = ["--source", "tone:440", "--sink", "null"];
    let mut alice = house.alice(&[&answer[..], &audio].concat(), true);
    alice.expect("registration.registered", SETUP);
    let mut bob = house.bob();
    bob.command("dial", &format!("sip:alice@{DOMAIN};transport=tls"));
    let record = alice.expect("call.ended", SETUP + SETUP)["call"].clone();
    assert_eq!(alice.finish(SETUP).0, 0);
    assert_eq!(record["ended_by"], "local", "{record}");
    assert_encrypted(&record);
    let log = house.kamailio.log();
    assert!(log.contains("BYE in dialog by tls"), "{log}");
}

/// With the keys that we log, tshark reads our SIP in a capture of TLS; without them it reads none.
#[test]
fn a_capture_is_read_with_the_keys_that_we_log() {
    if !installed("tshark") {
        return;
    }
    let Some(house) = House::open(&[DOMAIN]) else { return };
    let (file, keys, port) = (house.home.path("tls.pcapng"), house.home.path("keys.log"), house.kamailio.secure.port());
    let mut command = Command::new("tshark");
    let filter = format!("host {} and port {port}", house.kamailio.secure.ip());
    command.args(["-n", "-i", "lo", "-f", &filter, "-w"]).arg(&file).env("HOME", house.home.directory.path());
    let mut tshark = Peer::start("tshark", house.home.directory.path(), &mut command);
    let length = || std::fs::metadata(&file).map(|file| file.len()).unwrap_or(0);
    let probe = UdpSocket::bind((address(), 0)).unwrap();
    // Probes that are captured tell that it runs.
    let runs = eventually(SETUP, || {
        let _ = probe.send_to(&[0; 1000], house.kamailio.secure);
        length() > 2_000 || tshark.wait(Duration::ZERO).is_some()
    });
    if tshark.log().contains("permission") || tshark.log().contains("Operation not permitted") {
        println!("skipped: capturing on the loopback interface is not permitted here: {}", tshark.log());
        return;
    }
    assert!(runs && length() > 2_000, "tshark captures nothing: {}", tshark.log());
    let (aor, bind, ca) = (format!("sip:alice@{DOMAIN}"), address().to_string(), house.authority.file());
    let proxy = format!("sip:{};lr", house.kamailio.secure);
    let account = ["register", "--once", "--aor", &aor, "--transport", "tls", "--bind", &bind];
    let server = ["--outbound-proxy", &proxy, "--tls-ca", ca.to_str().unwrap()];
    let mut phone = furnished(&[&account[..], &server].concat(), house.home.directory.path(), "secret-alice");
    let done = phone.env("SSLKEYLOGFILE", &keys).output().expect("sidetone runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let read = |keys: &str| {
        let mut command = Command::new("tshark");
        command.args(["-n", "-d", &format!("tcp.port=={port},tls"), "-d", &format!("tls.port=={port},sip")]);
        command.args(["-o", &format!("tls.keylog_file:{keys}"), "-Y", "sip", "-T", "fields"]);
        command.args(["-e", "sip.Method", "-e", "sip.Status-Code"]).arg("-r").arg(&file);
        let output = command.env("HOME", house.home.directory.path()).output().expect("tshark runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let mut seen = String::new();
    // What was captured last is written a moment later.
    eventually(SETUP, || {
        seen = read(keys.to_str().unwrap());
        seen.matches("200").count() >= 2
    });
    println!("{seen}");
    assert!(seen.matches("REGISTER").count() >= 3 && seen.contains("401") && seen.contains("200"), "{seen}");
    assert_eq!(read("/dev/null"), "", "nothing is to be read without the keys");
}
