//! Servers that do not serve: the next one is tried, and the first one again later (RFC 3263 section 4.3).
//!
//! ```text
//!  sent ──┬─ response ─────────────────────────▶ the server is forgiven
//!         ├─ silence for the account's limit ─┐
//!         ├─ 503, no connection, time-out ────┴─▶ penalty ─▶ next server
//!         │                                         └ an INVITE left behind is cancelled; its late 2xx gets ACK, BYE
//!         └─ penalty over ─▶ the next request, or the next refresh of the registration, goes there first again
//! ```

use super::account::AccountId;
use super::exchange::Exchange;
use super::output::SessionId;
use super::sent::{Purpose, Sent};
use super::{Agent, Errand};
use crate::sip::dialog::Dialog;
use crate::sip::header::Headers;
use crate::sip::hop::Hop;
use crate::sip::message::{Method, Response, Status};
use crate::sip::transaction::ClientId;
use crate::time::{Duration, Instant};

/// How much longer a request gets that was too large for UDP: TCP is tried for so long first
/// ([`crate::sip::transaction::Limits::connect`]).
const OVERSIZE: Duration = Duration::from_secs(4);

impl Exchange {
    /// Notes how long a request that could go elsewhere waits for its first response.
    pub(super) fn grow_impatient(&mut self, now: Instant, id: ClientId) {
        let Some(sent) = self.sent(id) else { return };
        // Within a dialog the far end has shown that it is there; only its end may look for another way.
        if !matches!(sent.purpose, Purpose::Invite(_) | Purpose::Bye(_) | Purpose::Register(_) | Purpose::Outside(_)) {
            return;
        }
        let limit = sent.account.and_then(|account| self.accounts.get(account)?.account.failover);
        let Some(limit) = limit.filter(|_| sent.has_alternative()) else { return };
        let extra = if self.way(id) == Some(sent.hop) { Duration::ZERO } else { OVERSIZE };
        self.expect(id, Some(now + limit + extra));
    }

    /// A response came: the server lives.
    pub(super) fn heard(&mut self, id: ClientId, response: &Response) {
        let Some(sent) = self.sent(id) else { return };
        let (hop, abandoned) = (sent.hop, sent.purpose == Purpose::Abandoned);
        if response.status != Status::SERVICE_UNAVAILABLE {
            self.penalties.forgive(hop);
        }
        if !abandoned {
            self.expect(id, None);
        }
    }

    /// The server of a request did not serve it.
    pub(super) fn punish(&mut self, now: Instant, hop: Hop, response: &Response) {
        self.penalties.punish(now, hop, response.headers.retry_after());
    }

    /// Best first: servers without a penalty; the one that an account is registered at before its equals.
    pub(super) fn rank(&mut self, now: Instant, account: Option<AccountId>, errand: &Errand, hops: &mut [Hop]) {
        let listed = hops.to_vec();
        self.penalties.order(now, hops);
        let registers = matches!(errand, Errand::Register(_));
        let flows = account.filter(|_| !registers).map(|account| self.accounts.flows(account)).unwrap_or_default();
        if flows.len() > 1 {
            // Those that keep a flow of ours first: the far side knows us by them.
            let homes = flows.iter().filter_map(|flow| self.accounts.get(*flow)).filter(|line| line.is_registered());
            let homes: Vec<Hop> =
                homes.filter_map(|line| line.home).filter(|home| !self.penalties.holds(now, *home)).collect();
            let same = |home: &Hop, hop: &Hop| (home.transport, home.remote) == (hop.transport, hop.remote);
            hops.sort_by_key(|hop| homes.iter().position(|home| same(home, hop)).unwrap_or(usize::MAX));
            return;
        }
        let Some(line) = account.and_then(|account| self.accounts.get_mut(account)) else { return };
        let same =
            |hop: &Hop| line.home.is_some_and(|home| (home.transport, home.remote) == (hop.transport, hop.remote));
        let place = hops.iter().position(same);
        let held = line.home.is_some_and(|home| self.penalties.holds(now, home));
        if let Some(place) = place.filter(|_| !held) {
            // A registration that had to go elsewhere returns when the penalty of those before is over.
            let ahead = listed.iter().take_while(|hop| !same(hop));
            let returns = registers && line.detour && !ahead.clone().any(|hop| self.penalties.holds(now, *hop));
            if !returns {
                hops[..=place].rotate_right(1);
            }
        }
        if registers {
            line.listed = listed;
        }
    }

    /// An account is registered by `hop`.
    pub(super) fn settle_home(&mut self, now: Instant, account: AccountId, hop: Hop) {
        let Some(line) = self.accounts.get_mut(account) else { return };
        let old = line.home.replace(hop).filter(|old| *old != hop);
        let mut ahead = line.listed.iter().take_while(|other| other.remote != hop.remote).peekable();
        // A refresh on the same way leaves it a detour, though the penalty of those before may be over by now.
        let still = line.detour && old.is_none() && ahead.peek().is_some();
        line.detour = still || ahead.any(|other| self.penalties.holds(now, *other));
        if let Some(old) = old {
            self.keepalives.forget(old);
        }
    }
}

impl Agent {
    /// A request waits for its first response for too long, or its responses are of no interest any more.
    pub(super) fn lose_patience(&mut self, now: Instant, id: ClientId) {
        let Some(sent) = self.exchange.sent(id) else { return };
        let silence = sent.request.response(Status::REQUEST_TIMEOUT);
        match sent.purpose {
            Purpose::Abandoned => {
                self.exchange.forget(id);
            }
            Purpose::Register(account) => self.registrar_answered(now, account, id, None, silence),
            Purpose::Outside(outside) => self.outside_answered(now, id, outside, None, silence),
            Purpose::Invite(session) => self.leave_invite(now, id, session, silence),
            purpose => {
                let Some(session) = purpose.session() else { return };
                self.request_failed(now, id, purpose, session, None, silence);
            }
        }
    }

    /// Tries the next server for an INVITE. The one that is left behind may still come to life: its first provisional
    /// response brings it a CANCEL, its 2xx an ACK and a BYE.
    fn leave_invite(&mut self, now: Instant, id: ClientId, session: SessionId, silence: Response) {
        let purpose = Purpose::Invite(session);
        if !self.sessions.get(&session).is_some_and(|session| session.wants_retry(purpose)) {
            return;
        }
        let Some(sent) = self.exchange.forget(id) else { return };
        self.exchange.cancel(now, id, &Headers::new());
        self.exchange.abandon(id, sent.clone());
        if let Err(response) = self.retry(now, session, sent, false, silence) {
            self.with_session(session, |session, ex| session.handle_response(ex, now, id, purpose, None, response));
        }
    }

    /// A response to an INVITE that another server has got meanwhile.
    pub(super) fn abandoned_answered(&mut self, now: Instant, id: ClientId, source: Option<Hop>, response: &Response) {
        if response.status.is_provisional() {
            return;
        }
        match source {
            Some(source) if response.status.is_success() => self.end_abandoned(now, id, source, response),
            _ => {
                self.exchange.forget(id);
            }
        }
    }

    /// RFC 3261 section 13.2.2.4: every 2xx is acknowledged, and an unwanted one ended.
    fn end_abandoned(&mut self, now: Instant, id: ClientId, source: Hop, response: &Response) {
        let Some(sent) = self.exchange.sent(id) else { return };
        let (account, method) = (sent.account, sent.request.method.clone());
        let Ok(mut dialog) = Dialog::of_caller(&sent.request, response) else { return };
        let Some(number) = response.headers.cseq().ok().map(|cseq| cseq.number) else { return };
        if method != Method::Invite {
            self.exchange.forget(id);
            return;
        }
        self.exchange.send_ack(dialog.ack(number), source);
        if self.exchange.first_success(id) {
            // More 2xx can follow for as long as they are repeated.
            self.exchange.expect(id, Some(now + self.exchange.config.timers.give_up()));
            let bye = dialog.request(Method::Bye);
            let sent = Sent::new(Purpose::Abandoned, account, bye, vec![source]);
            let _ = sent.and_then(|sent| self.exchange.send(now, sent).ok());
        }
    }
}
