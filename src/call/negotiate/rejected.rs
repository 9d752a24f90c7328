//! Why there is no agreement: a sentence for a human, a status and a Warning for the far end.

use crate::sdp::SdpError;
use std::net::IpAddr;

/// An offer or answer that we cannot live with. The text names the value and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It cannot be read.
    #[error("the far end's SDP is broken: {0}")]
    Malformed(#[from] SdpError),
    /// No audio stream, or only such that are switched off.
    #[error(
        "the far end offers no audio stream that is switched on ({kinds}); it has to send an m=audio line with a port"
    )]
    NoAudio {
        /// The kinds of streams that it offers.
        kinds: String,
    },
    /// The answer to our offer has no audio stream.
    #[error("the far end refused our audio stream; try other codecs or another SRTP setting")]
    Refused,
    /// No codec in common.
    #[error(
        "line {line}: no codec in common: the far end has {theirs}, we have {ours}; enable one of them on both sides"
    )]
    NoCodec {
        /// Where its `m=` line stands.
        line: usize,
        /// Its codecs.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// An `m=audio` line with a protocol that we do not speak.
    #[error("line {line}: audio over {protocol} is not supported; the far end has to use RTP/AVP or RTP/SAVP")]
    Transport {
        /// Where.
        line: usize,
        /// The protocol.
        protocol: String,
    },
    /// The far end wants SRTP, and it is off here.
    #[error(
        "line {line}: the far end wants encrypted media (RTP/SAVP), which is off here; set srtp to optional or required"
    )]
    SrtpOff {
        /// Where.
        line: usize,
    },
    /// The far end has no SRTP, and it is required here.
    #[error(
        "line {line}: the far end has no encrypted media (RTP/SAVP), which is required here; enable SDES-SRTP there or set srtp to optional"
    )]
    SrtpRequired {
        /// Where.
        line: usize,
    },
    /// The far end has no DTLS-SRTP, and it is required here.
    #[error(
        "line {line}: the far end has no DTLS-SRTP (a=fingerprint), which is required here; enable it there or set srtp to required, for keys in the SDP"
    )]
    DtlsRequired {
        /// Where.
        line: usize,
    },
    /// No fingerprint that can be compared.
    #[error("line {line}: no usable fingerprint ({said}); the far end has to send a=fingerprint:sha-256 and 32 octets")]
    Fingerprint {
        /// Where its `m=` line stands.
        line: usize,
        /// The first that it sent.
        said: String,
    },
    /// It does not say who begins the handshake.
    #[error("line {line}: a=setup:{said} is not supported; the far end has to say active, passive or actpass")]
    Setup {
        /// Where its `m=` line stands.
        line: usize,
        /// What it says.
        said: String,
    },
    /// None of its keys can be used. We never go on without.
    #[error(
        "line {line}: no usable SRTP key: {why}; the far end has to send a=crypto with AES_CM_128_HMAC_SHA1_80 or _32"
    )]
    Keys {
        /// Where its `m=` line stands.
        line: usize,
        /// What is wrong with its first key.
        why: String,
    },
    /// Its address is of the other IP version.
    #[error(
        "line {line}: the far end's media is at {theirs}, ours at {ours}; both have to be IPv4 or both IPv6, so bind to the other"
    )]
    AddressFamily {
        /// Where.
        line: usize,
        /// Its address.
        theirs: IpAddr,
        /// Ours.
        ours: IpAddr,
    },
    /// Its address is a group.
    #[error("line {line}: the far end's media is at the multicast address {address}; only unicast calls are supported")]
    Multicast {
        /// Where.
        line: usize,
        /// The group.
        address: IpAddr,
    },
    /// Its address is a host name.
    #[error("line {line}: the far end's media is at the host name {name}; it has to send an IP address")]
    HostName {
        /// Where.
        line: usize,
        /// The name.
        name: String,
    },
    /// An offer came while ours is open (RFC 3261 section 14.2).
    #[error("both ends sent an offer at once; the one that gets 491 has to try again")]
    Glare,
    /// An answer came, and we had offered nothing.
    #[error("the far end answered, but we offered nothing")]
    NoOffer,
}

impl Rejected {
    /// The SIP status that refuses the offer.
    pub fn status(&self) -> u16 {
        match self {
            Rejected::Malformed(_) => 400,
            Rejected::Glare => 491,
            _ => 488,
        }
    }

    /// The value of the Warning header of that response (RFC 3261 section 20.43); none for a glare.
    pub fn warning(&self) -> Option<String> {
        let code = match self {
            Rejected::AddressFamily { .. } | Rejected::HostName { .. } => 301,
            Rejected::Transport { .. }
            | Rejected::SrtpOff { .. }
            | Rejected::SrtpRequired { .. }
            | Rejected::DtlsRequired { .. } => 302,
            Rejected::NoAudio { .. } | Rejected::Refused => 304,
            Rejected::NoCodec { .. } => 305,
            Rejected::Keys { .. } | Rejected::Fingerprint { .. } | Rejected::Setup { .. } => 306,
            Rejected::Multicast { .. } => 330,
            Rejected::Malformed(_) | Rejected::NoOffer => 399,
            Rejected::Glare => return None,
        };
        // A quoted-string; other peers cannot be trusted with more than ASCII in it.
        let mut text = String::new();
        for character in self.to_string().chars().take(300) {
            match character {
                '"' | '\\' => text.extend(['\\', character]),
                ' '..='~' => text.push(character),
                _ => text.push('?'),
            }
        }
        Some(format!("{code} sidetone \"{text}\""))
    }

    /// How far a stream came before it was refused: of several refusals the last tells most.
    pub(super) fn depth(&self) -> u8 {
        match self {
            Rejected::NoAudio { .. } | Rejected::Refused | Rejected::Glare | Rejected::NoOffer => 0,
            Rejected::Transport { .. } => 1,
            Rejected::SrtpOff { .. } | Rejected::SrtpRequired { .. } | Rejected::DtlsRequired { .. } => 2,
            Rejected::Keys { .. } | Rejected::Fingerprint { .. } | Rejected::Setup { .. } => 3,
            Rejected::Malformed(_)
            | Rejected::AddressFamily { .. }
            | Rejected::Multicast { .. }
            | Rejected::HostName { .. } => 4,
            Rejected::NoCodec { .. } => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::Session;

    #[test]
    fn a_warning_is_one_quoted_string() {
        let error = Rejected::from(Session::parse("v=\"1\\ü\"\r\n".as_bytes()).unwrap_err());
        assert_eq!(error.status(), 400);
        let warning = error.warning().unwrap();
        assert!(warning.starts_with("399 sidetone \"the far end's SDP is broken: line 1: "), "{warning}");
        assert!(warning.contains("v=\\\"1\\\\?\\\"") && warning.is_ascii() && warning.ends_with('"'), "{warning}");
        assert_eq!(Rejected::Glare.warning(), None);
    }
}
