//! What each call does, as data.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What each call does once it is answered, step by step; then it hangs up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// The steps.
    #[serde(default)]
    pub step: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Step {
    /// Talks for so long.
    Talk {
        /// How long.
        seconds: f64,
    },
    /// Sends digits.
    Dtmf {
        /// Which.
        digits: String,
    },
    /// Puts the far end on hold for so long, and takes it back.
    Hold {
        /// How long.
        seconds: f64,
    },
    /// Sends the far end to somebody else; the call ends by that.
    Transfer {
        /// To whom.
        to: String,
    },
}

/// A scenario that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// There is no such file.
    #[error("scenario \"{name}\" is none of {} and cannot be read: {source}", names())]
    Read {
        /// What was asked for.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not understood.
    #[error("scenario {name}: {source}")]
    Parse {
        /// Which file.
        name: String,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// A time that is none.
    #[error("scenario {0}: {1} is no time; write seconds from 0 to 86400")]
    Seconds(String, f64),
}

/// The scenarios that need no file.
const BUILT_IN: [(&str, &str); 3] = [
    ("call", "name = 'call'\n[[step]]\ndo = 'talk'\nseconds = 5"),
    (
        "dtmf",
        "name = 'dtmf'\n[[step]]\ndo = 'talk'\nseconds = 1\n[[step]]\ndo = 'dtmf'\ndigits = '1234#'\n[[step]]\ndo = 'talk'\nseconds = 1",
    ),
    (
        "hold",
        "name = 'hold'\n[[step]]\ndo = 'talk'\nseconds = 1\n[[step]]\ndo = 'hold'\nseconds = 2\n[[step]]\ndo = 'talk'\nseconds = 1",
    ),
];

fn names() -> String {
    BUILT_IN.map(|(name, _)| name).join(", ")
}

impl Scenario {
    /// A built-in one by its name, or that of a TOML file.
    ///
    /// # Errors
    /// When it cannot be read or is not understood.
    pub fn load(name: &str) -> Result<Self, ScenarioError> {
        let text = match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => (*text).to_owned(),
            None => {
                std::fs::read_to_string(name).map_err(|source| ScenarioError::Read { name: name.into(), source })?
            }
        };
        let scenario: Scenario = toml::from_str(&text)
            .map_err(|source| ScenarioError::Parse { name: name.into(), source: Box::new(source) })?;
        for step in &scenario.step {
            if let Step::Talk { seconds } | Step::Hold { seconds } = step
                && !(0.0..=86_400.0).contains(seconds)
            {
                return Err(ScenarioError::Seconds(name.into(), *seconds));
            }
        }
        Ok(scenario)
    }

    /// How long it takes from the answer on, when nothing goes wrong.
    pub fn length(&self) -> Duration {
        self.step.iter().map(Step::length).sum()
    }

    /// The same with other talk in place of its own: the first step that talks.
    #[must_use]
    pub fn talking(mut self, time: Duration) -> Self {
        if let Some(Step::Talk { seconds }) = self.step.iter_mut().find(|step| matches!(step, Step::Talk { .. })) {
            *seconds = time.as_secs_f64();
        }
        self
    }
}

impl Step {
    /// How long it takes.
    pub fn length(&self) -> Duration {
        match self {
            Step::Talk { seconds } | Step::Hold { seconds } => Duration::from_secs_f64(*seconds),
            // 100 ms and a pause of 50 each.
            Step::Dtmf { digits } => Duration::from_millis(150 * digits.len() as u64),
            Step::Transfer { .. } => Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_built_in_are_whole_and_files_are_read() {
        for (name, _) in BUILT_IN {
            let scenario = Scenario::load(name).unwrap();
            assert_eq!(scenario.name, name);
            assert!(scenario.length() >= Duration::from_secs(2));
        }
        let scenario = Scenario::load("call").unwrap().talking(Duration::from_secs(9));
        assert_eq!(scenario.length(), Duration::from_secs(9));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.toml");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Scenario::load(path.to_str().unwrap())
        };
        let scenario = load("name = 'x'\n[[step]]\ndo = 'transfer'\nto = 'sip:a@b'").unwrap();
        assert_eq!(scenario.step, [Step::Transfer { to: "sip:a@b".into() }]);
        assert!(load("name = 'x'\n[[step]]\ndo = 'dance'").unwrap_err().to_string().contains("dance"));
        assert!(load("name = 'x'\n[[step]]\ndo = 'talk'\nseconds = -1").unwrap_err().to_string().contains("-1"));
        assert!(Scenario::load("nothing").unwrap_err().to_string().contains("call, dtmf, hold"));
    }
}
