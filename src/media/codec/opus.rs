//! Opus (RFC 6716) over RTP (RFC 7587), through libopus.
//!
//! We send mono at 48 kHz for voice, with in-band FEC as soon as the far end reports loss; we take whatever comes,
//! stereo mixed down by the decoder.

use super::{Encoded, Unavailable, Undecodable};
use crate::media::plan::{Codec, OpusApplication, OpusParameters, OpusSettings};
use audiopus::coder;
use audiopus::{Application, Bandwidth, Bitrate, Channels, MutSignals, SampleRate, packet};
use std::ops::Range;

/// Samples in the longest packet: 120 ms at 48 kHz (RFC 6716 section 3.2.5, R5).
const LONGEST: usize = 5_760;

/// A packet with more octets than this does not fit an unfragmented datagram beside its headers.
const LARGEST: usize = 1_200;

/// A payload of this length or less says only that nothing is said (RFC 6716 section 2.1.9; libopus `OPUS_SET_DTX`).
const DTX_OCTETS: usize = 2;

/// Sends Opus.
#[derive(Debug)]
pub struct Encoder {
    inner: coder::Encoder,
    /// We send in-band FEC, and the far end decodes it.
    fec: bool,
    dtx: bool,
    /// Loss in percent that the encoder was last told of.
    expected_loss: u8,
}

impl Encoder {
    /// A mono 48 kHz encoder that respects what the far end asked for.
    ///
    /// # Errors
    /// [`Unavailable`] when libopus refuses.
    pub fn new(asked: &OpusParameters, settings: &OpusSettings) -> Result<Self, Unavailable> {
        let (fec, dtx) = (asked.fec && settings.fec, asked.dtx || settings.dtx);
        let application = match settings.application {
            OpusApplication::Voip => Application::Voip,
            OpusApplication::Audio => Application::Audio,
            OpusApplication::LowDelay => Application::LowDelay,
        };
        let build = || -> audiopus::Result<coder::Encoder> {
            let mut inner = coder::Encoder::new(SampleRate::Hz48000, Channels::Mono, application)?;
            let bitrate = settings.bitrate.min(asked.max_average_bitrate.unwrap_or(u32::MAX)).clamp(6_000, 510_000);
            inner.set_bitrate(Bitrate::BitsPerSecond(bitrate as i32))?;
            inner.set_vbr(!(asked.cbr || settings.cbr))?;
            inner.set_max_bandwidth(bandwidth(asked.max_playback_rate.min(settings.max_rate)))?;
            inner.set_complexity(settings.complexity.min(10))?;
            inner.set_inband_fec(fec)?;
            inner.set_dtx(dtx)?;
            if settings.application == OpusApplication::Voip {
                // A phone: speech modes carry the FEC, and noise must not pass for music.
                inner.set_signal(audiopus::Signal::Voice)?;
            }
            Ok(inner)
        };
        let inner = build().map_err(unavailable)?;
        Ok(Self { inner, fec, dtx, expected_loss: 0 })
    }

    /// Encodes 10, 20, 40, 60, 80, 100 or 120 ms of 48 kHz mono, appending to `out`.
    ///
    /// # Errors
    /// [`Unavailable`] when libopus refuses the length.
    pub fn encode(&mut self, audio: &[i16], out: &mut Vec<u8>) -> Result<Encoded, Unavailable> {
        let start = out.len();
        out.resize(start + LARGEST, 0);
        let encoded = out.get_mut(start..).map(|room| self.inner.encode(audio, room));
        match encoded {
            Some(Ok(octets)) if !(self.dtx && octets <= DTX_OCTETS) => {
                out.truncate(start + octets);
                Ok(Encoded::Payload)
            }
            Some(Err(error)) => {
                out.truncate(start);
                Err(unavailable(error))
            }
            _ => {
                out.truncate(start);
                Ok(Encoded::Nothing)
            }
        }
    }

    /// Tells how much of what we send gets lost, per cent. FEC costs bits, so that libopus adds it only when loss is expected.
    pub fn expect_loss(&mut self, percent: u8) {
        let percent = percent.min(100);
        if self.fec && percent != self.expected_loss && self.inner.set_packet_loss_perc(percent).is_ok() {
            self.expected_loss = percent;
        }
    }
}

/// The widest band whose Nyquist rate a player of `rate` Hz can show (RFC 7587 section 6.1, `maxplaybackrate`).
fn bandwidth(rate: u32) -> Bandwidth {
    match rate {
        0..12_000 => Bandwidth::Narrowband,
        12_000..16_000 => Bandwidth::Mediumband,
        16_000..24_000 => Bandwidth::Wideband,
        24_000..48_000 => Bandwidth::Superwideband,
        48_000.. => Bandwidth::Fullband,
    }
}

/// Receives Opus.
#[derive(Debug)]
pub struct Decoder {
    inner: coder::Decoder,
}

impl Decoder {
    /// A decoder to 48 kHz mono.
    ///
    /// # Errors
    /// [`Unavailable`] when libopus refuses.
    pub fn new() -> Result<Self, Unavailable> {
        let inner = coder::Decoder::new(SampleRate::Hz48000, Channels::Mono).map_err(unavailable)?;
        Ok(Self { inner })
    }

    /// Appends the audio of `payload` to `out`.
    ///
    /// # Errors
    /// [`Undecodable`]; `out` is then unchanged.
    pub fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), Undecodable> {
        let undecodable = Undecodable { codec: Codec::Opus, octets: payload.len() };
        let samples = length(payload).ok_or(undecodable)?;
        if self.run(Some(payload), false, samples, out) { Ok(()) } else { Err(undecodable) }
    }

    /// Appends the last `samples` of the lost packet before `next`, from the copy that `next` carries (RFC 6716 section
    /// 2.1.7); false when it carries none.
    pub fn recover(&mut self, next: &[u8], samples: usize, out: &mut Vec<i16>) -> bool {
        has_fec(next) && self.run(Some(next), true, samples, out)
    }

    /// Appends `samples` made up by libopus for a lost packet.
    pub fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) -> bool {
        self.run(None, false, samples, out)
    }

    fn run(&mut self, payload: Option<&[u8]>, fec: bool, samples: usize, out: &mut Vec<i16>) -> bool {
        let start = out.len();
        out.resize(start + samples.min(LONGEST), 0);
        let decoded = match (payload.map(packet::Packet::try_from).transpose(), out.get_mut(start..)) {
            (Ok(payload), Some(room)) => MutSignals::try_from(room)
                .and_then(|room| self.inner.decode(payload, room, fec))
                .ok()
                .filter(|&decoded| decoded == samples),
            _ => None,
        };
        out.truncate(start + decoded.unwrap_or(0));
        decoded.is_some()
    }
}

fn unavailable(error: audiopus::Error) -> Unavailable {
    Unavailable { codec: Codec::Opus, reason: error.to_string() }
}

/// How many 48 kHz samples `payload` holds; `None` if its header is not valid.
pub fn length(payload: &[u8]) -> Option<usize> {
    let samples = packet::nb_samples(packet::Packet::try_from(payload).ok()?, SampleRate::Hz48000).ok()?;
    (1..=LONGEST).contains(&samples).then_some(samples)
}

/// Does `payload` carry a low-bitrate copy of the packet before it?
///
/// The SILK layer starts with one VAD bit per 20 ms frame and one LBRR bit (RFC 6716 section 4.2.3), each of
/// probability one half, so that they are the first bits of the frame as they stand. A stereo packet repeats them for
/// the side channel; the mid channel's bit decides.
pub(super) fn has_fec(payload: &[u8]) -> bool {
    let Some((&toc, _)) = payload.split_first() else { return false };
    let configuration = toc >> 3;
    // Configurations 0-15 have a SILK layer (RFC 6716 table 2); 12-15 are hybrid, of 10 or 20 ms.
    let silk_frames = match configuration {
        0..12 => [1, 1, 2, 3][usize::from(configuration & 3)],
        12..16 => 1,
        _ => return false,
    };
    first_frame(payload)
        .and_then(|frame| payload.get(frame)?.first())
        .is_some_and(|first| first & (0x80 >> silk_frames) != 0)
}

/// Where the first frame of `payload` lies (RFC 6716 section 3.2).
fn first_frame(payload: &[u8]) -> Option<Range<usize>> {
    let length_at = |at: usize| -> Option<(usize, usize)> {
        let first = usize::from(*payload.get(at)?);
        if first < 252 { Some((first, 1)) } else { Some((usize::from(*payload.get(at + 1)?) * 4 + first, 2)) }
    };
    match payload.first()? & 3 {
        0 => Some(1..payload.len()),
        1 => Some(1..1 + (payload.len() - 1) / 2),
        2 => {
            let (length, octets) = length_at(1)?;
            Some(1 + octets..1 + octets + length)
        }
        _ => {
            let header = *payload.get(1)?;
            let (vbr, padded, frames) = (header & 0x80 != 0, header & 0x40 != 0, usize::from(header & 0x3F));
            let mut at = 2;
            // Each padding length octet of 255 says that another follows.
            let mut more = padded;
            while more {
                more = *payload.get(at)? == 255;
                at += 1;
            }
            if !vbr {
                return Some(at..payload.len());
            }
            let (length, _) = length_at(at)?;
            for _ in 1..frames {
                at += length_at(at)?.1;
            }
            Some(at..at + length)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(samples: usize) -> Vec<i16> {
        (0..samples).map(|n| ((n as f64 * 440.0 * std::f64::consts::TAU / 48_000.0).sin() * 8_000.0) as i16).collect()
    }

    /// Speech-like: a voice of 120 Hz through one formant, cut into syllables, over a little noise.
    fn babble(samples: usize) -> Vec<i16> {
        let mut noise = crate::random::Random::from_seed(1);
        let (mut y1, mut y2) = (0.0, 0.0);
        let mut sample = |n: usize| {
            let syllable = (n as f64 * 3.0 * std::f64::consts::TAU / 48_000.0).sin().max(0.0);
            let pulse = if n.is_multiple_of(400) { 3_000.0 * syllable } else { 0.0 };
            // A resonance at 600 Hz, 100 Hz wide.
            let y = pulse + 2.0 * 0.9935 * (600.0 * std::f64::consts::TAU / 48_000.0).cos() * y1 - 0.9935 * 0.9935 * y2;
            (y2, y1) = (y1, y);
            (y + (noise.unit() - 0.5) * 20.0) as i16
        };
        (0..samples).map(&mut sample).collect()
    }

    #[test]
    fn a_packet_survives_the_round_trip() {
        let (mut encoder, mut decoder) =
            (Encoder::new(&OpusParameters::default(), &OpusSettings::default()).unwrap(), Decoder::new().unwrap());
        let (input, mut heard) = (tone(48_000), Vec::new());
        for frame in input.chunks(960) {
            let mut payload = Vec::new();
            assert_eq!(encoder.encode(frame, &mut payload), Ok(Encoded::Payload));
            assert_eq!(length(&payload), Some(960));
            decoder.decode(&payload, &mut heard).unwrap();
        }
        let energy = |audio: &[i16]| audio.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / audio.len() as f64;
        let ratio = energy(&heard[9_600..]) / energy(&input[9_600..]);
        assert!((0.8..1.25).contains(&ratio), "energy changed by {ratio}");
    }

    #[test]
    fn fec_is_sent_when_loss_is_expected_and_recovers_the_packet() {
        let asked = OpusParameters { fec: true, ..OpusParameters::default() };
        let mut encoder = Encoder::new(&asked, &OpusSettings::default()).unwrap();
        let mut payloads = Vec::new();
        for (n, frame) in babble(96_000).chunks(960).enumerate() {
            if n == 50 {
                assert!(payloads.iter().all(|payload: &Vec<u8>| !has_fec(payload)), "FEC without need");
                encoder.expect_loss(15);
            }
            let mut payload = Vec::new();
            encoder.encode(frame, &mut payload).unwrap();
            payloads.push(payload);
        }
        // Silence between syllables needs no copy.
        let with = payloads[55..].iter().filter(|payload| has_fec(payload)).count();
        assert!(with > 15, "only {with} of 45 packets carry FEC");
        let mut decoder = Decoder::new().unwrap();
        let mut out = Vec::new();
        let next = (60..payloads.len()).find(|&n| has_fec(&payloads[n])).unwrap();
        for payload in &payloads[..next - 1] {
            decoder.decode(payload, &mut out).unwrap();
        }
        let lost_at = out.len();
        assert!(decoder.recover(&payloads[next], 960, &mut out), "the packet before comes from its copy");
        assert_eq!(out.len() - lost_at, 960);
        assert!(!decoder.recover(&payloads[10], 960, &mut out) && out.len() == lost_at + 960);
    }

    #[test]
    fn bandwidth_and_bitrate_respect_the_far_end() {
        let narrow =
            OpusParameters { max_playback_rate: 8_000, max_average_bitrate: Some(12_000), ..OpusParameters::default() };
        let mut encoder = Encoder::new(&narrow, &OpusSettings::default()).unwrap();
        let mut octets = 0;
        for frame in babble(48_000).chunks(960) {
            let mut payload = Vec::new();
            encoder.encode(frame, &mut payload).unwrap();
            octets += payload.len();
            // Configurations 0-3 are SILK narrowband, 16-19 CELT narrowband (RFC 6716 table 2).
            assert!(matches!(payload[0] >> 3, 0..4 | 16..20), "configuration {}", payload[0] >> 3);
        }
        assert!(octets * 8 < 14_000, "{} bit/s", octets * 8);
    }

    #[test]
    fn silence_is_not_sent_with_dtx() {
        let quiet = OpusParameters { dtx: true, ..OpusParameters::default() };
        let mut encoder = Encoder::new(&quiet, &OpusSettings::default()).unwrap();
        let mut payload = Vec::new();
        let sent = (0..100).filter(|_| encoder.encode(&[0; 960], &mut payload) == Ok(Encoded::Payload)).count();
        assert!(sent < 40, "{sent} of 100 silent packets sent");
    }

    #[test]
    fn garbage_is_refused_without_a_trace() {
        let mut decoder = Decoder::new().unwrap();
        let mut random = crate::random::Random::from_seed(3);
        let mut out = vec![7];
        assert!(decoder.decode(&[], &mut out).is_err());
        assert!(decoder.decode(&[0xFF, 0xFF, 0x00], &mut out).is_err());
        assert_eq!(out, [7]);
        for length in 0..2_000 {
            let mut payload = vec![0; length % 90];
            random.fill(&mut payload);
            let before = out.len();
            let whole = decoder.decode(&payload, &mut out).is_ok();
            assert_eq!(whole, out.len() > before);
            has_fec(&payload);
            out.clear();
        }
        // It still works.
        let mut encoder = Encoder::new(&OpusParameters::default(), &OpusSettings::default()).unwrap();
        let mut payload = Vec::new();
        encoder.encode(&tone(960), &mut payload).unwrap();
        assert!(decoder.decode(&payload, &mut out).is_ok() && out.len() == 960);
    }
}
