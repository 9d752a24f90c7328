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
    /// `sips:` and `transport=` of something other than UDP and TCP.
    #[error("\"{0}\" asks for a transport that is not spoken here; use udp or tcp")]
    Transport(String),
}

impl Target {
    /// Where `uri` points; `preferred` is the transport for a URI without one.
    pub fn of(uri: &Uri, preferred: Option<Transport>) -> Result<Self, Unreachable> {
        let Some(sip) = uri.sip() else { return Err(Unreachable::Scheme(uri.to_string())) };
        if sip.secure {
            return Err(Unreachable::Transport(uri.to_string()));
        }
        let transport = match sip.params.get("transport") {
            None | Some("") => preferred,
            Some(name) => Some(name.parse().map_err(|_| Unreachable::Transport(uri.to_string()))?),
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
    fn what_cannot_be_reached_says_so() {
        assert!(matches!(of("tel:+4930"), Err(Unreachable::Scheme(_))));
        assert!(matches!(of("sips:bob@biloxi.com"), Err(Unreachable::Transport(_))));
        assert!(matches!(of("sip:bob@biloxi.com;transport=ws"), Err(Unreachable::Transport(_))));
    }
}
