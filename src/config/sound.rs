//! How sound devices are used: the keys, and the flags that overrule them.

use super::ConfigError;
use super::draft::Over;
use super::reader::Reader;
use crate::audio::{Country, DeviceOptions, Gain, VoiceOptions, Way, check_device};
use crate::audio::{Sink, Source};
use crate::phone::Tones;
use toml::Value;

/// What `ring_device` says for the system's own choice.
const DEFAULT: &str = "default";

/// How sound devices are used.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SoundFlags {
    /// How much louder the microphone is sent, from -60 to 30
    #[arg(long, value_name = "DB", allow_negative_numbers = true)]
    input_gain: Option<Gain>,
    /// How much louder the far end is played, from -60 to 30
    #[arg(long, value_name = "DB", allow_negative_numbers = true)]
    output_gain: Option<Gain>,
    /// Plays the own voice on the loudspeaker too, so loud: -20 is usual in a headset
    #[arg(long, value_name = "DB", allow_negative_numbers = true)]
    side_tone: Option<Gain>,
    /// Takes what the loudspeaker plays out of what the microphone hears
    #[arg(long)]
    echo_cancellation: bool,
    /// Turns steady noise down
    #[arg(long)]
    noise_suppression: bool,
    /// Brings speech to the same level, however far the speaker is
    #[arg(long)]
    automatic_gain: bool,
    /// Shows how loud both ways are, five times a second: device.levels with --json
    #[arg(long)]
    levels: bool,
    /// Whose tones tell how a call stands (ring-back, busy, congestion): a code such as de, gb or us; itu when absent
    #[arg(long, value_name = "CODE")]
    country: Option<Country>,
    /// Rings on this device when somebody calls: default, or as in --sink device:NAME; no device rings when absent
    #[arg(long, value_name = "NAME")]
    ring_device: Option<String>,
}

impl SoundFlags {
    /// The keys of the account that the flags overrule, each with the flag and its value.
    pub(super) fn settings(&self) -> Vec<(&'static str, &'static str, Option<Value>)> {
        let gain = |gain: Option<Gain>| gain.map(|gain| Value::from(gain.to_string()));
        let set = |flag: bool| flag.then(|| Value::from(true));
        vec![
            ("input_gain", "--input-gain", gain(self.input_gain)),
            ("output_gain", "--output-gain", gain(self.output_gain)),
            ("side_tone", "--side-tone", gain(self.side_tone)),
            ("echo_cancellation", "--echo-cancellation", set(self.echo_cancellation)),
            ("noise_suppression", "--noise-suppression", set(self.noise_suppression)),
            ("automatic_gain", "--automatic-gain", set(self.automatic_gain)),
        ]
    }

    /// Those of `[phone]`.
    pub fn over(&self) -> Vec<Over> {
        vec![
            Over::new("country", "--country", self.country.map(|country| country.to_string())),
            Over::new("ring_device", "--ring-device", self.ring_device.clone()),
        ]
    }

    /// Are levels to be shown?
    pub fn levels(&self) -> bool {
        self.levels
    }
}

/// How the calls of an account use sound devices.
pub(super) fn devices(reader: &Reader<'_>) -> DeviceOptions {
    let gain = |key| reader.noted(gain(reader, key));
    let voice = |key| {
        let wanted = reader.noted(reader.flag(key)).unwrap_or(false);
        if wanted && !VoiceOptions::is_possible() {
            let why = "this program was built without the feature `voice`; leave it out, or build with it";
            reader.noted::<()>(Err(reader.wrong(key, why)));
        }
        wanted
    };
    DeviceOptions {
        input_gain: gain("input_gain").unwrap_or_default(),
        output_gain: gain("output_gain").unwrap_or_default(),
        side_tone: gain("side_tone"),
        voice: VoiceOptions {
            echo_cancellation: voice("echo_cancellation"),
            noise_suppression: voice("noise_suppression"),
            automatic_gain: voice("automatic_gain"),
        },
        levels: false,
    }
}

fn gain(reader: &Reader<'_>, key: &'static str) -> Result<Option<Gain>, ConfigError> {
    let wrong = || reader.wrong(key, "write decibels from -60 to 30, such as -6");
    let db = reader.decibels(key).map_err(|_| wrong())?;
    db.map(|db| Gain::from_db(db).map_err(|_| wrong())).transpose()
}

/// The tones of calls that are not answered.
pub(super) fn tones(reader: &Reader<'_>) -> Tones {
    let device = |name: String| (name != DEFAULT).then_some(name);
    Tones {
        country: reader.noted(reader.parse("country")).unwrap_or_default(),
        ring: reader.noted(reader.word("ring_device")).map(device),
    }
}

/// Looks whether the devices are there that are named, so that a wrong name is told before anyone is called.
///
/// # Errors
/// With what there is, when one is not.
pub fn named_devices(source: &Source, sink: &Sink) -> Result<(), ConfigError> {
    if let Source::Device(Some(name)) = source {
        check_device(Way::In, name)?;
    }
    if let Sink::Device(Some(name)) = sink {
        check_device(Way::Out, name)?;
    }
    Ok(())
}
