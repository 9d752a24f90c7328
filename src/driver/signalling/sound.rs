//! What becomes of the sound devices of calls.

use super::{Happening, Io, Notice, Sound, Turn, bells};
use crate::audio::{DeviceCounters, Way};
use crate::call::{self, CallId, MediaEvent};
use crate::driver::media::Trouble;
use serde_json::{Map, Value};

impl<F: FnMut(Happening)> Turn<F> {
    pub(super) fn sound(&mut self, call: CallId, sound: Sound) {
        (self.tell)(Happening::Sound { call, sound });
    }

    pub(super) fn handle_trouble(&mut self, call: CallId, trouble: Trouble) {
        let why = trouble.to_string();
        match trouble {
            Trouble::Microphone(_) => self.sound(call, Sound::Lost { way: Way::In, why }),
            Trouble::Loudspeaker(_) => self.sound(call, Sound::Lost { way: Way::Out, why }),
            _ => self.notice(call, Notice::Trouble, why),
        }
    }

    pub(super) fn device_opened(&mut self, call: CallId, input: Option<String>, output: Option<String>) {
        for (way, name) in [(Way::In, input), (Way::Out, output)] {
            if let Some(name) = name {
                self.sound(call, Sound::Opened { way, name });
            }
        }
    }

    pub(super) fn count_devices(&mut self, call: CallId, counters: &DeviceCounters) {
        if let Some(counted) = sound_devices(counters) {
            self.bring(call, MediaEvent::Devices(counted));
        }
    }

    /// Lets the user hear how a call stands that is not answered.
    pub(super) fn ring(&mut self, event: &call::Event) {
        let others = self.signalling.engine.calls().filter(|(id, _)| *id != event.call);
        let talking = others.filter(|(_, record)| record.answered_at.is_some()).count() > 0;
        let sink = self.audio.get(&event.call).map(|io: &Io| &io.sink);
        if let Some(heard) = bells::heard(event, sink, &self.signalling.bells.tones, talking) {
            self.signalling.bells.follow(event.call, heard);
        }
    }
}

/// What went wrong with the sound devices of a call, for its record; `None` if nothing did.
fn sound_devices(counters: &DeviceCounters) -> Option<Map<String, Value>> {
    let rows = [
        ("input_overruns", counters.input_overruns),
        ("input_underruns", counters.input_underruns),
        ("output_overruns", counters.output_overruns),
        ("output_underruns", counters.output_underruns),
        ("reopened", counters.reopened),
        ("lost", counters.lost),
    ];
    let counted: Map<_, _> =
        rows.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.into(), count.into())).collect();
    (!counted.is_empty()).then_some(counted)
}
