//! Virtual time.

use super::flow::PONG;
use super::*;

fn hop(transport: Transport) -> Hop {
    Hop { transport, local: "192.0.2.1:5060".parse().unwrap(), remote: "192.0.2.9:5060".parse().unwrap() }
}

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
}

/// The gaps between outputs, each with its output, until nothing is scheduled.
fn run(flows: &mut KeepAlives, mut react: impl FnMut(&mut KeepAlives, Instant, Output)) -> Vec<(Duration, Output)> {
    let mut seen = Vec::new();
    let mut last = Instant::ZERO;
    while let Some(now) = flows.poll_timeout() {
        flows.handle_timeout(now);
        while let Some(output) = flows.poll_output() {
            seen.push((now - last, output));
            last = now;
            react(flows, now, output);
        }
    }
    seen
}

#[test]
fn datagrams_go_every_24_to_29_seconds_while_the_registration_lasts() {
    let mut flows = KeepAlives::new(Random::from_seed(1));
    let udp = hop(Transport::Udp);
    assert!(flows.watch(at(0), udp, at(300), Technique::Crlf, None));
    let seen = run(&mut flows, |_, _, _| ());
    assert!((10..=12).contains(&seen.len()), "{seen:?}");
    for (gap, output) in &seen {
        assert!((23.2..=29.0).contains(&gap.as_secs_f64()), "{gap:?}");
        assert_eq!(*output, Output::Ping(udp));
    }
    let mut gaps: Vec<_> = seen.iter().map(|(gap, _)| *gap).collect();
    gaps.dedup();
    assert_eq!(gaps.len(), seen.len(), "the interval varies");
    assert!(flows.is_empty(), "after the registration ended nothing is watched");
}

#[test]
fn one_flow_can_be_pinged_more_often_than_the_others() {
    let mut flows = KeepAlives::new(Random::from_seed(1));
    let tcp = hop(Transport::Tcp);
    flows.hasten(at(0), tcp, Duration::from_secs(15));
    assert!(flows.is_empty(), "only what is watched");
    flows.watch(at(0), tcp, at(300), Technique::Crlf, None);
    flows.hasten(at(0), tcp, Duration::from_secs(15));
    let seen = run(&mut flows, |_, _, _| ());
    assert!((19..=26).contains(&seen.len()), "{seen:?}");
    assert!(seen.iter().all(|(gap, _)| *gap <= Duration::from_secs(15)), "{seen:?}");
}

#[test]
fn the_user_can_ask_for_more() {
    let mut flows = KeepAlives::new(Random::from_seed(1)).with_datagram_interval(Duration::from_secs(10));
    flows.watch(at(0), hop(Transport::Udp), at(100), Technique::Crlf, None);
    let seen = run(&mut flows, |_, _, _| ());
    assert!((10..=12).contains(&seen.len()), "{seen:?}");
}

#[test]
fn a_stream_that_never_answered_is_not_called_dead() {
    let mut flows = KeepAlives::new(Random::from_seed(2));
    let tcp = hop(Transport::Tcp);
    flows.watch(at(0), tcp, at(600), Technique::Crlf, None);
    let seen = run(&mut flows, |_, _, _| ());
    assert!((5..=6).contains(&seen.len()), "{seen:?}");
    assert!(
        seen.iter()
            .all(|(gap, output)| { (96.0..=120.0).contains(&gap.as_secs_f64()) && *output == Output::Ping(tcp) })
    );
}

#[test]
fn a_stream_that_stopped_answering_is_dead_after_10_seconds() {
    let mut flows = KeepAlives::new(Random::from_seed(3));
    let tcp = hop(Transport::Tcp);
    flows.watch(at(0), tcp, at(3600), Technique::Crlf, None);
    let mut answered = 0;
    let seen = run(&mut flows, |flows, now, output| {
        if output == Output::Ping(tcp) && answered < 3 {
            answered += 1;
            flows.handle_pong(now + Duration::from_millis(30), tcp);
        }
    });
    assert_eq!(seen.len(), 5, "four pings, three answers: {seen:?}");
    assert_eq!(seen.last(), Some(&(PONG, Output::Dead(tcp))));
    assert!(flows.is_empty());
}

#[test]
fn the_servers_flow_timer_rules_and_promises_pongs() {
    let mut flows = KeepAlives::new(Random::from_seed(4));
    let tcp = hop(Transport::Tcp);
    flows.watch(at(0), tcp, at(3600), Technique::Crlf, Some(Duration::from_secs(30)));
    let seen = run(&mut flows, |_, _, _| ());
    assert!((24.0..=30.0).contains(&seen[0].0.as_secs_f64()));
    assert_eq!(seen[1], (PONG, Output::Dead(tcp)));
}

#[test]
fn forgotten_flows_are_quiet_and_watching_again_prolongs() {
    let mut flows = KeepAlives::new(Random::from_seed(5));
    let udp = hop(Transport::Udp);
    flows.watch(at(0), udp, at(40), Technique::Crlf, None);
    flows.watch(at(10), udp, at(60), Technique::Crlf, None);
    assert_eq!(run(&mut flows, |_, _, _| ()).len(), 2);
    flows.watch(at(100), udp, at(200), Technique::Crlf, None);
    flows.forget(udp);
    assert_eq!((flows.poll_timeout(), flows.is_empty()), (None, true));
}

/// RFC 8489 section 6.2.1: 500 ms, doubled each time, seven requests, then 16 * 500 ms.
const SENDINGS: [u64; 7] = [0, 500, 1500, 3500, 7500, 15_500, 31_500];

/// What was sent at which millisecond, until `end` of the registration; `answer` says how a Binding request is answered.
fn stun(end: u64, mut answer: impl FnMut(u64) -> Option<&'static str>) -> Vec<(u64, Output)> {
    let mut flows = KeepAlives::new(Random::from_seed(6));
    let udp = hop(Transport::Udp);
    assert!(flows.watch(at(0), udp, at(end), Technique::Stun, None));
    let mut seen = Vec::new();
    run(&mut flows, |flows, when, output| {
        let millis = when.since_start().as_millis() as u64;
        seen.push((millis, output));
        if let Output::Binding(hop, id) = output
            && let Some(mapped) = answer(millis)
        {
            flows.handle_binding(when, hop, id, Some(mapped.parse().unwrap()));
        }
    });
    seen
}

#[test]
fn stun_goes_in_the_same_rhythm_and_its_answers_keep_it_quiet() {
    let seen = stun(300, |_| Some("203.0.113.1:40000"));
    assert!((11..=14).contains(&seen.len()), "{seen:?}");
    assert_eq!(seen[0].0, 0, "at once: is STUN spoken there, and how are we seen?");
    for pair in seen.windows(2) {
        assert!((23_200..=29_000).contains(&(pair[1].0 - pair[0].0)), "{pair:?}");
    }
    let ids: std::collections::BTreeSet<_> = seen.iter().map(|(_, output)| format!("{output:?}")).collect();
    assert_eq!(ids.len(), seen.len(), "each question has an id of its own: {seen:?}");
}

#[test]
fn another_address_of_ours_is_told_once() {
    let mapped = |millis: u64| Some(if millis < 60_000 { "203.0.113.1:40000" } else { "203.0.113.1:40001" });
    let moved: Vec<_> =
        stun(300, mapped).into_iter().filter(|(_, output)| matches!(output, Output::Moved(..))).collect();
    let [(millis, Output::Moved(_, mapped))] = moved[..] else { panic!("{moved:?}") };
    assert!((60_000..90_000).contains(&millis), "{millis}");
    assert_eq!(mapped.port(), 40_001);
}

#[test]
fn a_request_is_repeated_until_it_is_answered() {
    let mut sent = 0;
    let seen = stun(40, |_| {
        sent += 1;
        (sent == 4).then_some("203.0.113.1:40000")
    });
    let bindings: Vec<_> = seen.iter().map(|(millis, _)| *millis).collect();
    assert_eq!(bindings[..4], SENDINGS[..4]);
    assert!(seen[..4].iter().all(|(_, output)| *output == seen[0].1), "the same id: {seen:?}");
    assert!((3_500 + 23_200..=3_500 + 29_000).contains(&bindings[4]), "{bindings:?}");
}

#[test]
fn a_peer_that_stopped_answering_stun_is_dead_after_39_5_seconds() {
    let seen = stun(3600, |millis| (millis == 0).then_some("203.0.113.1:40000"));
    let silent = seen[1].0;
    let sendings: Vec<u64> = seen[1..8].iter().map(|(millis, _)| millis - silent).collect();
    assert_eq!(sendings, SENDINGS);
    assert_eq!(seen[8..], [(silent + 39_500, Output::Dead(hop(Transport::Udp)))]);
}

#[test]
fn a_peer_that_knows_no_stun_gets_line_ends() {
    let seen = stun(200, |_| None);
    let sendings: Vec<u64> = seen[..7].iter().map(|(millis, _)| *millis).collect();
    assert_eq!(sendings, SENDINGS);
    assert_eq!(seen[7], (39_500, Output::Ping(hop(Transport::Udp))), "the mapping is kept without a gap");
    assert!(seen[8..].iter().all(|(_, output)| matches!(output, Output::Ping(_))), "{seen:?}");
    for pair in seen[7..].windows(2) {
        assert!((23_200..=29_000).contains(&(pair[1].0 - pair[0].0)), "{pair:?}");
    }
}

#[test]
fn only_the_peer_of_a_flow_answers_for_it_and_connections_have_line_ends() {
    let mut flows = KeepAlives::new(Random::from_seed(7));
    let (udp, tcp) = (hop(Transport::Udp), hop(Transport::Tcp));
    flows.watch(at(0), udp, at(300), Technique::Stun, None);
    flows.watch(at(0), tcp, at(300), Technique::Stun, None);
    flows.handle_timeout(at(0));
    let Some(Output::Binding(asked, id)) = flows.poll_output() else { panic!("no request") };
    assert_eq!((asked, flows.poll_output()), (udp, None), "nothing for the connection yet");
    let stranger = Hop { remote: "192.0.2.66:5060".parse().unwrap(), ..udp };
    let mapped = Some("203.0.113.1:40000".parse().unwrap());
    flows.handle_binding(at(0), stranger, id, mapped);
    flows.handle_binding(at(0), udp, BindingId([7; 12]), mapped);
    assert_eq!(flows.poll_timeout(), Some(Instant::from_millis(500)), "it still asks");
    flows.handle_binding(at(0), udp, id, mapped);
    assert!(flows.poll_timeout() >= Some(at(23)));
}
