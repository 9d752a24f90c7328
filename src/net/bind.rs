//! What to bind, and where everything is bound.

use super::interfaces::local_towards;
use super::limits::Limits;
use super::resolve::Dns;
use super::tls::Tls;
use super::{tcp, udp};
use crate::sip::hop::Transport;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How often all transports try to get the same ephemeral port.
const ATTEMPTS: usize = 32;

/// What to bind.
#[derive(Clone, Debug)]
pub struct BindConfig {
    /// The addresses; an unspecified one takes calls on every interface of its family, and is left out where the machine
    /// lacks that family.
    pub ips: Vec<IpAddr>,
    /// The port, the same for UDP and TCP: `None` for 5060 or any other if that is taken, 0 for any. TLS has the port
    /// above it, as 5061 is to 5060.
    pub port: Option<u16>,
    /// Speak UDP.
    pub udp: bool,
    /// Speak TCP.
    pub tcp: bool,
    /// Speak TLS: connections are made with it, and taken if it holds a certificate.
    pub tls: Option<Tls>,
    /// What is held at most.
    pub limits: Limits,
    /// Whom to ask for names.
    pub dns: Dns,
}

impl BindConfig {
    /// UDP and TCP on `ip`, with the default limits.
    pub fn new(ip: IpAddr, port: Option<u16>) -> Self {
        Self { ips: vec![ip], port, udp: true, tcp: true, tls: None, limits: Limits::default(), dns: Dns::default() }
    }

    /// UDP and TCP on every interface, IPv4 and IPv6.
    pub fn everywhere(port: Option<u16>) -> Self {
        let ips = vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        Self { ips, ..Self::new(Ipv4Addr::UNSPECIFIED.into(), port) }
    }
}

/// A socket cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken or not ours.
    #[error("cannot bind {transport} to {address}: {source}; choose another address or port with --bind")]
    Address {
        /// The transport.
        transport: Transport,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Nothing to bind.
    #[error("no transport is switched on, or no address is given to bind; give one")]
    Nothing,
}

/// Where we are bound; the addresses may be unspecified, the ports never are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound(Vec<(Transport, SocketAddr)>);

impl FromIterator<(Transport, SocketAddr)> for Bound {
    fn from_iter<I: IntoIterator<Item = (Transport, SocketAddr)>>(sockets: I) -> Self {
        Self(sockets.into_iter().collect())
    }
}

impl Bound {
    /// The first address that `transport` is bound to; `None` if it is not.
    pub fn local(&self, transport: Transport) -> Option<SocketAddr> {
        self.all(transport).next()
    }

    /// Every address that `transport` is bound to.
    pub fn all(&self, transport: Transport) -> impl Iterator<Item = SocketAddr> + '_ {
        self.0.iter().filter(move |(bound, _)| *bound == transport).map(|(_, address)| *address)
    }

    /// The first address of the first transport: where to say that we are.
    pub fn first(&self) -> Option<SocketAddr> {
        self.0.first().map(|(_, address)| *address)
    }

    /// Our address on the way to `remote`, with the port of the socket that goes there, never unspecified; `None` if
    /// nothing of its family is bound.
    pub(super) fn towards(&self, transport: Transport, remote: SocketAddr) -> Option<io::Result<SocketAddr>> {
        let family: Vec<_> = self.all(transport).filter(|local| local.is_ipv4() == remote.is_ipv4()).collect();
        let any = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        // Of several, the one that the system itself would take.
        if family.len() > 1
            && let Ok(ip) = local_towards(any, remote)
            && let Some(local) = family.iter().find(|local| local.ip() == ip)
        {
            return Some(Ok(*local));
        }
        let mut last = None;
        for local in family {
            match local_towards(local.ip(), remote) {
                Ok(ip) => return Some(Ok(SocketAddr::new(ip, local.port()))),
                Err(error) => last = Some(Err(error)),
            }
        }
        last
    }
}

/// The sockets of all addresses and transports.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    pub(super) udp: Vec<udp::Ends>,
    pub(super) tcp: Vec<tcp::Listener>,
    pub(super) tls: Vec<tcp::Listener>,
}

impl Bindings {
    pub(super) fn bound(&self) -> Bound {
        let udp = self.udp.iter().map(|ends| (Transport::Udp, ends.bound));
        let tcp = self.tcp.iter().map(|listener| (Transport::Tcp, listener.bound));
        udp.chain(tcp).chain(self.tls.iter().map(|listener| (Transport::Tls, listener.bound))).collect()
    }

    /// Binds everything on one port, so that what is advertised for one transport holds for the others (RFC 3261 section
    /// 18.1.1 switches a request from UDP to TCP on the way).
    pub(super) fn make(config: &BindConfig) -> Result<Self, BindError> {
        if (!config.udp && !config.tcp && config.tls.is_none()) || config.ips.is_empty() {
            return Err(BindError::Nothing);
        }
        match config.port {
            Some(0) => {}
            Some(port) => return Self::on(config, port),
            None => {
                if let Ok(bindings) = Self::on(config, Transport::Udp.default_port()) {
                    return Ok(bindings);
                }
            }
        }
        let mut last = Self::on(config, 0);
        for _ in 1..ATTEMPTS {
            if last.is_ok() {
                break;
            }
            last = Self::on(config, 0);
        }
        last
    }

    fn on(config: &BindConfig, port: u16) -> Result<Self, BindError> {
        let mut bindings = Self::default();
        let (mut port, mut secure) = (port, (port != 0).then(|| port.wrapping_add(1)));
        let mut missing = None;
        for ip in &config.ips {
            match bindings.add(config, *ip, &mut port, &mut secure) {
                Ok(()) => {}
                Err(BindError::Address { source, transport, address })
                    if ip.is_unspecified() && config.ips.len() > 1 && lacks_family(&source) =>
                {
                    missing = Some(BindError::Address { source, transport, address });
                }
                Err(error) => return Err(error),
            }
        }
        match missing {
            Some(error) if bindings.bound() == Bound::default() => Err(error),
            _ => Ok(bindings),
        }
    }

    fn add(
        &mut self,
        config: &BindConfig,
        ip: IpAddr,
        port: &mut u16,
        secure: &mut Option<u16>,
    ) -> Result<(), BindError> {
        let failed = |transport, port| {
            move |source| BindError::Address { transport, address: SocketAddr::new(ip, port), source }
        };
        if config.udp {
            let ends = udp::bind(SocketAddr::new(ip, *port)).map_err(failed(Transport::Udp, *port))?;
            *port = ends.bound.port();
            self.udp.push(ends);
        }
        if config.tcp {
            let listener = tcp::listen(SocketAddr::new(ip, *port)).map_err(failed(Transport::Tcp, *port))?;
            *port = listener.bound.port();
            self.tcp.push(listener);
        }
        if let Some(tls) = &config.tls {
            let listener = match (tls.takes_connections(), *secure) {
                (true, wanted) => {
                    let wanted = wanted.unwrap_or(0);
                    tcp::listen(SocketAddr::new(ip, wanted)).map_err(failed(Transport::Tls, wanted))?
                }
                // Nobody connects there: any port will do.
                (false, Some(wanted)) => tcp::reserve(SocketAddr::new(ip, wanted))
                    .or_else(|_| tcp::reserve(SocketAddr::new(ip, 0)))
                    .map_err(failed(Transport::Tls, wanted))?,
                (false, None) => tcp::reserve(SocketAddr::new(ip, 0)).map_err(failed(Transport::Tls, 0))?,
            };
            *secure = Some(listener.bound.port());
            self.tls.push(listener);
        }
        Ok(())
    }
}

/// Does the machine not have this family of addresses?
fn lacks_family(error: &io::Error) -> bool {
    // EAFNOSUPPORT has a kind of its own in no stable release.
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.to_string().contains("family")
}
