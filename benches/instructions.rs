//! Instructions of a fixed set of work, counted by callgrind and compared with `benches/instructions.toml`: what a change
//! costs, without the noise of time.
//!
//! `make instructions`, or `cargo bench --bench instructions`; `make instructions ACCEPT=1` writes the file anew.

mod work;

use serde::Deserialize;
use sidetone::media::plan::{Codec, MasterKey, SrtpSuite};
use sidetone::media::resample::Resampler;
use sidetone::media::srtp::{Incoming, Outgoing};
use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Status};
use sidetone::sip::transaction::Output;
use sidetone::sip::wire::parse_datagram;
use sidetone::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;
use std::process::{Command, ExitCode};

/// Growth that is not accepted unasked, per cent.
const TOLERANCE: f64 = 3.0;

/// Where the accepted numbers are.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.toml");

/// How often each piece of work is done.
const ROUNDS: u64 = 200;

/// A name, and work that is done [`ROUNDS`] times inside of [`measured`].
type Case = (&'static str, fn());

const CASES: [Case; 12] = [
    ("parse an INVITE of 1.2 kB", parse),
    ("build an INVITE of 1.2 kB", build),
    ("answer an INVITE with 180", respond),
    ("client transaction: send, response, end", client),
    ("server transaction: request, respond, end", server),
    ("jitter buffer: one packet time, 10 % loss", jitter),
    ("media tick of a call, PCMU", tick),
    ("media tick of a call, PCMU with SRTP", secure_tick),
    ("SRTP: protect a packet, AES-CM", protect),
    ("SRTP: open a packet, AES-CM", unprotect),
    ("resample 20 ms, 48 kHz to 8 kHz", resample),
    ("receive and parse RTP", rtp),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |flag: &str| arguments.iter().position(|argument| argument == flag).map(|at| arguments.get(at + 1));
    if let Some(name) = after("--case") {
        let case = CASES.iter().find(|(known, _)| name.is_some_and(|name| name == known));
        let (_, work) = case.expect("a case of this program");
        work();
        return ExitCode::SUCCESS;
    }
    let Some(valgrind) = version("valgrind") else {
        println!("skipped: instructions are counted by valgrind, which is not installed (`apt-get install valgrind`)");
        return ExitCode::SUCCESS;
    };
    let here = Place { rustc: version("rustc").unwrap_or_default(), valgrind, processor: processor() };
    let counted: BTreeMap<String, u64> = CASES.iter().map(|(name, _)| ((*name).to_owned(), count(name))).collect();
    if after("--accept").is_some() {
        std::fs::write(FILE, write(&here, &counted)).expect("benches/instructions.toml can be written");
        println!("{FILE} holds these {} numbers now", counted.len());
        return ExitCode::SUCCESS;
    }
    compare(&here, &counted)
}

/// What the numbers depend on beside the code.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Place {
    rustc: String,
    valgrind: String,
    processor: String,
}

#[derive(Debug, Deserialize)]
struct Accepted {
    place: Place,
    instructions: BTreeMap<String, u64>,
}

/// The first line that `program --version` prints.
fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

/// The extensions by which libraries choose between their loops.
fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    let extensions = [("avx2", std::is_x86_feature_detected!("avx2")), ("aes", std::is_x86_feature_detected!("aes"))];
    #[cfg(not(target_arch = "x86_64"))]
    let extensions: [(&str, bool); 0] = [];
    let names = extensions.iter().filter(|(_, there)| *there).map(|(name, _)| *name);
    std::iter::once(std::env::consts::ARCH).chain(names).collect::<Vec<_>>().join(" ")
}

/// Instructions of one round of a case.
fn count(name: &str) -> u64 {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*measured*"])
        .arg(program)
        .args(["--case", name])
        .output()
        .expect("valgrind runs");
    let told = String::from_utf8_lossy(&output.stderr);
    let collected = told.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse::<u64>().ok());
    match collected {
        Some(collected) if output.status.success() && collected > 0 => collected / ROUNDS,
        _ => panic!("valgrind counted nothing for \"{name}\":\n{told}"),
    }
}

fn write(place: &Place, counted: &BTreeMap<String, u64>) -> String {
    let mut text = String::from(
        "# Instructions of one round of each piece of work, counted by `cargo bench --bench instructions`.\n\
         # `make instructions ACCEPT=1` writes this file; growth of more than 3 % fails.\n\n[place]\n",
    );
    for (name, value) in [("rustc", &place.rustc), ("valgrind", &place.valgrind), ("processor", &place.processor)] {
        let _ = writeln!(text, "{name} = {value:?}");
    }
    text.push_str("\n[instructions]\n");
    for (name, count) in counted {
        let _ = writeln!(text, "{name:?} = {count}");
    }
    text
}

fn compare(here: &Place, counted: &BTreeMap<String, u64>) -> ExitCode {
    let Ok(text) = std::fs::read_to_string(FILE) else {
        for (name, count) in counted {
            println!("{count:>10} instructions  {name}");
        }
        println!("not compared: {FILE} is not there; make instructions ACCEPT=1 writes it");
        return ExitCode::SUCCESS;
    };
    let accepted: Accepted = toml::from_str(&text).expect("benches/instructions.toml is as `--accept` writes it");
    let comparable = accepted.place == *here;
    let mut grown = Vec::new();
    for (name, count) in counted {
        let known = accepted.instructions.get(name).copied();
        let growth = known.map(|known| (*count as f64 / known.max(1) as f64 - 1.0) * 100.0).filter(|_| comparable);
        let told = growth.map_or_else(|| "not compared".to_owned(), |growth| format!("{growth:+.1} %"));
        println!("{count:>10} instructions  {told:>12}  {name}");
        match growth {
            Some(growth) if growth > TOLERANCE => grown.push(format!("\"{name}\" costs {growth:.1} % more")),
            None if comparable => grown.push(format!("\"{name}\" has no accepted number")),
            _ => {}
        }
    }
    if !comparable {
        println!("not compared: the accepted numbers are of {:?}, this is {here:?}", accepted.place);
        return ExitCode::SUCCESS;
    }
    if grown.is_empty() {
        println!("no piece of work costs more than {TOLERANCE} % more than accepted");
        return ExitCode::SUCCESS;
    }
    println!(
        "{} than benches/instructions.toml accepts, at most {TOLERANCE} %.\nMake it cheaper, or accept the new numbers: \
         make instructions ACCEPT=1",
        grown.join("; ")
    );
    ExitCode::FAILURE
}

/// Callgrind counts what happens in here.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

/// Does `work` in every round.
fn rounds<T>(mut work: impl FnMut() -> T) {
    measured(&mut || {
        for _ in 0..ROUNDS {
            black_box(work());
        }
    });
}

fn parse() {
    let octets = work::invite();
    rounds(|| parse_datagram(black_box(&octets)));
}

fn build() {
    let message = parse_datagram(&work::invite()).expect("a message");
    rounds(|| black_box(&message).to_bytes());
}

fn respond() {
    let Ok(Message::Request(request)) = parse_datagram(&work::invite()) else { panic!("a request") };
    rounds(|| black_box(&request).response(Status::RINGING).with_to_tag("1234567890").to_bytes());
}

/// Until the last repetition would have been absorbed.
fn wind_up(table: &mut sidetone::sip::transaction::Transactions) {
    while let Some(now) = table.poll_timeout() {
        table.handle_timeout(now);
        while table.poll_output().is_some() {}
    }
}

fn client() {
    let mut table = work::transactions();
    let requests: Vec<_> = (0..ROUNDS).map(|call| work::request("OPTIONS", call)).collect();
    let mut ids = Vec::new();
    let mut requests = requests.into_iter();
    rounds(|| {
        ids.push(table.send(Instant::ZERO, requests.next().unwrap(), work::hop()).unwrap());
        table.poll_output()
    });
    let responses: Vec<_> = ids.iter().map(|id| table.request(*id).unwrap().response(Status::OK)).collect();
    let mut responses = responses.into_iter();
    rounds(|| {
        table.receive(Instant::ZERO, work::hop(), Message::Response(responses.next().unwrap()));
        table.poll_output()
    });
    measured(&mut || wind_up(&mut table));
}

fn server() {
    let mut table = work::transactions();
    let received = |call| {
        let mut request = work::request("OPTIONS", call);
        request.headers.prepend(Name::Via, format!("SIP/2.0/UDP 192.0.2.9:5060;rport;branch=z9hG4bK{call}"));
        Message::Request(request)
    };
    let requests: Vec<_> = (0..ROUNDS).map(received).collect();
    let mut requests = requests.into_iter();
    rounds(|| {
        table.receive(Instant::ZERO, work::hop(), requests.next().unwrap());
        let Some(Output::Request { id, request, .. }) = table.poll_output() else { panic!("a request") };
        table.respond(Instant::ZERO + Duration::from_millis(1), id, request.response(Status::OK));
        table.poll_output()
    });
    measured(&mut || wind_up(&mut table));
}

fn jitter() {
    let mut lossy = work::Lossy::new();
    for _ in 0..100 {
        lossy.pull();
    }
    rounds(|| lossy.pull());
}

fn tick() {
    let mut call = work::Call::new(Codec::Pcmu, false);
    rounds(|| call.tick());
}

fn secure_tick() {
    let mut call = work::Call::new(Codec::Pcmu, true);
    rounds(|| call.tick());
}

const SUITE: SrtpSuite = SrtpSuite::AesCm128HmacSha1_80;

fn protect() {
    let mut out = Outgoing::new(SUITE, &MasterKey(vec![7; 30])).unwrap();
    let packets: Vec<_> = (0..ROUNDS as u16).map(work::packet).collect();
    let mut packets = packets.iter();
    rounds(|| out.protect_rtp(packets.next().unwrap()).is_ok());
}

fn unprotect() {
    let key = MasterKey(vec![7; 30]);
    let mut out = Outgoing::new(SUITE, &key).unwrap();
    let mut into = Incoming::new(SUITE, &key).unwrap();
    let packets: Vec<_> = (0..ROUNDS as u16).map(|seq| out.protect_rtp(&work::packet(seq)).unwrap().to_vec()).collect();
    let mut packets = packets.iter();
    rounds(|| into.unprotect_rtp(packets.next().unwrap()).unwrap().len());
}

fn resample() {
    let voice = work::voice(48_000);
    let mut resampler = Resampler::new(48_000, 8_000).unwrap();
    let mut out = Vec::with_capacity(voice.len());
    resampler.process(&voice[..9_600], &mut out);
    rounds(|| {
        out.clear();
        resampler.process(black_box(&voice[..960]), &mut out);
    });
}

fn rtp() {
    use sidetone::media::packet::Packet;
    use sidetone::media::receive::{Probation, Reception};
    let packets: Vec<_> = (0..ROUNDS as u16).map(work::packet).collect();
    let mut packets = packets.iter();
    let mut reception = Reception::new(Probation::Waived);
    let mut now = Instant::ZERO;
    rounds(|| {
        now += Duration::from_millis(20);
        reception.handle(now, &Packet::parse(packets.next().unwrap()).unwrap(), Some(8_000))
    });
}
