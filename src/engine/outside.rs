//! What an engine does outside of calls: texts, watched peers, mailboxes.

use super::address::bare;
use super::{Engine, Output, Refused};
use crate::sip::agent::{AccountId, News, OutsideId};
use crate::sip::uri::Uri;
use crate::time::{Duration, Instant};

/// Something that happened outside of calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Aside {
    /// With which account; none for a message to nobody whom we know.
    pub account: Option<AccountId>,
    /// Its address of record.
    pub aor: Option<String>,
    /// What.
    pub news: News,
}

impl Engine {
    /// Sends a text (RFC 3428); whether it arrives is told.
    ///
    /// # Errors
    /// When the account does not exist, the target cannot be reached by SIP, or the text is too long.
    pub fn message(&mut self, now: Instant, account: AccountId, to: &Uri, text: &str) -> Result<OutsideId, Refused> {
        let id = self.agent.message(now, account, to, text)?;
        self.pump(now);
        Ok(id)
    }

    /// Asks a peer by OPTIONS every so often whether it is there; the account's own domain when absent.
    ///
    /// # Errors
    /// When the account does not exist, or the target cannot be reached by SIP.
    pub fn watch(
        &mut self,
        now: Instant,
        account: AccountId,
        target: Option<Uri>,
        every: Duration,
    ) -> Result<(), Refused> {
        self.agent.watch(now, account, target, every)?;
        self.pump(now);
        Ok(())
    }

    /// Subscribes to the mailbox of an account (RFC 3842) and keeps it so.
    ///
    /// # Errors
    /// When the account does not exist, or its domain cannot be reached by SIP.
    pub fn subscribe(&mut self, now: Instant, account: AccountId, expires: Duration) -> Result<(), Refused> {
        self.agent.subscribe(now, account, expires)?;
        self.pump(now);
        Ok(())
    }

    /// Ends what goes on outside of calls: subscriptions are taken back, peers are asked no more.
    pub fn leave_outside(&mut self, now: Instant) {
        self.agent.watch_nobody();
        for account in 0..self.accounts.len() as u32 {
            self.agent.unsubscribe(now, AccountId(account));
        }
        self.pump(now);
    }

    pub(super) fn tell_aside(&mut self, account: Option<AccountId>, news: News) {
        let aor = account.and_then(|account| self.accounts.get(account.0 as usize)).map(|account| bare(&account.aor));
        self.outputs.push_back(Output::Aside(Box::new(Aside { account, aor, news })));
    }
}
