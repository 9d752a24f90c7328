//! What the user may choose as source and sink, and what is chosen without being asked.

use super::device::{default_input, default_output};
use super::live::{Ear, Mouth};
use super::progress::{Country, Progress};
use super::wav::{self, WavError};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What we send.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Source {
    /// A microphone: the system's default, or the one named.
    Device(Option<String>),
    /// A WAV file, once and then silence, or for ever.
    File {
        /// Where it is.
        path: PathBuf,
        /// Starts again at its end.
        repeat: bool,
    },
    /// A sine of so many Hz at -12 dBFS.
    Tone(f64),
    /// A call-progress tone of a country.
    Progress(Progress, Country),
    /// Silence.
    #[default]
    Silence,
    /// What we hear is sent back at once.
    Echo,
    /// What another thread says; cannot be typed.
    Live(Mouth),
}

/// Where what we hear goes, besides a recording.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Sink {
    /// A loudspeaker: the system's default, or the one named.
    Device(Option<String>),
    /// Nowhere.
    #[default]
    Null,
    /// To another thread; cannot be typed.
    Live(Ear),
}

/// A source or sink that was chosen without being asked for, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen<T> {
    /// The choice.
    pub choice: T,
    /// One sentence for the user.
    pub sentence: String,
}

/// A source that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no audio source; use device, device:NAME, file:PATH, loop:PATH, tone:HZ (1 to 20000), progress:TONE or progress:TONE/COUNTRY (such as progress:busy/de), silence or echo"
)]
pub struct UnknownSource(pub String);

/// A sink that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no audio sink; use device, device:NAME or null")]
pub struct UnknownSink(pub String);

impl Source {
    /// The microphone if there is one, else silence.
    ///
    /// Opens the device to be sure, which may take a second.
    pub fn auto() -> Chosen<Self> {
        match default_input() {
            Ok(name) => {
                Chosen { choice: Source::Device(None), sentence: format!("sending from the sound device \"{name}\"") }
            }
            Err(reason) => Chosen {
                choice: Source::Silence,
                sentence: format!("sending silence: no sound device to record from ({reason})"),
            },
        }
    }

    /// Looks whether a file can be played, so that a wrong path is told before anyone is called.
    ///
    /// # Errors
    /// If the file cannot be read as WAV. Devices are not looked at: a call goes on without one.
    pub fn check(&self) -> Result<(), WavError> {
        match self {
            Source::File { path, .. } => wav::check(path),
            _ => Ok(()),
        }
    }
}

impl Sink {
    /// The loudspeaker if there is one, else nothing.
    ///
    /// Opens the device to be sure, which may take a second.
    pub fn auto() -> Chosen<Self> {
        match default_output() {
            Ok(name) => {
                Chosen { choice: Sink::Device(None), sentence: format!("playing on the sound device \"{name}\"") }
            }
            Err(reason) => {
                Chosen { choice: Sink::Null, sentence: format!("not playing: no sound device to play on ({reason})") }
            }
        }
    }
}

impl FromStr for Source {
    type Err = UnknownSource;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || UnknownSource(text.into());
        let (kind, value) = match text.split_once(':') {
            Some((kind, value)) if !value.is_empty() => (kind, Some(value)),
            Some(_) => return Err(error()),
            None => (text, None),
        };
        match (kind, value) {
            ("device", name) => Ok(Source::Device(name.map(Into::into))),
            ("file", Some(path)) => Ok(Source::File { path: path.into(), repeat: false }),
            ("loop", Some(path)) => Ok(Source::File { path: path.into(), repeat: true }),
            ("tone", Some(hz)) => match hz.parse() {
                Ok(hz) if (1.0..=20_000.0).contains(&hz) => Ok(Source::Tone(hz)),
                _ => Err(error()),
            },
            ("progress", Some(tone)) => {
                let (tone, country) = tone.split_once('/').unwrap_or((tone, "itu"));
                match (tone.parse(), country.parse()) {
                    (Ok(tone), Ok(country)) => Ok(Source::Progress(tone, country)),
                    _ => Err(error()),
                }
            }
            ("silence", None) => Ok(Source::Silence),
            ("echo", None) => Ok(Source::Echo),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Device(None) => f.write_str("device"),
            Source::Device(Some(name)) => write!(f, "device:{name}"),
            Source::File { path, repeat: false } => write!(f, "file:{}", path.display()),
            Source::File { path, repeat: true } => write!(f, "loop:{}", path.display()),
            Source::Tone(hz) => write!(f, "tone:{hz}"),
            Source::Progress(tone, country) => write!(f, "progress:{tone}/{country}"),
            Source::Silence => f.write_str("silence"),
            Source::Echo => f.write_str("echo"),
            Source::Live(_) => f.write_str("live"),
        }
    }
}

impl FromStr for Sink {
    type Err = UnknownSink;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "device" => Ok(Sink::Device(None)),
            None if text == "null" => Ok(Sink::Null),
            Some(("device", name)) if !name.is_empty() => Ok(Sink::Device(Some(name.into()))),
            _ => Err(UnknownSink(text.into())),
        }
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sink::Device(None) => f.write_str("device"),
            Sink::Device(Some(name)) => write!(f, "device:{name}"),
            Sink::Null => f.write_str("null"),
            Sink::Live(_) => f.write_str("live"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_sinks_are_written_as_they_are_read() {
        for text in [
            "device",
            "device:hw:CARD=0,DEV=0",
            "file:/a b/c:d.wav",
            "loop:x.wav",
            "tone:440",
            "tone:0.5e3",
            "progress:busy",
            "progress:ringback/us",
            "silence",
            "echo",
        ] {
            let Ok(source) = text.parse::<Source>() else { panic!("{text}") };
            assert_eq!(source.to_string().parse::<Source>().unwrap(), source);
        }
        assert_eq!("tone:440".parse(), Ok(Source::Tone(440.0)));
        assert_eq!("device:hw:CARD=0".parse(), Ok(Source::Device(Some("hw:CARD=0".into()))));
        for text in ["device", "device:x", "null"] {
            assert_eq!(text.parse::<Sink>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_understood_is_named_with_the_remedy() {
        for text in [
            "",
            "file",
            "file:",
            "tone",
            "tone:",
            "tone:0",
            "tone:20001",
            "tone:NaN",
            "tone:a",
            "progress:beep",
            "progress:busy/xx",
            "Silence",
            "echo:1",
            "mic",
        ] {
            let error = text.parse::<Source>().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\"")) && error.contains("file:PATH"), "{error}");
        }
        for text in ["", "device:", "file:x", "null:1"] {
            let error = text.parse::<Sink>().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\"")) && error.contains("null"), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_told_before_the_call() {
        let source: Source = "file:/nowhere/at all.wav".parse().unwrap();
        assert!(source.check().unwrap_err().to_string().contains("/nowhere/at all.wav"));
        assert!(Source::Device(None).check().is_ok());
    }
}
