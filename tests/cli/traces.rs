//! The flight recorder as another process reads it.

use crate::process::{Domain, Home, PASSWORD, Running};
use serde_json::Value;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// One call from Ann to Bob, of a second.
fn call(home: &Home, more: &[&str]) -> Domain {
    let (domain, theirs) = (Domain::start(), Home::new());
    let bob = domain.bob(&theirs, &["--max-calls", "1", "--srtp", "optional"]);
    let mut all = vec!["--duration", "1"];
    all.extend(more);
    let ann = domain.ann_calls(home, &all).finish();
    assert_eq!(ann.code, 0, "{ann:?}");
    assert_eq!(bob.finish().code, 0);
    domain
}

/// The rows of `tshark -T fields` over a capture; `None` without tshark.
fn tshark(capture: &Path, more: &[&str], fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args(["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]);
    command.args(["-o", "tcp.check_checksum:TRUE", "-T", "fields", "-E", "separator=|"]).args(more);
    for field in fields {
        command.args(["-e", field]);
    }
    let Ok(output) = command.output() else {
        println!("skipped: tshark is not installed; `make test-deps` installs it");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect())
}

#[test]
fn a_call_leaves_a_trace_that_is_listed_shown_drawn_and_exported() {
    for transport in ["udp", "tcp"] {
        let home = Home::new();
        call(&home, &["--srtp", "required", "--dtmf", "5", "--transport", transport]);
        let listed = home.run(&["trace", "list", "--json"]).objects();
        assert_eq!(listed.len(), 2, "{listed:?}");
        let id = home.history(&[])[0]["id"].as_str().unwrap().to_owned();
        assert_eq!((&listed[0]["subject"]["call"], &listed[0]["outcome"]), (&id.as_str().into(), &"completed".into()));
        assert!(listed[1]["subject"]["registration"].as_str().unwrap().starts_with("sip:ann@"), "{listed:?}");

        let shown = home.run(&["trace", "show", &id[..20]]);
        assert_eq!(shown.code, 0, "{}", shown.err);
        for text in [
            "INVITE sip:bob@",
            "SIP/2.0 407 ",
            "ACK sip:",
            "SIP/2.0 180 ",
            "SIP/2.0 200 ",
            "BYE sip:",
            "m=audio ",
            "media started: RTP opus, SRTP AES_CM_128_HMAC_SHA1_80",
            "media first-packet",
            "DTMF 5 sent",
            "media rtcp-sent: RTCP SR",
            "media stopped: RTP ended",
            &format!("sent {}", transport.to_uppercase()),
        ] {
            assert!(shown.out.contains(text), "{text:?} is missing over {transport}\n{}", shown.out);
        }
        let drawn = home.run(&["trace", "ladder", "last", "--width", "90"]).out;
        for text in ["INVITE", "407 Proxy Authentication Required", "▶│", "│◀", "BYE", "═", "RTP/SAVP opus"] {
            assert!(drawn.contains(text), "{text:?} is missing\n{drawn}");
        }
        assert!(drawn.lines().skip(2).all(|line| line.chars().count() <= 90) && !drawn.contains('\u{1b}'), "{drawn}");

        let capture = home.path("call.pcapng");
        let exported = home.run(&["trace", "export", "last", "--pcapng", capture.to_str().unwrap()]);
        assert_eq!(exported.code, 0, "{exported:?}");
        let fields = ["_ws.col.Protocol", "sip.Method", "sip.Status-Code", "sip.CSeq.method", "frame.comment"];
        let Some(rows) = tshark(&capture, &[], &fields) else { return };
        let (rows, reports): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row[0].starts_with("SIP"));
        let story: Vec<String> =
            rows.iter().map(|row| if row[1].is_empty() { row[2].clone() } else { row[1].clone() }).collect();
        assert_eq!(story, ["INVITE", "407", "ACK", "INVITE", "180", "200", "ACK", "BYE", "200"], "over {transport}");
        assert!(rows[0][4].contains("sent over"), "{rows:?}");
        // The reports themselves, decrypted: with the sources and what they say of each other.
        assert!(!reports.is_empty() && reports.iter().all(|row| row[0] == "RTCP"), "{reports:?}");
        let fields = ["rtcp.pt", "rtcp.sdes.text", "rtcp.sender.packetcount", "ip.src", "frame.comment"];
        let rtcp = tshark(&capture, &["-Y", "rtcp"], &fields).unwrap();
        assert_eq!(rtcp.len(), reports.len());
        assert!(rtcp.iter().all(|row| row[0].starts_with("200") || row[0].starts_with("201")), "{rtcp:?}");
        assert!(rtcp.iter().any(|row| row[4].contains("sent from 127.0.0.1:")), "{rtcp:?}");
        let damaged = [
            "-Y",
            "_ws.expert.severity == error || _ws.malformed || ip.checksum.status == 0 || \
            udp.checksum.status == 0 || tcp.checksum.status == 0 || tcp.analysis.flags",
        ];
        assert_eq!(tshark(&capture, &damaged, &["frame.number"]).unwrap(), Vec::<Vec<String>>::new());
    }
}

#[test]
fn secrets_are_in_no_trace_unless_recording_was_told_to_keep_them() {
    let home = Home::new();
    call(&home, &["--srtp", "required"]);
    let mut everything = String::new();
    for file in std::fs::read_dir(home.path("calls.traces")).unwrap().flatten() {
        everything += &std::fs::read_to_string(file.path()).unwrap();
    }
    // Suite and user name explain a failure; key and response do not.
    assert!(everything.contains("AES_CM_128_HMAC_SHA1_80 inline:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
    assert!(everything.contains("Proxy-Authorization: Digest username=\\\"ann\\\""), "{everything}");
    let secret = |text: &str, before: &str| {
        text.split(before).skip(1).any(|rest| !rest.trim_start_matches(['\\', '"']).starts_with('x'))
    };
    assert!(!secret(&everything, "response=") && !secret(&everything, "inline:") && !everything.contains(PASSWORD));
    let refused = home.run(&["trace", "show", "last", "--with-secrets"]);
    assert_eq!(refused.code, 8, "{refused:?}");
    assert!(refused.err.contains("--trace-secrets"), "{}", refused.err);

    let home = Home::new();
    call(&home, &["--srtp", "required", "--trace-secrets"]);
    let (hidden, shown) =
        (home.run(&["trace", "show", "last"]), home.run(&["trace", "show", "last", "--with-secrets"]));
    assert!(!secret(&hidden.out, "response=") && !secret(&hidden.out, "inline:"), "{}", hidden.out);
    assert!(secret(&shown.out, "response=") && secret(&shown.out, "inline:"), "{}", shown.out);
    assert!(!shown.out.contains(PASSWORD));
}

#[test]
fn a_recording_is_bounded_and_can_be_off() {
    let home = Home::new();
    call(&home, &["--trace-entries", "4", "--trace-keep", "1"]);
    let first = home.run(&["trace", "list", "--json"]).objects();
    let count = |head: &Value| head["messages"].as_u64().unwrap() + head["notes"].as_u64().unwrap();
    assert_eq!(count(&first[0]), 4, "{first:?}");
    assert!(first[0]["dropped"]["messages"].as_u64().unwrap() > 2, "{first:?}");
    let shown = home.run(&["trace", "show", "last"]).out;
    assert!(shown.contains("left out for want of room"), "{shown}");
    call(&home, &["--trace-keep", "1", "--no-register"]);
    let second = home.run(&["trace", "list", "--json"]).objects();
    let calls: Vec<_> = second.iter().filter(|head| head["subject"]["call"].is_string()).collect();
    assert_eq!(calls.len(), 1, "{second:?}");
    assert_ne!(calls[0]["subject"], first[0]["subject"]);

    let home = Home::new();
    call(&home, &["--no-trace"]);
    assert!(!home.path("calls.traces").exists());
    let none = home.run(&["trace", "show", "last"]);
    assert_eq!(none.code, 8, "{none:?}");
    assert!(none.err.contains("there are no traces in"), "{}", none.err);
    assert_eq!(home.run(&["trace", "list"]).out, "no traces\n");
}

#[test]
fn a_registration_that_fails_is_recorded() {
    let (domain, home) = (Domain::start(), Home::new());
    let aor = domain.aor("ann");
    let mut command = home.command(&["register", "--aor", &aor, "--once"]);
    command.env("SIDETONE_PASSWORD", "wrong");
    assert_eq!(Running::start(&mut command).finish().code, 4);
    for name in ["registration:ann", &format!("registration:{aor}")] {
        let shown = home.run(&["trace", "show", name]);
        assert_eq!(shown.code, 0, "{shown:?}");
        assert!(shown.out.contains("REGISTER sip:") && shown.out.matches("SIP/2.0 401").count() == 2, "{}", shown.out);
    }
    let unknown = home.run(&["trace", "show", "registration:zoe"]);
    assert!(unknown.code == 8 && unknown.err.contains("trace list"), "{unknown:?}");
}

#[test]
fn an_encrypted_call_is_recorded_decrypted() {
    let (ours, theirs) = (Home::new(), Home::new());
    // An address of its own, so that TLS has its usual port.
    let pid = std::process::id();
    let host = |last: u8| format!("127.88.{}.{last}", pid % 250 + 1);
    let (us, them) = (host(10), host(20));
    let certified = rcgen::generate_simple_self_signed(vec![them.clone()]).unwrap();
    std::fs::write(ours.path("ca.pem"), certified.cert.pem()).unwrap();
    std::fs::write(ours.path("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    let (ca, key, bind) = (ours.text("ca.pem"), ours.text("key.pem"), format!("{them}:5060"));
    let mut bob = theirs.start(&[
        "answer",
        "--no-register",
        "--bind",
        &bind,
        "--tls-cert",
        &ca,
        "--tls-key",
        &key,
        "--source",
        "tone:500",
        "--sink",
        "null",
        "--max-calls",
        "1",
    ]);
    bob.expect("phone.ready");
    let target = format!("sip:bob@{them};transport=tls");
    let arguments = [
        "call",
        &target,
        "--no-register",
        "--bind",
        &us,
        "--tls-ca",
        &ca,
        "--source",
        "tone:400",
        "--sink",
        "null",
        "--duration",
        "1",
    ];
    let called = ours.run(&arguments);
    assert_eq!(called.code, 0, "{called:?}");
    let shown = ours.run(&["trace", "show", "last"]).out;
    assert!(shown.contains("sent TLS") && shown.contains(&format!("-> {them}:5061")), "{shown}");
    let capture = ours.path("tls.pcapng");
    assert_eq!(ours.run(&["trace", "export", "last", "--pcapng", capture.to_str().unwrap()]).code, 0);
    let Some(rows) = tshark(&capture, &[], &["_ws.col.Protocol", "tcp.dstport", "frame.comment"]) else { return };
    assert!(rows.len() >= 5 && rows.iter().all(|row| row[0].starts_with("SIP") || row[0] == "RTCP"), "{rows:?}");
    assert!(rows[0][1] == "5060" && rows[0][2].contains("sent over TLS"), "{rows:?}");
}

/// The chunks of a HEP3 packet: type and value.
fn chunks(packet: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let number = |octets: &[u8]| u16::from_be_bytes(octets.try_into().unwrap());
    assert_eq!(&packet[..4], b"HEP3");
    assert_eq!(usize::from(number(&packet[4..6])), packet.len());
    let (mut chunks, mut rest) = (Vec::new(), &packet[6..]);
    while !rest.is_empty() {
        assert_eq!(number(&rest[..2]), 0, "the vendor");
        let length = usize::from(number(&rest[4..6]));
        chunks.push((number(&rest[2..4]), rest[6..length].to_vec()));
        rest = &rest[length..];
    }
    chunks
}

#[test]
fn a_collector_gets_every_message_without_secrets() {
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    collector.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let address = collector.local_addr().unwrap();
    let home = Home::new();
    // With one codec and by UDP every message fits a datagram (RFC 3261 section 18.1.1).
    let flags = ["--srtp", "required", "--codec", "pcmu", "--transport", "udp", "--no-trace"];
    call(&home, &[&["--hep", &address.to_string(), "--hep-id", "2026"], &flags[..]].concat());
    let mut buffer = vec![0; 65_535];
    let mut packets = Vec::new();
    while let Ok(length) = collector.recv(&mut buffer) {
        packets.push(buffer[..length].to_vec());
    }
    let mut story = Vec::new();
    for packet in &packets {
        let chunks = chunks(packet);
        let value = |kind: u16| chunks.iter().find(|(found, _)| *found == kind).map(|(_, value)| value.as_slice());
        assert_eq!((value(1), value(11)), (Some(&[2][..]), Some(&[1][..])));
        assert_eq!(value(2), Some(&[17][..]), "{chunks:?}");
        assert_eq!(value(12), Some(&2026_u32.to_be_bytes()[..]));
        assert_eq!((value(3), value(4)), (Some(&[127, 0, 0, 1][..]), Some(&[127, 0, 0, 1][..])));
        let text = String::from_utf8(value(15).unwrap().to_vec()).unwrap();
        let call_id = String::from_utf8(value(17).unwrap().to_vec()).unwrap();
        assert!(text.contains(&call_id), "{text}");
        for secret in ["inline:", "response=\""] {
            assert!(text.split(secret).skip(1).all(|rest| rest.starts_with('x')), "{text}");
        }
        let first = text.lines().next().unwrap().to_owned();
        story.push(first.split(' ').take(2).collect::<Vec<_>>().join(" "));
    }
    for wanted in
        ["REGISTER sip:", "SIP/2.0 401", "INVITE sip:bob", "SIP/2.0 407", "SIP/2.0 180", "SIP/2.0 200", "BYE sip:"]
    {
        assert!(story.iter().any(|first| first.starts_with(wanted)), "{wanted}: {story:?}");
    }
    assert!(!home.path("calls.traces").exists());
}

#[test]
fn what_belongs_to_no_call_is_kept_too() {
    let (domain, home) = (Domain::start(), Home::new());
    // A text to somebody who is not there, and pings.
    let aor = domain.aor("ann");
    let sent = home.run(&["message", "nobody", "hello", "--aor", &aor]);
    assert_eq!(sent.code, 3, "{sent:?}");
    let listed = home.run(&["trace", "list"]);
    assert!(listed.out.contains("  outside  ") && listed.out.contains("registration:"), "{}", listed.out);
    let shown = home.run(&["trace", "show", "outside"]).out;
    assert!(shown.contains("MESSAGE sip:nobody@") && shown.contains("SIP/2.0 404"), "{shown}");
    assert!(home.run(&["trace", "ladder", "outside"]).out.contains("404 Not Found (MESSAGE)"));
    let capture = home.path("outside.pcapng");
    let exported = home.run(&["trace", "export", "outside", "--pcapng", capture.to_str().unwrap()]);
    assert_eq!(exported.code, 0, "{exported:?}");
    let Some(rows) = tshark(&capture, &[], &["sip.Method", "sip.Status-Code"]) else { return };
    assert_eq!(rows[0][0], "MESSAGE", "{rows:?}");
    let none = Home::new().run(&["trace", "show", "outside"]);
    assert!(none.code == 8 && none.err.contains("there are no traces"), "{none:?}");
}

#[test]
fn the_file_says_what_is_recorded() {
    let (domain, home, theirs) = (Domain::start(), Home::new(), Home::new());
    let bob = domain.bob(&theirs, &["--max-calls", "3"]);
    let config = home.text("config.toml");
    let calls = |lines: &str, more: &[&str]| {
        std::fs::write(&config, format!("[phone]\n{lines}")).unwrap();
        let flags = [&["--config", &config, "--duration", "0.5"], more].concat();
        let ann = domain.ann_calls(&home, &flags).finish();
        assert_eq!(ann.code, 0, "{ann:?}");
    };
    calls("trace = false\n", &[]);
    assert!(!home.path("calls.traces").exists(), "off");
    calls("trace_entries = 4\n", &[]);
    let first = home.run(&["trace", "list", "--json"]).objects().remove(0);
    assert_eq!(first["messages"].as_u64().unwrap() + first["notes"].as_u64().unwrap(), 4, "{first}");
    calls("trace_entries = 4\n", &["--trace-entries", "400"]);
    let second = home.run(&["trace", "list", "--json"]).objects().remove(0);
    assert!(second["messages"].as_u64().unwrap() > 5, "a flag over the file: {second}");
    drop(bob);
}
