//! The server transaction of every request but INVITE and ACK (RFC 3261 17.2.2).
//!
//! ```text
//!   request received
//!        │
//!   ┌────▼────┐ repeated: absorbed
//!   │ Trying  ├───────────┐
//!   └────┬────┘           │
//!        │ 1xx sent       │ 200-699 sent
//!   ┌────▼─────┐ repeated: response again
//!   │Proceeding├──────────┤
//!   └──────────┘     ┌────▼────┐ repeated: response again
//!                    │Completed│ J: end
//!                    └─────────┘
//! ```

use super::Pace;
use super::inbound::{Effect, Input};
use crate::time::Instant;

/// The state of a request that we received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// Nothing was sent yet. At `forget` the sender has given up (its timer F), and so do we.
    Trying { forget: Instant },
    /// A provisional response was sent.
    Proceeding { forget: Instant },
    /// Answered; repetitions get the response again until timer J.
    Completed { until: Instant },
    /// Over.
    Terminated,
}

impl Server {
    /// The state after the request was received `now`.
    pub(super) fn start(now: Instant, pace: &Pace) -> Self {
        Self::Trying { forget: now + pace.timers.give_up() }
    }

    /// When to feed [`Input::Timeout`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::Trying { forget } | Self::Proceeding { forget } => Some(forget),
            Self::Completed { until } => Some(until),
            Self::Terminated => None,
        }
    }

    /// The one transition function.
    pub(super) fn handle(self, now: Instant, input: Input, pace: &Pace) -> (Self, Effect) {
        use Input::*;
        match (self, input) {
            // A response would come after the sender gave up (RFC 4320 section 4.2).
            (Self::Trying { forget } | Self::Proceeding { forget }, Timeout) if now >= forget => {
                (Self::Terminated, Effect::Forgotten)
            }
            // Timer J.
            (Self::Completed { until }, Timeout) if now >= until => (Self::Terminated, Effect::Nothing),
            (state, Timeout) => (state, Effect::Nothing),

            (state @ (Self::Proceeding { .. } | Self::Completed { .. }), Repeated) => (state, Effect::Resend),
            (Self::Trying { forget } | Self::Proceeding { forget }, Provisional) => {
                (Self::Proceeding { forget }, Effect::Send)
            }
            (Self::Trying { .. } | Self::Proceeding { .. }, Success | Rejection) => {
                match pace.timers.absorb_requests(pace.reliable) {
                    linger if linger.is_zero() => (Self::Terminated, Effect::Send),
                    linger => (Self::Completed { until: now + linger }, Effect::Send),
                }
            }
            (state, Repeated | Ack | Provisional | Success | Rejection) => (state, Effect::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{RELIABLE, UDP, at};
    use super::*;

    fn feed(machine: &mut Server, now: u64, input: Input, pace: &Pace) -> Effect {
        let (next, effect) = machine.handle(at(now), input, pace);
        *machine = next;
        effect
    }

    #[test]
    fn repetitions_get_the_last_response_until_timer_j() {
        let mut machine = Server::start(at(0), &UDP);
        assert_eq!(feed(&mut machine, 500, Input::Repeated, &UDP), Effect::Nothing, "nothing to repeat yet");
        assert_eq!(feed(&mut machine, 600, Input::Provisional, &UDP), Effect::Send);
        assert_eq!(feed(&mut machine, 1500, Input::Repeated, &UDP), Effect::Resend);
        assert_eq!(feed(&mut machine, 2000, Input::Success, &UDP), Effect::Send);
        assert_eq!(feed(&mut machine, 2100, Input::Rejection, &UDP), Effect::Nothing, "one final response");
        assert_eq!(feed(&mut machine, 3500, Input::Repeated, &UDP), Effect::Resend);
        assert_eq!(machine.deadline(), Some(at(34_000)));
        assert_eq!(feed(&mut machine, 33_999, Input::Timeout, &UDP), Effect::Nothing);
        assert_eq!(feed(&mut machine, 34_000, Input::Timeout, &UDP), Effect::Nothing);
        assert_eq!(machine, Server::Terminated);
    }

    #[test]
    fn over_tcp_timer_j_is_zero() {
        let mut machine = Server::start(at(0), &RELIABLE);
        assert_eq!(feed(&mut machine, 10, Input::Success, &RELIABLE), Effect::Send);
        assert_eq!(machine, Server::Terminated);
    }

    #[test]
    fn a_request_without_any_answer_ends_with_its_senders_timer_f() {
        let mut machine = Server::start(at(0), &UDP);
        feed(&mut machine, 20_000, Input::Provisional, &UDP);
        assert_eq!(machine.deadline(), Some(at(32_000)));
        assert_eq!(feed(&mut machine, 32_000, Input::Timeout, &UDP), Effect::Forgotten);
        assert_eq!(machine, Server::Terminated);
    }
}
