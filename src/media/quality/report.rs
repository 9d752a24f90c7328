//! The quality of one call in both directions, as it is printed, stored and served.

use serde::{Deserialize, Serialize};

/// Quality of a call, both directions. What is not known is `None`, never a good default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What we hear, measured here.
    pub inbound: Inbound,
    /// What the far end hears, as its RTCP reports it; `None` until it does.
    pub outbound: Outbound,
}

/// What we hear.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inbound {
    /// Valid RTP packets received, duplicates not counted.
    pub packets: u64,
    /// Packets that the sequence numbers promise (RFC 3550 A.3).
    pub expected: u64,
    /// Never arrived: `expected - packets`, not below 0.
    pub lost: u64,
    /// Arrived after their playout time and were discarded.
    pub late: u64,
    /// Arrived a second time.
    pub duplicates: u64,
    /// Arrived after a packet with a higher sequence number.
    pub reordered: u64,
    /// `100 * lost / expected`.
    pub loss_percent: Option<f64>,
    /// `100 * late / expected`.
    pub discard_percent: Option<f64>,
    /// Observed mean loss-burst length over that of random loss (ITU-T G.107 section 7.5); 1 for random loss.
    pub burst_ratio: Option<f64>,
    /// Interarrival jitter in ms (RFC 3550 A.8), latest.
    pub jitter_ms: Option<f64>,
    /// The highest jitter of the call in ms.
    pub jitter_max_ms: Option<f64>,
    /// Mean delay that the jitter buffer added, ms.
    pub buffer_ms: Option<f64>,
    /// Transmission rating R (ITU-T G.107).
    pub r_factor: Option<f64>,
    /// Mean opinion score (ITU-T G.107 Annex B).
    pub mos: Option<f64>,
}

/// What the far end hears, from its reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outbound {
    /// RTP packets that we sent.
    pub packets: u64,
    /// Cumulative loss in the last report block (RFC 3550 section 6.4.1).
    pub lost: Option<i64>,
    /// `100 * lost / packets expected by the far end`.
    pub loss_percent: Option<f64>,
    /// Interarrival jitter in the last report block, ms.
    pub jitter_ms: Option<f64>,
    /// Round trip from LSR and DLSR, ms.
    pub round_trip_ms: Option<f64>,
    /// Transmission rating R (ITU-T G.107), estimated from loss and round trip.
    pub r_factor: Option<f64>,
    /// Mean opinion score (ITU-T G.107 Annex B).
    pub mos: Option<f64>,
}
