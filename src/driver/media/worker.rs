//! One media thread: it owns its calls outright and paces them on an absolute schedule.

mod rooms;

use super::super::clock::Clock;
use super::call::{Call, Ends, Parts};
use super::closing::Closing;
use super::event::{Event, Failure, Finished};
use super::gather::Tape;
use super::listening::Listening;
use super::load::Load;
use super::outbox::Outbox;
use super::port::{Batch, Port};
use super::room::Room;
use crate::audio::{Adjust, Player, Recorder, Tap};
use crate::media::dtmf::{Digit, Way};
use crate::media::mixer::Part;
use crate::media::plan::Plan;
use crate::media::session::{Component, Gate};
use crate::time::{Duration, Instant};
use mio::{Events, Poll, Token};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::thread;

/// The token of the waker; those of the sockets count up from 0.
pub(super) const WAKER: Token = Token(usize::MAX);

/// The tokens of sockets that listen before their call has media have this bit; below it the key of the call, twice.
const LISTENS: usize = 1 << (usize::BITS - 2);

/// Readiness events taken at a time.
const EVENTS: usize = 1_024;

/// How often something that has no readiness is looked at: recordings being finished, events that wait.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long a worker that shuts down waits for its last events to be taken.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a worker is told to do.
pub(super) enum Command {
    Listen(u64, Box<Listening>),
    Start(Box<Parts>),
    Update(u64, Box<Plan>),
    Connect(u64, Box<Ends>),
    Move(u64, Box<(Port, Port)>),
    Dtmf(u64, Vec<Digit>, Way),
    Mute(u64, bool),
    Adjust(u64, Adjust),
    Play(u64, Option<Box<Player>>),
    Tap(u64, Box<Tap>),
    /// With the recorder of a recording that begins.
    Tape(u64, Tape, Option<Box<Recorder>>),
    /// A call takes part in a conference; our user does so too, at the first call.
    Enter {
        key: u64,
        conference: u64,
        part: Part,
        us: Option<Part>,
    },
    Leave(u64),
    /// Another part for a call of a conference, or our user.
    Assign {
        conference: u64,
        who: Option<u64>,
        part: Option<Part>,
    },
    /// A call will come from another worker.
    Expect(u64),
    /// A call goes to another worker.
    HandOver(u64, usize),
    /// It has come, if there is one.
    Adopt(u64, Option<Box<Call>>),
    Stop(u64),
    Shutdown,
}

impl Command {
    /// The call that it is about.
    fn key(&self) -> Option<u64> {
        match self {
            Command::Start(parts) => Some(parts.key),
            Command::Update(key, _)
            | Command::Listen(key, _)
            | Command::Connect(key, _)
            | Command::Move(key, _)
            | Command::Dtmf(key, ..)
            | Command::Mute(key, _)
            | Command::Adjust(key, _)
            | Command::Play(key, _)
            | Command::Tape(key, ..)
            | Command::Tap(key, _)
            | Command::Enter { key, .. }
            | Command::Leave(key)
            | Command::HandOver(key, _)
            | Command::Stop(key) => Some(*key),
            Command::Assign { who, .. } => *who,
            Command::Expect(_) | Command::Adopt(..) | Command::Shutdown => None,
        }
    }
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
    /// Calls that have no media yet, and what may come before it.
    listening: HashMap<usize, Listening>,
    batch: Batch,
    rooms: Vec<Room>,
    /// How to reach each worker, this one among them.
    peers: Vec<(SyncSender<Command>, Arc<mio::Waker>)>,
    /// Calls on their way to other workers.
    leaving: Vec<(usize, Command)>,
    /// Commands for calls on their way to here.
    expected: HashMap<u64, Vec<Command>>,
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
            rooms: Vec::new(),
            peers: Vec::new(),
            leaving: Vec::new(),
            expected: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            wakes: BinaryHeap::new(),
            closing: Vec::new(),
            listening: HashMap::new(),
            batch: Batch::new(),
            over: None,
        }
    }

    /// Runs until it is told to shut down and every call is closed; `peers` are all workers.
    pub(super) fn run(mut self, peers: Vec<(SyncSender<Command>, Arc<mio::Waker>)>) {
        self.peers = peers;
        let mut events = Events::with_capacity(EVENTS);
        while !self.is_done() {
            self.wait(&mut events);
            self.receive(&events);
            self.obey();
            self.send_leaving();
            self.wake_calls();
            self.turn_rooms();
            self.wake_listening();
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
        let looks = !self.closing.is_empty() || self.outbox.is_waiting() || !self.leaving.is_empty();
        let look = looks.then(|| now + LOOK_AGAIN);
        let listening = self.listening.values().filter_map(Listening::poll_timeout);
        let due = due.into_iter().chain(look).chain(self.rooms_due()).chain(listening).min();
        let left = due.map(|due| due.since(now));
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
            // All bits of it.
            if token == WAKER {
                continue;
            }
            let component = if token.0 % 2 == 0 { Component::Rtp } else { Component::Rtcp };
            if token.0 & LISTENS != 0 {
                if let Some(listening) = self.listening.get_mut(&((token.0 & !LISTENS) / 2)) {
                    listening.receive(component, &mut self.batch, &self.clock);
                }
                continue;
            }
            self.with(token.0 / 2, |call, worker| {
                call.receive(component, worker.batch, worker.clock);
                call.flush(worker.outbox);
            });
        }
    }

    fn obey(&mut self) {
        loop {
            match self.commands.try_recv() {
                Ok(command) => {
                    match command.key().and_then(|key| self.expected.get_mut(&key)) {
                        Some(waiting) => waiting.push(command),
                        None => self.carry_out(command),
                    }
                    if self.over.is_some() {
                        return;
                    }
                }
                Err(TryRecvError::Disconnected) => return self.shut_down(),
                Err(TryRecvError::Empty) => return,
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Listen(key, listening) => self.listen(key, *listening),
            Command::Start(parts) => self.start(*parts),
            Command::Update(key, plan) => {
                self.with_key(key, |call, worker| call.update(worker.clock.now(), *plan, worker.outbox));
            }
            Command::Connect(key, ends) => self.with_key(key, |call, worker| call.connect(*ends, worker.outbox)),
            Command::Move(key, ports) => self.move_call(key, *ports),
            Command::Dtmf(key, digits, way) => {
                self.with_key(key, |call, worker| call.dtmf(worker.clock.now(), &digits, way));
            }
            Command::Mute(key, muted) => self.mute(key, muted),
            Command::Adjust(key, adjust) => self.with_key(key, |call, _| call.adjust(adjust)),
            Command::Play(key, player) => self.with_key(key, |call, _| call.set_player(player.map(|player| *player))),
            Command::Tap(key, tap) => self.with_key(key, |call, _| call.set_tap(tap)),
            Command::Tape(key, tape, recorder) => self.tape(key, tape, recorder),
            Command::Enter { key, conference, part, us } => self.enter(key, conference, part, us),
            Command::Leave(key) => self.leave(key),
            Command::Assign { conference, who, part } => self.assign(conference, who, part),
            Command::Expect(key) => self.expect(key),
            Command::HandOver(key, to) => self.hand_over(key, to),
            Command::Adopt(key, call) => self.adopt(key, call),
            Command::Stop(key) => self.stop(key),
            Command::Shutdown => self.shut_down(),
        }
    }

    fn tape(&mut self, key: u64, tape: Tape, recorder: Option<Box<Recorder>>) {
        let Some(index) = self.by_key.get(&key).copied() else { return };
        let ended = self.with(index, |call, _| call.tape(tape, recorder.map(|recorder| *recorder))).flatten();
        if let Some(ended) = ended {
            self.closing.push(Closing::of_recording(self.clock.now(), key, ended));
        }
    }

    fn shut_down(&mut self) {
        self.over.get_or_insert(self.clock.now());
        let keys: Vec<u64> = self.by_key.keys().copied().collect();
        keys.into_iter().for_each(|key| self.stop(key));
    }

    /// Acts on the call `key`, if there is one.
    fn with_key(&mut self, key: u64, act: impl FnOnce(&mut Call, Means<'_>)) {
        if let Some(index) = self.by_key.get(&key).copied() {
            self.with(index, act);
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

    fn listen(&mut self, key: u64, mut listening: Listening) {
        let Some(place) = listening_place(key) else { return };
        if let Some(before) = self.listening.remove(&place) {
            before.end(self.poll.registry(), &mut self.batch, &self.clock);
        }
        listening.watch(self.poll.registry(), Token(LISTENS | (2 * place)), Token(LISTENS | (2 * place + 1)));
        self.listening.insert(place, listening);
    }

    fn wake_listening(&mut self) {
        if !self.listening.is_empty() {
            let now = self.clock.now();
            self.listening.values_mut().for_each(|listening| listening.handle_timeout(now));
        }
    }

    /// What came before the media of a call, which begins or never will.
    fn end_listening(&mut self, key: u64) -> Option<Gate> {
        let listening = self.listening.remove(&listening_place(key)?)?;
        Some(listening.end(self.poll.registry(), &mut self.batch, &self.clock))
    }

    fn start(&mut self, parts: Parts) {
        let now = self.clock.now();
        let key = parts.key;
        if self.by_key.contains_key(&key) {
            // A key that is used again ends the call that had it.
            self.stop(key);
        }
        let index = self.free_slot();
        let before = self.end_listening(key);
        let mut call = Call::start(now, parts, &mut self.outbox);
        if let Some(gate) = before {
            call.adopt(now, gate);
            call.flush(&mut self.outbox);
        }
        self.install(index, call);
    }

    /// Runs a call in a free slot.
    fn install(&mut self, index: usize, mut call: Call) {
        call.watch(self.poll.registry(), Token(2 * index), Token(2 * index + 1));
        let key = call.key();
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
        self.dismiss(key);
        self.end_listening(key);
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
            let paced_by_room = |call: &Call| call.conference().is_some();
            if self.slots[index].call.as_ref().is_some_and(paced_by_room) {
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

/// Where a call listens; keys count up, so each has its own.
fn listening_place(key: u64) -> Option<usize> {
    usize::try_from(key).ok().filter(|place| *place < LISTENS / 2)
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
