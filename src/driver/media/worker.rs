//! One media thread: it owns its calls outright and paces them on an absolute schedule.

use super::super::clock::Clock;
use super::call::{Call, Ends, Parts};
use super::closing::Closing;
use super::event::{Event, Failure, Finished};
use super::load::Load;
use super::outbox::Outbox;
use super::port::{Batch, Port};
use crate::audio::Adjust;
use crate::media::dtmf::{Digit, Way};
use crate::media::plan::Plan;
use crate::media::session::Component;
use crate::time::{Duration, Instant};
use mio::{Events, Poll, Token};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;

/// The token of the waker; those of the sockets count up from 0.
pub(super) const WAKER: Token = Token(usize::MAX);

/// Readiness events taken at a time.
const EVENTS: usize = 1_024;

/// How often something that has no readiness is looked at: recordings being finished, events that wait.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long a worker that shuts down waits for its last events to be taken.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a worker is told to do.
pub(super) enum Command {
    Start(Box<Parts>),
    Update(u64, Box<Plan>),
    Connect(u64, Box<Ends>),
    Move(u64, Box<(Port, Port)>),
    Dtmf(u64, Vec<Digit>, Way),
    Mute(u64, bool),
    Adjust(u64, Adjust),
    Stop(u64),
    Shutdown,
}

/// What a worker lends a call that it acts on.
struct Means<'a> {
    clock: &'a Clock,
    batch: &'a mut Batch,
    outbox: &'a mut Outbox,
}

struct Slot {
    call: Option<Call>,
    /// Tells wake-ups of this call from those of an earlier one in the same slot.
    generation: u64,
}

/// The state of one media thread.
pub(super) struct Worker {
    poll: Poll,
    clock: Clock,
    commands: Receiver<Command>,
    outbox: Outbox,
    load: Arc<Load>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    by_key: HashMap<u64, usize>,
    /// When to wake which slot, of which generation.
    wakes: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    closing: Vec<Closing>,
    batch: Batch,
    /// Since when it is told to shut down.
    over: Option<Instant>,
}

impl Worker {
    pub(super) fn new(poll: Poll, clock: Clock, commands: Receiver<Command>, outbox: Outbox, load: Arc<Load>) -> Self {
        Self {
            poll,
            clock,
            commands,
            outbox,
            load,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            wakes: BinaryHeap::new(),
            closing: Vec::new(),
            batch: Batch::new(),
            over: None,
        }
    }

    /// Runs until it is told to shut down and every call is closed.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.is_done() {
            self.wait(&mut events);
            self.receive(&events);
            self.obey();
            self.wake_calls();
            self.close();
            self.outbox.flush();
            self.load.set_dropped_events(self.outbox.dropped());
        }
    }

    /// Shut down, with every call closed and every event taken, or given up.
    fn is_done(&self) -> bool {
        self.over.is_some_and(|since| {
            let taken = !self.outbox.is_waiting() || self.clock.now().since(since) > FAREWELL;
            self.by_key.is_empty() && self.closing.is_empty() && taken
        })
    }

    /// Sleeps until something is due or arrives.
    fn wait(&mut self, events: &mut Events) {
        let now = self.clock.now();
        let due = self.wakes.peek().map(|Reverse((due, ..))| *due);
        let look = (!self.closing.is_empty() || self.outbox.is_waiting()).then(|| now + LOOK_AGAIN);
        let left = due.into_iter().chain(look).min().map(|due| due.since(now));
        // The poll counts whole milliseconds and rounds up; the rest is slept, which is exact to some 0.1 ms. What
        // arrives meanwhile carries the kernel's stamp.
        let whole = left.map(|left| Duration::from_millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)));
        if self.poll.poll(events, whole).is_err() {
            events.clear();
        }
        if let (Some(left), true) = (left, events.is_empty())
            && left < Duration::from_millis(1)
        {
            thread::sleep(left);
        }
    }

    fn receive(&mut self, events: &Events) {
        for event in events {
            let token = event.token();
            if token == WAKER {
                continue;
            }
            let component = if token.0 % 2 == 0 { Component::Rtp } else { Component::Rtcp };
            self.with(token.0 / 2, |call, worker| {
                call.receive(component, worker.batch, worker.clock);
                call.flush(worker.outbox);
            });
        }
    }

    fn obey(&mut self) {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Start(parts)) => self.start(*parts),
                Ok(Command::Update(key, plan)) => {
                    if let Some(index) = self.by_key.get(&key).copied() {
                        self.with(index, |call, worker| call.update(worker.clock.now(), *plan, worker.outbox));
                    }
                }
                Ok(Command::Connect(key, ends)) => {
                    if let Some(index) = self.by_key.get(&key).copied() {
                        self.with(index, |call, worker| call.connect(*ends, worker.outbox));
                    }
                }
                Ok(Command::Move(key, ports)) => self.move_call(key, *ports),
                Ok(Command::Dtmf(key, digits, way)) => {
                    if let Some(index) = self.by_key.get(&key).copied() {
                        self.with(index, |call, worker| call.dtmf(worker.clock.now(), &digits, way));
                    }
                }
                Ok(Command::Mute(key, muted)) => {
                    if let Some(index) = self.by_key.get(&key).copied() {
                        self.with(index, |call, _| call.mute(muted));
                    }
                }
                Ok(Command::Adjust(key, adjust)) => {
                    if let Some(index) = self.by_key.get(&key).copied() {
                        self.with(index, |call, _| call.adjust(adjust));
                    }
                }
                Ok(Command::Stop(key)) => self.stop(key),
                Ok(Command::Shutdown) | Err(TryRecvError::Disconnected) => {
                    self.over.get_or_insert(self.clock.now());
                    let keys: Vec<u64> = self.by_key.keys().copied().collect();
                    keys.into_iter().for_each(|key| self.stop(key));
                    return;
                }
                Err(TryRecvError::Empty) => return,
            }
        }
    }

    /// Acts on the call in a slot, if there is one.
    ///
    /// A call that panics is thrown away and told; it must not take the others of its worker with it.
    fn with<T>(&mut self, index: usize, act: impl FnOnce(&mut Call, Means<'_>) -> T) -> Option<T> {
        let slot = self.slots.get_mut(index)?;
        let call = slot.call.as_mut()?;
        let key = call.key();
        let means = Means { clock: &self.clock, batch: &mut self.batch, outbox: &mut self.outbox };
        // The call is not looked at again, and what the means hold is written anew before it is read.
        let acted = catch_unwind(AssertUnwindSafe(|| act(call, means)));
        if acted.is_err() {
            let broken = slot.call.take();
            let _ = catch_unwind(AssertUnwindSafe(|| drop(broken)));
            self.free.push(index);
            self.by_key.remove(&key);
            self.load.set_calls(self.by_key.len());
            self.outbox.post(Event::Failed { key, reason: Failure::Broken });
        }
        acted.ok()
    }

    fn start(&mut self, parts: Parts) {
        let now = self.clock.now();
        let key = parts.key;
        if self.by_key.contains_key(&key) {
            // A key that is used again ends the call that had it.
            self.stop(key);
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { call: None, generation: 0 });
            self.slots.len() - 1
        });
        let mut call = Call::start(now, parts, &mut self.outbox);
        call.watch(self.poll.registry(), Token(2 * index), Token(2 * index + 1));
        let slot = &mut self.slots[index];
        slot.generation += 1;
        self.wakes.push(Reverse((call.next(), index, slot.generation)));
        slot.call = Some(call);
        self.by_key.insert(key, index);
        self.load.set_calls(self.by_key.len());
    }

    fn move_call(&mut self, key: u64, (rtp, rtcp): (Port, Port)) {
        let call = self.by_key.get(&key).and_then(|index| Some((*index, self.slots.get_mut(*index)?.call.as_mut()?)));
        if let Some((index, call)) = call {
            call.move_to(rtp, rtcp, self.poll.registry());
            call.watch(self.poll.registry(), Token(2 * index), Token(2 * index + 1));
        }
    }

    fn stop(&mut self, key: u64) {
        let index = self.by_key.remove(&key);
        self.load.set_calls(self.by_key.len());
        match index.and_then(|index| Some((index, self.slots.get_mut(index)?.call.take()?))) {
            Some((index, call)) => {
                self.free.push(index);
                self.closing.push(call.stop(self.clock.now(), self.poll.registry(), &mut self.outbox));
            }
            // It never ran, or broke down.
            None => self.outbox.post(Event::Finished(Box::new(Finished { key, ..Finished::default() }))),
        }
    }

    fn wake_calls(&mut self) {
        loop {
            let now = self.clock.now();
            match self.wakes.peek() {
                Some(Reverse((due, ..))) if *due <= now => {}
                _ => return,
            }
            let Some(Reverse((_, index, generation))) = self.wakes.pop() else { return };
            if self.slots.get(index).is_none_or(|slot| slot.generation != generation) {
                continue;
            }
            let woken = self.with(index, |call, worker| {
                let before = *call.counters();
                call.wake(worker.clock, worker.batch, worker.outbox);
                (before, *call.counters(), call.next())
            });
            if let Some((before, after, next)) = woken {
                self.load.add(&before, &after);
                self.wakes.push(Reverse((next, index, generation)));
            }
        }
    }

    fn close(&mut self) {
        if !self.closing.is_empty() {
            let now = self.clock.now();
            let outbox = &mut self.outbox;
            self.closing.retain_mut(|closing| !closing.finish(now, outbox));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::call::tests::parts;
    use super::*;
    use crate::audio::Source;
    use crate::media::plan::Codec;
    use crate::net::RtpPorts;
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn a_call_that_breaks_down_takes_no_other_with_it() {
        let (sender, mut events) = tokio::sync::mpsc::channel(64);
        let (_commands, inbox) = std::sync::mpsc::sync_channel(1);
        let load = Arc::new(Load::default());
        let mut worker = Worker::new(Poll::new().unwrap(), Clock::new(), inbox, Outbox::new(sender), load.clone());
        let ports = RtpPorts::new(None);
        for key in [1, 2] {
            let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let (own, remote) = (ports.open(loopback).unwrap(), ports.open(loopback).unwrap());
            worker.start(Parts { key, ..parts(Codec::Pcmu, &Source::Silence, own, &remote) });
        }
        assert_eq!(load.read().calls, 2);
        println!("a panic follows, which is the test:");
        worker.with(worker.by_key[&1], |_, _| panic!("a bug that only this call meets"));
        worker.wake_calls();
        assert!(load.read().calls == 1 && load.read().ticks > 0, "{:?}", load.read());
        worker.stop(1);
        worker.stop(2);
        worker.close();
        let told: Vec<Event> = std::iter::from_fn(|| events.try_recv().ok()).collect();
        assert!(matches!(told[0], Event::Failed { key: 1, reason: Failure::Broken }), "{told:?}");
        let ends: Vec<(u64, bool)> = told
            .iter()
            .filter_map(|event| match event {
                Event::Finished(end) => Some((end.key, end.worker.ticks > 0)),
                _ => None,
            })
            .collect();
        assert_eq!(ends, [(1, false), (2, true)]);
    }
}
