//! Real session descriptions, read where they lie: facts per `m=` line, verdicts per file.

use sidetone::call::negotiate::{Local, Negotiation, SrtpPolicy, fuzz_negotiation};
use sidetone::media::dtls::{Fingerprint, Hash};
use sidetone::media::plan::{Codec, Direction, Plan, TelephoneEvent};
use sidetone::random::Random;
use sidetone::sdp::{Address, Session, fuzz_sdp};
use std::fs;
use std::path::PathBuf;

/// The folder of shared test data, if it is there.
fn vectors(folder: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("SIDETONE_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = shared.join("vectors").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {} is not there; SIDETONE_SHARED names the folder that holds vectors/", path.display());
    None
}

fn files(folder: &PathBuf, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == extension))
        .collect();
    files.sort();
    files
}

fn name(path: &std::path::Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// The body of a SIP message: what follows its empty line.
fn body(message: &[u8]) -> &[u8] {
    let at = message.windows(4).position(|window| window == b"\r\n\r\n").map_or(message.len(), |at| at + 4);
    &message[at..]
}

/// The `rtpmap` attributes as the table has them: static numbers without one are not in it.
fn rtpmaps(session: &Session, index: usize) -> String {
    let media = &session.media[index];
    let said = |number: u8| {
        media.attributes.iter().any(|attribute| {
            let value = attribute.value.as_deref().unwrap_or("");
            attribute.is("rtpmap") && value.split(' ').next() == Some(&number.to_string())
        })
    };
    // The table has them in the order of the attributes.
    let mut maps: Vec<(usize, String)> = media
        .formats()
        .iter()
        .filter(|format| said(format.payload_type))
        .map(|format| {
            let channels = format.channels.map(|channels| format!("/{channels}")).unwrap_or_default();
            let text = format!("{} {}/{}{channels}", format.payload_type, format.name, format.clock_rate);
            let place = media.attributes.iter().position(|attribute| {
                attribute.is("rtpmap") && attribute.value.as_deref().is_some_and(|value| value == text)
            });
            (place.unwrap(), text)
        })
        .collect();
    maps.sort();
    let maps: Vec<String> = maps.into_iter().map(|(_, text)| text).collect();
    if maps.is_empty() { "-".into() } else { maps.join(";") }
}

#[test]
fn every_description_says_what_the_table_says() {
    let Some(folder) = vectors("sdp") else { return };
    let table = fs::read_to_string(folder.join("expected.tsv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    let mut streams = 0;
    for path in files(&folder, "sdp") {
        let octets = fs::read(&path).unwrap();
        let session = Session::parse(&octets).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let expected: Vec<&Vec<&str>> = rows.iter().filter(|row| row[0] == name(&path)).collect();
        assert_eq!(session.media.len(), expected.len(), "{}", path.display());
        for (index, (media, row)) in session.media.iter().zip(expected).enumerate() {
            let count = |name: &str| media.attributes.iter().filter(|attribute| attribute.is(name)).count().to_string();
            let ports = media.ports.map(|ports| format!("/{ports}")).unwrap_or_default();
            let found = [
                name(&path),
                index.to_string(),
                media.kind.clone(),
                format!("{}{ports}", media.port),
                media.protocol.clone(),
                media.formats.join(" "),
                session.connection_of(media).map_or("-".into(), |connection| connection.value.clone()),
                session.direction_of(media).unwrap_or("sendrecv").to_owned(),
                count("crypto"),
                count("candidate"),
                rtpmaps(&session, index),
            ];
            assert_eq!(found.as_slice(), row.as_slice());
            assert_eq!(media.cryptos().len().to_string(), found[8]);
            streams += 1;
        }
        fuzz_sdp(&octets);
        fuzz_negotiation(&octets);
    }
    assert_eq!(streams, rows.len(), "rows without a file");
}

/// What an answer comes to: `refused: <status> <warn-code>` or the codec, payload type, direction, suite (or `DTLS` and
/// our role) and stream.
fn verdict(octets: &[u8], policy: SrtpPolicy, at: &str) -> (String, Option<Plan>) {
    let random = &mut Random::from_seed(3);
    let mut local = Local::new(at.parse().unwrap());
    local.srtp = policy;
    local.fingerprint = Some(Fingerprint::of(Hash::Sha256, b"certificate"));
    local.ice = true;
    match Negotiation::new(local, random).answer(octets, random) {
        Err(rejected) => {
            let warning = rejected.warning().unwrap();
            (format!("{} {}", rejected.status(), &warning[..3]), None)
        }
        Ok((answer, agreement)) => {
            let ours = Session::parse(&answer).unwrap();
            let offer = Session::parse(octets).unwrap();
            assert_eq!(ours.media.len(), offer.media.len(), "one answer per stream");
            for (ours, theirs) in ours.media.iter().zip(&offer.media) {
                assert_eq!((&ours.kind, &ours.protocol), (&theirs.kind, &theirs.protocol));
                assert!(ours.formats.iter().all(|format| theirs.formats.contains(format)));
            }
            let stream = ours.media.iter().position(|media| media.port != 0).unwrap();
            let plan = agreement.plan;
            let suite = match (&plan.srtp, &plan.dtls) {
                (Some(srtp), _) => srtp.suite.name().to_owned(),
                (None, Some(dtls)) => format!("DTLS-{:?}", dtls.role),
                (None, None) => "plain".to_owned(),
            };
            let encoding = plan.encoding;
            let direction = plan.direction.attribute();
            (format!("{} {} {direction} {suite} {stream}", encoding.codec, encoding.payload_type), Some(plan))
        }
    }
}

const V4: &str = "192.0.2.1:4000";
const V6: &str = "[2001:db8::1]:4000";

#[test]
fn every_description_gets_its_answer() {
    use SrtpPolicy::{Off, Optional, Required};
    let Some(folder) = vectors("sdp") else { return };
    let expected: [(&str, SrtpPolicy, &str, &str); 28] = [
        ("rtpengine-answer-bundle-webrtc.sdp", Off, V4, "488 301"),
        ("rtpengine-answer-bundle-webrtc.sdp", Off, V6, "opus 114 sendrecv plain 0"),
        ("rtpengine-hold-sendonly.sdp", Off, V4, "PCMA 8 recvonly plain 0"),
        ("rtpengine-ice-offer.sdp", Off, V4, "PCMU 0 sendrecv plain 0"),
        ("rtpengine-ims-precondition-amr.sdp", Off, V4, "G722 9 sendrecv plain 0"),
        ("rtpengine-many-session-lines.sdp", Off, V4, "PCMA 8 sendrecv plain 0"),
        // The SAVP stream is offered with AEAD_AES_256_GCM; the AVP stream beside it is for who cannot.
        ("rtpengine-osrtp-duplicate-mid.sdp", Off, V4, "G722 9 sendrecv plain 1"),
        ("rtpengine-osrtp-duplicate-mid.sdp", Optional, V4, "G722 9 sendrecv AEAD_AES_256_GCM 0"),
        ("rtpengine-osrtp-duplicate-mid.sdp", Required, V4, "G722 9 sendrecv AEAD_AES_256_GCM 0"),
        ("rtpengine-sdes-four-suites.sdp", Off, V4, "488 302"),
        ("rtpengine-sdes-four-suites.sdp", Optional, V4, "PCMU 0 sendrecv AES_CM_128_HMAC_SHA1_80 0"),
        ("rtpengine-sdes-four-suites.sdp", Required, V4, "PCMU 0 sendrecv AES_CM_128_HMAC_SHA1_80 0"),
        ("rtpengine-t38-offer.sdp", Off, V4, "488 304"),
        ("sdptransform-bfcp.sdp", Off, V4, "G722 9 sendrecv plain 0"),
        ("sdptransform-icelite.sdp", Optional, V4, "PCMU 0 sendrecv DTLS-Client 0"),
        ("sdptransform-jsep.sdp", Optional, V4, "opus 96 sendrecv DTLS-Client 0"),
        ("sdptransform-normal.sdp", Off, V4, "488 302"),
        ("sdptransform-onvif.sdp", Off, V4, "488 304"),
        ("sdptransform-rtcp-fb.sdp", Off, V4, "opus 96 sendrecv plain 0"),
        ("sdptransform-tcp-active.sdp", Off, V4, "488 304"),
        ("sipsorcery-bria4.sdp", Off, V4, "PCMU 0 sendrecv plain 0"),
        ("sipsorcery-chrome-audio-video.sdp", Off, V4, "488 302"),
        ("sipsorcery-firefox84.sdp", Off, V4, "488 304"),
        ("sipsorcery-officemaster-t38.sdp", Off, V4, "488 304"),
        ("sofia-message-2.sdp", Off, V4, "488 330"),
        ("sofia-message-9.sdp", Off, V4, "488 330"),
        ("webrtcsdp-12.sdp", Required, V4, "opus 109 sendrecv DTLS-Client 0"),
        ("webrtcsdp-13.sdp", Off, V4, "488 304"),
    ];
    for path in files(&folder, "sdp") {
        assert!(expected.iter().any(|row| row.0 == name(&path)), "{} has no verdict", path.display());
    }
    let mut wrong = Vec::new();
    for (file, policy, at, verdict_expected) in expected {
        let found = verdict(&fs::read(folder.join(file)).unwrap(), policy, at).0;
        if found != verdict_expected {
            wrong.push(format!("{file} {policy}: {found}, not {verdict_expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let octets = fs::read(folder.join("rtpengine-answer-bundle-webrtc.sdp")).unwrap();
    let plan = verdict(&octets, Off, V6).1.unwrap();
    assert!(plan.rtcp_mux && plan.remote_rtcp == plan.remote_rtp && plan.encoding.opus.fec);
    assert_eq!(plan.send_event, Some(TelephoneEvent { payload_type: 110, clock_rate: 48_000 }));
    let octets = fs::read(folder.join("rtpengine-ims-precondition-amr.sdp")).unwrap();
    let plan = verdict(&octets, Off, V4).1.unwrap();
    assert_eq!(plan.remote_rtcp, "10.42.44.243:30323".parse::<std::net::SocketAddr>().unwrap());
    assert_eq!(plan.receive_events, [TelephoneEvent { payload_type: 100, clock_rate: 8_000 }]);
    assert_eq!(plan.receive, [(9, Codec::G722), (0, Codec::Pcmu), (8, Codec::Pcma)]);
}

#[test]
fn bodies_of_real_messages_get_their_answer() {
    use SrtpPolicy::{Off, Required};
    let Some(folder) = vectors("sip-messages") else { return };
    let expected: [(&str, SrtpPolicy, &str, &str); 21] = [
        ("asterisk11-reinvite-direct-media.sip", Off, V4, "PCMU 0 sendrecv plain 0"),
        ("asterisk16-200-invite.sip", Off, V4, "PCMU 0 sendrecv plain 0"),
        ("audiocodes-invite-100rel.sip", Off, V4, "PCMA 8 sendrecv plain 0"),
        ("cisco-ios-invite-tel-uri.sip", Off, V4, "PCMU 0 sendrecv plain 0"),
        ("ekiga-invite-audio-video.sip", Off, V4, "PCMA 8 sendrecv plain 0"),
        ("eyebeam-invite-h263.sip", Off, V4, "PCMA 8 sendrecv plain 0"),
        ("freeswitch16-200-pcmu.sip", Off, V4, "PCMU 0 recvonly plain 0"),
        ("ipv6-183-reliable.sip", Off, V6, "488 305"),
        ("ipv6-invite-evrc-prack.sip", Off, V6, "PCMU 0 sendrecv plain 0"),
        ("linphone-invite-port0.sip", Off, V4, "488 304"),
        ("nec-dect-200-late-offer.sip", Off, V4, "PCMU 0 sendrecv plain 0"),
        ("polycom-invite.sip", Off, V4, "PCMU 0 sendrecv plain 0"),
        // The first suite is unknown: tag 2 has to be taken.
        ("sdes-invite-unknown-suite-first.sip", Required, V4, "PCMU 0 sendrecv AES_CM_128_HMAC_SHA1_80 0"),
        ("sdes-invite-unknown-suite-first.sip", Off, V4, "488 302"),
        ("siphone-compact-form.sip", Off, V4, "PCMU 0 sendrecv plain 0"),
        ("t38-reinvite-udptl.sip", Off, V4, "488 304"),
        ("tcp-invite-many-codecs.sip", Off, V4, "opus 111 sendrecv plain 0"),
        ("twilio-invite-jambonz.sip", Off, V4, "PCMU 0 sendrecv plain 0"),
        ("utstarcom-invite-diversion.sip", Off, V4, "PCMU 0 sendrecv plain 0"),
        ("xlite4-invite-digest-ilbc.sip", Off, V4, "PCMU 0 sendrecv plain 0"),
        ("zoiper-invite-auth.sip", Off, V4, "PCMU 0 sendrecv plain 0"),
    ];
    let table = fs::read_to_string(folder.join("expected.tsv")).unwrap();
    let header: Vec<&str> = table.lines().next().unwrap().split('\t').collect();
    let column = header.iter().position(|name| *name == "sdp_media").unwrap();
    for row in table.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>()) {
        let octets = fs::read(folder.join(row[0])).unwrap();
        fuzz_negotiation(body(&octets));
        let Ok(session) = Session::parse(body(&octets)) else {
            assert_eq!(row[column], "-", "{}", row[0]);
            continue;
        };
        assert!(expected.iter().any(|known| known.0 == row[0]), "{} has no verdict", row[0]);
        let media = &session.media[0];
        let first = format!("{} {} {} {}", media.kind, media.port, media.protocol, media.formats.join(" "));
        // The dissector found no body behind the compact header names of one message.
        let unseen = row[column] == "-" && row[0] == "siphone-compact-form.sip";
        assert!(unseen || row[column].starts_with(&first), "{}: {first} is not {}", row[0], row[column]);
    }
    for (file, policy, at, verdict_expected) in expected {
        let octets = fs::read(folder.join(file)).unwrap();
        assert_eq!(verdict(body(&octets), policy, at).0, verdict_expected, "{file} {policy}");
    }
    let twilio = fs::read(folder.join("twilio-invite-jambonz.sip")).unwrap();
    let plan = verdict(body(&twilio), Off, V4).1.unwrap();
    assert_eq!(plan.remote_rtcp.port(), 49_765);
    assert_eq!(plan.send_event, Some(TelephoneEvent { payload_type: 101, clock_rate: 8_000 }));
    let ekiga = fs::read(folder.join("ekiga-invite-audio-video.sip")).unwrap();
    assert!(verdict(body(&ekiga), Off, V4).1.unwrap().send_event.is_some(), "0-16,32,36 has the digits");
    let nec = fs::read(folder.join("nec-dect-200-late-offer.sip")).unwrap();
    assert_eq!(verdict(body(&nec), Off, V4).1.unwrap().encoding.packet_time.as_millis(), 30);
    let held = fs::read(folder.join("freeswitch16-200-pcmu.sip")).unwrap();
    assert_eq!(verdict(body(&held), Off, V4).1.unwrap().direction, Direction::RecvOnly);
}

#[test]
fn bodies_of_torture_messages_are_read() {
    let Some(folder) = vectors("sip-torture") else { return };
    let mut read = 0;
    for path in files(&folder, "dat") {
        let octets = fs::read(&path).unwrap();
        fuzz_sdp(body(&octets));
        fuzz_negotiation(body(&octets));
        read += usize::from(Session::parse(body(&octets)).is_ok());
    }
    assert!(read > 10, "{read}");
    let Some(folder) = vectors("sip-torture-ipv6") else { return };
    let octets = fs::read(folder.join("ipv6-in-sdp.sip")).unwrap();
    let session = Session::parse(body(&octets)).unwrap();
    assert!(
        session.media.iter().all(|media| matches!(session.address_of(media), Ok(Address::Unicast(ip)) if ip.is_ipv6()))
    );
    assert_eq!(verdict(body(&octets), SrtpPolicy::Off, V6).0, "488 305", "G726-32 only");
}
