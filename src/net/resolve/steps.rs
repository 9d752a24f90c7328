//! The look-ups of a domain one by one, for whoever asks why it is reached as it is.

use super::Resolver;
use super::order::srv_name;
use crate::sip::hop::Transport;
use std::net::IpAddr;

/// What the name servers say of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps {
    /// NAPTR records, `SERVICE to NAME`, in the order of the domain.
    pub naptr: Vec<String>,
    /// SRV records, by transport: `NAME:PORT (priority P, weight W)`.
    pub srv: Vec<(Transport, Vec<String>)>,
    /// Addresses of the name itself.
    pub addresses: Result<Vec<IpAddr>, String>,
}

impl Resolver {
    /// Every step of RFC 3263 for `domain`, whether it would be taken or not.
    pub async fn steps(&self, domain: &str) -> Steps {
        let srv = |transport| async move { (transport, self.names.srv(&srv_name(transport, domain)).await) };
        let (mut naptr, udp, tcp, tls, addresses) = tokio::join!(
            self.names.naptr(domain),
            srv(Transport::Udp),
            srv(Transport::Tcp),
            srv(Transport::Tls),
            self.names.addresses(domain),
        );
        naptr.sort_by_key(|record| (record.order, record.preference));
        let naptr = naptr.iter().map(|record| format!("{} to {}", record.services, record.replacement)).collect();
        let srv = [udp, tcp, tls].into_iter().map(|(transport, mut records)| {
            records.sort_by_key(|record| record.priority);
            let text = records.iter().map(|record| {
                let (target, port) = (&record.target, record.port);
                format!("{target}:{port} (priority {}, weight {})", record.priority, record.weight)
            });
            (transport, text.collect())
        });
        Steps { naptr, srv: srv.collect(), addresses }
    }
}
