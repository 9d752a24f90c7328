//! Events on their way out of a worker, which never waits for whoever takes them.

use super::event::Event;
use std::collections::VecDeque;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// Events that wait while the channel is full; beyond it only the ends of calls are kept.
const WAITING: usize = 4_096;

/// A bounded channel with a bounded waiting room in front of it.
pub(super) struct Outbox {
    sender: Sender<Event>,
    waiting: VecDeque<Event>,
    dropped: u64,
}

impl Outbox {
    pub(super) fn new(sender: Sender<Event>) -> Self {
        Self { sender, waiting: VecDeque::new(), dropped: 0 }
    }

    /// Events that were dropped because nobody took them.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Does anything wait for [`Outbox::flush`]?
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends `event`, or lets it wait: quality is worthless when late, the end of a call must arrive.
    pub(super) fn post(&mut self, event: Event) {
        if self.is_waiting() {
            return self.wait(event);
        }
        match self.sender.try_send(event) {
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(event)) => self.wait(event),
        }
    }

    fn wait(&mut self, event: Event) {
        let keep = match event {
            Event::Quality { .. } => false,
            // One per call that was started: their number is bounded by the calls.
            Event::Finished(_) => true,
            _ => self.waiting.len() < WAITING,
        };
        if keep {
            self.waiting.push_back(event);
        } else {
            self.dropped += 1;
        }
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn flush(&mut self) {
        while let Some(event) = self.waiting.pop_front() {
            match self.sender.try_send(event) {
                Ok(()) | Err(TrySendError::Closed(_)) => {}
                Err(TrySendError::Full(event)) => {
                    self.waiting.push_front(event);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::media::event::{Counters, Finished};
    use crate::media::quality::Report;
    use crate::media::session;

    fn finished(key: u64) -> Event {
        Event::Finished(Box::new(Finished {
            key,
            report: Report::default(),
            media: session::Counters::default(),
            worker: Counters::default(),
            recording: None,
        }))
    }

    #[test]
    fn the_end_of_a_call_arrives_in_order_however_late_it_is_taken() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(2);
        let mut outbox = Outbox::new(sender);
        for key in 0..WAITING as u64 + 10 {
            outbox.post(Event::FirstPacket { key });
        }
        outbox.post(Event::Quality { key: 7, report: Box::default() });
        outbox.post(finished(1));
        outbox.post(finished(2));
        assert_eq!(outbox.dropped(), 8 + 1);
        let mut keys = Vec::new();
        while outbox.is_waiting() || !receiver.is_empty() {
            outbox.flush();
            keys.push(receiver.try_recv().unwrap().key());
        }
        assert_eq!(keys.len(), 2 + WAITING + 2);
        assert_eq!(keys[keys.len() - 2..], [1, 2]);
        assert!(keys[..keys.len() - 2].is_sorted());
    }

    #[test]
    fn a_receiver_that_is_gone_costs_nothing() {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        drop(receiver);
        let mut outbox = Outbox::new(sender);
        outbox.post(finished(1));
        assert!(!outbox.is_waiting());
    }
}
