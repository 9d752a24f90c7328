//! Who calls whom: caller ids of ours, called numbers and callers of theirs, own header fields, causes.

use crate::world::{ANN, BOB, World};
use sidetone::call::negotiate::SrtpPolicy;
use sidetone::call::{MediaOptions, Moment};
use sidetone::engine::{Dial, Refused};
use sidetone::media::plan::Codec;
use sidetone::sip::agent::{Account, AccountId};
use sidetone::sip::header::{Header, Name};
use sidetone::sip::identity::{Assertion, CalledField, NumberFormat};
use sidetone::sip::message::{Message, Method, Request, Status};
use sidetone::sip::uri::Uri;
use sidetone::sip::wire::parse_datagram;
use sidetone::time::Duration;
use std::net::SocketAddr;

const BOB_AT: &str = "192.0.2.2:5060";
const FAR: &str = "192.0.2.1:5099";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Another account for `who`; its id.
fn add(world: &mut World, who: usize, aor: &str, change: impl FnOnce(&mut Account)) -> AccountId {
    let mut account = Account::new(aor.parse().unwrap());
    change(&mut account);
    world.with(who, |engine, _| engine.add_account(account))
}

fn dial(account: AccountId, target: &str, from_number: Option<&str>, headers: Vec<Header>) -> Dial {
    Dial {
        account,
        target: target.parse().unwrap(),
        from_number: from_number.map(str::to_owned),
        media: MediaOptions::default(),
        ring_limit: Duration::from_secs(30),
        headers,
    }
}

/// Requests of this method that were sent, oldest first.
fn sent(world: &World, method: &Method) -> Vec<Request> {
    let requests = world.trace.iter().filter_map(|wire| match parse_datagram(&wire.bytes) {
        Ok(Message::Request(request)) if request.method == *method => Some(request),
        _ => None,
    });
    requests.collect()
}

#[test]
fn a_call_carries_the_number_that_was_chosen_in_the_fields_of_the_preset() {
    let mut world = World::new(41);
    let trunk = add(&mut world, ANN, "sip:pbx@192.0.2.2", |account| {
        account.display = Some("Ann \"A\" Müller".into());
        account.numbers = vec!["+15550100001".into(), "+15550100002".into()];
        account.identity.assert = vec![Assertion::AssertedIdentity];
        account.identity.numbering.format = NumberFormat::PlusE164;
        account.identity.numbering.country = Some("1".into());
        account.headers = vec![Header { name: Name::of("X-Customer"), value: "7".into() }];
    });
    let own = vec![Header { name: Name::of("X-Campaign"), value: "spring".into() }];
    let call = dial(trunk, "sip:5550100009@192.0.2.2", Some("555-010-0002"), own);
    world.with(ANN, |engine, now| engine.dial(now, call)).unwrap();
    world.run(Duration::from_secs(1));
    let invite = sent(&world, &Method::Invite).remove(0);
    let field = |name: &Name| invite.headers.get(name).unwrap().to_owned();
    assert_eq!(invite.uri.to_string(), "sip:+15550100009@192.0.2.2");
    assert_eq!(field(&Name::To), "<sip:+15550100009@192.0.2.2>");
    assert!(
        field(&Name::From).starts_with("\"Ann \\\"A\\\" Müller\" <sip:+15550100002@192.0.2.2>;tag="),
        "{}",
        field(&Name::From)
    );
    assert_eq!(field(&Name::AssertedIdentity), "\"Ann \\\"A\\\" Müller\" <sip:+15550100002@192.0.2.2>");
    assert_eq!((field(&Name::of("x-customer")), field(&Name::of("x-campaign"))), ("7".into(), "spring".into()));
    let record = world.places[ANN].events[0].1.record.clone();
    assert_eq!((record.number.as_deref(), record.from.as_str()), (Some("+15550100002"), "sip:+15550100002@192.0.2.2"));
    assert_eq!(record.to, "sip:+15550100009@192.0.2.2");

    // What is not ours, or cannot be written, is not sent.
    let sent_before = world.trace.len();
    let foreign = dial(trunk, "sip:bob@192.0.2.2", Some("+15550100003"), Vec::new());
    let refused = world.with(ANN, |engine, now| engine.dial(now, foreign)).unwrap_err();
    assert!(matches!(refused, Refused::Caller(_)) && refused.to_string().contains("+15550100001"), "{refused}");
    let strict = add(&mut world, ANN, "sip:x@192.0.2.2", |account| {
        account.identity.numbering.format = NumberFormat::PlusE164;
    });
    let national = dial(strict, "sip:5550100009@192.0.2.2", None, Vec::new());
    let refused = world.with(ANN, |engine, now| engine.dial(now, national)).unwrap_err();
    assert!(matches!(refused, Refused::Number(_)) && refused.to_string().contains("country_code"), "{refused}");
    assert_eq!(world.trace.len(), sent_before);
}

#[test]
fn an_anonymous_call_is_anonymous_to_the_far_end() {
    let mut world = World::new(42);
    let trunk = add(&mut world, ANN, "sip:pbx@192.0.2.2", |account| account.numbers = vec!["+15550100001".into()]);
    let call = dial(trunk, "sip:bob@192.0.2.2", Some("anonymous"), Vec::new());
    world.with(ANN, |engine, now| engine.dial(now, call)).unwrap();
    let ringing = world.wait(BOB, |moment| matches!(moment, Moment::Ringing { .. }));
    let invite = sent(&world, &Method::Invite).remove(0);
    assert!(invite.headers.get(&Name::From).unwrap().starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>"));
    assert_eq!(invite.headers.get(&Name::Privacy), Some("id"));
    assert_eq!(invite.headers.get(&Name::PreferredIdentity), Some("<sip:+15550100001@192.0.2.2>"));
    assert_eq!(ringing.record.from, "sip:anonymous@anonymous.invalid");
    assert_eq!(ringing.record.metadata["anonymous"], true);
    assert!(!ringing.record.metadata.contains_key("display_name"));
    assert_eq!(world.places[ANN].events[0].1.record.from, "sip:+15550100001@192.0.2.2", "our own log knows");
}

fn invite(fields: &[(&str, &str)], call_id: &str) -> Request {
    let mut request = Request::new(Method::Invite, format!("sip:bob@{BOB_AT}").parse::<Uri>().unwrap());
    let all = [
        ("Via", format!("SIP/2.0/UDP {FAR};branch=z9hG4bK{call_id};rport")),
        ("Max-Forwards", "70".into()),
        ("From", "\"Al\" <sip:+15550109999@carrier.example>;tag=far".into()),
        ("To", "<sip:bob@carrier.example>".into()),
        ("Call-ID", call_id.into()),
        ("CSeq", "1 INVITE".into()),
        ("Contact", format!("<sip:gw@{FAR}>")),
    ];
    for (name, value) in all {
        request.headers.push(name, value);
    }
    for (name, value) in fields {
        request.headers.push(*name, *value);
    }
    let sdp = "v=0\r\no=- 5 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\n";
    request.with_body("application/sdp", sdp)
}

#[test]
fn an_inbound_call_tells_its_number_its_caller_and_what_the_carrier_added() {
    let mut world = World::new(43);
    let fields = [
        ("P-Asserted-Identity", "<sip:+15550107777@carrier.example;verstat=TN-Validation-Passed-A>"),
        ("Diversion", "<sip:+15550100001@twilio.com>;reason=unconditional"),
        ("Identity", "eyJhbGciOiJFUzI1NiJ9.e30.c2ln;info=<https://cert.example/a.pem>;ppt=shaken"),
        ("X-Twilio-CallSid", "CA00000000000000000000000000000001"),
    ];
    // Bob's account is at 192.0.2.2; a carrier's networks are at 192.0.2.1.
    let trunk = add(&mut world, BOB, "sip:bob@carrier.example", |account| {
        account.sources = vec!["192.0.2.0/30".parse().unwrap()];
        account.identity.called = vec![CalledField::RequestUri, CalledField::To, CalledField::Diversion];
    });
    let media = MediaOptions { codecs: vec![Codec::Pcma], srtp: SrtpPolicy::Off, ..MediaOptions::default() };
    world.with(BOB, |engine, _| engine.set_account_media(trunk, media));
    let mut call = invite(&fields, "carrier1");
    call.uri = "sip:pilot@192.0.2.2:5060".parse().unwrap();
    world.say(at(FAR), at(BOB_AT), call.to_bytes());
    let ringing = world.wait(BOB, |moment| matches!(moment, Moment::Ringing { .. }));
    let record = &ringing.record;
    assert_eq!(record.account.as_deref(), Some("sip:bob@carrier.example"));
    assert_eq!(
        (record.number.as_deref(), record.from.as_str()),
        (Some("+15550100001"), "sip:+15550107777@carrier.example")
    );
    assert_eq!(record.metadata["display_name"], "Al");
    assert_eq!(record.metadata["verstat"], "TN-Validation-Passed-A");
    assert!(record.metadata["identity"].as_str().unwrap().starts_with("eyJhbGciOiJFUzI1NiJ9."));
    assert_eq!(record.metadata["diversion"][0], "<sip:+15550100001@twilio.com>;reason=unconditional");
    assert_eq!(record.metadata["headers"]["X-Twilio-CallSid"], "CA00000000000000000000000000000001");

    // It takes the codec of its account, not the first of all that are known.
    world.answer(BOB, ringing.call).unwrap();
    world.run(Duration::from_millis(100));
    let answered = world.wait(BOB, |moment| *moment == Moment::Answered);
    assert_eq!(answered.record.codec.as_deref(), Some("PCMA"));
}

#[test]
fn of_two_accounts_at_one_carrier_the_number_tells_which_is_called() {
    let mut world = World::new(44);
    for (user, number) in [("one", "+15550100001"), ("two", "+15550100002")] {
        add(&mut world, BOB, &format!("sip:{user}@carrier.example"), |account| {
            account.sources = vec!["192.0.2.1".parse().unwrap()];
            account.numbers = vec![number.into()];
        });
    }
    let mut call = invite(&[], "carrier2");
    call.uri = format!("sip:15550100002@{BOB_AT}").parse().unwrap();
    world.say(at(FAR), at(BOB_AT), call.to_bytes());
    let ringing = world.wait(BOB, |moment| matches!(moment, Moment::Ringing { .. }));
    assert_eq!(ringing.record.account.as_deref(), Some("sip:two@carrier.example"));
    assert_eq!(ringing.record.number.as_deref(), Some("15550100002"));
}

#[test]
fn every_end_of_ours_says_its_cause() {
    let mut world = World::new(45);
    let (_, bob) = world.talk();
    world.hangup(BOB, bob).unwrap();
    world.run(Duration::from_secs(1));
    let bye = sent(&world, &Method::Bye).remove(0);
    assert_eq!(bye.headers.get(&Name::Reason), Some("Q.850;cause=16;text=\"Normal call clearing\""));
    let ended = world.ended(ANN).remove(0);
    assert_eq!(ended.metadata["cause"], 16);
    assert_eq!(ended.metadata["cause_text"], "somebody hung up");

    // Our ring limit.
    let mut world = World::new(46);
    world.dial(ANN, "sip:bob@192.0.2.2", Duration::from_secs(5), MediaOptions::default());
    world.run(Duration::from_secs(10));
    let cancel = sent(&world, &Method::Cancel).remove(0);
    assert_eq!(cancel.headers.get(&Name::Reason), Some("Q.850;cause=19;text=\"No answer from user\""));
    assert_eq!(world.ended(BOB).remove(0).metadata["cause_text"], "it rang and nobody answered");

    // A refusal.
    let mut world = World::new(47);
    world.ann_calls();
    let call = world.wait(BOB, |moment| matches!(moment, Moment::Ringing { .. })).call;
    world.with(BOB, |engine, now| engine.reject(now, call, Status::BUSY_HERE)).unwrap();
    world.run(Duration::from_secs(1));
    let ended = world.ended(ANN).remove(0);
    assert_eq!((ended.sip_code, &ended.metadata["cause"]), (Some(486), &17.into()));
    assert_eq!(ended.metadata["cause_text"], "the line is busy");
}

#[test]
fn a_cause_of_the_network_is_told_as_a_sentence() {
    let mut world = World::new(48);
    world.say(at(FAR), at(BOB_AT), invite(&[], "elsewhere").to_bytes());
    world.wait(BOB, |moment| matches!(moment, Moment::Ringing { .. }));
    let mut cancel = invite(&[], "elsewhere");
    cancel.method = Method::Cancel;
    cancel.body = Default::default();
    cancel.headers.set(Name::CSeq, "1 CANCEL");
    cancel.headers.set(Name::ContentLength, "0");
    cancel.headers.remove(&Name::ContentType);
    cancel.headers.push(Name::Reason, "SIP;cause=200;text=\"Call completed elsewhere\"");
    cancel.headers.push(Name::Reason, "Q.850;cause=26");
    world.say(at(FAR), at(BOB_AT), cancel.to_bytes());
    world.run(Duration::from_secs(60));
    let ended = world.ended(BOB).remove(0);
    assert_eq!(ended.metadata["cause"], 26);
    assert_eq!(ended.metadata["cause_text"], "another phone answered the call");
}
