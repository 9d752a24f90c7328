//! Calls that are answered.

use crate::process::{Domain, Home, energies, members, seconds_between};
use serde_json::Value;

/// The members of `call` as they are documented.
const RECORD: &str = "id direction status from to number account sip_code sip_reason ended_by created_at ringing_at \
    answered_at ended_at talk_seconds codec ptime_ms transport srtp recording dtmf_received quality metadata";
const INBOUND: &str = "packets expected lost late duplicates reordered loss_percent discard_percent burst_ratio \
    jitter_ms jitter_max_ms buffer_ms r_factor mos";
const OUTBOUND: &str = "packets lost loss_percent jitter_ms round_trip_ms r_factor mos";

#[track_caller]
pub fn assert_documented(call: &Value) {
    let sorted = |text: &'static str| {
        let mut names: Vec<&str> = text.split_whitespace().collect();
        names.sort_unstable();
        names
    };
    assert_eq!(members(call), sorted(RECORD));
    assert_eq!(members(&call["quality"]), ["inbound", "outbound"]);
    assert_eq!(members(&call["quality"]["inbound"]), sorted(INBOUND));
    assert_eq!(members(&call["quality"]["outbound"]), sorted(OUTBOUND));
}

#[test]
fn a_call_tells_its_whole_story() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let directory = theirs.text("recordings");
    let bob = domain.bob(&theirs, &["--srtp", "optional", "--record", &directory, "--max-calls", "1"]);
    let path = ours.text("new/ann.wav");
    let flags = [
        "--codec",
        "pcmu",
        "--srtp",
        "required",
        "--dtmf",
        "12#",
        "--duration",
        "2.5",
        "--record",
        &path,
        "--from-number",
        "ann",
    ];
    let ann = domain.ann_calls(&ours, &flags).finish();
    let bob = bob.finish();
    assert_eq!((ann.code, bob.code), (0, 0), "{}\n{}", ann.err, bob.err);

    for event in ann.objects().iter().chain(&bob.objects()) {
        assert!(event["event"].is_string(), "{event}");
        let at = event["at"].as_str().unwrap();
        assert!(at.ends_with('Z') && at.parse::<jiff::Timestamp>().is_ok(), "{at}");
    }
    let story = |outcome: &crate::process::Outcome| -> Vec<String> {
        let mut names: Vec<String> =
            outcome.objects().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect();
        names.retain(|name| name.starts_with("call.") && name != "call.dtmf");
        names.dedup();
        names
    };
    let whole = ["call.initiated", "call.ringing", "call.answered", "call.quality", "call.ended"];
    assert_eq!(story(&ann), whole);
    assert_eq!(story(&bob), whole);
    let digits: String = bob
        .objects()
        .iter()
        .filter(|event| event["event"] == "call.dtmf")
        .map(|event| event["digit"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(digits, "12#");

    let (ann, bob) = (ann.ended().remove(0), bob.ended().remove(0));
    assert_documented(&ann);
    assert_documented(&bob);
    let both = [(&ann, "outbound", "local"), (&bob, "inbound", "remote")];
    for (call, direction, ended_by) in both {
        assert_eq!((&call["direction"], &call["ended_by"]), (&direction.into(), &ended_by.into()));
        assert_eq!((&call["status"], &call["sip_code"]), (&"completed".into(), &200.into()));
        assert_eq!(
            (&call["codec"], &call["ptime_ms"], &call["transport"]),
            (&"PCMU".into(), &20.into(), &"udp".into())
        );
        assert!(call["srtp"].as_str().unwrap().starts_with("AES_CM_128_HMAC_SHA1_"), "{call}");
        assert!(call["quality"]["inbound"]["packets"].as_u64().unwrap() > 50, "{call}");
        assert!(call["quality"]["inbound"]["mos"].as_f64().unwrap() > 1.0, "{call}");
        for (earlier, later) in
            [("created_at", "ringing_at"), ("ringing_at", "answered_at"), ("answered_at", "ended_at")]
        {
            assert!(seconds_between(&call[earlier], &call[later]) >= 0.0, "{call}");
        }
        let talk = call["talk_seconds"].as_f64().unwrap();
        assert!(talk > 2.0 && (talk - seconds_between(&call["answered_at"], &call["ended_at"])).abs() < 0.01, "{call}");
        let (left, right, seconds) = energies(call["recording"].as_str().unwrap().as_ref());
        assert!(left > 500.0 && right > 500.0 && seconds > 1.5, "{left} {right} {seconds}: {call}");
    }
    assert_eq!(ann["recording"], path.as_str());
    assert_eq!(bob["dtmf_received"], "12#");
    assert_eq!((&ann["number"], &bob["number"]), (&"ann".into(), &"bob".into()));
    assert_eq!(ann["account"], domain.aor("ann").as_str());

    // What was printed is what is in the log.
    assert_eq!(ours.history(&[]), [ann]);
    assert_eq!(theirs.history(&[]), [bob]);
}

#[test]
fn ctrl_c_hangs_up_and_the_row_is_complete() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let bob = domain.bob(&theirs, &["--max-calls", "1"]);
    let mut ann = domain.ann_calls(&ours, &[]);
    ann.expect("call.quality");
    ann.interrupt();
    let (ann, bob) = (ann.finish(), bob.finish());
    assert_eq!((ann.code, bob.code), (0, 0), "{}\n{}", ann.err, bob.err);
    assert_eq!(bob.ended()[0]["ended_by"], "remote");
    let row = &ours.history(&[])[0];
    assert_eq!((&row["status"], &row["ended_by"]), (&"completed".into(), &"local".into()));
    assert!(row["ended_at"].is_string() && row["talk_seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_file_that_is_played_once_ends_the_call() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let path = ours.path("second.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    for n in 0..8_000 {
        writer.write_sample(if n / 10 % 2 == 0 { 6_000_i16 } else { -6_000 }).unwrap();
    }
    writer.finalize().unwrap();
    let bob = domain.bob(&theirs, &["--max-calls", "1"]);
    let source = format!("file:{}", path.display());
    let ann = domain.ann_calls(&ours, &["--source", &source]).finish();
    assert_eq!(ann.code, 0, "{}", ann.err);
    let call = &ann.ended()[0];
    assert_eq!((&call["status"], &call["ended_by"]), (&"completed".into(), &"local".into()));
    assert!(call["talk_seconds"].as_f64().unwrap() >= 0.9, "{call}");
    assert_eq!(bob.finish().code, 0);
}

#[test]
fn an_opinion_score_below_the_wish_is_a_media_failure() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let bob = domain.bob(&theirs, &["--max-calls", "2"]);
    // No codec of ours reaches 4.5.
    let high = domain.ann_calls(&ours, &["--duration", "1.5", "--min-mos", "4.5"]).finish();
    assert_eq!(high.code, 7, "{}", high.err);
    assert!(high.err.contains("4.5"), "{}", high.err);
    let low = domain.ann_calls(&ours, &["--duration", "1.5", "--min-mos", "1"]).finish();
    assert_eq!(low.code, 0, "{}", low.err);
    bob.finish();
}

#[test]
fn a_person_reads_sentences() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let bob = domain.bob(&theirs, &["--max-calls", "1"]);
    let aor = domain.aor("ann");
    let ann = ours.run(&["call", "bob", "--aor", &aor, "--source", "silence", "--sink", "null", "--duration", "1"]);
    assert_eq!(ann.code, 0, "{}", ann.err);
    for text in ["registered sip:ann@", "calling sip:bob@", "ringing", "answered by", "completed after", "MOS"] {
        assert!(ann.out.contains(text), "{text} is missing:\n{}", ann.out);
    }
    assert_eq!(ann.err, "");
    bob.finish();
}
