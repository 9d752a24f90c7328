//! The INVITE server transaction (RFC 3261 17.2.1 with RFC 6026 7.1).
//!
//! ```text
//!   INVITE received
//!        │
//!   ┌────▼─────┐ 200 ms without a response: 100
//!   │Proceeding│ repeated INVITE: last response again
//!   └─┬──────┬─┘
//!     │      │ 300-699 sent
//!     │   ┌──▼──────┐ G, repeated INVITE: response again
//!     │   │Completed├──────────┐
//!     │   └──┬──────┘          │ H: nobody acknowledged
//!     │      │ ACK             │
//!     │   ┌──▼──────┐          │
//!     │   │Confirmed│ I: end   │
//!     │   └─────────┘          ▼
//!     │ 2xx sent              end
//!   ┌─▼──────┐ repeated INVITE: absorbed; ACK goes up
//!   │Accepted│ 2xx sent again by the user
//!   └────────┘ L: end
//! ```

use super::Pace;
use super::inbound::{Effect, Input};
use crate::sip::timer::{Resend, Timers};
use crate::time::Instant;

/// The state of an INVITE that we received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InviteServer {
    /// No final response yet. `trying`: when 100 is due, absent once anything was sent; `forget` guards against a user
    /// that never answers, and moves with every provisional response.
    Proceeding { trying: Option<Instant>, forget: Instant },
    /// Rejected. `resend`: timer G, absent on reliable transports; `give_up`: timer H.
    Completed { resend: Option<Resend>, give_up: Instant },
    /// The rejection was acknowledged; repeated ACKs are absorbed until timer I.
    Confirmed { until: Instant },
    /// Accepted; repeated INVITEs are absorbed until timer L (RFC 6026). The 2xx is repeated by the user.
    Accepted { until: Instant },
    /// Over.
    Terminated,
}

impl InviteServer {
    /// The state after the INVITE was received `now`.
    pub(super) fn start(now: Instant, pace: &Pace) -> Self {
        Self::Proceeding { trying: Some(now + Timers::TRYING), forget: now + pace.ringing }
    }

    /// When to feed [`Input::Timeout`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::Proceeding { trying, forget } => Some(trying.map_or(forget, |trying| trying.min(forget))),
            Self::Completed { resend, give_up } => Some(resend.map_or(give_up, |resend| resend.at().min(give_up))),
            Self::Confirmed { until } | Self::Accepted { until } => Some(until),
            Self::Terminated => None,
        }
    }

    /// The one transition function.
    pub(super) fn handle(self, now: Instant, input: Input, pace: &Pace) -> (Self, Effect) {
        use Input::*;
        let rejected = || {
            let resend = (!pace.reliable).then(|| Resend::capped(now, &pace.timers));
            Self::Completed { resend, give_up: now + pace.timers.give_up() }
        };
        match (self, input) {
            (Self::Proceeding { forget, .. }, Timeout) if now >= forget => (rejected(), Effect::Forgotten),
            (Self::Proceeding { trying: Some(trying), forget }, Timeout) if now >= trying => {
                (Self::Proceeding { trying: None, forget }, Effect::Trying)
            }
            // Timers H and G; H wins where both are due.
            (Self::Completed { give_up, .. }, Timeout) if now >= give_up => (Self::Terminated, Effect::Unacknowledged),
            (Self::Completed { resend: Some(resend), give_up }, Timeout) if now >= resend.at() => {
                (Self::Completed { resend: Some(resend.next(now)), give_up }, Effect::Resend)
            }
            // Timers I and L.
            (Self::Confirmed { until } | Self::Accepted { until }, Timeout) if now >= until => {
                (Self::Terminated, Effect::Nothing)
            }
            (state, Timeout) => (state, Effect::Nothing),

            // Before anything was sent: the peer is in a hurry, 100 calms it.
            (Self::Proceeding { trying: Some(_), forget }, Repeated) => {
                (Self::Proceeding { trying: None, forget }, Effect::Trying)
            }
            (state @ (Self::Proceeding { trying: None, .. } | Self::Completed { .. }), Repeated) => {
                (state, Effect::Resend)
            }

            (Self::Proceeding { .. }, Provisional) => {
                (Self::Proceeding { trying: None, forget: now + pace.ringing }, Effect::Send)
            }
            (Self::Proceeding { .. }, Success) => (Self::Accepted { until: now + pace.timers.give_up() }, Effect::Send),
            (state @ Self::Accepted { .. }, Success) => (state, Effect::Send),
            (Self::Proceeding { .. }, Rejection) => (rejected(), Effect::Send),

            (Self::Completed { .. }, Ack) => match pace.timers.absorb_acks(pace.reliable) {
                linger if linger.is_zero() => (Self::Terminated, Effect::Nothing),
                linger => (Self::Confirmed { until: now + linger }, Effect::Nothing),
            },
            // Peers exist that send the ACK of a 2xx with the INVITE's branch.
            (state @ Self::Accepted { .. }, Ack) => (state, Effect::Acknowledged),

            (state, Repeated | Ack | Provisional | Success | Rejection) => (state, Effect::Nothing),
        }
    }

    /// Did the user send no final response yet?
    pub(super) fn pending(&self) -> bool {
        matches!(self, Self::Proceeding { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{RELIABLE, UDP, at};
    use super::*;

    fn run(machine: &mut InviteServer, pace: &Pace, end: u64) -> Vec<(u64, Effect)> {
        let mut seen = Vec::new();
        while let Some(now) = machine.deadline().filter(|deadline| *deadline <= at(end)) {
            let (next, effect) = machine.handle(now, Input::Timeout, pace);
            assert_ne!((next, effect), (*machine, Effect::Nothing), "a deadline that does nothing at {now:?}");
            *machine = next;
            seen.push((now.since_start().as_millis() as u64, effect));
        }
        seen
    }

    fn feed(machine: &mut InviteServer, now: u64, input: Input, pace: &Pace) -> Effect {
        let (next, effect) = machine.handle(at(now), input, pace);
        *machine = next;
        effect
    }

    #[test]
    fn trying_follows_after_200_ms_unless_the_user_was_faster() {
        let mut machine = InviteServer::start(at(0), &UDP);
        assert_eq!(feed(&mut machine, 199, Input::Timeout, &UDP), Effect::Nothing);
        assert_eq!(run(&mut machine, &UDP, 300_000), [(200, Effect::Trying)]);
        assert_eq!(feed(&mut machine, 300_000, Input::Repeated, &UDP), Effect::Resend);

        let mut machine = InviteServer::start(at(0), &UDP);
        assert_eq!(feed(&mut machine, 199, Input::Provisional, &UDP), Effect::Send);
        assert_eq!(run(&mut machine, &UDP, 300_000), []);

        let mut machine = InviteServer::start(at(0), &UDP);
        assert_eq!(feed(&mut machine, 100, Input::Repeated, &UDP), Effect::Trying);
        assert_eq!(run(&mut machine, &UDP, 300_000), []);
    }

    #[test]
    fn a_rejection_is_repeated_by_timer_g_until_timer_h() {
        let mut machine = InviteServer::start(at(0), &UDP);
        assert_eq!(feed(&mut machine, 100, Input::Rejection, &UDP), Effect::Send);
        assert_eq!(feed(&mut machine, 150, Input::Repeated, &UDP), Effect::Resend);
        assert_eq!(feed(&mut machine, 160, Input::Provisional, &UDP), Effect::Nothing);
        assert_eq!(feed(&mut machine, 160, Input::Success, &UDP), Effect::Nothing);
        let mut expected =
            [600, 1600, 3600, 7600, 11600, 15600, 19600, 23600, 27600, 31600].map(|at| (at, Effect::Resend)).to_vec();
        expected.push((32_100, Effect::Unacknowledged));
        assert_eq!(run(&mut machine, &UDP, 600_000), expected);
    }

    #[test]
    fn over_tcp_a_rejection_is_sent_once_and_only_timer_h_runs() {
        let mut machine = InviteServer::start(at(0), &RELIABLE);
        feed(&mut machine, 100, Input::Rejection, &RELIABLE);
        let mut acknowledged = machine;
        assert_eq!(run(&mut machine, &RELIABLE, 600_000), [(32_100, Effect::Unacknowledged)]);
        assert_eq!(feed(&mut acknowledged, 200, Input::Ack, &RELIABLE), Effect::Nothing);
        assert_eq!(acknowledged, InviteServer::Terminated, "timer I is zero over TCP");
    }

    #[test]
    fn an_ack_stops_g_and_h_and_later_ones_are_absorbed_for_timer_i() {
        let mut machine = InviteServer::start(at(0), &UDP);
        feed(&mut machine, 100, Input::Rejection, &UDP);
        assert_eq!(feed(&mut machine, 300, Input::Ack, &UDP), Effect::Nothing);
        assert_eq!(feed(&mut machine, 400, Input::Ack, &UDP), Effect::Nothing);
        assert_eq!(feed(&mut machine, 400, Input::Repeated, &UDP), Effect::Nothing);
        assert_eq!(run(&mut machine, &UDP, 600_000), [(5_300, Effect::Nothing)]);
    }

    #[test]
    fn a_2xx_absorbs_invites_and_passes_acks_until_timer_l() {
        for pace in [UDP, RELIABLE] {
            let mut machine = InviteServer::start(at(0), &pace);
            assert_eq!(feed(&mut machine, 100, Input::Success, &pace), Effect::Send);
            assert_eq!(feed(&mut machine, 600, Input::Repeated, &pace), Effect::Nothing);
            assert_eq!(feed(&mut machine, 600, Input::Success, &pace), Effect::Send, "the user repeats its 2xx");
            assert_eq!(feed(&mut machine, 700, Input::Ack, &pace), Effect::Acknowledged);
            assert_eq!(feed(&mut machine, 800, Input::Rejection, &pace), Effect::Nothing);
            assert_eq!(run(&mut machine, &pace, 600_000), [(32_100, Effect::Nothing)]);
            assert_eq!(machine, InviteServer::Terminated);
        }
    }

    #[test]
    fn a_user_that_never_answers_is_answered_for() {
        let mut machine = InviteServer::start(at(0), &UDP);
        let forget = UDP.ringing.as_millis() as u64;
        let seen = run(&mut machine, &UDP, 10_000_000);
        assert_eq!(seen[..2], [(200, Effect::Trying), (forget, Effect::Forgotten)]);
        assert_eq!(seen.last(), Some(&(forget + 32_000, Effect::Unacknowledged)));
        assert_eq!(machine, InviteServer::Terminated);
    }
}
