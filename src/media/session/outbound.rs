//! What we send: audio, digits, reports.

use super::{Component, Digit, Event, Session};
use crate::media::codec::{self, Encoded};
use crate::media::comfort::Said;
use crate::media::dtmf::{Pulse, Tick};
use crate::media::packet::Header;
use crate::media::plan::TelephoneEvent;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use std::ops::RangeInclusive;

/// After so long without a packet from our RTP port an address translator may forget it (RFC 6263 section 7: Tr).
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The dynamic payload types (RFC 3551 section 6).
const DYNAMIC: RangeInclusive<u8> = 96..=127;

impl Session {
    /// Takes exactly one [`Session::packet_time`] of mono audio at [`Session::rate`], to be sent at once. Audio of another
    /// length is cut or filled up with silence.
    ///
    /// To be called on hold too: media time goes on. While a digit sounds, it is sent in place of the audio.
    pub fn capture(&mut self, now: Instant, audio: &[i16]) {
        if self.closed {
            return;
        }
        let (codec, packet_time) = (self.plan.encoding.codec, self.packet_time());
        self.sender.tick(now, packet_time, codec.clock_rate());
        if !self.plan.direction.sends() || self.rtp_from.destination().is_none() || !self.may_send(Component::Rtp) {
            self.sender.skip();
            return self.keep_alive(now);
        }
        if let Some(telephone) = self.plan.send_event {
            match self.digits.tick(packet_time, telephone.clock_rate) {
                Tick::Audio => {}
                Tick::Silence => return self.sender.skip(),
                Tick::Event(pulse) => return self.send_event(now, telephone, pulse),
            }
        }
        let voiced = self.voiced(audio);
        let audio = voiced.as_deref().unwrap_or(audio);
        let samples = codec::samples(packet_time, codec.sample_rate());
        if let Some(payload_type) = self.plan.comfort_noise
            && self.keeps_silent(now, payload_type, audio)
        {
            if let Some(voice) = voiced {
                self.voice = voice;
            }
            return;
        }
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        let encoded = if audio.len() == samples {
            self.encoder.encode(audio, &mut payload)
        } else {
            let mut fitted = audio.to_vec();
            fitted.resize(samples, 0);
            self.encoder.encode(&fitted, &mut payload)
        };
        match encoded {
            Ok(Encoded::Payload) => {
                let header = self.sender.audio(self.plan.encoding.payload_type);
                self.send_rtp(now, &header, &payload);
            }
            Ok(Encoded::Nothing) => {
                self.sender.skip();
                self.keep_alive(now);
            }
            Err(_) => {
                self.counters.not_encoded += 1;
                self.sender.skip();
            }
        }
        self.payload = payload;
        if let Some(voice) = voiced {
            self.voice = voice;
        }
    }

    /// Is nothing said in `audio`? Then comfort noise is sent as `payload_type` when it is due, and nothing else (RFC 3389).
    fn keeps_silent(&mut self, now: Instant, payload_type: u8, audio: &[i16]) -> bool {
        match self.silencer.judge(audio, self.packet_time()) {
            Said::Voice => return false,
            Said::Noise(sid) => {
                self.sender.skip();
                let mut payload = std::mem::take(&mut self.payload);
                payload.clear();
                sid.write(&mut payload);
                let header = self.sender.aside(payload_type);
                self.send_rtp(now, &header, &payload);
                self.counters.noise_sent += 1;
                self.payload = payload;
            }
            Said::Nothing => {
                self.sender.skip();
                self.keep_alive(now);
            }
        }
        true
    }

    /// Queues digits, to be sent one after the other in place of audio; tells how many were taken: none if the far end
    /// takes no telephone events, fewer than given if hundreds wait already.
    pub fn send_dtmf(&mut self, _now: Instant, digits: &[Digit]) -> usize {
        if self.plan.send_event.is_none() || self.closed { 0 } else { self.digits.push(digits) }
    }

    /// Keeps the way to our RTP port open while nothing is said, on hold say. RTCP on the same port does that by itself;
    /// without it an empty packet of a payload type that nobody agreed on goes out (RFC 6263 sections 4.6 and 5): it is
    /// numbered and protected as all others, so that every far end can tell it from noise, and drops it.
    fn keep_alive(&mut self, now: Instant) {
        if now.since(self.spoke) < KEEP_ALIVE {
            return;
        }
        self.spoke = now;
        let plan = &self.plan;
        let agreed = |number: u8| {
            plan.encoding.payload_type == number
                || plan.receive.iter().any(|(known, _)| *known == number)
                || plan.send_event.iter().chain(&plan.receive_events).any(|event| event.payload_type == number)
        };
        if let Some(unknown) = DYNAMIC.rev().find(|number| !agreed(*number)) {
            let header = self.sender.aside(unknown);
            self.send_rtp(now, &header, &[]);
        }
    }

    fn send_event(&mut self, now: Instant, telephone: TelephoneEvent, pulse: Pulse) {
        for copy in 0..pulse.copies {
            let first = copy == 0;
            let header = self.sender.event(telephone.payload_type, pulse.marker && first, pulse.begins && first);
            self.send_rtp(now, &header, &pulse.payload);
        }
        if let Some(digit) = pulse.finished {
            self.tell(Event::DtmfSent { digit });
        }
    }

    fn send_rtp(&mut self, now: Instant, header: &Header, payload: &[u8]) {
        let Some(to) = self.rtp_from.destination().filter(|_| self.may_send(Component::Rtp)) else { return };
        let queued = header.write(payload, &mut self.packet).is_ok()
            && match self.keys.protect_rtp(now, &self.packet) {
                None => self.outbox.push_plain(Component::Rtp, to, &self.packet),
                Some(packet) => packet.is_ok_and(|packet| self.outbox.push_protected(Component::Rtp, to, packet)),
            };
        if queued {
            self.spoke = now;
            self.rtcp.sent_rtp(now, header, payload.len(), self.plan.encoding.codec.clock_rate());
        } else {
            self.counters.not_sent += 1;
        }
    }

    /// Sends the compound packet in `self.packet`.
    pub(super) fn send_rtcp(&mut self, now: Instant) {
        let (component, to) = if self.plan.rtcp_mux {
            self.spoke = now;
            (Component::Rtp, self.rtp_from.destination())
        } else {
            (Component::Rtcp, self.rtcp_from.destination())
        };
        let Some(to) = to.filter(|_| self.may_send(component)) else { return };
        let apart = self.is_apart(component);
        let keys = if apart { &mut self.apart.keys } else { &mut self.keys };
        let queued = match keys.protect_rtcp(now, &self.packet) {
            // Its own handshake is not through.
            None if apart => return,
            None => self.outbox.push_plain(component, to, &self.packet),
            Some(packet) => packet.is_ok_and(|packet| self.outbox.push_protected(component, to, packet)),
        };
        if let Some(report) = self.rtcp.last().filter(|_| queued) {
            let octets = Bytes::copy_from_slice(&self.packet);
            self.tell(Event::Report { sent: true, report, octets, component, remote: to });
        }
        let counter = if queued { &mut self.counters.rtcp_sent } else { &mut self.counters.not_sent };
        *counter += 1;
    }
}
