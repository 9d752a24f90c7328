//! What a far end gets that we put on hold, as tshark reads it from the wire.

use crate::capture::capture;
use crate::process::{Peer, address, eventually, installed};
use crate::sidetone::{Home, Sidetone};
use crate::sipp::{Options, Sipp};
use std::net::IpAddr;
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(20);

/// An RTP packet of ours.
#[derive(Clone, Debug)]
struct Packet {
    at: f64,
    payload_type: u8,
    number: u16,
    payload: String,
}

fn packets(log: &str) -> Vec<Packet> {
    let read = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let [at, payload_type, number, payload, _] = fields[..] else { return None };
        let (payload_type, number) = (payload_type.parse().ok()?, number.parse().ok()?);
        Some(Packet { at: at.parse().ok()?, payload_type, number, payload: payload.replace(':', "") })
    };
    log.lines().filter_map(read).collect()
}

/// A call to a SIPp that plays `scenario`, seen by tshark; `None` where that cannot be.
fn call(scenario: &str, home: &Home, directory: &tempfile::TempDir, more: &[&str]) -> Option<(Sidetone, Sipp, Peer)> {
    if !installed("sipp") || !installed("tshark") {
        return None;
    }
    let sipp = Sipp::answers(scenario, &Options::default());
    let ours: IpAddr = address();
    let fields = ["frame.time_relative", "rtp.p_type", "rtp.seq", "rtp.payload"];
    let tshark = capture(directory, ours, sipp.address.port(), &format!("rtp and ip.src == {ours}"), &fields)?;
    let (uri, bind) = (sipp.uri(), ours.to_string());
    let arguments = ["call", &uri, "--no-register", "--bind", &bind, "--source", "tone:440", "--sink", "null"];
    let mut phone = home.start_with_commands(&[&arguments[..], &["--codec", "pcmu"], more].concat(), "");
    phone.expect("call.answered", SETUP);
    assert!(eventually(SETUP, || packets(&tshark.log()).len() >= 5), "no voice before:\n{}", tshark.log());
    Some((phone, sipp, tshark))
}

/// PCMU silence is 0xFF, or 0x7F for the other zero.
fn is_silent(packet: &Packet) -> bool {
    !packet.payload.is_empty() && packet.payload.as_bytes().chunks(2).all(|octet| matches!(octet, b"ff" | b"7f"))
}

#[test]
fn the_stream_goes_on_with_silence_or_music() {
    for (more, music) in [(&[][..], false), (&["--hold-source", "tone:900"], true)] {
        let (home, directory) = (Home::new(), tempfile::tempdir().unwrap());
        let Some((mut phone, sipp, tshark)) = call("uas_held_by_us", &home, &directory, more) else { return };
        phone.say("hold");
        phone.expect("call.held", SETUP);
        let before = packets(&tshark.log()).len();
        // tshark tells what it saw up to some seconds late: what was sent before is among the first of these.
        assert!(eventually(SETUP, || packets(&tshark.log()).len() >= before + 250), "the stream ended");
        let log = packets(&tshark.log());
        let held = &log[before + 175..];
        let lasted = held[held.len() - 1].at - held[0].at;
        let expected = 0.02 * (held.len() - 1) as f64;
        assert!((lasted - expected).abs() < 0.5, "{} packets in {lasted} s", held.len());
        assert!(held.iter().all(|packet| packet.payload_type == 0 && is_silent(packet) != music), "{held:?}");
        assert!(held.windows(2).all(|pair| pair[1].number == pair[0].number.wrapping_add(1)));
        phone.say("resume");
        phone.expect("call.resumed", SETUP);
        phone.say("hangup");
        phone.expect("call.ended", SETUP);
        assert_eq!(phone.finish(SETUP).0, 0);
        sipp.finish(SETUP);
    }
}

/// RFC 6263: SIPp takes RTCP on another port, so that RTP has to keep its own way open.
#[test]
fn an_inactive_stream_is_kept_open() {
    let (home, directory) = (Home::new(), tempfile::tempdir().unwrap());
    let style = ["--hold-style", "inactive"];
    let Some((mut phone, sipp, tshark)) = call("uas_inactive", &home, &directory, &style) else { return };
    phone.say("hold");
    phone.expect("call.held", SETUP);
    let kept = |log: &str| packets(log).into_iter().filter(|packet| packet.payload_type == 127).collect::<Vec<_>>();
    assert!(eventually(Duration::from_secs(40), || kept(&tshark.log()).len() == 2), "{}", tshark.log());
    phone.say("hangup");
    phone.expect("call.ended", SETUP);
    assert_eq!(phone.finish(SETUP).0, 0);
    sipp.finish(SETUP);
    let (all, kept) = (packets(&tshark.log()), kept(&tshark.log()));
    let voice: Vec<Packet> = all.into_iter().filter(|packet| packet.payload_type == 0).collect();
    let last = voice.last().expect("a voice before");
    for (nth, packet) in (1..).zip(&kept) {
        assert_eq!((packet.number, packet.payload.as_str()), (last.number.wrapping_add(nth), ""), "{packet:?}");
        let after = packet.at - last.at;
        assert!((15.0 * f64::from(nth) - 0.5..15.0 * f64::from(nth) + 1.5).contains(&after), "{after} s");
    }
}
