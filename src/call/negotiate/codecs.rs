//! Codecs, telephone events, payload types and packet times of both ends.

use super::{Local, opus};
use crate::media::plan::{Codec, Encoding, L16Rate, OpusParameters, TelephoneEvent};
use crate::sdp::{Format, Media, Session};
use crate::time::Duration;

/// What a payload type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Audio(Codec),
    /// Telephone events at this clock rate, Hz.
    Event(u32),
    /// Comfort noise (RFC 3389) at the clock of G.711.
    ComfortNoise,
}

/// The clock rates, Hz, of telephone events that go with our codecs.
const EVENT_RATES: [u32; 2] = [8_000, 48_000];

/// The clock rate of comfort noise, Hz: that of its static payload type (RFC 3389 section 4).
const NOISE_RATE: u32 = 8_000;

/// Tones 0 to 15 (digits, `*`, `#`, A to D) and 16, the hook flash (RFC 4733 section 3.2).
const EVENTS: &str = "0-16";

impl Meaning {
    /// What `format` stands for, if we know it.
    pub(super) fn of(format: &Format) -> Option<Self> {
        if let Some(&rate) = EVENT_RATES.iter().find(|&&rate| format.is("telephone-event", rate)) {
            return Some(Meaning::Event(rate));
        }
        if format.is("CN", NOISE_RATE) {
            return Some(Meaning::ComfortNoise);
        }
        let codec = Codec::KNOWN.into_iter().find(|codec| format.is(codec.name(), codec.clock_rate()))?;
        // "opus/48000" without its two channels is sent by some and cannot mean anything else; stereo G.711 is another
        // format.
        let known = codec == Codec::Opus || format.channels.is_none_or(|channels| channels == 1);
        known.then_some(Meaning::Audio(codec))
    }

    /// The format that we describe it by.
    pub(super) fn format(self, payload_type: u8, local: &Local) -> Format {
        match self {
            Meaning::Event(rate) => {
                let mut format = Format::new(payload_type, "telephone-event", rate, None);
                format.parameters = Some(EVENTS.into());
                format
            }
            Meaning::Audio(codec) => {
                // RFC 7587 section 7: opus is always described with two channels.
                let channels = (codec == Codec::Opus).then_some(2);
                let mut format = Format::new(payload_type, codec.name(), codec.clock_rate(), channels);
                if codec == Codec::Opus {
                    format.parameters = opus::write(local);
                }
                format
            }
            Meaning::ComfortNoise => Format::new(payload_type, "CN", NOISE_RATE, None),
        }
    }

    fn usual_number(self) -> u8 {
        match self {
            Meaning::Audio(Codec::Pcmu) => 0,
            Meaning::Audio(Codec::Pcma) => 8,
            Meaning::Audio(Codec::G722) => 9,
            Meaning::Audio(Codec::Opus) => 96,
            Meaning::Audio(Codec::L16(L16Rate::Hz44100)) => 11,
            Meaning::Audio(Codec::L16(_)) => 98,
            Meaning::ComfortNoise => 13,
            Meaning::Event(48_000) => 97,
            // The number that nearly everyone uses, and some expect.
            Meaning::Event(_) => 101,
        }
    }
}

/// Which payload types mean what in what we receive; a number never changes its meaning (RFC 3264 section 8.3.2).
#[derive(Clone, Debug, Default)]
pub(super) struct PayloadTypes {
    known: Vec<(Meaning, u8)>,
    /// Numbers that the far end used for things that we do not know.
    taken: Vec<u8>,
}

impl PayloadTypes {
    /// The number of `meaning`, a free one if it has none yet.
    pub(super) fn number(&mut self, meaning: Meaning) -> u8 {
        if let Some(&(_, number)) = self.known.iter().find(|(known, _)| *known == meaning) {
            return number;
        }
        let free = |number: &u8| !self.taken.contains(number) && self.known.iter().all(|(_, known)| known != number);
        let usual = meaning.usual_number();
        // RFC 3551 section 3: dynamic numbers first, then those that are unassigned and cannot be taken for RTCP.
        let number = std::iter::once(usual).chain(96..=127).chain(35..=63).find(free).unwrap_or(usual);
        self.known.push((meaning, number));
        number
    }

    /// Remembers the numbers of the far end's offer, which the answer uses too.
    pub(super) fn learn(&mut self, formats: &[Format]) {
        for format in formats {
            let number = format.payload_type;
            self.known.retain(|(_, old)| *old != number);
            match Meaning::of(format) {
                Some(meaning) => {
                    self.known.retain(|(known, _)| *known != meaning);
                    self.known.push((meaning, number));
                }
                None if !self.taken.contains(&number) => self.taken.push(number),
                None => {}
            }
        }
    }
}

/// Our codecs in our order, each once; all if none is named.
pub(super) fn wanted(local: &Local) -> Vec<Codec> {
    let mut codecs = Vec::new();
    for &codec in if local.codecs.is_empty() { &Codec::ALL[..] } else { &local.codecs[..] } {
        if !codecs.contains(&codec) {
            codecs.push(codec);
        }
    }
    codecs
}

/// All that we offer: our codecs, and telephone events for each clock rate among them.
pub(super) fn offered(local: &Local) -> Vec<Meaning> {
    let codecs = wanted(local);
    let mut meanings: Vec<Meaning> = codecs.iter().map(|&codec| Meaning::Audio(codec)).collect();
    if local.comfort_noise && codecs.iter().any(|codec| takes_noise(*codec)) {
        meanings.push(Meaning::ComfortNoise);
    }
    if local.telephone_events {
        for codec in codecs {
            let event = Meaning::Event(codec.clock_rate());
            if !meanings.contains(&event) {
                meanings.push(event);
            }
        }
    }
    meanings
}

/// Is silence of this codec said by comfort noise? Others have their own way, or none.
fn takes_noise(codec: Codec) -> bool {
    matches!(codec, Codec::Pcmu | Codec::Pcma)
}

/// A format that both ends know.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) meaning: Meaning,
    /// The payload type that we send it with.
    pub(super) send: u8,
    /// The payload type that we receive it with.
    pub(super) receive: u8,
    /// As the far end described it.
    pub(super) theirs: Format,
}

/// What both ends know: audio in the order of preference, then comfort noise and telephone events.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) formats: Vec<Shared>,
}

impl Common {
    /// What of `theirs` (an offer) we know too, in our order; its numbers serve both ways (RFC 3264 section 6.1).
    /// `None` without a codec.
    pub(super) fn with_offer(theirs: &[Format], local: &Local) -> Option<Self> {
        let shared = |meaning: Meaning| {
            let format = theirs.iter().find(|format| Meaning::of(format) == Some(meaning))?;
            let number = format.payload_type;
            Some(Shared { meaning, send: number, receive: number, theirs: format.clone() })
        };
        let audio: Vec<Shared> = wanted(local).into_iter().filter_map(|codec| shared(Meaning::Audio(codec))).collect();
        let events = if local.telephone_events {
            EVENT_RATES.into_iter().map(Meaning::Event).filter_map(shared).collect()
        } else {
            Vec::new()
        };
        let noise = local.comfort_noise.then(|| shared(Meaning::ComfortNoise)).flatten();
        Self::new(audio, noise, events)
    }

    /// What of `ours` (the numbers of our offer) the answer `theirs` took, in its order. `None` without a codec.
    pub(super) fn with_answer(theirs: &[Format], ours: &[(Meaning, u8)]) -> Option<Self> {
        let mut audio: Vec<Shared> = Vec::new();
        let mut events: Vec<Shared> = Vec::new();
        let mut noise = None;
        for format in theirs {
            // An answer that repeats our number and does not say what it means, means what we meant.
            let meaning = if format.name.is_empty() {
                ours.iter().find(|(_, number)| *number == format.payload_type).map(|(meaning, _)| *meaning)
            } else {
                Meaning::of(format)
            };
            let Some(&(meaning, receive)) = ours.iter().find(|(known, _)| Some(*known) == meaning) else { continue };
            let shared = Shared { meaning, send: format.payload_type, receive, theirs: format.clone() };
            let list = match meaning {
                Meaning::Audio(_) => &mut audio,
                Meaning::Event(_) => &mut events,
                Meaning::ComfortNoise => {
                    noise = Some(shared);
                    continue;
                }
            };
            if list.iter().all(|known| known.meaning != meaning) {
                list.push(shared);
            }
        }
        Self::new(audio, noise, events)
    }

    fn new(audio: Vec<Shared>, noise: Option<Shared>, mut events: Vec<Shared>) -> Option<Self> {
        // There is nothing that it would go with.
        let noise = noise.filter(|_| audio.iter().filter_map(Shared::codec).any(takes_noise));
        let rates: Vec<u32> = audio.iter().filter_map(Shared::codec).map(Codec::clock_rate).collect();
        let beside_audio = |shared: &Shared| matches!(shared.meaning, Meaning::Event(rate) if rates.contains(&rate));
        if events.iter().any(beside_audio) {
            events.retain(beside_audio);
        } else {
            // RFC 4733 wants the clock rate of the audio, but some send Opus with events at 8000 only: better than none.
            events.truncate(1);
        }
        let formats: Vec<Shared> = audio.into_iter().chain(noise).chain(events).collect();
        formats.first()?.codec()?;
        Some(Self { formats })
    }

    /// Codecs that may come in, with the payload types that they come with.
    pub(super) fn receive(&self) -> Vec<(u8, Codec)> {
        self.formats.iter().filter_map(|shared| Some((shared.receive, shared.codec()?))).collect()
    }

    /// Telephone events that may come in.
    pub(super) fn receive_events(&self) -> Vec<TelephoneEvent> {
        let events = self.formats.iter().filter_map(|shared| match shared.meaning {
            Meaning::Event(clock_rate) => Some(TelephoneEvent { payload_type: shared.receive, clock_rate }),
            Meaning::Audio(_) | Meaning::ComfortNoise => None,
        });
        events.collect()
    }

    /// Telephone events that we may send: those at the clock rate of `codec` if there are any.
    pub(super) fn send_event(&self, codec: Codec) -> Option<TelephoneEvent> {
        let events = || {
            self.formats.iter().filter(|shared| takes_digits(&shared.theirs)).filter_map(|shared| {
                match shared.meaning {
                    Meaning::Event(clock_rate) => Some(TelephoneEvent { payload_type: shared.send, clock_rate }),
                    Meaning::Audio(_) | Meaning::ComfortNoise => None,
                }
            })
        };
        events().find(|event| event.clock_rate == codec.clock_rate()).or_else(|| events().next())
    }

    /// How we encode: the first codec, in packets as long as the far end asks in `media`.
    pub(super) fn encoding(&self, session: &Session, media: &Media, local: &Local) -> Option<Encoding> {
        let first = self.formats.first()?;
        let codec = first.codec()?;
        let opus = if codec == Codec::Opus { opus::read(&first.theirs) } else { OpusParameters::default() };
        // FreeSWITCH writes ptime and maxptime into the fmtp of opus.
        let milliseconds =
            |name: &str| session.milliseconds_of(media, name).or_else(|| first.theirs.parameter(name)?.parse().ok());
        let wishes = PacketTimes {
            wished: milliseconds("ptime"),
            // A draft of RFC 7587 had it, and browsers write it.
            least: first.theirs.parameter("minptime").and_then(|least| least.parse().ok()),
            most: milliseconds("maxptime"),
        };
        let packet_time = wishes.choose(codec, local.packet_time);
        Some(Encoding { opus, opus_encoder: local.opus_encoder, ..Encoding::new(codec, first.send, packet_time) })
    }

    /// What we send comfort noise as in silence: where both ends want it, the codec has none of its own, and the far end
    /// does not forbid it (`a=silenceSupp`, RFC 3108 section 5.6.2.1).
    pub(super) fn comfort_noise(&self, media: &Media, local: &Local) -> Option<u8> {
        let forbidden = media.value("silenceSupp").is_some_and(|value| value.trim_start().starts_with("off"));
        let noise = self.formats.iter().find(|shared| shared.meaning == Meaning::ComfortNoise)?;
        let wanted = local.comfort_noise && !forbidden && self.formats.first()?.codec().is_some_and(takes_noise);
        wanted.then_some(noise.send)
    }
}

impl Shared {
    fn codec(&self) -> Option<Codec> {
        match self.meaning {
            Meaning::Audio(codec) => Some(codec),
            Meaning::Event(_) | Meaning::ComfortNoise => None,
        }
    }
}

/// What the far end says of packet times, ms.
#[derive(Clone, Copy, Debug, Default)]
struct PacketTimes {
    /// `a=ptime`.
    wished: Option<u32>,
    /// `minptime` of Opus.
    least: Option<u32>,
    /// `a=maxptime`.
    most: Option<u32>,
}

impl PacketTimes {
    /// The longest packet not above what is asked for that the codec has: what is wished, or our `own`, within the limits.
    fn choose(self, codec: Codec, own: Duration) -> Duration {
        let own = u32::try_from(own.as_millis()).unwrap_or(u32::MAX);
        let asked = self.wished.unwrap_or(own).max(self.least.unwrap_or(0)).min(self.most.unwrap_or(u32::MAX));
        codec.packet_time(Duration::from_millis(asked.into()))
    }
}

/// Does the far end take the digits 0 to 9, `*` and `#`? Without parameters it takes 0-15 (RFC 4733 section 2.4.1).
fn takes_digits(format: &Format) -> bool {
    let Some(list) = format.parameters.as_deref().map(str::trim).filter(|list| !list.is_empty()) else { return true };
    let list = list.rsplit('=').next().unwrap_or(list);
    (0..=11u32).all(|event| {
        list.split(',').any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            matches!((first.trim().parse(), last.trim().parse()), (Ok(first), Ok(last)) if (first..=last).contains(&event))
        })
    })
}

/// Formats as a sentence names them; the far end's words, so only those that can do no harm.
pub(super) fn names(formats: &[Format]) -> String {
    let mut names: Vec<String> = Vec::new();
    for format in formats.iter().filter(|format| !format.is("telephone-event", format.clock_rate)).take(8) {
        let name: String =
            format.name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.+".contains(*c)).take(20).collect();
        names.push(if name.is_empty() {
            format!("payload type {}", format.payload_type)
        } else {
            format!("{name}/{}", format.clock_rate)
        });
    }
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_as_long_as_codec_and_far_end_allow() {
        let own = Duration::from_millis(20);
        for (codec, wished, most, expected) in [
            (Codec::Pcmu, None, None, 20),
            (Codec::Pcmu, Some(30), None, 30),
            (Codec::Pcmu, Some(35), None, 30),
            (Codec::Pcmu, Some(1_000), None, 120),
            (Codec::Pcma, Some(5), None, 10),
            (Codec::Pcma, None, Some(10), 10),
            (Codec::Pcma, Some(60), Some(40), 40),
            (Codec::Opus, Some(30), None, 20),
            (Codec::Opus, Some(50), None, 40),
            (Codec::Opus, Some(120), None, 120),
            (Codec::G722, Some(50), None, 50),
            (Codec::L16(L16Rate::Hz48000), Some(20), None, 10),
            (Codec::Opus, Some(3), Some(3), 10),
        ] {
            let time = PacketTimes { wished, most, least: None }.choose(codec, own);
            assert_eq!(time, Duration::from_millis(expected), "{codec} {wished:?} {most:?}");
        }
        let least = PacketTimes { wished: Some(10), least: Some(40), most: None };
        assert_eq!(least.choose(Codec::Opus, own), Duration::from_millis(40));
        let impossible = PacketTimes { most: Some(20), ..least };
        assert_eq!(
            impossible.choose(Codec::Opus, own),
            Duration::from_millis(20),
            "the receiver's limit is the harder one"
        );
    }

    #[test]
    fn digits_are_sent_to_those_who_take_them() {
        for (parameters, expected) in [
            (None, true),
            (Some(""), true),
            (Some("0-16"), true),
            (Some("0-15,16"), true),
            (Some("0-16,32,36"), true),
            (Some("0, 1-9 ,10-11"), true),
            (Some("events=0-15"), true),
            (Some("0-9"), false),
            (Some("66,70"), false),
            (Some("15-0"), false),
            (Some("x"), false),
        ] {
            let mut format = Format::new(101, "telephone-event", 8_000, None);
            format.parameters = parameters.map(str::to_owned);
            assert_eq!(takes_digits(&format), expected, "{parameters:?}");
        }
    }

    #[test]
    fn numbers_keep_their_meaning() {
        let mut numbers = PayloadTypes::default();
        assert_eq!(numbers.number(Meaning::Audio(Codec::Opus)), 96);
        numbers.learn(&[Format::new(101, "iLBC", 8_000, None), Format::new(97, "opus", 48_000, Some(2))]);
        assert_eq!(numbers.number(Meaning::Audio(Codec::Opus)), 97);
        assert_eq!(numbers.number(Meaning::Event(48_000)), 96);
        assert_eq!(numbers.number(Meaning::Event(8_000)), 98);
        assert_eq!(numbers.number(Meaning::Audio(Codec::Pcma)), 8);
        // The far end uses our number for something else.
        numbers.learn(&[Format::new(97, "G726-32", 8_000, None)]);
        assert_eq!(numbers.number(Meaning::Audio(Codec::Opus)), 99);
    }
}
