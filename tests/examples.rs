//! The examples, run as a reader of theirs would run them.

use sidetone::loopback::Loopback;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

const PASSWORD: &str = "open sesame";

/// The example beside this test: `target/PROFILE/examples/NAME`.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let path: PathBuf = profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is not there; `cargo test` builds the examples, `cargo build --examples` too",
        path.display()
    );
    let mut command = Command::new(path);
    command.env("SIDETONE_PASSWORD", PASSWORD).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A registrar and proxy for Ann and Bob; it lives as long as the runtime.
fn domain() -> (tokio::runtime::Runtime, Loopback) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let users = [("ann", PASSWORD), ("bob", PASSWORD)];
    let loopback = runtime.block_on(async { Loopback::start(IpAddr::V4(Ipv4Addr::LOCALHOST), &users) }).unwrap();
    (runtime, loopback)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn run(name: &str, arguments: &[&str]) -> Output {
    example(name).args(arguments).output().unwrap()
}

/// An example that runs in the background; killed when dropped.
struct Background(Child, BufReader<ChildStdout>);

impl Background {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child = example(name).args(arguments).stderr(Stdio::inherit()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self(child, out)
    }

    /// Waits for the line that starts so; the rest of it.
    #[track_caller]
    fn line(&mut self, start: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert!(self.1.read_line(&mut line).unwrap() > 0, "it ended before \"{start}\":\n{seen}");
            if let Some(rest) = line.trim_end().strip_prefix(start) {
                return rest.to_owned();
            }
            seen += &line;
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn register_keeps_a_binding_for_a_while() {
    let (_runtime, domain) = domain();
    let aor = format!("sip:ann@{}", domain.address());
    let output = run("register", &[&aor, "1"]);
    assert!(output.status.success(), "{output:?}");
    let out = text(&output.stdout);
    assert!(out.contains(&format!("registered {aor} for ")) && out.contains(&format!("unregistered {aor}")), "{out}");
}

#[test]
fn errors_are_clear() {
    let (_runtime, domain) = domain();
    let address = domain.address();
    let wrong = example("register").arg(format!("sip:ann@{address}")).env("SIDETONE_PASSWORD", "no").output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("401"), "{wrong:?}");
    for name in ["register", "dial", "answer"] {
        let output = run(name, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).starts_with(&format!("{name}: usage: {name} sip:USER@HOST")), "{output:?}");
    }
    let output = run("echo", &["nowhere"]);
    assert!(!output.status.success() && text(&output.stderr).contains("\"nowhere\""), "{output:?}");
    let ann = format!("sip:ann@{address}");
    let output = run("dial", &[&ann, &format!("sip:nobody@{address}"), "1"]);
    assert!(!output.status.success() && text(&output.stderr).contains("404"), "{output:?}");
    let output = run("dial", &[&ann, &ann, "1", "/no/such.wav"]);
    assert!(!output.status.success() && text(&output.stderr).contains("/no/such.wav"), "{output:?}");
}

#[test]
fn dial_calls_answer_through_the_domain() {
    let (_runtime, domain) = domain();
    let (ann, bob) = (format!("sip:ann@{}", domain.address()), format!("sip:bob@{}", domain.address()));
    let mut answer = Background::start("answer", &[&bob, "1"]);
    answer.line("taking calls to ");
    let output = run("dial", &[&ann, &bob, "2"]);
    assert!(output.status.success(), "{output:?}");
    let out = text(&output.stdout);
    assert!(out.contains("rings") && out.contains("answered, opus") && out.contains("talked 2."), "{out}");
    assert!(!out.contains("heard 0 packets"), "{out}");
    answer.line(&format!("talking with {ann}"));
    let ended = answer.line(&format!("{ann} ended: "));
    assert!(ended.starts_with("Completed, ") && !ended.contains(" 0 packets"), "{ended}");
    answer.line("1 calls");
    assert!(answer.0.wait().unwrap().success());
}

#[test]
fn dial_hears_its_own_voice_from_echo() {
    let mut echo = Background::start("echo", &["127.0.0.1:0"]);
    let address = echo.line("echoing on ");
    let voice = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/caller.wav");
    let output = run("dial", &["sip:ann@127.0.0.1", &format!("sip:echo@{address}"), "1", voice]);
    assert!(output.status.success(), "{output:?}");
    assert!(!text(&output.stdout).contains("heard 0 packets"), "{output:?}");
    echo.line("sip:ann@127.0.0.1 called");
    echo.line("sip:ann@127.0.0.1 ended: Completed");
}

#[test]
fn agent_says_utterances_back_and_can_be_interrupted() {
    // Half a second of speech, then as long a pause that the agent takes for the end: it speaks when the caller does so again.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("utterances.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    for n in 0..8_000 * 6 {
        // From 0.5 s to 2 s one utterance, from 3 s on the next, while the agent still says the first.
        let speaks = (4_000..16_000).contains(&n) || (24_000..28_000).contains(&n);
        let sample = if speaks { 8_000.0 * (n as f64 * 0.3).sin() } else { 0.0 };
        writer.write_sample(sample as i16).unwrap();
    }
    writer.finalize().unwrap();
    let mut agent = Background::start("agent", &["127.0.0.1:0"]);
    let address = agent.line("listening on ");
    let target = format!("sip:agent@{address}");
    let output = run("dial", &["sip:ann@127.0.0.1", &target, "7", path.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let heard: u64 = agent.line("heard ").trim_end_matches(" ms").parse().unwrap();
    assert!((1_600..2_200).contains(&heard), "{heard} ms");
    agent.line("interrupted");
    let dropped: u64 = agent.line("dropped ").trim_end_matches(" ms").parse().unwrap();
    assert!(dropped > 200 && dropped < heard, "{dropped} of {heard} ms");
    agent.line("heard ");
    agent.line("said");
    agent.line("the call ended");
}
