//! Registrar and stateless proxy (RFC 3261 sections 10.3 and 16.11), without a clock or a socket of its own.

use crate::random::Random;
use crate::sip::auth::server::{Guard, Verdict};
use crate::sip::auth::{Algorithm, Password};
use crate::sip::header::Name;
use crate::sip::hop::{Hop, Transport};
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::name_addr::NameAddr;
use crate::sip::uri::{Host, SipUri, Uri};
use crate::sip::via::{MAGIC_COOKIE, Via};
use crate::time::{Duration, Instant};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

/// The longest binding that is granted.
const LONGEST: Duration = Duration::from_secs(600);

/// Marks the To tags of our own responses, so that the ACK to one of them ends here.
const TAG: &str = "loopback-";

/// A message and where it goes.
type Sent = Option<(Hop, Vec<u8>)>;

/// The registrar and proxy of one domain.
#[derive(Debug)]
pub struct Domain {
    address: SocketAddr,
    guard: Guard,
    users: HashMap<String, Password>,
    bindings: HashMap<String, Binding>,
    random: Random,
}

#[derive(Debug)]
struct Binding {
    contact: Uri,
    hop: Hop,
    expires: Instant,
}

impl Domain {
    /// A domain whose host and port are `address`.
    pub fn new(address: SocketAddr, users: &[(&str, &str)], random: Random) -> Self {
        Self {
            address,
            guard: Guard::new("loopback", &[Algorithm::Sha256, Algorithm::Md5]),
            users: users.iter().map(|(user, password)| ((*user).to_owned(), Password::new(*password))).collect(),
            bindings: HashMap::new(),
            random,
        }
    }

    /// Answers a request, or hands it on.
    pub fn handle_request(&mut self, now: Instant, source: Hop, mut request: Request) -> Sent {
        let mut via = request.headers.top_via().ok()?;
        via.note_source(source.remote);
        request.headers.set_first(Name::Via, via.to_string());
        let to = request.headers.to().ok()?;
        let ours = to.tag().is_some_and(|tag| tag.starts_with(TAG));
        match request.method {
            // To a refusal of ours; it has no answer.
            Method::Ack if ours => None,
            Method::Register => self.register(now, source, &request),
            Method::Invite if to.tag().is_none() && !self.authorised(now, &request, &Name::ProxyAuthorization) => {
                self.challenge(now, source, &request, Status(407), Name::ProxyAuthenticate)
            }
            _ => self.forward(now, source, request, &via, to.tag().is_some()),
        }
    }

    /// Hands a response back along its Vias.
    pub fn handle_response(&mut self, source: Hop, mut response: Response) -> Sent {
        response.headers.remove_first(&Name::Via)?;
        let next = response.headers.top_via().ok()?;
        let ip = next.received().or_else(|| next.host.ip())?;
        let remote = SocketAddr::new(ip, next.rport().or(next.port).unwrap_or(5060));
        let transport = next.known_transport()?;
        Some((Hop { transport, local: source.local, remote }, response.to_bytes()))
    }

    fn register(&mut self, now: Instant, source: Hop, request: &Request) -> Sent {
        if !self.authorised(now, request, &Name::Authorization) {
            return self.challenge(now, source, request, Status(401), Name::WwwAuthenticate);
        }
        let user = request.headers.to().ok()?.uri.user()?.into_owned();
        let asked = request.headers.expires().map_or(LONGEST, |seconds| Duration::from_secs(u64::from(seconds)));
        for contact in request.headers.contacts().unwrap_or_default() {
            let asked = contact.expires().map_or(asked, |seconds| Duration::from_secs(u64::from(seconds)));
            if asked.is_zero() {
                self.bindings.remove(&user);
            } else {
                let expires = now + asked.min(LONGEST);
                self.bindings.insert(user.clone(), Binding { contact: contact.uri, hop: source, expires });
            }
        }
        let mut response = self.reply(request, Status(200));
        if let Some(binding) = self.bindings.get(&user) {
            let mut contact = NameAddr::new(binding.contact.clone());
            contact.params.set("expires", &binding.expires.since(now).as_secs().to_string());
            response.headers.push(Name::Contact, contact.to_string());
        }
        Some((source, response.to_bytes()))
    }

    fn forward(&mut self, now: Instant, source: Hop, mut request: Request, via: &Via, in_dialog: bool) -> Sent {
        let forwards = request.headers.max_forwards().unwrap_or(70);
        if forwards == 0 {
            return self.refuse(source, &request, Status(483));
        }
        if request.headers.routes().unwrap_or_default().first().is_some_and(|route| self.is_ours(&route.uri)) {
            request.headers.remove_first(&Name::Route);
        }
        let next = match request.headers.routes().unwrap_or_default().first() {
            Some(route) => self.hop_to(&route.uri, source),
            None if self.is_ours(&request.uri) => {
                let user = request.uri.user().unwrap_or_default().into_owned();
                if user.is_empty() && request.method == Method::Options {
                    return Some((source, self.reply(&request, Status(200)).to_bytes()));
                }
                self.bindings.retain(|_, binding| binding.expires > now);
                match self.bindings.get(&user) {
                    Some(binding) => {
                        request.uri = binding.contact.clone();
                        Some(binding.hop)
                    }
                    None => return self.refuse(source, &request, Status(404)),
                }
            }
            None => self.hop_to(&request.uri, source),
        };
        let Some(next) = next else {
            return self.refuse(source, &request, Status(404));
        };
        request.headers.set(Name::MaxForwards, (forwards - 1).to_string());
        if !in_dialog && request.method == Method::Invite {
            let mut us = SipUri::new(None, Host::from(self.address.ip()), Some(self.address.port()));
            us.params.set_flag("lr");
            if source.transport == Transport::Tcp {
                us.params.set("transport", "tcp");
            }
            request.headers.prepend(Name::RecordRoute, NameAddr::new(us).to_string());
            request.headers.remove(&Name::ProxyAuthorization);
        }
        // The same for a repeated request, its CANCEL and the ACK to a refusal (RFC 3261 section 16.11).
        let sent_by = format!("{}:{}", via.host, via.port.unwrap_or(5060));
        let mut hasher = DefaultHasher::new();
        (via.branch(), sent_by).hash(&mut hasher);
        let branch = format!("{MAGIC_COOKIE}{:016x}", hasher.finish());
        request.headers.prepend(Name::Via, Via::new(next.transport, self.address, &branch).to_string());
        Some((next, request.to_bytes()))
    }

    fn authorised(&mut self, now: Instant, request: &Request, name: &Name) -> bool {
        let users = &self.users;
        let verdict = self.guard.verify(now, request, name, |user| users.get(user).cloned());
        let sender = request.headers.from().ok().and_then(|from| from.uri.user().map(|user| user.into_owned()));
        matches!(verdict, Verdict::Accepted { username } if sender.is_none_or(|sender| sender == username))
    }

    fn challenge(&mut self, now: Instant, source: Hop, request: &Request, status: Status, name: Name) -> Sent {
        let mut response = self.reply(request, status);
        for challenge in self.guard.challenge(now, false, &mut self.random) {
            response.headers.push(name.clone(), challenge.to_string());
        }
        Some((source, response.to_bytes()))
    }

    fn refuse(&mut self, source: Hop, request: &Request, status: Status) -> Sent {
        // Nobody waits for an answer to an ACK.
        (request.method != Method::Ack).then(|| (source, self.reply(request, status).to_bytes()))
    }

    fn reply(&mut self, request: &Request, status: Status) -> Response {
        let has_tag = request.headers.to().is_ok_and(|to| to.tag().is_some());
        let response = request.response(status);
        if has_tag { response } else { response.with_to_tag(&format!("{TAG}{}", self.random.token(8))) }
    }

    fn is_ours(&self, uri: &Uri) -> bool {
        uri.host().and_then(Host::ip) == Some(self.address.ip()) && uri.port() == Some(self.address.port())
    }

    fn hop_to(&self, uri: &Uri, source: Hop) -> Option<Hop> {
        let sip = uri.sip()?;
        let remote = SocketAddr::new(sip.host.ip()?, sip.port.unwrap_or(5060));
        // A peer that registered over a connection is reached over it.
        let bound = self.bindings.values().find(|binding| binding.contact.equivalent(uri));
        Some(bound.map_or(
            Hop { transport: sip.transport().unwrap_or(Transport::Udp), local: source.local, remote },
            |binding| binding.hop,
        ))
    }
}
