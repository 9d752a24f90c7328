//! Callers who prove who they are (RFC 3261 section 22.1: a user agent server challenges with 401).

use super::stateless_tag;
use crate::random::Random;
use crate::sip::auth::server::{Guard, Verdict};
use crate::sip::auth::{Algorithm, Credentials};
use crate::sip::header::Name;
use crate::sip::message::{Request, Response, Status};
use crate::time::Instant;

/// Tokens of the rate that a wrong password costs beside the request itself: at 200 requests a second, four guesses.
pub(super) const COST_OF_A_GUESS: u32 = 49;

/// Who may call from anywhere, and the realm that they are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callers {
    /// The protection realm of the challenge.
    pub realm: String,
    /// User names and passwords.
    pub users: Vec<Credentials>,
}

/// What the credentials of a request come to.
#[derive(Debug)]
pub(super) enum Proof {
    Right(String),
    /// There are none yet, or they are out of date: the challenge to send.
    Missing(Box<Response>),
    Wrong(Box<Response>),
}

#[derive(Debug)]
pub(super) struct Challenger {
    callers: Callers,
    guard: Guard,
    /// Makes the tags of the challenges.
    secret: Option<[u8; 16]>,
}

impl Challenger {
    pub(super) fn new(callers: Callers) -> Self {
        // Callers take the first that they know (RFC 8760 section 2.4).
        let guard = Guard::new(callers.realm.clone(), &[Algorithm::Sha256, Algorithm::Md5]);
        Self { callers, guard, secret: None }
    }

    /// Judges the credentials of a request. Nothing is remembered of those that are missing or wrong.
    pub(super) fn judge(&mut self, now: Instant, request: &Request, random: &mut Random) -> Proof {
        let users = &self.callers.users;
        let password = |name: &str| users.iter().find(|user| user.username == name).map(|user| user.password.clone());
        let tried = request.headers.contains(&Name::Authorization);
        match self.guard.verify(now, request, &Name::Authorization, password) {
            Verdict::Accepted { username } => Proof::Right(username),
            Verdict::Stale => Proof::Missing(self.challenge(now, request, true, random)),
            Verdict::Refused if tried => Proof::Wrong(self.challenge(now, request, false, random)),
            Verdict::Refused => Proof::Missing(self.challenge(now, request, false, random)),
        }
    }

    fn challenge(&mut self, now: Instant, request: &Request, stale: bool, random: &mut Random) -> Box<Response> {
        let secret = self.secret.get_or_insert_with(|| {
            let mut secret = [0; 16];
            random.fill(&mut secret);
            secret
        });
        let mut response = request.response(Status::UNAUTHORIZED).with_to_tag(&stateless_tag(secret, request));
        for challenge in self.guard.challenge(now, stale, random) {
            response.headers.push(Name::WwwAuthenticate, challenge.to_string());
        }
        Box::new(response)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.guard.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.guard.forget(now);
    }

    /// Nonces that are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.guard.remembered()
    }
}
