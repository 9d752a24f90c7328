//! Codecs: mono 16-bit audio in and out, one packet at a time.
//!
//! ```text
//! audio ─▶ Encoder ─▶ payload ~~~~▶ payload ─▶ Decoder ─▶ audio
//!             ▲                                   ▲
//!       expected loss                  recover (FEC) · conceal
//! ```

pub mod g711;
pub mod g722;
pub mod l16;
pub mod opus;

use crate::media::plan::{Codec, Encoding, L16Rate};
use crate::time::Duration;
use g711::Law;

/// A codec that cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("codec {codec} cannot be started: {reason}; offer another codec or reinstall its library")]
pub struct Unavailable {
    /// Which codec.
    pub codec: Codec,
    /// What its library said.
    pub reason: String,
}

/// A payload that its decoder refuses: damaged, or of another codec than its payload type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {octets}-octet payload is not valid {codec}; the packet is dropped and counted")]
pub struct Undecodable {
    /// Which codec.
    pub codec: Codec,
    /// Length of the payload.
    pub octets: usize,
}

/// What became of a piece of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoded {
    /// A payload to send.
    Payload,
    /// Silence that need not be sent (DTX).
    Nothing,
}

/// Number of samples in `time` at `rate` Hz.
pub fn samples(time: Duration, rate: u32) -> usize {
    (time.as_nanos() * u128::from(rate) / 1_000_000_000) as usize
}

/// Encodes one direction of a call.
#[derive(Debug)]
pub enum Encoder {
    /// G.711.
    G711(Law),
    /// G.722.
    G722(Box<g722::Encoder>),
    /// Opus (boxed: its state outweighs everything else).
    Opus(Box<opus::Encoder>),
    /// L16.
    L16,
}

impl Encoder {
    /// An encoder for `encoding`.
    ///
    /// # Errors
    /// [`Unavailable`] when libopus refuses.
    pub fn new(encoding: &Encoding) -> Result<Self, Unavailable> {
        Ok(match encoding.codec {
            Codec::Pcmu => Encoder::G711(Law::Mu),
            Codec::Pcma => Encoder::G711(Law::A),
            Codec::G722 => Encoder::G722(Box::default()),
            Codec::Opus => Encoder::Opus(Box::new(opus::Encoder::new(&encoding.opus, &encoding.opus_encoder)?)),
            Codec::L16(_) => Encoder::L16,
        })
    }

    /// Encodes one packet's worth of mono `audio` at the codec's sample rate, appending to `out`.
    ///
    /// # Errors
    /// [`Unavailable`] when the library refuses the length or fails.
    pub fn encode(&mut self, audio: &[i16], out: &mut Vec<u8>) -> Result<Encoded, Unavailable> {
        match self {
            Encoder::G711(law) => {
                law.encode_into(audio, out);
                Ok(Encoded::Payload)
            }
            Encoder::G722(g722) => {
                g722.encode_into(audio, out);
                Ok(Encoded::Payload)
            }
            Encoder::Opus(opus) => opus.encode(audio, out),
            Encoder::L16 => {
                l16::encode_into(audio, out);
                Ok(Encoded::Payload)
            }
        }
    }

    /// Tells how much of what we send gets lost, per cent, as the far end's RTCP reports it.
    pub fn expect_loss(&mut self, percent: u8) {
        match self {
            Encoder::G711(_) | Encoder::G722(_) | Encoder::L16 => {}
            Encoder::Opus(opus) => opus.expect_loss(percent),
        }
    }
}

/// Decodes one direction of a call.
#[derive(Debug)]
pub enum Decoder {
    /// G.711; concealment is the playout's.
    G711(Law),
    /// G.722; concealment is the playout's.
    G722(Box<g722::Decoder>),
    /// Opus, with its own concealment.
    Opus(Box<opus::Decoder>),
    /// L16; concealment is the playout's.
    L16(L16Rate),
}

impl Decoder {
    /// A decoder for `codec`.
    ///
    /// # Errors
    /// [`Unavailable`] when libopus refuses.
    pub fn new(codec: Codec) -> Result<Self, Unavailable> {
        Ok(match codec {
            Codec::Pcmu => Decoder::G711(Law::Mu),
            Codec::Pcma => Decoder::G711(Law::A),
            Codec::G722 => Decoder::G722(Box::default()),
            Codec::Opus => Decoder::Opus(Box::new(opus::Decoder::new()?)),
            Codec::L16(rate) => Decoder::L16(rate),
        })
    }

    /// The codec.
    pub fn codec(&self) -> Codec {
        match self {
            Decoder::G711(Law::Mu) => Codec::Pcmu,
            Decoder::G711(Law::A) => Codec::Pcma,
            Decoder::G722(_) => Codec::G722,
            Decoder::Opus(_) => Codec::Opus,
            Decoder::L16(rate) => Codec::L16(*rate),
        }
    }

    /// Appends the audio of `payload` to `out`, mono at the codec's sample rate.
    ///
    /// # Errors
    /// [`Undecodable`]; `out` is then unchanged.
    pub fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), Undecodable> {
        match self {
            Decoder::G711(law) => {
                law.decode_into(payload, out);
                Ok(())
            }
            Decoder::G722(g722) => {
                g722.decode_into(payload, out);
                Ok(())
            }
            Decoder::Opus(opus) => opus.decode(payload, out),
            Decoder::L16(_) => {
                l16::decode_into(payload, out);
                Ok(())
            }
        }
    }

    /// Appends `samples` of the lost packet before `next`, from the copy that `next` carries (in-band FEC).
    /// False when it carries none, `out` is then unchanged.
    pub fn recover(&mut self, next: &[u8], samples: usize, out: &mut Vec<i16>) -> bool {
        match self {
            Decoder::G711(_) | Decoder::G722(_) | Decoder::L16(_) => false,
            Decoder::Opus(opus) => opus.recover(next, samples, out),
        }
    }

    /// Appends `samples` made up for a lost packet; false when the codec cannot, `out` is then unchanged.
    pub fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) -> bool {
        match self {
            Decoder::G711(_) | Decoder::G722(_) | Decoder::L16(_) => false,
            Decoder::Opus(opus) => opus.conceal(samples, out),
        }
    }
}

/// Octets in the longest packet of G.711 or G.722 that is taken: 200 ms, more than anybody waits for (RFC 3551 section 4.2: receivers
/// should take up to 200 ms).
const LONGEST_ITU: usize = 1_600;

/// Samples by which what is decoded is behind what was encoded: the first ones say nothing yet, and the last ones never come.
pub const fn preroll(codec: Codec) -> usize {
    match codec {
        // 6.5 ms (RFC 6716 section 2).
        Codec::Opus => 312,
        // Two quadrature mirror filters of 24 taps.
        Codec::G722 => 22,
        Codec::Pcmu | Codec::Pcma | Codec::L16(_) => 0,
    }
}

/// Does `payload` carry a copy of the packet before it (Opus in-band FEC)?
pub fn carries_copy(codec: Codec, payload: &[u8]) -> bool {
    codec == Codec::Opus && opus::has_fec(payload)
}

/// How many samples at the codec's sample rate `payload` holds; `None` if it is not valid.
pub fn length(codec: Codec, payload: &[u8]) -> Option<usize> {
    match codec {
        Codec::Pcmu | Codec::Pcma => Some(payload.len()).filter(|&octets| octets <= LONGEST_ITU),
        Codec::G722 => Some(2 * payload.len()).filter(|&samples| samples <= 2 * LONGEST_ITU),
        Codec::Opus => opus::length(payload),
        // Half a sample is damage.
        Codec::L16(rate) => Some(payload.len() / 2)
            .filter(|&samples| payload.len().is_multiple_of(2) && samples <= rate.hertz() as usize / 5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_time() {
        assert_eq!(samples(Duration::from_millis(20), 48_000), 960);
        assert_eq!(samples(Duration::from_millis(10), 44_100), 441);
    }
}
