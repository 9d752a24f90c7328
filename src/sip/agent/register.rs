//! Registrations: one per account, driven here (the machine is [`crate::sip::registration`]).

use super::account::{AccountId, Line};
use super::output::{Event, ResolveError};
use super::policy::KeepAlive;
use super::refused::Refused;
use super::sent::{Purpose, Sent};
use super::{Agent, Errand, Exchange};
use crate::sip::header::Name;
use crate::sip::hop::{Hop, Transport};
use crate::sip::keepalive::{self, Technique};
use crate::sip::message::{Response, Status};
use crate::sip::registration::{Config, Failure, Output, Registration, State};
use crate::sip::transaction::ClientId;
use crate::sip::uri::{SipUri, Uri};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// How long the ways to a registrar are used without a new look: for the steps of one attempt. The next refresh asks
/// again, so that a changed DNS is followed within the lifetimes of its answers.
const FRESH: Duration = Duration::from_secs(10);

impl Agent {
    /// Registers and keeps registered, until [`Agent::unregister`]; [`Event::Registration`] tells how it goes. A wait for
    /// the next attempt ends at once.
    pub fn register(&mut self, now: Instant, account: AccountId) -> Result<(), Refused> {
        self.exchange.start_registration(account)?;
        self.drive_flows(now, account, |registration| registration.register(now));
        self.settle_news(now);
        Ok(())
    }

    /// Takes the binding back, and stays unregistered.
    pub fn unregister(&mut self, now: Instant, account: AccountId) -> Result<(), Refused> {
        self.exchange.accounts.get(account).ok_or(Refused::NoAccount(account))?;
        self.drive_flows(now, account, |registration| registration.unregister(now));
        self.settle_news(now);
        Ok(())
    }

    /// The registrar was looked up.
    pub(super) fn registrar_found(&mut self, now: Instant, account: AccountId, found: Result<Vec<Hop>, ResolveError>) {
        let taken = self.exchange.accounts.taken(account);
        let found = found.map(|mut ways| {
            ways.retain(|way| !taken.contains(&(way.transport, way.remote)));
            ways
        });
        let failure = match found {
            Ok(ways) if !ways.is_empty() => {
                if let Some(line) = self.exchange.accounts.get_mut(account) {
                    (line.ways, line.looked_up) = (ways, now);
                }
                self.send_register(now, account);
                return self.drive_registration(now, account, |_| {});
            }
            // The name server fails, which is no reason to leave a registrar that may be well.
            Err(_) if self.exchange.accounts.get(account).is_some_and(|line| !line.ways.is_empty()) => {
                if let Some(line) = self.exchange.accounts.get_mut(account) {
                    line.looked_up = now;
                }
                self.send_register(now, account);
                return self.drive_registration(now, account, |_| {});
            }
            Ok(_) if !taken.is_empty() => Failure::Unresolved("there is no further server for another flow".into()),
            Ok(_) => Failure::Unresolved("no address found for the registrar; check its name".into()),
            Err(error) => Failure::Unresolved(error.to_string()),
        };
        self.drive_registration(now, account, |registration| registration.handle_failure(now, failure));
    }

    /// A response to a REGISTER, or the 408 or 503 that stands for none (without a source).
    pub(super) fn registrar_answered(
        &mut self,
        now: Instant,
        account: AccountId,
        id: ClientId,
        source: Option<Hop>,
        response: Response,
    ) {
        if response.status.is_provisional() {
            return;
        }
        let Some(sent) = self.exchange.forget(id) else { return };
        let Some(line) = self.exchange.accounts.get_mut(account) else { return };
        line.refusal = (source.is_some() && !response.status.is_success()).then(|| Box::new(response.clone()));
        if source.is_none() || response.status == Status::SERVICE_UNAVAILABLE {
            let taken = self.exchange.accounts.taken(account);
            let Some(line) = self.exchange.accounts.get_mut(account) else { return };
            line.ways.retain(|way| *way != sent.hop && !taken.contains(&(way.transport, way.remote)));
            self.exchange.punish(now, sent.hop, &response);
            let Some(line) = self.exchange.accounts.get_mut(account) else { return };
            if !line.ways.is_empty()
                && line.registration.as_mut().is_some_and(|registration| registration.ask_again(now))
            {
                self.send_register(now, account);
                return self.drive_registration(now, account, |_| {});
            }
        } else {
            line.note_realms(&response);
            self.exchange.accounts.note_peer(account, sent.hop.remote.ip());
        }
        let trouble = self.exchange.trouble.clone().map_or(Failure::Transport, Failure::Untrusted);
        let timer = response.headers.get(&Name::of("Flow-Timer")).and_then(|value| value.trim().parse().ok());
        self.readdress(|agent| {
            agent.drive_registration(now, account, |registration| match source {
                Some(_) => registration.handle_response(now, &response),
                None if response.status == Status::REQUEST_TIMEOUT => {
                    registration.handle_failure(now, Failure::Timeout);
                }
                None => registration.handle_failure(now, trouble),
            });
        });
        if self.exchange.accounts.get(account).is_some_and(Line::is_registered) {
            self.exchange.settle_home(now, account, sent.hop);
        }
        self.exchange.watch_flow(now, account, sent.hop, timer.map(Duration::from_secs));
        self.widen(now, account);
    }

    /// A connection broke: who was registered by it does so again at once (RFC 5626 section 4.4.1).
    pub(super) fn flow_lost(&mut self, now: Instant, hop: Hop) {
        // A datagram that comes back says little: the next one may arrive.
        if hop.transport != Transport::Udp {
            self.flow_failed(now, hop);
        }
    }

    /// The far end of a flow is gone.
    fn flow_failed(&mut self, now: Instant, hop: Hop) {
        let same = |way: &Hop| way.transport == hop.transport && way.remote == hop.remote;
        for id in self.exchange.accounts.ids() {
            let Some(line) = self.exchange.accounts.get_mut(id) else { continue };
            let registered = line.is_registered();
            let way = if registered { line.home } else { line.ways.first().copied() };
            let Some(way) = way.filter(same) else { continue };
            self.exchange.keepalives.forget(way);
            if registered {
                if let Some(line) = self.exchange.accounts.get_mut(id) {
                    line.ways.clear();
                }
                self.drive_registration(now, id, |registration| registration.register(now));
            }
        }
    }

    /// Sends what keeps flows open, and gives up those that are dead.
    pub(super) fn keep_alive(&mut self, now: Instant) {
        self.exchange.keepalives.handle_timeout(now);
        while let Some(output) = self.exchange.keepalives.poll_output() {
            match output {
                keepalive::Output::Ping(hop) => self.exchange.transmit(hop, keepalive::PING.into()),
                keepalive::Output::Binding(hop, id) => self.exchange.ask_binding(hop, id),
                keepalive::Output::Dead(hop) => {
                    self.exchange.disconnect(hop);
                    self.exchange.transport_error(now, hop);
                    // It was silent: whoever else can serve comes first.
                    self.exchange.penalties.punish(now, hop, None);
                    self.flow_failed(now, hop);
                }
                keepalive::Output::Moved(hop, mapped) => self.flow_moved(now, hop, mapped),
            }
        }
    }

    /// The far side of `hop` sees us elsewhere than before: who is registered by it registers its new contact at once
    /// (RFC 5626 section 4.4.2).
    fn flow_moved(&mut self, now: Instant, hop: Hop, mapped: SocketAddr) {
        for id in self.exchange.accounts.ids() {
            let Some(line) = self.exchange.accounts.get(id) else { continue };
            if line.home == Some(hop) && line.is_registered() {
                self.readdress(|agent| {
                    agent.drive_registration(now, id, |registration| {
                        registration.moved(hop, mapped);
                        registration.register(now);
                    });
                });
            }
        }
    }

    pub(super) fn registration_timeouts(&mut self, now: Instant) {
        while let Some(id) = self.registrations.due(now) {
            self.drive_registration(now, id, |registration| registration.handle_timeout(now));
        }
    }

    /// Works on a registration, then does what it asks for.
    pub(super) fn drive_registration(
        &mut self,
        now: Instant,
        account: AccountId,
        work: impl FnOnce(&mut Registration),
    ) {
        fn machine(ex: &mut Exchange, account: AccountId) -> Option<&mut Registration> {
            ex.accounts.get_mut(account)?.registration.as_deref_mut()
        }
        let company = self.exchange.accounts.has_company(account);
        let Some(registration) = machine(&mut self.exchange, account) else { return };
        registration.keep_company(company);
        work(registration);
        while let Some(output) = machine(&mut self.exchange, account).and_then(Registration::poll_output) {
            match output {
                Output::Changed(state) => self.exchange.registration_changed(account, state),
                Output::Send => self.send_register(now, account),
            }
        }
        self.settle_registration(account);
    }

    /// Notes when the registration of an account wants to be called next.
    fn settle_registration(&mut self, id: AccountId) {
        let Some(line) = self.exchange.accounts.get_mut(id) else { return };
        let next = line.registration.as_ref().and_then(|registration| registration.poll_timeout());
        let old = std::mem::replace(&mut line.noted, next);
        self.registrations.change(id, old, next);
    }

    /// Sends the REGISTER by the best way, or looks for one.
    fn send_register(&mut self, now: Instant, account: AccountId) {
        let Some(line) = self.exchange.accounts.get_mut(account) else { return };
        let Some(registration) = &mut line.registration else { return };
        if line.ways.is_empty() || now >= line.looked_up + FRESH {
            let registrar = registration.registrar().clone();
            match line.targets(&line.preloaded(), &registrar) {
                Ok(targets) => self.exchange.find(now, Some(account), targets, Errand::Register(account)),
                Err(error) => {
                    if let Some(registration) = &mut line.registration {
                        registration.handle_failure(now, Failure::Unresolved(error.to_string()));
                    }
                }
            }
            return;
        }
        let ways = line.ways.clone();
        let request = ways.first().and_then(|way| registration.request(now, *way));
        let Some(sent) =
            request.and_then(|request| Sent::new(Purpose::Register(account), Some(account), request, ways))
        else {
            return;
        };
        if self.exchange.send(now, sent).is_err()
            && let Some(registration) =
                self.exchange.accounts.get_mut(account).and_then(|line| line.registration.as_mut())
        {
            registration.handle_failure(now, Failure::Transport);
        }
    }
}

impl Exchange {
    /// Makes the registration of an account, unless it has one.
    pub(super) fn start_registration(&mut self, id: AccountId) -> Result<(), Refused> {
        let (random, reg_id) = (self.random.split(), self.accounts.reg_id(id));
        let line = self.accounts.get_mut(id).ok_or(Refused::NoAccount(id))?;
        if line.registration.is_some() {
            return Ok(());
        }
        let account = &line.account;
        let aor = account.aor.sip().ok_or_else(|| Refused::Target(account.aor.to_string()))?;
        let domain = || Uri::from(SipUri { secure: aor.secure, ..SipUri::new(None, aor.host.clone(), aor.port) });
        let registrar = account.registrar.clone().unwrap_or_else(domain);
        let route = line.preloaded();
        let next = route.first().map_or(&registrar, |route| &route.uri);
        line.targets(&route, &registrar).map_err(|_| Refused::Target(next.to_string()))?;
        let mut registration = Registration::new(
            Config {
                aor: account.aor.clone(),
                display: account.display.clone(),
                registrar,
                route,
                user: line.contact_user.clone(),
                expires: account.expires,
                refresh: account.refresh,
                credentials: line.client.as_ref().map(|client| client.credentials().clone()),
                instance: account.instance.clone(),
                outbound: true,
                reg_id,
                headers: self.register_headers.clone(),
            },
            random,
        );
        registration.set_public(self.public.clone());
        line.registration = Some(Box::new(registration));
        Ok(())
    }

    fn registration_changed(&mut self, account: AccountId, state: State) {
        if !matches!(state, State::Registered { .. })
            && let Some(line) = self.accounts.get(account)
        {
            // Other accounts may share the flow; they watch it again with their next refresh at the latest.
            for way in line.ways.clone() {
                self.keepalives.forget(way);
            }
        }
        if let Some(state) = self.news_of(account, state) {
            self.tell(Event::Registration { account: self.accounts.owner(account), state });
        }
    }

    /// Keeps the flow of a registration open as long as the binding lives.
    fn watch_flow(&mut self, now: Instant, account: AccountId, hop: Hop, timer: Option<Duration>) {
        let Some(line) = self.accounts.get(account) else { return };
        let wanted = line.account.keepalive;
        if let State::Registered { expires, .. } = line.state()
            && self.config.keepalive
            && wanted != KeepAlive::Off
        {
            let answers = timer.is_some() || line.registration.as_deref().is_some_and(Registration::keeps_flow);
            let technique = match wanted {
                KeepAlive::Standard | KeepAlive::Every(_) if answers => Technique::Stun,
                KeepAlive::Standard | KeepAlive::Every(_) | KeepAlive::Crlf | KeepAlive::Off => Technique::Crlf,
                KeepAlive::Stun => Technique::Stun,
            };
            self.keepalives.watch(now, hop, expires, technique, timer);
            if let KeepAlive::Every(interval) = wanted {
                self.keepalives.hasten(now, hop, interval);
            }
        }
    }
}
