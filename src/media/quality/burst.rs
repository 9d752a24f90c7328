//! How losses cluster: burst ratio (ITU-T G.107 section 7.5) and bursts and gaps (RFC 3611 section 4.7.2).
//!
//! ```text
//!   fate of each packet, in sequence order:   . . x x . x . . . (Gmin or more) . . x . . .
//!   runs of loss, for the burst ratio:            ---   -                          -
//!   bursts (two losses at least) and gaps:    gap [burst] gap ............ isolated: gap
//! ```

/// Received packets that end a burst: RFC 3611 section 4.7.2 recommends 16, about the run at which loss is not
/// heard as continuous.
pub const GMIN: u64 = 16;

/// What became of one packet that the sequence numbers promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Arrived, and could be played.
    Received,
    /// Did not arrive.
    Lost,
    /// Arrived, but could not be played.
    Discarded,
}

/// Losses within [`GMIN`] of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cluster {
    first: u64,
    last: u64,
    losses: u64,
}

/// Observes the fate of each packet in the order of their sequence numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    summary: Summary,
    in_run: bool,
    cluster: Option<Cluster>,
}

impl Pattern {
    /// The fate of the next packet.
    pub fn push(&mut self, fate: Fate) {
        let index = self.summary.packets;
        self.summary.packets += 1;
        match fate {
            Fate::Received => {
                self.in_run = false;
                return;
            }
            Fate::Lost => self.summary.lost += 1,
            Fate::Discarded => self.summary.discarded += 1,
        }
        if !self.in_run {
            self.summary.runs += 1;
            self.in_run = true;
        }
        match &mut self.cluster {
            Some(cluster) if index - cluster.last <= GMIN => {
                cluster.last = index;
                cluster.losses += 1;
            }
            open => {
                let closed = open.replace(Cluster { first: index, last: index, losses: 1 });
                self.summary.close(closed);
            }
        }
    }

    /// Everything so far, as if [`GMIN`] received packets followed.
    pub fn summary(&self) -> Summary {
        let mut summary = self.summary;
        summary.close(self.cluster);
        summary
    }
}

/// How losses were spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Packets observed, whatever their fate.
    pub packets: u64,
    /// Packets that did not arrive.
    pub lost: u64,
    /// Packets that arrived and could not be played.
    pub discarded: u64,
    /// Runs of consecutive lost or discarded packets.
    pub runs: u64,
    /// Bursts: they begin and end with a loss, hold two at least, and no [`GMIN`] received packets in a row.
    pub bursts: u64,
    /// Packets within bursts, received ones too.
    pub burst_packets: u64,
    /// Lost or discarded packets within bursts.
    pub burst_losses: u64,
}

impl Summary {
    fn close(&mut self, cluster: Option<Cluster>) {
        if let Some(cluster) = cluster.filter(|cluster| cluster.losses > 1) {
            self.bursts += 1;
            self.burst_packets += cluster.last - cluster.first + 1;
            self.burst_losses += cluster.losses;
        }
    }

    /// Lost and discarded packets.
    pub fn losses(&self) -> u64 {
        self.lost + self.discarded
    }

    /// BurstR: the mean length of the observed runs of loss over the mean length that random loss of the same rate
    /// would give, `1 / (1 - rate)` (ITU-T G.107 section 7.5). `None` without loss, and when everything was lost.
    pub fn burst_ratio(&self) -> Option<f64> {
        let received = self.packets - self.losses();
        (self.runs > 0 && received > 0)
            .then(|| self.losses() as f64 / self.runs as f64 * (received as f64 / self.packets as f64))
    }

    /// Packets between, before and after the bursts.
    pub fn gap_packets(&self) -> u64 {
        self.packets - self.burst_packets
    }

    /// Lost or discarded packets outside bursts.
    pub fn gap_losses(&self) -> u64 {
        self.losses() - self.burst_losses
    }

    /// Share of lost or discarded packets within bursts, 0 to 1; 0 without bursts.
    pub fn burst_density(&self) -> f64 {
        share(self.burst_losses, self.burst_packets)
    }

    /// Share of lost or discarded packets within gaps, 0 to 1.
    pub fn gap_density(&self) -> f64 {
        share(self.gap_losses(), self.gap_packets())
    }

    /// Mean length of a burst in packets; 0 without bursts.
    pub fn mean_burst(&self) -> f64 {
        share(self.burst_packets, self.bursts)
    }

    /// Mean length of a gap in packets: there is one more gap than bursts, as received packets are taken to precede
    /// and follow.
    pub fn mean_gap(&self) -> f64 {
        share(self.gap_packets(), self.bursts + 1)
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(pattern: &str) -> Summary {
        let mut fates = Pattern::default();
        for fate in pattern.chars() {
            fates.push(match fate {
                '0' => Fate::Received,
                '1' => Fate::Lost,
                _ => Fate::Discarded,
            });
        }
        fates.summary()
    }

    #[test]
    fn gmin_received_packets_part_two_bursts() {
        let near = summary(&format!("00101{}1000", "0".repeat(15)));
        assert_eq!((near.bursts, near.burst_packets, near.burst_losses), (1, 19, 3));
        let far = summary(&format!("00101{}1000", "0".repeat(16)));
        assert_eq!((far.bursts, far.burst_packets, far.burst_losses), (1, 3, 2));
        assert_eq!((far.gap_packets(), far.gap_losses()), (22, 1));
        assert_eq!(far.mean_gap(), 11.0);
    }

    #[test]
    fn burst_ratio_is_one_for_random_loss_and_grows_with_runs() {
        assert_eq!(summary("0000").burst_ratio(), None);
        assert_eq!(summary("1111").burst_ratio(), None);
        let single = summary(&format!("1{}", "0".repeat(99))).burst_ratio().unwrap();
        assert!((single - 0.99).abs() < 1e-9, "{single}");
        let run = summary(&format!("1121{}", "0".repeat(96))).burst_ratio().unwrap();
        assert!((run - 4.0 * 0.96).abs() < 1e-9, "{run}");
        let mut random = crate::random::Random::from_seed(1);
        let mut fates = Pattern::default();
        for _ in 0..200_000 {
            fates.push(if random.chance(0.05) { Fate::Lost } else { Fate::Received });
        }
        let ratio = fates.summary().burst_ratio().unwrap();
        assert!((ratio - 1.0).abs() < 0.02, "{ratio}");
    }

    #[test]
    fn a_summary_leaves_the_pattern_open() {
        let mut fates = Pattern::default();
        fates.push(Fate::Lost);
        fates.push(Fate::Discarded);
        assert_eq!(fates.summary().burst_packets, 2);
        fates.push(Fate::Lost);
        assert_eq!(fates.summary().burst_packets, 3);
        assert_eq!(fates.summary().bursts, 1);
    }
}
