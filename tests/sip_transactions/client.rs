//! Requests of ours.

use super::*;

#[test]
fn an_unanswered_invite_is_sent_seven_times_and_ends_with_408() {
    let mut table = table();
    let (id, invite) = start(&mut table, "INVITE", UDP);
    let via = invite.headers.top_via().unwrap();
    assert!(via.branch().unwrap().starts_with("z9hG4bK") && via.wants_rport());
    assert_eq!((via.transport.as_str(), via.port), ("UDP", Some(5060)));
    let mut seen = run(&mut table, 600_000);
    let Some((32_000, Output::ClientTimeout { id: timed_out, response })) = seen.pop() else { panic!("{seen:?}") };
    assert_eq!((timed_out, response.status), (id, Status::REQUEST_TIMEOUT));
    assert_eq!(response.headers.get(&Name::CallId), Some("call1"));
    let bytes = invite.to_bytes();
    let expected = [500, 1500, 3500, 7500, 15_500, 31_500];
    assert_eq!(seen.iter().map(|(at, _)| *at).collect::<Vec<_>>(), expected);
    for (_, output) in seen {
        assert_eq!(output, Output::Transmit { hop: hop(UDP), bytes: bytes.clone().into() });
    }
    assert!(table.is_empty());
    assert_eq!(table.counters().resent, 6);
}

#[test]
fn a_call_may_ring_for_minutes() {
    let mut table = table();
    let (id, invite) = start(&mut table, "INVITE", UDP);
    answer(&mut table, 100, hop(UDP), &invite, 180, "b1");
    assert!(matches!(&outputs(&mut table)[..], [Output::Response { id: rung, .. }] if *rung == id));
    assert_eq!(run(&mut table, 240_000), []);
    answer(&mut table, 240_000, hop(UDP), &invite, 200, "b1");
    let [Output::Response { response, source, .. }] = &outputs(&mut table)[..] else { panic!() };
    assert_eq!((response.status, *source), (Status::OK, hop(UDP)));
}

#[test]
fn the_ack_of_a_rejection_is_built_from_invite_and_response() {
    let mut table = table();
    let (id, invite) = start(&mut table, "INVITE", UDP);
    answer(&mut table, 100, hop(UDP), &invite, 486, "theirs");
    let mut seen = outputs(&mut table);
    let Some(Output::Response { id: answered, response, .. }) = seen.pop() else { panic!("{seen:?}") };
    assert_eq!((answered, response.status.code()), (id, 486));
    let Some(Output::Transmit { hop: way, bytes }) = seen.pop() else { panic!() };
    assert_eq!(way, hop(UDP));
    let Message::Request(ack) = parse_datagram(&bytes).unwrap() else { panic!() };
    assert_eq!((ack.method.clone(), &ack.uri), (Method::Ack, &invite.uri));
    let mut expected = Headers::new();
    for (name, value) in [
        ("Via", invite.headers.get(&Name::Via).unwrap()),
        ("Route", "<sip:proxy.example;lr>"),
        ("Route", "<sip:192.0.2.9;lr>"),
        ("Max-Forwards", "70"),
        ("From", "<sip:alice@example.com>;tag=a1"),
        ("To", "<sip:bob@example.com>;tag=theirs"),
        ("Call-ID", "call1"),
        ("CSeq", "7 ACK"),
        ("Content-Length", "0"),
    ] {
        expected.push(name, value);
    }
    assert_eq!(ack.headers, expected);

    // Repetitions get the same ACK and are not told again, for timer D.
    answer(&mut table, 600, hop(UDP), &invite, 486, "theirs");
    assert_eq!(outputs(&mut table), [Output::Transmit { hop: hop(UDP), bytes }]);
    assert_eq!(run(&mut table, 32_099), []);
    assert!(!table.is_empty());
    assert_eq!(run(&mut table, 32_100), []);
    assert!(table.is_empty());
}

#[test]
fn over_tcp_nothing_is_repeated_and_nothing_lingers() {
    let mut table = table();
    let (_, invite) = start(&mut table, "INVITE", TCP);
    assert_eq!(run(&mut table, 20_000), []);
    answer(&mut table, 20_000, hop(TCP), &invite, 404, "b1");
    assert_eq!(outputs(&mut table).len(), 2, "ACK and response");
    assert!(table.is_empty());

    let (_, options) = start(&mut table, "OPTIONS", TCP);
    answer(&mut table, 20_000, hop(TCP), &options, 200, "b1");
    assert!(matches!(&outputs(&mut table)[..], [Output::Response { .. }]));
    assert!(table.is_empty());
}

#[test]
fn every_2xx_of_every_fork_goes_up_and_later_ones_are_stray() {
    let mut table = table();
    let (id, invite) = start(&mut table, "INVITE", UDP);
    for (now, tag) in [(100, "b1"), (600, "b1"), (700, "b2")] {
        answer(&mut table, now, hop(UDP), &invite, 200, tag);
        let [Output::Response { id: answered, response, .. }] = &outputs(&mut table)[..] else { panic!() };
        assert_eq!((*answered, response.headers.to().unwrap().tag()), (id, Some(tag)));
    }
    assert_eq!(run(&mut table, 32_099), []);
    assert!(!table.is_empty());
    assert_eq!(run(&mut table, 32_100), []);
    assert!(table.is_empty());
    answer(&mut table, 40_000, hop(UDP), &invite, 200, "b1");
    assert!(matches!(&outputs(&mut table)[..], [Output::StrayResponse { .. }]));
}

#[test]
fn cancel_waits_for_a_provisional_response_and_has_branch_and_number_of_the_invite() {
    let mut table = table();
    let (id, invite) = start(&mut table, "INVITE", UDP);
    let mut why = Headers::new();
    why.push(Name::Reason, "SIP;cause=200;text=\"Call completed elsewhere\"");
    assert!(table.cancel(at(50), id, &why));
    assert_eq!(outputs(&mut table), []);
    answer(&mut table, 100, hop(UDP), &invite, 100, "");
    let mut seen = outputs(&mut table);
    assert!(matches!(seen.pop(), Some(Output::Response { .. })));
    let Some(Output::Transmit { bytes, .. }) = seen.pop() else { panic!() };
    let Message::Request(cancel) = parse_datagram(&bytes).unwrap() else { panic!() };
    assert_eq!((cancel.method.clone(), &cancel.uri), (Method::Cancel, &invite.uri));
    for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::Route, Name::MaxForwards] {
        assert!(cancel.headers.all(&name).eq(invite.headers.all(&name)), "{name}");
    }
    assert_eq!(cancel.headers.get(&Name::CSeq), Some("7 CANCEL"));
    assert_eq!(cancel.headers.get(&Name::Reason), why.get(&Name::Reason));
    assert_eq!(cancel.headers.get(&Name::Contact), None);

    // The response to CANCEL is nobody's business, and does not end the INVITE.
    answer(&mut table, 150, hop(UDP), &cancel, 200, "b1");
    assert_eq!(outputs(&mut table), []);
    answer(&mut table, 160, hop(UDP), &invite, 487, "b1");
    assert!(matches!(&outputs(&mut table)[..], [Output::Transmit { .. }, Output::Response { .. }]));
    assert!(!table.cancel(at(170), id, &why), "too late");
    run(&mut table, 600_000);
    assert!(table.is_empty());
}

#[test]
fn a_cancelled_invite_without_final_response_ends_64_t1_after_the_cancel() {
    let mut table = table();
    let (id, invite) = start(&mut table, "INVITE", UDP);
    answer(&mut table, 100, hop(UDP), &invite, 180, "b1");
    assert!(table.cancel(at(5_000), id, &Headers::new()));
    outputs(&mut table);
    let seen = run(&mut table, 600_000);
    let cancels = seen.iter().filter(|(_, output)| matches!(output, Output::Transmit { .. })).count();
    assert_eq!(cancels, 10, "CANCEL is repeated by timer E");
    let Some((37_000, Output::ClientTimeout { id: ended, .. })) = seen.last() else { panic!("{seen:?}") };
    assert_eq!((*ended, seen.len()), (id, 11), "the time-out of the CANCEL itself is not told");
    assert!(table.is_empty());
}

#[test]
fn responses_with_foreign_vias_are_dropped_and_unknown_ones_are_stray() {
    let mut table = table();
    let (_, options) = start(&mut table, "OPTIONS", UDP);
    let mut response = options.response(Status::OK);
    response.headers.prepend(Name::Via, "SIP/2.0/UDP 203.0.113.1;branch=z9hG4bK1");
    table.receive(at(10), hop(UDP), Message::Response(response));
    assert_eq!((outputs(&mut table), table.counters().unroutable), (vec![], 1));
    // The method is part of the match: a CANCEL shares the branch of its INVITE.
    let mut response = options.response(Status::OK);
    response.headers.set(Name::CSeq, "7 INFO");
    table.receive(at(10), hop(UDP), Message::Response(response));
    assert!(matches!(&outputs(&mut table)[..], [Output::StrayResponse { .. }]));
    table.receive(at(10), hop(UDP), Message::Response(Response::new(Status::OK)));
    table.receive(at(10), hop(UDP), Message::Request(request("OPTIONS")));
    assert_eq!((outputs(&mut table), table.counters().unroutable), (vec![], 3));
}

#[test]
fn the_ack_to_a_2xx_is_no_transaction() {
    let mut table = table();
    let (way, bytes) = table.send_ack(request("ACK"), hop(UDP));
    assert_eq!(outputs(&mut table), [Output::Transmit { hop: way, bytes }]);
    assert!(table.is_empty());
    for method in ["ACK", "CANCEL"] {
        let refused = table.send(at(0), request(method), hop(UDP)).unwrap_err();
        assert_eq!(refused, SendError::Method(method.parse().unwrap()));
    }
}
