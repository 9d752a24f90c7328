//! The registration machine against a scripted registrar, in virtual time.

mod challenges;
mod contacts;
mod schedule;

use std::net::SocketAddr;

use sidetone::random::Random;
use sidetone::sip::agent::RefreshShare;
use sidetone::sip::auth::Credentials;
use sidetone::sip::header::{Headers, Name};
use sidetone::sip::hop::{Hop, Transport};
use sidetone::sip::message::{Request, Response, Status};
use sidetone::sip::registration::{Config, Failure, Output, Registration, State};
use sidetone::time::{Duration, Instant};

/// A registration, its way, and the clock.
struct Phone {
    registration: Registration,
    now: Instant,
    hop: Hop,
}

fn at(seconds: f64) -> Instant {
    Instant::at(Duration::from_secs_f64(seconds))
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn config() -> Config {
    let mut headers = Headers::new();
    headers.push(Name::UserAgent, "test");
    Config {
        aor: "sip:alice@example.com".parse().unwrap(),
        display: Some("Alice".into()),
        registrar: "sip:example.com".parse().unwrap(),
        route: Vec::new(),
        user: "alice".into(),
        expires: Duration::from_secs(3600),
        refresh: None,
        credentials: Some(Credentials::new("alice", "secret").into()),
        instance: None,
        outbound: true,
        reg_id: 1,
        headers: headers.into(),
    }
}

impl Phone {
    fn new(config: Config, seed: u64) -> Self {
        let hop = Hop { transport: Transport::Udp, local: address("10.0.0.1:5060"), remote: address("192.0.2.9:5060") };
        Self { registration: Registration::new(config, Random::from_seed(seed)), now: Instant::ZERO, hop }
    }

    /// One that has sent its first REGISTER.
    fn registering(config: Config) -> (Self, Request) {
        let mut phone = Phone::new(config, 1);
        phone.registration.register(phone.now);
        let request = phone.sent();
        (phone, request)
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.registration.poll_output()).collect()
    }

    /// The REGISTER that the machine wants to send now.
    fn sent(&mut self) -> Request {
        let sends = self.outputs().into_iter().filter(|output| *output == Output::Send).count();
        assert_eq!(sends, 1, "one REGISTER at a time");
        let mut request = self.registration.request(self.now, self.hop).expect("a REGISTER");
        request.headers.prepend(Name::Via, format!("SIP/2.0/UDP {};branch=z9hG4bK1;rport", self.hop.local));
        request
    }

    /// Nothing is sent; the states that were told.
    fn quiet(&mut self) -> Vec<State> {
        let told = self.outputs().into_iter().map(|output| match output {
            Output::Changed(state) => state,
            Output::Send => panic!("a REGISTER in {:?}", self.registration.state()),
        });
        told.collect()
    }

    fn answer(&mut self, response: &Response) {
        self.registration.handle_response(self.now, response);
    }

    /// Goes to the next deadline and says how long that took.
    fn wait(&mut self) -> Duration {
        let next = self.registration.poll_timeout().expect("a deadline");
        let waited = next - self.now;
        // A spurious call changes nothing.
        self.registration.handle_timeout(next - Duration::from_nanos(1));
        assert_eq!(self.registration.poll_output(), None);
        self.now = next;
        self.registration.handle_timeout(next);
        waited
    }

    fn state(&self) -> &State {
        self.registration.state()
    }

    fn failure(&self) -> &Failure {
        match self.state() {
            State::Failed { failure, .. } => failure,
            other => panic!("{other:?}"),
        }
    }
}

/// A 200 with these contacts.
fn ok(request: &Request, contacts: &[&str]) -> Response {
    let mut response = request.response(Status::OK).with_to_tag("r1");
    for contact in contacts {
        response.headers.push(Name::Contact, *contact);
    }
    response
}

/// A 200 that binds what was asked for, `granted` seconds long.
fn bound(request: &Request, granted: u32) -> Response {
    let mut contact = request.headers.contacts().unwrap().remove(0);
    contact.params.set("expires", &granted.to_string());
    ok(request, &[&contact.to_string()])
}

fn header<'a>(request: &'a Request, name: &Name) -> &'a str {
    request.headers.get(name).unwrap_or_default()
}

fn within(waited: Duration, low: f64, high: f64) {
    assert!((low..=high).contains(&waited.as_secs_f64()), "{waited:?} is not in {low} to {high} s");
}
