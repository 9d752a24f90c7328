//! Concealment for codecs that have none: the last period of what was heard is heard again and again, fading.
//!
//! In the manner of ITU-T G.711 Appendix I, but without its 3.75 ms of delay: the jump where the copy begins is taken
//! away by an offset that decays.
//!
//! ```text
//! heard     ... │ p │ p ‖
//! made up               ‖ p │ p │ p │ p ...   loud for 5 ms, then falling to silence at 80 ms
//! heard again                      ‖═══▶      both blended for 4 to 10 ms
//! ```

use crate::media::comfort::{Noise, Sid};

use super::pitch::{best_lag, blend, period_range};

/// Below this likeness there is no voice, and a long piece hides the repetition better than a short one.
const VOICED: f32 = 0.3;

/// The periods that are tried, in samples at `rate`: 200 Hz to 66 Hz (G.711 Appendix I). Of a higher voice two periods are
/// repeated, which sounds less like a machine than one.
const fn lags(rate: usize) -> (usize, usize) {
    let (_, longest) = period_range(rate);
    (rate / 200, longest)
}

/// Makes up audio and joins it to what is heard around it.
#[derive(Debug)]
pub(super) struct Concealer {
    rate: usize,
    /// What is repeated; its end fades into what came before its beginning, so that it can run in a circle.
    template: Vec<i16>,
    /// Where in the template the next sample is.
    at: usize,
    /// Samples made up since the last one heard.
    made: usize,
    /// Last sample heard less what the template says in its place.
    offset: i32,
    active: bool,
    /// What was heard last, backwards: where the period is sought.
    tail: Vec<i16>,
    /// The background noise that is heard when the voice has faded.
    noise: Noise,
}

impl Concealer {
    pub(super) fn new(rate: u32) -> Self {
        let rate = rate as usize;
        Self {
            rate,
            template: Vec::new(),
            at: 0,
            made: 0,
            offset: 0,
            active: false,
            tail: Vec::new(),
            noise: Noise::default(),
        }
    }

    /// The background noise at the far end (RFC 3389): heard when what is made up has faded.
    pub(super) fn noise(&mut self, sid: Option<&Sid>) {
        match sid {
            Some(sid) => self.noise.describe(sid, self.rate as u32),
            None => self.noise.stop(),
        }
    }

    /// How much of what was heard is used.
    pub(super) const fn history(rate: u32) -> usize {
        // A longest period, as much again to compare it with, and a quarter to blend.
        let (_, longest) = lags(rate as usize);
        2 * longest + longest / 2
    }

    /// How loud what is made up still is, 0 to 256: full for 5 ms, none after 80 ms.
    fn gain(&self) -> i32 {
        let (full, none) = (self.rate / 200, self.rate * 8 / 100);
        match self.made {
            made if made < full => 256,
            made if made >= none => 0,
            made => ((none - made) * 256 / (none - full)) as i32,
        }
    }

    /// Appends `samples` made up from the end of `audio`.
    pub(super) fn extend(&mut self, audio: &mut Vec<i16>, samples: usize) {
        self.begin(audio);
        for _ in 0..samples {
            let sample = self.next();
            audio.push(sample);
        }
    }

    /// Something breaks off behind `audio`: what comes next is joined smoothly.
    pub(super) fn begin(&mut self, audio: &[i16]) {
        if self.active {
            return;
        }
        (self.active, self.made, self.at, self.offset) = (true, 0, 0, 0);
        self.template.clear();
        let (shortest, longest) = lags(self.rate);
        let window = (self.rate * 7 / 1_000).min(audio.len() / 3);
        // Read backwards, so that the best lag is how long ago the end sounded like the end.
        let known = audio.get(audio.len().saturating_sub(Self::history(self.rate as u32))..).unwrap_or(&[]);
        self.tail.clear();
        self.tail.extend(known.iter().rev());
        let period = match best_lag(&self.tail, 0, (shortest, longest), window, self.rate) {
            Some((lag, alike)) if alike >= VOICED => lag,
            _ => longest,
        };
        let fade = (period / 4).max(1);
        let Some(start) = known.len().checked_sub(period).filter(|&start| start >= fade) else {
            // Too little to repeat: it fades out.
            self.offset = known.last().map_or(0, |&last| i32::from(last));
            return;
        };
        self.template.extend_from_slice(known.get(start..).unwrap_or(&[]));
        let before = known.get(start - fade..start).unwrap_or(&[]);
        for (n, (sample, &before)) in self.template.iter_mut().skip(period - fade).zip(before).enumerate() {
            *sample = blend(*sample, before, n + 1, fade);
        }
        let expected = known.get(start - 1).copied().unwrap_or(0);
        self.offset = i32::from(known.last().copied().unwrap_or(0)) - i32::from(expected);
    }

    /// Blends the continuation of what was made up into the beginning of `fresh`, which is heard from now on.
    pub(super) fn join(&mut self, fresh: &mut [i16]) {
        if !std::mem::take(&mut self.active) {
            return;
        }
        // The longer the gap, the less the two have in common.
        let overlap = (self.rate / 250 + self.made / 20).min(self.rate / 100).min(fresh.len());
        for (n, sample) in fresh.iter_mut().take(overlap).enumerate() {
            *sample = blend(self.next(), *sample, n + 1, overlap + 1);
        }
    }

    fn next(&mut self) -> i16 {
        // The offset is gone after 5 ms.
        let fade = self.rate / 200;
        let offset = self.offset * fade.saturating_sub(self.made + 1) as i32 / fade as i32;
        let sample = self.template.get(self.at).map_or(0, |&sample| i32::from(sample));
        let gain = self.gain();
        let sample = ((sample + offset) * gain + self.noise.sample() * (256 - gain)) / 256;
        self.at = if self.at + 1 < self.template.len() { self.at + 1 } else { 0 };
        self.made += 1;
        sample.clamp(i16::MIN.into(), i16::MAX.into()) as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hertz: f64, samples: usize) -> Vec<i16> {
        let step = hertz * std::f64::consts::TAU / f64::from(rate);
        (0..samples).map(|n| ((n as f64 * step).sin() * 10_000.0) as i16).collect()
    }

    fn steepest(audio: &[i16]) -> i32 {
        audio.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap()
    }

    #[test]
    fn a_tone_through_loss_does_not_click() {
        for rate in [8_000, 48_000] {
            for hertz in [113.0, 200.0, 297.0, 405.0] {
                for lost_ms in [10, 20, 40, 60, 120] {
                    let whole = tone(rate, hertz, rate as usize / 2);
                    let (from, lost) = (rate as usize / 5 + 7, rate as usize * lost_ms / 1_000);
                    let mut heard = whole[..from].to_vec();
                    let mut concealer = Concealer::new(rate);
                    concealer.extend(&mut heard, lost);
                    let mut rest = whole[from + lost..].to_vec();
                    concealer.join(&mut rest);
                    heard.extend(&rest);
                    assert_eq!(heard.len(), whole.len());
                    // Blending two phases of the tone over 4 ms can be twice as steep for an instant.
                    let (step, limit) = (steepest(&heard), steepest(&whole) * 2 + 20_000 / (rate as i32 / 250));
                    assert!(step <= limit, "{rate} Hz, tone {hertz}, {lost_ms} ms: step {step} above {limit}");
                    let quiet = rate as usize / 200;
                    assert!(steepest(&heard[from - quiet..from + quiet]) <= steepest(&whole) * 5 / 4 + 20, "start");
                }
            }
        }
    }

    #[test]
    fn it_sounds_on_and_then_fades_to_silence() {
        let mut heard = tone(8_000, 200.0, 800);
        Concealer::new(8_000).extend(&mut heard, 800);
        let loudness =
            |part: &[i16]| part.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / part.len() as f64;
        let before = loudness(&heard[..800]);
        assert!(loudness(&heard[800..840]) > 0.95 * before, "5 ms at full strength");
        assert!((0.3..0.9).contains(&(loudness(&heard[960..1_120]) / before)), "falling");
        assert!(heard[1_440..].iter().all(|&sample| sample == 0), "silent after 80 ms");
    }

    #[test]
    fn the_copy_is_in_phase() {
        let whole = tone(8_000, 160.0, 1_000);
        let mut heard = whole[..800].to_vec();
        Concealer::new(8_000).extend(&mut heard, 80);
        for n in 800..880 {
            assert!((i32::from(heard[n]) - i32::from(whole[n])).abs() < 700, "at {n}: {} {}", heard[n], whole[n]);
        }
    }

    #[test]
    fn comfort_noise_follows_the_voice_at_its_level() {
        let mut heard = tone(8_000, 200.0, 800);
        let mut concealer = Concealer::new(8_000);
        concealer.noise(Some(&Sid::white(50)));
        concealer.extend(&mut heard, 8_000);
        let noise = &heard[2_000..];
        let energy = noise.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / noise.len() as f64;
        let level = 20.0 * (energy.sqrt() / 32_767.0).log10();
        assert!((level + 50.0).abs() < 0.5, "{level} dBov");
        concealer.noise(None);
        concealer.extend(&mut heard, 10);
        assert_eq!(heard[heard.len() - 10..], [0; 10]);
    }

    #[test]
    fn nothing_heard_yet_is_silence() {
        let mut heard = Vec::new();
        let mut concealer = Concealer::new(8_000);
        concealer.extend(&mut heard, 160);
        assert_eq!(heard, [0; 160]);
        let mut fresh = [1_000; 160];
        concealer.join(&mut fresh);
        assert!(fresh[0] < 100 && fresh[159] == 1_000);
        // A few samples only: they fade instead of breaking off.
        let mut heard = vec![5_000; 10];
        Concealer::new(8_000).extend(&mut heard, 160);
        assert!(steepest(&heard) < 200, "{}", steepest(&heard));
    }
}
