//! Speech as packets, and when each arrives.

use crate::bench::impair::{Impairment, Recipe};
use crate::media::codec::{self, Encoded, Encoder, Unavailable};
use crate::media::packet::{HEADER_LENGTH, Header};
use crate::media::plan::{Codec, Encoding, OpusParameters};
use crate::media::sequence::{RtpTime, Seq, Ssrc};
use crate::random::Random;
use crate::time::{Duration, Instant};

/// Audio in a packet.
const PACKET_TIME: Duration = Duration::from_millis(20);

/// A packet that arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arrival {
    at: Duration,
    number: u32,
    payload: Vec<u8>,
}

/// Speech on its way: encoded in packets of 20 ms, impaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    codec: Codec,
    sent: u32,
    ssrc: Ssrc,
    first: RtpTime,
    arrivals: Vec<Arrival>,
}

impl Trace {
    /// Encodes mono `audio` at the codec's sample rate, and impairs it. The sender's clock is slower by `drift` parts per
    /// million. An Opus encoder adds in-band FEC for the loss of the recipe, as if RTCP had told it.
    ///
    /// # Errors
    /// [`Unavailable`] when the codec cannot be started.
    pub fn new(codec: Codec, audio: &[i16], recipe: &Recipe, drift: f64, seed: u64) -> Result<Self, Unavailable> {
        let opus = OpusParameters { fec: true, ..OpusParameters::default() };
        let mut encoder = Encoder::new(&Encoding { opus, ..Encoding::new(codec, 0, PACKET_TIME) })?;
        encoder.expect_loss((recipe.loss.mean() * 100.0).round() as u8);
        let mut random = Random::from_seed(seed);
        let (ssrc, first) = (Ssrc(random.u32()), RtpTime(random.u32()));
        let mut link = Impairment::new(recipe.clone(), random);
        let (mut arrivals, mut sent) = (Vec::new(), 0);
        let samples = codec::samples(PACKET_TIME, codec.sample_rate());
        for (number, piece) in (0u32..).zip(audio.chunks_exact(samples)) {
            let mut payload = Vec::new();
            if encoder.encode(piece, &mut payload)? == Encoded::Nothing {
                continue;
            }
            sent += 1;
            let leaves = PACKET_TIME.mul_f64(f64::from(number) * (1.0 + drift / 1e6));
            let fate = link.pass(Instant::at(leaves), HEADER_LENGTH + payload.len());
            for at in fate.times() {
                arrivals.push(Arrival { at: at.since_start(), number, payload: payload.clone() });
            }
        }
        // Stable: what arrives at once arrives in the order of sending.
        arrivals.sort_by_key(|arrival| arrival.at);
        Ok(Self { codec, sent, ssrc, first, arrivals })
    }

    /// The codec of the packets.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Audio in each packet.
    pub fn packet_time(&self) -> Duration {
        PACKET_TIME
    }

    /// How many packets were sent.
    pub fn sent(&self) -> u32 {
        self.sent
    }

    /// Every datagram that arrives, with its time from the sending of the first one on, in order.
    pub fn arrivals(&self, payload_type: u8) -> Vec<(Duration, Vec<u8>)> {
        let ticks = codec::samples(PACKET_TIME, self.codec.clock_rate()) as u32;
        let datagram = |arrival: &Arrival| {
            let header = Header {
                marker: arrival.number == 0,
                payload_type,
                seq: Seq(arrival.number as u16),
                timestamp: RtpTime(self.first.0.wrapping_add(arrival.number.wrapping_mul(ticks))),
                ssrc: self.ssrc,
            };
            let mut bytes = Vec::new();
            // A payload type that does not exist was not negotiated.
            let _ = header.write(&arrival.payload, &mut bytes);
            (arrival.at, bytes)
        };
        self.arrivals.iter().map(datagram).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::packet::Packet;

    fn trace(recipe: &str, drift: f64, seed: u64) -> Trace {
        let audio: Vec<i16> = (0..16_000 * 10).map(|n| (n % 200) as i16 * 50).collect();
        Trace::new(Codec::Pcmu, &audio, &recipe.parse().unwrap(), drift, seed).unwrap()
    }

    #[test]
    fn the_same_seed_makes_the_same_packets_arrive_at_the_same_times() {
        let recipe = "loss=5% delay=40 jitter=normal:20 reorder=1%";
        assert_eq!(trace(recipe, 0.0, 1), trace(recipe, 0.0, 1));
        assert_ne!(trace(recipe, 0.0, 1), trace(recipe, 0.0, 2));
        let arrivals = trace(recipe, 0.0, 1).arrivals(0);
        assert!((900..990).contains(&arrivals.len()), "{}", arrivals.len());
        assert!(arrivals.windows(2).all(|pair| pair[0].0 <= pair[1].0), "in the order of arrival");
        let numbers: Vec<u16> = arrivals.iter().map(|(_, bytes)| Packet::parse(bytes).unwrap().seq.0).collect();
        assert!(numbers.windows(2).any(|pair| pair[0] > pair[1]), "some are overtaken");
    }

    #[test]
    fn a_slow_sender_sends_late() {
        let last = |drift| trace("none", drift, 1).arrivals(0).last().unwrap().0;
        assert_eq!(last(200.0) - last(0.0), Duration::from_micros(999 * 4));
        let arrivals = trace("none", 200.0, 1).arrivals(0);
        let time = |n: usize| Packet::parse(&arrivals[n].1).unwrap().timestamp;
        assert_eq!(time(999).since(time(0)), 999 * 160, "its timestamps tell nothing of it");
    }
}
