//! Reads the sources and says no to what the design forbids: edges between rooms that point up, clocks and sockets in
//! pure rooms, files that nobody can read in one sitting, and names that tell nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms and the rooms that they may use (their own room and `time`, `random` always).
const MAY_USE: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("random", &[]),
    ("sip", &[]),
    ("sdp", &[]),
    ("stun", &[]),
    ("media", &["stun"]),
    ("call", &["sip", "sdp", "media"]),
    ("engine", &["call", "sip", "media"]),
    ("audio", &["media"]),
    ("net", &["sip", "stun"]),
    ("store", &["call", "media"]),
    ("trace", &["call", "sip"]),
    ("driver", &["engine", "call", "media", "net", "audio", "sip", "trace"]),
    ("phone", &["trace", "driver", "store", "audio", "engine", "call", "media", "net", "sip"]),
    ("loopback", &["phone", "sip", "net", "driver"]),
    ("carrier", &[]),
    ("doctor", &["phone", "trace", "driver", "net", "audio", "call", "sip"]),
    ("config", &["carrier", "trace", "audio", "call", "media", "sip", "phone", "engine", "store", "net"]),
    (
        "cli",
        &[
            "doctor", "trace", "phone", "config", "store", "loopback", "audio", "media", "call", "engine", "sip",
            "driver", "bench",
        ],
    ),
    ("bench", &["phone", "driver", "net", "audio", "engine", "call", "media", "sip"]),
    ("main", &["cli"]),
];

/// Rooms that know no clock, socket, thread, file or lock.
const PURE: &[&str] = &["sip", "sdp", "call", "media", "engine", "stun", "time", "random"];

/// Pure parts of rooms that are not pure as a whole.
const PURE_PARTS: &[&str] = &[
    "bench/impair/link",
    "bench/marker",
    "bench/playout/render.rs",
    "bench/playout/trace.rs",
    "bench/statistics.rs",
    "bench/latency/finder.rs",
    "bench/latency/prober.rs",
    "bench/load/arrival.rs",
];

/// What a pure room must not say.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "std::thread",
    "thread::spawn",
    "tokio",
    "rand::",
    "getrandom",
    "println!",
    "print!",
    "Mutex",
    "RwLock",
    "Atomic",
    "std::fs",
    "File::open",
    "UdpSocket",
    "TcpStream",
    "std::env",
    "std::process",
    "mio::",
    "socket2",
    "quinn_udp",
    "rusqlite",
    "cpal",
];

const NAMELESS: &[&str] = &[
    "utils", "util", "common", "helpers", "helper", "misc", "core", "manager", "handler", "types", "base", "v2", "new",
    "old",
];

const MAX_LINES: usize = 500;

struct Source {
    path: PathBuf,
    room: String,
    text: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    assert!(files.len() > 5, "only {} sources found below {}", files.len(), root.display());
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let relative = path.strip_prefix(&root).unwrap();
            let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
            let room = first.trim_end_matches(".rs").to_owned();
            let of_tests = relative.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"));
            let code = if of_tests { String::new() } else { strip(&text) };
            Source { path: relative.to_owned(), room, text, code }
        })
        .collect()
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The code without comments and without the tests at its bottom.
fn strip(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    code.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line }).collect::<Vec<_>>().join("\n")
}

/// The rooms that `code` names as `crate::room` or `crate::{room, …}`.
fn rooms_named(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with('$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut item = String::new();
            for character in list.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => rooms.push(first_word(&std::mem::take(&mut item))),
                    other if depth == 0 => item.push(other),
                    _ => {}
                }
            }
            rooms.push(first_word(&item));
        } else {
            rooms.push(first_word(rest));
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

#[test]
fn dependencies_point_down() {
    let mut wrong = Vec::new();
    for source in sources() {
        if source.room == "lib" {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(room, _)| *room == source.room) else {
            wrong.push(format!("{}: room `{}` is not in the table of this test", source.path.display(), source.room));
            continue;
        };
        for used in rooms_named(&source.code) {
            let known = MAY_USE.iter().any(|(room, _)| *room == used);
            let free = used == source.room || ["time", "random"].contains(&used.as_str());
            if known && !free && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: `{}` must not use `{used}`", source.path.display(), source.room));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "forbidden edges:\n{}", wrong.join("\n"));
}

#[test]
fn pure_rooms_know_no_clock_socket_thread_or_lock() {
    let mut wrong = Vec::new();
    let is_pure = |source: &&Source| {
        PURE.contains(&source.room.as_str()) || PURE_PARTS.iter().any(|part| source.path.starts_with(part))
    };
    for source in sources().iter().filter(is_pure) {
        for (number, line) in source.code.lines().enumerate() {
            for word in IMPURE {
                let found = line.match_indices(word).any(|(at, _)| {
                    !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '"')
                });
                if found {
                    wrong.push(format!("{}:{}: `{word}`", source.path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "in pure rooms:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_clock_reads_clocks() {
    const READS: &[&str] = &["Instant::now(", "SystemTime::now", "Timestamp::now", "Zoned::now"];
    let wrong: Vec<_> = sources()
        .iter()
        .filter(|source| source.path != Path::new("driver/clock.rs"))
        .filter(|source| READS.iter().any(|word| source.code.contains(word)))
        .map(|source| source.path.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "clocks are read outside driver/clock.rs: {wrong:?}");
}

#[test]
fn files_are_short_and_their_names_say_something() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > MAX_LINES {
            wrong.push(format!("{}: {lines} lines, more than {MAX_LINES}", source.path.display()));
        }
        for part in source.path.components() {
            let name = part.as_os_str().to_string_lossy();
            if NAMELESS.contains(&name.trim_end_matches(".rs")) {
                wrong.push(format!("{}: the name `{name}` tells nothing", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_unfinished() {
    let mut wrong = Vec::new();
    for source in sources() {
        for word in ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "TODO", "#[ignore"] {
            if source.text.contains(word) {
                wrong.push(format!("{}: {word}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_dependency_says_why() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let mut section = String::new();
    let mut explained = false;
    let mut wrong = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.to_owned();
            explained = false;
        } else if line.starts_with('#') {
            explained = !line.starts_with("# ---");
        } else if section.contains("dependencies]") && line.contains('=') {
            if !explained {
                wrong.push(line.to_owned());
            }
            explained = false;
        }
    }
    assert!(wrong.is_empty(), "without a comment that says why:\n{}", wrong.join("\n"));
}

#[test]
fn the_scanner_finds_what_it_forbids() {
    let named = rooms_named("use crate::{call::record, media};\nlet x = crate::store::Store;");
    assert_eq!(named, ["call", "media", "store"]);
    assert!(!strip("a\n// tokio\n#[cfg(test)]\nmod tests { tokio }").contains("tokio"));
}
