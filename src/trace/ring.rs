//! A bounded recording.

use super::entry::{Dropped, Entry};
use std::collections::VecDeque;

/// The beginning and the end of what happened: how a call began explains most of it, so a quarter of the room belongs to
/// the first entries; the rest is a ring.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    first: Vec<Entry>,
    last: VecDeque<Entry>,
    octets: usize,
    dropped: Dropped,
}

impl Ring {
    /// Adds an entry, dropping the oldest after the beginning where there is no room; how many octets the ring grew (or
    /// shrank) by.
    pub(super) fn push(&mut self, entry: Entry, entries: usize, octets: usize) -> isize {
        let before = self.octets;
        let size = entry.octets();
        if size > octets || entries == 0 {
            self.dropped.add(&entry);
            return 0;
        }
        if self.last.is_empty() && self.first.len() < entries / 4 && self.octets + size <= octets / 4 {
            self.first.push(entry);
            self.octets += size;
        } else {
            while self.first.len() + self.last.len() >= entries || self.octets + size > octets {
                let Some(oldest) = self.last.pop_front() else { break };
                self.octets -= oldest.octets();
                self.dropped.add(&oldest);
            }
            self.last.push_back(entry);
            self.octets += size;
        }
        self.octets as isize - before as isize
    }

    /// Counts an entry that there was no room for elsewhere.
    pub(super) fn miss(&mut self, entry: &Entry) {
        self.dropped.add(entry);
    }

    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    pub(super) fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Everything, in order; cheap, since octets are shared.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.first.iter().chain(&self.last).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Note, What};
    use jiff::Timestamp;

    fn entry(text: &str) -> Entry {
        let note = Note::new("t", text, serde_json::Value::Null);
        Entry { at: Timestamp::UNIX_EPOCH, what: What::Media(note) }
    }

    #[test]
    fn the_beginning_stays_and_the_end_is_a_ring() {
        let mut ring = Ring::default();
        let mut grown = 0;
        for number in 0..100 {
            grown += ring.push(entry(&format!("{number:02}")), 8, 1_000_000);
        }
        let texts: Vec<String> = ring
            .entries()
            .into_iter()
            .map(|entry| match entry.what {
                What::Media(note) => note.text,
                What::Message(_) => String::new(),
            })
            .collect();
        assert_eq!(texts, ["00", "01", "94", "95", "96", "97", "98", "99"]);
        assert_eq!(ring.dropped().notes, 92);
        assert_eq!(grown, ring.octets() as isize);
    }

    #[test]
    fn octets_bound_it_too() {
        let mut ring = Ring::default();
        for _ in 0..50 {
            ring.push(entry(&"x".repeat(100)), 1_000, 2_000);
        }
        assert!(ring.octets() <= 2_000 && ring.entries().len() == 7, "{} {}", ring.octets(), ring.entries().len());
        let kept = ring.entries().len() as u64;
        assert_eq!(ring.dropped().notes + kept, 50);
        assert_eq!(ring.push(entry(&"x".repeat(5_000)), 1_000, 2_000), 0);
        assert_eq!(ring.dropped().notes + kept, 51);
    }
}
