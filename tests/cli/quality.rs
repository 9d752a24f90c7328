//! `sidetone quality`: the E-model on the command line.

use crate::process::{Home, Outcome};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;

#[path = "../shared/mod.rs"]
mod shared;

/// Ie, Bpl, delay in ms, loss in per cent, burst ratio, R, MOS: worked out by hand from G.107 (06/2015) equations 7-1,
/// 7-27 to 7-29 and B-4 with the defaults of Table 2.
const CASES: &[(f64, f64, f64, f64, f64, f64, f64)] = &[
    (0.0, 4.3, 0.0, 0.0, 1.0, 93.206, 4.4094),
    (0.0, 4.3, 0.0, 1.0, 1.0, 75.282, 3.8339),
    (0.0, 25.1, 0.0, 1.0, 1.0, 89.566, 4.3282),
    (11.0, 19.0, 0.0, 2.0, 1.0, 74.206, 3.7875),
    (0.0, 4.3, 0.0, 2.0, 2.0, 57.357, 2.9622),
];

fn with_stdin(arguments: &[&str], text: &str) -> Outcome {
    let home = Home::new();
    let mut command = home.command(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = std::thread::spawn(move || {
        // A program that refuses its input does not read to the end.
        let _ = stdin.write_all(text.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[track_caller]
fn near(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap();
    assert!((value - expected).abs() <= 0.01, "{value} is not {expected}");
}

/// Rates all cases in one run, as text and as JSON.
fn compare(cases: &[(f64, f64, f64, f64, f64, f64, f64)]) {
    let mut input = "ie\tbpl\tdelay_ms\tloss_percent\tburst_ratio\n".to_owned();
    for (ie, bpl, delay, loss, burst, ..) in cases {
        input += &format!("{ie}\t{bpl}\t{delay}\t{loss}\t{burst}\n");
    }
    let json = with_stdin(&["quality", "--stdin", "--json"], &input);
    let text = with_stdin(&["quality", "--stdin"], &input);
    assert_eq!((json.code, text.code), (0, 0), "{}{}", json.err, text.err);
    let (objects, lines) = (json.objects(), text.out.lines().skip(1).collect::<Vec<_>>());
    assert_eq!((objects.len(), lines.len()), (cases.len(), cases.len()));
    for ((case, object), line) in cases.iter().zip(objects).zip(lines) {
        near(&object["r_factor"], case.5);
        near(&object["mos"], case.6);
        let cells: Vec<f64> = line.split('\t').map(|cell| cell.parse().unwrap()).collect();
        assert!((cells[5] - case.5).abs() <= 0.01 && (cells[6] - case.6).abs() <= 0.01, "{line}");
    }
}

#[test]
fn known_ratings() {
    compare(CASES);
}

#[test]
fn the_conformance_cases() {
    let Some(folder) = shared::vectors("emodel") else { return };
    let table = shared::table(&folder.join("cases.tsv"));
    let cases: Vec<_> = table
        .iter()
        .map(|row| {
            let cell = |name: &str| row[name].parse::<f64>().unwrap();
            (cell("Ie"), cell("Bpl"), cell("Ta_ms"), cell("loss_percent"), cell("BurstR"), cell("R"), cell("MOS"))
        })
        .collect();
    assert!(cases.len() > 200);
    compare(&cases);
}

#[test]
fn one_connection_with_every_impairment() {
    let home = Home::new();
    let flags = ["quality", "--codec", "g729", "--delay-ms", "0", "--loss-percent", "2"];
    let text = home.run(&flags);
    assert_eq!(text.code, 0, "{}", text.err);
    for name in ["R factor", "MOS", "Ro", "Is", "Idte", "Idle", "Idd", "Ie,eff", "A ", "g729"] {
        assert!(text.out.contains(name), "{name} is missing:\n{}", text.out);
    }
    let mut all = flags.to_vec();
    all.push("--json");
    let object = home.run(&all).objects().remove(0);
    assert_eq!((&object["event"], &object["codec"]), (&"quality".into(), &"g729".into()));
    let impairments = &object["impairments"];
    let part = |name: &str| impairments[name].as_f64().unwrap();
    let sum = part("ro") - part("is") - part("idte") - part("idle") - part("idd") - part("ie_eff") + part("a");
    near(&object["r_factor"], sum);
    // The same by numbers.
    let (ie, bpl) = (object["ie"].to_string(), object["bpl"].to_string());
    let numbers = ["quality", "--ie", &ie, "--bpl", &bpl, "--delay-ms", "0", "--loss-percent", "2", "--json"];
    assert_eq!(home.run(&numbers).objects()[0]["r_factor"], object["r_factor"]);
}

#[test]
fn codecs_by_name_on_stdin() {
    let input = "codec\tdelay_ms\tloss_percent\npcmu\t20\t0\r\nopus\t20\t1\n\n";
    let outcome = with_stdin(&["quality", "--stdin", "--json"], input);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    let objects = outcome.objects();
    assert_eq!(objects.len(), 2, "an empty line is no row");
    assert_eq!((&objects[0]["codec"], &objects[1]["codec"]), (&"pcmu".into(), &"opus".into()));
    assert_eq!(objects[0]["burst_ratio"], 1.0);
}

#[test]
fn what_cannot_be_rated_is_named() {
    let rows = [
        ("", "empty"),
        ("codec\tdelay_ms\n", "loss_percent"),
        ("ie\tdelay_ms\tloss_percent\n", "bpl"),
        ("codec\tdelay_ms\tloss_percent\nspeex\t0\t0\n", "speex"),
        ("codec\tdelay_ms\tloss_percent\npcmu\tsoon\t0\n", "line 2: delay_ms \"soon\""),
        ("codec\tdelay_ms\tloss_percent\npcmu\t0\t0\npcmu\t0\n", "line 3: loss_percent \"\""),
        ("codec\tdelay_ms\tloss_percent\npcmu\t0\t101\n", "101"),
        ("codec\tdelay_ms\tloss_percent\npcmu\t-1\t0\n", "-1"),
        ("codec\tdelay_ms\tloss_percent\npcmu\tNaN\t0\n", "NaN"),
    ];
    for (input, named) in rows {
        let outcome = with_stdin(&["quality", "--stdin", "--json"], input);
        assert_eq!(outcome.code, 8, "{input:?}: {outcome:?}");
        assert!(outcome.err.contains(named), "{input:?}: {}", outcome.err);
    }
    let home = Home::new();
    let outcome = home.run(&["quality", "--codec", "speex", "--delay-ms", "0", "--loss-percent", "0"]);
    assert_eq!(outcome.code, 8);
    assert!(outcome.err.contains("speex") && outcome.err.contains("opus"), "{}", outcome.err);
}
