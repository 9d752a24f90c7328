//! The body of the wire fuzzer: lives here so that it keeps compiling, and runs in the ordinary tests on mutated messages.

use super::{Limits, Stream, StreamItem, parse_datagram};
use crate::sip::header::Name;
use crate::sip::message::Message;
use std::net::{Ipv4Addr, SocketAddr};

/// Reads arbitrary octets every way there is.
///
/// # Panics
///
/// When the parser breaks one of its promises: a parsed message writes to octets that parse to the same message, its
/// mandatory fields are readable, and a stateless reply can be parsed.
pub fn fuzz(octets: &[u8]) {
    match parse_datagram(octets) {
        Ok(message) => round_trip(&message),
        Err(malformed) => {
            let source = SocketAddr::from((Ipv4Addr::LOCALHOST, 5060));
            let _ = malformed.to_string();
            if let Some(reply) = malformed.reply(source, "tag") {
                let _ = parse_datagram(&reply.to_bytes());
            }
        }
    }
    let mut stream = Stream::new(Limits { head_octets: 2048, fields: 64, body_octets: 2048, ..Limits::default() });
    let (first, second) = octets.split_at(octets.len() / 2);
    for piece in [first, second] {
        stream.push(piece);
        for item in stream.by_ref() {
            if let Ok(StreamItem::Message(message)) = item {
                round_trip(&message);
            }
        }
    }
    assert!(stream.buffered() <= octets.len());
}

fn round_trip(message: &Message) {
    let headers = message.headers();
    assert!(headers.top_via().is_ok() && headers.from().is_ok() && headers.to().is_ok());
    assert!(headers.cseq().is_ok() && headers.call_id().is_some());
    let _ = (headers.contacts(), headers.routes(), headers.record_routes(), headers.content_type());
    let _ = (headers.expires(), headers.max_forwards(), headers.retry_after());
    let _ = (headers.challenges(&Name::WwwAuthenticate), headers.challenges(&Name::ProxyAuthenticate));
    let written = message.to_bytes();
    match parse_datagram(&written) {
        Ok(again) => assert_eq!(again.to_bytes(), written, "what was written reads differently"),
        Err(malformed) => panic!("what was written does not read: {malformed}"),
    }
}
