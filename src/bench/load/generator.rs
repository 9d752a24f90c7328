//! The generator: begins calls when they are due, leads each through the scenario, counts what becomes of them.

use super::arrival::{Arrivals, Model};
use super::scenario::{Scenario, Step};
use super::tally::{Second, Tally};
use crate::audio::{Ear, Mouth, Sink, Source};
use crate::bench::latency::listen::{self, Heard, Means, Wish};
use crate::call::CallId;
use crate::call::record::Record;
use crate::phone::{CallEvent, CommandError, Dial, Event, Events, Io, Moment, Phone};
use crate::random::Random;
use crate::time::Instant;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Audio that may wait in a call that is checked: a second.
const SAMPLES: usize = 48_000;
const TICKS: usize = 128;

/// A marker that takes longer is lost.
const LONGEST: Duration = Duration::from_secs(1);

/// How long calls may take to end when no new ones begin, beyond their scenario, seconds.
const LAST_CALLS: f64 = 40.0;

/// What a run does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// When calls begin.
    pub model: Model,
    /// What they do.
    pub scenario: Scenario,
    /// How many calls at a time are checked with markers; the far end has to echo.
    pub checked: usize,
    /// Seed of the markers.
    pub seed: u64,
}

/// What the user wants while it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Key {
    /// So many calls a second more, or at a time.
    Faster(f64),
    /// No new calls, until it is pressed again.
    Pause,
    /// No new calls; those that are there go on to their end.
    Quit,
}

/// How it stands.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Seconds since the beginning.
    pub at: f64,
    /// Calls a second that are wanted, or calls at a time.
    pub wanted: f64,
    /// Calls at this moment.
    pub calls: usize,
    /// Is it paused?
    pub paused: bool,
    /// What was counted.
    pub tally: &'a Tally,
}

/// A call under way.
struct Call {
    /// When it was to begin, seconds.
    intended: f64,
    rung: bool,
    answered: bool,
    /// The step that is next.
    step: usize,
    holding: bool,
    /// It is about to be hung up.
    over: bool,
    /// When something is to be done with it, microseconds.
    due: Option<u64>,
    check: Option<Wish>,
}

/// Makes calls as `plan` says, each by `dial`. `progress` is told how it stands each second.
///
/// # Errors
/// When the phone has ended.
pub async fn run(
    phone: &Phone,
    events: &mut Events,
    dial: Dial,
    plan: &Plan,
    mut keys: UnboundedReceiver<Key>,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Tally, CommandError> {
    let mut generator = Generator::new(phone, dial, plan);
    let cpu = cpu_seconds();
    let (mut paused, mut told) = (false, 0.0);
    let mut listens = true;
    loop {
        if !paused {
            generator.begin().await?;
        }
        generator.act().await;
        let now = generator.now();
        if now >= told + 1.0 {
            told = now.floor();
            progress(generator.progress(paused));
        }
        if generator.is_done(now) {
            break;
        }
        let wake = generator.next(paused).min(told + 1.0);
        let left = Duration::try_from_secs_f64(wake - generator.now()).unwrap_or_default();
        tokio::select! {
            event = events.next() => match event {
                None => return Err(CommandError::Ended),
                Some(Event::Call(event)) => generator.hear(&event),
                Some(Event::Lagged { missed }) => generator.tally.health.missed_events += missed,
                Some(_) => {}
            },
            key = keys.recv(), if listens => match key {
                Some(Key::Faster(by)) => generator.faster(by),
                Some(Key::Pause) => {
                    paused = !paused;
                    generator.resume();
                }
                Some(Key::Quit) => generator.ending = true,
                None => listens = false,
            },
            () = sleep(left) => {}
        }
    }
    let mut tally = generator.finish().await;
    if let Ok(snapshot) = phone.snapshot().await {
        for load in &snapshot.media {
            tally.health.ticks += load.ticks;
            tally.health.late_ticks += load.late_ticks;
            tally.health.skipped_ticks += load.skipped_ticks;
        }
    }
    tally.health.cpu_seconds = cpu.zip(cpu_seconds()).map(|(before, after)| after - before);
    Ok(tally)
}

struct Generator<'a> {
    phone: &'a Phone,
    dial: Dial,
    plan: &'a Plan,
    start: Instant,
    arrivals: Arrivals,
    /// Calls at a time that are wanted, in the closed model.
    wanted: f64,
    ending: bool,
    calls: HashMap<CallId, Call>,
    due: BTreeSet<(u64, CallId)>,
    checks: JoinSet<Heard>,
    random: Random,
    tally: Tally,
}

impl<'a> Generator<'a> {
    fn new(phone: &'a Phone, dial: Dial, plan: &'a Plan) -> Self {
        let (stages, wanted): (&[_], f64) = match &plan.model {
            Model::Open(stages) => (stages, 0.0),
            Model::Closed { calls, .. } => (&[], *calls as f64),
        };
        Self {
            phone,
            dial,
            plan,
            start: phone.clock().now(),
            arrivals: Arrivals::new(stages),
            wanted,
            ending: false,
            calls: HashMap::new(),
            due: BTreeSet::new(),
            checks: JoinSet::new(),
            random: Random::from_seed(plan.seed),
            tally: Tally::default(),
        }
    }

    /// Seconds since the beginning.
    fn now(&self) -> f64 {
        self.phone.clock().now().since(self.start).as_secs_f64()
    }

    /// Begins every call that is due.
    async fn begin(&mut self) -> Result<(), CommandError> {
        loop {
            let now = self.now();
            let intended = match &self.plan.model {
                _ if self.ending => return Ok(()),
                Model::Open(_) => match self.arrivals.due() {
                    None => {
                        self.ending |= now >= self.arrivals.end();
                        return Ok(());
                    }
                    Some(due) if due > now => return Ok(()),
                    Some(due) => {
                        self.arrivals.take();
                        due
                    }
                },
                Model::Closed { duration, .. } => {
                    self.ending |= now >= duration.as_secs_f64();
                    if self.ending || self.calls.len() as f64 >= self.wanted {
                        return Ok(());
                    }
                    now
                }
            };
            self.tally.lateness.note((now - intended) * 1_000.0);
            self.tally.offered += 1;
            self.second().begun += 1;
            let (io, check) = self.audio();
            match self.phone.dial(self.dial.clone(), io).await {
                Ok(call) => {
                    let (rung, answered, holding, over) = (false, false, false, false);
                    let new = Call { intended, rung, answered, step: 0, holding, over, due: None, check };
                    self.calls.insert(call, new);
                }
                Err(CommandError::Ended) => return Err(CommandError::Ended),
                Err(error) => self.failed(error.to_string()),
            }
        }
    }

    /// What a new call says: markers that are looked for, or a tone.
    fn audio(&mut self) -> (Io, Option<Wish>) {
        let checked = self.calls.values().filter(|call| call.check.is_some()).count();
        let holds = self.plan.scenario.step.iter().any(|step| matches!(step, Step::Hold { .. }));
        if checked >= self.plan.checked || holds {
            return (Io { source: Source::Tone(440.0), sink: Sink::Null, ..Io::default() }, None);
        }
        let ((mouth, voice), (ear, hearing)) = (Mouth::new(SAMPLES), Ear::new(SAMPLES, TICKS));
        let wish = Wish::default();
        let means = Means {
            voice,
            hearing,
            far: None,
            interval: Duration::from_millis(500),
            longest: LONGEST,
            random: self.random.split(),
            wish: wish.clone(),
        };
        self.checks.spawn_blocking(move || listen::run(means, |_| {}));
        (Io { source: Source::Live(mouth), sink: Sink::Live(ear), ..Io::default() }, Some(wish))
    }

    /// Does what is due in the calls.
    async fn act(&mut self) {
        let now = (self.now() * 1e6) as u64;
        while let Some(&(due, id)) = self.due.first().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, id));
            self.step(id, now).await;
        }
    }

    async fn step(&mut self, id: CallId, now: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let micros = |time: Duration| now + u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2);
        // Whoever does not do as asked is seen by what becomes of the call.
        if std::mem::take(&mut call.holding) {
            let _ = self.phone.resume(id).await;
        }
        let step = self.plan.scenario.step.get(call.step);
        call.step += 1;
        let next = match step {
            Some(step) => {
                match step {
                    Step::Talk { .. } => {}
                    Step::Dtmf { digits } => drop(self.phone.dtmf(id, digits).await),
                    Step::Hold { .. } => {
                        call.holding = true;
                        drop(self.phone.hold(id).await);
                    }
                    Step::Transfer { to } => {
                        if let Ok(to) = to.parse() {
                            call.over = true;
                            drop(self.phone.transfer(id, to).await);
                        }
                    }
                }
                Some(micros(step.length()))
            }
            // The last markers come back before it is hung up.
            None if !call.over && call.check.is_some() => {
                call.over = true;
                call.check.iter().for_each(Wish::end);
                Some(micros(LONGEST + Duration::from_millis(200)))
            }
            None => {
                call.over = true;
                let _ = self.phone.hangup(id).await;
                None
            }
        };
        call.due = next;
        self.due.extend(next.map(|due| (due, id)));
    }

    /// Something happened in a call.
    fn hear(&mut self, event: &CallEvent) {
        let now = self.now();
        let Some(call) = self.calls.get_mut(&event.call) else { return };
        let since = (now - call.intended) * 1_000.0;
        match event.moment {
            Moment::Ringing { .. } if !call.rung => {
                call.rung = true;
                self.tally.post_dial.note(since);
            }
            Moment::Answered => {
                call.answered = true;
                call.check.iter().for_each(Wish::begin);
                let due = (now * 1e6) as u64;
                call.due = Some(due);
                self.due.insert((due, event.call));
                if !call.rung {
                    self.tally.post_dial.note(since);
                }
                self.tally.answered += 1;
                self.tally.setup.note(since);
                let second = self.second();
                second.answered += 1;
                second.slowest_setup = second.slowest_setup.max(since);
            }
            Moment::Ended => {
                if let Some(call) = self.calls.remove(&event.call) {
                    self.ended(event.call, &call, &event.record);
                }
            }
            _ => {}
        }
    }

    fn ended(&mut self, id: CallId, call: &Call, record: &Record) {
        if let Some(due) = call.due {
            self.due.remove(&(due, id));
        }
        call.check.iter().for_each(Wish::end);
        if !call.answered {
            let reason = record.sip_reason.clone().unwrap_or_else(|| format!("{:?}", record.status).to_lowercase());
            self.failed(record.sip_code.map_or_else(|| reason.clone(), |code| format!("{code} {reason}")));
            return;
        }
        if !call.over {
            self.tally.cut_short += 1;
            self.second().failed += 1;
        }
        let heard = &record.quality.inbound;
        if let Some(mos) = heard.mos {
            self.tally.mos.note(mos);
        }
        self.tally.packets += heard.packets;
        self.tally.lost_packets += heard.lost;
    }

    fn failed(&mut self, reason: String) {
        *self.tally.failures.entry(reason).or_default() += 1;
        self.second().failed += 1;
    }

    fn second(&mut self) -> &mut Second {
        let (at, calls) = (self.now() as usize, self.calls.len() as u64);
        let seconds = &mut self.tally.seconds;
        while seconds.len() <= at {
            seconds.push(Second::default());
        }
        let second = &mut seconds[at];
        second.calls = calls;
        second
    }

    fn faster(&mut self, by: f64) {
        let now = self.now();
        self.arrivals.change(now, by);
        self.wanted = (self.wanted + by).max(0.0);
    }

    fn resume(&mut self) {
        let now = self.now();
        self.arrivals.resume(now);
    }

    /// When something is to be done, seconds.
    fn next(&self, paused: bool) -> f64 {
        let arrival = self.arrivals.due().filter(|_| !self.ending && !paused).unwrap_or(f64::INFINITY);
        let step = self.due.first().map_or(f64::INFINITY, |(due, _)| *due as f64 / 1e6);
        arrival.min(step)
    }

    fn is_done(&self, now: f64) -> bool {
        let end = match &self.plan.model {
            Model::Open(_) => self.arrivals.end(),
            Model::Closed { duration, .. } => duration.as_secs_f64(),
        };
        let last = end + self.plan.scenario.length().as_secs_f64() + LAST_CALLS;
        self.ending && (self.calls.is_empty() || now > last)
    }

    fn progress(&mut self, paused: bool) -> Progress<'_> {
        self.second();
        let at = self.now();
        let wanted = match &self.plan.model {
            Model::Open(_) => self.arrivals.rate(at).unwrap_or(0.0),
            Model::Closed { .. } => self.wanted,
        };
        Progress { at, wanted, calls: self.calls.len(), paused, tally: &self.tally }
    }

    /// Waits for the last checks.
    async fn finish(mut self) -> Tally {
        for (_, call) in self.calls.drain() {
            // It never ended.
            call.check.iter().for_each(Wish::end);
            *self.tally.failures.entry("no end".into()).or_default() += 1;
        }
        while let Some(heard) = self.checks.join_next().await {
            let Ok(heard) = heard else { continue };
            for probe in heard.probes {
                self.tally.markers += 1;
                match probe.latency_ms {
                    Some(latency) => self.tally.latency.note(latency),
                    None => self.tally.lost_markers += 1,
                }
            }
        }
        self.tally
    }
}

/// Processor time of this process, user and system; Linux counts it in hundredths of a second.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may hold anything: the 12th and 13th value.
    let mut values = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system) = (values.next()?.parse::<f64>().ok()?, values.next()?.parse::<f64>().ok()?);
    Some((user + system) / 100.0)
}
