//! How a STUN server sees one socket of ours (RFC 8489), and so what kind of address translator there is (RFC 5780).

use super::{Finding, Mark, Patient, Seen};
use crate::driver::entropy;
use crate::net::local_towards;
use crate::net::stun::{Behaviour, Dependence, TransactionId, behaviour};
use crate::random::Random;
use crate::time::Duration;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// How long the look-up may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the STUN server.
pub(super) async fn examine(patient: &Patient, seen: &mut Vec<Seen>, tell: &mut impl FnMut(Finding)) {
    let Some((host, port)) = patient.settings.stun.clone() else { return };
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host.as_str(), port))).await;
    let server = match found {
        Ok(Ok(mut found)) => found.next(),
        Ok(Err(_)) | Err(_) => None,
    };
    let Some(server) = server else {
        let text = format!("no address for the STUN server {host}");
        return tell(
            Finding::new("nat", Mark::Fail, text, json!({"stun": host})).with_remedy("check --stun and the DNS"),
        );
    };
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let ip = patient.settings.ips.iter().copied().find(|ip| ip.is_ipv4() == server.is_ipv4() && !ip.is_unspecified());
    let socket =
        UdpSocket::bind((ip.unwrap_or(any), 0)).and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
    let (Ok(socket), Ok(mut random)) = (socket, entropy().map(Random::from_entropy)) else { return };
    let port = socket.local_addr().map_or(0, |local| local.port());
    let mut id = || {
        let mut id = [0; 12];
        random.fill(&mut id);
        TransactionId(id)
    };
    let found = match behaviour(socket, server, &mut id).await {
        Ok(found) => found,
        Err(error) => {
            let text = error.to_string();
            let (what, remedy) = text.split_once("; ").unwrap_or((&text, "name another server with --stun"));
            return tell(
                Finding::new("nat", Mark::Warn, what, json!({"server": server.to_string()})).with_remedy(remedy),
            );
        }
    };
    let local = ip.or_else(|| local_towards(any, server).ok()).unwrap_or(any);
    let local = SocketAddr::new(local, port);
    if let Some((_, outside)) = found.seen.first() {
        seen.push(Seen { local: local.ip(), outside: outside.ip(), ports_differ: outside.port() != port });
        tell(judge(local, *outside, &found));
    }
}

/// What kind of translator that is, in plain words.
fn judge(local: SocketAddr, outside: SocketAddr, found: &Behaviour) -> Finding {
    use Dependence::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
    let word = |dependence: Dependence| match dependence {
        EndpointIndependent => "endpoint-independent",
        AddressDependent => "address-dependent",
        AddressAndPortDependent => "address-and-port-dependent",
    };
    let all: Vec<String> = found.seen.iter().map(|(server, outside)| format!("{server} sees {outside}")).collect();
    let translated = outside.ip() != local.ip();
    // The names of RFC 3489, by which most people know them.
    let kind = match (translated, found.mapping, found.filtering) {
        (false, _, None | Some(EndpointIndependent)) => "none",
        (false, ..) => "firewall",
        (true, Some(EndpointIndependent), Some(EndpointIndependent)) => "full cone",
        (true, Some(EndpointIndependent), Some(AddressDependent)) => "restricted cone",
        (true, Some(EndpointIndependent), _) => "port-restricted cone",
        (true, Some(_), _) => "symmetric",
        (true, None, _) => "unknown",
    };
    let details = json!({"local": local.to_string(), "seen": all, "translator": kind,
        "other_address": found.other.map(|other| other.to_string()),
        "mapping": found.mapping.map(word), "filtering": found.filtering.map(word)});
    let all = all.join(", ");
    let (mark, text, remedy) = match kind {
        "none" => (Mark::Ok, format!("STUN: no address translator, {all}; packets of anybody reach us"), None),
        "firewall" => (
            Mark::Ok,
            format!("STUN: no address translator, {all}; a firewall lets in only those to whom we have sent"),
            Some("nothing for calls, as we send first; for calls from elsewhere than the registrar open the SIP port"),
        ),
        "full cone" => (
            Mark::Ok,
            format!(
                "STUN: the translator keeps one address and port for everybody and lets everybody in ({kind}): {all}, so media finds us"
            ),
            None,
        ),
        "restricted cone" | "port-restricted cone" => (
            Mark::Ok,
            format!(
                "STUN: the translator keeps one address and port for everybody, and lets in those to whom we have sent ({kind}): {all}, so media finds us as soon as we send"
            ),
            None,
        ),
        "symmetric" => (
            Mark::Warn,
            format!("STUN: the translator gives another address or port towards every far end ({kind}): {all}"),
            Some(
                "what STUN tells does not help with media; use a server with symmetric RTP or a media relay, or forward ports and give --public-address",
            ),
        ),
        _ => (
            Mark::Ok,
            format!(
                "STUN: there is a translator, {all}; of what kind takes a server with two addresses (RFC 5780) to tell"
            ),
            None,
        ),
    };
    let finding = Finding::new("nat", mark, text, details);
    match remedy {
        Some(remedy) => finding.with_remedy(remedy),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_words() {
        use Dependence::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
        let (local, outside): (SocketAddr, SocketAddr) =
            ("10.0.0.2:4000".parse().unwrap(), "203.0.113.7:61000".parse().unwrap());
        let server = "192.0.2.1:3478".parse().unwrap();
        let of = |seen, mapping, filtering| {
            let found = Behaviour { seen: vec![(server, seen)], other: Some(server), mapping, filtering };
            judge(local, seen, &found)
        };
        for (seen, mapping, filtering, mark, kind) in [
            (local, Some(EndpointIndependent), Some(EndpointIndependent), Mark::Ok, "none"),
            (local, Some(EndpointIndependent), Some(AddressAndPortDependent), Mark::Ok, "firewall"),
            (outside, Some(EndpointIndependent), Some(EndpointIndependent), Mark::Ok, "full cone"),
            (outside, Some(EndpointIndependent), Some(AddressDependent), Mark::Ok, "restricted cone"),
            (outside, Some(EndpointIndependent), Some(AddressAndPortDependent), Mark::Ok, "port-restricted cone"),
            (outside, Some(AddressDependent), Some(AddressDependent), Mark::Warn, "symmetric"),
            (outside, Some(AddressAndPortDependent), Some(EndpointIndependent), Mark::Warn, "symmetric"),
            (outside, None, None, Mark::Ok, "unknown"),
        ] {
            let finding = of(seen, mapping, filtering);
            assert_eq!((finding.mark, &finding.details["translator"]), (mark, &kind.into()), "{finding:?}");
            assert!(finding.text.contains(&seen.to_string()), "{finding:?}");
            assert_eq!(finding.remedy.is_some(), mark == Mark::Warn || kind == "firewall");
        }
    }
}
