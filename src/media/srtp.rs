//! SRTP and SRTCP (RFC 3711) around `webrtc-srtp`, with the guards that it lacks.
//!
//! ```text
//!   RTP  ─▶ Outgoing ─▶ network ─▶ Incoming ─┬─ version, lengths, E bit: malformed
//!   RTCP ─▶                                  ├─ its source's own context: replayed, authentication failed
//!                                            └─ RTP, RTCP
//! ```
//!
//! What is guarded against: the crate's own header parser panics on malformed extensions before it authenticates, so
//! the header length is found here and the crate gets a header of that length; SRTCP shorter than its trailer panics;
//! SRTCP with E=0 would be accepted without authentication; replay protection is off by default; and state is made
//! (and its replay window moved) for any SSRC before authentication, so that one forged first packet could silence a
//! source. Here each source has a context of its own, which is kept only after a packet of it was authentic.

use super::packet::HEADER_LENGTH;
use super::plan::{MasterKey, SrtpSuite};
use super::sequence::Ssrc;
use bytes::Bytes;
use rtp::header::Header;
use std::borrow::Cow;
use webrtc_srtp::Error as CrateError;
use webrtc_srtp::context::Context;
use webrtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use webrtc_srtp::protection_profile::ProtectionProfile;

/// Packets behind the newest one that may still come (RFC 3711 section 3.3.2 asks for 64 at least): above the 100 that
/// reception accepts out of order, so that SRTP is never the narrower of the two.
const RTP_REPLAY_WINDOW: usize = 128;
/// The same for SRTCP, which is rarely reordered.
const RTCP_REPLAY_WINDOW: usize = 64;
/// Authenticated sources for each key. Forgetting one would reopen its replay window, so further ones are refused; only
/// the holder of the key can use them up.
const MAX_SOURCES: usize = 32;
/// E bit and SRTCP index (RFC 3711 section 3.4).
const RTCP_INDEX_LENGTH: usize = 4;
/// An RTCP packet begins with a header and the SSRC of its sender.
const RTCP_HEADER_LENGTH: usize = 8;

/// A master key whose length does not fit the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an SRTP key of {length} octets; {} takes {} (key and salt)", .suite.name(), .suite.key_and_salt_length())]
pub struct KeyLength {
    /// The suite.
    pub suite: SrtpSuite,
    /// Octets that were given.
    pub length: usize,
}

/// A packet that was not protected, and must not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unprotected {
    /// It is no RTP or RTCP packet.
    #[error("not an RTP or RTCP packet; nothing else can be protected by SRTP")]
    Malformed,
    /// The key protected as much as it may (RFC 3711 section 9.2).
    #[error("this SRTP key is used up; negotiate a new one")]
    KeyUsedUp,
}

/// Why a received packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Wrong version or lengths, or SRTCP that claims not to be encrypted.
    #[error("not an SRTP or SRTCP packet")]
    Malformed,
    /// It was not made with the key of this call, or changed on the way.
    #[error("SRTP authentication failed")]
    Authentication,
    /// It was here before, or is older than the replay window.
    #[error("replayed SRTP packet")]
    Replayed,
    /// Authentic, but of a source beyond the number that one key may have.
    #[error("more than {MAX_SOURCES} SRTP sources with one key")]
    TooManySources,
    /// The key has protected as many packets as it may.
    #[error("the SRTP key is worn out")]
    WornOut,
}

/// What happened to received packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Authentic packets.
    pub authentic: u64,
    /// [`Refused::Authentication`].
    pub auth_failed: u64,
    /// [`Refused::Replayed`].
    pub replayed: u64,
    /// [`Refused::Malformed`].
    pub malformed: u64,
    /// [`Refused::TooManySources`].
    pub too_many_sources: u64,
}

impl Counters {
    /// Adds what happened to the packets of another key.
    pub(super) fn add(&mut self, other: &Counters) {
        self.authentic += other.authentic;
        self.auth_failed += other.auth_failed;
        self.replayed += other.replayed;
        self.malformed += other.malformed;
        self.too_many_sources += other.too_many_sources;
    }
}

/// Protects what we send. Keep it as long as the key lives: it counts the roll-overs of the sequence number.
pub struct Outgoing {
    context: Context,
}

impl Outgoing {
    /// For the key that we announced.
    pub fn new(suite: SrtpSuite, key: &MasterKey) -> Result<Self, KeyLength> {
        Ok(Self { context: Keys::new(suite, key)?.context() })
    }

    /// The SRTP packet for an RTP packet.
    pub fn protect_rtp(&mut self, packet: &[u8]) -> Result<Bytes, Unprotected> {
        let header = rtp_header(packet).ok_or(Unprotected::Malformed)?;
        self.context.encrypt_rtp_with_header(packet, &header).map_err(|error| match error {
            CrateError::ErrExceededMaxPackets => Unprotected::KeyUsedUp,
            _ => Unprotected::Malformed,
        })
    }

    /// The SRTCP packet for a compound RTCP packet; always encrypted (E=1).
    pub fn protect_rtcp(&mut self, packet: &[u8]) -> Result<Bytes, Unprotected> {
        rtcp_sender(packet).ok_or(Unprotected::Malformed)?;
        self.context.encrypt_rtcp(packet).map_err(|_| Unprotected::Malformed)
    }
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outgoing")
    }
}

/// Checks and decrypts what the far end sends. Keep it as long as the key lives.
pub struct Incoming {
    keys: Keys,
    /// The identifier of the key, which stands in each packet.
    mki: Vec<u8>,
    rtp: Sources,
    rtcp: Sources,
    counters: Counters,
}

impl Incoming {
    /// For the key that the far end announced, which has no identifier.
    pub fn new(suite: SrtpSuite, key: &MasterKey) -> Result<Self, KeyLength> {
        Self::with_mki(suite, key, &[])
    }

    /// For the key that the far end announced with the identifier `mki` in each packet (RFC 3711 section 3.1).
    pub fn with_mki(suite: SrtpSuite, key: &MasterKey, mki: &[u8]) -> Result<Self, KeyLength> {
        Ok(Self {
            keys: Keys::new(suite, key)?,
            mki: mki.to_vec(),
            rtp: Sources::default(),
            rtcp: Sources::default(),
            counters: Counters::default(),
        })
    }

    /// The RTP packet in an SRTP packet.
    pub fn unprotect_rtp(&mut self, packet: &[u8]) -> Result<Bytes, Refused> {
        let tag = self.keys.profile.rtp_auth_tag_len() + self.keys.profile.aead_auth_tag_len();
        let Some(packet) = without(&self.mki, packet, self.keys.profile.rtp_auth_tag_len()) else {
            self.counters.auth_failed += 1;
            return Err(Refused::Authentication);
        };
        let packet = packet.as_ref();
        let result = match rtp_header(packet) {
            Some(header) if packet.len() >= header_length(&header) + tag => {
                self.rtp.open(Ssrc(header.ssrc), &self.keys, |context| context.decrypt_rtp_with_header(packet, &header))
            }
            _ => Err(Refused::Malformed),
        };
        self.count(&result);
        result
    }

    /// The RTCP packet in an SRTCP packet.
    pub fn unprotect_rtcp(&mut self, packet: &[u8]) -> Result<Bytes, Refused> {
        let trailer = RTCP_INDEX_LENGTH + self.keys.profile.rtcp_auth_tag_len();
        let Some(packet) = without(&self.mki, packet, self.keys.profile.rtcp_auth_tag_len()) else {
            self.counters.auth_failed += 1;
            return Err(Refused::Authentication);
        };
        let packet = packet.as_ref();
        let least = RTCP_HEADER_LENGTH + trailer + self.keys.profile.aead_auth_tag_len();
        let encrypted = packet.len().checked_sub(trailer).and_then(|index| packet.get(index)).map(|octet| octet >> 7);
        let result = match rtcp_sender(packet) {
            Some(ssrc) if packet.len() >= least && encrypted == Some(1) => {
                self.rtcp.open(ssrc, &self.keys, |context| context.decrypt_rtcp(packet))
            }
            _ => Err(Refused::Malformed),
        };
        self.count(&result);
        result
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes the count back to `before`: the packets since were meant for another key.
    pub(super) fn forget_since(&mut self, before: Counters) {
        self.counters = before;
    }

    fn count(&mut self, result: &Result<Bytes, Refused>) {
        let counters = &mut self.counters;
        *match result {
            Ok(_) => &mut counters.authentic,
            Err(Refused::Authentication) => &mut counters.auth_failed,
            Err(Refused::Replayed) => &mut counters.replayed,
            Err(Refused::Malformed) => &mut counters.malformed,
            Err(Refused::TooManySources | Refused::WornOut) => &mut counters.too_many_sources,
        } += 1;
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("counters", &self.counters).finish_non_exhaustive()
    }
}

/// The authenticated sources of one direction, each with its roll-over counter and replay window.
#[derive(Default)]
struct Sources(Vec<(Ssrc, Context)>);

impl Sources {
    fn open(
        &mut self,
        ssrc: Ssrc,
        keys: &Keys,
        decrypt: impl FnOnce(&mut Context) -> Result<Bytes, CrateError>,
    ) -> Result<Bytes, Refused> {
        if let Some((_, context)) = self.0.iter_mut().find(|(known, _)| *known == ssrc) {
            return decrypt(context).map_err(|error| refused(&error));
        }
        let mut context = keys.context();
        let opened = decrypt(&mut context).map_err(|error| refused(&error))?;
        if self.0.len() >= MAX_SOURCES {
            return Err(Refused::TooManySources);
        }
        self.0.push((ssrc, context));
        Ok(opened)
    }
}

/// `packet` without the identifier before the last `tag` octets; `None` if another one, or none, stands there.
fn without<'a>(mki: &[u8], packet: &'a [u8], tag: usize) -> Option<Cow<'a, [u8]>> {
    if mki.is_empty() {
        return Some(Cow::Borrowed(packet));
    }
    let (rest, tag) = packet.split_at_checked(packet.len().checked_sub(tag)?)?;
    Some(Cow::Owned([rest.strip_suffix(mki)?, tag].concat()))
}

fn refused(error: &CrateError) -> Refused {
    match error {
        CrateError::SrtpSsrcDuplicated(..) | CrateError::SrtcpSsrcDuplicated(..) => Refused::Replayed,
        CrateError::RtpFailedToVerifyAuthTag | CrateError::RtcpFailedToVerifyAuthTag | CrateError::AesGcm(_) => {
            Refused::Authentication
        }
        _ => Refused::Malformed,
    }
}

/// A master key and salt of the right lengths.
struct Keys {
    profile: ProtectionProfile,
    key: MasterKey,
}

impl Keys {
    fn new(suite: SrtpSuite, key: &MasterKey) -> Result<Self, KeyLength> {
        let profile = match suite {
            SrtpSuite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
            SrtpSuite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
            SrtpSuite::Aes256CmHmacSha1_80 => ProtectionProfile::Aes256CmHmacSha1_80,
            SrtpSuite::Aes256CmHmacSha1_32 => ProtectionProfile::Aes256CmHmacSha1_32,
            SrtpSuite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
            SrtpSuite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        };
        if key.0.len() != profile.key_len() + profile.salt_len() {
            return Err(KeyLength { suite, length: key.0.len() });
        }
        Ok(Self { profile, key: key.clone() })
    }

    fn context(&self) -> Context {
        let (key, salt) = self.key.0.split_at(self.profile.key_len());
        let rtp = srtp_replay_protection(RTP_REPLAY_WINDOW);
        let rtcp = srtcp_replay_protection(RTCP_REPLAY_WINDOW);
        Context::new(key, salt, self.profile, Some(rtp), Some(rtcp)).expect("`Keys::new` checked both lengths")
    }
}

/// A header with the SSRC, sequence number and *length* of the packet's: the crate asks it for nothing else. CSRCs and
/// extension become CSRCs. `None` if the packet ends within its header, or is not version 2.
fn rtp_header(packet: &[u8]) -> Option<Header> {
    let fixed: &[u8; HEADER_LENGTH] = packet.first_chunk()?;
    let [first, _, s0, s1, _, _, _, _, c0, c1, c2, c3] = *fixed;
    if first >> 6 != 2 {
        return None;
    }
    let mut words = usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let extension = packet.get(HEADER_LENGTH + 4 * words..)?;
        let [_, _, l0, l1] = *extension.first_chunk()?;
        words += 1 + usize::from(u16::from_be_bytes([l0, l1]));
    }
    packet.get(HEADER_LENGTH + 4 * words..)?;
    Some(Header {
        version: 2,
        sequence_number: u16::from_be_bytes([s0, s1]),
        ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
        csrc: vec![0; words],
        ..Header::default()
    })
}

fn header_length(header: &Header) -> usize {
    HEADER_LENGTH + 4 * header.csrc.len()
}

/// The sender in the first packet of a compound RTCP packet.
fn rtcp_sender(packet: &[u8]) -> Option<Ssrc> {
    let [first, _, _, _, c0, c1, c2, c3] = *packet.first_chunk::<RTCP_HEADER_LENGTH>()?;
    (first >> 6 == 2).then(|| Ssrc(u32::from_be_bytes([c0, c1, c2, c3])))
}

#[cfg(test)]
mod tests;
