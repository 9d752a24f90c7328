//! Calls that ask to be answered by themselves: intercoms, paging, click-to-dial.

use crate::sip::header::{Headers, Name};
use crate::time::Duration;

/// The longest wait that a caller may ask for.
const LONGEST: u64 = 120;

/// After how long the caller wants the call to be answered by itself, if it does: `Call-Info: …;answer-after=0`
/// (draft-ietf-sip-answermode's forerunner, which most exchanges use), `Alert-Info: …;info=alert-autoanswer` or
/// `;answer-after=`, `Answer-Mode: Auto` (RFC 5373).
pub(super) fn wanted(headers: &Headers) -> Option<Duration> {
    let parameters = [Name::CallInfo, Name::AlertInfo];
    let values = parameters.iter().flat_map(|name| headers.all(name));
    for value in values {
        for part in value.split(';').map(str::trim) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("answer-after") {
                return Some(Duration::from_secs(value.parse().unwrap_or(0).min(LONGEST)));
            }
            let words = ["alert-autoanswer", "auto answer", "ring answer", "intercom"];
            if name.eq_ignore_ascii_case("info") && words.iter().any(|word| value.eq_ignore_ascii_case(word)) {
                return Some(Duration::ZERO);
            }
        }
    }
    let mode = headers.get(&Name::of("Answer-Mode")).or_else(|| headers.get(&Name::of("Priv-Answer-Mode")))?;
    let mode = mode.split(';').next().unwrap_or_default();
    mode.trim().eq_ignore_ascii_case("auto").then_some(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_ask() {
        for (name, value, seconds) in [
            ("Call-Info", "<sip:192.0.2.1>;answer-after=0", Some(0)),
            ("Call-Info", "<http://x/y.png>;purpose=icon", None),
            ("Call-Info", "<sip:x>; Answer-After=5", Some(5)),
            ("Call-Info", "<sip:x>;answer-after=99999", Some(120)),
            ("Alert-Info", "<http://www.notused.com>;info=alert-autoanswer;delay=0", Some(0)),
            ("Alert-Info", "info=\"intercom\"", Some(0)),
            ("Alert-Info", "<http://x/ring.wav>;info=external", None),
            ("Answer-Mode", "Auto;require", Some(0)),
            ("Answer-Mode", "Manual", None),
            ("Priv-Answer-Mode", "auto", Some(0)),
        ] {
            let mut headers = Headers::new();
            headers.push(name, value);
            assert_eq!(wanted(&headers).map(|wait| wait.as_secs()), seconds, "{name}: {value}");
        }
    }
}
