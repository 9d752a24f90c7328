//! Questions to the name servers, through a cache that keeps answers as long as they say and no longer.

use super::order::{Naptr, Srv};
use crate::time::Duration;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// How long one question to one server may take.
const QUESTION: Duration = Duration::from_secs(2);

/// How often it is asked again.
const AGAIN: usize = 1;

/// Answers that are remembered.
const CACHE: u64 = 1024;

/// The longest that a missing name or record is remembered: who mends a domain does not wait for an hour.
const MISSING: Duration = Duration::from_secs(60);

/// The longest that an answer is remembered, whatever it says.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The name servers, and what they said; a handle.
#[derive(Clone)]
pub(super) struct Names {
    /// The server that the user named; else the system's.
    server: Option<SocketAddr>,
    /// `None` when the system names no server.
    resolver: Arc<Mutex<Option<Arc<TokioResolver>>>>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Names {
    /// Asks `server`, or the servers of the system's configuration.
    pub(super) fn new(server: Option<SocketAddr>) -> Self {
        Self { server, resolver: Arc::new(Mutex::new(build(server))) }
    }

    /// The network has changed: the system may name other servers, and names may have other answers.
    pub(super) fn renew(&self) {
        let fresh = build(self.server);
        *self.resolver.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// The NAPTR records of a domain; none if there are none or nobody says so.
    pub(super) async fn naptr(&self, domain: &str) -> Vec<Naptr> {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let read = |data: &RData| match data {
            RData::NAPTR(naptr) => Some(Naptr {
                order: naptr.order,
                preference: naptr.preference,
                flags: text(&naptr.flags),
                services: text(&naptr.services),
                replacement: naptr.replacement.to_string(),
            }),
            _ => None,
        };
        self.records(domain, RecordType::NAPTR, read).await
    }

    /// The SRV records of a name; none if there are none or nobody says so.
    pub(super) async fn srv(&self, name: &str) -> Vec<Srv> {
        let read = |data: &RData| match data {
            RData::SRV(srv) => {
                Some(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target: srv.target.to_string() })
            }
            _ => None,
        };
        self.records(name, RecordType::SRV, read).await
    }

    /// The addresses of a host, IPv4 first. Where the system's own way knows more than its name servers (hosts files,
    /// multicast DNS, directories), it is asked too.
    ///
    /// # Errors
    /// A sentence for people.
    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let mut why = "the system names no name server".to_owned();
        if let Some(resolver) = self.resolver() {
            match resolver.lookup_ip(host).await {
                Ok(found) => {
                    let mut found: Vec<IpAddr> = found.iter().collect();
                    found.sort_by_key(IpAddr::is_ipv6);
                    if !found.is_empty() {
                        return Ok(found);
                    }
                    why = "the name has none".into();
                }
                Err(error) if error.is_no_records_found() || error.is_nx_domain() => {
                    why = "the name does not exist or has none".into();
                }
                Err(error) => why = error.to_string(),
            }
        }
        if self.server.is_some() {
            return Err(why);
        }
        match tokio::net::lookup_host((host, 0)).await {
            Ok(found) => Ok(found.map(|address| address.ip()).collect()),
            Err(error) => {
                tracing::debug!(host, %error, "the system does not know the name either");
                Err(why)
            }
        }
    }

    async fn records<T>(&self, name: &str, kind: RecordType, read: impl Fn(&RData) -> Option<T>) -> Vec<T> {
        let Some(resolver) = self.resolver() else { return Vec::new() };
        let absolute = if name.ends_with('.') { name.to_owned() } else { format!("{name}.") };
        match resolver.lookup(absolute.as_str(), kind).await {
            Ok(found) => found.answers().iter().filter_map(|record| read(&record.data)).collect(),
            Err(error) if absent(&error) => Vec::new(),
            Err(error) => {
                // Some name servers of home routers know addresses only; the next step may still succeed.
                tracing::debug!(name, %kind, %error, "a question was not answered");
                Vec::new()
            }
        }
    }

    fn resolver(&self) -> Option<Arc<TokioResolver>> {
        self.resolver.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn absent(error: &NetError) -> bool {
    error.is_no_records_found() || error.is_nx_domain()
}

fn build(server: Option<SocketAddr>) -> Option<Arc<TokioResolver>> {
    let builder = match server {
        Some(server) => {
            let mut named = NameServerConfig::udp_and_tcp(server.ip());
            for connection in &mut named.connections {
                connection.port = server.port();
            }
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![named]);
            Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
        }
        None => TokioResolver::builder_tokio(),
    };
    let built = builder.and_then(|mut builder| {
        let options = builder.options_mut();
        options.timeout = QUESTION;
        options.attempts = AGAIN;
        options.cache_size = CACHE;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.negative_max_ttl = Some(MISSING);
        options.positive_max_ttl = Some(LONGEST);
        builder.build()
    });
    match built {
        Ok(resolver) => Some(Arc::new(resolver)),
        Err(error) => {
            tracing::info!(%error, "the configuration of the name servers cannot be read; the system is asked");
            None
        }
    }
}
