//! SRTP keys in the SDP (RFC 4568): which line is taken, and what the policy says of it.

use super::{Local, Rejected, SrtpPolicy};
use crate::media::plan::{MasterKey, SrtpSuite};
use crate::random::Random;
use crate::sdp::{Attribute, Crypto, Media};

/// A key of ours as it is offered or answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnKey {
    pub(super) tag: u32,
    pub(super) suite: SrtpSuite,
    pub(super) key: MasterKey,
}

impl OwnKey {
    pub(super) fn new(tag: u32, suite: SrtpSuite, random: &mut Random) -> Self {
        let mut key = vec![0; suite.key_and_salt_length()];
        random.fill(&mut key);
        Self { tag, suite, key: MasterKey(key) }
    }

    /// A key for each of `suites`, in their order, tags from 1.
    pub(super) fn each_of(suites: &[SrtpSuite], random: &mut Random) -> Vec<Self> {
        suites.iter().zip(1..).map(|(suite, tag)| Self::new(tag, *suite, random)).collect()
    }

    pub(super) fn attribute(&self) -> Attribute {
        Crypto {
            tag: self.tag,
            suite: self.suite.name().into(),
            key: self.key.0.clone(),
            mki: Vec::new(),
            lifetime: None,
        }
        .attribute()
    }
}

/// A key of the far end that we can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TheirKey {
    pub(super) tag: u32,
    pub(super) suite: SrtpSuite,
    pub(super) key: MasterKey,
    pub(super) mki: Vec<u8>,
    pub(super) lifetime: Option<u64>,
}

/// The `m=` protocols that carry RTP, and whether they promise encryption. Feedback profiles (RFC 4585, RFC 5124) only
/// add what nobody has to use.
pub(super) fn is_secure(media: &Media) -> Result<bool, Rejected> {
    match media.protocol.to_ascii_uppercase().as_str() {
        "RTP/AVP" | "RTP/AVPF" => Ok(false),
        "RTP/SAVP" | "RTP/SAVPF" | "UDP/TLS/RTP/SAVP" | "UDP/TLS/RTP/SAVPF" => Ok(true),
        _ => Err(Rejected::Transport { line: media.line, protocol: word(&media.protocol) }),
    }
}

/// What an offered stream is protected with, as the policy wants it.
pub(super) fn of_offer(local: &Local, media: &Media) -> Result<Option<TheirKey>, Rejected> {
    let (line, secure) = (media.line, is_secure(media)?);
    let usable = || first_usable(allowed(local), media);
    match (local.srtp, secure) {
        (SrtpPolicy::Off, true) => Err(Rejected::SrtpOff { line }),
        (SrtpPolicy::Off, false) => Ok(None),
        (_, true) => usable().map(Some),
        (SrtpPolicy::Optional, false) => Ok(usable().ok()),
        (SrtpPolicy::Required, false) if media.has("crypto") => usable().map(Some),
        (SrtpPolicy::Required | SrtpPolicy::Dtls, false) => Err(Rejected::SrtpRequired { line }),
    }
}

/// What an answered stream is protected with; `ours` are the keys of our offer, `promised` says whether that was
/// `RTP/SAVP`. An answer that says anything of encryption has to say it right, so that nothing is downgraded.
pub(super) fn of_answer(
    ours: &[OwnKey],
    promised: bool,
    media: &Media,
) -> Result<Option<(OwnKey, TheirKey)>, Rejected> {
    let (line, secure) = (media.line, is_secure(media)?);
    if ours.is_empty() {
        return if secure { Err(Rejected::SrtpOff { line }) } else { Ok(None) };
    }
    if !media.has("crypto") && !promised && !secure {
        return Ok(None);
    }
    if !media.has("crypto") && !secure {
        return Err(Rejected::SrtpRequired { line });
    }
    let theirs = first_usable(&SrtpSuite::ALL, media)?;
    let Some(own) = ours.iter().find(|own| own.tag == theirs.tag && own.suite == theirs.suite) else {
        let why = format!("tag {} with {} was not offered", theirs.tag, theirs.suite.name());
        return Err(Rejected::Keys { line, why });
    };
    // The same key both ways is the same key stream twice (RFC 3711 section 9.1).
    if ours.iter().any(|own| own.key == theirs.key) {
        return Err(Rejected::Keys { line, why: "the answer repeats our own key".into() });
    }
    Ok(Some((own.clone(), theirs)))
}

/// The suites that offers of the far end may use: all that we know, or those that the user named.
fn allowed(local: &Local) -> &[SrtpSuite] {
    if local.srtp_suites.is_empty() { &SrtpSuite::ALL } else { &local.srtp_suites }
}

/// The suites that we offer, in order.
pub(super) fn offered(local: &Local) -> &[SrtpSuite] {
    if local.srtp_suites.is_empty() { &SrtpSuite::USUAL } else { &local.srtp_suites }
}

/// The first line with one of `suites` and a key that we can use: the order is the far end's preference (RFC 4568 section
/// 5.1.2).
fn first_usable(suites: &[SrtpSuite], media: &Media) -> Result<TheirKey, Rejected> {
    let mut why: Option<String> = None;
    for crypto in media.cryptos() {
        let reason = match crypto {
            Err(unusable) => unusable.to_string(),
            Ok(crypto) => match crypto.suite.parse::<SrtpSuite>() {
                Err(_) => format!("the suite {} is not supported", word(&crypto.suite)),
                Ok(suite) if !suites.contains(&suite) => format!("the suite {suite} is not among ours"),
                Ok(suite) if crypto.key.len() != suite.key_and_salt_length() => {
                    format!(
                        "the key of {} has {} octets, not {}",
                        suite.name(),
                        crypto.key.len(),
                        suite.key_and_salt_length()
                    )
                }
                Ok(suite) => {
                    let Crypto { tag, key, mki, lifetime, .. } = crypto;
                    return Ok(TheirKey { tag, suite, key: MasterKey(key), mki, lifetime });
                }
            },
        };
        why.get_or_insert(reason);
    }
    let why = why.unwrap_or_else(|| "it has no a=crypto line".into());
    Err(Rejected::Keys { line: media.line, why })
}

/// A word of the far end, for a sentence of ours.
pub(super) fn word(text: &str) -> String {
    text.chars().filter(|character| character.is_ascii_graphic() && !"\"\\".contains(*character)).take(40).collect()
}
