//! The transaction table with 100,000 transactions in it: what one more costs, what a repetition costs, and what a
//! deadline costs. `cargo bench --bench transaction`.

mod work;

use divan::{Bencher, black_box};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Response, Status};
use sidetone::sip::transaction::{Output, Transactions};
use sidetone::time::{Duration, Instant};
use work::{hop, request, transactions};

const FULL: u64 = 100_000;

fn main() {
    divan::main();
}

fn received(method: &str, call: u64) -> Message {
    let mut request = request(method, call);
    request.headers.prepend(Name::Via, format!("SIP/2.0/UDP 192.0.2.9:5060;rport;branch=z9hG4bK{call}"));
    Message::Request(request)
}

/// One instant for each transaction, as a phone that gets one every 10 microseconds.
fn at(call: u64) -> Instant {
    Instant::at(Duration::from_micros(10 * call))
}

/// A table with that many requests of ours under way, and the responses that they wait for.
fn sending() -> (Transactions, Vec<Response>) {
    let mut table = transactions();
    let mut responses = Vec::new();
    for call in 0..FULL {
        let id = table.send(at(call), request("OPTIONS", call), hop()).unwrap();
        responses.push(table.request(id).unwrap().response(Status::OK));
        while table.poll_output().is_some() {}
    }
    (table, responses)
}

/// A table with that many received requests that were answered 200.
fn serving() -> Transactions {
    let mut table = transactions();
    for call in 0..FULL {
        table.receive(at(call), hop(), received("OPTIONS", call));
        let Some(Output::Request { id, request, .. }) = table.poll_output() else { panic!("a request") };
        table.respond(at(call), id, request.response(Status::OK));
        while table.poll_output().is_some() {}
    }
    table
}

/// One more request of ours: Via, branch, octets, two maps and a deadline.
#[divan::bench]
fn send(bencher: Bencher) {
    let (mut table, _) = sending();
    let mut call = FULL;
    bencher
        .with_inputs(|| {
            call += 1;
            (call, request("OPTIONS", call))
        })
        .bench_local_values(|(call, request)| {
            let id = table.send(at(call), request, hop()).unwrap();
            black_box(table.poll_output());
            id
        });
}

/// One more received request.
#[divan::bench]
fn receive_request(bencher: Bencher) {
    let mut table = serving();
    let mut call = FULL;
    bencher
        .with_inputs(|| {
            call += 1;
            (call, received("OPTIONS", call))
        })
        .bench_local_values(|(call, message)| {
            table.receive(at(call), hop(), message);
            table.poll_output()
        });
}

/// A repetition: found among all the others, and answered from what is kept.
#[divan::bench]
fn absorb_repetition(bencher: Bencher) {
    let mut table = serving();
    let mut call = 0;
    bencher
        .with_inputs(|| {
            call = (call + 7919) % FULL;
            received("OPTIONS", call)
        })
        .bench_local_values(|message| {
            table.receive(at(FULL), hop(), message);
            table.poll_output()
        });
}

/// A response that meets its request.
#[divan::bench]
fn receive_response(bencher: Bencher) {
    let (mut table, mut responses) = sending();
    bencher.with_inputs(|| responses.pop().expect("fewer samples than transactions")).bench_local_values(|response| {
        table.receive(at(FULL), hop(), Message::Response(response));
        table.poll_output()
    });
}

/// The earliest deadline of all.
#[divan::bench]
fn poll_timeout(bencher: Bencher) {
    let (table, _) = sending();
    bencher.bench_local(|| black_box(&table).poll_timeout());
}

/// One deadline: the request is sent again and its next deadline is put in order.
#[divan::bench]
fn resend(bencher: Bencher) {
    let (mut table, _) = sending();
    bencher.bench_local(|| {
        let now = table.poll_timeout().expect("a deadline");
        table.handle_timeout(now);
        table.poll_output()
    });
}

/// All 100,000 transactions from the first repetition to the time-out of the last: 1.1 million deadlines.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn time_out_all(bencher: Bencher) {
    bencher.with_inputs(|| sending().0).bench_local_values(|mut table| {
        while let Some(now) = table.poll_timeout() {
            table.handle_timeout(now);
            while table.poll_output().is_some() {}
        }
        assert!(table.is_empty());
    });
}
