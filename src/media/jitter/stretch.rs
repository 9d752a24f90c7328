//! Time stretching by whole periods: speech gets shorter or longer without a change of pitch.
//!
//! ```text
//! shorten:   x x x│p p p p│q q q q│y y     one period fades into the next ...
//!            x x x│p→q ...│y y             ... and only their blend is played
//! lengthen:  x x x│p p p p│q q q q│y y     after one period, the way back to its start ...
//!            x x x│p p p p│q→p ...│q q q q│y y    ... is blended in, and it is played twice
//! ```

use super::pitch::{best_lag, blend, is_silent, period_range};

/// Which cuts are good enough, 0.0 to 1.0 of likeness: the more urgent, the lower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Likeness(pub(super) f32);

/// Removes up to `most` samples of `audio` behind `from`, where it repeats itself; tells how many.
pub(super) fn shorten(audio: &mut Vec<i16>, from: usize, most: usize, rate: usize, enough: Likeness) -> usize {
    let Some((lag, overlap)) = cut(audio, from, most, rate, enough) else { return 0 };
    if let Some((here, later)) = audio.get_mut(from..).and_then(|audio| audio.split_at_mut_checked(lag)) {
        for (n, (later, &here)) in later.iter_mut().zip(&*here).take(overlap).enumerate() {
            *later = blend(here, *later, n + 1, overlap + 1);
        }
    }
    audio.drain(from..from + lag);
    lag
}

/// Repeats about `most` samples of `audio` behind `from`, where it repeats itself; tells how many. Allocates only while
/// `audio` still grows.
pub(super) fn lengthen(audio: &mut Vec<i16>, from: usize, most: usize, rate: usize, enough: Likeness) -> usize {
    // A bit more than wanted does no harm; less than a short period cannot be had.
    let Some((lag, overlap)) = cut(audio, from, most.max(rate / 200), rate, enough) else { return 0 };
    let (again, end) = (from + lag, audio.len());
    audio.resize(end + lag, 0);
    audio.copy_within(again..end, again + lag);
    let parts = audio.get_mut(from..).and_then(|audio| audio.split_at_mut_checked(lag));
    if let Some((before, (copy, rest))) =
        parts.and_then(|(before, behind)| Some((before, behind.split_at_mut_checked(lag)?)))
    {
        copy.copy_from_slice(before);
        for (n, (copy, &rest)) in copy.iter_mut().zip(&*rest).take(overlap).enumerate() {
            *copy = blend(rest, *copy, n + 1, overlap + 1);
        }
    }
    lag
}

/// Where to cut: a lag, and how many samples to blend (at most the lag).
fn cut(audio: &[i16], from: usize, most: usize, rate: usize, enough: Likeness) -> Option<(usize, usize)> {
    let (shortest, longest) = period_range(rate);
    let fade = shortest;
    let room = audio.len().checked_sub(from)?;
    if most < shortest || room < shortest + fade {
        return None;
    }
    if is_silent(audio.get(from..)?) {
        return Some((most.min(room - fade), fade));
    }
    let window = (room / 2).min(rate / 100);
    let (lag, alike) = best_lag(audio, from, (shortest, longest.min(most).min(room - fade)), window, rate)?;
    (alike >= enough.0).then(|| (lag, lag.min(room - lag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Likeness = Likeness(0.85);

    fn tone(rate: usize, hertz: f64, samples: usize) -> Vec<i16> {
        let step = hertz * std::f64::consts::TAU / rate as f64;
        (0..samples).map(|n| ((n as f64 * step).sin() * 10_000.0) as i16).collect()
    }

    fn steepest(audio: &[i16]) -> i32 {
        audio.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap()
    }

    #[test]
    fn a_tone_gets_shorter_and_longer_without_a_click() {
        for (rate, hertz) in [(8_000, 150.0), (8_000, 317.0), (48_000, 203.0), (48_000, 440.0)] {
            let original = tone(rate, hertz, rate / 20);
            let limit = steepest(&original) * 11 / 10 + 2;
            let from = rate / 100;
            let mut audio = original.clone();
            let removed = shorten(&mut audio, from, rate / 80, rate, GOOD);
            assert!(removed >= rate / 400 && removed <= rate / 80, "{rate} {hertz}: removed {removed}");
            assert_eq!(audio.len(), original.len() - removed);
            assert!(steepest(&audio) <= limit, "{rate} {hertz}: a step of {}", steepest(&audio));
            assert_eq!(audio[..from], original[..from]);
            let mut audio = original.clone();
            let added = lengthen(&mut audio, from, rate / 80, rate, GOOD);
            assert!(added >= rate / 400, "{rate} {hertz}: added {added}");
            assert_eq!(audio.len(), original.len() + added);
            assert!(steepest(&audio) <= limit, "{rate} {hertz}: a step of {}", steepest(&audio));
            assert_eq!(audio[..from + added], original[..from + added]);
            assert_eq!(audio[audio.len() - 5..], original[original.len() - 5..]);
        }
    }

    #[test]
    fn silence_gives_way_at_once_and_noise_does_not() {
        let mut audio = vec![3; 320];
        assert_eq!(shorten(&mut audio, 0, 200, 8_000, GOOD), 200);
        assert_eq!(audio.len(), 120);
        assert_eq!(lengthen(&mut audio, 0, 50, 8_000, GOOD), 50);
        assert_eq!(audio.len(), 170);
        let mut random = crate::random::Random::from_seed(2);
        let mut noise: Vec<i16> = (0..320).map(|_| (random.u32() >> 18) as i16 - 8_192).collect();
        assert_eq!(shorten(&mut noise, 0, 200, 8_000, GOOD), 0);
        assert!(shorten(&mut noise, 0, 200, 8_000, Likeness(-1.0)) > 0);
    }

    #[test]
    fn nothing_is_cut_from_too_little() {
        let mut audio = tone(8_000, 200.0, 30);
        assert_eq!(shorten(&mut audio, 0, 100, 8_000, GOOD), 0);
        assert_eq!(shorten(&mut audio, 40, 100, 8_000, GOOD), 0);
        assert_eq!(lengthen(&mut audio, 0, 100, 8_000, GOOD), 0);
        let mut audio = tone(8_000, 200.0, 160);
        assert_eq!(shorten(&mut audio, 0, 10, 8_000, GOOD), 0, "less than the shortest period");
    }
}
