//! A subscription of ours to an event package (RFC 6665): message-summary, the state of a voice mailbox (RFC 3842).
//!
//! ```text
//!          ┌──────────────── deactivated, timeout, 481 ───────────────┐
//!          ▼                                                          │
//!  Due ─ SUBSCRIBE ─▶ Asking ── 2xx ──▶ Active ── 0.8 of its life ─▶ Asking
//!   ▲                  │ 5xx, silence     │ NOTIFY terminated: probation, giveup
//!   └──── Waiting ◀────┴──────────────────┤
//!                      └─ 403, 404, 489, rejected, noresource ─▶ Over
//! ```

mod summary;

pub use summary::{Counts, Summary};

use crate::sip::dialog::Dialog;
use crate::sip::header::{Headers, Name};
use crate::sip::hop::Hop;
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::params::Params;
use crate::sip::uri::Uri;
use crate::time::{Duration, Instant};

/// The event package that is subscribed to.
pub const MESSAGE_SUMMARY: &str = "message-summary";

/// The media type of its bodies (RFC 3842 section 5.3).
pub const SIMPLE_MESSAGE_SUMMARY: &str = "application/simple-message-summary";

/// The wait after the first failure; doubled after each further one.
const FIRST_WAIT: Duration = Duration::from_secs(30);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(1_800);

/// A notifier that grants less is asked no more often than this.
const SHORTEST_LIFE: Duration = Duration::from_secs(10);

/// How a subscription stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The notifier keeps us informed.
    Active {
        /// For how long, until it is refreshed.
        granted: Duration,
    },
    /// It failed, and is tried again.
    Waiting {
        /// A sentence.
        reason: String,
        /// How long.
        wait: Duration,
    },
    /// It is over and is not tried again.
    Ended {
        /// A sentence.
        reason: String,
    },
}

#[derive(Debug)]
enum Phase {
    Due,
    Asking,
    Active {
        refresh: Instant,
    },
    Waiting {
        until: Instant,
    },
    /// Our last SUBSCRIBE, with Expires 0, is out.
    Leaving,
    Over,
}

/// A subscription: see the picture at the head of this module.
#[derive(Debug)]
pub struct Subscription {
    expires: Duration,
    phase: Phase,
    /// The SUBSCRIBE that makes the dialog.
    first: Option<Request>,
    dialog: Option<Dialog>,
    failures: u32,
    /// What the notifier said last.
    summary: Option<Summary>,
    news: Option<State>,
    /// The hop that the last response came by: the way when the notifier's Contact cannot be looked up.
    pub(crate) origin: Option<Hop>,
}

/// What a NOTIFY told.
#[derive(Clone, Debug, PartialEq)]
pub struct Notified {
    /// The answer to it.
    pub status: Status,
    /// The contents, when they are not those from before.
    pub changed: Option<Summary>,
}

impl Subscription {
    /// One that asks for this lifetime.
    pub fn new(expires: Duration) -> Self {
        let (phase, first, dialog) = (Phase::Due, None, None);
        Self { expires, phase, first, dialog, failures: 0, summary: None, news: None, origin: None }
    }

    /// When [`Subscription::is_due`] becomes true.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Due => Some(Instant::ZERO),
            Phase::Active { refresh: at } | Phase::Waiting { until: at } => Some(at),
            Phase::Asking | Phase::Leaving | Phase::Over => None,
        }
    }

    /// Is it time for a SUBSCRIBE?
    pub fn is_due(&self, now: Instant) -> bool {
        self.poll_timeout().is_some_and(|at| at <= now)
    }

    /// Is it over?
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// The change of state that nobody was told yet.
    pub fn take_news(&mut self) -> Option<State> {
        self.news.take()
    }

    /// Is a NOTIFY with these header fields for this subscription (RFC 6665 section 4.1.3)?
    pub fn matches(&self, headers: &Headers) -> bool {
        let Some(first) = &self.first else { return false };
        let (to, from) = (headers.to().ok(), headers.from().ok());
        let ours = first.headers.from().ok();
        let same_tag = to.as_ref().and_then(|to| to.tag()) == ours.as_ref().and_then(|ours| ours.tag());
        // Another fork of the same SUBSCRIBE is another subscription, which nobody asked for.
        let same_fork = self
            .dialog
            .as_ref()
            .is_none_or(|dialog| from.as_ref().and_then(|from| from.tag()).unwrap_or_default() == dialog.remote_tag());
        first.headers.call_id() == headers.call_id() && same_tag && same_fork
    }

    /// The next SUBSCRIBE: in the dialog if there is one, else made of `draft`. Its next hop is [`Subscription::next_hop`].
    pub fn request(&mut self, draft: Option<Request>) -> Option<Request> {
        let mut request = match (&mut self.dialog, draft) {
            (Some(dialog), _) => dialog.request(Method::Subscribe),
            (None, Some(draft)) => draft,
            (None, None) => return None,
        };
        let leaving = matches!(self.phase, Phase::Leaving);
        let expires = if leaving { 0 } else { self.expires.as_secs() };
        request.headers.push(Name::Event, MESSAGE_SUMMARY);
        request.headers.push(Name::Accept, SIMPLE_MESSAGE_SUMMARY);
        request.headers.push(Name::Expires, expires.to_string());
        if self.dialog.is_none() {
            self.first = Some(request.clone());
        }
        if !leaving {
            self.phase = Phase::Asking;
        }
        Some(request)
    }

    /// Where requests in the dialog go first; none without a dialog.
    pub fn next_hop(&self) -> Option<&Uri> {
        self.dialog.as_ref().map(Dialog::next_hop)
    }

    /// A challenged SUBSCRIBE goes out again with the next CSeq number.
    pub(crate) fn count(&mut self) {
        if let Some(dialog) = &mut self.dialog {
            dialog.next_cseq();
        }
    }

    /// The final response to our SUBSCRIBE.
    pub fn handle_response(&mut self, now: Instant, response: &Response) {
        if matches!(self.phase, Phase::Leaving) {
            self.phase = Phase::Over;
            self.news = Some(State::Ended { reason: "unsubscribed".into() });
            return;
        }
        if !matches!(self.phase, Phase::Asking) {
            // A NOTIFY ended it meanwhile.
            return;
        }
        let (status, reason) = (response.status, &response.reason);
        let said = format!("{status} {reason}");
        match status.code() {
            200..300 => self.accepted(now, response),
            // The notifier has forgotten us: anew, in a new dialog.
            481 if self.dialog.is_some() => self.start_over(Phase::Due),
            423 => match response.headers.min_expires().map(|seconds| Duration::from_secs(seconds.into())) {
                Some(least) if least > self.expires => {
                    self.expires = least;
                    self.phase = Phase::Due;
                }
                _ => self.wait(now, None, said),
            },
            // Asking again gives the same (RFC 6665 section 4.1.2.1 and RFC 3261 section 21).
            400..=407 | 410..=417 | 420 | 485 | 489 | 501 | 600.. => self.end(said),
            _ => self.wait(now, response.headers.retry_after(), said),
        }
    }

    fn accepted(&mut self, now: Instant, response: &Response) {
        let granted = response.headers.expires().map_or(self.expires, |seconds| Duration::from_secs(seconds.into()));
        match (&mut self.dialog, &self.first) {
            (Some(dialog), _) => drop(dialog.refresh(&response.headers)),
            (None, Some(first)) => {
                // A challenge moved the number on.
                let mut first = first.clone();
                if let Some(cseq) = response.headers.get(&Name::CSeq) {
                    first.headers.set(Name::CSeq, cseq.to_owned());
                }
                self.dialog = Dialog::of_caller(&first, response).ok();
            }
            (None, None) => {}
        }
        self.failures = 0;
        self.live(now, granted);
        self.news = Some(State::Active { granted });
    }

    fn live(&mut self, now: Instant, granted: Duration) {
        // A fifth of the life is left for lost requests and other servers.
        let refresh = now + granted.mul_f64(0.8).max(SHORTEST_LIFE.mul_f64(0.5));
        self.phase = Phase::Active { refresh };
    }

    /// Our SUBSCRIBE could not be sent, or nobody answered.
    pub fn handle_failure(&mut self, now: Instant, reason: &str) {
        match self.phase {
            Phase::Leaving => self.phase = Phase::Over,
            Phase::Asking => self.wait(now, None, reason.to_owned()),
            _ => {}
        }
    }

    /// A NOTIFY that [`Subscription::matches`].
    pub fn handle_notify(&mut self, now: Instant, notify: &Request) -> Notified {
        let status = match &mut self.dialog {
            Some(dialog) => {
                let number = notify.headers.cseq().map(|cseq| cseq.number).unwrap_or_default();
                dialog.refresh(&notify.headers);
                if dialog.take_cseq(number).is_err() { Status::SERVER_INTERNAL_ERROR } else { Status::OK }
            }
            None => Status::OK,
        };
        if status != Status::OK || self.is_over() {
            return Notified { status, changed: None };
        }
        let changed = Summary::parse(&notify.body).filter(|summary| self.summary.as_ref() != Some(summary));
        if changed.is_some() {
            self.summary.clone_from(&changed);
        }
        let value = notify.headers.get(&Name::SubscriptionState).unwrap_or("active");
        let (state, params) = value.split_at(value.find(';').unwrap_or(value.len()));
        let params = Params::parse(params).unwrap_or_default();
        let seconds = |name: &str| params.get(name).and_then(|value| value.parse().ok()).map(Duration::from_secs);
        if state.trim().eq_ignore_ascii_case("terminated") {
            self.terminated(now, params.get("reason").unwrap_or_default(), seconds("retry-after"));
        } else if let (Some(left), Phase::Active { .. }) = (seconds("expires"), &self.phase) {
            // The notifier may shorten the life at any time.
            self.live(now, left);
        }
        Notified { status, changed }
    }

    /// RFC 6665 section 4.1.3: what each reason asks for.
    fn terminated(&mut self, now: Instant, reason: &str, retry_after: Option<Duration>) {
        if matches!(self.phase, Phase::Leaving) {
            return;
        }
        match reason.to_ascii_lowercase().as_str() {
            "deactivated" | "timeout" => self.start_over(Phase::Due),
            "rejected" | "noresource" | "invariant" => self.end(format!("the notifier ended it: {reason}")),
            "probation" | "giveup" => self.wait(now, retry_after, format!("the notifier ended it: {reason}")),
            _ => self.wait(now, retry_after, "the notifier ended it".into()),
        }
    }

    fn start_over(&mut self, phase: Phase) {
        self.dialog = None;
        self.first = None;
        self.phase = phase;
    }

    fn wait(&mut self, now: Instant, asked: Option<Duration>, reason: String) {
        let doubled = FIRST_WAIT.saturating_mul(1 << self.failures.min(8)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        let wait = asked.unwrap_or(doubled).max(Duration::from_secs(1));
        self.start_over(Phase::Waiting { until: now + wait });
        self.news = Some(State::Waiting { reason, wait });
    }

    fn end(&mut self, reason: String) {
        self.start_over(Phase::Over);
        self.news = Some(State::Ended { reason });
    }

    /// Nobody wants it any more. `true`: a SUBSCRIBE with Expires 0 is to be sent.
    pub fn leave(&mut self) -> bool {
        let known = self.dialog.is_some() && matches!(self.phase, Phase::Active { .. } | Phase::Asking);
        self.phase = if known { Phase::Leaving } else { Phase::Over };
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_millis(1_000);

    fn draft() -> Request {
        let mut request = Request::new(Method::Subscribe, "sip:alice@example.com".parse::<Uri>().unwrap());
        for (name, value) in [
            (Name::From, "<sip:alice@example.com>;tag=ours"),
            (Name::To, "<sip:alice@example.com>"),
            (Name::CallId, "mwi"),
            (Name::CSeq, "1 SUBSCRIBE"),
        ] {
            request.headers.push(name, value);
        }
        request
    }

    fn answer(request: &Request, status: u16, more: &[(Name, &str)]) -> Response {
        let mut response = request.response(Status(status)).with_to_tag("theirs");
        response.headers.push(Name::Contact, "<sip:mailbox@192.0.2.9>");
        for (name, value) in more {
            response.headers.push(name.clone(), *value);
        }
        response
    }

    fn active() -> Subscription {
        let mut subscription = Subscription::new(Duration::from_secs(100));
        assert!(subscription.is_due(NOW));
        let request = subscription.request(Some(draft())).unwrap();
        assert_eq!(request.headers.get(&Name::Event), Some("message-summary"));
        subscription.handle_response(NOW, &answer(&request, 200, &[(Name::Expires, "50")]));
        assert_eq!(subscription.take_news(), Some(State::Active { granted: Duration::from_secs(50) }));
        subscription
    }

    fn notify(cseq: u32, state: &str, body: &'static str) -> Request {
        let mut request = Request::new(Method::Notify, "sip:alice@192.0.2.1".parse::<Uri>().unwrap());
        for (name, value) in [
            (Name::From, "<sip:alice@example.com>;tag=theirs".to_owned()),
            (Name::To, "<sip:alice@example.com>;tag=ours".to_owned()),
            (Name::CallId, "mwi".to_owned()),
            (Name::CSeq, format!("{cseq} NOTIFY")),
            (Name::SubscriptionState, state.to_owned()),
        ] {
            request.headers.push(name, value);
        }
        request.body = body.into();
        request
    }

    #[test]
    fn it_is_refreshed_in_its_dialog_before_its_life_ends() {
        let mut subscription = active();
        assert_eq!(subscription.poll_timeout(), Some(NOW + Duration::from_secs(40)));
        let again = subscription.request(None).unwrap();
        assert_eq!(again.headers.get(&Name::CSeq), Some("2 SUBSCRIBE"));
        assert_eq!(again.uri.to_string(), "sip:mailbox@192.0.2.9");
        // Forgotten by the notifier: anew.
        subscription.handle_response(NOW, &answer(&again, 481, &[]));
        assert!(subscription.is_due(NOW) && subscription.next_hop().is_none());
    }

    #[test]
    fn only_changes_are_told() {
        let mut subscription = active();
        let body = "Messages-Waiting: yes\r\nVoice-Message: 2/8 (0/2)\r\n";
        let first = notify(1, "active;expires=30", body);
        assert!(subscription.matches(&first.headers));
        let told = subscription.handle_notify(NOW, &first);
        assert_eq!(told.status, Status::OK);
        assert_eq!(told.changed.unwrap().voice().map(|counts| counts.new), Some(2));
        assert_eq!(subscription.poll_timeout(), Some(NOW + Duration::from_secs(24)), "the shorter life counts");
        assert_eq!(subscription.handle_notify(NOW, &notify(2, "active", body)).changed, None);
        assert_eq!(subscription.handle_notify(NOW, &notify(1, "active", body)).status, Status::SERVER_INTERNAL_ERROR);
        let mut other = notify(3, "active", body);
        other.headers.set(Name::From, "<sip:alice@example.com>;tag=fork");
        assert!(!subscription.matches(&other.headers));
    }

    #[test]
    fn each_reason_of_an_end_asks_for_something_else() {
        for (state, due) in [
            ("terminated;reason=deactivated", Some(0)),
            ("terminated;reason=timeout", Some(0)),
            ("terminated;reason=probation;retry-after=7", Some(7)),
            ("terminated;reason=giveup", Some(30)),
            ("terminated", Some(30)),
            ("terminated;reason=rejected", None),
            ("Terminated;reason=noresource", None),
        ] {
            let mut subscription = active();
            subscription.handle_notify(NOW, &notify(1, state, ""));
            let wait = subscription.poll_timeout().map(|at| at.since(NOW).as_secs());
            assert_eq!(wait, due, "{state}");
        }
    }

    #[test]
    fn refusals_end_it_or_are_tried_again() {
        for (status, more, due) in [
            (489, vec![], None),
            (403, vec![], None),
            (423, vec![(Name::MinExpires, "3600")], Some(0)),
            (423, vec![], Some(30)),
            (503, vec![(Name::RetryAfter, "90")], Some(90)),
            (480, vec![], Some(30)),
        ] {
            let mut subscription = Subscription::new(Duration::from_secs(100));
            let request = subscription.request(Some(draft())).unwrap();
            subscription.handle_response(NOW, &answer(&request, status, &more));
            let wait = subscription.poll_timeout().map(|at| at.since(NOW).as_secs());
            assert_eq!(wait, due, "{status}");
        }
        let mut subscription = Subscription::new(Duration::from_secs(100));
        for wait in [30, 60, 120, 240, 480, 960, 1_800, 1_800] {
            subscription.request(Some(draft())).unwrap();
            subscription.handle_failure(NOW, "the far end did not answer");
            assert_eq!(subscription.poll_timeout(), Some(NOW + Duration::from_secs(wait)));
        }
    }

    #[test]
    fn leaving_sends_a_last_subscribe() {
        let mut subscription = active();
        assert!(subscription.leave());
        let last = subscription.request(None).unwrap();
        assert_eq!(last.headers.get(&Name::Expires), Some("0"));
        subscription.handle_response(NOW, &answer(&last, 200, &[]));
        assert!(subscription.is_over());
        assert!(!Subscription::new(Duration::from_secs(9)).leave());
    }
}
