//! A call on disk: stereo WAV, 16 bit, ours left, theirs right.

use super::rate::Converter;
use hound::{SampleFormat, WavSpec, WavWriter};
use rtrb::{Consumer, Producer, RingBuffer};
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the writer empties the ring.
const TURN: Duration = Duration::from_millis(100);

/// The header is made valid after so many turns, so that a crash costs a second.
const TURNS_PER_FLUSH: u32 = 10;

/// Seconds that the ring holds: a disk may stall so long before frames are lost.
const PATIENCE: usize = 4;

/// Frames that fit in a WAV file: its sizes are 32 bits, a frame is 4 octets, the header takes some.
const MAX_FRAMES: u64 = (u32::MAX as u64 - 1_024) / 4;

/// A recording that could not be written, wholly or from some point on.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The file cannot be created.
    #[error("cannot record to \"{}\": {source}; the call is not recorded, choose a path that can be written", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Writing failed later.
    #[error("the recording \"{}\" stops after {seconds:.1} s: {source}; make room on the disk", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What was written before, seconds.
        seconds: f64,
        /// What the system said.
        source: io::Error,
    },
    /// The call is over and the disk still writes.
    #[error("the recording \"{}\" was not complete when the call was closed; the disk is too slow", path.display())]
    Slow {
        /// The file.
        path: PathBuf,
    },
    /// The file is as long as a WAV file can be.
    #[error("the recording \"{}\" stops after {seconds:.0} s: a WAV file holds no more than 4 GiB", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What was written, seconds.
        seconds: f64,
    },
}

/// A finished recording.
#[derive(Debug)]
pub struct Recording {
    /// Where it is; `None` if it could not even be created.
    pub path: Option<PathBuf>,
    /// Frames in the file.
    pub frames: u64,
    /// Frames that were lost because the disk was too slow.
    pub dropped: u64,
    /// What went wrong, if anything did.
    pub error: Option<RecorderError>,
}

/// The near end of a recording; its file is written by a thread of its own.
pub struct Recorder {
    frames: Producer<[i16; 2]>,
    writer: JoinHandle<Recording>,
    path: PathBuf,
    dropped: u64,
    rate: u32,
    /// From the rate of the call to that of the file, once a renegotiation changed the former: ours, theirs.
    converters: Option<[Converter; 2]>,
}

impl Recorder {
    /// Starts to record to `path` at `rate` Hz; missing directories are made. Never waits for the disk: what goes
    /// wrong is told by [`Recorder::has_failed`] and [`Finishing::poll`].
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(path: &Path, rate: u32) -> Result<Self, RecorderError> {
        let (frames, ring) = RingBuffer::new(PATIENCE * rate as usize);
        let file = path.to_owned();
        let writer = thread::Builder::new()
            .name("recorder".into())
            .spawn(move || record(ring, file, rate))
            .map_err(|source| RecorderError::Create { path: path.into(), source })?;
        Ok(Self { frames, writer, path: path.into(), dropped: 0, rate, converters: None })
    }

    /// The call goes on at `rate` Hz; the file keeps the rate that it was started with.
    pub fn set_rate(&mut self, rate: u32) {
        // Both rates are those of codecs, which can be converted.
        let converter = || Converter::fixed(rate, self.rate).ok();
        self.converters = if rate == self.rate { None } else { converter().zip(converter()).map(Into::into) };
    }

    /// Appends what was sent and what was played in the same span of time; both are equally long.
    pub fn push(&mut self, ours: &[i16], theirs: &[i16]) {
        let Some([left, right]) = &mut self.converters else {
            return append(&mut self.frames, &mut self.dropped, ours, theirs);
        };
        left.push(ours);
        right.push(theirs);
        append(&mut self.frames, &mut self.dropped, left.ready(), right.ready());
        left.discard(usize::MAX);
        right.discard(usize::MAX);
    }

    /// Has the writer given up? [`Recorder::finish`] then tells why.
    pub fn has_failed(&self) -> bool {
        self.writer.is_finished()
    }

    /// Frames that were lost because the disk was too slow or failed.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Ends the recording; the writer finishes the file in its own time.
    pub fn finish(self) -> Finishing {
        let thread = self.writer.thread().clone();
        let finishing = Finishing { writer: self.writer, path: self.path, dropped: self.dropped };
        drop(self.frames);
        thread.unpark();
        finishing
    }
}

fn append(frames: &mut Producer<[i16; 2]>, dropped: &mut u64, ours: &[i16], theirs: &[i16]) {
    let count = ours.len().min(theirs.len());
    if frames.is_abandoned() {
        *dropped += count as u64;
        return;
    }
    match frames.write_chunk_uninit(count) {
        Ok(chunk) => {
            chunk.fill_from_iter(ours.iter().zip(theirs).map(|(&left, &right)| [left, right]));
        }
        Err(_) => *dropped += count as u64,
    }
}

/// A recording whose file is being finished.
pub struct Finishing {
    writer: JoinHandle<Recording>,
    path: PathBuf,
    dropped: u64,
}

impl Finishing {
    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The recording once its file is complete; never waits.
    ///
    /// # Errors
    /// Gives itself back while the file is still being written.
    pub fn poll(self) -> Result<Recording, Self> {
        if self.writer.is_finished() { Ok(self.wait()) } else { Err(self) }
    }

    /// Waits for the file to be complete.
    pub fn wait(self) -> Recording {
        let written = self.writer.join().unwrap_or(Recording { path: None, frames: 0, dropped: 0, error: None });
        Recording { dropped: self.dropped, ..written }
    }
}

fn record(mut ring: Consumer<[i16; 2]>, path: PathBuf, rate: u32) -> Recording {
    let mut writer = match create(&path, rate) {
        Ok(writer) => writer,
        Err(source) => {
            let error = Some(RecorderError::Create { path, source });
            return Recording { path: None, frames: 0, dropped: 0, error };
        }
    };
    let mut frames = 0;
    let seconds = |frames: u64| frames as f64 / f64::from(rate.max(1));
    let failed = write_all(&mut ring, &mut writer, &mut frames);
    // Even after an error the header is worth an attempt: it makes what was written playable.
    let finalized = writer.finalize().map_err(into_io);
    let error = match failed.and(finalized.map_err(Stop::Io)) {
        Ok(()) => None,
        Err(Stop::Io(source)) => Some(RecorderError::Write { path: path.clone(), seconds: seconds(frames), source }),
        Err(Stop::Full) => Some(RecorderError::Full { path: path.clone(), seconds: seconds(frames) }),
    };
    Recording { path: Some(path), frames, dropped: 0, error }
}

enum Stop {
    Io(io::Error),
    Full,
}

fn create(path: &Path, rate: u32) -> io::Result<WavWriter<BufWriter<File>>> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    let spec = WavSpec { channels: 2, sample_rate: rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
    WavWriter::create(path, spec).map_err(into_io)
}

/// Empties the ring into the file until the call is over.
fn write_all(
    ring: &mut Consumer<[i16; 2]>,
    writer: &mut WavWriter<BufWriter<File>>,
    frames: &mut u64,
) -> Result<(), Stop> {
    let mut turns = 0;
    loop {
        // Asked first: what was pushed before the end is then seen below.
        let over = ring.is_abandoned();
        let available = ring.slots();
        if let Ok(chunk) = ring.read_chunk(available) {
            for [left, right] in chunk {
                if *frames == MAX_FRAMES {
                    return Err(Stop::Full);
                }
                writer
                    .write_sample(left)
                    .and_then(|()| writer.write_sample(right))
                    .map_err(|e| Stop::Io(into_io(e)))?;
                *frames += 1;
            }
        }
        if over {
            return Ok(());
        }
        turns += 1;
        if turns % TURNS_PER_FLUSH == 0 {
            writer.flush().map_err(|error| Stop::Io(into_io(error)))?;
        }
        thread::park_timeout(TURN);
    }
}

fn into_io(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_left_theirs_is_right_and_directories_are_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("2026/07/call.wav");
        let mut recorder = Recorder::start(&path, 8_000).unwrap();
        let info = allocation_counter::measure(|| (0..50i16).for_each(|n| recorder.push(&[n; 160], &[-n; 160])));
        assert_eq!(info.count_total, 0, "the worker's side of a recording allocates: {info:?}");
        let recording = recorder.finish().wait();
        assert!(recording.error.is_none(), "{:?}", recording.error);
        assert_eq!((recording.path.as_deref(), recording.frames, recording.dropped), (Some(&*path), 8_000, 0));
        let mut reader = hound::WavReader::open(&path).unwrap();
        assert_eq!((reader.spec().channels, reader.spec().sample_rate, reader.duration()), (2, 8_000, 8_000));
        let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
        for (frame, pair) in samples.chunks(2).enumerate() {
            let n = (frame / 160) as i16;
            assert_eq!(pair, [n, -n]);
        }
    }

    #[test]
    fn a_call_that_changes_its_rate_keeps_the_length_of_its_recording() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("call.wav");
        let mut recorder = Recorder::start(&path, 8_000).unwrap();
        (0..10).for_each(|_| recorder.push(&[100; 160], &[200; 160]));
        recorder.set_rate(48_000);
        (0..50).for_each(|_| recorder.push(&[100; 960], &[200; 960]));
        recorder.set_rate(8_000);
        (0..10).for_each(|_| recorder.push(&[100; 160], &[200; 160]));
        let recording = recorder.finish().wait();
        // The filter keeps some milliseconds of the middle part.
        assert!((11_100..=11_200).contains(&recording.frames), "{}", recording.frames);
    }

    #[test]
    fn the_file_is_playable_while_the_call_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("call.wav");
        let mut recorder = Recorder::start(&path, 8_000).unwrap();
        recorder.push(&[1; 8_000], &[2; 8_000]);
        let thread = recorder.writer.thread().clone();
        let playable = (0..10_000_000).any(|_| {
            thread.unpark();
            thread::yield_now();
            hound::WavReader::open(&path).is_ok_and(|reader| reader.duration() == 8_000)
        });
        assert!(playable, "the header never became valid");
        drop(recorder);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_and_frames_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "not a directory").unwrap();
        let path = file.join("call.wav");
        let mut recorder = Recorder::start(&path, 8_000).unwrap();
        while !recorder.has_failed() {
            thread::yield_now();
        }
        recorder.push(&[0; 160], &[0; 160]);
        assert_eq!(recorder.dropped(), 160);
        let recording = recorder.finish().wait();
        let error = recording.error.unwrap().to_string();
        assert!(error.contains("call.wav") && error.contains("can be written"), "{error}");
        assert_eq!(recording.path, None);
    }

    #[test]
    fn a_full_disk_stops_the_recording_and_not_the_call() {
        // The device that is always full, where there is one.
        let path = Path::new("/dev/full");
        if !path.exists() {
            println!("skipped: no /dev/full");
            return;
        }
        let mut recorder = Recorder::start(path, 8_000).unwrap();
        for _ in 0..20_000_000 {
            recorder.push(&[5; 160], &[5; 160]);
            if recorder.has_failed() {
                break;
            }
            recorder.writer.thread().unpark();
            thread::yield_now();
        }
        let error = recorder.finish().wait().error.unwrap();
        assert!(error.to_string().contains("make room"), "{error}");
    }
}
