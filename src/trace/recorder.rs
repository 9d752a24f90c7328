//! The recorder in the driver: it sorts what goes by into rings and hands them on when a call ends.

use super::entry::{Entry, Head, Note, Sighting, Subject, Trace, VERSION, What};
use super::hep;
use super::identity::Identity;
use super::keeper::Keeper;
use super::options::{Limits, Options};
use super::ring::Ring;
use super::strays::Strays;
use crate::call::record::{Record, Status};
use crate::call::{CallId, Event, Moment};
use crate::sip::hop::Hop;
use crate::time::{Duration, Instant, Wall};
use bytes::Bytes;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// Call-IDs of one call: its own, and those that it took over.
const CALL_IDS: usize = 8;

/// How long after its end a call still takes messages: repeated requests come for 64*T1 (RFC 3261 section 17).
const LINGER: Duration = Duration::from_secs(32);

/// How often the file of a registration that only refreshes is brought up to date.
const REFRESHED: Duration = Duration::from_secs(60);

/// How often the file of what belongs to nobody is brought up to date at most.
const OUTSIDE_REFRESHED: Duration = Duration::from_secs(10);

/// Records one phone; owned by the task that drives it. Nothing here waits or locks.
#[derive(Debug)]
pub struct Recorder {
    wall: Wall,
    limits: Limits,
    keeper: Option<Keeper>,
    hep: Option<hep::Sender>,
    owners: HashMap<String, Owner>,
    calls: HashMap<CallId, Recording>,
    registrations: HashMap<String, Recording>,
    strays: Strays,
    outside: Option<Recording>,
    due: BTreeSet<(Instant, Owner)>,
    octets: usize,
    missed: u64,
}

/// How much a recorder holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Calls, those that ended a moment ago included.
    pub calls: usize,
    /// Registrations.
    pub registrations: usize,
    /// Dialogs that nobody has claimed.
    pub strays: usize,
    /// Octets of all of them.
    pub octets: usize,
    /// Entries for which there was no room in the total.
    pub missed: u64,
}

/// Whose a dialog is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Call(CallId),
    Registration(String),
    Outside,
}

/// What is recorded of one call or registration.
#[derive(Debug)]
struct Recording {
    head: Head,
    ring: Ring,
    call_ids: Vec<String>,
    /// Something came since it was last handed to the keeper.
    fresh: bool,
    /// When it is looked at next.
    due: Option<Instant>,
}

impl Recorder {
    /// A recorder; one that is told to keep nothing and to send nothing does nothing.
    pub fn new(options: &Options, wall: Wall) -> Self {
        let keeper = options.directory.as_deref().and_then(|directory| {
            Keeper::start(directory, options.limits, options.secrets)
                .inspect_err(|error| tracing::warn!(%error, "no thread for the traces; nothing is recorded"))
                .ok()
        });
        let hep = options.hep.as_ref().and_then(|collector| {
            hep::Sender::start(collector, options.secrets)
                .inspect_err(|error| tracing::warn!(%error, collector = %collector.address, "HEP is off"))
                .ok()
        });
        Self {
            wall,
            limits: options.limits,
            keeper,
            hep,
            owners: HashMap::new(),
            calls: HashMap::new(),
            registrations: HashMap::new(),
            strays: Strays::new(),
            outside: None,
            due: BTreeSet::new(),
            octets: 0,
            missed: 0,
        }
    }

    /// How much is held.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            calls: self.calls.len(),
            registrations: self.registrations.len(),
            strays: self.strays.len(),
            octets: self.octets,
            missed: self.missed,
        }
    }

    /// A message was sent, or came in.
    pub fn message(&mut self, now: Instant, sent: bool, hop: &Hop, bytes: &Bytes) {
        if self.keeper.is_none() && self.hep.is_none() {
            return;
        }
        let Some(identity) = Identity::of(bytes) else { return };
        let entry = Entry { at: self.wall.at(now), what: What::Message(Sighting::new(sent, hop, bytes.clone())) };
        if let (Some(hep), What::Message(sighting)) = (&mut self.hep, &entry.what) {
            hep.offer(entry.at, sighting, identity.call_id);
        }
        if self.keeper.is_none() {
            return;
        }
        match self.owners.get(identity.call_id).cloned() {
            Some(owner) => self.put(&owner, entry),
            None if sent && !identity.response && identity.method == "REGISTER" => {
                let aor = identity.address_of_record().to_owned();
                let owner = Owner::Registration(aor.clone());
                let recording = self.registrations.entry(aor.clone()).or_insert_with(|| Recording::of_account(&aor));
                recording.call_ids.push(identity.call_id.to_owned());
                // A phone has one Call-ID per registration; one that changes it gives up the one before.
                if recording.call_ids.len() > CALL_IDS {
                    self.owners.remove(&recording.call_ids.remove(0));
                }
                self.owners.insert(identity.call_id.to_owned(), owner.clone());
                self.put(&owner, entry);
            }
            None => self.put_stray(now, identity.call_id, entry),
        }
    }

    /// Something happened in a call.
    pub fn call(&mut self, now: Instant, event: &Event) {
        if self.keeper.is_none() {
            return;
        }
        let record = &*event.record;
        let recording = self.calls.entry(event.call).or_insert_with(|| Recording::of_call(record));
        let call_id = record.metadata.get("call_id").and_then(serde_json::Value::as_str);
        if let Some(call_id) = call_id
            && recording.call_ids.len() < CALL_IDS
            && !recording.call_ids.iter().any(|known| known == call_id)
        {
            recording.call_ids.push(call_id.to_owned());
            self.owners.insert(call_id.to_owned(), Owner::Call(event.call));
            if let Some(ring) = self.strays.claim(call_id) {
                recording.ring = ring;
            }
        }
        match event.moment {
            Moment::Ended => {
                recording.conclude(record);
                recording.due = Some(now + LINGER);
                self.due.insert((now + LINGER, Owner::Call(event.call)));
                self.keep(&Owner::Call(event.call));
            }
            Moment::Answered => recording.conclude(record),
            _ => {}
        }
    }

    /// A registration changed: how it stands now in a few words, why in a sentence, and whether it matters to whoever
    /// looks from outside.
    pub fn registration(&mut self, now: Instant, aor: &str, outcome: &str, explanation: Option<&str>) {
        if self.keeper.is_none() {
            return;
        }
        let owner = Owner::Registration(aor.to_owned());
        let recording = self.registrations.entry(aor.to_owned()).or_insert_with(|| Recording::of_account(aor));
        if outcome == "unregistered" && recording.head.outcome.starts_with("failed") {
            // Giving up after a failure is no news: the failure is what explains.
            return;
        }
        let kind = |outcome: &str| outcome.split([' ', ':']).next().map(str::to_owned);
        let changed = kind(&recording.head.outcome) != kind(outcome);
        recording.head.outcome = outcome.to_owned();
        recording.head.explanation = explanation.map(str::to_owned);
        if changed && !outcome.ends_with("ing") {
            self.keep(&owner);
        } else if recording.due.is_none() {
            recording.due = Some(now + REFRESHED);
            self.due.insert((now + REFRESHED, owner));
        }
    }

    /// The media of a call did something.
    pub fn note(&mut self, now: Instant, call: CallId, note: impl FnOnce() -> Note) {
        if self.keeper.is_some() && self.calls.contains_key(&call) {
            let entry = Entry { at: self.wall.at(now), what: What::Media(note()) };
            self.put(&Owner::Call(call), entry);
        }
    }

    /// When [`Recorder::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at).into_iter().chain(self.strays.next()).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(ring) = self.strays.give_up(now) {
            self.put_outside(now, &ring);
        }
        while let Some((at, owner)) = self.due.first().cloned() {
            if at > now {
                return;
            }
            self.due.remove(&(at, owner.clone()));
            if let Some(recording) = self.recording(&owner) {
                recording.due = None;
                if recording.fresh {
                    self.keep(&owner);
                }
            }
            if let Owner::Call(call) = owner {
                self.forget(call);
            }
        }
    }

    /// Hands everything on and waits until it is on disk; blocks.
    pub fn close(mut self) {
        while let Some(ring) = self.strays.give_up_any() {
            self.put_outside(Instant::ZERO, &ring);
        }
        let rest: Vec<Trace> = self
            .calls
            .values_mut()
            .chain(self.registrations.values_mut())
            .chain(&mut self.outside)
            .filter(|recording| recording.fresh)
            .map(Recording::trace)
            .collect();
        if let Some(keeper) = self.keeper.take() {
            keeper.finish(rest);
        }
        if let Some(hep) = self.hep.take() {
            hep.finish();
        }
    }

    fn recording(&mut self, owner: &Owner) -> Option<&mut Recording> {
        match owner {
            Owner::Call(call) => self.calls.get_mut(call),
            Owner::Registration(aor) => self.registrations.get_mut(aor),
            Owner::Outside => self.outside.as_mut(),
        }
    }

    fn put(&mut self, owner: &Owner, entry: Entry) {
        let room = self.octets + entry.octets() <= self.limits.total_octets;
        let limits = self.limits;
        let Some(recording) = self.recording(owner) else { return };
        recording.fresh = true;
        if let (What::Message(sighting), Subject::Registration(_)) = (&entry.what, &recording.head.subject) {
            recording.head.to = format!("{}:{}", sighting.transport, sighting.remote);
        }
        if room {
            let grown = recording.ring.push(entry, limits.entries, limits.octets);
            self.octets = self.octets.saturating_add_signed(grown);
        } else {
            recording.ring.miss(&entry);
            self.missed += 1;
        }
    }

    fn put_stray(&mut self, now: Instant, call_id: &str, entry: Entry) {
        if self.octets + entry.octets() > self.limits.total_octets {
            self.missed += 1;
            return;
        }
        let (grown, gone) = self.strays.put(now, call_id, entry, &self.limits);
        self.octets = self.octets.saturating_add_signed(grown);
        if let Some(ring) = gone {
            self.put_outside(now, &ring);
        }
    }

    /// A dialog belongs to nobody.
    fn put_outside(&mut self, now: Instant, ring: &Ring) {
        self.octets -= ring.octets().min(self.octets);
        let nobody = || Recording::new(Subject::Outside, String::new(), String::new());
        let outside = self.outside.get_or_insert_with(nobody);
        outside.fresh = true;
        if outside.due.is_none() {
            outside.due = Some(now + OUTSIDE_REFRESHED);
            self.due.insert((now + OUTSIDE_REFRESHED, Owner::Outside));
        }
        for entry in ring.entries() {
            if self.strays.allows(now) {
                self.put(&Owner::Outside, entry);
            } else if let Some(outside) = &mut self.outside {
                outside.ring.miss(&entry);
            }
        }
    }

    /// Hands a recording to the keeper as it stands.
    fn keep(&mut self, owner: &Owner) {
        let Some(trace) = self.recording(owner).map(Recording::trace) else { return };
        let taken = self.keeper.as_ref().is_some_and(|keeper| keeper.keep(trace));
        if let Some(recording) = self.recording(owner) {
            // What found no room is tried again when it is due, and at the end.
            recording.fresh = !taken;
        }
    }

    fn forget(&mut self, call: CallId) {
        if let Some(recording) = self.calls.remove(&call) {
            self.octets -= recording.ring.octets().min(self.octets);
            for call_id in recording.call_ids {
                self.owners.remove(&call_id);
            }
        }
    }
}

impl Recording {
    fn of_call(record: &Record) -> Self {
        let direction = serde_json::to_value(record.direction).ok();
        let direction = direction.as_ref().and_then(serde_json::Value::as_str).map(str::to_owned);
        let mut recording = Self::new(Subject::Call(record.id.clone()), record.from.clone(), record.to.clone());
        recording.head.direction = direction;
        recording.conclude(record);
        recording
    }

    fn of_account(aor: &str) -> Self {
        Self::new(Subject::Registration(aor.to_owned()), aor.to_owned(), String::new())
    }

    fn new(subject: Subject, from: String, to: String) -> Self {
        let head = Head {
            version: VERSION,
            subject,
            direction: None,
            from,
            to,
            outcome: String::new(),
            explanation: None,
            began: None,
            until: None,
            messages: 0,
            notes: 0,
            secrets: false,
            dropped: Default::default(),
        };
        Self { head, ring: Ring::default(), call_ids: Vec::new(), fresh: false, due: None }
    }

    /// Notes how a call stands.
    fn conclude(&mut self, record: &Record) {
        let status = serde_json::to_value(record.status).ok();
        let status = status.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
        self.head.outcome = match (record.answered_at, record.sip_code) {
            (None, Some(code)) if record.status != Status::InProgress => {
                format!("{status}: {code} {}", record.sip_reason.as_deref().unwrap_or_default()).trim_end().to_owned()
            }
            _ => status.to_owned(),
        };
        let failed = record.answered_at.is_none() && record.status != Status::InProgress;
        let reason = record.metadata.get("reason").filter(|_| failed);
        let explanation = record.metadata.get("explanation").or(reason);
        self.head.explanation = explanation.and_then(serde_json::Value::as_str).map(str::to_owned);
        self.fresh = true;
    }

    /// Everything so far.
    fn trace(&mut self) -> Trace {
        let mut entries = self.ring.entries();
        // Dialogs of nobody come one after the other.
        entries.sort_by_key(|entry| entry.at);
        let mut head = self.head.clone();
        let at = |entry: Option<&Entry>| -> Option<Timestamp> { entry.map(|entry| entry.at) };
        (head.began, head.until) = (at(entries.first()), at(entries.last()));
        head.messages = entries.iter().filter(|entry| matches!(entry.what, What::Message(_))).count() as u64;
        head.notes = entries.len() as u64 - head.messages;
        head.dropped = self.ring.dropped();
        self.fresh = false;
        Trace { head, entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::hop::Transport;
    use crate::store::fixture::fresh;
    use crate::trace::{Shelf, Which};

    fn hop() -> Hop {
        let (local, remote) = ("192.0.2.1:5060".parse().unwrap(), "192.0.2.2:5060".parse().unwrap());
        Hop { transport: Transport::Udp, local, remote }
    }

    fn message(method: &str, call_id: &str) -> Bytes {
        let to = "To: <sip:a@h>\r\n";
        format!("{method} sip:b@h SIP/2.0\r\n{to}Call-ID: {call_id}\r\nCSeq: 1 {method}\r\n\r\n").into()
    }

    fn recorder(directory: &std::path::Path, limits: Limits) -> Recorder {
        let options = Options { directory: Some(directory.to_owned()), limits, ..Options::default() };
        Recorder::new(&options, Wall::new(Timestamp::UNIX_EPOCH))
    }

    fn event(moment: Moment, call_id: &str) -> Event {
        let mut record = fresh("0190-1");
        record.metadata.insert("call_id".into(), call_id.into());
        Event { call: CallId(1), moment, record: Box::new(record) }
    }

    #[test]
    fn a_call_claims_what_came_before_it_and_everything_goes_when_it_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let mut recorder = recorder(directory.path(), Limits::default());
        let at = Instant::from_millis;
        recorder.message(at(0), false, &hop(), &message("INVITE", "c1"));
        recorder.call(at(1), &event(Moment::Initiated, "c1"));
        recorder.note(at(2), CallId(1), || Note::new("started", "RTP", serde_json::Value::Null));
        recorder.message(at(3), true, &hop(), &message("BYE", "c1"));
        recorder.call(at(4), &event(Moment::Ended, "c1"));
        // The far end's answer comes after the end.
        recorder.message(at(5), false, &hop(), &message("OPTIONS", "c1"));
        assert_eq!((recorder.sizes().calls, recorder.sizes().strays), (1, 0));
        let due = recorder.poll_timeout().unwrap();
        assert_eq!(due, at(4) + LINGER);
        recorder.handle_timeout(due);
        assert_eq!(recorder.sizes(), Sizes::default(), "nothing is left of a call that is over");
        assert!(recorder.owners.is_empty() && recorder.poll_timeout().is_none());
        recorder.close();
        let trace = Shelf::new(directory.path()).find(&Which::Last, false).unwrap();
        assert_eq!((trace.head.messages, trace.head.notes), (3, 1));
        let octets = trace.messages().map(|(_, sighting)| sighting.bytes.clone());
        assert_eq!(octets.collect::<Vec<_>>(), ["INVITE", "BYE", "OPTIONS"].map(|method| message(method, "c1")));
    }

    #[test]
    fn a_flood_costs_no_more_than_the_limits() {
        let directory = tempfile::tempdir().unwrap();
        let limits = Limits { total_octets: 20_000, ..Limits::default() };
        let mut recorder = recorder(directory.path(), limits);
        for number in 0..10_000 {
            recorder.message(Instant::ZERO, false, &hop(), &message("INVITE", &format!("scan-{number}")));
            recorder.message(Instant::ZERO, true, &hop(), &message("REGISTER", &format!("reg-{number}")));
        }
        let sizes = recorder.sizes();
        assert!(sizes.strays <= 32 && sizes.octets <= 20_000 && sizes.registrations == 1, "{sizes:?}");
        assert!(sizes.missed > 0 && recorder.owners.len() <= CALL_IDS, "{sizes:?}");
        recorder.close();
    }

    #[test]
    fn what_belongs_to_nobody_is_kept_within_bounds() {
        let directory = tempfile::tempdir().unwrap();
        let mut recorder = recorder(directory.path(), Limits::default());
        let at = Instant::from_millis;
        recorder.message(at(0), true, &hop(), &message("OPTIONS", "o1"));
        recorder.message(at(9), false, &hop(), &message("OPTIONS", "o1"));
        let due = recorder.poll_timeout().unwrap();
        recorder.handle_timeout(due);
        assert_eq!(recorder.sizes().strays, 0);
        for number in 0..5_000 {
            recorder.message(due, false, &hop(), &message("INVITE", &format!("scan-{number}")));
        }
        recorder.close();
        let trace = Shelf::new(directory.path()).find(&Which::Outside, false).unwrap();
        assert_eq!(
            (trace.head.messages, trace.head.dropped.messages),
            (100, 4_902),
            "a burst, and the rest is counted"
        );
        let own: Vec<_> = trace.messages().take(2).map(|(_, sighting)| sighting.sent).collect();
        assert_eq!(own, [true, false], "in the order of their times");
    }
}
