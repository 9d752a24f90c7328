//! Keys that act at once on a terminal, without Enter; what needs an argument is asked for in a line of its own.
//!
//! ```text
//!  octet ─▶ Keys::press ─┬─ Idle: h, m, 0-9 … ─▶ a command
//!                        └─ Asking (t, d, j, c, :) ─ letters, backspace ─▶ prompt ─ Enter ─▶ a command
//! ```

use super::line::{self, Line, Turn, Which};

/// A typed argument is cut here; no address is longer.
const LONGEST: usize = 1_024;

/// End of input: Ctrl-D.
const END: u8 = 4;
/// Ctrl-U: begin the line anew.
const ERASE_LINE: u8 = 21;
const ESCAPE: u8 = 27;
const BACKSPACE: [u8; 2] = [8, 127];

/// What one key turns a knob by, dB.
const STEP: f64 = 3.0;

/// What the keys do, for humans.
pub(super) const HELP: &str = "\
keys (each acts at once):
  h        puts the far end on hold, or takes it off again
  m        sends silence, or the voice again
  + -      plays the far end louder, softer
  > <      sends the microphone louder, softer
  s        plays the own voice on the loudspeaker too, or no longer
  0-9 * #  sends a digit
  t        sends the far end to somebody else, who is asked for
  k        has you and all calls that talk hear each other
  j        joins the far ends of the call and of another, whose number is asked for
  a, r     takes the call that rings, declines it
  d        calls somebody beside the calls there are
  c        changes the codec
  y, n     follows the far end to whom it sends us, or stays
  l        lists the calls
  q        hangs up; without a call it ends everything
  :        asks for a command in words; `help` lists them
  ?        prints this
";

/// What a key leads to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pressed {
    /// Nothing.
    Nothing,
    /// The line that is being typed looks like this now; none any more when empty.
    Prompt(Option<String>),
    /// This is to be done, as if it had been typed so.
    Do(String, Result<Line, String>),
}

/// The state of the keyboard.
#[derive(Debug, Default)]
pub(super) struct Keys {
    asking: Option<Asking>,
    /// The rest of an escape sequence of an arrow or function key is skipped.
    escape: Escape,
}

#[derive(Debug)]
struct Asking {
    what: &'static str,
    /// The word of the command that the argument belongs to.
    word: &'static str,
    text: Vec<u8>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Begun,
    Inside,
}

impl Keys {
    /// One octet came from the terminal.
    pub(super) fn press(&mut self, octet: u8) -> Pressed {
        match (&self.escape, octet) {
            // What comes after Escape is skipped up to the letter that ends it (ECMA-48 section 5.4).
            (Escape::Begun, b'[' | b'O') => {
                self.escape = Escape::Inside;
                return Pressed::Nothing;
            }
            (Escape::Inside, _) => {
                if octet.is_ascii_alphabetic() || octet == b'~' {
                    self.escape = Escape::None;
                }
                return Pressed::Nothing;
            }
            _ => self.escape = if octet == ESCAPE { Escape::Begun } else { Escape::None },
        }
        match &mut self.asking {
            Some(_) => self.typed(octet),
            None => self.struck(octet),
        }
    }

    /// A key while nothing is asked for.
    fn struck(&mut self, octet: u8) -> Pressed {
        let key = char::from(octet);
        let line = match key {
            'h' => Line::TurnHold,
            'm' => Line::TurnMute,
            's' => Line::TurnSideTone,
            '+' | '=' => Line::Volume(Turn::By(STEP)),
            '-' => Line::Volume(Turn::By(-STEP)),
            '>' => Line::Gain(Turn::By(STEP)),
            '<' => Line::Gain(Turn::By(-STEP)),
            'q' => Line::HangupOrQuit,
            'a' => Line::Answer(Which::Current),
            'r' => Line::Reject(486),
            'k' => Line::Conference(Vec::new()),
            'y' => Line::Follow(Which::Current),
            'n' => Line::Stay(Which::Current),
            'l' => Line::Calls,
            '?' => Line::Keys,
            '0'..='9' | '*' | '#' => Line::Dtmf(key.to_string()),
            't' => return self.ask("transfer to: ", "transfer"),
            'j' => return self.ask("join with call: ", "attended"),
            'd' => return self.ask("call: ", "dial"),
            'c' => return self.ask("codec: ", "codec"),
            ':' | '/' => return self.ask(":", ""),
            _ if octet == END => Line::Quit,
            _ if key.is_ascii_graphic() => {
                let why = format!("the key {key} does nothing; ? lists those that do");
                return Pressed::Do(key.to_string(), Err(why));
            }
            _ => return Pressed::Nothing,
        };
        Pressed::Do(key.to_string(), Ok(line))
    }

    fn ask(&mut self, what: &'static str, word: &'static str) -> Pressed {
        self.asking = Some(Asking { what, word, text: Vec::new() });
        self.prompt()
    }

    /// A key while an argument is typed.
    fn typed(&mut self, octet: u8) -> Pressed {
        let Some(asking) = &mut self.asking else { return Pressed::Nothing };
        match octet {
            b'\r' | b'\n' => {
                let text = String::from_utf8_lossy(&asking.text).trim().to_owned();
                let command = format!("{} {text}", asking.word).trim().to_owned();
                self.asking = None;
                return match text.is_empty() {
                    true => Pressed::Prompt(None),
                    false => Pressed::Do(command.clone(), line::parse(&command)),
                };
            }
            ESCAPE | END => {
                self.asking = None;
                return Pressed::Prompt(None);
            }
            ERASE_LINE => asking.text.clear(),
            _ if BACKSPACE.contains(&octet) => {
                // A letter may have several octets; all but the first begin with the bits 10.
                while asking.text.pop().is_some_and(|octet| octet & 0xC0 == 0x80) {}
            }
            _ if octet >= b' ' && asking.text.len() < LONGEST => asking.text.push(octet),
            _ => return Pressed::Nothing,
        }
        self.prompt()
    }

    fn prompt(&self) -> Pressed {
        let text = |asking: &Asking| format!("{}{}", asking.what, String::from_utf8_lossy(&asking.text));
        Pressed::Prompt(self.asking.as_ref().map(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(keys: &mut Keys, text: &str) -> Vec<Pressed> {
        text.bytes().map(|octet| keys.press(octet)).filter(|pressed| *pressed != Pressed::Nothing).collect()
    }

    #[test]
    fn each_key_acts_at_once_and_is_in_the_help() {
        for (key, line) in [
            ("h", Line::TurnHold),
            ("m", Line::TurnMute),
            ("q", Line::HangupOrQuit),
            ("5", Line::Dtmf("5".into())),
            ("#", Line::Dtmf("#".into())),
            ("a", Line::Answer(Which::Current)),
            ("r", Line::Reject(486)),
            ("y", Line::Follow(Which::Current)),
            ("n", Line::Stay(Which::Current)),
            ("k", Line::Conference(Vec::new())),
            ("l", Line::Calls),
            ("?", Line::Keys),
            ("\u{4}", Line::Quit),
        ] {
            assert_eq!(press(&mut Keys::default(), key), [Pressed::Do(key.into(), Ok(line))], "{key:?}");
        }
        for key in "hmtjkardcynlq:?*#".chars() {
            let told = HELP.lines().any(|line| line.get(..9).is_some_and(|keys| keys.contains(key)));
            assert!(told, "{key} is in the help");
        }
        let Pressed::Do(_, Err(why)) = Keys::default().press(b'z') else { panic!("z does something") };
        assert!(why.contains("? lists"), "{why}");
        assert_eq!(Keys::default().press(b'\n'), Pressed::Nothing);
    }

    #[test]
    fn an_argument_is_typed_mended_and_entered() {
        let mut keys = Keys::default();
        let pressed = press(&mut keys, "tbobx\u{7f}\r");
        assert_eq!(pressed[0], Pressed::Prompt(Some("transfer to: ".into())));
        assert_eq!(pressed[4], Pressed::Prompt(Some("transfer to: bobx".into())));
        assert_eq!(pressed[5], Pressed::Prompt(Some("transfer to: bob".into())));
        assert_eq!(pressed[6], Pressed::Do("transfer bob".into(), Ok(Line::Transfer("bob".into()))));
        // Digits in an argument are none of the call's.
        let last = press(&mut keys, "d100\n").pop().unwrap();
        assert_eq!(last, Pressed::Do("dial 100".into(), Ok(Line::Dial("100".into()))));
        let last = press(&mut keys, ":hangup 2\n").pop().unwrap();
        assert_eq!(last, Pressed::Do("hangup 2".into(), Ok(Line::Hangup(Which::Number(2)))));
        assert_eq!(press(&mut keys, "jé\u{7f}\u{7f}\u{7f}\n").pop(), Some(Pressed::Prompt(None)));
    }

    #[test]
    fn escape_ends_a_prompt_and_function_keys_do_nothing() {
        let mut keys = Keys::default();
        assert_eq!(press(&mut keys, "tbob\u{1b}").pop(), Some(Pressed::Prompt(None)));
        assert_eq!(press(&mut keys, "h"), [Pressed::Do("h".into(), Ok(Line::TurnHold))]);
        assert_eq!(press(&mut keys, "\u{1b}[A\u{1b}OP\u{1b}[15~"), []);
        assert_eq!(press(&mut keys, "m").len(), 1);
    }
}
