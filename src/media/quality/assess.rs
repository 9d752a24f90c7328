//! From what was counted to what it sounded like: [`Inbound`] and [`Outbound`] of a call.
//!
//! Delay for the E-model, from mouth to ear:
//!
//! ```text
//!   packet time + look-ahead of the encoder │ network: round trip / 2 │ jitter buffer
//! ```
//!
//! Half the round trip stands for the network because RTCP measures no single direction; before the first round trip is
//! known it is left out, which is right on a short path and flatters a long one. The far end's jitter buffer is unknown
//! and left out of the outbound delay. Loss is what was not played: lost on the way or too late.

use super::emodel::{Input, Rating};
use super::impairment::Impairment;
use super::report::{Inbound, Outbound};
use crate::media::plan::Codec;
use crate::media::receive::Statistics;
use crate::media::rtcp::Remote;
use crate::time::Duration;

/// What the rating of one direction needs besides counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The codec of this direction.
    pub codec: Codec,
    /// Audio in each packet of this direction.
    pub packet_time: Duration,
    /// Latest round trip; `None` until RTCP measured one.
    pub round_trip: Option<Duration>,
}

impl Path {
    fn rate(&self, buffer: Duration, loss_percent: f64, burst_ratio: f64) -> Rating {
        let codec = Impairment::of(self.codec);
        let network = self.round_trip.unwrap_or_default() / 2;
        let delay = self.packet_time + codec.lookahead + network + buffer;
        Input {
            ie: codec.ie,
            bpl: codec.bpl,
            delay_ms: millis(delay),
            loss_percent: loss_percent.clamp(0.0, 100.0),
            burst_ratio,
            ..Input::default()
        }
        .rate()
    }
}

/// What we hear. `buffer`: mean delay that the jitter buffer added, `None` before it played anything.
///
/// Without a packet nothing is rated: silence because of a dead network has no MOS.
pub fn inbound(path: &Path, heard: &Statistics, buffer: Option<Duration>) -> Inbound {
    let percent = |part: u64| (heard.expected > 0).then(|| 100.0 * part as f64 / heard.expected as f64);
    let (loss_percent, discard_percent) = (percent(heard.lost), percent(heard.discarded));
    let burst_ratio = heard.losses.burst_ratio();
    let rating = loss_percent
        .zip(discard_percent)
        .filter(|_| heard.packets > 0)
        .map(|(lost, discarded)| path.rate(buffer.unwrap_or_default(), lost + discarded, burst_ratio.unwrap_or(1.0)));
    Inbound {
        packets: heard.packets,
        expected: heard.expected,
        lost: heard.lost,
        late: heard.discarded,
        duplicates: heard.duplicates,
        reordered: heard.reordered,
        loss_percent,
        discard_percent,
        burst_ratio,
        jitter_ms: heard.jitter.map(millis),
        jitter_max_ms: heard.jitter_max.map(millis),
        buffer_ms: buffer.map(millis),
        r_factor: rating.map(|rating| rating.r),
        mos: rating.map(|rating| rating.mos),
    }
}

/// What the far end hears of `packets` that we sent, as it reports. How its losses cluster it does not say: they are
/// rated as random.
pub fn outbound(path: &Path, packets: u64, remote: Option<&Remote>) -> Outbound {
    let Some(remote) = remote else {
        return Outbound { packets, ..Outbound::default() };
    };
    let loss_percent = remote.expected.map(|expected| {
        let lost = u64::try_from(remote.lost).unwrap_or(0).min(expected);
        100.0 * lost as f64 / expected.max(1) as f64
    });
    let rating = loss_percent.map(|lost| path.rate(Duration::ZERO, lost, 1.0));
    Outbound {
        packets,
        lost: Some(remote.lost.into()),
        loss_percent,
        jitter_ms: remote.jitter.map(millis),
        round_trip_ms: remote.round_trip.map(millis),
        r_factor: rating.map(|rating| rating.r),
        mos: rating.map(|rating| rating.mos),
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::quality::burst::{Fate, Pattern};
    use crate::time::Instant;

    const PATH: Path = Path { codec: Codec::Pcmu, packet_time: Duration::from_millis(20), round_trip: None };

    /// 1000 packets, every fiftieth lost and every hundredth discarded.
    fn heard() -> Statistics {
        let mut pattern = Pattern::default();
        for i in 0..1_000 {
            pattern.push(match i % 100 {
                10 | 60 => Fate::Lost,
                90 => Fate::Discarded,
                _ => Fate::Received,
            });
        }
        Statistics {
            packets: 980,
            expected: 1_000,
            lost: 20,
            discarded: 10,
            jitter: Some(Duration::from_micros(2_500)),
            losses: pattern.summary(),
            ..Statistics::default()
        }
    }

    fn remote() -> Remote {
        Remote {
            reports: 1,
            at: Instant::ZERO,
            lost: 30,
            expected: Some(1_000),
            fraction_lost: 0.1,
            jitter: Some(Duration::from_millis(4)),
            round_trip: Some(Duration::from_millis(80)),
        }
    }

    #[test]
    fn nothing_heard_is_nothing_known() {
        assert_eq!(inbound(&PATH, &Statistics::default(), None), Inbound::default());
        let only_sent = Outbound { packets: 7, ..Outbound::default() };
        assert_eq!(outbound(&PATH, 7, None), only_sent);
    }

    #[test]
    fn inbound_counts_loss_and_discard() {
        let inbound = inbound(&PATH, &heard(), Some(Duration::from_millis(60)));
        assert_eq!((inbound.loss_percent, inbound.discard_percent), (Some(2.0), Some(1.0)));
        assert_eq!((inbound.late, inbound.jitter_ms, inbound.buffer_ms), (10, Some(2.5), Some(60.0)));
        // Runs of one: BurstR 0.97, so Ie,eff is 95 * 3 / (3 / 0.97 + 25.1) = 10.11; 80 ms are not noticed.
        assert!((inbound.burst_ratio.unwrap() - 0.97).abs() < 1e-9);
        assert!((inbound.r_factor.unwrap() - (93.206 - 10.11)).abs() < 0.01, "{inbound:?}");
        assert!((inbound.mos.unwrap() - super::super::emodel::mos(inbound.r_factor.unwrap())).abs() < 1e-9);
    }

    #[test]
    fn delay_adds_up_from_mouth_to_ear() {
        let path = Path { codec: Codec::Opus, round_trip: Some(Duration::from_millis(427)), ..PATH };
        let clean = Statistics { packets: 10, expected: 10, ..Statistics::default() };
        // 20 + 6.5 + 213.5 + 60 = 300 ms: Idd 14.761.
        let inbound = inbound(&path, &clean, Some(Duration::from_millis(60)));
        assert!((inbound.r_factor.unwrap() - (93.206 - 14.761)).abs() < 0.01, "{inbound:?}");
    }

    #[test]
    fn outbound_is_what_the_far_end_reports() {
        let reported = outbound(&PATH, 1_010, Some(&remote()));
        assert_eq!((reported.lost, reported.loss_percent, reported.jitter_ms), (Some(30), Some(3.0), Some(4.0)));
        assert_eq!(reported.round_trip_ms, Some(80.0));
        assert!((reported.r_factor.unwrap() - (93.206 - 95.0 * 3.0 / 28.1)).abs() < 0.01, "{reported:?}");
        let unknown = outbound(&PATH, 1_010, Some(&Remote { expected: None, ..remote() }));
        assert_eq!((unknown.lost, unknown.loss_percent, unknown.mos), (Some(30), None, None));
        let duplicated = outbound(&PATH, 1_010, Some(&Remote { lost: -4, ..remote() }));
        assert_eq!((duplicated.lost, duplicated.loss_percent), (Some(-4), Some(0.0)));
    }
}
