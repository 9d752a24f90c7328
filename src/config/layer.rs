//! Settings in layers: each value with where it comes from; the higher layer wins.
//!
//! ```text
//!  default < preset < file ([defaults] < [account.NAME]) < environment < flags
//! ```

use super::ConfigError;
use super::schema::{Section, nearest};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use toml::Value;

/// Where a value comes from, lowest layer first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Built in.
    Default,
    /// A preset of this name.
    Preset(&'static str),
    /// A line of a file.
    File(Arc<PathBuf>, usize),
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(&'static str),
}

impl Origin {
    fn layer(&self) -> u8 {
        match self {
            Origin::Default => 0,
            Origin::Preset(_) => 1,
            Origin::File(..) => 2,
            Origin::Environment(_) => 3,
            Origin::Flag(_) => 4,
        }
    }

    /// The line of a file.
    pub(super) fn line(&self) -> Option<usize> {
        match self {
            Origin::File(_, line) => Some(*line),
            _ => None,
        }
    }

    /// Is a value from there text that stands for something else: a number, a list?
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Origin::Environment(_) | Origin::Flag(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Preset(name) => write!(f, "preset {name}"),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => f.write_str(name),
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}

/// Where a key belongs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Outside of every table.
    Top,
    /// `[phone]`.
    Phone,
    /// `[defaults]`.
    Defaults,
    /// `[account.NAME]`.
    Account(String),
}

impl Place {
    /// Which keys it has.
    pub(super) fn section(&self) -> Section {
        match self {
            Place::Top => Section::Top,
            Place::Phone => Section::Phone,
            Place::Defaults | Place::Account(_) => Section::Account,
        }
    }

    /// The key as it is written outside of every table.
    pub(super) fn path(&self, key: &str) -> String {
        match self {
            Place::Top => key.to_owned(),
            Place::Phone => format!("phone.{key}"),
            Place::Defaults => format!("defaults.{key}"),
            Place::Account(name) => format!("account.{name}.{key}"),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    /// As it was written, references to secrets not resolved.
    pub(super) value: Value,
    /// Where.
    pub(super) origin: Origin,
}

/// All layers.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers {
    places: BTreeMap<Place, BTreeMap<String, Setting>>,
}

impl Layers {
    /// Adds a value; one of a higher layer stays.
    ///
    /// # Errors
    /// When there is no such key.
    pub(super) fn add(&mut self, place: Place, key: &str, setting: Setting) -> Result<(), ConfigError> {
        let known = place.section().keys();
        if !known.iter().any(|name| name == key) {
            return Err(ConfigError::UnknownKey {
                line: setting.origin.line(),
                at: setting.origin.to_string(),
                key: place.path(key),
                nearest: nearest(key, known.iter().map(String::as_str)).map(str::to_owned),
            });
        }
        let settings = self.places.entry(place).or_default();
        if settings.get(key).is_none_or(|old| old.origin.layer() <= setting.origin.layer()) {
            settings.insert(key.to_owned(), setting);
        }
        Ok(())
    }

    /// The names of all accounts.
    pub(super) fn accounts(&self) -> BTreeSet<String> {
        let names = self.places.keys().filter_map(|place| match place {
            Place::Account(name) => Some(name.clone()),
            _ => None,
        });
        names.collect()
    }

    /// An account is there even when nothing is said about it.
    pub(super) fn add_account(&mut self, name: &str) {
        self.places.entry(Place::Account(name.to_owned())).or_default();
    }

    /// The settings of a place.
    pub(super) fn of(&self, place: &Place) -> BTreeMap<String, Setting> {
        self.places.get(place).cloned().unwrap_or_default()
    }

    /// The settings of an account: its own, those of `[defaults]`, and what is below them.
    pub(super) fn account(&self, name: &str, below: &BTreeMap<String, Setting>) -> BTreeMap<String, Setting> {
        let mut merged = below.clone();
        for place in [Place::Defaults, Place::Account(name.to_owned())] {
            for (key, setting) in self.places.get(&place).into_iter().flatten() {
                if merged.get(key).is_none_or(|old| old.origin.layer() <= setting.origin.layer()) {
                    merged.insert(key.clone(), setting.clone());
                }
            }
        }
        merged
    }
}
