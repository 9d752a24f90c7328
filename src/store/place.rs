//! Where the database is.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the database is when nobody says otherwise: `$SIDETONE_DB`, else `sidetone/sidetone.db` below
/// `$XDG_DATA_HOME`, else below `~/.local/share` (XDG Base Directory Specification), else below the working directory.
pub fn default_path() -> PathBuf {
    path_from(|name| env::var_os(name))
}

/// [`default_path`] with the environment as an argument.
pub fn path_from(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = set("SIDETONE_DB") {
        return path;
    }
    // The specification has relative paths ignored.
    let data = set("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let home = || set("HOME").or_else(|| set("USERPROFILE")).map(|home| home.join(".local/share"));
    data.or_else(home).unwrap_or_default().join("sidetone").join("sidetone.db")
}

/// The directory beside the database where recordings are noted while they are written.
pub fn journal_of(database: &Path) -> PathBuf {
    let mut name = database.file_stem().unwrap_or_default().to_os_string();
    name.push("-recordings");
    database.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(variables: &[(&str, &str)]) -> String {
        let found = path_from(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()));
        found.display().to_string()
    }

    #[test]
    fn the_environment_says_where() {
        let home = ("HOME", "/home/ann");
        assert_eq!(path(&[home]), "/home/ann/.local/share/sidetone/sidetone.db");
        assert_eq!(path(&[home, ("XDG_DATA_HOME", "/data")]), "/data/sidetone/sidetone.db");
        assert_eq!(path(&[home, ("XDG_DATA_HOME", "data")]), "/home/ann/.local/share/sidetone/sidetone.db");
        assert_eq!(path(&[home, ("XDG_DATA_HOME", "/data"), ("SIDETONE_DB", "calls.db")]), "calls.db");
        assert_eq!(path(&[home, ("SIDETONE_DB", "")]), "/home/ann/.local/share/sidetone/sidetone.db");
        assert_eq!(path(&[]), "sidetone/sidetone.db");
    }
}
