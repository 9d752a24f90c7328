//! Captured messages of many implementations against what another dissector read in them; round trips; mutations.

mod shared;

use shared::damage::{damage, seeds};
use sidetone::random::Random;
use sidetone::sip::header::Name;
use sidetone::sip::message::Message;
use sidetone::sip::wire::{self, Limits, Stream, StreamItem, parse_datagram};
use std::collections::HashMap;

fn read(file: &str, octets: &[u8]) -> Message {
    parse_datagram(octets).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What a row of `expected.tsv` says of the header.
fn facts(message: &Message) -> HashMap<&'static str, String> {
    let headers = message.headers();
    let (from, to, via) = (headers.from().unwrap(), headers.to().unwrap(), headers.top_via().unwrap());
    let cseq = headers.cseq().unwrap();
    let or_dash = |value: Option<&str>| value.unwrap_or("-").to_owned();
    let mut facts = HashMap::from([
        ("call_id", headers.call_id().unwrap().to_owned()),
        ("cseq", cseq.number.to_string()),
        ("cseq_method", cseq.method.to_string()),
        ("from_uri", from.uri.to_string()),
        ("from_tag", or_dash(from.tag())),
        ("to_uri", to.uri.to_string()),
        ("to_tag", or_dash(to.tag())),
        ("via_count", headers.vias().unwrap().len().to_string()),
        ("top_via_transport", via.transport.clone()),
        ("top_via_host", via.host.to_string().trim_matches(['[', ']']).to_owned()),
        ("top_via_branch", or_dash(via.branch())),
        ("max_forwards", headers.max_forwards().map_or("-".into(), |left| left.to_string())),
        ("content_type", headers.content_type().unwrap_or("-".into())),
        ("content_length", or_dash(headers.get(&Name::ContentLength))),
    ]);
    let contact = headers.contacts().unwrap().first().map(|contact| contact.uri.to_string());
    facts.insert("first_contact_uri", contact.unwrap_or("-".into()));
    match message {
        Message::Request(request) => {
            facts.insert("method", request.method.to_string());
            facts.insert("status", "-".into());
            facts.insert("request_uri", request.uri.to_string());
        }
        Message::Response(response) => {
            facts.insert("method", "response".into());
            facts.insert("status", response.status.to_string());
            facts.insert("request_uri", "-".into());
        }
    }
    facts
}

#[test]
fn captured_messages_read_as_expected() {
    let Some(folder) = shared::vectors("sip-messages") else { return };
    let rows = shared::table(&folder.join("expected.tsv"));
    let mut named: Vec<&str> = rows.iter().map(|row| row["file"].as_str()).collect();
    named.sort();
    assert_eq!(named, shared::files(&folder, "sip"), "the table names every file");
    for row in rows {
        let file = row["file"].as_str();
        let octets = shared::octets(&folder.join(file));
        let message = read(file, &octets);
        let facts = facts(&message);
        for (name, fact) in &facts {
            assert_eq!(fact, &row[*name], "{file}: {name}");
        }
        for name in row.keys().filter(|name| !matches!(name.as_str(), "file" | "octets_after_header" | "sdp_media")) {
            assert!(facts.contains_key(name.as_str()), "column {name} is not checked");
        }
        // The body is what follows the header, up to Content-Length.
        let after: usize = row["octets_after_header"].parse().unwrap();
        let length = row["content_length"].parse().unwrap_or(after);
        assert_eq!(message.body()[..], octets[octets.len() - after..][..length.min(after)], "{file}");
        survives_a_round_trip(file, &octets, &message);
    }
}

#[test]
fn messages_of_the_rfcs_read() {
    let Some(folder) = shared::vectors("callflows") else { return };
    let rows = shared::table(&folder.join("index.tsv"));
    let mut named: Vec<&str> = rows.iter().map(|row| row["file"].as_str()).collect();
    named.sort();
    assert_eq!(named, shared::files(&folder, "sip"), "the index names every file");
    for file in named {
        let octets = shared::octets(&folder.join(file));
        survives_a_round_trip(file, &octets, &read(file, &octets));
    }
}

/// Writing and reading again changes nothing, as a datagram and on a stream.
fn survives_a_round_trip(file: &str, octets: &[u8], message: &Message) {
    let written = message.to_bytes();
    let again = read(file, &written);
    assert_eq!(again.body(), message.body(), "{file}");
    assert_eq!(again.to_bytes(), written, "{file}");
    let fields = |message: &Message| -> Vec<(String, Vec<u8>)> {
        let fields = message.headers().iter().filter(|header| header.name != Name::ContentLength);
        fields.map(|header| (header.name.to_string(), header.value.as_bytes().to_vec())).collect()
    };
    assert_eq!(fields(&again), fields(message), "{file}");
    if let (Message::Response(one), Message::Response(two)) = (message, &again) {
        assert_eq!((&one.reason, one.status), (&two.reason, two.status), "{file}");
    }
    // Each value, but for white space around folds and commas, stands in the octets that were read.
    for (name, value) in fields(message) {
        let squeeze = |octets: &[u8]| -> Vec<u8> {
            octets.iter().copied().filter(|octet| !matches!(octet, b' ' | b'\t' | b'\r' | b'\n')).collect()
        };
        let (needle, hay) = (squeeze(&value), squeeze(octets));
        assert!(needle.is_empty() || hay.windows(needle.len()).any(|part| part == needle), "{file}: {name}");
    }
    let mut stream = Stream::new(Limits::default());
    stream.push(&written);
    assert_eq!(stream.next(), Some(Ok(StreamItem::Message(again))), "{file}");
    assert_eq!(stream.next(), None);
}

// --- our own messages ---

const INVITE: &str = "INVITE sip:+4930123456@carrier.example;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/UDP 198.51.100.7:5060;rport;branch=z9hG4bKa1, SIP/2.0/TCP [2001:db8::1]:5061;branch=z9hG4bKa2\r\n\
    Record-Route: <sip:p1.example;lr>,<sip:p2.example;lr>\r\nMax-Forwards: 70\r\n\
    From: \"Ann \\\"A\\\" Example\" <sip:ann@example.com>;tag=abc\r\nt: <sip:+4930123456@carrier.example>\r\n\
    Call-ID: 1@198.51.100.7\r\nCSeq: 1 INVITE\r\nm: <sip:ann@198.51.100.7:5060;transport=udp>\r\n\
    Allow: INVITE, ACK, BYE, CANCEL\r\nX-Private: kept, as it is\r\nc: application/sdp\r\nContent-Length: 4\r\n\r\n\0\u{1}\r\n";

const RESPONSE: &str = "SIP/2.0 407 Erst anmelden, bitte\r\nv: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKb1\r\n\
    f: sip:ann@example.com;tag=abc\r\nt: <sip:bob@example.com>;tag=def\r\ni: 2\r\nCSeq: 1 REGISTER\r\n\
    Proxy-Authenticate: Digest realm=\"a, b\", nonce=\"c\",\r\n\tqop=\"auth,auth-int\"\r\nl: 0\r\n\r\n";

#[test]
fn own_messages_survive_a_round_trip() {
    for octets in [INVITE, RESPONSE] {
        survives_a_round_trip(octets, octets.as_bytes(), &read(octets, octets.as_bytes()));
    }
    let invite = facts(&read("INVITE", INVITE.as_bytes()));
    for (name, fact) in [
        ("method", "INVITE"),
        ("request_uri", "sip:+4930123456@carrier.example;user=phone"),
        ("via_count", "2"),
        ("top_via_branch", "z9hG4bKa1"),
        ("from_tag", "abc"),
        ("to_tag", "-"),
        ("first_contact_uri", "sip:ann@198.51.100.7:5060;transport=udp"),
        ("content_type", "application/sdp"),
    ] {
        assert_eq!(invite[name], fact, "{name}");
    }
    let response = read("407", RESPONSE.as_bytes());
    let challenges = response.headers().challenges(&Name::ProxyAuthenticate);
    assert!(challenges.len() == 1 && challenges[0].realm == "a, b" && challenges[0].auth_int);
}

/// A hundred thousand damaged messages: the fuzzer's promises hold for each.
#[test]
fn mutated_messages_break_no_promise() {
    let folders = [("sip-messages", "sip"), ("sip-torture", "dat"), ("sip-torture-ipv6", "sip"), ("callflows", "sip")];
    let seeds = seeds(&[INVITE.as_bytes(), RESPONSE.as_bytes()], &folders);
    for seed in &seeds {
        wire::fuzz(seed);
    }
    let mut random = Random::from_seed(0x51D3);
    for round in 0..100_000u64 {
        let pick = |random: &mut Random| &seeds[random.range(0, seeds.len() as u64) as usize];
        let mut octets = pick(&mut random).clone();
        // The header is where the parsing is.
        octets.truncate(900);
        for _ in 0..random.range(1, 5) {
            let other = pick(&mut random);
            damage(&mut octets, other, &mut random);
        }
        if let Err(panic) = std::panic::catch_unwind(|| wire::fuzz(&octets)) {
            println!("round {round}: {}", String::from_utf8_lossy(&octets));
            std::panic::resume_unwind(panic);
        }
    }
}

/// Reading takes time in proportion to the length. Sixty-six messages of the worst shapes that fit a datagram take a
/// tenth of a second, and minutes if anything were quadratic.
#[test]
#[expect(clippy::disallowed_methods, reason = "the time that reading takes is what is tested")]
fn long_values_take_linear_time() {
    let fields = "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n";
    let start = std::time::Instant::now();
    for filler in ["\"", "<", ";a", ";a=\"", ",", "\\", "X: \r\n ", "%41", "\"\\", "<,", "a=b;"] {
        for field in ["Contact: ", "Contact: <sip:h", "Via: ", "X: ", "From: ", "To: \""] {
            let long = filler.repeat(60_000 / filler.len());
            let text = format!("OPTIONS sip:h SIP/2.0\r\n{fields}{field}{long}\r\nContent-Length: 0\r\n\r\n");
            wire::fuzz(text.as_bytes());
        }
    }
    println!("took {:?}", start.elapsed());
    assert!(start.elapsed().as_secs() < 10, "took {:?}", start.elapsed());
}
