//! 10,000 registrations kept by one agent, in virtual time: memory and CPU time of each, from the first REGISTER and its
//! challenge through an hour of refreshes. `cargo bench --bench registrations`

use sidetone::random::Random;
use sidetone::sip::agent::{Account, Agent, AgentConfig, Output};
use sidetone::sip::header::Name;
use sidetone::sip::hop::{Hop, Transport};
use sidetone::sip::message::{Message, Status};
use sidetone::sip::wire::parse_datagram;
use sidetone::time::{Duration, Instant};

const COUNT: u32 = 10_000;

/// One after the other, a hundred a second: what a registrar takes from one address.
const PACE: Duration = Duration::from_millis(10);

fn hop() -> Hop {
    Hop {
        transport: Transport::Udp,
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: "192.0.2.9:5060".parse().unwrap(),
    }
}

/// Does what the agent wants, as a registrar that challenges who has no credentials and grants what is asked for;
/// REGISTERs granted.
fn serve(agent: &mut Agent, now: Instant) -> u64 {
    let mut served = 0;
    while let Some(output) = agent.poll_output() {
        match output {
            Output::Resolve { id, .. } => agent.handle_resolved(now, id, Ok(vec![hop()])),
            Output::Transmit { bytes, .. } => {
                let Ok(Message::Request(register)) = parse_datagram(&bytes) else { continue };
                if !register.headers.contains(&Name::Authorization) {
                    let mut challenge = register.response(Status::UNAUTHORIZED).with_to_tag("r");
                    let nonce = "5d41402abc4b2a76b9719d911017c592";
                    let value =
                        format!("Digest realm=\"registrar.example\", nonce=\"{nonce}\", qop=\"auth\", algorithm=MD5");
                    challenge.headers.push(Name::WwwAuthenticate, value);
                    agent.handle_datagram(now, hop(), &challenge.to_bytes());
                    continue;
                }
                let mut granted = register.response(Status::OK).with_to_tag("r");
                let contact = register.headers.get(&Name::Contact).unwrap().to_owned();
                granted.headers.push(Name::Contact, contact);
                granted.headers.push(Name::Expires, "600");
                agent.handle_datagram(now, hop(), &granted.to_bytes());
                served += 1;
            }
            Output::Event(_) | Output::Disconnect { .. } | Output::Binding { .. } => {}
        }
    }
    served
}

/// Lets time pass; REGISTERs granted.
fn live(agent: &mut Agent, now: &mut Instant, time: Duration) -> u64 {
    let end = *now + time;
    let mut granted = 0;
    while let Some(next) = agent.poll_timeout().filter(|next| *next < end) {
        agent.handle_timeout(next);
        granted += serve(agent, next);
    }
    *now = end;
    granted
}

/// User and system time of this process, from the kernel.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 = stat.split(' ').skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Resident octets of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn main() {
    let (memory, start) = (resident(), cpu());
    let mut agent = Agent::new(AgentConfig { keepalive: false, ..AgentConfig::new("bench") }, Random::from_seed(1));
    let mut now = Instant::from_millis(0);
    for number in 0..COUNT {
        let mut account = Account::new(format!("sip:user{number}@registrar.example").parse().unwrap());
        account.password = Some("secret".into());
        account.expires = Duration::from_secs(600);
        let id = agent.add_account(account);
        agent.register(now, id).unwrap();
        serve(&mut agent, now);
        live(&mut agent, &mut now, PACE);
    }
    let registered = cpu();
    let refreshes = live(&mut agent, &mut now, Duration::from_secs(3600));
    let done = cpu();
    let each = |time: Duration, count: u64| time.as_secs_f64() * 1e6 / count.max(1) as f64;
    println!("{COUNT} registrations, then {refreshes} refreshes in an hour (the registrar's side included)");
    println!("CPU of a registration   {:>8.1} us", each(registered - start, COUNT.into()));
    println!("CPU of a refresh        {:>8.1} us", each(done - registered, refreshes));
    println!("memory of a registration{:>8.1} KiB", (resident() - memory) as f64 / 1024.0 / f64::from(COUNT));
}
