//! The one thread that writes.

use super::life::{self, Life};
use super::{Options, Phase, Shared, State, StoreError, connection, row};
use crate::call::record::{Record, Status};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

/// Rows per transaction: a commit costs more than a row.
const BATCH: usize = 256;

/// Longest pause between attempts, in first pauses.
const LONGEST_PAUSE: u32 = 20;

/// Starts the thread. It ends after [`Phase::Stopping`].
pub(super) fn start(path: &Path, options: Options, shared: Arc<Shared>) -> io::Result<()> {
    let writer = Writer {
        path: path.into(),
        options,
        connection: None,
        life: None,
        in_progress: HashSet::new(),
        shared: Ended(shared),
    };
    thread::Builder::new().name("sidetone-store".into()).spawn(move || writer.run()).map(drop)
}

/// Says that the thread has ended, also when it panics.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.health.send_modify(|health| health.error = Some("the thread that writes the calls died".into()));
        }
        self.0.state().phase = Phase::Stopped;
        self.0.done.notify_all();
    }
}

struct Writer {
    path: PathBuf,
    options: Options,
    connection: Option<Connection>,
    life: Option<Life>,
    /// Calls that are in progress on disk.
    in_progress: HashSet<String>,
    shared: Ended,
}

/// What the writer does next.
enum Turn {
    /// Write these rows; the number of the attempt.
    Write(u64, Vec<Record>),
    /// Show that we live, or see whether the database can be opened again.
    Beat,
    /// Stop.
    End,
}

impl Writer {
    fn run(mut self) {
        let opened = self.open().map(|()| 0);
        let mut pause = self.report(0, opened);
        let mut state = self.shared.0.state();
        if state.phase == Phase::Opening {
            state.phase = Phase::Running;
        }
        drop(state);
        self.shared.0.done.notify_all();
        let mut last = false;
        loop {
            pause = match self.next_turn(pause, &mut last) {
                Turn::Write(attempt, batch) => {
                    let written = self.write(&batch);
                    let mut state = self.shared.0.state();
                    match written {
                        Ok(_) => state.queue.written(),
                        Err(_) => {
                            state.queue.put_back();
                            state.failed = attempt;
                        }
                    }
                    drop(state);
                    let pause = self.report(pause, written);
                    self.shared.0.done.notify_all();
                    pause
                }
                Turn::Beat => {
                    let beaten = self.beat().map(|()| 0);
                    self.report(pause, beaten)
                }
                Turn::End => break,
            };
        }
        if self.in_progress.is_empty()
            && let Some(life) = self.life.take()
        {
            life.end(self.connection.as_ref());
        }
        // What is still in progress keeps its process row: the next start closes it.
    }

    /// Waits for something to do. `pause` is 0 while all is well, else the pause before the next attempt in first
    /// pauses; `last` is set once the last attempt was given out.
    fn next_turn(&self, pause: u32, last: &mut bool) -> Turn {
        let timeout = if pause > 0 {
            self.options.retry * pause
        } else if self.in_progress.is_empty() {
            Duration::MAX
        } else {
            self.options.heartbeat
        };
        let state = self.shared.0.state();
        let idle = |state: &mut State| {
            state.phase != Phase::Stopping && !state.hurry && (pause > 0 || !state.queue.has_rows())
        };
        let waited = self.shared.0.work.wait_timeout_while(state, timeout, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.hurry = false;
        let stopping = state.phase == Phase::Stopping;
        if stopping && (!state.queue.has_rows() || (*last && pause > 0)) {
            return Turn::End;
        }
        *last = stopping;
        if !state.queue.has_rows() {
            return Turn::Beat;
        }
        state.begun += 1;
        Turn::Write(state.begun, state.queue.take(BATCH))
    }

    /// Makes the outcome of an attempt (rows given up, or why it failed) visible; the pause before the next.
    fn report(&self, pause: u32, outcome: Result<u64, StoreError>) -> u32 {
        let waiting = self.shared.0.state().queue.len();
        let health = &self.shared.0.health;
        let was = health.borrow().error.clone();
        match outcome {
            Ok(lost) => {
                if was.is_some() {
                    tracing::info!(database = %self.path.display(), "calls are written to the database again");
                }
                health.send_if_modified(|health| {
                    let changed = health.error.is_some() || lost > 0;
                    health.error = None;
                    health.lost += lost;
                    health.waiting = waiting;
                    changed
                });
                0
            }
            Err(error) => {
                let reason = error.to_string();
                match was {
                    None => tracing::warn!(%reason, waiting, "calls are kept in memory, not in the database"),
                    Some(_) => tracing::debug!(%reason, waiting, "calls still cannot be written"),
                }
                health.send_modify(|health| {
                    health.error = Some(reason);
                    health.failures += 1;
                    health.waiting = waiting;
                });
                if pause == 0 { 1 } else { (pause * 2).min(LONGEST_PAUSE) }
            }
        }
    }

    /// Opens the database, with all that a start does, unless it is open.
    fn open(&mut self) -> Result<(), StoreError> {
        // Rows for a file that was deleted would be gone with this process.
        if self.connection.is_some() && self.path.exists() {
            return Ok(());
        }
        let mut connection = connection::write(&self.path, self.options.max_bytes)?;
        let closed = life::close_interrupted(&self.path, &mut connection).map_err(database(&self.path))?;
        if closed > 0 {
            tracing::info!(calls = closed, "closed calls of dead processes as interrupted");
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// Writes `batch` in one transaction; how many ended calls were given up.
    fn write(&mut self, batch: &[Record]) -> Result<u64, StoreError> {
        let written = self.attempt(batch);
        if written.is_err() {
            // The next attempt starts anew: the disk may have been changed, remounted or restored meanwhile.
            self.connection = None;
        }
        written
    }

    fn attempt(&mut self, batch: &[Record]) -> Result<u64, StoreError> {
        self.open()?;
        let Some(connection) = self.connection.as_mut() else { return Ok(0) };
        if batch.is_empty() && self.in_progress.is_empty() {
            return Ok(0);
        }
        let starts = batch.iter().any(|record| record.status == Status::InProgress);
        let mut former = None;
        if (starts || !self.in_progress.is_empty()) && !self.life.as_ref().is_some_and(Life::intact) {
            former = self.life.replace(Life::begin(&self.path, connection)?);
        }
        let written = write_rows(connection, self.life.as_ref(), former.as_ref(), batch);
        let lost = written.map_err(database(&self.path))?;
        for record in batch {
            if record.status == Status::InProgress {
                self.in_progress.insert(record.id.clone());
            } else {
                self.in_progress.remove(&record.id);
            }
        }
        Ok(lost)
    }

    fn beat(&mut self) -> Result<(), StoreError> {
        self.write(&[]).map(drop)
    }
}

fn write_rows(
    connection: &mut Connection,
    life: Option<&Life>,
    former: Option<&Life>,
    batch: &[Record],
) -> rusqlite::Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(life) = life {
        life.beat(&transaction)?;
        if let Some(former) = former {
            transaction.execute("UPDATE call SET process = ?1 WHERE process = ?2", [life.id(), former.id()])?;
            transaction.execute("DELETE FROM process WHERE id = ?1", [former.id()])?;
        }
    }
    let mut lost = 0;
    for record in batch {
        match row::write(&transaction, record, life.map(Life::id)) {
            // One such row must not hold up the others for ever.
            Err(error) if never_fits(&error) => {
                tracing::error!(call = %record.id, %error, "SQLite does not take the row of a call");
                lost += u64::from(record.status != Status::InProgress);
            }
            written => written?,
        }
    }
    transaction.commit()?;
    Ok(lost)
}

/// Is it the row that is wrong, and not the database?
fn never_fits(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{SqliteFailure, ToSqlConversionFailure};
    let codes = [ErrorCode::ConstraintViolation, ErrorCode::TypeMismatch, ErrorCode::TooBig];
    match error {
        ToSqlConversionFailure(_) => true,
        SqliteFailure(failure, _) => codes.contains(&failure.code),
        _ => false,
    }
}

fn database(path: &Path) -> impl Fn(rusqlite::Error) -> StoreError {
    move |source| StoreError::Database { path: path.into(), source }
}
