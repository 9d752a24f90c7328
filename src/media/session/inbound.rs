//! What arrives: who may speak, what it is, where it goes.
//!
//! ```text
//! datagram ─▶ RTP or RTCP? ─▶ authentic (keyed) or from the known address (plain)? ─▶ reception: which source?
//!                                                                                           │
//!            audio ─▶ jitter buffer     event ─▶ digits     comfort noise ◀─ payload type ◀──┘
//! ```

use super::{Component, Event, Session};
use crate::media::comfort::Sid;
use crate::media::dtmf::Way;
use crate::media::jitter::{Incoming, Insert};
use crate::media::packet::{self, Kind, Packet};
use crate::media::plan::{Codec, TelephoneEvent};
use crate::media::receive::{Accepted, Begin, Verdict};
use crate::media::sequence::ExtendedSeq;
use crate::time::Instant;
use bytes::Bytes;
use std::net::SocketAddr;

/// Comfort noise, static payload type (RFC 3389 section 4).
const COMFORT_NOISE: u8 = 13;

/// What a payload type means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Audio(Codec),
    Event(TelephoneEvent),
    ComfortNoise,
    Unknown,
}

impl Session {
    /// Takes a datagram that arrived at `now` on the port of `component`. RTP and RTCP on one port are told apart (RFC
    /// 5761 section 4); whatever is not part of the call is dropped and counted.
    pub fn handle_packet(&mut self, now: Instant, component: Component, from: SocketAddr, bytes: &[u8]) {
        if self.closed {
            return;
        }
        match (packet::kind(bytes), component) {
            (Some(_), _) if self.is_locked() => {
                if let Some(gate) = &mut self.gate {
                    gate.hold(component, from, bytes);
                }
            }
            (Some(Kind::Rtp), Component::Rtp) => self.handle_rtp(now, from, bytes),
            (Some(Kind::Rtcp), _) => self.handle_rtcp(now, component, from, bytes),
            _ if self.handle_other(now, component, from, bytes) => {}
            _ => self.counters.foreign += 1,
        }
        self.forget_discarded();
    }

    fn handle_rtp(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let opened;
        let bytes = match self.keys.unprotect_rtp(now, bytes) {
            Some(Ok(packet)) => {
                opened = packet;
                self.tell_wear();
                opened.as_ref()
            }
            // Counted by SRTP.
            Some(Err(_)) => return self.tell_wear(),
            None if !self.rtp_from.admits(now, from) => {
                self.counters.strangers += 1;
                return;
            }
            None => bytes,
        };
        let Ok(packet) = Packet::parse(bytes) else {
            self.counters.malformed += 1;
            return;
        };
        let content = self.content(now, packet.payload_type);
        if content == Content::Unknown {
            self.counters.unknown_payload_type += 1;
            // A source that is known may try something; nobody becomes known by it.
            if self.reception.ssrc() != Some(packet.ssrc) {
                return;
            }
        }
        let clock = match content {
            Content::Audio(codec) => Some(codec.clock_rate()),
            _ => None,
        };
        match self.reception.handle(now, &packet, clock) {
            Verdict::Accepted(accepted) => {
                self.accept(now, from, &packet, accepted);
                self.deliver(now, &packet, accepted.seq, content);
            }
            Verdict::Probation(seq) => {
                // Whatever waited before was not followed by this one.
                self.playout.restart();
                self.held = Some(seq);
                self.deliver(now, &packet, seq, content);
            }
            Verdict::Duplicate | Verdict::Refused(_) => {}
        }
    }

    fn content(&self, now: Instant, payload_type: u8) -> Content {
        let former = self.former.iter().filter(|(until, _)| now < *until).flat_map(|(_, receive)| receive);
        let audio = self.plan.receive.iter().chain(former).find(|(known, _)| *known == payload_type);
        let event = self.plan.receive_events.iter().find(|known| known.payload_type == payload_type);
        match (audio, event) {
            (Some(&(_, codec)), _) => Content::Audio(codec),
            (None, Some(&event)) => Content::Event(event),
            (None, None) if payload_type == COMFORT_NOISE => Content::ComfortNoise,
            (None, None) => Content::Unknown,
        }
    }

    /// A packet of the stream: learns what it proves.
    fn accept(&mut self, now: Instant, from: SocketAddr, packet: &Packet<'_>, accepted: Accepted) {
        let held = self.held.take();
        match accepted.begins {
            None => {}
            Some(Begin::First) => {
                if held.is_none_or(|held| held.next() != accepted.seq) {
                    self.playout.restart();
                }
                self.tell(Event::FirstPacket);
            }
            Some(Begin::SsrcChanged) => {
                self.playout.restart();
                self.heard_digits.restart();
                self.tell(Event::SourceChanged { ssrc: packet.ssrc.0 });
            }
            Some(Begin::Restarted) => self.playout.restart(),
        }
        if accepted.begins.is_some() {
            // What waited belonged to the numbering before.
            while self.playout.poll_discarded().is_some() {}
        }
        self.rtcp.received_rtp(now, packet.ssrc);
        if let Some(address) = self.rtp_from.confirm(now, from) {
            self.tell(Event::RemoteLearned { component: Component::Rtp, address });
        }
    }

    fn deliver(&mut self, now: Instant, packet: &Packet<'_>, seq: ExtendedSeq, content: Content) {
        if !self.plan.direction.receives() {
            self.counters.on_hold += 1;
            return;
        }
        match content {
            // A packet that only keeps a translator's binding alive (RFC 6263 section 4.1).
            Content::Audio(_) if packet.payload.is_empty() => self.playout.other(seq),
            Content::Audio(codec) => {
                let Packet { timestamp, marker, payload, .. } = *packet;
                let incoming = Incoming { seq, timestamp, codec, marker, payload };
                match self.playout.insert(now, incoming) {
                    Ok(Insert::Waiting) => {}
                    Ok(Insert::Late | Insert::Jump) => self.reception.discarded(seq),
                    Ok(Insert::Undecodable) | Err(_) => {
                        self.counters.undecodable += 1;
                        self.reception.discarded(seq);
                    }
                }
            }
            Content::Event(event) => {
                self.playout.other(seq);
                self.heard_digits.handle(now, packet.timestamp, packet.marker, event.clock_rate, packet.payload);
                self.tell_digits();
            }
            Content::ComfortNoise => {
                self.playout.other(seq);
                if let Some(sid) = Sid::parse(packet.payload) {
                    self.counters.noise_heard += 1;
                    self.playout.comfort_noise(seq, &sid);
                }
            }
            Content::Unknown => self.playout.other(seq),
        }
    }

    pub(super) fn tell_digits(&mut self) {
        while let Some((digit, duration)) = self.heard_digits.poll() {
            self.tell(Event::Dtmf { digit, duration, way: Way::Rfc4733 });
        }
    }

    /// Packets that the jitter buffer took and gave up count as not played.
    pub(super) fn forget_discarded(&mut self) {
        while let Some(seq) = self.playout.poll_discarded() {
            self.reception.discarded(seq);
        }
    }

    fn handle_rtcp(&mut self, now: Instant, component: Component, from: SocketAddr, bytes: &[u8]) {
        let known = self.knows_reporter(from);
        let opened;
        let keys = if self.is_apart(component) { &mut self.apart.keys } else { &mut self.keys };
        let bytes = match keys.unprotect_rtcp(now, bytes) {
            Some(Ok(packet)) => {
                opened = packet;
                opened.as_ref()
            }
            Some(Err(_)) => return,
            // Its own handshake is not through.
            None if self.plan.dtls.is_some() => return,
            None if !known => {
                self.counters.strangers += 1;
                return;
            }
            None => bytes,
        };
        let Ok(heard) = self.rtcp.handle(now, bytes) else {
            self.counters.malformed += 1;
            return;
        };
        if heard.own_ssrc {
            return;
        }
        self.counters.rtcp_received += 1;
        if let Some(report) = heard.report {
            let octets = Bytes::copy_from_slice(bytes);
            self.tell(Event::Report { sent: false, report, octets, component, remote: from });
        }
        if component == Component::Rtcp
            && let Some(address) = self.rtcp_from.confirm(now, from)
        {
            self.tell(Event::RemoteLearned { component, address });
        }
        if heard.about_us
            && let Some(remote) = self.rtcp.remote()
        {
            let percent = self.expected_loss.reported(remote.fraction_lost);
            self.counters.expected_loss = percent;
            self.encoder.expect_loss(percent);
        }
        if self.reception.ssrc().is_some_and(|ssrc| heard.byes.contains(&ssrc)) {
            self.tell(Event::RemoteBye);
        }
    }

    /// Plain RTCP proves nothing by itself; it has to come from where RTP comes from, or should come from.
    fn knows_reporter(&self, from: SocketAddr) -> bool {
        let known = [self.rtp_from.destination(), self.rtcp_from.destination()];
        known.iter().flatten().any(|known| known.ip() == from.ip())
    }
}
