//! A storm of mutated SIP, RTP and RTCP during a call: the call goes on, and counters tell of the storm.

use crate::inbound::answer;
use crate::process::{address, eventually, installed};
use crate::sidetone::Home;
use crate::sipp::{Options, Sipp};
use sidetone::random::Random;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread::{JoinHandle, park_timeout};
use std::time::{Duration, Instant};

const SETUP: Duration = Duration::from_secs(20);
const PACKET: Duration = Duration::from_millis(20);
/// Packet times that a storm lasts: three seconds.
const ROUNDS: u32 = 150;
/// Mutated packets of each kind per packet time: a thousand a second.
const GUSTS: usize = 20;
const SEED: u64 = 0x51DE_704E;

/// A datagram that started as `base` and lost its way.
fn mutate(random: &mut Random, base: &[u8]) -> Vec<u8> {
    let mut bytes = base.to_vec();
    for _ in 0..random.range(1, 6) {
        let length = bytes.len() as u64;
        if length == 0 {
            break;
        }
        let at = random.range(0, length) as usize;
        match random.range(0, 7) {
            0 => bytes[at] ^= 1 << random.range(0, 8),
            1 => bytes[at] = random.u32() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..(at + random.range(1, 40) as usize).min(bytes.len()))),
            4 => {
                let mut noise = vec![0; random.range(1, 40) as usize];
                random.fill(&mut noise);
                bytes.splice(at..at, noise);
            }
            5 => {
                let piece = bytes[at..(at + random.range(1, 200) as usize).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let hostile: &[&[u8]] =
                    &[b"\r\n\r\n", b"\0", b"\r\n ", b"Content-Length: 99999999999\r\n", b"\"", b"<sip:"];
                bytes.splice(at..at, hostile[random.range(0, hostile.len() as u64) as usize].iter().copied());
            }
        }
    }
    bytes.truncate(8_000);
    bytes
}

/// Mutated SIP: requests and responses of no call of ours, and `inside` the dialog what changes nothing about it.
fn sip(random: &mut Random, from: SocketAddr, target: SocketAddr, inside: &[String]) -> Vec<u8> {
    let method = ["OPTIONS", "INVITE", "REGISTER", "CANCEL", "ACK", "MESSAGE", "BYE"][random.range(0, 7) as usize];
    let id = random.token(10);
    let base = match random.range(0, 4) {
        0 if !inside.is_empty() => inside[random.range(0, inside.len() as u64) as usize].clone(),
        1 => format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {target};branch=z9hG4bK{id}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n\
             Call-ID: {id}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        ),
        _ => format!(
            "{method} sip:storm@{target} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{id};rport\r\nMax-Forwards: 9\r\n\
             From: <sip:storm@{from}>;tag={id}\r\nTo: <sip:storm@{target}>\r\nCall-ID: {id}@{from}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:storm@{from}>\r\nContent-Type: application/sdp\r\nContent-Length: 120\r\n\r\n\
             v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
        ),
    };
    mutate(random, base.as_bytes())
}

/// 20 ms of PCMU.
fn rtp(ssrc: u32, seq: u16, payload_type: u8) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(seq.to_be_bytes());
    packet.extend((u32::from(seq) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..160u32).map(|n| if n % 16 < 8 { 0x9F } else { 0x1F }));
    packet
}

/// Mutated RTP or RTCP. Never of the call's own source: that one may say what it likes.
fn media(random: &mut Random) -> Vec<u8> {
    let base = match random.range(0, 3) {
        0 => rtp(random.u32() | 1, random.u32() as u16, [0, 8, 13, 77, 101, 127][random.range(0, 6) as usize]),
        1 => {
            let mut report = vec![0x81, 200 + random.range(0, 5) as u8, 0, 12];
            report.resize(52, 0x5A);
            report
        }
        _ => {
            let mut noise = vec![0; random.range(0, 300) as usize];
            random.fill(&mut noise);
            noise
        }
    };
    mutate(random, &base)
}

/// The first number behind `start` in a message.
fn number_after(text: &str, start: &str) -> u16 {
    let rest = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}")).1;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a port")
}

/// Sends gusts of mutated SIP to `target` from an address that has nothing to do with the call.
fn blow(target: SocketAddr, inside: Vec<String>, seed: u64) -> JoinHandle<()> {
    let socket = UdpSocket::bind((address(), 0)).unwrap();
    std::thread::spawn(move || {
        let mut random = Random::from_seed(seed);
        let from = socket.local_addr().unwrap();
        pace(|_| {
            for _ in 0..GUSTS {
                let _ = socket.send_to(&sip(&mut random, from, target, &inside), target);
            }
        });
    })
}

/// Calls `round` once a packet time.
fn pace(mut round: impl FnMut(u16)) {
    let start = Instant::now();
    for n in 0..ROUNDS {
        while start.elapsed() < PACKET * n {
            park_timeout((PACKET * n).saturating_sub(start.elapsed()));
        }
        round(n as u16);
    }
}

/// Port of the dialog that a storm may name: requests that change nothing, whatever becomes of them.
fn inside(invite: &str, answer: &str) -> Vec<String> {
    let line = |text: &str, name: &str| {
        text.lines().find(|line| line.starts_with(name)).unwrap_or_default()[name.len()..].trim().to_owned()
    };
    let (us, them, id) = (line(invite, "From:"), line(answer, "To:"), line(invite, "Call-ID:"));
    ["OPTIONS", "INFO", "ACK", "NOTIFY"]
        .map(|method| {
            format!(
                "{method} sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKinside\r\nMax-Forwards: 9\r\n\
                 From: {them}\r\nTo: {us}\r\nCall-ID: {id}\r\nCSeq: 7 {method}\r\nContent-Length: 0\r\n\r\n"
            )
        })
        .to_vec()
}

#[test]
fn a_call_that_we_made_goes_on_in_a_storm() {
    if !installed("sipp") {
        return;
    }
    let far: IpAddr = address();
    let (far_rtp, stranger) = (UdpSocket::bind((far, 0)).unwrap(), UdpSocket::bind((address(), 0)).unwrap());
    let (far_ip, far_port) = (far.to_string(), far_rtp.local_addr().unwrap().port().to_string());
    let keys = ["-key", "far_ip", far_ip.as_str(), "-key", "far_port", far_port.as_str()];
    let sipp = Sipp::answers("uas_media", &Options { arguments: &keys, ..Options::default() });
    let (home, bind) = (Home::new(), address());
    let mut phone = home.start(
        &["call", &sipp.uri(), "--no-register", "--bind", &bind.to_string(), "--source", "tone:440", "--sink", "null"],
        "",
    );
    phone.expect("call.answered", SETUP);
    let find = |start: &str, sipp: &Sipp| {
        let mut found = None;
        assert!(eventually(SETUP, || {
            found = sipp.trace().into_iter().find(|message| message.text.starts_with(start));
            found.is_some()
        }));
        found.unwrap().text
    };
    let (invite, answer) = (find("INVITE ", &sipp), find("SIP/2.0 200", &sipp));
    let sip_target = SocketAddr::new(bind, number_after(&invite, &format!("SIP/2.0/UDP {bind}:")));
    let rtp_port = number_after(&invite, "m=audio ");
    let (rtp_target, rtcp_target) = (SocketAddr::new(bind, rtp_port), SocketAddr::new(bind, rtp_port + 1));

    let signalling = blow(sip_target, inside(&invite, &answer), SEED);
    let mut random = Random::from_seed(SEED + 1);
    far_rtp.set_nonblocking(true).unwrap();
    let (mut heard, mut heard_late) = (0, 0);
    let mut buffer = [0; 2048];
    pace(|round| {
        far_rtp.send_to(&rtp(0xCA11, round, 0), rtp_target).unwrap();
        for gust in 0..GUSTS {
            let socket = if gust % 2 == 0 { &far_rtp } else { &stranger };
            let target = if gust % 4 < 2 { rtp_target } else { rtcp_target };
            let _ = socket.send_to(&media(&mut random), target);
        }
        while let Ok((length, from)) = far_rtp.recv_from(&mut buffer) {
            let ours = from == rtp_target && length == 172 && buffer[..2] != [0x81, 200];
            heard += u32::from(ours);
            heard_late += u32::from(ours && u32::from(round) > ROUNDS / 2);
        }
    });
    signalling.join().unwrap();
    // Nobody hangs up until now; the phone is still there and hangs up as it is told.
    phone.interrupt();
    let ended = phone.expect("call.ended", SETUP);
    let (code, errors) = phone.finish(SETUP);
    assert_eq!(code, 0, "{errors}");
    sipp.finish(SETUP);
    let record = &ended["call"];
    assert_eq!((&record["status"], &record["ended_by"]), (&"completed".into(), &"local".into()), "{record}");
    assert!(record["talk_seconds"].as_f64().unwrap() > 2.5, "{record}");
    // Both directions ran through the storm.
    assert!(heard > ROUNDS * 2 / 3 && heard_late > ROUNDS / 3, "heard {heard}, late {heard_late}: {record}");
    let packets = record["quality"]["inbound"]["packets"].as_u64().unwrap();
    assert!((u64::from(ROUNDS) * 2 / 3..u64::from(ROUNDS) * 2).contains(&packets), "{record}");
    // The counters tell what came.
    let discarded = &record["metadata"]["discarded"];
    for reason in ["foreign", "malformed", "strangers", "unknown_payload_type", "malformed_sip"] {
        assert!(discarded[reason].as_u64().is_some_and(|count| count > 50), "{reason}: {record}");
    }
    assert_eq!(home.history()[0]["metadata"]["discarded"], *discarded);
}

#[test]
fn a_phone_that_answers_anyone_survives_a_storm() {
    if !installed("sipp") {
        return;
    }
    let home = Home::new();
    let (mut phone, target) = answer(&home, &[]);
    let talk = Options { arguments: &["-d", "5000"], ..Options::default() };
    let sipp = Sipp::calls("uac_talk", target, &talk);
    let call = phone.expect("call.answered", SETUP)["call_id"].clone();
    let storms = [blow(target, Vec::new(), SEED + 2), blow(target, Vec::new(), SEED + 3)];
    storms.into_iter().for_each(|storm| storm.join().unwrap());
    let ended = phone.expect_where("call.ended", SETUP, |event| event["call"]["id"] == call);
    assert_eq!(ended["call"]["status"], "completed", "{ended}");
    assert_eq!(ended["call"]["ended_by"], "remote", "{ended}");
    assert!(ended["call"]["metadata"]["discarded"]["malformed_sip"].as_u64().unwrap() > 500, "{ended}");
    sipp.finish(SETUP);
    // It still takes calls.
    Sipp::calls("uac", target, &Options { arguments: &["-d", "300"], ..Options::default() }).finish(SETUP);
    phone.interrupt();
    assert_eq!(phone.finish(SETUP).0, 0);
    let rows = home.history();
    assert!(rows.len() >= 2, "{rows:?}");
    assert!(rows.iter().all(|row| row["status"] != "in-progress" && row["ended_at"].is_string()), "{rows:?}");
}
