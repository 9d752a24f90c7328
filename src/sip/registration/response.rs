//! What a response to REGISTER means (RFC 3261 section 10.2).

use super::{Binding, Failure, Outbound, Phase, Registration, Sent, State, Wanted};
use crate::sip::auth::Refused;
use crate::sip::header::Name;
use crate::sip::message::{Response, Status};
use crate::sip::name_addr::NameAddr;
use crate::time::{Duration, Instant};

/// A binding longer than that is refreshed every day all the same.
const LONGEST: Duration = Duration::from_secs(86_400);

/// How often in one attempt 423 may raise the lifetime.
const TOO_BRIEF: u32 = 2;

/// How often in one attempt our address may turn out to be another one; a translator that changes it with every
/// request would keep us busy for ever.
const REWRITES: u32 = 2;

/// 439: our proxy knows nothing of flows, so that the registrar cannot keep one (RFC 5626 section 11.6).
const FIRST_HOP_LACKS_OUTBOUND: Status = Status(439);

impl Registration {
    /// A response to the last [`Registration::request`] came. One to an earlier request is ignored.
    pub fn handle_response(&mut self, now: Instant, response: &Response) {
        let Phase::Sent { sent, .. } = &self.phase else { return };
        if response.status.is_provisional()
            || response.headers.cseq().map(|cseq| cseq.number).ok() != Some(sent.sequence)
        {
            return;
        }
        // Whatever it says, the phase that follows is another one.
        let Phase::Sent { sent, .. } = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
        if let Ok(via) = response.headers.top_via() {
            self.learn(sent.hop, &via);
        }
        match response.status {
            status if status.is_success() && sent.expires.is_zero() => self.unbound(now),
            status if status.is_success() => self.bound(now, &sent, response),
            Status::UNAUTHORIZED | Status::PROXY_AUTHENTICATION_REQUIRED => self.challenged(now, *sent, response),
            FIRST_HOP_LACKS_OUTBOUND if self.outbound != Outbound::Off => {
                self.outbound = Outbound::Off;
                self.ask(now);
            }
            Status::INTERVAL_TOO_BRIEF => self.too_brief(now, &sent, response),
            _ => self.refused(now, &sent, response),
        }
    }

    /// 200 to a REGISTER with a lifetime.
    fn bound(&mut self, now: Instant, sent: &Sent, response: &Response) {
        let bindings = response.headers.contacts().unwrap_or_default();
        let ours = self.ours(&sent.contact, &bindings);
        // A registrar that lists bindings, but neither ours nor a lifetime for all, has not bound us; one that lists
        // nothing at all is taken at its word.
        let granted = match (ours.and_then(NameAddr::expires), response.headers.expires()) {
            (Some(seconds), _) | (None, Some(seconds)) => Some(Duration::from_secs(seconds.into())),
            (None, None) if ours.is_some() || bindings.is_empty() => Some(sent.expires),
            (None, None) => None,
        };
        let Some(granted) = granted.filter(|granted| !granted.is_zero()) else {
            self.binding = None;
            self.fail(now, Failure::NotBound(sent.contact.clone()), None);
            return;
        };
        let until = now + granted;
        self.failures = 0;
        self.service_route = response.headers.addresses(&Name::ServiceRoute).unwrap_or_default();
        if self.outbound != Outbound::Off {
            let agreed = response.headers.all(&Name::Require).any(|tag| tag.eq_ignore_ascii_case("outbound"));
            self.outbound = if agreed { Outbound::Agreed } else { Outbound::Offered };
        }
        self.binding = Some(Binding { contact: sent.contact.clone(), until });
        if self.wanted == Wanted::Unregistered {
            self.begin(now);
            return;
        }
        // Behind a translator the contact that was just bound leads nowhere: bind the one that does.
        if !self.contact(sent.hop).equivalent(&sent.contact) && self.attempt.rewrites < REWRITES {
            self.attempt.rewrites += 1;
            self.attempt.challenges = Default::default();
            self.ask(now);
            return;
        }
        let refresh = now + self.refresh_after(granted);
        self.phase = Phase::Waiting { at: refresh };
        self.change(State::Registered { contact: sent.contact.clone(), granted, expires: until, refresh });
    }

    /// 200 to a REGISTER with lifetime zero.
    fn unbound(&mut self, now: Instant) {
        match self.wanted {
            Wanted::Unregistered => self.end(),
            // The user changed its mind while the binding was being removed.
            Wanted::Registered => {
                self.binding = None;
                self.begin(now);
            }
        }
    }

    fn challenged(&mut self, now: Instant, sent: Sent, response: &Response) {
        let Some(auth) = &mut self.auth else {
            self.fail(now, unauthorized(response), None);
            return;
        };
        let mut request = sent.request;
        match auth.answer(&mut request, response, &mut self.attempt.challenges, &mut self.seed.grow()) {
            Ok(()) => {
                self.answered = Some(Box::new(request));
                self.ask(now);
            }
            Err(Refused::Wrong { .. } | Refused::TooOften) => self.fail(now, unauthorized(response), None),
            Err(
                error @ (Refused::NoChallenge
                | Refused::Unsupported(_)
                | Refused::Realm(_)
                | Refused::Weak(_)
                | Refused::Missing),
            ) => {
                self.fail(now, Failure::Challenge(error.to_string()), None);
            }
        }
    }

    /// 423 says the shortest lifetime that the registrar grants (RFC 3261 10.2.8).
    fn too_brief(&mut self, now: Instant, sent: &Sent, response: &Response) {
        let least = response.headers.min_expires().map(|seconds| Duration::from_secs(seconds.into()));
        match least.filter(|least| *least > self.expires && *least <= LONGEST) {
            Some(least) if self.attempt.too_brief < TOO_BRIEF => {
                self.attempt.too_brief += 1;
                self.expires = least;
                self.ask(now);
            }
            _ => self.refused(now, sent, response),
        }
    }

    fn refused(&mut self, now: Instant, sent: &Sent, response: &Response) {
        let authorized = sent.request.headers.contains(&Name::Authorization);
        let failure = match response.status {
            Status::REQUEST_TIMEOUT => Failure::Timeout,
            // What several registrars answer to a wrong password.
            Status::FORBIDDEN if authorized => unauthorized(response),
            status => Failure::Rejected { status, reason: response.reason.clone() },
        };
        self.fail(now, failure, response.headers.retry_after());
    }

    /// When to refresh a binding: early enough for two attempts that time out (2 * 64*T1), but not in the first half of
    /// its life, and a little earlier each time so that phones that started together drift apart.
    fn refresh_after(&mut self, granted: Duration) -> Duration {
        let granted = granted.min(LONGEST);
        if let Some(share) = self.settings.refresh {
            // Up to a twentieth earlier each time, for the same reason.
            let early = share.of(granted).mul_f64(1.0 - 0.05 * self.seed.grow().unit());
            return early.max(Duration::from_millis(500));
        }
        let lead = (granted / 4).min(Duration::from_secs(64)).mul_f64(1.0 + 0.25 * self.seed.grow().unit());
        (granted - lead.min(granted / 2)).max(Duration::from_millis(500))
    }
}

fn unauthorized(response: &Response) -> Failure {
    Failure::Unauthorized { status: response.status, reason: response.reason.clone() }
}
