//! The file of a recording as it is written: WAV, or Opus in Ogg (RFC 7845).

use super::Layout;
use super::opus::OggOpus;
use hound::{SampleFormat, WavSpec, WavWriter};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read};
use std::path::Path;

/// Octets that a WAV file holds besides its header: its sizes are 32 bits.
const MAX_OCTETS: u64 = u32::MAX as u64 - 1_024;

/// Why writing stops.
pub(super) enum Stop {
    Io(io::Error),
    Full,
}

/// An open file.
pub(super) enum Writer {
    Wav { writer: WavWriter<BufWriter<File>>, layout: Layout, left: u64 },
    Opus(Box<OggOpus>),
}

/// Is the file of this name written as Opus in Ogg? By its extension; anything else is WAV.
pub(super) fn is_opus(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("opus") || extension.eq_ignore_ascii_case("ogg"))
}

impl Writer {
    pub(super) fn create(path: &Path, rate: u32, layout: Layout) -> io::Result<Self> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::create_dir_all(directory)?;
        }
        if is_opus(path) {
            return Ok(Self::Opus(Box::new(OggOpus::create(path, rate, layout)?)));
        }
        let channels = layout.channels();
        let spec = WavSpec { channels, sample_rate: rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let left = MAX_OCTETS / (2 * u64::from(channels));
        Ok(Self::Wav { writer: WavWriter::create(path, spec).map_err(into_io)?, layout, left })
    }

    /// Appends one frame: ours, theirs.
    pub(super) fn write(&mut self, frame: [i16; 2]) -> Result<(), Stop> {
        match self {
            Self::Wav { left: 0, .. } => Err(Stop::Full),
            Self::Wav { writer, layout, left } => {
                *left -= 1;
                let written = match layout {
                    Layout::Mono => writer.write_sample(mono(frame)),
                    Layout::Stereo => frame.into_iter().try_for_each(|sample| writer.write_sample(sample)),
                };
                written.map_err(|error| Stop::Io(into_io(error)))
            }
            Self::Opus(writer) => writer.write(frame).map_err(Stop::Io),
        }
    }

    /// Makes what was written playable, were the process to end here.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Wav { writer, .. } => writer.flush().map_err(into_io),
            Self::Opus(writer) => writer.flush(),
        }
    }

    /// Completes the file.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Wav { writer, .. } => writer.finalize().map_err(into_io),
            Self::Opus(writer) => writer.finish(),
        }
    }
}

/// Both sides in one.
pub(super) fn mono([ours, theirs]: [i16; 2]) -> i16 {
    ours.saturating_add(theirs)
}

/// Brings a complete file to the disk; its SHA-256 in hexadecimal digits.
pub(super) fn seal(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    file.sync_all()?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 64 * 1_024]);
    loop {
        match file.read(&mut piece)? {
            0 => break,
            count => hash.update(&piece[..count]),
        }
    }
    Ok(hash.finalize().iter().map(|octet| format!("{octet:02x}")).collect())
}

pub(super) fn into_io(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other.to_string()),
    }
}
