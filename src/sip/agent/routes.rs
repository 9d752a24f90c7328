//! The way out of an account: its proxies, its pre-loaded routes, and those that the registrar gave it.

use std::collections::VecDeque;

use super::Agent;
use super::account::{AccountId, Line};
use super::exchange::{Errand, Exchange};
use super::output::ResolveError;
use crate::sip::hop::Hop;
use crate::sip::name_addr::NameAddr;
use crate::sip::registration::State;
use crate::sip::target::{Target, Unreachable};
use crate::sip::uri::Uri;
use crate::time::{Duration, Instant};

/// How long further proxies of a list are looked for once one is found.
pub(super) const FURTHER: Duration = Duration::from_secs(1);

/// A list of proxies that is being looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    account: AccountId,
    /// Which proxy is asked for now, and those after it.
    nth: usize,
    rest: VecDeque<Target>,
    pub(super) found: Vec<Hop>,
    error: Option<ResolveError>,
    /// What all this is for.
    errand: Errand,
}

impl Line {
    /// The pre-loaded Route of a REGISTER (RFC 3261 section 8.1.1.1): the outbound proxy and what comes behind it, always
    /// as loose routers.
    pub(crate) fn preloaded(&self) -> Vec<NameAddr> {
        let account = &self.account;
        account.outbound_proxies.first().into_iter().chain(&account.routes).map(loose).collect()
    }

    /// The pre-loaded Route of every other request outside a dialog: the same, and then the Service-Route that the
    /// registrar gave us (RFC 3608 section 5), which may begin with our proxy.
    pub(crate) fn routes(&self) -> Vec<NameAddr> {
        let mut routes = self.preloaded();
        if let Some(registration) = &self.registration
            && matches!(registration.state(), State::Registered { .. })
        {
            let ours: Vec<&Uri> = self.account.outbound_proxies.iter().chain(&self.account.routes).collect();
            let known = |route: &&NameAddr| ours.iter().any(|ours| same_place(ours, &route.uri));
            routes.extend(registration.service_route().iter().filter(|route| !known(route)).cloned());
        }
        routes
    }

    /// Where a request for `uri` with these routes may be sent: to each of the proxies; else the first route; else `uri`.
    pub(crate) fn targets(&self, routes: &[NameAddr], uri: &Uri) -> Result<Vec<Target>, Unreachable> {
        let transport = self.account.transport;
        if self.account.outbound_proxies.is_empty() {
            return Ok(vec![Target::of(routes.first().map_or(uri, |route| &route.uri), transport)?]);
        }
        self.account.outbound_proxies.iter().map(|proxy| Target::of(proxy, transport)).collect()
    }

    /// The Route entry of the proxy that `hop` leads to, where there are several.
    pub(super) fn proxy_at(&self, hop: Hop) -> Option<NameAddr> {
        let place = (hop.transport, hop.remote);
        let (_, nth) = self.proxies.iter().find(|(known, _)| *known == place)?;
        self.account.outbound_proxies.get(*nth).map(loose)
    }

    fn note_proxy(&mut self, nth: usize, hops: &[Hop]) {
        self.proxies.retain(|(_, known)| *known != nth);
        for hop in hops {
            let place = (hop.transport, hop.remote);
            if !self.proxies.iter().any(|(known, _)| *known == place) {
                self.proxies.push((place, nth));
            }
        }
    }
}

/// A loose router, whether or not the user wrote `;lr`: strict ones are of RFC 2543.
fn loose(uri: &Uri) -> NameAddr {
    let mut uri = uri.clone();
    if let Some(uri) = uri.sip_mut()
        && !uri.loose_route()
    {
        uri.params.set_flag("lr");
    }
    NameAddr::new(uri)
}

fn same_place(one: &Uri, two: &Uri) -> bool {
    let same_host = one.host().zip(two.host()).is_some_and(|(one, two)| one.equivalent(two));
    same_host && one.port() == two.port()
}

impl Exchange {
    /// Asks where `targets` are: alternatives in their order, all of which come back as one list with `errand`.
    pub(crate) fn find(&mut self, now: Instant, account: Option<AccountId>, targets: Vec<Target>, errand: Errand) {
        let mut rest = VecDeque::from(targets);
        let Some(first) = rest.pop_front() else { return };
        let errand = match account {
            Some(account) if !rest.is_empty() => {
                Errand::Proxies(Box::new(Search { account, nth: 0, rest, found: Vec::new(), error: None, errand }))
            }
            _ => errand,
        };
        self.resolve(now, first, errand);
    }
}

impl Agent {
    /// One proxy of a list was looked up.
    pub(super) fn proxy_found(&mut self, now: Instant, mut search: Search, found: Result<Vec<Hop>, ResolveError>) {
        match found {
            Ok(hops) => {
                if let Some(line) = self.exchange.accounts.get_mut(search.account) {
                    line.note_proxy(search.nth, &hops);
                }
                let known = std::mem::take(&mut search.found);
                search.found =
                    known.iter().copied().chain(hops.into_iter().filter(|hop| !known.contains(hop))).collect();
            }
            Err(error) => {
                search.error.get_or_insert(error);
            }
        }
        search.nth += 1;
        if let Some(next) = search.rest.pop_front() {
            self.exchange.resolve(now, next, Errand::Proxies(Box::new(search)));
            return;
        }
        let found = match search.error {
            Some(error) if search.found.is_empty() => Err(error),
            _ => Ok(search.found),
        };
        self.run_errand(now, search.errand, found);
    }
}
