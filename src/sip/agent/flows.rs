//! Further flows of an account (RFC 5626 section 4.2): while its registrar keeps flows, it is registered by several
//! servers at once, and stays so when one of them is lost.
//!
//! ```text
//!  account ──▶ reg-id 1 ──▶ first server ──┐  the first to say `Require: outbound` brings the others
//!      ├─────▶ reg-id 2 ──▶ another one ───┼─▶ one binding for each, same instance; the account is registered while any is
//!      └─────▶ reg-id 3 ──▶ a third one ───┘  each heals by itself; calls go out by those that live
//! ```
//!
//! A further flow is a [`Line`] of its own, which nobody but the registrations sees.

use super::account::{AccountId, Line};
use super::directory::Accounts;
use super::{Agent, Exchange};
use crate::sip::hop::{Hop, Transport};
use crate::sip::registration::{Registration, State};
use crate::time::Instant;
use std::net::SocketAddr;

/// Most flows of one account (RFC 5626 section 4.2: sets of up to four proxies should be supported).
pub const MOST: u8 = 4;

/// The ids of further flows begin here: those of accounts are counted from zero without a gap.
pub(super) const FURTHER: u32 = 1 << 31;

/// The further flows of an account.
#[derive(Debug, Default)]
pub(crate) struct Further {
    flows: Vec<AccountId>,
    /// How the account stood when that was told last.
    told: Option<State>,
}

impl Accounts {
    /// The account that a flow belongs to.
    pub(crate) fn owner(&self, id: AccountId) -> AccountId {
        self.get(id).and_then(|line| line.owner).unwrap_or(id)
    }

    /// All flows of the account that `id` is one of, in the order of their reg-ids.
    pub(crate) fn flows(&self, id: AccountId) -> Vec<AccountId> {
        let owner = self.owner(id);
        let further = self.get(owner).and_then(|line| line.further.as_deref());
        std::iter::once(owner).chain(further.into_iter().flat_map(|further| further.flows.iter().copied())).collect()
    }

    /// The flow of an account that is registered, the first of them if none is.
    pub(crate) fn living(&self, id: AccountId) -> Option<&Line> {
        let line = self.get(id)?;
        if line.further.is_none() && line.owner.is_none() {
            return Some(line);
        }
        let flows = self.flows(id);
        let mut lines = flows.iter().filter_map(|flow| self.get(*flow));
        lines.find(|line| line.is_registered()).or_else(|| self.get(self.owner(id)))
    }

    /// The flow of an account that leads over `hop`, else one that is registered.
    pub(crate) fn flow_over(&self, id: AccountId, hop: Hop) -> Option<&Line> {
        let over = |line: &&Line| line.is_registered() && line.home.is_some_and(|home| place(home) == place(hop));
        let line = self.get(id)?;
        if line.further.is_none() || over(&line) {
            return Some(line);
        }
        let flows = self.flows(id);
        flows.iter().filter_map(|flow| self.get(*flow)).find(over).or_else(|| self.living(id))
    }

    /// How an account stands, all its flows together: registered while one is.
    pub(crate) fn state(&self, id: AccountId) -> State {
        let flows = self.flows(id);
        let states = || flows.iter().filter_map(|flow| self.get(*flow)).map(Line::state);
        let first = |wanted: fn(&State) -> bool| states().find(wanted);
        // Bindings are only ever taken back all together.
        first(|state| matches!(state, State::Unregistering))
            .or_else(|| first(|state| matches!(state, State::Registered { .. })))
            .or_else(|| first(|state| matches!(state, State::Registering)))
            .or_else(|| first(|state| matches!(state, State::Failed { .. })))
            .unwrap_or(State::Unregistered)
    }

    /// Where the other flows of its account are, or try to be: two over the same addresses would be one.
    pub(super) fn taken(&self, id: AccountId) -> Vec<(Transport, SocketAddr)> {
        let others = self.flows(id).into_iter().filter(|flow| *flow != id);
        let hop = |line: &Line| match line.state() {
            State::Registered { .. } => line.home,
            State::Registering => line.ways.first().copied(),
            _ => None,
        };
        others.filter_map(|flow| hop(self.get(flow)?)).map(place).collect()
    }

    /// Is another flow of the account registered?
    pub(super) fn has_company(&self, id: AccountId) -> bool {
        let mut others = self.flows(id).into_iter().filter(|flow| *flow != id);
        others.any(|flow| self.get(flow).is_some_and(Line::is_registered))
    }

    /// Does the account want a further flow, now that this one is registered?
    fn wants_another(&self, id: AccountId) -> bool {
        let Some(line) = self.get(id).filter(|line| line.owner.is_none() && line.is_registered()) else { return false };
        let proxies = u8::try_from(line.account.outbound_proxies.len()).unwrap_or(MOST);
        let wanted = line.account.flows.unwrap_or(proxies).clamp(1, MOST);
        line.registration.as_ref().is_some_and(|registration| registration.keeps_flow())
            && self.flows(id).len() < usize::from(wanted)
    }
}

impl Line {
    pub(crate) fn is_registered(&self) -> bool {
        matches!(self.registration.as_ref().map(|registration| registration.state()), Some(State::Registered { .. }))
    }
}

impl Agent {
    /// An account whose registrar keeps flows is registered by further ones too.
    pub(super) fn widen(&mut self, now: Instant, id: AccountId) {
        while self.exchange.accounts.wants_another(id) {
            let Some(flow) = self.exchange.accounts.add_flow(id) else { return };
            if self.exchange.start_registration(flow).is_err() {
                return;
            }
            self.drive_registration(now, flow, |registration| registration.register(now));
        }
    }

    /// Works on the registrations of all flows of an account.
    pub(super) fn drive_flows(&mut self, now: Instant, id: AccountId, work: impl Fn(&mut Registration)) {
        for flow in self.exchange.accounts.flows(id) {
            self.drive_registration(now, flow, &work);
        }
    }
}

impl Exchange {
    /// What is to be told of an account one of whose flows is in `state` now; nothing if that changes nothing for it.
    pub(super) fn news_of(&mut self, id: AccountId, state: State) -> Option<State> {
        let owner = self.accounts.owner(id);
        let whole = self.accounts.state(owner);
        let Some(further) = self.accounts.get_mut(owner)?.further.as_deref_mut() else { return Some(state) };
        let news = match (&further.told, &whole) {
            // Which of them keeps it registered is no news, unless calls come by another address.
            (Some(State::Registered { contact: before, .. }), State::Registered { contact, .. }) => before != contact,
            (told, whole) => told.as_ref() != Some(whole),
        };
        further.told = Some(whole.clone());
        news.then_some(whole)
    }
}

impl Accounts {
    /// Adds a flow to an account.
    fn add_flow(&mut self, owner: AccountId) -> Option<AccountId> {
        let told = Some(self.state(owner));
        let line = self.get(owner)?;
        let mut flow = Line::new(line.account.clone(), line.contact_user.clone());
        flow.owner = Some(owner);
        let id = self.insert_flow(flow);
        let further = self.get_mut(owner)?.further.get_or_insert_with(|| Box::new(Further { flows: Vec::new(), told }));
        further.flows.push(id);
        Some(id)
    }

    /// The reg-id of a flow.
    pub(super) fn reg_id(&self, id: AccountId) -> u8 {
        let place = self.flows(id).iter().position(|flow| *flow == id);
        place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(1)
    }
}

/// What tells two servers apart.
fn place(hop: Hop) -> (Transport, SocketAddr) {
    (hop.transport, hop.remote)
}
