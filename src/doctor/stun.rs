//! How STUN servers see one socket of ours (RFC 8489), and so what kind of address translator there is (RFC 4787
//! section 4.1).

use super::{Finding, Mark, Patient, Seen};
use crate::driver::entropy;
use crate::net::local_towards;
use crate::net::stun::{TransactionId, ask_from};
use crate::random::Random;
use crate::time::Duration;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks up to two addresses of the STUN server from one socket.
pub(super) async fn examine(patient: &Patient, seen: &mut Vec<Seen>, tell: &mut impl FnMut(Finding)) {
    let Some((host, port)) = patient.settings.stun.clone() else { return };
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host.as_str(), port))).await;
    let servers: Vec<SocketAddr> = match found {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    let Some(first) = servers.first().copied() else {
        let text = format!("no address for the STUN server {host}");
        return tell(
            Finding::new("nat", Mark::Fail, text, json!({"stun": host})).with_remedy("check --stun and the DNS"),
        );
    };
    let any: IpAddr = if first.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let ip = patient.settings.ips.iter().copied().find(|ip| ip.is_ipv4() == first.is_ipv4() && !ip.is_unspecified());
    let socket =
        UdpSocket::bind((ip.unwrap_or(any), 0)).and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
    let (Ok(socket), Ok(mut random)) = (socket, entropy().map(Random::from_entropy)) else { return };
    let mut mapped: Vec<(SocketAddr, SocketAddr)> = Vec::new();
    for server in servers.into_iter().filter(|server| server.is_ipv4() == first.is_ipv4()).take(2) {
        let mut id = [0; 12];
        random.fill(&mut id);
        let Ok(own) = socket.try_clone() else { return };
        match ask_from(own, server, TransactionId(id), PATIENCE).await {
            Ok(outside) => mapped.push((server, outside)),
            Err(error) => {
                let text = error.to_string();
                let (what, remedy) = text.split_once("; ").unwrap_or((&text, "name another server with --stun"));
                tell(Finding::new("nat", Mark::Warn, what, json!({"server": server.to_string()})).with_remedy(remedy));
            }
        }
    }
    let Some((server, outside)) = mapped.first().copied() else { return };
    let port = socket.local_addr().map_or(0, |local| local.port());
    let local = ip.or_else(|| local_towards(any, server).ok()).unwrap_or(any);
    seen.push(Seen { local, outside: outside.ip(), ports_differ: outside.port() != port });
    let all: Vec<String> = mapped.iter().map(|(server, outside)| format!("{server} sees {outside}")).collect();
    let details = json!({"local": SocketAddr::new(local, port).to_string(), "seen": all});
    let same = mapped.iter().all(|(_, other)| *other == outside);
    let finding = match (outside.ip() == local, mapped.len(), same) {
        (true, _, _) => {
            Finding::new("nat", Mark::Ok, format!("STUN: no address translator, {}", all.join(", ")), details)
        }
        (false, 1, _) => Finding::new(
            "nat",
            Mark::Ok,
            format!("STUN: {}; of what kind the translator is takes a server with two addresses", all.join(", ")),
            details,
        ),
        (false, _, true) => {
            let text =
                format!("STUN: the translator keeps one address for everybody ({}), so media finds us", all.join(", "));
            Finding::new("nat", Mark::Ok, text, details)
        }
        (false, _, false) => {
            let text = format!("STUN: the translator gives another address towards everybody ({})", all.join(", "));
            Finding::new("nat", Mark::Warn, text, details)
                .with_remedy("what STUN tells does not help with media; use a server with symmetric RTP or a media relay, or forward ports")
        }
    };
    tell(finding);
}
