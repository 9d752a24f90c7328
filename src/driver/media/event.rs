//! What a media worker tells about its calls.

use crate::audio::{DeviceCounters, Levels, Recording, WavError};
use crate::media::dtls;
use crate::media::dtmf::{Digit, Way};
use crate::media::plan::SrtpSuite;
use crate::media::quality::Report;
use crate::media::rtcp;
use crate::media::session;
use crate::media::session::Unusable;
use crate::time::Duration;
use bytes::Bytes;
use std::net::SocketAddr;

/// What happened in the media of the call `key`.
#[derive(Debug)]
pub enum Event {
    /// The first valid RTP packet arrived.
    FirstPacket {
        /// Which call.
        key: u64,
    },
    /// The far end pressed a key.
    Dtmf {
        /// Which call.
        key: u64,
        /// Which one.
        digit: Digit,
        /// For how long.
        duration: Duration,
        /// As an event, or as tones in its audio.
        way: Way,
    },
    /// A queued digit was sent completely.
    DtmfSent {
        /// Which call.
        key: u64,
        /// Which one.
        digit: Digit,
    },
    /// Packets come from another address than the SDP said; we send there now.
    RemoteLearned {
        /// Which call.
        key: u64,
        /// Of which port.
        component: session::Component,
        /// Where packets really come from.
        address: SocketAddr,
    },
    /// A handshake has agreed on keys.
    Secured {
        /// Which call.
        key: u64,
        /// The suite.
        suite: SrtpSuite,
    },
    /// The far end's SRTP key is good for few packets more.
    KeyWearsOut {
        /// Which call.
        key: u64,
    },
    /// The far end ended its stream by RTCP.
    RemoteBye {
        /// Which call.
        key: u64,
    },
    /// An RTCP report was sent or taken.
    Report {
        /// Which call.
        key: u64,
        /// We sent it.
        sent: bool,
        /// What it says.
        report: rtcp::Summary,
        /// The compound packet, as it is without SRTCP.
        octets: Bytes,
        /// Our address; `None` if the socket does not tell.
        local: Option<SocketAddr>,
        /// The far end's.
        remote: SocketAddr,
    },
    /// The source came to its end; silence follows.
    SourceEnded {
        /// Which call.
        key: u64,
        /// What ended it, if it was not its end.
        error: Option<WavError>,
    },
    /// What was played into the call came to its end.
    PlayEnded {
        /// Which call.
        key: u64,
        /// What ended it, if it was not its end.
        error: Option<WavError>,
    },
    /// A recording is complete, and the call goes on.
    Recorded {
        /// Which call.
        key: u64,
        /// The recording.
        recording: Box<Recording>,
    },
    /// How the call sounds, each second. The only event that is dropped when nobody takes events.
    Quality {
        /// Which call.
        key: u64,
        /// Both directions.
        report: Box<Report>,
    },
    /// Something beside the call does not work; the call goes on.
    Trouble {
        /// Which call.
        key: u64,
        /// What.
        trouble: Trouble,
    },
    /// The sound devices of a call are open.
    DeviceOpened {
        /// Which call.
        key: u64,
        /// The microphone, if one was asked for and found.
        input: Option<String>,
        /// The loudspeaker, if one was asked for and found.
        output: Option<String>,
    },
    /// How loud both ways of its sound devices are, where that was asked for: five times a second.
    Levels {
        /// Which call.
        key: u64,
        /// Both ways.
        levels: Levels,
    },
    /// The media of the call does not work any more; the call should end, which still takes a stop.
    Failed {
        /// Which call.
        key: u64,
        /// Why.
        reason: Failure,
    },
    /// The call was stopped and everything of it is closed. One for each stop, never dropped, and the last event of its
    /// call.
    Finished(Box<Finished>),
}

impl Event {
    /// Which call.
    pub fn key(&self) -> u64 {
        match self {
            Event::FirstPacket { key }
            | Event::Dtmf { key, .. }
            | Event::DtmfSent { key, .. }
            | Event::RemoteLearned { key, .. }
            | Event::Secured { key, .. }
            | Event::KeyWearsOut { key }
            | Event::RemoteBye { key }
            | Event::Report { key, .. }
            | Event::SourceEnded { key, .. }
            | Event::PlayEnded { key, .. }
            | Event::Recorded { key, .. }
            | Event::Quality { key, .. }
            | Event::Trouble { key, .. }
            | Event::DeviceOpened { key, .. }
            | Event::Levels { key, .. }
            | Event::Failed { key, .. } => *key,
            Event::Finished(finished) => finished.key,
        }
    }
}

/// Why media does not work any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A renegotiation cannot be followed; media goes on under the old plan.
    #[error(transparent)]
    Plan(#[from] Unusable),
    /// No keys: nothing was sent or played.
    #[error(transparent)]
    Unsecured(#[from] dtls::Failed),
    /// The far end kept a key beyond its own word.
    #[error(
        "the far end has used its SRTP key for {packets} packets, as many as it said that the key is good for, and sent no \
         other one when it was asked; what it sends is not played any more"
    )]
    KeyWornOut {
        /// So many it was good for.
        packets: u64,
    },
    /// A bug of ours: the call's media was thrown away, other calls go on.
    #[error("the media of the call broke down by a bug of Sidetone; please report what it wrote to stderr")]
    Broken,
}

/// What does not work beside the call.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The recording cannot be written.
    #[error(transparent)]
    Recording(#[from] crate::audio::RecorderError),
    /// No microphone: silence is sent.
    #[error("no sound device to record from: {0}; sending silence")]
    Microphone(String),
    /// No loudspeaker: nothing is played.
    #[error("no sound device to play on: {0}; not playing")]
    Loudspeaker(String),
    /// A tone that the codec cannot carry.
    #[error("a tone of {hz} Hz does not fit a codec of {rate} Hz audio; sending silence, use less than {}", rate / 2)]
    Tone {
        /// The tone, Hz.
        hz: f64,
        /// Rate of the call's audio, Hz.
        rate: u32,
    },
}

/// How a call's media was, when it is over; empty if it never ran or broke down.
#[derive(Debug, Default)]
pub struct Finished {
    /// Which call.
    pub key: u64,
    /// Quality of both directions over the whole call.
    pub report: Report,
    /// What the session counted: damaged packets, SRTP failures, concealment.
    pub media: session::Counters,
    /// What the worker counted.
    pub worker: Counters,
    /// The recording, if one was asked for.
    pub recording: Option<Recording>,
}

/// What a worker counted of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packet times that were sent and played.
    pub ticks: u64,
    /// Ticks that came more than 5 ms late.
    pub late_ticks: u64,
    /// Ticks that were left out because the worker was more than 100 ms late.
    pub skipped_ticks: u64,
    /// The latest tick.
    pub max_late: Duration,
    /// Datagrams that the system refused to send.
    pub send_errors: u64,
    /// Errors while receiving; none of them ends a call.
    pub receive_errors: u64,
    /// Samples of a file that the disk delivered too late.
    pub late_samples: u64,
    /// Frames of the recording that were lost to a slow disk.
    pub recording_dropped: u64,
    /// What went wrong with the sound devices.
    pub devices: DeviceCounters,
}
