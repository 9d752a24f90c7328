//! How the world sees our sockets: what STUN servers say, asked again and again.
//!
//! ```text
//!  SIP socket ── at start, then every REFRESH ──▶ server ──▶ Seen::Signalling
//!  RTP and RTCP ─ before their call is offered ──▶ server ──▶ Seen::Media
//!  SIP, RTP and RTCP ── when a call moves ───────▶ server ──▶ Seen::Signalling, Seen::Moved
//! ```

use super::{Happening, Notice, Signalling, Turn};
use crate::call::{CallId, MediaEvent};
use crate::driver::recording;
use crate::net::stun::{self, TransactionId};
use crate::net::{PortPair, Transports};
use crate::random::Random;
use crate::sip::hop::{Hop, Transport};
use crate::sip::keepalive::BindingId;
use crate::time::Duration;
use std::future::Future;
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
    /// The sockets of a call that is about to begin, which is shown at this address.
    Media(CallId, IpAddr, Mapped),
    /// The sockets that a call moves to.
    Moved(CallId, Mapped),
}

/// How the sockets of a call are seen, where somebody could tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mapped {
    rtp: Option<SocketAddr>,
    rtcp: Option<SocketAddr>,
}

impl Mapped {
    /// The addresses of RTP and RTCP for a far end that is shown `shown`. One on our side of the translator is shown our
    /// own, whose ports are `own`.
    fn told(self, shown: IpAddr, own: (SocketAddr, SocketAddr)) -> (SocketAddr, SocketAddr) {
        let told = |seen: Option<SocketAddr>, own: SocketAddr| {
            seen.filter(|seen| seen.ip() == shown).unwrap_or(SocketAddr::new(shown, own.port()))
        };
        (told(self.rtp, own.0), told(self.rtcp, own.1))
    }
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

    /// The server for the family of `local`.
    fn server(&self, local: IpAddr) -> Option<SocketAddr> {
        self.servers.iter().find(|server| server.is_ipv4() == local.is_ipv4()).copied()
    }

    /// Asks for the sockets of a call that is about to begin; false if there is nobody to ask.
    pub(super) fn ask_for(&self, call: CallId, pair: &PortPair, shown: IpAddr, random: &mut Random) -> bool {
        let Some(server) = self.server(pair.rtp_address.ip()) else { return false };
        let (results, asking) = (self.results.clone(), sockets(pair, server, random));
        tokio::spawn(async move {
            let _ = results.send(Seen::Media(call, shown, asking.await)).await;
        });
        true
    }

    /// Asks for the sockets that a call moves to, after the SIP socket: its messages say where it is, too.
    pub(super) fn ask_again(&self, call: CallId, pair: &PortPair, transports: Transports, random: &mut Random) -> bool {
        let Some(server) = self.server(pair.rtp_address.ip()) else { return false };
        let (results, id, asking) = (self.results.clone(), id(random), sockets(pair, server, random));
        tokio::spawn(async move {
            let (signalling, media) = tokio::join!(transports.public_address(server, id, PER_CALL), asking);
            if let Ok(address) = signalling {
                let _ = results.send(Seen::Signalling(address)).await;
            }
            let _ = results.send(Seen::Moved(call, media)).await;
        });
        true
    }
}

/// How `server` sees both sockets of a call.
fn sockets(pair: &PortPair, server: SocketAddr, random: &mut Random) -> impl Future<Output = Mapped> + use<> {
    let ids = [id(random), id(random)];
    let sockets = [&pair.rtp, &pair.rtcp].map(|socket| socket.try_clone().ok());
    async move {
        let [rtp, rtcp] = sockets;
        let ask = async |socket: Option<UdpSocket>, id| stun::ask_from(socket?, server, id, PER_CALL).await.ok();
        let (rtp, rtcp) = tokio::join!(ask(rtp, ids[0]), ask(rtcp, ids[1]));
        Mapped { rtp, rtcp }
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
            Seen::Media(call, shown, mapped) => self.media_opened(call, shown, mapped),
            Seen::Moved(call, mapped) => self.media_moved(call, mapped),
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
        let rtp = pair.rtp_address;
        self.note(call, || recording::ports(rtp));
        let asked = self.publicity.ask_for(call, &pair, shown, &mut self.signalling.random);
        self.ports.insert(call, pair);
        if !asked {
            self.media_opened(call, shown, Mapped::default());
        }
    }

    fn media_opened(&mut self, call: CallId, shown: IpAddr, mapped: Mapped) {
        // A call that is over by now has given them back.
        let Some(pair) = self.ports.get(&call) else { return };
        let (rtp, rtcp) = mapped.told(shown, (pair.rtp_address, pair.rtcp_address));
        let hosts = vec![(pair.rtp_address, pair.rtcp_address)];
        self.bring(call, MediaEvent::Opened { rtp, rtcp, hosts });
    }

    /// Moves the sound of a call that runs to ports on `local`, once it is known how they are seen.
    pub(super) fn move_media(&mut self, call: CallId, local: IpAddr) {
        let pair = match self.signalling.media.open_ports(local) {
            Ok(pair) => pair,
            Err(error) => return self.notice(call, Notice::Trouble, error.to_string()),
        };
        let transports = self.signalling.transports.clone();
        let asked = self.publicity.ask_again(call, &pair, transports, &mut self.signalling.random);
        self.moving.insert(call, pair);
        if !asked {
            self.media_moved(call, Mapped::default());
        }
    }

    fn media_moved(&mut self, call: CallId, mapped: Mapped) {
        let Some(pair) = self.moving.remove(&call) else { return };
        let own = (pair.rtp_address, pair.rtcp_address);
        let shown = self.signalling.engine.shown(call).unwrap_or(own.0.ip());
        if let Err(error) = self.signalling.media.move_to(call.0, pair) {
            return self.notice(call, Notice::Trouble, error.to_string());
        }
        self.notice(call, Notice::Moved, format!("the sound of the call moves to {}", own.0.ip()));
        let (rtp, rtcp) = mapped.told(shown, own);
        self.bring(call, MediaEvent::Moved { rtp, rtcp });
    }
}

fn id(random: &mut Random) -> TransactionId {
    let mut id = [0; 12];
    random.fill(&mut id);
    TransactionId(id)
}
