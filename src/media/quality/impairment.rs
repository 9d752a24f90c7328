//! What a codec takes from speech, with and without loss: Ie and Bpl for the E-model, each with its source.
//!
//! G.107 rates on the narrowband scale, on which a clean G.711 call is the best. For codecs that carry more than
//! narrowband ITU-T publishes values on the wideband and fullband scales only (G.113 Appendices IV and V). Brought to
//! one scale, such a codec is above G.711 as long as its Ie,wb is below the 36 of G.711 (G.107.1: 129 - 93); the narrow
//! scale ends there, so its Ie is 0.

use crate::media::plan::Codec;
use crate::time::Duration;

/// Ie and Bpl of a codec.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairment {
    /// Its name on the command line.
    pub name: &'static str,
    /// Equipment impairment factor without loss.
    pub ie: f64,
    /// Packet-loss robustness factor, with concealment.
    pub bpl: f64,
    /// Audio that the encoder looks at beyond the packet: delay on top of the packet time.
    pub lookahead: Duration,
    /// Where the numbers are from.
    pub source: &'static str,
    /// Not published for the narrowband scale: derived as `source` says.
    pub estimate: bool,
}

const G711: Impairment = Impairment {
    name: "pcmu",
    ie: 0.0,
    bpl: 25.1,
    lookahead: Duration::ZERO,
    source: "ITU-T G.113 (11/2007) Appendix I: G.711 with Appendix I concealment, random loss",
    estimate: false,
};

/// Every codec that can be rated.
pub const ALL: [Impairment; 5] = [
    G711,
    Impairment { name: "pcma", ..G711 },
    Impairment {
        name: "g722",
        ie: 0.0,
        bpl: 25.1,
        // The quadrature mirror filter: 22 samples at 16 kHz (G.722 section 1.4).
        lookahead: Duration::from_micros(1_375),
        source: "estimate: Ie,wb 13 (ITU-T G.113 Appendix IV) is above the narrowband scale; Bpl of G.711, as its \
                 waveform is concealed in the same way",
        estimate: true,
    },
    Impairment {
        name: "opus",
        ie: 0.0,
        bpl: 16.0,
        // RFC 6716 section 2: 26.5 ms in all with frames of 20 ms.
        lookahead: Duration::from_micros(6_500),
        source: "estimate: wideband Opus is above the narrowband scale; Bpl 15.95 was measured for narrowband Opus at \
                 11 kbit/s under random loss (Alahmadi, Pocta, Melvin, ACM TOMM 17(4) article 133, 2021)",
        estimate: true,
    },
    Impairment {
        name: "g729",
        ie: 11.0,
        bpl: 19.0,
        // G.729 section 2.4.
        lookahead: Duration::from_millis(5),
        source: "ITU-T G.113 (11/2007) Appendix I: G.729-A with VAD, 8 kbit/s, 20 ms packets, random loss",
        estimate: false,
    },
];

impl Impairment {
    /// The codec of this name, compared without case.
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|known| known.name.eq_ignore_ascii_case(name))
    }

    /// A codec that calls use.
    pub const fn of(codec: Codec) -> Self {
        let [pcmu, pcma, g722, opus, _] = ALL;
        match codec {
            // Linear samples lose less than G.711, and are concealed as it is.
            Codec::Pcmu | Codec::L16(_) => pcmu,
            Codec::Pcma => pcma,
            Codec::G722 => g722,
            Codec::Opus => opus,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_of_a_call_has_its_own_row() {
        for codec in Codec::ALL {
            let row = Impairment::of(codec);
            assert!(row.name.eq_ignore_ascii_case(codec.name()));
            assert_eq!(Impairment::named(codec.name()), Some(row));
        }
        assert_eq!(Impairment::named("G729").unwrap().ie, 11.0);
        assert_eq!(Impairment::named("speex"), None);
        for row in ALL {
            assert_eq!(row.source.starts_with("estimate"), row.estimate, "{}", row.name);
        }
    }
}
