//! One call, ticked by hand.

use super::*;
use crate::audio::Source;
use crate::media::plan::{Codec, Direction, Encoding, Plan};
use crate::net::{PortPair, RtpPorts};
use crate::random::Random;
use std::net::{IpAddr, Ipv4Addr};

/// A call over `own` with whoever holds `remote`.
pub(in crate::driver::media) fn parts(codec: Codec, source: &Source, own: PortPair, remote: &PortPair) -> Parts {
    let payload_type = codec.static_payload_type().unwrap_or(111);
    let encoding = Encoding::new(codec, payload_type, Duration::from_millis(20));
    let plan = Plan {
        remote_rtp: remote.rtp_address,
        remote_rtcp: remote.rtcp_address,
        rtcp_mux: false,
        direction: Direction::SendRecv,
        encoding,
        receive: vec![(payload_type, codec)],
        comfort_noise: None,
        send_event: None,
        receive_events: Vec::new(),
        hear_tones: false,
        holding: false,
        srtp: None,
        dtls: None,
        ice: None,
    };
    let session = Session::new(Instant::ZERO, plan, session::Config::default(), Random::from_seed(1)).unwrap();
    let input = Input::open(source, session.rate()).unwrap();
    let (rtp, rtcp) = (Port::new(own.rtp).unwrap(), Port::new(own.rtcp).unwrap());
    Parts { key: 1, session, rtp, rtcp, input, device: None, listener: None, recorder: None, troubles: Vec::new() }
}

#[test]
fn the_packets_set_the_beat_of_an_echo_and_of_nothing_else() {
    let (sender, _events) = tokio::sync::mpsc::channel(64);
    let mut outbox = Outbox::new(sender);
    let ports = RtpPorts::new(None);
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let copy = |pair: &PortPair| PortPair {
        rtp: pair.rtp.try_clone().unwrap(),
        rtcp: pair.rtcp.try_clone().unwrap(),
        ..*pair
    };
    let start = Instant::from_millis(10_000);
    for (source, moves) in [(Source::Echo, true), (Source::Tone(300.0), false)] {
        let (near, far) = (ports.open(loopback).unwrap(), ports.open(loopback).unwrap());
        let ours = parts(Codec::Pcmu, &Source::Tone(440.0), copy(&near), &far);
        let theirs = parts(Codec::Pcmu, &source, copy(&far), &near);
        let (mut ours, mut theirs) = (Call::start(start, ours, &mut outbox), Call::start(start, theirs, &mut outbox));
        let (clock, mut batch) = (Clock::new(), Batch::new());
        let mut now = start;
        // Each packet comes right behind a tick: it waits a whole packet time.
        for _ in 0..30 {
            now += Duration::from_millis(20);
            theirs.tick(now, now, &clock, &mut batch, &mut outbox);
            ours.tick(now, now, &clock, &mut batch, &mut outbox);
        }
        let moved = start.since(theirs.schedule.next());
        assert_eq!(moved > Duration::from_millis(10), moves, "{source:?}: moved by {moved:?}");
        assert_eq!(ours.schedule.next(), start);
    }
}

#[test]
fn a_tick_in_steady_state_allocates_nothing() {
    for codec in Codec::ALL {
        let (sender, mut events) = tokio::sync::mpsc::channel(64);
        let mut outbox = Outbox::new(sender);
        let ports = RtpPorts::new(None);
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (near, far) = (ports.open(loopback).unwrap(), ports.open(loopback).unwrap());
        let copy = |pair: &PortPair| PortPair {
            rtp: pair.rtp.try_clone().unwrap(),
            rtcp: pair.rtcp.try_clone().unwrap(),
            ..*pair
        };
        let (ours, theirs) =
            (parts(codec, &Source::Tone(440.0), copy(&near), &far), parts(codec, &Source::Echo, copy(&far), &near));
        let mut ours = Call::start(Instant::ZERO, ours, &mut outbox);
        let mut theirs = Call::start(Instant::ZERO, theirs, &mut outbox);
        let (clock, mut batch) = (Clock::new(), Batch::new());
        let mut now = Instant::ZERO;
        let mut quiet_spans = 0;
        for span in 0..20 {
            let reports = ours.session.counters().rtcp_sent + theirs.session.counters().rtcp_sent;
            let info = allocation_counter::measure(|| {
                for _ in 0..25 {
                    now += Duration::from_millis(20);
                    ours.tick(now, now, &clock, &mut batch, &mut outbox);
                    theirs.tick(now, now, &clock, &mut batch, &mut outbox);
                }
            });
            // RTCP is built anew, every some seconds; the first spans fill what grows once.
            let reported = ours.session.counters().rtcp_sent + theirs.session.counters().rtcp_sent > reports;
            if span >= 6 && !reported {
                assert_eq!(info.count_total, 0, "{codec}: {info:?}");
                quiet_spans += 1;
            }
        }
        assert!(quiet_spans >= 8, "{quiet_spans}");
        assert!(ours.session.quality(now).inbound.packets > 400, "nothing was played");
        assert!(events.try_recv().is_ok(), "no event of the first packet");
    }
}
