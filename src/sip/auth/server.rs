//! The other side of digest authentication: challenging and verifying, for a registrar.

use super::{Algorithm, Authorization, Challenge, Digest, Password, Qop};
use crate::random::Random;
use crate::sip::header::Name;
use crate::sip::message::Request;
use crate::sip::uri::Uri;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// Nonces that are known at once; the oldest gives way, and its user is told that it is stale.
const MOST_NONCES: usize = 4096;

/// Challenges requests and verifies their credentials.
#[derive(Debug)]
pub struct Guard {
    realm: String,
    algorithms: Vec<Algorithm>,
    qops: Vec<Qop>,
    lifetime: Duration,
    nonces: VecDeque<Nonce>,
}

#[derive(Debug)]
struct Nonce {
    value: String,
    expires: Instant,
    /// The highest nonce count that was accepted.
    count: u32,
}

/// What came of the credentials of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are right.
    Accepted {
        /// The user.
        username: String,
    },
    /// They are right, but the nonce is too old or was replayed: challenge with `stale`.
    Stale,
    /// There are none for this realm, or they are wrong: challenge again, or refuse.
    Refused,
}

impl Guard {
    /// A guard of `realm` that offers `algorithms` in this order with qop `auth`; nonces live for five minutes.
    pub fn new(realm: impl Into<String>, algorithms: &[Algorithm]) -> Self {
        Self {
            realm: realm.into(),
            algorithms: algorithms.to_vec(),
            qops: vec![Qop::Auth],
            lifetime: Duration::from_secs(300),
            nonces: VecDeque::new(),
        }
    }

    /// The same with other qualities of protection; none means the form of RFC 2069.
    pub fn with_qops(mut self, qops: &[Qop]) -> Self {
        self.qops = qops.to_vec();
        self
    }

    /// The same with another life of nonces.
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// One challenge for each algorithm, all with one new nonce of 130 random bits.
    pub fn challenge(&mut self, now: Instant, stale: bool, random: &mut Random) -> Vec<Challenge> {
        self.forget(now);
        if self.nonces.len() >= MOST_NONCES {
            self.nonces.pop_front();
        }
        let nonce = random.token(26);
        self.nonces.push_back(Nonce { value: nonce.clone(), expires: now + self.lifetime, count: 0 });
        self.algorithms
            .iter()
            .map(|algorithm| Challenge {
                realm: self.realm.clone(),
                nonce: nonce.clone(),
                opaque: None,
                stale,
                algorithm: Some(*algorithm),
                auth: self.qops.contains(&Qop::Auth),
                auth_int: self.qops.contains(&Qop::AuthInt),
                domain: None,
            })
            .collect()
    }

    /// Verifies the credentials of `request` in the field `name` (Authorization or Proxy-Authorization).
    pub fn verify(
        &mut self,
        now: Instant,
        request: &Request,
        name: &Name,
        password_of: impl Fn(&str) -> Option<Password>,
    ) -> Verdict {
        self.forget(now);
        let ours = request
            .headers
            .all(name)
            .filter_map(|value| value.parse::<Authorization>().ok())
            .find(|authorization| authorization.realm == self.realm);
        let Some(sent) = ours else { return Verdict::Refused };
        let Some(password) = password_of(&sent.username) else { return Verdict::Refused };
        if !self.is_right(request, &sent, &password) {
            return Verdict::Refused;
        }
        let Some(nonce) = self.nonces.iter_mut().find(|nonce| nonce.value == sent.nonce) else {
            return Verdict::Stale;
        };
        // A count that does not grow is a replay. Without qop there is none, and a nonce serves once.
        let count = sent.qop.map_or(1, |(_, count)| count);
        if count <= nonce.count {
            return Verdict::Stale;
        }
        nonce.count = count;
        Verdict::Accepted { username: sent.username }
    }

    fn is_right(&self, request: &Request, sent: &Authorization, password: &Password) -> bool {
        let algorithm = sent.algorithm.unwrap_or(Algorithm::Md5);
        let qop = sent.qop.map(|(qop, _)| qop);
        let offered = match qop {
            Some(qop) => self.qops.contains(&qop),
            None => self.qops.is_empty(),
        };
        let same_uri = sent.uri.parse::<Uri>().is_ok_and(|uri| uri.equivalent(&request.uri));
        if !self.algorithms.contains(&algorithm) || !offered || !same_uri {
            return false;
        }
        let right = Digest {
            algorithm,
            qop,
            username: &sent.username,
            realm: &self.realm,
            password,
            nonce: &sent.nonce,
            count: sent.qop.map_or(0, |(_, count)| count),
            cnonce: sent.cnonce.as_deref().unwrap_or_default(),
            method: request.method.as_str(),
            uri: &sent.uri,
            body: &request.body,
        }
        .response();
        equal(right.as_bytes(), sent.response.to_ascii_lowercase().as_bytes())
    }

    fn forget(&mut self, now: Instant) {
        while self.nonces.front().is_some_and(|nonce| nonce.expires <= now) {
            self.nonces.pop_front();
        }
    }
}

/// Compares without telling by the time it takes where the difference is.
fn equal(one: &[u8], two: &[u8]) -> bool {
    one.len() == two.len() && one.iter().zip(two).fold(0, |differences, (one, two)| differences | (one ^ two)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::auth::{Attempts, Client, Credentials};
    use crate::sip::message::{Method, Response, Status};

    const START: Instant = Instant::ZERO;

    fn password_of(user: &str) -> Option<Password> {
        (user == "ann").then(|| Password::new("s3cret \"ü"))
    }

    fn challenged(guard: &mut Guard, now: Instant, stale: bool, random: &mut Random) -> Response {
        let mut response = Response::new(Status::UNAUTHORIZED);
        for challenge in guard.challenge(now, stale, random) {
            response.headers.push(Name::WwwAuthenticate, challenge.to_string());
        }
        response
    }

    fn register() -> Request {
        Request::new(Method::Register, "sip:h.example".parse::<Uri>().unwrap()).with_body("text/plain", "body")
    }

    #[test]
    fn client_and_guard_agree_in_every_algorithm_and_quality() {
        let mut random = Random::from_seed(3);
        for algorithm in Algorithm::ALL {
            for qops in [&[][..], &[Qop::Auth], &[Qop::AuthInt], &[Qop::AuthInt, Qop::Auth]] {
                let mut guard = Guard::new("h.example", &[algorithm]).with_qops(qops);
                let mut client = Client::new(Credentials::new("ann", "s3cret \"ü"));
                let mut request = register();
                assert_eq!(guard.verify(START, &request, &Name::Authorization, password_of), Verdict::Refused);
                let response = challenged(&mut guard, START, false, &mut random);
                client.answer(&mut request, &response, &mut Attempts::default(), &mut random).unwrap();
                assert_eq!(
                    guard.verify(START, &request, &Name::Authorization, password_of),
                    Verdict::Accepted { username: "ann".into() },
                    "{algorithm} {qops:?}"
                );
                assert_eq!(
                    guard.verify(START, &request, &Name::Authorization, password_of),
                    Verdict::Stale,
                    "a replay"
                );
                if !qops.is_empty() {
                    let mut next = register();
                    client.authorize(&mut next);
                    let verdict = guard.verify(START, &next, &Name::Authorization, password_of);
                    assert!(matches!(verdict, Verdict::Accepted { .. }), "{algorithm} {qops:?}: {verdict:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_changed_is_refused() {
        let mut random = Random::from_seed(3);
        let mut guard = Guard::new("h.example", &[Algorithm::Sha256]).with_qops(&[Qop::AuthInt]);
        let mut client = Client::new(Credentials::new("ann", "s3cret \"ü"));
        let mut request = register();
        let response = challenged(&mut guard, START, false, &mut random);
        client.answer(&mut request, &response, &mut Attempts::default(), &mut random).unwrap();
        let good = request.headers.get(&Name::Authorization).unwrap().to_owned();
        let mut verdict = |change: &dyn Fn(&mut Request)| {
            let mut changed = request.clone();
            change(&mut changed);
            guard.verify(START, &changed, &Name::Authorization, password_of)
        };
        assert_eq!(verdict(&|request| request.method = Method::Invite), Verdict::Refused);
        assert_eq!(verdict(&|request| request.body = "other".into()), Verdict::Refused);
        assert_eq!(verdict(&|request| request.uri = "sip:other".parse().unwrap()), Verdict::Refused);
        for (from, to) in [("\"ann\"", "\"eve\""), ("SHA-256", "MD5"), ("h.example\", nonce", "x\", nonce")] {
            let value = good.replace(from, to);
            assert_ne!(value, good);
            assert_eq!(verdict(&|request| request.headers.set(Name::Authorization, value.as_str())), Verdict::Refused);
        }
        assert!(matches!(verdict(&|_| {}), Verdict::Accepted { .. }));
    }

    #[test]
    fn an_old_nonce_is_stale_and_the_client_renews_it() {
        let mut random = Random::from_seed(3);
        let mut guard = Guard::new("r", &[Algorithm::Md5]).with_lifetime(Duration::from_secs(10));
        let mut client = Client::new(Credentials::new("ann", "s3cret \"ü"));
        let (mut request, mut attempts) = (register(), Attempts::default());
        let response = challenged(&mut guard, START, false, &mut random);
        client.answer(&mut request, &response, &mut attempts, &mut random).unwrap();
        let later = Instant::from_millis(10_000);
        assert_eq!(guard.verify(later, &request, &Name::Authorization, password_of), Verdict::Stale);
        let response = challenged(&mut guard, later, true, &mut random);
        client.answer(&mut request, &response, &mut attempts, &mut random).unwrap();
        let verdict = guard.verify(later, &request, &Name::Authorization, password_of);
        assert!(matches!(verdict, Verdict::Accepted { .. }));
        guard.forget(Instant::from_millis(3_600_000));
        assert!(guard.nonces.is_empty());
    }
}
