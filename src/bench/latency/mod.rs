//! Media latency from mouth to ear and back: a call to whoever echoes, markers in it, and the times at which they come
//! back.
//!
//! ```text
//!  Prober ─▶ Voice ─▶ Phone ─▶ network ─▶ far end that echoes ─▶ network ─▶ Phone ─▶ Hearing ─▶ Finder ─▶ Probe
//!     └── Spoken: when the air moved                    └── FarEnd: one of ours is listened at, too ──┘
//! ```
//!
//! A marker is spoken when its first sample is recorded, a packet time before the packet is complete, and heard when that
//! sample can be played. No sound device is in the way: what one would add is not measured.

mod far_end;
mod finder;
pub(in crate::bench) mod listen;
mod prober;
mod result;

pub use far_end::{FarEnd, FarEndError};
pub use result::{Call, Leg, Measurement, Probe, Stages, Summary, There};

use crate::audio::{Ear, Mouth, Sink, Source};
use crate::bench::marker::{LENGTH, Markers, Search};
use crate::bench::statistics::{Distribution, quantile};
use crate::call::record::Record;
use crate::driver::entropy;
use crate::media::codec::{Decoder, Encoder};
use crate::media::plan::{Codec, Encoding};
use crate::phone::{CommandError, Dial, Event, Events, Io, Moment, Phone};
use crate::random::Random;
use crate::time::Instant;
use listen::{Heard, Means, Wish};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use tokio::time::sleep;

/// Audio that may wait to be said or heard: a second of the highest rate.
const SAMPLES: usize = 48_000;

/// Packet times that may wait to be heard.
const TICKS: usize = 128;

/// How a call is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Nothing is measured so long after the answer: jitter buffers learn what the network is like.
    pub warm_up: Duration,
    /// How long markers are sent.
    pub duration: Duration,
    /// Mean time from marker to marker; at least three times the length of one.
    pub interval: Duration,
    /// What takes longer is lost.
    pub longest: Duration,
}

impl Default for Plan {
    /// Half a minute, two markers a second.
    fn default() -> Self {
        Self {
            warm_up: Duration::from_secs(3),
            duration: Duration::from_secs(30),
            interval: Duration::from_millis(500),
            longest: Duration::from_secs(2),
        }
    }
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum LatencyError {
    /// The phone.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The call ended before it was answered, or before anything was heard.
    #[error("the call ended before anything could be measured: {}", reason(.0))]
    Ended(Box<Record>),
    /// The system gives no random numbers or threads.
    #[error("the system does not give what the measurement needs: {0}")]
    System(#[from] std::io::Error),
}

fn reason(record: &Record) -> String {
    let reason = record.sip_reason.clone().unwrap_or_else(|| "hung up".into());
    record.sip_code.map_or_else(|| reason.clone(), |code| format!("{code} {reason}"))
}

/// Makes one call and measures it. `known` is told each marker, on a thread of its own; `stop` ends the call early.
///
/// # Errors
/// When the call does not come about.
pub async fn measure(
    phone: &Phone,
    events: &mut Events,
    dial: Dial,
    plan: &Plan,
    far: Option<&FarEnd>,
    stop: impl Future<Output = ()>,
    known: impl FnMut(&Probe) + Send + 'static,
) -> Result<Call, LatencyError> {
    let ((mouth, voice), (ear, hearing)) = (Mouth::new(SAMPLES), Ear::new(SAMPLES, TICKS));
    let wish = Wish::default();
    let means = Means {
        voice,
        hearing,
        far: far.map(|far| (far.listen(), far.offset(phone))),
        interval: plan.interval.max(3 * LENGTH),
        longest: plan.longest,
        random: Random::from_entropy(entropy()?),
        wish: wish.clone(),
    };
    let io = Io { source: Source::Live(mouth), sink: Sink::Live(ear), ..Io::default() };
    let call = phone.dial(dial, io).await?;
    let mut listening = tokio::task::spawn_blocking(move || listen::run(means, known));
    let (mut heard, mut record, mut answered, mut network) = (None, None, None, Vec::new());
    let (mut begun, mut hung_up) = (false, false);
    let clock = phone.clock();
    let mut stop = pin!(stop);
    let mut stopped = false;
    loop {
        let begin = answered.map(|at: Instant| at + plan.warm_up);
        let due = if begun { begin.map(|begin| begin + plan.duration) } else { begin };
        tokio::select! {
            event = events.next() => match event {
                None => return Err(CommandError::Ended.into()),
                Some(Event::Call(event)) if event.call == call => {
                    let round_trip = event.record.quality.outbound.round_trip_ms;
                    network.extend(round_trip.filter(|round_trip| network.last() != Some(round_trip)));
                    match event.moment {
                        Moment::Answered => answered = Some(clock.now()),
                        Moment::Ended => {
                            wish.end();
                            record = Some(*event.record);
                        }
                        _ => {}
                    }
                }
                Some(_) => {}
            },
            () = sleep(due.unwrap_or_default().since(clock.now())), if due.is_some() && heard.is_none() && !hung_up => {
                if begun {
                    wish.end();
                    hung_up = true;
                } else {
                    wish.begin();
                    begun = true;
                }
            }
            () = &mut stop, if !stopped => {
                stopped = true;
                wish.end();
                hung_up = true;
            }
            ended = &mut listening, if heard.is_none() => {
                heard = Some(ended.map_err(std::io::Error::other)?);
                // It may have ended by itself.
                let _ = phone.hangup(call).await;
            }
        }
        if let (Some(heard), Some(record)) = (&mut heard, &record) {
            let heard = std::mem::take(heard);
            if answered.is_none() || (heard.probes.is_empty() && !stopped) {
                return Err(LatencyError::Ended(Box::new(record.clone())));
            }
            return Ok(result(heard, record, &network));
        }
    }
}

fn result(heard: Heard, record: &Record, network: &[f64]) -> Call {
    let codec = record.codec.clone().unwrap_or_default();
    let packet_time_ms = record.ptime_ms.map_or(20.0, f64::from);
    let mut late: Vec<f64> = heard.late.iter().map(|late| late * 1_000.0).collect();
    late.sort_by(f64::total_cmp);
    Call {
        codec_ms: codec.parse().map_or(0.0, |codec| look_ahead(codec, packet_time_ms)),
        codec,
        packet_time_ms,
        srtp: record.srtp.clone(),
        network_ms: Distribution::of(network).map(|network| network.p50),
        late_p99_ms: quantile(&late, 0.99).unwrap_or(0.0),
        missed: heard.missed,
        probes: heard.probes,
    }
}

/// How much later than it should what was encoded comes out of the decoder, ms: measured with a marker.
fn look_ahead(codec: Codec, packet_time_ms: f64) -> f64 {
    let packet_time = Duration::from_secs_f64(packet_time_ms / 1_000.0);
    let encoding = Encoding::new(codec, 0, packet_time);
    let encoder = Encoder::new(&encoding);
    let (Ok(mut encoder), Ok(mut decoder)) = (encoder, Decoder::new(codec)) else { return 0.0 };
    let rate = codec.sample_rate();
    let markers = Markers::new(rate, 1);
    let (marker, before) = (markers.marker(0, 0.0), rate as usize / 10);
    let mut said = vec![0; before];
    said.extend(&marker);
    said.resize(4 * before, 0);
    let mut heard = Vec::new();
    for packet in said.chunks_exact(crate::media::codec::samples(packet_time, rate).max(1)) {
        let mut payload = Vec::new();
        // What was encoded can be decoded.
        if encoder.encode(packet, &mut payload).is_ok() {
            let _ = decoder.decode(&payload, &mut heard);
        }
    }
    let found = Search::default().find(&marker, &heard);
    found.map_or(0.0, |found| (found.at - before as f64) / f64::from(rate) * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_look_ahead_as_their_specifications_say() {
        for (codec, least, most) in
            [(Codec::Pcmu, -0.01, 0.01), (Codec::Pcma, -0.01, 0.01), (Codec::G722, 0.5, 3.0), (Codec::Opus, 2.0, 7.0)]
        {
            let delay = look_ahead(codec, 20.0);
            assert!((least..most).contains(&delay), "{codec}: {delay} ms");
        }
    }
}
