//! A room in which several parties hear each other, and none of them itself (mix-minus).
//!
//! ```text
//!  hear(party) ─▶ to the room's rate ─┐                  ┌─ minus the party itself ─▶ limiter ─▶ to its rate ─▶ say(party)
//!  hear(party) ─▶ to the room's rate ─┼─▶ mix(): one sum ┤
//!  hear(party) ─▶ to the room's rate ─┘                  └─ plus whoever coaches it …
//! ```
//!
//! All parties work on the same span of time, the period: first everybody is heard, then everybody is told. So the room
//! adds no delay of its own: what is heard in a period is said in it. Only a party at another rate than the room has that
//! of the conversion, about 5 ms each way. Without conversion and below full scale, every sample is the exact sum.

mod limiter;

use super::resample::Resampler;
use crate::time::Duration;
use limiter::Limiter;

/// Names a party of a room.
pub type Party = u64;

/// Who hears a party. Every party hears all others that speak to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Part {
    /// Everybody.
    #[default]
    Speaks,
    /// Nobody.
    Listens,
    /// One party only, unheard by the others.
    Coaches(Party),
}

/// See the picture at the head of this module. Nothing is allocated between two changes of who takes part.
#[derive(Debug, Default)]
pub struct Mixer {
    rate: u32,
    period: Duration,
    seats: Vec<Seat>,
    /// Speakers that a listener does not hear: speaker, listener.
    silenced: Vec<(Party, Party)>,
    sum: Vec<i32>,
    mixed: Vec<i32>,
    limited: Vec<i16>,
}

#[derive(Debug)]
struct Seat {
    party: Party,
    rate: u32,
    part: Part,
    /// What it says in this period, at the room's rate.
    voice: Vec<i16>,
    limiter: Limiter,
    /// To the room's rate and back, where the party has another.
    converters: Option<[Resampler; 2]>,
    /// What was converted and not used yet: to the room, from the room.
    waiting: [Vec<i16>; 2],
}

impl Mixer {
    /// An empty room that works on `period` of audio at a time: a multiple of 10 ms.
    pub fn new(period: Duration) -> Self {
        Self { period, ..Self::default() }
    }

    /// Rate of the room in Hz: the highest of its parties; 0 while it is empty.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// The audio that is mixed at a time.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Works on `period` at a time from the next one on.
    pub fn set_period(&mut self, period: Duration) {
        self.period = period;
        self.fit();
    }

    /// Who takes part.
    pub fn parties(&self) -> impl Iterator<Item = Party> {
        self.seats.iter().map(|seat| seat.party)
    }

    /// What a party does; `None` for one that is not here.
    pub fn part(&self, party: Party) -> Option<Part> {
        self.seat(party).map(|seat| seat.part)
    }

    /// Rate of the audio of `party` in Hz; 0 for one that is not here.
    pub fn rate_of(&self, party: Party) -> u32 {
        self.seat(party).map_or(0, |seat| seat.rate)
    }

    /// `party` comes in with audio at `rate` Hz, or goes on with another part or rate.
    pub fn enter(&mut self, party: Party, rate: u32, part: Part) {
        match self.seats.iter_mut().find(|seat| seat.party == party) {
            Some(seat) => (seat.rate, seat.part) = (rate, part),
            None => self.seats.push(Seat {
                party,
                rate,
                part,
                voice: Vec::new(),
                limiter: Limiter::default(),
                converters: None,
                waiting: [Vec::new(), Vec::new()],
            }),
        }
        self.fit();
    }

    /// `party` goes.
    pub fn leave(&mut self, party: Party) {
        self.seats.retain(|seat| seat.party != party);
        self.silenced.retain(|(speaker, listener)| *speaker != party && *listener != party);
        self.fit();
    }

    /// Has `listener` not hear `speaker`, or hear it again.
    pub fn silence(&mut self, speaker: Party, listener: Party, silenced: bool) {
        self.silenced.retain(|pair| *pair != (speaker, listener));
        if silenced {
            self.silenced.push((speaker, listener));
        }
    }

    /// Takes what `party` says in this period, at its own rate; what is missing of a period is silence.
    pub fn hear(&mut self, party: Party, audio: &[i16]) {
        let (rate, samples) = (self.rate, self.sum.len());
        let Some(seat) = self.seats.iter_mut().find(|seat| seat.party == party) else { return };
        seat.voice.clear();
        match &mut seat.converters {
            None => seat.voice.extend(audio.iter().take(samples)),
            Some([up, _]) => {
                debug_assert_eq!(up.to(), rate);
                let waiting = &mut seat.waiting[0];
                up.process(audio, waiting);
                let count = waiting.len().min(samples);
                seat.voice.extend(waiting.drain(..count));
            }
        }
        seat.voice.resize(samples, 0);
    }

    /// Adds up what was heard in this period.
    pub fn mix(&mut self) {
        self.sum.fill(0);
        for seat in self.seats.iter().filter(|seat| seat.part == Part::Speaks) {
            add(&mut self.sum, &seat.voice);
        }
    }

    /// Fills `out` with what `party` hears of the others in this period, at its own rate; silence for one that is not here.
    pub fn say(&mut self, party: Party, out: &mut [i16]) {
        out.fill(0);
        let Some(index) = self.seats.iter().position(|seat| seat.party == party) else { return };
        self.mixed.copy_from_slice(&self.sum);
        for seat in &self.seats {
            let silenced = || self.silenced.contains(&(seat.party, party));
            match seat.part {
                Part::Speaks if seat.party == party || silenced() => subtract(&mut self.mixed, &seat.voice),
                Part::Coaches(coached) if coached == party && !silenced() => add(&mut self.mixed, &seat.voice),
                _ => {}
            }
        }
        let seat = &mut self.seats[index];
        seat.limiter.limit(&self.mixed, self.rate, &mut self.limited);
        match &mut seat.converters {
            None => copy(&self.limited, out),
            Some([_, down]) => {
                let waiting = &mut seat.waiting[1];
                down.process(&self.limited, waiting);
                let count = waiting.len().min(out.len());
                copy(&waiting[..count], out);
                waiting.drain(..count);
            }
        }
    }

    fn seat(&self, party: Party) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.party == party)
    }

    /// Chooses the rate of the room and makes everything fit it.
    fn fit(&mut self) {
        self.rate = self.seats.iter().map(|seat| seat.rate).max().unwrap_or_default();
        let samples = u128::from(self.rate) * self.period.as_micros() / 1_000_000;
        let samples = usize::try_from(samples).unwrap_or_default();
        for room in [&mut self.sum, &mut self.mixed] {
            room.clear();
            room.resize(samples, 0);
        }
        self.limited.resize(samples, 0);
        for seat in &mut self.seats {
            seat.voice.clear();
            seat.voice.resize(samples, 0);
            let kept = seat.converters.as_ref().map(|[up, _]| (up.from(), up.to()));
            let wanted = (seat.rate != self.rate).then_some((seat.rate, self.rate));
            if kept == wanted {
                continue;
            }
            // Rates of codecs can be converted.
            let converter = |from, to| Resampler::new(from, to).ok();
            seat.converters = wanted
                .and_then(|(own, room)| converter(own, room).zip(converter(room, own)))
                .map(|(up, down)| [up, down]);
            seat.waiting.iter_mut().for_each(Vec::clear);
        }
    }
}

fn add(sum: &mut [i32], voice: &[i16]) {
    sum.iter_mut().zip(voice).for_each(|(sum, voice)| *sum += i32::from(*voice));
}

fn subtract(sum: &mut [i32], voice: &[i16]) {
    sum.iter_mut().zip(voice).for_each(|(sum, voice)| *sum -= i32::from(*voice));
}

fn copy(from: &[i16], to: &mut [i16]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

#[cfg(test)]
mod tests;
