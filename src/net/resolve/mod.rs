//! From a host, port and transport to hops (RFC 3263 section 4).
//!
//! ```text
//!  name ──▶ NAPTR ──▶ SRV ──▶ A, AAAA ──▶ route ──▶ Hop, Hop …
//!            │ transport given ▲    ▲
//!            └ port or address given┘
//! ```

mod names;
mod order;
mod steps;
mod trust;

pub use steps::Steps;

use super::bind::Bound;
use super::connections::Connections;
use crate::random::Random;
use crate::sip::agent;
use crate::sip::hop::{Hop, Transport};
use crate::time::Duration;
use names::Names;
use order::{Service, Srv, srv_name};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// How long a name may take, all steps together; a call waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most addresses of one name.
const ADDRESSES: usize = 16;

/// Why a destination has no hop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name has no address.
    #[error("no address for \"{host}\": {reason}; check the name and the DNS")]
    Unknown {
        /// The name.
        host: String,
        /// What the resolver says.
        reason: String,
    },
    /// The resolver did not answer.
    #[error("no answer for \"{host}\" in {} s; check the DNS", PATIENCE.as_secs())]
    Timeout {
        /// The name.
        host: String,
    },
    /// The name only has addresses of the other family.
    #[error("\"{host}\" has no {} address; bind the other family to reach it", if *ipv4 { "IPv4" } else { "IPv6" })]
    Family {
        /// The name or address.
        host: String,
        /// Are we bound to IPv4?
        ipv4: bool,
    },
    /// The transport is not bound.
    #[error("{transport} is switched off; bind it to reach \"{host}\"")]
    Off {
        /// The transport.
        transport: Transport,
        /// The name or address.
        host: String,
    },
    /// The certificate at its address is for somebody else.
    #[error(
        "{remote}, where \"{host}\" leads, is in use for \"{held}\" and its certificate is not for \"{host}\"; check the name and the DNS"
    )]
    Certificate {
        /// The name.
        host: String,
        /// The address.
        remote: SocketAddr,
        /// Whom it is for.
        held: String,
    },
    /// There is no route to any of its addresses.
    #[error("no route to {remote}: {reason}; check the network, or bind another address")]
    NoRoute {
        /// The last address tried.
        remote: SocketAddr,
        /// What the system says.
        reason: String,
    },
}

impl From<ResolveError> for agent::ResolveError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Unknown { host, .. } => agent::ResolveError::NotFound(host),
            ResolveError::Timeout { host } => agent::ResolveError::NoAnswer(host),
            ResolveError::Family { host, .. } => agent::ResolveError::NoRoute(host),
            ResolveError::NoRoute { remote, .. } => agent::ResolveError::NoRoute(remote.to_string()),
            error @ ResolveError::Certificate { .. } => agent::ResolveError::Untrusted(error.to_string()),
            ResolveError::Off { host, .. } => agent::ResolveError::Transport(host),
        }
    }
}

/// Whom to ask for names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// The name server; the system's when absent.
    pub server: Option<SocketAddr>,
    /// The seed of the choice between servers of equal priority (RFC 2782).
    pub seed: u64,
}

/// Finds hops; cheap to clone into tasks.
#[derive(Clone, Debug)]
pub struct Resolver {
    bound: Bound,
    connections: Option<Connections>,
    names: Names,
    random: Arc<Mutex<Random>>,
}

/// Servers of one domain and one transport, best first.
#[derive(Debug)]
struct Servers {
    transport: Transport,
    /// Names (or one address) and ports.
    places: Vec<(String, u16)>,
}

impl Resolver {
    /// A resolver for sockets that are bound so; within a tokio runtime.
    pub fn new(bound: Bound, dns: &Dns) -> Self {
        let random = Arc::new(Mutex::new(Random::from_seed(dns.seed)));
        Self { bound, connections: None, names: Names::new(dns.server), random }
    }

    /// `connections` hear for which name a peer is reached over TLS.
    pub(super) fn telling(self, connections: Option<Connections>) -> Self {
        Self { connections, ..self }
    }

    /// The network has changed: nothing that was said of names holds any more.
    pub fn renew(&self) {
        self.names.renew();
    }

    /// The hops to `host` (a name, an IPv4 address, or an IPv6 address with or without brackets), in the order in which
    /// to try them (RFC 3263 section 4). An address, or a name with `port`, is looked up no further than that; a name
    /// with `transport` has its SRV records asked for that one; any other its NAPTR records, then the SRV records of
    /// every transport that is bound. Each hop carries our address on the route to it.
    ///
    /// # Errors
    /// [`ResolveError`] if there is no hop.
    pub async fn resolve(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> Result<Vec<Hop>, ResolveError> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Some(transport) = transport
            && self.bound.local(transport).is_none()
        {
            return Err(ResolveError::Off { transport, host: bare.into() });
        }
        let timeout = || ResolveError::Timeout { host: bare.into() };
        tokio::time::timeout(PATIENCE, self.hops(bare, port, transport)).await.map_err(|_| timeout())?
    }

    async fn hops(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> Result<Vec<Hop>, ResolveError> {
        let servers = self.servers(host, port, transport).await?;
        let transport = servers.transport;
        let local = self.bound.local(transport).ok_or(ResolveError::Off { transport, host: host.into() })?;
        let mut hops: Vec<Hop> = Vec::new();
        let mut failed = None;
        for (name, port) in servers.places {
            let addresses = match name.parse::<IpAddr>() {
                Ok(ip) => vec![ip],
                Err(_) => match self.names.addresses(&name).await {
                    Ok(addresses) => addresses,
                    Err(reason) => {
                        failed.get_or_insert(ResolveError::Unknown { host: name, reason });
                        continue;
                    }
                },
            };
            for remote in addresses.into_iter().map(|ip| SocketAddr::new(ip, port)) {
                match self.bound.towards(transport, remote) {
                    None => {}
                    Some(Ok(local)) => {
                        let hop = Hop { transport, local, remote };
                        if !hops.contains(&hop) && hops.len() < ADDRESSES {
                            hops.push(hop);
                        }
                    }
                    Some(Err(error)) => failed = Some(ResolveError::NoRoute { remote, reason: error.to_string() }),
                }
            }
        }
        match failed {
            _ if !hops.is_empty() => self.vouched(host, hops),
            Some(failed) => Err(failed),
            None => Err(ResolveError::Family { host: host.into(), ipv4: local.is_ipv4() }),
        }
    }

    /// Transport and servers (RFC 3263 sections 4.1 and 4.2).
    async fn servers(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> Result<Servers, ResolveError> {
        // A name without a dot is no domain: its address comes from the hosts file or the search list.
        let plain = host.parse::<IpAddr>().is_ok() || port.is_some() || !host.trim_end_matches('.').contains('.');
        let here = |transport: Transport| Servers {
            transport,
            places: vec![(host.to_owned(), port.unwrap_or(transport.default_port()))],
        };
        let spoken = self.spoken();
        let usual = spoken.first().copied().unwrap_or(Transport::Udp);
        match transport {
            Some(transport) if plain => Ok(here(transport)),
            None if plain => Ok(here(usual)),
            Some(transport) => {
                let records = self.names.srv(&srv_name(transport, host)).await;
                self.by_srv(host, transport, records).unwrap_or_else(|| Ok(here(transport)))
            }
            None => {
                let by_naptr = self.by_naptr(host, &spoken);
                let srv = |transport: Transport| {
                    let name = spoken.contains(&transport).then(|| srv_name(transport, host));
                    async move {
                        match name {
                            Some(name) => self.names.srv(&name).await,
                            None => Vec::new(),
                        }
                    }
                };
                // All at once: each takes a round trip, and most domains have none of them.
                let (by_naptr, udp, tcp, tls) =
                    tokio::join!(by_naptr, srv(Transport::Udp), srv(Transport::Tcp), srv(Transport::Tls));
                if let Some(servers) = by_naptr {
                    return servers;
                }
                let mut refused = None;
                for (transport, records) in [(Transport::Udp, udp), (Transport::Tcp, tcp), (Transport::Tls, tls)] {
                    match self.by_srv(host, transport, records) {
                        Some(Ok(servers)) => return Ok(servers),
                        Some(Err(error)) => refused = Some(error),
                        None => {}
                    }
                }
                refused.map_or_else(|| Ok(here(usual)), Err)
            }
        }
    }

    /// The first service of the NAPTR records that is spoken here and there. Only the first: what follows may be less
    /// than the encryption that the domain prefers.
    async fn by_naptr(&self, host: &str, spoken: &[Transport]) -> Option<Result<Servers, ResolveError>> {
        for service in order::services(self.names.naptr(host).await, spoken) {
            match service {
                Service::Addresses(transport, name) => {
                    return Some(Ok(Servers { transport, places: vec![(name, transport.default_port())] }));
                }
                Service::Srv(transport, name) => {
                    let records = self.names.srv(&name).await;
                    if let Some(servers) = self.by_srv(host, transport, records) {
                        return Some(servers);
                    }
                }
            }
        }
        None
    }

    /// The servers that the records name; `None` if there are no records, an error if they say that there is no service.
    fn by_srv(&self, host: &str, transport: Transport, records: Vec<Srv>) -> Option<Result<Servers, ResolveError>> {
        if records.is_empty() {
            return None;
        }
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let ordered = order::servers(records, &mut random);
        if ordered.is_empty() {
            let reason = format!("the domain says that it has no SIP service over {transport}");
            return Some(Err(ResolveError::Unknown { host: host.into(), reason }));
        }
        Some(Ok(Servers { transport, places: ordered.into_iter().map(|srv| (srv.target, srv.port)).collect() }))
    }

    /// The transports that are bound, the usual one first.
    fn spoken(&self) -> Vec<Transport> {
        let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
        all.into_iter().filter(|transport| self.bound.local(*transport).is_some()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver(ip: &str, udp: bool, tcp: bool) -> Resolver {
        let address = SocketAddr::new(ip.parse().unwrap(), 5070);
        let sockets = [(Transport::Udp, udp), (Transport::Tcp, tcp)];
        let bound = sockets.into_iter().filter(|(_, is_on)| *is_on).map(|(transport, _)| (transport, address));
        Resolver::new(bound.collect(), &Dns::default())
    }

    fn hop(transport: Transport, local: &str, remote: &str) -> Hop {
        Hop { transport, local: local.parse().unwrap(), remote: remote.parse().unwrap() }
    }

    #[tokio::test]
    async fn addresses_need_nobody() {
        let any = resolver("0.0.0.0", true, true);
        assert_eq!(
            any.resolve("127.0.0.1", None, None).await,
            Ok(vec![hop(Transport::Udp, "127.0.0.1:5070", "127.0.0.1:5060")])
        );
        assert_eq!(
            any.resolve("127.0.0.2", Some(5080), Some(Transport::Tcp)).await,
            Ok(vec![hop(Transport::Tcp, "127.0.0.1:5070", "127.0.0.2:5080")])
        );
        let only_tcp = resolver("127.0.0.3", false, true);
        assert_eq!(
            only_tcp.resolve("127.0.0.1", None, None).await,
            Ok(vec![hop(Transport::Tcp, "127.0.0.3:5070", "127.0.0.1:5060")])
        );
    }

    #[tokio::test]
    async fn names_are_looked_up() {
        let any = resolver("0.0.0.0", true, false);
        assert_eq!(
            any.resolve("localhost", Some(5061), None).await,
            Ok(vec![hop(Transport::Udp, "127.0.0.1:5070", "127.0.0.1:5061")])
        );
        // RFC 6761: `invalid` has no names.
        let error = any.resolve("nobody.invalid", None, None).await.unwrap_err();
        assert!(matches!(error, ResolveError::Unknown { .. } | ResolveError::Timeout { .. }), "{error}");
        assert!(error.to_string().contains("nobody.invalid"));
    }

    #[tokio::test]
    async fn errors_say_what_to_do() {
        let local = resolver("127.0.0.1", true, false);
        let off = local.resolve("127.0.0.1", None, Some(Transport::Tcp)).await.unwrap_err();
        assert_eq!(off, ResolveError::Off { transport: Transport::Tcp, host: "127.0.0.1".into() });
        let family = local.resolve("[::1]", None, None).await.unwrap_err();
        assert_eq!(family, ResolveError::Family { host: "::1".into(), ipv4: true });
        let far = local.resolve("192.0.2.1", None, None).await.unwrap_err();
        assert!(matches!(far, ResolveError::NoRoute { .. }), "{far}");
    }
}
