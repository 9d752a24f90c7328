//! A call on disk: WAV or Opus in Ogg, ours left and theirs right, or both in one.
//!
//! ```text
//!  media worker ─ frames ─▶ ring (4 s, what does not fit is counted) ─▶ a thread ─▶ file ─▶ fsync ─▶ SHA-256
//! ```

mod file;
mod name;
mod opus;
mod repair;

pub use name::{Template, WrongTemplate};
pub use repair::{repair, repair_all};

use super::rate::Converter;
use super::tone::Tone;
use file::{Stop, Writer, seal};
use repair::Noted;
use rtrb::{Consumer, Producer, RingBuffer};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the writer empties the ring.
const TURN: Duration = Duration::from_millis(100);

/// The header is made valid after so many turns, so that a crash costs a second.
const TURNS_PER_FLUSH: u32 = 10;

/// Seconds that the ring holds: a disk may stall so long before frames are lost.
const PATIENCE: usize = 4;

/// What stands for a pause, when it is to be heard.
const BEEP: f64 = 1_000.0;

/// Pieces of a hundredth of a second that it lasts.
const BEEP_PIECES: usize = 20;

/// Who is in which channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Layout {
    /// Ours left, theirs right.
    #[default]
    Stereo,
    /// Both in one.
    Mono,
}

impl Layout {
    fn channels(self) -> u16 {
        match self {
            Layout::Stereo => 2,
            Layout::Mono => 1,
        }
    }
}

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
    /// What a crash cut off cannot be made whole.
    #[error("the recording \"{}\", which a crash cut off, cannot be repaired: {source}; it stays as it is", path.display())]
    Repair {
        /// The file.
        path: PathBuf,
        /// Why not.
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
#[derive(Debug, Default)]
pub struct Recording {
    /// Where it is; `None` if it could not even be created.
    pub path: Option<PathBuf>,
    /// Frames in the file.
    pub frames: u64,
    /// Frames in a second.
    pub rate: u32,
    /// SHA-256 of the file, in hexadecimal digits.
    pub digest: Option<String>,
    /// A crash had cut it off; it ends where the file ended.
    pub repaired: bool,
    /// Frames that were lost because the disk was too slow.
    pub dropped: u64,
    /// What went wrong, if anything did.
    pub error: Option<RecorderError>,
}

impl Recording {
    /// How long it is, seconds.
    pub fn seconds(&self) -> f64 {
        self.frames as f64 / f64::from(self.rate.max(1))
    }
}

/// The near end of a recording; its file is written by a thread of its own.
pub struct Recorder {
    frames: Producer<[i16; 2]>,
    writer: JoinHandle<Recording>,
    path: PathBuf,
    dropped: u64,
    rate: u32,
    paused: bool,
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
        Self::open(path, rate, Layout::Stereo, None)
    }

    /// The same with another layout. While it is written, its name stands in the directory `journal`, where
    /// [`repair_all`] finds it after a crash. A name that ends in `.opus` or `.ogg` makes it Opus, any other WAV.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn open(path: &Path, rate: u32, layout: Layout, journal: Option<&Path>) -> Result<Self, RecorderError> {
        let (frames, ring) = RingBuffer::new(PATIENCE * rate as usize);
        let (file, journal) = (path.to_owned(), journal.map(Path::to_owned));
        let writer = thread::Builder::new()
            .name("recorder".into())
            .spawn(move || record(ring, file, rate, layout, journal.as_deref()))
            .map_err(|source| RecorderError::Create { path: path.into(), source })?;
        Ok(Self { frames, writer, path: path.into(), dropped: 0, rate, paused: false, converters: None })
    }

    /// The call goes on at `rate` Hz; the file keeps the rate that it was started with.
    pub fn set_rate(&mut self, rate: u32) {
        // Both rates are those of codecs, which can be converted.
        let converter = || Converter::fixed(rate, self.rate).ok();
        self.converters = if rate == self.rate { None } else { converter().zip(converter()).map(Into::into) };
    }

    /// Leaves out what is pushed from now on: the file has no gap, what follows comes right behind.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Goes on, with a beep of 200 ms for the pause if it is to be heard.
    pub fn resume(&mut self, beep: bool) {
        if !std::mem::take(&mut self.paused) || !beep {
            return;
        }
        let mut tone = Tone::new(BEEP, self.rate);
        let mut piece = vec![0; self.rate as usize / 100];
        for _ in 0..BEEP_PIECES {
            tone.read(&mut piece);
            append(&mut self.frames, &mut self.dropped, &piece, &piece);
        }
    }

    /// Is it paused?
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Appends what was sent and what was played in the same span of time; both are equally long.
    pub fn push(&mut self, ours: &[i16], theirs: &[i16]) {
        if self.paused {
            return;
        }
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
        let written = self.writer.join().unwrap_or_default();
        Recording { dropped: self.dropped, ..written }
    }
}

fn record(mut ring: Consumer<[i16; 2]>, path: PathBuf, rate: u32, layout: Layout, journal: Option<&Path>) -> Recording {
    // A journal that cannot be written costs the repair, not the recording.
    let _noted = journal.and_then(|journal| Noted::write(journal, &path).ok());
    let mut writer = match Writer::create(&path, rate, layout) {
        Ok(writer) => writer,
        Err(source) => {
            let error = Some(RecorderError::Create { path, source });
            return Recording { rate, error, ..Recording::default() };
        }
    };
    let mut frames = 0;
    let failed = write_all(&mut ring, &mut writer, &mut frames);
    // Even after an error the end is worth an attempt: it makes what was written playable.
    let finished = writer.finish().map_err(Stop::Io);
    let mut recording = Recording { path: Some(path.clone()), frames, rate, ..Recording::default() };
    let sealed = seal(&path).map(|digest| recording.digest = Some(digest)).map_err(Stop::Io);
    recording.error = match failed.and(finished).and(sealed) {
        Ok(()) => None,
        Err(Stop::Io(source)) => Some(RecorderError::Write { path, seconds: recording.seconds(), source }),
        Err(Stop::Full) => Some(RecorderError::Full { path, seconds: recording.seconds() }),
    };
    recording
}

/// Empties the ring into the file until the call is over.
fn write_all(ring: &mut Consumer<[i16; 2]>, writer: &mut Writer, frames: &mut u64) -> Result<(), Stop> {
    let mut turns = 0;
    loop {
        // Asked first: what was pushed before the end is then seen below.
        let over = ring.is_abandoned();
        let available = ring.slots();
        if let Ok(chunk) = ring.read_chunk(available) {
            for frame in chunk {
                writer.write(frame)?;
                *frames += 1;
            }
        }
        if over {
            return Ok(());
        }
        turns += 1;
        if turns % TURNS_PER_FLUSH == 0 {
            writer.flush().map_err(Stop::Io)?;
        }
        thread::park_timeout(TURN);
    }
}

#[cfg(test)]
mod tests;
