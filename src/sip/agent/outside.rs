//! Requests of ours outside of calls: MESSAGE, OPTIONS, SUBSCRIBE; and what peers send us outside of calls.
//!
//! ```text
//!  message, watch, subscribe ─▶ ask ─▶ look-up ─▶ sent ─┬─ 401, 407 ─▶ with credentials ─▶ sent
//!                                                       ├─ 503, time-out ─▶ next hop ─▶ sent
//!                                                       └─ final response ─▶ who asked
//! ```

use std::collections::BTreeMap;

use super::account::AccountId;
use super::options::{PeerState, Ping};
use super::output::{Event, ResolveError};
use super::refused::Refused;
use super::sent::{Purpose, Sent};
use super::{Agent, Errand, Exchange};
use crate::sip::dialog::{MAX_FORWARDS, request_uri};
use crate::sip::header::{CSeq, Name};
use crate::sip::hop::Hop;
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::name_addr::NameAddr;
use crate::sip::subscription::{self, Subscription, Summary};
use crate::sip::target::Target;
use crate::sip::transaction::ClientId;
use crate::sip::uri::Uri;
use crate::time::Instant;

/// Requests outside of calls without a final response, at most.
const MOST: usize = 10_000;

/// Names a request of ours outside of calls, for the life of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutsideId(pub u64);

/// What happens outside of calls.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// Somebody sent a text (RFC 3428).
    Message {
        /// Who, a URI.
        from: String,
        /// The name that goes with it.
        display: Option<String>,
        /// To whom, a URI.
        to: String,
        /// The media type of the body, such as `text/plain`.
        content_type: String,
        /// The text; octets that are no UTF-8 are replaced.
        text: String,
    },
    /// A text of ours was taken (a 2xx; a 202 says that it is only stored).
    MessageSent {
        /// Which.
        id: OutsideId,
        /// 200 or 202.
        status: Status,
    },
    /// A text of ours did not arrive.
    MessageFailed {
        /// Which.
        id: OutsideId,
        /// The final response, if there was one.
        status: Option<Status>,
        /// A sentence, or the reason phrase.
        reason: String,
    },
    /// A peer that is watched by OPTIONS changed its state.
    Peer {
        /// Whom we ask.
        target: Uri,
        /// How it stands.
        state: PeerState,
    },
    /// A message account has other contents than before (RFC 3842).
    Waiting(Summary),
    /// The subscription to a message account changed its state.
    Subscription(subscription::State),
}

/// Who waits for the final response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Message,
    Ping(usize),
    Subscribe,
}

/// A request that was not sent yet, or that has no final response yet.
#[derive(Debug)]
struct Asked {
    why: Why,
    account: AccountId,
    /// What is to be sent once the way is known.
    draft: Option<Request>,
    /// Where the dialog of the request came from: its way when nothing else is found.
    origin: Option<Hop>,
}

/// What an agent does outside of calls.
#[derive(Debug, Default)]
pub(super) struct Outside {
    requests: BTreeMap<OutsideId, Asked>,
    last: u64,
    pub(super) pings: Vec<Ping>,
    pub(super) subscriptions: BTreeMap<AccountId, Subscription>,
}

/// How a request ended.
pub(super) enum Outcome {
    /// The peer's final response, and the hop that it came by.
    Answered(Box<Response>, Hop),
    /// Nobody answered; a sentence.
    Unanswered(String),
}

impl Outside {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let pings = self.pings.iter().filter_map(|ping| ping.next);
        let subscriptions = self.subscriptions.values().filter_map(Subscription::poll_timeout);
        pings.chain(subscriptions).min()
    }

    /// Requests without a final response.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }
}

impl Agent {
    /// Looks for the way of `request`, then sends it; `next` is its topmost route or its target.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        why: Why,
        account: AccountId,
        request: Request,
        next: &Uri,
        origin: Option<Hop>,
    ) -> Result<OutsideId, Refused> {
        if self.outside.requests.len() >= MOST {
            return Err(Refused::TooManyRequests(MOST));
        }
        let line = self.exchange.accounts.get(account);
        let targets = match (line, origin) {
            (Some(line), None) => line.targets(&[], next),
            // Within a dialog its own routes count, and a target that says no transport is reached by the one in use.
            (line, origin) => {
                let preferred = line.and_then(|line| line.account.transport).or(origin.map(|hop| hop.transport));
                Target::of(next, preferred).map(|target| vec![target])
            }
        };
        let targets = targets.map_err(|_| Refused::Target(next.to_string()))?;
        self.outside.last += 1;
        let id = OutsideId(self.outside.last);
        self.outside.requests.insert(id, Asked { why, account, draft: Some(request), origin });
        self.exchange.find(now, Some(account), targets, Errand::Outside(id));
        Ok(id)
    }

    /// Whose request it is.
    pub(super) fn outside_account(&self, id: OutsideId) -> Option<AccountId> {
        self.outside.requests.get(&id).map(|asked| asked.account)
    }

    /// The way of a request was found, or not.
    pub(super) fn outside_resolved(&mut self, now: Instant, id: OutsideId, found: Result<Vec<Hop>, ResolveError>) {
        let Some(asked) = self.outside.requests.get_mut(&id) else { return };
        let Some(request) = asked.draft.take() else { return };
        let (account, origin) = (asked.account, asked.origin);
        let hops = match (found, origin) {
            (Ok(hops), _) if !hops.is_empty() => hops,
            (_, Some(origin)) => vec![origin],
            (Ok(_), None) => return self.outside_over(now, id, Outcome::Unanswered("no address found".into())),
            (Err(error), None) => return self.outside_over(now, id, Outcome::Unanswered(error.to_string())),
        };
        if request.headers.contains(&Name::Route) {
            hops.iter().for_each(|hop| self.exchange.accounts.note_peer(account, hop.remote.ip()));
        }
        let sent = Sent::new(Purpose::Outside(id), Some(account), request.clone(), hops);
        // MESSAGE makes no dialog and carries no Contact (RFC 3428 section 4).
        let sent = sent.map(|sent| if request.method == Method::Message { sent } else { sent.with_contact(None) });
        if sent.and_then(|sent| self.exchange.send(now, sent).ok()).is_none() {
            let why = "too many requests are under way; try again when some have ended";
            self.outside_over(now, id, Outcome::Unanswered(why.into()));
        }
    }

    /// A response came, or the 408 or 503 that stands for none (without a source).
    pub(super) fn outside_answered(
        &mut self,
        now: Instant,
        client: ClientId,
        id: OutsideId,
        source: Option<Hop>,
        response: Response,
    ) {
        if response.status.is_provisional() {
            return;
        }
        let Some(sent) = self.exchange.forget(client) else { return };
        let challenged = matches!(response.status, Status::UNAUTHORIZED | Status::PROXY_AUTHENTICATION_REQUIRED);
        let hop = sent.hop;
        let response = if source.is_some() && challenged {
            let number = sent.request.headers.cseq().map(|cseq| cseq.number + 1).unwrap_or(1);
            if let Some(Asked { why: Why::Subscribe, account, .. }) = self.outside.requests.get(&id)
                && let Some(subscription) = self.outside.subscriptions.get_mut(account)
            {
                subscription.count();
            }
            match self.exchange.answer_challenge(now, sent, number, response) {
                Ok(_) => return,
                Err(response) => response,
            }
        } else if source.is_none() || response.status == Status::SERVICE_UNAVAILABLE {
            self.exchange.punish(now, sent.hop, &response);
            if self.exchange.fail_over(now, sent).is_some() {
                return;
            }
            response
        } else {
            response
        };
        let outcome = match source {
            Some(_) => Outcome::Answered(Box::new(response), hop),
            None if response.status == Status::REQUEST_TIMEOUT => {
                Outcome::Unanswered("the far end did not answer".into())
            }
            None => Outcome::Unanswered("the next hop cannot be reached".into()),
        };
        self.outside_over(now, id, outcome);
    }

    fn outside_over(&mut self, now: Instant, id: OutsideId, outcome: Outcome) {
        let Some(asked) = self.outside.requests.remove(&id) else { return };
        match asked.why {
            Why::Message => self.message_over(asked.account, id, outcome),
            Why::Ping(index) => self.ping_over(now, index, &outcome),
            Why::Subscribe => self.subscribe_over(now, asked.account, outcome),
        }
    }

    /// Does what is due outside of calls.
    pub(super) fn outside_timeouts(&mut self, now: Instant) {
        self.ping_timeouts(now);
        self.subscription_timeouts(now);
    }
}

impl Exchange {
    /// A request of `account` outside a dialog (RFC 3261 section 8.1.1), without Contact and body, and where it goes
    /// first.
    pub(super) fn draft(
        &mut self,
        account: AccountId,
        method: Method,
        target: &Uri,
    ) -> Result<(Request, Uri), Refused> {
        let line = self.accounts.living(account).ok_or(Refused::NoAccount(account))?;
        let routes = line.routes();
        let from = NameAddr { display: line.account.display.clone(), ..NameAddr::new(line.account.aor.clone()) };
        if target.sip().is_none() && routes.is_empty() {
            return Err(Refused::Target(target.to_string()));
        }
        let mut request = Request::new(method.clone(), request_uri(target));
        let headers = &mut request.headers;
        for route in &routes {
            headers.push(Name::Route, route.to_string());
        }
        headers.push(Name::MaxForwards, MAX_FORWARDS);
        headers.push(Name::From, from.with_tag(&self.random.token(12)).to_string());
        headers.push(Name::To, NameAddr::new(request_uri(target)).to_string());
        headers.push(Name::CallId, self.random.token(26));
        headers.push(Name::CSeq, CSeq { number: 1, method }.to_string());
        let next = routes.into_iter().next().map_or_else(|| target.clone(), |route| route.uri);
        Ok((request, next))
    }

    /// Tells the user what happened outside of calls.
    pub(super) fn tell_outside(&mut self, account: Option<AccountId>, news: News) {
        self.tell(Event::Outside { account, news: Box::new(news) });
    }
}
