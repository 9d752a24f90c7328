//! Where a call's audio comes from and goes to: sound devices, WAV files, tones, silence, echo and recordings; and the
//! tones that tell how a call stands.
//!
//! ```text
//!  Source ─▶ Input ──▶ media worker ──▶ network        file:  a thread decodes ─▶ ring ─▶ Input
//!  Sink   ◀─ Device ◀─ media worker ◀── network        device: callback ⇄ rings ⇄ Device (drift corrected)
//!                           └─▶ Recorder               recorder: ring ─▶ a thread writes the WAV
//!                                                       live:   ring ⇄ another thread
//! ```
//!
//! Whatever can wait (a disk, a device, an ALSA plug-in) waits on a thread of its own behind a wait-free ring, so that
//! the media worker never does.

mod choice;
mod device;
mod gain;
mod input;
mod live;
mod player;
mod progress;
mod rate;
mod recorder;
mod ringer;
mod stream;
mod tone;
mod wav;

pub use choice::{Chosen, Sink, Source, UnknownSink, UnknownSource};
pub use device::{
    Adjust, DeviceCounters, DeviceInfo, DeviceOptions, DevicesError, Levels, NoDevice, VoiceOptions, Way,
};
pub(crate) use device::{Change, Device, Wanted};
pub use device::{check as check_device, devices};
pub use gain::{BadGain, Gain, Level};
pub use input::Input;
pub(crate) use live::Listener;
pub use live::{Ear, Hearing, Mouth, Tick, Voice};
pub use player::Play;
pub(crate) use player::Player;
pub use progress::{Country, Progress, UnknownCountry, UnknownProgress};
pub use rate::RateError;
pub use recorder::{
    Finishing, Layout, Recorder, RecorderError, Recording, Template, WrongTemplate, repair, repair_all,
};
pub(crate) use ringer::Ringer;
pub use stream::{Frame, Heard, Listener as StreamListener, Overflow, Speaker, StreamOptions, Track, WrongStream};
pub(crate) use stream::{Tap, open as open_stream};
pub use wav::{WavError, read_wav, write_wav};
