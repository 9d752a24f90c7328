//! The other sources of a session (RFC 3550 section 6.3.3).

use super::ntp::Ntp;
use crate::media::sequence::Ssrc;
use crate::time::{Duration, Instant};

/// Sources that we remember besides ourselves; a call has one or two. Below the 50 from which section 6.3.7 makes a BYE
/// wait its turn.
const MAX_MEMBERS: usize = 32;

/// Another source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    ssrc: Ssrc,
    heard: Instant,
    /// When it last sent RTP; `None` if that is long ago.
    pub(super) sent_rtp: Option<Instant>,
    /// Its last sender report, and when it came.
    pub(super) last_sr: Option<(Ntp, Instant)>,
}

/// Everybody but us.
#[derive(Clone, Debug, Default)]
pub(super) struct Members(Vec<Member>);

impl Members {
    /// This source was heard. `None` when the table is full and does not know it.
    pub(super) fn heard(&mut self, now: Instant, ssrc: Ssrc) -> Option<&mut Member> {
        let known = self.0.iter().position(|member| member.ssrc == ssrc);
        let index = known.unwrap_or(self.0.len());
        if known.is_none() && index < MAX_MEMBERS {
            self.0.push(Member { ssrc, heard: now, sent_rtp: None, last_sr: None });
        }
        let member = self.0.get_mut(index)?;
        member.heard = now;
        Some(member)
    }

    /// These sources said that they leave.
    pub(super) fn leave(&mut self, ssrcs: &[Ssrc]) {
        self.0.retain(|member| !ssrcs.contains(&member.ssrc));
    }

    /// Time-outs of section 6.3.5: five intervals for a member, two for its being a sender.
    pub(super) fn forget_silent(&mut self, now: Instant, interval: Duration) {
        self.0.retain(|member| now.since(member.heard) < interval * 5);
        for member in &mut self.0 {
            member.sent_rtp = member.sent_rtp.filter(|at| now.since(*at) < interval * 2);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn senders(&self) -> usize {
        self.0.iter().filter(|member| member.sent_rtp.is_some()).count()
    }

    pub(super) fn last_sr(&self, ssrc: Ssrc) -> Option<(Ntp, Instant)> {
        self.0.iter().find(|member| member.ssrc == ssrc)?.last_sr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_bounded_and_empties_itself() {
        let mut members = Members::default();
        for ssrc in 0..100 {
            let known = members.heard(Instant::ZERO, Ssrc(ssrc));
            assert_eq!(known.is_some(), (ssrc as usize) < MAX_MEMBERS);
        }
        members.heard(Instant::from_millis(9_000), Ssrc(3)).unwrap().sent_rtp = Some(Instant::from_millis(9_000));
        assert_eq!((members.count(), members.senders()), (MAX_MEMBERS, 1));
        members.leave(&[Ssrc(4), Ssrc(99)]);
        assert_eq!(members.count(), MAX_MEMBERS - 1);
        let interval = Duration::from_secs(5);
        members.forget_silent(Instant::from_millis(19_000), interval);
        assert_eq!((members.count(), members.senders()), (MAX_MEMBERS - 1, 0), "two intervals");
        members.forget_silent(Instant::from_millis(25_000), interval);
        assert_eq!(members.count(), 1, "five intervals");
        members.forget_silent(Instant::from_millis(34_000), interval);
        assert_eq!(members.count(), 0);
    }
}
