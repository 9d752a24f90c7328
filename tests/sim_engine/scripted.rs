//! A far end that does what no engine of ours does yet: it holds, resumes and moves, and it calls without an offer. Its
//! messages are written out, so that the engine is tested against the letter.

use crate::world::{ANN, BOB, World};
use sidetone::call::record::{EndedBy, Status};
use sidetone::call::{CallId, Moment, Side};
use sidetone::media::plan::Direction;
use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Method, Request, Response};
use sidetone::sip::uri::Uri;
use sidetone::sip::wire::parse_datagram;
use sidetone::time::Duration;
use std::net::SocketAddr;

const BOB_AT: &str = "192.0.2.2:5060";

/// The far end's own port: no engine hears what goes there.
const FAR: &str = "192.0.2.1:5099";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn request(bytes: &[u8], wanted: &Method) -> Option<Request> {
    match parse_datagram(bytes) {
        Ok(Message::Request(request)) if request.method == *wanted => Some(request),
        _ => None,
    }
}

fn response(bytes: &[u8], status: u16, method: &Method) -> Option<Response> {
    match parse_datagram(bytes) {
        Ok(Message::Response(response))
            if response.status.0 == status && response.headers.cseq().unwrap().method == *method =>
        {
            Some(response)
        }
        _ => None,
    }
}

/// What the far end knows of the dialog.
struct Dialog {
    from: String,
    to: String,
    call_id: String,
    target: String,
    /// The number of the last request before the script.
    cseq: u32,
}

impl Dialog {
    /// The request with this number of the script; an ACK has that of its INVITE.
    fn request(&self, method: Method, number: u32, sdp: Option<String>) -> Request {
        let cseq = self.cseq + number;
        let mut request = Request::new(method.clone(), self.target.parse::<Uri>().unwrap());
        let fields = [
            (Name::Via, format!("SIP/2.0/UDP {FAR};branch=z9hG4bKfar{method}{cseq};rport")),
            (Name::MaxForwards, "70".into()),
            (Name::From, self.from.clone()),
            (Name::To, self.to.clone()),
            (Name::CallId, self.call_id.clone()),
            (Name::CSeq, format!("{cseq} {method}")),
            (Name::Contact, format!("<sip:ann@{FAR}>")),
        ];
        for (name, value) in fields {
            request.headers.push(name, value);
        }
        match sdp {
            Some(sdp) => request.with_body("application/sdp", sdp),
            None => request,
        }
    }

    /// Sends a re-INVITE and the ACK to its answer, which is given back.
    #[track_caller]
    fn reinvite(&self, world: &mut World, number: u32, sdp: String) -> Response {
        world.say(at(FAR), at(BOB_AT), self.request(Method::Invite, number, Some(sdp)).to_bytes());
        world.run(Duration::from_millis(500));
        let answer = world.strays.drain(..).find_map(|wire| response(&wire.bytes, 200, &Method::Invite));
        let answer = answer.expect("a 200 to the re-INVITE");
        world.say(at(FAR), at(BOB_AT), self.request(Method::Ack, number, None).to_bytes());
        world.run(Duration::from_millis(500));
        answer
    }
}

/// Ann's offer, with another version and direction.
fn offer_again(world: &World, version: u64, direction: &str) -> String {
    let invite = world.trace.iter().find_map(|wire| request(&wire.bytes, &Method::Invite)).unwrap();
    let first = String::from_utf8(invite.body.to_vec()).unwrap();
    let mut sdp = String::new();
    for line in first.lines() {
        if let Some(origin) = line.strip_prefix("o=") {
            let mut parts: Vec<String> = origin.split(' ').map(str::to_owned).collect();
            parts[2] = (parts[2].parse::<u64>().unwrap() + version).to_string();
            sdp += &format!("o={}\r\n", parts.join(" "));
        } else if !["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"].contains(&line) {
            sdp += &format!("{line}\r\n");
        }
    }
    sdp + &format!("a={direction}\r\n")
}

/// The dialog between Ann and Bob as Ann's side knows it.
fn dialog(world: &World) -> Dialog {
    let invite = world.trace.iter().find_map(|wire| request(&wire.bytes, &Method::Invite)).unwrap();
    let answer = world.trace.iter().find_map(|wire| response(&wire.bytes, 200, &Method::Invite)).unwrap();
    Dialog {
        from: invite.headers.get(&Name::From).unwrap().into(),
        to: answer.headers.get(&Name::To).unwrap().into(),
        call_id: invite.headers.call_id().unwrap().into(),
        cseq: invite.headers.cseq().unwrap().number,
        target: answer.headers.contacts().unwrap().remove(0).uri.to_string(),
    }
}

fn direction(world: &World, call: CallId) -> Direction {
    world.places[BOB].plans[&call].last().unwrap().direction
}

#[test]
fn the_far_end_holds_and_resumes() {
    let mut world = World::new(11);
    let (_, bob) = world.talk();
    let dialog = dialog(&world);
    assert_eq!(direction(&world, bob), Direction::SendRecv, "he speaks at first");

    let sdp = offer_again(&world, 1, "sendonly");
    let answer = dialog.reinvite(&mut world, 1, sdp);
    assert!(String::from_utf8_lossy(&answer.body).contains("a=recvonly"), "{answer:?}");
    assert_eq!(world.moments(BOB, bob).last(), Some(&Moment::Held(Side::Remote)));
    assert_eq!(direction(&world, bob), Direction::RecvOnly, "he listens to the music and says nothing");

    let sdp = offer_again(&world, 2, "inactive");
    dialog.reinvite(&mut world, 2, sdp);
    assert_eq!(direction(&world, bob), Direction::Inactive);

    let sdp = offer_again(&world, 3, "sendrecv");
    dialog.reinvite(&mut world, 3, sdp);
    assert_eq!(direction(&world, bob), Direction::SendRecv);
    let holds: Vec<_> = world.moments(BOB, bob);
    assert_eq!(holds[3..], [Moment::Held(Side::Remote), Moment::Resumed(Side::Remote)], "told once each: {holds:?}");

    world.hangup(BOB, bob).unwrap();
    world.run(Duration::from_secs(60));
    let record = world.ended(BOB).remove(0);
    assert_eq!((record.status, record.ended_by), (Status::Completed, Some(EndedBy::Local)));
}

#[test]
fn the_far_end_moves() {
    let mut world = World::new(12);
    let (_, bob) = world.talk();
    let dialog = dialog(&world);
    let sdp = offer_again(&world, 1, "sendrecv").replace("192.0.2.1", "192.0.2.99");
    dialog.reinvite(&mut world, 1, sdp.clone());
    let plans = &world.places[BOB].plans[&bob];
    assert_eq!(plans.len(), 2);
    assert_eq!(plans[1].remote_rtp.ip(), at("192.0.2.99:1").ip());
    // The same again changes nothing, and nothing is told.
    dialog.reinvite(&mut world, 2, sdp);
    assert_eq!(world.places[BOB].plans[&bob].len(), 2);
    assert_eq!(world.moments(BOB, bob).len(), 3);
}

#[test]
fn a_change_that_cannot_be_followed_leaves_the_call_as_it_was() {
    let mut world = World::new(13);
    let (_, bob) = world.talk();
    let dialog = dialog(&world);
    let origin = offer_again(&world, 1, "sendrecv").lines().nth(1).unwrap().to_owned();
    let sdp = format!(
        "v=0\r\n{origin}\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n"
    );
    world.say(at(FAR), at(BOB_AT), dialog.request(Method::Invite, 1, Some(sdp)).to_bytes());
    world.run(Duration::from_secs(1));
    let refused = world.strays.drain(..).any(|wire| response(&wire.bytes, 488, &Method::Invite).is_some());
    assert!(refused, "{}", world.story());
    world.say(at(FAR), at(BOB_AT), dialog.request(Method::Ack, 1, None).to_bytes());
    world.run(Duration::from_secs(1));
    assert_eq!(world.places[BOB].engine.calls().count(), 1, "the call goes on");
    assert_eq!(world.places[BOB].plans[&bob].len(), 1);
}

/// Calls Bob without an offer; he answers; what he offers in his 200.
fn offerless(world: &mut World) -> (Dialog, CallId, String) {
    let mut dialog = Dialog {
        from: "<sip:cid@192.0.2.1>;tag=far".into(),
        to: "<sip:bob@192.0.2.2>".into(),
        call_id: "offerless@192.0.2.1".into(),
        cseq: 0,
        target: format!("sip:bob@{BOB_AT}"),
    };
    world.say(at(FAR), at(BOB_AT), dialog.request(Method::Invite, 1, None).to_bytes());
    let bob = world.wait(BOB, |moment| matches!(moment, Moment::Ringing { .. })).call;
    world.answer(BOB, bob).unwrap();
    world.run(Duration::from_millis(100));
    let answers: Vec<_> =
        world.strays.drain(..).filter_map(|wire| response(&wire.bytes, 200, &Method::Invite)).collect();
    let answer = answers.first().expect("a 200");
    dialog.to = answer.headers.get(&Name::To).unwrap().into();
    dialog.target = answer.headers.contacts().unwrap().remove(0).uri.to_string();
    (dialog, bob, String::from_utf8(answer.body.to_vec()).unwrap())
}

#[test]
fn a_call_without_an_offer_is_offered_to() {
    let mut world = World::new(14);
    let (dialog, bob, offer) = offerless(&mut world);
    assert!(offer.contains("m=audio") && offer.contains("opus/48000/2"), "{offer}");
    assert!(!world.places[BOB].plans.contains_key(&bob), "nothing is agreed yet");
    let answer = "v=0\r\no=- 5 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    world.say(at(FAR), at(BOB_AT), dialog.request(Method::Ack, 1, Some(answer.into())).to_bytes());
    world.run(Duration::from_secs(2));
    let plan = &world.places[BOB].plans[&bob][0];
    assert_eq!(plan.remote_rtp, at("192.0.2.1:4000"));
    world.hangup(BOB, bob).unwrap();
    world.run(Duration::from_secs(60));
    let record = world.ended(BOB).remove(0);
    assert_eq!((record.status, record.codec.as_deref()), (Status::Completed, Some("PCMU")));
    assert!(world.ended(ANN).is_empty());
}

#[test]
fn a_call_whose_offer_gets_no_answer_ends_and_says_why() {
    let mut world = World::new(15);
    let (dialog, _, _) = offerless(&mut world);
    world.say(at(FAR), at(BOB_AT), dialog.request(Method::Ack, 1, None).to_bytes());
    world.run(Duration::from_secs(60));
    let record = world.ended(BOB).remove(0);
    assert_eq!((record.status, record.ended_by), (Status::Failed, Some(EndedBy::Local)));
    assert!(record.metadata["reason"].as_str().unwrap().contains("without an answer"), "{:?}", record.metadata);
    world.assert_forgotten();
}
