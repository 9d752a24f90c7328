//! `sidetone bench playout`: the same packets sound the same, whatever the machine does.

use crate::process::Home;
use serde_json::Value;

const SPEECH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/caller.wav");

#[test]
fn the_same_seed_sounds_the_same_and_loss_is_told() {
    let home = Home::new();
    let heard = |name: &str, seed: &str| {
        let out = home.path(name);
        let recipe = "delay=40 loss=5% jitter=normal:20";
        let arguments = ["bench", "playout", SPEECH, "--out", out.to_str().unwrap(), "--impair", recipe];
        let outcome = home.run(&[&arguments[..], &["--codec", "opus", "--seed", seed, "--json"]].concat());
        assert_eq!(outcome.code, 0, "{}", outcome.err);
        let told: Value = serde_json::from_str(outcome.out.lines().last().unwrap()).unwrap();
        (std::fs::read(out).unwrap(), told)
    };
    let (sound, told) = heard("a.wav", "7");
    assert_eq!(told["event"], "playout.heard");
    assert!((2..40).contains(&told["quality"]["lost"].as_u64().unwrap()), "{told}");
    assert!(told["recovered"].as_u64().unwrap() > 0, "in-band FEC is used: {told}");
    assert!(sound.len() > 6 * 48_000 * 2, "{}", sound.len());
    assert!(sound == heard("b.wav", "7").0 && sound != heard("c.wav", "8").0);
}

#[test]
fn what_cannot_be_played_is_said() {
    let home = Home::new();
    for (arguments, says) in [
        (&["nothing.wav", "--out", "x.wav"][..], "nothing.wav"),
        (&[SPEECH, "--out", "x.wav", "--impair", "losss=1"][..], "losss"),
        (&[SPEECH, "--out", "x.wav", "--codec", "mp3"][..], "mp3"),
        (&[SPEECH, "--out", "x.wav", "--drift", "5000"][..], "5000"),
        (&[SPEECH, "--out", "x.wav", "--phone", "nobody"][..], "nobody"),
        (&[SPEECH, "--out", "/nowhere/x.wav"][..], "/nowhere/x.wav"),
    ] {
        let outcome = home.run(&[&["bench", "playout"][..], arguments].concat());
        assert!(outcome.code == 8 && outcome.err.contains(says), "{arguments:?}: {} {}", outcome.code, outcome.err);
    }
}
