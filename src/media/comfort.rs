//! Silence: who does not speak (voice activity detection), what is said of the noise behind it, and what is heard of that
//! (comfort noise, RFC 3389).
//!
//! ```text
//! audio ─▶ Silencer ─┬─ voice: sent
//!                    └─ silence ─▶ Sid ~~~~▶ Sid ─▶ Noise: heard until the voice comes back
//! ```

use crate::time::Duration;

/// Reflection coefficients that are sent and taken; RFC 3389 section 3 leaves the number open, and lets a receiver take fewer.
pub const ORDER: usize = 10;
/// The rate of the spectrum, Hz: that of the payload type's clock.
const RATE: u32 = 8_000;
/// The root mean square of the loudest signal, 0 dBov: a square wave (RFC 3389 section 3.1).
const OVERLOAD: f32 = 32_767.0;

/// How much louder than the noise a voice is, dB.
const ABOVE_NOISE: f32 = 10.0;
/// Noise is never taken to be louder, dBov: what is, is meant to be heard.
const LOUDEST_NOISE: f32 = -35.0;
/// What is quieter is silence whatever the noise, dBov.
const QUIETEST_VOICE: f32 = -65.0;
/// How fast the noise is taken to have grown while nothing else is heard, dB/s.
const NOISE_GROWS: f32 = 3.0;
/// How long after the last loud piece a voice still speaks: the ends of words are quiet.
const HANGOVER: Duration = Duration::from_millis(240);
/// A far end is told of other noise at most so often, ...
const TOLD_AT_MOST: Duration = Duration::from_millis(200);
/// ... of the same noise so often: it may have joined, or lost what was told; and address translators forget.
const TOLD_AT_LEAST: Duration = Duration::from_secs(1);
/// Other noise is louder or quieter by this much, dB.
const OTHER: f32 = 2.5;

/// Noise as it is described: a silence insertion descriptor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sid {
    /// Level in -dBov, 0 to 127.
    pub level: u8,
    /// Reflection coefficients of its all-pole model 1/A(z), A(z) = 1 + a1/z + ..., each within -1 to 1.
    pub reflection: [f32; ORDER],
}

impl Sid {
    /// White noise.
    pub fn white(level: u8) -> Self {
        Self { level: level & 0x7F, reflection: [0.0; ORDER] }
    }

    /// Reads a payload: a level, then coefficients, which may be none or too many. `None` if it is empty.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (&level, coefficients) = payload.split_first()?;
        let mut sid = Self::white(level);
        for (reflection, &index) in sid.reflection.iter_mut().zip(coefficients) {
            // 255 is reserved.
            *reflection = if index == 255 { 0.0 } else { (f32::from(index) - 127.0) * 258.0 / 32_768.0 };
        }
        Some(sid)
    }

    /// Appends its payload (RFC 3389 sections 3.1 and 3.2).
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.level & 0x7F);
        let index = |reflection: &f32| (reflection * 32_768.0 / 258.0 + 127.0).round().clamp(0.0, 254.0) as u8;
        out.extend(self.reflection.iter().map(index));
    }
}

/// What is to be sent of a piece of audio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Said {
    /// All of it.
    Voice,
    /// That there is this noise.
    Noise(Sid),
    /// Nothing: the noise is as it was told.
    Nothing,
}

/// Tells voice from silence, and describes the latter.
#[derive(Debug)]
pub struct Silencer {
    /// Level of the noise behind voices, dBov.
    noise: f32,
    /// How long the voice is still taken to speak.
    hangover: Duration,
    /// Autocorrelation of the noise, averaged over some pieces of silence.
    correlation: [f32; ORDER + 1],
    /// What was told last, dBov, and how long ago.
    told: Option<(f32, Duration)>,
}

impl Default for Silencer {
    fn default() -> Self {
        Self { noise: -60.0, hangover: Duration::ZERO, correlation: [0.0; ORDER + 1], told: None }
    }
}

impl Silencer {
    /// Judges the next piece of audio at 8 kHz, `time` long.
    pub fn judge(&mut self, audio: &[i16], time: Duration) -> Said {
        // Beginnings of words are short: a piece is as loud as its loudest 10 ms.
        let loudest = audio.chunks(RATE as usize / 100).map(level).fold(f32::MIN, f32::max);
        self.noise = (self.noise + NOISE_GROWS * time.as_secs_f64() as f32).min(level(audio)).min(LOUDEST_NOISE);
        // Absolute silence between words is nobody's noise.
        self.noise = self.noise.max(QUIETEST_VOICE - ABOVE_NOISE);
        if loudest > (self.noise + ABOVE_NOISE).max(QUIETEST_VOICE) {
            self.hangover = HANGOVER;
            self.told = None;
            return Said::Voice;
        }
        self.learn(audio);
        if !self.hangover.is_zero() {
            self.hangover = self.hangover.saturating_sub(time);
            return Said::Voice;
        }
        self.describe(time)
    }

    /// Averages what the noise is like.
    fn learn(&mut self, audio: &[i16]) {
        let count = audio.len().max(1) as f32;
        let share = if self.correlation[0] == 0.0 { 1.0 } else { 8.0 };
        for (lag, known) in self.correlation.iter_mut().enumerate() {
            let later = audio.get(lag..).unwrap_or(&[]);
            let sum: f32 = audio.iter().zip(later).map(|(&a, &b)| f32::from(a) * f32::from(b)).sum();
            *known += (sum / count - *known) / share;
        }
    }

    fn describe(&mut self, time: Duration) -> Said {
        let level = decibels(self.correlation[0]);
        let due = self.told.is_none_or(|(told, ago)| {
            ago + time >= TOLD_AT_LEAST || (ago + time >= TOLD_AT_MOST && (told - level).abs() > OTHER)
        });
        if !due {
            self.told = self.told.map(|(told, ago)| (told, ago + time));
            return Said::Nothing;
        }
        self.told = Some((level, Duration::ZERO));
        Said::Noise(Sid { level: (-level).round().clamp(0.0, 127.0) as u8, reflection: reflection(&self.correlation) })
    }
}

/// Level of `audio`, dBov.
fn level(audio: &[i16]) -> f32 {
    let energy: f32 = audio.iter().map(|&sample| f32::from(sample).powi(2)).sum();
    decibels(energy / audio.len().max(1) as f32)
}

/// A mean square in dBov; -127 is the least that can be said.
fn decibels(mean_square: f32) -> f32 {
    (10.0 * (mean_square / OVERLOAD.powi(2)).max(1e-13).log10()).clamp(-127.0, 0.0)
}

/// Reflection coefficients of an autocorrelation (Levinson and Durbin).
fn reflection(correlation: &[f32; ORDER + 1]) -> [f32; ORDER] {
    let mut coefficients = [0.0; ORDER];
    // A little white noise keeps the model from ringing.
    let mut error = correlation[0] * 1.001;
    let mut a = [0.0f32; ORDER + 1];
    a[0] = 1.0;
    for order in 1..=ORDER {
        if error <= 1e-3 {
            break;
        }
        let sum: f32 = (0..order).map(|i| a[i] * correlation[order - i]).sum();
        let k = (-sum / error).clamp(-0.99, 0.99);
        coefficients[order - 1] = k;
        let before = a;
        for i in 1..=order {
            a[i] = before[i] + k * before[order - i];
        }
        error *= 1.0 - k * k;
    }
    coefficients
}

/// Makes the noise that a [`Sid`] describes.
#[derive(Debug, Default)]
pub struct Noise {
    reflection: [f32; ORDER],
    /// Backward errors of the lattice.
    state: [f32; ORDER],
    /// Root mean square of what drives it, and what that is going to.
    gain: f32,
    target: f32,
    chance: u32,
}

impl Noise {
    /// What is described is heard from now on, at `rate` Hz; the spectrum is that of 8 kHz audio, and left out elsewhere.
    pub fn describe(&mut self, sid: &Sid, rate: u32) {
        self.reflection = if rate == RATE { sid.reflection } else { [0.0; ORDER] };
        let shaped: f32 = self.reflection.iter().map(|k| 1.0 - k * k).product();
        // Nobody means to blast: -17 dBov at most.
        let loudness = OVERLOAD * 10f32.powf(-f32::from(sid.level.max(17)) / 20.0);
        self.target = if sid.level == 127 { 0.0 } else { loudness * shaped.max(0.0).sqrt() };
        if self.gain == 0.0 {
            self.gain = self.target;
        }
    }

    /// Silence again.
    pub fn stop(&mut self) {
        (self.gain, self.target) = (0.0, 0.0);
    }

    /// The next sample.
    pub fn sample(&mut self) -> i32 {
        if self.gain == 0.0 {
            return 0;
        }
        self.gain += (self.target - self.gain) / 400.0;
        // Xorshift: nobody guesses anything from it.
        self.chance = if self.chance == 0 { 1 } else { self.chance };
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 17;
        self.chance ^= self.chance << 5;
        // Even over -sqrt(3) to sqrt(3): a root mean square of 1.
        let even = (self.chance >> 8) as f32 / (1u32 << 23) as f32 - 1.0;
        let mut forward = even * 3f32.sqrt() * self.gain;
        for order in (0..ORDER).rev() {
            forward -= self.reflection[order] * self.state[order];
            if order + 1 < ORDER {
                self.state[order + 1] = self.state[order] + self.reflection[order] * forward;
            }
        }
        self.state[0] = forward;
        forward.clamp(-32_768.0, 32_767.0) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const TIME: Duration = Duration::from_millis(20);

    fn white(random: &mut Random, level: f32, samples: usize) -> Vec<i16> {
        let peak = OVERLOAD * 10f32.powf(level / 20.0) * 3f32.sqrt();
        (0..samples).map(|_| ((random.unit() as f32 * 2.0 - 1.0) * peak).round() as i16).collect()
    }

    /// Noise as of a fan: the higher the quieter.
    fn dull(random: &mut Random, level: f32, samples: usize) -> Vec<i16> {
        let mut last = 0.0;
        // A pole at 0.9 makes it louder by 1 / (1 - 0.81).
        let quieter = level + 10.0 * 0.19f32.log10();
        let make = |sample: i16| {
            last = last * 0.9 + f32::from(sample);
            last as i16
        };
        white(random, quieter, samples).into_iter().map(make).collect()
    }

    fn voice(n: usize) -> i16 {
        ((n as f32 * 0.12).sin() * 6_000.0) as i16
    }

    #[test]
    fn descriptors_are_read_as_they_are_written() {
        let mut sid = Sid::white(57);
        (sid.reflection[0], sid.reflection[1]) = (-0.5, 0.9);
        let mut payload = Vec::new();
        sid.write(&mut payload);
        assert_eq!((payload.len(), payload[0], payload[1], payload[2], payload[3]), (11, 57, 63, 241, 127));
        let read = Sid::parse(&payload).unwrap();
        assert_eq!(read.level, 57);
        assert!(read.reflection.iter().zip(&sid.reflection).all(|(a, b)| (a - b).abs() < 0.004), "{read:?}");
        assert_eq!(Sid::parse(&[0x80 | 40]), Some(Sid::white(40)), "the first bit is reserved");
        assert_eq!(Sid::parse(&[40, 255]), Some(Sid::white(40)));
        assert_eq!(Sid::parse(&[]), None);
        assert!(Sid::parse(&[7; 300]).is_some());
    }

    #[test]
    fn voice_is_sent_and_noise_is_told() {
        for (level, noise) in [(-50.0, white as fn(&mut Random, f32, usize) -> Vec<i16>), (-45.0, dull)] {
            let (mut random, mut silencer) = (Random::from_seed(3), Silencer::default());
            let (mut voices, mut sids, mut n) = (0, 0, 0);
            // Half a second of voice, two and a half of noise, four times.
            for piece in 0..600 {
                let mut audio = noise(&mut random, level, 160);
                let speaks = piece % 150 < 25;
                if speaks {
                    audio.iter_mut().enumerate().for_each(|(i, sample)| *sample += voice(n + i));
                }
                n += 160;
                let said = silencer.judge(&audio, TIME);
                assert!(!speaks || said == Said::Voice, "piece {piece} is voice");
                if piece > 300 && !speaks {
                    voices += usize::from(said == Said::Voice);
                    sids += usize::from(matches!(said, Said::Noise(_)));
                }
                if let Said::Noise(sid) = said {
                    assert!((f32::from(sid.level) + level).abs() < 2.0, "piece {piece}: {sid:?}");
                }
            }
            assert!(voices <= 60, "{level}: {voices} of 250 pieces of noise sent, 12 after each voice");
            assert!((4..18).contains(&sids), "{level}: {sids} descriptors in five seconds");
        }
    }

    #[test]
    fn a_long_tone_is_no_noise() {
        let mut silencer = Silencer::default();
        for piece in 0..3_000 {
            let audio: Vec<i16> = (0..160).map(|i| voice(piece * 160 + i)).collect();
            assert_eq!(silencer.judge(&audio, TIME), Said::Voice, "after {piece} pieces");
        }
    }

    #[test]
    fn what_is_heard_is_what_was_described() {
        let (mut random, mut silencer) = (Random::from_seed(5), Silencer::default());
        let mut sid = None;
        for _ in 0..500 {
            if let Said::Noise(told) = silencer.judge(&dull(&mut random, -42.0, 160), TIME) {
                sid = Some(told);
            }
        }
        let sid = sid.unwrap();
        assert!(sid.reflection[0] < -0.8, "low-pass: {sid:?}");
        let mut noise = Noise::default();
        noise.describe(&sid, RATE);
        let heard: Vec<i16> = (0..80_000).map(|_| noise.sample() as i16).collect();
        assert!((level(&heard) + 42.0).abs() < 1.5, "{} dBov", level(&heard));
        let likeness = |audio: &[i16]| {
            let mut silencer = Silencer::default();
            silencer.learn(audio);
            silencer.correlation[1] / silencer.correlation[0]
        };
        let (was, is) = (likeness(&dull(&mut random, -42.0, 80_000)), likeness(&heard));
        assert!((was - is).abs() < 0.05, "neighbours are alike by {was} and by {is}");
        noise.stop();
        assert_eq!(noise.sample(), 0);
    }
}
