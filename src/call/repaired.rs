//! What the codecs of a call did about loss and silence, for its record.

use crate::media::session::Counters;
use serde_json::{Map, Value};

/// What was done; `None` when nothing was.
pub(super) fn to_json(counters: &Counters) -> Option<Value> {
    let rows = [
        ("fec_recovered", counters.playout.recovered),
        ("expected_loss_percent", u64::from(counters.expected_loss)),
        ("comfort_noise_sent", counters.noise_sent),
        ("comfort_noise_heard", counters.noise_heard),
    ];
    let done: Map<String, Value> =
        rows.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.into(), count.into())).collect();
    (!done.is_empty()).then_some(Value::Object(done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_done_is_told() {
        assert_eq!(to_json(&Counters::default()), None);
        let counters = Counters { expected_loss: 7, noise_sent: 3, ..Counters::default() };
        assert_eq!(to_json(&counters), Some(serde_json::json!({"expected_loss_percent": 7, "comfort_noise_sent": 3})));
    }
}
