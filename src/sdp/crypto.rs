//! `a=crypto` lines: SRTP keys in the description (RFC 4568).

use super::Attribute;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use sdp_types::SrtpSessionParam;
use std::fmt;

/// A `crypto` line that can be used as it stands: one inline key, no session parameter that changes the packets.
#[derive(Clone, PartialEq, Eq)]
pub struct Crypto {
    /// Tag; the answer repeats that of the line it takes.
    pub tag: u32,
    /// Suite name, as it came.
    pub suite: String,
    /// Master key and salt, one after the other; the suite says how long they have to be.
    pub key: Vec<u8>,
    /// The master key identifier (MKI) that stands in each packet that is protected with the key, as it stands there;
    /// empty if there is none.
    pub mki: Vec<u8>,
    /// Packets that may be protected with the key, if the line says so; another key has to take its place before.
    pub lifetime: Option<u64>,
}

/// Why a `crypto` line is passed over. Says nothing of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It does not follow the grammar of RFC 4568 section 9.
    #[error("line {line}: this a=crypto line cannot be read; it reads a=crypto:<tag> <suite> inline:<key>")]
    Grammar {
        /// Where.
        line: usize,
    },
    /// The key is not base64.
    #[error("line {line}: the key of this a=crypto line is not base64")]
    Key {
        /// Where.
        line: usize,
    },
    /// More than one key.
    #[error("line {line}: this a=crypto line has several master keys, which is not supported")]
    Keys {
        /// Where.
        line: usize,
    },
    /// A key identifier (MKI) that does not fit its own length, or one longer than 128 octets (RFC 4568 section 6.1).
    #[error("line {line}: the master key identifier (MKI) of this a=crypto line does not fit its length")]
    Mki {
        /// Where.
        line: usize,
    },
    /// A session parameter that would change the packets (RFC 4568 section 6.3).
    #[error("line {line}: this a=crypto line wants {parameter}, which is not supported")]
    Parameter {
        /// Where.
        line: usize,
        /// Its name.
        parameter: &'static str,
    },
}

impl Crypto {
    /// Reads the value of an `a=crypto` attribute that stood in `line`.
    ///
    /// # Errors
    /// The line cannot be used; the next may be.
    pub fn parse(line: usize, value: &str) -> Result<Self, Unusable> {
        let blanks_in_order = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        // Its error would quote the key.
        let crypto: sdp_types::Crypto = blanks_in_order.parse().map_err(|_| Unusable::Grammar { line })?;
        let [key] = crypto.key_params.as_slice() else { return Err(Unusable::Keys { line }) };
        let mki = match key.mki_and_length {
            None => Vec::new(),
            Some((value, length)) => identifier(value, length).ok_or(Unusable::Mki { line })?,
        };
        if let Some(parameter) = crypto.session_params.iter().find_map(refused) {
            return Err(Unusable::Parameter { line, parameter });
        }
        let octets = BASE64.decode(&key.key_and_salt).map_err(|_| Unusable::Key { line })?;
        Ok(Self {
            tag: crypto.tag,
            suite: crypto.crypto_suite.as_str().to_owned(),
            key: octets,
            mki,
            lifetime: key.lifetime,
        })
    }

    /// The attribute that says it.
    pub fn attribute(&self) -> Attribute {
        let key = STANDARD.encode(&self.key);
        Attribute::new("crypto", format!("{} {} inline:{key}", self.tag, self.suite))
    }
}

/// A number as `length` octets, in network order.
fn identifier(value: u32, length: u32) -> Option<Vec<u8>> {
    let length = usize::try_from(length).ok().filter(|length| (1..=128).contains(length))?;
    let value = value.to_be_bytes();
    let needed = value.iter().skip_while(|octet| **octet == 0);
    let zeros = length.checked_sub(needed.clone().count())?;
    Some(std::iter::repeat_n(0, zeros).chain(needed.copied()).collect())
}

/// Base64 with or without padding: peers leave it away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The parameter that makes a line unusable. A window size is only a hint (RFC 4568 section 6.3.6), and an extension that
/// begins with a hyphen may be passed over (section 6.3.7).
fn refused(parameter: &SrtpSessionParam) -> Option<&'static str> {
    match parameter {
        SrtpSessionParam::Wsh(_) => None,
        SrtpSessionParam::Extension(name) if name.starts_with('-') => None,
        SrtpSessionParam::Kdr(_) => Some("KDR"),
        SrtpSessionParam::UnencryptedSrtp => Some("UNENCRYPTED_SRTP"),
        SrtpSessionParam::UnencryptedSrtcp => Some("UNENCRYPTED_SRTCP"),
        SrtpSessionParam::UnauthenticatedSrtp => Some("UNAUTHENTICATED_SRTP"),
        SrtpSessionParam::FecOrder(_) => Some("FEC_ORDER"),
        SrtpSessionParam::FecKey(_) => Some("FEC_KEY"),
        SrtpSessionParam::Extension(_) => Some("an unknown session parameter"),
    }
}

/// Keys never reach a log.
impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crypto({} {} …)", self.tag, self.suite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";

    #[test]
    fn usable_lines() {
        for value in [
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
            format!(" 1  AES_CM_128_HMAC_SHA1_80   INLINE:{KEY} "),
            format!("1 aes_cm_128_hmac_sha1_80 inline:{KEY}|2^20"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1048576"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^48 WSH=128 -x=1"),
        ] {
            let crypto = Crypto::parse(3, &value).unwrap();
            assert_eq!(
                (crypto.tag, crypto.suite.as_str(), crypto.key.len()),
                (1, "AES_CM_128_HMAC_SHA1_80", 30),
                "{value}"
            );
            assert_eq!(crypto.key[..3], [0x3d, 0x2d, 0x6e]);
            assert_eq!(crypto.attribute().value.unwrap(), format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"));
        }
        let unknown = Crypto::parse(3, "2 AES_256_CM_HMAC_SHA1_80 inline:AAEC").unwrap();
        assert_eq!((unknown.suite.as_str(), unknown.key.as_slice()), ("AES_256_CM_HMAC_SHA1_80", &[0, 1, 2][..]));
        let unpadded = Crypto::parse(3, "2 X inline:AAECAw").unwrap();
        assert_eq!(unpadded.key, Crypto::parse(3, "2 X inline:AAECAw==").unwrap().key);
    }

    #[test]
    fn unusable_lines() {
        let line = 9;
        let suite = "AES_CM_128_HMAC_SHA1_80";
        for (value, expected) in [
            (String::new(), Unusable::Grammar { line }),
            (format!("x {suite} inline:{KEY}"), Unusable::Grammar { line }),
            (format!("1 {suite}"), Unusable::Grammar { line }),
            (format!("1 {suite} prompt:{KEY}"), Unusable::Grammar { line }),
            (format!("1 {suite} inline:{KEY}|2^49"), Unusable::Grammar { line }),
            (format!("1 {suite} inline:{KEY}|2^20|256:1"), Unusable::Mki { line }),
            (format!("1 {suite} inline:{KEY};inline:{KEY}"), Unusable::Keys { line }),
            (format!("1 {suite} inline:{KEY} KDR=1"), Unusable::Parameter { line, parameter: "KDR" }),
            (
                format!("1 {suite} inline:{KEY} UNENCRYPTED_SRTP"),
                Unusable::Parameter { line, parameter: "UNENCRYPTED_SRTP" },
            ),
            (
                format!("1 {suite} inline:{KEY} unencrypted_srtcp"),
                Unusable::Parameter { line, parameter: "UNENCRYPTED_SRTCP" },
            ),
            (
                format!("1 {suite} inline:{KEY} UNAUTHENTICATED_SRTP"),
                Unusable::Parameter { line, parameter: "UNAUTHENTICATED_SRTP" },
            ),
            (
                format!("1 {suite} inline:{KEY} NEW=1"),
                Unusable::Parameter { line, parameter: "an unknown session parameter" },
            ),
            (format!("1 {suite} inline:*{KEY}"), Unusable::Key { line }),
        ] {
            let error = Crypto::parse(line, &value).unwrap_err();
            assert_eq!(error, expected, "{value}");
            assert!(error.to_string().starts_with("line 9: ") && !error.to_string().contains(KEY));
        }
    }

    #[test]
    fn identifiers_are_as_long_as_they_say() {
        for (parameters, expected) in [
            ("", &[][..]),
            ("|2^20", &[]),
            ("|1:4", &[0, 0, 0, 1]),
            ("|2^20|1066:4", &[0, 0, 4, 42]),
            ("|2^48|255:1", &[255]),
        ] {
            let crypto = Crypto::parse(1, &format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}{parameters}")).unwrap();
            assert_eq!(crypto.mki, expected, "{parameters}");
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let crypto = Crypto::parse(1, &format!("1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}")).unwrap();
        let printed = format!("{crypto:?} {:?}", crypto.attribute());
        assert!(!printed.contains(&KEY[..6]) && !printed.contains("61, 45"), "{printed}");
    }
}
