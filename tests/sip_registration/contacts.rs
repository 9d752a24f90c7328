//! Behind an address translator: the contact that leads to us.

use super::*;

/// The response as it comes through a translator: the registrar saw `from`.
fn seen(mut response: Response, from: &str) -> Response {
    let mut via = response.headers.top_via().unwrap();
    via.note_source(address(from));
    response.headers.set_first(Name::Via, via.to_string());
    response
}

fn contacts(request: &Request) -> Vec<&str> {
    request.headers.all(&Name::Contact).collect()
}

#[test]
fn what_the_challenge_taught_is_bound_at_once() {
    let (mut phone, request) = Phone::registering(config());
    let mut challenge = request.response(Status::UNAUTHORIZED);
    challenge.headers.push(Name::WwwAuthenticate, "Digest realm=\"r\", nonce=\"n\"");
    phone.answer(&seen(challenge, "198.51.100.7:1024"));
    let request = phone.sent();
    assert_eq!(contacts(&request), ["<sip:alice@198.51.100.7:1024>;expires=3600"]);
    phone.answer(&seen(bound(&request, 60), "198.51.100.7:1024"));
    let State::Registered { contact, .. } = phone.state() else { panic!("{:?}", phone.state()) };
    assert_eq!(contact.to_string(), "sip:alice@198.51.100.7:1024");
    phone.quiet();
    // The calls of the account are reached there too, on that way and no other.
    assert_eq!(phone.registration.contact(phone.hop).to_string(), "sip:alice@198.51.100.7:1024");
    let elsewhere = Hop { remote: address("192.0.2.10:5060"), ..phone.hop };
    assert_eq!(phone.registration.contact(elsewhere).to_string(), "sip:alice@10.0.0.1:5060");
}

#[test]
fn a_contact_that_leads_nowhere_is_replaced() {
    let (mut phone, request) = Phone::registering(config());
    phone.answer(&seen(bound(&request, 60), "198.51.100.7:1024"));
    assert_eq!(*phone.state(), State::Registering, "nobody could call us yet");
    let request = phone.sent();
    assert_eq!(
        contacts(&request),
        ["<sip:alice@198.51.100.7:1024>;expires=3600", "<sip:alice@10.0.0.1:5060>;expires=0"]
    );
    phone.answer(&seen(bound(&request, 60), "198.51.100.7:1024"));
    assert!(matches!(phone.state(), State::Registered { .. }));
    phone.quiet();
    phone.wait();
    assert_eq!(contacts(&phone.sent()), ["<sip:alice@198.51.100.7:1024>;expires=3600"], "nothing old is left");
}

#[test]
fn a_translator_that_never_settles_does_not_keep_us_busy() {
    let (mut phone, mut request) = Phone::registering(config());
    for port in 1024..1026 {
        phone.answer(&seen(bound(&request, 60), &format!("198.51.100.7:{port}")));
        request = phone.sent();
    }
    phone.answer(&seen(bound(&request, 60), "198.51.100.7:1026"));
    assert!(matches!(phone.state(), State::Registered { .. }));
    phone.quiet();
    phone.wait();
    // The next refresh takes what was learned last.
    assert_eq!(contacts(&phone.sent())[0], "<sip:alice@198.51.100.7:1026>;expires=3600");
}

#[test]
fn a_new_local_address_replaces_the_old_contact() {
    let (mut phone, request) = Phone::registering(config());
    phone.answer(&bound(&request, 60));
    phone.quiet();
    phone.wait();
    phone.hop.local = address("10.0.0.2:5060");
    let request = phone.sent();
    assert_eq!(contacts(&request), ["<sip:alice@10.0.0.2:5060>;expires=3600", "<sip:alice@10.0.0.1:5060>;expires=0"]);
}

#[test]
fn over_tcp_the_contact_says_so_and_the_port_of_the_connection_counts_behind_a_translator_only() {
    let (mut phone, _) = Phone::registering(config());
    phone.registration.handle_failure(phone.now, Failure::Transport);
    phone.quiet();
    phone.hop.transport = Transport::Tcp;
    phone.wait();
    let request = phone.sent();
    assert_eq!(contacts(&request), ["<sip:alice@10.0.0.1:5060;transport=tcp>;expires=3600"]);
    phone.answer(&seen(bound(&request, 60), "10.0.0.1:40000"));
    assert!(matches!(phone.state(), State::Registered { .. }));
    phone.quiet();
    phone.wait();
    let request = phone.sent();
    phone.answer(&seen(bound(&request, 60), "198.51.100.7:40000"));
    assert_eq!(contacts(&phone.sent())[0], "<sip:alice@198.51.100.7:40000;transport=tcp>;expires=3600");
}

#[test]
fn the_same_instance_is_ours_whatever_its_contact() {
    let mut config = config();
    config.instance = Some("urn:uuid:1".into());
    let (mut phone, request) = Phone::registering(config);
    phone.answer(&ok(
        &request,
        &[
            "<sip:alice@10.0.0.2:5060>;+sip.instance=\"<urn:uuid:2>\";expires=10",
            "<sip:x@sbc.example>;+sip.instance=\"<urn:uuid:1>\";expires=60",
        ],
    ));
    let State::Registered { granted, .. } = phone.state() else { panic!("{:?}", phone.state()) };
    assert_eq!(granted.as_secs(), 60);
}

#[test]
fn the_service_route_is_kept_until_the_end() {
    let (mut phone, request) = Phone::registering(config());
    let mut response = bound(&request, 60);
    response.headers.push("Service-Route", "<sip:edge.example;lr>");
    response.headers.push("Service-Route", "<sip:home.example;lr>");
    phone.answer(&response);
    let route: Vec<_> = phone.registration.service_route().iter().map(ToString::to_string).collect();
    assert_eq!(route, ["<sip:edge.example;lr>", "<sip:home.example;lr>"]);
    phone.quiet();
    phone.registration.unregister(phone.now);
    let request = phone.sent();
    phone.answer(&ok(&request, &[]));
    assert!(phone.registration.service_route().is_empty());
}
