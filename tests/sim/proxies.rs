//! Scripted proxies: stateful, record-routing (RFC 3261 section 16), challenging or failing as a flow wants it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use sidetone::sip::agent::Event;
use sidetone::sip::header::{Headers, Name};
use sidetone::sip::message::{Message, Method, Request, Response, Status};
use sidetone::sip::via::Via;
use sidetone::time::Duration;

use crate::world::{Node, World};

/// One proxy of a flow.
pub struct Proxy {
    pub at: SocketAddr,
    /// Where it sends requests that no Route and no number of ours leads on.
    pub next: SocketAddr,
    /// Asks callers for credentials of this realm.
    pub realm: Option<&'static str>,
    /// Does not answer at all.
    pub dead: bool,
    branches: u32,
    /// INVITEs that it sent on, as they came and as they went, by Call-ID and CSeq number.
    invites: HashMap<(String, u32), (Request, Request)>,
}

impl Proxy {
    pub fn new(at: SocketAddr, next: SocketAddr) -> Self {
        Self { at, next, realm: None, dead: false, branches: 0, invites: HashMap::new() }
    }

    fn handle(&mut self, world: &mut World, message: Message) {
        match message {
            _ if self.dead => {}
            Message::Request(request) => self.request(world, request),
            Message::Response(response) => self.response(world, response),
        }
    }

    fn request(&mut self, world: &mut World, mut request: Request) {
        let source = sender(&request.headers);
        let key = key(&request.headers);
        // A pre-loaded Route names our domain, one that we recorded our address.
        let inside = request.headers.get(&Name::Route).is_some_and(|route| route.contains(&self.at.to_string()));
        match request.method {
            Method::Invite if !inside => {
                if let Some(realm) = self.realm
                    && !request.headers.all(&Name::ProxyAuthorization).any(|value| value.contains(realm))
                {
                    let mut refused = request.response(Status::PROXY_AUTHENTICATION_REQUIRED).with_to_tag("p");
                    let challenge = format!("Digest realm=\"{realm}\", nonce=\"n{}\", qop=\"auth\"", self.branches);
                    refused.headers.push(Name::ProxyAuthenticate, challenge);
                    return world.say(self.at, source, refused);
                }
                world.say(self.at, source, request.response(Status::TRYING));
            }
            // Of a response that was not a 2xx: it ends here.
            Method::Ack if !inside => return,
            Method::Cancel => {
                world.say(self.at, source, request.response(Status::OK));
                let Some((_, sent)) = self.invites.get(&key) else { return };
                let cancel = crate::peer::companion(&first_via_only(sent), Method::Cancel, None);
                return world.say(self.at, self.next, cancel);
            }
            _ => {}
        }
        let came = request.clone();
        let mut next = self.next;
        if inside {
            request.headers.remove_first(&Name::Route);
            next = match request.headers.routes().unwrap().first() {
                Some(route) => route.uri.to_string().trim_start_matches("sip:").replace(";lr", "").parse().unwrap(),
                None => target(&request),
            };
        } else {
            request.headers.remove(&Name::Route);
            request.headers.prepend(Name::RecordRoute, format!("<sip:{};lr>", self.at));
        }
        self.branches += 1;
        let via = format!("SIP/2.0/UDP {};branch=z9hG4bKproxy{}x{}", self.at, self.at.ip(), self.branches);
        request.headers.prepend(Name::Via, via);
        if request.method == Method::Invite {
            self.invites.insert(key, (came, request.clone()));
        }
        world.say(self.at, next, request);
    }

    fn response(&mut self, world: &mut World, mut response: Response) {
        let cseq = response.headers.cseq().unwrap();
        if response.status == Status::TRYING || cseq.method == Method::Cancel {
            return;
        }
        if cseq.method == Method::Invite
            && response.status.code() >= 300
            && let Some((_, sent)) = self.invites.get(&key(&response.headers))
        {
            let ack = crate::peer::companion(&first_via_only(sent), Method::Ack, Some(&response));
            world.say(self.at, self.next, ack);
        }
        response.headers.remove_first(&Name::Via);
        let back = sender(&response.headers);
        world.say(self.at, back, response);
    }

    /// Gives up INVITEs whose callee says nothing.
    pub fn give_up(&mut self, world: &mut World) {
        for (came, _) in self.invites.values() {
            let late = came.response(Status::REQUEST_TIMEOUT).with_to_tag("p");
            world.say(self.at, sender(&came.headers), late);
        }
    }
}

fn first_via_only(request: &Request) -> Request {
    let mut request = request.clone();
    let via = request.headers.get(&Name::Via).unwrap().to_owned();
    request.headers.remove(&Name::Via);
    request.headers.push(Name::Via, via);
    request
}

fn key(headers: &Headers) -> (String, u32) {
    (headers.call_id().unwrap().to_owned(), headers.cseq().unwrap().number)
}

/// Where the top Via says that a message came from, and that responses go to.
fn sender(headers: &Headers) -> SocketAddr {
    let via: Via = headers.top_via().unwrap();
    let ip = via.host.ip().unwrap();
    (ip, via.port.unwrap_or(5060)).into()
}

fn target(request: &Request) -> SocketAddr {
    (request.uri.host().unwrap().ip().unwrap(), request.uri.port().unwrap_or(5060)).into()
}

/// A world with proxies in it.
pub struct Net {
    pub world: World,
    pub proxies: Vec<Proxy>,
    events: HashMap<usize, VecDeque<Event>>,
}

impl Net {
    pub fn new(world: World, proxies: Vec<Proxy>) -> Self {
        Self { world, proxies, events: HashMap::new() }
    }

    fn pump(&mut self) {
        for proxy in &mut self.proxies {
            for message in self.world.inbox(proxy.at) {
                proxy.handle(&mut self.world, message);
            }
        }
    }

    pub fn run(&mut self, duration: Duration) {
        let until = self.world.now + duration;
        while self.world.now < until {
            self.world.step_before(until);
            self.pump();
        }
    }

    /// Runs until an agent says such an event.
    #[track_caller]
    pub fn wait<T>(&mut self, node: Node, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let give_up = self.world.now + Duration::from_secs(600);
        loop {
            let events = self.events.entry(node.0).or_default();
            events.extend(self.world.events(node));
            while let Some(event) = events.pop_front() {
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
            assert!(self.world.now < give_up, "the event never came; sent so far:\n{}", self.world.story());
            self.world.step_before(give_up);
            self.pump();
        }
    }

    /// The messages sent, in the words of a flow (`alice>p1 INVITE`), without 100, each once.
    pub fn told(&self, parties: &[(&str, SocketAddr)]) -> Vec<String> {
        let name = |address: SocketAddr| {
            parties
                .iter()
                .find(|(_, known)| *known == address)
                .map_or_else(|| address.to_string(), |it| it.0.to_owned())
        };
        let mut told = Vec::new();
        for wire in &self.world.trace {
            let what = crate::world::summary(wire);
            let line = format!("{}>{} {what}", name(wire.from), name(wire.to));
            if !what.starts_with("100 ") {
                told.push(line);
            }
        }
        told
    }
}
