//! How a call uses its sound devices.

use crate::audio::gain::{Gain, Level};

/// What is done to the sound between a call and its devices.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeviceOptions {
    /// How much louder the microphone is sent.
    pub input_gain: Gain,
    /// How much louder the far end is played.
    pub output_gain: Gain,
    /// How loud our user hears the own voice; not at all when absent.
    pub side_tone: Option<Gain>,
    /// What is done to the voice.
    pub voice: VoiceOptions,
    /// Are levels told?
    pub levels: bool,
}

/// What is done to the voice before it is sent; needs the feature `voice`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VoiceOptions {
    /// What the loudspeaker plays is taken out of what the microphone hears.
    pub echo_cancellation: bool,
    /// Steady noise is turned down.
    pub noise_suppression: bool,
    /// Speech is brought to the same level, however far the speaker is.
    pub automatic_gain: bool,
}

impl VoiceOptions {
    /// Is anything to be done?
    pub fn any(self) -> bool {
        self.echo_cancellation || self.noise_suppression || self.automatic_gain
    }

    /// Can this build do it?
    pub fn is_possible() -> bool {
        cfg!(feature = "voice")
    }
}

/// A change while a call runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Adjust {
    /// How much louder the microphone is sent.
    InputGain(Gain),
    /// How much louder the far end is played.
    OutputGain(Gain),
    /// How loud our user hears the own voice; not at all when absent.
    SideTone(Option<Gain>),
}

/// How loud both ways of a call were since they were told last.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Levels {
    /// What the microphone gave, behind its gain, muted or not; `None` without one.
    pub input: Option<Level>,
    /// What was given to the loudspeaker, behind its gain; `None` without one.
    pub output: Option<Level>,
}

/// What went wrong with the devices of a call, without ending it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounters {
    /// Times that more was recorded than could be sent.
    pub input_overruns: u64,
    /// Packets that the microphone gave too little for.
    pub input_underruns: u64,
    /// Times that more came than was played.
    pub output_overruns: u64,
    /// Times that the loudspeaker had nothing to play.
    pub output_underruns: u64,
    /// Streams that failed, or whose device changed, and were built anew.
    pub reopened: u64,
    /// Times that a device could not be opened, or went away.
    pub lost: u64,
}
