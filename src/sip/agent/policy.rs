//! How the servers of an account behave and want to be treated: what presets of carriers set and every account can
//! overrule.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// The part of a granted lifetime after which a registration is refreshed, in per cent: 10 to 90.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshShare(u8);

impl RefreshShare {
    /// `percent` of the lifetime; `None` outside of 10 to 90: earlier is a storm of REGISTERs, later leaves no time for a
    /// second attempt.
    pub fn new(percent: u8) -> Option<Self> {
        (10..=90).contains(&percent).then_some(Self(percent))
    }

    /// Per cent.
    pub fn percent(self) -> u8 {
        self.0
    }

    /// That part of `granted`.
    pub fn of(self, granted: Duration) -> Duration {
        granted.mul_f64(f64::from(self.0) / 100.0)
    }
}

/// Provisional responses that are acknowledged (100rel, RFC 3262).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reliable {
    /// Never said, never used; an INVITE that requires it gets 420.
    Off,
    /// Said in Supported; used when the far end requires it.
    #[default]
    Supported,
    /// Our INVITE requires it.
    Required,
}

/// What is done about session timers (RFC 4028).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimers {
    /// Who starts them.
    pub mode: SessionTimerMode,
    /// The Session-Expires that we ask for.
    pub expires: Duration,
    /// The least that we take: Min-SE; never below 90 s (RFC 4028 section 4).
    pub least: Duration,
}

/// Who starts session timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionTimerMode {
    /// Nobody: neither asked for nor answered.
    Off,
    /// The far end: what it asks for is granted; we do not ask.
    #[default]
    Answer,
    /// We do too.
    Ask,
}

impl Default for SessionTimers {
    /// Answered, with the values that RFC 4028 sections 4 and 5 name.
    fn default() -> Self {
        Self { mode: SessionTimerMode::Answer, expires: Duration::from_secs(1800), least: Duration::from_secs(90) }
    }
}

/// How digits are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DtmfWay {
    /// Telephone events in RTP (RFC 4733) where the far end takes them, else INFO, else tones.
    #[default]
    Auto,
    /// Telephone events only.
    Rfc4733,
    /// INFO with `application/dtmf-relay`.
    Info,
    /// Tones in the audio.
    Inband,
}

/// What keeps the flow of a registration open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepAlive {
    /// What RFC 5626 says, in its rhythm ([`crate::sip::keepalive`]): CRLFs on connections; over UDP STUN where the
    /// registrar supports outbound, else CRLFs.
    #[default]
    Standard,
    /// The same, at least that often.
    Every(Duration),
    /// CRLFs, also over UDP.
    Crlf,
    /// STUN over UDP, whatever the registrar says; CRLFs if it never answers.
    Stun,
    /// Nothing.
    Off,
}

macro_rules! words {
    ($type:ident, $what:literal, $($word:literal = $variant:expr),+) => {
        impl $type {
            /// Every word that it can be read from.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl FromStr for $type {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok($variant),)+
                    _ => Err(UnknownWord { word: word.into(), what: $what, known: Self::WORDS }),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(if *self == $variant { return f.write_str($word); })+
                Ok(())
            }
        }
    };
}
pub(crate) use words;

words!(
    Reliable,
    "setting of 100rel",
    "off" = Reliable::Off,
    "supported" = Reliable::Supported,
    "required" = Reliable::Required
);
words!(
    SessionTimerMode,
    "setting of session timers",
    "off" = SessionTimerMode::Off,
    "answer" = SessionTimerMode::Answer,
    "ask" = SessionTimerMode::Ask
);
words!(
    DtmfWay,
    "way of DTMF",
    "auto" = DtmfWay::Auto,
    "rfc4733" = DtmfWay::Rfc4733,
    "info" = DtmfWay::Info,
    "inband" = DtmfWay::Inband
);

/// A word that means nothing where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{word}\" is no {what}; write one of {}", known.join(", "))]
pub struct UnknownWord {
    /// As it was written.
    pub word: String,
    /// What it should be.
    pub what: &'static str,
    /// What would do.
    pub known: &'static [&'static str],
}

/// A block of addresses, such as `192.0.2.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Is `address` in it? IPv4 addresses that are written as IPv6 count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// Text that is no block of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no network; write an address, or a block as 192.0.2.0/24")]
pub struct NotNetwork(pub String);

impl FromStr for Network {
    type Err = NotNetwork;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || NotNetwork(text.into());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| fail())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| fail())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        if prefix > longest {
            return Err(fail());
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let rows = [
            ("54.172.60.0/30", "54.172.60.3", true),
            ("54.172.60.0/30", "54.172.60.4", false),
            ("54.172.60.0/30", "::ffff:54.172.60.1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db9::1", true),
        ];
        for (network, address, inside) in rows {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{network} {address}");
        }
        for bad in ["192.0.2.0/33", "example.com", "192.0.2.0/", "::/129", ""] {
            assert!(bad.parse::<Network>().unwrap_err().to_string().contains(bad), "{bad}");
        }
    }

    #[test]
    fn words_read_back_and_others_are_answered_with_what_would_do() {
        for word in ["off", "supported", "required"] {
            assert_eq!(word.parse::<Reliable>().unwrap().to_string(), word);
        }
        for word in ["off", "answer", "ask"] {
            assert_eq!(word.parse::<SessionTimerMode>().unwrap().to_string(), word);
        }
        let error = "always".parse::<Reliable>().unwrap_err().to_string();
        assert!(error.contains("always") && error.contains("supported"), "{error}");
    }

    #[test]
    fn a_refresh_is_neither_a_storm_nor_too_late() {
        assert_eq!(RefreshShare::new(50).unwrap().of(Duration::from_secs(600)), Duration::from_secs(300));
        assert!(RefreshShare::new(9).is_none() && RefreshShare::new(91).is_none());
    }
}
