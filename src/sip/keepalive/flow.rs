//! The keep-alive schedule of one flow.
//!
//! ```text
//!            ┌── CRLF, nobody answers ──┐              ┌───── answer ──────┐
//!            ▼                          │              ▼                   │
//!          Quiet ── ping due ───────────┴─▶ Waiting  Quiet ── due ──▶ Asking ──▶ the same request again, 7 in all
//!            ▲                                │                         │
//!            └──────────── pong ──────────────┤ 10 s                    └─ 39.5 s ─▶ Dead, or Quiet with CRLFs
//!                                             └──────▶ Dead
//! ```

use std::net::SocketAddr;

use super::{BindingId, Technique};
use crate::random::Random;
use crate::time::{Duration, Instant};

/// How long an expected pong may take (RFC 5626 section 4.4.1).
pub(super) const PONG: Duration = Duration::from_secs(10);

/// The first retransmission time-out of a STUN request; it doubles (RTO, RFC 8489 section 6.2.1).
const RTO: Duration = Duration::from_millis(500);

/// How often a STUN request is sent (Rc).
const SENDS: u32 = 7;

/// How many RTOs the last one is waited for (Rm).
const LAST_WAIT: u32 = 16;

/// The schedule of one flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    state: State,
    technique: Technique,
    /// The longest interval between two pings.
    pub(super) interval: Duration,
    /// When the interest in the flow ends by itself.
    pub(super) until: Instant,
    /// Does the peer answer? Then silence means that the flow is dead.
    answers: Answers,
    /// How the far side saw us last.
    mapped: Option<SocketAddr>,
}

/// Does a peer answer? RFC 5626 lets only a peer that says so be held to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    Unknown,
    /// STUN was tried in vain.
    Never,
    Always,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The next ping is due at that time.
    Quiet { ping: Instant },
    /// A pong has to come until that time.
    Waiting { pong: Instant },
    /// A STUN request was sent so often; then it is time for the next one.
    Asking { id: BindingId, sends: u32, next: Instant },
}

/// What a flow wants when its deadline has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nobody is interested in it any more.
    End,
    Ping,
    Binding(BindingId),
    Dead,
}

impl Flow {
    /// The first ping is at `ping`.
    pub(super) fn new(technique: Technique, interval: Duration, ping: Instant, until: Instant) -> Self {
        let state = State::Quiet { ping };
        Self { state, technique, interval, until, answers: Answers::Unknown, mapped: None }
    }

    pub(super) fn deadline(&self) -> Instant {
        let (State::Quiet { ping: at } | State::Waiting { pong: at } | State::Asking { next: at, .. }) = self.state;
        at.min(self.until)
    }

    /// The peer has said that it answers pings.
    pub(super) fn peer_answers(&mut self) {
        self.answers = Answers::Always;
    }

    /// Asks by STUN from now on, unless the peer has shown that it does not know it. Of several who use the flow one is
    /// enough to want that.
    pub(super) fn offer(&mut self, now: Instant, technique: Technique) {
        if technique == Technique::Stun && self.technique == Technique::Crlf && self.answers != Answers::Never {
            self.technique = technique;
            self.state = State::Quiet { ping: now };
        }
    }

    /// The next ping comes at `soon` at the latest.
    pub(super) fn hasten(&mut self, soon: Instant) {
        if let State::Quiet { ping } = self.state {
            self.state = State::Quiet { ping: ping.min(soon) };
        }
    }

    /// A pong came; the next ping is at `next`.
    pub(super) fn pong(&mut self, next: Instant) {
        self.answers = Answers::Always;
        if let State::Waiting { .. } = self.state {
            self.state = State::Quiet { ping: next };
        }
    }

    /// Is this the request that waits for its answer?
    pub(super) fn asks(&self, wanted: BindingId) -> bool {
        matches!(self.state, State::Asking { id, .. } if id == wanted)
    }

    /// Our request was answered: the far side sees us at `mapped`. Gives that back if it is not as it was before.
    pub(super) fn seen(&mut self, next: Instant, mapped: Option<SocketAddr>) -> Option<SocketAddr> {
        self.answers = Answers::Always;
        self.state = State::Quiet { ping: next };
        let mapped = mapped?;
        let before = self.mapped.replace(mapped)?;
        (before != mapped).then_some(mapped)
    }

    /// Does what is due; a flow that stays quiet pings again at `next`.
    pub(super) fn due(&mut self, now: Instant, next: Instant, random: &mut Random) -> Due {
        match self.state {
            _ if now >= self.until => Due::End,
            State::Waiting { .. } => Due::Dead,
            State::Asking { id, sends, .. } if sends < SENDS => {
                self.ask(now, id, sends + 1);
                Due::Binding(id)
            }
            State::Asking { .. } if self.answers == Answers::Always => Due::Dead,
            State::Asking { .. } => {
                (self.technique, self.answers) = (Technique::Crlf, Answers::Never);
                self.state = State::Quiet { ping: next };
                Due::Ping
            }
            State::Quiet { .. } if self.technique == Technique::Stun => {
                let mut id = BindingId([0; 12]);
                random.fill(&mut id.0);
                self.ask(now, id, 1);
                Due::Binding(id)
            }
            State::Quiet { .. } => {
                let pong = self.answers == Answers::Always;
                self.state = if pong { State::Waiting { pong: now + PONG } } else { State::Quiet { ping: next } };
                Due::Ping
            }
        }
    }

    fn ask(&mut self, now: Instant, id: BindingId, sends: u32) {
        let wait = if sends == SENDS { RTO * LAST_WAIT } else { RTO * (1 << (sends - 1)) };
        self.state = State::Asking { id, sends, next: now + wait };
    }
}
