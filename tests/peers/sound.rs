//! Is the speech that was heard the speech that was sent?

use rustfft::FftPlanner;
use rustfft::num_complex::Complex;
use std::path::Path;

/// One channel of a recording.
#[derive(Clone)]
pub struct Sound {
    pub rate: u32,
    pub samples: Vec<f32>,
}

impl Sound {
    /// Channel `channel` of a 16-bit WAV file.
    pub fn read(path: impl AsRef<Path>, channel: usize) -> Self {
        let path = path.as_ref();
        let mut reader = hound::WavReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let spec = reader.spec();
        let samples = reader
            .samples::<i16>()
            .map(|sample| f32::from(sample.expect("a sample")) / 32_768.0)
            .skip(channel)
            .step_by(spec.channels as usize)
            .collect();
        Self { rate: spec.sample_rate, samples }
    }

    /// Writes it as a 16-bit WAV file.
    pub fn write(&self, path: impl AsRef<Path>) {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: self.rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(path, spec).expect("a WAV file");
        for sample in &self.samples {
            writer.write_sample((sample * 32_767.0).clamp(-32_768.0, 32_767.0) as i16).expect("room on the disk");
        }
        writer.finalize().expect("room on the disk");
    }

    /// The same sound at another rate: its spectrum cut or padded.
    pub fn at_rate(&self, rate: u32) -> Self {
        if rate == self.rate {
            return self.clone();
        }
        let length = self.samples.len();
        let target = (length as u64 * u64::from(rate) / u64::from(self.rate)) as usize;
        let spectrum = transform(&self.samples, length);
        let mut cut = vec![Complex::new(0.0, 0.0); target];
        let half = length.min(target) / 2;
        cut[..half].copy_from_slice(&spectrum[..half]);
        for bin in 1..half {
            cut[target - bin] = spectrum[length - bin];
        }
        FftPlanner::new().plan_fft_inverse(target).process(&mut cut);
        Self { rate, samples: cut.iter().map(|value| value.re / length as f32).collect() }
    }

    /// Root mean square, 1.0 being full scale.
    pub fn level(&self) -> f32 {
        level(&self.samples)
    }

    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }

    /// Share of the energy within `width` Hz of `frequency`.
    pub fn share_of_tone(&self, frequency: f32, width: f32) -> f32 {
        let length = self.samples.len();
        let spectrum = transform(&self.samples, length);
        let energy = |range: std::ops::Range<usize>| spectrum[range].iter().map(Complex::norm_sqr).sum::<f32>();
        let bin = |hertz: f32| ((hertz * length as f32 / self.rate as f32) as usize).min(length / 2);
        energy(bin(frequency - width)..bin(frequency + width) + 1) / energy(1..length / 2).max(f32::MIN_POSITIVE)
    }
}

/// How much alike `sent` and `heard` are once aligned.
#[derive(Clone, Copy, Debug)]
pub struct Likeness {
    /// Pearson correlation of the wave forms, band-limited to 8 kHz sampling.
    pub waveform: f32,
    /// Pearson correlation of log energies in 20 ms frames and 16 bands.
    pub spectrum: f32,
    /// Where `sent` starts in `heard`, seconds (negative: its start was not heard).
    pub offset: f64,
    /// How much `heard` was stretched or shortened in all, seconds.
    pub moved: f64,
    /// Share of `sent` that `heard` covers.
    pub covered: f32,
}

/// Compares two sounds. `heard` may start late, end early and hold more.
///
/// Aligned piece by piece, for a jitter buffer that adapts moves what follows; `moved` tells by how much, and the caller
/// judges whether the network gave it reason to.
pub fn likeness(sent: &Sound, heard: &Sound) -> Likeness {
    const PIECE: usize = 4_000;
    const REACH: isize = 800;
    let (sent, heard) = (sent.at_rate(8_000).samples, heard.at_rate(8_000).samples);
    let offset = best_offset(&sent, &heard);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let (mut moved, mut all) = (offset, 0);
    for (number, piece) in sent.chunks(PIECE).enumerate() {
        let start = (number * PIECE) as isize;
        let from = (start + moved - REACH).max(0) as usize;
        let to = ((start + moved + REACH) as usize + piece.len()).min(heard.len());
        if from + piece.len() > to {
            continue;
        }
        // Only a piece with speech in it can be found again.
        if level(piece) > 0.01 {
            let found = from as isize + best_offset(piece, &heard[from..to]) - start;
            if (found - moved).abs() <= REACH {
                all += (found - moved).abs();
                moved = found;
            }
        }
        for (at, sample) in piece.iter().enumerate() {
            if let Some(other) = usize::try_from(start + moved + at as isize).ok().and_then(|at| heard.get(at)) {
                a.push(*sample);
                b.push(*other);
            }
        }
    }
    Likeness {
        waveform: pearson(&a, &b),
        spectrum: pearson(&bands(&a), &bands(&b)),
        offset: offset as f64 / 8_000.0,
        moved: all as f64 / 8_000.0,
        covered: a.len() as f32 / sent.len().max(1) as f32,
    }
}

/// The shift of `heard` against `sent` with the highest cross-correlation, samples.
fn best_offset(sent: &[f32], heard: &[f32]) -> isize {
    let length = (sent.len() + heard.len()).next_power_of_two();
    let (a, mut b) = (transform(sent, length), transform(heard, length));
    for (there, here) in b.iter_mut().zip(&a) {
        *there *= here.conj();
    }
    FftPlanner::new().plan_fft_inverse(length).process(&mut b);
    let best = b.iter().enumerate().max_by(|x, y| x.1.re.total_cmp(&y.1.re)).map_or(0, |(at, _)| at);
    if best < heard.len() { best as isize } else { best as isize - length as isize }
}

fn level(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}

fn transform(samples: &[f32], length: usize) -> Vec<Complex<f32>> {
    let mut buffer: Vec<_> = samples.iter().map(|sample| Complex::new(*sample, 0.0)).collect();
    buffer.resize(length, Complex::new(0.0, 0.0));
    FftPlanner::new().plan_fft_forward(length).process(&mut buffer);
    buffer
}

fn bands(samples: &[f32]) -> Vec<f32> {
    const FRAME: usize = 160;
    const BANDS: usize = 16;
    samples
        .chunks_exact(FRAME)
        .flat_map(|frame| {
            let spectrum = transform(frame, FRAME);
            (0..BANDS).map(move |band| {
                let width = FRAME / 2 / BANDS;
                let energy: f32 =
                    spectrum[1 + band * width..1 + (band + 1) * width].iter().map(Complex::norm_sqr).sum();
                // Below the floor only quantisation noise differs.
                (energy + 1e-2).ln()
            })
        })
        .collect()
}

fn pearson(a: &[f32], b: &[f32]) -> f32 {
    let count = a.len().max(1) as f32;
    let (mean_a, mean_b) = (a.iter().sum::<f32>() / count, b.iter().sum::<f32>() / count);
    let (mut product, mut square_a, mut square_b) = (0.0f64, 0.0f64, 0.0f64);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (f64::from(x - mean_a), f64::from(y - mean_b));
        product += x * y;
        square_a += x * x;
        square_b += y * y;
    }
    (product / (square_a * square_b).sqrt().max(f64::MIN_POSITIVE)) as f32
}

#[test]
fn likeness_tells_speech_from_other_speech() {
    let caller = Sound::read(crate::sidetone::fixture("caller.wav"), 0);
    let answerer = Sound::read(crate::sidetone::fixture("answerer.wav"), 0);
    let mut late = caller.clone();
    late.samples.splice(0..0, vec![0.0; 4_000]);
    let same = likeness(&caller, &late);
    assert!(same.waveform > 0.99 && same.spectrum > 0.99 && (same.offset - 0.25).abs() < 0.001, "{same:?}");
    let mut stretched = caller.clone();
    stretched.samples.splice(40_000..40_000, vec![0.0; 320]);
    let moved = likeness(&caller, &stretched);
    assert!(moved.waveform > 0.95 && (moved.moved - 0.02).abs() < 0.001, "{moved:?}");
    assert_eq!(likeness(&caller, &caller).moved, 0.0);
    let other = likeness(&caller, &answerer);
    assert!(other.waveform < 0.3 && other.spectrum < 0.6, "{other:?}");
}
