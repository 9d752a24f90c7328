//! The client half of the table: requests of ours.

use std::sync::Arc;

use bytes::Bytes;

use super::client::Client;
use super::invite_client::InviteClient;
use super::{ClientId, Deadline, Output, Pace, Transactions, hop_by_hop, key};
use crate::sip::header::{Headers, Name};
use crate::sip::hop::{Hop, Transport};
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::via::{MAGIC_COOKIE, Via};
use crate::time::{Duration, Instant};

/// How long a peer that took no connection is spared further attempts.
const DATAGRAM_ONLY: Duration = Duration::from_secs(240);

/// How many such peers are remembered.
const DATAGRAM_ONLY_PEERS: usize = 1024;

/// What happens to a client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Timeout,
    /// A 1xx came.
    Provisional,
    /// A 2xx came.
    Success,
    /// Any other final response came.
    Rejection,
    /// The user gives the INVITE up.
    Cancel,
    Unreachable,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// Send the request again.
    Resend,
    /// Give the response to the user.
    Deliver,
    /// Give the response to the user and acknowledge it.
    DeliverAndAck,
    /// Send the ACK again.
    Ack,
    /// Send CANCEL.
    Cancel,
    /// Give the response to the user and send CANCEL.
    DeliverAndCancel,
    /// Tell the user that no answer came.
    TimedOut,
    /// Tell the user that the request could not be sent.
    Failed,
}

/// A request of ours.
#[derive(Debug)]
pub(super) struct ClientEntry {
    machine: Machine,
    /// With our Via on top.
    pub(super) request: Request,
    pub(super) hop: Hop,
    bytes: Bytes,
    key: Arc<str>,
    branch: String,
    /// The ACK to the rejection of the INVITE.
    ack: Option<Bytes>,
    /// What a CANCEL that waits for a provisional response shall carry.
    cancel: Headers,
    /// Does the user hear of it? Not of a CANCEL.
    audience: Audience,
    /// The way to try if the one in use takes no connection, and when to lose patience.
    instead: Option<(Hop, Instant)>,
    deadline: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    User,
    Nobody,
}

#[derive(Clone, Copy, Debug)]
enum Machine {
    Invite(InviteClient),
    Other(Client),
}

impl Machine {
    fn start(method: &Method, now: Instant, pace: &Pace) -> Self {
        match method {
            Method::Invite => Self::Invite(InviteClient::start(now, pace)),
            _ => Self::Other(Client::start(now, pace)),
        }
    }

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

/// A request ready to be sent.
pub(super) struct Prepared {
    request: Request,
    branch: String,
    pub(super) hop: Hop,
    pub(super) bytes: Bytes,
    /// The UDP way, where size chose TCP.
    instead: Option<Hop>,
}

impl Transactions {
    /// Puts our Via on top and chooses the transport by size.
    pub(super) fn prepare(&mut self, mut request: Request, hop: Hop) -> Prepared {
        let branch = format!("{MAGIC_COOKIE}{}", self.random.token(20));
        let via = |hop: Hop| Via::new(hop.transport, hop.local, &branch).to_string();
        request.headers.prepend(Name::Via, via(hop));
        let bytes = request.to_bytes();
        let too_large = hop.transport == Transport::Udp && bytes.len() > self.limits.datagram;
        if !too_large || self.datagram_only.contains_key(&hop.remote) {
            return Prepared { request, branch, hop, bytes: bytes.into(), instead: None };
        }
        let stream = Hop { transport: Transport::Tcp, ..hop };
        request.headers.set_first(Name::Via, via(stream));
        let bytes = request.to_bytes().into();
        Prepared { request, branch, hop: stream, bytes, instead: Some(hop) }
    }

    pub(super) fn start_client(&mut self, now: Instant, request: Request, hop: Hop) -> ClientId {
        let prepared = self.prepare(request, hop);
        self.insert_client(now, prepared, Audience::User)
    }

    fn insert_client(&mut self, now: Instant, prepared: Prepared, audience: Audience) -> ClientId {
        let Prepared { request, branch, hop, bytes, instead } = prepared;
        let id = ClientId(self.next_id());
        key::client(&branch, &request.method, &mut self.key);
        let key: Arc<str> = self.key.as_str().into();
        self.responses.insert(key.clone(), id);
        let entry = ClientEntry {
            machine: Machine::start(&request.method, now, &self.pace(hop.transport)),
            request,
            hop,
            bytes: bytes.clone(),
            key,
            branch,
            ack: None,
            cancel: Headers::new(),
            audience,
            instead: instead.map(|hop| (hop, now + self.limits.connect)),
            deadline: None,
        };
        self.clients.insert(id, entry);
        self.settle_client(id);
        self.outputs.push_back(Output::Transmit { hop, bytes });
        id
    }

    pub(super) fn cancel_client(&mut self, now: Instant, id: ClientId, extra: &Headers) -> bool {
        match self.clients.get_mut(&id) {
            Some(ClientEntry { machine: Machine::Invite(state), cancel, .. }) if state.pending() => {
                *cancel = extra.clone();
                self.drive_client(now, id, Input::Cancel, None);
                true
            }
            _ => false,
        }
    }

    pub(super) fn receive_response(&mut self, now: Instant, source: Hop, response: Response) {
        let (Ok(via), 1) = (response.headers.top_via(), response.headers.values(&Name::Via).count()) else {
            self.counters.unroutable += 1;
            return;
        };
        let known = key::of_response(&response, &via, &mut self.key);
        match self.responses.get(self.key.as_str()).copied().filter(|_| known) {
            Some(id) => {
                let input = match response.status {
                    status if status.is_provisional() => Input::Provisional,
                    status if status.is_success() => Input::Success,
                    _ => Input::Rejection,
                };
                if let Some(entry) = self.clients.get_mut(&id) {
                    entry.instead = None;
                }
                self.drive_client(now, id, input, Some((source, response)));
            }
            None => self.outputs.push_back(Output::StrayResponse { source, response }),
        }
    }

    pub(super) fn client_timeout(&mut self, now: Instant, id: ClientId) {
        match self.clients.get(&id).and_then(|entry| entry.instead) {
            Some((_, at)) if at <= now => self.fall_back(now, id),
            _ => self.drive_client(now, id, Input::Timeout, None),
        }
    }

    pub(super) fn clients_unreachable(&mut self, now: Instant, hop: Hop) {
        let same_way = |way: Hop| way.transport == hop.transport && way.remote == hop.remote;
        let mut ids: Vec<_> = self.clients.iter().filter(|(_, entry)| same_way(entry.hop)).map(|(id, _)| *id).collect();
        // A hash map has no order, and outputs have to be reproducible.
        ids.sort_unstable();
        for id in ids {
            match self.clients.get(&id).and_then(|entry| entry.instead) {
                Some(_) => self.fall_back(now, id),
                None => self.drive_client(now, id, Input::Unreachable, None),
            }
        }
    }

    /// Sends a request that was too large for UDP by UDP after all, and remembers the peer.
    fn fall_back(&mut self, now: Instant, id: ClientId) {
        let Some(entry) = self.clients.get_mut(&id) else { return };
        let Some((hop, _)) = entry.instead.take() else { return };
        let pace = Pace { timers: self.timers, reliable: hop.transport.reliable(), ringing: self.limits.ringing };
        let given_up = matches!(entry.machine, Machine::Invite(InviteClient::Abandoned { .. }));
        entry.hop = hop;
        entry.request.headers.set_first(Name::Via, Via::new(hop.transport, hop.local, &entry.branch).to_string());
        entry.bytes = entry.request.to_bytes().into();
        entry.machine = Machine::start(&entry.request.method, now, &pace);
        if given_up {
            entry.machine.step(now, Input::Cancel, &pace);
        }
        self.outputs.push_back(Output::Transmit { hop, bytes: entry.bytes.clone() });
        if self.datagram_only.len() < DATAGRAM_ONLY_PEERS {
            let until = now + DATAGRAM_ONLY;
            let old = self.datagram_only.insert(hop.remote, until);
            self.deadlines.change(Deadline::DatagramOnly(hop.remote), old, Some(until));
        }
        self.settle_client(id);
    }

    /// Feeds the machine of `id` and does what it says.
    fn drive_client(&mut self, now: Instant, id: ClientId, input: Input, response: Option<(Hop, Response)>) {
        let Some(entry) = self.clients.get_mut(&id) else { return };
        let reliable = entry.hop.transport.reliable();
        let pace = Pace { timers: self.timers, reliable, ringing: self.limits.ringing };
        let effect = entry.machine.step(now, input, &pace);
        let (hop, audience) = (entry.hop, entry.audience);
        let mut told = None;
        match effect {
            Effect::Nothing => self.counters.absorbed += u64::from(response.is_some()),
            Effect::Resend => {
                self.counters.resent += 1;
                self.outputs.push_back(Output::Transmit { hop, bytes: entry.bytes.clone() });
            }
            Effect::Ack => {
                self.counters.absorbed += 1;
                if let Some(bytes) = entry.ack.clone() {
                    self.outputs.push_back(Output::Transmit { hop, bytes });
                }
            }
            Effect::DeliverAndAck => {
                if let Some((_, response)) = &response {
                    let bytes = Bytes::from(hop_by_hop::ack(&entry.request, response).to_bytes());
                    entry.ack = Some(bytes.clone());
                    self.outputs.push_back(Output::Transmit { hop, bytes });
                }
            }
            Effect::TimedOut => {
                let response = entry.request.response(Status::REQUEST_TIMEOUT);
                told = Some(Output::ClientTimeout { id, response });
            }
            Effect::Failed => {
                let response = entry.request.response(Status::SERVICE_UNAVAILABLE);
                told = Some(Output::TransportFailed { id, response });
            }
            Effect::Deliver | Effect::Cancel | Effect::DeliverAndCancel => {}
        }
        if matches!(effect, Effect::Cancel | Effect::DeliverAndCancel) {
            self.send_cancel(now, id);
        }
        if matches!(effect, Effect::Deliver | Effect::DeliverAndAck | Effect::DeliverAndCancel) {
            told = response.map(|(source, response)| Output::Response { id, source, response });
        }
        self.settle_client(id);
        if audience == Audience::User {
            self.outputs.extend(told);
        }
    }

    /// CANCEL takes the way of its INVITE, whatever its size (RFC 3261 section 9.1).
    fn send_cancel(&mut self, now: Instant, invite: ClientId) {
        let Some(entry) = self.clients.get_mut(&invite) else { return };
        let request = hop_by_hop::cancel(&entry.request, &std::mem::take(&mut entry.cancel));
        let bytes = request.to_bytes().into();
        let prepared = Prepared { request, branch: entry.branch.clone(), hop: entry.hop, bytes, instead: None };
        self.insert_client(now, prepared, Audience::Nobody);
    }

    /// Notes the deadline of `id`, or removes it when it is over.
    fn settle_client(&mut self, id: ClientId) {
        let Some(entry) = self.clients.get_mut(&id) else { return };
        let patience = entry.instead.map(|(_, at)| at);
        let next = entry.machine.deadline().map(|at| patience.map_or(at, |patience| patience.min(at)));
        let old = std::mem::replace(&mut entry.deadline, next);
        self.deadlines.change(Deadline::Client(id), old, next);
        if next.is_none()
            && let Some(entry) = self.clients.remove(&id)
        {
            self.responses.remove(&entry.key);
        }
    }
}
