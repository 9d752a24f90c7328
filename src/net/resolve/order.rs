//! Which of a domain's services comes first: the arithmetic of NAPTR (RFC 3263 section 4.1) and SRV (RFC 2782).

use crate::random::Random;
use crate::sip::hop::Transport;

/// A NAPTR record, as far as SIP reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Naptr {
    pub(super) order: u16,
    pub(super) preference: u16,
    pub(super) flags: String,
    pub(super) services: String,
    pub(super) replacement: String,
}

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Srv {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) target: String,
}

/// Where a NAPTR record leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// To the SRV records of that name (flag `s`).
    Srv(Transport, String),
    /// To the addresses of that name (flag `a`).
    Addresses(Transport, String),
}

/// The transport of a service field (RFC 3263 section 4.1); `None` for what is not SIP or not spoken here.
fn transport(services: &str) -> Option<Transport> {
    [("SIP+D2U", Transport::Udp), ("SIP+D2T", Transport::Tcp), ("SIPS+D2T", Transport::Tls)]
        .into_iter()
        .find_map(|(name, transport)| name.eq_ignore_ascii_case(services.trim()).then_some(transport))
}

/// The services that are spoken here, best first: by order, then by preference.
pub(super) fn services(mut records: Vec<Naptr>, spoken: &[Transport]) -> Vec<Service> {
    records.sort_by_key(|record| (record.order, record.preference));
    let service = |record: Naptr| {
        let transport = transport(&record.services).filter(|transport| spoken.contains(transport))?;
        match record.flags.trim() {
            "s" | "S" => Some(Service::Srv(transport, record.replacement)),
            "a" | "A" => Some(Service::Addresses(transport, record.replacement)),
            // `u` rewrites the URI, which is ENUM's business; an empty flag leads to further NAPTR records.
            _ => None,
        }
    };
    records.into_iter().filter_map(service).collect()
}

/// The name of the SRV records of `domain` for a transport (RFC 3263 section 4.2).
pub(super) fn srv_name(transport: Transport, domain: &str) -> String {
    let prefix = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
    };
    format!("{prefix}.{domain}")
}

/// The records in the order in which to try them (RFC 2782, "Usage rules"): by priority; within one, each next record is
/// drawn with a chance in proportion to its weight. A target of `.` says that there is no such service.
pub(super) fn servers(mut records: Vec<Srv>, random: &mut Random) -> Vec<Srv> {
    records.retain(|record| !matches!(record.target.as_str(), "." | ""));
    // By weight, so that records of weight 0, being first, have a very small chance beside others; and name servers
    // rotate their answers, which must not matter to a seed.
    records.sort_by(|one, two| {
        let key = |record: &Srv| (record.priority, record.weight, record.port);
        key(one).cmp(&key(two)).then_with(|| one.target.cmp(&two.target))
    });
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|record| record.priority) {
        let equals = records.iter().take_while(|record| record.priority == priority);
        let sum: u64 = equals.clone().map(|record| u64::from(record.weight)).sum();
        let drawn = random.range(0, sum + 1);
        let mut running = 0;
        let chosen = equals.take_while(|record| {
            running += u64::from(record.weight);
            running < drawn
        });
        let chosen = chosen.count();
        ordered.push(records.remove(chosen));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv { priority, weight, port: 5060, target: target.into() }
    }

    fn naptr(order: u16, preference: u16, flags: &str, services: &str, replacement: &str) -> Naptr {
        let (flags, services, replacement) = (flags.into(), services.into(), replacement.into());
        Naptr { order, preference, flags, services, replacement }
    }

    fn targets(records: &[Srv], seed: u64) -> Vec<String> {
        let ordered = servers(records.to_vec(), &mut Random::from_seed(seed));
        ordered.into_iter().map(|record| record.target).collect()
    }

    #[test]
    fn priorities_come_in_order_whatever_the_weights() {
        let records = [srv(20, 1000, "c"), srv(10, 1, "a"), srv(30, 0, "d"), srv(10, 0, "b")];
        for seed in 0..50 {
            let order = targets(&records, seed);
            assert_eq!((order[2].as_str(), order[3].as_str()), ("c", "d"));
            assert!(order[..2].contains(&"a".to_owned()) && order[..2].contains(&"b".to_owned()));
        }
    }

    /// The example of RFC 2782: of two servers with weights 1 and 3, the second takes three quarters.
    #[test]
    fn weights_share_the_load_in_proportion() {
        let records = [srv(0, 1, "old-slow-box"), srv(0, 3, "new-fast-box")];
        let mut first: BTreeMap<String, u32> = BTreeMap::new();
        let mut random = Random::from_seed(7);
        for _ in 0..10_000 {
            let order = servers(records.to_vec(), &mut random);
            assert_eq!(order.len(), 2);
            *first.entry(order[0].target.clone()).or_default() += 1;
        }
        // The draw is from 0 to the sum, both included, as the RFC words it: 2 of 5 for the first of the list.
        let fast = f64::from(first["new-fast-box"]) / 10_000.0;
        assert!((0.57..0.63).contains(&fast), "{first:?}");
    }

    #[test]
    fn a_weight_of_zero_is_nearly_never_first_beside_others_and_equal_alone() {
        let mut random = Random::from_seed(8);
        let beside = [srv(0, 0, "idle"), srv(0, 99, "busy")];
        let idle = (0..10_000).filter(|_| servers(beside.to_vec(), &mut random)[0].target == "idle").count();
        assert!((50..200).contains(&idle), "1 of 100: {idle}");
        let one = servers(vec![srv(0, 0, "a")], &mut random);
        assert_eq!(one, [srv(0, 0, "a")]);
    }

    #[test]
    fn one_seed_gives_one_order() {
        let records: Vec<Srv> = (0..10).map(|n| srv(n / 5, 10 * n, &format!("s{n}"))).collect();
        assert_eq!(targets(&records, 3), targets(&records, 3));
        let orders: std::collections::BTreeSet<_> = (0..20).map(|seed| targets(&records, seed)).collect();
        assert!(orders.len() > 5, "chance has its say");
    }

    #[test]
    fn a_dot_says_that_there_is_no_service() {
        assert_eq!(servers(vec![srv(0, 0, ".")], &mut Random::from_seed(1)), []);
    }

    /// The example of RFC 3263 section 4.1.
    #[test]
    fn naptr_gives_what_both_sides_speak_in_the_domains_order() {
        let records = vec![
            naptr(100, 50, "s", "SIP+D2U", "_sip._udp.example.com"),
            naptr(50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com"),
            naptr(90, 60, "s", "SIP+D2T", "_sip2._tcp.example.com"),
            naptr(90, 50, "S", "sip+d2t", "_sip._tcp.example.com"),
            naptr(10, 10, "u", "E2U+sip", "!^.*$!sip:a@b!"),
            naptr(10, 20, "s", "SIP+D2S", "_sip._sctp.example.com"),
            naptr(95, 0, "a", "SIP+D2U", "host.example.com"),
        ];
        let all = services(records.clone(), &[Transport::Udp, Transport::Tcp, Transport::Tls]);
        assert_eq!(
            all,
            [
                Service::Srv(Transport::Tls, "_sips._tcp.example.com".into()),
                Service::Srv(Transport::Tcp, "_sip._tcp.example.com".into()),
                Service::Srv(Transport::Tcp, "_sip2._tcp.example.com".into()),
                Service::Addresses(Transport::Udp, "host.example.com".into()),
                Service::Srv(Transport::Udp, "_sip._udp.example.com".into()),
            ]
        );
        assert_eq!(services(records, &[Transport::Udp]).len(), 2);
        assert_eq!(srv_name(Transport::Tls, "example.com"), "_sips._tcp.example.com");
    }
}
