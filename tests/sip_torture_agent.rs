//! What an agent does with the torture messages of RFC 4475: one row for each file.

mod shared;

use std::net::SocketAddr;

use sidetone::random::Random;
use sidetone::sip::agent::{Agent, AgentConfig, Event, Output};
use sidetone::sip::header::Name;
use sidetone::sip::hop::{Hop, Transport};
use sidetone::sip::message::{Message, Response, Status};
use sidetone::sip::wire::parse_datagram;
use sidetone::time::{Duration, Instant};

/// What the agent did within a second.
#[derive(Debug, Default)]
struct Outcome {
    responses: Vec<Response>,
    to: Vec<SocketAddr>,
    incoming: usize,
    other_events: usize,
}

fn feed(octets: &[u8]) -> Outcome {
    let mut agent = Agent::new(AgentConfig::new("torture"), Random::from_seed(1));
    let source = Hop {
        transport: Transport::Udp,
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: "198.51.100.9:5070".parse().unwrap(),
    };
    let mut outcome = Outcome::default();
    let mut last = None;
    let mut now = Instant::from_millis(1);
    agent.handle_datagram(now, source, octets);
    let until = now + Duration::from_secs(1);
    loop {
        while let Some(output) = agent.poll_output() {
            match output {
                // The final response to an INVITE is repeated until its ACK (timer G); it counts once.
                Output::Transmit { bytes, .. } if last.as_ref() == Some(&bytes) => {}
                Output::Transmit { hop, bytes } => {
                    outcome.responses.push(response(&bytes, octets));
                    outcome.to.push(hop.remote);
                    last = Some(bytes);
                }
                Output::Event(Event::Incoming { .. }) => outcome.incoming += 1,
                Output::Event(_) => outcome.other_events += 1,
                Output::Resolve { .. } | Output::Disconnect { .. } | Output::Binding { .. } => {
                    panic!("nothing is to be looked up, closed or kept alive")
                }
            }
        }
        match agent.poll_timeout().filter(|due| *due <= until) {
            Some(due) => now = due,
            None => break,
        }
        agent.handle_timeout(now);
    }
    outcome
}

/// What was sent. A refusal repeats what made the request unreadable (RFC 3261 section 8.2.6), so that it may be
/// unreadable itself: then its status counts.
fn response(sent: &[u8], request: &[u8]) -> Response {
    match parse_datagram(sent) {
        Ok(Message::Response(response)) => response,
        Ok(Message::Request(request)) => panic!("a request: {request:?}"),
        Err(malformed) => {
            assert!(parse_datagram(request).is_err(), "what was sent is unreadable: {malformed:?}");
            let line = String::from_utf8_lossy(sent);
            let code = line.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
            Response::new(Status(code.expect("a status line")))
        }
    }
}

/// Is `outcome` what the table says?
fn agrees(expected: &str, also: &str, outcome: &Outcome) -> bool {
    let statuses: Vec<u16> = outcome.responses.iter().map(|response| response.status.code()).collect();
    let nothing = statuses.is_empty() && outcome.incoming == 0 && outcome.other_events == 0;
    // An INVITE is taken when it rings (100 is on its way), OPTIONS when it gets 200, REGISTER by a phone never.
    let processed = (outcome.incoming == 1 && statuses == [100]) || statuses == [200];
    match expected {
        "process" => processed || (also.contains("(registrar)") && statuses == [405]),
        "response-accept" | "response-discard" => nothing,
        // Matched as RFC 2543 matches, a request without a usable branch is served as any other.
        "400" if also.contains("RFC 2543") && processed => true,
        code => statuses == [code.parse::<u16>().unwrap_or_else(|_| panic!("the table says {code}"))],
    }
}

#[test]
fn rfc4475_as_a_user_agent() {
    let Some(folder) = shared::vectors("sip-torture") else { return };
    let table = shared::table(&folder.join("rfc4475.tsv"));
    let named: Vec<_> = table.iter().map(|row| row["file"].clone()).collect();
    for file in shared::files(&folder, "dat") {
        assert!(named.contains(&file), "the table does not say what {file} is");
    }
    let mut wrong = Vec::new();
    for row in &table {
        let octets = shared::octets(&folder.join(&row["file"]));
        let outcome = feed(&octets);
        if !agrees(&row["ua_result"], &row["also_acceptable"], &outcome) {
            wrong.push(format!("{}: {} expected, {outcome:#?}", row["file"], row["ua_result"]));
        }
        for response in &outcome.responses {
            // Whoever answers repeats what it was asked (RFC 3261 section 8.2.6).
            if let Ok(Message::Request(request)) = parse_datagram(&octets) {
                assert_eq!(response.headers.call_id(), request.headers.call_id(), "{}", row["file"]);
                let vias = |name| request.headers.all(name).count() == response.headers.all(name).count();
                assert!(vias(&Name::Via), "{}", row["file"]);
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.len(), wrong.join("\n"));
    assert_eq!(table.len(), 33);
}

#[test]
fn refusals_say_what_would_do() {
    let Some(folder) = shared::vectors("sip-torture") else { return };
    let refusal = |file: &str| feed(&shared::octets(&folder.join(file))).responses.remove(0);
    let all =
        |response: &Response, name: Name| -> Vec<String> { response.headers.all(&name).map(Into::into).collect() };
    assert_eq!(all(&refusal("bext01.dat"), Name::Unsupported), ["nothingSupportsThis", "nothingSupportsThisEither"]);
    assert_eq!(all(&refusal("invut.dat"), Name::Accept), ["application/sdp"]);
    assert!(all(&refusal("intmeth.dat"), Name::Allow).contains(&"INVITE".to_owned()));
    assert!(all(&refusal("regaut01.dat"), Name::Allow).contains(&"INVITE".to_owned()));
}

/// Whatever single octet of a torture message is damaged: no panic, and at most one answer.
#[test]
fn damaged_torture_never_panics() {
    let Some(folder) = shared::vectors("sip-torture") else { return };
    let mut random = Random::from_seed(4475);
    for file in shared::files(&folder, "dat") {
        let octets = shared::octets(&folder.join(&file));
        for _ in 0..100 {
            let mut damaged = octets.clone();
            let place = random.range(0, damaged.len() as u64) as usize;
            damaged[place] = random.u32() as u8;
            assert!(feed(&damaged).responses.len() <= 1, "{file}");
        }
    }
}
