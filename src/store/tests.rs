//! The store as its users see it: real files, real processes.

use super::fixture::{fresh, record};
use super::*;
use crate::call::record::CallDirection;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const SOON: Duration = Duration::from_secs(20);

fn options() -> Options {
    // No attempt by itself: a test says when.
    Options { retry: Duration::from_secs(3600), ..Options::default() }
}

fn open(path: &Path) -> Store {
    Store::open(path, options()).unwrap()
}

fn statuses(path: &Path) -> Vec<Status> {
    Reader::open(path).unwrap().history(&Query::default()).unwrap().iter().map(|call| call.status).collect()
}

fn live_files(directory: &Path) -> usize {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".live")).count()
}

/// This test run again as a process of its own, as the child that `SIDETONE_TEST_CHILD` tells it to be.
fn child(test: &str, database: &Path, through: &[&str]) -> Child {
    let binary = std::env::current_exe().unwrap();
    let mut words = through.iter().map(std::ffi::OsStr::new).chain([binary.as_os_str()]);
    Command::new(words.next().unwrap())
        .args(words)
        .args(["--exact", &format!("store::tests::{test}"), "--nocapture"])
        .env("SIDETONE_TEST_CHILD", database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn child_database() -> Option<PathBuf> {
    std::env::var_os("SIDETONE_TEST_CHILD").map(PathBuf::from)
}

/// Reads what a child prints up to the line that starts with `word`; the rest of that line.
fn told(output: &mut impl BufRead, word: &str) -> String {
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        if let Some(at) = line.find(word) {
            return line[at + word.len()..].trim().to_owned();
        }
        line.clear();
    }
    panic!("the child ended without saying {word}");
}

#[test]
fn every_field_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/calls.db");
    let store = open(&path);
    assert_eq!(store.health(), Health::default());
    let full = record();
    let bare = Record { id: "bare".into(), created_at: jiff::Timestamp::MIN, ..fresh("bare") };
    store.started(&Record { status: Status::InProgress, ended_at: None, ..full.clone() });
    store.updated(&Record { status: Status::InProgress, codec: None, ..full.clone() });
    store.finished(&full);
    store.started(&bare);
    assert_eq!(store.history(&Query::default()).unwrap(), [full.clone(), bare.clone()]);
    assert_eq!(store.get(&full.id).unwrap(), Some(full.clone()));
    assert_eq!(store.get("nobody").unwrap(), None);
    // A late change does not reopen a call.
    store.updated(&Record { status: Status::InProgress, ..full.clone() });
    assert_eq!(store.get(&full.id).unwrap(), Some(full));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[cfg(unix)]
#[test]
fn a_recording_need_not_be_utf8() {
    use std::os::unix::ffi::OsStringExt;
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("calls.db"));
    let name = std::ffi::OsString::from_vec(b"/tmp/caf\xe9.wav".to_vec());
    let call = Record { recording: Some(name.into()), ..record() };
    store.finished(&call);
    assert_eq!(store.get(&call.id).unwrap(), Some(call));
}

#[test]
fn queries_find_what_they_ask_for() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("calls.db"));
    let out = Record { id: "out".into(), ..record() };
    let inbound = Record {
        id: "in".into(),
        direction: CallDirection::Inbound,
        status: Status::Missed,
        from: "sip:Bob@host.example:5060".into(),
        to: "sip:200@127.0.0.1".into(),
        number: Some("200".into()),
        account: None,
        created_at: "2026-01-03T00:00:00Z".parse().unwrap(),
        ..record()
    };
    store.finished(&out);
    store.finished(&inbound);
    let found = |query: Query| {
        let calls = store.history(&query).unwrap();
        calls.iter().map(|call| call.id.clone()).collect::<Vec<_>>().join(" ")
    };
    let number = |number: &str| found(Query { number: Some(number.into()), ..Query::default() });
    assert_eq!(found(Query::default()), "in out", "newest first");
    assert_eq!(found(Query { limit: Some(1), ..Query::default() }), "in");
    assert_eq!(found(Query { direction: Some(CallDirection::Outbound), ..Query::default() }), "out");
    assert_eq!(found(Query { status: Some(Status::Missed), ..Query::default() }), "in");
    assert_eq!(found(Query { status: Some(Status::Failed), ..Query::default() }), "");
    assert_eq!(found(Query { account: Some("ann@TRUNK.example".into()), ..Query::default() }), "out");
    assert_eq!(number("+1 (555) 010-0002"), "out");
    assert_eq!(number("0015550100001"), "out");
    assert_eq!(number("0100002"), "out");
    assert_eq!(number("bOB"), "in");
    assert_eq!(number("127.0.0.1"), "in");
    assert_eq!(number("5060"), "", "ports are no numbers");
    assert_eq!(number("200"), "in");
    assert_eq!(number("%"), "", "no wildcards");
    let both = Query { number: Some("200".into()), status: Some(Status::Completed), ..Query::default() };
    assert_eq!(found(both), "");
}

#[test]
fn a_killed_process_leaves_an_interrupted_call() {
    if let Some(database) = child_database() {
        let store = open(&database);
        store.started(&Record { answered_at: Some("2026-01-02T03:04:07Z".parse().unwrap()), ..fresh("killed") });
        store.flush(SOON).unwrap();
        println!("\nwritten");
        // Lives until it is killed, or its parent is gone.
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::abort();
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls.db");
    let mut process = child("a_killed_process_leaves_an_interrupted_call", &path, &[]);
    let mut output = BufReader::new(process.stdout.take().unwrap());
    told(&mut output, "written");
    // Another phone on the same database, while the first lives.
    let mine = open(&path);
    mine.started(&fresh("mine"));
    mine.flush(SOON).unwrap();
    assert_eq!(statuses(&path), [Status::InProgress; 2]);
    process.kill().unwrap();
    process.wait().unwrap();
    let next = open(&path);
    let killed = next.get("killed").unwrap().unwrap();
    assert_eq!(killed.status, Status::Interrupted);
    assert!(killed.ended_at > killed.answered_at, "the heartbeat says when it was last alive");
    assert!(killed.talk_seconds.is_some_and(|seconds| seconds > 0.0));
    assert_eq!(killed.ended_by, None);
    assert_eq!(next.get("mine").unwrap().unwrap().status, Status::InProgress, "a living process keeps its calls");
    mine.finished(&Record { id: "mine".into(), ..record() });
    mine.close(SOON).unwrap();
    assert_eq!(next.get("mine").unwrap().unwrap().status, Status::Completed);
    assert_eq!(live_files(directory.path()), 0, "no lock file stays behind");
}

#[test]
fn a_call_that_nobody_finished_is_interrupted_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls.db");
    let store = open(&path);
    store.started(&fresh("left"));
    store.close(SOON).unwrap();
    store.started(&fresh("too late"));
    store.finished(&record());
    assert_eq!(store.health().lost, 1, "a closed store says what it loses");
    assert_eq!(statuses(&path), [Status::InProgress]);
    drop(open(&path));
    assert_eq!(statuses(&path), [Status::Interrupted]);
    assert_eq!(live_files(directory.path()), 0);
}

#[test]
fn a_lock_file_that_was_taken_away_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls.db");
    let store = open(&path);
    store.started(&fresh("a"));
    store.flush(SOON).unwrap();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "live") {
            std::fs::remove_file(file).unwrap();
        }
    }
    store.started(&fresh("b"));
    store.flush(SOON).unwrap();
    drop(open(&path));
    assert_eq!(statuses(&path), [Status::InProgress; 2]);
}

#[test]
fn a_place_that_cannot_be_written_loses_no_call() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("place");
    // Stands for a read-only directory, also for root.
    std::fs::write(&place, "a file").unwrap();
    let path = place.join("calls.db");
    let store = open(&path);
    let mut watch = store.watch();
    let error = store.health().error.unwrap();
    assert!(error.contains("calls.db") && error.contains("SIDETONE_DB"), "{error}");
    store.started(&fresh("a"));
    store.finished(&Record { id: "a".into(), ..record() });
    let unwritten = store.flush(SOON).unwrap_err();
    assert_eq!((unwritten.records.len(), unwritten.reason), (1, error));
    assert!(matches!(store.history(&Query::default()), Err(StoreError::Missing { .. })));
    assert_eq!(store.waiting().len(), 1);
    assert!(store.health().failures >= 2);
    std::fs::remove_file(&place).unwrap();
    store.flush(SOON).unwrap();
    assert_eq!(store.health().error, None);
    assert_eq!(watch.borrow_and_update().error, None);
    assert_eq!(statuses(&path), [Status::Completed]);
}

#[cfg(unix)]
#[test]
fn a_read_only_directory_can_still_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("place");
    let path = place.join("calls.db");
    let store = open(&path);
    store.finished(&record());
    store.close(SOON).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
    std::fs::set_permissions(&place, PermissionsExt::from_mode(0o500)).unwrap();
    assert_eq!(statuses(&path), [Status::Completed]);
    let store = open(&path);
    store.finished(&Record { id: "second".into(), ..record() });
    if std::fs::File::create(place.join("probe")).is_ok() {
        println!("skipped: root writes everywhere");
        store.flush(SOON).unwrap();
    } else {
        assert_eq!(store.flush(SOON).unwrap_err().records.len(), 1);
        assert!(store.health().error.is_some());
    }
    std::fs::set_permissions(&place, PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    store.flush(SOON).unwrap();
    assert_eq!(statuses(&path), [Status::Completed; 2]);
}

/// A call with a kilobyte of metadata.
fn bulky(id: usize) -> Record {
    let metadata = serde_json::json!({"note": "x".repeat(1024)}).as_object().cloned().unwrap();
    Record { id: format!("{id:04}"), metadata, ..record() }
}

#[test]
fn a_full_disk_loses_no_call_and_room_heals_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls.db");
    let store = Store::open(&path, Options { max_bytes: Some(160 * 1024), ..options() }).unwrap();
    assert_eq!(store.health().error, None);
    let mut written = 0;
    let unwritten = loop {
        store.finished(&bulky(written));
        match store.flush(SOON) {
            Ok(()) => written += 1,
            Err(unwritten) => break unwritten,
        }
        assert!(written < 1000, "the disk never filled");
    };
    assert!(unwritten.reason.contains("full"), "{}", unwritten.reason);
    assert_eq!(statuses(&path).len(), written);
    store.finished(&bulky(written + 1));
    assert_eq!(store.health().waiting, 2);
    rusqlite::Connection::open(&path).unwrap().execute("DELETE FROM call WHERE id < '0010'", []).unwrap();
    store.flush(SOON).unwrap();
    assert_eq!(store.health().error, None);
    assert_eq!(statuses(&path).len(), written + 2 - 10);
}

#[cfg(unix)]
#[test]
fn what_the_system_refuses_to_write_is_reported_at_the_end() {
    if let Some(database) = child_database() {
        let store = open(&database);
        (0..300).for_each(|id| store.finished(&bulky(id)));
        let left = store.close(SOON).map_or_else(|unwritten| unwritten.records.len(), |()| 0);
        println!("\nunwritten {left}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls.db");
    // Files end at some 200 blocks: write() fails in the middle of a batch, as on a full disk.
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 400; exec \"$0\" \"$@\""];
    let mut process = child("what_the_system_refuses_to_write_is_reported_at_the_end", &path, &limited);
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let left: usize = told(&mut output, "unwritten").parse().unwrap();
    assert!(process.wait().unwrap().success());
    assert!(left > 0, "the limit was not felt");
    assert_eq!(statuses(&path).len() + left, 300);
}

#[test]
fn a_full_queue_says_which_calls_are_lost() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("place");
    std::fs::write(&place, "a file").unwrap();
    let store = Store::open(&place.join("calls.db"), Options { queue: 2, ..options() }).unwrap();
    ["a", "b", "c"].iter().for_each(|id| store.started(&fresh(id)));
    assert_eq!(store.health().lost, 0, "the end of c may still find room");
    store.finished(&Record { id: "c".into(), ..record() });
    assert_eq!((store.health().lost, store.health().waiting), (1, 2));
}

#[test]
fn two_hundred_calls_and_their_readers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls.db");
    let store = open(&path);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let reader = Reader::open(&path).unwrap();
                    let mut seen = 0;
                    while seen < 200 {
                        let completed = Query { status: Some(Status::Completed), ..Query::default() };
                        let now = reader.history(&completed).unwrap().len();
                        assert!(now >= seen, "a finished call went away");
                        seen = now;
                    }
                })
            })
            .collect();
        for id in 0..200 {
            let call = Record { id: format!("{id}"), ..record() };
            store.started(&fresh(&call.id));
            store.updated(&Record { answered_at: call.answered_at, ..fresh(&call.id) });
            store.finished(&call);
        }
        store.flush(SOON).unwrap();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    assert_eq!(statuses(&path), [Status::Completed; 200]);
    assert_eq!(store.health(), Health::default());
}

#[test]
fn stores_that_start_together_migrate_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls.db");
    std::thread::scope(|scope| {
        for id in 0..6 {
            let path = &path;
            scope.spawn(move || {
                let store = open(path);
                assert_eq!(store.health().error, None);
                store.finished(&Record { id: id.to_string(), ..record() });
                store.close(SOON).unwrap();
            });
        }
    });
    assert_eq!(statuses(&path).len(), 6);
    drop(open(&path));
    let connection = rusqlite::Connection::open(&path).unwrap();
    let applied: u32 =
        connection.query_row("SELECT count(*) FROM refinery_schema_history", [], |row| row.get(0)).unwrap();
    assert_eq!(applied as usize, std::fs::read_dir("src/store/migrations").unwrap().count());
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn a_failing_place_is_tried_again_without_being_asked() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("place");
    std::fs::write(&place, "a file").unwrap();
    let path = place.join("calls.db");
    let store = Store::open(&path, Options { retry: Duration::from_millis(5), ..options() }).unwrap();
    let mut watch = store.watch();
    store.finished(&record());
    std::fs::remove_file(&place).unwrap();
    tokio::time::timeout(SOON, watch.wait_for(|health| health.error.is_none())).await.unwrap().unwrap();
    store.flush(SOON).unwrap();
    assert_eq!(statuses(&path), [Status::Completed]);
}

#[tokio::test]
async fn a_call_in_progress_shows_that_it_lives() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls.db");
    let store = Store::open(&path, Options { heartbeat: Duration::from_millis(5), ..options() }).unwrap();
    store.started(&fresh("a"));
    store.flush(SOON).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let seen = || connection.query_row("SELECT seen_at FROM process", [], |row| row.get::<_, String>(0)).unwrap();
    let first = seen();
    let changed = async {
        while seen() == first {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, changed).await.expect("no sign of life");
}

#[test]
fn something_else_is_not_taken_for_a_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    let text = "not a database, but long enough to look at; ".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let store = open(&path);
    assert!(store.health().error.unwrap().contains("not a database"));
    assert!(Reader::open(&path).is_err());
    drop(store);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}
