//! All accounts, and which of them a request is for.
//!
//! Each question is answered by a look-up, however many accounts there are: every request from the network asks one.

use std::collections::HashMap;
use std::net::IpAddr;

use super::account::{Account, AccountId, Line};
use super::flows::FURTHER;
use super::policy::Network;
use crate::sip::identity::{same_number, significant_end};
use crate::sip::uri::Uri;

/// The user part of the Contact of an account without one of its own.
const NOBODY: &str = "sidetone";

/// All accounts and their further flows; they are never removed, nor do they forget a peer.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    lines: Vec<Line>,
    /// Further flows, whose ids begin at [`FURTHER`]; requests are found to be for their accounts.
    further: Vec<Line>,
    /// By the user part of the Contacts that they give out, each of which is one account's only.
    users: HashMap<String, AccountId>,
    /// By user and host of the address of record: the first of those that share one.
    aors: HashMap<String, AccountId>,
    /// Those that share the address of record of a first one.
    twins: HashMap<AccountId, Vec<AccountId>>,
    /// By what their numbers end in.
    numbers: HashMap<String, Vec<AccountId>>,
    /// The first account with a peer at the address.
    peers: HashMap<IpAddr, AccountId>,
    /// The first account that allows the network.
    networks: Vec<(Network, AccountId)>,
}

impl Accounts {
    pub(crate) fn add(&mut self, account: Account) -> AccountId {
        let id = AccountId(u32::try_from(self.lines.len()).unwrap_or(u32::MAX));
        let user = account.aor.user().map_or_else(|| NOBODY.to_owned(), |user| user.into_owned());
        let mut contact_user = user.clone();
        while self.users.contains_key(&contact_user) {
            contact_user = format!("{user}-{}{}", id.0, contact_user.get(user.len()..).unwrap_or_default());
        }
        self.users.insert(contact_user.clone(), id);
        if let Some(place) = place(&account.aor) {
            let first = *self.aors.entry(place).or_insert(id);
            if first != id {
                self.twins.entry(first).or_default().push(id);
            }
        }
        for number in &account.numbers {
            self.numbers.entry(significant_end(number)).or_default().push(id);
        }
        for network in &account.sources {
            if !self.networks.iter().any(|(known, _)| known == network) {
                self.networks.push((*network, id));
            }
        }
        self.lines.push(Line::new(account, contact_user));
        id
    }

    pub(super) fn insert_flow(&mut self, flow: Line) -> AccountId {
        self.further.push(flow);
        AccountId(FURTHER + (self.further.len() - 1) as u32)
    }

    pub(crate) fn get(&self, id: AccountId) -> Option<&Line> {
        match id.0.checked_sub(FURTHER) {
            Some(place) => self.further.get(place as usize),
            None => self.lines.get(id.0 as usize),
        }
    }

    pub(crate) fn get_mut(&mut self, id: AccountId) -> Option<&mut Line> {
        match id.0.checked_sub(FURTHER) {
            Some(place) => self.further.get_mut(place as usize),
            None => self.lines.get_mut(id.0 as usize),
        }
    }

    /// All flows of all accounts.
    pub(crate) fn ids(&self) -> impl Iterator<Item = AccountId> + use<> {
        let further = FURTHER..FURTHER + self.further.len() as u32;
        (0..self.lines.len() as u32).chain(further).map(AccountId)
    }

    /// A server of the account is at `peer`: requests from there may be for it.
    pub(crate) fn note_peer(&mut self, id: AccountId, peer: IpAddr) {
        let (id, peer) = (self.owner(id), peer.to_canonical());
        if self.get_mut(id).is_some_and(|line| line.note_peer(peer)) {
            let first = self.peers.entry(peer).or_insert(id);
            *first = id.min(*first);
        }
    }

    /// Is a peer of some account at `ip`, or does one allow it?
    pub(crate) fn knows(&self, ip: IpAddr) -> bool {
        self.from(ip.to_canonical()).is_some()
    }

    /// The account that a request to `uri` (and `to`) from `source` is for: by the Contact that we gave out, by the
    /// address of record, by the peer it came from, and last by the user alone.
    pub(crate) fn claim(&self, uri: &Uri, to: &Uri, source: IpAddr) -> Option<AccountId> {
        let source = source.to_canonical();
        let user = uri.user();
        let line = |id: &AccountId| self.get(*id);
        let by_user = user.as_deref().and_then(|user| self.users.get(user)).copied();
        let host = uri.host().and_then(|host| host.ip());
        let is_at = |id: &AccountId| line(id).zip(host).is_some_and(|(line, ip)| line.is_at(ip, uri.port()));
        let by_contact = |id: &AccountId| self.flows(*id).iter().any(is_at);
        let is_source = |id: &AccountId| line(id).is_some_and(|line| line.is_source(source));
        // Of several accounts with one address where it comes from tells which is called.
        let by_aor = |uri: &Uri| {
            let first = *self.aors.get(&place(uri)?)?;
            let mut others = self.twins.get(&first).into_iter().flatten().copied();
            Some(if is_source(&first) { first } else { others.find(is_source).unwrap_or(first) })
        };
        by_user
            .filter(by_contact)
            .or_else(|| by_aor(uri))
            .or_else(|| by_user.filter(is_source))
            // Of two accounts at one carrier the number tells which is called.
            .or_else(|| {
                let user = user.as_deref()?;
                let own = |id: &&AccountId| {
                    is_source(id)
                        && line(id).is_some_and(|line| line.account.numbers.iter().any(|own| same_number(own, user)))
                };
                self.numbers.get(&significant_end(user))?.iter().find(own).copied()
            })
            .or_else(|| self.from(source))
            .or_else(|| by_user.into_iter().chain(by_aor(to)).min())
    }

    /// The first account that requests from `ip` may be for.
    fn from(&self, ip: IpAddr) -> Option<AccountId> {
        let allowed = self.networks.iter().filter(|(network, _)| network.contains(ip)).map(|(_, id)| *id);
        self.peers.get(&ip).copied().into_iter().chain(allowed).min()
    }
}

/// User and host of a SIP URI.
fn place(uri: &Uri) -> Option<String> {
    let uri = uri.sip()?;
    let mut place = uri.host.to_string();
    place.make_ascii_lowercase();
    if let Some(user) = uri.user_text() {
        // A line end stands in no host.
        place.push('\n');
        place.push_str(&user);
    }
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    fn accounts(aors: &[&str]) -> Accounts {
        let mut accounts = Accounts::default();
        for aor in aors {
            accounts.add(Account::new(uri(aor)));
        }
        accounts
    }

    #[test]
    fn every_account_has_a_contact_of_its_own() {
        let accounts = accounts(&["sip:bob@a", "sip:bob-2@a", "sip:bob@b", "sip:c", "sip:d"]);
        let users: Vec<&str> = accounts.lines.iter().map(|line| line.contact_user.as_str()).collect();
        assert_eq!(users, ["bob", "bob-2", "bob-2-2", "sidetone", "sidetone-4"]);
    }

    #[test]
    fn a_request_finds_its_account() {
        let mut accounts = accounts(&["sip:ann@a.example", "sip:bob@b.example", "sip:ann@B.example"]);
        let mut trunk = Account::new(uri("sip:trunk@c.example"));
        trunk.numbers = vec!["+15550100001".into()];
        trunk.sources = vec!["192.0.2.0/24".parse().unwrap()];
        let trunk = accounts.add(trunk);
        let mut second = Account::new(uri("sip:second@c.example"));
        second.numbers = vec!["+15550100002".into()];
        second.sources = vec!["192.0.2.0/24".parse().unwrap()];
        let second = accounts.add(second);
        accounts.note_peer(AccountId(2), "203.0.113.1".parse().unwrap());
        accounts.note_peer(AccountId(1), "::ffff:203.0.113.1".parse().unwrap());
        let rows = [
            ("sip:ann@b.example", "198.51.100.1", Some(AccountId(2))),
            ("sip:%61nn@A.example", "198.51.100.1", Some(AccountId(0))),
            ("sip:bob@10.0.0.1", "203.0.113.1", Some(AccountId(1))),
            ("sip:ann-2@10.0.0.1", "203.0.113.1", Some(AccountId(2))),
            ("sip:nobody@10.0.0.1", "203.0.113.1", Some(AccountId(1))),
            ("sip:5550100002@10.0.0.1", "192.0.2.7", Some(second)),
            ("sip:+15550100001@10.0.0.1", "192.0.2.7", Some(trunk)),
            ("sip:+15550100009@10.0.0.1", "192.0.2.7", Some(trunk)),
            ("sip:5550100002@10.0.0.1", "198.51.100.1", None),
            ("sip:bob@10.0.0.1", "198.51.100.1", Some(AccountId(1))),
            ("tel:+15550100001", "198.51.100.1", None),
        ];
        for (target, source, account) in rows {
            let found = accounts.claim(&uri(target), &uri("sip:x@y"), source.parse().unwrap());
            assert_eq!(found, account, "{target} from {source}");
        }
        let to = accounts.claim(&uri("sip:x@10.0.0.1"), &uri("sip:bob@b.example"), "198.51.100.1".parse().unwrap());
        assert_eq!(to, Some(AccountId(1)));
        let mut twin = Account::new(uri("sip:second@c.example"));
        twin.sources = vec!["198.51.100.0/24".parse().unwrap()];
        let twin = accounts.add(twin);
        for (source, account) in [("192.0.2.7", second), ("198.51.100.9", twin), ("203.0.113.9", second)] {
            let found = accounts.claim(&uri("sip:second@c.example"), &uri("sip:x@y"), source.parse().unwrap());
            assert_eq!(found, Some(account), "{source}");
        }
        assert!(accounts.knows("192.0.2.200".parse().unwrap()) && accounts.knows("203.0.113.1".parse().unwrap()));
        assert!(!accounts.knows("203.0.113.9".parse().unwrap()));
    }
}
