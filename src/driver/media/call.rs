//! One call of a worker: its session, sockets, source, sink and recording.

mod conference;
mod tape;

use super::super::clock::Clock;
use super::closing::Closing;
use super::event::{Counters, Event, Failure, Finished, Trouble};
use super::outbox::Outbox;
use super::port::{Batch, Port};
use super::schedule::Schedule;
use crate::audio::{Adjust, Change, Device, Input, Listener, Player, Recorder, Recording, Tap, Tick, Way};
use crate::media::codec;
use crate::media::dtmf::{self, Digit};
use crate::media::plan::Plan;
use crate::media::session::{self, Component, Gate, Session};
use crate::time::{Duration, Instant};
use mio::{Registry, Token};

/// How often the quality of a call is told.
const QUALITY_EVERY: Duration = Duration::from_secs(1);

/// How often the ring of a device is looked at: its callback may not wake anybody.
pub(super) const DEVICE_LOOK: Duration = Duration::from_millis(2);

/// A microphone that gives nothing for so long is replaced by silence: several times the pieces that devices work in.
pub(super) const DEVICE_SILENCE: Duration = Duration::from_millis(80);

/// How often levels are told, to whoever asked for them.
const LEVELS_EVERY: Duration = Duration::from_millis(200);

/// Ticks that a microphone may pace in one turn, when it gives large pieces.
pub(super) const DEVICE_TICKS: usize = 8;

/// What the audio of a running call is connected to from now on.
pub(super) struct Ends {
    pub(super) input: Input,
    pub(super) device: Option<Device>,
    pub(super) listener: Option<Listener>,
    /// Replaces none that writes already.
    pub(super) recorder: Option<Recorder>,
    pub(super) troubles: Vec<Trouble>,
}

/// What a call is made of.
pub(super) struct Parts {
    pub(super) key: u64,
    pub(super) session: Session,
    pub(super) rtp: Port,
    pub(super) rtcp: Port,
    pub(super) input: Input,
    pub(super) device: Option<Device>,
    pub(super) listener: Option<Listener>,
    pub(super) recorder: Option<Recorder>,
    /// What went wrong before the worker got the call.
    pub(super) troubles: Vec<Trouble>,
}

/// A call that runs.
///
/// ```text
///  each tick:  rtp socket ─▶ session.playout ─▶ heard ─┬─▶ sink
///                                                      ├─▶ recorder (right)
///              session.capture ◀─ said ◀─ input ◀──────┘ (echo)
///                     │             └─▶ recorder (left)
///                     └─▶ rtp socket
/// ```
pub(super) struct Call {
    key: u64,
    session: Session,
    rtp: Port,
    rtcp: Port,
    input: Input,
    device: Option<Device>,
    listener: Option<Listener>,
    recorder: Option<Recorder>,
    schedule: Schedule,
    next_wake: Instant,
    next_quality: Instant,
    next_levels: Instant,
    heard: Vec<i16>,
    said: Vec<i16>,
    counters: Counters,
    /// The latest time that the session was told: arrival stamps must not lead it back.
    told: Instant,
    /// A recording that ended before the call did.
    lost_recording: Option<Recording>,
    /// Something that the far end hears beside or in place of what is said.
    player: Option<Player>,
    /// Whoever listens and speaks as a program.
    tap: Option<Box<Tap>>,
    muted: bool,
    /// In a conference: which, and how much audio it works on at a time.
    conference: Option<(u64, Duration)>,
    /// What was said in a conference and does not fill a packet yet.
    gathered: Vec<i16>,
}

impl Call {
    /// Starts the call: its first tick is due now.
    pub(super) fn start(now: Instant, parts: Parts, outbox: &mut Outbox) -> Self {
        let Parts { key, session, rtp, rtcp, input, device, listener, recorder, troubles } = parts;
        for trouble in troubles {
            outbox.post(Event::Trouble { key, trouble });
        }
        let period = session.packet_time();
        let mut call = Self {
            key,
            session,
            rtp,
            rtcp,
            input,
            device,
            listener,
            recorder,
            schedule: Schedule::new(now, period),
            next_wake: now,
            next_quality: now + QUALITY_EVERY,
            next_levels: now + LEVELS_EVERY,
            heard: Vec::new(),
            said: Vec::new(),
            counters: Counters::default(),
            told: now,
            lost_recording: None,
            player: None,
            tap: None,
            muted: false,
            conference: None,
            gathered: Vec::new(),
        };
        call.fit();
        call
    }

    /// Connects the audio anew: a call that had early media is answered.
    pub(super) fn connect(&mut self, ends: Ends, outbox: &mut Outbox) {
        let Ends { input, device, listener, recorder, troubles } = ends;
        for trouble in troubles {
            outbox.post(Event::Trouble { key: self.key, trouble });
        }
        self.input = input;
        self.device = device;
        self.listener = listener;
        if self.recorder.is_none() {
            self.recorder = recorder;
        }
        self.fit();
    }

    /// Goes on with what came before the far end's answer did.
    pub(super) fn adopt(&mut self, now: Instant, gate: Gate) {
        let now = self.tell(now);
        self.session.adopt(now, gate);
    }

    /// Which call.
    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// Has `poll` tell of what arrives, as `rtp` and `rtcp`.
    pub(super) fn watch(&mut self, registry: &Registry, rtp: Token, rtcp: Token) {
        self.rtp.watch(registry, rtp);
        self.rtcp.watch(registry, rtcp);
    }

    /// Has the poll not tell of it any more.
    pub(super) fn unwatch(&mut self, registry: &Registry) {
        self.rtp.unwatch(registry);
        self.rtcp.unwatch(registry);
    }

    /// Takes and sends RTP on other sockets from now on.
    pub(super) fn move_to(&mut self, rtp: Port, rtcp: Port, registry: &Registry) {
        self.unwatch(registry);
        (self.rtp, self.rtcp) = (rtp, rtcp);
    }

    /// When the call wants its next [`Call::wake`].
    pub(super) fn next(&self) -> Instant {
        self.next_wake
    }

    /// What was counted so far.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes what has arrived on a socket.
    pub(super) fn receive(&mut self, component: Component, batch: &mut Batch, clock: &Clock) {
        let Self { session, rtp, rtcp, told, .. } = self;
        let port = match component {
            Component::Rtp => rtp,
            Component::Rtcp => rtcp,
        };
        self.counters.receive_errors += port.receive(batch, clock, |arrival, from, bytes| {
            *told = arrival.max(*told);
            session.handle_packet(*told, component, from, bytes);
        });
    }

    /// Tells what the session has to tell and sends what it has to send.
    pub(super) fn flush(&mut self, outbox: &mut Outbox) {
        let key = self.key;
        while let Some(event) = self.session.poll_event() {
            outbox.post(match event {
                session::Event::FirstPacket => Event::FirstPacket { key },
                session::Event::Dtmf { digit, duration, way } => Event::Dtmf { key, digit, duration, way },
                session::Event::DtmfSent { digit } => Event::DtmfSent { key, digit },
                session::Event::RemoteLearned { component, address } => {
                    Event::RemoteLearned { key, component, address }
                }
                session::Event::RemoteBye => Event::RemoteBye { key },
                session::Event::Report { sent, report, octets, component, remote } => {
                    let port = match component {
                        Component::Rtp => &self.rtp,
                        Component::Rtcp => &self.rtcp,
                    };
                    Event::Report { key, sent, report, octets, local: port.local(), remote }
                }
                session::Event::Secured { suite } => Event::Secured { key, suite },
                session::Event::Unsecured(failed) => Event::Failed { key, reason: failed.into() },
                session::Event::KeyWearsOut => Event::KeyWearsOut { key },
                session::Event::KeyWornOut { packets } => {
                    Event::Failed { key, reason: Failure::KeyWornOut { packets } }
                }
                session::Event::SourceChanged { .. } => continue,
            });
        }
        while let Some(transmit) = self.session.poll_transmit() {
            let port = match transmit.component {
                Component::Rtp => &self.rtp,
                Component::Rtcp => &self.rtcp,
            };
            if port.send(transmit.to, transmit.bytes).is_err() {
                // A full buffer, a route that went away, a firewall: the next packet may pass.
                self.counters.send_errors += 1;
            }
        }
    }

    /// Does every tick that is due, and what goes by the second.
    pub(super) fn wake(&mut self, clock: &Clock, batch: &mut Batch, outbox: &mut Outbox) {
        if self.device.is_some() {
            self.poll_device(outbox);
            self.tick_by_device(clock, batch, outbox);
            self.tell_levels(clock.now(), outbox);
        }
        self.tick_by_schedule(clock, batch, outbox);
        let now = self.tell(clock.now());
        self.next_wake = match &self.device {
            Some(device) if device.captures() => self.schedule.next().min(now + DEVICE_LOOK),
            _ => self.schedule.next(),
        };
        self.look_around(now, outbox);
    }

    /// Does what goes by the second.
    fn look_around(&mut self, now: Instant, outbox: &mut Outbox) {
        if now >= self.next_quality {
            self.next_quality += QUALITY_EVERY;
            if self.next_quality <= now {
                self.next_quality = now + QUALITY_EVERY;
            }
            let report = Box::new(self.session.quality(now));
            outbox.post(Event::Quality { key: self.key, report });
            self.tap.take_if(|tap| tap.is_abandoned());
            self.look_after_recording(outbox);
        }
    }

    fn tick_by_schedule(&mut self, clock: &Clock, batch: &mut Batch, outbox: &mut Outbox) {
        loop {
            let now = self.tell(clock.now());
            if self.schedule.next() > now {
                return;
            }
            let skipped = self.schedule.take(now, &mut self.counters);
            self.leave_out(skipped);
            let due = self.schedule.next() - self.session.packet_time();
            self.tick(due, now, clock, batch, outbox);
        }
    }

    /// A microphone paces the call: a tick is due when it has recorded a packet. The schedule only watches over it, and
    /// takes over with silence while the device gives nothing.
    fn tick_by_device(&mut self, clock: &Clock, batch: &mut Batch, outbox: &mut Outbox) {
        for _ in 0..DEVICE_TICKS {
            let packet = self.said.len();
            match self.device.as_mut().and_then(Device::ready) {
                Some(ready) if ready >= packet => {}
                _ => return,
            }
            let now = self.tell(clock.now());
            self.counters.ticks += 1;
            self.tick(now, now, clock, batch, outbox);
            self.schedule.restart(now + DEVICE_SILENCE);
        }
    }

    fn poll_device(&mut self, outbox: &mut Outbox) {
        let key = self.key;
        while let Some(change) = self.device.as_mut().and_then(Device::poll) {
            outbox.post(match change {
                Change::Opened(Way::In, name) => Event::DeviceOpened { key, input: Some(name), output: None },
                Change::Opened(Way::Out, name) => Event::DeviceOpened { key, input: None, output: Some(name) },
                Change::Lost(Way::In, reason) => Event::Trouble { key, trouble: Trouble::Microphone(reason) },
                Change::Lost(Way::Out, reason) => Event::Trouble { key, trouble: Trouble::Loudspeaker(reason) },
            });
        }
    }

    fn tell_levels(&mut self, now: Instant, outbox: &mut Outbox) {
        if now < self.next_levels {
            return;
        }
        self.next_levels = now + LEVELS_EVERY;
        if let Some(levels) = self.device.as_mut().and_then(Device::levels) {
            outbox.post(Event::Levels { key: self.key, levels });
        }
    }

    /// One packet time, `due` when it should have come: hears, plays, reads, sends.
    fn tick(&mut self, due: Instant, now: Instant, clock: &Clock, batch: &mut Batch, outbox: &mut Outbox) {
        let now = self.hear(now, clock, batch);
        // The clock is read for those who want to know.
        let heard = self.listener.as_ref().map(|_| clock.now());
        let mut said = std::mem::take(&mut self.said);
        self.read(&mut said, outbox);
        self.said = said;
        self.say(now, outbox);
        self.schedule.shift(self.session.shift());
        let own = std::mem::take(&mut self.heard);
        self.play(&own, due, now, heard, clock);
        self.heard = own;
    }

    /// Takes what has arrived, and makes of it what the far end says in this tick. Returns the time that the session knows.
    fn hear(&mut self, now: Instant, clock: &Clock, batch: &mut Batch) -> Instant {
        self.receive(Component::Rtp, batch, clock);
        if self.rtcp.may_hold_more() {
            self.receive(Component::Rtcp, batch, clock);
        }
        let now = self.tell(now);
        self.session.playout(now, &mut self.heard);
        now
    }

    /// Fills `said` with what our user says in this tick, or the music of a hold.
    fn read(&mut self, said: &mut [i16], outbox: &mut Outbox) {
        let microphone = self.device.as_mut().filter(|device| device.captures());
        let captured = microphone.map(|device| device.read(said)).is_some();
        if self.session.is_locked() {
            // Nobody hears it yet, so nothing of the source is used up.
            said.fill(0);
        } else if (!captured || self.input.is_holding())
            && let Some(ended) = self.input.read(&self.heard, said)
        {
            outbox.post(Event::SourceEnded { key: self.key, error: ended.0 });
        }
    }

    /// Sends what is said in this tick, and records both sides of it.
    fn say(&mut self, now: Instant, outbox: &mut Outbox) {
        if let Some(ended) = self.player.as_mut().and_then(|player| player.play(&mut self.said)) {
            self.player = None;
            outbox.post(Event::PlayEnded { key: self.key, error: ended.0 });
        }
        if let Some(tap) = &mut self.tap {
            tap.speak(&mut self.said);
            tap.listen(&self.said, &self.heard);
        }
        self.capture(now);
        if self.session.poll_timeout().is_some_and(|due| due <= now) {
            self.session.handle_timeout(now);
        }
        self.flush(outbox);
        if let Some(recorder) = &mut self.recorder {
            recorder.push(&self.said, &self.heard);
        }
    }

    /// Lets our user hear `heard`, which was ready at the time `ready` if anybody wants to know.
    fn play(&mut self, heard: &[i16], due: Instant, began: Instant, ready: Option<Instant>, clock: &Clock) {
        if let Some(device) = &mut self.device {
            device.play(heard);
        }
        if let (Some(listener), Some(ready)) = (&mut self.listener, ready) {
            let playout = self.session.counters().playout;
            let tick = Tick {
                rate: self.session.rate(),
                samples: heard.len(),
                voiced: self.input.voiced(),
                due,
                began,
                heard: ready,
                sent: clock.now(),
                waited: playout.delay_sum,
                played: playout.played,
                missed: 0,
            };
            listener.hear(tick, heard);
        }
    }

    /// Follows a renegotiation.
    pub(super) fn update(&mut self, now: Instant, plan: Plan, outbox: &mut Outbox) {
        let now = self.tell(now);
        match self.session.update(now, plan) {
            Ok(()) => self.fit(),
            Err(reason) => outbox.post(Event::Failed { key: self.key, reason: reason.into() }),
        }
        self.flush(outbox);
    }

    /// Sends digits as events, or as tones.
    pub(super) fn dtmf(&mut self, now: Instant, digits: &[Digit], way: dtmf::Way) {
        let now = self.tell(now);
        match way {
            dtmf::Way::Inband => self.session.send_tones(digits),
            dtmf::Way::Rfc4733 | dtmf::Way::Info => self.session.send_dtmf(now, digits),
        };
    }

    /// Sends silence, or the user's voice again. In a conference only the user's voice is left out.
    pub(super) fn mute(&mut self, muted: bool) {
        self.muted = muted;
        self.session.mute(muted && self.conference.is_none());
    }

    /// Plays something to the far end, in place of what is played already; nothing ends that.
    pub(super) fn set_player(&mut self, player: Option<Player>) {
        self.player = player;
        self.fit();
    }

    /// Turns something at its sound devices.
    pub(super) fn adjust(&mut self, adjust: Adjust) {
        if let Some(device) = &mut self.device {
            device.adjust(adjust);
        }
    }

    /// Ends the call: says goodbye and lets everything go but the recording.
    pub(super) fn stop(mut self, now: Instant, registry: &Registry, outbox: &mut Outbox) -> Closing {
        let now = self.tell(now);
        let report = self.session.quality(now);
        self.session.close(now);
        self.flush(outbox);
        self.unwatch(registry);
        let recorder = self.recorder.take();
        self.counters.devices = self.device.as_ref().map(Device::counters).unwrap_or_default();
        self.counters.late_samples = self.input.late();
        self.counters.recording_dropped = recorder.as_ref().map_or(0, Recorder::dropped);
        let finished = Box::new(Finished {
            key: self.key,
            report,
            media: self.session.counters(),
            worker: self.counters,
            recording: self.lost_recording,
        });
        Closing::new(now, finished, recorder.map(Recorder::finish))
    }

    /// Makes everything fit the rate and packet time of the session.
    fn fit(&mut self) {
        let (rate, packet) = (self.session.rate(), self.session.packet_time());
        let period = self.conference.map_or(packet, |(_, period)| period);
        let samples = codec::samples(period, rate);
        self.heard.resize(samples, 0);
        self.said.resize(samples, 0);
        self.schedule.set_period(period);
        // Where what is heard goes back at once, the packets set the beat; a device has a beat of its own.
        self.session.follow(self.device.is_none() && self.input.echoes() && self.conference.is_none());
        self.input.set_rate(rate);
        self.input.hold(self.session.is_holding());
        if let Some(device) = &mut self.device {
            device.set_rate(rate);
        }
        if let Some(tap) = &mut self.tap {
            tap.set_rate(rate);
        }
        if let Some(player) = &mut self.player {
            player.set_rate(rate);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.set_rate(rate);
        }
    }

    /// `now`, or the latest time told if that is later.
    fn tell(&mut self, now: Instant) -> Instant {
        self.told = self.told.max(now);
        self.told
    }
}

#[cfg(test)]
pub(super) mod tests;
