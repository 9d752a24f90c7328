//! What is heard, at the rate of what we send.

use super::Session;
use crate::media::resample::Resampler;
use crate::time::{Duration, Instant};

/// Audio is converted in pieces this long.
const PIECE: Duration = Duration::from_millis(10);
/// What a converter is told of the time before it.
const HISTORY: Duration = Duration::from_millis(20);

impl Session {
    /// Fills `out` with the next mono audio at [`Session::rate`], a multiple of 10 ms.
    pub fn playout(&mut self, now: Instant, out: &mut [i16]) {
        let ours = self.rate();
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let ready = self.resampled.len().min(rest.len());
            let same = self.resampler.as_ref().is_none_or(|resampler| resampler.to() == ours);
            if ready > 0 && same {
                rest.iter_mut().zip(self.resampled.drain(..ready)).for_each(|(sample, ready)| *sample = ready);
                done += ready;
                continue;
            }
            let left = Duration::from_nanos(rest.len() as u64 * 1_000_000_000 / u64::from(ours));
            let span = if self.resampler.is_some() { PIECE } else { left };
            let theirs = self.playout.prepare(now, span);
            self.convert(theirs, ours);
            match &mut self.resampler {
                None if theirs == ours => {
                    self.playout.pull(now, rest);
                    done = out.len();
                }
                // Rates of codecs are ordinary ones; a rate that cannot be converted is silence rather than noise.
                None => {
                    rest.fill(0);
                    done = out.len();
                }
                Some(resampler) => {
                    self.piece.resize(theirs as usize / 100, 0);
                    self.playout.pull(now, &mut self.piece);
                    resampler.process(&self.piece, &mut self.resampled);
                }
            }
        }
        self.forget_discarded();
        self.hear_tones(out);
    }

    /// Has what is pulled from now on converted from `theirs` Hz to `ours`, without a gap: what a converter before holds is
    /// pulled again.
    fn convert(&mut self, theirs: u32, ours: u32) {
        let known = self.resampler.as_ref().map(|known| (known.from(), known.to()));
        if known == (theirs != ours).then_some((theirs, ours)) {
            return;
        }
        if let Some(resampler) = self.resampler.take() {
            let ready = self.resampled.len() as f64 / f64::from(resampler.to());
            self.playout.rewind(resampler.held() + Duration::from_secs_f64(ready));
        }
        self.resampled.clear();
        if theirs != ours {
            self.resampler = Resampler::behind(self.playout.history(HISTORY), theirs, ours).ok();
        }
    }
}
