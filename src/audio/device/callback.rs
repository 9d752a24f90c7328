//! What runs in the callbacks of a sound device: it only moves samples. No lock, no allocation, no system call, no log,
//! no clock.

use super::Count;
use cpal::{FromSample, Sample};
use rtrb::{Consumer, Producer};

/// Mixes what the device recorded down to mono and leaves it for the worker.
pub(super) fn recorded<T>(data: &[T], channels: usize, ring: &mut Producer<i16>, glitches: &Count)
where
    T: Sample,
    i16: FromSample<T>,
{
    let frames = data.chunks_exact(channels.max(1));
    let count = frames.len().min(ring.slots());
    if count < frames.len() {
        glitches.add();
    }
    let Ok(chunk) = ring.write_chunk_uninit(count) else { return };
    chunk.fill_from_iter(frames.map(|frame| {
        let sum: i32 = frame.iter().map(|&sample| i32::from(i16::from_sample(sample))).sum();
        // As many channels as fit a slice: the mean fits an i16.
        (sum / frame.len() as i32) as i16
    }));
}

/// Gives the device what the worker left, on every channel, and silence where that is not enough.
///
/// `started` is whether anything was played before: a device that waits for the first packet has not run dry.
pub(super) fn wanted<T>(out: &mut [T], channels: usize, ring: &mut Consumer<i16>, glitches: &Count, started: &mut bool)
where
    T: Sample + FromSample<i16>,
{
    let channels = channels.max(1);
    let frames = out.len() / channels;
    let count = frames.min(ring.slots());
    if count < frames && *started {
        glitches.add();
    }
    *started |= count > 0;
    let (played, silent) = out.split_at_mut(count * channels);
    silent.fill(T::EQUILIBRIUM);
    let Ok(chunk) = ring.read_chunk(count) else { return };
    let (first, second) = chunk.as_slices();
    for (frame, &sample) in played.chunks_exact_mut(channels).zip(first.iter().chain(second)) {
        frame.fill(T::from_sample(sample));
    }
    chunk.commit_all();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::device::capture::Capture;
    use crate::audio::device::playback::Playback;
    use rtrb::RingBuffer;

    #[test]
    fn neither_the_callbacks_nor_the_ends_of_their_rings_allocate() {
        let glitches = Count::default();
        let (mut microphone, ring) = RingBuffer::new(24_000);
        let mut capture = Capture::new("mic".into(), 48_000, 8_000, ring, glitches.clone()).unwrap();
        let (ring, mut loudspeaker) = RingBuffer::new(24_000);
        let mut playback = Playback::new("speaker".into(), 48_000, 8_000, ring, glitches.clone()).unwrap();
        let mut started = false;
        let (mut device, mut packet) = ([0.0f32; 960], [0; 160]);
        let mut run = |packets: usize| {
            for piece in 0..2 * packets {
                recorded(&device, 2, &mut microphone, &glitches);
                wanted(&mut device, 2, &mut loudspeaker, &glitches, &mut started);
                if piece % 2 == 0 && capture.ready() >= packet.len() {
                    capture.read(&mut packet);
                    playback.play(&packet);
                }
            }
        };
        run(20);
        let info = allocation_counter::measure(|| run(200));
        assert_eq!(info.count_total, 0, "{info:?}");
        assert!(started);
    }

    #[test]
    fn channels_are_mixed_down_and_a_full_ring_is_counted() {
        let (mut producer, mut consumer) = RingBuffer::new(3);
        let glitches = Count::default();
        recorded(&[0.5f32, 0.25, -0.5, -0.5], 2, &mut producer, &glitches);
        assert_eq!((consumer.pop(), consumer.pop()), (Ok(12_288), Ok(-16_384)));
        recorded(&[i16::MAX; 8], 2, &mut producer, &glitches);
        assert_eq!((consumer.pop(), glitches.read()), (Ok(i16::MAX), 1));
    }

    #[test]
    fn every_channel_plays_and_dry_is_silence_that_is_counted_once_it_started() {
        let (mut producer, mut consumer) = RingBuffer::new(8);
        let glitches = Count::default();
        let mut started = false;
        let mut out = [1u8; 4];
        wanted(&mut out, 2, &mut consumer, &glitches, &mut started);
        assert_eq!((out, glitches.read()), ([128; 4], 0));
        producer.push_entire_slice(&[i16::MIN]).unwrap();
        wanted(&mut out, 2, &mut consumer, &glitches, &mut started);
        assert_eq!((out, glitches.read()), ([0, 0, 128, 128], 0));
        wanted(&mut out, 2, &mut consumer, &glitches, &mut started);
        assert_eq!((out, glitches.read()), ([128; 4], 1));
    }
}
