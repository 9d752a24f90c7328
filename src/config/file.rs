//! The configuration file: where it is, and its values with their lines.

use super::layer::{Layers, Origin, Place, Setting};
use super::schema::{Section, nearest};
use super::{ConfigError, Environment};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

/// The environment variable that names the file.
pub(super) const FILE: &str = "SIDETONE_CONFIG";

/// The file of the whole machine.
const SYSTEM: &str = "/etc/sidetone/config.toml";

/// The file to read: `flag`, [`FILE`], `sidetone/config.toml` in the user's configuration directory, the machine's.
/// One that is named has to be there.
pub(super) fn find(flag: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
    if let Some(path) = flag {
        return Some(path.to_owned());
    }
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = set(FILE) {
        return Some(path);
    }
    // A relative directory is to be ignored (XDG Base Directory Specification).
    let directory = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let home = || set("HOME").map(|home| home.join(".config"));
    let own = directory.or_else(home).map(|directory| directory.join("sidetone/config.toml"));
    own.into_iter().chain([SYSTEM.into()]).find(|path| path.is_file())
}

/// Adds what a file says; keys that mean nothing go to `errors`.
///
/// # Errors
/// When it cannot be read, or is no TOML.
pub(super) fn add(layers: &mut Layers, path: &Path, errors: &mut Vec<ConfigError>) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
    let shared = Arc::new(path.to_owned());
    let lines = Lines { text: &text, origin: &|line| Origin::File(shared.clone(), line) };
    for (key, value) in lines.parse()?.get_ref() {
        let at = key.span();
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("phone", _) => lines.add_table(layers, Place::Phone, &at, value, errors),
            ("defaults", _) => lines.add_table(layers, Place::Defaults, &at, value, errors),
            ("account", DeValue::Table(accounts)) => {
                for (name, account) in accounts {
                    layers.add_account(name.get_ref());
                    let place = Place::Account(name.get_ref().to_string());
                    lines.add_table(layers, place, &name.span(), account, errors);
                }
            }
            (name, DeValue::Table(_)) => {
                let (known, origin) = (["phone", "defaults", "account"], lines.origin_of(&at));
                errors.push(ConfigError::UnknownKey {
                    line: origin.line(),
                    at: origin.to_string(),
                    key: format!("[{name}]"),
                    nearest: nearest(name, known).map(|name| format!("[{name}]")),
                });
            }
            ("account", _) => errors.push(lines.no_table(&at, "account")),
            (name, _) => errors.extend(layers.add(Place::Top, name, lines.setting(&at, value)).err()),
        }
    }
    Ok(())
}

/// The keys and values of a text with one table: a preset.
///
/// # Errors
/// When it is no TOML, or holds a key that an account does not have.
pub(super) fn account_of(text: &str, origin: &dyn Fn(usize) -> Origin) -> Result<Vec<(String, Setting)>, ConfigError> {
    let lines = Lines { text, origin };
    let known = Section::Account.keys();
    let mut settings = Vec::new();
    for (key, value) in lines.parse()?.get_ref() {
        let name = key.get_ref().as_ref();
        if !known.iter().any(|known| known == name) {
            let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
            let origin = lines.origin_of(&key.span());
            return Err(ConfigError::UnknownKey {
                line: origin.line(),
                at: origin.to_string(),
                key: name.to_owned(),
                nearest,
            });
        }
        settings.push((name.to_owned(), lines.setting(&key.span(), value)));
    }
    Ok(settings)
}

struct Lines<'a> {
    text: &'a str,
    origin: &'a dyn Fn(usize) -> Origin,
}

impl<'a> Lines<'a> {
    fn parse(&self) -> Result<Spanned<DeTable<'a>>, ConfigError> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let errors = errors.into_iter().map(|error| {
            let origin = self.origin_of(&error.span().unwrap_or_default());
            ConfigError::Syntax { line: origin.line(), at: origin.to_string(), why: error.message().to_owned() }
        });
        match ConfigError::of(errors.collect()) {
            None => Ok(table),
            Some(error) => Err(error),
        }
    }

    fn origin_of(&self, span: &Range<usize>) -> Origin {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        (self.origin)(1 + before.matches('\n').count())
    }

    fn setting(&self, key: &Range<usize>, value: &Spanned<DeValue<'_>>) -> Setting {
        Setting { value: plain(value.get_ref()), origin: self.origin_of(key) }
    }

    fn no_table(&self, at: &Range<usize>, name: &str) -> ConfigError {
        let why = format!("{name} is a table; write its keys under [{name}]");
        let origin = self.origin_of(at);
        ConfigError::Syntax { line: origin.line(), at: origin.to_string(), why }
    }

    fn add_table(
        &self,
        layers: &mut Layers,
        place: Place,
        at: &Range<usize>,
        table: &Spanned<DeValue<'_>>,
        errors: &mut Vec<ConfigError>,
    ) {
        let DeValue::Table(table) = table.get_ref() else {
            return errors.push(self.no_table(at, place.path("").trim_end_matches('.')));
        };
        for (key, value) in table {
            errors.extend(layers.add(place.clone(), key.get_ref(), self.setting(&key.span(), value)).err());
        }
    }
}

/// A value without its place.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        // Numbers that fit nowhere stay text, so that whoever reads them says what is wrong.
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::String(number.to_string()),
        },
        DeValue::Float(number) => {
            number.as_str().parse().map_or_else(|_| Value::String(number.to_string()), Value::Float)
        }
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(values) => Value::Array(values.iter().map(|value| plain(value.get_ref())).collect()),
        DeValue::Table(table) => {
            Value::Table(table.iter().map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref()))).collect())
        }
    }
}
