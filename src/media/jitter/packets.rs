//! The packets that wait: sorted by media time, bounded, their buffers used again.

use crate::media::plan::Codec;
use crate::media::sequence::ExtendedSeq;
use crate::time::Instant;
use std::collections::VecDeque;

/// A packet that waits to be played.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) seq: ExtendedSeq,
    /// Media time of its first sample, in samples, unwrapped.
    pub(super) time: i64,
    /// How many samples it holds.
    pub(super) length: i64,
    pub(super) codec: Codec,
    /// It begins a talk spurt.
    pub(super) marker: bool,
    pub(super) arrived: Instant,
    pub(super) payload: Vec<u8>,
}

impl Waiting {
    /// Media time after its last sample.
    pub(super) fn end(&self) -> i64 {
        self.time + self.length
    }
}

/// A number of samples at `from` Hz, or a media time in them, in samples at `to` Hz.
pub(super) fn rescaled(samples: i64, from: u32, to: u32) -> i64 {
    (i128::from(samples) * i128::from(to)).div_euclid(i128::from(from.max(1))) as i64
}

/// Packets in the order of their media time.
#[derive(Debug, Default)]
pub(super) struct Packets {
    queue: VecDeque<Waiting>,
    /// Buffers of packets that were played.
    spare: Vec<Vec<u8>>,
}

/// Packets that may wait: a second at 10 ms each. What is more than that is a flood.
const MOST: usize = 100;
/// Buffers kept: more than a calm network ever needs at once.
const SPARE: usize = 16;

impl Packets {
    /// An empty buffer to fill, one that was used before if possible.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes back the buffer of a packet that is done with.
    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    pub(super) fn insert(&mut self, packet: Waiting) {
        let behind = self.queue.iter().rev().take_while(|other| (other.time, other.seq) > (packet.time, packet.seq));
        let at = self.queue.len() - behind.count();
        self.queue.insert(at, packet);
    }

    /// Is there no room for another packet?
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= MOST
    }

    pub(super) fn first(&self) -> Option<&Waiting> {
        self.queue.front()
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        self.queue.pop_front()
    }

    /// Media times count samples of another rate from now on.
    pub(super) fn rescale(&mut self, from: u32, to: u32) {
        for packet in &mut self.queue {
            let end = rescaled(packet.end(), from, to);
            packet.time = rescaled(packet.time, from, to);
            packet.length = end - packet.time;
        }
    }

    /// Removes the first packet if it ends at `time` or before.
    pub(super) fn pop_ended(&mut self, time: i64) -> Option<Waiting> {
        if self.first()?.end() <= time { self.pop() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(packets: &mut Packets, seq: i64, time: i64) -> Waiting {
        let mut payload = packets.buffer();
        payload.resize(160, 0);
        let seq = ExtendedSeq(seq);
        Waiting { seq, time, length: 160, codec: Codec::Pcmu, marker: false, arrived: Instant::ZERO, payload }
    }

    #[test]
    fn packets_come_out_by_media_time() {
        let mut packets = Packets::default();
        for seq in [3, 1, 4, 2, 6] {
            let packet = waiting(&mut packets, seq, seq * 160);
            packets.insert(packet);
        }
        assert_eq!(packets.pop_ended(320).map(|packet| packet.seq.0), Some(1));
        assert!(packets.pop_ended(320).is_none());
        let order: Vec<_> = std::iter::from_fn(|| packets.pop()).map(|packet| packet.seq.0).collect();
        assert_eq!(order, [2, 3, 4, 6]);
    }

    #[test]
    fn buffers_are_used_again() {
        let mut packets = Packets::default();
        let packet = waiting(&mut packets, 1, 0);
        let place = packet.payload.as_ptr();
        packets.recycle(packet.payload);
        let again = waiting(&mut packets, 2, 160);
        assert_eq!(again.payload.as_ptr(), place);
        for seq in 0..MOST as i64 {
            assert!(!packets.is_full());
            let packet = waiting(&mut packets, seq, seq * 160);
            packets.insert(packet);
        }
        assert!(packets.is_full());
    }
}
