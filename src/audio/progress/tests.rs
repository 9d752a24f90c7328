use super::*;

const RATE: u32 = 8_000;

fn play(tone: Progress, country: &str, seconds: f64) -> Vec<i16> {
    let mut out = vec![0; (seconds * f64::from(RATE)) as usize];
    ProgressTone::new(tone, country.parse().unwrap(), RATE).read(&mut out);
    out
}

/// On and off in turn as they are heard, ms.
fn cadence(samples: &[i16]) -> Vec<i32> {
    let mut turns: Vec<(bool, i32)> = Vec::new();
    for piece in samples.chunks_exact(RATE as usize / 200) {
        let loud = piece.iter().any(|sample| sample.unsigned_abs() > 1_000);
        match turns.last_mut() {
            Some((was, millis)) if *was == loud => *millis += 5,
            _ => turns.push((loud, 5)),
        }
    }
    turns.into_iter().map(|(_, millis)| millis).collect()
}

/// Amplitude of `hz`, of full scale.
fn level(samples: &[i16], hz: f64) -> f64 {
    let step = TAU * hz / f64::from(RATE);
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        re += f64::from(sample) * (step * n as f64).cos();
        im += f64::from(sample) * (step * n as f64).sin();
    }
    2.0 * re.hypot(im) / samples.len() as f64 / 32_768.0
}

fn near(heard: &[i32], wanted: &[u16]) {
    for (heard, wanted) in heard.iter().zip(wanted) {
        assert!((heard - i32::from(*wanted)).abs() <= 10, "{heard} ms instead of {wanted}: {heard:?}");
    }
}

#[test]
fn every_tone_of_every_country_keeps_its_cadence_and_its_frequencies() {
    for country in Country::all() {
        for tone in [Progress::Dial, Progress::RingBack, Progress::Busy, Progress::Congestion, Progress::Waiting] {
            let Pattern { sound, cadence: wanted } = country.pattern(tone);
            let cycle: u32 = wanted.iter().map(|millis| u32::from(*millis)).sum();
            let seconds = if cycle == 0 { 2.0 } else { 2.0 * f64::from(cycle) / 1_000.0 };
            let heard = play(tone, country.code(), seconds);
            let name = format!("{country} {tone}");
            if cycle > 0 && matches!(sound, Sound::Sum(_)) {
                let heard = cadence(&heard);
                assert!(heard.len() >= 2 * wanted.len() - 1, "{name}: {heard:?}");
                let twice: Vec<u16> = wanted.iter().chain(wanted).copied().collect();
                near(&heard, &twice);
            }
            let first = wanted.first().map_or(1_000, |millis| usize::from(*millis));
            let on = &heard[RATE as usize / 200..RATE as usize * first / 1_000 - RATE as usize / 200];
            let mut power: f64 = on.iter().map(|s| (f64::from(*s) / 32_768.0).powi(2)).sum::<f64>() / on.len() as f64;
            let parts: Vec<f64> = match sound {
                Sound::Sum(parts) => parts.to_vec(),
                Sound::Swung(hz, _) => vec![hz],
            };
            // Too short a stretch tells two frequencies that are near each other not apart.
            if on.len() >= RATE as usize / 10 {
                for hz in &parts {
                    let amplitude = level(on, *hz);
                    let share = LOUD / parts.len() as f64 * if matches!(sound, Sound::Swung(..)) { 0.5 } else { 1.0 };
                    assert!((amplitude / share - 1.0).abs() < 0.35, "{name}: {hz} Hz at {amplitude}, not {share}");
                    power -= amplitude * amplitude / 2.0;
                }
                assert!(power.abs() < LOUD * LOUD / 6.0, "{name}: {power} beside its frequencies");
            }
        }
    }
    assert!(Country::all().count() > 15);
}

#[test]
fn tones_that_anybody_knows_sound_as_they_do() {
    near(&cadence(&play(Progress::RingBack, "us", 12.0)), &[2_000, 4_000, 2_000, 4_000]);
    near(&cadence(&play(Progress::RingBack, "gb", 6.0)), &[400, 200, 400, 2_000, 400, 200, 400, 2_000]);
    near(&cadence(&play(Progress::Busy, "DE", 2.0)), &[480, 480, 480, 480]);
    let busy = &play(Progress::Busy, "us", 1.0)[..4_000];
    assert!(level(busy, 480.0) > 0.13 && level(busy, 620.0) > 0.13 && level(busy, 425.0) < 0.02);
    let swung = play(Progress::Dial, "in", 1.0);
    // The swing shows as two bands beside the tone, each half as strong.
    for hz in [375.0, 425.0] {
        assert!((level(&swung, hz) / level(&swung, 400.0) - 0.5).abs() < 0.02);
    }
}

#[test]
fn the_special_information_tone_climbs_and_the_bell_warbles() {
    let heard = play(Progress::SpecialInformation, "fr", 3.98);
    for cycle in heard.chunks_exact(RATE as usize * 199 / 100) {
        for (part, hz) in cycle.chunks_exact(RATE as usize * 33 / 100).zip(SPECIAL) {
            assert!(level(part, hz) > 0.9 * LOUD, "{hz}");
        }
        assert!(cycle[RATE as usize..].iter().all(|sample| *sample == 0));
    }
    let bell = play(Progress::Ring, "gb", 3.0);
    near(&cadence(&bell), &[400, 200, 400, 2_000]);
    assert!(level(&bell[..400], 800.0) > 0.25 && level(&bell[400..800], 1_000.0) > 0.25);
}

#[test]
fn it_goes_on_where_it_was_at_another_rate_and_allocates_nothing() {
    let mut tone = ProgressTone::new(Progress::Busy, Country::default(), 8_000);
    let mut out = [0; 8_000];
    let info = allocation_counter::measure(|| tone.read(&mut out[..3_200]));
    assert_eq!(info.count_total, 0);
    tone.set_rate(16_000);
    // 400 ms are over: 100 ms of the tone are left, then half a second of silence.
    tone.read(&mut out);
    assert!(out[..1_500].iter().any(|sample| *sample > 8_000) && out[1_700..7_900].iter().all(|sample| *sample == 0));
}

#[test]
fn what_is_not_known_is_told_with_what_is() {
    assert_eq!("uk".parse::<Country>().unwrap().code(), "gb");
    assert_eq!("ITU".parse::<Country>(), Ok(Country::default()));
    let error = "xx".parse::<Country>().unwrap_err().to_string();
    assert!(error.contains("\"xx\"") && error.contains("de, ") && error.contains("itu"), "{error}");
    for tone in Progress::ALL {
        assert_eq!(tone.to_string().parse(), Ok(tone));
    }
    assert!("beep".parse::<Progress>().unwrap_err().to_string().contains("ringback"));
}
