//! Presets: how carriers want to be treated, as data. Each is a file of account keys; `?` in one marks what no document of
//! the carrier confirms, and every value can be overruled in the account.

/// A carrier's ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// What `preset = "..."` says.
    pub name: &'static str,
    /// Keys of an account, TOML.
    pub text: &'static str,
}

/// Every preset, by name.
pub const PRESETS: [Preset; 5] = [
    Preset { name: "generic", text: include_str!("presets/generic.toml") },
    Preset { name: "signalwire", text: include_str!("presets/signalwire.toml") },
    Preset { name: "telnyx", text: include_str!("presets/telnyx.toml") },
    Preset { name: "twilio-domain", text: include_str!("presets/twilio-domain.toml") },
    Preset { name: "twilio-trunk", text: include_str!("presets/twilio-trunk.toml") },
];

/// The preset of that name.
pub fn preset(name: &str) -> Option<Preset> {
    PRESETS.into_iter().find(|preset| preset.name == name)
}
