//! The other side of digest authentication: challenging and verifying, for a registrar and for callers.
//!
//! A nonce carries its own end and proves that it is ours, so that challenges cost no memory: only one that served is
//! remembered, with its count, and only who knows a password makes one serve.

use super::{Algorithm, Authorization, Challenge, Digest, Password, Qop};
use crate::random::Random;
use crate::sip::header::Name;
use crate::sip::message::Request;
use crate::sip::uri::Uri;
use crate::time::{Duration, Instant};
use sha2::{Digest as Hash, Sha256};
use std::collections::{BTreeSet, HashMap};

/// Nonces in use that are remembered at once; the oldest gives way, and its user is told that it is stale.
const MOST_NONCES: usize = 4096;

/// Challenges requests and verifies their credentials.
#[derive(Debug)]
pub struct Guard {
    realm: String,
    algorithms: Vec<Algorithm>,
    qops: Vec<Qop>,
    lifetime: Duration,
    /// Signs nonces; made with the first one.
    key: Option<[u8; 32]>,
    /// The nonces that served, and the highest count that was accepted of each.
    served: HashMap<Nonce, u32>,
    /// The same by their end.
    ends: BTreeSet<(Instant, Nonce)>,
    /// Nonces that end before this one has are not believed any more: their counts may have been forgotten.
    oldest: Instant,
}

/// 64 random bits that tell one nonce from all others.
type Nonce = u64;

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
            key: None,
            served: HashMap::new(),
            ends: BTreeSet::new(),
            oldest: Instant::ZERO,
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

    /// One challenge for each algorithm, all with one new nonce, which nobody can guess and nobody else can make.
    pub fn challenge(&mut self, now: Instant, stale: bool, random: &mut Random) -> Vec<Challenge> {
        self.forget(now);
        let key = self.key.get_or_insert_with(|| {
            let mut key = [0; 32];
            random.fill(&mut key);
            key
        });
        let nonce = signed(key, now + self.lifetime, random.u64());
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
        let Some((end, nonce)) = self.ours(&sent.nonce).filter(|(end, _)| *end > now && *end > self.oldest) else {
            return Verdict::Stale;
        };
        // A count that does not grow is a replay. Without qop there is none, and a nonce serves once.
        let count = sent.qop.map_or(1, |(_, count)| count);
        if count <= self.served.get(&nonce).copied().unwrap_or(0) {
            return Verdict::Stale;
        }
        if self.served.insert(nonce, count).is_none() {
            self.ends.insert((end, nonce));
        }
        if self.served.len() > MOST_NONCES
            && let Some((end, nonce)) = self.ends.pop_first()
        {
            self.served.remove(&nonce);
            self.oldest = end;
        }
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

    /// The end and the number of a nonce of ours.
    fn ours(&self, text: &str) -> Option<(Instant, Nonce)> {
        let key = self.key.as_ref()?;
        let (end, rest) = text.split_at_checked(16)?;
        let end = Instant::from_millis(u64::from_str_radix(end, 16).ok()?);
        let nonce = u64::from_str_radix(rest.get(..16)?, 16).ok()?;
        equal(signed(key, end, nonce).as_bytes(), text.as_bytes()).then_some((end, nonce))
    }

    /// Drops what has ended.
    pub fn forget(&mut self, now: Instant) {
        while let Some((_, nonce)) = self.ends.first().filter(|(end, _)| *end <= now).copied() {
            self.ends.pop_first();
            self.served.remove(&nonce);
        }
    }

    /// When [`Guard::forget`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Nonces that are remembered.
    pub fn remembered(&self) -> usize {
        self.served.len()
    }
}

/// The text of a nonce: when it ends, its number, and what only the holder of `key` can say about both. The hashed text
/// has one length, so that nobody can extend it.
fn signed(key: &[u8; 32], end: Instant, nonce: Nonce) -> String {
    let end = u64::try_from(end.since_start().as_millis()).unwrap_or(u64::MAX);
    let proof = Sha256::new().chain_update(key).chain_update(end.to_be_bytes()).chain_update(nonce.to_be_bytes());
    let proof = proof.finalize();
    let mut text = format!("{end:016x}{nonce:016x}");
    for octet in proof.iter().take(16) {
        text.push_str(&format!("{octet:02x}"));
    }
    text
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
        assert_eq!(guard.remembered(), 1);
        guard.forget(guard.poll_timeout().unwrap());
        assert_eq!((guard.remembered(), guard.poll_timeout()), (0, None));
    }

    #[test]
    fn challenges_cost_no_memory_and_foreign_nonces_are_not_believed() {
        let mut random = Random::from_seed(3);
        let mut guard = Guard::new("r", &[Algorithm::Sha256]);
        let mut other = Guard::new("r", &[Algorithm::Sha256]);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            let challenge = guard.challenge(START, false, &mut random).remove(0);
            assert!(seen.insert(challenge.nonce));
        }
        assert_eq!(guard.remembered(), 0);
        let answered = |by: &mut Guard, random: &mut Random| {
            let mut client = Client::new(Credentials::new("ann", "s3cret \"ü"));
            let mut request = register();
            let response = challenged(by, START, false, random);
            client.answer(&mut request, &response, &mut Attempts::default(), random).unwrap();
            request
        };
        let request = answered(&mut other, &mut random);
        assert_eq!(guard.verify(START, &request, &Name::Authorization, password_of), Verdict::Stale);
        // An older nonce than one whose count had to be forgotten cannot be replayed.
        let first = answered(&mut guard, &mut random);
        assert!(matches!(guard.verify(START, &first, &Name::Authorization, password_of), Verdict::Accepted { .. }));
        for _ in 0..MOST_NONCES + 10 {
            let request = answered(&mut guard, &mut random);
            guard.verify(START, &request, &Name::Authorization, password_of);
            assert!(guard.remembered() <= MOST_NONCES);
        }
        assert_eq!(guard.verify(START, &first, &Name::Authorization, password_of), Verdict::Stale);
    }
}
