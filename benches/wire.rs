//! The wire parser and writer on an INVITE of 1.1 kB with 27 values: a few microseconds and less than one.
//!
//! `cargo bench --bench wire`

mod work;

use divan::{Bencher, counter::BytesCount};
use sidetone::sip::wire::{Limits, Stream, parse_datagram};
use work::invite;

fn main() {
    divan::main();
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
