//! A call that we make.

use super::change::Change;
use super::digits::ByInfo;
use super::discarded::Discarded;
use super::life::{Call, Desk, GaveUp, Media, Purpose, Stage, warning};
use super::negotiate::Local;
use super::options::MediaOptions;
use super::output::{CallId, MediaOrder, Moment};
use super::record::{CallDirection, Record, Status};
use crate::media::plan::Codec;
use crate::media::quality::Report;
use crate::random::Random;
use crate::sip::agent::{AccountId, DtmfWay, SessionId};
use crate::sip::header::Headers;
use crate::sip::hop::Hop;
use crate::sip::message;
use crate::sip::reason::Cause;
use crate::sip::uri::Uri;
use crate::time::{Duration, Instant, Wall};
use bytes::Bytes;

/// What is known of a call that starts.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its name.
    pub id: CallId,
    /// Its SIP session.
    pub session: SessionId,
    /// The caller's address.
    pub from: String,
    /// The called address.
    pub to: String,
    /// Our own number or user part.
    pub number: Option<String>,
    /// Our account.
    pub account: Option<String>,
    /// What the configuration calls it.
    pub account_name: Option<String>,
    /// What its media may use.
    pub options: MediaOptions,
    /// How long it may ring.
    pub ring_limit: Duration,
    /// Its account.
    pub account_id: Option<AccountId>,
    /// How digits are sent.
    pub dtmf: DtmfWay,
}

impl Start {
    pub(super) fn record(
        &self,
        now: Instant,
        wall: Wall,
        random: &mut Random,
        direction: CallDirection,
    ) -> Box<Record> {
        let created_at = wall.at(now);
        let mut entropy = [0; 10];
        random.fill(&mut entropy);
        let millis = u64::try_from(created_at.as_millisecond()).unwrap_or_default();
        let mut metadata = serde_json::Map::new();
        if let Some(name) = &self.account_name {
            metadata.insert("account_name".into(), name.as_str().into());
        }
        Box::new(Record {
            id: uuid::Builder::from_unix_timestamp_millis(millis, &entropy).into_uuid().to_string(),
            direction,
            status: Status::InProgress,
            from: self.from.clone(),
            to: self.to.clone(),
            number: self.number.clone(),
            account: self.account.clone(),
            sip_code: None,
            sip_reason: None,
            ended_by: None,
            created_at,
            ringing_at: None,
            answered_at: None,
            ended_at: None,
            talk_seconds: None,
            codec: None,
            ptime_ms: None,
            transport: None,
            srtp: None,
            recording: None,
            dtmf_received: String::new(),
            quality: Report::default(),
            metadata,
        })
    }

    pub(super) fn call(self, desk: &mut Desk<'_>, direction: CallDirection, stage: Stage) -> Call {
        let record = self.record(desk.now, desk.wall, desk.random, direction);
        Call {
            id: self.id,
            session: self.session,
            options: self.options,
            ring_limit: self.ring_limit,
            record,
            stage,
            media: Media::Closed,
            negotiation: None,
            wanted: None,
            before: None,
            answered_at: None,
            malformed_before: desk.agent.malformed(),
            discarded: Discarded::default(),
            gave_up: None,
            account: self.account_id,
            dtmf_way: self.dtmf,
            by_info: ByInfo::default(),
            transfer: None,
            refers: 0,
            moved: None,
            address: None,
            secured: None,
        }
    }
}

impl Call {
    /// A call whose session was just made by [`Agent::invite`](crate::sip::agent::Agent::invite).
    pub fn outbound(desk: &mut Desk<'_>, start: Start) -> Self {
        let mut call = start.call(desk, CallDirection::Outbound, Stage::Routing);
        if let Some(call_id) = desk.agent.call_id(call.session) {
            call.record.metadata.insert("call_id".into(), call_id.into());
        }
        call.tell(desk, Moment::Initiated);
        call
    }

    /// The way is known: ports are opened on the address that leads there.
    pub fn handle_route(&mut self, desk: &mut Desk<'_>, hop: Hop) {
        self.record.transport = Some(hop.transport.to_string());
        self.stage = Stage::Opening(Purpose::Offer);
        self.media = Media::Opening;
        let shown = desk.agent.shown(self.session, hop);
        self.order(desk, MediaOrder::Open { local: hop.local.ip(), shown });
    }

    pub(super) fn send_offer(&mut self, desk: &mut Desk<'_>) {
        let Some(negotiation) = &mut self.negotiation else { return };
        let offer = (!self.options.late_offer).then(|| negotiation.offer(desk.random));
        self.listen_early(desk);
        self.stage = Stage::Calling { limit: Some(desk.now + self.ring_limit) };
        // A session that is over by now tells so by itself.
        let _ = desk.agent.offer(desk.now, self.session, offer);
    }

    /// A provisional response: it rings, perhaps with sound. Being forwarded (181), queued (182) or over at one of several
    /// places (199) is not ringing (RFC 3261 section 21.1, RFC 6228), unless there is sound.
    pub fn handle_progress(
        &mut self,
        desk: &mut Desk<'_>,
        status: message::Status,
        headers: &Headers,
        body: Option<&Bytes>,
        prack: Prack<'_>,
    ) {
        self.note_peer(headers);
        let early = match (body, &mut self.negotiation, prack) {
            (Some(offer), Some(negotiation), Prack::Answer(fork)) => match negotiation.answer(offer, desk.random) {
                Ok((sdp, agreement)) => {
                    let _ = desk.agent.prack_answer(desk.now, self.session, fork, sdp);
                    Some(agreement)
                }
                Err(rejected) => return self.give_up(desk, rejected.to_string()),
            },
            // An early answer that we cannot use is no reason to give up: the final one counts.
            (Some(body), Some(negotiation), _) => negotiation.answered(body).ok(),
            _ => None,
        };
        if let Prack::MayOffer(fork) = prack {
            let offer = self.narrowed(desk);
            let _ = desk.agent.prack(desk.now, self.session, fork, offer);
        }
        if let Some(agreement) = &early
            && (self.media == Media::Open || agreement.changed.any())
        {
            self.run_media(desk);
        }
        if early.is_some() || !matches!(status.code(), 181 | 182 | 199) {
            self.rang(desk, early.is_some());
        }
    }

    /// An offer of the one codec that the far end prefers, where it answered with several and the policy is to fix one
    /// (RFC 3264 section 10.2).
    fn narrowed(&mut self, desk: &mut Desk<'_>) -> Option<Bytes> {
        let codec = self.several_codecs()?;
        let negotiation = self.negotiation.as_mut().filter(|negotiation| !negotiation.is_pending())?;
        let before = negotiation.local().clone();
        negotiation.set_local(Local { codecs: vec![codec], ..before.clone() });
        self.before = Some(before);
        Some(negotiation.offer(desk.random))
    }

    /// The codec to fix, if there is a choice and the policy is to leave none.
    fn several_codecs(&self) -> Option<Codec> {
        let plan = self.plan().filter(|plan| self.options.single_codec && plan.receive.len() > 1)?;
        Some(plan.encoding.codec)
    }

    /// The call was accepted.
    pub fn handle_answered(&mut self, desk: &mut Desk<'_>, answer: &Answer<'_>) {
        self.note_peer(answer.headers);
        self.record.transport = Some(answer.source.transport.to_string());
        let Some(negotiation) = &mut self.negotiation else { return };
        let agreed = match (answer.body, answer.wants_answer) {
            (Some(offer), true) => match negotiation.answer(offer, desk.random) {
                Ok((sdp, agreement)) => {
                    let _ = desk.agent.ack_answer(desk.now, self.session, sdp);
                    Ok(Some(agreement))
                }
                Err(rejected) => Err(rejected.to_string()),
            },
            (Some(body), false) => negotiation.answered(body).map(Some).map_err(|rejected| rejected.to_string()),
            // RFC 3261 section 13.2.1: the answer may have come with a reliable provisional response, or, with peers
            // that are not strict, with any 183 whose SDP we took already.
            (None, _) if negotiation.plan().is_some() => Ok(None),
            (None, _) => Err("the far end accepted the call without a session description".to_owned()),
        };
        // After the negotiation, so that the codec is told with the answer.
        self.answered(desk, answer.status.0, answer.reason);
        match agreed {
            Ok(None) => {}
            Ok(Some(agreement)) => {
                if self.media == Media::Open || agreement.changed.any() {
                    self.run_media(desk);
                }
                if let Some(codec) = self.several_codecs().filter(|_| !answer.wants_answer) {
                    let _ = self.change(desk, Change::Codecs(vec![codec]));
                }
            }
            Err(why) => {
                self.gave_up = Some(GaveUp::Media(why));
                let _ = desk.agent.hangup(desk.now, self.session, Some(&Cause::INCOMPATIBLE.reason()));
            }
        }
    }

    /// The far end referred the call elsewhere, and it goes there; the record keeps the way.
    pub fn handle_redirected(&mut self, desk: &mut Desk<'_>, status: message::Status, target: &Uri) {
        let step = serde_json::json!({"status": status.0, "to": target.to_string()});
        let way = self.record.metadata.entry("diverted").or_insert_with(|| serde_json::Value::Array(Vec::new()));
        if let Some(way) = way.as_array_mut() {
            way.push(step);
        }
        // It may ring anew, as long as anywhere else.
        if let Stage::Calling { limit: Some(limit) } = &mut self.stage {
            *limit = desk.now + self.ring_limit;
        }
    }

    /// The far end wants to change the session: hold, another address, another codec.
    pub fn handle_reoffer(&mut self, desk: &mut Desk<'_>, offer: Option<&Bytes>) {
        let Some(negotiation) = &mut self.negotiation else { return };
        let Some(offer) = offer else {
            let sdp = negotiation.offer(desk.random);
            let _ = desk.agent.accept_reoffer(desk.now, self.session, sdp);
            return;
        };
        let was_held = negotiation.is_held();
        match negotiation.answer(offer, desk.random) {
            Ok((sdp, agreement)) => {
                let _ = desk.agent.accept_reoffer(desk.now, self.session, sdp);
                if agreement.changed.any() {
                    self.run_media(desk);
                }
                self.tell_hold(desk, was_held);
            }
            Err(rejected) => {
                let status = message::Status(rejected.status());
                let _ = desk.agent.refuse_reoffer(desk.now, self.session, status, warning(rejected.warning()));
            }
        }
    }

    /// The far end took its change back.
    pub fn handle_reoffer_withdrawn(&mut self) {
        if let Some(negotiation) = &mut self.negotiation {
            negotiation.withdraw();
        }
    }
}

/// What the PRACK to a provisional response waits for.
#[derive(Clone, Copy, Debug)]
pub enum Prack<'a> {
    /// Nothing: it has gone, or there is none.
    Sent,
    /// The body is an offer of this fork: our answer.
    Answer(&'a str),
    /// The body is the answer of this fork: it may carry another offer.
    MayOffer(&'a str),
}

/// A 2xx to our INVITE.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// 200.
    pub status: message::Status,
    /// Its reason phrase.
    pub reason: &'a str,
    /// All headers.
    pub headers: &'a Headers,
    /// Its session description.
    pub body: Option<&'a Bytes>,
    /// The body is an offer; our answer goes with the ACK.
    pub wants_answer: bool,
    /// The hop that it came by.
    pub source: Hop,
}
