//! Finds the shared conformance data, which are never part of this repository.
#![allow(dead_code, unreachable_pub, reason = "each test crate uses its own part")]

pub mod damage;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The folder `vectors/NAME` of `$SIDETONE_SHARED`, else of `../shared` beside the project.
///
/// `None`, after saying so, when it is not there: the caller passes, its own fixtures cover the same ground.
pub fn vectors(name: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("SIDETONE_SHARED") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    let folder = root.join("vectors").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: {} is not there (set SIDETONE_SHARED to where it is)", folder.display());
    None
}

/// A file, exactly.
pub fn octets(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A tab-separated table with one header line; missing cells are empty.
pub fn table(path: &Path) -> Vec<HashMap<String, String>> {
    let text = String::from_utf8(octets(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut cells = line.split('\t');
            names.iter().map(|name| (name.to_string(), cells.next().unwrap_or_default().to_string())).collect()
        })
        .collect()
}

/// The names of the files in `folder` with this extension, sorted: to prove that a table names every file.
pub fn files(folder: &Path, extension: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|found| found == extension))
        .collect();
    names.sort();
    names
}
