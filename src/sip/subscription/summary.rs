//! The state of a mailbox: `application/simple-message-summary` (RFC 3842 section 5.2).

use std::str::FromStr;

/// Message classes that are kept of one summary.
const CLASSES: usize = 8;

/// What waits in a mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Does anything?
    pub waiting: bool,
    /// The message account, when the notifier names it.
    pub account: Option<String>,
    /// Counts by message class (`Voice-Message`, `Fax-Message`, …), in the order of the message.
    pub classes: Vec<(String, Counts)>,
}

/// `new/old (new urgent/old urgent)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Not heard yet.
    pub new: u32,
    /// Heard.
    pub old: u32,
    /// Not heard yet and urgent.
    pub new_urgent: u32,
    /// Heard and urgent.
    pub old_urgent: u32,
}

impl Summary {
    /// Reads a body; `None` when it is none. Lines that are not understood are skipped.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(body);
        let mut summary = Self::default();
        let mut known = false;
        for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("Messages-Waiting") {
                summary.waiting = value.eq_ignore_ascii_case("yes");
                known = true;
            } else if name.eq_ignore_ascii_case("Message-Account") {
                summary.account = Some(value.chars().take(200).collect());
            } else if let Ok(counts) = value.parse()
                && summary.classes.len() < CLASSES
            {
                summary.classes.push((name.chars().take(40).collect(), counts));
            }
        }
        known.then_some(summary)
    }

    /// The counts of voice messages.
    pub fn voice(&self) -> Option<Counts> {
        self.classes.iter().find(|(class, _)| class.eq_ignore_ascii_case("Voice-Message")).map(|(_, counts)| *counts)
    }
}

impl FromStr for Counts {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let pair = |text: &str| -> Option<(u32, u32)> {
            let (new, old) = text.trim().split_once('/')?;
            Some((new.trim().parse().ok()?, old.trim().parse().ok()?))
        };
        let (all, urgent) = match text.split_once('(') {
            Some((all, urgent)) => (all, pair(urgent.trim_end().trim_end_matches(')')).ok_or(())?),
            None => (text, (0, 0)),
        };
        let (new, old) = pair(all).ok_or(())?;
        Ok(Self { new, old, new_urgent: urgent.0, old_urgent: urgent.1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        let body = b"Messages-Waiting: yes\r\nMessage-Account: sip:alice@vmail.example.com\r\n\
                     Voice-Message: 4/8 (1/2)\r\nFax-Message: 0/3\r\nTo: <alice@atlanta.example.com>\r\n";
        let summary = Summary::parse(body).unwrap();
        assert!(summary.waiting);
        assert_eq!(summary.account.as_deref(), Some("sip:alice@vmail.example.com"));
        assert_eq!(summary.voice(), Some(Counts { new: 4, old: 8, new_urgent: 1, old_urgent: 2 }));
        assert_eq!(summary.classes.len(), 2);
    }

    #[test]
    fn nonsense_is_no_summary() {
        assert_eq!(Summary::parse(b""), None);
        assert_eq!(Summary::parse(b"\xFF\xFE:\x00/"), None);
        let odd = Summary::parse(b"messages-waiting:NO\nVoice-Message: -1/x (3/4\n").unwrap();
        assert_eq!(odd, Summary::default());
    }
}
