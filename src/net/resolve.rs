//! From a host, port and transport to hops (RFC 3263, as far as addresses go).

use super::interfaces::local_towards;
use super::transports::Bound;
use crate::sip::agent;
use crate::sip::hop::{Hop, Transport};
use crate::time::Duration;
use std::net::{IpAddr, SocketAddr};

/// How long a name may take: two attempts of a usual resolver.
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
            ResolveError::Off { host, .. } => agent::ResolveError::Transport(host),
        }
    }
}

/// Finds hops; cheap to clone into tasks.
#[derive(Clone, Debug)]
pub struct Resolver {
    bound: Bound,
}

impl Resolver {
    /// A resolver for sockets that are bound so.
    pub fn new(bound: Bound) -> Self {
        Self { bound }
    }

    /// The hops to `host` (a name, an IPv4 address, or an IPv6 address with or without brackets), in the order in which
    /// to try them. Without `port` that of the transport; without `transport` UDP, or TCP if only that is bound. Each
    /// hop carries our address on the route to it. Addresses are answered without asking anybody.
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
        let transport = transport.unwrap_or(if self.bound.udp.is_some() { Transport::Udp } else { Transport::Tcp });
        let local = self.bound.local(transport).ok_or(ResolveError::Off { transport, host: bare.into() })?;
        let port = port.unwrap_or(transport.default_port());
        let addresses = match bare.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => look_up(bare, port).await?,
        };
        let mut hops: Vec<Hop> = Vec::new();
        let mut failed = None;
        for remote in addresses.into_iter().filter(|remote| remote.is_ipv4() == local.is_ipv4()) {
            match local_towards(local.ip(), remote) {
                Ok(ip) => {
                    let hop = Hop { transport, local: SocketAddr::new(ip, local.port()), remote };
                    if !hops.contains(&hop) && hops.len() < ADDRESSES {
                        hops.push(hop);
                    }
                }
                Err(error) => failed = Some(ResolveError::NoRoute { remote, reason: error.to_string() }),
            }
        }
        match failed {
            _ if !hops.is_empty() => Ok(hops),
            Some(failed) => Err(failed),
            None => Err(ResolveError::Family { host: bare.into(), ipv4: local.is_ipv4() }),
        }
    }
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
    let unknown = |reason: String| ResolveError::Unknown { host: host.into(), reason };
    match tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(addresses)) => {
            let addresses: Vec<_> = addresses.collect();
            if addresses.is_empty() { Err(unknown("the name has none".into())) } else { Ok(addresses) }
        }
        Ok(Err(error)) => Err(unknown(error.to_string())),
        Err(_) => Err(ResolveError::Timeout { host: host.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver(ip: &str, udp: bool, tcp: bool) -> Resolver {
        let address = SocketAddr::new(ip.parse().unwrap(), 5070);
        Resolver::new(Bound { udp: udp.then_some(address), tcp: tcp.then_some(address) })
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
