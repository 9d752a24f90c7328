//! An account: who we are to a registrar, and how to reach it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::flows::Further;
use super::policy::{DtmfWay, KeepAlive, Network, RefreshShare, Reliable, SessionTimers};
use super::trust::Realms;
use crate::sip::auth::{self, Algorithm, Credentials, Password};
use crate::sip::header::Header;
use crate::sip::hop::{Hop, Transport};
use crate::sip::identity;
use crate::sip::message::Response;
use crate::sip::registration::{Registration, State};
use crate::sip::uri::Uri;
use crate::time::Instant;

/// Names an account of an [`Agent`](super::Agent).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub u32);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "account {}", self.0)
    }
}

/// What an account is made of.
#[derive(Clone, Debug)]
pub struct Account {
    /// What the configuration calls it; for humans, never sent.
    pub name: Option<String>,
    /// The address of record: From of our calls, To of our REGISTER (RFC 3261 section 10.2).
    pub aor: Uri,
    /// The display name of From.
    pub display: Option<String>,
    /// The digest user name; the user part of `aor` when absent.
    pub auth_user: Option<String>,
    /// The digest password. Without one a challenge is final.
    pub password: Option<Password>,
    /// Where REGISTER goes; `sip:` and the host of `aor` when absent.
    pub registrar: Option<Uri>,
    /// Proxies that requests outside a dialog go through, alternatives in their order: the one that serves stands as the
    /// first pre-loaded Route, with `;lr` (RFC 3261 section 8.1.2).
    pub outbound_proxies: Vec<Uri>,
    /// By how many servers it is registered at once, where its registrar keeps flows (RFC 5626 section 4.2): 1 to 4; as
    /// many as it has proxies when absent.
    pub flows: Option<u8>,
    /// More pre-loaded Route entries, behind the proxy.
    pub routes: Vec<Uri>,
    /// The transport to use where neither the URI nor the route says one.
    pub transport: Option<Transport>,
    /// The lifetime that a REGISTER asks for.
    pub expires: Duration,
    /// `+sip.instance` of our Contact (RFC 5626 section 4.1): a URN such as `urn:uuid:…` that stays the same over runs.
    pub instance: Option<String>,
    /// When a binding is refreshed; shortly before it ends when absent.
    pub refresh: Option<RefreshShare>,
    /// What keeps the flow of the registration open.
    pub keepalive: KeepAlive,
    /// How long one target may be silent before the next one is tried (RFC 3263 section 4.3); the transaction's own
    /// time-out when absent.
    pub failover: Option<Duration>,
    /// 100rel in calls of this account.
    pub reliable: Reliable,
    /// Does the PRACK to a response with the answer to our offer wait for the program, which may make another offer in it
    /// (RFC 3262 section 5)?
    pub prack_offers: bool,
    /// How many 3xx of one call of this account are followed; 0 follows none (RFC 3261 section 8.1.3.4).
    pub redirects: u8,
    /// Session timers in calls of this account.
    pub session_timers: SessionTimers,
    /// How digits are sent in calls of this account.
    pub dtmf: DtmfWay,
    /// Our numbers, as the carrier writes them. The first is the caller id of calls that choose none.
    pub numbers: Vec<String>,
    /// How its identities are written and read.
    pub identity: identity::Policy,
    /// Further header fields of its INVITEs.
    pub headers: Vec<Header>,
    /// From where requests for this account may come beside its registrar and proxies.
    pub sources: Vec<Network>,
    /// Whose challenges are answered.
    pub realms: Realms,
    /// The weakest digest algorithm that is answered: SHA-256 keeps somebody in between from asking for MD5.
    pub digest: Algorithm,
}

impl Account {
    /// An account without registrar, proxy or password of its own, with the lifetime of RFC 3261 section 10.2 (an hour).
    pub fn new(aor: Uri) -> Self {
        Self {
            name: None,
            aor,
            display: None,
            auth_user: None,
            password: None,
            registrar: None,
            outbound_proxies: Vec::new(),
            flows: None,
            routes: Vec::new(),
            transport: None,
            expires: Duration::from_secs(3600),
            instance: None,
            refresh: None,
            keepalive: KeepAlive::default(),
            failover: Some(FAILOVER),
            reliable: Reliable::default(),
            prack_offers: false,
            redirects: 0,
            session_timers: SessionTimers::default(),
            dtmf: DtmfWay::default(),
            numbers: Vec::new(),
            identity: identity::Policy::default(),
            headers: Vec::new(),
            sources: Vec::new(),
            realms: Realms::Own,
            digest: Algorithm::Md5,
        }
    }
}

/// How long a server may be silent where there is another one: what carriers with several servers expect (Twilio and
/// Telnyx say 4 s), and long enough for four sendings of a datagram (T1 = 500 ms).
const FAILOVER: Duration = Duration::from_secs(4);

/// Peers of an account whose addresses are remembered.
const PEERS: usize = 64;

/// An account and what is known of it.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) account: Account,
    /// The user part of our Contact: a request to it is for this account.
    pub(crate) contact_user: String,
    /// Answers the challenges to its calls; none without a password.
    pub(crate) client: Option<auth::Client>,
    pub(crate) registration: Option<Box<Registration>>,
    /// The account that this is a further flow of.
    pub(super) owner: Option<AccountId>,
    /// Its further flows, if it has any.
    pub(super) further: Option<Box<Further>>,
    /// The last answer of the registrar, if it was no.
    pub(crate) refusal: Option<Box<Response>>,
    /// The deadline of the registration that the agent has noted.
    pub(crate) noted: Option<Instant>,
    /// The ways to the registrar or proxy, while they are good, and when they were looked up.
    pub(crate) ways: Vec<Hop>,
    pub(crate) looked_up: Instant,
    /// The same in the order of the DNS, whatever failed.
    pub(crate) listed: Vec<Hop>,
    /// The way by which it is registered.
    pub(crate) home: Option<Hop>,
    /// Is that so only because those before it failed?
    pub(crate) detour: bool,
    /// Which of several outbound proxies is where.
    pub(crate) proxies: Vec<((Transport, SocketAddr), usize)>,
    /// Where its registrar and proxies are: a request from there, or from a network that the account allows, to an
    /// unknown user is for this account (trunks send the called number in the Request-URI).
    peers: Vec<IpAddr>,
    /// The realms that its registrar asked for.
    pub(super) asked: Vec<String>,
}

impl Line {
    pub(super) fn new(account: Account, contact_user: String) -> Self {
        let mut line = Self {
            account,
            contact_user,
            client: None,
            registration: None,
            owner: None,
            further: None,
            refusal: None,
            noted: None,
            ways: Vec::new(),
            looked_up: Instant::ZERO,
            listed: Vec::new(),
            home: None,
            detour: false,
            proxies: Vec::new(),
            peers: Vec::new(),
            asked: Vec::new(),
        };
        line.client = line.credentials().map(auth::Client::new);
        line
    }

    /// Who we are to a challenger.
    fn credentials(&self) -> Option<Credentials> {
        let user = self.account.auth_user.clone().or_else(|| Some(self.account.aor.user()?.into_owned()))?;
        let credentials = Credentials::new(user, self.account.password.clone()?).at_least(self.account.digest);
        Some(match &self.account.realms {
            Realms::Named(realms) => credentials.for_realms(realms),
            Realms::Own | Realms::Called => credentials,
        })
    }

    pub(crate) fn state(&self) -> State {
        self.registration.as_ref().map_or(State::Unregistered, |registration| registration.state().clone())
    }

    /// Notes a peer by its canonical address; `false`: there are too many.
    pub(super) fn note_peer(&mut self, peer: IpAddr) -> bool {
        let known = self.is_peer(peer);
        let room = self.peers.len() < PEERS;
        if !known && room {
            self.peers.reserve_exact(1);
            self.peers.push(peer);
        }
        known || room
    }

    /// Is a peer at the canonical address?
    pub(crate) fn is_peer(&self, ip: IpAddr) -> bool {
        self.peers.contains(&ip)
    }

    /// May calls for this account come from the canonical address: its registrar, a proxy of its, or one of the carrier's
    /// networks?
    pub(super) fn is_source(&self, ip: IpAddr) -> bool {
        self.is_peer(ip) || self.account.sources.iter().any(|network| network.contains(ip))
    }

    /// Is `ip` one of ours, as far as this account knows: the address it registered?
    pub(super) fn is_at(&self, ip: IpAddr, port: Option<u16>) -> bool {
        let State::Registered { contact, .. } = self.state() else { return false };
        contact.host().and_then(|host| host.ip()) == Some(ip) && contact.port() == port
    }
}
