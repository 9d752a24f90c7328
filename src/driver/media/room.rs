//! A conference of calls on one worker.
//!
//! ```text
//!  each period:  all calls hear ─▶ mixer ─▶ all calls say
//!                our user (the ends of the host) ⇄ mixer
//! ```
//!
//! The room paces its calls together, so that what one far end says goes to the others in the same turn. Its period is the
//! longest that fits the packet times of all.

use super::event::Counters;
use super::schedule::Schedule;
use crate::media::mixer::{Mixer, Part, Party};
use crate::time::{Duration, Instant};

/// Our user among the parties; calls have smaller numbers.
pub(super) const US: Party = Party::MAX;

/// The shortest piece that a call can be played out in.
const GRAIN: Duration = Duration::from_millis(10);

/// A call in a room: its key, and the slot of the worker that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) key: u64,
    pub(super) index: usize,
}

/// See the picture at the head of this module.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: u64,
    pub(super) mixer: Mixer,
    /// In the order in which they came; the first is the host, whose source and sink our user has.
    pub(super) members: Vec<Member>,
    /// What our user does; absent when `None`.
    pub(super) us: Option<Part>,
    pub(super) schedule: Schedule,
    pub(super) counters: Counters,
    pub(super) next_wake: Instant,
    /// What our user says and hears.
    pub(super) voice: Vec<i16>,
    pub(super) mix: Vec<i16>,
}

impl Room {
    /// An empty room whose first turn is at `now`.
    pub(super) fn new(id: u64, us: Option<Part>, now: Instant) -> Self {
        Self {
            id,
            mixer: Mixer::new(GRAIN),
            members: Vec::new(),
            us,
            schedule: Schedule::new(now, GRAIN),
            counters: Counters::default(),
            next_wake: now,
            voice: Vec::new(),
            mix: Vec::new(),
        }
    }

    /// A call comes in.
    pub(super) fn admit(&mut self, member: Member, rate: u32, part: Part, muted: bool) {
        self.members.retain(|known| known.key != member.key);
        self.members.push(member);
        self.mixer.enter(member.key, rate, part);
        self.mixer.silence(US, member.key, muted);
    }

    /// A call goes.
    pub(super) fn dismiss(&mut self, key: u64) {
        self.members.retain(|member| member.key != key);
        self.mixer.leave(key);
    }

    /// Changes what a call does, or our user; only the user can be absent.
    pub(super) fn assign(&mut self, who: Option<u64>, part: Option<Part>) {
        match (who, part) {
            (None, part) => self.us = part,
            (Some(key), Some(part)) => {
                if let Some(rate) = self.members.iter().any(|member| member.key == key).then(|| self.mixer.rate_of(key))
                {
                    self.mixer.enter(key, rate, part);
                }
            }
            (Some(_), None) => {}
        }
    }

    /// The call whose source and sink our user has.
    pub(super) fn host(&self) -> Option<Member> {
        self.members.first().copied()
    }

    /// Follows the rate and packet time of a member.
    pub(super) fn follow(&mut self, key: u64, rate: u32) {
        if self.mixer.rate_of(key) != rate {
            let part = self.mixer.part(key).unwrap_or_default();
            self.mixer.enter(key, rate, part);
        }
    }

    /// Our user has the audio of the host, or is absent.
    pub(super) fn follow_host(&mut self, rate: u32) {
        match self.us {
            None if self.mixer.part(US).is_some() => self.mixer.leave(US),
            Some(part) if self.mixer.part(US) != Some(part) || self.mixer.rate_of(US) != rate => {
                self.mixer.enter(US, rate, part);
            }
            _ => {}
        }
    }

    /// Works on `period` at a time.
    pub(super) fn set_period(&mut self, period: Duration) {
        if self.mixer.period() != period {
            self.mixer.set_period(period);
            self.schedule.set_period(period);
        }
    }
}

/// The longest period that fits both, a multiple of 10 ms.
pub(super) fn period(one: Option<Duration>, other: Duration) -> Duration {
    let grains = |time: Duration| (time.as_millis() / GRAIN.as_millis()).max(1);
    let (mut a, mut b) = (one.map_or(0, grains), grains(other));
    while a != 0 {
        (a, b) = (b % a, a);
    }
    GRAIN.saturating_mul(u32::try_from(b).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_fits_all_packet_times() {
        let all = |times: &[u64]| {
            let fold = |one, other: &u64| Some(period(one, Duration::from_millis(*other)));
            times.iter().fold(None, fold).map(|period| period.as_millis())
        };
        assert_eq!(all(&[20, 20, 20]), Some(20));
        assert_eq!(all(&[20, 30]), Some(10));
        assert_eq!(all(&[60, 20]), Some(20));
        assert_eq!(all(&[40, 60]), Some(20));
        assert_eq!(all(&[60]), Some(60));
        assert_eq!(all(&[5, 20]), Some(10));
    }
}
