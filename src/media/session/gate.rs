//! What comes before media: connectivity checks and handshakes, from the offer on, and packets that wait for their keys.
//!
//! ```text
//!  port ─▶ 0..3  STUN ─▶ ice::Lite ─▶ where to send
//!          20..63 DTLS ─▶ Association ─▶ keys
//!          128..191 RTP ─▶ waiting, until there are keys
//! ```
//!
//! The first octet tells them apart (RFC 7983 section 7). A gate is opened with our offer, before there is a session:
//! whoever answers may be faster on the media path than on that of signalling (RFC 5763 section 6.2).

use super::Component;
use crate::media::dtls::{Association, Failed, Identity, Secured, is_dtls};
use crate::media::ice;
use crate::media::packet;
use crate::media::plan::{IceCredentials, Plan, SrtpSuite};
use crate::time::Instant;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Packets that may wait for keys: more than a second of audio, in which every handshake is through that ever will be.
const WAITING: usize = 128;

/// Datagrams that may wait to be sent.
const OUTBOX: usize = 32;

/// What a gate is opened for.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Who we are in a handshake, if one may come, and the suites that it may agree on.
    pub dtls: Option<(Identity, Vec<SrtpSuite>)>,
    /// Who we are in connectivity checks, if they may come.
    pub ice: Option<IceCredentials>,
}

/// A packet that came before its keys.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) component: Component,
    pub(super) from: SocketAddr,
    pub(super) octets: Vec<u8>,
}

/// What happened at a gate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Media of this port goes there.
    Chosen(Component, SocketAddr),
    /// There are keys for this port.
    Secured(Component, Secured),
    /// There will be none.
    Failed(Component, Failed),
}

/// See the picture at the head of this module.
#[derive(Debug)]
pub struct Gate {
    associations: [Option<Association>; 2],
    ice: [Option<ice::Lite>; 2],
    waiting: VecDeque<Waiting>,
    outbox: VecDeque<(Component, SocketAddr, Vec<u8>)>,
    news: VecDeque<News>,
}

const COMPONENTS: [Component; 2] = [Component::Rtp, Component::Rtcp];

fn place(component: Component) -> usize {
    match component {
        Component::Rtp => 0,
        Component::Rtcp => 1,
    }
}

impl Gate {
    /// A gate for whoever may come before our offer has its answer.
    pub fn open(expected: Expected) -> Self {
        let Expected { dtls, ice } = expected;
        let association = || dtls.clone().map(|(identity, suites)| Association::listen(identity, suites));
        let agent = || ice.clone().map(ice::Lite::new);
        Self {
            associations: [association(), association()],
            ice: [agent(), agent()],
            waiting: VecDeque::new(),
            outbox: VecDeque::new(),
            news: VecDeque::new(),
        }
    }

    /// What the plan of a session needs; `None` if nothing comes before its media.
    pub(super) fn of_plan(now: Instant, plan: &Plan, identity: Option<&Identity>) -> Option<Self> {
        let dtls = plan.dtls.as_ref().zip(identity).map(|(dtls, identity)| (identity.clone(), dtls.suites.clone()));
        let ice = plan.ice.as_ref().map(|ice| ice.local.clone());
        if dtls.is_none() && ice.is_none() {
            return None;
        }
        let mut gate = Self::open(Expected { dtls, ice });
        gate.meet(now, plan, true);
        Some(gate)
    }

    /// The far end has told of itself; `anew`: its handshake is another than before.
    pub(super) fn meet(&mut self, now: Instant, plan: &Plan, anew: bool) {
        for component in COMPONENTS {
            let index = place(component);
            let apart = component == Component::Rtp || !plan.rtcp_mux;
            let signalled = if component == Component::Rtp { plan.remote_rtp } else { plan.remote_rtcp };
            match (&plan.ice, &mut self.ice[index]) {
                (Some(ice), Some(agent)) => agent.meet(&ice.local, ice.remote_lite),
                (Some(ice), none) => *none = Some(ice::Lite::new(ice.local.clone())),
                (None, some) => *some = None,
            }
            let Some(dtls) = plan.dtls.as_ref().filter(|_| apart) else {
                self.associations[index] = None;
                continue;
            };
            let known = match &self.ice[index] {
                Some(agent) if !agent.is_settled() => None,
                Some(agent) => agent.chosen().or(Some(signalled)),
                None => Some(signalled),
            };
            let Some(association) = &mut self.associations[index] else { continue };
            if anew {
                association.expect(now, dtls.clone());
            }
            if let Some(to) = known.filter(|to| !to.ip().is_unspecified() && to.port() != 0) {
                association.direct(now, to);
            }
        }
        self.collect();
    }

    /// Takes the place of `former`: connectivity checks go on, with what they chose.
    pub(super) fn inherit(&mut self, now: Instant, former: &mut Gate, plan: &Plan) {
        self.ice = std::mem::take(&mut former.ice);
        self.waiting = std::mem::take(&mut former.waiting);
        self.meet(now, plan, false);
    }

    /// May media of this port be sent, as far as connectivity checks tell?
    pub(super) fn is_settled(&self, component: Component) -> bool {
        self.ice[place(component)].as_ref().is_none_or(ice::Lite::is_settled)
    }

    /// Where the far end wants media of this port, if it has chosen.
    pub(super) fn chosen(&self, component: Component) -> Option<SocketAddr> {
        self.ice[place(component)].as_ref().and_then(ice::Lite::chosen)
    }

    /// Takes what belongs to checks and handshakes; false if it is something else.
    pub(super) fn handle(&mut self, now: Instant, component: Component, from: SocketAddr, octets: &[u8]) -> bool {
        let index = place(component);
        if is_dtls(octets) {
            let Some(association) = &mut self.associations[index] else { return false };
            association.handle(now, from, octets);
            self.collect();
            return true;
        }
        let checked = self.ice[index].as_mut().and_then(|agent| agent.handle(now, from, octets));
        let Some(checked) = checked else { return false };
        self.send(component, from, checked.response);
        if let Some(chosen) = checked.chosen {
            self.news.push_back(News::Chosen(component, chosen));
            if let Some(association) = &mut self.associations[index] {
                association.direct(now, chosen);
            }
            self.collect();
        }
        true
    }

    /// Keeps a packet until there are keys; the oldest goes when there are too many.
    pub(super) fn hold(&mut self, component: Component, from: SocketAddr, octets: &[u8]) {
        if self.waiting.len() >= WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Waiting { component, from, octets: octets.to_vec() });
    }

    pub(super) fn release(&mut self) -> VecDeque<Waiting> {
        std::mem::take(&mut self.waiting)
    }

    /// Takes whatever came before there was a session.
    pub fn arrive(&mut self, now: Instant, component: Component, from: SocketAddr, octets: &[u8]) {
        if packet::kind(octets).is_some() {
            self.hold(component, from, octets);
        } else {
            self.handle(now, component, from, octets);
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<(Component, SocketAddr, Vec<u8>)> {
        self.outbox.pop_front()
    }

    pub(super) fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// When [`Gate::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.associations.iter().flatten().filter_map(Association::poll_timeout).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.associations.iter_mut().flatten().for_each(|association| association.handle_timeout(now));
        self.collect();
    }

    pub(super) fn close(&mut self, now: Instant) {
        self.associations.iter_mut().flatten().for_each(|association| association.close(now));
        self.collect();
    }

    fn collect(&mut self) {
        for component in COMPONENTS {
            let Some(mut association) = self.associations[place(component)].take() else { continue };
            while let Some((to, octets)) = association.poll_transmit() {
                self.send(component, to, octets.to_vec());
            }
            match association.poll_outcome() {
                Some(Ok(secured)) => self.news.push_back(News::Secured(component, secured)),
                Some(Err(failed)) => self.news.push_back(News::Failed(component, failed)),
                None => {}
            }
            self.associations[place(component)] = Some(association);
        }
    }

    fn send(&mut self, component: Component, to: SocketAddr, octets: Vec<u8>) {
        if self.outbox.len() < OUTBOX {
            self.outbox.push_back((component, to, octets));
        }
    }
}
