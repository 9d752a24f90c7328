//! RTCP of one media stream: our reports on their schedule, and what the far end reports of us (RFC 3550 section 6).
//!
//! ```text
//!   sent_rtp, received_rtp ─▶ ┌──────┐ ─▶ handle_timeout: SR or RR + SDES, every 5 s or so
//!   datagram ─▶ handle ─────▶ │ Rtcp │ ─▶ bye: the same with BYE
//!                             └──────┘ ─▶ remote(): loss, jitter and round trip of what we send
//! ```

mod compound;
mod members;
mod ntp;
mod schedule;
mod told;

pub use compound::{Malformed, Outgoing, Part, ReportBlock, SenderInfo, TextTooLong, parse};
pub use ntp::Ntp;
pub use told::{Heard, Remote, Summary};

use super::packet::Header;
use super::receive::Reception;
use super::sequence::{ExtendedSeq, RtpTime, Ssrc};
use crate::random::Random;
use crate::time::{Duration, Instant, Wall};
use members::Members;
use schedule::{Crowd, Schedule};
use std::collections::VecDeque;

/// Share of the session bandwidth for RTCP (RFC 3550 section 6.2).
const BANDWIDTH_SHARE: f64 = 0.05;
/// IPv4 and UDP headers, which section 6.2 counts in.
const LOWER_HEADERS: usize = 20 + 8;
/// Sender reports whose echo we still recognise: more than a minute of them.
const MAX_SENT_REPORTS: usize = 16;
/// Longest CNAME and BYE reason (section 6.5).
const MAX_TEXT: usize = 255;
/// A round trip may come out this much below zero from a peer with a coarse clock; it is zero then.
const CLOCK_GRAIN: Duration = Duration::from_millis(50);

/// What RTCP needs to know of a call.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our source.
    pub ssrc: Ssrc,
    /// Our canonical name (RFC 7022: random, for privacy); cut at 255 octets.
    pub cname: String,
    /// Where NTP timestamps come from.
    pub wall: Wall,
    /// Bandwidth of the session with its headers, bit/s; RTCP takes 5 % of it.
    pub bandwidth: u32,
}

/// Our stream so far.
#[derive(Clone, Copy, Debug)]
struct Sent {
    first: ExtendedSeq,
    highest: ExtendedSeq,
    timestamp: RtpTime,
    clock_rate: u32,
    at: Instant,
    packets: u32,
    octets: u32,
}

/// RTCP of one media stream.
#[derive(Debug)]
pub struct Rtcp {
    ssrc: Ssrc,
    cname: String,
    wall: Wall,
    schedule: Schedule,
    members: Members,
    sent: Option<Sent>,
    /// When our last two reports went out, the older one first.
    reports: [Option<Instant>; 2],
    sender_reports: VecDeque<(u32, Instant)>,
    remote: Option<Remote>,
    /// What our last report said.
    last: Option<Summary>,
    left: bool,
    out: Vec<u8>,
}

impl Rtcp {
    /// From the start of the stream at `now`.
    pub fn new(now: Instant, config: Config, random: Random) -> Self {
        let cname = cut(&config.cname).to_owned();
        let mut out = Vec::new();
        let first = Outgoing { ssrc: config.ssrc, sender: None, block: None, cname: &cname, bye: None };
        let first_size = first.write(&mut out).map_or(0, |()| out.len()) + LOWER_HEADERS;
        Self {
            ssrc: config.ssrc,
            cname,
            wall: config.wall,
            schedule: Schedule::new(now, share(config.bandwidth), first_size, random),
            members: Members::default(),
            sent: None,
            reports: [None; 2],
            sender_reports: VecDeque::with_capacity(MAX_SENT_REPORTS),
            remote: None,
            last: None,
            left: false,
            out,
        }
    }

    /// The codec changed: bandwidth of the session with its headers, bit/s.
    pub fn set_bandwidth(&mut self, bandwidth: u32) {
        self.schedule.set_bandwidth(share(bandwidth));
    }

    /// We sent an RTP packet with a payload of so many octets, on a clock of `clock_rate` Hz.
    pub fn sent_rtp(&mut self, now: Instant, header: &Header, payload: usize, clock_rate: u32) {
        let first = ExtendedSeq(header.seq.0.into());
        let sent = self.sent.get_or_insert(Sent {
            first,
            highest: first,
            timestamp: header.timestamp,
            clock_rate,
            at: now,
            packets: 0,
            octets: 0,
        });
        sent.highest = sent.highest.nearest(header.seq);
        (sent.timestamp, sent.clock_rate, sent.at) = (header.timestamp, clock_rate, now);
        sent.packets = sent.packets.wrapping_add(1);
        sent.octets = sent.octets.wrapping_add(payload as u32);
    }

    /// A packet of the stream that we receive was accepted.
    pub fn received_rtp(&mut self, now: Instant, ssrc: Ssrc) {
        if ssrc != self.ssrc
            && let Some(member) = self.members.heard(now, ssrc)
        {
            member.sent_rtp = Some(now);
        }
    }

    /// A compound packet arrived (decrypted, if the call is protected).
    pub fn handle(&mut self, now: Instant, datagram: &[u8]) -> Result<Heard, Malformed> {
        let parts = parse(datagram)?;
        let mut heard = Heard::default();
        if parts.iter().any(|part| matches!(part, Part::Report { ssrc, .. } if *ssrc == self.ssrc)) {
            heard.own_ssrc = true;
            return Ok(heard);
        }
        self.schedule.observe_size(datagram.len() + LOWER_HEADERS);
        for part in parts {
            match part {
                Part::Report { ssrc, sender, blocks } => {
                    if let Some(member) = self.members.heard(now, ssrc)
                        && let Some(sender) = sender
                    {
                        member.last_sr = Some((sender.ntp, now));
                    }
                    let ours = self.ssrc;
                    let block = blocks.iter().find(|block| block.ssrc == ours).copied();
                    heard.report.get_or_insert(Summary { ssrc, sender, block, bye: false });
                    for block in blocks.iter().filter(|block| block.ssrc == ours) {
                        self.reported(now, block);
                        heard.about_us = true;
                    }
                }
                Part::Cname { ssrc, .. } if ssrc == self.ssrc => {}
                Part::Cname { ssrc, .. } => {
                    self.members.heard(now, ssrc);
                }
                Part::Bye { ssrcs } => {
                    self.members.leave(&ssrcs);
                    if let Some(report) = &mut heard.report {
                        report.bye |= ssrcs.contains(&report.ssrc);
                    }
                    heard.byes.extend(ssrcs.into_iter().filter(|ssrc| *ssrc != self.ssrc));
                }
            }
        }
        if !heard.byes.is_empty() {
            self.schedule.left(now, self.crowd().members);
        }
        Ok(heard)
    }

    /// When [`Rtcp::handle_timeout`] wants to be called; `None` after [`Rtcp::bye`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.left).then(|| self.schedule.next())
    }

    /// A compound packet to send, if one is due now.
    pub fn handle_timeout(&mut self, now: Instant, reception: &mut Reception) -> Option<&[u8]> {
        if self.left || now < self.schedule.next() {
            return None;
        }
        let interval = self.schedule.calculated(self.crowd());
        self.members.forget_silent(now, interval);
        let crowd = self.crowd();
        self.schedule.left(now, crowd.members);
        if !self.schedule.expired(now, crowd) {
            return None;
        }
        self.write(now, reception, None)
    }

    /// We leave: the last compound packet, with a BYE for this reason (may be empty). `None` if we left before, or never
    /// sent anything and so need not leave (section 6.3.7).
    pub fn bye(&mut self, now: Instant, reception: &mut Reception, reason: &str) -> Option<&[u8]> {
        let silent = self.sent.is_none() && self.reports == [None; 2];
        if std::mem::replace(&mut self.left, true) || silent {
            return None;
        }
        self.write(now, reception, Some(cut(reason)))
    }

    /// What the far end reports of our stream; `None` until it does.
    pub fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    /// What the last packet of ours said; `None` before the first.
    pub fn last(&self) -> Option<Summary> {
        self.last
    }

    fn write(&mut self, now: Instant, reception: &mut Reception, bye: Option<&str>) -> Option<&[u8]> {
        let ntp = Ntp::of(self.wall.at(now));
        let we_sent = self.crowd().we_sent;
        let sender = self.sent.filter(|_| we_sent).map(|sent| SenderInfo {
            ntp,
            rtp: sent.timestamp + ticks(now.since(sent.at), sent.clock_rate),
            packets: sent.packets,
            octets: sent.octets,
        });
        let block = reception.report().map(|interval| {
            let last_sr = self.members.last_sr(interval.ssrc);
            ReportBlock {
                ssrc: interval.ssrc,
                fraction_lost: interval.fraction_lost,
                cumulative_lost: interval.cumulative_lost,
                extended_highest: interval.extended_highest,
                jitter: interval.jitter,
                last_sr: last_sr.map_or(0, |(ntp, _)| ntp.middle()),
                delay_since_last_sr: last_sr.map_or(0, |(_, at)| ntp::short(now.since(at))),
            }
        });
        Outgoing { ssrc: self.ssrc, sender, block, cname: &self.cname, bye }.write(&mut self.out).ok()?;
        self.last = Some(Summary { ssrc: self.ssrc, sender, block, bye: bye.is_some() });
        self.schedule.observe_size(self.out.len() + LOWER_HEADERS);
        self.reports = [self.reports[1], Some(now)];
        if sender.is_some() {
            if self.sender_reports.len() == MAX_SENT_REPORTS {
                self.sender_reports.pop_front();
            }
            self.sender_reports.push_back((ntp.middle(), now));
        }
        Some(&self.out)
    }

    fn reported(&mut self, now: Instant, block: &ReportBlock) {
        let echoed = self.sender_reports.iter().find(|(middle, _)| block.last_sr != 0 && *middle == block.last_sr);
        let round_trip = echoed.and_then(|(_, at)| {
            let (away, held) = (now.since(*at), ntp::long(block.delay_since_last_sr));
            (held <= away + CLOCK_GRAIN).then(|| away.saturating_sub(held))
        });
        let expected = self.sent.and_then(|sent| {
            // Only the low 16 bits are ours: the far end counts cycles from where it began.
            let behind = sent.highest.seq().0.wrapping_sub(block.extended_highest as u16);
            u64::try_from(sent.highest - sent.first + 1 - i64::from(behind)).ok().filter(|expected| *expected > 0)
        });
        let jitter = |sent: Sent| Duration::from_secs_f64(f64::from(block.jitter) / f64::from(sent.clock_rate.max(1)));
        self.remote = Some(Remote {
            reports: self.remote.map_or(0, |remote| remote.reports) + 1,
            at: now,
            lost: block.cumulative_lost,
            expected,
            fraction_lost: f64::from(block.fraction_lost) / 256.0,
            jitter: self.sent.map(jitter),
            round_trip: round_trip.or(self.remote.and_then(|remote| remote.round_trip)),
        });
    }

    fn crowd(&self) -> Crowd {
        // Section 6.3.8: we are a sender if we sent since the report before the last.
        let since = self.reports[0].unwrap_or(Instant::ZERO);
        let we_sent = self.sent.is_some_and(|sent| sent.at >= since);
        let senders = self.members.senders() + usize::from(we_sent);
        Crowd { members: self.members.count() + 1, senders, we_sent }
    }
}

/// As much of a text as fits into an item.
fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(MAX_TEXT)).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// RTCP bandwidth in octets a second, of a session bandwidth in bit/s.
fn share(bandwidth: u32) -> f64 {
    f64::from(bandwidth) / 8.0 * BANDWIDTH_SHARE
}

/// Ticks of a clock of `rate` Hz; wraps.
fn ticks(duration: Duration, rate: u32) -> u32 {
    (duration.as_nanos() * u128::from(rate) / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::packet::Packet;
    use crate::media::receive::Probation;
    use crate::media::sequence::Seq;

    fn rtcp(ssrc: u32, wall: &str) -> Rtcp {
        let wall = Wall::new(wall.parse().unwrap());
        let config = Config { ssrc: Ssrc(ssrc), cname: format!("{ssrc}@test"), wall, bandwidth: 80_000 };
        Rtcp::new(Instant::ZERO, config, Random::from_seed(ssrc.into()))
    }

    fn header(ssrc: u32, seq: u16) -> Header {
        let timestamp = RtpTime(u32::from(seq) * 160);
        Header { marker: false, payload_type: 0, seq: Seq(seq), timestamp, ssrc: Ssrc(ssrc) }
    }

    /// Two ends of a call, 30 ms away there and 50 ms back; end 1 loses every tenth packet of end 2.
    fn call(until: u64) -> [Rtcp; 2] {
        let mut ends = [rtcp(1, "2026-01-01T00:00:00Z"), rtcp(2, "2031-07-01T12:00:00.3Z")];
        let mut receptions = [Reception::new(Probation::Waived), Reception::new(Probation::Waived)];
        let mut flying: Vec<(u64, usize, Vec<u8>)> = Vec::new();
        for millis in 0..until {
            let now = Instant::from_millis(millis);
            for from in 0..2 {
                let to = 1 - from;
                if millis % 20 == 0 {
                    let header = header(from as u32 + 1, 65_500u16.wrapping_add((millis / 20) as u16));
                    ends[from].sent_rtp(now, &header, 160, 8_000);
                    if from == 0 || millis / 20 % 10 != 5 {
                        let Header { marker, payload_type, seq, timestamp, ssrc } = header;
                        let packet = Packet { marker, payload_type, seq, timestamp, ssrc, payload: &[] };
                        receptions[to].handle(now, &packet, Some(8_000));
                        ends[to].received_rtp(now, ssrc);
                    }
                }
                if ends[from].poll_timeout().unwrap() <= now
                    && let Some(packet) = ends[from].handle_timeout(now, &mut receptions[from])
                {
                    flying.push((millis + if from == 0 { 30 } else { 50 }, to, packet.to_vec()));
                }
            }
            for (_, to, packet) in flying.extract_if(.., |(at, ..)| *at == millis) {
                ends[to].handle(now, &packet).unwrap();
            }
        }
        ends
    }

    #[test]
    fn both_ends_learn_round_trip_and_loss() {
        let [one, two] = call(30_000);
        for end in [&one, &two] {
            let remote = end.remote().unwrap();
            assert!((4..12).contains(&remote.reports), "{remote:?}");
            let round_trip = remote.round_trip.unwrap().as_secs_f64();
            assert!((round_trip - 0.080).abs() < 0.000_1, "{round_trip}");
            let expected = remote.expected.unwrap();
            assert!((1_000..1_500).contains(&expected), "{expected}");
        }
        let heard_of_two = two.remote().unwrap();
        let ratio = f64::from(heard_of_two.lost) / heard_of_two.expected.unwrap() as f64;
        assert!((ratio - 0.1).abs() < 0.002, "{ratio}");
        assert!((heard_of_two.fraction_lost - 0.1).abs() < 0.01, "{heard_of_two:?}");
        assert_eq!(one.remote().unwrap().lost, 0);
        assert_eq!(one.remote().unwrap().jitter, Some(Duration::ZERO));
    }

    #[test]
    fn only_our_block_counts_and_strange_echoes_do_not() {
        let mut rtcp = rtcp(1, "2026-01-01T00:00:00Z");
        let mut reception = Reception::new(Probation::Waived);
        rtcp.sent_rtp(Instant::ZERO, &header(1, 100), 160, 8_000);
        rtcp.sent_rtp(Instant::ZERO, &header(1, 101), 160, 8_000);
        let due = rtcp.poll_timeout().unwrap();
        assert!(rtcp.handle_timeout(due - Duration::from_millis(1), &mut reception).is_none(), "spurious");
        let mut now = due;
        let sent = loop {
            if let Some(packet) = rtcp.handle_timeout(now, &mut reception) {
                break parse(packet).unwrap();
            }
            now = rtcp.poll_timeout().unwrap();
        };
        let Part::Report { sender: Some(sender), blocks, .. } = &sent[0] else { panic!("{sent:?}") };
        assert_eq!((sender.packets, sender.octets, blocks.len()), (2, 320, 0));
        assert_eq!(sender.rtp, RtpTime(101 * 160) + ticks(now.since_start(), 8_000));

        let block = |ssrc, last_sr, delay| ReportBlock {
            ssrc: Ssrc(ssrc),
            fraction_lost: 128,
            cumulative_lost: 1,
            extended_highest: 0x0003_0065,
            jitter: 80,
            last_sr,
            delay_since_last_sr: delay,
        };
        let report = |blocks: &[ReportBlock]| {
            let mut octets = vec![0x80 | blocks.len() as u8, 201, 0, 1 + 6 * blocks.len() as u8, 0, 0, 0, 2];
            for block in blocks {
                let mut one = Vec::new();
                let (sender, block) = (None, Some(*block));
                Outgoing { ssrc: Ssrc(2), sender, block, cname: "", bye: None }.write(&mut one).unwrap();
                octets.extend(&one[8..32]);
            }
            octets
        };
        let echo = sender.ntp.middle();
        let later = now + Duration::from_millis(500);
        let heard = rtcp.handle(later, &report(&[block(9, echo, 0), block(8, echo, 0)])).unwrap();
        assert!(!heard.about_us && rtcp.remote().is_none());
        rtcp.handle(later, &report(&[block(9, echo, 0), block(1, echo ^ 1, 0)])).unwrap();
        let remote = rtcp.remote().unwrap();
        assert_eq!((remote.lost, remote.expected, remote.fraction_lost), (1, Some(2), 0.5));
        assert_eq!((remote.jitter, remote.round_trip), (Some(Duration::from_millis(10)), None));
        rtcp.handle(later, &report(&[block(1, echo, 65_536)])).unwrap();
        assert_eq!(rtcp.remote().unwrap().round_trip, None, "held for longer than it was away");
        rtcp.handle(later, &report(&[block(1, echo, 32_768 + 65)])).unwrap();
        assert_eq!(rtcp.remote().unwrap().round_trip, Some(Duration::ZERO), "a coarse clock");
        rtcp.handle(later, &report(&[block(1, echo, 16_384)])).unwrap();
        assert_eq!(rtcp.remote().unwrap().round_trip, Some(Duration::from_millis(250)));
        rtcp.handle(later, &report(&[block(1, 0, 0)])).unwrap();
        assert_eq!(rtcp.remote().unwrap().round_trip, Some(Duration::from_millis(250)), "the latest that is known");
        assert_eq!(rtcp.remote().unwrap().reports, 5);
    }

    #[test]
    fn leaving_says_bye_once_and_only_if_we_were_there() {
        let mut reception = Reception::new(Probation::Waived);
        let mut silent = rtcp(1, "2026-01-01T00:00:00Z");
        assert!(silent.bye(Instant::ZERO, &mut reception, "").is_none());
        let mut rtcp = rtcp(1, "2026-01-01T00:00:00Z");
        rtcp.sent_rtp(Instant::ZERO, &header(1, 1), 160, 8_000);
        let reason = "ü".repeat(200);
        let parts = parse(rtcp.bye(Instant::from_millis(5), &mut reception, &reason).unwrap()).unwrap();
        assert!(matches!(parts[..], [Part::Report { sender: Some(_), .. }, Part::Cname { .. }, Part::Bye { .. }]));
        assert!(rtcp.bye(Instant::from_millis(6), &mut reception, "").is_none());
        assert_eq!(rtcp.poll_timeout(), None);
        assert!(rtcp.handle_timeout(Instant::from_millis(60_000), &mut reception).is_none());
    }

    #[test]
    fn a_bye_is_heard_and_our_own_ssrc_is_not_believed() {
        let mut rtcp = rtcp(1, "2026-01-01T00:00:00Z");
        rtcp.received_rtp(Instant::ZERO, Ssrc(2));
        let mut octets = Vec::new();
        let mut outgoing = Outgoing { ssrc: Ssrc(2), sender: None, block: None, cname: "x", bye: Some("") };
        outgoing.write(&mut octets).unwrap();
        assert_eq!(rtcp.handle(Instant::ZERO, &octets).unwrap().byes, [Ssrc(2)]);
        assert_eq!(rtcp.members.count(), 0);
        outgoing.ssrc = Ssrc(1);
        outgoing.write(&mut octets).unwrap();
        let heard = rtcp.handle(Instant::ZERO, &octets).unwrap();
        assert_eq!(heard, Heard { own_ssrc: true, ..Heard::default() });
    }

    #[test]
    fn who_stops_sending_becomes_a_receiver() {
        let mut rtcp = rtcp(1, "2026-01-01T00:00:00Z");
        let mut reception = Reception::new(Probation::Waived);
        rtcp.sent_rtp(Instant::ZERO, &header(1, 1), 160, 8_000);
        let mut reports = Vec::new();
        while reports.len() < 4 {
            let now = rtcp.poll_timeout().unwrap();
            if let Some(packet) = rtcp.handle_timeout(now, &mut reception) {
                let is_sr = matches!(parse(packet).unwrap()[0], Part::Report { sender: Some(_), .. });
                reports.push(is_sr);
            }
        }
        assert_eq!(reports, [true, true, false, false], "two intervals (section 6.4)");
    }
}
