//! What the echo of one call or of several says.

use super::stream::Heard;
use super::{Settings, TurnaroundError};
use crate::media::plan::Codec;
use serde::Serialize;
use std::time::Duration;

/// A piece of audio that a codec without loss carried is intact when it is so much like the one sent: a step of its code
/// is allowed, half a millisecond of something else is not.
const INTACT: f32 = 0.98;

/// The same after a codec that changes the wave: it was found.
const RECOGNISED: f32 = 0.75;

/// No phone is slower.
const SLOWEST: Duration = Duration::from_millis(600);

/// What was measured in one call, or in several.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Pieces of one packet time that were sent after the warm-up.
    pub pieces: usize,
    /// Pieces that came back without a flaw.
    pub intact: usize,
    /// Turnaround of every piece that was found, by call.
    turnarounds: Vec<Duration>,
    /// How late this end sent its packets.
    late: Vec<Duration>,
}

/// The distribution of turnarounds, ms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Turnaround {
    /// The middle.
    pub median: f64,
    /// One in twenty is below.
    pub p05: f64,
    /// One in twenty is above.
    pub p95: f64,
    /// The longest.
    pub max: f64,
}

impl Tally {
    /// Adds another call.
    pub fn add(&mut self, other: &Tally) {
        self.pieces += other.pieces;
        self.intact += other.intact;
        self.turnarounds.extend_from_slice(&other.turnarounds);
        self.late.extend_from_slice(&other.late);
    }

    /// How long pieces took; `None` if none was found.
    pub fn turnaround(&self) -> Option<Turnaround> {
        let mut sorted = self.turnarounds.clone();
        sorted.sort();
        let at = |share: f64| quantile(&sorted, share);
        Some(Turnaround { median: at(0.5)?, p05: at(0.05)?, p95: at(0.95)?, max: at(1.0)? })
    }

    /// Share of the pieces that came back without a flaw, percent.
    pub fn intact_percent(&self) -> f64 {
        100.0 * self.intact as f64 / self.pieces.max(1) as f64
    }

    /// How late this end sent 99 of 100 packets at most, ms: what is measured is no better than that.
    pub fn late_p99(&self) -> f64 {
        let mut sorted = self.late.clone();
        sorted.sort();
        quantile(&sorted, 0.99).unwrap_or(0.0)
    }
}

fn quantile(sorted: &[Duration], share: f64) -> Option<f64> {
    let at = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(at).map(|value| value.as_secs_f64() * 1_000.0)
}

/// Finds every chirp in what was heard.
pub(super) fn tally(settings: &Settings, heard: &Heard) -> Result<Tally, TurnaroundError> {
    let Heard { chirps, counted, sent, audio, packets, own_delay, .. } = heard;
    let rate = chirps.rate as usize;
    let reach = rate * SLOWEST.as_millis() as usize / 2_000;
    let warm = (settings.warm_up.as_secs_f64() * rate as f64) as usize / chirps.samples.max(1);
    let enough = if settings.codec == Codec::Opus { RECOGNISED } else { INTACT };
    let mut tally = Tally { late: heard.late.iter().take(*counted).skip(warm).copied().collect(), ..Tally::default() };
    let mut expected = None;
    for (number, &sent) in sent.iter().enumerate().take(*counted).skip(warm) {
        tally.pieces += 1;
        // The first is sought where it could be at the earliest, and as far from there as the slowest phone has it.
        let from = packets.iter().find(|packet| packet.at >= sent).map_or(0, |packet| packet.offset);
        let (at, by) = expected.map_or((from + reach, reach), |at| (at, reach));
        expected = expected.map(|at| at + chirps.samples);
        let Some(place) = chirps.find(&chirps.chirp(number as u32), audio, at, by) else { continue };
        expected = Some(place.at + chirps.samples);
        tally.intact += usize::from(place.likeness >= enough);
        let next = packets.partition_point(|packet| packet.offset <= place.at);
        if let Some(packet) = next.checked_sub(1).and_then(|index| packets.get(index)) {
            let into = (place.at - packet.offset) as f64 / rate as f64;
            let left = packet.at + Duration::from_secs_f64(into);
            let own = Duration::from_secs_f64(*own_delay as f64 / rate as f64);
            tally.turnarounds.push(left.since(sent).saturating_sub(own));
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::super::Pattern;
    use super::super::chirps::Chirps;
    use super::*;
    use crate::bench::scripted::Leaving;
    use crate::time::Instant;

    /// An echo that takes 33 ms, whose packets are 5 ms off those sent, and which spoils every tenth chirp.
    #[test]
    fn a_known_echo_is_measured_exactly() {
        let chirps = Chirps { rate: 8_000, samples: 160, seed: 3 };
        let sent: Vec<Instant> = (0..500).map(|n| Instant::from_millis(1_000 + 20 * n)).collect();
        // A chirp begins 5 ms into a packet that leaves 28 ms after the chirp came.
        let mut audio = vec![0; 40];
        for number in 0..500 {
            let mut chirp = chirps.chirp(number);
            if number % 10 == 0 {
                chirp[100..160].fill(0);
            }
            audio.extend(chirp);
        }
        let leaving = |n: u64| Leaving { at: Instant::from_millis(1_028 + 20 * n), offset: 160 * n as usize };
        let packets = (0..501).map(leaving).collect();
        let heard = Heard { chirps, counted: 500, sent, late: Vec::new(), audio, packets, own_delay: 0 };
        let settings = Settings {
            target: "sip:a@127.0.0.1".parse().unwrap(),
            codec: Codec::Pcmu,
            packet_time: Duration::from_millis(20),
            pattern: Pattern::Clean,
            duration: Duration::from_secs(8),
            warm_up: Duration::from_secs(2),
        };
        let tally = tally(&settings, &heard).unwrap();
        assert_eq!((tally.pieces, tally.intact), (400, 360));
        let turnaround = tally.turnaround().unwrap();
        assert!((turnaround.median - 33.0).abs() < 0.2 && turnaround.max < 33.3, "{turnaround:?}");
        assert!((tally.intact_percent() - 90.0).abs() < 0.01);
    }
}
