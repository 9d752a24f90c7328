//! When something was said and when it was heard, from the ticks of a call.
//!
//! All times are in seconds of one clock.

use crate::audio::Tick;
use crate::bench::marker::{Markers, Search};
use crate::time::Instant;
use std::collections::VecDeque;

/// A marker is first looked for this near to where the one before was, seconds.
const NEAR: f64 = 0.05;

/// The time of `instant`, seconds.
pub(super) fn seconds(instant: Instant) -> f64 {
    instant.since_start().as_secs_f64()
}

/// A tick, and the number of its first sample.
#[derive(Clone, Copy, Debug)]
struct Placed {
    start: u64,
    tick: Tick,
    /// Mean time from arrival to playout of the packets that were played in it, seconds.
    waited: Option<f64>,
}

/// When each sample was said.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    ticks: VecDeque<Placed>,
    said: u64,
}

/// When a sample was said, and how long its packet took to leave, seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Utterance {
    /// When the air moved.
    pub(super) at: f64,
    /// From the end of the packet's recording until the system had it.
    pub(super) sending: f64,
}

impl Spoken {
    /// The next tick of the call.
    pub(super) fn tick(&mut self, tick: Tick) {
        if tick.voiced > 0 {
            self.ticks.push_back(Placed { start: self.said, tick, waited: None });
            self.said += tick.voiced as u64;
        }
    }

    /// When the sample at `place` was said; `None` if that is to come, or was forgotten.
    pub(super) fn time(&self, place: f64) -> Option<Utterance> {
        let at = self.ticks.partition_point(|placed| (placed.start as f64) <= place).checked_sub(1)?;
        let Placed { start, tick, .. } = *self.ticks.get(at)?;
        let into = place - start as f64;
        if into >= tick.voiced as f64 {
            return None;
        }
        // What was due at a time was recorded in the packet time before it.
        let recorded = (tick.samples as f64 - into) / f64::from(tick.rate);
        let sending = seconds(tick.sent) - seconds(tick.due);
        Some(Utterance { at: seconds(tick.due) - recorded, sending })
    }

    /// Forgets what was said before `place`.
    pub(super) fn forget(&mut self, place: f64) {
        while self.ticks.front().is_some_and(|placed| ((placed.start + placed.tick.voiced as u64) as f64) < place) {
            self.ticks.pop_front();
        }
    }
}

/// A marker that was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sighting {
    /// When.
    pub(super) at: f64,
    /// How much it was like the one said.
    pub(super) likeness: f64,
    /// How long its packet waited in the jitter buffer, seconds.
    pub(super) waited: Option<f64>,
    /// How long it took to decode, seconds.
    pub(super) decoding: f64,
    /// How long it then took until the same tick had sent its packet, seconds.
    pub(super) sending: f64,
}

/// What became of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It may still come.
    Waits,
    /// It was heard.
    Heard(Sighting),
    /// It was not heard in time.
    Lost,
}

/// Looks for markers in what is heard.
#[derive(Debug)]
pub(super) struct Finder {
    markers: Markers,
    search: Search,
    /// The longest time that a marker may take, seconds.
    longest: f64,
    /// What is added to the times of ticks: another clock.
    offset: f64,
    ticks: VecDeque<Placed>,
    /// What was heard, from the first of `ticks` on.
    heard: VecDeque<i16>,
    total: u64,
    before: Option<Tick>,
    /// How long the last one took, seconds.
    usual: Option<f64>,
}

impl Finder {
    pub(super) fn new(markers: Markers, longest: f64, offset: f64) -> Self {
        let (search, ticks, heard) = Default::default();
        Self { markers, search, longest, offset, ticks, heard, total: 0, before: None, usual: None }
    }

    /// The next tick, and what was heard in it.
    pub(super) fn tick(&mut self, tick: Tick, heard: &[i16]) {
        let waited = self.before.filter(|before| tick.played > before.played).map(|before| {
            (tick.waited.saturating_sub(before.waited)).as_secs_f64() / (tick.played - before.played) as f64
        });
        self.before = Some(tick);
        self.ticks.push_back(Placed { start: self.total, tick, waited });
        self.heard.extend(heard);
        self.total += tick.samples as u64;
    }

    /// Forgets what was heard before the time `before`.
    pub(super) fn forget(&mut self, before: f64) {
        while self.ticks.front().is_some_and(|placed| self.end(placed) < before) {
            if let Some(placed) = self.ticks.pop_front() {
                self.heard.drain(..placed.tick.samples.min(self.heard.len()));
            }
        }
    }

    /// Looks for the marker `number`, which was said at `spoken`; if it is `over`, there is nothing to wait for.
    pub(super) fn find(&mut self, number: u32, spoken: f64, over: bool) -> Verdict {
        let Some(last) = self.ticks.back() else { return if over { Verdict::Lost } else { Verdict::Waits } };
        let newest = self.end(last);
        let length = self.markers.samples() as f64 / f64::from(self.markers.rate());
        let marker = self.markers.marker(number, 0.0);
        if let Some(usual) = self.usual {
            let (from, to) = (spoken + usual - NEAR, spoken + usual + NEAR + length);
            if to > newest && !over {
                return Verdict::Waits;
            }
            if let Some(sighting) = self.look(&marker, from.max(spoken), to) {
                return self.seen(spoken, sighting);
            }
        }
        let to = spoken + self.longest + length;
        if to > newest && !over {
            return Verdict::Waits;
        }
        match self.look(&marker, spoken, to) {
            Some(sighting) => self.seen(spoken, sighting),
            None => Verdict::Lost,
        }
    }

    fn seen(&mut self, spoken: f64, sighting: Sighting) -> Verdict {
        self.usual = Some(sighting.at - spoken);
        Verdict::Heard(sighting)
    }

    /// Looks for `marker` in what was heard between two times.
    fn look(&mut self, marker: &[i16], from: f64, to: f64) -> Option<Sighting> {
        let first = self.ticks.front()?.start;
        let place = |time: f64| {
            let at = self.ticks.partition_point(|placed| self.end(placed) < time);
            let placed = self.ticks.get(at).or_else(|| self.ticks.back())?;
            let into = (time - self.begin(placed)) * f64::from(placed.tick.rate);
            Some(placed.start - first + (into.max(0.0) as u64).min(placed.tick.samples as u64))
        };
        let (from, to) = (place(from)? as usize, place(to)? as usize);
        let heard: Vec<i16> = self.heard.range(from..to.max(from).min(self.heard.len())).copied().collect();
        let found = self.search.find(marker, &heard)?;
        let at = (first + from as u64) as f64 + found.at;
        let index = self.ticks.partition_point(|placed| (placed.start as f64) <= at).checked_sub(1)?;
        let placed = self.ticks.get(index)?;
        // A packet that fills no tick of its own was played in one beside.
        let waited = self.ticks.range(index..).take(4).find_map(|placed| placed.waited);
        let tick = placed.tick;
        Some(Sighting {
            at: self.begin(placed) + (at - placed.start as f64) / f64::from(tick.rate),
            likeness: found.likeness,
            waited,
            decoding: tick.heard.since(tick.began).as_secs_f64(),
            sending: tick.sent.since(tick.heard).as_secs_f64(),
        })
    }

    fn begin(&self, placed: &Placed) -> f64 {
        seconds(placed.tick.heard) + self.offset
    }

    fn end(&self, placed: &Placed) -> f64 {
        self.begin(placed) + placed.tick.samples as f64 / f64::from(placed.tick.rate.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::prober::{Prober, Sent};
    use super::*;
    use crate::random::Random;
    use crate::time::Duration;

    /// Ticks of 20 ms, each 1 ms late; what is said is heard `delay` ms later, decoded 0.5 ms after the tick began.
    fn echo(delay: u64, lost: std::ops::Range<usize>) -> (Vec<(Sent, Verdict)>, Vec<f64>) {
        let markers = Markers::new(8_000, 9);
        let mut prober = Prober::new(markers, Duration::from_millis(300), Random::from_seed(4));
        let (mut spoken, mut finder) = (Spoken::default(), Finder::new(markers, 1.0, 0.0));
        let (mut sent, mut said, mut verdicts, mut times) =
            (Vec::new(), vec![0; delay as usize * 8], Vec::new(), Vec::new());
        for number in 0..400u64 {
            said.extend(prober.say(160, number < 300, &mut sent));
            let heard = &mut said[number as usize * 160..][..160];
            if lost.contains(&(number as usize)) {
                heard.fill(0);
            }
            let due = Instant::from_millis(1_000 + 20 * number);
            let tick = Tick {
                rate: 8_000,
                samples: 160,
                voiced: 160,
                due,
                began: due + Duration::from_millis(1),
                heard: due + Duration::from_micros(1_500),
                sent: due + Duration::from_millis(2),
                waited: Duration::from_millis(7) * number as u32,
                played: number,
                missed: 0,
            };
            spoken.tick(tick);
            finder.tick(tick, heard);
        }
        for sent in sent {
            let utterance = spoken.time(sent.at).unwrap();
            times.push(utterance.at);
            assert!((utterance.sending - 0.002).abs() < 1e-9);
            verdicts.push((sent, finder.find(sent.number, utterance.at, false)));
        }
        (verdicts, times)
    }

    #[test]
    fn a_known_delay_is_measured_to_ten_microseconds() {
        for delay in [0, 7, 40, 333, 900] {
            let (verdicts, times) = echo(delay, 0..0);
            assert!(verdicts.len() > 10);
            for ((sent, verdict), spoken) in verdicts.into_iter().zip(times) {
                let Verdict::Heard(sighting) = verdict else { panic!("{delay} {sent:?} {verdict:?}") };
                // Recording a packet takes 20 ms, playing begins 1.5 ms after the tick was due.
                let error = sighting.at - spoken - (20.0 + 1.5 + delay as f64) / 1_000.0;
                assert!(error.abs() < 10e-6, "{delay} ms, {sent:?}: {error}");
                assert!((sighting.decoding - 0.0005).abs() < 1e-9 && (sighting.sending - 0.0005).abs() < 1e-9);
                assert!((sighting.waited.unwrap() - 0.007).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn what_is_too_late_or_was_not_heard_is_lost_and_nothing_else() {
        let (verdicts, _) = echo(1_200, 0..0);
        assert!(verdicts.iter().all(|(_, verdict)| *verdict == Verdict::Lost));
        let (verdicts, _) = echo(40, 100..150);
        let (mut lost, mut heard) = (0, 0);
        for (Sent { at, .. }, verdict) in verdicts {
            let (first, last) = ((at + 320.0) / 160.0, (at + 320.0 + 480.0) / 160.0);
            match verdict {
                Verdict::Lost => {
                    assert!(last > 100.0 && first < 150.0, "{first} to {last}");
                    lost += 1;
                }
                Verdict::Heard(_) => {
                    // A third of it was there.
                    assert!(first < 99.0 || last > 151.0, "{first} to {last}");
                    heard += 1;
                }
                Verdict::Waits => panic!("{at}"),
            }
        }
        assert!(lost > 1 && heard > 5, "{lost} {heard}");
    }

    #[test]
    fn what_may_still_come_is_waited_for() {
        let markers = Markers::new(8_000, 9);
        let mut finder = Finder::new(markers, 1.0, 0.0);
        assert_eq!(finder.find(0, 5.0, false), Verdict::Waits);
        assert_eq!(finder.find(0, 5.0, true), Verdict::Lost);
    }
}
