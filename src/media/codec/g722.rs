//! ITU-T G.722: 7 kHz audio within 64 kbit/s, two sub-bands of adaptive differential PCM, mode 1.
//!
//! ```text
//! 16 kHz ─▶ QMF ─┬─ low, 0 to 4 kHz ──▶ 6 bits ─┐
//!                └─ high, 4 to 8 kHz ─▶ 2 bits ─┴─▶ one octet for two samples
//! ```
//!
//! Integer arithmetic of the Recommendation, so that coder and decoder agree with every other to the bit; blocks bear
//! its names (section 6.2).

/// Coefficients of the quadrature mirror filters, one of each symmetric pair (table 11/G.722).
const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3_876, -805, 362, -156, 53, -11];

/// Decision levels of the low band (table 14, Q6).
const Q6: [i32; 30] = [
    0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1_023, 1_121, 1_219,
    1_339, 1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
];
/// Inverse quantiser of the low band with all six bits (table 17), by code.
const QM6: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192, -10_232, -9_360,
    -8_576, -7_856, -7_192, -6_576, -6_000, -5_456, -4_944, -4_464, -4_008, -3_576, -3_168, -2_776, -2_400, -2_032,
    -1_688, -1_360, -1_040, -728, 24_808, 21_904, 19_008, 16_704, 14_984, 13_512, 12_280, 11_192, 10_232, 9_360, 8_576,
    7_856, 7_192, 6_576, 6_000, 5_456, 4_944, 4_464, 4_008, 3_576, 3_168, 2_776, 2_400, 2_032, 1_688, 1_360, 1_040,
    728, 432, 136, -432, -136,
];
/// The same with the upper four bits, which adapt the predictor (table 18).
const QM4: [i32; 16] =
    [0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288, 4_240, 2_584, 1_200, 0];
/// Inverse quantiser of the high band (table 21).
const QM2: [i32; 4] = [-7_408, -1_616, 7_408, 1_616];
/// Logarithmic step multipliers of the low band by the four upper bits of its code (tables 15 and 16, WL of RL42).
const WL: [i32; 16] = [-60, 3_042, 1_198, 538, 334, 172, 58, -30, 3_042, 1_198, 538, 334, 172, 58, -30, -60];
/// The same of the high band (table 20, WH of RH2).
const WH: [i32; 4] = [798, -214, 798, -214];
/// Inverse logarithm, scaled (table 12, ILB).
const ILB: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656, 2_714, 2_774, 2_834,
    2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520, 3_597, 3_676, 3_756, 3_838, 3_922, 4_008,
];

fn saturate(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

/// One sub-band: the adaptive predictor and the step size, the same in coder and decoder.
#[derive(Clone, Debug)]
struct Band {
    /// Signal estimate, and its part from the zeros.
    s: i32,
    sz: i32,
    /// Reconstructed and partially reconstructed signal, newest first.
    r: [i32; 2],
    p: [i32; 2],
    /// Poles and zeros of the predictor.
    a: [i32; 2],
    b: [i32; 6],
    /// Quantised differences, newest first.
    d: [i32; 6],
    /// Logarithmic and linear step size.
    nb: i32,
    det: i32,
}

impl Band {
    const fn new(det: i32) -> Self {
        Self { s: 0, sz: 0, r: [0; 2], p: [0; 2], a: [0; 2], b: [0; 6], d: [0; 6], nb: 0, det }
    }

    /// LOGSCL, SCALEL and their like of the high band.
    fn scale(&mut self, weight: i32, most: i32, shift: i32) {
        self.nb = (((self.nb * 127) >> 7) + weight).clamp(0, most);
        let base = ILB.get(((self.nb >> 6) & 31) as usize).copied().unwrap_or(0);
        let shift = shift - (self.nb >> 11);
        self.det = if shift < 0 { base << -shift } else { base >> shift } << 2;
    }

    /// Block 4: takes the quantised difference in and predicts the next sample.
    fn adapt(&mut self, d: i32) {
        // RECONS, PARREC
        let r = saturate(self.s + d);
        let p = saturate(self.sz + d);
        // UPPOL2
        let doubled = saturate(self.a[0] << 2);
        let same = |one: i32, two: i32| (one < 0) == (two < 0);
        let towards = if same(p, self.p[0]) { -doubled } else { doubled }.min(32_767);
        let second = if same(p, self.p[1]) { 128 } else { -128 } + (towards >> 7) + ((self.a[1] * 32_512) >> 15);
        let second = second.clamp(-12_288, 12_288);
        // UPPOL1
        let first = if same(p, self.p[0]) { 192 } else { -192 };
        let limit = saturate(15_360 - second);
        let first = saturate(first + ((self.a[0] * 32_640) >> 15)).clamp(-limit, limit);
        // UPZERO
        let step = if d == 0 { 0 } else { 128 };
        for (b, &before) in self.b.iter_mut().zip(&self.d) {
            *b = saturate(if same(d, before) { step } else { -step } + ((*b * 32_640) >> 15));
        }
        // DELAYA
        self.d.rotate_right(1);
        self.d[0] = d;
        self.r = [r, self.r[0]];
        self.p = [p, self.p[0]];
        self.a = [first, second];
        // FILTEP, FILTEZ, PREDIC
        let double = |value: i32| saturate(value + value);
        let poles = ((self.a[0] * double(self.r[0])) >> 15) + ((self.a[1] * double(self.r[1])) >> 15);
        let zeros = self.b.iter().zip(&self.d).rev().map(|(&b, &d)| (b * double(d)) >> 15).sum();
        self.sz = saturate(zeros);
        self.s = saturate(saturate(poles) + self.sz);
    }

    /// The low band's part of a code.
    fn low(&mut self, code: usize) {
        let upper = code >> 2;
        let difference = (self.det * QM4.get(upper).copied().unwrap_or(0)) >> 15;
        self.scale(WL.get(upper).copied().unwrap_or(0), 18_432, 8);
        self.adapt(difference);
    }

    /// The high band's part of a code.
    fn high(&mut self, code: usize) {
        let difference = (self.det * QM2.get(code).copied().unwrap_or(0)) >> 15;
        self.scale(WH.get(code).copied().unwrap_or(0), 22_528, 10);
        self.adapt(difference);
    }
}

const LOW: Band = Band::new(32);
const HIGH: Band = Band::new(8);

/// The last 24 samples of a quadrature mirror filter.
#[derive(Clone, Debug, Default)]
struct Mirror([i32; 24]);

impl Mirror {
    fn shift(&mut self, older: i32, newer: i32) {
        self.0.copy_within(2.., 0);
        [self.0[22], self.0[23]] = [older, newer];
    }

    /// Both polyphase sums: even samples by the coefficients upwards, odd ones downwards.
    fn sums(&self) -> (i32, i32) {
        let pairs = self.0.chunks_exact(2).zip(QMF.iter().zip(QMF.iter().rev()));
        pairs.fold((0, 0), |(even, odd), (pair, (up, down))| match *pair {
            [first, second] => (even + first * up, odd + second * down),
            _ => (even, odd),
        })
    }
}

/// Coder of one direction.
#[derive(Clone, Debug)]
pub struct Encoder {
    mirror: Mirror,
    low: Band,
    high: Band,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { mirror: Mirror::default(), low: LOW, high: HIGH }
    }
}

impl Encoder {
    /// Appends the code words of mono `audio` at 16 kHz to `out`, one for two samples; an odd last sample is left out.
    pub fn encode_into(&mut self, audio: &[i16], out: &mut Vec<u8>) {
        for pair in audio.chunks_exact(2) {
            if let [first, second] = *pair {
                out.push(self.encode(first, second));
            }
        }
    }

    fn encode(&mut self, first: i16, second: i16) -> u8 {
        self.mirror.shift(first.into(), second.into());
        let (even, odd) = self.mirror.sums();
        let low = self.low_code(saturate((even + odd) >> 14));
        let high = self.high_code(saturate((odd - even) >> 14));
        self.low.low(low);
        self.high.high(high);
        (high << 6 | low) as u8
    }

    /// SUBTRA and QUANTL.
    fn low_code(&self, sample: i32) -> usize {
        let error = saturate(sample - self.low.s);
        let magnitude = if error < 0 { -(error + 1) } else { error };
        let above = Q6.iter().skip(1).take_while(|&&level| magnitude >= (level * self.low.det) >> 12);
        let interval = 1 + above.count();
        match (error < 0, interval) {
            (true, 1) => 63,
            (true, 2) => 62,
            (true, _) => 34 - interval,
            (false, _) => 62 - interval,
        }
    }

    /// SUBTRA and QUANTH.
    fn high_code(&self, sample: i32) -> usize {
        let error = saturate(sample - self.high.s);
        let magnitude = if error < 0 { -(error + 1) } else { error };
        let far = magnitude >= (564 * self.high.det) >> 12;
        match (error < 0, far) {
            (true, false) => 1,
            (true, true) => 0,
            (false, false) => 3,
            (false, true) => 2,
        }
    }
}

/// Decoder of one direction.
#[derive(Clone, Debug)]
pub struct Decoder {
    mirror: Mirror,
    low: Band,
    high: Band,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { mirror: Mirror::default(), low: LOW, high: HIGH }
    }
}

impl Decoder {
    /// Appends the audio of `codes` to `out`, mono at 16 kHz, two samples for each.
    pub fn decode_into(&mut self, codes: &[u8], out: &mut Vec<i16>) {
        for &code in codes {
            out.extend(self.decode(code));
        }
    }

    fn decode(&mut self, code: u8) -> [i16; 2] {
        let (low, high) = (usize::from(code & 63), usize::from(code >> 6));
        let limit = |value: i32| value.clamp(-16_384, 16_383);
        let below = limit(self.low.s + ((self.low.det * QM6.get(low).copied().unwrap_or(0)) >> 15));
        let above = limit(self.high.s + ((self.high.det * QM2.get(high).copied().unwrap_or(0)) >> 15));
        self.low.low(low);
        self.high.high(high);
        self.mirror.shift(below + above, below - above);
        let (mut first, mut second) = (0, 0);
        for (pair, (up, down)) in self.mirror.0.chunks_exact(2).zip(QMF.iter().zip(QMF.iter().rev())) {
            if let [sum, difference] = *pair {
                first += difference * down;
                second += sum * up;
            }
        }
        [first, second].map(|sum| saturate(sum >> 11) as i16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_of_either_band_comes_through() {
        for hertz in [1_000.0, 3_000.0, 5_000.0] {
            let tone: Vec<i16> = (0..16_000)
                .map(|n| ((f64::from(n) * hertz * std::f64::consts::TAU / 16_000.0).sin() * 8_000.0) as i16)
                .collect();
            let (mut codes, mut heard) = (Vec::new(), Vec::new());
            Encoder::default().encode_into(&tone, &mut codes);
            assert_eq!(codes.len(), 8_000);
            Decoder::default().decode_into(&codes, &mut heard);
            assert_eq!(heard.len(), tone.len());
            // Both filters together delay by 22 samples.
            let pairs = || tone[8_000..].iter().zip(&heard[8_022..]).map(|(&a, &b)| (f64::from(a), f64::from(b)));
            let signal: f64 = pairs().map(|(a, _)| a * a).sum();
            let noise: f64 = pairs().map(|(a, b)| (a - b).powi(2)).sum();
            assert!(signal > 100.0 * noise, "{hertz} Hz: {:.1} dB", 10.0 * (signal / noise).log10());
        }
    }

    #[test]
    fn any_octets_are_audio() {
        let mut random = crate::random::Random::from_seed(722);
        let mut codes = vec![0; 100_000];
        codes.iter_mut().for_each(|code| *code = random.u32() as u8);
        let mut heard = Vec::new();
        Decoder::default().decode_into(&codes, &mut heard);
        assert_eq!(heard.len(), 200_000);
        let loud: Vec<i16> = (0..50_000).map(|n| if n % 7 < 3 { i16::MIN } else { i16::MAX }).collect();
        Encoder::default().encode_into(&loud, &mut Vec::new());
    }
}
