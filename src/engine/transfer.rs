//! What joins two calls: a REFER makes a new one, an INVITE with Replaces ends an old one.

use super::{Dial, Engine, Output, Refused};
use crate::call::{Call, CallId, Event, Moment, Referral, TransferRefused};
use crate::sip::agent::{AccountId, Invitation, SessionId};
use crate::sip::message::Status;
use crate::sip::uri::Uri;
use crate::time::{Duration, Instant};
use std::net::IpAddr;

/// How long a call rings that a REFER asked for.
const RING: Duration = Duration::from_secs(120);

/// The calls that wait for what becomes of another.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// A call that a REFER in the second asked for.
    referred: Vec<(CallId, CallId)>,
    /// A call that takes the place of the second.
    replacing: Vec<(CallId, CallId)>,
}

impl Engine {
    /// Sends the far end of a call to `target` (REFER); the call ends when it has arrived.
    ///
    /// # Errors
    /// When there is no such call, it is not answered, or is being transferred already.
    pub fn transfer(&mut self, now: Instant, call: CallId, target: &Uri) -> Result<(), Refused> {
        let by = self.own_address(call);
        self.command(now, call, |call, desk| Ok(call.transfer(desk, target, None, by.as_ref())??))
    }

    /// Joins the far ends of two calls: that of `call` takes our place in `other` (REFER with Replaces).
    ///
    /// # Errors
    /// When one of the calls does not exist or is not answered, or is being transferred already.
    pub fn transfer_attended(&mut self, now: Instant, call: CallId, other: CallId) -> Result<(), Refused> {
        let joined = self.calls.get(&other).filter(|joined| other != call && joined.is_talking());
        let joined = joined.ok_or(TransferRefused::NoOther)?;
        let dialog = self.agent.dialog(joined.session()).ok_or(TransferRefused::NoOther)?;
        // Behind proxies the Contact may be reachable by nobody else; the address of record leads there as it led us.
        let target = if dialog.routed { &dialog.remote } else { &dialog.target };
        let (target, replaces) = (crate::sip::dialog::request_uri(target), dialog.replaces());
        let (by, joined) = (self.own_address(call), joined.record().id.clone());
        self.command(now, call, |call, desk| {
            call.transfer(desk, &target, Some(&replaces), by.as_ref())??;
            call.follows("transfer_other", &joined);
            Ok(())
        })
    }

    /// Decides about a transfer that the far end of a call asks for.
    ///
    /// # Errors
    /// When there is no such call, or its far end asks for none.
    pub fn decide_transfer(&mut self, now: Instant, call: CallId, follow: bool) -> Result<(), Refused> {
        self.command(now, call, |call, desk| Ok(call.decide_transfer(desk, follow)?))
    }

    /// Takes the RTP of a call at another address of ours from now on, and tells its far end.
    ///
    /// # Errors
    /// When there is no such call, or it is not answered.
    pub fn move_media(&mut self, now: Instant, call: CallId, local: IpAddr) -> Result<(), Refused> {
        self.command(now, call, |call, desk| Ok(call.move_media(desk, local)?))
    }

    /// Is a call answered and not over?
    ///
    /// # Errors
    /// When there is no such call, or it is not answered.
    pub fn is_talking(&self, call: CallId) -> Result<(), Refused> {
        let talking = self.calls.get(&call).ok_or(Refused::NoCall(call))?.is_talking();
        if talking { Ok(()) } else { Err(Refused::Dtmf(crate::call::DtmfRefused::NotAnswered)) }
    }

    /// Who refers: the account's address of record.
    fn own_address(&self, call: CallId) -> Option<Uri> {
        let account = self.calls.get(&call).and_then(Call::account)?;
        Some(self.accounts.get(account.0 as usize)?.aor.clone())
    }

    /// A far end sent us to somebody else: calls there.
    pub(super) fn refer(&mut self, now: Instant, from: CallId, referral: Referral) {
        let Some(call) = self.calls.get(&from) else { return };
        let dial = Dial {
            account: call.account().unwrap_or(AccountId(0)),
            target: referral.target,
            from_number: None,
            media: call.options().clone(),
            ring_limit: RING,
            headers: referral.headers,
        };
        let record = call.record().id.clone();
        match self.dial_now(now, dial) {
            Ok(new) => {
                self.joined.referred.push((new, from));
                self.outputs.push_back(Output::Inherit { call: new, from });
                self.step(now, new, |call, _| call.follows("transferred_from", &record));
            }
            Err(refused) => {
                let status = Status::SERVICE_UNAVAILABLE;
                self.step(now, from, |call, desk| call.referred(desk, status, &refused.to_string(), true));
            }
        }
    }

    /// What is done with a call that just came in before anybody is disturbed: it takes the place of another, is refused
    /// because of the policy, or rings.
    pub(super) fn greet(&mut self, now: Instant, call: CallId, invitation: &Invitation) {
        let conduct = self.conduct(invitation.account);
        let status = match self.agent.replaced(&invitation.headers) {
            Ok(None) if conduct.do_not_disturb => Some(Status::TEMPORARILY_UNAVAILABLE),
            Ok(None) => {
                let waits = self.calls.values().any(|other| other.id() != call && other.is_live());
                conduct.busy.refusal().filter(|_| waits)
            }
            Ok(Some(old)) => (!self.replace(now, call, old, invitation)).then_some(Status::DECLINE),
            Err(status) => Some(status),
        };
        if let Some(status) = status {
            // A session that is over by now tells so by itself.
            self.step(now, call, |call, desk| drop(call.reject(desk, status, Vec::new())));
        }
    }

    /// An INVITE takes the place of a call of ours, if the policy lets it; `false`: it is refused.
    fn replace(&mut self, now: Instant, new: CallId, old: SessionId, invitation: &Invitation) -> bool {
        let Some(old) = self.by_session.get(&old).copied() else { return false };
        let Some(call) = self.calls.get(&old) else { return false };
        let same = invitation.account.is_some() && invitation.account == call.account();
        if !self.conduct(call.account()).transfers.allows_replacing(same) {
            return false;
        }
        let record = call.record().id.clone();
        self.joined.replacing.push((new, old));
        self.outputs.push_back(Output::Inherit { call: new, from: old });
        self.step(now, new, |call, desk| {
            call.follows("replaces", &record);
            // Nobody is asked: the user talks already.
            let _ = call.answer(desk);
        });
        true
    }

    /// Tells the calls that wait for this one what happened.
    pub(super) fn joined_moment(&mut self, now: Instant, event: &Event) {
        let find = |pairs: &[(CallId, CallId)]| pairs.iter().find(|(new, _)| *new == event.call).map(|(_, old)| *old);
        let over = matches!(event.moment, Moment::Answered | Moment::Ended);
        if let Some(old) = find(&self.joined.referred) {
            let record = &event.record;
            let told = match event.moment {
                Moment::Ringing { .. } => Some((Status::RINGING, Status::RINGING.reason())),
                Moment::Answered => Some((Status::OK, Status::OK.reason())),
                Moment::Ended => {
                    let status = record.sip_code.map_or(Status::SERVICE_UNAVAILABLE, Status);
                    Some((status, record.sip_reason.clone().unwrap_or_else(|| status.reason())))
                }
                _ => None,
            };
            if let Some((status, reason)) = told {
                self.step(now, old, |call, desk| call.referred(desk, status, &reason, over));
            }
        }
        if let (Moment::Answered, Some(old)) = (&event.moment, find(&self.joined.replacing)) {
            let (record, from) = (event.record.id.clone(), event.record.from.clone());
            self.step(now, old, |call, desk| call.replaced_by(desk, &record, &from));
        }
        if over {
            self.joined.referred.retain(|(new, _)| *new != event.call);
            self.joined.replacing.retain(|(new, _)| *new != event.call);
        }
    }
}
