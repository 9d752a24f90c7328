//! The scripts of `fixtures/jitter`, in virtual time.

use super::{Config, Incoming, Playout, Statistics};
use crate::media::codec::g711::Law;
use crate::media::plan::Codec;
use crate::media::sequence::{ExtendedSeq, RtpTime};
use crate::random::Random;
use crate::time::{Duration, Instant};
use std::ops::Range;

/// Audio in a pull, ms.
const PULL: f64 = 20.0;

/// When packets arrive, and what is expected of it.
#[derive(Debug)]
struct Script {
    packet: f64,
    /// When each packet arrives, ms; `None` if never.
    arrivals: Vec<Option<f64>>,
    expectations: Vec<Expectation>,
}

#[derive(Debug)]
struct Expectation {
    line: String,
    /// Only where pulls follow the packets, or only where they do not.
    follow: Option<bool>,
    seconds: Range<f64>,
    what: What,
}

#[derive(Debug)]
enum What {
    DelayBelow(f64),
    DelayWithin(f64, Range<f64>),
    Late(u64),
    MadeUp(f64),
    Stretched(f64),
    Intact(f64),
}

fn number(word: &str) -> f64 {
    word.trim_end_matches('%').parse().unwrap_or_else(|_| panic!("{word} is no number"))
}

fn range(word: &str) -> Range<f64> {
    let (from, to) = word.split_once("..").unwrap_or_else(|| panic!("{word} is no range"));
    number(from)..number(to)
}

impl Script {
    fn read(text: &str) -> Self {
        let mut script = Self { packet: 20.0, arrivals: Vec::new(), expectations: Vec::new() };
        let (mut drift, mut random, mut earliest) = (0.0, Random::from_seed(11), 0.0f64);
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["packet", ms] => script.packet = number(ms),
                ["drift", ppm] => drift = number(ppm) / 1e6,
                ["expect", ref what @ ..] => script.expectations.push(Expectation::read(line, what)),
                [count, "lost"] => script.arrivals.extend((0..number(count) as u32).map(|_| None)),
                [count, "delay", delay, ref how @ ..] => {
                    for n in 0..number(count) as u32 {
                        let sent = script.arrivals.len() as f64 * script.packet * (1.0 + drift);
                        let extra = match how {
                            [] => 0.0,
                            ["sigma", sigma] => number(sigma) * ((0..12).map(|_| random.unit()).sum::<f64>() - 6.0),
                            ["falling", ms] => -number(ms) * f64::from(n),
                            ["bursts", size] => {
                                let size = number(size) as u32;
                                script.packet * f64::from(size - 1 - n % size)
                            }
                            other => panic!("{other:?}"),
                        };
                        earliest = earliest.max(sent + (number(delay) + extra).max(0.0));
                        script.arrivals.push(Some(earliest));
                    }
                }
                _ => panic!("a line that says nothing: {line}"),
            }
        }
        script
    }

    /// Plays everything, the first pull at `phase` ms: statistics after each pull, with its time in ms.
    fn play(&self, phase: f64, follow: bool) -> Vec<(f64, Statistics)> {
        let mut playout = Playout::new(Codec::Pcmu, Config::default()).unwrap();
        playout.follow(follow);
        let instant = |ms: f64| Instant::at(Duration::from_secs_f64(ms / 1_000.0));
        let samples = (self.packet * 8.0) as i64;
        // 440 Hz: 200 samples are eleven periods.
        let tone = |n: i64| ((n as f64 * 440.0 * std::f64::consts::TAU / 8_000.0).sin() * 10_000.0) as i16;
        let wave: Vec<u8> = (0..200).map(|n| Law::Mu.encode(tone(n))).collect();
        let mut packets = self.arrivals.iter().zip(0i64..).filter_map(|(at, n)| Some(((*at)?, n))).peekable();
        let (mut now, mut told, mut out) = (phase, Vec::new(), [0; 160]);
        while packets.peek().is_some() {
            while let Some((at, n)) = packets.next_if(|(at, _)| *at <= now) {
                let payload: Vec<u8> =
                    wave.iter().cycle().skip((n * samples % 200) as usize).take(samples as usize).copied().collect();
                let (seq, timestamp) = (ExtendedSeq(n), RtpTime((n * samples) as u32));
                let packet = Incoming { seq, timestamp, codec: Codec::Pcmu, marker: false, payload: &payload };
                playout.insert(instant(at), packet).unwrap();
            }
            playout.pull(instant(now), &mut out);
            told.push((now, playout.statistics()));
            now += PULL + playout.shift() as f64 / 1_000.0;
        }
        told
    }
}

impl Expectation {
    fn read(line: &str, words: &[&str]) -> Self {
        let (follow, words) = match words {
            ["follow", rest @ ..] => (Some(true), rest),
            ["clock", rest @ ..] => (Some(false), rest),
            all => (None, all),
        };
        let (seconds, what) = words.split_first().unwrap();
        let what = match what {
            ["delay", "below", ms] => What::DelayBelow(number(ms)),
            ["delay", "within", ms, "of", other] => What::DelayWithin(number(ms), range(other)),
            ["late", count] => What::Late(number(count) as u64),
            ["made-up", "below", ms] => What::MadeUp(number(ms)),
            ["stretched", "below", ms] => What::Stretched(number(ms)),
            ["intact", "above", percent] => What::Intact(number(percent)),
            other => panic!("an expectation that says nothing: {other:?}"),
        };
        Self { line: line.into(), follow, seconds: range(seconds), what }
    }

    /// What was measured, if it is not as expected.
    fn broken(&self, told: &[(f64, Statistics)], packet: f64) -> Option<f64> {
        let at = |seconds: f64| {
            let after = told.partition_point(|(now, _)| *now < seconds * 1_000.0);
            told[after.min(told.len() - 1)].1
        };
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        let delay = |range: &Range<f64>| {
            let (from, to) = (at(range.start), at(range.end));
            assert!(to.played > from.played, "{}: nothing is played then", self.line);
            ms(to.delay_sum - from.delay_sum) / (to.played - from.played) as f64
        };
        let (from, to) = (at(self.seconds.start), at(self.seconds.end));
        let (measured, good): (f64, bool) = match &self.what {
            What::DelayBelow(limit) => (delay(&self.seconds), delay(&self.seconds) < *limit),
            What::DelayWithin(limit, other) => {
                let more = delay(&self.seconds) - delay(other);
                (more, more < *limit)
            }
            What::Late(limit) => ((to.late - from.late) as f64, to.late - from.late <= *limit),
            What::MadeUp(limit) => (ms(to.made_up - from.made_up), ms(to.made_up - from.made_up) < *limit),
            What::Stretched(limit) => {
                let stretched = ms(to.shortened - from.shortened + to.lengthened - from.lengthened);
                (stretched, stretched < *limit)
            }
            What::Intact(limit) => {
                let broken = ms(to.made_up - from.made_up) / packet + (to.late - from.late) as f64;
                let intact = 100.0 - 100.0 * broken / (to.played - from.played) as f64;
                (intact, intact > *limit)
            }
        };
        (!good).then_some(measured)
    }
}

#[test]
fn every_script_ends_as_it_expects() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/jitter");
    let mut failures = Vec::new();
    let mut scripts = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        scripts += 1;
        let script = Script::read(&std::fs::read_to_string(&path).unwrap());
        assert!(!script.expectations.is_empty(), "{} expects nothing", path.display());
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        for follow in [false, true] {
            for phase in [0.0, 5.0, 10.5, 15.0] {
                let told = script.play(phase, follow);
                for expectation in script.expectations.iter().filter(|expected| expected.follow != Some(!follow)) {
                    if let Some(measured) = expectation.broken(&told, script.packet) {
                        failures.push(format!(
                            "{name}, phase {phase}, follow {follow}: {measured:.2}: {}",
                            expectation.line
                        ));
                    }
                }
            }
        }
    }
    assert!(scripts >= 7, "{scripts} scripts");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
