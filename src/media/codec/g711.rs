//! ITU-T G.711: 64 kbit/s companded PCM, both laws.
//!
//! Decoding goes by tables that the compiler fills from the segment formulas of the Recommendation; encoding finds the
//! segment by counting leading zeros. Both agree with the ITU-T Software Tool Library (G.191), decision borders
//! included: magnitudes of negative samples are their one's complement.

/// Which of the two companding laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// mu-law (PCMU), G.711 table 2.
    Mu,
    /// A-law (PCMA), G.711 table 1; even bits inverted on the line.
    A,
}

impl Law {
    /// The code word of a 16-bit linear sample.
    pub const fn encode(self, sample: i16) -> u8 {
        match self {
            Law::Mu => encode_mu(sample),
            Law::A => encode_a(sample),
        }
    }

    /// The 16-bit linear value of a code word.
    pub const fn decode(self, code: u8) -> i16 {
        match self {
            Law::Mu => MU[code as usize],
            Law::A => A[code as usize],
        }
    }

    /// Appends the code words of `audio` to `out`.
    pub fn encode_into(self, audio: &[i16], out: &mut Vec<u8>) {
        match self {
            Law::Mu => out.extend(audio.iter().map(|&sample| encode_mu(sample))),
            Law::A => out.extend(audio.iter().map(|&sample| encode_a(sample))),
        }
    }

    /// Appends the linear values of `codes` to `out`.
    pub fn decode_into(self, codes: &[u8], out: &mut Vec<i16>) {
        let table = match self {
            Law::Mu => &MU,
            Law::A => &A,
        };
        out.extend(codes.iter().map(|&code| table[usize::from(code)]));
    }
}

/// Bias that makes mu-law segments powers of two, in units of the 14-bit input (G.711 table 2: 33).
const MU_BIAS: u16 = 33;
/// Largest biased 14-bit magnitude.
const MU_CLIP: u16 = 0x1FFF;

static MU: [i16; 256] = table(Law::Mu);
static A: [i16; 256] = table(Law::A);

const fn table(law: Law) -> [i16; 256] {
    let mut values = [0; 256];
    let mut code = 0;
    while code < 256 {
        values[code] = match law {
            Law::Mu => expand_mu(code as u8),
            Law::A => expand_a(code as u8),
        };
        code += 1;
    }
    values
}

/// The magnitude as the laws take it: one's complement of negative samples, so that -32768 needs no special case.
const fn magnitude(sample: i16) -> u16 {
    (if sample < 0 { !sample } else { sample }) as u16
}

const fn encode_mu(sample: i16) -> u8 {
    let biased = (magnitude(sample) >> 2) + MU_BIAS;
    let biased = if biased > MU_CLIP { MU_CLIP } else { biased };
    // Segment 0 holds 33..=63: bit 5 leads; segment 7 holds 4096..=8191: bit 12 leads.
    let segment = (10 - biased.leading_zeros()) as u16;
    let step = (biased >> (segment + 1)) & 0x0F;
    let sign = if sample < 0 { 0 } else { 0x80 };
    sign | (0x7F ^ ((segment << 4) | step)) as u8
}

const fn expand_mu(code: u8) -> i16 {
    let inverted = !code;
    let segment = (inverted >> 4) & 0x07;
    let step = (inverted & 0x0F) as i16;
    // The middle of the step, scaled from 14 to 16 bits.
    let value = (((step << 1) + MU_BIAS as i16) << segment) - MU_BIAS as i16;
    let value = value << 2;
    if code & 0x80 != 0 { value } else { -value }
}

const fn encode_a(sample: i16) -> u8 {
    // 12-bit magnitude.
    let value = magnitude(sample) >> 4;
    let code = if value < 16 {
        value
    } else {
        // Segment 1 holds 16..=31: bit 4 leads.
        let segment = (12 - value.leading_zeros()) as u16;
        (segment << 4) | ((value >> (segment - 1)) & 0x0F)
    };
    let sign = if sample < 0 { 0 } else { 0x80 };
    (sign | code as u8) ^ 0x55
}

const fn expand_a(code: u8) -> i16 {
    let code = code ^ 0x55;
    let segment = (code >> 4) & 0x07;
    let step = (code & 0x0F) as i16;
    // The middle of the step, scaled from 13 to 16 bits.
    let value = match segment {
        0 => (step << 4) + 8,
        segment => ((step << 4) + 0x108) << (segment - 1),
    };
    if code & 0x80 != 0 { value } else { -value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_code_words() {
        // G.711 table 2: the largest values are 8031 of 14 bits, the smallest 0; table 1: 4032 and 1 of 13 bits.
        assert_eq!((Law::Mu.decode(0x80), Law::Mu.decode(0x00)), (8031 * 4, -8031 * 4));
        assert_eq!((Law::Mu.decode(0xFF), Law::Mu.decode(0x7F)), (0, 0));
        assert_eq!((Law::A.decode(0xAA), Law::A.decode(0x2A)), (4032 * 8, -4032 * 8));
        assert_eq!((Law::A.decode(0xD5), Law::A.decode(0x55)), (8, -8));
        assert_eq!((Law::Mu.encode(0), Law::A.encode(0)), (0xFF, 0xD5));
        assert_eq!((Law::Mu.encode(i16::MIN), Law::A.encode(i16::MIN)), (0x00, 0x2A));
        assert_eq!((Law::Mu.encode(i16::MAX), Law::A.encode(i16::MAX)), (0x80, 0xAA));
    }

    #[test]
    fn every_code_survives_and_every_sample_lands_within_its_step() {
        for law in [Law::Mu, Law::A] {
            for code in 0..=255u8 {
                let again = law.encode(law.decode(code));
                // Negative zero of mu-law becomes positive zero.
                assert!(again == code || (law == Law::Mu && code == 0x7F && again == 0xFF), "{law:?} {code:02x}");
            }
            for sample in i16::MIN..=i16::MAX {
                let error = (i32::from(law.decode(law.encode(sample))) - i32::from(sample)).abs();
                // The step of the top segment is 1024 wide; below, 1/16 of the segment's start; clipping ends at 32124.
                let bound =
                    (i32::from(sample).abs() / 32 + 16).max(if sample.unsigned_abs() > 32_124 { 644 } else { 0 });
                assert!(error <= bound, "{law:?} {sample}: off by {error}");
            }
        }
    }
}
