//! Names and transports: is somebody there, and does he answer?

use super::{Finding, Mark, Patient, Seen, certificate};
use crate::driver::{Clock, entropy};
use crate::net::{BindConfig, Dns, Inbox, Incoming, Now, Resolver, Tls, Transports};
use crate::random::Random;
use crate::sip::header::Name;
use crate::sip::hop::{Hop, Transport};
use crate::sip::message::{Message, Method, Request, Response};
use crate::sip::name_addr::NameAddr;
use crate::sip::registration::seen_as;
use crate::sip::target::Target;
use crate::sip::uri::Uri;
use crate::sip::via::{MAGIC_COOKIE, Via};
use crate::sip::wire;
use crate::time::Duration;
use serde_json::json;
use std::net::SocketAddr;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// When a datagram is sent again (RFC 3261 section 17.1.2.2, timer E).
const AGAIN: Duration = Duration::from_millis(500);

/// Looks the server up and asks it over every transport.
pub(super) async fn examine(
    patient: &Patient,
    server: &Uri,
    seen: &mut Vec<Seen>,
    tell: &mut impl FnMut(Finding),
) -> Result<(), String> {
    let clock = Clock::new();
    let mut random = Random::from_entropy(entropy().map_err(|error| error.to_string())?);
    let settings = &patient.settings;
    let mut tls = settings.tls.clone();
    tls.domains.extend(server.host().map(ToString::to_string));
    let tls = Tls::load(&tls).map_err(|error| error.to_string())?;
    let dns = Dns { server: settings.dns_server, seed: random.u64() };
    let bind = BindConfig { ips: settings.ips.clone(), tls: Some(tls.clone()), dns, ..BindConfig::everywhere(Some(0)) };
    let (transports, mut inbox) =
        Transports::bind(bind, Now::new(move || clock.now())).map_err(|error| error.to_string())?;
    let resolver = transports.resolver();
    let target = match Target::of(server, patient.account.transport) {
        Ok(target) => target,
        Err(error) => {
            tell(
                Finding::new("config", Mark::Fail, error.to_string(), json!({"server": server.to_string()}))
                    .with_remedy("give a SIP address as --aor, --registrar or --outbound-proxy"),
            );
            return Ok(());
        }
    };
    let host = target.host.to_string();
    names(&resolver, &host, target.port, tell).await;
    let chosen = resolver.resolve(&host, target.port, target.transport).await;
    let own = match &chosen {
        Ok(hops) => {
            let way: Vec<String> = hops.iter().map(ToString::to_string).collect();
            let text = format!("{host} is reached as {}", way.join(", then "));
            tell(Finding::new("dns", Mark::Ok, text, json!({"host": host, "hops": way})));
            hops.first().map(|hop| hop.transport)
        }
        Err(error) => {
            let text = error.to_string();
            let (what, remedy) = text.split_once("; ").unwrap_or((&text, "check the name"));
            tell(Finding::new("dns", Mark::Fail, what, json!({"host": host})).with_remedy(remedy));
            None
        }
    };
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        // A port that was named for one transport is not that of another.
        let other = own != Some(transport);
        let named = target.port.filter(|_| !other || transport != Transport::Tls && own != Some(Transport::Tls));
        let Ok(hops) = resolver.resolve(&host, named, Some(transport)).await else { continue };
        let Some(hop) = hops.first().copied() else { continue };
        if transport == Transport::Tls {
            let from = SocketAddr::new(hop.local.ip(), 0);
            let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
            // Without a connection the question below says why.
            if let Ok(presented) = tls.inspect(from, hop.remote, bare, PATIENCE).await {
                let (now, insecure) = (clock.wall().at(clock.now()), settings.tls.insecure);
                certificate::judge(&presented, (bare, hop.remote), (other, insecure), now, tell);
                if presented.version.is_none() || presented.problem.is_some() && !insecure {
                    continue;
                }
            }
        }
        let asked = ask(&transports, &mut inbox, hop, patient, &mut random).await;
        tell(answer(transport, other, hop, asked, seen));
    }
    Ok(())
}

/// What the name servers say, where they are asked at all.
async fn names(resolver: &Resolver, host: &str, port: Option<u16>, tell: &mut impl FnMut(Finding)) {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return;
    }
    let Ok(steps) = tokio::time::timeout(PATIENCE * 2, resolver.steps(host)).await else {
        tell(
            Finding::new(
                "dns",
                Mark::Fail,
                format!("the name servers do not answer for {host}"),
                json!({"host": host}),
            )
            .with_remedy("check the network, or name a server with --dns-server"),
        );
        return;
    };
    let srv: Vec<String> = steps
        .srv
        .iter()
        .flat_map(|(transport, records)| records.iter().map(move |record| format!("{transport} {record}")))
        .collect();
    let addresses = steps.addresses.clone().unwrap_or_default();
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let list = |what: &str, records: &[String]| match records {
        [] => format!("no {what}"),
        records => format!("{what} {}", records.join(", ")),
    };
    let mut text =
        format!("{host}: {}; {}; {}", list("NAPTR", &steps.naptr), list("SRV", &srv), list("addresses", &addresses));
    if port.is_some() && (!steps.naptr.is_empty() || !srv.is_empty()) {
        text += "; only the addresses are used, because a port is given";
    }
    let details = json!({"host": host, "naptr": steps.naptr, "srv": srv, "addresses": addresses});
    tell(Finding::new("dns", Mark::Ok, text, details));
}

/// What became of a question.
enum Asked {
    Answered(Box<Response>, Duration),
    Failed(String),
    Silent,
}

/// Sends OPTIONS and waits for any answer.
async fn ask(transports: &Transports, inbox: &mut Inbox, hop: Hop, patient: &Patient, random: &mut Random) -> Asked {
    let call_id = random.token(20);
    let mut request = Request::new(Method::Options, super::server(&patient.account));
    let via = Via::new(hop.transport, hop.local, &format!("{MAGIC_COOKIE}{}", random.token(12)));
    let from = NameAddr::new(patient.account.aor.clone());
    let headers = &mut request.headers;
    headers.push(Name::Via, via.to_string());
    headers.push(Name::MaxForwards, "70");
    headers.push(Name::From, from.clone().with_tag(&random.token(10)).to_string());
    headers.push(Name::To, from.to_string());
    headers.push(Name::CallId, call_id.as_str());
    headers.push(Name::CSeq, "1 OPTIONS");
    headers.push(Name::Accept, "application/sdp");
    headers.push(Name::UserAgent, concat!("Sidetone/", env!("CARGO_PKG_VERSION")));
    let bytes: bytes::Bytes = request.to_bytes().into();
    let clock = Clock::new();
    let began = clock.now();
    let (mut sent, mut wait) = (0, AGAIN);
    let mut next = began;
    loop {
        let now = clock.now();
        if now.since(began) >= PATIENCE {
            return Asked::Silent;
        }
        if now >= next && (sent == 0 || !hop.transport.reliable()) {
            if let Err(why) = transports.send(&hop, bytes.clone()) {
                return Asked::Failed(why.to_string());
            }
            (sent, next, wait) = (sent + 1, now + wait, wait * 2);
        }
        let pause = if hop.transport.reliable() { PATIENCE } else { next.since(now).min(PATIENCE) };
        let pause = pause.min(PATIENCE - now.since(began)).max(Duration::from_millis(1));
        let response = match tokio::time::timeout(pause, inbox.next()).await {
            Err(_) => continue,
            Ok(None) => return Asked::Failed("the sockets are closed".into()),
            Ok(Some(Incoming::Datagram { bytes, .. })) => wire::parse_datagram(&bytes).ok(),
            Ok(Some(Incoming::Message { message, .. })) => Some(*message),
            Ok(Some(Incoming::Failed { hop: lost, why, .. })) if lost.remote == hop.remote => {
                return Asked::Failed(why.to_string());
            }
            Ok(Some(_)) => None,
        };
        if let Some(Message::Response(response)) = response
            && response.headers.call_id() == Some(&call_id)
            && !response.status.is_provisional()
        {
            return Asked::Answered(Box::new(response), clock.now().since(began));
        }
    }
}

/// Judges what became of the question over one transport.
fn answer(transport: Transport, other: bool, hop: Hop, asked: Asked, seen: &mut Vec<Seen>) -> Finding {
    let check = transport.parameter();
    let name = transport.name();
    let remote = hop.remote;
    match asked {
        Asked::Answered(response, time) => {
            let millis = time.as_secs_f64() * 1000.0;
            let outside = response.headers.top_via().ok().map(|via| seen_as(hop, &via));
            if let Some(outside) = outside {
                let ports_differ = outside.port() != hop.local.port();
                seen.push(Seen { local: hop.local.ip(), outside: outside.ip(), ports_differ });
            }
            let status = response.status;
            let text = format!(
                "{remote} answers over {name} in {millis:.0} ms: {status} {}",
                crate::trace::harmless(&response.reason)
            );
            let details = json!({"remote": remote.to_string(), "status": status.code(), "ms": millis,
                "seen": outside.map(|outside| outside.to_string()),
                "allow": response.headers.get(&Name::Allow), "server": response.headers.get(&Name::Server)});
            Finding::new(check, Mark::Ok, text, details)
        }
        Asked::Failed(why) => {
            let mark = if other { Mark::Warn } else { Mark::Fail };
            let (what, remedy) = why.split_once("; ").map_or((why.as_str(), None), |(what, how)| (what, Some(how)));
            let text = format!("{remote} cannot be reached over {name}: {what}");
            let finding = Finding::new(check, mark, text, json!({"remote": remote.to_string(), "reason": why}));
            match other {
                true => finding.with_remedy("nothing, as long as another transport works"),
                false => {
                    finding.with_remedy(remedy.unwrap_or("check host, port and firewall, or use another --transport"))
                }
            }
        }
        Asked::Silent => {
            let mark = if other { Mark::Warn } else { Mark::Fail };
            let text = format!("{remote} does not answer OPTIONS over {name} in {} s", PATIENCE.as_secs());
            let remedy = if other {
                "nothing, as long as another transport works"
            } else {
                "check host, port and firewall; some servers answer OPTIONS from strangers with silence, then the registration tells"
            };
            Finding::new(check, mark, text, json!({"remote": remote.to_string()})).with_remedy(remedy)
        }
    }
}
