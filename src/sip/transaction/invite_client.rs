//! The INVITE client transaction (RFC 3261 17.1.1 with RFC 6026 7.2).
//!
//! ```text
//!            INVITE sent
//!                 │
//!             ┌───▼────┐ A: resend      cancel   ┌───────────┐ A: resend
//!             │Calling ├────────────────────────▶│ Abandoned │ (a CANCEL waits for
//!             └─┬──┬─┬─┘ B: time-out             └─────┬─────┘  a provisional, 9.1)
//!          1xx  │  │ │                                 │ 1xx: CANCEL
//!      ┌────────▼┐ │ │ 2xx          cancel: CANCEL┌────▼─────┐ 64*T1: time-out
//!      │Procee-  ├─┼─┼───────────────────────────▶│Cancelled │
//!      │ding     │ │ │                            └┬────────┬┘
//!      └─┬─────┬─┘ │ └─────────┐                   │        │
//!    300-699   └───┼───────────┤ 2xx               │        │
//!        │         │        ┌──▼──────┐◀───────────┘2xx     │
//!        │ 300-699 │        │Accepted │ M: end              │ 300-699
//!   ┌────▼─────┐◀──┘        └─────────┘                     │
//!   │Completed │◀───────────────────────────────────────────┘
//!   └──────────┘ repeated: ACK again; D: end
//! ```

use super::Pace;
use super::outbound::{Effect, Input};
use crate::sip::timer::Resend;
use crate::time::Instant;

/// The state of an INVITE that we sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InviteClient {
    /// Nothing came back yet. `resend`: timer A, absent on reliable transports; `give_up`: timer B.
    Calling { resend: Option<Resend>, give_up: Instant },
    /// Like `Calling`, and the call is no longer wanted: CANCEL follows the first provisional response.
    Abandoned { resend: Option<Resend>, give_up: Instant },
    /// A provisional response came: no timer of the RFC runs, a call may ring for minutes. `forget` guards against a
    /// far end that never answers, and moves with every provisional response.
    Proceeding { forget: Instant },
    /// CANCEL was sent; without a final response at `give_up` the INVITE counts as cancelled (RFC 3261 9.1).
    Cancelled { give_up: Instant },
    /// Rejected; repetitions of the response get the ACK again until timer D.
    Completed { until: Instant },
    /// Accepted; every further 2xx goes up until timer M (RFC 6026).
    Accepted { until: Instant },
    /// Over.
    Terminated,
}

impl InviteClient {
    /// The state after the INVITE was sent `now`.
    pub(super) fn start(now: Instant, pace: &Pace) -> Self {
        let resend = (!pace.reliable).then(|| Resend::doubling(now, &pace.timers));
        Self::Calling { resend, give_up: now + pace.timers.give_up() }
    }

    /// When to feed [`Input::Timeout`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::Calling { resend, give_up } | Self::Abandoned { resend, give_up } => {
                Some(resend.map_or(give_up, |resend| resend.at().min(give_up)))
            }
            Self::Proceeding { forget } => Some(forget),
            Self::Cancelled { give_up } => Some(give_up),
            Self::Completed { until } | Self::Accepted { until } => Some(until),
            Self::Terminated => None,
        }
    }

    /// The one transition function.
    pub(super) fn handle(self, now: Instant, input: Input, pace: &Pace) -> (Self, Effect) {
        use Input::*;
        let give_up_later = now + pace.timers.give_up();
        match (self, input) {
            // Timers B and A; B wins where both are due.
            (Self::Calling { give_up, .. } | Self::Abandoned { give_up, .. }, Timeout) if now >= give_up => {
                (Self::Terminated, Effect::TimedOut)
            }
            (Self::Calling { resend: Some(resend), give_up }, Timeout) if now >= resend.at() => {
                (Self::Calling { resend: Some(resend.next(now)), give_up }, Effect::Resend)
            }
            (Self::Abandoned { resend: Some(resend), give_up }, Timeout) if now >= resend.at() => {
                (Self::Abandoned { resend: Some(resend.next(now)), give_up }, Effect::Resend)
            }
            (Self::Proceeding { forget }, Timeout) if now >= forget => {
                (Self::Cancelled { give_up: give_up_later }, Effect::Cancel)
            }
            (Self::Cancelled { give_up }, Timeout) if now >= give_up => (Self::Terminated, Effect::TimedOut),
            // Timers D and M.
            (Self::Completed { until } | Self::Accepted { until }, Timeout) if now >= until => {
                (Self::Terminated, Effect::Nothing)
            }
            (state, Timeout) => (state, Effect::Nothing),

            (Self::Calling { .. } | Self::Proceeding { .. }, Provisional) => {
                (Self::Proceeding { forget: now + pace.ringing }, Effect::Deliver)
            }
            (Self::Abandoned { .. }, Provisional) => {
                (Self::Cancelled { give_up: give_up_later }, Effect::DeliverAndCancel)
            }
            (state @ Self::Cancelled { .. }, Provisional) => (state, Effect::Deliver),

            (
                Self::Calling { .. } | Self::Abandoned { .. } | Self::Proceeding { .. } | Self::Cancelled { .. },
                Success,
            ) => (Self::Accepted { until: give_up_later }, Effect::Deliver),
            // Forks and repetitions of the 2xx are the user's business; M is not restarted (RFC 6026 7.2).
            (state @ Self::Accepted { .. }, Success) => (state, Effect::Deliver),

            (
                Self::Calling { .. } | Self::Abandoned { .. } | Self::Proceeding { .. } | Self::Cancelled { .. },
                Rejection,
            ) => match pace.timers.absorb_rejections(pace.reliable) {
                linger if linger.is_zero() => (Self::Terminated, Effect::DeliverAndAck),
                linger => (Self::Completed { until: now + linger }, Effect::DeliverAndAck),
            },
            (state @ Self::Completed { .. }, Rejection) => (state, Effect::Ack),

            (Self::Calling { resend, give_up }, Cancel) => (Self::Abandoned { resend, give_up }, Effect::Nothing),
            (Self::Proceeding { .. }, Cancel) => (Self::Cancelled { give_up: give_up_later }, Effect::Cancel),

            // Once a provisional response came the request has arrived, and the final response can come by another
            // connection (RFC 3261 18.2.2): only a request without any answer fails.
            (Self::Calling { .. } | Self::Abandoned { .. }, Unreachable) => (Self::Terminated, Effect::Failed),
            // The ACK did not get through: the user has its response already (RFC 3261 17.1.1.2).
            (Self::Completed { .. }, Unreachable) => (Self::Terminated, Effect::Nothing),

            (state, Provisional | Success | Rejection | Cancel | Unreachable) => (state, Effect::Nothing),
        }
    }

    /// Was the INVITE answered by no final response yet?
    pub(super) fn pending(&self) -> bool {
        !matches!(self, Self::Completed { .. } | Self::Accepted { .. } | Self::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{RELIABLE, UDP, at};
    use super::*;

    /// Runs the machine by its own deadlines until `end`: every effect with its instant in milliseconds.
    fn run(machine: &mut InviteClient, pace: &Pace, end: u64) -> Vec<(u64, Effect)> {
        let mut seen = Vec::new();
        while let Some(now) = machine.deadline().filter(|deadline| *deadline <= at(end)) {
            let (next, effect) = machine.handle(now, Input::Timeout, pace);
            assert_ne!((next, effect), (*machine, Effect::Nothing), "a deadline that does nothing at {now:?}");
            *machine = next;
            seen.push((now.since_start().as_millis() as u64, effect));
        }
        seen
    }

    fn feed(machine: &mut InviteClient, now: u64, input: Input, pace: &Pace) -> Effect {
        let (next, effect) = machine.handle(at(now), input, pace);
        *machine = next;
        effect
    }

    #[test]
    fn timer_a_doubles_beyond_t2_until_timer_b() {
        let mut machine = InviteClient::start(at(0), &UDP);
        let mut expected = [500, 1500, 3500, 7500, 15500, 31500].map(|at| (at, Effect::Resend)).to_vec();
        expected.push((32_000, Effect::TimedOut));
        assert_eq!(run(&mut machine, &UDP, 600_000), expected);
        assert_eq!(machine, InviteClient::Terminated);
    }

    #[test]
    fn over_tcp_only_timer_b_runs() {
        let mut machine = InviteClient::start(at(0), &RELIABLE);
        assert_eq!(run(&mut machine, &RELIABLE, 600_000), [(32_000, Effect::TimedOut)]);
    }

    #[test]
    fn a_provisional_response_stops_a_and_b() {
        for pace in [UDP, RELIABLE] {
            let mut machine = InviteClient::start(at(0), &pace);
            assert_eq!(feed(&mut machine, 400, Input::Provisional, &pace), Effect::Deliver);
            assert_eq!(run(&mut machine, &pace, 300_000), []);
            assert_eq!(feed(&mut machine, 300_000, Input::Success, &pace), Effect::Deliver);
        }
    }

    #[test]
    fn a_far_end_that_rings_without_end_is_cancelled_and_then_forgotten() {
        let mut machine = InviteClient::start(at(0), &UDP);
        feed(&mut machine, 100, Input::Provisional, &UDP);
        feed(&mut machine, 60_100, Input::Provisional, &UDP);
        let forget = 60_100 + UDP.ringing.as_millis() as u64;
        assert_eq!(
            run(&mut machine, &UDP, 10_000_000),
            [(forget, Effect::Cancel), (forget + 32_000, Effect::TimedOut)]
        );
    }

    #[test]
    fn rejections_are_acknowledged_for_timer_d() {
        let mut machine = InviteClient::start(at(0), &UDP);
        assert_eq!(feed(&mut machine, 1000, Input::Rejection, &UDP), Effect::DeliverAndAck);
        assert_eq!(feed(&mut machine, 1500, Input::Rejection, &UDP), Effect::Ack);
        assert_eq!(feed(&mut machine, 1600, Input::Success, &UDP), Effect::Nothing);
        assert_eq!(feed(&mut machine, 1600, Input::Provisional, &UDP), Effect::Nothing);
        assert_eq!(feed(&mut machine, 32_999, Input::Timeout, &UDP), Effect::Nothing);
        assert_eq!(run(&mut machine, &UDP, 600_000), [(33_000, Effect::Nothing)]);

        let mut machine = InviteClient::start(at(0), &RELIABLE);
        assert_eq!(feed(&mut machine, 1000, Input::Rejection, &RELIABLE), Effect::DeliverAndAck);
        assert_eq!(machine, InviteClient::Terminated, "timer D is zero over TCP");
    }

    #[test]
    fn every_2xx_goes_up_until_timer_m() {
        for pace in [UDP, RELIABLE] {
            let mut machine = InviteClient::start(at(0), &pace);
            assert_eq!(feed(&mut machine, 1000, Input::Success, &pace), Effect::Deliver);
            assert_eq!(feed(&mut machine, 5000, Input::Success, &pace), Effect::Deliver);
            assert_eq!(feed(&mut machine, 6000, Input::Rejection, &pace), Effect::Nothing);
            assert_eq!(run(&mut machine, &pace, 600_000), [(33_000, Effect::Nothing)]);
            assert_eq!(machine, InviteClient::Terminated);
        }
    }

    #[test]
    fn cancel_waits_for_a_provisional_response() {
        let mut machine = InviteClient::start(at(0), &UDP);
        assert_eq!(feed(&mut machine, 100, Input::Cancel, &UDP), Effect::Nothing);
        assert_eq!(run(&mut machine, &UDP, 2000), [(500, Effect::Resend), (1500, Effect::Resend)]);
        assert_eq!(feed(&mut machine, 2000, Input::Provisional, &UDP), Effect::DeliverAndCancel);
        assert_eq!(feed(&mut machine, 2100, Input::Provisional, &UDP), Effect::Deliver);
        assert_eq!(feed(&mut machine, 2200, Input::Cancel, &UDP), Effect::Nothing, "one CANCEL is enough");
        assert_eq!(run(&mut machine, &UDP, 600_000), [(34_000, Effect::TimedOut)]);

        let mut machine = InviteClient::start(at(0), &UDP);
        feed(&mut machine, 100, Input::Cancel, &UDP);
        assert_eq!(run(&mut machine, &UDP, 600_000).last(), Some(&(32_000, Effect::TimedOut)), "timer B still runs");
    }

    #[test]
    fn cancel_after_a_provisional_response_goes_out_at_once_and_answers_still_count() {
        let mut machine = InviteClient::start(at(0), &UDP);
        feed(&mut machine, 100, Input::Provisional, &UDP);
        assert_eq!(feed(&mut machine, 200, Input::Cancel, &UDP), Effect::Cancel);
        let mut crossed = machine;
        assert_eq!(feed(&mut machine, 300, Input::Rejection, &UDP), Effect::DeliverAndAck);
        assert_eq!(feed(&mut crossed, 300, Input::Success, &UDP), Effect::Deliver);
        assert_eq!(feed(&mut crossed, 400, Input::Cancel, &UDP), Effect::Nothing, "too late to cancel");
    }

    #[test]
    fn a_transport_failure_counts_until_the_first_response() {
        let mut machine = InviteClient::start(at(0), &RELIABLE);
        assert_eq!(feed(&mut machine, 10, Input::Unreachable, &RELIABLE), Effect::Failed);
        assert_eq!(machine, InviteClient::Terminated);

        let mut machine = InviteClient::start(at(0), &RELIABLE);
        feed(&mut machine, 10, Input::Provisional, &RELIABLE);
        assert_eq!(feed(&mut machine, 20, Input::Unreachable, &RELIABLE), Effect::Nothing);
        assert!(machine.pending());
    }
}
