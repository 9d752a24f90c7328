//! What nobody should get out of us: credentials for a realm of his own, weaker digests, cleartext, guessable nonces, work.

use crate::authority::Authority;
use crate::carrier::{Carrier, address};
use crate::process::{Home, Running};
use crate::run;
use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Method, Request};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// How long nothing has to come after the phone has said what it thinks.
const QUIET: Duration = Duration::from_millis(300);

/// Is nothing of credentials in it?
#[track_caller]
fn bare(request: &Request) {
    for name in [Name::Authorization, Name::ProxyAuthorization] {
        assert_eq!(request.headers.get(&name), None, "{request:?}");
    }
}

/// A carrier whose REGISTER gets these challenges; why the phone says that it does not register.
fn refused(challenges: &[&str], account: &str) -> String {
    let (home, mut carrier) = (Home::new(), Carrier::start(None));
    let mut phone = run(&home, &carrier, None, &format!("aor = \"sip:alice@pbx.example\"\n{account}"));
    let (hop, register) = carrier.request(&Method::Register);
    bare(&register);
    let fields: Vec<_> = challenges.iter().map(|challenge| ("WWW-Authenticate", *challenge)).collect();
    carrier.answer(hop, &register, 401, &fields, None);
    let failed = phone.expect("registration.failed");
    while let Some((_, message)) = carrier.next_within(QUIET) {
        if let Message::Request(request) = message {
            bare(&request);
        }
    }
    failed["explanation"].as_str().unwrap_or_else(|| panic!("{failed}")).to_owned()
}

#[test]
fn a_realm_that_the_account_does_not_allow_gets_no_credentials() {
    let challenge = "Digest realm=\"evil.example\", nonce=\"n\", algorithm=MD5, qop=\"auth\"";
    let why = refused(&[challenge], "realms = [\"pbx\"]\n");
    assert!(why.contains("evil.example") && why.contains("--realm"), "{why}");
}

#[test]
fn a_weaker_digest_than_configured_is_not_answered() {
    let challenge = "Digest realm=\"pbx\", nonce=\"n\", algorithm=MD5, qop=\"auth\"";
    let why = refused(&[challenge], "digest = \"sha-256\"\n");
    assert!(why.contains("MD5") && why.contains("--digest"), "{why}");
    let unnamed = refused(&["Digest realm=\"pbx\", nonce=\"n\""], "digest = \"sha-256\"\n");
    assert!(unnamed.contains("--digest"), "{unnamed}");
}

/// A call to somebody else's domain: its server is not ours, and learns nothing by asking.
#[test]
fn a_called_domain_that_is_not_ours_gets_no_credentials() {
    let (home, mut carrier) = (Home::new(), Carrier::start(None));
    let mut phone = run(&home, &carrier, None, "aor = \"sip:alice@pbx.example\"\n");
    let (hop, register) = carrier.request(&Method::Register);
    carrier.answer(hop, &register, 401, &[("WWW-Authenticate", "Digest realm=\"pbx\", nonce=\"n\"")], None);
    let (hop, register) = carrier.request(&Method::Register);
    carrier.answer(hop, &register, 200, &[("Contact", &crate::carrier::listed(&register, 600))], None);
    phone.expect("registration.registered");
    // It even names the realm of our registrar.
    for realm in ["pbx", "elsewhere.example"] {
        phone.say("dial sip:bob@elsewhere.example");
        let (hop, invite) = carrier.request(&Method::Invite);
        bare(&invite);
        let challenge = format!("Digest realm=\"{realm}\", nonce=\"n2\", qop=\"auth\"");
        carrier.answer(hop, &invite, 407, &[("Proxy-Authenticate", &challenge)], None);
        let ended = phone.expect("call.ended")["call"].clone();
        let why = ended["metadata"]["explanation"].as_str().unwrap_or_default();
        assert!(why.contains(&format!("\"{realm}\"")), "{ended}");
        while let Some((_, message)) = carrier.next_within(QUIET) {
            if let Message::Request(request) = message {
                bare(&request);
                assert_eq!(request.method, Method::Ack, "{request:?}");
            }
        }
    }
}

/// TLS is configured, and only cleartext is there: nothing is said at all.
#[test]
fn there_is_no_way_down_from_tls_to_cleartext() {
    let (home, mut carrier) = (Home::new(), Carrier::start(None));
    let account = "aor = \"sip:alice@pbx.example\"\ntransport = \"tls\"\n";
    let mut phone = run(&home, &carrier, None, account);
    let failed = phone.expect("registration.failed");
    assert!(failed["explanation"].as_str().is_some_and(|why| !why.is_empty()), "{failed}");
    assert!(carrier.next_within(Duration::from_secs(2)).is_none(), "something was said in cleartext");
    // Nor to a server of whom nobody knows whether he is it.
    let (ours, theirs) = (Authority::new(), Authority::new());
    let mut impostor = Carrier::start(Some(&theirs.issue(&["pbx.example"])));
    let home = Home::new();
    let mut phone = run(&home, &impostor, Some(&ours), account);
    let failed = phone.expect("registration.failed");
    let why = failed["explanation"].as_str().unwrap_or_default();
    assert!(why.contains("--tls-ca"), "{failed}");
    assert!(impostor.next_within(Duration::from_secs(2)).is_none(), "something was said to an impostor");
}

/// `sidetone answer` for anybody; the process and its address.
fn open(home: &Home, more: &[&str]) -> (Running, SocketAddr) {
    let ip = address();
    let bind = format!("{ip}:5060");
    let mut arguments = vec!["answer", "--no-register", "--bind", &bind, "--source", "silence", "--sink", "null"];
    arguments.extend(more);
    let mut phone = home.start(&arguments);
    phone.expect("phone.ready");
    (phone, SocketAddr::new(ip, 5060))
}

/// A request of a stranger, as text.
fn text(method: &str, number: usize, agent: &str, from: SocketAddr, to: SocketAddr) -> String {
    format!(
        "{method} sip:100@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{number}x;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:100@{to}>;tag={number}\r\nTo: <sip:100@{to}>\r\nCall-ID: {number}@{from}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:100@{from}>\r\nUser-Agent: {agent}\r\nContent-Length: 0\r\n\r\n"
    )
}

fn stranger(ip: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> String {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("an answer");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn nonces_of_ours_cannot_be_guessed_and_do_not_outlive_the_process() {
    let home = Home::new();
    std::fs::write(home.path("callers"), "ann:secret\n").unwrap();
    let callers = home.text("callers");
    let mut nonces: Vec<Vec<u8>> = Vec::new();
    for run in 0..2 {
        let (phone, target) = open(&home, &["--challenge-callers", &callers]);
        let socket = stranger(target.ip());
        let from = socket.local_addr().unwrap();
        for number in 0..100 {
            socket.send_to(text("INVITE", run * 1_000 + number, "phone", from, target).as_bytes(), target).unwrap();
            let answer = receive(&socket);
            assert!(answer.starts_with("SIP/2.0 401 "), "{answer}");
            let nonce = answer.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
            nonces.push(nonce.as_bytes().to_vec());
        }
        phone.interrupt();
        assert_eq!(phone.finish().code, 0);
    }
    let all: HashSet<_> = nonces.iter().collect();
    assert_eq!(all.len(), nonces.len(), "each is new");
    assert!(nonces.iter().all(|nonce| nonce.len() >= 32), "{:?}", String::from_utf8_lossy(&nonces[0]));
    // What may be alike is the time; beside it, places where two that follow each other agree are as many as chance has.
    let pairs = nonces.windows(2).take(99);
    let alike: usize = pairs.map(|pair| pair[0].iter().zip(&pair[1]).filter(|(one, other)| one == other).count()).sum();
    let places: usize = nonces.iter().take(99).map(Vec::len).sum();
    assert!(alike * 2 < places, "{alike} of {places} places are alike");
}

/// Kilobytes of memory and milliseconds of processor time of a process.
fn costs(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    // User and system time, in ticks of 10 ms.
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some((resident.trim().trim_end_matches(" kB").trim().parse().ok()?, ticks * 10))
}

/// A scanner sends 20,000 INVITEs to a phone that takes calls from anybody: no answer, no call, no memory, little work,
/// and a trace that says what it was without filling the disk.
#[test]
fn a_scanner_costs_next_to_nothing() {
    const INVITES: usize = 20_000;
    let home = Home::new();
    let (phone, target) = open(&home, &[]);
    let socket = stranger(target.ip());
    let from = socket.local_addr().unwrap();
    // What is answered tells that what came before it was looked at.
    let probe = |number: usize| {
        socket.send_to(text("OPTIONS", 1_000_000 + number, "probe", from, target).as_bytes(), target).unwrap();
        let answer = receive(&socket);
        assert!(answer.starts_with("SIP/2.0 200 ") && answer.contains("1 OPTIONS"), "{answer}");
    };
    let storm = |first: usize, invites: usize| {
        for number in first..first + invites {
            let agent = if number % 2 == 0 { "friendly-scanner" } else { "sipvicious" };
            socket.send_to(text("INVITE", number, agent, from, target).as_bytes(), target).unwrap();
            if number % 100 == 99 {
                probe(number);
            }
        }
    };
    storm(0, 2_000);
    let before = costs(phone.id());
    storm(2_000, INVITES);
    let after = costs(phone.id());
    phone.interrupt();
    let outcome = phone.finish();
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(!outcome.out.contains("\"call."), "{}", outcome.out);
    assert!(home.history(&[]).is_empty());
    if let (Some((resident, spent)), Some((now_resident, now_spent))) = (before, after) {
        let (grown, spent) = (now_resident.saturating_sub(resident), now_spent - spent);
        println!(
            "{INVITES} INVITEs of scanners: {resident} kB before, {grown} kB more after, {spent} ms of processor time"
        );
        assert!(grown < 2_048, "{grown} kB");
        assert!(spent < 10_000, "{spent} ms");
    }
    let trace = home.run(&["trace", "list", "--json"]).objects().remove(0);
    assert_eq!(trace["subject"], "outside", "{trace}");
    let (kept, dropped) = (trace["messages"].as_u64().unwrap(), trace["dropped"]["messages"].as_u64().unwrap());
    assert!(kept <= 512 && dropped > 15_000, "{trace}");
    assert!(home.run(&["trace", "show", "outside"]).out.contains("friendly-scanner"));
    let size = std::fs::metadata(home.path("calls.traces/outside.trace")).unwrap().len();
    assert!(size < 600_000, "{size} octets");
}
