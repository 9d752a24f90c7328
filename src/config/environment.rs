//! The environment, as far as it is asked for: an argument, so that tests need not touch their own.

use super::ConfigError;
use super::layer::{Layers, Origin, Place, Setting};
use super::schema::nearest;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use toml::Value;

/// What variables with settings start with: `SIDETONE__PHONE__BIND`, `SIDETONE__ACCOUNT__HOME__SRTP`.
const PREFIX: &str = "SIDETONE__";

/// Environment variables.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl fmt::Debug for Environment {
    /// Names only: values are passwords as often as not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<OsString> {
        self.0.get(OsStr::new(name)).cloned()
    }

    /// Adds the settings that variables hold. Variables that mean no key, or are not UTF-8, go to `errors`.
    pub(super) fn add(&self, layers: &mut Layers, errors: &mut Vec<ConfigError>) {
        for (name, value) in &self.0 {
            let Some(name) = name.to_str() else { continue };
            let Some(path) = name.strip_prefix(PREFIX) else { continue };
            let added = match value.to_str() {
                Some(value) => add(layers, name, path, value),
                None => Err(ConfigError::Encoding(name.to_owned())),
            };
            errors.extend(added.err());
        }
    }
}

/// Adds the setting of one variable; `path` is its name without the prefix.
fn add(layers: &mut Layers, name: &str, path: &str, value: &str) -> Result<(), ConfigError> {
    let setting = Setting { value: Value::String(value.to_owned()), origin: Origin::Environment(name.to_owned()) };
    let parts: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["account", account, key] => {
            // Names of variables have neither case nor dashes.
            let same = |name: &&String| name.to_ascii_lowercase().replace(['-', '.'], "_") == *account;
            let named = layers.accounts().iter().find(same).cloned();
            let named = named.unwrap_or_else(|| (*account).to_owned());
            layers.add(Place::Account(named), key, setting)
        }
        ["phone", key] => layers.add(Place::Phone, key, setting),
        ["defaults", key] => layers.add(Place::Defaults, key, setting),
        ["default_account"] => layers.add(Place::Top, "default_account", setting),
        [section, ..] => {
            let known = ["account", "phone", "defaults", "default_account"];
            Err(ConfigError::UnknownKey {
                line: None,
                at: "environment".into(),
                key: name.to_owned(),
                nearest: nearest(section, known)
                    .map(|section| format!("{PREFIX}{}__KEY", section.to_ascii_uppercase())),
            })
        }
        [] => Ok(()),
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
