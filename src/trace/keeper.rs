//! The thread that writes traces, so that nobody waits for the disk.

use super::entry::{Entry, OUTSIDE, Subject, Trace, What};
use super::options::Limits;
use super::redact::redact;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Traces that may wait for the disk.
const WAITING: usize = 256;

/// How often old traces are removed, in traces written.
const TIDY_EVERY: u32 = 16;

/// What the files are called.
pub(super) const SUFFIX: &str = "trace";

/// What the files of registrations begin with.
pub(super) const REGISTRATION: &str = "registration-";

/// Longest file name, so that every file system takes it.
const NAME: usize = 180;

/// Writes traces to a directory.
#[derive(Debug)]
pub struct Keeper {
    sender: SyncSender<Trace>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts the thread. The directory is made with the first trace.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(directory: &Path, limits: Limits, secrets: bool) -> io::Result<Self> {
        let (sender, traces) = sync_channel(WAITING);
        let writer = Writer { directory: directory.to_owned(), limits, secrets, written: 0, told: false };
        let thread = std::thread::Builder::new().name("traces".into()).spawn(move || writer.run(&traces))?;
        Ok(Self { sender, thread })
    }

    /// Has `trace` written; never waits. `false` when too many wait already.
    pub fn keep(&self, trace: Trace) -> bool {
        let taken = self.sender.try_send(trace).is_ok();
        if !taken {
            tracing::debug!("the disk is too slow for the traces; one waits");
        }
        taken
    }

    /// Writes `rest` too, and waits until everything is on disk; blocks.
    pub fn finish(self, rest: Vec<Trace>) {
        for trace in rest {
            if self.sender.send(trace).is_err() {
                break;
            }
        }
        drop(self.sender);
        if self.thread.join().is_err() {
            tracing::error!("the thread that writes traces has panicked");
        }
    }
}

struct Writer {
    directory: PathBuf,
    limits: Limits,
    secrets: bool,
    written: u32,
    /// The user knows that the disk does not take traces.
    told: bool,
}

impl Writer {
    fn run(mut self, traces: &Receiver<Trace>) {
        for trace in traces {
            match self.write(trace) {
                Ok(()) => self.told = false,
                Err(error) if !self.told => {
                    self.told = true;
                    tracing::warn!(%error, directory = %self.directory.display(), "a trace cannot be written; calls are not hurt");
                }
                Err(_) => {}
            }
        }
        if self.written > 0 {
            self.tidy();
        }
    }

    fn write(&mut self, trace: Trace) -> io::Result<()> {
        make_private(&self.directory)?;
        let path = self.directory.join(file_name(&trace.head.subject));
        // Whoever reads sees the old file or the new one, never half of it.
        let unfinished = path.with_extension(format!("{}-unfinished", std::process::id()));
        let mut out = BufWriter::new(private_file(&unfinished)?);
        let written = write_to(&mut out, trace, self.secrets).and_then(|()| out.flush());
        drop(out);
        if let Err(error) = written.and_then(|()| fs::rename(&unfinished, &path)) {
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        if self.written.is_multiple_of(TIDY_EVERY) {
            self.tidy();
        }
        self.written = self.written.wrapping_add(1);
        Ok(())
    }

    /// Removes the oldest calls and registrations beyond the limits.
    fn tidy(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let mut files: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == SUFFIX))
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        files.sort();
        files.reverse();
        let (mut calls, mut registrations, mut octets) = (0, 0, 0);
        for (_, length, path) in files {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            octets += length;
            // There is one, and it is bounded by itself.
            if path.file_stem().is_some_and(|stem| stem == OUTSIDE) {
                continue;
            }
            let count = if name.starts_with(REGISTRATION) { &mut registrations } else { &mut calls };
            *count += 1;
            if *count > self.limits.kept || octets > self.limits.kept_octets {
                // Another process may have been faster.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// One JSON object per line: the head, then the entries.
fn write_to(out: &mut impl Write, mut trace: Trace, secrets: bool) -> io::Result<()> {
    trace.head.secrets = secrets;
    serde_json::to_writer(&mut *out, &trace.head)?;
    out.write_all(b"\n")?;
    for mut entry in trace.entries {
        if !secrets {
            hide(&mut entry);
        }
        serde_json::to_writer(&mut *out, &entry)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Takes the secrets out of an entry.
pub(super) fn hide(entry: &mut Entry) {
    if let What::Message(sighting) = &mut entry.what {
        sighting.bytes = redact(&sighting.bytes);
    }
}

/// The name of the file of a subject; of any two subjects the names differ.
pub(super) fn file_name(subject: &Subject) -> String {
    let (prefix, text) = match subject {
        Subject::Call(id) => ("", id.as_str()),
        Subject::Registration(aor) => (REGISTRATION, aor.as_str()),
        Subject::Outside => ("", OUTSIDE),
    };
    let mut name = prefix.to_owned();
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_@.".contains(character);
    name.extend(text.chars().map(|character| if plain(character) { character } else { '_' }));
    if !text.chars().all(plain) || name.len() > NAME {
        // Two addresses may differ only in what a file name cannot say.
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        name.truncate(NAME);
        name += &format!("-{:016x}", hasher.finish());
    }
    format!("{name}.{SUFFIX}")
}

/// Who talked to whom is nobody else's business.
fn make_private(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

fn private_file(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
