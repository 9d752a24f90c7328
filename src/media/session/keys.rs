//! The keys of a call, and their change without a gap.
//!
//! ```text
//! offerer    old key ───────────────────┐ 200      new key ────────▶
//!                    re-INVITE ╲       ╱  ╲ first packet
//! answerer   old key ───────────╲─────╱────╲ new key ──────────────▶
//!                                new plan   └ the far end has it too
//! ```
//!
//! One end learns new keys before the other. So what comes under the old key is taken for a while, and what we send goes
//! under the old key until a packet under the new one shows that the far end knows it, or until it must.

use crate::media::plan::{MasterKey, Srtp};
use crate::media::srtp::{Counters, Incoming, KeyLength, Outgoing, Refused, Unprotected};
use crate::time::{Duration, Instant};
use bytes::Bytes;

/// How long we send under the old key at most: longer than a 200 is on its way.
const SWITCH: Duration = Duration::from_secs(1);

/// How long packets under the old key are taken: as long as the far end waits with its own switch, and they fly.
const FORMER: Duration = Duration::from_secs(3);

/// What protects both directions; nothing of it in a plain call.
#[derive(Debug, Default)]
pub(super) struct Keys {
    protect: Option<Outgoing>,
    /// Takes its place when the far end is known to have the key, or then.
    next: Option<(Outgoing, Instant)>,
    unprotect: Option<Incoming>,
    /// What was in its place, until then.
    former: Option<(Incoming, Instant)>,
    /// Counts of keys that are no longer used.
    past: Counters,
    /// How far the far end's key is worn, if it says how long it is good for.
    wear: Option<Worn>,
}

/// A key with a lifetime (RFC 4568 section 6.1).
#[derive(Clone, Copy, Debug)]
struct Worn {
    lifetime: u64,
    used: u64,
    told: Option<Wear>,
}

/// How far a key is worn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wear {
    /// An eighth of its packets is left: time for a new one.
    Soon,
    /// Nothing is left of so many packets; what comes under it is refused.
    Out(u64),
}

impl Worn {
    fn of(srtp: Option<&Srtp>) -> Option<Self> {
        Some(Self { lifetime: srtp?.remote_lifetime?, used: 0, told: None })
    }

    fn state(&self) -> Option<Wear> {
        let left = self.lifetime.saturating_sub(self.used);
        if left == 0 { Some(Wear::Out(self.lifetime)) } else { (left <= self.lifetime / 8).then_some(Wear::Soon) }
    }
}

impl Keys {
    /// The keys of a new call.
    pub(super) fn new(srtp: Option<&Srtp>) -> Result<Self, KeyLength> {
        let protect = srtp.map(|keys| Outgoing::new(keys.suite, &keys.local)).transpose()?;
        Ok(Self { protect, unprotect: srtp.map(incoming).transpose()?, wear: Worn::of(srtp), ..Self::default() })
    }

    /// Follows a renegotiation from `old` to `new`; contexts of keys that stay go on.
    pub(super) fn update(&mut self, now: Instant, old: Option<&Srtp>, new: Option<&Srtp>) -> Result<(), KeyLength> {
        let suite_stays = old.map(|keys| keys.suite) == new.map(|keys| keys.suite);
        let stays = |key: fn(&Srtp) -> (&MasterKey, &[u8])| suite_stays && old.map(key) == new.map(key);
        let local_stays = stays(|keys| (&keys.local, &[]));
        let remote_stays = stays(|keys| (&keys.remote, &keys.remote_mki));
        let protect = new.map(|keys| Outgoing::new(keys.suite, &keys.local)).transpose()?;
        let unprotect = new.map(incoming).transpose()?;
        // From here on nothing fails.
        if !local_stays {
            self.next = None;
            match protect {
                // Without a new key to hear from the far end, nothing would tell when to switch.
                Some(protect) if self.protect.is_some() && !remote_stays => self.next = Some((protect, now + SWITCH)),
                other => self.protect = other,
            }
        }
        if !remote_stays {
            self.drop_former();
            self.wear = Worn::of(new);
            let former = std::mem::replace(&mut self.unprotect, unprotect);
            match former {
                // What was encrypted is never taken plain, nor the other way round.
                Some(former) if self.unprotect.is_some() => self.former = Some((former, now + FORMER)),
                Some(former) => self.past.add(&former.counters()),
                None => {}
            }
        }
        Ok(())
    }

    /// Protects an RTP packet; `None` in a plain call.
    pub(super) fn protect_rtp(&mut self, now: Instant, packet: &[u8]) -> Option<Result<Bytes, Unprotected>> {
        Some(self.outgoing(now)?.protect_rtp(packet))
    }

    /// Protects a compound RTCP packet; `None` in a plain call.
    pub(super) fn protect_rtcp(&mut self, now: Instant, packet: &[u8]) -> Option<Result<Bytes, Unprotected>> {
        Some(self.outgoing(now)?.protect_rtcp(packet))
    }

    /// The RTP packet in an SRTP packet; `None` in a plain call.
    pub(super) fn unprotect_rtp(&mut self, now: Instant, packet: &[u8]) -> Option<Result<Bytes, Refused>> {
        self.open(now, |keys| keys.unprotect_rtp(packet))
    }

    /// The RTCP packet in an SRTCP packet; `None` in a plain call.
    pub(super) fn unprotect_rtcp(&mut self, now: Instant, packet: &[u8]) -> Option<Result<Bytes, Refused>> {
        self.open(now, |keys| keys.unprotect_rtcp(packet))
    }

    /// How far the far end's key is worn; each state is told once.
    pub(super) fn poll_wear(&mut self) -> Option<Wear> {
        let worn = self.wear.as_mut()?;
        let state = worn.state().filter(|state| worn.told != Some(*state))?;
        worn.told = Some(state);
        Some(state)
    }

    /// What happened to received packets so far.
    pub(super) fn counters(&self) -> Counters {
        let mut sum = self.past;
        for keys in self.unprotect.iter().chain(self.former.iter().map(|(former, _)| former)) {
            sum.add(&keys.counters());
        }
        sum
    }

    fn outgoing(&mut self, now: Instant) -> Option<&mut Outgoing> {
        if self.next.as_ref().is_some_and(|(_, due)| *due <= now) {
            self.switch();
        }
        self.protect.as_mut()
    }

    fn switch(&mut self) {
        if let Some((next, _)) = self.next.take() {
            self.protect = Some(next);
        }
    }

    fn open(
        &mut self,
        now: Instant,
        unprotect: impl Fn(&mut Incoming) -> Result<Bytes, Refused>,
    ) -> Option<Result<Bytes, Refused>> {
        if self.former.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.drop_former();
        }
        // The old key first: what it opens is no forgery under the new one, and counts only there.
        if let Some((former, _)) = &mut self.former {
            let before = former.counters();
            match unprotect(former) {
                Err(Refused::Authentication | Refused::Malformed) => former.forget_since(before),
                opened => return Some(opened),
            }
        }
        let unprotected = self.unprotect.as_mut()?;
        if self.wear.is_some_and(|worn| worn.used >= worn.lifetime) {
            return Some(Err(Refused::WornOut));
        }
        let opened = unprotect(unprotected);
        if opened.is_ok() {
            if let Some(worn) = &mut self.wear {
                worn.used += 1;
            }
            self.switch();
        }
        Some(opened)
    }

    fn drop_former(&mut self) {
        if let Some((former, _)) = self.former.take() {
            self.past.add(&former.counters());
        }
    }
}

fn incoming(keys: &Srtp) -> Result<Incoming, KeyLength> {
    Incoming::with_mki(keys.suite, &keys.remote, &keys.remote_mki)
}
