//! The transaction table as its user and the network see it, in virtual time.

mod client;
mod lossy;
mod server;
mod ways;

use std::net::SocketAddr;

use sidetone::random::Random;
use sidetone::sip::header::{Headers, Name};
use sidetone::sip::hop::{Hop, Transport};
use sidetone::sip::message::{Message, Method, Request, Response, Status};
use sidetone::sip::timer::Timers;
use sidetone::sip::transaction::{ClientId, Limits, Output, SendError, ServerId, Transactions};
use sidetone::sip::uri::Uri;
use sidetone::sip::wire::parse_datagram;
use sidetone::time::{Duration, Instant};

const UDP: Transport = Transport::Udp;
const TCP: Transport = Transport::Tcp;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn hop(transport: Transport) -> Hop {
    Hop { transport, local: address("192.0.2.1:5060"), remote: address("192.0.2.9:5060") }
}

fn table() -> Transactions {
    Transactions::new(Timers::default(), Limits::default(), Random::from_seed(1))
}

/// A request without Via.
fn request(method: &str) -> Request {
    let mut request = Request::new(method.parse().unwrap(), "sip:bob@192.0.2.9".parse::<Uri>().unwrap());
    for (name, value) in [
        ("Route", "<sip:proxy.example;lr>"),
        ("Route", "<sip:192.0.2.9;lr>"),
        ("Max-Forwards", "70"),
        ("From", "<sip:alice@example.com>;tag=a1"),
        ("To", "<sip:bob@example.com>"),
        ("Call-ID", "call1"),
        ("CSeq", &format!("7 {method}")),
        ("Contact", "<sip:alice@192.0.2.1>"),
    ] {
        request.headers.push(name, value);
    }
    request
}

/// A request without Via that is too large for UDP.
fn large(method: &str) -> Request {
    request(method).with_body("application/sdp", vec![b'x'; 1300])
}

/// A received request: with a Via of its sender.
fn received(method: &str, branch: &str) -> Request {
    let mut request = request(method);
    request.headers.prepend(Name::Via, format!("SIP/2.0/UDP 192.0.2.9;rport;branch={branch}"));
    request
}

fn outputs(table: &mut Transactions) -> Vec<Output> {
    std::iter::from_fn(|| table.poll_output()).collect()
}

/// The messages among the outputs, with their hops; anything else fails.
fn sent(table: &mut Transactions) -> Vec<(Hop, Message)> {
    outputs(table)
        .into_iter()
        .map(|output| match output {
            Output::Transmit { hop, bytes } => (hop, parse_datagram(&bytes).unwrap()),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn sent_request(table: &mut Transactions) -> Request {
    match sent(table).as_slice() {
        [(_, Message::Request(request))] => request.clone(),
        other => panic!("{other:?}"),
    }
}

fn sent_status(table: &mut Transactions) -> (Hop, u16) {
    match sent(table).as_slice() {
        [(hop, Message::Response(response))] => (*hop, response.status.code()),
        other => panic!("{other:?}"),
    }
}

/// Runs the table by its own deadlines up to `end`: what came out, each with its instant in milliseconds.
fn run(table: &mut Transactions, end: u64) -> Vec<(u64, Output)> {
    let mut seen = Vec::new();
    while let Some(now) = table.poll_timeout().filter(|now| *now <= at(end)) {
        table.handle_timeout(now);
        assert_ne!(table.poll_timeout(), Some(now), "a deadline that stays");
        seen.extend(outputs(table).into_iter().map(|output| (now.since_start().as_millis() as u64, output)));
    }
    seen
}

fn answer(table: &mut Transactions, now: u64, source: Hop, request: &Request, status: u16, to_tag: &str) {
    let response = request.response(Status(status)).with_to_tag(to_tag);
    table.receive(at(now), source, Message::Response(response));
}

fn start(table: &mut Transactions, method: &str, transport: Transport) -> (ClientId, Request) {
    let id = table.send(at(0), request(method), hop(transport)).unwrap();
    (id, sent_request(table))
}

fn incoming(table: &mut Transactions, now: u64, source: Hop, request: Request) -> (ServerId, Request) {
    table.receive(at(now), source, Message::Request(request));
    match outputs(table).pop() {
        Some(Output::Request { id, request, merged: false, .. }) => (id, request),
        other => panic!("{other:?}"),
    }
}
