//! The server half of the table: received requests.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::invite_server::InviteServer;
use super::server::Server;
use super::{Deadline, Output, Pace, ServerId, Transactions, key};
use crate::sip::header::{Headers, Name};
use crate::sip::hop::{Hop, Transport};
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::via::Via;
use crate::time::Instant;

/// What a refused sender is asked to wait, in seconds, when the table is full.
const OVERLOAD_RETRY_AFTER: &str = "10";

/// What happens to a server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Timeout,
    /// The request came again.
    Repeated,
    Ack,
    /// The user sends a provisional response.
    Provisional,
    /// The user sends a 2xx.
    Success,
    /// The user sends another final response.
    Rejection,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// Send 100.
    Trying,
    /// Send the user's response and keep it.
    Send,
    /// Send the kept response again.
    Resend,
    /// Give the ACK to the user.
    Acknowledged,
    /// Tell the user that nobody acknowledged its response.
    Unacknowledged,
    /// The user never answered: answer an INVITE for it, and tell it.
    Forgotten,
}

/// A received request.
#[derive(Debug)]
pub(super) struct ServerEntry {
    machine: Machine,
    key: Arc<str>,
    merge: Option<Arc<str>>,
    /// Where responses go.
    reply: Hop,
    /// Where they go if the connection of the request is gone (RFC 3261 18.2.2).
    instead: Option<SocketAddr>,
    /// What a response of our own to an INVITE copies.
    head: Headers,
    /// The response that repetitions get.
    last: Option<Bytes>,
    /// The To tag of all responses.
    tag: Option<String>,
    deadline: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Machine {
    Invite(InviteServer),
    Other(Server),
}

impl Machine {
    fn step(&mut self, now: Instant, input: Input, pace: &Pace) -> Effect {
        match self {
            Self::Invite(state) => {
                let (next, effect) = state.handle(now, input, pace);
                *state = next;
                effect
            }
            Self::Other(state) => {
                let (next, effect) = state.handle(now, input, pace);
                *state = next;
                effect
            }
        }
    }

    /// `None`: the transaction is over.
    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Invite(state) => state.deadline(),
            Self::Other(state) => state.deadline(),
        }
    }
}

impl Transactions {
    pub(super) fn receive_request(&mut self, now: Instant, source: Hop, mut request: Request) {
        let Ok(mut via) = request.headers.top_via() else {
            self.counters.unroutable += 1;
            return;
        };
        let method = if request.method == Method::Ack { &Method::Invite } else { &request.method };
        key::server(&request, &via, method, &mut self.key);
        if let Some(id) = self.requests.get(self.key.as_str()).copied() {
            let input = if request.method == Method::Ack { Input::Ack } else { Input::Repeated };
            if self.drive_server(now, id, input, None) == Effect::Acknowledged {
                self.outputs.push_back(Output::Ack { source, request });
            } else {
                self.counters.absorbed += 1;
            }
            return;
        }
        let key: Arc<str> = self.key.as_str().into();
        let invite = match request.method {
            Method::Cancel => {
                key::server(&request, &via, &Method::Invite, &mut self.key);
                self.requests.get(self.key.as_str()).copied()
            }
            _ => None,
        };
        let mut merge: Option<Arc<str>> = None;
        let mut merged = false;
        if !matches!(request.method, Method::Ack | Method::Cancel) && key::merge(&request, &mut self.key) {
            merged = self.merges.contains_key(self.key.as_str());
            merge = (!merged).then(|| Arc::from(self.key.as_str()));
        }
        via.note_source(source.remote);
        request.headers.set_first(Name::Via, via.to_string());
        if request.method == Method::Ack {
            self.outputs.push_back(Output::Ack { source, request });
            return;
        }
        let (reply, instead) = way_back(source, &via);
        // A CANCEL of a known INVITE is let in: there are no more of them than INVITEs.
        if self.servers.len() >= self.limits.servers && invite.is_none() {
            self.refuse(&request, reply);
            return;
        }
        let id = ServerId(self.next_id());
        self.requests.insert(key.clone(), id);
        if let Some(merge) = &merge {
            self.merges.insert(merge.clone(), id);
        }
        let pace = self.pace(source.transport);
        let (machine, head) = match request.method {
            Method::Invite => {
                let head = request.response(Status::TRYING).headers;
                (Machine::Invite(InviteServer::start(now, &pace)), head)
            }
            _ => (Machine::Other(Server::start(now, &pace)), Headers::new()),
        };
        let entry = ServerEntry { machine, key, merge, reply, instead, head, last: None, tag: None, deadline: None };
        self.servers.insert(id, entry);
        self.settle_server(id);
        match request.method {
            Method::Cancel => self.answer_cancel(now, id, invite, request),
            _ => self.outputs.push_back(Output::Request { id, source, request, merged }),
        }
    }

    /// Answers CANCEL (RFC 3261 section 9.2): 200 with the To tag of the INVITE's responses, or 481.
    fn answer_cancel(&mut self, now: Instant, id: ServerId, invite: Option<ServerId>, request: Request) {
        let tag = invite.map(|invite| (invite, self.tag(invite)));
        let Some((invite, tag)) = tag else {
            self.respond_server(now, id, request.response(Status::CALL_DOES_NOT_EXIST));
            return;
        };
        self.respond_server(now, id, request.response(Status::OK).with_to_tag(&tag));
        if let Some(ServerEntry { machine: Machine::Invite(state), .. }) = self.servers.get(&invite)
            && state.pending()
        {
            self.outputs.push_back(Output::Cancelled { invite, request });
        }
    }

    pub(super) fn respond_server(&mut self, now: Instant, id: ServerId, mut response: Response) -> bool {
        let status = response.status;
        if status != Status::TRYING {
            // The user's own tag, where it set one, becomes the tag of the transaction.
            match response.headers.to().ok().as_ref().and_then(|to| to.tag()) {
                Some(tag) => {
                    if let Some(entry) = self.servers.get_mut(&id) {
                        entry.tag = Some(tag.to_owned());
                    }
                }
                None => response = response.with_to_tag(&self.tag(id)),
            }
        }
        let input = match status {
            status if status.is_provisional() => Input::Provisional,
            status if status.is_success() => Input::Success,
            _ => Input::Rejection,
        };
        self.drive_server(now, id, input, Some(response)) == Effect::Send
    }

    /// The To tag of the responses to `id`.
    fn tag(&mut self, id: ServerId) -> String {
        let random = &mut self.random;
        match self.servers.get_mut(&id) {
            Some(entry) => entry.tag.get_or_insert_with(|| random.token(12)).clone(),
            None => random.token(12),
        }
    }

    pub(super) fn server_timeout(&mut self, now: Instant, id: ServerId) {
        self.drive_server(now, id, Input::Timeout, None);
    }

    /// A response that could not be sent on the connection of its request goes on a new one, once. The user is not
    /// told: a rejection runs into timer H, and a 2xx is repeated by the user until it gives up.
    pub(super) fn servers_unreachable(&mut self, hop: Hop) {
        if !hop.transport.reliable() {
            return;
        }
        let mut ids: Vec<_> = self
            .servers
            .iter()
            .filter(|(_, entry)| entry.reply.transport == hop.transport && entry.reply.remote == hop.remote)
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(entry) = self.servers.get_mut(&id)
                && let Some(remote) = entry.instead.take()
            {
                entry.reply.remote = remote;
                if let Some(bytes) = entry.last.clone() {
                    self.counters.resent += 1;
                    self.outputs.push_back(Output::Transmit { hop: entry.reply, bytes });
                }
            }
        }
    }

    /// Feeds the machine of `id` and does what it says.
    fn drive_server(&mut self, now: Instant, id: ServerId, input: Input, response: Option<Response>) -> Effect {
        let Some(entry) = self.servers.get_mut(&id) else { return Effect::Nothing };
        let reliable = entry.reply.transport.reliable();
        let pace = Pace { timers: self.timers, reliable, ringing: self.limits.ringing };
        let effect = entry.machine.step(now, input, &pace);
        let mut told = None;
        let sent = match effect {
            Effect::Nothing | Effect::Acknowledged => None,
            Effect::Trying => Some(Response::answering(&entry.head, Status::TRYING)),
            Effect::Send => response,
            Effect::Resend => {
                self.counters.resent += 1;
                let again = entry.last.clone().map(|bytes| Output::Transmit { hop: entry.reply, bytes });
                self.outputs.extend(again);
                None
            }
            Effect::Unacknowledged => {
                told = Some(Output::ServerTimeout { id });
                None
            }
            Effect::Forgotten => {
                told = Some(Output::ServerTimeout { id });
                match entry.machine {
                    Machine::Invite(_) => {
                        let tag = entry.tag.get_or_insert_with(|| self.random.token(12));
                        let answer = Response::answering(&entry.head, Status::SERVER_INTERNAL_ERROR);
                        Some(answer.with_to_tag(tag))
                    }
                    Machine::Other(_) => None,
                }
            }
        };
        if let Some(response) = sent {
            let bytes = Bytes::from(response.to_bytes());
            entry.last = Some(bytes.clone());
            if response.status.is_final() {
                entry.head = Headers::new();
            }
            self.outputs.push_back(Output::Transmit { hop: entry.reply, bytes });
        }
        self.settle_server(id);
        self.outputs.extend(told);
        effect
    }

    /// Answers 503 without a transaction.
    fn refuse(&mut self, request: &Request, reply: Hop) {
        self.counters.overload += 1;
        let tag = self.random.token(12);
        let mut response = request.response(Status::SERVICE_UNAVAILABLE).with_to_tag(&tag);
        response.headers.push(Name::RetryAfter, OVERLOAD_RETRY_AFTER);
        self.outputs.push_back(Output::Transmit { hop: reply, bytes: response.to_bytes().into() });
    }

    /// Notes the deadline of `id`, or removes it when it is over.
    fn settle_server(&mut self, id: ServerId) {
        let Some(entry) = self.servers.get_mut(&id) else { return };
        let next = entry.machine.deadline();
        let old = std::mem::replace(&mut entry.deadline, next);
        self.deadlines.change(Deadline::Server(id), old, next);
        if next.is_none()
            && let Some(entry) = self.servers.remove(&id)
        {
            self.requests.remove(&entry.key);
            if let Some(merge) = &entry.merge {
                self.merges.remove(merge);
            }
        }
    }
}

/// Where responses to a request from `source` go, and where else if that connection is gone (RFC 3261 18.2.2, RFC 3581
/// section 4): the source itself over streams and where `rport` asks for it, else the source's address with the sent-by
/// port. `maddr` is not followed: a response never goes to a third party.
pub(crate) fn way_back(source: Hop, via: &Via) -> (Hop, Option<SocketAddr>) {
    let port = via.port.unwrap_or(source.transport.default_port());
    let sent_by = SocketAddr::new(source.remote.ip(), port);
    match source.transport {
        Transport::Udp if via.wants_rport() => (source, None),
        Transport::Udp => (Hop { remote: sent_by, ..source }, None),
        Transport::Tcp | Transport::Tls => (source, Some(sent_by).filter(|sent_by| *sent_by != source.remote)),
    }
}
