//! Mailboxes: our subscriptions to message-summary (RFC 3842), and the NOTIFYs that come, asked for or not.

use super::Agent;
use super::account::AccountId;
use super::outside::{News, Outcome, Why};
use super::refused::Refused;
use crate::sip::header::Name;
use crate::sip::hop::Hop;
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::subscription::{MESSAGE_SUMMARY, Subscription, Summary};
use crate::time::{Duration, Instant};

impl Agent {
    /// Subscribes to the mailbox of an account and keeps it so; [`News::Waiting`] tells what waits there, and
    /// [`News::Subscription`] how the subscription stands. One that ended is begun anew.
    ///
    /// # Errors
    /// When the account does not exist, or its domain cannot be reached by SIP.
    pub fn subscribe(&mut self, now: Instant, account: AccountId, expires: Duration) -> Result<(), Refused> {
        let aor = self.exchange.accounts.get(account).ok_or(Refused::NoAccount(account))?.account.aor.clone();
        // Says now what would fail at each SUBSCRIBE.
        self.exchange.draft(account, Method::Subscribe, &aor)?;
        if self.outside.subscriptions.get(&account).is_none_or(Subscription::is_over) {
            self.outside.subscriptions.insert(account, Subscription::new(expires));
        }
        self.subscription_timeouts(now);
        self.settle_news(now);
        Ok(())
    }

    /// Ends the subscription of an account, if there is one.
    pub fn unsubscribe(&mut self, now: Instant, account: AccountId) {
        let Some(subscription) = self.outside.subscriptions.get_mut(&account) else { return };
        if subscription.leave() {
            self.send_subscribe(now, account);
        } else {
            self.outside.subscriptions.remove(&account);
        }
        self.settle_news(now);
    }

    pub(super) fn subscription_timeouts(&mut self, now: Instant) {
        let due = |subscription: &Subscription| subscription.is_due(now);
        let accounts: Vec<AccountId> =
            self.outside.subscriptions.iter().filter(|(_, one)| due(one)).map(|(id, _)| *id).collect();
        for account in accounts {
            self.send_subscribe(now, account);
        }
    }

    fn send_subscribe(&mut self, now: Instant, account: AccountId) {
        let Some(line) = self.exchange.accounts.get(account) else { return };
        let aor = line.account.aor.clone();
        let Some(subscription) = self.outside.subscriptions.get(&account) else { return };
        let origin = subscription.origin;
        let asked = match subscription.next_hop().cloned() {
            Some(next) => Ok((None, next)),
            None => self.exchange.draft(account, Method::Subscribe, &aor).map(|(draft, next)| (Some(draft), next)),
        };
        let subscription = self.outside.subscriptions.get_mut(&account);
        let asked = asked.map(|(draft, next)| (subscription.and_then(|one| one.request(draft)), next));
        let asked = asked.and_then(|(request, next)| match request {
            Some(request) => self.ask(now, Why::Subscribe, account, request, &next, origin).map(|_| ()),
            None => Ok(()),
        });
        if let Err(refused) = asked {
            self.subscribe_over(now, account, Outcome::Unanswered(refused.to_string()));
        }
    }

    pub(super) fn subscribe_over(&mut self, now: Instant, account: AccountId, outcome: Outcome) {
        let Some(subscription) = self.outside.subscriptions.get_mut(&account) else { return };
        match outcome {
            Outcome::Answered(response, hop) => {
                subscription.handle_response(now, &response);
                subscription.origin = Some(hop);
            }
            Outcome::Unanswered(reason) => subscription.handle_failure(now, &reason),
        }
        self.subscription_changed(now, account);
    }

    fn subscription_changed(&mut self, now: Instant, account: AccountId) {
        let Some(subscription) = self.outside.subscriptions.get_mut(&account) else { return };
        if let Some(state) = subscription.take_news() {
            self.exchange.tell_outside(Some(account), News::Subscription(state));
        }
        if self.outside.subscriptions.get(&account).is_some_and(Subscription::is_over) {
            self.outside.subscriptions.remove(&account);
        }
        self.subscription_timeouts(now);
    }

    /// A NOTIFY that is in no dialog of a session: for a subscription, or unsolicited (RFC 3842 section 3.6 allows what
    /// many exchanges do: tell registered phones without being asked).
    pub(super) fn receive_notify(
        &mut self,
        now: Instant,
        account: Option<AccountId>,
        source: Hop,
        notify: &Request,
    ) -> Response {
        let event = notify.headers.get(&Name::Event).unwrap_or_default();
        let package = event.split(';').next().unwrap_or_default().trim();
        let found = self.outside.subscriptions.iter().find(|(_, one)| one.matches(&notify.headers)).map(|(id, _)| *id);
        if !package.eq_ignore_ascii_case(MESSAGE_SUMMARY) {
            let status = if found.is_some() || !package.is_empty() { Status::BAD_EVENT } else { Status::BAD_REQUEST };
            let mut response = notify.response(status);
            response.headers.push(Name::AllowEvents, MESSAGE_SUMMARY);
            return response;
        }
        if let Some(account) = found
            && let Some(subscription) = self.outside.subscriptions.get_mut(&account)
        {
            let notified = subscription.handle_notify(now, notify);
            if let Some(summary) = notified.changed {
                self.exchange.tell_outside(Some(account), News::Waiting(summary));
            }
            self.subscription_changed(now, account);
            return notify.response(notified.status);
        }
        let known = account.and_then(|id| self.exchange.accounts.get(id)).is_some_and(|line| {
            // Not from strangers: they would light the lamp at will.
            line.is_peer(source.remote.ip().to_canonical())
        });
        if !known || !self.exchange.config.unsolicited_notify {
            return notify.response(Status::CALL_DOES_NOT_EXIST);
        }
        if let Some(summary) = Summary::parse(&notify.body) {
            self.exchange.tell_outside(account, News::Waiting(summary));
        }
        notify.response(Status::OK)
    }
}
