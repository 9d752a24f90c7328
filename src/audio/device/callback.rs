//! What runs in the callbacks of a sound device: it only moves samples. No lock, no allocation, no system call, no log,
//! no clock.

use super::Count;
use super::bus::Bus;
use super::fade::Fade;
use super::side_tone::SideTone;
use cpal::{FromSample, Sample};
use rtrb::{Consumer, Producer};

/// What a microphone's callback works on.
pub(super) struct Recorded {
    pub(super) ring: Producer<i16>,
    /// Where the side tone is taken from.
    pub(super) bus: Bus,
    pub(super) overruns: Count,
    /// Pieces that came.
    pub(super) pieces: Count,
}

/// What a loudspeaker's callback works on.
pub(super) struct Wanted {
    pub(super) ring: Consumer<i16>,
    pub(super) fade: Fade,
    pub(super) side: SideTone,
    /// What is heard, for the echo canceller.
    pub(super) played: Bus,
    pub(super) underruns: Count,
    /// Pieces that went.
    pub(super) pieces: Count,
    /// Was anything played before? A device that waits for the first packet has not run dry.
    pub(super) started: bool,
}

impl Recorded {
    /// Mixes what the device recorded down to mono and leaves it for the worker.
    pub(super) fn take<T>(&mut self, data: &[T], channels: usize)
    where
        T: Sample,
        i16: FromSample<T>,
    {
        let mono = |frame: &[T]| {
            let sum: i32 = frame.iter().map(|&sample| i32::from(i16::from_sample(sample))).sum();
            // As many channels as fit a slice: the mean fits an i16.
            (sum / frame.len() as i32) as i16
        };
        let frames = data.chunks_exact(channels.max(1));
        self.pieces.add();
        self.bus.write(frames.clone().map(mono));
        let count = frames.len().min(self.ring.slots());
        if count < frames.len() {
            self.overruns.add();
        }
        let Ok(chunk) = self.ring.write_chunk_uninit(count) else { return };
        chunk.fill_from_iter(frames.map(mono));
    }
}

impl Wanted {
    /// Gives the device what the worker left, on every channel, with the side tone; what runs out fades away.
    pub(super) fn give<T>(&mut self, out: &mut [T], channels: usize)
    where
        T: Sample + FromSample<i16>,
    {
        let channels = channels.max(1);
        let frames = out.len() / channels;
        self.pieces.add();
        let count = frames.min(self.ring.slots());
        if count < frames && self.started {
            self.underruns.add();
        }
        self.started |= count > 0;
        let goes_from = self.fade.goes_from(count, frames);
        let beside = self.side.begin(frames);
        let Ok(chunk) = self.ring.read_chunk(count) else { return };
        let (first, second) = chunk.as_slices();
        let mut samples = first.iter().chain(second).copied();
        let Self { fade, side, played, .. } = self;
        let frames = out.chunks_exact_mut(channels).enumerate();
        played.write(frames.map(|(n, frame)| {
            let mut heard = fade.next(samples.next(), n >= goes_from);
            if beside > 0.0 {
                heard += beside * side.next();
            }
            let sample = heard.round() as i16;
            frame.fill(T::from_sample(sample));
            sample
        }));
        chunk.commit_all();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Loudness;
    use super::*;
    use crate::audio::device::capture::Capture;
    use crate::audio::device::playback::Playback;
    use rtrb::RingBuffer;

    fn recorded(ring: Producer<i16>) -> Recorded {
        Recorded { ring, bus: Bus::default(), overruns: Count::default(), pieces: Count::default() }
    }

    fn wanted(ring: Consumer<i16>, rate: u32) -> Wanted {
        Wanted {
            ring,
            fade: Fade::new(rate),
            side: SideTone::new(Bus::default(), Loudness::default(), rate),
            played: Bus::default(),
            underruns: Count::default(),
            pieces: Count::default(),
            started: false,
        }
    }

    #[test]
    fn neither_the_callbacks_nor_the_ends_of_their_rings_allocate() {
        let (microphone, ring) = RingBuffer::new(24_000);
        let mut microphone = recorded(microphone);
        let mut capture = Capture::new("mic".into(), 48_000, 8_000, ring, microphone.overruns.clone()).unwrap();
        let (ring, loudspeaker) = RingBuffer::new(24_000);
        let loudness = Loudness::default();
        let side = SideTone::new(microphone.bus.clone(), loudness.clone(), 48_000);
        let mut loudspeaker = Wanted { side, ..wanted(loudspeaker, 48_000) };
        microphone.bus.set_rate(48_000);
        loudness.set(0.1);
        let dry = loudspeaker.underruns.clone();
        let mut playback = Playback::new("speaker".into(), 48_000, 8_000, ring, dry).unwrap();
        let (mut device, mut packet) = ([0.0f32; 960], [0; 160]);
        let mut run = |packets: usize| {
            for piece in 0..2 * packets {
                microphone.take(&device, 2);
                loudspeaker.give(&mut device, 2);
                if piece % 2 == 0 && capture.ready() >= packet.len() {
                    capture.read(&mut packet);
                    playback.play(&packet);
                }
            }
        };
        run(20);
        let info = allocation_counter::measure(|| run(200));
        assert_eq!(info.count_total, 0, "{info:?}");
        assert!(loudspeaker.started && loudspeaker.side.begin(480) > 0.0);
    }

    #[test]
    fn channels_are_mixed_down_and_a_full_ring_is_counted() {
        let (producer, mut consumer) = RingBuffer::new(3);
        let mut microphone = recorded(producer);
        microphone.take(&[0.5f32, 0.25, -0.5, -0.5], 2);
        assert_eq!((consumer.pop(), consumer.pop()), (Ok(12_288), Ok(-16_384)));
        microphone.take(&[i16::MAX; 8], 2);
        assert_eq!((consumer.pop(), microphone.overruns.read()), (Ok(i16::MAX), 1));
        assert_eq!((microphone.bus.written(), microphone.bus.at(1)), (6, -16_384));
    }

    #[test]
    fn every_channel_plays_and_dry_is_silence_that_is_counted_once_it_started() {
        let (mut producer, consumer) = RingBuffer::new(8);
        // A fade of one sample.
        let mut loudspeaker = wanted(consumer, 200);
        let mut out = [1u8; 4];
        loudspeaker.give(&mut out, 2);
        assert_eq!((out, loudspeaker.underruns.read()), ([128; 4], 0));
        producer.push_entire_slice(&[i16::MIN, i16::MIN]).unwrap();
        loudspeaker.give(&mut out, 2);
        assert_eq!((out, loudspeaker.underruns.read()), ([0; 4], 0));
        loudspeaker.give(&mut out, 2);
        assert_eq!((out, loudspeaker.underruns.read()), ([128; 4], 1));
        assert_eq!(loudspeaker.played.at(2), i16::MIN, "what is heard is what is played");
    }
}
