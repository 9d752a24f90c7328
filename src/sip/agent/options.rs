//! Peers that are watched by OPTIONS (RFC 3261 section 11): do they answer, and how fast?

use super::Agent;
use super::account::AccountId;
use super::outside::{News, Outcome, Why};
use super::refused::Refused;
use crate::sip::header::Name;
use crate::sip::message::{Method, Status};
use crate::sip::uri::Uri;
use crate::time::{Duration, Instant};

/// Peers that are watched at most.
const MOST: usize = 1_024;

/// How a watched peer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// It answered; any answer is a sign of life (a 404 or 405 too).
    Reachable {
        /// From the request to the final response.
        round_trip: Duration,
        /// The response.
        status: Status,
    },
    /// It did not.
    Unreachable {
        /// A sentence.
        reason: String,
    },
}

/// One watched peer.
#[derive(Debug)]
pub(super) struct Ping {
    account: AccountId,
    target: Uri,
    every: Duration,
    /// When it is asked next; none while an answer is waited for.
    pub(super) next: Option<Instant>,
    asked: Instant,
    state: Option<PeerState>,
}

impl Agent {
    /// Asks `target` every so often whether it is there; the domain of the account when absent. [`News::Peer`] tells the
    /// first answer and each change.
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
        let own = &self.exchange.accounts.get(account).ok_or(Refused::NoAccount(account))?.account;
        let target = target.or_else(|| own.registrar.clone()).unwrap_or_else(|| without_user(&own.aor));
        if self.outside.pings.len() >= MOST {
            return Err(Refused::TooManyRequests(MOST));
        }
        // Says now what would fail at each ping.
        self.exchange.draft(account, Method::Options, &target)?;
        let ping = Ping { account, target, every, next: Some(now), asked: now, state: None };
        self.outside.pings.push(ping);
        self.ping_timeouts(now);
        self.settle_news(now);
        Ok(())
    }

    /// Asks no peer any more.
    pub fn watch_nobody(&mut self) {
        self.outside.pings.clear();
    }

    pub(super) fn ping_timeouts(&mut self, now: Instant) {
        for index in 0..self.outside.pings.len() {
            let Some(ping) = self.outside.pings.get_mut(index) else { return };
            if ping.next.is_none_or(|next| next > now) {
                continue;
            }
            (ping.next, ping.asked) = (None, now);
            let (account, target) = (ping.account, ping.target.clone());
            let asked = self.exchange.draft(account, Method::Options, &target).and_then(|(mut request, next)| {
                request.headers.push(Name::Accept, crate::sip::body::SDP);
                self.ask(now, Why::Ping(index), account, request, &next, None)
            });
            if let Err(refused) = asked {
                self.ping_over(now, index, &Outcome::Unanswered(refused.to_string()));
            }
        }
    }

    pub(super) fn ping_over(&mut self, now: Instant, index: usize, outcome: &Outcome) {
        let Some(ping) = self.outside.pings.get_mut(index) else { return };
        ping.next = Some(now + ping.every);
        let state = match outcome {
            Outcome::Answered(response, _) => {
                PeerState::Reachable { round_trip: now.since(ping.asked), status: response.status }
            }
            Outcome::Unanswered(reason) => PeerState::Unreachable { reason: reason.clone() },
        };
        let is_up = |state: &PeerState| matches!(state, PeerState::Reachable { .. });
        let changed = ping.state.as_ref().is_none_or(|before| is_up(before) != is_up(&state));
        ping.state = Some(state.clone());
        if changed {
            let (account, target) = (ping.account, ping.target.clone());
            self.exchange.tell_outside(Some(account), News::Peer { target, state });
        }
    }
}

/// The domain of an address.
fn without_user(uri: &Uri) -> Uri {
    let mut uri = uri.clone();
    if let Some(sip) = uri.sip_mut() {
        sip.user = None;
        sip.password = None;
    }
    uri
}
