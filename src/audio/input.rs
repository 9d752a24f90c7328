//! An opened source.

use super::choice::Source;
use super::progress::ProgressTone;
use super::rate::Converter;
use super::tone::Tone;
use super::wav::{Played, WavError, WavPlayer};
use rtrb::Consumer;

/// An opened source that is not a device; read once per tick, never waits.
pub struct Input {
    kind: Kind,
    /// From the rate that the file is decoded to, once a renegotiation changed the rate of the call.
    converter: Option<Converter>,
    scratch: Vec<i16>,
    rate: u32,
    late: u64,
    /// Samples of the last read that a voice said.
    voiced: usize,
    /// What is read in its place while the far end is on hold; silence when absent.
    music: Option<Box<Input>>,
    holding: bool,
}

enum Kind {
    Silence,
    Tone(Tone),
    Progress(ProgressTone),
    Wav(WavPlayer, u32),
    Echo,
    Live(Consumer<i16>),
}

/// A source that came to its end in a read.
#[derive(Debug)]
pub(crate) struct Ended(pub(crate) Option<WavError>);

impl Input {
    /// Opens `source` for a call at `rate` Hz. A device is not opened here and reads as silence.
    ///
    /// # Errors
    /// If a file cannot be played.
    pub fn open(source: &Source, rate: u32) -> Result<Self, WavError> {
        let kind = match source {
            Source::Device(_) | Source::Silence => Kind::Silence,
            Source::Tone(hz) => Kind::Tone(Tone::new(*hz, rate)),
            Source::Progress(tone, country) => Kind::Progress(ProgressTone::new(*tone, *country, rate)),
            Source::File { path, repeat } => Kind::Wav(WavPlayer::open(path, *repeat, rate)?, rate),
            Source::Echo => Kind::Echo,
            Source::Live(mouth) => mouth.open().map_or(Kind::Silence, Kind::Live),
        };
        let (scratch, voiced) = (Vec::new(), 0);
        Ok(Self { kind, converter: None, scratch, rate, late: 0, voiced, music: None, holding: false })
    }

    /// Opens `source`, and `music` for while the far end is on hold, for a call at `rate` Hz.
    ///
    /// # Errors
    /// If a file cannot be played.
    pub(crate) fn with_music(source: &Source, music: &Source, rate: u32) -> Result<Self, WavError> {
        let mut input = Self::open(source, rate)?;
        if *music != Source::Silence {
            input.music = Some(Box::new(Self::open(music, rate)?));
        }
        Ok(input)
    }

    /// Has the music or silence of a hold read from now on, or the source again.
    pub(crate) fn hold(&mut self, holding: bool) {
        self.holding = holding;
    }

    /// Is the source out of use because of a hold?
    pub(crate) fn is_holding(&self) -> bool {
        self.holding
    }

    /// Goes on at another rate.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        self.rate = rate;
        if let Some(music) = &mut self.music {
            music.set_rate(rate);
        }
        match &mut self.kind {
            Kind::Tone(tone) => tone.set_rate(rate),
            Kind::Progress(tone) => tone.set_rate(rate),
            // Both rates are those of codecs, which can be converted.
            Kind::Wav(_, decoded) => {
                self.converter = Converter::fixed(*decoded, rate).ok().filter(|_| *decoded != rate)
            }
            // Whoever speaks follows the rate that is heard.
            Kind::Silence | Kind::Echo | Kind::Live(_) => {}
        }
    }

    /// Does it say what is heard?
    pub(crate) fn echoes(&self) -> bool {
        matches!(self.kind, Kind::Echo)
    }

    /// Samples that a file could not deliver in time.
    pub(crate) fn late(&self) -> u64 {
        self.late
    }

    /// Samples of the last read that came from a [`Voice`](super::Voice).
    pub(crate) fn voiced(&self) -> usize {
        self.voiced
    }

    /// Fills `out`, as long as one packet; `heard` is what is played at the same moment, and as long.
    pub(crate) fn read(&mut self, heard: &[i16], out: &mut [i16]) -> Option<Ended> {
        self.voiced = 0;
        if self.holding {
            match &mut self.music {
                Some(music) => drop(music.read(heard, out)),
                None => out.fill(0),
            }
            return None;
        }
        match &mut self.kind {
            Kind::Silence => out.fill(0),
            Kind::Tone(tone) => tone.read(out),
            Kind::Progress(tone) => tone.read(out),
            Kind::Echo => {
                let count = heard.len().min(out.len());
                out[..count].copy_from_slice(&heard[..count]);
                out[count..].fill(0);
            }
            Kind::Live(said) => {
                self.voiced = said.pop_partial_slice(out).0.len();
                out[self.voiced..].fill(0);
            }
            Kind::Wav(player, decoded) => {
                let ended = match &mut self.converter {
                    None => fill(player, out, &mut self.late),
                    Some(converter) => {
                        let needed = out.len() * *decoded as usize / self.rate.max(1) as usize;
                        self.scratch.resize(needed, 0);
                        let mut ended = fill(player, &mut self.scratch, &mut self.late);
                        converter.push(&self.scratch);
                        // A converter that starts looks ahead.
                        while ended.is_none() && converter.available() < out.len() {
                            self.scratch.resize(*decoded as usize / 400, 0);
                            ended = fill(player, &mut self.scratch, &mut self.late);
                            converter.push(&self.scratch);
                        }
                        let count = converter.pop(out);
                        out[count..].fill(0);
                        ended
                    }
                };
                if ended.is_some() {
                    self.kind = Kind::Silence;
                }
                return ended;
            }
        }
        None
    }
}

fn fill(player: &mut WavPlayer, out: &mut [i16], late: &mut u64) -> Option<Ended> {
    let started = player.has_started();
    let (count, ended) = match player.read(out) {
        Played::All => return None,
        Played::Late(count) => {
            if started {
                *late += (out.len() - count) as u64;
            }
            (count, None)
        }
        Played::Ended(count, error) => (count, Some(Ended(error))),
    };
    out[count..].fill(0);
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echo_is_what_is_heard_and_silence_is_silence() {
        let heard = [7; 160];
        let mut out = [1; 160];
        assert!(Input::open(&Source::Echo, 8_000).unwrap().read(&heard, &mut out).is_none());
        assert_eq!(out, heard);
        assert!(Input::open(&Source::Silence, 8_000).unwrap().read(&heard, &mut out).is_none());
        assert_eq!(out, [0; 160]);
    }

    #[test]
    fn a_hold_plays_its_music_and_never_the_source() {
        let mut out = [1; 160];
        let mut silent = Input::with_music(&Source::Echo, &Source::Silence, 8_000).unwrap();
        silent.hold(true);
        silent.read(&[7; 160], &mut out);
        assert_eq!(out, [0; 160]);
        silent.hold(false);
        silent.read(&[7; 160], &mut out);
        assert_eq!(out, [7; 160]);
        let mut music = Input::with_music(&Source::Silence, &Source::Tone(440.0), 8_000).unwrap();
        music.read(&[7; 160], &mut out);
        assert_eq!(out, [0; 160]);
        music.hold(true);
        music.set_rate(16_000);
        music.read(&[7; 160], &mut out);
        assert!(out.iter().any(|sample| sample.abs() > 1_000));
    }

    #[test]
    fn a_file_ends_once_and_is_silent_then() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("short.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        (0..4_000).for_each(|_| writer.write_sample(1_000i16).unwrap());
        writer.finalize().unwrap();

        let mut input = Input::open(&Source::File { path, repeat: false }, 8_000).unwrap();
        let (mut heard, mut ends) = (0, 0);
        let mut out = [0; 160];
        for _ in 0..1_000_000 {
            if let Some(Ended(error)) = input.read(&[0; 160], &mut out) {
                assert!(error.is_none());
                ends += 1;
            }
            heard += out.iter().filter(|&&sample| sample == 1_000).count();
            if ends > 0 {
                break;
            }
            std::thread::yield_now();
        }
        assert_eq!((heard, ends), (4_000, 1));
        assert!(input.read(&[0; 160], &mut out).is_none());
        assert_eq!(out, [0; 160]);
    }

    #[test]
    fn a_file_goes_on_when_the_call_changes_its_rate() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("long.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        (0..16_000).for_each(|_| writer.write_sample(1_000i16).unwrap());
        writer.finalize().unwrap();
        let mut input = Input::open(&Source::File { path, repeat: true }, 8_000).unwrap();
        input.set_rate(48_000);
        let mut out = [0; 960];
        let full = (0..1_000_000)
            .map(|_| {
                input.read(&[0; 960], &mut out);
                std::thread::yield_now();
                out.iter().filter(|&&sample| (900..1_100).contains(&sample)).count()
            })
            .any(|count| count == 960);
        assert!(full, "the file never filled a packet at the new rate");
    }
}
