//! What one line of the console says.

use crate::audio::{Gain, Source};
use crate::media::plan::{Codec, UnknownCodec};
use crate::phone::{Layout, Play, Tape};
use std::net::IpAddr;

/// What `help` prints.
pub(super) const HELP: &str = "\
commands (baresip's key in parentheses; CALL is a number of `calls`, the marked call when absent):
  dial URI             (d) calls somebody beside the calls there are
  answer [CALL]        (a) takes the call that rings
  reject [CODE]            declines it, 486 when no code is given
  hangup [CALL]        (b) ends a call
  hold [CALL]          (x) puts the far end on hold
  resume [CALL]        (X) takes it off hold
  mute [CALL]          (m) sends silence
  unmute [CALL]        (M) sends the voice again
  volume DB                plays the far end so much louder: 6 or =-6; +3 and -3 go on from there
  gain DB                  sends the microphone so much louder, in the same words
  sidetone DB|off          plays the own voice on the loudspeaker
  dtmf DIGITS              sends digits; a line of digits alone does the same
  conference CALL...       has these calls and you hear each other; all that talk when none is given
  bridge CALL CALL         has two far ends talk with each other, without you
  listen [CALL]            in a conference: a call (you when absent) only listens
  speak [CALL]             in a conference: it is heard by all again
  coach CALL               in a conference: only the far end of CALL hears you
  leave [CALL]             takes a call out of its conference
  play FILE [DB]           plays a file to the far end beside your voice, louder or softer by DB
  announce FILE [DB]       the same, in place of your voice or the music of a hold
  loop FILE [DB]           as `play`, again and again
  silence [CALL]           plays nothing more
  record [FILE]            records the call to FILE (.wav, .opus), or to a name made of date, time and caller
  record pause | stop      leaves out what follows, or completes the file
  record resume [beep]     goes on, with a beep for the pause
  codec CODEC[,CODEC]  (c) goes on with these codecs
  address IP               takes the sound at another address of this machine
  transfer URI         (r) sends the far end of the call to somebody else
  attended CALL        (t) joins the far ends of the call and of CALL
  follow [CALL]        (y) follows the far end to whom it sends us
  stay [CALL]          (n) does not
  message URI TEXT         sends a text
  calls                (l) lists the calls
  help                 (h) prints this
  quit                 (q) ends everything
";

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line {
    Dial(String),
    Answer(Which),
    Reject(u16),
    Hangup(Which),
    Hold(Which),
    Resume(Which),
    Mute(bool, Which),
    Volume(Turn),
    Gain(Turn),
    SideTone(Option<Gain>),
    Dtmf(String),
    Conference(Vec<u64>),
    Bridge(u64, u64),
    Listen(Option<u64>),
    Speak(Option<u64>),
    Coach(u64),
    Leave(Which),
    Play(Play),
    Silence(Which),
    Record(Option<Tape>),
    Codec(Vec<Codec>),
    Address(IpAddr),
    Transfer(String),
    Attended(u64),
    Follow(Which),
    Stay(Which),
    Message(String, String),
    Calls,
    Help,
    Quit,
    // Of keys only.
    TurnHold,
    TurnMute,
    TurnSideTone,
    HangupOrQuit,
    Keys,
}

/// Which call a command means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The one that is marked.
    Current,
    /// The one with this number.
    Number(u64),
}

/// How a knob is turned, dB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Turn {
    To(Gain),
    By(f64),
}

/// The words, with baresip's keys.
const WORDS: [(&str, &str); 33] = [
    ("dial", "d"),
    ("answer", "a"),
    ("reject", ""),
    ("hangup", "b"),
    ("hold", "x"),
    ("resume", "X"),
    ("mute", "m"),
    ("unmute", "M"),
    ("volume", ""),
    ("gain", ""),
    ("sidetone", ""),
    ("dtmf", ""),
    ("conference", ""),
    ("bridge", ""),
    ("listen", ""),
    ("speak", ""),
    ("coach", ""),
    ("leave", ""),
    ("play", ""),
    ("announce", ""),
    ("loop", ""),
    ("silence", ""),
    ("record", ""),
    ("codec", "c"),
    ("address", ""),
    ("transfer", "r"),
    ("attended", "t"),
    ("follow", "y"),
    ("stay", "n"),
    ("message", ""),
    ("calls", "l"),
    ("help", "h"),
    ("quit", "q"),
];

/// A word must be at least this much like one of ours to be offered as the right one.
const ALIKE: f64 = 0.6;

/// Reads a line; `Err` is a sentence that says how it would be right.
pub(super) fn parse(text: &str) -> Result<Line, String> {
    // A slash before a command is what other phones want.
    let text = text.trim().trim_start_matches('/');
    if !text.is_empty() && text.chars().all(|key| key.is_ascii_digit() || "*#".contains(key)) {
        return Ok(Line::Dtmf(text.to_owned()));
    }
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let known = WORDS
        .iter()
        .find(|(name, key)| (!word.is_empty() && word == *key) || word.eq_ignore_ascii_case(name))
        .map(|(name, _)| *name);
    let Some(known) = known else { return Err(unknown(word)) };
    let need = |what: &str| {
        if rest.is_empty() { Err(format!("`{known}` needs {what}")) } else { Ok(rest.to_owned()) }
    };
    let which = || match rest.parse() {
        _ if rest.is_empty() => Ok(Which::Current),
        Ok(number) => Ok(Which::Number(number)),
        Err(_) => Err(format!("\"{rest}\" is no number of a call; `calls` lists them")),
    };
    Ok(match known {
        "dial" => Line::Dial(need("an address: dial sip:bob@example.com")?),
        "answer" => Line::Answer(which()?),
        "reject" => {
            Line::Reject(match rest {
                "" => 486,
                code => code.parse().ok().filter(|code| (300..700).contains(code)).ok_or_else(|| {
                    format!("\"{code}\" is no status that refuses; write one of 400 to 699, such as 486")
                })?,
            })
        }
        "hangup" => Line::Hangup(which()?),
        "hold" => Line::Hold(which()?),
        "resume" => Line::Resume(which()?),
        "mute" => Line::Mute(true, which()?),
        "unmute" => Line::Mute(false, which()?),
        "volume" => Line::Volume(turn(&need("decibels: volume -6, or +3 for more")?)?),
        "gain" => Line::Gain(turn(&need("decibels: gain -6, or +3 for more")?)?),
        "sidetone" => Line::SideTone(match need("decibels or off: sidetone -20")?.as_str() {
            "off" => None,
            db => Some(db.parse::<Gain>().map_err(|error| error.to_string())?),
        }),
        "dtmf" => Line::Dtmf(need("digits: dtmf 123#")?),
        "conference" => Line::Conference(numbers(rest)?),
        "bridge" => match numbers(&need("the numbers of two calls: bridge 1 2")?)?[..] {
            [one, other] if one != other => Line::Bridge(one, other),
            _ => return Err("`bridge` needs the numbers of two calls: bridge 1 2".into()),
        },
        "listen" => Line::Listen(numbers(rest)?.first().copied()),
        "speak" => Line::Speak(numbers(rest)?.first().copied()),
        "coach" => {
            let number = need("the number of the call that hears you: coach 2")?;
            Line::Coach(numbers(&number)?[0])
        }
        "leave" => Line::Leave(which()?),
        "play" | "announce" | "loop" => {
            let words = need("a WAV file: play moment.wav")?;
            let (file, gain) = match words.rsplit_once(' ').map(|(file, gain)| (file, gain.parse::<f32>())) {
                Some((file, Ok(gain))) if gain.abs() <= 60.0 => (file.trim().to_owned(), gain),
                _ => (words, 0.0),
            };
            let source = Source::File { path: file.into(), repeat: known == "loop" };
            Line::Play(Play { source, gain_db: gain, instead: known == "announce" })
        }
        "silence" => Line::Silence(which()?),
        "record" => Line::Record(match rest {
            "" => None,
            "pause" => Some(Tape::Pause),
            "resume" => Some(Tape::Resume { beep: false }),
            "resume beep" => Some(Tape::Resume { beep: true }),
            "stop" => Some(Tape::Stop),
            file => Some(Tape::Start(file.into(), Layout::Stereo)),
        }),
        "codec" => {
            let words = need("codecs: codec pcma")?;
            let codecs = words.split([',', ' ']).filter(|word| !word.is_empty()).map(str::parse);
            Line::Codec(codecs.collect::<Result<_, UnknownCodec>>().map_err(|error| error.to_string())?)
        }
        "address" => {
            let text = need("an address of this machine: address 192.0.2.7")?;
            let why = || format!("\"{text}\" is no IP address; write one of this machine, such as 192.0.2.7");
            Line::Address(text.parse().map_err(|_| why())?)
        }
        "follow" => Line::Follow(which()?),
        "stay" => Line::Stay(which()?),
        "transfer" => Line::Transfer(need("an address: transfer sip:carol@example.com")?),
        "attended" => {
            let number = need("the number of the other call: attended 2")?;
            Line::Attended(
                number.parse().map_err(|_| format!("\"{number}\" is no number of a call; `calls` lists them"))?,
            )
        }
        "message" => {
            let (to, said) = rest
                .split_once(char::is_whitespace)
                .ok_or("`message` needs an address and a text: message sip:bob@example.com hello")?;
            Line::Message(to.to_owned(), said.trim().to_owned())
        }
        "calls" => Line::Calls,
        "help" => Line::Help,
        _ => Line::Quit,
    })
}

/// `+3` and `-3` go on from where it is, `=-3` and plain numbers say where it shall be.
fn turn(text: &str) -> Result<Turn, String> {
    let gain = |text: &str| text.parse::<Gain>().map_err(|error| error.to_string());
    match text.strip_prefix('=') {
        Some(text) => Ok(Turn::To(gain(text)?)),
        None if text.starts_with(['+', '-']) => Ok(Turn::By(gain(text)?.db())),
        None => Ok(Turn::To(gain(text)?)),
    }
}

/// Numbers of calls.
fn numbers(text: &str) -> Result<Vec<u64>, String> {
    let no = |word: &str| format!("\"{word}\" is no number of a call; `calls` lists them");
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    words.map(|word| word.parse().map_err(|_| no(word))).collect()
}

fn unknown(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    let like = |name: &str| {
        let prefix = if name.starts_with(&lower) && !lower.is_empty() { 0.3 } else { 0.0 };
        strsim::jaro_winkler(&lower, name) + prefix
    };
    let nearest = WORDS.iter().map(|(name, _)| (like(name), *name)).max_by(|one, other| one.0.total_cmp(&other.0));
    match nearest.filter(|(alike, _)| *alike >= ALIKE) {
        Some((_, name)) => format!("there is no command \"{word}\"; did you mean `{name}`? `help` lists all"),
        None => format!("there is no command \"{word}\"; `help` lists all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_read_by_its_word_and_by_its_key() {
        let rows = [
            ("hold", Line::Hold(Which::Current)),
            ("x", Line::Hold(Which::Current)),
            ("X", Line::Resume(Which::Current)),
            ("RESUME 2", Line::Resume(Which::Number(2))),
            ("mute", Line::Mute(true, Which::Current)),
            ("M", Line::Mute(false, Which::Current)),
            ("volume +3", Line::Volume(Turn::By(3.0))),
            ("volume =-6", Line::Volume(Turn::To(Gain::from_db(-6.0).unwrap()))),
            ("gain 0", Line::Gain(Turn::To(Gain::default()))),
            ("sidetone off", Line::SideTone(None)),
            ("dtmf 12#", Line::Dtmf("12#".into())),
            ("0*9", Line::Dtmf("0*9".into())),
            ("/transfer  sip:carol@example.com", Line::Transfer("sip:carol@example.com".into())),
            ("attended 2", Line::Attended(2)),
            ("message bob  how are you?", Line::Message("bob".into(), "how are you?".into())),
            ("a", Line::Answer(Which::Current)),
            ("reject", Line::Reject(486)),
            ("reject 603", Line::Reject(603)),
            ("b 3", Line::Hangup(Which::Number(3))),
            ("dial 100", Line::Dial("100".into())),
            ("conference", Line::Conference(vec![])),
            ("conference 1, 2 3", Line::Conference(vec![1, 2, 3])),
            ("bridge 1 2", Line::Bridge(1, 2)),
            ("listen", Line::Listen(None)),
            ("speak 2", Line::Speak(Some(2))),
            ("coach 2", Line::Coach(2)),
            ("leave 2", Line::Leave(Which::Number(2))),
            (
                "play a b.wav -6",
                Line::Play(Play { source: "file:a b.wav".parse().unwrap(), gain_db: -6.0, instead: false }),
            ),
            ("announce x.wav", Line::Play(Play { instead: true, ..Play::beside("file:x.wav".parse().unwrap()) })),
            ("loop x.wav", Line::Play(Play::beside("loop:x.wav".parse().unwrap()))),
            ("silence", Line::Silence(Which::Current)),
            ("record", Line::Record(None)),
            ("record x.opus", Line::Record(Some(Tape::Start("x.opus".into(), Layout::Stereo)))),
            ("record resume beep", Line::Record(Some(Tape::Resume { beep: true }))),
            ("codec pcma, opus", Line::Codec(vec![Codec::Pcma, Codec::Opus])),
            ("address 192.0.2.7", Line::Address("192.0.2.7".parse().unwrap())),
            ("follow", Line::Follow(Which::Current)),
            ("n 2", Line::Stay(Which::Number(2))),
            ("l", Line::Calls),
            ("help", Line::Help),
            ("q", Line::Quit),
        ];
        for (text, line) in rows {
            assert_eq!(parse(text), Ok(line), "{text}");
        }
        for (word, key) in WORDS {
            assert!(HELP.contains(&format!("  {word}")), "help tells of {word}");
            assert!(key.is_empty() || HELP.contains(&format!("({key})")), "help tells the key of {word}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (text, part) in [
            ("bridge 1", "two calls"),
            ("bridge 1 1", "two calls"),
            ("play", "moment.wav"),
            ("conference bob", "no number"),
            ("holdd", "`hold`"),
            ("transfr sip:x", "`transfer`"),
            ("hang", "`hangup`"),
            ("att 2", "`attended`"),
            ("zzzz", "`help` lists all"),
            ("volume loud", "decibels"),
            ("sidetone 99", "-60 to 30"),
            ("hold two", "`calls` lists them"),
            ("reject 200", "400 to 699"),
            ("transfer", "sip:carol@example.com"),
            ("message bob", "a text"),
            ("attended bob", "no number"),
            ("codec g729", "pcma"),
            ("codec", "codec pcma"),
            ("address here", "192.0.2.7"),
            ("", "help"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
