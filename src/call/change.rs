//! Our changes of an answered call: hold, other codecs, another address (RFC 3264 section 8).
//!
//! ```text
//!  change() ─▶ wanted ─ nothing else under way ─▶ offered ─┬─ accepted ─▶ plan, Held, Resumed
//!                ▲                                         ├─ refused ──▶ as before, ChangeRefused
//!                └────────────────── clashed, its time ────┘
//! ```

use super::life::{Call, Desk, GaveUp, Media, Stage};
use super::negotiate::{Local, Negotiation};
use super::output::{MediaOrder, Moment, Side};
use crate::media::plan::{Codec, Direction};
use crate::sip::agent::{Refused, UnknownWord, words};
use crate::sip::message::Status;
use bytes::Bytes;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// What may change in an answered call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Put the far end on hold.
    Hold,
    /// Take the far end off hold.
    Resume,
    /// Use these codecs, in our order of preference.
    Codecs(Vec<Codec>),
    /// Take RTP here, and RTCP there when it does not come with RTP.
    Address {
        /// Where RTP goes.
        rtp: SocketAddr,
        /// Where RTCP goes.
        rtcp: SocketAddr,
    },
}

/// How we put a far end on hold. Nothing of ours is heard while we do, whichever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum HoldStyle {
    /// `a=sendonly` (RFC 3264 section 8.4): the far end may play what it likes.
    #[default]
    SendOnly,
    /// `a=inactive`.
    Inactive,
    /// `c=0.0.0.0` besides, for peers of RFC 2543.
    Nowhere,
}

words!(
    HoldStyle,
    "way to hold",
    "sendonly" = HoldStyle::SendOnly,
    "inactive" = HoldStyle::Inactive,
    "0.0.0.0" = HoldStyle::Nowhere
);

/// Why a call is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// There is nothing to change yet, or any more.
    #[error("the call is not answered, so it cannot be changed; wait for the answer")]
    NotAnswered,
}

impl Call {
    /// Changes the call as soon as no other change is under way; tells when the far end has followed. A call that is not
    /// answered is changed by UPDATE, if its early media was agreed on reliably (RFC 3311).
    ///
    /// # Errors
    /// When the call is not answered, and cannot be changed before.
    pub fn change(&mut self, desk: &mut Desk<'_>, change: Change) -> Result<(), ChangeRefused> {
        let early = matches!(self.stage, Stage::Calling { .. } | Stage::Alerting { .. });
        let Some(negotiation) = self.negotiation.as_ref().filter(|_| early || matches!(self.stage, Stage::Talking))
        else {
            return Err(ChangeRefused::NotAnswered);
        };
        let mut local = self.wanted.take().unwrap_or_else(|| negotiation.local().clone());
        match change {
            Change::Hold => {
                let style = self.options.hold;
                local.direction = if style == HoldStyle::SendOnly { Direction::SendOnly } else { Direction::Inactive };
                local.nowhere = style == HoldStyle::Nowhere;
            }
            Change::Resume => {
                local.direction = Direction::SendRecv;
                local.nowhere = false;
            }
            Change::Codecs(codecs) => local.codecs = codecs,
            Change::Address { rtp, rtcp } => (local.rtp, local.rtcp) = (rtp, rtcp),
        }
        self.wanted = (self.before.is_some() || local != *negotiation.local()).then_some(local);
        let changes = self.wanted.is_some();
        self.try_change(desk);
        // Before the answer only what UPDATE can do at once.
        if early && changes && self.before.is_none() {
            self.wanted = None;
            return Err(ChangeRefused::NotAnswered);
        }
        Ok(())
    }

    /// Offers what is wanted, unless something else is under way: then the end of that leads here again.
    pub fn try_change(&mut self, desk: &mut Desk<'_>) {
        let answered = match self.stage {
            Stage::Talking => true,
            Stage::Calling { .. } | Stage::Alerting { .. } => false,
            _ => return,
        };
        let (None, Some(negotiation)) = (&self.before, &mut self.negotiation) else { return };
        if negotiation.is_pending() {
            return;
        }
        if let Some((rtp, rtcp)) = self.address.take_if(|_| answered) {
            let wanted = self.wanted.get_or_insert_with(|| negotiation.local().clone());
            (wanted.rtp, wanted.rtcp) = (rtp, rtcp);
        }
        let renews = negotiation.renews_keys();
        let Some(wanted) = self.wanted.take().filter(|wanted| renews || wanted != negotiation.local()) else { return };
        // An offer that is not sent must leave no trace in the versions of our descriptions.
        let as_it_was = negotiation.clone();
        negotiation.set_local(wanted.clone());
        let offer = negotiation.offer(desk.random);
        let sent = match answered {
            true => desk.agent.reoffer(desk.now, self.session, Some(offer)),
            false => desk.agent.update(desk.now, self.session, Some(offer)),
        };
        match sent {
            Ok(()) => self.before = Some(as_it_was.local().clone()),
            Err(refused) => {
                *negotiation = as_it_was;
                if let Refused::Busy(_) = refused {
                    self.wanted = Some(wanted);
                }
            }
        }
    }

    /// Moves media to another address of ours; then the far end is told.
    ///
    /// # Errors
    /// When the call is not answered.
    pub fn move_media(&mut self, desk: &mut Desk<'_>, local: IpAddr) -> Result<(), ChangeRefused> {
        if !matches!(self.stage, Stage::Talking) || self.media != Media::Running {
            return Err(ChangeRefused::NotAnswered);
        }
        self.order(desk, MediaOrder::Move(local));
        Ok(())
    }

    /// The way to the far end starts at another address of ours. A call that rings here moves as soon as it has sound: then
    /// its far end is told by UPDATE if it can be, else once it is answered.
    pub fn handle_moved(&mut self, desk: &mut Desk<'_>, local: IpAddr) {
        if self.move_media(desk, local).is_ok() {
            return;
        }
        match self.media {
            Media::Running => self.order(desk, MediaOrder::Move(local)),
            _ => self.moved = Some(local),
        }
    }

    /// The far end sees us at another address than before. Where that is another host, media are asked for again how they
    /// are seen; else our Contact alone is told anew.
    pub fn handle_readdressed(&mut self, desk: &mut Desk<'_>) {
        let Some(negotiation) = self.negotiation.as_mut().filter(|_| matches!(self.stage, Stage::Talking)) else {
            return;
        };
        let Some((shown, local)) = desk.agent.shown_now(self.session) else { return };
        if shown != negotiation.local().rtp.ip() {
            let _ = self.move_media(desk, local);
            return;
        }
        // What is under way may have left before this was known, and is no reason to leave it so.
        if desk.agent.update(desk.now, self.session, None).is_ok() || negotiation.is_pending() || self.before.is_some()
        {
            return;
        }
        let as_it_was = negotiation.clone();
        let offer = negotiation.offer(desk.random);
        match desk.agent.reoffer(desk.now, self.session, Some(offer)) {
            Ok(()) => self.before = Some(as_it_was.local().clone()),
            Err(_) => *negotiation = as_it_was,
        }
    }

    /// The far end followed our change, or offers one that we asked for.
    pub fn handle_offer_accepted(&mut self, desk: &mut Desk<'_>, body: Option<&Bytes>, wants_answer: bool) {
        let Some(negotiation) = &mut self.negotiation else { return };
        let before = self.before.take();
        let was_held = negotiation.is_held();
        let agreed = match body {
            Some(offer) if wants_answer => match negotiation.answer(offer, desk.random) {
                Ok((sdp, agreement)) => {
                    let _ = desk.agent.ack_answer(desk.now, self.session, sdp);
                    Ok(Some(agreement))
                }
                Err(rejected) => Err(rejected.to_string()),
            },
            Some(answer) if negotiation.is_pending() => {
                negotiation.answered(answer).map(Some).map_err(|rejected| rejected.to_string())
            }
            None if negotiation.is_pending() => {
                Err("the far end accepted a change without a session description".to_owned())
            }
            // The answer to a refresh that repeated our description.
            Some(answer) => Ok(negotiation.answered(answer).ok()),
            None => Ok(None),
        };
        match agreed {
            Ok(agreement) => {
                let held = before.map(|before| is_hold(&before));
                let turned = held.is_some_and(|held| held != self.holds());
                if turned || agreement.is_some_and(|agreement| agreement.changed.any()) {
                    self.run_media(desk);
                }
                if turned {
                    self.note_hold();
                    let moment = if self.holds() { Moment::Held(Side::Local) } else { Moment::Resumed(Side::Local) };
                    self.tell(desk, moment);
                }
                self.tell_hold(desk, was_held);
                self.try_change(desk);
                self.transfer_goes_on(desk);
            }
            Err(why) => {
                // A 2xx cannot be refused (RFC 3261 section 13.2.2.4).
                self.gave_up = Some(GaveUp::Media(why));
                let _ = desk.agent.hangup(desk.now, self.session, None);
            }
        }
    }

    /// The far end did not follow: what was agreed before still holds (RFC 3264 section 8).
    pub fn handle_offer_refused(&mut self, desk: &mut Desk<'_>, status: Status, reason: &str) {
        self.take_back();
        let why = format!("the far end refused the change: {status} {reason}");
        self.tell(desk, Moment::ChangeRefused(why));
        self.try_change(desk);
        self.transfer_goes_on(desk);
    }

    /// Both sides offered at once; ours will be offered again.
    pub fn handle_offer_clashed(&mut self) {
        if let Some(wanted) = self.take_back() {
            self.wanted.get_or_insert(wanted);
        }
    }

    /// Takes the offer back that is out; what it said that we can do.
    fn take_back(&mut self) -> Option<Local> {
        let negotiation = self.negotiation.as_mut()?;
        negotiation.withdraw();
        let before = self.before.take()?;
        let wanted = negotiation.local().clone();
        negotiation.set_local(before);
        Some(wanted)
    }

    /// Is a change of ours under way, or does one wait for its turn?
    pub(super) fn is_changing(&self) -> bool {
        self.before.is_some() || self.wanted.is_some()
    }

    /// Have we put the far end on hold?
    pub(super) fn holds(&self) -> bool {
        // What is only offered does not count yet.
        let local = self.before.as_ref().or_else(|| self.negotiation.as_ref().map(Negotiation::local));
        local.is_some_and(is_hold)
    }

    /// Tells when the far end puts us on hold or takes us off it.
    pub(super) fn tell_hold(&mut self, desk: &mut Desk<'_>, was_held: bool) {
        let moment = match (was_held, self.negotiation.as_ref().is_some_and(Negotiation::is_held)) {
            (false, true) => Moment::Held(Side::Remote),
            (true, false) => Moment::Resumed(Side::Remote),
            _ => return,
        };
        self.note_hold();
        self.tell(desk, moment);
    }

    /// Keeps who holds whom.
    fn note_hold(&mut self) {
        let by = match (self.holds(), self.negotiation.as_ref().is_some_and(Negotiation::is_held)) {
            (false, false) => {
                self.record.metadata.remove("held_by");
                return;
            }
            (true, false) => "local",
            (false, true) => "remote",
            (true, true) => "both",
        };
        self.record.metadata.insert("held_by".into(), by.into());
    }
}

fn is_hold(local: &Local) -> bool {
    !local.direction.receives()
}
