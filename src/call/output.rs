//! What a call asks of its driver and tells its user.

use super::negotiate::Awaited;
use super::record::Record;
use super::referral::Referral;
use super::transfer::Transferred;
use crate::media::dtmf::Way;
use crate::media::plan::{Plan, SrtpSuite};
use crate::media::quality::Report;
use crate::media::session::Counters;
use crate::sip::message::Status;
use crate::time::Duration;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Names a call for the life of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}", self.0)
    }
}

/// What to do next, in this order.
#[derive(Clone, Debug)]
pub enum Output {
    /// See to the media of a call.
    Media {
        /// Whose.
        call: CallId,
        /// What to do.
        order: MediaOrder,
    },
    /// The far end sent us to somebody else: make that call.
    Refer {
        /// Where the request came.
        call: CallId,
        /// Whom to call.
        referral: Referral,
    },
    /// Tell the user.
    Event(Event),
}

/// What the media of a call is told; [`MediaEvent`]s come back.
#[derive(Clone, Debug)]
pub enum MediaOrder {
    /// Open a pair of RTP ports; answered by [`MediaEvent::Opened`] or [`MediaEvent::Failed`].
    Open {
        /// Our address on the way to the far end.
        local: IpAddr,
        /// The address to show to the far end: that of our Contact, which behind a translator is another.
        shown: IpAddr,
    },
    /// Our offer is about to leave: answer what may come to the ports before its answer does.
    Listen(Box<Awaited>),
    /// Run by this plan: addresses, encodings, keys.
    Start(Box<Plan>),
    /// The network changed: take RTP on other ports, on this address of ours, while media run on; answered by
    /// [`MediaEvent::Moved`].
    Move(IpAddr),
    /// The session was renegotiated: follow the new plan.
    Update(Box<Plan>),
    /// Send DTMF digits.
    Dtmf {
        /// `0-9 * # A-D`.
        digits: String,
        /// Telephone events, or tones in the audio.
        way: Way,
    },
    /// Stop and give the ports back; answered by [`MediaEvent::Finished`], also when nothing had started.
    Close,
}

/// What the media of a call reports.
#[derive(Clone, Debug)]
pub enum MediaEvent {
    /// The ports are open: the addresses that the session description carries.
    Opened {
        /// Where RTP goes.
        rtp: SocketAddr,
        /// Where RTCP goes when it does not come with RTP.
        rtcp: SocketAddr,
        /// Where they are bound, RTP and RTCP each: candidates of ICE.
        hosts: Vec<(SocketAddr, SocketAddr)>,
    },
    /// RTP is taken here now, and RTCP there when it does not come with RTP.
    Moved {
        /// Where RTP goes.
        rtp: SocketAddr,
        /// Where RTCP goes.
        rtcp: SocketAddr,
    },
    /// The ports could not be opened, or media broke; a sentence.
    Failed(String),
    /// A handshake has agreed on keys of this suite.
    Secured(SrtpSuite),
    /// The far end's SRTP key is good for few packets more.
    KeyWearsOut,
    /// Quality up to now.
    Quality(Box<Report>),
    /// The far end sent a DTMF digit.
    Dtmf {
        /// `0-9 * # A-D`.
        digit: char,
        /// How long it was held.
        duration: Duration,
        /// How it came.
        way: Way,
    },
    /// What went wrong with the sound devices of the call that is about to end, by what it was: for the record.
    Devices(serde_json::Map<String, serde_json::Value>),
    /// A recording is complete.
    Recorded {
        /// Where it is.
        path: PathBuf,
        /// The same with its length, digest and what was lost, for the record.
        details: serde_json::Value,
    },
    /// Media ended.
    Finished {
        /// The quality of the whole call.
        report: Box<Report>,
        /// The recording, when one was written.
        recording: Option<PathBuf>,
        /// What the session dropped, and why.
        counters: Box<Counters>,
    },
}

/// One side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// We.
    Local,
    /// The far end.
    Remote,
}

impl Side {
    /// The word for it in events.
    pub fn name(self) -> &'static str {
        match self {
            Side::Local => "local",
            Side::Remote => "remote",
        }
    }
}

/// What happened in a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Moment {
    /// It exists.
    Initiated,
    /// The far end rings (outbound); `early_media` when it already sends sound.
    Ringing {
        /// The provisional response carried a session description.
        early_media: bool,
    },
    /// It was answered.
    Answered,
    /// One side put the other on hold.
    Held(Side),
    /// One side took the other off hold.
    Resumed(Side),
    /// A handshake has agreed on the keys of its media; the record names the suite.
    Secured,
    /// It goes on with another codec, which the record names.
    Codec,
    /// The far end refused a change of ours; a sentence. The call goes on as it was.
    ChangeRefused(String),
    /// The far end sent a DTMF digit.
    Dtmf {
        /// `0-9 * # A-D`.
        digit: char,
        /// How long it was held.
        duration: Duration,
        /// How it came.
        way: Way,
    },
    /// The far end refused a digit of ours that went by INFO.
    DtmfRefused {
        /// The digit.
        digit: char,
        /// The response.
        status: Status,
        /// Its reason phrase.
        reason: String,
    },
    /// A transfer took a step.
    Transfer(Transferred),
    /// The quality of the last second is in the record.
    Quality,
    /// It is over; the record is complete.
    Ended,
}

/// A moment of a call with the record as it stands.
#[derive(Clone, Debug)]
pub struct Event {
    /// Which.
    pub call: CallId,
    /// What happened.
    pub moment: Moment,
    /// The record as it stands.
    pub record: Box<Record>,
}
