//! How the world sees our sockets: what STUN servers say, asked again and again.
//!
//! ```text
//!  SIP socket ── at start, then every REFRESH ──▶ server ──▶ Seen::Signalling
//!  RTP socket ── before its call is offered ────▶ server ──▶ Seen::Media
//! ```

use super::{Happening, Signalling, Turn};
use crate::call::{CallId, MediaEvent};
use crate::driver::recording;
use crate::net::Transports;
use crate::net::stun::{self, StunError, TransactionId};
use crate::random::Random;
use crate::sip::hop::{Hop, Transport};
use crate::sip::keepalive::BindingId;
use crate::time::Duration;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::{Interval, interval};

/// How often the binding of the SIP socket is looked at, and kept: address translators forget idle ones after 30 s and
/// more (RFC 4787 section 4.3 wants two minutes, what is sold differs; RFC 5626 section 4.4.2 says 24 to 29 s).
const REFRESH: Duration = Duration::from_secs(25);

/// How long the start of a phone waits for its public address.
const AT_START: Duration = Duration::from_secs(3);

/// How long the offer of a call does.
const PER_CALL: Duration = Duration::from_millis(1200);

/// Results that may wait.
const RESULTS: usize = 64;

/// How a socket is seen.
#[derive(Debug)]
pub(super) enum Seen {
    /// The SIP socket.
    Signalling(SocketAddr),
    /// The RTP socket of a call; its own address where nobody could tell.
    Media(CallId, SocketAddr),
}

/// Asks, if there is anybody to ask.
#[derive(Debug)]
pub(super) struct Publicity {
    host: Option<(String, u16)>,
    servers: Vec<SocketAddr>,
    results: mpsc::Sender<Seen>,
    next: Option<Interval>,
}

impl Publicity {
    pub(super) fn new(host: Option<(String, u16)>) -> (Self, mpsc::Receiver<Seen>) {
        let (results, receiver) = mpsc::channel(RESULTS);
        (Self { host, servers: Vec::new(), results, next: None }, receiver)
    }

    /// Looks the server up and asks it: one address per family at most.
    pub(super) async fn first(&mut self, transports: &Transports, random: &mut Random) -> Vec<SocketAddr> {
        let Some((host, port)) = self.host.clone() else { return Vec::new() };
        let mut next = interval(REFRESH);
        // The first tick is now.
        next.tick().await;
        self.next = Some(next);
        let found = tokio::time::timeout(AT_START, tokio::net::lookup_host((host.as_str(), port))).await;
        let found: Vec<SocketAddr> = match found {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(error)) => {
                tracing::warn!("no address for the STUN server \"{host}\": {error}; check --stun and the DNS");
                return Vec::new();
            }
            Err(_) => {
                tracing::warn!("no answer for the STUN server \"{host}\"; check the DNS");
                return Vec::new();
            }
        };
        for is_ipv4 in [true, false] {
            let bound = transports.bound().all(Transport::Udp).any(|local| local.is_ipv4() == is_ipv4);
            let server = found.iter().find(|server| server.is_ipv4() == is_ipv4);
            self.servers.extend(server.filter(|_| bound));
        }
        let mut mapped = Vec::new();
        for server in &self.servers {
            match transports.public_address(*server, id(random), AT_START).await {
                Ok(address) => {
                    tracing::info!(%server, %address, "the world sees us");
                    mapped.push(address);
                }
                Err(why) => tracing::warn!("{why}; our own address is shown instead"),
            }
        }
        mapped
    }

    /// Waits until it is time to ask again.
    pub(super) async fn due(&mut self) {
        match &mut self.next {
            Some(next) => drop(next.tick().await),
            None => std::future::pending().await,
        }
    }

    /// Asks again, which also keeps the binding.
    pub(super) fn refresh(&mut self, transports: &Transports, random: &mut Random) {
        for server in self.servers.clone() {
            let (transports, results, id) = (transports.clone(), self.results.clone(), id(random));
            tokio::spawn(async move {
                match transports.public_address(server, id, REFRESH).await {
                    Ok(address) => drop(results.send(Seen::Signalling(address)).await),
                    Err(why) => tracing::info!("{why}"),
                }
            });
        }
    }

    /// Asks for the RTP socket of a call, which would be shown as `told`; false if there is nobody to ask.
    pub(super) fn ask_for(&self, call: CallId, socket: &UdpSocket, told: SocketAddr, random: &mut Random) -> bool {
        let server = self.servers.iter().find(|server| server.is_ipv4() == told.is_ipv4()).copied();
        let Some((server, socket)) = server.zip(socket.try_clone().ok()) else { return false };
        let (results, id) = (self.results.clone(), id(random));
        tokio::spawn(async move {
            let seen: Result<_, StunError> = stun::ask_from(socket, server, id, PER_CALL).await;
            // A far end on our side of the translator is shown our own address.
            let address = seen.ok().filter(|seen| seen.ip() == told.ip()).unwrap_or(told);
            let _ = results.send(Seen::Media(call, address)).await;
        });
        true
    }
}

impl<F: FnMut(Happening)> Turn<F> {
    /// Learns our public address before anything is sent that should show it.
    pub(super) async fn be_public(&mut self) {
        let transports = self.signalling.transports.clone();
        for mapped in self.publicity.first(&transports, &mut self.signalling.random).await {
            let now = self.now();
            self.signalling.engine.handle_mapped(now, mapped);
        }
    }

    pub(super) fn refresh_public(&mut self) {
        let transports = self.signalling.transports.clone();
        self.publicity.refresh(&transports, &mut self.signalling.random);
    }

    pub(super) fn handle_seen(&mut self, seen: Seen) {
        match seen {
            Seen::Signalling(mapped) => {
                let now = self.now();
                self.signalling.engine.handle_mapped(now, mapped);
            }
            Seen::Media(call, address) => self.bring(call, MediaEvent::Opened(address)),
        }
    }

    /// Asks the far side of a flow how it sees us.
    pub(super) fn ask_binding(&mut self, hop: Hop, id: BindingId) {
        let request = stun::request(TransactionId(id.0));
        if let Err(why) = self.signalling.transports.send(&hop, request.into()) {
            tracing::debug!(%hop, %why, "a keep-alive could not be sent");
        }
    }

    /// STUN came on the SIP socket.
    pub(super) fn handle_stun(&mut self, source: Hop, message: stun::Message) {
        let now = self.now();
        let Signalling { engine, transports, .. } = &mut self.signalling;
        match message {
            stun::Message::Response(id, reply) => {
                let mapped = match reply {
                    stun::Reply::Mapped(mapped) => Some(mapped),
                    stun::Reply::Refused { .. } => None,
                };
                tracing::debug!(%source, ?mapped, "a keep-alive was answered");
                engine.handle_binding(now, source, BindingId(id.0), mapped);
            }
            // Strangers learn nothing, not even that somebody is here.
            stun::Message::Request(_) if !engine.serves_bindings(source.remote.ip()) => {}
            stun::Message::Request(id) => {
                let _ = transports.send(&source, stun::success(id, source.remote).into());
            }
        }
    }

    pub(super) fn open_media(&mut self, call: CallId, local: IpAddr, shown: IpAddr) {
        let pair = match self.signalling.media.open_ports(local) {
            Ok(pair) => pair,
            Err(error) => return self.bring(call, MediaEvent::Failed(error.to_string())),
        };
        let told = SocketAddr::new(shown, pair.rtp_address.port());
        let rtp = pair.rtp_address;
        self.note(call, || recording::ports(rtp));
        let asked = self.publicity.ask_for(call, &pair.rtp, told, &mut self.signalling.random);
        self.ports.insert(call, pair);
        if !asked {
            self.bring(call, MediaEvent::Opened(told));
        }
    }
}

fn id(random: &mut Random) -> TransactionId {
    let mut id = [0; 12];
    random.fill(&mut id);
    TransactionId(id)
}
