//! Session timers (RFC 4028): a session that nobody refreshes ends.
//!
//! ```text
//!  2xx with Session-Expires ─▶ Refresh ─┬─ ours: half of it ─▶ UPDATE, else re-INVITE with the same description
//!            ▲                          └─ nobody did: BYE, a third of it (32 s at most) before its end
//!            └──── 2xx of either side's re-INVITE or UPDATE
//! ```

use super::{Phase, Session};
use crate::sip::agent::{EndedBy, Exchange, Purpose, Reliable, SessionTimerMode, SessionTimers};
use crate::sip::header::{CSeq, Headers, Name};
use crate::sip::message::{Method, Request, Response, Status};
use crate::time::{Duration, Instant};

/// The option tag.
pub(super) const TIMER: &str = "timer";

/// The least interval that anybody may ask for, in seconds (RFC 4028 section 4).
const LEAST: u32 = 90;

/// The longest interval that we ask for after a 422, in seconds: a day. A server that wants more is not believed.
const LONGEST: u32 = 86_400;

/// How long before its end a session that nobody refreshed gets its BYE, at most (RFC 4028 section 10).
const FAREWELL: Duration = Duration::from_secs(32);

/// When a refresh is tried again that met another change, or was refused for the moment.
const AGAIN: Duration = Duration::from_secs(5);

/// A session that has to be refreshed.
#[derive(Debug)]
pub(super) struct Refresh {
    interval: Duration,
    /// When we refresh it; `None`: that is the peer's task.
    at: Option<Instant>,
    /// When it ends.
    until: Instant,
}

impl Refresh {
    fn new(now: Instant, seconds: u32, ours: bool) -> Self {
        let interval = Duration::from_secs(seconds.into());
        let until = now + (interval - FAREWELL.min(interval / 3));
        Self { interval, at: ours.then(|| now + interval / 2), until }
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.at.map_or(self.until, |at| at.min(self.until))
    }
}

/// The Min-SE of a 422 to a request whose Session-Expires is less than the account takes; only for a peer that
/// understands 422 (RFC 4028 section 9).
pub(crate) fn too_short(headers: &Headers, timers: &SessionTimers) -> Option<u32> {
    let (asked, _) = headers.session_expires()?;
    let least = least(timers);
    let refused = timers.mode != SessionTimerMode::Off && headers.has_tag(&Name::Supported, TIMER) && asked < least;
    refused.then_some(least)
}

fn least(timers: &SessionTimers) -> u32 {
    seconds(timers.least).max(LEAST)
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

impl Session {
    /// Puts what we can do, and the session timer that we want, into an INVITE or UPDATE (RFC 4028 section 7.1).
    pub(super) fn ask_refresh(&self, ex: &Exchange, headers: &mut Headers) {
        let timers = ex.session_timers(self.account);
        if ex.reliable(self.account) == Reliable::Required && !matches!(self.phase, Phase::Up(_)) {
            headers.push(Name::Require, super::prack::RELIABLE);
        }
        ex.push_supported(headers, self.account);
        if timers.mode == SessionTimerMode::Off {
            return;
        }
        let least = self.least_interval.unwrap_or(LEAST).max(least(&timers));
        if least > LEAST {
            headers.push(Name::MinSe, least.to_string());
        }
        match &self.refresh {
            // Who refreshes stays who it is; the roles are those of this request.
            Some(refresh) => {
                let interval = seconds(refresh.interval).max(least);
                let role = if refresh.at.is_some() { "uac" } else { "uas" };
                headers.push(Name::SessionExpires, format!("{interval};refresher={role}"));
            }
            None if timers.mode == SessionTimerMode::Ask => {
                headers.push(Name::SessionExpires, seconds(timers.expires).max(least).to_string());
            }
            None => {}
        }
    }

    /// A 2xx to our INVITE or UPDATE says what became of the session timer (RFC 4028 section 7.2).
    pub(super) fn take_refresh(&mut self, now: Instant, headers: &Headers) {
        self.refresh = headers.session_expires().map(|(interval, refresher)| {
            // Below the least of RFC 4028 a peer would have us send all the time.
            Refresh::new(now, interval.max(LEAST), refresher.as_deref() != Some("uas"))
        });
    }

    /// Says in the headers of a 2xx what we can do, and answers the session timer that the request of the peer asks for
    /// (RFC 4028 section 9).
    pub(super) fn grant_refresh(&mut self, ex: &Exchange, now: Instant, asked: &Headers, headers: &mut Headers) {
        let timers = ex.session_timers(self.account);
        ex.push_supported(headers, self.account);
        if timers.mode == SessionTimerMode::Off {
            self.refresh = None;
            return;
        }
        let able = asked.has_tag(&Name::Supported, TIMER) || asked.has_tag(&Name::Require, TIMER);
        let floor = asked.min_se().unwrap_or(LEAST).max(LEAST);
        if floor > LEAST && floor <= LONGEST {
            self.least_interval = Some(self.least_interval.unwrap_or(LEAST).max(floor));
        }
        let own = seconds(timers.expires).max(least(&timers)).max(floor);
        let (interval, ours) = match asked.session_expires() {
            // Table 2: the peer's choice stands; one that does not know timers cannot refresh.
            Some((wanted, refresher)) => {
                let ours = !able || refresher.as_deref() == Some("uas");
                (wanted.max(floor).min(own), ours)
            }
            None if able && timers.mode == SessionTimerMode::Ask => (own, true),
            None => {
                self.refresh = None;
                return;
            }
        };
        let role = if ours { "uas" } else { "uac" };
        headers.push(Name::SessionExpires, format!("{interval};refresher={role}"));
        if able {
            headers.push(Name::Require, TIMER);
        }
        self.refresh = Some(Refresh::new(now, interval, ours));
    }

    /// A 422 names the least interval that it takes: the request asks for that, with the next CSeq number (RFC 4028
    /// section 7.3). `None`: that would not help.
    pub(crate) fn raise_interval(
        &mut self,
        purpose: Purpose,
        request: &mut Request,
        response: &Response,
    ) -> Option<()> {
        let least = response.headers.min_se().filter(|least| (LEAST..=LONGEST).contains(least))?;
        let (asked, _) = request.headers.session_expires()?;
        if least <= asked && self.least_interval.is_some_and(|before| before >= least) {
            return None;
        }
        self.least_interval = Some(least);
        let value = request.headers.get(&Name::SessionExpires)?;
        let params = value.split_at(value.find(';').unwrap_or(value.len())).1.to_owned();
        let number = self.retry_cseq(purpose, request)?;
        let headers = &mut request.headers;
        headers.set(Name::SessionExpires, format!("{}{params}", asked.max(least)));
        headers.set(Name::MinSe, least.to_string());
        headers.set(Name::CSeq, CSeq { number, method: request.method.clone() }.to_string());
        Some(())
    }

    pub(super) fn refresh_timeout(&mut self, ex: &mut Exchange, now: Instant) {
        let Some(refresh) = &self.refresh else { return };
        if !matches!(self.phase, Phase::Up(_)) {
            return;
        }
        if refresh.until <= now {
            self.refresh = None;
            return self.leave(ex, now, EndedBy::Timeout, "the session timer ran out: nobody refreshed the call", None);
        }
        if refresh.at.is_none_or(|at| at > now) {
            return;
        }
        self.refresh_again(now + AGAIN);
        let waits = matches!(&self.phase, Phase::Up(up) if up.owed.is_some()) || self.unacknowledged() > 0;
        let (Some(tag), false) = (self.fork(), waits || self.is_changing()) else { return };
        let update = self.legs.first().is_some_and(|leg| leg.update);
        let (method, sdp) = if update { (Method::Update, None) } else { (Method::Invite, self.described.clone()) };
        self.send_change(ex, now, &tag, method, sdp, true);
        // Its response decides when the next one is due; the end of the session stands.
        if let Some(refresh) = &mut self.refresh {
            refresh.at = Some(refresh.until);
        }
    }

    /// Our refresh was refused: again after `wait` where that can help, or by the other method.
    pub(super) fn refresh_refused(&mut self, now: Instant, status: Status, tag: &str, wait: Option<Duration>) {
        if matches!(status, Status::METHOD_NOT_ALLOWED | Status::NOT_IMPLEMENTED)
            && let Some(leg) = self.leg_mut(tag)
        {
            leg.update = false;
        }
        self.refresh_again(now + wait.unwrap_or(AGAIN));
    }

    fn refresh_again(&mut self, at: Instant) {
        if let Some(refresh) = &mut self.refresh {
            refresh.at = Some(at);
        }
    }
}
