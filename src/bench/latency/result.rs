//! What a measurement found, as it is printed, written and compared.

use crate::bench::statistics::{Difference, Distribution, Trend, compare, mean};
use serde::{Deserialize, Serialize};

/// Below this share of the likeness that markers usually have, a part of one is missing.
const DAMAGED: f64 = 0.9;

/// Ticks later than this spoil what is measured, ms.
const TOO_LATE_MS: f64 = 5.0;

/// One marker.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Which one.
    pub number: u32,
    /// When it was said, seconds after the call's first packet time.
    pub at: f64,
    /// From mouth to ear and back; `None`: it was lost.
    pub latency_ms: Option<f64>,
    /// How much what came back was like what was said.
    pub likeness: f64,
    /// From the end of recording until the system had the packet.
    pub sending_ms: f64,
    /// In our jitter buffer.
    pub waited_ms: Option<f64>,
    /// Decoding.
    pub decoding_ms: f64,
    /// At the far end, if it is one of ours.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub there: Option<There>,
}

/// What a far end of ours heard of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct There {
    /// From our mouth to its ear.
    pub latency_ms: f64,
    /// In its jitter buffer.
    pub waited_ms: Option<f64>,
    /// Decoding.
    pub decoding_ms: f64,
    /// From its ear until the system had the packet that carries the echo.
    pub sending_ms: f64,
}

/// What was measured in one call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Codec of what we sent.
    pub codec: String,
    /// Packet time of what we sent, ms.
    pub packet_time_ms: f64,
    /// SRTP suite; `None` for plain RTP.
    pub srtp: Option<String>,
    /// What our own encoder and decoder look ahead together, ms.
    pub codec_ms: f64,
    /// Round trip of the network by RTCP (RFC 3550 section 6.4.1), ms; `None` if the far end sends no reports.
    pub network_ms: Option<f64>,
    /// How late our packet times were, 99 of 100 at most, ms.
    pub late_p99_ms: f64,
    /// Packet times that the instrument could not follow.
    pub missed: u64,
    /// Every marker.
    pub probes: Vec<Probe>,
}

/// Where the time of a marker goes, means in ms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stages {
    /// Recording a packet.
    pub packetisation: f64,
    /// From the end of recording until the system has the packet: encoding, encryption, a late thread.
    pub sending: f64,
    /// The network's round trip, by RTCP; within `far_side` if that is not known.
    pub network: Option<f64>,
    /// What no other row explains.
    pub far_side: f64,
    /// Our jitter buffer.
    pub jitter_buffer: f64,
    /// Look-ahead of our encoder and decoder.
    pub codec: f64,
    /// Decoding.
    pub decoding: f64,
    /// Beyond the moment when audio can be played: nothing, since no device is in the way.
    pub playout: f64,
}

/// One direction between two ends of ours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    /// From mouth to ear; on the way back from the far end's ear to ours.
    pub latency: Distribution,
    /// Recording a packet; nothing on the way back, where what was heard is sent on.
    pub packetisation: f64,
    /// Until the system has the packet.
    pub sending: f64,
    /// What no other row explains: the network, measured by the markers themselves.
    pub network: Distribution,
    /// The jitter buffer at its end.
    pub jitter_buffer: f64,
    /// Look-ahead of encoder and decoder.
    pub codec: f64,
    /// Decoding.
    pub decoding: f64,
}

/// What all calls say together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Markers that were said.
    pub sent: usize,
    /// Of them heard again.
    pub found: usize,
    /// Of them not.
    pub lost: usize,
    /// Heard, but with a part missing.
    pub damaged: usize,
    /// Mouth to ear and back, ms.
    pub latency: Option<Distribution>,
    /// How the latency changes, ms each minute.
    pub drift_ms_per_minute: Option<Trend>,
    /// The same in parts of a million.
    pub drift_ppm: Option<f64>,
    /// Where the time goes.
    pub stages: Option<Stages>,
    /// There, if the far end is one of ours.
    pub there: Option<Leg>,
    /// And back.
    pub back: Option<Leg>,
    /// How late our packet times were in the worst call, 99 of 100 at most, ms.
    pub late_p99_ms: f64,
    /// Why the figures should not be relied on.
    pub doubts: Vec<String>,
}

/// A whole measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Who was called.
    pub target: String,
    /// The network between two ends of ours, as it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub impairment: Option<String>,
    /// Each call.
    pub calls: Vec<Call>,
}

impl Call {
    /// Found markers in order.
    fn found(&self) -> impl Iterator<Item = (&Probe, f64)> {
        self.probes.iter().filter_map(|probe| Some((probe, probe.latency_ms?)))
    }

    /// Latencies of the found markers, ms.
    pub fn latencies(&self) -> Vec<f64> {
        self.found().map(|(_, latency)| latency).collect()
    }

    /// Drift is a matter of each call: where its phase begins says nothing of it.
    fn points(&self) -> Vec<(f64, f64)> {
        let mean = mean(&self.latencies()).unwrap_or(0.0);
        self.found().map(|(probe, latency)| (probe.at / 60.0, latency - mean)).collect()
    }
}

impl Measurement {
    /// What all calls say together.
    pub fn summary(&self) -> Summary {
        let all: Vec<(&Call, &Probe)> =
            self.calls.iter().flat_map(|call| call.probes.iter().map(move |probe| (call, probe))).collect();
        let found: Vec<_> = all.iter().filter_map(|&(call, probe)| Some((call, probe, probe.latency_ms?))).collect();
        let likeness: Vec<f64> = found.iter().map(|(_, probe, _)| probe.likeness).collect();
        let usual = Distribution::of(&likeness).map_or(1.0, |likeness| likeness.p50);
        let latencies: Vec<f64> = found.iter().map(|found| found.2).collect();
        let points: Vec<(f64, f64)> = self.calls.iter().flat_map(Call::points).collect();
        let drift = Trend::through(&points);
        let late_p99_ms = self.calls.iter().map(|call| call.late_p99_ms).fold(0.0, f64::max);
        let mut doubts = Vec::new();
        if late_p99_ms > TOO_LATE_MS {
            doubts.push(format!(
                "our own packets were up to {late_p99_ms:.1} ms late (99 of 100): this machine is too busy"
            ));
        }
        let missed: u64 = self.calls.iter().map(|call| call.missed).sum();
        if missed > 0 {
            doubts.push(format!("the instrument missed {missed} packet times: this machine is too busy"));
        }
        Summary {
            sent: all.len(),
            found: found.len(),
            lost: all.len() - found.len(),
            damaged: likeness.iter().filter(|&&likeness| likeness < DAMAGED * usual).count(),
            latency: Distribution::of(&latencies),
            drift_ms_per_minute: drift,
            // 1 ms a minute is 1 in 60,000.
            drift_ppm: drift.map(|drift| drift.slope / 60_000.0 * 1e6),
            stages: stages(&found),
            there: leg(&found, there),
            back: leg(&found, back),
            late_p99_ms,
            doubts,
        }
    }

    /// How the quantile at `share` of the latency differs from that of an `earlier` measurement, ms.
    pub fn differs(&self, earlier: &Measurement, share: f64, seed: u64) -> Option<Difference> {
        let groups = |of: &Measurement| of.calls.iter().map(Call::latencies).collect::<Vec<_>>();
        compare(&groups(earlier), &groups(self), share, seed)
    }
}

type Found<'a> = (&'a Call, &'a Probe, f64);

fn stages(found: &[Found<'_>]) -> Option<Stages> {
    let of = |value: fn(&Found<'_>) -> Option<f64>| mean(&found.iter().filter_map(value).collect::<Vec<_>>());
    let packetisation = of(|(call, ..)| Some(call.packet_time_ms))?;
    let sending = of(|(_, probe, _)| Some(probe.sending_ms))?;
    let jitter_buffer = of(|(_, probe, _)| probe.waited_ms).unwrap_or(0.0);
    let decoding = of(|(_, probe, _)| Some(probe.decoding_ms))?;
    let codec = of(|(call, ..)| Some(call.codec_ms))?;
    let network = of(|(call, ..)| call.network_ms);
    let total = of(|(.., latency)| Some(*latency))?;
    let known = packetisation + sending + jitter_buffer + decoding + codec + network.unwrap_or(0.0);
    let far_side = total - known;
    Some(Stages { packetisation, sending, network, far_side, jitter_buffer, codec, decoding, playout: 0.0 })
}

/// The parts of one marker's way in one direction: whole, recording, sending, buffer, codec, decoding.
type Parts = [f64; 6];

fn there(&(call, probe, _): &Found<'_>) -> Option<Parts> {
    let there = probe.there?;
    let waited = there.waited_ms?;
    Some([there.latency_ms, call.packet_time_ms, probe.sending_ms, waited, call.codec_ms, there.decoding_ms])
}

fn back(&(call, probe, latency): &Found<'_>) -> Option<Parts> {
    let there = probe.there?;
    Some([latency - there.latency_ms, 0.0, there.sending_ms, probe.waited_ms?, call.codec_ms, probe.decoding_ms])
}

fn leg(found: &[Found<'_>], parts: impl Fn(&Found<'_>) -> Option<Parts>) -> Option<Leg> {
    let parts: Vec<Parts> = found.iter().filter_map(parts).collect();
    let column = |at: usize| parts.iter().filter_map(|parts| parts.get(at).copied()).collect::<Vec<f64>>();
    let rest: Vec<f64> = parts.iter().map(|[whole, known @ ..]| whole - known.iter().sum::<f64>()).collect();
    Some(Leg {
        latency: Distribution::of(&column(0))?,
        packetisation: mean(&column(1))?,
        sending: mean(&column(2))?,
        network: Distribution::of(&rest)?,
        jitter_buffer: mean(&column(3))?,
        codec: mean(&column(4))?,
        decoding: mean(&column(5))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(latency: impl Fn(f64) -> Option<f64>) -> Measurement {
        let probes = (0..100)
            .map(|number| {
                let at = f64::from(number) * 0.6;
                let there = Some(There { latency_ms: 35.0, waited_ms: Some(9.0), decoding_ms: 0.25, sending_ms: 0.25 });
                let latency_ms = latency(at);
                let (sending_ms, waited_ms, decoding_ms) = (0.5, Some(8.0), 0.5);
                Probe { number, at, latency_ms, likeness: 0.98, sending_ms, waited_ms, decoding_ms, there }
            })
            .collect();
        let (codec, network_ms) = ("PCMU".to_owned(), Some(10.0));
        let call = Call { codec, packet_time_ms: 20.0, network_ms, late_p99_ms: 0.3, probes, ..Call::default() };
        Measurement { calls: vec![call], ..Measurement::default() }
    }

    #[test]
    fn the_parts_add_up_to_the_whole() {
        let summary = measurement(|_| Some(60.0)).summary();
        let stages = summary.stages.unwrap();
        assert!((stages.far_side - (60.0 - 20.0 - 0.5 - 8.0 - 0.5 - 10.0)).abs() < 1e-9, "{stages:?}");
        let (there, back) = (summary.there.unwrap(), summary.back.unwrap());
        assert!((there.network.p50 - (35.0 - 20.0 - 0.5 - 9.0 - 0.25)).abs() < 1e-9, "{there:?}");
        assert!((back.network.p50 - (25.0 - 0.25 - 8.0 - 0.5)).abs() < 1e-9, "{back:?}");
        assert_eq!((summary.lost, summary.damaged, summary.doubts.len()), (0, 0, 0));
    }

    #[test]
    fn drift_and_loss_are_told() {
        let summary = measurement(|at| (at as u64 % 10 != 3).then_some(60.0 + at / 60.0 * 2.5)).summary();
        assert!((summary.drift_ms_per_minute.unwrap().slope - 2.5).abs() < 1e-6);
        assert!((summary.drift_ppm.unwrap() - 2.5 / 60_000.0 * 1e6).abs() < 1e-3);
        assert_eq!(summary.sent, summary.lost + summary.found);
        assert!((8..13).contains(&summary.lost), "{}", summary.lost);
        let mut late = measurement(|_| None);
        late.calls[0].late_p99_ms = 9.0;
        let summary = late.summary();
        assert!(summary.doubts[0].contains("9.0 ms") && summary.latency.is_none() && summary.stages.is_none());
    }

    #[test]
    fn a_measurement_is_read_as_it_was_written() {
        let measurement = measurement(|at| (at > 5.0).then_some(at));
        let text = serde_json::to_string(&measurement).unwrap();
        assert_eq!(serde_json::from_str::<Measurement>(&text).unwrap(), measurement);
    }
}
