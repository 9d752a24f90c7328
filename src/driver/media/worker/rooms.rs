//! Conferences of a worker, and calls that move from one worker to another to meet there.

use super::super::call::DEVICE_SILENCE;
use super::super::call::{Call, DEVICE_LOOK, DEVICE_TICKS};
use super::super::event::{Counters, Event, Finished};
use super::super::room::{self, Member, Room, US};
use super::{Command, Slot, Worker};
use crate::media::codec;
use crate::media::mixer::Part;
use crate::time::Instant;
use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::sync::mpsc::TrySendError;

impl Worker {
    /// When the next room is due.
    pub(super) fn rooms_due(&self) -> Option<Instant> {
        self.rooms.iter().map(|room| room.next_wake).min()
    }

    /// The call `key` takes part in a conference, which begins with its first call.
    pub(super) fn enter(&mut self, key: u64, conference: u64, part: Part, us: Option<Part>) {
        let Some(index) = self.by_key.get(&key).copied() else { return };
        let now = self.clock.now();
        self.leave(key);
        let Some(call) = self.slots.get_mut(index).and_then(|slot| slot.call.as_mut()) else { return };
        if !self.rooms.iter().any(|room| room.id == conference) {
            self.rooms.push(Room::new(conference, us, now));
        }
        let Some(room) = self.rooms.iter_mut().find(|room| room.id == conference) else { return };
        let ((rate, packet), muted) = (call.shape(), call.is_muted());
        room.admit(Member { key, index }, rate, part, muted);
        let alone = room.members.len() == 1;
        room.set_period(room::period((!alone).then(|| room.mixer.period()), packet));
        call.enter(conference, room.mixer.period());
    }

    /// The call `key` goes its own way again.
    pub(super) fn leave(&mut self, key: u64) {
        let Some(index) = self.by_key.get(&key).copied() else { return };
        let now = self.clock.now();
        let Some(slot) = self.slots.get_mut(index) else { return };
        let Some(call) = slot.call.as_mut().filter(|call| call.conference().is_some()) else { return };
        call.leave(now);
        // The wake-ups of the time before are not its own any more.
        slot.generation += 1;
        self.wakes.push(Reverse((now, index, slot.generation)));
        self.dismiss(key);
    }

    /// Nobody in a conference hears the call `key` any more.
    pub(super) fn dismiss(&mut self, key: u64) {
        self.rooms.iter_mut().for_each(|room| room.dismiss(key));
        self.rooms.retain(|room| !room.members.is_empty());
    }

    /// Changes what a party of a conference does.
    pub(super) fn assign(&mut self, conference: u64, who: Option<u64>, part: Option<Part>) {
        if let Some(room) = self.rooms.iter_mut().find(|room| room.id == conference) {
            room.assign(who, part);
        }
    }

    /// Our user is not heard by the far end of `key`, or is again.
    pub(super) fn mute(&mut self, key: u64, muted: bool) {
        let Some(index) = self.by_key.get(&key).copied() else { return };
        self.with(index, |call, _| call.mute(muted));
        for room in self.rooms.iter_mut().filter(|room| room.members.iter().any(|member| member.key == key)) {
            room.mixer.silence(US, key, muted);
        }
    }

    /// Does every turn that is due in the conferences.
    pub(super) fn turn_rooms(&mut self) {
        if self.rooms.is_empty() {
            return;
        }
        let mut rooms = std::mem::take(&mut self.rooms);
        for room in &mut rooms {
            if room.next_wake <= self.clock.now() {
                self.wake_room(room);
            }
        }
        rooms.retain(|room| !room.members.is_empty());
        self.rooms = rooms;
    }

    fn wake_room(&mut self, room: &mut Room) {
        let mut by_device = false;
        for _ in 0..DEVICE_TICKS {
            let Some(host) = room.host() else { break };
            let ready = self.with_member(host, |call, worker| call.microphone(worker.outbox)).flatten();
            let Some(ready) = ready.filter(|_| room.us.is_some()) else { break };
            by_device = true;
            let rate = room.mixer.rate_of(host.key);
            if ready < codec::samples(room.mixer.period(), rate) {
                break;
            }
            let (now, before) = (self.clock.now(), room.counters);
            room.counters.ticks += 1;
            self.turn(room, now, now, &before);
            room.schedule.restart(now + DEVICE_SILENCE);
        }
        while !room.members.is_empty() {
            let now = self.clock.now();
            if room.schedule.next() > now {
                break;
            }
            let before = room.counters;
            room.schedule.take(now, &mut room.counters);
            let due = room.schedule.next() - room.mixer.period();
            self.turn(room, due, now, &before);
        }
        let look = by_device.then(|| self.clock.now() + DEVICE_LOOK);
        room.next_wake = room.schedule.next().min(look.unwrap_or(room.schedule.next()));
    }

    /// One period of a conference: everybody is heard, then everybody is told.
    fn turn(&mut self, room: &mut Room, due: Instant, now: Instant, before: &Counters) {
        self.fit(room);
        let host = room.host();
        for n in 0..room.members.len() {
            let member = room.members[n];
            let mixer = &mut room.mixer;
            self.with_member(member, |call, worker| {
                let heard = call.hear_together(now, host == Some(member), worker.clock, worker.batch);
                mixer.hear(member.key, heard);
            });
        }
        if let (Some(host), Some(_)) = (host, room.us) {
            self.with_member(host, |call, worker| call.voice(&mut room.voice, worker.outbox));
            room.mixer.hear(US, &room.voice);
        }
        room.mixer.mix();
        let after = room.counters;
        for n in 0..room.members.len() {
            let (member, mixer) = (room.members[n], &mut room.mixer);
            let served = self.with_member(member, |call, worker| {
                call.say_together(now, mixer, worker.outbox);
                call.count(before, &after);
            });
            if served.is_some() {
                self.load.add(before, &after);
            }
        }
        if let (Some(host), Some(_)) = (host, room.us) {
            let (mix, mixer) = (&mut room.mix, &mut room.mixer);
            let rate = mixer.rate_of(host.key);
            mix.resize(codec::samples(mixer.period(), rate), 0);
            mixer.say(US, mix);
            self.with_member(host, |call, worker| call.play_together(mix, due, now, worker.clock));
        }
    }

    /// Follows calls that broke down, changed their codec or their packet time.
    fn fit(&mut self, room: &mut Room) {
        let mut longest = None;
        let mut n = 0;
        while let Some(member) = room.members.get(n).copied() {
            match self.with_member(member, |call, _| call.shape()) {
                Some((rate, packet)) => {
                    room.follow(member.key, rate);
                    longest = Some(room::period(longest, packet));
                    n += 1;
                }
                None => room.dismiss(member.key),
            }
        }
        let (Some(period), Some(host)) = (longest, room.host()) else { return };
        room.follow_host(room.mixer.rate_of(host.key));
        if period != room.mixer.period() {
            room.set_period(period);
        }
        for n in 0..room.members.len() {
            self.with_member(room.members[n], |call, _| call.enter(room.id, period));
        }
    }

    /// Acts on a member, if its slot has not got another call meanwhile.
    fn with_member<T>(&mut self, member: Member, act: impl FnOnce(&mut Call, super::Means<'_>) -> T) -> Option<T> {
        let call = self.slots.get(member.index)?.call.as_ref()?;
        if call.key() == member.key { self.with(member.index, act) } else { None }
    }

    /// A call comes from another worker: what is said to it meanwhile waits.
    pub(super) fn expect(&mut self, key: u64) {
        self.expected.entry(key).or_default();
    }

    /// Gives the call `key` to another worker, which expects it.
    pub(super) fn hand_over(&mut self, key: u64, to: usize) {
        self.leave(key);
        let index = self.by_key.remove(&key);
        self.load.set_calls(self.by_key.len());
        let call = index.and_then(|index| Some((index, self.slots.get_mut(index)?.call.take()?)));
        let call = call.map(|(index, mut call)| {
            self.free.push(index);
            call.unwatch(self.poll.registry());
            Box::new(call)
        });
        self.leaving.push((to, Command::Adopt(key, call)));
        self.send_leaving();
    }

    /// Sends calls on their way to other workers, as far as those have room.
    pub(super) fn send_leaving(&mut self) {
        for (to, command) in std::mem::take(&mut self.leaving) {
            let Some((sender, waker)) = self.peers.get(to) else { continue };
            match sender.try_send(command) {
                Ok(()) => drop(waker.wake()),
                Err(TrySendError::Full(command)) => self.leaving.push((to, command)),
                // It ends, and with it everything: nobody waits for more than the end of the call.
                Err(TrySendError::Disconnected(Command::Adopt(key, _))) => {
                    self.outbox.post(Event::Finished(Box::new(Finished { key, ..Finished::default() })));
                }
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// A call has come from another worker; then what was said to it meanwhile is done.
    pub(super) fn adopt(&mut self, key: u64, call: Option<Box<Call>>) {
        if let Some(call) = call {
            let index = self.free_slot();
            self.install(index, *call);
        }
        if let Entry::Occupied(waiting) = self.expected.entry(key) {
            for command in waiting.remove() {
                self.carry_out(command);
            }
        }
    }

    /// A slot without a call.
    pub(super) fn free_slot(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { call: None, generation: 0 });
            self.slots.len() - 1
        })
    }
}
