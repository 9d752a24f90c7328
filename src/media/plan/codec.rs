//! The codecs: names, rates, packet times.

use crate::time::Duration;
use std::fmt;
use std::str::FromStr;

/// An audio codec that Sidetone can send and receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// G.711 mu-law, static payload type 0 (RFC 3551).
    Pcmu,
    /// G.711 A-law, static payload type 8 (RFC 3551).
    Pcma,
    /// G.722 at 64 kbit/s, static payload type 9; 16 kHz audio on an RTP clock of 8000 (RFC 3551 section 4.5.2).
    G722,
    /// Opus, RTP clock 48000 (RFC 7587).
    Opus,
    /// Linear 16-bit samples in network byte order (RFC 3551 section 4.5.11), mono: what goes in comes out, to the bit. For
    /// tests; never offered unless it is asked for by name.
    L16(L16Rate),
}

/// Sampling and RTP clock rates of L16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum L16Rate {
    /// 8000 Hz.
    Hz8000,
    /// 16000 Hz.
    Hz16000,
    /// 44100 Hz, static payload type 11.
    Hz44100,
    /// 48000 Hz.
    Hz48000,
}

impl L16Rate {
    /// Every rate.
    pub const ALL: [L16Rate; 4] = [L16Rate::Hz8000, L16Rate::Hz16000, L16Rate::Hz44100, L16Rate::Hz48000];

    /// In Hz.
    pub const fn hertz(self) -> u32 {
        match self {
            L16Rate::Hz8000 => 8_000,
            L16Rate::Hz16000 => 16_000,
            L16Rate::Hz44100 => 44_100,
            L16Rate::Hz48000 => 48_000,
        }
    }
}

impl Codec {
    /// The codecs of ordinary calls, in the default order of preference.
    pub const ALL: [Codec; 4] = [Codec::Opus, Codec::G722, Codec::Pcmu, Codec::Pcma];

    /// Every codec that can be asked for.
    pub const KNOWN: [Codec; 8] = [
        Codec::Opus,
        Codec::G722,
        Codec::Pcmu,
        Codec::Pcma,
        Codec::L16(L16Rate::Hz48000),
        Codec::L16(L16Rate::Hz44100),
        Codec::L16(L16Rate::Hz16000),
        Codec::L16(L16Rate::Hz8000),
    ];

    /// The encoding name of its rtpmap (RFC 4855: compared without case).
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
            Codec::L16(_) => "L16",
        }
    }

    /// RTP clock rate in Hz.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 8_000,
            Codec::Opus => 48_000,
            Codec::L16(rate) => rate.hertz(),
        }
    }

    /// Rate in Hz of the mono audio that goes in and comes out.
    pub const fn sample_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma => 8_000,
            Codec::G722 => 16_000,
            Codec::Opus => 48_000,
            Codec::L16(rate) => rate.hertz(),
        }
    }

    /// Static payload type (RFC 3551), if it has one.
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
            Codec::G722 => Some(9),
            Codec::L16(L16Rate::Hz44100) => Some(11),
            Codec::Opus | Codec::L16(_) => None,
        }
    }

    /// Packet times that it can be sent in, ms, ascending. RFC 3551 section 4.2 has receivers take up to 200 ms; a packet of
    /// L16 must fit an unfragmented datagram; an Opus packet holds frames of 10, 20, 40 or 60 ms, at most 120 ms in all
    /// (RFC 6716 section 2.1.4).
    pub const fn packet_times(self) -> &'static [u64] {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => &[10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120],
            Codec::Opus => &[10, 20, 40, 60, 80, 100, 120],
            Codec::L16(L16Rate::Hz8000) => &[10, 20, 30, 40, 50, 60, 70, 80],
            Codec::L16(L16Rate::Hz16000) => &[10, 20, 30, 40],
            Codec::L16(L16Rate::Hz44100 | L16Rate::Hz48000) => &[10],
        }
    }

    /// The packet time that is sent when `asked` is asked for: the longest one possible that is no longer, at least 10 ms.
    pub fn packet_time(self, asked: Duration) -> Duration {
        let fits = self.packet_times().iter().map(|&ms| Duration::from_millis(ms)).take_while(|&time| time <= asked);
        fits.last().unwrap_or(Duration::from_millis(10))
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Codec::L16(rate) => write!(f, "L16/{}", rate.hertz()),
            other => f.write_str(other.name()),
        }
    }
}

/// A codec name that Sidetone does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown codec \"{0}\"; known are opus, g722, pcmu, pcma, and for tests l16/8000, l16/16000, l16/44100 and l16/48000"
)]
pub struct UnknownCodec(pub String);

impl FromStr for Codec {
    type Err = UnknownCodec;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Codec::KNOWN
            .into_iter()
            .find(|codec| codec.to_string().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownCodec(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_times_are_rounded_to_what_the_codec_can() {
        let ms = Duration::from_millis;
        assert_eq!(Codec::Pcmu.packet_time(ms(50)), ms(50));
        assert_eq!(Codec::Pcma.packet_time(ms(5)), ms(10));
        assert_eq!(Codec::Opus.packet_time(ms(30)), ms(20));
        assert_eq!(Codec::Opus.packet_time(ms(200)), ms(120));
        assert_eq!(Codec::L16(L16Rate::Hz48000).packet_time(ms(20)), ms(10));
    }

    #[test]
    fn packets_of_l16_fit_a_datagram() {
        for rate in L16Rate::ALL {
            let longest = *Codec::L16(rate).packet_times().last().unwrap();
            assert!(u64::from(rate.hertz()) * longest / 1_000 * 2 <= 1_400, "{rate:?}");
        }
    }

    #[test]
    fn every_codec_is_known_by_what_it_prints() {
        for codec in Codec::KNOWN {
            assert_eq!(codec.to_string().to_lowercase().parse(), Ok(codec));
        }
        assert!("l16".parse::<Codec>().is_err());
    }
}
