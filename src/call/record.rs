//! The record of one call: what is printed as `call`, stored and served.

use crate::media::quality::Report;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use std::path::PathBuf;

/// Who called whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallDirection {
    /// The far end called.
    Inbound,
    /// We called.
    Outbound,
}

/// How a call stands or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Not ended yet.
    InProgress,
    /// Was answered and ended by either side.
    Completed,
    /// Inbound, the caller gave up before we answered.
    Missed,
    /// The called side was busy (486, 600).
    Busy,
    /// Another failure.
    Failed,
    /// Outbound, rang and nobody answered (408, 480, 487 by our ring limit).
    NoAnswer,
    /// Outbound, we gave up before it was answered.
    Canceled,
    /// Declined (603, or a rejection by our user).
    Declined,
    /// The process died during the call; closed at the next start.
    Interrupted,
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndedBy {
    /// We did.
    Local,
    /// The far end did.
    Remote,
    /// Neither: a time-out, a transport or a media failure.
    Network,
}

/// One call, from its start to its end. Times are UTC; unknown is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// UUID version 7: sorts by start.
    pub id: String,
    /// Who called whom.
    pub direction: CallDirection,
    /// How it stands or ended.
    pub status: Status,
    /// The caller's address: SIP URI without parameters.
    pub from: String,
    /// The called address: SIP URI without parameters.
    pub to: String,
    /// Our own number or user part that was used: caller id outbound, called number inbound.
    pub number: Option<String>,
    /// Address of record of our account; `None` for calls without one.
    pub account: Option<String>,
    /// The final SIP status code.
    pub sip_code: Option<u16>,
    /// Its reason phrase as received.
    pub sip_reason: Option<String>,
    /// Who ended it.
    pub ended_by: Option<EndedBy>,
    /// When it started.
    pub created_at: Timestamp,
    /// When it first rang.
    pub ringing_at: Option<Timestamp>,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Seconds from answer to end.
    pub talk_seconds: Option<f64>,
    /// Codec that we sent.
    pub codec: Option<String>,
    /// Packet time that we sent, ms.
    pub ptime_ms: Option<u32>,
    /// SIP transport.
    pub transport: Option<String>,
    /// SRTP suite; `None` for plain RTP.
    pub srtp: Option<String>,
    /// Where the recording is.
    #[serde(serialize_with = "legible")]
    pub recording: Option<PathBuf>,
    /// DTMF digits that the far end sent.
    pub dtmf_received: String,
    /// Quality of both directions.
    pub quality: Report,
    /// Anything else: Call-ID, display name, user agent of the far end.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// A path as text. One that is not Unicode gets replacement characters: JSON has no other way, and a name must not cost
/// the whole record.
fn legible<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(serializer)
}
