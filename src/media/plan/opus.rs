//! What both ends want of Opus.

use std::fmt;
use std::str::FromStr;

/// Opus parameters that a receiver asks its sender to respect (RFC 7587 section 6.1).
///
/// The default is what the RFC says of a receiver that asked nothing. It asks for no in-band FEC, so a sender that gets
/// the default does not add any; Sidetone itself always asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusParameters {
    /// The receiver can use in-band FEC (`useinbandfec=1`).
    pub fec: bool,
    /// The receiver prefers DTX (`usedtx=1`).
    pub dtx: bool,
    /// Highest audio sampling rate that the receiver plays, Hz, 8000 to 48000 (`maxplaybackrate`).
    pub max_playback_rate: u32,
    /// Highest average bit rate that the receiver takes, bit/s, 6000 to 510000 (`maxaveragebitrate`).
    pub max_average_bitrate: Option<u32>,
    /// The receiver prefers stereo (`stereo=1`); a mono sender need not care.
    pub stereo: bool,
    /// The receiver wants constant bit rate (`cbr=1`).
    pub cbr: bool,
}

impl Default for OpusParameters {
    fn default() -> Self {
        Self { fec: false, dtx: false, max_playback_rate: 48_000, max_average_bitrate: None, stereo: false, cbr: false }
    }
}

/// What Opus is tuned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum OpusApplication {
    /// Speech: SILK where it sounds best, which alone carries in-band FEC.
    #[default]
    Voip,
    /// Fidelity to the input: music.
    Audio,
    /// The least delay (2.5 ms of look-ahead in place of 6.5): neither SILK nor FEC.
    LowDelay,
}

/// What we want of our own Opus encoder; what the far end asked ([`OpusParameters`]) limits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusSettings {
    /// Average bit rate, bit/s (6000 to 510000).
    pub bitrate: u32,
    /// Effort: 0 (least) to 10.
    pub complexity: u8,
    /// What it is tuned for.
    pub application: OpusApplication,
    /// Send in-band FEC when the far end can use it and reports loss.
    pub fec: bool,
    /// Send nothing while nothing is said (DTX), also where the far end did not ask for it: a decoder has to cope
    /// (RFC 7587 section 3.1.3).
    pub dtx: bool,
    /// Constant bit rate, also where the far end did not ask for it (RFC 6562: against guessing words from lengths).
    pub cbr: bool,
    /// Highest audio sampling rate that is encoded, Hz, 8000 to 48000.
    pub max_rate: u32,
}

impl Default for OpusSettings {
    /// 32 kbit/s, the upper end of RFC 7587's recommendation for fullband speech (section 3.1.1), and libopus's own
    /// default effort.
    fn default() -> Self {
        Self {
            bitrate: 32_000,
            complexity: 9,
            application: OpusApplication::Voip,
            fec: true,
            dtx: false,
            cbr: false,
            max_rate: 48_000,
        }
    }
}

/// One thing that a user wants of Opus, as `bitrate=24000` or `dtx=on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpusWish {
    /// Average bit rate that we send, bit/s.
    Bitrate(u32),
    /// Average bit rate that the far end may send at most, bit/s (`maxaveragebitrate`).
    MostBitrate(u32),
    /// Effort of the encoder, 0 to 10.
    Complexity(u8),
    /// What the encoder is tuned for.
    Application(OpusApplication),
    /// Highest audio sampling rate in Hz, of both directions (`maxplaybackrate`, `sprop-maxcapturerate`).
    Bandwidth(u32),
    /// In-band FEC, of both directions (`useinbandfec`).
    Fec(bool),
    /// Nothing is sent while nothing is said, in both directions (`usedtx`).
    Dtx(bool),
    /// Constant bit rate, of both directions (`cbr`).
    Cbr(bool),
}

/// Bands of Opus by name, with the audio sampling rate of each, Hz (RFC 6716 table 1).
const BANDS: [(&str, u32); 5] =
    [("narrow", 8_000), ("medium", 12_000), ("wide", 16_000), ("superwide", 24_000), ("full", 48_000)];

impl OpusWish {
    /// Takes it up in what the far end is asked and what our encoder does.
    pub fn apply(self, asked: &mut OpusParameters, encoder: &mut OpusSettings) {
        match self {
            OpusWish::Bitrate(rate) => encoder.bitrate = rate,
            OpusWish::MostBitrate(rate) => asked.max_average_bitrate = Some(rate),
            OpusWish::Complexity(complexity) => encoder.complexity = complexity,
            OpusWish::Application(application) => encoder.application = application,
            OpusWish::Bandwidth(rate) => (asked.max_playback_rate, encoder.max_rate) = (rate, rate),
            OpusWish::Fec(on) => (asked.fec, encoder.fec) = (on, on),
            OpusWish::Dtx(on) => (asked.dtx, encoder.dtx) = (on, on),
            OpusWish::Cbr(on) => (asked.cbr, encoder.cbr) = (on, on),
        }
    }
}

/// A wish that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{wish}\" is no Opus setting: {remedy}")]
pub struct UnknownOpusWish {
    /// What was written.
    pub wish: String,
    /// What to write.
    pub remedy: &'static str,
}

impl FromStr for OpusWish {
    type Err = UnknownOpusWish;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |remedy| UnknownOpusWish { wish: text.chars().take(80).collect(), remedy };
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let rate = || {
            let remedy = "give bit/s from 6000 to 510000, such as bitrate=24000";
            value.parse().ok().filter(|rate| (6_000..=510_000).contains(rate)).ok_or(fail(remedy))
        };
        let switch = |remedy| match value {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(fail(remedy)),
        };
        match name {
            "bitrate" => rate().map(OpusWish::Bitrate),
            "max-bitrate" => rate().map(OpusWish::MostBitrate),
            "complexity" => {
                let complexity = value.parse().ok().filter(|&complexity: &u8| complexity <= 10);
                complexity.map(OpusWish::Complexity).ok_or(fail("give complexity=0 (least effort) to complexity=10"))
            }
            "application" => match value {
                "voip" => Ok(OpusWish::Application(OpusApplication::Voip)),
                "audio" => Ok(OpusWish::Application(OpusApplication::Audio)),
                "lowdelay" => Ok(OpusWish::Application(OpusApplication::LowDelay)),
                _ => Err(fail("write application=voip, application=audio or application=lowdelay")),
            },
            "bandwidth" => {
                let band = BANDS.iter().find(|(name, _)| *name == value);
                band.map(|&(_, rate)| OpusWish::Bandwidth(rate))
                    .ok_or(fail("write bandwidth=narrow, medium, wide, superwide or full"))
            }
            "fec" => switch("write fec=on or fec=off").map(OpusWish::Fec),
            "dtx" => switch("write dtx=on or dtx=off").map(OpusWish::Dtx),
            "cbr" => switch("write cbr=on or cbr=off").map(OpusWish::Cbr),
            _ => Err(fail("write bitrate=, max-bitrate=, complexity=, application=, bandwidth=, fec=, dtx= or cbr=")),
        }
    }
}

impl fmt::Display for OpusWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |on: bool| if on { "on" } else { "off" };
        match *self {
            OpusWish::Bitrate(rate) => write!(f, "bitrate={rate}"),
            OpusWish::MostBitrate(rate) => write!(f, "max-bitrate={rate}"),
            OpusWish::Complexity(complexity) => write!(f, "complexity={complexity}"),
            OpusWish::Application(OpusApplication::Voip) => f.write_str("application=voip"),
            OpusWish::Application(OpusApplication::Audio) => f.write_str("application=audio"),
            OpusWish::Application(OpusApplication::LowDelay) => f.write_str("application=lowdelay"),
            OpusWish::Bandwidth(rate) => {
                let band = BANDS.iter().find(|(_, known)| *known == rate).map_or("full", |(name, _)| name);
                write!(f, "bandwidth={band}")
            }
            OpusWish::Fec(on) => write!(f, "fec={}", word(on)),
            OpusWish::Dtx(on) => write!(f, "dtx={}", word(on)),
            OpusWish::Cbr(on) => write!(f, "cbr={}", word(on)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read_as_they_are_written() {
        for text in [
            "bitrate=24000",
            "max-bitrate=16000",
            "complexity=0",
            "complexity=10",
            "application=lowdelay",
            "application=audio",
            "bandwidth=narrow",
            "bandwidth=full",
            "fec=off",
            "dtx=on",
            "cbr=on",
        ] {
            assert_eq!(text.parse::<OpusWish>().unwrap().to_string(), text);
        }
        for (text, remedy) in [
            ("bitrate=5999", "6000"),
            ("bitrate", "6000"),
            ("complexity=11", "complexity=10"),
            ("bandwidth=8000", "narrow"),
            ("dtx=1", "dtx=on"),
            ("stero=on", "write bitrate="),
        ] {
            let error = text.parse::<OpusWish>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains(remedy), "{error}");
        }
    }

    #[test]
    fn wishes_reach_both_directions() {
        let (mut asked, mut encoder) = (OpusParameters::default(), OpusSettings::default());
        for text in ["bandwidth=wide", "dtx=on", "fec=off", "bitrate=20000", "max-bitrate=30000"] {
            text.parse::<OpusWish>().unwrap().apply(&mut asked, &mut encoder);
        }
        assert_eq!((asked.max_playback_rate, asked.dtx, asked.fec), (16_000, true, false));
        assert_eq!(asked.max_average_bitrate, Some(30_000));
        assert_eq!((encoder.max_rate, encoder.dtx, encoder.fec, encoder.bitrate), (16_000, true, false, 20_000));
    }
}
