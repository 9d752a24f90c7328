//! What is said: silence, with a marker now and then.

use crate::bench::marker::Markers;
use crate::random::Random;
use crate::time::Duration;

/// A marker that was said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sent {
    /// Which one.
    pub(super) number: u32,
    /// Where it begins, in samples from the first said.
    pub(super) at: f64,
}

/// Says markers at random times: at every phase to the packets that carry them.
#[derive(Debug)]
pub(super) struct Prober {
    markers: Markers,
    random: Random,
    /// Mean distance from marker to marker, samples.
    interval: f64,
    /// Samples said so far.
    said: u64,
    /// Where the next marker begins; in the past while none are wanted.
    next: f64,
    number: u32,
    /// What reaches beyond what was asked for.
    rest: Vec<i16>,
}

impl Prober {
    pub(super) fn new(markers: Markers, interval: Duration, random: Random) -> Self {
        let shortest = 3.0 * markers.samples() as f64;
        let interval = (interval.as_secs_f64() * f64::from(markers.rate())).max(shortest);
        Self { markers, random, interval, said: 0, next: -1.0, number: 0, rest: Vec::new() }
    }

    /// The next `length` samples, markers among them if `probing`; those that begin are appended to `sent`.
    pub(super) fn say(&mut self, length: usize, probing: bool, sent: &mut Vec<Sent>) -> Vec<i16> {
        let mut out = std::mem::take(&mut self.rest);
        while probing && out.len() < length {
            let here = (self.said + out.len() as u64) as f64;
            if self.next < here {
                self.next = here + self.interval * self.random.unit();
            }
            let silence = (self.next - here) as usize;
            if out.len() + silence >= length {
                break;
            }
            out.resize(out.len() + silence, 0);
            out.extend(self.markers.marker(self.number, self.next.fract()));
            sent.push(Sent { number: self.number, at: self.next });
            self.number += 1;
            // Far enough for no two to overlap.
            self.next += self.interval * (0.5 + self.random.unit());
        }
        if out.len() < length {
            out.resize(length, 0);
        }
        self.rest = out.split_off(length);
        self.said += length as u64;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::marker::Search;

    #[test]
    fn markers_are_where_they_are_said_to_be_at_every_phase() {
        let markers = Markers::new(8_000, 5);
        let mut prober = Prober::new(markers, Duration::from_millis(400), Random::from_seed(1));
        let (mut said, mut sent) = (Vec::new(), Vec::new());
        for piece in 0..200 {
            said.extend(prober.say(160 + piece % 7, piece > 20, &mut sent));
        }
        assert!((7..14).contains(&sent.len()), "{sent:?}");
        assert!(said[..20 * 160].iter().all(|&sample| sample == 0));
        let mut search = Search::default();
        for &Sent { number, at } in sent.iter().filter(|sent| sent.at + 600.0 < said.len() as f64) {
            let from = at as usize - 100;
            let found = search.find(&markers.marker(number, 0.0), &said[from..from + 700]).unwrap();
            assert!((found.at + from as f64 - at).abs() < 0.02, "{number}: {found:?} {at}");
        }
        let mut phases: Vec<f64> = sent.iter().map(|sent| sent.at % 160.0).collect();
        phases.sort_by(f64::total_cmp);
        assert!(phases[0] < 80.0 && phases[phases.len() - 1] > 80.0, "{phases:?}");
    }
}
