//! Every value with its origin, secrets masked.

use super::draft::Draft;
use super::layer::{Place, Setting};
use super::reader::is_secret;
use super::schema::Section;
use super::{ConfigError, profile, secret};
use toml::Value;

/// What stands for a secret.
const MASK: &str = "********";

/// A value as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its table: `phone`, `account.NAME`, or nothing.
    pub table: String,
    /// Its key.
    pub key: String,
    /// The value as TOML, secrets masked; references stay references.
    pub value: String,
    /// Where it comes from.
    pub origin: String,
}

impl Draft<'_> {
    /// Every value that is in force, in the order of the tables and of the schema. What nothing is said about, and what
    /// has no value by itself, is left out.
    ///
    /// # Errors
    /// When an account has no such preset.
    pub fn shown(&self) -> Result<Vec<Shown>, ConfigError> {
        let mut shown = Vec::new();
        let mut add = |table: &str, section: Section, settings: &std::collections::BTreeMap<String, Setting>| {
            for key in section.keys() {
                if let Some(setting) = settings.get(&key) {
                    let value = masked(&key, &setting.value);
                    shown.push(Shown { table: table.to_owned(), key, value, origin: setting.origin.to_string() });
                }
            }
        };
        add("", Section::Top, &self.layers.of(&Place::Top));
        add("phone", Section::Phone, &self.layers.of(&Place::Phone));
        for name in self.accounts() {
            let settings = profile::settings(&self.layers, &name, self.environment)?;
            add(&format!("account.{}", bare(&name)), Section::Account, &settings);
        }
        Ok(shown)
    }
}

/// A name as a TOML key.
fn bare(name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet));
    if plain { name.to_owned() } else { Value::from(name).to_string() }
}

/// A value as TOML without what nobody should read: secrets that are written out, and the values of header fields that
/// are named as if they were some.
pub(super) fn masked(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) if is_secret(key) && is_reference(text) => value.to_string(),
        _ if is_secret(key) => Value::from(MASK).to_string(),
        Value::Array(values) if key == "headers" => {
            Value::Array(values.iter().map(|value| value.as_str().map_or_else(|| value.clone(), header)).collect())
                .to_string()
        }
        Value::String(text) if key == "headers" => header(text).to_string(),
        _ => value.to_string(),
    }
}

/// Nothing but one reference to a secret that stands elsewhere?
fn is_reference(text: &str) -> bool {
    let inner = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|inner| !inner.contains('}') && !secret::refers(inner))
}

fn header(text: &str) -> Value {
    const TELLING: [&str; 5] = ["token", "auth", "secret", "key", "password"];
    match text.split_once(':') {
        Some((name, value))
            if TELLING.iter().any(|word| name.to_ascii_lowercase().contains(word)) && !is_reference(value.trim()) =>
        {
            format!("{name}: {MASK}").into()
        }
        _ => text.into(),
    }
}
