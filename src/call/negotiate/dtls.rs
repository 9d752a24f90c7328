//! DTLS-SRTP in the session description (RFC 5763 section 5, RFC 8122, RFC 8842).

use super::keys::{self, TheirKey};
use super::{Local, Rejected, SrtpPolicy};
use crate::media::dtls::{Fingerprint, PROFILES, Role};
use crate::media::plan::{Dtls, SrtpSuite};
use crate::sdp::{Attribute, Media, Session};

/// What protects a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// Nothing.
    Plain,
    /// A key in the description.
    Key(TheirKey),
    /// A handshake on the media ports.
    Handshake(Dtls),
}

impl Protection {
    pub(super) fn is_plain(&self) -> bool {
        *self == Protection::Plain
    }
}

/// Who begins (RFC 4145 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setup {
    Active,
    Passive,
    /// Either; the answer chooses.
    Actpass,
}

/// What an offered stream is protected with, as the policy wants it; `before` is how the call was protected.
pub(super) fn of_offer(
    local: &Local,
    session: &Session,
    media: &Media,
    before: Option<&Dtls>,
) -> Result<Protection, Rejected> {
    let line = media.line;
    let secure = keys::is_secure(media)?;
    let shown = is_shown(session, media);
    let wanted = match local.srtp {
        SrtpPolicy::Off if secure => return Err(Rejected::SrtpOff { line }),
        SrtpPolicy::Off => false,
        // Whoever sends keys besides is served by them, unless the protocol is that of the handshake.
        SrtpPolicy::Optional | SrtpPolicy::Required => is_tls(media) || (shown && !media.has("crypto")),
        SrtpPolicy::Dtls if !shown => return Err(Rejected::DtlsRequired { line }),
        SrtpPolicy::Dtls => true,
    };
    if !wanted {
        let key = keys::of_offer(local, media)?;
        return Ok(key.map_or(Protection::Plain, Protection::Key));
    }
    let mut dtls = theirs(local, session, media, Setup::Actpass)?;
    // An association that goes on keeps its roles (RFC 8842 section 5.3).
    if let Some(before) = before
        && setup(session, media)?.is_none_or(|setup| setup == Setup::Actpass)
        && (&before.fingerprints, &before.tls_id) == (&dtls.fingerprints, &dtls.tls_id)
    {
        dtls.role = before.role;
    }
    Ok(Protection::Handshake(dtls))
}

/// What the answer to an offer of a handshake says of the far end.
pub(super) fn of_answer(local: &Local, session: &Session, media: &Media) -> Result<Dtls, Rejected> {
    if !is_shown(session, media) {
        return Err(Rejected::DtlsRequired { line: media.line });
    }
    theirs(local, session, media, Setup::Active)
}

/// What we say in an offer (`None`) or in an answer in which we have a role.
pub(super) fn attributes(fingerprint: &Fingerprint, role: Option<Role>) -> [Attribute; 2] {
    let setup = match role {
        None => "actpass",
        Some(Role::Client) => "active",
        Some(Role::Server) => "passive",
    };
    [Attribute::new("fingerprint", fingerprint.to_string()), Attribute::new("setup", setup)]
}

/// The suites that a handshake may agree on; none means all.
pub(super) fn suites(local: &Local) -> Vec<SrtpSuite> {
    local.srtp_suites.iter().copied().filter(|suite| PROFILES.contains(suite)).collect()
}

/// The protocol of our offers (RFC 5764 section 8, RFC 8827 for peers of the web).
pub(super) fn protocol(local: &Local) -> &'static str {
    if local.ice { "UDP/TLS/RTP/SAVPF" } else { "UDP/TLS/RTP/SAVP" }
}

fn is_tls(media: &Media) -> bool {
    media.protocol.to_ascii_uppercase().starts_with("UDP/TLS/")
}

fn is_shown(session: &Session, media: &Media) -> bool {
    session.value_of(media, "fingerprint").is_some()
}

/// What the far end says of itself; `unsaid` is what it means by saying nothing of who begins.
fn theirs(local: &Local, session: &Session, media: &Media, unsaid: Setup) -> Result<Dtls, Rejected> {
    let line = media.line;
    if local.fingerprint.is_none() {
        return Err(Rejected::Transport { line, protocol: keys::word(&media.protocol) });
    }
    let said = session.values_of(media, "fingerprint");
    // A hash that is not known is passed over, as long as there is another (RFC 8122 section 5.1).
    let fingerprints: Vec<Fingerprint> = said.iter().filter_map(|text| text.parse().ok()).take(MOST).collect();
    if fingerprints.is_empty() {
        let said = said.first().map_or_else(|| "no a=fingerprint".to_owned(), |text| keys::word(text));
        return Err(Rejected::Fingerprint { line, said });
    }
    let role = match setup(session, media)?.unwrap_or(unsaid) {
        // Who may choose begins, so that no time is lost (RFC 5763 section 5).
        Setup::Passive | Setup::Actpass if unsaid == Setup::Actpass => Role::Client,
        Setup::Passive => Role::Client,
        Setup::Active | Setup::Actpass => Role::Server,
    };
    let tls_id = session.value_of(media, "tls-id").map(str::to_owned);
    Ok(Dtls { role, fingerprints, tls_id, suites: suites(local) })
}

/// Fingerprints of one description that are read.
const MOST: usize = 16;

/// What `a=setup` says, if it is there.
fn setup(session: &Session, media: &Media) -> Result<Option<Setup>, Rejected> {
    let Some(said) = session.value_of(media, "setup") else { return Ok(None) };
    match said.to_ascii_lowercase().as_str() {
        "active" => Ok(Some(Setup::Active)),
        "passive" => Ok(Some(Setup::Passive)),
        "actpass" => Ok(Some(Setup::Actpass)),
        _ => Err(Rejected::Setup { line: media.line, said: keys::word(said) }),
    }
}
