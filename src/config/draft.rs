//! Everything that was set, in its layers, before it is read.

use super::layer::{Layers, Origin, Place, Setting};
use super::reader::Reader;
use super::schema::nearest;
use super::{ConfigError, Environment, Process, Profile, distinct, file, profile};
use std::path::{Path, PathBuf};
use toml::Value;

/// A flag as the highest layer of `[phone]`, if it was given.
#[derive(Clone, Debug)]
pub struct Over {
    pub(super) key: &'static str,
    flag: &'static str,
    value: Option<Value>,
}

impl Over {
    pub(super) fn new(key: &'static str, flag: &'static str, value: Option<impl Into<Value>>) -> Self {
        Self { key, flag, value: value.map(Into::into) }
    }
}

/// Everything that was set. What it is read into holds no bad value.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    pub(super) layers: Layers,
    pub(super) environment: &'a Environment,
    file: Option<PathBuf>,
}

impl<'a> Draft<'a> {
    /// What file and environment say; `file` names another file than the usual ones.
    ///
    /// # Errors
    /// When the file cannot be read, or either holds something that means nothing.
    pub fn gather(file: Option<&Path>, environment: &'a Environment) -> Result<Self, ConfigError> {
        let (draft, errors) = Self::gather_what_can_be(file, environment)?;
        match ConfigError::of(errors) {
            None => Ok(draft),
            Some(error) => Err(error),
        }
    }

    /// The same, with what means nothing beside what does.
    ///
    /// # Errors
    /// When the file cannot be read, or is no TOML.
    fn gather_what_can_be(
        file: Option<&Path>,
        environment: &'a Environment,
    ) -> Result<(Self, Vec<ConfigError>), ConfigError> {
        let (mut layers, mut errors) = (Layers::default(), Vec::new());
        let file = file::find(file, environment);
        if let Some(path) = &file {
            file::add(&mut layers, path, &mut errors)?;
        }
        environment.add(&mut layers, &mut errors);
        Ok((Self { layers, environment, file }, errors))
    }

    /// Reads everything, and tells everything that is wrong, in the order of the lines.
    ///
    /// # Errors
    /// One for each thing that is wrong.
    pub fn check(file: Option<&Path>, environment: &'a Environment) -> Result<Self, Vec<ConfigError>> {
        let (draft, mut errors) = Self::gather_what_can_be(file, environment).map_err(ConfigError::each)?;
        errors.extend(draft.process().err());
        errors.extend(draft.default_account().err());
        errors.extend(draft.accounts().iter().filter_map(|name| draft.profile(name).err()));
        if errors.is_empty() {
            // Each by itself is right.
            errors.extend(draft.profiles().err());
        }
        let mut errors: Vec<ConfigError> = errors.into_iter().flat_map(ConfigError::each).collect();
        let mut told = std::collections::HashSet::new();
        errors.retain(|error| told.insert(error.place()));
        errors.sort_by_key(|error| error.place().0.unwrap_or(usize::MAX));
        if errors.is_empty() { Ok(draft) } else { Err(errors) }
    }

    /// Lays flags over `[phone]`.
    ///
    /// # Errors
    /// When a key is none; a bug.
    pub fn over(&mut self, flags: Vec<Over>) -> Result<(), ConfigError> {
        for Over { key, flag, value } in flags {
            if let Some(value) = value {
                self.layers.add(Place::Phone, key, Setting { value, origin: Origin::Flag(flag) })?;
            }
        }
        Ok(())
    }

    /// The file that was read.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The names of the accounts, sorted.
    pub fn accounts(&self) -> Vec<String> {
        self.layers.accounts().into_iter().collect()
    }

    /// The account of that name.
    ///
    /// # Errors
    /// When there is none, or one of its values cannot be used.
    pub fn profile(&self, name: &str) -> Result<Profile, ConfigError> {
        self.known(name)?;
        profile::profile(&self.layers, name, self.environment)
    }

    /// All accounts.
    ///
    /// # Errors
    /// When a value of one cannot be used, or calls for one could be for another.
    pub fn profiles(&self) -> Result<Vec<Profile>, ConfigError> {
        self.default_account()?;
        let profiles: Vec<Profile> = self.accounts().iter().map(|name| self.profile(name)).collect::<Result<_, _>>()?;
        distinct(&profiles)?;
        Ok(profiles)
    }

    /// What all accounts share.
    ///
    /// # Errors
    /// When one of its values cannot be used.
    pub fn process(&self) -> Result<Process, ConfigError> {
        Process::read(self.layers.of(&Place::Phone), self.environment)
    }

    /// The account of commands that name none: the default one, or the only one.
    ///
    /// # Errors
    /// When the default account is none.
    pub fn default_account(&self) -> Result<Option<String>, ConfigError> {
        let reader = Reader::new(Place::Top, self.layers.of(&Place::Top), self.environment);
        if let Some(name) = reader.word("default_account")? {
            self.known(&name).map_err(|error| reader.wrong("default_account", error))?;
            return Ok(Some(name));
        }
        let mut names = self.accounts();
        Ok(if names.len() == 1 { names.pop() } else { None })
    }

    /// An account of that name has to be there.
    pub(super) fn known(&self, name: &str) -> Result<(), ConfigError> {
        let known = self.accounts();
        if known.iter().any(|known| known == name) {
            return Ok(());
        }
        let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        Err(ConfigError::NoSuchAccount { name: name.to_owned(), known, nearest })
    }
}

impl Environment {
    /// Where the call log is, as far as the usual configuration says.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub fn database(&self, flag: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
        match flag {
            Some(path) => Ok(path),
            None => Ok(Draft::gather(None, self)?.process()?.database(None)),
        }
    }
}
