//! Echo, noise and level of the voice, on a thread of its own between the microphone's callback and the worker.
//!
//! ```text
//!  microphone ─▶ ring ─▶ 48 kHz ─▶ capture ─▶ ring ─▶ Capture
//!  what was played ─ bus ─▶ 48 kHz ─▶ render ┘ (in frames of 10 ms)
//! ```

use super::bus::Bus;
use super::{Count, VoiceOptions};
use crate::audio::rate::Converter;
use rtrb::{Consumer, Producer};
use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, MaxProcessingRate, NoiseSuppression, NoiseSuppressionLevel,
    Pipeline,
};
use sonora::{AudioProcessing, Config, StreamConfig};
use std::thread;
use std::time::Duration;

/// What the voice is worked on at, Hz, whatever the device has.
pub(super) const RATE: u32 = 48_000;

/// 10 ms, which the library works in.
pub(super) const FRAME: usize = 480;

/// How often the rings are looked at: a callback may not wake anybody.
const LOOK: Duration = Duration::from_millis(2);

/// The most that the speech level is raised by, dB: more only raises the room.
const MAX_GAIN_DB: f32 = 30.0;

/// What works on the voice, frame by frame.
pub(super) struct Voice {
    processing: AudioProcessing,
    input: [f32; FRAME],
    output: [f32; FRAME],
}

impl Voice {
    pub(super) fn new(options: VoiceOptions) -> Self {
        let suppression = NoiseSuppression { level: NoiseSuppressionLevel::High, ..NoiseSuppression::default() };
        let gain = GainController2 {
            adaptive_digital: Some(AdaptiveDigital { max_gain_db: MAX_GAIN_DB, ..AdaptiveDigital::default() }),
            ..GainController2::default()
        };
        let config = Config {
            pipeline: Pipeline {
                maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz,
                multi_channel_render: false,
                multi_channel_capture: false,
                ..Pipeline::default()
            },
            echo_canceller: options.echo_cancellation.then(EchoCanceller::default),
            noise_suppression: options.noise_suppression.then_some(suppression),
            gain_controller2: options.automatic_gain.then_some(gain),
            ..Config::default()
        };
        let mono = || StreamConfig::new(RATE, 1);
        let processing = AudioProcessing::builder().config(config).capture_config(mono()).render_config(mono()).build();
        Self { processing, input: [0.0; FRAME], output: [0.0; FRAME] }
    }

    /// Learns what the loudspeaker plays; before the microphone hears it.
    pub(super) fn played(&mut self, frame: &[i16; FRAME]) {
        self.take(frame);
        // Refused only for another rate or length.
        let _ = self.processing.process_render_f32(&[&self.input], &mut [&mut self.output]);
    }

    /// What is left of the next frame that the microphone heard.
    pub(super) fn recorded(&mut self, frame: &mut [i16; FRAME]) {
        self.take(frame);
        if self.processing.process_capture_f32(&[&self.input], &mut [&mut self.output]).is_ok() {
            for (sample, clean) in frame.iter_mut().zip(&self.output) {
                *sample = (clean * 32_768.0).round() as i16;
            }
        }
    }

    fn take(&mut self, frame: &[i16; FRAME]) {
        for (value, sample) in self.input.iter_mut().zip(frame) {
            *value = f32::from(*sample) / 32_768.0;
        }
    }
}

/// The ends that the thread works between.
pub(super) struct Ends {
    pub(super) microphone: Consumer<i16>,
    /// Converts what the microphone gives to [`RATE`].
    pub(super) converter: Converter,
    pub(super) played: Bus,
    pub(super) clean: Producer<i16>,
    pub(super) overruns: Count,
}

/// Works on the voice until the microphone is closed.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(options: VoiceOptions, ends: Ends) -> Result<(), String> {
    let spawned = thread::Builder::new().name("voice".into()).spawn(move || run(options, ends));
    spawned.map(drop).map_err(|error| format!("no thread to work on the voice: {error}"))
}

fn run(options: VoiceOptions, ends: Ends) {
    let Ends { mut microphone, mut converter, played, mut clean, overruns } = ends;
    let mut voice = Voice::new(options);
    let mut reference = Reference { at: played.written(), bus: played, rate: 0, converter: None };
    let mut frame = [0; FRAME];
    while !microphone.is_abandoned() && !clean.is_abandoned() {
        while reference.next(&mut frame) {
            voice.played(&frame);
        }
        let slots = microphone.slots();
        if let Ok(chunk) = microphone.read_chunk(slots) {
            let (first, second) = chunk.as_slices();
            converter.push(first);
            converter.push(second);
            chunk.commit_all();
        }
        while converter.available() >= FRAME {
            converter.pop(&mut frame);
            voice.recorded(&mut frame);
            if clean.push_entire_slice(&frame).is_err() {
                overruns.add();
            }
        }
        thread::sleep(LOOK);
    }
}

/// What was played, at [`RATE`].
struct Reference {
    bus: Bus,
    at: u64,
    rate: u32,
    converter: Option<Converter>,
}

impl Reference {
    fn next(&mut self, frame: &mut [i16; FRAME]) -> bool {
        let rate = self.bus.rate();
        if rate != self.rate {
            (self.rate, self.at) = (rate, self.bus.written());
            self.converter = Converter::fixed(rate, RATE).ok();
        }
        let Some(converter) = &mut self.converter else { return false };
        self.at = self.bus.oldest(self.at);
        let written = self.bus.written();
        while self.at < written && converter.available() < FRAME {
            converter.push(&[self.bus.at(self.at)]);
            self.at += 1;
        }
        converter.available() >= FRAME && converter.pop(frame) == FRAME
    }
}

#[cfg(test)]
#[path = "voice_tests.rs"]
mod tests;
