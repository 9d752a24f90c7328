//! Tells the log what was kept out, at most once a minute however much it is.

use crate::sip::guard::Counters;
use crate::time::{Duration, Instant};

/// How long after one line the next one may come: a scanner sends hundreds of requests a second.
const PAUSE: Duration = Duration::from_secs(60);

/// What was told last, and when.
#[derive(Debug, Default)]
pub(super) struct KeptOut {
    told: Counters,
    next: Option<Instant>,
}

impl KeptOut {
    /// Looks at the counters, and says what is new if it is time to.
    pub(super) fn look(&mut self, now: Instant, counters: Counters) {
        if self.news(now, counters) {
            tracing::info!(
                ignored = counters.ignored,
                scanners = counters.scanners,
                over_rate = counters.over_rate,
                challenged = counters.challenged,
                wrong_credentials = counters.wrong_credentials,
                oversized = counters.oversized,
                malformed = counters.malformed,
                overload = counters.overload,
                sessions_full = counters.sessions_full,
                credentials_withheld = counters.credentials_withheld,
                "messages were kept out; the figures count from the start"
            );
        }
    }

    fn news(&mut self, now: Instant, counters: Counters) -> bool {
        if counters.total() == self.told.total() || self.next.is_some_and(|next| now < next) {
            return false;
        }
        (self.told, self.next) = (counters, Some(now + PAUSE));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_minute() {
        let mut kept_out = KeptOut::default();
        let mut counters = Counters::default();
        let told = (0..3_000u64).filter(|second| {
            counters.ignored += 500;
            counters.admitted += 1;
            kept_out.news(Instant::from_millis(second * 100), counters)
        });
        assert_eq!(told.count(), 5, "five minutes");
        assert!(!kept_out.news(Instant::from_millis(9_000_000), kept_out.told), "nothing new, nothing told");
        counters.admitted += 1;
        kept_out.told = counters;
        assert!(!kept_out.news(Instant::from_millis(9_900_000), counters), "what is served is no news");
    }
}
