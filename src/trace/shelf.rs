//! The traces on disk, for whoever wants to read them.

use super::entry::{Entry, Head, OUTSIDE, Subject, Trace};
use super::keeper::{SUFFIX, hide};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Which trace is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest call.
    Last,
    /// A call by its id or the beginning of it.
    Call(String),
    /// The registration of an account, by its address of record or the user part of it.
    Registration(String),
    /// What belongs to no call and no registration.
    Outside,
}

impl FromStr for Which {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix("registration:") {
            Some(account) => Which::Registration(account.to_owned()),
            None if text == "last" => Which::Last,
            None if text == OUTSIDE => Which::Outside,
            None => Which::Call(text.to_owned()),
        })
    }
}

/// Why a trace cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// There is none at all.
    #[error(
        "there are no traces in {}; they are written when a call ends, unless --no-trace is given, and --db names another place",
        directory.display()
    )]
    Empty {
        /// Where they would be.
        directory: PathBuf,
    },
    /// None of that name.
    #[error("there is no trace of {wanted}; `sidetone trace list` shows what there is")]
    Unknown {
        /// What was asked for.
        wanted: String,
    },
    /// More than one begins so.
    #[error("{wanted} is not unique: {found}; give more of it")]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// What begins so.
        found: String,
    },
    /// It was recorded without secrets.
    #[error(
        "the trace of {wanted} was recorded without secrets, so there are none to show; record with --trace-secrets"
    )]
    NoSecrets {
        /// What was asked for.
        wanted: String,
    },
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A directory of traces.
#[derive(Clone, Debug)]
pub struct Shelf {
    directory: PathBuf,
}

impl Shelf {
    /// The traces in `directory`, which need not exist.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// All of them, newest first, registrations and what belongs to nobody at the end. Files that are none, or of a later version, are left out.
    ///
    /// # Errors
    /// [`ShelfError::Read`] when the directory is there and cannot be read.
    pub fn list(&self) -> Result<Vec<Head>, ShelfError> {
        let mut heads: Vec<Head> = self.paths()?.iter().filter_map(|path| head(path).ok()).collect();
        let place = |head: &Head| match head.subject {
            Subject::Call(_) => 0,
            Subject::Registration(_) => 1,
            Subject::Outside => 2,
        };
        heads.sort_by(|one, two| place(one).cmp(&place(two)).then(two.began.cmp(&one.began)));
        Ok(heads)
    }

    /// One of them; without its secrets unless `secrets`.
    ///
    /// # Errors
    /// [`ShelfError`] when there is none, more than one, or none with secrets.
    pub fn find(&self, which: &Which, secrets: bool) -> Result<Trace, ShelfError> {
        let heads = self.list()?;
        if heads.is_empty() {
            return Err(ShelfError::Empty { directory: self.directory.clone() });
        }
        let found: Vec<&Head> = match which {
            Which::Last => heads.iter().filter(|head| matches!(head.subject, Subject::Call(_))).take(1).collect(),
            Which::Call(prefix) => {
                let same = |id: &str| id == prefix;
                let begins = |id: &str| !prefix.is_empty() && id.starts_with(prefix.as_str());
                by(&heads, &same, &begins, |subject| match subject {
                    Subject::Call(id) => Some(id),
                    Subject::Registration(_) | Subject::Outside => None,
                })
            }
            Which::Registration(account) => {
                let same = |aor: &str| aor == account || address(aor) == account;
                let begins = |aor: &str| {
                    address(aor).split('@').next() == Some(account.as_str()) || address(aor).starts_with(account)
                };
                by(&heads, &same, &begins, |subject| match subject {
                    Subject::Registration(aor) => Some(aor),
                    Subject::Call(_) | Subject::Outside => None,
                })
            }
            Which::Outside => heads.iter().filter(|head| head.subject == Subject::Outside).collect(),
        };
        let wanted = match which {
            Which::Last => "any call".to_owned(),
            Which::Call(prefix) => format!("the call {prefix}"),
            Which::Registration(account) => format!("the registration of {account}"),
            Which::Outside => "messages outside of calls and registrations".to_owned(),
        };
        let head = match found.as_slice() {
            [] => return Err(ShelfError::Unknown { wanted }),
            [head] => *head,
            several => {
                let found = several.iter().map(|head| head.subject.name()).collect::<Vec<_>>().join(", ");
                return Err(ShelfError::Ambiguous { wanted, found });
            }
        };
        if secrets && !head.secrets {
            return Err(ShelfError::NoSecrets { wanted });
        }
        let mut trace = self.read(&head.subject)?;
        if !secrets {
            trace.entries.iter_mut().for_each(hide);
        }
        Ok(trace)
    }

    fn read(&self, subject: &Subject) -> Result<Trace, ShelfError> {
        let path = self.directory.join(super::keeper::file_name(subject));
        let failed = |source| ShelfError::Read { path: path.clone(), source };
        let mut lines = BufReader::new(File::open(&path).map_err(failed)?).lines();
        let head = lines.next().transpose().map_err(failed)?.unwrap_or_default();
        let head = serde_json::from_str(&head).map_err(|error| failed(error.into()))?;
        let entries = lines
            .map(|line| line.and_then(|line| Ok(serde_json::from_str::<Entry>(&line)?)))
            .collect::<io::Result<Vec<_>>>()
            .map_err(failed)?;
        Ok(Trace { head, entries })
    }

    fn paths(&self) -> Result<Vec<PathBuf>, ShelfError> {
        let failed = |source| ShelfError::Read { path: self.directory.clone(), source };
        match fs::read_dir(&self.directory) {
            Ok(entries) => Ok(entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|extension| extension == SUFFIX))
                .collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
        }
    }
}

/// The heads whose name is the same; if there is none, those whose name begins so.
fn by<'a>(
    heads: &'a [Head],
    same: &dyn Fn(&str) -> bool,
    begins: &dyn Fn(&str) -> bool,
    name: impl Fn(&Subject) -> Option<&String>,
) -> Vec<&'a Head> {
    let filter = |test: &dyn Fn(&str) -> bool| -> Vec<&'a Head> {
        heads.iter().filter(|head| name(&head.subject).is_some_and(|name| test(name))).collect()
    };
    let exact = filter(same);
    if exact.is_empty() { filter(begins) } else { exact }
}

/// An address of record without its scheme.
fn address(aor: &str) -> &str {
    aor.strip_prefix("sip:").or_else(|| aor.strip_prefix("sips:")).unwrap_or(aor)
}

/// The first line of a file.
fn head(path: &Path) -> io::Result<Head> {
    let mut line = String::new();
    BufReader::new(File::open(path)?).read_line(&mut line)?;
    let head: Head = serde_json::from_str(&line)?;
    // A file that was copied here under another name would be found but not read.
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let own = name.as_deref() == Some(super::keeper::file_name(&head.subject).as_str());
    let known = head.version == super::entry::VERSION && own;
    if known { Ok(head) } else { Err(io::ErrorKind::InvalidData.into()) }
}
