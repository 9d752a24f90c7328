//! A WAV file as a stream of mono samples at the rate of a call.

use super::rate::{Converter, RATES, RateError};
use hound::{SampleFormat, WavReader};
use rtrb::{Consumer, Producer, RingBuffer};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

/// Frames decoded at a time.
const CHUNK: usize = 1_024;

/// How long the decoder rests when the ring is full: a quarter of what the ring holds.
const REST: Duration = Duration::from_millis(250);

/// A WAV file that cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// It cannot be opened or read.
    #[error("cannot read \"{}\": {source}; check the path and its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no WAV file that we understand.
    #[error("\"{}\" cannot be played: {reason}; convert it to PCM WAV, for example with: sox INPUT -b 16 OUTPUT.wav", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Its rate cannot be converted to that of the call.
    #[error("\"{}\": {source}", path.display())]
    Rate {
        /// The file.
        path: PathBuf,
        /// Which rates.
        source: RateError,
    },
    /// The system gives no thread to decode it.
    #[error("no thread to play \"{}\": {source}; end some calls", path.display())]
    Thread {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Is `path` a WAV file that can be played?
pub(crate) fn check(path: &Path) -> Result<(), WavError> {
    open(path).map(|_| ())
}

/// The playing end of a file whose decoding runs on a thread of its own, a second ahead.
pub(crate) struct WavPlayer {
    samples: Consumer<i16>,
    decoder: Option<JoinHandle<Option<WavError>>>,
    thread: Thread,
    started: bool,
}

/// What a read of a [`WavPlayer`] brought.
#[derive(Debug)]
pub(crate) enum Played {
    /// Everything asked for.
    All,
    /// Only so many samples for now: the disk is late.
    Late(usize),
    /// Only so many, and the file has ended; with the error if it ended by one.
    Ended(usize, Option<WavError>),
}

impl WavPlayer {
    /// Opens `path` and starts to decode it to `rate` Hz.
    pub(crate) fn open(path: &Path, repeat: bool, rate: u32) -> Result<Self, WavError> {
        let reader = open(path)?;
        let converter = Converter::fixed(reader.spec().sample_rate, rate)
            .map_err(|source| WavError::Rate { path: path.into(), source })?;
        let (ring, samples) = RingBuffer::new(rate as usize);
        let decoder = Decoder { path: path.into(), repeat, converter, ring };
        let decoder = thread::Builder::new()
            .name("wav source".into())
            .spawn(move || decoder.run(reader))
            .map_err(|source| WavError::Thread { path: path.into(), source })?;
        let thread = decoder.thread().clone();
        Ok(Self { samples, decoder: Some(decoder), thread, started: false })
    }

    /// Fills the front of `out` with what is there; never waits.
    pub(crate) fn read(&mut self, out: &mut [i16]) -> Played {
        // Asked first: what the decoder left before it went is then seen below.
        let ended = self.samples.is_abandoned();
        let (filled, missing) = self.samples.pop_partial_slice(out);
        let count = filled.len();
        if missing.is_empty() {
            self.started = true;
            return Played::All;
        }
        if ended {
            let error = self.decoder.take().and_then(|decoder| decoder.join().ok().flatten());
            return Played::Ended(count, error);
        }
        // Before the first sample nothing is late: the decoder is starting.
        if self.started || count > 0 { Played::Late(count) } else { Played::Late(0) }
    }

    /// Has the first sample been played?
    pub(crate) fn has_started(&self) -> bool {
        self.started
    }
}

impl Drop for WavPlayer {
    fn drop(&mut self) {
        // The decoder looks whether anybody still listens when it wakes.
        self.thread.unpark();
    }
}

/// All of `path` as mono audio at `rate` Hz; takes as long as the disk and the conversion do.
///
/// # Errors
/// [`WavError`] when the file cannot be read.
pub fn read_wav(path: &Path, rate: u32) -> Result<Vec<i16>, WavError> {
    let mut player = WavPlayer::open(path, false, rate)?;
    let (mut audio, mut piece) = (Vec::new(), vec![0; rate as usize / 4]);
    loop {
        let (count, ended) = match player.read(&mut piece) {
            Played::All => (piece.len(), None),
            Played::Late(count) => {
                thread::sleep(Duration::from_millis(1));
                (count, None)
            }
            Played::Ended(count, error) => (count, Some(error)),
        };
        audio.extend_from_slice(piece.get(..count).unwrap_or_default());
        match ended {
            Some(Some(error)) => return Err(error),
            Some(None) => return Ok(audio),
            None => {}
        }
    }
}

/// Writes mono `audio` of `rate` Hz to `path`.
///
/// # Errors
/// [`WavError`] when the file cannot be written.
pub fn write_wav(path: &Path, rate: u32, audio: &[i16]) -> Result<(), WavError> {
    let spec = hound::WavSpec { channels: 1, sample_rate: rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let write = || {
        let mut writer = hound::WavWriter::create(path, spec)?;
        audio.iter().try_for_each(|&sample| writer.write_sample(sample))?;
        writer.finalize()
    };
    write().map_err(|error| explain(path, error))
}

fn open(path: &Path) -> Result<WavReader<BufReader<File>>, WavError> {
    let file = File::open(path).map_err(|source| WavError::Io { path: path.into(), source })?;
    let reader = WavReader::new(BufReader::with_capacity(64 * 1024, file)).map_err(|error| explain(path, error))?;
    let spec = reader.spec();
    let wrong = |reason: String| Err(WavError::Format { path: path.into(), reason });
    if spec.channels == 0 || !RATES.contains(&spec.sample_rate) {
        return wrong(format!("it has {} channels at {} Hz", spec.channels, spec.sample_rate));
    }
    match (spec.sample_format, spec.bits_per_sample) {
        (SampleFormat::Int, 1..=32) | (SampleFormat::Float, 32) => Ok(reader),
        (format, bits) => wrong(format!("{bits}-bit {format:?} samples are not understood")),
    }
}

fn explain(path: &Path, error: hound::Error) -> WavError {
    let path = path.to_owned();
    match error {
        // Hound says `Other` where the file is too short for what its header promises.
        hound::Error::IoError(source)
            if !matches!(source.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::Other) =>
        {
            WavError::Io { path, source }
        }
        hound::Error::FormatError(reason) => WavError::Format { path, reason: reason.into() },
        other => WavError::Format { path, reason: other.to_string() },
    }
}

struct Decoder {
    path: PathBuf,
    repeat: bool,
    converter: Converter,
    ring: Producer<i16>,
}

impl Decoder {
    /// Decodes until the end of the file or of the listener; returns the error that ended it.
    fn run(mut self, mut reader: WavReader<BufReader<File>>) -> Option<WavError> {
        let channels = usize::from(reader.spec().channels);
        let mut mono = Vec::with_capacity(CHUNK);
        let mut anything = false;
        loop {
            if self.ring.is_abandoned() {
                return None;
            }
            let failed = read_mono(&mut reader, channels, &mut mono).err();
            if !mono.is_empty() {
                anything = true;
                self.converter.push(&mono);
                self.deliver();
                if failed.is_none() {
                    continue;
                }
            }
            // A file that ends early has ended; anything else is worth a word.
            let failed = failed.filter(|error| !is_end(error)).map(|error| explain(&self.path, error));
            if failed.is_none() && self.repeat && anything && reader.seek(0).is_ok() {
                continue;
            }
            self.converter.flush();
            self.deliver();
            return failed;
        }
    }

    /// Hands over everything that is converted, resting while the ring is full.
    fn deliver(&mut self) {
        while self.converter.available() > 0 && !self.ring.is_abandoned() {
            let (taken, _) = self.ring.push_partial_slice(self.converter.ready());
            let count = taken.len();
            self.converter.discard(count);
            if self.converter.available() > 0 {
                thread::park_timeout(REST);
            }
        }
    }
}

fn is_end(error: &hound::Error) -> bool {
    match error {
        // What hound says of a data chunk that promises more than the file holds.
        hound::Error::FormatError(_) => true,
        hound::Error::IoError(error) => {
            matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::Other)
        }
        _ => false,
    }
}

/// Reads up to [`CHUNK`] frames, mixed down; an empty `mono` is the end.
fn read_mono(
    reader: &mut WavReader<BufReader<File>>,
    channels: usize,
    mono: &mut Vec<i16>,
) -> Result<(), hound::Error> {
    let spec = reader.spec();
    mono.clear();
    match spec.sample_format {
        SampleFormat::Int => {
            let scale = 32_768.0 / 2f64.powi(i32::from(spec.bits_per_sample) - 1);
            mix(reader.samples::<i32>(), channels, mono, |sample| f64::from(sample) * scale)
        }
        SampleFormat::Float => mix(reader.samples::<f32>(), channels, mono, |sample| f64::from(sample) * 32_768.0),
    }
}

fn mix<S>(
    mut samples: impl Iterator<Item = Result<S, hound::Error>>,
    channels: usize,
    mono: &mut Vec<i16>,
    scale: impl Fn(S) -> f64,
) -> Result<(), hound::Error> {
    while mono.len() < CHUNK {
        let mut sum = 0.0;
        for _ in 0..channels {
            match samples.next() {
                Some(sample) => sum += scale(sample?),
                None => return Ok(()),
            }
        }
        // A cast of a float saturates, and makes 0 of what is no number.
        mono.push((sum / channels as f64).round() as i16);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hound::{WavSpec, WavWriter};

    /// Plays to the end, waiting for the decoder.
    fn play(player: &mut WavPlayer) -> (Vec<i16>, Option<WavError>) {
        let mut all = Vec::new();
        let mut out = [0; 160];
        loop {
            match player.read(&mut out) {
                Played::All => all.extend_from_slice(&out),
                Played::Late(count) => {
                    all.extend_from_slice(&out[..count]);
                    player.thread.unpark();
                    thread::yield_now();
                }
                Played::Ended(count, error) => {
                    all.extend_from_slice(&out[..count]);
                    return (all, error);
                }
            }
        }
    }

    fn spec(channels: u16, sample_rate: u32, bits_per_sample: u16, sample_format: SampleFormat) -> WavSpec {
        WavSpec { channels, sample_rate, bits_per_sample, sample_format }
    }

    fn sine(n: u32, rate: u32) -> f64 {
        (std::f64::consts::TAU * 440.0 * f64::from(n) / f64::from(rate)).sin()
    }

    fn write(path: &Path, spec: WavSpec, frames: u32) {
        let mut writer = WavWriter::create(path, spec).unwrap();
        for n in 0..frames {
            for _ in 0..spec.channels {
                let value = 0.5 * sine(n, spec.sample_rate);
                match spec.sample_format {
                    SampleFormat::Int => {
                        let full = 2f64.powi(i32::from(spec.bits_per_sample) - 1);
                        writer.write_sample((value * full).round() as i32).unwrap();
                    }
                    SampleFormat::Float => writer.write_sample(value as f32).unwrap(),
                }
            }
        }
        writer.finalize().unwrap();
    }

    #[test]
    fn every_width_and_channel_count_sounds_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tone.wav");
        for bits in [8, 16, 24, 32] {
            for (channels, format) in [(1, SampleFormat::Int), (2, SampleFormat::Int), (2, SampleFormat::Float)] {
                let bits = if format == SampleFormat::Float { 32 } else { bits };
                write(&path, spec(channels, 16_000, bits, format), 16_000);
                let (samples, error) = play(&mut WavPlayer::open(&path, false, 16_000).unwrap());
                assert!(error.is_none());
                assert_eq!(samples.len(), 16_000, "{bits} bits, {channels} channels");
                let step = if bits == 8 { 256.0 } else { 1.0 };
                for (n, &sample) in samples.iter().enumerate() {
                    let expected = 16_384.0 * sine(n as u32, 16_000);
                    assert!(
                        (f64::from(sample) - expected).abs() <= step,
                        "{bits} bits: {sample} for {expected} at {n}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_file_of_another_rate_keeps_its_length() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tone.wav");
        write(&path, spec(1, 44_100, 16, SampleFormat::Int), 44_100 * 3);
        let (samples, error) = play(&mut WavPlayer::open(&path, false, 8_000).unwrap());
        assert!(error.is_none());
        assert_eq!(samples.len(), 24_000);
        assert!(samples.iter().skip(4_000).take(100).any(|&sample| sample > 15_000));
    }

    #[test]
    fn a_file_repeats_if_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("short.wav");
        write(&path, spec(1, 8_000, 16, SampleFormat::Int), 100);
        let mut player = WavPlayer::open(&path, true, 8_000).unwrap();
        let mut all = Vec::new();
        let mut out = [0; 100];
        while all.len() < 50_000 {
            match player.read(&mut out) {
                Played::All => all.extend_from_slice(&out),
                Played::Late(count) => all.extend_from_slice(&out[..count]),
                Played::Ended(..) => panic!("it ended after {} samples", all.len()),
            }
            player.thread.unpark();
        }
        assert_eq!(all[..100], all[40_000..40_100]);

        // An empty file cannot repeat: it ends.
        write(&path, spec(1, 8_000, 16, SampleFormat::Int), 0);
        assert!(play(&mut WavPlayer::open(&path, true, 8_000).unwrap()).0.is_empty());
    }

    #[test]
    fn a_file_cut_short_plays_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cut.wav");
        write(&path, spec(1, 8_000, 16, SampleFormat::Int), 8_000);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..44 + 2 * 3_000]).unwrap();
        let (samples, error) = play(&mut WavPlayer::open(&path, false, 8_000).unwrap());
        assert!(error.is_none(), "{error:?}");
        assert_eq!(samples.len(), 3_000);
    }

    #[test]
    fn errors_name_the_file_and_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let missing = check(&directory.path().join("missing.wav")).unwrap_err().to_string();
        assert!(missing.contains("missing.wav") && missing.contains("check the path"), "{missing}");
        let noise = directory.path().join("noise.wav");
        for bytes in [&b"ID3 this is no wave file at all, whatever its name says"[..], b"RIFF", b""] {
            std::fs::write(&noise, bytes).unwrap();
            let error = check(&noise).unwrap_err().to_string();
            assert!(error.contains("noise.wav") && error.contains("sox"), "{error}");
        }
    }
}
