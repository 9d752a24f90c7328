//! Two accounts of one phone whose configuration differs: each call follows the policy of its own.

use crate::world::{ANN, BOB, World};
use sidetone::call::{CallId, Change, MediaOptions, Moment, Step};
use sidetone::config::{Draft, Environment, Profile};
use sidetone::engine::Dial;
use sidetone::media::plan::Codec;
use sidetone::sip::agent::AccountId;
use sidetone::sip::header::{Header, Name};
use sidetone::sip::message::{Message, Method, Request, Status};
use sidetone::sip::wire::parse_datagram;
use sidetone::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Bob's phone with the accounts `one` and `two`, which have these keys beside their address.
struct House {
    world: World,
    profiles: Vec<(AccountId, Profile)>,
}

impl House {
    fn new(one: &str, two: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let account = |name: &str, keys: &str| {
            format!("[account.{name}]\naor = \"sip:{name}@192.0.2.2\"\nregister = false\n{keys}\n")
        };
        std::fs::write(&path, account("one", one) + &account("two", two)).unwrap();
        let environment = Environment::default();
        let profiles = Draft::gather(Some(&path), &environment).and_then(|draft| draft.profiles()).unwrap();
        let early = MediaOptions { early_media: true, ..MediaOptions::default() };
        let mut world = World::with_media(61, early, MediaOptions::default());
        let profiles = profiles.into_iter().map(|profile| {
            let id = world.with(BOB, |engine, _| {
                let id = engine.add_account(profile.account.clone());
                engine.set_account_media(id, profile.media.clone());
                engine.set_account_conduct(id, profile.conduct);
                id
            });
            (id, profile)
        });
        let profiles = profiles.collect();
        Self { world, profiles }
    }

    /// Ann calls the account; her call and Bob's, if it came to one.
    fn ann_calls(&mut self, name: &str, headers: Vec<Header>) -> (CallId, Option<CallId>) {
        let known: Vec<CallId> = self.calls(BOB);
        let dial = Dial {
            account: AccountId(0),
            target: format!("sip:{name}@192.0.2.2").parse().unwrap(),
            from_number: None,
            media: MediaOptions::default(),
            ring_limit: Duration::from_secs(60),
            headers,
        };
        let ann = self.world.with(ANN, |engine, now| engine.dial(now, dial)).unwrap();
        self.world.run(SECOND);
        (ann, self.calls(BOB).into_iter().find(|call| !known.contains(call)))
    }

    /// Ann calls the account and Bob answers.
    #[track_caller]
    fn talk(&mut self, name: &str) -> (CallId, CallId) {
        let (ann, bob) = self.ann_calls(name, Vec::new());
        self.world.answer(BOB, bob.unwrap()).unwrap();
        self.world.run(SECOND);
        (ann, bob.unwrap())
    }

    /// Bob calls Ann by the account; the INVITE that went out.
    #[track_caller]
    fn bob_calls(&mut self, name: &str) -> (CallId, Request) {
        let (id, profile) = self.profiles.iter().find(|(_, profile)| profile.name == name).unwrap();
        let dial = Dial {
            account: *id,
            target: "sip:ann@192.0.2.1".parse().unwrap(),
            from_number: None,
            media: profile.media.clone(),
            ring_limit: Duration::from_secs(60),
            headers: Vec::new(),
        };
        self.world.trace.clear();
        let call = self.world.with(BOB, |engine, now| engine.dial(now, dial)).unwrap();
        self.world.run(SECOND);
        (call, self.requests(&Method::Invite).remove(0))
    }

    fn calls(&self, who: usize) -> Vec<CallId> {
        self.world.places[who].engine.calls().map(|(id, _)| id).collect()
    }

    /// The requests of this method that Bob sent.
    fn requests(&self, method: &Method) -> Vec<Request> {
        let bob = self.world.places[BOB].address;
        let sent = self.world.trace.iter().filter(|wire| wire.from == bob);
        sent.filter_map(|wire| match parse_datagram(&wire.bytes).unwrap() {
            Message::Request(request) if request.method == *method => Some(request),
            _ => None,
        })
        .collect()
    }

    /// The status of Ann's call, which has to be over.
    #[track_caller]
    fn refused(&self, ann: CallId) -> Option<u16> {
        let events = self.world.places[ANN].events.iter();
        let mut ends = events.filter(|(_, event)| event.call == ann && event.moment == Moment::Ended);
        ends.next().expect("an end").1.record.sip_code
    }
}

fn text(request: &Request) -> String {
    String::from_utf8(request.body.to_vec()).unwrap()
}

#[test]
fn the_record_says_whose_call_it_is() {
    let mut house = House::new("", "");
    for name in ["one", "two"] {
        let (_, bob) = house.talk(name);
        let (_, record) = house.world.places[BOB].engine.calls().find(|(id, _)| *id == bob).unwrap();
        assert_eq!(record.metadata["account_name"], name);
    }
}

#[test]
fn each_holds_in_its_own_style() {
    let mut house = House::new("hold_style = \"inactive\"", "hold_style = \"0.0.0.0\"");
    for (name, wanted) in [("one", "c=IN IP4 192.0.2.2"), ("two", "c=IN IP4 0.0.0.0")] {
        let (ann, bob) = house.talk(name);
        house.world.trace.clear();
        house.world.with(BOB, |engine, now| engine.change(now, bob, Change::Hold)).unwrap();
        house.world.run(SECOND);
        let offer = text(&house.requests(&Method::Invite)[0]);
        assert!(offer.contains("a=inactive") && offer.contains(wanted), "{name}: {offer}");
        house.world.hangup(ANN, ann).unwrap();
        house.world.run(SECOND);
    }
}

#[test]
fn each_has_its_own_answer_to_a_second_caller() {
    let mut house = House::new("busy = \"486\"", "busy = \"603\"");
    house.talk("one");
    for (name, code) in [("one", 486), ("two", 603)] {
        let (ann, _) = house.ann_calls(name, Vec::new());
        assert_eq!(house.refused(ann), Some(code), "{name}");
    }
    let mut house = House::new("do_not_disturb = true", "");
    let (ann, _) = house.ann_calls("one", Vec::new());
    assert_eq!(house.refused(ann), Some(480));
    assert!(house.ann_calls("two", Vec::new()).1.is_some());
}

#[test]
fn each_lets_itself_be_answered_and_sent_elsewhere_or_not() {
    let mut house = House::new("auto_answer = true\ntransfers = \"accept\"", "transfers = \"refuse\"");
    for (name, answers, step) in [("one", true, "accepted"), ("two", false, "603")] {
        let wish = Header { name: Name::CallInfo, value: "<sip:192.0.2.1>;answer-after=0".into() };
        let (ann, bob) = house.ann_calls(name, vec![wish]);
        let bob = bob.unwrap();
        let (_, record) = house.world.places[BOB].engine.calls().find(|(id, _)| *id == bob).unwrap();
        assert_eq!(record.metadata.contains_key("auto_answer_after"), answers, "{name}");
        house.world.answer(BOB, bob).unwrap();
        house.world.run(SECOND);
        let target = "sip:nobody@192.0.2.77".parse().unwrap();
        house.world.with(ANN, |engine, now| engine.transfer(now, ann, &target)).unwrap();
        house.world.run(SECOND);
        let steps = house.world.moments(ANN, ann).into_iter().filter_map(|moment| match moment {
            Moment::Transfer(told) => Some(match told.step {
                Step::Accepted => "accepted".to_owned(),
                Step::Failed(Some(status), _) => status.to_string(),
                _ => return None,
            }),
            _ => None,
        });
        assert_eq!(steps.collect::<Vec<_>>(), [step], "{name}");
        house.world.hangup(BOB, bob).unwrap();
        house.world.run(SECOND);
    }
}

/// Who is asked agrees, disagrees, or says nothing for a minute.
#[test]
fn a_transfer_waits_for_the_user_where_the_policy_is_to_ask() {
    for decision in [Some(true), Some(false), None] {
        let mut house = House::new("transfers = \"ask\"", "");
        let (ann, bob) = house.talk("one");
        let target = "sip:nobody@192.0.2.77".parse().unwrap();
        let early = house.world.with(BOB, |engine, now| engine.decide_transfer(now, bob, true));
        assert!(early.unwrap_err().to_string().contains("asks for no transfer"));
        house.world.with(ANN, |engine, now| engine.transfer(now, ann, &target)).unwrap();
        house.world.run(SECOND);
        assert_eq!(house.calls(BOB), [bob], "nobody is called before the user agrees");
        let steps = |house: &House, who, call| -> Vec<String> {
            let moments = house.world.moments(who, call).into_iter();
            let steps = moments.filter_map(|moment| match moment {
                Moment::Transfer(told) => Some(match told.step {
                    Step::Failed(status, _) => format!("failed {}", status.map_or(0, |status| status.0)),
                    step => format!("{step:?}").to_lowercase(),
                }),
                _ => None,
            });
            steps.collect()
        };
        assert_eq!(steps(&house, BOB, bob), ["asked"]);
        if let Some(follow) = decision {
            house.world.with(BOB, |engine, now| engine.decide_transfer(now, bob, follow)).unwrap();
            house.world.run(SECOND);
        } else {
            house.world.run(Duration::from_secs(61));
        }
        match decision {
            Some(true) => assert_eq!(steps(&house, BOB, bob), ["asked", "requested"]),
            _ => {
                assert_eq!(steps(&house, BOB, bob), ["asked", "failed 603"], "{decision:?}");
                assert_eq!(steps(&house, ANN, ann), ["requested", "accepted", "failed 603"], "{decision:?}");
                assert_eq!(house.calls(BOB), [bob], "the call goes on");
                assert_eq!(house.world.moments(ANN, ann).last(), Some(&Moment::Resumed(sidetone::call::Side::Local)));
            }
        }
    }
}

#[test]
fn each_offers_and_rings_in_its_own_way() {
    let mut house = House::new("early_media = true\nlate_offer = true", "");
    for (name, early, offered) in [("one", true, false), ("two", false, true)] {
        let (ann, _) = house.ann_calls(name, Vec::new());
        assert_eq!(house.world.moments(ANN, ann).last(), Some(&Moment::Ringing { early_media: early }), "{name}");
        let (_, invite) = house.bob_calls(name);
        assert_eq!(!invite.body.is_empty(), offered, "{name}");
    }
}

#[test]
fn each_has_its_own_extensions() {
    let mut house = House::new(
        "reliable = \"required\"\nsession_timer = \"ask\"\nsession_expires = 600",
        "reliable = \"off\"\nsession_timer = \"off\"",
    );
    let (_, one) = house.bob_calls("one");
    assert!(one.headers.has_tag(&Name::Require, "100rel") && !one.headers.has_tag(&Name::Supported, "100rel"));
    assert_eq!(one.headers.session_expires().map(|(seconds, _)| seconds), Some(600));
    let (_, two) = house.bob_calls("two");
    assert_eq!(two.headers.session_expires(), None);
    let said: Vec<_> = two.headers.all(&Name::Supported).collect();
    assert_eq!(said, ["replaces", "norefersub"], "what is off is not said");
}

#[test]
fn each_follows_redirections_or_not() {
    let mut house = House::new("redirects = 2", "");
    for (name, follows) in [("one", true), ("two", false)] {
        house.world.trace.clear();
        let (id, _) = house.profiles.iter().find(|(_, profile)| profile.name == name).unwrap();
        let dial = Dial {
            account: *id,
            target: "sip:moved@192.0.2.9".parse().unwrap(),
            from_number: None,
            media: MediaOptions::default(),
            ring_limit: Duration::from_secs(60),
            headers: Vec::new(),
        };
        let bob = house.world.with(BOB, |engine, now| engine.dial(now, dial)).unwrap();
        house.world.run(Duration::from_millis(100));
        let invite = house.requests(&Method::Invite).remove(0);
        let mut moved = invite.response(Status(302)).with_to_tag("m");
        moved.headers.push(Name::Contact, "<sip:ann@192.0.2.1>");
        let (from, to) = ("192.0.2.9:5060".parse().unwrap(), house.world.places[BOB].address);
        house.world.say(from, to, moved.to_bytes());
        house.world.run(SECOND);
        let rings = house.world.moments(BOB, bob).contains(&Moment::Ringing { early_media: true });
        assert_eq!(rings, follows, "{name}: {}", house.world.story());
    }
}

/// RFC 3262 section 5: Ann's reliable 183 answers with several codecs; the PRACK fixes one of them before she answers.
#[test]
fn one_fixes_the_codec_in_its_prack() {
    let mut house = House::new("single_codec = true", "");
    for (name, fixes) in [("one", true), ("two", false)] {
        let (bob, _) = house.bob_calls(name);
        let pracks = house.requests(&Method::Prack);
        assert_eq!(pracks.len(), 1, "{}", house.world.story());
        assert_eq!(!pracks[0].body.is_empty(), fixes, "{name}");
        let places = [(ANN, *house.calls(ANN).last().unwrap()), (BOB, bob)];
        let codecs = |house: &House| {
            places.map(|(who, call)| house.world.places[who].plans[&call].last().unwrap().receive.clone())
        };
        for receive in codecs(&house) {
            assert_eq!(receive.len() == 1, fixes, "{name}: {receive:?}");
            assert_eq!(receive[0].1, Codec::Opus);
        }
        house.world.answer(ANN, places[0].1).unwrap();
        house.world.run(SECOND);
        assert_eq!(house.world.moments(BOB, bob).last(), Some(&Moment::Answered), "{}", house.world.story());
        house.world.hangup(BOB, bob).unwrap();
        house.world.run(SECOND);
    }
    house.world.assert_forgotten();
}

/// Without a reliable response the codec is fixed after the answer, by a re-INVITE.
#[test]
fn one_fixes_the_codec_after_the_answer() {
    let mut house = House::new("single_codec = true\nreliable = \"off\"", "");
    let (bob, _) = house.bob_calls("one");
    let ann = *house.calls(ANN).last().unwrap();
    house.world.answer(ANN, ann).unwrap();
    house.world.run(SECOND);
    let invites = house.requests(&Method::Invite);
    assert_eq!(invites.len(), 2);
    assert!(text(&invites[1]).contains("opus") && !text(&invites[1]).contains("PCMU"), "{}", text(&invites[1]));
    assert_eq!(house.world.places[BOB].plans[&bob].last().unwrap().receive.len(), 1);
}
