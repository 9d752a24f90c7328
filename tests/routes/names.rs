//! RFC 3263 against a real name server.

use crate::dnsmasq::{self, Dnsmasq};
use sidetone::net::{Bound, Dns, ResolveError, Resolver};
use sidetone::sip::hop::Transport;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Host, port, transport, and the hops to it.
type Row = (&'static str, Option<u16>, Option<Transport>, &'static [&'static str]);

const RECORDS: &[&str] = &[
    "naptr-record=full.test,20,10,s,SIP+D2U,,_sip._udp.full.test",
    "naptr-record=full.test,10,10,s,SIP+D2T,,_sip._tcp.full.test",
    "naptr-record=full.test,5,10,s,SIP+D2S,,_sip._sctp.full.test",
    "srv-host=_sip._tcp.full.test,two.full.test,5072,20,0",
    "srv-host=_sip._tcp.full.test,one.full.test,5071,10,0",
    "srv-host=_sip._udp.full.test,one.full.test,5061,10,0",
    "host-record=one.full.test,127.0.0.41",
    "host-record=two.full.test,127.0.0.42",
    "host-record=full.test,127.0.0.49",
    // No NAPTR: SRV over UDP, and another over TCP.
    "srv-host=_sip._udp.plain.test,one.full.test,5062,0,1",
    "srv-host=_sip._udp.plain.test,two.full.test,5063,0,1",
    "srv-host=_sip._tcp.plain.test,two.full.test,5064,0,0",
    // Addresses only, of both families.
    "host-record=bare.test,127.0.0.43,::1,1",
    "host-record=bare.test,127.0.0.44",
    // Says that there is no such service.
    "srv-host=_sip._udp.none.test,.,0,0,0",
    "host-record=none.test,127.0.0.45",
    "host-record=short.test,127.0.0.46",
    "local-ttl=1",
    "auth-ttl=1",
    "address=/test/",
];

fn bound(ip: &str) -> Bound {
    let at = format!("{ip}:5099").parse().unwrap();
    [Transport::Udp, Transport::Tcp].into_iter().map(|transport| (transport, at)).collect()
}

fn resolver(server: &Dnsmasq, seed: u64) -> Resolver {
    Resolver::new(bound("0.0.0.0"), &Dns { server: Some(server.address), seed })
}

async fn hops(resolver: &Resolver, host: &str, port: Option<u16>, transport: Option<Transport>) -> Vec<String> {
    let found = resolver.resolve(host, port, transport).await.unwrap_or_else(|error| panic!("{host}: {error}"));
    found.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn each_step_is_taken_or_left_out_as_the_target_says() {
    if !dnsmasq::installed() {
        return;
    }
    let server = Dnsmasq::start("127.0.0.40", 0, RECORDS);
    let resolver = resolver(&server, 1);
    let rows: &[Row] = &[
        // NAPTR prefers TCP; its SRV records say where, by priority.
        ("full.test", None, None, &["tcp:127.0.0.41:5071", "tcp:127.0.0.42:5072"]),
        // The transport is given: no NAPTR.
        ("full.test", None, Some(Transport::Udp), &["udp:127.0.0.41:5061"]),
        // The port is given: addresses at once, of the name itself.
        ("full.test", Some(5080), None, &["udp:127.0.0.49:5080"]),
        ("full.test", Some(5080), Some(Transport::Tcp), &["tcp:127.0.0.49:5080"]),
        ("plain.test", None, Some(Transport::Tcp), &["tcp:127.0.0.42:5064"]),
        ("127.0.0.9", None, None, &["udp:127.0.0.9:5060"]),
        // Nothing but addresses.
        ("none.test", None, Some(Transport::Tcp), &["tcp:127.0.0.45:5060"]),
    ];
    for (host, port, transport, expected) in rows {
        assert_eq!(hops(&resolver, host, *port, *transport).await, *expected, "{host} {port:?} {transport:?}");
    }
    let bare: BTreeSet<_> = hops(&resolver, "bare.test", None, None).await.into_iter().collect();
    assert_eq!(bare, ["udp:127.0.0.43:5060", "udp:127.0.0.44:5060"].map(String::from).into());
    let error = resolver.resolve("none.test", None, None).await.unwrap_err();
    assert!(error.to_string().contains("no SIP service over udp"), "{error}");
    let error = resolver.resolve("absent.test", None, None).await.unwrap_err();
    assert!(matches!(error, ResolveError::Unknown { .. }), "{error}");
}

#[tokio::test]
async fn equal_servers_share_by_chance_and_a_seed_repeats_it() {
    if !dnsmasq::installed() {
        return;
    }
    let server = Dnsmasq::start("127.0.0.40", 0, RECORDS);
    let mut first = BTreeSet::new();
    let mut orders = Vec::new();
    for seed in 0..12 {
        let order = hops(&resolver(&server, seed), "plain.test", None, None).await;
        assert_eq!(order.len(), 2);
        first.insert(order[0].clone());
        orders.push(order);
    }
    assert_eq!(first.len(), 2, "{orders:?}");
    assert_eq!(hops(&resolver(&server, 3), "plain.test", None, None).await, orders[3]);
}

#[tokio::test]
async fn the_other_family_is_found_when_it_is_bound() {
    if !dnsmasq::installed() {
        return;
    }
    let server = Dnsmasq::start("127.0.0.40", 0, RECORDS);
    let six = Resolver::new(bound("[::]"), &Dns { server: Some(server.address), seed: 1 });
    match six.resolve("bare.test", None, None).await {
        Ok(found) => assert_eq!(found[0].to_string(), "udp:[::1]:5060"),
        // A machine without IPv6 has no route there.
        Err(error) => assert!(matches!(error, ResolveError::NoRoute { .. }), "{error}"),
    }
}

/// An answer lives as long as it says: then the name server is asked again, and not before.
#[tokio::test]
async fn answers_are_kept_as_long_as_they_say() {
    if !dnsmasq::installed() {
        return;
    }
    let server = Dnsmasq::start("127.0.0.40", 0, &["host-record=moving.test,127.0.0.51,2"]);
    let port = server.address.port();
    let resolver = resolver(&server, 1);
    let moving = || hops(&resolver, "moving.test", Some(5060), None);
    assert_eq!(moving().await, ["udp:127.0.0.51:5060"]);
    let asked = Instant::now();
    drop(server);
    let server = Dnsmasq::start("127.0.0.40", port, &["host-record=moving.test,127.0.0.52,2"]);
    if asked.elapsed() < Duration::from_millis(1500) {
        assert_eq!(moving().await, ["udp:127.0.0.51:5060"], "from the cache");
    }
    // The lifetime of two seconds is that of a real name server.
    tokio::time::sleep(Duration::from_millis(2500).saturating_sub(asked.elapsed())).await;
    assert_eq!(moving().await, ["udp:127.0.0.52:5060"], "asked again");
    // A changed network forgets everything at once.
    drop(server);
    let _server = Dnsmasq::start("127.0.0.40", port, &["host-record=moving.test,127.0.0.53,60"]);
    resolver.renew();
    assert_eq!(moving().await, ["udp:127.0.0.53:5060"]);
}

#[tokio::test]
async fn a_silent_name_server_is_not_waited_for_for_ever() {
    let deaf = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let dns = Dns { server: Some(deaf.local_addr().unwrap()), seed: 1 };
    let resolver = Resolver::new(bound("0.0.0.0"), &dns);
    let begin = Instant::now();
    let error = resolver.resolve("full.test", Some(5060), None).await.unwrap_err();
    assert!(matches!(error, ResolveError::Unknown { .. } | ResolveError::Timeout { .. }), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
}
