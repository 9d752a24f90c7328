//! A call that takes part in a conference: the room paces it, says what it hears, and lends its user to all.

use super::super::super::clock::Clock;
use super::super::outbox::Outbox;
use super::super::port::Batch;
use super::{Call, Counters};
use crate::audio::Device;
use crate::media::mixer::Mixer;
use crate::time::{Duration, Instant};

impl Call {
    /// The conference that paces it.
    pub(in super::super) fn conference(&self) -> Option<u64> {
        self.conference.map(|(conference, _)| conference)
    }

    /// Rate of its audio in Hz, and audio per packet.
    pub(in super::super) fn shape(&self) -> (u32, Duration) {
        (self.session.rate(), self.session.packet_time())
    }

    /// Is our user's voice left out for its far end?
    pub(in super::super) fn is_muted(&self) -> bool {
        self.muted
    }

    /// Is paced by `conference` from now on, which works on `period` at a time.
    pub(in super::super) fn enter(&mut self, conference: u64, period: Duration) {
        if self.conference != Some((conference, period)) {
            self.conference = Some((conference, period));
            self.gathered.clear();
            self.session.mute(false);
            self.fit();
        }
    }

    /// Is paced by itself again, its first tick at `now`.
    pub(in super::super) fn leave(&mut self, now: Instant) {
        self.conference = None;
        self.gathered.clear();
        self.session.mute(self.muted);
        self.fit();
        self.schedule.restart(now);
        self.next_wake = now;
    }

    /// Samples that our user's microphone has ready; `None` without one.
    pub(in super::super) fn microphone(&mut self, outbox: &mut Outbox) -> Option<usize> {
        self.poll_device(outbox);
        self.device.as_mut().and_then(Device::ready)
    }

    /// Takes what the far end says in this period. Only the `host` lends its user to the conference: the devices of the
    /// others go on without being heard, so that they are at hand afterwards.
    pub(in super::super) fn hear_together(
        &mut self,
        now: Instant,
        host: bool,
        clock: &Clock,
        batch: &mut Batch,
    ) -> &[i16] {
        self.hear(now, clock, batch);
        if let Some(device) = self.device.as_mut().filter(|_| !host) {
            while device.poll().is_some() {}
            self.said.fill(0);
            if device.ready().is_some_and(|ready| ready >= self.said.len()) {
                device.read(&mut self.said);
            }
            self.said.fill(0);
            device.play(&self.said);
        }
        &self.heard
    }

    /// What the user of the host says in this period.
    pub(in super::super) fn voice(&mut self, voice: &mut Vec<i16>, outbox: &mut Outbox) {
        voice.resize(self.said.len(), 0);
        if self.input.is_holding() {
            // The others do not hear the music of this one.
            return voice.fill(0);
        }
        self.read(voice, outbox);
    }

    /// Sends what the far end hears of the others in this period; music while it is on hold.
    pub(in super::super) fn say_together(&mut self, now: Instant, mixer: &mut Mixer, outbox: &mut Outbox) {
        if self.input.is_holding() {
            let mut said = std::mem::take(&mut self.said);
            let _ = self.input.read(&self.heard, &mut said);
            self.said = said;
        } else {
            mixer.say(self.key, &mut self.said);
        }
        let now = self.tell(now);
        self.say(now, outbox);
        self.look_around(now, outbox);
    }

    /// Lets the user of the host hear the others.
    pub(in super::super) fn play_together(&mut self, mix: &[i16], due: Instant, now: Instant, clock: &Clock) {
        let ready = self.listener.as_ref().map(|_| clock.now());
        self.play(mix, due, now, ready, clock);
    }

    /// Sends a packet as soon as enough is said for one.
    pub(super) fn capture(&mut self, now: Instant) {
        if self.conference.is_none() {
            return self.session.capture(now, &self.said);
        }
        self.gathered.extend_from_slice(&self.said);
        let packet = crate::media::codec::samples(self.session.packet_time(), self.session.rate());
        if packet > 0 && self.gathered.len() >= packet {
            self.session.capture(now, &self.gathered[..packet]);
            self.gathered.drain(..packet);
        }
    }

    /// Counts what the room counted since `before`, and keeps the recording in time.
    pub(in super::super) fn count(&mut self, before: &Counters, after: &Counters) {
        let skipped = after.skipped_ticks - before.skipped_ticks;
        self.counters.ticks += after.ticks - before.ticks;
        self.counters.late_ticks += after.late_ticks - before.late_ticks;
        self.counters.skipped_ticks += skipped;
        self.counters.max_late = self.counters.max_late.max(after.max_late);
        self.leave_out(skipped);
    }
}
