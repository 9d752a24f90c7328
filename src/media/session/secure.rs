//! What a session does with its gate: keys of a handshake, and where connectivity checks say that media goes.

use super::gate::{Gate, News};
use super::keys::{Keys, Wear};
use super::{Component, Event, Session, Unusable, probation};
use crate::media::dtls::{Identity, Role, Secured};
use crate::media::plan::{Plan, Srtp};
use crate::time::Instant;
use bytes::Bytes;

/// Keys of RTCP on a port of its own: a handshake there agrees on them (RFC 5764 section 4).
#[derive(Debug, Default)]
pub(super) struct Apart {
    pub(super) keys: Keys,
    srtp: Option<Srtp>,
}

impl Session {
    /// Does a handshake still have to agree on keys? Nothing is sent or heard before.
    pub fn is_locked(&self) -> bool {
        self.plan.dtls.is_some() && self.plan.srtp.is_none()
    }

    /// Goes on with what came before the far end's answer did. To be called before anything else.
    pub fn adopt(&mut self, now: Instant, mut gate: Gate) {
        let begins = self.plan.dtls.as_ref().is_some_and(|dtls| dtls.role == Role::Client);
        match &mut self.gate {
            // Our own first flight is under way already.
            Some(own) if begins => own.inherit(now, &mut gate, &self.plan),
            Some(own) => {
                gate.meet(now, &self.plan, true);
                **own = gate;
            }
            None => {
                // The far end wants neither; what it sent meanwhile is media.
                for held in gate.release() {
                    self.handle_packet(now, held.component, held.from, &held.octets);
                }
            }
        }
        self.direct_by_gate(now);
        self.follow_gate(now);
    }

    pub(super) fn gate_for(
        now: Instant,
        plan: &Plan,
        identity: Option<&Identity>,
    ) -> Result<Option<Box<Gate>>, Unusable> {
        if plan.dtls.is_some() && identity.is_none() {
            return Err(Unusable::NoCertificate);
        }
        Ok(Gate::of_plan(now, plan, identity).map(Box::new))
    }

    /// Follows a new plan, which is in place already; `anew`: the handshake is another than before.
    pub(super) fn renew_gate(&mut self, now: Instant, fresh: Option<Box<Gate>>, anew: bool) {
        match (&mut self.gate, fresh) {
            (Some(gate), Some(_)) if !anew => gate.meet(now, &self.plan, false),
            (Some(gate), Some(mut fresh)) => {
                fresh.inherit(now, gate, &self.plan);
                *gate = fresh;
                self.apart = Apart::default();
            }
            (gate, fresh) => {
                *gate = fresh;
                self.apart = Apart::default();
            }
        }
        self.direct_by_gate(now);
        self.follow_gate(now);
    }

    /// May packets of this port leave?
    pub(super) fn may_send(&self, component: Component) -> bool {
        !self.is_locked() && self.gate.as_ref().is_none_or(|gate| gate.is_settled(component))
    }

    /// Is RTCP protected by keys of its own?
    pub(super) fn is_apart(&self, component: Component) -> bool {
        component == Component::Rtcp && self.plan.dtls.is_some() && !self.plan.rtcp_mux
    }

    /// Something that is neither RTP nor RTCP; false if nobody here knows it.
    pub(super) fn handle_other(
        &mut self,
        now: Instant,
        component: Component,
        from: std::net::SocketAddr,
        octets: &[u8],
    ) -> bool {
        let taken = self.gate.as_mut().is_some_and(|gate| gate.handle(now, component, from, octets));
        if taken {
            self.follow_gate(now);
        }
        taken
    }

    fn direct_by_gate(&mut self, now: Instant) {
        let Some(gate) = &self.gate else { return };
        for (component, latch) in [(Component::Rtp, &mut self.rtp_from), (Component::Rtcp, &mut self.rtcp_from)] {
            if let Some(chosen) = gate.chosen(component) {
                latch.confirm(now, chosen);
            }
        }
    }

    /// Does what the gate leads to.
    pub(super) fn follow_gate(&mut self, now: Instant) {
        while let Some(news) = self.gate.as_mut().and_then(|gate| gate.poll_news()) {
            match news {
                News::Chosen(component, address) => {
                    let latch = if component == Component::Rtp { &mut self.rtp_from } else { &mut self.rtcp_from };
                    if latch.confirm(now, address).is_some() {
                        self.tell(Event::RemoteLearned { component, address });
                    }
                }
                News::Secured(component, secured) => self.secure(now, component, secured),
                News::Failed(Component::Rtp, failed) => self.tell(Event::Unsecured(failed)),
                // A far end without RTCP is heard all the same.
                News::Failed(Component::Rtcp, _) => {}
            }
        }
        let Some(gate) = &mut self.gate else { return };
        while let Some((component, to, octets)) = gate.poll_transmit() {
            self.outbox.push_protected(component, to, Bytes::from(octets));
        }
    }

    fn secure(&mut self, now: Instant, component: Component, secured: Secured) {
        let Secured { srtp, from } = secured;
        let suite = srtp.suite;
        let (keys, known) = match component {
            Component::Rtp => (&mut self.keys, &mut self.plan.srtp),
            Component::Rtcp => (&mut self.apart.keys, &mut self.apart.srtp),
        };
        // Keys of a handshake are as long as their suite wants them.
        if keys.update(now, known.as_ref(), Some(&srtp)).is_err() {
            return;
        }
        *known = Some(srtp);
        if component == Component::Rtp {
            self.reception.set_probation(probation(&self.plan));
            self.tell(Event::Secured { suite });
            let settled = self.gate.as_ref().and_then(|gate| gate.chosen(component));
            if settled.is_none()
                && let Some(address) = self.rtp_from.confirm(now, from)
            {
                self.tell(Event::RemoteLearned { component, address });
            }
        }
        let held = self.gate.as_mut().map(|gate| gate.release()).unwrap_or_default();
        for packet in held {
            self.handle_packet(now, packet.component, packet.from, &packet.octets);
        }
    }

    /// Tells when the far end's key wears out.
    pub(super) fn tell_wear(&mut self) {
        if let Some(wear) = self.keys.poll_wear() {
            self.tell(match wear {
                Wear::Soon => Event::KeyWearsOut,
                Wear::Out(packets) => Event::KeyWornOut { packets },
            });
        }
    }
}
