//! What went wrong in a handshake, in words that name the remedy.

use std::io;
use std::net::SocketAddr;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};

/// The sentence for an error of the handshake with the peer at `remote`, which has to be `name`. Without a name the peer
/// made the connection.
pub(in crate::net) fn explain(error: &io::Error, remote: SocketAddr, name: Option<&str>) -> String {
    let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => format!(
                "{remote} closed the connection during the TLS handshake; is it a TLS port (usually 5061), and does it \
                 take our certificate?"
            ),
            _ => error.to_string(),
        };
    };
    let who = name.map_or_else(|| remote.to_string(), |name| format!("\"{name}\" ({remote})"));
    match inner {
        Error::InvalidCertificate(problem) => certificate(problem, &who),
        Error::NoCertificatesPresented => format!("{who} shows no certificate; its TLS is not set up"),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } if name.is_none() => {
            format!("{who} does not speak TLS on the TLS port; it has to use another port or transport=tls")
        }
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            format!("{who} does not speak TLS on that port; name its TLS port (usually 5061)")
        }
        Error::PeerIncompatible(why) => {
            format!("{who} offers no TLS that is spoken here ({why:?}); it needs TLS 1.2 or 1.3 with ECDHE and AEAD")
        }
        Error::AlertReceived(alert) => refused(*alert, &who, name.is_some()),
        other => format!("TLS with {who} failed: {other}"),
    }
}

fn certificate(problem: &CertificateError, who: &str) -> String {
    match problem {
        CertificateError::NotValidForNameContext { presented, .. } => {
            let presented = presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ");
            let presented = if presented.is_empty() { "no name at all".to_owned() } else { presented };
            format!(
                "the certificate of {who} is for {presented}; use the name that it is for as the domain, or have the \
                 certificate reissued"
            )
        }
        CertificateError::NotValidForName => {
            format!("the certificate of {who} is for another name; check the domain")
        }
        CertificateError::UnknownIssuer => format!(
            "the certificate of {who} comes from an authority that is not trusted here; give the authority's \
             certificate with --tls-ca FILE"
        ),
        CertificateError::BadSignature => format!(
            "the certificate of {who} was not made by the authority that it names, though one of that name is trusted \
             here; give the right one with --tls-ca FILE"
        ),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!(
                "the certificate of {who} expired on {}; it has to be renewed, or our clock is wrong",
                date(not_after)
            )
        }
        CertificateError::Expired => {
            format!("the certificate of {who} has expired; it has to be renewed, or our clock is wrong")
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the certificate of {who} is not valid before {}; our clock may be wrong", date(not_before))
        }
        CertificateError::NotValidYet => {
            format!("the certificate of {who} is not valid yet; our clock may be wrong")
        }
        CertificateError::Revoked => format!("the certificate of {who} was revoked; do not trust it"),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("the certificate of {who} is not meant for a server; it has to be reissued")
        }
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => format!(
            "the certificate of {who} is that of an authority (CA:TRUE), which no server may show; have one issued \
             for the server"
        ),
        other => format!("the certificate of {who} cannot be verified: {other}"),
    }
}

/// The peer ended the handshake.
fn refused(alert: AlertDescription, who: &str, we_asked: bool) -> String {
    let remedy = match alert {
        AlertDescription::CertificateRequired => "it wants a certificate of ours; give --tls-cert and --tls-key",
        AlertDescription::HandshakeFailure if we_asked => {
            "it may want a certificate of ours (--tls-cert and --tls-key), or shares no cipher with us"
        }
        AlertDescription::UnknownCA if we_asked => "it does not trust the authority of our certificate (--tls-cert)",
        AlertDescription::UnknownCA => "it does not trust the authority of our certificate; give it that authority",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRevoked => "it does not take our certificate; check --tls-cert",
        AlertDescription::ProtocolVersion => "it speaks neither TLS 1.2 nor 1.3",
        AlertDescription::UnrecognisedName => "it does not know that name; check the domain",
        _ => "its log should say why",
    };
    format!("{who} refused the TLS handshake ({alert:?}): {remedy}")
}

/// `DnsName("a")` as `a`.
fn plain(presented: &str) -> String {
    presented.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map_or(presented, |(name, _)| name).to_owned()
}

fn date(time: &UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "an unknown day".into(), |stamp| stamp.strftime("%F").to_string())
}
