//! Every call, in SQLite.
//!
//! ```text
//!  started / updated / finished ──▶ queue ──▶ writer thread ──▶ DATABASE (WAL) ◀── any number of Readers
//!      never wait, never fail      one row      retries until
//!                                  per call     it can write
//! ```
//!
//! A disk that is full or read-only costs no call its row: rows wait in memory and are retried; the trouble is seen in
//! [`Health`] and in one WARN. A process that dies leaves its calls `in-progress`; the next [`Store::open`] closes them
//! as `interrupted`, and leaves those of other living processes alone.

mod connection;
mod instance;
mod life;
mod place;
mod query;
mod queue;
mod row;
mod writer;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use instance::{Instance, state_directory};
pub use place::{default_path, journal_of, path_from};
pub use query::{Query, Reader};

use crate::call::record::{Record, Status};
use queue::Queue;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long [`Store::open`] waits for the first attempt at the database, and a dropped store for the last: longer than
/// a connection waits for other writers.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a query waits for what is about to be written.
const FRESHNESS: Duration = Duration::from_secs(1);

/// What is wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none.
    #[error("there is no database at {}; it is made by the first call, or SIDETONE_DB names another", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Its directory or file cannot be made.
    #[error("cannot create {}: {source}; make the place writable or name another with SIDETONE_DB", path.display())]
    Directory {
        /// The database.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be opened, read or written.
    #[error("database {}: {source}; make room, make it writable or name another with SIDETONE_DB", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// Its schema cannot be brought up to date.
    #[error("database {}: {source}; it may be of a newer sidetone: upgrade, or name another with SIDETONE_DB", path.display())]
    Migration {
        /// The database.
        path: PathBuf,
        /// Why.
        source: Box<refinery::Error>,
    },
    /// The lock file, by which other processes see that this one lives, cannot be made.
    #[error("cannot lock {}: {source}; make its directory writable or name another with SIDETONE_DB", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The writer thread cannot be started.
    #[error("cannot start the thread that writes the calls: {0}; raise the limit of threads")]
    Thread(#[source] io::Error),
}

/// Closes the calls of dead processes as interrupted, as [`Store::open`] does; how many.
///
/// # Errors
/// [`StoreError`] if the database cannot be written.
pub fn close_interrupted(path: &Path) -> Result<usize, StoreError> {
    let mut connection = connection::write(path, None)?;
    let closed = life::close_interrupted(path, &mut connection);
    closed.map_err(|source| StoreError::Database { path: path.into(), source })
}

/// How the store is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most calls whose rows wait in memory while the disk fails.
    pub queue: usize,
    /// First pause after a failure; doubles up to 20 times its length.
    pub retry: Duration,
    /// Between two signs of life of calls in progress: an interrupted call's end is known to this precision.
    pub heartbeat: Duration,
    /// Largest size of the database file in octets; `None` for as much as the disk has.
    pub max_bytes: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { queue: 10_000, retry: Duration::from_millis(250), heartbeat: Duration::from_secs(10), max_bytes: None }
    }
}

/// Whether calls get to the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why the last attempt to write failed; `None` while all is well.
    pub error: Option<String>,
    /// Attempts that failed since the start.
    pub failures: u64,
    /// Calls with a row that is not on disk yet.
    pub waiting: usize,
    /// Ended calls whose row was given up: the queue was full, or SQLite cannot hold the row.
    pub lost: u64,
}

/// Rows that could not be written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} calls are not in the database: {reason}", records.len())]
pub struct Unwritten {
    /// The rows, oldest first.
    pub records: Vec<Record>,
    /// Why.
    pub reason: String,
}

/// The calls of this process on their way to the disk, and every call that is there. Share it in an [`Arc`].
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    shared: Arc<Shared>,
}

/// What the store and its writer thread have in common.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something to do for the writer.
    work: Condvar,
    /// The writer has done something.
    done: Condvar,
    health: watch::Sender<Health>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    phase: Phase,
    /// Try at once, whatever the pause after a failure.
    hurry: bool,
    /// Attempts begun so far; the number of an attempt.
    begun: u64,
    /// The number of the last attempt that failed.
    failed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The writer has not tried to open the database yet.
    Opening,
    Running,
    /// The writer shall try a last time and end.
    Stopping,
    /// The writer has ended.
    Stopped,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No invariant spans the statements of a holder: the state of one that panicked is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `ready`, at most for `timeout`.
    fn wait_done<'a>(
        &self,
        state: MutexGuard<'a, State>,
        timeout: Duration,
        mut ready: impl FnMut(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waited = self.done.wait_timeout_while(state, timeout, |state| !ready(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Store {
    /// Opens the database at `path`: creates it and its directory where needed, migrates it, and closes the calls of
    /// dead processes. Blocks for that first attempt. A database that cannot be opened is no error here: [`health`]
    /// tells, the rows wait and the attempt is repeated, so that calls go on.
    ///
    /// [`health`]: Self::health
    ///
    /// # Errors
    /// [`StoreError::Thread`] if the writer thread cannot be started.
    pub fn open(path: &Path, options: Options) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: Queue::new(options.queue),
                phase: Phase::Opening,
                hurry: false,
                begun: 0,
                failed: 0,
            }),
            work: Condvar::new(),
            done: Condvar::new(),
            health: watch::Sender::new(Health::default()),
        });
        writer::start(path, options, Arc::clone(&shared)).map_err(StoreError::Thread)?;
        drop(shared.wait_done(shared.state(), PATIENCE, |state| state.phase != Phase::Opening));
        Ok(Self { path: path.into(), shared })
    }

    /// Where the database is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A call has started: it gets its row. Never waits for the disk.
    pub fn started(&self, record: &Record) {
        self.push(record);
    }

    /// A call rings, was answered, or has news of its quality. Never waits for the disk.
    pub fn updated(&self, record: &Record) {
        self.push(record);
    }

    /// A call has ended: its row is completed, or made if it never had one. Never waits for the disk.
    pub fn finished(&self, record: &Record) {
        self.push(record);
    }

    fn push(&self, record: &Record) {
        let mut state = self.shared.state();
        let pushed = match state.phase {
            Phase::Stopping | Phase::Stopped => Err("the store is closed"),
            Phase::Opening | Phase::Running => {
                state.queue.push(record.clone()).map_err(|queue::Full| "too many calls wait for the disk")
            }
        };
        drop(state);
        match pushed {
            Ok(()) => self.shared.work.notify_one(),
            // What a call in progress says now, its end says again.
            Err(reason) if record.status == Status::InProgress => {
                tracing::debug!(call = %record.id, reason, "a change of a call is not written");
            }
            Err(reason) => {
                tracing::warn!(call = %record.id, reason, "a call is lost to the database");
                self.shared.health.send_modify(|health| health.lost += 1);
            }
        }
    }

    /// Whether calls get to the disk, now.
    pub fn health(&self) -> Health {
        let waiting = self.shared.state().queue.len();
        Health { waiting, ..self.shared.health.borrow().clone() }
    }

    /// Tells each change of [`Health`] (its `waiting` as of the last attempt).
    pub fn watch(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// Everything that is not on disk yet, oldest first.
    pub fn waiting(&self) -> Vec<Record> {
        self.shared.state().queue.waiting()
    }

    /// Waits until everything is on disk; blocks.
    ///
    /// # Errors
    /// [`Unwritten`] after `timeout`, or after an attempt that began now and failed. The rows stay in the queue.
    pub fn flush(&self, timeout: Duration) -> Result<(), Unwritten> {
        let mut state = self.shared.state();
        if state.queue.len() == 0 {
            return Ok(());
        }
        state.hurry = true;
        let before = state.begun;
        self.shared.work.notify_one();
        let state = self.shared.wait_done(state, timeout, |state| {
            state.queue.len() == 0 || state.failed > before || state.phase == Phase::Stopped
        });
        self.unwritten(state)
    }

    /// Writes what waits, and stops; blocks. Later changes are refused.
    ///
    /// # Errors
    /// [`Unwritten`] with what could not be written in a last attempt, or within `timeout`.
    pub fn close(&self, timeout: Duration) -> Result<(), Unwritten> {
        let mut state = self.shared.state();
        if state.phase != Phase::Stopped {
            state.phase = Phase::Stopping;
            self.shared.work.notify_one();
            state = self.shared.wait_done(state, timeout, |state| state.phase == Phase::Stopped);
        }
        self.unwritten(state)
    }

    fn unwritten(&self, state: MutexGuard<'_, State>) -> Result<(), Unwritten> {
        let records = state.queue.waiting();
        drop(state);
        if records.is_empty() {
            return Ok(());
        }
        let error = self.shared.health.borrow().error.clone();
        let reason = error.unwrap_or_else(|| format!("{} is still being written", self.path.display()));
        Err(Unwritten { records, reason })
    }

    /// The calls that `query` asks for, newest first; waits a moment for those on their way to the disk. Blocks.
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be read.
    pub fn history(&self, query: &Query) -> Result<Vec<Record>, StoreError> {
        self.reader()?.history(query)
    }

    /// The call with this `id`, like [`history`](Self::history).
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be read.
    pub fn get(&self, id: &str) -> Result<Option<Record>, StoreError> {
        self.reader()?.get(id)
    }

    fn reader(&self) -> Result<Reader, StoreError> {
        // What cannot be written now is in `waiting`.
        let _ = self.flush(FRESHNESS);
        Reader::open(&self.path)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(unwritten) = self.close(PATIENCE) {
            tracing::warn!(error = %unwritten, "calls are lost to the database");
        }
    }
}
