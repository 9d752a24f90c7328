//! Each stage proven by numbers, on speech that is made here: voiced syllables with pauses between them.

use super::*;

const SECOND: usize = RATE as usize;

/// Random numbers in -1.0..1.0 that are the same each time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

/// `seconds` of a voice: pulses of a larynx at about `pitch` Hz and some breath through three resonances that move from
/// syllable to syllable, with pauses. At about `amplitude`, of full scale.
fn speech(seconds: usize, pitch: f64, amplitude: f64, seed: u64) -> Vec<f64> {
    let mut chance = Chance(seed);
    let mut out = vec![0.0; seconds * SECOND];
    let (mut at, mut phase) = (SECOND / 10, 0.0);
    while at < out.len() {
        let length = ((0.16 + 0.06 * chance.next()) * RATE as f64) as usize;
        let tone = pitch * (1.0 + 0.15 * chance.next());
        let formants =
            [500.0 + 250.0 * chance.next(), 1_500.0 + 500.0 * chance.next(), 2_600.0 + 300.0 * chance.next()];
        let mut states = [[0.0_f64; 2]; 3];
        for n in 0..length.min(out.len() - at) {
            phase += tone / RATE as f64;
            let pulse = if phase >= 1.0 {
                phase -= 1.0;
                1.0
            } else {
                0.0
            };
            let driven = pulse + 0.003 * chance.next();
            let envelope = (std::f64::consts::PI * n as f64 / length as f64).sin();
            let mut heard = 0.0;
            for (hz, state) in formants.iter().zip(&mut states) {
                let (turn, radius) = (std::f64::consts::TAU * hz / RATE as f64, 0.99_f64);
                let next = driven + 2.0 * radius * turn.cos() * state[0] - radius * radius * state[1];
                *state = [next, state[0]];
                heard += next * turn.sin();
            }
            out[at + n] = envelope * heard;
        }
        at += length + ((0.09 + 0.08 * chance.next()) * RATE as f64) as usize;
        if chance.next() > 0.8 {
            at += SECOND / 2;
        }
    }
    let peak = out.iter().fold(0.0_f64, |peak, value| peak.max(value.abs())).max(1e-9);
    out.iter_mut().for_each(|value| *value *= amplitude / peak);
    out
}

fn noise(seconds: usize, rms: f64) -> Vec<f64> {
    let mut chance = Chance(7);
    (0..seconds * SECOND).map(|_| chance.next() * rms * 3f64.sqrt()).collect()
}

fn sum(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(one, other)| one + other).collect()
}

/// What a room of 60 ms reverberation returns of `far`, 87 ms late (buffers and air) and 9 dB softer.
fn echo_of(far: &[f64]) -> Vec<f64> {
    let mut chance = Chance(99);
    let taps: Vec<(usize, f64)> = (0..60)
        .map(|tap| (SECOND * 87 / 1_000 + tap * SECOND / 1_000, 0.35 * (-0.1 * tap as f64).exp() * chance.next()))
        .collect();
    (0..far.len())
        .map(|n| taps.iter().map(|(late, gain)| if n >= *late { far[n - late] * gain } else { 0.0 }).sum())
        .collect()
}

/// What the far end gets when the microphone hears `near` while the loudspeaker plays `far`.
fn through(options: VoiceOptions, near: &[f64], far: &[f64]) -> Vec<f64> {
    let mut voice = Voice::new(options);
    let frame_of = |samples: &[f64]| {
        let mut frame = [0; FRAME];
        for (sample, value) in frame.iter_mut().zip(samples) {
            *sample = (value * 32_767.0) as i16;
        }
        frame
    };
    let mut out = Vec::new();
    for (near, far) in near.chunks_exact(FRAME).zip(far.chunks_exact(FRAME)) {
        voice.played(&frame_of(far));
        let mut frame = frame_of(near);
        voice.recorded(&mut frame);
        out.extend(frame.iter().map(|sample| f64::from(*sample) / 32_768.0));
    }
    out
}

fn power(samples: &[f64]) -> f64 {
    samples.iter().map(|value| value * value).sum::<f64>() / samples.len().max(1) as f64
}

fn db(ratio: f64) -> f64 {
    10.0 * ratio.max(1e-12).log10()
}

/// How like `wanted` the sound `heard` is, 0 to 1, by the loudness of 10 ms pieces in three bands: what a suppressor that
/// eats syllables lowers, and a delay of its own does not.
fn likeness(wanted: &[f64], heard: &[f64]) -> f64 {
    let bands = |samples: &[f64]| {
        let mut loud = Vec::new();
        for low in [300.0, 1_000.0, 2_000.0] {
            let turn = std::f64::consts::TAU * low * 1.4 / RATE as f64;
            let mut state = [0.0_f64; 2];
            for piece in samples.chunks_exact(FRAME) {
                let mut sum = 0.0;
                for value in piece {
                    let next = value + 1.9 * turn.cos() * state[0] - 0.9025 * state[1];
                    state = [next, state[0]];
                    sum += next * next;
                }
                loud.push(sum.sqrt());
            }
        }
        loud
    };
    let (one, two) = (bands(wanted), bands(heard));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_one, mean_two) = (mean(&one), mean(&two));
    let (mut both, mut first, mut second) = (0.0, 0.0, 0.0);
    for (a, b) in one.iter().zip(&two) {
        both += (a - mean_one) * (b - mean_two);
        first += (a - mean_one).powi(2);
        second += (b - mean_two).powi(2);
    }
    both / (first * second).sqrt()
}

#[test]
fn an_echo_is_gone_by_thirty_decibels_and_the_near_voice_is_kept() {
    let mut far = speech(14, 110.0, 0.5, 3);
    far[11 * SECOND..].fill(0.0);
    let echo = echo_of(&far);
    let options = VoiceOptions { echo_cancellation: true, ..VoiceOptions::default() };
    let alone = through(options, &echo, &far);
    let alone_at = 4 * SECOND..11 * SECOND;
    let erle = db(power(&echo[alone_at.clone()]) / power(&alone[alone_at]));
    // Both speak from the seventh to the eleventh second, then the near end alone.
    let mut near = speech(14, 190.0, 0.3, 11);
    near[..7 * SECOND].fill(0.0);
    let both = through(options, &sum(&near, &echo), &far);
    let mut kept = Vec::new();
    for (part, least) in [(7 * SECOND..11 * SECOND, 0.7), (11 * SECOND + SECOND / 2..14 * SECOND, 0.95)] {
        let (wanted, heard) = (&near[part.clone()], &both[part]);
        let (alike, level) = (likeness(wanted, heard), db(power(heard) / power(wanted)));
        kept.push((alike, level, least));
    }
    println!("ERLE {erle:.1} dB; near voice (likeness, level in dB, bar) with the far one and alone: {kept:.3?}");
    assert!(erle >= 30.0, "{erle:.1} dB");
    for (alike, level, least) in kept {
        assert!(alike > least, "{alike:.3} of the near voice is left");
        assert!((-6.0..2.0).contains(&level), "the near voice is {level:.1} dB off");
    }
}

#[test]
fn noise_goes_down_by_twelve_decibels_and_speech_does_not() {
    let clean = speech(10, 130.0, 0.4, 5);
    let loud = noise(10, 0.01);
    let options = VoiceOptions { noise_suppression: true, ..VoiceOptions::default() };
    let silence = vec![0.0; clean.len()];
    let heard = through(options, &sum(&clean, &loud), &silence);
    // In its pauses there is only noise; it is 10 ms late.
    let is_pause =
        |n: &usize| clean[n.saturating_sub(960)..(*n + FRAME + 960).min(clean.len())].iter().all(|v| *v == 0.0);
    let starts = || (4 * SECOND..clean.len() - FRAME).step_by(FRAME);
    let mean = |of: &[f64], pause: bool| {
        let pieces: Vec<f64> = starts().filter(|n| is_pause(n) == pause).map(|n| power(&of[n..n + FRAME])).collect();
        pieces.iter().sum::<f64>() / pieces.len() as f64
    };
    let noisy = sum(&clean, &loud);
    let (before, after) = (db(mean(&noisy, false) / mean(&noisy, true)), db(mean(&heard, false) / mean(&heard, true)));
    let kept = likeness(&clean[4 * SECOND..], &heard[4 * SECOND..]);
    println!("speech to noise {before:.1} dB before, {after:.1} dB after; likeness to the clean voice {kept:.3}");
    assert!(after - before > 12.0, "{before:.1} to {after:.1} dB");
    assert!(kept > 0.9, "{kept:.3}");
}

#[test]
fn soft_and_loud_speakers_come_to_levels_that_are_near_each_other() {
    let options = VoiceOptions { automatic_gain: true, ..VoiceOptions::default() };
    let levels: Vec<f64> = [0.02, 0.1, 0.5]
        .into_iter()
        .map(|amplitude| {
            let near = speech(16, 130.0, amplitude, 5);
            let heard = through(options, &near, &vec![0.0; near.len()]);
            let peak = heard[10 * SECOND..].iter().fold(0.0_f64, |peak, value| peak.max(value.abs()));
            let level = db(power(&heard[10 * SECOND..]));
            println!("a peak of {:.1} dBFS becomes {:.1}, RMS {level:.1}", 2.0 * db(amplitude), 2.0 * db(peak));
            assert!(peak < 1.0, "it clips");
            level
        })
        .collect();
    let spread = levels.iter().fold(f64::MIN, |a, b| a.max(*b)) - levels.iter().fold(f64::MAX, |a, b| a.min(*b));
    // 28 dB lie between the speakers.
    assert!(spread < 9.0, "{spread:.1} dB between them still: {levels:.1?}");
    assert!(levels.iter().all(|level| (-35.0..-12.0).contains(level)), "{levels:.1?}");
}

#[test]
fn what_is_played_is_found_on_the_bus_at_any_rate_and_the_thread_ends_with_the_microphone() {
    let bus = Bus::default();
    let (mut callback, microphone) = rtrb::RingBuffer::new(SECOND);
    let (clean, mut worker) = rtrb::RingBuffer::new(SECOND);
    let converter = Converter::fixed(16_000, RATE).unwrap();
    let overruns = Count::default();
    let options = VoiceOptions { noise_suppression: true, echo_cancellation: true, ..VoiceOptions::default() };
    bus.set_rate(44_100);
    start(options, Ends { microphone, converter, played: bus.clone(), clean, overruns: overruns.clone() }).unwrap();
    for _ in 0..20 {
        bus.write((0..441).map(|_| 0));
        callback.push_entire_slice(&[500; 160]).unwrap();
    }
    // The delay of the converter's filter, and what does not fill a frame.
    while worker.slots() < 17 * FRAME {
        thread::yield_now();
    }
    drop(callback);
    while !worker.is_abandoned() {
        thread::yield_now();
    }
    assert_eq!(overruns.read(), 0);
    assert_eq!(worker.read_chunk(FRAME).map(|chunk| chunk.len()), Ok(FRAME));
}
