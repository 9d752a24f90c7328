//! The races of RFC 5407, one test for each of its flows: who sends what, and where both sides end. Both sides are agents
//! wherever they may do what the flow needs; the link delays or loses what has to cross.

use std::net::SocketAddr;

use sidetone::sip::agent::{EndedBy, Event, InsideRequest, SessionId};
use sidetone::sip::header::{Header, Name};
use sidetone::sip::message::{Method, Status};
use sidetone::time::Duration;

use crate::peer::{ANSWER, OFFER, alice_and_bob, config, ended, incoming, offer, response, ringing, to};
use crate::world::{Fate, Node, Wire, World, is_request, is_response, summary};

const ALICE: &str = "192.0.2.1:5060";
const BOB: &str = "192.0.2.2:5060";

/// Longer than one way of the link, shorter than any repetition.
const MOMENT: Duration = Duration::from_millis(50);

struct Pair {
    world: World,
    alice: Node,
    bob: Node,
}

impl Pair {
    fn new() -> Self {
        let mut world = World::new(5407);
        let alice = world.agent(ALICE, config());
        let bob = world.agent(BOB, config());
        Self { world, alice, bob }
    }

    /// Alice calls and Bob's phone rings; both sessions.
    #[track_caller]
    fn rings(&mut self, sdp: Option<&'static str>) -> (SessionId, SessionId) {
        let ours = self.world.with(self.alice, |agent, now| agent.invite(now, to("sip:bob@192.0.2.2")).unwrap());
        offer(&mut self.world, self.alice, ours, sdp);
        let theirs = incoming(&mut self.world, self.bob);
        self.world.with(self.bob, |agent, now| agent.ring(now, theirs, Status::RINGING, None).unwrap());
        (ours, theirs)
    }

    fn bob_answers(&mut self, theirs: SessionId, sdp: &'static str) {
        self.world.with(self.bob, |agent, now| agent.answer(now, theirs, sdp.into()).unwrap());
    }

    /// Alice called Bob and both talk; what was said so far is forgotten.
    #[track_caller]
    fn talks(&mut self) -> (SessionId, SessionId) {
        let (ours, theirs) = self.rings(Some(OFFER));
        self.bob_answers(theirs, ANSWER);
        self.world.wait(self.bob, |event| matches!(event, Event::Confirmed { .. }).then_some(()));
        self.world.run(MOMENT);
        self.world.events(self.alice);
        self.world.trace.clear();
        (ours, theirs)
    }

    fn hangup(&mut self, who: Node, session: SessionId) {
        self.world.with(who, |agent, now| agent.hangup(now, session, None).unwrap());
    }

    fn reoffer(&mut self, who: Node, session: SessionId) {
        self.world.with(who, |agent, now| agent.reoffer(now, session, Some(OFFER.into())).unwrap());
    }

    /// The other side's change comes and is taken.
    #[track_caller]
    fn takes_change(&mut self, who: Node, session: SessionId) {
        self.world.wait(who, |event| matches!(event, Event::Reoffer { .. }).then_some(()));
        self.world.with(who, |agent, now| agent.accept_reoffer(now, session, ANSWER.into()).unwrap());
    }

    #[track_caller]
    fn waits(&mut self, who: Node, wanted: fn(&Event) -> bool) {
        self.world.wait(who, |event| wanted(event).then_some(()));
    }

    /// What was sent, in the order of sending: `A INVITE`, `B 180 INVITE`. 100 is no step.
    #[track_caller]
    fn assert_told(&self, steps: &[&str]) {
        assert_eq!(told(&self.world, [ALICE, BOB]), steps);
    }

    fn lose(&mut self, times: usize, what: impl Fn(&Wire) -> bool + 'static) {
        let mut left = times;
        self.world.filter = Box::new(move |wire| match left > 0 && what(wire) {
            true => {
                left -= 1;
                Fate::Lose
            }
            false => Fate::Pass,
        });
    }
}

fn told(world: &World, [alice, bob]: [&str; 2]) -> Vec<String> {
    let [alice, bob]: [SocketAddr; 2] = [alice, bob].map(|address| address.parse().unwrap());
    let name = |from: SocketAddr| {
        if from == alice {
            "A"
        } else if from == bob {
            "B"
        } else {
            "?"
        }
    };
    let steps = world.trace.iter().map(|wire| format!("{} {}", name(wire.from), summary(wire)));
    steps.filter(|step| !step.contains(" 100 ")).collect()
}

fn confirmed(event: &Event) -> bool {
    matches!(event, Event::Confirmed { .. })
}

/// The 180 is lost, so that Alice repeats her INVITE while Bob answers.
#[test]
fn section_3_1_1_an_invite_comes_again_while_the_answer_waits_for_its_ack() {
    let mut pair = Pair::new();
    pair.lose(1, |wire| is_response(wire, Status::RINGING, &Method::Invite));
    let start = pair.world.now;
    let (_, theirs) = pair.rings(Some(OFFER));
    pair.world.run(Duration::from_millis(495) - pair.world.now.since(start));
    pair.bob_answers(theirs, ANSWER);
    pair.waits(pair.bob, confirmed);
    pair.world.run(Duration::from_secs(5));
    // RFC 6026 section 7.1: the transaction that was answered takes the repetition in and says nothing.
    pair.assert_told(&["A INVITE", "B 180 INVITE", "B 200 INVITE", "A INVITE", "A ACK"]);
    let answered = pair.world.events(pair.alice);
    assert_eq!(answered.iter().filter(|event| matches!(event, Event::Answered { .. })).count(), 1);
    assert!(pair.world.events(pair.bob).is_empty(), "one call, confirmed once");
}

#[test]
fn section_3_1_2_cancel_crosses_the_answer() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.rings(Some(OFFER));
    pair.waits(pair.alice, |event| matches!(event, Event::Progress { .. }));
    pair.hangup(pair.alice, ours);
    pair.bob_answers(theirs, ANSWER);
    assert_eq!(ended(&mut pair.world, pair.alice), (EndedBy::Local, Some(200), "cancelled".into()));
    assert_eq!(ended(&mut pair.world, pair.bob).0, EndedBy::Remote);
    pair.world.run(MOMENT);
    pair.assert_told(&[
        "A INVITE",
        "B 180 INVITE",
        "A CANCEL",
        "B 200 INVITE",
        "B 200 CANCEL",
        "A ACK",
        "A BYE",
        "B 200 BYE",
    ]);
    pair.world.assert_forgotten();
}

/// A caller may end an early dialog by BYE; ours sends CANCEL, so that this one is played.
#[test]
fn section_3_1_3_an_early_bye_crosses_the_answer() {
    let (mut world, bob, alice) = alice_and_bob();
    let at = world.address(bob);
    let (mut line, _, session) = ringing(&mut world, bob, alice, Some(OFFER));
    world.with(bob, |agent, now| agent.ring(now, session, Status::RINGING, None).unwrap());
    line.confirm(&response(&mut world, alice, 180));
    let ack = line.again(Method::Ack, None);
    world.say(alice, at, line.next(Method::Bye, None));
    world.with(bob, |agent, now| agent.answer(now, session, ANSWER.into()).unwrap());
    assert_eq!(response(&mut world, alice, 200).headers.cseq().unwrap().method, Method::Invite);
    world.say(alice, at, ack);
    assert_eq!(response(&mut world, alice, 200).headers.cseq().unwrap().method, Method::Bye);
    assert_eq!(ended(&mut world, bob).0, EndedBy::Remote);
    world.run(Duration::from_secs(40));
    assert_eq!(
        told(&world, [BOB, ALICE]),
        ["A INVITE", "B 180 INVITE", "A BYE", "B 200 INVITE", "B 200 BYE", "A ACK"],
        "the ACK ends the repetition of the answer, also when the call is over"
    );
    world.assert_forgotten();
}

#[test]
fn section_3_1_4_a_reinvite_comes_before_a_lost_ack() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.rings(Some(OFFER));
    pair.lose(1, |wire| is_request(wire, &Method::Ack));
    pair.bob_answers(theirs, ANSWER);
    pair.waits(pair.alice, |event| matches!(event, Event::Answered { .. }));
    pair.reoffer(pair.alice, ours);
    pair.takes_change(pair.bob, theirs);
    pair.waits(pair.alice, |event| matches!(event, Event::OfferAccepted { .. }));
    pair.world.run(Duration::from_secs(2));
    pair.assert_told(&[
        "A INVITE",
        "B 180 INVITE",
        "B 200 INVITE",
        "A ACK",
        "A INVITE",
        "B 200 INVITE",
        "A ACK",
        // The first answer still waits for its ACK.
        "B 200 INVITE",
        "A ACK",
    ]);
    pair.hangup(pair.bob, theirs);
    assert_eq!(ended(&mut pair.world, pair.alice).0, EndedBy::Remote);
    pair.world.assert_forgotten();
}

/// As before, but the ACK carries the answer to Bob's offer: until it is here nobody else may offer.
#[test]
fn section_3_1_5_a_reinvite_comes_before_a_lost_ack_with_the_answer() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.rings(None);
    pair.lose(1, |wire| is_request(wire, &Method::Ack));
    pair.bob_answers(theirs, OFFER);
    pair.waits(pair.alice, |event| matches!(event, Event::Answered { wants_answer: true, .. }));
    pair.world.with(pair.alice, |agent, now| agent.ack_answer(now, ours, ANSWER.into()).unwrap());
    pair.reoffer(pair.alice, ours);
    pair.waits(pair.alice, |event| matches!(event, Event::OfferClashed { .. }));
    let answer = pair.world.wait(pair.bob, |event| match event {
        Event::Confirmed { answer, .. } => Some(answer.clone()),
        _ => None,
    });
    assert_eq!(answer.as_deref(), Some(ANSWER.as_bytes()));
    pair.waits(pair.alice, |event| matches!(event, Event::OfferDue { .. }));
    pair.reoffer(pair.alice, ours);
    pair.takes_change(pair.bob, theirs);
    pair.waits(pair.alice, |event| matches!(event, Event::OfferAccepted { .. }));
    pair.world.run(MOMENT);
    pair.assert_told(&[
        "A INVITE",
        "B 180 INVITE",
        "B 200 INVITE",
        "A ACK",
        "A INVITE",
        "B 491 INVITE",
        "A ACK",
        "B 200 INVITE",
        "A ACK",
        "A INVITE",
        "B 200 INVITE",
        "A ACK",
    ]);
}

#[test]
fn section_3_1_6_bye_comes_before_a_lost_ack() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.rings(Some(OFFER));
    pair.lose(1, |wire| is_request(wire, &Method::Ack));
    pair.bob_answers(theirs, ANSWER);
    pair.waits(pair.alice, |event| matches!(event, Event::Answered { .. }));
    pair.hangup(pair.alice, ours);
    assert_eq!(ended(&mut pair.world, pair.bob).0, EndedBy::Remote);
    assert_eq!(ended(&mut pair.world, pair.alice).0, EndedBy::Local);
    pair.world.run(Duration::from_secs(40));
    // Whoever hangs up has got the answer: it is not repeated any more.
    pair.assert_told(&["A INVITE", "B 180 INVITE", "B 200 INVITE", "A ACK", "A BYE", "B 200 BYE"]);
    pair.world.assert_forgotten();
}

#[test]
fn section_3_2_1_byes_cross() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.talks();
    pair.hangup(pair.alice, ours);
    pair.hangup(pair.bob, theirs);
    for who in [pair.alice, pair.bob] {
        assert_eq!(ended(&mut pair.world, who).0, EndedBy::Local);
    }
    pair.world.run(Duration::from_secs(40));
    pair.assert_told(&["A BYE", "B BYE", "B 200 BYE", "A 200 BYE"]);
    pair.world.assert_forgotten();
}

#[test]
fn section_3_2_2_a_reinvite_crosses_bye() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.talks();
    pair.hangup(pair.alice, ours);
    pair.reoffer(pair.bob, theirs);
    assert_eq!(ended(&mut pair.world, pair.alice).0, EndedBy::Local);
    assert_eq!(ended(&mut pair.world, pair.bob).0, EndedBy::Remote);
    pair.world.run(Duration::from_secs(40));
    pair.assert_told(&["A BYE", "B INVITE", "B 200 BYE", "A 481 INVITE", "B ACK"]);
    assert!(pair.world.events(pair.bob).is_empty(), "what became of the change matters no more");
    pair.world.assert_forgotten();
}

#[test]
fn section_3_2_3_the_answer_to_a_reinvite_crosses_bye() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.talks();
    pair.reoffer(pair.alice, ours);
    pair.takes_change(pair.bob, theirs);
    pair.hangup(pair.alice, ours);
    assert_eq!(ended(&mut pair.world, pair.bob).0, EndedBy::Remote);
    pair.world.run(Duration::from_secs(40));
    pair.assert_told(&["A INVITE", "B 200 INVITE", "A BYE", "A ACK", "B 200 BYE"]);
    pair.world.assert_forgotten();
}

/// The BYE overtakes the ACK.
#[test]
fn section_3_2_4_the_ack_comes_after_bye() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.rings(Some(OFFER));
    pair.world.filter = Box::new(|wire| match is_request(wire, &Method::Ack) {
        true => Fate::Delay(Duration::from_millis(30)),
        false => Fate::Pass,
    });
    pair.bob_answers(theirs, ANSWER);
    pair.waits(pair.alice, |event| matches!(event, Event::Answered { .. }));
    pair.hangup(pair.alice, ours);
    assert_eq!(ended(&mut pair.world, pair.bob).0, EndedBy::Remote);
    pair.world.run(Duration::from_secs(40));
    pair.assert_told(&["A INVITE", "B 180 INVITE", "B 200 INVITE", "A ACK", "A BYE", "B 200 BYE"]);
    assert!(pair.world.events(pair.bob).is_empty(), "a late ACK confirms nothing");
    pair.world.assert_forgotten();
}

#[test]
fn section_3_3_1_reinvites_cross() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.talks();
    let start = pair.world.now;
    pair.reoffer(pair.alice, ours);
    pair.reoffer(pair.bob, theirs);
    // RFC 3261 section 14.1: who made the Call-ID waits 2.1 to 4 s, the other 0 to 2 s.
    pair.waits(pair.bob, |event| matches!(event, Event::OfferDue { .. }));
    assert!(pair.world.now.since(start) <= Duration::from_millis(2_100));
    pair.reoffer(pair.bob, theirs);
    pair.takes_change(pair.alice, ours);
    pair.waits(pair.bob, |event| matches!(event, Event::OfferAccepted { .. }));
    pair.waits(pair.alice, |event| matches!(event, Event::OfferDue { .. }));
    assert!(pair.world.now.since(start) >= Duration::from_millis(2_100));
    pair.reoffer(pair.alice, ours);
    pair.takes_change(pair.bob, theirs);
    pair.waits(pair.alice, |event| matches!(event, Event::OfferAccepted { .. }));
    pair.world.run(MOMENT);
    pair.assert_told(&[
        "A INVITE",
        "B INVITE",
        "B 491 INVITE",
        "A 491 INVITE",
        "A ACK",
        "B ACK",
        "B INVITE",
        "A 200 INVITE",
        "B ACK",
        "A INVITE",
        "B 200 INVITE",
        "A ACK",
    ]);
}

#[test]
fn section_3_3_2_update_and_reinvite_cross() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.talks();
    pair.world.with(pair.alice, |agent, now| agent.update(now, ours, Some(OFFER.into())).unwrap());
    pair.reoffer(pair.bob, theirs);
    pair.waits(pair.alice, |event| matches!(event, Event::OfferClashed { .. }));
    pair.waits(pair.bob, |event| matches!(event, Event::OfferDue { .. }));
    pair.reoffer(pair.bob, theirs);
    pair.takes_change(pair.alice, ours);
    pair.waits(pair.bob, |event| matches!(event, Event::OfferAccepted { .. }));
    pair.world.run(MOMENT);
    pair.assert_told(&[
        "A UPDATE",
        "B INVITE",
        "B 491 UPDATE",
        "A 491 INVITE",
        "B ACK",
        "B INVITE",
        "A 200 INVITE",
        "B ACK",
    ]);
}

#[test]
fn section_3_3_3_refer_crosses_bye() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.talks();
    let refer_to = Header { name: Name::ReferTo, value: "<sip:carol@192.0.2.3>".into() };
    let refer = InsideRequest { method: Method::Refer, headers: vec![refer_to], body: None };
    pair.hangup(pair.alice, ours);
    pair.world.with(pair.bob, |agent, now| agent.request(now, theirs, refer).unwrap());
    assert_eq!(ended(&mut pair.world, pair.alice).0, EndedBy::Local);
    assert_eq!(ended(&mut pair.world, pair.bob).0, EndedBy::Remote);
    pair.world.run(Duration::from_secs(40));
    pair.assert_told(&["A BYE", "B REFER", "B 200 BYE", "A 481 REFER"]);
    assert!(!pair.world.events(pair.alice).iter().any(|event| matches!(event, Event::Asked { .. })));
    pair.world.assert_forgotten();
}
