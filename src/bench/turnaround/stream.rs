//! The stream: chirps out when the pattern says, and the echo of them.

use super::chirps::Chirps;
use super::{Settings, TurnaroundError};
use crate::bench::scripted::{Exchanged, Leaving, exchange, unpack};
use crate::driver::Clock;
use crate::media::codec::{self, Decoder, Encoder};
use crate::media::packet::Header;
use crate::media::plan::{Encoding, OpusSettings, Plan};
use crate::media::sequence::{RtpTime, Seq, Ssrc};
use crate::random::Random;
use crate::time::Instant;
use std::net::UdpSocket;
use std::time::Duration;

/// How long to send and to listen after the last chirp that counts: it is in the phone's buffer, and what feeds it must not
/// break off.
const LAST_ECHO: Duration = Duration::from_millis(600);

/// What was sent and what came back.
pub(super) struct Heard {
    pub(super) chirps: Chirps,
    /// How many of the chirps count.
    pub(super) counted: usize,
    /// When each chirp was sent.
    pub(super) sent: Vec<Instant>,
    /// How much later than it should.
    pub(super) late: Vec<Duration>,
    /// The echo by its timestamps, silence where a packet is missing.
    pub(super) audio: Vec<i16>,
    /// Its packets by their place in the audio.
    pub(super) packets: Vec<Leaving>,
    /// What our own encoder and decoder delay, samples.
    pub(super) own_delay: usize,
}

/// Sends all chirps and hears what comes back.
pub(super) fn run(
    settings: &Settings,
    plan: &Plan,
    clock: Clock,
    socket: &UdpSocket,
    random: &mut Random,
) -> Result<Heard, TurnaroundError> {
    let codec = plan.encoding.codec;
    let packet_time = codec.packet_time(settings.packet_time);
    let samples = codec::samples(packet_time, codec.sample_rate());
    let chirps = Chirps { rate: codec.sample_rate(), samples, seed: random.u64() };
    let packets = |time: Duration| (time.as_nanos() / packet_time.as_nanos().max(1)) as usize;
    let counted = packets(settings.warm_up + settings.duration).max(1);
    let count = u32::try_from(counted + packets(LAST_ECHO)).unwrap_or(u32::MAX);
    let mut encode = encoder(plan)?;
    let payloads: Vec<Vec<u8>> = (0..count).map(|number| encode(&chirps.chirp(number))).collect();
    let own_delay = own_delay(plan, &chirps, &payloads)?;
    let arrivals = settings.pattern.arrivals(count, packet_time, random);

    let (ssrc, first) = (Ssrc(random.u32()), RtpTime(random.u32()));
    let ticks = codec::samples(packet_time, codec.clock_rate()) as u32;
    let header = |number: u32| Header {
        marker: number == 0,
        payload_type: plan.encoding.payload_type,
        seq: Seq(number as u16),
        timestamp: RtpTime(first.0.wrapping_add(number.wrapping_mul(ticks))),
        ssrc,
    };
    let datagrams: Vec<Vec<u8>> = (0..count)
        .zip(&payloads)
        .map(|(number, payload)| {
            let mut packet = Vec::new();
            // A payload type that does not exist was not negotiated.
            let _ = header(number).write(payload, &mut packet);
            packet
        })
        .collect();
    let script = arrivals.iter().copied().zip(datagrams.iter().map(Vec::as_slice));
    let Exchanged { sent, late, returned } = exchange(clock, socket, plan.remote_rtp, script)?;
    let (audio, packets) = unpack(plan, &returned)?;
    Ok(Heard { chirps, counted, sent, late, audio, packets, own_delay })
}

/// Encodes chirp after chirp.
fn encoder(plan: &Plan) -> Result<impl FnMut(&[i16]) -> Vec<u8>, TurnaroundError> {
    // Of high quality: what is measured is the phone, not this end.
    let opus_encoder = OpusSettings { bitrate: 64_000, complexity: 5, ..plan.encoding.opus_encoder };
    let mut encoder = Encoder::new(&Encoding { opus_encoder, ..plan.encoding })?;
    Ok(move |audio: &[i16]| {
        let mut payload = Vec::new();
        // An encoder takes what it said it takes.
        let _ = encoder.encode(audio, &mut payload);
        payload
    })
}

/// How much later than its packet says a chirp is when it is decoded at once: the look-ahead of both ends of the codec.
fn own_delay(plan: &Plan, chirps: &Chirps, payloads: &[Vec<u8>]) -> Result<usize, TurnaroundError> {
    let mut decoder = Decoder::new(plan.encoding.codec)?;
    let (mut audio, number) = (Vec::new(), 10.min(payloads.len().saturating_sub(1)));
    for payload in payloads.iter().take(number + 3) {
        // What was encoded can be decoded.
        let _ = decoder.decode(payload, &mut audio);
    }
    let at = number * chirps.samples;
    let place = chirps.find(&chirps.chirp(number as u32), &audio, at, chirps.samples);
    Ok(place.map_or(0, |place| place.at.saturating_sub(at)))
}
