//! How an ended call is called: one table from who ended it, and with which response, to the status of the record.

use super::record::{CallDirection, EndedBy, Status};

/// The status of a call that has ended.
///
/// `answered`: it was talked; `ring_limit`: we gave up because it rang too long.
pub(super) fn final_status(
    direction: CallDirection,
    answered: bool,
    by: EndedBy,
    code: Option<u16>,
    rang: bool,
    ring_limit: bool,
) -> Status {
    if answered {
        return Status::Completed;
    }
    match (direction, by, code) {
        (CallDirection::Outbound, EndedBy::Local, _) if ring_limit => Status::NoAnswer,
        (CallDirection::Outbound, EndedBy::Local, _) => Status::Canceled,
        (_, _, Some(486 | 600)) => Status::Busy,
        (_, _, Some(603 | 607)) => Status::Declined,
        (CallDirection::Outbound, _, Some(408 | 480 | 487)) => {
            if rang || code == Some(480) {
                Status::NoAnswer
            } else {
                Status::Failed
            }
        }
        (CallDirection::Outbound, EndedBy::Network, None) if rang => Status::NoAnswer,
        (CallDirection::Outbound, _, _) => Status::Failed,
        (CallDirection::Inbound, EndedBy::Local, Some(480)) => Status::Missed,
        (CallDirection::Inbound, EndedBy::Local, Some(_)) => Status::Failed,
        (CallDirection::Inbound, EndedBy::Local, None) => Status::Declined,
        (CallDirection::Inbound, EndedBy::Remote, _) => Status::Missed,
        (CallDirection::Inbound, EndedBy::Network, Some(480 | 487)) => Status::Missed,
        (CallDirection::Inbound, EndedBy::Network, _) => Status::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_name() {
        use CallDirection::{Inbound, Outbound};
        use EndedBy::{Local, Network, Remote};
        let rows = [
            (Outbound, true, Remote, Some(200), true, false, Status::Completed),
            (Outbound, false, Remote, Some(486), true, false, Status::Busy),
            (Outbound, false, Remote, Some(600), false, false, Status::Busy),
            (Outbound, false, Remote, Some(603), true, false, Status::Declined),
            (Outbound, false, Remote, Some(404), false, false, Status::Failed),
            (Outbound, false, Remote, Some(480), false, false, Status::NoAnswer),
            (Outbound, false, Remote, Some(408), true, false, Status::NoAnswer),
            (Outbound, false, Network, None, false, false, Status::Failed),
            (Outbound, false, Network, None, true, false, Status::NoAnswer),
            (Outbound, false, Local, Some(487), true, false, Status::Canceled),
            (Outbound, false, Local, Some(487), true, true, Status::NoAnswer),
            (Inbound, true, Local, None, true, false, Status::Completed),
            (Inbound, false, Remote, Some(487), true, false, Status::Missed),
            (Inbound, false, Local, Some(486), true, false, Status::Busy),
            (Inbound, false, Local, Some(603), true, false, Status::Declined),
            (Inbound, false, Local, Some(480), true, false, Status::Missed),
            (Inbound, false, Local, Some(488), false, false, Status::Failed),
            (Inbound, false, Network, Some(480), true, false, Status::Missed),
            (Inbound, false, Network, None, true, false, Status::Failed),
        ];
        for (direction, answered, by, code, rang, limit, status) in rows {
            let got = final_status(direction, answered, by, code, rang, limit);
            assert_eq!(got, status, "{direction:?} {answered} {by:?} {code:?} rang {rang} limit {limit}");
        }
    }
}
