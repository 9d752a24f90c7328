//! Servers that vanish without a word: no end of the connection, no error, nothing.

use crate::dnsmasq::{self, Dnsmasq};
use crate::network::Network;
use crate::phone::Phone;
use crate::registrar::{Manner, Registrar};
use std::path::Path;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(15);

/// RFC 5626 section 4.5: after the first failure 30 to 60 s, and what connecting takes.
const HEALED: Duration = Duration::from_secs(75);

/// A phone in `network` that registers with `aor` and keeps its flow alive every five seconds.
fn watchful(network: &Network, home: &Path, aor: &str, transport: &str, more: &[&str]) -> Phone {
    let file = home.join("config.toml");
    let text = format!("[account.a]\naor = \"{aor}\"\ntransport = \"{transport}\"\nkeepalive = 5\n");
    std::fs::write(&file, text).unwrap();
    let arguments = ["register", "--config", file.to_str().unwrap()];
    Phone::start(Some(&network.name), home, &[&arguments[..], more].concat())
}

/// Registers over TCP, has the far end vanish and come back; says after how long that was noticed.
fn vanishes(number: u8, manner: Manner, vanish: impl Fn(&Network), come_back: impl Fn(&Network)) -> Option<Duration> {
    let network = Network::make(number)?;
    let registrar = Registrar::with(format!("{}:0", network.here()).parse().unwrap(), manner);
    let home = tempfile::tempdir().unwrap();
    let mut phone = watchful(&network, home.path(), &format!("sip:alice@{}", registrar.address), "tcp", &[]);
    phone.expect("registration.registered", SOON, |_| true);
    let before = registrar.contacts().len();
    // A keep-alive or two pass, so that the phone knows whether they are answered.
    std::thread::sleep(Duration::from_secs(6));
    vanish(&network);
    let begin = Instant::now();
    let failed = phone.expect("registration.failed", Duration::from_secs(45), |_| true);
    let noticed = begin.elapsed();
    assert!(failed["next_attempt_in"].as_u64().is_some_and(|wait| (29..=60).contains(&wait)), "{failed}");
    assert_eq!(registrar.contacts().len(), before, "nothing arrived meanwhile");
    come_back(&network);
    phone.expect("registration.registered", HEALED, |_| true);
    println!("noticed after {noticed:?}, registered again {:?} after it vanished", begin.elapsed());
    assert!(registrar.contacts().len() > before);
    Some(noticed)
}

/// A link that is down at the far end only: ours stays up, with its address and routes. Pings are not answered for 10 s
/// (RFC 5626 section 4.4.1).
#[test]
fn a_connection_whose_link_is_down_is_noticed_by_the_missing_pong() {
    let noticed = vanishes(21, Manner::default(), |network| network.wire("down"), |network| network.wire("up"));
    // A ping within 5 s, its answer for 10 s, a new connection for 5 s.
    assert!(noticed.is_none_or(|noticed| noticed < Duration::from_secs(25)), "{noticed:?}");
}

/// A server that never answers pings cannot be told from a dead one by them; that nothing is acknowledged tells.
#[test]
fn a_connection_on_which_nothing_is_acknowledged_is_given_up() {
    let lose = |lost| move |network: &Network| network.lose(&network.here(), lost);
    let noticed = vanishes(22, Manner { pongs: false, ..Manner::default() }, lose(true), lose(false));
    // A ping within 5 s, unacknowledged for 20 s, a new connection for 5 s, and TCP's own rhythm.
    assert!(noticed.is_none_or(|noticed| noticed < Duration::from_secs(40)), "{noticed:?}");
}

/// Over UDP the unanswered STUN requests tell; the registration of ten minutes is at the other server within one.
#[test]
fn a_server_that_falls_silent_over_udp_is_left_for_the_next() {
    if !dnsmasq::installed() {
        return;
    }
    let Some(network) = Network::make(23) else { return };
    let keeps = Manner { outbound: true, ..Manner::default() };
    let first = Registrar::with(format!("{}:0", network.here()).parse().unwrap(), keeps);
    let second = Registrar::with(format!("{}:0", network.far()).parse().unwrap(), keeps);
    let srv = |name: &str, port: u16, priority: u8| {
        format!("srv-host=_sip._udp.carrier.test,{name}.carrier.test,{port},{priority},0")
    };
    let names = Dnsmasq::start(
        &network.far(),
        0,
        &[
            &srv("one", first.address.port(), 10),
            &srv("two", second.address.port(), 20),
            &format!("host-record=one.carrier.test,{}", network.here()),
            &format!("host-record=two.carrier.test,{}", network.far()),
        ],
    );
    let home = tempfile::tempdir().unwrap();
    let server = names.address.to_string();
    let mut phone = watchful(&network, home.path(), "sip:alice@carrier.test", "udp", &["--dns-server", &server]);
    phone.expect("registration.registered", SOON, |_| true);
    let begin = Instant::now();
    while first.bindings() < 2 {
        assert!(begin.elapsed() < SOON, "the flow is kept alive by STUN");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!((first.contacts().len(), second.contacts().len()), (1, 0));
    network.lose(&network.here(), true);
    let silent = Instant::now();
    while second.contacts().is_empty() {
        // Within 5 s the next request, seven of them in 39.5 s.
        assert!(silent.elapsed() < Duration::from_secs(50), "still nobody is asked");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("at the second server {:?} after the first fell silent", silent.elapsed());
    assert!(silent.elapsed() > Duration::from_secs(35), "one lost datagram is no silence");
}
