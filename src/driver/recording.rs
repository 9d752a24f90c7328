//! What the driver tells the flight recorder about media and registrations.

use super::media::{Event, Finished};
use crate::engine::Registration;
use crate::media::dtls::Role;
use crate::media::plan::Plan;
use crate::media::rtcp;
use crate::media::session::Component;
use crate::sip::registration::State;
use crate::time::Instant;
use crate::trace::{Datagram, Note, Recorder};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The RTP ports of a call were opened.
pub(super) fn ports(rtp: SocketAddr) -> Note {
    Note::new("ports", format!("RTP ports opened at {rtp}"), json!({"local": rtp.to_string()}))
}

/// Media starts by a plan, or follows another one.
pub(super) fn plan(topic: &str, plan: &Plan) -> Note {
    let codec = plan.encoding.codec.to_string();
    let suite = plan.srtp.as_ref().map(|srtp| srtp.suite.name());
    let protection = match (suite, &plan.dtls) {
        (Some(suite), _) => format!("SRTP {suite}"),
        (None, Some(dtls)) if dtls.role == Role::Client => "DTLS-SRTP, we begin".to_owned(),
        (None, Some(_)) => "DTLS-SRTP, the far end begins".to_owned(),
        (None, None) => "plain".to_owned(),
    };
    let direction = plan.direction.attribute();
    let text = format!("RTP {codec}, {protection}, {direction}, to {}", plan.remote_rtp);
    let fields = json!({"remote": plan.remote_rtp.to_string(), "remote_rtcp": plan.remote_rtcp.to_string(),
        "codec": codec, "payload_type": plan.encoding.payload_type,
        "ptime_ms": plan.encoding.packet_time.as_millis() as u64, "srtp": suite, "dtls": plan.dtls.is_some(), "ice": plan.ice.is_some(), "direction": direction});
    Note::new(topic, text, fields)
}

/// What media told, as far as it is worth keeping.
pub(super) fn media(event: &Event) -> Option<Note> {
    let port = |component: &Component| match component {
        Component::Rtp => "RTP",
        Component::Rtcp => "RTCP",
    };
    Some(match event {
        Event::FirstPacket { .. } => Note::new("first-packet", "first RTP packet from the far end", Value::Null),
        Event::RemoteLearned { component, address, .. } => Note::new(
            "remote-learned",
            format!("{} comes from {address}, not from where the SDP said", port(component)),
            json!({"address": address.to_string()}),
        ),
        Event::Dtmf { digit, duration, .. } => {
            let (digit, held) = (digit.to_string(), duration.as_millis() as u64);
            Note::new("dtmf", format!("DTMF {digit} heard for {held} ms"), json!({"digit": digit, "ms": held}))
        }
        Event::DtmfSent { digit, .. } => {
            Note::new("dtmf-sent", format!("DTMF {digit} sent"), json!({"digit": digit.to_string()}))
        }
        Event::Report { sent, report, octets, local, remote, .. } => {
            let note = rtcp_report(*sent, report);
            match *local {
                Some(local) => {
                    note.with_packet(Datagram { sent: *sent, local, remote: *remote, bytes: octets.clone() })
                }
                None => note,
            }
        }
        Event::Secured { suite, .. } => {
            Note::new("secured", format!("the DTLS handshake agreed on SRTP {suite}"), json!({"srtp": suite.name()}))
        }
        Event::KeyWearsOut { .. } => {
            Note::new("key-wears-out", "the far end's SRTP key is nearly used up: new keys are offered", Value::Null)
        }
        Event::RemoteBye { .. } => Note::new("remote-bye", "the far end ended its stream by RTCP", Value::Null),
        Event::Trouble { trouble, .. } => Note::new("trouble", trouble.to_string(), Value::Null),
        Event::Failed { reason, .. } => Note::new("failed", reason.to_string(), Value::Null),
        Event::Finished(finished) => stopped(finished),
        Event::DeviceOpened { input, output, .. } => {
            let way = if input.is_some() { "microphone" } else { "loudspeaker" };
            let name = input.as_ref().or(output.as_ref()).cloned().unwrap_or_default();
            Note::new("device", format!("the {way} is {name}"), json!({"way": way, "name": name}))
        }
        Event::SourceEnded { .. }
        | Event::PlayEnded { .. }
        | Event::Recorded { .. }
        | Event::Quality { .. }
        | Event::Levels { .. } => return None,
    })
}

fn rtcp_report(sent: bool, report: &rtcp::Summary) -> Note {
    let (topic, who) = if sent { ("rtcp-sent", "we") } else { ("rtcp-received", "the far end") };
    let kind = if report.sender.is_some() { "SR" } else { "RR" };
    let mut text = format!("RTCP {kind}: ");
    text += &match &report.sender {
        Some(sender) => format!("{who} sent {} packets", sender.packets),
        None => format!("{who} sent nothing lately"),
    };
    if let Some(block) = &report.block {
        let percent = f64::from(block.fraction_lost) / 2.56;
        text += &format!(", lost {} of the other side's ({percent:.1} % lately)", block.cumulative_lost);
        text += &format!(", jitter {} ticks", block.jitter);
    }
    if report.bye {
        text += ", BYE";
    }
    let block = report.block.map(|block| {
        json!({"ssrc": block.ssrc.0, "fraction_lost": block.fraction_lost, "lost": block.cumulative_lost,
            "highest": block.extended_highest, "jitter": block.jitter, "last_sr": block.last_sr,
            "delay_since_last_sr": block.delay_since_last_sr})
    });
    let sender =
        report.sender.map(|sender| json!({"rtp": sender.rtp.0, "packets": sender.packets, "octets": sender.octets}));
    Note::new(topic, text, json!({"ssrc": report.ssrc.0, "sender": sender, "block": block, "bye": report.bye}))
}

fn stopped(finished: &Finished) -> Note {
    let (heard, said) = (&finished.report.inbound, &finished.report.outbound);
    let mos = heard.mos.map(|mos| format!(", MOS {mos:.2}")).unwrap_or_default();
    let text =
        format!("RTP ended: {} packets sent, {} received, {} lost{mos}", said.packets, heard.packets, heard.lost);
    Note::new("stopped", text, json!({"quality": finished.report}))
}

/// Notes how a registration stands.
pub(super) fn registration(recorder: &mut Recorder, now: Instant, registration: &Registration) {
    let (outcome, explanation) = match &registration.state {
        State::Unregistered => ("unregistered".to_owned(), None),
        State::Registering => ("registering".to_owned(), None),
        State::Unregistering => ("unregistering".to_owned(), None),
        State::Registered { contact, granted, .. } => {
            (format!("registered for {} s as {contact}", granted.as_secs()), None)
        }
        State::Failed { failure, .. } => {
            ("failed".to_owned(), registration.explanation.clone().or_else(|| Some(failure.to_string())))
        }
    };
    recorder.registration(now, &registration.aor, &outcome, explanation.as_deref());
}
