//! What arrives of one media stream: which source is believed, in which order its packets stand, and how many are
//! missing (RFC 3550 A.1, A.3, A.8).
//!
//! ```text
//!   Packet ─▶ handle ─┬─ Accepted{seq, begins, reordered} ─▶ jitter buffer ── too late? ─▶ discarded(seq)
//!                     ├─ Probation(seq): not believed yet
//!                     ├─ Duplicate
//!                     └─ Refused: another source, or a jump that nothing confirms
//!   statistics() ─▶ quality::Report         report() ─▶ RTCP report block, one interval
//! ```

mod jitter;
mod source;

use super::packet::Packet;
use super::quality::burst;
use super::sequence::{ExtendedSeq, Seq, Ssrc};
use crate::time::{Duration, Instant};
use jitter::Jitter;
use source::{Placed, Source};

/// Must the first source send two packets in sequence before it is believed? One that takes over from another always
/// must, with no packet of the other between them: else two that send at once would take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probation {
    /// Plain RTP: two in sequence (RFC 3550 A.1, MIN_SEQUENTIAL).
    Required,
    /// SRTP: a packet that reaches us was authenticated, which proves more than a sequence does.
    Waived,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to the stream.
    Accepted(Accepted),
    /// The first packet of a call, not believed yet. It may wait in the jitter buffer: if the next packet begins the
    /// stream with the number that follows, this one counts. Learn no address from it.
    Probation(ExtendedSeq),
    /// It has been here before.
    Duplicate,
    /// Not to be played.
    Refused(Refusal),
}

/// Where an accepted packet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its place; comparable until the next [`Begin`].
    pub seq: ExtendedSeq,
    /// It begins a new numbering: whatever holds packets or timestamps of the old one starts over.
    pub begins: Option<Begin>,
    /// A packet with a higher number was here before.
    pub reordered: bool,
}

/// Why a numbering begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The first source of the call was believed.
    First,
    /// Another source took over.
    SsrcChanged,
    /// The source started its numbers over (RFC 3550 A.1: two packets in sequence after a big jump).
    Restarted,
}

/// Why a packet is not part of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another SSRC, and not two in sequence of it while the known source is silent.
    OtherSource,
    /// The number jumped by more than MAX_DROPOUT or back by more than MAX_MISORDER (RFC 3550 A.1).
    Jump,
}

/// Everything known of a stream since its beginning, all its sources together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// The source that is believed now.
    pub ssrc: Option<Ssrc>,
    /// Valid packets, duplicates not counted.
    pub packets: u64,
    /// Packets that the sequence numbers promise (RFC 3550 A.3).
    pub expected: u64,
    /// `expected - packets`.
    pub lost: u64,
    /// Accepted and then handed back by [`Reception::discarded`].
    pub discarded: u64,
    /// Arrived a second time.
    pub duplicates: u64,
    /// Arrived after a packet with a higher number.
    pub reordered: u64,
    /// Refused packets.
    pub refused: u64,
    /// Times that a numbering began: 1 for a call without SSRC change and restart.
    pub runs: u64,
    /// Interarrival jitter (RFC 3550 A.8) now.
    pub jitter: Option<Duration>,
    /// The highest that it has been.
    pub jitter_max: Option<Duration>,
    /// How losses and discards cluster.
    pub losses: burst::Summary,
}

/// One interval, as a report block of RTCP tells it (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The source reported on.
    pub ssrc: Ssrc,
    /// Lost since the last report, in 1/256; 0 when duplicates outweigh losses.
    pub fraction_lost: u8,
    /// Lost since the source began; duplicates count as received. Clamped to 24 bits with sign.
    pub cumulative_lost: i32,
    /// Highest sequence number with its cycles.
    pub extended_highest: u32,
    /// Interarrival jitter in ticks of the RTP clock.
    pub jitter: u32,
}

/// A source that is not believed yet.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    ssrc: Ssrc,
    seq: Seq,
}

/// The receiving side of one media stream.
#[derive(Clone, Debug)]
pub struct Reception {
    probation: Probation,
    source: Option<Source>,
    candidate: Option<Candidate>,
    jitter: Jitter,
    /// Fates of packets that can no longer arrive.
    settled: burst::Pattern,
    /// Totals; `expected` and `lost` of finished sources only.
    totals: Statistics,
}

impl Reception {
    /// Before the first packet.
    pub fn new(probation: Probation) -> Self {
        Self {
            probation,
            source: None,
            candidate: None,
            jitter: Jitter::default(),
            settled: burst::Pattern::default(),
            totals: Statistics::default(),
        }
    }

    /// Changes the rule for sources that are not believed yet: a renegotiation brought or removed keys.
    pub fn set_probation(&mut self, probation: Probation) {
        self.probation = probation;
    }

    /// A packet arrived at `now`. `clock_rate` in Hz is that of its payload type; `None` keeps the packet out of the
    /// jitter: telephone events repeat the timestamp of their beginning (RFC 4733 section 2.5.1.2).
    pub fn handle(&mut self, now: Instant, packet: &Packet<'_>, clock_rate: Option<u32>) -> Verdict {
        let verdict = self.judge(packet);
        match verdict {
            Verdict::Accepted(accepted) => {
                self.totals.packets += 1;
                self.totals.reordered += u64::from(accepted.reordered);
            }
            Verdict::Duplicate => self.totals.duplicates += 1,
            Verdict::Refused(_) => self.totals.refused += 1,
            Verdict::Probation(_) => {}
        }
        if let (Verdict::Accepted(_) | Verdict::Probation(_), Some(clock_rate)) = (verdict, clock_rate) {
            self.jitter.observe(now, packet.timestamp, clock_rate);
        }
        verdict
    }

    fn judge(&mut self, packet: &Packet<'_>) -> Verdict {
        let confirmed =
            self.candidate.is_some_and(|candidate| candidate.ssrc == packet.ssrc && candidate.seq.next() == packet.seq);
        match &mut self.source {
            Some(source) if source.ssrc() == packet.ssrc => {
                // The known source speaks, so nobody takes over.
                self.candidate = None;
                match source.place(packet.seq, &mut self.settled) {
                    Placed::Ahead(seq) => Verdict::Accepted(Accepted { seq, begins: None, reordered: false }),
                    Placed::Behind(seq) => Verdict::Accepted(Accepted { seq, begins: None, reordered: true }),
                    Placed::Duplicate => Verdict::Duplicate,
                    Placed::Jump => Verdict::Refused(Refusal::Jump),
                    Placed::Restart => self.begin(packet, Begin::Restarted),
                }
            }
            Some(_) if confirmed => self.begin(packet, Begin::SsrcChanged),
            None if confirmed || self.probation == Probation::Waived => self.begin(packet, Begin::First),
            known => {
                let verdict = if known.is_some() {
                    Verdict::Refused(Refusal::OtherSource)
                } else {
                    self.jitter.forget();
                    Verdict::Probation(ExtendedSeq(packet.seq.0.into()))
                };
                self.candidate = Some(Candidate { ssrc: packet.ssrc, seq: packet.seq });
                verdict
            }
        }
    }

    /// An accepted packet was not played: too late for the jitter buffer, or too much for it.
    pub fn discarded(&mut self, seq: ExtendedSeq) {
        self.totals.discarded += 1;
        if let Some(source) = &mut self.source {
            source.discard(seq);
        }
    }

    /// The source that is believed now.
    pub fn ssrc(&self) -> Option<Ssrc> {
        self.source.as_ref().map(Source::ssrc)
    }

    /// Everything so far.
    pub fn statistics(&self) -> Statistics {
        let mut statistics = self.totals;
        let mut losses = self.settled.clone();
        if let Some(source) = &self.source {
            statistics.ssrc = Some(source.ssrc());
            statistics.expected += source.expected();
            statistics.lost += source.lost();
            source.clone().settle_all(&mut losses);
        }
        statistics.jitter = self.jitter.latest();
        statistics.jitter_max = self.jitter.highest();
        statistics.losses = losses.summary();
        statistics
    }

    /// Ends a report interval and tells it; `None` while no source is believed.
    pub fn report(&mut self) -> Option<Interval> {
        let jitter = self.jitter.ticks();
        self.source.as_mut().map(|source| source.report(jitter))
    }

    fn begin(&mut self, packet: &Packet<'_>, begins: Begin) -> Verdict {
        if let Some(mut old) = self.source.take() {
            self.totals.expected += old.expected();
            self.totals.lost += old.lost();
            old.settle_all(&mut self.settled);
            self.jitter.forget();
        }
        self.totals.runs += 1;
        // Only the first source of a call had its packet held rather than refused, so only there it counts.
        let held = self
            .candidate
            .take()
            .filter(|held| begins == Begin::First && held.ssrc == packet.ssrc && held.seq.next() == packet.seq);
        let mut source = Source::new(packet.ssrc, held.map_or(packet.seq, |held| held.seq));
        if held.is_some() {
            self.totals.packets += 1;
            source.place(packet.seq, &mut self.settled);
        }
        let seq = source.highest();
        self.source = Some(source);
        Verdict::Accepted(Accepted { seq, begins: Some(begins), reordered: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sequence::RtpTime;
    use crate::random::Random;

    fn packet(ssrc: u32, seq: u16) -> Packet<'static> {
        Packet {
            marker: false,
            payload_type: 0,
            seq: Seq(seq),
            timestamp: RtpTime(u32::from(seq) * 160),
            ssrc: Ssrc(ssrc),
            payload: &[],
        }
    }

    /// Packets of source 1, 20 ms apart, in the order of `seqs`.
    fn receive(reception: &mut Reception, seqs: impl IntoIterator<Item = u16>) -> Vec<Verdict> {
        let of_one = |(i, seq)| reception.handle(Instant::from_millis(20 * i as u64), &packet(1, seq), Some(8_000));
        seqs.into_iter().enumerate().map(of_one).collect()
    }

    fn accepted(seq: i64) -> Verdict {
        Verdict::Accepted(Accepted { seq: ExtendedSeq(seq), begins: None, reordered: false })
    }

    #[test]
    fn two_in_sequence_begin_a_stream_and_both_count() {
        let mut reception = Reception::new(Probation::Required);
        let verdicts = receive(&mut reception, [9, 65_534, 65_535, 0, 1]);
        assert_eq!(verdicts[0], Verdict::Probation(ExtendedSeq(9)));
        assert_eq!(verdicts[1], Verdict::Probation(ExtendedSeq(65_534)));
        let begins = Some(Begin::First);
        assert_eq!(verdicts[2], Verdict::Accepted(Accepted { seq: ExtendedSeq(65_535), begins, reordered: false }));
        assert_eq!(verdicts[3..], [accepted(65_536), accepted(65_537)]);
        let statistics = reception.statistics();
        assert_eq!((statistics.packets, statistics.expected, statistics.lost), (4, 4, 0));
        assert_eq!(statistics.jitter, Some(Duration::ZERO));
        assert_eq!(statistics.losses.packets, 4);
    }

    #[test]
    fn an_authenticated_source_is_believed_at_once() {
        let mut reception = Reception::new(Probation::Waived);
        let verdict = reception.handle(Instant::ZERO, &packet(1, 7), Some(8_000));
        let begins = Some(Begin::First);
        assert_eq!(verdict, Verdict::Accepted(Accepted { seq: ExtendedSeq(7), begins, reordered: false }));
        assert_eq!(reception.ssrc(), Some(Ssrc(1)));
        assert_eq!(reception.statistics().jitter, None, "one packet has no jitter");
    }

    #[test]
    fn reordering_and_duplicates_are_told_apart() {
        let mut reception = Reception::new(Probation::Waived);
        let verdicts = receive(&mut reception, [10, 12, 11, 11, 12, 9, 14]);
        let behind = |seq| Verdict::Accepted(Accepted { seq: ExtendedSeq(seq), begins: None, reordered: true });
        assert_eq!(
            verdicts[1..],
            [accepted(12), behind(11), Verdict::Duplicate, Verdict::Duplicate, behind(9), accepted(14)]
        );
        let statistics = reception.statistics();
        assert_eq!((statistics.packets, statistics.duplicates, statistics.reordered), (5, 2, 2));
        assert_eq!((statistics.expected, statistics.lost), (6, 1));
        assert_eq!((statistics.losses.packets, statistics.losses.lost), (6, 1));
    }

    #[test]
    fn a_packet_between_old_and_new_source_keeps_the_old_one() {
        let mut reception = Reception::new(Probation::Required);
        receive(&mut reception, [1, 2, 3]);
        let at = Instant::from_millis(80);
        let other = Verdict::Refused(Refusal::OtherSource);
        assert_eq!(reception.handle(at, &packet(2, 500), Some(8_000)), other);
        assert_eq!(reception.handle(at, &packet(1, 4), Some(8_000)), accepted(4));
        assert_eq!(reception.handle(at, &packet(2, 501), Some(8_000)), other);
        let begins = Some(Begin::SsrcChanged);
        assert_eq!(
            reception.handle(at, &packet(2, 502), Some(8_000)),
            Verdict::Accepted(Accepted { seq: ExtendedSeq(502), begins, reordered: false })
        );
        assert_eq!(reception.handle(at, &packet(1, 5), Some(8_000)), other);
        let statistics = reception.statistics();
        assert_eq!((statistics.packets, statistics.expected, statistics.refused, statistics.runs), (5, 5, 3, 2));
        assert_eq!(statistics.ssrc, Some(Ssrc(2)));
    }

    #[test]
    fn two_authenticated_sources_at_once_do_not_take_turns() {
        let mut reception = Reception::new(Probation::Waived);
        for seq in 0..50 {
            for ssrc in [1, 2] {
                reception.handle(Instant::from_millis(20 * u64::from(seq)), &packet(ssrc, seq), Some(8_000));
            }
        }
        let statistics = reception.statistics();
        assert_eq!((statistics.ssrc, statistics.packets, statistics.runs), (Some(Ssrc(1)), 50, 1));
        assert_eq!(statistics.refused, 50);
    }

    #[test]
    fn a_restart_needs_two_in_sequence_and_loses_nothing() {
        let mut reception = Reception::new(Probation::Required);
        let verdicts = receive(&mut reception, [100, 101, 103, 40_000, 104, 20_000, 20_001, 20_002]);
        assert_eq!(verdicts[3], Verdict::Refused(Refusal::Jump));
        assert_eq!(verdicts[4], accepted(104));
        assert_eq!(verdicts[5], Verdict::Refused(Refusal::Jump));
        let begins = Some(Begin::Restarted);
        assert_eq!(verdicts[6], Verdict::Accepted(Accepted { seq: ExtendedSeq(20_001), begins, reordered: false }));
        assert_eq!(verdicts[7], accepted(20_002));
        let statistics = reception.statistics();
        assert_eq!((statistics.packets, statistics.expected, statistics.lost), (6, 7, 1));
        assert_eq!((statistics.losses.packets, statistics.losses.lost), (7, 1));
    }

    #[test]
    fn limits_of_dropout_and_misorder() {
        let mut reception = Reception::new(Probation::Waived);
        let verdicts = receive(&mut reception, [0, 2_999, 2_900, 2_899, 5_999]);
        assert_eq!(verdicts[1], accepted(2_999));
        assert!(matches!(verdicts[2], Verdict::Accepted(Accepted { reordered: true, .. })));
        assert_eq!(verdicts[3], Verdict::Refused(Refusal::Jump), "100 behind");
        assert_eq!(verdicts[4], Verdict::Refused(Refusal::Jump), "3000 ahead");
        let statistics = reception.statistics();
        assert_eq!((statistics.expected, statistics.lost), (3_000, 2_997));
        assert_eq!((statistics.losses.packets, statistics.losses.lost, statistics.losses.runs), (3_000, 2_997, 2));
    }

    #[test]
    fn discarded_packets_join_the_pattern() {
        let mut reception = Reception::new(Probation::Waived);
        receive(&mut reception, [0, 1, 2, 4, 5]);
        reception.discarded(ExtendedSeq(2));
        let statistics = reception.statistics();
        assert_eq!((statistics.lost, statistics.discarded), (1, 1));
        assert_eq!((statistics.losses.lost, statistics.losses.discarded, statistics.losses.runs), (1, 1, 1));
        reception.discarded(ExtendedSeq(4_000));
        assert_eq!(reception.statistics().discarded, 2, "unknown numbers are counted all the same");
    }

    #[test]
    fn report_blocks_tell_the_interval() {
        let mut reception = Reception::new(Probation::Waived);
        assert_eq!(reception.report(), None);
        receive(&mut reception, [65_534, 65_535, 1, 2]);
        let first = reception.report().unwrap();
        assert_eq!((first.fraction_lost, first.cumulative_lost, first.extended_highest), (51, 1, 65_538));
        let nothing = reception.report().unwrap();
        assert_eq!((nothing.fraction_lost, nothing.cumulative_lost), (0, 1));
        receive(&mut reception, [3, 3, 3]);
        let duplicates = reception.report().unwrap();
        assert_eq!((duplicates.fraction_lost, duplicates.cumulative_lost), (0, -1));
        receive(&mut reception, [1_003]);
        assert_eq!(reception.report().unwrap().fraction_lost, 255);
    }

    #[test]
    fn events_and_new_timestamp_bases_are_no_jitter() {
        let mut reception = Reception::new(Probation::Waived);
        let mut at = |millis, seq, timestamp, clock_rate| {
            let packet = Packet { timestamp: RtpTime(timestamp), ..packet(1, seq) };
            reception.handle(Instant::from_millis(millis), &packet, clock_rate);
        };
        at(0, 1, 0, Some(8_000));
        at(20, 2, 160, Some(8_000));
        at(40, 3, 320, None);
        at(60, 4, 320, None);
        at(80, 5, 640, Some(8_000));
        at(100, 6, 3_000_000_000, Some(8_000));
        at(120, 7, 3_000_000_160, Some(8_000));
        at(140, 8, 48_000, Some(48_000));
        at(160, 9, 48_960, Some(48_000));
        assert_eq!(reception.statistics().jitter_max, Some(Duration::ZERO));
        reception.handle(
            Instant::from_millis(196),
            &Packet { timestamp: RtpTime(49_920), ..packet(1, 10) },
            Some(48_000),
        );
        assert_eq!(reception.statistics().jitter, Some(Duration::from_millis(1)), "16 ms late, a sixteenth");
        assert_eq!(reception.report().unwrap().jitter, 48);
    }

    #[test]
    fn books_balance_whatever_arrives() {
        for seed in 0..200 {
            let mut random = Random::from_seed(seed);
            let probation = if random.chance(0.5) { Probation::Required } else { Probation::Waived };
            let mut reception = Reception::new(probation);
            let mut seq = random.u32() as u16;
            let mut ssrc = 1;
            let mut handed = 0;
            for i in 0..2_000 {
                seq = match random.range(0, 100) {
                    0 => random.u32() as u16,
                    1..=4 => seq.wrapping_sub(random.range(0, 120) as u16),
                    5..=8 => seq.wrapping_add(random.range(2, 30) as u16),
                    _ => seq.wrapping_add(1),
                };
                if random.chance(0.01) {
                    ssrc = random.range(1, 4) as u32;
                }
                handed += 1;
                let verdict = reception.handle(Instant::from_millis(i * 20), &packet(ssrc, seq), Some(8_000));
                if let Verdict::Accepted(accepted) = verdict
                    && random.chance(0.05)
                {
                    reception.discarded(accepted.seq);
                }
            }
            let statistics = reception.statistics();
            let counted = statistics.packets + statistics.duplicates + statistics.refused;
            assert!(counted <= handed, "seed {seed}: {statistics:?}");
            assert_eq!(statistics.packets + statistics.lost, statistics.expected, "seed {seed}");
            assert_eq!(statistics.losses.packets, statistics.expected, "seed {seed}");
            assert_eq!(statistics.losses.lost, statistics.lost, "seed {seed}");
            assert!(statistics.losses.discarded <= statistics.discarded, "seed {seed}");
        }
    }
}
