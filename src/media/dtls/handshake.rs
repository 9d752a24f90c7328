//! One DTLS handshake, on the library.

use super::identity::Identity;
use super::{Failed, Role};
use crate::media::plan::{MasterKey, Srtp, SrtpSuite};
use crate::time::{Duration, Instant};
use bytes::BytesMut;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_dtls::state::State;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

/// Who waits for a first flight, or its answer, asks again after this, then after twice that, and so on: seven times
/// within 13 s. RFC 6347 section 4.2.4.1 begins with a second, which a caller would hear; sooner is allowed where it does
/// no harm, and a far end that sees its call through loses nothing by a few small datagrams more.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// What the exporter is asked for (RFC 5764 section 4.2).
const LABEL: &str = "EXTRACTOR-dtls_srtp";

/// Datagrams stay below this, octets: what every path carries.
const MTU: usize = 1200;

/// The library keeps its associations by address; ours are told apart before.
const FAR_END: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));

/// The SRTP profiles that DTLS can agree on (RFC 5764 section 4.1.2, RFC 7714 section 14.2), in the order of our
/// preference.
pub const PROFILES: [SrtpSuite; 4] = [
    SrtpSuite::AesCm128HmacSha1_80,
    SrtpSuite::AeadAes128Gcm,
    SrtpSuite::AeadAes256Gcm,
    SrtpSuite::AesCm128HmacSha1_32,
];

fn profile(suite: SrtpSuite) -> Option<SrtpProtectionProfile> {
    match suite {
        SrtpSuite::AesCm128HmacSha1_80 => Some(SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80),
        SrtpSuite::AesCm128HmacSha1_32 => Some(SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_32),
        SrtpSuite::AeadAes128Gcm => Some(SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm),
        SrtpSuite::AeadAes256Gcm => Some(SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm),
        SrtpSuite::Aes256CmHmacSha1_80 | SrtpSuite::Aes256CmHmacSha1_32 => None,
    }
}

fn config(role: Role, identity: &Identity, suites: &[SrtpSuite]) -> Result<Arc<HandshakeConfig>, Failed> {
    let suites = if suites.is_empty() { &PROFILES } else { suites };
    ConfigBuilder::default()
        .with_crypto_provider(identity.provider.clone())
        .with_certificates(vec![identity.certificate.as_ref().clone()])
        .with_srtp_protection_profiles(suites.iter().copied().filter_map(profile).collect())
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        // Certificates of calls are signed by nobody: the fingerprint is compared once the handshake is through.
        .with_insecure_skip_verify(true)
        .with_flight_interval(FIRST_WAIT)
        .with_mtu(MTU)
        .with_server_name("sidetone".into())
        .build(role == Role::Client, None)
        .map(Arc::new)
        .map_err(|error| Failed::Handshake(error.to_string()))
}

/// One handshake with one far end, whoever it turns out to be.
pub(super) struct Handshake {
    endpoint: Endpoint,
    identity: Identity,
    role: Role,
    /// When to send again what has no answer, and how long to wait after that.
    again: Option<(Instant, Duration)>,
    /// The pieces of handshake messages that came: number and offset.
    seen: Vec<(u16, u32)>,
    agreed: Option<Agreed>,
}

/// What a handshake came to.
#[derive(Clone)]
pub(super) struct Agreed {
    /// The far end's certificate (DER).
    pub(super) certificate: Vec<u8>,
    /// Keys of both directions.
    pub(super) srtp: Srtp,
}

impl Handshake {
    pub(super) fn start(now: Instant, role: Role, identity: &Identity, suites: &[SrtpSuite]) -> Result<Self, Failed> {
        let config = config(role, identity, suites)?;
        let server = (role == Role::Server).then(|| config.clone());
        let mut endpoint = Endpoint::new(FAR_END, Default::default(), server);
        if role == Role::Client {
            endpoint
                .connect(identity.at(now), FAR_END, config, None)
                .map_err(|error| Failed::Handshake(error.to_string()))?;
        }
        let mut handshake =
            Self { endpoint, identity: identity.clone(), role, again: None, seen: Vec::new(), agreed: None };
        handshake.arm(now);
        Ok(handshake)
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    pub(super) fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// A datagram came. An error is what the far end, or somebody who pretends to be it, did wrong.
    pub(super) fn handle(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Failed> {
        let through = self.agreed.is_some();
        if through && self.endpoint.get_connection_state(FAR_END).is_none() {
            // It is closed; whoever wants another handshake has to say so in another offer.
            return Ok(());
        }
        if self.repeats(datagram) && !through {
            // The far end missed our flight, which goes out again in time. The library would stop its timer here, and
            // both ends would wait for each other.
            return Ok(());
        }
        let read = self.endpoint.read(self.identity.at(now), FAR_END, None, BytesMut::from(datagram));
        // A flight that came is an answer: the next one waits as long as the first.
        self.again = None;
        self.arm(now);
        let events = read.map_err(|error| Failed::Handshake(error.to_string()))?;
        if events.iter().any(|event| matches!(event, EndpointEvent::HandshakeComplete)) {
            self.agreed = Some(self.agree()?);
        }
        Ok(())
    }

    pub(super) fn poll_transmit(&mut self) -> Option<BytesMut> {
        self.endpoint.poll_transmit().map(|transmit| transmit.message)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.again.map(|(due, _)| due)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Failed> {
        let Some((due, wait)) = self.again.filter(|(due, _)| *due <= now) else { return Ok(()) };
        let sent = self.endpoint.handle_timeout(FAR_END, self.identity.at(now));
        self.again = self.endpoint.poll_timeout(&FAR_END).map(|_| (due + 2 * wait, 2 * wait));
        sent.map_err(|_| Failed::Silent)
    }

    /// Tells the far end that nothing follows.
    pub(super) fn close(&mut self, now: Instant) {
        self.endpoint.stop(self.identity.at(now), FAR_END);
        self.again = None;
    }

    /// Does it hold nothing but pieces of messages that came before? A first ClientHello is asked for again until it comes
    /// with its cookie (RFC 6347 section 4.2.1).
    fn repeats(&mut self, datagram: &[u8]) -> bool {
        let Some(pieces) = pieces(datagram) else { return false };
        let awaits_cookie = self.role == Role::Server && self.seen.iter().all(|(number, _)| *number == 0);
        let known = !pieces.is_empty() && pieces.iter().all(|piece| self.seen.contains(piece));
        let room = SEEN.saturating_sub(self.seen.len());
        let new: Vec<_> = pieces.into_iter().filter(|piece| !self.seen.contains(piece)).take(room).collect();
        self.seen.extend(new);
        known && !awaits_cookie
    }

    fn arm(&mut self, now: Instant) {
        if self.endpoint.poll_timeout(&FAR_END).is_some() {
            self.again.get_or_insert((now + FIRST_WAIT, FIRST_WAIT));
        }
    }

    fn agree(&self) -> Result<Agreed, Failed> {
        let state = self.endpoint.get_connection_state(FAR_END).ok_or(Failed::Silent)?;
        let chosen = state.srtp_protection_profile();
        let suite = PROFILES.into_iter().find(|suite| profile(*suite) == Some(chosen)).ok_or(Failed::NoProfile)?;
        let certificate = state.peer_certificates.first().ok_or(Failed::NoCertificate)?.clone();
        Ok(Agreed { certificate, srtp: export(state, suite, self.role)? })
    }
}

/// Pieces of messages that are remembered: several times those of a handshake with large certificates.
const SEEN: usize = 64;

/// The pieces of handshake messages in a datagram: number and offset (RFC 6347 section 4.2.2). `None` if there is anything
/// else in it.
fn pieces(datagram: &[u8]) -> Option<Vec<(u16, u32)>> {
    let number = |octets: &[u8]| octets.iter().fold(0_u32, |sum, octet| sum << 8 | u32::from(*octet));
    let (mut found, mut rest) = (Vec::new(), datagram);
    while !rest.is_empty() {
        let (header, after) = rest.split_at_checked(13)?;
        if header.first() != Some(&22) || header.get(3..5) != Some(&[0, 0]) {
            return None;
        }
        let (mut record, next) = after.split_at_checked(number(header.get(11..13)?) as usize)?;
        while !record.is_empty() {
            let (message, body) = record.split_at_checked(12)?;
            let piece = (u16::try_from(number(message.get(4..6)?)).ok()?, number(message.get(6..9)?));
            found.push(piece);
            record = body.get(number(message.get(9..12)?) as usize..)?;
        }
        rest = next;
    }
    Some(found)
}

/// The keys of RFC 5764 section 4.2: client key, server key, client salt, server salt. Each end protects with its own.
fn export(state: &State, suite: SrtpSuite, role: Role) -> Result<Srtp, Failed> {
    let (key, salt) = match suite {
        SrtpSuite::AeadAes256Gcm => (32, 12),
        SrtpSuite::AeadAes128Gcm => (16, 12),
        _ => (16, 14),
    };
    let material = state
        .export_keying_material(LABEL, &[], 2 * (key + salt))
        .map_err(|error| Failed::Handshake(error.to_string()))?
        .into_bytes();
    let part = |at: usize, length: usize| material.get(at..at + length).unwrap_or_default();
    let of = |number: usize| MasterKey([part(number * key, key), part(2 * key + number * salt, salt)].concat());
    let (local, remote) = match role {
        Role::Client => (of(0), of(1)),
        Role::Server => (of(1), of(0)),
    };
    Ok(Srtp { suite, local, remote, remote_mki: Vec::new(), remote_lifetime: None })
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handshake({:?}, {})", self.role, if self.agreed.is_some() { "through" } else { "under way" })
    }
}
