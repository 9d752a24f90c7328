//! The connectivity checks of ICE, as a lite agent answers them (RFC 8445 sections 7.3 and 7.3.2).
//!
//! ```text
//!  Binding request ─▶ whole? ─▶ USERNAME, PRIORITY there? ─▶ MESSAGE-INTEGRITY by our password? ─▶ role ─▶ 200
//!                       │              └─ 400                      └─ 401                        └─ 487
//!                       └─ no answer
//! ```

use super::{
    BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, ERROR_CODE, FINGERPRINT, HEADER, OPTIONAL, TransactionId,
    XOR_MAPPED_ADDRESS, append, count, fingerprint, header, is_stun, masked, number, seal,
};
use ring::hmac;
use std::net::SocketAddr;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
/// RFC 8445 section 16.1.
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const ICE_CONTROLLED: u16 = 0x8029;

/// Octets of an HMAC-SHA1 (RFC 8489 section 14.5).
const INTEGRITY: usize = 20;

/// What a check gets, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// To be sent back.
    pub response: Vec<u8>,
    /// It was answered with a success: whoever sent it knows our password.
    pub passed: bool,
    /// The far end wants media to go where it came from.
    pub nominated: bool,
    /// The priority of the candidate it came from.
    pub priority: u32,
}

/// What stands in a Binding request.
#[derive(Default)]
struct Request<'a> {
    user: Option<&'a [u8]>,
    priority: Option<u32>,
    use_candidate: bool,
    controlled: bool,
    /// Where the integrity attribute stands, and what it says.
    integrity: Option<(usize, &'a [u8])>,
    unknown: Vec<u16>,
}

/// Answers a Binding request that came from `source` to an agent of this name and password; `lite`: the far end makes no
/// checks by rights, so nobody has a role to argue about. `None`: it is no such request, or damaged.
pub fn answer(bytes: &[u8], source: SocketAddr, user: &str, password: &str, lite: bool) -> Option<Answer> {
    if !is_stun(bytes) || bytes.get(..2).and_then(number) != Some(BINDING_REQUEST) {
        return None;
    }
    let id = TransactionId(bytes.get(8..HEADER)?.try_into().ok()?);
    let request = read(bytes)?;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let refused = |code: u16, reason: &str, key: Option<&hmac::Key>| Answer {
        response: refusal(id, code, reason, &request.unknown, key),
        passed: false,
        nominated: false,
        priority: 0,
    };
    // RFC 8489 section 9.1.3.
    let (Some(name), Some((at, said)), Some(priority)) = (request.user, request.integrity, request.priority) else {
        return Some(refused(400, "Bad Request", None));
    };
    let ours = name.split(|octet| *octet == b':').next() == Some(user.as_bytes()) && name.contains(&b':');
    if !ours || !is_whole(bytes, at, said, &key) {
        return Some(refused(401, "Unauthenticated", None));
    }
    if !request.unknown.is_empty() {
        return Some(refused(420, "Unknown Attribute", Some(&key)));
    }
    // A lite agent is controlled, always, by a full one (RFC 8445 section 6.1.1).
    if request.controlled && !lite {
        return Some(refused(487, "Role Conflict", Some(&key)));
    }
    let mut response = header(BINDING_SUCCESS, id);
    append(&mut response, XOR_MAPPED_ADDRESS, &masked(source, id));
    Some(Answer { response: sign(response, Some(&key)), passed: true, nominated: request.use_candidate, priority })
}

fn read(bytes: &[u8]) -> Option<Request<'_>> {
    let mut request = Request::default();
    let mut at = HEADER;
    while at < bytes.len() {
        let attribute = bytes.get(at..at + 2).and_then(number)?;
        let length = usize::from(bytes.get(at + 2..at + 4).and_then(number)?);
        let value = bytes.get(at + 4..at + 4 + length)?;
        match attribute {
            FINGERPRINT => {
                let whole = at + 8 == bytes.len() && value == fingerprint(bytes.get(..at)?).to_be_bytes();
                return whole.then_some(request);
            }
            // What follows the integrity is not protected by it (RFC 8489 section 14.5).
            _ if request.integrity.is_some() => {}
            USERNAME => request.user = Some(value),
            PRIORITY => request.priority = Some(u32::from_be_bytes(value.try_into().ok()?)),
            USE_CANDIDATE => request.use_candidate = true,
            ICE_CONTROLLED => request.controlled = true,
            MESSAGE_INTEGRITY => request.integrity = Some((at, value)),
            unknown if unknown & OPTIONAL == 0 => request.unknown.push(unknown),
            _ => {}
        }
        at += 4 + length.next_multiple_of(4);
    }
    // ICE wants a fingerprint on every check (RFC 8445 section 7.1.1).
    None
}

/// Is the integrity right? It covers a header whose length ends with it (RFC 8489 section 14.5).
fn is_whole(bytes: &[u8], at: usize, said: &[u8], key: &hmac::Key) -> bool {
    let mut covered = bytes.get(..at).unwrap_or_default().to_vec();
    count(&mut covered, 4 + INTEGRITY);
    hmac::verify(key, &covered, said).is_ok()
}

fn refusal(id: TransactionId, code: u16, reason: &str, unknown: &[u16], key: Option<&hmac::Key>) -> Vec<u8> {
    let mut response = header(BINDING_ERROR, id);
    let mut value =
        vec![0, 0, u8::try_from(code / 100).unwrap_or_default(), u8::try_from(code % 100).unwrap_or_default()];
    value.extend(reason.bytes());
    append(&mut response, ERROR_CODE, &value);
    if code == 420 {
        let octets: Vec<u8> = unknown.iter().take(16).flat_map(|attribute| attribute.to_be_bytes()).collect();
        append(&mut response, UNKNOWN_ATTRIBUTES, &octets);
    }
    sign(response, key)
}

/// Closes a message with its integrity, if there is a key, and the checksum.
fn sign(mut message: Vec<u8>, key: Option<&hmac::Key>) -> Vec<u8> {
    if let Some(key) = key {
        count(&mut message, 4 + INTEGRITY);
        let tag = hmac::sign(key, &message);
        append(&mut message, MESSAGE_INTEGRITY, tag.as_ref());
    }
    count(&mut message, 8);
    seal(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::{Message, Reply};

    const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
    const ID: TransactionId = TransactionId([7; 12]);

    fn source() -> SocketAddr {
        ([192, 0, 2, 1], 32_853).into()
    }

    fn check(user: &str, password: &str, more: &[(u16, &[u8])]) -> Vec<u8> {
        let mut request = header(BINDING_REQUEST, ID);
        append(&mut request, USERNAME, user.as_bytes());
        append(&mut request, PRIORITY, &0x6e00_01ff_u32.to_be_bytes());
        more.iter().for_each(|(attribute, value)| append(&mut request, *attribute, value));
        sign(request, Some(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes())))
    }

    fn code(answer: &Answer) -> u16 {
        match crate::stun::read(&answer.response) {
            Some(Message::Response(ID, Reply::Refused { code, .. })) => code,
            Some(Message::Response(ID, Reply::Mapped(mapped))) if mapped == source() => 200,
            other => panic!("{other:?}"),
        }
    }

    /// RFC 5769 section 2.1: name, password and integrity of somebody else's making.
    #[test]
    fn the_request_of_rfc_5769_passes() {
        const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e740024000\
            46e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1\
            b571a280280004e57a3bcf";
        let octets: Vec<u8> =
            (0..REQUEST.len()).step_by(2).map(|at| u8::from_str_radix(&REQUEST[at..at + 2], 16).unwrap()).collect();
        let answer = super::answer(&octets, source(), "evtj", PASSWORD, true).unwrap();
        assert!(answer.passed && !answer.nominated && answer.priority == 0x6e00_01ff, "{answer:?}");
        // It says that its sender is controlled, which beside a lite agent nobody can be.
        let conflict = super::answer(&octets, source(), "evtj", PASSWORD, false).unwrap();
        let text = String::from_utf8_lossy(&conflict.response).into_owned();
        assert!(!conflict.passed && text.contains("Role Conflict"), "{text}");
    }

    #[test]
    fn every_check_gets_its_answer() {
        let good = |more: &[(u16, &[u8])]| check("ours:theirs", "pw", more);
        for (request, expected, nominated) in [
            (good(&[]), 200, false),
            (good(&[(USE_CANDIDATE, &[])]), 200, true),
            (good(&[(0x802A, &[1; 8])]), 200, false),
            (good(&[(ICE_CONTROLLED, &[1; 8]), (USE_CANDIDATE, &[])]), 487, false),
            (good(&[(0x7777, &[1; 4])]), 420, false),
            (check("ours:theirs", "guess", &[(USE_CANDIDATE, &[])]), 401, false),
            (check("other:theirs", "pw", &[]), 401, false),
            (check("ours", "pw", &[]), 401, false),
            (crate::stun::request(ID), 400, false),
        ] {
            let answer = answer(&request, source(), "ours", "pw", false).unwrap();
            assert_eq!((code(&answer), answer.nominated), (expected, nominated));
            assert_eq!(answer.passed, expected == 200);
        }
        let mut damaged = good(&[]);
        damaged[30] ^= 1;
        assert_eq!(answer(&damaged, source(), "ours", "pw", false), None);
        assert_eq!(answer(&crate::stun::success(ID, source()), source(), "ours", "pw", false), None);
    }

    /// The far end believes an answer only if it knows the password too.
    #[test]
    fn answers_are_signed() {
        let answer = answer(&check("ours:x", "pw", &[]), source(), "ours", "pw", false).unwrap().response;
        let at = answer.len() - 8 - 24;
        assert_eq!(number(&answer[at..at + 2]), Some(MESSAGE_INTEGRITY));
        let key = |password: &str| hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
        assert!(is_whole(&answer, at, &answer[at + 4..at + 24], &key("pw")));
        assert!(!is_whole(&answer, at, &answer[at + 4..at + 24], &key("pv")));
    }
}
