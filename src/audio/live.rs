//! Live audio: another thread says what a call sends, and hears what it plays, sample by sample and with the times.
//!
//! ```text
//!  Voice ─ samples ─▶ Mouth (a source) ─▶ media worker ─▶ Ear (a sink) ─ samples, one Tick a packet ─▶ Hearing
//! ```
//!
//! Both ways are wait-free rings: the worker says silence when the voice has nothing, and leaves out what the hearing has
//! no room for.

use crate::time::{Duration, Instant};
use rtrb::{Consumer, Producer, RingBuffer};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// One packet time of a call, as its media worker saw it; times are of the phone's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Rate of the audio, Hz.
    pub rate: u32,
    /// Samples that were heard, and as many said.
    pub samples: usize,
    /// How many of those said came from the [`Voice`]; silence behind them.
    pub voiced: usize,
    /// When it was due: what is said was recorded until then.
    pub due: Instant,
    /// When the worker began with it.
    pub began: Instant,
    /// When what is heard was decoded and could be played.
    pub heard: Instant,
    /// When what is said was with the system, as a packet.
    pub sent: Instant,
    /// Time from arrival to playout, summed over the packets played so far.
    pub waited: Duration,
    /// Packets played so far.
    pub played: u64,
    /// Ticks before this one that there was no room for.
    pub missed: u64,
}

/// What a call says: the end of it that is a source. It can be opened once.
#[derive(Clone)]
pub struct Mouth(Arc<Mutex<Option<Consumer<i16>>>>);

/// What a call says: the end of it that speaks.
#[derive(Debug)]
pub struct Voice(Producer<i16>);

/// What a call hears: the end of it that is a sink. It can be opened once.
#[derive(Clone)]
pub struct Ear(Arc<Mutex<Option<Listener>>>);

/// What a call hears: the end of it that listens.
#[derive(Debug)]
pub struct Hearing {
    samples: Consumer<i16>,
    ticks: Consumer<Tick>,
}

/// An opened ear, in the worker.
#[derive(Debug)]
pub(crate) struct Listener {
    samples: Producer<i16>,
    ticks: Producer<Tick>,
    missed: u64,
}

impl Mouth {
    /// A mouth and its voice, which may be `samples` ahead.
    pub fn new(samples: usize) -> (Self, Voice) {
        let (voice, mouth) = RingBuffer::new(samples);
        (Self(Arc::new(Mutex::new(Some(mouth)))), Voice(voice))
    }

    /// What the voice says; `None` if it was opened before.
    pub(crate) fn open(&self) -> Option<Consumer<i16>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Ear {
    /// An ear and its hearing, which may be `samples` and `ticks` behind.
    pub fn new(samples: usize, ticks: usize) -> (Self, Hearing) {
        let ((for_samples, samples), (for_ticks, ticks)) = (RingBuffer::new(samples), RingBuffer::new(ticks));
        let listener = Listener { samples: for_samples, ticks: for_ticks, missed: 0 };
        (Self(Arc::new(Mutex::new(Some(listener)))), Hearing { samples, ticks })
    }

    /// Where it hears; `None` if it was opened before.
    pub(crate) fn open(&self) -> Option<Listener> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Voice {
    /// How many samples it may say now.
    pub fn room(&self) -> usize {
        self.0.slots()
    }

    /// Says `samples` behind those before; what there is no room for is left out. How many were said.
    pub fn say(&mut self, samples: &[i16]) -> usize {
        self.0.push_partial_slice(samples).0.len()
    }
}

impl Hearing {
    /// The next tick; what was heard in it is appended to `heard`.
    pub fn next(&mut self, heard: &mut Vec<i16>) -> Option<Tick> {
        let tick = self.ticks.pop().ok()?;
        let start = heard.len();
        heard.resize(start + tick.samples, 0);
        if let Some(fresh) = heard.get_mut(start..) {
            // The worker wrote the samples before the tick.
            let _ = self.samples.pop_partial_slice(fresh);
        }
        Some(tick)
    }

    /// Has the call ended, and was everything heard?
    pub fn is_over(&self) -> bool {
        self.ticks.is_abandoned() && self.ticks.is_empty()
    }
}

impl Listener {
    /// Hears one tick.
    pub(crate) fn hear(&mut self, tick: Tick, heard: &[i16]) {
        if self.ticks.is_full() || self.samples.slots() < heard.len() {
            self.missed += 1;
            return;
        }
        let _ = self.samples.push_partial_slice(heard);
        // There is room.
        let _ = self.ticks.push(Tick { missed: self.missed, ..tick });
        self.missed = 0;
    }
}

impl PartialEq for Mouth {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl PartialEq for Ear {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Mouth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mouth")
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ear")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_comes_with_its_times_and_what_has_no_room_is_told() {
        let (ear, mut hearing) = Ear::new(320, 8);
        let mut listener = ear.open().unwrap();
        assert!(ear.open().is_none(), "one call, one ear");
        let tick = |ms| Tick { rate: 8_000, samples: 160, due: Instant::from_millis(ms), ..Tick::default() };
        for (ms, sample) in [(0, 1), (20, 2), (40, 3), (60, 4)] {
            listener.hear(tick(ms), &[sample; 160]);
        }
        let mut heard = Vec::new();
        assert_eq!(hearing.next(&mut heard), Some(tick(0)));
        assert_eq!(hearing.next(&mut heard), Some(tick(20)));
        assert_eq!(hearing.next(&mut heard), None);
        listener.hear(tick(80), &[5; 160]);
        assert_eq!(hearing.next(&mut heard), Some(Tick { missed: 2, ..tick(80) }));
        assert_eq!((heard.len(), heard[159], heard[160], heard[320]), (480, 1, 2, 5));
        assert!(!hearing.is_over());
        drop(listener);
        assert!(hearing.is_over());
    }

    #[test]
    fn a_voice_is_said_in_order() {
        let (mouth, mut voice) = Mouth::new(4);
        let mut said = mouth.open().unwrap();
        assert!(mouth.open().is_none(), "one call, one mouth");
        assert_eq!((voice.say(&[1, 2, 3, 4, 5]), voice.room()), (4, 0));
        assert_eq!(said.pop(), Ok(1));
        assert_eq!((voice.say(&[6]), voice.say(&[7])), (1, 0));
    }
}
