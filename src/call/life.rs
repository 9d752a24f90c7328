//! One call, from its start to its record.
//!
//! ```text
//!  outbound   Routing ─ Route ─▶ Opening ─ ports ─▶ Calling ─ 200 ─▶ Talking ─┐
//!  inbound    Opening ─ ports ─▶ Alerting ─ answer() ─▶ Talking ──────────────┤
//!                                                                             ▼
//!             every stage ── the session ended ──▶ Ending ── media closed ──▶ Ended
//! ```

use super::conduct::Conduct;
use super::digits::ByInfo;
use super::discarded::Discarded;
use super::negotiate::{Local, Negotiation};
use super::options::MediaOptions;
use super::output::{CallId, Event, MediaEvent, MediaOrder, Moment, Output};
use super::record::{CallDirection, EndedBy, Record, Status};
use super::status::final_status;
use super::transfer::Transfer;
use crate::media::dtls::Fingerprint;
use crate::media::plan::{Plan, SrtpSuite};
use crate::media::quality::Report;
use crate::random::Random;
use crate::sip::agent::{self, AccountId, Agent, DtmfWay, SessionId};
use crate::sip::header::{Header, Headers, Name};
use crate::sip::message;
use crate::sip::reason::Cause;
use crate::time::{Duration, Instant, Wall};
use bytes::Bytes;
use serde_json::Value;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// How long media may take to close before the record is completed without its last words.
const CLOSING: Duration = Duration::from_secs(5);

/// What a call works with for the length of one step.
pub struct Desk<'a> {
    /// The time of the step.
    pub now: Instant,
    /// Wall time.
    pub wall: Wall,
    /// Signalling.
    pub agent: &'a mut Agent,
    /// Chance.
    pub random: &'a mut Random,
    /// What others may ask of us.
    pub conduct: Conduct,
    /// Our certificate of DTLS-SRTP, if there is one.
    pub fingerprint: Option<&'a Fingerprint>,
    /// What the step leads to.
    pub out: &'a mut VecDeque<Output>,
}

/// Where a call stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// Outbound: the way is not known yet.
    Routing,
    /// The RTP ports are being opened.
    Opening(Purpose),
    /// Outbound: the INVITE is out; rings at most until `limit`.
    Calling {
        /// When we give up; none when we have: the session now ends by itself, within the time of its transactions.
        limit: Option<Instant>,
    },
    /// Inbound: it rings here; `sdp` waits to be sent with the 200.
    Alerting {
        /// Our answer, or our offer if the INVITE had none.
        sdp: Bytes,
    },
    /// Answered.
    Talking,
    /// The session is over, media is closing.
    Ending {
        /// When the record is completed without it.
        deadline: Instant,
    },
    /// Nothing follows.
    Ended,
}

/// What the RTP ports are opened for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Our offer.
    Offer,
    /// Our answer to this offer (our offer, if there was none); `answer` when the user answered already.
    Answer {
        /// The far end's offer.
        offer: Option<Bytes>,
        /// The user did not wait for the ports.
        answer: bool,
    },
}

/// Where the media of a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// No ports.
    Closed,
    /// Asked for.
    Opening,
    /// Ports are bound.
    Open,
    /// Packets flow.
    Running,
    /// Asked to close.
    Closing,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    pub(super) id: CallId,
    pub(super) session: SessionId,
    pub(super) options: MediaOptions,
    pub(super) ring_limit: Duration,
    pub(super) record: Box<Record>,
    pub(super) stage: Stage,
    pub(super) media: Media,
    pub(super) negotiation: Option<Negotiation>,
    /// What we want to be able to do from now on, and have not offered yet.
    pub(super) wanted: Option<Local>,
    /// What we could do before the offer that is out.
    pub(super) before: Option<Local>,
    pub(super) answered_at: Option<Instant>,
    /// The malformed SIP that the agent had seen when the call began.
    pub(super) malformed_before: u64,
    /// What media threw away.
    pub(super) discarded: Discarded,
    /// Why we ended it ourselves, when it was not the user's wish.
    pub(super) gave_up: Option<GaveUp>,
    /// The account that it runs on.
    pub(super) account: Option<AccountId>,
    /// How digits are sent.
    pub(super) dtmf_way: DtmfWay,
    /// Digits that go by INFO.
    pub(super) by_info: ByInfo,
    /// The transfer that is under way.
    pub(super) transfer: Option<Transfer>,
    /// REFERs that came.
    pub(super) refers: u32,
    /// The address of ours that the way starts at now, until media can move there.
    pub(super) moved: Option<IpAddr>,
    /// Where media are taken, until the far end can be told.
    pub(super) address: Option<(SocketAddr, SocketAddr)>,
    /// What a handshake agreed on.
    pub(super) secured: Option<SrtpSuite>,
}

/// Why we ended a call that the user had not ended.
#[derive(Debug)]
pub(super) enum GaveUp {
    /// It rang too long.
    RingLimit,
    /// Media or its negotiation failed; a sentence.
    Media(String),
}

impl Call {
    /// Which.
    pub fn id(&self) -> CallId {
        self.id
    }

    /// Its SIP session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The record as it stands.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The account that it runs on.
    pub fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// What its media may use.
    pub fn options(&self) -> &MediaOptions {
        &self.options
    }

    /// Is it answered and not over?
    pub fn is_talking(&self) -> bool {
        matches!(self.stage, Stage::Talking)
    }

    /// Is it not over, for its user?
    pub fn is_live(&self) -> bool {
        !matches!(self.stage, Stage::Ending { .. } | Stage::Ended)
    }

    /// Is it over, record and all?
    pub fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    /// When [`Call::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Calling { limit } => limit,
            Stage::Ending { deadline } => Some(deadline),
            Stage::Talking => self.transfer.as_ref().and_then(Transfer::poll_timeout),
            _ => None,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, desk: &mut Desk<'_>) {
        match self.stage {
            Stage::Calling { limit: Some(limit) } if desk.now >= limit => {
                self.gave_up = Some(GaveUp::RingLimit);
                self.stage = Stage::Calling { limit: None };
                let _ = desk.agent.hangup(desk.now, self.session, Some(&Cause::NO_ANSWER.reason()));
            }
            Stage::Ending { deadline } if desk.now >= deadline => self.finish(desk),
            Stage::Talking => self.transfer_timeout(desk),
            _ => {}
        }
    }

    /// Ends the call as its state wants.
    ///
    /// # Errors
    /// When it is over already.
    pub fn hangup(&mut self, desk: &mut Desk<'_>) -> Result<(), agent::Refused> {
        let declined = self.record.direction == CallDirection::Inbound && self.answered_at.is_none();
        let cause = if declined { Cause::REJECTED } else { Cause::NORMAL };
        desk.agent.hangup(desk.now, self.session, Some(&cause.reason()))
    }

    /// What media reported.
    pub fn handle_media(&mut self, desk: &mut Desk<'_>, event: MediaEvent) {
        match event {
            MediaEvent::Opened { rtp, rtcp, hosts } => self.ports_opened(desk, rtp, rtcp, hosts),
            MediaEvent::Moved { rtp, rtcp } => {
                if self.change(desk, super::change::Change::Address { rtp, rtcp }).is_err() {
                    // It rings, and cannot be changed before its answer.
                    self.address = Some((rtp, rtcp));
                }
            }
            MediaEvent::Secured(suite) => {
                self.secured = Some(suite);
                self.note_plan();
                self.tell(desk, Moment::Secured);
            }
            MediaEvent::KeyWearsOut => self.renew_keys(desk),
            MediaEvent::Failed(why) => self.media_failed(desk, why),
            MediaEvent::Quality(report) => {
                self.record.quality = *report;
                self.tell(desk, Moment::Quality);
            }
            MediaEvent::Dtmf { digit, duration, way } => self.heard_digit(desk, digit, duration, way),
            MediaEvent::Devices(counted) => {
                self.record.metadata.insert("sound_devices".into(), counted.into());
            }
            MediaEvent::Recorded { path, details } => self.note_recording(path, details),
            MediaEvent::Finished { report, recording, counters } => {
                self.discarded = Discarded::of(&counters);
                if let Some(done) = super::repaired::to_json(&counters) {
                    self.record.metadata.insert("codec".into(), done);
                }
                self.media = Media::Closed;
                if *report != Report::default() {
                    self.record.quality = *report;
                }
                if recording.is_some() {
                    self.record.recording = recording;
                }
                if matches!(self.stage, Stage::Ending { .. }) {
                    self.finish(desk);
                }
            }
        }
    }

    fn media_failed(&mut self, desk: &mut Desk<'_>, why: String) {
        if matches!(self.media, Media::Opening) {
            self.media = Media::Closed;
        }
        match self.stage {
            Stage::Ending { .. } if self.media == Media::Closed => self.finish(desk),
            Stage::Ending { .. } | Stage::Ended => {}
            _ => self.give_up(desk, why),
        }
    }

    /// Ends the call because its media cannot go on.
    pub(super) fn give_up(&mut self, desk: &mut Desk<'_>, why: String) {
        self.gave_up = Some(GaveUp::Media(why));
        let inbound = self.record.direction == CallDirection::Inbound && self.answered_at.is_none();
        let refused = if inbound {
            desk.agent.reject(desk.now, self.session, message::Status(500), None, vec![Cause::NO_RESOURCE.header()])
        } else {
            desk.agent.hangup(desk.now, self.session, Some(&Cause::NO_RESOURCE.reason()))
        };
        // A session that is over by now tells so by itself.
        let _ = refused;
    }

    /// The session is over: completes the record and closes media.
    pub fn handle_ended(
        &mut self,
        desk: &mut Desk<'_>,
        by: agent::EndedBy,
        status: Option<message::Status>,
        reason: &str,
        headers: &Headers,
    ) {
        let ended_by = match by {
            agent::EndedBy::Local => EndedBy::Local,
            agent::EndedBy::Remote => EndedBy::Remote,
            agent::EndedBy::Timeout | agent::EndedBy::Transport => EndedBy::Network,
        };
        let answered = self.answered_at.is_some();
        let code = status.map(|status| status.0);
        self.note_peer(headers);
        self.note_cause(headers);
        self.note_explanation(by, status, reason, headers);
        let record = &mut self.record;
        record.ended_at = Some(desk.wall.at(desk.now));
        record.ended_by = Some(ended_by);
        record.talk_seconds = self.answered_at.map(|answered| desk.now.since(answered).as_secs_f64());
        if !answered {
            record.sip_code = code;
            record.sip_reason = code.map(|_| reason.to_owned());
        }
        if !reason.is_empty() && (answered || code.is_none()) {
            record.metadata.insert("reason".into(), reason.into());
        }
        for (name, key) in [(Name::Reason, "reason_header"), (Name::Warning, "warning")] {
            if let Some(value) = headers.get(&name) {
                record.metadata.insert(key.into(), value.into());
            }
        }
        let ring_limit = matches!(self.gave_up, Some(GaveUp::RingLimit));
        record.status =
            final_status(record.direction, answered, ended_by, code, record.ringing_at.is_some(), ring_limit);
        match &self.gave_up {
            Some(GaveUp::Media(why)) => {
                record.status = Status::Failed;
                record.metadata.insert("reason".into(), why.as_str().into());
            }
            Some(GaveUp::RingLimit) => {
                let why = format!("it rang for {} s without an answer", self.ring_limit.as_secs());
                record.metadata.insert("reason".into(), why.into());
            }
            None => {}
        }
        self.stage = Stage::Ending { deadline: desk.now + CLOSING };
        match self.media {
            Media::Closed => self.finish(desk),
            Media::Open | Media::Running => self.close_media(desk),
            Media::Opening | Media::Closing => {}
        }
    }

    /// Completes the record at once: nobody waits any more, neither for the far end nor for media.
    pub fn abandon(&mut self, desk: &mut Desk<'_>) {
        if !matches!(self.stage, Stage::Ending { .. } | Stage::Ended) {
            self.handle_ended(desk, agent::EndedBy::Local, None, "given up: the phone was ended", &Headers::new());
        }
        if !self.is_ended() {
            self.finish(desk);
        }
    }

    pub(super) fn close_media(&mut self, desk: &mut Desk<'_>) {
        self.media = Media::Closing;
        self.order(desk, MediaOrder::Close);
    }

    pub(super) fn order(&self, desk: &mut Desk<'_>, order: MediaOrder) {
        desk.out.push_back(Output::Media { call: self.id, order });
    }

    fn finish(&mut self, desk: &mut Desk<'_>) {
        self.stage = Stage::Ended;
        self.discarded.malformed_sip = desk.agent.malformed().saturating_sub(self.malformed_before);
        if let Some(discarded) = self.discarded.to_json() {
            self.record.metadata.insert("discarded".into(), discarded);
        }
        self.tell(desk, Moment::Ended);
    }

    /// The plan in force.
    pub(super) fn plan(&self) -> Option<&Plan> {
        self.negotiation.as_ref().and_then(Negotiation::plan)
    }

    /// Starts media by the plan in force, or has it follow that plan.
    pub(super) fn run_media(&mut self, desk: &mut Desk<'_>) {
        let before = self.record.codec.clone();
        self.note_plan();
        if before.is_some() && before != self.record.codec && self.answered_at.is_some() {
            self.tell(desk, Moment::Codec);
        }
        let Some(mut plan) = self.plan().cloned().map(Box::new) else { return };
        plan.hear_tones = self.hears_tones();
        // Who holds is not heard, whatever the description allows; but the stream goes on, with music or silence.
        plan.holding = self.holds();
        match self.media {
            Media::Open => {
                self.media = Media::Running;
                self.order(desk, MediaOrder::Start(plan));
                if let Some(local) = self.moved.take() {
                    self.order(desk, MediaOrder::Move(local));
                }
            }
            Media::Running => self.order(desk, MediaOrder::Update(plan)),
            Media::Closed | Media::Opening | Media::Closing => {}
        }
    }

    /// Keeps what the plan in force says of the media.
    fn note_plan(&mut self) {
        let Some(plan) = self.negotiation.as_ref().and_then(Negotiation::plan) else { return };
        self.record.codec = Some(plan.encoding.codec.to_string());
        self.record.ptime_ms = u32::try_from(plan.encoding.packet_time.as_millis()).ok();
        self.record.srtp = match (&plan.srtp, &plan.dtls, self.secured) {
            (Some(srtp), ..) => Some(srtp.suite.name().to_owned()),
            (None, Some(_), Some(suite)) => Some(format!("{suite} (DTLS)")),
            (None, Some(_), None) => Some("DTLS".to_owned()),
            (None, None, _) => None,
        };
    }

    pub(super) fn answered(&mut self, desk: &mut Desk<'_>, code: u16, reason: &str) {
        self.note_plan();
        self.answered_at = Some(desk.now);
        self.record.answered_at = Some(desk.wall.at(desk.now));
        self.record.sip_code = Some(code);
        self.record.sip_reason = Some(reason.to_owned());
        self.stage = Stage::Talking;
        self.tell(desk, Moment::Answered);
    }

    pub(super) fn rang(&mut self, desk: &mut Desk<'_>, early_media: bool) {
        self.record.ringing_at.get_or_insert(desk.wall.at(desk.now));
        self.tell(desk, Moment::Ringing { early_media });
    }

    /// Keeps what headers tell of the far end.
    pub(super) fn note_peer(&mut self, headers: &Headers) {
        let name = if headers.get(&Name::UserAgent).is_some() { Name::UserAgent } else { Name::Server };
        if let Some(agent) = headers.get(&name) {
            self.record.metadata.entry("user_agent").or_insert_with(|| agent.into());
        }
        if let Some(call_id) = headers.call_id() {
            self.record.metadata.entry("call_id").or_insert_with(|| Value::from(call_id));
        }
        self.note_fields(headers);
    }

    pub(super) fn tell(&self, desk: &mut Desk<'_>, moment: Moment) {
        desk.out.push_back(Output::Event(Event { call: self.id, moment, record: self.record.clone() }));
    }
}

/// A Warning header of this value, in the form of a list of headers.
pub(super) fn warning(value: Option<String>) -> Vec<Header> {
    value.map(|value| Header { name: Name::Warning, value: value.into() }).into_iter().collect()
}

/// Why digits are not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DtmfRefused {
    /// There is no one to hear them.
    #[error("the call is not answered, so no DTMF can be sent; wait for the answer")]
    NotAnswered,
    /// The far end did not negotiate RFC 4733.
    #[error("the far end takes no telephone-events (RFC 4733), so no DTMF can be sent")]
    NoTelephoneEvents,
}
