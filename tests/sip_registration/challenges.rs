//! Digest authentication, against a registrar that really verifies.

use super::*;
use sidetone::sip::auth::server::{Guard, Verdict};
use sidetone::sip::auth::{Algorithm, Password};

/// A registrar that knows alice.
struct Registrar {
    guard: Guard,
    random: Random,
    password: &'static str,
    /// Says that every nonce was stale, as Kamailio does when so configured.
    always_stale: bool,
    challenges: u32,
}

impl Registrar {
    fn new(password: &'static str) -> Self {
        let guard = Guard::new("example.com", &[Algorithm::Sha256, Algorithm::Md5]);
        Self { guard, random: Random::from_seed(9), password, always_stale: false, challenges: 0 }
    }

    fn answer(&mut self, now: Instant, request: &Request) -> Response {
        let password = self.password;
        let verdict = self
            .guard
            .verify(now, request, &Name::Authorization, |user| (user == "alice").then(|| Password::new(password)));
        if let Verdict::Accepted { .. } = verdict {
            let granted = request.headers.expires().unwrap().min(600);
            return bound(request, granted);
        }
        self.challenges += 1;
        let stale = verdict == Verdict::Stale || self.always_stale;
        let mut response = request.response(Status::UNAUTHORIZED);
        for challenge in self.guard.challenge(now, stale, &mut self.random) {
            response.headers.push(Name::WwwAuthenticate, challenge.to_string());
        }
        response
    }
}

/// Exchanges messages until the machine has nothing to send; returns how many REGISTERs that took.
fn settle(phone: &mut Phone, registrar: &mut Registrar) -> u32 {
    let mut sent = 0;
    while matches!(phone.registration.poll_output(), Some(Output::Send | Output::Changed(_))) {
        while let Some(mut request) = phone.registration.request(phone.now, phone.hop) {
            request.headers.prepend(Name::Via, format!("SIP/2.0/UDP {};branch=z9hG4bK1", phone.hop.local));
            sent += 1;
            assert!(sent < 20, "a loop");
            let response = registrar.answer(phone.now, &request);
            phone.answer(&response);
        }
    }
    sent
}

#[test]
fn a_day_of_refreshes() {
    let mut registrar = Registrar::new("secret");
    let mut phone = Phone::new(config(), 1);
    phone.registration.register(phone.now);
    assert_eq!(settle(&mut phone, &mut registrar), 2, "challenge and answer");
    let mut refreshes = 0;
    while phone.now < at(86_400.0) {
        let State::Registered { expires, .. } = phone.state().clone() else { panic!("{:?}", phone.state()) };
        phone.wait();
        assert!(phone.now < expires);
        // The nonce lives for five minutes only: each refresh renews it with one more message.
        assert!(settle(&mut phone, &mut registrar) <= 2);
        refreshes += 1;
    }
    assert!((160..200).contains(&refreshes), "{refreshes}");
    phone.registration.unregister(phone.now);
    settle(&mut phone, &mut registrar);
    assert_eq!(*phone.state(), State::Unregistered);
    assert_eq!(phone.registration.poll_timeout(), None);
}

#[test]
fn credentials_are_sent_at_once_while_the_nonce_lives() {
    let mut registrar = Registrar::new("secret");
    let mut phone = Phone::new(Config { expires: Duration::from_secs(60), ..config() }, 1);
    phone.registration.register(phone.now);
    settle(&mut phone, &mut registrar);
    for _ in 0..4 {
        phone.wait();
        assert_eq!(settle(&mut phone, &mut registrar), 1);
    }
    assert_eq!(registrar.challenges, 1);
}

#[test]
fn a_wrong_password_is_tried_once_and_then_told() {
    let mut registrar = Registrar::new("another");
    let mut phone = Phone::new(config(), 1);
    phone.registration.register(phone.now);
    assert_eq!(settle(&mut phone, &mut registrar), 2);
    assert!(matches!(phone.failure(), Failure::Unauthorized { status: Status::UNAUTHORIZED, .. }));
    assert!(phone.failure().to_string().contains("check user name and password"));
    within(phone.wait(), 900.0, 1800.0);
    // Mended meanwhile.
    registrar.password = "secret";
    settle(&mut phone, &mut registrar);
    assert!(matches!(phone.state(), State::Registered { .. }));
}

#[test]
fn a_registrar_that_always_says_stale_ends_too() {
    let mut registrar = Registrar::new("another");
    registrar.always_stale = true;
    let mut phone = Phone::new(config(), 1);
    phone.registration.register(phone.now);
    assert!(settle(&mut phone, &mut registrar) <= 5);
    assert!(matches!(phone.failure(), Failure::Unauthorized { .. }));
}

#[test]
fn without_credentials_a_challenge_is_the_end() {
    let mut registrar = Registrar::new("secret");
    let mut phone = Phone::new(Config { credentials: None, ..config() }, 1);
    phone.registration.register(phone.now);
    assert_eq!(settle(&mut phone, &mut registrar), 1);
    assert!(matches!(phone.failure(), Failure::Unauthorized { .. }));
}

#[test]
fn forbidden_after_credentials_means_the_credentials() {
    let (mut phone, request) = Phone::registering(config());
    phone.answer(&Registrar::new("secret").answer(phone.now, &request));
    let request = phone.sent();
    assert!(request.headers.contains(&Name::Authorization));
    phone.answer(&request.response(Status::FORBIDDEN));
    assert!(matches!(phone.failure(), Failure::Unauthorized { status: Status::FORBIDDEN, .. }));
}

#[test]
fn a_challenge_of_an_unknown_kind_is_told() {
    for challenge in [None, Some("Basic realm=\"r\""), Some("Digest realm=\"r\", nonce=\"n\", algorithm=SHA-3")] {
        let (mut phone, request) = Phone::registering(config());
        let mut response = request.response(Status::UNAUTHORIZED);
        if let Some(challenge) = challenge {
            response.headers.push(Name::WwwAuthenticate, challenge);
        }
        phone.answer(&response);
        assert!(matches!(phone.failure(), Failure::Challenge(_)), "{challenge:?}");
    }
}
