//! Requests of ours: where they can go, and what becomes of their failures.
//!
//! ```text
//!  send ─▶ response ─┬─ 401, 407 ─▶ with credentials, next CSeq ─▶ send
//!                    ├─ 503, time-out, not sent ─▶ by the next hop ─▶ send
//!                    └─ anything else ─▶ the session that asked
//! ```

use std::collections::VecDeque;

use super::account::AccountId;
use super::exchange::Exchange;
use super::output::{RequestId, SessionId};
use super::outside::OutsideId;
use crate::sip::auth::{self, Attempts, Challenge};
use crate::sip::header::{CSeq, Name};
use crate::sip::hop::Hop;
use crate::sip::message::{Request, Response};
use crate::sip::transaction::ClientId;
use crate::time::Instant;

/// Who waits for the responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The registration of an account, which deals with challenges itself.
    Register(AccountId),
    /// The INVITE of a session.
    Invite(SessionId),
    /// A BYE of a session.
    Bye(SessionId),
    /// A re-INVITE of ours.
    Reinvite(SessionId),
    /// An UPDATE of ours.
    Update(SessionId),
    /// The PRACK of a reliable provisional response.
    Prack(SessionId),
    /// Another request in a dialog; its final response is told.
    Inside(SessionId, RequestId),
    /// A request outside of calls.
    Outside(OutsideId),
    /// Nobody any more: an INVITE that another server has got meanwhile, or the BYE to its late 2xx.
    Abandoned,
}

impl Purpose {
    /// The session that waits.
    pub(crate) fn session(self) -> Option<SessionId> {
        match self {
            Purpose::Invite(session)
            | Purpose::Bye(session)
            | Purpose::Reinvite(session)
            | Purpose::Update(session)
            | Purpose::Prack(session)
            | Purpose::Inside(session, _) => Some(session),
            Purpose::Register(_) | Purpose::Outside(_) | Purpose::Abandoned => None,
        }
    }
}

/// A request of ours, without its Via.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) purpose: Purpose,
    pub(crate) account: Option<AccountId>,
    pub(crate) request: Request,
    /// Where it goes.
    pub(crate) hop: Hop,
    /// Where it could go instead (RFC 3263 section 4.3).
    rest: VecDeque<Hop>,
    attempts: Attempts,
    /// Does it carry our Contact, which differs from hop to hop; and the user part for one without account.
    contact: Option<Option<String>>,
    /// Has it had a 2xx?
    pub(super) succeeded: bool,
    /// When its first response is waited for no longer.
    pub(super) patience: Option<Instant>,
    /// Does it go to a host of its account?
    own: bool,
}

impl Sent {
    /// A request for the first of `hops`; `None` when there is none.
    pub(crate) fn new(purpose: Purpose, account: Option<AccountId>, request: Request, hops: Vec<Hop>) -> Option<Self> {
        let mut rest = VecDeque::from(hops);
        let hop = rest.pop_front()?;
        Some(Self {
            purpose,
            account,
            request,
            hop,
            rest,
            attempts: Attempts::default(),
            contact: None,
            succeeded: false,
            patience: None,
            own: false,
        })
    }

    /// Is there another hop to try?
    pub(super) fn has_alternative(&self) -> bool {
        !self.rest.is_empty()
    }

    /// The same with our Contact on the hop that it takes; `user` is its user part when there is no account.
    pub(crate) fn with_contact(mut self, user: Option<String>) -> Self {
        self.contact = Some(user);
        self
    }
}

impl Exchange {
    /// Makes a request ready for its hop: who we are there, and what proves it.
    pub(super) fn prepare(&mut self, sent: &mut Sent) {
        if let Some(user) = &sent.contact {
            let contact = self.contact(sent.account, user.as_deref(), sent.hop).to_string();
            sent.request.headers.set(Name::Contact, contact);
        }
        sent.request.headers.set(Name::UserAgent, self.config.user_agent.as_str());
        let inside = sent.request.headers.to().is_ok_and(|to| to.tag().is_some());
        let line = sent.account.and_then(|account| self.accounts.get(account)).filter(|_| !inside);
        // Of several proxies the Route names the one that the request goes to.
        if let Some(proxy) = line.and_then(|line| line.proxy_at(sent.hop)) {
            sent.request.headers.set_first(Name::Route, proxy.to_string());
        }
        self.note_way(sent);
        let fresh = sent.attempts == Attempts::default();
        if let Some(line) = sent.account.and_then(|account| self.accounts.get_mut(account))
            && !matches!(sent.purpose, Purpose::Register(_))
            && fresh
            // Strangers get no answer to a challenge that was not theirs.
            && line.is_peer(sent.hop.remote.ip().to_canonical())
            && let Some(client) = &mut line.client
        {
            client.authorize(&mut sent.request);
        }
    }

    /// Notes whether a request goes to a host of its account (RFC 3261 section 8.1.2: the first Route, else the
    /// Request-URI); the addresses of that host are known peers from then on.
    fn note_way(&mut self, sent: &mut Sent) {
        let Some((account, line)) = sent.account.and_then(|id| Some((id, self.accounts.get(id)?))) else { return };
        let route = sent.request.headers.routes().ok().and_then(|routes| routes.into_iter().next());
        let next = route.map_or_else(|| sent.request.uri.clone(), |route| route.uri);
        sent.own = next.host().is_some_and(|host| line.owns(host));
        if sent.own {
            for hop in std::iter::once(&sent.hop).chain(&sent.rest) {
                self.accounts.note_peer(account, hop.remote.ip());
            }
        }
    }

    /// Takes the challenges out of `response` that the account of `sent` must not answer. `None`: there is none left,
    /// and the reason phrase of the second says why.
    fn allowed(&mut self, sent: &Sent, response: &Response) -> Result<Response, String> {
        let Some(line) = sent.account.and_then(|account| self.accounts.get(account)) else {
            return Err(response.reason.clone());
        };
        let mut allowed = response.clone();
        let mut withheld = None;
        for name in [Name::WwwAuthenticate, Name::ProxyAuthenticate] {
            allowed.headers.remove(&name);
            for value in response.headers.values(&name) {
                match value.as_str().parse::<Challenge>() {
                    Ok(challenge) if !line.may_answer(&sent.request, sent.own, &challenge.realm) => {
                        withheld = Some(challenge.realm);
                    }
                    _ => allowed.headers.push(name.clone(), value.clone()),
                }
            }
        }
        match withheld {
            Some(realm)
                if !allowed.headers.contains(&Name::WwwAuthenticate)
                    && !allowed.headers.contains(&Name::ProxyAuthenticate) =>
            {
                self.guard.counters.credentials_withheld += 1;
                Err(auth::Refused::Realm(realm).to_string())
            }
            _ => Ok(allowed),
        }
    }

    /// Sends a challenged request again with credentials and the CSeq number `cseq`. `Err` gives the challenge back: it
    /// is final.
    pub(super) fn answer_challenge(
        &mut self,
        now: Instant,
        mut sent: Sent,
        cseq: u32,
        mut response: Response,
    ) -> Result<ClientId, Response> {
        let allowed = match self.allowed(&sent, &response) {
            Ok(allowed) => allowed,
            Err(why) => {
                response.reason = why;
                return Err(response);
            }
        };
        let line = sent.account.and_then(|account| self.accounts.get_mut(account));
        let Some(client) = line.and_then(|line| line.client.as_mut()) else {
            response.reason = auth::Refused::Missing.to_string();
            return Err(response);
        };
        let method = sent.request.method.clone();
        sent.request.headers.set(Name::CSeq, CSeq { number: cseq, method }.to_string());
        let answered = client.answer(&mut sent.request, &allowed, &mut sent.attempts, &mut self.random);
        if let Err(why) = answered {
            if let auth::Refused::Weak(_) | auth::Refused::Realm(_) = why {
                self.guard.counters.credentials_withheld += 1;
                response.reason = why.to_string();
            }
            return Err(response);
        }
        self.send(now, sent).map_err(|_| response)
    }

    /// Sends a request again that was changed, as a new transaction to the same hop.
    pub(super) fn send_changed(&mut self, now: Instant, mut sent: Sent) -> Option<ClientId> {
        let line = sent.account.and_then(|account| self.accounts.get_mut(account));
        if sent.request.headers.contains(&Name::Authorization)
            || sent.request.headers.contains(&Name::ProxyAuthorization)
        {
            // A nonce count serves once.
            if let Some(client) = line.and_then(|line| line.client.as_mut()) {
                client.authorize(&mut sent.request);
            }
        }
        self.send(now, sent).ok()
    }

    /// Sends a request that one hop did not serve by the next. `None`: there is none, the failure is final.
    pub(super) fn fail_over(&mut self, now: Instant, mut sent: Sent) -> Option<ClientId> {
        sent.hop = sent.rest.pop_front()?;
        self.send(now, sent).ok()
    }
}
