//! DTMF tones in audio: heard as ITU-T Q.24 wants it, and never in speech.

use sidetone::media::dtmf::{Detector, Digit, Tones};
use sidetone::random::Random;
use sidetone::time::Duration;
use std::f64::consts::TAU;
use std::path::Path;

const KEYS: [(char, f64, f64); 16] = [
    ('1', 697.0, 1_209.0),
    ('2', 697.0, 1_336.0),
    ('3', 697.0, 1_477.0),
    ('A', 697.0, 1_633.0),
    ('4', 770.0, 1_209.0),
    ('5', 770.0, 1_336.0),
    ('6', 770.0, 1_477.0),
    ('B', 770.0, 1_633.0),
    ('7', 852.0, 1_209.0),
    ('8', 852.0, 1_336.0),
    ('9', 852.0, 1_477.0),
    ('C', 852.0, 1_633.0),
    ('*', 941.0, 1_209.0),
    ('0', 941.0, 1_336.0),
    ('#', 941.0, 1_477.0),
    ('D', 941.0, 1_633.0),
];

/// A tone pair of these peaks and lengths among silence.
struct Press {
    low: f64,
    high: f64,
    low_peak: f64,
    high_peak: f64,
    sounds: Duration,
    rate: u32,
}

impl Press {
    fn of(key: char) -> Self {
        let (_, low, high) = KEYS.into_iter().find(|(name, ..)| *name == key).unwrap();
        let sounds = Duration::from_millis(50);
        Self { low, high, low_peak: 5_000.0, high_peak: 5_000.0, sounds, rate: 8_000 }
    }

    /// What a detector hears of it, at every alignment of its blocks.
    fn heard(&self) -> Vec<String> {
        (0..102).step_by(17).map(|offset| hear(&self.audio(offset), self.rate)).collect()
    }

    fn audio(&self, offset: usize) -> Vec<i16> {
        let mut audio = vec![0; 800 + offset];
        let samples = (self.sounds.as_secs_f64() * f64::from(self.rate)) as usize;
        for n in 0..samples {
            let t = n as f64 / f64::from(self.rate);
            let tone = self.low_peak * (TAU * self.low * t).sin() + self.high_peak * (TAU * self.high * t).sin();
            audio.push(tone as i16);
        }
        audio.extend(vec![0; self.rate as usize / 5]);
        audio
    }
}

fn hear(audio: &[i16], rate: u32) -> String {
    let mut detector = Detector::new(rate);
    for piece in audio.chunks(160) {
        detector.hear(piece);
    }
    std::iter::from_fn(|| detector.poll()).map(|(digit, _)| digit.character()).collect()
}

#[test]
fn every_key_at_every_rate_wherever_it_begins() {
    for (key, ..) in KEYS {
        for rate in [8_000, 16_000, 48_000] {
            let heard = Press { rate, ..Press::of(key) }.heard();
            assert!(heard.iter().all(|text| *text == key.to_string()), "{key} at {rate}: {heard:?}");
        }
    }
}

#[test]
fn short_soft_and_detuned_tones_are_heard_and_strange_ones_are_not() {
    let short = Press { sounds: Duration::from_millis(40), ..Press::of('5') };
    assert!(short.heard().iter().all(|text| text == "5"), "40 ms: {:?}", short.heard());
    let brief = Press { sounds: Duration::from_millis(18), ..Press::of('5') };
    assert!(brief.heard().iter().all(String::is_empty), "18 ms are no digit: {:?}", brief.heard());
    let soft = Press { low_peak: 200.0, high_peak: 200.0, ..Press::of('0') };
    assert!(soft.heard().iter().all(|text| text == "0"), "soft: {:?}", soft.heard());
    for (key, ..) in KEYS {
        for factor in [0.985, 1.015] {
            let press = Press::of(key);
            let press = Press { low: press.low * factor, high: press.high * factor, ..press };
            assert!(press.heard().iter().all(|text| *text == key.to_string()), "{key} * {factor}: {:?}", press.heard());
        }
        let press = Press::of(key);
        let off = Press { low: press.low * 1.035, high: press.high * 1.035, ..press };
        assert!(off.heard().iter().all(String::is_empty), "{key} detuned by 3.5 %: {:?}", off.heard());
    }
}

#[test]
fn twist_is_borne_within_limits() {
    // High over low, dB: ITU-T Q.24 (AT&T): 4 dB, and 8 dB the other way.
    for (twist, heard) in [(-8.0, "7"), (-4.0, "7"), (3.9, "7"), (-14.0, ""), (9.0, "")] {
        let ratio = 10f64.powf(twist / 20.0);
        let (low_peak, high_peak) = if ratio > 1.0 { (5_000.0 / ratio, 5_000.0) } else { (5_000.0, 5_000.0 * ratio) };
        let press = Press { low_peak, high_peak, ..Press::of('7') };
        assert!(press.heard().iter().all(|text| text == heard), "{twist} dB: {:?}", press.heard());
    }
}

#[test]
fn a_pause_makes_two_digits_and_a_drop_out_does_not() {
    let press = Press { sounds: Duration::from_millis(80), ..Press::of('4') };
    let tone: Vec<i16> = press.audio(0)[800..800 + 640].to_vec();
    let join = |pause: usize| [tone.clone(), vec![0; pause], tone.clone(), vec![0; 1_600]].concat();
    assert_eq!(hear(&join(400), 8_000), "44");
    assert_eq!(hear(&join(40), 8_000), "4", "5 ms: a lost packet's concealment");
}

#[test]
fn noise_below_a_tone_is_borne_and_noise_alone_is_nothing() {
    let mut random = Random::from_seed(7);
    let mut noise = |peak: f64| (peak * (2.0 * random.unit() - 1.0)) as i16;
    let press = Press::of('9');
    let with: Vec<i16> = press.audio(0).iter().map(|sample| sample.saturating_add(noise(900.0))).collect();
    assert_eq!(hear(&with, 8_000), "9");
    let alone: Vec<i16> = (0..8_000 * 60).map(|_| noise(8_000.0)).collect();
    assert_eq!(hear(&alone, 8_000), "");
}

fn speech(name: &str) -> (Vec<i16>, u32) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    let mut reader = hound::WavReader::open(path).unwrap();
    let rate = reader.spec().sample_rate;
    (reader.samples::<i16>().map(Result::unwrap).collect(), rate)
}

#[test]
fn no_digit_is_heard_in_speech() {
    for name in ["caller.wav", "answerer.wav"] {
        let (audio, rate) = speech(name);
        // As it is, at other paces and pitches (voices of all kinds), softer and clipped.
        for (number, gain) in [(16_000, 1.0), (8_000, 1.0), (16_000, 0.1), (16_000, 8.0)] {
            let changed: Vec<i16> = audio.iter().map(|sample| (f64::from(*sample) * gain) as i16).collect();
            assert_eq!(hear(&changed, number), "", "{name} at {number} of {rate} Hz, gain {gain}");
        }
        for percent in (60..=160).step_by(4) {
            let step = f64::from(percent) / 100.0;
            let changed: Vec<i16> = (0..).map_while(|n| audio.get((f64::from(n) * step) as usize).copied()).collect();
            assert_eq!(hear(&changed, rate), "", "{name} at {percent} % of its pitch");
        }
    }
}

#[test]
fn what_we_make_is_what_we_hear() {
    for rate in [8_000, 48_000] {
        let mut tones = Tones::new(Duration::from_millis(100), Duration::from_millis(50));
        let keys = "159D*0#";
        assert!(Digit::all(keys).unwrap().into_iter().all(|digit| tones.push(digit)));
        let (mut audio, mut sent) = (Vec::new(), String::new());
        while tones.is_busy() {
            let mut piece = vec![777; rate as usize / 50];
            sent.extend(tones.write(&mut piece, rate).map(Digit::character));
            audio.extend(piece);
        }
        audio.extend(vec![0; rate as usize / 10]);
        assert_eq!((hear(&audio, rate).as_str(), sent.as_str()), (keys, keys), "{rate} Hz");
        assert!(audio.iter().all(|sample| sample.unsigned_abs() < 12_000), "no clipping");
    }
}
