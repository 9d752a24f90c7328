//! Recordings that a crash cut off: their names are kept in a journal while they are written, and what is found there at
//! the next start is made whole.
//!
//! ```text
//!  journal/1234-0.json {"path": …}   locked by the process that writes; removed when the file is complete
//! ```

use super::file::{is_opus, seal};
use super::{RecorderError, Recording};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Entries that were written by this process.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Every Ogg page begins so (RFC 3533 section 6).
const CAPTURE: &[u8; 4] = b"OggS";

/// Octets of a page before its segment table.
const PAGE_HEADER: usize = 27;

/// Flag of the last page of a stream.
const END_OF_STREAM: u8 = 4;

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    path: PathBuf,
}

/// A recording that is being written, in the journal.
#[derive(Debug)]
pub(super) struct Noted {
    entry: PathBuf,
    /// Locked as long as this lives.
    _lock: File,
}

impl Noted {
    /// Notes that `path` is being written.
    pub(super) fn write(journal: &Path, path: &Path) -> io::Result<Self> {
        fs::create_dir_all(journal)?;
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let entry = journal.join(format!("{}-{number}.json", std::process::id()));
            let mut file = match OpenOptions::new().write(true).create_new(true).open(&entry) {
                // Of an earlier process with our number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                opened => opened?,
            };
            file.lock()?;
            let path = std::path::absolute(path)?;
            file.write_all(&serde_json::to_vec(&Entry { path })?)?;
            file.sync_all()?;
            return Ok(Self { entry, _lock: file });
        }
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        // An entry that stays is looked at once more, and its file is whole already.
        let _ = fs::remove_file(&self.entry);
    }
}

/// Makes whole what earlier processes left; those that still run keep theirs.
pub fn repair_all(journal: &Path) -> Vec<Recording> {
    let Ok(entries) = fs::read_dir(journal) else { return Vec::new() };
    let left = entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    left.filter_map(|entry| {
        let mut file = File::open(&entry).ok()?;
        file.try_lock().ok()?;
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        let repaired = serde_json::from_str(&text).ok().map(|Entry { path }| repair(path));
        let _ = fs::remove_file(&entry);
        repaired
    })
    .collect()
}

/// Makes a recording whole that was cut off.
pub fn repair(path: PathBuf) -> Recording {
    let repaired = if is_opus(&path) { repair_ogg(&path) } else { repair_wav(&path) };
    let sealed = repaired.and_then(|(frames, rate)| Ok((frames, rate, seal(&path)?)));
    match sealed {
        Ok((frames, rate, digest)) => {
            Recording { path: Some(path), frames, rate, digest: Some(digest), repaired: true, ..Recording::default() }
        }
        Err(source) => {
            let error = Some(RecorderError::Repair { path: path.clone(), source });
            Recording { path: Some(path), error, ..Recording::default() }
        }
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Writes the lengths that belong to what is there; frames and rate.
fn repair_wav(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let mut header = [0; 12];
    file.read_exact(&mut header)?;
    if !header.starts_with(b"RIFF") || !header.ends_with(b"WAVE") {
        return Err(damaged("it is no WAV file"));
    }
    let (mut rate, mut align) = (0, 0);
    loop {
        let mut chunk = [0; 8];
        file.read_exact(&mut chunk)?;
        let size = u64::from(u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]));
        let begin = file.stream_position()?;
        if chunk.starts_with(b"data") {
            if align == 0 {
                return Err(damaged("its format is not told"));
            }
            let octets = (length - begin) / align * align;
            file.set_len(begin + octets)?;
            let size = |octets: u64| u32::try_from(octets).map_err(|_| damaged("it is longer than a WAV file can be"));
            file.seek(SeekFrom::Start(begin - 4))?;
            file.write_all(&size(octets)?.to_le_bytes())?;
            file.seek(SeekFrom::Start(4))?;
            file.write_all(&size(begin + octets - 8)?.to_le_bytes())?;
            return Ok((octets / align, rate));
        }
        if chunk.starts_with(b"fmt ") && size >= 16 {
            let mut format = [0; 16];
            file.read_exact(&mut format)?;
            rate = u32::from_le_bytes([format[4], format[5], format[6], format[7]]);
            align = u64::from(u16::from_le_bytes([format[12], format[13]]));
        }
        // Chunks begin at even places.
        file.seek(SeekFrom::Start(begin + size + size % 2))?;
    }
}

/// Cuts off the page that is not whole and makes the one before it the last; frames at 48 kHz, and that rate.
fn repair_ogg(path: &Path) -> io::Result<(u64, u32)> {
    let mut octets = Vec::new();
    File::open(path)?.read_to_end(&mut octets)?;
    let (mut at, mut last) = (0, None);
    while let Some(length) = page(octets.get(at..).unwrap_or_default()) {
        last = Some(at);
        at += length;
    }
    let Some(last) = last.filter(|last| *last > 0) else { return Err(damaged("not one whole page of sound is there")) };
    let pre_skip = octets.get(38..40).map_or(0, |skip| u64::from(u16::from_le_bytes([skip[0], skip[1]])));
    let mut page = octets[last..at].to_vec();
    let granule = page[6..14].iter().rev().fold(0, |sum, octet| sum << 8 | u64::from(*octet));
    page[5] |= END_OF_STREAM;
    page[22..26].fill(0);
    let sum = checksum(&page);
    page[22..26].copy_from_slice(&sum.to_le_bytes());
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.set_len(at as u64)?;
    file.seek(SeekFrom::Start(last as u64))?;
    file.write_all(&page)?;
    Ok((granule.saturating_sub(pre_skip), 48_000))
}

/// Length of the whole and sound page at the start of `octets`.
fn page(octets: &[u8]) -> Option<usize> {
    if !octets.starts_with(CAPTURE) {
        return None;
    }
    let segments = usize::from(*octets.get(PAGE_HEADER - 1)?);
    let table = octets.get(PAGE_HEADER..PAGE_HEADER + segments)?;
    let length = PAGE_HEADER + segments + table.iter().map(|segment| usize::from(*segment)).sum::<usize>();
    let mut page = octets.get(..length)?.to_vec();
    let told = u32::from_le_bytes([page[22], page[23], page[24], page[25]]);
    page[22..26].fill(0);
    (checksum(&page) == told).then_some(length)
}

/// The check sum of a page (RFC 3533 section 6): CRC 32 with the generator 0x04c11db7, from 0, neither turned nor inverted.
fn checksum(page: &[u8]) -> u32 {
    page.iter().fold(0u32, |sum, octet| {
        let sum = sum ^ (u32::from(*octet) << 24);
        (0..8).fold(sum, |sum, _| if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 })
    })
}
