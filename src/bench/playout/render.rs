//! A trace through our own media session, in virtual time: what a recording of the call would hold.

use super::Trace;
use crate::media::codec::{self, Decoder, Encoder, Unavailable};
use crate::media::plan::{Codec, Direction, Encoding, OpusSettings, Plan};
use crate::media::quality::Inbound;
use crate::media::session::{Component, Config, Counters, Session, Unusable};
use crate::random::Random;
use crate::time::{Duration, Instant};
use std::net::{Ipv4Addr, SocketAddr};

/// Payload type of the packets where they have no static one.
const DYNAMIC: u8 = 111;
/// How much is pulled at a time.
const PULL: Duration = Duration::from_millis(20);
/// How long is listened behind the last packet.
const REST: Duration = Duration::from_millis(400);

/// What was heard.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// Audio at the codec's sample rate.
    pub audio: Vec<i16>,
    /// What the session reports of it.
    pub quality: Inbound,
    /// What the session did.
    pub counters: Counters,
}

impl Rendered {
    /// The same as it would come back from an echo in `codec`, Opus at `bitrate` bit/s.
    ///
    /// # Errors
    /// [`Unavailable`] when the codec cannot be started.
    pub fn echoed(mut self, codec: Codec, bitrate: u32) -> Result<Self, Unavailable> {
        let opus_encoder = OpusSettings { bitrate, complexity: 10, ..OpusSettings::default() };
        let encoding = Encoding { opus_encoder, ..Encoding::new(codec, DYNAMIC, PULL) };
        let mut encoder = Encoder::new(&encoding)?;
        let mut decoder = Decoder::new(codec)?;
        let (mut payload, mut echo) = (Vec::new(), Vec::new());
        for piece in self.audio.chunks_exact(codec::samples(PULL, codec.sample_rate())) {
            payload.clear();
            encoder.encode(piece, &mut payload)?;
            // What was encoded can be decoded.
            let _ = decoder.decode(&payload, &mut echo);
        }
        self.audio = echo;
        Ok(self)
    }
}

/// Hears `trace` as a call does that records: a clock pulls 20 ms at a time, in the phase that `seed` says. No clock is
/// read, so neither load nor speed of the machine change what is heard.
///
/// # Errors
/// [`Unusable`] when the codec cannot be started.
pub fn render(trace: &Trace, seed: u64) -> Result<Rendered, Unusable> {
    let mut random = Random::from_seed(seed);
    let codec = trace.codec();
    let payload_type = codec.static_payload_type().unwrap_or(DYNAMIC);
    let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 4_000));
    let plan = Plan {
        remote_rtp: remote,
        remote_rtcp: SocketAddr::from((Ipv4Addr::LOCALHOST, 4_001)),
        rtcp_mux: false,
        direction: Direction::RecvOnly,
        encoding: Encoding::new(codec, payload_type, trace.packet_time()),
        receive: vec![(payload_type, codec)],
        comfort_noise: None,
        send_event: None,
        receive_events: Vec::new(),
        hear_tones: false,
        holding: false,
        srtp: None,
        dtls: None,
        ice: None,
    };
    // Time begins somewhere, so that nothing is before it.
    let start = Instant::from_millis(10_000);
    let mut session = Session::new(start, plan, Config::default(), random.split())?;
    let mut piece = vec![0; codec::samples(PULL, codec.sample_rate())];
    let mut now = start + PULL.mul_f64(random.unit());
    let mut audio = Vec::new();
    let arrivals = trace.arrivals(payload_type);
    let end = start + arrivals.last().map_or(Duration::ZERO, |(at, _)| *at) + REST;
    let mut arrivals = arrivals.into_iter().peekable();
    while now < end {
        while let Some((at, bytes)) = arrivals.next_if(|(at, _)| start + *at <= now) {
            session.handle_packet(start + at, Component::Rtp, remote, &bytes);
        }
        if session.poll_timeout().is_some_and(|due| due <= now) {
            session.handle_timeout(now);
        }
        while session.poll_transmit().is_some() {}
        session.playout(now, &mut piece);
        audio.extend_from_slice(&piece);
        now += PULL;
    }
    Ok(Rendered { audio, quality: session.quality(now).inbound, counters: session.counters() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(recipe: &str, seed: u64) -> (Trace, Rendered) {
        let tone = |n: i32| ((f64::from(n) * 440.0 * std::f64::consts::TAU / 8_000.0).sin() * 10_000.0) as i16;
        let audio: Vec<i16> = (0..8_000 * 8).map(tone).collect();
        let trace = Trace::new(Codec::Pcmu, &audio, &recipe.parse().unwrap(), 0.0, seed).unwrap();
        let rendered = render(&trace, seed).unwrap();
        (trace, rendered)
    }

    #[test]
    fn a_clean_network_changes_nothing() {
        let (trace, rendered) = heard("none", 1);
        assert_eq!((trace.sent(), rendered.quality.packets), (400, 400));
        assert_eq!((rendered.quality.lost, rendered.quality.late), (0, 0));
        let loud = rendered.audio.iter().filter(|sample| sample.unsigned_abs() > 1_000).count();
        assert!(loud > 55_000, "{loud}");
    }

    #[test]
    fn what_the_network_does_is_reported_and_the_same_each_time() {
        let (_, rendered) = heard("loss=5% delay=40 jitter=normal:20", 3);
        assert!((5..45).contains(&rendered.quality.lost), "{:?}", rendered.quality);
        assert!(!rendered.counters.playout.made_up.is_zero());
        assert_eq!(rendered.audio, heard("loss=5% delay=40 jitter=normal:20", 3).1.audio);
    }
}
