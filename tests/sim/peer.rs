//! A scripted peer: what it says is written out, so that the agent is tested against the letter and not against itself.

use std::net::SocketAddr;

use sidetone::sip::agent::{Account, AgentConfig, EndedBy, Event, InviteRequest, SessionId};
use sidetone::sip::header::{Headers, Name};
use sidetone::sip::message::{Message, Method, Request, Response, Status};
use sidetone::sip::uri::Uri;

use crate::world::{Node, World};

/// What an agent serves.
pub const ALLOWED: [&str; 11] =
    ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "MESSAGE", "NOTIFY", "PRACK", "UPDATE", "REFER"];

pub const OFFER: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
pub const ANSWER: &str =
    "v=0\r\no=- 2 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 4002 RTP/AVP 0\r\n";

pub fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

pub fn config() -> AgentConfig {
    AgentConfig::new("sidetone-test")
}

pub fn account(aor: &str, password: &str) -> Account {
    let mut account = Account::new(uri(aor));
    account.password = Some(password.into());
    account
}

/// Alice, an agent, and Bob, a script.
pub fn alice_and_bob() -> (World, Node, SocketAddr) {
    let mut world = World::new(7);
    let alice = world.agent("192.0.2.1:5060", config());
    let bob = world.peer("192.0.2.2:5060");
    (world, alice, bob)
}

pub fn to(target: &str) -> InviteRequest {
    InviteRequest { account: None, target: uri(target), from: None, headers: Vec::new() }
}

/// The agent calls Bob; gives the session and the INVITE that Bob received.
#[track_caller]
pub fn call(world: &mut World, alice: Node, bob: SocketAddr, sdp: Option<&'static str>) -> (SessionId, Request) {
    let session = world.with(alice, |agent, now| agent.invite(now, to(&format!("sip:bob@{bob}"))).unwrap());
    offer(world, alice, session, sdp);
    (session, request(world, bob, &Method::Invite))
}

#[track_caller]
pub fn offer(world: &mut World, alice: Node, session: SessionId, sdp: Option<&'static str>) {
    world.wait(alice, |event| matches!(event, Event::Route { .. }).then_some(()));
    world.with(alice, |agent, now| agent.offer(now, session, sdp.map(Into::into)).unwrap());
}

/// The next request that a peer receives, which has to be of that method.
#[track_caller]
pub fn request(world: &mut World, peer: SocketAddr, method: &Method) -> Request {
    match world.receive(peer) {
        Message::Request(request) if request.method == *method => request,
        other => panic!("{method} was expected, not {other:#?}"),
    }
}

/// The next response that a peer receives, which has to have that status.
#[track_caller]
pub fn response(world: &mut World, peer: SocketAddr, status: u16) -> Response {
    match world.receive(peer) {
        Message::Response(response) if response.status == Status(status) => response,
        other => panic!("{status} was expected, not {other:#?}"),
    }
}

/// A response of Bob's with his tag and Contact.
pub fn answer(invite: &Request, status: u16, tag: &str, bob: SocketAddr, sdp: Option<&'static str>) -> Response {
    let mut response = invite.response(Status(status)).with_to_tag(tag);
    response.headers.push(Name::Contact, format!("<sip:bob@{bob}>"));
    match sdp {
        Some(sdp) => response.with_body("application/sdp", sdp),
        None => response,
    }
}

/// What Bob says of himself in his requests.
#[derive(Clone, Debug)]
pub struct Line {
    pub from: String,
    pub to: String,
    pub call_id: String,
    pub target: String,
    pub contact: String,
    pub cseq: u32,
    pub branch: u32,
    pub at: SocketAddr,
}

impl Line {
    /// Bob calls the agent.
    pub fn calling(agent: SocketAddr, at: SocketAddr) -> Self {
        Self {
            from: "Bob <sip:bob@example.net>;tag=bob1".into(),
            to: "<sip:alice@example.com>".into(),
            call_id: "call-1@example.net".into(),
            target: format!("sip:alice@{agent}"),
            contact: format!("<sip:bob@{at}>"),
            cseq: 1,
            branch: 0,
            at,
        }
    }

    /// Bob's side of the dialog that his response to `invite` made.
    pub fn called(invite: &Request, response: &Response, at: SocketAddr) -> Self {
        let target = invite.headers.contacts().unwrap().remove(0).uri.to_string();
        Self {
            from: response.headers.get(&Name::To).unwrap().into(),
            to: response.headers.get(&Name::From).unwrap().into(),
            call_id: invite.headers.call_id().unwrap().into(),
            target,
            contact: format!("<sip:bob@{at}>"),
            cseq: 100,
            branch: 1000,
            at,
        }
    }

    /// The dialog goes on as the agent's response says: its To tag and its Contact.
    pub fn confirm(&mut self, response: &Response) {
        self.to = response.headers.get(&Name::To).unwrap().into();
        if let Some(contact) = response.headers.contacts().unwrap().first() {
            self.target = contact.uri.to_string();
        }
    }

    /// A request with the next CSeq number.
    pub fn next(&mut self, method: Method, sdp: Option<&'static str>) -> Request {
        self.cseq += 1;
        self.again(method, sdp)
    }

    /// A request with the CSeq number as it is, and a new branch.
    pub fn again(&mut self, method: Method, sdp: Option<&'static str>) -> Request {
        self.branch += 1;
        let mut request = Request::new(method.clone(), uri(&self.target));
        let via = format!("SIP/2.0/UDP {};branch=z9hG4bKbob{};rport", self.at, self.branch);
        let cseq = format!("{} {method}", self.cseq);
        for (name, value) in [
            (Name::Via, via.as_str()),
            (Name::MaxForwards, "70"),
            (Name::From, &self.from),
            (Name::To, &self.to),
            (Name::CallId, &self.call_id),
            (Name::CSeq, &cseq),
            (Name::Contact, &self.contact),
        ] {
            request.headers.push(name, value);
        }
        match sdp {
            Some(sdp) => request.with_body("application/sdp", sdp),
            None => request,
        }
    }
}

/// The ACK to a non-2xx response, or the CANCEL, of `invite`: same branch and CSeq number.
pub fn companion(invite: &Request, method: Method, to: Option<&Response>) -> Request {
    let mut request = Request::new(method.clone(), invite.uri.clone());
    let mut headers = Headers::new();
    for name in [Name::Via, Name::From, Name::CallId, Name::MaxForwards] {
        headers.copy(&invite.headers, &name);
    }
    headers.copy(to.map_or(&invite.headers, |response| &response.headers), &Name::To);
    headers.push(Name::CSeq, format!("{} {method}", invite.headers.cseq().unwrap().number));
    request.headers = headers;
    request
}

/// Bob calls and the agent rings; gives Bob's line, his INVITE and the agent's session.
#[track_caller]
pub fn ringing(
    world: &mut World,
    alice: Node,
    bob: SocketAddr,
    sdp: Option<&'static str>,
) -> (Line, Request, SessionId) {
    let agent = world.address(alice);
    let mut line = Line::calling(agent, bob);
    let invite = line.again(Method::Invite, sdp);
    world.say(bob, agent, invite.clone());
    let session = incoming(world, alice);
    (line, invite, session)
}

#[track_caller]
pub fn incoming(world: &mut World, alice: Node) -> SessionId {
    world.wait(alice, |event| match event {
        Event::Incoming { session, .. } => Some(*session),
        _ => None,
    })
}

#[track_caller]
pub fn ended(world: &mut World, alice: Node) -> (EndedBy, Option<u16>, String) {
    world.wait(alice, |event| match event {
        Event::Ended { by, status, reason, .. } => Some((*by, status.map(Status::code), reason.clone())),
        _ => None,
    })
}

/// Bob called and talks.
#[track_caller]
pub fn established_session(world: &mut World, alice: Node, bob: SocketAddr) -> (Line, SessionId) {
    let agent = world.address(alice);
    let (mut line, _, session) = ringing(world, alice, bob, Some(OFFER));
    world.with(alice, |agent, now| agent.answer(now, session, ANSWER.into()).unwrap());
    line.confirm(&response(world, bob, 200));
    world.say(bob, agent, line.again(Method::Ack, None));
    world.wait(alice, |event| matches!(event, Event::Confirmed { .. }).then_some(()));
    (line, session)
}

#[track_caller]
pub fn established(world: &mut World, alice: Node, bob: SocketAddr) -> Line {
    established_session(world, alice, bob).0
}
