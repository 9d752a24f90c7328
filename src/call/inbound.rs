//! A call that comes in.

use super::auto_answer;
use super::life::{Call, Desk, GaveUp, Media, Purpose, Stage, warning};
use super::negotiate::{Local, Negotiation};
use super::options::IcePolicy;
use super::outbound::Start;
use super::output::{MediaOrder, Moment};
use super::record::CallDirection;
use crate::sip::agent::{Invitation, Refused};
use crate::sip::guard::Admission;
use crate::sip::header::{Header, Name};
use crate::sip::identity::Caller;
use crate::sip::message;
use crate::sip::reason::Cause;
use bytes::Bytes;
use std::net::SocketAddr;

impl Call {
    /// A call whose invitation just came in: ports are opened for the answer, then it rings.
    pub fn inbound(desk: &mut Desk<'_>, start: Start, invitation: &Invitation, caller: &Caller) -> Self {
        let purpose = Purpose::Answer { offer: invitation.offer.clone(), answer: false };
        let mut call = start.call(desk, CallDirection::Inbound, Stage::Opening(purpose));
        call.note_peer(&invitation.headers);
        call.record.transport = Some(invitation.source.transport.to_string());
        call.note_caller(caller);
        match &invitation.admission {
            Admission::Known => {}
            Admission::Stranger => drop(call.record.metadata.insert("admitted".into(), "stranger".into())),
            Admission::Caller(name) => drop(call.record.metadata.insert("admitted".into(), name.as_str().into())),
        }
        if desk.conduct.auto_answer
            && let Some(wait) = auto_answer::wanted(&invitation.headers)
        {
            call.record.metadata.insert("auto_answer_after".into(), wait.as_secs().into());
        }
        call.tell(desk, Moment::Initiated);
        call.media = Media::Opening;
        let source = invitation.source;
        let shown = desk.agent.shown(call.session, source);
        call.order(desk, MediaOrder::Open { local: source.local.ip(), shown });
        call
    }

    pub(super) fn ports_opened(
        &mut self,
        desk: &mut Desk<'_>,
        rtp: SocketAddr,
        rtcp: SocketAddr,
        hosts: Vec<(SocketAddr, SocketAddr)>,
    ) {
        self.media = Media::Open;
        let local = Local {
            codecs: self.options.codecs.clone(),
            packet_time: self.options.packet_time,
            srtp: self.options.srtp,
            srtp_suites: self.options.srtp_suites.clone(),
            opus: self.options.opus,
            opus_encoder: self.options.opus_encoder,
            comfort_noise: self.options.comfort_noise,
            rtcp_mux: self.options.rtcp_mux,
            fingerprint: desk.fingerprint.cloned(),
            ice: self.options.ice == IcePolicy::Lite,
            hosts,
            rtcp,
            ..Local::new(rtp)
        };
        self.negotiation = Some(Negotiation::new(local, desk.random));
        match std::mem::replace(&mut self.stage, Stage::Routing) {
            Stage::Opening(Purpose::Offer) => self.send_offer(desk),
            Stage::Opening(Purpose::Answer { offer, answer }) => self.alert(desk, offer, answer),
            stage => {
                let ending = matches!(stage, Stage::Ending { .. });
                self.stage = stage;
                if ending {
                    self.close_media(desk);
                }
            }
        }
    }

    /// Rings here, unless nothing of the offer fits: then it is refused before anybody is disturbed.
    fn alert(&mut self, desk: &mut Desk<'_>, offer: Option<Bytes>, answer: bool) {
        let Some(negotiation) = &mut self.negotiation else { return };
        let sdp = match &offer {
            Some(offer) => match negotiation.answer(offer, desk.random) {
                Ok((sdp, _)) => sdp,
                Err(rejected) => {
                    let status = message::Status(rejected.status());
                    let mut headers = warning(rejected.warning());
                    headers.push(Cause::of_status(status).header());
                    self.gave_up = Some(GaveUp::Media(rejected.to_string()));
                    let _ = desk.agent.reject(desk.now, self.session, status, None, headers);
                    return;
                }
            },
            None => negotiation.offer(desk.random),
        };
        self.listen_early(desk);
        // Without an offer of theirs ours may go out early, but only reliably: the agent sees to that.
        let early = self.options.early_media && offer.is_some();
        let status = if early { message::Status::SESSION_PROGRESS } else { message::Status::RINGING };
        let with = (early || offer.is_none()).then(|| sdp.clone());
        self.stage = Stage::Alerting { sdp };
        if answer {
            let _ = self.answer(desk);
        } else if desk.agent.ring(desk.now, self.session, status, with).is_ok() {
            if early {
                self.run_media(desk);
            }
            self.rang(desk, early);
        }
    }

    /// The caller acknowledged a provisional response of ours; with the answer, if that carried our offer.
    pub fn handle_acknowledged(&mut self, desk: &mut Desk<'_>, answer: Option<&Bytes>) {
        let Some(negotiation) = self.negotiation.as_mut().filter(|negotiation| negotiation.is_pending()) else {
            return;
        };
        let Some(answer) = answer else { return };
        match negotiation.answered(answer) {
            Ok(_) if self.options.early_media || self.answered_at.is_some() => self.run_media(desk),
            Ok(_) => {}
            Err(rejected) => self.give_up(desk, rejected.to_string()),
        }
    }

    /// Answers: 200 with our session description, and media starts.
    ///
    /// # Errors
    /// When the call is not one that waits for an answer.
    pub fn answer(&mut self, desk: &mut Desk<'_>) -> Result<(), Refused> {
        let sdp = match &mut self.stage {
            Stage::Opening(Purpose::Answer { answer, .. }) => {
                *answer = true;
                return Ok(());
            }
            Stage::Alerting { sdp } => sdp.clone(),
            stage => {
                let state = match stage {
                    Stage::Talking => "answered already",
                    Stage::Ending { .. } | Stage::Ended => "over",
                    _ => "outbound",
                };
                return Err(Refused::WrongState { session: self.session, command: "answer", state });
            }
        };
        desk.agent.answer(desk.now, self.session, sdp)?;
        self.answered(desk, 200, "OK");
        // Without an offer in the INVITE the plan comes with the ACK.
        self.run_media(desk);
        Ok(())
    }

    /// Declines.
    ///
    /// # Errors
    /// When the call is not one that waits for an answer.
    pub fn reject(
        &mut self,
        desk: &mut Desk<'_>,
        status: message::Status,
        mut headers: Vec<Header>,
    ) -> Result<(), Refused> {
        if !headers.iter().any(|header| header.name == Name::Reason) {
            headers.push(Cause::of_status(status).header());
        }
        desk.agent.reject(desk.now, self.session, status, None, headers)
    }

    /// The ACK came; it may carry the answer to an offer of ours.
    pub fn handle_confirmed(&mut self, desk: &mut Desk<'_>, answer: Option<&Bytes>) {
        let Some(negotiation) = &mut self.negotiation else { return };
        if !negotiation.is_pending() {
            return;
        }
        let was_held = negotiation.is_held();
        let first = negotiation.plan().is_none();
        let agreed = match answer {
            Some(answer) => negotiation.answered(answer).map_err(|rejected| rejected.to_string()),
            None => Err("the far end sent its ACK without an answer to our offer".to_owned()),
        };
        match agreed {
            Ok(agreement) => {
                if first || agreement.changed.any() {
                    self.run_media(desk);
                }
                if !first {
                    self.tell_hold(desk, was_held);
                }
            }
            Err(why) if first => {
                self.gave_up = Some(GaveUp::Media(why));
                let _ = desk.agent.hangup(desk.now, self.session, Some(&Cause::INCOMPATIBLE.reason()));
            }
            // What was agreed before still holds (RFC 3264 section 8).
            Err(_) => negotiation.withdraw(),
        }
    }
}
