//! What came in during a call and was thrown away; a call goes on whatever is sent to its ports.

use crate::media::session::Counters;
use serde_json::{Map, Value};

/// Datagrams and messages that were not taken, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Discarded {
    /// Neither RTP nor RTCP.
    pub(super) foreign: u64,
    /// Damaged RTP or RTCP, and SRTP too damaged to be looked at.
    pub(super) malformed: u64,
    /// From an address that is not the far end's.
    pub(super) strangers: u64,
    /// RTP of a payload type that was not negotiated.
    pub(super) unknown_payload_type: u64,
    /// RTP whose payload its codec refuses.
    pub(super) undecodable: u64,
    /// SRTP without the far end's authentication tag.
    pub(super) unauthenticated: u64,
    /// SRTP that came before.
    pub(super) replayed: u64,
    /// Signalling that is no SIP message, from anyone: it belongs to no call.
    pub(super) malformed_sip: u64,
}

impl Discarded {
    /// What the media of a call dropped.
    pub(super) fn of(counters: &Counters) -> Self {
        Self {
            foreign: counters.foreign,
            malformed: counters.malformed + counters.srtp.malformed,
            strangers: counters.strangers,
            unknown_payload_type: counters.unknown_payload_type,
            undecodable: counters.undecodable,
            unauthenticated: counters.srtp.auth_failed,
            replayed: counters.srtp.replayed,
            malformed_sip: 0,
        }
    }

    /// The reasons that occurred, for the metadata of the record; `None` when nothing was dropped.
    pub(super) fn to_json(self) -> Option<Value> {
        let rows = [
            ("foreign", self.foreign),
            ("malformed", self.malformed),
            ("strangers", self.strangers),
            ("unknown_payload_type", self.unknown_payload_type),
            ("undecodable", self.undecodable),
            ("unauthenticated", self.unauthenticated),
            ("replayed", self.replayed),
            ("malformed_sip", self.malformed_sip),
        ];
        let counted: Map<String, Value> =
            rows.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.into(), count.into())).collect();
        (!counted.is_empty()).then_some(Value::Object(counted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_dropped_is_told() {
        assert_eq!(Discarded::default().to_json(), None);
        let counters = Counters { foreign: 2, strangers: 1, rtcp_received: 9, ..Counters::default() };
        let discarded = Discarded { malformed_sip: 3, ..Discarded::of(&counters) };
        let told = serde_json::json!({"foreign": 2, "strangers": 1, "malformed_sip": 3});
        assert_eq!(discarded.to_json(), Some(told));
    }
}
