//! Every parser against damaged input, on the stable toolchain: the fuzz bodies live in the crate, and what is damaged are
//! real messages. Two seconds for each in the ordinary tests; `make fuzz SECONDS=600` for longer. A failure prints its
//! input as hexadecimal digits.
#![expect(clippy::disallowed_methods, reason = "how long it runs is set by the clock")]

#[path = "shared/mod.rs"]
mod shared;

use shared::damage::{damage, seeds};
use sidetone::call::negotiate::fuzz_negotiation;
use sidetone::media::fuzz;
use sidetone::net::stun;
use sidetone::random::Random;
use sidetone::sdp::fuzz_sdp;
use sidetone::sip::wire;
use std::time::{Duration, Instant};

const MESSAGE: &[u8] = b"INVITE sip:bob@192.0.2.4;user=phone SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1;rport, \
    SIP/2.0/TCP [2001:db8::1]:5061;branch=z9hG4bK2\r\nf: \"A \\\" B\" <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\ni: c@h\r\n\
    CSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.1;transport=tcp>;q=0.5\r\nSubject: folded\r\n line\r\n\
    Proxy-Authorization: Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"sip:h\", response=\"0\", qop=auth, nc=00000001, cnonce=\"c\"\r\n\
    l: 4\r\n\r\nbody";

const DESCRIPTION: &[u8] = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 4000 RTP/SAVP 96 0 8 101\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r\na=sendrecv\r\n";

/// A receiver report with a source description, and an RTP packet with an extension.
const RTCP: &[u8] = b"\x81\xC9\0\x07\0\0\0\x01\0\0\0\x02\x10\0\0\x05\0\0\x10\0\0\0\0\x20\0\0\0\0\0\0\0\0\x81\xCA\0\x02\0\0\0\x01\x01\x01a\0";
const RTP: &[u8] = b"\x90\x60\0\x01\0\0\x03\xC0\0\0\0\x07\xBE\xDE\0\x01\x10\xAA\0\0payload of a packet";

/// How long each body runs.
fn time() -> Duration {
    let seconds = std::env::var("SIDETONE_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(2.0))
}

/// Runs `body` on damaged seeds for its time; a new seed of chance each run, which a failure prints with the input.
fn run(name: &str, seeds: &[Vec<u8>], body: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let chance = u64::from(std::process::id()) << 20
        | std::env::var("SIDETONE_FUZZ_SEED").map_or(0, |text| text.parse().unwrap());
    let mut random = Random::from_seed(chance);
    let (start, time) = (Instant::now(), time());
    let mut rounds = 0u64;
    while start.elapsed() < time {
        for _ in 0..64 {
            let pick = |random: &mut Random| random.range(0, seeds.len() as u64) as usize;
            let mut octets = seeds[pick(&mut random)].clone();
            octets.truncate(2_000);
            for _ in 0..random.range(1, 6) {
                let other = pick(&mut random);
                damage(&mut octets, &seeds[other], &mut random);
            }
            if let Err(panic) = std::panic::catch_unwind(|| body(&octets)) {
                let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
                println!("{name}, seed {chance}, round {rounds}: {hex}\n{}", String::from_utf8_lossy(&octets));
                std::panic::resume_unwind(panic);
            }
            rounds += 1;
        }
    }
    println!("{name}: {rounds} inputs in {:?}", start.elapsed());
}

#[test]
fn wire_keeps_its_promises() {
    let folders = [("sip-messages", "sip"), ("sip-torture", "dat"), ("sip-torture-ipv6", "sip"), ("callflows", "sip")];
    run("wire", &seeds(&[MESSAGE], &folders), wire::fuzz);
}

#[test]
fn sdp_keeps_its_promises() {
    run("sdp", &seeds(&[DESCRIPTION], &[("sdp", "sdp")]), fuzz_sdp);
}

#[test]
fn negotiation_keeps_its_promises() {
    run("negotiation", &seeds(&[DESCRIPTION], &[("sdp", "sdp")]), fuzz_negotiation);
}

#[test]
fn media_keeps_its_promises() {
    let seeds = seeds(&[RTP, RTCP], &[]);
    run("media", &seeds, |octets| {
        fuzz::rtp(octets);
        fuzz::rtcp(octets);
        fuzz::srtp(octets);
    });
}

#[test]
fn stun_keeps_its_promises() {
    let id = stun::TransactionId([7; 12]);
    let own = [
        stun::request(id),
        stun::success(id, "192.0.2.1:5060".parse().unwrap()),
        stun::success(id, "[2001:db8::1]:5060".parse().unwrap()),
        // An error with its words, and a plain address without a checksum.
        b"\x01\x11\0\x0C\x21\x12\xA4\x42abcdefghijkl\0\x09\0\x06\0\0\x04\x01no\0\0".to_vec(),
        b"\x01\x01\0\x0C\x21\x12\xA4\x42abcdefghijkl\0\x01\0\x08\0\x01\x12\x34\xC0\0\x02\x01".to_vec(),
    ];
    for seed in &own {
        assert!(stun::read(seed).is_some(), "a seed that is refused tries nothing: {seed:02x?}");
    }
    let own: Vec<&[u8]> = own.iter().map(Vec::as_slice).collect();
    run("stun", &seeds(&own, &[]), stun::fuzz);
}
