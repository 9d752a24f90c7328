//! File names of recordings by a template.

use std::path::{Component, Path, PathBuf};

/// What a template may hold.
const FIELDS: [&str; 8] = ["date", "time", "account", "from", "to", "number", "call_id", "direction"];

/// A value is cut here: file systems take names of 255 octets.
const LONGEST: usize = 60;

/// How recordings are named: text with fields in braces, and slashes for directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

/// A template that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongTemplate {
    /// A field that is none.
    #[error(
        "\"{0}\" is no field of a recording's name; use {{date}}, {{time}}, {{account}}, {{from}}, {{to}}, {{number}}, \
         {{call_id}} or {{direction}}"
    )]
    Field(String),
    /// It leads out of the directory of the recordings.
    #[error(
        "\"{0}\" leads out of the directory of the recordings; write a name below it, such as {{date}}/{{call_id}}.wav"
    )]
    Outside(String),
    /// It ends neither in `.wav` nor in `.opus`.
    #[error("\"{0}\" must end in .wav, .opus or .ogg")]
    Kind(String),
}

impl Default for Template {
    fn default() -> Self {
        Self("{date}T{time}Z_{from}_{call_id}.wav".into())
    }
}

impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Template {
    type Err = WrongTemplate;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = Path::new(text);
        if text.is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(WrongTemplate::Outside(text.into()));
        }
        if !["wav", "opus", "ogg"].iter().any(|kind| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(kind)))
        {
            return Err(WrongTemplate::Kind(text.into()));
        }
        for part in text.split('{').skip(1) {
            let field = part.split_once('}').map_or(part, |(field, _)| field);
            if !FIELDS.contains(&field) || !part.contains('}') {
                return Err(WrongTemplate::Field(field.into()));
            }
        }
        Ok(Self(text.into()))
    }
}

impl Template {
    /// The path below `directory`, with what `value` says of each field. Whatever is in a value stays in one name: what is
    /// no letter, digit or one of `+-_.@` is left out, and so are dots at its start and behind
    /// another dot.
    pub fn path(&self, directory: &Path, value: impl Fn(&str) -> String) -> PathBuf {
        let mut name = self.0.clone();
        for field in FIELDS {
            let place = format!("{{{field}}}");
            if name.contains(&place) {
                name = name.replace(&place, &safe(&value(field)));
            }
        }
        directory.join(name)
    }
}

fn safe(value: &str) -> String {
    let kept = value.chars().filter(|letter| letter.is_alphanumeric() || "+-_.@".contains(*letter));
    let mut text = String::new();
    for letter in kept.skip_while(|letter| *letter == '.') {
        if text.len() + letter.len_utf8() > LONGEST {
            break;
        }
        if letter != '.' || !text.ends_with('.') {
            text.push(letter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str, from: &str) -> PathBuf {
        let template: Template = template.parse().unwrap();
        template.path(Path::new("/rec"), |field| if field == "from" { from.into() } else { field.to_uppercase() })
    }

    #[test]
    fn fields_are_filled_and_nothing_leads_out_of_the_directory() {
        assert_eq!(path("{date}/{direction}_{from}.wav", "+1555"), Path::new("/rec/DATE/DIRECTION_+1555.wav"));
        for from in ["../../etc/passwd", "/etc/passwd", "..", "a\0b/../../c", "..\\..\\x"] {
            let path = path("x/{from}.opus", from);
            assert!(path.starts_with("/rec/x") && path.components().count() == 4, "{path:?}");
            assert!(!path.to_string_lossy().contains(".."), "{path:?}");
        }
        assert_eq!(path("{from}.wav", &"ü".repeat(500)).file_name().unwrap().len(), 60 + 4);
    }

    #[test]
    fn a_wrong_template_is_told_with_the_remedy() {
        let wrong = |text: &str| text.parse::<Template>().unwrap_err().to_string();
        assert!(wrong("{who}.wav").contains("{call_id}"));
        assert!(wrong("{date.wav").contains("\"date.wav\""));
        assert!(wrong("../{date}.wav").contains("leads out") && wrong("/tmp/{date}.wav").contains("leads out"));
        assert!(wrong("{date}").contains(".opus") && wrong("{date}.mp3").contains(".opus"));
    }
}
