//! What calls may use for their media.

use super::change::HoldStyle;
use super::negotiate::SrtpPolicy;
use crate::media::plan::{Codec, OpusParameters, OpusSettings, SrtpSuite};
use crate::sip::agent::{DtmfWay, UnknownWord, words};
use crate::time::Duration;
use std::fmt;
use std::str::FromStr;

/// Connectivity checks (ICE, RFC 8445).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum IcePolicy {
    /// None: media goes where the session description says, and where it comes from.
    #[default]
    Off,
    /// We answer those of far ends that insist, as a lite agent; ours has to be reachable where it says it is.
    Lite,
}

words!(IcePolicy, "ICE setting", "off" = IcePolicy::Off, "lite" = IcePolicy::Lite);

/// What a call may use for its media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaOptions {
    /// Codecs in our order of preference.
    pub codecs: Vec<Codec>,
    /// Audio per packet.
    pub packet_time: Duration,
    /// Encryption.
    pub srtp: SrtpPolicy,
    /// SRTP suites; the usual ones if none is named.
    pub srtp_suites: Vec<SrtpSuite>,
    /// RTP and RTCP on one port, where the far end can too (RFC 5761).
    pub rtcp_mux: bool,
    /// Connectivity checks.
    pub ice: IcePolicy,
    /// What we ask of a far end that sends Opus.
    pub opus: OpusParameters,
    /// How we send Opus.
    pub opus_encoder: OpusSettings,
    /// Comfort noise (RFC 3389) in place of silence.
    pub comfort_noise: bool,
    /// How we put the far end on hold.
    pub hold: HoldStyle,
    /// Let a caller hear us before the answer: 183 with our answer (early media).
    pub early_media: bool,
    /// Call without an offer: the far end makes it.
    pub late_offer: bool,
    /// Fix one codec where the far end answers our offer with several (RFC 3264 section 10.2).
    pub single_codec: bool,
    /// How digits are sent; as the account says when absent.
    pub dtmf: Option<DtmfWay>,
}

impl Default for MediaOptions {
    /// Every codec, 20 ms, SRTP off: what a trunk takes that nobody told otherwise.
    fn default() -> Self {
        Self {
            codecs: Codec::ALL.to_vec(),
            packet_time: Duration::from_millis(20),
            srtp: SrtpPolicy::Off,
            srtp_suites: Vec::new(),
            opus: OpusParameters { fec: true, ..Default::default() },
            opus_encoder: OpusSettings::default(),
            comfort_noise: false,
            rtcp_mux: true,
            ice: IcePolicy::Off,
            hold: HoldStyle::SendOnly,
            early_media: false,
            late_offer: false,
            single_codec: false,
            dtmf: None,
        }
    }
}
