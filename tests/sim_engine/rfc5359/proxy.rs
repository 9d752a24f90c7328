//! A forking proxy of one call (RFC 3261 section 16): it tries places one round after the other, screens, and stays in
//! the dialog. What it sends is in the trace of the world like everything else.

use crate::world::{LATENCY, Wire, World};
use sidetone::sip::header::{Headers, Name};
use sidetone::sip::message::{Message, Method, Request, Response, Status};
use sidetone::sip::wire::parse_datagram;
use sidetone::time::{Duration, Instant};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Where it is.
pub const PROXY: &str = "192.0.2.11:5060";

/// The user of the address that it records, unlike that of a pre-loaded Route.
const INSIDE: &str = "sip:inside@192.0.2.11:5060";

#[derive(Default)]
pub struct Proxy {
    /// Who is tried: the places of a round at once, with their addresses of record.
    rounds: VecDeque<Vec<&'static str>>,
    /// How long a round rings.
    patience: Duration,
    /// Is the caller told of being forwarded before the first round, as before each other one?
    pub announces: bool,
    /// Asks callers for credentials of this realm.
    pub realm: Option<&'static str>,
    /// Screens the call: what it is refused with.
    pub refuses: Option<(u16, &'static str)>,
    /// Header fields that say in a CANCEL why.
    pub why: Option<&'static str>,
    came: Option<Request>,
    legs: Vec<Leg>,
    next_branch: usize,
    deadline: Option<Instant>,
    answered: bool,
    /// The last refusal of a round.
    refused: Option<Response>,
}

struct Leg {
    sent: Request,
    to: SocketAddr,
    over: bool,
}

impl Proxy {
    pub fn new(rounds: VecDeque<Vec<&'static str>>, patience: Duration) -> Self {
        Self { rounds, patience, ..Self::default() }
    }

    /// Lets time pass with the proxy in the world.
    pub fn run(&mut self, world: &mut World, time: Duration) {
        let until = world.now + time;
        while world.now < until {
            world.run(LATENCY);
            while let Some(wire) = world.strays.pop_front() {
                assert_eq!(wire.to, at(), "nobody is there: {}", world.story());
                match parse_datagram(&wire.bytes).unwrap() {
                    Message::Request(request) => self.request(world, wire.from, request),
                    Message::Response(response) => self.response(world, response),
                }
            }
            if self.deadline.is_some_and(|deadline| deadline <= world.now) {
                self.deadline = None;
                self.cancel_rest(world, None);
            }
        }
    }

    fn request(&mut self, world: &mut World, source: SocketAddr, mut request: Request) {
        let inside = request.headers.get(&Name::Route).is_some_and(|route| route.contains(INSIDE));
        match request.method {
            _ if inside => {
                request.headers.remove_first(&Name::Route);
                self.branch(&mut request);
                send(world, target(&request), request.to_bytes());
            }
            Method::Invite => self.invite(world, source, request),
            // Of a response that was not a 2xx: it ends here.
            Method::Ack => {}
            Method::Cancel => {
                send(world, source, request.response(Status::OK).to_bytes());
                self.rounds.clear();
                self.deadline = None;
                self.cancel_rest(world, None);
            }
            other => panic!("{other} outside of the dialog"),
        }
    }

    fn invite(&mut self, world: &mut World, source: SocketAddr, request: Request) {
        if let Some(realm) = self.realm
            && !request.headers.contains(&Name::ProxyAuthorization)
        {
            let mut response = request.response(Status::PROXY_AUTHENTICATION_REQUIRED).with_to_tag("proxy");
            let challenge = format!("Digest realm=\"{realm}\", nonce=\"n1\", qop=\"auth\"");
            response.headers.push(Name::ProxyAuthenticate, challenge);
            return send(world, source, response.to_bytes());
        }
        if let Some((status, reason)) = self.refuses {
            let mut response = request.response(Status(status)).with_to_tag("proxy");
            response.reason = reason.into();
            return send(world, source, response.to_bytes());
        }
        send(world, source, request.response(Status::TRYING).to_bytes());
        self.came = Some(request);
        self.next_round(world);
    }

    fn next_round(&mut self, world: &mut World) {
        let came = self.came.clone().expect("a call");
        let Some(round) = self.rounds.pop_front() else {
            let mut refused = self.refused.take().expect("a refusal");
            refused.headers.remove_first(&Name::Via);
            return send(world, sender(&refused.headers), refused.to_bytes());
        };
        if self.announces {
            send(world, sender(&came.headers), came.response(Status(181)).with_to_tag("proxy").to_bytes());
        }
        for place in round {
            let mut request = came.clone();
            request.uri = place.parse().unwrap();
            request.headers.remove(&Name::Route);
            request.headers.prepend(Name::RecordRoute, format!("<{INSIDE};lr>"));
            self.branch(&mut request);
            let to = target(&request);
            send(world, to, request.to_bytes());
            self.legs.push(Leg { sent: request, to, over: false });
        }
        self.deadline = Some(world.now + self.patience);
        self.announces = true;
    }

    fn response(&mut self, world: &mut World, mut response: Response) {
        let cseq = response.headers.cseq().unwrap();
        if response.status == Status::TRYING || cseq.method == Method::Cancel {
            return;
        }
        let branch = response.headers.top_via().unwrap().branch().map(str::to_owned);
        let leg = self.legs.iter_mut().find(|leg| leg.sent.headers.top_via().unwrap().branch() == branch.as_deref());
        if let Some(leg) = leg.filter(|_| response.status.is_final()) {
            leg.over = true;
            if response.status.is_success() {
                (self.answered, self.deadline) = (true, None);
                self.cancel_rest(world, self.why);
            } else {
                let (to, ack) = (leg.to, companion(&leg.sent, Method::Ack, &response.headers));
                send(world, to, ack.to_bytes());
                // RFC 3261 section 16.7 step 5: a 6xx ends the search.
                if response.status.code() >= 600 {
                    self.rounds.clear();
                    self.cancel_rest(world, None);
                }
                self.refused = Some(response);
                if self.legs.iter().all(|leg| leg.over) && !self.answered {
                    self.next_round(world);
                }
                return;
            }
        }
        response.headers.remove_first(&Name::Via);
        send(world, sender(&response.headers), response.to_bytes());
    }

    fn cancel_rest(&mut self, world: &mut World, why: Option<&str>) {
        for leg in self.legs.iter().filter(|leg| !leg.over) {
            let mut cancel = companion(&leg.sent, Method::Cancel, &leg.sent.headers);
            if let Some(why) = why {
                cancel.headers.push(Name::Reason, why);
            }
            send(world, leg.to, cancel.to_bytes());
        }
    }

    fn branch(&mut self, request: &mut Request) {
        self.next_branch += 1;
        request.headers.prepend(Name::Via, format!("SIP/2.0/UDP {PROXY};branch=z9hG4bKproxy{}", self.next_branch));
    }
}

fn at() -> SocketAddr {
    PROXY.parse().unwrap()
}

fn send(world: &mut World, to: SocketAddr, bytes: Vec<u8>) {
    world.trace.push(Wire { at: world.now, from: at(), to, bytes: bytes.clone() });
    world.say(at(), to, bytes);
}

/// The ACK to a refusal, or the CANCEL, of `invite`; `to` has the To field.
fn companion(invite: &Request, method: Method, to: &Headers) -> Request {
    let mut request = Request::new(method.clone(), invite.uri.clone());
    request.headers.push(Name::Via, invite.headers.all(&Name::Via).next().unwrap().to_owned());
    for name in [Name::From, Name::CallId, Name::MaxForwards] {
        request.headers.copy(&invite.headers, &name);
    }
    request.headers.copy(to, &Name::To);
    request.headers.push(Name::CSeq, format!("{} {method}", invite.headers.cseq().unwrap().number));
    request
}

/// Where the top Via says that responses go.
fn sender(headers: &Headers) -> SocketAddr {
    let via = headers.top_via().unwrap();
    (via.host.ip().unwrap(), via.port.unwrap_or(5060)).into()
}

fn target(request: &Request) -> SocketAddr {
    (request.uri.host().unwrap().ip().unwrap(), request.uri.port().unwrap_or(5060)).into()
}
