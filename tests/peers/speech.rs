//! Speech between us and baresip through Kamailio: what was said on one side is what was heard on the other.

use crate::baresip::{Baresip, Options};
use crate::kamailio::Kamailio;
use crate::process::{address, installed};
use crate::sidetone::{Home, fixture};
use crate::sound::{Likeness, Sound, likeness};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(15);
const TALK: Duration = Duration::from_secs(25);

/// One way of calling.
struct Way {
    /// Ours, as `--codec` takes it.
    codec: &'static str,
    /// baresip's.
    theirs: &'static str,
    transport: &'static str,
    /// SRTP with this suite; any one if empty.
    srtp: Option<&'static str>,
    /// Speech through Opus keeps its spectrum, not its wave form.
    waveform: bool,
}

const OPUS: Way = Way { codec: "opus", theirs: "opus/48000/2", transport: "udp", srtp: None, waveform: false };
const PCMU: Way = Way { codec: "pcmu", theirs: "pcmu/8000/1", transport: "udp", srtp: None, waveform: true };
const PCMA: Way = Way { codec: "pcma", theirs: "pcma/8000/1", transport: "tcp", srtp: None, waveform: true };

const G722: Way = Way { codec: "g722", theirs: "G722/16000/1", transport: "udp", srtp: None, waveform: true };

fn peers_are_installed() -> bool {
    installed("kamailio") && installed("baresip")
}

/// We call baresip.
fn call(way: &Way) {
    if !peers_are_installed() {
        return;
    }
    let kamailio = Kamailio::start();
    let baresip = far_end(&kamailio, way);
    call_through(&kamailio, baresip, way);
}

fn call_through(kamailio: &Kamailio, mut baresip: Baresip, way: &Way) {
    let home = Home::new();
    let recording = home.path("call.wav");
    let mut arguments = account(kamailio, "alice", way);
    arguments.splice(0..0, ["call".into(), "bob".into()]);
    arguments.extend(["--duration", "8", "--record"].map(String::from));
    arguments.push(recording.display().to_string());
    let mut phone = home.start(&strings(&arguments), "secret-alice");
    phone.expect("registration.registered", SETUP);
    phone.expect("call.answered", SETUP);
    let ended = phone.expect("call.ended", TALK);
    baresip.wait_for_event("CALL_CLOSED", SETUP);
    assert_eq!(phone.finish(SETUP).0, 0);
    judge(way, &ended["call"], &baresip.heard(), &recording);
}

/// baresip calls us.
fn answer(way: &Way) {
    if !peers_are_installed() {
        return;
    }
    let kamailio = Kamailio::start();
    let mut baresip = far_end(&kamailio, way);
    let home = Home::new();
    let recordings = home.path("recordings");
    let mut arguments = account(&kamailio, "alice", way);
    arguments.insert(0, "answer".into());
    arguments.extend(["--max-calls", "1", "--duration", "8", "--record"].map(String::from));
    arguments.push(recordings.display().to_string());
    let mut phone = home.start(&strings(&arguments), "secret-alice");
    phone.expect("registration.registered", SETUP);
    baresip.command("dial", &format!("sip:alice@{}", kamailio.address));
    phone.expect("call.answered", SETUP);
    let ended = phone.expect("call.ended", TALK);
    baresip.wait_for_event("CALL_CLOSED", SETUP);
    assert_eq!(phone.finish(SETUP).0, 0);
    let call = &ended["call"];
    assert_eq!(call["direction"], "inbound");
    let recording = call["recording"].as_str().expect("a recording").to_owned();
    judge(way, call, &baresip.heard(), Path::new(&recording));
}

fn far_end(kamailio: &Kamailio, way: &Way) -> Baresip {
    Baresip::start(&Options {
        user: "bob",
        registrar: Some(kamailio.address),
        transport: way.transport,
        codecs: way.theirs,
        media_encryption: way.srtp.map(|srtp| if srtp == "dtls" { "dtls_srtp" } else { "srtp-mand" }),
        plays: "answerer.wav",
        rate: match way.codec {
            "opus" => 48_000,
            "g722" => 16_000,
            _ => 8_000,
        },
        ..Options::default()
    })
}

fn account(kamailio: &Kamailio, user: &str, way: &Way) -> Vec<String> {
    let source = format!("loop:{}", fixture("caller.wav"));
    let srtp = way.srtp.map_or("off", |suite| if suite == "dtls" { suite } else { "required" });
    let suites = way.srtp.filter(|suite| !suite.is_empty() && *suite != "dtls").map(|suite| ["--srtp-suites", suite]);
    let bind = address().to_string();
    let aor = format!("sip:{user}@{}", kamailio.address);
    ["--aor", &aor, "--transport", way.transport, "--bind", &bind, "--codec", way.codec]
        .into_iter()
        .chain(["--srtp", srtp, "--source", &source, "--sink", "null"])
        .chain(suites.into_iter().flatten())
        .map(String::from)
        .collect()
}

fn strings(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// Speech both ways, and a record that says so.
fn judge(way: &Way, call: &Value, far: &Path, near: &Path) {
    assert_eq!(call["status"], "completed", "{call}");
    assert_eq!(call["codec"].as_str().map(str::to_ascii_lowercase).as_deref(), Some(way.codec), "{call}");
    assert_eq!(call["transport"], way.transport, "{call}");
    assert_eq!(call["srtp"].is_string(), way.srtp.is_some(), "{call}");
    if let Some(suite) = way.srtp.filter(|suite| !suite.is_empty()) {
        let said = call["srtp"].as_str().unwrap_or_default();
        assert!(said == suite || (suite == "dtls" && said.ends_with(" (DTLS)")), "{call}");
    }
    let inbound = &call["quality"]["inbound"];
    assert!(inbound["packets"].as_u64().unwrap() > 300 && inbound["mos"].as_f64().unwrap() > 4.0, "{inbound}");
    let outbound = &call["quality"]["outbound"];
    assert!(outbound["packets"].as_u64().unwrap() > 300 && outbound["round_trip_ms"].is_number(), "{outbound}");
    // A packet that comes D ms late raises the jitter of RFC 3550 by D/16; the buffer makes room for it in whole packets.
    let reason = (inbound["jitter_max_ms"].as_f64().unwrap() * 16.0 + 20.0) / 1_000.0;
    alike(way, "they heard us", &Sound::read(fixture("caller.wav"), 0), &Sound::read(far, 0), 0.0);
    alike(way, "we heard them", &Sound::read(fixture("answerer.wav"), 0), &Sound::read(near, 1), reason);
    alike(way, "we recorded ourselves", &Sound::read(fixture("caller.wav"), 0), &Sound::read(near, 0), 0.0);
}

/// `moves` seconds of stretching may lie between what was sent and what was heard, where its wave form shows it.
fn alike(way: &Way, what: &str, sent: &Sound, heard: &Sound, moves: f64) {
    let like = likeness(sent, heard);
    println!("{} {what}: {like:?}, may move {moves:.3} s", way.codec);
    let Likeness { waveform, spectrum, covered, moved, .. } = like;
    let enough = if way.waveform { waveform > 0.9 && moved <= moves + 0.001 } else { spectrum > 0.85 };
    assert!(enough && covered > 0.6, "{} {what}: {like:?}, may move {moves:.3} s", way.codec);
}

#[test]
fn we_call_baresip_with_opus() {
    call(&OPUS);
}

#[test]
fn we_call_baresip_with_pcmu() {
    call(&PCMU);
}

#[test]
fn we_call_baresip_with_pcma_over_tcp() {
    call(&PCMA);
}

#[test]
fn we_call_baresip_with_g722() {
    call(&G722);
}

#[test]
fn baresip_calls_us_with_opus() {
    answer(&OPUS);
}

#[test]
fn baresip_calls_us_with_pcmu() {
    answer(&PCMU);
}

#[test]
fn baresip_calls_us_with_pcma_over_tcp() {
    answer(&PCMA);
}

#[test]
fn srtp_is_required_when_we_call_baresip() {
    call(&Way { srtp: Some(""), ..PCMU });
}

#[test]
fn srtp_is_required_when_baresip_calls_us() {
    answer(&Way { srtp: Some(""), ..OPUS });
}

/// It takes every suite of RFC 7714; by itself it offers none of them.
#[test]
fn srtp_with_galois_counter_mode_when_we_call_baresip() {
    call(&Way { srtp: Some("AEAD_AES_256_GCM"), ..PCMU });
    call(&Way { srtp: Some("AEAD_AES_128_GCM"), ..PCMU });
}

/// rtpengine knows every suite that we know.
#[test]
fn srtp_with_256_bit_keys_at_a_media_relay() {
    if !peers_are_installed() || !installed("rtpengine") {
        return;
    }
    let kamailio = Kamailio::with_media_relay();
    let baresip = far_end(&kamailio, &PCMU);
    call_through(&kamailio, baresip, &Way { srtp: Some("AES_256_CM_HMAC_SHA1_80"), ..PCMU });
}

/// A relay between us, encrypted on our side and plain on the other, as a trunk has it: media comes from where neither
/// party is.
#[test]
fn srtp_with_a_media_relay_that_talks_plain_to_baresip() {
    if !peers_are_installed() || !installed("rtpengine") {
        return;
    }
    let mut kamailio = Kamailio::with_media_relay();
    let baresip = far_end(&kamailio, &PCMU);
    call_through(&kamailio, baresip, &Way { srtp: Some(""), ..PCMU });
    let balance = kamailio.media().balance();
    let relayed =
        balance.lines().filter_map(|line| line.split_once(" p, ")?.0.rsplit([' ', ',']).next()?.parse::<u64>().ok());
    let busy = relayed.filter(|packets| *packets > 300).count();
    assert!(busy >= 2, "both directions go through the relay:\n{balance}");
}

/// The far end begins the handshake: our offer leaves the choice to it. Its RTCP has a port and a handshake of its own.
#[test]
fn dtls_srtp_when_we_call_baresip() {
    call(&Way { srtp: Some("dtls"), ..PCMU });
}

/// We begin the handshake.
#[test]
fn dtls_srtp_when_baresip_calls_us() {
    answer(&Way { srtp: Some("dtls"), ..OPUS });
}

/// A relay that ends our DTLS-SRTP and talks plain to baresip.
#[test]
fn dtls_srtp_with_a_media_relay_that_talks_plain_to_baresip() {
    if !peers_are_installed() || !installed("rtpengine") {
        return;
    }
    let kamailio = Kamailio::with_media_relay();
    let baresip = far_end(&kamailio, &PCMU);
    call_through(&kamailio, baresip, &Way { srtp: Some("dtls"), ..PCMU });
}
