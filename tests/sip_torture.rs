//! The torture messages of RFC 4475 and RFC 5118: one verdict for each file.

mod shared;

use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Method, Request, Response, Status};
use sidetone::sip::wire::{Limits, Malformed, Stream, parse_datagram};

/// What the parser says of a file: `accept`, or the status of the stateless answer.
const RFC4475: &[(&str, &str)] = &[
    ("wsinv.dat", "accept"),
    ("intmeth.dat", "accept"),
    ("esc01.dat", "accept"),
    ("escnull.dat", "accept"),
    ("esc02.dat", "accept"),
    ("lwsdisp.dat", "accept"),
    ("longreq.dat", "accept"),
    ("dblreq.dat", "accept"),
    ("unreason.dat", "accept"),
    ("badinv01.dat", "400"),
    ("clerr.dat", "400"),
    ("ncl.dat", "400"),
    ("scalar02.dat", "400"),
    ("quotbal.dat", "400"),
    ("ltgtruri.dat", "400"),
    ("lwsruri.dat", "400"),
    ("trws.dat", "400"),
    ("escruri.dat", "400"),
    ("baddate.dat", "accept"),
    ("badaspec.dat", "400"),
    ("badvers.dat", "505"),
    ("mismatch01.dat", "400"),
    ("badbranch.dat", "accept"),
    ("insuf.dat", "400"),
    ("unkscm.dat", "accept"),
    ("novelsc.dat", "accept"),
    ("bext01.dat", "accept"),
    ("invut.dat", "accept"),
    ("regaut01.dat", "accept"),
    ("multi01.dat", "400"),
    ("bcast.dat", "accept"),
    ("zeromf.dat", "accept"),
    ("cparam01.dat", "accept"),
];

fn verdict(octets: &[u8]) -> String {
    match parse_datagram(octets) {
        Ok(message) => {
            let written = message.to_bytes();
            let again = parse_datagram(&written).expect("what was written reads");
            assert_eq!(again.to_bytes(), written);
            "accept".into()
        }
        Err(malformed) => malformed.fault.status().to_string(),
    }
}

#[test]
fn rfc4475_verdicts() {
    let Some(folder) = shared::vectors("sip-torture") else { return };
    let rows = shared::table(&folder.join("rfc4475.tsv"));
    let mut named: Vec<&str> = rows.iter().map(|row| row["file"].as_str()).collect();
    named.sort();
    assert_eq!(named, shared::files(&folder, "dat"), "the table names every file");
    assert_eq!(rows.len(), RFC4475.len(), "every row has a verdict here");
    for row in rows {
        let file = row["file"].as_str();
        let (_, expected) = RFC4475.iter().find(|(name, _)| *name == file).expect(file);
        let octets = shared::octets(&folder.join(file));
        let seen = verdict(&octets);
        assert_eq!(seen, *expected, "{file}");
        // Our verdict has to be one that the table allows.
        if row["parser"] == "accept" {
            assert_eq!(seen, "accept", "{file}: {}", row["notes"]);
        } else if seen != "accept" {
            assert!(row["ua_result"].starts_with(&seen), "{file}: {} is asked for", row["ua_result"]);
            let source = "192.0.2.99:5060".parse().unwrap();
            let reply = parse_datagram(&octets).unwrap_err().reply(source, "t").map(|reply| reply.to_bytes());
            let reply = String::from_utf8(reply.expect(file)).unwrap();
            assert!(reply.starts_with(&format!("SIP/2.0 {seen} ")), "{file}: {reply}");
            assert!(reply.contains("\r\nVia: SIP/2.0/"), "{file}: {reply}");
        }
    }
}

#[test]
fn rfc5118_verdicts() {
    let Some(folder) = shared::vectors("sip-torture-ipv6") else { return };
    let rows = shared::table(&folder.join("rfc5118.tsv"));
    let mut named: Vec<&str> = rows.iter().map(|row| row["file"].as_str()).collect();
    named.sort();
    assert_eq!(named, shared::files(&folder, "sip"), "the table names every file");
    for row in rows {
        let file = row["file"].as_str();
        assert_eq!(verdict(&shared::octets(&folder.join(file))), row["parser"], "{file}");
        // The archive form has bare line feeds; where its Content-Length fits them it is read too.
        let archive = folder.join(file).with_extension("archive");
        let read = parse_datagram(&shared::octets(&archive));
        println!("{}: {}", archive.display(), read.map_or_else(|error| error.to_string(), |_| "accept".into()));
    }
}

/// What the notes of the table say of single files.
#[test]
fn rfc4475_details() {
    let Some(folder) = shared::vectors("sip-torture") else { return };
    let request = |file: &str| match parse_datagram(&shared::octets(&folder.join(file))) {
        Ok(Message::Request(request)) => request,
        other => panic!("{file}: {other:?}"),
    };

    let wsinv = request("wsinv.dat");
    assert_eq!(wsinv.headers.max_forwards(), Some(68));
    assert_eq!(wsinv.headers.cseq().unwrap().number, 9);
    assert_eq!(wsinv.headers.get(&Name::Subject), Some(""));
    assert_eq!(wsinv.headers.vias().unwrap().len(), 3);
    assert_eq!(wsinv.headers.top_via().unwrap().branch(), Some("390skdjuw"));
    assert_eq!(wsinv.headers.get(&"UnknownHeaderWithUnusualValue".into()), Some(";;,,;;,;"));
    assert_eq!(wsinv.headers.from().unwrap().display.as_deref(), Some("J Rosenberg \\\""));
    assert_eq!(wsinv.headers.contacts().unwrap()[0].params.get("q"), Some("0.33"));
    assert_eq!(wsinv.body.len(), 150);

    let intmeth = request("intmeth.dat");
    assert!(matches!(&intmeth.method, Method::Other(name) if name.starts_with("!interesting-Method0123456789")));
    assert!(intmeth.headers.to().unwrap().display.unwrap().contains('\0'));

    let esc01 = request("esc01.dat");
    assert_eq!(esc01.uri.user().unwrap(), "sips:user@example.com");
    assert_eq!(esc01.uri.host().unwrap().to_string(), "example.net");
    let contact = &esc01.headers.contacts().unwrap()[0];
    assert_eq!(contact.uri.sip().unwrap().param("name").unwrap(), "value%41");
    assert!(contact.uri.sip().unwrap().loose_route(), "lr may be escaped");

    let contacts = request("escnull.dat").headers.contacts().unwrap();
    assert_eq!(contacts.len(), 2);
    assert!(!contacts[0].uri.equivalent(&contacts[1].uri));

    let esc02 = request("esc02.dat");
    assert_eq!(esc02.method, Method::Other("RE%47IST%45R".into()));
    assert_eq!(esc02.headers.contacts().unwrap().len(), 2);
    assert_eq!(request("lwsdisp.dat").headers.from().unwrap().display.as_deref(), Some("caller"));
    assert_eq!(request("longreq.dat").headers.vias().unwrap().len(), 34);
    assert_eq!(request("dblreq.dat").body.len(), 0);
    assert_eq!(request("bext01.dat").headers.all(&Name::Require).count(), 2);
    assert_eq!(request("unkscm.dat").uri.scheme(), "nobodyKnowsThisScheme");
    assert_eq!(request("zeromf.dat").headers.max_forwards(), Some(0));
    let contact = &request("cparam01.dat").headers.contacts().unwrap()[0];
    assert!(contact.params.contains("unknownparam") && contact.uri.sip().unwrap().params.is_empty());

    match parse_datagram(&shared::octets(&folder.join("unreason.dat"))) {
        Ok(Message::Response(response)) => assert!(response.reason.starts_with("= 2**3 * 5**2 но сто")),
        other => panic!("{other:?}"),
    }

    // On a stream the octets after the REGISTER are a second message, and what is too short waits.
    let mut stream = Stream::new(Limits::default());
    stream.push(&shared::octets(&folder.join("dblreq.dat")));
    assert!(stream.next().is_some_and(|item| item.is_ok()));
    assert!(stream.next().is_some());
    let mut stream = Stream::new(Limits::default());
    stream.push(&shared::octets(&folder.join("clerr.dat")));
    assert!(stream.next().is_none() && stream.is_inside_message() && !stream.is_broken());
    let mut stream = Stream::new(Limits::default());
    stream.push(&shared::octets(&folder.join("ncl.dat")));
    assert!(stream.next().is_some_and(|item| item.is_err()) && stream.is_broken());
}

// --- our own messages over the same ground, for machines without the shared data ---

const FIELDS: &str = "Via: SIP/2.0/UDP c.example;branch=z9hG4bKown1;rport\r\nMax-Forwards: 70\r\n\
    From: \"Ann\" <sip:ann@c.example>;tag=f1\r\nTo: <sip:bob@d.example>\r\nCall-ID: own@c.example\r\n\
    CSeq: 7 INVITE\r\n";

fn invite(fields: &str) -> String {
    format!("INVITE sip:bob@d.example SIP/2.0\r\n{fields}\r\n")
}

fn read(text: &str) -> Request {
    match parse_datagram(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("{text}: {other:?}"),
    }
}

fn refused(text: &str) -> (Malformed, Option<Response>) {
    let malformed = parse_datagram(text.as_bytes()).expect_err(text);
    let reply = malformed.reply("192.0.2.99:6050".parse().unwrap(), "ours");
    (malformed, reply)
}

#[test]
fn own_well_formed_messages() {
    let folded = read(
        "INVITE sip:bob@d.example SIP/2.0\r\nv :SIP / 2.0 / UDP\r\n  c.example : 5062 ; branch=\r\n\tz9hG4bKown2 ,\
         SIP/2.0/TCP e.example\r\nf:ann<sip:ann@c.example> ; tag = f1\r\nT :\r\n sip:bob@d.example\r\ni: x\r\n\
         cSeQ: 0007\r\n INVITE\r\ns:\r\nm: \"A, B\" <sip:a,b@c.example>, <sip:c@c.example;lr>;q=0.1\r\nX-Odd: ,,;;\r\n\
         k: 100rel,timer\r\n\r\n",
    );
    assert_eq!(folded.headers.vias().unwrap().len(), 2);
    assert_eq!(folded.headers.top_via().unwrap().to_string(), "SIP/2.0/UDP c.example:5062;branch=z9hG4bKown2");
    assert_eq!(folded.headers.from().unwrap().display.as_deref(), Some("ann"));
    assert_eq!(folded.headers.contacts().unwrap().len(), 2);
    assert_eq!(folded.headers.get(&"x-odd".into()), Some(",,;;"));
    assert!(folded.headers.has_token(&Name::Supported, "timer"));

    // Leading line ends, bare line feeds, no Content-Length: the body reaches to the end.
    let body = read(&format!("\r\n\n{}\0\u{1}body", invite(FIELDS).replace("\r\n", "\n")));
    assert_eq!(&body.body[..], b"\0\x01body");
    // Octets after the body are not read.
    let cut = read(&format!("{}bodyrest", invite(&format!("{FIELDS}l: 4\r\n"))));
    assert_eq!(&cut.body[..], b"body");
    assert_eq!(read(&invite(FIELDS).replace("sip:bob@d", "tel:+1")).uri.scheme(), "tel");

    let mut octets = invite(&format!("{FIELDS}X: ?\r\nl: 3\r\n")).into_bytes();
    let place = octets.iter().position(|octet| *octet == b'?').unwrap();
    octets[place] = 0xFC;
    octets.extend_from_slice(&[0xFF, 0x00, 0xFE]);
    let Ok(Message::Request(foreign)) = parse_datagram(&octets) else { panic!("octets that are no UTF-8") };
    assert_eq!(foreign.headers.find(&"X".into()).unwrap().as_bytes(), b"\xFC");
    assert_eq!(&foreign.body[..], [0xFF, 0x00, 0xFE]);

    match parse_datagram(format!("SIP/2.0 299 Not = 2\r\n{FIELDS}\r\n").as_bytes()) {
        Ok(Message::Response(response)) => {
            assert_eq!((response.status, response.reason.as_str()), (Status(299), "Not = 2"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn own_malformed_messages() {
    for (text, status) in [
        (invite(FIELDS).replace(" SIP/2.0\r\nVia", " SIP/2.0  \r\nVia"), 400),
        (invite(FIELDS).replace("INVITE sip:bob@d.example SIP", "INVITE <sip:bob@d.example> SIP"), 400),
        (invite(FIELDS).replace("INVITE sip:bob@d.example SIP", "INVITE sip:bob@d.example; lr SIP"), 400),
        (invite(FIELDS).replace("sip:bob@d.example SIP", "sip:bob@d.example?Route=%3Csip:x%3E SIP"), 400),
        (invite(FIELDS).replace("sip:bob@d.example SIP/2.0", "sip:bob@d.example SIP/7.0"), 505),
        (invite(FIELDS).replace("CSeq: 7 INVITE", "CSeq: 7 OPTIONS"), 400),
        (invite(FIELDS).replace("CSeq: 7", "CSeq: 4294967296"), 400),
        (invite(FIELDS).replace("\"Ann\"", "\"Ann"), 400),
        (invite(FIELDS).replace("<sip:ann@c.example>", "< sip:ann@c.example >"), 400),
        (invite(FIELDS).replace("c.example;branch", "c.example;;,;,,;branch"), 400),
        (invite(FIELDS).replace("Call-ID: own@c.example\r\n", ""), 400),
        (invite(FIELDS).replace("Max-Forwards: 70\r\n", "From: <sip:x@y>\r\nMax-Forwards: 70\r\n"), 400),
        (invite(FIELDS).replace("Max-Forwards: 70\r\n", "Max-Forwards: 70\r\nMax-Forwards: 5\r\n"), 400),
        (invite(FIELDS).replace("Max-Forwards: 70", "Max Forwards: 70"), 400),
        (invite(FIELDS).replace("Max-Forwards: 70", "no field"), 400),
        (invite(FIELDS).replace("Max-Forwards: 70", "X: a\rVia: b"), 400),
        (invite(&format!("{FIELDS}Content-Length: 9\r\n")), 400),
        (invite(&format!("{FIELDS}Content-Length: -9\r\n")), 400),
        (invite(&format!("{FIELDS}Content-Length: nine\r\n")), 400),
        (format!("INVITE sip:bob@d.example SIP/2.0\r\n{FIELDS}"), 400),
        (invite(&format!("{FIELDS}{}", "X: y\r\n".repeat(600))), 513),
        (invite(&format!("{FIELDS}X: {}\r\n", "y".repeat(70_000))), 513),
    ] {
        let (malformed, reply) = refused(&text);
        assert_eq!(malformed.fault.status(), Status(status), "{text}: {malformed}");
        if text.len() > 60_000 {
            continue;
        }
        let reply = reply.unwrap_or_else(|| panic!("no answer to {text}"));
        assert_eq!(reply.status, Status(status));
        assert!(reply.headers.contains(&Name::Via), "{text}");
    }
}

#[test]
fn a_stateless_answer_goes_back_where_the_request_came_from() {
    let (_, reply) = refused(&invite(FIELDS).replace("CSeq: 7 INVITE", "CSeq: 7 OPTIONS"));
    assert_eq!(
        String::from_utf8(reply.unwrap().to_bytes()).unwrap(),
        "SIP/2.0 400 CSeq Method Mismatch\r\n\
         Via: SIP/2.0/UDP c.example;branch=z9hG4bKown1;received=192.0.2.99;rport=6050\r\n\
         From: \"Ann\" <sip:ann@c.example>;tag=f1\r\nTo: <sip:bob@d.example>;tag=ours\r\n\
         Call-ID: own@c.example\r\nCSeq: 7 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn what_must_not_be_answered_is_not() {
    for text in [
        String::new(),
        "\r\n\r\n".into(),
        "\0\0\0\0".into(),
        invite(FIELDS).replace("INVITE sip", "ACK sip"),
        format!("SIP/2.0 2000 OK\r\n{FIELDS}\r\n"),
        format!("SIP/2.0 200 OK\r\n{}\r\n", FIELDS.replace("CSeq: 7 INVITE\r\n", "")),
        format!("SIP/2.0 099 x\r\n{FIELDS}\r\n"),
        invite(&FIELDS.replace("Via: SIP", "X-Via: SIP")),
        "M-SEARCH * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\n\r\n".into(),
    ] {
        let (_, reply) = refused(&text);
        assert_eq!(reply, None, "{text}");
    }
}
