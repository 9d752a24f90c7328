//! Dialogs that no call and no registration has claimed (yet), and how much of what belongs to nobody is kept.

use super::entry::Entry;
use super::options::Limits;
use super::ring::Ring;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// Dialogs that wait: an INVITE is claimed within the turn that it came in.
const WAITING: usize = 32;

/// How long a dialog may go unclaimed before it belongs to nobody.
const CLAIM: Duration = Duration::from_secs(2);

/// Messages of nobody that are kept: so many a second, and so many at once. Scanners send thousands; the first explain
/// the rest.
const RATE: f64 = 10.0;
const BURST: f64 = 100.0;

#[derive(Debug)]
struct Stray {
    call_id: String,
    ring: Ring,
    since: Instant,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Strays {
    waiting: VecDeque<Stray>,
    /// Messages that may be kept, as of then.
    allowance: (f64, Instant),
}

impl Strays {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), allowance: (BURST, Instant::ZERO) }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Keeps an entry of a dialog; how many octets that took. The second is a dialog that had to make room.
    pub(super) fn put(&mut self, now: Instant, call_id: &str, entry: Entry, limits: &Limits) -> (isize, Option<Ring>) {
        let known = self.waiting.iter_mut().find(|stray| stray.call_id == call_id);
        if let Some(stray) = known {
            return (stray.ring.push(entry, limits.entries, limits.octets), None);
        }
        let gone = if self.waiting.len() == WAITING { self.waiting.pop_front() } else { None };
        let mut ring = Ring::default();
        let grown = ring.push(entry, limits.entries, limits.octets);
        self.waiting.push_back(Stray { call_id: call_id.to_owned(), ring, since: now });
        (grown, gone.map(|stray| stray.ring))
    }

    /// What was recorded of a dialog before anybody knew whose it is.
    pub(super) fn claim(&mut self, call_id: &str) -> Option<Ring> {
        let at = self.waiting.iter().position(|stray| stray.call_id == call_id)?;
        self.waiting.remove(at).map(|stray| stray.ring)
    }

    /// When the oldest dialog has waited long enough.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.front().map(|stray| stray.since + CLAIM)
    }

    /// A dialog that belongs to nobody: the oldest, if it has waited long enough by `now`.
    pub(super) fn give_up(&mut self, now: Instant) -> Option<Ring> {
        self.next().filter(|due| *due <= now)?;
        self.waiting.pop_front().map(|stray| stray.ring)
    }

    /// The oldest dialog, whoever waits for it.
    pub(super) fn give_up_any(&mut self) -> Option<Ring> {
        self.waiting.pop_front().map(|stray| stray.ring)
    }

    /// May another message of nobody be kept?
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let (left, at) = self.allowance;
        let left = (left + now.since(at).as_secs_f64() * RATE).min(BURST);
        let allowed = left >= 1.0;
        self.allowance = (if allowed { left - 1.0 } else { left }, now);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_kept_and_then_ten_a_second() {
        let mut strays = Strays::new();
        let start = Instant::from_millis(5_000);
        assert_eq!((0..1_000).filter(|_| strays.allows(start)).count(), 100);
        let later = start + Duration::from_secs(3);
        assert_eq!((0..1_000).filter(|_| strays.allows(later)).count(), 30);
        let much_later = later + Duration::from_secs(3600);
        assert_eq!((0..1_000).filter(|_| strays.allows(much_later)).count(), 100);
    }
}
