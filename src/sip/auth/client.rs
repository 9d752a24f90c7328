//! Answering challenges (RFC 3261 section 22, RFC 8760).

use super::{Algorithm, Authorization, Challenge, ChallengeError, Credentials, Digest, Qop};
use crate::random::Random;
use crate::sip::header::Name;
use crate::sip::message::{Request, Response};
use std::sync::Arc;

/// Realms that are remembered at once.
const MOST_REALMS: usize = 8;
/// Challenges that one request answers: a few proxies and the target, each with a stale nonce.
const MOST_ANSWERS: u8 = 6;
/// Stale nonces that one request accepts. Kamailio says `stale=true` to a wrong password too.
const MOST_STALE: u8 = 2;

/// One user's side of digest authentication: answers challenges and remembers them, so that later requests carry
/// credentials at once.
///
/// ```text
/// request ──authorize──▶ sent ──401/407──▶ answer ──▶ sent again (new branch, next CSeq: the caller's part)
///                                            └─ Refused: give up
/// ```
///
/// The ACK to a 2xx carries the credentials of its INVITE (RFC 3261 section 22.1): copy them. A CANCEL carries none.
#[derive(Clone, Debug)]
pub struct Client {
    credentials: Arc<Credentials>,
    realms: Vec<Protection>,
}

/// A challenge that was answered.
#[derive(Clone, Debug)]
struct Protection {
    /// Authorization or Proxy-Authorization.
    name: Name,
    challenge: Challenge,
    /// One for the life of the nonce: session algorithms hash the first one only.
    cnonce: String,
    /// Requests that used the nonce.
    count: u32,
}

/// How often one request has been answered with a challenge; a new one for each request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    answers: u8,
    stale: u8,
}

/// Why a challenge is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The credentials were sent, and are wrong.
    #[error("the user name or password is wrong for the realm \"{realm}\"")]
    Wrong {
        /// The realm that refused them.
        realm: String,
    },
    /// No challenge can be answered.
    #[error(transparent)]
    Unsupported(#[from] ChallengeError),
    /// The response has no challenge.
    #[error("the response asks for credentials without a challenge")]
    NoChallenge,
    /// The realm is not among those of the credentials ([`Credentials::realms`]).
    #[error("the realm \"{0}\" is not one that the account answers; allow it with --realm if it is right")]
    Realm(String),
    /// The algorithm is weaker than the credentials allow ([`Credentials::weakest`]).
    #[error("the server asks for {0}, which is weaker than --digest allows")]
    Weak(Algorithm),
    /// One challenge after the other.
    #[error("the request was challenged too often")]
    TooOften,
    /// There are no credentials.
    #[error("the account has no password; give --auth-user and SIDETONE_PASSWORD or --password-file")]
    Missing,
}

impl Client {
    /// Nothing remembered yet.
    pub fn new(credentials: impl Into<Arc<Credentials>>) -> Self {
        Self { credentials: credentials.into(), realms: Vec::new() }
    }

    /// The credentials.
    pub fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// Puts credentials for every remembered realm into a new request, replacing those that are there.
    pub fn authorize(&mut self, request: &mut Request) {
        request.headers.remove(&Name::Authorization);
        request.headers.remove(&Name::ProxyAuthorization);
        for realm in &mut self.realms {
            let value = realm.authorization(&self.credentials, request).to_string();
            request.headers.push(realm.name.clone(), value);
        }
    }

    /// Answers the challenges of a 401 or 407 to `request`: replaces the credentials in `request`, which the caller then
    /// sends again as a new transaction with the next CSeq number.
    ///
    /// Of several challenges of one realm the strongest is taken, of equal ones the first (RFC 8760 section 2.4).
    pub fn answer(
        &mut self,
        request: &mut Request,
        response: &Response,
        attempts: &mut Attempts,
        random: &mut Random,
    ) -> Result<(), Refused> {
        attempts.answers += 1;
        if attempts.answers > MOST_ANSWERS {
            return Err(Refused::TooOften);
        }
        let challenges = strongest(response, &self.credentials)?;
        let mut stale = false;
        for (name, challenge) in &challenges {
            stale |= challenge.stale;
            if self.is_wrong(request, name, challenge, *attempts) {
                self.realms.retain(|known| known.name != *name || known.challenge.realm != challenge.realm);
                return Err(Refused::Wrong { realm: challenge.realm.clone() });
            }
        }
        attempts.stale += u8::from(stale);
        for (name, challenge) in challenges {
            self.remember(name, challenge, random);
        }
        self.authorize(request);
        Ok(())
    }

    /// Was the realm given an answer to a good nonce, and refused it?
    fn is_wrong(&self, request: &Request, name: &Name, challenge: &Challenge, attempts: Attempts) -> bool {
        let sent = request
            .headers
            .all(name)
            .filter_map(|value| value.parse::<Authorization>().ok())
            .find(|sent| sent.realm == challenge.realm);
        let Some(sent) = sent else { return false };
        if challenge.stale {
            return attempts.stale >= MOST_STALE;
        }
        // Without the word "stale" the nonce may have expired all the same: if it served before, the password is right,
        // and if another request has renewed it meanwhile, nothing is known yet.
        match self.realms.iter().find(|known| known.name == *name && known.challenge.realm == challenge.realm) {
            Some(known) if known.challenge.nonce == sent.nonce => known.count < 2 || challenge.nonce == sent.nonce,
            Some(_) => attempts.answers > 2,
            None => true,
        }
    }

    fn remember(&mut self, name: Name, challenge: Challenge, random: &mut Random) {
        let place = self.realms.iter().position(|known| known.name == name && known.challenge.realm == challenge.realm);
        // The same nonce again goes on counting: a count must not repeat.
        if let Some(known) = place.and_then(|place| self.realms.get_mut(place))
            && known.challenge.nonce == challenge.nonce
        {
            known.challenge = challenge;
            return;
        }
        if let Some(place) = place {
            self.realms.remove(place);
        } else if self.realms.len() >= MOST_REALMS {
            self.realms.remove(0);
        }
        // Hardly anybody is asked by more than one realm, and there are many clients.
        self.realms.reserve_exact(1);
        self.realms.push(Protection { name, challenge, cnonce: random.token(26), count: 0 });
    }
}

impl Protection {
    fn authorization(&mut self, credentials: &Credentials, request: &Request) -> Authorization {
        self.count = self.count.saturating_add(1);
        let challenge = &self.challenge;
        let algorithm = challenge.algorithm.unwrap_or(Algorithm::Md5);
        let qop = match (challenge.auth, challenge.auth_int) {
            // A body that a gateway on the way changes would break the other one.
            (true, _) => Some(Qop::Auth),
            (false, true) => Some(Qop::AuthInt),
            (false, false) => None,
        };
        let uri = request.uri.to_string();
        let response = Digest {
            algorithm,
            qop,
            username: &credentials.username,
            realm: &challenge.realm,
            password: &credentials.password,
            nonce: &challenge.nonce,
            count: self.count,
            cnonce: &self.cnonce,
            method: request.method.as_str(),
            uri: &uri,
            body: &request.body,
        }
        .response();
        Authorization {
            username: credentials.username.clone(),
            realm: challenge.realm.clone(),
            nonce: challenge.nonce.clone(),
            uri,
            response,
            algorithm: challenge.algorithm,
            cnonce: (qop.is_some() || algorithm.is_session()).then(|| self.cnonce.clone()),
            opaque: challenge.opaque.clone(),
            qop: qop.map(|qop| (qop, self.count)),
        }
    }
}

/// The challenge to answer of each realm, with the name of the field that answers it.
fn strongest(response: &Response, credentials: &Credentials) -> Result<Vec<(Name, Challenge)>, Refused> {
    let mut chosen: Vec<(Name, Challenge)> = Vec::new();
    let mut refusal = Refused::NoChallenge;
    for (asked, answered) in
        [(Name::WwwAuthenticate, Name::Authorization), (Name::ProxyAuthenticate, Name::ProxyAuthorization)]
    {
        for value in response.headers.all(&asked) {
            let challenge: Challenge = match value.parse() {
                Ok(challenge) => challenge,
                Err(error) => {
                    refusal = Refused::Unsupported(error);
                    continue;
                }
            };
            if credentials.realms.as_ref().is_some_and(|realms| !realms.contains(&challenge.realm)) {
                refusal = Refused::Realm(challenge.realm);
                continue;
            }
            let algorithm = challenge.algorithm.unwrap_or(Algorithm::Md5);
            if algorithm < credentials.weakest {
                refusal = Refused::Weak(algorithm);
                continue;
            }
            let strength = |challenge: &Challenge| challenge.algorithm.unwrap_or(Algorithm::Md5);
            let room = chosen.len() < MOST_REALMS;
            match chosen.iter_mut().find(|(name, known)| *name == answered && known.realm == challenge.realm) {
                Some((_, known)) if strength(&challenge) > strength(known) => *known = challenge,
                Some(_) => {}
                None if room => chosen.push((answered.clone(), challenge)),
                None => {}
            }
        }
    }
    if chosen.is_empty() { Err(refusal) } else { Ok(chosen) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::{Method, Status};

    fn register() -> Request {
        Request::new(Method::Register, "sip:h.example".parse::<crate::sip::uri::Uri>().unwrap())
    }

    fn client() -> (Client, Random) {
        (Client::new(Credentials::new("ann", "secret")), Random::from_seed(1))
    }

    fn unauthorized(challenges: &[&str]) -> Response {
        let mut response = Response::new(Status::UNAUTHORIZED);
        for challenge in challenges {
            response.headers.push(Name::WwwAuthenticate, *challenge);
        }
        response
    }

    fn sent(request: &Request) -> Authorization {
        request.headers.get(&Name::Authorization).unwrap().parse().unwrap()
    }

    #[test]
    fn the_strongest_known_challenge_is_answered() {
        let (mut client, mut random) = client();
        let mut request = register();
        let response = unauthorized(&[
            "Digest realm=\"r\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"",
            "Digest realm=\"r\", nonce=\"n2\", algorithm=SHA-256, qop=\"auth-int, auth\", opaque=\"o\"",
            "Digest realm=\"r\", nonce=\"n3\", algorithm=SHA-3, qop=\"auth\"",
            "Basic realm=\"r\"",
        ]);
        client.answer(&mut request, &response, &mut Attempts::default(), &mut random).unwrap();
        let answer = sent(&request);
        assert_eq!((answer.nonce.as_str(), answer.algorithm), ("n2", Some(Algorithm::Sha256)));
        assert_eq!((answer.qop, answer.opaque.as_deref()), (Some((Qop::Auth, 1)), Some("o")));
        assert_eq!(request.headers.all(&Name::Authorization).count(), 1);

        for count in 2..12 {
            let mut next = register();
            client.authorize(&mut next);
            assert_eq!(sent(&next).qop, Some((Qop::Auth, count)));
            assert_eq!(sent(&next).cnonce, answer.cnonce);
        }
        let mut next = register();
        client.authorize(&mut next);
        assert!(next.headers.get(&Name::Authorization).unwrap().ends_with("qop=auth, nc=0000000c"));
    }

    #[test]
    fn a_refused_answer_is_not_repeated() {
        let (mut client, mut random) = client();
        let (mut request, mut attempts) = (register(), Attempts::default());
        client
            .answer(&mut request, &unauthorized(&["Digest realm=\"r\", nonce=\"a\""]), &mut attempts, &mut random)
            .unwrap();
        let again = unauthorized(&["Digest realm=\"r\", nonce=\"b\""]);
        assert_eq!(
            client.answer(&mut request, &again, &mut attempts, &mut random),
            Err(Refused::Wrong { realm: "r".into() })
        );
        let mut next = register();
        client.authorize(&mut next);
        assert!(!next.headers.contains(&Name::Authorization), "the wrong answer is forgotten");
    }

    #[test]
    fn stale_nonces_are_renewed_but_not_for_ever() {
        let (mut client, mut random) = client();
        let (mut request, mut attempts) = (register(), Attempts::default());
        client
            .answer(&mut request, &unauthorized(&["Digest realm=\"r\", nonce=\"0\""]), &mut attempts, &mut random)
            .unwrap();
        for nonce in 1..=2 {
            let stale = unauthorized(&[&format!("Digest realm=\"r\", nonce=\"{nonce}\", stale=true")]);
            client.answer(&mut request, &stale, &mut attempts, &mut random).unwrap();
            assert_eq!(sent(&request).nonce, nonce.to_string());
        }
        let stale = unauthorized(&["Digest realm=\"r\", nonce=\"3\", stale=true"]);
        assert!(matches!(client.answer(&mut request, &stale, &mut attempts, &mut random), Err(Refused::Wrong { .. })));
    }

    #[test]
    fn a_nonce_that_served_may_expire_without_the_word() {
        let (mut client, mut random) = client();
        let mut request = register();
        let first = unauthorized(&["Digest realm=\"r\", nonce=\"a\""]);
        client.answer(&mut request, &first, &mut Attempts::default(), &mut random).unwrap();
        let (mut later, mut attempts) = (register(), Attempts::default());
        client.authorize(&mut later);
        let renewed = unauthorized(&["Digest realm=\"r\", nonce=\"b\""]);
        client.answer(&mut later, &renewed, &mut attempts, &mut random).unwrap();
        assert_eq!(sent(&later).nonce, "b");
        let wrong = unauthorized(&["Digest realm=\"r\", nonce=\"c\""]);
        assert!(client.answer(&mut later, &wrong, &mut attempts, &mut random).is_err());
    }

    #[test]
    fn proxy_and_target_are_both_answered() {
        let (mut client, mut random) = client();
        let (mut request, mut attempts) = (register(), Attempts::default());
        let mut proxy = Response::new(Status::PROXY_AUTHENTICATION_REQUIRED);
        proxy.headers.push(Name::ProxyAuthenticate, "Digest realm=\"p\", nonce=\"1\"");
        proxy.headers.push(Name::ProxyAuthenticate, "Digest realm=\"q\", nonce=\"2\"");
        client.answer(&mut request, &proxy, &mut attempts, &mut random).unwrap();
        client
            .answer(&mut request, &unauthorized(&["Digest realm=\"p\", nonce=\"3\""]), &mut attempts, &mut random)
            .unwrap();
        assert_eq!(request.headers.all(&Name::ProxyAuthorization).count(), 2);
        assert_eq!(sent(&request).nonce, "3");
        assert_eq!(sent(&request).cnonce, None, "without qop there is none");
    }

    #[test]
    fn what_cannot_be_answered_is_told() {
        let (mut client, mut random) = client();
        let mut answer = |challenges: &[&str]| {
            client.answer(&mut register(), &unauthorized(challenges), &mut Attempts::default(), &mut random)
        };
        assert_eq!(answer(&[]), Err(Refused::NoChallenge));
        assert_eq!(answer(&["Basic realm=\"r\""]), Err(ChallengeError::Scheme("Basic".into()).into()));
    }
}
