//! The thread that speaks and listens: says markers, and finds them in what comes back, while the call goes on.

use super::finder::{Finder, Sighting, Spoken, Utterance, Verdict, seconds};
use super::prober::{Prober, Sent};
use super::result::{Probe, There};
use crate::audio::{Hearing, Tick, Voice};
use crate::bench::marker::Markers;
use crate::random::Random;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(10);

/// How far ahead it speaks: longer than the system ever keeps it waiting.
const AHEAD: Duration = Duration::from_millis(300);

/// Time that is kept beyond the longest that a marker may take, seconds.
const MEMORY: f64 = 1.0;

/// What the listener should do, told from outside.
#[derive(Clone, Debug, Default)]
pub(in crate::bench) struct Wish(Arc<AtomicU8>);

/// What a [`Wish`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Stage {
    Silence,
    Markers,
    LastEchoes,
}

impl Wish {
    /// Say markers.
    pub(in crate::bench) fn begin(&self) {
        self.0.store(Stage::Markers as u8, Ordering::Relaxed);
    }

    /// Say no more, wait for what is on its way, then end.
    pub(in crate::bench) fn end(&self) {
        self.0.store(Stage::LastEchoes as u8, Ordering::Relaxed);
    }

    fn stage(&self) -> Stage {
        match self.0.load(Ordering::Relaxed) {
            0 => Stage::Silence,
            1 => Stage::Markers,
            _ => Stage::LastEchoes,
        }
    }
}

/// The ends of a call, and how to use them.
pub(in crate::bench) struct Means {
    pub(in crate::bench) voice: Voice,
    pub(in crate::bench) hearing: Hearing,
    /// What the far end hears, once it has answered, if it is one of ours; and how its clock stands to ours, seconds.
    pub(in crate::bench) far: Option<(Receiver<Hearing>, f64)>,
    pub(in crate::bench) interval: Duration,
    pub(in crate::bench) longest: Duration,
    pub(in crate::bench) random: Random,
    pub(in crate::bench) wish: Wish,
}

/// Everything that was heard.
#[derive(Debug, Default)]
pub(in crate::bench) struct Heard {
    pub(in crate::bench) probes: Vec<Probe>,
    /// How late each tick was, seconds.
    pub(in crate::bench) late: Vec<f64>,
    /// Ticks that this thread was too slow for.
    pub(in crate::bench) missed: u64,
}

/// Runs until it is told to end and nothing is on its way, or the call is over. Tells each probe when it is known.
pub(in crate::bench) fn run(means: Means, mut known: impl FnMut(&Probe)) -> Heard {
    let Means { mut voice, mut hearing, far, interval, longest, mut random, wish } = means;
    let (seed, mut chance) = (random.u64(), random);
    let (mut samples, mut heard) = (Vec::new(), Heard::default());
    let mut listening: Option<Listening> = None;
    loop {
        loop {
            samples.clear();
            let Some(tick) = hearing.next(&mut samples) else { break };
            heard.late.push(seconds(tick.began) - seconds(tick.due));
            heard.missed += tick.missed;
            let fits = listening.as_ref().is_some_and(|listening| listening.markers.rate() == tick.rate);
            if !fits {
                // The first tick, or another codec: what was said at the old rate is not looked for.
                let markers = Markers::new(tick.rate, seed);
                let prober = Prober::new(markers, interval, chance.split());
                listening = Some(Listening::new(markers, prober, longest.as_secs_f64()));
            }
            if let Some(listening) = &mut listening {
                listening.tick(tick, &samples);
            }
        }
        let stage = wish.stage();
        if let Some(listening) = &mut listening {
            listening.speak(&mut voice, stage == Stage::Markers);
            if let Some((calls, offset)) = &far {
                listening.hear_there(calls, *offset);
            }
            listening.look(hearing.is_over(), |probe| {
                known(&probe);
                heard.probes.push(probe);
            });
        }
        let nothing_left = listening.as_ref().is_none_or(|listening| listening.open.is_empty());
        if hearing.is_over() || (stage == Stage::LastEchoes && nothing_left) {
            return heard;
        }
        std::thread::sleep(LOOK);
    }
}

/// What is known since the rate is.
struct Listening {
    markers: Markers,
    prober: Prober,
    spoken: Spoken,
    finder: Finder,
    /// Said and not heard yet, with when and how.
    open: VecDeque<(Sent, Option<Utterance>, Option<Verdict>)>,
    /// Samples that the call has not said yet.
    ahead: usize,
    longest: f64,
    began: Option<f64>,
    newest: f64,
    there: Option<(Hearing, Finder)>,
}

impl Listening {
    fn new(markers: Markers, prober: Prober, longest: f64) -> Self {
        Self {
            markers,
            prober,
            spoken: Spoken::default(),
            finder: Finder::new(markers, longest, 0.0),
            open: VecDeque::new(),
            ahead: 0,
            longest,
            began: None,
            newest: 0.0,
            there: None,
        }
    }

    fn tick(&mut self, tick: Tick, heard: &[i16]) {
        self.newest = seconds(tick.heard);
        self.began.get_or_insert(self.newest);
        self.spoken.tick(tick);
        self.ahead = self.ahead.saturating_sub(tick.voiced);
        self.finder.tick(tick, heard);
    }

    fn speak(&mut self, voice: &mut Voice, probing: bool) {
        let ahead = (AHEAD.as_secs_f64() * f64::from(self.markers.rate())) as usize;
        let length = ahead.saturating_sub(self.ahead).min(voice.room());
        let mut sent = Vec::new();
        let said = self.prober.say(length, probing, &mut sent);
        self.ahead += voice.say(&said);
        self.open.extend(sent.into_iter().map(|sent| (sent, None, None)));
    }

    /// Listens at the far end.
    fn hear_there(&mut self, calls: &Receiver<Hearing>, offset: f64) {
        if let Ok(hearing) = calls.try_recv() {
            self.there = Some((hearing, Finder::new(self.markers, self.longest, offset)));
        }
        let Some((hearing, finder)) = &mut self.there else { return };
        let mut samples = Vec::new();
        while let Some(tick) = hearing.next(&mut samples) {
            // Its first ticks come before it knows our codec.
            if tick.rate == self.markers.rate() {
                finder.tick(tick, &samples);
            }
            samples.clear();
        }
    }

    fn look(&mut self, over: bool, mut known: impl FnMut(Probe)) {
        for (sent, utterance, verdict_there) in &mut self.open {
            if utterance.is_none() {
                *utterance = self.spoken.time(sent.at);
            }
            let (Some(utterance), None | Some(Verdict::Waits)) = (utterance, &verdict_there) else { continue };
            if let Some((_, finder)) = &mut self.there {
                *verdict_there = Some(finder.find(sent.number, utterance.at, over));
            }
        }
        while let Some(&(sent, utterance, there)) = self.open.front() {
            // What the call ended before was not said.
            let Some(utterance) = utterance else {
                if over {
                    self.open.pop_front();
                    continue;
                }
                break;
            };
            if there == Some(Verdict::Waits) && !over {
                break;
            }
            let verdict = self.finder.find(sent.number, utterance.at, over);
            let sighting = match verdict {
                Verdict::Waits => break,
                Verdict::Heard(sighting) => Some(sighting),
                Verdict::Lost => None,
            };
            self.open.pop_front();
            let there = match there {
                Some(Verdict::Heard(sighting)) => Some(sighting),
                _ => None,
            };
            known(self.probe(sent.number, utterance, sighting, there));
        }
        let oldest = self.open.front().and_then(|(_, utterance, _)| *utterance).map(|utterance| utterance.at);
        let before = oldest.unwrap_or(f64::INFINITY).min(self.newest - MEMORY - self.longest);
        self.finder.forget(before);
        if let Some((_, finder)) = &mut self.there {
            finder.forget(before);
        }
        if let Some((sent, ..)) = self.open.front() {
            self.spoken.forget(sent.at);
        }
    }

    fn probe(&self, number: u32, said: Utterance, heard: Option<Sighting>, there: Option<Sighting>) -> Probe {
        let ms = |seconds: f64| seconds * 1_000.0;
        Probe {
            number,
            at: said.at - self.began.unwrap_or(said.at),
            latency_ms: heard.map(|heard| ms(heard.at - said.at)),
            likeness: heard.map_or(0.0, |heard| heard.likeness),
            sending_ms: ms(said.sending),
            waited_ms: heard.and_then(|heard| heard.waited).map(ms),
            decoding_ms: heard.map_or(0.0, |heard| ms(heard.decoding)),
            there: there.map(|there| There {
                latency_ms: ms(there.at - said.at),
                waited_ms: there.waited.map(ms),
                decoding_ms: ms(there.decoding),
                sending_ms: ms(there.sending),
            }),
        }
    }
}
