//! Connections: directories, pragmas, migrations.

use super::StoreError;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long a connection waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

/// Attempts at the migrations. Of several processes that find a new database at once all but one lose a race in an
/// attempt; each that is lost means that another process has committed one step: the journal mode, the table of
/// migrations, all migrations.
const MIGRATION_ATTEMPTS: usize = 10;

mod embedded {
    refinery::embed_migrations!("src/store/migrations");
}

/// Opens the database for writing: creates its directory and the file (for the user alone: who called whom is nobody
/// else's business), switches to WAL and brings the schema up to date.
pub(super) fn write(path: &Path, max_bytes: Option<u64>) -> Result<Connection, StoreError> {
    create(path).map_err(|source| StoreError::Directory { path: path.into(), source })?;
    let failed = |source| StoreError::Database { path: path.into(), source };
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    prepare(&connection, max_bytes).map_err(failed)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Opens an existing database read-only.
pub(super) fn read(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.into() });
    }
    let failed = |source| StoreError::Database { path: path.into(), source };
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    match connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())) {
        Ok(()) => Ok(connection),
        // A WAL database in a directory where its shared-memory file cannot be made. Without a log the file is complete
        // and, as nobody can write there, does not change.
        Err(error) if cannot_make_files(&error) && !beside(path, "-wal").exists() => {
            let connection = open_uri(path).map_err(failed)?;
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed)?;
            Ok(connection)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The path of a file that belongs to the database at `path`.
pub(super) fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::Database { path: path.into(), source };
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    Ok(connection)
}

fn open_uri(path: &Path) -> rusqlite::Result<Connection> {
    let path = path.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(path.into()))?;
    let path = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)
}

fn cannot_make_files(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

fn create(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory)?;
    }
    if path.exists() {
        return Ok(());
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn prepare(connection: &Connection, max_bytes: Option<u64>) -> rusqlite::Result<()> {
    // Readers go on while the writer writes. Some file systems cannot do WAL; what mode there is then is as safe.
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    // In WAL mode a commit survives a killed process without a sync; only a power cut may take the last ones.
    connection.execute_batch("PRAGMA synchronous = NORMAL")?;
    if let Some(bytes) = max_bytes {
        let page: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let pages = (bytes / u64::from(page.max(1))).max(1);
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
    }
    Ok(())
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    // In one transaction with their rows in the table of migrations: who comes in between, or after a crash, would find
    // tables that nobody has noted, and fail on them.
    let runner = embedded::migrations::runner().set_grouped(true);
    let mut attempt = 1;
    loop {
        match runner.run(connection) {
            Ok(report) => {
                for migration in report.applied_migrations() {
                    tracing::info!(database = %path.display(), %migration, "migrated");
                }
                return Ok(());
            }
            Err(_) if attempt < MIGRATION_ATTEMPTS => attempt += 1,
            Err(source) => {
                return Err(StoreError::Migration { path: path.into(), source: Box::new(source) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    /// A migration and its row in the table of migrations are one commit: nobody ever sees one without the other, so nobody
    /// tries to make tables that are there already.
    #[test]
    fn a_migration_is_never_seen_half_done() {
        for _ in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("calls.db");
            let done = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                let watcher = scope.spawn(|| {
                    let mut looked = 0_u32;
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let Ok(connection) = super::read(&path) else { continue };
                        // One statement sees one state of the database.
                        let half = "SELECT (SELECT count(*) FROM sqlite_schema WHERE name = 'process'), \
                            (SELECT count(*) FROM refinery_schema_history)";
                        while !done.load(std::sync::atomic::Ordering::Relaxed) {
                            let seen = connection
                                .query_row(half, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
                            // Without that table there is nothing yet.
                            let Ok((tables, rows)) = seen else { continue };
                            assert_eq!(tables > 0, rows > 0, "a migration is seen half done");
                            looked += 1;
                        }
                    }
                    looked
                });
                drop(super::write(&path, None).unwrap());
                done.store(true, std::sync::atomic::Ordering::Relaxed);
                watcher.join().unwrap();
            });
        }
    }

    /// Another process is in the middle of the migration: it is waited for, and nothing is done twice.
    #[test]
    fn a_migration_in_progress_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let (ready, path) = (directory.path().join("ready.db"), directory.path().join("calls.db"));
        drop(super::write(&ready, None).unwrap());
        let note: (i32, String, String, String) = rusqlite::Connection::open(&ready)
            .unwrap()
            .query_row("SELECT version, name, applied_on, checksum FROM refinery_schema_history", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .unwrap();
        let mut other = rusqlite::Connection::open(&path).unwrap();
        other.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
        let work = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        work.execute_batch(include_str!("migrations/V1__calls.sql")).unwrap();
        work.execute_batch(
            "CREATE TABLE refinery_schema_history (version INT4 PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255), \
             checksum VARCHAR(255))",
        )
        .unwrap();
        work.execute("INSERT INTO refinery_schema_history VALUES (?1, ?2, ?3, ?4)", note).unwrap();
        std::thread::scope(|scope| {
            let (begun, started) = std::sync::mpsc::channel();
            let path = &path;
            let migrating = scope.spawn(move || {
                begun.send(()).unwrap();
                super::write(path, None).map(drop)
            });
            started.recv().unwrap();
            work.commit().unwrap();
            migrating.join().unwrap().unwrap();
        });
    }
}
