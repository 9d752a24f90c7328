//! Which way messages take.

use super::*;

fn ways(table: &mut Transactions) -> Vec<(Transport, String)> {
    sent(table)
        .into_iter()
        .map(|(hop, message)| (hop.transport, message.headers().top_via().unwrap().transport))
        .collect()
}

#[test]
fn without_rport_responses_go_to_the_sent_by_port_and_over_tcp_to_the_connection() {
    for (transport, via, expected) in [
        (UDP, "SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK1", "198.51.100.7:5070"),
        (UDP, "SIP/2.0/UDP host.example;branch=z9hG4bK1", "198.51.100.7:5060"),
        (UDP, "SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK1;rport", "198.51.100.7:1024"),
        (UDP, "SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK1;maddr=203.0.113.1", "198.51.100.7:5070"),
        (TCP, "SIP/2.0/TCP 10.0.0.1:5070;branch=z9hG4bK1", "198.51.100.7:1024"),
    ] {
        let mut table = table();
        let source = Hop { remote: address("198.51.100.7:1024"), ..hop(transport) };
        let mut options = request("OPTIONS");
        options.headers.prepend(Name::Via, via);
        let (id, options) = incoming(&mut table, 0, source, options);
        assert_eq!(options.headers.top_via().unwrap().received(), Some(source.remote.ip()));
        assert!(table.respond(at(10), id, options.response(Status::OK)));
        let (way, status) = sent_status(&mut table);
        assert_eq!((way, status), (Hop { remote: address(expected), ..source }, 200), "{via}");
    }
}

#[test]
fn a_response_whose_connection_broke_goes_to_the_sent_by_address_once() {
    let mut table = table();
    let source = Hop { remote: address("198.51.100.7:1024"), ..hop(TCP) };
    let mut invite = request("INVITE");
    invite.headers.prepend(Name::Via, "SIP/2.0/TCP 10.0.0.1:5070;branch=z9hG4bK1");
    let (id, invite) = incoming(&mut table, 0, source, invite);
    table.respond(at(10), id, invite.response(Status::BUSY_HERE));
    assert_eq!(sent_status(&mut table), (source, 486));
    table.transport_error(at(20), source);
    let other = Hop { remote: address("198.51.100.7:5070"), ..source };
    assert_eq!(sent_status(&mut table), (other, 486));
    table.transport_error(at(30), other);
    assert_eq!(outputs(&mut table), []);
    assert_eq!(run(&mut table, 600_000), [(32_010, Output::ServerTimeout { id })]);
    assert!(table.is_empty());
}

#[test]
fn large_requests_go_by_tcp_and_by_udp_where_tcp_fails() {
    let mut table = table();
    let id = table.send(at(0), large("INVITE"), hop(UDP)).unwrap();
    let [(way, Message::Request(by_tcp))] = &sent(&mut table)[..] else { panic!() };
    assert_eq!((way.transport, table.hop(id)), (TCP, Some(hop(TCP))));
    assert_eq!(by_tcp.headers.top_via().unwrap().transport, "TCP");
    table.transport_error(at(30), Hop { local: address("192.0.2.1:40000"), ..hop(TCP) });
    let [(way, Message::Request(by_udp))] = &sent(&mut table)[..] else { panic!() };
    assert_eq!((way.transport, table.hop(id)), (UDP, Some(hop(UDP))));
    let (tcp_via, udp_via) = (by_tcp.headers.top_via().unwrap(), by_udp.headers.top_via().unwrap());
    assert_eq!((udp_via.transport.as_str(), udp_via.branch()), ("UDP", tcp_via.branch()));
    // The timers of UDP start anew.
    assert_eq!(run(&mut table, 530).len(), 1);
    // The next one does not try again; an hour later, another one does.
    table.send(at(600), large("MESSAGE"), hop(UDP)).unwrap();
    assert_eq!(ways(&mut table), [(UDP, "UDP".into())]);
    run(&mut table, 3_600_000);
    table.send(at(3_600_000), large("MESSAGE"), hop(UDP)).unwrap();
    assert_eq!(ways(&mut table), [(TCP, "TCP".into())]);
    run(&mut table, 7_200_000);
    assert!(table.is_empty());
}

#[test]
fn a_connection_attempt_that_is_swallowed_costs_four_seconds() {
    let mut table = table();
    let id = table.send(at(0), large("INVITE"), hop(UDP)).unwrap();
    outputs(&mut table);
    assert!(table.cancel(at(100), id, &Headers::new()), "held, and not lost with the change of transport");
    let seen = run(&mut table, 4_500);
    let [(4_000, Output::Transmit { hop: first, bytes }), (4_500, Output::Transmit { .. })] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!(first.transport, UDP);
    let Message::Request(invite) = parse_datagram(bytes).unwrap() else { panic!() };
    answer(&mut table, 4_600, hop(UDP), &invite, 180, "b1");
    let Some(Output::Transmit { bytes, .. }) = outputs(&mut table).into_iter().next() else { panic!() };
    assert!(bytes.starts_with(b"CANCEL "));
}

#[test]
fn tcp_that_answers_stays() {
    let mut table = table();
    let id = table.send(at(0), large("INVITE"), hop(UDP)).unwrap();
    let invite = sent_request(&mut table);
    answer(&mut table, 50, hop(TCP), &invite, 100, "");
    outputs(&mut table);
    assert_eq!(run(&mut table, 60_000), []);
    table.transport_error(at(60_000), hop(TCP));
    assert_eq!((outputs(&mut table), table.hop(id)), (vec![], Some(hop(TCP))));
    // Small requests, and all where the limit says so, stay on UDP.
    table.send(at(60_000), request("INVITE"), hop(UDP)).unwrap();
    assert_eq!(ways(&mut table), [(UDP, "UDP".into())]);
    let limits = Limits { datagram: usize::MAX, ..Limits::default() };
    let mut table = Transactions::new(Timers::default(), limits, Random::from_seed(1));
    table.send(at(0), large("INVITE"), hop(UDP)).unwrap();
    assert_eq!(ways(&mut table), [(UDP, "UDP".into())]);
}

#[test]
fn a_transport_that_fails_answers_503() {
    let mut table = table();
    let (id, _) = start(&mut table, "OPTIONS", TCP);
    table.transport_error(at(10), Hop { remote: address("192.0.2.8:5060"), ..hop(TCP) });
    assert_eq!(outputs(&mut table), [], "another peer");
    table.transport_error(at(10), hop(TCP));
    let seen = outputs(&mut table);
    let [Output::TransportFailed { id: failed, response }] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((*failed, response.status), (id, Status::SERVICE_UNAVAILABLE));
    assert!(table.is_empty());
}
