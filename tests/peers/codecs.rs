//! Codecs of a real call: comfort noise on the wire as tshark reads it, and changes of the codec while a tone plays.

use crate::capture::capture;
use crate::process::{address, eventually, expect, free_port, installed, measured};
use crate::sidetone::{Home, Sidetone, fixture};
use crate::sound::Sound;
use std::net::SocketAddr;
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(20);

/// An RTP packet: its source port, payload type, marker, number and timestamp.
fn packets(log: &str) -> Vec<(u16, u8, bool, u16, u64)> {
    let read = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let [port, kind, marker, number, timestamp, _] = fields[..] else { return None };
        let marker = marker == "1" || marker == "True";
        Some((port.parse().ok()?, kind.parse().ok()?, marker, number.parse().ok()?, timestamp.parse().ok()?))
    };
    log.lines().filter_map(read).collect()
}

/// RFC 3389, between two ends of ours: speech one way, silence the other.
#[test]
fn silence_is_comfort_noise_on_the_wire() {
    if !installed("tshark") {
        return;
    }
    let (directory, homes) = (tempfile::tempdir().unwrap(), [Home::new(), Home::new()]);
    let ip = address();
    let bind = SocketAddr::new(ip, free_port(ip));
    let fields = ["udp.srcport", "rtp.p_type", "rtp.marker", "rtp.seq", "rtp.timestamp"];
    let Some(tshark) = capture(&directory, ip, bind.port(), "rtp", &fields) else { return };
    let bind = bind.to_string();
    let common = ["--no-register", "--codec", "pcma", "--vad", "--sink", "null", "--duration", "8"];
    let answers = ["answer", "--bind", &bind, "--source", "silence", "--max-calls", "1"];
    let mut answerer = homes[1].start(&[&answers[..], &common].concat(), "");
    answerer.expect("phone.ready", SETUP);
    let (uri, file, ours) = (format!("sip:bob@{bind}"), format!("file:{}", fixture("caller.wav")), ip.to_string());
    let calls = ["call", &uri, "--bind", &ours, "--source", &file];
    let mut caller = homes[0].start(&[&calls[..], &common].concat(), "");
    let ended = caller.expect("call.ended", SETUP);
    assert_eq!(caller.finish(SETUP).0, 0);
    answerer.finish(SETUP);
    assert!(ended["call"]["metadata"]["codec"]["comfort_noise_heard"].as_u64() > Some(0), "{ended}");
    assert!(eventually(SETUP, || packets(&tshark.log()).iter().any(|packet| packet.1 == 13)), "{}", tshark.log());
    let packets = packets(&tshark.log());
    let mut ports: Vec<u16> = packets.iter().map(|packet| packet.0).collect();
    ports.sort_unstable();
    ports.dedup();
    let (mut voices, mut noises) = (Vec::new(), 0);
    for port in ports {
        let stream: Vec<_> = packets.iter().filter(|packet| packet.0 == port && [8, 13].contains(&packet.1)).collect();
        voices.push(stream.iter().filter(|packet| packet.1 == 8).count());
        noises += stream.iter().filter(|packet| packet.1 == 13).count();
        for pair in stream.windows(2) {
            assert_eq!(pair[1].3, pair[0].3.wrapping_add(1), "a number is missing: {pair:?}");
            assert!(pair[1].1 != 13 || !pair[1].2, "comfort noise begins no talk spurt: {pair:?}");
            assert!(pair[0].1 != 13 || pair[1].1 == 13 || pair[1].2, "a talk spurt begins without marker: {pair:?}");
        }
    }
    voices.sort_unstable();
    // Eight seconds are 400 packets: who is silent sends few of them, who speaks for a while more.
    assert!(voices.first().is_some_and(|few| *few < 60) && voices.last().is_some_and(|many| *many > 60), "{voices:?}");
    assert!(noises >= 6, "{noises} packets of comfort noise");
}

/// Pieces of 20 ms in which the tone is not heard, between the first and the last in which it is.
fn gaps(heard: &Sound) -> usize {
    let length = heard.rate as usize / 50;
    let level = |piece: &[f32]| (piece.iter().map(|sample| sample * sample).sum::<f32>() / length as f32).sqrt();
    let loud: Vec<bool> = heard.samples.chunks_exact(length).map(|piece| level(piece) > 0.05).collect();
    let (first, last) = (loud.iter().position(|loud| *loud), loud.iter().rposition(|loud| *loud));
    let (Some(first), Some(last)) = (first, last) else { return usize::MAX };
    loud[first..last].iter().filter(|loud| !**loud).count()
}

/// A re-INVITE for each change, between two ends of ours. A machine that is late makes gaps of its own: then it is played
/// again.
#[test]
fn a_tone_goes_on_while_the_codec_changes() {
    let play = || {
        let homes = [Home::new(), Home::new()];
        let ip = address();
        let bind = SocketAddr::new(ip, free_port(ip)).to_string();
        let recordings = homes[1].path("recordings");
        let common = ["--no-register", "--source", "tone:440", "--sink", "null"];
        let answers = ["answer", "--bind", &bind, "--max-calls", "1", "--record", recordings.to_str().unwrap()];
        let mut answerer = homes[1].start(&[&answers[..], &common].concat(), "");
        answerer.expect("phone.ready", SETUP);
        let (uri, ours) = (format!("sip:bob@{bind}"), ip.to_string());
        let calls = ["call", &uri, "--bind", &ours, "--codec", "pcmu"];
        let mut caller = homes[0].start_with_commands(&[&calls[..], &common].concat(), "");
        caller.expect("call.answered", SETUP);
        // Reports a second apart: it was heard for so long.
        let heard = |caller: &mut Sidetone| (0..2).for_each(|_| drop(caller.expect("call.quality", SETUP)));
        for codec in ["opus", "g722", "pcmu"] {
            heard(&mut caller);
            caller.say(&format!("codec {codec}"));
            let changed = caller.expect("call.codec", SETUP);
            assert!(changed["codec"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(codec)), "{changed}");
        }
        heard(&mut caller);
        caller.interrupt();
        let ended = answerer.expect("call.ended", SETUP);
        caller.finish(SETUP);
        answerer.finish(SETUP);
        let path = ended["call"]["recording"].as_str().expect("a recording").to_owned();
        let heard = Sound::read(path, 1);
        (gaps(&heard), heard.share_of_tone(440.0, 8.0), heard.seconds())
    };
    measured(play, |&(gaps, share, seconds)| {
        expect(seconds > 3.5, "a recording of more than 3.5 s", &seconds)?;
        // One packet time for each of three changes.
        expect(gaps <= 3, "at most three pieces of 20 ms without the tone", &gaps)?;
        expect(share > 0.97, "nearly all energy in the tone", &share)
    });
}
