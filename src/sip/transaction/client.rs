//! The client transaction of every request but INVITE and ACK (RFC 3261 17.1.2).
//!
//! ```text
//!   request sent
//!        │
//!   ┌────▼────┐ E: resend (T1, 2*T1 … T2)
//!   │ Trying  ├───────────────┐
//!   └────┬────┘ F: time-out   │
//!    1xx │                    │ 200-699
//!   ┌────▼─────┐ E: resend (T2)
//!   │Proceeding├──────────────┤ 200-699
//!   └──────────┘ F: time-out  │
//!                        ┌────▼─────┐
//!                        │Completed │ K: end
//!                        └──────────┘
//! ```

use super::Pace;
use super::outbound::{Effect, Input};
use crate::sip::timer::Resend;
use crate::time::Instant;

/// The state of a request that we sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// Nothing came back yet. `resend`: timer E, absent on reliable transports; `give_up`: timer F.
    Trying { resend: Option<Resend>, give_up: Instant },
    /// A provisional response came: timer E goes on at T2, timer F as before.
    Proceeding { resend: Option<Resend>, give_up: Instant },
    /// Answered; repetitions of the response are absorbed until timer K.
    Completed { until: Instant },
    /// Over.
    Terminated,
}

impl Client {
    /// The state after the request was sent `now`.
    pub(super) fn start(now: Instant, pace: &Pace) -> Self {
        let resend = (!pace.reliable).then(|| Resend::capped(now, &pace.timers));
        Self::Trying { resend, give_up: now + pace.timers.give_up() }
    }

    /// When to feed [`Input::Timeout`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::Trying { resend, give_up } | Self::Proceeding { resend, give_up } => {
                Some(resend.map_or(give_up, |resend| resend.at().min(give_up)))
            }
            Self::Completed { until } => Some(until),
            Self::Terminated => None,
        }
    }

    /// The one transition function.
    pub(super) fn handle(self, now: Instant, input: Input, pace: &Pace) -> (Self, Effect) {
        use Input::*;
        match (self, input) {
            // Timers F and E; F wins where both are due.
            (Self::Trying { give_up, .. } | Self::Proceeding { give_up, .. }, Timeout) if now >= give_up => {
                (Self::Terminated, Effect::TimedOut)
            }
            (Self::Trying { resend: Some(resend), give_up }, Timeout) if now >= resend.at() => {
                (Self::Trying { resend: Some(resend.next(now)), give_up }, Effect::Resend)
            }
            (Self::Proceeding { resend: Some(resend), give_up }, Timeout) if now >= resend.at() => {
                (Self::Proceeding { resend: Some(resend.next_at_ceiling(now)), give_up }, Effect::Resend)
            }
            // Timer K.
            (Self::Completed { until }, Timeout) if now >= until => (Self::Terminated, Effect::Nothing),
            (state, Timeout) => (state, Effect::Nothing),

            // The running timer E is left as it is; its next interval will be T2.
            (Self::Trying { resend, give_up } | Self::Proceeding { resend, give_up }, Provisional) => {
                (Self::Proceeding { resend, give_up }, Effect::Deliver)
            }
            (Self::Trying { .. } | Self::Proceeding { .. }, Success | Rejection) => {
                match pace.timers.absorb_responses(pace.reliable) {
                    linger if linger.is_zero() => (Self::Terminated, Effect::Deliver),
                    linger => (Self::Completed { until: now + linger }, Effect::Deliver),
                }
            }
            // A provisional response says that the request has arrived; the answer can come by another connection.
            (Self::Trying { .. }, Unreachable) => (Self::Terminated, Effect::Failed),
            (state, Provisional | Success | Rejection | Cancel | Unreachable) => (state, Effect::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{RELIABLE, UDP, at};
    use super::*;

    fn run(machine: &mut Client, pace: &Pace, end: u64) -> Vec<(u64, Effect)> {
        let mut seen = Vec::new();
        while let Some(now) = machine.deadline().filter(|deadline| *deadline <= at(end)) {
            let (next, effect) = machine.handle(now, Input::Timeout, pace);
            assert_ne!((next, effect), (*machine, Effect::Nothing), "a deadline that does nothing at {now:?}");
            *machine = next;
            seen.push((now.since_start().as_millis() as u64, effect));
        }
        seen
    }

    fn feed(machine: &mut Client, now: u64, input: Input, pace: &Pace) -> Effect {
        let (next, effect) = machine.handle(at(now), input, pace);
        *machine = next;
        effect
    }

    #[test]
    fn timer_e_starts_at_t1_and_stops_growing_at_t2_until_timer_f() {
        let mut machine = Client::start(at(0), &UDP);
        let mut expected =
            [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500].map(|at| (at, Effect::Resend)).to_vec();
        expected.push((32_000, Effect::TimedOut));
        assert_eq!(run(&mut machine, &UDP, 600_000), expected);
    }

    #[test]
    fn over_tcp_only_timer_f_runs() {
        let mut machine = Client::start(at(0), &RELIABLE);
        assert_eq!(run(&mut machine, &RELIABLE, 600_000), [(32_000, Effect::TimedOut)]);
    }

    #[test]
    fn after_a_provisional_response_timer_e_runs_at_t2_and_timer_f_goes_on() {
        let mut machine = Client::start(at(0), &UDP);
        assert_eq!(run(&mut machine, &UDP, 600), [(500, Effect::Resend)]);
        assert_eq!(feed(&mut machine, 700, Input::Provisional, &UDP), Effect::Deliver);
        // The interval that was running ends at 1500; from there on T2.
        let mut expected =
            [1500, 5500, 9500, 13500, 17500, 21500, 25500, 29500].map(|at| (at, Effect::Resend)).to_vec();
        expected.push((32_000, Effect::TimedOut));
        assert_eq!(run(&mut machine, &UDP, 600_000), expected);
    }

    #[test]
    fn final_responses_are_absorbed_for_timer_k() {
        let mut machine = Client::start(at(0), &UDP);
        assert_eq!(feed(&mut machine, 300, Input::Success, &UDP), Effect::Deliver);
        assert_eq!(feed(&mut machine, 900, Input::Rejection, &UDP), Effect::Nothing);
        assert_eq!(feed(&mut machine, 900, Input::Unreachable, &UDP), Effect::Nothing);
        assert_eq!(run(&mut machine, &UDP, 600_000), [(5_300, Effect::Nothing)]);

        let mut machine = Client::start(at(0), &RELIABLE);
        assert_eq!(feed(&mut machine, 300, Input::Success, &RELIABLE), Effect::Deliver);
        assert_eq!(machine, Client::Terminated, "timer K is zero over TCP");
    }

    #[test]
    fn a_transport_failure_ends_a_request_that_nobody_answered() {
        let mut machine = Client::start(at(0), &RELIABLE);
        assert_eq!(feed(&mut machine, 10, Input::Unreachable, &RELIABLE), Effect::Failed);
        assert_eq!(machine, Client::Terminated);
    }
}
