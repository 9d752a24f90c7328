//! Received requests.

use super::*;

#[test]
fn trying_is_sent_after_200_ms_and_copies_the_request() {
    let mut table = table();
    let mut invite = received("INVITE", "z9hG4bK1");
    invite.headers.push(Name::Timestamp, "54.21");
    let source = Hop { remote: address("198.51.100.7:1024"), ..hop(UDP) };
    let (_, request) = incoming(&mut table, 0, source, invite);
    let via = request.headers.top_via().unwrap();
    assert_eq!((via.received(), via.rport()), (Some(source.remote.ip()), Some(1024)));
    let seen = run(&mut table, 60_000);
    let [(200, Output::Transmit { hop: way, bytes })] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(*way, source, "rport asks for the source port");
    let Message::Response(trying) = parse_datagram(bytes).unwrap() else { panic!() };
    assert_eq!((trying.status, trying.headers.get(&Name::Timestamp)), (Status::TRYING, Some("54.21")));
    assert_eq!(trying.headers.get(&Name::Via), request.headers.get(&Name::Via));
    assert_eq!(trying.headers.to().unwrap().tag(), None, "100 has no tag");
}

#[test]
fn trying_of_the_user_has_no_tag_either() {
    let mut table = table();
    let (id, request) = incoming(&mut table, 0, hop(UDP), received("INVITE", "z9hG4bK1"));
    assert!(table.respond(at(10), id, request.response(Status::TRYING)));
    let [(_, Message::Response(trying))] = &sent(&mut table)[..] else { panic!() };
    assert_eq!(trying.headers.to().unwrap().tag(), None);
    assert_eq!(run(&mut table, 1_000), [], "one is enough");
}

#[test]
fn repeated_requests_get_the_last_response_and_are_not_told_again() {
    let mut table = table();
    let invite = received("INVITE", "z9hG4bK1");
    let (id, request) = incoming(&mut table, 0, hop(UDP), invite.clone());
    table.respond(at(50), id, request.response(Status::RINGING));
    let [(_, Message::Response(ringing))] = &sent(&mut table)[..] else { panic!() };
    table.receive(at(500), hop(UDP), Message::Request(invite.clone()));
    let [(_, Message::Response(again))] = &sent(&mut table)[..] else { panic!() };
    assert_eq!(again, ringing);
    table.respond(at(600), id, request.response(Status::OK));
    let [(_, Message::Response(ok))] = &sent(&mut table)[..] else { panic!() };
    let tag = ringing.headers.to().unwrap().tag().unwrap().to_owned();
    assert_eq!(ok.headers.to().unwrap().tag(), Some(tag.as_str()), "one To tag for all responses");
    table.receive(at(700), hop(UDP), Message::Request(invite));
    assert_eq!(outputs(&mut table), [], "RFC 6026: the user repeats its 2xx");
    assert!(table.respond(at(1100), id, request.response(Status::OK)));
    assert_eq!(sent_status(&mut table).1, 200);
    assert!(!table.respond(at(1200), id, request.response(Status::BUSY_HERE)));
    assert_eq!(table.counters().absorbed, 2);
}

#[test]
fn a_rejection_is_repeated_until_its_ack_and_the_ack_is_not_told() {
    let mut table = table();
    let (id, request) = incoming(&mut table, 0, hop(UDP), received("INVITE", "z9hG4bK1"));
    table.respond(at(100), id, request.response(Status::BUSY_HERE));
    outputs(&mut table);
    let at_which: Vec<_> = run(&mut table, 8_000).into_iter().map(|(at, _)| at).collect();
    assert_eq!(at_which, [600, 1600, 3600, 7600]);
    table.receive(at(8_000), hop(UDP), Message::Request(received("ACK", "z9hG4bK1")));
    assert_eq!(run(&mut table, 600_000), []);
    assert!(table.is_empty());

    let (id, request) = incoming(&mut table, 0, hop(UDP), received("INVITE", "z9hG4bK1"));
    table.respond(at(100), id, request.response(Status::BUSY_HERE));
    outputs(&mut table);
    assert_eq!(run(&mut table, 600_000).last(), Some(&(32_100, Output::ServerTimeout { id })));
}

#[test]
fn an_ack_to_a_2xx_goes_up_with_a_branch_of_its_own_or_with_the_invites() {
    let mut table = table();
    let (id, request) = incoming(&mut table, 0, hop(UDP), received("INVITE", "z9hG4bK1"));
    table.respond(at(100), id, request.response(Status::OK));
    outputs(&mut table);
    for branch in ["z9hG4bK2", "z9hG4bK1"] {
        table.receive(at(200), hop(UDP), Message::Request(received("ACK", branch)));
        assert!(matches!(&outputs(&mut table)[..], [Output::Ack { .. }]), "{branch}");
    }
}

#[test]
fn cancel_is_answered_and_told_while_the_invite_is_pending() {
    let mut table = table();
    let (id, request) = incoming(&mut table, 0, hop(UDP), received("INVITE", "z9hG4bK1"));
    table.respond(at(100), id, request.response(Status::RINGING).with_to_tag("mine"));
    outputs(&mut table);
    table.receive(at(200), hop(UDP), Message::Request(received("CANCEL", "z9hG4bK1")));
    let seen = outputs(&mut table);
    let [Output::Transmit { bytes, .. }, Output::Cancelled { invite, .. }] = &seen[..] else { panic!("{seen:?}") };
    let Message::Response(ok) = parse_datagram(bytes).unwrap() else { panic!() };
    assert_eq!((ok.status, ok.headers.to().unwrap().tag(), *invite), (Status::OK, Some("mine"), id));
    assert_eq!(ok.headers.get(&Name::CSeq), Some("7 CANCEL"));
    table.respond(at(200), id, request.response(Status::REQUEST_TERMINATED));
    assert_eq!(sent_status(&mut table).1, 487);
    // A repeated CANCEL is answered again and not told again.
    table.receive(at(250), hop(UDP), Message::Request(received("CANCEL", "z9hG4bK1")));
    assert_eq!(sent_status(&mut table).1, 200);
}

#[test]
fn cancel_after_the_answer_changes_nothing_and_cancel_of_nothing_gets_481() {
    let mut table = table();
    let (id, request) = incoming(&mut table, 0, hop(UDP), received("INVITE", "z9hG4bK1"));
    table.respond(at(100), id, request.response(Status::OK));
    outputs(&mut table);
    table.receive(at(200), hop(UDP), Message::Request(received("CANCEL", "z9hG4bK1")));
    assert_eq!(sent_status(&mut table).1, 200);
    table.receive(at(200), hop(UDP), Message::Request(received("CANCEL", "z9hG4bK9")));
    assert_eq!(sent_status(&mut table).1, 481);
}

#[test]
fn one_request_by_two_ways_is_merged() {
    let mut table = table();
    incoming(&mut table, 0, hop(UDP), received("INVITE", "z9hG4bK1"));
    table.receive(at(10), hop(UDP), Message::Request(received("INVITE", "z9hG4bK2")));
    let seen = outputs(&mut table);
    let [Output::Request { id, request, merged: true, .. }] = &seen[..] else { panic!("{seen:?}") };
    table.respond(at(10), *id, request.response(Status::LOOP_DETECTED));
    assert_eq!(sent_status(&mut table).1, 482);

    // In a dialog the same numbers mean nothing: a To tag is there.
    let mut inside = received("INFO", "z9hG4bK3");
    inside.headers.set(Name::To, "<sip:bob@example.com>;tag=b1");
    incoming(&mut table, 20, hop(UDP), inside.clone());
    inside.headers.set(Name::Via, "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK4");
    incoming(&mut table, 20, hop(UDP), inside);
    // Another number is another request.
    let mut next = received("INVITE", "z9hG4bK5");
    next.headers.set(Name::CSeq, "8 INVITE");
    incoming(&mut table, 20, hop(UDP), next);
}

#[test]
fn a_branch_means_nothing_without_its_sender() {
    let mut table = table();
    incoming(&mut table, 0, hop(UDP), received("INVITE", "z9hG4bK1"));
    let mut other = received("INVITE", "z9hG4bK1");
    other.headers.set(Name::Via, "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1");
    other.headers.set(Name::CallId, "call2");
    incoming(&mut table, 10, hop(UDP), other);
    // The host is compared without regard to case.
    let mut named = received("OPTIONS", "z9hG4bK2");
    named.headers.set(Name::Via, "SIP/2.0/UDP Host.Example;branch=z9hG4bK2");
    incoming(&mut table, 20, hop(UDP), named.clone());
    named.headers.set(Name::Via, "SIP/2.0/UDP host.example;branch=z9hG4bK2");
    table.receive(at(30), hop(UDP), Message::Request(named));
    assert_eq!(outputs(&mut table), []);
}

/// RFC 3261 17.2.3: without the cookie the whole request identifies the transaction.
#[test]
fn requests_of_rfc_2543_are_matched_without_a_branch() {
    for via in ["SIP/2.0/UDP 192.0.2.9", "SIP/2.0/UDP 192.0.2.9;branch=1", "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK"] {
        let mut table = table();
        let old = |method: &str| {
            let mut request = request(method);
            request.headers.prepend(Name::Via, via);
            request
        };
        let (id, request) = incoming(&mut table, 0, hop(UDP), old("INVITE"));
        table.respond(at(100), id, request.response(Status::BUSY_HERE).with_to_tag("mine"));
        assert_eq!(sent_status(&mut table).1, 486);
        table.receive(at(200), hop(UDP), Message::Request(old("INVITE")));
        assert_eq!(sent_status(&mut table).1, 486, "{via}");
        let mut ack = old("ACK");
        ack.headers.set(Name::To, "<sip:bob@example.com>;tag=mine");
        table.receive(at(300), hop(UDP), Message::Request(ack));
        assert_eq!(outputs(&mut table), []);
        assert_eq!(run(&mut table, 600_000), [], "the ACK ended timer G");
        assert!(table.is_empty());

        let (id, _) = incoming(&mut table, 0, hop(UDP), old("INVITE"));
        table.receive(at(10), hop(UDP), Message::Request(old("CANCEL")));
        let seen = outputs(&mut table);
        assert!(matches!(seen.last(), Some(Output::Cancelled { invite, .. }) if *invite == id), "{seen:?}");
        // Another Call-ID is another call.
        let mut other = old("INVITE");
        other.headers.set(Name::CallId, "call2");
        incoming(&mut table, 20, hop(UDP), other);
    }
}

#[test]
fn an_invite_that_our_user_forgot_is_answered_500() {
    let mut table = table();
    let (id, _) = incoming(&mut table, 0, hop(UDP), received("INVITE", "z9hG4bK1"));
    run(&mut table, 599_999);
    let seen = run(&mut table, 600_000);
    let [(_, Output::Transmit { bytes, .. }), (_, Output::ServerTimeout { id: forgotten })] = &seen[..] else {
        panic!("{seen:?}")
    };
    let Message::Response(response) = parse_datagram(bytes).unwrap() else { panic!() };
    assert_eq!((response.status, *forgotten), (Status::SERVER_INTERNAL_ERROR, id));
    assert!(response.headers.to().unwrap().tag().is_some());
    run(&mut table, 1_000_000);
    assert!(table.is_empty());
}

#[test]
fn the_table_is_bounded() {
    let limits = Limits { clients: 2, servers: 2, ..Limits::default() };
    let mut table = Transactions::new(Timers::default(), limits, Random::from_seed(1));
    for _ in 0..2 {
        table.send(at(0), request("OPTIONS"), hop(UDP)).unwrap();
    }
    assert_eq!(table.send(at(0), request("OPTIONS"), hop(UDP)), Err(SendError::Full(2)));
    for branch in ["z9hG4bK1", "z9hG4bK2", "z9hG4bK3"] {
        table.receive(at(0), hop(UDP), Message::Request(received("OPTIONS", branch)));
    }
    let Some(Output::Transmit { bytes, .. }) = outputs(&mut table).pop() else { panic!() };
    let Message::Response(refusal) = parse_datagram(&bytes).unwrap() else { panic!() };
    assert_eq!((refusal.status, refusal.headers.retry_after()), (Status(503), Some(Duration::from_secs(10))));
    assert_eq!((table.len(), table.counters().overload), ((2, 2), 1));

    // A call can be cancelled all the same.
    let mut table = Transactions::new(Timers::default(), Limits { servers: 1, ..limits }, Random::from_seed(1));
    let (id, _) = incoming(&mut table, 0, hop(UDP), received("INVITE", "z9hG4bK1"));
    table.receive(at(10), hop(UDP), Message::Request(received("CANCEL", "z9hG4bK1")));
    assert!(matches!(outputs(&mut table).last(), Some(Output::Cancelled { invite, .. }) if *invite == id));
}

/// Whatever was begun and then left alone is gone after five minutes, but for calls that ring.
#[test]
fn idle_tables_are_empty_after_five_minutes() {
    for transport in [UDP, TCP] {
        let mut table = table();
        for status in [200, 603] {
            let (_, invite) = start(&mut table, "INVITE", transport);
            answer(&mut table, 10, hop(transport), &invite, status, "b1");
            outputs(&mut table);
        }
        for method in ["INVITE", "OPTIONS", "REGISTER", "BYE"] {
            start(&mut table, method, transport);
        }
        table.send(at(0), large("MESSAGE"), hop(UDP)).unwrap();
        for (branch, status) in [("z9hG4bK1", 200), ("z9hG4bK2", 486), ("z9hG4bK3", 302)] {
            let mut invite = received("INVITE", branch);
            invite.headers.set(Name::CallId, branch);
            table.receive(at(0), hop(transport), Message::Request(invite));
            let Some(Output::Request { id, request, .. }) = outputs(&mut table).pop() else { panic!() };
            table.respond(at(10), id, request.response(Status(status)));
        }
        for (branch, answered) in [("z9hG4bK4", true), ("z9hG4bK5", false)] {
            let mut options = received("OPTIONS", branch);
            options.headers.set(Name::CallId, branch);
            table.receive(at(0), hop(transport), Message::Request(options));
            let Some(Output::Request { id, request, .. }) = outputs(&mut table).pop() else { panic!() };
            if answered {
                table.respond(at(10), id, request.response(Status::OK));
            }
        }
        assert!(!table.is_empty());
        run(&mut table, 300_000);
        assert!(table.is_empty(), "{transport}: {table:?}");
        assert_eq!(table.poll_timeout(), None);
    }
}
