//! Whom a certificate is for (RFC 5922 section 7).

use std::sync::Arc;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Verifies the certificate of a server: its chain, then that it is for one of the names.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) roots: Arc<RootCertStore>,
    /// Domains and addresses; the first is the one that was asked for.
    pub(super) accepted: Vec<String>,
    pub(super) insecure: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.insecure {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        let mut refused = None;
        for name in &self.accepted {
            match is_for(end_entity, name) {
                Ok(()) => return Ok(ServerCertVerified::assertion()),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or(CertificateError::NotValidForName.into()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Is `certificate` for `name`, a domain or an address? By a DNS name or address, whose first label may be a wildcard
/// (RFC 6125 section 6.4.3: RFC 5922 section 7.2 forbids them, and the carriers' certificates have them), or by a
/// `sip:` URI without a user part (RFC 5922 section 7.1). Neither excludes the other: servers have certificates of both
/// kinds in one.
pub(in crate::net) fn is_for(certificate: &CertificateDer<'_>, name: &str) -> Result<(), Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    let server = ServerName::try_from(name).map_err(|_| CertificateError::NotValidForName)?;
    let Err(refused) = verify_server_name(&parsed, &server) else { return Ok(()) };
    let by_uri = webpki::EndEntityCert::try_from(certificate)
        .is_ok_and(|cert| cert.valid_uri_names().filter_map(sip_domain).any(|host| host.eq_ignore_ascii_case(name)));
    if by_uri { Ok(()) } else { Err(refused) }
}

/// The domain of a `sip:` URI that names a whole domain.
fn sip_domain(uri: &str) -> Option<&str> {
    let scheme = uri.get(..4)?;
    let host = uri.get(4..).filter(|_| scheme.eq_ignore_ascii_case("sip:"))?;
    let plain = !host.is_empty() && !host.contains(['@', ':', ';', '?', '/']);
    plain.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn certificate(names: Vec<SanType>) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    fn uri(name: &str) -> SanType {
        SanType::URI(name.try_into().unwrap())
    }

    #[test]
    fn names_wildcards_addresses_and_sip_uris() {
        let cert = certificate(vec![
            dns("*.sip.twilio.com"),
            dns("pbx.example.org"),
            SanType::IpAddress("192.0.2.7".parse().unwrap()),
        ]);
        for name in ["alice.sip.twilio.com", "ALICE.sip.twilio.com", "pbx.example.org", "pbx.example.org.", "192.0.2.7"]
        {
            assert!(is_for(&cert, name).is_ok(), "{name}");
        }
        // One label, no more and no less (RFC 6125 section 6.4.3).
        for name in ["sip.twilio.com", "a.b.sip.twilio.com", "example.org", "192.0.2.8", "", "*.sip.twilio.com"] {
            assert!(is_for(&cert, name).is_err(), "{name}");
        }
        let cert = certificate(vec![uri("sip:example.com"), uri("sip:bob@example.net"), uri("https://example.info")]);
        assert!(is_for(&cert, "Example.com").is_ok());
        for name in ["example.net", "example.info", "www.example.com"] {
            assert!(is_for(&cert, name).is_err(), "{name}");
        }
    }
}
