//! Which processes live: calls of dead ones are closed as interrupted.
//!
//! ```text
//!  process row (id) ──names──▶ DATABASE.ID.live, locked by its process while it lives
//!  call row (process, in-progress) ── the lock can be had: the process is dead ──▶ interrupted
//! ```
//!
//! The kernel drops the lock when a process ends, however it ends: it is never reused as process ids are, and it works
//! across process-id name spaces. The row comes after the lock, so that a row without a held lock means a dead process.

use super::{StoreError, connection, row};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The sign of life of one open store.
#[derive(Debug)]
pub(super) struct Life {
    id: String,
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl Life {
    /// Takes a lock of our own beside the database.
    pub(super) fn begin(database: &Path, connection: &Connection) -> Result<Self, StoreError> {
        let id: String = connection
            .query_row("SELECT lower(hex(randomblob(16)))", [], |row| row.get(0))
            .map_err(|source| StoreError::Database { path: database.into(), source })?;
        let path = lock_path(database, &id);
        let failed = |source| StoreError::Lock { path: path.clone(), source };
        let file = File::create_new(&path).map_err(failed)?;
        match file.lock() {
            // Without locks nobody is ever told dead: see `held`.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            other => other.map_err(failed)?,
        }
        Ok(Self { id, path, _file: file })
    }

    /// Names this process in the rows of its calls.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Is the lock file still there? Without it others take this process for dead.
    pub(super) fn intact(&self) -> bool {
        self.path.exists()
    }

    /// Writes the sign of life.
    pub(super) fn beat(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO process (id, pid, started_at, seen_at) \
                 VALUES (?1, ?2, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) \
                 ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
            )?
            .execute((&self.id, std::process::id()))?;
        Ok(())
    }

    /// Takes the row and the lock file away: there are no calls left behind.
    pub(super) fn end(self, connection: Option<&Connection>) {
        let forgotten = connection
            .is_none_or(|connection| connection.execute("DELETE FROM process WHERE id = ?1", [&self.id]).is_ok());
        if forgotten {
            // What stays behind is found by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Closes the calls that processes left in progress when they died; how many.
pub(super) fn close_interrupted(database: &Path, connection: &mut Connection) -> rusqlite::Result<usize> {
    // Most starts have nothing to do; they do not wait for other writers.
    let any: Option<i64> = connection
        .query_row("SELECT 1 FROM call WHERE status = 'in-progress' UNION SELECT 1 FROM process LIMIT 1", [], |row| {
            row.get(0)
        })
        .optional()?;
    if any.is_none() {
        return Ok(0);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut closed = 0;
    let mut dead = Vec::new();
    for (process, seen) in processes(&transaction)? {
        let lock = process.as_deref().map(|process| lock_path(database, process));
        if lock.as_deref().is_some_and(held) {
            continue;
        }
        closed += close_calls(&transaction, process.as_deref(), seen)?;
        if let Some(process) = process {
            transaction.execute("DELETE FROM process WHERE id = ?1", [process])?;
        }
        dead.extend(lock);
    }
    transaction.commit()?;
    for lock in dead {
        let _ = fs::remove_file(lock);
    }
    Ok(closed)
}

/// Processes that have a row or a call in progress, with their last sign of life.
fn processes(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<(Option<String>, Option<Timestamp>)>> {
    let mut statement = transaction.prepare(
        "SELECT id, seen_at FROM process UNION ALL \
         SELECT DISTINCT process, NULL FROM call WHERE status = 'in-progress' \
         AND (process IS NULL OR process NOT IN (SELECT id FROM process))",
    )?;
    let rows = statement.query_map([], |row| {
        let seen: Option<String> = row.get(1)?;
        Ok((row.get(0)?, seen.and_then(|seen| seen.parse().ok())))
    })?;
    rows.collect()
}

fn close_calls(
    transaction: &Transaction<'_>,
    process: Option<&str>,
    seen: Option<Timestamp>,
) -> rusqlite::Result<usize> {
    let mut statement =
        transaction.prepare_cached("SELECT * FROM call WHERE status = 'in-progress' AND process IS ?1")?;
    let calls: Vec<_> = statement.query_map([process], row::read)?.collect::<Result<_, _>>()?;
    for mut call in calls.iter().cloned() {
        row::interrupt(&mut call, seen);
        row::write(transaction, &call, process)?;
    }
    Ok(calls.len())
}

fn lock_path(database: &Path, process: &str) -> PathBuf {
    connection::beside(database, &format!(".{process}.live"))
}

/// Does a living process hold this lock?
fn held(lock: &Path) -> bool {
    match File::open(lock) {
        // Where locks fail: better a dead call in progress than a live one closed.
        Ok(file) => file.try_lock().is_err(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}
