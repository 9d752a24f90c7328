//! To whom credentials are sent, and to whom not.

use std::net::SocketAddr;

use sidetone::sip::agent::{AccountId, InviteRequest, Realms};
use sidetone::sip::auth::Algorithm;
use sidetone::sip::header::Name;
use sidetone::sip::message::{Method, Request, Status};
use sidetone::time::Duration;

use crate::peer::{OFFER, account, config, ended, offer, request, uri};
use crate::world::{Node, World};

struct Scene {
    world: World,
    alice: Node,
    registrar: SocketAddr,
    /// Somebody else's server.
    third: SocketAddr,
}

fn scene(change: impl FnOnce(&mut sidetone::sip::agent::Account)) -> Scene {
    let mut world = World::new(5);
    let alice = world.agent("192.0.2.1:5060", config());
    let registrar = world.peer("192.0.2.9:5060");
    let third = world.peer("203.0.113.5:5060");
    world.names.insert("example.com".into(), vec![registrar]);
    world.names.insert("elsewhere.net".into(), vec![third]);
    world.with(alice, |agent, _| {
        let mut account = account("sip:alice@example.com", "secret");
        change(&mut account);
        agent.add_account(account);
    });
    Scene { world, alice, registrar, third }
}

impl Scene {
    fn register(&mut self, challenge: &str) {
        let Self { world, alice, registrar, .. } = self;
        let agent = world.address(*alice);
        world.with(*alice, |agent, now| agent.register(now, AccountId(0)).unwrap());
        let first = request(world, *registrar, &Method::Register);
        let mut refusal = first.response(Status::UNAUTHORIZED).with_to_tag("r");
        refusal.headers.push(Name::WwwAuthenticate, challenge);
        world.say(*registrar, agent, refusal);
        world.run(Duration::from_millis(50));
        for message in world.inbox(*registrar) {
            let sidetone::sip::message::Message::Request(again) = message else { panic!("{message:?}") };
            let mut granted = again.response(Status::OK).with_to_tag("r");
            let contact = again.headers.get(&Name::Contact).unwrap();
            granted.headers.push(Name::Contact, format!("{contact};expires=3600"));
            world.say(*registrar, agent, granted);
        }
        world.run(Duration::from_millis(50));
        world.events(*alice);
    }

    /// Calls `target`, whose server at `peer` challenges; the INVITE that answers, or why the call ended.
    fn call(&mut self, target: &str, peer: SocketAddr, field: Name, challenge: &str) -> Result<Request, String> {
        let Self { world, alice, .. } = self;
        let agent = world.address(*alice);
        let target =
            InviteRequest { account: Some(AccountId(0)), target: uri(target), from: None, headers: Vec::new() };
        let session = world.with(*alice, |agent, now| agent.invite(now, target).unwrap());
        offer(world, *alice, session, Some(OFFER));
        let invite = request(world, peer, &Method::Invite);
        let status = if field == Name::WwwAuthenticate { 401 } else { 407 };
        let mut refusal = invite.response(Status(status)).with_to_tag("x");
        for challenge in challenge.split('|') {
            refusal.headers.push(field.clone(), challenge);
        }
        world.say(peer, agent, refusal);
        request(world, peer, &Method::Ack);
        world.run(Duration::from_millis(50));
        let again = world.inbox(peer).into_iter().find_map(|message| match message {
            sidetone::sip::message::Message::Request(request) if request.method == Method::Invite => Some(request),
            _ => None,
        });
        match again {
            Some(again) => {
                let busy = again.response(Status::BUSY_HERE).with_to_tag("x");
                world.say(peer, agent, busy);
                ended(world, *alice);
                world.run(Duration::from_millis(50));
                world.inbox(peer);
                Ok(again)
            }
            None => Err(ended(world, *alice).2),
        }
    }
}

const OWN: &str = "Digest realm=\"example.com\", nonce=\"n1\", qop=\"auth\"";
const FOREIGN: &str = "Digest realm=\"elsewhere.net\", nonce=\"n2\", qop=\"auth\"";

#[test]
fn a_third_party_gets_no_credentials() {
    let mut scene = scene(|_| {});
    let (registrar, third) = (scene.registrar, scene.third);
    for (field, challenge) in [(Name::WwwAuthenticate, FOREIGN), (Name::ProxyAuthenticate, OWN)] {
        let why = scene.call("sip:bob@elsewhere.net", third, field, challenge).unwrap_err();
        assert!(why.contains("--realm"), "{why}");
    }
    let counted = scene.world.with(scene.alice, |agent, _| agent.counters());
    assert_eq!(counted.credentials_withheld, 2);
    // The own domain gets them, before anybody registered.
    let again = scene.call("sip:bob@example.com", registrar, Name::ProxyAuthenticate, OWN).unwrap();
    assert!(again.headers.contains(&Name::ProxyAuthorization));
    assert!(
        !scene
            .world
            .trace
            .iter()
            .any(|wire| wire.to == third && String::from_utf8_lossy(&wire.bytes).contains("uthorization"))
    );
}

#[test]
fn a_forked_leg_of_somebody_else_gets_none_through_our_proxy() {
    let mut scene = scene(|_| {});
    scene.register(OWN);
    let registrar = scene.registrar;
    // RFC 3261 section 16.7: a forking proxy puts the challenges of all legs into one response.
    let both = format!("{FOREIGN}|{OWN}");
    let again = scene.call("sip:bob@example.com", registrar, Name::WwwAuthenticate, &both);
    let again = again.unwrap();
    let sent: Vec<&str> = again.headers.all(&Name::Authorization).collect();
    assert!(sent.len() == 1 && sent[0].contains("realm=\"example.com\""), "{sent:?}");
    assert!(scene.call("sip:carol@example.com", registrar, Name::ProxyAuthenticate, FOREIGN).is_err());
}

#[test]
fn named_realms_get_them_whoever_asks() {
    let mut scene = scene(|account| account.realms = Realms::Named(vec!["elsewhere.net".into()]));
    let (registrar, third) = (scene.registrar, scene.third);
    assert!(scene.call("sip:bob@example.com", registrar, Name::WwwAuthenticate, OWN).is_err());
    assert!(scene.call("sip:bob@elsewhere.net", third, Name::WwwAuthenticate, FOREIGN).is_ok());
}

#[test]
fn an_account_without_servers_answers_whom_it_called() {
    let mut scene = scene(|account| {
        account.aor = uri("sip:sidetone@127.0.0.1");
        account.realms = Realms::Called;
    });
    let third = scene.third;
    assert!(scene.call("sip:bob@elsewhere.net", third, Name::WwwAuthenticate, FOREIGN).is_ok());
}

#[test]
fn sha_256_is_not_talked_down_to_md5() {
    let md5 = "Digest realm=\"example.com\", nonce=\"n1\", qop=\"auth\"";
    let sha = "Digest realm=\"example.com\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"";
    let mut scene = scene(|account| account.digest = Algorithm::Sha256);
    let registrar = scene.registrar;
    let why = scene.call("sip:bob@example.com", registrar, Name::WwwAuthenticate, md5).unwrap_err();
    assert!(why.contains("MD5") && why.contains("--digest"), "{why}");
    let both = format!("{md5}|{sha}");
    let again = scene.call("sip:bob@example.com", registrar, Name::WwwAuthenticate, &both).unwrap();
    assert!(again.headers.get(&Name::Authorization).unwrap().contains("SHA-256"));
    // The REGISTER keeps to it, too.
    let mut strict = self::scene(|account| account.digest = Algorithm::Sha256);
    strict.register(md5);
    let trace = strict.world.story();
    assert!(
        !strict.world.trace.iter().any(|wire| String::from_utf8_lossy(&wire.bytes).contains("Authorization:")),
        "{trace}"
    );
}

#[test]
fn a_server_that_challenges_for_ever_is_given_up() {
    let mut scene = scene(|_| {});
    let Scene { world, alice, registrar, .. } = &mut scene;
    let agent = world.address(*alice);
    let target = InviteRequest {
        account: Some(AccountId(0)),
        target: uri("sip:bob@example.com"),
        from: None,
        headers: Vec::new(),
    };
    let session = world.with(*alice, |agent, now| agent.invite(now, target).unwrap());
    offer(world, *alice, session, Some(OFFER));
    let mut invites = 0;
    for round in 0..50 {
        world.run(Duration::from_millis(50));
        for message in world.inbox(*registrar) {
            let sidetone::sip::message::Message::Request(asked) = message else { continue };
            if asked.method != Method::Invite {
                continue;
            }
            invites += 1;
            let mut refusal = asked.response(Status::UNAUTHORIZED).with_to_tag(&format!("t{round}"));
            // Another realm each time, each with a stale nonce: nothing tells that the password is wrong.
            let challenge = format!("Digest realm=\"r{round}\", nonce=\"n{round}\", stale=true");
            refusal.headers.push(Name::WwwAuthenticate, challenge);
            world.say(*registrar, agent, refusal);
        }
    }
    assert!((2..=8).contains(&invites), "{invites} INVITEs");
    world.assert_forgotten();
}
