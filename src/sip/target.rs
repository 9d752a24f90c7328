//! Where a URI says that a request goes (RFC 3261 section 18.1.1, RFC 3263 section 4), before any look-up.

use super::hop::Transport;
use super::uri::{Host, Uri};

/// The host to look up, and what the URI fixes of port and transport.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The `maddr` parameter if there is one, else the host.
    pub host: Host,
    /// The port, when the URI says one.
    pub port: Option<u16>,
    /// The transport, when the URI says one, or else the caller's preference.
    pub transport: Option<Transport>,
}

/// A URI that no request can be sent to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// `tel:`, `urn:` and the like have no host.
    #[error("\"{0}\" is no sip: address; give one, or an account whose domain the number belongs to")]
    Scheme(String),
    /// `transport=` of something other than UDP, TCP and TLS.
    #[error("\"{0}\" asks for a transport that is not spoken here; use udp, tcp or tls")]
    Transport(String),
    /// A cleartext transport where encryption is wanted: a `sips:` URI over UDP, or an account that speaks TLS.
    #[error(
        "\"{0}\" asks for a transport in cleartext where TLS is wanted; take ;transport= out of it, or choose another transport for the account"
    )]
    Cleartext(String),
}

impl Target {
    /// Where `uri` points; `preferred` is the transport for a URI without one.
    ///
    /// `sips:` means TLS on the hop, also with the `transport=tcp` of RFC 3261 section 26.2.2; and whoever prefers TLS is
    /// not talked into less by a URI of the far side.
    ///
    /// # Errors
    /// [`Unreachable`] if no request may go there.
    pub fn of(uri: &Uri, preferred: Option<Transport>) -> Result<Self, Unreachable> {
        let Some(sip) = uri.sip() else { return Err(Unreachable::Scheme(uri.to_string())) };
        let named = match sip.params.get("transport") {
            None | Some("") => None,
            Some(name) => Some(name.parse::<Transport>().map_err(|_| Unreachable::Transport(uri.to_string()))?),
        };
        let transport = match (named, sip.secure) {
            (Some(Transport::Udp), true) => return Err(Unreachable::Cleartext(uri.to_string())),
            (_, true) => Some(Transport::Tls),
            (Some(named), false) if !named.secure() && preferred.is_some_and(Transport::secure) => {
                return Err(Unreachable::Cleartext(uri.to_string()));
            }
            (named, false) => named.or(preferred),
        };
        // A multicast or misused maddr that is no address of the usual form is not followed.
        let maddr = sip.params.get("maddr").and_then(|maddr| maddr.parse::<std::net::IpAddr>().ok());
        let host = maddr.filter(|address| !address.is_multicast()).map_or_else(|| sip.host.clone(), Host::from);
        Ok(Self { host, port: sip.port, transport })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str) -> Result<Target, Unreachable> {
        Target::of(&uri.parse().unwrap(), Some(Transport::Udp))
    }

    #[test]
    fn the_uri_fixes_what_it_says() {
        let target = of("sip:bob@biloxi.com:5070;transport=TCP").unwrap();
        assert_eq!(
            target,
            Target { host: Host::Name("biloxi.com".into()), port: Some(5070), transport: Some(Transport::Tcp) }
        );
        assert_eq!(of("sip:biloxi.com").unwrap().transport, Some(Transport::Udp));
        assert_eq!(of("sip:b@biloxi.com;maddr=192.0.2.7").unwrap().host.to_string(), "192.0.2.7");
        assert_eq!(of("sip:b@biloxi.com;maddr=224.0.1.75").unwrap().host.to_string(), "biloxi.com");
    }

    #[test]
    fn encryption_is_never_given_up() {
        for uri in ["sips:bob@biloxi.com", "sips:bob@biloxi.com;transport=tcp", "sip:bob@biloxi.com;transport=tls"] {
            assert_eq!(of(uri).unwrap().transport, Some(Transport::Tls), "{uri}");
        }
        let tls = |uri: &str| Target::of(&uri.parse().unwrap(), Some(Transport::Tls));
        assert_eq!(tls("sip:bob@biloxi.com:5060").unwrap().transport, Some(Transport::Tls));
        for uri in ["sip:bob@biloxi.com;transport=udp", "sip:bob@biloxi.com;transport=tcp"] {
            assert!(matches!(tls(uri), Err(Unreachable::Cleartext(_))), "{uri}");
        }
    }

    #[test]
    fn what_cannot_be_reached_says_so() {
        assert!(matches!(of("tel:+4930"), Err(Unreachable::Scheme(_))));
        assert!(matches!(of("sips:bob@biloxi.com;transport=udp"), Err(Unreachable::Cleartext(_))));
        assert!(matches!(of("sip:bob@biloxi.com;transport=ws"), Err(Unreachable::Transport(_))));
    }
}
