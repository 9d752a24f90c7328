//! What of a call goes into the call log, and when.

use super::{CallEvent, Moment, Record, Store};

/// Writes what a moment changed in the record of its call.
pub(super) fn keep(store: &Store, event: &CallEvent) {
    let record: &Record = &event.record;
    match event.moment {
        Moment::Initiated => store.started(record),
        Moment::Ringing { .. } | Moment::Answered => store.updated(record),
        Moment::Ended => store.finished(record),
        // Rows change at the milestones; the rest is in the last one.
        Moment::Held(_)
        | Moment::Resumed(_)
        | Moment::Secured
        | Moment::Codec
        | Moment::ChangeRefused(_)
        | Moment::Dtmf { .. }
        | Moment::DtmfRefused { .. }
        | Moment::Transfer(_)
        | Moment::Quality => {}
    }
}
