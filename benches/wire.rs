//! The wire parser and writer on an INVITE of 1.1 kB with 27 values: a few microseconds and less than one.
//!
//! `cargo bench --bench wire`

use divan::{Bencher, counter::BytesCount};
use sidetone::sip::wire::{Limits, Stream, parse_datagram};

fn main() {
    divan::main();
}

/// What a desk phone sends through one proxy.
fn invite() -> Vec<u8> {
    let body = "v=0\r\no=- 3724394400 3724394405 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
        m=audio 49170 RTP/AVP 96 0 8 101\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1;maxaveragebitrate=24000\r\n\
        a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
        a=ptime:20\r\na=sendrecv\r\n";
    let text = format!(
        "INVITE sip:+493012345678@carrier.example;user=phone SIP/2.0\r\n\
         Via: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bK7f3a.9c1d2e3f4a5b6c7d.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.7:5060;rport=5060;branch=z9hG4bKPjd3a1c6b0e4f24a2d;received=198.51.100.7\r\n\
         Record-Route: <sip:203.0.113.9;lr;ftag=8f7e6d5c4b3a>\r\n\
         Max-Forwards: 69\r\n\
         From: \"Ann Example\" <sip:+442079460000@carrier.example>;tag=8f7e6d5c4b3a\r\n\
         To: <sip:+493012345678@carrier.example>\r\n\
         Call-ID: b2d7f1f0-6e0c-4c3e-9a55-0d4bb6b0a2f1@198.51.100.7\r\n\
         CSeq: 28731 INVITE\r\n\
         Contact: <sip:+442079460000@198.51.100.7:5060;transport=udp;ob>\r\n\
         Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, REFER, NOTIFY, INFO\r\n\
         Supported: replaces, 100rel, timer, norefersub\r\n\
         Session-Expires: 1800\r\n\
         User-Agent: Bench Phone 4.2\r\n\
         Content-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    text.into_bytes()
}

#[divan::bench]
fn parse_datagram_of_1200_octets(bencher: Bencher) {
    let octets = invite();
    bencher.counter(BytesCount::of_slice(&octets)).bench(|| parse_datagram(divan::black_box(&octets)));
}

#[divan::bench]
fn parse_stream_of_1200_octets(bencher: Bencher) {
    let octets = invite();
    let mut stream = Stream::new(Limits::default());
    bencher.counter(BytesCount::of_slice(&octets)).bench_local(|| {
        stream.push(divan::black_box(&octets));
        stream.next()
    });
}

#[divan::bench]
fn build(bencher: Bencher) {
    let octets = invite();
    let message = parse_datagram(&octets).expect("the fixture is a message");
    bencher.counter(BytesCount::of_slice(&octets)).bench(|| divan::black_box(&message).to_bytes());
}

#[divan::bench]
fn response_to_invite(bencher: Bencher) {
    use sidetone::sip::message::{Message, Status};
    let Ok(Message::Request(request)) = parse_datagram(&invite()) else { panic!("the fixture is a request") };
    bencher.bench(|| divan::black_box(&request).response(Status::RINGING).with_to_tag("1234567890").to_bytes());
}
