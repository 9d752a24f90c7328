//! One RTP packet on its way in and out: parse, build, reception statistics, SRTP, and what a quality report costs.

mod work;

use divan::{Bencher, black_box};
use sidetone::media::packet::{Header, Packet};
use sidetone::media::plan::{Codec, MasterKey, SrtpSuite};
use sidetone::media::quality::assess::{Path, inbound};
use sidetone::media::quality::emodel::Input;
use sidetone::media::receive::{Probation, Reception};
use sidetone::media::rtcp::{Outgoing as Compound, parse};
use sidetone::media::sequence::Ssrc;
use sidetone::media::srtp::{Incoming, Outgoing};
use sidetone::time::{Duration, Instant};
use work::{PAYLOAD, header, packet};

fn main() {
    divan::main();
}

#[divan::bench]
fn parse_rtp(bencher: Bencher<'_, '_>) {
    let octets = packet(1);
    bencher.bench_local(|| Packet::parse(black_box(&octets)).unwrap().payload.len());
}

#[divan::bench]
fn build_rtp(bencher: Bencher<'_, '_>) {
    let mut octets = Vec::new();
    bencher.bench_local(|| header(black_box(1)).write(&PAYLOAD, &mut octets));
}

#[divan::bench]
fn receive(bencher: Bencher<'_, '_>) {
    let mut reception = Reception::new(Probation::Required);
    let (mut seq, mut now) = (0u16, Instant::ZERO);
    bencher.bench_local(|| {
        seq = seq.wrapping_add(1);
        now += Duration::from_millis(20);
        let Header { marker, payload_type, seq, timestamp, ssrc } = header(seq);
        reception.handle(now, &Packet { marker, payload_type, seq, timestamp, ssrc, payload: &PAYLOAD }, Some(8_000))
    });
}

#[divan::bench]
fn report_quality(bencher: Bencher<'_, '_>) {
    let mut reception = Reception::new(Probation::Waived);
    for seq in (0..3_000).filter(|seq| seq % 50 != 0) {
        let octets = packet(seq);
        let arrival = Instant::from_millis(20 * u64::from(seq));
        reception.handle(arrival, &Packet::parse(&octets).unwrap(), Some(8_000));
    }
    let path = Path { codec: Codec::Pcmu, packet_time: Duration::from_millis(20), round_trip: None };
    bencher.bench_local(|| inbound(&path, &reception.statistics(), Some(Duration::from_millis(60))));
}

#[divan::bench]
fn rate_by_e_model(bencher: Bencher<'_, '_>) {
    let input = Input { loss_percent: 2.0, delay_ms: 250.0, ..Input::default() }.with_echo();
    bencher.bench_local(|| black_box(input).rate());
}

#[divan::bench(args = SrtpSuite::ALL)]
fn protect_srtp(bencher: Bencher<'_, '_>, suite: SrtpSuite) {
    let mut out = Outgoing::new(suite, &MasterKey(vec![7; suite.key_and_salt_length()])).unwrap();
    let mut octets = packet(0);
    let mut seq = 0u16;
    bencher.bench_local(|| {
        seq = seq.wrapping_add(1);
        octets[2..4].copy_from_slice(&seq.to_be_bytes());
        out.protect_rtp(&octets)
    });
}

#[divan::bench(args = SrtpSuite::ALL)]
fn unprotect_srtp(bencher: Bencher<'_, '_>, suite: SrtpSuite) {
    let key = MasterKey(vec![7; suite.key_and_salt_length()]);
    let mut out = Outgoing::new(suite, &key).unwrap();
    let mut into = Incoming::new(suite, &key).unwrap();
    let mut seq = 0u16;
    bencher
        .with_inputs(|| {
            seq = seq.wrapping_add(1);
            out.protect_rtp(&packet(seq)).unwrap()
        })
        .bench_local_values(|protected| into.unprotect_rtp(&protected).unwrap());
}

/// What a flood of forged packets from ever new sources costs for each packet.
#[divan::bench]
fn refuse_forged_source(bencher: Bencher<'_, '_>) {
    let mut into = Incoming::new(SrtpSuite::AesCm128HmacSha1_80, &MasterKey(vec![7; 30])).unwrap();
    let mut octets = packet(0);
    let mut ssrc = 0u32;
    bencher.bench_local(|| {
        ssrc = ssrc.wrapping_add(1);
        octets[8..12].copy_from_slice(&ssrc.to_be_bytes());
        into.unprotect_rtp(&octets).is_err()
    });
}

#[divan::bench]
fn parse_rtcp(bencher: Bencher<'_, '_>) {
    let mut octets = Vec::new();
    let report = Compound { ssrc: Ssrc(1), sender: None, block: None, cname: "host@example", bye: None };
    report.write(&mut octets).unwrap();
    bencher.bench_local(|| parse(black_box(&octets)).unwrap().len());
}
