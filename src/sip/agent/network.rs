//! The network changed under us: registrations are renewed by the way that is there now, calls are told to move.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::Agent;
use super::account::AccountId;
use super::output::{Event, SessionId};
use crate::sip::hop::Hop;
use crate::sip::registration::State;
use crate::time::Instant;

impl Agent {
    /// The peers that matter now, each with the address of ours that is in use for it.
    pub fn peers(&self) -> BTreeMap<IpAddr, IpAddr> {
        let accounts = &self.exchange.accounts;
        let homes = accounts.ids().filter_map(|id| accounts.get(id)?.home.or(accounts.get(id)?.ways.first().copied()));
        let dialogs = self.sessions.values().filter_map(|session| session.flow());
        homes.chain(dialogs).map(|hop| (hop.remote.ip(), hop.local.ip())).collect()
    }

    /// Our address on the way to `remote` is another one now, or there is a way again, or there is none (`local` absent).
    ///
    /// A way that is there tells more than its own registrations: whoever waits for a next attempt tries at once.
    pub fn handle_route(&mut self, now: Instant, remote: IpAddr, local: Option<IpAddr>) {
        // Without a way nothing can be done; what is sent meanwhile fails by itself.
        let Some(local) = local else { return };
        self.exchange.penalties.clear();
        for account in self.exchange.accounts.ids() {
            self.renew_registration(now, account, remote);
        }
        let moved: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.flow().is_some_and(|hop| hop.remote.ip() == remote))
            .map(|(id, _)| *id)
            .collect();
        for id in moved {
            let old = self.with_session(id, |session, _| session.move_to(local)).flatten();
            if let Some(old) = old {
                self.drop_flow(old);
                self.exchange.tell(Event::Moved { session: id, local });
            }
        }
        self.settle_news(now);
    }

    fn renew_registration(&mut self, now: Instant, account: AccountId, remote: IpAddr) {
        let Some(line) = self.exchange.accounts.get(account) else { return };
        let flow = line.home.or(line.ways.first().copied()).filter(|hop| hop.remote.ip() == remote);
        let waits = matches!(line.state(), State::Failed { .. });
        if flow.is_none() && !waits {
            return;
        }
        if let Some(flow) = flow {
            self.drop_flow(flow);
            self.exchange.keepalives.forget(flow);
        }
        if let Some(line) = self.exchange.accounts.get_mut(account) {
            line.ways.clear();
        }
        self.exchange.forget_register(account);
        self.drive_registration(now, account, |registration| registration.renew(now));
    }

    /// A connection that was made from an address that is gone leads nowhere, and nobody will say so.
    fn drop_flow(&mut self, hop: Hop) {
        if hop.transport.reliable() {
            self.exchange.disconnect(hop);
        }
    }
}

/// The same hop from another address of ours.
pub(crate) fn from_there(hop: Hop, local: IpAddr) -> Hop {
    Hop { local: SocketAddr::new(local, hop.local.port()), ..hop }
}
