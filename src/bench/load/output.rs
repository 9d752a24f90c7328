//! What other programs read.

use super::tally::{Second, Tally};
use super::threshold::Threshold;
use std::fmt::Write;

/// A row for each second (RFC 4180).
pub fn csv(tally: &Tally) -> String {
    let mut text = String::from("second,begun,answered,failed,calls,slowest_setup_ms\r\n");
    for (at, second) in tally.seconds.iter().enumerate() {
        let Second { begun, answered, failed, calls, slowest_setup } = second;
        // A string takes everything.
        let _ = write!(text, "{at},{begun},{answered},{failed},{calls},{slowest_setup:.3}\r\n");
    }
    text
}

/// A test case for each threshold, and one for the generator itself, as JUnit's readers know them.
pub fn junit(name: &str, tally: &Tally, thresholds: &[Threshold]) -> String {
    let mut cases = vec![("the generator was in time".to_owned(), tally.faults().join("; "))];
    for threshold in thresholds {
        let (value, holds) = threshold.judge(tally);
        let value = value.map_or("nothing was measured".to_owned(), |value| format!("it is {value:.3}"));
        cases.push((threshold.to_string(), if holds { String::new() } else { value }));
    }
    let failures = cases.iter().filter(|(_, failure)| !failure.is_empty()).count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\">\n",
        escaped(name),
        cases.len()
    );
    for (case, failure) in cases {
        let name = escaped(&case);
        // A string takes everything.
        let _ = if failure.is_empty() {
            writeln!(text, "  <testcase name=\"{name}\"/>")
        } else {
            writeln!(text, "  <testcase name=\"{name}\"><failure message=\"{}\"/></testcase>", escaped(&failure))
        };
    }
    text + "</testsuite>\n"
}

/// Text between tags and in attributes.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_programs_can_read_it() {
        let mut tally = Tally { offered: 2, answered: 2, ..Tally::default() };
        tally.setup.note(900.0);
        tally.seconds = vec![Second { begun: 2, answered: 2, failed: 0, calls: 2, slowest_setup: 900.0 }];
        assert_eq!(csv(&tally).lines().nth(1), Some("0,2,2,0,2,900.000"));
        let thresholds = ["call_setup_p95 < 800ms", "failures < 1%"].map(|text| text.parse().unwrap());
        let text = junit("a \"run\"", &tally, &thresholds);
        assert!(text.contains("tests=\"3\" failures=\"1\"") && text.contains("a &quot;run&quot;"), "{text}");
        assert!(text.contains("call_setup_p95 &lt; 800ms\"><failure message=\"it is 900"), "{text}");
    }
}
