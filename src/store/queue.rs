//! Rows that wait for the disk: bounded, one per call.

use crate::call::record::{Record, Status};
use std::collections::{HashMap, VecDeque};

/// The queue is full of other calls.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// First in, first out by call; a newer row of a call takes the place of the older, so that a long outage costs one row
/// per call and not one per change.
#[derive(Debug)]
pub(super) struct Queue {
    order: VecDeque<String>,
    rows: HashMap<String, Record>,
    /// Rows that are being written; they count against the bound.
    taken: Vec<Record>,
    bound: usize,
}

impl Queue {
    /// An empty queue for at most `bound` calls.
    pub(super) fn new(bound: usize) -> Self {
        Self { order: VecDeque::new(), rows: HashMap::new(), taken: Vec::new(), bound }
    }

    /// Adds a row, or brings the waiting row of its call up to date. The row of an ended call stays as it is when an
    /// older state arrives late.
    pub(super) fn push(&mut self, record: Record) -> Result<(), Full> {
        if let Some(waiting) = self.rows.get_mut(&record.id) {
            if record.status != Status::InProgress || waiting.status == Status::InProgress {
                *waiting = record;
            }
            return Ok(());
        }
        if self.len() >= self.bound {
            return Err(Full);
        }
        self.order.push_back(record.id.clone());
        self.rows.insert(record.id.clone(), record);
        Ok(())
    }

    /// Takes up to `limit` rows, oldest first, to write them. Answer with [`written`](Self::written) or
    /// [`put_back`](Self::put_back) before the next.
    pub(super) fn take(&mut self, limit: usize) -> Vec<Record> {
        let count = limit.min(self.order.len());
        self.taken.extend(self.order.drain(..count).filter_map(|id| self.rows.remove(&id)));
        self.taken.clone()
    }

    /// The taken rows are on disk, or given up.
    pub(super) fn written(&mut self) {
        self.taken.clear();
    }

    /// The taken rows could not be written: they go back in front; a newer row of the same call wins.
    pub(super) fn put_back(&mut self) {
        for record in std::mem::take(&mut self.taken).into_iter().rev() {
            let newer = self.rows.get(&record.id);
            if newer.is_none_or(|newer| newer.status == Status::InProgress && record.status != Status::InProgress) {
                if newer.is_none() {
                    self.order.push_front(record.id.clone());
                }
                self.rows.insert(record.id.clone(), record);
            }
        }
    }

    /// Calls that wait or are being written.
    pub(super) fn len(&self) -> usize {
        self.rows.len() + self.taken.len()
    }

    /// Are there rows to take?
    pub(super) fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Everything that is not on disk yet, oldest first.
    pub(super) fn waiting(&self) -> Vec<Record> {
        let older = self.taken.iter().filter(|record| !self.rows.contains_key(&record.id));
        older.chain(self.order.iter().filter_map(|id| self.rows.get(id))).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::record;

    fn with_status(id: &str, status: Status) -> Record {
        Record { id: id.into(), status, ..record() }
    }

    fn ids(rows: &[Record]) -> Vec<&str> {
        rows.iter().map(|row| row.id.as_str()).collect()
    }

    #[test]
    fn one_row_per_call_and_the_end_stays() {
        let mut queue = Queue::new(2);
        queue.push(with_status("a", Status::InProgress)).unwrap();
        queue.push(with_status("b", Status::InProgress)).unwrap();
        queue.push(with_status("a", Status::Completed)).unwrap();
        queue.push(with_status("a", Status::InProgress)).unwrap();
        assert_eq!(queue.push(with_status("c", Status::InProgress)), Err(Full));
        let batch = queue.take(10);
        assert_eq!(ids(&batch), ["a", "b"]);
        assert_eq!(batch.first().unwrap().status, Status::Completed);
        assert_eq!(queue.push(with_status("c", Status::InProgress)), Err(Full), "taken rows count");
        queue.written();
        assert_eq!(queue.len(), 0);
        assert_eq!(queue.push(with_status("c", Status::InProgress)), Ok(()));
    }

    #[test]
    fn a_failed_batch_goes_back_in_front() {
        let mut queue = Queue::new(9);
        for id in ["a", "b", "c"] {
            queue.push(with_status(id, Status::InProgress)).unwrap();
        }
        queue.take(2);
        queue.push(with_status("b", Status::Completed)).unwrap();
        assert_eq!(ids(&queue.waiting()), ["a", "c", "b"]);
        queue.put_back();
        let waiting = queue.waiting();
        assert_eq!(ids(&waiting), ["a", "c", "b"]);
        assert_eq!(waiting.last().unwrap().status, Status::Completed, "the newer row won");
        assert_eq!(queue.len(), 3);
    }
}
