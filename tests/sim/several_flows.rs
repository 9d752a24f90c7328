//! Accounts that are registered by several servers at once (RFC 5626 section 4.2).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sidetone::sip::agent::{AccountId, Event, InviteRequest, KeepAlive};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Method, Request, Status};
use sidetone::sip::registration::State;
use sidetone::time::{Duration, Instant};

use crate::peer::{OFFER, account, alice_and_bob, answer, ended, offer, request, to, uri};
use crate::world::{Node, World};

/// Alice, two servers of her domain, and what they have bound: the contact of each reg-id.
struct House {
    world: World,
    alice: Node,
    one: AccountId,
    servers: [SocketAddr; 2],
    /// Which of them live.
    up: [bool; 2],
    /// Do they keep flows?
    outbound: bool,
    bindings: BTreeMap<String, String>,
    /// Every REGISTER with its server and time.
    registers: Vec<(Instant, usize, Request)>,
    /// What the user was told.
    told: Vec<State>,
}

impl House {
    fn new(outbound: bool, flows: Option<u8>, proxies: bool) -> Self {
        let (mut world, alice, first) = alice_and_bob();
        let servers = [first, world.peer("192.0.2.3:5060")];
        world.names.insert("example.net".into(), servers.to_vec());
        let mut one = account("sip:alice@example.net", "secret");
        (one.instance, one.flows) = (Some("urn:uuid:1".into()), flows);
        one.keepalive = if outbound { KeepAlive::Standard } else { KeepAlive::Off };
        if proxies {
            for (name, server) in ["p1.example.net", "p2.example.net"].into_iter().zip(servers) {
                world.names.insert(name.into(), vec![server]);
                one.outbound_proxies.push(uri(&format!("sip:{name}")));
            }
        }
        let one = world.with(alice, |agent, now| {
            let one = agent.add_account(one);
            agent.register(now, one).unwrap();
            one
        });
        let (bindings, registers, told) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { world, alice, one, servers, up: [true; 2], outbound, bindings, registers, told }
    }

    /// Lets time pass; servers that live answer REGISTERs and Binding requests.
    fn run(&mut self, duration: Duration) {
        let end = self.world.now + duration;
        while self.world.now < end {
            self.world.run(Duration::from_millis(50));
            for event in self.world.events(self.alice) {
                if let Event::Registration { account, state } = event {
                    assert_eq!(account, self.one, "further flows are nobody's business");
                    self.told.push(state);
                }
            }
            while let Some((_, hop, id)) = self.world.places[self.alice.0].bindings.pop_front() {
                let server = self.servers.iter().position(|server| *server == hop.remote).unwrap();
                if self.up[server] {
                    let seen = Some(hop.local);
                    self.world.with(self.alice, |agent, now| agent.handle_binding(now, hop, id, seen));
                }
            }
            for server in 0..2 {
                for message in self.world.inbox(self.servers[server]) {
                    if let Message::Request(request) = message
                        && request.method == Method::Register
                        && self.up[server]
                    {
                        self.bind(server, request);
                    }
                }
            }
        }
    }

    fn bind(&mut self, server: usize, register: Request) {
        let mut response = register.response(Status::OK).with_to_tag("r");
        for contact in register.headers.contacts().unwrap() {
            let flow = contact.params.get("reg-id").unwrap_or_default().to_owned();
            match contact.expires() {
                Some(0) => drop(self.bindings.remove(&flow)),
                _ => drop(self.bindings.insert(flow, contact.to_string())),
            }
        }
        for binding in self.bindings.values() {
            response.headers.push(Name::Contact, binding.as_str());
        }
        if self.outbound {
            response.headers.push(Name::Require, "outbound");
        }
        self.registers.push((self.world.now, server, register));
        let agent = self.world.address(self.alice);
        self.world.say(self.servers[server], agent, response);
    }

    fn is_registered(&mut self) -> bool {
        let one = self.one;
        let state = self.world.with(self.alice, |agent, _| agent.registration(one));
        matches!(state, Some(State::Registered { .. }))
    }

    /// Where the next call goes first.
    fn call(&mut self) -> usize {
        let invite = InviteRequest { account: Some(self.one), ..to("sip:bob@example.net") };
        let session = self.world.with(self.alice, |agent, now| agent.invite(now, invite).unwrap());
        offer(&mut self.world, self.alice, session, Some(OFFER));
        self.world.run(Duration::from_millis(30));
        let agent = self.world.address(self.alice);
        for server in 0..2 {
            let address = self.servers[server];
            let messages = self.world.inbox(address);
            let invite = messages.into_iter().find_map(|message| match message {
                Message::Request(request) if request.method == Method::Invite => Some(request),
                _ => None,
            });
            if let Some(invite) = invite {
                self.world.say(address, agent, answer(&invite, 486, "x", address, None));
                request(&mut self.world, address, &Method::Ack);
                assert_eq!(ended(&mut self.world, self.alice).1, Some(486));
                return server;
            }
        }
        panic!("no INVITE anywhere")
    }
}

#[test]
fn a_second_server_is_registered_with_once_the_registrar_keeps_flows() {
    for (flows, proxies) in [(Some(2), false), (None, true)] {
        let mut house = House::new(true, flows, proxies);
        house.run(Duration::from_secs(2));
        let [(_, 0, first), (_, 1, second)] = &house.registers[..] else { panic!("{:?}", house.registers) };
        let contact = |register: &Request| register.headers.contacts().unwrap().remove(0);
        assert_eq!(contact(first).params.get("reg-id"), Some("1"));
        assert_eq!(contact(second).params.get("reg-id"), Some("2"));
        let instance = |register| contact(register).params.text("+sip.instance").unwrap().into_owned();
        assert_eq!(instance(first), instance(second));
        assert_ne!(first.headers.call_id(), second.headers.call_id(), "each counts its own CSeq");
        if proxies {
            let route = |register: &Request| register.headers.get(&Name::Route).map(str::to_owned);
            assert_eq!(route(first).as_deref(), Some("<sip:p1.example.net;lr>"));
            assert_eq!(route(second).as_deref(), Some("<sip:p2.example.net;lr>"));
        }
        assert_eq!(house.bindings.len(), 2);
        let registered = house.told.iter().filter(|state| matches!(state, State::Registered { .. })).count();
        assert_eq!(registered, 1, "told once: {:?}", house.told);
    }
}

/// Without outbound the registrar would fork every call to both, and ring twice.
#[test]
fn a_registrar_that_keeps_no_flows_gets_one_binding() {
    for (outbound, flows, proxies) in
        [(false, Some(2), false), (false, None, true), (true, Some(1), true), (true, None, false)]
    {
        let mut house = House::new(outbound, flows, proxies);
        house.run(Duration::from_secs(120));
        assert_eq!((house.registers.len(), house.bindings.len()), (1, 1), "{outbound} {flows:?} {proxies}");
    }
}

#[test]
fn the_loss_of_one_flow_leaves_the_account_registered_and_calls_take_the_other() {
    let mut house = House::new(true, Some(2), false);
    house.run(Duration::from_secs(5));
    assert_eq!(house.call(), 0, "the first flow first");
    house.told.clear();
    house.up = [false, true];
    let silent = house.world.now;
    // Noticed after 29 + 39.5 s at the latest; the first attempt after that finds nobody for 32 s.
    house.run(Duration::from_secs(75));
    assert!(house.is_registered());
    assert_eq!(house.call(), 1, "over the flow that lives");
    house.run(Duration::from_secs(40));
    let before = house.registers.len();
    house.up = [true, true];
    house.run(Duration::from_secs(200));
    // RFC 5626 section 4.5: with another flow alive, 50 to 100 % of 2 * 90 s after the failure.
    let back =
        house.registers[before..].iter().find(|(_, server, _)| *server == 0).expect("the first server is tried again");
    assert_eq!(back.2.headers.contacts().unwrap()[0].params.get("reg-id"), Some("1"));
    let after = back.0.since(silent).as_secs();
    assert!((23 + 39 + 32 + 90..29 + 40 + 33 + 181).contains(&after), "{after} s");
    assert_eq!(house.told, [], "the user has lost nothing");
    assert_eq!(house.call(), 0, "and the first one again");
}

#[test]
fn with_both_flows_lost_the_account_is_not_registered_and_heals() {
    let mut house = House::new(true, Some(2), false);
    house.run(Duration::from_secs(5));
    house.told.clear();
    house.up = [false, false];
    house.run(Duration::from_secs(150));
    assert!(!house.is_registered());
    assert!(house.told.iter().any(|state| matches!(state, State::Failed { .. })), "{:?}", house.told);
    house.up = [true, true];
    house.bindings.clear();
    house.run(Duration::from_secs(300));
    assert!(house.is_registered());
    assert_eq!(house.bindings.len(), 2, "both are back");
}

#[test]
fn every_binding_is_taken_back_before_the_user_is_told() {
    let mut house = House::new(true, Some(2), false);
    house.run(Duration::from_secs(5));
    house.told.clear();
    let one = house.one;
    house.world.with(house.alice, |agent, now| agent.unregister(now, one).unwrap());
    house.run(Duration::from_secs(1));
    assert_eq!(house.bindings.len(), 0);
    assert_eq!(house.told, [State::Unregistering, State::Unregistered]);
    house.world.run(Duration::from_secs(1));
    house.world.assert_forgotten();
}
