//! Who we are in a handshake, and how others are told apart: certificates and their fingerprints.

use crate::time::Instant;
use ring::digest;
use rtc_dtls::crypto::Certificate;
use rtc_dtls::crypto_provider::{RTCCryptoProvider, default_provider};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The hash of a fingerprint (RFC 8122 section 5), strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hash {
    /// `sha-512`.
    Sha512,
    /// `sha-384`.
    Sha384,
    /// `sha-256`.
    Sha256,
    /// `sha-1`, which old far ends still send.
    Sha1,
}

impl Hash {
    const ALL: [Hash; 4] = [Hash::Sha512, Hash::Sha384, Hash::Sha256, Hash::Sha1];

    /// Its name in `a=fingerprint`.
    pub const fn name(self) -> &'static str {
        match self {
            Hash::Sha512 => "sha-512",
            Hash::Sha384 => "sha-384",
            Hash::Sha256 => "sha-256",
            Hash::Sha1 => "sha-1",
        }
    }

    fn of(self, octets: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Hash::Sha512 => &digest::SHA512,
            Hash::Sha384 => &digest::SHA384,
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        };
        digest::digest(algorithm, octets).as_ref().to_vec()
    }
}

/// The hash of a certificate, as a session description names it (RFC 8122 section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Which hash.
    pub hash: Hash,
    /// Its octets.
    pub octets: Vec<u8>,
}

impl Fingerprint {
    /// The fingerprint of a certificate (DER).
    pub fn of(hash: Hash, certificate: &[u8]) -> Self {
        Self { hash, octets: hash.of(certificate) }
    }

    /// Is the certificate (DER) one of these? Of several fingerprints those of the strongest hash decide (RFC 8122
    /// section 5.1): a weaker one must not let another certificate in.
    pub fn any_matches(all: &[Fingerprint], certificate: &[u8]) -> bool {
        let Some(strongest) = all.iter().map(|known| known.hash).min() else { return false };
        let found = strongest.of(certificate);
        all.iter().any(|known| known.hash == strongest && known.octets == found)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.name())?;
        for (at, octet) in self.octets.iter().enumerate() {
            write!(f, "{}{octet:02X}", if at == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

/// A text that is no fingerprint, or one of a hash that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint reads sha-256 AB:CD:…, with 32 octets; sha-1, sha-384 and sha-512 are read too")]
pub struct NoFingerprint;

impl FromStr for Fingerprint {
    type Err = NoFingerprint;
    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let (name, octets) = text.trim().split_once(' ').ok_or(NoFingerprint)?;
        let hash = Hash::ALL.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(name)).ok_or(NoFingerprint)?;
        let octet = |text: &str| {
            let whole = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
            whole.then(|| u8::from_str_radix(text, 16).ok()).flatten()
        };
        let octets: Vec<u8> = octets.trim().split(':').map(octet).collect::<Option<_>>().ok_or(NoFingerprint)?;
        if octets.len() != hash.of(&[]).len() {
            return Err(NoFingerprint);
        }
        Ok(Self { hash, octets })
    }
}

/// No certificate could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no certificate for DTLS-SRTP can be made: {0}")]
pub struct NoIdentity(String);

/// Our certificate with its key: self-signed, ECDSA on P-256 (RFC 8827 section 6.5); cheap to clone.
#[derive(Clone)]
pub struct Identity {
    pub(super) certificate: Arc<Certificate>,
    pub(super) provider: Arc<dyn RTCCryptoProvider>,
    /// What [`Instant::ZERO`] is to the library, which adds to it and never reads a clock.
    start: std::time::Instant,
    fingerprint: Fingerprint,
}

impl Identity {
    /// A new certificate, for as long as the process runs. `start` is what [`Instant::ZERO`] stands for.
    ///
    /// # Errors
    /// When the system gives no chance for its key.
    pub fn generate(start: std::time::Instant) -> Result<Self, NoIdentity> {
        let provider = default_provider().map_err(|error| NoIdentity(error.to_string()))?;
        let certificate = Certificate::generate_self_signed(vec!["sidetone".to_owned()], provider.crypto())
            .map_err(|error| NoIdentity(error.to_string()))?;
        let own = certificate.certificate.first().ok_or_else(|| NoIdentity("it came out empty".into()))?;
        let fingerprint = Fingerprint::of(Hash::Sha256, own);
        Ok(Self { certificate: Arc::new(certificate), provider, start, fingerprint })
    }

    /// What a session description says of it.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// `now` for the library.
    pub(super) fn at(&self, now: Instant) -> std::time::Instant {
        self.start + now.since_start()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.fingerprint)
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_they_are_written() {
        let known = Fingerprint::of(Hash::Sha256, b"abc");
        let text =
            "sha-256 BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD";
        assert_eq!(known.to_string(), text, "FIPS 180-4");
        assert_eq!(text.to_lowercase().parse(), Ok(known));
        for wrong in ["", "sha-256", "sha-256 BA:78", "md5 BA:78", "sha-1 +A:78", "sha-1 BA:7:8", "sha-256\tx"] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(NoFingerprint), "{wrong}");
        }
    }

    #[test]
    fn the_strongest_hash_decides() {
        let [ours, theirs] = [b"ours", b"them"];
        let of = |hash, certificate| Fingerprint::of(hash, certificate);
        for hash in Hash::ALL {
            assert!(Fingerprint::any_matches(&[of(hash, ours)], ours));
            assert!(!Fingerprint::any_matches(&[of(hash, ours)], theirs));
        }
        // Several certificates, several lines.
        assert!(Fingerprint::any_matches(&[of(Hash::Sha256, theirs), of(Hash::Sha256, ours)], ours));
        assert!(Fingerprint::any_matches(&[of(Hash::Sha1, ours), of(Hash::Sha512, ours)], ours));
        assert!(!Fingerprint::any_matches(&[of(Hash::Sha1, ours), of(Hash::Sha256, theirs)], ours));
        assert!(!Fingerprint::any_matches(&[], ours));
    }
}
