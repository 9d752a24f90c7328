//! Who we are to registrars: a name that stays the same over runs (RFC 5626 section 4.1), so that a new run replaces the
//! binding of the last one.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Programs of one user that run at once and have names of their own.
const AT_ONCE: usize = 64;

/// The name of this program, kept for it as long as this lives: two that run at once would take each other's place at
/// the registrar if they had the same.
#[derive(Debug)]
pub struct Instance {
    urn: String,
    _lock: Option<File>,
}

impl Instance {
    /// The first name in `directory` that no running program has; made when there is none.
    ///
    /// Where the directory cannot be written the name lasts for this run only.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn claim(directory: &Path) -> io::Result<Self> {
        match kept(directory) {
            Ok(Some(instance)) => return Ok(instance),
            Ok(None) => tracing::debug!("every kept instance name is in use"),
            Err(error) => {
                tracing::info!(directory = %directory.display(), %error, "no instance name can be kept; this run has its own");
            }
        }
        Ok(Self { urn: fresh()?, _lock: None })
    }

    /// The name: `urn:uuid:…`.
    pub fn urn(&self) -> &str {
        &self.urn
    }
}

fn kept(directory: &Path) -> io::Result<Option<Instance>> {
    fs::create_dir_all(directory)?;
    for number in 0..AT_ONCE {
        let path = directory.join(format!("instance-{number}"));
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => continue,
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        let mut text = String::new();
        // What is no text is no name either.
        let _ = (&file).take(100).read_to_string(&mut text);
        let known = text.trim().strip_prefix("urn:uuid:").is_some_and(|uuid| uuid::Uuid::try_parse(uuid).is_ok());
        let urn = if known { text.trim().to_owned() } else { fresh()? };
        if !known {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{urn}")?;
        }
        return Ok(Some(Instance { urn, _lock: Some(file) }));
    }
    Ok(None)
}

fn fresh() -> io::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(uuid::Builder::from_random_bytes(random).into_uuid().urn().to_string())
}

/// Where state is kept that is worth keeping but no data: `$SIDETONE_STATE`, else `sidetone` below `$XDG_STATE_HOME`,
/// else below `~/.local/state` (XDG Base Directory Specification), else below the working directory.
pub fn state_directory() -> PathBuf {
    state_from(|name| env::var_os(name))
}

fn state_from(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = set("SIDETONE_STATE") {
        return path;
    }
    let state = set("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let home = || set("HOME").or_else(|| set("USERPROFILE")).map(|home| home.join(".local/state"));
    state.or_else(home).unwrap_or_default().join("sidetone")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_outlives_its_run_and_is_not_shared() {
        let directory = tempfile::tempdir().unwrap();
        let first = Instance::claim(directory.path()).unwrap();
        let urn = first.urn().to_owned();
        assert!(urn.starts_with("urn:uuid:") && urn.len() == 45, "{urn}");
        let second = Instance::claim(directory.path()).unwrap();
        assert_ne!(second.urn(), urn, "two at once");
        drop(first);
        assert_eq!(Instance::claim(directory.path()).unwrap().urn(), urn, "the next run");
    }

    #[test]
    fn a_spoilt_name_is_made_anew_and_a_spoilt_directory_is_no_end() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("instance-0"), [0xff, 0xfe, b'x']).unwrap();
        let made = Instance::claim(directory.path()).unwrap().urn().to_owned();
        assert_eq!(Instance::claim(directory.path()).unwrap().urn(), made);
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Instance::claim(&file).unwrap().urn().starts_with("urn:uuid:"));
    }

    #[test]
    fn the_environment_says_where() {
        let path = |variables: &[(&str, &str)]| {
            state_from(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        assert_eq!(path(&[("HOME", "/h")]), Path::new("/h/.local/state/sidetone"));
        assert_eq!(path(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]), Path::new("/s/sidetone"));
        assert_eq!(path(&[("SIDETONE_STATE", "/t"), ("HOME", "/h")]), Path::new("/t"));
    }
}
