//! Settings of one place as the values that they mean; each refusal says where the value was written.

use super::layer::{Origin, Place, Setting};
use super::{ConfigError, Environment, secret, show};
use crate::time::Duration;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use toml::Value;

/// Reads the settings of one place.
pub(super) struct Reader<'a> {
    place: Place,
    settings: BTreeMap<String, Setting>,
    environment: &'a Environment,
    /// Keys that were asked for: a test holds them against the schema.
    asked: RefCell<BTreeSet<&'static str>>,
    /// What is wrong so far.
    errors: RefCell<Vec<ConfigError>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(place: Place, settings: BTreeMap<String, Setting>, environment: &'a Environment) -> Self {
        Self { place, settings, environment, asked: RefCell::default(), errors: RefCell::default() }
    }

    #[cfg(test)]
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.borrow().iter().map(|key| (*key).to_owned()).collect()
    }

    /// A value; of one that is wrong the default, and [`Reader::finish`] tells.
    pub(super) fn noted<T: Default>(&self, read: Result<T, ConfigError>) -> T {
        read.unwrap_or_else(|error| {
            self.errors.borrow_mut().push(error);
            T::default()
        })
    }

    /// What was read, if everything was right.
    ///
    /// # Errors
    /// Everything that was wrong.
    pub(super) fn finish<T>(&self, read: T) -> Result<T, ConfigError> {
        match ConfigError::of(self.errors.take()) {
            None => Ok(read),
            Some(error) => Err(error),
        }
    }

    /// The value of a key is wrong because of `why`, which also says what would do.
    pub(super) fn wrong(&self, key: &'static str, why: impl Display) -> ConfigError {
        let path = self.place.path(key);
        let what = match self.settings.get(key) {
            None => path,
            Some(Setting { value, origin }) => {
                let value = show::masked(key, value);
                match origin {
                    Origin::Flag(_) | Origin::Environment(_) => format!("{origin} {value}"),
                    Origin::File(..) | Origin::Preset(_) | Origin::Default => format!("{origin}: {path} = {value}"),
                }
            }
        };
        let line = self.settings.get(key).and_then(|setting| setting.origin.line());
        ConfigError::Value { line, what, why: why.to_string() }
    }

    fn setting(&self, key: &'static str) -> Option<&Setting> {
        self.asked.borrow_mut().insert(key);
        self.settings.get(key)
    }

    /// Text, its references resolved.
    pub(super) fn text(&self, key: &'static str) -> Result<Option<String>, ConfigError> {
        match self.setting(key).map(|setting| &setting.value) {
            None => Ok(None),
            // What stands on a command line is meant as it stands there.
            Some(Value::String(text))
                if matches!(self.settings.get(key), Some(Setting { origin: Origin::Flag(_), .. })) =>
            {
                Ok(Some(text.clone()))
            }
            Some(Value::String(text)) => {
                let (text, _) = secret::resolve(text, self.environment).map_err(|why| self.wrong(key, why))?;
                Ok(Some(text))
            }
            Some(_) => Err(self.wrong(key, "write it as text, in quotes")),
        }
    }

    /// Text that is not empty.
    pub(super) fn word(&self, key: &'static str) -> Result<Option<String>, ConfigError> {
        match self.text(key)? {
            Some(text) if text.trim().is_empty() => Err(self.wrong(key, "it is empty; leave the key out")),
            text => Ok(text),
        }
    }

    /// A word that means something.
    pub(super) fn parse<T: FromStr<Err: Display>>(&self, key: &'static str) -> Result<Option<T>, ConfigError> {
        self.text(key)?.map(|text| text.parse().map_err(|error| self.wrong(key, error))).transpose()
    }

    pub(super) fn path(&self, key: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self.word(key)?.map(PathBuf::from))
    }

    pub(super) fn flag(&self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        match self.setting(key) {
            None => Ok(None),
            Some(Setting { value: Value::Boolean(value), .. }) => Ok(Some(*value)),
            Some(Setting { value: Value::String(text), origin }) if origin.is_text() => match text.as_str() {
                "true" => Ok(Some(true)),
                "false" => Ok(Some(false)),
                _ => Err(self.wrong(key, "write true or false")),
            },
            Some(_) => Err(self.wrong(key, "write true or false")),
        }
    }

    /// A whole number.
    pub(super) fn whole(
        &self,
        key: &'static str,
        range: RangeInclusive<u32>,
        example: &str,
    ) -> Result<Option<u32>, ConfigError> {
        let number = self.number(key, example)?.map(|number| {
            let whole = number as u32;
            (f64::from(whole) == number && range.contains(&whole)).then_some(whole)
        });
        let fail = || {
            self.wrong(key, format!("give a whole number from {} to {}, such as {example}", range.start(), range.end()))
        };
        number.map(|number| number.ok_or_else(fail)).transpose()
    }

    /// A time in seconds.
    pub(super) fn seconds(
        &self,
        key: &'static str,
        range: RangeInclusive<f64>,
        example: &str,
    ) -> Result<Option<Duration>, ConfigError> {
        let Some(number) = self.number(key, example)? else { return Ok(None) };
        let time = Duration::try_from_secs_f64(number).ok().filter(|_| range.contains(&number));
        let fail =
            || self.wrong(key, format!("give seconds from {} to {}, such as {example}", range.start(), range.end()));
        time.map(Some).ok_or_else(fail)
    }

    /// A loudness, dB, that is not looked at further.
    pub(super) fn decibels(&self, key: &'static str) -> Result<Option<f64>, ConfigError> {
        self.number(key, "-6")
    }

    fn number(&self, key: &'static str, example: &str) -> Result<Option<f64>, ConfigError> {
        let number = match self.setting(key) {
            None => return Ok(None),
            Some(Setting { value: Value::Integer(number), .. }) => Some(*number as f64),
            Some(Setting { value: Value::Float(number), .. }) => Some(*number),
            Some(Setting { value: Value::String(text), origin }) if origin.is_text() => text.parse().ok(),
            Some(_) => None,
        };
        number.map(Some).ok_or_else(|| self.wrong(key, format!("give a number, such as {example}")))
    }

    /// A list of texts; of a variable or a flag, separated by commas.
    pub(super) fn list(&self, key: &'static str) -> Result<Option<Vec<String>>, ConfigError> {
        let fail = || self.wrong(key, "write a list of texts, such as [\"one\", \"two\"]");
        let resolve = |text: &str| secret::resolve(text, self.environment).map_err(|why| self.wrong(key, why));
        match self.setting(key) {
            None => Ok(None),
            Some(Setting { value: Value::Array(values), .. }) => {
                let texts = values.iter().map(|value| Ok(resolve(value.as_str().ok_or_else(fail)?)?.0));
                texts.collect::<Result<_, _>>().map(Some)
            }
            Some(Setting { value: Value::String(text), origin }) if origin.is_text() => {
                let (text, _) = resolve(text)?;
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Ok(Some(parts.map(str::to_owned).collect()))
            }
            Some(_) => Err(fail()),
        }
    }

    /// A list of texts, or one text that stands for such a list.
    pub(super) fn one_or_more(&self, key: &'static str) -> Result<Option<Vec<String>>, ConfigError> {
        match self.setting(key) {
            Some(Setting { value: Value::String(_), origin }) if !origin.is_text() => {
                Ok(self.word(key)?.map(|text| vec![text]))
            }
            _ => self.list(key),
        }
    }

    /// A list of words that mean something, each once.
    pub(super) fn words<T: FromStr<Err: Display> + PartialEq>(
        &self,
        key: &'static str,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some(texts) = self.list(key)? else { return Ok(None) };
        let mut words = Vec::new();
        for text in texts {
            let word = text.parse().map_err(|error| self.wrong(key, error))?;
            if !words.contains(&word) {
                words.push(word);
            }
        }
        Ok(Some(words))
    }
}

/// Is what a key holds never shown?
pub(super) fn is_secret(key: &str) -> bool {
    ["password", "hep_key"].contains(&key)
}
