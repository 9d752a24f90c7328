//! Flows that Kamailio keeps (RFC 5626): its STUN on the SIP port, and a translator in between that forgets us.

use crate::kamailio::Kamailio;
use crate::process::{address, eventually, installed};
use crate::sidetone::{Home, Sidetone};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// An address translator for one phone: what arrives at `inside` leaves from a port outside, and what comes back there
/// goes to the phone.
struct Translator {
    inside: SocketAddr,
    forget: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    /// Binding requests that went through.
    bindings: Arc<AtomicUsize>,
    /// Line ends that did, as keep-alives.
    line_ends: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Translator {
    fn start(server: SocketAddr) -> Self {
        let socket = |ip, port| {
            let socket = UdpSocket::bind((ip, port)).unwrap();
            socket.set_read_timeout(Some(LOOK)).unwrap();
            socket
        };
        let (ip, outer) = (address(), address());
        // Seen from the phone it is the server, which has its responses sent to this port (RFC 3261 section 18.2.2).
        let (inner, mut outside) = (socket(ip, server.port()), socket(outer, 0));
        let inside = inner.local_addr().unwrap();
        let (forget, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (bindings, line_ends) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (lost, end, asked) = (Arc::clone(&forget), Arc::clone(&over), Arc::clone(&bindings));
        let kept = Arc::clone(&line_ends);
        let thread = std::thread::spawn(move || {
            let (mut buffer, mut phone) = ([0; 65_536], None);
            while !end.load(Ordering::Relaxed) {
                if lost.swap(false, Ordering::Relaxed) {
                    outside = socket(outer, 0);
                }
                if let Ok((length, from)) = inner.recv_from(&mut buffer) {
                    phone = Some(from);
                    asked.fetch_add(usize::from(buffer.starts_with(&[0, 1])), Ordering::Relaxed);
                    kept.fetch_add(usize::from(matches!(&buffer[..length], b"\r\n" | b"\r\n\r\n")), Ordering::Relaxed);
                    let _ = outside.send_to(&buffer[..length], server);
                }
                if let (Ok((length, _)), Some(phone)) = (outside.recv_from(&mut buffer), phone) {
                    let _ = inner.send_to(&buffer[..length], phone);
                }
            }
        });
        Self { inside, forget, over, bindings, line_ends, thread: Some(thread) }
    }
}

impl Drop for Translator {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Registers alice from a configuration with these lines; the domain is that of `kamailio`.
fn registers(home: &Home, kamailio: &Kamailio, lines: &str) -> Sidetone {
    let file = home.path("config.toml");
    let aor = format!("sip:alice@{}", kamailio.address);
    std::fs::write(&file, format!("[account.a]\naor = \"{aor}\"\n{lines}")).unwrap();
    let bind = address().to_string();
    home.start(&["register", "--config", file.to_str().unwrap(), "--bind", &bind], "secret-alice")
}

/// Kamailio answers STUN where it answers SIP; when the translator forgets us, its answer shows another address, and the
/// contact is registered anew at once, long before the refresh.
#[test]
fn kamailio_tells_by_stun_that_a_translator_has_forgotten_us() {
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::with_outbound();
    let translator = Translator::start(kamailio.address);
    let home = Home::new();
    let lines = format!("transport = \"udp\"\noutbound_proxy = \"{}\"\nkeepalive = 5\n", translator.inside);
    let mut phone = registers(&home, &kamailio, &lines);
    let first = phone.expect("registration.registered", SETUP);
    assert!(kamailio.log().contains("reg-id=1"), "{}", kamailio.log());
    let asked = || translator.bindings.load(Ordering::Relaxed);
    assert!(eventually(SETUP, || asked() >= 2), "the flow is not kept alive by STUN: {}", asked());
    translator.forget.store(true, Ordering::Relaxed);
    let second = phone.expect("registration.registered", SETUP);
    println!("{} became {}", first["contact"], second["contact"]);
    assert_ne!(first["contact"], second["contact"]);
    let contact = second["contact"].as_str().unwrap();
    let place = contact.rsplit('@').next().unwrap();
    assert!(kamailio.log().lines().any(|line| line.contains("REGISTER") && line.contains(place)), "{}", kamailio.log());
    // And it is asked on.
    let before = asked();
    assert!(eventually(SETUP, || asked() > before));
    phone.interrupt();
    phone.expect("registration.unregistered", SETUP);
}

/// A registrar that keeps no flows is not bothered with STUN.
#[test]
fn a_registrar_without_outbound_gets_line_ends() {
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start();
    let translator = Translator::start(kamailio.address);
    let home = Home::new();
    let lines = format!("transport = \"udp\"\noutbound_proxy = \"{}\"\nkeepalive = 5\n", translator.inside);
    let mut phone = registers(&home, &kamailio, &lines);
    phone.expect("registration.registered", SETUP);
    let kept = || translator.line_ends.load(Ordering::Relaxed);
    assert!(eventually(SETUP, || kept() >= 2), "the flow is not kept alive by line ends: {}", kept());
    assert_eq!(translator.bindings.load(Ordering::Relaxed), 0);
}

/// Registered through two translators at once, alice stays reachable when one of them is gone, and nobody is told of a
/// failure.
#[test]
fn kamailio_keeps_two_flows_and_the_loss_of_one_costs_no_call() {
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::with_outbound();
    let [first, second] = [Translator::start(kamailio.address), Translator::start(kamailio.address)];
    let (home, bob_home) = (Home::new(), Home::new());
    let proxies = format!("outbound_proxy = [\"{}\", \"{}\"]", first.inside, second.inside);
    let lines = format!("transport = \"udp\"\n{proxies}\nkeepalive = 5\nsource = \"tone:440\"\nsink = \"null\"\n");
    let file = home.path("config.toml");
    let aor = format!("sip:alice@{}", kamailio.address);
    std::fs::write(&file, format!("[account.a]\naor = \"{aor}\"\n{lines}")).unwrap();
    let bind = address().to_string();
    let answer = ["answer", "--config", file.to_str().unwrap(), "--bind", &bind, "--max-calls", "1"];
    let mut alice = home.start(&answer, "secret-alice");
    alice.expect("registration.registered", SETUP);
    for flow in ["reg-id=1", "reg-id=2"] {
        let bound = || kamailio.log().lines().any(|line| line.contains("REGISTER sip:alice@") && line.contains(flow));
        assert!(eventually(SETUP, bound), "{flow}: {}", kamailio.log());
    }
    let asked = |translator: &Translator| translator.bindings.load(Ordering::Relaxed);
    assert!(eventually(SETUP, || asked(&first) > 0 && asked(&second) > 0), "both are kept alive by STUN");
    drop(first);
    let (from, bind) = (format!("sip:bob@{}", kamailio.address), address().to_string());
    let audio = ["--source", "tone:300", "--sink", "null", "--duration", "2"];
    let call = ["call", "alice", "--aor", &from, "--bind", &bind, "--no-register"];
    let mut bob = bob_home.start(&[&call[..], &audio].concat(), "secret-bob");
    let record = bob.expect("call.ended", SETUP + SETUP)["call"].clone();
    assert_eq!(record["status"], "completed", "{record}");
    let heard = alice.expect("call.ended", SETUP)["call"].clone();
    assert_eq!(heard["status"], "completed", "{heard}");
    assert!(!alice.story().contains("registration.failed"), "{}", alice.story());
}
