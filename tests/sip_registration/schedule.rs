//! What is sent when: refreshes, back-off, the end.

use super::*;

#[test]
fn a_register_says_what_the_rfc_asks_for() {
    let mut config = config();
    config.route = vec!["<sip:proxy.example;lr>".parse().unwrap()];
    config.instance = Some("urn:uuid:00000000-0000-1000-8000-000A95A0E128".into());
    let (phone, request) = Phone::registering(config);
    assert_eq!(phone.registration.target().to_string(), "sip:proxy.example;lr");
    assert_eq!(request.uri.to_string(), "sip:example.com");
    assert_eq!(header(&request, &Name::To), "\"Alice\" <sip:alice@example.com>");
    assert!(header(&request, &Name::From).starts_with("\"Alice\" <sip:alice@example.com>;tag="));
    assert_eq!(header(&request, &Name::Route), "<sip:proxy.example;lr>");
    assert_eq!(header(&request, &Name::Expires), "3600");
    assert_eq!(
        header(&request, &Name::Contact),
        "<sip:alice@10.0.0.1:5060>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\";expires=3600;reg-id=1"
    );
    assert_eq!((header(&request, &Name::MaxForwards), header(&request, &Name::UserAgent)), ("70", "test"));
    assert_eq!(*phone.state(), State::Registering);
}

#[test]
fn refreshes_come_before_the_granted_end_with_the_same_call_id_and_rising_numbers() {
    let (mut phone, first) = Phone::registering(config());
    let mut number = first.headers.cseq().unwrap().number;
    let mut request = first.clone();
    for granted in [60, 600, 3600, 10, 2] {
        phone.answer(&bound(&request, granted));
        let end = phone.now + Duration::from_secs(granted.into());
        let State::Registered { granted: lifetime, expires, refresh, .. } = phone.state().clone() else { panic!() };
        assert_eq!((lifetime, expires), (Duration::from_secs(granted.into()), end));
        phone.quiet();
        let waited = phone.wait();
        assert_eq!(phone.now, refresh);
        // Not in the first half, and with room for two time-outs where the life is long enough.
        within(waited, f64::from(granted) / 2.0, f64::from(granted) - (f64::from(granted) / 4.0).min(64.0));
        request = phone.sent();
        assert!(matches!(phone.state(), State::Registered { .. }), "no flicker");
        let cseq = request.headers.cseq().unwrap();
        assert_eq!(header(&request, &Name::CallId), header(&first, &Name::CallId));
        assert!(cseq.number > number);
        number = cseq.number;
    }
}

#[test]
fn an_account_may_want_its_refresh_earlier() {
    for (percent, granted) in [(50, 600), (50, 3600), (80, 300), (10, 60)] {
        let refresh = RefreshShare::new(percent);
        let (mut phone, request) = Phone::registering(Config { refresh, ..config() });
        phone.answer(&bound(&request, granted));
        phone.quiet();
        let whole = f64::from(granted) * f64::from(percent) / 100.0;
        within(phone.wait(), whole * 0.95, whole);
    }
}

#[test]
fn only_our_binding_counts() {
    let refused = ["<sip:alice@203.0.113.5:5060>;expires=3600", "<sip:bob@10.0.0.1:5060>;expires=3000"];
    let cases: &[(&[&str], Option<&str>, Option<u64>)] = &[
        (&[refused[0], "<sip:alice@10.0.0.1:5060>;expires=60", refused[1]], Some("1800"), Some(60)),
        (&["<sip:alice@10.0.0.1:5060>;q=1.0", refused[0]], Some("1800"), Some(1800)),
        (&["<sip:alice@10.0.0.1:5060>"], None, Some(3600)),
        (&["<sip:%61lice@10.0.0.1:5060;new=param>;expires=60"], None, Some(60)),
        // Written anew by the registrar.
        (&["<sip:alice@10.0.0.1;transport=udp>;expires=70", refused[0]], None, Some(70)),
        (&[], Some("1800"), Some(1800)),
        (&[], None, Some(3600)),
        (&refused, Some("1800"), Some(1800)),
        (&refused, None, None),
        (&["<sip:alice@10.0.0.1:5060>;expires=0"], Some("1800"), None),
    ];
    for (contacts, expires, granted) in cases {
        let (mut phone, request) = Phone::registering(config());
        let mut response = ok(&request, contacts);
        if let Some(expires) = expires {
            response.headers.push(Name::Expires, *expires);
        }
        phone.answer(&response);
        match (phone.state(), granted) {
            (State::Registered { granted: lifetime, .. }, Some(seconds)) => assert_eq!(lifetime.as_secs(), *seconds),
            (State::Failed { failure: Failure::NotBound(contact), bound: None, .. }, None) => {
                assert_eq!(contact.to_string(), "sip:alice@10.0.0.1:5060");
            }
            (other, _) => panic!("{contacts:?}, {expires:?}: {other:?}"),
        }
    }
}

#[test]
fn too_brief_asks_for_what_the_registrar_wants() {
    let mut config = config();
    config.expires = Duration::from_secs(30);
    let (mut phone, request) = Phone::registering(config);
    let brief = |request: &Request, least: &str| {
        let mut response = request.response(Status::INTERVAL_TOO_BRIEF);
        response.headers.push(Name::MinExpires, least);
        response
    };
    phone.answer(&brief(&request, "120"));
    let request = phone.sent();
    assert_eq!(header(&request, &Name::Expires), "120");
    assert!(header(&request, &Name::Contact).ends_with(";expires=120"));
    phone.answer(&bound(&request, 120));
    phone.quiet();
    phone.wait();
    let request = phone.sent();
    assert_eq!(header(&request, &Name::Expires), "120", "remembered");
    // A registrar that raises it without end is not followed.
    phone.answer(&brief(&request, "121"));
    let request = phone.sent();
    phone.answer(&brief(&request, "122"));
    let request = phone.sent();
    phone.answer(&brief(&request, "123"));
    assert!(matches!(phone.failure(), Failure::Rejected { status: Status::INTERVAL_TOO_BRIEF, .. }));
    phone.quiet();
    // Nor one that does not say how much.
    phone.wait();
    let request = phone.sent();
    phone.answer(&request.response(Status::INTERVAL_TOO_BRIEF));
    assert!(matches!(phone.failure(), Failure::Rejected { .. }));
}

/// RFC 5626 section 4.5: 30 s * 2^failures, at most 1800 s, and of that 50 to 100 %.
#[test]
fn failures_back_off_with_jitter() {
    let mut waits = Vec::new();
    for seed in 0..20 {
        let mut phone = Phone::new(config(), seed);
        phone.registration.register(phone.now);
        for (nth, longest) in [60.0, 120.0, 240.0, 480.0, 960.0, 1800.0, 1800.0].into_iter().enumerate() {
            let request = phone.sent();
            match nth % 3 {
                0 => phone.registration.handle_failure(phone.now, Failure::Timeout),
                1 => phone.answer(&request.response(Status(500))),
                _ => phone.registration.handle_failure(phone.now, Failure::Transport),
            }
            let State::Failed { failures, next, bound: None, .. } = phone.state().clone() else { panic!() };
            assert_eq!(failures as usize, nth + 1);
            phone.quiet();
            let waited = phone.wait();
            assert_eq!(phone.now, next);
            within(waited, longest / 2.0, longest);
            waits.push(waited);
        }
    }
    waits.sort();
    waits.dedup();
    assert_eq!(waits.len(), 140, "no two phones wait for the same time");
}

#[test]
fn a_success_forgets_the_failures_and_the_user_can_shorten_the_wait() {
    let (mut phone, _) = Phone::registering(config());
    phone.registration.handle_failure(phone.now, Failure::Timeout);
    phone.quiet();
    phone.wait();
    let request = phone.sent();
    assert_eq!(*phone.state(), State::Registering);
    phone.answer(&bound(&request, 60));
    phone.quiet();
    phone.wait();
    phone.sent();
    phone.registration.handle_failure(phone.now, Failure::Timeout);
    let State::Failed { failures: 1, bound: Some(bound), .. } = phone.state().clone() else { panic!() };
    assert!(bound > phone.now, "the binding outlives a failed refresh");
    phone.quiet();
    phone.registration.register(phone.now);
    let request = phone.sent();
    phone.answer(&request.response(Status(404)));
    phone.quiet();
    within(phone.wait(), 900.0, 1800.0);
    phone.sent();
    phone.registration.handle_failure(phone.now, Failure::Timeout);
    phone.quiet();
    phone.registration.register(phone.now);
    phone.sent();
    phone.registration.handle_failure(phone.now, Failure::Timeout);
    assert!(matches!(phone.state(), State::Failed { failures: 1, .. }), "a new wish starts anew");
}

#[test]
fn retry_after_is_obeyed_within_reason() {
    for (seconds, low, high) in [("120", 120.0, 132.0), ("0", 1.0, 1.1), ("1000000", 3600.0, 3960.0)] {
        for status in [503, 480, 404] {
            let (mut phone, request) = Phone::registering(config());
            let mut response = request.response(Status(status));
            response.headers.push(Name::RetryAfter, format!("{seconds} (maintenance)"));
            phone.answer(&response);
            assert!(matches!(phone.failure(), Failure::Rejected { .. }));
            phone.quiet();
            within(phone.wait(), low, high);
        }
    }
}

#[test]
fn what_a_human_has_to_mend_is_tried_seldom() {
    for status in [300, 302, 403, 404, 405, 420, 603] {
        let (mut phone, request) = Phone::registering(config());
        phone.answer(&request.response(Status(status)));
        assert!(matches!(phone.failure(), Failure::Rejected { .. }), "{status}");
        phone.quiet();
        within(phone.wait(), 900.0, 1800.0);
    }
}

#[test]
fn a_lost_outcome_counts_as_time_out() {
    let (mut phone, request) = Phone::registering(config());
    phone.answer(&request.response(Status::TRYING));
    phone.quiet();
    within(phone.wait(), 64.0, 120.0);
    assert_eq!(*phone.failure(), Failure::Timeout);
    phone.quiet();
    // What comes now belongs to nothing.
    phone.answer(&bound(&request, 60));
    assert_eq!(*phone.failure(), Failure::Timeout);
    // An answer to an earlier request does not count either.
    phone.wait();
    phone.sent();
    phone.answer(&bound(&request, 60));
    assert_eq!(*phone.state(), State::Registering);
    // The agent may also never come back from its search for the way.
    let mut phone = Phone::new(config(), 1);
    phone.registration.register(phone.now);
    phone.outputs();
    phone.wait();
    assert_eq!(*phone.failure(), Failure::Timeout);
}

#[test]
fn unregister_removes_our_contact_only() {
    let (mut phone, request) = Phone::registering(config());
    phone.answer(&bound(&request, 60));
    phone.quiet();
    phone.registration.unregister(phone.now);
    assert_eq!(*phone.state(), State::Unregistering);
    let request = phone.sent();
    assert_eq!(request.headers.all(&Name::Contact).collect::<Vec<_>>(), ["<sip:alice@10.0.0.1:5060>;expires=0"]);
    assert_eq!(header(&request, &Name::Expires), "0");
    phone.answer(&ok(&request, &["<sip:alice@203.0.113.5:5060>;expires=100"]));
    assert_eq!(phone.quiet(), [State::Unregistered]);
    assert_eq!(phone.registration.poll_timeout(), None);
    phone.registration.unregister(phone.now);
    assert_eq!(phone.quiet(), []);
}

#[test]
fn unregister_waits_for_the_register_under_way() {
    let (mut phone, request) = Phone::registering(config());
    phone.registration.unregister(phone.now);
    assert_eq!(phone.quiet(), [State::Unregistering]);
    phone.answer(&bound(&request, 60));
    let request = phone.sent();
    assert_eq!(header(&request, &Name::Expires), "0");
    phone.registration.handle_failure(phone.now, Failure::Timeout);
    assert_eq!(phone.quiet(), [State::Unregistered], "the binding runs out by itself");
}

#[test]
fn unregister_without_a_binding_sends_nothing() {
    let mut phone = Phone::new(config(), 1);
    phone.registration.unregister(phone.now);
    assert_eq!(phone.quiet(), []);
    phone.registration.register(phone.now);
    phone.registration.unregister(phone.now);
    assert!(phone.outputs().contains(&Output::Send));
    assert_eq!(phone.registration.request(phone.now, phone.hop), None);
    assert_eq!(phone.quiet(), [State::Unregistered]);

    let (mut phone, _) = Phone::registering(config());
    phone.registration.handle_failure(phone.now, Failure::Transport);
    phone.quiet();
    phone.registration.unregister(phone.now);
    assert_eq!(phone.quiet(), [State::Unregistered]);
    assert_eq!(phone.registration.poll_timeout(), None);
}

#[test]
fn the_user_may_change_its_mind() {
    let (mut phone, request) = Phone::registering(config());
    phone.answer(&bound(&request, 60));
    phone.quiet();
    phone.registration.unregister(phone.now);
    let request = phone.sent();
    phone.registration.register(phone.now);
    phone.answer(&ok(&request, &[]));
    let request = phone.sent();
    assert_eq!(header(&request, &Name::Expires), "3600");
    phone.answer(&bound(&request, 60));
    assert!(matches!(phone.state(), State::Registered { .. }));
}

/// RFC 5626: the flow is offered by `reg-id`, agreed by `Require: outbound`, and given up on 439.
#[test]
fn the_flow_is_offered_and_kept_where_the_registrar_can() {
    let mut config = config();
    config.instance = Some("urn:uuid:00000000-0000-1000-8000-000A95A0E128".into());
    let (mut phone, request) = Phone::registering(config.clone());
    assert_eq!(header(&request, &Name::Supported), "path, outbound");
    assert!(header(&request, &Name::Contact).contains(";reg-id=1"));
    assert!(!phone.registration.dialog_contact(phone.hop).to_string().contains(";ob"));
    let mut agreed = bound(&request, 60);
    agreed.headers.push(Name::Require, "outbound");
    phone.answer(&agreed);
    assert!(matches!(phone.state(), State::Registered { .. }));
    assert_eq!(phone.registration.dialog_contact(phone.hop).to_string(), "sip:alice@10.0.0.1:5060;ob");
    phone.quiet();
    // From another address: the registrar finds the binding by instance and flow, so there is one contact only.
    phone.hop.local = address("10.0.0.2:5060");
    phone.registration.renew(phone.now);
    let moved = phone.sent();
    assert_eq!(moved.headers.contacts().unwrap().len(), 1);
    assert!(header(&moved, &Name::Contact).starts_with("<sip:alice@10.0.0.2:5060>"));

    let (mut phone, request) = Phone::registering(config);
    phone.answer(&request.response(Status(439)));
    let again = phone.sent();
    assert_eq!(header(&again, &Name::Supported), "path");
    assert!(!header(&again, &Name::Contact).contains("reg-id"));
    phone.answer(&bound(&again, 60));
    assert!(matches!(phone.state(), State::Registered { .. }));
}

/// A changed network: whatever is under way or waited for starts anew, and the answer to the attempt before is nothing.
#[test]
fn a_renewal_starts_anew_at_once() {
    let (mut phone, first) = Phone::registering(config());
    phone.registration.renew(phone.now);
    let second = phone.sent();
    phone.answer(&bound(&first, 60));
    assert_eq!(*phone.state(), State::Registering);
    phone.registration.handle_failure(phone.now, Failure::Timeout);
    phone.quiet();
    phone.registration.renew(phone.now);
    let third = phone.sent();
    assert!(third.headers.cseq().unwrap().number > second.headers.cseq().unwrap().number);
    phone.answer(&bound(&third, 60));
    phone.quiet();
    phone.registration.renew(phone.now);
    phone.sent();
    assert!(matches!(phone.state(), State::Registered { .. }), "the binding is not gone by that");
    // Nobody wants to be registered: nothing happens.
    let mut idle = Phone::new(config(), 1);
    idle.registration.renew(idle.now);
    assert_eq!(idle.quiet(), []);
}
